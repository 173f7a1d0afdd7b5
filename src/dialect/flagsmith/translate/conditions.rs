//! Conditions of Reflag's rules as conditions of segments.

use std::collections::HashSet;

use crate::dialect::translation::few;
use crate::evaluate::flagsmith::{is_path, python};
use crate::evaluate::javascript::{self, case};
use crate::model::flagsmith::Operator as Compare;
use crate::model::{Condition, Operand, Operator, Rollout};

use super::formula::{FALSE, Formula, TRUE, Translated, all, any, condition, is_set, not};

/// Where an attribute's value comes from when Flagsmith's clients ask.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// Nowhere: no trait has such a name.
    Missing,
    /// From the identifier, which identities always have.
    Identifier,
    /// From the first of these traits that is set.
    Traits(Vec<String>),
}

/// What every object of JavaScript's has.
const INHERITED: [&str; 12] = [
    "__defineGetter__",
    "__defineSetter__",
    "__lookupGetter__",
    "__lookupSetter__",
    "__proto__",
    "constructor",
    "hasOwnProperty",
    "isPrototypeOf",
    "propertyIsEnumerable",
    "toLocaleString",
    "toString",
    "valueOf",
];

/// The property that is the identifier.
pub(super) const IDENTIFIER: &str = "$.identity.identifier";

impl Value {
    pub(super) fn of(attribute: &str) -> Result<Self, String> {
        let Some((group, name)) = attribute.split_once('.') else { return Ok(Self::Missing) };
        match (group, name) {
            ("user", "id") => Ok(Self::Identifier),
            ("user" | "company" | "other", "") => {
                Err("a trait without a name stands for more than one attribute".to_owned())
            }
            ("user", _) if name.starts_with("company.") || name.starts_with("other.") => {
                let what =
                    format!("the trait `{name}` is the attribute `{name}`, not one of the user's");
                Err(what)
            }
            ("user", _) if is_path(name) => {
                Err("Flagsmith reads a trait of this name as a path".to_owned())
            }
            ("user", _) if INHERITED.contains(&name) => {
                Err("Flagsmith's SDK for Node takes a trait of this name for always set".to_owned())
            }
            ("user", _) => Ok(Self::Traits(vec![name.to_owned()])),
            ("company", "id") => {
                let names = ["company.id", "company_id", "companyId"];
                Ok(Self::Traits(names.map(str::to_owned).to_vec()))
            }
            ("company" | "other", _) => Ok(Self::Traits(vec![attribute.to_owned()])),
            _ => Ok(Self::Missing),
        }
    }

    /// Whether there is no value.
    pub(super) fn is_missing(&self) -> Formula {
        match self {
            Self::Missing => TRUE,
            Self::Identifier => FALSE,
            Self::Traits(names) => not(any(names.iter().map(|name| is_set(name)))),
        }
    }

    /// What holds of the value, if there is one.
    fn holds(&self, of: impl Fn(&str) -> Formula) -> Formula {
        match self {
            Self::Missing => FALSE,
            Self::Identifier => of(IDENTIFIER),
            Self::Traits(names) => {
                let mut stronger = Vec::new();
                let mut parts = Vec::new();
                for name in names {
                    parts.push(all(stronger.iter().cloned().chain([of(name)])));
                    stronger.push(not(is_set(name)));
                }
                any(parts)
            }
        }
    }

    /// What holds of any value that is not one of those for which a formula holds.
    fn differs(&self, of: impl Fn(&str) -> Formula) -> Formula {
        self.holds(|property| {
            let is_there = if property == IDENTIFIER { TRUE } else { is_set(property) };
            all([is_there, not(of(property))])
        })
    }
}

