//! Whether JSON is what a schema says: as much of JSON Schema (2020-12) as the description uses.
//!
//! A library would do more. The ones there are bring `regex` with all of its features along, so that
//! every test would run against another binary than the one that is shipped; and they pass over
//! keywords that they do not know, where here a misspelled one fails. The contract fuzz validates the
//! same answers with a library, in a process of its own.

use regex::Regex;
use serde_json::{Map, Value};

/// Keywords that say nothing about a value.
const ANNOTATIONS: [&str; 5] = ["description", "default", "example", "examples", "x-open"];

/// What is wrong with `value`, with the place of it. References lead into `document`.
pub(crate) fn check(document: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    at(document, schema, value, "")
}

/// What a reference leads to.
pub(crate) fn resolve<'a>(document: &'a Value, reference: &str) -> &'a Value {
    let found = reference.strip_prefix('#').and_then(|pointer| document.pointer(pointer));
    found.unwrap_or_else(|| panic!("{reference} leads nowhere"))
}

fn at(document: &Value, schema: &Value, value: &Value, place: &str) -> Result<(), String> {
    let fail = |what: &str| Err(format!("`{place}` is {value}, {what}"));
    let schema = schema.as_object().unwrap_or_else(|| panic!("{schema} is no schema"));
    for (keyword, operand) in schema {
        let holds = match keyword.as_str() {
            "$ref" => {
                let target = resolve(document, operand.as_str().unwrap());
                at(document, target, value, place)?;
                true
            }
            "type" => one_or_many(operand).iter().any(|kind| is_of_type(value, kind)),
            "const" => value == operand,
            "enum" => operand.as_array().unwrap().contains(value),
            "not" => at(document, operand, value, place).is_err(),
            "oneOf" | "anyOf" => {
                let results: Vec<_> = operand.as_array().unwrap().iter().collect();
                let results: Vec<_> =
                    results.into_iter().map(|one| at(document, one, value, place)).collect();
                let matching = results.iter().filter(|result| result.is_ok()).count();
                if matching == 0 {
                    let reasons: Vec<_> = results.into_iter().filter_map(Result::err).collect();
                    return Err(format!("none of: {}", reasons.join("; ")));
                }
                matching == 1 || keyword == "anyOf"
            }
            "pattern" => value
                .as_str()
                .is_none_or(|text| Regex::new(operand.as_str().unwrap()).unwrap().is_match(text)),
            "minLength" => length(value).is_none_or(|length| length >= number(operand)),
            "maxLength" => length(value).is_none_or(|length| length <= number(operand)),
            "minimum" => value.as_f64().is_none_or(|value| value >= number(operand)),
            "maximum" => value.as_f64().is_none_or(|value| value <= number(operand)),
            "minItems" => count(value).is_none_or(|count| count >= number(operand)),
            "maxItems" => count(value).is_none_or(|count| count <= number(operand)),
            "items" => {
                for (index, element) in value.as_array().into_iter().flatten().enumerate() {
                    at(document, operand, element, &format!("{place}/{index}"))?;
                }
                true
            }
            "required" => match value.as_object() {
                Some(members) => {
                    let names = operand.as_array().unwrap().iter();
                    let lacks =
                        names.map(|n| n.as_str().unwrap()).find(|n| !members.contains_key(*n));
                    if let Some(lacks) = lacks {
                        return fail(&format!("and lacks `{lacks}`"));
                    }
                    true
                }
                None => true,
            },
            "properties" => {
                for (name, member) in operand.as_object().unwrap() {
                    if let Some(value) = value.get(name) {
                        at(document, member, value, &format!("{place}/{name}"))?;
                    }
                }
                true
            }
            "additionalProperties" => {
                for (name, value) in others(schema, value) {
                    match operand {
                        Value::Bool(true) => {}
                        Value::Bool(false) => return fail(&format!("and has `{name}`")),
                        operand => at(document, operand, value, &format!("{place}/{name}"))?,
                    }
                }
                true
            }
            "propertyNames" => {
                for name in value.as_object().into_iter().flatten().map(|(name, _)| name) {
                    at(document, operand, &Value::String(name.clone()), place)?;
                }
                true
            }
            known if ANNOTATIONS.contains(&known) => true,
            unknown => panic!("`{place}`: the keyword `{unknown}` is not known here"),
        };
        if !holds {
            return fail(&format!("against `{keyword}: {operand}`"));
        }
    }
    Ok(())
}

