//! The published Reflag SDKs against the binary, which stands in front of a fake upstream.
//!
//! Each test starts all three and a program of `tests/sdk/reflag`, which uses an SDK as an
//! application would and says what it saw. Nothing here knows the protocol: what the SDKs make of
//! Burgee's answers is what counts.
//!
//! Without Node, or without a registry to install the SDKs from, the tests say so and pass, unless
//! `BURGEE_REQUIRE_SDKS=1` is set. Another release of an SDK is chosen in `tests/sdk/reflag`, by
//! `npm install --package-lock-only @reflag/node-sdk@VERSION`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "this is test code throughout, the lints see only #[test]"
)]

mod fake_upstream;
mod sdk;

use std::fs;
use std::path::Path;

use fake_upstream::{Document, Upstream};
use sdk::flagsmith_rules;
use sdk::reflag_rules::{constant, context, flag, variant, with_config};
use sdk::{Burgee, Edge, Programs, REFLAG_KEYS, Rules, until};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

/// Keys of Burgee's own, so that an SDK that gets through does not owe it to a key of the upstream.
const SECRET_KEY: &str = "sec_edge_0123456789abcdef";
const PUBLISHABLE_KEY: &str = "pub_edge_0123456789abcdef";

/// Burgee's configuration below `[server]` and `[admin]`.
fn environment(upstream: &Upstream) -> String {
    format!(
        "[[environments]]\nname = \"shop\"\npublishable_keys = [{PUBLISHABLE_KEY:?}]\n\
         secret_keys = [{SECRET_KEY:?}]\n[environments.source]\n\
         type = \"reflag\"\nurl = {:?}\nsecret_key = {:?}\n\
         upstream_publishable_key = {:?}\npoll_interval = \"200ms\"\n",
        upstream.url(),
        fake_upstream::SECRET_KEY,
        fake_upstream::PUBLISHABLE_KEY,
    )
}

/// An upstream, Burgee in front of it, and programs that use Burgee. All end with the test.
struct Scene {
    programs: Programs,
    burgee: Burgee,
    upstream: Upstream,
    _folder: TempDir,
}

impl Scene {
    /// Waits until Burgee serves the document. None where there is nothing to run programs with.
    fn with(document: &Document) -> Option<Self> {
        let programs = Programs::for_reflag()?;
        let folder = tempfile::tempdir().unwrap();
        let upstream = Upstream::serving(document.clone());
        let burgee = Burgee::start(folder.path(), &environment(&upstream));
        let scene = Self { programs, burgee, upstream, _folder: folder };
        scene.until_served(document.version);
        Some(scene)
    }

    /// Puts another document upstream and waits until Burgee serves it.
    fn publish(&self, document: Document) {
        let version = document.version;
        self.upstream.publish(document);
        self.until_served(version);
    }

    /// Ends Burgee, and with it all event streams, and starts it again.
    fn restart(&mut self, version: u64) {
        self.burgee.restart();
        self.until_served(version);
    }

    #[track_caller]
    fn until_served(&self, version: u64) {
        let served = |key| self.burgee.version(key).is_some_and(|served| served >= version);
        until(&format!("version {version}, for either class of keys"), || {
            (served(SECRET_KEY) && served(PUBLISHABLE_KEY)).then_some(())
        });
    }

