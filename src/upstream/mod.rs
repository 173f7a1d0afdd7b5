//! Asks other servers over HTTP/1.1: one request, one whole answer, within a time and a length; or
//! one request whose answer comes piece by piece for as long as somebody reads ([`Client::open`]).
//!
//! What polls a vendor, follows its event stream, delivers events or forwards calls goes through
//! here. Knows TLS, proxies and gzip, and keeps a connection for the next request to the same host.
//!
//! Never follows a redirect, since the request's key would travel along: a 3xx is an answer like
//! any other. Never gives a part of a body that was asked for as a whole. Never judges a status, and
//! knows nothing of flags, sources or snapshots.

mod body;
mod connect;
mod error;
mod open;
mod proxy;
#[cfg(test)]
mod tests;
mod tls;

use std::fmt;
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, HeaderValue, PROXY_AUTHORIZATION, USER_AGENT,
};
use hyper::http::Extensions;
use hyper::{HeaderMap, Request, Response, StatusCode, Uri, Version};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::capture_connection;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::Sleep;

use body::Coding;
use connect::{Answered, Connector, peer};
pub use error::{EncodingError, FailureKind, Phase, SendError, UrlFault};
pub use open::{Opened, Pieces};
pub use proxy::{ProxyError, ProxySettings};
pub use tls::TlsError;

/// How we name ourselves unless the request says otherwise.
const PRODUCT: &str = concat!("burgee/", env!("CARGO_PKG_VERSION"));

/// Most bytes of an answer's head that are read; also the buffer for bodies.
const HEAD_BYTES: usize = 64 << 10;

/// Most fields of an answer's head.
const HEAD_FIELDS: usize = 100;

/// How long a connection is kept without a request. Longer than the usual interval of polls.
const IDLE: Duration = Duration::from_secs(90);

/// Connections to one host that are kept without a request. One, so that the second attempt of a
/// request that met a dead one cannot meet another.
const IDLE_PER_HOST: usize = 1;

/// What a [`Client`] is made from.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// Certificate authorities to trust beside the bundled ones: a file with PEM certificates.
    pub ca_file: Option<PathBuf>,
    /// Who stands between us and others.
    pub proxy: ProxySettings,
    /// For each connection: name look-up, TCP, the proxy's tunnel and TLS together.
    pub connect_timeout: Duration,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The authorities cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A proxy cannot be used.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
}

/// Sends requests. Clones share their connections.
///
/// For one runtime with I/O and time: its connections are tasks of the runtime that first used
/// them. Name look-ups run on the runtime's blocking threads and cannot be called off there.
#[derive(Clone)]
pub struct Client {
    pool: legacy::Client<Connector, Full<Bytes>>,
    connector: Connector,
}

/// What an answer may cost.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Bounds {
    /// From the call to the last byte of the body, whatever the peer does.
    pub timeout: Duration,
    /// Most bytes of the body, as it comes and as it inflates. While a body is put together it
    /// takes up to one and a half times as much memory.
    pub body: usize,
}

/// A whole answer.
#[derive(Clone)]
pub struct Answer {
    /// Any status: redirects and refusals are answers too.
    pub status: StatusCode,
    /// All fields; without `Content-Encoding` and `Content-Length` when the body was inflated.
    pub headers: HeaderMap,
    /// The body, inflated.
    pub body: Bytes,
}

