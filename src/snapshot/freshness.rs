//! How old the content of an environment is.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use crate::model::Confirmed;
use crate::time::Timestamp;

/// When the origin of the rules last confirmed the content. Written by the publisher only.
#[derive(Debug)]
pub struct Freshness {
    confirmed_at: AtomicI64,
    withdrawn: AtomicBool,
}

/// An age.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// Nothing was ever confirmed, or the clock went backwards since.
    Unknown,
    /// Milliseconds.
    Millis(i64),
}

const NEVER: i64 = i64::MIN;

impl Default for Freshness {
    fn default() -> Self {
        Self { confirmed_at: AtomicI64::new(NEVER), withdrawn: AtomicBool::new(false) }
    }
}

impl Freshness {
    /// Of content that was confirmed then.
    pub fn confirmed(confirmed: Confirmed) -> Self {
        let freshness = Self::default();
        freshness.confirm(confirmed);
        freshness
    }

    /// Notes that the content was confirmed, which also ends a withdrawal.
    pub fn confirm(&self, confirmed: Confirmed) {
        let moment = match confirmed {
            Confirmed::At(moment) => moment.0,
            Confirmed::Unknown => NEVER,
        };
        self.confirmed_at.store(moment, Ordering::Relaxed);
        self.withdrawn.store(false, Ordering::Relaxed);
    }

    /// Notes that the content must not be served until it is confirmed again, or restored.
    pub fn withdraw(&self) {
        self.withdrawn.store(true, Ordering::Relaxed);
    }

    /// Ends a withdrawal without a word on the content.
    pub fn restore(&self) {
        self.withdrawn.store(false, Ordering::Relaxed);
    }

    /// Whether the content must not be served.
    pub fn is_withdrawn(&self) -> bool {
        self.withdrawn.load(Ordering::Relaxed)
    }

    /// When it was last confirmed.
    pub fn confirmed_at(&self) -> Option<Timestamp> {
        Some(self.confirmed_at.load(Ordering::Relaxed)).filter(|&at| at != NEVER).map(Timestamp)
    }

    /// Its age at `now`.
    pub fn age(&self, now: Timestamp) -> Age {
        match self.confirmed_at().map(|at| now.since(at)) {
            Some(millis) if millis >= 0 => Age::Millis(millis),
            _ => Age::Unknown,
        }
    }
}

impl Age {
    /// Whether it is above a limit; unknown is.
    pub fn exceeds(self, limit_millis: i64) -> bool {
        match self {
            Self::Unknown => true,
            Self::Millis(millis) => millis > limit_millis,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_went_backwards_makes_the_age_unknown_which_is_stale() {
        let freshness = Freshness::default();
        assert!(freshness.age(Timestamp(5)).exceeds(i64::MAX));
        freshness.confirm(Confirmed::At(Timestamp(1_000)));
        assert_eq!(freshness.age(Timestamp(1_250)), Age::Millis(250));
        assert_eq!(freshness.age(Timestamp(999)), Age::Unknown);
        assert!(!Age::Millis(10).exceeds(10));
        assert!(Age::Millis(11).exceeds(10));
    }
}
