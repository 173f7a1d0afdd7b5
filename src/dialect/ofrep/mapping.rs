//! Body to evaluation context, refusal to error body (ofrep.md sections 2, 4 and 9).
//!
//! | in the context | is |
//! |---|---|
//! | `targetingKey`, else `user.id`, else `userId` | the user's id |
//! | `company.id`, else `companyId`, else `company` where it is text | the company's id |
//! | `user`, `company`, `other` | the members of the part |
//! | `user.X`, `company.X`, `other.X` | one member of it |
//! | `traits` | members of the user, after those of `user` |
//! | `companyName`, `companyAvatar`, `companyPlan` | `name`, `avatar`, `plan` of the company |
//! | any other `X` | `X` of other, and of the user unless it is there already |
//! | `transient`, with Flagsmith's rules | nothing: an order to store no identity |

use std::borrow::Cow;

use crate::dialect::Rejection;
use crate::evaluate::flagsmith::Scalar;
use crate::evaluate::{Bounds, ContextError, ContextWriter, Part};
use crate::json::{Kind, Malformed, Reader, Text, write_string};

/// Longest text of a trait in characters.
const TRAIT_TEXT: usize = 2_000;

/// Where the members of a context are. Reused from request to request.
#[derive(Debug, Default)]
pub struct Members(Vec<Member>);

#[derive(Clone, Copy, Debug)]
struct Member {
    /// Where its name begins, and its value.
    name: u32,
    value: u32,
    kind: Kind,
    role: Role,
}

/// What a member of the context is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    TargetingKey,
    /// The whole part.
    Whole(Part),
    /// One member of the part; its name follows after so many bytes.
    Dotted(Part, usize),
    Traits,
    /// Another name for a member of the company.
    Alias(&'static str),
    UserId,
    Transient,
    Other,
}

fn role(name: &str, kind: Kind) -> Role {
    let dotted = |part: Part| {
        let rest = name.strip_prefix(part.name())?.strip_prefix('.')?;
        (!rest.is_empty()).then_some(Role::Dotted(part, part.name().len() + 1))
    };
    match name {
        "targetingKey" => Role::TargetingKey,
        "user" if kind == Kind::Object => Role::Whole(Part::User),
        "company" if kind == Kind::Object => Role::Whole(Part::Company),
        "other" if kind == Kind::Object => Role::Whole(Part::Other),
        "traits" if kind == Kind::Object => Role::Traits,
        "company" if kind == Kind::String => Role::Alias("id"),
        "companyId" => Role::Alias("id"),
        "companyName" => Role::Alias("name"),
        "companyAvatar" => Role::Alias("avatar"),
        "companyPlan" => Role::Alias("plan"),
        "userId" => Role::UserId,
        "transient" => Role::Transient,
        _ => [Part::User, Part::Company, Part::Other]
            .into_iter()
            .find_map(dotted)
            .unwrap_or(Role::Other),
    }
}

/// Reads a request's body into a context. An empty body, no context and null are an empty one.
pub fn read_body(
    body: &[u8],
    writer: &mut ContextWriter<'_>,
    members: &mut Members,
) -> Result<(), Rejection> {
    if body.trim_ascii().is_empty() {
        return Ok(());
    }
    let text = std::str::from_utf8(body).map_err(|_| invalid("the body is not UTF-8"))?;
    let malformed = |error: Malformed| invalid(format!("the body is not valid JSON: {error}"));
    let mut reader = Reader::new(text);
    if reader.kind().map_err(malformed)? != Kind::Object {
        reader.skip().and_then(|()| reader.end()).map_err(malformed)?;
        return Err(invalid("the body must be a JSON object"));
    }
    let mut context = None;
    let mut first = true;
    reader.open_object().map_err(malformed)?;
    while let Some(name) = reader.next_member(&mut first).map_err(malformed)? {
        let kind = reader.kind().map_err(malformed)?;
        if name.is("context") {
            context = Some((kind, reader.clone()));
        }
        reader.skip().map_err(malformed)?;
    }
    reader.end().map_err(malformed)?;
    match context {
        None | Some((Kind::Null, _)) => Ok(()),
        Some((Kind::Object, reader)) => read_context(text, reader, writer, members)
            .map_err(|error| invalid(format!("context: {error}"))),
        Some(_) => Err(invalid("`context` must be an object")),
    }
}