    /// What a program is told: where Burgee is, its keys, and more.
    fn told(&self, more: &Value) -> Value {
        let mut told = json!({
            "url": self.burgee.url(),
            "secretKey": SECRET_KEY,
            "publishableKey": PUBLISHABLE_KEY,
        });
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
    fn run_with_change(&self, program: &str, more: &Value, document: Document) -> (Value, Value) {
        let mut program = self.programs.start(program, &self.told(more));
        let before = program.seen();
        self.publish(document);
        program.go_on();
        (before, program.seen_in_the_end())
    }
}

// The document.

/// Every type that JSON has, in places where it could be lost.
fn every_type() -> Value {
    json!({
        "text": "5", "empty": "", "unicode": "Ünsal \u{1F3C1} \u{2028}", "integer": 5,
        "large": 9_007_199_254_740_991_u64,
        "negative": -0.25, "small": 1e-7, "yes": true, "no": false, "nothing": null,
        "list": [1, "1", [null, {}], {"deep": {"deeper": [true]}}], "dotted.name": {"__proto": 1},
    })
}

/// Flags for each thing that an SDK can see.
fn first() -> Document {
    let large = context("user.id", "ANY_OF", &["u-1"]);
    let adult = json!({"type": "group", "operator": "and", "filters": [
        context("user.age", "GT", &["17"]),
        context("user.beta", "IS_TRUE", &[]),
    ]});
    let not_blocked = json!({
        "type": "negation", "filter": context("company.blocked", "IS_TRUE", &[]),
    });
    let half = json!({
        "type": "rolloutPercentage", "key": "half", "partialRolloutAttribute": "user.id",
        "partialRolloutThreshold": 50_000,
    });
    let mut described = flag("everyone", 1, &[constant(true)]);
    described["description"] = json!("On for \"everyone\"");
    Document::empty(412)
        .flag(described)
        .flag(flag("nobody", 2, &[]))
        .flag(flag("acme-only", 3, &[context("company.id", "ANY_OF", &["acme", "globex"])]))
        .flag(flag("adults", 4, &[adult]))
        .flag(flag("not-blocked", 5, &[constant(false), not_blocked]))
        .flag(flag("half", 6, &[half]))
        .flag(with_config(
            flag("sized", 7, &[constant(true)]),
            9,
            &[
                variant("large", &large, &json!({"limit": 20})),
                variant("small", &constant(true), &Value::Null),
            ],
        ))
        .flag(with_config(
            flag("typed", 8, &[]),
            1,
            &[variant("all", &constant(true), &every_type())],
        ))
        .flag(with_config(
            flag("plain", 8, &[constant(true)]),
            2,
            &[
                variant("zero", &large, &json!(0)),
                variant("false", &context("user.id", "IS", &["u-2"]), &json!(false)),
                variant("empty", &context("other.x", "SET", &[]), &json!("")),
            ],
        ))
        .secret_flag(with_config(
            flag("ledger", 9, &[constant(true)]),
            1,
            &[variant("books", &constant(true), &json!({"account": "hidden"}))],
        ))
}

/// The same with `sized` off and larger, which its config does not depend on.
fn second() -> Document {
    let mut document = first();
    document.version = 500;
    for flag in &mut document.flags {
        if flag["key"] == "sized" {
            flag["targeting"] = json!({"version": 8, "rules": []});
            flag["config"]["variants"][0]["payload"]["limit"] = json!(40);
        }
    }
    document
}

/// [`first`], after [`second`].
fn third() -> Document {
    Document { version: 600, ..first() }
}

/// A flag as applications see it, without remote config.
fn bare(enabled: bool) -> Value {
    json!({"isEnabled": enabled, "config": {}})
}

/// The same with remote config.
fn carrying(enabled: bool, key: &str, payload: &Value) -> Value {
    json!({"isEnabled": enabled, "config": {"key": key, "payload": payload}})
}

/// The flag `sized`, for `u-1` and for others.
fn large(enabled: bool, limit: u64) -> Value {
    carrying(enabled, "large", &json!({"limit": limit}))
}

fn small(enabled: bool) -> Value {
    carrying(enabled, "small", &Value::Null)
}

fn ledger() -> Value {
    carrying(true, "books", &json!({"account": "hidden"}))
}

/// All flags of [`first`], of a user `u-1` of `acme`.
fn flags_of_u1() -> Value {
    json!({
        "everyone": bare(true), "nobody": bare(false), "acme-only": bare(true),
        "adults": bare(false), "not-blocked": bare(true), "half": bare(true),
        "sized": large(true, 20), "typed": carrying(false, "all", &every_type()),
        "plain": carrying(true, "zero", &json!(0)), "ledger": ledger(),
    })
}

const NO_HEARD: [&str; 0] = [];

// The SDKs are there.

/// Also the way in which continuous integration installs them, before other tests.
#[test]
fn the_published_sdks_are_installed() {
    Programs::for_reflag();
}

#[test]
fn the_lock_file_has_hashes_and_no_addresses() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk/reflag");
    let read = |name: &str| -> Value {
        serde_json::from_slice(&fs::read(folder.join(name)).unwrap()).unwrap()
    };
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

/// What Burgee is tested with must be something that an SDK takes for Reflag's service.
#[test]
fn node_sdk_takes_the_fake_upstream_for_the_service() {
    let Some(scene) = Scene::with(&first()) else { return };
    let more = json!({
        "url": scene.upstream.url(), "secretKey": fake_upstream::SECRET_KEY,
        "context": {"user": {"id": "u-1"}}, "flag": "sized",
    });
    scene.upstream.forget_requests();
    let (before, end) = scene.run_with_change("node_push", &more, second());
    assert_eq!(before, json!({"version": 412, "flag": large(true, 20)}));
    assert_eq!(end, json!({"version": 500, "flag": large(false, 40), "heard": NO_HEARD}));
    let mut asked = scene.upstream.requests();
    let of_sdk = |version: &str| version.starts_with("node-sdk/");
    asked.retain(|request| request.header("reflag-sdk-version").is_some_and(of_sdk));
    let asked: Vec<_> = asked.iter().map(|request| request.target.as_str()).collect();
    assert_eq!(asked, ["/sse/server", "/features", "/features?waitForVersion=500"]);
}

// node-sdk.

#[test]
fn node_sdk_evaluates_by_itself_and_polls() {
    let Some(scene) = Scene::with(&first()) else { return };
    let contexts = json!([
        {"user": {"id": "u-1"}, "company": {"id": "acme"}},
        {"user": {"id": "u-2", "age": 30, "beta": true}, "company": {"id": 7, "blocked": true}},
        {"other": {"x": ["y"]}},
    ]);
    let (before, end) =
        scene.run_with_change("node_polling", &json!({"contexts": contexts}), second());
    let definitions: Vec<_> = first().flags.into_iter().map(as_defined).collect();
    let of_u2 = json!({
        "everyone": bare(true), "nobody": bare(false), "acme-only": bare(false),
        "adults": bare(true), "not-blocked": bare(false), "half": bare(false),
        "sized": small(true), "typed": carrying(false, "all", &every_type()),
        "plain": carrying(true, "false", &json!(false)), "ledger": ledger(),
    });
    let of_nobody = json!({
        "everyone": bare(true), "nobody": bare(false), "acme-only": bare(false),
        "adults": bare(false), "not-blocked": bare(true), "half": bare(false),
        "sized": small(true), "typed": carrying(false, "all", &every_type()),
        "plain": bare(true), "ledger": ledger(),
    });
    let seen = json!({
        "version": 412, "definitions": definitions, "flags": [flags_of_u1(), of_u2, of_nobody],
    });
    assert_eq!(before, seen);

    let mut changed = seen.clone();
    changed["version"] = json!(500);
    changed["definitions"] = second().flags.into_iter().map(as_defined).collect();
    changed["flags"][0]["sized"] = large(false, 40);
    changed["flags"][1]["sized"] = small(false);
    changed["flags"][2]["sized"] = small(false);
    assert_eq!(end, json!({"before": seen, "after": changed, "heard": NO_HEARD}));
    assert_eq!(scene.burgee.answered("/features", 200), 2);
}

/// A definition as `getFlagDefinitions` gives it.
fn as_defined(mut flag: Value) -> Value {
    let mut defined = Map::new();
    for (from, to) in [
        ("key", "key"),
        ("description", "description"),
        ("targeting", "flag"),
        ("config", "config"),
    ] {
        if let Some(value) = flag.as_object_mut().unwrap().remove(from) {
            defined.insert(to.to_owned(), value);
        }
    }
    defined.into()
}

#[test]
fn node_sdk_looks_again_when_it_is_asked_after_a_minute() {
    let Some(scene) = Scene::with(&first()) else { return };
    let more = json!({"context": {"user": {"id": "u-1"}}, "flag": "sized"});
    let (before, end) = scene.run_with_change("node_in_request", &more, second());
    // One of them is the client of edge runtimes.
    let (old, new) = (vec![large(true, 20); 2], vec![large(false, 40); 2]);
    assert_eq!(before, json!({"first": old}));
    assert_eq!(
        end,
        json!({
            "first": old, "fresh": old, "stillFresh": old, "old": old, "renewed": new,
            "heard": NO_HEARD,
        })
    );
    assert_eq!(scene.burgee.answered("/features", 200), 4);
}

#[test]
fn node_sdk_as_it_comes_gets_its_flags_and_their_changes() {
    let Some(scene) = Scene::with(&first()) else { return };
    let more = json!({"context": {"user": {"id": "u-1"}}, "flag": "sized"});
    let (before, end) = scene.run_with_change("node_push", &more, second());
    assert_eq!(before, json!({"version": 412, "flag": large(true, 20)}));
    assert_eq!(end, json!({"version": 500, "flag": large(false, 40), "heard": NO_HEARD}));
    assert_eq!(scene.burgee.answered("/sse/server", 200), 1);
    assert_eq!(scene.burgee.answered("/features", 200), 2, "it asks when it is told to");
}

#[test]
fn node_sdk_listens_again_when_its_stream_is_ended() {
    let Some(mut scene) = Scene::with(&first()) else { return };
    let more = json!({"context": {"user": {"id": "u-1"}}, "flag": "sized"});
    let mut program = scene.programs.start("node_reconnect", &scene.told(&more));
    let seen = |version, flag, connections| json!({"version": version, "flag": flag, "connections": connections});
    assert_eq!(program.seen(), seen(412, large(true, 20), 1));
    scene.restart(412);
    program.go_on();
    assert_eq!(program.seen(), seen(412, large(true, 20), 2));
    scene.publish(second());
    program.go_on();
    assert_eq!(program.seen_in_the_end(), seen(500, large(false, 40), 2));
    assert_eq!(scene.burgee.answered("/sse/server", 200), 1);
}

#[test]
fn node_sdk_lets_burgee_evaluate() {
    let Some(scene) = Scene::with(&first()) else { return };
    let seen = scene.run("node_remote", &json!({}));
    assert_eq!(
        seen,
        json!({
            "all": flags_of_u1(),
            "one": large(true, 20),
            "withAttributes": bare(true),
            "unknown": bare(false),
            "heard": ["error: flag nowhere not found"],
        })
    );
}

/// One flag for each operator, with operands that make it say both yes and no.
fn operators() -> Document {
    let mut document = first();
    for (operator, values) in [
        ("IS", &["5"][..]),
        ("IS_NOT", &["5"]),
        ("ANY_OF", &["5", "true", "", "Ünsal & Söhne"]),
        ("NOT_ANY_OF", &["5", "true", "", "a+b c"]),
        ("CONTAINS", &["A"]),
        ("NOT_CONTAINS", &["A"]),
        ("GT", &["4.5"]),
        ("LT", &["1e3"]),
        ("AFTER", &["30"]),
        ("BEFORE", &["30"]),
        ("DATE_AFTER", &["2026-01-01"]),
        ("DATE_BEFORE", &["2026-01-01T00:00:00+02:00"]),
        ("SET", &[]),
        ("NOT_SET", &[]),
        ("IS_TRUE", &[]),
        ("IS_FALSE", &[]),
        ("OF_TOMORROW", &["5"]),
    ] {
        let filter = context("other.x", operator, values);
        let negated = json!({"type": "negation", "filter": filter});
        let key = format!("operator-{operator}");
        document = document.flag(with_config(
            flag(&key, 1, &[filter.clone(), negated]),
            3,
            &[
                variant("first", &filter, &json!([1, null])),
                variant("rest", &constant(true), &json!(1)),
            ],
        ));
    }
    document
}

#[test]
fn burgee_and_the_official_evaluator_see_the_same() {
    let document = operators();
    let flags = document.flags.len();
    let Some(scene) = Scene::with(&document) else { return };
    let values = json!([
        "5", "", " 5 ", "A", "ä", "a+b c", "Ünsal & Söhne", "100%", "a=b&c=d", "#?/",
        "\u{1F3C1}", "\u{130}STANBUL", "true", "false", "TRUE", true, false, null,
        5, 5.0, -0.0, 4.5, 1e21, 1e-7, 0.1, 123_456_789_012_i64, "0x10", "Infinity", "1e2",
        [], {}, ["5"], ["A", 5, null], {"y": {"z": "5"}},
        "2026-01-01", "2025-12-31T22:00:00Z", "2025-12-31T21:59:59.999Z", "2020-02-29T12:00:00Z",
        "2999-01-01", "2026-13-01", "not a date",
    ]);
    let of_value = |value: &Value| {
        let user = json!({"id": "u-1", "age": value, "beta": value});
        json!({"user": user, "other": {"x": value}})
    };
    let mut contexts: Vec<Value> = values.as_array().unwrap().iter().map(of_value).collect();
    contexts.push(json!({}));
    contexts.push(json!({"company": {"id": 7, "blocked": "true"}, "other": {"y.z": 1}}));
    contexts.extend((0..50).map(|number| json!({"user": {"id": format!("user {number}")}})));
    let compared = contexts.len() * flags;
    let seen = scene.run("node_agreement", &json!({"contexts": contexts}));
    assert_eq!(
        seen,
        json!({
            "compared": compared,
            "different": [],
            "alike": ["everyone", "nobody", "typed", "ledger"],
            "heard": NO_HEARD,
        })
    );
}

#[test]
fn node_sdk_has_its_events_accepted() {
    let Some(scene) = Scene::with(&first()) else { return };
    let seen = scene.run("node_tracking", &json!({}));
    assert_eq!(
        seen,
        json!({"checked": [true, "large", null, false], "batches": [1, 3], "heard": NO_HEARD})
    );
    assert_eq!(scene.burgee.answered("/bulk", 200), 4);
}

#[test]
fn node_sdk_with_a_wrong_key_goes_on_with_its_fallback() {
    let Some(scene) = Scene::with(&first()) else { return };
    let dropped = "warn: flush of buffered items failed; discarding items";
    for (key, code, bulk) in [
        ("sec_other_0123456789abcdef", "INVALID_API_KEY", &[dropped][..]),
        // Either class of keys may tell of events.
        (PUBLISHABLE_KEY, "FORBIDDEN_KEY", &[]),
    ] {
        let seen = scene.run("node_without_definitions", &json!({"secretKey": key}));
        assert_eq!(seen["definitions"], json!([]));
        assert_eq!(seen["fallback"], carrying(true, "fallback", &json!(1)));
        assert_eq!(seen["other"], bare(false));
        let heard: Vec<_> = strings(&seen["heard"]).collect();
        assert!(heard[0].starts_with("warn: failed to fetch flags, will retry | "), "{seen}");
        assert!(heard[0].contains(code), "{seen}");
        assert_eq!(heard[1..3], ["warn: no flag definitions available, using fallback flags."; 2]);
        assert_eq!(heard[3..], *bulk);
    }
    assert_eq!(scene.burgee.answered("/features", 403), 4);
    let log = scene.burgee.log();
    assert!(!log.contains("sec_") && !log.contains("pub_"), "{log}");
}

// browser-sdk.

const PREFLIGHT_BULK: &str = "OPTIONS /bulk for authorization,content-type,reflag-sdk-version";
const PREFLIGHT_EVENT: &str = "OPTIONS /event for authorization,content-type,reflag-sdk-version";

#[test]
fn browser_sdk_gets_the_public_flags_of_its_user() {
    let Some(scene) = Scene::with(&first()) else { return };
    let seen = scene.run("browser_flags", &json!({}));
    let mut flags = flags_of_u1();
    flags["adults"] = bare(true);
    flags.as_object_mut().unwrap().remove("ledger").unwrap();
    assert_eq!(
        seen,
        json!({
            "flags": flags, "secret": bare(false), "version": 412, "cached": 1,
            "asked": [
                "GET /features/evaluated", "GET /sse/client", PREFLIGHT_BULK, "POST /bulk",
            ],
            "heard": NO_HEARD,
        })
    );
}

#[test]
fn browser_sdk_asks_again_for_another_context() {
    let Some(scene) = Scene::with(&first()) else { return };
    let (before, end) = scene.run_with_change("browser_context", &json!({}), second());
    assert_eq!(
        before,
        json!({
            "first": {"version": 412, "updates": 1, "acme": bare(false), "sized": large(true, 20)},
            "withCompany": {
                "version": 412, "updates": 2, "acme": bare(true), "sized": large(true, 20),
            },
            "other": {"version": 412, "updates": 3, "acme": bare(false), "sized": small(true)},
        })
    );
    // For three contexts and once more for the change.
    assert_eq!(end["asked"], json!(vec!["GET /features/evaluated"; 4]));
    assert_eq!(end["sized"], small(false));
    assert_eq!((&end["version"], &end["updates"]), (&json!(500), &json!(4)));
    let errors: Vec<_> = strings(&end["heard"]).filter(|line| line.starts_with("error")).collect();
    assert_eq!(errors, NO_HEARD);
}

#[test]
fn browser_sdk_follows_changes_and_listens_again_when_its_stream_is_ended() {
    let Some(mut scene) = Scene::with(&first()) else { return };
    let mut program = scene.programs.start("browser_reconnect", &scene.told(&json!({})));
    let seen =
        |version, sized, streams| json!({"version": version, "sized": sized, "streams": streams});
    let with_fetches = |mut seen: Value, fetched| {
        seen["fetched"] = json!(fetched);
        seen
    };
    assert_eq!(program.seen(), seen(412, large(true, 20), 1));
    scene.publish(second());
    program.go_on();
    let changed = seen(500, large(false, 40), 1);
    assert_eq!(program.seen(), with_fetches(changed, 2), "it asks when it is told to");
    assert_eq!(scene.burgee.answered("/sse/client", 200), 1);
    scene.restart(500);
    program.go_on();
    assert_eq!(program.seen(), seen(500, large(false, 40), 2));
    scene.publish(third());
    program.go_on();
    let changed = seen(600, large(true, 20), 2);
    assert_eq!(program.seen_in_the_end(), with_fetches(changed, 3));
    assert_eq!(scene.burgee.answered("/sse/client", 200), 1);
}

fn strings(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().unwrap().iter().map(|text| text.as_str().unwrap())
}

#[test]
fn browser_sdk_with_a_wrong_key_can_read_why_and_goes_on_with_its_fallback() {
    let Some(scene) = Scene::with(&first()) else { return };
    let wrong = json!({"wrongKeys": ["pub_other", SECRET_KEY]});
    let seen = scene.run("browser_unknown_key", &wrong);
    let asked =
        ["GET /features/evaluated", PREFLIGHT_EVENT, "POST /event", PREFLIGHT_BULK, "POST /bulk"];
    for seen in seen.as_array().unwrap() {
        assert_eq!(seen["known"], json!(["sized"]));
        assert_eq!(seen["sized"], carrying(true, "fallback", &json!(1)));
        assert_eq!(
            seen["asked"],
            json!(asked),
            "an answer that can be read is not asked for again"
        );
    }
    let heard = |seen: &Value, start: &str| {
        let found = strings(&seen["heard"]).any(|line| line.starts_with(start));
        assert!(found, "{start:?} is in {seen}");
    };
    let refused = "error: [Flags] error fetching flags: | unexpected response code: 403 - ";
    heard(&seen[0], &format!("{refused}INVALID_API_KEY"));
    heard(&seen[0], "error: track request failed: INVALID_API_KEY");
    heard(&seen[0], "error: bulk request failed; dropping batch: INVALID_API_KEY");
    assert_eq!(seen[0]["tracked"], 403);
    // A secret key does not belong into a page, which gets to read none of what is answered to it.
    heard(&seen[1], &format!("{refused}FORBIDDEN_KEY"));
    assert_eq!(seen[1]["tracked"], "TypeError: Failed to fetch: no leave for this origin");
}

#[test]
fn browser_sdk_has_its_events_accepted() {
    let Some(scene) = Scene::with(&first()) else { return };
    let seen = scene.run("browser_tracking", &json!({}));
    assert_eq!(seen["tracked"], json!({"status": 200, "body": {"success": true}}));
    assert_eq!(seen["byFlag"], 200);
    assert_eq!(seen["checked"], json!([true, "large", null]));
    assert_eq!(
        seen["asked"],
        json!([
            "GET /features/evaluated",
            PREFLIGHT_EVENT,
            "POST /event",
            PREFLIGHT_EVENT,
            "POST /event",
            PREFLIGHT_BULK,
            "POST /bulk",
        ])
    );
    let missing = "warn: [Flags] flag targeting rules might not be correctly evaluated due to \
                   missing context fields.";
    assert_eq!(seen["heard"], json!([missing]), "{seen}");
    assert_eq!(scene.burgee.answered("/event", 200), 2);
    assert_eq!(scene.burgee.answered("/bulk", 200), 1);
}

// react-sdk.

#[test]
fn react_sdk_shows_flags_and_their_changes() {
    let Some(scene) = Scene::with(&first()) else { return };
    let (before, end) = scene.run_with_change("react_use_flag", &json!({}), second());
    let mut shown = vec![
        "sized loading, acme-only loading, ledger loading",
        "sized on large {\"limit\":20}, acme-only on undefined undefined, ledger off",
        "sized loading, acme-only loading, ledger loading",
        "sized on small null, acme-only off, ledger off",
    ];
    assert_eq!(before, json!({"shown": shown}));
    shown.push("sized off, acme-only off, ledger off");
    assert_eq!(end["shown"], json!(shown));
    let errors: Vec<_> = strings(&end["heard"]).filter(|line| line.starts_with("error")).collect();
    assert_eq!(errors, NO_HEARD);
}

// Rules of the other vendor: Burgee evaluates them, or translates them for SDKs that evaluate by
// themselves.

/// Features with the names of the flags above, and one for each thing that this vendor has.
fn of_flagsmith() -> Value {
    use flagsmith_rules::{SERVER_ONLY, document, identity, rule, segment, split, state};
    let on = |id, name| flagsmith_rules::with_priority(state(id, name, true, &Value::Null), 0);
    let sized = |variant, id| {
        let state = state(id, "sized", true, &json!("nobody in particular"));
        split(state, &[(variant, 100.0)])
    };
    document(
        &[
            state(1, "everyone", true, &Value::Null),
            state(2, "nobody", false, &Value::Null),
            state(3, "acme-only", false, &Value::Null),
            state(4, "gold", false, &json!("v1")),
            sized("small", 7),
            state(8, "json", true, &json!("{\"limit\": [1, null]}")),
            state(9, "count", true, &json!(42)),
            state(10, "empty", false, &json!("")),
            state(11, "yes", true, &json!(true)),
            state(12, "New Checkout", true, &json!("theirs")),
            state(SERVER_ONLY, "ledger", true, &json!("hidden")),
        ],
        &[
            segment(
                1,
                "acme",
                &rule("ALL", &[("company.id", "EQUAL", "acme")]),
                &[on(3, "acme-only")],
            ),
            segment(
                2,
                "gold",
                &rule("ANY", &[("plan", "EQUAL", "gold"), ("plan", "EQUAL", "platinum")]),
                &[flagsmith_rules::with_priority(state(4, "gold", true, &json!("v2")), 0)],
            ),
            segment(
                3,
                "large ones",
                &rule("ALL", &[("$.identity.identifier", "EQUAL", "u-1")]),
                &[flagsmith_rules::with_priority(sized("large", 7), 0)],
            ),
        ],
        &[identity("u-2", &[state(12, "New Checkout", false, &json!("hers"))])],
    )
}

/// The same with `sized` off, and what its variants hold as it was.
fn of_flagsmith_without_sized() -> Value {
    let mut document = of_flagsmith();
    document["updated_at"] = json!("2026-05-04T09:31:00.5+00:00");
    document["feature_states"][4]["enabled"] = json!(false);
    document["project"]["segments"][2]["feature_states"][0]["enabled"] = json!(false);
    document
}

/// The same with a feature that only Burgee can evaluate: numbers are ordered by none of the filters
/// that SDKs know.
fn of_flagsmith_with_adults() -> Value {
    use flagsmith_rules::{rule, segment, state};
    let mut document = of_flagsmith();
    let off = state(5, "adults", false, &Value::Null);
    document["feature_states"].as_array_mut().unwrap().push(off);
    let on = flagsmith_rules::with_priority(state(5, "adults", true, &Value::Null), 0);
    let rule = rule("ALL", &[("age", "GREATER_THAN_INCLUSIVE", "18")]);
    let segments = document["project"]["segments"].as_array_mut().unwrap();
    segments.push(segment(4, "adults", &rule, &[on]));
    document
}

/// What `u-1` of no company sees of [`of_flagsmith`]. A value is remote config.
fn of_flagsmith_for_u1() -> Value {
    let default = |enabled, payload| carrying(enabled, "default", &payload);
    json!({
        "everyone": bare(true), "nobody": bare(false), "acme-only": bare(false),
        "gold": default(false, json!("v1")), "sized": carrying(true, "large-key", &json!("large")),
        "json": default(true, json!("{\"limit\": [1, null]}")), "count": default(true, json!(42)),
        "empty": default(false, json!("")), "yes": default(true, json!(true)),
        "New Checkout": default(true, json!("theirs")), "ledger": default(true, json!("hidden")),
    })
}

const PARTIAL: &str = "[environments.reflag]\ndefinitions = \"partial\"\n";

fn keys() -> Value {
    json!({"publishableKey": REFLAG_KEYS[0], "secretKey": REFLAG_KEYS[1]})
}

fn with_keys(mut more: Value) -> Value {
    let Value::Object(keys) = keys() else { panic!("keys are members") };
    more.as_object_mut().unwrap().extend(keys);
    more
}

#[test]
fn node_sdk_lets_burgee_evaluate_flagsmiths_rules() {
    let Some(programs) = Programs::for_reflag() else { return };
    let edge = Edge::serving(Rules::Flagsmith, &of_flagsmith_with_adults());
    let mut flags = of_flagsmith_for_u1();
    flags["acme-only"] = bare(true);
    flags["adults"] = bare(false);
    assert_eq!(
        edge.run(&programs, "node_remote", &keys()),
        json!({
            "all": flags,
            "one": carrying(true, "large-key", &json!("large")),
            "withAttributes": bare(true),
            "unknown": bare(false),
            "heard": ["error: flag nowhere not found"],
        })
    );
}

#[test]
fn node_sdk_evaluates_flagsmiths_rules_by_itself() {
    let Some(programs) = Programs::for_reflag() else { return };
    let edge = Edge::serving(Rules::Flagsmith, &of_flagsmith());
    let contexts = json!([
        {"user": {"id": "u-1"}},
        {"user": {"id": "u-2", "plan": "gold"}, "company": {"id": "acme"}},
        {"user": {"plan": "gold"}, "company": {"id": "acme"}},
    ]);
    let told = with_keys(json!({"contexts": contexts}));
    let (before, end) =
        edge.run_with_change(&programs, "node_polling", &told, &of_flagsmith_without_sized());
    let mut of_u2 = of_flagsmith_for_u1();
    of_u2["sized"] = carrying(true, "small-key", &json!("small"));
    of_u2["acme-only"] = bare(true);
    of_u2["gold"] = carrying(true, "default", &json!("v2"));
    of_u2["New Checkout"] = carrying(false, "default", &json!("hers"));
    // Without an identity there are no segments and no splits.
    let mut of_nobody = of_flagsmith_for_u1();
    of_nobody["sized"] = carrying(true, "default", &json!("nobody in particular"));
    let mut flags = json!([of_flagsmith_for_u1(), of_u2, of_nobody]);
    assert_eq!(before["flags"], flags);
    let defined: Vec<&str> = before["definitions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|flag| flag["key"].as_str().unwrap())
        .collect();
    assert_eq!(defined.len(), of_flagsmith_for_u1().as_object().unwrap().len(), "{defined:?}");
    assert_eq!(end["before"], before);
    for flags in flags.as_array_mut().unwrap() {
        flags["sized"]["isEnabled"] = json!(false);
    }
    assert_eq!(end["after"]["flags"], flags);
    assert!(end["after"]["version"].as_u64() > before["version"].as_u64());
    assert_eq!(end["heard"], json!(NO_HEARD));
}

#[test]
fn node_sdk_looks_again_for_flagsmiths_rules_when_it_is_asked_after_a_minute() {
    let Some(programs) = Programs::for_reflag() else { return };
    let edge = Edge::serving(Rules::Flagsmith, &of_flagsmith());
    let told = with_keys(json!({"context": {"user": {"id": "u-1"}}, "flag": "sized"}));
    let (before, end) =
        edge.run_with_change(&programs, "node_in_request", &told, &of_flagsmith_without_sized());
    let seen = |enabled| vec![carrying(enabled, "large-key", &json!("large")); 2];
    assert_eq!(before, json!({"first": seen(true)}));
    assert_eq!((&end["old"], &end["renewed"]), (&json!(seen(true)), &json!(seen(false))));
    assert_eq!(end["heard"], json!(NO_HEARD));
}

#[test]
fn node_sdk_is_given_what_can_be_translated_of_flagsmiths_rules() {
    let Some(programs) = Programs::for_reflag() else { return };
    let edge = Edge::with_settings(Rules::Flagsmith, &of_flagsmith_with_adults(), PARTIAL);
    let context = json!({"user": {"id": "u-1", "age": 30}});
    let told = with_keys(json!({"contexts": [context]}));
    let mut program = programs.start("node_polling", &edge.told(&told));
    let seen = program.seen();
    assert_eq!(seen["flags"], json!([of_flagsmith_for_u1()]), "all but one");
    program.go_on();
    assert_eq!(program.seen_in_the_end()["heard"], json!(NO_HEARD));
}

#[test]
fn node_sdk_goes_on_with_its_fallback_where_flagsmiths_rules_cannot_be_translated() {
    let Some(programs) = Programs::for_reflag() else { return };
    let edge = Edge::serving(Rules::Flagsmith, &of_flagsmith_with_adults());
    let seen = edge.run(&programs, "node_without_definitions", &keys());
    assert_eq!(seen["definitions"], json!([]));
    assert_eq!(seen["fallback"], carrying(true, "fallback", &json!(1)));
    assert_eq!(seen["other"], bare(false));
    let heard: Vec<_> = strings(&seen["heard"]).collect();
    assert!(heard[0].starts_with("warn: failed to fetch flags, will retry | "), "{seen}");
    for word in ["NOT_AVAILABLE", "adults", "remotely", "reflag.definitions"] {
        assert!(heard[0].contains(word), "{word}: {seen}");
    }
    assert_eq!(heard[1..], ["warn: no flag definitions available, using fallback flags."; 2]);
    assert_eq!(edge.burgee.answered("/features", 501), 2);
}

/// Features whose overrides ask in every way that can be translated.
fn flagsmith_operators() -> Value {
    use flagsmith_rules::{document, identity, rule, segment, state, with_priority};
    let (mut states, mut segments) = (Vec::new(), Vec::new());
    let asked = [
        ("EQUAL", "x", "A"),
        ("EQUAL", "company.id", "acme"),
        ("NOT_EQUAL", "x", "A"),
        ("IN", "x", "A,ä,true"),
        ("CONTAINS", "x", "@"),
        ("NOT_CONTAINS", "x", "@"),
        ("IS_SET", "y", ""),
        ("IS_NOT_SET", "y", ""),
        ("PERCENTAGE_SPLIT", "", "100"),
        ("IN", "$.identity.identifier", "user 3,user 4"),
    ];
    for ((operator, property, value), id) in asked.into_iter().zip(100_u32..) {
        let name = format!("{operator} {property} {value}");
        let none = format!("no {name}");
        states.push(state(id, &name, false, &json!(1)));
        states.push(state(id + 100, &none, true, &Value::Null));
        let condition = [(property, operator, value)];
        let matched = with_priority(state(id, &name, true, &json!("matched")), 0);
        let inverse = with_priority(state(id + 100, &none, false, &json!(id)), 0);
        segments.push(segment(id, &name, &rule("ALL", &condition), &[matched]));
        segments.push(segment(id + 100, &none, &rule("NONE", &condition), &[inverse]));
    }
    states.push(state(13, "overridden", false, &Value::Null));
    let hers = identity("user 7", &[state(13, "overridden", true, &json!(1.5))]);
    document(&states, &segments, &[hers])
}

#[test]
fn burgee_and_the_official_evaluator_see_the_same_of_flagsmiths_rules() {
    let Some(programs) = Programs::for_reflag() else { return };
    let edge = Edge::serving(Rules::Flagsmith, &flagsmith_operators());
    let values = json!([
        "", "A", "a", "ä", "Ä", "a@b", "@", "5", "05", "-1", "1.0", "1.50", ".5", "1e3", "true",
        "false", "True", "1.2.3", "1.2.3:semver", " A", "A,ä", true, false, null, 5, 4.5, -0.25,
        1e21, 1e-7, [], {}, ["A"], {"z": "A"}, "\u{1F3C1}", "Ünsal & Söhne",
    ]);
    let mut contexts = vec![json!({}), json!({"company": {"id": "acme"}})];
    for (value, number) in values.as_array().unwrap().iter().zip(0..) {
        let user = json!({"id": format!("user {number}"), "x": value});
        contexts.push(json!({"user": user, "company": {"id": "acme"}}));
        contexts.push(json!({"user": {"id": "user", "y": value}, "other": {"x": value}}));
        contexts.push(json!({"user": {"x": value}, "company": {"id": "c", "x": value}}));
    }
    let features = flagsmith_operators()["feature_states"].as_array().unwrap().len();
    let compared = contexts.len() * features;
    let told = with_keys(json!({"contexts": contexts, "translated": true}));
    let seen = edge.run(&programs, "node_agreement", &told);
    // It is on for nobody in particular, and all others are in the share.
    let alike = ["no PERCENTAGE_SPLIT  100"];
    assert_eq!(
        seen,
        json!({"compared": compared, "different": [], "alike": alike, "heard": NO_HEARD})
    );
}

#[test]
fn browser_sdk_gets_flagsmiths_flags_of_its_user() {
    let Some(programs) = Programs::for_reflag() else { return };
    let edge = Edge::serving(Rules::Flagsmith, &of_flagsmith_with_adults());
    let seen = edge.run(&programs, "browser_flags", &keys());
    let mut flags = of_flagsmith_for_u1();
    flags["acme-only"] = bare(true);
    flags["adults"] = bare(true);
    flags.as_object_mut().unwrap().remove("ledger").unwrap();
    assert_eq!(seen["flags"], flags);
    assert_eq!(seen["secret"], bare(false));
    let asked = ["GET /features/evaluated", "GET /sse/client", PREFLIGHT_BULK, "POST /bulk"];
    assert_eq!(seen["asked"], json!(asked));
    assert_eq!(seen["heard"], json!(NO_HEARD));
}

#[test]
fn react_sdk_shows_flagsmiths_flags_and_their_changes() {
    let Some(programs) = Programs::for_reflag() else { return };
    let edge = Edge::serving(Rules::Flagsmith, &of_flagsmith());
    let (before, end) =
        edge.run_with_change(&programs, "react_use_flag", &keys(), &of_flagsmith_without_sized());
    let mut shown = vec![
        "sized loading, acme-only loading, ledger loading",
        "sized on large-key \"large\", acme-only on undefined undefined, ledger off",
        "sized loading, acme-only loading, ledger loading",
        "sized on small-key \"small\", acme-only off, ledger off",
    ];
    assert_eq!(before, json!({"shown": shown}));
    shown.push("sized off, acme-only off, ledger off");
    assert_eq!(end["shown"], json!(shown));
}

#[test]
fn node_sdk_and_browser_sdk_are_told_of_changes_of_flagsmiths_rules() {
    let Some(programs) = Programs::for_reflag() else { return };
    let edge = Edge::serving(Rules::Flagsmith, &of_flagsmith());
    let told = with_keys(json!({"context": {"user": {"id": "u-1"}}, "flag": "sized"}));
    let (before, end) =
        edge.run_with_change(&programs, "node_push", &told, &of_flagsmith_without_sized());
    let sized = |enabled| carrying(enabled, "large-key", &json!("large"));
    assert_eq!((&before["flag"], &end["flag"]), (&sized(true), &sized(false)));
    assert!(end["version"].as_u64() > before["version"].as_u64());
    assert_eq!(end["heard"], json!(NO_HEARD));
    assert_eq!(edge.burgee.answered("/features", 200), 2);

    let (before, end) =
        edge.run_with_change(&programs, "browser_context", &keys(), &of_flagsmith());
    assert_eq!(before["first"]["sized"], sized(false));
    assert_eq!(end["sized"], carrying(true, "small-key", &json!("small")));
    assert_eq!(end["asked"], json!(vec!["GET /features/evaluated"; 4]));
}
