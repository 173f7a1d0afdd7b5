//! Clients on event streams: who may open one, what is sent on it and when, and how it ends.
//!
//! A stream costs its client's connection, a place among those who listen and the number of the
//! version that it was told last ([`EventStream`]). It has no buffer, no timer and no task of its
//! own: word of a change comes by [`Announcements`], and time by [`Streams::keep_time`], which tells
//! all of them how late it is.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::rt::Executor;

use super::connection::Connection;
use super::cors;
use super::worker::Process;
use crate::dialect::event_stream::{MEDIA_TYPE, Message};
use crate::dialect::{Dialect, Rejection};
use crate::model::KeyClass;
use crate::snapshot::{Announcements, Credential, Environment, Listener, Seat};

/// When streams are given a sign of life, and when they end.
#[derive(Clone, Copy, Debug)]
pub struct StreamTimes {
    /// Between two signs of life where there is no news; a fifth more or less, each time.
    pub heartbeat: Duration,
    /// A stream ends at an age between these, each at another: clients spread anew over whatever
    /// balances them, and who is not there any more is found out.
    pub ages: [Duration; 2],
    /// How long a client may leave unread what is sent to it.
    pub patience: Duration,
}

impl Default for StreamTimes {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(15),
            ages: [Duration::from_secs(15 * 60), Duration::from_secs(30 * 60)],
            patience: Duration::from_secs(10),
        }
    }
}

/// Times of streams are counted in beats, of which a heartbeat takes so many.
const BEATS: u32 = 15;

/// The last that is sent on a stream: when to come again, in 1 to 5 s.
pub(crate) fn farewell() -> Message {
    Message::retry(fastrand::u32(1_000..5_000))
}

/// For who finds no place: in 5 to 30 s there may be one.
pub(crate) fn full() -> Rejection {
    Rejection::TooManyStreams(fastrand::u32(5..30))
}

/// What the head of every stream says.
pub(crate) fn head() -> HeaderMap {
    let mut fields = HeaderMap::with_capacity(8);
    fields.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
    // Keeps those who pass answers on from waiting for more of it (nginx and its like).
    fields.insert("x-accel-buffering", HeaderValue::from_static("no"));
    fields
}

/// All streams of the process.
#[derive(Debug)]
pub struct Streams {
    limit: usize,
    open: [AtomicUsize; Dialect::ALL.len()],
    /// The present beat.
    beat: AtomicU32,
    length: Duration,
    ages: std::ops::RangeInclusive<u32>,
    patience: u32,
}

impl Streams {
    /// None yet, at most `limit`.
    pub fn new(limit: usize, times: StreamTimes) -> Self {
        let length = (times.heartbeat / BEATS).max(Duration::from_millis(1));
        let beats = |time: Duration| {
            u32::try_from(time.as_nanos().div_ceil(length.as_nanos())).unwrap_or(u32::MAX / 2)
        };
        Self {
            limit,
            open: Default::default(),
            beat: AtomicU32::new(0),
            length,
            ages: beats(times.ages[0])..=beats(times.ages[1]),
            patience: beats(times.patience),
        }
    }

    /// How many clients of a dialect are on streams.
    pub fn open(&self, dialect: Dialect) -> usize {
        self.open[dialect as usize].load(Ordering::Relaxed)
    }

    /// Whether there may be any.
    pub fn are_allowed(&self) -> bool {
        self.limit > 0
    }

    /// Tells streams how late it is, for ever. Runs beside the threads that serve, which have no
    /// timers.
    pub async fn keep_time(process: Arc<Process>) {
        let streams = &process.streams;
        let mut interval = tokio::time::interval(streams.length);
        loop {
            interval.tick().await;
            let now = streams.beat.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
            let snapshot = process.snapshot.load_full();
            snapshot.environments.iter().for_each(|e| e.announcements.beat(now));
        }
    }

    fn now(&self) -> u32 {
        self.beat.load(Ordering::Relaxed)
    }

    /// A place for one more, or none when all are taken.
    fn enter(&self, dialect: Dialect) -> bool {
        let before: usize = self.open.iter().map(|open| open.load(Ordering::Relaxed)).sum();
        // Several threads may find the last place at once: a bound on memory need not be that exact.
        let has_room = before < self.limit;
        if has_room {
            self.open[dialect as usize].fetch_add(1, Ordering::Relaxed);
        }
        has_room
    }
}

/// Whether `moment` is now or was before. Beats run around.
fn is_past(moment: u32, now: u32) -> bool {
    now.wrapping_sub(moment) < u32::MAX / 2
}

