//! Keys, held as keyed digests only.
//!
//! A request's key is digested with a key of this process and the digest is looked up. Equal
//! digests mean equal keys (128 bits of a pseudo-random function), and neither the time of a
//! look-up nor a dump of the table tells anything about a key's text.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::Hasher;

use hashbrown::HashTable;
use sha2::{Digest, Sha256};
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

    /// Another one that gives unrelated digests.
    fn derived(&self) -> Self {
        Self { seed: self.digest(b"of hashes").to_le_bytes() }
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
    /// By environment: digests of keys that its source brought.
    from_sources: BTreeMap<u32, Vec<u128>>,
    /// Digests hashes of keys. Another one than that of keys, so that whoever learns a hash cannot
    /// send it in place of the key.
    of_hashes: KeyDigests,
    /// Whether some keys are known by their hash only.
    has_hashed: bool,
}

/// A key that a source brings along with its rules, as far as the source knows it.
#[derive(Clone, PartialEq, Eq)]
pub enum SourceKey {
    /// A publishable key, which is public.
    Publishable(String),
    /// The SHA-256 of a secret key.
    SecretHash([u8; 32]),
}

/// Shows the class only.
impl fmt::Debug for SourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Publishable(_) => "publishable",
            Self::SecretHash(_) => "secret",
        })
    }
}

impl KeyTable {
    /// An empty table.
    pub fn new(digests: KeyDigests) -> Self {
        Self {
            of_hashes: digests.derived(),
            digests,
            table: HashTable::new(),
            from_documents: BTreeMap::new(),
            from_sources: BTreeMap::new(),
            has_hashed: false,
        }
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

    /// The table with the keys that an environment's source brings, in place of those before. A key
    /// that stands for something else already goes on standing for that.
    #[must_use]
    pub fn with_source_keys(&self, environment: u32, keys: &[SourceKey]) -> Self {
        let mut table = self.clone();
        for before in table.from_sources.remove(&environment).unwrap_or_default() {
            if let Ok(entry) = table.table.find_entry(before as u64, |(held, _)| *held == before) {
                entry.remove();
            }
        }
        let mut brought = Vec::with_capacity(keys.len());
        for key in keys {
            let (digest, class) = match key {
                SourceKey::Publishable(text) => {
                    (table.digests.digest(text.as_bytes()), KeyClass::Publishable)
                }
                SourceKey::SecretHash(hash) => (table.of_hashes.digest(hash), KeyClass::Secret),
            };
            table.has_hashed |= class == KeyClass::Secret;
            if table.table.find(digest as u64, |(held, _)| *held == digest).is_some() {
                continue;
            }
            let credential = Credential { environment, class };
            let entry = (digest, credential);
            table.table.insert_unique(digest as u64, entry, |(digest, _)| *digest as u64);
            brought.push(digest);
        }
        table.from_sources.insert(environment, brought);
        table
    }

    /// What the key gives access to.
    pub fn find(&self, key: &[u8]) -> Option<Credential> {
        self.find_digest(self.digests.digest(key)).or_else(|| self.find_hashed(key))
    }

    fn find_digest(&self, digest: u128) -> Option<Credential> {
        // The table's hash is the digest itself: it is as good as random to whoever sends keys.
        let found = self.table.find(digest as u64, |(held, _)| held ^ digest == 0)?;
        Some(found.1)
    }

    /// Keys of which a source keeps no more than a hash are found by that. Nobody pays for it where
    /// there are none, and with a publishable key nobody does anyway.
    #[cold]
    fn find_hashed(&self, key: &[u8]) -> Option<Credential> {
        if !self.has_hashed {
            return None;
        }
        self.find_digest(self.of_hashes.digest(&Sha256::digest(key)))
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
    fn keys_of_a_source_replace_those_it_brought_before_and_nobody_elses() {
        let mut table = KeyTable::new(KeyDigests::random().unwrap());
        let of = |environment, class| Some(Credential { environment, class });
        let (publishable, secret) = (KeyClass::Publishable, KeyClass::Secret);
        table.insert("pub_written", Credential { environment: 0, class: publishable });
        let hash = |key: &str| SourceKey::SecretHash(Sha256::digest(key).into());
        let text = |key: &str| SourceKey::Publishable(key.to_owned());
        let table = table.with_source_keys(1, &[text("pub_1"), hash("sec_1"), hash("sec_0")]);
        assert_eq!(table.find(b"pub_1"), of(1, publishable));
        assert_eq!(table.find(b"sec_1"), of(1, secret));
        assert_eq!(table.find(&Sha256::digest("sec_1")), None, "a hash is no key");
        let table = table.with_source_keys(1, &[text("pub_2"), hash("sec_1"), text("pub_written")]);
        assert_eq!(table.find(b"pub_1"), None);
        assert_eq!(table.find(b"sec_0"), None);
        assert_eq!(table.find(b"pub_2"), of(1, publishable));
        assert_eq!(table.find(b"pub_written"), of(0, publishable));
        let table = table.with_source_keys(1, &[]);
        assert_eq!(table.find(b"sec_1"), None);
        assert_eq!(table.find(b"pub_written"), of(0, publishable));
    }
}
