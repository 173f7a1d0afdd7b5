//! Calls of Flagsmith's SDKs: the part of the hot path behind [`pipeline`](super::pipeline) that is
//! theirs. Synchronous, as all of it.

use std::borrow::Cow;
use std::cell::RefCell;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::HeaderMap;
use tracing::warn;

use super::body::{buffer, recycled};
use super::head_fields::HeadFields;
use super::pipeline::{Call, Stop, shared};
use super::reply::{Fields, Reply, ReplyHead};
use super::worker::Process;
use super::{cors, scratch};
use crate::dialect::flagsmith::mapping::{self, Identity};
use crate::dialect::flagsmith::routes::{Endpoint, key_of_stream};
use crate::dialect::flagsmith::translate::is_document_key;
use crate::dialect::{Dialect, Forbidden, Rejection};
use crate::evaluate::AnyProgram;
use crate::evaluate::flagsmith::{EvaluationContext, Program, evaluate, is_path};
use crate::model::KeyClass;
use crate::snapshot::{Environment, Family, FlagsmithContent, ReflagContent, Snapshot};
use crate::time::Timestamp;

/// Answers a call.
pub(super) fn answer<'a>(call: &Call<'a>, endpoint: Endpoint) -> Result<Reply<'a>, Stop> {
    match endpoint {
        Endpoint::Flags => Ok(flags(call)?),
        Endpoint::Identities => Ok(identities(call)?),
        Endpoint::Document => document(call),
        Endpoint::Analytics(form) => Ok(analytics(call, form)?),
    }
}

/// Takes reports of how often flags were asked for.
fn analytics(call: &Call<'_>, form: u8) -> Result<Reply<'static>, Rejection> {
    let evaluations = mapping::check_analytics(form, call.body)?;
    call.environment.metrics.analytics_not_kept(evaluations);
    let status = if form == 1 { StatusCode::OK } else { StatusCode::NO_CONTENT };
    let mut fields = HeaderMap::with_capacity(4);
    if call.credential.class == KeyClass::Publishable {
        cors::add(&call.environment.profile.cors, call.head.fields.origin, &mut fields);
    }
    Ok(Reply::own(status, fields, Bytes::new()))
}

/// The flags of nobody in particular: prepared, whole or one by one.
fn flags<'a>(call: &Call<'a>) -> Result<Reply<'a>, Rejection> {
    let (content, staleness) = call.present()?;
    let class = call.class_index();
    if !content.serves[class] {
        return Err(Rejection::NotReady);
    }
    call.count(Dialect::Flagsmith);
    let flags = match &content.family {
        Family::Flagsmith(rules) => &rules.environment_flags,
        Family::Reflag(rules) => &rules.environment_flags,
    };
    let body = match mapping::feature(call.query())? {
        None => &flags.all[class],
        Some(name) => content
            .family
            .program()
            .find(&name)
            .and_then(|feature| flags.one(feature, call.credential.class))
            .ok_or_else(|| Rejection::UnknownFlag(name.into_owned().into()))?,
    };
    Ok(shared(content, body, staleness, call))
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
fn identities<'a>(call: &Call<'a>) -> Result<Reply<'a>, Rejection> {
    let (content, staleness) = call.present()?;
    if !content.serves[call.class_index()] {
        return Err(Rejection::NotReady);
    }
    let identity = if call.head.method == hyper::Method::POST {
        mapping::read_identity(call.body, call.head.fields.content_type)?
    } else {
        mapping::identity_of_query(call.query())?
    };
    let identifier = match &identity.identifier {
        Some(identifier) => Cow::Borrowed(&**identifier),
        None => Cow::Owned(mapping::anonymous_identifier(&identity.traits)?),
    };
    call.count(Dialect::Flagsmith);
    let body = match &content.family {
        Family::Flagsmith(rules) => of_own_rules(call, rules, &identity, &identifier),
        Family::Reflag(rules) => of_reflag_rules(call, rules, &identity, &identifier)?,
    };
    let mut fields = Fields::of(&call.heads(content).identity);
    call.complete(&mut fields, staleness);
    Ok(Reply::prepared(StatusCode::OK, fields, recycled(body)))
}

