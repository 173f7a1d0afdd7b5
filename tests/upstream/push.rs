//! Event streams of upstreams: changes that arrive before the next poll.
//!
//! Polls are ten minutes apart here, so what arrives was announced. What streams do over time is in
//! the unit tests of `source::push`, where time is paused.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use serde_json::{Value, json};

use crate::fake_upstream::flagsmith::{DOCUMENT, Listed, PROXY_KEY};
use crate::fake_upstream::{Answer, Document, PUBLISHABLE_KEY, Reply, SECRET_KEY, Step, Upstream};
use crate::following::{Following, SHOP, document};
use crate::support::{Edge, Environment, Setup, logged, publishable_key, until};

const STREAM: &str = "/sse/server";
const CONNECTED: &str = "burgee_source_stream_connected";

/// Follows the stream, and polls so rarely that no poll happens in a test.
fn pushed(upstream: &Upstream) -> Following {
    Following::upstream(upstream).every("10m").pushed()
}

fn start(following: &Following) -> Edge {
    Setup::of(following.named(SHOP)).looking_as_configured().start()
}

fn until_version(edge: &Edge, version: u64) {
    edge.until_status(SHOP, |status| status["version"] == version);
}

/// Waits for the state of the stream, and gives the source's part of the status.
#[track_caller]
fn until_stream(edge: &Edge, name: &str, state: &str) -> Value {
    edge.until_status(name, |status| status["source"]["stream"] == state)["source"].clone()
}

fn gauge(edge: &Edge) -> Option<f64> {
    edge.metrics().find(CONNECTED, &[("environment", SHOP)])
}

/// The head of a stream and this much of its body; then it stays open.
fn stream(text: &str) -> Answer {
    let head = Reply::status(200).header("Content-Type", "text/event-stream").until_closed().head();
    Answer::raw(head).then(Step::Write(text.as_bytes().to_vec())).then(Step::Hang)
}

fn announcement(version: u64) -> String {
    let data = json!({"flagStateVersion": version}).to_string();
    format!("event: message\ndata: {}\n\n", json!({"name": "flags-updated", "data": data}))
}

#[test]
fn a_change_that_is_announced_is_served_without_a_poll() {
    let upstream = Upstream::serving(document(7));
    let edge = start(&pushed(&upstream));
    let source = until_stream(&edge, SHOP, "connected");
    assert_eq!(source["stream_error"], Value::Null);
    assert_eq!(gauge(&edge), Some(1.0));
    // One look at the start and one for what may have changed before the stream was open.
    upstream.until_requests("/features", 2);
    for version in 8..20 {
        upstream.publish(document(version));
        until_version(&edge, version);
    }
    let asked = upstream.requests_to("/features");
    assert!(asked.len() <= 2 + 12, "{asked:?}");
    assert!(asked.iter().any(|request| request.query("waitForVersion") == Some("19")));
    let [opened] = &upstream.requests_to(STREAM)[..] else { panic!("one stream") };
    assert_eq!(opened.bearer(), Some(SECRET_KEY));
    assert_eq!(opened.header("accept"), Some("text/event-stream"));
    assert!(!opened.target.contains(SECRET_KEY) && !opened.target.contains(PUBLISHABLE_KEY));
}

#[test]
fn without_push_no_stream_is_opened() {
    let upstream = Upstream::serving(document(7));
    let edge = Following::upstream(&upstream).start();
    upstream.until_requests("/features", 5);
    assert_eq!(upstream.requests_to(STREAM), []);
    let status = edge.status(SHOP);
    assert_eq!(status["source"]["stream"], "off");
    assert_eq!(status["source"]["stream_error"], Value::Null);
    assert_eq!(gauge(&edge), None);
    upstream.publish(document(8));
    until_version(&edge, 8);
}

