//! Event streams on the origin's port, and an edge in another server that follows one.

use serde_json::{Value, json};

use crate::scene::{Scene, good};
use crate::support::events::{Block, Events};
use crate::support::wire::Caller;
use crate::support::{Environment, Setup};

/// The version that an event of Reflag's tells.
#[track_caller]
fn version(stream: &mut Events) -> u64 {
    let (id, name, data) = stream.event();
    assert_eq!(name, "message");
    let envelope: Value = serde_json::from_str(&data).unwrap();
    assert_eq!(envelope["name"], "flags-updated");
    let told: Value = serde_json::from_str(envelope["data"].as_str().unwrap()).unwrap();
    let told = told["flagStateVersion"].as_u64().unwrap();
    assert_eq!(id, told.to_string());
    told
}

fn listen(scene: &Scene, key: &str, target: &str) -> Events {
    Caller::of(scene.origin).bearer(key).listen(target).unwrap()
}

/// Switches a flag on or off for a company, and gives the version of that.
fn switch(scene: &Scene, environment: &str, on: bool) -> u64 {
    let path = scene.path(&format!("/envs/{environment}/companies/acme-corp/flags"));
    let value = if on { json!(true) } else { json!(null) };
    let updates = json!({"updates": [{"flagKey": "search-v2", "specificTargetValue": value}]});
    scene.call("PATCH", &path, &updates)["flagStateVersion"].as_u64().unwrap()
}

#[test]
fn a_stream_tells_the_present_version_at_once_and_each_change() {
    let scene = Scene::start();
    let (publishable, secret) = scene.sdk_keys("Production");
    let environment = scene.environment("Production");
    let known = good(&scene.holding(&secret).get("/features"))["flagStateVersion"].clone();
    let mut streams = [
        listen(&scene, &secret, "/sse/server"),
        listen(&scene, &secret, "/sse/client/"),
        listen(&scene, &publishable, "/sse/client"),
        Caller::of(scene.origin)
            .listen(&format!("/sse/client?publishableKey={publishable}&context=%7B%7D"))
            .unwrap(),
    ];
    for stream in &mut streams {
        assert_eq!(stream.head.header("content-type"), Some("text/event-stream"));
        assert_eq!(stream.head.header("cache-control"), Some("no-cache, no-transform"));
        assert_eq!(stream.head.header("x-accel-buffering"), Some("no"));
        assert_eq!(json!(version(stream)), known);
    }
    for on in [true, false, true] {
        let raised = switch(&scene, &environment, on);
        for stream in &mut streams {
            assert_eq!(version(stream), raised);
        }
    }
    // What happens elsewhere is no news here.
    switch(&scene, &scene.environment("Staging"), true);
    let raised = switch(&scene, &environment, false);
    for stream in &mut streams {
        assert_eq!(version(stream), raised);
    }
}

#[test]
fn a_key_that_is_replaced_without_grace_ends_its_streams_and_no_others() {
    let scene = Scene::start();
    let (publishable, secret) = scene.sdk_keys("Production");
    let environment = scene.environment("Production");
    let mut ends = listen(&scene, &secret, "/sse/server");
    let mut stays = listen(&scene, &publishable, "/sse/client");
    let known = version(&mut ends);
    assert_eq!(version(&mut stays), known);
    let path = scene.own_path(&format!("/environments/{environment}/keys/secret/rotate"));
    scene.call("POST", &path, &json!({"graceSeconds": 0}));
    let said = ends.until_end();
    assert!(matches!(said[..], [Block::Retry(1_000..5_000)]), "{said:?}");
    let refused = Caller::of(scene.origin).bearer(&secret).listen("/sse/server").unwrap_err();
    refused.assert_error(403, "INVALID_API_KEY");
    let raised = switch(&scene, &environment, true);
    assert_eq!(version(&mut stays), raised);
}

#[test]
fn a_stream_ends_with_the_grace_of_its_key_and_with_its_environment() {
    let scene = Scene::start();
    let (_, secret) = scene.sdk_keys("Staging");
    let environment = scene.environment("Staging");
    let keys = scene.own_path(&format!("/environments/{environment}/keys/secret/rotate"));
    let mut old = listen(&scene, &secret, "/sse/server");
    version(&mut old);
    let new = scene.call("POST", &keys, &json!({"graceSeconds": 1}))["key"].clone();
    let mut new = listen(&scene, new.as_str().unwrap(), "/sse/server");
    version(&mut new);
    assert!(matches!(old.until_end()[..], [Block::Retry(_)]));
    scene.call("DELETE", &scene.own_path(&format!("/environments/{environment}")), &json!({}));
    assert!(matches!(new.until_end()[..], [Block::Retry(_)]));
}

#[test]
fn who_may_not_listen_is_told_why() {
    let scene = Scene::start();
    let (publishable, secret) = scene.sdk_keys("Production");
    let anybody = Caller::of(scene.origin);
    let at = |key: &str| anybody.clone().bearer(key);
    at(&publishable).get("/sse/server").assert_error(403, "FORBIDDEN_KEY");
    for path in ["/sse/server", "/sse/client"] {
        anybody.get(path).assert_error(403, "INVALID_API_KEY");
        at("sec_nobody").get(path).assert_error(403, "INVALID_API_KEY");
        at(&scene.key).get(path).assert_error(403, "INVALID_API_KEY");
        let in_query = anybody.get(&format!("{path}?publishableKey={secret}"));
        in_query.assert_error(403, "FORBIDDEN_KEY");
        let posted = at(&secret).post(path, "");
        assert_eq!((posted.status, posted.header("allow")), (405, Some("GET, HEAD")));
        let head = at(&secret).ask("HEAD", path, "");
        assert_eq!((head.status, head.header("content-type")), (200, Some("text/event-stream")));
    }
}

#[test]
fn one_stream_too_many_is_refused_and_counted_and_calls_are_answered_all_the_same() {
    let scene = Scene::start();
    let (_, secret) = scene.sdk_keys("Production");
    let mut streams: Vec<_> = (0..128).map(|_| listen(&scene, &secret, "/sse/server")).collect();
    let refused = scene.holding(&secret).get("/sse/server");
    refused.assert_error(503, "OVERLOADED");
    let seconds: u32 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((5..30).contains(&seconds), "{seconds}");
    let metrics = Caller::of(scene.admin).get("/metrics").text();
    assert!(metrics.contains("burgee_bounded_dropped_total{what=\"origin_streams\"} 1\n"));
    let raised = switch(&scene, &scene.environment("Production"), true);
    for stream in &mut streams {
        while version(stream) < raised {}
    }
}

#[test]
fn an_edge_elsewhere_serves_a_change_without_a_poll() {
    let scene = Scene::start();
    let (publishable, secret) = scene.sdk_keys("Production");
    let environment = scene.environment("Production");
    let source = format!(
        "type = \"reflag\"\nurl = \"http://{}\"\nsecret_key = {secret:?}\n\
         upstream_publishable_key = {publishable:?}\npoll_interval = \"10m\"\npush = true",
        scene.origin
    );
    let edge = Setup::of(Environment::named("shop").source(source)).looking_as_configured().start();
    let source = edge.until_status("shop", |status| status["source"]["stream"] == "connected");
    assert_eq!(source["source"]["stream_error"], Value::Null);
    for on in [true, false, true] {
        let raised = switch(&scene, &environment, on);
        edge.until_status("shop", |status| status["version"] == raised);
        let answer = edge.publishable().get("/features/evaluated?context.company.id=acme-corp");
        assert_eq!(good(&answer)["features"]["search-v2"]["isEnabled"], on);
    }
}
