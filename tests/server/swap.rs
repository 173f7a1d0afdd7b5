//! Snapshots that are swapped under readers.

use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::support::rules::{constant, document, is, when, with_payload};
use crate::support::wire::{Connection, Reply};
use crate::support::{Edge, until};

const PUBLISHES: u64 = 200;

/// Flags of every kind whose payloads repeat the version. Which of the flags with a context is on
/// for `acme` follows from the version too.
fn rules(version: u64) -> String {
    let flags: Vec<Value> = (0..24)
        .map(|n| {
            let filter = match n % 3 {
                0 => constant(true),
                1 => is("company.id", "acme"),
                _ => is("company.id", if version.is_multiple_of(2) { "acme" } else { "globex" }),
            };
            let flag = when(&format!("flag-{n}"), &filter);
            with_payload(flag, "v", &json!({"version": version, "n": n}))
        })
        .collect();
    document(version, &flags)
}

/// Checks that an answer is of one version throughout, and gives it.
fn version_of(reply: &Reply) -> u64 {
    let version: u64 =
        reply.header("burgee-version").expect("a version").parse().expect("a number");
    let mut plain = reply.body.clone();
    if reply.header("content-encoding") == Some("gzip") {
        plain.clear();
        flate2::read::GzDecoder::new(&*reply.body).read_to_end(&mut plain).expect("gzip");
    }
    let body: Value = serde_json::from_slice(&plain).expect("JSON");
    assert_eq!(body["flagStateVersion"], version);
    let check_payload = |n: u64, payload: &Value| {
        assert_eq!(*payload, json!({"version": version, "n": n}), "in version {version}");
    };
    if let Some(definitions) = body["features"].as_array() {
        assert_eq!(definitions.len(), 24);
        for (n, definition) in (0..).zip(definitions) {
            check_payload(n, &definition["config"]["variants"][0]["payload"]);
        }
    } else {
        let flags = body["features"].as_object().expect("a map");
        for (key, flag) in flags {
            let n: u64 = key.trim_start_matches("flag-").parse().expect("a number");
            check_payload(n, &flag["config"]["payload"]);
            let on = n % 3 != 2 || version.is_multiple_of(2);
            assert_eq!(flag["isEnabled"], json!(on), "{key} in version {version}");
        }
        let all = if version.is_multiple_of(2) { 24 } else { 16 };
        assert!(flags.len() == 1 || flags.len() == 24 || flags.len() == all, "{}", flags.len());
    }
    version
}

/// What each connection asks in turn: the path, whether with a secret key, whether compressed.
const ASKED: [(&str, bool, bool); 6] = [
    ("/features/evaluated?context.company.id=acme", false, false),
    ("/features/enabled?context.company.id=acme", true, false),
    ("/features/evaluated?key=flag-7&context.company.id=acme", false, false),
    ("/features", true, false),
    ("/features", true, true),
    ("/features/evaluated?context.company.id=acme", true, false),
];

/// A connection and what it has seen.
struct Reader<'a> {
    edge: &'a Edge,
    connection: Connection,
    last: u64,
    versions: u32,
    /// By question: the version and the tag of the last answer.
    tags: [(u64, String); ASKED.len()],
    /// By version, for all readers.
    fingerprints: &'a Mutex<HashMap<u64, String>>,
}

impl<'a> Reader<'a> {
    fn new(edge: &'a Edge, fingerprints: &'a Mutex<HashMap<u64, String>>) -> Self {
        let connection = Connection::open(edge.public);
        Self { edge, connection, last: 0, versions: 0, tags: Default::default(), fingerprints }
    }

    fn ask_all(&mut self) {
        for (question, (target, secret, compressed)) in ASKED.into_iter().enumerate() {
            let caller = if secret { self.edge.secret() } else { self.edge.publishable() };
            let coding = if compressed { "gzip" } else { "identity" };
            let request = caller.with("Accept-Encoding", coding).request("GET", target, b"");
            self.connection.write(request);
            let reply = self.connection.reply_to("GET");
            assert_eq!(reply.status, 200, "{reply}");
            self.check(question, compressed, &reply);
        }
    }

    fn check(&mut self, question: usize, compressed: bool, reply: &Reply) {
        let version = version_of(reply);
        assert!(version >= self.last, "{version} came after {}", self.last);
        self.versions += u32::from(version != self.last);
        self.last = version;
        let (before, tag) = std::mem::replace(&mut self.tags[question], (version, reply.etag()));
        // The compressed form is made a little after the publish, and its tag is another one.
        if !compressed {
            assert_eq!(version == before, reply.etag() == tag, "the tag follows the answer");
        }
        let fingerprint = reply.header("burgee-fingerprint").expect("a fingerprint").to_owned();
        let mut known = self.fingerprints.lock().unwrap();
        let known = known.entry(version).or_insert_with(|| fingerprint.clone());
        assert_eq!(*known, fingerprint, "one version is one content");
    }
}

#[test]
fn of_200_publishes_every_reader_sees_whole_versions_that_never_go_back() {
    let edge = Edge::serving(rules(1));
    let fingerprints = Mutex::new(HashMap::new());
    let finished = AtomicBool::new(false);
    let seen: Vec<_> = std::thread::scope(|scope| {
        let readers: Vec<_> = (0..3)
            .map(|_| {
                let mut reader = Reader::new(&edge, &fingerprints);
                let finished = &finished;
                scope.spawn(move || {
                    while !finished.load(Ordering::Relaxed) {
                        reader.ask_all();
                    }
                    // What was published before this request is in its answer.
                    reader.ask_all();
                    (reader.last, reader.versions)
                })
            })
            .collect();
        let mut session = edge.secret().connect();
        for version in 2..=PUBLISHES + 1 {
            edge.replace_rules("shop", &rules(version));
            until("the version", || {
                let reply = session.get("/features/evaluated?key=flag-0");
                (version_of(&reply) == version).then_some(())
            });
        }
        finished.store(true, Ordering::Relaxed);
        readers.into_iter().map(|reader| reader.join().expect("no reader failed")).collect()
    });
    for (last, versions) in seen {
        assert_eq!(last, PUBLISHES + 1);
        assert!(versions > 20, "a reader that sees few versions proves little: {versions}");
    }
    let labels = [("environment", "shop"), ("outcome", "changed")];
    assert_eq!(edge.metrics().count("burgee_source_fetches_total", &labels), PUBLISHES + 1);
    assert_eq!(edge.status("shop")["version"], PUBLISHES + 1);
    let fingerprints = fingerprints.into_inner().unwrap();
    let distinct: HashSet<_> = fingerprints.values().collect();
    assert_eq!(distinct.len(), fingerprints.len(), "every version means something else");
}
