//! The embedded control plane by its front door: the management port, the edge beside it, and the
//! `burgee origin` commands, over a database of its own for each test. Every exchange with a port
//! is held against the description of the port, see [`scene`].

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
mod described;
#[path = "../openapi/description.rs"]
#[allow(dead_code, reason = "shared with another target")]
mod description;
mod edge;
mod inputs;
mod management;
mod metrics;
mod operations;
mod our_own;
mod scene;
#[path = "../openapi/schema.rs"]
#[allow(dead_code, reason = "shared with another target")]
mod schema;
mod secrets;
mod streams;
#[path = "../server/support/mod.rs"]
mod support;
