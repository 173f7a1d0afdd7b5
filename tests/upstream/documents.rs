//! Documents that are documents and yet not what they should be: older ones, smaller ones, and
//! such as would break an SDK.

use serde_json::{Value, json};

use crate::fake_upstream::{Document, Reply, Upstream};
use crate::following::{
    Following, SHOP, answers, document, outcomes, served_version, shown_to_publishable,
    until_failing, until_more_fetches, until_well,
};
use crate::support::rules::{flag, off, on};
use crate::support::{Edge, logged, until};

fn rejected(edge: &Edge, reason: &str) -> u64 {
    let labels = [("environment", SHOP), ("reason", reason)];
    edge.metrics().count("burgee_snapshots_rejected_total", &labels)
}

/// Waits until what the upstream gives was refused for this reason, and asserts that clients do
/// not notice. Gives the failure's words.
#[track_caller]
fn until_refused(edge: &Edge, reason: &str) -> String {
    let kind = if reason == "older" { "older" } else { "rejected" };
    let status = until_failing(edge);
    let error = &status["source"]["last_error"];
    assert_eq!(error["kind"], kind, "{status}");
    assert_eq!(status["state"], "cached");
    assert!(status["source"]["consecutive_failures"].as_u64() >= Some(1));
    assert!(outcomes(edge)[kind] >= 1);
    assert!(rejected(edge, reason) >= 1);
    assert_eq!(rejected(edge, if reason == "older" { "shrunk" } else { "older" }), 0);
    error["message"].as_str().expect("words").to_owned()
}

// Versions.

#[test]
fn an_older_version_is_dropped_and_a_newer_one_taken() {
    let upstream = Upstream::serving(document(7));
    let edge = Following::upstream(&upstream).start();
    until_well(&edge, 7);
    let good = answers(&edge);
    upstream.publish(document(6));
    let message = until_refused(&edge, "older");
    assert!(message.contains("version 6") && message.contains('7'), "{message}");
    until_more_fetches(&edge, 5);
    assert_eq!(answers(&edge), good);
    upstream.publish(document(8));
    until_well(&edge, 8);
}

#[test]
fn after_an_older_version_the_held_one_is_no_change() {
    let upstream = Upstream::serving(document(7));
    let edge = Following::upstream(&upstream).start();
    until_well(&edge, 7);
    let good = answers(&edge);
    upstream.publish(document(6));
    until_refused(&edge, "older");
    upstream.publish(document(7));
    until_well(&edge, 7);
    assert_eq!(answers(&edge), good);
}

#[test]
fn the_same_version_with_another_meaning_is_the_next_version() {
    let upstream = Upstream::serving(document(7));
    let edge = Following::upstream(&upstream).start();
    until_well(&edge, 7);
    upstream.publish(document(7).flag(on("more")));
    until_well(&edge, 8);
    assert!(shown_to_publishable(&edge).contains(&"more".to_owned()));
    assert_eq!(edge.status(SHOP)["source_version"], 7);
    // The upstream's next number is taken by now; what it means is not.
    upstream.publish(document(8));
    until_well(&edge, 9);
    assert!(!shown_to_publishable(&edge).contains(&"more".to_owned()));
    upstream.publish(document(20));
    until_well(&edge, 20);
}

