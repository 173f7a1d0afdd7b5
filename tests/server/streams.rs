//! Event streams: a change reaches whoever listens, in the words of its dialect
//! (reflag-runtime.md section 7, flagsmith.md section 15, ofrep.md section 6).

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use burgee::http::streams::StreamTimes;
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

use crate::support::events::{Block, Events};
use crate::support::rules::{document, off, on};
use crate::support::wire::{Arrival, Caller, Connection};
use crate::support::{Edge, Environment, PATIENCE, Setup, logged, until};

/// Long enough for whatever may come by mistake.
const SILENCE: Duration = Duration::from_millis(200);

const FLAGSMITH: &str = "/sse/environments/pub_shop/stream";

fn rules(version: u64) -> String {
    document(
        version,
        &[on("open"), if version.is_multiple_of(2) { on("beta") } else { off("beta") }],
    )
}

fn setup() -> Setup {
    Setup::of(Environment::named("shop").holding(rules(1)))
}

fn edge() -> Edge {
    setup().start()
}

/// Heartbeats of about 150 ms, and streams that end after a second.
fn in_a_hurry() -> StreamTimes {
    StreamTimes {
        heartbeat: Duration::from_millis(150),
        ages: [Duration::from_secs(1), Duration::from_millis(1_100)],
        patience: Duration::from_millis(300),
    }
}

fn listen(caller: &Caller, target: &str) -> Events {
    caller.listen(target).unwrap_or_else(|refusal| panic!("{refusal}"))
}