/// The client of a stream, as those see it who have something for it.
#[derive(Debug)]
struct Client {
    connection: Arc<Connection>,
    announcements: Arc<Announcements>,
    /// The task that sends.
    sender: Mutex<Option<Waker>>,
    /// The beat at which it wants to be woken.
    due: AtomicU32,
    /// It was given up, since it reads nothing.
    given_up: AtomicBool,
}

impl Client {
    fn process(&self) -> &Process {
        &self.connection.worker.shared
    }

    fn remember(&self, waker: &Waker) {
        let mut sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *sender {
            Some(held) if held.will_wake(waker) => {}
            sender => *sender = Some(waker.clone()),
        }
    }
}

impl Listener for Client {
    fn wake(&self) {
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = &*sender {
            sender.wake_by_ref();
        }
    }

    fn beat(&self, now: u32) {
        let due = self.due.load(Ordering::Relaxed);
        if !is_past(due, now) {
            return;
        }
        // It was woken before and did not come to send anything: what was sent is not read.
        let process = self.process();
        if is_past(due.wrapping_add(process.streams.patience), now) {
            if !self.given_up.swap(true, Ordering::Relaxed) {
                process.metrics.dropped_at_bound("slow_streams");
            }
            if self.connection.is_multiplexed() {
                // What else the connection carries may well be read.
                self.wake();
            } else {
                self.connection.end();
            }
        } else {
            self.wake();
        }
    }
}

thread_local! {
    /// The client of the stream that was opened for the request that is polled, by HTTP/2.
    static OPENED: RefCell<Option<Arc<Client>>> = const { RefCell::new(None) };
}

/// Runs requests of HTTP/2, each as a task.
///
/// One that has become an event stream ends with its client's patience, or with the announcements,
/// whatever hyper is doing: hyper asks a body for nothing as long as the client gives no room for
/// what came before, so the stream could not end by itself. When it is dropped it is reset, and all
/// else on its connection goes on.
#[derive(Clone, Copy, Debug)]
pub struct Exchanges;

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Exchanges {
    fn execute(&self, exchange: F) {
        drop(tokio::spawn(until_given_up(exchange)));
    }
}

async fn until_given_up(exchange: impl Future<Output = ()>) {
    let mut exchange = pin!(exchange);
    let mut listener = None::<Arc<Client>>;
    poll_fn(|context| {
        let is_given_up = |client: &Arc<Client>| client.given_up.load(Ordering::Relaxed);
        if listener.as_ref().is_some_and(is_given_up) {
            return Poll::Ready(());
        }
        let polled = exchange.as_mut().poll(context);
        if listener.is_none() {
            listener = OPENED.take();
        }
        // Its end would have been told just now, were there room for it.
        let is_over = |client: &Arc<Client>| client.announcements.is_over();
        if polled.is_pending() && listener.as_ref().is_some_and(is_over) {
            return Poll::Ready(());
        }
        polled
    })
    .await;
}

/// How far a stream has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Open,
    /// The client was told when to come again; nothing follows.
    Told,
}

/// One client's stream: gives what is to be sent next.
#[derive(Debug)]
pub struct EventStream {
    client: Arc<Client>,
    place: usize,
    dialect: Dialect,
    admitted: Admitted,
    /// The version that the client knows.
    told: Option<u64>,
    /// How often keys had changed when this one was last found to hold.
    keys: u32,
    /// The beat at which it ends.
    ends: u32,
    stage: Stage,
}

/// Whose stream it is.
#[derive(Clone, Copy, Debug)]
struct Admitted {
    digest: u128,
    credential: Credential,
    seat: Seat,
}

/// A stream that is about to be opened, and the head of its answer.
#[derive(Debug)]
pub struct Opening {
    /// What is sent before anything else.
    pub fields: HeaderMap,
    /// What follows.
    pub stream: EventStream,
}

/// What is asked for.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    pub(super) dialect: Dialect,
    pub(super) connection: &'a Arc<Connection>,
    pub(super) environment: &'a Environment,
    /// The digest of the key, and what the key gives access to.
    pub(super) key: (u128, Credential),
    /// The page that asks.
    pub(super) origin: Option<&'a [u8]>,
    /// The version that the client was told last, by its own word.
    pub(super) last_event: Option<u64>,
}

/// The head of an event stream, as far as pages may read it.
fn fields(class: KeyClass, environment: &Environment, origin: Option<&[u8]>) -> HeaderMap {
    let mut fields = head();
    if class == KeyClass::Publishable {
        cors::add(&environment.profile.cors, origin, &mut fields);
    }
    fields
}

