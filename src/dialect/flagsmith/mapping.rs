//! Requests to identities, refusals to error bodies (flagsmith.md sections 3, 4).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use smallvec::SmallVec;

use crate::dialect::query::{Parameters, decode};
use crate::dialect::{Fault, Forbidden, Rejection};
use crate::evaluate::flagsmith::{Scalar, is_path, python};
use crate::evaluate::{Bounds, ContextError, ContextWriter, Part, limits};
use crate::json::{Kind, Malformed, Reader, Text};
use crate::model::KeyClass;

/// Longest text of a trait in characters, as in the vendor's API.
const TRAIT_TEXT: usize = 2_000;

/// Who is asked about.
#[derive(Debug, Default)]
pub struct Identity<'a> {
    /// None for somebody without a name.
    pub identifier: Option<Cow<'a, str>>,
    /// As they were sent, doubles included; of those the last counts. A few take no memory of their
    /// own.
    pub traits: SmallVec<[Trait<'a>; 8]>,
    /// Their text, where they were sent just as answers spell them.
    pub verbatim: Option<&'a str>,
}

/// What is known of an identity.
#[derive(Clone, Debug)]
pub struct Trait<'a> {
    /// Its name, which may be empty.
    pub key: Cow<'a, str>,
    /// A JSON scalar as it was sent.
    pub value: &'a str,
    /// The value itself, when it is text without escapes.
    pub text: Option<&'a str>,
}

impl<'a> Trait<'a> {
    /// A trait whose value is this JSON scalar.
    pub fn new(key: impl Into<Cow<'a, str>>, value: &'a str) -> Self {
        Self { key: key.into(), value, text: None }
    }

    /// The value as the engine takes it. Escaped text is undone in `buffer`.
    pub fn scalar<'b>(&'b self, buffer: &'b mut String) -> Scalar<'b> {
        self.text.map_or_else(|| scalar(self.value, buffer), Scalar::Text)
    }
}

/// Reads the body of `POST identities/`. `media_type` is the request's `Content-Type`.
pub fn read_identity<'a>(
    body: &'a [u8],
    media_type: Option<&[u8]>,
) -> Result<Identity<'a>, Rejection> {
    if !media_type.is_none_or(|media_type| media_type == JSON || is_json(media_type)) {
        return Err(fault(&["body"], "model_attributes_type", "the Content-Type is not JSON"));
    }
    let text = std::str::from_utf8(body)
        .map_err(|_| Rejection::Invalid("the body is not UTF-8".into()))?;
    read_members(text)
}

/// How nearly everybody spells it.
const JSON: &[u8] = b"application/json";

/// `application/json`, `application/something+json`.
fn is_json(media_type: &[u8]) -> bool {
    let text = String::from_utf8_lossy(media_type).to_ascii_lowercase();
    let essence = text.split(';').next().unwrap_or_default().trim();
    essence.strip_prefix("application/").is_some_and(|sub| sub == "json" || sub.ends_with("+json"))
}

fn read_members(text: &str) -> Result<Identity<'_>, Rejection> {
    let malformed =
        |error: Malformed| Rejection::Invalid(format!("the body is not JSON: {error}").into());
    let mut reader = Reader::new(text);
    let mut identity = Identity::default();
    if reader.kind().map_err(malformed)? != Kind::Object {
        reader.skip().and_then(|()| reader.end()).map_err(malformed)?;
        return Err(fault(&["body"], "model_attributes_type", "the body is not an object"));
    }
    // What is wrong with a member counts only once the whole body is known to be JSON, and only of
    // the last member of its name (flagsmith.md section 3.3).
    let (mut identifier, mut traits) = (Ok(()), Ok(()));
    let mut others = Bounds::default();
    let mut first = true;
    reader.open_object().map_err(malformed)?;
    while let Some(name) = reader.next_member(&mut first).map_err(malformed)? {
        match &*plain(name) {
            "identifier" => {
                let read = read_identifier(&mut reader).map_err(malformed)?;
                identifier = read.map(|read| identity.identifier = read);
            }
            "traits" => traits = read_traits(&mut reader, &mut identity).map_err(malformed)?,
            _ => others.skip(&mut reader, 1).map_err(|error| match error {
                ContextError::Malformed(error) => malformed(error),
                error => out_of_bounds(error),
            })?,
        }
    }
    reader.end().map_err(malformed)?;
    identifier?;
    traits?;
    if identity.traits.len() > limits::MEMBERS {
        return Err(out_of_bounds(ContextError::TooManyMembers));
    }
    if identity.traits.iter().any(|sent| sent.key.len() > limits::NAME) {
        return Err(out_of_bounds(ContextError::NameTooLong));
    }
    Ok(identity)
}

