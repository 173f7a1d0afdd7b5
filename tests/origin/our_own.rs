//! What the Management API lacks, under `/api/burgee/`.

use std::time::Duration;

use burgee::origin::model::EnvironmentId;
use burgee::origin::store::TargetingChange;
use burgee::time::Stopwatch;
use serde_json::{Value, json};

use crate::scene::{Scene, good, write};

#[track_caller]
fn refused(scene: &Scene, method: &str, path: &str, body: &Value) -> Value {
    let reply = scene.admin_key().ask(method, path, body.to_string());
    assert_eq!(reply.status, 400, "{}", reply.text());
    reply.json()
}

#[test]
fn environments_come_with_keys_and_production_stays() {
    let scene = Scene::start();
    let path = scene.own_path("/environments");
    let made = scene.call("POST", &path, &json!({"name": "Preview"}));
    assert!(made["sdkAccess"]["secretKey"].as_str().unwrap().starts_with("sec_prev_"));
    assert_eq!((&made["order"], &made["isProduction"]), (&json!(2), &json!(false)));
    let body = refused(&scene, "POST", &path, &json!({"name": "preview"}));
    assert!(body["issues"]["name"][0].is_string(), "names differ in more than their case");
    let body = refused(&scene, "POST", &path, &json!({"name": "Second", "isProduction": true}));
    assert!(body["issues"]["isProduction"][0].is_string());
    let preview = scene.own_path(&format!("/environments/{}", made["id"].as_str().unwrap()));
    assert_eq!(scene.call("PATCH", &preview, &json!({"name": "Previews"}))["name"], "Previews");
    let production = scene.own_path(&format!("/environments/{}", scene.environment("Production")));
    assert_eq!(
        refused(&scene, "PATCH", &production, &json!({"name": "P"}))["error"]["code"],
        "not_possible"
    );
    assert_eq!(refused(&scene, "DELETE", &production, &json!({}))["error"]["code"], "not_possible");
    assert_eq!(scene.call("DELETE", &preview, &json!({})), json!({}));
    assert_eq!(scene.admin_key().ask("DELETE", &preview, "").status, 404);
}

#[test]
fn a_secret_key_that_cannot_be_read_is_null() {
    let scene = Scene::start();
    let database = rusqlite::Connection::open(scene.database()).unwrap();
    database
        .execute_batch("UPDATE environment_key SET sealed = X'00' WHERE sealed IS NOT NULL")
        .unwrap();
    let path = scene.path(&format!("/environments/{}", scene.environment("Production")));
    let access = scene.get(&path)["sdkAccess"].clone();
    assert_eq!(access["secretKey"], json!(null));
    assert!(access["publishableKey"].is_string());
}

#[test]
fn keys_are_rotated_and_shown_once() {
    let scene = Scene::start();
    let keys = scene.own_path(&format!("/environments/{}/keys", scene.environment("Production")));
    let before = scene.sdk_keys("Production");
    let rotated =
        scene.call("POST", &format!("{keys}/secret/rotate"), &json!({"graceSeconds": 60}));
    let new = rotated["key"].as_str().unwrap();
    assert_eq!(scene.sdk_keys("Production"), (before.0, new.to_owned()));
    let listed = scene.get(&keys);
    assert_eq!(listed["data"].as_array().unwrap().len(), 3);
    assert!(!listed.to_string().contains(new) && !listed.to_string().contains(&before.1));
    let body =
        refused(&scene, "POST", &format!("{keys}/secret/rotate"), &json!({"graceSeconds": -1}));
    assert!(body["issues"]["graceSeconds"][0].is_string());
    let reply = scene.admin_key().ask("POST", &format!("{keys}/other/rotate"), "{}");
    assert_eq!(reply.status, 404);
}

#[test]
fn api_keys_are_made_listed_and_revoked_and_none_is_stronger_than_its_maker() {
    let scene = Scene::start();
    let path = scene.own_path("/api-keys");
    let made =
        scene.call("POST", &path, &json!({"name": "CI", "scopes": ["create:flag", "write:keys"]}));
    let key = made["key"].as_str().unwrap();
    assert!(key.starts_with("api_") && made["prefix"] == key[..8]);
    assert_eq!(made["scopes"], json!(["read", "create:flag", "write:keys"]));
    let listed = scene.get(&path);
    assert!(!listed.to_string().contains(key));
    assert_eq!(listed["data"].as_array().unwrap().len(), 2);
    let ci = scene.holding(key);
    let stronger = json!({"name": "x", "scopes": ["write:app"]}).to_string();
    let reply = ci.ask("POST", &path, stronger);
    assert_eq!(reply.status, 400);
    assert!(reply.json()["issues"]["scopes.0"][0].is_string());
    let body = refused(&scene, "POST", &path, &json!({"name": "", "scopes": ["everything"]}));
    assert!(body["issues"]["name"][0].is_string() && body["issues"]["scopes.0"][0].is_string());
    let own = format!("{path}/{}", made["id"].as_str().unwrap());
    assert!(scene.call("DELETE", &own, &json!({}))["revokedAt"].is_string());
    assert_eq!(ci.get("/api/apps").status, 401);
    assert_eq!(scene.admin_key().ask("DELETE", &format!("{path}/ak000000000000"), "").status, 404);
}

