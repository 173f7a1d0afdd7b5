//! Equality and membership, answered for all conditions on a value at once.
//!
//! A row names a value of one slot and lists the conditions that hold for it. One look-up of a
//! request's coerced value finds all `EQUAL` and `IN` conditions on it that hold; the others do not.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use super::{LeafIndex, Slot};

/// What type of value a row is for: `7` and `"seven"` are never equal, whatever their text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Domain {
    /// Text as it is.
    Text,
    /// Canonical decimal text.
    Integer,
    /// The eight bytes of the double.
    Float,
    /// One byte.
    Boolean,
}

/// All rows.
#[derive(Debug, Default)]
pub struct Lookups {
    table: HashTable<Row>,
    /// The rows' conditions, one row behind the other.
    leaves: Vec<LeafIndex>,
}

#[derive(Debug)]
struct Row {
    slot: Slot,
    domain: Domain,
    value: Box<[u8]>,
    leaves: (u32, u32),
}

impl Lookups {
    /// Adds the row of a value that has none yet.
    pub fn add(&mut self, slot: Slot, domain: Domain, value: &[u8], leaves: &[LeafIndex]) {
        let first = self.leaves.len() as u32;
        self.leaves.extend_from_slice(leaves);
        let leaves = (first, self.leaves.len() as u32);
        let row = Row { slot, domain, value: value.into(), leaves };
        self.table
            .insert_unique(hash(slot, domain, value), row, |r| hash(r.slot, r.domain, &r.value));
    }

    /// The conditions that hold for a value.
    pub fn find(&self, slot: Slot, domain: Domain, value: &[u8]) -> &[LeafIndex] {
        let found = self.table.find(hash(slot, domain, value), |row| {
            row.slot == slot && row.domain == domain && *row.value == *value
        });
        found.map_or(&[], |row| &self.leaves[row.leaves.0 as usize..row.leaves.1 as usize])
    }
}

fn hash(slot: Slot, domain: Domain, value: &[u8]) -> u64 {
    // A fixed seed is fine: only the compiler adds to this table.
    let mut hasher = FixedState::default().build_hasher();
    hasher.write_u32(slot.0 << 2 | domain as u32);
    hasher.write(value);
    hasher.finish()
}
