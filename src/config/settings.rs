//! What runs: every setting with its type and its default.
//!
//! No value here still has to be interpreted, and no `Option` merely means "the default".

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use super::base_url::BaseUrl;
use super::problem::Place;
use super::secret::{Key, Redacted, Token};

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
    /// The embedded control plane, if there is one.
    pub origin: Option<Origin>,
    /// Through which proxies upstreams are reached.
    pub proxy: Proxy,
    /// With names and keys of their own. At least one where nothing is discovered.
    pub environments: Vec<Environment>,
    /// Lists of environments that upstreams keep.
    pub discover: Vec<Discover>,
    /// Where each key path was written; all others are defaults.
    pub written: BTreeMap<String, Place>,
    /// The placeholders of values that are one and nothing else, such as `${REFLAG_KEY}`, by key
    /// path.
    pub placeholders: BTreeMap<String, String>,
    /// What was written and is not heeded, or leads to a setting that nobody wrote: a line for each,
    /// with its place.
    pub notes: Vec<String>,
}

impl Settings {
    /// What gave the setting at a key path its value.
    pub fn set_by(&self, path: &str) -> SetBy {
        match self.written.get(path) {
            None => SetBy::Default,
            Some(Place::File { .. }) => SetBy::File,
            Some(Place::Variable { name, .. } | Place::Member { name, .. }) => {
                SetBy::Variable(name)
            }
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

impl Admin {
    const PORT: u16 = 8001;

    fn listen_at(port: u16) -> Listen {
        Listen::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
    }

    /// Where the admin port is by default, or, where that overlaps `server`, at the next number.
    pub(super) fn default_listen_beside(server: &Listen) -> Listen {
        let default = Self::listen_at(Self::PORT);
        if default.overlaps(server) { Self::listen_at(Self::PORT + 1) } else { default }
    }
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            listen: Self::listen_at(Self::PORT),
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
    /// Clients on event streams at once.
    pub streams: usize,
    /// Clients on event streams of one environment at once; above it new ones are refused.
    pub streams_per_environment: usize,
    /// Requests of one environment that may wait for a version at once; above it they are
    /// answered without waiting.
    pub waiters_per_environment: usize,
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
            streams: 8_000,
            streams_per_environment: 8_000,
            waiters_per_environment: 1_000,
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

/// The embedded control plane.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Origin {
    /// Where management calls go.
    pub listen: Listen,
    /// The database's file. A relative path starts at the directory in which the process started.
    pub database: PathBuf,
    /// Whether companies and users must exist before flags are switched for them.
    pub strict_entities: bool,
    /// Whether there is an app to look around in, whose keys are shown at the start.
    pub demo: bool,
}

impl Default for Origin {
    fn default() -> Self {
        Self {
            listen: Listen::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 8002))),
            database: PathBuf::from("./burgee-state/origin.db"),
            strict_entities: false,
            demo: false,
        }
    }
}

/// Through which proxies upstreams are reached, as the variables of these names say, lower case
/// first. Nothing here was checked: what it means is for whoever connects.
///
/// Proxies' URLs can hold a password, so they are never shown.
#[derive(Clone, Default, Eq, PartialEq)]
pub struct Proxy {
    /// `https_proxy`, for upstreams that are reached through TLS.
    pub https: Option<String>,
    /// `http_proxy`, for the others.
    pub http: Option<String>,
    /// `all_proxy`, for both where they have none of their own.
    pub all: Option<String>,
    /// `no_proxy`: hosts that are reached directly, separated by commas.
    pub no_proxy: Option<String>,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let redacted = |url: &Option<String>| url.as_ref().map(|_| Redacted);
        formatter
            .debug_struct("Proxy")
            .field("https", &redacted(&self.https))
            .field("http", &redacted(&self.http))
            .field("all", &redacted(&self.all))
            .field("no_proxy", &self.no_proxy)
            .finish()
    }
}

/// One isolated set of flags.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Environment {
    /// 1 to 64 letters, digits and `. _ - /`; no other environment has it.
    pub name: String,
    /// What browsers may hold. Together with `secret_keys` never empty unless `document_key` is
    /// set, and no key twice anywhere.
    pub publishable_keys: Vec<Key>,
    /// Whether the key that the rules' own document names, a Flagsmith document's `api_key`, is a
    /// publishable key: so where the rules are such a document and `publishable_keys` was not
    /// written. An empty list that was written keeps browsers out.
    pub document_key: bool,
    /// What only servers may hold. When none were written, the source's own, if it has one.
    pub secret_keys: Vec<Key>,
    /// The age beyond which an answer is stale. Without one no age is too old.
    pub max_staleness: Option<Duration>,
    /// What becomes of stale answers.
    pub on_stale: OnStale,
    /// What becomes of answers when the upstream refuses the source's key.
    pub on_unauthorized: OnUnauthorized,
    /// Where the rules come from.
    pub source: Source,
    /// How Reflag rules are read.
    pub reflag: Reflag,
    /// How Flagsmith's clients are answered.
    pub flagsmith: Flagsmith,
    /// How OFREP's clients are answered.
    pub ofrep: Ofrep,
    /// Which web pages may read answers.
    pub cors: Cors,
    /// Which documents are held back until they are confirmed.
    pub gate: Gate,
}