/// What must hold for a condition to hold.
pub(super) fn translate(asked: &Condition, value: &Value) -> Result<Formula, &'static str> {
    if *value == Value::Missing {
        return Ok(Formula::Constant(asked.operator == Operator::NotSet));
    }
    let first = asked.operands.first();
    let first_alone = &asked.operands[..asked.operands.len().min(1)];
    Ok(match &asked.operator {
        Operator::Is => value.holds(equal(first_alone, value)?),
        Operator::IsNot => value.differs(equal(first_alone, value)?),
        Operator::AnyOf => value.holds(equal(&asked.operands, value)?),
        Operator::NotAnyOf => value.differs(equal(&asked.operands, value)?),
        Operator::Contains => match first {
            Some(Operand::Text(needle)) if needle.is_empty() => value.differs(|_| FALSE),
            Some(Operand::Text(needle)) => value.holds(contains(needle)?),
            _ => FALSE,
        },
        Operator::NotContains => match first {
            Some(Operand::Text(needle)) if needle.is_empty() => FALSE,
            Some(Operand::Text(needle)) => value.differs(contains(needle)?),
            _ => FALSE,
        },
        // An identifier is never empty.
        Operator::Set | Operator::NotSet => {
            let is_set = match value {
                Value::Identifier => TRUE,
                _ => value.holds(is_not_empty),
            };
            if asked.operator == Operator::Set { is_set } else { not(is_set) }
        }
        Operator::IsTrue => value.holds(equal(&[Operand::Text("true".into())], value)?),
        Operator::IsFalse => value.holds(equal(&[Operand::Text("false".into())], value)?),
        Operator::GreaterThan if number(first) < f64::INFINITY => return Err(NUMBER),
        Operator::LessThan if number(first) > f64::NEG_INFINITY => return Err(NUMBER),
        Operator::After | Operator::Before if !number(first).is_nan() => return Err(DAYS),
        Operator::DateAfter | Operator::DateBefore if is_date(first) => return Err(DATE),
        // No number is beyond infinity, and nothing compares with what is no number or no date.
        Operator::GreaterThan
        | Operator::LessThan
        | Operator::After
        | Operator::Before
        | Operator::DateAfter
        | Operator::DateBefore
        | Operator::Unknown(_) => FALSE,
    })
}

/// What must hold for a rollout to take somebody in.
pub(super) fn rollout(rollout: &Rollout, value: &Value) -> Result<Formula, &'static str> {
    match rollout.threshold {
        _ if *value == Value::Missing => Ok(FALSE),
        threshold if threshold.is_nan() || threshold <= 0.0 => Ok(FALSE),
        threshold if threshold > 100_000.0 => Ok(value.differs(|_| FALSE)),
        100_000.0 => Err(NEARLY_ALL),
        _ => Err(ROLLOUT),
    }
}

fn number(operand: Option<&Operand>) -> f64 {
    match operand {
        Some(Operand::Text(text)) => javascript::number::parse(text),
        Some(Operand::Number(number)) => *number,
        Some(Operand::Opaque) | None => f64::NAN,
    }
}

fn is_date(operand: Option<&Operand>) -> bool {
    match operand {
        Some(Operand::Text(text)) => javascript::date::parse(text).is_some(),
        Some(Operand::Number(number)) => number.abs() <= 8.64e15,
        Some(Operand::Opaque) | None => false,
    }
}

/// What must hold of a property that is one of the operands. `IN` finds text and whole numbers, so
/// it is asked for text that no number and no boolean is spelled as; of a boolean `EQUAL` holds for
/// its own word alone, and for text of that spelling.
fn equal(operands: &[Operand], value: &Value) -> Result<impl Fn(&str) -> Formula, &'static str> {
    let mut texts: Vec<&str> = Vec::new();
    let mut booleans: Vec<&str> = Vec::new();
    let mut may_be_empty = false;
    // A flag may list a hundred thousand companies.
    let mut seen = HashSet::new();
    for operand in operands {
        // Nothing else ever equals text.
        let Operand::Text(text) = operand else { continue };
        let is_trait = *value != Value::Identifier;
        if python::is_integer(text)
            || python::is_decimal(text)
            || is_trait && is_spelled_number(text)
        {
            return Err(SPELLING);
        }
        let list = match &**text {
            "true" | "false" if is_trait => &mut booleans,
            "" => {
                // An identifier is never empty.
                may_be_empty = is_trait;
                continue;
            }
            _ => &mut texts,
        };
        if seen.insert(&**text) {
            list.push(text);
        }
    }
    let list = (!texts.is_empty()).then(|| write_list(&texts));
    let booleans: Vec<String> = booleans.into_iter().map(str::to_owned).collect();
    Ok(move |property: &str| {
        let among = list.iter().map(|list| condition(property, Compare::In, list));
        let equal = booleans.iter().map(|word| condition(property, Compare::Equal, word));
        let is_empty = may_be_empty.then(|| all([is_set(property), not(is_not_empty(property))]));
        any(among.chain(equal).chain(is_empty))
    })
}

/// Whether there is any character. The engine of the SDK for Node finds the empty text in no list.
fn is_not_empty(property: &str) -> Formula {
    condition(property, Compare::Regex, r"[\s\S]")
}

