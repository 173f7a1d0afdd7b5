//! The acceptance cases for OFREP (`tests/vectors/ofrep-cases.json`), once over rules of each family.
//!
//! The file's own head explains its words. Cases that need a credential which is always over its
//! rate are left out: there are no such limits yet.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::{Value, json};

use crate::flagsmith_rules::{environment, feature, segment, split};
use crate::support::rules::{document, flag, is, on, when, with_payload};
use crate::support::wire::{Caller, Reply, percent_encoded};
use crate::support::{Edge, Environment, Setup, publishable_key, secret_key};

const ORIGIN: &str = "https://shop.example";

fn cases() -> Vec<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/ofrep-cases.json");
    let file: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    file["cases"].as_array().unwrap().clone()
}

/// The fixture in Flagsmith's words; `live` is the value of the flag that changes.
fn of_flagsmith(live: &str) -> String {
    let object = json!({"color": "red", "size": 3, "nested": {"ok": true}, "list": [1, 2, 3]});
    // 5.0 must stay 5.0, which `json!` leaves to the number's own text.
    let whole: Value = serde_json::from_str("5.0").unwrap();
    let nothing = Value::Null;
    let features = [
        feature(1, "kit-bool-on", true, &nothing),
        feature(2, "kit-bool-off", false, &nothing),
        feature(3, "kit-string", true, &json!("hello")),
        feature(4, "kit-string-empty", true, &json!("")),
        feature(5, "kit-unicode", true, &json!("Zürich 東京 🐎")),
        feature(6, "kit-int", true, &json!(42)),
        feature(7, "kit-int-zero", true, &json!(0)),
        feature(8, "kit-int-negative", true, &json!(-7)),
        feature(9, "kit-float", true, &json!(3.25)),
        feature(10, "kit-float-whole", true, &whole),
        feature(11, "kit-object", true, &object),
        feature(12, "kit-disabled", false, &json!("nobody")),
        feature(13, "kit-targeted-user", false, &nothing),
        feature(14, "kit-targeted-attr", true, &json!("basic")),
        feature(15, "kit-targeted-number", false, &nothing),
        feature(16, "kit-targeted-company", false, &nothing),
        split(feature(17, "kit-split", true, &json!(false)), &[("yes", json!(true), 50.0)]),
        feature(18, "kit-live", true, &json!(live)),
    ];
    let on = |id, name| [feature(id, name, true, &nothing)];
    let segments = [
        segment(
            1,
            "that user",
            ("$.identity.identifier", "EQUAL", "kit-user-a"),
            &on(13, "kit-targeted-user"),
        ),
        segment(
            2,
            "gold",
            ("plan", "EQUAL", "gold"),
            &[feature(14, "kit-targeted-attr", true, &json!("gold"))],
        ),
        segment(3, "adults", ("age", "GREATER_THAN", "18"), &on(15, "kit-targeted-number")),
        segment(4, "acme", ("company.id", "EQUAL", "acme"), &on(16, "kit-targeted-company")),
    ];
    environment(&features, &segments, &[], &[])
}

/// The fixture in Reflag's words.
fn of_reflag(live: &str) -> String {
    let object = json!({"color": "red", "size": 3, "nested": {"ok": true}, "list": [1, 2, 3]});
    let value = |key: &str, value: &Value| with_payload(on(key), "only", value);
    let whole: Value = serde_json::from_str("5.0").unwrap();
    let mut attr = value("kit-targeted-attr", &json!("basic"));
    let gold = json!({"key": "gold", "payload": "gold", "filter": is("user.plan", "gold")});
    attr["config"]["variants"].as_array_mut().unwrap().insert(0, gold);
    let adult = json!({"type": "context", "field": "user.age", "operator": "GT", "values": ["18"]});
    let half = json!({
        "type": "rolloutPercentage", "key": "kit-split", "partialRolloutAttribute": "user.id",
        "partialRolloutThreshold": 50_000,
    });
    document(
        1,
        &[
            on("kit-bool-on"),
            flag("kit-bool-off", &[]),
            value("kit-string", &json!("hello")),
            value("kit-string-empty", &json!("")),
            value("kit-unicode", &json!("Zürich 東京 🐎")),
            value("kit-int", &json!(42)),
            value("kit-int-zero", &json!(0)),
            value("kit-int-negative", &json!(-7)),
            value("kit-float", &json!(3.25)),
            value("kit-float-whole", &whole),
            value("kit-object", &object),
            nobody("kit-disabled"),
            when("kit-targeted-user", &is("user.id", "kit-user-a")),
            attr,
            when("kit-targeted-number", &adult),
            when("kit-targeted-company", &is("company.id", "acme")),
            when("kit-split", &half),
            value("kit-live", &json!(live)),
        ],
    )
}

