//! The SDK paths of the origin's environments (reflag-runtime.md sections 4, 5, 8): definitions for
//! server SDKs and edges, evaluated flags for what holds a publishable key.
//!
//! Keys are found, heads prepared and pages given leave by the public port's own code. Meant for a few
//! edges and servers, not for traffic: an edge answers that. Content is compiled when
//! it is first asked for at a version, and kept until the version changes.

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::header::{
    AGE, ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue,
    IF_NONE_MATCH, ORIGIN, RETRY_AFTER,
};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};

use tracing::error;

use super::bodies::{Bodies, NoBody};
use super::counting::Note;
use super::definitions;
use super::keys::sha256;
use super::model::EnvironmentId;
use super::store::Store;
use super::streams::{AnyBody, Hangup, Holder, STREAMS, Streams};
use crate::compile::Policy;
use crate::config::{Definitions, Gate};
use crate::dialect::ofrep::BareKey;
use crate::dialect::reflag::routes::{self, Endpoint, ROUTES};
use crate::dialect::reflag::{Answer, Selection, definitions as features, mapping, tracking};
use crate::dialect::{Dialect, Forbidden, Rejection};
use crate::evaluate::{EvaluationContext, Evaluator};
use crate::http::admission::key_of_head;
use crate::http::cors;
use crate::http::head_fields::HeadFields;
use crate::http::pipeline::matches_etag;
use crate::http::streams::StreamTimes;
use crate::model::{EnvironmentName, KeyClass, Rules, Version};
use crate::snapshot::{
    Authority, Content, Cors, OnStale, OnUnauthorized, Patience, Profile, class_index,
};
use crate::time::Stopwatch;

/// Longest body of a post.
const BODY: usize = 1 << 20;
/// Environments whose compiled content is kept.
const KEPT: usize = 64;
/// Nobody waits for a version that is further ahead than this.
const FARTHEST: u64 = 1_000_000;

/// Answers SDKs.
#[derive(Debug)]
pub(super) struct RuntimeApi {
    store: Store,
    kept: Mutex<HashMap<EnvironmentId, Arc<Content>>>,
    streams: Streams,
}

/// Who asks.
struct Asking {
    environment: EnvironmentId,
    class: KeyClass,
    /// SHA-256 of the key.
    hash: [u8; 32],
}

/// What is answered, or why not.
type Reply = Result<Response<AnyBody>, Rejection>;

impl RuntimeApi {
    pub(super) fn new(store: Store) -> Self {
        let streams = Streams::new(store.clone(), STREAMS, StreamTimes::default());
        Self { store, kept: Mutex::default(), streams }
    }

    /// Ends all event streams.
    pub(super) fn end_streams(&self) {
        self.streams.end();
    }

    pub(super) async fn answer(
        &self,
        request: Request<Incoming>,
        bodies: &Bodies,
    ) -> Response<AnyBody> {
        let mut note = Note::default();
        let origin = request.headers().get(ORIGIN).cloned();
        let reply = self.reply(request, bodies, &mut note).await;
        let mut response = reply.unwrap_or_else(|rejection| {
            note.reason = Some(rejection.label());
            let (status, body) = mapping::reject(&rejection);
            let mut response = json_response(Bytes::from(body));
            // Without this a browser hides even the status.
            add_leave(origin.as_ref(), &mut response);
            *response.status_mut() =
                StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            if let Rejection::Method(allowed) = rejection {
                response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
            }
            if let Some(seconds) = rejection.retry_after() {
                response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
            }
            response
        });
        note.give(&mut response);
        response
    }

