//! A real server in this process: bound to port 0, run on its own thread, asked over TCP.
//!
//! Shared by test targets: `mod support;` with the path of this file.

#![allow(dead_code, reason = "each target uses its own part")]

pub(crate) mod events;
pub(crate) mod rules;
pub(crate) mod wire;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, Once, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use burgee::app::{App, Times};
use burgee::config::{Settings, Source, Surroundings};
use burgee::http::streams::StreamTimes;
use burgee::snapshot::Patience;
use burgee::time::{Clock, Stopwatch, Timestamp};
use serde_json::Value;
use tokio::sync::oneshot;

use wire::Caller;

/// The moment at which frozen clocks stand. Before any file of these tests was written.
pub(crate) const NOW: &str = "2026-06-01T12:00:00Z";

/// Longest wait for something that is bound to come. Nothing waits this long unless it fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// Looks until there is something to see.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let watch = Stopwatch::start();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(watch.elapsed() < PATIENCE, "still waiting for: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// An instant of a test.
pub(crate) fn at(moment: &str) -> Timestamp {
    Timestamp::parse(moment).expect("an RFC 3339 instant")
}

/// What one environment's part of the configuration says.
#[derive(Debug)]
pub(crate) struct Environment {
    name: String,
    document: Option<String>,
    format: &'static str,
    source: Option<String>,
    has_own_key: bool,
    settings: Vec<String>,
    tables: Vec<String>,
}

impl Environment {
    /// An environment whose keys are `pub_NAME` and `sec_NAME_0123456789`, and whose rules file
    /// does not exist.
    pub(crate) fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            document: None,
            format: "reflag",
            source: None,
            has_own_key: true,
            settings: Vec::new(),
            tables: Vec::new(),
        }
    }

    /// The same by another name, and with the keys of that name.
    pub(crate) fn renamed(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// With this in its rules file.
    pub(crate) fn holding(mut self, document: impl Into<String>) -> Self {
        self.document = Some(document.into());
        self
    }

    /// With rules in this format.
    pub(crate) fn format(mut self, format: &'static str) -> Self {
        self.format = format;
        self
    }

    /// With this below `[environments.source]` in place of a rules file.
    pub(crate) fn source(mut self, settings: impl Into<String>) -> Self {
        self.source = Some(settings.into());
        self
    }

    /// Without a publishable key: its document brings one.
    pub(crate) fn with_the_documents_key(mut self) -> Self {
        self.has_own_key = false;
        self
    }

    /// With one more line below `[[environments]]`.
    pub(crate) fn says(mut self, setting: &str) -> Self {
        self.settings.push(setting.to_owned());
        self
    }

    /// With one more table, such as `cors`.
    pub(crate) fn table(mut self, name: &str, settings: &str) -> Self {
        self.tables.push(format!("[environments.{name}]\n{settings}"));
        self
    }

    fn toml(&self, rules: &Path) -> String {
        let Self { name, format, source, settings, tables, has_own_key, .. } = self;
        let publishable = if *has_own_key {
            format!("publishable_keys = [{:?}]\n", publishable_key(name))
        } else {
            String::new()
        };
        let file = || {
            let path = rules.display().to_string();
            format!(
                "type = \"file\"\npath = {path:?}\nformat = {format:?}\npoll_interval = \"50ms\""
            )
        };
        format!(
            "[[environments]]\nname = {name:?}\n{publishable}secret_keys = [{:?}]\n\
             {}\n[environments.source]\n{}\n{}\n",
            secret_key(name),
            settings.join("\n"),
            source.clone().unwrap_or_else(file),
            tables.join("\n"),
        )
    }
}

/// What browsers of the environment hold.
pub(crate) fn publishable_key(environment: &str) -> String {
    format!("pub_{environment}")
}

/// What servers of the environment hold.
pub(crate) fn secret_key(environment: &str) -> String {
    format!("sec_{environment}_0123456789")
}

/// What the whole configuration says.
#[derive(Debug)]
pub(crate) struct Setup {
    server: Vec<String>,
    admin: Vec<String>,
    limits: Vec<String>,
    listen: String,
    drain: String,
    environments: Vec<Environment>,
    discover: Vec<String>,
    clock: Clock,
    times: Times,
    /// Sources are looked at more often than the configuration allows, so that tests do not wait.
    looks_often: bool,
}

