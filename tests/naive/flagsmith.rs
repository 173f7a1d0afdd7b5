//! Flagsmith's rules, interpreted straight from sections 8 to 11 of the protocol page: no compiling,
//! no tables, no reuse. What takes a library of its own to get right (MD5, semantic versions) takes
//! another one than the engine does; patterns and paths are a few whose meaning is written down here.

use std::cmp::Ordering;
use std::collections::HashMap;

use md5::{Digest, Md5};
use serde_json::{Value, json};

/// A value of the context.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Trait {
    Null,
    Bool(bool),
    /// A number as JSON spells it.
    Number(String),
    Text(String),
}

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) identifier: String,
    /// Later ones count.
    pub(crate) traits: Vec<(String, Trait)>,
}

/// What a feature comes to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Flag {
    pub(crate) name: String,
    pub(crate) enabled: bool,
    pub(crate) value: Value,
    pub(crate) variant: Option<String>,
    pub(crate) reason: String,
}

/// A coerced value. Integers of this interpreter end at 127 bits.
#[derive(Clone, Debug)]
enum Coerced {
    Bool(bool),
    Integer(i128),
    Float(f64),
    Text(String),
}

/// What a pattern means: whether it matches at the start of a text.
type Meaning = fn(&str) -> bool;

/// Patterns and what they mean.
pub(crate) const PATTERNS: [(&str, Meaning); 11] = [
    ("a", |text| text.starts_with('a')),
    ("a$", |text| text == "a" || text == "a\n"),
    (r"\d+$", |text| {
        let text = text.strip_suffix('\n').unwrap_or(text);
        !text.is_empty() && text.chars().all(|c| c.is_ascii_digit() || c == '٣')
    }),
    ("^b|.*c", |text| {
        text.starts_with('b') || text.lines().next().is_some_and(|l| l.contains('c'))
    }),
    ("(?=a)ab", |text| text.starts_with("ab")),
    (r"(a)\1", |text| text.starts_with("aa")),
    ("(?i)A[b-d]", |text| {
        let lower = text.to_lowercase();
        ["ab", "ac", "ad"].iter().any(|start| lower.starts_with(start))
    }),
    ("[", |_| false),
    ("", |_| true),
    ("T|F", |text| text.starts_with(['T', 'F'])),
    (r"-?\d+\.\d", |text| {
        let text = text.strip_prefix('-').unwrap_or(text);
        text.split_once('.').is_some_and(|(whole, rest)| {
            !whole.is_empty()
                && whole.bytes().all(|b| b.is_ascii_digit())
                && rest.starts_with(|c: char| c.is_ascii_digit())
        })
    }),
];

struct Interpreter<'a> {
    document: &'a Value,
    identity: Option<&'a Identity>,
    applies_segments: bool,
}

/// All flags, in the document's order, and the names of the segments that match.
pub(crate) fn evaluate(
    document: &Value,
    identity: Option<&Identity>,
    segments_without_identity: bool,
) -> (Vec<Flag>, Vec<String>) {
    let applies_segments = identity.is_some() || segments_without_identity;
    let interpreter = Interpreter { document, identity, applies_segments };
    let flags =
        list(&document["feature_states"]).iter().map(|state| interpreter.flag(state)).collect();
    let segments = segments(document).into_iter();
    let matching = segments.filter(|segment| applies_segments && interpreter.matches(segment));
    (flags, matching.map(|segment| text(&segment["name"])).collect())
}

/// Whether a segment's condition holds by itself.
#[allow(dead_code, reason = "not every target asks")]
pub(crate) fn holds(
    document: &Value,
    identity: Option<&Identity>,
    segments_without_identity: bool,
    (segment, condition): (&Value, &Value),
) -> bool {
    let applies_segments = identity.is_some() || segments_without_identity;
    let interpreter = Interpreter { document, identity, applies_segments };
    applies_segments && interpreter.condition(condition, segment)
}

