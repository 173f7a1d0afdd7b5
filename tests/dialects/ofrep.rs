//! What the acceptance cases leave open: tags, order, suffixes, time, refusals.

use serde_json::{Value, json};

use crate::flagsmith_rules::{environment, feature, identity, segment, split};
use crate::support::rules::{context, document, flag, is, on, secret, when, with_payload};
use crate::support::wire::Reply;
use crate::support::{Edge, Environment, Setup};

const ALL: &str = "/ofrep/v1/evaluate/flags";

fn one(edge: &Edge, key: &str, context: &Value) -> Reply {
    let body = json!({"context": context}).to_string();
    edge.publishable().post(&format!("{ALL}/{key}"), body)
}

fn all(edge: &Edge, context: &Value) -> Reply {
    edge.publishable().post(ALL, json!({"context": context}).to_string())
}

fn keys(reply: &Reply) -> Vec<String> {
    assert_eq!(reply.status, 200, "{reply}");
    let flags = reply.json()["flags"].as_array().unwrap().clone();
    flags.iter().map(|flag| flag["key"].as_str().unwrap().to_owned()).collect()
}

fn flagsmith(rules: String) -> Edge {
    Setup::of(Environment::named("shop").holding(rules).format("flagsmith")).start()
}

#[test]
fn a_rule_about_time_that_crosses_its_instant_changes_the_tag_alone() {
    let before = context("user.born", "BEFORE", &["1"]);
    let edge = Edge::serving(document(1, &[when("grown", &before)]));
    let context = json!({"targetingKey": "ada", "born": "2026-06-01T00:00:00Z"});
    let early = all(&edge, &context);
    assert_eq!(early.json()["flags"][0]["value"], false);
    let with_tag = || edge.publishable().with("If-None-Match", &early.etag());
    let body = json!({"context": context}).to_string();
    assert_eq!(with_tag().post(ALL, &body).status, 304);
    edge.now_is("2026-06-02T00:00:01Z");
    let late = with_tag().post(ALL, &body);
    assert_eq!(late.status, 200, "{late}");
    assert_eq!(late.json()["flags"][0]["value"], true);
    assert_eq!(late.header("burgee-version"), early.header("burgee-version"));
}

#[test]
fn a_change_that_nobody_sees_leaves_the_tag_alone() {
    let edge = Edge::serving(document(1, &[on("a"), secret(on("b"))]));
    let first = all(&edge, &json!({}));
    edge.publish("shop", &document(2, &[on("a"), secret(flag("b", &[]))]));
    let second = edge.publishable().with("If-None-Match", &first.etag()).post(ALL, "{}");
    assert_eq!(second.status, 304, "{second}");
    assert_eq!(second.header("etag"), first.header("etag"));
    assert_eq!(second.header("burgee-version"), Some("2"));
}

#[test]
fn environments_and_classes_of_keys_do_not_share_tags() {
    let rules = document(1, &[on("a")]);
    let shop = Environment::named("shop").holding(rules.clone());
    let edge = Setup::of(shop).and(Environment::named("blog").holding(rules)).start();
    let tags = [
        edge.publishable().post(ALL, "{}").etag(),
        edge.secret().post(ALL, "{}").etag(),
        edge.publishable_of("blog").post(ALL, "{}").etag(),
    ];
    assert!(tags[0] != tags[1] && tags[0] != tags[2] && tags[1] != tags[2], "{tags:?}");
}

#[test]
fn keys_are_listed_in_byte_order_with_the_forms_that_add_something() {
    let chat = with_payload(on("chat"), "large", &json!({"limit": 20}));
    let edge = Edge::serving(document(1, &[on("zeta"), chat, on("chat-2"), on("alpha")]));
    let listed = keys(&all(&edge, &json!({})));
    assert_eq!(listed, ["alpha", "chat", "chat-2", "chat:value", "chat:variant", "zeta"]);
    let nothing = Value::Null;
    let rules = environment(
        &[
            feature(1, "text", true, &json!("hello")),
            feature(2, "object", true, &json!("{\"a\": 1}")),
            feature(3, "plain", true, &nothing),
            split(feature(4, "banner", true, &json!("a")), &[("b", json!("b"), 50.0)]),
        ],
        &[],
        &[],
        &[],
    );
    let listed = keys(&all(&flagsmith(rules), &json!({"targetingKey": "ada"})));
    assert_eq!(
        listed,
        [
            "banner",
            "banner:enabled",
            "banner:variant",
            "object",
            "object:enabled",
            "object:json",
            "plain",
            "text",
            "text:enabled",
        ]
    );
}

#[test]
fn a_flag_of_the_full_name_comes_before_a_suffix() {
    let chat = with_payload(on("chat"), "large", &json!("from chat"));
    let own = with_payload(on("chat:value"), "only", &json!("its own"));
    let edge = Edge::serving(document(1, &[chat, own]));
    let reply = one(&edge, "chat:value", &json!({})).json();
    assert_eq!((&reply["value"], &reply["variant"]), (&json!(true), &json!("only")));
    let nested = one(&edge, "chat:value:value", &json!({})).json();
    assert_eq!(nested["value"], "its own");
    let listed = keys(&all(&edge, &json!({})));
    assert_eq!(listed.iter().filter(|key| *key == "chat:value").count(), 1, "{listed:?}");
}

