//! Operation by operation: what does not fit is refused member by member, and what is not there is
//! not there. Nothing of either is kept.

use burgee::origin::api::routes::{Operation, ROUTES};
use serde_json::{Value, json};

use crate::scene::Scene;

/// Bodies that do not fit, with the place of what is wrong with each. A new operation needs a row.
#[expect(clippy::too_many_lines, reason = "it is a table")]
fn bad_bodies(operation: Operation) -> Vec<(Value, &'static str)> {
    let long = "x".repeat(256);
    let updates = |member: &str| {
        vec![
            (json!({}), "updates"),
            (json!({"updates": []}), "updates"),
            (json!({"updates": "all"}), "updates"),
            (json!({"updates": [7]}), "updates.0"),
            (json!({"updates": [{member: true}]}), "updates.0.flagKey"),
            (json!({"updates": [{"flagKey": 7, member: true}]}), "updates.0.flagKey"),
            (json!({"updates": [{"flagKey": "nope", member: true}]}), "updates.0.flagKey"),
            (json!({"updates": [{"flagKey": "search-v2"}]}), "updates.0.specificTargetValue"),
            (
                json!({"updates": [{"flagKey": "search-v2", member: false}]}),
                "updates.0.specificTargetValue",
            ),
            (
                json!({"updates": [{"flagKey": "search-v2", member: true}], "notifications": 1}),
                "notifications",
            ),
            (
                json!({"updates": [{"flagKey": "search-v2", member: true}], "changeDescription": []}),
                "changeDescription",
            ),
        ]
    };
    let flag = vec![
        (json!({"name": 1}), "name"),
        (json!({"name": ""}), "name"),
        (json!({"name": long}), "name"),
        (json!({"description": "d".repeat(8_193)}), "description"),
        (json!({"description": 1}), "description"),
        (json!({"stageId": "st"}), "stageId"),
        (json!({"stageId": null}), "stageId"),
        (json!({"stageId": "st000000000000"}), "stageId"),
        (json!({"ownerUserId": 1}), "ownerUserId"),
        (json!({"ownerUserId": "us000000000000"}), "ownerUserId"),
        (json!({"permanent": 1}), "permanent"),
        (json!({"secret": "no"}), "secret"),
        (json!({"typo": 1}), "typo"),
    ];
    match operation {
        Operation::CreateFlag => {
            let whole = |(change, place): (Value, &'static str)| {
                let mut body = json!({"key": "new-flag", "name": "New"});
                body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
                (body, place)
            };
            let mut bodies: Vec<_> = flag.into_iter().map(whole).collect();
            bodies.extend([
                (json!({"name": "x"}), "key"),
                (json!({"key": "x"}), "name"),
                (json!({"key": "search-v2", "name": "x"}), "key"),
                (json!({"key": "Not Kebab", "name": "x"}), "key"),
                (json!({"key": long, "name": "x"}), "key"),
                (json!({"key": "x", "name": "x", "isArchived": true}), "isArchived"),
            ]);
            bodies
        }
        Operation::UpdateFlag => {
            let mut bodies = flag;
            bodies.push((json!({"key": "x"}), "key"));
            bodies.push((json!({"isArchived": null}), "isArchived"));
            bodies
        }
        Operation::CliCreateFeature => vec![
            (json!({"key": "x"}), "name"),
            (json!({"name": "x"}), "key"),
            (json!({"key": "search-v2", "name": "x"}), "key"),
            (json!({"key": 1, "name": "x"}), "key"),
        ],
        Operation::UpdateCompanyFlags | Operation::UpdateUserFlags => {
            updates("specificTargetValue")
        }
        Operation::UpdateCompanyFlagsLegacyPath | Operation::UpdateUserFlagsLegacyPath => {
            updates("value")
        }
        Operation::UpdateBulkFlagSpecificTargets => {
            let one = |member: &str, value: Value| {
                let mut update = json!({"flagKey": "search-v2", "value": true, "companyId": "a"});
                update[member] = value;
                json!({"updates": [update]})
            };
            vec![
                (json!({}), "updates"),
                (json!({"updates": []}), "updates"),
                (one("flagKey", json!("nope")), "updates.0.flagKey"),
                (one("flagKey", json!(null)), "updates.0.flagKey"),
                (one("value", json!(false)), "updates.0.value"),
                (one("companyId", json!(1)), "updates.0.companyId"),
                (one("companyId", json!("x".repeat(257))), "updates.0.companyId"),
                (one("companyId", json!(null)), "updates.0"),
                (one("userId", json!("")), "updates.0.userId"),
            ]
        }
        Operation::UpsertCompany | Operation::UpsertUser => vec![
            (json!({"name": 1}), "name"),
            (json!({"attributes": []}), "attributes"),
            (json!({"attributes": {"a": "x".repeat(70_000)}}), "attributes"),
            (json!({"id": "other"}), "id"),
        ],
        Operation::DeleteCompany => {
            vec![(json!({"deleteUsers": 1}), "deleteUsers"), (json!({"typo": 1}), "typo")]
        }
        Operation::CreateEnvironment => vec![
            (json!({}), "name"),
            (json!({"name": "staging"}), "name"),
            (json!({"name": "Second", "isProduction": true}), "isProduction"),
            (json!({"name": "x", "isProduction": "no"}), "isProduction"),
            (json!({"name": "x", "order": 1}), "order"),
        ],
        Operation::UpdateEnvironment => vec![
            (json!({"name": "Production"}), "name"),
            (json!({"order": -1}), "order"),
            (json!({"isProduction": true}), "isProduction"),
        ],
        Operation::RotateEnvironmentKey => vec![
            (json!({"graceSeconds": -1}), "graceSeconds"),
            (json!({"graceSeconds": 7_776_001}), "graceSeconds"),
            (json!({"grace": "1h"}), "grace"),
        ],
        Operation::CreateApiKey => vec![
            (json!({"scopes": []}), "name"),
            (json!({"name": "x", "scopes": "read"}), "scopes"),
            (json!({"name": "x", "scopes": ["all"]}), "scopes.0"),
            (json!({"name": "x", "scope": []}), "scope"),
        ],
        Operation::PutMember => vec![
            (json!({"email": "a@b.test"}), "name"),
            (json!({"name": "x"}), "email"),
            (json!({"name": "x", "email": "nowhere"}), "email"),
        ],
        Operation::CreateStage => vec![
            (json!({}), "name"),
            (json!({"name": "Beta"}), "name"),
            (json!({"name": "x", "color": ""}), "color"),
            (json!({"name": "x", "color": "c".repeat(65)}), "color"),
            (json!({"name": "x", "order": 1.5}), "order"),
            (json!({"name": "x", "targeting": []}), "targeting"),
            (json!({"name": "x", "targeting": {"en000000000000": {}}}), "targeting.en000000000000"),
        ],
        Operation::UpdateStage => vec![
            (json!({"name": "Internal"}), "name"),
            (json!({"name": ""}), "name"),
            (json!({"typo": 1}), "typo"),
        ],
        Operation::CreateSegment => vec![
            (json!({"rules": []}), "name"),
            (json!({"name": "x"}), "rules"),
            (json!({"name": "All companies", "rules": []}), "name"),
            (json!({"name": "x", "rules": [{}]}), "rules.0.conditions"),
            (
                json!({"name": "x", "rules": [{"conditions": [{"flag": "search-v2"}]}]}),
                "rules.0.conditions.0.flag",
            ),
            (
                json!({"name": "x", "rules": [{"conditions": [{"attribute": "a", "operator": "LIKE"}]}]}),
                "rules.0.conditions.0.operator",
            ),
        ],
        Operation::UpdateSegment => {
            vec![(json!({"name": ""}), "name"), (json!({"rules": {}}), "rules")]
        }
        Operation::PutVariants => vec![
            (json!({}), "variants"),
            (json!({"variants": {}}), "variants"),
            (json!({"variants": [{"payload": 1}]}), "variants.0.key"),
            (json!({"variants": [{"key": "a"}, {"key": "a"}]}), "variants.1.key"),
            (json!({"variants": [{"key": "a", "typo": 1}]}), "variants.0.typo"),
        ],
        Operation::UpdateTargeting => vec![
            (json!({"mode": "most"}), "mode"),
            (json!({"everyone": 1}), "everyone"),
            (json!({"companyIds": "acme"}), "companyIds"),
            (json!({"userIds": [""]}), "userIds.0"),
            (json!({"segmentIds": ["sg000000000000"]}), "segmentIds.0"),
            (json!({"rules": [{"conditions": 1}]}), "rules.0.conditions"),
            (json!({"config": {"default": "nope"}}), "config"),
            (json!({"expectedVersion": "1"}), "expectedVersion"),
            (json!({"typo": 1}), "typo"),
        ],
        // These read no body.
        Operation::DeleteUser
        | Operation::DeleteEnvironment
        | Operation::RevokeApiKey
        | Operation::DeleteStage
        | Operation::DeleteSegment
        | Operation::AddCompanyUser
        | Operation::RemoveCompanyUser => vec![],
        other => panic!("{other:?} changes something, and this table does not know it"),
    }
}