#[test]
fn members_may_own_flags() {
    let scene = Scene::start();
    let path = scene.own_path("/members");
    let ada = scene.call("POST", &path, &json!({"name": "Ada", "email": "ada@shop.test"}));
    let again = scene.call("POST", &path, &json!({"name": "Ada L.", "email": "ada@shop.test"}));
    assert_eq!(again["id"], ada["id"]);
    let flag =
        scene.call("PATCH", &scene.path("/flags/search-v2"), &json!({"ownerUserId": ada["id"]}));
    assert_eq!(
        flag["flag"]["owner"],
        json!({"id": ada["id"], "name": "Ada L.", "email": "ada@shop.test"})
    );
    assert_eq!(scene.get(&path)["data"].as_array().unwrap().len(), 1);
    let body = refused(&scene, "POST", &path, &json!({"name": "x", "email": "nowhere"}));
    assert!(body["issues"]["email"][0].is_string());
}

#[test]
fn segments_are_used_and_cannot_go_while_they_are() {
    let scene = Scene::start();
    let environment = scene.environment("Production");
    let path = scene.own_path("/segments");
    let rules = json!([{"conditions": [{"attribute": "company.plan", "operator": "ANY_OF", "values": ["pro", "team"]}]}]);
    let made = scene.call("POST", &path, &json!({"name": "Paying", "rules": rules}));
    assert_eq!((&made["type"], &made["rules"]), (&json!("custom"), &rules));
    let targeting = scene.own_path(&format!("/flags/search-v2/targeting/{environment}"));
    scene.call("PATCH", &targeting, &json!({"segmentIds": [made["id"]]}));
    let own = format!("{path}/{}", made["id"].as_str().unwrap());
    let body = refused(&scene, "DELETE", &own, &json!({}));
    assert!(body["error"]["message"].as_str().unwrap().contains("search-v2"), "{body}");
    let renamed = scene.call("PATCH", &own, &json!({"name": "Customers"}));
    assert_eq!((&renamed["name"], &renamed["rules"]), (&json!("Customers"), &rules));
    scene.call("PATCH", &targeting, &json!({"segmentIds": []}));
    assert_eq!(scene.call("DELETE", &own, &json!({})), json!({}));
    for (condition, member) in [
        (json!({"attribute": "plan", "operator": "IS", "values": ["a"]}), "attribute"),
        (json!({"attribute": "user.x", "operator": "LIKE", "values": ["a"]}), "operator"),
        (json!({"attribute": "user.x", "operator": "IS"}), "values"),
        (json!({"attribute": "user.x", "operator": "SET", "values": ["a"]}), "values"),
        (json!({"attribute": "user.x", "operator": "GT", "values": ["many"]}), "values.0"),
        (
            json!({"attribute": "user.x", "operator": "DATE_AFTER", "values": ["someday"]}),
            "values.0",
        ),
        (json!({"segment": "sg", "matches": true}), "segment"),
    ] {
        let body = refused(
            &scene,
            "POST",
            &path,
            &json!({"name": "x", "rules": [{"conditions": [condition]}]}),
        );
        let member = format!("rules.0.conditions.0.{member}");
        assert!(body["issues"][&member][0].is_string(), "{condition}: {body}");
    }
}

