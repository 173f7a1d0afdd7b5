//! Flagsmith's rules for Reflag's SDKs.

use std::cell::RefCell;
use std::collections::BTreeSet;

use burgee::compile::Policy;
use burgee::dialect::Translation;
use burgee::dialect::reflag::translate::{Terms, definitions};
use burgee::model::{Generation, Version};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use super::Coverage;
use super::naive_flagsmith as naive;
use super::sides::{AllSeen, FlagsmithSide, ReflagSide, Seen, Texts, identity_of, json_of};

// ---- documents

const PROPERTIES: [&str; 14] = [
    "a",
    "a",
    "b b",
    "b b",
    "company.plan",
    "company.id",
    "$.identity.identifier",
    "$.identity.key",
    "$.identity.traits.a",
    "$.environment.name",
    "$.flags.f0.enabled",
    "$.flags.f0.value",
    "$.flags.f0.variant",
    "unsent",
];

/// Operands that have an equal for one operator or another, then others.
const OPERANDS: [&str; 36] = [
    "gold",
    "gold",
    "Gold",
    "silver",
    "true",
    "false",
    "True",
    "False",
    "",
    "ÆRØ",
    "ærø",
    "@",
    "-",
    " ",
    ".",
    "10:2",
    "中",
    "None",
    "env_u-1",
    "env_gold",
    "u-1,gold,true",
    "gold,5.0,007,silver",
    "[\"gold\",\"a,b\"]",
    "x:semver",
    "7",
    "007",
    "7.0",
    " 7",
    "1e3",
    "nan",
    "inf",
    "u-1,7",
    "42",
    "İ",
    "σ",
    "1.2.3:semver",
];

fn operand(operator: &'static str) -> BoxedStrategy<Value> {
    let texts = |texts: &'static [&'static str]| select(texts).prop_map(|t| json!(t)).boxed();
    match operator {
        "PERCENTAGE_SPLIT" => texts(&["100", "100", "99.99", "-1", "-0.5", "x", "0", "50"]),
        "MODULO" => texts(&["2", "2|0", "0|0", "x|1", "2|1", "3|1|1"]),
        "REGEX" => texts(&["[", "[", "a", "T|F", ""]),
        "IN" => prop_oneof![
            4 => texts(&OPERANDS[..24]),
            1 => texts(&OPERANDS),
            1 => vec(select(&OPERANDS[..20]), 0..3).prop_map(|list| json!(list)),
            1 => Just(Value::Null),
        ]
        .boxed(),
        "CONTAINS" | "NOT_CONTAINS" => texts(&[
            "@", "-", ".", " ", "", "中", "10", "-1", "@x", "gold", "İ", "\u{307}", "σ", "7",
        ]),
        "GREATER_THAN" | "GREATER_THAN_INCLUSIVE" | "LESS_THAN" | "LESS_THAN_INCLUSIVE" => {
            texts(&["7", "gold", "", "true", "1.2.3:semver"])
        }
        _ => prop_oneof![
            6 => texts(&OPERANDS[..24]),
            1 => texts(&OPERANDS),
            1 => Just(Value::Null),
        ]
        .boxed(),
    }
}

const OPERATORS: [&str; 15] = [
    "EQUAL",
    "NOT_EQUAL",
    "IN",
    "CONTAINS",
    "NOT_CONTAINS",
    "IS_SET",
    "IS_NOT_SET",
    "PERCENTAGE_SPLIT",
    "RHYMES_WITH",
    "GREATER_THAN",
    "GREATER_THAN_INCLUSIVE",
    "LESS_THAN",
    "LESS_THAN_INCLUSIVE",
    "MODULO",
    "REGEX",
];

/// Have no equal but where all is known beforehand.
const NEVER: [&str; 6] = [
    "GREATER_THAN",
    "GREATER_THAN_INCLUSIVE",
    "LESS_THAN",
    "LESS_THAN_INCLUSIVE",
    "MODULO",
    "REGEX",
];

