//! Calls of Flagsmith's SDKs: the part of the hot path behind [`pipeline`](super::pipeline) that is
//! theirs. Synchronous, as all of it.

use std::borrow::Cow;
use std::cell::RefCell;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{
    CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH,
    LAST_MODIFIED,
};
use hyper::http::request::Parts;

use super::admission::authenticate;
use super::body::{buffer, recycled};
use super::connection::Connection;
use super::cors;
use super::pipeline::{Reply, Stop, present, shared, write_state};
use crate::dialect::flagsmith::mapping::{self, Identity};
use crate::dialect::flagsmith::routes::Endpoint;
use crate::dialect::{Dialect, Forbidden, Rejection};
use crate::evaluate::flagsmith::{EvaluationContext, Program, evaluate, is_path};
use crate::model::KeyClass;
use crate::snapshot::{Credential, Environment, OnStale, Snapshot, class_index};
use crate::time::Timestamp;

/// Answers a call from one snapshot.
pub(super) fn answer(
    snapshot: &Snapshot,
    connection: &Connection,
    endpoint: Endpoint,
    head: &Parts,
    body: &[u8],
) -> Result<Reply, Stop> {
    let query = head.uri.query();
    let credential = authenticate(&snapshot.keys, Dialect::Flagsmith, &head.headers, query)?;
    let environment = &snapshot.environments[credential.environment as usize];
    let reply = match endpoint {
        Endpoint::Flags => flags(connection, environment, credential, head),
        Endpoint::Identities => identities(connection, environment, credential, head, body),
        Endpoint::Document => document(connection, environment, credential, head),
        Endpoint::Analytics(form) => {
            let evaluations = mapping::check_analytics(form, body)?;
            let metrics = &connection.worker.shared.metrics;
            metrics.analytics_not_kept(&environment.profile.name, evaluations);
            let status = if form == 1 { StatusCode::OK } else { StatusCode::NO_CONTENT };
            let mut fields = HeaderMap::with_capacity(4);
            if credential.class == KeyClass::Publishable {
                cors::add(&environment.profile.cors, &head.headers, &mut fields);
            }
            return Ok((status, fields, Bytes::new()));
        }
    };
    Ok(reply?)
}

/// The flags of nobody in particular: prepared, whole or one by one.
fn flags(
    connection: &Connection,
    environment: &Environment,
    credential: Credential,
    head: &Parts,
) -> Result<Reply, Rejection> {
    let now = connection.worker.shared.clock.now();
    let (content, staleness) = present(environment, now)?;
    let rules = content.flagsmith().ok_or(Rejection::OtherRules)?;
    let class = class_index(credential.class);
    connection.worker.metrics.evaluated(credential.environment as usize, Dialect::Flagsmith);
    let body = match mapping::feature(head.uri.query().unwrap_or_default())? {
        None => &rules.flags[class],
        Some(name) => rules
            .answers
            .find(&name)
            .and_then(|feature| rules.each_flag[class][feature.0 as usize].as_ref())
            .ok_or_else(|| Rejection::UnknownFlag(name.into_owned().into()))?,
    };
    let reply = shared(content.heads[class].shared.clone(), body, head);
    Ok(complete(reply, environment, credential, staleness, now, head))
}

