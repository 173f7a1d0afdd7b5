//! A worker: one thread, one single-threaded runtime, its own counters.
//!
//! A connection stays with the worker that got it, so a request never moves between cores and its
//! counters are written by one thread only.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc};

use super::Limits;
use super::body::InFlight;
use super::connection::{Connection, Deadlines, Served, Socket, Transport};
use super::pipeline;
use super::routing::Route;
use super::streams::{Exchanges, Streams};
use crate::dialect::{Dialect, Rejection};
use crate::snapshot::status::Readiness;
use crate::snapshot::{Patience, Shared};
use crate::telemetry::metrics::{Metrics, WorkerMetrics};
use crate::time::Clock;

/// What the head of a request may be longer than the longest URL: enough for every head that a
/// browser sends.
pub const HEAD_BEYOND_URL: usize = 32 * 1024;

/// What all workers share.
#[derive(Debug)]
pub struct Process {
    /// The snapshot.
    pub snapshot: Shared,
    /// Bounds.
    pub limits: Limits,
    /// Taken off the front of every path; empty or `/like/this`.
    pub base_path: String,
    /// The path of OFREP's event streams, as clients have to ask for it.
    pub stream_path: String,
    /// Lets one document be translated at a time.
    pub translating: tokio::sync::Semaphore,
    /// Whether HTTP/2 with prior knowledge is spoken.
    pub h2c: bool,
    /// Where "now" comes from.
    pub clock: Clock,
    /// How long requests are held for a version.
    pub patience: Patience,
    /// A runtime with timers: those of workers have none.
    pub timers: Handle,
    /// Rare counters.
    pub metrics: Arc<Metrics>,
    /// Answers health checks.
    pub readiness: Readiness,
    /// Bodies that are being received.
    pub in_flight: InFlight,
    /// Clients on event streams.
    pub streams: Streams,
    /// Open connections.
    pub connections: AtomicUsize,
    /// Set once, when the process is to end.
    pub draining: AtomicBool,
    /// Set once, when a mistake of an SDK's settings was seen and logged.
    pub hinted: AtomicBool,
    /// The same of the stream that an environment document names, and by what no key is.
    pub hinted_at_document_key: AtomicBool,
}

/// One thread's part of the server.
#[derive(Debug)]
pub struct Worker {
    /// What all workers share.
    pub shared: Arc<Process>,
    /// This worker's own counters.
    pub metrics: Arc<WorkerMetrics>,
    /// Coarse time: grows by one per [`Worker::tick_length`].
    tick: AtomicU32,
    connections: Mutex<HashMap<u64, Arc<Connection>>>,
    load: AtomicUsize,
    /// Told when the last connection ends.
    emptied: Notify,
}

impl Worker {
    /// A worker without connections.
    pub fn new(shared: Arc<Process>, metrics: Arc<WorkerMetrics>) -> Arc<Self> {
        Arc::new(Self {
            shared,
            metrics,
            tick: AtomicU32::new(0),
            connections: Mutex::default(),
            load: AtomicUsize::new(0),
            emptied: Notify::new(),
        })
    }

    /// The present tick.
    pub fn tick(&self) -> u32 {
        self.tick.load(Ordering::Relaxed)
    }

    /// Connections that were given to this worker and are still open.
    pub fn load(&self) -> usize {
        self.load.load(Ordering::Relaxed)
    }

