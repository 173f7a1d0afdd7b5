//! Keys: of environments, for SDKs, and of the Management API.
//!
//! All are random with far more than 128 bits, so a plain SHA-256 is all that has to be kept of one:
//! nobody can guess what it is the hash of.

use std::fmt;

use sha2::{Digest, Sha256};

use super::model::random_text;
use crate::model::KeyClass;

/// Letters and digits behind an environment key's prefix (reflag-management.md section 1).
const ENVIRONMENT_KEY: usize = 22;
/// The same of an API key.
const API_KEY: usize = 40;
/// Characters of an API key that may be shown: `api_` and four.
const SHOWN_OF_API_KEY: usize = 8;

/// A key that was just made: the one moment in which its text is known. Prints nothing of it by
/// itself.
#[derive(Clone, PartialEq, Eq)]
pub struct NewKey {
    /// What is kept.
    pub sha256: [u8; 32],
    /// What may be shown.
    pub prefix: String,
    text: String,
}

impl fmt::Debug for NewKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NewKey({}...)", self.prefix)
    }
}

impl NewKey {
    /// A key of an environment: `pub_prod_` or `sec_prod_` with the first four letters of the
    /// environment's name, and what is random.
    pub fn of_environment(name: &str, class: KeyClass) -> Result<Self, getrandom::Error> {
        let kind = match class {
            KeyClass::Publishable => "pub",
            KeyClass::Secret => "sec",
        };
        let letters = name.chars().filter(char::is_ascii_alphanumeric).take(4);
        let letters: String = letters.collect::<String>().to_ascii_lowercase();
        let prefix =
            if letters.is_empty() { format!("{kind}_") } else { format!("{kind}_{letters}_") };
        let text = format!("{prefix}{}", random_text(ENVIRONMENT_KEY)?);
        Ok(Self::of(text, prefix.len() + 4))
    }

    /// A key of the Management API.
    pub fn of_api() -> Result<Self, getrandom::Error> {
        Ok(Self::of(format!("api_{}", random_text(API_KEY)?), SHOWN_OF_API_KEY))
    }

    /// A key that somebody chose, such as a demo's.
    pub fn chosen(text: &str) -> Self {
        Self::of(text.to_owned(), SHOWN_OF_API_KEY.min(text.len() / 2))
    }

    fn of(text: String, shown: usize) -> Self {
        let prefix = text.chars().take(shown).collect();
        Self { sha256: sha256(text.as_bytes()), prefix, text }
    }

    /// The text, for whoever asked for the key.
    pub fn expose(&self) -> &str {
        &self.text
    }
}

/// The hash that a key is looked up by.
pub fn sha256(key: &[u8]) -> [u8; 32] {
    Sha256::digest(key).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_the_forms_of_the_hosted_services() {
        let key = NewKey::of_environment("Production", KeyClass::Publishable).unwrap();
        assert!(key.expose().starts_with("pub_prod_") && key.expose().len() == 31);
        assert_eq!(key.prefix, key.expose()[..13]);
        let key = NewKey::of_environment("EU – 2", KeyClass::Secret).unwrap();
        assert!(key.expose().starts_with("sec_eu2_"), "at most 36, more than 22 characters");
        let key = NewKey::of_api().unwrap();
        assert!(key.expose().starts_with("api_"));
        assert_eq!(key.prefix.len(), 8);
        assert!(!format!("{key:?}").contains(key.expose()));
    }
}
