//! Metric names and the counters behind them. Reading this file is reading our dashboard.
//!
//! Requests count into plain atomics of their own worker ([`WorkerMetrics`]): no lock, no label
//! look-up, no cache line that two workers share. They are added up when somebody scrapes.
//! Everything that happens rarely is an ordinary `prometheus` metric with its handles looked up at
//! start.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Bucket, Counter, Histogram, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry};

use crate::dialect::reflag::tracking::{Counts, Kind};
use crate::dialect::{Dialect, Rejection};
use crate::model::EnvironmentName;

/// Names of metrics; each exists once, here.
#[expect(missing_docs, reason = "the names say it; the README explains each")]
pub mod names {
    pub const HTTP_REQUESTS: &str = "burgee_http_requests_total";
    pub const HTTP_REQUEST_DURATION: &str = "burgee_http_request_duration_seconds";
    pub const EVALUATIONS: &str = "burgee_evaluations_total";
    pub const ENVIRONMENT_STATE: &str = "burgee_environment_state";
    pub const SNAPSHOT_VERSION: &str = "burgee_snapshot_version";
    pub const SNAPSHOT_FINGERPRINT: &str = "burgee_snapshot_fingerprint";
    pub const SNAPSHOT_AGE: &str = "burgee_snapshot_age_seconds";
    pub const SNAPSHOT_FLAGS: &str = "burgee_snapshot_flags";
    pub const FLAGS_QUARANTINED: &str = "burgee_flags_quarantined";
    pub const FLAGS_UNTRANSLATED: &str = "burgee_flags_untranslated";
    pub const SOURCE_FETCHES: &str = "burgee_source_fetches_total";
    pub const SOURCE_FETCH_DURATION: &str = "burgee_source_fetch_duration_seconds";
    pub const SNAPSHOTS_REJECTED: &str = "burgee_snapshots_rejected_total";
    pub const REGRESSIONS_ACCEPTED: &str = "burgee_regressions_accepted_total";
    pub const WAIT: &str = "burgee_wait_seconds";
    pub const SOURCE_LAST_SUCCESS: &str = "burgee_source_last_success_timestamp_seconds";
    pub const EVENTS_RECEIVED: &str = "burgee_events_received_total";
    pub const EVENTS_DROPPED: &str = "burgee_events_dropped_total";
    pub const REJECTIONS: &str = "burgee_rejections_total";
    pub const BOUNDED_DROPPED: &str = "burgee_bounded_dropped_total";
    pub const BUILD_INFO: &str = "burgee_build_info";
}

/// A route as metrics know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteLabels {
    /// `none` for routes that belong to no dialect.
    pub dialect: &'static str,
    /// The route's template, `other` when none matched.
    pub route: &'static str,
}

/// Statuses that are answered; each has its place in a worker's counters.
const STATUSES: [u16; 17] =
    [200, 204, 304, 400, 401, 403, 404, 405, 408, 413, 414, 415, 422, 431, 500, 501, 503];

/// Upper bounds of the duration buckets in nanoseconds (DESIGN section 3).
const BUCKETS: [u64; 13] = [
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    100_000_000,
    1_000_000_000,
    10_000_000_000,
];

/// Upper bounds of the buckets of holds in seconds; none is longer than the last.
const WAIT_BUCKETS: [f64; 8] = [0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 4.0, 9.5];

/// Requests of one worker.
#[derive(Debug)]
pub struct WorkerMetrics {
    routes: Vec<RouteCounters>,
    /// By environment and dialect.
    evaluations: Vec<[AtomicU64; Dialect::ALL.len()]>,
}

#[derive(Debug, Default)]
struct RouteCounters {
    statuses: [AtomicU64; STATUSES.len()],
    /// By bucket; the last is above all bounds.
    durations: [AtomicU64; BUCKETS.len() + 1],
    nanos: AtomicU64,
}

