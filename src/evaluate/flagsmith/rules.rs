//! Walks the rules of a program for one identity (flagsmith.md sections 9 and 10).

use std::cmp::Ordering;

use super::context::{Held, Kind, MISSING, NO_CANDIDATE, UNANSWERED, UNDECIDED};
use super::program::{
    Check, Comparison, Draw, FeatureIndex, FlagMember, LeafIndex, Operand, Program, Property,
    SegmentIndex, Slot, Source, State, StateIndex, Test,
};
use super::python::{self, Integer};
use super::{
    Domain, EvaluationContext, FeatureSet, LANES, OutcomeIndex, Remainder, Scalar, Seed, Version,
    release,
};

/// What an evaluation came to. Borrows its context.
#[derive(Clone, Copy, Debug)]
pub struct Evaluation<'a> {
    program: &'a Program,
    context: &'a EvaluationContext,
}

impl<'a> Evaluation<'a> {
    /// One outcome per feature, in the document's order.
    pub fn outcomes(&self) -> &'a [OutcomeIndex] {
        &self.context.outcomes
    }

    /// The features that may have come to something else than [`Program::default_outcomes`] says of
    /// an identity. Means nothing without an identity.
    pub fn changed(&self) -> &'a FeatureSet {
        &self.context.changed
    }

    /// The segments that the identity belongs to, in the document's order.
    pub fn segments(&self) -> impl Iterator<Item = SegmentIndex> {
        let matching = self.context.segments.iter().zip(0..).filter(|(answer, _)| **answer == 1);
        matching.map(|(_, index)| SegmentIndex(index))
    }

    /// How many matches of patterns and searches by paths were given up, and count as none.
    pub fn given_up(&self) -> u32 {
        self.context.given_up()
    }

    /// What the rules of a segment met, where they come to a single comparison that was made.
    pub fn met(&self, segment: SegmentIndex) -> Option<Met<'a>> {
        let root = self.program.segments[segment.0 as usize].root;
        let Test::Leaf(leaf) = self.program.nodes[root as usize].test else { return None };
        let slot = self.program.leaves[leaf.0 as usize].slot;
        let held = self.context.values[slot.0 as usize];
        match held.kind {
            // Shares of the identity's key are drawn together, without a look at the slot.
            Kind::Unknown if self.program.properties[slot.0 as usize] == Property::IdentityKey => {
                self.context.identifier().map(|_| Met::Text(&self.context.key))
            }
            Kind::Unknown => None,
            Kind::Missing => Some(Met::Missing),
            Kind::Bool(value) => Some(Met::Bool(value)),
            Kind::Small(_) | Kind::Large => Some(Met::Integer(self.context.text_of(held))),
            Kind::Float(number) => Some(Met::Float(number)),
            Kind::Text => Some(Met::Text(self.context.text_of(held))),
        }
    }

    /// The program that was evaluated.
    pub fn program(&self) -> &'a Program {
        self.program
    }
}

/// A value that a comparison met, coerced.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Met<'a> {
    /// There was none.
    Missing,
    /// A boolean.
    Bool(bool),
    /// Canonical decimal text.
    Integer(&'a str),
    /// A number with a fraction, or one that was written so.
    Float(f64),
    /// Text.
    Text(&'a str),
}

/// Evaluates all features. `context` must have been filled for this `program`.
pub fn evaluate<'a>(program: &'a Program, context: &'a mut EvaluationContext) -> Evaluation<'a> {
    let mut evaluator = Evaluator::new(program, context);
    evaluator.draw_all();
    if evaluator.applies_segments {
        for index in 0..program.segments.len() as u32 {
            evaluator.is_member(SegmentIndex(index));
        }
    }
    // What segments may have asked for by then is found out again, all at once: it is the same.
    let defaults = program.default_outcomes(evaluator.has_identity);
    evaluator.context.outcomes.clear();
    evaluator.context.outcomes.extend_from_slice(defaults);
    evaluator.take_variants();
    evaluator.override_by_segments();
    evaluator.override_by_identity();
    evaluator.draw_pending();
    Evaluation { program, context }
}

/// Evaluates one feature, and no more than it depends on. `context` must have been filled for this
/// `program`.
pub fn evaluate_one(
    program: &Program,
    context: &mut EvaluationContext,
    feature: FeatureIndex,
) -> OutcomeIndex {
    Evaluator::new(program, context).outcome(feature)
}

struct Evaluator<'a> {
    program: &'a Program,
    context: &'a mut EvaluationContext,
    has_identity: bool,
    applies_segments: bool,
    /// The identity's own overrides, sorted by feature.
    own: &'a [(FeatureIndex, StateIndex)],
}

