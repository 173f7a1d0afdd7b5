//! Conditions of Flagsmith's segments as filters.

use std::collections::HashSet;

use crate::compile::flagsmith::members;
use crate::evaluate::flagsmith::{Pattern, Remainder, Version, first_above, python};
use crate::evaluate::javascript::case::has_no_case;
use crate::model::flagsmith::{Condition, Operand, Operator};
use crate::model::{Filter, Operator as Compare};

use super::filters::{all, condition, is_none_of, is_number, is_one_of, not};

/// What Flagsmith makes of a value before it compares it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// A trait that came from a Reflag client: `true` and `false` are booleans, and text that looks
    /// like a number is one.
    Trait,
    /// The identifier: always text, but text that looks like a number is one.
    Identifier,
}

/// What a condition asks of an attribute. Nothing is asked of one that is missing: that is a no.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Check {
    /// Any value will do.
    Any,
    /// One of these texts; none of them gives a no.
    OneOf(Vec<String>),
    /// Text that is no number and none of these.
    TextBut(Vec<String>),
    /// A needle that only text can hold.
    Contains(String),
    /// A needle that numbers or booleans may hold, in which Flagsmith looks for none.
    TextThatContains(String),
    /// Text that is no number and lacks a needle.
    TextThatLacks(String),
}

/// All remainders: what a percentage that everybody falls below comes to.
pub(super) const EVERYBODY: Remainder = 9_998;

impl Check {
    /// What a condition asks, or why no filter can ask it. `IS_NOT_SET` is the opposite of what is
    /// given here for it.
    pub(super) fn of(asked: &Condition, reading: Reading) -> Result<Self, &'static str> {
        const NEVER: Check = Check::OneOf(vec![]);
        let text = match &asked.value {
            Operand::Text(text) => text,
            Operand::Null => "None",
            Operand::List(_) => "",
        };
        Ok(match &asked.operator {
            Operator::IsSet | Operator::IsNotSet => Self::Any,
            Operator::In => among(&asked.value, reading)?,
            Operator::Equal => Self::OneOf(equal(text, reading)?),
            Operator::NotEqual => not_equal(text, reading)?,
            Operator::Contains | Operator::NotContains if !text.chars().all(has_no_case) => {
                return Err(LETTERS);
            }
            Operator::Contains if is_in_numbers(text) => Self::TextThatContains(text.to_owned()),
            Operator::Contains => Self::Contains(text.to_owned()),
            // Everything contains the empty text.
            Operator::NotContains if text.is_empty() => NEVER,
            Operator::NotContains => Self::TextThatLacks(text.to_owned()),
            Operator::Regex if Pattern::new(text).is_err() => NEVER,
            Operator::Regex => return Err(PATTERN),
            Operator::Modulo if !is_modulo(text) => NEVER,
            Operator::Modulo => return Err(MODULO),
            Operator::PercentageSplit => match python::parse_float(text).map_or(0, first_above) {
                0 => NEVER,
                EVERYBODY => Self::Any,
                _ => return Err(SPLIT),
            },
            Operator::GreaterThan
            | Operator::GreaterThanInclusive
            | Operator::LessThan
            | Operator::LessThanInclusive => return Err(ORDER),
            Operator::Unknown(_) => NEVER,
        })
    }

    /// The filter that asks this of an attribute.
    pub(super) fn filter(&self, attribute: &str, reading: Reading) -> Filter {
        let but_booleans = || match reading {
            Reading::Trait => condition(attribute, Compare::NotAnyOf, ["true", "false"]),
            Reading::Identifier => condition(attribute, Compare::NotAnyOf, []),
        };
        match self {
            Self::Any => condition(attribute, Compare::NotAnyOf, []),
            Self::OneOf(texts) => is_one_of(attribute, texts),
            Self::TextBut(texts) => all([is_none_of(attribute, texts), not(is_number(attribute))]),
            Self::Contains(needle) => condition(attribute, Compare::Contains, [needle.as_str()]),
            Self::TextThatContains(needle) => all([
                condition(attribute, Compare::Contains, [needle.as_str()]),
                but_booleans(),
                not(is_number(attribute)),
            ]),
            Self::TextThatLacks(needle) => all([
                condition(attribute, Compare::NotContains, [needle.as_str()]),
                but_booleans(),
                not(is_number(attribute)),
            ]),
        }
    }
}

