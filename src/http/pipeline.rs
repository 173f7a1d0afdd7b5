//! The hot path, top to bottom: [`serve`] receives a request, [`answer`] answers it.
//!
//! `answer` is synchronous: it loads the snapshot once and borrows all else from it. A request
//! without a body never awaits, unless it asks to be held for a version that is not here yet. Refusals leave early as a [`Rejection`]; their bodies are drawn by
//! the dialect that owns the path.

use std::cell::OnceCell;
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use hyper::body::{Body, Incoming};
use hyper::header::{
    AGE, ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG,
    GetAll, HeaderMap, HeaderName, HeaderValue, IF_NONE_MATCH, RETRY_AFTER, TRANSFER_ENCODING,
};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode, Version as HttpVersion};
use tokio::task::JoinSet;
use tracing::{error, warn};

use super::admission::{authenticate, authenticate_by, authenticate_stream, exposed_secret};
use super::body::{ResponseBody, Timer, receive, recycled};
use super::connection::Connection;
use super::cors;
use super::head_fields::HeadFields;
use super::routing::{self, Route, Target};
use super::streaming::Departure;
use super::streams::{self, Asked, Opening};
use super::worker::Process;
use super::{flagsmith, ofrep, reflag};
use crate::dialect::query::Parameters;
use crate::dialect::reflag::routes::Endpoint;
use crate::dialect::{Dialect, Forbidden, Rejection};
use crate::model::KeyClass;
use crate::snapshot::{
    Age, Content, Credential, Environment, Heads, KeyTable, OnStale, PreparedBody, Profile, STATE,
    SharedHead, Snapshot, Waiting, class_index,
};
use crate::telemetry::metrics::EnvironmentMetrics;
use crate::time::{Clock, Stopwatch, Timestamp};

/// Status, head and body of an answer.
pub(super) type Reply = (StatusCode, HeaderMap, Bytes);

/// Why there is no answer yet.
pub(super) enum Stop {
    /// There will be none.
    Refused(Rejection),
    /// The request asks for a version that is not here, and may wait for it.
    Behind(Behind),
    /// It asks for an event stream, which is its answer.
    Streams(Box<Opening>),
    /// It asks for these rules in the words of the other family's protocol, and it is the first.
    Untranslated(Arc<Content>, Arc<Profile>),
}

/// Who waits for what. Whatever becomes of the environment meanwhile: it was found in one snapshot,
/// and another is asked once the wait is over.
pub(super) struct Behind {
    waiting: Arc<Waiting>,
    metrics: Arc<EnvironmentMetrics>,
    class: KeyClass,
    wanted: u64,
    /// It has come in the meantime: another look is enough.
    has_come: bool,
}

impl From<Rejection> for Stop {
    fn from(rejection: Rejection) -> Self {
        Self::Refused(rejection)
    }
}

/// Receives a request, has it answered and counts it.
pub async fn serve(
    connection: Arc<Connection>,
    request: Request<Incoming>,
) -> Result<Response<ResponseBody>, Infallible> {
    let mut watch = Stopwatch::start();
    connection.serving();
    let process = &connection.worker.shared;
    let (head, body) = request.into_parts();
    let route = route(process, &head);
    let sent = HeadFields::of(&head.headers);
    let reply = match received(process, &connection, route, &head, &sent, body).await {
        Ok(received) => match answer(&connection, route, &head, &sent, &received, true) {
            Err(Stop::Behind(behind)) => {
                if !behind.has_come {
                    Box::pin(wait(process, &connection, &behind)).await;
                    watch = Stopwatch::start();
                }
                answer(&connection, route, &head, &sent, &received, false)
            }
            Err(Stop::Untranslated(content, profile)) => {
                Box::pin(translate(process, content, profile)).await;
                answer(&connection, route, &head, &sent, &received, false)
            }
            Err(Stop::Streams(opening)) => {
                return Ok(Box::pin(stream(connection, route, &head, *opening)).await);
            }
            reply => reply,
        },
        Err(rejection) => Err(rejection.into()),
    };
    let (status, fields, body) = reply.unwrap_or_else(|stop| match stop {
        Stop::Refused(rejection) => refuse(process, route, &head, &rejection),
        // Nobody waits twice, or before a stream; the rules were replaced just now.
        Stop::Behind(_) | Stop::Untranslated(..) | Stop::Streams(_) => {
            refuse(process, route, &head, &Rejection::NotReady)
        }
    });
    let timer = Timer { watch, route: route.label, status: status.as_u16(), connection };
    let mut response = Response::new(ResponseBody::new(body, timer));
    *response.status_mut() = status;
    *response.headers_mut() = fields;
    Ok(response)
}

