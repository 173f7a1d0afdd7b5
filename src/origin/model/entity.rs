//! Companies and users: whose flags are switched one by one.

use serde_json::{Map, Value};

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