#[test]
fn stages_bring_their_targeting() {
    let scene = Scene::start();
    let environment = scene.environment("Production");
    let path = scene.own_path("/stages");
    let access = json!({"everyone": false, "segmentIds": [], "rules": [
        {"conditions": [], "rollout": {"percentage": 12.5, "attribute": "user.id"}}]});
    let made = scene.call(
        "POST",
        &path,
        &json!({"name": "Trial", "color": "tomato", "targeting": {&environment: access}}),
    );
    assert_eq!(made["targeting"][&environment], access);
    assert_eq!(made["order"], 4);
    scene.call("PATCH", &scene.path("/flags/search-v2"), &json!({"stageId": made["id"]}));
    let targeting =
        scene.get(&scene.own_path(&format!("/flags/search-v2/targeting/{environment}")));
    assert_eq!((&targeting["rules"], &targeting["mode"]), (&access["rules"], &json!("some")));
    let own = format!("{path}/{}", made["id"].as_str().unwrap());
    assert_eq!(refused(&scene, "DELETE", &own, &json!({}))["error"]["code"], "not_possible");
    let left = scene.call("PATCH", &own, &json!({"targeting": {&environment: null}}));
    assert_eq!(left["targeting"], json!({}));
    let body = refused(
        &scene,
        "POST",
        &path,
        &json!({"name": "Beta", "targeting": {"en000000000000": {}}}),
    );
    assert!(body["issues"].is_object(), "{body}");
    let body = refused(
        &scene,
        "PATCH",
        &own,
        &json!({"targeting": {&environment: {"rules": [{"conditions": [{"flag": "search-v2"}]}]}}}),
    );
    assert!(body["issues"].is_object(), "a stage goes to any flag: {body}");
}

#[test]
fn variants_keep_their_payloads_to_the_byte() {
    let scene = Scene::start();
    let path = scene.own_path("/flags/new-checkout-flow/variants");
    let body = r#"{"variants":[{"key":"a","payload":{"n":5.0,"big":18446744073709551616,"e":1e3}},{"key":"b","payload":null},{"key":"c"}]}"#;
    let reply = scene.admin_key().ask("PUT", &path, body);
    good(&reply);
    let (variants, _) = body.rsplit_once('}').unwrap();
    let answer = reply.text();
    let versions = answer.strip_prefix(variants).unwrap_or_else(|| panic!("{answer}"));
    assert!(versions.starts_with(",\"flagStateVersions\":{"), "{answer}");
    assert_eq!(scene.admin_key().get(&path).text(), body);
    let environment = scene.environment("Production");
    let targeting = scene.own_path(&format!("/flags/new-checkout-flow/targeting/{environment}"));
    scene.call(
        "PATCH",
        &targeting,
        &json!({"config": {"default": "a", "companies": {"acme": "b"}}}),
    );
    let body = refused(&scene, "PUT", &path, &json!({"variants": [{"key": "b"}]}));
    assert_eq!(body["error"]["code"], "not_possible", "somebody still gets it");
    let body = refused(&scene, "PATCH", &targeting, &json!({"config": {"default": "nope"}}));
    assert!(body["issues"]["config"][0].is_string());
    let body = refused(&scene, "PUT", &path, &json!({"variants": [{"key": "x"}, {"key": "x"}]}));
    assert!(body["issues"]["variants.1.key"][0].is_string());
    let body = refused(
        &scene,
        "PUT",
        &path,
        &json!({"variants": [{"key": "x", "payload": "y".repeat(300_000)}]}),
    );
    assert!(body["issues"]["variants.0.payload"][0].is_string());
}

#[test]
fn targeting_is_changed_member_by_member_and_only_at_the_version_that_was_seen() {
    let scene = Scene::start();
    let environment = scene.environment("Production");
    let path = scene.own_path(&format!("/flags/search-v2/targeting/{environment}"));
    let seen = scene.get(&path);
    assert_eq!((&seen["mode"], &seen["version"]), (&json!("none"), &json!(1)));
    let change =
        json!({"expectedVersion": 1, "companyIds": ["b", "a"], "changeDescription": "pilots"});
    let changed = scene.call("PATCH", &path, &change);
    assert_eq!((&changed["companyIds"], &changed["mode"]), (&json!(["a", "b"]), &json!("some")));
    let body = refused(&scene, "PATCH", &path, &change);
    assert_eq!(body["error"]["code"], "not_possible");
    let changed = scene.call("PATCH", &path, &json!({"mode": "everyone"}));
    assert_eq!((&changed["companyIds"], &changed["everyone"]), (&json!(["a", "b"]), &json!(true)));
    let again = scene.call("PATCH", &path, &json!({"everyone": true}));
    assert_eq!(again, changed, "what changes nothing raises nothing");
    let off = scene.call("PATCH", &path, &json!({"mode": "none"}));
    assert_eq!((&off["companyIds"], &off["mode"]), (&json!([]), &json!("none")));
    for (body, member) in [
        (json!({"mode": "most"}), "mode"),
        (
            json!({"rules": [{"conditions": [], "rollout": {"percentage": 101}}]}),
            "rules.0.rollout.percentage",
        ),
        (json!({"rules": [{"conditions": [{"flag": "nope"}]}]}), "rules.0.conditions.0.flag"),
        (json!({"rules": [{"conditions": [{"flag": "search-v2"}]}]}), "rules"),
        (json!({"segmentIds": ["sg000000000000"]}), "segmentIds.0"),
        (json!({"companyIds": [""]}), "companyIds.0"),
        (json!({"companies": []}), "companies"),
    ] {
        let answer = refused(&scene, "PATCH", &path, &body);
        assert!(answer["issues"][member][0].is_string(), "{body}: {answer}");
    }
}

