//! Claims: an identity with five traits is evaluated against 100 Flagsmith flags and 20 segments, and
//! an answer is put together from prepared pieces, within 5 us and with one allocation, the answer's
//! own; 100,000 identity overrides cost no more than none; patterns meant to do harm do not.
//!
//! cargo bench --bench flagsmith          (figures: benches/README.md)
//!
//! The environment has the shape of the reference workload (100 flags of which 10 are multivariate, 20
//! segments with three overrides each) and is made here.
#![allow(clippy::expect_used, reason = "a bench that cannot start should say so")]

mod profile;

use burgee::compile::flagsmith::{Policy, compile};
use burgee::dialect::flagsmith::{Answers, document, mapping};
use burgee::evaluate::flagsmith::{
    EvaluationContext, FeatureIndex, Program, Scalar, evaluate, evaluate_one,
};
use burgee::model::flagsmith::Environment;
use burgee::model::{KeyClass, Rules, Version};
use burgee::snapshot::Content;
use bytes::Bytes;
use divan::Bencher;
use serde_json::{Value, json};

use self::profile::profile;

#[global_allocator]
static ALLOCATOR: divan::AllocProfiler = divan::AllocProfiler::system();

fn main() {
    divan::main();
}

const FLAGS: u32 = 100;

fn state(feature: u32, id: u32, value: &Value, variants: &Value, priority: Option<u32>) -> Value {
    let is_multivariate = feature % 10 == 4;
    json!({
        "feature": {
            "id": 1_000 + feature, "name": format!("area_{}_thing_{feature}", feature % 10),
            "type": if is_multivariate { "MULTIVARIATE" } else { "STANDARD" },
        },
        "enabled": !id.is_multiple_of(4), "feature_state_value": value, "django_id": id,
        "feature_segment": priority.map(|priority| json!({"priority": priority})),
        "multivariate_feature_state_values": variants,
    })
}

fn feature(feature: u32) -> Value {
    let variant = |(at, share): (u32, f64)| {
        let value = format!("variant_{at}_{feature}");
        json!({
            "id": feature * 10 + at, "percentage_allocation": share,
            "multivariate_feature_option": {"id": feature * 10 + at, "value": value},
        })
    };
    let variants: Vec<Value> = match feature % 10 {
        4 => [(0, 25.0), (1, 25.0), (2, 20.0)].into_iter().map(variant).collect(),
        _ => vec![],
    };
    let value = match feature % 10 {
        0..3 => Value::Null,
        5 => json!(feature * 997),
        6 => json!(feature.is_multiple_of(3)),
        7 => json!(format!("https://cdn.example/assets/{feature}.json")),
        _ => json!(format!("value \"{feature}\"")),
    };
    state(feature, 50_000 + feature, &value, &json!(variants), None)
}

fn conditions(segment: u32) -> Vec<Value> {
    let countries = |from: u32| {
        let country = |n: u32| format!("C{:02}", (from + n * 2) % 100);
        (0..50).map(country).collect::<Vec<_>>().join(",")
    };
    let one = |operator: &str, property: &str, value: &str| json!({"operator": operator, "property_": property, "value": value});
    match segment % 10 {
        0 => vec![one("EQUAL", "plan", "enterprise")],
        1 => vec![one("EQUAL", "plan", "pro")],
        2 | 3 => vec![one("IN", "country", &countries(segment))],
        4 => vec![one("CONTAINS", "email", "@corp4.example")],
        5 => vec![one("GREATER_THAN_INCLUSIVE", "app_version", "4.3.0:semver")],
        6 => vec![one("GREATER_THAN", "age", "40")],
        7 => vec![one("PERCENTAGE_SPLIT", "", "25.0")],
        8 => vec![one("EQUAL", "plan", "pro"), one("PERCENTAGE_SPLIT", "", "50.0")],
        _ => vec![
            one("LESS_THAN", "app_version", "5.2.0:semver"),
            one("IN", "country", &countries(segment)),
        ],
    }
}

