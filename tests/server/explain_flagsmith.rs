//! `POST /explain` for rules of Flagsmith's.

use serde_json::{Value, json};

use crate::support::wire::Reply;
use crate::support::{Edge, Environment, Setup};

fn state(name: &str, id: u32, value: &Value) -> Value {
    json!({
        "feature": {"id": id, "name": name, "type": "STANDARD"}, "enabled": true,
        "feature_state_value": value, "django_id": 100 + id, "feature_segment": null,
        "multivariate_feature_state_values": [],
    })
}

fn multivariate(name: &str, id: u32) -> Value {
    let option = |id: u32, share: f64, value: &str| {
        json!({
            "id": id, "percentage_allocation": share,
            "multivariate_feature_option": {"value": value, "key": format!("{value}-key")},
        })
    };
    let mut state = state(name, id, &json!("control"));
    state["feature"]["type"] = json!("MULTIVARIATE");
    state["multivariate_feature_state_values"] =
        json!([option(2, 50.0, "blue"), option(1, 30.0, "red")]);
    state
}

fn overriding(name: &str, id: u32, priority: u32, value: &Value) -> Value {
    let mut state = state(name, id, value);
    state["feature_segment"] = json!({"priority": priority});
    state
}

fn condition(property: &str, operator: &str, value: &str) -> Value {
    json!({"property_": property, "operator": operator, "value": value})
}

fn segment(id: u32, name: &str, rules: &Value, states: &Value) -> Value {
    json!({"id": id, "name": name, "rules": rules, "feature_states": states})
}

/// `checkout` is overridden by two segments, for a fifth of the identities by a third one, and for
/// `ada`; `banner` is split; `upsell` depends on `checkout`; `audit` is for servers; `loop` asks for
/// itself.
fn document() -> Value {
    let gold = json!([{"type": "ALL", "conditions": [condition("plan", "EQUAL", "gold")], "rules": [
        {"type": "NONE", "conditions": [
            condition("company.country", "IN", "US,CA"), condition("orders", "LESS_THAN", "7"),
        ], "rules": []},
    ]}]);
    let fifth = json!([{"type": "ANY", "conditions": [condition("", "PERCENTAGE_SPLIT", "20")]}]);
    let all = |condition: Value| json!([{"type": "ALL", "conditions": [condition], "rules": []}]);
    json!({
        "id": 1, "api_key": "env", "name": "Shop", "updated_at": "2026-05-01T10:00:00.5Z",
        "project": {
            "id": 5, "name": "Shop", "server_key_only_feature_ids": [4], "segments": [
                segment(7, "a fifth", &fifth, &json!([overriding("checkout", 1, 3, &json!("v4"))])),
                segment(8, "gold", &gold, &json!([overriding("checkout", 1, 1, &json!("v2"))])),
                segment(9, "typed", &all(condition("age", "EQUAL", "7")),
                        &json!([overriding("checkout", 1, 2, &json!("v3"))])),
                segment(10, "upsold", &all(condition("$.flags.checkout.value", "EQUAL", "v2")),
                        &json!([overriding("upsell", 3, 0, &json!(2.5))])),
                segment(11, "circle", &all(condition("$.flags.loop.enabled", "EQUAL", "true")),
                        &json!([overriding("loop", 5, 0, &json!("x"))])),
            ],
        },
        "feature_states": [
            state("checkout", 1, &json!("v1")), multivariate("banner", 2),
            state("upsell", 3, &Value::Null), state("audit", 4, &json!(true)),
            state("loop", 5, &json!(0)),
        ],
        "identity_overrides": [{
            "identifier": "ada", "identity_features": [state("checkout", 1, &json!("hers"))],
        }],
    })
}

fn edge() -> Edge {
    Setup::of(Environment::named("shop").format("flagsmith").holding(document().to_string()))
        .start()
}

fn ask(edge: &Edge, question: &Value) -> Reply {
    edge.admin().with("Content-Type", "application/json").post("/explain", question.to_string())
}

