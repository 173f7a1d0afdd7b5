//! Flagsmith's rules: what features are, for whom, and a document of them.

use serde_json::{Value, json};

/// The environment's own key, which the document names.
pub(crate) const CLIENT_KEY: &str = "Edge0ClientKey";

/// The feature that only server keys see.
pub(crate) const SERVER_ONLY: u32 = 14;

pub(crate) fn feature(id: u32, name: &str) -> Value {
    let kind = if name == "banner" { "MULTIVARIATE" } else { "STANDARD" };
    json!({"id": id, "name": name, "type": kind})
}

/// What a feature is by default. Its number is the seed of its splits, too.
pub(crate) fn state(id: u32, name: &str, enabled: bool, value: &Value) -> Value {
    json!({
        "feature": feature(id, name), "enabled": enabled, "feature_state_value": value,
        "django_id": 900 + id, "featurestate_uuid": uuid(id), "feature_segment": null,
        "multivariate_feature_state_values": [],
    })
}

pub(crate) fn uuid(number: u32) -> String {
    format!("7b1f0a52-2f53-4b9b-9d3e-{number:012x}")
}

/// The same split: so many percent get this value.
pub(crate) fn split(mut state: Value, shares: &[(&str, f64)]) -> Value {
    let shares = shares.iter().zip(41_u32..).map(|((value, share), id)| {
        json!({
            "id": id, "mv_fs_value_uuid": uuid(id), "percentage_allocation": share,
            "multivariate_feature_option": {"id": id + 100, "value": value, "key": format!("{value}-key")},
        })
    });
    state["multivariate_feature_state_values"] = shares.collect();
    state
}

/// The same in a segment. The lower number wins.
pub(crate) fn with_priority(mut state: Value, priority: u32) -> Value {
    state["feature_segment"] = json!({"priority": priority});
    state["django_id"] = json!(state["django_id"].as_u64().unwrap() + 1000);
    state
}

/// What a segment asks, below a rule that wants all of it.
pub(crate) fn rule(kind: &str, conditions: &[(&str, &str, &str)]) -> Value {
    let conditions: Vec<_> = conditions
        .iter()
        .map(|(property, operator, value)| {
            let property = Some(*property).filter(|property| !property.is_empty());
            json!({"property_": property, "operator": operator, "value": value})
        })
        .collect();
    let rule = json!({"type": kind, "conditions": conditions, "rules": []});
    json!([{"type": "ALL", "conditions": [], "rules": [rule]}])
}

pub(crate) fn segment(id: u32, name: &str, rules: &Value, states: &[Value]) -> Value {
    json!({"id": id, "name": name, "rules": rules, "feature_states": states})
}

pub(crate) fn identity(identifier: &str, states: &[Value]) -> Value {
    json!({
        "identifier": identifier, "identity_uuid": uuid(1), "environment_api_key": CLIENT_KEY,
        "created_date": "2026-01-01T00:00:00+00:00", "django_id": 12, "identity_traits": [],
        "dashboard_alias": null, "composite_key": format!("{CLIENT_KEY}_{identifier}"),
        "identity_features": states,
    })
}

pub(crate) fn document(states: &[Value], segments: &[Value], identities: &[Value]) -> Value {
    json!({
        "id": 31, "api_key": CLIENT_KEY, "name": "Production",
        "updated_at": "2026-05-04T09:30:11.204518+00:00", "allow_client_traits": true,
        "hide_sensitive_data": false, "hide_disabled_flags": null,
        "use_identity_composite_key_for_hashing": true,
        "use_identity_overrides_in_local_eval": true,
        "amplitude_config": null, "webhook_config": null,
        "project": {
            "id": 5, "name": "Shop", "hide_disabled_flags": false,
            "enable_realtime_updates": false, "server_key_only_feature_ids": [SERVER_ONLY],
            "organisation": {
                "id": 2, "name": "ACME", "feature_analytics": false, "stop_serving_flags": false,
                "persist_trait_data": true,
            },
            "segments": segments,
        },
        "feature_states": states,
        "identity_overrides": identities,
    })
}
