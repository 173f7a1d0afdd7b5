//! Every mutation, by call or by command, leaves one entry in the audit log and raises the versions
//! of the environments that it touches, no other's.

use std::collections::BTreeMap;
use std::path::Path;

use burgee::origin::api::routes::{Operation, ROUTES, Route};
use burgee::origin::model::AuditEntry;
use burgee::origin::store::Store;
use burgee::time::Clock;
use serde_json::{Value, json};

use crate::commands::Shell;
use crate::scene::{SHOP, Scene, api_key, block_on, good};

const WHY: &str = "because";

/// Raise versions and say so in the head only: their bodies are the vendor's, in versions of its API
/// that had none, for its command line, or of deletions, whose answers hold nothing.
const SILENT: [Operation; 6] = [
    Operation::UpdateCompanyFlagsLegacyPath,
    Operation::UpdateUserFlagsLegacyPath,
    Operation::UpdateBulkFlagSpecificTargets,
    Operation::CliCreateFeature,
    Operation::DeleteCompany,
    Operation::DeleteUser,
];

/// A good call of one operation, and what is to come of it.
struct Good {
    path: String,
    body: Value,
    /// As the entry names what was done.
    did: &'static str,
    /// To what; none where it is only known afterwards.
    to: Option<String>,
    /// The environment of the entry.
    at: Option<&'static str>,
    raises: &'static [&'static str],
    says_why: bool,
    /// Whether the same call once more is another change.
    again: bool,
}

const NONE: &[&str] = &[];
const PRODUCTION: &[&str] = &["Production"];
const ALL: &[&str] = &["Production", "Staging"];

impl Good {
    fn new(path: impl Into<String>, body: Value, did: &'static str) -> Self {
        let path = path.into();
        Self { path, body, did, to: None, at: None, raises: NONE, says_why: false, again: false }
    }

    fn to(self, to: impl Into<String>) -> Self {
        Self { to: Some(to.into()), ..self }
    }

    fn at(self, at: &'static str) -> Self {
        Self { at: Some(at), ..self }
    }

    fn raises(self, raises: &'static [&'static str]) -> Self {
        Self { raises, ..self }
    }

    fn says_why(self) -> Self {
        Self { says_why: true, ..self }
    }

    fn again(self) -> Self {
        Self { again: true, ..self }
    }
}

fn id(made: &Value) -> String {
    made["id"].as_str().unwrap().to_owned()
}

