//! The hot path, top to bottom: [`serve`] receives a request, [`answer`] answers it.
//!
//! `answer` is synchronous: it loads the snapshot once and borrows all else from it. A request
//! without a body never awaits, unless it asks to be held for a version that is not here yet. Refusals leave early as a [`Rejection`]; their bodies are drawn by
//! the dialect that owns the path.

use std::cell::RefCell;
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{
    ACCEPT_ENCODING, AGE, ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH,
    CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue, IF_NONE_MATCH, RETRY_AFTER,
    TRANSFER_ENCODING,
};
use hyper::http::request::Parts;
use hyper::{Request, Response, StatusCode, Version as HttpVersion};
use tokio::task::JoinSet;
use tracing::{error, warn};

use super::admission::{authenticate, exposed_secret};
use super::body::{ResponseBody, Timer, buffer, receive, recycled};
use super::connection::Connection;
use super::cors;
use super::flagsmith;
use super::routing::{self, Route, Target};
use super::worker::Process;
use crate::dialect::reflag::routes::Endpoint;
use crate::dialect::reflag::{Answer, Selection, mapping, tracking};
use crate::dialect::tag::mix;
use crate::dialect::{Dialect, Forbidden, Rejection};
use crate::evaluate::{EvaluationContext, Evaluator};
use crate::model::KeyClass;
use crate::snapshot::{
    Age, Content, Credential, Environment, OnStale, PreparedBody, STATE, Snapshot, class_index,
};
use crate::time::{Stopwatch, Timestamp};

/// Status, head and body of an answer.
pub(super) type Reply = (StatusCode, HeaderMap, Bytes);

/// Why there is no answer yet.
pub(super) enum Stop {
    /// There will be none.
    Refused(Rejection),
    /// The request asks for a version that is not here, and may wait for it.
    Behind(Behind),
}