/// A route's path where everything is there; stages and segments are the app's own.
fn path_of(scene: &Scene, path: &str, environment: &str, stage: &str, segment: &str) -> String {
    let path = path
        .replace("{appId}", scene.app.as_str())
        .replace("{envId}", environment)
        .replace("{flagKey}", "search-v2")
        .replace("{flagId}", "search-v2")
        .replace("{kind}", "secret")
        .replace("{companyId}", "acme")
        .replace("{userId}", "ada")
        .replace("{stageId}", stage)
        .replace("{segmentId}", segment);
    let is_retired = path.ends_with("/flags") && !path.contains("/envs/");
    if is_retired && !path.ends_with(&format!("{}/flags", scene.app)) {
        return format!("{path}?envId={environment}");
    }
    path
}

#[test]
fn every_operation_says_what_is_wrong_with_which_member_and_keeps_nothing_of_it() {
    let scene = Scene::start();
    let app = scene.get(&scene.path(""));
    let stage = app["stages"][2]["id"].as_str().unwrap();
    let rules = json!([{"conditions": [{"attribute": "user.id", "operator": "SET"}]}]);
    let segment = json!({"name": "Known", "rules": rules});
    let segment = scene.call("POST", &scene.own_path("/segments"), &segment);
    let segment = segment["id"].as_str().unwrap();
    let staging = scene.environment("Staging");
    let audit = scene.own_path("/audit?pageSize=1000");
    let before = (scene.get(&audit), scene.get(&scene.path("/environments")));
    let mut refused = 0;
    for route in ROUTES.iter().filter(|route| route.method != "GET") {
        let path = path_of(&scene, route.path, &staging, stage, segment);
        for (body, place) in bad_bodies(route.operation) {
            let what = format!("{} {path} {body}", route.method);
            let reply = scene.admin_key().ask(route.method, &path, body.to_string());
            assert_eq!(reply.status, 400, "{what}: {}", reply.text());
            let answer = reply.json();
            assert_eq!(answer["error"]["code"], "invalid_request", "{what}: {answer}");
            assert!(answer["issues"][place][0].is_string(), "{what}: {answer}");
            let for_people = answer["validationErrors"].is_array();
            assert_eq!(for_people, route.operation.is_command_lines(), "{what}: {answer}");
            refused += 1;
        }
    }
    assert!(refused > 100, "{refused}");
    assert_eq!((scene.get(&audit), scene.get(&scene.path("/environments"))), before);
}

