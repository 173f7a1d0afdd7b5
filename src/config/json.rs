//! Reads JSON into values that know where they were written.
//!
//! For configurations only: it builds a tree and reads nested text once for each level. Never
//! quotes the text that it was given: that can hold keys.

use std::collections::BTreeMap;

use serde_json::Number;
use serde_json::value::RawValue;

use super::document::bare_or_quoted;
use super::problem::Place;

/// A value with its place.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) place: Place,
}

#[derive(Debug)]
pub(super) enum Value {
    Null,
    Boolean(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    /// In the order in which they were written; of a name that stands twice, the last.
    Object(Vec<(String, Node)>),
}

impl Value {
    /// Completes "found ...".
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "a string",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
    }
}

/// Why text is not a value.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct NotJson {
    /// In bytes from the beginning of the text.
    pub(super) offset: usize,
    /// Fixed words, such as "trailing characters".
    pub(super) reason: String,
}

/// Far deeper than any configuration, and nothing near what a stack holds.
const DEEPEST: usize = 32;

/// The value that `text` is. `place` is asked with the offset and the path of each value, such as
/// `environment_key_pairs[0].server_side_key`; the path of the outermost is empty.
pub(super) fn parse(text: &str, place: &impl Fn(usize, &str) -> Place) -> Result<Node, NotJson> {
    let raw: &RawValue = serde_json::from_str(text).map_err(|error| not_json(text, 0, &error))?;
    Parser { text, place }.node(raw, "", 0)
}

struct Parser<'a, P> {
    text: &'a str,
    place: &'a P,
}

impl<P: Fn(usize, &str) -> Place> Parser<'_, P> {
    fn node(&self, raw: &RawValue, path: &str, depth: usize) -> Result<Node, NotJson> {
        let offset = self.offset(raw);
        if depth > DEEPEST {
            return Err(NotJson { offset, reason: format!("more than {DEEPEST} levels") });
        }
        let json = raw.get();
        let failed = |error| not_json(json, offset, &error);
        let value = match json.as_bytes().first() {
            Some(b'{') => {
                let members: BTreeMap<String, &RawValue> =
                    serde_json::from_str(json).map_err(failed)?;
                let mut members: Vec<_> = members.into_iter().collect();
                members.sort_by_key(|(_, raw)| self.offset(raw));
                let node = |(name, raw): (String, &RawValue)| {
                    let shown = bare_or_quoted(&name);
                    let path = if path.is_empty() { shown } else { format!("{path}.{shown}") };
                    Ok((name, self.node(raw, &path, depth + 1)?))
                };
                Value::Object(members.into_iter().map(node).collect::<Result<_, _>>()?)
            }
            Some(b'[') => {
                let items: Vec<&RawValue> = serde_json::from_str(json).map_err(failed)?;
                let items = items.into_iter().enumerate();
                let nodes = items
                    .map(|(index, raw)| self.node(raw, &format!("{path}[{index}]"), depth + 1));
                Value::List(nodes.collect::<Result<_, _>>()?)
            }
            Some(b'"') => Value::Text(serde_json::from_str(json).map_err(failed)?),
            Some(b't') => Value::Boolean(true),
            Some(b'f') => Value::Boolean(false),
            Some(b'n') => Value::Null,
            _ => Value::Number(serde_json::from_str(json).map_err(failed)?),
        };
        Ok(Node { value, place: (self.place)(offset, path) })
    }

    /// Raw values are pieces of the text.
    fn offset(&self, raw: &RawValue) -> usize {
        raw.get().as_ptr().addr() - self.text.as_ptr().addr()
    }
}

/// What stands at `start` of the whole text could not be read.
fn not_json(text: &str, start: usize, error: &serde_json::Error) -> NotJson {
    let line_start = match error.line() {
        0 | 1 => 0,
        line => text.match_indices('\n').nth(line - 2).map_or(0, |(newline, _)| newline + 1),
    };
    // The column counts bytes from 1, and is 0 for what ends before its line begins.
    let offset = start + line_start + error.column().saturating_sub(1);
    // Errors of syntax are fixed words; others would quote what was found.
    let reason = if error.is_data() {
        "a value that cannot be read".to_owned()
    } else {
        let message = error.to_string();
        message.split(" at line ").next().unwrap_or_default().to_owned()
    };
    NotJson { offset, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(offset: usize, path: &str) -> Place {
        Place::File { file: "config.json".into(), line: offset, column: None, path: path.into() }
    }

    fn show(node: &Node) -> String {
        let Place::File { line: offset, path, .. } = &node.place else { return String::new() };
        let value = match &node.value {
            Value::List(items) => items.iter().map(show).collect::<Vec<_>>().join(" "),
            Value::Object(members) => {
                let shown = members.iter().map(|(name, node)| format!("{name}: {}", show(node)));
                shown.collect::<Vec<_>>().join(" ")
            }
            Value::Boolean(value) => value.to_string(),
            Value::Number(value) => value.to_string(),
            Value::Text(text) => text.clone(),
            Value::Null => "null".to_owned(),
        };
        format!("({path}@{offset} {value})")
    }

    #[test]
    fn every_value_knows_its_path_and_where_it_begins() {
        let text = r#" {"b":[1, {"c":"x\u0041"}],"a":null,"d":true,"b2":-1.5,"a":false}"#;
        assert_eq!(
            show(&parse(text, &place).unwrap()),
            "(@1 b: (b@6 (b[0]@7 1) (b[1]@10 c: (b[1].c@15 xA))) d: (d@40 true) b2: (b2@50 -1.5) \
             a: (a@59 false))"
        );
    }

    #[test]
    fn what_is_no_json_is_told_without_being_quoted() {
        for (text, offset, reason) in [
            ("", 0, "EOF while parsing a value"),
            ("{\"lemon\": \"lemon\"\n \"lemon\": 1}", 19, "expected `,` or `}`"),
            ("{\"lemon\": lemon}", 10, "expected value"),
            ("{\"lemon\": 1} lemon", 13, "trailing characters"),
            ("[\n[\n\"\\ud800 lemon\"]]", 0, "unexpected end of hex escape"),
        ] {
            let error = parse(text, &place).unwrap_err();
            assert_eq!(error.reason, reason, "{text}");
            if offset > 0 {
                assert_eq!(error.offset, offset, "{text}");
            }
        }
        let deep = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
        assert!(parse(&deep(DEEPEST), &place).is_ok());
        for levels in [DEEPEST + 1, 100_000] {
            assert_eq!(parse(&deep(levels), &place).unwrap_err().reason, "more than 32 levels");
        }
    }
}
