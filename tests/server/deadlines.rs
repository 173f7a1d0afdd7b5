//! Slow clients, idle clients and too many of them.

use std::time::Duration;

use burgee::time::Stopwatch;

use crate::support::rules::{document, on};
use crate::support::wire::{Arrival, Connection};
use crate::support::{Edge, Environment, PATIENCE, Setup, until};

const SHORT: Duration = Duration::from_millis(200);

fn setup() -> Setup {
    Setup::of(Environment::named("shop").holding(document(1, &[on("open")])))
}

/// Heads and bodies may take 200 ms, connections may stay idle for long.
fn hurried() -> Edge {
    setup().limits("header_timeout = \"200ms\"\nbody_timeout = \"200ms\"").start()
}

const POST: &str = "POST /bulk HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer pub_shop\r\n";

/// Writes byte after byte until the server says something or closes; gives how long that took.
fn drip(connection: &mut Connection, bytes: &[u8]) -> (Arrival, Duration) {
    let watch = Stopwatch::start();
    for byte in bytes.iter().cycle() {
        connection.write([*byte]);
        let arrival = connection.wait(Duration::from_millis(10));
        if arrival != Arrival::Silence {
            return (arrival, watch.elapsed());
        }
        assert!(watch.elapsed() < PATIENCE, "the server waits for ever");
    }
    unreachable!("the bytes never end")
}

#[test]
fn a_head_that_comes_in_drips_ends_the_connection() {
    let edge = hurried();
    let mut connection = Connection::open(edge.public);
    connection.write("GET /features/evaluated HTTP/1.1\r\n");
    let (arrival, took) = drip(&mut connection, b"X-Drip: y\r\n");
    assert_eq!(arrival, Arrival::End);
    assert!(took > SHORT / 2, "a head may take a moment: {took:?}");
}

#[test]
fn a_head_that_stops_halfway_ends_the_connection() {
    let edge = hurried();
    for start in ["G", "GET / HTTP/1.1\r\nHost: x\r\n", "\r\n"] {
        let mut connection = Connection::open(edge.public);
        connection.write(start);
        assert_eq!(connection.wait(PATIENCE), Arrival::End, "{start:?}");
    }
}

#[test]
fn a_second_head_on_a_connection_has_the_same_time() {
    let edge = hurried();
    let mut session = edge.publishable().connect();
    assert_eq!(session.get("/features/evaluated").status, 200);
    session.connection.write("GET /features/evaluated HT");
    session.connection.expect_end();
}

#[test]
fn a_body_that_stops_halfway_is_408_and_ends_the_connection() {
    let edge = hurried();
    let watch = Stopwatch::start();
    let mut connection = Connection::open(edge.public);
    connection.write(format!("{POST}Content-Length: 100\r\n\r\n[{{\"type\""));
    let reply = connection.reply_to("POST");
    reply.assert_error(408, "INVALID_REQUEST");
    assert_eq!(reply.header("connection"), Some("close"));
    assert!(watch.elapsed() > SHORT / 2, "a body may take a moment");
    connection.expect_end();
    let labels = [("dialect", "reflag"), ("reason", "body_timeout")];
    assert_eq!(edge.metrics().count("burgee_rejections_total", &labels), 1);
}

#[test]
fn a_body_that_comes_in_drips_is_408_too() {
    let edge = hurried();
    let mut connection = Connection::open(edge.public);
    connection.write(format!("{POST}Content-Length: 100000\r\n\r\n["));
    assert_eq!(drip(&mut connection, b" ").0, Arrival::Bytes);
    connection.reply_to("POST").assert_error(408, "INVALID_REQUEST");

    let mut connection = Connection::open(edge.public);
    connection.write(format!("{POST}Transfer-Encoding: chunked\r\n\r\n"));
    assert_eq!(drip(&mut connection, b"1\r\n \r\n").0, Arrival::Bytes);
    connection.reply_to("POST").assert_error(408, "INVALID_REQUEST");
}

#[test]
fn a_body_that_never_starts_is_408_too() {
    let edge = hurried();
    let mut connection = Connection::open(edge.public);
    connection.write(format!("{POST}Transfer-Encoding: chunked\r\n\r\n"));
    connection.reply_to("POST").assert_error(408, "INVALID_REQUEST");
    connection.expect_end();
}

#[test]
fn others_are_answered_while_slow_clients_run_into_their_deadlines() {
    let edge = hurried();
    let mut slow: Vec<_> = (0..20)
        .map(|n| {
            let mut connection = Connection::open(edge.public);
            match n % 2 {
                0 => connection.write("GET / HT"),
                _ => connection.write(format!("{POST}Content-Length: 9\r\n\r\n[")),
            }
            connection
        })
        .collect();
    let mut session = edge.publishable().connect();
    let watch = Stopwatch::start();
    // Longer than any deadline: a connection that is used is not idle.
    while watch.elapsed() < 3 * SHORT {
        assert_eq!(session.get("/features/evaluated").keys(), ["open"]);
    }
    for (n, connection) in slow.iter_mut().enumerate() {
        if n % 2 == 1 {
            connection.reply_to("POST").assert_error(408, "INVALID_REQUEST");
        }
        connection.expect_end();
    }
}

