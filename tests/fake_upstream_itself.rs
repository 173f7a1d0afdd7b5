//! The fake upstream does what it is told. Tests of outages rest on that.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "this is test code throughout, the lints see only #[test]"
)]

mod fake_upstream;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use fake_upstream::{
    ANY_PATH, Answer, Document, PUBLISHABLE_KEY, Reply, Request, SECRET_KEY, Step, Upstream,
};
use flate2::read::GzDecoder;
use serde_json::{Value, json};

/// Nothing here takes nearly as long; whatever does has failed.
const DEADLINE: Duration = Duration::from_secs(10);

/// So short that what is held back is seen to be held back; a slow machine only makes it more so.
const SILENCE: Duration = Duration::from_millis(30);

fn document(version: u64) -> Document {
    let flag = |key| json!({"key": key, "targeting": {"version": 3, "rules": []}});
    Document::empty(version).flag(flag("open")).secret_flag(flag("hidden"))
}

fn connect(upstream: &Upstream) -> TcpStream {
    let stream = TcpStream::connect(upstream.address()).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

fn send(stream: &mut TcpStream, target: &str, fields: &str) {
    write!(stream, "GET {target} HTTP/1.1\r\nHost: upstream\r\n{fields}\r\n").unwrap();
}

/// What comes until the connection ends.
fn rest(mut stream: TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    bytes
}

/// As many bytes as `expected` has, which they must be.
#[track_caller]
fn expect(stream: &mut TcpStream, expected: impl AsRef<[u8]>) {
    let mut bytes = vec![0; expected.as_ref().len()];
    stream.read_exact(&mut bytes).unwrap();
    assert_eq!(String::from_utf8_lossy(&bytes), String::from_utf8_lossy(expected.as_ref()));
}

#[track_caller]
fn expect_silence(stream: &mut TcpStream) {
    stream.set_read_timeout(Some(SILENCE)).unwrap();
    let kind = stream.read(&mut [0]).unwrap_err().kind();
    assert!(matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut), "{kind:?}");
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
}

/// Asks once; the answer, byte for byte.
fn raw(upstream: &Upstream, target: &str, key: &str) -> Vec<u8> {
    let mut stream = connect(upstream);
    let key =
        if key.is_empty() { String::new() } else { format!("Authorization: Bearer {key}\r\n") };
    send(&mut stream, target, &format!("Connection: close\r\n{key}"));
    rest(stream)
}

/// Asks once; the status and the JSON body.
fn ask(upstream: &Upstream, target: &str, key: &str) -> (u16, Value) {
    let text = String::from_utf8(raw(upstream, target, key)).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), serde_json::from_str(body).unwrap())
}

fn keys(flags: &Value) -> Vec<&str> {
    flags.as_object().unwrap().keys().map(String::as_str).collect()
}

// The document.

#[test]
fn definitions_are_for_the_secret_key_in_the_header_alone() {
    let upstream = Upstream::serving(document(7));
    let (status, body) = ask(&upstream, "/features", SECRET_KEY);
    assert_eq!((status, &body), (200, &document(7).definitions()));
    assert_eq!(body["flagStateVersion"], 7);
    assert_eq!(body["features"].as_array().unwrap().len(), 2);
    for (target, key) in [
        ("/features".to_owned(), ""),
        ("/features".to_owned(), PUBLISHABLE_KEY),
        ("/features".to_owned(), "sec_other_0123456789abcdef"),
        (format!("/features?publishableKey={PUBLISHABLE_KEY}"), ""),
        (format!("/features?publishableKey={SECRET_KEY}"), ""),
        (format!("/features/evaluated?publishableKey={SECRET_KEY}"), ""),
        ("/features/evaluated".to_owned(), ""),
    ] {
        let (status, body) = ask(&upstream, &target, key);
        assert_eq!((status, &body["error"]["code"]), (403, &json!("INVALID_API_KEY")), "{target}");
    }
}

#[test]
fn a_publishable_key_sees_the_public_flags_alone() {
    let upstream = Upstream::serving(document(7));
    let by_query = format!("/features/evaluated?publishableKey={PUBLISHABLE_KEY}");
    for (target, key) in [(by_query.as_str(), ""), ("/features/evaluated", PUBLISHABLE_KEY)] {
        let (status, body) = ask(&upstream, target, key);
        assert_eq!((status, keys(&body["features"])), (200, vec!["open"]));
        assert_eq!(body["flagStateVersion"], 7);
        assert_eq!(body["features"]["open"]["isEnabled"], false);
        assert_eq!(body["features"]["open"]["targetingVersion"], 3);
    }
    let (_, body) = ask(&upstream, "/features/evaluated", SECRET_KEY);
    assert_eq!(keys(&body["features"]), ["open", "hidden"]);
}

#[test]
fn a_request_that_waits_for_a_version_is_held_until_it_is_there() {
    let upstream = Upstream::serving(document(7));
    let mut stream = connect(&upstream);
    let fields = format!("Connection: close\r\nAuthorization: Bearer {SECRET_KEY}\r\n");
    send(&mut stream, "/features?waitForVersion=9", &fields);
    upstream.until_requests("/features", 1);
    upstream.publish(document(8));
    expect_silence(&mut stream);
    upstream.publish(document(9));
    let text = String::from_utf8(rest(stream)).unwrap();
    assert!(text.ends_with(&document(9).definitions().to_string()), "{text}");
}