/// A good call of an operation that changes something, with all that has to be there before it. A
/// new operation needs a row here.
#[expect(clippy::too_many_lines, reason = "it is a table")]
fn good_call(scene: &Scene, operation: Operation) -> Good {
    let production = scene.environment("Production");
    let entity = |rest: &str| scene.path(&format!("/envs/{production}/{rest}"));
    let updates = |member: &str| {
        let update = json!({"flagKey": "search-v2", member: true});
        json!({"updates": [update], "changeDescription": WHY})
    };
    let listed = |kind: &str, id: &str| {
        let path = entity(&format!("{kind}/{id}/flags"));
        scene.call("PATCH", &path, &updates("specificTargetValue"));
    };
    let targets = |path: String, member: &str| {
        let good = Good::new(path, updates(member), "targeting.targets").to("search-v2");
        good.at("Production").raises(PRODUCTION).says_why()
    };
    let own = |rest: &str| scene.own_path(rest);
    let rules = json!([{"conditions": [{"attribute": "company.plan", "operator": "IS", "values": ["pro"]}]}]);
    let new_segment = || {
        let made =
            scene.call("POST", &own("/segments"), &json!({"name": "Paying", "rules": rules}));
        id(&made)
    };
    let new_stage = || id(&scene.call("POST", &own("/stages"), &json!({"name": "Trial"})));
    match operation {
        Operation::CreateFlag => {
            let body = json!({"key": "gift-cards", "name": "Gift cards"});
            Good::new(scene.path("/flags"), body, "flag.create").to("gift-cards").raises(ALL)
        }
        Operation::CliCreateFeature => {
            let body = json!({"source": "event", "key": "gift-cards", "name": "Gift cards"});
            Good::new(scene.path("/features"), body, "flag.create").to("gift-cards").raises(ALL)
        }
        Operation::UpdateFlag => {
            let (path, body) = (scene.path("/flags/search-v2"), json!({"isArchived": true}));
            Good::new(path, body, "flag.update").to("search-v2").raises(ALL)
        }
        Operation::UpdateCompanyFlags => {
            targets(entity("companies/acme/flags"), "specificTargetValue")
        }
        Operation::UpdateUserFlags => targets(entity("users/ada/flags"), "specificTargetValue"),
        Operation::UpdateCompanyFlagsLegacyPath => {
            targets(scene.path(&format!("/companies/acme/flags?envId={production}")), "value")
        }
        Operation::UpdateUserFlagsLegacyPath => {
            targets(scene.path(&format!("/users/ada/flags?envId={production}")), "value")
        }
        Operation::UpdateBulkFlagSpecificTargets => {
            let path = scene.path(&format!("/flags/specific-targets/{production}"));
            let update = json!({"flagKey": "search-v2", "value": true, "companyId": "acme"});
            let body = json!({"updates": [update], "changeDescription": WHY});
            Good { body, ..targets(path, "value") }
        }
        Operation::UpsertCompany => {
            let body = json!({"name": "Acme", "attributes": {"plan": "pro"}});
            Good::new(entity("companies/acme"), body, "company.upsert").to("acme").at("Production")
        }
        Operation::UpsertUser => {
            let body = json!({"name": "Ada"});
            Good::new(entity("users/ada"), body, "user.upsert").to("ada").at("Production")
        }
        Operation::DeleteCompany => {
            listed("companies", "acme");
            let good = Good::new(entity("companies/acme"), json!({}), "company.delete").to("acme");
            good.at("Production").raises(PRODUCTION)
        }
        Operation::DeleteUser => {
            listed("users", "ada");
            let good = Good::new(entity("users/ada"), json!({}), "user.delete").to("ada");
            good.at("Production").raises(PRODUCTION)
        }
        Operation::AddCompanyUser => {
            let path = own(&format!("/envs/{production}/companies/acme/users/ada"));
            Good::new(path, json!({}), "company.member").to("acme").at("Production")
        }
        Operation::RemoveCompanyUser => {
            let path = own(&format!("/envs/{production}/companies/acme/users/ada"));
            scene.call("PUT", &path, &json!({}));
            Good::new(path, json!({}), "company.member").to("acme").at("Production")
        }
        Operation::CreateEnvironment => {
            // Its own number is the first.
            Good::new(own("/environments"), json!({"name": "Preview"}), "environment.create")
                .at("Preview")
        }
        Operation::UpdateEnvironment => {
            let staging = scene.environment("Staging");
            let path = own(&format!("/environments/{staging}"));
            Good::new(path, json!({"order": 7}), "environment.update").to(staging).at("Staging")
        }
        Operation::DeleteEnvironment => {
            let staging = scene.environment("Staging");
            let path = own(&format!("/environments/{staging}"));
            Good::new(path, json!({}), "environment.delete").to(staging)
        }
        Operation::RotateEnvironmentKey => {
            let path = own(&format!("/environments/{production}/keys/secret/rotate"));
            let good = Good::new(path, json!({}), "environment.rotate-key").to(production);
            good.at("Production").again()
        }
        Operation::CreateApiKey => {
            let body = json!({"name": "CI", "scopes": ["create:flag"]});
            Good::new(own("/api-keys"), body, "api-key.create").again()
        }
        Operation::RevokeApiKey => {
            let made = scene.call("POST", &own("/api-keys"), &json!({"name": "CI", "scopes": []}));
            let key = id(&made);
            Good::new(own(&format!("/api-keys/{key}")), json!({}), "api-key.revoke").to(key)
        }
        Operation::PutMember => {
            let body = json!({"name": "Ada", "email": "ada@shop.test"});
            Good::new(own("/members"), body, "member.create")
        }
        Operation::CreateStage => {
            Good::new(own("/stages"), json!({"name": "Trial"}), "stage.create")
        }
        Operation::UpdateStage => {
            let stage = new_stage();
            scene.call("PATCH", &scene.path("/flags/search-v2"), &json!({"stageId": stage}));
            let path = own(&format!("/stages/{stage}"));
            Good::new(path, json!({"name": "Pilot"}), "stage.update").to(stage).raises(ALL)
        }
        Operation::DeleteStage => {
            let stage = new_stage();
            Good::new(own(&format!("/stages/{stage}")), json!({}), "stage.delete").to(stage)
        }
        Operation::CreateSegment => {
            let body = json!({"name": "Paying", "rules": rules});
            Good::new(own("/segments"), body, "segment.create")
        }
        Operation::UpdateSegment => {
            let segment = new_segment();
            let targeting = own(&format!("/flags/search-v2/targeting/{production}"));
            scene.call("PATCH", &targeting, &json!({"segmentIds": [segment]}));
            let path = own(&format!("/segments/{segment}"));
            let good = Good::new(path, json!({"rules": []}), "segment.update").to(segment);
            // Nothing in Staging asks for it.
            good.raises(PRODUCTION)
        }
        Operation::DeleteSegment => {
            let segment = new_segment();
            Good::new(own(&format!("/segments/{segment}")), json!({}), "segment.delete").to(segment)
        }
        Operation::PutVariants => {
            let body = json!({"variants": [{"key": "a", "payload": 1}]});
            Good::new(own("/flags/search-v2/variants"), body, "flag.variants")
                .to("search-v2")
                .raises(ALL)
        }
        Operation::UpdateTargeting => {
            let path = own(&format!("/flags/search-v2/targeting/{production}"));
            let body = json!({"mode": "everyone", "changeDescription": WHY});
            let good = Good::new(path, body, "targeting.update").to("search-v2");
            good.at("Production").raises(PRODUCTION).says_why()
        }
        other => panic!("{other:?} changes something, and this table does not know it"),
    }
}

