//! Metric names and the counters behind them. Reading this file is reading our dashboard.
//!
//! Requests count into plain atomics of their own worker ([`WorkerMetrics`]): no lock, no label
//! look-up, no cache line that two workers share. They are added up when somebody scrapes.
//! Everything that happens rarely is an ordinary `prometheus` metric with its handles looked up at
//! start.
//!
//! Environments come and go. What is counted for one of them is in an [`EnvironmentMetrics`] of its
//! own, which goes with it: whoever still counts for an environment that is gone counts into nothing
//! that is shown. Evaluations are counted by slot, see [`Metrics::open`].

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{self, Bucket, Counter, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry,
};

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
    pub const SOURCE_STREAM_CONNECTED: &str = "burgee_source_stream_connected";
    pub const SOURCE_STREAM_UNREADABLE: &str = "burgee_source_stream_unreadable_total";
    pub const EVENTS_RECEIVED: &str = "burgee_events_received_total";
    pub const EVENTS_DROPPED: &str = "burgee_events_dropped_total";
    pub const DISCOVERIES: &str = "burgee_discoveries_total";
    pub const DISCOVERED_ENVIRONMENTS: &str = "burgee_discovered_environments";
    pub const STREAM_CLIENTS: &str = "burgee_stream_clients";
    pub const REJECTIONS: &str = "burgee_rejections_total";
    pub const BOUNDED_DROPPED: &str = "burgee_bounded_dropped_total";
    pub const ORIGIN_WRITES: &str = "burgee_origin_writes_total";
    pub const ORIGIN_WRITE_DURATION: &str = "burgee_origin_write_duration_seconds";
    pub const ORIGIN_DATABASE_BYTES: &str = "burgee_origin_database_bytes";
    pub const BUILD_INFO: &str = "burgee_build_info";
}

/// A route as metrics know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteLabels {
    /// `none` for routes that belong to no dialect, `origin` for those of the origin's port.
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

/// Upper bounds of the buckets of an origin's writes in seconds: mostly a flush of the disk.
const WRITE_BUCKETS: [f64; 9] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10.0];

/// What is dropped where rules take more steps than a request has.
const SEARCHES: &str = "searches";

/// Requests of one worker, or of the origin's port.
#[derive(Debug)]
pub struct WorkerMetrics {
    routes: Vec<RouteCounters>,
    /// By slot and dialect.
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
            add(&counters.statuses[place], 1);
        }
        let bucket = BUCKETS.iter().position(|&bound| nanos <= bound).unwrap_or(BUCKETS.len());
        add(&counters.durations[bucket], 1);
        add(&counters.nanos, nanos);
    }

    /// Counts an event stream that was opened: how long it lasts is no time of a request.
    pub fn opened(&self, route: usize) {
        if let Some(counters) = self.routes.get(route) {
            counters.statuses[0].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts an evaluated context of the environment in this slot.
    pub fn evaluated(&self, slot: usize, dialect: Dialect) {
        if let Some(counters) = self.evaluations.get(slot) {
            add(&counters[dialect as usize], 1);
        }
    }
}

/// Adds to a counter that one thread alone writes: others only read it, so the bus need not be
/// locked.
fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
}

/// All counters of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    workers: Vec<Arc<WorkerMetrics>>,
    origin: Arc<OnceLock<Served>>,
    environments: Arc<Slots>,
    rejections: IntCounterVec,
    discoveries: IntCounterVec,
    bounded_dropped: IntCounterVec,
}

/// Routes, and who answers them.
#[derive(Debug)]
struct Served {
    routes: &'static [RouteLabels],
    workers: Vec<Arc<WorkerMetrics>>,
}

/// The counters of whoever is in each slot.
#[derive(Debug)]
struct Slots(Mutex<Vec<Option<Arc<EnvironmentMetrics>>>>);