/// A flag with a variant that nobody gets.
fn nobody(key: &str) -> Value {
    let mut flag = with_payload(flag(key, &[]), "only", &json!("nobody"));
    flag["config"]["variants"][0]["filter"] = json!({"type": "constant", "value": false});
    flag
}

/// Under which key a flag of the fixture is asked for. Reflag's flags are on or off, so those with
/// another value are asked for that.
fn reflag_key(key: &str) -> String {
    let of_value = [
        "kit-string",
        "kit-string-empty",
        "kit-unicode",
        "kit-int",
        "kit-int-zero",
        "kit-int-negative",
        "kit-float",
        "kit-float-whole",
        "kit-object",
        "kit-disabled",
        "kit-targeted-attr",
        "kit-live",
    ];
    if of_value.contains(&key) { format!("{key}:value") } else { key.to_owned() }
}

struct Kit {
    edge: Edge,
    key: fn(&str) -> String,
    /// Answers to secret keys are not for web pages.
    is_page: bool,
    live: fn(&str) -> String,
    capabilities: &'static [&'static str],
    token: String,
}

impl Kit {
    fn start(format: &'static str, live: fn(&str) -> String, key: fn(&str) -> String) -> Self {
        let environment = Environment::named("kit").holding(live("v1")).format(format);
        let capabilities: &[&str] =
            if format == "reflag" { &["mutate", "reflag"] } else { &["mutate"] };
        let edge = Setup::of(environment).start();
        Self { edge, key, is_page: true, live, capabilities, token: publishable_key("kit") }
    }

    fn run(&self) {
        let (mut ran, mut skipped, mut wrong) = (0, Vec::new(), Vec::new());
        for case in cases() {
            let id = case["id"].as_str().unwrap().to_owned();
            let needs = case["needs"].as_array().cloned().unwrap_or_default();
            let lacks = needs.iter().find(|n| !self.capabilities.contains(&n.as_str().unwrap()));
            if let Some(lacks) = lacks {
                skipped.push(format!("{id} (needs {lacks})"));
                continue;
            }
            if id == "ofrep-059" && !self.is_page {
                skipped.push(format!("{id} (pages hold publishable keys)"));
                continue;
            }
            ran += 1;
            if let Err(what) = self.case(&case) {
                wrong.push(format!("{id} {}: {what}", case["title"]));
            }
        }
        println!("{ran} cases, left out: {}", skipped.join(", "));
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert!(ran >= 57, "only {ran} cases ran");
    }

    fn case(&self, case: &Value) -> Result<(), String> {
        let mut captured = BTreeMap::from([
            ("token".to_owned(), self.token.clone()),
            ("origin".to_owned(), ORIGIN.to_owned()),
        ]);
        for step in case["steps"].as_array().unwrap() {
            match step["mutate"].as_str() {
                Some("before") => self.publish("v1"),
                Some("after") => self.publish("v2"),
                _ => {}
            }
            let reply = self.send(&step["request"], &captured);
            self.check(&step["expect"], &reply, &captured)
                .map_err(|what| format!("{what}\n{reply}"))?;
            for (name, from) in step["capture"].as_object().into_iter().flatten() {
                let from = from.as_str().unwrap();
                let found = match from.strip_prefix("header:") {
                    Some(header) => reply.header(header).unwrap().to_owned(),
                    None if from == "body" => reply.text(),
                    None => reply.json().pointer(from).unwrap().to_string(),
                };
                captured.insert(name.clone(), found);
            }
        }
        Ok(())
    }

    fn publish(&self, live: &str) {
        let document = (self.live)(live);
        if std::fs::read_to_string(self.edge.rules("kit")).unwrap() != document {
            self.edge.publish("kit", &document);
        }
    }