impl WorkerMetrics {
    /// Counts an answered request. `route` is its place in the list that [`Metrics::new`] took.
    pub fn answered(&self, route: usize, status: u16, duration: Duration) {
        let Some(counters) = self.routes.get(route) else { return };
        let nanos = duration.as_nanos() as u64;
        if let Some(place) = STATUSES.iter().position(|&s| s == status) {
            counters.statuses[place].fetch_add(1, Ordering::Relaxed);
        }
        let bucket = BUCKETS.iter().position(|&bound| nanos <= bound).unwrap_or(BUCKETS.len());
        counters.durations[bucket].fetch_add(1, Ordering::Relaxed);
        counters.nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    /// Counts an evaluated context.
    pub fn evaluated(&self, environment: usize, dialect: Dialect) {
        if let Some(counters) = self.evaluations.get(environment) {
            counters[dialect as usize].fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// All counters of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    workers: Vec<Arc<WorkerMetrics>>,
    rejections: IntCounterVec,
    fetches: IntCounterVec,
    fetch_duration: HistogramVec,
    snapshots_rejected: IntCounterVec,
    regressions_accepted: IntCounterVec,
    waits: HistogramVec,
    events_received: IntCounterVec,
    events_dropped: IntCounterVec,
    bounded_dropped: IntCounterVec,
}

impl Metrics {
    /// Counters for these routes, environments and so many workers.
    pub fn new(
        routes: &'static [RouteLabels],
        environments: &[EnvironmentName],
        workers: usize,
    ) -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let counters = |name, help, labels: &[&str]| -> Result<IntCounterVec, prometheus::Error> {
            let counters = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counters.clone()))?;
            Ok(counters)
        };
        let rejections =
            counters(names::REJECTIONS, "Refused requests by reason.", &["dialect", "reason"])?;
        for (dialect, reason) in
            Dialect::ALL.iter().flat_map(|d| Rejection::LABELS.map(|reason| (d.label(), reason)))
        {
            rejections.with_label_values(&[dialect, reason]);
        }
        let fetches = counters(
            names::SOURCE_FETCHES,
            "Looks at an environment's source by what came of them.",
            &["environment", "outcome"],
        )?;
        let snapshots_rejected = counters(
            names::SNAPSHOTS_REJECTED,
            "Documents of a source that were not published.",
            &["environment", "reason"],
        )?;
        let regressions_accepted = counters(
            names::REGRESSIONS_ACCEPTED,
            "Older versions published since the source stayed with them.",
            &["environment"],
        )?;
        for environment in environments {
            let environment = environment.as_str();
            for reason in ["older", "shrunk"] {
                snapshots_rejected.with_label_values(&[environment, reason]);
            }
            regressions_accepted.with_label_values(&[environment]);
        }
        let events_received = counters(
            names::EVENTS_RECEIVED,
            "Tracking events taken in.",
            &["environment", "kind"],
        )?;
        let events_dropped = counters(
            names::EVENTS_DROPPED,
            "Tracking events that were not kept.",
            &["environment", "kind", "reason"],
        )?;
        let bounded_dropped =
            counters(names::BOUNDED_DROPPED, "What was refused at a bound.", &["what"])?;
        for what in ["connections", "admin_connections", "in_flight_body_bytes", "waiters"] {
            bounded_dropped.with_label_values(&[what]);
        }
        let options = HistogramOpts::new(names::SOURCE_FETCH_DURATION, "Time of one look.");
        let fetch_duration = HistogramVec::new(options, &["environment"])?;
        registry.register(Box::new(fetch_duration.clone()))?;
        let options =
            HistogramOpts::new(names::WAIT, "Time for which waitForVersion held requests.")
                .buckets(WAIT_BUCKETS.to_vec());
        let waits = HistogramVec::new(options, &["environment"])?;
        registry.register(Box::new(waits.clone()))?;
        let build = Opts::new(names::BUILD_INFO, "Which build this is; always 1.");
        let build = IntGaugeVec::new(build, &["version", "revision"])?;
        let revision = option_env!("BURGEE_REVISION").unwrap_or("unknown");
        build.with_label_values(&[env!("CARGO_PKG_VERSION"), revision]).set(1);
        registry.register(Box::new(build))?;
        registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        let worker = || WorkerMetrics {
            routes: routes.iter().map(|_| RouteCounters::default()).collect(),
            evaluations: environments.iter().map(|_| Default::default()).collect(),
        };
        let workers: Vec<_> = (0..workers).map(|_| Arc::new(worker())).collect();
        registry.register(Box::new(Requests::new(routes, environments, workers.clone())?))?;
        Ok(Self {
            registry,
            workers,
            rejections,
            fetches,
            fetch_duration,
            snapshots_rejected,
            regressions_accepted,
            waits,
            events_received,
            events_dropped,
            bounded_dropped,
        })
    }

