//! Makes connections: directly or through a proxy, plain or with TLS, within a time.
//!
//! Never decides what is asked over them, and never keeps one: that is the pool's part.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper::header::{HOST, PROXY_AUTHORIZATION, USER_AGENT};
use hyper::http::uri::Scheme;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::{Request, Uri};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{self, CertificateError};
use tower_service::Service;

use super::error::{Phase, SendError, chain, io_kind};
use super::{HEAD_BYTES, HEAD_FIELDS, PRODUCT};

/// Silence on a connection after which the kernel asks whether the peer is still there, and
/// between two such questions. Three without an answer, and the connection is gone.
const KEEPALIVE: Duration = Duration::from_secs(15);
const KEEPALIVE_RETRIES: u32 = 3;

/// Makes connections for the pool.
#[derive(Clone)]
pub(super) struct Connector {
    tcp: HttpConnector,
    tls: TlsConnector,
    proxies: Arc<Matcher>,
    timeout: Duration,
}

/// What is spoken over, whatever the layers below.
trait Channel: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Channel for T {}

type BoxedChannel = Box<dyn Channel>;

impl Connector {
    /// `timeout` is for a connection as a whole: name look-up, TCP, tunnel and TLS.
    pub(super) fn new(tls: TlsConnector, proxies: Matcher, timeout: Duration) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEPALIVE));
        tcp.set_keepalive_interval(Some(KEEPALIVE));
        tcp.set_keepalive_retries(Some(KEEPALIVE_RETRIES));
        // Shared among a name's addresses: one that swallows packets leaves time for the next.
        tcp.set_connect_timeout(Some(timeout));
        Self { tcp, tls, proxies: Arc::new(proxies), timeout }
    }

    /// The proxy that requests for `target` are handed to as they are, without a tunnel.
    pub(super) fn plain_proxy(&self, target: &Uri) -> Option<Intercept> {
        self.proxies.intercept(target).filter(|_| !is_https(target))
    }

    async fn connect(&self, target: &Uri) -> Result<Transport, SendError> {
        let Some(proxy) = self.proxies.intercept(target) else {
            let channel = self.open(target, &peer(target)).await?;
            return Ok(Transport::new(channel, false));
        };
        let channel = self.open(proxy.uri(), &format!("the proxy {}", peer(proxy.uri()))).await?;
        if !is_https(target) {
            return Ok(Transport::new(channel, true));
        }
        let channel = tunnel(channel, &proxy, target).await?;
        let channel = self.secure(channel, target, &peer(target)).await?;
        Ok(Transport::new(channel, false))
    }

    /// TCP, and TLS for `https:`.
    async fn open(&self, hop: &Uri, peer: &str) -> Result<BoxedChannel, SendError> {
        let stream = self.tcp.clone().call(hop.clone()).await.map_err(|error| {
            if io_kind(&error) == Some(io::ErrorKind::TimedOut) {
                return self.too_slow();
            }
            SendError::Connect { peer: peer.to_owned(), reason: chain(&error) }
        })?;
        let channel: BoxedChannel = Box::new(stream.into_inner());
        if is_https(hop) { self.secure(channel, hop, peer).await } else { Ok(channel) }
    }

    async fn secure(
        &self,
        channel: BoxedChannel,
        target: &Uri,
        peer: &str,
    ) -> Result<BoxedChannel, SendError> {
        let failed = |reason| SendError::Tls { peer: peer.to_owned(), reason };
        let host = target.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(host).map_err(|error| failed(error.to_string()))?;
        match self.tls.connect(name, channel).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) => Err(failed(handshake(&error))),
        }
    }

    fn too_slow(&self) -> SendError {
        SendError::Timeout { phase: Phase::Connecting, after: self.timeout }
    }
}

impl Service<Uri> for Connector {
    type Response = Transport;
    type Error = SendError;
    type Future = Pin<Box<dyn Future<Output = Result<Transport, SendError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move {
            tokio::time::timeout(connector.timeout, connector.connect(&target))
                .await
                .unwrap_or_else(|_| Err(connector.too_slow()))
        })
    }
}

/// Asks a proxy for a tunnel.
///
/// With hyper's own client and not with hyper-util's `Tunnel`, which does not say what a proxy
/// answered: 403 is for the proxy's owner, 407 for ours, and 502 for the target's.
async fn tunnel(
    channel: BoxedChannel,
    proxy: &Intercept,
    target: &Uri,
) -> Result<BoxedChannel, SendError> {
    let target = peer(target);
    let proxy_name = peer(proxy.uri());
    let failed = |reason: String| SendError::Connect {
        peer: format!("{target} through the proxy {proxy_name}"),
        reason,
    };
    let mut request = Request::connect(&target)
        .header(HOST, &target)
        .header(USER_AGENT, PRODUCT)
        .body(Empty::<Bytes>::new())
        .map_err(|error| failed(error.to_string()))?;
    if let Some(credentials) = proxy.basic_auth() {
        request.headers_mut().insert(PROXY_AUTHORIZATION, credentials.clone());
    }
    let broken = |error: hyper::Error| failed(chain(&error));
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEAD_FIELDS)
        .handshake(TokioIo::new(channel))
        .await
        .map_err(broken)?;
    let ask = async {
        let status = sender.send_request(request).await.map_err(broken)?.status();
        if status.is_success() {
            return Ok(());
        }
        Err(SendError::Proxy { proxy: proxy_name.clone(), target: target.clone(), status })
    };
    let carry = async { connection.without_shutdown().await.map_err(broken) };
    // A refusal ends this at once; after a success hyper lets go of the connection.
    let ((), parts) = tokio::try_join!(ask, carry)?;
    if !parts.read_buf.is_empty() {
        return Err(failed("the proxy sent bytes before the target could".to_owned()));
    }
    Ok(parts.io.into_inner())
}

/// What went wrong in a handshake. The likeliest trouble with a private authority gets a hint.
fn handshake(error: &io::Error) -> String {
    let stranger = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
    match error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>()) {
        Some(error) if *error == stranger => {
            format!("{error} (a private authority has to be in the CA file)")
        }
        _ => error.to_string(),
    }
}

/// A connection that is ready for HTTP.
pub(super) struct Transport {
    io: TokioIo<BoxedChannel>,
    /// Requests name their target in full (RFC 9112, 3.2.2).
    proxied: bool,
    answered: Answered,
}

/// Whether a connection has carried an answer. The pool hands it out with each one.
#[derive(Clone, Default)]
pub(super) struct Answered(Arc<AtomicBool>);

impl Answered {
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Transport {
    fn new(channel: BoxedChannel, proxied: bool) -> Self {
        Self { io: TokioIo::new(channel), proxied, answered: Answered::default() }
    }

    fn io(self: Pin<&mut Self>) -> Pin<&mut TokioIo<BoxedChannel>> {
        Pin::new(&mut self.get_mut().io)
    }
}

impl Connection for Transport {
    fn connected(&self) -> Connected {
        Connected::new().proxy(self.proxied).extra(self.answered.clone())
    }
}

impl Read for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        self.io().poll_read(context, buffer)
    }
}

impl Write for Transport {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.io().poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io().poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io().poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.io().poll_write_vectored(context, slices)
    }
}

fn is_https(uri: &Uri) -> bool {
    uri.scheme() == Some(&Scheme::HTTPS)
}

/// Host and port, for people, for `Host` and for `CONNECT`.
pub(super) fn peer(uri: &Uri) -> String {
    let port = uri.port_u16().unwrap_or(if is_https(uri) { 443 } else { 80 });
    format!("{}:{port}", uri.host().unwrap_or_default())
}
