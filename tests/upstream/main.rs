//! The running server before upstreams that fail in every way, by its front door.
//!
//! Each test starts a scripted upstream and one or more servers that follow it. What clients are
//! told must not change for the worse, operators must see what is wrong, and all must be well again
//! once the upstream is. [`support`] holds the server and the client, [`fake_upstream`] the
//! upstream, [`following`] the two together.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "this is test code throughout, the lints see only #[test]"
)]

mod chain;
mod discovery;
mod documents;
#[path = "../fake_upstream/mod.rs"]
mod fake_upstream;
mod flagsmith;
mod following;
mod keys;
mod learning;
mod outages;
mod pace;
mod push;
#[path = "../server/support/mod.rs"]
mod support;
mod waiting;
