//! The admin port and the health checks of the public one.

use serde_json::{Value, json};

use crate::support::rules::{document, is, on, when};
use crate::support::wire::{Caller, Connection};
use crate::support::{Edge, Environment, NOW, Setup, at, logged};

/// A flag that no SDK would survive.
fn broken(key: &str) -> Value {
    json!({"key": key, "targeting": {"version": 1}})
}

fn edge() -> Edge {
    Edge::serving(document(7, &[on("open"), when("acme-only", &is("company.id", "acme"))]))
}

// Health on the public port, in Flagsmith's words.

#[test]
fn the_public_port_answers_health_checks_in_flagsmith_s_shape_with_either_slash() {
    let edge = edge();
    for path in ["/health", "/health/readiness", "/proxy/health", "/proxy/health/readiness"] {
        for path in [path.to_owned(), format!("{path}/")] {
            let reply = edge.anonymous().get(&path);
            assert_eq!(reply.status, 200, "{path}");
            let body = reply.json();
            assert_eq!(body["status"], "ok");
            assert_eq!(body["reason"], Value::Null);
            let updated = body["last_successful_update"].as_str().expect("a time");
            assert_eq!(at(updated), at(NOW));
        }
    }
    for path in ["/health/liveness", "/health/liveness/"] {
        let reply = edge.anonymous().get(path);
        assert_eq!((reply.status, reply.json()), (200, json!({"status": "ok"})));
    }
    for path in ["/proxy/health/liveness", "/proxy/health/liveness/"] {
        let reply = edge.anonymous().get(path);
        assert_eq!((reply.status, &*reply.body), (200, &b""[..]), "as the edge proxy has it");
    }
}

#[test]
fn without_data_the_public_port_is_alive_and_not_ready() {
    let edge = Setup::of(Environment::named("shop")).start();
    for path in ["/health", "/health/readiness", "/proxy/health", "/proxy/health/readiness/"] {
        let reply = edge.anonymous().get(path);
        assert_eq!(reply.status, 503);
        let body = reply.json();
        assert_eq!(body["status"], "error");
        assert_eq!(body["reason"], "environment document(s) not updated.");
        assert_eq!(body["last_successful_update"], Value::Null);
    }
    assert_eq!(edge.anonymous().get("/health/liveness").status, 200);
    assert_eq!(edge.anonymous().get("/proxy/health/liveness").status, 200);
}

#[test]
fn the_public_port_is_not_ready_once_every_document_is_stale_and_the_admin_port_still_is() {
    let limited = |name: &str, limit: &str| {
        let environment = Environment::named(name).holding(document(1, &[on("open")]));
        environment.says(&format!("max_staleness = {limit:?}"))
    };
    let edge = Setup::of(limited("hour", "1h"))
        .and(limited("day", "1d"))
        .and(Environment::named("empty"))
        .start();
    for environment in ["hour", "day"] {
        edge.lose_rules(environment);
    }
    let health = |path: &str| {
        let reply = edge.anonymous().get(path);
        (reply.status, reply.json())
    };
    edge.now_is("2026-06-02T12:00:00Z");
    assert_eq!(health("/health").0, 200, "one is not stale");
    edge.now_is("2026-06-02T12:00:00.001Z");
    for path in ["/health", "/health/readiness/", "/proxy/health", "/proxy/health/readiness"] {
        let (status, body) = health(path);
        assert_eq!((status, &body["status"]), (503, &json!("error")), "{path}");
        assert_eq!(body["reason"], "environment document(s) stale.");
        let updated = body["last_successful_update"].as_str().expect("a time");
        assert_eq!(at(updated), at(NOW));
    }
    assert_eq!(health("/health/liveness").0, 200);
    assert_eq!(edge.admin().get("/health/ready").status, 200, "whatever their age");
    edge.replace_rules("hour", &document(1, &[on("open")]));
    edge.until_status("hour", |status| status["state"] == "live");
    assert_eq!(health("/health").0, 200);
}

// Health on the admin port.

#[test]
fn live_depends_on_nothing() {
    let edge = Setup::of(Environment::named("shop")).start();
    assert_eq!(edge.admin().get("/health/live").status, 200);
}