/// What a thread keeps from request to request, so that only the body of an answer is allocated.
#[derive(Default)]
struct Scratch {
    context: EvaluationContext,
    text: String,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// The flags of one identity.
fn identities(
    connection: &Connection,
    environment: &Environment,
    credential: Credential,
    head: &Parts,
    body: &[u8],
) -> Result<Reply, Rejection> {
    let now = connection.worker.shared.clock.now();
    let (content, staleness) = present(environment, now)?;
    let rules = content.flagsmith().ok_or(Rejection::OtherRules)?;
    let identity = if head.method == hyper::Method::POST {
        let media_type = head.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
        mapping::read_identity(body, media_type)?
    } else {
        mapping::identity_of_query(head.uri.query().unwrap_or_default())?
    };
    let identifier = match &identity.identifier {
        Some(identifier) => Cow::Borrowed(&**identifier),
        None => Cow::Owned(mapping::anonymous_identifier(&identity.traits)?),
    };
    connection.worker.metrics.evaluated(credential.environment as usize, Dialect::Flagsmith);
    let class = class_index(credential.class);
    let body = SCRATCH.with_borrow_mut(|Scratch { context, text }| {
        context.reset(&rules.program);
        context.set_identity(&rules.program, &identifier);
        set_traits(&rules.program, credential.class, &identity, context, text);
        let evaluation = evaluate(&rules.program, context);
        let mut body = buffer(rules.answers.longest() + 2 * body.len() + 256);
        let hide_traits = environment.profile.hide_sensitive_data && rules.hides_sensitive_data;
        rules.answers.write_identity(
            credential.class,
            &evaluation,
            &identifier,
            &identity,
            hide_traits,
            &mut body,
        );
        body
    });
    let fields = content.heads[class].context.clone();
    let reply = (StatusCode::OK, fields, recycled(body));
    Ok(complete(reply, environment, credential, staleness, now, head))
}

/// A trait that reads as a path would stand in for what the path points to, so it counts only
/// from those who hold a secret key (DESIGN section 4).
fn set_traits(
    program: &Program,
    class: KeyClass,
    identity: &Identity<'_>,
    context: &mut EvaluationContext,
    text: &mut String,
) {
    for sent in &identity.traits {
        if class == KeyClass::Secret || !is_path(&sent.key) {
            context.set_trait(program, &sent.key, sent.scalar(text));
        }
    }
}

/// The rules themselves, for server keys.
fn document(
    connection: &Connection,
    environment: &Environment,
    credential: Credential,
    head: &Parts,
) -> Result<Reply, Rejection> {
    if credential.class == KeyClass::Publishable {
        return Err(Rejection::Forbidden(Forbidden::SecretRequired));
    }
    let now = connection.worker.shared.clock.now();
    let (content, staleness) = present(environment, now)?;
    let rules = content.flagsmith().ok_or(Rejection::OtherRules)?;
    let fields = content.heads[class_index(credential.class)].definitions.clone();
    let (mut status, mut fields, mut body) = shared(fields, &rules.document, head);
    if let Some(updated) = rules.last_modified() {
        if now.since(updated) < YOUNG_MILLIS {
            fields.remove(LAST_MODIFIED);
        } else if status == StatusCode::OK && !is_modified_since(head, updated) {
            (status, body) = (StatusCode::NOT_MODIFIED, Bytes::new());
            fields.remove(CONTENT_ENCODING);
        }
    }
    let age = environment.freshness.age(now);
    write_state(environment, staleness, Some(age), &mut fields);
    Ok((status, fields, body))
}

/// A document that is younger than this has no date: another change may fall into the same second.
const YOUNG_MILLIS: i64 = 2_000;

/// Whether the client has to be told. A tag is exact and seconds are not, so where one is sent, the
/// date does not count (RFC 9110, 13.2.2).
fn is_modified_since(head: &Parts, updated: Timestamp) -> bool {
    let since = head.headers.get(IF_MODIFIED_SINCE).and_then(|since| since.to_str().ok());
    let since = since.and_then(|since| httpdate::parse_http_date(since).ok());
    since.is_none_or(|since| Timestamp::from(since) < updated)
        || head.headers.contains_key(IF_NONE_MATCH)
}

/// Adds what depends on the moment and on the page that asks.
fn complete(
    (status, mut fields, body): Reply,
    environment: &Environment,
    credential: Credential,
    staleness: Option<OnStale>,
    now: Timestamp,
    head: &Parts,
) -> Reply {
    let age = staleness.filter(|&s| s == OnStale::Mark).map(|_| environment.freshness.age(now));
    write_state(environment, staleness, age, &mut fields);
    if credential.class == KeyClass::Publishable {
        cors::complete(&environment.profile.cors, &head.headers, &mut fields);
    }
    (status, fields, body)
}
