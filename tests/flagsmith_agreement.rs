//! The compiled Flagsmith engine agrees with the naive interpreter over generated documents and
//! identities.
#![allow(clippy::expect_used, reason = "this is test code throughout, the lint sees only #[test]")]

#[path = "naive/flagsmith.rs"]
#[allow(
    clippy::cast_precision_loss,
    clippy::float_cmp,
    reason = "that is how the protocol does it"
)]
mod naive;

use std::fmt::Write;
use std::path::Path;

use burgee::admin::explain::{Question, explain};
use burgee::app;
use burgee::compile::flagsmith::{Policy, compile};
use burgee::config::{ProcessSurroundings, Settings};
use burgee::dialect::flagsmith::document;
use burgee::evaluate::flagsmith::{EvaluationContext, Program, Scalar, evaluate, evaluate_one};
use burgee::model::{Rules, Version};
use burgee::snapshot::{Content, Profile};
use burgee::time::Timestamp;
use bytes::Bytes;
use naive::{Flag, Identity, PATTERNS, Trait};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

const TRAITS: [&str; 6] = ["a", "b", "b b", "", "$.identity", "other"];

const PROPERTIES: [&str; 14] = [
    "a",
    "b",
    "b b",
    "",
    "unsent",
    "$.identity",
    "$.identity.identifier",
    "$.identity.key",
    "$.identity.traits.a",
    "$.identity.traits['b b']",
    "$.identity.traits[?@ == 'ab']",
    "$.environment.name",
    "$.environment.key",
    "$.not a path",
];

const OPERATORS: [&str; 15] = [
    "EQUAL",
    "NOT_EQUAL",
    "GREATER_THAN",
    "GREATER_THAN_INCLUSIVE",
    "LESS_THAN",
    "LESS_THAN_INCLUSIVE",
    "CONTAINS",
    "NOT_CONTAINS",
    "REGEX",
    "IN",
    "MODULO",
    "PERCENTAGE_SPLIT",
    "IS_SET",
    "IS_NOT_SET",
    "RHYMES_WITH",
];

/// Texts that mean something else to one type or another, as operands and as traits.
const TEXTS: [&str; 34] = [
    "",
    "a",
    "ab",
    "aab",
    "a\n",
    "b",
    "abc",
    "A",
    "aD",
    "1",
    "2",
    "007",
    "7",
    "-3",
    "-0",
    "5",
    "5.0",
    "5.00",
    "-0.0",
    "2.5",
    "1e2",
    "True",
    "true",
    "False",
    "false",
    "None",
    "1.2.3",
    "1.2.3-rc.1",
    "1.10.0+b",
    "1.2",
    "12345678901234567890123",
    "-12345678901234567890123",
    "٣",
    "env_007",
];

const OPERANDS: [&str; 25] = [
    " 5 ",
    "+5",
    "1_0",
    "1__0",
    "inf",
    "nan",
    "-inf",
    "x,ab,5,7",
    "[5, \"ab\", true, null, 2.5]",
    "[ab,5",
    "1.2.3:semver",
    "1.2.3-rc.1:semver",
    "1.2:semver",
    "2|1",
    "2|0",
    "0|0",
    "-2|-1",
    "2|0.5",
    "2|1|0",
    "10",
    "50",
    "99.9",
    "0",
    "100",
    "1.10.0:semver",
];

fn operand(operator: &'static str) -> BoxedStrategy<Value> {
    match operator {
        "REGEX" => select(&PATTERNS[..]).prop_map(|(pattern, _)| json!(pattern)).boxed(),
        _ => prop_oneof![
            4 => select(&TEXTS[..]).prop_map(|text| json!(text)),
            4 => select(&OPERANDS[..]).prop_map(|text| json!(text)),
            1 => Just(Value::Null),
            1 => if operator == "IN" {
                prop::collection::vec(select(&TEXTS[..]), 0..4).prop_map(|list| json!(list)).boxed()
            } else {
                Just(json!("5")).boxed()
            },
        ]
        .boxed(),
    }
}