#[test]
fn ready_waits_for_every_environment_or_the_end_of_the_grace() {
    let edge = Setup::of(Environment::named("full").holding(document(1, &[on("open")])))
        .and(Environment::named("empty"))
        .admin("startup_grace = \"30s\"")
        .start();
    let ready = || {
        let reply = edge.admin().get("/health/ready");
        assert_eq!(reply.json()["ready"], reply.status == 200);
        (reply.status, reply.json()["environments"].clone())
    };
    let environments = json!({
        "full": {"ready": true, "state": "live"}, "empty": {"ready": false, "state": "empty"},
    });
    assert_eq!(ready(), (503, environments.clone()));
    edge.now_is("2026-06-01T12:00:29.999Z");
    assert_eq!(ready().0, 503);
    edge.now_is("2026-06-01T12:00:30Z");
    assert_eq!(ready(), (200, environments), "one has data");
    let one = |name: &str| {
        let reply = edge.admin().get(&format!("/health/ready/{name}"));
        (reply.status, reply.json()["ready"].clone(), reply.json()["state"].clone())
    };
    assert_eq!(one("full"), (200, json!(true), json!("live")));
    assert_eq!(one("empty"), (503, json!(false), json!("empty")));
    assert_eq!(edge.admin().get("/health/ready/nope").status, 404);
}

#[test]
fn ready_comes_when_the_last_environment_has_data_and_stays_whatever_its_age() {
    let edge = Setup::of(Environment::named("full").holding(document(1, &[on("open")])))
        .and(Environment::named("late").says("max_staleness = \"1s\"\non_stale = \"refuse\""))
        .start();
    assert_eq!(edge.admin().get("/health/ready").status, 503);
    edge.publish("late", &document(1, &[on("open")]));
    assert_eq!(edge.admin().get("/health/ready").status, 200);
    for environment in ["full", "late"] {
        edge.lose_rules(environment);
    }
    edge.now_is("2027-06-01T12:00:00Z");
    let reply = edge.admin().get("/health/ready");
    assert_eq!(reply.status, 200);
    assert_eq!(
        reply.json()["environments"],
        json!({
            "full": {"ready": true, "state": "cached"}, "late": {"ready": true, "state": "stale"},
        })
    );
    assert_eq!(edge.anonymous().get("/health").status, 200);
}

#[test]
fn an_environment_s_name_may_hold_slashes() {
    let edge =
        Setup::of(Environment::named("shop/eu-1").holding(document(1, &[on("open")]))).start();
    for path in ["/health/ready/shop/eu-1", "/health/ready/shop%2Feu-1"] {
        assert_eq!(edge.admin().get(path).status, 200, "{path}");
    }
    assert_eq!(edge.status("shop/eu-1")["state"], "live");
}

// Status.

#[test]
fn the_status_has_exactly_the_members_that_are_promised() {
    let edge = Setup::of(
        Environment::named("shop")
            .holding(document(7, &[on("open"), broken("bad")]))
            .says("max_staleness = \"90s\""),
    )
    .start();
    let fingerprint =
        edge.secret().get("/features").header("burgee-fingerprint").unwrap().to_owned();
    edge.now_is("2026-06-01T12:00:01.500Z");
    // A look that began before the clock was moved may end after it: the next one is of this moment.
    edge.until_status("shop", |status| {
        status["last_success_at"] == "2026-06-01T12:00:01.500Z" && status["age_seconds"] == 0.0
    });
    let status = edge.admin().get("/status").json();
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(at(status["started_at"].as_str().unwrap()), at(NOW));
    assert_eq!(status["ready"], true);
    assert_eq!(
        status["events"],
        json!({"durable": false, "queued": 0, "oldest_age_seconds": null, "dead_letters": 0})
    );
    let all = status["environments"].as_array().unwrap();
    assert_eq!(all.len(), 1);
    let shop = &all[0];
    assert_eq!(shop["name"], "shop");
    assert_eq!(shop["state"], "live");
    assert_eq!(shop["version"], 7);
    assert_eq!(shop["source_version"], 7);
    assert_eq!(shop["fingerprint"], fingerprint);
    assert_eq!(shop["age_seconds"].as_f64(), Some(0.0));
    assert_eq!(at(shop["last_success_at"].as_str().unwrap()), at("2026-06-01T12:00:01.5Z"));
    assert_eq!(at(shop["last_change_at"].as_str().unwrap()), at(NOW));
    assert_eq!(shop["max_staleness_seconds"], 90);
    let source = &shop["source"];
    assert_eq!(source["type"], "file");
    assert!(source["url"].as_str().unwrap().ends_with("shop.json"));
    assert_eq!(source["stream"], "off");
    assert_eq!(source["consecutive_failures"], 0);
    assert_eq!(source.get("last_error"), Some(&Value::Null));
    assert_eq!(shop["flags"], 1);
    assert_eq!(shop["segments"], 0);
    assert_eq!(shop["identity_overrides"], 0);
    assert_eq!(shop["quarantined"].as_array().unwrap().len(), 1);
    assert_eq!(shop["untranslated"], json!([]));
    assert_eq!(shop["pinned"], false);
}

