//! A program, a context and a moment give an evaluation: pure, synchronous, without a lock.
//!
//! Everything that can be known before a request arrives is in the [`Program`]: attribute names are
//! slots, operands that are compared for equality are numbers, rollout thresholds are integers.
//! What is left for the request is to fill the slots ([`EvaluationContext`]) and to walk the rules
//! ([`Evaluator`]). Never reads a clock: `now` is an argument.

mod any;
mod attributes;
mod context;
pub mod flagsmith;
pub mod javascript;
mod outcome;
mod outcomes;
mod places;
mod program;
mod rollout;
mod rules;
mod values;

pub use any::{AnyContext, AnyProgram, ContextWriter, Part};
pub use attributes::{Attributes, Slot};
pub use context::{Bounds, ContextError, EvaluationContext, SlotText, limits};
pub use outcome::{FlagHeading, Outcome, OutcomeIndex, Reason};
pub use outcomes::{Outcomes, Pair, RuleKind};
pub use places::Places;
pub use program::{
    AnswerIndex, Check, FlagIndex, FlagProgram, Group, GroupKind, IdSet, Leaf, LeafIndex, Node,
    Pattern, PatternIndex, Program, RuleList, SetIndex, Test, VariantProgram,
};
pub use rollout::{Salt, SaltIndex, hash_of_bucket, threshold_bucket};
pub use rules::{Evaluator, RuleOutcome};
pub use values::{ValueId, Values};
