//! The worst-case memory: the sum of all bounds (DESIGN section 2, invariant 8).
//!
//! Each part is what a bound allows, not what is likely; a part whose bound is a setting says
//! which. The kernel's socket buffers are not the process's and are left out.

use std::collections::BTreeSet;
use std::fmt;

use super::output::{count, grouped};
use super::rules::Rules;
use crate::admin;
use crate::app;
use crate::config::{Settings, Source};
use crate::dialect::flagsmith::listing::MOST_ENTRIES;
use crate::http::routing;
use crate::http::worker::HEAD_BEYOND_URL;
use crate::json::write_string;
use crate::model::{Filter, Flag, Ruleset};
use crate::origin;
use crate::snapshot::Family;
use crate::source::{self, LIST_BYTE, LIST_ENTRY, STREAM_MEMORY};

/// One bound.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) what: &'static str,
    /// How the bytes come about.
    pub(super) reckoning: String,
    pub(super) bytes: u64,
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// Longest document of a source.
pub(super) const LONGEST_DOCUMENT: u64 = source::MAX_DOCUMENT;

/// What is held for each byte of a features document: the flags as they came and as they are
/// understood, the program, the pieces of answers and the prepared bodies. Both factors are those
/// of the densest documents that the test below could think of; ordinary ones stay far below.
const HELD: u64 = 52;
/// The same while it is prepared, the document itself and the compressor's tables included.
const PREPARED: u64 = 100;
/// The least that preparing takes.
const PREPARED_AT_LEAST: u64 = 512 * KIB;

/// Documents of one upstream that may be in memory at once, beside the rules made of them: one as
/// it arrives, the same inflated, and the one before.
const UPSTREAM_DOCUMENTS: u64 = 3;

/// A request that waits for a version, beside its connection: its timer and its place in the line.
const WAITER: u64 = 512;

/// A client on an event stream, beside its connection: its place among those who listen, and with
/// HTTP/2 the stream itself.
const EVENT_STREAM: u64 = 2 * KIB;

/// A connection without its head: its task, its state, and the buffer of its answer's head.
const CONNECTION: u64 = 16 * KIB;
/// hyper's own bound on a head where none is set, as on the admin port.
const ADMIN_HEAD: u64 = 408 * KIB;
/// HTTP/2: streams of one connection, headers of one stream, bytes that may come before they are
/// asked for (`http::worker`, hyper).
const STREAMS: u64 = 128;
const STREAM_HEADERS: u64 = 64 * KIB;
const WINDOW: u64 = MIB;
/// Contexts are parsed within this many times the body (DESIGN section 7).
const CONTEXT_PER_BODY: u64 = 4;
/// What a management call takes for each byte of its body at worst: the body, the tree that is read
/// from it, and what is to be changed.
const ORIGIN_BODY: u64 = 64;
/// Stack of a thread that Rust starts; the main thread's is the system's.
const STACK: u64 = 2 * MIB;
const MAIN_STACK: u64 = 8 * MIB;
/// Counters of one route in one worker, and of one environment in all.
const ROUTE_COUNTERS: u64 = 256;
const ENVIRONMENT_COUNTERS: u64 = 32 * KIB;
/// Counters of one slot for an environment that is discovered, in one worker.
const SLOT_COUNTERS: u64 = 32;
/// The program, its runtime and the allocator, before anybody asks for anything.
const IDLE: u64 = 12 * MIB;

/// All bounds with the rules as they are now; those of upstreams are not known here.
pub(super) fn parts(settings: &Settings, rules: &[Rules]) -> Vec<Part> {
    let documents: Vec<u64> = rules.iter().map(|rules| rules.document_bytes).collect();
    parts_with(settings, rules, &documents)
}

/// All bounds with every document as long as it may become.
pub(super) fn parts_with_longest_documents(settings: &Settings, rules: &[Rules]) -> Vec<Part> {
    let environments = settings.environments.len() + discovered(settings);
    parts_with(settings, rules, &vec![LONGEST_DOCUMENT; environments])
}