fn condition() -> impl Strategy<Value = Value> {
    let property = prop_oneof![19 => select(&PROPERTIES[..]).prop_map(Some), 1 => Just(None)];
    let operator = prop_oneof![5 => select(&OPERATORS[..9]), 1 => select(&OPERATORS[..])];
    (property, operator).prop_flat_map(|(property, operator)| {
        let property = match property {
            Some("unsent") if operator == "PERCENTAGE_SPLIT" => Some(""),
            property => property,
        };
        operand(operator).prop_map(
            move |value| json!({"property_": property, "operator": operator, "value": value}),
        )
    })
}

fn rule() -> impl Strategy<Value = Value> {
    let kind = || select(&["ALL", "ANY", "NONE"][..]);
    let leaf = (kind(), vec(condition(), 0..3)).prop_map(
        |(kind, conditions)| json!({"type": kind, "conditions": conditions, "rules": []}),
    );
    leaf.prop_recursive(2, 4, 2, move |inner| {
        (kind(), vec(condition(), 0..2), vec(inner, 0..3)).prop_map(
            |(kind, conditions, rules)| json!({"type": kind, "conditions": conditions, "rules": rules}),
        )
    })
}

fn value() -> impl Strategy<Value = Value> {
    let texts = select(&["gold", "", "7", "true"][..]).prop_map(|text| json!(text));
    prop_oneof![2 => Just(Value::Null), 1 => any::<bool>().prop_map(|v| json!(v)), 1 => Just(json!(7)), 3 => texts]
}

/// Mostly shares that take everybody or nobody.
fn variants() -> impl Strategy<Value = Value> {
    let shares = select(vec![
        vec![],
        vec![100.0],
        vec![0.0, 0.0],
        vec![0.0, 100.0],
        vec![100.0, 50.0],
        vec![30.0],
    ]);
    (shares, value(), option::of("[a-z]{1,3}")).prop_map(|(shares, value, key)| {
        let variants = shares.iter().zip(1..).map(|(share, id)| {
            json!({
                "id": id, "percentage_allocation": share,
                "multivariate_feature_option": {"value": value, "key": key},
            })
        });
        variants.collect()
    })
}

fn state(feature: u8) -> impl Strategy<Value = Value> {
    let variants = prop_oneof![4 => Just(json!([])), 1 => variants()];
    (1..99_u32, any::<bool>(), value(), variants).prop_map(
        move |(seed, enabled, value, variants)| {
            let mut state = naive::state(feature, feature % 2 == 1, seed, enabled, &value);
            state["multivariate_feature_state_values"] = variants;
            state
        },
    )
}

/// Of a feature from `first` on; feature 5 does not exist.
fn overriding(first: u8) -> impl Strategy<Value = Value> {
    let priority = prop_oneof![
        Just(Value::Null),
        (0..3_u8).prop_map(|priority| json!({"priority": priority})),
    ];
    ((first..6).prop_flat_map(state), priority).prop_map(|(mut state, priority)| {
        state["feature_segment"] = priority;
        state
    })
}

/// Segments ask for feature 0, so they override only those that come later.
fn segment() -> impl Strategy<Value = Value> {
    (1..99_u32, vec(rule(), 0..3), vec(overriding(1), 0..3)).prop_map(|(id, rules, states)| {
        json!({"id": id, "name": format!("s{id}"), "rules": rules, "feature_states": states})
    })
}

const IDENTIFIERS: [&str; 7] = ["u-1", "u-2", "007", "7", "true", "gold", "ÆRØ"];

fn document() -> impl Strategy<Value = Value> {
    let features = (0..5_u8).map(state).collect::<Vec<_>>();
    let identity = (select(&IDENTIFIERS[..]), vec(overriding(0), 0..3)).prop_map(
        |(identifier, states)| json!({"identifier": identifier, "identity_features": states}),
    );
    let hides = prop_oneof![4 => Just(Value::Null), 1 => Just(json!(true))];
    (features, vec(segment(), 0..4), vec(identity, 0..3), hides).prop_map(
        |(features, segments, identities, hides)| {
            json!({
                "api_key": "env", "name": "gold", "feature_states": features, "hide_disabled_flags": hides,
                "project": {"segments": segments, "server_key_only_feature_ids": [1, 4]},
                "identity_overrides": identities,
            })
        },
    )
}

// ---- contexts

