//! What runs: every setting with its type and its default.
//!
//! No value here still has to be interpreted, and no `Option` merely means "the default".

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use super::problem::Place;
use super::secret::{Key, Token};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// A whole configuration. [`Settings::load`] is the way to one that was checked; the default has
/// no environments and is for tests to build upon.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Settings {
    /// The public port.
    pub server: Server,
    /// The admin port.
    pub admin: Admin,
    /// Bounds of what clients may take.
    pub limits: Limits,
    /// What is logged, and how.
    pub log: Log,
    /// At least one, with names and keys of their own.
    pub environments: Vec<Environment>,
    /// Where each key path was written; all others are defaults.
    pub written: BTreeMap<String, Place>,
}

impl Settings {
    /// What gave the setting at a key path its value.
    pub fn set_by(&self, path: &str) -> SetBy {
        match self.written.get(path) {
            None => SetBy::Default,
            Some(Place::File { .. }) => SetBy::File,
            Some(Place::Variable { name, .. }) => SetBy::Variable(name),
        }
    }
}

/// What gave a setting its value.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum SetBy {
    /// Nothing: it is the default.
    #[default]
    Default,
    /// The configuration file.
    File,
    /// The environment variable of this name.
    Variable(&'static str),
}

impl fmt::Display for SetBy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => formatter.write_str("default"),
            Self::File => formatter.write_str("file"),
            Self::Variable(name) => write!(formatter, "variable {name}"),
        }
    }
}

/// The public port.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Server {
    /// Where SDKs connect.
    pub listen: Listen,
    /// What precedes every public path: empty, or `/flags` (leading slash, no trailing one).
    pub base_path: String,
    /// How long an idle connection is kept.
    pub keep_alive: Duration,
    /// How long open connections may take to finish when the process is told to stop.
    pub drain: Duration,
    /// How many threads serve; as many as there are cores when none is set.
    pub workers: Option<NonZeroUsize>,
    /// Whether HTTP/2 without TLS is spoken.
    pub h2c: bool,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: Listen::Tcp(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 8000))),
            base_path: String::new(),
            keep_alive: Duration::from_secs(75),
            drain: Duration::from_secs(10),
            workers: None,
            h2c: false,
        }
    }
}

/// The admin port.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Admin {
    /// Where operators and scrapers connect.
    pub listen: Listen,
    /// Opens the closed routes to peers that are not local.
    pub token: Option<Token>,
    /// How long an environment without data holds back readiness.
    pub startup_grace: Duration,
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            listen: Listen::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 8001))),
            token: None,
            startup_grace: Duration::from_secs(30),
        }
    }
}

/// Bounds of what clients may take.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Connections open at once.
    pub connections: usize,
    /// Bytes of one request's body.
    pub body: usize,
    /// Bytes of one request's target.
    pub url: usize,
    /// How long a request's head may take to arrive.
    pub header_timeout: Duration,
    /// How long a request's body may take to arrive.
    pub body_timeout: Duration,
    /// Bytes of all request bodies held at once; never less than `body`.
    pub in_flight_body_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            body: MIB,
            url: 32 * KIB,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(10),
            in_flight_body_bytes: 64 * MIB,
        }
    }
}

/// What is logged, and how.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Log {
    /// The least important level that is still written.
    pub level: LogLevel,
    /// The form of a line.
    pub format: LogFormat,
}

/// One isolated set of flags.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Environment {
    /// 1 to 64 letters, digits and `. _ - /`; no other environment has it.
    pub name: String,
    /// What browsers may hold. Together with `secret_keys` never empty, and no key twice anywhere.
    pub publishable_keys: Vec<Key>,
    /// What only servers may hold.
    pub secret_keys: Vec<Key>,
    /// The age beyond which an answer is stale. Without one no age is too old.
    pub max_staleness: Option<Duration>,
    /// What becomes of stale answers.
    pub on_stale: OnStale,
    /// Where the rules come from.
    pub source: Source,
    /// How Reflag rules are read.
    pub reflag: Reflag,
    /// Which web pages may read answers.
    pub cors: Cors,
}

/// Where an environment's rules come from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Source {
    /// A document on disk, read again when it changes.
    File(FileSource),
}

/// A document on disk.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FileSource {
    /// As it was written: a relative path starts at the directory in which the process started.
    pub path: PathBuf,
    /// The document's form.
    pub format: FileFormat,
    /// How often the file is looked at.
    pub poll_interval: Duration,
}

impl FileSource {
    pub(super) const DEFAULT_POLL_INTERVAL: Duration = Duration::from_secs(1);
}

/// How Reflag rules are read.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Reflag {
    /// The generation of the rules' semantics.
    pub evaluator: Evaluator,
    /// Keys of flags that publishable keys never see.
    pub secret_flags: Vec<String>,
}

/// Which web pages may read answers.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Cors {
    /// The pages' origins.
    pub origins: AllowedOrigins,
    /// Whether a page may send cookies and the like. Never together with [`AllowedOrigins::Any`].
    pub credentials: bool,
}

/// The web pages' origins that may read answers.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum AllowedOrigins {
    /// `*`
    #[default]
    Any,
    /// These only, spelled as browsers send them: lower case, no default port. May be empty.
    Only(Vec<String>),
}

/// Where a port listens.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Listen {
    /// `address:port`
    Tcp(SocketAddr),
    /// `unix:/path`
    Unix(PathBuf),
}

/// What becomes of answers older than `max_staleness`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum OnStale {
    /// Answered, with a header that says so.
    #[default]
    Serve,
    /// Answered, with the age in the answer too.
    Mark,
    /// Not answered.
    Refuse,
}

/// The generation of Reflag's rule semantics.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Evaluator {
    /// `1.0`
    #[default]
    V1_0,
    /// `1.1`
    V1_1,
}

/// The form of a document on disk.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum FileFormat {
    /// A Reflag features document.
    #[default]
    Reflag,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// How important a log line is, the most important first.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub enum LogLevel {
    /// Something has to be mended.
    Error,
    /// Something may have to be mended.
    Warn,
    /// A change of state.
    #[default]
    Info,
    /// For finding a fault.
    Debug,
    /// For finding a fault in Burgee.
    Trace,
}