pub(super) fn sum(parts: &[Part]) -> u64 {
    parts.iter().fold(0, |sum, part| sum.saturating_add(part.bytes))
}

fn parts_with(settings: &Settings, rules: &[Rules], documents: &[u64]) -> Vec<Part> {
    let limits = &settings.limits;
    let (connections, workers) = (limits.connections as u64, app::worker_count(settings) as u64);
    let head_buffer = (limits.url as u64 + HEAD_BEYOND_URL as u64).max(8 * KIB);
    let answer = longest_of_all_answers(settings, rules);
    let held = documents.iter().fold(0_u64, |sum, &bytes| sum.saturating_add(bytes));
    let longest = documents.iter().max().copied().unwrap_or(0);
    let environments = settings.environments.len() + discovered(settings);
    let reports = app::REPORTS.min(environments) as u64;
    let keys = keys(settings);

    let mut parts = Vec::new();
    let mut part = |what, bytes, reckoning| parts.push(Part { what, reckoning, bytes });
    // The head of the request that is being answered, and a buffer for what follows it.
    part(
        "connections",
        product(connections, 2 * head_buffer + CONNECTION),
        format!(
            "limits.connections {} x (2 x (limits.url + {}) + {})",
            grouped(limits.connections),
            Bytes(HEAD_BEYOND_URL as u64),
            Bytes(CONNECTION)
        ),
    );
    let mut answers = connections;
    if settings.server.h2c {
        answers = product(connections, STREAMS);
        part(
            "HTTP/2",
            product(connections, WINDOW + STREAMS * STREAM_HEADERS),
            format!(
                "server.h2c: each connection {} + {STREAMS} streams x {}",
                Bytes(WINDOW),
                Bytes(STREAM_HEADERS)
            ),
        );
    }
    part(
        "answers",
        product(answers, answer),
        format!("{} x the longest answer, {}", grouped(answers as usize), Bytes(answer)),
    );
    part(
        "request bodies",
        product(2, limits.in_flight_body_bytes as u64),
        "2 x limits.in_flight_body_bytes, since a body that grows is moved".to_owned(),
    );
    let context = product(CONTEXT_PER_BODY, limits.body as u64);
    part(
        "contexts",
        product(workers, context.saturating_add(answer)),
        format!("{workers} workers x ({CONTEXT_PER_BODY} x limits.body + the longest answer)"),
    );
    part(
        "event streams",
        product(limits.streams as u64, EVENT_STREAM),
        format!("limits.streams {} x {}", grouped(limits.streams), Bytes(EVENT_STREAM)),
    );
    let (bytes, reckoning) = waiters(settings);
    part("waiters", bytes, reckoning);
    part("rules, held", product(HELD, held), format!("{HELD} x the documents, {}", Bytes(held)));
    part(
        "rules, prepared",
        prepared(longest),
        format!("{PREPARED} x the longest document, one at a time"),
    );
    if let Some((bytes, reckoning)) = upstream_documents(settings) {
        part("upstream documents", bytes, reckoning);
    }
    if let Some((bytes, reckoning)) = upstream_streams(settings) {
        part("upstream event streams", bytes, reckoning);
    }
    if let Some((bytes, reckoning)) = lists(settings) {
        part("lists of environments", bytes, reckoning);
    }
    part(
        "report queue",
        product(reports, product(HELD, longest)),
        format!("{reports} x {HELD} x the longest document"),
    );
    let (bytes, reckoning) = admin_port();
    part("admin port", bytes, reckoning);
    if let Some((bytes, reckoning)) = origin_bounds(settings) {
        part("origin", bytes, reckoning);
    }
    part(
        "keys, metrics",
        128 * keys
            + workers * routing::LABELS.len() as u64 * ROUTE_COUNTERS
            + environments as u64 * ENVIRONMENT_COUNTERS
            + product(workers, 2 * discovered(settings) as u64) * SLOT_COUNTERS,
        "fixed by the configuration".to_owned(),
    );
    part(
        "threads",
        MAIN_STACK + product(workers + 1, STACK),
        format!("stacks of {workers} workers, the publisher and the main thread"),
    );
    part("Burgee, idle", IDLE, String::new());
    parts
}

