//! The descriptions of the HTTP interface (`src/admin/openapi.yaml`, `src/origin/openapi.yaml`) against
//! the routes, and the first against what a running server answers; `tests/origin` does the same for
//! the second.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "this is test code throughout, the lints see only #[test]"
)]

mod answers;
#[allow(dead_code, reason = "shared with another target")]
mod description;
mod document;
#[path = "../fake_upstream/mod.rs"]
mod fake_upstream;
#[path = "../dialects/flagsmith_rules.rs"]
#[allow(dead_code, reason = "shared with another target")]
mod flagsmith_rules;
#[path = "../dialects/ofrep_kit.rs"]
mod ofrep_kit;
#[path = "../replay/mod.rs"]
mod replay;
mod schema;
#[path = "../server/support/mod.rs"]
mod support;
mod vectors;
