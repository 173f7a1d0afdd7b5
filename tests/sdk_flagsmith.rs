//! The published Flagsmith SDKs against the binary, which stands in front of a fake upstream.
//!
//! Each test starts all three and a program of `tests/sdk/flagsmith`, which uses an SDK as an
//! application would and says what it saw. Nothing here knows the protocol: what the SDKs make of
//! Burgee's answers is what counts. Each scenario of the SDKs for servers runs with either of them,
//! once evaluated by Burgee and once by the SDK itself.
//!
//! Without Node or Python, or without a registry to install the SDKs from, the tests say so and
//! pass, unless `BURGEE_REQUIRE_SDKS=1` is set. Another release of an SDK is chosen in
//! `tests/sdk/flagsmith`, by `npm install --package-lock-only flagsmith-nodejs@VERSION` or as
//! `requirements.in` says.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "this is test code throughout, the lints see only #[test]"
)]

mod fake_upstream;
mod sdk;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use fake_upstream::{Document, Reply, Upstream};
use sdk::flagsmith_rules::{
    CLIENT_KEY, SERVER_ONLY, document, identity, rule, segment, split, state, with_priority,
};
use sdk::reflag_rules;
use sdk::{Burgee, Edge, FLAGSMITH_KEYS, Programs, Rules, until};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A key of Burgee's own, so that an SDK that gets through does not owe it to a key of the upstream.
const SERVER_KEY: &str = "ser.edge_0123456789abcdef";

/// Where Burgee looks for the document.
const DOCUMENT: &str = "/api/v1/environment-document/";

/// Burgee's configuration below `[server]` and `[admin]`.
fn environment(upstream: &Upstream) -> String {
    format!(
        "[[environments]]\nname = \"shop\"\nsecret_keys = [{SERVER_KEY:?}]\n\
         [environments.source]\ntype = \"flagsmith\"\nurl = \"{}/api/v1\"\n\
         server_key = \"ser.upstream_0123456789abcdef\"\npoll_interval = \"200ms\"\n",
        upstream.url(),
    )
}

/// An SDK for servers.
#[derive(Clone, Copy)]
enum Server {
    Node,
    Python,
}

impl Server {
    fn programs(self) -> Option<Programs> {
        match self {
            Self::Node => Programs::for_flagsmith_in_node(),
            Self::Python => Programs::for_flagsmith_in_python(),
        }
    }
}

/// An upstream, Burgee in front of it, and programs that use Burgee. All end with the test.
struct Scene {
    programs: Programs,
    burgee: Burgee,
    upstream: Upstream,
    _folder: TempDir,
}

impl Scene {
    /// Waits until Burgee serves the document.
    fn with(programs: Programs, document: &Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let upstream = Upstream::serving(Document::empty(0));
        upstream.answer(DOCUMENT, Reply::json(200, document));
        let burgee = Burgee::start(folder.path(), &environment(&upstream));
        let scene = Self { programs, burgee, upstream, _folder: folder };
        scene.until_served(document);
        scene
    }

    /// Puts another document upstream and waits until Burgee serves it.
    #[track_caller]
    fn publish(&self, document: &Value) {
        self.upstream.answer(DOCUMENT, Reply::json(200, document));
        self.until_served(document);
    }

    #[track_caller]
    fn until_served(&self, document: &Value) {
        until("the document", || {
            let served = self.burgee.flagsmith("environment-document", SERVER_KEY)?;
            (served == *document).then_some(())
        });
    }

    /// What a program is told: where Burgee is, a key, and more.
    fn told(&self, more: &Value) -> Value {
        let mut told = json!({"url": self.burgee.url(), "key": SERVER_KEY});
        told.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        told
    }

    /// Runs a program; what it saw.
    #[track_caller]
    fn run(&self, program: &str, more: &Value) -> Value {
        self.programs.start(program, &self.told(more)).seen_in_the_end()
    }

    /// Runs a program, and publishes another document when it waits for that; what it saw before
    /// and in the end.
    #[track_caller]
    fn run_with_change(&self, program: &str, more: &Value, document: &Value) -> (Value, Value) {
        let mut program = self.programs.start(program, &self.told(more));
        let before = program.seen();
        self.publish(document);
        program.go_on();
        (before, program.seen_in_the_end())
    }
}

// The document.

const LARGE: i64 = 9_007_199_254_740_991;
const UNICODE: &str = "Ünsal \u{1F3C1} \u{2028} \"quoted\" \\ </script>";

/// Features for each thing that an SDK can see.
fn first() -> Value {
    let banner = |control: &str| {
        split(state(12, "banner", true, &json!(control)), &[("red", 30.0), ("blue", 45.5)])
    };
    document(
        &[
            state(1, "text", true, &json!("v2")),
            state(2, "empty", true, &json!("")),
            state(3, "unicode", true, &json!(UNICODE)),
            state(4, "integer", true, &json!(42)),
            state(5, "large", true, &json!(LARGE)),
            state(6, "float", true, &json!(-0.25)),
            state(7, "yes", true, &json!(true)),
            state(8, "no", false, &json!(false)),
            state(9, "nothing", true, &Value::Null),
            state(10, "json", false, &json!("{\"limit\": [1, null]}")),
            state(11, "New Checkout", false, &json!("v1")),
            banner("control"),
            state(SERVER_ONLY, "ledger", true, &json!("hidden")),
        ],
        &[
            segment(
                77,
                "gold customers",
                &rule("ANY", &[("plan", "EQUAL", "gold"), ("plan", "EQUAL", "platinum")]),
                &[
                    with_priority(state(11, "New Checkout", true, &json!("v3-gold")), 1),
                    with_priority(state(4, "integer", true, &json!(77)), 0),
                ],
            ),
            segment(
                78,
                "adults",
                &rule("ALL", &[("age", "GREATER_THAN_INCLUSIVE", "18")]),
                &[with_priority(state(11, "New Checkout", true, &json!("v2-adult")), 0)],
            ),
        ],
        &[
            identity("customer-42", &[state(11, "New Checkout", false, &json!("off"))]),
            identity("customer-43", &[state(4, "integer", false, &json!(-1))]),
        ],
    )
}

/// The same after a change of a default, a segment and an identity's override.
fn second() -> Value {
    let mut document = first();
    document["updated_at"] = json!("2026-05-04T09:31:00.5+00:00");
    document["feature_states"][0]["feature_state_value"] = json!("v3");
    let segments = &mut document["project"]["segments"];
    segments[0]["feature_states"][0]["feature_state_value"] = json!("v4-gold");
    document["identity_overrides"].as_array_mut().unwrap().remove(0);
    document
}

/// An identity.
fn somebody(identifier: &str, traits: &Value) -> Value {
    json!({"identifier": identifier, "traits": traits})
}

