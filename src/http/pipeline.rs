//! The hot path: [`answer`] answers a request whose head and body are here.
//!
//! It is synchronous: it loads the snapshot once and borrows all else from it. Most requests are
//! brought to it by [`direct`](super::direct), from the bytes of a socket to the bytes of an answer;
//! the others by hyper and [`serve`], which waits for their bodies, and for a version that is not
//! here yet. Refusals leave early as a [`Rejection`]; the dialect that owns the path draws them.

use std::cell::OnceCell;
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use hyper::body::{Body, Incoming};
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER,
    TRANSFER_ENCODING,
};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode, Version as HttpVersion};
use tokio::task::JoinSet;
use tracing::{error, warn};

use super::admission::{authenticate, authenticate_stream, exposed_secret};
use super::body::{ResponseBody, Timer, receive, recycled};
use super::connection::Connection;
use super::cors;
use super::head_fields::HeadFields;
use super::reply::{Fields, Reply, Tag};
use super::request_head::RequestHead;
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
    Age, Content, Credential, Environment, Heads, KeyTable, OnStale, PreparedBody, Profile,
    Snapshot, Waiting, class_index,
};
use crate::telemetry::metrics::EnvironmentMetrics;
use crate::time::{Clock, Stopwatch, Timestamp};

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

