//! Flagsmith's rules: a program and an identity give a state for every feature.
//!
//! Everything that can be known before a request arrives is in the [`Program`]: traits are slots,
//! equality and membership are rows of a table, percentages are remainders of a hash, and whatever
//! a feature can come to has a number, so that a dialect can spell all of them out beforehand. A
//! request fills an [`EvaluationContext`] and asks [`evaluate`]. Values are coerced as Python does,
//! since the vendor's engine is written in it. Reads no clock: no rule of Flagsmith's knows the time.

mod context;
mod features;
mod lookups;
mod pattern;
mod program;
pub mod python;
mod query;
mod rules;
mod split;
mod version;

pub use context::{EvaluationContext, Scalar, is_path};
pub use features::FeatureSet;
pub use lookups::{Domain, Lookups};
pub use pattern::{Budget, Pattern, STEPS};
pub use program::{
    Bucket, Candidate, Check, Comparison, Constant, Draw, FeatureIndex, FeatureProgram, FlagMember,
    Identities, InputIndex, Leaf, LeafIndex, Names, Node, Operand, Origin, Outcome, Override,
    Program, Property, Reason, SegmentIndex, SegmentProgram, Slot, Source, Split, State,
    StateIndex, Test,
};
pub use query::{NoQuery, Query};
pub use rules::{Evaluation, Met, evaluate, evaluate_one};
pub use split::{LANES, Remainder, Seed, first_above, first_from, percentage};
pub use version::{Version, release};

pub use super::OutcomeIndex;
