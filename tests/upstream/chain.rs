//! Edges behind edges: each is the upstream of the next.

use std::time::Duration;

use serde_json::Value;

use crate::fake_upstream::{Reply, Upstream};
use crate::following::{Following, document, served_version};
use crate::support::wire::Reply as Answer;
use crate::support::{Edge, Environment, Setup, until};

/// Three of them.
struct Chain {
    upstream: Upstream,
    first: Edge,
    second: Edge,
    third: Edge,
}

/// What the settings of the second and third say.
fn with_listed(environment: Environment) -> Environment {
    environment.table("reflag", "secret_flags = []")
}

fn with_learning(environment: Environment) -> Environment {
    environment
}

impl Chain {
    /// Three edges, the last two with these settings.
    fn start(settings: fn(Environment) -> Environment) -> Self {
        Self::start_with(settings, |setup| setup)
    }

    fn start_with(settings: fn(Environment) -> Environment, setup: fn(Setup) -> Setup) -> Self {
        let upstream = Upstream::serving(document(7));
        let first = setup(Setup::of(Following::upstream(&upstream).named("first"))).start();
        until_version(&first, "first", 7);
        let second = settings(Following::edge(&first, "first").named("second"));
        let second = setup(Setup::of(second)).start();
        until_version(&second, "second", 7);
        // The last one in each policy towards what is stale.
        let last = |on_stale: &str| {
            let environment = Following::edge(&second, "second").named(on_stale);
            settings(environment)
                .says("max_staleness = \"1h\"")
                .says(&format!("on_stale = {on_stale:?}"))
        };
        let third = Setup::of(last("mark")).and(last("serve")).and(last("refuse"));
        let third = setup(third).start();
        for name in ["mark", "serve", "refuse"] {
            until_version(&third, name, 7);
        }
        Self { upstream, first, second, third }
    }

    /// Moves all clocks. An edge whose clock moves while it looks takes the rules for older than
    /// they are until it looks again: what is said of ages has to be waited for.
    fn now_is(&self, moment: &str) {
        for edge in [&self.third, &self.second, &self.first] {
            edge.now_is(moment);
        }
    }

    /// The first one loses its upstream.
    fn cut_off(&self) {
        self.upstream.answer("/features", Reply::status(500));
        self.first.until_status("first", |status| status["state"] == "cached");
    }
}

fn until_version(edge: &Edge, name: &str, version: u64) {
    edge.until_status(name, |status| status["state"] == "live" && status["version"] == version);
}

/// Waits for the age that an edge tells servers.
fn until_age(edge: &Edge, name: &str, seconds: u32) -> Answer {
    until("the age", || {
        let reply = edge.secret_of(name).get("/features");
        (reply.header("age") == Some(&*seconds.to_string())).then_some(reply)
    })
}

#[test]
fn a_change_reaches_the_last_edge_under_the_same_version_and_fingerprint() {
    let chain = Chain::start(with_listed);
    chain.upstream.publish(document(8));
    until_version(&chain.third, "mark", 8);
    let fingerprint = |edge: &Edge, name: &str| {
        let reply = edge.secret_of(name).get("/features");
        assert_eq!(served_version(&reply), 8);
        reply.header("burgee-fingerprint").expect("a fingerprint").to_owned()
    };
    assert_eq!(fingerprint(&chain.second, "second"), fingerprint(&chain.third, "mark"));
    let evaluated = |edge: &Edge, name: &str| {
        edge.publishable_of(name).get("/features/evaluated?context.company.id=acme").body
    };
    assert_eq!(evaluated(&chain.third, "mark"), evaluated(&chain.first, "first"));
}

#[test]
fn a_secret_flag_stays_secret_along_the_chain() {
    for settings in [with_listed, with_learning] {
        let chain = Chain::start(settings);
        let all = ["open", "acme-only", "hidden", "since-7"];
        let edges = [(&chain.first, "first"), (&chain.second, "second"), (&chain.third, "mark")];
        for (edge, name) in edges {
            let (publishable, secret) = (edge.publishable_of(name), edge.secret_of(name));
            assert_eq!(
                publishable.get("/features/evaluated").keys(),
                ["open", "acme-only", "since-7"],
                "{name}"
            );
            let enabled = publishable.get("/features/enabled").to_string();
            assert!(!enabled.contains("hidden") && !enabled.contains("treasure"), "{enabled}");
            assert_eq!(secret.get("/features/evaluated").keys(), all, "{name}");
            let definitions = secret.get("/features").json();
            let marks = definitions["features"].as_array().expect("an array");
            let marks: Vec<_> = marks.iter().map(|flag| flag["secret"] == true).collect();
            assert_eq!(marks, [false, false, true, false], "{name}");
        }
    }
}