#[test]
fn an_upstream_that_stays_with_an_older_version_is_believed_in_the_end() {
    let upstream = Upstream::serving(document(7));
    let edge = Following::upstream(&upstream).start();
    until_well(&edge, 7);
    let good = answers(&edge);
    upstream.publish(document(6));
    until_refused(&edge, "older");
    // Often enough, and not long enough.
    until_more_fetches(&edge, 6);
    assert_eq!(answers(&edge), good);
    edge.now_is("2026-06-01T12:09:59Z");
    until_more_fetches(&edge, 6);
    assert_eq!(served_version(&edge.publishable().get("/features/evaluated")), 7);
    let accepted = |edge: &Edge| {
        edge.metrics().count("burgee_regressions_accepted_total", &[("environment", SHOP)])
    };
    assert_eq!(accepted(&edge), 0);
    edge.now_is("2026-06-01T12:10:01Z");
    // Clients never see a number go down.
    until_well(&edge, 8);
    assert!(shown_to_publishable(&edge).contains(&"since-6".to_owned()));
    assert_eq!(edge.status(SHOP)["source_version"], 6);
    assert_eq!(accepted(&edge), 1);
    assert!(logged().contains("the source went back to an older version and stayed there"));
    // From here on it counts from there.
    upstream.publish(document(7));
    until_well(&edge, 9);
    upstream.publish(document(6));
    until_failing(&edge);
    until_more_fetches(&edge, 6);
    assert_eq!(edge.status(SHOP)["version"], 9);
}

#[test]
fn time_alone_does_not_make_an_older_version_believed() {
    // Asked only a few times: the upstream is away for most of the time.
    let upstream = Upstream::serving(document(7));
    let edge = Following::upstream(&upstream).start();
    until_well(&edge, 7);
    let older = || Reply::json(200, &document(6).definitions());
    upstream.answer_once("/features", older());
    upstream.answer("/features", Reply::status(500));
    edge.until_status(SHOP, |status| status["source"]["last_error"]["kind"] == "status_5xx");
    assert_eq!(rejected(&edge, "older"), 1);
    edge.now_is("2026-06-01T14:00:00Z");
    for count in 2..=4 {
        upstream.answer_once("/features", older());
        until("another look at it", || (rejected(&edge, "older") == count).then_some(()));
        assert_eq!(edge.status(SHOP)["version"], 7);
    }
    upstream.answer_once("/features", older());
    edge.until_status(SHOP, |status| status["version"] == 8);
    assert_eq!(edge.status(SHOP)["source_version"], 6);
}

#[test]
fn a_document_without_a_version_is_better_than_none_and_no_better_than_one_with() {
    let without = |flags: &[Value]| Reply::json(200, &json!({"success": true, "features": flags}));
    let upstream = Upstream::serving(document(7));
    upstream.answer("/features", without(&[on("open")]));
    let edge = Following::upstream(&upstream).start();
    // SDKs insist on a number, so it gets one.
    until_well(&edge, 1);
    assert_eq!(edge.status(SHOP)["source_version"], Value::Null);
    upstream.answer("/features", without(&[on("open"), on("acme-only")]));
    until_well(&edge, 2);
    upstream.recover();
    until_well(&edge, 7);
    let good = answers(&edge);
    upstream.answer("/features", without(&[on("open"), on("acme-only")]));
    until_refused(&edge, "older");
    until_more_fetches(&edge, 5);
    assert_eq!(answers(&edge), good);
    upstream.recover();
    until_well(&edge, 7);
}

#[test]
fn the_same_flags_under_a_higher_number_are_no_new_version_and_end_the_wait_for_it() {
    let upstream = Upstream::serving(document(7));
    let edge = Following::upstream(&upstream).start();
    until_well(&edge, 7);
    let good = answers(&edge);
    upstream.publish(Document { version: 9, ..document(7) });
    let asked = upstream.requests().len();
    until("a few looks", || (upstream.requests().len() > asked + 4).then_some(()));
    assert_eq!(answers(&edge), good);
    // Nobody is held for a version that the upstream has reached already.
    assert_eq!(served_version(&edge.secret().get("/features?waitForVersion=9")), 7);
    assert_eq!(
        edge.metrics().find("burgee_wait_seconds_count", &[]).unwrap_or(0.0).to_string(),
        "0"
    );
    // A number between the two is older than what the upstream gave.
    upstream.publish(document(8));
    until_refused(&edge, "older");
    upstream.publish(document(10));
    until_well(&edge, 10);
}

// The gate.

fn flags(version: u64, count: usize) -> Document {
    (0..count).fold(Document::empty(version), |document, number| {
        document.flag(on(&format!("flag-{number}")))
    })
}