fn segment(index: u32) -> Value {
    let rules: Vec<Value> = conditions(index)
        .iter()
        .map(|condition| json!({"type": "ANY", "conditions": [condition], "rules": []}))
        .collect();
    let states: Vec<Value> = (0..3)
        .map(|n| (index * 17 + n * 31) % FLAGS)
        .map(|flag| {
            let value = json!(format!("segment_{index}_{flag}"));
            state(flag, 60_000 + index, &value, &json!([]), Some(index))
        })
        .collect();
    json!({
        "id": 300 + index, "name": format!("segment_{index}"), "feature_states": states,
        "rules": [{"type": "ALL", "conditions": [], "rules": rules}],
    })
}

fn whole_document(overrides: u32) -> Bytes {
    let identity = |n: u32| {
        let states: Vec<Value> = (0..=n % 3)
            .map(|at| {
                state(
                    (n + at) * 8 % FLAGS,
                    0,
                    &json!(["qa", "forced"][n as usize % 2]),
                    &json!([]),
                    None,
                )
            })
            .collect();
        json!({"identifier": format!("override-user-{n:05}"), "identity_features": states})
    };
    let document = json!({
        "api_key": "client_bench_key_0123456789", "name": "bench",
        "feature_states": (0..FLAGS).map(feature).collect::<Vec<_>>(),
        "project": {"segments": (0..20).map(segment).collect::<Vec<_>>()},
        "identity_overrides": (0..overrides).map(identity).collect::<Vec<_>>(),
    });
    Bytes::from(document.to_string())
}

fn environment(overrides: u32) -> Environment {
    let environment = document::read(&whole_document(overrides)).expect("it is valid");
    assert_eq!(environment.broken, []);
    environment
}

fn program(overrides: u32) -> Program {
    compile(&environment(overrides), &Policy::default()).program
}

