//! The admin port: health, metrics, status, explain, and the description of this port and of the
//! public one. Private by default.
//!
//! Health and metrics are open to whoever reaches the port. The rest needs the token, unless the
//! peer is on this machine; then `Host` must name this machine too, so that a web page cannot
//! reach it through a visitor's browser (DESIGN section 7).

mod access;
pub mod explain;
mod metrics;
mod openapi;
pub mod routes;
mod status;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tracing::warn;

use access::Access;
use explain::Question;
use routes::Endpoint;

use crate::dialect::query::decode;
use crate::http::connection::Socket;
use crate::http::worker::Process;
use crate::http::{Listener, patience};
use crate::snapshot::KeyDigests;

/// Open connections of the admin port: scrapers and people, not traffic.
pub(crate) const CONNECTIONS: usize = 256;
/// Longest body of `POST /explain`.
pub(crate) const BODY: usize = 256 * 1024;
/// Longest wait for a head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// What the admin port answers from.
#[derive(Debug)]
pub struct Admin {
    process: Arc<Process>,
    access: Access,
}

/// An answer of the admin port.
#[derive(Debug)]
struct Page {
    status: StatusCode,
    /// None where there is no body.
    content_type: Option<&'static str>,
    body: Bytes,
    /// Of a page that does not change while the process runs.
    tag: Option<HeaderValue>,
}

impl Page {
    /// JSON of this moment.
    fn json(status: StatusCode, body: &Value) -> Self {
        Self::text(status, JSON, body.to_string())
    }

    /// Text of this moment.
    fn text(status: StatusCode, content_type: &'static str, body: String) -> Self {
        Self { status, content_type: Some(content_type), body: body.into(), tag: None }
    }
}

type Reply = Result<Page, Refusal>;

/// A refusal of the admin port.
#[derive(Debug)]
struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
    /// The value of `Allow`.
    allowed: Option<&'static str>,
}

impl Refusal {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), allowed: None }
    }
}

const JSON: &str = "application/json";

impl Admin {
    /// `token` opens what is not open to everybody.
    pub fn new(process: Arc<Process>, digests: KeyDigests, token: Option<&str>) -> Self {
        Self { process, access: Access::new(digests, token) }
    }

    async fn answer(&self, request: Request<Incoming>, local: bool) -> Response<Full<Bytes>> {
        let mut allowed = None;
        let page = self.page(request, local).await.unwrap_or_else(|refusal| {
            allowed = refusal.allowed;
            let error = json!({"code": refusal.code, "message": refusal.message});
            Page::json(refusal.status, &json!({"error": error}))
        });
        let mut response = Response::new(Full::new(page.body));
        *response.status_mut() = page.status;
        let headers = response.headers_mut();
        if let Some(content_type) = page.content_type {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        let kept = if page.tag.is_some() { "no-cache" } else { "no-store" };
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(kept));
        if let Some(tag) = page.tag {
            headers.insert(ETAG, tag);
        }
        if let Some(allowed) = allowed {
            headers.insert(ALLOW, HeaderValue::from_static(allowed));
        }
        response
    }

    async fn page(&self, request: Request<Incoming>, local: bool) -> Reply {
        let path = request.uri().path().to_owned();
        let Some((endpoint, rest)) = routes::find(&path) else {
            let paths: Vec<&str> = routes::ROUTES.iter().map(|route| route.path).collect();
            let what = format!("there is nothing at this path; see {}", paths.join(", "));
            return Err(Refusal::new(StatusCode::NOT_FOUND, "NOT_FOUND", what));
        };
        if let Some(allowed) = endpoint.refuses(request.method()) {
            let what = format!("this path answers only {allowed}");
            let status = StatusCode::METHOD_NOT_ALLOWED;
            let refusal = Refusal::new(status, "METHOD_NOT_ALLOWED", what);
            return Err(Refusal { allowed: Some(allowed), ..refusal });
        }
        if !endpoint.is_open() {
            self.access.check(&request, local)?;
        }
        match endpoint {
            Endpoint::Live => Ok(Page::json(StatusCode::OK, &json!({"live": true}))),
            Endpoint::Ready => Ok(self.ready()),
            Endpoint::ReadyOfEnvironment => self.ready_of(rest),
            Endpoint::Metrics => {
                let text = metrics::text(&self.process).map_err(|error| {
                    warn!(%error, "metrics cannot be written");
                    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", "internal error")
                })?;
                let content_type = "text/plain; version=0.0.4; charset=utf-8";
                Ok(Page::text(StatusCode::OK, content_type, text))
            }
            Endpoint::Status => Ok(Page::json(StatusCode::OK, &self.status())),
            Endpoint::Explain => self.explain(request).await,
            Endpoint::OpenapiJson => Ok(openapi::json(request.headers())),
            Endpoint::OpenapiYaml => Ok(openapi::yaml(request.headers())),
        }
    }