impl Client {
    /// A client without connections yet. Reads the file of authorities.
    pub fn new(settings: &ClientSettings) -> Result<Self, ClientError> {
        let connector = Connector::new(
            tls::connector(settings.ca_file.as_deref())?,
            settings.proxy.matcher()?,
            settings.connect_timeout,
        );
        let pool = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_PER_HOST)
            .http1_max_buf_size(HEAD_BYTES)
            .http1_max_headers(HEAD_FIELDS)
            .build(connector.clone());
        Ok(Self { pool, connector })
    }

    /// Sends `request` to its absolute `http:` or `https:` URL and waits for the whole answer.
    ///
    /// `Host`, `Content-Length`, `User-Agent` and `Accept-Encoding: gzip` are added where they are
    /// missing. A request that meets a kept connection which the peer has closed meanwhile is sent
    /// once more on a new one: always while nothing of it was sent, else only when its method is
    /// idempotent.
    ///
    /// Dropping the future ends the request and closes its connection.
    pub async fn send(&self, request: Request<Bytes>, bounds: Bounds) -> Result<Answer, SendError> {
        let mut deadline = pin!(tokio::time::sleep(bounds.timeout));
        let missed = |phase| SendError::Timeout { phase, after: bounds.timeout };

        let request = self.complete(request)?;
        let response = self.head(request, deadline.as_mut(), missed).await?;
        let (head, body) = response.into_parts();
        let mut headers = head.headers;
        // Where nothing can follow (HEAD, 204, 304), fields still speak of what would have.
        let coding = if body.is_end_stream() { Coding::Identity } else { Coding::of(&headers)? };
        let body = tokio::select! {
            biased;
            body = body::receive(body, coding, bounds.body) => body?,
            () = deadline => return Err(missed(Phase::Body)),
        };
        if coding == Coding::Gzip {
            headers.remove(CONTENT_ENCODING);
            headers.remove(CONTENT_LENGTH);
        }
        Ok(Answer { status: head.status, headers, body })
    }

    /// The request as it is sent.
    fn complete(&self, request: Request<Bytes>) -> Result<Request<Full<Bytes>>, SendError> {
        check(request.uri()).map_err(SendError::Url)?;
        let mut request = request.map(Full::new);
        *request.version_mut() = Version::HTTP_11;
        let proxy = self.connector.plain_proxy(request.uri());
        let headers = request.headers_mut();
        headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(PRODUCT));
        headers.entry(ACCEPT_ENCODING).or_insert(HeaderValue::from_static("gzip"));
        // A tunnel's credentials go with the tunnel; here the proxy reads the request itself.
        if let Some(credentials) = proxy.as_ref().and_then(|proxy| proxy.basic_auth()) {
            headers.insert(PROXY_AUTHORIZATION, credentials.clone());
        }
        Ok(request)
    }

    /// Sends until there is a head: once, or twice when a kept connection turned out to be dead.
    async fn head(
        &self,
        request: Request<Full<Bytes>>,
        mut deadline: Pin<&mut Sleep>,
        missed: impl Fn(Phase) -> SendError,
    ) -> Result<Response<Incoming>, SendError> {
        let mut may_repeat = request.method().is_idempotent();
        loop {
            let mut attempt = request.clone();
            let connection = capture_connection(&mut attempt);
            let outcome = tokio::select! {
                biased;
                outcome = self.pool.request(attempt) => outcome,
                () = deadline.as_mut() => {
                    let connected = connection.connection_metadata().is_some();
                    return Err(missed(if connected { Phase::Head } else { Phase::Connecting }));
                }
            };
            let response = match outcome {
                Ok(response) => response,
                Err(error) if may_repeat && lost_a_kept_connection(&error) => {
                    may_repeat = false;
                    continue;
                }
                Err(error) => return Err(failure(&error)),
            };
            if let Some(answered) = response.extensions().get::<Answered>() {
                answered.set();
            }
            if response.status() == StatusCode::PROXY_AUTHENTICATION_REQUIRED
                && let Some(proxy) = self.connector.plain_proxy(request.uri())
            {
                return Err(SendError::Proxy {
                    proxy: peer(proxy.uri()),
                    target: peer(request.uri()),
                    status: response.status(),
                });
            }
            return Ok(response);
        }
    }
}

/// Says nothing of settings: proxies have passwords.
impl fmt::Debug for Client {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Client").finish_non_exhaustive()
    }
}

/// Status and length: fields and bodies of vendors hold keys.
impl fmt::Debug for Answer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Answer")
            .field("status", &self.status)
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

fn check(uri: &Uri) -> Result<(), UrlFault> {
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(UrlFault::Scheme);
    }
    let authority = uri.authority().ok_or(UrlFault::Host)?;
    if authority.as_str().contains('@') {
        return Err(UrlFault::UserInfo);
    }
    if authority.host().is_empty() { Err(UrlFault::Host) } else { Ok(()) }
}

/// Whether `error` is the end of a connection that had served before: its peer may have closed it
/// before it saw the request. hyper-util repeats only what it has not begun to send.
fn lost_a_kept_connection(error: &legacy::Error) -> bool {
    let mut extras = Extensions::new();
    if let Some(connection) = error.connect_info() {
        connection.get_extras(&mut extras);
    }
    let kept = extras.get::<Answered>().is_some_and(Answered::is_set);
    kept && matches!(failure(error), SendError::BrokenOff(_) | SendError::Network(_))
}

/// What hyper-util's error has inside: ours from connecting, or hyper's from the exchange.
fn failure(error: &legacy::Error) -> SendError {
    let inside = std::error::Error::source(error);
    if let Some(error) = inside.and_then(|error| error.downcast_ref::<SendError>()) {
        return error.clone();
    }
    match inside.and_then(|error| error.downcast_ref::<hyper::Error>()) {
        Some(error) => SendError::exchange(error, Phase::Head),
        None => SendError::Network(error::chain(error)),
    }
}