/// The segments as a map by id has them: of two with one id the later, in the earlier one's place.
pub(crate) fn segments(document: &Value) -> Vec<&Value> {
    let mut segments: Vec<&Value> = Vec::new();
    for segment in list(&document["project"]["segments"]) {
        match segments.iter_mut().find(|earlier| earlier["id"] == segment["id"]) {
            Some(earlier) => *earlier = segment,
            None => segments.push(segment),
        }
    }
    segments
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

impl Interpreter<'_> {
    fn key(&self) -> Option<String> {
        let identity = self.identity?;
        Some(format!("{}_{}", text(&self.document["api_key"]), identity.identifier))
    }

    fn flag(&self, environment: &Value) -> Flag {
        let name = &environment["feature"]["name"];
        let mut chosen = environment;
        let mut reason = "DEFAULT".to_owned();
        let mut held = f64::INFINITY;
        let mut found = false;
        if self.applies_segments {
            for segment in segments(self.document) {
                for state in list(&segment["feature_states"]) {
                    let priority =
                        state["feature_segment"]["priority"].as_f64().unwrap_or(f64::INFINITY);
                    if state["feature"]["name"] == *name
                        && (!found || priority < held)
                        && self.matches(segment)
                    {
                        (chosen, held, found) = (state, priority, true);
                        reason = format!("TARGETING_MATCH; segment={}", text(&segment["name"]));
                    }
                }
            }
        }
        let own = list(&self.document["identity_overrides"])
            .iter()
            .filter(|entry| self.identity.is_some_and(|i| entry["identifier"] == *i.identifier))
            .flat_map(|entry| list(&entry["identity_features"]))
            .find(|state| state["feature"]["name"] == *name);
        if let Some(state) = own {
            chosen = state;
            "TARGETING_MATCH; segment=identity_overrides".clone_into(&mut reason);
        }
        let mut flag = Flag {
            name: text(name),
            enabled: chosen["enabled"] == true,
            value: chosen["feature_state_value"].clone(),
            variant: None,
            reason,
        };
        let Some(key) = self.key() else { return flag };
        let mut variants: Vec<&Value> =
            list(&chosen["multivariate_feature_state_values"]).iter().collect();
        if variants.is_empty() {
            let is_multivariate = environment["feature"]["type"] == "MULTIVARIATE";
            flag.variant = is_multivariate.then(|| "control".to_owned());
            return flag;
        }
        variants.sort_by_key(|variant| variant["id"].as_u64());
        let share = percentage(&[&chosen["django_id"].to_string(), &key]);
        flag.variant = Some("control".to_owned());
        let mut start = 0.0;
        for variant in variants {
            let end = start + variant["percentage_allocation"].as_f64().unwrap_or(0.0);
            if start <= share && share < end {
                let option = &variant["multivariate_feature_option"];
                flag.value = option["value"].clone();
                flag.variant = option["key"].as_str().map(str::to_owned);
                flag.reason = format!("SPLIT; weight={}", variant["percentage_allocation"]);
                break;
            }
            start = end;
        }
        flag
    }

    fn matches(&self, segment: &Value) -> bool {
        let rules = list(&segment["rules"]);
        !rules.is_empty() && rules.iter().all(|rule| self.rule(rule, segment))
    }

    fn rule(&self, rule: &Value, segment: &Value) -> bool {
        let joined = |answers: Vec<bool>| {
            answers.is_empty()
                || match rule["type"].as_str() {
                    Some("ALL") => answers.iter().all(|&holds| holds),
                    Some("ANY") => answers.iter().any(|&holds| holds),
                    _ => !answers.iter().any(|&holds| holds),
                }
        };
        let conditions = list(&rule["conditions"]).iter();
        let rules = list(&rule["rules"]).iter();
        joined(conditions.map(|condition| self.condition(condition, segment)).collect())
            && joined(rules.map(|rule| self.rule(rule, segment)).collect())
    }

    fn trait_of(&self, name: &str) -> Option<Trait> {
        let traits = &self.identity?.traits;
        let last = traits.iter().rev().find(|(known, _)| known == name)?;
        Some(last.1.clone()).filter(|value| *value != Trait::Null)
    }

    fn property(&self, name: &str) -> Option<Trait> {
        if let Some(value) = self.trait_of(name) {
            return Some(value);
        }
        let environment = |member: &str| Trait::Text(text(&self.document[member]));
        if let Some(member) = name.strip_prefix("$.flags.f0.") {
            let flag = self.flag(&self.document["feature_states"][0]);
            return match member {
                "enabled" => Some(Trait::Bool(flag.enabled)),
                "variant" => flag.variant.map(Trait::Text),
                "reason" => Some(Trait::Text(flag.reason)),
                "value" => match flag.value {
                    Value::Bool(value) => Some(Trait::Bool(value)),
                    Value::Number(number) => Some(Trait::Number(number.to_string())),
                    Value::String(text) => Some(Trait::Text(text)),
                    _ => None,
                },
                _ => None,
            };
        }
        match name {
            "$.identity.identifier" => Some(Trait::Text(self.identity?.identifier.clone())),
            "$.identity.key" => self.key().map(Trait::Text),
            "$.identity.traits.a" => self.trait_of("a"),
            "$.identity.traits['b b']" => self.trait_of("b b"),
            "$.identity.traits[?@ == 'ab']" => {
                let names = ["a", "b", "b b", "", "$.identity", "other"];
                let wanted = Trait::Text("ab".to_owned());
                names.iter().find_map(|name| self.trait_of(name).filter(|value| *value == wanted))
            }
            "$.environment.name" => Some(environment("name")),
            "$.environment.key" => Some(environment("api_key")),
            _ => None,
        }
    }

    fn condition(&self, condition: &Value, segment: &Value) -> bool {
        let operator = condition["operator"].as_str().unwrap_or_default();
        let name = condition["property_"].as_str();
        let operand = match &condition["value"] {
            Value::Null => "None".to_owned(),
            value => text(value),
        };
        if operator == "PERCENTAGE_SPLIT" {
            let share = |key: &str| percentage(&[&segment["id"].to_string(), key]);
            let share = match name.unwrap_or_default() {
                "" => self.key().map(|key| share(&key)),
                name => self.property(name).map(|value| share(&coerce(value).text())),
            };
            return share.zip(float(&operand)).is_some_and(|(share, limit)| share <= limit);
        }
        let value = name.and_then(|name| self.property(name)).map(coerce);
        let Some(value) = value else { return operator == "IS_NOT_SET" };
        match operator {
            "IS_SET" => true,
            "EQUAL" => compare(&value, &operand, |o| o == Some(Ordering::Equal)),
            "NOT_EQUAL" => compare(&value, &operand, |o| o != Some(Ordering::Equal)),
            "GREATER_THAN" => compare(&value, &operand, |o| o == Some(Ordering::Greater)),
            "GREATER_THAN_INCLUSIVE" => compare(&value, &operand, |o| {
                matches!(o, Some(Ordering::Greater | Ordering::Equal))
            }),
            "LESS_THAN" => compare(&value, &operand, |o| o == Some(Ordering::Less)),
            "LESS_THAN_INCLUSIVE" => {
                compare(&value, &operand, |o| matches!(o, Some(Ordering::Less | Ordering::Equal)))
            }
            "CONTAINS" => matches!(&value, Coerced::Text(text) if text.contains(&operand)),
            "NOT_CONTAINS" => matches!(&value, Coerced::Text(text) if !text.contains(&operand)),
            "REGEX" => {
                let known: HashMap<&str, Meaning> = PATTERNS.into_iter().collect();
                match known.get(&*operand) {
                    Some(meaning) => meaning(&value.text()),
                    None => has_any(&operand, &value.text()),
                }
            }
            "IN" => {
                let member = match &value {
                    Coerced::Text(text) => text.clone(),
                    Coerced::Integer(number) => number.to_string(),
                    _ => return false,
                };
                !condition["value"].is_null() && members(&condition["value"]).contains(&member)
            }
            "MODULO" => {
                let number = match value {
                    Coerced::Bool(value) => f64::from(u8::from(value)),
                    Coerced::Integer(number) => number as f64,
                    Coerced::Float(number) => number,
                    Coerced::Text(_) => return false,
                };
                let parts: Vec<&str> = operand.split('|').collect();
                let [divisor, remainder] = parts[..] else { return false };
                let (Some(divisor), Some(remainder)) = (float(divisor), float(remainder)) else {
                    return false;
                };
                if divisor == 0.0 {
                    return false;
                }
                let mut rest = number % divisor;
                if rest != 0.0 && (rest < 0.0) != (divisor < 0.0) {
                    rest += divisor;
                }
                rest == remainder
            }
            _ => false,
        }
    }
}

