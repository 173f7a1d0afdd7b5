//! The identity and the traits of one request, coerced as the vendor's engine does.
//!
//! A context is one buffer of text and one small record per trait that some rule reads, both reused
//! from request to request. Other traits are not kept.

use serde_json::{Value, json};

use super::python;
use super::query::{self, Exhausted};
use super::{
    Budget, Constant, Draw, FeatureSet, InputIndex, OutcomeIndex, Program, Remainder, STEPS,
};

/// A trait's value as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scalar<'a> {
    /// The same as no trait.
    Null,
    /// A boolean.
    Bool(bool),
    /// A number as JSON spells it.
    Number(&'a str),
    /// Text.
    Text(&'a str),
}

impl<'a> From<&'a Constant> for Scalar<'a> {
    fn from(constant: &'a Constant) -> Self {
        match constant {
            Constant::Null => Self::Null,
            Constant::Bool(value) => Self::Bool(*value),
            Constant::Number(text) => Self::Number(text),
            Constant::Text(text) => Self::Text(text),
        }
    }
}

/// Whether a trait's name reads as a `JSONPath`. Such a trait stands in for what the path points to,
/// so those who hold a publishable key must not be able to send it.
pub fn is_path(name: &str) -> bool {
    name.starts_with("$.")
}

/// A coerced value; its text lies in the context's buffer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) kind: Kind,
    start: u32,
    end: u32,
}

impl Held {
    /// Where its text lies.
    pub(super) fn range(self) -> (usize, usize) {
        (self.start as usize, self.end as usize)
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    /// Not looked for yet.
    Unknown,
    Missing,
    Bool(bool),
    /// With canonical text.
    Small(i64),
    /// The same, beyond 64 bits.
    Large,
    /// Without text.
    Float(f64),
    Text,
}

pub(super) const MISSING: Held = Held { kind: Kind::Missing, start: 0, end: 0 };
const UNKNOWN: Held = Held { kind: Kind::Unknown, start: 0, end: 0 };

/// A leaf or segment that is not answered yet.
pub(super) const UNANSWERED: u8 = u8::MAX;
/// A feature without an outcome so far.
pub(super) const UNDECIDED: OutcomeIndex = OutcomeIndex(u32::MAX);
/// A feature that no segment overrides so far.
pub(super) const NO_CANDIDATE: u32 = u32::MAX;

/// Text capacity that is kept between requests; more is given back.
const KEPT_TEXT: usize = 64 * 1024;

/// The identity and traits of one request, and what was found out about them. Reused:
/// [`EvaluationContext::reset`] starts the next one.
#[derive(Debug, Default)]
pub struct EvaluationContext {
    has_identity: bool,
    identifier: String,
    pub(super) key: String,
    /// Per trait that rules read.
    pub(super) inputs: Vec<Held>,
    /// Per slot.
    pub(super) values: Vec<Held>,
    pub(super) text: String,
    /// For text forms that are needed for a moment.
    pub(super) scratch: String,
    /// Per leaf.
    pub(super) answers: Vec<u8>,
    /// Per slot: whether its equalities are answered.
    pub(super) looked_up: Vec<bool>,
    /// Per segment.
    pub(super) segments: Vec<u8>,
    /// Per feature: the strongest override by a segment so far.
    pub(super) candidates: Vec<u32>,
    /// Features that may have come to something else than they do for most identities.
    pub(super) changed: FeatureSet,
    /// Per feature.
    pub(super) outcomes: Vec<OutcomeIndex>,
    /// Where the identity falls in each of the program's draws.
    pub(super) remainders: Vec<Remainder>,
    /// What is still to be drawn.
    pub(super) pending: Vec<Draw>,
    pub(super) budget: Budget,
    /// All traits, where queries may ask for any.
    all_traits: serde_json::Map<String, Value>,
    pub(super) query_results: Vec<Held>,
}

impl EvaluationContext {
    /// An empty context; it answers for no program before [`EvaluationContext::reset`].
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets identity and traits and takes the shape of `program`.
    pub fn reset(&mut self, program: &Program) {
        fn refill<T: Clone>(list: &mut Vec<T>, len: usize, value: T) {
            list.clear();
            list.resize(len, value);
        }
        self.has_identity = false;
        self.identifier.clear();
        self.key.clear();
        self.text.clear();
        if self.text.capacity() > KEPT_TEXT {
            self.text.shrink_to(KEPT_TEXT);
        }
        self.scratch.clear();
        refill(&mut self.inputs, program.traits.len(), MISSING);
        refill(&mut self.values, program.properties.len(), UNKNOWN);
        refill(&mut self.answers, program.leaves.len(), UNANSWERED);
        refill(&mut self.looked_up, program.properties.len(), false);
        refill(&mut self.segments, program.segments.len(), UNANSWERED);
        refill(&mut self.candidates, program.features.len(), NO_CANDIDATE);
        self.changed.reset(program.features.len());
        refill(&mut self.outcomes, program.features.len(), UNDECIDED);
        self.remainders.clear();
        self.pending.clear();
        self.all_traits.clear();
        self.query_results.clear();
        self.budget.steps = STEPS;
        self.budget.exhausted = 0;
    }

