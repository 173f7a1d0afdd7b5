//! `GET /metrics`: counters of the process, and gauges read from the snapshot as it is now.

use prometheus::proto::{Metric, MetricType};
use prometheus::{Encoder, TextEncoder};

use crate::dialect::Dialect;
use crate::http::worker::Process;
use crate::snapshot::status::{EnvironmentStatus, State};
use crate::snapshot::{Age, Environment};
use crate::telemetry::metrics::{family, gauge, names};
use crate::time::Timestamp;

/// The text exposition.
pub(super) fn text(process: &Process) -> Result<String, prometheus::Error> {
    let now = process.clock.now();
    let snapshot = process.snapshot.load();
    let gauges = |of: &dyn Fn(&Environment, &EnvironmentStatus) -> Option<f64>| -> Vec<Metric> {
        let values = snapshot.environments.iter().filter_map(|environment| {
            let value = of(environment, &environment.status.lock())?;
            Some(gauge(&[("environment", environment.profile.name.as_str())], value))
        });
        values.collect()
    };
    let mut families = process.metrics.gather();
    let mut add = |name: &str, help: &str, metrics: Vec<Metric>| {
        if !metrics.is_empty() {
            families.push(family(name, help, MetricType::GAUGE, metrics));
        }
    };
    let mut states = Vec::new();
    for environment in snapshot.environments.iter() {
        let present = environment.status.lock().state(environment, now).label();
        let name = environment.profile.name.as_str();
        for state in State::ALL {
            let labels = [("environment", name), ("state", state)];
            states.push(gauge(&labels, f64::from(u8::from(state == present))));
        }
    }
    add(names::ENVIRONMENT_STATE, "1 for the state the environment is in.", states);
    add(
        names::SNAPSHOT_VERSION,
        "Version that clients see.",
        gauges(&|e, _| e.content.as_ref().map(|content| whole(content.version.number()))),
    );
    add(
        names::SNAPSHOT_FINGERPRINT,
        "Low 48 bits of the fingerprint: equal on replicas that serve the same.",
        gauges(&|e, _| e.content.as_ref().map(|content| whole(content.fingerprint.low_48_bits()))),
    );
    add(
        names::SNAPSHOT_AGE,
        "Time since the content was last confirmed.",
        gauges(&|e, _| match (&e.content, e.freshness.age(now)) {
            (Some(_), Age::Millis(millis)) => Some(millis_to_seconds(millis)),
            _ => None,
        }),
    );
    add(
        names::SNAPSHOT_FLAGS,
        "Flags that are served.",
        gauges(&|e, _| e.content.as_ref().map(|content| whole(content.flags() as u64))),
    );
    add(
        names::FLAGS_QUARANTINED,
        "Flags that are left out or held in their last good form.",
        gauges(&|_, status| Some(whole(status.quarantined.len() as u64))),
    );
    let untranslated = snapshot.environments.iter().filter_map(|environment| {
        let content = environment.content.as_ref()?;
        let dialect = content.family.translated_for().label();
        let labels = [("environment", environment.profile.name.as_str()), ("dialect", dialect)];
        Some(gauge(&labels, whole(content.untranslated().len() as u64)))
    });
    add(
        names::FLAGS_UNTRANSLATED,
        "Flags that server SDKs of the other vendor cannot be given for local evaluation.",
        untranslated.collect(),
    );
    add(
        names::SOURCE_LAST_SUCCESS,
        "When the source was last read.",
        gauges(&|_, status| status.last_success_at.map(|Timestamp(at)| millis_to_seconds(at))),
    );
    add(
        names::SOURCE_STREAM_CONNECTED,
        "1 while the upstream's event stream is open, 0 while it is lost; absent where there is none.",
        gauges(&|e, _| {
            e.stream.status().state.is_connected().map(|open| f64::from(u8::from(open)))
        }),
    );
    let clients = Dialect::ALL.map(|dialect| {
        gauge(&[("dialect", dialect.label())], whole(process.streams.open(dialect) as u64))
    });
    add(names::STREAM_CLIENTS, "Clients on event streams.", clients.to_vec());
    let lists: Vec<_> = process.readiness.lists().iter().cloned().collect();
    let lists = lists
        .iter()
        .map(|list| gauge(&[("discover", &*list.name)], whole(list.environments as u64)));
    add(
        names::DISCOVERED_ENVIRONMENTS,
        "Environments that are served because a list has them.",
        lists.collect(),
    );
    families.sort_by(|a, b| a.name().cmp(b.name()));
    let mut text = Vec::new();
    TextEncoder::new().encode(&families, &mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

#[expect(clippy::cast_precision_loss, reason = "all of these stay below 2^53")]
fn whole(number: u64) -> f64 {
    number as f64
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds of this millennium stay below 2^53")]
fn millis_to_seconds(millis: i64) -> f64 {
    millis as f64 / 1_000.0
}