/// Why a context is refused.
#[derive(Debug, thiserror::Error)]
enum Unreadable {
    #[error(transparent)]
    Context(#[from] ContextError),
    #[error("`targetingKey` must be text")]
    TargetingKey,
}

impl From<Malformed> for Unreadable {
    fn from(error: Malformed) -> Self {
        Self::Context(error.into())
    }
}

fn invalid(message: impl Into<Cow<'static, str>>) -> Rejection {
    Rejection::Invalid(message.into())
}

fn read_context(
    text: &str,
    mut reader: Reader<'_>,
    writer: &mut ContextWriter<'_>,
    Members(members): &mut Members,
) -> Result<(), Unreadable> {
    let mut bounds = Bounds::default();
    let mut buffer = String::new();
    members.clear();
    let mut first = true;
    reader.open_object()?;
    while let Some((at, name)) = reader.next_member_at(&mut first)? {
        bounds.member(name)?;
        let kind = reader.kind()?;
        let value = reader.position();
        bounds.skip(&mut reader, 0)?;
        let role = match role(plain(name, &mut buffer), kind) {
            // Where its prefix ends is only known of a name without escapes.
            Role::Dotted(..) if name.plain().is_none() => Role::Other,
            role => role,
        };
        members.push(Member { name: at as u32, value: value as u32, kind, role });
    }
    writer.longest_text = Some(TRAIT_TEXT);
    Context { text, members }.write(writer, &mut buffer)
}

/// The text of a token; copied only where it has escapes.
fn plain<'a>(text: Text<'a>, buffer: &'a mut String) -> &'a str {
    if let Some(plain) = text.plain() {
        return plain;
    }
    buffer.clear();
    text.unescape_into(buffer);
    buffer
}

struct Context<'a> {
    text: &'a str,
    members: &'a [Member],
}

impl<'a> Context<'a> {
    /// Writes everything, what counts less before what counts more.
    fn write(&self, writer: &mut ContextWriter<'_>, buffer: &mut String) -> Result<(), Unreadable> {
        let is_flagsmith = writer.is_flagsmith();
        let generic = |role: Role| match role {
            Role::Alias(_) | Role::UserId | Role::Other => true,
            Role::Transient => !is_flagsmith,
            Role::TargetingKey | Role::Whole(_) | Role::Dotted(..) | Role::Traits => false,
        };
        self.each(generic, |name, value| writer.set_json(Part::Other, name, value))?;
        self.part(Part::Other, writer)?;
        self.each(generic, |name, value| set_user_attribute(writer, name, value))?;
        self.each(|role| role == Role::Traits, |_, value| set_traits(writer, value))?;
        self.each(|role| role == Role::UserId, |_, value| writer.set_user_id_json(value))?;
        self.part(Part::User, writer)?;
        for alias in ["id", "name", "avatar", "plan"] {
            self.alias(alias, writer, buffer)?;
        }
        self.part(Part::Company, writer)?;
        self.targeting_key(writer)
    }