/// More than anybody may send (DESIGN section 7).
fn out_of_bounds(error: ContextError) -> Rejection {
    Rejection::Invalid(format!("the body: {error}").into())
}

type Read<T> = Result<Result<T, Rejection>, Malformed>;

/// A missing identifier, null and the empty text all mean somebody without a name.
fn read_identifier<'a>(reader: &mut Reader<'a>) -> Read<Option<Cow<'a, str>>> {
    Ok(match reader.kind()? {
        Kind::String => Ok(Some(plain(reader.string()?)).filter(|text| !text.is_empty())),
        Kind::Null => {
            reader.skip()?;
            Ok(None)
        }
        _ => {
            reader.skip()?;
            Err(fault(&["body", "identifier"], "string_type", "the identifier is not text"))
        }
    })
}

fn read_traits<'a>(reader: &mut Reader<'a>, identity: &mut Identity<'a>) -> Read<()> {
    if reader.kind()? != Kind::Array {
        reader.skip()?;
        return Ok(Err(fault(&["body", "traits"], "list_type", "the traits are not a list")));
    }
    identity.traits.clear();
    let mut wrong = None;
    let mut first = true;
    reader.open_array()?;
    let inside = reader.position();
    // How long the list is where nothing is between its elements but commas.
    let (mut length, mut spelled_alike) = (0, true);
    while reader.next_element(&mut first)? {
        reader.kind()?;
        if let Some(read) = read_as_answers_spell(reader) {
            length += TRAIT_FRAME + read.key.len() + read.value.len() + 1;
            identity.traits.push(read);
            continue;
        }
        spelled_alike = false;
        match read_trait(reader, identity.traits.len())? {
            Ok(read) => identity.traits.push(read),
            Err(rejection) => wrong = wrong.or(Some(rejection)),
        }
    }
    let text = reader.since(inside);
    identity.verbatim = (spelled_alike && length == text.len()).then(|| &text[..length - 1]);
    Ok(wrong.map_or(Ok(()), Err))
}

/// Length of a trait beside its key and its value, in answers and in most requests.
const TRAIT_FRAME: usize = r#"{"trait_key":"","trait_value":}"#.len();

/// Reads a trait that is spelled as most SDKs do, and as answers do: no blanks, the key first and
/// without escapes, nothing else. None for any other, of which nothing is read then.
fn read_as_answers_spell<'a>(reader: &mut Reader<'a>) -> Option<Trait<'a>> {
    let mut ahead = reader.clone();
    if !ahead.take(r#"{"trait_key":"#) {
        return None;
    }
    let key = ahead.take_plain()?;
    if !ahead.take(r#","trait_value":"#) {
        return None;
    }
    let start = ahead.position();
    let mut text = None;
    match ahead.upcoming()? {
        b'"' => {
            text = ahead.take_plain();
            if text.is_none() {
                ahead.string().ok()?;
            }
        }
        b'-' | b'0'..=b'9' => drop(ahead.number().ok()?),
        b't' | b'f' | b'n' => drop(ahead.literal().ok()?),
        _ => return None,
    }
    let value = ahead.since(start);
    if is_too_long(value) || !ahead.take("}") {
        return None;
    }
    *reader = ahead;
    Some(Trait { key: Cow::Borrowed(key), value, text })
}

