//! What clients on event streams are told of an environment.
//!
//! There is one announcement at a time, the latest: a stream tells a state, not a history, so who
//! missed one version hears of the next and has lost nothing. It is encoded when it is made, and
//! whoever is told it holds a reference. Nobody has a queue, so a slow client costs no memory.

use std::fmt::Debug;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::{ArcSwapOption, Guard};
use slab::Slab;

use super::{Content, Family};
use crate::dialect::event_stream::Message;
use crate::dialect::{Dialect, flagsmith, ofrep, reflag};
use crate::time::Timestamp;

/// Word of a version, in the words of each dialect.
#[derive(Debug)]
pub struct Announcement {
    /// The version that clients see.
    pub version: u64,
    /// When the environment was changed, for Flagsmith's clients; in microseconds of the epoch.
    moment: i64,
    messages: [Message; Dialect::ALL.len()],
}

impl Announcement {
    /// Word of `content`, which came after what was announced `before`. So many clients are told.
    fn of(content: &Content, before: Option<&Self>, now: Timestamp, clients: usize) -> Self {
        let version = content.version.number();
        let written = match &content.family {
            // What the translated document says, see flagsmith::translate.
            Family::Reflag(_) => i64::try_from(version).ok().and_then(|v| v.checked_mul(1_000)),
            Family::Flagsmith(rules) => rules.updated_micros(),
        };
        let written = written.unwrap_or(now.0.saturating_mul(1_000));
        // Documents change without another date, and a client whose document has this one already
        // would not ask again.
        let moment = before.map_or(written, |before| written.max(before.moment + 1));
        let jitter = (clients as u64 / CLIENTS_PER_MILLI).min(LONGEST_JITTER);
        let message = |dialect| match dialect {
            Dialect::Reflag => reflag::events::flags_updated(version),
            Dialect::Flagsmith => flagsmith::events::environment_updated(version, moment),
            Dialect::Ofrep => ofrep::events::refetch_evaluation(version, now, jitter),
        };
        Self { version, moment, messages: Dialect::ALL.map(message) }
    }

    /// The words of a dialect.
    pub fn message(&self, dialect: Dialect) -> &Message {
        &self.messages[dialect as usize]
    }
}

/// Clients that are told of a change ask for it within as many milliseconds as this goes into their
/// number...
const CLIENTS_PER_MILLI: u64 = 10;
/// ...and not later than this, in milliseconds.
const LONGEST_JITTER: u64 = 10_000;

/// Somebody who is told.
pub trait Listener: Debug + Send + Sync {
    /// There is something to look at.
    fn wake(&self);

    /// So much time has passed.
    fn beat(&self, now: u32);
}

/// One environment's announcements and those who listen to them.
#[derive(Debug)]
pub struct Announcements {
    latest: ArcSwapOption<Announcement>,
    listeners: Mutex<Slab<Arc<dyn Listener>>>,
    limit: usize,
    /// How often keys have changed: whoever listens looks whether its own still holds.
    keys: AtomicU32,
    over: AtomicBool,
}

impl Announcements {
    /// Nothing is announced yet; at most `limit` listen.
    pub fn new(limit: usize) -> Self {
        Self {
            latest: ArcSwapOption::empty(),
            listeners: Mutex::default(),
            limit,
            keys: AtomicU32::new(0),
            over: AtomicBool::new(false),
        }
    }

    /// Announces what is published. Called by the publisher only, once requests see it.
    pub fn announce(&self, content: &Content, now: Timestamp) {
        let before = self.latest.load();
        let listeners = self.listeners();
        let latest = Announcement::of(content, before.as_deref(), now, listeners.len());
        self.latest.store(Some(Arc::new(latest)));
        wake(&listeners);
    }

    /// Has all who listen look whether their keys still hold.
    pub fn keys_changed(&self) {
        self.keys.fetch_add(1, Ordering::Release);
        wake(&self.listeners());
    }

    /// Sends all who listen away, and lets nobody in any more.
    pub fn end(&self) {
        self.over.store(true, Ordering::Release);
        wake(&self.listeners());
    }

    /// Tells all who listen how late it is.
    pub fn beat(&self, now: u32) {
        self.listeners().iter().for_each(|(_, listener)| listener.beat(now));
    }

    /// What was announced last.
    pub fn latest(&self) -> Guard<Option<Arc<Announcement>>> {
        self.latest.load()
    }

    /// How often keys have changed.
    pub fn keys(&self) -> u32 {
        self.keys.load(Ordering::Acquire)
    }

    /// Whether nothing is announced any more.
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// Whether nobody listens.
    pub fn is_empty(&self) -> bool {
        self.listeners().is_empty()
    }

    /// Lets somebody listen: gives the place to be given back with [`Announcements::leave`], or none
    /// when all are taken. Whatever is announced afterwards wakes it.
    pub fn join(&self, listener: Arc<dyn Listener>) -> Option<usize> {
        let mut listeners = self.listeners();
        (listeners.len() < self.limit).then(|| listeners.insert(listener))
    }

    /// Gives a place back.
    pub fn leave(&self, place: usize) {
        let mut listeners = self.listeners();
        // It is dropped once the lock is given back: what goes with it is not ours.
        let _left = listeners.try_remove(place);
        if listeners.is_empty() {
            // A crowd that has left takes its table with it.
            listeners.shrink_to_fit();
        }
        drop(listeners);
    }

    fn listeners(&self) -> MutexGuard<'_, Slab<Arc<dyn Listener>>> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wake(listeners: &Slab<Arc<dyn Listener>>) {
    listeners.iter().for_each(|(_, listener)| listener.wake());
}
