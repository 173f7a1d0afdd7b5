//! `burgee origin`: the binary, beside a server that runs and without one.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

use burgee::origin::store::{SegmentChange, StageChange, TargetingChange};

use crate::scene::{SHOP, Scene, good, write};
use crate::support::{until, wire::Caller};

/// A folder with a configuration, and commands in it.
pub(crate) struct Shell(tempfile::TempDir);

impl Shell {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let shell = Self(folder);
        shell.configure(&shell.database());
        shell
    }

    /// Where the database is unless it is configured elsewhere.
    pub(crate) fn database(&self) -> PathBuf {
        self.0.path().join("state/origin.db")
    }

    pub(crate) fn configure(&self, database: &Path) {
        let toml = format!(
            "[origin]\ndatabase = \"sqlite:{}\"\n[[environments]]\nname = \"shop\"\n\
             source = {{ type = \"origin\", app = \"Shop\", environment = \"production\" }}\n",
            database.display()
        );
        std::fs::write(self.0.path().join("burgee.toml"), toml).unwrap();
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.burgee(&[&["origin"], arguments].concat())
    }

    /// Any command.
    fn burgee(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_burgee"));
        command.args(arguments).current_dir(self.0.path()).env_clear();
        command.output().unwrap()
    }

    #[track_caller]
    pub(crate) fn good(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    #[track_caller]
    fn refused(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.path().join(name), text).unwrap();
    }
}

/// Everything that a file can say.
const EVERYTHING: &str = r#"
[app]
name = "Shop"
flag_key_format = "custom"
[[environments]]
name = "Production"
production = true
[[environments]]
name = "Staging"
[[members]]
name = "Ada"
email = "ada@shop.test"
[[segments]]
name = "Paying \"customers\""
rules = [{ conditions = [{ attribute = "company.plan", operator = "ANY_OF", values = ["pro", "ü"] }] }]
[[stages]]
name = "Trial"
color = "tomato"
[[stages.targeting]]
environment = "Staging"
segments = ["Paying \"customers\""]
rules = [{ conditions = [{ segment = "Paying \"customers\"", matches = false }], rollout = { percentage = 12.5, attribute = "user.id" } }]
[[flags]]
key = "Any key!"
name = "Any"
description = "a\nb"
owner = "ada@shop.test"
secret = true
permanent = true
[[flags]]
key = "off"
name = "Off by itself"
stage = "Trial"
archived = true
[[flags]]
key = "on"
name = "On"
[[flags.variants]]
key = "small"
payload = { limit = 5, share = 0.5 }
[[flags.variants]]
key = "exact"
payload_json = '{"n":5.0,"none":null,"big":18446744073709551616}'
[[flags.variants]]
key = "bare"
[[targeting]]
flag = "off"
environment = "Staging"
everyone = false
segments = []
rules = []
[[targeting]]
flag = "on"
environment = "Production"
companies = ["acme", "globex"]
users = ["ada"]
segments = ["Paying \"customers\""]
rules = [{ conditions = [{ flag = "Any key!", enabled = false }, { attribute = "other.x", operator = "SET" }] }]
rollout = { percentage = 25 }
[targeting.config]
default = "small"
segments = [{ segment = "Paying \"customers\"", variant = "exact" }]
companies = { "acme/eu 1" = "exact" }
users = { ada = "bare" }
"#;

#[test]
fn what_is_exported_makes_the_same_of_an_empty_database() {
    let first = Shell::new();
    first.write("shop.toml", EVERYTHING);
    first.good(&["apply", "shop.toml"]);
    let exported = first.good(&["export"]);
    let second = Shell::new();
    second.write("exported.toml", &exported);
    second.good(&["apply", "exported.toml"]);
    assert_eq!(second.good(&["export"]), exported);
    assert!(second.good(&["apply", "exported.toml"]).contains("Nothing to change"));
    assert!(first.good(&["apply", "shop.toml"]).contains("Nothing to change"));
    assert!(
        exported.contains("18446744073709551616") && exported.contains("acme/eu 1"),
        "{exported}"
    );
}

