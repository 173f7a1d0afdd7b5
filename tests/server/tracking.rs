//! Tracking posts, feedback, opt-in and event streams: what is answered until their own time comes.

use serde_json::json;

use crate::support::rules::{document, on};
use crate::support::{Edge, Environment, Setup};

fn edge() -> Edge {
    Edge::serving(document(1, &[on("open")]))
}

/// What SDKs were seen to send (reflag-runtime.md 8.1).
const RECORDED: &str = r#"[
  {"type":"user","userId":"u-1","attributes":{"name":"Ada"},"context":{"active":true}},
  {"type":"company","companyId":"acme","userId":"u-1","attributes":{"plan":"pro"}},
  {"type":"event","event":"crew-chat","userId":"u-1","companyId":"acme","attributes":{"position":"popover"}},
  {"type":"feature-flag-event","action":"check","key":"crew-chat","targetingVersion":3,
   "evalContext":{"user":{"id":"u-1"},"company":{"id":"acme"}},
   "evalResult":true,"evalRuleResults":[true],"evalMissingFields":[]},
  {"type":"feature-flag-event","action":"check-config","key":"model-picker","targetingVersion":9,
   "evalContext":{"user":{"id":"u-1"}},"evalResult":{"key":"large","payload":{"limit":20}},
   "evalRuleResults":[true,true],"evalMissingFields":[]},
  {"type":"prompt-event","action":"received","featureId":"f_1","promptId":"p_1","userId":"u-1","promptedQuestion":"How is it?"},
  {"type":"channel-status-event","anything":[1,2]}
]"#;

