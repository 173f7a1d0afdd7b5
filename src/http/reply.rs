//! An answer before it is sent: what was prepared at publish, and what the request adds to it.
//!
//! Over HTTP/1.1 it is written as it is ([`Reply::write_fields`]); hyper gets a map of its fields
//! ([`Reply::into_parts`]).

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_ORIGIN, AGE, CONNECTION,
    CONTENT_ENCODING, ETAG, HeaderMap, HeaderName, HeaderValue, LAST_MODIFIED,
};

use super::cors::Leave;
use crate::snapshot::{PreparedHead, STATE, UNTRANSLATED, write_lines};

/// Status, head and body.
#[derive(Debug)]
pub(super) struct Reply<'a> {
    pub(super) status: StatusCode,
    pub(super) head: ReplyHead<'a>,
    pub(super) body: Bytes,
}

/// Header fields.
#[derive(Debug)]
pub(super) enum ReplyHead<'a> {
    /// Those of an environment's answer.
    Prepared(Fields<'a>),
    /// Those of any other, such as a refusal.
    Own(HeaderMap),
}

/// What was prepared, and what depends on the request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a> {
    pub(super) prepared: &'a PreparedHead,
    pub(super) tag: Option<Tag<'a>>,
    /// In seconds.
    pub(super) age: Option<i64>,
    /// The content is older than it may be.
    pub(super) is_stale: bool,
    pub(super) is_gzip: bool,
    pub(super) last_modified: Option<&'a HeaderValue>,
    /// The flags that a translated document lacks.
    pub(super) untranslated: Option<&'a HeaderValue>,
    /// For the page that asks, where not all pages may.
    pub(super) leave: Option<Leave<'a>>,
}

/// The value of `ETag`.
#[derive(Clone, Copy, Debug)]
pub(super) enum Tag<'a> {
    Prepared(&'a HeaderValue),
    Own([u8; 18]),
}

impl Tag<'_> {
    /// The tag of an answer that was written for one context.
    pub(super) fn of(number: u64) -> Self {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut text = [b'"'; 18];
        for (place, digit) in text[1..17].iter_mut().enumerate() {
            *digit = HEX[(number >> (60 - 4 * place)) as usize & 15];
        }
        Self::Own(text)
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Prepared(tag) => tag.as_bytes(),
            Self::Own(tag) => tag,
        }
    }
}

impl<'a> Fields<'a> {
    /// What was prepared and no more.
    pub(super) fn of(prepared: &'a PreparedHead) -> Self {
        Self {
            prepared,
            tag: None,
            age: None,
            is_stale: false,
            is_gzip: false,
            last_modified: None,
            untranslated: None,
            leave: None,
        }
    }

    /// Gives each field that depends on the request.
    #[inline]
    fn each(&self, mut give: impl FnMut(&HeaderName, &[u8])) {
        if let Some(tag) = &self.tag {
            give(&ETAG, tag.as_bytes());
        }
        if let Some(age) = self.age {
            give(&AGE, itoa::Buffer::new().format(age).as_bytes());
        }
        if self.is_gzip {
            give(&CONTENT_ENCODING, b"gzip");
        }
        if let Some(date) = self.last_modified {
            give(&LAST_MODIFIED, date.as_bytes());
        }
        if self.is_stale {
            give(&STATE, b"stale");
        }
        if let Some(names) = self.untranslated {
            give(&UNTRANSLATED, names.as_bytes());
        }
        if let Some(leave) = self.leave {
            give(&ACCESS_CONTROL_ALLOW_ORIGIN, leave.origin);
            if leave.with_credentials {
                give(&ACCESS_CONTROL_ALLOW_CREDENTIALS, b"true");
            }
        }
    }
}

impl<'a> Reply<'a> {
    /// An environment's answer.
    pub(super) fn prepared(status: StatusCode, fields: Fields<'a>, body: Bytes) -> Self {
        Self { status, head: ReplyHead::Prepared(fields), body }
    }

    /// Any other.
    pub(super) fn own(status: StatusCode, fields: HeaderMap, body: Bytes) -> Self {
        Self { status, head: ReplyHead::Own(fields), body }
    }

    /// The parts of it as hyper takes them.
    pub(super) fn into_parts(self) -> (StatusCode, HeaderMap, Bytes) {
        let fields = match self.head {
            ReplyHead::Own(fields) => fields,
            ReplyHead::Prepared(fields) => {
                let mut map = fields.prepared.fields().clone();
                fields.each(|name, value| {
                    // What is not fit to be sent came from nobody: all of it was sent or prepared.
                    if let Ok(value) = HeaderValue::from_bytes(value) {
                        map.insert(name, value);
                    }
                });
                map
            }
        };
        (self.status, fields, self.body)
    }

    /// Writes the header fields as lines.
    #[inline]
    pub(super) fn write_fields(&self, out: &mut Vec<u8>) {
        match &self.head {
            ReplyHead::Own(fields) => write_lines(fields, out),
            ReplyHead::Prepared(fields) => {
                out.extend_from_slice(fields.prepared.lines());
                fields.each(|name, value| {
                    out.extend_from_slice(name.as_ref());
                    out.extend_from_slice(b": ");
                    out.extend_from_slice(value);
                    out.extend_from_slice(b"\r\n");
                });
            }
        }
    }

    /// Whether the connection ends with it.
    pub(super) fn closes(&self) -> bool {
        match &self.head {
            ReplyHead::Own(fields) => fields.contains_key(CONNECTION),
            ReplyHead::Prepared(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_a_head_say_the_same() {
        let prepared = PreparedHead::default();
        let names = HeaderValue::from_static("a, b");
        let fields = Fields {
            tag: Some(Tag::of(0x0123_4567_89ab_cdef)),
            age: Some(1_234),
            is_stale: true,
            is_gzip: true,
            last_modified: Some(&names),
            untranslated: Some(&names),
            leave: Some(Leave { origin: b"https://a.example", with_credentials: true }),
            ..Fields::of(&prepared)
        };
        let reply = || Reply::prepared(StatusCode::OK, fields, Bytes::new());
        let (mut written, mut of_map) = (Vec::new(), Vec::new());
        reply().write_fields(&mut written);
        write_lines(&reply().into_parts().1, &mut of_map);
        let lines = |text: Vec<u8>| {
            let text = String::from_utf8(text).unwrap();
            let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        let written = lines(written);
        assert_eq!(written, lines(of_map));
        assert!(written.contains(&"etag: \"0123456789abcdef\"".to_owned()), "{written:?}");
        assert_eq!(written.len(), 8);
    }
}
