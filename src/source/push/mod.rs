//! Event streams of upstreams: what makes a source look before its turn.
//!
//! A stream is a task of its own ([`stream`]), so that it goes on while its source looks. What it
//! hears is handed over in one place that holds the latest only ([`Heard`]): however much is
//! announced while a look is under way, one more look follows, for the highest number. [`events`]
//! reads the form, [`reflag`] and [`flagsmith`] what events mean.
//!
//! Announcements make looks sooner, never rarer: the source is polled as if there were no stream.

mod events;
pub(super) mod flagsmith;
pub(super) mod reflag;
mod stream;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use self::stream::Door;
pub(super) use self::stream::Followed;
use super::Pace;
use crate::snapshot::SourceStream;
use crate::time::{Clock, Timestamp};

/// The most that a stream takes: what is read at once (64 KiB), TLS, the connection, and a line and
/// an event that grow up to their lengths.
pub(crate) const STREAM_MEMORY: u64 =
    (64 << 10) + (64 << 10) + 2 * (events::LONGEST_LINE + events::LONGEST_EVENT) as u64;

/// A look that is made because of an announcement leaves as much time before the next one as it took
/// itself: at least this much, which a change that comes close behind another has to wait...
const LEAST_REST: Duration = Duration::from_millis(10);
/// ...and at most so much. So a flood of announcements leads to a hundred looks a second at most, and
/// a large document takes half of the time.
const LONGEST_REST: Duration = Duration::from_secs(1);
/// Looks are so far apart where it cannot be told that one has brought what was announced: there was
/// no number, or the upstream announces numbers that it does not have.
const BETWEEN_DOUBTFUL: Duration = Duration::from_secs(1);
/// So often more a number is looked for that was announced and did not come, ever more rarely, for
/// about a minute in all. Then it is left to the polls.
const RETRIES: u32 = 6;

/// What an event means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// There is a state with this number.
    Announced(u64),
    /// There is another state; it is not said which.
    Changed,
}

/// What was heard of a source's stream.
#[derive(Clone, Copy, Debug, Default)]
struct Heard {
    /// The highest number that was announced since the stream was opened.
    announced: Option<u64>,
    /// How often the stream was opened. What changed before that was announced to nobody.
    connects: u64,
    /// How often a change was announced without a number.
    changes: u64,
}

/// What a stream speaks with.
#[derive(Debug)]
struct Voice {
    heard: watch::Sender<Heard>,
    status: Arc<SourceStream>,
    clock: Clock,
}

impl Voice {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn connected(&self) {
        self.status.connects(self.now());
        self.heard.send_modify(|heard| {
            heard.connects += 1;
            // An upstream that went back says so on connect; what it said before is over.
            heard.announced = None;
        });
    }

    fn says(&self, word: Word) {
        self.heard.send_if_modified(|heard| match word {
            Word::Announced(number) if heard.announced.is_none_or(|known| known < number) => {
                heard.announced = Some(number);
                true
            }
            Word::Announced(_) => false,
            Word::Changed => {
                heard.changes += 1;
                true
            }
        });
    }
}

/// Ends its task when dropped.
#[derive(Debug)]
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A source's side of its event stream. Until one is opened nothing is ever announced.
#[derive(Debug)]
pub(super) struct Push {
    heard: watch::Receiver<Heard>,
    sender: watch::Sender<Heard>,
    task: Option<Task>,
    /// Numbers that are further ahead of what is held are none.
    farthest: u64,
    /// What had been heard when the last look began.
    seen: Heard,
    began: Instant,
    /// The number that the last look was to bring.
    wanted: Option<u64>,
    /// The last number that the upstream was asked to wait for.
    awaited: Option<u64>,
    /// How many looks in a row brought less than was announced.
    short: u32,
    /// A number that is not looked for any more.
    given_up: Option<u64>,
    pace: Pace,
    /// Nothing leads to a look before this moment.
    rested_at: Instant,
    /// When the same number may be looked for once more.
    retry_at: Instant,
}

/// What a look is to bring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// The number that was announced, when it is higher than what is held.
    pub(super) number: Option<u64>,
    /// Whether the upstream may be asked to wait for it: once for each number, and not while it
    /// announces what it does not have.
    pub(super) may_wait: bool,
}

