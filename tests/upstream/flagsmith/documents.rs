//! Documents that are documents and yet not what they should be: older ones, smaller ones, and
//! such as would break an SDK.

use serde_json::{Value, json};

use super::{
    PATH, answers, document, good, number, overridden, server, serving, shown, start, state,
    until_well, value_for,
};
use crate::fake_upstream::{Reply, Request, Upstream};
use crate::following::{SHOP, outcomes, until_failing, until_more_fetches};
use crate::support::wire::Reply as Answered;
use crate::support::{Edge, Environment, Setup, until};

fn publish(upstream: &Upstream, document: &Value) {
    upstream.answer(PATH, Reply::json(200, document));
}

fn rejected(edge: &Edge, reason: &str) -> u64 {
    let labels = [("environment", SHOP), ("reason", reason)];
    edge.metrics().count("burgee_snapshots_rejected_total", &labels)
}

/// Waits until what the upstream gives was refused for this reason. Gives the failure's words.
#[track_caller]
fn until_refused(edge: &Edge, reason: &str) -> String {
    let kind = if reason == "older" { "older" } else { "rejected" };
    let status = until_failing(edge);
    let error = &status["source"]["last_error"];
    assert_eq!(error["kind"], kind, "{status}");
    assert_eq!(status["state"], "cached");
    assert!(outcomes(edge)[kind] >= 1);
    assert!(rejected(edge, reason) >= 1);
    error["message"].as_str().expect("words").to_owned()
}

// Versions.

#[test]
fn an_older_document_is_dropped_and_a_newer_one_taken() {
    let upstream = serving(7);
    let edge = start(&upstream);
    until_well(&edge, number(7));
    let held = answers(&edge);
    upstream.answer(PATH, good(6));
    until_refused(&edge, "older");
    until_more_fetches(&edge, 5);
    assert_eq!(answers(&edge), held);
    upstream.answer(PATH, good(7));
    until_well(&edge, number(7));
    assert_eq!(answers(&edge), held);
    upstream.answer(PATH, good(8));
    until_well(&edge, number(8));
}

#[test]
fn the_same_moment_with_another_meaning_is_the_next_version() {
    let upstream = serving(7);
    let edge = start(&upstream);
    until_well(&edge, number(7));
    let mut changed = document(7);
    changed["feature_states"][0]["feature_state_value"] = json!("v2");
    publish(&upstream, &changed);
    until_well(&edge, number(7) + 1);
    assert_eq!(value_for(&edge, "ada"), "hers");
    assert_eq!(edge.status(SHOP)["source_version"], number(7));
}

#[test]
fn the_number_that_status_tells_is_the_one_that_offers_are_compared_with() {
    let upstream = serving(7);
    let edge = start(&upstream);
    until_well(&edge, number(7));
    let mut later = document(7);
    later["updated_at"] = json!(super::moment(9));
    publish(&upstream, &later);
    let status = edge.until_status(SHOP, |status| status["source_version"] == number(9));
    assert_eq!(status["version"], number(7), "it means the same");
    upstream.answer(PATH, good(8));
    let message = until_refused(&edge, "older");
    assert!(message.contains(&number(9).to_string()), "{message}");
    assert_eq!(edge.status(SHOP)["source_version"], number(9));
}

#[test]
fn a_document_whose_own_key_is_one_for_servers_is_served_to_all_others() {
    let mut spoilt = document(8);
    spoilt["api_key"] = json!("ser.client");
    let upstream = serving(7);
    let source = format!(
        "type = \"flagsmith\"\nurl = \"{}/api/v1\"\nserver_key = {:?}\npoll_interval = \"100ms\"",
        upstream.url(),
        super::SERVER_KEY,
    );
    let shop = Environment::named(SHOP).source(source).with_the_documents_key();
    let edge = Setup::of(shop).start();
    until("the document's key", || {
        (super::keyed(&edge, "client").get("/api/v1/flags/").status == 200).then_some(())
    });
    upstream.until_requests("/sse/environments/client/stream", 1);
    publish(&upstream, &spoilt);
    edge.until_status(SHOP, |status| status["version"] == number(8));
    let status = |key| super::keyed(&edge, key).get("/api/v1/flags/").status;
    assert_eq!((status("ser.client"), status("client")), (401, 200));
    assert_eq!(server(&edge).get("/api/v1/flags/").status, 200);
    let diagnostics = edge.status(SHOP)["diagnostics"].to_string();
    assert!(diagnostics.contains("begins as keys for servers do"), "{diagnostics}");
    assert!(!diagnostics.contains("ser.client"), "{diagnostics}");
    until_more_fetches(&edge, 2);
    let in_url = |request: &Request| request.target.contains("ser.client");
    assert!(!upstream.requests().iter().any(in_url), "a secret was put in a URL");
}

