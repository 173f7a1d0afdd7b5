//! Answers that are none: each way in which an upstream can fail, before there was a good answer
//! and after.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::fake_upstream::{Answer, Reply, Step, Upstream};
use crate::following::{
    Following, SHOP, answers, assert_not_ready, document, failures_since, for_each_row, outcomes,
    served_version, until_failing, until_more_fetches, until_well,
};
use crate::support::rules::on;
use crate::support::{Edge, Setup, logged, until};

/// One way to fail.
pub(crate) struct Row {
    /// What the upstream does, in words.
    pub(crate) upstream: &'static str,
    pub(crate) trouble: Trouble,
    /// `last_error.kind` of `/status`, and the `outcome` of `burgee_source_fetches_total`.
    pub(crate) kind: &'static str,
    /// `state` of `/status` before there was a good answer, and after.
    pub(crate) states: [&'static str; 2],
}

/// What the upstream does.
pub(crate) enum Trouble {
    /// It answers the request for definitions like this.
    Answers(Answer),
    /// Nobody listens at its address.
    IsGone,
    /// The system takes its connections and nobody reads them.
    IsStuck,
}

impl Trouble {
    /// Begins it; answers are those to requests of `path`.
    pub(crate) fn begin(&self, upstream: &Upstream, path: &str) {
        match self {
            Self::Answers(answer) => upstream.answer(path, answer.clone()),
            Self::IsGone => upstream.refuse_connections(),
            Self::IsStuck => {
                upstream.ignore_connections();
                upstream.end_connections();
            }
        }
    }

