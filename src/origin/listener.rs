//! The origin's port: management calls and the SDK paths of its environments.
//!
//! Private by default, like the admin port, and not on the way of requests for flags: those go to an
//! edge. Everything needs a key, save the description of the port, preflights, and the words that a
//! path is not there, so a web page that a visitor's browser was lured to has nothing to gain here,
//! whatever `Host` it sends.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, ETAG, HeaderValue, RETRY_AFTER,
    WWW_AUTHENTICATE,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::Semaphore;
use tracing::warn;

use super::api::Api;
use super::api::routes::{self, Found};
use super::api::{Answer, Answered, Refusal};
use super::bodies::{Bodies, LONGEST, NoBody};
use super::counting::{self, Note};
use super::demo::{self, DemoAccess};
use super::openapi;
use super::runtime_api::RuntimeApi;
use super::store::{StoreError, Stored};
use super::streams::{AnyBody, Hangup, TOO_MANY};
use crate::http::connection::Socket;
use crate::http::{FixedText, Listener, patience};
use crate::snapshot::VERSION;
use crate::telemetry::metrics::{Metrics, OriginMetrics};
use crate::time::Stopwatch;

/// Open connections: people, command lines, and a few edges and servers of other processes.
pub(crate) const CONNECTIONS: usize = 256;
/// Longest head.
pub(crate) const HEAD: usize = 64 * 1024;
/// Longest wait for a head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// What the port answers from.
#[derive(Debug)]
pub struct Port {
    api: Api,
    runtime: RuntimeApi,
    bodies: Bodies,
    metrics: OriginMetrics,
}

impl Port {
    /// Answers from an origin's API; counts what it does among `metrics`, once.
    pub fn new(api: Api, metrics: &Metrics) -> Result<Self, prometheus::Error> {
        let metrics = counting::open(metrics, api.store.path())?;
        api.store.count_in(metrics.clone());
        let runtime = RuntimeApi::new(api.store.clone());
        Ok(Self { api, runtime, bodies: Bodies::new(), metrics })
    }

    /// The demo's app, made where there is none, and keys to try it with.
    pub async fn open_demo(&self) -> Stored<DemoAccess> {
        demo::open(&self.api.store).await
    }

    /// Answers a request, and counts it by its route.
    async fn serve(&self, request: Request<Incoming>) -> Response<AnyBody> {
        let watch = Stopwatch::start();
        let route = counting::route_of(request.uri().path());
        let mut response = self.answer(request).await;
        let Note { reason, waited, is_stream } = Note::take(&mut response);
        if is_stream && response.status() == StatusCode::OK {
            self.metrics.opened(route);
            return response;
        }
        if reason == Some(TOO_MANY) {
            self.metrics.stream_dropped();
        }
        let took = watch.elapsed().saturating_sub(waited);
        self.metrics.answered(route, response.status().as_u16(), reason, took);
        response
    }

    /// Ends all event streams.
    pub fn end_streams(&self) {
        self.runtime.end_streams();
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<AnyBody> {
        let path = request.uri().path();
        if let Some(text) = openapi::find(path) {
            describe(text, &request).map(Either::Left)
        } else if path.starts_with("/api") {
            self.manage(request).await.map(Either::Left)
        } else {
            self.runtime.answer(request, &self.bodies).await
        }
    }

    async fn manage(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let method = if head.method == Method::HEAD { &Method::GET } else { &head.method };
        let path = head.uri.path();
        let for_command_line = matches!(
            routes::find(method.as_str(), path),
            Found::Route(route, _) if route.operation.is_command_lines()
        );
        let admitted = self.api.admit(method, path, head.uri.query(), &head.headers).await;
        let unread = admitted.is_err();
        let refuse = |refusal| Answered { answer: Err(refusal), version: None };
        let answered = match admitted {
            Err(refusal) => refuse(refusal),
            Ok(call) => {
                match self.bodies.receive(body, LONGEST).await {
                    // The room is held until the answer is there.
                    Ok(body) => self.api.answer(call, body.bytes.clone()).await,
                    Err(why) => refuse(refused(why)),
                }
            }
        };
        let mut response = respond(answered.answer, for_command_line, unread);
        if let Some(version) = answered.version {
            response.headers_mut().insert(VERSION, HeaderValue::from(version));
        }
        response
    }
}

/// What this port answers, for whoever asks.
fn describe(text: FixedText, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return respond(Err(Refusal::method("GET, HEAD".to_owned())), false, false);
    }
    let sent = text.send(request.headers());
    let mut response = Response::new(Full::new(Bytes::new()));
    let fields = response.headers_mut();
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    fields.insert(ETAG, sent.tag);
    match sent.body {
        Some(body) => {
            fields.insert(CONTENT_TYPE, HeaderValue::from_static(text.content_type));
            *response.body_mut() = Full::new(body);
        }
        None => *response.status_mut() = StatusCode::NOT_MODIFIED,
    }
    response
}