#[test]
fn a_flag_that_nobody_knows_to_be_public_is_secret_along_the_chain() {
    // Cut off from learning, the first one does not know yet; the others are told what it knows.
    let chain = Chain::start(with_listed);
    chain.upstream.answer("/features/evaluated", Reply::status(500));
    chain.upstream.publish(document(8));
    until_version(&chain.third, "mark", 8);
    let shown = || chain.third.publishable_of("mark").get("/features/evaluated").keys();
    assert_eq!(shown(), ["open", "acme-only"]);
    chain.upstream.recover();
    until("the new flag", || (shown() == ["open", "acme-only", "since-8"]).then_some(()));
}

#[test]
fn an_edge_that_is_not_ready_is_an_upstream_that_fails() {
    let upstream = Upstream::serving(document(7));
    upstream.answer("/features", Reply::status(500));
    let first = Setup::of(Following::upstream(&upstream).named("first")).start();
    let second = Setup::of(with_listed(Following::edge(&first, "first").named("second"))).start();
    let status = second.status("second");
    assert_eq!(status["state"], "empty");
    assert_eq!(status["source"]["last_error"]["kind"], "status_5xx");
    second.secret().get("/features").assert_error(503, "NOT_READY");
}

// Ages.

#[test]
fn ages_add_up() {
    let chain = Chain::start(with_listed);
    chain.now_is("2026-06-01T12:00:10Z");
    for (edge, name) in [(&chain.first, "first"), (&chain.second, "second"), (&chain.third, "mark")]
    {
        // While all is well the rules are confirmed all the time.
        edge.until_status(name, |status| status["last_success_at"] == "2026-06-01T12:00:10.000Z");
        until_age(edge, name, 0);
    }
    chain.cut_off();
    chain.now_is("2026-06-01T12:01:40Z");
    for (edge, name) in [(&chain.first, "first"), (&chain.second, "second"), (&chain.third, "mark")]
    {
        let reply = until_age(edge, name, 90);
        assert_eq!(served_version(&reply), 7);
    }
    // Their own fetches succeed: it is the rules that are old.
    for (edge, name) in [(&chain.second, "second"), (&chain.third, "mark")] {
        edge.until_status(name, |status| {
            status["state"] == "live" && status["age_seconds"] == 90.0
        });
    }
    let Chain { upstream, first, second, third } = chain;
    drop(first);
    second.until_status("second", |status| status["state"] == "cached");
    for edge in [&second, &third] {
        edge.now_is("2026-06-01T12:02:00Z");
    }
    until_age(&second, "second", 110);
    until_age(&third, "mark", 110);
    drop(second);
    third.until_status("mark", |status| status["state"] == "cached");
    third.now_is("2026-06-01T12:02:01Z");
    until_age(&third, "mark", 111);
    drop(upstream);
}

#[test]
fn rules_that_grew_stale_far_away_are_stale_here() {
    let chain = Chain::start(with_listed);
    let until_told = |name: &str, status: u16, state: Option<&str>, age: Option<&str>| {
        let target = "/features/evaluated?context.company.id=acme";
        until("an answer of this kind", || {
            let reply = chain.third.publishable_of(name).get(target);
            let told = (reply.status, reply.header("burgee-state"), reply.header("age"));
            (told == (status, state, age)).then_some(())
        });
    };
    let all = ["mark", "serve", "refuse"];
    chain.cut_off();
    chain.now_is("2026-06-01T13:00:00Z");
    for name in all {
        until_age(&chain.third, name, 3_600);
        // Not above the limit.
        until_told(name, 200, None, None);
        chain.third.until_status(name, |status| status["state"] == "live");
    }
    chain.now_is("2026-06-01T13:00:05Z");
    until_told("mark", 200, Some("stale"), Some("3605"));
    until_told("serve", 200, Some("stale"), None);
    until_told("refuse", 503, None, None);
    for reply in [
        chain.third.publishable_of("refuse").get("/features/evaluated"),
        chain.third.secret_of("refuse").get("/features"),
    ] {
        reply.assert_error(503, "NOT_READY");
        assert!(reply.header("retry-after").is_some(), "{reply}");
    }
    for name in all {
        let status = chain.third.until_status(name, |status| status["age_seconds"] == 3_605.0);
        assert_eq!(status["state"], "stale");
        assert_eq!(status["source"]["last_error"], Value::Null, "its own upstream answers");
    }
    // And well again, all the way.
    chain.upstream.recover();
    for name in all {
        until_age(&chain.third, name, 0);
        until_told(name, 200, None, None);
        chain.third.until_status(name, |status| status["state"] == "live");
    }
}