/// Whether JavaScript prints some number like this.
fn is_spelled_number(text: &str) -> bool {
    let mut spelled = String::new();
    javascript::number::write(javascript::number::parse(text), &mut spelled);
    spelled == text
}

/// A list as `IN` reads it: joined by commas, which old SDKs read too, or as JSON where a member has
/// one.
fn write_list(texts: &[&str]) -> String {
    let joined = texts.join(",");
    if joined.starts_with('[') || texts.iter().any(|text| text.contains(',')) {
        return serde_json::json!(texts).to_string();
    }
    joined
}

/// What must hold of a property that contains a text, whatever the case of its letters: a pattern
/// with both forms of each. Patterns see numbers as Python prints them, so the text must have a
/// character that no number has.
fn contains(needle: &str) -> Result<impl Fn(&str) -> Formula, &'static str> {
    let lower = case::to_lowercase(needle);
    // What infinite and exponential numbers are made of, in either spelling.
    let in_numbers = |c: char| {
        matches!(c, '0'..='9' | '.' | '+' | '-' | 'e' | 'i' | 'n' | 'f' | 't' | 'y' | 'a')
    };
    if lower.chars().all(in_numbers) {
        return Err(DIGITS);
    }
    // Capital sigma becomes one of two small ones, and a dot that stands alone may be half of `İ`.
    if lower.contains(['σ', 'ς', '\u{307}']) {
        return Err(CASE);
    }
    let mut pattern = ANYTHING.to_owned();
    for (at, character) in lower.char_indices() {
        let mut forms = vec![character];
        forms.extend(case::uppercase_of(character));
        // It becomes an `i` and a dot, so nothing else may follow it.
        if character == 'i' && at + 1 == lower.len() {
            forms.push('İ');
        }
        write_forms(&forms, &mut pattern);
    }
    Ok(move |property: &str| condition(property, Compare::Regex, &pattern))
}

/// Patterns are matched at the start of a text, line ends included.
pub(super) const ANYTHING: &str = r"[\s\S]*";

/// Appends a pattern for one of several characters that Python and JavaScript read in the same way.
fn write_forms(forms: &[char], pattern: &mut String) {
    match *forms {
        [one] if one.is_ascii_alphanumeric() || !one.is_ascii() => pattern.push(one),
        // JavaScript takes these apart in brackets.
        _ if forms.iter().any(|&form| form > '\u{ffff}') => {
            pattern.push_str("(?:");
            for (at, form) in forms.iter().enumerate() {
                if at > 0 {
                    pattern.push('|');
                }
                pattern.push(*form);
            }
            pattern.push(')');
        }
        _ => {
            pattern.push('[');
            for &form in forms {
                if matches!(form, '[' | ']' | '\\' | '^' | '-') {
                    pattern.push('\\');
                }
                pattern.push(form);
            }
            pattern.push(']');
        }
    }
}

/// Says which condition cannot be said.
pub(super) fn explain(asked: &Condition) -> impl Fn(&'static str) -> String {
    let operands = asked.operands.iter().map(|operand| match operand {
        Operand::Text(text) => &**text,
        Operand::Number(_) | Operand::Opaque => "?",
    });
    let asked = format!("{} {} {}", asked.attribute, asked.operator.as_wire(), few(operands));
    move |reason| format!("`{}`: {reason}", asked.trim())
}

const SPELLING: &str =
    "Flagsmith takes `7`, `007` and `7.0` for one number, Reflag for three texts";
const NUMBER: &str = "Reflag compares numbers here, and Flagsmith takes only plain decimals for numbers: `1e3` and the \
     empty text are text to it";
const DAYS: &str = "Flagsmith's rules know no time";
const DATE: &str = "Flagsmith's rules know no dates";
const ROLLOUT: &str =
    "Reflag draws a share of all values by SHA-256, Flagsmith by MD5: they would draw others";
const NEARLY_ALL: &str = "a rollout of 100 % leaves out one value in a million, which no rule of Flagsmith's does; \
     above 100000 it takes all";
const DIGITS: &str =
    "Reflag looks for this in numbers as they were sent, Flagsmith as it prints them";
const CASE: &str =
    "letters of this text have several small or capital forms that only Reflag takes for one";

/// For [`Translated`].
pub(super) fn said(
    formula: Result<Formula, &'static str>,
    explain: impl Fn(&'static str) -> String,
) -> Translated {
    formula.map_err(explain)
}