#[test]
fn polls_go_on_beneath_a_stream() {
    let upstream = Upstream::serving(document(7));
    upstream.answer(STREAM, stream(""));
    let edge = Setup::of(Following::upstream(&upstream).pushed().named(SHOP)).start();
    until_stream(&edge, SHOP, "connected");
    // Nobody announces it.
    upstream.publish(document(8));
    until_version(&edge, 8);
    let asked = upstream.requests_to("/features").len();
    upstream.until_requests("/features", asked + 5);
    assert_eq!(edge.status(SHOP)["source"]["stream"], "connected");
}

#[test]
fn a_change_that_was_missed_is_found_when_the_stream_is_back() {
    let upstream = Upstream::serving(document(7));
    let edge = start(&pushed(&upstream));
    until_stream(&edge, SHOP, "connected");
    upstream.until_requests("/features", 2);
    upstream.answer(STREAM, Reply::status(503));
    upstream.end_connections();
    let refused = |status: &Value| status["source"]["stream_error"]["kind"] == "status_5xx";
    let source = edge.until_status(SHOP, refused)["source"].clone();
    assert_eq!(source["stream"], "disconnected");
    assert_eq!(gauge(&edge), Some(0.0));
    // The source itself is well.
    assert_eq!(edge.status(SHOP)["state"], "live");
    assert_eq!(source["last_error"], Value::Null);
    upstream.publish(document(8));
    // Another attempt fails, and still nothing is known of it.
    let attempts = upstream.requests_to(STREAM).len();
    upstream.until_requests(STREAM, attempts + 1);
    assert_eq!(edge.status(SHOP)["version"], 7);
    // This one says nothing of versions, either.
    upstream.answer(STREAM, stream(": hello\n\n"));
    until_version(&edge, 8);
    let source = until_stream(&edge, SHOP, "connected");
    assert_eq!(source["stream_error"], Value::Null);
}

#[test]
fn ten_thousand_announcements_lead_to_a_few_requests_and_the_last_version() {
    let upstream = Upstream::serving(document(7));
    let gate = upstream.gate();
    let flood: String = (8..=10_007).map(announcement).collect();
    let head = Reply::status(200).header("Content-Type", "text/event-stream").until_closed().head();
    let answer = Answer::raw(head)
        .then(Step::Until(gate.clone()))
        .then(Step::Write(flood.into_bytes()))
        .then(Step::Hang);
    upstream.answer(STREAM, answer);
    let edge = start(&pushed(&upstream));
    until_stream(&edge, SHOP, "connected");
    upstream.until_requests("/features", 2);
    upstream.publish(document(10_007));
    gate.open();
    until_version(&edge, 10_007);
    let asked = upstream.requests_to("/features").len();
    assert!(asked <= 2 + 5, "{asked} requests");
    assert_eq!(upstream.requests_to(STREAM).len(), 1);
}

#[test]
fn versions_that_go_backwards_change_nothing() {
    let upstream = Upstream::serving(document(7));
    let backwards: String = (1..=7).rev().map(announcement).collect();
    upstream.answer(STREAM, stream(&format!("{backwards}{}", announcement(8))));
    let edge = start(&pushed(&upstream));
    upstream.publish(document(8));
    until_version(&edge, 8);
    let asked = upstream.requests_to("/features");
    assert!(asked.len() <= 4, "{asked:?}");
    assert_eq!(edge.status(SHOP)["source"]["stream"], "connected");
}

#[test]
fn versions_that_are_moments_are_followed_like_those_that_are_counted() {
    // Milliseconds, as of a file without a number; each change comes hours after the one before.
    let moments = [1_780_000_000_000, 1_780_003_600_000, 1_780_090_000_000];
    let upstream = Upstream::serving(document(moments[0]));
    let edge = start(&pushed(&upstream));
    until_stream(&edge, SHOP, "connected");
    for later in &moments[1..] {
        upstream.publish(document(*later));
        until_version(&edge, *later);
    }
    // An upstream does not wait for what is so far away, so it is asked for what comes next.
    let asked = upstream.requests_to("/features");
    let waited = asked.iter().filter_map(|request| request.query("waitForVersion")).next_back();
    assert_eq!(waited, Some(&*(moments[1] + 1).to_string()));
}

