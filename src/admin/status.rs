//! `GET /status` (DESIGN section 3).

use serde_json::{Value, json};

use crate::snapshot::status::EnvironmentStatus;
use crate::snapshot::{Age, Content, Environment, Snapshot};
use crate::time::Timestamp;

/// The whole document.
pub(super) fn document(
    snapshot: &Snapshot,
    board: &[EnvironmentStatus],
    ready: bool,
    started_at: Timestamp,
    now: Timestamp,
) -> Value {
    let pairs = snapshot.environments.iter().zip(board);
    let environments: Vec<_> = pairs.map(|(e, status)| environment(e, status, now)).collect();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "started_at": started_at.to_string(),
        "ready": ready,
        "environments": environments,
        "events": {
            "durable": false, "queued": 0, "oldest_age_seconds": null, "dead_letters": 0,
        },
    })
}

#[expect(clippy::cast_precision_loss, reason = "ages in milliseconds are far below 2^53")]
fn environment(environment: &Environment, status: &EnvironmentStatus, now: Timestamp) -> Value {
    let content = environment.content.as_deref();
    let age = match (content, environment.freshness.age(now)) {
        (Some(_), Age::Millis(millis)) => Some(millis as f64 / 1_000.0),
        _ => None,
    };
    let flagsmith = content.and_then(Content::flagsmith).map(|rules| &rules.environment);
    let text = |moment: Option<Timestamp>| moment.map(|moment| moment.to_string());
    let last_error = status.last_error.as_ref().map(|failure| {
        json!({
            "at": failure.at.to_string(),
            "kind": failure.kind.label(),
            "message": failure.message,
        })
    });
    let quarantined = status.quarantined.iter().map(|quarantined| {
        json!({
            "flag": quarantined.flag,
            "reason": quarantined.reason,
            "since": quarantined.since.to_string(),
        })
    });
    json!({
        "name": status.name.as_str(),
        "state": status.state(environment, now).label(),
        "version": content.map_or(0, |content| content.version.number()),
        "source_version": content.and_then(|content| content.source_version),
        "fingerprint": content.map_or_else(|| "0".repeat(16), |c| c.fingerprint.to_string()),
        "age_seconds": age,
        "last_success_at": text(status.last_success_at),
        "last_change_at": text(status.last_change_at),
        "max_staleness_seconds": environment.profile.max_staleness.map(|limit| limit / 1_000),
        "source": {
            "type": status.source_type,
            "url": status.source_url,
            "stream": "off",
            "consecutive_failures": status.consecutive_failures,
            "last_error": last_error,
        },
        "flags": content.map_or(0, Content::flags),
        "segments": flagsmith.map_or(0, |rules| rules.segments.len()),
        "identity_overrides": flagsmith.map_or(0, |rules| rules.identity_overrides.len()),
        "quarantined": quarantined.collect::<Vec<_>>(),
        "untranslated": [],
        "pinned": false,
        "diagnostics": status.diagnostics,
    })
}