#[test]
fn an_environment_without_data_is_empty_and_says_why() {
    let edge = Setup::of(Environment::named("shop")).start();
    let status = edge.status("shop");
    assert_eq!(status["state"], "empty");
    assert_eq!(status["source_version"], Value::Null);
    assert_eq!(status["age_seconds"], Value::Null);
    assert_eq!(status["last_success_at"], Value::Null);
    assert_eq!(status["last_change_at"], Value::Null);
    assert_eq!(status["max_staleness_seconds"], Value::Null);
    assert_eq!(status["flags"], 0);
    assert_eq!(status["fingerprint"].as_str().map(str::len), Some(16));
    assert!(status["version"].is_u64());
    let error = &status["source"]["last_error"];
    assert_eq!(at(error["at"].as_str().unwrap()), at(NOW));
    assert_eq!(error["kind"], "network");
    assert!(error["message"].as_str().unwrap().contains("shop.json"));
    assert_eq!(edge.admin().get("/status").json()["ready"], false);
}

#[test]
fn the_state_goes_from_live_to_cached_to_stale_and_back() {
    let rules = document(7, &[on("open")]);
    let edge =
        Setup::of(Environment::named("shop").holding(&*rules).says("max_staleness = \"1h\""))
            .start();
    assert_eq!(edge.status("shop")["state"], "live");
    edge.replace_rules("shop", &rules[..rules.len() - 3]);
    let status = edge.until_status("shop", |status| status["state"] == "cached");
    assert_eq!(status["version"], 7, "what is held is served");
    assert_eq!(status["source"]["last_error"]["kind"], "malformed");
    assert!(status["source"]["last_error"]["message"].as_str().unwrap().contains("shop.json"));
    let failures = |status: &Value| status["source"]["consecutive_failures"].as_u64().unwrap();
    assert!(failures(&status) >= 1);
    edge.until_status("shop", |later| failures(later) > failures(&status));
    edge.now_is("2026-06-01T13:00:01Z");
    let status = edge.status("shop");
    assert_eq!((&status["state"], &status["age_seconds"]), (&json!("stale"), &json!(3601.0)));
    edge.replace_rules("shop", &rules);
    let status = edge.until_status("shop", |status| status["state"] == "live");
    assert_eq!(status["source"]["last_error"], Value::Null);
    assert_eq!(status["source"]["consecutive_failures"], 0);
    assert_eq!(status["version"], 7);
    assert_eq!(at(status["last_change_at"].as_str().unwrap()), at(NOW), "nothing has changed");
}