impl Slots {
    fn lock(&self) -> MutexGuard<'_, Vec<Option<Arc<EnvironmentMetrics>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Metrics {
    /// Counters for these routes, so many slots for environments, and so many workers.
    pub fn new(
        routes: &'static [RouteLabels],
        slots: usize,
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
        let discoveries = counters(
            names::DISCOVERIES,
            "Looks at a list of environments by what came of them.",
            &["discover", "outcome"],
        )?;
        let bounded_dropped =
            counters(names::BOUNDED_DROPPED, "What was refused at a bound.", &["what"])?;
        for what in [
            "connections",
            "admin_connections",
            "in_flight_body_bytes",
            "waiters",
            "streams",
            "streams_per_environment",
            "slow_streams",
            "discovered_environments",
            SEARCHES,
        ] {
            bounded_dropped.with_label_values(&[what]);
        }
        let build = Opts::new(names::BUILD_INFO, "Which build this is; always 1.");
        let build = IntGaugeVec::new(build, &["version", "revision"])?;
        let revision = option_env!("BURGEE_REVISION").unwrap_or("unknown");
        build.with_label_values(&[env!("CARGO_PKG_VERSION"), revision]).set(1);
        registry.register(Box::new(build))?;
        registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        let worker = || WorkerMetrics {
            routes: routes.iter().map(|_| RouteCounters::default()).collect(),
            evaluations: std::iter::repeat_with(Default::default).take(slots).collect(),
        };
        let workers: Vec<_> = (0..workers).map(|_| Arc::new(worker())).collect();
        let environments = Arc::new(Slots(Mutex::new(vec![None; slots])));
        let origin = Arc::new(OnceLock::new());
        let served = Served { routes, workers: workers.clone() };
        let requests = Requests::new(served, Arc::clone(&origin), Arc::clone(&environments))?;
        registry.register(Box::new(requests))?;
        Ok(Self {
            registry,
            workers,
            origin,
            environments,
            rejections,
            discoveries,
            bounded_dropped,
        })
    }

    /// Counters for an origin whose port has these routes and refuses for these reasons, shown with
    /// all others from now on.
    pub fn open_origin(
        &self,
        routes: &'static [RouteLabels],
        reasons: &[&str],
    ) -> Result<OriginMetrics, prometheus::Error> {
        for reason in reasons {
            self.rejections.with_label_values(&["origin", reason]);
        }
        for what in ["origin_connections", "origin_streams", "origin_writes"] {
            self.bounded_dropped.with_label_values(&[what]);
        }
        let writes = Opts::new(names::ORIGIN_WRITES, "Changes of the origin's database.");
        let writes = IntCounterVec::new(writes, &["outcome"])?;
        for outcome in ["done", "refused", "failed"] {
            writes.with_label_values(&[outcome]);
        }
        self.registry.register(Box::new(writes.clone()))?;
        let help = "From the wish to change something to its being on the disk.";
        let duration = HistogramOpts::new(names::ORIGIN_WRITE_DURATION, help);
        let write_duration = Histogram::with_opts(duration.buckets(WRITE_BUCKETS.to_vec()))?;
        self.registry.register(Box::new(write_duration.clone()))?;
        let port = Arc::new(WorkerMetrics {
            routes: routes.iter().map(|_| RouteCounters::default()).collect(),
            evaluations: Vec::new(),
        });
        // There is one origin.
        let _ = self.origin.set(Served { routes, workers: vec![Arc::clone(&port)] });
        Ok(OriginMetrics {
            port,
            rejections: self.rejections.clone(),
            bounded_dropped: self.bounded_dropped.clone(),
            writes,
            write_duration,
        })
    }

    /// Shows a metric that is looked up when somebody scrapes.
    pub fn show(&self, metric: Box<dyn Collector>) -> Result<(), prometheus::Error> {
        self.registry.register(metric)
    }

    /// The counters of one worker.
    pub fn worker(&self, index: usize) -> Arc<WorkerMetrics> {
        Arc::clone(&self.workers[index])
    }

    /// How many environments there can be at once.
    pub fn slots(&self) -> usize {
        self.environments.lock().len()
    }

    /// Counters for an environment that takes a slot, all of them zero. Nobody may count for the one
    /// that was there before any more: workers count evaluations by slot alone.
    pub fn open(
        &self,
        slot: usize,
        environment: &EnvironmentName,
    ) -> Result<Arc<EnvironmentMetrics>, prometheus::Error> {
        for worker in &self.workers {
            worker.evaluations[slot].iter().for_each(|count| count.store(0, Ordering::Relaxed));
        }
        let metrics = Arc::new(EnvironmentMetrics::new(environment)?);
        self.environments.lock()[slot] = Some(Arc::clone(&metrics));
        Ok(metrics)
    }

    /// Shows nothing any more of the environment that left this slot.
    pub fn close(&self, slot: usize) {
        self.environments.lock()[slot] = None;
    }

    /// Counts a refusal.
    pub fn rejected(&self, dialect: Dialect, rejection: &Rejection) {
        self.rejections.with_label_values(&[dialect.label(), rejection.label()]).inc();
    }