#[test]
fn a_document_that_lost_most_of_its_flags_has_to_be_seen_three_times_at_a_distance() {
    for left in [4, 0] {
        let upstream = Upstream::serving(flags(7, 10));
        let edge = Following::upstream(&upstream).start();
        until_well(&edge, 7);
        let good = answers(&edge);
        let until_count = |count: usize| {
            let words = format!("{count} so far");
            edge.until_status(SHOP, |status| {
                let message = status["source"]["last_error"]["message"].as_str();
                message.is_some_and(|message| message.ends_with(&words))
            });
            until_more_fetches(&edge, 4);
            let message = until_refused(&edge, "shrunk");
            assert!(
                message.contains(&format!("{left} of 10")) && message.ends_with(&words),
                "{message}"
            );
        };
        upstream.publish(flags(8, left));
        until_count(1);
        assert_eq!(answers(&edge), good);
        edge.now_is("2026-06-01T12:00:19Z");
        until_count(1);
        edge.now_is("2026-06-01T12:00:20Z");
        until_count(2);
        edge.now_is("2026-06-01T12:00:39Z");
        until_count(2);
        assert_eq!(shown_to_publishable(&edge).len(), 10);
        edge.now_is("2026-06-01T12:00:40Z");
        until_well(&edge, 8);
        assert_eq!(shown_to_publishable(&edge).len(), left);
    }
}

#[test]
fn a_document_that_is_whole_again_ends_the_count() {
    let upstream = Upstream::serving(flags(7, 10));
    let edge = Following::upstream(&upstream).start();
    until_well(&edge, 7);
    let good = answers(&edge);
    for moment in ["2026-06-01T12:01:00Z", "2026-06-01T12:02:00Z", "2026-06-01T12:03:00Z"] {
        upstream.publish(flags(8, 4));
        let message = until_refused(&edge, "shrunk");
        assert!(message.ends_with("1 so far"), "{message}");
        upstream.publish(flags(7, 10));
        until_well(&edge, 7);
        edge.now_is(moment);
    }
    edge.until_status(SHOP, |status| status["age_seconds"] == 0.0);
    assert_eq!(answers(&edge), good);
    upstream.publish(flags(9, 5));
    until_well(&edge, 9);
}

#[test]
fn the_first_document_may_be_of_any_size() {
    let upstream = Upstream::serving(Document::empty(7));
    let edge = Following::upstream(&upstream).start();
    until_well(&edge, 7);
    assert_eq!(shown_to_publishable(&edge), [""; 0]);
    upstream.publish(flags(8, 10));
    until_well(&edge, 8);
    assert_eq!(shown_to_publishable(&edge).len(), 10);
}

// Single bad flags.

/// Definitions named `bad` that would break an SDK or cannot be compiled, and why.
fn broken_definitions() -> Vec<(Value, &'static str)> {
    let with = |member: &str, value: Value| {
        let mut flag = off("bad");
        flag[member] = value;
        flag
    };
    vec![
        (json!({"key": "bad"}), "`targeting` is missing"),
        (with("targeting", json!({})), "`targeting`: missing field `rules`"),
        (with("targeting", json!({"rules": null})), "`targeting`: invalid type: null"),
        (with("targeting", json!({"rules": {}})), "`targeting`: invalid type: map"),
        (with("config", json!({})), "`config`: missing field `variants`"),
        (with("config", json!({"variants": {}})), "`config`: invalid type: map"),
        (with("config", json!(true)), "`config`: invalid type: boolean"),
        (flag("bad", &[json!({"type": "group", "filters": 3})]), "filters` is not an array"),
        (flag("bad", &[json!("always")]), "`targeting.rules[0].filter.type` is not text"),
    ]
}

