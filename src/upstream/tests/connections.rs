//! Connections: made, kept, found dead, given up.

use super::*;
use crate::upstream::{FailureKind, IDLE, Phase};

#[tokio::test]
async fn nobody_listening_is_said_with_host_and_port() {
    let port = ClosedPort::new();
    let address = port.address();
    let error = client().send(get(&format!("http://{address}/")), BOUNDS).await;
    let error = error.expect_err("nobody");
    assert_eq!(error.kind(), FailureKind::Network);
    let text = error.to_string();
    assert!(text.starts_with(&format!("cannot connect to {address}: ")), "{text}");
    assert!(text.contains("refused"), "{text}");
}

#[tokio::test]
async fn a_name_without_an_address_is_said() {
    // Longer than a label may be, so that no name server is asked.
    let name = format!("{}.invalid", "a".repeat(64));
    let error = client().send(get(&format!("http://{name}/")), BOUNDS).await;
    let text = error.expect_err("nobody").to_string();
    assert!(text.starts_with(&format!("cannot connect to {name}:80: dns error: ")), "{text}");
}

#[tokio::test]
async fn a_name_is_tried_at_all_of_its_addresses() {
    // `localhost` is often ::1 first, where nobody listens.
    let listener = Listener::bind().await;
    let asked = get(&format!("http://localhost:{}/", listener.address().port()));
    let client = client();
    let (answer, ()) = play(client.send(asked, BOUNDS), async {
        let mut peer = listener.accept().await;
        peer.request().await;
        peer.answer("here").await;
    })
    .await;
    assert_eq!(answer.expect("an answer").body, "here");
}

#[tokio::test]
async fn an_ipv6_address_is_asked() {
    let Ok(listener) = TcpListener::bind("[::1]:0").await else {
        eprintln!("skipped: this machine has no IPv6");
        return;
    };
    let listener = Listener(listener);
    let asked = get(&listener.url("/"));
    let client = client();
    let (answer, seen) = play(client.send(asked, BOUNDS), async {
        let mut peer = listener.accept().await;
        let seen = peer.request().await;
        peer.answer("here").await;
        seen
    })
    .await;
    assert_eq!(answer.expect("an answer").body, "here");
    assert!(seen.contains(&format!("host: {}\r\n", listener.address())), "{seen}");
}

#[tokio::test]
async fn a_connection_serves_one_request_after_the_other() {
    let listener = Listener::bind().await;
    let url = listener.url("/");
    let client = client();
    let ours = async {
        let first = client.send(get(&url), BOUNDS).await.expect("an answer");
        // A clone is the same client.
        let second = client.clone().send(request("POST", &url, "x"), BOUNDS).await;
        (first.body, second.expect("an answer").body)
    };
    let (bodies, _peer) = play(ours, async {
        let mut peer = listener.accept().await;
        peer.request().await;
        peer.answer("first").await;
        peer.request().await;
        peer.answer("second").await;
        peer
    })
    .await;
    assert_eq!(bodies, ("first".into(), "second".into()));
    assert!(listener.nobody_waits());
}

#[tokio::test]
async fn a_connection_that_nobody_needs_is_closed_after_a_while() {
    let listener = Listener::bind().await;
    let client = client();
    let (answer, mut peer) = play(client.send(get(&listener.url("/")), BOUNDS), async {
        let mut peer = listener.accept().await;
        peer.request().await;
        peer.answer("an answer").await;
        peer
    })
    .await;
    answer.expect("an answer");
    tokio::time::pause();
    let started = tokio::time::Instant::now();
    tokio::time::timeout(3 * IDLE, peer.ended()).await.expect("an end");
    let kept = started.elapsed();
    assert!(kept > Duration::from_secs(89), "{kept:?}");
}

#[tokio::test]
async fn a_connection_that_was_closed_while_idle_is_made_anew() {
    let listener = Listener::bind().await;
    let url = listener.url("/");
    let client = client();
    for method in ["GET", "POST"] {
        for turn in ["first", "second"] {
            let (answer, ()) = play(client.send(request(method, &url, ""), BOUNDS), async {
                let mut peer = listener.accept().await;
                peer.request().await;
                peer.answer(turn).await;
                // Closed without a word of warning.
            })
            .await;
            assert_eq!(answer.expect("an answer").body, turn);
        }
    }
    assert!(listener.nobody_waits());
}