    fn value(&self, member: &Member) -> Reader<'a> {
        Reader::at(self.text, member.value as usize)
    }

    /// Hands the members of some roles on, in the order in which they were sent.
    fn each(
        &self,
        wanted: impl Fn(Role) -> bool,
        mut write: impl FnMut(Text<'a>, &mut Reader<'a>) -> Result<(), ContextError>,
    ) -> Result<(), ContextError> {
        for member in self.members.iter().filter(|member| wanted(member.role)) {
            let name = Reader::at(self.text, member.name as usize).string()?;
            write(name, &mut self.value(member))?;
        }
        Ok(())
    }

    /// What is said of a part by its own name.
    fn part(&self, part: Part, writer: &mut ContextWriter<'_>) -> Result<(), ContextError> {
        for member in self.members {
            match member.role {
                Role::Whole(whole) if whole == part => {
                    writer.set_part(part, &mut self.value(member))?;
                }
                Role::Dotted(dotted, prefix) if dotted == part => {
                    let name = Reader::at(self.text, member.name as usize).string()?.from(prefix);
                    let mut value = self.value(member);
                    if part == Part::User && name.is("id") {
                        writer.set_user_id_json(&mut value)?;
                    } else {
                        writer.set_json(part, name, &mut value)?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn alias(
        &self,
        alias: &'static str,
        writer: &mut ContextWriter<'_>,
        buffer: &mut String,
    ) -> Result<(), ContextError> {
        // `company` as text counts less than `companyId`.
        let wanted = |member: &&Member| member.role == Role::Alias(alias);
        let is_short = |member: &&Member| self.name_is(member, "company");
        let (short, long): (Vec<_>, Vec<_>) =
            self.members.iter().filter(wanted).partition(is_short);
        for member in short.into_iter().chain(long) {
            set_scalar(writer, Part::Company, alias, &mut self.value(member), buffer)?;
        }
        Ok(())
    }

    fn name_is(&self, member: &Member, name: &str) -> bool {
        let read = Reader::at(self.text, member.name as usize).string();
        read.is_ok_and(|text| text.is(name))
    }

    fn targeting_key(&self, writer: &mut ContextWriter<'_>) -> Result<(), Unreadable> {
        for member in self.members.iter().filter(|member| member.role == Role::TargetingKey) {
            match member.kind {
                Kind::String => writer.set_user_id_json(&mut self.value(member))?,
                Kind::Null => {}
                _ => return Err(Unreadable::TargetingKey),
            }
        }
        Ok(())
    }
}

/// An attribute of the user that is not said to be one. One called `id` is not who they are, though
/// it may be a trait.
fn set_user_attribute(
    writer: &mut ContextWriter<'_>,
    name: Text<'_>,
    value: &mut Reader<'_>,
) -> Result<(), ContextError> {
    if !writer.is_flagsmith() && name.is("id") {
        return Ok(value.skip()?);
    }
    writer.set_json(Part::User, name, value)
}

fn set_traits(writer: &mut ContextWriter<'_>, traits: &mut Reader<'_>) -> Result<(), ContextError> {
    let mut first = true;
    traits.open_object()?;
    while let Some(name) = traits.next_member(&mut first)? {
        set_user_attribute(writer, name, traits)?;
    }
    Ok(())
}

fn set_scalar(
    writer: &mut ContextWriter<'_>,
    part: Part,
    path: &str,
    reader: &mut Reader<'_>,
    buffer: &mut String,
) -> Result<(), ContextError> {
    let value = match reader.kind()? {
        Kind::String => Scalar::Text(plain(reader.string()?, buffer)),
        Kind::Number => Scalar::Number(reader.number()?),
        Kind::True => Scalar::Bool(true),
        Kind::False => Scalar::Bool(false),
        Kind::Null | Kind::Object | Kind::Array => return Ok(()),
    };
    writer.set(part, path, value)
}

/// Appends a failure: of one flag when it has a key, else of the whole request.
pub(super) fn write_failure(key: Option<&str>, code: &str, details: &str, out: &mut String) {
    out.push('{');
    if let Some(key) = key {
        out.push_str("\"key\":");
        write_string(key, out);
        out.push(',');
    }
    out.push_str("\"errorCode\":");
    write_string(code, out);
    out.push_str(",\"errorDetails\":");
    write_string(details, out);
    out.push_str(",\"metadata\":{}}");
}

/// Status and body of a refusal (DESIGN section 3). Where one flag was asked for, its key is told:
/// clients take a failure without it for another error.
pub fn reject(rejection: &Rejection, path: &str) -> (u16, String) {
    let code = match rejection {
        Rejection::Invalid(_) => "INVALID_CONTEXT",
        Rejection::UnknownFlag(_) => "FLAG_NOT_FOUND",
        Rejection::BrokenFlag => "PARSE_ERROR",
        _ => "GENERAL",
    };
    let details = match rejection {
        Rejection::UnknownFlag(key) => format!("there is no flag `{key}`").into(),
        other => other.message(),
    };
    let mut body = String::new();
    write_failure(super::routes::key(path).as_deref(), code, &details, &mut body);
    (rejection.status(), body)
}