    /// Names the identity. Its hashing key is the environment's key and the identifier.
    pub fn set_identity(&mut self, program: &Program, identifier: &str) {
        self.has_identity = true;
        self.identifier.clear();
        self.identifier.push_str(identifier);
        self.key.clear();
        self.key.push_str(&program.identity_key_prefix);
        self.key.push_str(identifier);
    }

    /// Gives the identity another hashing key.
    pub fn set_identity_key(&mut self, key: &str) {
        self.key.clear();
        self.key.push_str(key);
    }

    /// Adds a trait; of two with one name the later counts. See [`is_path`] for names that must not
    /// come from everybody.
    pub fn set_trait(&mut self, program: &Program, name: &str, value: Scalar<'_>) {
        if let Some(input) = program.traits.find(name) {
            self.inputs[input as usize] = self.coerce(value);
        }
        if !program.queries.is_empty() {
            let value = match value {
                Scalar::Null => Value::Null,
                Scalar::Bool(value) => Value::Bool(value),
                Scalar::Number(text) => serde_json::from_str(text).unwrap_or_default(),
                Scalar::Text(text) => Value::String(text.to_owned()),
            };
            self.all_traits.insert(name.to_owned(), value);
        }
    }

    /// The identifier, when there is an identity.
    pub fn identifier(&self) -> Option<&str> {
        self.has_identity.then_some(&self.identifier)
    }

    /// How many matches of patterns and searches by paths were given up since the context was reset.
    pub fn given_up(&self) -> u32 {
        self.budget.exhausted
    }

    pub(super) fn input(&self, input: InputIndex) -> Held {
        self.inputs[input.0 as usize]
    }

    /// The text of a value that has one.
    #[inline]
    pub(super) fn text_of(&self, held: Held) -> &str {
        &self.text[held.start as usize..held.end as usize]
    }

    /// Takes a value as the vendor's engine does: text that looks like a number is one.
    pub(super) fn coerce(&mut self, value: Scalar<'_>) -> Held {
        match value {
            Scalar::Null => MISSING,
            Scalar::Bool(value) => Held { kind: Kind::Bool(value), ..MISSING },
            // Most text does not begin like a number.
            Scalar::Text(text) if !matches!(text.as_bytes().first(), Some(b'-' | b'0'..=b'9')) => {
                self.hold_text(text)
            }
            Scalar::Text(text) | Scalar::Number(text) if python::is_integer(text) => {
                self.hold_integer(text)
            }
            Scalar::Text(text) if !python::is_decimal(text) => self.hold_text(text),
            Scalar::Text(text) | Scalar::Number(text) => hold_float(text),
        }
    }

    /// The identifier as a value.
    pub(super) fn hold_identifier(&mut self) -> Held {
        // Lent for a moment, so that it can be copied behind the other texts.
        let identifier = std::mem::take(&mut self.identifier);
        let held = if self.has_identity { self.coerce(Scalar::Text(&identifier)) } else { MISSING };
        self.identifier = identifier;
        held
    }

    /// The identity's hashing key as a value: coerced where rules name it, as it is where they mean
    /// the identity.
    pub(super) fn hold_key(&mut self, coerced: bool) -> Held {
        let key = std::mem::take(&mut self.key);
        let held = match (self.has_identity, coerced) {
            (false, _) => MISSING,
            (true, true) => self.coerce(Scalar::Text(&key)),
            (true, false) => self.hold_text(&key),
        };
        self.key = key;
        held
    }

    fn hold_text(&mut self, text: &str) -> Held {
        let start = self.text.len() as u32;
        self.text.push_str(text);
        Held { kind: Kind::Text, start, end: self.text.len() as u32 }
    }

    fn hold_integer(&mut self, text: &str) -> Held {
        let start = self.text.len();
        python::write_integer(text, &mut self.text);
        let kind = self.text[start..].parse().map_or(Kind::Large, Kind::Small);
        Held { kind, start: start as u32, end: self.text.len() as u32 }
    }

    /// Answers the program's queries over the whole context. Rare; what they may cost together with
    /// patterns is bounded, and a query that runs out of steps finds nothing.
    pub(super) fn run_queries(&mut self, program: &Program) {
        let identity = self.has_identity.then(|| {
            let traits = Value::Object(std::mem::take(&mut self.all_traits));
            json!({"identifier": self.identifier, "key": self.key, "traits": traits})
        });
        let whole = query::Context { fixed: &program.query_context, identity: identity.as_ref() };
        for query in &program.queries {
            let found = query.first(whole, &mut self.budget.steps).unwrap_or_else(|Exhausted| {
                self.budget.exhausted += 1;
                None
            });
            let found = found.map_or(Constant::Null, Constant::from);
            let held = self.coerce(Scalar::from(&found));
            self.query_results.push(held);
        }
    }
}

impl From<&Value> for Constant {
    fn from(value: &Value) -> Self {
        match value {
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(number) => Self::Number(number.to_string().into()),
            Value::String(text) => Self::Text(text.as_str().into()),
            Value::Null | Value::Object(_) | Value::Array(_) => Self::Null,
        }
    }
}

fn hold_float(text: &str) -> Held {
    Held { kind: Kind::Float(text.parse().unwrap_or(f64::NAN)), ..MISSING }
}