    /// Counts a look at a list of environments. `discover` is its name in the configuration.
    pub fn discovered(&self, discover: &str, outcome: &str) {
        self.discoveries.with_label_values(&[discover, outcome]).inc();
    }

    /// Counts something that met its bound.
    pub fn dropped_at_bound(&self, what: &str) {
        self.bounded_dropped.with_label_values(&[what]).inc();
    }

    /// Counts matches of patterns and searches by paths that ran out of steps.
    #[cold]
    pub fn given_up(&self, searches: u32) {
        self.bounded_dropped.with_label_values(&[SEARCHES]).inc_by(u64::from(searches));
    }

    /// All metrics of this moment, each name once.
    pub fn gather(&self) -> Vec<MetricFamily> {
        let mut families: BTreeMap<String, MetricFamily> = BTreeMap::new();
        let environments: Vec<_> = self.environments.lock().iter().flatten().cloned().collect();
        let of_environments = environments.iter().flat_map(|metrics| metrics.collect());
        for family in self.registry.gather().into_iter().chain(of_environments) {
            // Nothing of this kind happened yet.
            if family.get_metric().is_empty() {
                continue;
            }
            match families.get_mut(family.name()) {
                Some(known) => known.mut_metric().extend(family.get_metric().iter().cloned()),
                None => drop(families.insert(family.name().to_owned(), family)),
            }
        }
        families.into_values().collect()
    }
}

/// Counters of an origin.
#[derive(Clone, Debug)]
pub struct OriginMetrics {
    port: Arc<WorkerMetrics>,
    rejections: IntCounterVec,
    bounded_dropped: IntCounterVec,
    writes: IntCounterVec,
    write_duration: Histogram,
}

impl OriginMetrics {
    /// Counts an answered request, and why it was refused. `route` is its place in the list that
    /// [`Metrics::open_origin`] took. The thread that serves the port is one, as each worker is.
    pub fn answered(&self, route: usize, status: u16, reason: Option<&str>, duration: Duration) {
        self.port.answered(route, status, duration);
        if let Some(reason) = reason {
            self.rejections.with_label_values(&["origin", reason]).inc();
        }
    }

    /// Counts an event stream that was opened.
    pub fn opened(&self, route: usize) {
        self.port.opened(route);
    }

    /// Counts an event stream that was one too many.
    pub fn stream_dropped(&self) {
        self.bounded_dropped.with_label_values(&["origin_streams"]).inc();
    }

    /// Counts a connection that was one too many.
    pub fn connection_dropped(&self) {
        self.bounded_dropped.with_label_values(&["origin_connections"]).inc();
    }

    /// Counts a change of the database that was done or refused.
    pub fn wrote(&self, outcome: &str, took: Duration) {
        self.writes.with_label_values(&[outcome]).inc();
        self.write_duration.observe(took.as_secs_f64());
    }

    /// Counts a change that found too many others waiting.
    pub fn write_dropped(&self) {
        self.bounded_dropped.with_label_values(&["origin_writes"]).inc();
    }
}

/// Counters of one environment, for as long as it is there.
#[derive(Debug)]
pub struct EnvironmentMetrics {
    name: EnvironmentName,
    fetches: IntCounterVec,
    fetch_duration: Histogram,
    snapshots_rejected: IntCounterVec,
    regressions_accepted: IntCounter,
    stream_unreadable: IntCounter,
    waits: Histogram,
    events_received: IntCounterVec,
    events_dropped: IntCounterVec,
}

