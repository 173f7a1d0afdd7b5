//! Environments that come and go while requests run.
//!
//! Each has a slot, whose number stands in the key table and in the counters of workers. A slot
//! whose environment left is taken again by another one. That is safe where keys and environments
//! are swapped together, as in a [`Snapshot`](super::Snapshot): a credential leads to whoever is in
//! its slot *in the snapshot that it was looked up in*, and is never used with another one. Whoever
//! keeps an environment in mind beyond one snapshot, such as its source, does so by its [`Seat`],
//! which nobody has again.
//!
//! Only the [`publisher`](super::publisher) lets environments in and out.

use std::ops::Index;

use super::Environment;

/// A slot together with the number of whoever has it: names one environment for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Seat {
    /// Where it is while it is there.
    pub slot: usize,
    /// Counts all environments that there ever were.
    pub guest: u64,
}

impl Seat {
    /// Of an environment of the configuration: there from the start, and never gone.
    pub fn of_configuration(index: usize) -> Self {
        Self { slot: index, guest: index as u64 }
    }
}

/// All environments at one moment, by slot.
#[derive(Clone, Debug, Default)]
pub struct Environments(Vec<Option<Environment>>);

impl FromIterator<Environment> for Environments {
    /// One after the other, from the first slot on.
    fn from_iter<T: IntoIterator<Item = Environment>>(environments: T) -> Self {
        Self(environments.into_iter().map(Some).collect())
    }
}

impl Environments {
    /// Those that are there, in the order of their slots: first the configuration's, in its order.
    pub fn iter(&self) -> impl Iterator<Item = &Environment> {
        self.0.iter().flatten()
    }

    /// The environment of this seat, unless it left.
    pub fn get(&self, seat: Seat) -> Option<&Environment> {
        self.0.get(seat.slot)?.as_ref().filter(|environment| environment.seat == seat)
    }

    /// Whether somebody is in this slot.
    pub fn is_taken(&self, slot: usize) -> bool {
        self.0.get(slot).is_some_and(Option::is_some)
    }

    /// Puts an environment where its seat says, in the place of whoever is there.
    pub fn seat(&mut self, environment: Environment) {
        let slot = environment.seat.slot;
        if self.0.len() <= slot {
            self.0.resize(slot + 1, None);
        }
        self.0[slot] = Some(environment);
    }

    /// Empties a slot.
    pub fn vacate(&mut self, slot: usize) -> Option<Environment> {
        self.0.get_mut(slot)?.take()
    }
}

impl Index<usize> for Environments {
    type Output = Environment;

    /// The environment to which a credential of the same snapshot leads.
    #[expect(
        clippy::expect_used,
        reason = "no key leads to an empty slot: its keys left the table in the same swap"
    )]
    fn index(&self, slot: usize) -> &Environment {
        self.0[slot].as_ref().expect("somebody is in the slot to which a key leads")
    }
}
