//! Event streams of upstreams: what makes a source look before its turn.
//!
//! A stream is a task of its own ([`stream`]), so that it goes on while its source looks. What it
//! hears is handed over in one place that holds two numbers ([`Heard`]): however much is announced
//! while a look is under way, one more look follows, for the highest number. [`events`] reads the
//! form, [`reflag`] and [`flagsmith`] what events mean.
//!
//! Announcements make looks sooner, never rarer: the source is polled as if there were no stream. A
//! number that turns out to be wrong delays what is announced after it, by a second at most, and
//! never hides it.

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
/// no number, the upstream announces numbers that it does not have, or lower ones than it had.
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

/// Numbers that were announced one after the other, as far as they matter together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Numbers {
    highest: u64,
    last: u64,
}

impl Numbers {
    /// What is worth a look for somebody who holds `held`: what is ahead of it, or else what the
    /// upstream has gone back to.
    fn other_than(self, held: Option<u64>) -> Option<u64> {
        let Some(held) = held else { return Some(self.highest) };
        let number = if self.highest > held { self.highest } else { self.last };
        (number != held).then_some(number)
    }
}

/// What was heard of a source's stream.
#[derive(Clone, Copy, Debug, Default)]
struct Heard {
    /// What was announced since a look last began or the stream was opened.
    announced: Option<Numbers>,
    /// What is looked for already. To hear it again is no news, and must not drown what is.
    sought: Option<u64>,
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
            (heard.announced, heard.sought) = (None, None);
        });
    }

    fn cannot_read(&self, why: &'static str) {
        self.status.cannot_read(why);
    }

    fn says(&self, word: Word) {
        self.heard.send_if_modified(|heard| match word {
            Word::Announced(number) if heard.sought == Some(number) => false,
            Word::Announced(last) => {
                let highest = heard.announced.map_or(last, |before| before.highest.max(last));
                heard.announced = Some(Numbers { highest, last });
                true
            }
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
    /// What had been heard when the last look began.
    seen: Heard,
    began: Instant,
    /// The highest number that was announced and has not come. It is looked for until it is given up.
    missing: Option<u64>,
    /// How many looks in a row did not bring it.
    short: u32,
    /// The last number that the upstream was asked to wait for.
    awaited: Option<u64>,
    pace: Pace,
    /// Nothing leads to a look before this moment.
    rested_at: Instant,
    /// When the same number may be looked for once more.
    retry_at: Instant,
}

/// What a look is to bring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// The number that was announced, when it is another one than what is held.
    pub(super) number: Option<u64>,
    /// Whether the upstream may be asked to wait for it: once for each number, and not while it
    /// announces what it does not have.
    pub(super) may_wait: bool,
}

impl Push {
    /// For a source that is polled in this interval.
    pub(super) fn new(interval: Duration) -> Self {
        let (sender, heard) = watch::channel(Heard::default());
        let now = Instant::now();
        Self {
            heard,
            sender,
            task: None,
            seen: Heard::default(),
            began: now,
            missing: None,
            short: 0,
            awaited: None,
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
        let heard = self.take_heard();
        if heard.connects > self.seen.connects {
            // Whoever is there now may have what the one before did not.
            self.forget_missing();
            self.awaited = None;
        }
        self.seen = heard;
        self.began = Instant::now();
        let announced = heard.announced.and_then(|numbers| numbers.other_than(held));
        let ahead = announced.filter(|number| held.is_none_or(|held| held < *number));
        // The upstream has just shown that it announces what it does not have.
        let is_doubted = self.short > 0;
        if ahead.is_some() && ahead != self.missing {
            // Another word, which is looked for as often as the one before.
            self.missing = self.missing.max(ahead);
            self.short = self.short.min(1);
            self.pace.after_success();
        }
        let is_new = self.missing.is_some() && self.missing != self.awaited;
        let may_wait = is_new && !is_doubted;
        if may_wait {
            self.awaited = self.missing;
        }
        self.seek();
        Wanted { number: self.missing.or(announced), may_wait }
    }

    /// Tells the stream what is looked for.
    fn seek(&self) {
        let sought = self.missing;
        self.sender.send_if_modified(|heard| {
            heard.sought = sought;
            false
        });
    }

    /// What was heard until now; from here on, numbers are gathered anew.
    fn take_heard(&mut self) -> Heard {
        let mut heard = Heard::default();
        self.sender.send_if_modified(|present| {
            heard = *present;
            present.announced = None;
            false
        });
        self.heard.mark_unchanged();
        heard
    }

    /// It succeeded, and this is held now.
    pub(super) fn look_ends(&mut self, held: Option<u64>) {
        let now = Instant::now();
        self.rested_at = now + self.began.elapsed().clamp(LEAST_REST, LONGEST_REST);
        let fell_short = |number| held.is_some_and(|held| held < number);
        if self.missing.is_some_and(fell_short) && self.short < RETRIES {
            self.short += 1;
            self.retry_at = now + self.pace.after_failure();
        } else {
            self.forget_missing();
        }
    }

    fn forget_missing(&mut self) {
        self.missing = None;
        self.short = 0;
        self.pace.after_success();
        self.seek();
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
        let number = heard.announced.and_then(|numbers| numbers.other_than(held));
        let announced = number.and_then(|number| match (held, self.missing) {
            // It was said once more just when a look for it began.
            (_, Some(missing)) if missing == number => None,
            (Some(held), None) if held < number => Some(self.rested_at),
            _ => Some(doubtful),
        });
        let changed = (heard.changes > self.seen.changes).then_some(doubtful);
        let again = self.missing.map(|_| self.retry_at);
        [announced, changed, again].into_iter().flatten().min()
    }

    /// Done when the stream was opened since the last look began: the upstream is there again.
    pub(super) async fn revived(&mut self) {
        let seen = self.seen.connects;
        if self.heard.wait_for(|heard| heard.connects > seen).await.is_err() {
            std::future::pending::<()>().await;
        }
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
