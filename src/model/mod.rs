//! Our words for flags and their rules, whatever source they come from.
//!
//! Plain values without behaviour beyond their own bounds. Knows neither a wire format nor the
//! runtime, and reads no clock.

mod environment;
mod flag;
pub mod flagsmith;
mod rules;
mod ruleset;
mod targeting;
mod update;

pub use environment::{EnvironmentName, Fingerprint, KeyClass, Version};
pub use flag::{Flag, RemoteConfig, Targeting, Variant};
pub use rules::Rules;
pub use ruleset::{BrokenFlag, Generation, Ruleset};
pub use targeting::{Condition, Filter, GroupOperator, Operand, Operator, Rollout};
pub use update::{Confirmed, Failure, FailureKind, Update};
