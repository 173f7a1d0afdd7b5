//! Which flags are public is learned from the upstream (`secret_flags = "learn"`): what publishable
//! keys are shown before that, while it fails and after.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::fake_upstream::{Answer, Document, Reply, Step, Upstream};
use crate::following::{
    Following, SHOP, answers, assert_publishable_not_ready, document, for_each_row, outcomes,
    served_version, shown_to_publishable, until_failing, until_more_fetches, until_well,
};
use crate::support::rules::on;
use crate::support::{Edge, Setup, until};

/// Where the upstream is asked which flags are public.
const LEARNING: &str = "/features/evaluated";

/// Keys of all flags that are in the definitions for secret keys, and of those marked as secret.
fn defined(edge: &Edge) -> (Vec<String>, Vec<String>) {
    let definitions = edge.secret().get("/features").json();
    let flags = definitions["features"].as_array().expect("an array");
    let key = |flag: &Value| flag["key"].as_str().expect("a key").to_owned();
    let secret = flags.iter().filter(|flag| flag["secret"] == true);
    (flags.iter().map(key).collect(), secret.map(key).collect())
}

// Ways to fail.

/// One way in which the upstream fails to list the public flags.
struct Row {
    /// What the upstream does, in words.
    upstream: &'static str,
    /// For definitions of this version.
    answer: fn(u64) -> Answer,
    /// `last_error.kind` of `/status`, and the `outcome` of `burgee_source_fetches_total`.
    kind: &'static str,
}

fn listing(document: &Document) -> Answer {
    Reply::json(200, &document.evaluated(false)).into()
}

const ROWS: [Row; 16] = [
    Row { upstream: "answers 500", answer: |_| Reply::status(500).into(), kind: "status_5xx" },
    // Only the definitions' key decides whether the environment is served.
    Row { upstream: "answers 401", answer: |_| Reply::status(401).into(), kind: "status_4xx" },
    Row { upstream: "answers 403", answer: |_| Reply::status(403).into(), kind: "status_4xx" },
    Row { upstream: "answers 404", answer: |_| Reply::status(404).into(), kind: "status_4xx" },
    Row { upstream: "answers 204", answer: |_| Reply::status(204).into(), kind: "malformed" },
    Row { upstream: "answers 304", answer: |_| Reply::status(304).into(), kind: "malformed" },
    Row {
        upstream: "redirects",
        answer: |_| Reply::status(302).header("Location", "//elsewhere.example/features").into(),
        kind: "malformed",
    },
    Row {
        upstream: "never answers",
        answer: |_| Answer::nothing().then(Step::Hang),
        kind: "timeout",
    },
    Row {
        upstream: "resets the connection",
        answer: |_| Answer::nothing().then(Step::Reset),
        kind: "network",
    },
    Row {
        upstream: "gives {}",
        answer: |_| Reply::json(200, &json!({})).into(),
        kind: "malformed",
    },
    Row {
        upstream: "says that it failed",
        answer: |version| {
            let mut failed = document(version).evaluated(false);
            failed["success"] = json!(false);
            Reply::json(200, &failed).into()
        },
        kind: "malformed",
    },
    Row {
        upstream: "lists no flags at all",
        answer: |version| {
            Reply::json(200, &json!({"success": true, "flagStateVersion": version})).into()
        },
        kind: "malformed",
    },
    Row {
        upstream: "gives definitions",
        answer: |version| Reply::json(200, &document(version).definitions()).into(),
        kind: "malformed",
    },
    Row {
        upstream: "lists the flags of an older version",
        answer: |version| listing(&Document { version: version - 1, ..document(version) }),
        kind: "malformed",
    },
    Row {
        upstream: "does not say of which version its list is",
        answer: |version| {
            let mut list = document(version).evaluated(false);
            list.as_object_mut().expect("an object").remove("flagStateVersion");
            Reply::json(200, &list).into()
        },
        kind: "malformed",
    },
    Row {
        upstream: "breaks off its list",
        answer: |version| {
            let whole = Reply::json(200, &document(version).evaluated(false));
            Answer::beginning_of(&whole, 200).then(Step::Close)
        },
        kind: "network",
    },
];

#[test]
fn however_learning_fails_nothing_that_is_not_known_to_be_public_is_shown() {
    for_each_row(&ROWS, |row| row.upstream, suffer);
}

