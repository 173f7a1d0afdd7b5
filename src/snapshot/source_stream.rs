//! How the event stream of an environment's source is doing.
//!
//! One of these per environment stands between two parties: the source says how its stream is doing,
//! the admin port and the log tell it. No request for flags ever looks at it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::model::Failure;
use crate::time::Timestamp;

/// The state of a source's event stream.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum StreamState {
    /// None is followed: the source has none, or is told to follow none.
    #[default]
    Off,
    /// None is followed for now: the upstream says that it has none. It is asked again, rarely.
    Absent,
    /// One is to be followed, and there is none at the moment.
    Disconnected,
    /// It is open, and has not been silent for long.
    Connected,
}

impl StreamState {
    /// The word of the status (DESIGN section 3): `off` for both that are no trouble.
    pub fn label(self) -> &'static str {
        match self {
            Self::Off | Self::Absent => "off",
            Self::Disconnected => "disconnected",
            Self::Connected => "connected",
        }
    }

    /// Whether it is followed, or should be: none where nothing is to be.
    pub fn is_connected(self) -> Option<bool> {
        match self {
            Self::Off | Self::Absent => None,
            Self::Disconnected => Some(false),
            Self::Connected => Some(true),
        }
    }
}

/// What is known of a source's event stream.
#[derive(Clone, Debug, Default)]
pub struct StreamStatus {
    /// Its state.
    pub state: StreamState,
    /// Since when; none before it was ever tried.
    pub since: Option<Timestamp>,
    /// Why there is none; none while it is open.
    pub error: Option<Failure>,
    /// How often it was opened.
    pub opened: u64,
    /// Messages that could not be read and were passed over, of all streams so far.
    pub unreadable: u64,
    /// What was wrong with the first of them on the present stream.
    pub unreadable_for: Option<&'static str>,
}

/// The status of one source's event stream, shared by all snapshots that have the environment.
#[derive(Debug, Default)]
pub struct SourceStream(Mutex<StreamStatus>);

impl SourceStream {
    /// What is known now.
    pub fn status(&self) -> StreamStatus {
        self.lock().clone()
    }

    /// It is to be followed from now on.
    pub fn begins(&self, now: Timestamp) {
        self.moves_to(StreamState::Disconnected, now).error = None;
    }

    /// It is open.
    pub fn connects(&self, now: Timestamp) {
        let mut status = self.moves_to(StreamState::Connected, now);
        status.error = None;
        status.opened += 1;
        status.unreadable_for = None;
    }

    /// A message on it could not be read, for this reason.
    pub fn cannot_read(&self, why: &'static str) {
        let mut status = self.lock();
        status.unreadable += 1;
        status.unreadable_for.get_or_insert(why);
    }

    /// It cannot be opened, or has ended.
    pub fn fails(&self, failure: Failure) {
        let at = failure.at;
        self.moves_to(StreamState::Disconnected, at).error = Some(failure);
    }

    /// The upstream says that it has none.
    pub fn is_absent(&self, failure: Failure) {
        let at = failure.at;
        self.moves_to(StreamState::Absent, at).error = Some(failure);
    }

    fn moves_to(&self, state: StreamState, now: Timestamp) -> MutexGuard<'_, StreamStatus> {
        let mut status = self.lock();
        if status.state != state {
            status.state = state;
            status.since = Some(now);
        }
        status
    }

    fn lock(&self) -> MutexGuard<'_, StreamStatus> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
