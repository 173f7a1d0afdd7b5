//! What is written, and that it means what is stored: each generated state is evaluated twice, by
//! the compiled definitions and by an interpreter of the stored words that knows no filters.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::compile::{Policy, compile};
use crate::dialect::reflag::definitions::read;
use crate::evaluate::{EvaluationContext, Evaluator};
use crate::origin::model::{
    Access, Flag, FlagId, Id, Percentage, SegmentVariant, Stage, StageId, Targeting, Variant,
};
use crate::time::Timestamp;

fn flag(key: &str) -> FlagState {
    let flag = Flag {
        id: FlagId::random().unwrap(),
        key: key.to_owned(),
        name: key.to_owned(),
        description: None,
        stage: None,
        owner: None,
        archived: false,
        permanent: false,
        secret: false,
        created_at: Timestamp(0),
        rolled_out_to_everyone_at: None,
    };
    let targeting = Targeting { version: 3, config_version: 2, ..Targeting::default() };
    FlagState { flag, variants: Vec::new(), targeting }
}

fn attribute(attribute: &str, operator: &str, values: &[&str]) -> Condition {
    Condition::Attribute {
        attribute: attribute.to_owned(),
        operator: operator.to_owned(),
        values: values.iter().map(|&value| value.to_owned()).collect(),
    }
}

fn segment(id: &str, rules: Vec<Rule>) -> Segment {
    Segment { id: SegmentId::from(id), name: id.to_owned(), kind: SegmentKind::Custom, rules }
}

fn features(state: &EnvironmentState) -> Value {
    let document: Value = serde_json::from_slice(&document(state).unwrap()).unwrap();
    assert_eq!(document["success"], json!(true));
    document["features"].clone()
}

#[test]
fn a_flag_is_written_as_the_hosted_service_writes_it() {
    let mut checkout = flag("checkout");
    checkout.flag.description = Some("Sold \"here\"".to_owned());
    checkout.flag.stage = Some(Stage {
        id: StageId::from("st"),
        name: "Beta".to_owned(),
        color: "red".to_owned(),
        order: 0,
    });
    checkout.targeting.company_ids = vec!["acme".to_owned(), "globex".to_owned()];
    let percentage = Percentage::new(25.0).unwrap();
    let rule = Rule { percentage, ..Rule::of(vec![attribute("company.plan", "IS", &["pro"])]) };
    checkout.targeting.access.rules = vec![rule];
    let payload = |payload: &str| Some(payload.to_owned());
    checkout.variants = vec![
        Variant { key: "small".to_owned(), payload: payload("5.0") },
        Variant {
            key: "large".to_owned(),
            payload: payload("{\"b\":1,\"a\":18446744073709551616}"),
        },
    ];
    checkout.targeting.config.default = Some("small".to_owned());
    checkout.targeting.config.users.insert("u-1".to_owned(), "large".to_owned());
    let state = EnvironmentState { version: 7, flags: vec![checkout], segments: vec![] };
    let expected = concat!(
        r#"{"success":true,"flagStateVersion":7,"features":[{"key":"checkout","#,
        r#""description":"Sold \"here\"","stage":"Beta","targeting":{"version":3,"rules":["#,
        r#"{"filter":{"type":"context","field":"company.id","operator":"ANY_OF","values":["acme","globex"]}},"#,
        r#"{"filter":{"type":"group","operator":"and","filters":["#,
        r#"{"type":"context","field":"company.plan","operator":"IS","values":["pro"]},"#,
        r#"{"type":"rolloutPercentage","key":"checkout","partialRolloutAttribute":"company.id","partialRolloutThreshold":25000}]}}]},"#,
        r#""config":{"version":2,"variants":["#,
        r#"{"key":"large","payload":{"b":1,"a":18446744073709551616},"filter":{"type":"context","field":"user.id","operator":"ANY_OF","values":["u-1"]}},"#,
        r#"{"key":"small","payload":5.0,"filter":{"type":"constant","value":true}}]}}]}"#,
    );
    assert_eq!(String::from_utf8(document(&state).unwrap().to_vec()).unwrap(), expected);
}

#[test]
fn archived_flags_are_left_out_and_secret_ones_are_marked() {
    let mut archived = flag("archived");
    archived.flag.archived = true;
    archived.targeting.access.everyone = true;
    let mut secret = flag("secret");
    secret.flag.secret = true;
    let mut asking = flag("asking");
    let condition = Condition::Flag { flag: "archived".to_owned(), enabled: true };
    asking.targeting.access.rules = vec![Rule::of(vec![condition])];
    let flags = vec![archived, asking, secret];
    let state = EnvironmentState { version: 1, flags, segments: vec![] };
    let features = features(&state);
    assert_eq!(features.as_array().unwrap().len(), 2);
    let filter = &features[0]["targeting"]["rules"][0]["filter"];
    assert_eq!(*filter, json!({"type": "constant", "value": false}), "what is archived is off");
    assert_eq!(features[1]["secret"], json!(true));
    assert!(features[0].get("secret").is_none());
    let ruleset = read(&document(&state).unwrap()).unwrap();
    assert!(ruleset.broken.is_empty() && ruleset.flags[1].secret);
}

