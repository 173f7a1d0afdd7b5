//! What a flag can come to, in the words that all dialects share (DESIGN section 4).

use serde_json::value::RawValue;

/// Number of an outcome in its program: what dialects keep their prepared pieces by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OutcomeIndex(pub u32);

/// Something that a flag can come to, whatever the family of its rules.
#[derive(Clone, Copy, Debug)]
pub struct Outcome<'a> {
    /// Place of the flag in its program.
    pub flag: usize,
    /// Whether the flag is on.
    pub enabled: bool,
    /// The key of the variant that was chosen; for those whom a split of Flagsmith's left out
    /// `control`.
    pub variant: Option<&'a str>,
    /// Any JSON but null, as the text that came.
    pub value: Option<&'a RawValue>,
    /// Why the flag is on or off.
    pub reason: Reason<'a>,
    /// Why it has this variant and value. Reflag decides them by rules of their own.
    pub value_reason: Reason<'a>,
}

/// Why a flag is what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason<'a> {
    /// No rule applied.
    Default,
    /// It is so for everybody.
    Static,
    /// A rule about the context matched: with Flagsmith a segment of this name, or the identity's own
    /// override.
    Targeting(Option<&'a str>),
    /// A share of all was drawn: with Flagsmith of this weight in percent.
    Split(Option<&'a str>),
    /// The flag depends on itself, so that it stays on its default.
    Circular,
}

/// A flag as all dialects know it.
#[derive(Clone, Copy, Debug)]
pub struct FlagHeading<'a> {
    /// Its key, or its name with Flagsmith.
    pub key: &'a str,
    /// The version of its targeting, where it has one of its own.
    pub version: Option<u64>,
    /// The vendor's number of it, where it has one.
    pub id: Option<i64>,
    /// Whether its definition names variants, whoever gets them. Flagsmith's names none of its own.
    pub has_variants: bool,
    /// Whether it is split or chosen among several variants.
    pub is_multivariate: bool,
}