/// Patterns that look anywhere for one character after the other, each in one of several forms:
/// `[\s\S]*` and then characters, characters in brackets, or alternatives.
fn has_any(pattern: &str, text: &str) -> bool {
    if pattern == r"[\s\S]" {
        return !text.is_empty();
    }
    let mut rest = pattern.strip_prefix(r"[\s\S]*").expect("a pattern of the list or such a one");
    let mut places: Vec<Vec<char>> = Vec::new();
    while let Some(first) = rest.chars().next() {
        let (inside, behind) = match first {
            '[' => {
                let escaped =
                    |at: &usize| rest[..*at].ends_with('\\') && !rest[..*at].ends_with("\\\\");
                let end = rest.match_indices(']').map(|(at, _)| at).find(|at| !escaped(at));
                let end = end.expect("the brackets are closed");
                (
                    rest[1..end].replace("\\\\", "\0").replace('\\', "").replace('\0', "\\"),
                    &rest[end + 1..],
                )
            }
            '(' => {
                let end = rest.find(')').expect("the group is closed");
                (rest[3..end].replace('|', ""), &rest[end + 1..])
            }
            plain => (plain.to_string(), &rest[plain.len_utf8()..]),
        };
        places.push(inside.chars().collect());
        rest = behind;
    }
    let text: Vec<char> = text.chars().collect();
    text.windows(places.len()).any(|window| {
        window.iter().zip(&places).all(|(character, forms)| forms.contains(character))
    })
}