fn read_trait<'a>(reader: &mut Reader<'a>, index: usize) -> Read<Trait<'a>> {
    let place = |member: &'static str| {
        let mut place = vec!["body".into(), "traits".into(), index.to_string().into()];
        place.extend((!member.is_empty()).then_some(Cow::Borrowed(member)));
        place
    };
    let bad = |member, kind, message: &'static str| {
        Rejection::Unprocessable(Fault { place: place(member), message: message.into(), kind })
    };
    if reader.kind()? != Kind::Object {
        reader.skip()?;
        return Ok(Err(bad("", "model_attributes_type", "a trait is not an object")));
    }
    // Of each, the last member counts.
    let mut key = Err(("missing", "a trait has no key"));
    let mut value = Ok("null");
    let mut first = true;
    reader.open_object()?;
    while let Some(name) = reader.next_member(&mut first)? {
        match &*plain(name) {
            "trait_key" if reader.kind()? == Kind::String => key = Ok(plain(reader.string()?)),
            "trait_key" => {
                reader.skip()?;
                key = Err(("string_type", "the key of a trait is not text"));
            }
            "trait_value" => {
                let kind = reader.kind()?;
                let start = reader.position();
                reader.skip()?;
                let text = reader.since(start);
                value = if matches!(kind, Kind::Object | Kind::Array) {
                    let what = "the value of a trait is neither text nor number nor boolean";
                    Err(("string_type", what))
                } else if kind == Kind::String && is_too_long(text) {
                    Err(("string_too_long", "the value of a trait has more than 2000 characters"))
                } else {
                    Ok(text)
                };
            }
            _ => reader.skip()?,
        }
    }
    Ok(match (key, value) {
        (Err((kind, message)), _) => Err(bad("trait_key", kind, message)),
        (_, Err((kind, message))) => Err(bad("trait_value", kind, message)),
        (Ok(key), Ok(value)) => Ok(Trait { key, value, text: None }),
    })
}

/// The text of a token; copied only where it has escapes.
fn plain(text: Text<'_>) -> Cow<'_, str> {
    text.plain().map_or_else(
        || {
            let mut plain = String::with_capacity(text.raw_len());
            text.unescape_into(&mut plain);
            Cow::Owned(plain)
        },
        Cow::Borrowed,
    )
}

/// Whether a JSON string is longer than a trait may be. Most are shorter than that as they stand.
#[inline]
fn is_too_long(json: &str) -> bool {
    json.len() > TRAIT_TEXT + 2
        && serde_json::from_str::<String>(json).is_ok_and(|text| text.chars().count() > TRAIT_TEXT)
}

fn fault(place: &[&'static str], kind: &'static str, message: &'static str) -> Rejection {
    let place = place.iter().map(|&part| part.into()).collect();
    Rejection::Unprocessable(Fault { place, message: message.into(), kind })
}

/// The identity that `GET identities/` names.
pub fn identity_of_query(query: &str) -> Result<Identity<'_>, Rejection> {
    let identifier = last(query, "identifier")?;
    let missing = || fault(&["query", "identifier"], "missing", "the identifier is missing");
    Ok(Identity { identifier: Some(identifier.ok_or_else(missing)?), ..Identity::default() })
}

/// The feature that `GET flags/` is narrowed to. An empty name means all.
pub fn feature(query: &str) -> Result<Option<Cow<'_, str>>, Rejection> {
    if query.is_empty() {
        return Ok(None);
    }
    Ok(last(query, "feature")?.filter(|name| !name.is_empty()))
}

