//! Who of a list of environments is there, and what the next list changes (flagsmith.md section 14).
//!
//! A pure state machine: the publisher tells it each list, it says who stays, who joins and who
//! leaves. Knows neither keys' texts nor where a list comes from.
//!
//! An upstream's mishap must not take everybody out. So nobody leaves while some entry of the list
//! cannot be read, and a list in which too many are missing at once has to come several times in a
//! row before it is believed. Nothing else waits for that: who is on the list joins, and keys change,
//! at once.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::Seat;
use crate::config::Gate;
use crate::model::{EnvironmentName, KeyClass};
use crate::time::Timestamp;

/// One environment of a list.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its number. One number may stand for several environments, which then go by their client
    /// keys.
    pub id: u64,
    /// The number of its project, if one was given.
    pub project_id: Option<u64>,
    /// What people call it there.
    pub name: Arc<str>,
    /// What it may be called here; the first that nobody has is its name for as long as it is there.
    pub names: Vec<EnvironmentName>,
    /// The key for browsers.
    pub client: u128,
    /// Keys for servers, each once, in an order that does not depend on the list's.
    pub servers: Vec<ServerKey>,
}

/// A key, as a digest, and what it stands for.
pub type Grant = (u128, KeyClass);

/// A key for servers, as a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerKey {
    /// See [`KeyDigests`](super::KeyDigests).
    pub digest: u128,
    /// Whether it is in use.
    pub active: bool,
    /// From this moment on it is not.
    pub expires_at: Option<Timestamp>,
}

impl ServerKey {
    /// Whether it opens anything.
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.active && self.expires_at.is_none_or(|end| now < end)
    }
}

impl Entry {
    /// What its keys stand for now.
    pub fn keys(&self, now: Timestamp) -> Vec<Grant> {
        let servers = self.servers.iter().filter(|key| key.is_valid(now));
        let servers = servers.map(|key| (key.digest, KeyClass::Secret));
        std::iter::once((self.client, KeyClass::Publishable)).chain(servers).collect()
    }

    fn digests(&self) -> impl Iterator<Item = u128> {
        std::iter::once(self.client).chain(self.servers.iter().map(|key| key.digest))
    }

    fn label(&self) -> String {
        format!("environment {} ({:?})", self.id, self.name)
    }
}

/// Who is there because of one list.
#[derive(Debug, Default)]
pub(super) struct Roster {
    members: Vec<Member>,
    missing: Option<Missing>,
    /// Numbers of those for whom there was no room in the last list.
    refused: HashSet<u64>,
}

/// An environment that is there.
#[derive(Clone, Debug)]
pub(super) struct Member {
    /// Its place.
    pub(super) seat: Seat,
    /// Its name here.
    pub(super) name: EnvironmentName,
    /// What the list said of it last.
    pub(super) entry: Entry,
    /// Keys that it was given.
    pub(super) keys: Vec<Grant>,
}

/// Those whom the last list lacked and who stayed all the same.
#[derive(Debug)]
struct Missing {
    seats: Vec<Seat>,
    lists: usize,
}

/// What a list changes.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// What becomes of each entry, in their order.
    pub(super) fates: Vec<Fate>,
    /// Who leaves.
    pub(super) leaving: Vec<Seat>,
    /// Entries that are not served, and why, a line for each.
    pub(super) skipped: Vec<String>,
    /// How many find no room that did not meet the bound before.
    pub(super) newly_refused: usize,
    /// Why some stay whom the list lacks.
    pub(super) held_back: Option<String>,
}

/// What becomes of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is there, here.
    Stays(Seat),
    /// It comes, under this name.
    Joins(EnvironmentName),
    /// It is not served.
    Skipped,
}

/// What there is beside the list.
pub(super) struct Around<'a> {
    /// Whether a key is not for this list to give: it stands for somebody else, or for nobody.
    pub(super) is_taken: &'a dyn Fn(u128) -> bool,
    /// Whether a name is that of somebody who is not of this list.
    pub(super) is_named: &'a dyn Fn(&EnvironmentName) -> bool,
    /// How many may be there because of this list.
    pub(super) room: usize,
    /// How many may be missing at once, and what it takes for such a list to be believed.
    pub(super) gate: Gate,
    /// Whether every entry could be read.
    pub(super) is_whole: bool,
    /// The present moment.
    pub(super) now: Timestamp,
}

impl Roster {
    /// Who is there.
    pub(super) fn members(&self) -> &[Member] {
        &self.members
    }

    /// The same, to note what they were given.
    pub(super) fn members_mut(&mut self) -> impl Iterator<Item = &mut Member> {
        self.members.iter_mut()
    }

