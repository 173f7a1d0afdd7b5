//! Keys, held as keyed digests only.
//!
//! A request's key is digested with a key of this process and the digest is looked up. Equal
//! digests mean equal keys (128 bits of a pseudo-random function), and neither the time of a
//! look-up nor a dump of the table tells anything about a key's text.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::Hasher;

use hashbrown::HashTable;
use siphasher::sip128::{Hasher128, SipHasher24};

use crate::model::KeyClass;

/// What a key gives access to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credential {
    /// Index in the snapshot.
    pub environment: u32,
    /// What of it may be seen.
    pub class: KeyClass,
}

/// Digests keys with a key of this process.
#[derive(Clone)]
pub struct KeyDigests {
    seed: [u8; 16],
}

/// Shows nothing of the seed.
impl fmt::Debug for KeyDigests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyDigests")
    }
}

impl KeyDigests {
    /// Draws a key from the operating system.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut seed = [0; 16];
        getrandom::fill(&mut seed)?;
        Ok(Self { seed })
    }

    /// The digest of a key.
    pub fn digest(&self, key: &[u8]) -> u128 {
        let mut hasher = SipHasher24::new_with_key(&self.seed);
        hasher.write(key);
        hasher.finish128().as_u128()
    }
}

/// Which key belongs to which environment.
#[derive(Clone, Debug)]
pub struct KeyTable {
    digests: KeyDigests,
    table: HashTable<(u128, Credential)>,
    /// By environment: digests of keys that came with its document.
    from_documents: BTreeMap<u32, u128>,
}

impl KeyTable {
    /// An empty table.
    pub fn new(digests: KeyDigests) -> Self {
        Self { digests, table: HashTable::new(), from_documents: BTreeMap::new() }
    }

    /// Adds a key. The text is not kept. That no key stands for two things is checked with the
    /// configuration.
    pub fn insert(&mut self, key: &str, credential: Credential) {
        self.insert_digest(self.digests.digest(key.as_bytes()), credential);
    }

    fn insert_digest(&mut self, digest: u128, credential: Credential) {
        self.table.insert_unique(digest as u64, (digest, credential), |(digest, _)| *digest as u64);
    }

    /// What a key with this digest gives access to.
    pub fn find_digest(&self, digest: u128) -> Option<Credential> {
        Some(self.table.find(digest as u64, |(held, _)| *held == digest)?.1)
    }

    /// Forgets all keys of an environment.
    pub fn remove_all_of(&mut self, environment: u32) {
        self.from_documents.remove(&environment);
        self.table.retain(|(_, credential)| credential.environment != environment);
    }

    /// Gives an environment these keys in the place of all that it has. A key that stands for
    /// another one already stays with that.
    pub fn replace_all_of(&mut self, environment: u32, keys: &[(u128, KeyClass)]) {
        self.remove_all_of(environment);
        for &(digest, class) in keys {
            if self.find_digest(digest).is_none() {
                self.insert_digest(digest, Credential { environment, class });
            }
        }
    }

    /// The table with the publishable key that an environment's document brings, in place of the
    /// one before. None when nothing changes, or when the key stands for something else already
    /// that does not give way.
    #[must_use]
    pub fn with_document_key(
        &self,
        environment: u32,
        key: &str,
        gives_way: impl Fn(u32) -> bool,
    ) -> Option<Self> {
        let digest = self.digests.digest(key.as_bytes());
        let owner = self.find_digest(digest);
        if owner.is_some_and(|owner| !gives_way(owner.environment)) {
            return None;
        }
        let mut table = self.clone();
        if let Ok(entry) = table.table.find_entry(digest as u64, |(held, _)| *held == digest) {
            entry.remove();
        }
        if let Some(before) = table.from_documents.insert(environment, digest)
            && let Ok(entry) = table.table.find_entry(before as u64, |(held, credential)| {
                *held == before && credential.environment == environment
            })
        {
            entry.remove();
        }
        table.insert_digest(digest, Credential { environment, class: KeyClass::Publishable });
        Some(table)
    }

    /// What the key gives access to.
    pub fn find(&self, key: &[u8]) -> Option<Credential> {
        let digest = self.digests.digest(key);
        // The table's hash is the digest itself: it is as good as random to whoever sends keys.
        let found = self.table.find(digest as u64, |(held, _)| held ^ digest == 0)?;
        Some(found.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_and_not_kept() {
        let mut table = KeyTable::new(KeyDigests::random().unwrap());
        let credential = Credential { environment: 3, class: KeyClass::Secret };
        table.insert("sec_local_0123", credential);
        assert_eq!(table.find(b"sec_local_0123"), Some(credential));
        assert_eq!(table.find(b"sec_local_0124"), None);
        assert_eq!(table.find(b""), None);
        assert!(!format!("{table:?}").contains("sec_local"));
    }

    #[test]
    fn an_environments_keys_are_replaced_together_and_nobody_elses() {
        let digests = KeyDigests::random().unwrap();
        let mut table = KeyTable::new(digests.clone());
        let of = |environment, class| Some(Credential { environment, class });
        table.insert("pub_a", of(0, KeyClass::Publishable).unwrap());
        let key = |key: &str, class| (digests.digest(key.as_bytes()), class);
        let first = [key("b", KeyClass::Publishable), key("ser.b", KeyClass::Secret)];
        table.replace_all_of(1, &first);
        assert_eq!(table.find(b"ser.b"), of(1, KeyClass::Secret));
        table.replace_all_of(1, &[first[0], key("pub_a", KeyClass::Secret)]);
        assert_eq!(table.find(b"ser.b"), None);
        assert_eq!(table.find(b"pub_a"), of(0, KeyClass::Publishable));
        table.remove_all_of(1);
        assert_eq!((table.find(b"b"), table.find(b"pub_a").is_some()), (None, true));
    }

    #[test]
    fn a_documents_key_replaces_the_one_before_and_takes_one_that_gives_way() {
        let mut table = KeyTable::new(KeyDigests::random().unwrap());
        let class = KeyClass::Publishable;
        table.insert("theirs", Credential { environment: 1, class });
        assert!(table.with_document_key(0, "theirs", |_| false).is_none());
        let table = table.with_document_key(0, "theirs", |owner| owner == 1).unwrap();
        assert_eq!(table.find(b"theirs"), Some(Credential { environment: 0, class }));
        let table = table.with_document_key(0, "ours", |_| false).unwrap();
        assert_eq!(table.find(b"theirs"), None);
        assert!(table.find(b"ours").is_some());
    }
}
