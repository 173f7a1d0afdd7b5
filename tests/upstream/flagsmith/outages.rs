//! Answers that are none: each way in which an upstream can fail, before there was a good answer
//! and after.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::{
    PATH, SERVER_KEY, answers, assert_not_ready, document, following, good, number, serving, start,
    until_well,
};
use crate::fake_upstream::{Answer, Reply, Step};
use crate::following::{
    SHOP, failures_since, for_each_row, outcomes, until_failing, until_more_fetches,
};
use crate::outages::{
    Row, answer, assert_failing, bodies_that_do_not_come_as_they_are_announced,
    nobody_there_or_nobody_who_speaks, statuses,
};
use crate::support::{Setup, logged, until};

/// The document without a member, or with another value for it.
fn with(member: &str, value: Option<Value>) -> Reply {
    let mut document = document(9);
    match value {
        Some(value) => document[member] = value,
        None => drop(document.as_object_mut().expect("an object").shift_remove(member)),
    }
    Reply::json(200, &document)
}

fn bodies_that_are_no_document() -> Vec<Row> {
    let text = |body: &'static str| Reply::status(200).body(body);
    let whole = document(9).to_string();
    let cut_short = Reply::status(200).body(whole[..whole.len() - 10].to_owned());
    let twice = Reply::status(200).body(format!("{whole}{whole}"));
    let not_a_number = Reply::status(200).body(whole.replace("\"v1\"", "NaN"));
    let two_keys = Reply::status(200).body(whole.replacen('{', "{\"api_key\":\"x\",", 1));
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep = Reply::status(200).body(deep);
    let not_utf8 = |place: &str| {
        let mut body = whole.clone().into_bytes();
        let at = whole.find(place).expect("it is in the document");
        body[at] = 0xff;
        Reply::status(200).body(body)
    };
    let list = json!([document(9)]);
    let flags = json!([{"feature": {"id": 1, "name": "open"}, "enabled": true}]);
    let none = Value::Null;
    [
        ("gives an empty body", text("")),
        ("gives white space", text(" \n")),
        ("gives null", text("null")),
        ("gives a number", text("7")),
        ("gives text", text("\"document\"")),
        ("gives true", text("true")),
        ("gives an array", text("[]")),
        ("gives an array of documents", Reply::json(200, &list)),
        ("gives an object without members", text("{}")),
        ("gives flags", Reply::json(200, &flags)),
        ("gives HTML", text("<html>Welcome to the airport's network</html>")),
        ("gives an error as if it were none", text("{\"detail\":\"Environment is gone\"}")),
        ("cuts its JSON short, and gives the length of that", cut_short),
        ("gives two documents at once", twice),
        ("gives a literal that is not JSON", not_a_number),
        ("gives two keys", two_keys),
        ("gives 100,000 levels of arrays", deep),
        ("gives text that is not UTF-8 in a value", not_utf8("v1")),
        ("gives text that is not UTF-8 in a name", not_utf8("organisation")),
        ("leaves out the key", with("api_key", None)),
        ("leaves out the project", with("project", None)),
        ("leaves out the features", with("feature_states", None)),
        ("gives null for the key", with("api_key", Some(none.clone()))),
        ("gives an empty key", with("api_key", Some(json!("")))),
        ("gives a number for the key", with("api_key", Some(json!(7)))),
        ("gives null for the project", with("project", Some(none.clone()))),
        ("gives a list for the project", with("project", Some(json!([])))),
        ("gives null for the features", with("feature_states", Some(none))),
        ("gives an object for the features", with("feature_states", Some(json!({})))),
        ("gives text for the identities", with("identity_overrides", Some(json!("ada")))),
    ]
    .into_iter()
    .map(|(upstream, reply)| answer(upstream, reply, "malformed"))
    .collect()
}

