//! Reflag's rules for Flagsmith's SDKs.

use std::cell::RefCell;
use std::collections::BTreeSet;

use burgee::compile::{Policy, Visibility};
use burgee::dialect::Translation;
use burgee::dialect::flagsmith::translate::environment_document;
use burgee::model::{EnvironmentName, Generation, Version};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use super::Coverage;
use super::naive::generate;
use super::naive_flagsmith::{Identity, Trait};
use super::of_flagsmith::is_telling;
use super::sides::{AllSeen, FlagsmithSide, ReflagSide, Seen, json_of, texts_of};

// ---- documents

const FIELDS: [&str; 15] = [
    "user.id",
    "user.id",
    "user.a",
    "user.a",
    "user.b b",
    "user.b b",
    "company.id",
    "company.id",
    "company.plan",
    "company.plan",
    "other.region",
    "user",
    "7.x",
    "user.company.plan",
    "user.missing",
];

/// Operators that have an exact equal for one operand or another, then those that have none but for
/// operands with which nothing holds.
const OPERATORS: [&str; 17] = [
    "IS",
    "IS_NOT",
    "ANY_OF",
    "NOT_ANY_OF",
    "CONTAINS",
    "NOT_CONTAINS",
    "SET",
    "NOT_SET",
    "IS_TRUE",
    "IS_FALSE",
    "REGEX",
    "GT",
    "LT",
    "AFTER",
    "BEFORE",
    "DATE_AFTER",
    "DATE_BEFORE",
];

const OPERANDS: [&str; 20] = [
    "gold", "gold", "Gold", "silver", "true", "false", "True", "", "u-1", "acme", "a,b", "[x",
    "ÆRØ", " 7", "None", "7", "007", "7.0", "1e+21", "NaN",
];

const NEEDLES: [&str; 18] = [
    "gold", "OLD", "ru", "@x", "k", "i@i", "ø", "RØ", "中", "]^\\-[", "𐐀", "", "7", "e", "fin",
    "σ", "a b", "rue",
];

fn condition() -> impl Strategy<Value = Value> {
    let operator = prop_oneof![6 => select(&OPERATORS[..11]), 1 => select(&OPERATORS[..])];
    (select(&FIELDS[..]), operator).prop_flat_map(|(field, operator)| {
        let pool: &[&str] = match operator {
            "CONTAINS" | "NOT_CONTAINS" => &NEEDLES,
            "GT" | "LT" => &["x", "Infinity", "-Infinity", "7"],
            "AFTER" | "BEFORE" => &["soon", "30"],
            "DATE_AFTER" | "DATE_BEFORE" => &["never", "2026-01-01"],
            _ => &OPERANDS,
        };
        let likely = &pool[..pool.len() * 3 / 4];
        let operand = prop_oneof![
            9 => select(likely).prop_map(|text| json!(text)),
            1 => select(pool).prop_map(|text| json!(text)),
        ];
        vec(operand, 0..4).prop_map(
            move |values| json!({"type": "context", "field": field, "operator": operator, "values": values}),
        )
    })
}

fn rollout() -> impl Strategy<Value = Value> {
    let threshold = select(vec![-1.0, 0.0, 100_000.5, 100_001.0, 100_001.0, 100_000.0, 50_000.0]);
    (select(&FIELDS[..]), threshold).prop_map(|(field, threshold)| {
        json!({
            "type": "rolloutPercentage", "key": "k", "partialRolloutAttribute": field,
            "partialRolloutThreshold": threshold,
        })
    })
}

fn filter() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        10 => condition(),
        1 => rollout(),
        1 => any::<bool>().prop_map(|value| json!({"type": "constant", "value": value})),
        1 => Just(json!({"type": "segment"})),
    ];
    leaf.prop_recursive(3, 6, 3, |inner| {
        let operator = select(&["and", "or"][..]);
        let group = (operator, vec(inner.clone(), 0..4)).prop_map(
            |(operator, filters)| json!({"type": "group", "operator": operator, "filters": filters}),
        );
        let negation = inner.prop_map(|filter| json!({"type": "negation", "filter": filter}));
        prop_oneof![2 => group, 1 => negation]
    })
}