#[test]
fn what_would_never_end_is_reckoned_at_once_and_not_written() {
    let of = |mentions: usize| {
        let flags = (0..=limits::FLAG_DEPTH).map(|index| {
            let mut flag = flag(&format!("f{index}"));
            if index > 0 {
                let flag_before = format!("f{}", index - 1);
                let condition = Condition::Flag { flag: flag_before, enabled: true };
                flag.targeting.access.rules = vec![Rule::of(vec![condition; mentions]); mentions];
            }
            flag
        });
        EnvironmentState { version: 1, flags: flags.collect(), segments: vec![] }
    };
    let short = of(2);
    assert_eq!(extent(&short).bytes, document(&short).unwrap().len() as u128);
    let long = extent(&of(100));
    assert!(long.bytes > 10_u128.pow(20), "10,000 to the power of 5: {}", long.bytes);
    assert_eq!(long.largest.unwrap().0, "f5");
    assert!(document(&of(100)).is_err());
}

/// Whether the flag is on, by the words that are stored.
fn is_on(state: &EnvironmentState, key: &str, context: &Map<String, Value>) -> bool {
    let Some(flag) = state.flags.iter().find(|flag| flag.flag.key == key) else { return false };
    let text = |name: &str| context.get(name).and_then(Value::as_str);
    let targeting = &flag.targeting;
    let access = &targeting.access;
    let listed = |ids: &[String], name| text(name).is_some_and(|id| ids.iter().any(|i| i == id));
    !flag.flag.archived
        && (access.everyone
            || listed(&targeting.company_ids, "company.id")
            || listed(&targeting.user_ids, "user.id")
            || access.segments.iter().any(|segment| is_in(state, segment, context))
            || access.rules.iter().any(|rule| holds(state, rule, context)))
}

fn is_in(state: &EnvironmentState, segment: &SegmentId, context: &Map<String, Value>) -> bool {
    let segment = state.segments.iter().find(|known| known.id == *segment);
    segment.is_some_and(|segment| match segment.kind {
        SegmentKind::All => context.get("company.id").is_some_and(|id| *id != json!("")),
        SegmentKind::Custom => segment.rules.iter().any(|rule| holds(state, rule, context)),
    })
}

/// Shares are all or nothing here: where a hash falls is tested with the evaluator.
fn holds(state: &EnvironmentState, rule: &Rule, context: &Map<String, Value>) -> bool {
    let share = rule.percentage.is_everyone();
    share
        && rule.conditions.iter().all(|condition| match condition {
            Condition::Attribute { attribute, operator, values } => {
                let value = context.get(attribute).and_then(Value::as_str);
                match (value, operator.as_str()) {
                    (value, "SET") => value.is_some_and(|text| !text.is_empty()),
                    (value, "NOT_SET") => value.is_none_or(str::is_empty),
                    (Some(value), "IS") => value == values[0],
                    (Some(value), "NOT_ANY_OF") => !values.iter().any(|v| v == value),
                    (None, _) => false,
                    (_, other) => panic!("{other} is not generated"),
                }
            }
            Condition::Segment { segment, matches } => is_in(state, segment, context) == *matches,
            Condition::Flag { flag, enabled } => is_on(state, flag, context) == *enabled,
        })
}

/// The variant, by the words that are stored.
fn variant(
    state: &EnvironmentState,
    flag: &FlagState,
    context: &Map<String, Value>,
) -> Option<String> {
    let config = &flag.targeting.config;
    let of = |listed: &BTreeMap<String, String>, name: &str| {
        context.get(name).and_then(Value::as_str).and_then(|id| listed.get(id).cloned())
    };
    let mut segments = config.segments.iter();
    of(&config.users, "user.id")
        .or_else(|| of(&config.companies, "company.id"))
        .or_else(|| {
            let found = segments.find(|choice| is_in(state, &choice.segment, context));
            found.map(|choice| choice.variant.clone())
        })
        .or_else(|| config.default.clone())
}

fn any_condition(flags: usize) -> impl Strategy<Value = Condition> {
    let names = prop::sample::select(vec!["company.id", "company.plan", "user.id", "other.x"]);
    let values = prop::collection::vec(prop::sample::select(vec!["a", "b", "c", ""]), 1..3);
    let operators = prop::sample::select(vec!["IS", "NOT_ANY_OF", "SET", "NOT_SET"]);
    let comparison = (names, operators, values).prop_map(|(name, operator, values)| {
        let values = if operator.ends_with("SET") { vec![] } else { values };
        attribute(name, operator, &values)
    });
    let segment = (prop::sample::select(vec!["s0", "s1", "all", "gone"]), any::<bool>())
        .prop_map(|(id, matches)| Condition::Segment { segment: SegmentId::from(id), matches });
    // Only earlier flags: what the store lets in has no circles.
    let flag = (0..=flags, any::<bool>())
        .prop_map(|(index, enabled)| Condition::Flag { flag: format!("f{index}"), enabled });
    prop_oneof![4 => comparison, 2 => segment, 1 => flag]
}