#[test]
fn whatever_an_upstream_does_clients_keep_the_last_good_answer() {
    let elsewhere = serving(9);
    let target = format!("{}{PATH}", elsewhere.url());
    let whole = good(9);
    let mut rows: Vec<Row> = [
        nobody_there_or_nobody_who_speaks(&whole),
        statuses(&target, &document(9)),
        bodies_that_are_no_document(),
        bodies_that_do_not_come_as_they_are_announced(&whole),
    ]
    .into_iter()
    .flatten()
    .collect();
    let home = Reply::status(301).header("Location", PATH);
    rows.push(answer("redirects to itself", home, "malformed"));
    // While running it is asked whether there is anything new.
    rows.retain(|row| row.upstream != "answers 304 though nobody asked for it");
    for_each_row(&rows, |row| row.upstream, |row| suffer(row, "100ms"));
    assert_eq!(elsewhere.connected(), 0, "a redirect was followed");
}

#[test]
fn a_redirect_to_the_same_host_is_followed_and_its_pages_are_found_from_there() {
    let upstream = serving(7);
    let (status, moved) = (Reply::status, "/edge/v2/document");
    let origin = upstream.url();
    for (code, target) in [
        (301, moved.to_owned()),
        (302, format!("{origin}{moved}")),
        (303, format!("{}{moved}", origin.strip_prefix("http:").expect("a scheme"))),
        (307, "../../../edge/v2/document?region=eu".to_owned()),
        (308, "/one".to_owned()),
    ] {
        upstream.answer(PATH, status(code).header("Location", &target));
        // As many as are followed: five with the first.
        for (from, to) in
            [("/one", "/two"), ("/two", "/three"), ("/three", "/four"), ("/four", moved)]
        {
            upstream.answer(from, status(302).header("Location", to));
        }
        upstream.answer(moved, good(7).header("Link", "<rest>; rel=\"next\""));
        upstream.answer("/edge/v2/rest", good(7));
        let edge = start(&upstream);
        until_well(&edge, number(7));
        for path in [moved, "/edge/v2/rest"] {
            let asked = upstream.requests_to(path);
            let last = asked.last().expect("a request");
            assert_eq!(last.header("x-environment-key"), Some(SERVER_KEY), "{code} to {path}");
        }
    }
    upstream.answer("/four", status(302).header("Location", "/five"));
    upstream.answer("/five", status(302).header("Location", moved));
    let edge = start(&upstream);
    let status = until_failing(&edge);
    let message = status["source"]["last_error"]["message"].as_str().unwrap_or_default();
    assert!(message.contains("/five answered 302 Found: it leads to more than 5"), "{message}");
}

/// Lets the upstream fail from the start, be well, fail again and be well again.
fn suffer(row: &Row, poll_interval: &'static str) {
    let upstream = serving(7);
    row.trouble.begin(&upstream, PATH);
    let timeout = if row.kind == "timeout" { "200ms" } else { "60s" };
    let setup = Setup::of(following(&upstream, poll_interval, timeout));
    let edge = if poll_interval == "100ms" { setup } else { setup.looking_as_configured() }.start();

    let status = until_failing(&edge);
    assert_failing(row, &status, row.states[0], "/environment-document/");
    assert_eq!(status["version"], 0);
    assert_eq!(status["last_success_at"], Value::Null);
    assert_not_ready(&edge);
    assert_eq!(edge.admin().get("/health/ready").status, 503, "{}", row.upstream);
    assert_eq!(edge.admin().get("/health/live").status, 200);
    assert_eq!(outcomes(&edge).into_keys().collect::<Vec<_>>(), [row.kind], "{}", row.upstream);

    row.trouble.end(&upstream, || upstream.answer(PATH, good(7)));
    until_well(&edge, number(7));

    let (held, before) = (answers(&edge), outcomes(&edge));
    row.trouble.begin(&upstream, PATH);
    let status = until_failing(&edge);
    assert_failing(row, &status, row.states[1], "/environment-document/");
    assert_eq!(status["version"], number(7));
    assert_eq!(answers(&edge), held, "an upstream that {}", row.upstream);
    until_more_fetches(&edge, 1);
    assert_eq!(answers(&edge), held, "an upstream that {}", row.upstream);
    assert_eq!(edge.admin().get("/health/ready").status, 200);
    assert_eq!(failures_since(&before, &outcomes(&edge)), [row.kind], "{}", row.upstream);

    upstream.answer(PATH, good(8));
    row.trouble.end(&upstream, || upstream.answer(PATH, good(8)));
    until_well(&edge, number(8));
    assert_ne!(answers(&edge), held);
}