    /// Notes that a connection is on its way here.
    pub fn expect_connection(&self) {
        self.load.fetch_add(1, Ordering::Relaxed);
        self.shared.connections.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether connections are to end after their present request.
    pub fn is_draining(&self) -> bool {
        self.shared.draining.load(Ordering::Relaxed)
    }

    /// Has every connection look at the state of the process.
    pub fn wake_all(&self) {
        self.open().values().for_each(|connection| connection.wake());
    }

    /// Closes every connection, whatever it is doing.
    pub fn end_all(&self) {
        self.open().values().for_each(|connection| connection.end());
    }

    /// Counts a head that hyper refused.
    pub fn refused_head(&self, status: u16, rejection: &Rejection) {
        self.metrics.answered(Route::OUTSIDE.label, status, Duration::ZERO);
        self.shared.metrics.rejected(Dialect::Reflag, rejection);
    }

    fn open(&self) -> MutexGuard<'_, HashMap<u64, Arc<Connection>>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Deadlines are looked at this often: often enough for the shortest of them.
    fn tick_length(&self) -> Duration {
        let limits = &self.shared.limits;
        let shortest = limits.header_timeout.min(limits.body_timeout).min(limits.keep_alive);
        (shortest / 4).clamp(Duration::from_millis(10), Duration::from_secs(1))
    }

    fn deadlines(&self) -> Deadlines {
        let tick = self.tick_length();
        let ticks = |limit: Duration| {
            u32::try_from(limit.as_nanos().div_ceil(tick.as_nanos())).unwrap_or(u32::MAX)
        };
        let limits = &self.shared.limits;
        let idle = ticks(limits.keep_alive);
        // A client that stops reading its answer is as gone as one that stops asking.
        let (header, body) = (ticks(limits.header_timeout), ticks(limits.body_timeout));
        Deadlines { ticks: [idle, header, body, idle, u32::MAX] }
    }

    /// Serves the sockets that come until the sender is gone and all connections have ended.
    pub fn run(
        self: &Arc<Self>,
        mut sockets: mpsc::UnboundedReceiver<AcceptedSocket>,
    ) -> io::Result<()> {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_io();
        if self.shared.h2c {
            // HTTP/1.1 needs no timers here: see `keep_time`. HTTP/2 brings its own.
            builder.enable_time();
        }
        builder.build()?.block_on(async {
            let mut number = 0_u64;
            while let Some(socket) = sockets.recv().await {
                number += 1;
                match socket.register() {
                    Ok(socket) => drop(tokio::spawn(Arc::clone(self).serve(number, socket))),
                    Err(_) => self.forget_connection(),
                }
            }
            // The listener is closed; what is open now ends after its present request.
            let mut emptied = std::pin::pin!(self.emptied.notified());
            emptied.as_mut().enable();
            self.wake_all();
            while self.load() > 0 {
                emptied.as_mut().await;
                emptied.set(self.emptied.notified());
                emptied.as_mut().enable();
            }
        });
        Ok(())
    }

    /// Moves the worker's coarse clock and looks at deadlines, for ever. Runs on another thread, so
    /// that the worker's own loop has no timers to look after between requests.
    pub async fn keep_time(self: Arc<Self>) {
        let deadlines = self.deadlines();
        let mut interval = tokio::time::interval(self.tick_length());
        loop {
            interval.tick().await;
            let now = self.tick.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
            self.open().values().for_each(|connection| connection.check(now, &deadlines));
        }
    }

    async fn serve(self: Arc<Self>, number: u64, socket: Socket) {
        let connection = Arc::new(Connection::new(Arc::clone(&self)));
        self.open().insert(number, Arc::clone(&connection));
        let transport = Transport::new(socket, Arc::clone(&connection));
        let of_request = Arc::clone(&connection);
        let service = service_fn(move |request| pipeline::serve(Arc::clone(&of_request), request));
        let head = self.shared.limits.url + HEAD_BEYOND_URL;
        if self.shared.h2c {
            let mut builder = auto::Builder::new(Exchanges);
            builder.http1().max_buf_size(head).pipeline_flush(false);
            builder
                .http2()
                .timer(TokioTimer::new())
                .max_concurrent_streams(128)
                .max_header_list_size(64 * 1024)
                .max_pending_accept_reset_streams(20)
                .max_local_error_reset_streams(Some(1_024));
            let to_hyper = |socket: Transport| {
                socket.is_shared();
                builder.serve_connection(TokioIo::new(socket), service.clone())
            };
            Served::new(transport, connection, to_hyper).await;
        } else {
            let mut builder = http1::Builder::new();
            builder.max_buf_size(head).pipeline_flush(false);
            let to_hyper = |socket| builder.serve_connection(TokioIo::new(socket), service.clone());
            Served::new(transport, connection, to_hyper).await;
        }
        self.open().remove(&number);
        self.forget_connection();
    }

    fn forget_connection(&self) {
        self.shared.connections.fetch_sub(1, Ordering::Relaxed);
        if self.load.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.emptied.notify_waiters();
        }
    }
}

/// A socket between the thread that accepted it and the worker that serves it.
#[derive(Debug)]
pub enum AcceptedSocket {
    /// TCP.
    Tcp(std::net::TcpStream),
    /// A unix socket.
    Unix(std::os::unix::net::UnixStream),
}

impl AcceptedSocket {
    /// Registers the socket with the runtime of the present thread.
    fn register(self) -> io::Result<Socket> {
        Ok(match self {
            Self::Tcp(stream) => Socket::Tcp(tokio::net::TcpStream::from_std(stream)?),
            Self::Unix(stream) => Socket::Unix(tokio::net::UnixStream::from_std(stream)?),
        })
    }
}