#[test]
fn an_upstream_without_a_stream_is_polled() {
    let upstream = Upstream::serving(document(7));
    upstream.answer(STREAM, Reply::error(404, "NOT_FOUND", "there is nothing here"));
    let edge = Setup::of(Following::upstream(&upstream).pushed().named(SHOP)).start();
    let error = edge.until_status(SHOP, |status| !status["source"]["stream_error"].is_null());
    let error = &error["source"];
    assert_eq!(error["stream"], "off");
    let message = error["stream_error"]["message"].as_str().unwrap_or_default();
    assert!(
        message.ends_with("/sse/server answered 404 Not Found: the upstream has no event stream")
    );
    assert_eq!(gauge(&edge), None);
    upstream.publish(document(8));
    until_version(&edge, 8);
    assert_eq!(upstream.requests_to(STREAM).len(), 1);
}

#[test]
fn a_redirect_is_not_followed_and_nobody_else_sees_the_key() {
    let (upstream, other) = (Upstream::serving(document(7)), Upstream::serving(document(9)));
    let elsewhere = format!("{}{STREAM}", other.url());
    upstream.answer(STREAM, Reply::status(302).header("Location", &elsewhere));
    let edge = start(&pushed(&upstream));
    upstream.until_requests(STREAM, 2);
    let source = until_stream(&edge, SHOP, "disconnected");
    let message = source["stream_error"]["message"].as_str().unwrap_or_default().to_owned();
    assert!(message.contains("redirects are not followed"), "{message}");
    assert_eq!(other.requests(), []);
    assert_eq!(edge.status(SHOP)["version"], 7);
}

#[test]
fn what_is_wrong_with_a_stream_leaves_the_rules_alone() {
    let no_head = Answer::nothing().then(Step::Hang);
    let answers = [
        (no_head, "timeout", "no answer within 1s"),
        (Answer::nothing().then(Step::Close), "network", "the connection was closed"),
        (Reply::status(200).body("<html>").into(), "malformed", "no event stream"),
        (Answer::raw("gibberish\r\n\r\n").then(Step::Close), "malformed", "not HTTP"),
        (stream(&"x".repeat(2 << 20)), "malformed", "nothing was said in 1048576 bytes"),
        (Reply::status(401).into(), "unauthorized", "refuses the key"),
    ];
    for (answer, kind, words) in answers {
        let upstream = Upstream::serving(document(7));
        upstream.answer(STREAM, answer);
        let following = Following::upstream(&upstream).timeout("1s").pushed();
        let edge = Setup::of(following.named(SHOP)).start();
        let failed = |status: &Value| {
            let message = status["source"]["stream_error"]["message"].as_str().unwrap_or_default();
            assert!(!message.contains(SECRET_KEY), "{message}");
            status["source"]["stream_error"]["kind"] == kind && message.contains(words)
        };
        edge.until_status(SHOP, failed);
        // Polls bring what no stream announces.
        upstream.publish(document(8));
        until_version(&edge, 8);
        assert_eq!(edge.status(SHOP)["state"], "live");
    }
}

#[test]
fn a_stream_that_comes_and_goes_is_logged_once_for_each_change() {
    let name = "stream-that-is-logged";
    let lines = |text: &str| {
        let log = logged();
        let of_this = log.lines().filter(|line| line.contains(&format!("environment={name}")));
        of_this.filter(|line| line.contains(text)).count()
    };
    let upstream = Upstream::serving(document(7));
    let edge = Setup::of(pushed(&upstream).named(name)).looking_as_configured().start();
    until("a line", || (lines("stream=connected") == 1).then_some(()));
    upstream.answer(STREAM, Reply::status(503));
    upstream.end_connections();
    until_stream(&edge, name, "disconnected");
    // What is mended at once is not worth a line.
    assert_eq!(lines("disconnected"), 0);
    edge.now_is("2026-06-01T12:00:05Z");
    until("a line", || (lines("stream=connected->disconnected") == 1).then_some(()));
    upstream.recover();
    until("a line", || (lines("stream=disconnected->connected") == 1).then_some(()));
    assert_eq!(lines("stream="), 3);
}