#[test]
fn members_that_come_twice_are_no_fault_of_ours() {
    let scene = Scene::start();
    let path = scene.own_path("/flags/search-v2/variants");
    for body in [
        r#"{"variants":[{"key":"a","payload":1,"payload":2}]}"#,
        r#"{"variants":[],"variants":[{"key":"a"}]}"#,
    ] {
        let reply = scene.admin_key().ask("PUT", &path, body);
        assert_eq!(reply.status, 400, "{body}: {}", reply.text());
        assert_eq!(reply.json()["error"]["code"], "invalid_request");
    }
}

#[test]
fn what_a_path_names_and_is_not_there_is_a_404() {
    let scene = Scene::start();
    let environment = scene.environment("Staging");
    let unknown = [
        ("{flagKey}", "nope"),
        ("{flagId}", "fl000000000000"),
        ("{apiKeyId}", "ak000000000000"),
        ("{stageId}", "st000000000000"),
        ("{segmentId}", "sg000000000000"),
        ("{kind}", "other"),
    ];
    let mut asked = 0;
    for route in ROUTES {
        let Some((_, value)) = unknown.iter().find(|(name, _)| route.path.contains(name)) else {
            continue;
        };
        let mut path = route.path.to_owned();
        for (name, value) in unknown {
            path = path.replace(name, value);
        }
        let path = path_of(&scene, &path, &environment, "", "");
        let body = match route.operation {
            Operation::PutVariants => r#"{"variants":[]}"#,
            _ if route.method == "GET" => "",
            _ => "{}",
        };
        let reply = scene.admin_key().ask(route.method, &path, body);
        assert_eq!(reply.status, 404, "{} {path}: {}", route.method, reply.text());
        let answer = reply.json();
        assert_eq!(answer["error"]["code"], "not_found", "{path}");
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(!message.starts_with("There is no app"), "{value}: {answer}");
        asked += 1;
    }
    assert!(asked >= 14, "{asked}");
    // Companies and users need not be there to be asked about, but to be looked up or deleted.
    for kind in ["companies", "users"] {
        let path = scene.path(&format!("/envs/{environment}/{kind}/nobody"));
        assert_eq!(scene.admin_key().get(&format!("{path}/flags")).status, 200);
        assert_eq!(scene.admin_key().ask("DELETE", &path, "").status, 404);
        let own = scene.own_path(&format!("/envs/{environment}/{kind}/nobody"));
        assert_eq!(scene.admin_key().get(&own).status, 404);
    }
    let features = scene.path("/features?envId=en000000000000");
    assert_eq!(scene.admin_key().get(&features).status, 404);
}