/// What every definition needs, or an SDK throws the whole answer away.
#[track_caller]
fn assert_fit_for_sdks(edge: &Edge) {
    let definitions = edge.secret().get("/features").json();
    assert_eq!(definitions["success"], true);
    assert!(definitions["flagStateVersion"].is_u64());
    for flag in definitions["features"].as_array().expect("an array") {
        assert!(flag["key"].is_string() && flag["targeting"]["rules"].is_array(), "{flag}");
        assert!(flag["config"].is_null() || flag["config"]["variants"].is_array(), "{flag}");
    }
}

fn with_flag(version: u64, flag: Value) -> Document {
    document(version).flag(flag)
}

#[test]
fn a_bad_flag_is_left_out_alone_until_it_is_good() {
    for (bad, reason) in broken_definitions() {
        let upstream = Upstream::serving(with_flag(7, bad));
        let edge = Following::upstream(&upstream).start();
        // No failure: the document is good, and what can be served is.
        until_well(&edge, 7);
        assert_quarantined(&edge, reason);
        assert_fit_for_sdks(&edge);
        assert_eq!(shown_to_publishable(&edge), ["open", "acme-only", "since-7"]);
        assert_eq!(edge.secret().get("/features/evaluated?key=bad").flags(), json!({}));
        upstream.publish(with_flag(8, on("bad")));
        until_well(&edge, 8);
        assert_eq!(edge.status(SHOP)["quarantined"], json!([]));
        assert_eq!(shown_to_publishable(&edge), ["open", "acme-only", "since-8", "bad"]);
    }
}

#[test]
fn a_flag_that_turns_bad_keeps_its_last_good_form_and_its_place() {
    for (bad, reason) in broken_definitions() {
        let upstream = Upstream::serving(with_flag(7, on("bad")));
        let edge = Following::upstream(&upstream).start();
        until_well(&edge, 7);
        let form = |edge: &Edge| edge.publishable().get("/features/evaluated?key=bad").flags();
        let good = form(&edge);
        assert_eq!(good["bad"]["isEnabled"], true);
        upstream.publish(with_flag(8, bad));
        until_well(&edge, 8);
        assert_quarantined(&edge, reason);
        assert_fit_for_sdks(&edge);
        assert_eq!(form(&edge), good);
        assert_eq!(shown_to_publishable(&edge), ["open", "acme-only", "since-8", "bad"]);
        upstream.publish(with_flag(9, off("bad")));
        until_well(&edge, 9);
        assert_eq!(edge.status(SHOP)["quarantined"], json!([]));
        assert_eq!(form(&edge)["bad"]["isEnabled"], false);
    }
}

#[track_caller]
fn assert_quarantined(edge: &Edge, reason: &str) {
    let status = edge.status(SHOP);
    let quarantined = status["quarantined"].as_array().expect("a list");
    assert_eq!(quarantined.len(), 1, "{status}");
    assert_eq!(quarantined[0]["flag"], "bad");
    let found = quarantined[0]["reason"].as_str().unwrap_or_default();
    assert!(found.contains(reason), "{found}");
    let count = edge.metrics().count("burgee_flags_quarantined", &[("environment", SHOP)]);
    assert_eq!(count, 1);
}

#[test]
fn words_of_the_future_cost_nothing() {
    let future = flag("future", &[json!({"type": "moon-phase", "phase": "full"})]);
    let operator =
        json!({"type": "context", "field": "user.id", "operator": "RHYMES_WITH", "values": ["x"]});
    let upstream = Upstream::serving(with_flag(7, future).flag(flag("operator", &[operator])));
    let edge = Following::upstream(&upstream).start();
    until_well(&edge, 7);
    let status = edge.status(SHOP);
    assert_eq!(status["quarantined"], json!([]));
    assert_eq!(status["diagnostics"].as_array().map(Vec::len), Some(2), "{status}");
    let reply = edge.publishable().get("/features/evaluated?context.user.id=x");
    assert_eq!(reply.flags()["future"]["isEnabled"], false);
    assert_eq!(reply.flags()["operator"]["isEnabled"], false);
    assert_eq!(reply.flags()["open"]["isEnabled"], true);
}
