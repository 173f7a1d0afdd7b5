//! Three dialects and `explain` say the same of every flag, whatever the family of its rules.
//!
//! Rules that use every operator of both vendors, rollouts, variants, overrides and secret flags are
//! asked about by 500 contexts each, drawn from a fixed seed.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::flagsmith_rules::{environment, feature, identity, segment, split};
use crate::support::rules::{constant, context, document, flag, secret, when};
use crate::support::wire::{Session, percent_encoded};
use crate::support::{Environment, Setup};

const CONTEXTS: usize = 500;

/// What one dialect says of a flag.
#[derive(Clone, Debug, PartialEq)]
struct Told {
    enabled: bool,
    variant: Option<String>,
    value: Value,
}

/// What a dialect says of all flags, by key.
type All = BTreeMap<String, Told>;

/// A context in the words of all dialects. Text, numbers and booleans; the id is never empty.
struct Somebody {
    id: String,
    user: Map<String, Value>,
    company: Map<String, Value>,
    other: Map<String, Value>,
}

/// Attributes that rules read, with values near their operands.
fn draw(random: &mut fastrand::Rng, keeps_types: bool) -> Somebody {
    let plans = ["gold", "Gold", "basic", "", "golden", "7", "true", "x-gold-y", "eu"];
    let ids = ["ada", "bob", "eve", "u-1", "u-2", "7", "007"];
    let ages = [json!(17), json!(18), json!(18.5), json!(19), json!("18"), json!("old"), json!(-3)];
    let dates = ["2026-05-01T00:00:00Z", "2026-05-31T12:00:00Z", "2020-01-01", "2030-01-01", "no"];
    let mut user = Map::new();
    let mut set = |name: &str, value: Value, random: &mut fastrand::Rng| {
        // Sometimes missing.
        if random.u8(..10) > 0 {
            user.insert(name.to_owned(), value);
        }
    };
    let pick = |random: &mut fastrand::Rng, list: &[&str]| json!(list[random.usize(..list.len())]);
    let plan = pick(random, &plans);
    set("plan", plan, random);
    let age = ages[random.usize(..ages.len())].clone();
    set("age", age, random);
    let born = pick(random, &dates);
    set("born", born, random);
    let beta = random.bool();
    set("beta", if keeps_types { json!(beta) } else { json!(beta.to_string()) }, random);
    let version = pick(random, &["1.2.3", "1.3.0", "2.0.0-rc.1", "nope"]);
    set("version", version, random);
    let mut company = Map::new();
    if random.bool() {
        company.insert("id".to_owned(), pick(random, &["acme", "globex", "Acme"]));
        company.insert("plan".to_owned(), pick(random, &plans));
    }
    let mut other = Map::new();
    if random.bool() {
        other.insert("region".to_owned(), pick(random, &["eu", "us"]));
    }
    let id = if random.bool() {
        ids[random.usize(..ids.len())].to_owned()
    } else {
        format!("u-{}", random.u32(..100_000))
    };
    Somebody { id, user, company, other }
}

impl Somebody {
    fn context(&self) -> Value {
        let mut user = self.user.clone();
        user.insert("id".to_owned(), json!(self.id));
        json!({"user": user, "company": self.company, "other": self.other})
    }

    fn query(&self) -> String {
        format!("contextJson={}", percent_encoded(&self.context().to_string()))
    }

    fn identity(&self) -> String {
        let prefixed = |part: &str, members: &Map<String, Value>| -> Vec<(String, Value)> {
            members.iter().map(|(name, value)| (format!("{part}{name}"), value.clone())).collect()
        };
        let mut all = prefixed("", &self.user);
        all.extend(prefixed("company.", &self.company));
        all.extend(prefixed("other.", &self.other));
        let traits: Vec<_> = all
            .iter()
            .map(|(key, value)| json!({"trait_key": key, "trait_value": value}))
            .collect();
        json!({"identifier": self.id, "traits": traits}).to_string()
    }

