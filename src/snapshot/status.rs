//! What the admin port tells about each environment, and about the lists that environments are
//! discovered in. Written by the publisher, read by people.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Environment, Shared};
use crate::model::{EnvironmentName, Failure, FailureKind};
use crate::time::Timestamp;

/// What is known of one environment beside its content.
#[derive(Clone, Debug)]
pub struct EnvironmentStatus {
    /// The operator's name for it.
    pub name: EnvironmentName,
    /// Type of its source, as in the configuration.
    pub source_type: &'static str,
    /// Where the source is; never with a key.
    pub source_url: String,
    /// What the list said of it; none for an environment of the configuration.
    pub discovered: Option<Discovered>,
    /// Failed looks since the last good one.
    pub consecutive_failures: u32,
    /// Why the last look failed; none after a good one.
    pub last_error: Option<Failure>,
    /// The highest number that the source gave to what is served.
    pub source_version: Option<u64>,
    /// The last good look.
    pub last_success_at: Option<Timestamp>,
    /// The last publish.
    pub last_change_at: Option<Timestamp>,
    /// Flags that are left out or held back.
    pub quarantined: Vec<Quarantined>,
    /// Odd things about the rules that are served.
    pub diagnostics: Vec<String>,
}

/// Where an environment was discovered, in the words of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovered {
    /// Name of the discovery in the configuration.
    pub by: Arc<str>,
    /// The environment's number.
    pub id: u64,
    /// The number of its project, if one was given.
    pub project_id: Option<u64>,
    /// What people call it there.
    pub name: Arc<str>,
}

/// The status of one environment, shared by all snapshots that have the environment.
#[derive(Debug)]
pub struct StatusCell(Mutex<EnvironmentStatus>);

impl StatusCell {
    /// Holds `status`.
    pub fn new(status: EnvironmentStatus) -> Self {
        Self(Mutex::new(status))
    }

    /// Locks it. Held for a moment only; no request for flags ever takes it.
    pub fn lock(&self) -> MutexGuard<'_, EnvironmentStatus> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All lists that environments are discovered in, in the order of the configuration.
#[derive(Debug)]
pub struct Board(Mutex<Vec<DiscoveryStatus>>);

/// What is known of one list of environments.
#[derive(Clone, Debug)]
pub struct DiscoveryStatus {
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// Where it is; never with a key.
    pub url: String,
    /// Failed looks since the last good one.
    pub consecutive_failures: u32,
    /// Why the last look failed, or what of it is not believed yet; none after a good one.
    pub last_error: Option<Failure>,
    /// The last good look.
    pub last_success_at: Option<Timestamp>,
    /// How many environments are there because of it.
    pub environments: usize,
    /// Entries that are not served or not wholly, and why, a line for each.
    pub diagnostics: Vec<String>,
}

impl DiscoveryStatus {
    /// Before the first look.
    pub fn new(name: Arc<str>, url: String) -> Self {
        Self {
            name,
            url,
            consecutive_failures: 0,
            last_error: None,
            last_success_at: None,
            environments: 0,
            diagnostics: Vec::new(),
        }
    }

    /// Whether it is known what there is to be served: the list was read once, or refuses our key,
    /// which no waiting changes.
    fn is_settled(&self) -> bool {
        let refused = |error: &Failure| error.kind == FailureKind::Unauthorized;
        self.last_success_at.is_some() || self.last_error.as_ref().is_some_and(refused)
    }
}

/// A flag that is left out, or served in its last good form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// Its key, or its place in the document.
    pub flag: String,
    /// What is wrong with it.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
}

/// The state of an environment in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The last look succeeded.
    Live,
    /// Data is served while looks fail.
    Cached,
    /// The data is older than the environment allows.
    Stale,
    /// There is no data.
    Empty,
    /// The source refuses the key, whether there is data or not; or it did when it last said
    /// whether, and the data is withdrawn.
    Unauthorized,
}

impl State {
    /// All states, for metrics.
    pub const ALL: [&'static str; 5] = ["live", "cached", "stale", "empty", "unauthorized"];

    /// The word.
    pub fn label(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Cached => "cached",
            Self::Stale => "stale",
            Self::Empty => "empty",
            Self::Unauthorized => "unauthorized",
        }
    }
}

impl EnvironmentStatus {
    /// Before the first look.
    pub fn new(name: EnvironmentName, source_type: &'static str, source_url: String) -> Self {
        Self {
            name,
            source_type,
            source_url,
            discovered: None,
            source_version: None,
            consecutive_failures: 0,
            last_error: None,
            last_success_at: None,
            last_change_at: None,
            quarantined: Vec::new(),
            diagnostics: Vec::new(),
        }
    }

