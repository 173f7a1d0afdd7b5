//! The only writer of the snapshot.
//!
//! Takes what sources say, decides whether it means anything new, prepares the new content beside
//! the old one and swaps the pointer. "Last good rules stay" is written here once, so that no
//! source can forget it. Runs on the background thread: compiling never holds up a request.
//!
//! It also lets environments in and out that are discovered in a list, see [`lists`].

pub mod lists;

use std::collections::HashSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::mpsc;
use tracing::{info, warn};

use super::content::{Content, Family};
use super::flagsmith;
use super::status::{Board, Quarantined, State};
use super::{
    Authority, Credential, Document, Environment, Freshness, Gate, OnUnauthorized, Prepared,
    Profile, Seat, Shared, Snapshot, SourceKey, StreamState, StreamStatus, Verdict,
};
use crate::config::is_for_servers;
use crate::model::{
    Confirmed, Failure, FailureKind, Fingerprint, KeyClass, Rules, Ruleset, Update, Version,
};
use crate::telemetry::metrics::Metrics;
use crate::time::{Clock, Timestamp};
use lists::{List, Listing};

/// A source's word on one environment.
#[derive(Debug)]
pub struct Report {
    /// Whose source it is.
    pub environment: Seat,
    /// What the source said.
    pub update: Update,
    /// What went wrong beside it, such as learning which flags are public. The update holds all the
    /// same.
    pub trouble: Option<Failure>,
    /// The keys that the source brings, in place of those before. They hold before its rules do:
    /// who has one hears that there is nothing yet, not that the key is unknown.
    pub keys: Option<Vec<SourceKey>>,
    /// How long the look took.
    pub took: Duration,
}

/// How often states are looked at that change by the passing of time alone.
const TICK: Duration = Duration::from_secs(1);

/// A stream that is lost for less is not worth a line: upstreams end each now and then, and it comes
/// back at once.
const STREAM_GAP_MILLIS: i64 = 5_000;

/// The publisher.
#[derive(Debug)]
pub struct Publisher {
    shared: Shared,
    board: Arc<Board>,
    metrics: Arc<Metrics>,
    clock: Clock,
    /// By slot.
    memories: Vec<Memory>,
    lists: Vec<List>,
    /// How many environments there were so far.
    guests: u64,
}

/// What the publisher knows of an environment beside what is published.
#[derive(Debug, Default)]
struct Memory {
    /// The state that was logged last; none before the first look.
    logged: Option<State>,
    /// What was logged of its source's event stream.
    logged_stream: LoggedStream,
    /// The highest number that the source gave to what is held.
    source_version: Option<u64>,
    gate: Gate,
    /// The document that the gate holds back. A source that gives it again says only "unchanged".
    held_back: Option<Box<Rules>>,
    /// Who was in this slot last, for as long as a request may still see them.
    left: Weak<Profile>,
}

/// What was logged last of the event stream of a source.
#[derive(Debug, Default)]
struct LoggedStream {
    state: StreamState,
    /// How many messages that could not be read were counted.
    unreadable: u64,
    /// The last stream of which it was said that it has some.
    unreadable_on: u64,
}

impl Publisher {
    /// Publishes into `shared`. There must be one publisher only.
    pub fn new(
        shared: Shared,
        board: Arc<Board>,
        metrics: Arc<Metrics>,
        clock: Clock,
        lists: Vec<List>,
    ) -> Self {
        let memories = std::iter::repeat_with(Memory::default).take(metrics.slots()).collect();
        let guests = shared.load().environments.iter().count() as u64;
        Self { shared, board, metrics, clock, memories, lists, guests }
    }

