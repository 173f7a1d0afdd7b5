//! The rules as the other family's server SDKs take them, where they have an exact equal.
//!
//! Which flags have none is found out when the rules are published. The document itself may be ten
//! times as long as the one that it is made of, and few ask for it: it is made for the first who does.

use std::fmt::Write;

use hyper::header::{HeaderName, HeaderValue};

use super::PreparedBody;
use crate::config::Definitions;
use crate::dialect::{Rejection, Translation, Untranslated};

/// `burgee-untranslated`
pub const UNTRANSLATED: HeaderName = HeaderName::from_static("burgee-untranslated");

/// A document in the words of the other family's protocol.
#[derive(Debug)]
pub struct TranslatedDocument {
    document: PreparedBody,
    /// Flags that have no exact equal.
    untranslated: Vec<Untranslated>,
    /// The value of [`UNTRANSLATED`].
    named: Option<HeaderValue>,
    policy: Definitions,
}

/// Most bytes of keys that a header field or a message names.
const NAMED: usize = 2_000;

impl TranslatedDocument {
    pub(super) fn new(translation: Translation, policy: Definitions, tag: u64) -> Self {
        let Translation { document, untranslated } = translation;
        let named = (!untranslated.is_empty())
            .then(|| HeaderValue::from_str(&names(&untranslated, encode)).ok())
            .flatten();
        Self { document: PreparedBody::new(document, tag), untranslated, named, policy }
    }

    pub(super) fn compress(&self) {
        self.document.compress();
    }

    /// The document, and the names of the flags that it lacks; a refusal when it lacks some and may
    /// not (DESIGN section 4).
    pub fn give(&self) -> Result<(&PreparedBody, Option<&HeaderValue>), Rejection> {
        if self.untranslated.is_empty() || self.policy == Definitions::Partial {
            return Ok((&self.document, self.named.as_ref()));
        }
        let names = names(&self.untranslated, str::to_owned);
        Err(Rejection::Untranslated(
            format!(
                "{} of the flags have no exact equal in this protocol: {names}. Have them evaluated \
                 remotely, or set reflag.definitions = \"partial\" to be given the others",
                self.untranslated.len(),
            )
            .into(),
        ))
    }
}

/// Keys in a row, as many as fit, and how many more there are.
fn names(untranslated: &[Untranslated], spell: impl Fn(&str) -> String) -> String {
    let mut text = String::new();
    for (at, flag) in untranslated.iter().enumerate() {
        let name = spell(&flag.flag);
        if text.len() + name.len() > NAMED {
            let _ = write!(text, "{}{} more", if at > 0 { ", and " } else { "" }, {
                untranslated.len() - at
            });
            break;
        }
        if at > 0 {
            text.push_str(", ");
        }
        text.push_str(&name);
    }
    text
}

/// Percent-encodes what a list in a header field cannot hold.
fn encode(key: &str) -> String {
    key.bytes().fold(String::with_capacity(key.len()), |mut encoded, byte| {
        if byte.is_ascii_graphic() && !matches!(byte, b',' | b'%' | b'"') {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn lacking(flags: &[&str], policy: Definitions) -> TranslatedDocument {
        let lacks = |flag: &&str| Untranslated { flag: (*flag).into(), reason: String::new() };
        let untranslated = flags.iter().map(lacks).collect();
        let translation = Translation { document: Bytes::from_static(b"{}"), untranslated };
        TranslatedDocument::new(translation, policy, 7)
    }

    #[test]
    fn a_whole_document_is_given_and_a_partial_one_where_that_is_allowed() {
        assert!(lacking(&[], Definitions::Complete).give().unwrap().1.is_none());
        let partial = lacking(&["a b", "ü,"], Definitions::Partial);
        assert_eq!(partial.give().unwrap().1.unwrap(), "a%20b, %C3%BC%2C");
        let refused = lacking(&["a b"], Definitions::Complete);
        let message = refused.give().unwrap_err().message().into_owned();
        assert!(message.starts_with("1 of the flags") && message.contains("a b"), "{message}");
    }

    #[test]
    fn no_more_keys_are_named_than_fit_a_head() {
        let keys: Vec<String> = (0..1_000).map(|n| format!("flag-{n}")).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let partial = lacking(&keys, Definitions::Partial);
        let named = partial.give().unwrap().1.unwrap().to_str().unwrap().to_owned();
        assert!(named.len() < 2_100 && named.ends_with(" more"), "{named}");
    }
}
