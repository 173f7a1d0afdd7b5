//! Requests that wait for a version (`waitForVersion`, DESIGN section 6).
//!
//! One of these per environment stands between three parties: the publisher says what is held, a
//! request waits for more, and the source is woken for it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use crate::model::KeyClass;

/// Nobody waits for a version that is further ahead than this: no environment moves so fast.
pub const FARTHEST: u64 = 1_000_000;

/// How long requests of each class of keys are held: clearly below what their SDKs wait for an
/// answer, 5 s in browsers and 10 s in servers (reflag-runtime.md section 6).
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For publishable keys.
    pub publishable: Duration,
    /// For secret keys.
    pub secret: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { publishable: Duration::from_secs(4), secret: Duration::from_secs(9) }
    }
}

impl Patience {
    /// For keys of `class`.
    pub fn of(self, class: KeyClass) -> Duration {
        match class {
            KeyClass::Publishable => self.publishable,
            KeyClass::Secret => self.secret,
        }
    }
}

/// One environment's waiting requests.
#[derive(Debug)]
pub struct Waiting {
    reached: watch::Sender<Reached>,
    held: AtomicUsize,
    limit: usize,
    wake: Wake,
}

#[derive(Clone, Copy, Debug, Default)]
struct Reached {
    version: u64,
    ending: bool,
}

/// What waiting requests want of the source.
#[derive(Debug, Default)]
pub struct Wake {
    /// Somebody came.
    came: Notify,
    /// How many wait, by class of keys.
    publishable: AtomicUsize,
    secret: AtomicUsize,
}

/// Somebody who waits, as the source sees it.
struct Call<'a>(&'a AtomicUsize);

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request among those that wait.
#[derive(Debug)]
pub struct Place<'a>(&'a Waiting);

impl Place<'_> {
    /// Wakes the source and waits until `wanted` is held or the process ends. How long that may
    /// take is for the caller to bound.
    pub async fn wait(&self, wanted: u64, class: KeyClass) {
        let mut reached = self.0.reached.subscribe();
        let _call = self.0.wake.call(class);
        // The sender is part of what is borrowed and cannot be gone.
        let _ = reached.wait_for(|reached| reached.ending || reached.version >= wanted).await;
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.held.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Waiting {
    /// For at most `limit` requests.
    pub fn new(limit: usize) -> Self {
        let (reached, _) = watch::channel(Reached::default());
        Self { reached, held: AtomicUsize::new(0), limit, wake: Wake::default() }
    }

    /// Notes what is held. `version` is what clients see, or the source's own number where that is
    /// higher: then nothing changed for clients, and there is nothing to wait for.
    pub fn reach(&self, version: u64) {
        self.reached.send_modify(|reached| reached.version = version);
    }

    /// Sends all waiting requests on their way: the process ends.
    pub fn end(&self) {
        self.reached.send_modify(|reached| reached.ending = true);
    }

    /// Whether a request for `wanted` has something to wait for.
    pub fn is_ahead(&self, wanted: u64) -> bool {
        let Reached { version, ending } = *self.reached.borrow();
        !ending && wanted > version && wanted - version <= FARTHEST
    }

    /// Whether what is wanted has come. A request that loaded its snapshot before that looks again.
    pub fn has_reached(&self, wanted: u64) -> bool {
        let Reached { version, ending } = *self.reached.borrow();
        !ending && wanted <= version
    }

    /// A place among those that wait, or none when all are taken.
    pub fn place(&self) -> Option<Place<'_>> {
        let place = Place(self);
        let before = self.held.fetch_add(1, Ordering::Relaxed);
        (before < self.limit).then_some(place)
    }

    /// What the source listens to.
    pub fn wake(&self) -> &Wake {
        &self.wake
    }
}

impl Wake {
    fn call(&self, class: KeyClass) -> Call<'_> {
        let waiting = match class {
            KeyClass::Publishable => &self.publishable,
            KeyClass::Secret => &self.secret,
        };
        waiting.fetch_add(1, Ordering::Relaxed);
        self.came.notify_one();
        Call(waiting)
    }

    /// The class of keys for which somebody waits now, if anybody does. Secret keys go first.
    pub fn caller(&self) -> Option<KeyClass> {
        let somebody = |waiting: &AtomicUsize| waiting.load(Ordering::Relaxed) > 0;
        if somebody(&self.secret) {
            Some(KeyClass::Secret)
        } else {
            somebody(&self.publishable).then_some(KeyClass::Publishable)
        }
    }

    /// Waits until somebody comes; whoever came since the last time counts.
    pub async fn called(&self) {
        self.came.notified().await;
    }
}