/// Distinct visitors, of whom one in four has overrides where there are any.
struct Visitor {
    identifier: String,
    traits: Vec<(&'static str, String)>,
}

fn visitors() -> Vec<Visitor> {
    let visitor = |n: u32| Visitor {
        identifier: if n.is_multiple_of(4) {
            format!("override-user-{n:05}")
        } else {
            format!("user-{n}")
        },
        traits: vec![
            ("plan", ["free", "pro", "team", "enterprise"][n as usize % 4].to_owned()),
            ("country", format!("C{:02}", n * 37 % 100)),
            ("email", format!("user-{n}@corp{}.example", n % 7)),
            ("app_version", format!("4.{}.{}", n % 8, n % 3)),
            ("age", (18 + n % 50).to_string()),
        ],
    };
    (0..1_024).map(visitor).collect()
}

fn fill(program: &Program, context: &mut EvaluationContext, visitor: &Visitor) {
    context.reset(program);
    context.set_identity(program, &visitor.identifier);
    for (name, value) in &visitor.traits {
        let value = if *name == "age" { Scalar::Number(value) } else { Scalar::Text(value) };
        context.set_trait(program, name, value);
    }
}

/// What a browser's SDK posts for a visitor.
fn request(visitor: &Visitor) -> String {
    let value = |name: &str, text: &str| {
        if name == "age" { text.to_owned() } else { json!(text).to_string() }
    };
    let traits = visitor.traits.iter().map(|(name, text)| {
        format!("{{\"trait_key\":\"{name}\",\"trait_value\":{}}}", value(name, text))
    });
    let traits = traits.collect::<Vec<_>>().join(",");
    format!("{{\"identifier\":\"{}\",\"traits\":[{traits}]}}", visitor.identifier)
}

/// Identity and traits to outcomes, nothing written.
#[divan::bench(args = [0, 1_000, 100_000])]
fn evaluate_100_flags(bencher: Bencher<'_, '_>, overrides: u32) {
    let (program, visitors) = (program(overrides), visitors());
    let mut context = EvaluationContext::new();
    let mut next = visitors.iter().cycle();
    bencher.bench_local(|| {
        fill(&program, &mut context, next.next().expect("it never ends"));
        evaluate(&program, &mut context).outcomes().len()
    });
}

/// Bytes of a request to bytes of its answer.
#[divan::bench(args = [0, 1_000, 100_000])]
fn answer_100_flags(bencher: Bencher<'_, '_>, overrides: u32) {
    let program = program(overrides);
    let answers = Answers::prepare(&program);
    let requests: Vec<String> = visitors().iter().map(request).collect();
    let (mut context, mut text) = (EvaluationContext::new(), String::new());
    let mut next = requests.iter().cycle();
    bencher.bench_local(|| {
        let request = next.next().expect("it never ends").as_bytes();
        let identity = mapping::read_identity(request, None).expect("it is valid");
        let identifier = identity.identifier.as_deref().expect("everybody has a name");
        context.reset(&program);
        context.set_identity(&program, identifier);
        for sent in &identity.traits {
            context.set_trait(&program, &sent.key, sent.scalar(&mut text));
        }
        let evaluation = evaluate(&program, &mut context);
        let mut body = Vec::with_capacity(answers.longest() + 2 * request.len() + 256);
        let class = KeyClass::Publishable;
        answers.write_identity(class, &evaluation, identifier, &identity, false, &mut body);
        body
    });
}

/// One flag, and no more than it needs.
#[divan::bench]
fn evaluate_1_flag(bencher: Bencher<'_, '_>) {
    let (program, visitors) = (program(1_000), visitors());
    let mut context = EvaluationContext::new();
    let mut next = visitors.iter().cycle();
    bencher.bench_local(|| {
        fill(&program, &mut context, next.next().expect("it never ends"));
        evaluate_one(&program, &mut context, FeatureIndex(44))
    });
}

/// 50 segments, each with a pattern that a backtracking engine never comes back from, against 2,000
/// letters: must stay below 2 ms. Once for the linear engine, once for the budget of the other.
#[divan::bench(args = ["(a+)+$", "(a+)+$(?!x)"])]
fn hostile_patterns(bencher: Bencher<'_, '_>, pattern: &str) {
    let segment = |id: u32| {
        let pattern = format!("{pattern}|{id}");
        let condition = json!({"operator": "REGEX", "property_": "t", "value": pattern});
        json!({"id": id, "name": "s", "rules": [{"type": "ALL", "conditions": [condition]}]})
    };
    let segments: Vec<Value> = (0..50).map(segment).collect();
    let document = json!({
        "api_key": "k", "feature_states": [], "project": {"segments": segments},
    });
    let environment = document::read(&Bytes::from(document.to_string())).expect("it is valid");
    let program = compile(&environment, &Policy::default()).program;
    let text = format!("{}b", "a".repeat(2_000));
    let mut context = EvaluationContext::new();
    bencher.bench_local(|| {
        context.reset(&program);
        context.set_identity(&program, "i");
        context.set_trait(&program, "t", Scalar::Text(&text));
        evaluate(&program, &mut context).segments().count()
    });
}

/// From here on what happens once for each change of a document, off the threads that serve: bytes to
/// rules...
#[divan::bench(args = [0, 1_000])]
fn read_document(bencher: Bencher<'_, '_>, overrides: u32) {
    let document = whole_document(overrides);
    bencher.bench_local(|| document::read(&document));
}

/// ...rules to the hash that says whether they mean something else...
#[divan::bench(args = [0, 1_000])]
fn fingerprint(bencher: Bencher<'_, '_>, overrides: u32) {
    let (rules, profile) = (Rules::Flagsmith(environment(overrides)), profile());
    bencher.bench_local(|| Content::fingerprint_of(&rules, &profile));
}

/// ...and to everything that is published.
#[divan::bench(args = [0, 1_000])]
fn prepare_content(bencher: Bencher<'_, '_>, overrides: u32) {
    let (rules, profile) = (Rules::Flagsmith(environment(overrides)), profile());
    let fingerprint = Content::fingerprint_of(&rules, &profile);
    let rules = || rules.clone();
    bencher.with_inputs(rules).bench_local_values(|rules| {
        Content::prepare(rules, fingerprint, Version::new(2), &profile)
    });
}