#[test]
fn a_document_without_a_moment_is_better_than_none_and_no_better_than_one_with() {
    let without = |member: Option<Value>| {
        let mut document = document(7);
        match member {
            Some(value) => document["updated_at"] = value,
            None => drop(document.as_object_mut().expect("an object").shift_remove("updated_at")),
        }
        document
    };
    for member in [None, Some(Value::Null), Some(json!("yesterday")), Some(json!(""))] {
        let upstream = serving(7);
        publish(&upstream, &without(member.clone()));
        let edge = start(&upstream);
        until_well(&edge, 1);
        let flags = server(&edge).get("/api/v1/flags/");
        assert_eq!(flags.header("x-flagsmith-document-updated-at"), None, "{flags}");
        upstream.answer(PATH, good(8));
        until_well(&edge, number(8));
        let held = answers(&edge);
        publish(&upstream, &without(member));
        until_refused(&edge, "older");
        assert_eq!(answers(&edge), held);
    }
}

#[test]
fn an_upstream_that_stays_with_an_older_document_is_believed_in_the_end() {
    let upstream = serving(7);
    let edge = start(&upstream);
    until_well(&edge, number(7));
    upstream.answer(PATH, good(6));
    until_refused(&edge, "older");
    until_more_fetches(&edge, 6);
    edge.now_is("2026-06-01T12:10:01Z");
    until_well(&edge, number(7) + 1);
    assert_eq!(shown(&edge), ["open", "since-6"]);
    assert_eq!(edge.status(SHOP)["source_version"], number(6));
}

// The gate.

fn features(version: u32, count: u32) -> Value {
    let mut document = document(version);
    let states = (1..=count).map(|at| state(at, &format!("flag-{at}"), &json!(at)));
    document["feature_states"] = states.collect();
    document["project"]["server_key_only_feature_ids"] = json!([]);
    document
}

#[test]
fn a_document_that_lost_most_of_its_features_has_to_be_seen_three_times_at_a_distance() {
    for left in [4, 0] {
        let upstream = serving(7);
        publish(&upstream, &features(7, 10));
        let edge = start(&upstream);
        until_well(&edge, number(7));
        let held = answers(&edge);
        publish(&upstream, &features(8, left));
        for (moment, count) in [("12:00:00", 1), ("12:00:19", 1), ("12:00:20", 2), ("12:00:39", 2)]
        {
            edge.now_is(&format!("2026-06-01T{moment}Z"));
            until_more_fetches(&edge, 4);
            let message = until_refused(&edge, "shrunk");
            let words = format!("{left} of 10 flags");
            assert!(message.contains(&words), "{message}");
            assert!(message.ends_with(&format!("{count} so far")), "{moment}: {message}");
        }
        assert_eq!(shown(&edge).len(), 10);
        publish(&upstream, &features(7, 10));
        edge.now_is("2026-06-01T12:00:00Z");
        until_well(&edge, number(7));
        assert_eq!(answers(&edge), held, "and whoever is whole again starts anew");
        publish(&upstream, &features(8, left));
        for (moment, count) in [("12:01:00", 1), ("12:01:20", 2)] {
            edge.now_is(&format!("2026-06-01T{moment}Z"));
            until_more_fetches(&edge, 4);
            let message = until_refused(&edge, "shrunk");
            assert!(message.ends_with(&format!("{count} so far")), "{moment}: {message}");
        }
        edge.now_is("2026-06-01T12:01:40Z");
        until_well(&edge, number(8));
        assert_eq!(shown(&edge).len(), left as usize);
    }
}

// Single bad parts.

/// A deep value: no SDK that reads recursively could read the document that has it.
fn deep() -> Value {
    (0..100).fold(json!(1), |inner, _| json!([inner]))
}