/// The last parameter of a name.
fn last<'a>(query: &'a str, name: &'static str) -> Result<Option<Cow<'a, str>>, Rejection> {
    let mut found = None;
    for parameter in Parameters(query) {
        if !parameter.escaped {
            if parameter.name == name {
                found = Some(Cow::Borrowed(parameter.value));
            }
        } else if decode(parameter.name).as_deref() == Some(name) {
            let value = decode(parameter.value);
            let undecodable =
                || fault(&["query"], "string_type", "a parameter is not encoded UTF-8");
            found = Some(value.ok_or_else(undecodable)?);
        }
    }
    Ok(found)
}

/// A name for somebody without one: the same for equal traits, and one of its own for each who has
/// none (flagsmith.md section 3.3, transient identities).
pub fn anonymous_identifier(traits: &[Trait<'_>]) -> Result<String, Rejection> {
    let mut last: BTreeMap<&str, &str> = BTreeMap::new();
    for sent in traits {
        last.insert(&sent.key, sent.value);
    }
    if last.is_empty() {
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|_| Rejection::Internal)?;
        return Ok(hex(&random));
    }
    let mut hash = Sha256::new();
    let mut text = String::new();
    for (key, value) in last.into_iter().filter(|(_, value)| *value != "null") {
        hash.update(key.as_bytes());
        text.clear();
        write_as_python(scalar(value, &mut String::new()), &mut text);
        hash.update(text.as_bytes());
    }
    Ok(hex(&hash.finalize()))
}

