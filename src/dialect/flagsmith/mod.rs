//! Flagsmith SDK API (flagsmith.md).

mod answers;
pub mod document;
mod flags;
pub mod mapping;
pub mod routes;

pub use answers::Answers;
pub use flags::Flags;
