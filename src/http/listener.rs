//! Accepts connections and hands each to the worker with the fewest.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use socket2::{Domain, Protocol, Type};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::mpsc;
use tracing::warn;

use super::connection::Socket;
use super::worker::{AcceptedSocket, Worker};

/// Connections that the kernel holds for us between two accepts.
const BACKLOG: i32 = 4_096;

/// A bound listener of either kind.
#[derive(Debug)]
pub enum Listener {
    /// TCP.
    Tcp(TcpListener),
    /// A unix socket; its file goes when the listener does.
    Unix(UnixListener, SocketFile),
}

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {error}")]
pub struct ListenError {
    /// As configured.
    pub address: String,
    /// What the system said.
    #[source]
    pub error: io::Error,
}

impl Listener {
    /// Binds a TCP address. Must be called inside a runtime.
    pub fn tcp(address: SocketAddr) -> Result<Self, ListenError> {
        let bind = || -> io::Result<TcpListener> {
            let socket = socket2::Socket::new(
                Domain::for_address(address),
                Type::STREAM,
                Some(Protocol::TCP),
            )?;
            // A restart must not wait for connections of the process before.
            socket.set_reuse_address(true)?;
            socket.set_nonblocking(true)?;
            socket.bind(&address.into())?;
            socket.listen(BACKLOG)?;
            TcpListener::from_std(socket.into())
        };
        bind().map(Self::Tcp).map_err(|error| ListenError { address: address.to_string(), error })
    }

    /// Binds a unix socket; a file that a dead process left there is replaced. Must be called
    /// inside a runtime.
    pub fn unix(path: &Path) -> Result<Self, ListenError> {
        let bind = || -> io::Result<UnixListener> {
            if std::os::unix::net::UnixStream::connect(path)
                .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
            {
                std::fs::remove_file(path)?;
            }
            UnixListener::bind(path)
        };
        let listener = bind()
            .map_err(|error| ListenError { address: format!("unix:{}", path.display()), error })?;
        Ok(Self::Unix(listener, SocketFile(path.to_owned())))
    }

    /// Where it listens, in the words of the configuration.
    pub fn address(&self) -> String {
        match self {
            Self::Tcp(listener) => {
                listener.local_addr().map_or_else(|_| "?".to_owned(), |address| address.to_string())
            }
            Self::Unix(_, file) => format!("unix:{}", file.0.display()),
        }
    }

    /// The next connection.
    pub async fn accept(&self) -> io::Result<Socket> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                // Answers are written whole: waiting for more to send only delays them.
                stream.set_nodelay(true)?;
                Ok(Socket::Tcp(stream))
            }
            Self::Unix(listener, _) => Ok(Socket::Unix(listener.accept().await?.0)),
        }
    }
}

/// Removes the file of a unix socket.
#[derive(Debug)]
pub struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A worker and the way to it.
pub type Lane = (Arc<Worker>, mpsc::UnboundedSender<AcceptedSocket>);

/// Accepts for ever. What is above the bound on connections is closed at once and counted: those
/// that are open are never closed for it.
pub async fn accept_all(listener: Listener, lanes: Vec<Lane>) {
    loop {
        let socket = match listener.accept().await {
            Ok(socket) => socket,
            Err(error) => {
                // Out of descriptors, say. Trying again at once would only burn the processor.
                warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Some((worker, sockets)) = lanes.iter().min_by_key(|(worker, _)| worker.load()) else {
            return;
        };
        let process = &worker.shared;
        if process.connections.load(Ordering::Relaxed) >= process.limits.connections {
            process.metrics.dropped_at_bound("connections");
            continue;
        }
        let socket = match socket {
            Socket::Tcp(stream) => stream.into_std().map(AcceptedSocket::Tcp),
            Socket::Unix(stream) => stream.into_std().map(AcceptedSocket::Unix),
        };
        if let Ok(socket) = socket {
            worker.expect_connection();
            if sockets.send(socket).is_err() {
                return;
            }
        }
    }
}