/// Serves one request, takes a second one over the same connection, and closes it instead of
/// answering. `then` is what the client's second request gets.
async fn closed_at_the_second_request(
    method: &str,
    then: impl AsyncFnOnce(&Listener),
) -> (Result<Answer, SendError>, Listener) {
    let listener = Listener::bind().await;
    let url = listener.url("/");
    let client = client();
    let ours = async {
        client.send(get(&url), BOUNDS).await.expect("the first answer");
        client.send(request(method, &url, "body"), BOUNDS).await
    };
    let (second, ()) = play(ours, async {
        let mut peer = listener.accept().await;
        peer.request().await;
        peer.answer("first").await;
        peer.request().await;
        drop(peer);
        then(&listener).await;
    })
    .await;
    (second, listener)
}

#[tokio::test]
async fn a_kept_connection_that_dies_under_a_request_costs_one_more_attempt() {
    let (answer, listener) = closed_at_the_second_request("GET", async |listener| {
        let mut peer = listener.accept().await;
        let seen = peer.request().await;
        assert!(seen.ends_with("\r\n\r\nbody"), "the same request: {seen}");
        peer.answer("second").await;
    })
    .await;
    assert_eq!(answer.expect("an answer").body, "second");
    assert!(listener.nobody_waits());
}

#[tokio::test]
async fn there_is_no_third_attempt() {
    let (answer, listener) = closed_at_the_second_request("GET", async |listener| {
        listener.accept().await.request().await;
    })
    .await;
    assert_eq!(answer.expect_err("no answer"), SendError::BrokenOff(Phase::Head));
    assert!(listener.nobody_waits());
}

#[tokio::test]
async fn what_may_have_had_an_effect_is_not_sent_twice() {
    let (answer, listener) = closed_at_the_second_request("POST", async |_| ()).await;
    assert_eq!(answer.expect_err("no answer"), SendError::BrokenOff(Phase::Head));
    assert!(listener.nobody_waits());
}

#[tokio::test]
async fn a_new_connection_that_dies_is_an_error_at_once() {
    let listener = Listener::bind().await;
    let asked = get(&listener.url("/"));
    let client = client();
    let (answer, ()) = play(client.send(asked, BOUNDS), async {
        listener.accept().await.request().await;
    })
    .await;
    assert_eq!(answer.expect_err("no answer"), SendError::BrokenOff(Phase::Head));
    assert!(listener.nobody_waits());
}

#[tokio::test]
async fn an_answer_that_was_not_read_to_its_end_closes_its_connection() {
    let listener = Listener::bind().await;
    let url = listener.url("/");
    let client = client();
    let ours = async {
        let bounds = Bounds { body: 4, ..BOUNDS };
        client.send(get(&url), bounds).await.expect_err("too long");
        client.send(get(&url), BOUNDS).await.expect("an answer").body
    };
    let (body, ()) = play(ours, async {
        let mut peer = listener.accept().await;
        peer.request().await;
        peer.send("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nbegin").await;
        peer.ended().await;
        let mut peer = listener.accept().await;
        peer.request().await;
        peer.answer("fresh").await;
    })
    .await;
    assert_eq!(body, "fresh");
}

#[tokio::test]
async fn dropping_the_future_closes_the_connection() {
    for begun in ["", "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf"] {
        let listener = Listener::bind().await;
        let asked = get(&listener.url("/"));
        // Outlives the request: it is not the client's end that closes the connection.
        let client = client();
        let sending = client.clone();
        let task = tokio::spawn(async move { sending.send(asked, BOUNDS).await });
        let drop_it = task.abort_handle();
        let (end, ()) = play(task, async {
            let mut peer = listener.accept().await;
            peer.request().await;
            peer.send(begun).await;
            drop_it.abort();
            peer.ended().await;
        })
        .await;
        assert!(end.expect_err("no answer").is_cancelled());
        drop(client);
    }
}

#[tokio::test]
async fn dropping_the_future_gives_up_connecting() {
    let listener = Listener::bind().await;
    let asked = get(&format!("https://{}/", listener.address()));
    let client = client();
    let sending = client.clone();
    let task = tokio::spawn(async move { sending.send(asked, BOUNDS).await });
    let drop_it = task.abort_handle();
    let (end, ended) = play(task, async {
        let mut peer = listener.accept().await;
        peer.0.read_u8().await.expect("the beginning of a handshake");
        drop_it.abort();
        let mut rest = Vec::new();
        peer.0.read_to_end(&mut rest).await
    })
    .await;
    assert!(end.expect_err("no answer").is_cancelled());
    ended.expect("an orderly end");
    drop(client);
}
