//! Ties everything together: settings become threads, tasks and sockets, and an end.
//!
//! Threads: the one that calls [`App::run`] accepts connections and serves the admin port; one in
//! the background reads sources and publishes; the workers answer requests.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tracing::{info, warn};

use crate::admin::{self, Admin};
use crate::compile::{Policy, Visibility};
use crate::config::{self, AllowedOrigins, Evaluator, FileFormat, Listen, SecretFlags, Settings};
use crate::dialect::ofrep::{self, BareKey};
use crate::http::body::InFlight;
use crate::http::listener::{Lane, accept_all};
use crate::http::routing;
use crate::http::streams::{StreamTimes, Streams};
use crate::http::worker::{Process, Worker};
use crate::http::{Limits, ListenError, Listener};
use crate::model::{EnvironmentName, Generation, KeyClass};
use crate::origin::store::{OpenError, Store, StoreError};
use crate::origin::{self, DemoAccess, api::Api};
use crate::snapshot::publisher::Publisher;
use crate::snapshot::publisher::lists::List;
use crate::snapshot::status::{Board, DiscoveryStatus, EnvironmentStatus, Readiness};
use crate::snapshot::{
    Authority, Bounds, Cors, Credential, Environment, KeyDigests, KeyTable, OnStale,
    OnUnauthorized, Patience, Profile, Seat, Snapshot, SourceStream,
};
use crate::source::{
    self, Discovery, DiscoveryUpstream, FileSource, FlagsmithSource, FlagsmithUpstream, Look,
    OriginSource, Pace, ReflagSource, ReflagUpstream, ServerKeys, Sight, Source,
};
use crate::telemetry::metrics::Metrics;
use crate::time::Clock;
use crate::upstream::{Client, ClientError, ClientSettings, ProxySettings};

/// A server that is bound and not yet running.
#[derive(Debug)]
pub struct App {
    settings: Settings,
    process: Arc<Process>,
    board: Arc<Board>,
    listener: Listener,
    admin_listener: Listener,
    admin: Arc<Admin>,
    origin: Option<(Listener, Arc<origin::Port>)>,
    followed: Followed,
}

/// Times that clients rely on and no setting changes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    /// How long requests are held for a version.
    pub patience: Patience,
    /// When streams are given a sign of life, and when they end.
    pub streams: StreamTimes,
}

/// What the background thread follows, and with what it makes digests of keys that it finds there.
#[derive(Debug)]
struct Followed {
    sources: Vec<AnySource>,
    discoveries: Vec<Discovery>,
    digests: KeyDigests,
}

/// A source that nobody follows yet.
#[derive(Debug)]
pub(crate) enum AnySource {
    File(FileSource),
    Reflag(Box<ReflagSource>),
    Flagsmith(Box<FlagsmithSource>),
    Origin(Box<OriginSource>),
}

impl Source for AnySource {
    async fn look(&mut self, look: Look) -> Sight {
        match self {
            Self::File(file) => file.look(look).await,
            Self::Reflag(reflag) => reflag.look(look).await,
            Self::Flagsmith(flagsmith) => flagsmith.look(look).await,
            Self::Origin(origin) => origin.look(look).await,
        }
    }

    fn listen(&mut self, stream: Arc<SourceStream>, clock: Clock) {
        match self {
            Self::File(file) => file.listen(stream, clock),
            Self::Reflag(reflag) => reflag.listen(stream, clock),
            Self::Flagsmith(flagsmith) => flagsmith.listen(stream, clock),
            Self::Origin(origin) => origin.listen(stream, clock),
        }
    }

    async fn revived(&mut self) {
        match self {
            Self::File(file) => file.revived().await,
            Self::Reflag(reflag) => reflag.revived().await,
            Self::Flagsmith(flagsmith) => flagsmith.revived().await,
            Self::Origin(origin) => origin.revived().await,
        }
    }

