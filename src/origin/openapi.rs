//! The description of everything that the origin's port answers, in either spelling.
//!
//! `openapi.yaml` is written by hand. `openapi.json` is made of it by `tests/openapi`, which also
//! holds both against the routes; `tests/origin` holds every answer that it gets against them.

use crate::http::FixedText;

/// As people read and write it (RFC 9512), and as programs do.
const SPELLINGS: [(&str, FixedText); 2] = [
    (
        "/openapi.yaml",
        FixedText { text: include_str!("openapi.yaml"), content_type: "application/yaml" },
    ),
    (
        "/openapi.json",
        FixedText { text: include_str!("openapi.json"), content_type: "application/json" },
    ),
];

/// Its paths, which need no key.
pub const PATHS: [&str; 2] = [SPELLINGS[0].0, SPELLINGS[1].0];

/// The description that is at a path, if one is.
pub(super) fn find(path: &str) -> Option<FixedText> {
    let bare = path.strip_suffix('/').unwrap_or(path);
    SPELLINGS.iter().find_map(|(known, text)| (*known == bare).then_some(*text))
}
