//! The running server, by its front door: bytes in, bytes out.
//!
//! Every test starts a server of its own on port 0 and says what the contract says. Modules are
//! named after what they are about; [`support`] holds the server and the client.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "this is test code throughout, the lints see only #[test]"
)]

mod admin;
mod bombs;
mod conditional;
mod contexts;
mod cors;
mod deadlines;
mod direct;
mod explain;
mod explain_flagsmith;
mod file_source;
mod http2;
mod key_order;
mod shutdown;
mod smuggling;
mod staleness;
mod status_table;
mod streams;
mod support;
mod swap;
mod tracking;
mod visibility;