#[test]
fn reasons_say_what_kind_of_rule_decided() {
    let half = json!({"type": "rolloutPercentage", "key": "s", "partialRolloutAttribute": "user.id",
        "partialRolloutThreshold": 99_999});
    let edge = Edge::serving(document(
        1,
        &[
            on("always"),
            flag("never", &[]),
            when("gold", &is("user.plan", "gold")),
            when("half", &half),
        ],
    ));
    let reason = |key: &str| {
        let reply = one(&edge, key, &json!({"targetingKey": "ada", "plan": "gold"})).json();
        (
            reply["reason"].as_str().unwrap().to_owned(),
            reply["variant"].as_str().unwrap().to_owned(),
        )
    };
    let told = |reason: &str, variant: &str| (reason.to_owned(), variant.to_owned());
    assert_eq!(reason("always"), told("STATIC", "on"));
    assert_eq!(reason("never"), told("DEFAULT", "off"));
    assert_eq!(reason("gold"), told("TARGETING_MATCH", "on"));
    assert_eq!(reason("half"), told("SPLIT", "on"));
    let rules = environment(
        &[
            feature(1, "static", true, &json!("a")),
            feature(2, "off", false, &json!("a")),
            feature(3, "gold", false, &Value::Null),
            split(feature(4, "split", true, &json!("a")), &[("b", json!("b"), 100.0)]),
            split(feature(5, "control", true, &json!("a")), &[("b", json!("b"), 0.0)]),
            feature(6, "mine", true, &json!("a")),
        ],
        &[segment(
            1,
            "gold ones",
            ("plan", "EQUAL", "gold"),
            &[feature(3, "gold", true, &Value::Null)],
        )],
        &[identity("ada", &[feature(6, "mine", true, &json!("hers"))])],
        &[],
    );
    let edge = flagsmith(rules);
    let told = |key: &str| {
        let reply = one(&edge, key, &json!({"targetingKey": "ada", "plan": "gold"})).json();
        let mut told = reply.clone();
        told.as_object_mut().unwrap().remove("key");
        told
    };
    assert_eq!(
        told("static"),
        json!({"value": "a", "reason": "STATIC", "variant": "",
            "metadata": {"featureId": 1, "enabled": true}})
    );
    assert_eq!(
        told("off"),
        json!({"reason": "DISABLED", "variant": "", "metadata": {"featureId": 2, "enabled": false}})
    );
    assert_eq!(told("off:enabled")["value"], false);
    assert_eq!(
        told("gold"),
        json!({"value": true, "reason": "TARGETING_MATCH", "variant": "",
            "metadata": {"featureId": 3, "enabled": true, "segment": "gold ones"}})
    );
    assert_eq!(
        told("split"),
        json!({"value": "b", "reason": "SPLIT", "variant": "b",
            "metadata": {"featureId": 4, "enabled": true, "weight": 100.0}})
    );
    let control = told("control");
    assert_eq!((&control["reason"], &control["variant"]), (&json!("DEFAULT"), &json!("control")));
    let mine = told("mine");
    assert_eq!((&mine["reason"], &mine["value"]), (&json!("TARGETING_MATCH"), &json!("hers")));
    assert_eq!(told("split:variant")["value"], "b");
}

#[test]
fn a_bare_key_stands_for_what_the_settings_say() {
    let chat = with_payload(on("chat"), "large", &json!("payload"));
    let rules = document(1, &[chat, on("plain")]);
    for (setting, chat, plain) in [
        ("auto", json!(true), json!(true)),
        ("enabled", json!(true), json!(true)),
        ("value", json!("payload"), Value::Null),
    ] {
        let environment = Environment::named("shop").holding(rules.clone());
        let edge =
            Setup::of(environment.table("ofrep", &format!("bare_key = {setting:?}"))).start();
        assert_eq!(one(&edge, "chat", &json!({})).json()["value"], chat, "{setting}");
        assert_eq!(one(&edge, "plain", &json!({})).json()["value"], plain, "{setting}");
    }
    let rules = environment(&[feature(1, "text", true, &json!("hello"))], &[], &[], &[]);
    let shop = Environment::named("shop").holding(rules).format("flagsmith");
    let edge = Setup::of(shop.table("ofrep", "bare_key = \"enabled\"")).start();
    assert_eq!(one(&edge, "text", &json!({})).json()["value"], true);
    assert_eq!(one(&edge, "text:value", &json!({})).json()["value"], "hello");
}

#[test]
fn flagsmiths_names_are_found_folded_too() {
    let rules = environment(&[feature(1, "New Checkout", true, &json!("v2"))], &[], &[], &[]);
    let edge = flagsmith(rules);
    for key in ["New%20Checkout", "new_checkout", "NEW_checkout:value"] {
        let reply = one(&edge, key, &json!({})).json();
        assert_eq!(reply["value"], "v2", "{key}");
    }
    assert_eq!(one(&edge, "new_checkout", &json!({})).json()["key"], "new_checkout");
    assert_eq!(one(&edge, "newcheckout", &json!({})).status, 404);
}

