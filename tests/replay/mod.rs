//! Replays recorded requests against the running binary, whose environments come from a fake
//! upstream each.

#![allow(
    dead_code,
    clippy::expect_used,
    clippy::panic,
    reason = "test code of which each target uses its own part"
)]

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::fake_upstream::{Document, Reply, Upstream};

/// Nothing here takes nearly as long; whatever does has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// A recorded environment.
pub(crate) struct Recorded {
    pub(crate) name: String,
    /// None where the document's own key is to do.
    pub(crate) client_keys: Vec<String>,
    pub(crate) server_keys: Vec<String>,
    pub(crate) document: Vec<u8>,
    /// More lines for its table.
    pub(crate) settings: &'static str,
}

/// The binary with its upstreams. All end when it is dropped.
pub(crate) struct Served {
    child: Child,
    public: SocketAddr,
    _folder: tempfile::TempDir,
    _upstreams: Vec<Upstream>,
}

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}

impl Served {
    /// Starts the binary and waits until it serves every environment.
    pub(crate) fn start(environments: &[Recorded]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let listen = "listen = \"127.0.0.1:0\"\n";
        let mut config = format!("[server]\n{listen}workers = 1\n[admin]\n{listen}");
        let mut upstreams = Vec::new();
        for environment in environments {
            let upstream = Upstream::serving(Document::empty(0));
            let reply = Reply::status(200)
                .header("Content-Type", "application/json")
                .body(environment.document.clone());
            upstream.answer("/api/v1/environment-document/", reply);
            let keys = |name: &str, keys: &[String]| match keys {
                [] => String::new(),
                keys => format!("{name} = {keys:?}\n"),
            };
            let (publishable, secret) = (
                keys("publishable_keys", &environment.client_keys),
                keys("secret_keys", &environment.server_keys),
            );
            let _ = write!(
                config,
                "[[environments]]\nname = {:?}\n{publishable}{secret}[environments.source]\n\
                 type = \"flagsmith\"\nurl = \"{}/api/v1\"\nserver_key = \"ser.upstream-{}\"\n{}",
                environment.name,
                upstream.url(),
                upstreams.len(),
                environment.settings,
            );
            upstreams.push(upstream);
        }
        std::fs::write(folder.path().join("burgee.toml"), config).expect("the folder is ours");
        let mut child = Command::new(env!("CARGO_BIN_EXE_burgee"))
            .arg("serve")
            .env_clear()
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary is built before its tests");
        let mut lines = BufReader::new(child.stderr.take().expect("its stderr is piped")).lines();
        let (mut public, mut live, mut log) = (None, 0, String::new());
        while public.is_none() || live < environments.len() {
            let Some(Ok(said)) = lines.next() else { panic!("the server ended:\n{log}") };
            if said.contains(" serving ") {
                let (_, rest) = said.split_once(" listen=\"").expect("it says where");
                public = rest.split_once('"').and_then(|(address, _)| address.parse().ok());
            }
            live += usize::from(said.contains("empty->live"));
            log.push_str(&said);
            log.push('\n');
            assert!(!said.contains("malformed"), "{log}");
        }
        // Nobody reads its log from here on, which does not end it.
        std::thread::spawn(move || lines.for_each(drop));
        let public = public.expect("it said where");
        Self { child, public, _folder: folder, _upstreams: upstreams }
    }

    /// Sends a request with exactly these fields.
    pub(crate) fn ask(
        &self,
        method: &str,
        target: &str,
        fields: &[(String, String)],
        body: Option<&[u8]>,
    ) -> Answer {
        let mut stream = TcpStream::connect(self.public).expect("the server listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket takes options");
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: edge\r\nConnection: close\r\n");
        for (name, value) in fields {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        if let Some(body) = body {
            let _ = write!(head, "Content-Length: {}\r\n", body.len());
        }
        let mut request = head.into_bytes();
        request.extend_from_slice(b"\r\n");
        request.extend_from_slice(body.unwrap_or_default());
        stream.write_all(&request).expect("the server reads");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("the server answers in time");
        let end = answer.windows(4).position(|w| w == b"\r\n\r\n").expect("an answer has a head");
        let head = String::from_utf8_lossy(&answer[..end]).into_owned();
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status");
        Answer { status, head, body: answer[end + 4..].to_vec() }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether two JSON texts mean the same: numbers by value, members in any order.
pub(crate) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            a == b || (a.as_f64() == b.as_f64() && a.is_f64() == b.is_f64())
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter().all(|(k, v)| b.get(k).is_some_and(|other| same(v, other)))
        }
        (a, b) => a == b,
    }
}
