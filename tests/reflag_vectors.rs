//! Conformance: every recorded evaluation of the official evaluator, through the compiled program.
//!
//! `REFLAG_VECTORS` names another file of the same form. Prints `ran N of M`.
#![allow(clippy::unwrap_used, reason = "this is test code throughout, the lint sees only #[test]")]

use std::collections::BTreeMap;
use std::sync::Arc;

use burgee::compile::{Policy, compile};
use burgee::dialect::reflag::definitions;
use burgee::evaluate::{EvaluationContext, Evaluator};
use burgee::model::{Flag, Generation, Ruleset};
use burgee::time::Timestamp;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// At least so many cases of the copied file must run and agree.
const EXPECTED_1_0: usize = 584;
const EXPECTED_1_1: usize = 49;

/// Cases that may differ, each with its reason.
const MAY_DIFFER: [(&str, &str); 2] = [
    (
        "dev-0582",
        "js-quirk: `toString` counts as present there because objects inherit it; here it is \
         reported as missing, like any attribute that the context does not have",
    ),
    (
        "dev-0556",
        "malformed: the official evaluator throws on CONTAINS without values; here it is false \
         with a diagnostic, and the other flags are served",
    ),
];

#[derive(Deserialize)]
struct File {
    clock: String,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    id: String,
    name: String,
    rules: Vec<Rule>,
    context: Option<Box<RawValue>>,
    #[serde(rename = "contextRaw")]
    context_raw: Option<String>,
    expected: Value,
    predicted_1_1_1: Option<Value>,
}

#[derive(Deserialize)]
struct Rule {
    filter: Box<RawValue>,
    value: Box<RawValue>,
}

fn flag(case: &Case) -> Arc<Flag> {
    let rules: Vec<_> = case.rules.iter().map(|rule| json!({"filter": rule.filter})).collect();
    let document =
        json!({"features": [{"key": "flag", "targeting": {"version": 1, "rules": rules}}]});
    let ruleset = definitions::read(&Bytes::from(document.to_string())).unwrap();
    assert_eq!(ruleset.broken, [], "{}", case.id);
    Arc::clone(&ruleset.flags[0])
}

/// What the compiled program says, in the words of the vectors.
fn evaluate(case: &Case, generation: Generation, now: Timestamp) -> Value {
    let ruleset = Ruleset { flags: vec![flag(case)], ..Ruleset::default() };
    let policy = Policy { generation, ..Policy::default() };
    let program = compile(&ruleset, &policy).program;
    let mut context = EvaluationContext::new();
    context.reset(&program);
    let text = case.context_raw.as_deref().or(case.context.as_ref().map(|c| c.get())).unwrap();
    context.set_json(&program, text).unwrap();
    let list = program.flags[0].targeting;
    let outcome = Evaluator::new(&program, &mut context, now).evaluate(list).clone();
    let results: Vec<bool> = (0..list.len).map(|index| outcome.result(index)).collect();
    let missing: Vec<&str> =
        outcome.missing.iter().map(|&slot| program.attributes.name(slot)).collect();
    json!({
        "matchedRule": outcome.matched,
        "ruleEvaluationResults": results,
        "missingContextFields": missing,
        "value": outcome.matched.map(|index| case.rules[index as usize].value.get()),
    })
}

/// The members of a vector that an evaluation is compared with.
fn wanted(expected: &Value, case: &Case) -> Value {
    let matched = expected["matchedRule"].as_u64();
    json!({
        "matchedRule": expected["matchedRule"],
        "ruleEvaluationResults": expected["ruleEvaluationResults"],
        "missingContextFields": expected["missingContextFields"],
        "value": matched.map(|index| case.rules[index as usize].value.get()),
    })
}

#[test]
fn every_recorded_case_evaluates_as_recorded() {
    let path = std::env::var_os("REFLAG_VECTORS").map_or_else(
        || concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/reflag-evaluation.json").into(),
        std::path::PathBuf::from,
    );
    let file: File = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let now = Timestamp::parse(&file.clock).unwrap();
    let may_differ = BTreeMap::from(MAY_DIFFER);
    let mut differences = Vec::new();
    let (mut agreed, mut agreed_1_1, mut cases_1_1) = (0, 0, 0);
    for case in &file.cases {
        let mut check = |generation, expected: &Value| {
            let got = evaluate(case, generation, now);
            // The recorded value is what the vectors say it is; the index must lead to it.
            if let Some(value) = expected.get("value") {
                let index = expected["matchedRule"].as_u64().unwrap() as usize;
                let ours: Value = serde_json::from_str(case.rules[index].value.get()).unwrap();
                assert_eq!(&ours, value, "{}", case.id);
            }
            let same = got == wanted(expected, case);
            if !same && !may_differ.contains_key(case.id.as_str()) {
                differences.push(format!(
                    "{} {generation:?} {}\n  got  {got}\n  want {}",
                    case.id,
                    case.name,
                    wanted(expected, case)
                ));
            }
            usize::from(same)
        };
        agreed += check(Generation::V1_0, &case.expected);
        if let Some(predicted) = &case.predicted_1_1_1 {
            cases_1_1 += 1;
            agreed_1_1 += check(Generation::V1_1, predicted);
        } else {
            // What is not marked as different must be the same in both generations.
            check(Generation::V1_1, &case.expected);
        }
    }
    println!("ran {agreed} of {} (1.0)", file.cases.len());
    println!("ran {agreed_1_1} of {cases_1_1} (1.1)");
    for (id, reason) in MAY_DIFFER {
        println!("may differ: {id}: {reason}");
    }
    assert!(differences.is_empty(), "{}\n{} differ", differences.join("\n"), differences.len());
    if std::env::var_os("REFLAG_VECTORS").is_none() {
        assert!(agreed >= EXPECTED_1_0, "only {agreed} ran and agreed");
        assert!(agreed_1_1 >= EXPECTED_1_1, "only {agreed_1_1} of 1.1 ran and agreed");
    }
}
