//! The public port: from an accepted connection to an answered request.
//!
//! [`pipeline`] is the hot path and reads top to bottom. A request is served on the thread that
//! accepted its connection's bytes, from a snapshot that it loads once; nothing on the way takes a
//! lock that another request may hold.

pub mod admission;
pub mod body;
pub mod connection;
pub mod cors;
mod direct;
mod fixed_text;
mod flagsmith;
pub mod head_fields;
pub mod listener;
mod ofrep;
pub mod patience;
pub mod pipeline;
mod plain_request;
mod reflag;
mod reply;
pub mod request_head;
pub mod routing;
mod scratch;
mod streaming;
pub mod streams;
pub mod worker;

use std::time::Duration;

pub(crate) use fixed_text::FixedText;
pub use listener::{ListenError, Listener};

/// Bounds on what clients may do, from the configuration.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Open connections.
    pub connections: usize,
    /// Longest body in bytes.
    pub body: usize,
    /// Longest request target in bytes.
    pub url: usize,
    /// Time from the first byte of a head to its last.
    pub header_timeout: Duration,
    /// Time from the head to the last byte of the body.
    pub body_timeout: Duration,
    /// Bytes of all bodies that are being received together.
    pub in_flight_body_bytes: usize,
    /// Clients on event streams.
    pub streams: usize,
    /// Time that an idle connection is kept.
    pub keep_alive: Duration,
}
