//! Which web pages may read answers.

use serde_json::json;

use crate::support::rules::{document, is, on, when};
use crate::support::wire::Reply;
use crate::support::{Edge, Environment, Setup};

const EXPOSED: &str = "ETag, Retry-After, Age, X-Flagsmith-Document-Updated-At, burgee-version, \
                       burgee-fingerprint, burgee-state";

/// An environment for all pages, one for two origins, one for an origin with credentials.
fn edge() -> Edge {
    let rules = || document(1, &[on("open"), when("acme-only", &is("company.id", "acme"))]);
    Setup::of(Environment::named("anyone").holding(rules()))
        .and(listed().holding(rules()))
        .and(personal().holding(rules()))
        .start()
}

fn listed() -> Environment {
    let origins = "origins = [\"https://app.example\", \"http://localhost:3000\"]";
    Environment::named("listed").table("cors", origins)
}

fn personal() -> Environment {
    let origins = "origins = [\"https://desk.example\"]\ncredentials = true";
    Environment::named("personal").table("cors", origins)
}

/// Who may read the answer, as far as its head says.
fn allowed(reply: &Reply) -> Option<&str> {
    reply.header("access-control-allow-origin")
}

fn assert_no_cors(reply: &Reply) {
    let cors = reply.fields.iter().find(|(name, _)| name.starts_with("access-control-"));
    assert!(cors.is_none(), "{reply}");
}

#[test]
fn a_preflight_is_answered_204_without_a_key_and_says_all_that_a_page_may_do() {
    let edge = edge();
    let asked = "authorization, content-type, reflag-sdk-version";
    for (method, path) in [
        ("POST", "/bulk"),
        ("POST", "/feedback"),
        ("GET", "/features/evaluated"),
        ("POST", "/flags/opt-in"),
        ("GET", "/api/v1/flags/"),
        ("POST", "/ofrep/v1/evaluate/flags"),
    ] {
        let caller = edge.anonymous().with("Access-Control-Request-Headers", asked);
        let reply = caller.preflight("https://anybody.example", method, path);
        assert_eq!(reply.status, 204, "{path}");
        assert!(reply.body.is_empty());
        assert_eq!(allowed(&reply), Some("*"));
        let methods = reply.header("access-control-allow-methods").unwrap_or_default();
        assert_eq!(methods, "GET, POST, OPTIONS");
        assert_eq!(reply.header("access-control-allow-headers"), Some(asked));
        assert_eq!(reply.header("access-control-max-age"), Some("7200"));
        assert_eq!(reply.header("access-control-allow-credentials"), None);
    }
}

#[test]
fn a_preflight_is_answered_whatever_key_comes_with_it_and_whatever_its_path() {
    let edge = edge();
    for caller in [edge.anonymous().bearer("nobody"), edge.anonymous()] {
        for target in ["/bulk", "/features?publishableKey=sec_listed_0123456789", "/nope", "/"] {
            let reply = caller.preflight("https://app.example", "POST", target);
            assert_eq!(reply.status, 204, "{target}");
            assert!(allowed(&reply).is_some(), "{target}");
        }
    }
}

#[test]
fn a_preflight_comes_before_the_limits_so_that_a_page_can_read_what_it_ran_into() {
    let edge = edge();
    let target = format!("/features/evaluated?x={}", "a".repeat(40 * 1024));
    let reply = edge.anonymous().preflight("https://app.example", "GET", &target);
    assert_eq!(reply.status, 204, "{reply}");
    let page = edge.publishable_of("anyone").with("Origin", "https://app.example");
    let reply = page.get(&target);
    assert_eq!((reply.status, allowed(&reply)), (414, Some("*")));
}

#[test]
fn a_preflight_is_checked_against_the_lists_of_all_environments_together() {
    let rules = document(1, &[on("open")]);
    let edge = Setup::of(listed().holding(&*rules)).and(personal().holding(&*rules)).start();
    let ask = |origin: &str| edge.anonymous().preflight(origin, "POST", "/bulk");
    for origin in ["https://app.example", "http://localhost:3000"] {
        let reply = ask(origin);
        assert_eq!(allowed(&reply), Some(origin));
        assert_eq!(reply.header("access-control-allow-credentials"), None);
        assert!(reply.header("vary").unwrap_or_default().contains("Origin"));
    }
    let reply = ask("https://desk.example");
    assert_eq!(allowed(&reply), Some("https://desk.example"));
    assert_eq!(reply.header("access-control-allow-credentials"), Some("true"));
    for origin in [
        "https://other.example",
        "http://app.example",
        "https://app.example:8443",
        "https://app.example.evil.example",
        "null",
    ] {
        let reply = ask(origin);
        assert_eq!(reply.status, 204);
        assert_eq!(allowed(&reply), None, "{origin}");
    }
}

