//! Tracking posts: checked for form, counted by kind (reflag-runtime.md section 8).

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::dialect::Rejection;

/// A path that takes events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Post {
    /// `POST /bulk`: 1 to 100 items of any kind.
    Bulk,
    /// `POST /user`
    User,
    /// `POST /company`
    Company,
    /// `POST /event`
    Event,
    /// `POST /features/events`
    FlagEvent,
}

/// Kinds of events, for counting. What a client calls them beyond these is counted as other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants are the protocol's own names")]
pub enum Kind {
    User,
    Company,
    Event,
    FlagEvent,
    PromptEvent,
    Feedback,
    Other,
}

impl Kind {
    /// All kinds; the index of a kind here is its place in [`Counts`].
    pub const ALL: [Self; 7] = [
        Self::User,
        Self::Company,
        Self::Event,
        Self::FlagEvent,
        Self::PromptEvent,
        Self::Feedback,
        Self::Other,
    ];

    /// The protocol's name, which is also the metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Company => "company",
            Self::Event => "event",
            Self::FlagEvent => "feature-flag-event",
            Self::PromptEvent => "prompt-event",
            Self::Feedback => "feedback",
            Self::Other => "other",
        }
    }

    fn from_wire(name: &str) -> Self {
        Self::ALL.into_iter().find(|kind| kind.label() == name).unwrap_or(Self::Other)
    }
}

/// How many events of each kind, in the order of [`Kind::ALL`].
pub type Counts = [u32; Kind::ALL.len()];

/// Most items of one `POST /bulk`.
pub const BULK_ITEMS: usize = 100;

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "userId")]
    user_id: Option<&'a RawValue>,
    #[serde(borrow, rename = "companyId")]
    company_id: Option<&'a RawValue>,
    #[serde(borrow)]
    event: Option<&'a RawValue>,
    #[serde(borrow)]
    key: Option<&'a RawValue>,
}

/// The items of `POST /bulk` up to the bound: what comes after them is read and not kept, so that
/// no client decides how long a list is.
struct Items<'a> {
    first: Vec<&'a RawValue>,
    more: bool,
}

impl<'de> Deserialize<'de> for Items<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Items<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
                let mut first = Vec::new();
                while first.len() < BULK_ITEMS {
                    match array.next_element()? {
                        Some(item) => first.push(item),
                        None => return Ok(Items { first, more: false }),
                    }
                }
                let mut more = false;
                while array.next_element::<IgnoredAny>()?.is_some() {
                    more = true;
                }
                Ok(Items { first, more })
            }
        }
        deserializer.deserialize_seq(Collect)
    }
}

/// Checks a body and counts what it holds. Unknown kinds and members are fine.
pub fn check(post: Post, body: &[u8]) -> Result<Counts, Rejection> {
    let mut counts = Counts::default();
    let mut count = |kind: Kind| {
        if let Some(at) = Kind::ALL.iter().position(|&k| k == kind) {
            counts[at] += 1;
        }
    };
    let single = || match body.trim_ascii_start().first() {
        // serde reads structs from arrays too; the protocol does not.
        Some(b'[') => invalid("the body is not an object of the expected form".to_owned()),
        _ => parse::<Item<'_>>(body, "an object"),
    };
    match post {
        Post::Bulk => {
            let Items { first, more } = parse(body, "an array")?;
            if first.is_empty() || more {
                return invalid(format!("the array must hold 1 to {BULK_ITEMS} items"));
            }
            for (at, item) in first.iter().enumerate() {
                let item: Item<'_> = serde_json::from_str(item.get())
                    .ok()
                    .filter(|_| item.get().starts_with('{'))
                    .ok_or_else(|| {
                        Rejection::Invalid(format!("item {at} is not an object of an event").into())
                    })?;
                match item.kind {
                    Some(kind) => count(Kind::from_wire(&kind)),
                    None => return invalid(format!("item {at} has no `type`")),
                }
            }
        }
        Post::User => {
            require(single()?.user_id, "userId", is_id)?;
            count(Kind::User);
        }
        Post::Company => {
            require(single()?.company_id, "companyId", is_id)?;
            count(Kind::Company);
        }
        Post::Event => {
            let item = single()?;
            require(item.event, "event", is_text)?;
            require(item.user_id, "userId", is_id)?;
            count(Kind::Event);
        }
        Post::FlagEvent => {
            require(single()?.key, "key", is_text)?;
            count(Kind::FlagEvent);
        }
    }
    Ok(counts)
}

