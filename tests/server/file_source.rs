//! Rules from a file, through the server: whoever changes the file in whatever way is followed.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use serde_json::Value;

use crate::support::rules::{document, off, on};
use crate::support::{Edge, Environment, Setup, until};

/// Looked at every 50 ms and by the machine's clock, as in production.
fn edge(document: &str) -> Edge {
    Setup::of(Environment::named("shop").holding(document))
        .in_real_time()
        .looking_as_configured()
        .start()
}

fn version(edge: &Edge) -> u64 {
    let reply = edge.publishable().get("/features/evaluated");
    assert_eq!(reply.status, 200, "{reply}");
    reply.json()["flagStateVersion"].as_u64().expect("a version")
}

fn until_version(edge: &Edge, wanted: u64) {
    until("the version", || (version(edge) == wanted).then_some(()));
}

/// A flag that is on or off by the version, so that every version means something else.
fn rules(version: u64) -> String {
    document(version, &[if version.is_multiple_of(2) { on("flip") } else { off("flip") }])
}

#[test]
fn an_edit_in_place_is_followed_even_when_nothing_but_a_digit_changes() {
    let edge = edge(&rules(1));
    for version in 2..=5 {
        let text = rules(version);
        fs::write(edge.rules("shop"), text).unwrap();
        until_version(&edge, version);
    }
}

#[test]
fn a_file_renamed_over_it_is_followed() {
    let edge = edge(&rules(1));
    for version in 2..=5 {
        edge.replace_rules("shop", &rules(version));
        until_version(&edge, version);
    }
}

#[test]
fn the_links_that_kubernetes_swaps_are_followed() {
    // Mounted as a ConfigMap is: shop.json -> ..data/shop.json, ..data -> ..<time>.
    let edge = Setup::of(Environment::named("shop")).looking_as_configured().in_real_time().start();
    let file = edge.rules("shop");
    let folder = file.parent().unwrap();
    let mount = |version: u64| {
        let data = folder.join(format!("..2026_{version}"));
        fs::create_dir(&data).unwrap();
        fs::write(data.join("shop.json"), rules(version)).unwrap();
        symlink(format!("..2026_{version}"), folder.join("..data_tmp")).unwrap();
        fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
        if version > 1 {
            fs::remove_dir_all(folder.join(format!("..2026_{}", version - 1))).unwrap();
        }
    };
    mount(1);
    symlink("..data/shop.json", &file).unwrap();
    edge.until_status("shop", |status| status["state"] == "live");
    assert_eq!(version(&edge), 1);
    for version in 2..=4 {
        mount(version);
        until_version(&edge, version);
    }
}

#[test]
fn a_file_that_is_half_written_leaves_the_last_good_rules_in_place() {
    let edge = edge(&rules(1));
    let whole = rules(2);
    for length in [0, 1, whole.len() / 2, whole.len() - 1] {
        fs::write(edge.rules("shop"), &whole[..length]).unwrap();
        edge.until_status("shop", |status| status["state"] == "cached");
        assert_eq!(version(&edge), 1);
        let status = edge.status("shop");
        assert_eq!(status["source"]["last_error"]["kind"], "malformed");
        fs::write(edge.rules("shop"), rules(1)).unwrap();
        edge.until_status("shop", |status| status["state"] == "live");
    }
    fs::write(edge.rules("shop"), &whole[..whole.len() / 2]).unwrap();
    edge.until_status("shop", |status| status["state"] == "cached");
    fs::write(edge.rules("shop"), &whole).unwrap();
    until_version(&edge, 2);
    assert_eq!(edge.status("shop")["source"]["last_error"], Value::Null);
}

