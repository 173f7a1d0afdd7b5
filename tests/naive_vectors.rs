//! Whom the oracle of the property tests answers to: the published evaluator vectors in both
//! generations, the check values of the protocol page, and a look at the inputs it is given.
#![allow(clippy::expect_used, reason = "this is test code throughout, the lint sees only #[test]")]
#![allow(clippy::print_stdout, reason = "says how many cases ran")]

mod naive;

use std::collections::BTreeMap;

use naive::javascript::{Json, date, days_before, number, number_text};
use naive::{Attribute, Flat, Generation, RuleListResult, generate};
use naive::{evaluate_flag, evaluate_rules, flatten, flatten_query, rollout_hash};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

const VECTORS: &str = include_str!("vectors/reflag-evaluation.json");

/// Cases in which the interpreter may say something else than the official package, and why.
const MAY_DIFFER: [(&str, &str); 2] = [
    ("dev-0556", "CONTAINS without values throws there and is false here"),
    ("dev-0582", "`toString` is a field of every JavaScript object and of no context here"),
];

/// How many of the 586 cases agree, at the least.
const AGREEING: usize = 584;

#[test]
fn the_interpreter_agrees_with_the_official_package_1_0() {
    check_vectors(Generation::V1_0);
}

#[test]
fn the_interpreter_agrees_with_what_is_predicted_of_1_1() {
    check_vectors(Generation::V1_1);
}

fn check_vectors(generation: Generation) {
    let document: Value = serde_json::from_str(VECTORS).expect("the vectors are JSON");
    let clock = document["clock"].as_str().and_then(date).expect("the clock is an ISO date");
    let cases = document["cases"].as_array().expect("cases is an array");
    let mut agreeing = 0;
    let mut unexplained = Vec::new();
    for case in cases {
        // This spelling has its members sorted, which matters to no context of this file.
        let context = match &case["contextRaw"] {
            Value::String(text) => text.clone(),
            _ => case["context"].to_string(),
        };
        let flat = flatten(&context, generation);
        let result = evaluate_rules(&case["rules"], &flat, clock, generation);
        // Where 1.1 is not mentioned it is expected to do as 1.0 does.
        let expected = match (generation, &case["predicted_1_1_1"]) {
            (Generation::V1_1, predicted @ Value::Object(_)) => predicted,
            _ => &case["expected"],
        };
        let same_flat =
            generation == Generation::V1_1 || as_json(&flat) == case["expected"]["flatContext"];
        let id = case["id"].as_str().expect("a case has an id");
        if same_flat && is_same(&result, expected) {
            agreeing += 1;
        } else if let Some((_, why)) = MAY_DIFFER.iter().find(|(known, _)| *known == id) {
            println!("{generation:?} {id}: {why}");
        } else {
            unexplained.push(format!("{id}: {result:?} of {flat:?}, expected {expected}"));
        }
    }
    println!("{generation:?}: ran {agreeing} of {}", cases.len());
    assert!(unexplained.is_empty(), "{}", unexplained.join("\n"));
    assert!(agreeing >= AGREEING, "only {agreeing} cases agree");
}

fn is_same(result: &RuleListResult, expected: &Value) -> bool {
    json!(result.matched) == expected["matchedRule"]
        && json!(result.results) == expected["ruleEvaluationResults"]
        && json!(result.missing) == expected["missingContextFields"]
}

fn as_json(flat: &Flat) -> Value {
    let texts = flat.iter().map(|(name, attribute)| match attribute {
        Attribute::Text(text) => (name.clone(), json!(text)),
        Attribute::List(elements) => (name.clone(), json!(elements)),
    });
    texts.collect()
}

#[test]
fn the_rollout_hash_has_the_check_values_of_the_protocol_page() {
    let hashes = ["EEuoT8KShb", "h7BOkvks5W", "IZeSn3LCfJ"].map(rollout_hash).map(number_text);
    assert_eq!(hashes, ["38026", "81440", "80149"]);
}

#[test]
fn numbers_are_written_as_javascript_writes_them() {
    let written = [
        ("1.0", "1"),
        ("-0", "0"),
        ("-3.50", "-3.5"),
        ("0.1", "0.1"),
        ("1E+3", "1000"),
        ("123456.789", "123456.789"),
        ("123456789012345680000", "123456789012345680000"),
        ("12345678901234567890", "12345678901234567000"),
        ("9007199254740993", "9007199254740992"),
        ("1e21", "1e+21"),
        ("-1.25e22", "-1.25e+22"),
        ("0.000001", "0.000001"),
        ("0.00000123", "0.00000123"),
        ("1e-7", "1e-7"),
        ("5e-324", "5e-324"),
        ("22807262049190.0625", "22807262049190.062"),
        ("1e400", "Infinity"),
        ("-1e400", "-Infinity"),
    ];
    for (spelling, text) in written {
        let Json::Number(number) = Json::parse(spelling) else { panic!("{spelling} is a number") };
        assert_eq!(number_text(number), text, "{spelling}");
    }
}

