//! What a context is called on the way from each dialect to each family of rules (DESIGN section 4).

use serde_json::{Value, json};

use crate::flagsmith_rules::{environment, feature, segment};
use crate::support::rules::{document, is, when};
use crate::support::wire::percent_encoded;
use crate::support::{Edge, Environment, Setup};

/// An edge whose flag `match` is on where an attribute of Reflag's has a value.
fn reflag(attribute: &str, value: &str) -> Edge {
    Edge::serving(document(1, &[when("match", &is(attribute, value))]))
}

/// An edge whose feature `match` is on for those with a trait.
fn flagsmith(property: &str, operator: &str, value: &str) -> Edge {
    let nothing = Value::Null;
    let rules = environment(
        &[feature(1, "match", false, &nothing)],
        &[segment(1, "it", (property, operator, value), &[feature(1, "match", true, &nothing)])],
        &[],
        &[],
    );
    Setup::of(Environment::named("shop").holding(rules).format("flagsmith")).start()
}

/// Whether `match` is on for a query of Reflag's.
fn by_reflag(edge: &Edge, query: &str) -> bool {
    let flags = edge.secret().get(&format!("/features/evaluated?{query}")).flags();
    flags["match"]["isEnabled"].as_bool().unwrap()
}

/// Whether it is for a context of OFREP's.
fn by_ofrep(edge: &Edge, context: &Value) -> bool {
    let body = json!({"context": context}).to_string();
    let reply = edge.secret().post("/ofrep/v1/evaluate/flags/match", body);
    assert_eq!(reply.status, 200, "{reply}");
    reply.json()["value"].as_bool().unwrap()
}

/// Whether it is for an identity of Flagsmith's.
fn by_flagsmith(edge: &Edge, identifier: &str, traits: &[(&str, Value)]) -> bool {
    let traits: Vec<_> =
        traits.iter().map(|(key, value)| json!({"trait_key": key, "trait_value": value})).collect();
    let body = json!({"identifier": identifier, "traits": traits}).to_string();
    let reply = edge.secret().post("/api/v1/identities/", body);
    assert_eq!(reply.status, 200, "{reply}");
    reply.json()["flags"][0]["enabled"].as_bool().unwrap()
}

#[test]
fn flagsmiths_traits_are_attributes_of_reflags_rules() {
    for (attribute, value, traits) in [
        ("user.id", "ada", vec![]),
        ("user.plan", "gold", vec![("plan", json!("gold"))]),
        ("user.plan", "1", vec![("plan", json!(1.0))]),
        ("user.plan", "true", vec![("plan", json!(true))]),
        ("user.address.city", "Oslo", vec![("address.city", json!("Oslo"))]),
        ("company.id", "acme", vec![("company.id", json!("acme"))]),
        ("company.plan", "gold", vec![("company.plan", json!("gold"))]),
        ("company.id", "acme", vec![("company_id", json!("acme"))]),
        ("company.id", "acme", vec![("companyId", json!("acme"))]),
        ("company.id", "acme", vec![("company.id", json!("acme")), ("companyId", json!("x"))]),
        ("company.id", "acme", vec![("companyId", json!("x")), ("company_id", json!("acme"))]),
        ("other.region", "eu", vec![("other.region", json!("eu"))]),
        ("user.id", "ada", vec![("id", json!("another"))]),
        ("user.plan", "gold", vec![("plan", json!("x")), ("plan", json!("gold"))]),
    ] {
        assert!(by_flagsmith(&reflag(attribute, value), "ada", &traits), "{attribute} {traits:?}");
    }
    let unset = [("user.plan", "gold", vec![("plan", Value::Null)]), ("user.region", "eu", vec![])];
    for (attribute, value, traits) in unset {
        assert!(!by_flagsmith(&reflag(attribute, value), "ada", &traits), "{attribute} {traits:?}");
    }
}

#[test]
fn a_null_trait_is_missing_to_reflags_rules() {
    let set = json!({"type": "context", "field": "user.plan", "operator": "NOT_SET", "values": []});
    let edge = Edge::serving(document(1, &[when("match", &set)]));
    assert!(by_flagsmith(&edge, "ada", &[("plan", Value::Null)]));
}