fn answer(edge: &Edge, context: &Value) -> Value {
    let reply = ask(edge, &json!({"environment": "shop", "context": context}));
    assert_eq!(reply.status, 200, "{reply}");
    reply.json()
}

fn flag(edge: &Edge, key: &str, context: &Value) -> Value {
    let reply = ask(edge, &json!({"environment": "shop", "flag": key, "context": context}));
    assert_eq!(reply.status, 200, "{reply}");
    let flags = reply.json()["flags"].as_array().expect("flags").clone();
    assert_eq!(flags.len(), 1);
    flags[0].clone()
}

#[test]
fn an_explanation_has_the_members_that_are_promised_and_says_who_decided() {
    let edge = edge();
    let context = json!({
        "user": {"id": "bob", "plan": "gold", "orders": "12"}, "company": {"country": "DE"},
    });
    let checkout = flag(&edge, "checkout", &context);
    let rule = json!({
        "index": 0, "segment": "gold", "matched": true, "priority": 1.0, "enabled": true,
        "value": "v2", "logic": "c0 and not (c1 or c2)", "conditions": [
            {"attribute": "plan", "operator": "EQUAL", "operand": ["gold"], "actual": "gold",
             "matched": true, "missing": false},
            {"attribute": "company.country", "operator": "IN", "operand": ["US,CA"],
             "actual": "DE", "matched": false, "missing": false},
            {"attribute": "orders", "operator": "LESS_THAN", "operand": ["7"], "actual": 12,
             "matched": false, "missing": false},
        ],
    });
    assert_eq!(checkout["rules"][0], rule);
    let names: Vec<&Value> = rules(&checkout).iter().map(|rule| &rule["segment"]).collect();
    assert_eq!(names, ["gold", "typed", "a fifth"], "the strongest first");
    for (member, expected) in [
        ("key", json!("checkout")),
        ("enabled", json!(true)),
        ("variant", Value::Null),
        ("value", json!("v2")),
        ("reason", json!("TARGETING_MATCH; segment=gold")),
        ("visible_to_publishable", json!(true)),
        ("rollout", Value::Null),
        ("override", json!("gold")),
        ("variants", json!([])),
        ("depends_on", json!([])),
        ("missing_attributes", json!(["age"])),
    ] {
        assert_eq!(checkout[member], expected, "{member}");
    }
    let segments = checkout["segments"].as_array().expect("segments");
    assert_eq!(segments[0], json!({"id": "8", "name": "gold", "matched": true}));
    assert_eq!(segments[1], json!({"id": "9", "name": "typed", "matched": false}));
    let dialects = checkout["dialects"].as_object().expect("dialects");
    assert_eq!(dialects.keys().collect::<Vec<_>>(), ["reflag", "flagsmith", "ofrep"]);
}

fn rules(flag: &Value) -> &[Value] {
    flag["rules"].as_array().expect("rules")
}

#[test]
fn both_forms_of_a_context_mean_the_same() {
    let edge = edge();
    let attributes = json!({"user": {"id": "bob", "plan": "gold"}, "company": {"country": "US"}});
    let traits = json!({
        "identifier": "bob", "traits": {"plan": "gold", "company.country": "US"},
    });
    let sent = json!({"identifier": "bob", "traits": [
        {"trait_key": "plan", "trait_value": "gold"},
        {"trait_key": "company.country", "trait_value": "US"},
    ]});
    let expected = answer(&edge, &attributes);
    assert_eq!(expected["identity"], json!({"identifier": "bob", "anonymous": false}));
    for context in [traits, sent] {
        assert_eq!(answer(&edge, &context), expected);
    }
}

#[test]
fn an_identity_s_own_override_comes_before_all_segments() {
    let edge = edge();
    let checkout =
        flag(&edge, "checkout", &json!({"user": {"id": "ada", "plan": "gold", "orders": 9}}));
    assert_eq!(checkout["override"], "identity");
    assert_eq!(checkout["reason"], "TARGETING_MATCH; segment=identity_overrides");
    assert_eq!(checkout["value"], "hers");
    assert_eq!(checkout["rules"][0]["matched"], true, "she is gold, too");
    assert_eq!(checkout["rollout"], Value::Null);
}

