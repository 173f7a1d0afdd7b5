//! Any rules through any dialect: the running server, by its front door.
//!
//! Rules of either family are asked about in the three protocols (DESIGN section 4). Modules are
//! named after what they hold fixed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "this is test code throughout, the lints see only #[test]"
)]

mod agreement;
mod attributes;
mod cells;
mod flagsmith_rules;
mod ofrep;
mod ofrep_cases;
#[path = "../server/support/mod.rs"]
mod support;
