//! What the admin port tells about each environment. Written by the publisher, read by people.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Environment, Shared};
use crate::model::{EnvironmentName, Failure, FailureKind};
use crate::time::Timestamp;

/// All environments, in the order of the configuration.
#[derive(Debug)]
pub struct Board(Mutex<Vec<EnvironmentStatus>>);

/// What is known of one environment beside its content.
#[derive(Clone, Debug)]
pub struct EnvironmentStatus {
    /// The operator's name for it.
    pub name: EnvironmentName,
    /// Type of its source, as in the configuration.
    pub source_type: &'static str,
    /// Where the source is; never with a key.
    pub source_url: String,
    /// Failed looks since the last good one.
    pub consecutive_failures: u32,
    /// Why the last look failed; none after a good one.
    pub last_error: Option<Failure>,
    /// The last good look.
    pub last_success_at: Option<Timestamp>,
    /// The last publish.
    pub last_change_at: Option<Timestamp>,
    /// Flags that are left out or held back.
    pub quarantined: Vec<Quarantined>,
    /// Odd things about the rules that are served.
    pub diagnostics: Vec<String>,
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
    /// Whether its content is older than it allows.
    pub fn is_stale(&self, now: Timestamp) -> bool {
        self.profile.max_staleness.is_some_and(|limit| self.freshness.age(now).exceeds(limit))
    }
}

impl Board {
    /// A board for these environments.
    pub fn new(environments: Vec<EnvironmentStatus>) -> Self {
        Self(Mutex::new(environments))
    }

    /// All of them, locked. Held for a moment only; no request for flags ever takes it.
    pub fn lock(&self) -> MutexGuard<'_, Vec<EnvironmentStatus>> {
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

    /// When the process started.
    pub fn started_at(&self) -> Timestamp {
        self.started_at
    }

    /// Each environment.
    pub fn environments(&self, now: Timestamp) -> Vec<EnvironmentReadiness> {
        let snapshot = self.snapshot.load();
        let board = self.board.lock();
        let each = snapshot.environments.iter().zip(board.iter());
        each.map(|(environment, status)| EnvironmentReadiness {
            name: status.name.clone(),
            ready: environment.content.is_some() && !environment.freshness.is_withdrawn(),
            state: status.state(environment, now),
        })
        .collect()
    }

    /// The whole process: not before every environment has data or its time is up, then as long as
    /// one of them has data, whatever its age.
    pub fn is_ready(&self, now: Timestamp) -> bool {
        let environments = self.environments(now);
        let grace_is_over = now.since(self.started_at) >= self.startup_grace;
        // Who is refused has its answer: waiting longer brings no data.
        let settled = |e: &EnvironmentReadiness| e.ready || e.state == State::Unauthorized;
        if grace_is_over || environments.iter().all(settled) {
            self.settled.store(true, Ordering::Relaxed);
        }
        self.settled.load(Ordering::Relaxed) && environments.iter().any(|e| e.ready)
    }

    /// The answer in the words of Flagsmith's proxies (flagsmith.md section 6).
    pub fn flagsmith(&self, now: Timestamp, draining: bool) -> (bool, String) {
        let ready = !draining && self.is_ready(now);
        let updated = self.board.lock().iter().filter_map(|status| status.last_success_at).max();
        let updated = updated.map(|at| at.to_string());
        let reason = match (ready, draining) {
            (true, _) => None,
            (false, true) => Some("shutting down."),
            (false, false) => Some("environment document(s) not updated."),
        };
        let status = if ready { "ok" } else { "error" };
        let body = serde_json::json!({
            "status": status, "reason": reason, "last_successful_update": updated,
        });
        (ready, body.to_string())
    }
}
