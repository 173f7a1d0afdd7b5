//! Walks the rules of a program (reflag-runtime.md 12.2 to 12.7).

use super::context::{Content, SlotValue, UNKNOWN_BUCKET};
use super::{
    Check, EvaluationContext, Program, RuleList, SaltIndex, Slot, Test, ValueId, javascript,
};
use crate::model::Generation;
use crate::time::Timestamp;

/// What the rules of one list said. Reused from list to list.
#[derive(Clone, Debug, Default)]
pub struct RuleOutcome {
    /// The first rule that matched.
    pub matched: Option<u32>,
    /// One bit per rule, the first rule lowest.
    pub results: Vec<u64>,
    /// Attributes that a rule asked for in vain: each once, in the order of asking.
    pub missing: Vec<Slot>,
}

impl RuleOutcome {
    /// Whether rule `index` matched.
    pub fn result(&self, index: u32) -> bool {
        self.results.get(index as usize / 64).is_some_and(|word| word >> (index % 64) & 1 == 1)
    }
}

/// Evaluates rule lists of one program for one context at one moment.
#[derive(Debug)]
pub struct Evaluator<'a> {
    program: &'a Program,
    context: &'a mut EvaluationContext,
    now: Timestamp,
    /// Attributes that the present list missed.
    missing: Vec<Slot>,
    /// Generation 1.1: something in the present rule could not be answered.
    failed: bool,
}

impl<'a> Evaluator<'a> {
    /// `context` must have been filled for this `program`.
    pub fn new(program: &'a Program, context: &'a mut EvaluationContext, now: Timestamp) -> Self {
        Self { program, context, now, missing: Vec::new(), failed: false }
    }