/// The latest entries of the audit log.
fn entries(scene: &Scene) -> Vec<Value> {
    let audit = scene.get(&scene.own_path("/audit?pageSize=1000"));
    audit["data"].as_array().unwrap().clone()
}

/// Versions by the environments' names.
fn versions(scene: &Scene) -> BTreeMap<String, u64> {
    let list = scene.get(&scene.path("/environments"));
    let environments = list["data"].as_array().unwrap().iter();
    let version = |environment: &Value| {
        let name = environment["name"].as_str().unwrap().to_owned();
        (name, environment["flagStateVersion"].as_u64().unwrap())
    };
    environments.map(version).collect()
}

fn ask(scene: &Scene, key: &str, route: &Route, good: &Good) -> crate::support::wire::Reply {
    scene.holding(key).ask(route.method, &good.path, good.body.to_string())
}

#[test]
fn every_mutation_leaves_one_entry_and_raises_what_it_touches() {
    for route in ROUTES.iter().filter(|route| route.method != "GET") {
        let scene = Scene::start();
        let what = format!("{:?}", route.operation);
        let call = good_call(&scene, route.operation);
        let reader = api_key(&scene.database(), &scene.app, &[]);
        let (before, held) = (versions(&scene), entries(&scene));

        // Whoever may not change anything leaves no trace.
        assert_eq!(ask(&scene, &reader, route, &call).status, 403, "{what}");
        assert_eq!(entries(&scene).len(), held.len(), "{what}: refused, and noted");

        let started = Clock::System.now().to_string();
        let reply = ask(&scene, &scene.key, route, &call);
        let answer = good(&reply);
        let ended = Clock::System.now().to_string();
        let log = entries(&scene);
        assert_eq!(log.len(), held.len() + 1, "{what}: {log:#?}");
        let entry = &log[0];
        assert_eq!(entry["operation"], call.did, "{what}");
        if let Some(to) = &call.to {
            assert_eq!(entry["subject"], **to, "{what}");
        }
        assert!(entry["actor"]["id"].as_str().unwrap().starts_with("ak"), "{what}: {entry}");
        assert_eq!(entry["actor"]["name"], "test", "{what}");
        let at = entry["at"].as_str().unwrap();
        assert!(*started <= *at && *at <= *ended, "{what}: {started} {at} {ended}");
        let at = call.at.map(|name| scene.environment(name));
        assert_eq!(entry["environmentId"], json!(at), "{what}");
        let why = call.says_why.then_some(WHY);
        assert_eq!(entry["changeDescription"], json!(why), "{what}");
        assert!(!entry["change"].is_null(), "{what}: {entry}");

        let after = versions(&scene);
        for (name, version) in &before {
            // One environment may be gone.
            let Some(now) = after.get(name) else { continue };
            let raised = u64::from(call.raises.contains(&name.as_str()));
            assert_eq!(*now, version + raised, "{what}: {name}");
            if raised > 0 && !SILENT.contains(&route.operation) {
                let environment = scene.environment(name);
                let told = match call.raises {
                    // It concerns one environment only.
                    [_] if call.at.is_some() => &answer["flagStateVersion"],
                    _ => &answer["flagStateVersions"][&environment],
                };
                assert_eq!(*told, json!(now), "{what}: {name} in {answer}");
            }
        }
        let told = reply.header("burgee-version").map(|told| told.parse().unwrap());
        let named = after.keys().find(|name| call.path.contains(&scene.environment(name)));
        let expected = match (route.operation, named) {
            (Operation::DeleteEnvironment, _) => None,
            (Operation::CreateEnvironment, _) => Some(1),
            (_, Some(name)) => Some(after[name]),
            (_, None) if call.raises.is_empty() => after.values().max().copied(),
            (_, None) => call.raises.iter().map(|name| after[*name]).max(),
        };
        assert_eq!(told, expected, "{what}");
        if let (Some(name), [_]) = (call.at, call.raises) {
            assert_eq!(entry["flagStateVersion"], after[name], "{what}");
        }

        let _ = ask(&scene, &scene.key, route, &call);
        let expected = log.len() + usize::from(call.again);
        assert_eq!(entries(&scene).len(), expected, "{what}: once more");
        if !call.again {
            assert_eq!(versions(&scene), after, "{what}: once more");
        }
    }
}