/// Receives a request that hyper read, has it answered and counts it.
pub async fn serve(
    connection: Arc<Connection>,
    request: Request<Incoming>,
) -> Result<Response<ResponseBody>, Infallible> {
    let mut watch = Stopwatch::start();
    connection.serving();
    let process = &connection.worker.shared;
    let (parts, body) = request.into_parts();
    let head = RequestHead::of(&process.base_path, &parts);
    let route = head.route;
    let answer = |received: &Received, may_wait| {
        let admitted = received.admitted.as_ref();
        #[expect(
            clippy::redundant_closure_for_method_calls,
            reason = "the method takes a reply of one lifetime, the closure of any"
        )]
        answer(&connection, &head, &received.body, admitted, may_wait, |reply| reply.into_parts())
    };
    let reply = match received(process, &connection, &head, &parts, body).await {
        Ok(_) if cors::is_preflight_of(&parts.method, &parts.headers) => {
            let environments = &process.snapshot.load().environments;
            let fields = cors::preflight(&parts.headers, environments);
            Ok((StatusCode::NO_CONTENT, fields, Bytes::new()))
        }
        Ok(received) => match answer(&received, true) {
            Err(Stop::Behind(behind)) => {
                if !behind.has_come {
                    Box::pin(wait(process, &connection, &behind)).await;
                    watch = Stopwatch::start();
                }
                answer(&received, false)
            }
            Err(Stop::Untranslated(content, profile)) => {
                Box::pin(translate(process, content, profile)).await;
                answer(&received, false)
            }
            Err(Stop::Streams(opening)) => {
                let is_chunked = parts.version > HttpVersion::HTTP_10;
                drop(parts);
                return Ok(Box::pin(stream(connection, route, is_chunked, *opening)).await);
            }
            reply => reply,
        },
        Err(rejection) => Err(rejection.into()),
    };
    let (status, fields, body) = reply.unwrap_or_else(|stop| {
        let rejection = match stop {
            Stop::Refused(rejection) => rejection,
            // Nobody waits twice, or before a stream; the rules were replaced just now.
            Stop::Behind(_) | Stop::Untranslated(..) | Stop::Streams(_) => Rejection::NotReady,
        };
        let (status, mut fields, body) = refuse(process, &head, &rejection).into_parts();
        if parts.version >= HttpVersion::HTTP_2 {
            fields.remove(CONNECTION);
        }
        (status, fields, body)
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
    is_chunked: bool,
    opening: Opening,
) -> Response<ResponseBody> {
    if !connection.worker.shared.h2c {
        connection.depart(departure(&connection, route, is_chunked, opening));
        return std::future::pending().await;
    }
    connection.worker.metrics.opened(route.label);
    connection.holding();
    let Opening { fields, stream } = opening;
    let mut response = Response::new(ResponseBody::Events(Box::new(stream)));
    *response.headers_mut() = fields;
    response
}

/// A stream for which the connection has to be left.
#[cold]
pub(super) fn departure(
    connection: &Connection,
    route: Route,
    is_chunked: bool,
    opening: Opening,
) -> Departure {
    connection.worker.metrics.opened(route.label);
    connection.holding();
    Departure::new(opening, is_chunked, connection.worker.shared.clock.now())
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

/// Refuses what the head alone shows to be wrong; else waits for the body, if the route has one.
async fn received(
    process: &Process,
    connection: &Connection,
    head: &RequestHead<'_>,
    parts: &Parts,
    mut body: Incoming,
) -> Result<Received, Rejection> {
    if connection.take_ambiguous() {
        return Err(Rejection::Framing("the length of the body is given in two ways"));
    }
    let reads_body = head.reads_body();
    // Where there is no body hyper has seen no coding of it either.
    if !body.is_end_stream() && head.fields.transfer_encoding.is_some() {
        // A body that nobody reads is how one request hides in another.
        if !reads_body {
            return Err(Rejection::Framing("this request has no body to encode"));
        }
        if !is_chunked_once(&parts.headers) {
            return Err(Rejection::Framing("the body is encoded in another way than chunked"));
        }
    }
    // Before all limits: else a page could not read which of them its request ran into.
    if cors::is_preflight_of(&parts.method, &parts.headers) {
        return Ok(Received::default());
    }
    let limits = &process.limits;
    if head.target_length > limits.url {
        return Err(Rejection::UrlTooLong(limits.url));
    }
    if !reads_body {
        return Ok(Received::default());
    }
    let admitted = Some(admit(process, head)?);
    if head.fields.content_encoding.is_some() {
        return Err(Rejection::EncodedBody);
    }
    if head.route.target == Target::Reflag(Endpoint::Forwarded) {
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
pub(super) struct Admitted {
    keys: Arc<KeyTable>,
    credential: Credential,
}

/// Whether the body is chunked and no more: two codings are read in two ways by two servers.
fn is_chunked_once(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let first = codings.next().is_some_and(|c| c.as_bytes().eq_ignore_ascii_case(b"chunked"));
    first && codings.next().is_none()
}

/// Who asks, told by the head before any of the body is read. Only whether anybody is known by the
/// key counts: where the environment is, is a question for the snapshot that answers.
pub(super) fn admit(process: &Process, head: &RequestHead<'_>) -> Result<Admitted, Rejection> {
    let snapshot = process.snapshot.load();
    let credential = authenticate(&snapshot.keys, head.route.dialect, &head.fields, head.query)?;
    Ok(Admitted { keys: Arc::clone(&snapshot.keys), credential })
}

/// Answers from one snapshot, which `finish` has as long as it needs it. A fault of ours costs this
/// request only.
pub(super) fn answer<T>(
    connection: &Arc<Connection>,
    head: &RequestHead<'_>,
    body: &[u8],
    admitted: Option<&Admitted>,
    may_wait: bool,
    finish: impl FnOnce(Reply<'_>) -> T,
) -> Result<T, Stop> {
    catch_unwind(AssertUnwindSafe(|| {
        let snapshot = connection.worker.shared.snapshot.load();
        answer_from(&snapshot, connection, head, body, admitted, may_wait).map(finish)
    }))
    .unwrap_or_else(|_| {
        error!(route = routing::LABELS[head.route.label].route, "a request panicked");
        Err(Rejection::Internal.into())
    })
}

fn answer_from<'a>(
    snapshot: &'a Snapshot,
    connection: &'a Arc<Connection>,
    head: &'a RequestHead<'a>,
    body: &'a [u8],
    admitted: Option<&Admitted>,
    may_wait: bool,
) -> Result<Reply<'a>, Stop> {
    let process = &connection.worker.shared;
    let route = head.route;
    if route.target == Target::Unknown {
        return Err(Rejection::UnknownPath.into());
    }
    if let Some(allowed) = route.refuses(head.method) {
        return Err(Rejection::Method(allowed).into());
    }
    let call = || -> Result<Call<'a>, Rejection> {
        let credential = match admitted {
            // The very table, so looking the key up again would find the same.
            Some(admitted) if Arc::ptr_eq(&admitted.keys, &snapshot.keys) => admitted.credential,
            _ => authenticate(&snapshot.keys, route.dialect, &head.fields, head.query)?,
        };
        if head.fields.content_encoding.is_some() && head.reads_body() {
            return Err(Rejection::EncodedBody);
        }
        Ok(Call {
            connection,
            environment: &snapshot.environments[credential.environment as usize],
            credential,
            head,
            body,
            clock: &process.clock,
            moment: OnceCell::new(),
        })
    };
    match route.target {
        Target::Reflag(endpoint) => reflag::answer(&call()?, endpoint, may_wait),
        Target::Flagsmith(endpoint) => flagsmith::answer(&call()?, endpoint),
        Target::Ofrep(endpoint) => ofrep::answer(&call()?, endpoint, may_wait),
        Target::Stream(class) => events(snapshot, connection, head, class),
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
    head: &RequestHead<'_>,
    class: KeyClass,
) -> Result<Reply<'static>, Stop> {
    let process = &connection.worker.shared;
    let dialect = head.route.dialect;
    let place = (head.path, head.query);
    let key = authenticate_stream(&snapshot.keys, dialect, &head.fields, place)
        .inspect_err(|_| flagsmith::hint_at_document_key(process, snapshot, head.path))?;
    let credential = key.1;
    if class == KeyClass::Secret && credential.class == KeyClass::Publishable {
        return Err(Rejection::Forbidden(Forbidden::SecretRequired).into());
    }
    let environment = &snapshot.environments[credential.environment as usize];
    let (content, _) = present(environment, || process.clock.now())?;
    if !content.serves[class_index(credential.class)] {
        return Err(Rejection::NotReady.into());
    }
    let origin = head.fields.origin;
    let asked =
        Asked { dialect, connection, environment, key, origin, last_event: last_event(head) };
    let opening = streams::open(&asked)?;
    if head.method == Method::HEAD {
        // There is a place, which is free again.
        return Ok(Reply::own(StatusCode::OK, opening.fields, Bytes::new()));
    }
    Err(Stop::Streams(Box::new(opening)))
}

/// The version that a client was told last, by its own word. `EventSource`s that are written in
/// JavaScript cannot send the header, and have it in the query (flagsmith.md section 15).
fn last_event(head: &RequestHead<'_>) -> Option<u64> {
    let query = head.query.unwrap_or_default();
    let in_query = || Parameters(query).find(|parameter| parameter.name == "lastEventId");
    match head.fields.last_event_id {
        Some(id) => std::str::from_utf8(id).ok()?.parse().ok(),
        None => in_query()?.value.parse().ok(),
    }
}

/// A call of somebody who holds a key: all that a dialect needs to answer it.
pub(super) struct Call<'a> {
    pub(super) connection: &'a Connection,
    pub(super) environment: &'a Environment,
    pub(super) credential: Credential,
    pub(super) head: &'a RequestHead<'a>,
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
        content.heads.of(self.credential.class, self.head.fields.origin.is_some())
    }

    /// The query, empty when there is none.
    pub(super) fn query(&self) -> &'a str {
        self.head.query.unwrap_or_default()
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

    /// Counts matches and searches of an evaluation that ran out of steps.
    #[inline]
    pub(super) fn count_given_up(&self, searches: u32) {
        if searches > 0 {
            self.connection.worker.shared.metrics.given_up(searches);
        }
    }

    /// Adds what depends on the moment and on the page that asks.
    #[inline]
    pub(super) fn complete(&self, fields: &mut Fields<'a>, staleness: Option<OnStale>) {
        fields.is_stale = staleness.is_some();
        if staleness == Some(OnStale::Mark) {
            fields.age = self.age();
        }
        if self.credential.class == KeyClass::Publishable {
            fields.leave = cors::leave(&self.environment.profile.cors, self.head.fields.origin);
        }
    }

    /// How old the content is, in seconds; an age that is not known is not told.
    pub(super) fn age(&self) -> Option<i64> {
        match self.environment.freshness.age(self.now()) {
            Age::Millis(millis) => Some(millis / 1_000),
            Age::Unknown => None,
        }
    }
}

