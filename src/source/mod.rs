//! Where rules come from: siblings that do not know each other.
//!
//! A source is a state machine that is asked to look and says what it saw; the driver decides when
//! to ask. Neither knows what is published: what an [`Update`] means is for the publisher.

mod discovery;
mod fetch;
mod file;
mod flagsmith;
mod link;
mod origin;
mod pace;
mod push;
mod reflag;

pub use discovery::{Discovery, DiscoveryDriver, DiscoveryUpstream, discover};
pub(crate) use discovery::{LIST_BYTE, LIST_ENTRY, MAX_LIST};
pub(crate) use file::MAX_BYTES as MAX_DOCUMENT;
pub use file::{FileFormat, FileSource};
pub use flagsmith::{FlagsmithSource, FlagsmithUpstream, ServerKeys};
pub use origin::OriginSource;
pub use pace::Pace;
pub(crate) use push::STREAM_MEMORY;
pub use reflag::{ReflagSource, ReflagUpstream};

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::model::{Failure, KeyClass, Update};
use crate::snapshot::publisher::Report;
use crate::snapshot::{Seat, SourceKey, SourceStream, Waiting};
use crate::time::{Clock, Stopwatch, Timestamp};

/// Something that can be looked at for rules.
pub trait Source {
    /// Looks once. Must end by itself, whatever is at the other end.
    fn look(&mut self, look: Look) -> impl Future<Output = Sight> + Send;

    /// Somebody follows it from now on: a source whose upstream announces changes may listen. Says
    /// in `stream` how that is going. Called in a runtime, once, before the first look.
    fn listen(&mut self, stream: Arc<SourceStream>, clock: Clock) {
        let _ = (stream, clock);
    }

    /// Done when there may be something new to see. Never, for a source that has to be asked.
    fn stirred(&mut self) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }

    /// After a look that failed: done when the source has shown since that it is there again.
    fn revived(&mut self) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }
}

/// What the driver says to a source.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// The present moment.
    pub now: Timestamp,
    /// Somebody waits for another state than the last one: a source that can be asked to answer
    /// only when it has one is asked to.
    pub awaited: bool,
}

impl Look {
    /// A look in its turn.
    pub fn at(now: Timestamp) -> Self {
        Self { now, awaited: false }
    }
}

/// What a source saw.
#[derive(Debug)]
pub struct Sight {
    /// The rules.
    pub update: Update,
    /// What went wrong beside them; worth another look soon.
    pub trouble: Option<Failure>,
    /// All keys that the source brings, if they are other ones than it brought before.
    pub keys: Option<Vec<SourceKey>>,
}

impl From<Update> for Sight {
    fn from(update: Update) -> Self {
        Self { update, trouble: None, keys: None }
    }
}

/// Looks that waiting requests ask for are at least so far apart...
const BETWEEN_WAKES: Duration = Duration::from_secs(1);
/// ...this long after the last report, so that those whom it serves have left...
const BETWEEN_REPORT_AND_WAKE: Duration = Duration::from_millis(100);
/// ...and so far when those who wait hold a key that everybody has.
const BETWEEN_PUBLISHABLE_WAKES: Duration = Duration::from_secs(5);

/// A source that fails is not looked at sooner than this because of what its stream says.
const BEFORE_REVIVAL: Duration = Duration::from_secs(1);

/// Looks at a source now, then at its pace, when it says so itself and when a waiting request asks
/// for it, until nobody takes the reports any more. One look at a time.
pub async fn follow(
    environment: Seat,
    mut source: impl Source,
    mut pace: Pace,
    waiting: Arc<Waiting>,
    stream: Arc<SourceStream>,
    clock: Clock,
    reports: mpsc::Sender<Report>,
) {
    source.listen(stream, clock.clone());
    let mut awaited = false;
    let mut calls = Calls { waiting, publishable_at: None };
    loop {
        let (watch, started) = (Stopwatch::start(), Instant::now());
        let Sight { update, trouble, keys } = source.look(Look { now: clock.now(), awaited }).await;
        let failure = match &update {
            Update::Unavailable(failure) => Some(failure),
            _ => trouble.as_ref(),
        };
        let failed = failure.is_some();
        let rest = Pace::rest(failure.and_then(|failure| failure.retry_after));
        let pause = if failed { pace.after_failure() } else { pace.after_success() };
        // What a source asks for counts from its answer, however long that took.
        let next = (started + pause).max(Instant::now() + rest);
        let report = Report { environment, update, trouble, keys, took: watch.elapsed() };
        if reports.send(report).await.is_err() {
            return;
        }
        let earliest = (started + BETWEEN_WAKES).max(Instant::now() + BETWEEN_REPORT_AND_WAKE);
        // A source that fails is left alone: those who wait would only make it worse.
        awaited = if failed {
            let earliest = Instant::now() + rest.max(BEFORE_REVIVAL);
            let revived = async {
                tokio::time::sleep_until(earliest).await;
                source.revived().await;
            };
            tokio::select! {
                () = tokio::time::sleep_until(next) => {}
                () = revived => {}
            }
            false
        } else {
            tokio::select! {
                awaited = calls.until(earliest, next) => awaited,
                () = source.stirred() => false,
            }
        };
    }
}