    /// Takes reports and lists until all sources are gone.
    pub async fn run(
        mut self,
        mut reports: mpsc::Receiver<Report>,
        mut listings: mpsc::Receiver<Listing>,
    ) {
        let mut tick = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                report = reports.recv() => match report {
                    Some(report) => self.take(report),
                    None => return,
                },
                // None when there are no lists, which is no reason to end.
                Some(listing) = listings.recv() => self.list(listing),
                _ = tick.tick() => {
                    self.end_expired_keys();
                    self.log_states();
                }
            }
        }
    }

    /// Takes one report. One from the source of an environment that left meanwhile is dropped.
    pub fn take(&mut self, report: Report) {
        let Some(environment) = self.shared.load().environments.get(report.environment).cloned()
        else {
            return;
        };
        let now = self.clock.now();
        if let Some(keys) = &report.keys {
            self.swap_keys(&environment, keys);
        }
        let outcome = match report.update {
            Update::Replace(rules, confirmed) => self.replace(&environment, rules, confirmed, now),
            Update::Unchanged(confirmed) => {
                // The source's word is "the same again", and that may be what was not believed.
                if let Some(rules) = self.memory(&environment).held_back.take() {
                    self.replace(&environment, rules, confirmed, now)
                } else {
                    confirm(&environment, confirmed, now);
                    "unchanged"
                }
            }
            Update::Unavailable(failure) => fail(&environment, failure),
        };
        environment.metrics.fetched(outcome, report.took);
        if let Some(trouble) = report.trouble {
            let outcome = fail(&environment, trouble);
            environment.metrics.fetched(outcome, Duration::ZERO);
        }
        self.log_states();
    }

    fn memory(&mut self, environment: &Environment) -> &mut Memory {
        &mut self.memories[environment.seat.slot]
    }

    fn replace(
        &mut self,
        environment: &Environment,
        mut rules: Box<Rules>,
        confirmed: Confirmed,
        now: Timestamp,
    ) -> &'static str {
        let held = environment.content.as_deref();
        match (held.map(|held| &held.family), &mut *rules) {
            (Some(Family::Reflag(held)), Rules::Reflag(ruleset)) => {
                keep_last_good_forms(ruleset, &held.ruleset);
                keep_what_is_known_to_be_public(ruleset, &held.ruleset);
            }
            (Some(Family::Flagsmith(held)), Rules::Flagsmith(environment))
                if !environment.broken.is_empty() =>
            {
                flagsmith::keep_last_good_forms(environment, &held.environment());
            }
            _ => {}
        }
        let fingerprint = Content::fingerprint_of(&rules, &environment.profile);
        if let Some(held) = held
            && held.fingerprint == fingerprint
        {
            let memory = self.memory(environment);
            memory.source_version = memory.source_version.max(rules.source_version());
            environment.status.lock().source_version = memory.source_version;
            memory.held_back = None;
            memory.gate.reset();
            // Nothing changed that anybody can see, yet some may wait for the new number.
            let source = memory.source_version.unwrap_or(0);
            environment.waiting.reach(source.max(held.version.number()));
            quarantine(environment, &rules, now);
            confirm(environment, confirmed, now);
            return "unchanged";
        }
        if let Some(held) = held
            && environment.profile.authority == Authority::Upstream
        {
            let offered = Document {
                source_version: rules.source_version(),
                flags: count_flags(&rules),
                fingerprint,
            };
            if let Some(failure) = self.judge(environment, held, offered, now) {
                self.memory(environment).held_back = Some(rules);
                // It is not believed, but whoever gives it takes our key.
                environment.freshness.restore();
                return fail(environment, failure);
            }
        }
        quarantine(environment, &rules, now);
        self.publish(environment, *rules, fingerprint, confirmed, now);
        "changed"
    }

    /// Asks the gate. A failure when what is offered may not replace what is held.
    fn judge(
        &mut self,
        environment: &Environment,
        held: &Content,
        offered: Document,
        now: Timestamp,
    ) -> Option<Failure> {
        let memory = &mut self.memories[environment.seat.slot];
        let held_document = Document {
            source_version: memory.source_version,
            flags: held.flags(),
            fingerprint: held.fingerprint,
        };
        let profile = &environment.profile;
        let name = &profile.name;
        let number = |version: Option<u64>| version.map_or("none".to_owned(), |v| v.to_string());
        let (old, new) = (number(memory.source_version), number(offered.source_version));
        match memory.gate.judge(held_document, offered, profile.gate, now) {
            Verdict::Take => None,
            Verdict::TakeRegressed => {
                warn!(environment = %name, held = old, offered = new, "the source went back to an older version and stayed there: accepted");
                environment.metrics.regression_accepted();
                None
            }
            Verdict::Older => {
                environment.metrics.snapshot_rejected("older");
                let message =
                    format!("the source gave version {new}, older than {old} that is held");
                Some(Failure::new(FailureKind::Older, message, now))
            }
            Verdict::Shrunk(fetches) => {
                environment.metrics.snapshot_rejected("shrunk");
                let needed = profile.gate.confirm_after;
                let message = format!(
                    "the source gave {} of {} flags: held back until the same was fetched {needed} \
                     times 20 s apart, {fetches} so far",
                    offered.flags, held_document.flags,
                );
                Some(Failure::new(FailureKind::Rejected, message, now))
            }
        }
    }

    fn publish(
        &mut self,
        environment: &Environment,
        rules: Rules,
        fingerprint: Fingerprint,
        confirmed: Confirmed,
        now: Timestamp,
    ) {
        let held = environment.content.as_deref();
        let source_version = rules.source_version();
        let version = next_version(held.map(|held| held.version), source_version);
        let (flags, broken) = (rules.flags(), rules.broken().len());
        let mut diagnostics = rules.warnings().to_vec();
        let Prepared { mut content, diagnostics: oddities, environment: of_flagsmith } =
            Content::prepare(rules, fingerprint, version, &environment.profile);
        if let Some(held) = held {
            content.date_after(held);
        }
        diagnostics.extend(oddities);
        diagnostics.extend(self.oddity_of_key(environment, &content));
        let content = Arc::new(content);
        // Before the version that is published with it.
        environment.status.lock().source_version = source_version;
        let environment = &self.swap(environment, &content, confirmed);
        let memory = self.memory(environment);
        memory.source_version = source_version;
        memory.held_back = None;
        confirm(environment, confirmed, now);
        environment.waiting.reach(source_version.unwrap_or(0).max(version.number()));
        environment.announcements.announce(&content, now);
        let name = &environment.profile.name;
        info!(environment = %name, %version, %fingerprint, flags, quarantined = broken, "published");
        for diagnostic in &diagnostics {
            warn!(environment = %name, "{diagnostic}");
        }
        let mut status = environment.status.lock();
        status.diagnostics = diagnostics;
        status.last_change_at = Some(now);
        drop(status);
        content.find_untranslated(&environment.profile, of_flagsmith.as_ref());
        drop(of_flagsmith);
        content.compress();
    }

    /// What is odd about the client-side key that a Flagsmith document brings.
    fn oddity_of_key(&self, environment: &Environment, content: &Content) -> Option<String> {
        let key = &content.flagsmith()?.key;
        let snapshot = self.shared.load();
        let slot = environment.seat.slot as u32;
        match snapshot.keys.find(key.as_bytes()) {
            _ if environment.profile.key_from_document && is_for_servers(key) => Some(
                "the document's own key (`api_key`) begins as keys for servers do: it opens nothing"
                    .to_owned(),
            ),
            Some(Credential { environment: found, class: KeyClass::Publishable })
                if found == slot =>
            {
                None
            }
            _ if environment.is_discovered() => Some(
                "the document's api_key is not the client-side key that the list has".to_owned(),
            ),
            Some(Credential { environment: found, .. }) if found == slot => {
                Some("the document's own key (`api_key`) is among secret_keys".to_owned())
            }
            Some(found) => Some(format!(
                "the document's own key (`api_key`) opens the environment {}, not this one",
                snapshot.environments[found.environment as usize].profile.name
            )),
            None if environment.profile.key_from_document => None,
            None => Some(
                "the document's own key (`api_key`) is not among publishable_keys: clients that \
                 hold it are refused"
                    .to_owned(),
            ),
        }
    }

    /// The new content comes with an age of its own: no request may see it with the old one's. Gives
    /// the environment as it is published.
    fn swap(
        &self,
        environment: &Environment,
        content: &Arc<Content>,
        confirmed: Confirmed,
    ) -> Environment {
        let before = self.shared.load();
        let environment = Environment {
            freshness: Arc::new(Freshness::confirmed(confirmed)),
            content: Some(Arc::clone(content)),
            ..environment.clone()
        };
        let mut keys = Arc::clone(&before.keys);
        if environment.profile.key_from_document
            && let Some(content) = content.flagsmith()
            && !is_for_servers(&content.key)
            && let Some(table) = keys.with_document_key(
                environment.seat.slot as u32,
                &content.key,
                // What the configuration says comes before what is discovered.
                |slot| before.environments[slot as usize].is_discovered(),
            )
        {
            keys = Arc::new(table);
        }
        let mut environments = before.environments.clone();
        environments.seat(environment.clone());
        self.store(Snapshot { environments, keys });
        environment
    }

    /// A new snapshot with nothing new but the keys that the source of one environment brings.
    fn swap_keys(&self, environment: &Environment, brought: &[SourceKey]) {
        let before = self.shared.load();
        let table = before.keys.with_source_keys(
            environment.seat.slot as u32,
            brought,
            // What the configuration says comes before what is discovered.
            |slot| before.environments[slot as usize].is_discovered(),
        );
        if let Some(keys) = table.map(Arc::new) {
            let environments = before.environments.clone();
            self.store(Snapshot { environments, keys });
        }
    }

    /// Swaps the pointer. Streams whose keys do not hold any more end.
    fn store(&self, snapshot: Snapshot) {
        let snapshot = Arc::new(snapshot);
        let before = self.shared.swap(Arc::clone(&snapshot));
        if !Arc::ptr_eq(&before.keys, &snapshot.keys) {
            snapshot.environments.iter().for_each(|e| e.announcements.keys_changed());
        }
    }

    /// One line for each environment whose state changed since the last line.
    fn log_states(&mut self) {
        let now = self.clock.now();
        let snapshot = self.shared.load();
        for environment in snapshot.environments.iter() {
            let memory = &mut self.memories[environment.seat.slot];
            log_stream(environment, &mut memory.logged_stream, now);
            let status = environment.status.lock();
            let (state, before) = (status.state(environment, now), memory.logged);
            let unseen = status.last_success_at.is_none() && status.last_error.is_none();
            if before == Some(state) || unseen {
                continue;
            }
            memory.logged = Some(state);
            let cause = status.last_error.as_ref().map(|error| error.message.as_str());
            let age = environment.freshness.confirmed_at().map(|at| now.since(at) / 1_000);
            let name = &environment.profile.name;
            let (from, to) = (before.unwrap_or(State::Empty).label(), state.label());
            // An environment whose first look fails says so too, though it stays what it was.
            let change = if from == to { to.to_owned() } else { format!("{from}->{to}") };
            if state == State::Live {
                info!(environment = %name, state = %change, "state");
            } else {
                warn!(environment = %name, state = %change, age_seconds = age, cause, "state");
            }
        }
    }
}