    /// Notes who is there now.
    pub(super) fn seat(&mut self, members: Vec<Member>) {
        self.members = members;
    }

    /// Says what a list changes. Entries come in an order that does not depend on the list's: of two
    /// that claim one key, or the last place, the first has it.
    pub(super) fn plan(&mut self, entries: &[Entry], around: &Around<'_>) -> Plan {
        let mut plan = Plan::default();
        let places = self.places(entries);
        let listed: HashSet<Seat> = places.iter().flatten().copied().collect();
        let (_, missing): (Vec<_>, Vec<_>) =
            self.members.iter().partition(|member| listed.contains(&member.seat));
        let missing: Vec<Member> = missing.into_iter().cloned().collect();
        let seats = missing.iter().map(|member| member.seat).collect();
        plan.held_back = self.hold_back(seats, around);
        let (staying, leaving) =
            if plan.held_back.is_some() { (missing, Vec::new()) } else { (Vec::new(), missing) };
        plan.leaving = leaving.iter().map(|member| member.seat).collect();
        let mut keys: HashSet<u128> =
            staying.iter().flat_map(|member| member.entry.digests()).collect();
        let mut names: HashSet<EnvironmentName> = self
            .members
            .iter()
            .filter(|member| !plan.leaving.contains(&member.seat))
            .map(|member| member.name.clone())
            .collect();
        // Who is there already has a place before anybody who comes.
        let mut newcomers = around.room.saturating_sub(staying.len() + listed.len());
        let mut refused = HashSet::new();
        for (entry, place) in entries.iter().zip(places) {
            let why_not = if entry.digests().any(around.is_taken) {
                Some("one of its keys belongs to another environment of the configuration")
            } else if entry.digests().any(|digest| keys.contains(&digest)) {
                Some("one of its keys belongs to another environment of the list")
            } else if place.is_none() && !entry.servers.iter().any(|key| key.is_valid(around.now)) {
                Some("it has no server key that is valid")
            } else {
                None
            };
            if let Some(why_not) = why_not {
                plan.skipped.push(format!("{}: {why_not}", entry.label()));
                plan.leaving.extend(place);
                plan.fates.push(Fate::Skipped);
                continue;
            }
            if let Some(seat) = place {
                keys.extend(entry.digests());
                plan.fates.push(Fate::Stays(seat));
                continue;
            }
            if newcomers == 0 {
                refused.insert(entry.id);
                plan.fates.push(Fate::Skipped);
                continue;
            }
            let mut candidates = entry.names.iter();
            let name = candidates.find(|name| !names.contains(name) && !(around.is_named)(name));
            let Some(name) = name else {
                plan.skipped.push(format!("{}: its name belongs to another one", entry.label()));
                plan.fates.push(Fate::Skipped);
                continue;
            };
            keys.extend(entry.digests());
            names.insert(name.clone());
            newcomers -= 1;
            plan.fates.push(Fate::Joins(name.clone()));
        }
        plan.newly_refused = refused.difference(&self.refused).count();
        if !refused.is_empty() {
            let (count, bound) = (refused.len(), around.room);
            plan.skipped.push(format!("{count} above max_environments, which is {bound}"));
        }
        self.refused = refused;
        plan
    }

    /// Who of those that are there each entry is: the one with its number, and where several have
    /// that number the one that has its client key, too.
    fn places(&self, entries: &[Entry]) -> Vec<Option<Seat>> {
        let mut listed: HashMap<u64, usize> = HashMap::new();
        for entry in entries {
            *listed.entry(entry.id).or_default() += 1;
        }
        let mut here: HashMap<u64, Vec<&Member>> = HashMap::new();
        for member in &self.members {
            here.entry(member.entry.id).or_default().push(member);
        }
        let place = |entry: &Entry| {
            let same = here.get(&entry.id)?;
            let found = match same[..] {
                [only] if listed[&entry.id] == 1 => Some(only),
                _ => same.iter().copied().find(|member| member.entry.client == entry.client),
            };
            found.map(|member| member.seat)
        };
        entries.iter().map(place).collect()
    }