    /// Puts keys and what was captured in the place of their names.
    fn fill(&self, text: &str, captured: &BTreeMap<String, String>, in_path: bool) -> String {
        let placeholder = Regex::new(r"\{\{([^}]+)\}\}").unwrap();
        let filled = placeholder.replace_all(text, |found: &regex::Captures<'_>| {
            let name = &found[1];
            match name.strip_prefix("flag:") {
                Some(flag) if in_path => percent_encoded(&(self.key)(flag)),
                Some(flag) => (self.key)(flag),
                None => captured.get(name).unwrap_or_else(|| panic!("{name}")).clone(),
            }
        });
        filled.into_owned()
    }

    fn send(&self, request: &Value, captured: &BTreeMap<String, String>) -> Reply {
        let mut caller: Caller = self.edge.anonymous().with("Content-Type", "application/json");
        caller = match request["auth"].as_str() {
            Some("bearer") => caller.bearer(&self.token),
            Some("apiKey") => caller.with("X-API-Key", &self.token),
            Some("badBearer") => caller.bearer("nobody"),
            Some("badApiKey") => caller.with("X-API-Key", "nobody"),
            Some(other) => panic!("{other}"),
            None => caller,
        };
        for (name, value) in request["headers"].as_object().into_iter().flatten() {
            caller = caller.with(name, &self.fill(value.as_str().unwrap(), captured, false));
        }
        let body = if let Some(raw) = request["rawBody"].as_str() {
            raw.to_owned()
        } else if let Some(length) = request["bodyOfBytes"].as_u64() {
            let filler = "x".repeat(usize::try_from(length).unwrap());
            json!({"context": {"filler": filler}}).to_string()
        } else {
            request.get("body").map(ToString::to_string).unwrap_or_default()
        };
        let path = self.fill(request["path"].as_str().unwrap(), captured, true);
        caller.ask(request["method"].as_str().unwrap(), &path, body)
    }

    fn check(
        &self,
        expected: &Value,
        reply: &Reply,
        captured: &BTreeMap<String, String>,
    ) -> Result<(), String> {
        let statuses = match &expected["status"] {
            Value::Array(statuses) => statuses.clone(),
            status => vec![status.clone()],
        };
        if !statuses.contains(&json!(reply.status)) {
            return Err(format!("expected status {}", expected["status"]));
        }
        for (name, rule) in expected["headers"].as_object().into_iter().flatten() {
            let value = reply.header(name).unwrap_or_default();
            self.check_header(value, rule, captured).map_err(|what| format!("{name} {what}"))?;
        }
        if expected["emptyBody"] == true && !reply.body.is_empty() {
            return Err("expected no body".to_owned());
        }
        if let Some(raw) = expected["raw"].as_str()
            && !Regex::new(raw).unwrap().is_match(&reply.text())
        {
            return Err(format!("expected the body to match {raw}"));
        }
        for rule in expected["body"].as_array().into_iter().flatten() {
            if let Some(name) = rule["sameBytesAs"].as_str() {
                if captured[name] != reply.text() {
                    return Err("expected the same bytes as before".to_owned());
                }
                continue;
            }
            self.check_body(&reply.json(), rule, reply.status, captured)?;
        }
        Ok(())
    }

    fn check_header(
        &self,
        value: &str,
        rule: &Value,
        captured: &BTreeMap<String, String>,
    ) -> Result<(), String> {
        let fill = |text: &Value| self.fill(text.as_str().unwrap(), captured, false);
        let holds = rule.as_object().unwrap().iter().all(|(kind, operand)| match kind.as_str() {
            "is" => value == fill(operand),
            "in" => operand.as_array().unwrap().iter().any(|one| value == fill(one)),
            "matches" => Regex::new(operand.as_str().unwrap()).unwrap().is_match(value),
            "listHas" => {
                let items: Vec<_> =
                    value.split(',').map(|item| item.trim().to_ascii_lowercase()).collect();
                let wanted = operand.as_array().unwrap();
                wanted.iter().all(|one| items.iter().any(|item| *item == one.as_str().unwrap()))
            }
            other => panic!("{other}"),
        });
        if holds { Ok(()) } else { Err(format!("is {value:?}, expected {rule}")) }
    }

    fn check_body(
        &self,
        body: &Value,
        rule: &Value,
        status: u16,
        captured: &BTreeMap<String, String>,
    ) -> Result<(), String> {
        let rules = |body: &Value, rules: &Value| -> Result<(), String> {
            let mut rules = rules.as_array().into_iter().flatten();
            rules.try_for_each(|rule| self.check_body(body, rule, status, captured))
        };
        if let Some(when) = rule.get("when") {
            return if when["status"] == status { rules(body, &rule["rules"]) } else { Ok(()) };
        }
        if let Some(paths) = rule["exactlyOne"].as_array() {
            let found = paths.iter().filter(|p| body.pointer(p.as_str().unwrap()).is_some());
            return if found.count() == 1 { Ok(()) } else { Err(format!("expected {rule}")) };
        }
        let at = rule["at"].as_str().unwrap();
        let found = body.pointer(at);
        if rule["absent"] == true {
            return match found {
                None => Ok(()),
                Some(found) => Err(format!("{at} is {found}, expected nothing")),
            };
        }
        let Some(found) = found else {
            return if rule["optional"] == true { Ok(()) } else { Err(format!("{at} is absent")) };
        };
        if let Some(wanted) = rule["find"].as_object() {
            let is_wanted = |element: &&Value| {
                wanted.iter().all(|(member, value)| {
                    let value = self.fill(value.as_str().unwrap(), captured, false);
                    element[member] == json!(value)
                })
            };
            let element = found.as_array().unwrap().iter().find(is_wanted);
            let element = element.ok_or_else(|| format!("{at} has no element {wanted:?}"))?;
            return rules(element, &rule["rules"]);
        }
        if let Some(each) = rule.get("each") {
            return found.as_array().unwrap().iter().try_for_each(|element| rules(element, each));
        }
        let filled = |value: &Value| match value {
            Value::String(text) => match text.strip_prefix("{{").and_then(|t| t.strip_suffix("}}"))
            {
                Some(name) if captured.contains_key(name) => {
                    serde_json::from_str(&captured[name]).unwrap_or(json!(captured[name]))
                }
                _ => json!(self.fill(text, captured, false)),
            },
            other => other.clone(),
        };
        for (kind, operand) in rule.as_object().unwrap() {
            let holds = match kind.as_str() {
                "at" | "optional" => true,
                "is" => *found == filled(operand),
                "in" => operand.as_array().unwrap().iter().any(|one| *found == filled(one)),
                "type" => is_of_type(found, operand.as_str().unwrap()),
                "eachType" => {
                    let types = operand.as_array().unwrap();
                    found.as_object().unwrap().values().all(|value| {
                        types.iter().any(|wanted| is_of_type(value, wanted.as_str().unwrap()))
                    })
                }
                "matches" => {
                    let text = found.as_str().unwrap_or_default();
                    Regex::new(operand.as_str().unwrap()).unwrap().is_match(text)
                }
                "min" => found.as_f64() >= operand.as_f64(),
                "uniqueBy" => {
                    let member = operand.as_str().unwrap().trim_start_matches('/');
                    let mut seen: Vec<_> =
                        found.as_array().unwrap().iter().map(|e| e[member].to_string()).collect();
                    let count = seen.len();
                    seen.sort();
                    seen.dedup();
                    seen.len() == count
                }
                other => panic!("{other}"),
            };
            if !holds {
                return Err(format!("{at} is {found}, expected {rule}"));
            }
        }
        Ok(())
    }
}

fn is_of_type(value: &Value, kind: &str) -> bool {
    match kind {
        "string" => value.is_string(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "object" => value.is_object(),
        "array" => value.is_array(),
        other => panic!("{other}"),
    }
}

#[test]
fn all_cases_hold_over_rules_of_flagsmith() {
    Kit::start("flagsmith", of_flagsmith, str::to_owned).run();
}

#[test]
fn all_cases_hold_over_rules_of_reflag() {
    Kit::start("reflag", of_reflag, reflag_key).run();
}

#[test]
fn all_cases_hold_for_secret_keys_too() {
    let mut kit = Kit::start("flagsmith", of_flagsmith, str::to_owned);
    kit.token = secret_key("kit");
    kit.is_page = false;
    kit.run();
}