    /// The counters of one worker.
    pub fn worker(&self, index: usize) -> Arc<WorkerMetrics> {
        Arc::clone(&self.workers[index])
    }

    /// Counts a refusal.
    pub fn rejected(&self, dialect: Dialect, rejection: &Rejection) {
        self.rejections.with_label_values(&[dialect.label(), rejection.label()]).inc();
    }

    /// Counts a look at a source.
    pub fn fetched(&self, environment: &EnvironmentName, outcome: &str, took: Duration) {
        self.fetches.with_label_values(&[environment.as_str(), outcome]).inc();
        let duration = self.fetch_duration.with_label_values(&[environment.as_str()]);
        duration.observe(took.as_secs_f64());
    }

    /// Counts a document that was not published.
    pub fn snapshot_rejected(&self, environment: &EnvironmentName, reason: &str) {
        self.snapshots_rejected.with_label_values(&[environment.as_str(), reason]).inc();
    }

    /// Counts an older version that was published since the source insisted on it.
    pub fn regression_accepted(&self, environment: &EnvironmentName) {
        self.regressions_accepted.with_label_values(&[environment.as_str()]).inc();
    }

    /// Counts a request that was held for a newer version.
    pub fn waited(&self, environment: &EnvironmentName, held: Duration) {
        self.waits.with_label_values(&[environment.as_str()]).observe(held.as_secs_f64());
    }

    /// Counts events that were taken in and, for want of a queue, not kept.
    pub fn events_not_kept(&self, environment: &EnvironmentName, counts: &Counts) {
        let environment = environment.as_str();
        for (kind, &count) in Kind::ALL.iter().zip(counts) {
            if count > 0 {
                let kind = kind.label();
                let received = self.events_received.with_label_values(&[environment, kind]);
                received.inc_by(u64::from(count));
                let labels = [environment, kind, "no_sink"];
                self.events_dropped.with_label_values(&labels).inc_by(u64::from(count));
            }
        }
    }

    /// Counts evaluations that a client reported and that are, for want of a queue, not kept.
    pub fn analytics_not_kept(&self, environment: &EnvironmentName, evaluations: u64) {
        let environment = environment.as_str();
        self.events_received.with_label_values(&[environment, "analytics"]).inc_by(evaluations);
        let labels = [environment, "analytics", "no_sink"];
        self.events_dropped.with_label_values(&labels).inc_by(evaluations);
    }

    /// Counts something that met its bound.
    pub fn dropped_at_bound(&self, what: &str) {
        self.bounded_dropped.with_label_values(&[what]).inc();
    }

    /// All metrics of this moment.
    pub fn gather(&self) -> Vec<MetricFamily> {
        self.registry.gather()
    }
}

/// Adds up the workers.
struct Requests {
    routes: &'static [RouteLabels],
    environments: Vec<EnvironmentName>,
    workers: Vec<Arc<WorkerMetrics>>,
    descriptions: [Desc; 3],
}

impl Requests {
    fn new(
        routes: &'static [RouteLabels],
        environments: &[EnvironmentName],
        workers: Vec<Arc<WorkerMetrics>>,
    ) -> Result<Self, prometheus::Error> {
        let describe = |name: &str, help: &str, labels: &[&str]| {
            let labels = labels.iter().map(|&label| label.to_owned()).collect();
            Desc::new(name.to_owned(), help.to_owned(), labels, HashMap::new())
        };
        let descriptions = [
            describe(names::HTTP_REQUESTS, "Answered requests.", &["dialect", "route", "status"])?,
            describe(
                names::HTTP_REQUEST_DURATION,
                "From the parsed head to the last byte of the body handed to the connection.",
                &["dialect", "route"],
            )?,
            describe(names::EVALUATIONS, "Contexts evaluated.", &["environment", "dialect"])?,
        ];
        Ok(Self { routes, environments: environments.to_vec(), workers, descriptions })
    }

