//! An environment in executable form.

use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use memchr::memmem::Finder;
use serde_json::value::RawValue;

use super::{Lookups, Pattern, Query, Remainder, Seed};
use crate::evaluate::{OutcomeIndex, Places};
use crate::model::KeyClass;

/// One environment, compiled. Immutable.
#[derive(Debug, Default)]
pub struct Program {
    /// What an identity's hashing key begins with: the environment's key and an underscore.
    pub identity_key_prefix: Box<str>,
    /// Whether segments apply to requests without an identity.
    pub segments_without_identity: bool,
    /// Whether features that come out disabled are hidden from secret keys, too.
    pub hide_disabled_from_servers: bool,
    /// Names of traits that rules read.
    pub traits: Names,
    /// Where each slot's value comes from.
    pub properties: Vec<Property>,
    /// Values that are known already.
    pub constants: Vec<Constant>,
    /// `JSONPath` queries that only a whole context can answer.
    pub queries: Vec<Query>,
    /// The part of that context which requests do not change; empty when there are no queries.
    pub query_context: serde_json::Map<String, serde_json::Value>,
    /// Rows of equality and membership.
    pub lookups: Lookups,
    /// Comparisons, each once however many rules ask for it.
    pub leaves: Vec<Leaf>,
    /// What comparisons compare with.
    pub operands: Vec<Operand>,
    /// Texts that `CONTAINS` and `NOT_CONTAINS` look for.
    pub needles: Vec<Finder<'static>>,
    /// Patterns of `REGEX`.
    pub patterns: Vec<Pattern>,
    /// Seeds of percentage splits.
    pub seeds: Vec<Seed>,
    /// All rules in depth-first order.
    pub nodes: Vec<Node>,
    /// In the document's order.
    pub segments: Vec<SegmentProgram>,
    /// In the document's order.
    pub features: Vec<FeatureProgram>,
    /// Overrides by segments, those of one feature together, the strongest first.
    pub candidates: Vec<Candidate>,
    /// The same by segment, those of features that depend on themselves left out.
    pub overrides: Vec<Override>,
    /// What features come to for an identity that nothing overrides or splits, and what they come to
    /// without an identity.
    pub defaults: [Vec<OutcomeIndex>; 2],
    /// What is drawn for every identity, whatever its traits.
    pub draws: Vec<Draw>,
    /// Whatever features can be.
    pub states: Vec<State>,
    /// How states are split among identities.
    pub splits: Vec<Split>,
    /// Whatever features can come to.
    pub outcomes: Vec<Outcome>,
    /// Overrides by identifier.
    pub identities: Identities,
    /// Where features are, by name.
    pub places: Places,
}

/// Number of a value that rules read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u32);

/// Number of a trait that rules read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InputIndex(pub u32);

/// Number of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeafIndex(pub u32);

/// Number of a segment in its program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentIndex(pub u32);

/// Number of a feature in its program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FeatureIndex(pub u32);

/// Number of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StateIndex(pub u32);

/// Where a slot's value comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Property {
    /// Nowhere.
    Nothing,
    /// The hashing key of the identity, taken as text whatever it looks like.
    IdentityKey,
    /// A trait.
    Trait(InputIndex),
    /// A `JSONPath`; a trait of that very name comes before it.
    Path(InputIndex, Source),
}

/// What a `JSONPath` points to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// Nothing that could be compared.
    Nothing,
    /// A trait.
    Trait(InputIndex),
    /// The identifier.
    Identifier,
    /// The identity's hashing key.
    IdentityKey,
    /// A value of the environment.
    Constant(u32),
    /// Whatever the query finds first.
    Query(u32),
    /// A flag of the same evaluation.
    Flag(FeatureIndex, FlagMember),
}

/// What a condition may ask of another flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FlagMember {
    /// Its name.
    Name,
    /// Whether it is on.
    Enabled,
    /// Its value.
    Value,
    /// Its variant.
    Variant,
    /// Why it is what it is.
    Reason,
}