/// The longest answer that any environment gives.
fn longest_of_all_answers(settings: &Settings, rules: &[Rules]) -> u64 {
    let answers = rules.iter().map(|rules| match &rules.content.family {
        Family::Reflag(content) => longest_answer(&content.ruleset),
        // An answer tells traits again, in room for twice the body that brought them.
        Family::Flagsmith(content) => (content.answers.longest() as u64)
            .saturating_add(product(2, settings.limits.body as u64) + 256),
    });
    answers.max().unwrap_or(0)
}

/// What a list holds beside two keys for each environment is part of the list.
fn keys(settings: &Settings) -> u64 {
    let configured = settings.environments.iter();
    let configured = configured.map(|e| e.publishable_keys.len() + e.secret_keys.len());
    (configured.sum::<usize>() + 2 * discovered(settings)) as u64
}

/// How many environments may come beside those of the configuration.
fn discovered(settings: &Settings) -> usize {
    settings.discover.iter().map(|discover| discover.max_environments).sum()
}

/// None where nothing is discovered.
fn lists(settings: &Settings) -> Option<(u64, String)> {
    let lists = settings.discover.len();
    let (entries, longest) = (MOST_ENTRIES as u64, source::MAX_LIST);
    let reckoning = format!(
        "{} x ({LIST_BYTE} x {} + {} entries x {})",
        count(lists, "discover"),
        Bytes(longest),
        grouped(MOST_ENTRIES),
        Bytes(LIST_ENTRY)
    );
    let bytes = product(lists as u64, LIST_BYTE * longest + entries * LIST_ENTRY);
    (lists > 0).then_some((bytes, reckoning))
}

fn waiters(settings: &Settings) -> (u64, String) {
    let environments = settings.environments.len() + discovered(settings);
    let waiters = settings.limits.waiters_per_environment;
    let reckoning = format!(
        "limits.waiters_per_environment {} x {} x {}",
        grouped(waiters),
        count(environments, "environment"),
        Bytes(WAITER)
    );
    (product(product(environments as u64, waiters as u64), WAITER), reckoning)
}

fn admin_port() -> (u64, String) {
    let (connections, body) = (admin::CONNECTIONS, admin::BODY as u64);
    let reckoning = format!(
        "{connections} connections x (2 x {} of head + {} of body)",
        Bytes(ADMIN_HEAD),
        Bytes(body)
    );
    (product(connections as u64, 2 * ADMIN_HEAD + body), reckoning)
}

/// None when there is no origin.
fn origin_bounds(settings: &Settings) -> Option<(u64, String)> {
    settings.origin.as_ref()?;
    let heads = product(origin::CONNECTIONS as u64, 2 * origin::HEAD as u64);
    let held = (origin::LONG_BODIES + origin::SHORT_BODIES) as u64;
    let bodies = product(ORIGIN_BODY, held);
    let reckoning = format!(
        "{} connections x 2 x {} of head, {ORIGIN_BODY} x {} of bodies, database {}",
        grouped(origin::CONNECTIONS),
        Bytes(origin::HEAD as u64),
        Bytes(held),
        Bytes(origin::STORE_MEMORY),
    );
    Some((heads.saturating_add(bodies).saturating_add(origin::STORE_MEMORY), reckoning))
}

/// None when there are no upstreams.
fn upstream_documents(settings: &Settings) -> Option<(u64, String)> {
    let sources = settings.environments.iter().map(|environment| &environment.source);
    let upstreams =
        sources.filter(|source| !matches!(source, Source::File(_) | Source::Origin(_))).count();
    let upstreams = upstreams + discovered(settings);
    let reckoning = format!(
        "{} x {UPSTREAM_DOCUMENTS} x {}, the longest that is taken",
        count(upstreams, "upstream"),
        Bytes(LONGEST_DOCUMENT)
    );
    let bytes = product(upstreams as u64, product(UPSTREAM_DOCUMENTS, LONGEST_DOCUMENT));
    (upstreams > 0).then_some((bytes, reckoning))
}