#[test]
fn what_cannot_be_read_is_logged_once_for_each_stream_and_all_of_it_is_counted() {
    let name = "stream-of-many-words";
    let lines = || {
        let of_this = format!("environment={name} cause=\"it is no JSON\"");
        logged().lines().filter(|line| line.contains(&of_this)).count()
    };
    let upstream = Upstream::serving(document(7));
    let said = format!("{}{}", "data: ping\n\n".repeat(50), announcement(8));
    upstream.answer(STREAM, stream(&said));
    let edge = Setup::of(pushed(&upstream).named(name)).looking_as_configured().start();
    let counted = || {
        let of_this = [("environment", name)];
        edge.metrics().count("burgee_source_stream_unreadable_total", &of_this)
    };
    until("a count", || (counted() == 50).then_some(()));
    assert_eq!(lines(), 1);
    upstream.publish(document(8));
    edge.until_status(name, |status| status["version"] == 8);
    upstream.end_connections();
    until("a count", || (counted() == 100).then_some(()));
    assert_eq!(lines(), 2);
}

// Flagsmith.

const SERVER_KEY: &str = "ser.upstream0123456789";

fn flagsmith_document(client_key: &str, second: u32, value: &str) -> Value {
    let mut environment = Listed::new(30, value).client_key(client_key).document();
    // Below the second of the one before: what is asked about by the second would be missed.
    environment["updated_at"] = json!(format!("2026-05-01T10:00:00.{second:06}+00:00"));
    environment
}

fn path_of(client_key: &str) -> String {
    format!("/sse/environments/{client_key}/stream")
}

fn value(edge: &Edge, client_key: &str) -> Value {
    let caller = edge.anonymous().with("X-Environment-Key", client_key);
    let reply = caller.get("/api/v1/flags/");
    if reply.status == 200 { reply.json()[0]["feature_state_value"].clone() } else { Value::Null }
}

#[test]
fn a_key_is_written_into_the_path_of_its_stream_as_it_is_where_it_may_be() {
    for (client_key, written) in [
        ("burgee:a.b-c_d~e", "burgee:a.b-c_d~e"),
        ("!$&'()*+,;=@", "!$&'()*+,;=@"),
        ("a/b?c#d e%f", "a%2Fb%3Fc%23d%20e%25f"),
    ] {
        let upstream = Upstream::serving(Document::empty(0));
        upstream.answer(DOCUMENT, Reply::json(200, &flagsmith_document(client_key, 1, "one")));
        let path = path_of(written);
        upstream.answer(&path, stream(""));
        let source = format!(
            "type = \"flagsmith\"\nurl = \"{0}/api/v1\"\nserver_key = {SERVER_KEY:?}\n\
             realtime_url = {0:?}\npoll_interval = \"10m\"",
            upstream.url()
        );
        let environment = Environment::named(SHOP).source(source).with_the_documents_key();
        let _edge = Setup::of(environment).looking_as_configured().start();
        upstream.until_requests(&path, 1);
    }
}

