//! What callers may take: bodies share a bound, and a large environment stays served.

use burgee::origin::model::EnvironmentId;
use burgee::origin::store::TargetingChange;
use serde_json::json;

use crate::scene::{Scene, good, write};
use crate::support::{until, wire::Caller};

/// A head that promises a body, and none of the body.
fn promise(scene: &Scene, length: usize) -> crate::support::wire::Session {
    let environment = scene.environment("Production");
    let path = scene.path(&format!("/envs/{environment}/companies/acme/flags"));
    let mut session = scene.admin_key().connect();
    let caller = scene.admin_key().with("Content-Length", &length.to_string());
    session.connection.write(caller.request("PATCH", &path, b""));
    session
}

#[test]
fn a_long_body_that_never_comes_holds_up_long_ones_only_and_not_for_ever() {
    let scene = Scene::start();
    let environment = scene.environment("Production");
    let path = scene.path(&format!("/envs/{environment}/companies/acme/flags"));
    let held = promise(&scene, 8 << 20);
    let update = json!({"flagKey": "search-v2", "specificTargetValue": true});
    scene.call("PATCH", &path, &json!({"updates": [update]}));
    // This one waits until there is room.
    let blanks = " ".repeat(1 << 20);
    let body = format!("{{\"updates\": [{update}]{blanks}}}");
    let caller = scene.admin_key();
    let waiting = std::thread::spawn(move || caller.ask("PATCH", &path, body));
    drop(held);
    good(&waiting.join().unwrap());
}

#[test]
fn a_body_that_is_longer_than_any_may_be_is_refused_whether_its_length_is_told_or_not() {
    let scene = Scene::start();
    let body = "x".repeat((8 << 20) + 1);
    let path = scene.path("/flags");
    let reply = scene.admin_key().ask("POST", &path, &body);
    assert_eq!((reply.status, reply.header("connection")), (413, Some("close")));
    assert!(reply.json()["error"]["message"].as_str().unwrap().contains("8388608"));
    let mut session = scene.admin_key().with("Transfer-Encoding", "chunked").connect();
    let caller = scene.admin_key().with("Transfer-Encoding", "chunked");
    let head = caller.request("PATCH", &scene.path("/flags/search-v2"), b"");
    let chunks = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    session.connection.write([&head[..], chunks.as_bytes()].concat());
    assert_eq!(session.connection.reply_to("PATCH").status, 413);
    // One of exactly the length is read, and is no JSON.
    let reply = scene.admin_key().ask("POST", &path, &body[1..]);
    assert_eq!(reply.status, 400, "{}", reply.text());
}

#[test]
fn a_change_beside_a_hundred_thousand_companies_is_seen_at_once() {
    let scene = Scene::start();
    let (publishable, _) = scene.sdk_keys("Production");
    let environment = scene.environment("Production");
    let (app, here) = (scene.app.clone(), EnvironmentId::from(environment.as_str()));
    write(&scene.database(), move |writer| {
        let ids = (0..100_000).map(|n| format!("company-{n:06}")).collect();
        let change = TargetingChange { company_ids: Some(ids), ..TargetingChange::default() };
        writer.set_targeting(&app, &here, "search-v2", &change, None)
    });
    let edge = Caller::of(scene.edge).bearer(&publishable);
    let of = |company: &str| format!("/features/evaluated?context.company.id={company}");
    until("the companies at the edge", || {
        let answer = edge.get(&of("company-099999")).json();
        (answer["features"]["search-v2"]["isEnabled"] == true).then_some(())
    });
    let path = scene.path(&format!("/envs/{environment}/companies/acme/flags"));
    for value in [json!(true), json!(null), json!(true)] {
        let update = json!({"flagKey": "search-v2", "specificTargetValue": value});
        let changed = scene.call("PATCH", &path, &json!({"updates": [update]}));
        let version = changed["flagStateVersion"].as_u64().unwrap();
        // It would be answered by the version before if it had to wait for long.
        let answer = good(&edge.get(&format!("{}&waitForVersion={version}", of("acme"))));
        assert_eq!(answer["flagStateVersion"], version);
        assert_eq!(answer["features"]["search-v2"]["isEnabled"], value == true);
    }
}