/// Members that `properties` does not name.
fn others<'a>(
    schema: &'a Map<String, Value>,
    value: &'a Value,
) -> impl Iterator<Item = (&'a String, &'a Value)> {
    let named = schema.get("properties").and_then(Value::as_object);
    let members = value.as_object().into_iter().flatten();
    members.filter(move |(name, _)| named.is_none_or(|named| !named.contains_key(*name)))
}

/// A keyword's words.
pub(crate) fn one_or_many(operand: &Value) -> Vec<&str> {
    match operand {
        Value::Array(many) => many.iter().map(|one| one.as_str().unwrap()).collect(),
        one => vec![one.as_str().unwrap()],
    }
}

fn is_of_type(value: &Value, kind: &str) -> bool {
    match kind {
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("`{other}` is no type"),
    }
}

fn number(operand: &Value) -> f64 {
    operand.as_f64().unwrap()
}

#[expect(clippy::cast_precision_loss, reason = "lengths of answers are far below 2^53")]
fn length(value: &Value) -> Option<f64> {
    Some(value.as_str()?.chars().count() as f64)
}

#[expect(clippy::cast_precision_loss, reason = "lengths of answers are far below 2^53")]
fn count(value: &Value) -> Option<f64> {
    Some(value.as_array()?.len() as f64)
}

/// Every keyword does what the specification says, and says no where it should.
#[test]
fn values_are_what_their_schema_says_or_are_told_apart() {
    use serde_json::json;

    let document = json!({"defs": {"text": {"type": "string"}}});
    for (schema, good, bad) in [
        (json!({"$ref": "#/defs/text"}), json!("a"), json!(1)),
        (json!({"type": ["integer", "null"]}), json!(1.0), json!(1.5)),
        (json!({"const": "a"}), json!("a"), json!("b")),
        (json!({"enum": [null, 0]}), json!(null), json!(false)),
        (json!({"not": {"type": "null"}}), json!(1), json!(null)),
        (json!({"oneOf": [{"minimum": 1}, {"minimum": 5}]}), json!(3), json!(7)),
        (json!({"anyOf": [{"const": 1}, {"const": 2}]}), json!(2), json!(3)),
        (json!({"pattern": "^a$"}), json!("a"), json!("ab")),
        (json!({"minLength": 1}), json!("é"), json!("")),
        (json!({"maxLength": 1}), json!("é"), json!("éa")),
        (json!({"minimum": 0, "maximum": 9}), json!(9), json!(10)),
        (json!({"minItems": 1, "maxItems": 1}), json!([1]), json!([])),
        (json!({"items": {"type": "boolean"}}), json!([true]), json!([true, 1])),
        (json!({"required": ["a"]}), json!({"a": null}), json!({})),
        (json!({"properties": {"a": {"const": 1}}}), json!({"b": 2}), json!({"a": 2})),
        (
            json!({"properties": {"a": {}}, "additionalProperties": false}),
            json!({"a": 1}),
            json!({"a": 1, "b": 1}),
        ),
        (json!({"additionalProperties": {"type": "null"}}), json!({"a": null}), json!({"a": 1})),
        (json!({"propertyNames": {"pattern": "^x"}}), json!({"xa": 1}), json!({"a": 1})),
    ] {
        assert_eq!(check(&document, &schema, &good), Ok(()), "{schema}");
        assert!(check(&document, &schema, &bad).is_err(), "{schema} takes {bad}");
    }
}
