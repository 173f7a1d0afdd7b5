//! A naive interpreter of Reflag flag definitions: the oracle of the property tests.
//!
//! Written from section 12 of the protocol page, in its order and its words, over plain JSON and
//! a map of texts. It prepares nothing, remembers nothing and shares no code with the evaluator
//! it judges. [`javascript`] has the number and date texts, [`generate`] the inputs.
//!
//! Where the page leaves room, this is how it is read here:
//! - `CONTAINS` and `NOT_CONTAINS` without a first value are both false (the official code throws).
//! - A member of the wrong type counts as absent: no filters, no values, no constant `true`. So
//!   does an element of `values` that is not text, but it keeps its place.
//! - 1.1: an operator that nobody knows is an unsupported operator on an array, and merely false
//!   on text. An array in an array becomes JSON, like an object.
//! - 1.1: text that looks like a JSON array stays text.
#![allow(dead_code, reason = "each test binary takes what it needs from this module")]
#![allow(clippy::expect_used, reason = "this is test code throughout, the lint sees only #[test]")]

use std::collections::BTreeMap;

use serde_json::Value;
use sha2::{Digest, Sha256};

use javascript::Json;

pub(crate) mod generate;
pub(crate) mod javascript;

/// Which release of the evaluator to imitate: 1.0.1 or 1.1.1 (12.7).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Generation {
    V1_0,
    V1_1,
}

/// What a name of the flat context stands for; lists exist only in 1.1.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Attribute {
    Text(String),
    List(Vec<String>),
}

pub(crate) type Flat = BTreeMap<String, Attribute>;

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct RuleListResult {
    /// Index of the first true rule.
    pub matched: Option<usize>,
    /// One for each rule, always all of them.
    pub results: Vec<bool>,
    /// Names that a filter asked for in vain: unique, in first-seen order over all rules.
    pub missing: Vec<String>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct FlagResult {
    pub enabled: bool,
    pub targeting: RuleListResult,
    /// `None` for a flag without config. `matched` is the index of the variant.
    pub config: Option<RuleListResult>,
}

/// 4, 12.5 and 12.6: targeting and config variants are two independent rule lists.
pub(crate) fn evaluate_flag(
    definition: &Value,
    flat: &Flat,
    now_ms: i64,
    generation: Generation,
) -> FlagResult {
    let targeting = evaluate_rules(&definition["targeting"]["rules"], flat, now_ms, generation);
    let config = definition["config"]
        .as_object()
        .map(|_| evaluate_rules(&definition["config"]["variants"], flat, now_ms, generation));
    FlagResult { enabled: targeting.matched.is_some(), targeting, config }
}

/// 12.5: every rule is evaluated, the first true one is the match. Takes an array of `{filter}`.
pub(crate) fn evaluate_rules(
    rules: &Value,
    flat: &Flat,
    now_ms: i64,
    generation: Generation,
) -> RuleListResult {
    let mut evaluation = Evaluation { flat, now_ms, missing: Vec::new(), has_error: false };
    let mut results = Vec::new();
    for rule in array(rules) {
        evaluation.has_error = false;
        let value = evaluation.filter(&rule["filter"]);
        results.push(match generation {
            Generation::V1_0 => value,
            // 12.7: any error in a rule makes that rule false.
            Generation::V1_1 => value && !evaluation.has_error,
        });
    }
    let matched = results.iter().position(|result| *result);
    RuleListResult { matched, results, missing: evaluation.missing }
}

// ---- 12.1 and 12.7: flattening

/// The flat context of the JSON text of a context. Of two equal names the later visited one wins.
pub(crate) fn flatten(context_json: &str, generation: Generation) -> Flat {
    let mut visited = Vec::new();
    // A completely empty context gives an empty map.
    if let context @ Json::Object(members) = &Json::parse(context_json)
        && !members.is_empty()
    {
        visit(context, None, generation, &mut visited);
    }
    visited.into_iter().collect()
}

/// 3.1: the flat context of decoded query parameters, which needs no nesting. Texts only, in
/// both generations; names that do not begin with `context.` belong to no context.
pub(crate) fn flatten_query(pairs: &[(String, String)]) -> Flat {
    let attribute = |(name, text): &(String, String)| {
        let name = name.strip_prefix("context.")?;
        Some((name.to_owned(), Attribute::Text(text.clone())))
    };
    pairs.iter().filter_map(attribute).collect()
}

/// Lists the leaves under `value` with their names, in the order in which JavaScript meets them.
fn visit(
    value: &Json,
    name: Option<&str>,
    generation: Generation,
    visited: &mut Vec<(String, Attribute)>,
) {
    let below = |part: &str| name.map_or(part.to_owned(), |name| format!("{name}.{part}"));
    let own = name.unwrap_or_default().to_owned();
    match value {
        Json::Array(elements) if generation == Generation::V1_1 => {
            visited.push((own, Attribute::List(elements.iter().map(element_text).collect())));
        }
        Json::Array(elements) if !elements.is_empty() => {
            for (index, element) in elements.iter().enumerate() {
                visit(element, Some(&below(&index.to_string())), generation, visited);
            }
        }
        Json::Object(members) if !members.is_empty() => {
            for (part, member) in members {
                visit(member, Some(&below(part)), generation, visited);
            }
        }
        leaf => visited.push((own, Attribute::Text(leaf_text(leaf)))),
    }
}

/// `String(x)`; null and what is empty give "".
fn leaf_text(leaf: &Json) -> String {
    match leaf {
        Json::Null | Json::Array(_) | Json::Object(_) => String::new(),
        Json::Boolean(value) => value.to_string(),
        Json::Number(value) => javascript::number_text(*value),
        Json::Text(text) => text.clone(),
    }
}

/// 12.7: elements turned to text, null "", objects as JSON.
fn element_text(element: &Json) -> String {
    match element {
        Json::Array(_) | Json::Object(_) => element.stringify(),
        leaf => leaf_text(leaf),
    }
}

// ---- 12.2: filters

struct Evaluation<'a> {
    flat: &'a Flat,
    now_ms: i64,
    missing: Vec<String>,
    /// A missing field or an unsupported operator was met in the rule at hand.
    has_error: bool,
}

