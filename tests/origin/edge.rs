//! The edge in the same process, and SDK paths on the origin's own port.

use std::time::Duration;

use burgee::time::Stopwatch;
use serde_json::{Value, json};

use crate::scene::{Scene, good};
use crate::support::{until, wire::Caller};

fn evaluated(scene: &Scene, key: &str, rest: &str) -> Value {
    let caller = Caller::of(scene.edge).bearer(key);
    caller.get(&format!("/features/evaluated?context.company.id=acme-corp{rest}")).json()
}

fn is_on(answer: &Value, flag: &str) -> bool {
    answer["features"][flag]["isEnabled"] == true
}

fn ready(scene: &Scene, key: &str) {
    let caller = Caller::of(scene.edge).bearer(key);
    until("the first rules", || (caller.get("/features/evaluated").status == 200).then_some(()));
}

#[test]
fn a_change_at_the_origin_is_evaluated_at_the_edge_that_waits_for_its_version() {
    let scene = Scene::start();
    let (publishable, secret) = scene.sdk_keys("Production");
    ready(&scene, &publishable);
    let environment = scene.environment("Production");
    assert!(!is_on(&evaluated(&scene, &publishable, ""), "new-checkout-flow"));
    let path = scene.path(&format!("/envs/{environment}/companies/acme-corp/flags"));
    for (value, on) in [(json!(true), true), (json!(null), false), (json!(true), true)] {
        let updates =
            json!({"updates": [{"flagKey": "new-checkout-flow", "specificTargetValue": value}]});
        let version = scene.call("PATCH", &path, &updates)["flagStateVersion"].as_u64().unwrap();
        for key in [&publishable, &secret] {
            let answer = evaluated(&scene, key, &format!("&waitForVersion={version}"));
            assert_eq!(
                (answer["flagStateVersion"].as_u64(), is_on(&answer, "new-checkout-flow")),
                (Some(version), on)
            );
        }
    }
}

#[test]
fn whoever_waits_for_a_version_is_never_answered_by_the_one_before() {
    let scene = Scene::start();
    let (publishable, _) = scene.sdk_keys("Production");
    ready(&scene, &publishable);
    let environment = scene.environment("Production");
    let path = scene.path(&format!("/envs/{environment}/companies/acme-corp/flags"));
    let mut origin = scene.admin_key().connect();
    let mut edge = Caller::of(scene.edge).bearer(&publishable).connect();
    for round in 0..500 {
        let value = if round % 2 == 0 { json!(true) } else { json!(null) };
        let updates = json!({"updates": [{"flagKey": "search-v2", "specificTargetValue": value}]});
        let changed = good(&origin.ask("PATCH", &path, updates.to_string()));
        let version = changed["flagStateVersion"].as_u64().unwrap();
        let target =
            format!("/features/evaluated?context.company.id=acme-corp&waitForVersion={version}");
        let answer = good(&edge.get(&target));
        assert!(answer["flagStateVersion"].as_u64().unwrap() >= version, "round {round}: {answer}");
        assert_eq!(is_on(&answer, "search-v2"), round % 2 == 0, "round {round}: {answer}");
    }
}

#[test]
fn a_change_is_told_and_not_polled_for() {
    let scene = Scene::start();
    let (publishable, _) = scene.sdk_keys("Production");
    ready(&scene, &publishable);
    let environment = scene.environment("Production");
    let path = scene.path(&format!("/flags/specific-targets/{environment}"));
    let mut fastest = Duration::MAX;
    for round in 0..10 {
        let value = if round % 2 == 0 { json!(true) } else { json!(null) };
        let update = json!({"flagKey": "search-v2", "value": value, "companyId": "acme-corp"});
        scene.call("PATCH", &path, &json!({"updates": [update]}));
        let watch = Stopwatch::start();
        until("the change at the edge", || {
            (is_on(&evaluated(&scene, &publishable, ""), "search-v2") == (round % 2 == 0))
                .then_some(())
        });
        fastest = fastest.min(watch.elapsed());
    }
    // Each round but the first begins where a poll would just have ended. One that is fast is proof
    // enough, and a busy machine makes some slow.
    assert!(fastest < Duration::from_millis(700), "polls are a second apart: {fastest:?}");
}