impl Environment {
    /// The key with which the upstream is asked which flags are public: the source's
    /// `upstream_publishable_key`, else the first of `publishable_keys`, for which that one has to
    /// be known to the upstream.
    ///
    /// None when there is nothing to learn: secret flags are listed, or nobody holds a publishable
    /// key. The same before and after [`Settings::without_keys`].
    pub fn learning_key(&self) -> Option<&Key> {
        let first = self.publishable_keys.first()?;
        match (&self.source, &self.reflag.secret_flags) {
            (Source::Reflag(source), SecretFlags::Learn) => {
                Some(source.upstream_publishable_key.as_ref().unwrap_or(first))
            }
            (Source::Reflag(_), SecretFlags::Listed(_))
            | (Source::File(_) | Source::Flagsmith(_) | Source::Origin(_), _) => None,
        }
    }
}

/// Environments that an upstream lists, and what all of them have in common.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Discover {
    /// What the names of its environments begin with, before a slash: 1 to 16 letters, digits and
    /// `. _ -`. No other has it, and no environment of the configuration is named below it.
    pub name: String,
    /// What precedes `/proxy/config/` and `/environment-document/`.
    pub url: BaseUrl,
    /// Opens the list. Sent with every poll of list and documents, so it is kept for as long as the
    /// process runs. No other has it, and it is no client's key.
    pub proxy_key: Key,
    /// How often the list is asked for, and each document, while all is well.
    pub poll_interval: Duration,
    /// How long one request may take, its connection and its body included.
    pub timeout: Duration,
    /// Whether the upstream's event stream of each environment is followed, beside the polls.
    pub push: bool,
    /// What precedes `/sse/environments/KEY/stream`.
    pub realtime_url: BaseUrl,
    /// A file of PEM certificates that are trusted beside the bundled ones. A relative path starts
    /// at the directory in which the process started.
    pub ca_file: Option<PathBuf>,
    /// How many environments are taken from the list at most: 1 to 10000.
    pub max_environments: usize,
    /// As of an [`Environment`], for each of them.
    pub max_staleness: Option<Duration>,
    /// As of an [`Environment`], for each of them.
    pub on_stale: OnStale,
    /// As of an [`Environment`], for each of them: what becomes of its answers when its document is
    /// refused. That the list is refused changes nothing.
    pub on_unauthorized: OnUnauthorized,
    /// How Flagsmith's clients are answered.
    pub flagsmith: Flagsmith,
    /// Which web pages may read answers.
    pub cors: Cors,
    /// Which documents are held back until they are confirmed, and which lists: those in which too
    /// many environments are missing at once.
    pub gate: Gate,
}

impl Discover {
    pub(super) const DEFAULT_NAME: &str = "discovered";
    pub(super) const DEFAULT_MAX_ENVIRONMENTS: usize = 100;

    /// How many environments may have a place at once: those that leave keep theirs for as long as a
    /// request may still see them.
    pub fn slots(&self) -> usize {
        self.max_environments.saturating_mul(2)
    }
}

impl Settings {
    /// Keys that are sent to upstreams. They stand for nobody among clients, unless they are listed
    /// for them, too.
    pub fn upstream_keys(&self) -> impl Iterator<Item = &Key> {
        let of_sources =
            self.environments.iter().flat_map(|environment| match &environment.source {
                Source::File(_) | Source::Origin(_) => [None, None],
                Source::Reflag(source) => {
                    [Some(&source.secret_key), source.upstream_publishable_key.as_ref()]
                }
                Source::Flagsmith(source) => [Some(&source.server_key), None],
            });
        let of_lists = self.discover.iter().map(|discover| &discover.proxy_key);
        of_sources.flatten().chain(of_lists)
    }
}

/// Where an environment's rules come from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Source {
    /// A document on disk, read again when it changes.
    File(FileSource),
    /// Reflag's service, or what speaks its protocol, such as another Burgee.
    Reflag(ReflagSource),
    /// Flagsmith's service, or what speaks its protocol.
    Flagsmith(FlagsmithSource),
    /// The embedded control plane of this very process.
    Origin(OriginSource),
}

impl Source {
    /// How often the source is asked when nothing is wrong with it.
    pub fn poll_interval(&self) -> Duration {
        match self {
            Self::File(file) => file.poll_interval,
            Self::Reflag(reflag) => reflag.poll_interval,
            Self::Flagsmith(flagsmith) => flagsmith.poll_interval,
            Self::Origin(_) => OriginSource::POLL_INTERVAL,
        }
    }