impl<'a> Evaluator<'a> {
    fn new(program: &'a Program, context: &'a mut EvaluationContext) -> Self {
        let has_identity = context.identifier().is_some();
        let applies_segments = has_identity || program.segments_without_identity;
        if applies_segments && !program.queries.is_empty() {
            context.run_queries(program);
        }
        let own = context.identifier().map_or(&[][..], |name| program.identities.find(name));
        Self { program, context, has_identity, applies_segments, own }
    }

    /// Draws what every identity draws.
    fn draw_all(&mut self) {
        if !self.has_identity {
            return;
        }
        for group in self.program.draws.chunks(LANES) {
            let remainders = self.draw(group);
            for (draw, remainder) in group.iter().zip(remainders) {
                if let Draw::Share(leaf, _, end) = *draw {
                    self.context.answers[leaf.0 as usize] = u8::from(remainder < end);
                }
            }
            self.context.remainders.extend_from_slice(&remainders[..group.len()]);
        }
    }

    /// Hashes for a few draws, side by side.
    fn draw(&self, group: &[Draw]) -> [Remainder; LANES] {
        let mut seeds = [self.program.seed_of(group[0]); LANES];
        for (seed, draw) in seeds.iter_mut().zip(group) {
            *seed = self.program.seed_of(*draw);
        }
        Seed::remainders(&seeds[..group.len()], &self.context.key)
    }

    /// Gives features that are split the variants that were drawn at the beginning.
    fn take_variants(&mut self) {
        let context = &mut *self.context;
        for (draw, remainder) in self.program.draws.iter().zip(&context.remainders) {
            if let Draw::Variant(feature, state, split) = *draw {
                context.outcomes[feature.0 as usize] = self.program.drawn(state, split, *remainder);
                context.changed.add(feature);
            }
        }
    }

    /// Of the overrides of one feature by several segments the strongest counts.
    fn override_by_segments(&mut self) {
        for (at, segment) in self.program.segments.iter().enumerate() {
            if self.context.segments[at] != 1 {
                continue;
            }
            let (first, end) = segment.overrides;
            for given in &self.program.overrides[first as usize..end as usize] {
                let strongest = &mut self.context.candidates[given.feature.0 as usize];
                if given.candidate < *strongest {
                    let is_first = *strongest == NO_CANDIDATE;
                    *strongest = given.candidate;
                    self.take_state(given.feature, given.at, given.state, is_first);
                }
            }
        }
    }

    fn override_by_identity(&mut self) {
        for &(feature, at) in self.own {
            self.take_state(feature, at, self.program.states[at.0 as usize], false);
        }
    }

    /// Overrides a feature. `is_first`: nothing did before.
    #[inline]
    fn take_state(&mut self, feature: FeatureIndex, at: StateIndex, state: State, is_first: bool) {
        let context = &mut *self.context;
        if !is_first {
            context.pending.retain(|draw| !matches!(draw, Draw::Variant(f, ..) if *f == feature));
        }
        let outcome = if self.has_identity { state.control } else { state.outcome };
        context.outcomes[feature.0 as usize] = outcome;
        context.changed.add(feature);
        if let (true, Some(split)) = (self.has_identity, state.split) {
            context.pending.push(Draw::Variant(feature, at, split));
        }
    }

