//! Requests through proxies.

use super::tls::Authority;
use super::*;
use crate::upstream::{FailureKind, Phase};

/// Base64 of `me:pa55 word`.
const CREDENTIALS: &str = "Basic bWU6cGE1NSB3b3Jk";

/// A client for which `proxy` is everybody's proxy, with a user and a password.
fn through(proxy: &str, ca_file: Option<std::path::PathBuf>) -> Client {
    let (scheme, address) = proxy.split_once("://").expect("a URL");
    let all = format!("{scheme}://me:pa55%20word@{address}");
    let proxy = ProxySettings { all, ..ProxySettings::default() };
    Client::new(&ClientSettings { ca_file, proxy, ..settings() }).expect("a client")
}

/// The answer to a request for `https://upstream.test/`, whose name nobody resolves, when the
/// proxy answers `CONNECT` with `text` and closes.
async fn tunnel_answered_with(text: &str) -> (SendError, SocketAddr) {
    let listener = Listener::bind().await;
    let client = through(&listener.url(""), None);
    let (answer, ()) = play(client.send(get("https://upstream.test/"), BOUNDS), async {
        let mut peer = listener.accept().await;
        peer.request().await;
        peer.send(text).await;
    })
    .await;
    (answer.expect_err("no tunnel"), listener.address())
}

#[tokio::test]
async fn https_goes_through_a_tunnel_and_only_the_proxy_sees_the_proxys_credentials() {
    let authority = Authority::new();
    let acceptor = authority.acceptor("upstream.test");
    let listener = Listener::bind().await;
    let client = through(&listener.url(""), Some(authority.file()));
    let ours = async {
        let url = "https://upstream.test/features?a=b";
        client.send(get(url), BOUNDS).await.expect("an answer");
        client.send(get(url), BOUNDS).await.expect("an answer").body
    };
    let (body, (asked, seen)) = play(ours, async {
        let mut peer = listener.accept().await;
        let asked = peer.request().await;
        peer.send("HTTP/1.1 200 Connection established\r\nvia: 1.1 proxy\r\n\r\n").await;
        let mut peer = peer.secured(&acceptor).await.expect("TLS");
        let seen = peer.request().await;
        peer.answer("first").await;
        // The tunnel is kept like any other connection.
        peer.request().await;
        peer.answer("second").await;
        (asked, seen)
    })
    .await;
    assert_eq!(body, "second");

    let mut lines = asked.trim_end().lines();
    assert_eq!(lines.next(), Some("CONNECT upstream.test:443 HTTP/1.1"));
    assert!(asked.contains("\r\nhost: upstream.test:443\r\n"), "{asked}");
    assert!(asked.contains(&format!("\r\nproxy-authorization: {CREDENTIALS}\r\n")), "{asked}");
    assert!(!asked.contains(KEY), "{asked}");
    assert!(!asked.contains("features"), "{asked}");

    assert!(seen.starts_with("GET /features?a=b HTTP/1.1\r\n"), "{seen}");
    assert!(seen.contains(&format!("authorization: Bearer {KEY}\r\n")), "{seen}");
    assert!(!seen.contains("proxy-authorization"), "{seen}");
}

#[tokio::test]
async fn http_is_handed_to_the_proxy_in_absolute_form() {
    let listener = Listener::bind().await;
    let client = through(&listener.url(""), None);
    let asked = get("http://upstream.test:8000/features?a=b");
    let (answer, seen) = play(client.send(asked, BOUNDS), async {
        let mut peer = listener.accept().await;
        let seen = peer.request().await;
        peer.answer("through the proxy").await;
        seen
    })
    .await;
    assert_eq!(answer.expect("an answer").body, "through the proxy");
    let first = "GET http://upstream.test:8000/features?a=b HTTP/1.1\r\n";
    assert!(seen.starts_with(first), "{seen}");
    assert!(seen.contains("\r\nhost: upstream.test:8000\r\n"), "{seen}");
    assert!(seen.contains(&format!("\r\nproxy-authorization: {CREDENTIALS}\r\n")), "{seen}");
}

#[tokio::test]
async fn a_proxy_may_speak_tls_itself() {
    let authority = Authority::new();
    let (outer, inner) = (authority.acceptor("127.0.0.1"), authority.acceptor("upstream.test"));
    let listener = Listener::bind().await;
    let client = through(&format!("https://{}", listener.address()), Some(authority.file()));
    // In a box: two layers of TLS are much to hold on a stack.
    let theirs = Box::pin(async {
        let mut peer = listener.accept().await.secured(&outer).await.expect("TLS");
        peer.request().await;
        peer.send("HTTP/1.1 200 OK\r\n\r\n").await;
        let mut peer = peer.secured(&inner).await.expect("TLS within TLS");
        peer.request().await;
        peer.answer("twice").await;
    });
    let asked = get("https://upstream.test/");
    let (answer, ()) = play(client.send(asked, BOUNDS), theirs).await;
    assert_eq!(answer.expect("an answer").body, "twice");
}

