//! How old an answer is, and what is said about it.

use crate::support::rules::{document, is, on, when};
use crate::support::wire::Reply;
use crate::support::{Edge, Environment, Setup};

/// One hour is the limit.
fn edge(on_stale: &str) -> Edge {
    let rules = document(7, &[on("open"), when("acme-only", &is("company.id", "acme"))]);
    Setup::of(
        Environment::named("shop")
            .holding(rules)
            .says("max_staleness = \"1h\"")
            .says(&format!("on_stale = {on_stale:?}")),
    )
    .start()
}

const EVALUATED: [&str; 3] = [
    "/features/evaluated?context.company.id=acme",
    "/features/enabled",
    "/features/evaluated?key=open",
];

/// `burgee-state` and `Age`.
fn state(reply: &Reply) -> (u16, Option<&str>, Option<&str>) {
    (reply.status, reply.header("burgee-state"), reply.header("age"))
}

#[test]
fn a_fresh_answer_says_nothing_of_its_age_and_the_definitions_always_do() {
    for on_stale in ["serve", "mark", "refuse"] {
        let edge = edge(on_stale);
        for target in EVALUATED {
            assert_eq!(state(&edge.publishable().get(target)), (200, None, None));
        }
        assert_eq!(state(&edge.secret().get("/features")), (200, None, Some("0")));
    }
}

#[test]
fn stale_begins_above_the_limit_and_not_at_it() {
    let edge = edge("serve");
    edge.lose_rules("shop");
    edge.now_is("2026-06-01T13:00:00Z");
    assert_eq!(state(&edge.publishable().get(EVALUATED[0])), (200, None, None));
    assert_eq!(state(&edge.secret().get("/features")), (200, None, Some("3600")));
    edge.now_is("2026-06-01T13:00:00.001Z");
    assert_eq!(state(&edge.publishable().get(EVALUATED[0])), (200, Some("stale"), None));
    assert_eq!(state(&edge.secret().get("/features")), (200, Some("stale"), Some("3600")));
}

#[test]
fn under_serve_a_stale_answer_says_that_it_is_stale() {
    let edge = edge("serve");
    edge.lose_rules("shop");
    edge.now_is("2026-06-01T14:30:00Z");
    for target in EVALUATED {
        for caller in [edge.publishable(), edge.secret()] {
            assert_eq!(state(&caller.get(target)), (200, Some("stale"), None));
        }
    }
    assert_eq!(state(&edge.secret().get("/features")), (200, Some("stale"), Some("9000")));
}

#[test]
fn under_mark_a_stale_answer_says_how_old_it_is() {
    let edge = edge("mark");
    edge.lose_rules("shop");
    edge.now_is("2026-06-01T14:30:00.999Z");
    for target in EVALUATED {
        for caller in [edge.publishable(), edge.secret()] {
            assert_eq!(state(&caller.get(target)), (200, Some("stale"), Some("9000")));
        }
    }
}

#[test]
fn under_refuse_there_is_no_stale_answer() {
    let edge = edge("refuse");
    edge.lose_rules("shop");
    edge.now_is("2026-06-01T14:30:00Z");
    for target in EVALUATED {
        for caller in [edge.publishable(), edge.secret()] {
            let reply = caller.get(target);
            reply.assert_error(503, "NOT_READY");
            let seconds: u32 = reply.header("retry-after").expect("Retry-After").parse().unwrap();
            assert!(seconds >= 1);
        }
    }
    edge.secret().get("/features").assert_error(503, "NOT_READY");
    // Tracking needs no rules.
    assert_eq!(edge.publishable().post("/user", r#"{"userId":"u"}"#).status, 200);
}

#[test]
fn a_stale_304_says_so_too() {
    let edge = edge("mark");
    edge.lose_rules("shop");
    edge.now_is("2026-06-01T14:00:00Z");
    for (caller, target) in [
        (edge.publishable(), "/features/evaluated?context.company.id=acme"),
        (edge.secret(), "/features"),
    ] {
        let tag = caller.get(target).etag();
        let reply = caller.with("If-None-Match", &tag).get(target);
        assert_eq!(state(&reply), (304, Some("stale"), Some("7200")));
    }
}

#[test]
fn the_tag_of_a_stale_answer_is_another_one() {
    let edge = edge("mark");
    let target = "/features/evaluated?context.company.id=acme";
    let fresh = edge.publishable().get(target);
    edge.lose_rules("shop");
    assert_eq!(edge.publishable().get(target).etag(), fresh.etag(), "not stale yet");
    edge.now_is("2026-06-01T14:00:00Z");
    let stale = edge.publishable().get(target);
    assert_eq!(stale.body, fresh.body);
    assert_ne!(stale.etag(), fresh.etag());
    let caller = edge.publishable().with("If-None-Match", &fresh.etag());
    assert_eq!(caller.get(target).status, 200);
}

#[test]
fn a_look_that_confirms_the_rules_makes_them_fresh_again() {
    let edge = edge("refuse");
    let rules = std::fs::read_to_string(edge.rules("shop")).unwrap();
    edge.lose_rules("shop");
    edge.now_is("2026-06-01T14:00:00Z");
    edge.publishable().get(EVALUATED[0]).assert_error(503, "NOT_READY");
    edge.replace_rules("shop", &rules);
    edge.until_status("shop", |status| status["state"] == "live");
    assert_eq!(state(&edge.publishable().get(EVALUATED[0])), (200, None, None));
    let reply = edge.secret().get("/features");
    assert_eq!(state(&reply), (200, None, Some("0")));
    assert_eq!(reply.header("burgee-version"), Some("7"), "the same rules: no new version");
}

#[test]
fn rules_that_are_there_stay_fresh_while_time_goes_by() {
    let edge = edge("refuse");
    edge.now_is("2026-06-02T12:00:00Z");
    edge.until_status("shop", |status| status["last_success_at"] == "2026-06-02T12:00:00.000Z");
    assert_eq!(state(&edge.publishable().get(EVALUATED[0])), (200, None, None));
}

#[test]
fn a_clock_that_goes_backwards_means_stale() {
    let edge = edge("serve");
    edge.lose_rules("shop");
    edge.now_is("2026-06-01T11:59:59Z");
    assert_eq!(edge.publishable().get(EVALUATED[0]).header("burgee-state"), Some("stale"));
}

#[test]
fn without_a_limit_no_age_is_too_old() {
    let edge = Edge::serving(document(7, &[on("open")]));
    edge.lose_rules("shop");
    edge.now_is("2027-06-01T12:00:00Z");
    assert_eq!(state(&edge.publishable().get("/features/evaluated")), (200, None, None));
    let year = (365 * 24 * 60 * 60).to_string();
    assert_eq!(state(&edge.secret().get("/features")), (200, None, Some(&*year)));
    assert_eq!(edge.status("shop")["state"], "cached");
}

#[test]
fn an_answer_that_is_the_same_for_everybody_grows_stale_as_well() {
    for (on_stale, expected) in
        [("serve", (200, Some("stale"), None)), ("mark", (200, Some("stale"), Some("7200")))]
    {
        let edge = Setup::of(
            Environment::named("shop")
                .holding(document(7, &[on("open")]))
                .says("max_staleness = \"1h\"")
                .says(&format!("on_stale = {on_stale:?}")),
        )
        .start();
        edge.lose_rules("shop");
        edge.now_is("2026-06-01T14:00:00Z");
        assert_eq!(state(&edge.publishable().get("/features/evaluated")), expected);
    }
}