    /// Draws variants of overrides.
    fn draw_pending(&mut self) {
        let pending = std::mem::take(&mut self.context.pending);
        for group in pending.chunks(LANES) {
            let remainders = self.draw(group);
            for (draw, remainder) in group.iter().zip(remainders) {
                if let Draw::Variant(feature, state, split) = *draw {
                    self.context.outcomes[feature.0 as usize] =
                        self.program.drawn(state, split, remainder);
                }
            }
        }
        self.context.pending = pending;
    }

    /// What one feature comes to, and no more than it depends on.
    fn outcome(&mut self, feature: FeatureIndex) -> OutcomeIndex {
        let known = self.context.outcomes[feature.0 as usize];
        if known != UNDECIDED {
            return known;
        }
        let at = self.state(feature);
        let state = self.program.states[at.0 as usize];
        let outcome = match (self.has_identity, state.split) {
            (false, _) => state.outcome,
            (true, None) => state.control,
            (true, Some(split)) => {
                let seed = &self.program.splits[split as usize].seed;
                self.program.drawn(at, split, seed.remainder(&self.context.key))
            }
        };
        self.context.outcomes[feature.0 as usize] = outcome;
        outcome
    }

    fn state(&mut self, feature: FeatureIndex) -> StateIndex {
        let compiled = self.program.feature(feature);
        if compiled.is_circular {
            return compiled.state;
        }
        if let Ok(at) = self.own.binary_search_by_key(&feature, |(feature, _)| *feature) {
            return self.own[at].1;
        }
        if self.applies_segments {
            let (first, end) = compiled.candidates;
            for candidate in &self.program.candidates[first as usize..end as usize] {
                if self.is_member(candidate.segment) {
                    return candidate.state;
                }
            }
        }
        compiled.state
    }

    fn is_member(&mut self, segment: SegmentIndex) -> bool {
        let known = self.context.segments[segment.0 as usize];
        if known != UNANSWERED {
            return known == 1;
        }
        let root = self.program.segments[segment.0 as usize].root;
        let member = self.holds(root as usize);
        self.context.segments[segment.0 as usize] = u8::from(member);
        member
    }

    fn holds(&mut self, at: usize) -> bool {
        let node = self.program.nodes[at];
        match node.test {
            Test::Constant(value) => value,
            Test::Leaf(leaf) => match self.context.answers[leaf.0 as usize] {
                UNANSWERED => self.answer(leaf),
                answer => answer == 1,
            },
            Test::All => self.children(at, node.end, false),
            Test::Any => self.children(at, node.end, true),
            Test::None => !self.children(at, node.end, true),
        }
    }

    /// Walks the children of a group until one is `decisive`, and says whether one was: for "any"
    /// that is the answer, for "all" its opposite.
    fn children(&mut self, at: usize, end: u32, decisive: bool) -> bool {
        let mut child = at + 1;
        while child < end as usize {
            if self.holds(child) == decisive {
                return decisive;
            }
            child = self.program.nodes[child].end as usize;
        }
        !decisive
    }

    fn answer(&mut self, index: LeafIndex) -> bool {
        let leaf = self.program.leaves[index.0 as usize];
        let held = self.value(leaf.slot);
        let answer = match leaf.check {
            Check::Lookup => {
                if !self.context.looked_up[leaf.slot.0 as usize] {
                    self.look_up(leaf.slot, held);
                }
                // Who is not in the row stays unanswered, which here means no.
                self.context.answers[index.0 as usize] == 1
            }
            Check::IsNotSet => held.kind == Kind::Missing,
            _ if held.kind == Kind::Missing => false,
            check => self.passes(held, check),
        };
        self.context.answers[index.0 as usize] = u8::from(answer);
        answer
    }