    /// Ends it; `recover` makes the upstream answer well again.
    pub(crate) fn end(&self, upstream: &Upstream, recover: impl FnOnce()) {
        match self {
            Self::Answers(_) => recover(),
            Self::IsGone | Self::IsStuck => upstream.accept_connections(),
        }
    }
}

fn row(upstream: &'static str, trouble: Trouble, kind: &'static str) -> Row {
    Row { upstream, trouble, kind, states: ["empty", "cached"] }
}

/// An upstream that answers like this.
pub(crate) fn answer(upstream: &'static str, answer: impl Into<Answer>, kind: &'static str) -> Row {
    row(upstream, Trouble::Answers(answer.into()), kind)
}

/// A refused key has a state of its own, whether there is data or not.
fn refusal(upstream: &'static str, status: u16) -> Row {
    let reply = Reply::error(status, "INVALID_API_KEY", "unknown key");
    Row { states: ["unauthorized"; 2], ..answer(upstream, reply, "unauthorized") }
}

/// A good answer, if it came as it should.
fn whole() -> Reply {
    Reply::json(200, &document(9).definitions())
}

/// `whole` is the good answer that does not come.
pub(crate) fn nobody_there_or_nobody_who_speaks(whole: &Reply) -> Vec<Row> {
    let begin = |length| Answer::beginning_of(whole, length);
    let silent = Answer::nothing;
    let drip = Duration::from_millis(40);
    vec![
        row("refuses connections", Trouble::IsGone, "network"),
        row("takes connections and never reads them", Trouble::IsStuck, "timeout"),
        answer("never answers", silent().then(Step::Hang), "timeout"),
        answer("closes without an answer", silent().then(Step::Close), "network"),
        answer("resets without an answer", silent().then(Step::Reset), "network"),
        answer("drips its answer", Answer::dripped(whole, drip), "timeout"),
        answer("stops in the head", begin(20).then(Step::Hang), "timeout"),
        answer("stops after the head", Answer::raw(whole.head()).then(Step::Hang), "timeout"),
        answer("closes in the head", begin(20).then(Step::Close), "network"),
        answer("speaks SSH", Answer::raw("SSH-2.0-upstream\r\n").then(Step::Close), "malformed"),
    ]
}

/// `elsewhere` is what redirects point to, `document` what is no reason to believe an error.
pub(crate) fn statuses(elsewhere: &str, document: &Value) -> Vec<Row> {
    let redirect = |status| Reply::status(status).header("Location", elsewhere);
    let rest = |status| Reply::status(status).header("Retry-After", "1");
    let page = Reply::status(502).body("<html>Bad Gateway</html>");
    let teapot = Reply::json(418, document);
    vec![
        refusal("answers 401", 401),
        refusal("answers 403", 403),
        answer("answers 404", Reply::error(404, "NOT_FOUND", "nothing here"), "status_4xx"),
        answer("answers 418 with a good document", teapot, "status_4xx"),
        answer("answers 429 and asks for a rest", rest(429), "status_4xx"),
        answer("answers 500", Reply::error(500, "INTERNAL", "something broke"), "status_5xx"),
        answer("answers 502 in HTML", page, "status_5xx"),
        answer("answers 503 and asks for a rest", rest(503), "status_5xx"),
        answer("answers 204", Reply::status(204), "malformed"),
        answer("answers 304 though nobody asked for it", Reply::status(304), "malformed"),
        answer("redirects with 301", redirect(301), "malformed"),
        answer("redirects with 302", redirect(302), "malformed"),
        answer("redirects with 307", redirect(307), "malformed"),
        answer("redirects with 308", redirect(308), "malformed"),
    ]
}

fn bodies_that_are_no_document() -> Vec<Row> {
    let text = |body: &'static str| Reply::status(200).body(body);
    let json = |body: Value| Reply::json(200, &body);
    let cut_short = {
        let mut body = document(9).definitions().to_string();
        body.truncate(body.len() - 10);
        Reply::status(200).body(body)
    };
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep = Reply::status(200).body(deep);
    let failed = json(json!({"success": false, "flagStateVersion": 9, "features": []}));
    let silent = json(json!({"flagStateVersion": 9, "features": [on("open")]}));
    let version = |version: Value| {
        json(json!({"success": true, "flagStateVersion": version, "features": []}))
    };
    let evaluated = json(document(9).evaluated(true));
    vec![
        answer("gives an empty body", text(""), "malformed"),
        answer("gives white space", text(" \n"), "malformed"),
        answer("gives null", text("null"), "malformed"),
        answer("gives an array", text("[]"), "malformed"),
        answer("gives an object without members", text("{}"), "malformed"),
        answer("gives HTML", text("<html>Welcome to the airport's network</html>"), "malformed"),
        answer("says that it failed", failed, "malformed"),
        answer("does not say that it succeeded", silent, "malformed"),
        answer("gives a version in quotes", version(json!("9")), "malformed"),
        answer("gives a negative version", version(json!(-9)), "malformed"),
        answer("gives a broken version", version(json!(9.5)), "malformed"),
        answer("gives a version beyond 2^53", version(json!(1_u64 << 60)), "malformed"),
        answer("gives an evaluated answer", evaluated, "malformed"),
        answer("cuts its JSON short, and gives the length of that", cut_short, "malformed"),
        answer("gives 100,000 levels of arrays", deep, "malformed"),
    ]
}

/// `whole` is the good answer that does not come whole.
pub(crate) fn bodies_that_do_not_come_as_they_are_announced(whole: &Reply) -> Vec<Row> {
    let whole = || whole.clone();
    let long = || Answer::from(whole().wrong_length(100_000));
    let chunked = |size| Answer::beginning_of(&whole().chunked(size), 400);
    let chunks_that_are_none =
        Answer::raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nmuch\r\n");
    let gzip = |cut_off| {
        let whole = whole().gzipped().until_closed();
        let length = whole.to_bytes().len();
        Answer::beginning_of(&whole, length - cut_off).then(Step::Close)
    };
    vec![
        answer("announces more than comes, and closes", long().then(Step::Close), "network"),
        answer("announces more than comes, and waits", long().then(Step::Hang), "timeout"),
        answer("announces more than anybody takes", whole().wrong_length(1 << 40), "malformed"),
        answer("closes before its last chunk", chunked(64).then(Step::Close), "network"),
        answer("resets within a chunk", chunked(4_096).then(Step::Reset), "network"),
        answer("gives chunks that are none", chunks_that_are_none.then(Step::Close), "malformed"),
        answer("cuts its gzip short", gzip(40), "malformed"),
        answer("cuts off the checksum of its gzip", gzip(1), "malformed"),
        answer(
            "says gzip and gives plain text",
            whole().header("Content-Encoding", "gzip"),
            "malformed",
        ),
        answer(
            "gives br, which nobody asked for",
            whole().header("Content-Encoding", "br"),
            "malformed",
        ),
    ]
}

#[test]
fn whatever_an_upstream_does_clients_keep_the_last_good_answer() {
    let elsewhere = Upstream::serving(document(9));
    let rows: Vec<Row> = [
        nobody_there_or_nobody_who_speaks(&whole()),
        statuses(&format!("{}/features", elsewhere.url()), &document(9).definitions()),
        bodies_that_are_no_document(),
        bodies_that_do_not_come_as_they_are_announced(&whole()),
    ]
    .into_iter()
    .flatten()
    .collect();
    for_each_row(&rows, |row| row.upstream, |row| suffer(row, "100ms"));
    assert_eq!(elsewhere.connected(), 0, "a redirect was followed");
}

/// Lets the upstream fail from the start, be well, fail again and be well again.
fn suffer(row: &Row, poll_interval: &'static str) {
    let upstream = Upstream::serving(document(7));
    row.trouble.begin(&upstream, "/features");
    let timeout = if row.kind == "timeout" { "200ms" } else { "60s" };
    let following = Following::upstream(&upstream).every(poll_interval).timeout(timeout);
    let setup = Setup::of(following.named(SHOP));
    let edge = if poll_interval == "100ms" { setup } else { setup.looking_as_configured() }.start();

    let status = until_failing(&edge);
    assert_failing(row, &status, row.states[0], "/features");
    assert_eq!(status["version"], 0);
    assert_eq!(status["last_success_at"], Value::Null);
    assert_not_ready(&edge);
    assert_eq!(edge.admin().get("/health/ready").status, 503, "{}", row.upstream);
    assert_eq!(edge.admin().get("/health/live").status, 200);
    assert_eq!(outcomes(&edge).into_keys().collect::<Vec<_>>(), [row.kind], "{}", row.upstream);

    row.trouble.end(&upstream, || upstream.recover());
    until_well(&edge, 7);

    let (good, before) = (answers(&edge), outcomes(&edge));
    assert!(good.iter().all(|reply| reply.starts_with("200 OK")));
    row.trouble.begin(&upstream, "/features");
    let status = until_failing(&edge);
    assert_failing(row, &status, row.states[1], "/features");
    assert_eq!(status["version"], 7);
    assert_eq!(answers(&edge), good, "an upstream that {}", row.upstream);
    until_more_fetches(&edge, 1);
    assert_eq!(answers(&edge), good, "an upstream that {}", row.upstream);
    assert_eq!(edge.admin().get("/health/ready").status, 200);
    assert_eq!(failures_since(&before, &outcomes(&edge)), [row.kind], "{}", row.upstream);

    upstream.publish(document(8));
    row.trouble.end(&upstream, || upstream.recover());
    until_well(&edge, 8);
    assert_ne!(answers(&edge), good);
}

/// Asserts what `/status` says of an environment whose fetches of `path` fail.
pub(crate) fn assert_failing(row: &Row, status: &Value, state: &str, path: &str) {
    let source = &status["source"];
    assert_eq!(source["last_error"]["kind"], row.kind, "{}: {source}", row.upstream);
    let message = source["last_error"]["message"].as_str().unwrap_or_default();
    assert!(message.contains(path), "{}: {message}", row.upstream);
    assert!(source["consecutive_failures"].as_u64() >= Some(1), "{}: {source}", row.upstream);
    assert_eq!(status["state"], state, "{}", row.upstream);
}

#[test]
fn a_gzip_bomb_is_no_document() {
    // Asked less often than the others: to inflate it up to the bound takes a while each time.
    suffer(
        &answer("gives a gzip bomb", Reply::status(200).gzip_bomb(257 << 20), "malformed"),
        "1s",
    );
}

#[test]
fn a_large_document_is_a_document_and_nobody_waits_for_it() {
    let large = |version| {
        let padded = document(version).definitions().to_string().replacen(
            '{',
            &format!("{{{}", " ".repeat(50 << 20)),
            1,
        );
        Reply::status(200).body(padded)
    };
    let upstream = Upstream::serving(document(7));
    upstream.answer("/features", large(7));
    let following = Following::upstream(&upstream).every("1s");
    let edge = Setup::of(following.named(SHOP)).looking_as_configured().start();
    until_well(&edge, 7);
    let before = edge.publishable().get("/features/evaluated").without_date();

    upstream.publish(document(8));
    upstream.answer("/features", large(8));
    edge.until_status(SHOP, |status| {
        let reply = edge.publishable().get("/features/evaluated").without_date();
        let version = served_version(&reply);
        assert!(reply == before || version == 8, "{reply}");
        status["version"] == 8
    });
    upstream.publish(document(9));
    upstream.recover();
    until_well(&edge, 9);
}

#[test]
fn an_upstream_that_closes_every_connection_after_its_answer_does_not_fail() {
    // And does not say so beforehand: the next request may meet the end of the connection.
    let upstream = Upstream::serving(document(7));
    for (path, body) in [
        ("/features", document(7).definitions()),
        ("/features/evaluated", document(7).evaluated(false)),
    ] {
        upstream.answer(path, Answer::from(Reply::json(200, &body)).then(Step::Close));
    }
    let edge = Following::upstream(&upstream).start();
    until_more_fetches(&edge, 30);
    until_well(&edge, 7);
    assert!(failures_since(&BTreeMap::new(), &outcomes(&edge)).is_empty());
    assert!(upstream.connected() > 1);
}

#[test]
fn a_change_of_state_is_one_line_in_the_log_and_failed_polls_are_none() {
    let upstream = Upstream::serving(document(7));
    let edge = Setup::of(Following::upstream(&upstream).named("talkative")).start();
    let failures = |status: &Value| status["source"]["consecutive_failures"].as_u64();
    upstream.answer("/features", Reply::status(503));
    edge.until_status("talkative", |status| failures(status) > Some(10));
    upstream.answer("/features", Reply::status(401));
    edge.until_status("talkative", |status| status["state"] == "unauthorized");
    upstream.recover();
    edge.until_status("talkative", |status| status["state"] == "live");
    let lines = |words: &[&str]| {
        let log = logged();
        let said = |line: &&str| words.iter().all(|word| line.contains(word));
        log.lines().filter(|line| line.contains("environment=talkative")).filter(said).count()
    };
    for (change, cause) in [
        ("empty->live", ""),
        ("live->cached", "answered 503"),
        ("cached->unauthorized", "it refuses the key"),
        ("unauthorized->live", ""),
    ] {
        until(change, || (lines(&[change, cause]) == 1).then_some(()));
    }
    assert_eq!(lines(&["state="]), 4);
}

#[test]
fn one_environment_s_upstream_does_not_touch_another_environment() {
    let (north, south) = (Upstream::serving(document(7)), Upstream::serving(document(7)));
    let edge = Setup::of(Following::upstream(&north).named("north"))
        .and(Following::upstream(&south).named("south"))
        .start();
    north.answer("/features", Answer::nothing().then(Step::Hang));
    south.publish(document(8));
    edge.until_status("south", |status| status["version"] == 8);
    let version = |edge: &Edge, name| served_version(&edge.secret_of(name).get("/features"));
    assert_eq!((version(&edge, "north"), version(&edge, "south")), (7, 8));
}