/// Lets learning fail from the start, succeed, fail and succeed again.
fn suffer(row: &Row) {
    let what = row.upstream;
    let upstream = Upstream::serving(document(7));
    upstream.answer(LEARNING, (row.answer)(7));
    let timeout = if row.kind == "timeout" { "200ms" } else { "60s" };
    let following = Following::upstream(&upstream).timeout(timeout);
    let environment = following.named(SHOP).says("on_unauthorized = \"refuse\"");
    let edge = Setup::of(environment).start();

    assert_failing(row, &edge, 7);
    assert_publishable_not_ready(&edge);
    let (all, secret) = defined(&edge);
    assert_eq!(all, ["open", "acme-only", "hidden", "since-7"], "{what}");
    assert_eq!(secret, all, "{what}: an edge behind this one must show none of them");
    assert_eq!(edge.secret().get("/features/evaluated").keys(), all);
    assert_eq!(edge.admin().get("/health/ready").status, 200, "{what}: it has data");

    upstream.recover();
    // The meaning has changed, and the upstream's number has not.
    until_well(&edge, 8);
    assert_eq!(shown_to_publishable(&edge), ["open", "acme-only", "since-7"], "{what}");
    assert_eq!(defined(&edge).1, ["hidden"], "{what}");

    upstream.answer(LEARNING, (row.answer)(9));
    upstream.publish(document(9).secret_flag(on("plan-b")));
    edge.until_status(SHOP, |status| status["version"] == 9);
    assert_failing(row, &edge, 9);
    for _ in 0..3 {
        // Known ones stay public, new ones are not yet.
        assert_eq!(shown_to_publishable(&edge), ["open", "acme-only"], "{what}");
        assert_eq!(defined(&edge).1, ["hidden", "since-9", "plan-b"], "{what}");
        assert_eq!(edge.secret().get("/features/evaluated").keys(), defined(&edge).0);
        until_more_fetches(&edge, 2);
    }

    upstream.recover();
    until_well(&edge, 10);
    assert_eq!(shown_to_publishable(&edge), ["open", "acme-only", "since-9"], "{what}");
    assert_eq!(defined(&edge).1, ["hidden", "plan-b"], "{what}");
    let failures: Vec<_> =
        outcomes(&edge).into_keys().filter(|o| !matches!(*o, "changed" | "unchanged")).collect();
    assert_eq!(failures, [row.kind], "{what}");
}

#[track_caller]
fn assert_failing(row: &Row, edge: &Edge, version: u64) {
    let status = until_failing(edge);
    let error = &status["source"]["last_error"];
    assert_eq!(error["kind"], row.kind, "{}: {error}", row.upstream);
    let message = error["message"].as_str().unwrap_or_default();
    assert!(message.starts_with("learning which flags are public: "), "{message}");
    assert!(message.contains(LEARNING), "{message}");
    assert_eq!((&status["state"], &status["version"]), (&json!("cached"), &json!(version)));
    assert!(status["source"]["consecutive_failures"].as_u64() >= Some(1));
    assert!(status["last_success_at"].is_string(), "the definitions came");
}

// Between publish and learning.

/// Asks on every route for as long as `what` takes, and asserts that publishable keys never see
/// what they must not.
fn while_nothing_leaks<T>(edge: &Edge, secret: &[&str], what: impl FnOnce() -> T) -> T {
    struct Done<'a>(&'a AtomicBool);
    impl Drop for Done<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut session = edge.publishable().connect();
            let mut goes_on = true;
            while goes_on {
                // Once more after the end.
                goes_on = !done.load(Ordering::Relaxed);
                for route in ["/features/evaluated", "/features/enabled"] {
                    let text = session.get(route).to_string();
                    let leaked = secret.iter().find(|key| text.contains(**key));
                    assert_eq!(leaked, None, "{text}");
                }
                for key in secret {
                    let reply = session.get(&format!("/features/evaluated?key={key}"));
                    assert!(!reply.to_string().contains(key), "{reply}");
                }
            }
        });
        let result = {
            let _done = Done(&done);
            what()
        };
        watch.join().expect("nothing leaks");
        result
    })
}

