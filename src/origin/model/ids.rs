//! Ids: opaque, 14 characters, which the official command line insists on
//! (reflag-management.md section 3).

use std::fmt;

/// Letters and digits of ids and keys.
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// So many letters and digits, each as likely as the others.
pub fn random_text(len: usize) -> Result<String, getrandom::Error> {
    let mut text = String::with_capacity(len);
    let mut bytes = [0; 64];
    loop {
        getrandom::fill(&mut bytes)?;
        // What is above the last whole multiple of 62 would make the first letters likelier.
        for byte in bytes.into_iter().filter(|&byte| byte < 248) {
            if text.len() == len {
                return Ok(text);
            }
            text.push(char::from(ALPHABET[usize::from(byte % 62)]));
        }
    }
}

/// What all ids have in common.
pub trait Id: Sized {
    /// The two letters that ids of this kind begin with.
    const PREFIX: &'static str;

    /// Takes text that is an id, or that names none.
    fn of(text: String) -> Self;

    /// A new one.
    fn random() -> Result<Self, getrandom::Error> {
        Ok(Self::of(format!("{}{}", Self::PREFIX, random_text(12)?)))
    }
}

macro_rules! id {
    ($(#[$doc:meta] $name:ident $prefix:literal;)*) => {$(
        #[$doc]
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(Box<str>);

        impl Id for $name {
            const PREFIX: &'static str = $prefix;

            fn of(text: String) -> Self {
                Self(text.into())
            }
        }

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

id! {
    /// Of the organisation.
    OrgId "or";
    /// Of an app.
    AppId "ap";
    /// Of an environment.
    EnvironmentId "en";
    /// Of a flag; its key is another thing.
    FlagId "fl";
    /// Of a stage.
    StageId "st";
    /// Of a segment.
    SegmentId "sg";
    /// Of a member of the team.
    MemberId "us";
    /// Of an API key; says nothing about its text.
    ApiKeyId "ak";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_14_letters_and_digits_and_differ() {
        let ids: Vec<AppId> = (0..100).map(|_| AppId::random().unwrap()).collect();
        for id in &ids {
            assert_eq!(id.as_str().len(), 14);
            assert!(id.as_str().starts_with("ap"));
            assert!(id.as_str().bytes().all(|byte| byte.is_ascii_alphanumeric()));
        }
        let unique: std::collections::HashSet<_> = ids.iter().collect();
        assert_eq!(unique.len(), ids.len());
    }
}
