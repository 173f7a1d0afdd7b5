//! `GET /status` (DESIGN section 3).

use serde_json::{Value, json};

use crate::dialect::Untranslated;
use crate::model::Failure;
use crate::snapshot::status::DiscoveryStatus;
use crate::snapshot::{Age, Content, Environment, Snapshot};
use crate::time::Timestamp;

/// The whole document.
pub(super) fn document(
    snapshot: &Snapshot,
    lists: &[DiscoveryStatus],
    ready: bool,
    started_at: Timestamp,
    now: Timestamp,
) -> Value {
    let environments = snapshot.environments.iter().map(|e| environment(e, now));
    let environments: Vec<_> = environments.collect();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "started_at": started_at.to_string(),
        "ready": ready,
        "environments": environments,
        "discover": lists.iter().map(discovery).collect::<Vec<_>>(),
        "events": {
            "durable": false, "queued": 0, "oldest_age_seconds": null, "dead_letters": 0,
        },
    })
}

/// One list of environments.
fn discovery(list: &DiscoveryStatus) -> Value {
    json!({
        "name": &*list.name,
        "url": list.url,
        "last_success_at": text(list.last_success_at),
        "consecutive_failures": list.consecutive_failures,
        "last_error": list.last_error.as_ref().map(error),
        "environments": list.environments,
        "diagnostics": list.diagnostics,
    })
}

fn text(moment: Option<Timestamp>) -> Option<String> {
    moment.map(|moment| moment.to_string())
}

fn error(failure: &Failure) -> Value {
    json!({
        "at": failure.at.to_string(),
        "kind": failure.kind.label(),
        "message": failure.message,
    })
}

#[expect(clippy::cast_precision_loss, reason = "ages in milliseconds are far below 2^53")]
fn environment(environment: &Environment, now: Timestamp) -> Value {
    let stream = environment.stream.status();
    let status = environment.status.lock();
    let content = environment.content.as_deref();
    let age = match (content, environment.freshness.age(now)) {
        (Some(_), Age::Millis(millis)) => Some(millis as f64 / 1_000.0),
        _ => None,
    };
    let discovered = status.discovered.as_ref().map(|discovered| {
        json!({
            "by": &*discovered.by,
            "id": discovered.id,
            "project_id": discovered.project_id,
            "name": &*discovered.name,
        })
    });
    let quarantined = status.quarantined.iter().map(|quarantined| {
        json!({
            "flag": quarantined.flag,
            "reason": quarantined.reason,
            "since": quarantined.since.to_string(),
        })
    });
    let (segments, overrides) = content.map_or((0, 0), Content::segments_and_overrides);
    json!({
        "name": status.name.as_str(),
        "state": status.state(environment, now).label(),
        "version": content.map_or(0, |content| content.version.number()),
        "source_version": status.source_version,
        "fingerprint": content.map_or_else(|| "0".repeat(16), |c| c.fingerprint.to_string()),
        "age_seconds": age,
        "last_success_at": text(status.last_success_at),
        "last_change_at": text(status.last_change_at),
        "max_staleness_seconds": environment.profile.max_staleness.map(|limit| limit / 1_000),
        "source": {
            "type": status.source_type,
            "url": status.source_url,
            "stream": stream.state.label(),
            "stream_error": stream.error.as_ref().map(error),
            "consecutive_failures": status.consecutive_failures,
            "last_error": status.last_error.as_ref().map(error),
        },
        "flags": content.map_or(0, Content::flags),
        "segments": segments,
        "identity_overrides": overrides,
        "quarantined": quarantined.collect::<Vec<_>>(),
        "untranslated": content.map_or_else(Vec::new, untranslated),
        "pinned": false,
        "discovered": discovered,
        "diagnostics": status.diagnostics,
    })
}

/// Flags that server SDKs of the other family are not given.
fn untranslated(content: &Content) -> Vec<Value> {
    let dialect = content.family.translated_for().label();
    let describe =
        |flag: &Untranslated| json!({"flag": flag.flag, "dialect": dialect, "reason": flag.reason});
    content.untranslated().iter().map(describe).collect()
}
