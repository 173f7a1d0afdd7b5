//! HTTP/2 with prior knowledge, where the configuration asks for it.

use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use burgee::http::streams::StreamTimes;
use burgee::time::Stopwatch;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame};
use hyper::client::conn::http2::{self, SendRequest};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::support::rules::{document, is, off, on, when};
use crate::support::{Edge, Environment, PATIENCE, Setup};

fn setup() -> Setup {
    let rules = document(7, &[on("open"), when("acme-only", &is("company.id", "acme"))]);
    Setup::of(Environment::named("shop").holding(rules)).server("h2c = true")
}

/// Runs a client to its end, which must come in time.
fn client(test: impl Future<Output = ()>) {
    client_of(test);
}

/// The same, and gives what it has at the end.
fn client_of<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime
        .block_on(async { tokio::time::timeout(PATIENCE, test).await.expect("an answer in time") })
}

/// A body that comes as its sender sends it, and ends when that one is dropped.
struct Pieces(mpsc::UnboundedReceiver<Bytes>);

impl Pieces {
    fn new() -> (mpsc::UnboundedSender<Bytes>, Self) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (sender, Self(receiver))
    }

    fn whole(body: &str) -> Self {
        let (sender, pieces) = Self::new();
        if !body.is_empty() {
            sender.send(Bytes::copy_from_slice(body.as_bytes())).expect("the body is here");
        }
        pieces
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}

async fn connect(address: SocketAddr) -> SendRequest<Pieces> {
    connect_with(address, &mut http2::Builder::new(TokioExecutor::new())).await
}

async fn connect_with(
    address: SocketAddr,
    builder: &mut http2::Builder<TokioExecutor>,
) -> SendRequest<Pieces> {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let handshake = builder.handshake(TokioIo::new(stream));
    let (sender, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    sender
}

fn request(method: &str, target: &str, body: &str) -> Request<Pieces> {
    request_with(method, target, Pieces::whole(body))
}

fn request_with(method: &str, target: &str, body: Pieces) -> Request<Pieces> {
    let uri = format!("http://edge.example{target}");
    let request = Request::builder().method(method).uri(uri);
    let request = request.header("authorization", "Bearer pub_shop");
    request.body(body).unwrap()
}

async fn json_of(response: Response<hyper::body::Incoming>) -> (StatusCode, Value) {
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap())
}

#[test]
fn an_answer_is_the_same_as_by_http_1_1() {
    let edge = setup().start();
    client(async {
        let mut sender = connect(edge.public).await;
        for target in [
            "/features/evaluated?context.company.id=acme",
            "/features/enabled",
            "/features/evaluated?key=nope",
            "/features/evaluated?contextJson=nope",
            "/features",
            "/nope",
            "/health",
        ] {
            let old = edge.publishable().get(target);
            let new = sender.send_request(request("GET", target, "")).await.unwrap();
            assert_eq!(new.status().as_u16(), old.status);
            for (name, value) in &old.fields {
                let same = new.headers().get(name).map(|value| value.to_str().unwrap());
                assert!(name == "date" || same == Some(value), "{name} of {target}: {same:?}");
            }
            assert!(new.headers().get("connection").is_none());
            let body = new.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body, old.body);
        }
    });
}