    /// Whether the rules are a Flagsmith environment document, which names a key for browsers.
    pub fn is_flagsmith_document(&self) -> bool {
        match self {
            Self::File(file) => file.format == FileFormat::Flagsmith,
            Self::Reflag(_) | Self::Origin(_) => false,
            Self::Flagsmith(_) => true,
        }
    }
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

/// Reflag's service, or what speaks its protocol.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ReflagSource {
    /// Where it is reached.
    pub url: BaseUrl,
    /// Opens the rules. Sent with every poll, so it is kept for as long as the process runs.
    pub secret_key: Key,
    /// What browsers may send there. No source's secret key, and in no list of secret keys.
    pub upstream_publishable_key: Option<Key>,
    /// How often the rules are asked for while all is well.
    pub poll_interval: Duration,
    /// How long one request may take, its connection and its body included.
    pub timeout: Duration,
    /// Whether the upstream's event stream is followed, beside the polls.
    pub push: bool,
    /// A file of PEM certificates that are trusted beside the bundled ones. A relative path starts
    /// at the directory in which the process started.
    pub ca_file: Option<PathBuf>,
}

impl ReflagSource {
    pub(super) const DEFAULT_POLL_INTERVAL: Duration = Duration::from_secs(60);
    pub(super) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
}

/// Flagsmith's service, or what speaks its protocol.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FlagsmithSource {
    /// What precedes `/environment-document/`.
    pub url: BaseUrl,
    /// Opens the document; starts with `ser.`. Sent with every poll, so it is kept for as long as
    /// the process runs.
    pub server_key: Key,
    /// How often the document is asked for while all is well.
    pub poll_interval: Duration,
    /// How long one request may take, its connection and its body included.
    pub timeout: Duration,
    /// Whether the upstream's event stream is followed, beside the polls.
    pub push: bool,
    /// What precedes `/sse/environments/KEY/stream`.
    pub realtime_url: BaseUrl,
    /// A file of PEM certificates that are trusted beside the bundled ones. A relative path starts
    /// at the directory in which the process started.
    pub ca_file: Option<PathBuf>,
}

impl FlagsmithSource {
    pub(super) const DEFAULT_POLL_INTERVAL: Duration = Duration::from_secs(60);
    pub(super) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
}

/// An environment of the embedded control plane. Its keys come along.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OriginSource {
    /// The app's id or name.
    pub app: String,
    /// The environment's id or name.
    pub environment: String,
}

impl OriginSource {
    /// Changes are told at once; between them this often it is confirmed that there were none.
    const POLL_INTERVAL: Duration = Duration::from_secs(1);
}

/// How Flagsmith's clients are answered, whatever the source.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Flagsmith {
    /// Whether segments that hold without an identity apply to the flags of an environment, as in
    /// Flagsmith's Edge Proxy. Its API server applies none there.
    pub segments_without_identity: bool,
    /// Whether `hide_sensitive_data` of a document is heeded: traits are not echoed then.
    pub hide_sensitive_data: bool,
}

/// How OFREP's clients are answered, whatever the source.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Ofrep {
    /// What a flag's key stands for when it has no suffix.
    pub bare_key: BareKey,
}

/// What a flag's key stands for in OFREP, which has one value per key.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum BareKey {
    /// Whether the flag is on, and with Flagsmith's rules its value where it has one.
    #[default]
    Auto,
    /// Whether the flag is on.
    Enabled,
    /// Its value.
    Value,
}

/// How Reflag rules are read.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Reflag {
    /// The generation of the rules' semantics.
    pub evaluator: Evaluator,
    /// Flags that publishable keys never see.
    pub secret_flags: SecretFlags,
    /// What SDKs get that evaluate the other vendor's rules by themselves.
    pub definitions: Definitions,
}

/// Flags that publishable keys never see, beside those that their own definition marks as secret.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SecretFlags {
    /// All that the upstream does not list to a publishable key; see
    /// [`Environment::learning_key`]. The default for a source that has an upstream to ask, and
    /// refused for others.
    Learn,
    /// Those with these keys.
    Listed(Vec<String>),
}

impl Default for SecretFlags {
    fn default() -> Self {
        Self::Listed(Vec::new())
    }
}

/// Which documents are held back until they are confirmed: those with far fewer flags than are
/// held, as an upstream may give after a mishap.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Gate {
    /// The share of the held flags that a document has to have. Zero lets every document pass,
    /// and is the default for files, which are the operator's word; a half is for the others.
    pub max_shrink: Fraction,
    /// How often the same document has to be fetched until it passes all the same: 1 to 1000.
    pub confirm_after: usize,
}