/// Appends a scalar as Python prints it.
fn write_as_python(value: Scalar<'_>, out: &mut String) {
    match value {
        Scalar::Null => out.push_str("None"),
        Scalar::Bool(true) => out.push_str("True"),
        Scalar::Bool(false) => out.push_str("False"),
        Scalar::Number(number) if python::is_integer(number) => python::write_integer(number, out),
        Scalar::Number(number) => python::write_float(number.parse().unwrap_or(f64::NAN), out),
        Scalar::Text(text) => out.push_str(text),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A trait's value as the engine takes it. Escaped text is undone in `buffer`.
pub fn scalar<'a>(json: &'a str, buffer: &'a mut String) -> Scalar<'a> {
    match json.as_bytes().first() {
        Some(b'"') => match Reader::new(json).string() {
            Ok(text) => {
                if let Some(plain) = text.plain() {
                    return Scalar::Text(plain);
                }
                buffer.clear();
                text.unescape_into(buffer);
                Scalar::Text(buffer)
            }
            Err(_) => Scalar::Null,
        },
        Some(b't') => Scalar::Bool(true),
        Some(b'f') => Scalar::Bool(false),
        Some(b'-' | b'0'..=b'9') => Scalar::Number(json),
        _ => Scalar::Null,
    }
}

/// Writes an identity into a context for Reflag's rules (DESIGN section 4): traits are attributes of
/// the user, save those named `company.X` and `other.X`; `company_id` or `companyId` names the
/// company where nothing else does.
pub fn write_identity(
    class: KeyClass,
    identity: &Identity<'_>,
    identifier: &str,
    writer: &mut ContextWriter<'_>,
) -> Result<(), ContextError> {
    let mut buffer = String::new();
    for alias in ["companyId", "company_id"] {
        for sent in identity.traits.iter().filter(|sent| sent.key == alias) {
            write_trait(Part::Company, "id", sent, writer, &mut buffer)?;
        }
    }
    for sent in &identity.traits {
        let part =
            |part: Part| Some((part, sent.key.strip_prefix(part.name())?.strip_prefix('.')?));
        let (part, path) =
            part(Part::Company).or_else(|| part(Part::Other)).unwrap_or((Part::User, &sent.key));
        // A trait that reads as a path counts only from those who hold a secret key, as it does with
        // Flagsmith's own rules.
        if class == KeyClass::Secret || !is_path(&sent.key) {
            write_trait(part, path, sent, writer, &mut buffer)?;
        }
    }
    writer.set_user_id(identifier);
    Ok(())
}

/// Null means that there is no such trait.
fn write_trait(
    part: Part,
    path: &str,
    sent: &Trait<'_>,
    writer: &mut ContextWriter<'_>,
    buffer: &mut String,
) -> Result<(), ContextError> {
    match scalar(sent.value, buffer) {
        Scalar::Null => Ok(()),
        value => writer.set(part, path, value),
    }
}

/// Checks a report of how often flags were asked for and counts the evaluations in it
/// (flagsmith.md section 16). Counts that are no numbers are skipped, as the vendor's API does.
pub fn check_analytics(form: u8, body: &[u8]) -> Result<u64, Rejection> {
    #[derive(Deserialize)]
    struct Evaluation {
        #[serde(default)]
        count: Value,
    }
    #[derive(Deserialize)]
    struct Second {
        evaluations: Vec<Evaluation>,
    }
    let unreadable =
        |_| Rejection::Invalid("the body does not say how often flags were asked for".into());
    let count = |value: &Value| value.as_u64().unwrap_or(0);
    Ok(if form == 1 {
        let counts: BTreeMap<String, Value> = serde_json::from_slice(body).map_err(unreadable)?;
        counts.values().map(count).fold(0, u64::saturating_add)
    } else {
        let second: Second = serde_json::from_slice(body).map_err(unreadable)?;
        second.evaluations.iter().map(|e| count(&e.count)).fold(0, u64::saturating_add)
    })
}

/// Status and body of a refusal (DESIGN section 3, flagsmith.md section 4).
pub fn reject(rejection: &Rejection) -> (u16, String) {
    let message = rejection.message();
    match rejection {
        Rejection::UnknownKey => {
            (401, json!({"status": "unauthorized", "message": "unknown key"}).to_string())
        }
        Rejection::Forbidden(Forbidden::SecretRequired | Forbidden::SecretInUrl) => {
            (401, json!({"status": "unauthorized", "message": message}).to_string())
        }
        Rejection::NotReady | Rejection::Stale => {
            let message = "Environment not loaded";
            (503, json!({"status": "service_unavailable", "message": message}).to_string())
        }
        Rejection::Unprocessable(Fault { place, message, kind }) => {
            let index = |part: &Cow<'static, str>| match part.parse::<usize>() {
                Ok(index) => json!(index),
                Err(_) => json!(part),
            };
            let place: Vec<_> = place.iter().map(index).collect();
            (422, json!({"detail": [{"loc": place, "msg": message, "type": kind}]}).to_string())
        }
        other => {
            let body = json!({"status": status_word(other), "message": message});
            (other.status(), body.to_string())
        }
    }
}

fn status_word(rejection: &Rejection) -> &'static str {
    match rejection.status() {
        404 => "not_found",
        405 => "method_not_allowed",
        408 => "request_timeout",
        413 | 414 | 431 => "too_large",
        415 => "unsupported_media_type",
        500 => "internal_error",
        501 => "not_implemented",
        503 => "service_unavailable",
        _ => "bad_request",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traits(list: &str) -> String {
        format!(r#"{{"traits":{list},"identifier":"i"}}"#)
    }

    #[test]
    fn traits_that_are_spelled_as_answers_spell_them_are_echoed_as_they_came() {
        let one = r#"{"trait_key":"a","trait_value":"x"}"#;
        let escaped =
            r#"{"trait_key":"a","trait_value":"\u00e9\""},{"trait_key":"é","trait_value":true}"#;
        let numbers =
            r#"{"trait_key":"","trait_value":null},{"trait_key":"b","trait_value":-1.50e3}"#;
        for list in [one, &format!("{one},{one}"), numbers, escaped] {
            let body = traits(&format!("[{list}]"));
            let identity = read_members(&body).unwrap();
            assert_eq!(identity.verbatim, Some(list));
            let own = identity.traits.iter().map(|sent| sent.key.len() + sent.value.len());
            let frames = identity.traits.len() * (TRAIT_FRAME + 1) - 1;
            assert_eq!(own.sum::<usize>() + frames, list.len());
        }
    }

    #[test]
    fn other_spellings_are_read_alike_and_spelled_anew() {
        for list in [
            r#"[ {"trait_key":"a","trait_value":"x"}]"#,
            r#"[{"trait_key":"a","trait_value":"x"} ]"#,
            r#"[{"trait_key": "a","trait_value":"x"}]"#,
            r#"[{"trait_key":"a","trait_value": "x"}]"#,
            r#"[{"trait_key":"a","trait_value":"x" }]"#,
            r#"[{"trait_value":"x","trait_key":"a"}]"#,
            r#"[{"trait_key":"\u0061","trait_value":"x"}]"#,
            r#"[{"trait_key":"a","trait_value":"x","transient":true}]"#,
            r#"[{"trait_key":"b","trait_key":"a","trait_value":"x"}]"#,
        ] {
            let body = traits(list);
            let identity = read_members(&body).unwrap();
            assert_eq!(identity.verbatim, None, "{list}");
            assert_eq!(identity.traits.len(), 1, "{list}");
            let sent = &identity.traits[0];
            assert_eq!((&*sent.key, sent.value), ("a", r#""x""#), "{list}");
            assert_eq!(sent.scalar(&mut String::new()), Scalar::Text("x"));
        }
        assert_eq!(read_members(&traits("[]")).unwrap().verbatim, None);
    }

    #[test]
    fn of_two_lists_of_traits_the_later_counts() {
        let body = r#"{"traits":[{"trait_key":"a","trait_value":1}],"traits":[ ]}"#;
        let identity = read_members(body).unwrap();
        assert_eq!((identity.traits.len(), identity.verbatim), (0, None));
    }

    #[test]
    fn of_members_of_one_name_the_last_counts_whatever_the_others_are() {
        for body in [
            r#"{"identifier":1,"identifier":"b"}"#,
            r#"{"identifier":"b","traits":null,"traits":[]}"#,
            r#"{"identifier":"b","traits":[7],"traits":[]}"#,
        ] {
            assert_eq!(read_members(body).unwrap().identifier.as_deref(), Some("b"), "{body}");
        }
        for one in [
            r#"{"trait_key":7,"trait_key":"a","trait_value":1}"#,
            r#"{"trait_key":"a","trait_value":[],"trait_value":1}"#,
        ] {
            let body = traits(&format!("[{one}]"));
            let identity = read_members(&body).unwrap();
            assert_eq!((&*identity.traits[0].key, identity.traits[0].value), ("a", "1"));
        }
        for body in [
            r#"{"identifier":"b","identifier":1}"#,
            r#"{"traits":[],"traits":null,"identifier":"b"}"#,
            r#"{"identifier":"b","traits":[{"trait_key":"a","trait_key":7}]}"#,
            r#"{"identifier":"b","traits":[{"trait_key":"a","trait_value":1,"trait_value":{}}]}"#,
        ] {
            assert!(matches!(read_members(body), Err(Rejection::Unprocessable(_))), "{body}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_trait_is_told_whatever_comes_before_it() {
        let fine = r#"{"trait_key":"a","trait_value":1}"#;
        let long = format!(r#"{{"trait_key":"b","trait_value":"{}"}}"#, "x".repeat(TRAIT_TEXT + 1));
        for (bad, kind) in [
            (r#"{"trait_key":"b","trait_value":[1]}"#, "string_type"),
            (r#"{"trait_key":7,"trait_value":1}"#, "string_type"),
            (r#"{"trait_value":1}"#, "missing"),
            (&*long, "string_too_long"),
            ("7", "model_attributes_type"),
        ] {
            let refusal = read_members(&traits(&format!("[{fine},{bad}]"))).unwrap_err();
            let Rejection::Unprocessable(fault) = refusal else { unreachable!("{bad}") };
            assert_eq!((fault.kind, &*fault.place[2]), (kind, "1"), "{bad}");
        }
        let refusal = read_members(&traits(&format!("[{fine}{fine}]"))).unwrap_err();
        assert!(matches!(refusal, Rejection::Invalid(_)));
    }
}