/// A flag as applications see it.
fn seen(id: u32, enabled: bool, value: &Value) -> Value {
    json!({"id": id, "enabled": enabled, "value": value})
}

/// What nobody in particular sees of [`first`].
fn by_default() -> Value {
    json!({
        "text": seen(1, true, &json!("v2")),
        "empty": seen(2, true, &json!("")),
        "unicode": seen(3, true, &json!(UNICODE)),
        "integer": seen(4, true, &json!(42)),
        "large": seen(5, true, &json!(LARGE)),
        "float": seen(6, true, &json!(-0.25)),
        "yes": seen(7, true, &json!(true)),
        "no": seen(8, false, &json!(false)),
        "nothing": seen(9, true, &Value::Null),
        "json": seen(10, false, &json!("{\"limit\": [1, null]}")),
        "New Checkout": seen(11, false, &json!("v1")),
        "banner": seen(12, true, &json!("control")),
        "ledger": seen(SERVER_ONLY, true, &json!("hidden")),
    })
}

const NO_HEARD: [&str; 0] = [];

/// Who evaluates: Burgee, and then the SDK by itself.
const BOTH: [bool; 2] = [false, true];

// The SDKs are there.

/// Also the way in which continuous integration installs them, before other tests.
#[test]
fn the_published_sdks_are_installed() {
    Programs::for_flagsmith_in_node();
    Programs::for_flagsmith_in_python();
}

fn source(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk/flagsmith");
    fs::read_to_string(folder.join(name)).unwrap()
}

#[test]
fn the_lock_file_for_node_has_hashes_and_no_addresses() {
    let read = |name: &str| -> Value { serde_json::from_str(&source(name)).unwrap() };
    let lock = read("package-lock.json");
    for (name, package) in lock["packages"].as_object().unwrap() {
        assert_eq!(package.get("resolved"), None, "{name}");
        assert!(name.is_empty() || package["integrity"].is_string(), "{name}");
    }
    let wanted = read("package.json")["dependencies"].clone();
    assert_eq!(lock["packages"][""]["dependencies"], wanted);
    for (name, version) in wanted.as_object().unwrap() {
        let locked = &lock["packages"][format!("node_modules/{name}")]["version"];
        assert_eq!(locked, version, "{name}: the version is exact");
    }
}

#[test]
fn the_lock_file_for_python_has_hashes_and_no_addresses() {
    let lock = source("requirements.txt");
    assert!(!lock.contains("://"), "no addresses");
    let packages: Vec<&str> = lock.lines().filter(|line| !line.starts_with(' ')).collect();
    for package in &packages {
        assert!(package.contains("==") && package.ends_with(" \\"), "{package}");
    }
    let wanted = source("requirements.in");
    let wanted: Vec<&str> = wanted.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(wanted.len(), 1);
    assert!(packages.contains(&format!("{} \\", wanted[0]).as_str()), "{wanted:?} is locked");
}

// The SDKs for servers.