fn members(value: &Value) -> Vec<String> {
    let python = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Null => "None".to_owned(),
        other => other.to_string(),
    };
    match value {
        Value::Array(members) => members.iter().map(python).collect(),
        Value::String(text) => match serde_json::from_str::<Value>(text) {
            Ok(Value::Array(members)) => members.iter().map(python).collect(),
            _ => text.split(',').map(str::to_owned).collect(),
        },
        _ => vec![],
    }
}

impl Coerced {
    /// Python's `str()`.
    fn text(&self) -> String {
        match self {
            Self::Bool(true) => "True".to_owned(),
            Self::Bool(false) => "False".to_owned(),
            Self::Integer(number) => number.to_string(),
            Self::Text(text) => text.clone(),
            Self::Float(number) => {
                let scientific = format!("{number:e}");
                let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
                match exponent.parse::<i32>() {
                    Ok(exponent) if !(-4..16).contains(&exponent) => {
                        let sign = if exponent < 0 { '-' } else { '+' };
                        format!("{digits}e{sign}{:02}", exponent.abs())
                    }
                    _ => format!("{number:?}"),
                }
            }
        }
    }
}

fn coerce(value: Trait) -> Coerced {
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match value {
        Trait::Null => unreachable!("null is no value"),
        Trait::Bool(value) => Coerced::Bool(value),
        Trait::Number(text) if is_digits(text.trim_start_matches('-')) => {
            Coerced::Integer(text.parse().expect("it fits"))
        }
        Trait::Number(text) => Coerced::Float(text.parse().expect("it is a number")),
        Trait::Text(text) => {
            let unsigned = text.strip_prefix('-').unwrap_or(&text);
            match unsigned.split_once('.') {
                None if is_digits(unsigned) => Coerced::Integer(text.parse().expect("it fits")),
                Some((whole, fraction)) if is_digits(whole) && is_digits(fraction) => {
                    Coerced::Float(text.parse().expect("it is a number"))
                }
                _ => Coerced::Text(text),
            }
        }
    }
}

/// Python's `int()`, for the spellings that are generated.
fn integer(text: &str) -> Option<i128> {
    let text = text.trim().replace('٣', "3");
    let plain = text.replace('_', "");
    let wrong = text.starts_with('_') || text.ends_with('_') || text.contains("__");
    if wrong { None } else { plain.parse().ok() }
}

/// Python's `float()`, for the spellings that are generated.
fn float(text: &str) -> Option<f64> {
    let text = text.trim().replace('٣', "3");
    let wrong = text.starts_with('_') || text.ends_with('_') || text.contains("__");
    if wrong { None } else { text.replace('_', "").parse().ok() }
}

/// Casts the operand to the value's type, and asks how they stand. Nothing holds where it cannot be
/// cast.
fn compare(value: &Coerced, operand: &str, holds: impl Fn(Option<Ordering>) -> bool) -> bool {
    match value {
        Coerced::Bool(value) => {
            let operand = operand != "False" && operand != "false";
            holds(Some(value.cmp(&operand)))
        }
        Coerced::Integer(number) => integer(operand).is_some_and(|o| holds(Some(number.cmp(&o)))),
        Coerced::Float(number) => float(operand).is_some_and(|o| holds(number.partial_cmp(&o))),
        Coerced::Text(text) => match operand.strip_suffix(":semver") {
            None => holds(Some(text.as_str().cmp(operand))),
            Some(version) => {
                let read = |text: &str| semver::Version::parse(text).ok();
                let versions = read(text).zip(read(version));
                versions.is_some_and(|(ours, theirs)| holds(Some(ours.cmp_precedence(&theirs))))
            }
        },
    }
}

/// Section 11.
pub(crate) fn percentage(ids: &[&str]) -> f64 {
    let once = ids.join(",");
    let mut text = once.clone();
    loop {
        let digest: [u8; 16] = Md5::digest(text.as_bytes()).into();
        let value = (u128::from_be_bytes(digest) % 9_999) as f64 / 9_998.0 * 100.0;
        if value != 100.0 {
            return value;
        }
        text = format!("{text},{once}");
    }
}

/// A feature state.
pub(crate) fn state(
    feature: u8,
    multivariate: bool,
    id: u32,
    enabled: bool,
    value: &Value,
) -> Value {
    json!({
        "feature": {
            "id": feature, "name": format!("f{feature}"),
            "type": if multivariate { "MULTIVARIATE" } else { "STANDARD" },
        },
        "enabled": enabled, "feature_state_value": value, "django_id": id,
    })
}