#[test]
fn a_flagsmith_change_is_fetched_though_it_is_in_the_second_of_the_one_before() {
    let upstream = Upstream::serving(Document::empty(0));
    let realtime = Upstream::serving(Document::empty(0));
    upstream.answer(DOCUMENT, Reply::json(200, &flagsmith_document("client.1", 1, "one")));
    let gate = realtime.gate();
    // 2026-05-01T10:00:00.000002Z
    let event = "event: environment_updated\ndata: {\"updated_at\": 1777629600.000002}\n\n";
    let head = Reply::status(200).header("Content-Type", "text/event-stream").until_closed().head();
    let answer = Answer::raw(head)
        .then(Step::Until(gate.clone()))
        .then(Step::Write(event.as_bytes().to_vec()))
        .then(Step::Hang);
    realtime.answer(&path_of("client.1"), answer);
    let source = format!(
        "type = \"flagsmith\"\nurl = \"{}/api/v1\"\nserver_key = {SERVER_KEY:?}\n\
         poll_interval = \"10m\"\ntimeout = \"60s\"\nrealtime_url = {:?}",
        upstream.url(),
        realtime.url(),
    );
    let keyless = Environment::named(SHOP).source(source);
    let edge = Setup::of(keyless).looking_as_configured().start();
    until_stream(&edge, SHOP, "connected");
    let before = upstream.until_requests(DOCUMENT, 2);
    assert!(before[1].header("if-modified-since").is_some(), "nothing was announced");
    upstream.answer(DOCUMENT, Reply::json(200, &flagsmith_document("client.1", 2, "two")));
    gate.open();
    let asked = upstream.until_requests(DOCUMENT, 3);
    assert_eq!(asked[2].header("if-modified-since"), None);
    until("the value", || (value(&edge, &publishable_key(SHOP)) == "two").then_some(()));
    let [opened] = &realtime.requests()[..] else { panic!("one stream") };
    let all = format!("{opened:?}");
    assert!(!all.contains(SERVER_KEY) && opened.header("x-environment-key").is_none(), "{all}");
}

/// A realtime service that takes one connection after the other and says nothing.
struct Realtime(TcpListener);

impl Realtime {
    fn start() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").expect("a port"))
    }

    fn url(&self) -> String {
        format!("http://{}", self.0.local_addr().expect("an address"))
    }

    /// Opens the next stream that is asked for; gives its path and its connection.
    fn accept(&self) -> (String, TcpStream) {
        let (mut connection, _) = self.0.accept().expect("a connection");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            connection.read_exact(&mut byte).expect("a head");
            head.push(byte[0]);
        }
        let answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n: hello\n\n";
        connection.write_all(answer).expect("somebody who reads");
        let head = String::from_utf8(head).expect("text");
        (head.split(' ').nth(1).expect("a path").to_owned(), connection)
    }
}

/// Waits until the other side has closed it.
fn until_closed(mut connection: TcpStream) {
    assert!(matches!(connection.read(&mut [0]), Ok(0) | Err(_)), "nothing more is sent");
}

#[test]
fn streams_of_discovered_environments_come_and_go_with_them_and_with_their_keys() {
    let realtime = Realtime::start();
    let upstream = Upstream::serving(Document::empty(0));
    upstream.list(&[Listed::new(30, "prod"), Listed::new(31, "staging")]);
    let edge = Setup::discovering(format!(
        "url = \"{}/api/v1\"\nproxy_key = {PROXY_KEY:?}\ntimeout = \"60s\"\nrealtime_url = {:?}",
        upstream.url(),
        realtime.url(),
    ));
    let mut edge = edge.start();
    let mut streams = [realtime.accept(), realtime.accept()];
    streams.sort_by(|left, right| left.0.cmp(&right.0));
    let [(prod_path, prod), (staging_path, staging)] = streams;
    assert_eq!([prod_path, staging_path], [path_of("client-prod"), path_of("client-staging")]);
    for name in ["discovered/35/prod", "discovered/35/staging"] {
        until_stream(&edge, name, "connected");
    }
    // A client key that changes upstream is another stream.
    let renewed = Listed::new(30, "prod").client_key("client-new");
    upstream.list(&[renewed.clone(), Listed::new(31, "staging")]);
    until_closed(prod);
    let (path, prod) = realtime.accept();
    assert_eq!(path, path_of("client-new"));
    // Who leaves the list has none any more.
    upstream.list(&[renewed]);
    until_closed(staging);
    until("the value", || (value(&edge, "client-new") == "prod").then_some(()));
    // And nobody has one when the process has ended.
    edge.begin_to_stop();
    edge.until_stopped();
    until_closed(prod);
}
