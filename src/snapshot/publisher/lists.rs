//! Environments of lists: let in, given other keys, let out, each list in one swap.
//!
//! What a list means is for its [`Roster`]; here it is done. Keys and environments change in the
//! same snapshot, so every request sees all of a list or nothing of it. Whoever looks after the
//! list's environments is told who has which place, and follows their sources.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio::sync::oneshot;
use tracing::{info, warn};

use super::{Memory, Publisher};
use crate::model::{EnvironmentName, Failure, FailureKind};
use crate::snapshot::roster::{Around, Entry, Fate, Grant, Member, Plan, Roster};
use crate::snapshot::status::{Discovered, EnvironmentStatus};
use crate::snapshot::{
    Bounds, Environment, Environments, KeyTable, Profile, Seat, Snapshot, SourceStream, Waiting,
};
use crate::time::Timestamp;

/// A list of environments, and what all of them have in common.
#[derive(Debug)]
pub struct List {
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// Type of its environments' sources, as in the configuration.
    pub source_type: &'static str,
    /// Where those are; never with a key.
    pub source_url: String,
    /// Settings of its environments, all but the name.
    pub template: Profile,
    /// How many environments it may have at once.
    pub max_environments: usize,
    /// How many may hold out with each.
    pub bounds: Bounds,
    /// Keys of the configuration that stand for nobody among clients, such as those of sources: no
    /// environment of the list may have one of them either.
    pub reserved: Arc<HashSet<u128>>,
    roster: Roster,
    /// What was logged last of the list as a whole.
    logged: Option<ListState>,
    /// Entries that are odd or not served, as they were logged last.
    noted: Vec<String>,
}

/// How a list fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ListState {
    /// It was read, and all of it holds.
    Live,
    /// It was read, and some who are not in it stay.
    HeldBack,
    /// It cannot be read.
    Failing,
}

impl List {
    /// Nobody is there yet. `template` may have any name.
    pub fn new(
        name: Arc<str>,
        (source_type, source_url): (&'static str, String),
        template: Profile,
        max_environments: usize,
        bounds: Bounds,
        reserved: Arc<HashSet<u128>>,
    ) -> Self {
        Self {
            name,
            source_type,
            source_url,
            template,
            max_environments,
            bounds,
            reserved,
            roster: Roster::default(),
            logged: None,
            noted: Vec::new(),
        }
    }

    fn profile(&self, name: &EnvironmentName) -> Profile {
        Profile { name: name.clone(), ..self.template.clone() }
    }
}

/// One look at a list.
#[derive(Debug)]
pub struct Listing {
    /// Which list, by its place among the publisher's.
    pub list: usize,
    /// What it said.
    pub word: Result<Entries, Failure>,
}

/// A list that could be read.
#[derive(Debug)]
pub struct Entries {
    /// In an order that does not depend on the list's.
    pub entries: Vec<Entry>,
    /// What of the list could not be read, a line for each. While there is any, nobody leaves.
    pub unreadable: Vec<String>,
    /// What is odd about entries, a line for each.
    pub warnings: Vec<String>,
    /// Who looks after the environments.
    pub reply: oneshot::Sender<Seating>,
}

/// Who is where after a list.
#[derive(Debug)]
pub struct Seating {
    /// By entry; none for those that are not served.
    pub seats: Vec<Option<Seated>>,
    /// Who is there no more.
    pub left: Vec<Seat>,
}

/// An environment's place.
#[derive(Debug)]
pub struct Seated {
    /// The place.
    pub seat: Seat,
    /// Requests that wait for it.
    pub waiting: Arc<Waiting>,
    /// Where its source says how its event stream is doing.
    pub stream: Arc<SourceStream>,
}

/// The next snapshot, while it is made.
struct Draft {
    environments: Environments,
    keys: KeyTable,
    /// Keys that are given once all that are taken away are: a key may go from one to another.
    given: Vec<(Seat, Vec<Grant>)>,
    changed: bool,
}

/// Most lines of `diagnostics` of a list in the status.
const MOST_LINES: usize = 100;

impl Publisher {
    /// Takes one list.
    pub(super) fn list(&mut self, listing: Listing) {
        let Listing { list, word } = listing;
        let now = self.clock.now();
        let name = Arc::clone(&self.lists[list].name);
        match word {
            Ok(entries) => {
                let outcome = self.apply(list, entries, now);
                self.metrics.discovered(&name, outcome);
            }
            Err(failure) => {
                self.metrics.discovered(&name, failure.kind.label());
                self.log_list(list, ListState::Failing, Some(&failure.message));
                let status = &mut self.board.lock()[list];
                status.consecutive_failures = status.consecutive_failures.saturating_add(1);
                status.last_error = Some(failure);
            }
        }
        self.log_states();
    }

