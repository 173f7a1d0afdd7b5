//! When to look again.

use std::time::Duration;

/// After the first failure of a row the next look comes within this time...
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
/// ...and never sooner than this.
const LEAST_BACKOFF: Duration = Duration::from_millis(100);
/// The longest rest that a source can ask for. An upstream whose clock is wrong must not silence us
/// for days.
const LONGEST_REST: Duration = Duration::from_secs(10 * 60);

/// The pace at which a source is looked at.
#[derive(Debug)]
pub struct Pace {
    interval: Duration,
    /// None for a source on this machine: looking at it in step with others hurts nobody.
    random: Option<fastrand::Rng>,
    succeeded: bool,
    failures: u32,
}

impl Pace {
    /// Every `interval`, whatever happens.
    pub fn steady(interval: Duration) -> Self {
        Self { interval, random: None, succeeded: false, failures: 0 }
    }

    /// Every `interval`, shared with others: the first success sets a phase of our own, so that a
    /// herd of edges that starts together does not poll together; after failures the pauses grow
    /// with full jitter up to twice the interval.
    pub fn shared(interval: Duration, seed: u64) -> Self {
        let random = Some(fastrand::Rng::with_seed(seed));
        Self { interval, random, succeeded: false, failures: 0 }
    }

    /// Time from the start of a look that succeeded to the next one.
    pub fn after_success(&mut self) -> Duration {
        self.failures = 0;
        let first = !std::mem::replace(&mut self.succeeded, true);
        match &mut self.random {
            // Never zero: that would be no second poll but a repetition of the first.
            Some(random) if first => self.interval.mul_f64(0.1 + 0.9 * random.f64()),
            _ => self.interval,
        }
    }

    /// Time from the start of a look that failed to the next one.
    pub fn after_failure(&mut self) -> Duration {
        let Some(random) = &mut self.random else { return self.interval };
        let longest = self.interval.saturating_mul(2);
        let doubled = FIRST_BACKOFF.saturating_mul(1 << self.failures.min(20));
        let bound = doubled.min(longest);
        self.failures = self.failures.saturating_add(1);
        bound.mul_f64(random.f64()).max(LEAST_BACKOFF.min(longest))
    }

    /// Time from the end of a look to the next one when the source asked for this much rest.
    pub fn rest(asked: Option<Duration>) -> Duration {
        asked.unwrap_or_default().min(LONGEST_REST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn edges_that_start_together_poll_apart_and_then_evenly() {
        let mut firsts: Vec<_> = (0..100)
            .map(|seed| {
                let mut pace = Pace::shared(MINUTE, seed);
                let first = pace.after_success();
                assert_eq!(pace.after_success(), MINUTE);
                first
            })
            .collect();
        firsts.sort();
        assert!(firsts[0] >= MINUTE / 10 && firsts[99] <= MINUTE);
        assert!(firsts[10] < MINUTE / 3 && firsts[90] > MINUTE * 2 / 3, "spread over the interval");
    }

    #[test]
    fn pauses_grow_with_jitter_to_twice_the_interval_and_no_further() {
        let mut longest_at = [Duration::ZERO; 12];
        for seed in 0..500 {
            let mut pace = Pace::shared(MINUTE, seed);
            for (failure, longest) in longest_at.iter_mut().enumerate() {
                let pause = pace.after_failure();
                let bound = Duration::from_secs(1 << failure).min(2 * MINUTE);
                assert!(pause >= LEAST_BACKOFF && pause <= bound, "{failure}: {pause:?}");
                *longest = pause.max(*longest);
            }
            pace.after_success();
            assert!(pace.after_failure() <= FIRST_BACKOFF, "a success starts anew");
        }
        assert!(longest_at[11] > MINUTE, "the whole range is used");
    }

    #[test]
    fn a_source_that_asks_for_rest_gets_it_within_reason() {
        let rest = |seconds| Pace::rest(Some(Duration::from_secs(seconds)));
        assert_eq!(rest(90), Duration::from_secs(90));
        assert_eq!(rest(1_000_000), LONGEST_REST);
        assert_eq!(Pace::rest(None), Duration::ZERO);
    }

    #[test]
    fn a_source_on_this_machine_is_looked_at_evenly() {
        let mut pace = Pace::steady(MINUTE);
        assert_eq!(pace.after_success(), MINUTE);
        assert_eq!(pace.after_failure(), MINUTE);
    }
}