#[test]
fn a_share_says_where_the_identity_falls() {
    let edge = edge();
    let mut within = 0;
    for number in 0..40 {
        let checkout = flag(&edge, "checkout", &json!({"identifier": format!("user-{number}")}));
        let rollout = &checkout["rollout"];
        assert_eq!(rollout["attribute"], "$.identity.key");
        assert_eq!(rollout["threshold"], 20.0);
        let inside = rollout["hash"].as_f64().expect("a number") <= 20.0;
        assert_eq!(checkout["override"] == "a fifth", inside);
        assert_eq!(checkout["value"] == "v4", inside);
        let split = &rules(&checkout)[2]["conditions"][0];
        assert_eq!(
            (&split["actual"], &split["missing"]),
            (&json!(format!("env_user-{number}")), &json!(false))
        );
        within += u32::from(inside);
    }
    assert!((1..20).contains(&within), "{within}");
}

#[test]
fn a_split_says_what_was_drawn_and_what_was_not() {
    let edge = edge();
    let mut drawn = std::collections::BTreeSet::new();
    for number in 0..40 {
        let banner = flag(&edge, "banner", &json!({"identifier": format!("user-{number}")}));
        let variants = banner["variants"].as_array().expect("variants");
        let shares: Vec<_> = variants.iter().map(|v| (&v["key"], &v["from"], &v["to"])).collect();
        let [red, blue] = ["red-key", "blue-key"].map(|key| json!(key));
        let [zero, thirty, eighty] = [0.0, 30.0, 80.0].map(|share| json!(share));
        assert_eq!(shares, [(&red, &zero, &thirty), (&blue, &thirty, &eighty)], "by their ids");
        let hash = variants[0]["hash"].as_f64().expect("a number");
        let expected = if hash < 30.0 {
            ["red", "red-key"]
        } else if hash < 80.0 {
            ["blue", "blue-key"]
        } else {
            ["control", "control"]
        };
        assert_eq!([&banner["value"], &banner["variant"]], expected);
        drawn.insert(expected[0]);
    }
    assert_eq!(drawn.len(), 3);
}

#[test]
fn types_are_shown_as_rules_see_them() {
    let edge = edge();
    for (sent, actual) in [
        (json!("007"), json!(7)),
        (json!(7), json!(7)),
        (json!("7.0"), json!(7.0)),
        (json!(true), json!(true)),
    ] {
        let checkout =
            flag(&edge, "checkout", &json!({"identifier": "x", "traits": {"age": sent}}));
        let met = &rules(&checkout)[1]["conditions"][0];
        assert_eq!(met["actual"], actual);
        assert_eq!(met["matched"], checkout["override"] == "typed");
    }
}

#[test]
fn what_a_flag_depends_on_is_named() {
    let edge = edge();
    let upsell = flag(
        &edge,
        "upsell",
        &json!({"identifier": "bob", "traits": {"plan": "gold", "company.country": "DE", "orders": 7}}),
    );
    assert_eq!(upsell["depends_on"], json!(["checkout"]));
    let names: Vec<&Value> =
        upsell["segments"].as_array().expect("segments").iter().map(|s| &s["name"]).collect();
    assert_eq!(names, ["upsold", "gold", "typed", "a fifth"]);
    assert_eq!((&upsell["value"], &upsell["override"]), (&json!(2.5), &json!("upsold")));
    assert_eq!(rules(&upsell)[0]["conditions"][0]["actual"], "v2");

    let circle = flag(&edge, "loop", &json!({"identifier": "bob"}));
    assert_eq!(circle["reason"], "ERROR; code=CIRCULAR_DEPENDENCY");
    assert_eq!(rules(&circle)[0]["matched"], false);
    let note = rules(&circle)[0]["note"].as_str().expect("a note");
    assert!(note.contains("`loop`, which depends on itself"), "{note}");
    assert_eq!(circle["missing_attributes"], json!([]));
}