#[test]
fn an_event_stream_tells_the_version_at_once_and_at_each_change() {
    let upstream = Upstream::serving(document(7));
    let mut stream = connect(&upstream);
    send(&mut stream, "/sse/server", &format!("Authorization: Bearer {SECRET_KEY}\r\n"));
    expect(
        &mut stream,
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n\
         event: message\n\
         data: {\"name\":\"flags-updated\",\"data\":\"{\\\"flagStateVersion\\\":7}\"}\n\n",
    );
    upstream.publish(document(9));
    expect(
        &mut stream,
        "event: message\n\
         data: {\"name\":\"flags-updated\",\"data\":\"{\\\"flagStateVersion\\\":9}\"}\n\n",
    );
    drop(upstream);
    assert_eq!(rest(stream), b"");
}

#[test]
fn what_it_was_asked_is_noted() {
    let upstream = Upstream::serving(document(7));
    let mut stream = connect(&upstream);
    let body = r#"[{"type":"user","userId":"u"}]"#;
    let head = format!(
        "POST /bulk?a=1&b HTTP/1.1\r\nHost: upstream\r\nAUTHORIZATION: bearer {PUBLISHABLE_KEY}\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    for _ in 0..2 {
        stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
        expect(
            &mut stream,
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n\
             {\"success\":true}",
        );
    }
    ask(&upstream, "/other", SECRET_KEY);
    let requests = upstream.until_requests("/bulk", 2);
    assert!(requests[0].at < requests[1].at && requests[1].at < upstream.now());
    assert_eq!(requests[0], Request { at: requests[0].at, ..requests[1].clone() });
    let request = &requests[0];
    assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/bulk?a=1&b"));
    assert_eq!(
        (request.query("a"), request.query("b"), request.query("c")),
        (Some("1"), Some(""), None)
    );
    assert_eq!(
        (request.bearer(), request.header("host")),
        (Some(PUBLISHABLE_KEY), Some("upstream"))
    );
    assert_eq!(request.json()[0]["userId"], "u");
    let connections: Vec<_> =
        upstream.requests().iter().map(|request| request.connection).collect();
    assert_eq!((connections.as_slice(), upstream.connected()), (&[1, 1, 2][..], 2));
    upstream.forget_requests();
    assert_eq!(upstream.requests(), []);
}

// Other answers.

#[test]
fn an_answer_is_for_once_or_for_good_and_for_a_path_or_for_all() {
    let upstream = Upstream::serving(document(7));
    upstream.answer(ANY_PATH, Reply::error(500, "INTERNAL", "any"));
    upstream
        .answer("/features", Reply::error(429, "TOO_MANY", "always").header("Retry-After", "3"));
    upstream.answer_once("/features", Reply::error(401, "UNAUTHORIZED", "first"));
    upstream.answer_once("/features", Reply::error(404, "NOT_FOUND", "second"));
    let statuses: Vec<_> = (0..4).map(|_| ask(&upstream, "/features", SECRET_KEY).0).collect();
    assert_eq!(statuses, [401, 404, 429, 429]);
    assert_eq!(ask(&upstream, "/other", SECRET_KEY).0, 500);
    upstream.recover();
    assert_eq!(ask(&upstream, "/features", SECRET_KEY).0, 200);
    assert_eq!(ask(&upstream, "/other", SECRET_KEY).0, 404);
}

#[test]
fn a_reply_says_how_long_it_is_or_lies_about_it() {
    let upstream = Upstream::serving(document(7));
    let reply = Reply::status(200).body("abcde");
    for (reply, bytes) in [
        (reply.clone(), "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde"),
        (reply.clone().wrong_length(9), "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabcde"),
        (reply.clone().wrong_length(2), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabcde"),
        (
            reply.clone().chunked(3),
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
        ),
        (reply.until_closed(), "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabcde"),
        (Reply::status(200), "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        (
            Reply::status(304).header("ETag", "\"7\""),
            "HTTP/1.1 304 Not Modified\r\nETag: \"7\"\r\n\r\n",
        ),
        (
            Reply::status(302).header("Location", "/elsewhere"),
            "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n",
        ),
    ] {
        upstream.answer_once("/", reply);
        assert_eq!(String::from_utf8_lossy(&raw(&upstream, "/", "")), bytes);
    }
    upstream.answer_once("/", Answer::raw("nonsense\n"));
    assert_eq!(raw(&upstream, "/", ""), b"nonsense\n");
}

#[test]
fn bodies_are_compressed_and_bombs_are_small() {
    let upstream = Upstream::serving(document(7));
    let inflated = |answer: &[u8]| {
        let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
        let head = String::from_utf8_lossy(&answer[..end]).into_owned();
        assert!(head.contains("\r\nContent-Encoding: gzip\r\n"), "{head}");
        let mut plain = Vec::new();
        GzDecoder::new(&answer[end + 4..]).read_to_end(&mut plain).unwrap();
        (answer.len(), plain)
    };
    upstream.answer("/", Reply::json(200, &json!({"a": 1})).gzipped());
    assert_eq!(inflated(&raw(&upstream, "/", "")).1, b"{\"a\":1}");
    upstream.answer("/", Reply::status(200).gzip_bomb(10_000_000));
    let (length, plain) = inflated(&raw(&upstream, "/", ""));
    assert!(length < 100_000, "{length}");
    assert!(plain.len() == 10_000_000 && plain.iter().all(|byte| *byte == b' '));
}

#[test]
fn a_large_body_is_written_without_being_kept() {
    let upstream = Upstream::serving(document(7));
    let head = Reply::status(200).wrong_length(50 << 20).head();
    let block = vec![b' '; 1 << 16];
    upstream.answer("/", Answer::raw(head.clone()).then(Step::Repeat(block, 50 << 4)));
    assert_eq!(raw(&upstream, "/", "").len(), head.len() + (50 << 20));
}

#[test]
fn an_answer_waits_for_its_gate_before_it_or_in_the_midst_of_it() {
    let upstream = Upstream::serving(document(7));
    let (first, second) = (upstream.gate(), upstream.gate());
    let reply = Reply::status(200).body("abcde");
    let head = reply.head().len();
    upstream.answer(
        "/",
        Answer::interrupted(&reply, head + 2, Step::Until(second.clone())).after(&first),
    );
    let mut stream = connect(&upstream);
    send(&mut stream, "/", "");
    expect_silence(&mut stream);
    first.open();
    expect(&mut stream, [reply.head(), b"ab".to_vec()].concat());
    expect_silence(&mut stream);
    second.open();
    expect(&mut stream, "cde");
    // An open gate stays open, and the connection is as good as new.
    send(&mut stream, "/", "");
    expect(&mut stream, reply.to_bytes());
}

#[test]
fn bytes_come_one_by_one() {
    let upstream = Upstream::serving(document(7));
    upstream
        .answer("/", Answer::nothing().then(Step::Drip(b"ab".to_vec(), Duration::from_secs(3600))));
    let mut stream = connect(&upstream);
    send(&mut stream, "/", "");
    expect(&mut stream, "a");
    expect_silence(&mut stream);
    upstream.answer("/", Answer::dripped(&Reply::status(204), Duration::from_micros(1)));
    assert_eq!(raw(&upstream, "/", ""), b"HTTP/1.1 204 No Content\r\n\r\n");
}

#[test]
fn an_answer_breaks_off_hangs_or_ends_the_connection() {
    let upstream = Upstream::serving(document(7));
    let reply = Reply::status(200).body("abcde");
    upstream.answer_once("/", Answer::beginning_of(&reply, 20).then(Step::Close));
    assert_eq!(raw(&upstream, "/", ""), reply.to_bytes()[..20]);
    upstream.answer_once("/", Answer::nothing().then(Step::Close));
    assert_eq!(raw(&upstream, "/", ""), b"");

    upstream.answer_once("/", Answer::nothing().then(Step::Reset));
    let mut stream = connect(&upstream);
    send(&mut stream, "/", "");
    assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);

    upstream.answer_once("/", Answer::beginning_of(&reply, 20).then(Step::Hang));
    let mut stream = connect(&upstream);
    send(&mut stream, "/", "");
    expect(&mut stream, &reply.to_bytes()[..20]);
    expect_silence(&mut stream);
}

// Connections.

#[test]
fn connections_are_refused_and_accepted_again() {
    let upstream = Upstream::serving(document(7));
    let mut stream = connect(&upstream);
    let fields = format!("Authorization: Bearer {SECRET_KEY}\r\n");
    send(&mut stream, "/sse/server", &fields);
    upstream.until_requests("/sse/server", 1);
    for _ in 0..3 {
        upstream.refuse_connections();
        let error = TcpStream::connect(upstream.address()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        upstream.accept_connections();
        assert_eq!(ask(&upstream, "/features", SECRET_KEY).0, 200);
    }
    // The stream ended with the first of them.
    rest(stream);
    upstream.refuse_connections();
}

#[test]
fn connections_are_ignored_and_then_served() {
    let upstream = Upstream::serving(document(7));
    upstream.ignore_connections();
    let mut stream = connect(&upstream);
    send(&mut stream, "/features", "Connection: close\r\n");
    expect_silence(&mut stream);
    assert_eq!(upstream.requests(), []);
    upstream.accept_connections();
    assert!(rest(stream).starts_with(b"HTTP/1.1 403 "));
    upstream.ignore_connections();
}

#[test]
fn connections_end_together() {
    let upstream = Upstream::serving(document(7));
    upstream.answer("/", Answer::nothing().then(Step::Hang));
    let mut streams = [connect(&upstream), connect(&upstream)];
    for stream in &mut streams {
        send(stream, "/", "");
    }
    upstream.until_requests("/", 2);
    upstream.end_connections();
    for stream in streams {
        assert_eq!(rest(stream), b"");
    }
    assert_eq!(ask(&upstream, "/features", "").0, 403);
}