/// States of the feature `bad` that cannot be read, and why.
fn broken_states() -> Vec<(Value, &'static str)> {
    let with = |member: &str, value: Value| {
        let mut state = state(9, "bad", &json!("x"));
        state[member] = value;
        state
    };
    let share = |share: Value| {
        with(
            "multivariate_feature_state_values",
            json!([
                {"id": 1, "percentage_allocation": share, "multivariate_feature_option": {"value": 1}},
            ]),
        )
    };
    vec![
        (json!({"feature": {"name": "bad"}, "enabled": true}), "missing field `id`"),
        (with("feature", json!({"id": "nine", "name": "bad"})), "`feature.id` is not an integer"),
        (json!({"feature": {"id": 9, "name": "bad"}}), "missing field `enabled`"),
        (with("enabled", json!("yes")), "invalid type: string, expected a boolean"),
        (with("multivariate_feature_state_values", json!({})), "invalid type: an object"),
        (share(json!("half")), "`percentage_allocation` is no number"),
        (share(Value::Null), "`percentage_allocation` is no number"),
        (with("feature_segment", json!(0)), "invalid type: integer"),
    ]
}

fn with_state(version: u32, state: Value) -> Value {
    let mut document = document(version);
    document["feature_states"].as_array_mut().expect("a list").insert(1, state);
    document
}

#[track_caller]
fn assert_quarantined(edge: &Edge, part: &str, reason: &str) {
    let status = edge.status(SHOP);
    let quarantined = status["quarantined"].as_array().expect("a list");
    assert_eq!(quarantined.len(), 1, "{status}");
    assert_eq!(quarantined[0]["flag"], part);
    let found = quarantined[0]["reason"].as_str().unwrap_or_default();
    assert!(found.contains(reason), "{found}");
    let count = edge.metrics().count("burgee_flags_quarantined", &[("environment", SHOP)]);
    assert_eq!(count, 1);
}

/// Names of the features in the document that SDKs evaluate by themselves.
fn handed_out(edge: &Edge) -> Vec<String> {
    let document = server(edge).get("/api/v1/environment-document/").json();
    let states = document["feature_states"].as_array().expect("a list").clone();
    let name = |state: &Value| state["feature"]["name"].as_str().unwrap_or("?").to_owned();
    states.iter().map(name).collect()
}

#[test]
fn a_feature_that_cannot_be_read_is_left_out_alone_until_it_can() {
    for (bad, reason) in broken_states() {
        let upstream = serving(7);
        publish(&upstream, &with_state(7, bad));
        let edge = start(&upstream);
        until_well(&edge, number(7));
        assert_quarantined(&edge, "feature `bad`", reason);
        assert_eq!(shown(&edge), ["open", "since-7"]);
        assert_eq!(handed_out(&edge), ["open", "hidden", "since-7"], "it would break SDKs");
        publish(&upstream, &with_state(8, state(9, "bad", &json!("x"))));
        until_well(&edge, number(8));
        assert_eq!(edge.status(SHOP)["quarantined"], json!([]));
        assert_eq!(shown(&edge), ["open", "bad", "since-8"]);
    }
}

#[test]
fn a_feature_that_breaks_keeps_its_last_good_form_and_its_place() {
    for (bad, reason) in broken_states() {
        let upstream = serving(7);
        let last_good = state(9, "bad", &json!("good"));
        publish(&upstream, &with_state(7, last_good.clone()));
        let edge = start(&upstream);
        until_well(&edge, number(7));
        // However often it comes, and whatever else changes.
        for version in [8, 9] {
            publish(&upstream, &with_state(version, bad.clone()));
            until_well(&edge, number(version));
            assert_quarantined(&edge, "feature `bad`", reason);
            let since = format!("since-{version}");
            assert_eq!(shown(&edge), ["open", "bad", &since]);
            assert_eq!(handed_out(&edge), ["open", "bad", "hidden", &since]);
            let flag = super::client(&edge).get("/api/v1/flags/?feature=bad").json();
            assert_eq!(flag["feature_state_value"], "good");
            let whole = server(&edge).get("/api/v1/environment-document/").json();
            assert_eq!(whole["feature_states"][1], last_good);
        }
        publish(&upstream, &with_state(10, state(9, "bad", &json!("new"))));
        until_well(&edge, number(10));
        assert_eq!(edge.status(SHOP)["quarantined"], json!([]));
        assert_eq!(handed_out(&edge), ["open", "bad", "hidden", "since-10"]);
    }
}