#[test]
fn the_entry_is_the_one_that_clients_get() {
    let edge = edge();
    let body =
        json!({"identifier": "bob", "traits": [{"trait_key": "plan", "trait_value": "gold"}]});
    let clients = [
        ("secret", crate::support::secret_key("shop")),
        ("publishable", crate::support::publishable_key("shop")),
    ];
    for (class, key) in clients {
        let caller = edge.anonymous().with("X-Environment-Key", &key);
        let caller = caller.with("Content-Type", "application/json");
        let flags = caller.post("/api/v1/identities/", body.to_string()).json()["flags"].clone();
        let reply =
            ask(&edge, &json!({"environment": "shop", "context": body, "key_class": class}));
        let explained = reply.json()["flags"].as_array().expect("flags").clone();
        assert_eq!(explained.len(), 5, "the operator sees all");
        let entries = explained.iter().map(|flag| &flag["dialects"]["flagsmith"]);
        let shown: Vec<&Value> = entries.filter(|entry| !entry.is_null()).collect();
        assert_eq!(json!(shown), flags);
        let audit = &explained[3];
        assert_eq!(audit["visible_to_publishable"], false);
        assert_eq!(audit["dialects"]["flagsmith"].is_null(), class == "publishable");
    }
}

#[test]
fn traits_that_read_as_paths_count_from_servers_only() {
    let edge = edge();
    let value = |class: &str| {
        let traits = json!({"$.flags.checkout.value": "v2"});
        let question = json!({
            "environment": "shop", "flag": "upsell", "key_class": class,
            "context": {"identifier": "bob", "traits": traits},
        });
        ask(&edge, &question).json()["flags"][0]["value"].clone()
    };
    assert_eq!((value("secret"), value("publishable")), (json!(2.5), Value::Null));
}

#[test]
fn about_nobody_the_flags_of_the_environment_are_explained() {
    let edge = edge();
    let nobody = answer(&edge, &json!({}));
    assert_eq!((&nobody["identity"], &nobody["applies_segments"]), (&Value::Null, &json!(false)));
    let checkout = &nobody["flags"][0];
    assert_eq!((&checkout["value"], &checkout["reason"]), (&json!("v1"), &json!("DEFAULT")));
    assert!(rules(checkout).iter().all(|rule| rule["matched"] == false));
    let banner = &nobody["flags"][1];
    assert_eq!((&banner["variant"], &banner["variants"][0]["hash"]), (&Value::Null, &Value::Null));
    let caller = edge.anonymous().with("X-Environment-Key", &crate::support::secret_key("shop"));
    let flags = caller.get("/api/v1/flags/").json();
    let explained = nobody["flags"].as_array().expect("flags").iter();
    let entries: Vec<&Value> = explained.map(|flag| &flag["dialects"]["flagsmith"]).collect();
    assert_eq!(json!(entries), flags);

    let unnamed = answer(&edge, &json!({"user": {"plan": "gold"}}));
    assert_eq!(unnamed["identity"]["anonymous"], true);
    assert_eq!(unnamed["applies_segments"], true);
}

#[test]
fn what_cannot_be_explained_is_refused_with_the_reason() {
    let edge = edge();
    for (status, question, words) in [
        (404, json!({"environment": "shop", "context": {}, "flag": "nope"}), "no flag `nope`"),
        (400, json!({"environment": "shop", "context": []}), "it must be a JSON object"),
        (
            400,
            json!({"environment": "shop", "context": {"plan": "gold"}}),
            "`plan` is below neither",
        ),
        (
            400,
            json!({"environment": "shop", "context": {"identifier": [1]}}),
            "`identifier` is neither",
        ),
        (400, json!({"environment": "shop", "context": {}, "now": "soon"}), "`now` is not"),
    ] {
        let reply = ask(&edge, &question);
        assert_eq!(reply.status, status, "{reply}");
        let message = reply.json()["error"]["message"].as_str().unwrap_or_default().to_owned();
        assert!(message.contains(words), "{message}");
    }
}