/// Rules that name a flag 10,000 times.
fn naming(flag: &str) -> serde_json::Value {
    let conditions = vec![json!({"flag": flag}); 100];
    json!({"rules": vec![json!({"conditions": conditions}); 100]})
}

/// The shop with flags f0 to f5.
fn shop_of_six() -> String {
    let flags = (0..6).map(|index| format!("[[flags]]\nkey = \"f{index}\"\n"));
    format!("{}{}", crate::scene::SHOP, flags.collect::<String>())
}

#[test]
fn flags_that_name_flags_do_not_grow_beyond_what_can_be_served() {
    let scene = Scene::with(&shop_of_six(), "");
    let environment = scene.environment("Production");
    let path = |flag: &str| scene.own_path(&format!("/flags/{flag}/targeting/{environment}"));
    scene.call("PATCH", &path("f1"), &naming("f0"));
    let before = scene.get(&path("f2"));
    let reply = scene.admin_key().ask("PATCH", &path("f2"), naming("f1").to_string());
    assert_eq!(reply.status, 400, "{}", reply.text());
    let error = &reply.json()["error"];
    assert_eq!(error["code"], "not_possible");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("Production") && message.contains("`f2`"), "{message}");
    assert_eq!(scene.get(&path("f2")), before);
    // A list is as long as it is often named.
    let ids: Vec<_> = (0..1_000).map(|n| format!("company-{n:06}")).collect();
    let reply = scene.admin_key().ask("PATCH", &path("f0"), json!({"companyIds": ids}).to_string());
    assert_eq!(reply.status, 400, "{}", reply.text());
    let (publishable, _) = scene.sdk_keys("Production");
    good(&Caller::of(scene.edge).bearer(&publishable).get("/features/evaluated"));
}

#[test]
fn a_database_that_holds_too_long_definitions_is_served_as_before_and_can_be_put_right() {
    let scene = Scene::with(&shop_of_six(), "");
    let environment = scene.environment("Production");
    let (publishable, secret) = scene.sdk_keys("Production");
    let edge = Caller::of(scene.edge).bearer(&publishable);
    until("the first rules", || (edge.get("/features/evaluated").status == 200).then_some(()));
    // As an earlier version let it in.
    let database = rusqlite::Connection::open(scene.database()).unwrap();
    for index in 1..6 {
        let condition = json!({"flag": format!("f{}", index - 1), "enabled": true});
        let rules = vec![json!({"conditions": vec![condition; 100]}); 100];
        let access = json!({"everyone": false, "segments": [], "rules": rules}).to_string();
        let sql = "UPDATE targeting SET access = ? WHERE environment_id = ? AND flag_id = \
                   (SELECT id FROM flag WHERE key = ?)";
        database.execute(sql, [&access, &environment, &format!("f{index}")]).unwrap();
    }
    let sql = "UPDATE environment SET flag_state_version = flag_state_version + 1";
    database.execute(sql, []).unwrap();
    let admin = Caller::of(scene.admin);
    let trouble = until("the failure in the status", || {
        let status = admin.get("/status").json();
        let error = status["environments"][0]["source"]["last_error"].to_string();
        error.contains("MiB").then_some(error)
    });
    assert!(trouble.contains("definitions would be"), "{trouble}");
    good(&edge.get("/features/evaluated"));
    let origin = scene.holding(&secret);
    assert_eq!(origin.get("/features").status, 503);
    // What makes it longer is refused, what does not is not.
    let path = |flag: &str| scene.own_path(&format!("/flags/{flag}/targeting/{environment}"));
    let more = json!({"companyIds": ["acme"]}).to_string();
    assert_eq!(scene.admin_key().ask("PATCH", &path("f0"), more).status, 400);
    scene.call("PATCH", &path("f5"), &json!({"rules": []}));
    scene.call("PATCH", &path("f4"), &json!({"mode": "none"}));
    scene.call("PATCH", &path("f3"), &json!({"mode": "none"}));
    let version = scene.call("PATCH", &path("f2"), &json!({"mode": "none"}))["flagStateVersion"]
        .as_u64()
        .unwrap();
    let answer = good(&edge.get(&format!("/features/evaluated?waitForVersion={version}")));
    assert_eq!(answer["flagStateVersion"], version);
    good(&origin.get("/features"));
}
