//! `OpenFeature` Remote Evaluation Protocol (ofrep.md; OFREP 0.3.0).
//!
//! The protocol has one value per key and never says which type the application asked for, while
//! both vendors' flags have an on and off beside their value. So a flag answers to several keys: its
//! own, and with a suffix the part of it that is meant ([`Form`]).

mod evaluations;
pub mod events;
pub mod mapping;
pub mod routes;

pub use evaluations::{Asked, BareKey, Evaluations, Form, Found};
