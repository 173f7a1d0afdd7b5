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