#[test]
fn ids_of_companies_and_users_are_any_text_encoded_as_one_part_of_the_path() {
    let scene = Scene::start();
    let environment = scene.environment("Production");
    let ids = [
        ("acme%2Feu%201%25%20%C3%BC", "acme/eu 1% ü"),
        ("a%2520b", "a%20b"),
        ("plus+plus", "plus+plus"),
        ("%2E%2E", ".."),
        ("%22%27%3B--", "\"';--"),
        ("%F0%9F%8F%B4", "🏴"),
        ("question%3Fmark%23hash", "question?mark#hash"),
    ];
    for (encoded, id) in ids {
        for (kind, list) in [("companies", "companyIds"), ("users", "userIds")] {
            let path = scene.path(&format!("/envs/{environment}/{kind}/{encoded}"));
            assert_eq!(scene.call("PUT", &path, &json!({}))["id"], id);
            let update = json!({"flagKey": "search-v2", "specificTargetValue": true});
            let path = format!("{path}/flags");
            let answer = scene.call("PATCH", &path, &json!({"updates": [update]}));
            assert_eq!(answer["data"][1]["value"], true, "{id}");
            let targeting = scene.path(&format!("/flags/search-v2/targeting/{environment}"));
            let listed = scene.get(&targeting)["specificTargets"]["true"][list].clone();
            assert!(listed.as_array().unwrap().contains(&json!(id)), "{id}: {listed}");
        }
    }
    let path = scene.path(&format!("/envs/{environment}/companies/%ff/flags"));
    assert_eq!(scene.admin_key().get(&path).status, 400);
}

#[test]
fn many_writers_at_once_lose_nothing_and_share_no_version() {
    let scene = Scene::start();
    let environment = scene.environment("Production");
    let before = scene.get(&scene.path(&format!("/environments/{environment}")));
    let before = before["flagStateVersion"].as_u64().unwrap();
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let mut session = scene.admin_key().connect();
            let prefix = scene.path(&format!("/envs/{environment}/companies"));
            std::thread::spawn(move || {
                let change = |n| {
                    let path = format!("{prefix}/c-{writer}-{n}/flags");
                    // Every fourth changes nothing that is there, and says so.
                    let flag = if n % 4 == 3 { "nope" } else { "search-v2" };
                    let update = json!({"flagKey": flag, "specificTargetValue": true});
                    let body = json!({"updates": [update]}).to_string();
                    let reply = session.ask("PATCH", &path, body);
                    assert_eq!(reply.status, if flag == "nope" { 400 } else { 200 });
                    reply.json()["flagStateVersion"].as_u64()
                };
                (0..40).filter_map(change).collect::<Vec<_>>()
            })
        })
        .collect();
    let mut versions: Vec<u64> = writers.into_iter().flat_map(|w| w.join().unwrap()).collect();
    versions.sort_unstable();
    let expected: Vec<u64> = (before + 1..=before + 240).collect();
    assert_eq!(versions, expected, "each change has the next number, and a refused one has none");
    let targets = scene.own_path(&format!("/flags/search-v2/targeting/{environment}/companies"));
    assert_eq!(scene.get(&targets)["totalCount"], 240);
}
