//! Flagsmith environment documents to serve.

use serde_json::{Value, json};

/// A feature's state.
pub(crate) fn feature(id: u32, name: &str, enabled: bool, value: &Value) -> Value {
    json!({
        "feature": {"id": id, "name": name, "type": "STANDARD"},
        "enabled": enabled, "feature_state_value": value, "django_id": id,
        "featurestate_uuid": format!("00000000-0000-4000-8000-{id:012}"),
        "multivariate_feature_state_values": [], "feature_segment": null,
    })
}

/// The feature, split among variants, given as key, value and share in percent.
pub(crate) fn split(mut feature: Value, variants: &[(&str, Value, f64)]) -> Value {
    feature["feature"]["type"] = json!("MULTIVARIATE");
    let variants = variants.iter().zip(1..).map(|((key, value, share), id)| {
        json!({
            "id": id, "percentage_allocation": share,
            "mv_fs_value_uuid": format!("10000000-0000-4000-8000-{id:012}"),
            "multivariate_feature_option": {"id": id, "key": key, "value": value},
        })
    });
    feature["multivariate_feature_state_values"] = variants.collect();
    feature
}

/// A segment for whose members features are overridden, with one condition.
pub(crate) fn segment(
    id: u32,
    name: &str,
    (property, operator, value): (&str, &str, &str),
    states: &[Value],
) -> Value {
    let condition = json!({"property_": property, "operator": operator, "value": value});
    let rule = json!({"type": "ALL", "conditions": [condition], "rules": []});
    json!({
        "id": id, "name": name, "feature_states": states,
        "rules": [{"type": "ALL", "conditions": [], "rules": [rule]}],
    })
}

/// What features are for one identity.
pub(crate) fn identity(identifier: &str, states: &[Value]) -> Value {
    json!({
        "identifier": identifier, "identity_features": states, "identity_traits": [],
        "identity_uuid": "20000000-0000-4000-8000-000000000001", "environment_api_key": "client",
        "created_date": "2026-01-01T00:00:00+00:00", "composite_key": format!("client_{identifier}"),
    })
}

/// An environment. Features with these ids are for servers only.
pub(crate) fn environment(
    features: &[Value],
    segments: &[Value],
    identities: &[Value],
    server_only: &[u32],
) -> String {
    json!({
        "id": 1, "api_key": "client", "name": "Shop", "updated_at": "2026-05-04T09:30:11.204518+00:00",
        "project": {
            "id": 1, "name": "Shop", "hide_disabled_flags": false, "segments": segments,
            "server_key_only_feature_ids": server_only,
            "organisation": {
                "id": 1, "name": "ACME", "persist_trait_data": true, "stop_serving_flags": false,
                "feature_analytics": false,
            },
        },
        "feature_states": features, "identity_overrides": identities,
    })
    .to_string()
}