impl Gate {
    pub(super) const DEFAULT_MAX_SHRINK: Fraction = Fraction(MILLION / 2);
    pub(super) const DEFAULT_CONFIRM_AFTER: usize = 3;

    /// One that lets every document pass.
    pub(crate) fn open() -> Self {
        Self { max_shrink: Fraction::ZERO, confirm_after: Self::DEFAULT_CONFIRM_AFTER }
    }

    /// Whether a document with `received` flags is held back while `held` are served. Unless the
    /// gate is off, that is so for a document without any flag.
    pub fn holds_back(&self, held: usize, received: usize) -> bool {
        received < self.max_shrink.of(held)
    }
}

/// A number from 0 to 1, exact to six decimal places.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Fraction(u32);

const MILLION: u32 = 1_000_000;

impl Fraction {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// Everything.
    pub const ONE: Self = Self(MILLION);

    /// The nearest one; none for what is no number from 0 to 1.
    #[expect(clippy::cast_sign_loss, reason = "the range was checked")]
    pub fn new(number: f64) -> Option<Self> {
        let millionths = (number * f64::from(MILLION)).round();
        (0.0..=1.0).contains(&number).then_some(Self(millionths as u32))
    }

    /// The least whole number that is not less than this share of `count`.
    pub fn of(self, count: usize) -> usize {
        let millionths = count as u128 * u128::from(self.0);
        millionths.div_ceil(u128::from(MILLION)) as usize
    }

    /// The number itself.
    pub fn as_f64(self) -> f64 {
        f64::from(self.0) / f64::from(MILLION)
    }
}

impl fmt::Display for Fraction {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.as_f64(), formatter)
    }
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

/// As it is written.
impl fmt::Display for Listen {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(formatter),
            Self::Unix(path) => write!(formatter, "unix:{}", path.display()),
        }
    }
}

impl Listen {
    /// Whether connections to one could come to the other.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Tcp(one), Self::Tcp(other)) => {
                one.port() == other.port()
                    && one.port() != 0
                    && (one.ip() == other.ip()
                        || one.ip().is_unspecified()
                        || other.ip().is_unspecified())
            }
            (Self::Unix(one), Self::Unix(other)) => one == other,
            _ => false,
        }
    }
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

/// What becomes of answers when the upstream refuses the source's key.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum OnUnauthorized {
    /// Answered from the last good rules.
    #[default]
    Serve,
    /// Not answered: whoever revoked the key meant it for those who hold answers made with it too.
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

/// What a document is given out for whose rules were made by the other vendor, where some flags have
/// no exact equal.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Definitions {
    /// None: an SDK without some of the flags would answer with its own defaults for them.
    #[default]
    Complete,
    /// The document without those flags.
    Partial,
}

/// The form of a document on disk.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum FileFormat {
    /// A Reflag features document.
    #[default]
    Reflag,
    /// A Flagsmith environment document.
    Flagsmith,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(max_shrink: f64) -> Gate {
        Gate { max_shrink: Fraction::new(max_shrink).unwrap(), confirm_after: 3 }
    }

    #[test]
    fn the_gate_holds_back_documents_with_fewer_flags_than_the_share() {
        for (max_shrink, held, received, holds_back) in [
            (0.5, 10, 5, false),
            (0.5, 10, 4, true),
            (0.5, 7, 4, false),
            (0.5, 7, 3, true),
            (0.5, 1, 0, true),
            (0.000_001, 1, 0, true),
            (0.000_001, 1, 1, false),
            (1.0, 10, 10, false),
            (1.0, 10, 9, true),
            // Not a hair more than 7, as a product of floating point numbers would be.
            (0.07, 100, 7, false),
            (0.07, 100, 6, true),
            (1.0, usize::MAX, usize::MAX, false),
            // Off, or nothing to be lost.
            (0.0, 10, 0, false),
            (1.0, 0, 0, false),
        ] {
            let held_back = gate(max_shrink).holds_back(held, received);
            assert_eq!(held_back, holds_back, "{received} after {held}, {max_shrink}");
        }
    }

    #[test]
    fn a_fraction_is_shown_as_it_was_written() {
        for shown in ["0", "0.5", "0.333333", "0.07", "1"] {
            assert_eq!(Fraction::new(shown.parse().unwrap()).unwrap().to_string(), shown);
        }
    }

    #[test]
    fn proxies_are_shown_as_being_there_only() {
        let url = || Some("http://user:lemon@proxy:3128".to_owned());
        let no_proxy = Some("localhost".to_owned());
        let proxy = Proxy { https: url(), http: None, all: url(), no_proxy };
        assert_eq!(
            format!("{proxy:?}"),
            "Proxy { https: Some([redacted]), http: None, all: Some([redacted]), no_proxy: \
             Some(\"localhost\") }"
        );
    }
}
