//! Environments that follow an upstream, and what is asked of them in many tests.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::fake_upstream::{Document, PUBLISHABLE_KEY, SECRET_KEY, Upstream};
use crate::support::rules::{is, on, when, with_payload};
use crate::support::wire::{Caller, Reply};
use crate::support::{Edge, Environment, Setup, publishable_key, secret_key};

/// The name of the environment in tests that need one only.
pub(crate) const SHOP: &str = "shop";

/// The source of an environment: where the upstream is and how it is asked.
#[derive(Clone, Debug)]
pub(crate) struct Following {
    url: String,
    secret_key: String,
    publishable_key: String,
    poll_interval: &'static str,
    timeout: &'static str,
    push: bool,
}

impl Following {
    /// Follows the fake upstream. Patient: on a busy machine an upstream that is well must not seem
    /// to be slow.
    pub(crate) fn upstream(upstream: &Upstream) -> Self {
        Self {
            url: upstream.url(),
            secret_key: SECRET_KEY.to_owned(),
            publishable_key: PUBLISHABLE_KEY.to_owned(),
            poll_interval: "100ms",
            timeout: "60s",
            push: false,
        }
    }

    /// Follows an environment of another edge.
    pub(crate) fn edge(edge: &Edge, environment: &str) -> Self {
        Self {
            url: format!("http://{}", edge.public),
            secret_key: secret_key(environment),
            publishable_key: publishable_key(environment),
            poll_interval: "100ms",
            timeout: "60s",
            push: false,
        }
    }

    /// Asks so often. To be started with [`Setup::looking_as_configured`].
    pub(crate) fn every(self, poll_interval: &'static str) -> Self {
        Self { poll_interval, ..self }
    }

    /// Waits so long for a whole answer.
    pub(crate) fn timeout(self, timeout: &'static str) -> Self {
        Self { timeout, ..self }
    }

    /// Follows the event stream, too. Tests of polls count requests, so theirs do not.
    pub(crate) fn pushed(self) -> Self {
        Self { push: true, ..self }
    }

    /// An environment with this source.
    pub(crate) fn named(&self, name: &str) -> Environment {
        let Self { url, secret_key, publishable_key, poll_interval, timeout, push } = self;
        Environment::named(name).source(format!(
            "type = \"reflag\"\nurl = {url:?}\nsecret_key = {secret_key:?}\n\
             upstream_publishable_key = {publishable_key:?}\n\
             poll_interval = {poll_interval:?}\ntimeout = {timeout:?}\npush = {push}"
        ))
    }

    /// A server with one environment that has this source.
    pub(crate) fn start(&self) -> Edge {
        Setup::of(self.named(SHOP)).start()
    }
}

/// Two public flags, a secret one, and one by which versions can be told apart.
pub(crate) fn document(version: u64) -> Document {
    Document::empty(version)
        .flag(on("open"))
        .flag(when("acme-only", &is("company.id", "acme")))
        .secret_flag(with_payload(on("hidden"), "large", &json!({"hidden": "treasure"})))
        .flag(on(&format!("since-{version}")))
}

/// What clients with either key are told on every route, byte for byte but for the dates.
pub(crate) fn answers(edge: &Edge) -> Vec<String> {
    let (publishable, secret) = (edge.publishable(), edge.secret());
    let asked = [
        publishable.get("/features/evaluated"),
        publishable.get("/features/evaluated?context.company.id=acme"),
        publishable.get("/features/enabled?context.company.id=acme"),
        publishable.get("/features/evaluated?key=hidden"),
        secret.get("/features/evaluated?context.company.id=acme"),
        secret.get("/features/enabled"),
        secret.get("/features"),
    ];
    asked.into_iter().map(|reply| reply.without_date().to_string()).collect()
}

/// Asserts that clients of an environment are told to come again later, whatever their key.
#[track_caller]
pub(crate) fn assert_not_ready(edge: &Edge) {
    assert_not_ready_for(&edge.secret(), &["/features", "/features/evaluated"]);
    assert_publishable_not_ready(edge);
}