/// The texts that equal an operand.
fn equal(operand: &str, reading: Reading) -> Result<Vec<String>, &'static str> {
    let is_a_number = python::parse_integer(operand).is_some()
        || python::parse_float(operand).is_some_and(|number| !number.is_nan());
    if is_a_number {
        return Err(NUMBER);
    }
    let mut texts = Vec::new();
    match operand.strip_suffix(":semver") {
        Some(version) if Version::parse(version).is_some() => return Err(VERSION),
        Some(_) => {}
        None => texts.push(operand.to_owned()),
    }
    if reading == Reading::Trait {
        // To a boolean any operand is `true` that is not spelled as `False` or `false`.
        let boolean = if matches!(operand, "False" | "false") { "false" } else { "true" };
        texts.retain(|text| text != boolean);
        texts.push(boolean.to_owned());
    }
    Ok(texts)
}

fn not_equal(operand: &str, reading: Reading) -> Result<Check, &'static str> {
    // Any number differs from what is none but could be.
    if python::parse_float(operand).is_some() {
        return Err(NUMBER);
    }
    let texts = equal(operand, reading)?;
    Ok(match operand.ends_with(":semver") {
        false => Check::TextBut(texts),
        // No text differs from a version that is none, but a boolean does.
        true if reading == Reading::Trait => Check::OneOf(vec!["false".to_owned()]),
        true => Check::OneOf(vec![]),
    })
}

/// The texts that `IN` finds in its list. Booleans and numbers with a point never are in one.
fn among(list: &Operand, reading: Reading) -> Result<Check, &'static str> {
    let mut texts: Vec<String> = Vec::new();
    // A segment may list a hundred thousand identities.
    let mut seen = HashSet::new();
    for member in members(list) {
        if python::is_integer(&member) {
            let mut canonical = String::new();
            python::write_integer(&member, &mut canonical);
            // Values are spelled without leading zeros before they are looked for.
            if canonical == member {
                return Err(NUMBER);
            }
        } else {
            let boolean = reading == Reading::Trait && matches!(&*member, "true" | "false");
            if !boolean && !python::is_decimal(&member) && seen.insert(member.clone()) {
                texts.push(member);
            }
        }
    }
    Ok(Check::OneOf(texts))
}

/// Whether a number's text may hold the needle.
fn is_in_numbers(needle: &str) -> bool {
    needle.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'-'))
}

/// `divisor|remainder`; anything else never holds.
fn is_modulo(text: &str) -> bool {
    text.split_once('|').is_some_and(|(divisor, remainder)| {
        python::parse_float(divisor).is_some_and(|divisor| divisor != 0.0)
            && python::parse_float(remainder).is_some()
    })
}

const NUMBER: &str = "Flagsmith takes `7`, `007` and `7.0` for one number, and no filter of Reflag's holds for all \
     spellings of a number and nothing else";
const VERSION: &str = "no filter of Reflag's compares semantic versions";
const LETTERS: &str = "Flagsmith tells capital letters from small ones here, Reflag does not";
const PATTERN: &str = "no filter of Reflag's matches regular expressions";
const MODULO: &str = "no filter of Reflag's computes remainders";
const SPLIT: &str =
    "Flagsmith draws a share of all identities by MD5, Reflag by SHA-256: they would draw others";
const ORDER: &str = "Flagsmith orders numbers by value and other text by its characters, Reflag's `GT` and `LT` \
     know numbers only";