#[test]
fn a_secret_flag_is_seen_by_secret_keys_only_at_both_ports() {
    let scene = Scene::start();
    let (publishable, secret) = scene.sdk_keys("Production");
    ready(&scene, &publishable);
    let changed = scene.call("PATCH", &scene.path("/flags/search-v2"), &json!({"secret": true}));
    let version = &changed["flagStateVersions"][scene.environment("Production")];
    for port in [scene.edge, scene.origin] {
        let path = format!("/features/evaluated?waitForVersion={version}");
        let seen = |key: &str| good(&Caller::of(port).bearer(key).get(&path))["features"].clone();
        assert!(seen(&publishable).get("search-v2").is_none());
        assert!(seen(&secret).get("search-v2").is_some());
    }
}

#[test]
fn rotated_keys_overlap_at_the_edge() {
    let scene = Scene::start();
    let (publishable, secret) = scene.sdk_keys("Production");
    ready(&scene, &publishable);
    let keys = scene.own_path(&format!("/environments/{}/keys", scene.environment("Production")));
    let status = |key: &str| Caller::of(scene.edge).bearer(key).get("/features/evaluated").status;
    let kept = scene.call("POST", &format!("{keys}/secret/rotate"), &json!({"graceSeconds": 3600}));
    let kept = kept["key"].as_str().unwrap();
    until("the new secret key", || (status(kept) == 200).then_some(()));
    assert_eq!(status(&secret), 200, "the old one holds yet");
    let gone =
        scene.call("POST", &format!("{keys}/publishable/rotate"), &json!({"graceSeconds": 0}));
    until("the end of the old publishable key", || (status(&publishable) == 403).then_some(()));
    assert_eq!(status(gone["key"].as_str().unwrap()), 200);
    let short = scene.call("POST", &format!("{keys}/secret/rotate"), &json!({"graceSeconds": 1}));
    until("the new secret key", || (status(short["key"].as_str().unwrap()) == 200).then_some(()));
    until("the end of the grace", || (status(kept) == 403).then_some(()));
    until("the end of the older key", || (status(&secret) == 403).then_some(()));
}

#[test]
fn an_origin_needs_no_environment_beside_it() {
    let scene = Scene::alone();
    let (publishable, secret) = scene.sdk_keys("Production");
    let admin = Caller::of(scene.admin);
    assert_eq!(good(&admin.get("/health/ready"))["ready"], true);
    let edge = Caller::of(scene.edge).bearer(&publishable);
    edge.get("/features/evaluated").assert_error(403, "INVALID_API_KEY");
    good(&scene.holding(&secret).get("/features"));
}

#[test]
fn an_environment_that_is_renamed_is_followed_all_the_same() {
    let scene = Scene::start();
    let (publishable, _) = scene.sdk_keys("Production");
    ready(&scene, &publishable);
    let environment = scene.environment("Production");
    // The API renames everything but production and apps.
    let database = rusqlite::Connection::open(scene.database()).unwrap();
    database.execute_batch("UPDATE environment SET name = 'Live' WHERE is_production; UPDATE app SET name = 'Store'").unwrap();
    let path = scene.path(&format!("/envs/{environment}/companies/acme/flags"));
    let update = json!({"flagKey": "search-v2", "specificTargetValue": true});
    let changed = scene.call("PATCH", &path, &json!({"updates": [update]}));
    let path = format!(
        "/features/evaluated?context.company.id=acme&waitForVersion={}",
        changed["flagStateVersion"]
    );
    let answer = good(&Caller::of(scene.edge).bearer(&publishable).get(&path));
    assert_eq!(answer["flagStateVersion"], changed["flagStateVersion"]);
}

