//! The running binary, asked at random from its own descriptions.
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
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use burgee::origin::api::routes::ROUTES;
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

/// A port, and what it is asked.
struct Asked<'a> {
    url: &'a str,
    description: &'a Path,
    /// Which tags.
    tags: [&'a str; 2],
    key: Option<&'a str>,
    /// Which operations answer which status of 5xx by design.
    expected: &'a [(&'a str, u16)],
}

/// Where a description is kept.
fn kept(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(folder).join("openapi.json")
}

/// Runs schemathesis; fails with its report.
fn fuzz(programs: &Programs, asked: &Asked<'_>) {
    let Asked { url, description, tags, key, expected } = asked;
    let headers = key.map_or(json!({}), |key| json!({"Authorization": format!("Bearer {key}")}));
    let told = json!({
        "description": description, "url": url, "tags": tags, "headers": headers,
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
fn the_descriptions_are_openapi() {
    let Some(programs) = Programs::for_contract() else { return };
    let folder = tempfile::tempdir().unwrap();
    let origin = Origin::start(folder.path());
    for url in [origin.burgee.admin_url(), origin.url] {
        let seen = programs.start("valid", &json!({"url": url})).seen_in_the_end();
        assert_eq!(seen, json!({"errors": [], "same": true}), "{url}");
    }
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
    let asked = Asked {
        url: &burgee.url(),
        description: &kept("admin"),
        tags: ["--exclude-tag", "Admin"],
        key: Some(key),
        expected: &UNAVAILABLE,
    };
    fuzz(&programs, &asked);
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
    let asked = Asked {
        url: &burgee.admin_url(),
        description: &kept("admin"),
        tags: ["--include-tag", "Admin"],
        key: None,
        expected: &[],
    };
    fuzz(&programs, &asked);
}

const SHOP: &str = r#"
[app]
name = "Northwind Shop"
[[environments]]
name = "Production"
production = true
[[environments]]
name = "Staging"
[[members]]
name = "Ada"
email = "ada@northwind.test"
[[segments]]
name = "Paying"
rules = [{ conditions = [{ attribute = "company.plan", operator = "ANY_OF", values = ["pro", "team"] }] }]
[[flags]]
key = "new-checkout-flow"
name = "New checkout flow"
[[flags.variants]]
key = "small"
payload = { model = "mini" }
[[flags.variants]]
key = "large"
payload = { model = "maxi" }
[[flags]]
key = "search-v2"
name = "Search"
stage = "Beta"
[[targeting]]
flag = "search-v2"
environment = "Production"
companies = ["acme-corp"]
"#;

/// An origin with a shop.
struct Origin {
    burgee: Burgee,
    url: String,
    /// With every scope.
    key: String,
    secret: String,
    /// The description, which knows what is there.
    description: PathBuf,
}

impl Origin {
    fn start(folder: &Path) -> Self {
        let run = |arguments: &[&str]| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_burgee"));
            command.arg("origin").args(arguments).args(["--config", "burgee.toml"]);
            let output = command.current_dir(folder).env_clear().output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap()
        };
        // The binary says where its first two ports are, not its third.
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let config = format!(
            "[origin]\nlisten = \"{address}\"\ndatabase = \"sqlite:origin.db\"\n\
             [[environments]]\nname = \"shop\"\n[environments.source]\ntype = \"origin\"\n\
             app = \"Northwind Shop\"\nenvironment = \"production\"\n"
        );
        let burgee = Burgee::start(folder, &config);
        fs::write(folder.join("shop.toml"), SHOP).unwrap();
        run(&["apply", "shop.toml"]);
        let apps: Value = serde_json::from_str(&run(&["apps", "--json"])).unwrap();
        let id = apps[0]["id"].as_str().unwrap();
        let scopes =
            "create:flag,write:flag,write:flag:targeting,write:entities,write:app,write:keys";
        let key = run(&["create-api-key", "--app", id, "--scopes", scopes]).trim().to_owned();
        let other = run(&["create-api-key", "--app", id, "--scopes", "read"]).trim().to_owned();
        let url = format!("http://{address}");
        let get = |path: &str| sdk::get_json(address, path, &key);
        let app = get(&format!("/api/apps/{id}"));
        let description = folder.join("openapi.json");
        let text = fs::read_to_string(kept("origin")).unwrap();
        let flags = get(&format!("/api/apps/{id}/flags"));
        let of = |list: &str, name: &str| {
            let mut all = app[list].as_array().unwrap().iter();
            all.find(|one| one["name"] == name).unwrap()["id"].as_str().unwrap().to_owned()
        };
        // Examples name what is there.
        let (stage, segment) = (of("stages", "Internal"), of("segments", "Paying"));
        let (production, staging) =
            (of("environments", "Production"), of("environments", "Staging"));
        let mut text = text;
        for (example, there) in [
            ("ap4kT9sVb2Xy7L", id),
            ("enP1qW8rT5yU3i", &production),
            ("stB3nM6kL9pQ2w", &stage),
            ("sgH7jK2lZ9xC4v", &segment),
        ] {
            text = text.replace(example, there);
        }
        // And so does what is made up, unless it is meant to be wrong.
        let mut document: Value = serde_json::from_str(&text).unwrap();
        for (parameter, there) in [
            ("AppId", json!([id])),
            ("EnvironmentId", json!([production, staging])),
            ("EnvId", json!([production])),
            ("FlagId", json!([flags["data"][0]["id"], "search-v2"])),
            ("FlagKey", json!(["new-checkout-flow", "search-v2"])),
            ("ApiKeyId", json!([&other[..8]])),
            ("StageId", json!([stage])),
            ("SegmentId", json!([segment])),
        ] {
            document["components"]["parameters"][parameter]["schema"] = json!({"enum": there});
        }
        // Event streams have no end that the fuzzer would live to see; `tests/origin` looks at them.
        document["paths"].as_object_mut().unwrap().retain(|path, _| !path.starts_with("/sse/"));
        // Versions are low here, so most that are made up would be waited for, and names of
        // parameters that are no context's are ignored; an edge's tests look at both.
        for item in document["paths"].as_object_mut().unwrap().values_mut() {
            let Some(parameters) = item.pointer_mut("/get/parameters") else { continue };
            let left_out = ["WaitForVersion", "Context"]
                .map(|name| json!({"$ref": format!("#/components/parameters/{name}")}));
            parameters.as_array_mut().unwrap().retain(|one| !left_out.contains(one));
        }
        fs::write(&description, document.to_string()).unwrap();
        let environments = app["environments"].as_array().unwrap();
        let secret = environments[0]["sdkAccess"]["secretKey"].as_str().unwrap().to_owned();
        Self { burgee, url, key, secret, description }
    }

    fn asked<'a>(&'a self, tags: [&'a str; 2], key: &'a str) -> Asked<'a> {
        let (url, description) = (&self.url, &self.description);
        Asked { url, description, tags, key: Some(key), expected: &UNAVAILABLE }
    }
}

#[test]
fn management_calls_keep_to_the_description() {
    let Some(programs) = Programs::for_contract() else { return };
    let folder = tempfile::tempdir().unwrap();
    let origin = Origin::start(folder.path());
    fuzz(&programs, &origin.asked(["--exclude-tag", "SDK"], &origin.key));
    // It went deep enough to change something everywhere.
    for route in ROUTES {
        assert!(origin.burgee.answered(route.path, 200) > 0, "{} never went well", route.path);
    }
    for (route, status) in [
        ("/api/apps/{appId}/flags", 400),
        ("/api/apps/{appId}/flags", 401),
        ("/api/apps/{appId}/envs/{envId}/companies/{companyId}/flags", 404),
        ("/api/burgee/apps/{appId}/flags/{flagKey}/targeting/{envId}", 400),
        ("/api/burgee/apps/{appId}/audit", 405),
    ] {
        assert!(origin.burgee.answered(route, status) > 0, "{route} was never answered {status}");
    }
}

#[test]
fn the_origins_sdk_paths_keep_to_the_description() {
    let Some(programs) = Programs::for_contract() else { return };
    let folder = tempfile::tempdir().unwrap();
    let origin = Origin::start(folder.path());
    fuzz(&programs, &origin.asked(["--include-tag", "SDK"], &origin.secret));
    for (route, status) in [
        ("/features", 200),
        ("/features/evaluated", 200),
        ("/features/evaluated", 400),
        ("/features/enabled", 200),
        ("/bulk", 200),
        ("/bulk", 400),
        ("/user", 403),
    ] {
        assert!(origin.burgee.answered(route, status) > 0, "{route} was never answered {status}");
    }
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