fn of_own_rules(
    call: &Call<'_>,
    rules: &FlagsmithContent,
    identity: &Identity<'_>,
    identifier: &str,
) -> Vec<u8> {
    let class = call.credential.class;
    SCRATCH.with_borrow_mut(|Scratch { context, text }| {
        context.reset(&rules.program);
        context.set_identity(&rules.program, identifier);
        set_traits(&rules.program, class, identity, context, text);
        let evaluation = evaluate(&rules.program, context);
        let mut body = buffer(rules.answers.longest() + 2 * call.body.len() + 256);
        let hide_traits =
            call.environment.profile.hide_sensitive_data && rules.hides_sensitive_data;
        rules.answers.write_identity(
            class,
            &evaluation,
            identifier,
            identity,
            hide_traits,
            &mut body,
        );
        call.count_given_up(evaluation.given_up());
        body
    })
}

/// The same for an environment whose rules are Reflag's.
fn of_reflag_rules(
    call: &Call<'_>,
    rules: &ReflagContent,
    identity: &Identity<'_>,
    identifier: &str,
) -> Result<Vec<u8>, Rejection> {
    let (program, class) = (AnyProgram::Reflag(&rules.program), call.credential.class);
    scratch::lend(|scratch| {
        let mut writer = scratch.context.write(program, class);
        mapping::write_identity(class, identity, identifier, &mut writer)
            .map_err(|error| Rejection::Invalid(error.to_string().into()))?;
        let outcomes = scratch.context.evaluate(program, call.now());
        let written = &mut scratch.written;
        written.begin(buffer(rules.flags.longest() + 2 * call.body.len() + 256), 0);
        rules.flags.write_identity(program, class, outcomes, identifier, identity, written);
        Ok(written.end().1)
    })
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
fn document<'a>(call: &Call<'a>) -> Result<Reply<'a>, Stop> {
    if call.credential.class == KeyClass::Publishable {
        return Err(Rejection::Forbidden(Forbidden::SecretRequired).into());
    }
    let (content, staleness) = call.present()?;
    let (document, lacks) = match &content.family {
        Family::Flagsmith(rules) => (&rules.document, None),
        Family::Reflag(_) => content.translated().ok_or_else(|| call.untranslated())?.give()?,
    };
    let mut reply = shared(content, document, staleness, call);
    if let ReplyHead::Prepared(fields) = &mut reply.head {
        fields.age = call.age();
        fields.untranslated = lacks;
        if let Some(date) = content.flagsmith().and_then(FlagsmithContent::last_modified)
            && reply.status == StatusCode::OK
            && call.now().since(date.at()) >= YOUNG_MILLIS
        {
            fields.last_modified = Some(date.field());
            if !is_modified_since(&call.head.fields, date.at()) {
                fields.prepared = &call.heads(content).shared.unchanged;
                fields.is_gzip = false;
                (reply.status, reply.body) = (StatusCode::NOT_MODIFIED, Bytes::new());
            }
        }
    }
    Ok(reply)
}

/// A document whose date is younger than this, or lies ahead, has none: another change may fall into
/// the same second.
const YOUNG_MILLIS: i64 = 2_000;

/// Whether the client has to be told. A tag is exact and seconds are not, so where one is sent, the
/// date does not count (RFC 9110, 13.2.2).
fn is_modified_since(fields: &HeadFields<'_>, date: Timestamp) -> bool {
    let since = fields.if_modified_since.and_then(|since| std::str::from_utf8(since).ok());
    let since = since.and_then(|since| httpdate::parse_http_date(since).ok());
    since.is_none_or(|since| Timestamp::from(since) < date) || fields.if_none_match.is_some()
}

/// Python's SDK listens to the stream that the environment document names, by whatever key it got the
/// document (flagsmith.md section 15). Where that is no key it is refused, and asks again at once.
#[cold]
pub(super) fn hint_at_document_key(process: &Process, snapshot: &Snapshot, path: &str) {
    let hinted = &process.hinted_at_document_key;
    let Some(key) = key_of_stream(path).filter(|_| !hinted.load(Ordering::Relaxed)) else { return };
    let names_it = |environment: &&Environment| match environment.content.as_deref() {
        Some(content) => match content.flagsmith() {
            Some(rules) => *rules.key == *key,
            None => is_document_key(&key, &environment.profile.name),
        },
        None => false,
    };
    if let Some(environment) = snapshot.environments.iter().find(names_it)
        && !hinted.swap(true, Ordering::Relaxed)
    {
        warn!(
            environment = %environment.profile.name,
            "an SDK listens to the stream that the environment document names in `api_key`, and \
             asks again and again, since that is not among publishable_keys: add it, or turn \
             realtime updates off in the SDK"
        );
    }
}