/// Holds a request until its version is here, or for as long as its key may wait (DESIGN section 6).
/// The only await beside the body's.
#[cold]
async fn wait(process: &Process, connection: &Connection, behind: &Behind) {
    let Some(place) = behind.waiting.place() else {
        process.metrics.dropped_at_bound("waiters");
        return;
    };
    let watch = Stopwatch::start();
    connection.holding();
    // Workers have no timers of their own, so it is made where it runs. The set ends its task when
    // it is dropped.
    let mut timer = JoinSet::new();
    let patience = process.patience.of(behind.class);
    timer.spawn_on(async move { tokio::time::sleep(patience).await }, &process.timers);
    tokio::select! {
        () = place.wait(behind.wanted, behind.class) => {}
        _ = timer.join_next() => {}
    }
    connection.serving();
    behind.metrics.waited(watch.elapsed());
}

/// Answers with an event stream. Where no other request can share the connection, the stream gets
/// its socket, and this never ends.
#[cold]
async fn stream(
    connection: Arc<Connection>,
    route: Route,
    head: &Parts,
    opening: Opening,
) -> Response<ResponseBody> {
    connection.worker.metrics.opened(route.label);
    connection.holding();
    let process = &connection.worker.shared;
    if !process.h2c {
        let is_chunked = head.version > HttpVersion::HTTP_10;
        connection.depart(Departure::new(opening, is_chunked, process.clock.now()));
        return std::future::pending().await;
    }
    let Opening { fields, stream } = opening;
    let mut response = Response::new(ResponseBody::Events(Box::new(stream)));
    *response.headers_mut() = fields;
    response
}

/// Has an environment's rules translated, apart from threads that serve. One at a time: it takes a
/// thread for a while.
#[cold]
async fn translate(process: &Process, content: Arc<Content>, profile: Arc<Profile>) {
    let Ok(_turn) = process.translating.acquire().await else { return };
    if content.translated().is_none() {
        let work = process.timers.spawn_blocking(move || content.translate(&profile));
        // A fault of ours leaves it untranslated, which is answered.
        let _ = work.await;
    }
}

/// Finds the route of a head.
fn route(process: &Process, head: &Parts) -> Route {
    match head.uri.path().strip_prefix(process.base_path.as_str()) {
        Some(path) => routing::find(path),
        None => Route::OUTSIDE,
    }
}