    fn ready(&self) -> Page {
        let now = self.process.clock.now();
        let draining = self.process.draining.load(Ordering::Relaxed);
        let ready = !draining && self.process.readiness.is_ready(now);
        let environments = self.process.readiness.environments(now).into_iter();
        let environments: serde_json::Map<String, Value> = environments
            .map(|e| (e.name.to_string(), json!({"ready": e.ready, "state": e.state.label()})))
            .collect();
        let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        Page::json(status, &json!({"ready": ready, "environments": environments}))
    }

    fn ready_of(&self, name: &str) -> Reply {
        let name = decode(name).unwrap_or_default();
        let now = self.process.clock.now();
        let found = self.process.readiness.environments(now);
        let found = found.into_iter().find(|environment| environment.name.as_str() == name);
        let Some(found) = found else { return Err(unknown_environment(&name)) };
        let draining = self.process.draining.load(Ordering::Relaxed);
        let ready = found.ready && !draining;
        let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        Ok(Page::json(status, &json!({"ready": ready, "state": found.state.label()})))
    }

    fn status(&self) -> Value {
        let draining = self.process.draining.load(Ordering::Relaxed);
        let snapshot = self.process.snapshot.load();
        let now = self.process.clock.now();
        let readiness = &self.process.readiness;
        let ready = !draining && readiness.is_ready(now);
        status::document(&snapshot, &readiness.lists(), ready, readiness.started_at(), now)
    }

    async fn explain(&self, request: Request<Incoming>) -> Reply {
        let invalid = |what: String| Refusal::new(StatusCode::BAD_REQUEST, "INVALID_REQUEST", what);
        let content_type = request.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok());
        let media_type = content_type.and_then(|value| value.split(';').next()).unwrap_or("");
        // A form of a foreign web page cannot send this type without asking first.
        if !media_type.trim().eq_ignore_ascii_case(JSON) {
            let what = "the body must be sent as application/json";
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return Err(Refusal::new(status, "UNSUPPORTED_MEDIA_TYPE", what));
        }
        let body =
            tokio::time::timeout(HEAD_TIMEOUT, Limited::new(request.into_body(), BODY).collect());
        let body = match body.await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(_)) => {
                let what = format!("the body broke off or is longer than {BODY} bytes");
                let status = StatusCode::PAYLOAD_TOO_LARGE;
                return Err(Refusal::new(status, "PAYLOAD_TOO_LARGE", what));
            }
            Err(_) => {
                let what = "the body did not arrive in time";
                return Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "TIMEOUT", what));
            }
        };
        let question: Question = serde_json::from_slice(&body)
            .map_err(|error| invalid(format!("the body is not a question: {error}")))?;
        let snapshot = self.process.snapshot.load();
        let mut environments = snapshot.environments.iter();
        let environment = environments
            .find(|environment| environment.profile.name.as_str() == question.environment)
            .ok_or_else(|| unknown_environment(&question.environment))?;
        let content = environment.content.as_deref().ok_or_else(|| {
            let what = "the environment has no flags yet";
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "NOT_READY", what)
        })?;
        let now = self.process.clock.now();
        match explain::explain(content, &environment.profile, &question, now) {
            Ok(explanation) => Ok(Page::json(StatusCode::OK, &explanation)),
            Err(error @ explain::ExplainError::UnknownFlag(_)) => {
                Err(Refusal::new(StatusCode::NOT_FOUND, "UNKNOWN_FLAG", error.to_string()))
            }
            Err(error) => Err(invalid(error.to_string())),
        }
    }
}

fn unknown_environment(name: &str) -> Refusal {
    let what = format!("there is no environment named `{name}`");
    Refusal::new(StatusCode::NOT_FOUND, "UNKNOWN_ENVIRONMENT", what)
}

/// Serves the admin port until it is dropped.
pub async fn serve(listener: Listener, admin: Arc<Admin>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let socket = match listener.accept().await {
            Ok(socket) => socket,
            Err(error) => {
                warn!(%error, "cannot accept a connection on the admin port");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            admin.process.metrics.dropped_at_bound("admin_connections");
            continue;
        };
        let admin = Arc::clone(&admin);
        tokio::spawn(async move {
            match socket {
                Socket::Tcp(stream) => {
                    let local = stream.peer_addr().is_ok_and(|peer| access::is_loopback(peer.ip()));
                    converse(stream, admin, local).await;
                }
                Socket::Unix(stream) => converse(stream, admin, true).await,
            }
            drop(place);
        });
    }
}

async fn converse<S>(stream: S, admin: Arc<Admin>, local: bool)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| {
        let admin = Arc::clone(&admin);
        async move { Ok::<_, Infallible>(admin.answer(request, local).await) }
    });
    // Errors are the peer's: gone, or no HTTP.
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(patience::bounded(stream)), service)
        .await;
}
