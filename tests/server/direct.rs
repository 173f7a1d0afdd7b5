//! Plain requests are answered without hyper, all others by it: nobody can tell which it was.

use std::io::Read;
use std::net::TcpStream;

use crate::support::rules::{document, is, on, secret, when};
use crate::support::wire::{Caller, Connection, Reply};
use crate::support::{Edge, Environment, Setup, until};

fn rules() -> String {
    let long = "x".repeat(3_000);
    document(7, &[on("open"), secret(on("hidden")), when("long", &is("company.id", &long))])
}

fn setup() -> Setup {
    Setup::of(Environment::named("shop").holding(rules()))
        .and(
            Environment::named("listed")
                .holding(rules())
                .table("cors", "origins = [\"https://a.example\"]\ncredentials = true"),
        )
        .and(Environment::named("other").format("flagsmith").holding(FLAGSMITH))
}

const FLAGSMITH: &str = r#"{"id":1,"api_key":"pub_other","name":"other","updated_at":"2026-05-01T10:00:00Z",
    "feature_states":[{"enabled":true,"feature_state_value":"on","django_id":1,"featurestate_uuid":"a",
    "multivariate_feature_state_values":[],"feature":{"id":1,"name":"open","type":"STANDARD"}}],
    "project":{"id":1,"name":"p","hide_disabled_flags":false,"segments":[],"organisation":{"id":1,"name":"o",
    "feature_analytics":false,"stop_serving_flags":false,"persist_trait_data":true},
    "server_key_only_feature_ids":[]},"identity_overrides":[]}"#;

/// The same request once more, in a form that is hyper's: with a blank line before it.
fn by_hyper(request: &[u8]) -> Vec<u8> {
    [b"\r\n", request].concat()
}

/// Everything but the date, with fields in one order.
fn comparable(reply: Reply) -> Reply {
    let mut reply = reply.without_date();
    reply.fields.sort();
    reply
}

/// Sends, and reads the answer; then whether the connection goes on.
fn answer(edge: &Edge, bytes: &[u8]) -> (Reply, bool) {
    let mut connection = Connection::open(edge.public);
    connection.write(bytes);
    let reply = connection.reply_to("GET");
    connection.write("GET /health HTTP/1.1\r\n\r\n");
    (comparable(reply), connection.next_reply(true).is_some())
}