impl Setup {
    /// One environment; the first one's keys are those of [`Edge::publishable`] and
    /// [`Edge::secret`].
    pub(crate) fn of(environment: Environment) -> Self {
        Self {
            server: Vec::new(),
            admin: Vec::new(),
            limits: Vec::new(),
            listen: "127.0.0.1:0".to_owned(),
            drain: "0s".to_owned(),
            environments: vec![environment],
            discover: Vec::new(),
            clock: Clock::frozen(at(NOW)),
            times: Times::default(),
            looks_often: true,
        }
    }

    /// No environment but those that are discovered. `settings` stand below `[[discover]]`.
    pub(crate) fn discovering(settings: impl Into<String>) -> Self {
        let none = Self::of(Environment::named("none"));
        Self { environments: Vec::new(), ..none }.and_discovering(settings)
    }

    /// And environments that are discovered.
    pub(crate) fn and_discovering(mut self, settings: impl Into<String>) -> Self {
        self.discover.push(settings.into());
        self
    }

    /// With the public port on a unix socket, for those who connect by themselves.
    pub(crate) fn listen_on_socket(mut self, path: &Path) -> Self {
        self.listen = format!("unix:{}", path.display());
        self
    }

    /// With so much time to finish when it is to stop; none otherwise.
    pub(crate) fn drain(mut self, time: &str) -> Self {
        time.clone_into(&mut self.drain);
        self
    }

    /// With requests that wait for a version held for so long at most, by class of keys.
    pub(crate) fn patience(mut self, publishable: Duration, secret: Duration) -> Self {
        self.times.patience = Patience { publishable, secret };
        self
    }

    /// With these times for event streams.
    pub(crate) fn streams(mut self, streams: StreamTimes) -> Self {
        self.times.streams = streams;
        self
    }

    /// With sources looked at as often as the configuration says: files every 50 ms.
    pub(crate) fn looking_as_configured(mut self) -> Self {
        self.looks_often = false;
        self
    }

    /// By the machine's clock.
    pub(crate) fn in_real_time(mut self) -> Self {
        self.clock = Clock::System;
        self
    }

    /// And another one.
    pub(crate) fn and(mut self, environment: Environment) -> Self {
        self.environments.push(environment);
        self
    }

    /// With one more line below `[server]`.
    pub(crate) fn server(mut self, setting: &str) -> Self {
        self.server.push(setting.to_owned());
        self
    }

    /// With one more line below `[admin]`.
    pub(crate) fn admin(mut self, setting: &str) -> Self {
        self.admin.push(setting.to_owned());
        self
    }

    /// With one more line below `[limits]`.
    pub(crate) fn limits(mut self, setting: &str) -> Self {
        self.limits.push(setting.to_owned());
        self
    }

    /// Starts the server and waits until it has looked at every environment's source.
    pub(crate) fn start(self) -> Edge {
        let names: Vec<_> = self.environments.iter().map(|e| e.name.clone()).collect();
        let edge = self.begin();
        for name in &names {
            until("the first look at the rules", || {
                let status = edge.status(name);
                let looked = status["last_success_at"].is_string()
                    || status["source"]["last_error"].is_object();
                looked.then_some(())
            });
        }
        edge
    }

