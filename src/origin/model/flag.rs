//! Flags, and what an app's flags share.

use super::{FlagId, Member, SegmentId, StageId, targeting::Rule};
use crate::time::Timestamp;

/// A flag, the same in all environments of its app; its targeting is not.
#[derive(Clone, Debug, PartialEq)]
pub struct Flag {
    /// Its id.
    pub id: FlagId,
    /// Unique in its app; never changes.
    pub key: String,
    /// 1 to 255 characters.
    pub name: String,
    /// Up to 8,192 characters.
    pub description: Option<String>,
    /// How far it has come.
    pub stage: Option<Stage>,
    /// Who looks after it.
    pub owner: Option<Member>,
    /// Whether it is off for good.
    pub archived: bool,
    /// Whether it is meant to stay.
    pub permanent: bool,
    /// Whether publishable keys never see it.
    pub secret: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was first on for everyone in production.
    pub rolled_out_to_everyone_at: Option<Timestamp>,
}

/// How far a flag has come; may bring a default targeting for each environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// Its id.
    pub id: StageId,
    /// Unique in its app.
    pub name: String,
    /// An HTML colour name or hex, 1 to 64 characters.
    pub color: String,
    /// Place among its app's, from 0.
    pub order: u32,
}

/// A value that a flag can carry, the same in all environments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variant {
    /// Unique in its flag.
    pub key: String,
    /// JSON text, kept as it was written.
    pub payload: Option<String>,
}

/// A named filter over companies and users, for all flags and environments of its app.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    /// Its id.
    pub id: SegmentId,
    /// Unique in its app.
    pub name: String,
    /// Whether it is everybody.
    pub kind: SegmentKind,
    /// Whoever satisfies one of them is in. None for [`SegmentKind::All`].
    pub rules: Vec<Rule>,
}

/// Whether a segment has rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentKind {
    /// Every company.
    All,
    /// Those that its rules say.
    Custom,
}

impl SegmentKind {
    /// The protocol's name.
    pub fn as_wire(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Custom => "custom",
        }
    }
}