/// Requests of all dialects, to be answered and to be refused.
fn requests(edge: &Edge) -> Vec<Vec<u8>> {
    let mut requests = Vec::new();
    let mut ask = |caller: &Caller, method: &str, target: &str, body: &str| {
        requests.push(caller.request(method, target, body.as_bytes()));
    };
    let callers = |name| [edge.publishable_of(name), edge.secret_of(name)];
    let identity = r#"{"identifier":"a","traits":[{"trait_key":"b","trait_value":1}]}"#;
    for caller in ["shop", "listed", "other"].into_iter().flat_map(callers) {
        let from = |origin| caller.clone().with("Origin", origin);
        let etag = caller.get("/features/evaluated?user.id=1").header("etag").map(str::to_owned);
        let etag = etag.unwrap_or_default();
        for caller in [
            caller.clone(),
            caller.clone().with("Accept-Encoding", "br, gzip"),
            caller.clone().with("If-None-Match", "*"),
            caller.clone().with("If-None-Match", &etag),
            caller.clone().with("If-Modified-Since", "Fri, 01 May 2026 10:00:00 GMT"),
            from("https://a.example"),
            from("https://b.example"),
            caller.clone().with("Content-Type", "application/json"),
            caller.clone().with("Content-Encoding", "gzip"),
        ] {
            for target in [
                "/features",
                "/features?waitForVersion=x",
                "/features/evaluated?user.id=1&company.id=2",
                "/features/enabled?key=open",
                "/features/evaluated?publishableKey=pub_shop",
                "/api/v1/flags/",
                "/api/v1/flags?feature=open",
                "/api/v1/flags/?feature=none",
                "/api/v1/identities/?identifier=a",
                "/api/v1/environment-document/",
                "/health",
                "/proxy/health/liveness",
                "/nope",
                "/bulk",
                "/ofrep/v1/evaluate/flags",
            ] {
                ask(&caller, "GET", target, "");
            }
            ask(&caller, "POST", "/bulk", r#"[{"type":"user","userId":"1"}]"#);
            ask(&caller, "POST", "/user", "[");
            ask(&caller, "POST", "/feedback", "{}");
            ask(&caller, "POST", "/api/v2/analytics/flags/", r#"{"evaluations":[]}"#);
            ask(&caller, "POST", "/features", "");
            ask(&caller, "POST", "/features", "{}");
            ask(&caller, "POST", "/api/v1/identities/", identity);
            ask(&caller, "POST", "/api/v1/identities/", "");
            ask(&caller, "POST", "/api/v1/analytics/flags/", r#"{"open":1}"#);
            ask(&caller, "POST", "/ofrep/v1/evaluate/flags", r#"{"context":{"targetingKey":"a"}}"#);
            ask(&caller, "POST", "/ofrep/v1/evaluate/flags/open", "{}");
            ask(&caller, "POST", "/ofrep/v1/evaluate/flags/none", "{}");
        }
    }
    let stranger = edge.anonymous();
    ask(&stranger, "GET", "/features/evaluated", "");
    ask(&stranger, "POST", "/bulk", "[]");
    ask(&stranger.with("Origin", "https://a.example"), "GET", "/api/v1/flags/", "");
    ask(&edge.anonymous(), "GET", "/features/evaluated?publishableKey=sec_shop_0123456789", "");
    ask(&edge.publishable(), "GET", &format!("/features?{}", "x".repeat(1_100)), "");
    requests
}

#[test]
fn both_ways_of_answering_give_the_same_answers() {
    let edge = setup().limits("url = \"1KiB\"").start();
    let mut statuses = std::collections::BTreeSet::new();
    for request in requests(&edge) {
        let directly = answer(&edge, &request);
        assert_eq!(directly, answer(&edge, &by_hyper(&request)), "{}", request.escape_ascii());
        statuses.insert(directly.0.status);
    }
    let expected = [200, 204, 304, 400, 401, 403, 404, 405, 414, 415, 503];
    assert_eq!(statuses.into_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn both_are_counted_alike() {
    let edge = setup().start();
    let count = || {
        let metrics = edge.metrics();
        let of = |route: &str, status: &str| {
            metrics.count("burgee_http_requests_total", &[("route", route), ("status", status)])
        };
        let evaluated = [("environment", "shop"), ("dialect", "reflag")];
        [
            of("/features/evaluated", "200"),
            of("/features/evaluated", "403"),
            metrics.count("burgee_evaluations_total", &evaluated),
        ]
    };
    let known = edge.publishable().request("GET", "/features/evaluated", b"");
    let unknown = edge.anonymous().request("GET", "/features/evaluated", b"");
    for (times, form) in [(1, Vec::clone as fn(&Vec<u8>) -> Vec<u8>), (2, |r| by_hyper(r))] {
        answer(&edge, &form(&known));
        answer(&edge, &form(&unknown));
        assert_eq!(count(), [times, times, times]);
    }
}

#[test]
fn requests_may_come_in_any_pieces_and_any_number() {
    let edge = setup().start();
    let get = edge.publishable().request("GET", "/features/evaluated?user.id=1", b"");
    let post =
        edge.publishable().request("POST", "/bulk", b"[{\"type\":\"user\",\"userId\":\"1\"}]");
    let all = [&get[..], &post, &by_hyper(&get), &post, &get, &get].concat();
    let expected = {
        let mut connection = Connection::open(edge.public);
        connection.write(&all);
        let replies: Vec<_> = (0..6).map(|_| comparable(connection.reply_to("GET"))).collect();
        assert!(replies.iter().all(|reply| reply.status == 200));
        assert_eq!(replies[0], replies[5]);
        replies
    };
    for cut in 1..get.len() + post.len() {
        let mut connection = Connection::open(edge.public);
        connection.write(&all[..cut]);
        // So that the second piece is one: the first answer is there before it is sent.
        let first = (cut >= get.len()).then(|| comparable(connection.reply_to("GET")));
        connection.write(&all[cut..]);
        let rest =
            (usize::from(first.is_some())..6).map(|_| comparable(connection.reply_to("GET")));
        let replies: Vec<_> = first.into_iter().chain(rest).collect();
        assert_eq!(replies, expected, "cut at {cut}");
    }
}

#[test]
fn a_body_that_comes_later_is_waited_for_and_its_place_is_given_back() {
    let edge = setup().limits("body = \"1KiB\"\nin_flight_body_bytes = \"1KiB\"").start();
    let body = format!("[{{\"type\":\"user\",\"userId\":\"1\"}}{}]", " ".repeat(800));
    let request = edge.publishable().request("POST", "/bulk", body.as_bytes());
    for _ in 0..3 {
        let mut slow = Connection::open(edge.public);
        let (first, rest) = request.split_at(request.len() - 500);
        slow.write(first);
        // Somebody else has no room as long as the first is waited for.
        until("the first one's place", || {
            (edge.publishable().post("/bulk", &body).status == 503).then_some(())
        });
        slow.write(rest);
        assert_eq!(slow.reply_to("POST").status, 200);
        assert_eq!(edge.publishable().post("/bulk", &body).status, 200);
    }
}

#[test]
fn who_reads_slowly_gets_every_byte_of_every_answer() {
    let flags: Vec<_> = (0..4_000).map(|n| on(&format!("flag-{n}"))).collect();
    let edge = Edge::serving(document(1, &flags));
    let request = edge.secret().request("GET", "/features", b"");
    let expected = edge.secret().get("/features").body;
    let times = 60;
    let mut stream = TcpStream::connect(edge.public).unwrap();
    std::io::Write::write_all(&mut stream, &request.repeat(times)).unwrap();
    // More than the socket's buffers hold, so that the server has to wait for its reader.
    let mut bytes = Vec::new();
    let mut piece = vec![0; 100_000];
    let mut seen = 0;
    while seen < times {
        let read = stream.read(&mut piece).unwrap();
        assert!(read > 0, "the server ends after {seen} answers");
        bytes.extend_from_slice(&piece[..read]);
        while let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let Some(body) = bytes.get(end + 4..end + 4 + expected.len()) else { break };
            assert!(body == expected, "answer {seen}");
            bytes.drain(..end + 4 + expected.len());
            seen += 1;
        }
    }
    assert!(bytes.is_empty());
}
