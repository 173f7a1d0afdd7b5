//! Calls of OFREP's clients: the part of the hot path behind [`pipeline`](super::pipeline) that is
//! theirs. Synchronous, as all of it. Rules of either family are answered alike.

use std::borrow::Cow;

use hyper::StatusCode;

use super::admission::key_of_head;
use super::body::{buffer, recycled};
use super::pipeline::{Call, Stop, catch_up, tagged};
use super::reply::{Fields, Reply, Tag};
use super::scratch::{self, Scratch};
use crate::dialect::ofrep::routes::{self, Endpoint};
use crate::dialect::ofrep::{Found, events, mapping};
use crate::dialect::tag::mix;
use crate::dialect::{Dialect, Rejection};
use crate::model::KeyClass;
use crate::snapshot::{Content, OnStale};

/// Room for one evaluation, most of the time.
const ONE: usize = 512;

/// Answers a call to `path`.
pub(super) fn answer<'a>(
    call: &Call<'a>,
    endpoint: Endpoint,
    may_wait: bool,
) -> Result<Reply<'a>, Stop> {
    let (content, staleness) = call.present()?;
    if !content.serves[call.class_index()] {
        return Err(Rejection::NotReady.into());
    }
    if endpoint == Endpoint::All && call.head.query.is_some() {
        // Behind a balancer, whoever told of the change may have been another edge.
        catch_up(call, content, events::told_version(call.query()), may_wait)?;
    }
    scratch::lend(|scratch| {
        let program = content.family.program();
        let mut writer = scratch.context.write(program, call.credential.class);
        mapping::read_body(call.body, &mut writer, &mut scratch.members)?;
        match endpoint {
            Endpoint::All => Ok(all(call, content, scratch, staleness)),
            Endpoint::One => Ok(one(call, content, scratch, staleness)?),
        }
    })
}

/// Evaluates all flags that the key may see.
fn all<'a>(
    call: &Call<'a>,
    content: &'a Content,
    scratch: &mut Scratch,
    staleness: Option<OnStale>,
) -> Reply<'a> {
    let is_marked = staleness == Some(OnStale::Mark);
    let (program, class) = (content.family.program(), call.class_index());
    call.count(Dialect::Ofrep);
    let mut seed = mix(content.unversioned_seeds[class], u64::from(is_marked));
    let streams = event_streams(call);
    if let Some((_, key)) = streams {
        // The answer has it.
        seed = key.iter().fold(seed, |seed, &byte| mix(seed, u64::from(byte)));
    }
    let outcomes = scratch.context.evaluate(program, call.now());
    scratch.written.begin(buffer(content.evaluations.longest()), seed);
    let class_of_key = call.credential.class;
    let written = &mut scratch.written;
    content.evaluations.write_all(program, class_of_key, outcomes, is_marked, written);
    call.count_given_up(scratch.context.given_up(program));
    if let Some((path, key)) = streams {
        written.body.pop();
        events::write_event_streams(path, key, &mut written.body);
        written.body.push(b'}');
    }
    let (tag, body) = written.end();
    if !is_told_otherwise(call, content) {
        return tagged(content, tag, body, staleness, call);
    }
    let mut fields = Fields::of(&call.heads(content).context);
    fields.tag = Some(Tag::of(tag));
    call.complete(&mut fields, staleness);
    Reply::prepared(StatusCode::OK, fields, recycled(body))
}

/// Whether the client was told of another version than this one. It gets a whole answer then, even
/// the one that it has: "not modified" would be about what it was told (ofrep.md section 5).
fn is_told_otherwise(call: &Call<'_>, content: &Content) -> bool {
    let told = call.head.query.and_then(events::told_version);
    told.is_some_and(|told| told != content.version.number())
}

/// Where changes are told, and the key that opens the stream: only a publishable one may stand in a
/// URL.
fn event_streams<'a>(call: &Call<'a>) -> Option<(&'a str, &'a [u8])> {
    let process = &call.connection.worker.shared;
    if call.credential.class == KeyClass::Secret || !process.streams.are_allowed() {
        return None;
    }
    Some((&process.stream_path, key_of_head(Dialect::Ofrep, &call.head.fields)?))
}

/// Evaluates the flag that the path names.
fn one<'a>(
    call: &Call<'a>,
    content: &'a Content,
    scratch: &mut Scratch,
    staleness: Option<OnStale>,
) -> Result<Reply<'a>, Rejection> {
    let is_marked = staleness == Some(OnStale::Mark);
    let key = routes::key(call.head.path).unwrap_or_default();
    let unknown = |key: Cow<'_, str>| Rejection::UnknownFlag(key.into_owned().into());
    let program = content.family.program();
    let asked = match content.evaluations.find(program, &key) {
        Found::Flag(asked) => asked,
        // Whether it is secret cannot be told, so those who may not see secret flags do not see it.
        Found::Broken if call.credential.class == KeyClass::Secret => {
            return Err(Rejection::BrokenFlag);
        }
        Found::Broken | Found::Nothing => return Err(unknown(key)),
    };
    call.count(Dialect::Ofrep);
    let outcome = scratch.context.evaluate_one(program, asked.flag, call.now());
    call.count_given_up(scratch.context.given_up(program));
    if !content.evaluations.is_visible(outcome, call.credential.class) {
        return Err(unknown(key));
    }
    scratch.written.begin(buffer(ONE), 0);
    let written = &mut scratch.written;
    let is_evaluated =
        content.evaluations.write_one(program, asked, &key, outcome, is_marked, written);
    let (_, body) = written.end();
    // No tag: clients do not ask again for one flag, they evaluate it anew.
    let mut fields = Fields::of(&call.heads(content).context);
    call.complete(&mut fields, staleness);
    let status = if is_evaluated { StatusCode::OK } else { StatusCode::BAD_REQUEST };
    Ok(Reply::prepared(status, fields, recycled(body)))
}