/// A JSON scalar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Constant {
    /// `null`, or something that is no scalar.
    Null,
    /// A boolean.
    Bool(bool),
    /// A number as JSON spells it.
    Number(Box<str>),
    /// Text.
    Text(Box<str>),
}

/// A comparison of one value.
#[derive(Clone, Copy, Debug)]
pub struct Leaf {
    /// The value.
    pub slot: Slot,
    /// What is asked of it.
    pub check: Check,
}

/// What is asked of a value. A missing value passes [`Check::IsNotSet`] only.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Check {
    /// Nothing passes.
    Never,
    /// There is a value.
    IsSet,
    /// There is none.
    IsNotSet,
    /// The look-up of the value says so.
    Lookup,
    /// It stands to an operand as asked.
    Compare(Comparison, u32),
    /// Text that holds a needle.
    Contains(u32),
    /// Text that lacks a needle.
    NotContains(u32),
    /// A number that leaves this remainder.
    Modulo {
        /// Not 0.
        divisor: f64,
        /// With the divisor's sign.
        remainder: f64,
    },
    /// Its text matches a pattern at the start.
    Regex(u32),
    /// With this seed it falls before this remainder.
    Split(u32, Remainder),
}

/// How a value stands to an operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the variants say it")]
pub enum Comparison {
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

/// What a value is compared with, read as each type of value that it could be compared to.
#[derive(Clone, Debug)]
pub struct Operand {
    /// For text; without its mark when it is a version.
    pub text: Box<str>,
    /// Whether text is compared as semantic versions.
    pub is_version: bool,
    /// The version's numbers, when it has nothing else.
    pub release: Option<[u32; 3]>,
    /// For integers: canonical decimal text, and the number where it fits.
    pub integer: Option<(Box<str>, Option<i64>)>,
    /// For floats.
    pub float: Option<f64>,
    /// For booleans.
    pub boolean: bool,
}

/// One part of a rule, followed by its children.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node {
    /// Index after the last node of this subtree.
    pub end: u32,
    /// What is asked.
    pub test: Test,
}

/// What a node asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Test {
    /// Nothing.
    Constant(bool),
    /// All children hold.
    All,
    /// A child holds.
    Any,
    /// No child holds.
    None,
    /// A value passes a check.
    Leaf(LeafIndex),
}

/// One segment's rules.
#[derive(Clone, Debug)]
pub struct SegmentProgram {
    /// Its name.
    pub name: Box<str>,
    /// Index of the root of its rules in [`Program::nodes`].
    pub root: u32,
    /// From where to where in [`Program::overrides`].
    pub overrides: (u32, u32),
}

/// A hash of an identity's key, and what hangs on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Draw {
    /// Whether a percentage of all identities holds this one: the comparison, its seed, and the
    /// first remainder that is outside.
    Share(LeafIndex, u32, Remainder),
    /// The variant of a feature that nothing overrides: the feature, its state and its split.
    Variant(FeatureIndex, StateIndex, u32),
}

/// One feature.
#[derive(Clone, Debug)]
pub struct FeatureProgram {
    /// Its name, unique in the program.
    pub name: Box<str>,
    /// The vendor's number of it.
    pub id: i64,
    /// `STANDARD` or `MULTIVARIATE`.
    pub kind: Box<str>,
    /// Whether publishable keys may see it at all.
    pub server_key_only: bool,
    /// What it is when nothing overrides it.
    pub state: StateIndex,
    /// From where to where in [`Program::candidates`].
    pub candidates: (u32, u32),
    /// Whether it depends on itself: then it stays on its default.
    pub is_circular: bool,
}

/// A state that holds for the members of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The segment.
    pub segment: SegmentIndex,
    /// The state.
    pub state: StateIndex,
}

/// What a segment makes of a feature for its members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Override {
    /// The feature.
    pub feature: FeatureIndex,
    /// Its place in [`Program::candidates`]: of several for one feature the lowest is the strongest.
    pub candidate: u32,
    /// The state's number, and the state.
    pub at: StateIndex,
    /// Beside its number, so that a request looks in one place.
    pub state: State,
}