#[test]
fn http_1_1_stays_on_the_same_port() {
    let edge = setup().start();
    let mut session = edge.publishable().connect();
    for _ in 0..3 {
        assert_eq!(session.get("/features/evaluated").keys(), ["open", "acme-only"]);
    }
    assert_eq!(session.post("/user", r#"{"userId":"u"}"#).status, 200);
}

#[test]
fn many_requests_run_on_one_connection_and_are_counted_one_by_one() {
    let edge = setup().start();
    client(async {
        let sender = connect(edge.public).await;
        let asking: Vec<_> = (0..100)
            .map(|n| {
                let mut sender = sender.clone();
                tokio::spawn(async move {
                    let company = if n % 2 == 0 { "acme" } else { "globex" };
                    let target = format!("/features/evaluated?context.company.id={company}");
                    let response = sender.send_request(request("GET", &target, "")).await.unwrap();
                    let (status, answer) = json_of(response).await;
                    assert_eq!(status, 200);
                    assert_eq!(answer["features"]["acme-only"]["isEnabled"], json!(n % 2 == 0));
                })
            })
            .collect();
        for asked in asking {
            asked.await.unwrap();
        }
    });
    let labels = [("dialect", "reflag"), ("route", "/features/evaluated"), ("status", "200")];
    assert_eq!(edge.metrics().count("burgee_http_requests_total", &labels), 100);
}

#[test]
fn bodies_are_received_within_the_same_bounds() {
    let edge = setup().limits("body = \"1KiB\"").start();
    client(async {
        let mut sender = connect(edge.public).await;
        let mut post = async |target: &str, body: &str| {
            json_of(sender.send_request(request("POST", target, body)).await.unwrap()).await
        };
        let (status, answer) = post("/bulk", r#"[{"type":"user"}]"#).await;
        assert_eq!((status, answer), (StatusCode::OK, json!({"success": true})));
        let (status, answer) = post("/bulk", "[]").await;
        assert_eq!(
            (status, &answer["error"]["code"]),
            (StatusCode::BAD_REQUEST, &json!("INVALID_REQUEST"))
        );
        let (status, _) = post("/bulk", &" ".repeat(1025)).await;
        assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
        let (status, _) = post("/features/evaluated", "").await;
        assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
        let (status, answer) = post("/feedback", "{}").await;
        assert_eq!(
            (status, &answer["error"]["code"]),
            (StatusCode::SERVICE_UNAVAILABLE, &json!("NOT_AVAILABLE"))
        );
        // The connection has outlived all of that.
        let (status, _) = post("/user", r#"{"userId":"u"}"#).await;
        assert_eq!(status, StatusCode::OK);
    });
}

#[test]
fn a_url_above_the_limit_and_an_unknown_key_are_refused_as_ever() {
    let edge = setup().start();
    client(async {
        let mut sender = connect(edge.public).await;
        let long = format!("/features/evaluated?x={}", "a".repeat(33 * 1024));
        let (status, answer) =
            json_of(sender.send_request(request("GET", &long, "")).await.unwrap()).await;
        assert_eq!((status, &answer["success"]), (StatusCode::URI_TOO_LONG, &json!(false)));
        let mut unknown = request("GET", "/features/evaluated", "");
        unknown.headers_mut().insert("authorization", "Bearer nobody".parse().unwrap());
        let (status, answer) = json_of(sender.send_request(unknown).await.unwrap()).await;
        assert_eq!(
            (status, &answer["error"]["code"]),
            (StatusCode::FORBIDDEN, &json!("INVALID_API_KEY"))
        );
    });
}

#[test]
fn a_list_of_fields_above_64_kib_is_431() {
    let edge = setup().start();
    client(async {
        let mut sender = connect(edge.public).await;
        let mut large = request("GET", "/features/evaluated", "");
        for n in 0..5 {
            let name: hyper::header::HeaderName = format!("x-{n}").parse().unwrap();
            large.headers_mut().insert(name, "y".repeat(15 * 1024).parse().unwrap());
        }
        let response = sender.send_request(large).await.unwrap();
        assert_eq!(response.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
        let good = sender.send_request(request("GET", "/features/evaluated", "")).await.unwrap();
        assert_eq!(good.status(), StatusCode::OK, "the connection stays");
    });
}

#[test]
fn a_body_that_stalls_is_408_while_other_requests_of_the_connection_are_answered() {
    let edge = setup()
        .limits("body_timeout = \"200ms\"\nbody = \"1KiB\"\nin_flight_body_bytes = \"1KiB\"")
        .start();
    client(async {
        let (kept, pieces) = Pieces::new();
        kept.send(Bytes::from_static(b"[")).unwrap();
        let sender = connect(edge.public).await;
        let mut stalling = sender.clone();
        let stalled = tokio::spawn(stalling.send_request(request_with("POST", "/bulk", pieces)));
        let mut asking = sender.clone();
        let mut answered = 0_u32;
        while !stalled.is_finished() {
            let get = request("GET", "/features/evaluated", "");
            assert_eq!(asking.send_request(get).await.unwrap().status(), 200);
            answered += 1;
        }
        assert!(answered > 0);
        let (status, answer) = json_of(stalled.await.unwrap().unwrap()).await;
        assert_eq!((status, &answer["success"]), (StatusCode::REQUEST_TIMEOUT, &json!(false)));
        // Its room is free again.
        let long = format!("[{{\"type\":\"user\"}}{}]", " ".repeat(900));
        let post = request("POST", "/bulk", &long);
        assert_eq!(asking.send_request(post).await.unwrap().status(), 200);
    });
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// Type and length of the next frame, which is read and dropped.
fn next_frame(stream: &mut TcpStream) -> std::io::Result<(u8, Vec<u8>)> {
    let mut head = [0; 9];
    stream.read_exact(&mut head)?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut payload = vec![0; length as usize];
    stream.read_exact(&mut payload)?;
    Ok((head[3], payload))
}

#[test]
fn a_connection_that_lives_on_pings_is_not_taken_for_one_that_drips_a_head() {
    let edge = setup().limits("header_timeout = \"200ms\"").start();
    let mut stream = TcpStream::connect(edge.public).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(PREFACE).unwrap();
    // Our SETTINGS are acknowledged, each PING is answered: longer than a head may take.
    let watch = Stopwatch::start();
    let mut pongs = 0_u32;
    while watch.elapsed() < Duration::from_millis(800) {
        stream.write_all(b"\0\0\x08\x06\0\0\0\0\0pingping").unwrap();
        while next_frame(&mut stream).expect("the connection stays").0 != 6 {}
        pongs += 1;
    }
    assert!(pongs > 1);
    // GET /health/liveness, in literals of HPACK.
    let mut fields = vec![0x82, 0x86, 0x04, 16];
    fields.extend_from_slice(b"/health/liveness");
    fields.extend_from_slice(&[0x01, 1, b'x']);
    let mut head = vec![0, 0, fields.len() as u8, 1, 0x05, 0, 0, 0, 1];
    head.extend_from_slice(&fields);
    stream.write_all(&head).unwrap();
    let answer = loop {
        let (kind, payload) = next_frame(&mut stream).expect("the connection stays");
        if kind == 1 {
            break payload;
        }
    };
    assert_eq!(answer[0], 0x88, "`:status: 200` of the static table");
}

#[test]
fn an_idle_connection_is_closed_after_its_time() {
    let edge = setup().server("keep_alive = \"200ms\"").start();
    let mut stream = TcpStream::connect(edge.public).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(PREFACE).unwrap();
    let end = loop {
        if let Err(error) = next_frame(&mut stream) {
            break error.kind();
        }
    };
    assert_ne!(end, std::io::ErrorKind::WouldBlock, "it stays open");
}

#[test]
fn without_the_setting_it_is_refused() {
    let edge = Edge::serving(document(1, &[on("open")]));
    let mut stream = TcpStream::connect(edge.public).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(PREFACE).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("the connection is closed");
    let is_http_1 = answer.starts_with(b"HTTP/1.1 4");
    assert!(answer.is_empty() || is_http_1, "{:?}", String::from_utf8_lossy(&answer));
    assert_eq!(edge.publishable().get("/features/evaluated").keys(), ["open"]);
}

#[test]
fn event_streams_share_a_connection_with_requests() {
    let edge = setup().drain("10s").start();
    let ended = client_of(async {
        let mut sender = connect(edge.public).await;
        let mut streams = Vec::new();
        for target in ["/sse/client", "/ofrep/v1/sse", "/sse/environments/pub_shop/stream"] {
            let response = sender.send_request(request("GET", target, "")).await.unwrap();
            assert_eq!(response.status(), StatusCode::OK);
            assert_eq!(response.headers()["content-type"], "text/event-stream");
            assert!(response.headers().get("connection").is_none());
            streams.push(response.into_body());
        }
        for stream in &mut streams {
            let first = stream.frame().await.unwrap().unwrap().into_data().unwrap();
            assert!(first.starts_with(b"id: 7\nevent: "), "{}", first.escape_ascii());
        }
        let response =
            sender.send_request(request("GET", "/features/evaluated", "")).await.unwrap();
        assert_eq!(json_of(response).await.0, StatusCode::OK);
        edge.publish("shop", &document(8, &[on("open")]));
        for stream in &mut streams {
            let next = stream.frame().await.unwrap().unwrap().into_data().unwrap();
            assert!(next.starts_with(b"id: 8\n"), "{}", next.escape_ascii());
        }
        let mut edge = edge;
        edge.begin_to_stop();
        for stream in &mut streams {
            let last = stream.frame().await.unwrap().unwrap().into_data().unwrap();
            assert!(last.starts_with(b"retry: "), "{}", last.escape_ascii());
            // What is left is its end, in order.
            let rest = stream.collect().await.unwrap().to_bytes();
            assert_eq!(rest, "");
        }
        edge
    });
    { ended }.until_stopped();
}

/// Heartbeats of about 150 ms, and 300 ms for what is not read.
fn in_a_hurry() -> StreamTimes {
    let (heartbeat, patience) = (Duration::from_millis(150), Duration::from_millis(300));
    StreamTimes { heartbeat, patience, ..StreamTimes::default() }
}

/// Others than those of the version before.
fn rules(version: u64) -> String {
    document(version, &[if version.is_multiple_of(2) { on("open") } else { off("open") }])
}

#[test]
fn a_stream_that_is_not_read_is_reset_and_the_others_of_its_connection_go_on() {
    const LAST: u64 = 1_000_000;
    let edge = setup().streams(in_a_hurry()).start();
    let public = edge.public;
    let (saw, seen) = std::sync::mpsc::channel();
    // On a thread of its own, so that it reads whatever this one waits for.
    let reading = std::thread::spawn(move || {
        client(async {
            // Room for one message, which the client gives again for what it reads.
            let mut builder = http2::Builder::new(TokioExecutor::new());
            let mut sender = connect_with(public, builder.initial_stream_window_size(128)).await;
            let mut listen = async || {
                let get = request("GET", "/sse/client", "");
                let response = sender.send_request(get).await.unwrap();
                assert_eq!(response.status(), StatusCode::OK);
                response.into_body()
            };
            let (unread, mut read) = (listen().await, listen().await);
            let mut last = 0;
            while last < LAST {
                let frame = read.frame().await.expect("it goes on").expect("it is not reset");
                let text = String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap();
                let id = text.lines().next().and_then(|line| line.strip_prefix("id: "));
                if let Some(id) = id {
                    last = id.parse().unwrap();
                    saw.send(last).unwrap();
                }
            }
            unread.collect().await.expect_err("it is reset");
            let get = request("GET", "/features/evaluated", "");
            assert_eq!(sender.send_request(get).await.unwrap().status(), StatusCode::OK);
        });
    });
    let dropped =
        || edge.metrics().count("burgee_bounded_dropped_total", &[("what", "slow_streams")]);
    let publish = |version| {
        edge.publish("shop", &rules(version));
        while seen.recv_timeout(PATIENCE).expect("the other one is told all the while") != version {
        }
    };
    assert_eq!(seen.recv_timeout(PATIENCE), Ok(7));
    let mut version = 7;
    while dropped() == 0 {
        version += 1;
        publish(version);
    }
    assert_eq!(edge.metrics().count("burgee_stream_clients", &[("dialect", "reflag")]), 1);
    publish(version + 1);
    // Another meaning than that, too.
    publish(if version.is_multiple_of(2) { LAST } else { LAST + 1 });
    reading.join().expect("all is as it should be");
    assert_eq!(dropped(), 1);
}

#[test]
fn a_stream_that_is_not_read_does_not_hold_up_the_end_of_the_process() {
    let edge = setup().drain("60s").start();
    let (edge, _kept) = client_of(async {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        let mut sender = connect_with(edge.public, builder.initial_stream_window_size(1)).await;
        let response = sender.send_request(request("GET", "/sse/client", "")).await.unwrap();
        let mut edge = edge;
        edge.begin_to_stop();
        let unread = response.into_body().collect().await;
        assert!(unread.is_err(), "it is reset");
        (edge, sender)
    });
    { edge }.until_stopped();
}

#[test]
fn a_connection_on_which_somebody_listens_is_not_idle() {
    let edge = setup().server("keep_alive = \"200ms\"").streams(in_a_hurry()).start();
    client(async {
        let mut sender = connect(edge.public).await;
        let response = sender.send_request(request("GET", "/sse/client", "")).await.unwrap();
        let mut stream = response.into_body();
        // Signs of life for much longer than a connection may be idle.
        for _ in 0..12 {
            stream.frame().await.expect("it goes on").expect("and is whole");
        }
        drop(stream);
        while sender.ready().await.is_ok() {
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn http_1_1_has_event_streams_on_the_same_port() {
    let edge = setup().start();
    let mut stream = edge.publishable().listen("/sse/client").expect("a stream");
    assert_eq!(stream.event().0, "7");
    edge.publish("shop", &document(8, &[on("open")]));
    assert_eq!(stream.event().0, "8");
    drop(stream);
    crate::support::until("it has left", || {
        (edge.metrics().find("burgee_stream_clients", &[]) == Some(0.0)).then_some(())
    });
}
