//! Reads bodies and files member by member, and notes all that is wrong with one, not only the
//! first thing.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use super::Refusal;
use crate::origin::store::Issues;

/// Notes issues.
#[derive(Debug, Default)]
pub(in crate::origin) struct Checker {
    issues: Issues,
}

/// An object, and where it stands.
#[derive(Clone, Debug)]
pub(in crate::origin) struct Object<'a> {
    members: &'a Map<String, Value>,
    path: String,
}

impl<'a> Object<'a> {
    /// A member, if it is there.
    pub(in crate::origin) fn get(&self, name: &str) -> Option<&'a Value> {
        self.members.get(name)
    }

    /// The path of a member.
    pub(in crate::origin) fn path_of(&self, name: &str) -> String {
        below(&self.path, name)
    }
}

/// The path of what stands below another.
pub(in crate::origin) fn below(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

impl Checker {
    pub(in crate::origin) fn add(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.issues.push((path.into(), message.into()));
    }

    /// `Err` when there was anything wrong.
    pub(in crate::origin) fn finish(self) -> Result<(), Refusal> {
        if self.issues.is_empty() { Ok(()) } else { Err(Refusal::invalid(self.issues)) }
    }

    /// The same for whoever shows the issues by themselves.
    pub(in crate::origin) fn into_issues(self) -> Issues {
        self.issues
    }

    pub(in crate::origin) fn object<'a>(
        &mut self,
        value: &'a Value,
        path: &str,
    ) -> Option<Object<'a>> {
        let object = value.as_object().map(|members| Object { members, path: path.to_owned() });
        if object.is_none() {
            self.add(path, "Must be an object");
        }
        object
    }

    /// Refuses members that mean nothing: a typing error must not be taken for "leave it".
    pub(in crate::origin) fn only(&mut self, object: &Object<'_>, known: &[&str]) {
        for name in object.members.keys().filter(|name| !known.contains(&name.as_str())) {
            self.add(object.path_of(name), "This field is not known");
        }
    }

    /// Text of so many characters, if it is there.
    pub(in crate::origin) fn text(
        &mut self,
        object: &Object<'_>,
        name: &str,
        len: RangeInclusive<usize>,
    ) -> Option<String> {
        let value = object.get(name)?;
        self.as_text(value, &object.path_of(name), len)
    }

    pub(in crate::origin) fn as_text(
        &mut self,
        value: &Value,
        path: &str,
        len: RangeInclusive<usize>,
    ) -> Option<String> {
        let Some(text) = value.as_str() else {
            self.add(path, "Must be text");
            return None;
        };
        let characters = text.chars().count();
        if characters < *len.start() {
            let message = if characters == 0 { "Must not be empty" } else { "Is too short" };
            self.add(path, message);
        } else if characters > *len.end() {
            self.add(path, format!("Has more than {} characters", len.end()));
        } else {
            return Some(text.to_owned());
        }
        None
    }

    /// The same, which has to be there.
    pub(in crate::origin) fn required_text(
        &mut self,
        object: &Object<'_>,
        name: &str,
        len: RangeInclusive<usize>,
    ) -> String {
        if object.get(name).is_none() {
            self.add(object.path_of(name), "Is required");
        }
        self.text(object, name, len).unwrap_or_default()
    }

    /// Text, or null to take it away.
    #[expect(clippy::option_option, reason = "left out, null and text are three things")]
    pub(in crate::origin) fn nullable_text(
        &mut self,
        object: &Object<'_>,
        name: &str,
        len: RangeInclusive<usize>,
    ) -> Option<Option<String>> {
        match object.get(name)? {
            Value::Null => Some(None),
            value => self.as_text(value, &object.path_of(name), len).map(Some),
        }
    }

    pub(in crate::origin) fn boolean(&mut self, object: &Object<'_>, name: &str) -> Option<bool> {
        let value = object.get(name)?;
        if value.as_bool().is_none() {
            self.add(object.path_of(name), "Must be true or false");
        }
        value.as_bool()
    }

    pub(in crate::origin) fn whole(
        &mut self,
        object: &Object<'_>,
        name: &str,
        range: RangeInclusive<u64>,
    ) -> Option<u64> {
        let number = object.get(name)?.as_u64().filter(|number| range.contains(number));
        if number.is_none() {
            let message =
                format!("Must be a whole number from {} to {}", range.start(), range.end());
            self.add(object.path_of(name), message);
        }
        number
    }

    /// The items of a list with their paths, if it is there.
    pub(in crate::origin) fn list<'a>(
        &mut self,
        object: &Object<'a>,
        name: &str,
        limit: usize,
    ) -> Option<Vec<(String, &'a Value)>> {
        let path = object.path_of(name);
        let Some(items) = object.get(name)?.as_array() else {
            self.add(path, "Must be a list");
            return None;
        };
        if items.len() > limit {
            self.add(path, format!("Has more than {limit} items"));
            return None;
        }
        let items = items.iter().enumerate();
        Some(items.map(|(index, item)| (format!("{path}.{index}"), item)).collect())
    }

    /// A list of texts, each within bounds.
    pub(in crate::origin) fn texts(
        &mut self,
        object: &Object<'_>,
        name: &str,
        limit: usize,
        len: &RangeInclusive<usize>,
    ) -> Option<Vec<String>> {
        let items = self.list(object, name, limit)?;
        let texts = items.iter().filter_map(|(path, item)| self.as_text(item, path, len.clone()));
        Some(texts.collect())
    }
}
