#![doc = include_str!("ARCHITECTURE.md")]

pub mod admin;
pub mod app;
pub mod cli;
pub mod compile;
pub mod config;
pub mod dialect;
pub mod evaluate;
pub mod http;
pub mod json;
pub mod model;
pub mod origin;
pub mod snapshot;
pub mod source;
pub mod telemetry;
pub mod time;
pub mod upstream;
