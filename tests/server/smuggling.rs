//! Requests that two servers could read in two ways, and heads that nobody can read.

use crate::support::rules::{document, on};
use crate::support::wire::{Connection, Reply};
use crate::support::{Edge, Environment, Setup};

fn edge() -> Edge {
    let rules = document(1, &[on("open")]);
    Setup::of(Environment::named("shop").holding(&*rules))
        .and(Environment::named("victim").holding(&*rules))
        .start()
}

/// The request that must never be answered. Its evaluation would show in the metrics.
const HIDDEN: &str =
    "GET /features/evaluated HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer pub_victim\r\n\r\n";

const HEAD: &str = "Host: x\r\nAuthorization: Bearer pub_shop\r\n";

/// A body that `/bulk` takes, so that a head that came through would not be answered 400 for it.
const BODY: &str = "[{\"type\":\"user\"}]";

/// The same in one chunk.
const CHUNKED: &str = "11\r\n[{\"type\":\"user\"}]\r\n0\r\n\r\n";

/// How often the hidden request was answered.
fn hidden_answers(edge: &Edge) -> u64 {
    edge.metrics().count("burgee_evaluations_total", &[("environment", "victim")])
}

fn assert_refused(name: &str, replies: &[Reply]) {
    assert_eq!(replies.len(), 1, "{name}: one answer and the end, not {replies:?}");
    assert_eq!(replies[0].status, 400, "{name}: {}", replies[0]);
    replies[0].assert_error(400, "INVALID_REQUEST");
}

/// Sends in one piece and reads to the end that must come.
fn send(edge: &Edge, bytes: impl AsRef<[u8]>) -> Vec<Reply> {
    let mut connection = Connection::open(edge.public);
    connection.write(bytes);
    connection.replies_until_closed()
}

#[test]
fn the_hidden_request_would_be_answered_and_seen_if_it_came_through() {
    let edge = edge();
    let mut connection = Connection::open(edge.public);
    connection.write(format!("GET /features/evaluated HTTP/1.1\r\n{HEAD}\r\n{HIDDEN}"));
    assert_eq!(connection.reply_to("GET").status, 200);
    assert_eq!(connection.reply_to("GET").status, 200);
    assert_eq!(hidden_answers(&edge), 1);
}

