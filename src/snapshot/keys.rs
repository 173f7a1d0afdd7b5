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
        let digest = self.digests.digest(key.as_bytes());
        self.table.insert_unique(digest as u64, (digest, credential), |(digest, _)| *digest as u64);
    }

    /// The table with the publishable key that an environment's document brings, in place of the
    /// one before. None when nothing changes, or when the key stands for something else already.
    #[must_use]
    pub fn with_document_key(&self, environment: u32, key: &str) -> Option<Self> {
        let digest = self.digests.digest(key.as_bytes());
        if self.table.find(digest as u64, |(held, _)| *held == digest).is_some() {
            return None;
        }
        let mut table = self.clone();
        if let Some(before) = table.from_documents.insert(environment, digest)
            && let Ok(entry) = table.table.find_entry(before as u64, |(held, _)| *held == before)
        {
            entry.remove();
        }
        table.insert(key, Credential { environment, class: KeyClass::Publishable });
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
}
