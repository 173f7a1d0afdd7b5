//! The embedded control plane by its front door: the management port, the edge beside it, and the
//! `burgee origin` commands, over a database of its own for each test.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "this is test code throughout, the lints see only #[test]"
)]

mod audit;
mod bounds;
mod commands;
mod crash;
mod edge;
mod inputs;
mod management;
mod operations;
mod our_own;
mod scene;
mod secrets;
#[path = "../server/support/mod.rs"]
mod support;
