//! The binary, as it is shipped: started with a configuration file, asked over its two ports.

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::{PATIENCE, Written, lines_of};

/// A running server with one environment. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Burgee {
    folder: PathBuf,
    environment: String,
    child: Child,
    public: SocketAddr,
    admin: SocketAddr,
    log: Written,
}

/// Where the system chooses a port.
const ANYWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

impl Burgee {
    /// Starts the server in a folder, with this below `[server]` and `[admin]`, which are on ports
    /// that the system chose.
    pub(crate) fn start(folder: &Path, environment: &str) -> Self {
        Self::start_at(ANYWHERE, folder.to_owned(), environment.to_owned())
    }

    /// Ends the server in order and starts it again at the address where its clients know it. It
    /// counts and logs from the beginning.
    pub(crate) fn restart(&mut self) {
        let kill = format!("kill -TERM {}", self.child.id());
        let told = Command::new("/bin/sh").args(["-c", &kill]).status();
        assert!(told.is_ok_and(|status| status.success()), "it runs and is ours");
        let ended = self.child.wait().expect("it is ours");
        assert!(ended.success(), "{ended}:\n{}", self.log());
        *self = Self::start_at(self.public, self.folder.clone(), self.environment.clone());
    }

    fn start_at(listen: SocketAddr, folder: PathBuf, environment: String) -> Self {
        let config = format!(
            "[server]\nlisten = \"{listen}\"\nworkers = 1\n[admin]\nlisten = \"{ANYWHERE}\"\n\n\
             {environment}"
        );
        fs::write(folder.join("burgee.toml"), config).expect("the folder is ours");
        let mut child = Command::new(env!("CARGO_BIN_EXE_burgee"))
            .arg("serve")
            .env_clear()
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary is built before its tests");
        let (lines, log) = lines_of(child.stderr.take().expect("its stderr is piped"));
        let (public, admin) = (ANYWHERE, ANYWHERE);
        let mut burgee = Self { folder, environment, child, public, admin, log };
        let serving = std::iter::from_fn(|| lines.recv_timeout(PATIENCE).ok())
            .find(|line| line.contains(" serving "))
            .unwrap_or_else(|| panic!("the server does not start:\n{}", burgee.log.so_far()));
        burgee.public = address(&serving, "listen");
        burgee.admin = address(&serving, "admin");
        burgee
    }

    /// Where SDKs find it.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.public)
    }

    /// Where its admin port is.
    pub(crate) fn admin_url(&self) -> String {
        format!("http://{}", self.admin)
    }

    /// Which version those with this key see; none when they see none yet.
    pub(crate) fn version(&self, key: &str) -> Option<u64> {
        let field = format!("Authorization: Bearer {key}\r\n");
        let answer = get(self.public, "/features/evaluated", &field);
        let (head, _) = answer.split_once("\r\n\r\n")?;
        let version = head.lines().find_map(|line| line.strip_prefix("burgee-version: "))?;
        head.starts_with("HTTP/1.1 200 ").then(|| version.parse().expect("a version is a number"))
    }

    /// What it answers to those with this key in the manner of Flagsmith; none unless that is 200.
    pub(crate) fn flagsmith(&self, path: &str, key: &str) -> Option<Value> {
        let field = format!("X-Environment-Key: {key}\r\n");
        let answer = get(self.public, &format!("/api/v1/{path}/"), &field);
        let (head, body) = answer.split_once("\r\n\r\n")?;
        head.starts_with("HTTP/1.1 200 ").then(|| serde_json::from_str(body).expect("JSON"))
    }

    /// How many requests of a route it answered with a status, by its metrics.
    pub(crate) fn answered(&self, route: &str, status: u16) -> u64 {
        let labels = format!("\",route=\"{route}\",status=\"{status}\"}} ");
        let metrics = get(self.admin, "/metrics", "");
        let counts = metrics.lines().filter_map(|line| {
            // The origin's port has some of the public port's routes.
            let line = line.strip_prefix("burgee_http_requests_total{dialect=\"")?;
            line.split_once(&labels).map(|(_, count)| count)
        });
        counts.map(|count| count.parse::<u64>().expect("a count is a number")).sum()
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        self.log.so_far()
    }
}

impl Drop for Burgee {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The address in a field of a log line.
fn address(line: &str, field: &str) -> SocketAddr {
    let value = line.split_once(&format!(" {field}=\"")).and_then(|(_, rest)| rest.split_once('"'));
    let (address, _) = value.unwrap_or_else(|| panic!("no {field} in {line:?}"));
    address.parse().expect("an address")
}

/// What whoever holds this key is answered, which has to go well.
pub(crate) fn get_json(address: SocketAddr, target: &str, key: &str) -> Value {
    let answer = get(address, target, &format!("Authorization: Bearer {key}\r\n"));
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 200 "), "{answer}");
    serde_json::from_str(body).expect("JSON")
}

/// Asks once; the whole answer.
fn get(address: SocketAddr, target: &str, fields: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("the server listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket takes options");
    let head = format!("GET {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    stream.write_all(format!("{head}{fields}\r\n").as_bytes()).expect("the server reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the server answers in time");
    answer
}
