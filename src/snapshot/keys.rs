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
    /// By environment: digests of the keys that came from outside of the configuration: with its
    /// document, from its source, or from the list that it is in.
    brought: BTreeMap<u32, Vec<u128>>,
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
            brought: BTreeMap::new(),
            has_hashed: false,
        }
    }

    /// Adds a key. The text is not kept. That no key stands for two things is checked with the
    /// configuration.
    pub fn insert(&mut self, key: &str, credential: Credential) {
        self.insert_digest(self.digests.digest(key.as_bytes()), credential);
    }

    fn insert_digest(&mut self, digest: u128, credential: Credential) {
        self.table.insert_unique(digest as u64, (digest, credential), |(digest, _)| *digest as u64);
    }

    fn remove_digest(&mut self, digest: u128) {
        if let Ok(entry) = self.table.find_entry(digest as u64, |(held, _)| *held == digest) {
            entry.remove();
        }
    }

    /// What a key with this digest gives access to.
    pub fn find_digest(&self, digest: u128) -> Option<Credential> {
        // The table's hash is the digest itself: it is as good as random to whoever sends keys.
        Some(self.table.find(digest as u64, |(held, _)| held ^ digest == 0)?.1)
    }

    /// Forgets all keys of an environment.
    pub fn remove_all_of(&mut self, environment: u32) {
        self.brought.remove(&environment);
        self.table.retain(|(_, credential)| credential.environment != environment);
    }

    /// Gives an environment these keys in the place of those that were brought for it before. A key
    /// that stands for something else already stays with that, save with an environment that gives
    /// way.
    pub fn bring(
        &mut self,
        environment: u32,
        keys: &[(u128, KeyClass)],
        gives_way: impl Fn(u32) -> bool,
    ) {
        for before in self.brought.remove(&environment).unwrap_or_default() {
            // It may have gone to another one.
            if self.find_digest(before).is_some_and(|owner| owner.environment == environment) {
                self.remove_digest(before);
            }
        }
        let mut brought = Vec::with_capacity(keys.len());
        for &(digest, class) in keys {
            match self.find_digest(digest) {
                Some(owner) if !gives_way(owner.environment) => continue,
                Some(_) => self.remove_digest(digest),
                None => {}
            }
            self.insert_digest(digest, Credential { environment, class });
            brought.push(digest);
        }
        self.brought.insert(environment, brought);
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
        if self.find_digest(digest).is_some_and(|owner| !gives_way(owner.environment)) {
            return None;
        }
        let mut table = self.clone();
        table.bring(environment, &[(digest, KeyClass::Publishable)], gives_way);
        Some(table)
    }

    /// The table with the keys that an environment's source brings, in place of those before. None
    /// when nothing changes. A key that stands for something else already is left out, unless that
    /// gives way.
    #[must_use]
    pub fn with_source_keys(
        &self,
        environment: u32,
        keys: &[SourceKey],
        gives_way: impl Fn(u32) -> bool,
    ) -> Option<Self> {
        let keys: Vec<_> = keys.iter().map(|key| self.digest_of(key)).collect();
        let mut table = self.clone();
        table.bring(environment, &keys, gives_way);
        table.has_hashed |= keys.iter().any(|&(_, class)| class == KeyClass::Secret);
        (table.brought.get(&environment) != self.brought.get(&environment)).then_some(table)
    }

    fn digest_of(&self, key: &SourceKey) -> (u128, KeyClass) {
        match key {
            SourceKey::Publishable(text) => {
                (self.digests.digest(text.as_bytes()), KeyClass::Publishable)
            }
            SourceKey::SecretHash(hash) => (self.of_hashes.digest(hash), KeyClass::Secret),
        }
    }

    /// What the key gives access to.
    pub fn find(&self, key: &[u8]) -> Option<Credential> {
        self.find_digest(self.digests.digest(key)).or_else(|| self.find_hashed(key))
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
        let table = table
            .with_source_keys(1, &[text("pub_1"), hash("sec_1"), hash("sec_0")], |_| false)
            .unwrap();
        assert_eq!(table.find(b"pub_1"), of(1, publishable));
        assert_eq!(table.find(b"sec_1"), of(1, secret));
        assert_eq!(table.find(&Sha256::digest("sec_1")), None, "a hash is no key");
        let table = table
            .with_source_keys(1, &[text("pub_2"), hash("sec_1"), text("pub_written")], |_| false)
            .unwrap();
        assert_eq!(table.find(b"pub_1"), None);
        assert_eq!(table.find(b"sec_0"), None);
        assert_eq!(table.find(b"pub_2"), of(1, publishable));
        assert_eq!(table.find(b"pub_written"), of(0, publishable));
        let table = table.with_source_keys(1, &[], |_| false).unwrap();
        assert_eq!(table.find(b"sec_1"), None);
        assert_eq!(table.find(b"pub_written"), of(0, publishable));
    }

    #[test]
    fn an_environments_keys_are_replaced_together_and_nobody_elses() {
        let digests = KeyDigests::random().unwrap();
        let mut table = KeyTable::new(digests.clone());
        let of = |environment, class| Some(Credential { environment, class });
        table.insert("pub_a", of(0, KeyClass::Publishable).unwrap());
        let key = |key: &str, class| (digests.digest(key.as_bytes()), class);
        let first = [key("b", KeyClass::Publishable), key("ser.b", KeyClass::Secret)];
        table.bring(1, &first, |_| false);
        assert_eq!(table.find(b"ser.b"), of(1, KeyClass::Secret));
        table.bring(1, &[first[0], key("pub_a", KeyClass::Secret)], |_| false);
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