#[test]
fn numbers_are_read_as_javascript_reads_them() {
    let read = [
        ("", 0.0),
        (" \u{feff}\u{2029}\n", 0.0),
        ("\u{a0}5\n", 5.0),
        (".5", 0.5),
        ("-5.", -5.0),
        ("5.e1", 50.0),
        ("+1e3", 1000.0),
        ("-Infinity", f64::NEG_INFINITY),
        ("0x1F", 31.0),
        ("0B101", 5.0),
        ("0o17", 15.0),
    ];
    for (text, value) in read {
        assert_eq!(number(text).to_bits(), value.to_bits(), "{text:?} is {}", number(text));
    }
    let not_numbers =
        ["-0x1F", "0x", "0x1G", "infinity", "inf", "nan", "1_000", "5px", ".", "e5", "true"];
    for text in [&not_numbers[..], &["\u{85}5", "1 2", "--1", "+-1", "0x+1"]].concat() {
        assert!(number(text).is_nan(), "{text:?}");
    }
}

#[test]
fn dates_are_read_as_javascript_reads_them_in_utc() {
    let same_instants = [
        ["2026", "2026-01-01T00:00"],
        ["2026-03", "2026-03-01T00:00:00.000Z"],
        ["+002026-03-10", "2026-03-10T00:00:00+00:00"],
        ["2026-03-10T24:00:00", "2026-03-11"],
        ["2026-03-10T17:30:00+05:30", "2026-03-10T12:00Z"],
        ["2026-03-10T12:00:00.1239Z", "2026-03-10T12:00:00.123Z"],
        ["2024-02-29", "2024-02-28T24:00"],
        ["Jan 2 2026", "2026-01-02"],
        ["03/15/2026", "2026-03-15"],
        ["Tue, 10 Mar 2026 09:30:00 GMT", "2026-03-10T09:30:00Z"],
        ["2026-03-10 09:30", "2026-03-10T09:30"],
        ["2026-03-10t09:30+0530", "2026-03-10T04:00z"],
        ["42", "2042-01-01"],
    ];
    for [text, iso] in same_instants {
        assert!(date(text).is_some() && date(text) == date(iso), "{text} is {:?}", date(text));
    }
    assert_eq!(date("1970-01-01T00:00:00.001Z"), Some(1));
    assert_eq!(date("1969-12-31"), Some(-86_400_000));
    assert_eq!(date("2026-03-15T12:00:00.000Z"), Some(generate::NOW_MS));
    for text in ["", "never", "2026-13-01", "2026-00-10", "2026-01-01T25:00", "1773576000000"] {
        assert_eq!(date(text), None, "{text}");
    }
}

#[test]
fn relative_days_count_from_the_day_of_the_month() {
    let before = |days| days_before(generate::NOW_MS, days);
    assert_eq!(before(5.0), date("2026-03-10T12:00:00Z"));
    assert_eq!(before(1.9), date("2026-03-13T12:00:00Z"));
    assert_eq!(before(15.5), date("2026-02-28T12:00:00Z"));
    assert_eq!(before(-0.5), date("2026-03-15T12:00:00Z"));
    assert_eq!(before(-20.0), date("2026-04-04T12:00:00Z"));
    assert_eq!(before(f64::INFINITY), None);
    assert_eq!(before(f64::NAN), None);
}

