//! One environment of a Flagsmith project, in our own words.
//!
//! Its rules are not Reflag's: segments group the conditions, features are overridden per segment or
//! per identity, and values are coerced as Python does. So it has words of its own, beside
//! [`Ruleset`](super::Ruleset). Plain values without behaviour.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::value::RawValue;

/// An environment, read and checked, with what could not be read.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// `api_key` of the document: the client-side key, and part of every identity's hashing key.
    pub key: Box<str>,
    /// Name of the environment, for `$.environment.name`.
    pub name: Option<Box<str>>,
    /// When the vendor last changed it.
    pub updated_at: Option<UpdatedAt>,
    /// In the document's order, names unique.
    pub features: Vec<Feature>,
    /// In the document's order.
    pub segments: Vec<Segment>,
    /// By identifier, compared as exact text. Entries of one identity are merged.
    pub identity_overrides: HashMap<Box<str>, Vec<FeatureState>>,
    /// Whether publishable keys are shown only flags that came out enabled.
    pub hide_disabled_flags: bool,
    /// Whether server keys are, too: so where the environment itself says it, and not its project.
    pub hide_disabled_from_servers: bool,
    /// Ids of features that publishable keys never see.
    pub server_key_only: BTreeSet<i64>,
    /// What the environment asks of the vendor's own API; proxies need not heed it.
    pub vendor: VendorSettings,
    /// Features, segments and identities that are left out, each with its reason.
    pub broken: Vec<Broken>,
    /// Things that are odd but served: one line each.
    pub warnings: Vec<String>,
    /// The document, byte for byte, for those who may read it.
    pub verbatim: Bytes,
}

/// A moment in microseconds since 1970, as exact as the vendor writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UpdatedAt(pub i64);

impl UpdatedAt {
    /// The version number of this state: whole milliseconds, 0 before 1970.
    pub fn source_version(self) -> u64 {
        u64::try_from(self.0.div_euclid(1_000)).unwrap_or(0)
    }
}

/// Settings that the vendor's core API applies and its proxies ignore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent switches of the document")]
pub struct VendorSettings {
    /// Whether a client-side key may set traits.
    pub allow_client_traits: bool,
    /// Whether answers leave out traits and internal ids.
    pub hide_sensitive_data: bool,
    /// Whether the organisation stopped serving flags.
    pub stop_serving_flags: bool,
    /// Whether the organisation stores traits.
    pub persist_trait_data: bool,
    /// Whether changes are pushed.
    pub enable_realtime_updates: bool,
}

impl Default for VendorSettings {
    fn default() -> Self {
        Self {
            allow_client_traits: true,
            hide_sensitive_data: false,
            stop_serving_flags: false,
            persist_trait_data: true,
            enable_realtime_updates: false,
        }
    }
}

/// A feature and what it is for somebody whom nothing overrides.
#[derive(Clone, Debug)]
pub struct Feature {
    /// The vendor's number of the feature.
    pub id: i64,
    /// `STANDARD` or `MULTIVARIATE`; old documents leave it out.
    pub kind: Box<str>,
    /// The state, which also names the feature.
    pub state: FeatureState,
    /// Where it stands in [`Environment::verbatim`].
    pub place: Range<usize>,
}

/// What a feature is: in the environment, in a segment, or for an identity.
#[derive(Clone, Debug)]
pub struct FeatureState {
    /// Name of the feature that it belongs to.
    pub feature: Box<str>,
    /// Whether the flag is on.
    pub enabled: bool,
    /// Any JSON, usually a scalar, as the text that came.
    pub value: Arc<RawValue>,
    /// Hashed before an identity's key to split this state.
    pub hashing_key: Box<str>,
    /// In the document's order.
    pub variants: Vec<Variant>,
}

/// A value of a multivariate feature.
#[derive(Clone, Debug)]
pub struct Variant {
    /// Its name, when it has one.
    pub key: Option<Box<str>>,
    /// Any JSON, usually a scalar, as the text that came.
    pub value: Arc<RawValue>,
    /// Share of the identities in percent.
    pub weight: f64,
    /// The share as reasons spell it.
    pub weight_text: Box<str>,
    /// Variants are lined up by this number, lowest first.
    pub priority: u128,
}

/// A group of identities, told by rules.
#[derive(Clone, Debug)]
pub struct Segment {
    /// Its id, which no other has. Hashed before an identity's key in percentage splits of this segment.
    pub key: Box<str>,
    /// Name, for reasons.
    pub name: Box<str>,
    /// All must match; a segment without rules matches nobody.
    pub rules: Vec<Rule>,
    /// What features are for its members.
    pub overrides: Vec<Override>,
    /// Where it stands in [`Environment::verbatim`].
    pub place: Range<usize>,
}

