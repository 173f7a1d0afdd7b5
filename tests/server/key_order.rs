//! The key alone selects the environment, and the first one present decides.

use crate::support::rules::{document, on};
use crate::support::wire::Caller;
use crate::support::{Edge, Environment, Setup, logged, until};

/// Environments whose only flag has the environment's name.
fn two_environments() -> Edge {
    let environment =
        |name: &str| Environment::named(name).holding(document(1, &[on(&format!("flag-{name}"))]));
    Setup::of(environment("north")).and(environment("south")).start()
}

/// Which environment answers.
fn environment_of(caller: &Caller, target: &str) -> String {
    let keys = caller.get(target).keys();
    assert_eq!(keys.len(), 1);
    keys[0].trim_start_matches("flag-").to_owned()
}

const EVALUATED: &str = "/features/evaluated";

#[test]
fn a_key_alone_selects_the_environment_wherever_it_stands() {
    let edge = two_environments();
    for name in ["north", "south"] {
        for key in [format!("pub_{name}"), format!("sec_{name}_0123456789")] {
            for (header, value) in [
                ("Authorization", format!("Bearer {key}")),
                ("X-Environment-Key", key.clone()),
                ("X-API-Key", key.clone()),
            ] {
                let caller = edge.anonymous().with(header, &value);
                assert_eq!(environment_of(&caller, EVALUATED), name, "{header}");
            }
        }
        let target = format!("{EVALUATED}?publishableKey=pub_{name}");
        assert_eq!(environment_of(&edge.anonymous(), &target), name);
        let target = format!("{EVALUATED}?x=1&publishableKey=pub%5F{name}&reflag-sdk-version=b");
        assert_eq!(environment_of(&edge.anonymous(), &target), name, "it is form encoded");
    }
}

#[test]
fn authorization_then_x_environment_key_then_x_api_key_then_the_query() {
    let edge = two_environments();
    let order = ["Authorization", "X-Environment-Key", "X-API-Key"];
    let place = |caller: Caller, at: usize, key: &str| match at {
        0 => caller.with(order[0], &format!("Bearer {key}")),
        _ => caller.with(order[at], key),
    };
    for first in 0..order.len() {
        for second in first + 1..order.len() {
            // Whichever comes first on the wire.
            let one = place(edge.anonymous(), first, "pub_north");
            let one = place(one, second, "pub_south");
            let other = place(edge.anonymous(), second, "pub_south");
            let other = place(other, first, "pub_north");
            for caller in [one, other] {
                assert_eq!(environment_of(&caller, EVALUATED), "north", "{first} before {second}");
            }
        }
        let caller = place(edge.anonymous(), first, "pub_north");
        let target = format!("{EVALUATED}?publishableKey=pub_south");
        assert_eq!(environment_of(&caller, &target), "north", "{first} before the query");
    }
}

#[test]
fn a_first_key_that_is_unknown_is_not_rescued_by_another_one() {
    let edge = two_environments();
    let with_query = format!("{EVALUATED}?publishableKey=pub_north");
    let all = |authorization: &str, environment: &str| {
        edge.anonymous()
            .with("X-API-Key", "pub_north")
            .with("X-Environment-Key", environment)
            .with("Authorization", authorization)
    };
    all("Bearer nobody", "pub_north").get(&with_query).assert_error(403, "INVALID_API_KEY");
    let caller = all("Bearer nobody", "nobody").without("Authorization");
    caller.get(&with_query).assert_error(403, "INVALID_API_KEY");
    let caller = edge.anonymous().with("X-API-Key", "nobody");
    caller.get(&with_query).assert_error(403, "INVALID_API_KEY");
    let twice = format!("{EVALUATED}?publishableKey=nobody&publishableKey=pub_north");
    edge.anonymous().get(&twice).assert_error(403, "INVALID_API_KEY");
}

#[test]
fn the_scheme_may_be_written_in_any_case() {
    let edge = two_environments();
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let caller = edge.anonymous().with("Authorization", &format!("{scheme} pub_south"));
        assert_eq!(environment_of(&caller, EVALUATED), "south");
    }
}

#[test]
fn part_of_a_key_or_a_key_in_other_letters_is_no_key() {
    let edge = two_environments();
    for key in ["pub_nort", "pub_northh", "PUB_NORTH", "", "pub_north,pub_south", "\"pub_north\""] {
        let caller = edge.anonymous().with("X-API-Key", key);
        caller.get(EVALUATED).assert_error(403, "INVALID_API_KEY");
    }
}

#[test]
fn a_secret_key_in_a_query_is_refused_counted_and_logged_without_the_key() {
    let edge = Setup::of(Environment::named("leaky").holding(document(1, &[on("open")]))).start();
    for route in ["/features", "/features/evaluated", "/features/enabled"] {
        let target = format!("{route}?context.user.id=u&publishableKey=sec_leaky_0123456789");
        edge.anonymous().get(&target).assert_error(403, "FORBIDDEN_KEY");
    }
    let target = "/event?publishableKey=sec%5Fleaky_0123456789";
    edge.anonymous()
        .post(target, r#"{"userId":"u","event":"e"}"#)
        .assert_error(403, "FORBIDDEN_KEY");
    let labels = [("dialect", "reflag"), ("reason", "secret_in_url")];
    assert_eq!(edge.metrics().count("burgee_rejections_total", &labels), 4);
    let advice = "rotate the key of environment leaky";
    until("the advice", || logged().contains(advice).then_some(()));
    assert!(!logged().contains("sec_leaky_0123456789"));
    assert!(!logged().contains("sec%5Fleaky"));
}

#[test]
fn a_secret_key_in_the_query_is_refused_for_posts_before_the_body_is_looked_at() {
    let edge = two_environments();
    let target = "/bulk?publishableKey=sec_north_0123456789";
    edge.anonymous().post(target, "no JSON").assert_error(403, "FORBIDDEN_KEY");
}

#[test]
fn keys_and_queries_are_never_logged_nor_put_into_metrics() {
    let edge = Setup::of(Environment::named("quiet").holding(document(1, &[on("open")])))
        .admin("token = \"token-of-the-quiet-one\"")
        .start();
    let target =
        "/features/evaluated?context.user.id=user-of-the-quiet-one&publishableKey=pub_quiet";
    assert_eq!(edge.anonymous().get(target).status, 200);
    assert_eq!(edge.secret().get("/features").status, 200);
    edge.anonymous().bearer("nobody-of-the-quiet-one").get(target);
    edge.publishable().get("/features/evaluated?contextJson=user-of-the-quiet-one");
    edge.publishable().post("/user", r#"{"userId":"user-of-the-quiet-one"}"#);
    assert_eq!(edge.admin().bearer("token-of-the-quiet-one").get("/status").status, 200);
    let told = [
        logged(),
        edge.admin().get("/metrics").text(),
        edge.admin().get("/status").text(),
        edge.admin().get("/health/ready").text(),
    ];
    for text in told {
        assert!(text.contains("quiet"), "it speaks of this environment");
        for word in ["pub_quiet", "sec_quiet", "of-the-quiet-one", "contextJson="] {
            assert!(!text.contains(word), "{word} in {text}");
        }
    }
}