    fn sum(&self, counter: impl Fn(&WorkerMetrics) -> &AtomicU64) -> u64 {
        self.workers.iter().map(|worker| counter(worker).load(Ordering::Relaxed)).sum()
    }

    fn requests(&self) -> Vec<Metric> {
        let mut metrics = Vec::new();
        for (index, labels) in self.routes.iter().enumerate() {
            for (place, status) in STATUSES.iter().enumerate() {
                let count = self.sum(|worker| &worker.routes[index].statuses[place]);
                // Most pairs never happen; those that did are shown.
                if count > 0 {
                    let status = status.to_string();
                    let pairs =
                        [("dialect", labels.dialect), ("route", labels.route), ("status", &status)];
                    metrics.push(counter(&pairs, count));
                }
            }
        }
        metrics
    }

    fn durations(&self) -> Vec<Metric> {
        let mut metrics = Vec::new();
        for (index, labels) in self.routes.iter().enumerate() {
            let mut histogram = Histogram::default();
            let mut cumulative = 0;
            let mut buckets = Vec::with_capacity(BUCKETS.len());
            for (place, &bound) in BUCKETS.iter().enumerate() {
                cumulative += self.sum(|worker| &worker.routes[index].durations[place]);
                let mut bucket = Bucket::default();
                bucket.set_upper_bound(Duration::from_nanos(bound).as_secs_f64());
                bucket.set_cumulative_count(cumulative);
                buckets.push(bucket);
            }
            let count =
                cumulative + self.sum(|worker| &worker.routes[index].durations[BUCKETS.len()]);
            if count == 0 {
                continue;
            }
            histogram.set_bucket(buckets);
            histogram.set_sample_count(count);
            let nanos = self.sum(|worker| &worker.routes[index].nanos);
            histogram.set_sample_sum(Duration::from_nanos(nanos).as_secs_f64());
            let mut metric = labelled(&[("dialect", labels.dialect), ("route", labels.route)]);
            metric.set_histogram(histogram);
            metrics.push(metric);
        }
        metrics
    }

    fn evaluations(&self) -> Vec<Metric> {
        let mut metrics = Vec::new();
        for (index, environment) in self.environments.iter().enumerate() {
            for dialect in Dialect::ALL {
                let count = self.sum(|worker| &worker.evaluations[index][dialect as usize]);
                let pairs = [("environment", environment.as_str()), ("dialect", dialect.label())];
                metrics.push(counter(&pairs, count));
            }
        }
        metrics
    }
}

impl Collector for Requests {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let [requests, durations, evaluations] = &self.descriptions;
        vec![
            family(&requests.fq_name, &requests.help, MetricType::COUNTER, self.requests()),
            family(&durations.fq_name, &durations.help, MetricType::HISTOGRAM, self.durations()),
            family(
                &evaluations.fq_name,
                &evaluations.help,
                MetricType::COUNTER,
                self.evaluations(),
            ),
        ]
    }
}

/// A family of metrics under one name.
pub fn family(name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

/// A gauge's sample.
pub fn gauge(labels: &[(&str, &str)], value: f64) -> Metric {
    let mut gauge = prometheus::proto::Gauge::default();
    gauge.set_value(value);
    let mut metric = labelled(labels);
    metric.set_gauge(gauge);
    metric
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus counts in doubles")]
fn counter(labels: &[(&str, &str)], value: u64) -> Metric {
    let mut counter = Counter::default();
    counter.set_value(value as f64);
    let mut metric = labelled(labels);
    metric.set_counter(counter);
    metric
}

fn labelled(labels: &[(&str, &str)]) -> Metric {
    let pairs = labels.iter().map(|(name, value)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    });
    let mut metric = Metric::default();
    metric.set_label(pairs.collect());
    metric
}
