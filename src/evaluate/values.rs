//! Operands that are compared for equality, as numbers.
//!
//! One look-up per attribute of a request answers every `IS`, `IS_NOT`, `ANY_OF` and `NOT_ANY_OF`
//! of all flags on that attribute: from then on they compare integers.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use super::Slot;

/// Number of a text among the operands of one slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValueId(pub u32);

impl ValueId {
    /// A text that no rule names: equal to no operand.
    pub const NONE: Self = Self(u32::MAX);
}

/// All operands that are compared for equality.
#[derive(Debug, Default)]
pub struct Values {
    table: HashTable<Entry>,
    /// How many ids each slot has given out.
    per_slot: Vec<u32>,
}

#[derive(Debug)]
struct Entry {
    slot: Slot,
    id: ValueId,
    text: Box<str>,
}

impl Values {
    /// An empty table for `slots` slots.
    pub fn new(slots: usize) -> Self {
        Self { table: HashTable::new(), per_slot: vec![0; slots] }
    }

    /// The number of `text` at `slot`, given out now if it is new.
    pub fn intern(&mut self, slot: Slot, text: &str) -> ValueId {
        if let Some(id) = self.find(slot, text) {
            return id;
        }
        let next = &mut self.per_slot[slot.0 as usize];
        let id = ValueId(*next);
        *next += 1;
        self.table.insert_unique(hash(slot, text), Entry { slot, id, text: text.into() }, |e| {
            hash(e.slot, &e.text)
        });
        id
    }

    /// How many ids `slot` has.
    pub fn count(&self, slot: Slot) -> u32 {
        self.per_slot[slot.0 as usize]
    }

    /// The number of a request's text, or [`ValueId::NONE`].
    pub fn id(&self, slot: Slot, text: &str) -> ValueId {
        if self.count(slot) == 0 {
            return ValueId::NONE;
        }
        self.find(slot, text).unwrap_or(ValueId::NONE)
    }

    fn find(&self, slot: Slot, text: &str) -> Option<ValueId> {
        self.table
            .find(hash(slot, text), |e| e.slot == slot && *e.text == *text)
            .map(|entry| entry.id)
    }
}

fn hash(slot: Slot, text: &str) -> u64 {
    // A fixed seed is fine: only the compiler adds to this table.
    let mut hasher = FixedState::default().build_hasher();
    hasher.write_u32(slot.0);
    hasher.write(text.as_bytes());
    hasher.finish()
}
