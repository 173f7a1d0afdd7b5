//! Whole documents: bytes, flags that depend on each other, visibility, recorded environments and
//! the demo's flags.

use std::collections::BTreeSet;
use std::fs;

use burgee::compile::{Policy, Visibility};
use burgee::model::Generation;
use serde_json::{Value, json};

use super::naive::{self, Attribute};
use super::naive_flagsmith::{Identity, Trait};
use super::sides::{FlagsmithSide, ReflagSide, Texts};
use super::{of_flagsmith, of_reflag};

fn read(path: &str) -> Value {
    let path = format!("{}/{path}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn texts(pairs: &[(&str, &str)]) -> Texts {
    pairs.iter().map(|&(name, text)| (name.to_owned(), text.to_owned())).collect()
}

#[test]
fn definitions_are_spelled_as_the_protocol_lists_them() {
    let state = |id: u32, enabled: bool, value: &str| {
        format!(
            r#"{{"feature":{{"id":{id},"name":"f{id}"}},"enabled":{enabled},"feature_state_value":{value},"django_id":{id}}}"#
        )
    };
    let document = format!(
        r#"{{"api_key":"env","feature_states":[{},{}],
            "project":{{"server_key_only_feature_ids":[2],"segments":[{{"id":7,"name":"gold","feature_states":[{}],
              "rules":[{{"type":"ALL","conditions":[{{"property_":"$.identity.identifier","operator":"IN","value":"a,b"}}]}}]}}]}},
            "identity_overrides":[{{"identifier":"007","identity_features":[{}]}}]}}"#,
        state(1, true, "5.0"),
        state(2, false, "null"),
        state(1, false, "1e3"),
        state(2, true, r#""on""#),
    );
    let native = FlagsmithSide::new(document.as_bytes(), false);
    let (translation, _) = of_flagsmith::translated(&native, Generation::V1_0);
    assert_eq!(translation.untranslated, []);
    let set = r#"{"type":"context","field":"user.id","operator":"SET","values":[]}"#;
    let both = format!(
        r#"{{"type":"group","operator":"and","filters":[{set},{{"type":"context","field":"user.id","operator":"ANY_OF","values":["a","b"]}}]}}"#
    );
    let one = format!(
        r#"{{"type":"group","operator":"and","filters":[{set},{{"type":"context","field":"user.id","operator":"IS","values":["007"]}}]}}"#
    );
    assert_eq!(
        String::from_utf8(translation.document.to_vec()).unwrap(),
        format!(
            r#"{{"success":true,"flagStateVersion":9,"features":[{{"key":"f1","targeting":{{"version":9,"rules":[{{"filter":{{"type":"negation","filter":{both}}}}}]}},"config":{{"version":9,"variants":[{{"key":"default","payload":1e3,"filter":{both}}},{{"key":"default","payload":5.0,"filter":{{"type":"constant","value":true}}}}]}}}},{{"secret":true,"key":"f2","targeting":{{"version":9,"rules":[{{"filter":{one}}}]}},"config":{{"version":9,"variants":[{{"key":"default","payload":"on","filter":{one}}}]}}}}]}}"#
        )
    );
}