/// An answer that depends on a context, under its tag, or the word that the client has it already.
pub(super) fn tagged<'a>(
    content: &'a Content,
    tag: u64,
    body: Vec<u8>,
    staleness: Option<OnStale>,
    call: &Call<'a>,
) -> Reply<'a> {
    let tag = Tag::of(tag);
    let mut fields = Fields::of(&call.heads(content).context);
    fields.tag = Some(tag);
    call.complete(&mut fields, staleness);
    // Dropped, its buffer goes back to where it came from.
    let body = recycled(body);
    if matches_etag(call.head.fields.tags(), tag.as_bytes()) {
        Reply::prepared(StatusCode::NOT_MODIFIED, fields, Bytes::new())
    } else {
        Reply::prepared(StatusCode::OK, fields, body)
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
pub(super) fn shared<'a>(
    content: &'a Content,
    body: &'a PreparedBody,
    staleness: Option<OnStale>,
    call: &Call<'a>,
) -> Reply<'a> {
    let head = &call.heads(content).shared;
    let accepted = call.head.fields.accept_encoding;
    let compressed = if accepted.is_some_and(accepts_gzip) { body.gzip() } else { None };
    let (bytes, etag) = compressed.unwrap_or_else(|| body.plain());
    let is_held = call.head.fields.if_none_match.is_some() && is_held(body, &call.head.fields);
    let mut fields = Fields::of(if is_held { &head.unchanged } else { &head.whole });
    fields.tag = Some(Tag::Prepared(etag));
    call.complete(&mut fields, staleness);
    if is_held {
        return Reply::prepared(StatusCode::NOT_MODIFIED, fields, Bytes::new());
    }
    fields.is_gzip = compressed.is_some();
    Reply::prepared(StatusCode::OK, fields, bytes.clone())
}