    /// The value of a slot, coerced.
    fn value(&mut self, slot: Slot) -> Held {
        let known = self.context.values[slot.0 as usize];
        if known.kind != Kind::Unknown {
            return known;
        }
        let held = match &self.program.properties[slot.0 as usize] {
            Property::Nothing => MISSING,
            Property::IdentityKey => self.context.hold_key(false),
            Property::Trait(input) => self.context.input(*input),
            Property::Path(literal, source) => match self.context.input(*literal) {
                Held { kind: Kind::Missing, .. } => self.source(source),
                held => held,
            },
        };
        self.context.values[slot.0 as usize] = held;
        held
    }

    fn source(&mut self, source: &Source) -> Held {
        match *source {
            Source::Nothing => MISSING,
            Source::Trait(input) => self.context.input(input),
            Source::Identifier => self.context.hold_identifier(),
            Source::IdentityKey => self.context.hold_key(true),
            Source::Constant(at) => {
                self.context.coerce(Scalar::from(&self.program.constants[at as usize]))
            }
            Source::Query(at) => {
                self.context.query_results.get(at as usize).copied().unwrap_or(MISSING)
            }
            Source::Flag(feature, member) => self.flag(feature, member),
        }
    }

    fn flag(&mut self, feature: FeatureIndex, member: FlagMember) -> Held {
        let outcome = self.outcome(feature);
        let outcome = self.program.outcome(outcome);
        match member {
            FlagMember::Name => {
                let name = &self.program.feature(feature).name;
                self.context.coerce(Scalar::Text(name))
            }
            FlagMember::Enabled => self.context.coerce(Scalar::Bool(outcome.enabled)),
            FlagMember::Variant => outcome
                .variant
                .as_ref()
                .map_or(MISSING, |key| self.context.coerce(Scalar::Text(key))),
            FlagMember::Reason => self.context.coerce(Scalar::Text(&outcome.reason.to_string())),
            FlagMember::Value => match outcome.value.get() {
                "null" => MISSING,
                "true" => self.context.coerce(Scalar::Bool(true)),
                "false" => self.context.coerce(Scalar::Bool(false)),
                text if text.starts_with('"') => {
                    let text: String = serde_json::from_str(text).unwrap_or_default();
                    self.context.coerce(Scalar::Text(&text))
                }
                text if text.starts_with(['{', '[']) => MISSING,
                number => self.context.coerce(Scalar::Number(number)),
            },
        }
    }

    /// Answers all equalities of a slot that hold.
    fn look_up(&mut self, slot: Slot, held: Held) {
        self.context.looked_up[slot.0 as usize] = true;
        let lookups = &self.program.lookups;
        let row = match held.kind {
            Kind::Unknown | Kind::Missing => return,
            Kind::Bool(value) => lookups.find(slot, Domain::Boolean, &[u8::from(value)]),
            Kind::Small(_) | Kind::Large => {
                lookups.find(slot, Domain::Integer, self.context.text_of(held).as_bytes())
            }
            // Both zeros are equal.
            Kind::Float(number) => lookups.find(slot, Domain::Float, &(number + 0.0).to_le_bytes()),
            Kind::Text => lookups.find(slot, Domain::Text, self.context.text_of(held).as_bytes()),
        };
        for leaf in row {
            self.context.answers[leaf.0 as usize] = 1;
        }
    }

    fn passes(&mut self, held: Held, check: Check) -> bool {
        match check {
            Check::Never | Check::Lookup | Check::IsNotSet => false,
            Check::IsSet => true,
            Check::Compare(comparison, operand) => {
                self.compares(held, comparison, &self.program.operands[operand as usize])
            }
            Check::Contains(needle) => held.kind == Kind::Text && self.finds(needle, held),
            Check::NotContains(needle) => held.kind == Kind::Text && !self.finds(needle, held),
            Check::Modulo { divisor, remainder } => {
                self.number(held).is_some_and(|number| modulo(number, divisor) == Some(remainder))
            }
            Check::Regex(pattern) => {
                let pattern = &self.program.patterns[pattern as usize];
                let context = &mut *self.context;
                let (start, end) = held.range();
                let text = match held.kind {
                    Kind::Bool(value) => bool_text(value),
                    Kind::Float(number) => float_text(number, &mut context.scratch),
                    _ => &context.text[start..end],
                };
                pattern.is_match(text, &mut context.budget)
            }
            Check::Split(seed, end) => {
                let seed = &self.program.seeds[seed as usize];
                let remainder = match held.kind {
                    Kind::Bool(value) => seed.remainder(bool_text(value)),
                    Kind::Float(number) => {
                        seed.remainder(float_text(number, &mut self.context.scratch))
                    }
                    _ => seed.remainder(self.context.text_of(held)),
                };
                remainder < end
            }
        }
    }