#[test]
fn environments_have_all_that_sdks_ask_for() {
    let document = json!({"features": [
        {"key": "crew-chat", "targeting": {"version": 1, "rules": [
            {"filter": {"type": "context", "field": "user.plan", "operator": "IS", "values": ["gold"]}}]},
         "config": {"version": 1, "variants": [
            {"key": "large", "payload": {"limit": 20}, "filter": {"type": "constant", "value": true}},
            {"key": "small", "filter": {"type": "constant", "value": true}}]}},
        {"key": "age", "targeting": {"version": 1, "rules": [
            {"filter": {"type": "context", "field": "user.age", "operator": "GT", "values": ["18"]}}]}},
    ]});
    let secret = BTreeSet::from(["crew-chat".to_owned()]);
    let policy = Policy { visibility: Visibility::Except(secret), ..Policy::default() };
    let native = ReflagSide::new(document.to_string().as_bytes(), policy);
    let (translation, _) = of_reflag::translated(&native);
    let names: Vec<&str> = translation.untranslated.iter().map(|u| &*u.flag).collect();
    assert_eq!(names, ["age"]);
    // The SHA-256 of `crew-chat` begins with these bytes.
    let id = {
        use sha2::{Digest, Sha256};
        let hash = Sha256::digest("crew-chat");
        u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]) & 0x7fff_ffff
    };
    let feature =
        format!(r#"{{"feature":{{"id":{id},"name":"crew-chat","type":"MULTIVARIATE"}},"enabled":"#);
    let value = r#""feature_state_value":"{\"limit\":20}""#;
    let text = String::from_utf8(translation.document.to_vec()).unwrap();
    let uuids: Vec<&str> =
        text.split("\"featurestate_uuid\":\"").skip(1).map(|rest| &rest[..36]).collect();
    assert_eq!(uuids.len(), 2);
    assert_ne!(uuids[0], uuids[1]);
    let state = |enabled: bool, number: u32, uuid: &str, segment: &str| {
        format!(
            r#"{feature}{enabled},{value},"django_id":{number},"featurestate_uuid":"{uuid}","feature_segment":{segment},"multivariate_feature_state_values":[]}}"#
        )
    };
    assert_eq!(
        text,
        format!(
            r#"{{"id":1,"api_key":"burgee:production","name":"production","updated_at":"2026-05-04T09:30:11.204Z","allow_client_traits":true,"hide_sensitive_data":false,"hide_disabled_flags":null,"use_identity_composite_key_for_hashing":true,"use_identity_overrides_in_local_eval":true,"amplitude_config":null,"webhook_config":null,"project":{{"id":1,"name":"production","hide_disabled_flags":false,"enable_realtime_updates":false,"server_key_only_feature_ids":[{id}],"organisation":{{"id":1,"name":"Burgee","feature_analytics":false,"stop_serving_flags":false,"persist_trait_data":true}},"segments":[{{"id":1,"name":"crew-chat 1","rules":[{{"type":"ALL","conditions":[{{"property_":"plan","operator":"IN","value":"gold"}}],"rules":[]}}],"feature_states":[{}]}}]}},"feature_states":[{}],"identity_overrides":[]}}"#,
            state(
                true,
                2,
                uuids[1 - usize::from(text.find(uuids[0]) < text.find(uuids[1]))],
                "{\"priority\":0}"
            ),
            state(false, 1, uuids[usize::from(text.find(uuids[0]) < text.find(uuids[1]))], "null"),
        )
    );
}

/// A feature with rules of its own, whose segments ask for other flags.
#[test]
fn flags_that_depend_on_flags_are_resolved() {
    let segment = |id: u32, property: &str, operator: &str, value: &str, feature: u8| {
        json!({
            "id": id, "name": format!("s{id}"),
            "rules": [{"type": "ALL", "conditions": [{"property_": property, "operator": operator, "value": value}]}],
            "feature_states": [super::naive_flagsmith::state(feature, false, id, true, &json!("yes"))],
        })
    };
    let features: Vec<Value> =
        (0..4).map(|at| super::naive_flagsmith::state(at, false, 9, false, &json!("no"))).collect();
    let document = json!({
        "api_key": "env", "feature_states": features, "identity_overrides": [],
        "project": {"segments": [
            segment(1, "plan", "EQUAL", "gold", 0),
            segment(2, "$.flags.f0.enabled", "EQUAL", "true", 1),
            segment(3, "$.flags.f0.value", "NOT_EQUAL", "yes", 2),
            segment(4, "$.flags.f0.enabled", "IS_NOT_SET", "", 3),
        ]},
    });
    let native = FlagsmithSide::new(document.to_string().as_bytes(), false);
    let (translation, reflag) = of_flagsmith::translated(&native, Generation::V1_0);
    assert_eq!(translation.untranslated, []);
    let gold = texts(&[("user.id", "u"), ("other.plan", "gold")]);
    let seen = of_flagsmith::check(&native, &reflag, &gold);
    let on = |name: &str| seen[name].enabled;
    assert_eq!(["f0", "f1", "f2", "f3"].map(on), [true, true, false, false]);
    for context in [
        texts(&[]),
        texts(&[("user.id", "u"), ("user.plan", ""), ("other.plan", "gold")]),
        texts(&[("other.plan", "gold")]),
        texts(&[("user.id", "u")]),
    ] {
        of_flagsmith::check(&native, &reflag, &context);
    }
}

