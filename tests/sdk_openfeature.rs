//! The published `OpenFeature` SDKs, with their OFREP providers, against the binary.
//!
//! Each test starts Burgee with rules of either vendor in a file and a program of
//! `tests/sdk/openfeature`, which uses an SDK as an application would and says what it saw. Nothing
//! here knows the protocol: what the SDKs make of Burgee's answers is what counts. Each scenario runs
//! with every SDK: for servers in Node, Python and Rust, which ask for one flag at a time, and for
//! browsers, which asks for all of them.
//!
//! Without Node or Python, or without a registry to install the SDKs from, the tests say so and
//! pass, unless `BURGEE_REQUIRE_SDKS=1` is set. Another release of an SDK is chosen in
//! `tests/sdk/openfeature`, by `npm install --package-lock-only @openfeature/web-sdk@VERSION`, as
//! `requirements.in` says, or in `rust/Cargo.toml`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "this is test code throughout, the lints see only #[test]"
)]

mod sdk;

use std::fs;
use std::path::Path;

use sdk::reflag_rules::{constant, context, flag, secret, variant, with_config};
use sdk::{Edge, FLAGSMITH_KEYS, Programs, REFLAG_KEYS, Rules};
use sdk::{flagsmith_rules, reflag_rules};
use serde_json::{Value, json};

/// An SDK with its provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sdk {
    Node,
    Python,
    Rust,
    Browser,
}

impl Sdk {
    fn programs(self) -> Option<Programs> {
        match self {
            Self::Node | Self::Browser => Programs::for_openfeature_in_node(),
            Self::Python => Programs::for_openfeature_in_python(),
            Self::Rust => Programs::for_openfeature_in_rust(),
        }
    }

    /// The program that asks for flags.
    fn flags(self) -> &'static str {
        if self == Self::Browser { "browser_flags" } else { "flags" }
    }

    /// What this SDK tells an application of what another one would tell in full.
    fn tells(self, mut seen: Value) -> Value {
        match self {
            // It takes every answer for one of that reason.
            Self::Rust if seen.get("reason").is_some() => {
                seen["reason"] = json!("STATIC");
                seen["metadata"] = json!({});
            }
            // A number is a number.
            Self::Node | Self::Browser => return without_fractions_of_zero(seen),
            Self::Rust | Self::Python => {}
        }
        seen
    }
}

fn without_fractions_of_zero(value: Value) -> Value {
    match value {
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() && float.fract() == 0.0 => json!(float as i64),
            _ => number.into(),
        },
        Value::Array(list) => list.into_iter().map(without_fractions_of_zero).collect(),
        Value::Object(members) => members
            .into_iter()
            .map(|(name, value)| (name, without_fractions_of_zero(value)))
            .collect(),
        other => other,
    }
}

