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
use sdk::reflag_rules::{constant, context, flag, variant, with_config};
use sdk::{Burgee, Programs, until};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

/// SWITCH, to be turned to `true` as soon as Burgee serves `/sse/server` and `/sse/client`, and
/// then to be taken out. Programs wait for changes to be announced then, and do not ask for them.
const PUSHED: bool = false;

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
            "pushed": PUSHED,
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

/// The line that node-sdk writes when there is no event stream.
fn no_stream() -> Vec<&'static str> {
    if PUSHED {
        return Vec::new();
    }
    vec![
        "warn: flag updates SSE endpoint returned an invalid response | 404 Not Found - \
         {\"success\":false,\"error\":{\"code\":\"NOT_FOUND\",\
         \"message\":\"there is nothing at this path\"}}",
    ]
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
        "url": scene.upstream.url(), "secretKey": fake_upstream::SECRET_KEY, "pushed": true,
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
    assert_eq!(end, json!({"version": 500, "flag": large(false, 40), "heard": no_stream()}));
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
        let seen = scene.run("node_wrong_key", &json!({"wrongKey": key}));
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