/// Who waits for what.
pub(super) struct Behind {
    environment: u32,
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
    let reply = match received(process, &connection, route, &head, body).await {
        Ok(body) => match answer(&connection, route, &head, &body, true) {
            Err(Stop::Behind(behind)) => {
                if !behind.has_come {
                    wait(process, &connection, &behind).await;
                    watch = Stopwatch::start();
                }
                answer(&connection, route, &head, &body, false)
            }
            reply => reply,
        },
        Err(rejection) => Err(rejection.into()),
    };
    let (status, fields, body) = reply.unwrap_or_else(|stop| match stop {
        Stop::Refused(rejection) => refuse(process, route, &head, &rejection),
        // Nobody waits twice.
        Stop::Behind(_) => refuse(process, route, &head, &Rejection::Internal),
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
    let (waiting, name) = {
        let environment = &process.snapshot.load().environments[behind.environment as usize];
        (Arc::clone(&environment.waiting), environment.profile.name.clone())
    };
    let Some(place) = waiting.place() else {
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
    process.metrics.waited(&name, watch.elapsed());
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
    mut body: Incoming,
) -> Result<Bytes, Rejection> {
    if connection.take_ambiguous() {
        return Err(Rejection::Framing("the length of the body is given in two ways"));
    }
    let reads_body = reads_body(route, head);
    if head.headers.contains_key(TRANSFER_ENCODING) {
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
        return Ok(Bytes::new());
    }
    let limits = &process.limits;
    let target = head.uri.path_and_query().map_or(0, |target| target.as_str().len());
    if target > limits.url {
        return Err(Rejection::UrlTooLong(limits.url));
    }
    if !reads_body {
        return Ok(Bytes::new());
    }
    admit(process, route.dialect, head)?;
    if head.headers.contains_key(CONTENT_ENCODING) {
        return Err(Rejection::EncodedBody);
    }
    if route.target == Target::Reflag(Endpoint::Forwarded) {
        return Ok(Bytes::new());
    }
    let receiving = receive(&mut body, limits.body, &process.in_flight, connection);
    if !connection.is_multiplexed() {
        return receiving.await;
    }
    // One of many requests that share a connection: its time is its own. Boxed, so that the
    // requests that never come here do not carry the timer.
    let received = Box::pin(tokio::time::timeout(limits.body_timeout, receiving)).await;
    received.unwrap_or(Err(Rejection::BodyTimeout))
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

/// Who asks, told by the head before any of the body is read.
fn admit(process: &Process, dialect: Dialect, head: &Parts) -> Result<Credential, Rejection> {
    authenticate(&process.snapshot.load().keys, dialect, &head.headers, head.uri.query())
}

/// Answers from one snapshot. A fault of ours costs this request only.
fn answer(
    connection: &Connection,
    route: Route,
    head: &Parts,
    body: &[u8],
    may_wait: bool,
) -> Result<Reply, Stop> {
    catch_unwind(AssertUnwindSafe(|| {
        let snapshot = connection.worker.shared.snapshot.load();
        answer_from(&snapshot, connection, route, head, body, may_wait)
    }))
    .unwrap_or_else(|_| {
        error!(route = routing::LABELS[route.label].route, "a request panicked");
        Err(Rejection::Internal.into())
    })
}

fn answer_from(
    snapshot: &Snapshot,
    connection: &Connection,
    route: Route,
    head: &Parts,
    body: &[u8],
    may_wait: bool,
) -> Result<Reply, Stop> {
    let process = &connection.worker.shared;
    if cors::is_preflight_of(&head.method, &head.headers) {
        let fields = cors::preflight(&head.headers, &snapshot.environments);
        return Ok((StatusCode::NO_CONTENT, fields, Bytes::new()));
    }
    let endpoint = match route.target {
        Target::Unknown => return Err(Rejection::UnknownPath.into()),
        _ if route.refuses(&head.method).is_some() => {
            return Err(Rejection::Method(route.refuses(&head.method).unwrap_or_default()).into());
        }
        Target::Reflag(endpoint) => endpoint,
        Target::Flagsmith(endpoint) => {
            return flagsmith::answer(snapshot, connection, endpoint, head, body);
        }
        Target::Readiness => return Ok(readiness(process)),
        Target::Liveness(with_body) => return Ok(liveness(with_body)),
    };
    let credential = authenticate(&snapshot.keys, route.dialect, &head.headers, head.uri.query())?;
    let environment = &snapshot.environments[credential.environment as usize];
    match endpoint {
        Endpoint::Definitions => {
            if credential.class == KeyClass::Publishable {
                return Err(Rejection::Forbidden(Forbidden::SecretRequired).into());
            }
            let now = process.clock.now();
            let (content, staleness) = present(environment, now)?;
            if let Some(query) = head.uri.query() {
                let wanted = mapping::wanted_version(query)?;
                if wanted.is_some() {
                    hint_at_stream(process, environment, head);
                }
                catch_up(environment, content, credential, wanted, may_wait)?;
            }
            let age = environment.freshness.age(now);
            let fields = content.heads[class_index(credential.class)].definitions.clone();
            let rules = content.reflag().ok_or(Rejection::OtherRules)?;
            let (status, mut fields, body) = shared(fields, &rules.definitions, head);
            write_state(environment, staleness, Some(age), &mut fields);
            Ok((status, fields, body))
        }
        Endpoint::Evaluated => {
            evaluated(connection, environment, credential, head, Selection::All, may_wait)
        }
        Endpoint::Enabled => {
            evaluated(connection, environment, credential, head, Selection::Enabled, may_wait)
        }
        Endpoint::Track(post) => {
            let counts = tracking::check(post, body)?;
            process.metrics.events_not_kept(&environment.profile.name, &counts);
            let mut fields = HeaderMap::with_capacity(4);
            fields.insert(CONTENT_TYPE, JSON);
            fields.insert(CACHE_CONTROL, NO_STORE);
            if credential.class == KeyClass::Publishable {
                cors::add(&environment.profile.cors, &head.headers, &mut fields);
            }
            Ok((StatusCode::OK, fields, Bytes::from_static(b"{\"success\":true}")))
        }
        Endpoint::Forwarded => Err(Rejection::NotForwarded.into()),
    }
}

/// A server SDK names a version that it heard of on a stream. There is none here, so it listens to
/// the vendor's: its stream does not follow `apiBaseUrl` (reflag-runtime.md section 1).
#[cold]
fn hint_at_stream(process: &Process, environment: &Environment, head: &Parts) {
    let sdk = head.headers.get("reflag-sdk-version").map_or(&b""[..], HeaderValue::as_bytes);
    if sdk.starts_with(b"node-sdk/") && !process.hinted.swap(true, Ordering::Relaxed) {
        warn!(
            environment = %environment.profile.name,
            "a node SDK that gets its flags here listens to another stream for changes: its \
             flagsPushUrl does not follow apiBaseUrl; set flagsSyncMode to \"polling\""
        );
    }
}

/// Stops a request that asks for a later version than is held, if it may wait for it.
fn catch_up(
    environment: &Environment,
    content: &Content,
    credential: Credential,
    wanted: Option<u64>,
    may_wait: bool,
) -> Result<(), Stop> {
    let Some(wanted) = wanted else { return Ok(()) };
    if wanted <= content.version.number() || !may_wait {
        return Ok(());
    }
    // What came after this snapshot was loaded is in the next one.
    let has_come = environment.waiting.has_reached(wanted);
    if !has_come && !environment.waiting.is_ahead(wanted) {
        return Ok(());
    }
    let Credential { environment, class } = credential;
    Err(Stop::Behind(Behind { environment, class, wanted, has_come }))
}

/// What a thread keeps from request to request, so that only the body of an answer is allocated.
#[derive(Default)]
struct Scratch {
    context: EvaluationContext,
    answer: Answer,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Evaluates the flags that the key may see for the context in the query.
fn evaluated(
    connection: &Connection,
    environment: &Environment,
    credential: Credential,
    head: &Parts,
    selection: Selection<'_>,
    may_wait: bool,
) -> Result<Reply, Stop> {
    let process = &connection.worker.shared;
    let now = process.clock.now();
    let (content, staleness) = present(environment, now)?;
    let class = class_index(credential.class);
    if !content.serves[class] {
        return Err(Rejection::NotReady.into());
    }
    let rules = content.reflag().ok_or(Rejection::OtherRules)?;
    let reply = SCRATCH.with_borrow_mut(|Scratch { context, answer }| {
        context.reset(&rules.program);
        let query = head.uri.query().unwrap_or_default();
        let query = mapping::read_query(query, &rules.program, context)?;
        catch_up(environment, content, credential, query.wanted, may_wait)?;
        connection.worker.metrics.evaluated(credential.environment as usize, Dialect::Reflag);
        if let (Selection::All, None, Some(body)) =
            (selection, &query.flag, &rules.evaluated[class])
        {
            return Ok(shared(content.heads[class].shared.clone(), body, head));
        }
        let selection = query.flag.as_deref().map_or(selection, |key| match selection {
            Selection::Enabled => Selection::OneEnabled(key),
            _ => Selection::One(key),
        });
        let room = match selection {
            Selection::All | Selection::Enabled => rules.answers.longest(),
            Selection::One(_) | Selection::OneEnabled(_) => 1_024,
        };
        answer.body = buffer(room);
        let seed = mix(content.tag_seeds[class], u64::from(staleness.is_some()));
        let mut evaluator = Evaluator::new(&rules.program, context, now);
        rules.answers.write(credential.class, selection, &mut evaluator, seed, answer);
        let mut fields = content.heads[class].context.clone();
        let etag = etag(answer.tag);
        let known = matches_etag(head, &etag);
        fill(&mut fields, &ETAG, etag);
        let body = recycled(std::mem::take(&mut answer.body));
        Ok::<_, Stop>(if known {
            (StatusCode::NOT_MODIFIED, fields, Bytes::new())
        } else {
            (StatusCode::OK, fields, body)
        })
    });
    let (status, mut fields, body) = reply?;
    let age = staleness.filter(|&s| s == OnStale::Mark).map(|_| environment.freshness.age(now));
    write_state(environment, staleness, age, &mut fields);
    if credential.class == KeyClass::Publishable {
        cors::complete(&environment.profile.cors, &head.headers, &mut fields);
    }
    Ok((status, fields, body))
}

/// The content of an environment, and what its being stale asks for.
pub(super) fn present(
    environment: &Environment,
    now: Timestamp,
) -> Result<(&Content, Option<OnStale>), Rejection> {
    let content = environment.content.as_deref().ok_or(Rejection::NotReady)?;
    if environment.freshness.is_withdrawn() {
        return Err(Rejection::NotReady);
    }
    if !environment.is_stale(now) {
        return Ok((content, None));
    }
    match environment.profile.on_stale {
        OnStale::Refuse => Err(Rejection::Stale),
        policy => Ok((content, Some(policy))),
    }
}

/// A body that is the same for all keys of a class, or the word that the client has it already.
pub(super) fn shared(mut fields: HeaderMap, body: &PreparedBody, head: &Parts) -> Reply {
    let compressed = if accepts_gzip(&head.headers) { body.gzip() } else { None };
    let (bytes, etag) = compressed.unwrap_or_else(|| body.plain());
    // A tag of either form proves that the client has this very content.
    let known = matches_etag(head, body.plain().1)
        || body.gzip().is_some_and(|(_, etag)| matches_etag(head, etag));
    fill(&mut fields, &ETAG, etag.clone());
    if known {
        return (StatusCode::NOT_MODIFIED, fields, Bytes::new());
    }
    if compressed.is_some() {
        fields.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    (StatusCode::OK, fields, bytes.clone())
}

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
        Some(Age::Millis(millis)) => fill(fields, &AGE, HeaderValue::from(millis / 1_000)),
        // Prepared heads have a place for it; an age that is not known is not told.
        Some(Age::Unknown) => drop(fields.remove(AGE)),
        None => {}
    }
}

/// Sets a field, without growing the map when it has a place for it.
fn fill(fields: &mut HeaderMap, name: &HeaderName, value: HeaderValue) {
    match fields.get_mut(name) {
        Some(place) => *place = value,
        None => drop(fields.insert(name, value)),
    }
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    let Some(accepted) = headers.get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok()) else {
        return false;
    };
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

/// Whether the client holds what `etag` names (RFC 9110, 13.1.2: weakly compared, a list, `*`).
fn matches_etag(head: &Parts, etag: &HeaderValue) -> bool {
    head.headers.get_all(IF_NONE_MATCH).iter().any(|held| {
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

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const NO_STORE: HeaderValue = HeaderValue::from_static("private, no-store");

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
    let (status, body) = route.dialect.reject(rejection);
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
        && let Some(index) = head.uri.query().and_then(|q| exposed_secret(&snapshot.keys, q))
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