/// A flag that is asked for: its key, the application's default, and what the application sees.
type Asked = (&'static str, Value, Value);

/// What is seen of a flag that could be evaluated.
fn found(value: Value, reason: &str, variant: &str, metadata: Value) -> Value {
    let mut seen = json!({"reason": reason, "variant": variant});
    seen["value"] = value;
    seen["metadata"] = metadata;
    seen
}

/// What is seen of one that could not. The value is the application's default then.
fn failed(code: &str) -> Value {
    json!({"errorCode": code})
}

/// What programs are told: a key, contexts, and what to ask for.
fn told(key: &str, contexts: &[Value], asked: &[Asked]) -> Value {
    let asked: Vec<_> = asked.iter().map(|(key, fallback, _)| json!([key, fallback])).collect();
    json!({"key": key, "header": "Authorization", "contexts": contexts, "asked": asked})
}

/// Compares what was seen in one context. What errors say in words is the SDKs' own.
#[track_caller]
fn is_seen(sdk: Sdk, seen: &Value, asked: &[Asked]) {
    let seen = seen.as_array().unwrap();
    assert_eq!(seen.len(), asked.len());
    for (seen, (key, fallback, expected)) in seen.iter().zip(asked) {
        let mut seen = seen.clone();
        seen.as_object_mut().unwrap().remove("errorMessage");
        let mut expected = expected.clone();
        if expected.get("errorCode").is_some() || expected.get("value").is_none() {
            expected["value"] = fallback.clone();
        }
        assert_eq!(seen, sdk.tells(expected), "{key} for {sdk:?}");
    }
}

/// Asks for flags in one context.
#[track_caller]
fn ask(sdk: Sdk, edge: &Edge, key: &str, context: Value, asked: &[Asked]) {
    let Some(programs) = sdk.programs() else { return };
    let seen = edge.run(&programs, sdk.flags(), &told(key, &[context], asked));
    is_seen(sdk, &seen[0], asked);
}

/// A page has what the list of all flags has: each by its own key, and the parts that say something
/// else than that. Other names are for those who ask for one flag.
fn unless_a_page(sdk: Sdk, seen: Value) -> Value {
    if sdk == Sdk::Browser { failed("FLAG_NOT_FOUND") } else { seen }
}

const PUBLISHABLE_KEY: &str = REFLAG_KEYS[0];
const SECRET_KEY: &str = REFLAG_KEYS[1];

// The SDKs are there.

/// Also the way in which continuous integration installs them, before other tests.
#[test]
fn the_published_sdks_are_installed() {
    Programs::for_openfeature_in_node();
    Programs::for_openfeature_in_python();
    Programs::for_openfeature_in_rust();
}

fn source(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk/openfeature");
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
    assert_eq!(wanted.len(), 2);
    for wanted in wanted {
        assert!(packages.contains(&format!("{wanted} \\").as_str()), "{wanted} is locked");
    }
}

#[test]
fn the_lock_file_for_rust_has_hashes_and_the_registrys_name_alone() {
    let lock = source("rust/Cargo.lock");
    let registry = "source = \"registry+https://github.com/rust-lang/crates.io-index\"";
    let sources: Vec<&str> = lock.lines().filter(|line| line.starts_with("source = ")).collect();
    assert!(sources.iter().all(|source| *source == registry), "{sources:?}");
    let hashes = lock.lines().filter(|line| line.starts_with("checksum = ")).count();
    assert_eq!(hashes, sources.len());
    let manifest = source("rust/Cargo.toml");
    for line in manifest.lines().filter(|line| line.starts_with("open-feature")) {
        assert!(line.contains(" = \"="), "{line}: the version is exact");
    }
}

// Scenarios of all SDKs.

macro_rules! with_each_sdk {
    ($($scenario:ident)*) => {
        mod node {
            $(#[test] fn $scenario() { super::$scenario(super::Sdk::Node); })*
        }
        mod python {
            $(#[test] fn $scenario() { super::$scenario(super::Sdk::Python); })*
        }
        mod rust {
            $(#[test] fn $scenario() { super::$scenario(super::Sdk::Rust); })*
        }
        mod browser {
            $(#[test] fn $scenario() { super::$scenario(super::Sdk::Browser); })*
        }
    };
}

with_each_sdk! {
    values_of_reflags_rules_keep_their_types
    values_of_flagsmiths_rules_keep_their_types
    a_number_is_an_integer_or_not_as_it_is_written
    a_flags_own_key_stands_for_what_the_settings_say
    a_flag_without_a_value_leaves_it_to_the_application
    what_is_not_there_or_of_another_type_leaves_it_to_the_application
    a_publishable_key_does_not_see_secret_flags
    keys_of_flags_may_have_slashes_and_blanks
    who_asks_reaches_reflags_rules
    who_asks_reaches_flagsmiths_rules
    a_key_is_taken_in_either_header_field
}

/// A flag of Reflag's that is on and has this payload for everybody.
fn with_payload(key: &str, payload: &Value) -> Value {
    with_config(flag(key, 3, &[constant(true)]), 4, &[variant("all", &constant(true), payload)])
}

const TEXT: &str = "Ünsal \u{1F3C1} \u{2028} \"quoted\" \\ </script>";

/// An object with every type that JSON has, save null, which not all SDKs have.
fn object() -> Value {
    json!({
        "text": TEXT, "empty": "", "integer": 5, "large": 9_007_199_254_740_991_i64,
        "float": -0.25, "yes": true, "no": false,
        "list": [1, "1", [{}], {"deep": {"deeper": [true]}}], "dotted.name": {},
    })
}

/// What Reflag's rules say beside the value.
fn on() -> Value {
    json!({"flagVersion": 3, "enabled": true})
}

fn reflag_document() -> Value {
    let half = json!({
        "type": "rolloutPercentage", "key": "half", "partialRolloutAttribute": "user.id",
        "partialRolloutThreshold": 99_999,
    });
    let gold = context("user.plan", "IS", &["gold"]);
    reflag_rules::document(
        7,
        &[
            flag("everyone", 3, &[constant(true)]),
            flag("nobody", 3, &[]),
            flag("gold", 3, std::slice::from_ref(&gold)),
            flag("half", 3, &[half]),
            with_payload("text", &json!(TEXT)),
            with_payload("empty", &json!("")),
            with_payload("integer", &json!(5)),
            with_payload("large", &json!(9_007_199_254_740_991_i64)),
            with_payload("float", &json!(-0.25)),
            with_payload("whole", &json!(5.0)),
            with_payload("yes", &json!(true)),
            with_payload("object", &object()),
            with_payload("list", &json!([1, "a", {"b": true}])),
            with_config(
                flag("sized", 3, &[constant(true)]),
                4,
                &[
                    variant("large", &gold, &json!({"limit": 20})),
                    variant(
                        "small",
                        &context("user.plan", "IS", &["silver"]),
                        &json!({"limit": 5}),
                    ),
                ],
            ),
            secret(with_payload("ledger", &json!("hidden"))),
        ],
    )
}

fn values_of_reflags_rules_keep_their_types(sdk: Sdk) {
    let edge = Edge::serving(Rules::Reflag, &reflag_document());
    let list = match sdk {
        // It has no lists at the top.
        Sdk::Rust => failed("PARSE_ERROR"),
        _ => found(json!([1, "a", {"b": true}]), "STATIC", "all", on()),
    };
    let off = json!({"flagVersion": 3, "enabled": false});
    let of_all = |value| found(value, "STATIC", "all", on());
    ask(
        sdk,
        &edge,
        PUBLISHABLE_KEY,
        json!({"targetingKey": "u-1", "plan": "gold"}),
        &[
            ("everyone", json!(false), found(json!(true), "STATIC", "on", on())),
            ("nobody", json!(true), found(json!(false), "DEFAULT", "off", off)),
            ("gold", json!(false), found(json!(true), "TARGETING_MATCH", "on", on())),
            ("half", json!(false), found(json!(true), "SPLIT", "on", on())),
            ("text", json!(false), of_all(json!(true))),
            ("text:enabled", json!(false), unless_a_page(sdk, of_all(json!(true)))),
            ("text:value", json!("default"), of_all(json!(TEXT))),
            ("text:json", json!("default"), unless_a_page(sdk, of_all(json!(TEXT)))),
            ("text:variant", json!("default"), of_all(json!("all"))),
            ("empty:value", json!("default"), of_all(json!(""))),
            ("integer:value", json!(0), of_all(json!(5))),
            ("large:value", json!(0), of_all(json!(9_007_199_254_740_991_i64))),
            ("float:value", json!(1.5), of_all(json!(-0.25))),
            ("whole:value", json!(1.5), of_all(json!(5.0))),
            ("yes:value", json!(false), of_all(json!(true))),
            ("object:value", json!({}), of_all(object())),
            ("object:json", json!({}), unless_a_page(sdk, of_all(object()))),
            ("list:value", json!([]), list),
            (
                "sized:value",
                json!({"limit": 1}),
                found(json!({"limit": 20}), "TARGETING_MATCH", "large", on()),
            ),
            (
                "sized:variant",
                json!("none"),
                found(json!("large"), "TARGETING_MATCH", "large", on()),
            ),
        ],
    );
}

/// What features are by default, and for whom they are otherwise.
fn flagsmith_document() -> Value {
    use flagsmith_rules::{document, identity, rule, segment, split, state, with_priority};
    let banner = state(12, "banner", true, &json!("control"));
    document(
        &[
            state(1, "text", true, &json!(TEXT)),
            state(2, "empty", true, &json!("")),
            state(4, "integer", true, &json!(42)),
            state(5, "large", true, &json!(9_007_199_254_740_991_i64)),
            state(6, "float", true, &json!("-0.25")),
            state(7, "yes", true, &json!(true)),
            state(8, "off", false, &json!("v1")),
            state(9, "plain", true, &Value::Null),
            state(10, "object", true, &json!(object().to_string())),
            state(11, "New Checkout", false, &Value::Null),
            split(banner, &[("red", 100.0)]),
            state(13, "closed", false, &Value::Null),
            state(14, "ledger", true, &json!("hidden")),
        ],
        &[segment(
            77,
            "gold customers",
            &rule("ANY", &[("plan", "EQUAL", "gold")]),
            &[
                with_priority(state(11, "New Checkout", true, &Value::Null), 0),
                with_priority(state(4, "integer", true, &json!(77)), 0),
            ],
        )],
        &[identity("customer-42", &[state(1, "text", true, &json!("hers"))])],
    )
}

/// What Flagsmith's rules say beside the value.
fn feature(id: u32, enabled: bool) -> Value {
    json!({"featureId": id, "enabled": enabled})
}

fn values_of_flagsmiths_rules_keep_their_types(sdk: Sdk) {
    let edge = Edge::serving(Rules::Flagsmith, &flagsmith_document());
    let by_default = |id, value| found(value, "STATIC", "", feature(id, true));
    let in_segment = |id, value| {
        let mut metadata = feature(id, true);
        metadata["segment"] = json!("gold customers");
        found(value, "TARGETING_MATCH", "", metadata)
    };
    let red = |value| {
        let mut metadata = feature(12, true);
        // Metadata of this SDK are of the type that JSON says.
        metadata["weight"] = json!(100.0);
        found(value, "SPLIT", "red-key", metadata)
    };
    ask(
        sdk,
        &edge,
        FLAGSMITH_KEYS[0],
        json!({"targetingKey": "customer-42", "plan": "gold"}),
        &[
            ("text", json!("default"), {
                found(json!("hers"), "TARGETING_MATCH", "", feature(1, true))
            }),
            ("text:enabled", json!(false), {
                found(json!(true), "TARGETING_MATCH", "", feature(1, true))
            }),
            ("empty", json!("default"), by_default(2, json!(""))),
            ("integer", json!(0), in_segment(4, json!(77))),
            ("integer:value", json!(0), unless_a_page(sdk, in_segment(4, json!(77)))),
            ("large", json!(0), by_default(5, json!(9_007_199_254_740_991_i64))),
            ("float", json!("default"), by_default(6, json!("-0.25"))),
            ("float:json", json!(1.5), by_default(6, json!(-0.25))),
            ("yes", json!(false), by_default(7, json!(true))),
            ("yes:enabled", json!(false), by_default(7, json!(true))),
            ("plain", json!(false), by_default(9, json!(true))),
            ("object:json", json!({}), by_default(10, object())),
            ("New Checkout", json!(false), in_segment(11, json!(true))),
            (
                "new_checkout:enabled",
                json!(false),
                match sdk {
                    // It has the names that there are.
                    Sdk::Browser => failed("FLAG_NOT_FOUND"),
                    _ => in_segment(11, json!(true)),
                },
            ),
            ("banner", json!("default"), red(json!("red"))),
            ("banner:variant", json!("default"), red(json!("red-key"))),
            ("closed", json!(true), found(json!(false), "DISABLED", "", feature(13, false))),
            ("off:enabled", json!(true), found(json!(false), "DISABLED", "", feature(8, false))),
        ],
    );
}

/// OFREP has one type of numbers, some SDKs have two.
fn a_number_is_an_integer_or_not_as_it_is_written(sdk: Sdk) {
    let edge = Edge::serving(Rules::Reflag, &reflag_document());
    let of_all = |value| found(value, "STATIC", "all", on());
    let [as_float, as_integer] = match sdk {
        Sdk::Python => [failed("TYPE_MISMATCH"), failed("TYPE_MISMATCH")],
        Sdk::Rust => [of_all(json!(5.0)), failed("PARSE_ERROR")],
        Sdk::Node | Sdk::Browser => [of_all(json!(5)), of_all(json!(5))],
    };
    ask(
        sdk,
        &edge,
        PUBLISHABLE_KEY,
        json!({"targetingKey": "u-1"}),
        &[("integer:value", json!(1.5), as_float), ("whole:value", json!(0), as_integer)],
    );
}

/// With it an application need not name parts of flags.
fn a_flags_own_key_stands_for_what_the_settings_say(sdk: Sdk) {
    let value = "[environments.ofrep]\nbare_key = \"value\"\n";
    let edge = Edge::with_settings(Rules::Reflag, &reflag_document(), value);
    let of_all = |value| found(value, "STATIC", "all", on());
    ask(
        sdk,
        &edge,
        PUBLISHABLE_KEY,
        json!({"targetingKey": "u-1"}),
        &[
            ("text", json!("default"), of_all(json!(TEXT))),
            ("object", json!({}), of_all(object())),
            ("integer", json!(0), of_all(json!(5))),
            ("text:enabled", json!(false), of_all(json!(true))),
        ],
    );
    let enabled = "[environments.ofrep]\nbare_key = \"enabled\"\n";
    let edge = Edge::with_settings(Rules::Flagsmith, &flagsmith_document(), enabled);
    let by_default = |id, value| found(value, "STATIC", "", feature(id, true));
    ask(
        sdk,
        &edge,
        PUBLISHABLE_KEY,
        json!({"targetingKey": "u-1"}),
        &[
            ("integer", json!(false), by_default(4, json!(true))),
            ("integer:value", json!(0), by_default(4, json!(42))),
        ],
    );
}

fn a_flag_without_a_value_leaves_it_to_the_application(sdk: Sdk) {
    // Two of the SDKs take it for an error, which comes to the same.
    let absent = |reason: &str, variant: &str, metadata: Value| match sdk {
        Sdk::Node => failed("GENERAL"),
        Sdk::Rust => failed("PARSE_ERROR"),
        Sdk::Python | Sdk::Browser => {
            json!({"reason": reason, "variant": variant, "metadata": metadata})
        }
    };
    let edge = Edge::serving(Rules::Reflag, &reflag_document());
    let context = json!({"targetingKey": "u-1", "plan": "none"});
    ask(
        sdk,
        &edge,
        PUBLISHABLE_KEY,
        context.clone(),
        &[
            ("sized", json!(false), found(json!(true), "STATIC", "on", on())),
            ("sized:value", json!({"limit": 1}), absent("DEFAULT", "on", on())),
            ("sized:variant", json!("none"), absent("DEFAULT", "on", on())),
        ],
    );
    let edge = Edge::serving(Rules::Flagsmith, &flagsmith_document());
    ask(
        sdk,
        &edge,
        FLAGSMITH_KEYS[0],
        context,
        &[("off", json!("default"), absent("DISABLED", "", feature(8, false)))],
    );
}

fn what_is_not_there_or_of_another_type_leaves_it_to_the_application(sdk: Sdk) {
    let mismatch = if sdk == Sdk::Rust { "PARSE_ERROR" } else { "TYPE_MISMATCH" };
    // It takes each answer of this status for one thing.
    let unreadable = if sdk == Sdk::Rust { "INVALID_CONTEXT" } else { "PARSE_ERROR" };
    let edge = Edge::serving(Rules::Flagsmith, &flagsmith_document());
    ask(
        sdk,
        &edge,
        FLAGSMITH_KEYS[0],
        json!({"targetingKey": "u-1"}),
        &[
            ("nowhere", json!(true), failed("FLAG_NOT_FOUND")),
            ("nowhere:value", json!("default"), failed("FLAG_NOT_FOUND")),
            ("text:nowhere", json!("default"), failed("FLAG_NOT_FOUND")),
            ("text", json!(true), failed(mismatch)),
            ("text", json!({"a": 1}), failed(mismatch)),
            ("integer", json!("default"), failed(mismatch)),
            ("plain", json!("default"), failed(mismatch)),
            (
                "text:json",
                json!({"a": 1}),
                match sdk {
                    // Text that is never JSON is not listed.
                    Sdk::Browser => failed("FLAG_NOT_FOUND"),
                    _ => failed(unreadable),
                },
            ),
        ],
    );
}

fn a_publishable_key_does_not_see_secret_flags(sdk: Sdk) {
    for (rules, document, keys) in [
        (Rules::Reflag, reflag_document(), REFLAG_KEYS),
        (Rules::Flagsmith, flagsmith_document(), FLAGSMITH_KEYS),
    ] {
        let edge = Edge::serving(rules, &document);
        let context = json!({"targetingKey": "u-1"});
        let hidden = [("ledger:enabled", json!(false), failed("FLAG_NOT_FOUND"))];
        ask(sdk, &edge, keys[0], context.clone(), &hidden);
        // A page has no secret key.
        if sdk == Sdk::Browser {
            continue;
        }
        let shown = match rules {
            Rules::Reflag => found(json!("hidden"), "STATIC", "all", on()),
            Rules::Flagsmith => found(json!("hidden"), "STATIC", "", feature(14, true)),
        };
        ask(sdk, &edge, keys[1], context, &[("ledger:value", json!("default"), shown)]);
    }
}

fn keys_of_flags_may_have_slashes_and_blanks(sdk: Sdk) {
    const KEYS: [&str; 8] = [
        "shop/checkout",
        "shop//v2/",
        "New Checkout",
        "100% off",
        "a+b&c=d",
        "Ünsal/\u{1F3C1}",
        "x:y:z",
        "shop/checkout:value",
    ];
    let flags = KEYS.map(|key| with_payload(key, &json!(format!("of {key}"))));
    let edge = Edge::serving(Rules::Reflag, &reflag_rules::document(1, &flags));
    let of_all = |value| found(value, "STATIC", "all", on());
    // It makes one slash of two.
    let seen = |key: &str, value: Value| match sdk {
        Sdk::Python if key.contains("//") => failed("FLAG_NOT_FOUND"),
        _ => of_all(value),
    };
    let mut asked: Vec<Asked> =
        KEYS.iter().map(|key| (*key, json!(false), seen(key, json!(true)))).collect();
    for (key, of) in [
        ("shop//v2/:value", "shop//v2/"),
        ("New Checkout:value", "New Checkout"),
        ("100% off:value", "100% off"),
        ("Ünsal/\u{1F3C1}:value", "Ünsal/\u{1F3C1}"),
        // The shorter name is another flag's own.
        ("shop/checkout:value:value", "shop/checkout:value"),
    ] {
        asked.push((key, json!("default"), seen(key, json!(format!("of {of}")))));
    }
    ask(sdk, &edge, PUBLISHABLE_KEY, json!({"targetingKey": "u-1"}), &asked);
}

/// Contexts as applications write them, and which of the flags are on then. The SDK for Rust has no
/// nested attributes. Flagsmith's segments are for identities: without one, attributes say nothing.
fn contexts(sdk: Sdk, rules: Rules) -> Vec<(Value, Vec<&'static str>)> {
    let without_identity = if rules == Rules::Reflag { vec!["gold", "acme"] } else { Vec::new() };
    let mut contexts = vec![
        (json!({}), vec![]),
        (json!({"targetingKey": "u-1"}), vec!["u-1"]),
        (
            json!({
                "targetingKey": "u-2", "plan": "gold", "age": 18, "beta": true,
                "company.id": "acme", "company.seats": 5, "region": "eu west & north",
            }),
            vec!["gold", "adult", "beta", "acme", "small", "region"],
        ),
        (json!({"targetingKey": "ü 2", "age": 17.5, "beta": false, "company.seats": 10}), vec![]),
        (json!({"plan": "gold", "companyId": "acme"}), without_identity),
        (json!({"user.id": "u-1", "company": "acme"}), vec!["u-1", "acme"]),
        (
            json!({"targetingKey": "u-2", "user.plan": "gold", "other.region": "eu west & north"}),
            vec!["gold", "region"],
        ),
    ];
    if sdk != Sdk::Rust {
        contexts.push((
            json!({
                "targetingKey": "u-1",
                "user": {"plan": "gold", "age": 30, "id": "u-2"},
                "company": {"id": "acme", "seats": 9.5, "more": {"deep": [1, null]}},
                "other": {"region": "eu west & north"},
            }),
            vec!["u-1", "gold", "adult", "acme", "small", "region"],
        ));
        contexts.push((
            json!({"targetingKey": "u-2", "traits": {"plan": "gold", "beta": true}}),
            vec!["gold", "beta"],
        ));
    }
    contexts
}

const ASKED_OF_CONTEXTS: [&str; 7] = ["u-1", "gold", "adult", "beta", "acme", "small", "region"];

#[track_caller]
fn sees_contexts(sdk: Sdk, rules: Rules, document: &Value) {
    let Some(programs) = sdk.programs() else { return };
    let edge = Edge::serving(rules, document);
    let asked: Vec<Asked> =
        ASKED_OF_CONTEXTS.iter().map(|key| (*key, json!(false), Value::Null)).collect();
    let (contexts, expected): (Vec<Value>, Vec<_>) = contexts(sdk, rules).into_iter().unzip();
    let seen = edge.run(&programs, sdk.flags(), &told(PUBLISHABLE_KEY, &contexts, &asked));
    for ((seen, context), expected) in seen.as_array().unwrap().iter().zip(&contexts).zip(&expected)
    {
        let flags = ASKED_OF_CONTEXTS.iter().zip(seen.as_array().unwrap());
        let on: Vec<&str> =
            flags.filter(|(_, seen)| seen["value"] == true).map(|(key, _)| *key).collect();
        assert_eq!(on, *expected, "{context}");
        let errors = seen.as_array().unwrap().iter().find(|seen| seen.get("errorCode").is_some());
        assert_eq!(errors, None, "{context}");
    }
    assert_eq!(seen.as_array().unwrap().len(), contexts.len());
}

fn who_asks_reaches_reflags_rules(sdk: Sdk) {
    let flags = [
        ("u-1", context("user.id", "IS", &["u-1"])),
        ("gold", context("user.plan", "ANY_OF", &["gold", "platinum"])),
        ("adult", context("user.age", "GT", &["17.9"])),
        ("beta", context("user.beta", "IS_TRUE", &[])),
        ("acme", context("company.id", "IS", &["acme"])),
        ("small", context("company.seats", "LT", &["10"])),
        ("region", context("other.region", "IS", &["eu west & north"])),
    ]
    .map(|(key, filter)| flag(key, 1, &[filter]));
    sees_contexts(sdk, Rules::Reflag, &reflag_rules::document(1, &flags));
}

fn who_asks_reaches_flagsmiths_rules(sdk: Sdk) {
    use flagsmith_rules::{document, rule, segment, state, with_priority};
    let asked = [
        ("u-1", "$.identity.identifier", "EQUAL", "u-1"),
        ("gold", "plan", "IN", "gold,platinum"),
        ("adult", "age", "GREATER_THAN_INCLUSIVE", "18"),
        ("beta", "beta", "EQUAL", "true"),
        ("acme", "company.id", "EQUAL", "acme"),
        ("small", "company.seats", "LESS_THAN", "10"),
        ("region", "region", "EQUAL", "eu west & north"),
    ];
    let (mut states, mut segments) = (Vec::new(), Vec::new());
    for ((name, property, operator, value), id) in asked.into_iter().zip(50_u32..) {
        states.push(state(id, name, false, &Value::Null));
        let on = with_priority(state(id, name, true, &Value::Null), 0);
        segments.push(segment(id, name, &rule("ALL", &[(property, operator, value)]), &[on]));
    }
    sees_contexts(sdk, Rules::Flagsmith, &document(&states, &segments, &[]));
}

fn a_key_is_taken_in_either_header_field(sdk: Sdk) {
    let Some(programs) = sdk.programs() else { return };
    let edge = Edge::serving(Rules::Reflag, &reflag_document());
    let asked = [("everyone", json!(false), found(json!(true), "STATIC", "on", on()))];
    for header in ["Authorization", "X-API-Key"] {
        let mut told = told(PUBLISHABLE_KEY, &[json!({"targetingKey": "u-1"})], &asked);
        told["header"] = json!(header);
        is_seen(sdk, &edge.run(&programs, sdk.flags(), &told)[0], &asked);
    }
}

/// The document after a change of one flag's payload and another's targeting.
fn changed_document() -> Value {
    let mut document = reflag_document();
    document["flagStateVersion"] = json!(8);
    for flag in document["features"].as_array_mut().unwrap() {
        if flag["key"] == "text" {
            flag["config"]["variants"][0]["payload"] = json!("other");
        }
        if flag["key"] == "everyone" {
            flag["targeting"]["rules"] = json!([]);
        }
    }
    document
}

/// What is asked for before the change and after it.
fn about_the_change() -> [[Asked; 3]; 2] {
    let asked = |enabled: bool, reason: &str, variant: &str, text: &str| {
        let metadata = json!({"flagVersion": 3, "enabled": enabled});
        [
            ("everyone", json!(!enabled), found(json!(enabled), reason, variant, metadata)),
            ("text:value", json!("default"), found(json!(text), "STATIC", "all", on())),
            ("integer:value", json!(0), found(json!(5), "STATIC", "all", on())),
        ]
    };
    [asked(true, "STATIC", "on", TEXT), asked(false, "DEFAULT", "off", "other")]
}

// The SDKs for servers alone: they ask at each evaluation.

macro_rules! with_each_server_sdk {
    ($($scenario:ident)*) => {
        mod servers {
            mod node {
                $(#[test] fn $scenario() { super::super::$scenario(crate::Sdk::Node); })*
            }
            mod python {
                $(#[test] fn $scenario() { super::super::$scenario(crate::Sdk::Python); })*
            }
            mod rust {
                $(#[test] fn $scenario() { super::super::$scenario(crate::Sdk::Rust); })*
            }
        }
    };
}

with_each_server_sdk! {
    a_change_arrives_with_the_next_evaluation
    an_unknown_key_is_an_error_and_defaults_hold
}

fn a_change_arrives_with_the_next_evaluation(sdk: Sdk) {
    let Some(programs) = sdk.programs() else { return };
    let edge = Edge::serving(Rules::Reflag, &reflag_document());
    let [before, after] = about_the_change();
    let told = told(SECRET_KEY, &[json!({"targetingKey": "u-1"})], &before);
    let (seen, end) = edge.run_with_change(&programs, "changes", &told, &changed_document());
    is_seen(sdk, &seen[0], &before);
    // Programs are told their defaults once.
    let after: Vec<Asked> = after
        .into_iter()
        .zip(before)
        .map(|((key, _, seen), (_, fallback, _))| (key, fallback, seen))
        .collect();
    is_seen(sdk, &end[0], &after);
}

fn an_unknown_key_is_an_error_and_defaults_hold(sdk: Sdk) {
    let Some(programs) = sdk.programs() else { return };
    let edge = Edge::serving(Rules::Reflag, &reflag_document());
    let asked = [
        ("everyone", json!(false), failed("GENERAL")),
        ("text:value", json!("default"), failed("GENERAL")),
        ("nowhere", json!(true), failed("GENERAL")),
    ];
    for key in ["pub_unknown_0123456789abcdef", "sec_unknown_0123456789abcdef", "ser.unknown"] {
        let told = told(key, &[json!({"targetingKey": "u-1"})], &asked);
        is_seen(sdk, &edge.run(&programs, "flags", &told)[0], &asked);
    }
    assert_eq!(edge.burgee.answered(ONE, 401), 9);
    assert!(!edge.burgee.log().contains("unknown_0123"), "{}", edge.burgee.log());
}

/// Routes, as metrics name them.
const ONE: &str = "/ofrep/v1/evaluate/flags/{key}";
const ALL: &str = "/ofrep/v1/evaluate/flags";
const STREAM: &str = "/ofrep/v1/sse";

// The SDK for browsers alone: it holds all flags, and asks whether they still are what they were.

const PREFLIGHT: &str = "OPTIONS /ofrep/v1/evaluate/flags for authorization,content-type";
const PREFLIGHT_WITH_TAG: &str =
    "OPTIONS /ofrep/v1/evaluate/flags for authorization,content-type,if-none-match";
const POST: &str = "POST /ofrep/v1/evaluate/flags";

#[test]
fn browser_sdk_polls_without_being_told_the_same_twice() {
    let sdk = Sdk::Browser;
    let Some(programs) = sdk.programs() else { return };
    let edge = Edge::serving(Rules::Reflag, &reflag_document());
    let [before, after] = about_the_change();
    let told = told(PUBLISHABLE_KEY, &[json!({"targetingKey": "u-1"})], &before);
    let (seen, end) =
        edge.run_with_change(&programs, "browser_changes", &told, &changed_document());
    is_seen(sdk, &seen["seen"], &before);
    assert_eq!(seen["events"], json!([]));
    is_seen(sdk, &end["seen"], &after.map(|(key, _, seen)| (key, Value::Null, seen)));
    assert_eq!(end["events"], json!([["everyone", "text:value"]]), "what changed and nothing else");
    assert_eq!(edge.burgee.answered(ALL, 200), 2);
    assert!(edge.burgee.answered(ALL, 304) >= 6);
}

#[test]
fn browser_sdk_is_told_of_changes_without_polling_and_listens_again_when_its_stream_is_ended() {
    let sdk = Sdk::Browser;
    let Some(programs) = sdk.programs() else { return };
    let mut edge = Edge::serving(Rules::Reflag, &reflag_document());
    let [before, after] = about_the_change();
    let told = told(PUBLISHABLE_KEY, &[json!({"targetingKey": "u-1"})], &before);
    let mut program = programs.start("browser_streams", &edge.told(&told));
    let seen = program.seen();
    is_seen(sdk, &seen["seen"], &before);
    assert_eq!(seen["events"], json!([]));
    edge.publish(&changed_document());
    program.go_on();
    let seen = program.seen();
    let after = after.map(|(key, _, seen)| (key, Value::Null, seen));
    is_seen(sdk, &seen["seen"], &after);
    assert_eq!(
        seen["events"],
        json!([["everyone", "text:value"]]),
        "what changed and nothing else"
    );
    assert_eq!((edge.burgee.answered(ALL, 200), edge.burgee.answered(STREAM, 200)), (2, 1));
    assert_eq!(edge.burgee.answered(ALL, 304), 1);
    edge.restart();
    program.go_on();
    let seen = program.seen();
    is_seen(sdk, &seen["seen"], &after);
    let asked = seen["asked"].as_array().unwrap();
    assert!(asked.iter().all(|request| request == "GET /ofrep/v1/sse after 8"), "{asked:?}");
    // This release does not take that word back, though it has missed nothing and follows changes.
    let stale = "PROVIDER_STALE: SSE connection interrupted — attempting to reconnect";
    assert_eq!((&seen["events"], &seen["status"]), (&json!([stale]), &json!("STALE")));
    let mut document = reflag_document();
    document["flagStateVersion"] = json!(9);
    edge.publish(&document);
    program.go_on();
    let seen = program.seen_in_the_end();
    is_seen(sdk, &seen["seen"], &before.map(|(key, _, seen)| (key, Value::Null, seen)));
    assert_eq!(seen["events"], json!([["everyone", "text:value"]]));
    assert_eq!(seen["status"], "STALE");
    assert_eq!((edge.burgee.answered(ALL, 200), edge.burgee.answered(STREAM, 200)), (1, 1));
}

#[test]
fn browser_sdk_is_told_of_changes_of_flagsmiths_rules() {
    let sdk = Sdk::Browser;
    let Some(programs) = sdk.programs() else { return };
    let edge = Edge::serving(Rules::Flagsmith, &flagsmith_document());
    let asked = [("text", json!("default"), Value::Null)];
    let told = told(PUBLISHABLE_KEY, &[json!({"targetingKey": "u-1"})], &asked);
    let mut program = programs.start("browser_streams", &edge.told(&told));
    assert_eq!(program.seen()["seen"][0]["value"], TEXT);
    let mut changed = flagsmith_document();
    changed["feature_states"][0]["feature_state_value"] = json!("other");
    edge.publish(&changed);
    program.go_on();
    let seen = program.seen();
    assert_eq!(seen["seen"][0]["value"], "other");
    assert_eq!(seen["events"], json!([["text"]]));
    assert_eq!((edge.burgee.answered(ALL, 200), edge.burgee.answered(STREAM, 200)), (2, 1));
}

#[test]
fn browser_sdk_asks_again_for_another_context() {
    let sdk = Sdk::Browser;
    let Some(programs) = sdk.programs() else { return };
    for (rules, document, flag) in [
        (Rules::Reflag, reflag_document(), "gold"),
        (Rules::Flagsmith, flagsmith_document(), "New Checkout"),
    ] {
        let edge = Edge::serving(rules, &document);
        let contexts = [
            json!({"targetingKey": "u-1"}),
            json!({"targetingKey": "u-1", "plan": "gold"}),
            json!({"targetingKey": "u-1", "plan": "gold", "unused": true}),
            json!({"targetingKey": "u-2", "plan": "gold"}),
            json!({"targetingKey": "u-2", "plan": "silver"}),
        ];
        let told = told(PUBLISHABLE_KEY, &contexts, &[(flag, json!(false), Value::Null)]);
        let end = edge.run(&programs, "browser_contexts", &told);
        let of_each = end["ofEach"].as_array().unwrap();
        let values: Vec<&Value> = of_each.iter().map(|seen| &seen["seen"][0]["value"]).collect();
        assert_eq!(values, [false, true, true, true, false].map(Value::from).each_ref());
        assert!(of_each.iter().all(|seen| seen["keys"] == of_each[0]["keys"]), "{end}");
        assert_eq!(end["events"], json!([]));
        // Where nothing came of the other attribute, it is told that nothing did. It drops the tag
        // for another targeting key.
        assert_eq!((edge.burgee.answered(ALL, 200), edge.burgee.answered(ALL, 304)), (4, 1));
        let asked =
            [PREFLIGHT, POST, PREFLIGHT_WITH_TAG, POST, PREFLIGHT_WITH_TAG, POST, PREFLIGHT];
        assert_eq!(end["asked"].as_array().unwrap()[..7], asked.map(Value::from));
    }
}

#[test]
fn browser_sdk_begins_with_what_it_stored_and_asks_whether_that_holds() {
    let sdk = Sdk::Browser;
    let Some(programs) = sdk.programs() else { return };
    let edge = Edge::serving(Rules::Reflag, &reflag_document());
    let [before, after] = about_the_change();
    let told = told(PUBLISHABLE_KEY, &[json!({"targetingKey": "u-1"})], &before);
    let (seen, end) =
        edge.run_with_change(&programs, "browser_storage", &told, &changed_document());
    let cached = before.clone().map(|(key, fallback, mut seen)| {
        seen["reason"] = json!("CACHED");
        (key, fallback, seen)
    });
    is_seen(sdk, &seen["first"], &before);
    is_seen(sdk, &seen["again"], &cached);
    assert_eq!((&seen["stored"], &seen["events"]), (&json!(1), &json!([])));
    is_seen(sdk, &end["old"], &cached);
    is_seen(sdk, &end["renewed"], &after);
    assert_eq!(end["events"], json!([["everyone", "text:value"]]));
    let asked = [PREFLIGHT, POST, PREFLIGHT_WITH_TAG, POST, PREFLIGHT_WITH_TAG, POST];
    assert_eq!(end["asked"], json!(asked));
    assert_eq!((edge.burgee.answered(ALL, 200), edge.burgee.answered(ALL, 304)), (2, 1));
}

#[test]
fn browser_sdk_with_a_wrong_key_can_read_why_and_gives_up() {
    let sdk = Sdk::Browser;
    let Some(programs) = sdk.programs() else { return };
    let edge = Edge::serving(Rules::Reflag, &reflag_document());
    let asked = [("everyone", json!(true), failed("PROVIDER_FATAL"))];
    let mut told = told("", &[json!({"targetingKey": "u-1"})], &asked);
    told["wrongKeys"] = json!(["pub_other_0123456789abcdef", SECRET_KEY]);
    let end = edge.run(&programs, "browser_unknown_key", &told);
    assert_eq!(end[0]["failed"], "PROVIDER_FATAL: Initialization failed");
    assert_eq!(end[0]["status"], "FATAL");
    is_seen(sdk, &end[0]["seen"], &asked);
    assert_eq!(end[0]["asked"], json!([PREFLIGHT, POST]), "it does not ask again");
    // A secret key does not belong into a page, which gets to read none of what is answered to it.
    assert_eq!(end[1]["failed"], "undefined: The OFREP request failed.");
    assert_eq!(end[1]["status"], "ERROR");
    is_seen(sdk, &end[1]["seen"], &[("everyone", json!(true), failed("FLAG_NOT_FOUND"))]);
}