#[test]
fn contexts_of_ofrep_are_attributes_of_reflags_rules() {
    for (attribute, value, context) in [
        ("user.id", "ada", json!({"targetingKey": "ada", "user": {"id": "x"}, "userId": "y"})),
        ("user.id", "ada", json!({"targetingKey": null, "user": {"id": "ada"}, "userId": "y"})),
        ("user.id", "ada", json!({"targetingKey": "", "user.id": "ada"})),
        ("user.id", "7", json!({"userId": 7})),
        (
            "user.plan",
            "gold",
            json!({"plan": "x", "traits": {"plan": "y"}, "user": {"plan": "gold"}}),
        ),
        ("user.plan", "gold", json!({"plan": "x", "traits": {"plan": "gold"}})),
        ("user.plan", "gold", json!({"user.plan": "gold", "traits": {"plan": "x"}})),
        ("user.plan", "gold", json!({"plan": "gold"})),
        ("other.plan", "gold", json!({"plan": "gold"})),
        ("other.plan", "gold", json!({"other": {"plan": "gold"}, "plan": "x"})),
        ("other.plan", "gold", json!({"other.plan": "gold"})),
        ("user.address.city", "Oslo", json!({"address": {"city": "Oslo"}})),
        ("user.tags.1", "b", json!({"tags": ["a", "b"]})),
        ("user.score", "1", json!({"score": 1.0})),
        ("company.id", "acme", json!({"company": {"id": "acme"}, "companyId": "x"})),
        ("company.id", "acme", json!({"companyId": "acme"})),
        ("company.id", "acme", json!({"company": "acme"})),
        ("company.id", "acme", json!({"company": "x", "companyId": "acme"})),
        ("company.id", "acme", json!({"company.id": "acme"})),
        ("company.name", "Acme", json!({"companyName": "Acme"})),
        ("company.plan", "gold", json!({"companyPlan": "gold"})),
        ("company.plan.tier", "gold", json!({"company": {"plan": {"tier": "gold"}}})),
        ("user.email", "a@example.com", json!({"email": "a@example.com"})),
        ("user.nothing", "", json!({"nothing": null})),
        // An escape in a name changes nothing.
        ("user.plan", "gold", serde_json::from_str(r#"{"p\u006can": "gold"}"#).unwrap()),
    ] {
        assert!(by_ofrep(&reflag(attribute, value), &context), "{attribute} {context}");
    }
    assert!(!by_ofrep(&reflag("user.id", "ada"), &json!({"id": "ada"})), "an id is not theirs");
}

#[test]
fn queries_of_reflag_are_identities_of_flagsmiths_rules() {
    for (condition, query) in [
        (("$.identity.identifier", "EQUAL", "ada"), "context.user.id=ada".to_owned()),
        (("plan", "EQUAL", "gold"), "context.user.id=ada&context.user.plan=gold".to_owned()),
        (("company.id", "EQUAL", "acme"), "context.user.id=a&context.company.id=acme".to_owned()),
        (
            ("region", "EQUAL", "eu west"),
            "context.user.id=a&context.other.region=eu+west".to_owned(),
        ),
        (
            ("plan", "EQUAL", "gold"),
            "context.user.plan=gold&context.user.id=a&context.other.plan=x".to_owned(),
        ),
        // Text from a query is text, save the two words.
        (("beta", "EQUAL", "true"), "context.user.id=a&context.user.beta=true".to_owned()),
        (("age", "GREATER_THAN", "18"), "context.user.id=a&context.user.age=21".to_owned()),
        (
            ("age", "GREATER_THAN", "18"),
            format!(
                "contextJson={}",
                percent_encoded(r#"{"user":{"id":"a","age":21.5},"company":{},"other":{}}"#)
            ),
        ),
        (
            ("address.city", "EQUAL", "Oslo"),
            format!(
                "context.user.address.city=x&contextJson={}",
                percent_encoded(r#"{"other":{"x":1},"user":{"id":"a","address":{"city":"Oslo"}}}"#)
            ),
        ),
    ] {
        let (property, operator, value) = condition;
        assert!(by_reflag(&flagsmith(property, operator, value), &query), "{condition:?} {query}");
    }
    let nobody = flagsmith("plan", "EQUAL", "gold");
    assert!(!by_reflag(&nobody, "context.user.plan=gold"), "segments need an identity");
}

#[test]
fn contexts_of_ofrep_are_identities_of_flagsmiths_rules() {
    for (condition, context) in [
        (("$.identity.identifier", "EQUAL", "ada"), json!({"targetingKey": "ada"})),
        (("$.identity.identifier", "EQUAL", "ada"), json!({"user": {"id": "ada"}})),
        (("plan", "EQUAL", "gold"), json!({"targetingKey": "a", "plan": "gold"})),
        (
            ("plan", "EQUAL", "gold"),
            json!({"targetingKey": "a", "traits": {"plan": "gold"}, "plan": "x"}),
        ),
        (("id", "EQUAL", "7"), json!({"targetingKey": "a", "id": 7})),
        (("company.id", "EQUAL", "acme"), json!({"targetingKey": "a", "companyId": "acme"})),
        (("companyId", "EQUAL", "acme"), json!({"targetingKey": "a", "companyId": "acme"})),
        (("company.id", "EQUAL", "acme"), json!({"targetingKey": "a", "company": {"id": "acme"}})),
        (("tags", "EQUAL", r#"["a",1]"#), json!({"targetingKey": "a", "tags": ["a", 1]})),
        (("score", "GREATER_THAN", "1"), json!({"targetingKey": "a", "score": 1.5})),
        (("nothing", "IS_NOT_SET", ""), json!({"targetingKey": "a", "nothing": null})),
        (("transient", "IS_NOT_SET", ""), json!({"targetingKey": "a", "transient": true})),
        (("traits", "IS_NOT_SET", ""), json!({"targetingKey": "a", "traits": {"x": 1}})),
    ] {
        let (property, operator, value) = condition;
        assert!(
            by_ofrep(&flagsmith(property, operator, value), &context),
            "{condition:?} {context}"
        );
    }
}

#[test]
fn traits_that_read_as_paths_count_from_secret_keys_only() {
    let edge = flagsmith("$.identity.identifier", "EQUAL", "admin");
    let context = json!({"context": {"targetingKey": "eve", "$.identity.identifier": "admin"}});
    let path = "/ofrep/v1/evaluate/flags/match";
    let ask = |caller: crate::support::wire::Caller| {
        caller.post(path, context.to_string()).json()["value"].clone()
    };
    assert_eq!(ask(edge.publishable()), json!(false));
    assert_eq!(ask(edge.secret()), json!(true));
    let query =
        "/features/evaluated?context.user.id=eve&context.user.%24.identity.identifier=admin";
    assert_eq!(edge.publishable().get(query).flags()["match"]["isEnabled"], json!(false));
    assert_eq!(edge.secret().get(query).flags()["match"]["isEnabled"], json!(true));
}

#[test]
fn bounds_on_contexts_hold_in_every_dialect() {
    let many: serde_json::Map<String, Value> =
        (0..1_001).map(|n| (format!("a{n}"), json!(n))).collect();
    let deep = format!("{}1{}", "{\"a\":".repeat(40), "}".repeat(40));
    let deep: Value = serde_json::from_str(&deep).unwrap();
    let long = "n".repeat(257);
    for edge in [reflag("user.plan", "gold"), flagsmith("plan", "EQUAL", "gold")] {
        for (context, what) in [
            (Value::Object(many.clone()), "more than 1000 members"),
            (json!({"targetingKey": "a", "deep": deep}), "deeper than 32 levels"),
            (json!({long.clone(): 1}), "longer than 256 bytes"),
        ] {
            let body = json!({"context": context}).to_string();
            let reply = edge.secret().post("/ofrep/v1/evaluate/flags", body);
            assert_eq!(reply.status, 400, "{reply}");
            assert_eq!(reply.json()["errorCode"], "INVALID_CONTEXT");
            assert!(reply.text().contains(what), "{reply}");
        }
    }
    let edge = flagsmith("plan", "EQUAL", "gold");
    for query in [
        format!("context.user.{long}=1"),
        format!("context.user.{}=1", vec!["a"; 33].join(".")),
        (0..1_001).map(|n| format!("context.user.a{n}=1")).collect::<Vec<_>>().join("&"),
        "contextJson=%5B%5D".to_owned(),
        "contextJson=%7B".to_owned(),
        format!("contextJson={}", percent_encoded(&json!({"user": {"deep": deep}}).to_string())),
    ] {
        let reply = edge.secret().get(&format!("/features/evaluated?{query}"));
        reply.assert_error(400, "INVALID_REQUEST");
    }
    for body in [
        json!({"identifier": "a", "traits": (0..1_001).map(|n| json!({"trait_key": n.to_string(),
            "trait_value": n})).collect::<Vec<_>>()}),
        json!({"identifier": "a", "traits": [{"trait_key": long, "trait_value": 1}]}),
        json!({"identifier": "a", "deep": deep}),
    ] {
        let reply = edge.secret().post("/api/v1/identities/", body.to_string());
        assert_eq!(
            (reply.status, &reply.json()["status"]),
            (400, &json!("bad_request")),
            "{reply}"
        );
    }
    let long_text =
        json!({"context": {"targetingKey": "a", "plan": "x".repeat(2_001)}}).to_string();
    let reply = edge.secret().post("/ofrep/v1/evaluate/flags", long_text);
    assert_eq!((reply.status, &reply.json()["errorCode"]), (400, &json!("INVALID_CONTEXT")));
}