/// None when no event stream of an upstream is followed.
fn upstream_streams(settings: &Settings) -> Option<(u64, String)> {
    let followed = settings.environments.iter().filter(|environment| match &environment.source {
        Source::Reflag(source) => source.push,
        Source::Flagsmith(source) => source.push,
        Source::File(_) | Source::Origin(_) => false,
    });
    let lists = settings.discover.iter().filter(|discover| discover.push);
    let streams = followed.count() + lists.map(|list| list.max_environments).sum::<usize>();
    let reckoning = format!("{} x {}", count(streams, "stream"), Bytes(STREAM_MEMORY));
    (streams > 0).then_some((product(streams as u64, STREAM_MEMORY), reckoning))
}

fn product(left: u64, right: u64) -> u64 {
    left.saturating_mul(right)
}

fn prepared(document: u64) -> u64 {
    product(PREPARED, document).max(PREPARED_AT_LEAST)
}

/// No answer to a context is longer.
fn longest_answer(ruleset: &Ruleset) -> u64 {
    /// Everything in an answer, or in one flag of it, that does not depend on the flag.
    const FRAME: usize = 256;
    let length: usize = ruleset.flags.iter().map(|flag| FRAME + longest_entry(flag)).sum();
    (FRAME + length) as u64
}

fn longest_entry(flag: &Flag) -> usize {
    let config = flag.config.as_ref().map_or(0, |config| {
        let variant = config.variants.iter().map(|variant| {
            let payload = variant.payload.as_ref().map_or(0, |payload| payload.get().len());
            quoted_length(&variant.key) + payload
        });
        variant.max().unwrap_or(0) + longest_outcome(config.variants.iter().map(|v| &v.filter))
    });
    2 * quoted_length(&flag.key) + longest_outcome(flag.targeting.rules.iter()) + config
}

/// The word `false` for each filter, and each attribute once, as missing.
fn longest_outcome<'f>(filters: impl Iterator<Item = &'f Filter>) -> usize {
    let mut names = BTreeSet::new();
    let words = filters.inspect(|filter| collect_names(filter, &mut names)).count();
    "false,".len() * words + names.into_iter().map(|name| quoted_length(name) + 1).sum::<usize>()
}

fn collect_names<'f>(filter: &'f Filter, names: &mut BTreeSet<&'f str>) {
    match filter {
        Filter::Constant(_) | Filter::Unknown(_) => {}
        Filter::Group { filters, .. } => filters.iter().for_each(|f| collect_names(f, names)),
        Filter::Negation(inner) => collect_names(inner, names),
        Filter::Condition(condition) => drop(names.insert(&condition.attribute)),
        Filter::Rollout(rollout) => drop(names.insert(&rollout.attribute)),
    }
}

fn quoted_length(text: &str) -> usize {
    let mut quoted = String::new();
    write_string(text, &mut quoted);
    quoted.len()
}

/// A number of bytes for people: `1.4 GiB`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bytes(pub(super) u64);

