//! The features document: read into a [`Ruleset`], and put together again for secret keys
//! (reflag-runtime.md section 4).

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::compile::Policy;
use crate::evaluate::javascript;
use crate::json::write_string;
use crate::model::{
    BrokenFlag, Condition, Filter, Flag, GroupOperator, Operand, Operator, RemoteConfig, Rollout,
    Ruleset, Targeting, Variant, Version,
};

/// Why a whole document cannot be used. Single bad flags are no such reason.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// No bytes at all, as of a file that is being written.
    #[error("the document is empty")]
    Empty,
    /// Broken off or no JSON.
    #[error("the document is not JSON: {0}")]
    NotJson(#[source] serde_json::Error),
    /// JSON, but not a features document.
    #[error("the document is not a features document: {0}")]
    NotFeatures(&'static str),
}

/// Reads a features document. A flag that cannot be read, or that would break an SDK (facts 5 and
/// 6 of the page), is left out and named in [`Ruleset::broken`]; of two flags with one key the
/// later counts, as in the SDKs.
pub fn read(document: &Bytes) -> Result<Ruleset, DocumentError> {
    read_document(document, false)
}

fn read_document(document: &Bytes, must_succeed: bool) -> Result<Ruleset, DocumentError> {
    if document.trim_ascii().is_empty() {
        return Err(DocumentError::Empty);
    }
    let members: Members<'_> = serde_json::from_slice(document).map_err(DocumentError::NotJson)?;
    let mut ruleset = Ruleset::default();
    let mut features = None;
    let mut success = None;
    for (name, value) in members.0 {
        match &*name {
            "success" => success = Some(value.get()),
            "flagStateVersion" => ruleset.source_version = Some(read_version(value)?),
            "features" => features = Some(value),
            _ => {
                ruleset.envelope.retain(|(known, _)| **known != *name);
                ruleset.envelope.push((name.into(), value.get().into()));
            }
        }
    }
    if success.map_or(must_succeed, |value| value != "true") {
        return Err(DocumentError::NotFeatures("`success` is not true"));
    }
    let features = features.ok_or(DocumentError::NotFeatures("it has no `features`"))?;
    let features: Vec<&RawValue> = serde_json::from_str(features.get())
        .map_err(|_| DocumentError::NotFeatures("`features` is not an array"))?;
    read_flags(&features, &mut ruleset);
    if success.is_some() && ruleset.source_version.is_some() && ruleset.broken.is_empty() {
        ruleset.verbatim = Some(document.clone());
    }
    Ok(ruleset)
}

/// Reads a features document that a server gave as an answer. Without `"success": true` it is none:
/// the SDKs would throw it away.
pub fn read_answer(document: &Bytes) -> Result<Ruleset, DocumentError> {
    read_document(document, true)
}

fn read_version(value: &RawValue) -> Result<u64, DocumentError> {
    let version = serde_json::from_str::<u64>(value.get()).ok().filter(|&v| v <= Version::MAX);
    version.ok_or(DocumentError::NotFeatures("`flagStateVersion` is not a whole number >= 0"))
}

fn read_flags(features: &[&RawValue], ruleset: &mut Ruleset) {
    let mut places: HashMap<Box<str>, usize> = HashMap::new();
    for (index, raw) in features.iter().enumerate() {
        match read_flag(raw, &mut ruleset.warnings) {
            Ok(flag) => {
                if let Some(&place) = places.get(&flag.key) {
                    let key = &flag.key;
                    ruleset.warnings.push(format!("flag `{key}`: defined twice, the later counts"));
                    ruleset.flags[place] = Arc::new(flag);
                } else {
                    places.insert(flag.key.clone(), ruleset.flags.len());
                    ruleset.flags.push(Arc::new(flag));
                }
            }
            Err((key, reason)) => {
                let flag = key.unwrap_or_else(|| format!("features[{index}]"));
                ruleset.broken.push(BrokenFlag { flag, reason });
            }
        }
    }
}

/// A flag's key, as far as it could be read, and what is wrong with the flag.
type Broken = (Option<String>, String);

fn read_flag(raw: &RawValue, warnings: &mut Vec<String>) -> Result<Flag, Broken> {
    let Members(members) = serde_json::from_str(raw.get())
        .map_err(|_| (None, "the definition is not an object".to_owned()))?;
    // Of doubled members JSON readers keep the last.
    let find = |name: &str| members.iter().rev().find(|(n, _)| n == name).map(|(_, v)| *v);
    let key: String = find("key")
        .and_then(|key| serde_json::from_str(key.get()).ok())
        .ok_or_else(|| (None, "`key` is not text".to_owned()))?;
    let broken = |reason: String| (Some(key.clone()), reason);
    let targeting = find("targeting").ok_or_else(|| broken("`targeting` is missing".to_owned()))?;
    let targeting = read_targeting(targeting).map_err(broken)?;
    let config = match find("config") {
        Some(config) => read_config(config).map_err(broken)?,
        None => None,
    };
    let secret = match find("secret").map(RawValue::get) {
        None | Some("false" | "null") => false,
        Some("true") => true,
        Some(_) => {
            warnings.push(format!("flag `{key}`: `secret` is no boolean; taken as true"));
            true
        }
    };
    let raw = raw.to_owned();
    Ok(Flag { key: key.as_str().into(), secret, targeting, config, raw })
}

#[derive(Deserialize)]
#[serde(expecting = "an object with an array `rules`")]
struct WireTargeting {
    #[serde(default)]
    version: u64,
    rules: Vec<WireRule>,
}

#[derive(Deserialize)]
#[serde(expecting = "an object with a `filter`")]
struct WireRule {
    filter: Value,
}

#[derive(Deserialize)]
#[serde(expecting = "an object with an array `variants`")]
struct WireConfig {
    #[serde(default)]
    version: u64,
    variants: Vec<WireVariant>,
}

#[derive(Deserialize)]
#[serde(expecting = "an object with `key` and `filter`")]
struct WireVariant {
    key: String,
    filter: Value,
    payload: Option<Box<RawValue>>,
}

fn read_targeting(raw: &RawValue) -> Result<Targeting, String> {
    let wire: WireTargeting = parse(raw, "targeting")?;
    let rules = wire
        .rules
        .iter()
        .enumerate()
        .map(|(at, rule)| read_filter(&rule.filter, &format!("targeting.rules[{at}].filter")))
        .collect::<Result<_, _>>()?;
    Ok(Targeting { version: wire.version.min(Version::MAX), rules })
}

fn read_config(raw: &RawValue) -> Result<Option<RemoteConfig>, String> {
    // What JavaScript takes as false is no config.
    if matches!(raw.get(), "null" | "false" | "0" | "\"\"") {
        return Ok(None);
    }
    let wire: WireConfig = parse(raw, "config")?;
    let read = |(at, variant): (usize, WireVariant)| {
        let filter = read_filter(&variant.filter, &format!("config.variants[{at}].filter"))?;
        Ok(Variant { key: variant.key.into(), filter, payload: variant.payload.map(Arc::from) })
    };
    let variants =
        wire.variants.into_iter().enumerate().map(read).collect::<Result<_, String>>()?;
    Ok(Some(RemoteConfig { version: wire.version.min(Version::MAX), variants }))
}

fn parse<'a, T: Deserialize<'a>>(raw: &'a RawValue, place: &str) -> Result<T, String> {
    serde_json::from_str(raw.get()).map_err(|error| {
        let text = error.to_string();
        let what = text.split(" at line ").next().unwrap_or(&text);
        format!("`{place}`: {what}")
    })
}

fn read_filter(value: &Value, place: &str) -> Result<Filter, String> {
    let kind = value.get("type").and_then(Value::as_str);
    let kind = kind.ok_or_else(|| format!("`{place}.type` is not text"))?;
    let member = |name: &str| value.get(name).unwrap_or(&Value::Null);
    let text = |name: &str| {
        let text = member(name).as_str().map(Box::<str>::from);
        text.ok_or_else(|| format!("`{place}.{name}` is not text"))
    };
    Ok(match kind {
        "constant" => Filter::Constant(truthy(member("value"))),
        "group" => {
            let filters = member("filters").as_array();
            let filters = filters.ok_or_else(|| format!("`{place}.filters` is not an array"))?;
            let operator = match member("operator").as_str() {
                Some("and") => GroupOperator::And,
                // Whatever else stands there is read as "or" (12.2).
                _ => GroupOperator::Or,
            };
            let read = |(at, f)| read_filter(f, &format!("{place}.filters[{at}]"));
            let filters = filters.iter().enumerate().map(read).collect::<Result<_, _>>()?;
            Filter::Group { operator, filters }
        }
        "negation" => {
            let inner = read_filter(member("filter"), &format!("{place}.filter"))?;
            Filter::Negation(Box::new(inner))
        }
        "context" => {
            let operands = match member("values") {
                Value::Array(values) => values.iter().map(operand).collect(),
                Value::Null => vec![],
                _ => return Err(format!("`{place}.values` is not an array")),
            };
            let operator = Operator::from_wire(&text("operator")?);
            Filter::Condition(Condition { attribute: text("field")?, operator, operands })
        }
        "rolloutPercentage" => Filter::Rollout(Rollout {
            // The official evaluator hashes the word for a missing salt (12.4).
            salt: member("key").as_str().unwrap_or("undefined").into(),
            attribute: text("partialRolloutAttribute")?,
            threshold: match value.get("partialRolloutThreshold").map(operand) {
                Some(Operand::Number(number)) => number,
                Some(Operand::Text(text)) => javascript::number::parse(&text),
                Some(Operand::Opaque) | None => f64::NAN,
            },
        }),
        other => Filter::Unknown(other.into()),
    })
}

fn operand(value: &Value) -> Operand {
    match value {
        Value::String(text) => Operand::Text(text.as_str().into()),
        Value::Number(number) => Operand::Number(number.as_f64().unwrap_or(f64::NAN)),
        Value::Bool(value) => Operand::Number(f64::from(u8::from(*value))),
        Value::Null => Operand::Number(0.0),
        Value::Array(_) | Value::Object(_) => Operand::Opaque,
    }
}

/// What JavaScript takes as true.
fn truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64().is_some_and(|n| n != 0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(_) | Value::Object(_) => true,
    }
}