fn condition() -> impl Strategy<Value = Value> {
    let property = prop_oneof![9 => select(&PROPERTIES[..]).prop_map(Some), 1 => Just(None)];
    (property, select(&OPERATORS[..])).prop_flat_map(|(property, operator)| {
        operand(operator).prop_map(
            move |value| json!({"property_": property, "operator": operator, "value": value}),
        )
    })
}

fn rule() -> impl Strategy<Value = Value> {
    let kind = || select(&["ALL", "ANY", "NONE"][..]);
    let conditions = || prop::collection::vec(condition(), 0..4);
    let leaf = (kind(), conditions()).prop_map(
        |(kind, conditions)| json!({"type": kind, "conditions": conditions, "rules": []}),
    );
    leaf.prop_recursive(3, 8, 3, move |inner| {
        (kind(), conditions(), prop::collection::vec(inner, 0..3)).prop_map(
            |(kind, conditions, rules)| json!({"type": kind, "conditions": conditions, "rules": rules}),
        )
    })
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(|value| json!(value)),
        (-9_i64..9).prop_map(|number| json!(number)),
        Just(json!(2.5)),
        select(&TEXTS[..]).prop_map(|text| json!(text)),
    ]
}

/// Allocations need not come to a hundred, nor stand in the order of their ids.
fn variants() -> impl Strategy<Value = Value> {
    let share = prop_oneof![Just(0.0), Just(33.3), Just(50.0), Just(100.0), 0.0..60.0_f64];
    let variant = (1..9_u32, share, value(), prop::option::of("[a-z]{1,3}")).prop_map(
        |(id, share, value, key)| {
            json!({
                "id": id, "percentage_allocation": share,
                "multivariate_feature_option": {"value": value, "key": key},
            })
        },
    );
    prop_oneof![2 => Just(json!([])), 1 => prop::collection::vec(variant, 1..4).prop_map(Value::from)]
}

/// Of features 0, 2 and 4 the type is standard.
fn state(feature: u8) -> impl Strategy<Value = Value> {
    let seed = any::<u32>().prop_map(|seed| seed.max(1));
    (seed, any::<bool>(), value(), variants()).prop_map(move |(seed, enabled, value, variants)| {
        let mut state = naive::state(feature, feature % 2 == 1, seed, enabled, &value);
        state["multivariate_feature_state_values"] = variants;
        state
    })
}

/// An override of one of the features from `first` on; feature 5 does not exist.
fn overriding(first: u8) -> impl Strategy<Value = Value> {
    let priority = prop_oneof![
        Just(Value::Null),
        Just(json!({"priority": null})),
        (0..3_u8).prop_map(|priority| json!({"priority": priority})),
    ];
    ((first..6).prop_flat_map(state), priority).prop_map(|(mut state, priority)| {
        state["feature_segment"] = priority;
        state
    })
}

/// A segment that asks for another flag overrides only features that come later.
fn segment() -> impl Strategy<Value = Value> {
    let member = select(&["enabled", "value", "variant", "reason", "colour"][..]);
    let asks = (member, select(&OPERATORS[..]))
        .prop_flat_map(|(member, operator)| {
            operand(operator).prop_map(move |o| (member, operator, o))
        })
        .prop_map(|(member, operator, operand)| {
            let property = format!("$.flags.f0.{member}");
            let condition = json!({"property_": property, "operator": operator, "value": operand});
            json!({"type": "ALL", "conditions": [condition]})
        });
    let asks = prop_oneof![3 => Just(None), 1 => asks.prop_map(Some)];
    (1..99_u32, prop::collection::vec(rule(), 0..3), asks).prop_flat_map(|(id, mut rules, asks)| {
        let first = u8::from(asks.is_some());
        rules.extend(asks);
        prop::collection::vec(overriding(first), 0..4).prop_map(move |states| {
            json!({"id": id, "name": format!("s{id}"), "rules": rules, "feature_states": states})
        })
    })
}

const IDENTIFIERS: [&str; 6] = ["i", "007", "2.0", "user-18120", "", "a"];

