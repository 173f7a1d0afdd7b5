//! Whatever goes wrong, what is printed has no key in it.

use super::tls::Authority;
use super::*;

/// Neither the request's key, nor its query, nor the proxy's password.
fn assert_silent(printed: &impl std::fmt::Debug, displayed: &str) {
    let debugged = format!("{printed:?}");
    for secret in [KEY, "pub_lemon", "pa55word", "cGE1NXdvcmQ", "/path"] {
        assert!(!displayed.contains(secret), "{displayed}");
        assert!(!debugged.contains(secret), "{debugged}");
    }
}

#[tokio::test]
async fn errors_and_answers_print_without_keys() {
    let authority = Authority::new();
    let acceptor = authority.acceptor("127.0.0.1");
    // All that a hostile peer can send back, it has from the request.
    let echo = format!("{KEY}-pub_lemon-pa55word-/path");
    let scripts = [
        String::new(),
        format!("{echo}\r\n\r\n"),
        format!("HTTP/1.1 200 {echo}\r\n{echo}: {echo}\r\ncontent-length: 9\r\n\r\n{echo}"),
        format!("HTTP/1.1 200 {echo}\r\na: {echo}\r\ncontent-length: 99\r\n\r\n{echo}"),
        format!("HTTP/1.1 200 OK\r\ncontent-length: {echo}\r\n\r\n"),
        format!("HTTP/1.1 200 OK\r\ncontent-encoding: {echo}\r\ncontent-length: 1\r\n\r\nx"),
        format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{echo}\r\n"),
        format!("HTTP/1.1 407 {echo}\r\ncontent-length: 0\r\n\r\n"),
        format!("HTTP/1.1 502 {echo}\r\nlocation: {echo}\r\ncontent-length: 0\r\n\r\n"),
    ];
    let mut failed = 0;
    for script in &scripts {
        for scheme in ["http", "https"] {
            for proxied in [false, true] {
                let listener = Listener::bind().await;
                let mut settings = ClientSettings { ca_file: Some(authority.file()), ..settings() };
                if proxied {
                    settings.proxy.all = format!("http://me:pa55word@{}", listener.address());
                }
                let client = Client::new(&settings).expect("a client");
                let url =
                    format!("{scheme}://{}/path?publishableKey=pub_lemon", listener.address());
                let (answer, ()) = play(client.send(get(&url), BOUNDS), async {
                    let mut peer = listener.accept().await;
                    if scheme == "https" && !proxied {
                        let mut peer = peer.secured(&acceptor).await.expect("TLS");
                        peer.request().await;
                        peer.send(script).await;
                    } else {
                        peer.request().await;
                        peer.send(script).await;
                    }
                })
                .await;
                assert_silent(&settings, "");
                assert_silent(&client, "");
                match answer {
                    Ok(answer) => assert_silent(&answer, ""),
                    Err(error) => {
                        failed += 1;
                        assert_silent(&error, &error.to_string());
                    }
                }
            }
        }
    }
    assert!(failed > scripts.len() * 2, "{failed} failures");
}

#[tokio::test]
async fn nobody_there_is_said_without_keys() {
    let port = ClosedPort::new();
    let nobody = port.address();
    for url in [
        format!("http://{nobody}/path?publishableKey=pub_lemon"),
        format!("https://{nobody}/path?publishableKey=pub_lemon"),
        format!("http://me:pa55word@{nobody}/path"),
        format!("ftp://{nobody}/path?publishableKey=pub_lemon"),
        format!("http://{}.invalid/path?publishableKey=pub_lemon", "a".repeat(64)),
    ] {
        let error = client().send(get(&url), BOUNDS).await.expect_err("nobody");
        assert_silent(&error, &error.to_string());
    }
}