    /// Starts the server and waits for nothing but its ports.
    pub(crate) fn begin(self) -> Edge {
        collect_log();
        let folder = folder().expect("a folder for the rules");
        let mut toml = format!(
            "[server]\nlisten = {:?}\ndrain = {:?}\nworkers = 2\n{}\n\
             [admin]\nlisten = \"127.0.0.1:0\"\n{}\n[limits]\n{}\n",
            self.listen,
            self.drain,
            self.server.join("\n"),
            self.admin.join("\n"),
            self.limits.join("\n"),
        );
        for environment in &self.environments {
            let rules = rules_file(folder.path(), &environment.name);
            if let Some(document) = &environment.document {
                fs::write(&rules, document).expect("the rules are written");
            }
            writeln!(toml, "{}", environment.toml(&rules)).expect("text grows");
        }
        for settings in &self.discover {
            writeln!(toml, "[[discover]]\ntype = \"flagsmith\"\n{settings}").expect("text grows");
        }
        let mut settings = Settings::load(Some((Path::new("test.toml"), &toml)), &NoSurroundings)
            .unwrap_or_else(|problems| panic!("{problems}\n{toml}"));
        if self.looks_often {
            for environment in &mut settings.environments {
                match &mut environment.source {
                    Source::File(file) => file.poll_interval = Duration::from_millis(2),
                    Source::Reflag(reflag) => reflag.poll_interval = Duration::from_millis(20),
                    Source::Flagsmith(flagsmith) => {
                        flagsmith.poll_interval = Duration::from_millis(20);
                    }
                    // Told at once.
                    Source::Origin(_) => {}
                }
            }
            for discover in &mut settings.discover {
                discover.poll_interval = Duration::from_millis(20);
            }
        }
        let (told, addresses) = mpsc::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let (clock, times) = (self.clock.clone(), self.times);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async move {
                let app = App::bind_with(settings, clock, times);
                let app = app.expect("both ports are free");
                told.send((app.address(), app.admin_address())).expect("the test is waiting");
                let stop = async { drop(stopped.await) };
                app.run(stop).await.expect("the server ends in order");
            });
        });
        let (public, admin) = addresses.recv().expect("the server is bound");
        Edge {
            public: public.parse().unwrap_or_else(|_| SocketAddr::from(([0, 0, 0, 0], 0))),
            admin: admin.parse().expect("an address"),
            clock: self.clock,
            name: self.environments.first().map(|e| e.name.clone()).unwrap_or_default(),
            folder,
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

/// In memory where the system has such a place: on a disk that others keep busy a rename over a
/// file can take seconds.
fn folder() -> io::Result<tempfile::TempDir> {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir())
}

/// A configuration that refers to nothing outside of itself.
struct NoSurroundings;

impl Surroundings for NoSurroundings {
    fn variable(&self, _: &str) -> Option<String> {
        None
    }

    fn read_file(&self, _: &Path) -> io::Result<String> {
        Err(io::ErrorKind::NotFound.into())
    }
}

fn rules_file(folder: &Path, environment: &str) -> PathBuf {
    folder.join(format!("{}.json", environment.replace('/', "-")))
}

/// A running server. Ends with the test.
#[derive(Debug)]
pub(crate) struct Edge {
    pub(crate) public: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) clock: Clock,
    name: String,
    folder: tempfile::TempDir,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Edge {
    fn drop(&mut self) {
        self.begin_to_stop();
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || !matches!(ended, Some(Err(_))), "the server panicked");
    }
}

impl Edge {
    /// A server with one environment named `shop`, default settings and the clock at [`NOW`].
    pub(crate) fn serving(document: impl Into<String>) -> Self {
        Setup::of(Environment::named("shop").holding(document)).start()
    }

    /// Tells the server to end.
    pub(crate) fn begin_to_stop(&mut self) {
        drop(self.stop.take());
    }

    /// Waits until the server has ended.
    pub(crate) fn until_stopped(&mut self) {
        let thread = self.thread.take().expect("it is awaited once");
        until("the end of the server", || thread.is_finished().then_some(()));
        thread.join().expect("the server ends in order");
    }

    /// Somebody without a key.
    pub(crate) fn anonymous(&self) -> Caller {
        Caller::of(self.public)
    }

    /// A browser of the first environment.
    pub(crate) fn publishable(&self) -> Caller {
        self.publishable_of(&self.name)
    }

    /// A server of the first environment.
    pub(crate) fn secret(&self) -> Caller {
        self.secret_of(&self.name)
    }

    /// A browser of an environment.
    pub(crate) fn publishable_of(&self, environment: &str) -> Caller {
        self.anonymous().bearer(&publishable_key(environment))
    }

    /// A server of an environment.
    pub(crate) fn secret_of(&self, environment: &str) -> Caller {
        self.anonymous().bearer(&secret_key(environment))
    }

    /// Somebody at the admin port.
    pub(crate) fn admin(&self) -> Caller {
        Caller::of(self.admin)
    }

