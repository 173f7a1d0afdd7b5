//! The end: what is on its way is answered, and then the process is gone.

use crate::support::rules::{document, on};
use crate::support::wire::Connection;
use crate::support::{Edge, Environment, Setup, until};

fn edge(drain: &str) -> Edge {
    Setup::of(Environment::named("shop").holding(document(1, &[on("open")]))).drain(drain).start()
}

/// A request of which the last byte is missing.
fn half_sent(edge: &Edge) -> Connection {
    let mut connection = Connection::open(edge.public);
    connection.write(
        "POST /bulk HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer pub_shop\r\n\
         Expect: 100-continue\r\nContent-Length: 17\r\n\r\n",
    );
    assert_eq!(connection.reply_to("POST").status, 100);
    connection.write("[{\"type\":\"user\"}");
    connection
}

#[test]
fn a_request_that_is_on_its_way_is_answered_and_its_connection_closed() {
    let mut edge = edge("10s");
    let mut idle = edge.publishable().connect();
    assert_eq!(idle.get("/features/evaluated").status, 200);
    let mut connection = half_sent(&edge);
    edge.begin_to_stop();
    idle.connection.expect_end();
    connection.write("]");
    let reply = connection.reply_to("POST");
    assert_eq!((reply.status, &*reply.text()), (200, r#"{"success":true}"#));
    connection.expect_end();
    edge.until_stopped();
}

#[test]
fn while_it_drains_it_is_not_ready() {
    let mut edge = edge("10s");
    let mut connection = half_sent(&edge);
    let mut admin = edge.admin().connect();
    assert_eq!(admin.get("/health/ready").status, 200);
    edge.begin_to_stop();
    until("not ready", || (admin.get("/health/ready").status == 503).then_some(()));
    assert_eq!(admin.get("/health/ready").json()["ready"], false);
    assert_eq!(admin.get("/health/ready/shop").status, 503);
    assert_eq!(admin.get("/health/live").status, 200);
    assert_eq!(admin.get("/status").json()["ready"], false);
    connection.write("]");
    assert_eq!(connection.reply_to("POST").status, 200);
    edge.until_stopped();
}

#[test]
fn nobody_can_hold_up_the_end_for_longer_than_it_may_take() {
    let mut edge = edge("200ms");
    let connection = half_sent(&edge);
    edge.begin_to_stop();
    connection.bytes_until_closed();
    edge.until_stopped();
}

#[test]
fn the_port_is_free_afterwards() {
    let mut edge = edge("10s");
    assert_eq!(edge.publishable().get("/features/evaluated").status, 200);
    edge.begin_to_stop();
    edge.until_stopped();
    assert!(std::net::TcpStream::connect(edge.public).is_err());
    assert!(std::net::TcpStream::connect(edge.admin).is_err());
}