fn refused(why: NoBody) -> Refusal {
    match why {
        NoBody::TooLong => Refusal::too_large(LONGEST),
        NoBody::Broken => Refusal::issue("", "The body broke off"),
        NoBody::Late => Refusal::timeout(),
        NoBody::NoRoom => StoreError::Busy.into(),
    }
}

fn respond(outcome: Answer, for_command_line: bool, unread: bool) -> Response<Full<Bytes>> {
    let mut note = Note::default();
    let (status, body, allowed) = match outcome {
        Ok(body) => (200, body, None),
        Err(refusal) => {
            note.reason = Some(refusal.reason);
            (refusal.status, refusal.body(for_command_line), refusal.allowed)
        }
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    note.give(&mut response);
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    *response.status_mut() = status;
    let fields = response.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status == StatusCode::UNAUTHORIZED {
        fields.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if status == StatusCode::SERVICE_UNAVAILABLE {
        fields.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    if let Some(allowed) = allowed.and_then(|allowed| HeaderValue::from_str(&allowed).ok()) {
        fields.insert(ALLOW, allowed);
    }
    // Whoever may not call is not read to the end.
    if unread || status == StatusCode::PAYLOAD_TOO_LARGE {
        fields.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Serves the origin's port until it is dropped.
pub async fn serve(listener: Listener, port: Arc<Port>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let socket = match listener.accept().await {
            Ok(socket) => socket,
            Err(error) => {
                warn!(%error, "cannot accept a connection on the origin's port");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            port.metrics.connection_dropped();
            continue;
        };
        let port = Arc::clone(&port);
        tokio::spawn(async move {
            match socket {
                Socket::Tcp(stream) => converse(stream, port).await,
                Socket::Unix(stream) => converse(stream, port).await,
            }
            drop(place);
        });
    }
}

async fn converse<S>(stream: S, port: Arc<Port>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let hangup = Hangup::default();
    let given_up = Arc::clone(&hangup.0);
    let service = service_fn(move |mut request: Request<Incoming>| {
        let port = Arc::clone(&port);
        request.extensions_mut().insert(hangup.clone());
        async move { Ok::<_, Infallible>(port.serve(request).await) }
    });
    let conversation = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD)
        .serve_connection(TokioIo::new(patience::bounded(stream)), service);
    tokio::select! {
        // Errors are the peer's: gone, or no HTTP.
        _ = conversation => {}
        // What is written waits for somebody who does not read.
        () = given_up.notified() => {}
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::time::Instant;

    use super::*;
    use crate::origin::store::Store;
    use crate::time::Clock;

    #[tokio::test(start_paused = true)]
    async fn who_leaves_its_answers_unread_is_let_go() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("origin.db"), Clock::System).unwrap();
        let metrics = Metrics::new(&[], 1, 1).unwrap();
        let port = Arc::new(Port::new(Api::new(store, false), &metrics).unwrap());
        let (mut client, server) = tokio::io::duplex(4_096);
        let since = Instant::now();
        let conversation = tokio::spawn(converse(server, port));
        for _ in 0..60 {
            let asked = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n";
            // It reads no more than it has answered.
            let sent = tokio::time::timeout(Duration::from_secs(1), client.write_all(asked)).await;
            if sent.is_err() {
                break;
            }
        }
        let end = tokio::time::timeout(3 * patience::WRITE_TIMEOUT, conversation).await;
        end.expect("it is let go").unwrap();
        assert!(since.elapsed() >= patience::WRITE_TIMEOUT, "not at once");
        drop(client);
    }
}
