//! Claim: a poll that finds a 10 MB document unchanged costs a fraction of reading it, and next to
//! nothing when the upstream knows validators; neither compiles nor publishes.
//!
//! cargo bench --bench poll              (figures: benches/README.md)
//!
//! The upstream is a thread of this process on loopback, so its share of the time is in the figures.
#![allow(clippy::expect_used, reason = "a bench that cannot start should say so")]

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use burgee::app;
use burgee::config::{ProcessSurroundings, Settings, Source as SourceSettings};
use burgee::dialect::reflag::definitions;
use burgee::model::{Rules, Update};
use burgee::snapshot::Content;
use burgee::snapshot::publisher::next_version;
use burgee::source::{Look, ReflagSource, Source};
use burgee::time::Timestamp;
use bytes::Bytes;
use divan::Bencher;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

fn main() {
    divan::main();
}

const SIZE: usize = 10_000_000;
const NOW: Timestamp = Timestamp(1_773_576_000_000);

/// The reference document's flags again and again, until it is long enough.
fn document() -> Bytes {
    let reference: Value =
        serde_json::from_str(include_str!("reference.json")).expect("the reference is JSON");
    let sources = reference["features"].as_array().expect("it has features");
    let mut features = String::new();
    let mut number = 0;
    while features.len() < SIZE {
        let mut flag = sources[number % sources.len()].clone();
        flag["key"] = json!(format!("flag-{number}"));
        features.push_str(if number == 0 { "" } else { "," });
        features.push_str(&flag.to_string());
        number += 1;
    }
    Bytes::from(format!(r#"{{"success":true,"flagStateVersion":1,"features":[{features}]}}"#))
}

/// Serves the document on one connection after the other; with a tag, and 304 for who has it.
fn serve(document: Bytes, validators: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port of loopback is free");
    let address = listener.local_addr().expect("a bound socket has an address");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut lines = BufReader::new(stream.try_clone().expect("a second handle")).lines();
            let mut known = false;
            while let Some(Ok(line)) = lines.next() {
                known |= line.to_ascii_lowercase().starts_with("if-none-match");
                if !line.is_empty() {
                    continue;
                }
                let tag = if validators { "etag: \"1\"\r\n" } else { "" };
                let answer = if known && validators {
                    stream.write_all(b"HTTP/1.1 304 Not Modified\r\netag: \"1\"\r\n\r\n")
                } else {
                    let length = document.len();
                    write!(stream, "HTTP/1.1 200 OK\r\n{tag}content-length: {length}\r\n\r\n")
                        .and_then(|()| stream.write_all(&document))
                };
                known = false;
                if answer.is_err() {
                    break;
                }
            }
        }
    });
    address
}

/// A source that has seen the document once.
fn source(runtime: &Runtime, validators: bool) -> ReflagSource {
    let address = serve(document(), validators);
    let toml = format!(
        "[[environments]]\nname = \"bench\"\n\
         source = {{ type = \"reflag\", url = \"http://{address}\", secret_key = \"sec_bench_0123456789\" }}"
    );
    let file = Some((Path::new("bench.toml"), toml.as_str()));
    let settings = Settings::load(file, &ProcessSurroundings).expect("the settings are valid");
    let environment = &settings.environments[0];
    let SourceSettings::Reflag(reflag) = &environment.source else {
        unreachable!("the source is of type reflag")
    };
    let mut source = app::reflag_source(&settings, environment, reflag).expect("no CA file");
    let first = runtime.block_on(source.look(Look::at(NOW)));
    assert!(matches!(first.update, Update::Replace(..)), "{first:?}");
    source
}

fn poll_unchanged(bencher: Bencher<'_, '_>, validators: bool) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be made");
    let mut source = source(&runtime, validators);
    bencher.bench_local(|| {
        let sight = runtime.block_on(source.look(Look::at(NOW)));
        assert!(matches!(sight.update, Update::Unchanged(_)), "{sight:?}");
    });
}

/// The upstream answers 304.
#[divan::bench]
fn poll_unchanged_304(bencher: Bencher<'_, '_>) {
    poll_unchanged(bencher, true);
}

/// The upstream knows no validators, as Reflag's: 10 MB are fetched and hashed.
#[divan::bench]
fn poll_unchanged_body(bencher: Bencher<'_, '_>) {
    poll_unchanged(bencher, false);
}

/// What the same 10 MB cost when they are new, on the way to the publisher.
#[divan::bench]
fn read_document(bencher: Bencher<'_, '_>) {
    let document = document();
    bencher.bench_local(|| definitions::read_answer(&document));
}

/// What the publisher does with them.
#[divan::bench]
fn prepare_content(bencher: Bencher<'_, '_>) {
    let ruleset = definitions::read_answer(&document()).expect("it is valid");
    let rules = Rules::Reflag(ruleset);
    let toml = "[[environments]]\nname = \"bench\"\nsecret_keys = [\"sec_bench_0123456789\"]\n\
                source = { type = \"file\", path = \"unused\" }";
    let file = Some((Path::new("bench.toml"), toml));
    let settings = Settings::load(file, &ProcessSurroundings).expect("the settings are valid");
    let profile = app::profile(&settings.environments[0]);
    bencher.bench_local(|| {
        let fingerprint = Content::fingerprint_of(&rules, &profile);
        let version = next_version(None, Some(1));
        Content::prepare(rules.clone(), fingerprint, version, &profile)
    });
}