#[test]
fn a_flag_that_breaks_keeps_its_last_good_form_and_is_named_since_when() {
    let fickle = when("fickle", &is("user.id", "ada"));
    let edge = Edge::serving(document(1, &[on("open"), fickle.clone()]));
    let quarantines = || {
        let is_one = |line: &&str| line.contains("quarantined") && line.contains("fickle");
        logged().lines().filter(is_one).count()
    };
    assert_eq!(edge.status("shop")["quarantined"], json!([]));
    edge.now_is("2026-06-01T12:30:00Z");
    edge.replace_rules("shop", &document(2, &[on("open"), broken("fickle"), broken("unborn")]));
    let named = |status: &Value| {
        let all = status["quarantined"].as_array().unwrap().clone();
        all.iter().map(|q| q["flag"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let status = edge.until_status("shop", |status| !named(status).is_empty());
    assert_eq!(named(&status), ["fickle", "unborn"]);
    for quarantined in status["quarantined"].as_array().unwrap() {
        assert_eq!(at(quarantined["since"].as_str().unwrap()), at("2026-06-01T12:30:00Z"));
        assert!(quarantined["reason"].as_str().unwrap().contains("targeting"));
    }
    assert_eq!(status["state"], "live", "the document as such is good");
    let reply = edge.publishable().get("/features/evaluated?context.user.id=ada");
    assert_eq!(reply.flags()["fickle"]["isEnabled"], true);
    assert_eq!(reply.flags().get("unborn"), None, "it has no good form");
    let definitions = edge.secret().get("/features").json();
    let defined = definitions["features"].as_array().unwrap();
    let defined = defined.iter().find(|flag| flag["key"] == "fickle").expect("the good form");
    assert_eq!(*defined, fickle);
    assert_eq!(edge.metrics().count("burgee_flags_quarantined", &[("environment", "shop")]), 2);

    edge.now_is("2026-06-01T12:45:00Z");
    edge.replace_rules("shop", &document(3, &[on("open"), broken("fickle"), on("new")]));
    let status = edge.until_status("shop", |status| named(status) == ["fickle"]);
    let since = status["quarantined"][0]["since"].as_str().unwrap();
    assert_eq!(at(since), at("2026-06-01T12:30:00Z"), "it is the same trouble");
    assert_eq!(quarantines(), 1, "said once");

    edge.replace_rules("shop", &document(4, &[on("open"), on("fickle"), on("new")]));
    edge.until_status("shop", |status| named(status).is_empty());
    assert_eq!(edge.publishable().get("/features/evaluated").flags()["fickle"]["isEnabled"], true);
    assert_eq!(edge.metrics().count("burgee_flags_quarantined", &[("environment", "shop")]), 0);
}

// Metrics.

#[test]
fn every_request_is_counted_once_under_its_route_and_status() {
    let edge = edge();
    let mut session = edge.publishable().connect();
    for _ in 0..25 {
        session.get("/features/evaluated?context.company.id=acme");
    }
    for _ in 0..7 {
        edge.publishable().get("/features/evaluated/");
    }
    for _ in 0..3 {
        edge.secret().get("/features");
        edge.anonymous().get("/features");
        session.get("/features/enabled?contextJson=nope");
        session.post("/bulk", r#"[{"type":"user"}]"#);
        edge.anonymous().get("/nope/with-an-id-4711");
        edge.anonymous().get("/api/v1/identities/4711");
        edge.anonymous().get("/ofrep/v1/4711");
        edge.anonymous().get("/health");
        edge.anonymous().preflight("https://app.example", "POST", "/bulk");
    }
    let tag = edge.secret().get("/features").etag();
    edge.secret().with("If-None-Match", &tag).get("/features");
    edge.secret().ask("HEAD", "/features/enabled", "");
    let metrics = edge.metrics();
    let count = |dialect, route, status| {
        let labels = [("dialect", dialect), ("route", route), ("status", status)];
        metrics.count("burgee_http_requests_total", &labels)
    };
    assert_eq!(count("reflag", "/features/evaluated", "200"), 32);
    assert_eq!(count("reflag", "/features", "200"), 4);
    assert_eq!(count("reflag", "/features", "304"), 1);
    assert_eq!(count("reflag", "/features", "403"), 3);
    assert_eq!(count("reflag", "/features/enabled", "400"), 3);
    assert_eq!(count("reflag", "/features/enabled", "200"), 1);
    assert_eq!(count("reflag", "/bulk", "200"), 3);
    assert_eq!(count("reflag", "/bulk", "204"), 3);
    assert_eq!(count("reflag", "other", "404"), 3);
    assert_eq!(count("flagsmith", "other", "404"), 3);
    assert_eq!(count("ofrep", "other", "404"), 3);
    assert_eq!(metrics.count("burgee_http_requests_total", &[("route", "/health")]), 3);
    assert_eq!(metrics.labels("burgee_http_requests_total"), ["dialect", "route", "status"]);
    let all = metrics.count("burgee_http_requests_total", &[]);
    assert_eq!(all, 25 + 7 + 9 * 3 + 3);
    assert_eq!(metrics.count("burgee_http_request_duration_seconds_count", &[]), all);
    let evaluated = [("environment", "shop"), ("dialect", "reflag")];
    assert_eq!(metrics.count("burgee_evaluations_total", &evaluated), 33);
    assert_eq!(metrics.count("burgee_rejections_total", &[("reason", "unknown_path")]), 9);
    assert_eq!(metrics.count("burgee_rejections_total", &[("reason", "unknown_key")]), 3);
    assert!(!edge.admin().get("/metrics").text().contains("4711"), "no part of a path is a label");
}

#[test]
fn requests_from_many_connections_are_all_counted() {
    let edge = edge();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut session = edge.publishable().connect();
                for _ in 0..250 {
                    assert_eq!(session.get("/features/evaluated").status, 200);
                }
            });
        }
    });
    let labels = [("dialect", "reflag"), ("route", "/features/evaluated"), ("status", "200")];
    assert_eq!(edge.metrics().count("burgee_http_requests_total", &labels), 2_000);
}