/// The document for secret keys: the source's own bytes when nothing in them needs a change, else
/// its raw members put together again. Flags that the settings make secret are marked, so that an
/// edge behind this one hides them too.
pub fn write(ruleset: &Ruleset, policy: &Policy, version: Version) -> Bytes {
    let marked = |flag: &Flag| flag.secret || policy.is_public(flag, ruleset);
    if let Some(document) = &ruleset.verbatim
        && ruleset.source_version == Some(version.number())
        && ruleset.flags.iter().all(|flag| marked(flag))
    {
        return document.clone();
    }
    let mut out = format!("{{\"success\":true,\"flagStateVersion\":{version}");
    for (name, value) in &ruleset.envelope {
        out.push(',');
        write_string(name, &mut out);
        out.push(':');
        out.push_str(value);
    }
    out.push_str(",\"features\":[");
    for (at, flag) in ruleset.flags.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        if marked(flag) {
            out.push_str(flag.raw.get());
        } else {
            write_marked(flag, &mut out);
        }
    }
    out.push_str("]}");
    Bytes::from(out)
}

fn write_marked(flag: &Flag, out: &mut String) {
    out.push_str("{\"secret\":true");
    let members = serde_json::from_str(flag.raw.get()).unwrap_or(Members(Vec::new()));
    for (name, value) in members.0 {
        if name != "secret" {
            out.push(',');
            write_string(&name, out);
            out.push(':');
            out.push_str(value.get());
        }
    }
    out.push('}');
}