const NAMES: [&str; 16] = [
    "user.id",
    "user.id",
    "user.a",
    "user.a",
    "other.a",
    "user.b b",
    "other.b b",
    "company.plan",
    "company.plan",
    "user.company.plan",
    "other.company.plan",
    "company.id",
    "other.company.id",
    "company.a",
    "a",
    "other.gold",
];

const TEXTS: [&str; 44] = [
    "gold",
    "gold",
    "Gold",
    "GOLD",
    "silver",
    "true",
    "false",
    "True",
    "False",
    "TRUE",
    "",
    "None",
    "7",
    "007",
    "7.0",
    "7.00",
    " 7",
    "7 ",
    "+7",
    "7.",
    ".7",
    "-.7",
    "-7",
    "1e3",
    "1E3",
    "0x7",
    "0b1",
    "Infinity",
    "-Infinity",
    "NaN",
    "\u{a0}7",
    "7\u{feff}",
    "٣",
    "ÆRØ",
    "ærø",
    "a@x.b",
    "A@X",
    "10:2",
    "a-b",
    "a b",
    "中文",
    "İ",
    "i\u{307}",
    "1.2.3+b",
];

fn texts() -> impl Strategy<Value = Texts> {
    let text = prop_oneof![
        6 => select(&TEXTS[..]).prop_map(str::to_owned),
        1 => "[-0-9.+eExX \u{2028}]{0,4}",
        1 => "\\PC{0,3}",
    ];
    let id = prop_oneof![8 => select(&IDENTIFIERS[..]).prop_map(str::to_owned), 1 => text.clone().boxed()];
    (btree_map(select(&NAMES[..]).prop_map(str::to_owned), text, 0..9), option::weighted(0.8, id))
        .prop_map(|(mut texts, id)| {
            texts.extend(id.map(|id| ("user.id".to_owned(), id)));
            texts
        })
}

// ---- what is compared

pub(crate) fn translated(
    side: &FlagsmithSide,
    generation: Generation,
) -> (Translation, ReflagSide) {
    let terms = Terms {
        version: Version::new(9),
        generation,
        segments_without_identity: side.segments_without_identity,
    };
    let translation = definitions(&side.environment, &terms);
    assert_eq!(definitions(&side.environment, &terms), translation, "equal rules give equal bytes");
    let policy = Policy { generation, ..Policy::default() };
    let reflag = ReflagSide::new(&translation.document, policy);
    (translation, reflag)
}

/// What Reflag's dialect shows of Flagsmith's rules (DESIGN section 4).
fn rendered(seen: Seen, hides: bool) -> Seen {
    if seen.value.is_null() || hides && !seen.enabled {
        return Seen { enabled: seen.enabled, variant: None, value: Value::Null };
    }
    Seen { variant: Some(seen.variant.unwrap_or_else(|| "default".to_owned())), ..seen }
}

/// Gives what was seen on the translated side, which is the same on both.
pub(crate) fn check(native: &FlagsmithSide, reflag: &ReflagSide, texts: &Texts) -> AllSeen {
    let hides = native.environment.hide_disabled_from_servers;
    let expected: AllSeen = native
        .evaluate(identity_of(texts).as_ref())
        .into_iter()
        .map(|(name, seen)| (name, rendered(seen, hides)))
        .collect();
    let all = reflag.evaluate(&json_of(texts));
    for (name, seen) in &all {
        assert_eq!(
            *seen, expected[name],
            "flag {name} for {texts:?}\n{}\n{}",
            native.document, reflag.document
        );
    }
    all
}

/// The operators that the rules of the segments use which override a feature.
fn operators_of(document: &Value, name: &str) -> BTreeSet<String> {
    fn collect(rule: &Value, operators: &mut BTreeSet<String>) {
        for condition in rule["conditions"].as_array().into_iter().flatten() {
            operators.extend(condition["operator"].as_str().map(str::to_owned));
        }
        rule["rules"].as_array().into_iter().flatten().for_each(|rule| collect(rule, operators));
    }
    let mut operators = BTreeSet::new();
    for segment in document["project"]["segments"].as_array().into_iter().flatten() {
        let states = segment["feature_states"].as_array().into_iter().flatten();
        if states.into_iter().any(|state| state["feature"]["name"] == name) {
            let rules = segment["rules"].as_array().into_iter().flatten();
            rules.for_each(|rule| collect(rule, &mut operators));
        }
    }
    operators
}