/// Refuses what the head alone shows to be wrong; else waits for the body, if the route has one.
async fn received(
    process: &Process,
    connection: &Connection,
    route: Route,
    head: &Parts,
    sent: &HeadFields<'_>,
    mut body: Incoming,
) -> Result<Received, Rejection> {
    if connection.take_ambiguous() {
        return Err(Rejection::Framing("the length of the body is given in two ways"));
    }
    let reads_body = reads_body(route, head);
    // Where there is no body hyper has seen no coding of it either.
    if !body.is_end_stream() && sent.transfer_encoding.is_some() {
        // A body that nobody reads is how one request hides in another.
        if !reads_body {
            return Err(Rejection::Framing("this request has no body to encode"));
        }
        if !is_chunked_once(&head.headers) {
            return Err(Rejection::Framing("the body is encoded in another way than chunked"));
        }
    }
    // Before all limits: else a page could not read which of them its request ran into.
    if cors::is_preflight_of(&head.method, &head.headers) {
        return Ok(Received::default());
    }
    let limits = &process.limits;
    let target = head.uri.path_and_query().map_or(0, |target| target.as_str().len());
    if target > limits.url {
        return Err(Rejection::UrlTooLong(limits.url));
    }
    if !reads_body {
        return Ok(Received::default());
    }
    let admitted = Some(admit(process, route.dialect, head, sent)?);
    if sent.content_encoding.is_some() {
        return Err(Rejection::EncodedBody);
    }
    if route.target == Target::Reflag(Endpoint::Forwarded) {
        return Ok(Received { body: Bytes::new(), admitted });
    }
    let receiving = receive(&mut body, limits.body, &process.in_flight, connection);
    if !connection.is_multiplexed() {
        return Ok(Received { body: receiving.await?, admitted });
    }
    // One of many requests that share a connection: its time is its own. Boxed, so that the
    // requests that never come here do not carry the timer.
    let received = Box::pin(tokio::time::timeout(limits.body_timeout, receiving)).await;
    Ok(Received { body: received.unwrap_or(Err(Rejection::BodyTimeout))?, admitted })
}

/// What was learned of a request before it is answered.
#[derive(Default)]
struct Received {
    /// Empty, unless the route reads one.
    body: Bytes,
    /// Known already, where there is a body: nobody without a key has one read.
    admitted: Option<Admitted>,
}

/// Whom a key belongs to, and the table that says so.
struct Admitted {
    keys: Arc<KeyTable>,
    credential: Credential,
}

/// Whether the body is chunked and no more: two codings are read in two ways by two servers.
fn is_chunked_once(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let first = codings.next().is_some_and(|c| c.as_bytes().eq_ignore_ascii_case(b"chunked"));
    first && codings.next().is_none()
}

/// Whether the body is for us to read; else it must not have one.
fn reads_body(route: Route, head: &Parts) -> bool {
    route.reads_body(&head.method)
}

/// Who asks, told by the head before any of the body is read. Only whether anybody is known by the
/// key counts: where the environment is, is a question for the snapshot that answers.
fn admit(
    process: &Process,
    dialect: Dialect,
    head: &Parts,
    sent: &HeadFields<'_>,
) -> Result<Admitted, Rejection> {
    let snapshot = process.snapshot.load();
    let credential = authenticate_by(&snapshot.keys, dialect, sent, head.uri.query())?;
    Ok(Admitted { keys: Arc::clone(&snapshot.keys), credential })
}

/// Answers from one snapshot. A fault of ours costs this request only.
fn answer(
    connection: &Arc<Connection>,
    route: Route,
    head: &Parts,
    sent: &HeadFields<'_>,
    received: &Received,
    may_wait: bool,
) -> Result<Reply, Stop> {
    catch_unwind(AssertUnwindSafe(|| {
        let snapshot = connection.worker.shared.snapshot.load();
        answer_from(&snapshot, connection, route, head, sent, received, may_wait)
    }))
    .unwrap_or_else(|_| {
        error!(route = routing::LABELS[route.label].route, "a request panicked");
        Err(Rejection::Internal.into())
    })
}