/// What a feature is for the members of a segment.
#[derive(Clone, Debug)]
pub struct Override {
    /// Lower is stronger; none is the weakest.
    pub priority: Option<f64>,
    /// The state that replaces the environment's.
    pub state: FeatureState,
}

/// Conditions joined, and further rules joined the same way; both halves must hold. An empty half
/// holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// How both halves are joined.
    pub kind: RuleKind,
    /// The first half.
    pub conditions: Vec<Condition>,
    /// The second half.
    pub rules: Vec<Rule>,
}

/// How conditions and rules are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleKind {
    /// Every one holds.
    All,
    /// At least one holds.
    Any,
    /// None holds.
    None,
}

/// A comparison of one context value.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// Name of a trait, or a `JSONPath` into the context; none or empty in percentage splits means
    /// the identity.
    pub property: Option<Box<str>>,
    /// The comparison.
    pub operator: Operator,
    /// What the context value is compared with.
    pub value: Operand,
}

/// What a context value is compared with.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Operand {
    /// Text, the regular case. Numbers and booleans stand here as Python prints them.
    Text(Box<str>),
    /// A list, for `IN`.
    List(Vec<Box<str>>),
    /// Nothing. Comparisons read it as the text `None`, as Python does.
    Null,
}

/// Comparisons (flagsmith.md section 10).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the variants are the protocol's own names")]
pub enum Operator {
    Equal,
    NotEqual,
    GreaterThan,
    GreaterThanInclusive,
    LessThan,
    LessThanInclusive,
    Contains,
    NotContains,
    Regex,
    In,
    Modulo,
    PercentageSplit,
    IsSet,
    IsNotSet,
    /// Not known to this build: never holds.
    Unknown(Box<str>),
}

impl Operator {
    /// Reads the protocol's name.
    pub fn from_wire(name: &str) -> Self {
        match name {
            "EQUAL" => Self::Equal,
            "NOT_EQUAL" => Self::NotEqual,
            "GREATER_THAN" => Self::GreaterThan,
            "GREATER_THAN_INCLUSIVE" => Self::GreaterThanInclusive,
            "LESS_THAN" => Self::LessThan,
            "LESS_THAN_INCLUSIVE" => Self::LessThanInclusive,
            "CONTAINS" => Self::Contains,
            "NOT_CONTAINS" => Self::NotContains,
            "REGEX" => Self::Regex,
            "IN" => Self::In,
            "MODULO" => Self::Modulo,
            "PERCENTAGE_SPLIT" => Self::PercentageSplit,
            "IS_SET" => Self::IsSet,
            "IS_NOT_SET" => Self::IsNotSet,
            other => Self::Unknown(other.into()),
        }
    }

    /// The protocol's name.
    pub fn as_wire(&self) -> &str {
        match self {
            Self::Equal => "EQUAL",
            Self::NotEqual => "NOT_EQUAL",
            Self::GreaterThan => "GREATER_THAN",
            Self::GreaterThanInclusive => "GREATER_THAN_INCLUSIVE",
            Self::LessThan => "LESS_THAN",
            Self::LessThanInclusive => "LESS_THAN_INCLUSIVE",
            Self::Contains => "CONTAINS",
            Self::NotContains => "NOT_CONTAINS",
            Self::Regex => "REGEX",
            Self::In => "IN",
            Self::Modulo => "MODULO",
            Self::PercentageSplit => "PERCENTAGE_SPLIT",
            Self::IsSet => "IS_SET",
            Self::IsNotSet => "IS_NOT_SET",
            Self::Unknown(name) => name,
        }
    }
}

/// A part of the document that cannot be evaluated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// What it is, by name where it has one, else by its place in the document.
    pub part: String,
    /// What is wrong, in words for the person who looks after the environment.
    pub reason: String,
    /// What it would have been, as far as that can be told.
    pub named: Named,
    /// Where it stands in [`Environment::verbatim`].
    pub place: Range<usize>,
    /// Its last good form, when that is served in its place.
    pub replacement: Option<Bytes>,
}

/// What a part of a document is, as far as it can be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// A feature's default state.
    Feature(Box<str>),
    /// A segment: they are told apart by their ids, and names may repeat.
    Segment {
        /// None where that is what is wrong with it.
        id: Option<Box<str>>,
        /// For people.
        name: Option<Box<str>>,
    },
    /// Something else, or without a name.
    Other,
}