#[test]
fn only_who_asked_for_a_change_is_told_that_there_is_none() {
    let upstream = serving(7);
    upstream.answer(PATH, Reply::status(304));
    let edge = start(&upstream);
    assert_eq!(until_failing(&edge)["source"]["last_error"]["kind"], "malformed");
    assert_not_ready(&edge);
    upstream.answer(PATH, good(7));
    until_well(&edge, number(7));
    let (held, before) = (answers(&edge), outcomes(&edge));
    upstream.answer(PATH, Reply::status(304));
    until_more_fetches(&edge, 4);
    assert!(failures_since(&before, &outcomes(&edge)).is_empty());
    // So young a document may hide another change within its second: it is fetched as a whole.
    upstream.answer(PATH, good(8));
    edge.now_is("2026-05-01T10:00:09Z");
    until_well(&edge, number(8));
    upstream.answer(PATH, Reply::status(304));
    assert_eq!(until_failing(&edge)["source"]["last_error"]["kind"], "malformed");
    upstream.answer(PATH, good(8));
    until_well(&edge, number(8));
    assert_ne!(answers(&edge), held);
}

#[test]
fn a_gzip_bomb_is_no_document() {
    let bomb = Reply::status(200).gzip_bomb(257 << 20);
    suffer(&answer("gives a gzip bomb", bomb, "malformed"), "1s");
}

#[test]
fn what_is_unusual_and_a_document_all_the_same_is_taken() {
    let body = document(7).to_string();
    let plain = || Reply::status(200).body(body.clone());
    let nested =
        format!("{{\"later\":{}1{},{}", "[".repeat(10_000), "]".repeat(10_000), &body[1..]);
    for (upstream, reply) in [
        ("does not say what it gives", plain()),
        ("says that it gives text", plain().header("Content-Type", "text/plain")),
        ("says that it gives HTML", plain().header("Content-Type", "text/html")),
        ("gives gzip", good(7).gzipped()),
        ("gives chunks", good(7).chunked(100)),
        ("ends its body with the connection", good(7).until_closed()),
        ("begins with a byte order mark", Reply::status(200).body(format!("\u{feff}{body}"))),
        ("begins with blanks", Reply::status(200).body(format!("\n\t {body}\r\n"))),
        ("gives members of the future", Reply::status(200).body(nested)),
    ] {
        let upstream_server = serving(7);
        upstream_server.answer(PATH, reply);
        let edge = start(&upstream_server);
        until_well(&edge, number(7));
        let document = super::server(&edge).get("/api/v1/environment-document/");
        assert!(document.body.trim_ascii().starts_with(b"{"), "an upstream that {upstream}");
    }
}

#[test]
fn a_large_document_is_a_document_and_nobody_waits_for_it() {
    let large = |version: u32| {
        let blanks = format!("{{{}", " ".repeat(50 << 20));
        Reply::status(200).body(document(version).to_string().replacen('{', &blanks, 1))
    };
    let upstream = serving(7);
    upstream.answer(PATH, large(7));
    let edge = Setup::of(following(&upstream, "1s", "60s")).looking_as_configured().start();
    until_well(&edge, number(7));
    upstream.answer(PATH, large(8));
    edge.until_status(SHOP, |status| {
        let reply = super::client(&edge).get("/api/v1/flags/");
        assert_eq!(reply.status, 200, "{reply}");
        status["version"] == number(8)
    });
    upstream.answer(PATH, good(9));
    until_well(&edge, number(9));
}

#[test]
fn an_upstream_that_closes_every_connection_after_its_answer_does_not_fail() {
    let upstream = serving(7);
    upstream.answer(PATH, Answer::from(good(7)).then(Step::Close));
    let edge = start(&upstream);
    until_more_fetches(&edge, 30);
    until_well(&edge, number(7));
    assert!(failures_since(&BTreeMap::new(), &outcomes(&edge)).is_empty());
    assert!(upstream.connected() > 1);
}