#[test]
fn hidden_and_unknown_flags_give_the_same_answer() {
    let edge = Edge::serving(document(1, &[on("open"), secret(on("ledger"))]));
    let unknown = one(&edge, "nothing", &json!({}));
    let hidden = one(&edge, "ledger", &json!({}));
    assert_eq!(hidden.status, 404);
    assert_eq!(
        unknown.text().replace("nothing", "ledger"),
        hidden.text(),
        "but for the key they are the same"
    );
    assert_eq!(one(&edge, "ledger:value", &json!({})).status, 404);
    assert_eq!(keys(&all(&edge, &json!({}))), ["open"]);
    let secret = edge.secret().post(&format!("{ALL}/ledger"), "");
    assert_eq!(secret.status, 200, "an empty body is an empty context: {secret}");
}

#[test]
fn a_flag_that_cannot_be_evaluated_is_a_parse_error_for_servers() {
    let broken = json!({"key": "broken", "targeting": {"version": 1}});
    let edge = Edge::serving(document(1, &[on("good"), broken]));
    let reply = edge.secret().post(&format!("{ALL}/broken"), "{}");
    assert_eq!((reply.status, &reply.json()["errorCode"]), (400, &json!("PARSE_ERROR")));
    assert_eq!(reply.json()["key"], "broken");
    assert_eq!(one(&edge, "broken", &json!({})).status, 404);
    assert_eq!(keys(&all(&edge, &json!({}))), ["good"]);
}

#[test]
fn stale_rules_are_marked_in_metadata_where_that_is_asked_for() {
    let shop = Environment::named("shop").holding(document(1, &[on("a")]));
    let shop = shop.says("max_staleness = \"1h\"").says("on_stale = \"mark\"");
    let edge = Setup::of(shop).start();
    let fresh = all(&edge, &json!({}));
    assert_eq!(fresh.json().get("metadata"), None);
    edge.lose_rules("shop");
    edge.now_is("2026-06-01T14:00:00Z");
    let stale = all(&edge, &json!({}));
    assert_eq!(stale.json()["metadata"], json!({"stale": true}), "{stale}");
    assert_eq!(stale.header("burgee-state"), Some("stale"));
    assert!(stale.header("age").is_some());
    assert_ne!(stale.etag(), fresh.etag());
    let one = one(&edge, "a", &json!({}));
    assert_eq!(one.json()["metadata"]["stale"], true, "{one}");
}

#[test]
fn refusals_have_the_protocols_shape_and_name_the_flag() {
    let edge = Edge::serving(document(1, &[on("a")]));
    let path = format!("{ALL}/a%2Fb");
    let shape = |reply: &Reply, status: u16, key: Option<&str>| {
        assert_eq!(reply.status, status, "{reply}");
        assert_eq!(reply.header("content-type"), Some("application/json"));
        let body = reply.json();
        assert!(body["errorCode"].is_string() && body["errorDetails"].is_string(), "{reply}");
        assert_eq!(body["metadata"], json!({}));
        assert_eq!(body.get("key").and_then(Value::as_str), key, "{reply}");
        assert_eq!(body.get("value"), None);
    };
    shape(&edge.anonymous().post(&path, "{}"), 401, Some("a/b"));
    shape(&edge.anonymous().post(ALL, "{}"), 401, None);
    let wrong = edge.publishable().get(&path);
    shape(&wrong, 405, Some("a/b"));
    assert_eq!(wrong.header("allow"), Some("POST"));
    shape(&edge.publishable().post(&path, vec![b'x'; 2 << 20]), 413, Some("a/b"));
    shape(&edge.publishable().post(&path, b"\xff"), 400, Some("a/b"));
    shape(&edge.publishable().post("/ofrep/v1/configuration", "{}"), 404, None);
    let empty = Setup::of(Environment::named("shop")).start();
    let not_ready = empty.publishable().post(ALL, "{}");
    shape(&not_ready, 503, None);
    assert_eq!(not_ready.header("retry-after"), Some("5"));
    let encoded = edge.publishable().with("Content-Encoding", "gzip").post(ALL, "{}");
    shape(&encoded, 415, None);
}

#[test]
fn requests_and_evaluations_are_counted_by_dialect() {
    let edge = Edge::serving(document(1, &[on("a")]));
    let _ = (one(&edge, "a", &json!({})), one(&edge, "b", &json!({})), all(&edge, &json!({})));
    let metrics = edge.metrics();
    let requests = |route: &str, status: &str| {
        let labels = [("dialect", "ofrep"), ("route", route), ("status", status)];
        metrics.count("burgee_http_requests_total", &labels)
    };
    assert_eq!(requests("/ofrep/v1/evaluate/flags/{key}", "200"), 1);
    assert_eq!(requests("/ofrep/v1/evaluate/flags/{key}", "404"), 1);
    assert_eq!(requests("/ofrep/v1/evaluate/flags", "200"), 1);
    let labels = [("environment", "shop"), ("dialect", "ofrep")];
    assert_eq!(metrics.count("burgee_evaluations_total", &labels), 2);
}
