//! Reflag Runtime API (protocols/reflag-runtime.md).

pub mod answers;
pub mod definitions;
mod entries;
pub mod events;
pub mod mapping;
pub mod routes;
pub mod tracking;
pub mod translate;

pub use answers::{Answer, Answers, Selection};
pub use entries::Entries;