#[test]
fn what_is_used_nowhere_raises_nothing() {
    let scene = Scene::start();
    let stage = id(&scene.call("POST", &scene.own_path("/stages"), &json!({"name": "Trial"})));
    let rules = json!([{"conditions": [{"attribute": "user.id", "operator": "SET"}]}]);
    let segment = json!({"name": "Paying", "rules": rules});
    let segment = id(&scene.call("POST", &scene.own_path("/segments"), &segment));
    let before = versions(&scene);
    let path = scene.own_path(&format!("/stages/{stage}"));
    scene.call("PATCH", &path, &json!({"name": "Pilot"}));
    let path = scene.own_path(&format!("/segments/{segment}"));
    scene.call("PATCH", &path, &json!({"rules": []}));
    assert_eq!(versions(&scene), before);
}

#[test]
fn several_flags_of_one_call_have_an_entry_each_and_one_version() {
    let scene = Scene::start();
    let environment = scene.environment("Production");
    let path = scene.path(&format!("/envs/{environment}/companies/acme/flags"));
    let before = versions(&scene)["Production"];
    let held = entries(&scene).len();
    let updates = json!({"updates": [
        {"flagKey": "search-v2", "specificTargetValue": true},
        {"flagKey": "new-checkout-flow", "specificTargetValue": true},
    ], "changeDescription": WHY});
    scene.call("PATCH", &path, &updates);
    let log = entries(&scene);
    assert_eq!(log.len(), held + 2);
    for entry in &log[..2] {
        assert_eq!(
            (&entry["flagStateVersion"], &entry["changeDescription"]),
            (&json!(before + 1), &json!(WHY))
        );
    }
    assert_eq!(versions(&scene)["Production"], before + 1);
}

/// The whole audit log of the only app, the latest entry first.
fn log_of(database: &Path) -> Vec<AuditEntry> {
    let store = Store::open(database, Clock::System).unwrap();
    let log = store.read(|reader| reader.audit(&reader.find_app("Shop")?.id, None, 1_000));
    block_on(log).unwrap()
}