fn flags_updated(version: u64) -> (String, String, String) {
    let data = format!(r#"{{"name":"flags-updated","data":"{{\"flagStateVersion\":{version}}}"}}"#);
    (version.to_string(), "message".to_owned(), data)
}

#[test]
fn reflags_streams_tell_the_version_at_once_and_then_each_other() {
    let edge = edge();
    let mut server = listen(&edge.secret(), "/sse/server");
    let mut client = listen(&edge.anonymous(), "/sse/client?publishableKey=pub_shop&x=1");
    let mut by_secret_key = listen(&edge.secret(), "/sse/client");
    for version in 1..4 {
        for stream in [&mut server, &mut client, &mut by_secret_key] {
            assert_eq!(stream.event(), flags_updated(version));
        }
        // Whoever is told of it finds it.
        let evaluated = edge.publishable().get("/features/evaluated").json();
        assert_eq!(evaluated["flagStateVersion"], version);
        edge.publish("shop", &rules(version + 1));
    }
}

#[test]
fn a_document_that_means_the_same_is_no_news() {
    let edge = edge();
    let mut stream = listen(&edge.secret(), "/sse/server");
    assert_eq!(stream.event(), flags_updated(1));
    edge.replace_rules("shop", &format!("{}\n", rules(1)));
    assert!(stream.is_silent_for(SILENCE));
}

#[test]
fn nothing_on_the_way_may_hold_a_stream_back() {
    let edge = edge();
    for (caller, target) in [
        (edge.publishable(), "/sse/client"),
        (edge.anonymous(), FLAGSMITH),
        (edge.publishable(), "/ofrep/v1/sse"),
    ] {
        let caller = caller.with("Accept-Encoding", "gzip").with("Origin", "https://shop.example");
        let head = listen(&caller, target).head;
        assert_eq!(head.header("content-type"), Some("text/event-stream"));
        assert_eq!(head.header("cache-control"), Some("no-cache, no-transform"));
        assert_eq!(head.header("x-accel-buffering"), Some("no"));
        assert_eq!(head.header("content-encoding"), None);
        assert_eq!(head.header("access-control-allow-origin"), Some("*"));
        assert!(head.header("date").is_some());
        let only_head = caller.ask("HEAD", target, "");
        assert_eq!(
            (only_head.status, only_head.header("content-type")),
            (200, Some("text/event-stream"))
        );
        let posted = caller.post(target, "");
        assert_eq!((posted.status, posted.header("allow")), (405, Some("GET, HEAD")));
    }
    let head = listen(&edge.secret(), "/sse/server").head;
    assert_eq!(head.header("access-control-allow-origin"), None);
}

#[test]
fn only_whoever_has_the_key_may_listen() {
    let edge = edge();
    let refused = |caller: Caller, target: &str| caller.listen(target).expect_err("a refusal");
    refused(edge.anonymous(), "/sse/server").assert_error(403, "INVALID_API_KEY");
    refused(edge.anonymous().bearer("nope"), "/sse/client").assert_error(403, "INVALID_API_KEY");
    refused(edge.publishable(), "/sse/server").assert_error(403, "FORBIDDEN_KEY");
    let in_url = "/sse/client?publishableKey=sec_shop_0123456789";
    refused(edge.anonymous(), in_url).assert_error(403, "FORBIDDEN_KEY");
    let unknown = refused(edge.anonymous(), "/sse/environments/nope/stream");
    assert_eq!((unknown.status, &unknown.json()["status"]), (404, &json!("not_found")));
    let in_path = refused(edge.anonymous(), "/sse/environments/sec_shop_0123456789/stream/");
    assert_eq!(in_path.status, 401);
    let unknown = refused(edge.anonymous(), "/ofrep/v1/sse?publishableKey=nope");
    assert_eq!((unknown.status, &unknown.json()["errorCode"]), (401, &json!("GENERAL")));
    let in_url = refused(edge.anonymous(), "/ofrep/v1/sse?publishableKey=sec_shop_0123456789");
    assert_eq!(in_url.status, 403);
    assert!(logged().contains("rotate the key of environment shop"));
    assert!(!logged().contains("sec_shop_0123456789"));
    assert!(!edge.admin().get("/metrics").text().contains("sec_shop"));
}

#[test]
fn a_key_in_a_path_may_be_written_with_escapes() {
    let rules = document(1, &[on("open")]);
    let edge = Setup::of(Environment::named("eu.shop").holding(rules)).start();
    for key in ["pub_eu.shop", "pub%5Feu%2eshop", "pub_eu%2Eshop"] {
        let mut stream = listen(&edge.anonymous(), &format!("/sse/environments/{key}/stream"));
        assert_eq!(stream.event().1, "environment_updated");
    }
    // It is decoded once, and a secret one is none that may stand there, however it is written.
    for (key, status) in [("pub%255Feu.shop", 404), ("sec%5Feu.shop_0123456789", 401)] {
        let refusal = edge.anonymous().listen(&format!("/sse/environments/{key}/stream"));
        assert_eq!(refusal.expect_err("a refusal").status, status);
    }
    assert!(logged().contains("rotate the key of environment eu.shop"));
}

#[test]
fn whoever_listens_by_a_key_that_only_the_document_names_is_hinted_at_once() {
    let document = flagsmith("key_of_document", "2026-05-01T00:00:00+00:00", true);
    for (environment, named) in [
        (Environment::named("mall").format("flagsmith").holding(document), "key_of_document"),
        (Environment::named("stall").holding(rules(1)), "burgee:stall"),
    ] {
        let edge = Setup::of(environment).start();
        // Others may ask by whatever key.
        for key in ["nope", named, named] {
            let refusal = edge.anonymous().listen(&format!("/sse/environments/{key}/stream"));
            assert_eq!(refusal.expect_err("a refusal").status, 404);
        }
        let written = logged();
        let place = if named == "key_of_document" { "=mall" } else { "=stall" };
        let hints = written
            .lines()
            .filter(|line| {
                line.contains(place) && line.contains("that the environment document names")
            })
            .count();
        assert_eq!(hints, 1, "{written}");
    }
    assert!(!logged().contains("key_of_document"), "no key is logged");
}

#[test]
fn without_rules_it_says_so_and_is_not_silent() {
    let edge = Setup::of(Environment::named("shop")).start();
    for (caller, target) in [
        (edge.secret(), "/sse/server"),
        (edge.publishable(), "/sse/client"),
        (edge.anonymous(), FLAGSMITH),
        (edge.publishable(), "/ofrep/v1/sse"),
    ] {
        let refusal = caller.listen(target).expect_err("a refusal");
        assert_eq!((refusal.status, refusal.header("retry-after")), (503, Some("5")), "{target}");
    }
}

fn moment(event: &(String, String, String)) -> f64 {
    assert_eq!(event.1, "environment_updated");
    let data: Value = serde_json::from_str(&event.2).expect("JSON");
    data["updated_at"].as_f64().expect("seconds")
}

/// A Flagsmith environment with one flag.
fn flagsmith(key: &str, updated_at: &str, enabled: bool) -> String {
    json!({
        "id": 1, "api_key": key, "updated_at": updated_at,
        "project": {"id": 1, "name": "p", "segments": [], "hide_disabled_flags": false},
        "feature_states": [{
            "feature": {"id": 1, "name": "beta", "type": "STANDARD"}, "enabled": enabled,
            "feature_state_value": null, "multivariate_feature_state_values": [],
            "django_id": 1, "featurestate_uuid": "e2a1b0e8-0000-4000-8000-000000000001"
        }],
        "identity_overrides": []
    })
    .to_string()
}

#[test]
fn flagsmiths_clients_are_told_a_later_moment_for_each_change() {
    let date = "2026-05-01T00:00:00.250000+00:00";
    let shop = Environment::named("shop").format("flagsmith").holding(flagsmith("k", date, true));
    let edge = Setup::of(shop).start();
    let mut stream = listen(&edge.anonymous(), FLAGSMITH);
    let flags = edge.anonymous().with("X-Environment-Key", "pub_shop").get("/api/v1/flags/");
    let held: f64 = flags.header("x-flagsmith-document-updated-at").unwrap().parse().unwrap();
    let first = moment(&stream.event());
    assert!((first - held).abs() < 1e-9, "what the client has is nothing new to it");
    // Another meaning, and the same date: the client would think that it has it.
    edge.publish("shop", &flagsmith("k", date, false));
    let second = moment(&stream.event());
    assert!(second > held && second < held + 0.001, "{second} after {held}");
    edge.publish("shop", &flagsmith("k", "2026-05-02T00:00:00+00:00", true));
    let third = moment(&stream.event());
    assert!((third - 1_777_680_000.0).abs() < 1e-6, "{third}");
}

#[test]
fn streams_of_rules_of_another_vendor_speak_their_clients_words() {
    let edge = edge();
    let mut stream = listen(&edge.anonymous(), FLAGSMITH);
    let first = moment(&stream.event());
    edge.publish("shop", &rules(2));
    assert!(moment(&stream.event()) > first);
    let mut stream = listen(&edge.publishable(), "/ofrep/v1/sse");
    let (id, name, data) = stream.event();
    assert_eq!((&*id, &*name), ("2", "message"));
    let data: Value = serde_json::from_str(&data).expect("JSON");
    assert_eq!((&data["type"], &data["etag"]), (&json!("refetchEvaluation"), &json!("2")));
    assert!(data["lastModified"].is_u64() && data["jitterMs"] == 0);
}

#[test]
fn ofreps_clients_are_told_where_to_listen_and_what_they_have_missed() {
    let edge = setup().server("base_path = \"/edge\"").start();
    let bulk = |caller: &Caller| caller.post("/edge/ofrep/v1/evaluate/flags", r#"{"context":{}}"#);
    let answer = bulk(&edge.publishable());
    let streams = answer.json()["eventStreams"].clone();
    assert_eq!(
        streams,
        json!([{
            "type": "sse", "inactivityDelaySec": 120,
            "endpoint": {"requestUri": "/edge/ofrep/v1/sse?publishableKey=pub_shop"}
        }])
    );
    assert_eq!(bulk(&edge.secret()).json().get("eventStreams"), None, "no secret key in a URL");
    let target = streams[0]["endpoint"]["requestUri"].as_str().unwrap();
    let mut first = listen(&edge.anonymous(), target);
    assert_eq!(first.event().0, "1");
    let again = edge.anonymous().with("Last-Event-ID", "1");
    let mut up_to_date = listen(&again, target);
    assert!(up_to_date.is_silent_for(SILENCE), "it has missed nothing");
    let in_query = listen(&edge.anonymous(), &format!("{target}&lastEventId=1"));
    assert!({ in_query }.is_silent_for(SILENCE), "nor has this one");
    edge.publish("shop", &rules(2));
    assert_eq!(up_to_date.event().0, "2");
    assert_eq!(listen(&again, target).event().0, "2", "it has missed this");
    // The tag stays where nothing changed for this client, and the URL with it.
    let etag = bulk(&edge.publishable()).etag();
    let held = edge.publishable().with("If-None-Match", &etag);
    assert_eq!(bulk(&held).status, 304);
    // What is no version is ignored; another version than this one is no word of what the client has.
    for (told, status) in [("2", 304), ("cfg-1", 304), ("", 304), ("1", 200), ("9999999", 200)] {
        let target = format!("/edge/ofrep/v1/evaluate/flags?flagConfigEtag={told}");
        let answer = held.post(&target, r#"{"context":{}}"#);
        assert_eq!((answer.status, answer.etag()), (status, etag.clone()), "{told}");
    }
}

#[test]
fn an_edge_that_is_behind_waits_for_what_the_client_was_told() {
    let edge = edge();
    let mut asking = edge.publishable().connect().connection;
    let target = "/ofrep/v1/evaluate/flags?flagConfigEtag=2&flagConfigLastModified=7";
    asking.write(edge.publishable().request("POST", target, br#"{"context":{}}"#));
    assert_eq!(asking.wait(SILENCE), Arrival::Silence, "it has another version");
    edge.replace_rules("shop", &rules(2));
    assert_eq!(asking.reply_to("POST").header("burgee-version"), Some("2"));
}

#[test]
fn where_no_streams_are_allowed_none_are_advertised() {
    let edge = setup().limits("streams = 0").start();
    let answer = edge.publishable().post("/ofrep/v1/evaluate/flags", r#"{"context":{}}"#);
    assert_eq!(answer.json().get("eventStreams"), None);
    assert_eq!(edge.secret().listen("/sse/server").expect_err("a refusal").status, 503);
}

#[test]
fn a_full_house_refuses_the_next_and_keeps_whom_it_has() {
    let edge = setup()
        .limits("streams = 3\nstreams_per_environment = 2")
        .and(Environment::named("other").holding(rules(1)))
        .start();
    let mut first = listen(&edge.secret(), "/sse/server");
    let _second = listen(&edge.anonymous(), FLAGSMITH);
    let refusal = edge.secret().listen("/sse/server").expect_err("a refusal");
    refusal.assert_error(503, "OVERLOADED");
    let seconds: u64 = refusal.header("retry-after").unwrap().parse().unwrap();
    assert!((5..30).contains(&seconds));
    let only_head = edge.secret().ask("HEAD", "/sse/server", "");
    assert_eq!(only_head.status, 503, "as of what it is the head of");
    let third = listen(&edge.publishable_of("other"), "/ofrep/v1/sse");
    let refusal = edge.publishable_of("other").listen("/ofrep/v1/sse").expect_err("a refusal");
    assert_eq!(refusal.status, 503);
    let metrics = edge.metrics();
    let clients = |dialect| metrics.count("burgee_stream_clients", &[("dialect", dialect)]);
    assert_eq!((clients("reflag"), clients("flagsmith"), clients("ofrep")), (1, 1, 1));
    let dropped = |what| metrics.count("burgee_bounded_dropped_total", &[("what", what)]);
    assert_eq!((dropped("streams"), dropped("streams_per_environment")), (1, 2));
    drop(third);
    until("a place", || edge.secret_of("other").listen("/sse/server").ok());
    assert_eq!(first.event(), flags_updated(1));
    edge.publish("shop", &rules(2));
    assert_eq!(first.event(), flags_updated(2));
}

#[test]
fn streams_are_counted_when_they_open_and_not_as_long_requests() {
    let edge = edge();
    let _streams = [listen(&edge.anonymous(), FLAGSMITH), listen(&edge.anonymous(), FLAGSMITH)];
    let labels = [("dialect", "flagsmith"), ("route", "/sse/environments/{key}/stream")];
    let metrics = edge.metrics();
    assert_eq!(metrics.count("burgee_http_requests_total", &labels), 2);
    assert_eq!(metrics.find("burgee_http_request_duration_seconds_count", &labels), None);
}

#[test]
fn an_idle_stream_shows_that_it_lives_and_ends_when_it_is_old() {
    let edge = setup().streams(in_a_hurry()).start();
    for target in ["/sse/client", "/ofrep/v1/sse"] {
        let blocks = listen(&edge.publishable(), target).until_end();
        let (last, before) = blocks.split_last().expect("blocks");
        assert!(matches!(last, Block::Retry(1_000..5_000)), "{last:?}");
        let beats = before.iter().filter(|block| **block == Block::Comment).count();
        assert!((2..=8).contains(&beats), "{beats}");
    }
    let clients = || edge.metrics().find("burgee_stream_clients", &[]);
    until("nobody listens any more", || (clients() == Some(0.0)).then_some(()));
}

#[test]
fn a_client_of_http_1_0_gets_its_stream_without_chunks() {
    let edge = setup().streams(in_a_hurry()).start();
    let mut stream = Events::by_http_1_0(edge.public, FLAGSMITH);
    assert_eq!(stream.head.header("transfer-encoding"), None);
    assert_eq!(stream.event().1, "environment_updated");
    assert!(matches!(stream.until_end().last(), Some(Block::Retry(_))));
}

#[test]
fn answers_before_a_stream_on_the_same_connection_are_whole() {
    let edge = edge();
    let mut connection = Connection::open(edge.public);
    let (before, stream) = (
        edge.publishable().request("GET", "/features/evaluated", b""),
        edge.secret().request("GET", "/sse/server", b""),
    );
    connection.write([before.clone(), before, stream].concat());
    for _ in 0..2 {
        assert_eq!(connection.reply_to("GET").keys(), ["open", "beta"]);
    }
    let mut stream = Events::begin(connection).expect("a stream");
    assert_eq!(stream.event(), flags_updated(1));
}

/// Has one client listen that reads nothing, and one that reads, until the first is dropped. Gives
/// what had been sent to it.
fn dropped_for_its_silence<S: Read + Write>(edge: &Edge, connect: impl Fn() -> S) -> Vec<u8> {
    let open = || {
        let mut stream = connect();
        let request = edge.secret().request("GET", "/sse/server", b"");
        stream.write_all(&request).expect("the server reads");
        stream
    };
    let (mut silent, reader) = (open(), open());
    let metrics = || {
        let metrics = edge.metrics();
        let dropped = metrics.count("burgee_bounded_dropped_total", &[("what", "slow_streams")]);
        (dropped, metrics.count("burgee_stream_clients", &[]))
    };
    until("two listen", || (metrics() == (0, 2)).then_some(()));
    let mut lines = BufReader::new(reader).lines().map(|line| line.expect("it is kept"));
    let mut version = 1;
    until("one is dropped", || {
        version += 1;
        edge.publish("shop", &rules(version));
        let told = format!("id: {version}");
        assert!(lines.any(|line| line == told), "the other one is told all the while");
        (metrics() == (1, 1)).then_some(())
    });
    let mut unread = Vec::new();
    // It may be told of the end in either way.
    let _ = silent.read_to_end(&mut unread);
    assert!(unread.starts_with(b"HTTP/1.1 200 OK\r\n"));
    unread
}

fn in_a_hurry_for_long() -> StreamTimes {
    let patience = Duration::from_secs(1);
    StreamTimes { ages: StreamTimes::default().ages, patience, ..in_a_hurry() }
}

#[test]
fn whoever_reads_nothing_is_dropped_and_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("edge.sock");
    let edge = setup().listen_on_socket(&socket).streams(in_a_hurry_for_long()).start();
    let sent = dropped_for_its_silence(&edge, || {
        let stream = UnixStream::connect(&socket).expect("the server listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket takes options");
        stream
    });
    assert!(sent.len() < 4_000, "{} bytes were held for it", sent.len());
}

/// A connection whose client's side takes about two kilobytes that are not read.
fn with_little_room(address: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(2_048).expect("a socket takes options");
    socket.set_read_timeout(Some(PATIENCE)).expect("a socket takes options");
    socket.connect(&address.into()).expect("the server listens");
    socket.into()
}

#[test]
fn over_tcp_no_more_is_held_for_one_that_reads_nothing_than_a_message() {
    let edge = setup().streams(in_a_hurry_for_long()).start();
    let sent = dropped_for_its_silence(&edge, || with_little_room(edge.public));
    assert!(sent.len() < 4_000, "{} bytes were held for it", sent.len());
}

#[test]
fn signs_of_life_that_nobody_reads_are_not_gathered_either() {
    // None of its own: only the kernel's side of the client tells who reads.
    let times = StreamTimes { heartbeat: Duration::from_millis(15), ..in_a_hurry_for_long() };
    let edge = setup().streams(times).start();
    let mut silent = with_little_room(edge.public);
    silent.write_all(&edge.secret().request("GET", "/sse/server", b"")).expect("a reader");
    let dropped =
        || edge.metrics().count("burgee_bounded_dropped_total", &[("what", "slow_streams")]);
    until("it is dropped", || (dropped() == 1).then_some(()));
    let mut unread = Vec::new();
    let _ = silent.read_to_end(&mut unread);
    assert!(unread.len() < 4_000, "{} bytes were held for it", unread.len());
}

#[test]
fn whoever_reads_nothing_does_not_hold_up_the_end_of_the_process() {
    let edge = setup().drain("60s").start();
    let mut silent = with_little_room(edge.public);
    silent.write_all(&edge.secret().request("GET", "/sse/server", b"")).expect("a reader");
    let mut reader = listen(&edge.secret(), "/sse/server");
    for version in 1..40 {
        edge.publish("shop", &rules(version + 1));
        while reader.event() != flags_updated(version) {}
    }
    let mut edge = edge;
    edge.begin_to_stop();
    edge.until_stopped();
    drop(silent);
}

#[test]
fn a_client_that_leaves_gives_its_place_back() {
    let edge = edge();
    let stream = listen(&edge.secret(), "/sse/server");
    let clients = || edge.metrics().find("burgee_stream_clients", &[("dialect", "reflag")]);
    assert_eq!(clients(), Some(1.0));
    drop(stream);
    until("it has left", || (clients() == Some(0.0)).then_some(()));
}

#[test]
fn a_stream_ends_with_its_key_and_others_stay() {
    let date = "2026-05-01T00:00:00+00:00";
    let shop = Environment::named("shop").format("flagsmith").with_the_documents_key();
    let edge = Setup::of(shop.holding(flagsmith("old_key", date, true))).start();
    let mut of_old_key = listen(&edge.anonymous(), "/sse/environments/old_key/stream");
    let mut of_secret_key = listen(&edge.secret(), "/sse/server");
    let _ = (of_old_key.event(), of_secret_key.event());
    edge.publish("shop", &flagsmith("new_key", date, false));
    assert!(matches!(of_old_key.until_end()[..], [Block::Retry(_)]));
    assert_eq!(of_secret_key.event().1, "message");
    let again = edge.anonymous().listen("/sse/environments/old_key/stream");
    assert_eq!(again.expect_err("a refusal").status, 404);
    listen(&edge.anonymous(), "/sse/environments/new_key/stream");
}

#[test]
fn streams_end_in_order_when_the_process_does() {
    let mut edge = setup().drain("10s").start();
    let mut streams: Vec<_> = (0..20).map(|_| listen(&edge.secret(), "/sse/server")).collect();
    for stream in &mut streams {
        assert_eq!(stream.event(), flags_updated(1));
    }
    edge.begin_to_stop();
    for stream in streams {
        assert!(matches!(stream.until_end()[..], [Block::Retry(1_000..5_000)]));
    }
    edge.until_stopped();
}

#[test]
fn a_thousand_changes_cost_a_client_no_more_than_those_it_reads() {
    let edge = edge();
    let mut stream = listen(&edge.secret(), "/sse/server");
    for version in 2..=300 {
        edge.publish("shop", &rules(version));
    }
    let mut last = 0;
    while last < 300 {
        let version: u64 = stream.event().0.parse().expect("a version");
        assert!(version > last, "{version} after {last}");
        last = version;
    }
    assert!(stream.is_silent_for(SILENCE));
}