    async fn stirred(&mut self) {
        match self {
            Self::File(file) => file.stirred().await,
            Self::Reflag(reflag) => reflag.stirred().await,
            Self::Flagsmith(flagsmith) => flagsmith.stirred().await,
            Self::Origin(origin) => origin.stirred().await,
        }
    }
}

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address is taken or not ours.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// No random numbers.
    #[error("the system gives no random numbers: {0}")]
    Random(#[from] getrandom::Error),
    /// Two metrics of one name.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// No thread or runtime.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] io::Error),
    /// The origin's database cannot be used.
    #[error("origin: {0}")]
    Origin(#[from] OpenError),
    /// An environment has its rules from an origin that is not there.
    #[error("environment {0}: there is no origin")]
    NoOrigin(String),
    /// The origin's demo cannot be made.
    #[error("the origin's demo: {0}")]
    Demo(#[from] StoreError),
    /// An upstream cannot be asked.
    #[error("{of}: {error}")]
    Upstream {
        /// Whose it is: `environment NAME` or `discover NAME`.
        of: String,
        /// Why.
        error: ClientError,
    },
}

/// Reports on their way to the publisher.
pub(crate) const REPORTS: usize = 64;

/// After the word to end, connections that are on their way are still accepted this long.
const LAST_CALL: Duration = Duration::from_millis(100);

impl App {
    /// Binds both ports and prepares everything else. Must be called inside a runtime.
    pub fn bind(settings: Settings, clock: Clock) -> Result<Self, StartError> {
        Self::bind_with(settings, clock, Times::default())
    }

    /// The same, for tests that cannot wait for as long as clients can.
    pub fn bind_with(settings: Settings, clock: Clock, times: Times) -> Result<Self, StartError> {
        let store = match &settings.origin {
            Some(origin) => Some(Store::open(&origin.database, clock.clone())?),
            None => None,
        };
        let sources = settings.environments.iter();
        let sources = sources.map(|e| source_of(&settings, e, store.as_ref()));
        let sources = sources.collect::<Result<Vec<_>, _>>()?;
        let discoveries = settings.discover.iter().map(|d| discovery(&settings, d));
        let discoveries = discoveries.collect::<Result<Vec<_>, _>>()?;
        let listener = listen(&settings.server.listen)?;
        let admin_listener = listen(&settings.admin.listen)?;
        let discovered: usize = settings.discover.iter().map(config::Discover::slots).sum();
        let slots = settings.environments.len().saturating_add(discovered);
        let metrics = Arc::new(Metrics::new(&routing::LABELS, slots, worker_count(&settings))?);
        let origin = match (&settings.origin, store) {
            (Some(origin), Some(store)) => {
                let api = Api::new(store, origin.strict_entities);
                let port = origin::Port::new(api, &metrics)?;
                Some((listen(&origin.listen)?, Arc::new(port)))
            }
            _ => None,
        };
        let digests = KeyDigests::random()?;
        let mut keys = KeyTable::new(digests.clone());
        for (index, environment) in settings.environments.iter().enumerate() {
            for (class, listed) in [
                (KeyClass::Publishable, &environment.publishable_keys),
                (KeyClass::Secret, &environment.secret_keys),
            ] {
                for key in listed {
                    keys.insert(key.expose(), Credential { environment: index as u32, class });
                }
            }
        }
        let configured = settings.environments.iter().enumerate();
        let environments = configured.map(|(index, environment)| {
            let profile = profile(environment);
            let metrics = metrics.open(index, &profile.name)?;
            let (kind, place) = match &environment.source {
                config::Source::File(file) => ("file", file.path.display().to_string()),
                config::Source::Reflag(reflag) => ("reflag", reflag.url.to_string()),
                config::Source::Flagsmith(flagsmith) => ("flagsmith", flagsmith.url.to_string()),
                config::Source::Origin(origin) => {
                    ("origin", format!("{}/{}", origin.app, origin.environment))
                }
            };
            let status = EnvironmentStatus::new(profile.name.clone(), kind, place);
            let seat = Seat::of_configuration(index);
            Ok(Environment::new(seat, profile, status, metrics, bounds(&settings)))
        });
        let environments = environments.collect::<Result<_, StartError>>()?;
        let snapshot =
            Arc::new(ArcSwap::from_pointee(Snapshot { environments, keys: Arc::new(keys) }));
        let lists = settings.discover.iter();
        let lists = lists.map(|d| DiscoveryStatus::new(d.name.as_str().into(), d.url.to_string()));
        let board = Arc::new(Board::new(lists.collect()));
        let grace = i64::try_from(settings.admin.startup_grace.as_millis()).unwrap_or(i64::MAX);
        let readiness =
            Readiness::new(Arc::clone(&snapshot), Arc::clone(&board), clock.now(), grace);
        let limits = limits(&settings);
        let process = Arc::new(Process {
            snapshot: Arc::clone(&snapshot),
            base_path: settings.server.base_path.clone(),
            stream_path: format!("{}{}", settings.server.base_path, ofrep::routes::STREAM),
            h2c: settings.server.h2c,
            clock,
            patience: times.patience,
            timers: Handle::current(),
            metrics,
            readiness,
            in_flight: InFlight::new(limits.in_flight_body_bytes),
            streams: Streams::new(limits.streams, times.streams),
            connections: AtomicUsize::new(0),
            draining: AtomicBool::new(false),
            hinted: AtomicBool::new(false),
            hinted_at_document_key: AtomicBool::new(false),
            translating: tokio::sync::Semaphore::new(1),
            limits,
        });
        let token = settings.admin.token.as_ref().map(config::Token::expose);
        let admin = Arc::new(Admin::new(Arc::clone(&process), digests.clone(), token));
        Ok(Self {
            settings: settings.without_keys(),
            process,
            board,
            listener,
            admin_listener,
            admin,
            origin,
            followed: Followed { sources, discoveries, digests },
        })
    }

    /// Where management calls go, if there is an origin.
    pub fn origin_address(&self) -> Option<String> {
        self.origin.as_ref().map(|(listener, _)| listener.address())
    }

    /// What it takes to try the demo's app, which is made where there is none. None unless the
    /// configuration asks for it.
    pub async fn demo(&self) -> Result<Option<DemoAccess>, StartError> {
        let wanted = self.settings.origin.as_ref().is_some_and(|origin| origin.demo);
        match &self.origin {
            Some((_, port)) if wanted => Ok(Some(port.open_demo().await?)),
            _ => Ok(None),
        }
    }

    /// Where clients are served, in the words of the configuration, with the port that was given.
    pub fn address(&self) -> String {
        self.listener.address()
    }

    /// Where operators are.
    pub fn admin_address(&self) -> String {
        self.admin_listener.address()
    }

    /// Serves until `stop` is done, then lets requests finish for as long as the settings allow.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), StartError> {
        let Self { settings, process, board, listener, admin_listener, admin, origin, followed } =
            self;
        info!(
            listen = listener.address(),
            admin = admin_listener.address(),
            environments = settings.environments.len(),
            version = env!("CARGO_PKG_VERSION"),
            "serving"
        );
        let background = start_background(&settings, followed, &process, board)?;
        let workers = worker_count(&settings);
        let (lanes, threads) = start_workers(workers, &process)?;
        let workers: Vec<_> = lanes.iter().map(|(worker, _)| Arc::clone(worker)).collect();
        for worker in &workers {
            tokio::spawn(Arc::clone(worker).keep_time());
        }
        tokio::spawn(Streams::keep_time(Arc::clone(&process)));
        let accepting = tokio::spawn(accept_all(listener, lanes));
        let administering = tokio::spawn(admin::serve(admin_listener, admin));
        let origin_port = origin.as_ref().map(|(_, port)| Arc::clone(port));
        let managing = origin.map(|(listener, port)| {
            info!(listen = listener.address(), "serving the origin");
            if settings.environments.is_empty() && settings.discover.is_empty() {
                info!("there are no environments: the public port knows no key");
            }
            tokio::spawn(origin::serve(listener, port))
        });
        stop.await;
        info!(drain = ?settings.server.drain, "draining");
        process.draining.store(true, Ordering::Relaxed);
        for environment in process.snapshot.load().environments.iter() {
            environment.waiting.end();
            environment.announcements.end();
        }
        if let Some(port) = origin_port {
            port.end_streams();
        }
        tokio::time::sleep(LAST_CALL.min(settings.server.drain)).await;
        // Ends the accept loop and with it the lanes: workers stop once they are empty.
        accepting.abort();
        let all_done = async {
            while !threads.iter().all(JoinHandle::is_finished) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if tokio::time::timeout(settings.server.drain, all_done).await.is_err() {
            let open = process.connections.load(Ordering::Relaxed);
            warn!(connections = open, "closing what is still open");
            for worker in &workers {
                worker.end_all();
            }
        }
        administering.abort();
        if let Some(managing) = managing {
            managing.abort();
        }
        background.abort();
        info!("stopped");
        Ok(())
    }
}

/// The source of an environment. Reads the file of certificate authorities, if there is one. `store`
/// is the process's own, where it has an origin.
pub(crate) fn source_of(
    settings: &Settings,
    environment: &config::Environment,
    store: Option<&Store>,
) -> Result<AnySource, StartError> {
    Ok(match (&environment.source, store) {
        (config::Source::Origin(wanted), Some(store)) => {
            AnySource::Origin(Box::new(OriginSource::new(store.clone(), wanted.clone())))
        }
        (config::Source::Origin(_), None) => {
            // The configuration is refused without an origin.
            return Err(StartError::NoOrigin(environment.name.clone()));
        }
        (config::Source::File(file), _) => {
            let format = match file.format {
                FileFormat::Reflag => source::FileFormat::Reflag,
                FileFormat::Flagsmith => source::FileFormat::Flagsmith,
            };
            AnySource::File(FileSource::new(file.path.clone(), format))
        }
        (config::Source::Flagsmith(flagsmith), _) => {
            AnySource::Flagsmith(Box::new(flagsmith_source(settings, environment, flagsmith)?))
        }
        (config::Source::Reflag(reflag), _) => {
            AnySource::Reflag(Box::new(reflag_source(settings, environment, reflag)?))
        }
    })
}

/// A source that has not sent anything yet.
pub fn reflag_source(
    settings: &Settings,
    environment: &config::Environment,
    reflag: &config::ReflagSource,
) -> Result<ReflagSource, StartError> {
    let client = client_of(settings, environment, reflag.ca_file.as_deref(), reflag.timeout)?;
    let upstream = ReflagUpstream {
        url: reflag.url.to_string(),
        secret_key: reflag.secret_key.clone(),
        learning_key: environment.learning_key().cloned(),
        timeout: reflag.timeout,
        push: reflag.push,
        poll_interval: reflag.poll_interval,
    };
    Ok(ReflagSource::new(client, upstream))
}

/// A source that has not sent anything yet.
pub fn flagsmith_source(
    settings: &Settings,
    environment: &config::Environment,
    flagsmith: &config::FlagsmithSource,
) -> Result<FlagsmithSource, StartError> {
    let client = client_of(settings, environment, flagsmith.ca_file.as_deref(), flagsmith.timeout)?;
    let upstream = FlagsmithUpstream {
        url: flagsmith.url.clone(),
        server_keys: ServerKeys::only(flagsmith.server_key.clone()),
        proxy_key: None,
        timeout: flagsmith.timeout,
        realtime_url: flagsmith.push.then(|| flagsmith.realtime_url.clone()),
        poll_interval: flagsmith.poll_interval,
    };
    Ok(FlagsmithSource::new(client, upstream))
}

/// A list that nobody looked at yet.
pub(crate) fn discovery(
    settings: &Settings,
    discover: &config::Discover,
) -> Result<Discovery, StartError> {
    let of = format!("discover {}", discover.name);
    let client = client(settings, of, discover.ca_file.as_deref(), discover.timeout)?;
    let upstream = DiscoveryUpstream {
        url: discover.url.clone(),
        proxy_key: discover.proxy_key.clone(),
        timeout: discover.timeout,
        realtime_url: discover.push.then(|| discover.realtime_url.clone()),
        poll_interval: discover.poll_interval,
    };
    Ok(Discovery::new(client, upstream, discover.name.as_str().into()))
}

fn client_of(
    settings: &Settings,
    environment: &config::Environment,
    ca_file: Option<&Path>,
    timeout: Duration,
) -> Result<Client, StartError> {
    client(settings, format!("environment {}", environment.name), ca_file, timeout)
}

fn client(
    settings: &Settings,
    of: String,
    ca_file: Option<&Path>,
    timeout: Duration,
) -> Result<Client, StartError> {
    let config::Proxy { https, http, all, no_proxy } = settings.proxy.clone();
    let client = Client::new(&ClientSettings {
        ca_file: ca_file.map(Path::to_path_buf),
        proxy: ProxySettings {
            https: https.unwrap_or_default(),
            http: http.unwrap_or_default(),
            all: all.unwrap_or_default(),
            no_proxy: no_proxy.unwrap_or_default(),
        },
        connect_timeout: timeout,
    });
    client.map_err(|error| StartError::Upstream { of, error })
}

fn listen(address: &Listen) -> Result<Listener, ListenError> {
    match address {
        Listen::Tcp(address) => Listener::tcp(*address),
        Listen::Unix(path) => Listener::unix(path),
    }
}

/// How many threads serve.
pub(crate) fn worker_count(settings: &Settings) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    settings.server.workers.map_or_else(cores, usize::from)
}

/// What requests and the compiler need of an environment's settings.
pub fn profile(environment: &config::Environment) -> Profile {
    Profile {
        name: EnvironmentName::new(&environment.name),
        policy: Policy {
            generation: match environment.reflag.evaluator {
                Evaluator::V1_0 => Generation::V1_0,
                Evaluator::V1_1 => Generation::V1_1,
            },
            visibility: match &environment.reflag.secret_flags {
                SecretFlags::Listed(flags) => Visibility::Except(flags.iter().cloned().collect()),
                SecretFlags::Learn if environment.learning_key().is_some() => Visibility::Learned,
                // No key of this environment is publishable: nobody asks.
                SecretFlags::Learn => Visibility::default(),
            },
        },
        key_from_document: environment.document_key,
        segments_without_identity: environment.flagsmith.segments_without_identity,
        hide_sensitive_data: environment.flagsmith.hide_sensitive_data,
        definitions: environment.reflag.definitions,
        bare_key: match environment.ofrep.bare_key {
            config::BareKey::Auto => BareKey::Auto,
            config::BareKey::Enabled => BareKey::Enabled,
            config::BareKey::Value => BareKey::Value,
        },
        max_staleness: environment.max_staleness.map(millis),
        on_stale: on_stale(environment.on_stale),
        on_unauthorized: on_unauthorized(environment.on_unauthorized),
        authority: match &environment.source {
            config::Source::File(_) | config::Source::Origin(_) => Authority::Operator,
            config::Source::Reflag(_) | config::Source::Flagsmith(_) => Authority::Upstream,
        },
        gate: environment.gate,
        cors: cors(&environment.cors),
    }
}

/// The same of an environment that is discovered, whatever its name.
fn discovered_profile(discover: &config::Discover) -> Profile {
    Profile {
        name: EnvironmentName::new(&discover.name),
        policy: Policy::default(),
        // The list says which it is.
        key_from_document: false,
        segments_without_identity: discover.flagsmith.segments_without_identity,
        hide_sensitive_data: discover.flagsmith.hide_sensitive_data,
        definitions: config::Definitions::default(),
        bare_key: BareKey::default(),
        max_staleness: discover.max_staleness.map(millis),
        on_stale: on_stale(discover.on_stale),
        on_unauthorized: on_unauthorized(discover.on_unauthorized),
        authority: Authority::Upstream,
        gate: discover.gate,
        cors: cors(&discover.cors),
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn on_stale(on_stale: config::OnStale) -> OnStale {
    match on_stale {
        config::OnStale::Serve => OnStale::Serve,
        config::OnStale::Mark => OnStale::Mark,
        config::OnStale::Refuse => OnStale::Refuse,
    }
}

fn on_unauthorized(on_unauthorized: config::OnUnauthorized) -> OnUnauthorized {
    match on_unauthorized {
        config::OnUnauthorized::Serve => OnUnauthorized::Serve,
        config::OnUnauthorized::Refuse => OnUnauthorized::Refuse,
    }
}

fn cors(cors: &config::Cors) -> Cors {
    match &cors.origins {
        AllowedOrigins::Any => Cors::Any,
        AllowedOrigins::Only(origins) => {
            Cors::Listed { origins: origins.clone(), credentials: cors.credentials }
        }
    }
}

fn bounds(settings: &Settings) -> Bounds {
    let limits = &settings.limits;
    Bounds { waiters: limits.waiters_per_environment, streams: limits.streams_per_environment }
}

fn limits(settings: &Settings) -> Limits {
    let limits = &settings.limits;
    Limits {
        connections: limits.connections,
        body: limits.body,
        url: limits.url,
        header_timeout: limits.header_timeout,
        body_timeout: limits.body_timeout,
        in_flight_body_bytes: limits.in_flight_body_bytes,
        streams: limits.streams,
        keep_alive: settings.server.keep_alive,
    }
}

/// Ends the background thread when dropped or aborted.
struct Background(tokio::sync::oneshot::Sender<()>);

impl Background {
    fn abort(self) {
        let _ = self.0.send(());
    }
}

/// Starts the thread that reads sources and publishes.
fn start_background(
    settings: &Settings,
    followed: Followed,
    process: &Arc<Process>,
    board: Arc<Board>,
) -> Result<Background, StartError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let Followed { sources, discoveries, digests } = followed;
    let (sender, reports) = mpsc::channel(REPORTS);
    // One for each list: it waits for the answer before it sends another.
    let (list_sender, listings) = mpsc::channel(discoveries.len().max(1));
    for (index, (environment, source)) in settings.environments.iter().zip(sources).enumerate() {
        let seat = Seat::of_configuration(index);
        let (waiting, stream) = {
            let environment = &process.snapshot.load().environments[index];
            (Arc::clone(&environment.waiting), Arc::clone(&environment.stream))
        };
        let (clock, sender) = (process.clock.clone(), sender.clone());
        let interval = environment.source.poll_interval();
        let pace = match source {
            AnySource::File(_) | AnySource::Origin(_) => Pace::steady(interval),
            AnySource::Reflag(_) | AnySource::Flagsmith(_) => {
                Pace::shared(interval, fastrand::u64(..))
            }
        };
        runtime.spawn(source::follow(seat, source, pace, waiting, stream, clock, sender));
    }
    let reserved = settings.upstream_keys().map(|key| digests.digest(key.expose().as_bytes()));
    let reserved = Arc::new(reserved.collect());
    let mut lists = Vec::new();
    for (discover, discovery) in settings.discover.iter().zip(discoveries) {
        let driver = source::DiscoveryDriver {
            list: lists.len(),
            interval: discover.poll_interval,
            digests: digests.clone(),
            clock: process.clock.clone(),
            listings: list_sender.clone(),
            reports: sender.clone(),
        };
        runtime.spawn(source::discover(discovery, driver));
        lists.push(List::new(
            discover.name.as_str().into(),
            ("flagsmith", discover.url.to_string()),
            discovered_profile(discover),
            discover.max_environments,
            bounds(settings),
            Arc::clone(&reserved),
        ));
    }
    let snapshot = Arc::clone(&process.snapshot);
    let (metrics, clock) = (Arc::clone(&process.metrics), process.clock.clone());
    let publisher = Publisher::new(snapshot, board, metrics, clock, lists);
    let (end, ended) = tokio::sync::oneshot::channel();
    std::thread::Builder::new().name("background".to_owned()).spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                () = publisher.run(reports, listings) => {}
                _ = ended => {}
            }
        });
    })?;
    Ok(Background(end))
}

fn start_workers(
    count: usize,
    process: &Arc<Process>,
) -> Result<(Vec<Lane>, Vec<JoinHandle<()>>), StartError> {
    let mut lanes = Vec::new();
    let mut threads = Vec::new();
    for index in 0..count {
        let worker = Worker::new(Arc::clone(process), process.metrics.worker(index));
        let (sender, sockets) = mpsc::unbounded_channel();
        lanes.push((Arc::clone(&worker), sender));
        let thread = std::thread::Builder::new().name(format!("worker-{index}"));
        threads.push(thread.spawn(move || {
            if let Err(error) = worker.run(sockets) {
                warn!(%error, "a worker could not start");
            }
        })?);
    }
    Ok((lanes, threads))
}
