//! Companies and users: whose flags are switched one by one.

use serde_json::{Map, Value, json};

use crate::evaluate::{Bounds, ContextError};
use crate::json::Reader;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntityKind {
    /// A customer's account.
    Company,
    /// A person.
    User,
}

impl EntityKind {
    /// `company` or `user`: what it is called in the database, in contexts and in messages.
    pub fn word(self) -> &'static str {
        match self {
            Self::Company => "company",
            Self::User => "user",
        }
    }

    /// The attribute whose value is its id.
    pub fn attribute(self) -> &'static str {
        match self {
            Self::Company => "company.id",
            Self::User => "user.id",
        }
    }
}

/// A company or user of one environment. Its id is the customer's own text.
#[derive(Clone, Debug, PartialEq)]
pub struct Entity {
    /// 1 to 256 characters.
    pub id: String,
    /// What people call it.
    pub name: Option<String>,
    /// What is known of it: any JSON.
    pub attributes: Map<String, Value>,
}

impl Entity {
    /// Somebody of whom nothing is known.
    pub fn stranger(id: &str) -> Self {
        Self { id: id.to_owned(), name: None, attributes: Map::new() }
    }

    /// What rules see of it, as the context of a request. Its id and its name are what the entity
    /// says, whatever attributes have these names (reflag-management.md section 5).
    pub fn context(&self, kind: EntityKind) -> Value {
        let mut attributes = self.attributes.clone();
        if let Some(name) = &self.name {
            attributes.insert("name".to_owned(), json!(name));
        }
        attributes.insert("id".to_owned(), json!(self.id));
        json!({kind.word(): attributes})
    }

    /// The same with one attribute at a time, the id first: for one that is beyond the bounds of a
    /// context as a whole.
    pub fn context_in_parts(&self, kind: EntityKind) -> impl Iterator<Item = Value> {
        let of = move |name: &str, value: &Value| json!({kind.word(): {name: value}});
        let id = of("id", &json!(self.id));
        let name = self.name.as_ref().map(|name| of("name", &json!(name)));
        let has_name = name.is_some();
        let others = self.attributes.iter();
        let others =
            others.filter(move |(name, _)| *name != "id" && (*name != "name" || !has_name));
        [id].into_iter().chain(name).chain(others.map(move |(name, value)| of(name, value)))
    }

    /// That rules can read it: whatever is beyond the bounds of a request's context cannot be.
    pub fn fits(&self, kind: EntityKind) -> Result<(), ContextError> {
        let context = self.context(kind).to_string();
        let (mut reader, mut bounds, mut first) = (Reader::new(&context), Bounds::default(), true);
        reader.open_object()?;
        while let Some(name) = reader.next_member(&mut first)? {
            bounds.member(name)?;
            bounds.skip(&mut reader, 0)?;
        }
        Ok(())
    }
}
