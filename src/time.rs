//! The only place that reads clocks, so that tests can hold them still.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Reads an RFC 3339 instant.
    pub fn parse(text: &str) -> Option<Self> {
        humantime::parse_rfc3339_weak(text).ok().map(Self::from)
    }

    /// Whole milliseconds from `earlier` to `self`; negative when the clock went backwards.
    pub fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let millis = |d: Duration| i64::try_from(d.as_millis()).unwrap_or(i64::MAX);
        Self(match time.duration_since(UNIX_EPOCH) {
            Ok(after) => millis(after),
            Err(before) => -millis(before.duration()),
        })
    }
}

impl From<Timestamp> for SystemTime {
    fn from(Timestamp(millis): Timestamp) -> Self {
        UNIX_EPOCH + Duration::from_millis(u64::try_from(millis).unwrap_or(0))
    }
}

/// Prints RFC 3339 in UTC with milliseconds.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // humantime ends at the year 9999, which no clock of ours passes.
        let latest = 253_402_300_799_999;
        let millis = u64::try_from(self.0).unwrap_or(0).min(latest);
        let time = UNIX_EPOCH + Duration::from_millis(millis);
        humantime::format_rfc3339_millis(time).fmt(f)
    }
}

/// Where "now" comes from.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The machine's.
    #[default]
    System,
    /// Stands still until somebody moves it.
    Frozen(Arc<AtomicI64>),
}

impl Clock {
    /// A clock that shows `now` until [`Clock::set`].
    pub fn frozen(now: Timestamp) -> Self {
        Self::Frozen(Arc::new(AtomicI64::new(now.0)))
    }

    /// The present moment.
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => Timestamp::from(SystemTime::now()),
            Self::Frozen(millis) => Timestamp(millis.load(Ordering::Relaxed)),
        }
    }

    /// Moves a frozen clock; the machine's own is left alone.
    pub fn set(&self, now: Timestamp) {
        if let Self::Frozen(millis) = self {
            millis.store(now.0, Ordering::Relaxed);
        }
    }
}

/// Measures a span by the monotonic clock.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts now.
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Time since the start.
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    pub fn elapsed(self) -> Duration {
        Instant::now().saturating_duration_since(self.0)
    }

    /// Time from another start to this one.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_duration_since(earlier.0)
    }
}