#[test]
fn a_plan_comes_first_and_a_dry_run_changes_nothing() {
    let shell = Shell::new();
    shell.write("shop.toml", SHOP);
    let plan = shell.good(&["apply", "--dry-run", "shop.toml"]);
    assert!(plan.contains("flag.create new-checkout-flow"), "{plan}");
    assert!(plan.contains("Nothing was changed"), "{plan}");
    assert!(!shell.database().exists());
    let applied = shell.good(&["apply", "shop.toml"]);
    let (at_plan, at_key) = (applied.find("Plan for").unwrap(), applied.find("sec_prod_").unwrap());
    assert!(at_plan < at_key, "{applied}");
    let changed = SHOP.replace("Finds more", "Finds less");
    shell.write("shop.toml", &changed);
    let applied = shell.good(&["apply", "shop.toml"]);
    assert!(applied.contains("1 change\n  flag.update search-v2\n"), "{applied}");
    assert!(!applied.contains("sec_prod_"), "keys are shown when they are made");
    let apps: Value = serde_json::from_str(&shell.good(&["apps", "--json"])).unwrap();
    assert_eq!(apps[0]["name"], "Shop");
    assert_eq!(apps[0]["id"].as_str().unwrap().len(), 14);
}

#[test]
fn a_file_that_does_not_fit_is_refused_as_a_whole_with_each_place() {
    let shell = Shell::new();
    shell.write("shop.toml", "[app]\nnam = \"x\"\n[[flags]]\nkey = 1\n");
    let errors = shell.refused(2, &["apply", "shop.toml"]);
    for place in ["app.nam", "app.name", "flags.0.key"] {
        assert!(errors.contains(place), "{errors}");
    }
    shell.write("shop.toml", "[app\n");
    assert!(shell.refused(2, &["apply", "shop.toml"]).contains("line 1"));
    let wrong = format!("{SHOP}\n[[targeting]]\nflag = \"nope\"\nenvironment = \"Production\"\n");
    shell.write("shop.toml", &wrong);
    let errors = shell.refused(2, &["apply", "shop.toml"]);
    assert!(errors.contains("targeting.0"), "{errors}");
    assert!(!shell.database().exists(), "nothing was made");
    shell.refused(2, &["apply", "missing.toml"]);
}

#[test]
fn keys_are_made_and_revoked_beside_a_running_server() {
    let scene = Scene::start();
    let shell = Shell::new();
    shell.configure(&scene.database());
    let key = shell.good(&[
        "create-api-key",
        "--app",
        "Shop",
        "--scopes",
        "create:flag,write:flag:targeting",
    ]);
    let key = key.trim_end();
    assert!(key.starts_with("api_") && !key.contains(char::is_whitespace), "only the key: {key:?}");
    good(&scene.holding(key).get("/api/apps"));
    shell.good(&["revoke-api-key", &key[..8]]);
    assert_eq!(scene.holding(key).get("/api/apps").status, 401);
    let errors = shell.refused(2, &["create-api-key", "--app", "Shop", "--scopes", "everything"]);
    assert!(errors.contains("write:flag:targeting"), "{errors}");
    shell.refused(1, &["create-api-key", "--app", "Nobody's"]);
    shell.refused(1, &["revoke-api-key", "ak000000000000"]);
}

#[test]
fn a_running_server_notices_what_a_command_changes() {
    let scene = Scene::start();
    let shell = Shell::new();
    shell.configure(&scene.database());
    let rotated = shell.good(&[
        "rotate-key",
        "--environment",
        "Shop/production",
        "--kind",
        "publishable",
        "--grace",
        "1h",
    ]);
    let at = Caller::of(scene.edge).bearer(rotated.trim_end());
    until("the new key at the edge", || {
        (at.get("/features/evaluated").status == 200).then_some(())
    });
    let everyone =
        "\n[[targeting]]\nflag = \"search-v2\"\nenvironment = \"Production\"\neveryone = true\n";
    shell.write("shop.toml", &format!("{SHOP}{everyone}"));
    shell.good(&["apply", "shop.toml"]);
    until("the change at the edge", || {
        let answer = at.get("/features/evaluated").json();
        (answer["features"]["search-v2"]["isEnabled"] == json!(true)).then_some(())
    });
    let id = scene.environment("Production");
    shell.good(&["rotate-key", "--environment", &id, "--kind", "secret", "--grace", "0s"]);
    shell
        .refused(2, &["rotate-key", "--environment", &id, "--kind", "secret", "--grace", "1 year"]);
    shell.refused(1, &["rotate-key", "--environment", "en000000000000", "--kind", "secret"]);
}