fn answer_from(
    snapshot: &Snapshot,
    connection: &Arc<Connection>,
    route: Route,
    head: &Parts,
    sent: &HeadFields<'_>,
    received: &Received,
    may_wait: bool,
) -> Result<Reply, Stop> {
    let process = &connection.worker.shared;
    if cors::is_preflight_of(&head.method, &head.headers) {
        let fields = cors::preflight(&head.headers, &snapshot.environments);
        return Ok((StatusCode::NO_CONTENT, fields, Bytes::new()));
    }
    if route.target == Target::Unknown {
        return Err(Rejection::UnknownPath.into());
    }
    if let Some(allowed) = route.refuses(&head.method) {
        return Err(Rejection::Method(allowed).into());
    }
    let credential = || match &received.admitted {
        // The very table, so looking the key up again would find the same.
        Some(admitted) if Arc::ptr_eq(&admitted.keys, &snapshot.keys) => Ok(admitted.credential),
        _ => authenticate_by(&snapshot.keys, route.dialect, sent, head.uri.query()),
    };
    let call = |credential: Credential| Call {
        connection,
        environment: &snapshot.environments[credential.environment as usize],
        credential,
        head,
        sent,
        body: &received.body,
        clock: &process.clock,
        moment: OnceCell::new(),
    };
    match route.target {
        Target::Reflag(endpoint) => reflag::answer(&call(credential()?), endpoint, may_wait),
        Target::Flagsmith(endpoint) => flagsmith::answer(&call(credential()?), endpoint),
        Target::Ofrep(endpoint) => {
            let path = head.uri.path().strip_prefix(process.base_path.as_str());
            ofrep::answer(&call(credential()?), endpoint, path.unwrap_or_default(), may_wait)
        }
        Target::Stream(class) => events(snapshot, connection, route, class, head),
        Target::Readiness => Ok(readiness(process)),
        Target::Liveness(with_body) => Ok(liveness(with_body)),
        Target::Unknown => Err(Rejection::UnknownPath.into()),
    }
}

/// Opens an event stream; who only asks for its head gets no more than that.
#[cold]
fn events(
    snapshot: &Snapshot,
    connection: &Arc<Connection>,
    route: Route,
    class: KeyClass,
    head: &Parts,
) -> Result<Reply, Stop> {
    let process = &connection.worker.shared;
    let path = head.uri.path().strip_prefix(process.base_path.as_str()).unwrap_or_default();
    let (dialect, place) = (route.dialect, (path, head.uri.query()));
    let key = authenticate_stream(&snapshot.keys, dialect, &head.headers, place)
        .inspect_err(|_| flagsmith::hint_at_document_key(process, snapshot, path))?;
    let credential = key.1;
    if class == KeyClass::Secret && credential.class == KeyClass::Publishable {
        return Err(Rejection::Forbidden(Forbidden::SecretRequired).into());
    }
    let environment = &snapshot.environments[credential.environment as usize];
    let (content, _) = present(environment, || process.clock.now())?;
    if !content.serves[class_index(credential.class)] {
        return Err(Rejection::NotReady.into());
    }
    if head.method == Method::HEAD {
        let fields = streams::fields(credential.class, environment, &head.headers);
        return Ok((StatusCode::OK, fields, Bytes::new()));
    }
    let request = &head.headers;
    let last_event = last_event(request, head.uri.query().unwrap_or_default());
    let asked = Asked { dialect, connection, environment, key, request, last_event };
    Err(Stop::Streams(Box::new(streams::open(&asked)?)))
}

/// The version that a client was told last, by its own word. `EventSource`s that are written in
/// JavaScript cannot send the header, and have it in the query (flagsmith.md section 15).
fn last_event(headers: &HeaderMap, query: &str) -> Option<u64> {
    let in_query = || Parameters(query).find(|parameter| parameter.name == "lastEventId");
    match headers.get("last-event-id") {
        Some(id) => id.to_str().ok()?.parse().ok(),
        None => in_query()?.value.parse().ok(),
    }
}

/// A call of somebody who holds a key: all that a dialect needs to answer it.
pub(super) struct Call<'a> {
    pub(super) connection: &'a Connection,
    pub(super) environment: &'a Environment,
    pub(super) credential: Credential,
    pub(super) head: &'a Parts,
    pub(super) sent: &'a HeadFields<'a>,
    pub(super) body: &'a [u8],
    clock: &'a Clock,
    moment: OnceCell<Timestamp>,
}

impl<'a> Call<'a> {
    /// What the environment serves, and what its being stale asks for.
    pub(super) fn present(&self) -> Result<(&'a Content, Option<OnStale>), Rejection> {
        present(self.environment, || self.now())
    }