    fn apply(&mut self, list: usize, entries: Entries, now: Timestamp) -> &'static str {
        let Entries { entries, unreadable, warnings, reply } = entries;
        let plan = self.plan(list, &entries, unreadable.is_empty(), now);
        for _ in 0..plan.newly_refused {
            self.metrics.dropped_at_bound("discovered_environments");
        }
        let before = self.shared.load_full();
        let mut draft = Draft {
            environments: before.environments.clone(),
            keys: (*before.keys).clone(),
            given: Vec::new(),
            changed: false,
        };
        let left: Vec<_> = plan.leaving.iter().filter_map(|&seat| draft.remove(seat)).collect();
        let mut lines = plan.skipped;
        let mut members = self.lists[list].roster.members().to_vec();
        let leaving: HashSet<Seat> = plan.leaving.into_iter().collect();
        members.retain(|member| !leaving.contains(&member.seat));
        let places: HashMap<Seat, usize> =
            members.iter().enumerate().map(|(place, member)| (member.seat, place)).collect();
        // Who comes takes no place that was left just now: it can still be seen.
        self.retire(&left);
        let mut seats = Vec::with_capacity(entries.len());
        for (entry, fate) in entries.into_iter().zip(plan.fates) {
            let seat = match fate {
                Fate::Stays(seat) => {
                    let member = &mut members[places[&seat]];
                    member.entry = entry;
                    draft.give_keys(member, now);
                    Some(seat)
                }
                Fate::Joins(name) => {
                    let seat = self.seat(list, &name, &entry, &mut draft);
                    if let Some(seat) = seat {
                        let mut member = Member { seat, name, entry, keys: Vec::new() };
                        draft.give_keys(&mut member, now);
                        members.push(member);
                    } else {
                        lines.push(format!("environment {}: no place is free yet", entry.id));
                    }
                    seat
                }
                Fate::Skipped => None,
            };
            let seated = seat.and_then(|seat| draft.environments.get(seat));
            seats.push(seated.map(|environment| Seated {
                seat: environment.seat,
                waiting: Arc::clone(&environment.waiting),
                stream: Arc::clone(&environment.stream),
            }));
        }
        let changed = draft.changed;
        if changed {
            let Draft { environments, mut keys, given, .. } = draft;
            for (seat, given) in given {
                keys.bring(seat.slot as u32, &given, |_| false);
            }
            self.store(Snapshot { environments, keys: Arc::new(keys) });
        }
        drop(before);
        for environment in &left {
            self.see_off(list, environment);
        }
        // Nobody is left to be told when the process ends.
        let left = left.iter().map(|environment| environment.seat).collect();
        let _ = reply.send(Seating { seats, left });
        let count = members.len();
        self.lists[list].roster.seat(members);
        let broken = unreadable.len();
        lines.extend(unreadable);
        lines.extend(warnings);
        self.note_lines(list, lines);
        let failure = if broken > 0 {
            let what = format!(
                "entries of the list cannot be read ({broken}, see diagnostics): nobody leaves"
            );
            Some(Failure::new(FailureKind::Malformed, what, now))
        } else {
            plan.held_back.map(|what| Failure::new(FailureKind::Rejected, what, now))
        };
        let state = if failure.is_some() { ListState::HeldBack } else { ListState::Live };
        self.log_list(list, state, failure.as_ref().map(|failure| failure.message.as_str()));
        let unchanged = if changed { "changed" } else { "unchanged" };
        let outcome = failure.as_ref().map_or(unchanged, |failure| failure.kind.label());
        let status = &mut self.board.lock()[list];
        status.environments = count;
        status.last_success_at = Some(now);
        status.consecutive_failures = match &failure {
            Some(_) => status.consecutive_failures.saturating_add(1),
            None => 0,
        };
        status.last_error = failure;
        outcome
    }

    fn plan(&mut self, list: usize, entries: &[Entry], is_whole: bool, now: Timestamp) -> Plan {
        let snapshot = self.shared.load_full();
        let List { roster, template, max_environments, reserved, .. } = &mut self.lists[list];
        let slots: HashSet<usize> =
            roster.members().iter().map(|member| member.seat.slot).collect();
        let is_ours = |slot: usize| slots.contains(&slot);
        let others = snapshot.environments.iter().filter(|e| !is_ours(e.seat.slot));
        let names: HashSet<_> = others.map(|environment| &environment.profile.name).collect();
        let around = Around {
            is_taken: &|digest| {
                let owner = snapshot.keys.find_digest(digest);
                reserved.contains(&digest)
                    || owner.is_some_and(|owner| !is_ours(owner.environment as usize))
            },
            is_named: &|name| names.contains(name),
            room: *max_environments,
            gate: template.gate,
            is_whole,
            now,
        };
        roster.plan(entries, &around)
    }

