//! The description of everything that the public port and this one answer, in either spelling.
//!
//! `openapi.yaml` is written by hand. `openapi.json` is made of it by `tests/openapi`, which also
//! holds both against the routes and against what a running server answers.

use hyper::StatusCode;
use hyper::header::HeaderMap;

use super::{JSON, Page};
use crate::http::FixedText;

/// As people read and write it (RFC 9512).
const AS_YAML: FixedText =
    FixedText { text: include_str!("openapi.yaml"), content_type: "application/yaml" };
/// As programs read it.
const AS_JSON: FixedText = FixedText { text: include_str!("openapi.json"), content_type: JSON };

/// The description as JSON.
pub(super) fn json(request: &HeaderMap) -> Page {
    page(AS_JSON, request)
}

/// The description as YAML.
pub(super) fn yaml(request: &HeaderMap) -> Page {
    page(AS_YAML, request)
}

/// The text, or the word that the client has it already.
fn page(text: FixedText, request: &HeaderMap) -> Page {
    let sent = text.send(request);
    let (status, content_type) = match &sent.body {
        Some(_) => (StatusCode::OK, Some(text.content_type)),
        None => (StatusCode::NOT_MODIFIED, None),
    };
    Page { status, content_type, body: sent.body.unwrap_or_default(), tag: Some(sent.tag) }
}
