//! Protocols that clients speak: siblings that do not know each other.
//!
//! A dialect maps a request to an evaluation context and an evaluation to a response, and draws
//! errors in its protocol's own shape. It holds no evaluation logic and no connection state, and it
//! never sees a snapshot: only a program and the pieces that it prepared for one environment.

pub mod event_stream;
pub mod flagsmith;
pub(crate) mod listing;
pub mod ofrep;
pub(crate) mod query;
pub mod reflag;
mod rejection;
pub(crate) mod tag;
pub(crate) mod translation;

pub use rejection::{Fault, Forbidden, Rejection};
pub use translation::{Translation, Untranslated};

/// A protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// Reflag Runtime API, at the root.
    Reflag,
    /// Flagsmith SDK API, below `/api/v1/`, and the second form of its analytics.
    Flagsmith,
    /// `OpenFeature` Remote Evaluation Protocol, below `/ofrep/v1/`.
    Ofrep,
}

impl Dialect {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Reflag, Self::Flagsmith, Self::Ofrep];

    /// The dialect that owns the prefix of a path: what it does not serve it refuses in its own
    /// shape.
    pub fn of_path(path: &str) -> Self {
        if path.starts_with("/api/v1/")
            || path.starts_with("/api/v2/analytics/")
            || path.starts_with("/sse/environments/")
        {
            Self::Flagsmith
        } else if path.starts_with("/ofrep/v1/") {
            Self::Ofrep
        } else {
            Self::Reflag
        }
    }

    /// Value of the metric label `dialect`.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Reflag => "reflag",
            Self::Flagsmith => "flagsmith",
            Self::Ofrep => "ofrep",
        }
    }

    /// Status and JSON body of a refusal of what was asked for at `path`.
    pub fn reject(self, rejection: &Rejection, path: &str) -> (u16, String) {
        match self {
            Self::Reflag => reflag::mapping::reject(rejection),
            Self::Flagsmith => flagsmith::mapping::reject(rejection),
            Self::Ofrep => ofrep::mapping::reject(rejection, path),
        }
    }
}
