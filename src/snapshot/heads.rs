//! Header fields of answers that are known when rules are published.

use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::Cors;
use super::content::class_index;
use super::flagsmith::{FlagsmithContent, UPDATED_AT};
use crate::model::{Fingerprint, KeyClass, Version};

/// Header fields that every answer of a kind carries: as a map, and as the lines that are sent.
#[derive(Clone, Debug, Default)]
pub struct PreparedHead {
    fields: HeaderMap,
    lines: Box<[u8]>,
}

impl PreparedHead {
    fn new(fields: HeaderMap) -> Self {
        let mut lines = Vec::new();
        write_lines(&fields, &mut lines);
        Self { fields, lines: lines.into() }
    }

    /// The fields as a map.
    pub fn fields(&self) -> &HeaderMap {
        &self.fields
    }

    /// The fields as they are sent over HTTP/1.1, each with its line's end.
    pub fn lines(&self) -> &[u8] {
        &self.lines
    }
}

/// Writes fields as HTTP/1.1 has them, without the blank line behind the last.
pub fn write_lines(fields: &HeaderMap, out: &mut Vec<u8>) {
    for (name, value) in fields {
        out.extend_from_slice(name.as_ref());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

/// Header fields of an environment's answers to a class of keys. What depends on the request is not
/// among them: tags, ages, states, and leave for single pages.
#[derive(Debug)]
pub struct Heads {
    /// Answers that depend on a context.
    pub context: PreparedHead,
    /// Flagsmith's answers about an identity.
    pub identity: PreparedHead,
    /// Answers that are the same for all keys of the class; definitions are among them.
    pub shared: SharedHead,
}

/// Header fields of answers that may be held by the client already.
#[derive(Debug)]
pub struct SharedHead {
    /// With a body.
    pub whole: PreparedHead,
    /// For a client that holds the body: without fields that tell of it (RFC 9110, 15.4.5).
    pub unchanged: PreparedHead,
}

/// `burgee-version`
pub(crate) const VERSION: HeaderName = HeaderName::from_static("burgee-version");
/// `burgee-fingerprint`
const FINGERPRINT: HeaderName = HeaderName::from_static("burgee-fingerprint");
/// `burgee-state`
pub const STATE: HeaderName = HeaderName::from_static("burgee-state");

/// What web pages may read of an answer's head (DESIGN section 3).
pub const EXPOSED: HeaderValue = HeaderValue::from_static(
    "ETag, Retry-After, Age, X-Flagsmith-Document-Updated-At, burgee-version, \
     burgee-fingerprint, burgee-state",
);

const VARY: HeaderValue =
    HeaderValue::from_static("Authorization, X-Environment-Key, X-API-Key, Accept-Encoding");
const VARY_WITH_ORIGIN: HeaderValue = HeaderValue::from_static(
    "Authorization, X-Environment-Key, X-API-Key, Accept-Encoding, Origin",
);

/// Heads by class of keys, and those for web pages.
#[derive(Debug)]
pub struct HeadsByClass {
    heads: [Heads; 3],
}

/// Place of the heads for web pages, behind those of the classes.
const FOR_PAGES: usize = 2;

impl HeadsByClass {
    /// Prepares them; `flagsmith` is what is made of Flagsmith's rules, if these are.
    pub fn prepare(
        version: Version,
        fingerprint: Fingerprint,
        cors: &Cors,
        flagsmith: Option<&FlagsmithContent>,
    ) -> Self {
        let updated_at = flagsmith.and_then(FlagsmithContent::updated_at);
        let heads = |class, for_pages| {
            let base = base(version, fingerprint, for_pages, cors);
            Heads::new(base, class, cors, updated_at.as_ref())
        };
        Self {
            heads: [
                heads(KeyClass::Publishable, false),
                heads(KeyClass::Secret, false),
                heads(KeyClass::Publishable, true),
            ],
        }
    }

    /// The header fields of answers to a class of keys. What web pages may do with an answer is told
    /// to them only: to requests with an `Origin`.
    pub fn of(&self, class: KeyClass, for_pages: bool) -> &Heads {
        match class {
            KeyClass::Publishable if for_pages => &self.heads[FOR_PAGES],
            _ => &self.heads[class_index(class)],
        }
    }
}

/// What all answers say.
fn base(version: Version, fingerprint: Fingerprint, for_pages: bool, cors: &Cors) -> HeaderMap {
    let mut base = HeaderMap::new();
    base.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    base.insert(VERSION, HeaderValue::from(version.number()));
    if let Ok(fingerprint) = HeaderValue::from_str(&fingerprint.to_string()) {
        base.insert(FINGERPRINT, fingerprint);
    }
    if for_pages {
        base.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        if *cors == Cors::Any {
            base.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        }
    }
    base
}

impl Heads {
    fn new(
        base: HeaderMap,
        class: KeyClass,
        cors: &Cors,
        updated_at: Option<&HeaderValue>,
    ) -> Self {
        // With any origin allowed a cache cannot mix answers up, though those without an origin lack
        // two fields: it has to ask again, and 304 brings them.
        let by_origin = class == KeyClass::Publishable && *cors != Cors::Any;
        let dated = |mut head: HeaderMap| {
            if let Some(updated_at) = updated_at {
                head.insert(&UPDATED_AT, updated_at.clone());
            }
            PreparedHead::new(head)
        };
        let mut whole = base.clone();
        whole.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
        whole.insert(header::VARY, if by_origin { VARY_WITH_ORIGIN } else { VARY });
        let mut unchanged = whole.clone();
        unchanged.remove(header::CONTENT_TYPE);
        let mut context = base;
        context.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
        if by_origin {
            context.insert(header::VARY, HeaderValue::from_static("Origin"));
        }
        Self {
            identity: dated(context.clone()),
            context: PreparedHead::new(context),
            shared: SharedHead { whole: dated(whole), unchanged: dated(unchanged) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_say_what_the_map_says() {
        let heads = HeadsByClass::prepare(Version::new(7), Fingerprint(9), &Cors::Any, None);
        let head = &heads.of(KeyClass::Publishable, true).shared.whole;
        let text = std::str::from_utf8(head.lines()).unwrap();
        assert_eq!(text.matches("\r\n").count(), head.fields().len());
        for (name, value) in head.fields() {
            let line = format!("{name}: {}\r\n", value.to_str().unwrap());
            assert!(text.contains(&line), "{line}");
        }
    }
}
