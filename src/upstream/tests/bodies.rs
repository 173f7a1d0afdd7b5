//! Bodies: whole, cut off, too long, encoded.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;
use crate::upstream::{EncodingError, FailureKind, Phase};

const LIMIT: usize = BOUNDS.body;

fn gzip(text: impl AsRef<[u8]>) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_ref()).expect("memory");
    encoder.finish().expect("memory")
}

/// An answer with a length and an encoding.
fn encoded(coding: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-encoding: {coding}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn chunked(pieces: &[&[u8]]) -> Vec<u8> {
    let mut text = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    for piece in pieces {
        text.extend(format!("{:x}\r\n", piece.len()).as_bytes());
        text.extend(*piece);
        text.extend(b"\r\n");
    }
    text
}

/// The answer to a script that sends `text` and closes.
async fn cut_off_after(text: impl AsRef<[u8]>) -> Result<Answer, SendError> {
    answered_by(async |mut peer| {
        peer.send(text).await;
        peer.0.shutdown().await.expect("an open connection");
        peer
    })
    .await
}

#[tokio::test]
async fn bodies_end_by_length_by_chunk_or_with_the_connection() {
    assert_eq!(answered_with(ok("a body")).await.expect("an answer").body, "a body");

    let mut text = chunked(&[b"a ", b"body"]);
    text.extend(b"0\r\ntrailer: x\r\n\r\n");
    assert_eq!(answered_with(text).await.expect("an answer").body, "a body");

    let answer = cut_off_after("HTTP/1.0 200 OK\r\n\r\na body").await;
    assert_eq!(answer.expect("an answer").body, "a body");
}

#[tokio::test]
async fn where_no_body_can_be_its_fields_do_not_matter() {
    let text = "HTTP/1.1 304 Not Modified\r\ncontent-encoding: br\r\netag: \"a\"\r\n\r\n";
    let answer = answered_with(text).await.expect("an answer");
    assert_eq!((answer.status.as_u16(), answer.body.len()), (304, 0));

    let listener = Listener::bind().await;
    let client = client();
    let asked = request("HEAD", &listener.url("/"), "");
    let (answer, ()) = play(client.send(asked, BOUNDS), async {
        let mut peer = listener.accept().await;
        peer.request().await;
        peer.send("HTTP/1.1 200 OK\r\ncontent-length: 999999999\r\n\r\n").await;
    })
    .await;
    assert_eq!(answer.expect("an answer").headers["content-length"], "999999999");
}

#[tokio::test]
async fn a_body_that_is_cut_off_is_never_given() {
    for text in [
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf".to_vec(),
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n".to_vec(),
        chunked(&[b"a body"]),
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n6\r\na b".to_vec(),
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n".to_vec(),
    ] {
        let error = cut_off_after(&text).await.expect_err("not a body");
        let shown = String::from_utf8_lossy(&text);
        assert_eq!(error, SendError::BrokenOff(Phase::Body), "{shown:?}");
        assert_eq!(error.kind(), FailureKind::Network);
    }
    for head in ["", "HTTP/1.1 200 OK\r\ncontent-len"] {
        let error = cut_off_after(head).await.expect_err("not an answer");
        assert_eq!(error, SendError::BrokenOff(Phase::Head), "{head:?}");
    }
}

#[tokio::test]
async fn chunks_that_are_none_are_malformed() {
    let text = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nsix\r\na body\r\n0\r\n\r\n";
    let error = answered_with(text).await.expect_err("not a body");
    assert!(matches!(error, SendError::Malformed(_)), "{error:?}");
}

#[tokio::test]
async fn a_body_of_exactly_the_bound_is_taken_and_one_more_byte_is_not() {
    let text = "x".repeat(LIMIT);
    let body = answered_with(ok(&text)).await.expect("an answer").body;
    assert!(body == text);

    let mut exact = chunked(&[text.as_bytes()]);
    exact.extend(b"0\r\n\r\n");
    let body = answered_with(exact).await.expect("an answer").body;
    assert!(body == text);

    let more = chunked(&[text.as_bytes(), b"x"]);
    let error = answered_with(more).await.expect_err("too long");
    assert_eq!(error, SendError::TooLarge { limit: LIMIT });
    assert_eq!(error.kind(), FailureKind::Malformed);

    let inflated = answered_with(encoded("gzip", &gzip(&text))).await.expect("an answer").body;
    assert!(inflated == text);
    let error = answered_with(encoded("gzip", &gzip(text + "x"))).await.expect_err("too long");
    assert_eq!(error, SendError::TooLarge { limit: LIMIT });
}

#[tokio::test]
async fn a_length_above_the_bound_is_refused_before_the_body_is_read() {
    // Nothing follows the head: only the length can be the reason.
    let error = answered_by(async |mut peer| {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", LIMIT + 1);
        peer.send(head).await;
        peer.ended().await;
        peer
    })
    .await
    .expect_err("too long");
    assert_eq!(error, SendError::TooLarge { limit: LIMIT });
}

#[tokio::test]
async fn a_body_without_an_end_is_refused_at_the_bound() {
    for head in [
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffff\r\n",
    ] {
        let error = answered_by(async |mut peer| {
            peer.send(head).await;
            while peer.0.write_all(&[b'x'; 4096]).await.is_ok() {}
            peer
        })
        .await
        .expect_err("too long");
        assert_eq!(error, SendError::TooLarge { limit: LIMIT }, "{head:?}");
    }
}

#[tokio::test]
async fn gzip_is_inflated_however_it_is_cut() {
    let text = "a document, a document, a document".repeat(1_000);
    let whole = gzip(&text);
    for coding in ["gzip", "GZIP", "x-gzip", "identity, gzip"] {
        let answer = answered_with(encoded(coding, &whole)).await.expect("an answer");
        assert!(answer.body == text, "{coding}");
        assert!(!answer.headers.contains_key("content-encoding"), "{coding}");
        assert!(!answer.headers.contains_key("content-length"), "{coding}");
    }

    let answer = answered_by(async |mut peer| {
        let head = "content-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n";
        peer.send(format!("HTTP/1.1 200 OK\r\n{head}")).await;
        for byte in &whole {
            peer.send([b"1\r\n".as_slice(), &[*byte], b"\r\n"].concat()).await;
        }
        peer.send("0\r\n\r\n").await;
        peer
    })
    .await;
    assert!(answer.expect("an answer").body == text);
}

#[tokio::test]
async fn a_gzip_of_several_members_is_one_body() {
    let several = [gzip("one, "), gzip(""), gzip("two")].concat();
    assert_eq!(answered_with(encoded("gzip", &several)).await.expect("an answer").body, "one, two");
}

#[tokio::test]
async fn endless_empty_members_are_refused_at_the_bound() {
    let member = gzip("");
    let many = member.repeat(LIMIT / member.len() + 1);
    let mut text = b"HTTP/1.0 200 OK\r\ncontent-encoding: gzip\r\n\r\n".to_vec();
    text.extend(many);
    let error = cut_off_after(text).await.expect_err("too long");
    assert_eq!(error, SendError::TooLarge { limit: LIMIT });
}

#[tokio::test]
async fn gzip_that_is_damaged_is_never_given() {
    let whole = gzip("a document ".repeat(1_000));
    let changed = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        bytes
    };
    for (what, bytes) in [
        ("nothing", Vec::new()),
        ("half of the head", whole[..5].to_vec()),
        ("only the head", whole[..10].to_vec()),
        ("half", whole[..whole.len() / 2].to_vec()),
        ("no checksum", whole[..whole.len() - 8].to_vec()),
        ("half of the checksum", whole[..whole.len() - 4].to_vec()),
        ("one byte less", whole[..whole.len() - 1].to_vec()),
        ("another checksum", changed(whole.len() - 8)),
        ("another length", changed(whole.len() - 1)),
        ("no gzip", b"{\"success\":true}".to_vec()),
        ("something behind it", [&whole[..], b"behind"].concat()),
        ("half of a second member", [&whole[..], &whole[..20]].concat()),
    ] {
        // Whole as far as HTTP is concerned.
        let mut text =
            b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n"
                .to_vec();
        if !bytes.is_empty() {
            text.extend(format!("{:x}\r\n", bytes.len()).as_bytes());
            text.extend(bytes);
            text.extend(b"\r\n");
        }
        text.extend(b"0\r\n\r\n");
        let error = answered_with(text).await.expect_err(what);
        assert_eq!(error, SendError::Encoding(EncodingError::Damaged), "{what}");
        assert_eq!(error.kind(), FailureKind::Malformed);
    }
}

#[tokio::test]
async fn other_encodings_are_refused_by_name() {
    for (coding, named) in [
        ("br", "br"),
        ("zstd", "zstd"),
        ("deflate", "deflate"),
        ("sec_orange", "something unknown"),
        ("gzip, gzip", "more than gzip"),
        ("gzip\r\ncontent-encoding: br", "more than gzip"),
    ] {
        let error = answered_with(encoded(coding, b"a body")).await.expect_err(coding);
        assert_eq!(error, SendError::Encoding(EncodingError::Unsupported(named)), "{coding}");
    }
}