fn parse<'a, T: Deserialize<'a>>(body: &'a [u8], expected: &str) -> Result<T, Rejection> {
    serde_json::from_slice(body).or_else(|error| {
        if error.is_data() {
            invalid(format!("the body is not {expected} of the expected form"))
        } else {
            invalid(format!("the body is not JSON: {error}"))
        }
    })
}

fn require(value: Option<&RawValue>, name: &str, accepts: fn(u8) -> bool) -> Result<(), Rejection> {
    match value.map(|value| value.get().as_bytes()) {
        Some([first, rest @ ..]) if accepts(*first) && rest != b"\"" => Ok(()),
        _ => invalid(format!("`{name}` is missing or of the wrong type")),
    }
}

/// Node sends numbers as numbers, browsers always text.
fn is_id(first: u8) -> bool {
    is_text(first) || first == b'-' || first.is_ascii_digit()
}

fn is_text(first: u8) -> bool {
    first == b'"'
}

fn invalid<T>(what: String) -> Result<T, Rejection> {
    Err(Rejection::Invalid(what.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(post: Post, body: &str) -> Result<Vec<(&'static str, u32)>, String> {
        match check(post, body.as_bytes()) {
            Ok(counts) => Ok(Kind::ALL
                .into_iter()
                .zip(counts)
                .filter(|(_, n)| *n > 0)
                .map(|(kind, n)| (kind.label(), n))
                .collect()),
            Err(rejection) => Err(rejection.message().into_owned()),
        }
    }

    #[test]
    fn the_recorded_items_are_counted_by_kind() {
        let body = r#"[
          {"type":"user","userId":"u-1","attributes":{"name":"Ada"},"context":{"active":true}},
          {"type":"company","companyId":"acme","userId":"u-1","attributes":{"plan":"pro"}},
          {"type":"event","event":"crew-chat","userId":7,"companyId":"acme"},
          {"type":"feature-flag-event","action":"check","key":"crew-chat","evalResult":true},
          {"type":"something-new"}]"#;
        let expected =
            [("user", 1), ("company", 1), ("event", 1), ("feature-flag-event", 1), ("other", 1)];
        assert_eq!(count(Post::Bulk, body).unwrap(), expected);
        let event = r#"{"userId":"u-1","event":"crew-chat","attributes":{"position":"popover"}}"#;
        assert_eq!(count(Post::Event, event).unwrap(), [("event", 1)]);
        assert_eq!(count(Post::User, r#"{"userId":7}"#).unwrap(), [("user", 1)]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let cases = [
            (Post::Bulk, "{}", "the body is not an array of the expected form"),
            (Post::Bulk, "[]", "the array must hold 1 to 100 items"),
            (Post::Bulk, "[3]", "item 0 is not an object of an event"),
            (Post::Bulk, r#"[{"type":"user"},{}]"#, "item 1 has no `type`"),
            (Post::User, r#"{"userId":""}"#, "`userId` is missing or of the wrong type"),
            (Post::User, r#"{"userId":null}"#, "`userId` is missing or of the wrong type"),
            (Post::Company, r#"{"userId":"u"}"#, "`companyId` is missing or of the wrong type"),
            (Post::Event, r#"{"userId":"u","event":1}"#, "`event` is missing or of the wrong type"),
            (Post::FlagEvent, "[]", "the body is not an object of the expected form"),
            (Post::User, r#"["user"]"#, "the body is not an object of the expected form"),
            (Post::User, "", "the body is not JSON: EOF while parsing a value at line 1 column 0"),
        ];
        for (post, body, message) in cases {
            assert_eq!(count(post, body).unwrap_err(), message, "{body}");
        }
        let many = format!("[{}]", vec![r#"{"type":"user"}"#; 101].join(","));
        assert!(count(Post::Bulk, &many).is_err());
    }
}