impl Evaluation<'_> {
    fn filter(&mut self, filter: &Value) -> bool {
        let filters = array(&filter["filters"]);
        match text(&filter["type"]) {
            Some("constant") => filter["value"] == true,
            // Left to right, up to the first that decides.
            Some("group") if filter["operator"] == "and" => filters.iter().all(|f| self.filter(f)),
            Some("group") => filters.iter().any(|f| self.filter(f)),
            // Of an error too: it is false here, and true around the negation.
            Some("negation") => !self.filter(&filter["filter"]),
            Some("context") => self.context_filter(filter),
            Some("rolloutPercentage") => self.rollout_filter(filter),
            _ => false,
        }
    }

    fn context_filter(&mut self, filter: &Value) -> bool {
        let field = text(&filter["field"]).unwrap_or_default();
        let operator = text(&filter["operator"]).unwrap_or_default();
        let values: Vec<Option<&str>> = array(&filter["values"]).iter().map(text).collect();
        match self.flat.get(field) {
            Some(Attribute::Text(text)) => text_operator(operator, text, &values, self.now_ms),
            Some(Attribute::List(elements)) => {
                let result = list_operator(operator, elements, &values);
                self.has_error |= result.is_none();
                result.unwrap_or(false)
            }
            // These two see "" and report nothing.
            None if operator == "SET" => false,
            None if operator == "NOT_SET" => true,
            None => self.missing_field(field),
        }
    }

    /// 12.4
    fn rollout_filter(&mut self, filter: &Value) -> bool {
        let attribute = text(&filter["partialRolloutAttribute"]).unwrap_or_default();
        let key = text(&filter["key"]).unwrap_or("undefined");
        let threshold = filter["partialRolloutThreshold"].as_f64().unwrap_or(f64::NAN);
        match self.flat.get(attribute) {
            Some(Attribute::Text(text)) => rollout_hash(&format!("{key}.{text}")) < threshold,
            Some(Attribute::List(_)) => {
                self.has_error = true;
                false
            }
            None => self.missing_field(attribute),
        }
    }

    fn missing_field(&mut self, name: &str) -> bool {
        self.has_error = true;
        if !self.missing.iter().any(|known| known == name) {
            self.missing.push(name.to_owned());
        }
        false
    }
}

