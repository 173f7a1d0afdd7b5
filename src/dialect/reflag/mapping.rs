//! Query to evaluation context, refusal to error body (reflag-runtime.md sections 1, 3).

use std::borrow::Cow;
use std::sync::LazyLock;

use memchr::memmem::Finder;
use serde_json::json;

use crate::dialect::query::{Parameter, Parameters, decode, decode_into};
use crate::dialect::{Forbidden, Rejection};
use crate::evaluate::flagsmith::Scalar;
use crate::evaluate::{
    Bounds, ContextError, ContextWriter, EvaluationContext, Part, Program, limits,
};
use crate::json::{Kind, Reader, Text};

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

/// Reads a query into a context for rules of Flagsmith's (DESIGN section 4). Text stays text, save
/// `true` and `false`, which no query tells from booleans; `contextJson` keeps its types.
pub fn read_query_for_others<'a>(
    query: &'a str,
    writer: &mut ContextWriter<'_>,
    buffer: &mut String,
) -> Result<Query<'a>, Rejection> {
    let mut read = Query::default();
    let mut whole = None;
    let mut members = 0;
    for Parameter { name, value, .. } in Parameters(query) {
        let name = decode(name)
            .ok_or_else(|| Rejection::Invalid("a parameter's name is not encoded UTF-8".into()))?;
        let undecodable =
            || Rejection::Invalid(format!("the value of `{name}` is not encoded UTF-8").into());
        match &*name {
            "key" => read.flag = Some(decode(value).ok_or_else(undecodable)?),
            "waitForVersion" => read.wanted = Some(read_version(value)?),
            "contextJson" => whole = Some(decode(value).ok_or_else(undecodable)?),
            name if name.starts_with("context.") => {
                members += 1;
                check_path(&name["context.".len()..], members)
                    .map_err(|error| Rejection::Invalid(format!("context: {error}").into()))?;
                decode_into(value, buffer).ok_or_else(undecodable)?;
            }
            _ => {}
        }
    }
    if let Some(json) = whole {
        write_context_json(&json, writer)
            .map_err(|error| Rejection::Invalid(format!("contextJson: {error}").into()))?;
    } else {
        // What counts less comes first.
        for part in [Part::Other, Part::Company, Part::User] {
            write_parameters(query, part, writer, buffer)
                .map_err(|error| Rejection::Invalid(format!("context: {error}").into()))?;
        }
    }
    Ok(read)
}

/// The bounds of [`EvaluationContext::set_dotted`].
fn check_path(path: &str, members: usize) -> Result<(), ContextError> {
    if members > limits::MEMBERS {
        return Err(ContextError::TooManyMembers);
    }
    if path.len() > limits::NAME {
        return Err(ContextError::NameTooLong);
    }
    if path.split('.').count() > limits::DEPTH {
        return Err(ContextError::TooDeep);
    }
    Ok(())
}

/// Writes the dotted parameters of one part. Names of JavaScript's object machinery are dropped.
fn write_parameters(
    query: &str,
    part: Part,
    writer: &mut ContextWriter<'_>,
    buffer: &mut String,
) -> Result<(), ContextError> {
    for Parameter { name, value, .. } in Parameters(query) {
        let Some(name) = decode(name) else { continue };
        let path = name.strip_prefix("context.").and_then(|path| path.strip_prefix(part.name()));
        let Some(path) = path.and_then(|path| path.strip_prefix('.')) else { continue };
        let machinery = ["__proto__", "constructor", "prototype"];
        if path.split('.').any(|segment| machinery.contains(&segment)) {
            continue;
        }
        let Some(text) = decode_into(value, buffer) else { continue };
        match text {
            "" if part == Part::User && path == "id" => {}
            text if part == Part::User && path == "id" => writer.set_user_id(text),
            "true" => writer.set(part, path, Scalar::Bool(true))?,
            "false" => writer.set(part, path, Scalar::Bool(false))?,
            text => writer.set(part, path, Scalar::Text(text))?,
        }
    }
    Ok(())
}

fn write_context_json(json: &str, writer: &mut ContextWriter<'_>) -> Result<(), ContextError> {
    let mut reader = Reader::new(json);
    if reader.kind()? != Kind::Object {
        return Err(ContextError::NotAnObject);
    }
    let mut bounds = Bounds::default();
    let parts = [Part::Other, Part::Company, Part::User];
    let mut found: [Option<Reader<'_>>; 3] = [None, None, None];
    let mut first = true;
    reader.open_object()?;
    while let Some(name) = reader.next_member(&mut first)? {
        bounds.member(name)?;
        let kind = reader.kind()?;
        let value = reader.clone();
        bounds.skip(&mut reader, 0)?;
        let is_named = |name: Text<'_>, part: Part| name.is(part.name());
        if let Some(at) = parts.iter().position(|part| is_named(name, *part)) {
            found[at] = (kind == Kind::Object).then_some(value);
        }
    }
    reader.end()?;
    for (part, value) in parts.into_iter().zip(found) {
        if let Some(mut value) = value {
            writer.set_part(part, &mut value)?;
        }
    }
    Ok(())
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
        Rejection::Overloaded | Rejection::TooManyStreams(_) => (503, "OVERLOADED"),
        Rejection::Internal => (500, "INTERNAL_ERROR"),
        Rejection::UnknownPath | Rejection::UnknownFlag(_) => (404, "NOT_FOUND"),
        Rejection::Untranslated(_) => (501, "NOT_AVAILABLE"),
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
