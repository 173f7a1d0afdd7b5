//! Documents to serve.

use serde_json::{Value, json};

/// A features document.
pub(crate) fn document(version: u64, flags: &[Value]) -> String {
    json!({"success": true, "flagStateVersion": version, "features": flags}).to_string()
}

/// A flag with these filters as its rules.
pub(crate) fn flag(key: &str, filters: &[Value]) -> Value {
    let rules: Vec<_> = filters.iter().map(|filter| json!({"filter": filter})).collect();
    json!({"key": key, "targeting": {"version": 1, "rules": rules}})
}

/// A flag that is on for everybody.
pub(crate) fn on(key: &str) -> Value {
    flag(key, &[constant(true)])
}

/// A flag that is off for everybody.
pub(crate) fn off(key: &str) -> Value {
    flag(key, &[])
}

/// A flag that is on where the filter holds.
pub(crate) fn when(key: &str, filter: &Value) -> Value {
    flag(key, std::slice::from_ref(filter))
}

/// The flag, marked as secret.
pub(crate) fn secret(mut flag: Value) -> Value {
    flag["secret"] = json!(true);
    flag
}

/// The flag, with one variant for everybody.
pub(crate) fn with_payload(mut flag: Value, variant: &str, payload: &Value) -> Value {
    let variant = json!({"key": variant, "payload": payload, "filter": constant(true)});
    flag["config"] = json!({"version": 1, "variants": [variant]});
    flag
}

pub(crate) fn constant(value: bool) -> Value {
    json!({"type": "constant", "value": value})
}

pub(crate) fn context(field: &str, operator: &str, values: &[&str]) -> Value {
    json!({"type": "context", "field": field, "operator": operator, "values": values})
}

pub(crate) fn is(field: &str, value: &str) -> Value {
    context(field, "IS", &[value])
}