    /// The moment of the call, the same for all that is asked of it. Most answers do not depend on
    /// it, and the clock is not read for them.
    pub(super) fn now(&self) -> Timestamp {
        *self.moment.get_or_init(|| self.clock.now())
    }

    /// Place of the key's class in what is prepared for each.
    pub(super) fn class_index(&self) -> usize {
        class_index(self.credential.class)
    }

    /// The prepared header fields of its answer.
    pub(super) fn heads(&self, content: &'a Content) -> &'a Heads {
        content.heads(self.credential.class, self.sent.origin.is_some())
    }

    /// The query, empty when there is none.
    pub(super) fn query(&self) -> &'a str {
        self.head.uri.query().unwrap_or_default()
    }

    /// The rules have to be translated before this is answered.
    pub(super) fn untranslated(&self) -> Stop {
        match &self.environment.content {
            Some(content) => {
                Stop::Untranslated(Arc::clone(content), Arc::clone(&self.environment.profile))
            }
            None => Rejection::NotReady.into(),
        }
    }

    /// Counts an evaluated context.
    pub(super) fn count(&self, dialect: Dialect) {
        let environment = self.credential.environment as usize;
        self.connection.worker.metrics.evaluated(environment, dialect);
    }

    /// Adds what depends on the moment and on the page that asks.
    #[inline]
    pub(super) fn complete(
        &self,
        (status, mut fields, body): Reply,
        staleness: Option<OnStale>,
    ) -> Reply {
        let marked = staleness.filter(|&policy| policy == OnStale::Mark);
        let age = marked.map(|_| self.environment.freshness.age(self.now()));
        write_state(self.environment, staleness, age, &mut fields);
        if self.credential.class == KeyClass::Publishable {
            cors::complete(&self.environment.profile.cors, self.sent.origin, &mut fields);
        }
        (status, fields, body)
    }
}

/// An answer that depends on a context, under its tag, or the word that the client has it already.
pub(super) fn tagged(mut fields: HeaderMap, tag: u64, body: Vec<u8>, call: &Call<'_>) -> Reply {
    let etag = etag(tag);
    let known = call.sent.if_none_match.is_some()
        && matches_etag(&call.head.headers.get_all(IF_NONE_MATCH), &etag);
    fill_tag(&mut fields, etag);
    // Dropped, its buffer goes back to where it came from.
    let body = recycled(body);
    if known {
        (StatusCode::NOT_MODIFIED, fields, Bytes::new())
    } else {
        (StatusCode::OK, fields, body)
    }
}

/// Stops a request that asks for a later version than is held, if it may wait for it.
pub(super) fn catch_up(
    call: &Call<'_>,
    content: &Content,
    wanted: Option<u64>,
    may_wait: bool,
) -> Result<(), Stop> {
    let Some(wanted) = wanted else { return Ok(()) };
    if wanted <= content.version.number() || !may_wait {
        return Ok(());
    }
    let waiting = &call.environment.waiting;
    // What came after this snapshot was loaded is in the next one.
    let has_come = waiting.has_reached(wanted);
    if !has_come && !waiting.is_ahead(wanted) {
        return Ok(());
    }
    Err(Stop::Behind(Behind {
        waiting: Arc::clone(waiting),
        metrics: Arc::clone(&call.environment.metrics),
        class: call.credential.class,
        wanted,
        has_come,
    }))
}

/// The content of an environment, and what its being stale asks for.
fn present(
    environment: &Environment,
    now: impl FnOnce() -> Timestamp,
) -> Result<(&Content, Option<OnStale>), Rejection> {
    let Some(content) = environment.content.as_deref() else { return Err(Rejection::NotReady) };
    if environment.freshness.is_withdrawn() {
        return Err(Rejection::NotReady);
    }
    if environment.profile.max_staleness.is_none() || !environment.is_stale(now()) {
        return Ok((content, None));
    }
    match environment.profile.on_stale {
        OnStale::Refuse => Err(Rejection::Stale),
        policy => Ok((content, Some(policy))),
    }
}

