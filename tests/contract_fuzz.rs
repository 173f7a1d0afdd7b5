//! The running binary, asked at random from its own description.
//!
//! schemathesis makes requests that the description allows, and such as it does not, from a fixed
//! seed, and checks each answer: no fault of ours, a described status, media type, head and body, no
//! answer without a key, no method that is not described. Everything stays on this machine.
//!
//! Without Python, or without a registry to install the packages from, the tests say so and pass,
//! unless `BURGEE_REQUIRE_SDKS=1` is set. Another release is chosen as
//! `tests/sdk/contract/requirements.in` says.

#![allow(clippy::unwrap_used, clippy::panic, reason = "this is test code throughout")]

mod sdk;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use sdk::{Burgee, Programs, until};
use serde_json::{Value, json};

/// So that a failure happens again.
const SEED: u64 = 20_260_504;

/// Requests that are made up for each operation, beside the examples and the edges of each schema.
const EXAMPLES: u64 = 25;

/// Longest run over one port; most take less than a minute. What takes longer is ended and fails.
const SECONDS: u64 = 600;

/// Which operations answer which status of 5xx by design, whatever the rules.
const UNAVAILABLE: [(&str, u16); 8] = [
    ("reflagFeedback", 503),
    ("reflagPromptingInit", 503),
    ("reflagPromptEvent", 503),
    ("reflagOptIn", 503),
    ("reflagServerStream", 503),
    ("reflagClientStream", 503),
    ("flagsmithStream", 503),
    ("ofrepStream", 503),
];

/// Event streams have no end that the fuzzer would live to see, and it reads answers to their end.
/// So no place is free on any: all else about them is asked at random, and what comes on them is
/// held against the description by `tests/openapi`.
const NO_STREAMS: &str = "[limits]\nstreams = 0\n";

/// The version is so high that no request is held for a later one.
const VERSION: u64 = 9_007_199_254_740_000;

const REFLAG_KEY: &str = "sec_shop_0123456789abcdef";
const FLAGSMITH_KEY: &str = "sec_mall_0123456789abcdef";

fn of_reflag() -> Value {
    let rule = |filter: Value| json!({"filter": filter});
    let always = json!({"type": "constant", "value": true});
    let acme = json!({
        "type": "context", "field": "company.id", "operator": "ANY_OF", "values": ["acme", "a"],
    });
    let half = json!({
        "type": "rolloutPercentage", "key": "half", "partialRolloutAttribute": "user.id",
        "partialRolloutThreshold": 50_000,
    });
    let config = json!({"version": 9, "variants": [
        {"key": "large", "payload": {"limit": 20}, "filter": acme},
        {"key": "small", "payload": null, "filter": always},
    ]});
    json!({"success": true, "flagStateVersion": VERSION, "features": [
        {"key": "open", "targeting": {"version": 1, "rules": [rule(always.clone())]}},
        {"key": "new_checkout", "config": config, "targeting": {"version": 3, "rules": [
            rule(acme.clone()),
        ]}},
        {"key": "half", "targeting": {"version": 1, "rules": [rule(half)]}},
        {"key": "hidden", "secret": true, "targeting": {"version": 1, "rules": []}},
    ]})
}

fn of_flagsmith() -> Value {
    let feature = |id: u32, name: &str, enabled: bool, value: Value| {
        json!({
            "feature": {"id": id, "name": name, "type": "STANDARD"}, "enabled": enabled,
            "feature_state_value": value, "django_id": id, "feature_segment": null,
            "featurestate_uuid": format!("00000000-0000-4000-8000-{id:012}"),
            "multivariate_feature_state_values": [],
        })
    };
    let mut split = feature(13, "split", true, json!("a"));
    split["multivariate_feature_state_values"] = json!([{
        "id": 1, "mv_fs_value_uuid": "10000000-0000-4000-8000-000000000001",
        "percentage_allocation": 50.0,
        "multivariate_feature_option": {"id": 1, "key": "b", "value": "b"},
    }]);
    let gold = json!({"property_": "plan", "operator": "REGEX", "value": "^g(old)?$"});
    json!({
        "id": 1, "api_key": "client", "name": "Shop",
        // In milliseconds it is a version as high as the other one.
        "updated_at": "2026-05-04T09:30:11.204518+00:00",
        "project": {
            "id": 1, "name": "Shop", "hide_disabled_flags": false,
            "server_key_only_feature_ids": [14],
            "organisation": {
                "id": 1, "name": "ACME", "persist_trait_data": true, "stop_serving_flags": false,
                "feature_analytics": false,
            },
            "segments": [{
                "id": 77, "name": "gold",
                "rules": [{"type": "ALL", "conditions": [], "rules": [
                    {"type": "ANY", "conditions": [gold], "rules": []},
                ]}],
                "feature_states": [feature(11, "new_checkout", true, json!("v3-gold"))],
            }],
        },
        "feature_states": [
            feature(11, "new_checkout", true, json!("v2")),
            feature(12, "banner", false, Value::Null),
            split,
            feature(14, "server_only", true, json!(7)),
        ],
        "identity_overrides": [],
    })
}