    /// Where an environment's rules are.
    pub(crate) fn rules(&self, environment: &str) -> PathBuf {
        rules_file(self.folder.path(), environment)
    }

    /// Puts another document in the place of an environment's rules, by a rename.
    pub(crate) fn replace_rules(&self, environment: &str, document: &str) {
        let rules = self.rules(environment);
        let new = rules.with_extension("new");
        fs::write(&new, document).expect("the rules are written");
        fs::rename(&new, &rules).expect("the rules are replaced");
    }

    /// Replaces an environment's rules and waits until the change is served.
    pub(crate) fn publish(&self, environment: &str, document: &str) {
        let before = self.status(environment)["version"].clone();
        self.replace_rules(environment, document);
        until("the new rules", || (self.status(environment)["version"] != before).then_some(()));
    }

    /// Takes an environment's rules away and waits until that is noticed.
    pub(crate) fn lose_rules(&self, environment: &str) {
        fs::remove_file(self.rules(environment)).expect("there are rules");
        self.until_status(environment, |status| status["source"]["last_error"].is_object());
    }

    /// Moves the clock.
    pub(crate) fn now_is(&self, moment: &str) {
        self.clock.set(at(moment));
    }

    /// An environment in `GET /status`.
    pub(crate) fn status(&self, environment: &str) -> Value {
        let status = self.admin().get("/status").json();
        let all = status["environments"].as_array().expect("environments");
        let found = all.iter().find(|status| status["name"] == environment);
        found.unwrap_or_else(|| panic!("{environment} is in {status}")).clone()
    }

    /// Waits for an environment's status and gives it.
    pub(crate) fn until_status(&self, environment: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        until("a status", || Some(self.status(environment)).filter(&wanted))
    }

    /// All metrics of this moment.
    pub(crate) fn metrics(&self) -> Metrics {
        Metrics::parse(&self.admin().get("/metrics").text())
    }
}

/// What `GET /metrics` said.
#[derive(Debug)]
pub(crate) struct Metrics(Vec<Sample>);

#[derive(Debug)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

impl Metrics {
    fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        Self(lines.map(|line| Self::sample(line).unwrap_or_else(|| panic!("{line}"))).collect())
    }

    fn sample(line: &str) -> Option<Sample> {
        let (series, value) = line.rsplit_once(' ')?;
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let labels = labels.strip_suffix('}')?.split("\",").filter(|pair| !pair.is_empty());
        let labels = labels.map(|pair| {
            let (name, value) = pair.split_once("=\"")?;
            Some((name.to_owned(), value.trim_end_matches('"').to_owned()))
        });
        Some(Sample {
            name: name.to_owned(),
            labels: labels.collect::<Option<_>>()?,
            value: value.parse().ok()?,
        })
    }

    /// The sum of the samples that have these labels; none when there is no such sample.
    pub(crate) fn find(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let has = |sample: &Sample, (label, value): &(&str, &str)| {
            sample.labels.get(*label).is_some_and(|found| found == value)
        };
        let found: Vec<f64> = self
            .0
            .iter()
            .filter(|sample| sample.name == name && labels.iter().all(|label| has(sample, label)))
            .map(|sample| sample.value)
            .collect();
        (!found.is_empty()).then(|| found.iter().sum())
    }

    /// The same, where no sample means zero.
    pub(crate) fn count(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let value = self.find(name, labels).unwrap_or(0.0);
        format!("{value}").parse().unwrap_or_else(|_| panic!("{name} is a count: {value}"))
    }

    /// The names of all labels of a metric.
    pub(crate) fn labels(&self, name: &str) -> Vec<&str> {
        let sample = self.0.iter().find(|sample| sample.name == name);
        let sample = sample.unwrap_or_else(|| panic!("there is a sample of {name}"));
        sample.labels.keys().map(String::as_str).collect()
    }
}

/// All that any server of this process has logged so far.
static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// What has been logged so far.
pub(crate) fn logged() -> String {
    let log = LOG.lock().unwrap_or_else(PoisonError::into_inner);
    String::from_utf8_lossy(&log).into_owned()
}

fn collect_log() {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(|| Lines)
            .init();
    });
}

struct Lines;

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