#[test]
fn an_idle_connection_is_closed_after_its_time_and_not_before() {
    // Longer than a busy machine leaves this test or the server waiting between two requests.
    let edge = setup().server("keep_alive = \"1s\"").start();
    let idle = Duration::from_secs(1);
    let mut never_used = Connection::open(edge.public);
    never_used.expect_end();
    let mut session = edge.publishable().connect();
    let watch = Stopwatch::start();
    while watch.elapsed() < 2 * idle {
        assert_eq!(session.get("/features/evaluated").status, 200);
    }
    let watch = Stopwatch::start();
    session.connection.expect_end();
    assert!(watch.elapsed() > idle / 2, "{:?}", watch.elapsed());
}

#[test]
fn an_idle_connection_stays_open_longer_than_heads_and_bodies_may_take() {
    let edge = hurried();
    let mut session = edge.publishable().connect();
    assert_eq!(session.get("/features/evaluated").status, 200);
    assert_eq!(session.connection.wait(3 * SHORT), Arrival::Silence);
    assert_eq!(session.post("/user", r#"{"userId":"u"}"#).status, 200);
    assert_eq!(session.connection.wait(3 * SHORT), Arrival::Silence);
    assert_eq!(session.get("/features/evaluated").status, 200);
}

#[test]
fn above_the_cap_the_new_connection_is_refused_and_the_old_ones_stay() {
    let edge = setup().limits("connections = 2").start();
    let mut old = [edge.publishable().connect(), edge.publishable().connect()];
    for session in &mut old {
        assert_eq!(session.get("/features/evaluated").status, 200);
    }
    for _ in 0..3 {
        let mut refused = edge.publishable().connect();
        refused.connection.expect_end();
    }
    for session in &mut old {
        assert_eq!(session.get("/features/evaluated").status, 200);
    }
    let dropped = || {
        let labels = [("what", "connections")];
        edge.metrics().count("burgee_bounded_dropped_total", &labels)
    };
    assert_eq!(dropped(), 3);
    // A place that is given up is free again.
    drop(old);
    until("a free place", || {
        let mut connection = Connection::open(edge.public);
        connection.write(edge.publishable().request("GET", "/features/evaluated", b""));
        connection.next_reply(true).filter(|reply| reply.status == 200)
    });
}

#[test]
fn when_all_bodies_together_are_too_much_the_next_is_503_and_later_it_is_well_again() {
    let edge = setup().limits("body = \"1KiB\"\nin_flight_body_bytes = \"2KiB\"").start();
    let let_in = || {
        let mut connection = Connection::open(edge.public);
        // Answered with "go on" once the room for the body is taken.
        connection.write(format!("{POST}Expect: 100-continue\r\nContent-Length: 1000\r\n\r\n"));
        assert_eq!(connection.reply_to("POST").status, 100);
        connection.write("[");
        connection
    };
    let mut held = [let_in(), let_in()];
    let body = format!("[{{\"type\":\"user\"}}{}]", " ".repeat(900));
    for _ in 0..3 {
        let reply = edge.publishable().post("/bulk", &body);
        reply.assert_error(503, "OVERLOADED");
        let seconds: u32 = reply.header("retry-after").expect("Retry-After").parse().unwrap();
        assert!(seconds >= 1);
    }
    let metrics = edge.metrics();
    let labels = [("what", "in_flight_body_bytes")];
    assert_eq!(metrics.count("burgee_bounded_dropped_total", &labels), 3);
    assert_eq!(edge.publishable().get("/features/evaluated").status, 200, "reads need no room");
    // Those who were let in get through.
    held[0].write(format!("{{\"type\":\"user\"}}{}]", " ".repeat(1_000 - 17)));
    assert_eq!(held[0].reply_to("POST").status, 200);
    assert_eq!(edge.publishable().post("/bulk", &body).status, 200, "there is room again");
    drop(held);
    until("all the room there was", || {
        (edge.publishable().post("/bulk", &body).status == 200).then_some(())
    });
}

#[test]
fn a_client_that_goes_away_halfway_gives_its_room_back() {
    let edge = setup().limits("body = \"1KiB\"\nin_flight_body_bytes = \"1KiB\"").start();
    for _ in 0..20 {
        let mut connection = Connection::open(edge.public);
        connection.write(format!("{POST}Content-Length: 1000\r\n\r\n["));
        drop(connection);
    }
    let body = format!("[{{\"type\":\"user\"}}{}]", " ".repeat(900));
    until("the room of those who left", || {
        (edge.publishable().post("/bulk", &body).status == 200).then_some(())
    });
}
