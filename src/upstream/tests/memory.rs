//! What hostile answers cost: counted on the client's thread, the peer has its own.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;

use flate2::{Compress, Compression, FlushCompress};

use super::*;

const MIB: usize = 1 << 20;

/// Answers one request with `start`, then with `unit` as often as `times` says or anybody reads.
fn pouring(start: &'static [u8], unit: Vec<u8>, times: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut head = [0; 1024];
        let _ = stream.read(&mut head);
        let _ = stream.write_all(start);
        for _ in 0..times {
            if stream.write_all(&unit).is_err() {
                return;
            }
        }
        // Open until the client goes, so that no end of a connection is the reason.
        let _ = stream.read(&mut head);
    });
    address
}

/// The error, and the most memory that was held at a time.
fn cost(address: SocketAddr, body: usize) -> (SendError, usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let client = client();
    let mut error = None;
    let used = allocation_counter::measure(|| {
        let asked = get(&format!("http://{address}/"));
        let bounds = Bounds { body, ..BOUNDS };
        error = Some(runtime.block_on(client.send(asked, bounds)).expect_err("an error"));
    });
    (error.expect("an error"), usize::try_from(used.bytes_max).expect("a size"))
}

/// A mebibyte of zeros as deflate, in a form that can be repeated: what follows refers to nothing
/// before it.
fn deflated_zeros() -> Vec<u8> {
    let mut deflated = Vec::with_capacity(64 << 10);
    let mut compress = Compress::new(Compression::best(), false);
    compress
        .compress_vec(&vec![0; MIB], &mut deflated, FlushCompress::Full)
        .expect("room for the result");
    assert_eq!(compress.total_in(), MIB as u64);
    deflated
}

#[test]
fn a_gzip_bomb_fails_at_the_bound() {
    let start = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n\
                  \x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff";
    let unit = deflated_zeros();
    assert!(unit.len() < MIB / 500, "{}", unit.len());
    // 1 GiB, sent as one or two MiB.
    let address = pouring(start, unit, 1024);
    let (error, used) = cost(address, 8 * MIB);
    assert_eq!(error, SendError::TooLarge { limit: 8 * MIB });
    assert!(used < 12 * MIB + MIB / 2, "{used} bytes");
    assert!(used > 8 * MIB, "it was inflated at all: {used} bytes");
}

#[test]
fn a_body_without_an_end_fails_at_the_bound() {
    let address = pouring(b"HTTP/1.1 200 OK\r\n\r\n", vec![b'x'; MIB], usize::MAX);
    let (error, used) = cost(address, 8 * MIB);
    assert_eq!(error, SendError::TooLarge { limit: 8 * MIB });
    assert!(used < 12 * MIB + MIB / 2, "{used} bytes");
}

#[test]
fn a_head_without_an_end_fails_early() {
    for (start, unit) in [
        (&b"HTTP/1.1 200 OK\r\n"[..], b"a: b\r\n".repeat(1000)),
        (b"HTTP/1.1 200 OK\r\na: ", vec![b'x'; 4096]),
        (b"HTTP/1.1 200 ", vec![b'x'; 4096]),
    ] {
        let (error, used) = cost(pouring(start, unit, usize::MAX), 8 * MIB);
        assert_eq!(error, SendError::HeadTooLarge, "{}", String::from_utf8_lossy(start));
        assert!(used < MIB / 2, "{used} bytes");
    }
}