fn payload() -> impl Strategy<Value = Value> {
    select(vec![
        json!(null),
        json!("text"),
        json!(7),
        json!(5.0),
        json!(true),
        json!({"b": [1, "x y"], "a": {}}),
        json!([]),
        json!(""),
    ])
}

fn flag() -> impl Strategy<Value = Value> {
    let rule = filter().prop_map(|filter| json!({"filter": filter}));
    let variant = (select(&["large", "small"][..]), payload(), filter()).prop_map(
        |(key, payload, filter)| json!({"key": key, "payload": payload, "filter": filter}),
    );
    let config =
        vec(variant, 0..3).prop_map(|variants| json!({"version": 1, "variants": variants}));
    (vec(rule, 0..3), option::weighted(0.6, config)).prop_map(
        |(rules, config)| json!({"targeting": {"version": 1, "rules": rules}, "config": config}),
    )
}

fn document() -> impl Strategy<Value = Value> {
    vec(flag(), 1..6).prop_map(|mut flags| {
        for (flag, at) in flags.iter_mut().zip(0..) {
            flag["key"] = json!(format!("flag-{at}"));
        }
        json!({"success": true, "flagStateVersion": 3, "features": flags})
    })
}

// ---- identities

const IDENTIFIERS: [&str; 7] = ["u-1", "u-2", "42", "007", "true", "gold", "ÆRØ"];

const TRAITS: [&str; 13] = [
    "a",
    "a",
    "b b",
    "b b",
    "company.id",
    "company_id",
    "companyId",
    "company.plan",
    "company.plan",
    "other.region",
    "user",
    "x",
    "missing",
];

const TEXTS: [&str; 36] = [
    "gold", "gold", "Gold", "xGOLDx", "silver", "true", "false", "True", "TRUE", "", "acme", "u-1",
    "a,b", "a", "[x", "ÆRØ", "ærø", "7", "007", "7.0", " 7", "1e3", "1e+21", "None", "K", "İ",
    "i@İ", "中文", "a\nb@x", "]^\\-[", "𐐨", "σ", "Infinity", "a b", "4\u{307}", "5.50",
];

const NUMBERS: [&str; 10] =
    ["7", "7.0", "-0", "5.5", "1e3", "1e21", "1e-7", "1e16", "1000000000000000000000", "0"];

fn trait_value() -> impl Strategy<Value = Trait> {
    prop_oneof![
        1 => Just(Trait::Null),
        3 => any::<bool>().prop_map(Trait::Bool),
        2 => select(&NUMBERS[..]).prop_map(|number| Trait::Number(number.to_owned())),
        9 => select(&TEXTS[..]).prop_map(|text| Trait::Text(text.to_owned())),
        1 => "\\PC{0,4}".prop_map(Trait::Text),
    ]
}

fn identity() -> impl Strategy<Value = Option<Identity>> {
    let traits = vec((select(&TRAITS[..]).prop_map(str::to_owned), trait_value()), 0..9);
    let identity = (select(&IDENTIFIERS[..]), traits).prop_map(|(identifier, traits)| {
        let mut last: Vec<(String, Trait)> = Vec::new();
        for (name, value) in traits {
            last.retain(|(known, _)| *known != name);
            last.push((name, value));
        }
        Identity { identifier: identifier.to_owned(), traits: last }
    });
    prop_oneof![1 => Just(None), 9 => identity.prop_map(Some)]
}

// ---- what is compared

pub(crate) fn translated(side: &ReflagSide) -> (Translation, FlagsmithSide) {
    let name = EnvironmentName::new("production");
    let translate = || {
        environment_document(
            &side.ruleset,
            &side.program,
            &side.policy,
            &name,
            Version::new(1_777_887_011_204),
        )
    };
    let translation = translate();
    assert_eq!(translate(), translation, "equal rules give equal bytes");
    let flagsmith = FlagsmithSide::new(&translation.document, false);
    assert_eq!(flagsmith.environment.warnings, [] as [&str; 0]);
    (translation, flagsmith)
}

/// What Flagsmith's dialect shows of Reflag's rules (DESIGN section 4), which have no variants there.
fn rendered(seen: Seen) -> Seen {
    let value = match seen.value {
        structured @ (Value::Object(_) | Value::Array(_)) => json!(structured.to_string()),
        scalar => scalar,
    };
    Seen { enabled: seen.enabled, variant: None, value }
}

