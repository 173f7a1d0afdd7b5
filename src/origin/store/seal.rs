//! Seals secret keys, so that the database file alone opens nothing.
//!
//! The Management API has to show an environment's secret key, so its text must be kept. It is kept
//! encrypted (ChaCha20-Poly1305), and what opens it lies beside the database, in `DATABASE.key`.
//! Whoever copies the database without that file can read no key; without it secret keys go on
//! working, since they are looked up by their hash, but cannot be shown.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use super::OpenError;

/// Where the key of a database lies.
pub(super) fn path_beside(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".key");
    PathBuf::from(name)
}

/// Opens and closes.
#[derive(Clone)]
pub struct Seal(Arc<LessSafeKey>);

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal")
    }
}

impl Seal {
    /// Reads the key beside a database, or makes it.
    pub(super) fn open(database: &Path) -> Result<Self, OpenError> {
        let path = path_beside(database);
        let refused = |error| OpenError::File { path: path.clone(), error };
        let mut options = OpenOptions::new();
        // Of two processes that start at once, one makes it and the other reads it.
        match options.write(true).create_new(true).mode(0o600).open(&path) {
            Ok(mut file) => {
                let mut bytes = [0; 32];
                getrandom::fill(&mut bytes)?;
                file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(refused)?;
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(refused(error)),
        }
        Self::read(&path)
    }

    /// That the key beside a database is one, if it is there.
    pub(super) fn examine(database: &Path) -> Result<(), OpenError> {
        let path = path_beside(database);
        if path.exists() { Self::read(&path).map(drop) } else { Ok(()) }
    }

    /// One that is kept nowhere.
    pub(super) fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)?;
        // The length is the algorithm's.
        let key = UnboundKey::new(&CHACHA20_POLY1305, &bytes);
        key.map(|key| Self(Arc::new(LessSafeKey::new(key))))
            .map_err(|_| getrandom::Error::UNEXPECTED)
    }

    fn read(path: &Path) -> Result<Self, OpenError> {
        let refused = |error| OpenError::File { path: path.to_owned(), error };
        let mut bytes = Vec::new();
        let file = OpenOptions::new().read(true).open(path).map_err(refused)?;
        file.take(64).read_to_end(&mut bytes).map_err(refused)?;
        let key = UnboundKey::new(&CHACHA20_POLY1305, &bytes);
        let key = key.map_err(|_| OpenError::Seal { path: path.to_owned() })?;
        Ok(Self(Arc::new(LessSafeKey::new(key))))
    }

    /// Encrypts `text`; `about` has to be told again to open it.
    pub(super) fn close(&self, text: &str, about: &[u8]) -> Result<Vec<u8>, getrandom::Error> {
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce)?;
        let mut sealed = text.as_bytes().to_vec();
        let closed = self.0.seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(about),
            &mut sealed,
        );
        // It fails only for texts of many gigabytes.
        debug_assert!(closed.is_ok());
        Ok([&nonce[..], &sealed].concat())
    }

    /// The text, if it was sealed with this key.
    pub(super) fn text_of(&self, sealed: &[u8], about: &[u8]) -> Option<String> {
        let (nonce, rest) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let mut rest = rest.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let text = self.0.open_in_place(nonce, Aad::from(about), &mut rest).ok()?;
        String::from_utf8(text.to_vec()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_is_opened_by_the_same_key_only() {
        let folder = tempfile::tempdir().unwrap();
        let seal = Seal::open(&folder.path().join("a.db")).unwrap();
        let sealed = seal.close("sec_prod_1", b"hash").unwrap();
        assert!(!sealed.windows(8).any(|part| part == b"sec_prod"));
        let again = Seal::open(&folder.path().join("a.db")).unwrap();
        assert_eq!(again.text_of(&sealed, b"hash").as_deref(), Some("sec_prod_1"));
        assert_eq!(again.text_of(&sealed, b"other"), None);
        let other = Seal::open(&folder.path().join("b.db")).unwrap();
        assert_eq!(other.text_of(&sealed, b"hash"), None);
        assert_eq!(seal.text_of(b"short", b"hash"), None);
    }
}
