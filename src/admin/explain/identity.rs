//! Whom a context means to Flagsmith's rules (DESIGN section 4, "towards").
//!
//! Two forms are read: `{"user":{},"company":{},"other":{}}`, whose attributes become traits, and
//! what is sent to `identities/`, with the traits as an object or as a list.

use std::borrow::Cow;

use serde_json::{Value, json};

use super::ExplainError;
use crate::dialect::flagsmith::mapping::{Identity, Trait, anonymous_identifier};
use crate::evaluate::{ContextError, javascript, limits};
use crate::json::{Kind, Malformed, Reader, Text};

/// Who is asked about.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    /// None for nobody in particular, of whom nothing is known either.
    pub(super) identifier: Option<String>,
    /// Whether the identifier was made from the traits, as for anybody who has none.
    is_anonymous: bool,
    /// The traits, and what an answer repeats of them.
    pub(super) sent: Identity<'a>,
}

impl Asked<'_> {
    /// As an explanation tells it.
    pub(super) fn describe(&self) -> Value {
        let Some(identifier) = &self.identifier else { return Value::Null };
        json!({"identifier": identifier, "anonymous": self.is_anonymous})
    }
}

/// Reads a context of either form.
pub(super) fn read(json: &str) -> Result<Asked<'_>, ExplainError> {
    let mut reading = Reading { reader: Reader::new(json), members: 0 };
    let sent = reading.context()?;
    let own = sent.identifier.as_deref().map(str::to_owned);
    let is_anonymous = own.is_none() && !sent.traits.is_empty();
    let identifier = if is_anonymous {
        let unnamed = |_| ExplainError::Identity("no identifier can be made up".to_owned());
        Some(anonymous_identifier(&sent.traits).map_err(unnamed)?)
    } else {
        own
    };
    Ok(Asked { identifier, is_anonymous, sent })
}

struct Reading<'a> {
    reader: Reader<'a>,
    members: usize,
}

/// A path of names and the scalar that it leads to.
type Attribute<'a> = (String, &'a str);

impl<'a> Reading<'a> {
    fn context(&mut self) -> Result<Identity<'a>, ExplainError> {
        if self.kind()? != Kind::Object {
            return Err(ContextError::NotAnObject.into());
        }
        let (mut own, mut attributes) = (None::<Identity<'a>>, Vec::new());
        let mut first = true;
        self.reader.open_object().map_err(ContextError::from)?;
        while let Some(name) = self.member(&mut first)? {
            match &*name {
                "identifier" => {
                    own.get_or_insert_default().identifier = self.identifier("identifier")?;
                }
                "traits" => own.get_or_insert_default().traits = self.traits()?.into(),
                "transient" => self.reader.skip().map_err(ContextError::from)?,
                _ => self.flatten(name.into_owned(), 1, &mut attributes)?,
            }
        }
        self.reader.end().map_err(ContextError::from)?;
        match own {
            None => of_attributes(attributes),
            Some(own) if attributes.is_empty() => Ok(own),
            Some(_) => Err(ExplainError::Identity(format!(
                "`identifier` and `traits` are one form and `{}` is of another; send one of them",
                attributes[0].0
            ))),
        }
    }

    fn kind(&mut self) -> Result<Kind, ContextError> {
        Ok(self.reader.kind()?)
    }