    async fn reply(&self, request: Request<Incoming>, bodies: &Bodies, note: &mut Note) -> Reply {
        let (head, body) = request.into_parts();
        let path = head.uri.path();
        let path = path.strip_suffix('/').unwrap_or(path);
        if cors::is_preflight_of(&head.method, &head.headers) && is_known(path) {
            let mut response = Response::new(Either::Left(Full::default()));
            *response.status_mut() = StatusCode::NO_CONTENT;
            *response.headers_mut() = cors::preflight_of_all(&head.headers);
            return Ok(response);
        }
        if let Some((_, class)) = routes::STREAMS.iter().find(|(known, _)| *known == path) {
            note.is_stream = true;
            return self.stream(&head, *class).await;
        }
        let delay = &mut note.waited;
        let route = ROUTES.iter().find(|route| route.path == path);
        let endpoint = route.ok_or(Rejection::UnknownPath)?.endpoint;
        let is_read = head.method == Method::GET || head.method == Method::HEAD;
        if endpoint.takes_body() && head.method != Method::POST {
            return Err(Rejection::Method("POST"));
        } else if !endpoint.takes_body() && !is_read {
            return Err(Rejection::Method("GET, HEAD"));
        }
        let query = head.uri.query().unwrap_or_default();
        let asking = self.authenticate(&head.headers, query).await?;
        let origin = head.headers.get(ORIGIN).filter(|_| asking.class == KeyClass::Publishable);
        match endpoint {
            Endpoint::Definitions if asking.class == KeyClass::Publishable => {
                Err(Rejection::Forbidden(Forbidden::SecretRequired))
            }
            Endpoint::Definitions => {
                *delay = self.wait_for(&asking, mapping::wanted_version(query)?).await;
                let content = self.content(&asking.environment).await?;
                definitions_of(&content, &head.headers)
            }
            Endpoint::Evaluated | Endpoint::Enabled => {
                let only_enabled = matches!(endpoint, Endpoint::Enabled);
                let (content, body) = self.evaluated(&asking, query, only_enabled, delay).await?;
                let heads = content.heads.of(asking.class, origin.is_some());
                Ok(with_head(body, heads.context.fields()))
            }
            Endpoint::Track(_) if head.headers.contains_key(CONTENT_ENCODING) => {
                Err(Rejection::EncodedBody)
            }
            Endpoint::Track(post) => {
                let body = bodies.receive(body, BODY).await.map_err(|why| match why {
                    NoBody::TooLong => Rejection::BodyTooLarge(BODY),
                    NoBody::Broken => Rejection::Invalid("the body broke off".into()),
                    NoBody::Late => Rejection::BodyTimeout,
                    NoBody::NoRoom => Rejection::Overloaded,
                })?;
                tracking::check(post, &body.bytes)?;
                let mut response = json_response(Bytes::from_static(b"{\"success\":true}"));
                add_leave(origin, &mut response);
                Ok(response)
            }
            Endpoint::Forwarded => Err(Rejection::NotForwarded),
        }
    }

    /// An event stream for keys of a class; the one for publishable keys lets secret ones in, too.
    async fn stream(&self, head: &Parts, class: KeyClass) -> Reply {
        if head.method != Method::GET && head.method != Method::HEAD {
            return Err(Rejection::Method("GET, HEAD"));
        }
        let query = head.uri.query().unwrap_or_default();
        let asking = self.authenticate(&head.headers, query).await?;
        if class == KeyClass::Secret && asking.class == KeyClass::Publishable {
            return Err(Rejection::Forbidden(Forbidden::SecretRequired));
        }
        let hangup = head.extensions.get::<Hangup>().cloned().unwrap_or_default();
        let holder = Holder { environment: asking.environment, hash: asking.hash };
        let mut response = self.streams.open(holder, &head.method, hangup)?;
        let origin = head.headers.get(ORIGIN).filter(|_| asking.class == KeyClass::Publishable);
        add_leave(origin, &mut response);
        Ok(response)
    }

    /// A key in the head, or a publishable one in the query (reflag-runtime.md section 1), found as
    /// on the public port.
    async fn authenticate(&self, headers: &HeaderMap, query: &str) -> Result<Asking, Rejection> {
        let in_header = key_of_head(Dialect::Reflag, &HeadFields::of(headers));
        let in_query = mapping::publishable_key(query);
        let key = in_header.or(in_query.as_ref().map(|key| key.as_bytes()));
        let hash = sha256(key.ok_or(Rejection::UnknownKey)?);
        let now = self.store.clock().now();
        let found = self.store.read(move |reader| reader.environment_of_key(&hash, now)).await;
        let found = found.map_err(|error| failed(&error))?.ok_or(Rejection::UnknownKey)?;
        if in_header.is_none() && found.class == KeyClass::Secret {
            return Err(Rejection::Forbidden(Forbidden::SecretInUrl));
        }
        Ok(Asking { environment: found.environment, class: found.class, hash })
    }

    /// Holds a call until its version is here, or for as long as its key may wait. Gives how long
    /// that was.
    async fn wait_for(&self, asking: &Asking, wanted: Option<u64>) -> Duration {
        let watch = Stopwatch::start();
        let mut feed = self.store.feed();
        let reached = |version: u64| wanted.is_none_or(|w| w <= version || w - version > FARTHEST);
        let wait = async {
            loop {
                let known = feed.numbers(&asking.environment);
                match known {
                    Some(numbers) if !reached(numbers.state) => {}
                    _ => return,
                }
                feed.changed(&asking.environment, known).await;
            }
        };
        let _ = tokio::time::timeout(Patience::default().of(asking.class), wait).await;
        watch.elapsed()
    }