    fn finds(&self, needle: u32, held: Held) -> bool {
        let needle = &self.program.needles[needle as usize];
        needle.find(self.context.text_of(held).as_bytes()).is_some()
    }

    /// A value as a number; none when it is none, or beyond all doubles.
    fn number(&self, held: Held) -> Option<f64> {
        match held.kind {
            Kind::Bool(value) => Some(f64::from(u8::from(value))),
            Kind::Float(number) => Some(number),
            Kind::Small(_) | Kind::Large => self.integer(held)?.to_float(),
            Kind::Unknown | Kind::Missing | Kind::Text => None,
        }
    }

    fn integer(&self, held: Held) -> Option<Integer<'_>> {
        match held.kind {
            Kind::Small(number) => Some(Integer::Small(number)),
            Kind::Large => Some(Integer::Large(self.context.text_of(held))),
            _ => None,
        }
    }

    /// Compares a value with an operand read as the value's type. Where it cannot be read so, no
    /// comparison holds, not even "not equal".
    fn compares(&self, held: Held, comparison: Comparison, operand: &Operand) -> bool {
        let order = match held.kind {
            Kind::Unknown | Kind::Missing => return false,
            Kind::Bool(value) => Some(value.cmp(&operand.boolean)),
            Kind::Small(_) | Kind::Large => {
                let (Some((text, small)), Some(value)) = (&operand.integer, self.integer(held))
                else {
                    return false;
                };
                let operand = small.map_or(Integer::Large(text), Integer::Small);
                Some(value.compare(operand))
            }
            Kind::Float(number) => match operand.float {
                // Something that is not a number is only "not equal".
                Some(operand) => number.partial_cmp(&operand),
                None => return false,
            },
            Kind::Text if operand.is_version => {
                let ours = self.context.text_of(held);
                match (release(ours), operand.release) {
                    (Some(ours), Some(theirs)) => Some(ours.cmp(&theirs)),
                    _ => match (Version::parse(ours), Version::parse(&operand.text)) {
                        (Some(ours), Some(theirs)) => Some(ours.compare(theirs)),
                        _ => return false,
                    },
                }
            }
            Kind::Text => Some(self.context.text_of(held).cmp(&*operand.text)),
        };
        match (comparison, order) {
            (Comparison::NotEqual, None) => true,
            (_, None) => false,
            (Comparison::Equal, Some(order)) => order == Ordering::Equal,
            (Comparison::NotEqual, Some(order)) => order != Ordering::Equal,
            (Comparison::Greater, Some(order)) => order == Ordering::Greater,
            (Comparison::GreaterOrEqual, Some(order)) => order != Ordering::Less,
            (Comparison::Less, Some(order)) => order == Ordering::Less,
            (Comparison::LessOrEqual, Some(order)) => order != Ordering::Greater,
        }
    }
}

fn bool_text(value: bool) -> &'static str {
    if value { "True" } else { "False" }
}

fn float_text(number: f64, scratch: &mut String) -> &str {
    scratch.clear();
    python::write_float(number, scratch);
    scratch
}

/// Python's `%`: the result has the divisor's sign. None for a divisor of 0.
pub(super) fn modulo(number: f64, divisor: f64) -> Option<f64> {
    if divisor == 0.0 {
        return None;
    }
    let rest = number % divisor;
    let corrected =
        if rest != 0.0 && (rest < 0.0) != (divisor < 0.0) { rest + divisor } else { rest };
    Some(corrected)
}