    fn member(&mut self, first: &mut bool) -> Result<Option<Cow<'a, str>>, ContextError> {
        let Some(name) = self.reader.next_member(first)? else { return Ok(None) };
        self.members += 1;
        if self.members > limits::MEMBERS {
            return Err(ContextError::TooManyMembers);
        }
        Ok(Some(plain(name)))
    }

    fn scalar(&mut self) -> Result<&'a str, Malformed> {
        self.reader.kind()?;
        let start = self.reader.position();
        self.reader.skip()?;
        Ok(self.reader.since(start))
    }

    fn identifier(&mut self, place: &str) -> Result<Option<Cow<'a, str>>, ExplainError> {
        if matches!(self.kind()?, Kind::Object | Kind::Array) {
            return Err(ExplainError::Identity(format!("`{place}` is neither text nor a number")));
        }
        Ok(identifier_of(self.scalar().map_err(ContextError::from)?))
    }

    /// Scalars below a value, by their paths: names joined by dots, numbers for elements.
    fn flatten(
        &mut self,
        path: String,
        depth: usize,
        found: &mut Vec<Attribute<'a>>,
    ) -> Result<(), ContextError> {
        if path.len() > limits::NAME {
            return Err(ContextError::NameTooLong);
        }
        let kind = self.kind()?;
        if matches!(kind, Kind::Object | Kind::Array) && depth >= limits::DEPTH {
            return Err(ContextError::TooDeep);
        }
        let below =
            |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        let mut first = true;
        match kind {
            Kind::Object => {
                self.reader.open_object()?;
                while let Some(name) = self.member(&mut first)? {
                    self.flatten(below(&name), depth + 1, found)?;
                }
            }
            Kind::Array => {
                self.reader.open_array()?;
                for index in 0.. {
                    if !self.reader.next_element(&mut first)? {
                        break;
                    }
                    self.members += 1;
                    if self.members > limits::MEMBERS {
                        return Err(ContextError::TooManyMembers);
                    }
                    self.flatten(below(&index.to_string()), depth + 1, found)?;
                }
            }
            _ => {
                let value = self.scalar()?;
                found.push((path, value));
            }
        }
        Ok(())
    }

    /// An object of traits, or a list as it is sent to `identities/`.
    fn traits(&mut self) -> Result<Vec<Trait<'a>>, ExplainError> {
        match self.kind()? {
            Kind::Object => {
                let mut found = Vec::new();
                self.flatten(String::new(), 1, &mut found)?;
                Ok(found.into_iter().map(|(key, value)| Trait::new(key, value)).collect())
            }
            Kind::Array => self.list_of_traits(),
            Kind::Null => {
                self.scalar().map_err(ContextError::from)?;
                Ok(Vec::new())
            }
            _ => Err(ExplainError::Identity("`traits` is neither an object nor a list".to_owned())),
        }
    }

    fn list_of_traits(&mut self) -> Result<Vec<Trait<'a>>, ExplainError> {
        let mut traits = Vec::new();
        let mut first = true;
        self.reader.open_array().map_err(ContextError::from)?;
        while self.reader.next_element(&mut first).map_err(ContextError::from)? {
            let mut found = Vec::new();
            self.flatten(String::new(), 2, &mut found)?;
            let member = |wanted: &str| found.iter().rev().find(|(name, _)| name == wanted);
            let key = member("trait_key").filter(|(_, value)| value.starts_with('"'));
            let Some((_, key)) = key else {
                let at = traits.len();
                let what = format!("`traits[{at}]` has no `trait_key` that is text");
                return Err(ExplainError::Identity(what));
            };
            let key = identifier_of(key).unwrap_or_default();
            let value = member("trait_value").map_or("null", |(_, value)| value);
            traits.push(Trait::new(key, value));
        }
        Ok(traits)
    }
}

/// Attributes of a user, a company and the rest, as traits. A user's own come before those of the
/// rest.
fn of_attributes(attributes: Vec<Attribute<'_>>) -> Result<Identity<'_>, ExplainError> {
    let mut identity = Identity::default();
    let mut of_user = Vec::new();
    let mut of_others = Vec::new();
    for (path, value) in attributes {
        match path.split_once('.') {
            Some(("user", "id")) => identity.identifier = identifier_of(value),
            Some(("user", name)) => of_user.push(Trait::new(name.to_owned(), value)),
            Some(("other", name)) => of_others.push(Trait::new(name.to_owned(), value)),
            Some(("company", _)) => of_others.push(Trait::new(path, value)),
            None if value == "null" && ["user", "company", "other"].contains(&&*path) => {}
            _ => {
                let what = format!(
                    "`{path}` is below neither `user`, `company` nor `other`, so no rule of Flagsmith's can see it"
                );
                return Err(ExplainError::Identity(what));
            }
        }
    }
    of_user.retain(|own| own.value != "null");
    of_others.retain(|other| of_user.iter().all(|own| own.key != other.key));
    identity.traits = of_others.into_iter().chain(of_user).collect();
    Ok(identity)
}

/// Text as it is, numbers as a query spells them. Nobody is named by null or by empty text.
fn identifier_of(scalar: &str) -> Option<Cow<'_, str>> {
    let text = match scalar.as_bytes().first() {
        Some(b'"') => Reader::new(scalar).string().map(plain).unwrap_or_default(),
        Some(b'n') => return None,
        Some(b't' | b'f') => Cow::Borrowed(scalar),
        _ => {
            let mut text = String::new();
            javascript::number::write_json(scalar, &mut text);
            Cow::Owned(text)
        }
    };
    Some(text).filter(|text| !text.is_empty())
}

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