/// One line when the event stream of the source comes, is lost for more than a moment, or turns out
/// not to be there; and one for each stream on which something cannot be read, all of which is counted.
fn log_stream(environment: &Environment, logged: &mut LoggedStream, now: Timestamp) {
    let status = environment.stream.status();
    if let Some(cause) = status.unreadable_for
        && logged.unreadable_on != status.opened
    {
        logged.unreadable_on = status.opened;
        let name = &environment.profile.name;
        warn!(environment = %name, cause, "a message of the event stream was passed over");
    }
    let more = status.unreadable.saturating_sub(logged.unreadable);
    if more > 0 {
        logged.unreadable = status.unreadable;
        environment.metrics.could_not_read(more);
    }
    let StreamStatus { state, since, error, .. } = status;
    let logged = &mut logged.state;
    let is_brief = state == StreamState::Disconnected
        && since.is_none_or(|since| now.since(since) < STREAM_GAP_MILLIS);
    if state == *logged || is_brief {
        return;
    }
    let (name, cause) = (&environment.profile.name, error.map(|error| error.message));
    let change = if *logged == StreamState::Off {
        state.label().to_owned()
    } else {
        format!("{}->{}", logged.label(), state.label())
    };
    *logged = state;
    match state {
        StreamState::Connected => info!(environment = %name, stream = %change, "event stream"),
        StreamState::Disconnected => {
            warn!(environment = %name, stream = %change, cause, hint = "changes are still found by polling", "event stream");
        }
        StreamState::Off | StreamState::Absent => {
            info!(environment = %name, stream = %change, cause, hint = "changes are found by polling; push = false asks for no stream", "event stream");
        }
    }
}

