//! Reflag's rules: flags, their filters and variants, and a document of them.

use serde_json::{Value, json};

/// The body of `GET /features`.
pub(crate) fn document(version: u64, flags: &[Value]) -> Value {
    json!({"success": true, "flagStateVersion": version, "features": flags})
}

/// The flag, which publishable keys do not see.
pub(crate) fn secret(mut flag: Value) -> Value {
    flag["secret"] = json!(true);
    flag
}

pub(crate) fn constant(value: bool) -> Value {
    json!({"type": "constant", "value": value})
}

pub(crate) fn context(field: &str, operator: &str, values: &[&str]) -> Value {
    json!({"type": "context", "field": field, "operator": operator, "values": values})
}

pub(crate) fn flag(key: &str, version: u64, filters: &[Value]) -> Value {
    let rules: Vec<_> = filters.iter().map(|filter| json!({"filter": filter})).collect();
    json!({"key": key, "targeting": {"version": version, "rules": rules}})
}

pub(crate) fn with_config(mut flag: Value, version: u64, variants: &[Value]) -> Value {
    flag["config"] = json!({"version": version, "variants": variants});
    flag
}

pub(crate) fn variant(key: &str, filter: &Value, payload: &Value) -> Value {
    json!({"key": key, "filter": filter, "payload": payload})
}
