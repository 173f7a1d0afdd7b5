//! Query to evaluation context, refusal to error body (reflag-runtime.md sections 1, 3).

use std::borrow::Cow;

use serde_json::json;

use crate::dialect::{Forbidden, Rejection};
use crate::evaluate::{EvaluationContext, Program};

/// What the query of an evaluation says beside the context.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Query<'a> {
    /// `key=`: only this flag is asked for.
    pub flag: Option<Cow<'a, str>>,
}

/// Reads a query into `context`, which was reset for `program`. `contextJson` counts before dotted
/// parameters; parameters that are not known are ignored.
pub fn read_query<'a>(
    query: &'a str,
    program: &Program,
    context: &mut EvaluationContext,
) -> Result<Query<'a>, Rejection> {
    let mut read = Query::default();
    let mut whole = false;
    for (name, value) in parameters(query) {
        let name = decode(name)
            .ok_or_else(|| Rejection::Invalid("a parameter's name is not encoded UTF-8".into()))?;
        let value = || {
            decode(value).ok_or_else(|| {
                Rejection::Invalid(format!("the value of `{name}` is not encoded UTF-8").into())
            })
        };
        if let Some(path) = name.strip_prefix("context.") {
            if !whole {
                context
                    .set_dotted(program, path, &value()?)
                    .map_err(|error| Rejection::Invalid(format!("context: {error}").into()))?;
            }
        } else if name == "key" {
            read.flag = Some(value()?);
        } else if name == "contextJson" {
            context.reset(program);
            context
                .set_json(program, &value()?)
                .map_err(|error| Rejection::Invalid(format!("contextJson: {error}").into()))?;
            whole = true;
        }
    }
    Ok(read)
}

/// The value of `publishableKey=`, decoded. Browsers cannot set headers on preflight-free calls.
pub fn publishable_key(query: &str) -> Option<Cow<'_, str>> {
    let (_, value) = parameters(query).find(|(name, _)| *name == "publishableKey")?;
    Some(decode(value).unwrap_or(Cow::Borrowed("")))
}

fn parameters(query: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = Some(query);
    std::iter::from_fn(move || {
        loop {
            let text = rest?;
            let parameter = match memchr::memchr(b'&', text.as_bytes()) {
                Some(end) => {
                    rest = Some(&text[end + 1..]);
                    &text[..end]
                }
                None => {
                    rest = None;
                    text
                }
            };
            if !parameter.is_empty() {
                return Some(match memchr::memchr(b'=', parameter.as_bytes()) {
                    Some(at) => (&parameter[..at], &parameter[at + 1..]),
                    None => (parameter, ""),
                });
            }
        }
    })
}

/// Undoes form encoding: `+` is a blank, `%XX` a byte. None when an escape is broken or the bytes
/// are not UTF-8.
pub fn decode(text: &str) -> Option<Cow<'_, str>> {
    let Some(first) = memchr::memchr2(b'%', b'+', text.as_bytes()) else {
        return Some(Cow::Borrowed(text));
    };
    let mut bytes = Vec::with_capacity(text.len());
    bytes.extend_from_slice(&text.as_bytes()[..first]);
    let mut rest = text[first..].bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => hex(rest.next()?)? << 4 | hex(rest.next()?)?,
            other => other,
        });
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

/// Status and body of a refusal (DESIGN section 3).
pub fn reject(rejection: &Rejection) -> (u16, String) {
    let (status, code) = match rejection {
        Rejection::UnknownKey => (403, "INVALID_API_KEY"),
        Rejection::Forbidden(Forbidden::SecretRequired | Forbidden::SecretInUrl) => {
            (403, "FORBIDDEN_KEY")
        }
        Rejection::NotReady | Rejection::Stale => (503, "NOT_READY"),
        Rejection::NotForwarded => (503, "NOT_AVAILABLE"),
        Rejection::Overloaded => (503, "OVERLOADED"),
        Rejection::Internal => (500, "INTERNAL_ERROR"),
        Rejection::UnknownPath => (404, "NOT_FOUND"),
        Rejection::Method(_) => (405, "METHOD_NOT_ALLOWED"),
        other => (other.status(), "INVALID_REQUEST"),
    };
    let error = json!({"code": code, "message": rejection.message()});
    (status, json!({"success": false, "error": error}).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn form_encoding_is_undone() {
        for (encoded, text) in [
            ("plain", Some("plain")),
            ("eu+west", Some("eu west")),
            ("%C3%85se%20%26", Some("Åse &")),
            ("100%", None),
            ("%4", None),
            ("%zz", None),
            ("%ff", None),
        ] {
            assert_eq!(decode(encoded).as_deref(), text, "{encoded}");
        }
    }

    #[test]
    fn parameters_are_split_as_forms_are() {
        let read: Vec<_> = parameters("a=1&&b&c==x&=y&").collect();
        assert_eq!(read, [("a", "1"), ("b", ""), ("c", "=x"), ("", "y")]);
        assert_eq!(parameters("").count(), 0);
        assert_eq!(publishable_key("x=1&publishableKey=pub%5F1&y").unwrap(), "pub_1");
        assert_eq!(publishable_key("xpublishableKey=1"), None);
    }
}