/// Whether the client holds a body: a tag of either form proves that it has this very content.
fn is_held(body: &PreparedBody, fields: &HeadFields<'_>) -> bool {
    matches_etag(fields.tags(), body.plain().1.as_bytes())
        || body.gzip().is_some_and(|(_, etag)| matches_etag(fields.tags(), etag.as_bytes()))
}

fn accepts_gzip(accepted: &[u8]) -> bool {
    let Ok(accepted) = std::str::from_utf8(accepted) else { return false };
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
pub(crate) fn matches_etag<'a>(tags: impl IntoIterator<Item = &'a [u8]>, etag: &[u8]) -> bool {
    tags.into_iter().any(|held| {
        held.split(|&byte| byte == b',').any(|tag| {
            let tag = tag.trim_ascii();
            tag == b"*" || tag.strip_prefix(b"W/").unwrap_or(tag) == etag
        })
    })
}

pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");
pub(super) const NO_STORE: HeaderValue = HeaderValue::from_static("private, no-store");

fn readiness(process: &Process) -> Reply<'static> {
    let draining = process.draining.load(Ordering::Relaxed);
    let (ready, body) = process.readiness.flagsmith(process.clock.now(), draining);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Reply::own(status, uncached(), Bytes::from(body))
}

fn liveness(with_body: bool) -> Reply<'static> {
    if with_body {
        let body = Bytes::from_static(b"{\"status\":\"ok\"}");
        Reply::own(StatusCode::OK, uncached(), body)
    } else {
        Reply::own(StatusCode::OK, HeaderMap::new(), Bytes::new())
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
pub(super) fn refuse(
    process: &Process,
    head: &RequestHead<'_>,
    rejection: &Rejection,
) -> Reply<'static> {
    let dialect = head.route.dialect;
    process.metrics.rejected(dialect, rejection);
    if *rejection == Rejection::Overloaded {
        process.metrics.dropped_at_bound("in_flight_body_bytes");
    }
    let (status, body) = dialect.reject(rejection, head.path);
    let mut fields = uncached();
    let snapshot = process.snapshot.load();
    if let Rejection::Method(allowed) = rejection {
        fields.insert(ALLOW, HeaderValue::from_static(allowed));
    }
    if let Some(seconds) = rejection.retry_after() {
        fields.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    let unread = head.fields.content_length.is_some_and(|length| length != b"0")
        || head.fields.transfer_encoding.is_some();
    if rejection.closes_connection() || (unread && !head.reads_body()) {
        fields.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if *rejection == Rejection::Forbidden(Forbidden::SecretInUrl)
        && let Some(index) = exposed_secret(&snapshot.keys, head.path, head.query)
    {
        let name = &snapshot.environments[index as usize].profile.name;
        warn!(environment = %name, "a secret key was sent in a URL: rotate the key of environment {name}");
    }
    let origin = head.fields.origin;
    let credential = match head.route.target {
        Target::Stream(_) => {
            let place = (head.path, head.query);
            authenticate_stream(&snapshot.keys, dialect, &head.fields, place).map(|(_, key)| key)
        }
        _ => authenticate(&snapshot.keys, dialect, &head.fields, head.query),
    };
    match credential {
        // Answers to secret keys carry no CORS fields, refusals neither.
        Ok(Credential { class: KeyClass::Secret, .. }) => {}
        Ok(credential) => {
            let environment = &snapshot.environments[credential.environment as usize];
            cors::add(&environment.profile.cors, origin, &mut fields);
        }
        Err(_) => cors::refusal(origin, &snapshot.environments, &mut fields),
    }
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    Reply::own(status, fields, Bytes::from(body))
}