#[test]
fn the_origins_port_answers_sdks_as_the_hosted_service_does() {
    let scene = Scene::start();
    let (publishable, secret) = scene.sdk_keys("Staging");
    let environment = scene.environment("Staging");
    let at = |key: &str| Caller::of(scene.origin).bearer(key);
    let path = scene.own_path(&format!("/flags/search-v2/targeting/{environment}"));
    let config = json!({"default": "small", "companies": {"acme-corp": "large"}});
    let changed =
        scene.call("PATCH", &path, &json!({"companyIds": ["acme-corp"], "config": config}));
    let definitions = at(&secret).get("/features");
    let document = good(&definitions);
    assert_eq!(
        (&document["success"], &document["flagStateVersion"]),
        (&json!(true), &changed["flagStateVersion"])
    );
    assert_eq!(
        document["features"][1]["targeting"]["rules"][0]["filter"]["values"],
        json!(["acme-corp"])
    );
    let etag = definitions.header("etag").unwrap();
    assert_eq!(at(&secret).with("If-None-Match", etag).get("/features").status, 304);
    assert_eq!(at(&publishable).get("/features").status, 403);
    assert_eq!(at("pub_nobody").get("/features/evaluated").status, 403);
    assert_eq!(at(&scene.key).get("/features").status, 403, "an API key is no SDK key");
    let query = "/features/evaluated?context.company.id=acme-corp";
    let answer = good(&at(&publishable).get(query));
    assert_eq!(
        answer["features"]["search-v2"]["config"]["payload"],
        json!({"model": "maxi", "tags": ["slow", 1]})
    );
    let in_query = Caller::of(scene.origin).get(&format!("{query}&publishableKey={publishable}"));
    assert_eq!(good(&in_query)["features"], answer["features"]);
    let exposed = Caller::of(scene.origin).get(&format!("{query}&publishableKey={secret}"));
    assert_eq!(exposed.status, 403, "a secret key has no business in a URL");
    let enabled = good(&at(&publishable).get("/features/enabled?context.company.id=acme-corp"));
    assert_eq!(enabled["features"].as_object().unwrap().len(), 1);
    let tracked = at(&publishable).post("/user", r#"{"userId":"ada"}"#);
    assert_eq!(good(&tracked), json!({"success": true}));
    assert_eq!(at(&publishable).post("/features", "{}").status, 405);
    assert_eq!(at(&publishable).get("/nothing").status, 404);
}

#[test]
fn a_server_waits_for_a_version_at_the_origins_port() {
    let scene = Scene::start();
    let (_, secret) = scene.sdk_keys("Production");
    let environment = scene.environment("Production");
    let before = good(&Caller::of(scene.origin).bearer(&secret).get("/features"));
    let wanted = before["flagStateVersion"].as_u64().unwrap() + 1;
    let caller = Caller::of(scene.origin).bearer(&secret);
    let waiting =
        std::thread::spawn(move || caller.get(&format!("/features?waitForVersion={wanted}")));
    let path = scene.own_path(&format!("/flags/search-v2/targeting/{environment}"));
    scene.call("PATCH", &path, &json!({"mode": "everyone"}));
    assert_eq!(good(&waiting.join().unwrap())["flagStateVersion"], wanted);
}

#[test]
fn an_environment_that_comes_later_is_served_then() {
    let file = "[app]\nname = \"Shop\"\n[[environments]]\nname = \"Live\"\nproduction = true\n";
    let scene = Scene::with(file, "");
    let admin = Caller::of(scene.admin);
    let status = || admin.get("/status").json()["environments"][0].clone();
    until("the search for the environment", || {
        status()["source"]["last_error"].is_object().then_some(())
    });
    assert_eq!(status()["state"], "empty");
    assert!(status()["source"]["last_error"]["message"].as_str().unwrap().contains("production"));
    let made = scene.call("POST", &scene.own_path("/environments"), &json!({"name": "Production"}));
    let key = made["sdkAccess"]["publishableKey"].as_str().unwrap();
    ready(&scene, key);
}
