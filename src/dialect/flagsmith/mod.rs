//! Flagsmith SDK API (flagsmith.md).

mod answers;
pub mod document;
pub mod events;
pub mod feature;
mod flags;
pub mod listing;
pub mod mapping;
pub mod routes;
pub mod translate;

pub use answers::Answers;
pub use flags::Flags;