#[tokio::test]
async fn hosts_that_no_proxy_names_are_asked_directly() {
    let port = ClosedPort::new();
    let nobody = port.address();
    let proxy = |no_proxy: &str| ProxySettings {
        all: format!("http://me:pa55word@{nobody}"),
        no_proxy: no_proxy.to_owned(),
        ..ProxySettings::default()
    };
    let listener = Listener::bind().await;
    let client =
        Client::new(&ClientSettings { proxy: proxy("127.0.0.1"), ..settings() }).expect("a client");
    let (answer, seen) = play(client.send(get(&listener.url("/x")), BOUNDS), async {
        let mut peer = listener.accept().await;
        let seen = peer.request().await;
        peer.answer("directly").await;
        seen
    })
    .await;
    assert_eq!(answer.expect("an answer").body, "directly");
    assert!(seen.starts_with("GET /x HTTP/1.1\r\n"), "{seen}");
    assert!(!seen.contains("proxy-authorization"), "{seen}");

    // Without the exemption even loopback goes to the proxy, which is not there.
    let client = Client::new(&ClientSettings { proxy: proxy(""), ..settings() }).expect("a client");
    let error = client.send(get(&listener.url("/x")), BOUNDS).await.expect_err("no proxy");
    let text = error.to_string();
    assert!(text.starts_with(&format!("cannot connect to the proxy {nobody}: ")), "{text}");
    assert!(listener.nobody_waits());
}

#[tokio::test]
async fn a_proxy_that_refuses_is_said_with_its_status() {
    for status in [
        "403 Forbidden",
        "407 Proxy Authentication Required",
        "502 Bad Gateway",
        "301 Moved Permanently",
    ] {
        for rest in ["content-length: 0\r\n\r\n", "content-length: 9\r\n\r\nno", "\r\n<p>no</p>"] {
            let text = format!("HTTP/1.1 {status}\r\n{rest}");
            let (error, proxy) = tunnel_answered_with(&text).await;
            assert_eq!(error.kind(), FailureKind::Network);
            assert_eq!(
                error.to_string(),
                format!("the proxy {proxy} answered {status} to a request for upstream.test:443")
            );
        }
    }
}

#[tokio::test]
async fn a_proxy_that_refuses_plain_http_for_want_of_credentials_is_said() {
    let listener = Listener::bind().await;
    let client = through(&listener.url(""), None);
    let (answer, ()) = play(client.send(get("http://upstream.test/"), BOUNDS), async {
        let mut peer = listener.accept().await;
        peer.request().await;
        peer.send("HTTP/1.1 407 No\r\ncontent-length: 0\r\n\r\n").await;
    })
    .await;
    assert_eq!(
        answer.expect_err("a refusal").to_string(),
        format!(
            "the proxy {} answered 407 Proxy Authentication Required to a request for \
             upstream.test:80",
            listener.address()
        )
    );
}

#[tokio::test]
async fn a_proxy_that_talks_nonsense_is_said() {
    for text in [
        "",
        "HTTP/1.1 200 O",
        "SOCKS\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\nbytes of its own",
        &format!("HTTP/1.1 200 OK\r\n{}", "a: b\r\n".repeat(20_000)),
    ] {
        let (error, proxy) = tunnel_answered_with(text).await;
        let shown = error.to_string();
        let start = format!("cannot connect to upstream.test:443 through the proxy {proxy}: ");
        assert!(shown.starts_with(&start), "{shown}");
    }
}

#[tokio::test]
async fn a_proxy_that_says_nothing_is_left_at_the_deadline_for_connecting() {
    let listener = Listener::bind().await;
    let client = through(&listener.url(""), None);
    let (answer, ()) = play(client.send(get("https://upstream.test/"), BOUNDS), async {
        let mut peer = listener.accept().await;
        peer.request().await;
        tokio::time::pause();
        peer.ended().await;
    })
    .await;
    let after = settings().connect_timeout;
    let error = answer.expect_err("no tunnel");
    assert_eq!(error, SendError::Timeout { phase: Phase::Connecting, after });
}

#[test]
fn a_proxy_that_cannot_be_used_is_refused_when_the_client_is_made() {
    let all = "socks5://me:pa55word@127.0.0.1:1080".to_owned();
    let proxy = ProxySettings { all, ..ProxySettings::default() };
    let error = Client::new(&ClientSettings { proxy, ..settings() }).expect_err("no client");
    let text = error.to_string();
    assert!(text.starts_with("ALL_PROXY: "), "{text}");
    assert!(!text.contains("pa55word"), "{text}");
}
