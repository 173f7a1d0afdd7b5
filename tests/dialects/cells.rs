//! Every cell of the table: type of a flag's value, family of its rules, dialect that asks.

use serde_json::{Value, json};

use crate::flagsmith_rules::{environment, feature, segment, split};
use crate::support::rules::{document, flag, is, on, secret, when, with_payload};
use crate::support::{Edge, Environment, Setup};

/// A value and how each dialect tells it, by the family of the rules.
struct Cell {
    name: &'static str,
    /// The value as the document spells it; none for a flag without one.
    value: Option<&'static str>,
    /// `feature_state_value` where the rules are Reflag's; where they are Flagsmith's it is the value.
    as_feature: &'static str,
    /// `K:json` where the rules are Flagsmith's; none where that is no JSON.
    as_json: Option<&'static str>,
}

const CELLS: [Cell; 13] = [
    Cell { name: "text", value: Some("\"v2\""), as_feature: "\"v2\"", as_json: None },
    Cell { name: "empty", value: Some("\"\""), as_feature: "\"\"", as_json: None },
    Cell {
        name: "escaped",
        value: Some(r#""a\"\u00e9\n""#),
        as_feature: r#""a\"\u00e9\n""#,
        as_json: None,
    },
    Cell { name: "integer", value: Some("42"), as_feature: "42", as_json: Some("42") },
    Cell {
        name: "large",
        value: Some("1152921504606846977"),
        as_feature: "1152921504606846977",
        as_json: Some("1152921504606846977"),
    },
    Cell { name: "whole", value: Some("5.0"), as_feature: "5.0", as_json: Some("5.0") },
    Cell { name: "exponent", value: Some("1e3"), as_feature: "1e3", as_json: Some("1e3") },
    Cell { name: "yes", value: Some("true"), as_feature: "true", as_json: Some("true") },
    Cell { name: "no", value: Some("false"), as_feature: "false", as_json: Some("false") },
    Cell {
        name: "object",
        value: Some(r#"{"b": 1.0, "a": [null, " x "]}"#),
        as_feature: r#""{\"b\":1.0,\"a\":[null,\" x \"]}""#,
        as_json: Some(r#"{"b": 1.0, "a": [null, " x "]}"#),
    },
    Cell { name: "list", value: Some("[1, 2]"), as_feature: "\"[1,2]\"", as_json: Some("[1, 2]") },
    Cell {
        name: "json",
        value: Some(r#""{\"limit\": 1.50}""#),
        as_feature: r#""{\"limit\": 1.50}""#,
        as_json: Some(r#"{"limit": 1.50}"#),
    },
    Cell { name: "nothing", value: None, as_feature: "null", as_json: None },
];

/// Both documents, with the values spelled just so.
fn documents() -> [(&'static str, String); 2] {
    let mark = |name: &str| json!(format!("value of {name}"));
    let spell = |mut document: String| {
        for cell in &CELLS {
            let (mark, value) = (mark(cell.name).to_string(), cell.value.unwrap_or("null"));
            document = document.replace(&mark, value);
        }
        document
    };
    let flags: Vec<_> =
        CELLS.iter().map(|cell| with_payload(on(cell.name), "only", &mark(cell.name))).collect();
    let features: Vec<_> = CELLS
        .iter()
        .zip(1..)
        .map(|(cell, id)| feature(id, cell.name, true, &mark(cell.name)))
        .collect();
    [
        ("reflag", spell(document(7, &flags))),
        ("flagsmith", spell(environment(&features, &[], &[], &[]))),
    ]
}

fn serve(format: &'static str, rules: String) -> Edge {
    Setup::of(Environment::named("shop").holding(rules).format(format)).start()
}

/// The text of a member of an object in an answer, as it is spelled there.
fn member<'a>(text: &'a str, start: &str, name: &str) -> &'a str {
    let at = text.find(start).unwrap_or_else(|| panic!("{start} in {text}"));
    let name = format!("\"{name}\":");
    let from = text[at..].find(&name).unwrap_or_else(|| panic!("{name} after {start}"));
    let value = &text[at + from + name.len()..];
    let mut values = serde_json::Deserializer::from_str(value).into_iter::<Value>();
    values.next().unwrap().unwrap();
    &value[..values.byte_offset()]
}

#[test]
fn values_keep_their_spelling_in_every_dialect_whatever_the_rules() {
    for (format, rules) in documents() {
        let edge = serve(format, rules);
        let evaluated = edge.secret().get("/features/evaluated?context.user.id=ada").text();
        let identity = edge.secret().post("/api/v1/identities/", r#"{"identifier":"ada"}"#).text();
        let environment = edge.secret().get("/api/v1/flags/").text();
        let bulk = edge.secret().post("/ofrep/v1/evaluate/flags", "{}");
        for cell in &CELLS {
            let name = cell.name;
            let what = format!("{name} of {format}");
            // Reflag
            let entry = format!("\"{name}\":{{\"key\":\"{name}\"");
            if let Some(value) = cell.value {
                assert_eq!(member(&evaluated, &entry, "payload"), value, "{what}");
            } else {
                let answer: Value = serde_json::from_str(&evaluated).unwrap();
                let config = &answer["features"][name]["config"];
                // Reflag's own variant is told even without a payload.
                let expected = if format == "reflag" { json!("only") } else { Value::Null };
                assert_eq!(config["key"], expected, "{what}");
                assert_eq!(config["payload"], Value::Null, "{what}");
            }
            // Flagsmith
            let expected = match (format, cell.value) {
                ("flagsmith", value) => value.unwrap_or("null"),
                _ => cell.as_feature,
            };
            let start = format!("\"name\":\"{name}\"");
            for answer in [&identity, &environment] {
                let value = member(answer, &start, "feature_state_value");
                assert_eq!(value, expected, "{what}");
            }
            let one = edge.secret().get(&format!("/api/v1/flags/?feature={name}")).text();
            assert_eq!(member(&one, &start, "feature_state_value"), expected, "{what}");
            // OFREP
            let value = |key: &str| {
                let reply = edge.secret().post(&format!("/ofrep/v1/evaluate/flags/{key}"), "{}");
                (reply.status, reply.text())
            };
            let told = |key: &str, expected: Option<&str>| {
                let (status, text) = value(key);
                assert_eq!(status, 200, "{what} {key} {text}");
                if let Some(expected) = expected {
                    assert_eq!(member(&text, "{", "value"), expected, "{what}");
                } else {
                    let answer: Value = serde_json::from_str(&text).unwrap();
                    assert_eq!(answer.get("value"), None, "{what} {key}");
                    assert_eq!(answer["reason"], "DEFAULT", "{what} {key}");
                }
            };
            told(&format!("{name}:enabled"), Some("true"));
            told(&format!("{name}:value"), cell.value);
            if format == "reflag" {
                told(name, Some("true"));
                told(&format!("{name}:json"), cell.value);
                told(&format!("{name}:variant"), Some("\"only\""));
            } else {
                told(name, Some(cell.value.unwrap_or("true")));
                told(&format!("{name}:variant"), None);
                match (cell.as_json, cell.value) {
                    (None, Some(_)) => {
                        let (status, text) = value(&format!("{name}:json"));
                        let answer: Value = serde_json::from_str(&text).unwrap();
                        assert_eq!((status, &answer["errorCode"]), (400, &json!("PARSE_ERROR")));
                        assert_eq!(answer["key"], format!("{name}:json"));
                    }
                    (expected, _) => told(&format!("{name}:json"), expected),
                }
            }
            // What is listed is what is told one by one.
            let listed = bulk.json();
            let listed = listed["flags"].as_array().unwrap().iter();
            for item in listed.filter(|item| item["key"].as_str().unwrap().starts_with(name)) {
                let (_, text) = value(item["key"].as_str().unwrap());
                assert!(bulk.text().contains(&text), "{what}: {text} in {bulk}");
            }
        }
    }
}

#[test]
fn a_flag_of_reflags_reads_as_flagsmiths_api_spells_it() {
    let half = json!({"type": "rolloutPercentage", "key": "s", "partialRolloutAttribute": "user.id",
        "partialRolloutThreshold": 100_000});
    let mut checkout = when("crew-chat", &half);
    checkout["config"] = json!({"version": 3, "variants": [
        {"key": "large", "payload": {"limit": 20}, "filter": is("user.plan", "gold")},
        {"key": "small", "payload": null, "filter": {"type": "constant", "value": true}},
    ]});
    let edge = Edge::serving(document(7, &[checkout, flag("abc", &[]), secret(on("hidden"))]));
    let body =
        json!({"identifier": "ada", "traits": [{"trait_key": "plan", "trait_value": "gold"}]});
    let reply = edge.publishable().post("/api/v1/identities/", body.to_string());
    assert_eq!(reply.status, 200, "{reply}");
    let chat = |enabled, value, variant: Option<&str>| {
        let mut flag = json!({
            "feature": {"id": 1_178_862_853, "name": "crew-chat", "type": "MULTIVARIATE"},
            "enabled": enabled, "feature_state_value": value,
        });
        if let Some(variant) = variant {
            flag["variant"] = json!(variant);
        }
        flag
    };
    let abc = json!({
        "feature": {"id": 0x3a78_16bf, "name": "abc", "type": "STANDARD"},
        "enabled": false, "feature_state_value": null, "variant": null,
    });
    let mut expected = json!({
        "identifier": "ada", "traits": [{"trait_key": "plan", "trait_value": "gold"}],
        "flags": [chat(true, json!("{\"limit\":20}"), Some("large")), abc],
    });
    // The id is whatever the hash says; that it is the same everywhere is what counts.
    let found = reply.json();
    expected["flags"][0]["feature"]["id"] = found["flags"][0]["feature"]["id"].clone();
    assert_eq!(found, expected, "{reply}");
    let environment = edge.publishable().get("/api/v1/flags/").json();
    let mut nobody = chat(false, Value::Null, None);
    nobody["feature"]["id"] = found["flags"][0]["feature"]["id"].clone();
    assert_eq!(environment[0], nobody);
    assert_eq!(environment.as_array().unwrap().len(), 2, "the secret flag is not there");
    assert_eq!(edge.publishable().get("/api/v1/flags/?feature=hidden").status, 404);
    assert_eq!(edge.secret().get("/api/v1/flags/?feature=hidden").status, 200);
}

#[test]
fn a_flag_of_flagsmiths_reads_as_reflags_api_spells_it() {
    let nothing = Value::Null;
    let rules = environment(
        &[
            feature(1, "checkout", false, &json!("v1")),
            feature(2, "plain", true, &nothing),
            split(feature(3, "banner", true, &json!("a")), &[("b", json!("b"), 100.0)]),
            feature(4, "ledger", true, &nothing),
        ],
        &[segment(
            1,
            "gold",
            ("plan", "EQUAL", "gold"),
            &[feature(1, "checkout", true, &json!(7))],
        )],
        &[],
        &[4],
    );
    let edge = serve("flagsmith", rules);
    let version = edge.status("shop")["version"].clone();
    let reply =
        edge.publishable().get("/features/evaluated?context.user.id=a&context.user.plan=gold");
    let config = |key: &str, payload: Value| {
        json!({"key": key, "version": version, "payload": payload,
            "ruleEvaluationResults": [], "missingContextFields": []})
    };
    let entry = |key: &str, config: Option<Value>| {
        let mut entry = json!({"key": key, "isEnabled": true, "targetingVersion": version,
            "ruleEvaluationResults": [], "missingContextFields": [], "optInEnabled": false});
        if let Some(config) = config {
            entry["config"] = config;
        }
        entry
    };
    let expected = json!({
        "success": true, "remoteContextUsed": false, "flagStateVersion": version,
        "features": {
            "checkout": entry("checkout", Some(config("default", json!(7)))),
            "plain": entry("plain", None),
            "banner": entry("banner", Some(config("b", json!("b")))),
        },
    });
    assert_eq!(reply.json(), expected, "{reply}");
    let secret = edge.secret().get("/features/evaluated?context.user.id=a&key=ledger");
    assert_eq!(secret.keys(), ["ledger"]);
    let hidden = edge.publishable().get("/features/evaluated?context.user.id=a&key=ledger");
    assert_eq!(hidden.flags(), json!({}));
    let enabled = edge.publishable().get("/features/enabled?context.user.id=a");
    assert_eq!(enabled.keys(), ["plain", "banner"]);
    let one = edge.publishable().get("/features/enabled?context.user.id=a&key=checkout");
    assert_eq!(one.flags(), json!({}));
    let tag = reply.etag();
    let again = edge
        .publishable()
        .with("If-None-Match", &tag)
        .get("/features/evaluated?context.user.id=a&context.user.plan=gold");
    assert_eq!((again.status, again.body.len()), (304, 0));
    let other = edge
        .publishable()
        .with("If-None-Match", &tag)
        .get("/features/evaluated?context.user.id=a&context.user.plan=basic");
    assert_eq!(other.status, 200);
}