/// The same of publishable keys alone.
#[track_caller]
pub(crate) fn assert_publishable_not_ready(edge: &Edge) {
    let targets = ["/features/evaluated", "/features/enabled", "/features/evaluated?key=open"];
    assert_not_ready_for(&edge.publishable(), &targets);
}

#[track_caller]
fn assert_not_ready_for(caller: &Caller, targets: &[&str]) {
    for target in targets {
        let reply = caller.get(target);
        reply.assert_error(503, "NOT_READY");
        assert!(reply.header("retry-after").is_some(), "{reply}");
    }
}

/// Waits until this version is served and nothing is wrong any more; asserts that clients with
/// either key have it.
#[track_caller]
pub(crate) fn until_well(edge: &Edge, version: u64) {
    let status =
        edge.until_status(SHOP, |status| status["state"] == "live" && status["version"] == version);
    assert_eq!(status["source"]["last_error"], Value::Null);
    assert_eq!(status["source"]["consecutive_failures"], 0);
    assert_eq!(served_version(&edge.secret().get("/features")), version);
    for caller in [edge.publishable(), edge.secret()] {
        assert_eq!(served_version(&caller.get("/features/evaluated")), version);
    }
    assert_eq!(edge.admin().get("/health/ready").status, 200);
}

/// The version that an answer is of, by its body and by its head.
#[track_caller]
pub(crate) fn served_version(reply: &Reply) -> u64 {
    assert_eq!(reply.status, 200, "{reply}");
    let version = reply.json()["flagStateVersion"].as_u64().expect("a version");
    assert_eq!(reply.header("burgee-version"), Some(&*version.to_string()));
    version
}

/// Waits until the environment's fetches fail, however few or many have by then, and gives its
/// status.
#[track_caller]
pub(crate) fn until_failing(edge: &Edge) -> Value {
    edge.until_status(SHOP, |status| status["source"]["last_error"].is_object())
}

/// Waits for so many more fetches, whatever comes of them.
pub(crate) fn until_more_fetches(edge: &Edge, count: u64) {
    let all = || outcomes(edge).values().sum::<u64>();
    let before = all();
    crate::support::until("more fetches", || (all() >= before + count).then_some(()));
}

/// How often fetches ended in which way so far; what never happened is left out.
pub(crate) fn outcomes(edge: &Edge) -> BTreeMap<&'static str, u64> {
    const OUTCOMES: [&str; 10] = [
        "changed",
        "unchanged",
        "rejected",
        "older",
        "unauthorized",
        "timeout",
        "network",
        "status_4xx",
        "status_5xx",
        "malformed",
    ];
    let metrics = edge.metrics();
    let count = |outcome| {
        let labels = [("environment", SHOP), ("outcome", outcome)];
        (outcome, metrics.count("burgee_source_fetches_total", &labels))
    };
    OUTCOMES.into_iter().map(count).filter(|(_, count)| *count > 0).collect()
}

/// The failures among the outcomes that are in `now` and not yet in `before`.
pub(crate) fn failures_since(
    before: &BTreeMap<&'static str, u64>,
    now: &BTreeMap<&'static str, u64>,
) -> Vec<&'static str> {
    let moved = now.iter().filter(|(outcome, count)| before.get(*outcome) != Some(count));
    moved.map(|(outcome, _)| *outcome).filter(|o| !matches!(*o, "changed" | "unchanged")).collect()
}

/// Keys of flags that publishable keys are shown.
pub(crate) fn shown_to_publishable(edge: &Edge) -> Vec<String> {
    edge.publishable().get("/features/evaluated").keys()
}

/// Checks every row of a table, eight at a time since most of each check is waiting; names those
/// that failed once all are done.
#[track_caller]
pub(crate) fn for_each_row<R: Sync>(
    rows: &[R],
    name: impl Fn(&R) -> &str + Sync,
    check: impl Fn(&R) + Sync,
) {
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..rows.len().min(8) {
            scope.spawn(|| {
                while let Some(row) = rows.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if catch_unwind(AssertUnwindSafe(|| check(row))).is_err() {
                        failed.lock().unwrap().push(name(row));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "failed:\n  {}", failed.join("\n  "));
}