/// The binary with an environment of either family.
fn start(folder: &Path) -> Burgee {
    let mut config = NO_STREAMS.to_owned();
    for (name, key, format, document) in [
        ("production", REFLAG_KEY, "reflag", of_reflag()),
        ("mall", FLAGSMITH_KEY, "flagsmith", of_flagsmith()),
    ] {
        fs::write(folder.join(format!("{format}.json")), document.to_string()).unwrap();
        let _ = write!(
            config,
            "[[environments]]\nname = {name:?}\npublishable_keys = [\"pub_{name}\"]\n\
             secret_keys = [{key:?}]\n[environments.reflag]\ndefinitions = \"partial\"\n\
             [environments.source]\ntype = \"file\"\npath = \"{format}.json\"\nformat = {format:?}\n"
        );
    }
    let burgee = Burgee::start(folder, &config);
    for key in [REFLAG_KEY, FLAGSMITH_KEY] {
        until("the rules", || burgee.version(key));
    }
    burgee
}

/// Runs schemathesis; fails with its report.
fn fuzz(programs: &Programs, side: &str, url: &str, key: Option<&str>, expected: &[(&str, u16)]) {
    let description = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/admin/openapi.json");
    let headers = key.map_or(json!({}), |key| json!({"Authorization": format!("Bearer {key}")}));
    let told = json!({
        "description": description, "url": url, "side": side, "headers": headers,
        "examples": EXAMPLES, "seconds": SECONDS, "seed": SEED, "expected": expected,
    });
    let mut program = programs.start("fuzz", &told);
    let report = loop {
        let seen = program.seen();
        if seen.get("status").is_some() {
            break seen;
        }
    };
    let text = report["report"].as_str().unwrap();
    assert_eq!(report["status"], 0, "{text}");
}

#[test]
fn the_published_packages_are_installed() {
    Programs::for_contract();
}

#[test]
fn the_description_is_openapi() {
    let Some(programs) = Programs::for_contract() else { return };
    let folder = tempfile::tempdir().unwrap();
    let burgee = start(folder.path());
    let told = json!({"admin": burgee.admin_url()});
    let seen = programs.start("valid", &told).seen_in_the_end();
    assert_eq!(seen, json!({"errors": [], "same": true}));
}

#[test]
fn the_public_port_keeps_to_the_description_over_rules_of_reflag() {
    public(REFLAG_KEY);
}

#[test]
fn the_public_port_keeps_to_the_description_over_rules_of_flagsmith() {
    public(FLAGSMITH_KEY);
}

fn public(key: &str) {
    let Some(programs) = Programs::for_contract() else { return };
    let folder = tempfile::tempdir().unwrap();
    let burgee = start(folder.path());
    fuzz(&programs, "--exclude-tag", &burgee.url(), Some(key), &UNAVAILABLE);
    // It went deep enough to find something.
    for (route, status) in [
        ("/features", 200),
        ("/features/evaluated", 200),
        ("/features/evaluated", 400),
        ("/features/enabled", 200),
        ("/bulk", 200),
        ("/bulk", 400),
        ("/api/v1/flags", 200),
        ("/api/v1/flags", 404),
        ("/api/v1/identities", 200),
        ("/api/v1/identities", 422),
        ("/api/v1/environment-document", 200),
        ("/ofrep/v1/evaluate/flags", 200),
        ("/ofrep/v1/evaluate/flags", 400),
        ("/ofrep/v1/evaluate/flags/{key}", 200),
        ("/ofrep/v1/evaluate/flags/{key}", 404),
        ("/sse/client", 503),
        ("/sse/environments/{key}/stream", 404),
        ("/ofrep/v1/sse", 503),
    ] {
        assert!(burgee.answered(route, status) > 0, "{route} was never answered {status}");
    }
}

#[test]
fn the_admin_port_keeps_to_the_description() {
    let Some(programs) = Programs::for_contract() else { return };
    let folder = tempfile::tempdir().unwrap();
    let burgee = start(folder.path());
    fuzz(&programs, "--include-tag", &burgee.admin_url(), None, &[]);
}

#[test]
fn the_lock_file_has_hashes_and_no_addresses() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk/contract/requirements.txt");
    let lock = fs::read_to_string(file).unwrap();
    let mut packages = 0;
    for line in lock.lines().filter(|line| !line.trim_start().starts_with('#')) {
        assert!(!line.contains("://"), "{line}");
        if line.starts_with(' ') {
            assert!(line.trim_start().starts_with("--hash=sha256:"), "{line}");
        } else {
            assert!(line.contains("==") && line.ends_with('\\'), "{line}");
            packages += 1;
        }
    }
    assert!(packages > 10, "only {packages}");
}
