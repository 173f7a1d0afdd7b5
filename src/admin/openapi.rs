//! The description of everything that both ports answer, in either spelling.
//!
//! `openapi.yaml` is written by hand. `openapi.json` is made of it by `tests/openapi`, which also
//! holds both against the routes and against what a running server answers.

use std::hash::BuildHasher;

use bytes::Bytes;
use foldhash::fast::FixedState;
use hyper::StatusCode;
use hyper::header::{HeaderMap, HeaderValue, IF_NONE_MATCH};

use super::{JSON, Page};

/// As people read and write it.
const AS_YAML: &str = include_str!("openapi.yaml");
/// As programs read it.
const AS_JSON: &str = include_str!("openapi.json");

/// The description as JSON.
pub(super) fn json(request: &HeaderMap) -> Page {
    page(AS_JSON, JSON, request)
}

/// The description as YAML (RFC 9512).
pub(super) fn yaml(request: &HeaderMap) -> Page {
    page(AS_YAML, "application/yaml", request)
}

/// The text, or the word that the client has it already.
fn page(text: &'static str, content_type: &'static str, request: &HeaderMap) -> Page {
    let tag = format!("\"{:016x}\"", FixedState::default().hash_one(text));
    let is_held = request.get_all(IF_NONE_MATCH).iter().any(|held| {
        held.as_bytes().split(|&byte| byte == b',').any(|held| {
            let held = held.trim_ascii();
            held == b"*" || held.strip_prefix(b"W/").unwrap_or(held) == tag.as_bytes()
        })
    });
    let (status, content_type, body) = if is_held {
        (StatusCode::NOT_MODIFIED, None, Bytes::new())
    } else {
        (StatusCode::OK, Some(content_type), Bytes::from_static(text.as_bytes()))
    };
    Page { status, content_type, body, tag: HeaderValue::try_from(tag).ok() }
}
