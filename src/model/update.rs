//! What a source has to say.

use super::Ruleset;
use crate::time::Timestamp;

/// One look at the source.
#[derive(Debug)]
pub enum Update {
    /// The source was read. Whether its meaning changed is for the publisher to find out.
    Replace(Ruleset),
    /// The source confirmed that nothing changed since the last [`Update::Replace`].
    Unchanged,
    /// The source could not be read; what is held stays.
    Unavailable(Failure),
}

/// Why a source could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// For machines.
    pub kind: FailureKind,
    /// For people. Names the source, never a key.
    pub message: String,
    /// When it was noticed.
    pub at: Timestamp,
}

/// Kinds of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The source could not be reached or read.
    Network,
    /// What it gave is not a document.
    Malformed,
}

impl FailureKind {
    /// Value of the metric label `outcome` and of `kind` in the status.
    pub fn label(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Malformed => "malformed",
        }
    }
}
