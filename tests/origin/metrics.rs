//! What the origin counts, as it is scraped from the admin port.

use std::time::Duration;

use burgee::time::Stopwatch;
use serde_json::json;

use crate::scene::{Scene, api_key, good};
use crate::support::{until, wire::Caller};

/// The metrics of a moment.
struct Scraped(String);

impl Scraped {
    fn of(scene: &Scene) -> Self {
        Self(Caller::of(scene.admin).get("/metrics").text())
    }

    /// The value of a sample; none when there is none.
    fn value(&self, sample: &str) -> Option<f64> {
        let value = self.0.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '))?;
        Some(value.parse().unwrap())
    }

    #[track_caller]
    fn count(&self, sample: &str) -> u64 {
        let value = self.value(sample).unwrap_or_else(|| panic!("no {sample} in {}", self.0));
        assert!(value.fract() == 0.0 && value >= 0.0);
        format!("{value}").parse().unwrap()
    }

    fn answered(&self, route: &str, status: u16) -> u64 {
        let sample = format!(
            "burgee_http_requests_total{{dialect=\"origin\",route=\"{route}\",status=\"{status}\"}}"
        );
        self.value(&sample).map_or(0, |_| self.count(&sample))
    }

    #[track_caller]
    fn rejected(&self, reason: &str) -> u64 {
        self.count(&format!("burgee_rejections_total{{dialect=\"origin\",reason=\"{reason}\"}}"))
    }
}

#[test]
fn requests_are_counted_by_the_template_of_their_route_and_refusals_by_reason() {
    let scene = Scene::start();
    let (publishable, secret) = scene.sdk_keys("Production");
    let reader = api_key(&scene.database(), &scene.app, &[]);
    let before = Scraped::of(&scene);
    for reason in ["unknown_key", "scope_missing", "not_possible", "secret_in_url", "overloaded"] {
        assert_eq!(before.rejected(reason), 0, "{reason}: shown before it happens");
    }
    let environment = scene.environment("Production");
    let company = scene.path(&format!("/envs/{environment}/companies/acme-corp/flags"));
    let caller = scene.admin_key();
    for (caller, method, path, body, status) in [
        (&caller, "GET", &*company, "", 200),
        (&caller, "HEAD", &*company, "", 200),
        (&caller, "PATCH", &*company, "{}", 400),
        (&caller, "DELETE", &*company, "", 405),
        (&scene.holding(&reader), "PATCH", &*company, "{}", 403),
        (&scene.holding("api_nobody"), "GET", &*company, "", 401),
        (&caller, "GET", &*company.replace(scene.app.as_str(), "ap000000000000"), "", 404),
        (&caller, "GET", "/api/nothing/acme-corp", "", 404),
        (&scene.holding(&secret), "GET", "/features", "", 200),
        (&scene.holding(&publishable), "GET", "/features/", "", 403),
        (&scene.holding(&publishable), "POST", "/user", "{}", 400),
        (&scene.holding(&publishable), "POST", "/feedback", "{}", 503),
        (&scene.holding(&secret), "HEAD", "/sse/server", "", 200),
        (&scene.holding(&publishable), "GET", "/sse/server", "", 403),
        (&caller, "GET", "/nothing/acme-corp", "", 404),
        (&caller, "GET", "/openapi.json", "", 200),
    ] {
        assert_eq!(caller.ask(method, path, body).status, status, "{method} {path}");
    }
    let scraped = Scraped::of(&scene);
    let flags = "/api/apps/{appId}/envs/{envId}/companies/{companyId}/flags";
    for (route, status, count) in [
        (flags, 200, 2),
        (flags, 400, 1),
        (flags, 401, 1),
        (flags, 403, 1),
        (flags, 404, 1),
        (flags, 405, 1),
        ("other", 404, 2),
        ("/features", 200, 1),
        ("/features", 403, 1),
        ("/user", 400, 1),
        ("/feedback", 503, 1),
        ("/openapi.json", 200, 1),
        ("/sse/server", 200, 1),
        ("/sse/server", 403, 1),
    ] {
        assert_eq!(scraped.answered(route, status), count, "{route} {status}");
    }
    let durations = format!("_count{{dialect=\"origin\",route=\"{flags}\"}}");
    assert_eq!(scraped.count(&format!("burgee_http_request_duration_seconds{durations}")), 7);
    let opened = "_count{dialect=\"origin\",route=\"/sse/server\"}";
    let opened = scraped.count(&format!("burgee_http_request_duration_seconds{opened}"));
    assert_eq!(opened, 1, "how long a stream lasts is no time of a request");
    for (reason, count) in [
        ("unknown_key", 1),
        ("scope_missing", 1),
        ("method", 1),
        ("not_found", 1),
        ("unknown_path", 2),
        ("invalid", 2),
        ("secret_required", 2),
        ("not_forwarded", 1),
    ] {
        assert_eq!(scraped.rejected(reason), count, "{reason}");
    }
    // Nobody asked the public port.
    assert!(!scraped.0.contains("dialect=\"reflag\",route=\"/features\""), "{}", scraped.0);
    for text in ["acme-corp", scene.app.as_str(), &environment, &scene.key, &secret, &publishable] {
        assert!(!scraped.0.contains(text), "{text} is in {}", scraped.0);
    }
}

