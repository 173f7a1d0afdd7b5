#![doc = include_str!("ARCHITECTURE.md")]

pub mod compile;
// pub mod config;
pub mod dialect;
pub mod evaluate;
pub mod json;
pub mod model;
pub mod snapshot;
pub mod telemetry;
pub mod time;