#[test]
fn a_feature_state_without_a_feature_is_left_out_and_nothing_else_is() {
    for bad in [json!({"enabled": true}), json!({}), Value::Null, json!(7), json!([]), json!("x")] {
        for at in [0, 1, 3] {
            let mut document = document(7);
            document["feature_states"].as_array_mut().expect("a list").insert(at, bad.clone());
            let upstream = serving(7);
            publish(&upstream, &document);
            let edge = start(&upstream);
            until_well(&edge, number(7));
            assert_quarantined(&edge, &format!("feature_states[{at}]"), "");
            assert_eq!(shown(&edge), ["open", "since-7"]);
            assert_eq!(handed_out(&edge), ["open", "hidden", "since-7"]);
        }
    }
}

#[test]
fn a_segment_that_breaks_keeps_its_members() {
    let broken: [fn(&mut Value); 3] = [
        |segment| segment["rules"] = json!([{"type": "MOST", "conditions": []}]),
        |segment| segment["rules"] = json!("plan is gold"),
        |segment| segment["id"] = Value::Null,
    ];
    for spoil in broken {
        let spoilt = |version| {
            let mut document = document(version);
            spoil(&mut document["project"]["segments"][0]);
            document
        };
        let upstream = serving(7);
        publish(&upstream, &spoilt(7));
        let edge = start(&upstream);
        until_well(&edge, number(7));
        assert_quarantined(&edge, "segment `gold`", "");
        assert_eq!(value_for(&edge, "bob"), "v1", "there was none before");
        let whole = server(&edge).get("/api/v1/environment-document/").json();
        assert_eq!(whole["project"]["segments"], json!([]));
        upstream.answer(PATH, good(8));
        until_well(&edge, number(8));
        assert_eq!(value_for(&edge, "bob"), "for gold");
        publish(&upstream, &spoilt(9));
        until_well(&edge, number(9));
        assert_quarantined(&edge, "segment `gold`", "");
        assert_eq!(value_for(&edge, "bob"), "for gold");
        let whole = server(&edge).get("/api/v1/environment-document/").json();
        assert_eq!(whole["project"]["segments"], document(9)["project"]["segments"]);
    }
}

#[test]
fn segments_of_one_name_are_told_apart_by_their_ids() {
    let two = |version| {
        let mut document = document(version);
        let segments = document["project"]["segments"].as_array_mut().expect("a list");
        let mut silver = segments[0].clone();
        silver["id"] = json!(8);
        silver["rules"][0]["conditions"][0]["value"] = json!("silver");
        silver["feature_states"][0]["feature_state_value"] = json!("for silver");
        segments.insert(0, silver);
        document
    };
    let upstream = serving(7);
    publish(&upstream, &two(7));
    let edge = start(&upstream);
    until_well(&edge, number(7));
    assert_eq!(value_for(&edge, "bob"), "for gold");
    let mut broken = two(8);
    broken["project"]["segments"][1]["rules"][0]["type"] = json!("MOST");
    publish(&upstream, &broken);
    until_well(&edge, number(8));
    assert_quarantined(&edge, "segment `gold`", "");
    assert_eq!(value_for(&edge, "bob"), "for gold", "its last good form");
    let served = server(&edge).get("/api/v1/environment-document/").json();
    assert_eq!(served["project"]["segments"], two(8)["project"]["segments"]);
    // Which of the two this was nobody can tell.
    broken = two(9);
    broken["project"]["segments"][1]["id"] = Value::Null;
    publish(&upstream, &broken);
    until_well(&edge, number(9));
    assert_eq!(value_for(&edge, "bob"), "v1");
}

#[test]
fn overrides_that_cannot_be_read_are_left_out_alone() {
    let mut document = document(7);
    let gold = &mut document["project"]["segments"][0]["feature_states"];
    gold.as_array_mut().expect("a list").push(json!({"feature": {"id": 3, "name": "since-7"}}));
    document["identity_overrides"] = json!([
        7, overridden("ada", "hers"), {"identity_features": []},
        {"identifier": "bob", "identity_features": [{}, state(1, "open", &json!("his"))]},
    ]);
    let upstream = serving(7);
    publish(&upstream, &document);
    let edge = start(&upstream);
    until_well(&edge, number(7));
    let quarantined = edge.status(SHOP)["quarantined"].clone();
    let parts: Vec<&Value> =
        quarantined.as_array().expect("a list").iter().map(|broken| &broken["flag"]).collect();
    let expected = [
        "feature `since-7` of segment `gold`",
        "identity_overrides[0]",
        "identity_overrides[2]",
        "identity_overrides[3]",
    ];
    assert_eq!(parts, expected);
    assert!(!quarantined.to_string().contains("bob"), "identities may be people");
    assert_eq!((value_for(&edge, "ada"), value_for(&edge, "bob")), (json!("hers"), json!("his")));
    let whole = server(&edge).get("/api/v1/environment-document/").json();
    let left = whole["identity_overrides"].as_array().expect("a list");
    assert_eq!(left.len(), 2);
    assert_eq!(left[1]["identity_features"], json!([state(1, "open", &json!("his"))]));
    assert_eq!(whole["project"]["segments"][0]["feature_states"].as_array().map(Vec::len), Some(1));
}

