//! What the origin is counted by: routes of its port, writes, the size of its database.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use hyper::Response;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntGauge, Opts};

use super::api::{Refusal, routes};
use super::openapi;
use super::streams::TOO_MANY;
use crate::dialect::reflag;
use crate::telemetry::metrics::{Metrics, OriginMetrics, RouteLabels, names};

/// The dialect of everything on this port: what the public port answers is counted by itself.
const DIALECT: &str = "origin";

/// Labels of all routes: templates, each once whatever its methods, and `other` at the end.
static LABELS: LazyLock<Vec<RouteLabels>> = LazyLock::new(|| {
    let managed = routes::ROUTES.iter().map(|route| route.path);
    let sdk = reflag::routes::ROUTES.iter().map(|route| route.path);
    let streams = reflag::routes::STREAMS.iter().map(|(path, _)| *path);
    let mut seen = BTreeSet::new();
    let known =
        managed.chain(sdk).chain(streams).chain(openapi::PATHS).filter(|path| seen.insert(*path));
    known.chain(["other"]).map(|route| RouteLabels { dialect: DIALECT, route }).collect()
});

/// Why SDKs are refused, beside the reasons that management calls have too.
const OF_SDKS: [&str; 5] =
    ["secret_required", "secret_in_url", "not_ready", "not_forwarded", TOO_MANY];

/// Counters of an origin whose database is at `path`.
pub(super) fn open(metrics: &Metrics, path: &Path) -> Result<OriginMetrics, prometheus::Error> {
    let reasons: Vec<_> = Refusal::REASONS.into_iter().chain(OF_SDKS).collect();
    metrics.show(Box::new(DatabaseSize::of(path)?))?;
    metrics.open_origin(&LABELS, &reasons)
}

/// The place of a path's template in the list of labels.
pub(super) fn route_of(path: &str) -> usize {
    let bare = path.strip_suffix('/').unwrap_or(path);
    let template = routes::template(path).unwrap_or(bare);
    let other = LABELS.len() - 1;
    LABELS[..other].iter().position(|known| known.route == template).unwrap_or(other)
}

/// Travels with an answer to where it is counted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Note {
    /// Why it is a refusal.
    pub(super) reason: Option<&'static str>,
    /// For how long a version was waited for, which is not the origin's doing.
    pub(super) waited: Duration,
    /// Whether it is an event stream, whose end nobody waits for.
    pub(super) is_stream: bool,
}

impl Note {
    /// Gives the note to an answer.
    pub(super) fn give<B>(self, response: &mut Response<B>) {
        response.extensions_mut().insert(self);
    }

    /// Takes it from there.
    pub(super) fn take<B>(response: &mut Response<B>) -> Self {
        response.extensions_mut().remove().unwrap_or_default()
    }
}

/// The bytes of a database and of the log beside it, looked up when somebody scrapes.
struct DatabaseSize {
    files: [PathBuf; 2],
    gauge: IntGauge,
}

impl DatabaseSize {
    fn of(path: &Path) -> Result<Self, prometheus::Error> {
        let mut log = OsString::from(path);
        log.push("-wal");
        let help = "Size of the origin's database with its write-ahead log.";
        let gauge = IntGauge::with_opts(Opts::new(names::ORIGIN_DATABASE_BYTES, help))?;
        Ok(Self { files: [path.to_owned(), log.into()], gauge })
    }
}

impl Collector for DatabaseSize {
    fn desc(&self) -> Vec<&Desc> {
        self.gauge.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let sizes = self.files.iter().filter_map(|file| Some(fs::metadata(file).ok()?.len()));
        self.gauge.set(i64::try_from(sizes.sum::<u64>()).unwrap_or(i64::MAX));
        self.gauge.collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::channel;

    use tokio::task::JoinSet;

    use super::*;
    use crate::origin::model::Actor;
    use crate::origin::store::{Store, StoreError};
    use crate::time::Clock;

    /// The value of a counter with one label.
    fn count(metrics: &Metrics, name: &str, label: &str) -> usize {
        let families = metrics.gather();
        let family = families.iter().find(|family| family.name() == name).unwrap();
        let mut all = family.get_metric().iter();
        let found = all.find(|metric| metric.get_label().iter().any(|own| own.value() == label));
        found.unwrap().get_counter().get_value().to_string().parse().unwrap()
    }

    #[tokio::test]
    async fn changes_that_find_too_many_waiting_and_those_that_fail_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("origin.db");
        let store = Store::open(&path, Clock::System).unwrap();
        let metrics = Metrics::new(&[], 1, 1).unwrap();
        store.count_in(open(&metrics, store.path()).unwrap());
        // The thread that writes waits for the test, and more changes wait for it than may.
        let (release, held) = channel::<()>();
        let (begun, begins) = tokio::sync::oneshot::channel();
        let first = store.write(Actor::Burgee, move |_| {
            let _ = begun.send(());
            let _ = held.recv();
            Ok(())
        });
        let mut changes = JoinSet::new();
        let asked = Arc::new(AtomicUsize::new(0));
        let more = async {
            begins.await.unwrap();
            for _ in 0..5_000 {
                let (store, asked) = (store.clone(), Arc::clone(&asked));
                changes.spawn(async move {
                    asked.fetch_add(1, Ordering::Relaxed);
                    store.write(Actor::Burgee, |_| Ok(())).await
                });
            }
            while asked.load(Ordering::Relaxed) < 5_000 {
                tokio::task::yield_now().await;
            }
            drop(release);
            changes.join_all().await
        };
        let (first, outcomes) = tokio::join!(first, more);
        first.unwrap();
        let refused = outcomes.iter().filter(|o| matches!(o, Err(StoreError::Busy))).count();
        assert_eq!(refused, 5_000 - 4_096);
        let dropped = count(&metrics, names::BOUNDED_DROPPED, "origin_writes");
        assert_eq!(dropped, refused);
        let done = count(&metrics, names::ORIGIN_WRITES, "done");
        assert_eq!(done + dropped, 5_001);
        let failed = store.write(Actor::Burgee, |_| -> Result<(), _> { panic!("a fault") }).await;
        assert!(matches!(failed, Err(StoreError::Panicked)));
        assert_eq!(count(&metrics, names::ORIGIN_WRITES, "failed"), 1);
    }

    #[test]
    fn every_route_has_a_place_and_what_is_none_has_the_last_one() {
        for (place, labels) in LABELS.iter().enumerate() {
            let path = labels.route.replace(['{', '}'], "");
            assert_eq!(route_of(&path), place, "{path}");
            assert_eq!(route_of(&format!("{path}/")), place, "{path}");
        }
        for path in ["", "/", "other/", "/api", "/api/apps/{appId}/nope", "/features/x"] {
            assert_eq!(route_of(path), LABELS.len() - 1, "{path}");
        }
    }
}
