//! Answers that are read while they are made.

use super::*;
use crate::upstream::{FailureKind, Opened, Phase};

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
const TIMEOUT: Duration = Duration::from_secs(10);
const SILENCE: Duration = Duration::from_secs(12);

/// Opens one request of a new client; the peer does what the script says and is kept for as long as
/// the test looks at the answer.
async fn opened_by<F, T>(
    script: impl FnOnce(Peer<TcpStream>) -> F,
    look: impl AsyncFnOnce(Result<Opened, SendError>) -> T,
) -> T
where
    F: Future<Output = Peer<TcpStream>>,
{
    let listener = Listener::bind().await;
    let (client, asked) = (client(), get(&listener.url("/sse/server")));
    let ours = async { look(client.open(asked, TIMEOUT).await).await };
    let theirs = async {
        let mut peer = listener.accept().await;
        let asked = peer.request().await;
        assert!(asked.contains("\r\naccept-encoding: identity\r\n"), "{asked}");
        script(peer).await
    };
    play(ours, theirs).await.0
}

#[tokio::test]
async fn pieces_come_as_they_are_written_and_end_with_the_body() {
    let (told, mut wait) = tokio::sync::mpsc::channel::<()>(1);
    let script = async |mut peer: Peer<TcpStream>| {
        peer.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n: \r\n").await;
        wait.recv().await.expect("the first piece was read");
        peer.send("3\r\na\n\n\r\n0\r\n\r\n").await;
        peer
    };
    opened_by(script, async |opened| {
        let mut pieces = opened.expect("a head").pieces;
        assert_eq!(pieces.next(SILENCE).await, Ok(Some(Bytes::from(": "))));
        told.send(()).await.expect("the peer waits");
        assert_eq!(pieces.next(SILENCE).await, Ok(Some(Bytes::from("a\n\n"))));
        assert_eq!(pieces.next(SILENCE).await, Ok(None));
    })
    .await;
}

#[tokio::test]
async fn a_peer_that_gives_no_head_is_left_at_the_deadline() {
    let script = async |peer: Peer<TcpStream>| {
        tokio::time::pause();
        peer
    };
    let error = opened_by(script, async |opened| opened.expect_err("no head")).await;
    assert_eq!(error, SendError::Timeout { phase: Phase::Head, after: TIMEOUT });
}

#[tokio::test]
async fn a_body_may_take_longer_than_its_head_but_not_be_silent() {
    let (told, mut wait) = tokio::sync::mpsc::channel::<()>(1);
    let script = async |mut peer: Peer<TcpStream>| {
        peer.send(HEAD).await;
        wait.recv().await.expect("the head was read");
        tokio::time::pause();
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_secs(9)).await;
            peer.send(":\n").await;
        }
        peer
    };
    opened_by(script, async |opened| {
        let mut pieces = opened.expect("a head").pieces;
        told.send(()).await.expect("the peer waits");
        for _ in 0..3 {
            assert_eq!(pieces.next(SILENCE).await, Ok(Some(Bytes::from(":\n"))));
        }
        let error = pieces.next(SILENCE).await.expect_err("silence");
        assert_eq!(error, SendError::Silent { after: SILENCE });
        assert_eq!(error.kind(), FailureKind::Timeout);
        assert_eq!(error.to_string(), "nothing came for 12s");
    })
    .await;
}

#[tokio::test]
async fn a_refusal_is_there_before_its_body_and_a_redirect_is_not_followed() {
    for status in ["404 Not Found", "302 Found\r\nlocation: http://127.0.0.1:9/"] {
        let script = async |mut peer: Peer<TcpStream>| {
            peer.send(format!("HTTP/1.1 {status}\r\ncontent-length: 100\r\n\r\n")).await;
            peer
        };
        let opened = opened_by(script, async |opened| opened.expect("a head").status).await;
        assert_eq!(opened.as_str(), &status[..3]);
    }
}

#[tokio::test]
async fn a_connection_that_is_cut_is_an_error_and_one_that_was_left_is_closed() {
    let cut = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab";
    let script = async |mut peer: Peer<TcpStream>| {
        peer.send(cut).await;
        peer.0.shutdown().await.expect("an end");
        peer
    };
    opened_by(script, async |opened| {
        let mut pieces = opened.expect("a head").pieces;
        assert_eq!(pieces.next(SILENCE).await, Ok(Some(Bytes::from("ab"))));
        assert_eq!(pieces.next(SILENCE).await, Err(SendError::BrokenOff(Phase::Body)));
    })
    .await;
    let script = async |mut peer: Peer<TcpStream>| {
        peer.send(HEAD).await;
        peer.ended().await;
        peer
    };
    opened_by(script, async |opened| drop(opened.expect("a head"))).await;
}

#[tokio::test]
async fn a_compressed_body_is_refused() {
    let script = async |mut peer: Peer<TcpStream>| {
        peer.send("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n").await;
        peer
    };
    let error = opened_by(script, async |opened| opened.expect_err("no pieces")).await;
    assert_eq!(error.kind(), FailureKind::Malformed);
    assert!(error.to_string().contains("gzip, which was not asked for"), "{error}");
}