#[test]
fn every_tracking_post_is_answered_success_true_to_either_class_of_keys() {
    let edge = edge();
    for (route, body) in [
        ("/bulk", RECORDED),
        (
            "/user",
            r#"{"userId":"u-1","attributes":{"name":"Ada"},"timestamp":"2026-01-01T00:00:00Z"}"#,
        ),
        ("/user", r#"{"userId":7}"#),
        ("/company", r#"{"companyId":"acme","userId":"u-1"}"#),
        (
            "/event",
            r#"{"userId":"u-1","event":"crew-chat","attributes":{"a":1},"companyId":"acme"}"#,
        ),
        ("/features/events", r#"{"action":"evaluate","key":"crew-chat","evalResult":false}"#),
        ("/features/events", r#"{"action":"check-is-enabled","key":"k","targetingVersion":3}"#),
    ] {
        for caller in [edge.publishable(), edge.secret()] {
            let reply = caller.post(route, body);
            assert_eq!(reply.status, 200, "{reply}");
            assert_eq!(reply.text(), r#"{"success":true}"#);
            assert_eq!(reply.header("content-type"), Some("application/json"));
        }
        let caller = edge.anonymous();
        assert_eq!(caller.post(&format!("{route}?publishableKey=pub_shop"), body).status, 200);
    }
}

#[test]
fn what_is_no_event_is_400_and_says_what_is_wrong() {
    let edge = edge();
    let many = format!("[{}]", vec![r#"{"type":"user"}"#; 101].join(","));
    for (route, body) in [
        ("/bulk", "[]"),
        ("/bulk", "{}"),
        ("/bulk", "[1]"),
        ("/bulk", "[[]]"),
        ("/bulk", "[{}]"),
        ("/bulk", r#"[{"type":7}]"#),
        ("/bulk", &*many),
        ("/bulk", r#"[{"type":"user"}"#),
        ("/bulk", r#"[{"type":"user"}] x"#),
        ("/user", "[]"),
        ("/user", r#"{"userId":null}"#),
        ("/user", r#"{"userId":""}"#),
        ("/user", r#"{"userId":{}}"#),
        ("/company", r#"{"userId":"u"}"#),
        ("/event", r#"{"userId":"u"}"#),
        ("/event", r#"{"event":"e"}"#),
        ("/event", r#"{"userId":"u","event":7}"#),
        ("/features/events", r#"{"action":"check"}"#),
    ] {
        edge.publishable().post(route, body).assert_error(400, "INVALID_REQUEST");
    }
    let hundred = format!("[{}]", vec![r#"{"type":"user"}"#; 100].join(","));
    assert_eq!(edge.publishable().post("/bulk", hundred).status, 200);
}

#[test]
fn events_are_counted_by_kind_and_environment_and_those_of_refused_posts_are_not() {
    let edge = Setup::of(Environment::named("north").holding(document(1, &[on("open")])))
        .and(Environment::named("south").holding(document(1, &[on("open")])))
        .start();
    let north = edge.publishable_of("north");
    assert_eq!(north.post("/bulk", RECORDED).status, 200);
    assert_eq!(north.post("/user", r#"{"userId":"u"}"#).status, 200);
    assert_eq!(north.post("/features/events", r#"{"key":"k"}"#).status, 200);
    assert_eq!(north.post("/bulk", r#"[{"type":"user"},{}]"#).status, 400);
    assert_eq!(edge.secret_of("south").post("/company", r#"{"companyId":"c"}"#).status, 200);
    let metrics = edge.metrics();
    let received = |environment, kind| {
        let labels = [("environment", environment), ("kind", kind)];
        let received = metrics.count("burgee_events_received_total", &labels);
        let dropped = metrics.count("burgee_events_dropped_total", &labels);
        assert_eq!(received, dropped, "nobody keeps them yet, and that is said");
        received
    };
    assert_eq!(received("north", "user"), 2);
    assert_eq!(received("north", "company"), 1);
    assert_eq!(received("north", "event"), 1);
    assert_eq!(received("north", "feature-flag-event"), 3);
    assert_eq!(received("north", "prompt-event"), 1);
    assert_eq!(received("south", "company"), 1);
    assert_eq!(metrics.count("burgee_events_received_total", &[("environment", "north")]), 9);
    assert_eq!(metrics.count("burgee_events_received_total", &[("environment", "south")]), 1);
    assert_eq!(metrics.labels("burgee_events_received_total"), ["environment", "kind"]);
    assert_eq!(metrics.labels("burgee_events_dropped_total"), ["environment", "kind", "reason"]);
}

#[test]
fn kinds_that_clients_invent_do_not_become_labels() {
    let edge = edge();
    for n in 0..20 {
        let body = format!(r#"[{{"type":"invented-{n}"}}]"#);
        assert_eq!(edge.publishable().post("/bulk", body).status, 200);
    }
    assert!(!edge.admin().get("/metrics").text().contains("invented"));
    assert_eq!(edge.metrics().count("burgee_events_received_total", &[]), 20);
}

#[test]
fn feedback_and_opt_in_are_503_not_available_in_the_dialect_s_shape() {
    let edge = edge();
    for route in
        ["/feedback", "/feedback/prompting-init", "/feedback/prompt-events", "/flags/opt-in"]
    {
        for caller in [edge.publishable(), edge.secret()] {
            let reply = caller.post(route, r#"{"userId":"u"}"#);
            reply.assert_error(503, "NOT_AVAILABLE");
            let seconds: u32 = reply.header("retry-after").expect("Retry-After").parse().unwrap();
            assert!(seconds >= 1);
        }
        edge.anonymous().post(route, "{}").assert_error(403, "INVALID_API_KEY");
        let reply = edge.publishable().get(route);
        assert_eq!((reply.status, reply.header("allow")), (405, Some("POST")));
    }
}

#[test]
fn a_connection_outlives_a_call_that_is_not_available() {
    let edge = edge();
    let mut session = edge.publishable().connect();
    let body = format!("{{\"comment\":\"{}\"}}", "x".repeat(500));
    session.post("/feedback", &body).assert_error(503, "NOT_AVAILABLE");
    assert_eq!(session.get("/features/evaluated").keys(), ["open"]);
}

#[test]
fn an_old_sdks_stream_of_channels_is_404_at_once_with_a_json_body() {
    let edge = edge();
    for caller in [edge.publishable(), edge.secret(), edge.anonymous()] {
        let caller = caller.with("Accept", "text/event-stream");
        caller.get("/sse?v=1.2&channels=a").assert_error(404, "NOT_FOUND");
        let reply = caller.get("/sse/environments/pub_shop/queue-change");
        assert_eq!(reply.status, 404);
        assert_eq!(reply.header("content-type"), Some("application/json"));
        assert_eq!(reply.json()["status"], json!("not_found"));
    }
}
