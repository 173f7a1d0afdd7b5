//! TOML to JSON values and back: what is read is checked like a body, and payloads are JSON.

use std::fmt::Write as _;

use serde_json::{Map, Number, Value};
use toml::de::{DeTable, DeValue};

use crate::json::write_string;

/// A table as an object. Dates become text; a number that JSON has not (`inf`) is an error, named by
/// its path.
pub(super) fn to_json(table: &DeTable<'_>, path: &str) -> Result<Value, String> {
    let mut object = Map::new();
    for (name, value) in table {
        let path = if path.is_empty() {
            name.get_ref().to_string()
        } else {
            format!("{path}.{}", name.get_ref())
        };
        object.insert(name.get_ref().to_string(), value_to_json(value.get_ref(), &path)?);
    }
    Ok(Value::Object(object))
}

fn value_to_json(value: &DeValue<'_>, path: &str) -> Result<Value, String> {
    let unfit = || format!("{path}: this number cannot be written in JSON");
    Ok(match value {
        DeValue::String(text) => Value::from(text.as_ref()),
        DeValue::Integer(integer) => {
            let integer = i64::from_str_radix(integer.as_str(), integer.radix());
            Value::from(integer.map_err(|_| unfit())?)
        }
        DeValue::Float(float) => {
            let float = float.as_str().parse().ok().and_then(Number::from_f64);
            Value::Number(float.ok_or_else(unfit)?)
        }
        DeValue::Boolean(boolean) => Value::from(*boolean),
        DeValue::Datetime(moment) => Value::from(moment.to_string()),
        DeValue::Array(items) => {
            let items = items.iter().enumerate();
            let items =
                items.map(|(at, item)| value_to_json(item.get_ref(), &format!("{path}.{at}")));
            Value::Array(items.collect::<Result<_, _>>()?)
        }
        DeValue::Table(table) => to_json(table, path)?,
    })
}

/// A value on one line. None for what TOML has no word for: null, and integers beyond 64 bits.
pub(super) fn from_json(value: &Value) -> Option<String> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(boolean) => boolean.to_string(),
        Value::Number(number) if number.is_f64() => {
            let text = number.to_string();
            // An exponent alone makes a float of it in TOML too, a bare integer would not.
            if text.contains(['.', 'e', 'E']) { text } else { format!("{text}.0") }
        }
        Value::Number(number) => number.as_i64()?.to_string(),
        Value::String(text) => string(text),
        Value::Array(items) => {
            let items: Option<Vec<_>> = items.iter().map(from_json).collect();
            format!("[{}]", items?.join(", "))
        }
        Value::Object(members) => {
            let members = members.iter();
            let members: Option<Vec<_>> = members
                .map(|(name, value)| Some(format!("{} = {}", key(name), from_json(value)?)))
                .collect();
            let members = members?;
            if members.is_empty() {
                "{}".to_owned()
            } else {
                format!("{{ {} }}", members.join(", "))
            }
        }
    })
}

/// A basic string. JSON's escapes are TOML's too, which wants one more to be escaped.
pub(super) fn string(text: &str) -> String {
    let mut quoted = String::new();
    write_string(text, &mut quoted);
    quoted.replace('\u{7f}', "\\u007F")
}

fn key(name: &str) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if !name.is_empty() && name.bytes().all(bare) { name.to_owned() } else { string(name) }
}

/// A payload as a line of a variant: as TOML where that gives the very same JSON again, else as the
/// JSON text.
pub(super) fn payload(text: &str, out: &mut String) {
    let value: Option<Value> = serde_json::from_str(text).ok();
    let is_text = |value: &Value| serde_json::to_string(value).is_ok_and(|again| again == text);
    let same = value.as_ref().filter(|value| is_text(value)).and_then(from_json);
    let read_again = same.filter(|toml| {
        let line = format!("a = {toml}");
        let read = DeTable::parse(&line).ok().and_then(|table| to_json(table.get_ref(), "").ok());
        read.is_some_and(|read| is_text(&read["a"]))
    });
    let _ = match read_again {
        Some(toml) => writeln!(out, "payload = {toml}"),
        None => writeln!(out, "payload_json = {}", string(text)),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_payload_comes_back_as_it_was() {
        for text in [
            "5",
            "5.0",
            "1e3",
            "-0.0",
            "null",
            "true",
            "\"a\\\"\u{7f}ü\"",
            "[1,null]",
            "[]",
            "{}",
            "{\"b\":1,\"a\":{\"x y\":[1,2.5,\"\"]}}",
            "18446744073709551616",
            "9223372036854775808",
            "{ \"spaced\": 1 }",
            "1.0e10",
            "123456789012345680000.0",
        ] {
            let mut line = String::new();
            payload(text, &mut line);
            let table = DeTable::parse(&line).unwrap_or_else(|error| panic!("{line}: {error}"));
            let read = to_json(table.get_ref(), "").unwrap();
            let again = match (read.get("payload"), read.get("payload_json")) {
                (Some(value), None) => value.to_string(),
                (None, Some(Value::String(text))) => text.clone(),
                other => panic!("{other:?}"),
            };
            assert_eq!(again, text, "{line}");
        }
    }

    #[test]
    fn what_json_has_not_is_named() {
        let table = DeTable::parse("a = [1, { b = inf }]").unwrap();
        let error = to_json(table.get_ref(), "").unwrap_err();
        assert_eq!(error, "a.1.b: this number cannot be written in JSON");
    }
}
