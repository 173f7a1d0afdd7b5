//! Keys: what a refused one means, and where they may be seen.

use serde_json::json;

use crate::fake_upstream::{
    ANY_PATH, Answer, PUBLISHABLE_KEY, Reply, Request, SECRET_KEY, Step, Upstream,
};
use crate::following::{
    Following, SHOP, answers, assert_not_ready, document, until_failing, until_more_fetches,
    until_well,
};
use crate::support::{Edge, Environment, Setup, logged, publishable_key, secret_key, until};

fn refused(status: u16) -> Reply {
    Reply::error(status, "INVALID_API_KEY", "unknown key")
}

/// An edge that serves nobody while the upstream refuses its key.
fn strict(upstream: &Upstream) -> Edge {
    let following = Following::upstream(upstream);
    Setup::of(following.named(SHOP).says("on_unauthorized = \"refuse\"")).start()
}

fn until_state(edge: &Edge, state: &str) {
    edge.until_status(SHOP, |status| status["state"] == state);
}

#[test]
fn with_refuse_a_revoked_key_ends_all_answers_and_a_good_one_brings_them_back() {
    for status in [401, 403] {
        let upstream = Upstream::serving(document(7));
        let edge = strict(&upstream);
        until_well(&edge, 7);
        let good = answers(&edge);
        upstream.answer("/features", refused(status));
        until_state(&edge, "unauthorized");
        assert_not_ready(&edge);
        assert_eq!(edge.admin().get("/health/ready").status, 503);
        assert_eq!(edge.status(SHOP)["version"], 7, "nothing is thrown away");
        upstream.recover();
        until_well(&edge, 7);
        assert_eq!(answers(&edge), good);
    }
}

#[test]
fn with_refuse_a_key_stays_revoked_while_the_upstream_says_nothing_else() {
    // An outage after the refusal is no permission.
    let upstream = Upstream::serving(document(7));
    let edge = strict(&upstream);
    until_well(&edge, 7);
    upstream.answer("/features", refused(401));
    until_state(&edge, "unauthorized");
    for answer in
        [Reply::status(500).into(), Answer::nothing().then(Step::Reset), Reply::status(429).into()]
    {
        upstream.answer("/features", answer);
        until_more_fetches(&edge, 3);
        assert_not_ready(&edge);
        let status = edge.status(SHOP);
        assert_eq!(status["state"], "unauthorized", "nothing is served: {status}");
    }
    upstream.recover();
    until_well(&edge, 7);
}

#[test]
fn with_refuse_any_document_shows_that_the_key_is_good_again() {
    // Even one that is not believed: the answer that was withdrawn is there again.
    let upstream = Upstream::serving(document(7));
    let edge = strict(&upstream);
    until_well(&edge, 7);
    let good = answers(&edge);
    upstream.answer("/features", refused(401));
    until_state(&edge, "unauthorized");
    upstream.publish(document(6));
    upstream.recover();
    until_state(&edge, "cached");
    assert_eq!(edge.status(SHOP)["source"]["last_error"]["kind"], "older");
    assert_eq!(answers(&edge), good);
}

#[test]
fn a_key_that_is_refused_for_learning_alone_withdraws_nothing() {
    let upstream = Upstream::serving(document(7));
    let edge = strict(&upstream);
    until_well(&edge, 7);
    let good = edge.publishable().get("/features/evaluated?key=open").flags();
    upstream.answer("/features/evaluated", refused(401));
    upstream.publish(document(8));
    let status = until_failing(&edge);
    assert_eq!((&status["state"], &status["version"]), (&json!("cached"), &json!(8)));
    assert_eq!(edge.publishable().get("/features/evaluated?key=open").flags(), good);
    assert_eq!(edge.secret().get("/features").status, 200);
}

#[test]
fn readiness_does_not_wait_for_an_environment_whose_key_is_refused() {
    let (good, bad) = (Upstream::serving(document(7)), Upstream::serving(document(7)));
    let gate = bad.gate();
    bad.answer(ANY_PATH, Answer::from(refused(401)).after(&gate));
    let edge = Setup::of(Following::upstream(&good).named("good"))
        .and(Following::upstream(&bad).named("bad"))
        .begin();
    edge.until_status("good", |status| status["state"] == "live");
    bad.until_requests("/features", 1);
    assert_eq!(edge.admin().get("/health/ready").status, 503, "one has not said anything yet");
    gate.open();
    edge.until_status("bad", |status| status["state"] == "unauthorized");
    let reply = edge.admin().get("/health/ready");
    let expected = json!({
        "ready": true,
        "environments": {
            "good": {"ready": true, "state": "live"},
            "bad": {"ready": false, "state": "unauthorized"},
        },
    });
    assert_eq!((reply.status, reply.json()), (200, expected));
}

// Where keys may be seen.

/// Everything of a request, as text.
fn whole(request: &Request) -> String {
    format!("{request:?} {}", String::from_utf8_lossy(&request.body))
}