#[test]
fn an_upstream_that_asks_for_a_rest_gets_it_counted_from_its_answer() {
    const SECOND: Duration = Duration::from_secs(1);
    for_each_row(
        &[429, 503, 401],
        |_| "a rest",
        |&status| {
            let upstream = serving(7);
            let gate = upstream.gate();
            let reply = Reply::status(status).header("Retry-After", "1");
            upstream.answer_once(PATH, Answer::from(reply).after(&gate));
            let edge = Setup::of(following(&upstream, "100ms", "60s")).begin();
            upstream.until_requests(PATH, 1);
            let answered = upstream.now();
            gate.open();
            let next = until("another request", || {
                upstream.requests().into_iter().find(|request| request.at > answered)
            });
            assert!(next.at >= answered + SECOND, "{status}: {answered:?}, {next:?}");
            edge.until_status(SHOP, |status| status["state"] == "live");
        },
    );
}

#[test]
fn with_refuse_a_revoked_key_ends_all_answers_and_a_good_one_brings_them_back() {
    for status in [401, 403] {
        let upstream = serving(7);
        let strict = following(&upstream, "100ms", "60s").says("on_unauthorized = \"refuse\"");
        let edge = Setup::of(strict).start();
        until_well(&edge, number(7));
        let held = answers(&edge);
        upstream.answer(PATH, Reply::status(status));
        edge.until_status(SHOP, |status| status["state"] == "unauthorized");
        assert_not_ready(&edge);
        upstream.answer(PATH, Reply::status(500));
        until_more_fetches(&edge, 3);
        assert_not_ready(&edge);
        upstream.answer(PATH, good(7));
        until_well(&edge, number(7));
        assert_eq!(answers(&edge), held);
    }
}

#[test]
fn the_key_is_in_the_head_of_requests_and_nowhere_else() {
    let (upstream, elsewhere) = (serving(7), serving(9));
    let edge = start(&upstream);
    until_well(&edge, number(7));
    let told = || ["/status", "/metrics"].map(|page| edge.admin().get(page).to_string()).join("\n");
    let location = format!("{}{PATH}?key={SERVER_KEY}", elsewhere.url());
    let link = format!("<{location}>; rel=\"next\"");
    let mut seen = told();
    for reply in [
        Reply::status(401).header("WWW-Authenticate", SERVER_KEY).body(SERVER_KEY),
        Reply::status(302).header("Location", &location),
        Reply::status(500).body(SERVER_KEY),
        Reply::status(200).body(SERVER_KEY),
        Reply::status(200).body(format!("{{\"{SERVER_KEY}\":")),
        Reply::status(200).body(format!("{{\"api_key\":[\"{SERVER_KEY}\"]}}")),
        with("feature_states", Some(json!(SERVER_KEY))),
        with("project", Some(json!(SERVER_KEY))),
        with("project", Some(json!({"segments": SERVER_KEY}))),
        Reply::status(200).header("Content-Encoding", SERVER_KEY),
        Reply::status(429).header("Retry-After", SERVER_KEY),
        good(7).header("Link", &link),
        good(7).header("Link", &format!("<{SERVER_KEY}; rel=next")),
    ] {
        upstream.answer(PATH, reply);
        until_failing(&edge);
        seen.push_str(&told());
        seen.push_str(&answers(&edge).concat());
        upstream.answer(PATH, good(7));
        until_well(&edge, number(7));
    }
    seen.push_str(&logged());
    assert!(!seen.contains(SERVER_KEY), "the key was told");
    assert_eq!(elsewhere.connected(), 0, "nobody else is asked");
    for request in upstream.requests() {
        assert_eq!(request.header("x-environment-key"), Some(SERVER_KEY));
        assert_eq!(format!("{request:?}").matches(SERVER_KEY).count(), 1, "{request:?}");
        assert_eq!((&*request.method, &*request.body), ("GET", &b""[..]));
    }
}
