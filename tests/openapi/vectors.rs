//! Our answers to every recorded request are what the description says.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::description::{Port, assert_described};
use crate::ofrep_kit::{Kit, of_flagsmith, of_reflag, reflag_key};
use crate::replay::{Answer, Recorded, Served};
use crate::support::wire::{Reply, percent_encoded};
use crate::support::{Environment, Setup, at, secret_key};

fn read(path: PathBuf) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn own(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(name)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn reply(answer: Answer) -> Reply {
    let mut lines = answer.head.split("\r\n");
    let reason = lines.next().unwrap_or_default().splitn(3, ' ').nth(2).unwrap_or_default();
    let fields = lines.map(|line| {
        let (name, value) = line.split_once(": ").expect("a header field");
        (name.to_ascii_lowercase(), value.to_owned())
    });
    let fields = fields.collect();
    Reply { status: answer.status, reason: reason.to_owned(), fields, body: answer.body }
}

#[test]
fn answers_to_exchanges_of_flagsmith_s_proxy() {
    let vectors = read(own("flagsmith-http.json"));
    let environments = vectors["environments"].as_object().unwrap().iter();
    let recorded = environments.map(|(name, environment)| Recorded {
        name: name.clone(),
        client_keys: vec![text(&environment["client_side_key"])],
        server_keys: vec![text(&environment["server_side_key"])],
        document: environment["document"].to_string().into_bytes(),
        settings: "",
    });
    let served = Served::start(&recorded.collect::<Vec<_>>());
    let all = vectors["vectors"].as_array().unwrap();
    for vector in all {
        let request = &vector["request"];
        let fields = request["headers"].as_object().unwrap().iter();
        let fields: Vec<_> = fields.map(|(name, value)| (name.clone(), text(value))).collect();
        let body = match (request.get("body"), request.get("body_text")) {
            (Some(body), _) if !body.is_null() => Some(body.to_string()),
            (_, Some(body)) if !body.is_null() => Some(text(body)),
            _ => None,
        };
        let (method, target) = (text(&request["method"]), text(&request["path"]));
        let answer = served.ask(&method, &target, &fields, body.as_deref().map(str::as_bytes));
        assert_described(Port::Public, &method, &target, &reply(answer));
    }
    println!("{} answers", all.len());
    assert!(all.len() > 200);
}

#[test]
fn answers_to_exchanges_of_flagsmith_s_own_server() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/vectors/flagsmith-real-server.jsonl");
    let Ok(records) = std::fs::read_to_string(&path) else {
        println!("skipped: {} is not there; 0 records ran", path.display());
        return;
    };
    let folder = path.parent().unwrap();
    let index = read(folder.join("flagsmith-real-index.json"));
    let names = ["Production", "Staging", "Versioned"];
    let recorded = names.map(|name| {
        let environment = &index["environments"][name];
        Recorded {
            name: name.to_owned(),
            client_keys: vec![text(&environment["client_key"])],
            server_keys: environment["server_keys"].as_array().unwrap().iter().map(text).collect(),
            document: std::fs::read(folder.join(text(&environment["document"]))).unwrap(),
            settings: "",
        }
    });
    let served = Served::start(&recorded);
    let mut ran = 0;
    for record in records.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        let request = &record["request"];
        let is_asked = names.contains(&text(&record["meta"]["env"]).as_str())
            && record["status"] == 200
            && request["headers"].is_array();
        if !is_asked {
            continue;
        }
        let fields = request["headers"].as_array().unwrap().iter();
        let fields: Vec<_> = fields.map(|field| (text(&field[0]), text(&field[1]))).collect();
        let (method, target) = (text(&request["method"]), text(&request["path"]));
        let body = request["body"].as_str().map(str::as_bytes);
        let answer = served.ask(&method, &target, &fields, body);
        assert_described(Port::Public, &method, &target, &reply(answer));
        ran += 1;
    }
    println!("{ran} answers");
    assert!(ran >= 200, "only {ran}");
}