/// The shortest of a few times that something took: what else the machine does makes times longer
/// only.
fn shortest(mut work: impl FnMut()) -> Duration {
    let took = (0..5).map(|_| {
        let watch = Stopwatch::start();
        work();
        watch.elapsed()
    });
    took.min().unwrap()
}

#[test]
fn a_hundred_thousand_companies_are_listed_in_parts_and_fast() {
    let scene = Scene::start();
    let environment = scene.environment("Production");
    let (app, here) = (scene.app.clone(), EnvironmentId::from(environment.as_str()));
    // Not by a call: how long one of this size takes depends on the disk.
    write(&scene.database(), move |writer| {
        let ids = (0..100_000).map(|n| format!("company-{n:06}")).collect();
        let change = TargetingChange { company_ids: Some(ids), ..TargetingChange::default() };
        writer.set_targeting(&app, &here, "search-v2", &change, None)
    });
    let targeting = scene.own_path(&format!("/flags/search-v2/targeting/{environment}"));
    let whole = scene.path(&format!("/flags/search-v2/targeting/{environment}"));
    let listed = scene.get(&whole)["specificTargets"]["true"]["companyIds"].clone();
    assert_eq!(listed.as_array().unwrap().len(), 100_000);
    let all_at_once = shortest(|| drop(scene.get(&whole)));
    for list in [
        format!("{targeting}/companies"),
        scene.own_path(&format!("/envs/{environment}/companies")),
    ] {
        let first = scene.get(&format!("{list}?pageSize=1000"));
        assert_eq!(
            (&first["totalCount"], &first["next"]),
            (&json!(100_000), &json!("company-000999"))
        );
        let deep = format!("{list}?pageSize=2&after=company-099997");
        let last = json!([{"id": "company-099998"}, {"id": "company-099999"}]);
        assert_eq!(scene.get(&deep)["data"], last);
        let part = shortest(|| drop(scene.get(&deep)));
        assert!(part < all_at_once / 2, "a part took {part:?}, all at once {all_at_once:?}");
        let end = scene.get(&format!("{list}?after=company-099999"));
        assert_eq!((&end["data"], &end["next"]), (&json!([]), &json!(null)));
    }
    let one =
        scene.get(&scene.path(&format!("/envs/{environment}/companies/company-050000/flags")));
    assert_eq!(one["data"][1]["value"], true);
    let body =
        refused(&scene, "GET", &format!("{targeting}/companies?pageSize=1001"), &json!(null));
    assert!(body["issues"]["pageSize"][0].is_string());
}

#[test]
fn the_audit_log_says_who_did_what_when_and_why() {
    let scene = Scene::start();
    let environment = scene.environment("Production");
    let updates = json!({"updates": [{"flagKey": "search-v2", "specificTargetValue": true}], "changeDescription": "Pilot"});
    let path = scene.path(&format!("/envs/{environment}/companies/acme/flags"));
    let version = scene.call("PATCH", &path, &updates)["flagStateVersion"].clone();
    let audit = scene.own_path("/audit");
    let entry = scene.get(&format!("{audit}?pageSize=1"))["data"][0].clone();
    assert_eq!(entry["actor"]["name"], "test");
    assert!(entry["actor"]["id"].as_str().unwrap().starts_with("ak"));
    assert_eq!(
        (&entry["operation"], &entry["subject"]),
        (&json!("targeting.targets"), &json!("search-v2"))
    );
    assert_eq!(
        (&entry["environmentId"], &entry["flagStateVersion"]),
        (&json!(environment), &version)
    );
    assert_eq!(
        (&entry["changeDescription"], &entry["change"]),
        (&json!("Pilot"), &json!([{"companyId": "acme", "listed": true}]))
    );
    // All parts together are all there is, each entry once.
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let part = scene.get(&format!("{audit}?pageSize=3{after}"));
        seen.extend(part["data"].as_array().unwrap().iter().map(|e| e["id"].as_i64().unwrap()));
        let Some(next) = part["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    let whole = scene.get(&format!("{audit}?pageSize=1000"));
    let whole: Vec<_> =
        whole["data"].as_array().unwrap().iter().map(|e| e["id"].as_i64().unwrap()).collect();
    assert_eq!(seen, whole);
    assert!(!scene.get(&format!("{audit}?pageSize=1000")).to_string().contains(&scene.key[8..]));
}