#[test]
fn each_request_carries_the_one_key_that_it_needs_and_only_in_its_head() {
    let upstream = Upstream::serving(document(7));
    let edge = Following::upstream(&upstream).start();
    until_well(&edge, 7);
    upstream.publish(document(8));
    until_well(&edge, 8);
    let requests = upstream.requests();
    let paths: std::collections::BTreeSet<_> = requests.iter().map(Request::path).collect();
    assert_eq!(paths.into_iter().collect::<Vec<_>>(), ["/features", "/features/evaluated"]);
    for request in &requests {
        let (own, others) = match request.path() {
            "/features" => (SECRET_KEY, PUBLISHABLE_KEY),
            _ => (PUBLISHABLE_KEY, SECRET_KEY),
        };
        assert_eq!(request.bearer(), Some(own));
        assert_eq!(whole(request).matches(own).count(), 1, "{request:?}");
        for foreign in [others, &secret_key(SHOP), &publishable_key(SHOP)] {
            assert!(!whole(request).contains(foreign), "{request:?}");
        }
        assert_eq!((&*request.method, &*request.body), ("GET", &b""[..]));
    }
}

#[test]
fn without_a_publishable_key_for_the_upstream_ours_learns() {
    let upstream = Upstream::serving(document(7));
    let edge = Setup::of(Environment::named(SHOP).source(format!(
        "type = \"reflag\"\nurl = {:?}\nsecret_key = {SECRET_KEY:?}",
        upstream.url()
    )))
    .start();
    let learning = upstream.until_requests("/features/evaluated", 1);
    assert_eq!(learning[0].bearer(), Some(&*publishable_key(SHOP)));
    // It is not known there, which does not make the environment unauthorized.
    let status = until_failing(&edge);
    assert_eq!(status["source"]["last_error"]["kind"], "status_4xx");
    assert_eq!(status["state"], "cached");
}

#[test]
fn no_key_is_ever_shown_or_logged_or_sent_elsewhere() {
    // The upstream repeats what it was sent, wherever it can.
    let upstream = Upstream::serving(document(7));
    let elsewhere = Upstream::serving(document(7));
    let keys = format!("{SECRET_KEY} {PUBLISHABLE_KEY}");
    let location = format!("{}/features?key={SECRET_KEY}", elsewhere.url());
    let edge = Following::upstream(&upstream).timeout("200ms").start();
    let told = || {
        let admin = edge.admin();
        let pages = ["/status", "/metrics", "/health/ready", "/"].map(|page| admin.get(page));
        let mut told = pages.map(|page| page.to_string()).join("\n");
        for caller in [edge.publishable(), edge.secret(), edge.anonymous()] {
            for target in ["/features", "/features/evaluated"] {
                told.push_str(&caller.get(target).to_string());
            }
        }
        told
    };
    let (mut seen, mut version) = (told(), 7);
    for answer in [
        refused(401).header("WWW-Authenticate", &keys),
        Reply::error(403, &keys, &keys),
        Reply::status(302).header("Location", &location),
        Reply::status(307).header("Location", &location),
        Reply::status(404).body(keys.clone()),
        Reply::status(500).header("X-Echo", &keys).body(keys.clone()),
        Reply::status(200).body(keys.clone()),
        Reply::status(200).body(format!("{{\"{SECRET_KEY}\":")),
        Reply::json(200, &json!({"success": &keys, "features": []})),
        Reply::json(200, &json!({"success": true, "flagStateVersion": &keys, "features": []})),
        Reply::json(200, &json!({"success": true, "features": &keys})),
        Reply::status(200).header("Content-Encoding", SECRET_KEY),
        Reply::status(429).header("Retry-After", SECRET_KEY),
        Reply::status(200).header("Transfer-Encoding", SECRET_KEY).body("x"),
    ] {
        for path in ["/features", "/features/evaluated"] {
            upstream.answer(path, answer.clone());
            version += 2;
            upstream.publish(document(version));
            until_failing(&edge);
            seen.push_str(&told());
            upstream.recover();
            edge.until_status(SHOP, |status| status["state"] == "live");
        }
    }
    for answer in [
        Answer::nothing().then(Step::Reset),
        Answer::nothing().then(Step::Hang),
        Answer::raw(keys.clone()).then(Step::Close),
    ] {
        upstream.answer("/features", answer);
        until_failing(&edge);
        seen.push_str(&told());
        upstream.recover();
        edge.until_status(SHOP, |status| status["state"] == "live");
    }
    drop(edge);
    // The log is that of all tests of this process, at the finest level there is.
    until("the log", || logged().contains("stopped").then_some(()));
    seen.push_str(&logged());
    for key in [SECRET_KEY, PUBLISHABLE_KEY, &secret_key(SHOP), &publishable_key(SHOP)] {
        let at = seen.find(key);
        assert_eq!(at, None, "{}", &seen[at.unwrap_or(0).saturating_sub(200)..][..400]);
    }
    assert_eq!(elsewhere.connected(), 0, "nobody else is asked");
}