fn confirm(environment: &Environment, confirmed: Confirmed, now: Timestamp) {
    environment.freshness.confirm(confirmed);
    let mut status = environment.status.lock();
    status.consecutive_failures = 0;
    status.last_error = None;
    status.last_success_at = Some(now);
}

/// Notes a failure; gives its name for the metrics.
fn fail(environment: &Environment, failure: Failure) -> &'static str {
    let kind = failure.kind;
    if kind == FailureKind::Unauthorized
        && environment.profile.on_unauthorized == OnUnauthorized::Refuse
    {
        environment.freshness.withdraw();
    }
    let mut status = environment.status.lock();
    status.consecutive_failures = status.consecutive_failures.saturating_add(1);
    status.last_error = Some(failure);
    kind.label()
}

/// Names what is left out; logs each flag once.
fn quarantine(environment: &Environment, rules: &Rules, now: Timestamp) {
    let mut status = environment.status.lock();
    let before = std::mem::take(&mut status.quarantined);
    for broken in rules.broken() {
        let known = before.iter().find(|held| held.flag == broken.flag);
        if known.is_none_or(|known| known.reason != broken.reason) {
            warn!(
                environment = %status.name, flag = broken.flag, reason = broken.reason,
                "flag quarantined"
            );
        }
        status.quarantined.push(Quarantined {
            flag: broken.flag.clone(),
            reason: broken.reason.clone(),
            since: known.map_or(now, |known| known.since),
        });
    }
}