impl Push {
    /// For a source that is polled in this interval.
    pub(super) fn new(interval: Duration, farthest: u64) -> Self {
        let (sender, heard) = watch::channel(Heard::default());
        let now = Instant::now();
        Self {
            heard,
            sender,
            task: None,
            farthest,
            seen: Heard::default(),
            began: now,
            wanted: None,
            awaited: None,
            short: 0,
            given_up: None,
            pace: Pace::shared(interval, fastrand::u64(..)),
            rested_at: now,
            retry_at: now,
        }
    }

    /// Follows a stream from now on, in the place of the one before. Has to be called in a runtime.
    pub(super) fn follow(
        &mut self,
        door: impl Door + 'static,
        followed: Followed,
        status: Arc<SourceStream>,
        clock: Clock,
    ) {
        // First, so that what the old one still says is about the old one.
        self.task = None;
        status.begins(clock.now());
        let voice = Voice { heard: self.sender.clone(), status, clock };
        let following = stream::follow(door, followed, voice, fastrand::u64(..));
        self.task = Some(Task(tokio::spawn(following)));
    }

    /// A look begins, while the state with the number `held` is held.
    pub(super) fn look_begins(&mut self, held: Option<u64>) -> Wanted {
        let heard = *self.heard.borrow_and_update();
        self.wanted = self.ahead(heard, held);
        self.seen = heard;
        self.began = Instant::now();
        let is_new = self.wanted.is_some() && self.wanted != self.awaited;
        let may_wait = is_new && self.short == 0;
        if may_wait {
            self.awaited = self.wanted;
        }
        Wanted { number: self.wanted, may_wait }
    }

    /// It succeeded, and this is held now.
    pub(super) fn look_ends(&mut self, held: Option<u64>) {
        let now = Instant::now();
        self.rested_at = now + self.began.elapsed().clamp(LEAST_REST, LONGEST_REST);
        let fell_short = |number| held.is_some_and(|held| held < number);
        if self.wanted.is_some_and(fell_short) {
            if self.short < RETRIES {
                self.short += 1;
                self.retry_at = now + self.pace.after_failure();
                return;
            }
            self.given_up = self.wanted.take();
        }
        self.short = 0;
        self.pace.after_success();
    }

    /// Done when something was heard that a look may be worth, and it is time for one.
    pub(super) async fn stirred(&mut self, held: Option<u64>) {
        loop {
            let heard = *self.heard.borrow();
            tokio::select! {
                () = until(self.next_look(heard, held)) => return,
                changed = self.heard.changed() => {
                    if changed.is_err() {
                        return std::future::pending().await;
                    }
                }
            }
        }
    }

    /// When to look because of what was heard; none when there is no reason to.
    fn next_look(&self, heard: Heard, held: Option<u64>) -> Option<Instant> {
        let doubtful = self.rested_at.max(self.began + BETWEEN_DOUBTFUL);
        if heard.connects > self.seen.connects {
            return Some(self.rested_at);
        }
        match self.ahead(heard, held) {
            Some(_) if self.short == 0 => Some(self.rested_at),
            Some(number) if self.wanted == Some(number) => Some(self.retry_at),
            Some(_) => Some(doubtful),
            None => (heard.changes > self.seen.changes).then_some(doubtful),
        }
    }

    /// Done when the stream was opened since the last look began: the upstream is there again.
    pub(super) async fn revived(&mut self) {
        let seen = self.seen.connects;
        if self.heard.wait_for(|heard| heard.connects > seen).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// The announced number, if it is ahead of what is held and can be one.
    fn ahead(&self, heard: Heard, held: Option<u64>) -> Option<u64> {
        let announced = heard.announced.filter(|_| heard.announced != self.given_up)?;
        let is_ahead = match held {
            Some(held) => announced > held && announced - held <= self.farthest,
            // What is held has no number, so each announcement counts once.
            None => self.seen.announced != Some(announced),
        };
        is_ahead.then_some(announced)
    }
}

/// Sleeps until a moment; for ever when there is none.
async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