#[cfg(test)]
mod tests {
    use super::read;

    /// The identifier, and the traits as they were spelled.
    fn told(context: &str) -> Result<(Option<String>, String), String> {
        let asked = read(context).map_err(|error| error.to_string())?;
        let traits = asked.sent.traits.iter().map(|sent| format!("{}={}", sent.key, sent.value));
        let own = asked.identifier.filter(|_| !asked.is_anonymous);
        Ok((own, traits.collect::<Vec<_>>().join(" ")))
    }

    #[test]
    fn both_forms_name_an_identity() {
        for (context, identifier, traits) in [
            (r#"{"user":{"id":"ada","plan":"gold"}}"#, Some("ada"), r#"plan="gold""#),
            (r#"{"user.id":"ada","user":{"a":{"b":1.0}}}"#, Some("ada"), "a.b=1.0"),
            (r#"{"user":{"id":42}}"#, Some("42"), ""),
            (r#"{"user":{"id":1.0}}"#, Some("1"), ""),
            (r#"{"user":{"id":null},"company":null}"#, None, ""),
            (
                r#"{"user":{"id":"u","x":1},"company":{"id":7,"x":2},"other":{"x":3,"y":true}}"#,
                Some("u"),
                "company.id=7 company.x=2 y=true x=1",
            ),
            (r#"{"user":{"x":null},"other":{"x":3,"l":[1,"a"]}}"#, None, r#"x=3 l.0=1 l.1="a""#),
            (r#"{"identifier":"ada","traits":{"plan":"gold"}}"#, Some("ada"), r#"plan="gold""#),
            (
                r#"{"identifier":"ada","transient":true,"traits":[{"trait_key":"a","trait_value":1},{"trait_key":"b"}]}"#,
                Some("ada"),
                "a=1 b=null",
            ),
            (r#"{"identifier":"\u0061","traits":null}"#, Some("a"), ""),
            ("{}", None, ""),
        ] {
            let expected = (identifier.map(str::to_owned), traits.to_owned());
            assert_eq!(told(context), Ok(expected), "{context}");
        }
    }

    #[test]
    fn whoever_has_traits_and_no_name_gets_the_name_that_the_vendor_would_give() {
        let one = read(r#"{"traits":{"a":1}}"#).unwrap();
        let other = read(r#"{"user":{"a":1}}"#).unwrap();
        assert!(one.is_anonymous && one.identifier.is_some());
        assert_eq!(one.identifier, other.identifier);
        assert_eq!(read("{}").unwrap().identifier, None);
    }

    #[test]
    fn what_names_no_identity_is_refused_with_the_reason() {
        let deep = format!("{{\"user\":{}1{}}}", "{\"a\":".repeat(40), "}".repeat(40));
        let many = format!("{{\"user\":[{}1]}}", "1,".repeat(1_000));
        let long = format!("{{\"user\":{{\"{}\":1}}}}", "n".repeat(300));
        for (context, reason) in [
            ("[]", "it must be a JSON object"),
            ("{", "not valid JSON"),
            (r#"{"plan":"gold"}"#, "`plan` is below neither `user`"),
            (r#"{"user":"ada"}"#, "`user` is below neither"),
            (r#"{"user":{"id":"a"},"traits":{}}"#, "send one of them"),
            (r#"{"identifier":{}}"#, "`identifier` is neither text nor a number"),
            (r#"{"identifier":"a","traits":"x"}"#, "`traits` is neither"),
            (r#"{"identifier":"a","traits":[{"trait_value":1}]}"#, "`traits[0]` has no"),
            (r#"{"identifier":"a","traits":[{"trait_key":1}]}"#, "`traits[0]` has no"),
            (&deep, "nested deeper"),
            (&many, "more than 1000 members"),
            (&long, "longer than 256 bytes"),
        ] {
            let told = told(context).expect_err(context);
            assert!(told.contains(reason), "{context}: {told}");
        }
    }
}