#[test]
fn writes_are_counted_with_their_time_and_the_database_with_its_size() {
    let scene = Scene::start();
    // The use of a key is written too, once a minute.
    scene.get("/api/apps");
    let done = "burgee_origin_writes_total{outcome=\"done\"}";
    let before = until("the use of the key", || {
        Some(Scraped::of(&scene)).filter(|scraped| scraped.count(done) == 1)
    });
    let took = "burgee_origin_write_duration_seconds_count";
    let refused = "burgee_origin_writes_total{outcome=\"refused\"}";
    let failed = "burgee_origin_writes_total{outcome=\"failed\"}";
    assert_eq!((before.count(refused), before.count(failed), before.count(took)), (0, 0, 1));
    let body = json!({"key": "gift-cards", "name": "Gift cards"});
    scene.call("POST", &scene.path("/flags"), &body);
    let again = scene.admin_key().post(&scene.path("/flags"), body.to_string());
    assert_eq!(again.status, 400, "the key is taken");
    // What cannot be read never comes as far as the database.
    assert_eq!(scene.admin_key().post(&scene.path("/flags"), "{").status, 400);
    let after = Scraped::of(&scene);
    let counts = [done, refused, failed, took].map(|sample| after.count(sample));
    assert_eq!(counts, [2, 1, 0, 3]);
    assert!(after.value("burgee_origin_write_duration_seconds_sum").unwrap() > 0.0);
    assert!(after.count("burgee_origin_database_bytes") > 10_000);
    assert_eq!(after.count("burgee_bounded_dropped_total{what=\"origin_writes\"}"), 0);
    for what in ["origin_connections", "origin_streams"] {
        assert_eq!(after.count(&format!("burgee_bounded_dropped_total{{what=\"{what}\"}}")), 0);
    }
}

#[test]
fn waiting_for_a_version_is_not_part_of_a_requests_duration() {
    let scene = Scene::start();
    let (_, secret) = scene.sdk_keys("Production");
    let server = Caller::of(scene.origin).bearer(&secret);
    let version = good(&server.get("/features"))["flagStateVersion"].as_u64().unwrap();
    let sum = "burgee_http_request_duration_seconds_sum{dialect=\"origin\",route=\"/features\"}";
    let before = Scraped::of(&scene).value(sum).unwrap();
    let watch = Stopwatch::start();
    let target = format!("/features?waitForVersion={}", version + 1);
    let waiting = std::thread::spawn(move || server.get(&target));
    until("a while", || (watch.elapsed() > Duration::from_millis(500)).then_some(()));
    scene.call("PATCH", &scene.path("/flags/search-v2"), &json!({"secret": true}));
    assert_eq!(good(&waiting.join().unwrap())["flagStateVersion"], version + 1);
    let took = Scraped::of(&scene).value(sum).unwrap() - before;
    assert!(took < 0.4, "{took} s, most of which was waited");
}

#[test]
fn without_an_origin_nothing_is_said_of_one() {
    let rules = crate::support::rules::document(1, &[]);
    let metrics = crate::support::Edge::serving(rules).admin().get("/metrics").text();
    assert!(!metrics.contains("origin"), "{metrics}");
}