/// Opens a stream, unless all places are taken. Whoever is on one is never sent away for another.
pub(super) fn open(asked: &Asked<'_>) -> Result<Opening, Rejection> {
    let Asked { dialect, connection, environment, key: (digest, credential), .. } = *asked;
    let streams = &connection.worker.shared.streams;
    let metrics = &connection.worker.shared.metrics;
    let refuse = |what| {
        metrics.dropped_at_bound(what);
        full()
    };
    let announcements = Arc::clone(&environment.announcements);
    if announcements.is_over() {
        return Err(Rejection::NotReady);
    }
    let now = streams.now();
    let client = Arc::new(Client {
        connection: Arc::clone(connection),
        announcements: Arc::clone(&announcements),
        sender: Mutex::default(),
        due: AtomicU32::new(next_heartbeat(now)),
        given_up: AtomicBool::new(false),
    });
    // What changes from here on is seen by the first look.
    let keys = announcements.keys();
    if !streams.enter(dialect) {
        return Err(refuse("streams"));
    }
    let Some(place) = announcements.join(Arc::clone(&client) as Arc<dyn Listener>) else {
        streams.open[dialect as usize].fetch_sub(1, Ordering::Relaxed);
        return Err(refuse("streams_per_environment"));
    };
    connection.begins_to_listen();
    if connection.is_multiplexed() {
        OPENED.set(Some(Arc::clone(&client)));
    }
    let stream = EventStream {
        client,
        place,
        dialect,
        admitted: Admitted { digest, credential, seat: environment.seat },
        // Reflag's SDKs fetch nothing when they connect: they wait to be told (fact 16).
        told: asked.last_event.filter(|_| dialect != Dialect::Reflag),
        // The key was found in a snapshot that may have been replaced since.
        keys: keys.wrapping_sub(1),
        ends: now.wrapping_add(fastrand::u32(streams.ages.clone())),
        stage: Stage::Open,
    };
    let fields = fields(credential.class, environment, asked.origin);
    Ok(Opening { fields, stream })
}

/// 15 beats, a fifth more or less.
fn next_heartbeat(now: u32) -> u32 {
    now.wrapping_add(fastrand::u32(BEATS * 4 / 5..=BEATS * 6 / 5))
}

impl EventStream {
    /// What is to be sent next; none after the end.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Message>> {
        if self.stage == Stage::Told {
            return Poll::Ready(None);
        }
        self.client.remember(context.waker());
        if self.client.connection.is_unheard() {
            // Else hyper would gather what nobody reads.
            self.is_kept_waiting();
            return Poll::Pending;
        }
        let now = self.client.process().streams.now();
        if self.is_over() || !self.key_holds() {
            return self.end();
        }
        if let Some(latest) = &*self.client.announcements.latest()
            && self.told != Some(latest.version)
        {
            self.told = Some(latest.version);
            self.client.due.store(next_heartbeat(now), Ordering::Relaxed);
            return Poll::Ready(Some(latest.message(self.dialect).clone()));
        }
        if is_past(self.ends, now) {
            return self.end();
        }
        if is_past(self.client.due.load(Ordering::Relaxed), now) {
            self.client.due.store(next_heartbeat(now), Ordering::Relaxed);
            return Poll::Ready(Some(Message::heartbeat()));
        }
        Poll::Pending
    }

    /// Whether nothing is announced any more: what is not read by now need not be.
    pub(super) fn is_over(&self) -> bool {
        self.client.announcements.is_over()
    }

    /// The client has not taken what was sent before, so nothing can be sent: its patience begins.
    pub(super) fn is_kept_waiting(&self) {
        let now = self.client.process().streams.now();
        if !is_past(self.client.due.load(Ordering::Relaxed), now) {
            self.client.due.store(now, Ordering::Relaxed);
        }
    }

    fn end(&mut self) -> Poll<Option<Message>> {
        self.stage = Stage::Told;
        Poll::Ready(Some(farewell()))
    }

    /// Whether the key still opens the environment that it did.
    fn key_holds(&mut self) -> bool {
        let keys = self.client.announcements.keys();
        if keys == self.keys {
            return true;
        }
        let Admitted { digest, credential, seat } = self.admitted;
        let snapshot = self.client.process().snapshot.load();
        self.keys = keys;
        snapshot.keys.find_digest(digest) == Some(credential)
            && snapshot.environments.get(seat).is_some()
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        self.client.announcements.leave(self.place);
        let open = &self.client.process().streams.open[self.dialect as usize];
        open.fetch_sub(1, Ordering::Relaxed);
        self.client.connection.ceases_to_listen();
    }
}