    /// Gives a newcomer a place, unless all are taken or can still be seen as somebody else's.
    fn seat(
        &mut self,
        list: usize,
        name: &EnvironmentName,
        entry: &Entry,
        draft: &mut Draft,
    ) -> Option<Seat> {
        let slot = self.memories.iter().enumerate().position(|(slot, memory)| {
            !draft.environments.is_taken(slot) && memory.left.strong_count() == 0
        })?;
        let List { source_type, source_url, bounds, name: by, .. } = &self.lists[list];
        let metrics = self.metrics.open(slot, name);
        let metrics = metrics
            .inspect_err(|error| warn!(environment = %name, %error, "it cannot be counted"))
            .ok()?;
        let mut status = EnvironmentStatus::new(name.clone(), source_type, source_url.clone());
        status.discovered = Some(Discovered {
            by: Arc::clone(by),
            id: entry.id,
            project_id: entry.project_id,
            name: Arc::clone(&entry.name),
        });
        info!(environment = %name, discover = %by, id = entry.id, name = ?entry.name, "discovered");
        let seat = Seat { slot, guest: self.guests };
        let profile = self.lists[list].profile(name);
        let environment = Environment::new(seat, profile, status, metrics, *bounds);
        self.guests += 1;
        self.memories[slot] = Memory::default();
        draft.environments.seat(environment);
        draft.changed = true;
        Some(seat)
    }

    /// Keeps the places of those who leave until no request sees them any more.
    fn retire(&mut self, left: &[Environment]) {
        for environment in left {
            let left = Arc::downgrade(&environment.profile);
            self.memories[environment.seat.slot] = Memory { left, ..Memory::default() };
        }
    }

    /// Once nobody finds an environment any more: those who wait for it are let go, and nothing is
    /// shown of it.
    fn see_off(&self, list: usize, environment: &Environment) {
        environment.waiting.end();
        environment.announcements.end();
        self.metrics.close(environment.seat.slot);
        let (name, by) = (&environment.profile.name, &self.lists[list].name);
        info!(environment = %name, discover = %by, "gone from the list: not served any more");
    }

    /// Takes keys out whose time is over.
    pub(super) fn end_expired_keys(&mut self) {
        let now = self.clock.now();
        let snapshot = self.shared.load_full();
        let mut keys: Option<KeyTable> = None;
        for member in self.lists.iter_mut().flat_map(|list| list.roster.members_mut()) {
            let valid = member.entry.keys(now);
            if valid != member.keys {
                let keys = keys.get_or_insert_with(|| (*snapshot.keys).clone());
                keys.bring(member.seat.slot as u32, &valid, |_| false);
                info!(environment = %member.name, server_keys = valid.len() - 1, "a key expired");
                member.keys = valid;
            }
        }
        if let Some(keys) = keys {
            let environments = snapshot.environments.clone();
            self.store(Snapshot { environments, keys: Arc::new(keys) });
        }
    }

    /// Logs once what is odd about each entry, and why one is not served.
    fn note_lines(&mut self, list: usize, mut lines: Vec<String>) {
        let more = lines.len().saturating_sub(MOST_LINES);
        lines.truncate(MOST_LINES);
        if more > 0 {
            lines.push(format!("and {more} more"));
        }
        let List { name, noted, .. } = &mut self.lists[list];
        for line in lines.iter().filter(|line| !noted.contains(line)) {
            warn!(discover = %name, "the list: {line}");
        }
        noted.clone_from(&lines);
        self.board.lock()[list].diagnostics = lines;
    }

    /// One line for each change of state.
    fn log_list(&mut self, list: usize, state: ListState, cause: Option<&str>) {
        let List { name, logged, roster, .. } = &mut self.lists[list];
        if logged.replace(state) == Some(state) {
            return;
        }
        let environments = roster.members().len();
        match state {
            ListState::Live => info!(discover = %name, environments, "the list is read"),
            ListState::HeldBack => {
                warn!(discover = %name, environments, cause, "the list is not believed as a whole");
            }
            ListState::Failing => {
                warn!(discover = %name, environments, cause, "the list cannot be read: all stays");
            }
        }
    }
}

impl Draft {
    /// Takes an environment out, with its keys.
    fn remove(&mut self, seat: Seat) -> Option<Environment> {
        self.environments.get(seat)?;
        self.keys.remove_all_of(seat.slot as u32);
        self.changed = true;
        self.environments.vacate(seat.slot)
    }

    /// Gives an environment the keys that the list has for it now, and what else the list says of it.
    fn give_keys(&mut self, member: &mut Member, now: Timestamp) {
        let Some(environment) = self.environments.get(member.seat) else { return };
        if let Some(discovered) = &mut environment.status.lock().discovered {
            discovered.name = Arc::clone(&member.entry.name);
            discovered.project_id = member.entry.project_id;
        }
        let keys = member.entry.keys(now);
        if keys == member.keys {
            return;
        }
        if !member.keys.is_empty() {
            info!(environment = %member.name, server_keys = keys.len() - 1, "other keys");
        }
        self.keys.remove_all_of(member.seat.slot as u32);
        self.given.push((member.seat, keys.clone()));
        self.changed = true;
        member.keys = keys;
    }
}