#[test]
fn translated_definitions_agree_with_the_rules_that_they_were_made_of() {
    let config =
        ProptestConfig { cases: 1_500, failure_persistence: None, ..ProptestConfig::default() };
    let coverage = RefCell::new(Coverage::default());
    TestRunner::new(config)
        .run(&(document(), vec(texts(), 8)), |(document, contexts)| {
            let native = FlagsmithSide::new(document.to_string().as_bytes(), false);
            let (translation, reflag) = translated(&native, Generation::V1_0);
            let hides = native.environment.hide_disabled_from_servers;
            for feature in &native.environment.features {
                let name = &*feature.state.feature;
                let missing = translation.untranslated.iter().any(|u| &*u.flag == name);
                let flag = reflag.ruleset.flags.iter().find(|flag| &*flag.key == name);
                assert!(hides || missing == flag.is_none(), "{name} is either there or named");
                if let Some(flag) = flag {
                    assert_eq!(flag.secret, [1, 4].contains(&feature.id), "{name}");
                }
            }
            let seen: Vec<AllSeen> =
                contexts.iter().map(|texts| check(&native, &reflag, texts)).collect();
            for feature in &native.environment.features {
                let name = &*feature.state.feature;
                let missing = translation.untranslated.iter().any(|u| &*u.flag == name);
                for operator in operators_of(&document, name) {
                    coverage.borrow_mut().count(&operator, !missing, is_telling(&seen, name));
                }
            }
            Ok(())
        })
        .unwrap();
    coverage.into_inner().print();
}

/// Whether a flag was on for some and off for others.
pub(crate) fn is_telling(seen: &[AllSeen], name: &str) -> bool {
    let is_on = |on: bool| seen.iter().any(|all| all.get(name).is_some_and(|s| s.enabled == on));
    is_on(true) && is_on(false)
}

/// One feature per condition, on for those of whom it holds.
pub(crate) fn single(conditions: &[Value]) -> Value {
    let name = |mut state: Value, at: usize| {
        state["feature"]["name"] = json!(format!("f{at}"));
        state
    };
    let default = name(naive::state(0, false, 1, true, &json!("gold")), 0);
    let features = (1..=conditions.len())
        .map(|at| name(naive::state(u8::try_from(at).unwrap(), false, 2, false, &Value::Null), at));
    let segments = conditions.iter().zip(1..).map(|(condition, at)| {
        let state = name(naive::state(u8::try_from(at).unwrap(), false, 3, true, &Value::Null), at);
        json!({
            "id": at, "name": format!("s{at}"), "feature_states": [state],
            "rules": [{"type": "ALL", "conditions": [condition], "rules": []}],
        })
    });
    json!({
        "api_key": "env", "name": "gold", "identity_overrides": [],
        "project": {"segments": segments.collect::<Vec<_>>()},
        "feature_states": std::iter::once(default).chain(features).collect::<Vec<_>>(),
    })
}

#[test]
fn single_conditions_are_translated_where_there_is_an_equal_and_nowhere_else() {
    let config =
        ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() };
    let coverage = RefCell::new(Coverage::default());
    TestRunner::new(config)
        .run(&(vec(condition(), 12), vec(texts(), 12)), |(conditions, contexts)| {
            let native = FlagsmithSide::new(single(&conditions).to_string().as_bytes(), false);
            let (translation, reflag) = translated(&native, Generation::V1_0);
            let seen: Vec<AllSeen> =
                contexts.iter().map(|texts| check(&native, &reflag, texts)).collect();
            for (condition, at) in conditions.iter().zip(1..) {
                let name = format!("f{at}");
                let missing = translation.untranslated.iter().any(|u| *u.flag == *name);
                let operator = condition["operator"].as_str().unwrap();
                coverage.borrow_mut().count(operator, !missing, is_telling(&seen, &name));
                // Without an equal, only what is known beforehand can be translated.
                if NEVER.contains(&operator) && !missing {
                    let mut rules = reflag.document["features"].as_array().unwrap().iter();
                    let rules = rules.find(|flag| flag["key"] == *name).unwrap();
                    let rules = &rules["targeting"]["rules"];
                    let is_set = json!({"type": "context", "field": "user.id", "operator": "SET", "values": []});
                    let everybody = json!([{"filter": is_set}]);
                    assert!(*rules == json!([]) || *rules == everybody, "{condition} became {rules}");
                }
            }
            Ok(())
        })
        .unwrap();
    let coverage = coverage.into_inner();
    coverage.print();
    coverage.check(&OPERATORS[..8]);
}

