//! Who may do what, and who did.

use std::fmt;

use serde_json::Value;

use super::{ApiKeyId, AppId, EnvironmentId};
use crate::time::Timestamp;

/// What an API key may do (reflag-management.md section 1). The first four are Reflag's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Every GET; every key has it.
    Read,
    /// Make flags, and change them.
    CreateFlag,
    /// Change who has a flag on.
    WriteFlagTargeting,
    /// Make, change and delete companies and users.
    WriteEntities,
    /// Change flags and their variants.
    WriteFlag,
    /// Environments, stages, segments, members.
    WriteApp,
    /// Rotate environments' keys; make and revoke API keys, with no scope that the maker lacks.
    WriteKeys,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Read,
        Self::CreateFlag,
        Self::WriteFlagTargeting,
        Self::WriteEntities,
        Self::WriteFlag,
        Self::WriteApp,
        Self::WriteKeys,
    ];

    /// The protocol's name.
    pub fn as_wire(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::CreateFlag => "create:flag",
            Self::WriteFlagTargeting => "write:flag:targeting",
            Self::WriteEntities => "write:entities",
            Self::WriteFlag => "write:flag",
            Self::WriteApp => "write:app",
            Self::WriteKeys => "write:keys",
        }
    }

    /// Reads the protocol's name.
    pub fn from_wire(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_wire() == name)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_wire())
    }
}

/// A set of scopes; [`Scope::Read`] is always in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scopes(Vec<Scope>);

impl Scopes {
    /// These, and [`Scope::Read`].
    pub fn of(scopes: impl IntoIterator<Item = Scope>) -> Self {
        let mut scopes: Vec<_> = scopes.into_iter().chain([Scope::Read]).collect();
        scopes.sort_unstable();
        scopes.dedup();
        Self(scopes)
    }

    /// Reads names separated by commas or blanks. `Err` is a name that means nothing.
    pub fn parse(text: &str) -> Result<Self, String> {
        let names = text.split([',', ' ']).filter(|name| !name.is_empty());
        let scopes = names.map(|name| Scope::from_wire(name).ok_or_else(|| name.to_owned()));
        Ok(Self::of(scopes.collect::<Result<Vec<_>, _>>()?))
    }

    /// Whether one of these is in it.
    pub fn has_any(&self, scopes: &[Scope]) -> bool {
        scopes.iter().any(|scope| self.0.contains(scope))
    }

    /// In a fixed order.
    pub fn iter(&self) -> impl Iterator<Item = Scope> + '_ {
        self.0.iter().copied()
    }
}

/// As it is stored, and read again by [`Scopes::parse`].
impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, scope) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            f.write_str(scope.as_wire())?;
        }
        Ok(())
    }
}

/// A key to the Management API. Belongs to one app and covers all its environments. Its text is
/// shown once and kept nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Its id.
    pub id: ApiKeyId,
    /// Whose.
    pub app: AppId,
    /// What people call it.
    pub name: String,
    /// What it may do.
    pub scopes: Scopes,
    /// The first 8 characters.
    pub prefix: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// Who changes something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// Whoever holds this key.
    ApiKey {
        /// Its id.
        id: ApiKeyId,
        /// Its name.
        name: String,
    },
    /// Whoever can write the database file, by a `burgee origin` command.
    CommandLine,
    /// Burgee itself.
    Burgee,
}

impl Actor {
    /// As it stands in the audit log.
    pub fn id(&self) -> &str {
        match self {
            Self::ApiKey { id, .. } => id.as_str(),
            Self::CommandLine => "command-line",
            Self::Burgee => "burgee",
        }
    }

    /// What people call it.
    pub fn name(&self) -> &str {
        match self {
            Self::ApiKey { name, .. } => name,
            Self::CommandLine => "burgee origin",
            Self::Burgee => "Burgee",
        }
    }
}

/// One change: who, what, when and why.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditEntry {
    /// Grows with time.
    pub id: i64,
    /// When.
    pub at: Timestamp,
    /// [`Actor::id`]
    pub actor: String,
    /// [`Actor::name`]
    pub actor_name: String,
    /// In which app.
    pub app: AppId,
    /// In which environment, where it concerns one only.
    pub environment: Option<EnvironmentId>,
    /// What was done, such as `flag.create`.
    pub operation: String,
    /// To what: a flag's key, a segment's id.
    pub subject: String,
    /// The environment's `flagStateVersion` afterwards, where it concerns one only.
    pub version: Option<u64>,
    /// The caller's own words.
    pub description: Option<String>,
    /// What changed. Never holds a key.
    pub change: Value,
}
