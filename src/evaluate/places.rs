//! Where flags are, by their keys.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;
use hashbrown::HashTable;

/// Places of flags by their keys. The keys themselves stay where they are.
#[derive(Debug, Default)]
pub struct Places(HashTable<u32>);

impl Places {
    /// Takes note of all keys, in their order. Of equal ones the first counts.
    pub fn new(keys: &[&str]) -> Self {
        let mut table = HashTable::with_capacity(keys.len());
        for (place, key) in (0_u32..).zip(keys) {
            let same = |&known: &u32| keys[known as usize] == *key;
            if table.find(hash(key), same).is_none() {
                table.insert_unique(hash(key), place, |&known| hash(keys[known as usize]));
            }
        }
        Self(table)
    }

    /// The place of a key; `key_at` gives the key that is at a place.
    pub fn find<'a>(&self, key: &str, key_at: impl Fn(usize) -> &'a str) -> Option<usize> {
        let found = self.0.find(hash(key), |&place| key_at(place as usize) == key);
        found.map(|&place| place as usize)
    }
}

fn hash(key: &str) -> u64 {
    // A fixed seed is fine: only the compiler adds to these tables.
    let mut hasher = FixedState::default().build_hasher();
    hasher.write(key.as_bytes());
    hasher.finish()
}
