//! Flagsmith SDK API (flagsmith.md).

mod answers;
pub mod document;
pub mod listing;
pub mod mapping;
pub mod routes;

pub use answers::Answers;