/// The commands in the words of their documentation, one after another.
fn run_all_commands(shell: &Shell, database: &Path) {
    let file = ["--config", "burgee.toml"];
    let run = |arguments: &[&str]| {
        let (command, rest) = arguments.split_first().unwrap();
        shell.good(&[&[*command][..], &file, rest].concat())
    };
    // How many entries a command leaves, what the last of them says was done, and what it printed.
    let leaves = |entries: usize, did: &str, arguments: &[&str]| {
        let before = log_of(database).len();
        let printed = run(arguments);
        let log = log_of(database);
        assert_eq!(log.len(), before + entries, "{arguments:?}");
        for entry in &log[..entries] {
            assert_eq!(entry.operation, did, "{arguments:?}");
            assert_eq!(
                (entry.actor.as_str(), entry.actor_name.as_str()),
                ("command-line", "burgee origin")
            );
        }
        printed
    };
    let apps: Value = serde_json::from_str(&leaves(0, "", &["apps", "--json"])).unwrap();
    let app = apps[0]["id"].as_str().unwrap();
    let environment = apps[0]["environments"][0]["id"].as_str().unwrap();
    assert!(leaves(0, "", &["apps"]).contains(app));
    leaves(0, "", &["export"]);
    shell.write("changed.toml", &SHOP.replace("Finds more", "Finds less"));
    leaves(0, "", &["apply", "--dry-run", "changed.toml"]);
    leaves(1, "flag.update", &["apply", "changed.toml"]);
    leaves(0, "", &["apply", "changed.toml"]);
    let scopes = "create:flag,write:flag:targeting";
    let create = ["create-api-key", "--app", app, "--scopes", scopes];
    let key = leaves(1, "api-key.create", &create);
    leaves(1, "api-key.revoke", &["revoke-api-key", &key[..8]]);
    leaves(0, "", &["revoke-api-key", &key[..8]]);
    for kind in ["publishable", "secret"] {
        let rotate = ["rotate-key", "--environment", environment, "--kind", kind, "--grace", "24h"];
        let new = leaves(1, "environment.rotate-key", &rotate);
        assert!(new.starts_with(&kind[..3]) && new.lines().count() == 1, "{new}");
    }
}

#[test]
fn commands_leave_their_entries_while_no_server_runs() {
    let shell = Shell::new();
    shell.write("shop.toml", SHOP);
    let printed = shell.good(&["apply", "--config", "burgee.toml", "shop.toml"]);
    let log = log_of(&shell.database());
    // The plan is told line by line as it is noted.
    let plan = printed.lines().filter_map(|line| line.strip_prefix("  "));
    let plan: Vec<&str> = plan.take_while(|line| line.contains('.')).collect();
    assert_eq!(plan.len(), log.len(), "{printed}");
    for (line, entry) in plan.iter().zip(log.iter().rev()) {
        assert!(line.starts_with(&entry.operation), "{line}: {entry:?}");
    }
    run_all_commands(&shell, &shell.database());
}

#[test]
fn commands_leave_their_entries_beside_a_server() {
    let scene = Scene::start();
    let shell = Shell::new();
    shell.configure(&scene.database());
    run_all_commands(&shell, &scene.database());
    // The server tells them, too.
    let latest = &entries(&scene)[0];
    assert_eq!(latest["actor"], json!({"id": "command-line", "name": "burgee origin"}));
    assert_eq!(latest["operation"], "environment.rotate-key");
}

#[test]
fn all_that_changed_of_a_stage_is_in_its_entries() {
    let scene = Scene::start();
    let production = scene.environment("Production");
    let access = json!({"everyone": true, "segments": [], "rules": []});
    let targeting = json!({&production: {"everyone": true}});
    let stage = json!({"name": "Trial", "color": "red", "order": 1, "targeting": targeting});
    let stage = id(&scene.call("POST", &scene.own_path("/stages"), &stage));
    let change = &entries(&scene)[0]["change"];
    assert_eq!(
        *change,
        json!({"name": "Trial", "color": "red", "order": 1, "targeting": {&production: access}})
    );
    let path = scene.own_path(&format!("/stages/{stage}"));
    scene.call("PATCH", &path, &json!({"color": "blue", "order": 7}));
    let change = &entries(&scene)[0]["change"];
    assert_eq!(change["color"], json!({"from": "red", "to": "blue"}));
    assert_eq!(change["order"], json!({"from": 1, "to": 7}));
}