/// A body that is the same for all keys of a class, or the word that the client has it already.
pub(super) fn shared(head: &SharedHead, body: &PreparedBody, call: &Call<'_>) -> Reply {
    let accepted = call.sent.accept_encoding;
    let compressed = if accepted.is_some_and(accepts_gzip) { body.gzip() } else { None };
    let (bytes, etag) = compressed.unwrap_or_else(|| body.plain());
    let filled = |prepared: &HeaderMap| {
        let mut fields = prepared.clone();
        fill_tag(&mut fields, etag.clone());
        fields
    };
    if call.sent.if_none_match.is_some() && is_held(body, &call.head.headers) {
        return (StatusCode::NOT_MODIFIED, filled(&head.unchanged), Bytes::new());
    }
    let mut fields = filled(&head.whole);
    if compressed.is_some() {
        fields.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    (StatusCode::OK, fields, bytes.clone())
}

/// Whether the client holds a body: a tag of either form proves that it has this very content.
fn is_held(body: &PreparedBody, headers: &HeaderMap) -> bool {
    let tags = headers.get_all(IF_NONE_MATCH);
    matches_etag(&tags, body.plain().1)
        || body.gzip().is_some_and(|(_, etag)| matches_etag(&tags, etag))
}

/// Adds what is to be told of the content's age.
#[inline]
pub(super) fn write_state(
    environment: &Environment,
    staleness: Option<OnStale>,
    age: Option<Age>,
    fields: &mut HeaderMap,
) {
    debug_assert!(environment.content.is_some());
    if staleness.is_some() {
        fields.insert(STATE, HeaderValue::from_static("stale"));
    }
    match age {
        Some(Age::Millis(millis)) => fill(fields, &AGE, seconds(millis / 1_000)),
        // Prepared heads have a place for it; an age that is not known is not told.
        Some(Age::Unknown) => drop(fields.remove(AGE)),
        None => {}
    }
}

/// A number as a field's value. Small ones are there already.
fn seconds(number: i64) -> HeaderValue {
    const PAIRS: &str = "00010203040506070809101112131415161718192021222324252627282930313233343536373839\
                         40414243444546474849505152535455565758596061626364656667686970717273747576777879\
                         8081828384858687888990919293949596979899";
    match usize::try_from(number) {
        Ok(digit @ 0..=9) => HeaderValue::from_static(&PAIRS[2 * digit + 1..2 * digit + 2]),
        Ok(pair @ 10..=99) => HeaderValue::from_static(&PAIRS[2 * pair..2 * pair + 2]),
        _ => HeaderValue::from(number),
    }
}

/// Sets a field, without growing the map when it has a place for it.
fn fill(fields: &mut HeaderMap, name: &HeaderName, value: HeaderValue) {
    match fields.get_mut(name) {
        Some(place) => *place = value,
        None => drop(fields.insert(name, value)),
    }
}

/// Sets the tag, which prepared heads begin with.
fn fill_tag(fields: &mut HeaderMap, tag: HeaderValue) {
    match fields.iter_mut().next() {
        Some((name, place)) if *name == ETAG => *place = tag,
        _ => fill(fields, &ETAG, tag),
    }
}

fn accepts_gzip(accepted: &HeaderValue) -> bool {
    let Ok(accepted) = accepted.to_str() else { return false };
    accepted.split(',').any(|coding| {
        let (name, parameters) = coding.split_once(';').unwrap_or((coding, ""));
        let refused = parameters
            .trim()
            .strip_prefix("q=")
            .and_then(|q| q.trim().parse::<f32>().ok())
            .is_some_and(|q| q <= 0.0);
        name.trim().eq_ignore_ascii_case("gzip") && !refused
    })
}

/// Whether the client holds what `etag` names, by its `If-None-Match` (RFC 9110, 13.1.2: weakly
/// compared, a list, `*`).
pub(crate) fn matches_etag(tags: &GetAll<'_, HeaderValue>, etag: &HeaderValue) -> bool {
    tags.iter().any(|held| {
        held.as_bytes().split(|&byte| byte == b',').any(|tag| {
            let tag = tag.trim_ascii();
            tag == b"*" || tag.strip_prefix(b"W/").unwrap_or(tag) == etag.as_bytes()
        })
    })
}

fn etag(tag: u64) -> HeaderValue {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut text = [b'"'; 18];
    for (place, digit) in text[1..17].iter_mut().enumerate() {
        *digit = HEX[(tag >> (60 - 4 * place)) as usize & 15];
    }
    HeaderValue::from_bytes(&text).unwrap_or(HeaderValue::from_static("\"\""))
}

pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");
pub(super) const NO_STORE: HeaderValue = HeaderValue::from_static("private, no-store");

fn readiness(process: &Process) -> Reply {
    let draining = process.draining.load(Ordering::Relaxed);
    let (ready, body) = process.readiness.flagsmith(process.clock.now(), draining);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, uncached(), Bytes::from(body))
}