/// What a feature can be, before it is split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// The outcome without an identity.
    pub outcome: OutcomeIndex,
    /// The outcome for an identity that falls into no bucket. Those of the buckets follow it.
    pub control: OutcomeIndex,
    /// Number of its split.
    pub split: Option<u32>,
}

/// How a state is split among identities.
#[derive(Clone, Debug)]
pub struct Split {
    /// Hashed with the identity's key.
    pub seed: Seed,
    /// In the order in which they are tried. Who falls into none gets the control.
    pub buckets: Vec<Bucket>,
    /// Whether the buckets lie side by side from 0 on, as they do unless a share is negative.
    pub is_row: bool,
}

impl Split {
    /// Hashed with `seed`; the buckets in the order in which they are tried.
    pub fn new(seed: Seed, buckets: Vec<Bucket>) -> Self {
        let mut end = 0;
        let is_row = buckets.iter().all(|bucket| {
            let follows = bucket.first == end && bucket.end >= bucket.first;
            end = bucket.end;
            follows
        });
        Self { seed, buckets, is_row }
    }

    /// The bucket that a remainder falls into.
    #[inline]
    fn bucket(&self, remainder: Remainder) -> Option<usize> {
        if self.is_row {
            // Counted, not searched: no processor can guess where a hash falls.
            let before = self.buckets.iter().map(|b| usize::from(b.end <= remainder)).sum();
            return (before < self.buckets.len()).then_some(before);
        }
        self.buckets.iter().position(|b| b.first <= remainder && remainder < b.end)
    }
}

/// The share of one variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// First remainder in it.
    pub first: Remainder,
    /// First remainder behind it.
    pub end: Remainder,
}

/// What a feature can come to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The feature.
    pub feature: FeatureIndex,
    /// Whose state it is.
    pub origin: Origin,
    /// Whether the flag is on.
    pub enabled: bool,
    /// Any JSON, usually a scalar, as the text that came.
    pub value: Arc<RawValue>,
    /// The variant's key, `control` for those whom a split left out, none without a split and for a
    /// variant without a key.
    pub variant: Option<Box<str>>,
    /// Why.
    pub reason: Reason,
    /// Whether publishable keys see the flag when it comes to this: neither is it kept from them,
    /// nor is it off where those that are off are hidden.
    pub is_public: bool,
}

/// Whose state it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The environment's.
    Environment,
    /// A segment's: the override of this number, in the segment's own order.
    Segment(SegmentIndex, u32),
    /// An identity's.
    Identity,
}

/// Why a feature is what it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Nothing overrides it here.
    Default,
    /// No segment could override it.
    Static,
    /// A segment of this name does.
    Segment(Box<str>),
    /// The identity itself does.
    Identity,
    /// A variant with this share was drawn.
    Split(Box<str>),
    /// It depends on itself.
    CircularDependency,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("DEFAULT"),
            Self::Static => f.write_str("STATIC"),
            Self::Segment(name) => write!(f, "TARGETING_MATCH; segment={name}"),
            Self::Identity => f.write_str("TARGETING_MATCH; segment=identity_overrides"),
            Self::Split(weight) => write!(f, "SPLIT; weight={weight}"),
            Self::CircularDependency => f.write_str("ERROR; code=CIRCULAR_DEPENDENCY"),
        }
    }
}

impl Program {
    /// The features, numbered, in the document's order.
    pub fn features(&self) -> impl ExactSizeIterator<Item = (FeatureIndex, &FeatureProgram)> {
        self.features.iter().enumerate().map(|(at, feature)| (FeatureIndex(at as u32), feature))
    }

    /// The feature of a name.
    pub fn find(&self, name: &str) -> Option<FeatureIndex> {
        let place = self.places.find(name, |place| &self.features[place].name)?;
        Some(FeatureIndex(place as u32))
    }

    /// One feature.
    pub fn feature(&self, index: FeatureIndex) -> &FeatureProgram {
        &self.features[index.0 as usize]
    }

