//! What a source has to say.

use std::time::Duration;

use super::Rules;
use crate::time::Timestamp;

/// One look at the source.
#[derive(Debug)]
pub enum Update {
    /// The source was read. Whether its meaning changed, and whether it may replace what is held,
    /// is for the publisher to find out.
    Replace(Box<Rules>, Confirmed),
    /// The source gave again what it gave in the last [`Update::Replace`].
    Unchanged(Confirmed),
    /// The source could not be read; what is held stays.
    Unavailable(Failure),
}

/// When the origin of the rules last vouched for them. Behind another edge that is longer ago than
/// the look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirmed {
    /// At this moment.
    At(Timestamp),
    /// The source does not know: its own clock went backwards.
    Unknown,
}

/// Why a source could not be read, or was not believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// For machines.
    pub kind: FailureKind,
    /// For people. Names the source, never a key.
    pub message: String,
    /// When it was noticed.
    pub at: Timestamp,
    /// How long the source asked to be left alone.
    pub retry_after: Option<Duration>,
}

impl Failure {
    /// A failure whose source did not say when to come again.
    pub fn new(kind: FailureKind, message: String, at: Timestamp) -> Self {
        Self { kind, message, at, retry_after: None }
    }
}

/// Kinds of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The source could not be reached or read.
    Network,
    /// It did not answer in time.
    Timeout,
    /// It refuses the key.
    Unauthorized,
    /// It answered with another status from 400 to 499.
    Status4xx,
    /// It answered with a status from 500 to 599.
    Status5xx,
    /// What it gave is not a document.
    Malformed,
    /// Its document is older than what is held.
    Older,
    /// Its document lacks too much of what is held: it has to be confirmed first.
    Rejected,
}

impl FailureKind {
    /// Value of the metric label `outcome` and of `kind` in the status.
    pub fn label(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Timeout => "timeout",
            Self::Unauthorized => "unauthorized",
            Self::Status4xx => "status_4xx",
            Self::Status5xx => "status_5xx",
            Self::Malformed => "malformed",
            Self::Older => "older",
            Self::Rejected => "rejected",
        }
    }
}
