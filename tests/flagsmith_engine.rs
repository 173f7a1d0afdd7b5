//! The vendor's own cases for flag engines: an evaluation context and what it comes to.
//!
//! `FLAGSMITH_ENGINE_CASES` names the folder. The files belong to the vendor and are not kept here:
//! without them the test says that it ran none.
#![allow(clippy::expect_used, reason = "this is test code throughout, the lint sees only #[test]")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use burgee::compile::flagsmith::{Policy, compile};
use burgee::dialect::flagsmith::document;
use burgee::evaluate::flagsmith::{EvaluationContext, Origin, Scalar, evaluate, evaluate_one};
use burgee::model::flagsmith::{
    Condition, Environment, Feature, FeatureState, Operator, Override, Rule, RuleKind, Segment,
    Variant,
};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

fn folder() -> PathBuf {
    let default =
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/vectors/flagsmith-engine");
    std::env::var_os("FLAGSMITH_ENGINE_CASES").map_or_else(default, PathBuf::from)
}

#[test]
fn the_vendors_cases() {
    let mut files: Vec<PathBuf> = match std::fs::read_dir(folder()) {
        Ok(entries) => entries.filter_map(|entry| Some(entry.ok()?.path())).collect(),
        Err(_) => Vec::new(),
    };
    files.retain(|file| file.extension().is_some_and(|e| e == "json" || e == "jsonc"));
    files.sort();
    let mut failed = Vec::new();
    for file in &files {
        let text = std::fs::read_to_string(file).expect("the case can be read");
        let case: Value = serde_json::from_str(&without_comments(&text)).expect("the case is JSON");
        let ours = run(&case["context"]);
        if ours != case["result"] {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            failed.push(format!("{name}\n  ours:   {ours}\n  theirs: {}", case["result"]));
        }
    }
    println!("ran {} cases, {} failed", files.len(), failed.len());
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// Comments are lines of their own.
fn without_comments(text: &str) -> String {
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

fn run(context: &Value) -> Value {
    let environment = environment(context);
    let compiled = compile(&environment, &Policy::default());
    assert_eq!(compiled.diagnostics, Vec::<String>::new());
    let program = compiled.program;
    let mut ours = EvaluationContext::new();
    let fill = |ours: &mut EvaluationContext| {
        ours.reset(&program);
        let identity = &context["identity"];
        if let Some(identifier) = identity["identifier"].as_str() {
            ours.set_identity(&program, identifier);
        }
        if let Some(key) = identity["key"].as_str() {
            ours.set_identity_key(key);
        }
        for (name, value) in identity["traits"].as_object().into_iter().flatten() {
            let number = value.to_string();
            ours.set_trait(
                &program,
                name,
                match value {
                    Value::Bool(value) => Scalar::Bool(*value),
                    Value::String(text) => Scalar::Text(text),
                    Value::Number(_) => Scalar::Number(&number),
                    _ => Scalar::Null,
                },
            );
        }
    };
    fill(&mut ours);
    let evaluation = evaluate(&program, &mut ours);
    let mut flags = Map::new();
    for ((index, feature), outcome) in program.features().zip(evaluation.outcomes()) {
        let outcome = program.outcome(*outcome);
        assert_eq!(outcome.feature, index);
        let value: Value = serde_json::from_str(outcome.value.get()).expect("it is JSON");
        let mut flag = json!({
            "enabled": outcome.enabled, "name": feature.name, "reason": outcome.reason.to_string(),
            "value": value, "variant": outcome.variant,
        });
        let source = match outcome.origin {
            Origin::Segment(segment, at) => {
                let segments = context["segments"].as_object().expect("there are segments");
                let (_, segment) = segments.iter().nth(segment.0 as usize).expect("it exists");
                &segment["overrides"][at as usize]
            }
            _ => &context["features"][&*feature.name],
        };
        add_metadata(&mut flag, source);
        flags.insert(feature.name.to_string(), flag);
    }
    let mut segments = Vec::new();
    for index in evaluation.segments() {
        let mut segment = json!({"name": program.segments[index.0 as usize].name});
        let source = context["segments"].as_object().and_then(|s| s.values().nth(index.0 as usize));
        add_metadata(&mut segment, source.expect("it exists"));
        segments.push(segment);
    }
    let outcomes = evaluation.outcomes().to_vec();
    for ((index, _), outcome) in program.features().zip(outcomes) {
        fill(&mut ours);
        assert_eq!(evaluate_one(&program, &mut ours, index), outcome, "alone as among all");
    }
    json!({"flags": flags, "segments": segments})
}

fn add_metadata(result: &mut Value, source: &Value) {
    if let Some(metadata) = source.get("metadata") {
        result["metadata"] = metadata.clone();
    }
}

/// An evaluation context in our words.
fn environment(context: &Value) -> Environment {
    let text = |value: &Value| -> Box<str> { value.as_str().unwrap_or_default().into() };
    let entries = |name: &str| -> Vec<&Value> {
        context[name].as_object().into_iter().flat_map(Map::values).collect()
    };
    Environment {
        key: text(&context["environment"]["key"]),
        name: Some(text(&context["environment"]["name"])),
        features: entries("features")
            .into_iter()
            .zip(1..)
            .map(|(feature, id)| Feature {
                id,
                kind: "STANDARD".into(),
                state: state(feature),
                place: 0..0,
            })
            .collect(),
        segments: entries("segments")
            .into_iter()
            .map(|segment| Segment {
                key: text(&segment["key"]),
                name: text(&segment["name"]),
                rules: list(&segment["rules"]).iter().map(rule).collect(),
                overrides: list(&segment["overrides"])
                    .iter()
                    .map(|o| Override { priority: o["priority"].as_f64(), state: state(o) })
                    .collect(),
                place: 0..0,
            })
            .collect(),
        ..Environment::default()
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn raw(value: &Value) -> Arc<RawValue> {
    Arc::from(RawValue::from_string(value.to_string()).expect("it is JSON"))
}

fn state(feature: &Value) -> FeatureState {
    let text = |value: &Value| -> Box<str> { value.as_str().unwrap_or_default().into() };
    FeatureState {
        feature: text(&feature["name"]),
        enabled: feature["enabled"].as_bool().expect("it is a boolean"),
        value: raw(&feature["value"]),
        hashing_key: text(&feature["key"]),
        variants: list(&feature["variants"])
            .iter()
            .map(|variant| Variant {
                key: variant["key"].as_str().map(Into::into),
                value: raw(&variant["value"]),
                weight: variant["weight"].as_f64().expect("it is a number"),
                weight_text: variant["weight"].to_string().into(),
                priority: variant["priority"].as_u64().map_or(u128::MAX, u128::from),
            })
            .collect(),
    }
}

fn rule(rule: &Value) -> Rule {
    let condition = |condition: &Value| Condition {
        property: condition["property"].as_str().map(Into::into),
        operator: Operator::from_wire(condition["operator"].as_str().expect("it is text")),
        value: document::operand(condition["value"].clone()),
    };
    Rule {
        kind: match rule["type"].as_str() {
            Some("ALL") => RuleKind::All,
            Some("ANY") => RuleKind::Any,
            _ => RuleKind::None,
        },
        conditions: list(&rule["conditions"]).iter().map(condition).collect(),
        rules: list(&rule["rules"]).iter().map(self::rule).collect(),
    }
}
