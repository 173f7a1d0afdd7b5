//! Asks the admin port of a process that runs: plain HTTP over TCP or a unix socket.
//!
//! One request per connection, within a time and a length. Knows no TLS, no proxies and no
//! redirects: the admin port has none of them.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

/// Longest answer.
const LONGEST: usize = 16 << 20;

/// Where a process is asked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Endpoint {
    reach: Reach,
    /// What stands between the address and our paths; empty or `/like/this`.
    pub(super) path: String,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Reach {
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
}

/// Why a URL cannot be asked.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not http://HOST[:PORT] or unix:/PATH")]
pub(super) struct UrlError(String);

/// What came back.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

/// Why nothing came back.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    #[error("{0}")]
    Connect(#[source] io::Error),
    #[error("the connection broke off: {0}")]
    Exchange(#[source] hyper::Error),
    #[error("no answer within {}", humantime::format_duration(*.0))]
    Slow(Duration),
    #[error("the answer is longer than {LONGEST} bytes")]
    TooLong,
    #[error("the admin token has characters that a header cannot carry")]
    Token,
}

impl Endpoint {
    /// Reads `http://host[:port][/path]`, the same without `http://`, or `unix:/path`.
    pub(super) fn parse(url: &str) -> Result<Self, UrlError> {
        let refused = || UrlError(url.to_owned());
        if let Some(path) = url.strip_prefix("unix:") {
            return if path.is_empty() { Err(refused()) } else { Ok(Self::unix(path.into())) };
        }
        let whole = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
        let uri: Uri = whole.parse().map_err(|_| refused())?;
        let authority = uri.authority().ok_or_else(refused)?;
        let plain = uri.scheme_str() == Some("http")
            && uri.query().is_none()
            && !whole.contains('#')
            && !authority.as_str().contains('@')
            && !authority.host().is_empty();
        if !plain {
            return Err(refused());
        }
        let port = match authority.as_str().strip_prefix(authority.host()) {
            None | Some("") => 80,
            Some(port) => port.trim_start_matches(':').parse().map_err(|_| refused())?,
        };
        let host = authority.host().to_owned();
        let path = uri.path().trim_end_matches('/').to_owned();
        Ok(Self { reach: Reach::Tcp { host, port }, path })
    }

    pub(super) fn tcp(address: SocketAddr) -> Self {
        let host = match address {
            SocketAddr::V4(address) => address.ip().to_string(),
            SocketAddr::V6(address) => format!("[{}]", address.ip()),
        };
        Self { reach: Reach::Tcp { host, port: address.port() }, path: String::new() }
    }

    pub(super) fn unix(path: PathBuf) -> Self {
        Self { reach: Reach::Unix(path), path: String::new() }
    }

    /// `GET`s `path` below the endpoint's own, within `limit`.
    pub(super) fn get(
        &self,
        path: &str,
        token: Option<&str>,
        limit: Duration,
    ) -> Result<Reply, ClientError> {
        self.ask(path, None, token, limit)
    }

    /// `POST`s a JSON body, likewise.
    pub(super) fn post(
        &self,
        path: &str,
        body: String,
        token: Option<&str>,
        limit: Duration,
    ) -> Result<Reply, ClientError> {
        self.ask(path, Some(body), token, limit)
    }

    fn ask(
        &self,
        path: &str,
        body: Option<String>,
        token: Option<&str>,
        limit: Duration,
    ) -> Result<Reply, ClientError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(ClientError::Connect)?;
        let answer = runtime.block_on(async {
            let exchange = self.exchange(path, body, token);
            tokio::time::timeout(limit, exchange).await.unwrap_or(Err(ClientError::Slow(limit)))
        });
        // A look-up of the host's name that hangs must not hold up the end of the process.
        runtime.shutdown_background();
        answer
    }

    async fn exchange(
        &self,
        path: &str,
        body: Option<String>,
        token: Option<&str>,
    ) -> Result<Reply, ClientError> {
        let mut request = Request::builder().uri(format!("{}{path}", self.path));
        if body.is_some() {
            let json = HeaderValue::from_static("application/json");
            request = request.method(Method::POST).header(CONTENT_TYPE, json);
        }
        let body = Full::from(body.unwrap_or_default());
        if let Some(token) = token {
            let token = format!("Bearer {token}");
            let mut token = HeaderValue::from_str(&token).map_err(|_| ClientError::Token)?;
            token.set_sensitive(true);
            request = request.header(AUTHORIZATION, token);
        }
        match &self.reach {
            Reach::Tcp { host, port } => {
                let request = request.header(HOST, format!("{host}:{port}"));
                let name = host.trim_matches(['[', ']']);
                let stream = TcpStream::connect((name, *port)).await;
                converse(stream.map_err(ClientError::Connect)?, request, body).await
            }
            Reach::Unix(path) => {
                let request = request.header(HOST, "localhost");
                let stream = UnixStream::connect(path).await;
                converse(stream.map_err(ClientError::Connect)?, request, body).await
            }
        }
    }
}

async fn converse<S>(
    stream: S,
    request: hyper::http::request::Builder,
    body: Full<Bytes>,
) -> Result<Reply, ClientError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let handshake = http1::handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.map_err(ClientError::Exchange)?;
    tokio::spawn(connection);
    let request = request.body(body).map_err(|_| ClientError::Token)?;
    let response = sender.send_request(request).await.map_err(ClientError::Exchange)?;
    let status = response.status();
    match Limited::new(response.into_body(), LONGEST).collect().await {
        Ok(body) => Ok(Reply { status, body: body.to_bytes() }),
        Err(error) => Err(match error.downcast::<hyper::Error>() {
            Ok(error) => ClientError::Exchange(*error),
            Err(error) => {
                debug_assert!(error.is::<LengthLimitError>());
                ClientError::TooLong
            }
        }),
    }
}

/// As it could be given to `--url`.
impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reach {
            Reach::Tcp { host, port } => write!(formatter, "http://{host}:{port}{}", self.path),
            Reach::Unix(path) => write!(formatter, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_http_or_unix_and_nothing_else() {
        for (url, shown) in [
            ("http://127.0.0.1:8001", "http://127.0.0.1:8001"),
            ("http://127.0.0.1:8001/", "http://127.0.0.1:8001"),
            ("http://[::1]:8001", "http://[::1]:8001"),
            ("http://burgee.internal/flags/", "http://burgee.internal:80/flags"),
            ("localhost:8001", "http://localhost:8001"),
            ("unix:/run/burgee.sock", "unix:/run/burgee.sock"),
        ] {
            assert_eq!(Endpoint::parse(url).unwrap().to_string(), shown, "{url}");
        }
        for url in [
            "",
            "unix:",
            "http://",
            "http://:8001",
            "http://host:",
            "http://host:70000",
            "https://127.0.0.1:8001",
            "ftp://127.0.0.1",
            "http://me:secret@host:8001",
            "http://host:8001/?a=1",
            "http://host:8001/#a",
            "http://two words",
        ] {
            assert!(Endpoint::parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn an_address_of_the_configuration_reads_back() {
        for address in ["127.0.0.1:8001", "[::1]:8001"] {
            let endpoint = Endpoint::tcp(address.parse().unwrap());
            assert_eq!(endpoint, Endpoint::parse(&format!("http://{address}")).unwrap());
        }
    }
}