    /// The compiled rules of an environment at its present version.
    async fn content(&self, environment: &EnvironmentId) -> Result<Arc<Content>, Rejection> {
        let version = self.store.feed().numbers(environment).map_or(0, |numbers| numbers.state);
        let kept = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let held = kept().get(environment).cloned();
        if let Some(held) = held.filter(|held| held.version.number() >= version) {
            return Ok(held);
        }
        let here = environment.clone();
        let content = self.store.read(move |reader| {
            let state = reader.environment_state(&here)?;
            let document = definitions::document(&state);
            Ok(document.map(|document| content_of(&here, &document, state.version)))
        });
        let content = content.await.map_err(|error| failed(&error))?;
        let content = content.map_err(|error| failed(&error))?;
        let content = Arc::new(content.ok_or(Rejection::Internal)?);
        let mut kept = kept();
        if kept.len() >= KEPT && !kept.contains_key(environment) {
            kept.clear();
        }
        kept.insert(environment.clone(), Arc::clone(&content));
        Ok(content)
    }

    async fn evaluated(
        &self,
        asking: &Asking,
        query: &str,
        enabled: bool,
        delay: &mut Duration,
    ) -> Result<(Arc<Content>, Bytes), Rejection> {
        // The version is read with the context, for which any program does.
        let content = self.content(&asking.environment).await?;
        let wanted = mapping::wanted_version(query)?;
        let content = if wanted.is_some_and(|wanted| wanted > content.version.number()) {
            *delay = self.wait_for(asking, wanted).await;
            self.content(&asking.environment).await?
        } else {
            content
        };
        let rules = content.reflag().ok_or(Rejection::Internal)?;
        let mut asked = EvaluationContext::new();
        asked.reset(&rules.program);
        let read = mapping::read_query(query, &rules.program, &mut asked)?;
        let selection = match (&read.flag, enabled) {
            (None, false) => Selection::All,
            (None, true) => Selection::Enabled,
            (Some(key), false) => Selection::One(key),
            (Some(key), true) => Selection::OneEnabled(key),
        };
        let now = self.store.clock().now();
        let mut evaluator = Evaluator::new(&rules.program, &mut asked, now);
        let mut answer = Answer::default();
        let seed = content.tag_seeds[class_index(asking.class)];
        rules.answers.write(asking.class, selection, &mut evaluator, seed, &mut answer);
        let body = Bytes::from(answer.body);
        Ok((content, body))
    }
}

fn definitions_of(content: &Content, headers: &HeaderMap) -> Reply {
    let rules = content.reflag().ok_or(Rejection::Internal)?;
    let (body, etag) = rules.definitions.plain();
    let known = matches_etag(
        headers.get_all(IF_NONE_MATCH).iter().map(HeaderValue::as_bytes),
        etag.as_bytes(),
    );
    // Whoever holds a secret key is no web page.
    let head = &content.heads.of(KeyClass::Secret, false).shared;
    let mut response = if known {
        let mut response = with_head(Bytes::new(), head.unchanged.fields());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        with_head(body.clone(), head.whole.fields())
    };
    let fields = response.headers_mut();
    fields.insert(ETAG, etag.clone());
    // Edges would take rules that say their version and no age for rules of unknown age.
    fields.insert(AGE, HeaderValue::from_static("0"));
    Ok(response)
}

/// What is compiled of an environment's definitions.
fn content_of(environment: &EnvironmentId, document: &Bytes, version: u64) -> Option<Content> {
    let rules = Rules::Reflag(features::read(document).ok()?);
    let profile = Profile {
        name: EnvironmentName::new(environment.as_str()),
        policy: Policy::default(),
        key_from_document: false,
        segments_without_identity: false,
        hide_sensitive_data: false,
        definitions: Definitions::default(),
        bare_key: BareKey::default(),
        max_staleness: None,
        on_stale: OnStale::Serve,
        on_unauthorized: OnUnauthorized::Serve,
        authority: Authority::Operator,
        gate: Gate::open(),
        cors: Cors::Any,
    };
    let fingerprint = Content::fingerprint_of(&rules, &profile);
    Some(Content::prepare(rules, fingerprint, Version::new(version), &profile).content)
}

fn failed(error: &impl Display) -> Rejection {
    error!(%error, "the origin cannot answer an SDK");
    Rejection::NotReady
}

/// Whether SDKs have business at a path.
fn is_known(path: &str) -> bool {
    ROUTES.iter().any(|route| route.path == path)
        || routes::STREAMS.iter().any(|(known, _)| *known == path)
}

/// Lets the page that asks read an answer, if one does.
fn add_leave(origin: Option<&HeaderValue>, response: &mut Response<AnyBody>) {
    cors::add(&Cors::Any, origin.map(HeaderValue::as_bytes), response.headers_mut());
}

/// An answer from the rules, with the head that the public port gives it.
fn with_head(body: Bytes, head: &HeaderMap) -> Response<AnyBody> {
    let mut response = Response::new(Either::Left(Full::new(body)));
    response.headers_mut().clone_from(head);
    response
}

/// An answer of this moment.
fn json_response(body: Bytes) -> Response<AnyBody> {
    let mut response = Response::new(Either::Left(Full::new(body)));
    let fields = response.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    response
}
