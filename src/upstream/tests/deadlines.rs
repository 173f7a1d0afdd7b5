//! Deadlines, whatever the peer does. Time stands still once the peer has what it waits for, and
//! then jumps from timer to timer.

use super::*;
use crate::upstream::{FailureKind, Phase};

fn missed(phase: Phase) -> SendError {
    SendError::Timeout { phase, after: BOUNDS.timeout }
}

#[tokio::test]
async fn a_peer_that_says_nothing_is_left_at_the_deadline() {
    let started = tokio::time::Instant::now();
    let error = answered_by(async |peer| {
        tokio::time::pause();
        peer
    })
    .await
    .expect_err("no answer");
    assert_eq!(error, missed(Phase::Head));
    assert_eq!(error.kind(), FailureKind::Timeout);
    assert_eq!(error.to_string(), "no answer within 10s");
    let took = started.elapsed();
    assert!(took >= BOUNDS.timeout && took < BOUNDS.timeout * 2, "{took:?}");
}

#[tokio::test]
async fn a_body_that_stops_is_left_at_the_deadline() {
    let error = answered_by(async |mut peer| {
        peer.send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await;
        tokio::time::pause();
        peer
    })
    .await
    .expect_err("no body");
    assert_eq!(error, missed(Phase::Body));
    assert_eq!(error.to_string(), "no complete body within 10s");
}

#[tokio::test]
async fn a_body_that_drips_gains_no_time() {
    let started = tokio::time::Instant::now();
    let mut sent = 0;
    let error = answered_by(async |mut peer| {
        peer.send("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n").await;
        tokio::time::pause();
        let mut second = tokio::time::interval(Duration::from_secs(1));
        while peer.0.write_all(b"x").await.is_ok() {
            sent += 1;
            second.tick().await;
        }
        peer
    })
    .await
    .expect_err("no body");
    assert_eq!(error, missed(Phase::Body));
    assert!((9..14).contains(&sent), "{sent} bytes in {:?}", started.elapsed());
}

#[tokio::test]
async fn a_head_that_drips_gains_no_time() {
    let error = answered_by(async |mut peer| {
        peer.send("HTTP/1.1 200 OK\r\na: ").await;
        tokio::time::pause();
        let mut second = tokio::time::interval(Duration::from_secs(1));
        while peer.0.write_all(b"x").await.is_ok() {
            second.tick().await;
        }
        peer
    })
    .await
    .expect_err("no answer");
    assert_eq!(error, missed(Phase::Head));
}

#[tokio::test]
async fn a_handshake_that_stops_is_left_at_the_deadline_for_connecting() {
    let listener = Listener::bind().await;
    let asked = get(&format!("https://{}/", listener.address()));
    let client = client();
    let (answer, _peer) = play(client.send(asked, BOUNDS), async {
        let mut peer = listener.accept().await;
        peer.0.read_u8().await.expect("the beginning of a handshake");
        tokio::time::pause();
        peer
    })
    .await;
    let error = answer.expect_err("no connection");
    let after = settings().connect_timeout;
    assert_eq!(error, SendError::Timeout { phase: Phase::Connecting, after });
    assert_eq!(error.to_string(), "no connection within 3s");
    assert_eq!(error.kind(), FailureKind::Timeout);
}

#[tokio::test]
async fn the_requests_own_deadline_holds_for_connecting_too() {
    let listener = Listener::bind().await;
    let asked = get(&format!("https://{}/", listener.address()));
    let bounds = Bounds { timeout: Duration::from_secs(2), ..BOUNDS };
    let client = client();
    let (answer, ()) = play(client.send(asked, bounds), async {
        let mut peer = listener.accept().await;
        peer.0.read_u8().await.expect("the beginning of a handshake");
        tokio::time::pause();
        // The attempt is given up, and its connection closed.
        let mut rest = Vec::new();
        let _ = peer.0.read_to_end(&mut rest).await;
    })
    .await;
    let after = bounds.timeout;
    let error = answer.expect_err("no connection");
    assert_eq!(error, SendError::Timeout { phase: Phase::Connecting, after });
}
