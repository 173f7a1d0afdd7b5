//! Calls of Reflag's SDKs: the part of the hot path behind [`pipeline`](super::pipeline) that is
//! theirs. Synchronous, as all of it.

use std::cell::RefCell;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap};
use tracing::warn;

use super::body::buffer;
use super::pipeline::{Call, JSON, NO_STORE, Stop, catch_up, shared, tagged};
use super::reply::{Reply, ReplyHead};
use super::{cors, scratch};
use crate::dialect::reflag::routes::Endpoint;
use crate::dialect::reflag::{Answer, Selection, mapping, tracking};
use crate::dialect::tag::mix;
use crate::dialect::{Dialect, Forbidden, Rejection};
use crate::evaluate::{AnyProgram, EvaluationContext, Evaluator, OutcomeIndex};
use crate::model::KeyClass;
use crate::snapshot::{Content, Family, FlagsmithContent, OnStale, ReflagContent};

/// Answers a call.
pub(super) fn answer<'a>(
    call: &Call<'a>,
    endpoint: Endpoint,
    may_wait: bool,
) -> Result<Reply<'a>, Stop> {
    match endpoint {
        Endpoint::Definitions => definitions(call, may_wait),
        Endpoint::Evaluated => evaluated(call, Selection::All, may_wait),
        Endpoint::Enabled => evaluated(call, Selection::Enabled, may_wait),
        Endpoint::Track(post) => Ok(track(call, post)?),
        Endpoint::Forwarded => Err(Rejection::NotForwarded.into()),
    }
}

/// The rules themselves, for secret keys.
fn definitions<'a>(call: &Call<'a>, may_wait: bool) -> Result<Reply<'a>, Stop> {
    if call.credential.class == KeyClass::Publishable {
        return Err(Rejection::Forbidden(Forbidden::SecretRequired).into());
    }
    let (content, staleness) = call.present()?;
    if call.head.query.is_some() {
        let wanted = mapping::wanted_version(call.query())?;
        if wanted.is_some_and(|wanted| wanted > content.version.number()) {
            hint_at_stream(call);
        }
        catch_up(call, content, wanted, may_wait)?;
    }
    let (document, lacks) = match &content.family {
        Family::Reflag(rules) => (&rules.definitions, None),
        Family::Flagsmith(_) => content.translated().ok_or_else(|| call.untranslated())?.give()?,
    };
    let mut reply = shared(content, document, staleness, call);
    if let ReplyHead::Prepared(fields) = &mut reply.head {
        fields.age = call.age();
        fields.untranslated = lacks;
    }
    Ok(reply)
}

/// Takes tracking calls in.
fn track(call: &Call<'_>, post: tracking::Post) -> Result<Reply<'static>, Rejection> {
    let counts = tracking::check(post, call.body)?;
    call.environment.metrics.events_not_kept(&counts);
    let mut fields = HeaderMap::with_capacity(4);
    fields.insert(CONTENT_TYPE, JSON);
    fields.insert(CACHE_CONTROL, NO_STORE);
    if call.credential.class == KeyClass::Publishable {
        cors::add(&call.environment.profile.cors, call.head.fields.origin, &mut fields);
    }
    Ok(Reply::own(StatusCode::OK, fields, Bytes::from_static(b"{\"success\":true}")))
}

/// Evaluates the flags that the key may see for the context in the query.
fn evaluated<'a>(
    call: &Call<'a>,
    selection: Selection<'_>,
    may_wait: bool,
) -> Result<Reply<'a>, Stop> {
    let (content, staleness) = call.present()?;
    if !content.serves[call.class_index()] {
        return Err(Rejection::NotReady.into());
    }
    match &content.family {
        Family::Reflag(rules) => of_own_rules(call, content, rules, selection, staleness, may_wait),
        Family::Flagsmith(rules) => {
            of_flagsmith_rules(call, content, rules, selection, staleness, may_wait)
        }
    }
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

fn of_own_rules<'a>(
    call: &Call<'a>,
    content: &'a Content,
    rules: &'a ReflagContent,
    selection: Selection<'_>,
    staleness: Option<OnStale>,
    may_wait: bool,
) -> Result<Reply<'a>, Stop> {
    let class = call.class_index();
    SCRATCH.with_borrow_mut(|Scratch { context, answer }| {
        context.reset(&rules.program);
        let query = mapping::read_query(call.query(), &rules.program, context)?;
        catch_up(call, content, query.wanted, may_wait)?;
        call.count(Dialect::Reflag);
        if let (Selection::All, None, Some(body)) =
            (selection, &query.flag, &rules.evaluated[class])
        {
            return Ok(shared(content, body, staleness, call));
        }
        let selection = selection.of(query.flag.as_deref());
        let room = if selection.is_one() { 1_024 } else { rules.answers.longest() };
        answer.body = buffer(room);
        let seed = mix(content.tag_seeds[class], u64::from(staleness.is_some()));
        let mut evaluator = Evaluator::new(&rules.program, context, call.now());
        rules.answers.write(call.credential.class, selection, &mut evaluator, seed, answer);
        Ok(tagged(content, answer.tag, std::mem::take(&mut answer.body), staleness, call))
    })
}

/// The same for an environment whose rules are Flagsmith's.
fn of_flagsmith_rules<'a>(
    call: &Call<'a>,
    content: &'a Content,
    rules: &FlagsmithContent,
    selection: Selection<'_>,
    staleness: Option<OnStale>,
    may_wait: bool,
) -> Result<Reply<'a>, Stop> {
    let class = call.class_index();
    let program = AnyProgram::Flagsmith(&rules.program);
    scratch::lend(|scratch| {
        let mut writer = scratch.context.write(program, call.credential.class);
        let query = mapping::read_query_for_others(call.query(), &mut writer, &mut scratch.text)?;
        catch_up(call, content, query.wanted, may_wait)?;
        call.count(Dialect::Reflag);
        let selection = selection.of(query.flag.as_deref());
        let seed = mix(content.tag_seeds[class], u64::from(staleness.is_some()));
        let one: [OutcomeIndex; 1];
        let (outcomes, room) = match selection {
            Selection::All | Selection::Enabled => {
                (scratch.context.evaluate(program, call.now()), rules.entries.longest())
            }
            Selection::One(key) | Selection::OneEnabled(key) => match program.find(key) {
                Some(flag) => {
                    one = [scratch.context.evaluate_one(program, flag, call.now())];
                    (&one[..], 1_024)
                }
                None => (&[][..], 1_024),
            },
        };
        scratch.written.begin(buffer(room), seed);
        let class_of_key = call.credential.class;
        rules.entries.write(program, class_of_key, selection, outcomes, &mut scratch.written);
        call.count_given_up(scratch.context.given_up(program));
        let (tag, body) = scratch.written.end();
        Ok(tagged(content, tag, body, staleness, call))
    })
}

/// A server SDK names a version that is not here though nobody listens here: it heard of it on the
/// vendor's stream. Which stream an SDK listens to does not follow `apiBaseUrl` (reflag-runtime.md
/// section 1).
#[cold]
fn hint_at_stream(call: &Call<'_>) {
    let sdk = call.head.fields.sdk_version.unwrap_or_default();
    if sdk.starts_with(b"node-sdk/")
        && call.environment.announcements.is_empty()
        && !call.connection.worker.shared.hinted.swap(true, Ordering::Relaxed)
    {
        warn!(
            environment = %call.environment.profile.name,
            "a node SDK that gets its flags here listens to another stream for changes: its \
             flagsPushUrl does not follow apiBaseUrl; set it to /sse/server of this edge"
        );
    }
}
