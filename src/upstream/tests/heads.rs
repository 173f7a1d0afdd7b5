//! What is sent, and which heads are taken for an answer.

use super::*;
use crate::upstream::{FailureKind, UrlFault};

#[tokio::test]
async fn a_request_arrives_as_it_was_meant_and_a_whole_answer_comes_back() {
    let listener = Listener::bind().await;
    let client = client();
    let asked = get(&listener.url("/base/features?waitForVersion=7"));
    let (answer, seen) = play(client.send(asked, BOUNDS), async {
        let mut peer = listener.accept().await;
        let seen = peer.request().await;
        peer.send("HTTP/1.1 200 OK\r\netag: \"a\"\r\ncontent-length: 2\r\n\r\n{}").await;
        seen
    })
    .await;
    let answer = answer.expect("an answer");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["etag"], "\"a\"");
    assert_eq!(answer.body, "{}");

    let mut lines: Vec<&str> = seen.trim_end().lines().collect();
    assert_eq!(lines.remove(0), "GET /base/features?waitForVersion=7 HTTP/1.1");
    lines.sort_unstable();
    let expected = [
        "accept-encoding: gzip".to_owned(),
        format!("authorization: Bearer {KEY}"),
        format!("host: {}", listener.address()),
        format!("user-agent: burgee/{}", env!("CARGO_PKG_VERSION")),
    ];
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn the_callers_own_fields_and_a_long_body_are_kept() {
    let listener = Listener::bind().await;
    let body = "0123456789".repeat(50_000);
    let mut asked = request("POST", &listener.url("/bulk"), body.clone());
    for (name, value) in [("user-agent", "me/1"), ("accept-encoding", "identity")] {
        asked.headers_mut().insert(name, value.parse().expect("a value"));
    }
    let client = client();
    let (answer, seen) = play(client.send(asked, BOUNDS), async {
        let mut peer = listener.accept().await;
        let seen = peer.request().await;
        peer.answer("ok").await;
        seen
    })
    .await;
    assert_eq!(answer.expect("an answer").body, "ok");
    let (head, received) = seen.split_once("\r\n\r\n").expect("a head");
    assert!(head.contains("user-agent: me/1"), "{head}");
    assert!(head.contains("accept-encoding: identity"), "{head}");
    assert!(received == body);
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_nobody_else_is_asked() {
    let elsewhere = Listener::bind().await;
    let moved = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n",
        elsewhere.url("/features")
    );
    let answer = answered_with(moved).await.expect("an answer");
    assert_eq!(answer.status, 307);
    assert_eq!(answer.headers["location"], elsewhere.url("/features").as_str());
    assert!(elsewhere.nobody_waits());
}

#[tokio::test]
async fn refusals_are_answers() {
    for status in ["401 Unauthorized", "407 Proxy Authentication Required", "503 Unavailable"] {
        let text = format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\n\r\nno");
        let answer = answered_with(text).await.expect("an answer");
        assert!(status.starts_with(answer.status.as_str()));
        assert_eq!(answer.body, "no");
    }
}

#[tokio::test]
async fn informational_answers_are_passed_over() {
    let hints = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";
    let answer = answered_with(format!("{hints}{hints}{}", ok("final"))).await.expect("an answer");
    assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, &b"final"[..]));
}

#[tokio::test]
async fn what_is_not_http_is_malformed() {
    for text in ["SSH-2.0-OpenSSH_9.6\r\n\r\n", "HTTP/1.1 abc OK\r\n\r\n", "\0\0\0\0\0\0\0\0\0\0"] {
        let error = answered_with(text).await.expect_err("not an answer");
        assert!(matches!(error, SendError::Malformed(_)), "{text:?}: {error:?}");
        assert_eq!(error.kind(), FailureKind::Malformed);
    }
}

#[tokio::test]
async fn too_many_fields_are_too_large_a_head() {
    let with_fields = |count| {
        let fields = "a: b\r\n".repeat(count);
        format!("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n{fields}\r\n")
    };
    let answer = answered_with(with_fields(99)).await.expect("an answer");
    assert_eq!(answer.headers.len(), 100);
    let error = answered_with(with_fields(100)).await.expect_err("too large");
    assert_eq!(error, SendError::HeadTooLarge);
    assert_eq!(error.kind(), FailureKind::Malformed);
}

#[tokio::test]
async fn only_http_urls_without_user_info_are_asked() {
    for (url, fault) in [
        ("/features", UrlFault::Scheme),
        ("ftp://127.0.0.1/", UrlFault::Scheme),
        ("127.0.0.1:80", UrlFault::Scheme),
        ("http://me:pa55word@127.0.0.1/", UrlFault::UserInfo),
        ("https://me@127.0.0.1/", UrlFault::UserInfo),
        ("http://:80/", UrlFault::Host),
    ] {
        let error = client().send(get(url), BOUNDS).await.expect_err(url);
        assert_eq!(error, SendError::Url(fault), "{url}");
    }
}
