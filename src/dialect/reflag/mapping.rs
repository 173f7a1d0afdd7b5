//! Query to evaluation context, refusal to error body (reflag-runtime.md sections 1, 3).

use std::borrow::Cow;
use std::sync::LazyLock;

use memchr::memmem::Finder;
use serde_json::json;

use crate::dialect::query::{Parameter, Parameters, decode, decode_into};
use crate::dialect::{Forbidden, Rejection};
use crate::evaluate::{EvaluationContext, Program};

/// What the query of an evaluation says beside the context.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Query<'a> {
    /// `key=`: only this flag is asked for.
    pub flag: Option<Cow<'a, str>>,
    /// `waitForVersion=`: the answer is to be of this version or a later one.
    pub wanted: Option<u64>,
}

/// Reads a query into `context`, which was reset for `program`. `contextJson` counts before dotted
/// parameters; parameters that are not known are ignored.
pub fn read_query<'a>(
    query: &'a str,
    program: &Program,
    context: &mut EvaluationContext,
) -> Result<Query<'a>, Rejection> {
    // Escaped text is decoded into this one buffer: no parameter allocates.
    let mut buffer = context.take_buffer();
    let read = read_parameters(query, program, context, &mut buffer);
    context.return_buffer(buffer);
    read
}

fn read_parameters<'a>(
    query: &'a str,
    program: &Program,
    context: &mut EvaluationContext,
    buffer: &mut String,
) -> Result<Query<'a>, Rejection> {
    let mut read = Query::default();
    let mut whole = false;
    for Parameter { name, value, escaped } in Parameters(query) {
        let name = if escaped { decode(name) } else { Some(Cow::Borrowed(name)) };
        let name = name
            .ok_or_else(|| Rejection::Invalid("a parameter's name is not encoded UTF-8".into()))?;
        let undecodable =
            || Rejection::Invalid(format!("the value of `{name}` is not encoded UTF-8").into());
        if let Some(path) = name.strip_prefix("context.") {
            if !whole {
                let value = if escaped { decode_into(value, buffer) } else { Some(value) };
                context
                    .set_dotted(program, path, value.ok_or_else(undecodable)?)
                    .map_err(|error| Rejection::Invalid(format!("context: {error}").into()))?;
            }
        } else if name == "key" {
            read.flag = Some(decode(value).ok_or_else(undecodable)?);
        } else if name == "waitForVersion" {
            read.wanted = Some(read_version(value)?);
        } else if name == "contextJson" {
            let value = decode_into(value, buffer).ok_or_else(undecodable)?;
            context.reset(program);
            context
                .set_json(program, value)
                .map_err(|error| Rejection::Invalid(format!("contextJson: {error}").into()))?;
            whole = true;
        }
    }
    Ok(read)
}

/// The version that a request for definitions waits for (reflag-runtime.md section 6).
pub fn wanted_version(query: &str) -> Result<Option<u64>, Rejection> {
    let mut wanted = None;
    for Parameter { name, value, .. } in Parameters(query) {
        if name == "waitForVersion" {
            wanted = Some(read_version(value)?);
        }
    }
    Ok(wanted)
}

fn read_version(text: &str) -> Result<u64, Rejection> {
    text.parse().map_err(|_| Rejection::Invalid("`waitForVersion` is not a whole number".into()))
}

/// The value of the first `publishableKey=`, decoded. Browsers cannot set headers on
/// preflight-free calls.
pub fn publishable_key(query: &str) -> Option<Cow<'_, str>> {
    static NAME: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("publishableKey="));
    // Only where a parameter begins: the words may stand in a value, too.
    let begins = |&at: &usize| at == 0 || query.as_bytes()[at - 1] == b'&';
    let at = NAME.find_iter(query.as_bytes()).find(begins)?;
    let value = &query[at + NAME.needle().len()..];
    let value = &value[..memchr::memchr(b'&', value.as_bytes()).unwrap_or(value.len())];
    Some(decode(value).unwrap_or(Cow::Borrowed("")))
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
        Rejection::UnknownPath | Rejection::UnknownFlag(_) => (404, "NOT_FOUND"),
        Rejection::OtherRules => (501, "NOT_AVAILABLE"),
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
    fn the_key_is_found_where_a_parameter_begins() {
        assert_eq!(publishable_key("a=publishableKey=no&publishableKey=yes").unwrap(), "yes");
        assert_eq!(publishable_key("publishableKey=first&publishableKey=2").unwrap(), "first");
        assert_eq!(publishable_key("x=1&publishableKey=pub%5F1&y").unwrap(), "pub_1");
        assert_eq!(publishable_key("xpublishableKey=1"), None);
    }
}