// ---- 12.3: operators

fn text_operator(operator: &str, s: &str, values: &[Option<&str>], now_ms: i64) -> bool {
    // The first value, if there is one and it is text.
    let v = values.first().copied().flatten();
    match operator {
        "IS" => v == Some(s),
        "IS_NOT" => v != Some(s),
        "ANY_OF" => values.contains(&Some(s)),
        "NOT_ANY_OF" => !values.contains(&Some(s)),
        "CONTAINS" => v.is_some_and(|v| s.to_lowercase().contains(&v.to_lowercase())),
        "NOT_CONTAINS" => v.is_some_and(|v| !s.to_lowercase().contains(&v.to_lowercase())),
        // Nothing is greater or less than NaN.
        "GT" => v.is_some_and(|v| javascript::number(s) > javascript::number(v)),
        "LT" => v.is_some_and(|v| javascript::number(s) < javascript::number(v)),
        "AFTER" => both(javascript::date(s), days_ago(v, now_ms), |s, then| s > then),
        "BEFORE" => both(javascript::date(s), days_ago(v, now_ms), |s, then| s < then),
        "DATE_AFTER" => both(javascript::date(s), v.and_then(javascript::date), |s, v| s >= v),
        "DATE_BEFORE" => both(javascript::date(s), v.and_then(javascript::date), |s, v| s <= v),
        "SET" => !s.is_empty(),
        "NOT_SET" => s.is_empty(),
        "IS_TRUE" => s == "true",
        "IS_FALSE" => s == "false",
        _ => false,
    }
}

/// 12.7; `None` is an unsupported operator.
fn list_operator(operator: &str, elements: &[String], values: &[Option<&str>]) -> Option<bool> {
    let v = values.first().copied().flatten();
    let single = elements.len() == 1 && Some(elements[0].as_str()) == v;
    let any = elements.iter().any(|element| values.contains(&Some(element)));
    match operator {
        "IS" => Some(single),
        "IS_NOT" => Some(!single),
        "ANY_OF" => Some(any),
        "NOT_ANY_OF" => Some(!any),
        "CONTAINS" => Some(v.is_some_and(|v| elements.iter().any(|element| element == v))),
        "NOT_CONTAINS" => Some(v.is_some_and(|v| elements.iter().all(|element| element != v))),
        "SET" => Some(!elements.is_empty()),
        "NOT_SET" => Some(elements.is_empty()),
        _ => None,
    }
}

/// Relative days: `now` minus as many days as the text says.
fn days_ago(days: Option<&str>, now_ms: i64) -> Option<i64> {
    javascript::days_before(now_ms, javascript::number(days?))
}

/// Compares two instants; an invalid one makes it false.
fn both(left: Option<i64>, right: Option<i64>, compare: fn(i64, i64) -> bool) -> bool {
    left.zip(right).is_some_and(|(left, right)| compare(left, right))
}

// ---- 12.4: rollout hash

/// The bucket of `key.attribute`: 0 to 100000, both included.
pub(crate) fn rollout_hash(input: &str) -> f64 {
    let digest = Sha256::digest(input);
    let n = u32::from_le_bytes([digest[0], digest[1], digest[2], digest[3]]) & 0xF_FFFF;
    (f64::from(n) / 1_048_575.0 * 100_000.0).floor()
}

// ---- JSON members that may be absent

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> Option<&str> {
    value.as_str()
}
