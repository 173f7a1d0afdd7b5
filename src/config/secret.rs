//! Text that is used and never shown.
//!
//! Neither type has `Deref`, `AsRef` or a serialiser: the only way to the text is a call that
//! can be searched for.

use std::fmt;

/// What stands in the place of a secret wherever something is printed.
pub(super) const REDACTED: &str = "[redacted]";

/// Stands for a secret in the `Debug` output of what holds one as plain text.
pub(super) struct Redacted;

impl fmt::Debug for Redacted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(REDACTED)
    }
}

/// A key of an environment or of its source, publishable or secret: 1 to 256 bytes, no white
/// space, no control characters.
///
/// Publishable keys are redacted too: they are what an abuser needs, and which of the two a key
/// is can be a typing error in the very file that is being printed.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Key(String);

impl Key {
    /// Takes text that was checked to be one.
    pub(crate) fn new(text: String) -> Self {
        Self(text)
    }

    /// The text, for hashing, for comparing, and for the upstream that gave it. Never log it, never
    /// put it in an answer.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(REDACTED)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(REDACTED)
    }
}

/// The token that opens the admin port's closed routes: at least 16 characters, no white space,
/// no control characters.
#[derive(Clone, Eq, PartialEq)]
pub struct Token(String);

impl Token {
    pub(super) fn new(text: String) -> Self {
        Self(text)
    }

    /// The text, for comparing. Never log it, never put it in an answer.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(REDACTED)
    }
}

impl fmt::Display for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(REDACTED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_itself_only_when_asked() {
        let key = Key::new("pub_orange".to_owned());
        assert_eq!(format!("{key} {key:?}"), "[redacted] [redacted]");
        assert_eq!(key.expose(), "pub_orange");

        let token = Token::new("orange-orange-orange".to_owned());
        assert_eq!(format!("{token} {token:?}"), "[redacted] [redacted]");
        assert_eq!(token.expose(), "orange-orange-orange");
    }
}
