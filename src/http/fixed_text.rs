//! A text that does not change while the process runs, such as the description of a port.

use std::hash::BuildHasher;

use bytes::Bytes;
use foldhash::fast::FixedState;
use hyper::header::{HeaderMap, HeaderValue, IF_NONE_MATCH};

use super::pipeline::matches_etag;

/// A text and what it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FixedText {
    pub(crate) text: &'static str,
    /// Its media type.
    pub(crate) content_type: &'static str,
}

/// What is sent of a text.
#[derive(Debug)]
pub(crate) struct Sent {
    /// Names this very text.
    pub(crate) tag: HeaderValue,
    /// None for a client that holds it already.
    pub(crate) body: Option<Bytes>,
}

impl FixedText {
    /// The text with its tag, or the tag alone where `request` names it.
    pub(crate) fn send(self, request: &HeaderMap) -> Sent {
        let tag = format!("\"{:016x}\"", FixedState::default().hash_one(self.text));
        let tag = HeaderValue::try_from(tag).unwrap_or(HeaderValue::from_static("\"\""));
        let is_held = matches_etag(
            request.get_all(IF_NONE_MATCH).iter().map(HeaderValue::as_bytes),
            tag.as_bytes(),
        );
        let body = (!is_held).then(|| Bytes::from_static(self.text.as_bytes()));
        Sent { tag, body }
    }
}