    /// Why those whom the list lacks stay, if they do.
    fn hold_back(&mut self, missing: Vec<Seat>, around: &Around<'_>) -> Option<String> {
        let (here, gone) = (self.members.len(), missing.len());
        if gone == 0 {
            self.missing = None;
            return None;
        }
        if !around.is_whole {
            return Some(format!(
                "{gone} of {here} environments are not in the list, but not all of it could be \
                 read: they stay"
            ));
        }
        if !around.gate.holds_back(here, here - gone) {
            self.missing = None;
            return None;
        }
        let before = self.missing.take().filter(|before| before.seats == missing);
        let lists = before.map_or(0, |before| before.lists) + 1;
        let needed = around.gate.confirm_after;
        if lists >= needed {
            return None;
        }
        self.missing = Some(Missing { seats: missing, lists });
        Some(format!(
            "the list lacks {gone} of {here} environments: they stay until it came like this \
             {needed} times in a row, {lists} so far"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Fraction;

    const NOW: Timestamp = Timestamp(1_000_000);

    fn entry(id: u64, client: u128, servers: &[u128]) -> Entry {
        let server = |&digest: &u128| ServerKey { digest, active: true, expires_at: None };
        let names = [format!("d/1/env-{client}"), format!("d/1/id/{id}")];
        Entry {
            id,
            project_id: Some(1),
            name: "env".into(),
            names: names.iter().map(|name| EnvironmentName::new(name)).collect(),
            client,
            servers: servers.iter().map(server).collect(),
        }
    }

    fn numbered(ids: impl IntoIterator<Item = u64>) -> Vec<Entry> {
        ids.into_iter().map(|id| entry(id, u128::from(id), &[u128::from(id) + 1_000])).collect()
    }

    /// A roster that is told lists, with configured keys from one million on.
    struct Scene {
        roster: Roster,
        guests: u64,
        room: usize,
        is_whole: bool,
    }

    impl Scene {
        fn new() -> Self {
            Self { roster: Roster::default(), guests: 0, room: 100, is_whole: true }
        }

        fn list(&mut self, entries: &[Entry]) -> Plan {
            let around = Around {
                is_taken: &|digest| digest >= 1_000_000,
                is_named: &|_| false,
                room: self.room,
                gate: Gate { max_shrink: Fraction::new(0.5).unwrap(), confirm_after: 3 },
                is_whole: self.is_whole,
                now: NOW,
            };
            let plan = self.roster.plan(entries, &around);
            let mut members = self.roster.members().to_vec();
            members.retain(|member| !plan.leaving.contains(&member.seat));
            for (entry, fate) in entries.iter().zip(&plan.fates) {
                match fate {
                    Fate::Stays(seat) => {
                        let member = members.iter_mut().find(|member| member.seat == *seat);
                        member.expect("who stays is there").entry = entry.clone();
                    }
                    Fate::Joins(name) => {
                        self.guests += 1;
                        let seat = Seat { slot: self.guests as usize, guest: self.guests };
                        let (name, entry) = (name.clone(), entry.clone());
                        members.push(Member { seat, name, entry, keys: Vec::new() });
                    }
                    Fate::Skipped => {}
                }
            }
            self.roster.seat(members);
            plan
        }

        fn ids(&self) -> Vec<u64> {
            let mut ids: Vec<_> = self.roster.members().iter().map(|m| m.entry.id).collect();
            ids.sort_unstable();
            ids
        }

        fn names(&self) -> Vec<&str> {
            self.roster.members().iter().map(|member| member.name.as_str()).collect()
        }
    }

    #[test]
    fn environments_come_stay_and_go_with_the_list() {
        let mut scene = Scene::new();
        scene.list(&numbered([1, 2, 3]));
        assert_eq!(scene.ids(), [1, 2, 3]);
        let plan = scene.list(&numbered([1, 2, 4]));
        assert_eq!((scene.ids(), plan.leaving.len()), (vec![1, 2, 4], 1));
        let plan = scene.list(&numbered([1, 2, 4]));
        assert!(plan.leaving.is_empty() && plan.skipped.is_empty());
        assert!(plan.fates.iter().all(|fate| matches!(fate, Fate::Stays(_))));
    }

    #[test]
    fn one_that_changes_all_its_keys_is_the_same_one() {
        let mut scene = Scene::new();
        let before = scene.list(&numbered([1]));
        assert!(matches!(before.fates[..], [Fate::Joins(_)]));
        let plan = scene.list(&[entry(1, 77, &[78])]);
        assert_eq!(plan.fates, [Fate::Stays(Seat { slot: 1, guest: 1 })]);
        assert!(plan.leaving.is_empty());
        assert_eq!(scene.names(), ["d/1/env-1"], "and keeps its name");
    }

    #[test]
    fn environments_of_one_number_go_by_their_client_keys() {
        let mut scene = Scene::new();
        scene.list(&[entry(30, 1, &[11]), entry(30, 2, &[12])]);
        assert_eq!(scene.names(), ["d/1/env-1", "d/1/env-2"]);
        let plan = scene.list(&[entry(30, 2, &[13])]);
        assert_eq!(plan.fates, [Fate::Stays(Seat { slot: 2, guest: 2 })]);
        assert_eq!(plan.leaving, [Seat { slot: 1, guest: 1 }]);
    }

    #[test]
    fn a_list_in_which_too_many_are_missing_is_believed_when_it_comes_again_and_again() {
        let mut scene = Scene::new();
        scene.list(&numbered(1..=4));
        // Half of them may go at once.
        scene.list(&numbered([1, 2]));
        assert_eq!(scene.ids(), [1, 2]);
        for _ in 0..2 {
            assert!(scene.list(&[]).held_back.is_some());
            assert_eq!(scene.ids(), [1, 2]);
        }
        // One list in between, and it starts anew. Who comes does not wait for that.
        assert!(scene.list(&numbered([1, 2])).held_back.is_none());
        for _ in 0..2 {
            assert!(scene.list(&numbered([9])).held_back.is_some());
            assert_eq!(scene.ids(), [1, 2, 9]);
        }
        assert_eq!(scene.list(&numbered([9])).leaving.len(), 2);
        assert_eq!(scene.ids(), [9]);
    }

    #[test]
    fn nobody_leaves_while_some_of_the_list_cannot_be_read() {
        let mut scene = Scene::new();
        scene.list(&numbered(1..=4));
        scene.is_whole = false;
        for _ in 0..5 {
            assert!(scene.list(&numbered([1, 2, 3])).held_back.is_some());
            assert_eq!(scene.ids(), [1, 2, 3, 4]);
        }
        scene.is_whole = true;
        scene.list(&numbered([1, 2, 3]));
        assert_eq!(scene.ids(), [1, 2, 3]);
    }

    #[test]
    fn whose_key_is_anothers_is_not_served() {
        let mut scene = Scene::new();
        let plan = scene.list(&[
            entry(1, 1, &[11]),
            entry(2, 1_000_000, &[12]),
            entry(3, 3, &[1_000_001]),
            entry(4, 4, &[11]),
            entry(5, 1, &[15]),
            entry(6, 6, &[16]),
        ]);
        assert_eq!(scene.ids(), [1, 6]);
        assert_eq!(plan.skipped.len(), 4, "{:?}", plan.skipped);
        // One that is there and takes a key of the configuration leaves.
        let plan = scene.list(&[entry(1, 1, &[11]), entry(6, 6, &[1_000_002])]);
        assert_eq!((scene.ids(), plan.leaving.len()), (vec![1], 1));
    }

    #[test]
    fn one_without_a_valid_server_key_does_not_come_but_stays() {
        let invalid = |active, expires_at| {
            let mut entry = entry(1, 1, &[11]);
            entry.servers[0] = ServerKey { digest: 11, active, expires_at };
            entry
        };
        let (inactive, expired) = (invalid(false, None), invalid(true, Some(NOW)));
        for entry in [&inactive, &expired] {
            let mut scene = Scene::new();
            assert_eq!(scene.list(std::slice::from_ref(entry)).fates, [Fate::Skipped]);
            scene.list(&numbered([1]));
            scene.list(std::slice::from_ref(entry));
            assert_eq!(scene.ids(), [1]);
            let keys = scene.roster.members()[0].entry.keys(NOW);
            assert_eq!(keys, [(1, KeyClass::Publishable)]);
        }
    }

    #[test]
    fn what_is_above_the_bound_is_refused_and_noted_once() {
        let mut scene = Scene::new();
        scene.room = 2;
        assert_eq!(scene.list(&numbered(1..=1_000)).newly_refused, 998);
        assert_eq!(scene.ids(), [1, 2]);
        let again = scene.list(&numbered(1..=1_000));
        assert_eq!((again.newly_refused, again.skipped.len()), (0, 1));
        // Who is there keeps the place, whoever comes.
        scene.list(&numbered([0, 1, 2]));
        assert_eq!(scene.ids(), [1, 2]);
        scene.list(&numbered([0, 2]));
        assert_eq!(scene.ids(), [0, 2]);
    }

    #[test]
    fn of_two_with_one_name_the_second_goes_by_its_number() {
        let mut scene = Scene::new();
        let mut entries = numbered([1, 2]);
        entries[1].names[0] = entries[0].names[0].clone();
        scene.list(&entries);
        assert_eq!(scene.names(), ["d/1/env-1", "d/1/id/2"]);
        // A name that somebody has stays with them, whatever the list calls them now.
        entries[0].names[0] = EnvironmentName::new("d/1/other");
        scene.list(&entries);
        assert_eq!(scene.names(), ["d/1/env-1", "d/1/id/2"]);
    }
}