#[test]
fn durations_fall_into_the_buckets_that_are_promised() {
    let edge = edge();
    for _ in 0..10 {
        edge.publishable().get("/features/evaluated");
    }
    let metrics = edge.metrics();
    let route = ("route", "/features/evaluated");
    let bucket = |bound: &str| {
        let labels = [("dialect", "reflag"), route, ("le", bound)];
        metrics.find("burgee_http_request_duration_seconds_bucket", &labels)
    };
    let bounds = [
        "0.000025", "0.00005", "0.0001", "0.00025", "0.0005", "0.001", "0.0025", "0.005", "0.01",
        "0.025", "0.1", "1", "10", "+Inf",
    ];
    let counts: Vec<f64> =
        bounds.iter().map(|bound| bucket(bound).unwrap_or_else(|| panic!("{bound}"))).collect();
    assert!(counts.is_sorted());
    assert_eq!(counts.last(), Some(&10.0));
    let all =
        metrics.count("burgee_http_request_duration_seconds_bucket", &[route, ("le", "+Inf")]);
    assert_eq!(all, 10);
    let sum = metrics.find("burgee_http_request_duration_seconds_sum", &[route]).unwrap();
    assert!(sum > 0.0 && sum < 10.0, "{sum}");
}

#[test]
fn the_metrics_tell_the_state_of_each_environment() {
    let edge = Setup::of(
        Environment::named("full")
            .holding(document(7, &[on("open"), broken("bad")]))
            .says("max_staleness = \"1h\""),
    )
    .and(Environment::named("empty"))
    .start();
    let text = edge.admin().get("/metrics");
    assert!(text.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
    let metrics = edge.metrics();
    let value = |name, environment| metrics.find(name, &[("environment", environment)]);
    for (environment, state) in [("full", "live"), ("empty", "empty")] {
        for possible in ["live", "cached", "stale", "empty", "unauthorized"] {
            let labels = [("environment", environment), ("state", possible)];
            let expected = if possible == state { 1.0 } else { 0.0 };
            assert_eq!(metrics.find("burgee_environment_state", &labels), Some(expected));
        }
    }
    assert_eq!(value("burgee_snapshot_version", "full"), Some(7.0));
    assert_eq!(value("burgee_snapshot_flags", "full"), Some(1.0));
    assert_eq!(value("burgee_flags_quarantined", "full"), Some(1.0));
    assert_eq!(value("burgee_snapshot_age_seconds", "full"), Some(0.0));
    let fingerprint = edge.status("full")["fingerprint"].as_str().unwrap().to_owned();
    let low = u64::from_str_radix(&fingerprint[4..], 16).unwrap();
    assert_eq!(metrics.count("burgee_snapshot_fingerprint", &[("environment", "full")]), low);
    let last = value("burgee_source_last_success_timestamp_seconds", "full").unwrap();
    assert_eq!(format!("{last:.3}"), format!("{}.000", at(NOW).0 / 1_000));
    assert!(value("burgee_source_fetch_duration_seconds_count", "full").unwrap() >= 1.0);
    let outcome = |environment, outcome| {
        let labels = [("environment", environment), ("outcome", outcome)];
        metrics.count("burgee_source_fetches_total", &labels)
    };
    assert_eq!(outcome("full", "changed"), 1);
    assert!(outcome("empty", "network") >= 1);
    assert_eq!(outcome("empty", "changed"), 0);
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    assert_eq!(metrics.find("burgee_build_info", &version), Some(1.0));
    assert_eq!(metrics.labels("burgee_build_info"), ["revision", "version"]);
    assert!(metrics.find("process_resident_memory_bytes", &[]).unwrap() > 0.0);
}

// Access.

#[test]
fn status_and_explain_answer_only_when_this_machine_is_meant() {
    let edge = edge();
    let question = r#"{"environment":"shop","context":{}}"#;
    let ask = |host: &str| {
        let caller = edge.admin().with("Host", host).with("Content-Type", "application/json");
        [caller.get("/status").status, caller.post("/explain", question).status]
    };
    let port = edge.admin.port();
    for host in ["localhost", "LOCALHOST", "127.0.0.1", "[::1]", "10.1.2.3"] {
        assert_eq!(ask(host), [200, 200], "{host}");
        assert_eq!(ask(&format!("{host}:{port}")), [200, 200], "{host}:{port}");
    }
    for host in [
        "evil.example",
        "evil.example:80",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "127.0.0.1:80@evil.example",
    ] {
        assert_eq!(ask(host), [403, 403], "{host}");
        let caller = edge.admin().with("Host", host);
        assert_eq!(caller.get("/health/live").status, 200, "health is open");
        assert_eq!(caller.get("/metrics").status, 200, "metrics are open");
    }
}

#[test]
fn no_page_may_read_the_admin_port() {
    let edge = edge();
    let page = edge.admin().with("Origin", "https://evil.example");
    for reply in [
        page.get("/status"),
        page.get("/health/live"),
        page.get("/metrics"),
        page.preflight("https://evil.example", "POST", "/explain"),
    ] {
        assert!(!reply.to_string().to_ascii_lowercase().contains("access-control"), "{reply}");
    }
}

#[test]
fn a_token_opens_the_port_under_any_name_and_a_wrong_one_does_not() {
    let edge = Setup::of(Environment::named("shop").holding(document(1, &[on("open")])))
        .admin("token = \"0123456789abcdef\"")
        .start();
    let named = edge.admin().with("Host", "burgee.internal");
    assert_eq!(named.clone().bearer("0123456789abcdef").get("/status").status, 200);
    for wrong in ["0123456789abcdeF", "0123456789abcde", "0123456789abcdef0"] {
        let status = named.clone().bearer(wrong).get("/status").status;
        assert!(matches!(status, 401 | 403), "{status}");
    }
    assert_eq!(edge.admin().get("/status").status, 200, "this machine needs none");
    assert_eq!(named.get("/health/ready").status, 200);
}

#[test]
fn explain_takes_json_only() {
    let edge = edge();
    let question = r#"{"environment":"shop","context":{}}"#;
    let ask = |caller: Caller| caller.post("/explain", question).status;
    assert_eq!(ask(edge.admin()), 415);
    for other in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""] {
        assert_eq!(ask(edge.admin().with("Content-Type", other)), 415, "{other}");
    }
    for json in ["application/json", "application/json; charset=utf-8", "Application/JSON"] {
        assert_eq!(ask(edge.admin().with("Content-Type", json)), 200, "{json}");
    }
}