/// The calls of waiting requests, kept apart.
struct Calls {
    waiting: Arc<Waiting>,
    /// When a look was last made because a publishable key waited.
    publishable_at: Option<Instant>,
}

impl Calls {
    /// Sleeps until `next`, or for as short as those who wait may make it, but not less than until
    /// `earliest`. Gives whether anybody still waits then: whoever is not served by one look is the
    /// reason for another.
    async fn until(&mut self, earliest: Instant, next: Instant) -> bool {
        loop {
            let (caller, now) = (self.waiting.wake().caller(), Instant::now());
            if now >= next {
                return caller.is_some();
            }
            let mut moment = next;
            if let Some(class) = caller {
                moment = self.earliest(class, earliest).min(next);
                if moment <= now {
                    if class == KeyClass::Publishable {
                        self.publishable_at = Some(now);
                    }
                    return true;
                }
            }
            tokio::select! {
                () = tokio::time::sleep_until(moment) => {}
                () = self.waiting.wake().called() => {}
            }
        }
    }

    /// When somebody with a key of `class` may have a look made, if anybody may at `earliest`.
    fn earliest(&self, class: KeyClass, earliest: Instant) -> Instant {
        match (class, self.publishable_at) {
            (KeyClass::Publishable, Some(last)) => earliest.max(last + BETWEEN_PUBLISHABLE_WAKES),
            _ => earliest,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Mutex;

    use super::*;
    use crate::model::{Confirmed, FailureKind};

    const MINUTE: Duration = Duration::from_secs(60);

    /// When a source was asked, and whether somebody waited then.
    type Looks = Arc<Mutex<Vec<(Duration, bool)>>>;

    /// Says what it was told to say, then that nothing changed.
    struct Scripted {
        failures: VecDeque<Option<Duration>>,
        looks: Looks,
        began: Instant,
    }

    impl Source for Scripted {
        async fn look(&mut self, look: Look) -> Sight {
            self.looks.lock().unwrap().push((self.began.elapsed(), look.awaited));
            match self.failures.pop_front() {
                None => Update::Unchanged(Confirmed::At(look.now)).into(),
                Some(retry_after) => Update::Unavailable(Failure {
                    retry_after,
                    ..Failure::new(FailureKind::Network, "down".to_owned(), look.now)
                })
                .into(),
            }
        }
    }

    /// A source that is followed under paused time, and what it was asked.
    struct Followed {
        looks: Looks,
        waiting: Arc<Waiting>,
        began: Instant,
        _reports: mpsc::Receiver<Report>,
    }

    impl Followed {
        fn start(pace: Pace, failures: Vec<Option<Duration>>) -> Self {
            let looks = Arc::default();
            let waiting = Arc::new(Waiting::new(10));
            let began = Instant::now();
            let source = Scripted { failures: failures.into(), looks: Arc::clone(&looks), began };
            let (sender, reports) = mpsc::channel(1_000);
            let clock = Clock::frozen(Timestamp(0));
            let seat = Seat::of_configuration(0);
            let (waiting_too, stream) = (Arc::clone(&waiting), Arc::default());
            tokio::spawn(follow(seat, source, pace, waiting_too, stream, clock, sender));
            Self { looks, waiting, began, _reports: reports }
        }

        async fn until(&self, seconds: f64) {
            tokio::time::sleep_until(self.began + Duration::from_secs_f64(seconds)).await;
        }

        /// A request of this class waits for a version that does not come, for so many seconds.
        async fn wait(&self, class: KeyClass, seconds: f64) {
            let place = self.waiting.place().unwrap();
            let wait = place.wait(7, class);
            let patience = Duration::from_secs_f64(seconds);
            assert!(tokio::time::timeout(patience, wait).await.is_err());
        }

        /// Milliseconds of all looks, and of which somebody waited for.
        fn seen(&self) -> Vec<(u64, bool)> {
            let looks = self.looks.lock().unwrap();
            looks.iter().map(|(at, awaited)| (at.as_millis() as u64, *awaited)).collect()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn looks_follow_the_pace() {
        let followed = Followed::start(Pace::steady(MINUTE), vec![]);
        followed.until(150.0).await;
        assert_eq!(followed.seen(), [(0, false), (60_000, false), (120_000, false)]);
    }

    #[tokio::test(start_paused = true)]
    async fn while_a_server_waits_it_is_looked_at_once_a_second() {
        let followed = Followed::start(Pace::steady(MINUTE), vec![]);
        followed.until(10.0).await;
        followed.wait(KeyClass::Secret, 2.5).await;
        followed.until(59.0).await;
        let seen = [(0, false), (10_000, true), (11_000, true), (12_000, true)];
        assert_eq!(followed.seen(), seen, "and not any more once it has left");
    }

    #[tokio::test(start_paused = true)]
    async fn while_publishable_keys_wait_it_is_looked_at_every_five_seconds() {
        let followed = Followed::start(Pace::steady(MINUTE), vec![]);
        followed.until(10.0).await;
        followed.wait(KeyClass::Publishable, 9.95).await;
        let seen = [(0, false), (10_000, true), (15_000, true)];
        assert_eq!(followed.seen(), seen);
        followed.wait(KeyClass::Secret, 0.01).await;
        assert_eq!(followed.seen().last(), Some(&(19_950, true)), "a server need not wait so long");
    }

    /// Has something new when somebody waits, and takes its time for that.
    struct Holding(Looks);

    impl Source for Holding {
        async fn look(&mut self, look: Look) -> Sight {
            self.0.lock().unwrap().push((Duration::ZERO, look.awaited));
            tokio::time::sleep(Duration::from_secs(if look.awaited { 5 } else { 0 })).await;
            Update::Unchanged(Confirmed::At(look.now)).into()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_served_by_a_look_is_no_reason_for_another() {
        let waiting = Arc::new(Waiting::new(10));
        let looks = Looks::default();
        let (sender, mut reports) = mpsc::channel(10);
        let (seat, source) = (Seat::of_configuration(0), Holding(Arc::clone(&looks)));
        let (pace, clock) = (Pace::steady(10 * MINUTE), Clock::frozen(Timestamp(0)));
        tokio::spawn(follow(
            seat,
            source,
            pace,
            Arc::clone(&waiting),
            Arc::default(),
            clock,
            sender,
        ));
        reports.recv().await.unwrap();
        // As the publisher does: what was held back comes only after the report.
        let publishing = Arc::clone(&waiting);
        tokio::spawn(async move {
            while reports.recv().await.is_some() {
                tokio::time::sleep(Duration::from_millis(20)).await;
                publishing.reach(7);
            }
        });
        tokio::time::sleep(Duration::from_secs(2)).await;
        waiting.place().unwrap().wait(7, KeyClass::Secret).await;
        tokio::time::sleep(Duration::from_secs(20)).await;
        let awaited: Vec<_> = looks.lock().unwrap().iter().map(|(_, awaited)| *awaited).collect();
        assert_eq!(awaited, [false, true]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_fails_is_left_alone_by_those_who_wait() {
        let rest = Duration::from_secs(30);
        let followed = Followed::start(Pace::shared(MINUTE, 7), vec![Some(rest)]);
        followed.until(5.0).await;
        followed.wait(KeyClass::Secret, 24.0).await;
        assert_eq!(followed.seen().len(), 1);
        followed.until(30.5).await;
        assert_eq!(followed.seen().len(), 2, "and looked at when its rest is over");
    }

    #[tokio::test(start_paused = true)]
    async fn an_upstream_that_is_well_again_is_followed_within_three_intervals() {
        let down = vec![None; 50];
        let followed = Followed::start(Pace::shared(MINUTE, 11), down);
        followed.until(50.0 * 120.0).await;
        let seen = followed.seen();
        let pauses = seen.windows(2).map(|pair| pair[1].0 - pair[0].0);
        assert!(seen.len() > 50 && pauses.max().unwrap() <= 120_000);
    }
}
