//! The coercions against what Node 20 answered, row by row.
//!
//! The rows come from `tests/vectors/javascript/generate.mjs`, which says how they are written.

use std::{fs, path::Path};

use burgee::evaluate::javascript::{case, date, number};
use serde_json::Value;

#[test]
fn texts_become_the_same_numbers() {
    compare("numbers", |row| {
        let [text, expected] = row else { return None };
        let (parsed, expected) = (number::parse(text.as_str()?), double(expected)?);
        let same = parsed.to_bits() == expected.to_bits() || parsed.is_nan() && expected.is_nan();
        Some(verdict(same, parsed))
    });
}

#[test]
fn numbers_become_the_same_texts() {
    compare("number_texts", |row| {
        let [bits, expected] = row else { return None };
        let value = f64::from_bits(u64::from_str_radix(bits.as_str()?, 16).ok()?);
        let mut text = String::from("before ");
        number::write(value, &mut text);
        Some(verdict(text.strip_prefix("before ")? == expected.as_str()?, text))
    });
}

#[test]
fn texts_become_the_same_dates() {
    compare("dates", |row| {
        let [text, expected] = row else { return None };
        let parsed = date::parse(text.as_str()?);
        Some(verdict(Value::from(parsed) == *expected, parsed))
    });
}

#[test]
fn texts_have_the_same_lower_case() {
    compare("lower_case", |row| {
        let [text, expected] = row else { return None };
        let lower = case::to_lowercase(text.as_str()?);
        Some(verdict(lower == expected.as_str()?, lower))
    });
}

#[test]
fn texts_contain_the_same_texts() {
    compare("contains", |row| {
        let [haystack, needle, expected] = row else { return None };
        let lower_needle = case::to_lowercase(needle.as_str()?);
        let contains = case::contains_lowercase(haystack.as_str()?, &lower_needle);
        Some(verdict(contains == expected.as_bool()?, contains))
    });
}

#[test]
fn days_shift_to_the_same_dates() {
    compare("shift_days", |row| {
        let [now, days, expected] = row else { return None };
        let shifted = date::shift_days(now.as_i64()?, double(days)?);
        Some(verdict(Value::from(shifted) == *expected, shifted))
    });
}

/// Checks every row of a section.
///
/// `check` gives `None` for a row it cannot read, an error with what came out instead of what the
/// row says.
#[expect(clippy::expect_used, clippy::print_stdout, reason = "only tests call it")]
fn compare(section: &str, check: impl Fn(&[Value]) -> Option<Result<(), String>>) {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/javascript/coercions.json");
    let text = fs::read_to_string(&path).expect("the vectors are in the repository");
    let document: Value = serde_json::from_str(&text).expect("the vectors are JSON");
    let rows = document[section].as_array().expect("a section is a list of rows");
    let mut mismatches = Vec::new();
    let mut ran = 0;
    for row in rows {
        match check(row.as_array().map_or(&[], Vec::as_slice)) {
            Some(outcome) => {
                ran += 1;
                mismatches.extend(outcome.err().map(|actual| format!("{row} gave {actual}")));
            }
            None => mismatches.push(format!("{row} is not a row of this section")),
        }
    }
    println!("{section}: ran {ran} of {}", rows.len());
    assert!(!rows.is_empty(), "{section} has no rows");
    assert!(
        mismatches.is_empty(),
        "{} mismatches in {section}:\n{}",
        mismatches.len(),
        mismatches.join("\n")
    );
}

fn verdict(same: bool, actual: impl std::fmt::Debug) -> Result<(), String> {
    if same { Ok(()) } else { Err(format!("{actual:?}")) }
}

/// A safe integer as it is, any other number by its text.
fn double(value: &Value) -> Option<f64> {
    match value {
        Value::String(text) => text.parse().ok(),
        value => value.as_f64(),
    }
}
