//! Every row of the status table, and what holds for all answers.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};

use serde_json::json;

use crate::support::rules::{document, is, off, on, when};
use crate::support::wire::Connection;
use crate::support::{Edge, Environment, Setup};

/// All routes of the dialect that evaluate or show flags.
const READS: [&str; 3] = ["/features", "/features/evaluated", "/features/enabled"];

/// All routes that take a body, with one that is right.
const POSTS: [(&str, &str); 5] = [
    ("/bulk", r#"[{"type":"user","userId":"u-1"}]"#),
    ("/user", r#"{"userId":"u-1"}"#),
    ("/company", r#"{"companyId":"acme"}"#),
    ("/event", r#"{"userId":"u-1","event":"crew-chat"}"#),
    ("/features/events", r#"{"action":"check","key":"crew-chat","evalResult":true}"#),
];

fn edge() -> Edge {
    Edge::serving(document(7, &[on("open"), when("acme-only", &is("company.id", "acme"))]))
}

#[test]
fn no_key_and_an_unknown_key_are_403_invalid_api_key() {
    let edge = edge();
    let unknown = edge.anonymous().bearer("pub_nobody");
    for route in READS {
        edge.anonymous().get(route).assert_error(403, "INVALID_API_KEY");
        unknown.get(route).assert_error(403, "INVALID_API_KEY");
        let none = edge.anonymous().get(route).without_date();
        assert_eq!(none, unknown.get(route).without_date(), "the two are not told apart");
    }
    for (route, body) in POSTS {
        edge.anonymous().post(route, body).assert_error(403, "INVALID_API_KEY");
        unknown.post(route, body).assert_error(403, "INVALID_API_KEY");
    }
}

#[test]
fn an_unknown_key_is_answered_and_the_connection_closed_before_the_body_is_read() {
    let edge = edge();
    let mut connection = Connection::open(edge.public);
    connection.write(
        "POST /bulk HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer pub_nobody\r\n\
         Content-Length: 1000\r\nExpect: 100-continue\r\n\r\n",
    );
    let reply = connection.reply_to("POST");
    reply.assert_error(403, "INVALID_API_KEY");
    assert_eq!(reply.header("connection"), Some("close"));
    connection.expect_end();
}

#[test]
fn a_publishable_key_where_a_secret_one_is_required_is_403_forbidden_key() {
    edge().publishable().get("/features").assert_error(403, "FORBIDDEN_KEY");
}

#[test]
fn a_secret_key_in_the_query_is_403_forbidden_key() {
    let edge = edge();
    for route in READS {
        let target = format!("{route}?publishableKey=sec_shop_0123456789");
        edge.anonymous().get(&target).assert_error(403, "FORBIDDEN_KEY");
    }
    let target = "/user?publishableKey=sec_shop_0123456789";
    edge.anonymous().post(target, r#"{"userId":"u"}"#).assert_error(403, "FORBIDDEN_KEY");
}

#[test]
fn malformed_input_is_400_invalid_request() {
    let edge = edge();
    for target in [
        "/features/evaluated?contextJson=nope",
        "/features/evaluated?contextJson=[]",
        "/features/enabled?context.user.id=%zz",
        "/features/evaluated?context.user.id=%ff",
    ] {
        edge.publishable().get(target).assert_error(400, "INVALID_REQUEST");
    }
    for (route, _) in POSTS {
        for body in ["", "{", "nope", "3", "{}"] {
            edge.publishable().post(route, body).assert_error(400, "INVALID_REQUEST");
        }
    }
}

#[test]
fn an_unknown_flag_is_an_absent_entry_in_a_good_answer() {
    let reply = edge().publishable().get("/features/evaluated?key=nope");
    assert_eq!(reply.status, 200);
    assert_eq!(
        reply.json(),
        json!({"success": true, "remoteContextUsed": false, "flagStateVersion": 7, "features": {}})
    );
}

#[test]
fn without_data_flags_are_503_not_ready_and_say_when_to_ask_again() {
    let edge = Setup::of(Environment::named("shop")).start();
    for route in READS {
        let reply = edge.secret().get(route);
        reply.assert_error(503, "NOT_READY");
        let seconds: u32 = reply.header("retry-after").expect("Retry-After").parse().unwrap();
        assert!(seconds >= 1);
    }
    edge.publishable().get("/features/evaluated").assert_error(503, "NOT_READY");
    edge.anonymous().get("/features/evaluated").assert_error(403, "INVALID_API_KEY");
}

#[test]
fn an_environment_without_data_does_not_touch_another() {
    let edge = Setup::of(Environment::named("empty"))
        .and(Environment::named("full").holding(document(1, &[on("open")])))
        .start();
    edge.publishable_of("empty").get("/features/evaluated").assert_error(503, "NOT_READY");
    assert_eq!(edge.publishable_of("full").get("/features/evaluated").keys(), ["open"]);
}

#[test]
fn an_unknown_path_is_404_in_the_shape_of_the_dialect_that_owns_its_prefix() {
    let edge = edge();
    for path in ["/", "/nope", "/features/nope", "/features/evaluated/open", "/api/v2/flags", "//"]
    {
        edge.publishable().get(path).assert_error(404, "NOT_FOUND");
    }
    for path in ["/api/v1/nope", "/api/v1/", "/sse/environments/key/nope"] {
        let reply = edge.publishable().get(path);
        assert_eq!(reply.status, 404);
        assert_eq!(reply.header("content-type"), Some("application/json"));
        assert_eq!(reply.json()["status"], "not_found", "{reply}");
        assert!(reply.json()["message"].is_string(), "{reply}");
    }
    let reply = edge.publishable().get("/ofrep/v1/nope");
    assert_eq!(reply.status, 404);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.json()["errorCode"], "GENERAL");
    assert!(reply.json()["errorDetails"].is_string());
}

#[test]
fn another_method_is_405_with_the_methods_that_are_allowed() {
    let edge = edge();
    for route in READS {
        for method in ["POST", "PUT", "DELETE", "PATCH", "BREW"] {
            let reply = edge.secret().ask(method, route, "");
            reply.assert_error(405, "METHOD_NOT_ALLOWED");
            let allowed = reply.header("allow").expect("Allow");
            assert!(allowed.split(", ").any(|method| method == "GET"), "{allowed}");
            assert!(!allowed.contains("POST"), "{allowed}");
        }
    }
    for (route, body) in POSTS {
        for method in ["GET", "PUT", "DELETE"] {
            let reply = edge.secret().ask(method, route, body);
            reply.assert_error(405, "METHOD_NOT_ALLOWED");
            assert!(reply.header("allow").expect("Allow").contains("POST"));
        }
    }
    // Health is Flagsmith's.
    let reply = edge.anonymous().post("/health", "");
    assert_eq!(reply.status, 405);
    assert!(reply.header("allow").expect("Allow").contains("GET"));
    assert!(reply.json()["status"].is_string() && reply.json()["message"].is_string(), "{reply}");
}

#[test]
fn a_body_above_the_limit_is_413_whether_its_length_is_announced_or_not() {
    let edge = edge();
    let long = vec![b' '; (1 << 20) + 1];
    let reply = edge.publishable().post("/bulk", &long);
    reply.assert_error(413, "INVALID_REQUEST");
    assert_eq!(reply.header("connection"), Some("close"));

    let mut connection = Connection::open(edge.public);
    connection.write(
        "POST /bulk HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer pub_shop\r\n\
         Transfer-Encoding: chunked\r\n\r\n",
    );
    connection.write(format!("{:x}\r\n", long.len()));
    connection.write(&long);
    connection.write("\r\n0\r\n\r\n");
    connection.reply_to("POST").assert_error(413, "INVALID_REQUEST");
    connection.expect_end();

    let exactly = format!("[{{\"type\":\"user\"}}{}]", " ".repeat((1 << 20) - 17));
    assert_eq!(exactly.len(), 1 << 20);
    assert_eq!(edge.publishable().post("/bulk", exactly).status, 200);
}

#[test]
fn an_announced_length_above_the_limit_is_refused_before_the_body_comes() {
    let edge = edge();
    let mut connection = Connection::open(edge.public);
    connection.write(
        "POST /bulk HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer pub_shop\r\n\
         Content-Length: 1048577\r\nExpect: 100-continue\r\n\r\n",
    );
    connection.reply_to("POST").assert_error(413, "INVALID_REQUEST");
    connection.expect_end();
}

#[test]
fn a_url_above_the_limit_is_414_in_the_shape_of_the_dialect() {
    let edge = edge();
    let long = "a".repeat(32 * 1024);
    let ask = |path: &str| edge.publishable().get(&format!("{path}?x={long}"));
    ask("/features/evaluated").assert_error(414, "INVALID_REQUEST");
    ask("/nope").assert_error(414, "INVALID_REQUEST");
    let reply = ask("/api/v1/flags/");
    assert_eq!(reply.status, 414);
    assert!(reply.json()["status"].is_string() && reply.json()["message"].is_string(), "{reply}");
    let reply = ask("/ofrep/v1/evaluate/flags");
    assert_eq!(reply.status, 414);
    assert_eq!(reply.json()["errorCode"], "GENERAL");

    let room = 32 * 1024 - "/features/evaluated?x=".len();
    let target = format!("/features/evaluated?x={}", &long[..room]);
    assert_eq!(target.len(), 32 * 1024);
    assert_eq!(edge.publishable().get(&target).status, 200, "up to the limit all is well");
    assert_eq!(edge.publishable().get(&format!("{target}a")).status, 414);
}

#[test]
fn a_body_with_a_content_encoding_is_415() {
    let edge = edge();
    for (route, body) in POSTS {
        let reply = edge.publishable().with("Content-Encoding", "gzip").post(route, body);
        reply.assert_error(415, "INVALID_REQUEST");
    }
}

#[test]
fn everything_is_below_the_base_path_and_nothing_beside_it() {
    let edge = Setup::of(Environment::named("shop").holding(document(7, &[on("open")])))
        .server("base_path = \"/edge/flags\"")
        .start();
    let publishable = edge.publishable();
    assert_eq!(publishable.get("/edge/flags/features/evaluated").keys(), ["open"]);
    assert_eq!(publishable.post("/edge/flags/user", r#"{"userId":"u"}"#).status, 200);
    assert_eq!(publishable.get("/edge/flags/health").status, 200);
    for path in [
        "/features/evaluated",
        "/edge/features/evaluated",
        "/edge/flagsfeatures/evaluated",
        "/edge/flags",
        "/edge/flags/edge/flags/features/evaluated",
        "/health",
    ] {
        publishable.get(path).assert_error(404, "NOT_FOUND");
    }
    let reply = publishable.get("/edge/flags/ofrep/v1/nope");
    assert_eq!((reply.status, &reply.json()["errorCode"]), (404, &json!("GENERAL")));
}

#[test]
fn a_slash_at_the_end_makes_no_difference() {
    let edge = edge();
    for route in READS {
        let (bare, slash) = (edge.secret().get(route), edge.secret().get(&format!("{route}/")));
        assert_eq!(bare.status, 200);
        assert_eq!(bare.without_date(), slash.without_date());
    }
    for (route, body) in POSTS {
        assert_eq!(edge.publishable().post(&format!("{route}/"), body).status, 200);
    }
}

#[test]
fn head_is_get_without_the_body() {
    let edge = edge();
    for target in ["/features", "/features/evaluated?context.company.id=acme", "/nope", "/health"] {
        let mut session = edge.secret().connect();
        let get = session.ask("GET", target, "").without_date();
        let head = session.ask("HEAD", target, "").without_date();
        assert_eq!(head.status, get.status);
        assert_eq!(head.fields, get.fields);
        assert!(!get.body.is_empty() && head.body.is_empty());
        assert_eq!(session.get("/features/evaluated").status, 200, "no stray bytes came");
    }
}

#[test]
fn the_admin_port_s_paths_do_not_exist_here() {
    let edge = edge();
    for path in ["/metrics", "/status", "/explain", "/health/live", "/health/ready"] {
        edge.secret().get(path).assert_error(404, "NOT_FOUND");
    }
    edge.secret().post("/explain", "{}").assert_error(404, "NOT_FOUND");
}

#[test]
fn good_answers_say_which_version_they_are_and_no_answer_may_be_kept_by_a_shared_cache() {
    let edge = edge();
    for target in
        ["/features", "/features/evaluated", "/features/enabled", "/features/enabled?key=x"]
    {
        let reply = edge.secret().get(target);
        assert_eq!(reply.header("burgee-version"), Some("7"));
        let fingerprint = reply.header("burgee-fingerprint").expect("burgee-fingerprint");
        assert_eq!(fingerprint.len(), 16);
        assert!(fingerprint.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')));
        assert_eq!(reply.header("burgee-state"), None, "it is fresh");
        assert_eq!(reply.header("content-type"), Some("application/json"));
    }
    for target in ["/features", "/features/evaluated", "/features/enabled", "/nope", "/health"] {
        for caller in [edge.secret(), edge.publishable(), edge.anonymous()] {
            let reply = caller.get(target);
            let cached = reply.header("cache-control").unwrap_or_else(|| panic!("{reply}"));
            assert!(!cached.contains("public"), "{cached}");
            assert!(cached.contains("private") || cached.contains("no-store"), "{cached}");
        }
    }
}

#[test]
fn an_answer_that_depends_on_a_context_is_not_stored_and_any_other_is_asked_for_again() {
    let edge = edge();
    let reply = edge.publishable().get("/features/evaluated");
    assert_eq!(reply.header("cache-control"), Some("private, no-store"));
    let vary = Some("Authorization, X-Environment-Key, X-API-Key, Accept-Encoding");
    let reply = edge.secret().get("/features");
    assert_eq!(reply.header("cache-control"), Some("private, no-cache"));
    assert_eq!(reply.header("vary"), vary);
    let edge = Edge::serving(document(1, &[on("open"), off("shut")]));
    let reply = edge.publishable().get("/features/evaluated");
    assert_eq!(reply.header("cache-control"), Some("private, no-cache"));
    assert_eq!(reply.header("vary"), vary);
}

#[test]
fn no_error_repeats_the_key_that_was_sent() {
    let edge = edge();
    for (name, value) in [
        ("Authorization", "Bearer pub_nobody"),
        ("X-API-Key", "pub_nobody"),
        ("X-Environment-Key", "pub_nobody"),
    ] {
        for target in ["/features", "/features/evaluated", "/api/v1/flags/", "/ofrep/v1/nope"] {
            let reply = edge.anonymous().with(name, value).get(target);
            assert!(!reply.to_string().contains("nobody"), "{reply}");
        }
    }
    let reply = edge.anonymous().get("/features?publishableKey=sec_shop_0123456789");
    assert!(!reply.to_string().contains("sec_shop"), "{reply}");
}

#[test]
fn the_public_port_may_be_a_unix_socket_even_where_a_dead_process_left_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("burgee.sock");
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "as a process that was killed leaves it");
    let edge = Setup::of(Environment::named("shop").holding(document(7, &[on("open")])))
        .listen_on_socket(&path)
        .start();
    let mut stream = UnixStream::connect(&path).unwrap();
    stream
        .write_all(
            b"GET /features/evaluated HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer pub_shop\r\n\
              Connection: close\r\n\r\n",
        )
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("\"open\""), "{answer}");
    drop(edge);
    assert!(!path.exists(), "it goes with the server");
}