#[test]
fn an_answer_checks_the_list_of_its_own_environment() {
    let edge = edge();
    let ask = |environment: &str, origin: &str| {
        edge.publishable_of(environment).with("Origin", origin).get("/features/evaluated")
    };
    assert_eq!(allowed(&ask("anyone", "https://anybody.example")), Some("*"));
    let reply = ask("listed", "https://app.example");
    assert_eq!(allowed(&reply), Some("https://app.example"));
    assert_eq!(reply.header("access-control-allow-credentials"), None);
    assert!(reply.header("vary").unwrap_or_default().contains("Origin"));
    for origin in ["https://desk.example", "https://anybody.example"] {
        let reply = ask("listed", origin);
        assert_eq!(reply.status, 200, "the check is the browser's");
        assert_eq!(allowed(&reply), None);
        assert!(reply.header("vary").unwrap_or_default().contains("Origin"));
    }
    let reply = ask("personal", "https://desk.example");
    assert_eq!(allowed(&reply), Some("https://desk.example"));
    assert_eq!(reply.header("access-control-allow-credentials"), Some("true"));
    let reply = ask("personal", "https://app.example");
    assert_eq!(allowed(&reply), None);
    assert_eq!(reply.header("access-control-allow-credentials"), None);
}

#[test]
fn any_kind_of_answer_can_be_read_by_a_page_and_exposes_what_is_worth_reading() {
    let edge = edge();
    for (environment, origin, leave) in [
        ("anyone", "https://anybody.example", "*"),
        ("listed", "https://app.example", "https://app.example"),
        ("personal", "https://desk.example", "https://desk.example"),
    ] {
        let page = edge.publishable_of(environment).with("Origin", origin);
        let etag = page.get("/features/evaluated").etag();
        let mut answers = vec![
            page.get("/features/evaluated?context.company.id=acme"),
            page.get("/features/evaluated?key=open"),
            page.get("/features/enabled"),
            page.post("/bulk", r#"[{"type":"user","userId":"u"}]"#),
            page.post("/event", r#"{"userId":"u","event":"e"}"#),
        ];
        answers.push(page.clone().with("If-None-Match", &etag).get("/features/evaluated"));
        assert_eq!(answers.last().unwrap().status, 304);
        for reply in answers {
            assert_eq!(allowed(&reply), Some(leave), "{reply}");
            assert_eq!(reply.header("access-control-expose-headers"), Some(EXPOSED), "{reply}");
        }
    }
}

#[test]
fn who_is_no_page_is_told_nothing_of_pages_and_a_page_hears_it_with_the_same_tag() {
    let edge = edge();
    for environment in ["anyone", "listed", "personal"] {
        let caller = edge.publishable_of(environment);
        let reply = caller.get("/features/evaluated");
        assert_no_cors(&reply);
        assert_no_cors(&caller.get("/features/enabled"));
        assert_no_cors(&caller.post("/bulk", r#"[{"type":"user","userId":"u"}]"#));
        assert_no_cors(&caller.get("/features/evaluated?contextJson=nope"));
        let page = caller.with("Origin", "https://app.example");
        let held = page.with("If-None-Match", &reply.etag()).get("/features/evaluated");
        assert_eq!(held.status, 304);
        assert_eq!(held.header("vary"), reply.header("vary"));
        assert_eq!(allowed(&held).is_some(), environment != "personal", "{held}");
    }
}

#[test]
fn an_error_can_be_read_by_the_pages_that_may_read_answers() {
    let edge = edge();
    for (environment, origin, leave) in [
        ("anyone", "https://anybody.example", "*"),
        ("listed", "https://app.example", "https://app.example"),
        ("personal", "https://desk.example", "https://desk.example"),
    ] {
        let page = edge.publishable_of(environment).with("Origin", origin);
        let answers = [
            (400, page.get("/features/evaluated?contextJson=nope")),
            (400, page.post("/event", "{}")),
            (403, page.get("/features")),
            (404, page.get("/nope")),
            (403, page.get("/sse/server")),
            (405, page.ask("DELETE", "/features/evaluated", "")),
            (413, page.post("/bulk", vec![b' '; (1 << 20) + 1])),
            (415, page.clone().with("Content-Encoding", "gzip").post("/bulk", "[]")),
            (503, page.post("/feedback", "{}")),
        ];
        for (status, reply) in answers {
            assert_eq!(reply.status, status);
            assert_eq!(allowed(&reply), Some(leave), "{reply}");
            assert_eq!(reply.header("access-control-expose-headers"), Some(EXPOSED), "{reply}");
        }
    }
    // Without a key the environment is not known: any list will do.
    for origin in ["https://app.example", "https://desk.example", "https://anybody.example"] {
        let reply = edge.anonymous().with("Origin", origin).get("/features/evaluated");
        assert_eq!(reply.status, 403);
        assert!(allowed(&reply).is_some(), "{reply}");
    }
}

#[test]
fn an_error_to_a_known_key_is_for_the_pages_of_its_own_environment_only() {
    let edge = edge();
    let page = edge.publishable_of("listed").with("Origin", "https://desk.example");
    for (status, reply) in [
        (400, page.get("/features/evaluated?contextJson=nope")),
        (400, page.post("/event", "{}")),
        (403, page.get("/features")),
        (503, page.post("/feedback", "{}")),
    ] {
        assert_eq!(reply.status, status);
        assert_eq!(allowed(&reply), None, "{reply}");
        assert_eq!(reply.header("access-control-allow-credentials"), None, "{reply}");
    }
}

#[test]
fn a_refused_stream_is_for_the_pages_of_its_environment_wherever_the_key_stands() {
    let edge = edge();
    for target in [
        "/sse/environments/pub_listed/stream",
        "/ofrep/v1/sse?publishableKey=pub_listed",
        "/sse/client?publishableKey=pub_listed",
    ] {
        for (origin, leave) in
            [("https://app.example", Some("https://app.example")), ("https://desk.example", None)]
        {
            let reply = edge.anonymous().with("Origin", origin).post(target, "");
            assert_eq!((reply.status, reply.header("allow")), (405, Some("GET, HEAD")));
            assert_eq!(allowed(&reply), leave, "{reply}");
        }
    }
    // A page that has a secret key in its URL is told so: an SDK that cannot read why asks again.
    for target in [
        "/sse/environments/sec_listed_0123456789/stream",
        "/ofrep/v1/sse?publishableKey=sec_listed_0123456789",
        "/features/evaluated?publishableKey=sec_listed_0123456789",
    ] {
        let reply = edge.anonymous().with("Origin", "https://app.example").get(target);
        assert!(matches!(reply.status, 401 | 403), "{reply}");
        assert_eq!(allowed(&reply), Some("*"), "{reply}");
    }
}

#[test]
fn an_environment_without_data_still_lets_pages_read_that() {
    let edge = Setup::of(listed()).start();
    let reply = edge.publishable().with("Origin", "https://app.example").get("/features/evaluated");
    reply.assert_error(503, "NOT_READY");
    assert_eq!(allowed(&reply), Some("https://app.example"));
}

#[test]
fn nothing_said_to_a_secret_key_is_for_pages() {
    let edge = edge();
    for environment in ["anyone", "listed", "personal"] {
        for origin in ["https://app.example", "https://desk.example", "https://anybody.example"] {
            let server = edge.secret_of(environment).with("Origin", origin);
            for reply in [
                server.get("/features"),
                server.get("/features/evaluated"),
                server.get("/features/enabled?key=open"),
                server.get("/features/evaluated?contextJson=nope"),
                server.get("/nope"),
                server.ask("DELETE", "/features", ""),
                server.post("/bulk", r#"[{"type":"user"}]"#),
                server.post("/bulk", "nope"),
                server.post("/feedback", "{}"),
            ] {
                assert_no_cors(&reply);
            }
        }
    }
}

#[test]
fn a_list_of_origins_may_be_empty_and_allows_none() {
    let edge = Setup::of(
        Environment::named("shop")
            .holding(document(1, &[on("open")]))
            .table("cors", "origins = []"),
    )
    .start();
    let reply = edge.publishable().with("Origin", "https://app.example").get("/features/evaluated");
    assert_eq!(reply.flags()["open"]["isEnabled"], json!(true));
    assert_eq!(allowed(&reply), None);
    let reply = edge.anonymous().preflight("https://app.example", "GET", "/features/evaluated");
    assert_eq!((reply.status, allowed(&reply)), (204, None));
}
