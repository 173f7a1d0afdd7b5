//! Reflag's Management API, operation by operation (reflag-management.md section 5).

use serde_json::{Value, json};

use crate::scene::Scene;

#[track_caller]
fn refused(scene: &Scene, method: &str, path: &str, body: &Value) -> Value {
    let reply = scene.admin_key().ask(method, path, body.to_string());
    assert_eq!(reply.status, 400, "{}", reply.text());
    let body = reply.json();
    let code = body["error"]["code"].clone();
    assert!(code == "invalid_request" || code == "not_possible", "{body}");
    body["issues"].clone()
}

#[test]
fn an_app_has_environments_stages_and_segments() {
    let scene = Scene::start();
    let app = scene.get(&scene.path(""));
    assert_eq!(
        (app["name"].as_str(), app["flagKeyFormat"].as_str()),
        (Some("Shop"), Some("kebabCaseLower"))
    );
    for id in [
        &app["id"],
        &app["org"]["id"],
        &app["environments"][0]["id"],
        &app["stages"][0]["id"],
        &app["segments"][0]["id"],
    ] {
        assert_eq!(id.as_str().unwrap().len(), 14, "{id}");
    }
    let names = |list: &str| -> Vec<String> {
        app[list]
            .as_array()
            .unwrap()
            .iter()
            .map(|e| e["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names("environments"), ["Production", "Staging"]);
    assert_eq!(names("stages"), ["In development", "Internal", "Beta", "General Availability"]);
    assert_eq!(app["segments"][0]["type"], "all");
    let key = app["environments"][0]["sdkAccess"]["publishableKey"].as_str().unwrap();
    assert!(key.starts_with("pub_prod_") && key.len() <= 36);
    let listed = scene.get("/api/apps");
    assert_eq!(listed["data"][0]["environments"][1]["isProduction"], false);
    assert!(listed["data"][0]["environments"][0].get("sdkAccess").is_none(), "keys are in no list");
    assert!(listed["data"][0].get("stages").is_none());
    let org = app["org"]["id"].as_str().unwrap();
    assert_eq!(scene.get(&format!("/api/apps?orgId={org}"))["data"].as_array().unwrap().len(), 1);
    assert_eq!(scene.get("/api/apps?orgId=or999999999999")["data"], json!([]));
}

#[test]
fn environments_are_sorted_as_asked_for() {
    let scene = Scene::start();
    let names = |query: &str| -> Vec<String> {
        let list = scene.get(&scene.path(&format!("/environments{query}")));
        list["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|e| e["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names(""), ["Production", "Staging"]);
    assert_eq!(names("?sortBy=name&sortOrder=desc"), ["Staging", "Production"]);
    let list = scene.get(&scene.path("/environments?sortOrder=desc"));
    assert_eq!((&list["sortBy"], &list["sortOrder"]), (&json!("order"), &json!("desc")));
    let issues = refused(&scene, "GET", &scene.path("/environments?sortBy=age"), &json!({}));
    assert!(issues["sortBy"][0].as_str().unwrap().contains("name"), "{issues}");
}

#[test]
fn a_flag_is_made_listed_and_changed() {
    let scene = Scene::start();
    let stage = scene.get(&scene.path(""))["stages"][2]["id"].clone();
    let before = scene.get(&scene.path("/environments"));
    let made = scene.call(
        "POST",
        &scene.path("/flags"),
        &json!({
            "key": "gift-cards", "name": "Gift cards", "description": "Sold from the basket",
            "stageId": stage, "permanent": true, "secret": false, "ownerUserId": null,
        }),
    );
    let flag = &made["flag"];
    assert_eq!(flag["id"].as_str().unwrap().len(), 14);
    assert_eq!(flag["stage"]["name"], "Beta");
    assert!(flag["createdAt"].as_str().unwrap().ends_with('Z'));
    for (member, value) in [
        ("archived", false),
        ("stale", false),
        ("permanent", true),
        ("codeRefsCleanedUp", false),
        ("noRecentChecks", true),
    ] {
        assert_eq!(flag[member], value, "{member}");
    }
    assert!(flag.get("owner").is_none() && flag.get("secret").is_none(), "{flag}");
    for environment in before["data"].as_array().unwrap() {
        let id = environment["id"].as_str().unwrap();
        let expected = environment["flagStateVersion"].as_u64().unwrap() + 1;
        assert_eq!(made["flagStateVersions"][id], expected);
    }
    let list = scene.get(&scene.path("/flags"));
    assert_eq!(
        (&list["totalCount"], &list["pageSize"], &list["pageIndex"]),
        (&json!(3), &json!(3), &json!(0))
    );
    assert_eq!((&list["sortBy"], &list["sortOrder"]), (&json!("name"), &json!("asc")));
    let path = scene.path(&format!("/flags/{}", flag["id"].as_str().unwrap()));
    let same = scene.call("PATCH", &path, &json!({}));
    assert_eq!(same["flag"], *flag);
    assert_eq!(same["flagStateVersions"], made["flagStateVersions"], "nothing changed");
    let changed = scene.call(
        "PATCH",
        &path,
        &json!({"description": null, "isArchived": true, "name": "Gifts"}),
    );
    assert_eq!(
        (&changed["flag"]["archived"], &changed["flag"]["name"]),
        (&json!(true), &json!("Gifts"))
    );
    assert!(changed["flag"].get("description").is_none());
    assert_ne!(changed["flagStateVersions"], made["flagStateVersions"]);
}

#[test]
fn a_flag_that_does_not_fit_is_refused_member_by_member() {
    let scene = Scene::start();
    let path = scene.path("/flags");
    let issues = refused(
        &scene,
        "POST",
        &path,
        &json!({"key": "", "permanent": "yes", "typo": 1, "stageId": "short"}),
    );
    for member in ["key", "name", "permanent", "typo", "stageId"] {
        assert!(issues[member][0].is_string(), "{member}: {issues}");
    }
    let issues = refused(&scene, "POST", &path, &json!({"key": "search-v2", "name": "Again"}));
    assert!(issues["key"][0].as_str().unwrap().contains("taken"));
    let issues = refused(&scene, "POST", &path, &json!({"key": "Search_V3", "name": "x"}));
    assert!(issues["key"][0].as_str().unwrap().contains("kebabCaseLower"));
    let unknown = json!({"key": "a", "name": "x", "stageId": "st000000000000", "ownerUserId": "us000000000000"});
    let issues = refused(&scene, "POST", &path, &unknown);
    assert!(issues["stageId"][0].is_string() && issues["ownerUserId"][0].is_string(), "{issues}");
    let long = "d".repeat(8_193);
    let issues =
        refused(&scene, "POST", &path, &json!({"key": "a", "name": "x", "description": long}));
    assert!(issues["description"][0].is_string());
    let issues =
        refused(&scene, "PATCH", &scene.path("/flags/search-v2"), &json!({"key": "other"}));
    assert!(issues["key"][0].is_string(), "a key never changes");
    let reply = scene.admin_key().ask("PATCH", &scene.path("/flags/nope"), "{}");
    assert_eq!(reply.status, 404);
}

#[test]
fn a_company_is_switched_by_the_current_call() {
    let scene = Scene::start();
    let environment = scene.environment("Production");
    let path =
        scene.path(&format!("/envs/{environment}/companies/acme%2Feu%201%25%20%C3%BC/flags"));
    let body = json!({"updates": [{"flagKey": "new-checkout-flow", "specificTargetValue": true}],
        "changeDescription": "Pilot", "notifications": ["slack"]});
    let before = scene.get(&scene.path(&format!("/environments/{environment}")));
    let list = scene.call("PATCH", &path, &body);
    assert_eq!(
        list["flagStateVersion"].as_u64(),
        before["flagStateVersion"].as_u64().map(|v| v + 1)
    );
    let flag = &list["data"][0];
    let required = [
        "id",
        "key",
        "name",
        "createdAt",
        "value",
        "specificTargetValue",
        "firstExposureAt",
        "lastExposureAt",
        "lastCheckAt",
        "exposureCount",
        "firstTrackAt",
        "lastTrackAt",
        "trackCount",
    ];
    for member in required {
        assert!(flag.get(member).is_some(), "{member}: {flag}");
    }
    assert_eq!((&flag["value"], &flag["specificTargetValue"]), (&json!(true), &json!(true)));
    assert_eq!(list["totalCount"], 2, "all flags are in the answer");
    let again = scene.call("PATCH", &path, &body);
    assert_eq!(again["flagStateVersion"], list["flagStateVersion"], "repeating is harmless");
    let targeting =
        scene.get(&scene.path(&format!("/flags/new-checkout-flow/targeting/{environment}")));
    assert_eq!(
        targeting["specificTargets"],
        json!({"true": {"companyIds": ["acme/eu 1% ü"], "userIds": []}})
    );
    assert_eq!(
        (&targeting["version"], &targeting["flagKey"]),
        (&json!(2), &json!("new-checkout-flow"))
    );
    assert!(targeting["updatedAt"].as_str().unwrap().ends_with('Z'));
    let off = json!({"updates": [{"flagKey": "new-checkout-flow", "specificTargetValue": null}]});
    let list = scene.call("PATCH", &path, &off);
    assert_eq!(
        (&list["data"][0]["value"], &list["data"][0]["specificTargetValue"]),
        (&json!(false), &json!(null))
    );
    let read = scene.get(&path);
    assert_eq!(read["data"], list["data"]);
    assert!(read.get("flagStateVersion").is_none());
}

#[test]
fn updates_are_all_or_nothing_and_say_what_is_wrong_with_which() {
    let scene = Scene::start();
    let environment = scene.environment("Production");
    let path = scene.path(&format!("/envs/{environment}/users/ada/flags"));
    let before = scene.get(&scene.path(&format!("/environments/{environment}")));
    let updates = json!({"updates": [
        {"flagKey": "search-v2", "specificTargetValue": true},
        {"flagKey": "nope", "specificTargetValue": true},
    ]});
    let issues = refused(&scene, "PATCH", &path, &updates);
    assert!(issues["updates.1.flagKey"][0].as_str().unwrap().contains("nope"), "{issues}");
    assert_eq!(
        scene.get(&path)["data"][1]["specificTargetValue"],
        json!(null),
        "nothing of it was kept"
    );
    for (body, member) in [
        (json!({}), "updates"),
        (json!({"updates": []}), "updates"),
        (json!({"updates": {}}), "updates"),
        (json!({"updates": [1]}), "updates.0"),
        (json!({"updates": [{"specificTargetValue": true}]}), "updates.0.flagKey"),
        (
            json!({"updates": [{"flagKey": "search-v2", "specificTargetValue": false}]}),
            "updates.0.specificTargetValue",
        ),
        (json!({"updates": [{"flagKey": "search-v2"}]}), "updates.0.specificTargetValue"),
        (
            json!({"updates": [{"flagKey": "search-v2", "specificTargetValue": true}], "notifications": ["fax"]}),
            "notifications.0",
        ),
        (
            json!({"updates": [{"flagKey": "search-v2", "specificTargetValue": true}], "changeDescription": 1}),
            "changeDescription",
        ),
    ] {
        let issues = refused(&scene, "PATCH", &path, &body);
        assert!(issues[member][0].is_string(), "{body}: {issues}");
    }
    assert_eq!(scene.get(&scene.path(&format!("/environments/{environment}"))), before);
    let long = "x".repeat(257);
    let issues = refused(
        &scene,
        "GET",
        &scene.path(&format!("/envs/{environment}/users/{long}/flags")),
        &json!(null),
    );
    assert!(issues["userId"][0].is_string());
}

#[test]
fn the_call_of_the_public_introduction_works() {
    let scene = Scene::start();
    let environment = scene.environment("Production");
    let path = scene.path(&format!("/flags/specific-targets/{environment}"));
    let list = scene.call(
        "PATCH",
        &path,
        &json!({"updates": [
        {"flagKey": "search-v2", "value": "true", "companyId": "globex", "userId": "ada"},
        {"flagKey": "new-checkout-flow", "value": true, "companyId": "acme-corp"},
        {"flagKey": "search-v2", "value": true, "companyId": "acme-corp"},
    ], "notifications": false}),
    );
    let data = list["data"].as_array().unwrap();
    assert_eq!(data.len(), 2, "each flag once, in the order of first mention");
    assert_eq!(data[0]["flagKey"], "search-v2");
    assert_eq!(
        data[0]["specificTargets"]["true"],
        json!({"companyIds": ["acme-corp", "globex"], "userIds": ["ada"]})
    );
    assert_eq!(data[1]["specificTargets"]["true"]["companyIds"], json!(["acme-corp"]));
    for (update, member) in [
        (json!({"flagKey": "search-v2", "value": true}), "updates.0"),
        (json!({"flagKey": "search-v2", "value": "false", "companyId": "a"}), "updates.0.value"),
        (json!({"flagKey": "search-v2", "companyId": "a"}), "updates.0.value"),
        (json!({"flagKey": "search-v2", "value": true, "companyId": ""}), "updates.0.companyId"),
        (json!({"flagKey": "nope", "value": true, "companyId": "a"}), "updates.0.flagKey"),
    ] {
        let issues = refused(&scene, "PATCH", &path, &json!({"updates": [update]}));
        assert!(issues[member][0].is_string(), "{update}: {issues}");
    }
}

#[test]
fn retired_spellings_still_mean_what_they_meant() {
    let scene = Scene::start();
    let environment = scene.environment("Production");
    for (kind, id) in [("companies", "acme"), ("users", "ada")] {
        let path = scene.path(&format!("/{kind}/{id}/flags?envId={environment}"));
        let list = scene.call(
            "PATCH",
            &path,
            &json!({"updates": [{"flagKey": "search-v2", "value": true}]}),
        );
        let flag = &list["data"][1];
        assert_eq!(
            (&flag["key"], &flag["specificallyTargetedValue"]),
            (&json!("search-v2"), &json!(true))
        );
        assert!(
            list.get("flagStateVersion").is_none() && flag.get("specificTargetValue").is_none()
        );
        assert_eq!(scene.get(&path)["data"], list["data"]);
        let issues =
            refused(&scene, "GET", &scene.path(&format!("/{kind}/{id}/flags")), &json!(null));
        assert!(issues["envId"][0].is_string());
    }
}

#[test]
fn companies_and_users_are_made_changed_and_deleted() {
    let scene = Scene::start();
    let environment = scene.environment("Production");
    let acme = scene.path(&format!("/envs/{environment}/companies/acme"));
    assert_eq!(scene.call("PUT", &acme, &json!({})), json!({"id": "acme"}));
    let made = scene.call(
        "PUT",
        &acme,
        &json!({"attributes": {"plan": "pro", "seats": 5.0, "name": "Acme"}}),
    );
    assert_eq!(
        made,
        json!({"id": "acme", "name": "Acme", "attributes": {"plan": "pro", "seats": 5.0, "name": "Acme"}})
    );
    let merged = scene.call(
        "PUT",
        &acme,
        &json!({"name": "ACME", "attributes": {"seats": null, "vip": [1]}}),
    );
    assert_eq!(merged["attributes"], json!({"plan": "pro", "name": "Acme", "vip": [1]}));
    assert_eq!(merged["name"], "ACME");
    assert_eq!(scene.call("PUT", &acme, &json!({"attributes": null})), merged);
    for (body, member) in [
        (json!({"attributes": []}), "attributes"),
        (json!({"name": 1}), "name"),
        (json!({"typo": 1}), "typo"),
        (json!({"attributes": {"a": "x".repeat(70_000)}}), "attributes"),
    ] {
        let issues = refused(&scene, "PUT", &acme, &body);
        assert!(issues[member][0].is_string(), "{issues}");
    }
    let membership = |company: &str, user: &str| {
        let path = scene.own_path(&format!("/envs/{environment}/companies/{company}/users/{user}"));
        scene.call("PUT", &path, &json!({}));
    };
    membership("acme", "ada");
    membership("acme", "both");
    membership("globex", "both");
    let issues = refused(&scene, "DELETE", &acme, &json!({"deleteUsers": "yes"}));
    assert!(issues["deleteUsers"][0].is_string());
    assert_eq!(scene.call("DELETE", &acme, &json!({"deleteUsers": true})), json!({}));
    let users = scene.get(&scene.own_path(&format!("/envs/{environment}/users")));
    assert_eq!(users["data"], json!([{"id": "both"}]));
    assert_eq!(scene.admin_key().ask("DELETE", &acme, "").status, 404);
    let both = scene.path(&format!("/envs/{environment}/users/both"));
    assert_eq!(scene.call("DELETE", &both, &json!({})), json!({}));
}

#[test]
fn with_the_strict_switch_strangers_are_not_there() {
    let scene = Scene::with(crate::scene::SHOP, "strict_entities = true");
    let environment = scene.environment("Production");
    let path = scene.path(&format!("/envs/{environment}/companies/acme/flags"));
    let body = json!({"updates": [{"flagKey": "search-v2", "specificTargetValue": true}]});
    let reply = scene.admin_key().ask("PATCH", &path, body.to_string());
    assert_eq!(reply.status, 404, "{}", reply.text());
    assert_eq!(scene.admin_key().get(&path).status, 404);
    scene.call("PUT", &scene.path(&format!("/envs/{environment}/companies/acme")), &json!({}));
    assert_eq!(scene.call("PATCH", &path, &body)["data"][1]["value"], true);
}

#[test]
fn the_value_of_a_flag_follows_rules_over_stored_attributes() {
    let scene = Scene::start();
    let environment = scene.environment("Production");
    let rule =
        json!({"conditions": [{"attribute": "company.plan", "operator": "IS", "values": ["pro"]}]});
    let path = scene.own_path(&format!("/flags/search-v2/targeting/{environment}"));
    scene.call("PATCH", &path, &json!({"rules": [rule]}));
    let acme = scene.path(&format!("/envs/{environment}/companies/acme"));
    scene.call("PUT", &acme, &json!({"attributes": {"plan": "pro"}}));
    let flag = scene.get(&format!("{acme}/flags"))["data"][1].clone();
    assert_eq!((&flag["value"], &flag["specificTargetValue"]), (&json!(true), &json!(null)));
    let stranger = scene.path(&format!("/envs/{environment}/companies/globex/flags"));
    assert_eq!(scene.get(&stranger)["data"][1]["value"], false);
}

#[test]
fn the_name_of_a_company_is_what_rules_see_whatever_attribute_is_called_so() {
    let scene = Scene::start();
    let environment = scene.environment("Production");
    let condition = json!({"attribute": "company.name", "operator": "IS", "values": ["Top"]});
    let path = scene.own_path(&format!("/flags/search-v2/targeting/{environment}"));
    scene.call("PATCH", &path, &json!({"rules": [{"conditions": [condition]}]}));
    let company = |id: &str| scene.path(&format!("/envs/{environment}/companies/{id}"));
    let is_on = |id: &str| {
        scene.get(&format!("{}/flags", company(id)))["data"][1]["value"].as_bool().unwrap()
    };
    scene.call("PUT", &company("both"), &json!({"name": "Top", "attributes": {"name": "Low"}}));
    assert!(is_on("both"));
    scene.call("PUT", &company("later"), &json!({"attributes": {"name": "Low"}}));
    assert!(!is_on("later"));
    scene.call("PUT", &company("later"), &json!({"name": "Top"}));
    assert!(is_on("later"));
}

#[test]
fn attributes_that_no_rule_could_read_are_refused_and_those_from_before_are_passed_over() {
    let scene = Scene::start();
    let environment = scene.environment("Production");
    let condition = json!({"attribute": "company.plan", "operator": "IS", "values": ["pro"]});
    let path = scene.own_path(&format!("/flags/search-v2/targeting/{environment}"));
    scene.call("PATCH", &path, &json!({"rules": [{"conditions": [condition]}]}));
    let acme = scene.path(&format!("/envs/{environment}/companies/acme"));
    scene.call("PUT", &acme, &json!({"attributes": {"plan": "pro"}}));
    let nested = |depth: usize| {
        serde_json::from_str::<Value>(&format!("{}{}", "[".repeat(depth), "]".repeat(depth)))
    };
    let many: serde_json::Map<_, _> = (0..1_001).map(|n| (format!("a{n}"), json!(n))).collect();
    for attributes in
        [json!({"deep": nested(40).unwrap()}), json!(many), json!({"n".repeat(300): 1})]
    {
        let issues = refused(&scene, "PUT", &acme, &json!({"attributes": attributes}));
        assert!(issues["attributes"][0].as_str().unwrap().contains("No rule"), "{issues}");
    }
    scene.call("PUT", &acme, &json!({"attributes": {"deep": nested(29).unwrap()}}));
    // As an earlier version let it in.
    let stored = json!({"deep": nested(40).unwrap(), "plan": "pro"}).to_string();
    let database = rusqlite::Connection::open(scene.database()).unwrap();
    database.execute("UPDATE entity SET attributes = ? WHERE id = 'acme'", [&stored]).unwrap();
    assert_eq!(scene.get(&format!("{acme}/flags"))["data"][1]["value"], true);
}

#[test]
fn the_command_lines_own_routes_answer_it() {
    let scene = Scene::start();
    let boot = scene.get("/api/bootstrap");
    assert_eq!(boot["org"]["featureKeyFormat"], "kebabCaseLower");
    let app = &boot["org"]["apps"][0];
    assert_eq!(app["id"], scene.app.as_str());
    assert_eq!(app["environments"][0]["isProduction"], true);
    for member in ["id", "name", "email"] {
        assert!(boot["user"][member].is_string(), "{boot}");
    }
    let environment = scene.environment("Production");
    let list = |rest: &str| scene.get(&scene.path(&format!("/features?envId={environment}{rest}")));
    let features = list("&sortBy=key&sortOrder=asc&includeRemoteConfigs=true");
    assert_eq!(
        features["data"][1]["remoteConfigs"],
        json!([{"variants": [
            {"variant": {"key": "small", "payload": {"model": "mini", "limit": 5.0}}},
            {"variant": {"key": "large", "payload": {"model": "maxi", "tags": ["slow", 1]}}},
        ]}])
    );
    assert_eq!(features["data"][0]["remoteConfigs"], json!([]));
    assert_eq!(features["data"][0]["stage"], json!(null));
    assert_eq!(list("&includeRemoteConfigs=false")["data"][1]["remoteConfigs"], json!([]));
    let issues = refused(&scene, "GET", &scene.path("/features"), &json!(null));
    assert!(issues["envId"][0].is_string());
    let made = scene.call(
        "POST",
        &scene.path("/features"),
        &json!({"source": "event", "name": "Gift cards", "key": "gift-cards"}),
    );
    assert_eq!(made["feature"]["key"], "gift-cards");
    assert_eq!(made["feature"]["description"], json!(null));
    scene.call("PATCH", &scene.path("/flags/gift-cards"), &json!({"isArchived": true}));
    assert_eq!(list("")["totalCount"], 2, "archived flags are left out");
    let body = json!({"source": "event", "name": "", "key": "gift-cards"});
    let reply = scene.admin_key().ask("POST", &scene.path("/features"), body.to_string());
    let body = reply.json();
    assert_eq!(body["validationErrors"][0]["path"], json!(["name"]), "{body}");
    assert!(body["issues"]["name"][0].is_string());
}