#[test]
fn a_document_that_is_none_leaves_the_last_good_rules_in_place() {
    let edge = Edge::serving(rules(1));
    for text in [
        "null",
        "[]",
        "{}",
        "{\"features\":{}}",
        "{\"success\":false,\"features\":[]}",
        "{\"success\":true,\"flagStateVersion\":-1,\"features\":[]}",
        "{\"success\":true,\"flagStateVersion\":1.5,\"features\":[]}",
        "{\"success\":true,\"flagStateVersion\":\"2\",\"features\":[]}",
        "<html>Bad Gateway</html>",
        "\u{0}",
    ] {
        edge.replace_rules("shop", text);
        edge.until_status("shop", |status| status["state"] == "cached");
        assert_eq!(version(&edge), 1, "{text}");
        edge.replace_rules("shop", &rules(1));
        edge.until_status("shop", |status| status["state"] == "live");
    }
}

#[test]
fn a_file_that_goes_away_or_is_a_folder_leaves_the_last_good_rules_in_place() {
    let edge = Edge::serving(rules(1));
    edge.lose_rules("shop");
    assert_eq!((version(&edge), &edge.status("shop")["state"]), (1, &"cached".into()));
    fs::create_dir(edge.rules("shop")).unwrap();
    edge.until_status("shop", |status| {
        let message = status["source"]["last_error"]["message"].as_str();
        message.is_some_and(|message| message.contains("not a file"))
    });
    assert_eq!(version(&edge), 1);
    fs::remove_dir(edge.rules("shop")).unwrap();
    edge.replace_rules("shop", &rules(2));
    until_version(&edge, 2);
}

#[test]
fn a_file_that_comes_late_is_served_from_then_on() {
    let edge = Setup::of(Environment::named("shop")).start();
    edge.publishable().get("/features/evaluated").assert_error(503, "NOT_READY");
    edge.replace_rules("shop", &rules(9));
    until("the first rules", || {
        let reply = edge.publishable().get("/features/evaluated");
        (reply.header("burgee-version") == Some("9")).then_some(())
    });
}

#[test]
fn versions_go_up_when_the_meaning_changes_and_stay_when_it_does_not() {
    let edge = Edge::serving(document(10, &[on("a"), off("b")]));
    let seen = || {
        let reply = edge.secret().get("/features");
        let version = reply.header("burgee-version").unwrap().parse::<u64>().unwrap();
        assert_eq!(reply.json()["flagStateVersion"], version);
        let evaluated = edge.publishable().get("/features/evaluated");
        assert_eq!(evaluated.json()["flagStateVersion"], version);
        (version, reply.header("burgee-fingerprint").unwrap().to_owned())
    };
    let confirmed = |moment: &str| {
        edge.now_is(moment);
        edge.until_status("shop", |status| {
            status["last_success_at"].as_str().is_some_and(|at| at.starts_with(moment))
        });
    };
    let (first, fingerprint) = seen();
    assert_eq!(first, 10);
    // Another number, another order, other white space: no other meaning.
    edge.replace_rules("shop", &document(11, &[off("b"), on("a")]).replace(',', " ,\n"));
    confirmed("2026-06-01T12:00:01");
    confirmed("2026-06-01T12:00:02");
    assert_eq!(seen(), (10, fingerprint.clone()));
    // The same number or a lower one with another meaning: the operator's word, as held + 1.
    edge.publish("shop", &document(11, &[on("a"), on("b")]));
    assert_eq!(seen().0, 11);
    edge.publish("shop", &document(11, &[off("a"), on("b")]));
    assert_eq!(seen().0, 12);
    edge.publish("shop", &document(3, &[off("a"), off("b")]));
    assert_eq!(seen().0, 13);
    edge.publish("shop", &document(500, &[off("a"), off("b"), on("c")]));
    assert_eq!(seen().0, 500);
    // The same content as once before: the same fingerprint under a new version.
    edge.publish("shop", &document(10, &[on("a"), off("b")]));
    assert_eq!(seen(), (501, fingerprint));
}

