//! `JSONPath` (RFC 9535) in conditions: what a path finds first in a request's whole context.
//!
//! Nearly all paths in rules name one member after the other. [`Query::names`] tells them, and the
//! compiler makes slots of them. The others are searched for in every request, in steps that come out
//! of the budget for patterns: a path that asks for everything below everything would else hold up
//! whoever comes after.
//!
//! Paths are read whole, functions included, with two bounds (length, nesting) and one exception:
//! the pattern of `match` and `search` has to stand in the path.

mod parse;
mod run;
#[cfg(test)]
mod tests;

pub(super) use run::{Context, Exhausted};

use regex::Regex;
use serde_json::Value;

/// A path, read.
#[derive(Clone, Debug)]
pub struct Query {
    segments: Vec<Segment>,
}

/// Why a text is no path that could be searched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoQuery {
    /// Not as RFC 9535 has it.
    #[error("it is no JSONPath")]
    Malformed,
    /// Longer or nested deeper than anybody needs.
    #[error("it is too long or nested too deep")]
    TooLarge,
    /// `match` or `search` with a pattern that the context holds.
    #[error("a pattern has to stand in the path itself")]
    PatternElsewhere,
}

/// `.a`, `['a', 0]`, `..*`
#[derive(Clone, Debug)]
struct Segment {
    /// Whether it applies to everything below, too.
    descends: bool,
    selectors: Vec<Selector>,
}

#[derive(Clone, Debug)]
enum Selector {
    Name(Box<str>),
    Wildcard,
    /// From the end when negative.
    Index(i64),
    Slice {
        start: Option<i64>,
        end: Option<i64>,
        step: i64,
    },
    Filter(Filter),
}

/// Of which children a filter holds.
#[derive(Clone, Debug)]
enum Filter {
    Any(Vec<Filter>),
    All(Vec<Filter>),
    Not(Box<Filter>),
    Exists(Path),
    /// A pattern that cannot be compiled matches nothing.
    Matches {
        text: Operand,
        pattern: Option<Regex>,
    },
    Compares(Operand, Comparison, Operand),
}

/// Where a filter looks.
#[derive(Clone, Debug)]
struct Path {
    /// From the root, else from the child that is looked at.
    is_absolute: bool,
    segments: Vec<Segment>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Debug)]
enum Operand {
    Literal(Value),
    /// Finds one node at most.
    Single(Path),
    Length(Box<Operand>),
    Count(Path),
    /// The node, if there is exactly one.
    OnlyOf(Path),
}

impl Query {
    /// Reads a path.
    pub fn parse(text: &str) -> Result<Self, NoQuery> {
        parse::query(text)
    }

    /// The names along the path, if it names one member after the other.
    pub fn names(&self) -> Option<Vec<&str>> {
        let names = self.segments.iter().map(|segment| match segment.selectors.as_slice() {
            [Selector::Name(name)] if !segment.descends => Some(&**name),
            _ => None,
        });
        names.collect()
    }
}