/// The members of an object in their order, doubles included.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    members.push((
                        name,
                        map.next_value::<&'de RawValue>().map_err(de::Error::custom)?,
                    ));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::Visibility;

    fn read_text(text: &str) -> Result<Ruleset, DocumentError> {
        read(&Bytes::copy_from_slice(text.as_bytes()))
    }

    fn write_text(ruleset: &Ruleset, secret: &[&str], version: u64) -> String {
        let secret_flags = secret.iter().map(|&key| key.to_owned()).collect();
        let visibility = Visibility::Except(secret_flags);
        let policy = Policy { visibility, ..Policy::default() };
        String::from_utf8(write(ruleset, &policy, Version::new(version)).to_vec()).unwrap()
    }

    const WHOLE: &str = r#"{ "success":true, "flagStateVersion":7, "extra":{"n":5.0}, "features":[
        {"key":"a","targeting":{"version":1,"rules":[]},"future":1e3}]}"#;

    #[test]
    fn a_document_that_needs_no_change_is_passed_on_byte_for_byte() {
        let ruleset = read_text(WHOLE).unwrap();
        assert_eq!(write_text(&ruleset, &[], 7), WHOLE);
    }

    #[test]
    fn else_its_members_are_put_together_as_they_were_spelled() {
        let ruleset = read_text(WHOLE).unwrap();
        let raw = r#"{"key":"a","targeting":{"version":1,"rules":[]},"future":1e3}"#;
        assert_eq!(
            write_text(&ruleset, &[], 8),
            format!(
                r#"{{"success":true,"flagStateVersion":8,"extra":{{"n":5.0}},"features":[{raw}]}}"#
            )
        );
        assert_eq!(
            write_text(&ruleset, &["a"], 7),
            r#"{"success":true,"flagStateVersion":7,"extra":{"n":5.0},"features":[{"secret":true,"key":"a","targeting":{"version":1,"rules":[]},"future":1e3}]}"#
        );
    }

    #[test]
    fn what_would_break_an_sdk_is_left_out_alone() {
        let cases = [
            (r#"{"key":"b"}"#, "b", "`targeting` is missing"),
            (r#"{"key":"b","targeting":{}}"#, "b", "`targeting`: missing field `rules`"),
            (
                r#"{"key":"b","targeting":{"rules":{}}}"#,
                "b",
                "`targeting`: invalid type: map, expected a sequence",
            ),
            (
                r#"{"key":"b","targeting":{"rules":[]},"config":{}}"#,
                "b",
                "`config`: missing field `variants`",
            ),
            (r#"{"key":7,"targeting":{"rules":[]}}"#, "features[1]", "`key` is not text"),
            ("3", "features[1]", "the definition is not an object"),
            (
                r#"{"key":"b","targeting":{"rules":[{"filter":{"type":"group","operator":"and","filters":[{"type":"negation"}]}}]}}"#,
                "b",
                "`targeting.rules[0].filter.filters[0].filter.type` is not text",
            ),
        ];
        for (bad, flag, reason) in cases {
            let good = r#"{"key":"a","targeting":{"rules":[]},"config":null}"#;
            let ruleset = read_text(&format!(r#"{{"features":[{good},{bad}]}}"#)).unwrap();
            assert_eq!(ruleset.flags.len(), 1);
            let expected = BrokenFlag { flag: flag.to_owned(), reason: reason.to_owned() };
            assert_eq!(ruleset.broken, [expected]);
        }
    }

    #[test]
    fn a_document_that_cannot_be_read_says_why() {
        let cases = [
            ("", "the document is empty"),
            ("  ", "the document is empty"),
            ("{", "the document is not JSON: EOF while parsing an object at line 1 column 1"),
            ("{}", "the document is not a features document: it has no `features`"),
            (
                "{\"features\":{}}",
                "the document is not a features document: `features` is not an array",
            ),
            (
                "{\"success\":false,\"features\":[]}",
                "the document is not a features document: `success` is not true",
            ),
            (
                "{\"flagStateVersion\":-1,\"features\":[]}",
                "the document is not a features document: `flagStateVersion` is not a whole number >= 0",
            ),
        ];
        for (text, message) in cases {
            assert_eq!(read_text(text).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn of_two_flags_with_one_key_the_later_counts() {
        let flag =
            |version| format!(r#"{{"key":"a","targeting":{{"version":{version},"rules":[]}}}}"#);
        let ruleset = read_text(&format!(r#"{{"features":[{},{}]}}"#, flag(1), flag(2))).unwrap();
        assert_eq!(ruleset.flags.len(), 1);
        assert_eq!(ruleset.flags[0].targeting.version, 2);
        assert_eq!(ruleset.warnings.len(), 1);
    }
}
