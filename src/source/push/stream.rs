//! Keeps one event stream open: connects, notices silence, comes back.
//!
//! Silence is a failure: whoever swallows a stream swallows its end, too. After each end the stream
//! is opened anew, soon at first and then ever later, at a moment that chance decides, so that edges
//! which lost their upstream together do not come back together. Says when it is open and what is
//! announced over it, never what that leads to.

use std::time::Duration;

use bytes::Bytes;
use hyper::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{HeaderMap, Request, StatusCode};
use tokio::time::Instant;

use super::events::{Event, Events, Item};
use super::{Voice, Word};
use crate::model::{Failure, FailureKind};
use crate::source::{Pace, fetch};
use crate::time::Timestamp;
use crate::upstream::{Client, Pieces, SendError};

/// Longest time without a line. Streams have a comment every 15 to 30 s (flagsmith.md section 15,
/// reflag-runtime.md section 7.3), so two in a row would be missing.
const SILENCE: Duration = Duration::from_secs(60);
/// A stream that was open for so long was a good one: the next failure is the first of its row. Not
/// above [`SILENCE`], so that an upstream without comments is no worse than a slow poll.
const SETTLED: Duration = SILENCE;
/// Longest pause between two attempts: twice this, see [`Pace::shared`].
const PAUSE: Duration = Duration::from_secs(30);
/// The longest `retry` that is heeded.
const LONGEST_RETRY: Duration = Duration::from_secs(60);
/// Between half of this time and all of it passes before an upstream that has no stream is asked
/// again: it may have been replaced by a newer one.
const ABSENCE: Duration = Duration::from_secs(10 * 60);

/// What is wrong with messages that are passed over: what is said to others, or in another way, must
/// not end what is said to us.
const NO_JSON: &str = "it is no JSON";
const TOO_LONG: &str = "it is longer than 16 KiB";

/// A stream to be followed.
#[derive(Debug)]
pub(in crate::source) struct Followed {
    /// What opens it. May carry a key in its path, which is never told.
    pub(in crate::source) request: Request<Bytes>,
    /// What it is called in messages.
    pub(in crate::source) place: String,
    /// For the head of the answer.
    pub(in crate::source) timeout: Duration,
    /// What its events mean.
    pub(in crate::source) read: fn(&Event) -> Result<Option<Word>, serde_json::Error>,
}

/// What opens streams.
pub(in crate::source) trait Door: Send + Sync {
    type Pieces: Gives;

    /// Gives a head within `timeout`, and what follows it.
    fn open(
        &self,
        request: Request<Bytes>,
        timeout: Duration,
    ) -> impl Future<Output = Result<(StatusCode, HeaderMap, Self::Pieces), SendError>> + Send;
}

/// What gives a stream's bytes.
pub(in crate::source) trait Gives: Send {
    /// The next ones, within a time; none at the end.
    fn next(
        &mut self,
        within: Duration,
    ) -> impl Future<Output = Result<Option<Bytes>, SendError>> + Send;
}

impl Door for Client {
    type Pieces = Pieces;

    async fn open(
        &self,
        request: Request<Bytes>,
        timeout: Duration,
    ) -> Result<(StatusCode, HeaderMap, Pieces), SendError> {
        let opened = self.open(request, timeout).await?;
        Ok((opened.status, opened.headers, opened.pieces))
    }
}

impl Gives for Pieces {
    async fn next(&mut self, within: Duration) -> Result<Option<Bytes>, SendError> {
        self.next(within).await
    }
}

/// How a stream ended.
enum End {
    /// It was closed or lost, or could not be opened.
    Failed(Failure),
    /// There is none.
    Absent(Failure),
}

/// What came of one attempt.
struct Attempt {
    end: End,
    /// How long it was open.
    lasted: Duration,
    /// What the stream itself asked for.
    retry: Duration,
}