#[test]
fn what_is_not_there_and_what_is_not_allowed_is_said_in_json() {
    let edge = edge();
    for path in ["/nope", "/features", "/status/more", "/health"] {
        let reply = edge.admin().get(path);
        assert_eq!(reply.status, 404, "{path}");
        assert!(reply.json().is_object());
    }
    for (method, path) in
        [("POST", "/status"), ("DELETE", "/metrics"), ("POST", "/health/live"), ("GET", "/explain")]
    {
        let reply = edge.admin().ask(method, path, "");
        assert_eq!(reply.status, 405, "{method} {path}");
        let allowed = reply.header("allow").expect("Allow");
        assert!(!allowed.split(", ").any(|allowed| allowed == method), "{method}: {allowed}");
        assert!(reply.json().is_object());
    }
    for path in ["/health/live/", "/health/ready/", "/metrics/", "/status/"] {
        assert_eq!(edge.admin().get(path).status, 200, "{path}");
    }
    for path in ["/health/live", "/metrics", "/status"] {
        let reply = edge.admin().ask("HEAD", path, "");
        assert_eq!((reply.status, reply.body.len()), (200, 0));
    }
}

#[test]
fn the_admin_port_survives_what_is_no_http() {
    let edge = edge();
    let mut connection = Connection::open(edge.admin);
    connection.write("nonsense\r\n\r\n");
    connection.bytes_until_closed();
    assert_eq!(edge.admin().get("/health/live").status, 200);
}