/// Every recorded rule list is a flag; each is asked about with its own context, by all protocols.
#[test]
fn answers_about_rules_that_reflag_s_evaluator_was_asked_about() {
    let vectors = read(own("reflag-evaluation.json"));
    let cases = vectors["cases"].as_array().unwrap();
    let flags: Vec<_> = cases
        .iter()
        .map(|case| {
            let rules = case["rules"].as_array().unwrap().iter();
            let rules: Vec<_> = rules.map(|rule| json!({"filter": rule["filter"]})).collect();
            let variants = case["rules"].as_array().unwrap().iter().map(|rule| {
                json!({"key": "recorded", "payload": rule["value"], "filter": rule["filter"]})
            });
            let variants: Vec<_> = variants.collect();
            json!({
                "key": case["id"], "targeting": {"version": 1, "rules": rules},
                "config": {"version": 1, "variants": variants},
            })
        })
        .collect();
    let document = json!({"success": true, "flagStateVersion": 1, "features": flags}).to_string();
    for generation in ["1.0", "1.1"] {
        let environment = Environment::named("shop")
            .holding(document.clone())
            .table("reflag", &format!("evaluator = \"{generation}\"\ndefinitions = \"partial\""));
        let edge =
            Setup::of(environment).limits("url = \"64KiB\"").limits("body = \"4MiB\"").start();
        edge.clock.set(at(vectors["clock"].as_str().unwrap()));
        let see = |method: &str, target: &str, body: &str| {
            let reply = edge.secret().ask(method, target, body);
            assert_described(Port::Public, method, target, &reply);
            reply.status
        };
        assert_eq!(see("GET", "/features", ""), 200);
        assert_eq!(see("GET", "/api/v1/environment-document/", ""), 200);
        let mut answered = 0;
        for case in cases {
            let id = text(&case["id"]);
            let raw = case["contextRaw"].as_str();
            let context = raw.map_or_else(|| case["context"].to_string(), str::to_owned);
            let query = percent_encoded(&context);
            answered += u32::from(
                see("GET", &format!("/features/evaluated?key={id}&contextJson={query}"), "") == 200,
            );
            see("GET", &format!("/features/enabled?key={id}&contextJson={query}"), "");
            let body = format!("{{\"context\":{context}}}");
            see("POST", &format!("/ofrep/v1/evaluate/flags/{id}"), &body);
            see("POST", &format!("/ofrep/v1/evaluate/flags/{id}:json"), &body);
            let question =
                format!("{{\"environment\":\"shop\",\"flag\":\"{id}\",\"context\":{context}}}");
            let admin = edge.admin().with("Content-Type", "application/json");
            let reply = admin.post("/explain", question);
            assert_described(Port::Admin, "POST", "/explain", &reply);
        }
        assert!(answered > 580, "only {answered}");
        let identity = json!({"identifier": "a", "traits": [{"trait_key": "b", "trait_value": 1}]});
        assert_eq!(see("POST", "/api/v1/identities/", &identity.to_string()), 200);
        assert_eq!(see("POST", "/ofrep/v1/evaluate/flags", ""), 200);
        assert_described(Port::Admin, "GET", "/status", &edge.admin().get("/status"));
    }
}

/// The environments of the recordings through the other protocols, and explained.
#[test]
fn answers_about_rules_of_flagsmith_s_environments() {
    let vectors = read(own("flagsmith-http.json"));
    let environments = vectors["environments"].as_object().unwrap();
    let mut setup: Option<Setup> = None;
    for (name, environment) in environments {
        let environment = Environment::named(name)
            .holding(environment["document"].to_string())
            .format("flagsmith")
            .table("reflag", "definitions = \"partial\"");
        setup = Some(match setup {
            None => Setup::of(environment),
            Some(setup) => setup.and(environment),
        });
    }
    let edge = setup.unwrap().start();
    for name in environments.keys() {
        for caller in [edge.publishable_of(name), edge.secret_of(name)] {
            let get = |target: &str| {
                assert_described(Port::Public, "GET", target, &caller.get(target));
            };
            get("/features");
            get("/features/evaluated");
            get("/features/evaluated?context.user.id=u-1&context.user.plan=gold");
            get("/features/enabled?context.user.id=u-1&context.user.age=44");
            get("/api/v1/environment-document/");
            for body in ["", r#"{"context":{"targetingKey":"u-1","plan":"gold","age":44}}"#] {
                let target = "/ofrep/v1/evaluate/flags";
                assert_described(Port::Public, "POST", target, &caller.post(target, body));
            }
        }
        for context in [
            json!({}),
            json!({"identifier": "u-1", "traits": {"plan": "gold", "age": 44, "beta": true}}),
            json!({"traits": {"plan": "gold", "score": 7.5}}),
        ] {
            for class in ["secret", "publishable"] {
                let question = json!({"environment": name, "context": context, "key_class": class});
                let admin = edge.admin().with("Content-Type", "application/json");
                let reply = admin.post("/explain", question.to_string());
                assert_eq!(reply.status, 200, "{reply}");
                assert_described(Port::Admin, "POST", "/explain", &reply);
            }
        }
    }
    assert_described(Port::Admin, "GET", "/status", &edge.admin().get("/status"));
    assert_described(Port::Admin, "GET", "/metrics", &edge.admin().get("/metrics"));
}

#[test]
fn answers_to_the_acceptance_cases_for_ofrep() {
    let witness = |method: &str, path: &str, reply: &Reply| {
        assert_described(Port::Public, method, path, reply);
    };
    for is_secret in [false, true] {
        let mut kits = [
            Kit::start("flagsmith", of_flagsmith, str::to_owned),
            Kit::start("reflag", of_reflag, reflag_key),
        ];
        for kit in &mut kits {
            kit.witness = witness;
            if is_secret {
                kit.token = secret_key("kit");
                kit.is_page = false;
            }
            kit.run();
        }
    }
}

/// All that can go wrong with a source shows in the status as described.
#[test]
fn answers_about_sources_that_fail() {
    let mut names = String::new();
    for (name, document) in [
        ("malformed", "{"),
        ("no-features", "{}"),
        ("quarantined", r#"{"features":[{"key":"b"},{"key":"a","targeting":{"rules":[]}}]}"#),
        ("odd", r#"{"features":[{"key":"a","targeting":{"rules":[{"filter":{"type":"new"}}]}}]}"#),
    ] {
        let edge = Setup::of(Environment::named(name).holding(document)).start();
        for path in ["/status", "/health/ready", &format!("/health/ready/{name}"), "/metrics"] {
            assert_described(Port::Admin, "GET", path, &edge.admin().get(path));
        }
        let status = edge.status(name);
        let _ = write!(names, "{name}: {} ", status["state"]);
    }
    assert_eq!(
        names,
        "malformed: \"empty\" no-features: \"empty\" quarantined: \"live\" odd: \"live\" "
    );
}
