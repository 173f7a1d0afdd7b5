//! What the admin port tells about each environment. Written by the publisher, read by people.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Environment;
use crate::model::{EnvironmentName, Failure};
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
        if environment.content.is_none() {
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