#[test]
fn a_new_secret_flag_never_leaks_between_publish_and_learning() {
    for succeeds in [false, true] {
        let upstream = Upstream::serving(document(7));
        let edge = Following::upstream(&upstream).start();
        until_well(&edge, 7);
        let gate = upstream.gate();
        let next = document(8).secret_flag(on("plan-b"));
        let answer = if succeeds { listing(&next) } else { Answer::from(Reply::status(500)) };
        upstream.answer_once(LEARNING, answer.after(&gate));
        if !succeeds {
            upstream.answer(LEARNING, Reply::status(500));
        }
        while_nothing_leaks(&edge, &["plan-b", "hidden"], || {
            let before = upstream.requests_to(LEARNING).len();
            upstream.publish(next);
            upstream.until_requests(LEARNING, before + 1);
            // The definitions are here, the list is not. After 2 s without it the definitions would go
            // ahead, which a busy machine may need for a few dozen requests.
            for _ in 0..3 {
                assert_eq!(shown_to_publishable(&edge), ["open", "acme-only", "since-7"]);
            }
            gate.open();
            if !succeeds {
                edge.until_status(SHOP, |status| status["version"] == 8);
                until_failing(&edge);
                until_more_fetches(&edge, 4);
                assert_eq!(shown_to_publishable(&edge), ["open", "acme-only"]);
                assert!(defined(&edge).1.contains(&"plan-b".to_owned()));
                upstream.recover();
            }
            until_well(&edge, if succeeds { 8 } else { 9 });
            assert_eq!(shown_to_publishable(&edge), ["open", "acme-only", "since-8"]);
        });
        assert!(edge.secret().get("/features/evaluated").keys().contains(&"plan-b".to_owned()));
    }
}

#[test]
fn an_environment_that_has_not_learned_yet_leaks_nothing_either() {
    let upstream = Upstream::serving(document(7));
    let gate = upstream.gate();
    upstream.answer_once(LEARNING, listing(&document(7)).after(&gate));
    let edge = Setup::of(Following::upstream(&upstream).named(SHOP)).begin();
    while_nothing_leaks(&edge, &["hidden"], || {
        upstream.until_requests(LEARNING, 1);
        assert_publishable_not_ready(&edge);
        gate.open();
        edge.until_status(SHOP, |status| status["state"] == "live");
        assert_eq!(shown_to_publishable(&edge), ["open", "acme-only", "since-7"]);
    });
}

#[test]
fn learning_holds_up_a_change_of_rules_for_a_moment_only() {
    // Servers get their rules though the list of public flags does not come, however patient the
    // source is otherwise.
    let upstream = Upstream::serving(document(7));
    let edge = Following::upstream(&upstream).timeout("10m").start();
    until_well(&edge, 7);
    upstream.answer(LEARNING, Answer::nothing().then(Step::Hang));
    upstream.publish(document(8));
    edge.until_status(SHOP, |status| status["version"] == 8);
    let status = until_failing(&edge);
    assert_eq!(status["source"]["last_error"]["kind"], "timeout");
    assert_eq!(served_version(&edge.secret().get("/features")), 8);
}

// Flags that come and go.

#[test]
fn a_flag_that_goes_away_and_comes_back_as_a_secret_does_not_leak() {
    for learns_in_between in [false, true] {
        let upstream = Upstream::serving(document(7).flag(on("promo")));
        let edge = Following::upstream(&upstream).start();
        until_well(&edge, 7);
        assert_eq!(shown_to_publishable(&edge), ["open", "acme-only", "since-7", "promo"]);
        if !learns_in_between {
            upstream.answer(LEARNING, Reply::status(500));
        }
        upstream.publish(document(8));
        edge.until_status(SHOP, |status| status["version"] == 8);
        upstream.answer(LEARNING, Reply::status(500));
        while_nothing_leaks(&edge, &["promo"], || {
            upstream.publish(document(9).secret_flag(on("promo")));
            edge.until_status(SHOP, |status| status["version"] == 9);
            until_more_fetches(&edge, 4);
            assert_eq!(shown_to_publishable(&edge), ["open", "acme-only"]);
            assert!(defined(&edge).1.contains(&"promo".to_owned()));
            upstream.recover();
            until_well(&edge, 10);
            assert_eq!(shown_to_publishable(&edge), ["open", "acme-only", "since-9"]);
        });
        assert!(edge.secret().get("/features/evaluated").keys().contains(&"promo".to_owned()));
    }
}

#[test]
fn a_flag_that_was_listed_before_it_was_defined_is_not_known_yet() {
    // Between the two questions the upstream went on, and later it made the flag a secret.
    let upstream = Upstream::serving(document(7));
    upstream.answer_once(LEARNING, listing(&document(8).flag(on("early"))));
    let edge = Following::upstream(&upstream).start();
    until_well(&edge, 7);
    assert_eq!(shown_to_publishable(&edge), ["open", "acme-only"], "since-7 was not listed");
    upstream.answer(LEARNING, Reply::status(500));
    while_nothing_leaks(&edge, &["early"], || {
        upstream.publish(document(9).secret_flag(on("early")));
        edge.until_status(SHOP, |status| status["version"] == 9);
        until_more_fetches(&edge, 4);
        assert!(defined(&edge).1.contains(&"early".to_owned()));
        upstream.recover();
        until_well(&edge, 10);
    });
}