    /// All that features can come to, numbered.
    pub fn outcomes(&self) -> impl ExactSizeIterator<Item = (OutcomeIndex, &Outcome)> {
        self.outcomes.iter().enumerate().map(|(at, outcome)| (OutcomeIndex(at as u32), outcome))
    }

    /// One outcome.
    pub fn outcome(&self, index: OutcomeIndex) -> &Outcome {
        &self.outcomes[index.0 as usize]
    }

    /// The state that an outcome is of. Outcomes of one state lie behind each other.
    pub fn state_of(&self, outcome: OutcomeIndex) -> &State {
        let behind = self.states.partition_point(|state| state.outcome <= outcome);
        &self.states[behind - 1]
    }

    /// Whether keys of a class see a feature that comes to this.
    #[inline]
    pub fn is_visible(&self, outcome: &Outcome, class: KeyClass) -> bool {
        match class {
            KeyClass::Publishable => outcome.is_public,
            KeyClass::Secret => outcome.enabled || !self.hide_disabled_from_servers,
        }
    }

    /// What features come to when nothing overrides them, those that are split for an identity being
    /// the control.
    pub fn default_outcomes(&self, has_identity: bool) -> &[OutcomeIndex] {
        &self.defaults[usize::from(!has_identity)]
    }

    /// What an identity that falls on `remainder` draws of a state.
    #[inline]
    pub fn drawn(&self, state: StateIndex, split: u32, remainder: Remainder) -> OutcomeIndex {
        let bucket = self.splits[split as usize].bucket(remainder);
        let control = self.states[state.0 as usize].control;
        OutcomeIndex(control.0 + bucket.map_or(0, |bucket| bucket as u32 + 1))
    }

    /// What is hashed for a draw.
    pub fn seed_of(&self, draw: Draw) -> &Seed {
        match draw {
            Draw::Share(_, seed, _) => &self.seeds[seed as usize],
            Draw::Variant(_, _, split) => &self.splits[split as usize].seed,
        }
    }
}

/// Names and their numbers, in the order in which they were added.
#[derive(Debug, Default)]
pub struct Names {
    table: HashTable<u32>,
    names: Vec<Box<str>>,
}

impl Names {
    /// The number of a name, given out now if it is new.
    pub fn intern(&mut self, name: &str) -> u32 {
        if let Some(known) = self.find(name) {
            return known;
        }
        let index = self.names.len() as u32;
        self.names.push(name.into());
        let names = &self.names;
        self.table.insert_unique(hash(name), index, |&at| hash(&names[at as usize]));
        index
    }

    /// The number of a name.
    pub fn find(&self, name: &str) -> Option<u32> {
        self.table.find(hash(name), |&at| *self.names[at as usize] == *name).copied()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

/// Overrides by identifier, ready to be applied: finding them costs the same however many there are.
#[derive(Debug, Default)]
pub struct Identities {
    names: Names,
    /// Per identifier: where its overrides end; they begin where the one before ends.
    ends: Vec<u32>,
    overrides: Vec<(FeatureIndex, StateIndex)>,
}

impl Identities {
    /// Adds an identifier that was not added before; its overrides sorted by feature.
    pub fn add(&mut self, identifier: &str, overrides: &[(FeatureIndex, StateIndex)]) {
        self.names.intern(identifier);
        self.overrides.extend_from_slice(overrides);
        self.ends.push(self.overrides.len() as u32);
    }

    /// What is overridden for an identifier, which is compared as exact text.
    pub fn find(&self, identifier: &str) -> &[(FeatureIndex, StateIndex)] {
        let Some(at) = self.names.find(identifier) else { return &[] };
        let at = at as usize;
        let first = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.overrides[first as usize..self.ends[at] as usize]
    }

    /// How many identities have overrides.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether no identity has.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
}

fn hash(name: &str) -> u64 {
    // A fixed seed is fine: only the compiler adds to these tables.
    let mut hasher = FixedState::default().build_hasher();
    hasher.write(name.as_bytes());
    hasher.finish()
}
