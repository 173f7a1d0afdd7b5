//! Rules of either family, as a source gave them.

use bytes::Bytes;

use super::flagsmith::UpdatedAt;
use super::{BrokenFlag, Ruleset, flagsmith};

/// One environment's rules. A source decides whose semantics they have, whoever asks.
#[derive(Clone, Debug)]
pub enum Rules {
    /// Reflag's: flags with rules of their own.
    Reflag(Ruleset),
    /// Flagsmith's: features that segments and identities override.
    Flagsmith(flagsmith::Environment),
}

impl Rules {
    /// The source's own number of this state, when it has one.
    pub fn source_version(&self) -> Option<u64> {
        match self {
            Self::Reflag(ruleset) => ruleset.source_version,
            Self::Flagsmith(environment) => environment.updated_at.map(UpdatedAt::source_version),
        }
    }

    /// The source's own document, when there is one that can be passed on.
    pub fn document(&self) -> Option<&Bytes> {
        match self {
            Self::Reflag(ruleset) => ruleset.verbatim.as_ref(),
            Self::Flagsmith(environment) => Some(&environment.verbatim),
        }
    }

    /// How many flags can be served.
    pub fn flags(&self) -> usize {
        match self {
            Self::Reflag(ruleset) => ruleset.flags.len(),
            Self::Flagsmith(environment) => environment.features.len(),
        }
    }

    /// What is left out, or held in its last good form.
    pub fn broken(&self) -> Vec<BrokenFlag> {
        match self {
            Self::Reflag(ruleset) => ruleset.broken.clone(),
            Self::Flagsmith(environment) => {
                let broken = environment.broken.iter();
                let named = |broken: &flagsmith::Broken| BrokenFlag {
                    flag: broken.part.clone(),
                    reason: broken.reason.clone(),
                };
                broken.map(named).collect()
            }
        }
    }

    /// Things that are odd but served.
    pub fn warnings(&self) -> &[String] {
        match self {
            Self::Reflag(ruleset) => &ruleset.warnings,
            Self::Flagsmith(environment) => &environment.warnings,
        }
    }
}