/// Follows a stream until it is dropped.
pub(super) async fn follow(door: impl Door, followed: Followed, voice: Voice, seed: u64) {
    let mut stream = Stream { door, followed, voice };
    let mut random = fastrand::Rng::with_seed(seed);
    let mut pace = Pace::shared(PAUSE, random.u64(..));
    loop {
        let Attempt { end, lasted, retry } = stream.attempt().await;
        if lasted >= SETTLED {
            pace.after_success();
        }
        let pause = match end {
            End::Failed(failure) => {
                // What is asked for is the least; chance comes on top of it.
                let rest = Pace::rest(failure.retry_after).max(retry);
                stream.voice.status.fails(failure);
                rest + pace.after_failure()
            }
            End::Absent(failure) => {
                let rest = Pace::rest(failure.retry_after);
                stream.voice.status.is_absent(failure);
                rest.max(ABSENCE.mul_f64(0.5 + 0.5 * random.f64()))
            }
        };
        tokio::time::sleep(pause).await;
    }
}

struct Stream<D> {
    door: D,
    followed: Followed,
    voice: Voice,
}

impl<D: Door> Stream<D> {
    /// Opens the stream and reads it to its end.
    async fn attempt(&mut self) -> Attempt {
        let mut retry = Duration::ZERO;
        let opened = self.open().await;
        let began = Instant::now();
        let end = match opened {
            Ok(pieces) => {
                self.voice.connected();
                End::Failed(self.read(pieces, &mut retry).await)
            }
            Err(end) => end,
        };
        Attempt { end, lasted: began.elapsed(), retry }
    }

    async fn open(&self) -> Result<D::Pieces, End> {
        let Followed { request, place, timeout, .. } = &self.followed;
        let mut request = request.clone();
        let fields = request.headers_mut();
        fields.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        let opened = self.door.open(request, *timeout).await;
        let now = self.voice.now();
        let (status, headers, pieces) =
            opened.map_err(|error| End::Failed(fetch::failure(&error, place, now)))?;
        match status.as_u16() {
            // 204 is how an event stream says that nobody should come back.
            204 | 404 | 405 | 410 | 501 => Err(End::Absent(absence(status, place, now))),
            _ => {
                let refused = fetch::expect_ok_of(status, &headers, place, now);
                refused.map_err(End::Failed)?;
                if is_event_stream(&headers) {
                    Ok(pieces)
                } else {
                    Err(End::Failed(self.malformed("the answer is no event stream")))
                }
            }
        }
    }

    /// Reads until the stream ends; says why it did.
    async fn read(&mut self, mut pieces: D::Pieces, retry: &mut Duration) -> Failure {
        let mut events = Events::default();
        let mut heard = Instant::now();
        loop {
            let piece = match pieces.next(SILENCE.saturating_sub(heard.elapsed())).await {
                Ok(Some(piece)) => piece,
                Ok(None) => {
                    let what = format!("{}: the stream ended", self.followed.place);
                    return Failure::new(FailureKind::Network, what, self.voice.now());
                }
                Err(SendError::Silent { .. }) => {
                    let error = SendError::Silent { after: SILENCE };
                    return fetch::failure(&error, &self.followed.place, self.voice.now());
                }
                Err(error) => {
                    return fetch::failure(&error, &self.followed.place, self.voice.now());
                }
            };
            events.feed(piece);
            loop {
                match events.next() {
                    Ok(None) => break,
                    Ok(Some(Item::Sign)) => {}
                    Ok(Some(Item::Retry(asked))) => *retry = asked.min(LONGEST_RETRY),
                    Ok(Some(Item::Event(event))) => match (self.followed.read)(&event) {
                        Ok(Some(word)) => self.voice.says(word),
                        Ok(None) => {}
                        Err(_) => self.voice.cannot_read(NO_JSON),
                    },
                    Ok(Some(Item::Lost)) => self.voice.cannot_read(TOO_LONG),
                    Err(broken) => return self.malformed(&broken.to_string()),
                }
                heard = Instant::now();
            }
        }
    }

    fn malformed(&self, what: &str) -> Failure {
        let what = format!("{}: {what}", self.followed.place);
        Failure::new(FailureKind::Malformed, what, self.voice.now())
    }
}

fn absence(status: StatusCode, place: &str, now: Timestamp) -> Failure {
    let message = format!("{place} answered {status}: the upstream has no event stream");
    Failure::new(FailureKind::Status4xx, message, now)
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = value.and_then(|value| value.split(';').next()).unwrap_or_default();
    kind.trim().eq_ignore_ascii_case("text/event-stream")
}