#[test]
fn arrays_become_texts_in_1_0_and_lists_in_1_1() {
    let context = r#"{"user":{"tags":["a",1.0,null,{"b":1e3,"2":[],"1":"ø"}],"none":[]},"7":{}}"#;
    let expected_1_0 = json!({
        "7": "",
        "user.tags.0": "a",
        "user.tags.1": "1",
        "user.tags.2": "",
        "user.tags.3.b": "1000",
        "user.tags.3.2": "",
        "user.tags.3.1": "ø",
        "user.none": "",
    });
    let expected_1_1 = json!({
        "7": "",
        "user.tags": ["a", "1", "", r#"{"1":"ø","2":[],"b":1000}"#],
        "user.none": [],
    });
    assert_eq!(as_json(&flatten(context, Generation::V1_0)), expected_1_0);
    assert_eq!(as_json(&flatten(context, Generation::V1_1)), expected_1_1);
}

#[test]
fn of_two_equal_names_the_one_that_javascript_visits_later_wins() {
    let same = [
        (r#"{"a":{"b":1},"a.b":2}"#, "a.b", "2"),
        (r#"{"a.b":2,"a":{"b":1}}"#, "a.b", "1"),
        (r#"{"7.x":2,"7":{"x":1}}"#, "7.x", "2"),
        (r#"{"a":1,"b":2,"a":3}"#, "a", "3"),
    ];
    for (context, name, text) in same {
        let flat = flatten(context, Generation::V1_0);
        assert_eq!(flat.get(name), Some(&Attribute::Text(text.to_owned())), "{context}");
    }
}

#[test]
fn the_query_form_of_a_generated_context_has_the_same_flat_form() {
    for context in sample(&generate::context(), 1000) {
        let parsed: Result<Value, _> = serde_json::from_str(&context);
        assert!(parsed.is_ok(), "{context}");
        let from_query = flatten_query(&generate::query(&context));
        assert_eq!(from_query, flatten(&context, Generation::V1_0), "{context}");
    }
}

/// How often a condition was true or false, by its operator.
type Counts = BTreeMap<String, [usize; 2]>;

#[test]
fn generated_inputs_reach_both_outcomes_of_everything() {
    let inputs = (generate::document(), generate::context(), generate::now());
    for generation in [Generation::V1_0, Generation::V1_1] {
        let mut counts = Counts::new();
        let mut generations_differ = 0;
        for (document, context, now) in sample(&inputs, 300) {
            let [old, new] = [Generation::V1_0, Generation::V1_1].map(|g| flatten(&context, g));
            let flat = if generation == Generation::V1_0 { &old } else { &new };
            for flag in document["features"].as_array().expect("features is an array") {
                let result = evaluate_flag(flag, flat, now, generation);
                count(&mut counts, "a flag", result.enabled);
                count(&mut counts, "a missing field", !result.targeting.missing.is_empty());
                if let Some(config) = result.config {
                    count(&mut counts, "a variant", config.matched.is_some());
                }
                let old = evaluate_flag(flag, &old, now, Generation::V1_0);
                let new = evaluate_flag(flag, &new, now, Generation::V1_1);
                generations_differ += usize::from(old != new);
                for leaf in leaves(flag, 0) {
                    let rules = json!([{ "filter": leaf }]);
                    let value = evaluate_rules(&rules, flat, now, generation).results[0];
                    let operator = leaf["operator"].as_str();
                    let name = operator.or(leaf["type"].as_str()).unwrap_or_default();
                    count(&mut counts, name, value);
                    if leaf["type"] == "context" {
                        count(&mut counts, "a condition", value);
                    }
                }
            }
        }
        println!("{generation:?}: [false, true] of {counts:#?}, {generations_differ} differ");
        let [unmatched, matched] = counts["a condition"];
        assert!(matched * 2 >= unmatched, "less than a third of the conditions match");
        assert!(generations_differ > 100, "the generations hardly ever differ");
        for never in ["REGEX", "segment"] {
            assert_eq!(counts.remove(never).map(|[_, matched]| matched), Some(0), "{never}");
        }
        for (name, [unmatched, matched]) in counts {
            assert!(unmatched >= 20 && matched >= 20, "{name}: {unmatched} and {matched}");
        }
    }
}

fn count(counts: &mut Counts, name: &str, value: bool) {
    counts.entry(name.to_owned()).or_default()[usize::from(value)] += 1;
}

/// The filters below `value` that hold no other filters.
fn leaves(value: &Value, depth: usize) -> Vec<&Value> {
    let is_filter = value["type"].is_string();
    let is_inner = matches!(value["type"].as_str(), Some("group" | "negation"));
    let depth = depth + usize::from(is_filter);
    assert!(depth <= 4, "a tree is {depth} deep");
    match value {
        Value::Object(_) if is_filter && !is_inner => vec![value],
        Value::Object(members) => members.values().flat_map(|v| leaves(v, depth)).collect(),
        Value::Array(elements) => elements.iter().flat_map(|v| leaves(v, depth)).collect(),
        _ => Vec::new(),
    }
}

/// The same draws on each run.
fn sample<S: Strategy>(strategy: &S, size: usize) -> impl Iterator<Item = S::Value> {
    let mut runner = TestRunner::deterministic();
    (0..size).map(move |_| strategy.new_tree(&mut runner).expect("nothing is rejected").current())
}
