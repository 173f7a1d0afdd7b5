//! Answers recorded from the vendor's own API server, from which the running binary must not
//! differ: `FLAGSMITH_REAL_VECTORS`, else `../shared/vectors/flagsmith-real-server.jsonl`.
//!
//! Of each flag the feature, `enabled`, the value with its JSON type, and for identities the
//! variant are compared by the feature's name: the rest is not in the environment document.

#![allow(clippy::unwrap_used, clippy::panic, reason = "this is test code throughout")]

mod fake_upstream;
mod replay;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use replay::{Recorded, Served, same};
use serde_json::{Value, json};

const ENVIRONMENTS: [&str; 3] = ["Production", "Staging", "Versioned"];
const CATEGORIES: [&str; 7] = [
    "flags",
    "flags-feature",
    "identities-get",
    "identities-post",
    "identities-post-anon",
    "identities-post-shapes",
    "identities-post-numbers",
];

/// So many records must agree.
const AT_LEAST: usize = 197;

/// Records that are left out, and why.
const LEFT_OUT: [(&str, &str); 14] = [
    // Where the vendor's server and its proxy differ in what parameters mean, the proxy's meaning
    // holds (DESIGN section 4).
    ("fs0289", "`feature` does not narrow the flags of an identity"),
    ("fs0295", "the same"),
    ("fs0297", "the same"),
    ("fs0671", "the same"),
    ("fs0300", "a missing identifier is 422, not 200 with an error in it"),
    ("fs0302", "the same"),
    ("fs0111", "an empty `feature` asks for all flags, not for the first"),
    ("fs0112", "names of features are compared exactly"),
    ("fs0459", "an object is no value of a trait: 422"),
    ("fs0470", "the same"),
    ("fs0282", "`transient` on GET does not put the identity's overrides aside"),
    ("fs0287", "the same"),
    // The vendor's server gives these to browsers by mistake.
    ("fs0055", "server-only features stay hidden where disabled ones are hidden, too"),
    ("fs0087", "the same"),
];

fn vectors() -> PathBuf {
    let shared =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/vectors/flagsmith-real-server.jsonl");
    std::env::var_os("FLAGSMITH_REAL_VECTORS").map_or(shared, Into::into)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[test]
fn the_vendors_own_server_answers_the_same() {
    let path = vectors();
    let Ok(records) = std::fs::read_to_string(&path) else {
        println!("skipped: {} is not there; 0 records ran", path.display());
        return;
    };
    let folder = path.parent().unwrap();
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let index: Value = serde_json::from_slice(&read("flagsmith-real-index.json")).unwrap();
    let recorded = ENVIRONMENTS.map(|name| {
        let environment = &index["environments"][name];
        Recorded {
            name: name.to_owned(),
            client_keys: vec![text(&environment["client_key"])],
            server_keys: environment["server_keys"].as_array().unwrap().iter().map(text).collect(),
            document: read(environment["document"].as_str().unwrap()),
            settings: "",
        }
    });
    let served = Served::start(&recorded);
    let (mut ran, mut wrong) = (0, Vec::new());
    for record in records.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        let meta = &record["meta"];
        let (id, category) = (text(&meta["id"]), text(&meta["category"]));
        let replay = text(&meta["replay"]);
        let is_asked = ENVIRONMENTS.contains(&text(&meta["env"]).as_str())
            && CATEGORIES.contains(&category.as_str())
            && ["env-doc", "stored-traits"].contains(&replay.as_str())
            && record["status"] == 200;
        if !is_asked || LEFT_OUT.iter().any(|(left_out, _)| *left_out == id) {
            continue;
        }
        ran += 1;
        if let Err(what) = compare(&served, &record, replay == "stored-traits") {
            wrong.push(format!("{id} ({category}, {}): {what}", meta["note"]));
        }
    }
    println!("{} of {ran} records agree; {} left out", ran - wrong.len(), LEFT_OUT.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(ran >= AT_LEAST, "only {ran} records ran");
}

fn compare(served: &Served, record: &Value, with_stored_traits: bool) -> Result<(), String> {
    let request = &record["request"];
    let mut fields: Vec<(String, String)> = Vec::new();
    for field in request["headers"].as_array().unwrap() {
        fields.push((text(&field[0]), text(&field[1])));
    }
    let expected: Value = serde_json::from_str(record["body"].as_str().unwrap()).unwrap();
    let (method, target) = (text(&request["method"]), text(&request["path"]));
    let answer = if with_stored_traits {
        // The server knew more than the request said; it is said here.
        let traits = record["meta"]["effective_traits"].as_object().cloned().unwrap_or_default();
        let traits: Vec<_> = traits
            .iter()
            .map(|(key, value)| json!({"trait_key": key, "trait_value": value}))
            .collect();
        let body =
            json!({"identifier": expected["identifier"], "traits": traits, "transient": true});
        fields.retain(|(name, _)| !name.eq_ignore_ascii_case("content-type"));
        fields.push(("Content-Type".to_owned(), "application/json".to_owned()));
        served.ask("POST", "/api/v1/identities/", &fields, Some(body.to_string().as_bytes()))
    } else {
        let body = request["body"].as_str().map(str::as_bytes);
        served.ask(&method, &target, &fields, body)
    };
    if answer.status != 200 {
        return Err(format!("{} {}", answer.status, String::from_utf8_lossy(&answer.body)));
    }
    let got = answer.json();
    if expected.get("identifier") != got.get("identifier") {
        return Err(format!("identifier {} is {}", expected["identifier"], got["identifier"]));
    }
    let (expected, got) = (flags(&expected), flags(&got));
    let names: Vec<_> = expected.keys().chain(got.keys()).collect();
    for name in names {
        match (expected.get(name), got.get(name)) {
            (Some(a), Some(b)) if same(a, b) => {}
            (a, b) => return Err(format!("{name}: expected {a:?}, got {b:?}")),
        }
    }
    Ok(())
}

/// What is compared, by the feature's name.
fn flags(body: &Value) -> BTreeMap<String, Value> {
    let list = match body {
        Value::Array(flags) => flags.clone(),
        body if body.get("flags").is_some() => {
            body["flags"].as_array().cloned().unwrap_or_default()
        }
        flag => vec![flag.clone()],
    };
    let of_identity = body.get("flags").is_some();
    let shown = list.into_iter().map(|flag| {
        let feature = &flag["feature"];
        let mut shown = json!({
            "id": feature["id"], "type": feature["type"],
            "enabled": flag["enabled"], "value": flag["feature_state_value"],
        });
        if of_identity {
            shown["variant"] = flag["variant"].clone();
        }
        (text(&feature["name"]), shown)
    });
    shown.collect()
}