    fn ofrep(&self) -> String {
        let (user, company, other) = (&self.user, &self.company, &self.other);
        let context =
            json!({"targetingKey": self.id, "user": user, "company": company, "other": other});
        json!({"context": context}).to_string()
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

/// Asks everybody and gives what each said.
struct Asker {
    public: Session,
    admin: Session,
    is_reflag: bool,
}

impl Asker {
    fn reflag(&mut self, somebody: &Somebody) -> All {
        let reply = self.public.get(&format!("/features/evaluated?{}", somebody.query()));
        let told = |(key, entry): (&String, &Value)| {
            let config = &entry["config"];
            // Without a variant of its own a feature's config is called so.
            let variant = text(&config["key"]).filter(|key| self.is_reflag || key != "default");
            let enabled = entry["isEnabled"].as_bool().unwrap();
            (key.clone(), Told { enabled, variant, value: config["payload"].clone() })
        };
        reply.flags().as_object().unwrap().iter().map(told).collect()
    }

    fn flagsmith(&mut self, somebody: &Somebody) -> All {
        let reply = self.public.post("/api/v1/identities/", somebody.identity());
        assert_eq!(reply.status, 200, "{reply}");
        let told = |flag: &Value| {
            let value = flag["feature_state_value"].clone();
            let enabled = flag["enabled"].as_bool().unwrap();
            let variant = text(&flag["variant"]);
            (text(&flag["feature"]["name"]).unwrap(), Told { enabled, variant, value })
        };
        reply.json()["flags"].as_array().unwrap().iter().map(told).collect()
    }

    fn ofrep(&mut self, somebody: &Somebody) -> All {
        let reply = self.public.post("/ofrep/v1/evaluate/flags", somebody.ofrep());
        assert_eq!(reply.status, 200, "{reply}");
        let items = reply.json()["flags"].as_array().unwrap().clone();
        let find = |key: String| items.iter().find(|item| item["key"] == key).cloned();
        let bare = items.iter().filter(|item| !item["key"].as_str().unwrap().contains(':'));
        let told = |item: &Value| {
            let key = text(&item["key"]).unwrap();
            let enabled = item["metadata"]["enabled"].as_bool().unwrap();
            let value = match (self.is_reflag, find(format!("{key}:value"))) {
                (true, of_value) => of_value.unwrap_or_default()["value"].clone(),
                (false, _) => item["value"].clone(),
            };
            let variant = text(&item["variant"]).filter(|variant| {
                !variant.is_empty() && (!self.is_reflag || (variant != "on" && variant != "off"))
            });
            (key, Told { enabled, variant, value })
        };
        bare.map(told).collect()
    }

    fn explain(&mut self, somebody: &Somebody) -> All {
        let question = json!({
            "environment": "shop", "context": somebody.context(), "key_class": "publishable",
        });
        let reply = self.admin.post("/explain", question.to_string());
        assert_eq!(reply.status, 200, "{reply}");
        let answer = reply.json();
        let seen = answer["flags"].as_array().unwrap().iter();
        let seen = seen.filter(|flag| flag["visible_to_publishable"] == true);
        let told = |flag: &Value| {
            let dialects = &flag["dialects"];
            for dialect in ["reflag", "flagsmith", "ofrep"] {
                assert!(dialects[dialect].is_object(), "{dialect} of {flag}");
            }
            let enabled = flag["enabled"].as_bool().unwrap();
            assert_eq!(dialects["reflag"]["isEnabled"], enabled);
            assert_eq!(dialects["flagsmith"]["enabled"], enabled);
            assert_eq!(dialects["ofrep"]["metadata"]["enabled"], enabled);
            let (variant, value) = (text(&flag["variant"]), flag["value"].clone());
            (text(&flag["key"]).unwrap(), Told { enabled, variant, value })
        };
        seen.map(told).collect()
    }
}

/// Flags of every operator; all but two are public.
fn of_reflag() -> String {
    let user = |field: &str, operator: &str, values: &[&str]| {
        when(&format!("{operator}-{field}"), &context(&format!("user.{field}"), operator, values))
    };
    let rollout = |key: &str, attribute: &str, threshold: u32| {
        json!({"type": "rolloutPercentage", "key": key, "partialRolloutAttribute": attribute,
            "partialRolloutThreshold": threshold})
    };
    let not = |filter: Value| json!({"type": "negation", "filter": filter});
    let group = |operator: &str, filters: &[Value]| json!({"type": "group", "operator": operator, "filters": filters});
    let gold = context("user.plan", "IS", &["gold"]);
    let acme = context("company.id", "ANY_OF", &["acme", "globex"]);
    let mut variants = when("variants", &rollout("variants", "user.id", 50_000));
    variants["config"] = json!({"version": 2, "variants": [
        {"key": "gold", "payload": {"a": [1.5, null]}, "filter": gold},
        {"key": "number", "payload": 7, "filter": rollout("v", "user.id", 30_000)},
        {"key": "text", "payload": "t", "filter": acme},
        {"key": "nothing", "payload": null, "filter": context("other.region", "IS", &["eu"])},
    ]});
    let many: Vec<Value> = (0..6).map(|n| context("user.plan", "IS", &[&n.to_string()])).collect();
    document(
        3,
        &[
            user("plan", "IS", &["gold"]),
            user("plan", "IS_NOT", &["gold"]),
            user("plan", "ANY_OF", &["gold", "basic", "7"]),
            user("plan", "NOT_ANY_OF", &["gold", "basic"]),
            user("plan", "CONTAINS", &["GOLD"]),
            user("plan", "NOT_CONTAINS", &["gold"]),
            user("plan", "SET", &[]),
            user("plan", "NOT_SET", &[]),
            user("age", "GT", &["18"]),
            user("age", "LT", &["18.5"]),
            user("born", "AFTER", &["10"]),
            user("born", "BEFORE", &["10"]),
            user("born", "DATE_AFTER", &["2026-01-01"]),
            user("born", "DATE_BEFORE", &["2026-01-01"]),
            user("beta", "IS_TRUE", &[]),
            user("beta", "IS_FALSE", &[]),
            user("plan", "RHYMES_WITH", &["old"]),
            when("negation", &not(gold.clone())),
            when("and", &group("and", &[acme.clone(), not(gold.clone())])),
            when("or", &group("or", &[acme, context("other.region", "IS", &["us"])])),
            when("half", &rollout("half", "user.id", 50_000)),
            when("rest", &not(rollout("half", "user.id", 50_000))),
            when("of-company", &rollout("of-company", "company.id", 60_000)),
            flag("many", &[&many[..], &[constant(true)]].concat()),
            flag("nobody", &[]),
            flag("everybody", &[constant(true)]),
            variants,
            secret(when("secret", &gold)),
            secret(flag("secret-too", &[constant(true)])),
        ],
    )
}

/// Features each overridden by a segment with one operator, splits, and overrides of identities.
fn of_flagsmith() -> String {
    let operators = [
        ("plan", "EQUAL", "gold"),
        ("plan", "NOT_EQUAL", "gold"),
        ("plan", "CONTAINS", "gold"),
        ("plan", "NOT_CONTAINS", "gold"),
        ("plan", "REGEX", "g.+d$"),
        ("plan", "IN", "gold,basic,7"),
        ("plan", "IS_SET", ""),
        ("plan", "IS_NOT_SET", ""),
        ("age", "GREATER_THAN", "18"),
        ("age", "GREATER_THAN_INCLUSIVE", "18"),
        ("age", "LESS_THAN", "18"),
        ("age", "LESS_THAN_INCLUSIVE", "18"),
        ("age", "MODULO", "2|1"),
        ("beta", "EQUAL", "true"),
        ("version", "GREATER_THAN", "1.2.9:semver"),
        ("company.id", "EQUAL", "acme"),
        ("$.identity.identifier", "IN", "ada,bob"),
        ("plan", "PERCENTAGE_SPLIT", "60"),
        ("plan", "RHYMES_WITH", "old"),
    ];
    let (mut features, mut segments) = (Vec::new(), Vec::new());
    for ((property, operator, value), id) in operators.into_iter().zip(1..) {
        let name = format!("{operator}-{property}").replace('$', "path");
        features.push(feature(id, &name, false, &json!("base")));
        let on = feature(id, &name, true, &json!(format!("by {operator}")));
        segments.push(segment(id, &name, (property, operator, value), &[on]));
    }
    let next = 100;
    features.push(split(
        feature(next, "banner", true, &json!("control")),
        &[("red", json!("r"), 30.0), ("blue", json!("b"), 40.0)],
    ));
    features.push(feature(next + 1, "nothing", true, &Value::Null));
    features.push(feature(next + 2, "off", false, &Value::Null));
    features.push(feature(next + 3, "ledger", true, &json!("secret")));
    features.push(feature(next + 4, "number", true, &json!(42)));
    let mine = [
        feature(next + 4, "number", true, &json!(-1)),
        feature(next + 2, "off", true, &json!("hers")),
    ];
    environment(&features, &segments, &[identity("ada", &mine)], &[next + 3])
}

fn check(format: &'static str, rules: String, keeps_types: bool) {
    let edge = Setup::of(Environment::named("shop").holding(rules).format(format)).start();
    let is_reflag = format == "reflag";
    let (public, admin) = (edge.publishable().connect(), {
        edge.admin().with("Content-Type", "application/json").connect()
    });
    let mut asker = Asker { public, admin, is_reflag };
    let mut random = fastrand::Rng::with_seed(20_261_129);
    let (nothing, id) = (Map::new(), "nobody".to_owned());
    let (user, company, other) = (nothing.clone(), nothing.clone(), nothing);
    let default = asker.explain(&Somebody { id, user, company, other });
    let mut astray = BTreeMap::new();
    // By flag: what it came to, how often.
    let mut coverage: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
    for number in 0..CONTEXTS {
        let somebody = draw(&mut random, keeps_types);
        let explained = asker.explain(&somebody);
        let context = somebody.context();
        for (dialect, told) in [
            ("reflag", asker.reflag(&somebody)),
            ("flagsmith", asker.flagsmith(&somebody)),
            ("ofrep", asker.ofrep(&somebody)),
        ] {
            let keys = |all: &All| all.keys().cloned().collect::<BTreeSet<_>>();
            assert_eq!(keys(&told), keys(&explained), "{dialect} {context}");
            for (key, told) in &told {
                let mut expected = explained[key].clone();
                // Flagsmith has no values but scalars.
                if dialect == "flagsmith"
                    && (expected.value.is_object() || expected.value.is_array())
                {
                    expected.value = json!(expected.value.to_string());
                }
                // OFREP has no value of what is off.
                if dialect == "ofrep" && !is_reflag && !expected.enabled {
                    expected.value = told.value.clone();
                    assert!(told.value.is_null() || told.value == json!(false), "{key} {context}");
                }
                if dialect == "ofrep" && !is_reflag && expected.value.is_null() {
                    expected.value = told.value.clone();
                }
                assert_eq!(*told, expected, "{number}: {key} by {dialect}, {context}");
            }
        }
        for (key, told) in explained {
            *astray.entry(key.clone()).or_default() += usize::from(told != default[&key]);
            let outcome = format!(
                "{} {} {}",
                if told.enabled { "on" } else { "off" },
                told.variant.as_deref().unwrap_or("-"),
                told.value
            );
            *coverage.entry(key).or_default().entry(outcome).or_default() += 1;
        }
    }
    report(format, &coverage, &astray);
}

/// Prints the table, and holds that enough evaluations leave the default.
fn report(
    format: &str,
    coverage: &BTreeMap<String, BTreeMap<String, usize>>,
    astray: &BTreeMap<String, usize>,
) {
    println!("{format}: what flags came to, of {CONTEXTS} contexts");
    let mut varying = Vec::new();
    for (key, outcomes) in coverage {
        let mut counts: Vec<_> = outcomes.iter().map(|(what, count)| (*count, what)).collect();
        counts.sort();
        let shown = counts.iter().rev().map(|(count, what)| format!("{count} {what}"));
        let astray = astray[key];
        println!("  {key:34} {astray:3} astray: {}", shown.collect::<Vec<_>>().join(", "));
        if outcomes.len() > 1 {
            varying.push(astray);
        }
    }
    let share = 100 * varying.iter().sum::<usize>() / (varying.len() * CONTEXTS);
    println!("  {} flags vary; {share} % of their evaluations leave the default", varying.len());
    assert!(varying.len() >= 15 && share >= 40, "{} flags vary, {share} %", varying.len());
}

#[test]
fn everybody_agrees_about_rules_of_reflags() {
    check("reflag", of_reflag(), false);
}

#[test]
fn everybody_agrees_about_rules_of_flagsmiths() {
    check("flagsmith", of_flagsmith(), true);
}