/// Heads that give the length of the body in two ways.
fn two_lengths() -> [(&'static str, String); 7] {
    let length = HIDDEN.len() + CHUNKED.len();
    [
        (
            "length, then encoding",
            format!("Content-Length: {length}\r\nTransfer-Encoding: chunked"),
        ),
        (
            "encoding, then length",
            format!("Transfer-Encoding: chunked\r\nContent-Length: {length}"),
        ),
        ("length 0", "Content-Length: 0\r\nTransfer-Encoding: chunked".to_owned()),
        ("short length", "Transfer-Encoding: chunked\r\nContent-Length: 4".to_owned()),
        ("other letters", format!("tRANSFER-eNCODING: CHUNKED\r\ncONTENT-lENGTH: {length}")),
        (
            "far apart",
            format!("Content-Length: {length}\r\nX-A: b\r\nX-C: d\r\nTransfer-Encoding: chunked"),
        ),
        (
            "twice",
            format!(
                "Content-Length: {length}\r\nTransfer-Encoding: chunked\r\nContent-Length: {length}"
            ),
        ),
    ]
}

#[test]
fn a_length_that_is_given_in_two_ways_is_refused_in_either_order() {
    let edge = edge();
    for (name, fields) in two_lengths() {
        for route in ["/bulk", "/feedback", "/nope", "/features/evaluated"] {
            let request =
                format!("POST {route} HTTP/1.1\r\n{HEAD}{fields}\r\n\r\n{CHUNKED}{HIDDEN}");
            assert_refused(&format!("{name} to {route}"), &send(&edge, request));
        }
    }
    assert_eq!(hidden_answers(&edge), 0);
}

#[test]
fn a_length_that_is_given_in_two_ways_is_refused_whatever_the_method() {
    let edge = edge();
    for (name, fields) in two_lengths() {
        for start in [
            "GET /bulk",
            "GET /features/evaluated",
            "GET /api/v1/flags/",
            "OPTIONS /bulk",
            "PUT /bulk",
            "HEAD /bulk",
        ] {
            let request = format!("{start} HTTP/1.1\r\n{HEAD}{fields}\r\n\r\n{CHUNKED}{HIDDEN}");
            let mut connection = Connection::open(edge.public);
            connection.write(request);
            let reply = connection.next_reply(!start.starts_with("HEAD")).expect("an answer");
            assert_eq!(reply.status, 400, "{name} with {start}: {reply}");
            connection.expect_end();
        }
    }
    assert_eq!(hidden_answers(&edge), 0);
}

#[test]
fn a_length_that_is_given_in_two_ways_is_refused_however_its_bytes_arrive() {
    let edge = edge();
    for (name, fields) in two_lengths() {
        let request = format!("POST /bulk HTTP/1.1\r\n{HEAD}{fields}\r\n\r\n{CHUNKED}{HIDDEN}");
        // Cut at every place in the fields, each piece in a packet of its own.
        let first = request.find("Bearer").unwrap();
        for cut in (first..request.find("\r\n\r\n").unwrap()).step_by(7) {
            let mut connection = Connection::open(edge.public);
            let (before, after) = request.split_at(cut);
            connection.write(before);
            // The first piece is read before the second comes: another client's answer says so.
            assert_eq!(edge.publishable().get("/features/evaluated").status, 200);
            connection.write(after);
            assert_refused(&format!("{name} cut at {cut}"), &connection.replies_until_closed());
        }
        let request = format!("\r\n\r\n{request}");
        assert_refused(&format!("{name} after blank lines"), &send(&edge, request));
    }
    assert_eq!(hidden_answers(&edge), 0);
}

#[test]
fn a_length_that_is_given_in_two_ways_is_refused_on_a_connection_that_was_used_before() {
    let edge = edge();
    for (name, fields) in two_lengths() {
        let mut connection = Connection::open(edge.public);
        connection.write(format!("GET /features/evaluated HTTP/1.1\r\n{HEAD}\r\n"));
        assert_eq!(connection.reply_to("GET").status, 200);
        connection.write(format!("POST /bulk HTTP/1.1\r\n{HEAD}{fields}\r\n\r\n{CHUNKED}{HIDDEN}"));
        assert_refused(name, &connection.replies_until_closed());
    }
    assert_eq!(hidden_answers(&edge), 0);
}

#[test]
fn behind_another_request_in_one_packet_such_a_length_ends_the_connection_at_least() {
    // Nobody but hyper sees where the first request ends. It goes by the encoding then and closes
    // (RFC 9112, 6.1), so that nothing behind it is read.
    let edge = edge();
    for (name, fields) in two_lengths() {
        let good = format!("GET /features/evaluated HTTP/1.1\r\n{HEAD}\r\n");
        let bad = format!("POST /bulk HTTP/1.1\r\n{HEAD}{fields}\r\n\r\n{CHUNKED}{HIDDEN}");
        let replies = send(&edge, format!("{good}{bad}"));
        assert_eq!(replies.len(), 2, "{name}: {replies:?}");
        assert_eq!(replies[1].header("connection"), Some("close"), "{name}");
    }
    assert_eq!(hidden_answers(&edge), 0);
}

#[test]
fn a_length_that_is_not_plain_is_refused() {
    let edge = edge();
    for fields in [
        "Content-Length: 17\r\nContent-Length: 5",
        "Content-Length: 5\r\nContent-Length: 17",
        "Content-Length: 17, 5",
        "Content-Length: 17, 17",
        "Content-Length: +17",
        "Content-Length: -17",
        "Content-Length: 0x11",
        "Content-Length: 17.0",
        "Content-Length: 1 7",
        "Content-Length: 17 5",
        "Content-Length: 17;",
        "Content-Length:",
        "Content-Length: 99999999999999999999999999",
        "Content-Length: 18446744073709551633",
        "Content-Length: \u{661}\u{667}",
        "Content-Length : 17",
        "Content-Length\t: 17",
        " Content-Length: 17",
        "X: y\r\n Content-Length: 17",
        "Content-Length:\r\n 17",
        "X: y\rContent-Length: 17",
        "Content-Length: 17\r",
        "Content-Length: 17\0",
        "Content-Length: 17\r\nX: y\0",
        "Content-Length: 17\r\nX: y\r\n\tz",
        "Content-Length: 17\r\n: x",
        "Content-Length: 17\r\nno colon",
        "Content-Length: 17\r\nX Y: z",
        "Content-Length: 17\r\nX\u{e9}: z",
    ] {
        let request = format!("POST /bulk HTTP/1.1\r\n{HEAD}{fields}\r\n\r\n{BODY}{HIDDEN}");
        assert_refused(&format!("{fields:?}"), &send(&edge, request));
    }
    assert_eq!(hidden_answers(&edge), 0);
}

#[test]
fn an_encoding_that_is_not_plain_is_refused() {
    let edge = edge();
    for fields in [
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunkedx",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding:",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: \u{b}chunked",
        "Transfer-Encoding: chunked;x=y",
        "Transfer-Encoding : chunked",
        " Transfer-Encoding: chunked",
        "X: y\r\n Transfer-Encoding: chunked",
        "Transfer-Encoding:\r\n chunked",
        "X: y\rTransfer-Encoding: chunked",
    ] {
        let request = format!("POST /bulk HTTP/1.1\r\n{HEAD}{fields}\r\n\r\n{CHUNKED}{HIDDEN}");
        assert_refused(&format!("{fields:?}"), &send(&edge, request));
    }
    assert_eq!(hidden_answers(&edge), 0);
}

#[test]
fn an_encoded_body_where_none_belongs_is_refused() {
    let edge = edge();
    for start in
        ["GET /features/evaluated", "GET /features", "GET /bulk", "GET /health", "GET /nope"]
    {
        let request = format!(
            "{start} HTTP/1.1\r\n{HEAD}Transfer-Encoding: chunked\r\n\r\n{CHUNKED}{HIDDEN}"
        );
        let mut connection = Connection::open(edge.public);
        connection.write(request);
        let reply = connection.reply_to("GET");
        assert_eq!(reply.status, 400, "{start}: {reply}");
        connection.expect_end();
    }
    assert_eq!(hidden_answers(&edge), 0);
}

#[test]
fn an_encoding_in_http_1_0_is_refused() {
    let edge = edge();
    let fields = "Transfer-Encoding: chunked\r\nConnection: keep-alive";
    let request = format!("POST /bulk HTTP/1.0\r\n{HEAD}{fields}\r\n\r\n{CHUNKED}{HIDDEN}");
    assert_refused("HTTP/1.0", &send(&edge, request));
    assert_eq!(hidden_answers(&edge), 0);
}

#[test]
fn what_a_get_announces_as_its_body_is_not_read_as_a_request() {
    let edge = edge();
    for start in ["GET /features/evaluated", "GET /nope", "GET /bulk", "OPTIONS /bulk"] {
        let length = HIDDEN.len();
        let mut connection = Connection::open(edge.public);
        connection.write(format!(
            "{start} HTTP/1.1\r\n{HEAD}Content-Length: {length}\r\n\r\n{HIDDEN}\
             GET /health/liveness HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        ));
        let replies = connection.replies_until_closed();
        assert!((1..=2).contains(&replies.len()), "{start}: {replies:?}");
    }
    assert_eq!(hidden_answers(&edge), 0);
}

#[test]
fn lines_that_end_in_a_bare_line_feed_hide_nothing() {
    let edge = edge();
    let length = HIDDEN.len();
    let marker = "GET /health/liveness HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    for fields in [
        format!("Content-Length: {length}\n\n"),
        format!("Content-Length: {length}\n\r\n"),
        format!("Content-Length: {length}\r\n\n"),
        format!("X: y\nContent-Length: {length}\r\n\r\n"),
        format!("X: y\nContent-Length: {length}\nZ: a\r\n\r\n"),
    ] {
        let mut connection = Connection::open(edge.public);
        connection.write(format!("POST /user HTTP/1.1\r\n{HEAD}{fields}{HIDDEN}{marker}"));
        let replies = connection.replies_until_closed();
        assert_eq!(replies[0].status, 400, "{fields:?}: {}", replies[0]);
        assert!(replies.len() <= 2, "{fields:?}: {replies:?}");
    }
    // Read strictly this is one field with a strange value, read loosely it gives two lengths.
    for fields in [
        "X: y\nTransfer-Encoding: chunked\r\nContent-Length: 5",
        "Content-Length: 5\r\nX: y\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\nContent-Length: 5",
        "Transfer-Encoding: chunked\nContent-Length: 5\n",
    ] {
        let request = format!("POST /bulk HTTP/1.1\r\n{HEAD}{fields}\r\n\r\n{CHUNKED}{HIDDEN}");
        assert_refused(fields, &send(&edge, request));
    }
    assert_eq!(hidden_answers(&edge), 0);
}

#[test]
fn a_chunked_body_that_is_not_plain_is_refused_and_hides_nothing() {
    let edge = edge();
    for (size, data) in [
        ("11\n", "\r\n"),
        ("11;x\ny\r\n", "\r\n"),
        ("+11\r\n", "\r\n"),
        ("0x11\r\n", "\r\n"),
        ("-11\r\n", "\r\n"),
        ("\r\n", "\r\n"),
        ("11\r", "\r\n"),
        ("1 1\r\n", "\r\n"),
        ("10\r\n", "\r\n"),
        ("12\r\n", "\r\n"),
        ("11\r\n", ""),
        ("11\r\n", "\n"),
        ("10000000000000011\r\n", "\r\n"),
        ("g\r\n", "\r\n"),
    ] {
        let body = format!("{size}{BODY}{data}0\r\n\r\n");
        let request = format!(
            "POST /bulk HTTP/1.1\r\n{HEAD}Transfer-Encoding: chunked\r\n\r\n{body}{HIDDEN}"
        );
        assert_refused(&format!("{body:?}"), &send(&edge, request));
    }
    assert_eq!(hidden_answers(&edge), 0);
}

#[test]
fn a_good_chunked_body_is_read_and_the_next_request_is_answered() {
    let edge = edge();
    let body = "1\r\n[\r\nF;name=value\r\n{\"type\":\"user\"}\r\n1\r\n]\r\n0\r\n\r\n";
    let mut connection = Connection::open(edge.public);
    let request = format!("POST /bulk HTTP/1.1\r\n{HEAD}Transfer-Encoding: chunked\r\n\r\n{body}");
    for _ in 0..2 {
        connection.write(&request);
        let reply = connection.reply_to("POST");
        assert_eq!((reply.status, &*reply.text()), (200, r#"{"success":true}"#));
    }
    connection.write(HIDDEN);
    assert_eq!(connection.reply_to("GET").status, 200);
}

#[test]
fn a_line_that_is_no_request_is_400_with_a_json_body() {
    let edge = edge();
    for line in [
        "nonsense",
        "GET",
        "GET /",
        "GET / HTTP/1.1 x",
        "GET / HTTP/3.0",
        "GET / HTTQ/1.1",
        "GET  / HTTP/1.1",
        "GET /a b HTTP/1.1",
        "GET /\u{7f} HTTP/1.1",
        "G@T / HTTP/1.1",
        "GET / http/1.1",
        "\u{1}GET / HTTP/1.1",
        "GET http:// HTTP/1.1",
        "\u{16}\u{3}\u{1}\u{2}",
    ] {
        assert_refused(line, &send(&edge, format!("{line}\r\n{HEAD}\r\n{HIDDEN}")));
    }
    assert_eq!(hidden_answers(&edge), 0);
}

#[test]
fn what_follows_good_requests_and_is_none_is_400_with_a_json_body_too() {
    let edge = edge();
    let mut connection = Connection::open(edge.public);
    let good = format!("GET /features/evaluated HTTP/1.1\r\n{HEAD}\r\n");
    for _ in 0..3 {
        connection.write(&good);
        assert_eq!(connection.reply_to("GET").status, 200);
    }
    connection.write(format!("nonsense\r\n\r\n{HIDDEN}"));
    assert_refused("after three", &connection.replies_until_closed());
    let replies = send(&edge, format!("{good}nonsense\r\n\r\n{HIDDEN}"));
    assert_eq!(replies[0].status, 200);
    assert_refused("in one packet", &replies[1..]);
    assert_eq!(hidden_answers(&edge), 0);
}

#[test]
fn a_head_with_more_than_100_fields_is_431() {
    let edge = edge();
    let fields = "X: y\r\n".repeat(101);
    let replies = send(&edge, format!("GET /features/evaluated HTTP/1.1\r\n{HEAD}{fields}\r\n"));
    assert_eq!(replies.len(), 1);
    replies[0].assert_error(431, "INVALID_REQUEST");
    let fields = "X: y\r\n".repeat(98);
    let mut connection = Connection::open(edge.public);
    connection.write(format!("GET /features/evaluated HTTP/1.1\r\n{HEAD}{fields}\r\n"));
    assert_eq!(connection.reply_to("GET").status, 200, "100 are well");
}

#[test]
fn a_head_of_200_kib_is_431() {
    let edge = edge();
    let field = format!("X: {}\r\n", "y".repeat(200 * 1024));
    let replies = send(&edge, format!("GET /features/evaluated HTTP/1.1\r\n{HEAD}{field}\r\n"));
    assert_eq!(replies.len(), 1);
    replies[0].assert_error(431, "INVALID_REQUEST");
}

#[test]
fn a_url_is_414_however_long_it_is() {
    let edge = edge();
    for kib in [33, 60, 200] {
        let long = "a".repeat(kib * 1024);
        let mut connection = Connection::open(edge.public);
        connection.write(format!("GET /features/evaluated?x={long} HTTP/1.1\r\n{HEAD}\r\n"));
        connection.reply_to("GET").assert_error(414, "INVALID_REQUEST");
    }
}

#[test]
fn refusals_of_heads_are_counted_as_any_answer_is() {
    let edge = edge();
    send(&edge, "nonsense\r\n\r\n");
    let fields = "X: y\r\n".repeat(101);
    send(&edge, format!("GET / HTTP/1.1\r\n{fields}\r\n"));
    let metrics = edge.metrics();
    for status in ["400", "431"] {
        let labels = [("dialect", "none"), ("route", "other"), ("status", status)];
        assert_eq!(metrics.count("burgee_http_requests_total", &labels), 1, "{status}");
    }
}