fn document() -> impl Strategy<Value = Value> {
    let features = (0..5_u8).map(state).collect::<Vec<_>>();
    let segments = prop::collection::vec(segment(), 0..5);
    let identity = (select(&IDENTIFIERS[..]), prop::collection::vec(overriding(0), 0..3)).prop_map(
        |(identifier, states)| json!({"identifier": identifier, "identity_features": states}),
    );
    let identities = prop::collection::vec(identity, 0..4);
    (features, segments, identities).prop_map(|(features, segments, identities)| {
        json!({
            "api_key": "env", "name": "ab", "feature_states": features,
            "project": {"segments": segments}, "identity_overrides": identities,
        })
    })
}

fn trait_value() -> impl Strategy<Value = Trait> {
    let numbers = [
        "0",
        "-0",
        "5",
        "7",
        "-3",
        "5.0",
        "-0.0",
        "2.5",
        "1e2",
        "1E-7",
        "1.5e300",
        "1e16",
        "100000000000000000000",
    ];
    prop_oneof![
        1 => Just(Trait::Null),
        2 => any::<bool>().prop_map(Trait::Bool),
        3 => select(numbers.to_vec()).prop_map(|number| Trait::Number(number.to_owned())),
        6 => select(&TEXTS[..]).prop_map(|text| Trait::Text(text.to_owned())),
    ]
}

fn identity() -> impl Strategy<Value = Option<Identity>> {
    let name = select(&TRAITS[..]).prop_map(str::to_owned);
    let traits = prop::collection::vec((name, trait_value()), 0..7);
    let identity = (select(&IDENTIFIERS[..]), traits)
        .prop_map(|(identifier, traits)| Identity { identifier: identifier.to_owned(), traits });
    prop_oneof![1 => Just(None), 6 => identity.prop_map(Some)]
}