/// Features that depend on each other in a circle keep the environment's state.
#[test]
fn circles_of_flags_are_broken_as_the_engine_breaks_them() {
    let segment = |id: u32, asked: u8, feature: u8| {
        let condition = json!({"property_": format!("$.flags.f{asked}.enabled"), "operator": "IS_SET", "value": ""});
        json!({
            "id": id, "name": format!("s{id}"), "rules": [{"type": "NONE", "conditions": [condition]}],
            "feature_states": [super::naive_flagsmith::state(feature, false, id, true, &json!("yes"))],
        })
    };
    let features: Vec<Value> =
        (0..3).map(|at| super::naive_flagsmith::state(at, false, 9, false, &json!("no"))).collect();
    let document = json!({
        "api_key": "env", "feature_states": features,
        "project": {"segments": [segment(1, 0, 1), segment(2, 1, 0), segment(3, 0, 2)]},
    });
    let environment =
        burgee::dialect::flagsmith::document::read(&document.to_string().into()).unwrap();
    let terms = burgee::dialect::reflag::translate::Terms {
        version: burgee::model::Version::new(9),
        generation: Generation::V1_0,
        segments_without_identity: false,
    };
    let translation = burgee::dialect::reflag::translate::definitions(&environment, &terms);
    assert_eq!(translation.untranslated, []);
    let reflag = ReflagSide::new(&translation.document, Policy::default());
    let seen = reflag.evaluate(r#"{"user.id":"u"}"#);
    assert!(seen.values().all(|seen| !seen.enabled && seen.value == "no"), "{seen:?}");
}

/// What an override cannot change does not stand in the way, whatever its rules.
#[test]
fn overrides_that_change_nothing_need_no_equal() {
    let state = |enabled| super::naive_flagsmith::state(1, false, 5, enabled, &json!("v"));
    let rules = json!([{"type": "ALL", "conditions": [{"property_": "a", "operator": "REGEX", "value": "x"}]}]);
    let document = |enabled: bool| {
        json!({
            "api_key": "env", "feature_states": [state(true)],
            "project": {"segments": [{"id": 1, "name": "s", "rules": rules, "feature_states": [state(enabled)]}]},
        })
    };
    for (enabled, left_out) in [(true, 0), (false, 1)] {
        let native = FlagsmithSide::new(document(enabled).to_string().as_bytes(), false);
        let (translation, _) = of_flagsmith::translated(&native, Generation::V1_0);
        assert_eq!(translation.untranslated.len(), left_out);
    }
}

#[test]
fn recorded_environments_agree() {
    let recorded = read("tests/vectors/flagsmith-http.json");
    let (mut compared, mut left_out) = (0, 0);
    for environment in recorded["environments"].as_object().unwrap().values() {
        let document = &environment["document"];
        let native = FlagsmithSide::recorded(document.to_string().as_bytes());
        let (translation, reflag) = of_flagsmith::translated(&native, Generation::V1_0);
        left_out += translation.untranslated.len();
        let traits = ["plan", "age", "score", "beta", "email", "country", "name"];
        let values = ["gold", "true", "7", "", "x@example.com", "false", "1.2.3"];
        let mut identifiers: BTreeSet<String> =
            native.environment.identity_overrides.keys().map(ToString::to_string).collect();
        identifiers.extend(["u".to_owned(), String::new()]);
        for identifier in identifiers {
            for shift in 0..values.len() {
                let mut context = texts(&[("user.id", &identifier)]);
                for (at, name) in traits.iter().enumerate() {
                    let value = values[(at + shift) % values.len()];
                    context.insert(format!("user.{name}"), value.to_owned());
                }
                compared += of_flagsmith::check(&native, &reflag, &context).len();
            }
        }
    }
    println!("{compared} outcomes compared, {left_out} flags left out");
    assert!(compared > 500, "{compared}");
}

#[test]
fn the_flags_of_the_demo_and_of_the_vectors_agree() {
    let demo = read("config/demo-flags.json");
    let vectors = read("tests/vectors/reflag-evaluation.json");
    let mut contexts: Vec<Value> = Vec::new();
    let mut definitions: Vec<Value> = demo["features"].as_array().unwrap().clone();
    for case in vectors["cases"].as_array().unwrap() {
        contexts.push(case["context"].clone());
        let key = format!("vector-{}", definitions.len());
        definitions.push(json!({"key": key, "targeting": {"version": 1, "rules": case["rules"]}}));
    }
    let document = json!({"success": true, "flagStateVersion": 1, "features": definitions});
    let native = ReflagSide::recorded(document.to_string().as_bytes());
    let (translation, flagsmith) = of_reflag::translated(&native);
    let translated = flagsmith.environment.features.len();
    println!("{translated} of {} flags translated", definitions.len());
    for left_out in translation.untranslated.iter().take(20) {
        println!("{}: {}", left_out.flag, left_out.reason);
    }
    assert!(translated > 100, "{translated}");
    of_reflag::check(&native, &flagsmith, None);
    // Every tenth: contexts are many, and each is for all flags.
    for context in contexts.iter().filter(|context| context.is_object()).step_by(10) {
        let flat = naive::flatten(&context.to_string(), naive::Generation::V1_0);
        let traits = flat.iter().filter_map(|(name, attribute)| {
            let Attribute::Text(text) = attribute else { return None };
            let name = name.strip_prefix("user.").unwrap_or(name);
            (name != "id").then(|| (name.to_owned(), Trait::Text(text.clone())))
        });
        let identity = Identity { identifier: "u-1".to_owned(), traits: traits.collect() };
        of_reflag::check(&native, &flagsmith, Some(&identity));
    }
}
