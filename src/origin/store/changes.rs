//! What can be asked to be changed. None means "leave it", an inner none "take it away".

use std::collections::BTreeMap;

use crate::origin::keys::NewKey;
use crate::origin::model::{
    Access, ConfigTargeting, EntityKind, EnvironmentId, MemberId, Rule, StageId,
};

/// A flag that is to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are the members of the flag")]
pub struct NewFlag {
    pub key: String,
    pub name: String,
    pub description: Option<String>,
    pub stage: Option<StageId>,
    pub owner: Option<MemberId>,
    pub permanent: bool,
    pub secret: bool,
    pub archived: bool,
}

/// What is to be another of a flag.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are the members of the flag")]
pub struct FlagChange {
    pub name: Option<String>,
    pub description: Option<Option<String>>,
    pub stage: Option<StageId>,
    pub owner: Option<Option<MemberId>>,
    pub permanent: Option<bool>,
    pub secret: Option<bool>,
    pub archived: Option<bool>,
}

/// One company or user that is to be listed, or not any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetChange {
    /// Where in the call it stands, for complaints.
    pub path: String,
    /// The flag's key.
    pub flag: String,
    /// Which of the two.
    pub kind: EntityKind,
    /// Its id.
    pub entity: String,
    /// Whether it is to be listed.
    pub listed: bool,
}

/// What is to be another of a flag's targeting in one environment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TargetingChange {
    /// The version that the caller has seen: when it is another, nothing is changed.
    pub expected_version: Option<u64>,
    /// Everybody or not.
    pub everyone: Option<bool>,
    /// Who is in one of these.
    pub segments: Option<Vec<crate::origin::model::SegmentId>>,
    /// Whoever satisfies one of these.
    pub rules: Option<Vec<Rule>>,
    /// All companies that are to be listed.
    pub company_ids: Option<Vec<String>>,
    /// All users that are to be listed.
    pub user_ids: Option<Vec<String>>,
    /// Who gets which variant, as a whole.
    pub config: Option<ConfigTargeting>,
}

/// What is to be another of a segment.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(missing_docs, reason = "they are the members of the segment")]
pub struct SegmentChange {
    pub name: Option<String>,
    pub rules: Option<Vec<Rule>>,
}

/// What is to be another of a stage.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StageChange {
    /// Its name.
    pub name: Option<String>,
    /// Its colour.
    pub color: Option<String>,
    /// Its place.
    pub order: Option<u32>,
    /// What it brings to these environments; none where it is to leave flags alone.
    pub targeting: BTreeMap<EnvironmentId, Option<Access>>,
}

/// The keys of a new environment, to be shown once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewKeys {
    /// For browsers.
    pub publishable: NewKey,
    /// For servers.
    pub secret: NewKey,
}

impl NewKeys {
    /// Random ones for an environment of this name.
    pub fn random(name: &str) -> Result<Self, getrandom::Error> {
        use crate::model::KeyClass::{Publishable, Secret};
        Ok(Self {
            publishable: NewKey::of_environment(name, Publishable)?,
            secret: NewKey::of_environment(name, Secret)?,
        })
    }
}