/// How many flags a document has, those that cannot be read included.
fn count_flags(rules: &Rules) -> usize {
    match rules {
        Rules::Reflag(ruleset) => ruleset.keys().len(),
        // What is broken may be a segment, so it does not count.
        Rules::Flagsmith(environment) => environment.features.len(),
    }
}

/// A flag that broke keeps the form in which it was last good, and its place.
fn keep_last_good_forms(ruleset: &mut Ruleset, held: &Ruleset) {
    let present: HashSet<&str> = ruleset.flags.iter().map(|flag| &*flag.key).collect();
    let broken: HashSet<&str> = ruleset.broken.iter().map(|broken| broken.flag.as_str()).collect();
    let kept = held
        .flags
        .iter()
        .enumerate()
        .filter(|(_, flag)| broken.contains(&*flag.key) && !present.contains(&*flag.key));
    let kept: Vec<_> = kept.map(|(place, flag)| (place, Arc::clone(flag))).collect();
    for (place, flag) in kept {
        ruleset.flags.insert(place.min(ruleset.flags.len()), flag);
    }
}

/// Until it is learned which flags of a document are public, those are that were public before.
/// Only flags that are still there: one that is gone must not be known as public when it comes
/// back.
fn keep_what_is_known_to_be_public(ruleset: &mut Ruleset, held: &Ruleset) {
    let (None, Some(known)) = (&ruleset.public, &held.public) else { return };
    let present = ruleset.keys();
    let kept = known.iter().filter(|key| present.contains(&***key)).cloned().collect();
    ruleset.public = Some(Arc::new(kept));
}

/// DESIGN section 6: the source's number when it is higher than what clients have seen, else one
/// more than that.
pub fn next_version(held: Option<Version>, source: Option<u64>) -> Version {
    let source = source.map(Version::new);
    match (held, source) {
        (None, source) => source.unwrap_or(Version::new(1)),
        (Some(held), Some(source)) if source > held => source,
        (Some(held), _) => held.next(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_follow_the_source_and_never_go_back() {
        let next =
            |held: Option<u64>, source| next_version(held.map(Version::new), source).number();
        assert_eq!(next(None, Some(412)), 412);
        assert_eq!(next(None, Some(0)), 0);
        assert_eq!(next(None, None), 1);
        assert_eq!(next(Some(412), Some(413)), 413);
        assert_eq!(next(Some(412), Some(412)), 413);
        assert_eq!(next(Some(412), Some(7)), 413);
        assert_eq!(next(Some(412), None), 413);
    }
}
