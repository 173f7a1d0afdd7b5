//! The embedded control plane: apps, environments, flags, targeting and keys, on one machine.
//!
//! ```text
//! management call -> authorize -> validate -> one transaction -> change feed -> the `origin` source
//!                    api::access  api::body   store             store::Feed    source::OriginSource
//! ```
//!
//! It speaks Reflag's Management API ([`api`]), so that Reflag's own command line and SDK drive it,
//! and operations of its own for what that API lacks ([`burgee_api`]). [`definitions`] turns what
//! is stored into the document that every edge reads, so to an edge it is one more source.
//!
//! Stands beside `source`, `events` and `admin`; only `app` and `cli` know of it. SQL is in
//! [`store`] and nowhere else. Nothing here is on the way of a request for flags.

pub mod api;
mod bodies;
pub mod burgee_api;
mod counting;
pub mod definitions;
mod demo;
pub mod document;
pub mod keys;
mod listener;
pub mod model;
pub mod openapi;
mod runtime_api;
pub mod store;
mod streams;
mod wire;

pub(crate) use bodies::{LONG_BODIES, SHORT_BODIES};
pub use demo::DemoAccess;
pub(crate) use listener::{CONNECTIONS, HEAD};
pub use listener::{Port, serve};
pub(crate) use store::MEMORY as STORE_MEMORY;