macro_rules! with_each_server_sdk {
    ($($scenario:ident)*) => {
        mod node {
            $(#[test] fn $scenario() { super::$scenario(super::Server::Node); })*
        }
        mod python {
            $(#[test] fn $scenario() { super::$scenario(super::Server::Python); })*
        }
    };
}

with_each_server_sdk! {
    values_keep_their_types
    an_identity_gets_what_its_segments_and_its_own_overrides_say
    an_override_is_for_exactly_one_identifier
    a_split_is_the_same_for_an_identity_each_time
    a_client_key_does_not_see_server_only_features
    an_unknown_key_is_an_error_and_defaults_hold
    an_unknown_feature_is_the_applications_business
    a_change_arrives
    burgee_and_the_sdk_evaluate_the_same
    reflags_flags_are_features
    a_change_of_reflags_rules_arrives
    burgee_and_the_sdk_evaluate_reflags_rules_the_same
    reflags_rules_that_cannot_be_translated_are_evaluated_by_burgee_alone
    of_reflags_rules_the_sdk_is_given_what_can_be_translated
    counts_of_evaluations_are_accepted
}

fn values_keep_their_types(server: Server) {
    let Some(programs) = server.programs() else { return };
    let scene = Scene::with(programs, &first());
    for local in BOTH {
        let end = scene.run("flags", &json!({"local": local, "whom": [null]}));
        assert_eq!(end, json!({"seen": [by_default()], "heard": NO_HEARD}), "local: {local}");
    }
    assert_eq!(scene.burgee.answered("/api/v1/flags", 200), 1);
}

fn an_identity_gets_what_its_segments_and_its_own_overrides_say(server: Server) {
    let Some(programs) = server.programs() else { return };
    let scene = Scene::with(programs, &first());
    let whom = json!([
        {"identifier": "customer 1 & söhne", "traits": {"plan": "silver", "age": 17}},
        {"identifier": "customer-2", "traits": {"plan": "gold", "age": 17.5}},
        {"identifier": "customer-3", "traits": {"plan": "gold", "age": 18}},
        {"identifier": "customer-42", "traits": {"plan": "gold", "age": 18}},
        {"identifier": "customer-43", "traits": {"plan": "gold", "age": 18}},
        {
            "identifier": "customer-4", "transient": true,
            "traits": {"plan": {"value": "platinum", "transient": true}, "beta": true},
        },
        {"identifier": "customer-5"},
    ]);
    let checkout = |enabled: bool, value: &str| seen(11, enabled, &json!(value));
    let integer = |value: i64| seen(4, value > 0, &json!(value));
    let expected = json!([
        [checkout(false, "v1"), integer(42)],
        [checkout(true, "v3-gold"), integer(77)],
        [checkout(true, "v2-adult"), integer(77)],
        [checkout(false, "off"), integer(77)],
        [checkout(true, "v2-adult"), integer(-1)],
        [checkout(true, "v3-gold"), integer(77)],
        [checkout(false, "v1"), integer(42)],
    ]);
    for local in BOTH {
        let end = scene.run("flags", &json!({"local": local, "whom": whom}));
        let of_each = end["seen"].as_array().unwrap().iter();
        let got: Value =
            of_each.map(|flags| json!([flags["New Checkout"], flags["integer"]])).collect();
        assert_eq!(got, expected, "local: {local}");
        assert_eq!(end["heard"], json!(NO_HEARD));
        let mut rest = end["seen"][0].clone();
        rest["banner"] = by_default()["banner"].clone();
        assert_eq!(rest, by_default(), "what nothing overrides");
    }
    assert_eq!(scene.burgee.answered("/api/v1/identities", 200), 7);
}

fn an_override_is_for_exactly_one_identifier(server: Server) {
    let Some(programs) = server.programs() else { return };
    let mut document = first();
    let whose = ["007", "a,b", "-1.50", "Zoë"].map(|identifier| {
        identity(identifier, &[state(1, "text", true, &json!(format!("of {identifier}")))])
    });
    document["identity_overrides"] = json!(whose);
    let scene = Scene::with(programs, &document);
    let names = ["007", "7", "a,b", "a", "-1.50", "-1.5", "Zoë", "zoë", "Zo"];
    let whom: Value = names.iter().map(|name| somebody(name, &json!({}))).collect();
    for local in BOTH {
        let end = scene.run("flags", &json!({"local": local, "whom": whom}));
        let of_each = end["seen"].as_array().unwrap().iter();
        let got: Vec<&str> =
            of_each.map(|flags| flags["text"]["value"].as_str().unwrap()).collect();
        let expected = match (server, local) {
            (_, false) => ["of 007", "v2", "of a,b", "v2", "of -1.50", "v2", "of Zoë", "v2", "v2"],
            // It takes a comma for the end of an identifier.
            (Server::Node, true) => {
                ["of 007", "v2", "v2", "of a,b", "of -1.50", "v2", "of Zoë", "v2", "v2"]
            }
            // It takes digits for a number, which no identifier is then.
            (Server::Python, true) => {
                ["v2", "v2", "of a,b", "v2", "v2", "v2", "of Zoë", "v2", "v2"]
            }
        };
        assert_eq!(got, expected, "local: {local}");
    }
}

fn a_split_is_the_same_for_an_identity_each_time(server: Server) {
    let Some(programs) = server.programs() else { return };
    let scene = Scene::with(programs, &first());
    // Everybody twice, and the second time in another order and with a trait.
    let once = (0..40).map(|number| somebody(&format!("visitor-{number}"), &json!({})));
    let again =
        (0..40).rev().map(|number| somebody(&format!("visitor-{number}"), &json!({"age": 7})));
    let whom: Value = once.chain(again).collect();
    let mut of_both = Vec::new();
    for local in BOTH {
        let end = scene.run("flags", &json!({"local": local, "whom": whom}));
        let banners: Vec<String> = end["seen"]
            .as_array()
            .unwrap()
            .iter()
            .map(|flags| flags["banner"].to_string())
            .collect();
        let (once, again) = banners.split_at(40);
        assert!(once.iter().eq(again.iter().rev()), "{banners:?}");
        let values: BTreeSet<&str> = once.iter().map(String::as_str).collect();
        let expected = ["blue", "control", "red"].map(|v| seen(12, true, &json!(v)).to_string());
        assert_eq!(values, expected.iter().map(String::as_str).collect());
        of_both.push(banners);
    }
    assert_eq!(of_both[0], of_both[1], "Burgee splits as the SDK does");
}

fn a_client_key_does_not_see_server_only_features(server: Server) {
    let Some(programs) = server.programs() else { return };
    let scene = Scene::with(programs, &first());
    let whom = json!([null, somebody("customer-3", &json!({"plan": "gold"}))]);
    let with_key = |key: &str| {
        let mut end = scene.run("flags", &json!({"local": false, "key": key, "whom": whom}));
        assert_eq!(end["heard"], json!(NO_HEARD));
        end["seen"].take()
    };
    let mut expected = with_key(SERVER_KEY);
    for flags in expected.as_array_mut().unwrap() {
        let hidden = flags.as_object_mut().unwrap().remove("ledger");
        assert_eq!(hidden, Some(seen(SERVER_ONLY, true, &json!("hidden"))));
    }
    assert_eq!(with_key(CLIENT_KEY), expected);
}

fn an_unknown_key_is_an_error_and_defaults_hold(server: Server) {
    let Some(programs) = server.programs() else { return };
    let scene = Scene::with(programs, &first());
    for local in BOTH {
        let wrong = "ser.unknown_0123456789abcdef";
        let end = scene.run("errors", &json!({"local": local, "key": wrong}));
        assert_eq!(end["seen"].as_array().unwrap().len(), 2);
        for seen in end["seen"].as_array().unwrap() {
            assert!(seen["failed"].as_str().unwrap().contains("401"), "{end}");
            assert_eq!(seen["with"], json!({"enabled": true, "value": "default"}));
        }
        let heard: Vec<&str> =
            end["heard"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
        let words = match (server, local) {
            (Server::Node, _) => &["getEnvironmentFlags failed", "getIdentityFlags failed"][..],
            // Without a document it asks for flags.
            (Server::Python, true) => &["Error retrieving environment document from API"],
            (Server::Python, false) => &[],
        };
        assert!(heard.iter().all(|line| line.contains("401")), "{heard:?}");
        let messages: Vec<_> = heard.iter().map(|line| line.split(':').next().unwrap()).collect();
        assert_eq!(messages, words);
    }
    assert!(scene.burgee.answered("/api/v1/environment-document", 401) > 0);
    assert!(!scene.burgee.log().contains("ser."), "{}", scene.burgee.log());
}

fn an_unknown_feature_is_the_applications_business(server: Server) {
    let Some(programs) = server.programs() else { return };
    let scene = Scene::with(programs, &first());
    let without = match server {
        Server::Node => json!({"enabled": false, "isDefault": true}),
        Server::Python => json!("Feature does not exist: nowhere"),
    };
    let with = json!({"enabled": true, "value": "default of nowhere"});
    for local in BOTH {
        let of_identity = json!({"without": without, "with": with});
        let mut of_nobody = of_identity.clone();
        if local && matches!(server, Server::Node) {
            // It forgets the application's default there.
            of_nobody["with"] = json!({"enabled": false});
        }
        let end = scene.run("unknown_feature", &json!({"local": local, "feature": "nowhere"}));
        let expected = json!({"seen": [of_nobody, of_identity], "heard": NO_HEARD});
        assert_eq!(end, expected, "local: {local}");
    }
}

fn a_change_arrives(server: Server) {
    let Some(programs) = server.programs() else { return };
    let whom = json!([
        null,
        somebody("customer-2", &json!({"plan": "gold"})),
        somebody("customer-42", &json!({})),
    ]);
    let of_each = |end: &Value| -> Value {
        let list = end["seen"].as_array().unwrap().iter();
        list.map(|flags| json!([flags["text"]["value"], flags["New Checkout"]["value"]])).collect()
    };
    for local in BOTH {
        let scene = Scene::with(programs.clone(), &first());
        let (before, end) =
            scene.run_with_change("changes", &json!({"local": local, "whom": whom}), &second());
        assert_eq!(of_each(&before), json!([["v2", "v1"], ["v2", "v3-gold"], ["v2", "off"]]));
        assert_eq!(of_each(&end), json!([["v3", "v1"], ["v3", "v4-gold"], ["v3", "v1"]]));
        assert_eq!(end["heard"], json!(NO_HEARD));
    }
}

/// One feature for each operator, which a segment overrides, and splits of both kinds.
fn operators() -> Value {
    let mut states = Vec::new();
    let mut segments = Vec::new();
    let asked = [
        ("EQUAL", "x", "5"),
        ("EQUAL", "x", "A"),
        ("EQUAL", "x", "true"),
        ("NOT_EQUAL", "x", "5"),
        ("GREATER_THAN", "x", "4"),
        ("GREATER_THAN_INCLUSIVE", "x", "4.5"),
        ("LESS_THAN", "x", "5"),
        ("LESS_THAN_INCLUSIVE", "x", "100"),
        ("GREATER_THAN", "x", "1.10.0:semver"),
        ("CONTAINS", "x", "ä"),
        ("NOT_CONTAINS", "x", "A"),
        ("REGEX", "x", "^[a-z]+$"),
        ("IN", "x", "A,5,b"),
        ("MODULO", "x", "3|2"),
        ("IS_SET", "y", ""),
        ("IS_NOT_SET", "y", ""),
        ("PERCENTAGE_SPLIT", "", "50"),
        ("PERCENTAGE_SPLIT", "x", "50"),
        ("IN", "$.identity.identifier", "user 3,user 4"),
        ("EQUAL", "$.environment.name", "Production"),
        ("OF_TOMORROW", "x", "5"),
    ];
    for ((operator, property, value), id) in asked.into_iter().zip(100_u32..) {
        let name = format!("{operator} {property} {value}");
        let matched = with_priority(state(id, &name, true, &json!("matched")), 0);
        let not_matched = format!("no {name}");
        let inverse = with_priority(state(id + 100, &not_matched, true, &json!(id)), 0);
        states.push(state(id, &name, false, &Value::Null));
        states.push(state(id + 100, &not_matched, false, &json!(0)));
        let condition = [(property, operator, value)];
        segments.push(segment(id, &name, &rule("ALL", &condition), &[matched]));
        segments.push(segment(id + 100, &not_matched, &rule("NONE", &condition), &[inverse]));
    }
    let shares = [("red", 33.3), ("blue", 0.0), ("green", 33.3)];
    let banner = split(state(12, "banner", true, &json!("control")), &shares);
    let in_segment = split(state(12, "banner", false, &json!("other")), &[("white", 50.0)]);
    segments.push(segment(
        300,
        "set",
        &rule("ALL", &[("y", "IS_SET", "")]),
        &[with_priority(in_segment, 0)],
    ));
    states.push(banner);
    states.push(state(13, "overridden", false, &Value::Null));
    let overrides = [
        identity("user 7", &[state(13, "overridden", true, &json!(1.5))]),
        identity("user 8", &[state(13, "overridden", true, &json!("eight"))]),
    ];
    document(&states, &segments, &overrides)
}

fn burgee_and_the_sdk_evaluate_the_same(server: Server) {
    let Some(programs) = server.programs() else { return };
    let scene = Scene::with(programs, &operators());
    let values = [
        json!("5"),
        json!(""),
        json!("A"),
        json!("ä"),
        json!("b"),
        json!("abc"),
        json!("true"),
        json!("false"),
        json!("1.2.3"),
        json!("1.10.1"),
        json!("2.0.0-rc.1"),
        json!("a,b"),
        json!(true),
        json!(false),
        json!(5),
        json!(4),
        json!(4.5),
        json!(-1),
        json!(0),
        json!(0.1),
        json!(100),
        json!(101),
        json!(5.5),
        json!("Ünsal & Söhne"),
        json!("\u{1F3C1}"),
    ];
    let whom: Vec<_> = (0..50)
        .map(|number| {
            let value = &values[number % values.len()];
            let traits = match number % 3 {
                0 => json!({"x": value}),
                1 => json!({"x": value, "y": number}),
                _ => json!({"y": value, "z": "unused"}),
            };
            somebody(&format!("user {number}"), &traits)
        })
        .collect();
    let compared = whom.len() * operators()["feature_states"].as_array().unwrap().len();
    let end = scene.run("agreement", &json!({"whom": whom}));
    assert_eq!((&end["compared"], &end["heard"]), (&json!(compared), &json!(NO_HEARD)));
    let plain = |name: &Value| name.as_str().unwrap().trim_start_matches("no ").to_owned();
    let of_each = end["different"].as_array().unwrap().iter();
    let different: BTreeSet<String> =
        of_each.map(|difference| plain(&difference["name"])).collect();
    let alike: BTreeSet<String> = end["alike"].as_array().unwrap().iter().map(plain).collect();
    let mut known_as_alike = BTreeSet::from(
        ["EQUAL $.environment.name Production", "OF_TOMORROW x 5"].map(str::to_owned),
    );
    let known_as_different = match server {
        Server::Python => BTreeSet::new(),
        Server::Node => {
            known_as_alike.insert("PERCENTAGE_SPLIT x 50".to_owned());
            NODES_OWN_WAY.into_iter().map(|(name, _)| name.to_owned()).collect()
        }
    };
    assert_eq!(different, known_as_different, "{:#}", end["different"]);
    assert_eq!(alike, known_as_alike);
}

/// Where the SDK for Node evaluates otherwise than the vendor's reference, which is in Python and
/// which Burgee follows: the condition, and what differs.
const NODES_OWN_WAY: [(&str, &str); 6] = [
    ("GREATER_THAN_INCLUSIVE x 4.5", "an integer may be compared with a number that is none"),
    ("LESS_THAN_INCLUSIVE x 100", "text of digits is compared as text"),
    ("MODULO x 3|2", "text may begin with a number; -1 leaves -1 of 3"),
    ("NOT_CONTAINS x A", "text of digits is text"),
    ("PERCENTAGE_SPLIT x 50", "nobody is in a split by a trait"),
    ("REGEX x ^[a-z]+$", "booleans are spelled in lower case"),
];

fn counts_of_evaluations_are_accepted(server: Server) {
    let Some(programs) = server.programs() else { return };
    let scene = Scene::with(programs, &first());
    for (local, before) in [(false, 0), (true, 1)] {
        let features = ["text", "text", "New Checkout"];
        let end = scene.run("analytics", &json!({"local": local, "features": features}));
        let counted = json!({"text": 2, "New Checkout": 1});
        assert_eq!(end, json!({"counted": counted, "kept": {}, "heard": NO_HEARD}));
        assert_eq!(scene.burgee.answered("/api/v1/analytics/flags", 200), before + 1);
    }
}

// The SDK for browsers.

/// Names of features and traits are in lower case and without blanks for this SDK.
fn in_a_page(flags: &Value) -> Value {
    let flags = flags.as_object().unwrap().iter();
    flags.map(|(name, flag)| (name.to_lowercase().replace(' ', "_"), flag.clone())).collect()
}

/// What a page sees with nobody in particular.
fn page_of_nobody() -> Value {
    let mut flags = by_default();
    flags.as_object_mut().unwrap().remove("ledger").unwrap();
    in_a_page(&flags)
}

#[test]
fn python_sdk_with_realtime_updates_is_told_of_changes_and_listens_again_when_its_stream_is_ended()
{
    let Some(programs) = Programs::for_flagsmith_in_python() else { return };
    let mut scene = Scene::with(programs, &first());
    let told = scene.told(&json!({"whom": [null, somebody("customer-42", &json!({}))]}));
    let mut program = scene.programs.start("realtime", &told);
    let look = |seen: &Value| {
        let of_each = [&seen["seen"][0]["text"], &seen["seen"][1]["New Checkout"]];
        json!(of_each.map(|flag| flag["value"].clone()))
    };
    assert_eq!(look(&program.seen()), json!(["v2", "off"]));
    scene.publish(&second());
    program.go_on();
    let seen = program.seen();
    assert_eq!((look(&seen), &seen["heard"]), (json!(["v3", "v1"]), &json!(NO_HEARD)));
    assert_eq!(scene.burgee.answered(STREAM, 200), 1);
    scene.burgee.restart();
    scene.until_served(&second());
    until("another stream", || (scene.burgee.answered(STREAM, 200) == 1).then_some(()));
    let mut third = second();
    third["updated_at"] = json!("2026-05-04T09:32:00+00:00");
    third["feature_states"][0]["feature_state_value"] = json!("v4");
    scene.publish(&third);
    program.go_on();
    assert_eq!(look(&program.seen_in_the_end()), json!(["v4", "v1"]));
}

/// The route of event streams, as metrics name it.
const STREAM: &str = "/sse/environments/{key}/stream";

/// `updated_at` of [`first`] and of [`second`], in seconds.
const UPDATED_AT: [f64; 2] = [1_777_887_011.204_518, 1_777_887_060.5];

const HEADERS: &str = "flagsmith-sdk-user-agent,x-environment-key";

fn asked(requests: &[&str]) -> Value {
    let preflighted = requests.iter().flat_map(|request| {
        let (method, path) = request.split_once(' ').unwrap();
        let content_type = if method == "POST" { "content-type," } else { "" };
        [format!("OPTIONS {path} for {content_type}{HEADERS}"), (*request).to_owned()]
    });
    preflighted.collect()
}

const GET_FLAGS: &str = "GET /api/v1/flags/";
const GET_IDENTITY: &str = "GET /api/v1/identities/";
const POST_IDENTITY: &str = "POST /api/v1/identities/";

fn page(more: &Value) -> Value {
    let mut told = json!({"key": CLIENT_KEY});
    told.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    told
}

/// What a page sees of somebody, or of nobody.
fn face(flags: &Value, identifier: Option<&str>, traits: &Value) -> Value {
    let updated_at = json!(UPDATED_AT[0]);
    json!({"flags": flags, "identifier": identifier, "traits": traits, "updatedAt": updated_at})
}

/// What a page sees of customers with gold, who all have the banner of this value.
fn page_of_gold(banner: &str) -> Value {
    let mut flags = page_of_nobody();
    flags["new_checkout"] = seen(11, true, &json!("v3-gold"));
    flags["integer"] = seen(4, true, &json!(77));
    flags["banner"]["value"] = json!(banner);
    flags
}

#[test]
fn browser_sdk_keeps_the_traits_of_its_identity() {
    let Some(programs) = Programs::for_flagsmith_in_node() else { return };
    let scene = Scene::with(programs, &first());
    let end = scene.run(
        "browser_identity",
        &page(&json!({
            "identifier": "customer-3", "traits": {"plan": "gold", "Home Town": "Łódź"},
            "other": "customer 42", "features": ["New Checkout", "no", "ledger", "nowhere"],
        })),
    );
    let gold = page_of_gold("red");
    let traits = json!({"plan": "gold", "home_town": "Łódź"});
    assert_eq!(end["first"], face(&gold, Some("customer-3"), &traits));
    let read = json!({
        "New Checkout": [true, "v3-gold"], "no": [false, false], "ledger": [false, null],
        "nowhere": [false, null],
    });
    assert_eq!(end["read"], read);
    let traits = json!({
        "plan": "gold", "home_town": "Łódź", "logins": 7, "beta": true, "score": 0.5,
    });
    assert_eq!(end["withMore"], face(&gold, Some("customer-3"), &traits));
    assert_eq!(end["other"], face(&page_of_nobody(), Some("customer 42"), &json!({})));
    assert_eq!(end["nobody"], face(&page_of_nobody(), None, &json!({})));
    let told = end["changes"].as_array().unwrap();
    let all_but_gold = json!(["integer", "new_checkout", "banner"]);
    assert_eq!(told[0].as_array().unwrap().len(), page_of_nobody().as_object().unwrap().len());
    assert_eq!(told[1..], [Value::Null, Value::Null, all_but_gold, Value::Null]);
    assert_eq!(
        end["asked"],
        asked(&[POST_IDENTITY, POST_IDENTITY, POST_IDENTITY, GET_IDENTITY, GET_FLAGS])
    );
}

#[test]
fn browser_sdk_without_an_identity_gets_flags_and_with_traits_alone_a_name() {
    let Some(programs) = Programs::for_flagsmith_in_node() else { return };
    let scene = Scene::with(programs, &first());
    let traits = json!({"plan": "gold"});
    let end = scene.run("browser_anonymous", &page(&json!({"traits": traits})));
    assert_eq!(end["nobody"], face(&page_of_nobody(), None, &json!({})));
    // The SHA-256 digest of the traits, as the vendor's server has it.
    let name = "c5501db73aba343c1859b9ec00592baa92ac6371470afd7f723821d07372c8f6";
    let banner = end["nameless"]["flags"]["banner"]["value"].as_str().unwrap();
    assert_eq!(end["nameless"], face(&page_of_gold(banner), Some(name), &traits));
    assert_eq!(end["again"], end["nameless"], "the same traits, the same somebody");
    let name = end["bare"]["identifier"].as_str().unwrap();
    assert!(name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit()), "{name}");
    let mut flags = page_of_nobody();
    flags["banner"] = end["bare"]["flags"]["banner"].clone();
    assert_eq!(end["bare"], face(&flags, Some(name), &json!({})), "any name is as good");
    assert_eq!(end["asked"], asked(&[GET_FLAGS, POST_IDENTITY, POST_IDENTITY, POST_IDENTITY]));
}

#[test]
fn browser_sdk_with_a_wrong_key_goes_on_with_its_defaults() {
    let Some(programs) = Programs::for_flagsmith_in_node() else { return };
    let scene = Scene::with(programs, &first());
    let wrong = json!({"wrongKeys": ["Edge0Other", SERVER_KEY]});
    let end = scene.run("browser_unknown_key", &page(&wrong));
    // An answer of which it makes this text, so it may read it. A server key does not belong into
    // a page, which gets to read none of what is answered to it.
    let errors = ["[object Object]", "Failed to fetch: no leave for this origin"];
    let seen =
        errors.map(|error| json!({"failed": error, "errors": [error], "text": [true, "default"]}));
    assert_eq!(end, json!({"seen": seen, "asked": asked(&[GET_FLAGS, GET_FLAGS])}));
    assert_eq!(scene.burgee.answered("/api/v1/flags", 401), 1);
}

#[test]
fn browser_sdk_sees_a_change_when_it_asks_again() {
    let Some(programs) = Programs::for_flagsmith_in_node() else { return };
    let scene = Scene::with(programs, &first());
    let told = page(&json!({"identifier": "customer-42"}));
    let (before, end) = scene.run_with_change("browser_changes", &told, &second());
    let look = |seen: &Value| {
        let flags = &seen["flags"];
        let values = ["text", "new_checkout"].map(|name| flags[name]["value"].clone());
        json!([values, seen["updatedAt"]])
    };
    assert_eq!(look(&before), json!([["v2", "off"], UPDATED_AT[0]]));
    assert_eq!(look(&end), json!([["v3", "v1"], UPDATED_AT[1]]));
    let preflight = "OPTIONS /api/v1/identities/ for flagsmith-application-name,\
                     flagsmith-application-version,flagsmith-sdk-user-agent,x-environment-key,x-of-page";
    assert_eq!(end["asked"], json!([preflight, GET_IDENTITY, preflight, GET_IDENTITY]));
}

#[test]
fn browser_sdk_with_realtime_is_told_of_changes_and_listens_again_when_its_stream_is_ended() {
    let Some(programs) = Programs::for_flagsmith_in_node() else { return };
    let mut scene = Scene::with(programs, &first());
    let told = scene.told(&page(&json!({"identifier": "customer-42"})));
    let mut program = scene.programs.start("browser_realtime", &told);
    let look = |seen: &Value| {
        let flags = &seen["flags"];
        let values = ["text", "new_checkout"].map(|name| flags[name]["value"].clone());
        json!([values, seen["updatedAt"]])
    };
    assert_eq!(look(&program.seen()), json!([["v2", "off"], UPDATED_AT[0]]));
    scene.publish(&second());
    program.go_on();
    let seen = program.seen();
    assert_eq!(look(&seen), json!([["v3", "v1"], UPDATED_AT[1]]));
    let stream = format!("GET /sse/environments/{CLIENT_KEY}/stream");
    let requests = |seen: &Value| {
        let asked = seen["asked"].as_array().unwrap().iter();
        let mut asked: Vec<_> = asked.map(|request| request.as_str().unwrap().to_owned()).collect();
        asked.retain(|request| !request.starts_with("OPTIONS "));
        asked.sort();
        asked
    };
    assert_eq!(requests(&seen), [GET_IDENTITY, GET_IDENTITY, &stream], "it does not poll");
    scene.burgee.restart();
    scene.until_served(&second());
    program.go_on();
    assert_eq!(look(&program.seen()), json!([["v3", "v1"], UPDATED_AT[1]]));
    let mut third = second();
    third["updated_at"] = json!("2026-05-04T09:32:00+00:00");
    third["feature_states"][0]["feature_state_value"] = json!("v4");
    scene.publish(&third);
    program.go_on();
    assert_eq!(program.seen_in_the_end()["flags"]["text"]["value"], "v4");
    assert_eq!(scene.burgee.answered(STREAM, 200), 1);
    assert_eq!(scene.burgee.answered("/api/v1/identities", 200), 1);
}

#[test]
fn browser_sdk_has_its_counts_accepted() {
    let Some(programs) = Programs::for_flagsmith_in_node() else { return };
    let scene = Scene::with(programs, &first());
    let features = ["text", "New Checkout", "text"];
    let end = scene.run("browser_analytics", &page(&json!({"features": features})));
    let counted = json!({"text": 2, "New Checkout": 1});
    let asked = asked(&[GET_FLAGS, "POST /api/v1/analytics/flags/"]);
    assert_eq!(end, json!({"counted": counted, "kept": {}, "asked": asked}));
    assert_eq!(scene.burgee.answered("/api/v1/analytics/flags", 200), 1);
}

// Rules of the other vendor: Burgee evaluates them, or translates them for SDKs that evaluate by
// themselves.

/// Flags for each thing that Reflag's rules have and that can be translated.
fn of_reflag() -> Vec<Value> {
    use reflag_rules::{constant, context, flag, secret, variant, with_config};
    let carrying = |key: &str, payload: Value| {
        let all = variant("all", &constant(true), &payload);
        with_config(flag(key, 3, &[constant(true)]), 4, &[all])
    };
    let blocked = context("company.blocked", "IS_TRUE", &[]);
    vec![
        flag("everyone", 1, &[constant(true)]),
        flag("nobody", 1, &[]),
        flag("gold", 1, &[context("user.plan", "ANY_OF", &["gold", "platinum"])]),
        flag("acme-only", 1, &[context("company.id", "IS", &["acme"])]),
        flag("not-blocked", 1, &[json!({"type": "negation", "filter": blocked})]),
        flag("New Checkout", 1, &[context("user.mail", "CONTAINS", &["@acme"])]),
        with_config(
            flag("sized", 1, &[constant(true)]),
            2,
            &[
                variant(
                    "large",
                    &context("user.id", "IS", &["u-1"]),
                    &json!({"limit": [20, null]}),
                ),
                variant("small", &constant(true), &Value::Null),
            ],
        ),
        carrying("text", json!(UNICODE)),
        carrying("integer", json!(LARGE)),
        carrying("float", json!(-0.25)),
        carrying("yes", json!(true)),
        secret(carrying("ledger", json!("hidden"))),
    ]
}

/// The same with flags that only Burgee can evaluate: SDKs order text as numbers, and put people
/// into shares by another hash.
fn of_reflag_with_more() -> Value {
    let mut flags = of_reflag();
    let adult = reflag_rules::context("user.age", "GT", &["17"]);
    let half = json!({
        "type": "rolloutPercentage", "key": "half", "partialRolloutAttribute": "user.id",
        "partialRolloutThreshold": 50_000,
    });
    flags.push(reflag_rules::flag("adults", 1, &[adult]));
    flags.push(reflag_rules::flag("half", 1, &[half]));
    reflag_rules::document(412, &flags)
}

fn customers() -> Value {
    json!([
        null,
        somebody("u-1", &json!({"plan": "gold", "company.id": "acme", "mail": "Ada@ACME.io"})),
        somebody("u-2", &json!({"plan": 1.5, "company_id": "acme", "company.blocked": true})),
        somebody("u-3", &json!({"plan": "platinum", "companyId": "globex", "age": 30})),
    ])
}

/// What [`customers`] see: whether it is on and its value, for each of them or for all.
fn of_customers(server_only: bool) -> Value {
    let on = |of_each: [bool; 4]| of_each.map(|enabled| json!([enabled, null]));
    let all = |value: Value| [true; 4].map(|enabled| json!([enabled, value]));
    let mut flags = vec![
        ("everyone", on([true; 4])),
        ("nobody", on([false; 4])),
        ("gold", on([false, true, false, true])),
        ("acme-only", on([false, true, true, false])),
        ("not-blocked", on([true, true, false, true])),
        ("New Checkout", on([false, true, false, false])),
        ("sized", {
            let mut of_each = on([true; 4]);
            of_each[1][1] = json!("{\"limit\":[20,null]}");
            of_each
        }),
        ("text", all(json!(UNICODE))),
        ("integer", all(json!(LARGE))),
        ("float", all(json!(-0.25))),
        ("yes", all(json!(true))),
    ];
    if server_only {
        flags.push(("ledger", all(json!("hidden"))));
    }
    (0..4)
        .map(|customer| -> Value {
            let flags = flags.iter();
            let flags = flags.map(|(name, of)| ((*name).to_owned(), of[customer].clone()));
            Value::Object(flags.collect())
        })
        .collect()
}

/// What was seen, without the numbers of features.
fn without_ids(seen: &Value) -> Value {
    let of_each = seen.as_array().unwrap().iter().map(|flags| -> Value {
        let flags = flags.as_object().unwrap().iter();
        let flags =
            flags.map(|(name, flag)| (name.clone(), json!([flag["enabled"], flag["value"]])));
        Value::Object(flags.collect())
    });
    of_each.collect()
}

fn reflags_flags_are_features(server: Server) {
    let Some(programs) = server.programs() else { return };
    let edge = Edge::serving(Rules::Reflag, &reflag_rules::document(412, &of_reflag()));
    let seen_by = |key: &str, local: bool| {
        let told = json!({"key": key, "local": local, "whom": customers()});
        let end = edge.run(&programs, "flags", &told);
        assert_eq!(end["heard"], json!(NO_HEARD), "local: {local}");
        end["seen"].clone()
    };
    let [remote, local] = BOTH.map(|local| seen_by(FLAGSMITH_KEYS[1], local));
    assert_eq!(without_ids(&remote), of_customers(true));
    assert_eq!(local, remote, "with the same numbers of features, too");
    let ids: BTreeSet<u64> = remote[0]
        .as_object()
        .unwrap()
        .values()
        .map(|flag| flag["id"].as_u64().filter(|id| *id > 0).unwrap())
        .collect();
    assert_eq!(ids.len(), of_reflag().len(), "each has a number of its own");
    assert_eq!(without_ids(&seen_by(FLAGSMITH_KEYS[0], false)), of_customers(false));
}

fn a_change_of_reflags_rules_arrives(server: Server) {
    let Some(programs) = server.programs() else { return };
    let mut changed = of_reflag();
    changed[2]["targeting"]["rules"] = json!([]);
    changed[7]["config"]["variants"][0]["payload"] = json!("other");
    for local in BOTH {
        let edge = Edge::serving(Rules::Reflag, &reflag_rules::document(412, &of_reflag()));
        let told = json!({"key": FLAGSMITH_KEYS[1], "local": local, "whom": customers()});
        let document = reflag_rules::document(413, &changed);
        let (before, end) = edge.run_with_change(&programs, "changes", &told, &document);
        let mut expected = of_customers(true);
        assert_eq!(without_ids(&before["seen"]), expected, "local: {local}");
        for flags in expected.as_array_mut().unwrap() {
            flags["gold"][0] = json!(false);
            flags["text"][1] = json!("other");
        }
        assert_eq!(without_ids(&end["seen"]), expected, "local: {local}");
        assert_eq!(end["heard"], json!(NO_HEARD));
    }
}

/// One flag for each operator that can be translated, with variants.
fn reflag_operators() -> Value {
    use reflag_rules::{constant, context, flag, variant, with_config};
    let asked: [(&str, &str, &[&str]); 14] = [
        ("IS", "user.x", &["A"]),
        ("IS", "company.id", &["A"]),
        ("IS", "user.id", &["user 3"]),
        ("IS_NOT", "user.x", &["A"]),
        ("ANY_OF", "user.x", &["A", "true", "", "Ünsal & Söhne"]),
        ("NOT_ANY_OF", "user.x", &["ä", "a,b"]),
        ("IS_TRUE", "user.x", &[]),
        ("IS_FALSE", "user.x", &[]),
        ("SET", "user.x", &[]),
        ("NOT_SET", "user.x", &[]),
        ("CONTAINS", "user.x", &["B@"]),
        ("NOT_CONTAINS", "user.x", &["B@"]),
        ("IS", "other.x", &["A"]),
        ("OF_TOMORROW", "user.x", &["A"]),
    ];
    let flags: Vec<Value> = asked
        .into_iter()
        .map(|(operator, field, values)| {
            let filter = context(field, operator, values);
            let other = context("user.y", "SET", &[]);
            let both = json!({"type": "group", "operator": "and", "filters": [
                {"type": "negation", "filter": filter}, other]});
            let key = format!("{operator} {field}");
            with_config(
                flag(&key, 1, &[filter.clone(), both]),
                3,
                &[
                    variant("first", &filter, &json!([1, "1"])),
                    variant("second", &other, &json!("same")),
                    variant("third", &context("user.z", "NOT_SET", &[]), &json!("same")),
                ],
            )
        })
        .collect();
    let half = with_config(
        flag("constant", 1, &[constant(true)]),
        1,
        &[variant("only", &context("user.id", "IS", &["user 3"]), &json!(1))],
    );
    reflag_rules::document(412, &[flags, vec![half]].concat())
}

fn burgee_and_the_sdk_evaluate_reflags_rules_the_same(server: Server) {
    let Some(programs) = server.programs() else { return };
    let edge = Edge::serving(Rules::Reflag, &reflag_operators());
    let values = json!([
        "A",
        "a",
        "",
        "ä",
        "Ä",
        "a,b",
        "xb@y",
        "true",
        "True",
        "false",
        "5",
        "05",
        "1.0",
        "1e3",
        " A",
        "Ünsal & Söhne",
        "\u{1F3C1}",
        true,
        false,
        5,
        0,
        -1,
        4.5,
        1e21,
        1e-7,
        1.0,
    ]);
    let mut whom = vec![somebody("user", &json!({}))];
    for (value, number) in values.as_array().unwrap().iter().zip(0..) {
        let identifier = format!("user {number}");
        whom.push(somebody(&identifier, &json!({"x": value})));
        whom.push(somebody(&identifier, &json!({"x": value, "y": "", "other.x": value})));
        whom.push(somebody(&identifier, &json!({"company.id": value, "y": value, "z": 1})));
        whom.push(somebody(&identifier, &json!({"company_id": value, "companyId": "A"})));
    }
    let compared = whom.len() * reflag_operators()["features"].as_array().unwrap().len();
    let end = edge.run(&programs, "agreement", &json!({"key": FLAGSMITH_KEYS[1], "whom": whom}));
    assert_eq!(end["different"], json!([]));
    assert_eq!((&end["compared"], &end["heard"]), (&json!(compared), &json!(NO_HEARD)));
    assert_eq!(end["alike"], json!([]), "a flag that is the same for everybody compares nothing");
}

fn reflags_rules_that_cannot_be_translated_are_evaluated_by_burgee_alone(server: Server) {
    let Some(programs) = server.programs() else { return };
    let edge = Edge::serving(Rules::Reflag, &of_reflag_with_more());
    let told = json!({"key": FLAGSMITH_KEYS[1], "local": false, "whom": customers()});
    let seen = edge.run(&programs, "flags", &told)["seen"].clone();
    let adults: Vec<&Value> =
        seen.as_array().unwrap().iter().map(|flags| &flags["adults"]["enabled"]).collect();
    assert_eq!(adults, [false, false, false, true].map(Value::from).each_ref());

    let end = edge.run(&programs, "errors", &json!({"key": FLAGSMITH_KEYS[1], "local": true}));
    for seen in end["seen"].as_array().unwrap() {
        match server {
            Server::Node => {
                assert!(seen["failed"].as_str().unwrap().contains("501"), "{end}");
                assert_eq!(seen["with"], json!({"enabled": true, "value": "default"}));
            }
            // Without a document it asks for flags.
            Server::Python => {
                let with = json!({"enabled": true, "value": UNICODE});
                assert_eq!(*seen, json!({"failed": "no error", "with": with}));
            }
        }
    }
    let heard = end["heard"].as_array().unwrap();
    assert!(!heard.is_empty(), "it says why");
    assert!(heard.iter().all(|line| line.as_str().unwrap().contains("501")), "{heard:?}");
    assert!(edge.burgee.answered("/api/v1/environment-document", 501) > 0);
}

fn of_reflags_rules_the_sdk_is_given_what_can_be_translated(server: Server) {
    let Some(programs) = server.programs() else { return };
    let partial = "[environments.reflag]\ndefinitions = \"partial\"\n";
    let edge = Edge::with_settings(Rules::Reflag, &of_reflag_with_more(), partial);
    let told = json!({"key": FLAGSMITH_KEYS[1], "local": true, "whom": customers()});
    let end = edge.run(&programs, "flags", &told);
    assert_eq!(without_ids(&end["seen"]), of_customers(true), "all but two");
    assert_eq!(end["heard"], json!(NO_HEARD));
}

#[test]
fn browser_sdk_sees_reflags_flags_as_features() {
    let Some(programs) = Programs::for_flagsmith_in_node() else { return };
    let edge = Edge::serving(Rules::Reflag, &of_reflag_with_more());
    let customers = customers();
    let of_each = of_customers(false);
    let told = json!({
        "key": FLAGSMITH_KEYS[0], "identifier": "u-1", "traits": customers[1]["traits"],
        "other": "u-3", "features": ["sized", "New Checkout", "ledger", "adults"],
    });
    let end = edge.run(&programs, "browser_identity", &told);
    // In shares and above an age they are evaluated, too; which they are is another test's.
    let seen = |face: &Value| {
        let mut flags = without_ids(&json!([face["flags"]]))[0].take();
        for name in ["adults", "half"] {
            assert!(flags.as_object_mut().unwrap().remove(name).is_some(), "{name}");
        }
        flags
    };
    assert_eq!(seen(&end["first"]), in_a_page(&of_each[1]));
    assert_eq!(end["first"]["identifier"], "u-1");
    assert_eq!(end["first"]["traits"], customers[1]["traits"]);
    assert_eq!(
        end["read"],
        json!({
            "sized": [true, "{\"limit\":[20,null]}"], "New Checkout": [true, null],
            "ledger": [false, null], "adults": [false, null],
        })
    );
    assert_eq!(seen(&end["withMore"]), in_a_page(&of_each[1]));
    assert_eq!(seen(&end["nobody"]), in_a_page(&of_each[0]));
    assert_eq!(
        end["asked"],
        asked(&[POST_IDENTITY, POST_IDENTITY, POST_IDENTITY, GET_IDENTITY, GET_FLAGS])
    );
}

#[test]
fn browser_sdk_with_realtime_is_told_of_changes_of_reflags_rules() {
    let Some(programs) = Programs::for_flagsmith_in_node() else { return };
    let edge = Edge::serving(Rules::Reflag, &reflag_rules::document(412, &of_reflag()));
    let told = edge.told(&json!({"key": FLAGSMITH_KEYS[0], "identifier": "u-1"}));
    let mut program = programs.start("browser_realtime", &told);
    let text = |seen: &Value| seen["flags"]["text"]["value"].clone();
    assert_eq!(text(&program.seen()), UNICODE);
    let mut changed = of_reflag();
    changed[7]["config"]["variants"][0]["payload"] = json!("other");
    edge.publish(&reflag_rules::document(413, &changed));
    program.go_on();
    assert_eq!(text(&program.seen()), "other");
    // With these rules it does not know how old its flags are, so it asks once more when it is told at
    // first.
    assert!(edge.burgee.answered("/api/v1/identities", 200) <= 3, "it does not poll");
}

/// It listens to the stream that the document's own key names, whatever key it got the document by.
#[test]
fn python_sdk_with_realtime_updates_is_told_of_changes_where_the_documents_key_is_one() {
    let Some(programs) = Programs::for_flagsmith_in_python() else { return };
    let mut changed = of_reflag();
    changed[7]["config"]["variants"][0]["payload"] = json!("v3");
    let mut before = of_reflag();
    before[7]["config"]["variants"][0]["payload"] = json!("v2");
    let of_reflag = |version, flags: &[Value]| reflag_rules::document(version, flags);
    for (rules, before, after, key) in [
        (Rules::Reflag, of_reflag(412, &before), of_reflag(413, &changed), "burgee:shop"),
        (Rules::Flagsmith, first(), second(), CLIENT_KEY),
    ] {
        let edge = Edge::with_key(rules, &before, key);
        let told = json!({"key": FLAGSMITH_KEYS[1], "whom": [null]});
        let mut program = programs.start("realtime", &edge.told(&told));
        let text = |seen: &Value| seen["seen"][0]["text"]["value"].clone();
        assert_eq!(text(&program.seen()), "v2");
        edge.publish(&after);
        program.go_on();
        let seen = program.seen();
        assert_eq!((text(&seen), &seen["heard"]), (json!("v3"), &json!(NO_HEARD)));
        let document = "/api/v1/environment-document";
        assert_eq!(edge.burgee.answered(document, 200), 2, "it does not poll");
        assert_eq!(edge.burgee.answered(STREAM, 200), 1);
    }
}