#[test]
fn a_document_without_a_number_gets_one() {
    let edge = Edge::serving(r#"{"features":[]}"#);
    let definitions = edge.secret().get("/features");
    assert_eq!(definitions.json()["success"], true, "SDKs insist on both");
    let first = definitions.json()["flagStateVersion"].as_u64().expect("a number");
    assert!(first > 0);
    edge.publish("shop", r#"{"features":[{"key":"a","targeting":{"rules":[]}}]}"#);
    assert!(edge.secret().get("/features").json()["flagStateVersion"].as_u64().unwrap() > first);
}

#[test]
fn one_environment_s_broken_file_does_not_touch_another() {
    let edge = Setup::of(Environment::named("north").holding(rules(1)))
        .and(Environment::named("south").holding(rules(1)))
        .start();
    edge.replace_rules("north", "{");
    edge.until_status("north", |status| status["state"] == "cached");
    assert_eq!(edge.status("south")["state"], "live");
    edge.publish("south", &rules(2));
    let reply = edge.publishable_of("south").get("/features/evaluated");
    assert_eq!(reply.header("burgee-version"), Some("2"));
    let reply = edge.publishable_of("north").get("/features/evaluated");
    assert_eq!(reply.header("burgee-version"), Some("1"));
}

#[test]
fn a_change_of_state_is_one_line_in_the_log_and_failed_looks_are_none() {
    let edge = Setup::of(Environment::named("talkative").holding(rules(1))).start();
    edge.replace_rules("talkative", "{");
    let failures = |status: &Value| status["source"]["consecutive_failures"].as_u64().unwrap();
    edge.until_status("talkative", |status| failures(status) > 20);
    edge.replace_rules("talkative", &rules(1));
    edge.until_status("talkative", |status| status["state"] == "live");
    let lines = || {
        let log = crate::support::logged();
        let of = |word: &str| {
            log.lines().filter(|line| line.contains("talkative") && line.contains(word)).count()
        };
        (of("live->cached"), of("cached->live"))
    };
    until("both lines", || (lines() == (1, 1)).then_some(()));
}

#[test]
fn a_path_that_is_a_pipe_holds_up_nobody() {
    let edge = Setup::of(Environment::named("pipe"))
        .and(Environment::named("file").holding(rules(1)))
        .start();
    let made = Command::new("mkfifo").arg(edge.rules("pipe")).status().expect("mkfifo is there");
    assert!(made.success());
    // Whoever opens a pipe that nobody writes to waits for ever.
    edge.until_status("pipe", |status| {
        let message = status["source"]["last_error"]["message"].as_str();
        message.is_some_and(|message| message.contains("not a file"))
    });
    edge.publish("file", &rules(2));
}

#[test]
fn a_flag_that_is_nested_absurdly_deep_costs_that_flag_at_most() {
    let deep =
        |open: &str, close: &str| format!("{}1{}", open.repeat(50_000), close.repeat(50_000));
    let filter = deep(r#"{"type":"negation","filter":"#, "}");
    let payload = deep("[", "]");
    let always = r#"{"type":"constant","value":true}"#;
    let edge = Edge::serving(format!(
        r#"{{"success":true,"flagStateVersion":1,"features":[
        {{"key":"deep-rule","targeting":{{"version":1,"rules":[{{"filter":{filter}}}]}}}},
        {{"key":"deep-member","extra":{payload},"targeting":{{"version":1,"rules":[]}}}},
        {{"key":"deep-payload","targeting":{{"version":1,"rules":[]}},"config":{{"version":1,
          "variants":[{{"key":"v","payload":{payload},"filter":{always}}}]}}}},
        {{"key":"open","targeting":{{"version":1,"rules":[{{"filter":{always}}}]}}}}]}}"#
    ));
    let status = edge.status("shop");
    assert_eq!(status["state"], "live", "{status}");
    assert_eq!(status["quarantined"][0]["flag"], "deep-rule");
    let text = edge.publishable().get("/features/evaluated").text();
    assert!(text.contains(r#""open":{"key":"open","isEnabled":true"#));
    assert!(text.contains(r#""deep-member":{"key":"deep-member","isEnabled":false"#));
    let question = r#"{"environment":"shop","context":{},"flag":"open"}"#;
    let caller = edge.admin().with("Content-Type", "application/json");
    assert_eq!(caller.post("/explain", question).status, 200);
    assert_eq!(edge.secret().get("/features").status, 200);
    edge.publish("shop", &rules(2));
}