/// Generation 1.1 asks with typed contexts, of which only the identifier is sure to be the same.
#[test]
fn of_typed_contexts_only_identities_are_compared() {
    let config =
        ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() };
    let identifier = prop_oneof![
        5 => select(&IDENTIFIERS[..]).prop_map(|id| json!(id)),
        1 => Just(Value::Null),
        1 => select(vec![json!(["u-1"]), json!([""]), json!(["", "u-1"]), json!([]), json!("")]),
    ];
    let other = prop_oneof![
        select(&TEXTS[..]).prop_map(|text| json!(text)),
        select(vec![json!(true), json!(7), json!(null), json!(["gold"])]),
    ];
    let context = (option::of(identifier), option::of(other.clone()), option::of(other));
    let told = RefCell::new(0);
    TestRunner::new(config)
        .run(&(document(), vec(context, 8)), |(document, contexts)| {
            let native = FlagsmithSide::new(document.to_string().as_bytes(), false);
            let (_, reflag) = translated(&native, Generation::V1_1);
            let hides = native.environment.hide_disabled_from_servers;
            let mut all = Vec::new();
            for (id, a, plan) in contexts {
                let mut context = json!({"user": {}, "company": {}});
                let mut traits = Vec::new();
                for (name, value) in [("a", &a), ("company.plan", &plan)] {
                    traits.extend(match value {
                        Some(Value::String(text)) => {
                            Some((name.to_owned(), naive::Trait::Text(text.clone())))
                        }
                        Some(Value::Bool(value)) => {
                            Some((name.to_owned(), naive::Trait::Bool(*value)))
                        }
                        Some(Value::Number(n)) => {
                            Some((name.to_owned(), naive::Trait::Number(n.to_string())))
                        }
                        _ => None,
                    });
                }
                let identity = match &id {
                    Some(Value::String(id)) if !id.is_empty() => {
                        Some(naive::Identity { identifier: id.clone(), traits })
                    }
                    _ => None,
                };
                context["user"]["id"] = id.unwrap_or(json!({}));
                context["user"]["a"] = a.unwrap_or(json!({}));
                context["company"]["plan"] = plan.unwrap_or(json!({}));
                let expected = native.evaluate(identity.as_ref());
                let seen = reflag.evaluate(&context.to_string());
                for (name, seen) in &seen {
                    let expected = rendered(expected[name].clone(), hides);
                    assert_eq!(
                        *seen, expected,
                        "flag {name} for {context}\n{document}\n{}",
                        reflag.document
                    );
                }
                all.push(seen);
            }
            *told.borrow_mut() += (0..5).filter(|at| is_telling(&all, &format!("f{at}"))).count();
            Ok(())
        })
        .unwrap();
    // Chance decides how many flags tell contexts apart: 70 of 2,000, and 9 more or fewer. Far below that the test would
    // compare nothing that matters; 50, which was asked first, one run in a hundred does not reach.
    let told = told.into_inner();
    assert!(told > 20, "only {told} flags were seen both on and off");
}

/// Segments may apply to nobody in particular, too, who has no traits then.
#[test]
fn segments_without_identity_apply_where_the_environment_says_so() {
    let config =
        ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() };
    TestRunner::new(config)
        .run(&(document(), vec(select(&IDENTIFIERS[..]), 2)), |(document, ids)| {
            let native = FlagsmithSide::new(document.to_string().as_bytes(), true);
            let (_, reflag) = translated(&native, Generation::V1_0);
            for id in ids.iter().copied().map(Some).chain([None]) {
                let texts =
                    id.map(|id| ("user.id".to_owned(), id.to_owned())).into_iter().collect();
                check(&native, &reflag, &texts);
            }
            Ok(())
        })
        .unwrap();
}
