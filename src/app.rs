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
use crate::http::body::InFlight;
use crate::http::listener::{Lane, accept_all};
use crate::http::routing;
use crate::http::worker::{Process, Worker};
use crate::http::{Limits, ListenError, Listener};
use crate::model::{EnvironmentName, Generation, KeyClass};
use crate::origin::store::{OpenError, Store};
use crate::origin::{self, api::Api};
use crate::snapshot::publisher::Publisher;
use crate::snapshot::status::{Board, EnvironmentStatus, Readiness};
use crate::snapshot::{
    Authority, Cors, Credential, Environment, Freshness, KeyDigests, KeyTable, OnStale,
    OnUnauthorized, Patience, Profile, Snapshot, Waiting,
};
use crate::source::{
    self, FileSource, FlagsmithSource, FlagsmithUpstream, Look, OriginSource, Pace, ReflagSource,
    ReflagUpstream, Sight, Source,
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
    sources: Vec<AnySource>,
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
    /// An upstream cannot be asked.
    #[error("environment {environment}: {error}")]
    Upstream {
        /// The environment's name.
        environment: String,
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
        Self::bind_with(settings, clock, Patience::default())
    }

    /// The same, for tests that cannot wait for as long as clients can.
    pub fn bind_with(
        settings: Settings,
        clock: Clock,
        patience: Patience,
    ) -> Result<Self, StartError> {
        let store = match &settings.origin {
            Some(origin) => Some(Store::open(&origin.database, clock.clone())?),
            None => None,
        };
        let sources = settings.environments.iter();
        let sources = sources.map(|e| source_of(&settings, e, store.as_ref()));
        let sources = sources.collect::<Result<Vec<_>, _>>()?;
        let listener = listen(&settings.server.listen)?;
        let admin_listener = listen(&settings.admin.listen)?;
        let origin = match (&settings.origin, store) {
            (Some(origin), Some(store)) => {
                let port = origin::Port::new(Api::new(store, origin.strict_entities));
                Some((listen(&origin.listen)?, Arc::new(port)))
            }
            _ => None,
        };
        let names: Vec<_> =
            settings.environments.iter().map(|e| EnvironmentName::new(&e.name)).collect();
        let workers = worker_count(&settings);
        let metrics = Arc::new(Metrics::new(&routing::LABELS, &names, workers)?);
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
        let environments = settings
            .environments
            .iter()
            .map(|environment| Environment {
                profile: Arc::new(profile(environment)),
                freshness: Arc::new(Freshness::default()),
                waiting: Arc::new(Waiting::new(settings.limits.waiters_per_environment)),
                content: None,
            })
            .collect();
        let snapshot =
            Arc::new(ArcSwap::from_pointee(Snapshot { environments, keys: Arc::new(keys) }));
        let statuses = settings.environments.iter().zip(names).map(|(environment, name)| {
            let (kind, place) = match &environment.source {
                config::Source::File(file) => ("file", file.path.display().to_string()),
                config::Source::Reflag(reflag) => ("reflag", reflag.url.to_string()),
                config::Source::Flagsmith(flagsmith) => ("flagsmith", flagsmith.url.to_string()),
                config::Source::Origin(origin) => {
                    ("origin", format!("{}/{}", origin.app, origin.environment))
                }
            };
            EnvironmentStatus::new(name, kind, place)
        });
        let board = Arc::new(Board::new(statuses.collect()));
        let grace = i64::try_from(settings.admin.startup_grace.as_millis()).unwrap_or(i64::MAX);
        let readiness =
            Readiness::new(Arc::clone(&snapshot), Arc::clone(&board), clock.now(), grace);
        let limits = limits(&settings);
        let process = Arc::new(Process {
            snapshot: Arc::clone(&snapshot),
            base_path: settings.server.base_path.clone(),
            h2c: settings.server.h2c,
            clock,
            patience,
            timers: Handle::current(),
            metrics,
            readiness,
            in_flight: InFlight::new(limits.in_flight_body_bytes),
            connections: AtomicUsize::new(0),
            draining: AtomicBool::new(false),
            hinted: AtomicBool::new(false),
            limits,
        });
        let token = settings.admin.token.as_ref().map(config::Token::expose);
        let admin = Arc::new(Admin::new(Arc::clone(&process), Arc::clone(&board), digests, token));
        Ok(Self {
            settings: settings.without_keys(),
            process,
            board,
            listener,
            admin_listener,
            admin,
            origin,
            sources,
        })
    }

    /// Where management calls go, if there is an origin.
    pub fn origin_address(&self) -> Option<String> {
        self.origin.as_ref().map(|(listener, _)| listener.address())
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
        let Self { settings, process, board, listener, admin_listener, admin, origin, sources } =
            self;
        info!(
            listen = listener.address(),
            admin = admin_listener.address(),
            environments = settings.environments.len(),
            version = env!("CARGO_PKG_VERSION"),
            "serving"
        );
        let background = start_background(&settings, sources, &process, board)?;
        let workers = worker_count(&settings);
        let (lanes, threads) = start_workers(workers, &process)?;
        let workers: Vec<_> = lanes.iter().map(|(worker, _)| Arc::clone(worker)).collect();
        for worker in &workers {
            tokio::spawn(Arc::clone(worker).keep_time());
        }
        let accepting = tokio::spawn(accept_all(listener, lanes));
        let administering = tokio::spawn(admin::serve(admin_listener, admin));
        let managing = origin.map(|(listener, port)| {
            info!(listen = listener.address(), "serving the origin");
            tokio::spawn(origin::serve(listener, port))
        });
        stop.await;
        info!(drain = ?settings.server.drain, "draining");
        process.draining.store(true, Ordering::Relaxed);
        process.snapshot.load().environments.iter().for_each(|e| e.waiting.end());
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
    let config::Proxy { https, http, all, no_proxy } = settings.proxy.clone();
    let client = Client::new(&ClientSettings {
        ca_file: reflag.ca_file.clone(),
        proxy: ProxySettings {
            https: https.unwrap_or_default(),
            http: http.unwrap_or_default(),
            all: all.unwrap_or_default(),
            no_proxy: no_proxy.unwrap_or_default(),
        },
        connect_timeout: reflag.timeout,
    });
    let client = client
        .map_err(|error| StartError::Upstream { environment: environment.name.clone(), error })?;
    let upstream = ReflagUpstream {
        url: reflag.url.to_string(),
        secret_key: reflag.secret_key.clone(),
        learning_key: environment.learning_key().cloned(),
        timeout: reflag.timeout,
    };
    Ok(ReflagSource::new(client, upstream))
}

/// A source that has not sent anything yet.
pub fn flagsmith_source(
    settings: &Settings,
    environment: &config::Environment,
    flagsmith: &config::FlagsmithSource,
) -> Result<FlagsmithSource, StartError> {
    let client = client(settings, environment, flagsmith.ca_file.as_deref(), flagsmith.timeout)?;
    let upstream = FlagsmithUpstream {
        url: flagsmith.url.clone(),
        server_key: flagsmith.server_key.clone(),
        timeout: flagsmith.timeout,
    };
    Ok(FlagsmithSource::new(client, upstream))
}

fn client(
    settings: &Settings,
    environment: &config::Environment,
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
    client.map_err(|error| StartError::Upstream { environment: environment.name.clone(), error })
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
        max_staleness: environment
            .max_staleness
            .map(|limit| i64::try_from(limit.as_millis()).unwrap_or(i64::MAX)),
        on_stale: match environment.on_stale {
            config::OnStale::Serve => OnStale::Serve,
            config::OnStale::Mark => OnStale::Mark,
            config::OnStale::Refuse => OnStale::Refuse,
        },
        on_unauthorized: match environment.on_unauthorized {
            config::OnUnauthorized::Serve => OnUnauthorized::Serve,
            config::OnUnauthorized::Refuse => OnUnauthorized::Refuse,
        },
        authority: match &environment.source {
            config::Source::File(_) | config::Source::Origin(_) => Authority::Operator,
            config::Source::Reflag(_) | config::Source::Flagsmith(_) => Authority::Upstream,
        },
        gate: environment.gate,
        cors: match &environment.cors.origins {
            AllowedOrigins::Any => Cors::Any,
            AllowedOrigins::Only(origins) => {
                Cors::Listed { origins: origins.clone(), credentials: environment.cors.credentials }
            }
        },
    }
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
    sources: Vec<AnySource>,
    process: &Arc<Process>,
    board: Arc<Board>,
) -> Result<Background, StartError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (sender, reports) = mpsc::channel(REPORTS);
    for (index, (environment, source)) in settings.environments.iter().zip(sources).enumerate() {
        let waiting = Arc::clone(&process.snapshot.load().environments[index].waiting);
        let (clock, sender) = (process.clock.clone(), sender.clone());
        let interval = environment.source.poll_interval();
        let pace = match source {
            AnySource::File(_) | AnySource::Origin(_) => Pace::steady(interval),
            AnySource::Reflag(_) | AnySource::Flagsmith(_) => {
                Pace::shared(interval, fastrand::u64(..))
            }
        };
        runtime.spawn(source::follow(index, source, pace, waiting, clock, sender));
    }
    let snapshot = Arc::clone(&process.snapshot);
    let publisher =
        Publisher::new(snapshot, board, Arc::clone(&process.metrics), process.clock.clone());
    let (end, ended) = tokio::sync::oneshot::channel();
    std::thread::Builder::new().name("background".to_owned()).spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                () = publisher.run(reports) => {}
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