fn fill(program: &Program, context: &mut EvaluationContext, identity: Option<&Identity>) {
    context.reset(program);
    let Some(identity) = identity else { return };
    context.set_identity(program, &identity.identifier);
    for (name, value) in &identity.traits {
        let value = match value {
            Trait::Null => Scalar::Null,
            Trait::Bool(value) => Scalar::Bool(*value),
            Trait::Number(text) => Scalar::Number(text),
            Trait::Text(text) => Scalar::Text(text),
        };
        context.set_trait(program, name, value);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_engines_agree(
        document in document(),
        identities in prop::collection::vec(identity(), 1..4),
        segments_without_identity in any::<bool>(),
    ) {
        let environment = document::read(&Bytes::from(document.to_string())).expect("it is a document");
        prop_assert_eq!(&environment.broken, &[]);
        let policy = Policy { segments_without_identity, ..Policy::default() };
        let program = compile(&environment, &policy).program;
        // One context for all, as a worker has it.
        let mut context = EvaluationContext::new();
        for identity in &identities {
            let (flags, segments) =
                naive::evaluate(&document, identity.as_ref(), segments_without_identity);
            fill(&program, &mut context, identity.as_ref());
            let evaluation = evaluate(&program, &mut context);
            let names = evaluation.segments().map(|s| program.segments[s.0 as usize].name.to_string());
            prop_assert_eq!(names.collect::<Vec<_>>(), segments);
            let outcomes = evaluation.outcomes().to_vec();
            let ours: Vec<Flag> = outcomes.iter().map(|&index| {
                let outcome = program.outcome(index);
                Flag {
                    name: program.feature(outcome.feature).name.to_string(),
                    enabled: outcome.enabled,
                    value: serde_json::from_str(outcome.value.get()).expect("it is JSON"),
                    variant: outcome.variant.as_deref().map(str::to_owned),
                    reason: outcome.reason.to_string(),
                }
            }).collect();
            prop_assert_eq!(ours, flags);
            for ((feature, _), outcome) in program.features().zip(outcomes) {
                fill(&program, &mut context, identity.as_ref());
                prop_assert_eq!(evaluate_one(&program, &mut context, feature), outcome);
            }
        }
    }
}

// Explanations.

fn profile(segments_without_identity: bool) -> Profile {
    let toml = format!(
        "[[environments]]\nname = \"shop\"\n[environments.source]\ntype = \"file\"\npath = \"x.json\"\n\
         format = \"flagsmith\"\n[environments.flagsmith]\n\
         segments_without_identity = {segments_without_identity}\n"
    );
    let settings = Settings::load(Some((Path::new("burgee.toml"), &toml)), &ProcessSurroundings);
    app::profile(&settings.expect("it is a configuration").environments[0])
}

/// The body of a request that asks about somebody.
fn context_of(identity: Option<&Identity>) -> String {
    let Some(identity) = identity else { return "{}".to_owned() };
    let mut traits = String::new();
    for (name, value) in &identity.traits {
        let value = match value {
            Trait::Null => "null".to_owned(),
            Trait::Bool(value) => value.to_string(),
            Trait::Number(text) => text.clone(),
            Trait::Text(text) => json!(text).to_string(),
        };
        let comma = if traits.is_empty() { "" } else { "," };
        let _ = write!(traits, "{comma}{{\"trait_key\":{},\"trait_value\":{value}}}", json!(name));
    }
    format!("{{\"identifier\":{},\"traits\":[{traits}]}}", json!(identity.identifier))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Conditions of rules, each rule's own before those of the rules in it.
fn conditions(rules: &Value) -> Vec<&Value> {
    let mut found = Vec::new();
    for rule in list(rules) {
        found.extend(list(&rule["conditions"]));
        found.extend(conditions(&rule["rules"]));
    }
    found
}

/// What the text of a rule's logic comes to: `c0 and not (c1 or c2)`.
fn truth(logic: &str, conditions: &[bool]) -> bool {
    let spaced = logic.replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    let value = expression(&words, &mut at, conditions);
    assert_eq!(at, words.len(), "{logic}");
    value
}

fn expression(words: &[&str], at: &mut usize, conditions: &[bool]) -> bool {
    let mut value = operand_of(words, at, conditions);
    let mut joined = None;
    while let Some(word @ (&"and" | &"or")) = words.get(*at) {
        assert!(joined.replace(*word).is_none_or(|before| before == *word), "brackets are missing");
        *at += 1;
        let next = operand_of(words, at, conditions);
        value = if *word == "and" { value & next } else { value | next };
    }
    value
}

fn operand_of(words: &[&str], at: &mut usize, conditions: &[bool]) -> bool {
    let word = words[*at];
    *at += 1;
    match word {
        "not" => !operand_of(words, at, conditions),
        "(" => {
            let value = expression(words, at, conditions);
            assert_eq!(words[*at], ")");
            *at += 1;
            value
        }
        "always" => true,
        "never" => false,
        condition => conditions[condition[1..].parse::<usize>().expect("a number")],
    }
}

/// Segments that may override a feature, the strongest first, by their numbers.
fn candidates(document: &Value, feature: &str) -> Vec<usize> {
    let mut found = Vec::new();
    for (index, segment) in naive::segments(document).into_iter().enumerate() {
        for state in list(&segment["feature_states"]) {
            if state["feature"]["name"] == feature {
                let priority = state["feature_segment"]["priority"].as_f64();
                found.push((priority.unwrap_or(f64::INFINITY), index));
            }
        }
    }
    found.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut numbers: Vec<usize> = Vec::new();
    for (_, index) in found {
        if !numbers.contains(&index) {
            numbers.push(index);
        }
    }
    numbers
}

/// Holds one explained flag against the interpreter.
fn check_explained(
    explained: &Value,
    flag: &Flag,
    document: &Value,
    identity: Option<&Identity>,
    segments_without_identity: bool,
) {
    let segments = naive::segments(document);
    let expected = json!([flag.name, flag.enabled, flag.value, flag.variant, flag.reason]);
    let members = ["key", "enabled", "value", "variant", "reason"].map(|name| &explained[name]);
    assert_eq!(json!(members), expected);
    let rules = list(&explained["rules"]);
    let numbers = candidates(document, &flag.name);
    assert_eq!(rules.len(), numbers.len());
    for (rule, number) in rules.iter().zip(numbers) {
        let segment = segments[number];
        assert_eq!(rule["segment"], segment["name"]);
        let explained = list(&rule["conditions"]);
        let real = conditions(&segment["rules"]);
        assert_eq!(explained.len(), real.len());
        let mut holding = Vec::new();
        for (explained, condition) in explained.iter().zip(real) {
            let pair = (segment, condition);
            let holds = naive::holds(document, identity, segments_without_identity, pair);
            assert_eq!(explained["matched"], holds, "{explained}");
            assert_eq!(explained["missing"] == true, explained["actual"].is_null(), "{explained}");
            if let (Some(hash), Some(limit)) =
                (explained["hash"].as_f64(), explained["threshold"].as_f64())
            {
                assert_eq!(hash <= limit, holds, "{explained}");
            }
            holding.push(holds);
        }
        let applies = identity.is_some() || segments_without_identity;
        let logic = rule["logic"].as_str().expect("text");
        assert_eq!(rule["matched"], applies && truth(logic, &holding), "{rule}");
    }
    check_decision(explained, flag, rules);
}

/// The members that say who decided, against those that say what came out.
fn check_decision(explained: &Value, flag: &Flag, rules: &[Value]) {
    let first = rules.iter().find(|rule| rule["matched"] == true);
    if explained["override"] != "identity" {
        let deciding = first.map_or(&Value::Null, |rule| &rule["segment"]);
        assert_eq!(&explained["override"], deciding);
    }
    if let Some(segment) = flag.reason.strip_prefix("TARGETING_MATCH; segment=") {
        let expected = if segment == "identity_overrides" { "identity" } else { segment };
        assert_eq!(explained["override"], expected);
    }
    let variants = list(&explained["variants"]);
    for variant in variants {
        let [from, to, hash] = ["from", "to", "hash"].map(|name| variant[name].as_f64());
        let inside = hash.is_some_and(|hash| from <= Some(hash) && Some(hash) < to);
        assert_eq!(variant["matched"], inside, "{variant}");
    }
    let drawn: Vec<_> = variants.iter().filter(|variant| variant["matched"] == true).collect();
    assert_eq!(!drawn.is_empty(), flag.reason.starts_with("SPLIT"), "{explained}");
    if let [drawn] = drawn[..] {
        assert_eq!((&drawn["value"], &drawn["key"]), (&flag.value, &json!(flag.variant)));
    }
    let entry = &explained["dialects"]["flagsmith"];
    assert_eq!(
        (&entry["enabled"], &entry["feature_state_value"]),
        (&json!(flag.enabled), &flag.value)
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_explanation_agrees_with_what_it_explains(
        document in document(),
        identity in identity(),
        segments_without_identity in any::<bool>(),
    ) {
        // Who sends an empty name has none.
        prop_assume!(identity.as_ref().is_none_or(|identity| !identity.identifier.is_empty()));
        let rules = document::read(&Bytes::from(document.to_string())).expect("it is a document");
        let rules = Rules::Flagsmith(rules);
        let profile = profile(segments_without_identity);
        let fingerprint = Content::fingerprint_of(&rules, &profile);
        let content = Content::prepare(rules, fingerprint, Version::new(1), &profile).content;
        let context = context_of(identity.as_ref());
        let question: Question =
            serde_json::from_str(&format!("{{\"environment\":\"shop\",\"context\":{context}}}"))
                .expect("it is a question");
        let answer = explain(&content, &profile, &question, Timestamp(0)).expect("an explanation");
        let (flags, _) = naive::evaluate(&document, identity.as_ref(), segments_without_identity);
        prop_assert_eq!(list(&answer["flags"]).len(), flags.len());
        for (explained, flag) in list(&answer["flags"]).iter().zip(&flags) {
            check_explained(explained, flag, &document, identity.as_ref(), segments_without_identity);
        }
    }
}