    /// The state at `now`; `environment` is the same one in the snapshot.
    pub fn state(&self, environment: &Environment, now: Timestamp) -> State {
        let refused = |error: &Failure| error.kind == FailureKind::Unauthorized;
        let is_refused = self.last_error.as_ref().is_some_and(refused);
        if is_refused || environment.freshness.is_withdrawn() {
            State::Unauthorized
        } else if environment.content.is_none() {
            State::Empty
        } else if environment.is_stale(now) {
            State::Stale
        } else if self.last_error.is_some() {
            State::Cached
        } else {
            State::Live
        }
    }
}

impl Environment {
    /// Whether it can be evaluated, whatever its age.
    fn has_data(&self) -> bool {
        self.content.is_some() && !self.freshness.is_withdrawn()
    }

    /// Whether its content is older than it allows.
    pub fn is_stale(&self, now: Timestamp) -> bool {
        self.profile.max_staleness.is_some_and(|limit| self.freshness.age(now).exceeds(limit))
    }
}

impl Board {
    /// A board for these lists.
    pub fn new(lists: Vec<DiscoveryStatus>) -> Self {
        Self(Mutex::new(lists))
    }

    /// All of them, locked. Held for a moment only; no request for flags ever takes it.
    pub fn lock(&self) -> MutexGuard<'_, Vec<DiscoveryStatus>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether this process should be given requests (DESIGN section 3, admin port).
#[derive(Debug)]
pub struct Readiness {
    snapshot: Shared,
    board: Arc<Board>,
    started_at: Timestamp,
    startup_grace: i64,
    settled: AtomicBool,
}

/// Readiness of one environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvironmentReadiness {
    /// The operator's name for it.
    pub name: EnvironmentName,
    /// Whether it can be evaluated now.
    pub ready: bool,
    /// Its state.
    pub state: State,
}

impl Readiness {
    /// A process that started at `started_at` and gives its sources so many milliseconds.
    pub fn new(snapshot: Shared, board: Arc<Board>, started_at: Timestamp, grace: i64) -> Self {
        let settled = AtomicBool::new(false);
        Self { snapshot, board, started_at, startup_grace: grace, settled }
    }

    /// All lists that environments are discovered in.
    pub fn lists(&self) -> MutexGuard<'_, Vec<DiscoveryStatus>> {
        self.board.lock()
    }

    /// When the process started.
    pub fn started_at(&self) -> Timestamp {
        self.started_at
    }

    /// Each environment.
    pub fn environments(&self, now: Timestamp) -> Vec<EnvironmentReadiness> {
        let snapshot = self.snapshot.load();
        let each = snapshot.environments.iter().map(|environment| EnvironmentReadiness {
            name: environment.profile.name.clone(),
            ready: environment.has_data(),
            state: environment.status.lock().state(environment, now),
        });
        each.collect()
    }

    /// The whole process: not before every list of environments was read and every environment has
    /// data, or their time is up; then as long as one environment has data, whatever its age, or
    /// none is to have any. Who comes later holds back nothing.
    pub fn is_ready(&self, now: Timestamp) -> bool {
        // Before the environments: they are let in first, and then their list counts as read.
        let lists = self.board.lock();
        let (has_lists, lists_are_settled) =
            (!lists.is_empty(), lists.iter().all(DiscoveryStatus::is_settled));
        drop(lists);
        let environments = self.environments(now);
        let grace_is_over = now.since(self.started_at) >= self.startup_grace;
        // Who is refused has its answer: waiting longer brings no data.
        let settled = |e: &EnvironmentReadiness| e.ready || e.state == State::Unauthorized;
        if grace_is_over || (lists_are_settled && environments.iter().all(settled)) {
            self.settled.store(true, Ordering::Relaxed);
        }
        // A process that is to serve none is there for its origin.
        let serves_none = environments.is_empty() && !has_lists;
        self.settled.load(Ordering::Relaxed)
            && (serves_none || environments.iter().any(|e| e.ready))
    }

    /// The answer in the words of Flagsmith's proxies (flagsmith.md section 6): whether to give this
    /// process requests, and the body. As there, and other than by [`Readiness::is_ready`], a process
    /// all of whose documents are stale is none to be given requests: balancers that stand before
    /// those proxies count on that.
    pub fn flagsmith(&self, now: Timestamp, draining: bool) -> (bool, String) {
        let has_data = !draining && self.is_ready(now);
        let snapshot = self.snapshot.load();
        let mut present = snapshot.environments.iter().filter(|environment| environment.has_data());
        let ready = has_data && present.any(|environment| !environment.is_stale(now));
        let updated = snapshot.environments.iter().filter_map(|e| e.status.lock().last_success_at);
        let updated = updated.max();
        let updated = updated.map(|at| at.to_string());
        let reason = match (draining, has_data) {
            _ if ready => None,
            (true, _) => Some("shutting down."),
            (false, true) => Some("environment document(s) stale."),
            (false, false) => Some("environment document(s) not updated."),
        };
        let status = if ready { "ok" } else { "error" };
        let body = serde_json::json!({
            "status": status, "reason": reason, "last_successful_update": updated,
        });
        (ready, body.to_string())
    }
}