/// Gives what was seen on the translated side, which is the same on both.
pub(crate) fn check(
    native: &ReflagSide,
    flagsmith: &FlagsmithSide,
    identity: Option<&Identity>,
) -> AllSeen {
    let expected: AllSeen = native
        .evaluate(&json_of(&texts_of(identity)))
        .into_iter()
        .map(|(name, seen)| (name, rendered(seen)))
        .collect();
    let all = flagsmith.evaluate(identity);
    for (name, seen) in &all {
        assert_eq!(
            Seen { variant: None, ..seen.clone() },
            expected[name],
            "flag {name} for {identity:?}\n{}\n{}",
            native.document,
            flagsmith.document
        );
    }
    all
}

fn operators_of(filter: &Value, operators: &mut BTreeSet<String>) {
    let own = if filter["type"] == "context" { &filter["operator"] } else { &filter["type"] };
    operators.extend(own.as_str().map(str::to_owned));
    filter["filters"].as_array().into_iter().flatten().for_each(|f| operators_of(f, operators));
    if filter["type"] == "negation" {
        operators_of(&filter["filter"], operators);
    }
}

fn run(cases: u32, documents: impl Strategy<Value = Value>, coverage: &RefCell<Coverage>) {
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    TestRunner::new(config)
        .run(&(documents, vec(identity(), 8), any::<bool>()), |(document, identities, later)| {
            let generation = if later { Generation::V1_1 } else { Generation::V1_0 };
            let secret = BTreeSet::from(["flag-0".to_owned()]);
            let policy = Policy { generation, visibility: Visibility::Except(secret) };
            let native = ReflagSide::new(document.to_string().as_bytes(), policy);
            let (translation, flagsmith) = translated(&native);
            for definition in document["features"].as_array().unwrap() {
                let key = definition["key"].as_str().unwrap();
                let missing = translation.untranslated.iter().any(|u| &*u.flag == key);
                let feature =
                    flagsmith.environment.features.iter().find(|f| &*f.state.feature == key);
                assert_eq!(missing, feature.is_none(), "{key} is either there or named");
                if let Some(feature) = feature {
                    let is_secret = flagsmith.environment.server_key_only.contains(&feature.id);
                    assert_eq!(is_secret, key == "flag-0");
                }
            }
            let seen: Vec<AllSeen> = identities
                .iter()
                .map(|identity| check(&native, &flagsmith, identity.as_ref()))
                .collect();
            for definition in document["features"].as_array().unwrap() {
                let key = definition["key"].as_str().unwrap();
                let missing = translation.untranslated.iter().any(|u| &*u.flag == key);
                let mut operators = BTreeSet::new();
                let rules = definition["targeting"]["rules"].as_array().into_iter();
                let variants = definition["config"]["variants"].as_array().into_iter();
                for rule in rules.chain(variants).flatten() {
                    operators_of(&rule["filter"], &mut operators);
                }
                for operator in operators {
                    coverage.borrow_mut().count(&operator, !missing, is_telling(&seen, key));
                }
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn translated_environments_agree_with_the_rules_that_they_were_made_of() {
    let coverage = RefCell::new(Coverage::default());
    run(1_500, document(), &coverage);
    coverage.into_inner().print();
}

#[test]
fn so_do_those_made_of_rules_that_use_everything() {
    run(300, generate::document(), &RefCell::default());
}

/// Flags that are one condition each.
#[test]
fn single_conditions_are_translated_where_there_is_an_equal_and_nowhere_else() {
    let filter = prop_oneof![8 => condition(), 1 => rollout()];
    let documents = vec(filter, 12).prop_map(|filters| {
        let flags = filters.into_iter().zip(0..).map(|(filter, at)| {
            json!({"key": format!("flag-{at}"), "targeting": {"version": 1, "rules": [{"filter": filter}]}})
        });
        json!({"success": true, "flagStateVersion": 3, "features": flags.collect::<Vec<_>>()})
    });
    let coverage = RefCell::new(Coverage::default());
    run(400, documents, &coverage);
    let coverage = coverage.into_inner();
    coverage.print();
    coverage.check(&OPERATORS[..10]);
    for operator in &OPERATORS[10..] {
        assert_eq!(
            coverage.0[*operator].telling, 0,
            "{operator} has no equal that tells anybody apart"
        );
    }
}