impl fmt::Display for Bytes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
        match units.into_iter().find(|(unit, _)| self.0 >= *unit) {
            None => write!(formatter, "{} B", self.0),
            Some((unit, name)) if self.0.is_multiple_of(unit) => {
                write!(formatter, "{} {name}", self.0 / unit)
            }
            Some((unit, name)) => {
                let tenths = (u128::from(self.0) * 10).div_ceil(u128::from(unit));
                write!(formatter, "{}.{} {name}", tenths / 10, tenths % 10)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use std::num::NonZeroUsize;

    use super::super::rules;
    use super::*;
    use crate::config::ProcessSurroundings;
    use crate::dialect::reflag::{Answer, Selection};
    use crate::evaluate::{EvaluationContext, Evaluator};
    use crate::model::KeyClass;
    use crate::time::Timestamp;

    /// Settings with one environment whose rules are `document`.
    fn read(document: &str) -> (Settings, Rules, allocation_counter::AllocationInfo) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("flags.json");
        std::fs::write(&path, document).unwrap();
        let toml = format!(
            "[[environments]]\nname = \"a\"\nsecret_keys = [\"s\"]\n\
             source = {{ type = \"file\", path = {path:?} }}\n"
        );
        let file = Some((std::path::Path::new("burgee.toml"), toml.as_str()));
        let settings = Settings::load(file, &ProcessSurroundings).unwrap();
        let mut rules = None;
        let used = allocation_counter::measure(|| {
            rules = rules::read(&settings, &settings.environments[0], Timestamp(0)).ok();
            if let Some(rules) = &rules {
                rules.content.compress();
            }
        });
        (settings, rules.unwrap(), used)
    }

    /// Documents of one kind of thing only, each with as many bytes of it as fit.
    fn dense_documents() -> Vec<(&'static str, String)> {
        let flag = |key: usize, rules: &str| {
            format!("{{\"key\":\"f{key}\",\"targeting\":{{\"version\":1,\"rules\":[{rules}]}}}}")
        };
        let document = |flags: &str| format!("{{\"features\":[{flags}]}}");
        let joined = |count: usize, write: &dyn Fn(usize) -> String| {
            (0..count).map(write).collect::<Vec<_>>().join(",")
        };
        let condition = |attribute: &str, operator: &str, values: &str| {
            format!(
                "{{\"filter\":{{\"type\":\"context\",\"field\":\"{attribute}\",\
                 \"operator\":\"{operator}\",\"values\":[{values}]}}}}"
            )
        };
        let constant = "{\"filter\":{\"type\":\"constant\",\"value\":true}}";
        let short = joined(20_000, &|n| format!("\"{n}\""));
        let numbers = joined(20_000, &|n| (n % 10).to_string());
        let attributes = joined(3_000, &|n| condition(&format!("a{n}"), "SET", ""));
        let deep = joined(2_000, &|n| condition(&format!("a.{n}.b.{n}.c"), "IS", "\"x\""));
        let patterns = joined(3_000, &|n| condition("a", "CONTAINS", &format!("\"{n}\"")));
        let mut payload = String::new();
        let _ = write!(payload, "\"{}\"", "x".repeat(100_000));
        let config = format!(
            "{{\"key\":\"f\",\"targeting\":{{\"version\":1,\"rules\":[]}},\"config\":{{\"version\":1,\
             \"variants\":[{{\"key\":\"v\",\"filter\":{{\"type\":\"constant\",\"value\":true}},\
             \"payload\":{payload}}}]}}}}"
        );
        vec![
            ("the demo", include_str!("../../config/demo-flags.json").to_owned()),
            ("flags without rules", document(&joined(3_000, &|n| flag(n, "")))),
            ("flags with one rule", document(&joined(3_000, &|n| flag(n, constant)))),
            (
                "flags with three rules",
                document(&joined(2_000, &|n| {
                    flag(n, &joined(3, &|at| condition(&format!("a{at}"), "SET", "")))
                })),
            ),
            ("short values", document(&flag(0, &condition("a", "ANY_OF", &short)))),
            ("numbers", document(&flag(0, &condition("a", "ANY_OF", &numbers)))),
            ("attributes", document(&flag(0, &attributes))),
            ("deep attributes", document(&flag(0, &deep))),
            ("patterns", document(&flag(0, &patterns))),
            ("constants", document(&flag(0, &joined(3_000, &|_| constant.to_owned())))),
            ("a payload", document(&config)),
            ("broken flags", document(&joined(20_000, &|_| "{}".to_owned()))),
        ]
    }

    #[test]
    fn rules_take_no_more_memory_than_is_reckoned() {
        for (what, document) in dense_documents() {
            let (_, rules, used) = read(&document);
            let bytes = document.len() as u64;
            assert_eq!(rules.document_bytes, bytes);
            let held = used.bytes_current.cast_unsigned();
            assert!(held <= HELD * bytes, "{what}: {held} held for {bytes}");
            assert!(used.bytes_max <= prepared(bytes), "{what}: {} at most", used.bytes_max);
        }
    }

    #[test]
    fn no_answer_is_longer_than_is_reckoned() {
        for (what, document) in dense_documents() {
            let (_, rules, _) = read(&document);
            let content = rules.content.reflag().unwrap();
            for context in
                ["{}", r#"{"a":"3","a0":"x","user":{"id":"ada"},"company":{"id":"globex"}}"#]
            {
                let mut evaluation = EvaluationContext::new();
                evaluation.reset(&content.program);
                evaluation.set_json(&content.program, context).unwrap();
                let mut evaluator = Evaluator::new(&content.program, &mut evaluation, Timestamp(0));
                let mut answer = Answer::default();
                let all = Selection::All;
                content.answers.write(KeyClass::Secret, all, &mut evaluator, 0, &mut answer);
                let (length, reckoned) =
                    (answer.body.len() as u64, longest_answer(&content.ruleset));
                assert!(length <= reckoned, "{what}: {length} > {reckoned}");
                if context == "{}" {
                    let flags = content.ruleset.flags.len() as u64;
                    assert!(
                        reckoned <= 3 * length + 256 * (1 + flags),
                        "{what}: {reckoned} is far off"
                    );
                }
            }
        }
    }

    #[test]
    fn a_management_call_takes_no_more_memory_than_is_reckoned() {
        let joined =
            |item: &dyn Fn(usize) -> String| (0..100_000).map(item).collect::<Vec<_>>().join(",");
        let list = |item: &dyn Fn(usize) -> String| format!("[{}]", joined(item));
        // None is denser, or it is refused.
        let bodies = [
            ("ids of one digit", list(&|n| format!("\"{}\"", n % 10))),
            ("ids", list(&|n| format!("\"company-{n}\""))),
            ("numbers", list(&|n| format!("{}", 100 + n % 10))),
            ("objects", list(&|_| "{\"a\":1}".to_owned())),
            ("members", format!("{{{}}}", joined(&|n| format!("\"{n}\":1")))),
        ];
        for (what, body) in bodies {
            let used = allocation_counter::measure(|| {
                let body = body.clone().into_bytes();
                let tree: serde_json::Value = serde_json::from_slice(&body).unwrap();
                let texts = tree.as_array().into_iter().flatten().filter_map(|item| item.as_str());
                let change: Vec<String> = texts.map(str::to_owned).collect();
                drop((body, tree, change));
            });
            let bytes = body.len() as u64;
            let reckoned = ORIGIN_BODY * bytes;
            assert!(used.bytes_max <= reckoned, "{what}: {} for {bytes}", used.bytes_max);
        }
    }

    #[test]
    fn an_origin_counts_with_its_connections_bodies_and_database() {
        let (mut settings, rules, _) = read(include_str!("../../config/demo-flags.json"));
        let rules = [rules];
        assert!(parts(&settings, &rules).iter().all(|part| part.what != "origin"));
        let before = sum(&parts(&settings, &rules));
        let toml = "[origin]\n[[environments]]\nname = \"a\"\n\
                    source = { type = \"origin\", app = \"a\", environment = \"b\" }\n";
        let file = Some((std::path::Path::new("burgee.toml"), toml));
        settings.origin = Settings::load(file, &ProcessSurroundings).unwrap().origin;
        let origin = sum(&parts(&settings, &rules)) - before;
        let heads = 256 * 2 * 64 * KIB;
        assert_eq!(origin, heads + ORIGIN_BODY * 9 * MIB + origin::STORE_MEMORY);
        assert!(origin < 700 * MIB, "{}", Bytes(origin));
    }

    #[test]
    fn the_worst_case_follows_every_bound() {
        let (mut settings, rules, _) = read(include_str!("../../config/demo-flags.json"));
        settings.server.workers = NonZeroUsize::new(2);
        let rules = [rules];
        let total = |settings: &Settings| sum(&parts(settings, &rules));
        let before = total(&settings);
        settings.limits.connections += 1;
        let answer = longest_answer(&rules[0].content.reflag().unwrap().ruleset);
        assert_eq!(total(&settings) - before, 2 * 64 * KIB + CONNECTION + answer);
        settings.limits.connections -= 1;
        settings.limits.in_flight_body_bytes += 1;
        assert_eq!(total(&settings) - before, 2);
        settings.limits.in_flight_body_bytes -= 1;
        settings.limits.waiters_per_environment += 1;
        assert_eq!(total(&settings) - before, WAITER);
        settings.limits.waiters_per_environment -= 1;
        settings.limits.streams += 1;
        assert_eq!(total(&settings) - before, EVENT_STREAM);
        settings.limits.streams -= 1;
        settings.server.h2c = true;
        assert!(total(&settings) > before + 10_000 * 8 * MIB);
        settings.server.h2c = false;
        assert_eq!(total(&settings), before);
        assert!(sum(&parts_with_longest_documents(&settings, &rules)) > before + HELD * 255 * MIB);
    }

    #[test]
    fn what_is_discovered_counts_with_as_many_environments_as_there_may_be() {
        let (mut settings, rules, _) = read(include_str!("../../config/demo-flags.json"));
        let rules = [rules];
        let parts_of = |settings: &Settings, what: &str| {
            let parts = parts(settings, &rules);
            parts.into_iter().find(|part| part.what == what).map_or(0, |part| part.bytes)
        };
        let waiters = parts_of(&settings, "waiters");
        let toml = "[[discover]]\ntype = \"flagsmith\"\nproxy_key = \"k\"\nmax_environments = 7";
        let file = Some((std::path::Path::new("burgee.toml"), toml));
        settings.discover = Settings::load(file, &ProcessSurroundings).unwrap().discover;
        assert_eq!(parts_of(&settings, "waiters"), 8 * waiters);
        let documents = 7 * UPSTREAM_DOCUMENTS * LONGEST_DOCUMENT;
        assert_eq!(parts_of(&settings, "upstream documents"), documents);
        let lists = LIST_BYTE * source::MAX_LIST + 20_000 * LIST_ENTRY;
        assert_eq!(parts_of(&settings, "lists of environments"), lists);
        let longest = parts_with_longest_documents(&settings, &rules);
        let held = longest.iter().find(|part| part.what == "rules, held").unwrap().bytes;
        assert_eq!(held, 8 * HELD * LONGEST_DOCUMENT);
    }

    #[test]
    fn an_upstream_counts_with_its_documents_at_their_bound() {
        let (settings, rules, _) = read(include_str!("../../config/demo-flags.json"));
        let toml = "[[environments]]\nname = \"b\"\n\
                    source = { type = \"reflag\", secret_key = \"k\" }\n";
        let file = Some((std::path::Path::new("burgee.toml"), toml));
        let upstream = Settings::load(file, &ProcessSurroundings).unwrap().environments;
        let mut with_upstream = settings.clone();
        with_upstream.environments.extend(upstream);
        let rules = [rules];
        let (before, after) = (parts(&settings, &rules), parts(&with_upstream, &rules));
        let find = |parts: &[Part], what| {
            parts.iter().find(|part| part.what == what).map(|part| part.bytes)
        };
        assert_eq!(find(&before, "upstream documents"), None);
        assert_eq!(find(&after, "upstream documents"), Some(3 * 256 * MIB));
        assert_eq!(find(&before, "waiters"), Some(1_000 * WAITER));
        assert_eq!(find(&after, "waiters"), Some(2_000 * WAITER));
        let longest = parts_with_longest_documents(&with_upstream, &rules);
        assert_eq!(find(&longest, "rules, held"), Some(2 * HELD * LONGEST_DOCUMENT));
    }

    #[test]
    fn bytes_are_shown_as_people_read_them_and_never_too_few() {
        for (bytes, shown) in [
            (0, "0 B"),
            (1_023, "1023 B"),
            (1_024, "1 KiB"),
            (1_025, "1.1 KiB"),
            (64 * MIB, "64 MiB"),
            (u64::MAX, "16777216.0 TiB"),
        ] {
            assert_eq!(Bytes(bytes).to_string(), shown);
        }
    }
}