#[test]
fn an_age_that_the_upstream_does_not_know_is_stale() {
    let chain = Chain::start(with_listed);
    // The first edge's clock goes backwards while it is cut off.
    chain.cut_off();
    chain.first.now_is("2026-06-01T11:00:00Z");
    for name in ["mark", "serve", "refuse"] {
        let status = chain.third.until_status(name, |status| status["age_seconds"].is_null());
        assert_eq!(status["state"], "stale");
    }
    assert_eq!(chain.third.secret_of("mark").get("/features").header("age"), None);
    let reply = chain.third.publishable_of("mark").get("/features/evaluated");
    assert_eq!((reply.status, reply.header("burgee-state")), (200, Some("stale")));
    chain.third.publishable_of("refuse").get("/features/evaluated").assert_error(503, "NOT_READY");
}

// Waiting.

#[test]
fn a_wait_goes_through_the_chain() {
    let long = Duration::from_secs(60);
    let upstream = Upstream::serving(document(7));
    let setup = |environment: Environment| {
        Setup::of(environment).looking_as_configured().patience(long, long)
    };
    // Nothing but waiting brings anything here.
    let first = setup(Following::upstream(&upstream).every("10m").named("first")).start();
    let behind = |edge: &Edge, name: &str, next: &str| {
        setup(with_listed(Following::edge(edge, name).every("10m").named(next))).start()
    };
    let second = behind(&first, "first", "second");
    let third = behind(&second, "second", "third");
    let caller = third.secret();
    let asked = std::thread::spawn(move || caller.get("/features?waitForVersion=8"));
    until("the question at the upstream", || {
        let asked = upstream.requests_to("/features");
        asked.iter().any(|request| request.query("waitForVersion") == Some("8")).then_some(())
    });
    upstream.publish(document(8));
    let reply = asked.join().expect("an answer");
    assert_eq!(served_version(&reply), 8);
    for (edge, name) in [(&first, "first"), (&second, "second"), (&third, "third")] {
        assert_eq!(edge.status(name)["version"], 8);
    }
}

// Streams.

/// Edges that look at each other once in ten minutes, and are told of changes.
#[test]
fn a_change_runs_down_a_chain_of_edges_by_their_streams() {
    let pushed = |following: Following| following.every("10m").pushed();
    let start = |following: Following, name| {
        let environment = with_listed(pushed(following).named(name));
        let edge = Setup::of(environment).looking_as_configured().start();
        edge.until_status(name, |status| status["source"]["stream"] == "connected");
        edge
    };
    let rules = |version| {
        crate::support::rules::document(
            version,
            &[crate::support::rules::on(&format!("since-{version}"))],
        )
    };
    let first = Setup::of(Environment::named("first").holding(rules(7))).start();
    let second = start(Following::edge(&first, "first"), "second");
    let third = start(Following::edge(&second, "second"), "third");
    let mut told = third.publishable_of("third").listen("/sse/client").expect("a stream");
    assert_eq!(told.event().0, "7");
    for version in 8..20 {
        first.replace_rules("first", &rules(version));
        assert_eq!(told.event().0, version.to_string());
        let evaluated = third.publishable_of("third").get("/features/evaluated");
        assert_eq!(served_version(&evaluated), version);
    }
    // The one in the middle ends, and the last one serves on and is told again once it is back.
    drop(second);
    third.until_status("third", |status| status["source"]["stream"] == "disconnected");
    let evaluated = third.publishable_of("third").get("/features/evaluated");
    assert_eq!(served_version(&evaluated), 19);
}