#[test]
fn a_flag_that_becomes_secret_is_hidden_and_one_that_becomes_public_is_shown() {
    let upstream = Upstream::serving(document(7).flag(on("promo")));
    let edge = Following::upstream(&upstream).start();
    until_well(&edge, 7);
    // Nothing but the list changes, which the upstream's number tells.
    upstream.publish(document(7).flag(on("more")).flag(on("promo")));
    until_well(&edge, 8);
    let changed = Document { secret: ["promo".to_owned()].into(), ..document(9).flag(on("promo")) };
    upstream.publish(changed);
    until_well(&edge, 9);
    assert_eq!(shown_to_publishable(&edge), ["open", "acme-only", "hidden", "since-9"]);
    assert_eq!(defined(&edge).1, ["promo"]);
}

#[test]
fn what_a_rejected_document_lacks_is_not_forgotten() {
    // The document is not served, so the flags that it lacks are still there and still public.
    for rejected in [Document::empty(8), Document::empty(6).flag(on("open"))] {
        let upstream = Upstream::serving(document(7));
        let edge = Following::upstream(&upstream).start();
        until_well(&edge, 7);
        let good = answers(&edge);
        upstream.publish(rejected);
        until_failing(&edge);
        until_more_fetches(&edge, 2);
        assert_eq!(answers(&edge), good);
        upstream.answer(LEARNING, Reply::status(500));
        upstream.publish(document(7));
        let learning = "learning which flags are public";
        edge.until_status(SHOP, |status| {
            let message = status["source"]["last_error"]["message"].as_str();
            message.is_some_and(|message| message.starts_with(learning))
        });
        assert_eq!(answers(&edge), good);
        upstream.recover();
        until_well(&edge, 7);
        assert_eq!(answers(&edge), good);
    }
}

#[test]
fn replicas_of_the_upstream_that_lag_take_no_public_flag_away() {
    // The balancer before the upstream's replicas sends requests now here, now there.
    let (old, new) = (document(7), document(8));
    let upstream = Upstream::serving(new.clone());
    let edge = Following::upstream(&upstream).start();
    until_well(&edge, 8);
    let good = answers(&edge);
    upstream.answer("/features", Reply::json(200, &old.definitions()));
    upstream.answer(LEARNING, listing(&old));
    until_failing(&edge);
    assert_eq!(answers(&edge), good);
    upstream.answer("/features", Reply::json(200, &new.definitions()));
    let learning = "learning which flags are public";
    edge.until_status(SHOP, |status| {
        let message = status["source"]["last_error"]["message"].as_str();
        message.is_some_and(|message| message.starts_with(learning))
    });
    assert_eq!(answers(&edge), good);
    upstream.recover();
    until_well(&edge, 8);
    assert_eq!(answers(&edge), good);
}

// Whether there is anything to learn.

#[test]
fn a_list_in_the_settings_needs_no_learning() {
    let upstream = Upstream::serving(document(7));
    let environment =
        Following::upstream(&upstream).named(SHOP).table("reflag", "secret_flags = [\"open\"]");
    let edge = Setup::of(environment).start();
    until_well(&edge, 7);
    assert_eq!(shown_to_publishable(&edge), ["acme-only", "hidden", "since-7"]);
    assert_eq!(defined(&edge).1, ["open"]);
    upstream.publish(document(8));
    until_well(&edge, 8);
    assert!(upstream.requests_to(LEARNING).is_empty());
}

#[test]
fn the_upstream_is_asked_for_its_list_when_the_document_changes_and_not_with_every_poll() {
    let upstream = Upstream::serving(document(7));
    let edge = Following::upstream(&upstream).start();
    until_well(&edge, 7);
    until_more_fetches(&edge, 5);
    assert_eq!(upstream.requests_to(LEARNING).len(), 1);
    upstream.publish(document(8));
    until_well(&edge, 8);
    until_more_fetches(&edge, 5);
    assert_eq!(upstream.requests_to(LEARNING).len(), 2);
    until("more polls", || (upstream.requests_to("/features").len() > 10).then_some(()));
}