#[test]
fn of_features_with_one_name_the_later_counts() {
    let mut document = document(7);
    let twice = state(8, "open", &json!("v2"));
    document["feature_states"].as_array_mut().expect("a list").push(twice);
    document["project"]["segments"] = json!([]);
    document["identity_overrides"] = json!([]);
    let upstream = serving(7);
    publish(&upstream, &document);
    let edge = start(&upstream);
    until_well(&edge, number(7));
    assert_eq!(shown(&edge), ["open", "since-7"]);
    assert_eq!(value_for(&edge, "ada"), "v2");
}

#[test]
fn a_deep_value_is_passed_on_and_deep_rules_are_no_segment() {
    let mut document = document(7);
    document["feature_states"][2]["feature_state_value"] = deep();
    let rules = (0..100).fold(json!([]), |inner, _| json!([{"type": "ALL", "rules": inner}]));
    let deep_segment = json!({"id": 8, "name": "deep", "rules": rules, "feature_states": []});
    let segments = document["project"]["segments"].as_array_mut().expect("a list");
    segments.push(deep_segment);
    let upstream = serving(7);
    publish(&upstream, &document);
    let edge = start(&upstream);
    until_well(&edge, number(7));
    assert_quarantined(&edge, "segment `deep`", "recursion limit exceeded");
    assert_eq!(value_for(&edge, "bob"), "for gold");
    let flag = super::client(&edge).get("/api/v1/flags/?feature=since-7").json();
    assert_eq!(flag["feature_state_value"], deep());
}

#[test]
fn a_key_of_the_document_that_opens_nothing_is_spoken_of() {
    let upstream = serving(7);
    let edge = start(&upstream);
    until_well(&edge, number(7));
    assert_eq!(super::keyed(&edge, "client").get("/api/v1/flags/").status, 401);
    let diagnostics = edge.status(SHOP)["diagnostics"].to_string();
    assert!(diagnostics.contains("is not among publishable_keys"), "{diagnostics}");

    // Two environments of one upstream, of which the first takes the key.
    let following = || super::following(&upstream, "100ms", "60s");
    let mut second = document(7);
    second["api_key"] = json!("pub_shop");
    publish(&upstream, &second);
    let edge = crate::support::Setup::of(following()).and(following().renamed("twin")).start();
    let twin = edge.until_status("twin", |status| status["state"] == "live");
    let diagnostics = twin["diagnostics"].to_string();
    assert!(diagnostics.contains("opens the environment shop, not this one"), "{diagnostics}");
    assert!(!diagnostics.contains("pub_shop"), "keys are not told");
}

// Dates.

/// A document with this value for `open` and this moment, if any.
fn dated(value: &str, updated_at: Option<&str>) -> Value {
    let mut document = document(7);
    document["feature_states"][0]["feature_state_value"] = json!(value);
    document["updated_at"] = json!(updated_at);
    document
}

/// Puts another document in the place of the rules file. Gives the answer with it.
fn swap(edge: &Edge, value: &str, updated_at: &str) -> Answered {
    edge.replace_rules(SHOP, &dated(value, Some(updated_at)).to_string());
    until("the document", || {
        let reply = server(edge).get("/api/v1/environment-document/");
        reply.text().contains(value).then_some(reply)
    })
}

