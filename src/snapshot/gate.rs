//! Whether a document may replace what is held (DESIGN section 6, versions and gate).
//!
//! A pure state machine: the publisher tells it each document of an upstream, it says whether to
//! take it. What an operator writes into a file is never asked for here.

use std::time::Duration;

use crate::config;
use crate::model::Fingerprint;
use crate::time::Timestamp;

/// An upstream that keeps giving an older document means it after this long...
const REGRESS_AFTER_MILLIS: i64 = 10 * 60 * 1_000;
/// ...and so many fetches.
const REGRESS_FETCHES: u32 = 5;
/// Two fetches that are closer to each other than this confirm no more than one.
const CONFIRMATIONS_APART: Duration = Duration::from_secs(20);

/// What the gate looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Document {
    /// The source's own number, when it has one.
    pub source_version: Option<u64>,
    /// How many flags it has, those included that cannot be read.
    pub flags: usize,
    /// What it means.
    pub fingerprint: Fingerprint,
}

/// What becomes of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may be published.
    Take,
    /// It may be published though its number is lower: the upstream has insisted for long enough.
    TakeRegressed,
    /// Its number is lower than that of what is held.
    Older,
    /// It lacks too many flags and was fetched this often, of the times that it takes.
    Shrunk(usize),
}

/// The memory of one environment's gate.
#[derive(Debug, Default)]
pub struct Gate {
    lower: Option<Lower>,
    shrunk: Option<Shrunk>,
}

/// A row of documents with lower numbers.
#[derive(Debug)]
struct Lower {
    since: Timestamp,
    fetches: u32,
}

/// A shrunk document that is being confirmed.
#[derive(Debug)]
struct Shrunk {
    fingerprint: Fingerprint,
    fetches: usize,
    counted_at: Timestamp,
}

impl Gate {
    /// Judges a document that was fetched at `now` against the one that is held. The first document
    /// of an environment is not judged: there is nothing to lose.
    pub fn judge(
        &mut self,
        held: Document,
        offered: Document,
        limits: config::Gate,
        now: Timestamp,
    ) -> Verdict {
        let is_lower = offered.source_version < held.source_version;
        if is_lower && !self.has_insisted(now) {
            return Verdict::Older;
        }
        if limits.holds_back(held.flags, offered.flags) {
            let fetches = self.confirm(offered.fingerprint, now);
            if fetches < limits.confirm_after {
                return Verdict::Shrunk(fetches);
            }
        }
        *self = Self::default();
        if is_lower { Verdict::TakeRegressed } else { Verdict::Take }
    }

    /// Forgets what it has seen: what is held was confirmed.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    fn has_insisted(&mut self, now: Timestamp) -> bool {
        let lower = self.lower.get_or_insert(Lower { since: now, fetches: 0 });
        lower.fetches = lower.fetches.saturating_add(1);
        lower.fetches >= REGRESS_FETCHES && now.since(lower.since) >= REGRESS_AFTER_MILLIS
    }

    /// How often this document was fetched by now.
    fn confirm(&mut self, fingerprint: Fingerprint, now: Timestamp) -> usize {
        match &mut self.shrunk {
            Some(shrunk) if shrunk.fingerprint == fingerprint => {
                let apart = i64::try_from(CONFIRMATIONS_APART.as_millis()).unwrap_or(i64::MAX);
                if now.since(shrunk.counted_at) >= apart {
                    shrunk.fetches = shrunk.fetches.saturating_add(1);
                    shrunk.counted_at = now;
                }
                shrunk.fetches
            }
            other => other.insert(Shrunk { fingerprint, fetches: 1, counted_at: now }).fetches,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::config::Fraction;

    fn limits(max_shrink: f64) -> config::Gate {
        config::Gate { max_shrink: Fraction::new(max_shrink).unwrap(), confirm_after: 3 }
    }

    fn document(source_version: u64, flags: usize) -> Document {
        let fingerprint = Fingerprint(source_version << 32 | flags as u64);
        Document { source_version: Some(source_version), flags, fingerprint }
    }

    fn seconds(seconds: i64) -> Timestamp {
        Timestamp(seconds * 1_000)
    }

    #[test]
    fn a_shrunk_document_is_believed_when_it_comes_often_enough_at_a_distance() {
        let mut gate = Gate::default();
        let held = document(1, 10);
        let mut judge = |flags, at| gate.judge(held, document(2, flags), limits(0.5), seconds(at));
        assert_eq!(judge(5, 0), Verdict::Take, "half is enough");
        assert_eq!(judge(4, 0), Verdict::Shrunk(1));
        assert_eq!(judge(4, 19), Verdict::Shrunk(1), "too near");
        assert_eq!(judge(4, 20), Verdict::Shrunk(2));
        assert_eq!(judge(3, 40), Verdict::Shrunk(1), "another document");
        assert_eq!(judge(0, 60), Verdict::Shrunk(1));
        assert_eq!(judge(0, 80), Verdict::Shrunk(2));
        assert_eq!(judge(0, 100), Verdict::Take);
    }

    #[test]
    fn without_limits_or_flags_nothing_is_shrunk() {
        for (max_shrink, held) in [(0.0, 10), (0.5, 0)] {
            let (held, offered) = (document(1, held), document(2, 0));
            let verdict = Gate::default().judge(held, offered, limits(max_shrink), seconds(0));
            assert_eq!(verdict, Verdict::Take);
        }
    }

    #[test]
    fn an_older_document_is_dropped_until_the_upstream_has_insisted() {
        let mut gate = Gate::default();
        let held = document(9, 1);
        let mut judge =
            |version, at| gate.judge(held, document(version, 1), limits(0.5), seconds(at));
        for at in [0, 150, 300, 450] {
            assert_eq!(judge(8, at), Verdict::Older);
        }
        assert_eq!(judge(7, 599), Verdict::Older, "often enough, not yet long enough");
        assert_eq!(judge(8, 600), Verdict::TakeRegressed);
        for at in [700, 2_000, 4_000, 8_000] {
            assert_eq!(judge(8, at), Verdict::Older, "long enough, not yet often enough");
        }
        assert_eq!(judge(9, 8_001), Verdict::Take, "equal is not older");
        assert_eq!(judge(8, 9_000), Verdict::Older, "and starts the count anew");
    }

    #[test]
    fn a_regression_that_shrinks_needs_both() {
        let mut gate = Gate::default();
        let held = document(9, 10);
        let mut judge = |at| gate.judge(held, document(8, 1), limits(0.5), seconds(at));
        for at in [0, 100, 200, 300] {
            assert_eq!(judge(at), Verdict::Older);
        }
        assert_eq!(judge(600), Verdict::Shrunk(1));
        assert_eq!(judge(620), Verdict::Shrunk(2));
        assert_eq!(judge(640), Verdict::TakeRegressed);
    }
}
