//! All environments' programs, keys and ready-made bodies at one moment.
//!
//! Requests load the [`Snapshot`] once and borrow everything else from it. Only the
//! [`publisher`] makes a new one.

mod announcements;
mod body;
mod content;
mod environments;
mod fingerprint;
mod flagsmith;
mod freshness;
mod gate;
mod heads;
mod keys;
pub mod publisher;
mod reflag;
mod roster;
mod source_stream;
pub mod status;
mod translated;
mod waiting;

use std::sync::Arc;

use arc_swap::ArcSwap;

pub use announcements::{Announcement, Announcements, Listener};
pub use body::PreparedBody;
pub use content::{Content, Family, Prepared, class_index};
pub use environments::{Environments, Seat};
pub use flagsmith::{EnvironmentFlags, FlagsmithContent, LastModified, UPDATED_AT};
pub use freshness::{Age, Freshness};
pub use gate::{Document, Gate, Verdict};
pub(crate) use heads::VERSION;
pub use heads::{EXPOSED, Heads, HeadsByClass, PreparedHead, STATE, SharedHead, write_lines};
pub use keys::{Credential, KeyDigests, KeyTable, SourceKey};
pub use reflag::ReflagContent;
pub use roster::{Entry, Grant, ServerKey};
pub use source_stream::{SourceStream, StreamState, StreamStatus};
use status::{EnvironmentStatus, StatusCell};
pub use translated::{TranslatedDocument, UNTRANSLATED};
pub use waiting::{FARTHEST, Patience, Place, Waiting, Wake};

use crate::compile::Policy;
use crate::config;
use crate::dialect::ofrep::BareKey;
use crate::model::EnvironmentName;
use crate::telemetry::metrics::EnvironmentMetrics;

/// Everything that a request may need, at one moment.
#[derive(Debug)]
pub struct Snapshot {
    /// By slot.
    pub environments: Environments,
    /// Which key belongs to which environment; swapped together with them.
    pub keys: Arc<KeyTable>,
}

/// One environment at one moment.
#[derive(Clone, Debug)]
pub struct Environment {
    /// Its place, for as long as it is there.
    pub seat: Seat,
    /// What never changes while it is there.
    pub profile: Arc<Profile>,
    /// When its content was last confirmed; moves on without a new snapshot.
    pub freshness: Arc<Freshness>,
    /// Requests that wait for newer content.
    pub waiting: Arc<Waiting>,
    /// What clients on event streams are told.
    pub announcements: Arc<Announcements>,
    /// The event stream of its source.
    pub stream: Arc<SourceStream>,
    /// What the admin port tells about it.
    pub status: Arc<StatusCell>,
    /// What is counted for it, save evaluations.
    pub metrics: Arc<EnvironmentMetrics>,
    /// None before the first data.
    pub content: Option<Arc<Content>>,
}

impl Environment {
    /// One that waits for its first content.
    pub fn new(
        seat: Seat,
        profile: Profile,
        status: EnvironmentStatus,
        metrics: Arc<EnvironmentMetrics>,
        bounds: Bounds,
    ) -> Self {
        Self {
            seat,
            profile: Arc::new(profile),
            freshness: Arc::default(),
            waiting: Arc::new(Waiting::new(bounds.waiters)),
            announcements: Arc::new(Announcements::new(bounds.streams)),
            stream: Arc::default(),
            status: Arc::new(StatusCell::new(status)),
            metrics,
            content: None,
        }
    }

    /// Whether it comes from a list, and not from the configuration.
    pub fn is_discovered(&self) -> bool {
        self.status.lock().discovered.is_some()
    }
}

/// How many may hold out with one environment.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Requests that wait for a version.
    pub waiters: usize,
    /// Clients on event streams.
    pub streams: usize,
}

/// An environment's settings, as far as requests need them.
#[derive(Clone, Debug)]
pub struct Profile {
    /// The operator's name for it.
    pub name: EnvironmentName,
    /// How its rules are read.
    pub policy: Policy,
    /// Whether the document's own key is the publishable key: none is configured.
    pub key_from_document: bool,
    /// Flagsmith's rules: whether segments apply to requests without an identity.
    pub segments_without_identity: bool,
    /// Flagsmith's clients: whether traits are not told again.
    pub hide_sensitive_data: bool,
    /// What server SDKs of the other family get when some flags have no exact equal there.
    pub definitions: config::Definitions,
    /// OFREP's clients: what a flag's own key stands for.
    pub bare_key: BareKey,
    /// Content older than this is stale; milliseconds.
    pub max_staleness: Option<i64>,
    /// What becomes of stale content.
    pub on_stale: OnStale,
    /// What becomes of content whose upstream refuses our key.
    pub on_unauthorized: OnUnauthorized,
    /// Whose word the source's documents are.
    pub authority: Authority,
    /// When a document counts as shrunk, and what it takes to be believed.
    pub gate: config::Gate,
    /// Which web pages may read its answers.
    pub cors: Cors,
}

/// What becomes of stale content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnStale {
    /// It is served and says that it is stale.
    #[default]
    Serve,
    /// It is served and says how old it is.
    Mark,
    /// It is not served.
    Refuse,
}

/// What becomes of content whose upstream refuses our key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnUnauthorized {
    /// It is served: the upstream may be wrong, and an outage must not change an answer.
    #[default]
    Serve,
    /// It is not served: the key was revoked for a reason.
    Refuse,
}

/// Whose word a source's documents are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authority {
    /// The operator's: a lower version number is meant.
    Operator,
    /// An upstream's: a lower version number is a late or lagging answer.
    Upstream,
}

/// Which web pages may read answers to publishable keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cors {
    /// All, without credentials.
    Any,
    /// Those of these origins.
    Listed {
        /// `scheme://host[:port]`
        origins: Vec<String>,
        /// Whether cookies and the like may go with the request.
        credentials: bool,
    },
}

impl Cors {
    /// Whether pages of `origin` may read answers.
    pub fn allows(&self, origin: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::Listed { origins, .. } => origins.iter().any(|o| o.as_bytes() == origin),
        }
    }
}

/// The one pointer between the publisher and all requests.
pub type Shared = Arc<ArcSwap<Snapshot>>;