#[test]
fn without_an_origin_or_a_database_it_is_said_what_to_do() {
    let shell = Shell::new();
    let errors = shell.refused(1, &["apps"]);
    assert!(errors.contains("origin apply"), "{errors}");
    assert!(!shell.0.path().join("state").exists(), "asking makes nothing");
    shell.write("flags.json", r#"{"features":[]}"#);
    shell.write("burgee.toml", "[[environments]]\nname = \"a\"\nsecret_keys = [\"s\"]\nsource = { type = \"file\", path = \"flags.json\" }\n");
    let errors = shell.refused(2, &["apps"]);
    assert!(errors.contains("[origin]"), "{errors}");
}

/// An entry of a file.
fn targeting_in_staging(flag: &str, rules: &str) -> String {
    format!("[[targeting]]\nflag = \"{flag}\"\nenvironment = \"Staging\"\nrules = [{rules}]\n")
}

#[test]
fn a_file_whose_definitions_would_be_too_long_is_refused_by_its_plan() {
    let shell = Shell::new();
    let conditions = |flag: &str| vec![format!("{{ flag = \"{flag}\" }}"); 100].join(", ");
    let mut file = format!("{SHOP}[[flags]]\nkey = \"last\"\n");
    for (flag, other) in [("search-v2", "new-checkout-flow"), ("last", "search-v2")] {
        let rule = format!("{{ conditions = [{}] }}", conditions(other));
        let rules = vec![rule; 100].join(", ");
        file.push_str(&targeting_in_staging(flag, &rules));
    }
    shell.write("shop.toml", &file);
    for more in [&["--dry-run", "shop.toml"][..], &["shop.toml"]] {
        let error = shell.refused(2, &[&["apply"], more].concat());
        assert!(error.contains("definitions of Staging") && error.contains("`last`"), "{error}");
    }
}

#[test]
fn whoever_only_looks_makes_nothing_and_waits_for_no_writer() {
    let shell = Shell::new();
    shell.write("shop.toml", SHOP);
    let plan = shell.good(&["apply", "--dry-run", "shop.toml"]);
    assert!(
        plan.contains("Plan for a new app") && plan.contains("flag.create search-v2"),
        "{plan}"
    );
    assert!(!shell.database().parent().unwrap().exists(), "a dry run makes no database");
    assert!(shell.refused(1, &["export"]).contains("there is no database"));
    assert!(!shell.database().exists());
    shell.good(&["apply", "shop.toml"]);
    let writer = rusqlite::Connection::open(shell.database()).unwrap();
    writer.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert!(shell.good(&["apps"]).contains("Shop"));
    assert!(shell.good(&["export"]).contains("search-v2"));
    let more = format!("{SHOP}[[flags]]\nkey = \"more\"\n");
    shell.write("shop.toml", &more);
    let plan = shell.good(&["apply", "--dry-run", "shop.toml"]);
    assert!(plan.contains(": 1 change\n") && plan.contains("flag.create more"), "{plan}");
}

#[test]
fn a_database_that_cannot_be_used_is_a_problem_of_the_configuration() {
    let shell = Shell::new();
    let check = || {
        let output = shell.burgee(&["check"]);
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(check().0, Some(0), "{}", check().1);
    assert!(!shell.database().parent().unwrap().exists(), "a check makes no database");
    shell.write("shop.toml", SHOP);
    shell.good(&["apply", "shop.toml"]);
    assert_eq!(check().0, Some(0), "{}", check().1);
    let key = shell.database().with_extension("db.key");
    let right = std::fs::read(&key).unwrap();
    std::fs::write(&key, "short").unwrap();
    let (code, errors) = check();
    assert!(code == Some(2) && errors.contains("no sealing key"), "{errors}");
    std::fs::write(&key, right).unwrap();
    // What a command has just written may still be in the log beside the database, and count.
    let _ = std::fs::remove_file(shell.database().with_extension("db-wal"));
    std::fs::write(shell.database(), "no database at all".repeat(1_000)).unwrap();
    let (code, errors) = check();
    assert!(code == Some(2) && errors.contains("burgee.toml:2: origin.database"), "{errors}");
    assert!(errors.contains("file is not a database"), "{errors}");
}

#[test]
fn stages_and_segments_that_were_renamed_moved_or_deleted_come_back_as_they_were() {
    let first = Shell::new();
    first.write("shop.toml", SHOP);
    first.good(&["apply", "shop.toml"]);
    write(&first.database(), |writer| {
        let app = writer.find_app("Shop")?.id;
        let all = writer.segments(&app)?.remove(0).id;
        let name = Some("Everyone".to_owned());
        writer.update_segment(&app, &all, SegmentChange { name, rules: None })?;
        writer.create_segment(&app, "All companies", &[])?;
        let production = writer.find_environment(&app, "Production")?.id;
        let segments = Some(vec![all]);
        let change = TargetingChange { segments, ..TargetingChange::default() };
        writer.set_targeting(&app, &production, "search-v2", &change, None)?;
        let stage = |name: &str, order| StageChange {
            name: Some(name.to_owned()),
            order,
            ..StageChange::default()
        };
        // Two at one place, too.
        writer.create_stage(&app, &stage("Early", Some(1)))?;
        writer.create_stage(&app, &stage("Dogfood", Some(1)))?;
        let stages = writer.stages(&app)?;
        let named = |name: &str| stages.iter().find(|s| s.name == name).unwrap().id.clone();
        writer.delete_stage(&app, &named("General Availability"))?;
        writer.update_stage(&app, &named("Beta"), stage("Preview", None))
    });
    let exported = first.good(&["export"]);
    assert!(exported.contains("predefined_stages = false"), "{exported}");
    let second = Shell::new();
    second.write("exported.toml", &exported);
    second.good(&["apply", "exported.toml"]);
    assert_eq!(second.good(&["export"]), exported);
    for shell in [&first, &second] {
        shell.write("exported.toml", &exported);
        assert!(shell.good(&["apply", "exported.toml"]).contains("Nothing to change"));
    }
}

#[test]
fn flags_may_change_places_with_those_they_depend_on() {
    let shell = Shell::new();
    let on = |flag: &str| format!("{{ conditions = [{{ flag = \"{flag}\" }}] }}");
    let file = |checkout: &str, search: &str| {
        let search = targeting_in_staging("search-v2", search);
        format!("{SHOP}{search}{}", targeting_in_staging("new-checkout-flow", checkout))
    };
    shell.write("shop.toml", &file(&on("search-v2"), ""));
    shell.good(&["apply", "shop.toml"]);
    shell.write("shop.toml", &file("", &on("new-checkout-flow")));
    assert!(shell.good(&["apply", "shop.toml"]).contains("2 changes"));
    shell.write("shop.toml", &file(&on("search-v2"), &on("new-checkout-flow")));
    let error = shell.refused(2, &["apply", "shop.toml"]);
    assert!(error.contains("targeting.1.rules: The flag would depend on itself"), "{error}");
}

#[test]
fn each_problem_of_a_file_is_told_with_the_file_and_a_place_that_is_in_it() {
    let shell = Shell::new();
    let wrong = "[[members]]\nname = \"a\"\nemail = \"q@q\"\n[[members]]\nname = \"b\"\nemail = \"q@q\"\n\
                 [[members]]\nname = \"c\"\nemail = \"nowhere\"\n\
                 [[targeting]]\nflag = \"a\"\nenvironment = \"b\"\nrollout = { percentage = 33.3333 }\n";
    shell.write("shop.toml", &format!("{SHOP}{wrong}"));
    let errors = shell.refused(2, &["apply", "shop.toml"]);
    for line in [
        "shop.toml: members.1: Is there twice",
        "shop.toml: members.2.email: Must be an address",
        "shop.toml: targeting.0.rollout.percentage: Must be a number",
    ] {
        assert!(errors.contains(line), "{line}: {errors}");
    }
    let two = SHOP.replace("name = \"Staging\"", "name = \"Staging\"\nproduction = true");
    shell.write("shop.toml", &two);
    let errors = shell.refused(2, &["apply", "shop.toml"]);
    assert!(errors.contains("shop.toml: environments.1.production: "), "{errors}");
}

#[test]
fn an_environment_is_named_by_its_app_and_itself_with_slashes_in_either() {
    let shell = Shell::new();
    shell.write("shop.toml", "[app]\nname = \"a/b\"\n[[environments]]\nname = \"p/q\"\n");
    shell.good(&["apply", "shop.toml"]);
    let rotate = |named: &'static str| ["rotate-key", "--kind", "secret", "--environment", named];
    assert!(shell.good(&rotate("a/b/p/q")).starts_with("sec_"));
    assert!(shell.refused(1, &rotate("a/b/c")).contains("There is no"));
}
