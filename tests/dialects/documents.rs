//! The rules themselves, in the words of the other vendor (DESIGN section 4).

use serde_json::{Value, json};

use crate::flagsmith_rules::{environment, feature, segment};
use crate::support::rules::{document, is, on, secret, when, with_payload};
use crate::support::{Edge, Environment, Setup};

const DOCUMENT: &str = "/api/v1/environment-document/";

/// Rules of Flagsmith's that have an exact equal, and where `and` says so one flag that has none.
fn of_flagsmith(and: &[(&str, &str, &str)]) -> String {
    let nothing = Value::Null;
    let mut features = vec![
        feature(1, "plain", true, &json!("v1")),
        feature(2, "gold", false, &nothing),
        feature(3, "ledger", true, &nothing),
    ];
    let mut segments =
        vec![segment(1, "gold", ("plan", "EQUAL", "gold"), &[feature(2, "gold", true, &nothing)])];
    for (condition, id) in and.iter().zip(10..) {
        let name = format!("by {}", condition.1);
        features.push(feature(id, &name, false, &nothing));
        segments.push(segment(id, &name, *condition, &[feature(id, &name, true, &nothing)]));
    }
    environment(&features, &segments, &[], &[3])
}

fn serve(format: &'static str, rules: String, definitions: &str) -> Edge {
    let environment = Environment::named("shop").holding(rules).format(format);
    Setup::of(environment.table("reflag", &format!("definitions = {definitions:?}"))).start()
}

fn keys(definitions: &Value) -> Vec<&str> {
    let features = definitions["features"].as_array().unwrap();
    features.iter().map(|flag| flag["key"].as_str().unwrap()).collect()
}

#[test]
fn flagsmiths_rules_are_definitions_where_all_of_them_have_an_equal() {
    let edge = serve("flagsmith", of_flagsmith(&[]), "complete");
    let reply = edge.secret().get("/features");
    assert_eq!(reply.status, 200, "{reply}");
    let definitions = reply.json();
    assert_eq!(keys(&definitions), ["plain", "gold", "ledger"]);
    assert_eq!(definitions["flagStateVersion"], edge.status("shop")["version"]);
    assert_eq!(definitions["features"][2]["secret"], true, "{reply}");
    assert_eq!(reply.header("burgee-untranslated"), None);
    assert!(reply.header("age").is_some() && reply.header("burgee-version").is_some());
    let again = edge.secret().with("If-None-Match", &reply.etag()).get("/features");
    assert_eq!((again.status, again.body.len()), (304, 0));
    edge.publishable().get("/features").assert_error(403, "FORBIDDEN_KEY");
    assert_eq!(edge.status("shop")["untranslated"], json!([]));
}

#[test]
fn a_burgee_behind_evaluates_translated_definitions_as_the_first_one_does() {
    let edge = serve("flagsmith", of_flagsmith(&[]), "complete");
    let definitions = edge.secret().get("/features").text();
    let behind = Edge::serving(definitions);
    for plan in ["gold", "true", "Gold", ""] {
        let query = format!("/features/evaluated?context.user.id=ada&context.user.plan={plan}");
        let is_on =
            |edge: &Edge| edge.publishable().get(&query).flags()["gold"]["isEnabled"].clone();
        assert_eq!(is_on(&edge), is_on(&behind), "{plan}");
        assert_eq!(edge.publishable().get(&query).keys(), behind.publishable().get(&query).keys());
    }
}

#[test]
fn a_flag_without_an_equal_is_501_or_left_out_and_named() {
    let rules = || of_flagsmith(&[("age", "MODULO", "2|1"), ("plan", "REGEX", "g+")]);
    let complete = serve("flagsmith", rules(), "complete");
    let refused = complete.secret().get("/features");
    refused.assert_error(501, "NOT_AVAILABLE");
    let message = refused.json()["error"]["message"].as_str().unwrap().to_owned();
    for part in ["by MODULO", "by REGEX", "remotely", "reflag.definitions = \"partial\""] {
        assert!(message.contains(part), "{message}");
    }
    let partial = serve("flagsmith", rules(), "partial");
    let reply = partial.secret().get("/features");
    assert_eq!(keys(&reply.json()), ["plain", "gold", "ledger"]);
    assert_eq!(reply.header("burgee-untranslated"), Some("by%20MODULO, by%20REGEX"));
    for edge in [complete, partial] {
        let status = edge.until_status("shop", |status| status["untranslated"] != json!([]));
        let untranslated = status["untranslated"].as_array().unwrap();
        assert_eq!(untranslated.len(), 2);
        assert_eq!(untranslated[0]["flag"], "by MODULO");
        assert_eq!(untranslated[0]["dialect"], "reflag");
        assert!(!untranslated[0]["reason"].as_str().unwrap().is_empty());
        let labels = [("environment", "shop"), ("dialect", "reflag")];
        assert_eq!(edge.metrics().count("burgee_flags_untranslated", &labels), 2);
    }
}

#[test]
fn reflags_rules_are_an_environment_document_where_all_of_them_have_an_equal() {
    let rules = document(
        7,
        &[
            with_payload(on("chat"), "large", &json!({"limit": 20})),
            when("gold", &is("user.plan", "gold")),
            secret(on("ledger")),
        ],
    );
    let edge = serve("reflag", rules, "complete");
    let reply = edge.secret().get(DOCUMENT);
    assert_eq!(reply.status, 200, "{reply}");
    let environment = reply.json();
    let names: Vec<_> = environment["feature_states"]
        .as_array()
        .unwrap()
        .iter()
        .map(|state| state["feature"]["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["chat", "gold", "ledger"]);
    let hidden = environment["project"]["server_key_only_feature_ids"].as_array().unwrap();
    assert_eq!(hidden.len(), 1);
    let again = edge.secret().with("If-None-Match", &reply.etag()).get(DOCUMENT);
    assert_eq!((again.status, again.body.len()), (304, 0));
    assert_eq!(edge.publishable().get(DOCUMENT).status, 401);
}

#[test]
fn a_flag_of_reflags_without_an_equal_is_501_in_flagsmiths_shape() {
    let half = json!({"type": "rolloutPercentage", "key": "half", "partialRolloutAttribute": "user.id",
        "partialRolloutThreshold": 50_000});
    let rules = || document(7, &[on("plain"), when("half", &half)]);
    let refused = serve("reflag", rules(), "complete").secret().get(DOCUMENT);
    assert_eq!((refused.status, &refused.json()["status"]), (501, &json!("not_implemented")));
    assert!(refused.json()["message"].as_str().unwrap().contains("half"), "{refused}");
    let reply = serve("reflag", rules(), "partial").secret().get(DOCUMENT);
    assert_eq!((reply.status, reply.header("burgee-untranslated")), (200, Some("half")));
}

#[test]
fn a_document_is_translated_anew_when_the_rules_change() {
    let edge = serve("reflag", document(7, &[on("a")]), "complete");
    let first = edge.secret().get(DOCUMENT);
    edge.publish("shop", &document(8, &[on("a"), on("b")]));
    let second = edge.secret().with("If-None-Match", &first.etag()).get(DOCUMENT);
    assert_eq!(second.status, 200, "{second}");
    assert_eq!(second.json()["feature_states"].as_array().unwrap().len(), 2);
}