impl EnvironmentMetrics {
    fn new(name: &EnvironmentName) -> Result<Self, prometheus::Error> {
        const ENVIRONMENT: &str = "environment";
        let counters = |metric, help, labels: &[&str]| {
            let opts = Opts::new(metric, help).const_label(ENVIRONMENT, name.as_str());
            IntCounterVec::new(opts, labels)
        };
        let histogram = |metric, help, buckets: &[f64]| {
            let opts = HistogramOpts::new(metric, help).buckets(buckets.to_vec());
            Histogram::with_opts(opts.const_label(ENVIRONMENT, name.as_str()))
        };
        let snapshots_rejected = counters(
            names::SNAPSHOTS_REJECTED,
            "Documents of a source that were not published.",
            &["reason"],
        )?;
        for reason in ["older", "shrunk"] {
            snapshots_rejected.with_label_values(&[reason]);
        }
        let regressions = Opts::new(
            names::REGRESSIONS_ACCEPTED,
            "Older versions published since the source stayed with them.",
        );
        let unreadable = Opts::new(
            names::SOURCE_STREAM_UNREADABLE,
            "Messages of the upstream's event stream that could not be read.",
        );
        Ok(Self {
            name: name.clone(),
            fetches: counters(
                names::SOURCE_FETCHES,
                "Looks at an environment's source by what came of them.",
                &["outcome"],
            )?,
            fetch_duration: histogram(
                names::SOURCE_FETCH_DURATION,
                "Time of one look.",
                prometheus::DEFAULT_BUCKETS,
            )?,
            snapshots_rejected,
            regressions_accepted: IntCounter::with_opts(
                regressions.const_label(ENVIRONMENT, name.as_str()),
            )?,
            stream_unreadable: IntCounter::with_opts(
                unreadable.const_label(ENVIRONMENT, name.as_str()),
            )?,
            waits: histogram(
                names::WAIT,
                "Time for which waitForVersion held requests.",
                &WAIT_BUCKETS,
            )?,
            events_received: counters(
                names::EVENTS_RECEIVED,
                "Tracking events taken in.",
                &["kind"],
            )?,
            events_dropped: counters(
                names::EVENTS_DROPPED,
                "Tracking events that were not kept.",
                &["kind", "reason"],
            )?,
        })
    }

    /// Counts a look at the source.
    pub fn fetched(&self, outcome: &str, took: Duration) {
        self.fetches.with_label_values(&[outcome]).inc();
        self.fetch_duration.observe(took.as_secs_f64());
    }

    /// Counts a document that was not published.
    pub fn snapshot_rejected(&self, reason: &str) {
        self.snapshots_rejected.with_label_values(&[reason]).inc();
    }

    /// Counts an older version that was published since the source insisted on it.
    pub fn regression_accepted(&self) {
        self.regressions_accepted.inc();
    }

    /// Counts messages of the source's event stream that were passed over.
    pub fn could_not_read(&self, messages: u64) {
        self.stream_unreadable.inc_by(messages);
    }

    /// Counts a request that was held for a newer version.
    pub fn waited(&self, held: Duration) {
        self.waits.observe(held.as_secs_f64());
    }

    /// Counts events that were taken in and, for want of a queue, not kept.
    pub fn events_not_kept(&self, counts: &Counts) {
        for (kind, &count) in Kind::ALL.iter().zip(counts) {
            if count > 0 {
                self.not_kept(kind.label(), u64::from(count));
            }
        }
    }

    /// Counts evaluations that a client reported and that are, for want of a queue, not kept.
    pub fn analytics_not_kept(&self, evaluations: u64) {
        self.not_kept("analytics", evaluations);
    }

    fn not_kept(&self, kind: &str, count: u64) {
        self.events_received.with_label_values(&[kind]).inc_by(count);
        self.events_dropped.with_label_values(&[kind, "no_sink"]).inc_by(count);
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let all: [&dyn Collector; 8] = [
            &self.fetches,
            &self.fetch_duration,
            &self.snapshots_rejected,
            &self.regressions_accepted,
            &self.stream_unreadable,
            &self.waits,
            &self.events_received,
            &self.events_dropped,
        ];
        all.into_iter().flat_map(Collector::collect).collect()
    }
}

/// Adds up the workers.
struct Requests {
    public: Served,
    origin: Arc<OnceLock<Served>>,
    environments: Arc<Slots>,
    descriptions: [Desc; 3],
}

impl Served {
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
            let mut histogram = proto::Histogram::default();
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
}

impl Requests {
    fn new(
        public: Served,
        origin: Arc<OnceLock<Served>>,
        environments: Arc<Slots>,
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
        Ok(Self { public, origin, environments, descriptions })
    }

    /// Of all ports.
    fn all(&self, of: impl Fn(&Served) -> Vec<Metric>) -> Vec<Metric> {
        [&self.public].into_iter().chain(self.origin.get()).flat_map(of).collect()
    }

    fn evaluations(&self) -> Vec<Metric> {
        let mut metrics = Vec::new();
        for (slot, environment) in self.environments.lock().iter().enumerate() {
            let Some(environment) = environment else { continue };
            for dialect in Dialect::ALL {
                let count = self.public.sum(|worker| &worker.evaluations[slot][dialect as usize]);
                let name = environment.name.as_str();
                let pairs = [("environment", name), ("dialect", dialect.label())];
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
            family(
                &requests.fq_name,
                &requests.help,
                MetricType::COUNTER,
                self.all(Served::requests),
            ),
            family(
                &durations.fq_name,
                &durations.help,
                MetricType::HISTOGRAM,
                self.all(Served::durations),
            ),
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