fn any_rules(flags: usize) -> impl Strategy<Value = Vec<Rule>> {
    let share = prop::sample::select(vec![0.0, 100.0, 100.0, 100.0]);
    let rule = (prop::collection::vec(any_condition(flags), 0..3), share).prop_map(
        |(conditions, percent)| Rule {
            percentage: Percentage::new(percent).unwrap(),
            ..Rule::of(conditions)
        },
    );
    prop::collection::vec(rule, 0..3)
}

fn ids() -> impl Strategy<Value = Vec<String>> {
    let id = prop::sample::select(vec!["a", "b", "c"]).prop_map(str::to_owned);
    prop::collection::btree_set(id, 0..3).prop_map(|ids| ids.into_iter().collect())
}

fn any_config() -> impl Strategy<Value = ConfigTargeting> {
    let variant = || prop::sample::select(vec!["v0", "v1"]).prop_map(str::to_owned);
    let listed = || {
        prop::collection::btree_map(
            prop::sample::select(vec!["a", "b"]).prop_map(str::to_owned),
            variant(),
            0..3,
        )
    };
    let segment = (prop::sample::select(vec!["s0", "s1", "all"]), variant())
        .prop_map(|(id, variant)| SegmentVariant { segment: SegmentId::from(id), variant });
    (prop::option::of(variant()), prop::collection::vec(segment, 0..3), listed(), listed())
        .prop_map(|(default, segments, companies, users)| ConfigTargeting {
            default,
            segments,
            companies,
            users,
        })
}

fn any_state() -> impl Strategy<Value = EnvironmentState> {
    let one = |index: usize| {
        let segments = prop::collection::vec(prop::sample::select(vec!["s0", "s1", "all"]), 0..2);
        let before = index.saturating_sub(1);
        let access = (prop::bool::weighted(0.1), segments, any_rules(before));
        (access, ids(), ids(), any_config(), prop::bool::weighted(0.1)).prop_map(
            move |((everyone, segments, rules), company_ids, user_ids, config, archived)| {
                let mut state = flag(&format!("f{index}"));
                // The first flag would depend on itself.
                let rules = if index == 0 { vec![] } else { rules };
                let segments = segments.into_iter().map(SegmentId::from).collect();
                state.flag.archived = archived;
                state.targeting.access = Access { everyone, segments, rules };
                state.targeting.company_ids = company_ids;
                state.targeting.user_ids = user_ids;
                state.targeting.config = config;
                state.variants =
                    ["v0", "v1"].map(|key| Variant { key: key.to_owned(), payload: None }).to_vec();
                state
            },
        )
    };
    let attributes_only = || {
        any_rules(0).prop_map(|mut rules| {
            for rule in &mut rules {
                rule.conditions.retain(|c| matches!(c, Condition::Attribute { .. }));
            }
            rules
        })
    };
    (one(0), one(1), one(2), attributes_only(), attributes_only()).prop_map(
        |(first, second, third, s0, s1)| {
            let mut all = segment("all", vec![]);
            all.kind = SegmentKind::All;
            EnvironmentState {
                version: 5,
                flags: vec![first, second, third],
                segments: vec![segment("s0", s0), segment("s1", s1), all],
            }
        },
    )
}

fn any_context() -> impl Strategy<Value = Map<String, Value>> {
    let names = ["company.id", "company.plan", "user.id", "other.x"];
    let value = prop::option::of(prop::sample::select(vec!["a", "b", "c", "d", ""]));
    prop::collection::vec(value, names.len()).prop_map(move |values| {
        let pairs = names.iter().zip(values);
        pairs.filter_map(|(name, value)| Some(((*name).to_owned(), json!(value?)))).collect()
    })
}

proptest! {
    #[test]
    fn definitions_mean_what_is_stored(state in any_state(), context in any_context()) {
        let document = document(&state).unwrap();
        prop_assert_eq!(extent(&state).bytes, document.len() as u128);
        let ruleset = read(&document).unwrap();
        prop_assert!(ruleset.broken.is_empty() && ruleset.warnings.is_empty());
        let program = compile(&ruleset, &Policy::default()).program;
        let mut evaluated = EvaluationContext::new();
        evaluated.reset(&program);
        evaluated.set_json(&program, &Value::Object(context.clone()).to_string()).unwrap();
        let mut evaluator = Evaluator::new(&program, &mut evaluated, Timestamp(0));
        for compiled in &program.flags {
            let key = &*compiled.key;
            let on = evaluator.evaluate(compiled.targeting).matched.is_some();
            prop_assert_eq!(on, is_on(&state, key, &context), "flag {}", key);
            let matched = evaluator.evaluate(compiled.config.unwrap()).matched;
            let wire = ruleset.flags.iter().find(|flag| *flag.key == *key).unwrap();
            let config = wire.config.as_ref().unwrap();
            let given = matched.map(|index| config.variants[index as usize].key.to_string());
            let flag = state.flags.iter().find(|flag| flag.flag.key == key).unwrap();
            prop_assert_eq!(given, variant(&state, flag, &context), "config of {}", key);
        }
    }
}