#[test]
fn whoever_asks_by_date_is_told_of_every_other_content() {
    let first = "2026-05-04T09:30:11.204518Z";
    let document = dated("v0", Some(first)).to_string();
    let edge = Setup::of(Environment::named(SHOP).format("flagsmith").holding(document)).start();
    let reply = until("the document", || {
        let reply = server(&edge).get("/api/v1/environment-document/");
        (reply.status == 200).then_some(reply)
    });
    let mut held = vec![reply.header("last-modified").expect("a date").to_owned()];
    assert_eq!(held, ["Mon, 04 May 2026 09:30:11 GMT"]);
    for (value, updated_at, expected) in [
        ("an override's change", first, "Mon, 04 May 2026 09:30:12 GMT"),
        ("put back", "2026-05-03T08:00:00Z", "Mon, 04 May 2026 09:30:13 GMT"),
        ("the same second", "2026-05-04T09:30:11.9Z", "Mon, 04 May 2026 09:30:14 GMT"),
        ("later", "2026-05-05T09:30:11Z", "Tue, 05 May 2026 09:30:11 GMT"),
    ] {
        let reply = swap(&edge, value, updated_at);
        assert_eq!(reply.header("last-modified"), Some(expected), "{value}");
        for date in &held {
            let asked = server(&edge).with("If-Modified-Since", date);
            assert_eq!(asked.get("/api/v1/environment-document/").status, 200, "{value}: {date}");
        }
        let asked = server(&edge).with("If-Modified-Since", expected);
        let unchanged = asked.get("/api/v1/environment-document/");
        assert_eq!((unchanged.status, unchanged.body.len()), (304, 0), "{value}");
        assert_eq!(unchanged.header("content-type"), None, "it tells of a body that is not there");
        for name in ["last-modified", "etag", "age", "vary", "x-flagsmith-document-updated-at"] {
            assert_eq!(unchanged.header(name), reply.header(name), "{name}");
        }
        held.push(expected.to_owned());
    }
    let updated_at =
        |reply: &Answered| reply.header("x-flagsmith-document-updated-at").map(str::to_owned);
    // What the document itself says stays what it says.
    let reply = swap(&edge, "once more", "2026-05-05T09:30:11Z");
    assert_eq!(updated_at(&reply).as_deref(), Some("1777973411.000000"));
    assert_eq!(reply.header("last-modified"), Some("Tue, 05 May 2026 09:30:12 GMT"));
}

#[test]
fn a_document_without_a_moment_is_dated_by_the_one_before() {
    let upstream = serving(7);
    let edge = start(&upstream);
    until_well(&edge, number(7));
    publish(&upstream, &dated("undated", None));
    until_refused(&edge, "older");
    until_more_fetches(&edge, 6);
    edge.now_is("2026-06-01T12:10:01Z");
    until_well(&edge, number(7) + 1);
    let reply = server(&edge).get("/api/v1/environment-document/");
    assert_eq!(reply.header("last-modified"), Some("Fri, 01 May 2026 10:00:08 GMT"));
    assert_eq!(reply.header("x-flagsmith-document-updated-at"), None);
}

#[test]
fn a_date_that_is_not_two_seconds_old_is_not_told() {
    // The clock stands at 12:00:00.
    let start = dated("v0", Some("2026-06-01T11:59:57Z")).to_string();
    let edge = Setup::of(Environment::named(SHOP).format("flagsmith").holding(start)).start();
    until("the document", || {
        (server(&edge).get("/api/v1/environment-document/").status == 200).then_some(())
    });
    for (value, expected) in [("v1", Some("Mon, 01 Jun 2026 11:59:58 GMT")), ("v2", None)] {
        let reply = swap(&edge, value, "2026-06-01T11:59:57Z");
        assert_eq!(reply.header("last-modified"), expected, "{value}");
    }
    for date in ["Mon, 01 Jun 2026 11:59:59 GMT", "Mon, 01 Jun 2026 12:00:00 GMT"] {
        let asked = server(&edge).with("If-Modified-Since", date);
        assert_eq!(asked.get("/api/v1/environment-document/").status, 200, "{date}");
    }
    edge.now_is("2026-06-01T12:00:01Z");
    let reply = server(&edge).get("/api/v1/environment-document/");
    assert_eq!(reply.header("last-modified"), Some("Mon, 01 Jun 2026 11:59:59 GMT"));
}

#[test]
fn moments_that_have_no_date_are_served_without() {
    for moment in ["1969-12-31T23:59:59Z", "9999-12-31T23:59:59-10:00"] {
        let document = dated("v0", Some(moment)).to_string();
        let edge =
            Setup::of(Environment::named(SHOP).format("flagsmith").holding(document)).start();
        let reply = until("the document", || {
            let reply = server(&edge).get("/api/v1/environment-document/");
            (reply.status == 200).then_some(reply)
        });
        assert_eq!(reply.header("last-modified"), None, "{moment}");
    }
}