fn liveness(with_body: bool) -> Reply {
    if with_body {
        (StatusCode::OK, uncached(), Bytes::from_static(b"{\"status\":\"ok\"}"))
    } else {
        (StatusCode::OK, HeaderMap::new(), Bytes::new())
    }
}

fn uncached() -> HeaderMap {
    let mut fields = HeaderMap::with_capacity(4);
    fields.insert(CONTENT_TYPE, JSON);
    fields.insert(CACHE_CONTROL, NO_STORE);
    fields
}

/// Draws a refusal in the shape of the dialect that owns the path.
#[cold]
fn refuse(process: &Process, route: Route, head: &Parts, rejection: &Rejection) -> Reply {
    process.metrics.rejected(route.dialect, rejection);
    if *rejection == Rejection::Overloaded {
        process.metrics.dropped_at_bound("in_flight_body_bytes");
    }
    let path = head.uri.path().strip_prefix(process.base_path.as_str()).unwrap_or_default();
    let (status, body) = route.dialect.reject(rejection, path);
    let mut fields = uncached();
    let snapshot = process.snapshot.load();
    if let Rejection::Method(allowed) = rejection {
        fields.insert(ALLOW, HeaderValue::from_static(allowed));
    }
    if let Some(seconds) = rejection.retry_after() {
        fields.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    let unread = head.headers.get(CONTENT_LENGTH).is_some_and(|length| length != "0")
        || head.headers.contains_key(TRANSFER_ENCODING);
    let closes = rejection.closes_connection() || (unread && !reads_body(route, head));
    if closes && head.version < HttpVersion::HTTP_2 {
        fields.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if *rejection == Rejection::Forbidden(Forbidden::SecretInUrl)
        && let Some(index) = exposed_secret(&snapshot.keys, path, head.uri.query())
    {
        let name = &snapshot.environments[index as usize].profile.name;
        warn!(environment = %name, "a secret key was sent in a URL: rotate the key of environment {name}");
    }
    match authenticate(&snapshot.keys, route.dialect, &head.headers, head.uri.query()) {
        // Answers to secret keys carry no CORS fields, refusals neither.
        Ok(Credential { class: KeyClass::Secret, .. }) => {}
        Ok(credential) => {
            let environment = &snapshot.environments[credential.environment as usize];
            cors::add(&environment.profile.cors, &head.headers, &mut fields);
        }
        Err(_) => cors::refusal(&head.headers, &snapshot.environments, &mut fields),
    }
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, fields, Bytes::from(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_spelled_as_numbers_are() {
        for number in (0..=120).chain([3_600, i64::MAX]) {
            assert_eq!(seconds(number), HeaderValue::from(number));
        }
    }
}