    /// The program that is evaluated.
    pub fn program(&self) -> &'a Program {
        self.program
    }

    /// Evaluates every rule of `list`; the first match decides, all are reported.
    pub fn evaluate(&mut self, list: RuleList, outcome: &mut RuleOutcome) {
        self.missing = std::mem::take(&mut outcome.missing);
        self.missing.clear();
        self.context.lists += 1;
        outcome.matched = None;
        outcome.results.clear();
        outcome.results.resize((list.len as usize).div_ceil(64), 0);
        for (index, &root) in self.program.roots(list).iter().enumerate() {
            self.failed = false;
            let holds = self.holds(root as usize) && !self.failed;
            outcome.results[index / 64] |= u64::from(holds) << (index % 64);
            if holds && outcome.matched.is_none() {
                outcome.matched = Some(index as u32);
            }
        }
        outcome.missing = std::mem::take(&mut self.missing);
    }

    fn holds(&mut self, at: usize) -> bool {
        let node = self.program.nodes[at];
        match node.test {
            Test::Constant(value) => value,
            Test::All => {
                let mut child = at + 1;
                while child < node.end as usize {
                    if !self.holds(child) {
                        return false;
                    }
                    child = self.program.nodes[child].end as usize;
                }
                true
            }
            Test::Any => {
                let mut child = at + 1;
                while child < node.end as usize {
                    if self.holds(child) {
                        return true;
                    }
                    child = self.program.nodes[child].end as usize;
                }
                false
            }
            Test::Not => !self.holds(at + 1),
            Test::Attribute(slot, check) => self.passes(slot, check),
            Test::Rollout(salt, end) => self.bucket(salt).is_some_and(|bucket| bucket < end),
        }
    }

    /// Whether an attribute passes a check. `SET` and `NOT_SET` read a missing one as empty; to all
    /// others it is an answer of no, which is reported.
    pub(super) fn passes(&mut self, slot: Slot, check: Check) -> bool {
        let value = self.context.slot(slot);
        match value.content {
            Content::Text => self.text_passes(value, check),
            Content::List => self.list_passes(value, check),
            Content::Missing => match check {
                Check::Set => false,
                Check::NotSet => true,
                _ => self.report_missing(slot),
            },
        }
    }

    fn text_passes(&self, value: SlotValue, check: Check) -> bool {
        let program = self.program;
        let text = || self.context.text_of(value);
        match check {
            Check::Never => false,
            Check::Always => true,
            Check::Is(id) | Check::IsTrue(id) | Check::IsFalse(id) => value.id == id,
            Check::IsNot(id) => value.id != id,
            Check::AnyOf(set) => program.sets[set.0 as usize].contains(value.id),
            Check::NotAnyOf(set) => !program.sets[set.0 as usize].contains(value.id),
            Check::Contains(pattern) => {
                let pattern = &program.patterns[pattern.0 as usize];
                javascript::case::contains_lowercase(text(), &pattern.lower)
            }
            Check::NotContains(pattern) => {
                let pattern = &program.patterns[pattern.0 as usize];
                !javascript::case::contains_lowercase(text(), &pattern.lower)
            }
            Check::GreaterThan(operand) => javascript::number::parse(text()) > operand,
            Check::LessThan(operand) => javascript::number::parse(text()) < operand,
            Check::After(days) => self.compare_to_days_ago(text(), days, |a, b| a > b),
            Check::Before(days) => self.compare_to_days_ago(text(), days, |a, b| a < b),
            Check::DateAfter(moment) => {
                javascript::date::parse(text()).is_some_and(|date| date >= moment)
            }
            Check::DateBefore(moment) => {
                javascript::date::parse(text()).is_some_and(|date| date <= moment)
            }
            Check::Set => !text().is_empty(),
            Check::NotSet => text().is_empty(),
        }
    }

    fn compare_to_days_ago(&self, text: &str, days: f64, holds: fn(i64, i64) -> bool) -> bool {
        match (javascript::date::parse(text), javascript::date::shift_days(self.now.0, days)) {
            (Some(date), Some(days_ago)) => holds(date, days_ago),
            _ => false,
        }
    }

    /// Lists exist in generation 1.1 only, where a check that has no meaning for them is an error.
    fn list_passes(&mut self, value: SlotValue, check: Check) -> bool {
        let program = self.program;
        let mut elements = self.context.elements_of(value);
        let pattern = |index: super::PatternIndex| program.patterns[index.0 as usize].element;
        let only = |elements: &mut dyn ExactSizeIterator<Item = ValueId>, id| {
            elements.len() == 1 && elements.next() == Some(id)
        };
        match check {
            Check::Is(id) => only(&mut elements, id),
            Check::IsNot(id) => !only(&mut elements, id),
            Check::AnyOf(set) => elements.any(|id| program.sets[set.0 as usize].contains(id)),
            Check::NotAnyOf(set) => !elements.any(|id| program.sets[set.0 as usize].contains(id)),
            Check::Contains(operand) => elements.any(|id| id == pattern(operand)),
            Check::NotContains(operand) => !elements.any(|id| id == pattern(operand)),
            Check::Set => elements.len() > 0,
            Check::NotSet => elements.len() == 0,
            Check::Never => false,
            Check::Always => true,
            Check::GreaterThan(_)
            | Check::LessThan(_)
            | Check::After(_)
            | Check::Before(_)
            | Check::DateAfter(_)
            | Check::DateBefore(_)
            | Check::IsTrue(_)
            | Check::IsFalse(_) => {
                self.failed = true;
                false
            }
        }
    }

    /// The bucket of a salt's attribute, hashed once per context; none when it is missing.
    pub(super) fn bucket(&mut self, salt: SaltIndex) -> Option<u32> {
        let known = self.context.buckets[salt.0 as usize];
        if known != UNKNOWN_BUCKET {
            return Some(known);
        }
        let salted = &self.program.salts[salt.0 as usize];
        let value = self.context.slot(salted.slot);
        match value.content {
            Content::Text => {
                let bucket = salted.bucket(self.context.text_of(value));
                self.context.buckets[salt.0 as usize] = bucket;
                Some(bucket)
            }
            Content::List => {
                self.failed = true;
                None
            }
            Content::Missing => {
                self.report_missing(salted.slot);
                None
            }
        }
    }

    fn report_missing(&mut self, slot: Slot) -> bool {
        if self.program.generation == Generation::V1_1 {
            self.failed = true;
        }
        let reported = &mut self.context.reported[slot.0 as usize];
        if *reported != self.context.lists {
            *reported = self.context.lists;
            self.missing.push(slot);
        }
        false
    }
}
