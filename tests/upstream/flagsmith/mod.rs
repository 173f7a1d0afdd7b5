//! Environments that follow a Flagsmith upstream.

mod documents;
mod outages;
mod pages;

use serde_json::{Value, json};

use crate::fake_upstream::{Document, Reply, Upstream};
use crate::following::SHOP;
use crate::support::wire::{Caller, Reply as Answered};
use crate::support::{Edge, Environment, Setup, at, publishable_key, secret_key};

/// Where the document is.
const PATH: &str = "/api/v1/environment-document/";

/// The server key that the upstream is asked with.
const SERVER_KEY: &str = "ser.upstream0123456789";

/// A feature state that is on and has this value.
fn state(id: u32, name: &str, value: &Value) -> Value {
    json!({
        "feature": {"id": id, "name": name, "type": "STANDARD"}, "enabled": true,
        "feature_state_value": value, "django_id": 100 + id,
        "featurestate_uuid": format!("00000000-0000-0000-0000-{id:012}"),
        "feature_segment": null, "multivariate_feature_state_values": [],
    })
}

/// What an identity is given.
fn overridden(identifier: &str, value: &str) -> Value {
    json!({
        "identifier": identifier, "environment_api_key": "client", "identity_traits": [],
        "identity_features": [state(1, "open", &json!(value))],
    })
}

/// The moment of a version.
fn moment(version: u32) -> String {
    format!("2026-05-01T10:{:02}:{:02}.250000+00:00", version / 60, version % 60)
}

/// The number that clients see of a version.
fn number(version: u32) -> u64 {
    let moment = format!("2026-05-01T10:{:02}:{:02}.250Z", version / 60, version % 60);
    u64::try_from(at(&moment).0).expect("it is after 1970")
}

/// A public feature, one for servers, and one by which versions can be told apart; a segment and an
/// identity that see another value.
fn document(version: u32) -> Value {
    let gold = json!([{"type": "ALL", "rules": [], "conditions": [
        {"property_": "plan", "operator": "EQUAL", "value": "gold"},
    ]}]);
    json!({
        "id": 1, "api_key": "client", "name": "Shop", "updated_at": moment(version),
        "allow_client_traits": true, "hide_sensitive_data": false, "hide_disabled_flags": null,
        "project": {
            "id": 5, "name": "Shop", "hide_disabled_flags": false, "enable_realtime_updates": false,
            "server_key_only_feature_ids": [2],
            "organisation": {"id": 2, "name": "ACME", "persist_trait_data": true},
            "segments": [{
                "id": 7, "name": "gold", "rules": gold,
                "feature_states": [state(1, "open", &json!("for gold"))],
            }],
        },
        "feature_states": [
            state(1, "open", &json!("v1")), state(2, "hidden", &json!("treasure")),
            state(3, &format!("since-{version}"), &Value::Null),
        ],
        "identity_overrides": [overridden("ada", "hers")],
    })
}

fn good(version: u32) -> Reply {
    Reply::json(200, &document(version))
}

/// An upstream that is well.
fn serving(version: u32) -> Upstream {
    let upstream = Upstream::serving(Document::empty(0));
    upstream.answer(PATH, good(version));
    upstream
}

/// An environment that follows it, by polls alone.
fn following(upstream: &Upstream, poll_interval: &str, timeout: &str) -> Environment {
    Environment::named(SHOP).source(format!(
        "type = \"flagsmith\"\nurl = \"{}/api/v1\"\nserver_key = {SERVER_KEY:?}\n\
         poll_interval = {poll_interval:?}\ntimeout = {timeout:?}\npush = false",
        upstream.url()
    ))
}

/// A server that follows it, patiently.
fn start(upstream: &Upstream) -> Edge {
    Setup::of(following(upstream, "100ms", "60s")).start()
}

fn keyed(edge: &Edge, key: &str) -> Caller {
    edge.anonymous().with("X-Environment-Key", key).with("Content-Type", "application/json")
}

fn client(edge: &Edge) -> Caller {
    keyed(edge, &publishable_key(SHOP))
}

fn server(edge: &Edge) -> Caller {
    keyed(edge, &secret_key(SHOP))
}

/// Asks about somebody who is gold.
fn identity(caller: &Caller, identifier: &str) -> Answered {
    let traits = json!([{"trait_key": "plan", "trait_value": "gold"}]);
    let body = json!({"identifier": identifier, "traits": traits});
    caller.post("/api/v1/identities/", body.to_string())
}

/// What clients with either key are told on every route, byte for byte but for the dates.
fn answers(edge: &Edge) -> Vec<String> {
    let (client, server) = (client(edge), server(edge));
    let asked = [
        client.get("/api/v1/flags/"),
        client.get("/api/v1/flags/?feature=open"),
        client.get("/api/v1/flags/?feature=hidden"),
        client.get("/api/v1/identities/?identifier=bob"),
        identity(&client, "bob"),
        identity(&client, "ada"),
        identity(&server, "ada"),
        server.get("/api/v1/flags/"),
        server.get("/api/v1/environment-document/"),
    ];
    asked.into_iter().map(|reply| reply.without_date().to_string()).collect()
}

/// Asserts that clients are told to come again later, whatever their key.
#[track_caller]
fn assert_not_ready(edge: &Edge) {
    let (client, server) = (client(edge), server(edge));
    for reply in [
        client.get("/api/v1/flags/"),
        client.get("/api/v1/identities?identifier=bob"),
        identity(&server, "ada"),
        server.get("/api/v1/environment-document"),
    ] {
        assert_eq!(reply.status, 503, "{reply}");
        let expected =
            json!({"status": "service_unavailable", "message": "Environment not loaded"});
        assert_eq!(reply.json(), expected);
        assert!(reply.header("retry-after").is_some(), "{reply}");
    }
}

/// Waits until this version is served and nothing is wrong any more; asserts that clients with
/// either key have it.
#[track_caller]
fn until_well(edge: &Edge, version: u64) {
    let status =
        edge.until_status(SHOP, |status| status["state"] == "live" && status["version"] == version);
    assert_eq!(status["source"]["last_error"], Value::Null);
    assert_eq!(status["source"]["consecutive_failures"], 0);
    for reply in [
        client(edge).get("/api/v1/flags/"),
        identity(&client(edge), "bob"),
        server(edge).get("/api/v1/environment-document/"),
    ] {
        assert_eq!(reply.status, 200, "{reply}");
        assert_eq!(reply.header("burgee-version"), Some(&*version.to_string()));
    }
    assert_eq!(edge.admin().get("/health/ready").status, 200);
}

/// Names of the features that a client key sees.
fn shown(edge: &Edge) -> Vec<String> {
    let flags = client(edge).get("/api/v1/flags/").json();
    let names = flags.as_array().expect("flags").iter().map(|flag| &flag["feature"]["name"]);
    names.map(|name| name.as_str().expect("a name").to_owned()).collect()
}

/// The value of the public feature for somebody.
fn value_for(edge: &Edge, identifier: &str) -> Value {
    let reply = identity(&client(edge), identifier);
    assert_eq!(reply.status, 200, "{reply}");
    reply.json()["flags"][0]["feature_state_value"].clone()
}
