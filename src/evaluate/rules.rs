//! Walks the rules of a program (reflag-runtime.md 12.2 to 12.7).

use super::context::{Content, SlotValue, UNKNOWN_ANSWER, UNKNOWN_BUCKET};
use super::{
    AnswerIndex, Check, EvaluationContext, GroupKind, Leaf, LeafIndex, PatternIndex, Program,
    RuleList, SaltIndex, SetIndex, Slot, Test, ValueId, javascript,
};
use crate::model::Generation;
use crate::time::Timestamp;

/// What a leaf can come to.
const FALSE: u8 = 0;
const TRUE: u8 = 1;
/// The attribute is missing: no, and to be reported.
const MISSING: u8 = 2;
/// The check has no meaning for what the attribute holds: no, and the rule fails.
const ERROR: u8 = 3;

/// What the rules of one list said.
#[derive(Clone, Debug, Default)]
pub struct RuleOutcome {
    /// The first rule that matched.
    pub matched: Option<u32>,
    /// One bit for each of the first 64 rules, the first rule lowest.
    pub bits: u64,
    /// The same for the rules behind them.
    pub more: Vec<u64>,
    /// Attributes that a rule asked for in vain: each once, in the order of asking.
    pub missing: Vec<Slot>,
}

impl RuleOutcome {
    /// Whether rule `index` matched.
    pub fn result(&self, index: u32) -> bool {
        let word = match index / 64 {
            0 => self.bits,
            word => self.more.get(word as usize - 1).copied().unwrap_or(0),
        };
        word >> (index % 64) & 1 == 1
    }

    fn set(&mut self, index: u32) {
        self.matched = self.matched.or(Some(index));
        match index / 64 {
            0 => self.bits |= 1 << index,
            word => self.more[word as usize - 1] |= 1 << (index % 64),
        }
    }
}

/// Evaluates rule lists of one program for one context at one moment.
#[derive(Debug)]
pub struct Evaluator<'a> {
    program: &'a Program,
    context: &'a mut EvaluationContext,
    now: Timestamp,
    /// Generation 1.1: something in the present rule could not be answered.
    failed: bool,
}

impl<'a> Evaluator<'a> {
    /// `context` must have been filled for this `program`.
    pub fn new(program: &'a Program, context: &'a mut EvaluationContext, now: Timestamp) -> Self {
        Self { program, context, now, failed: false }
    }

    /// The program that is evaluated.
    pub fn program(&self) -> &'a Program {
        self.program
    }

    /// What the list that was evaluated last said.
    pub fn outcome(&self) -> &RuleOutcome {
        &self.context.outcome
    }

    /// Evaluates every rule of `list`; the first match decides, all are reported.
    pub fn evaluate(&mut self, list: RuleList) -> &RuleOutcome {
        self.context.lists += 1;
        let outcome = &mut self.context.outcome;
        outcome.matched = None;
        outcome.bits = 0;
        outcome.more.clear();
        outcome.missing.clear();
        if list.len > 64 {
            outcome.more.resize(list.len.div_ceil(64) as usize - 1, 0);
        }
        let mut root = list.first as usize;
        for index in 0..list.len {
            self.failed = false;
            if self.holds(root) && !self.failed {
                self.context.outcome.set(index);
            }
            root = self.program.nodes[root].end as usize;
        }
        &self.context.outcome
    }

    #[inline]
    fn holds(&mut self, at: usize) -> bool {
        match self.program.nodes[at].test {
            Test::Attribute(leaf) => match self.context.answers[leaf.0 as usize] {
                FALSE => false,
                TRUE => true,
                other => self.leaf_holds(leaf, other),
            },
            Test::Constant(value) => value,
            Test::All | Test::Any | Test::Not => self.group_holds(at),
        }
    }

    /// A leaf that is not known yet, or whose answer has to be reported.
    #[inline(never)]
    fn leaf_holds(&mut self, leaf: LeafIndex, mut answer: u8) -> bool {
        if answer == UNKNOWN_ANSWER {
            answer = self.answer(self.program.leaves[leaf.0 as usize]);
            self.context.answers[leaf.0 as usize] = answer;
        }
        match answer {
            MISSING => self.report_missing(self.program.leaves[leaf.0 as usize].slot),
            ERROR => {
                self.failed = true;
                false
            }
            answer => answer == TRUE,
        }
    }

    /// Answers all leaves and groups. Like ones lie together, so this is a few loops over integers;
    /// who evaluates many flags starts with it, who evaluates one asks for its leaves only.
    pub fn answer_all(&mut self) {
        self.answer_all_leaves();
        let place = self.program.first_group().0 as usize;
        for (group, place) in self.program.groups.iter().zip(place..) {
            let (first, end) = group.children;
            let (mut all, mut any) = (TRUE, FALSE);
            for child in &self.program.children[first as usize..end as usize] {
                let answer = self.context.answers[child.0 as usize];
                all &= answer;
                any |= answer;
            }
            let holds = match group.kind {
                GroupKind::All => all & TRUE,
                GroupKind::Any => any & TRUE,
                GroupKind::Not => !any & TRUE,
            };
            // A child that has more to say than yes or no may be one that is never asked.
            let unclear = if any > TRUE { MISSING } else { 0 };
            self.context.answers[place] = holds | unclear;
        }
    }

    fn answer_all_leaves(&mut self) {
        let leaves = &self.program.leaves[..self.program.asked];
        // Leaves of one kind on one attribute follow each other: its text is read once for them.
        let mut number: Option<(Slot, f64)> = None;
        let mut date: Option<(Slot, Option<i64>)> = None;
        for (leaf, place) in leaves.iter().zip(0..) {
            let answer = match (leaf.check, self.id(leaf.slot)) {
                (Check::Is(id), Some(held)) => u8::from(held == id),
                (Check::IsNot(id), Some(held)) => u8::from(held != id),
                (Check::AnyOf(set), Some(held)) => {
                    u8::from(self.program.sets[set.0 as usize].contains(held))
                }
                (Check::NotAnyOf(set), Some(held)) => {
                    u8::from(!self.program.sets[set.0 as usize].contains(held))
                }
                (Check::GreaterThan(operand), Some(_)) => {
                    u8::from(self.number(leaf.slot, &mut number) > operand)
                }
                (Check::LessThan(operand), Some(_)) => {
                    u8::from(self.number(leaf.slot, &mut number) < operand)
                }
                (Check::DateAfter(moment), Some(_)) => {
                    u8::from(self.date(leaf.slot, &mut date).is_some_and(|date| date >= moment))
                }
                (Check::DateBefore(moment), Some(_)) => {
                    u8::from(self.date(leaf.slot, &mut date).is_some_and(|date| date <= moment))
                }
                _ => self.answer(*leaf),
            };
            self.context.answers[place] = answer;
        }
    }

    /// An attribute's text as a number, read unless it was the last one that was.
    fn number(&self, slot: Slot, last: &mut Option<(Slot, f64)>) -> f64 {
        match *last {
            Some((held, number)) if held == slot => number,
            _ => {
                let text = self.context.text_of(self.context.slot(slot));
                last.insert((slot, javascript::number::parse(text))).1
            }
        }
    }

    /// An attribute's text as a date, read unless it was the last one that was.
    fn date(&self, slot: Slot, last: &mut Option<(Slot, Option<i64>)>) -> Option<i64> {
        match *last {
            Some((held, date)) if held == slot => date,
            _ => {
                let text = self.context.text_of(self.context.slot(slot));
                last.insert((slot, javascript::date::parse(text))).1
            }
        }
    }

    /// The results of rules by the numbers of their answers, one bit for each, once all are
    /// answered. None when one of them has more to say than yes or no. Without a branch that depends
    /// on an answer.
    #[inline]
    pub fn results<const N: usize>(&self, rules: [AnswerIndex; N]) -> Option<u64> {
        let (mut bits, mut all) = (0, 0);
        for (index, rule) in rules.into_iter().enumerate() {
            let answer = self.context.answers[rule.0 as usize];
            bits |= u64::from(answer & TRUE) << index;
            all |= answer;
        }
        (all <= TRUE).then_some(bits)
    }

    /// The number of an attribute's text; none when it is missing or a list.
    #[inline]
    fn id(&self, slot: Slot) -> Option<ValueId> {
        let value = self.context.slot(slot);
        (value.content == Content::Text).then_some(value.id)
    }

    /// What a leaf comes to. `SET` and `NOT_SET` read a missing attribute as empty; to all others it
    /// is an answer of no, which is reported.
    fn answer(&mut self, Leaf { slot, check }: Leaf) -> u8 {
        let value = self.context.slot(slot);
        match value.content {
            Content::Text => u8::from(match check {
                Check::Rollout(salt, end) => self.bucket(salt, value) < end,
                check => self.text_passes(value, check),
            }),
            Content::List => self.list_passes(value, check).map_or(ERROR, u8::from),
            Content::Missing => match check {
                Check::Set => FALSE,
                Check::NotSet => TRUE,
                _ => MISSING,
            },
        }
    }

    /// Apart, so that single conditions, which most rules are, need no stack of their own.
    #[inline(never)]
    fn group_holds(&mut self, at: usize) -> bool {
        let node = &self.program.nodes[at];
        match node.test {
            Test::All => self.children(at, node.end, false),
            Test::Any => self.children(at, node.end, true),
            _ => !self.holds(at + 1),
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

    #[inline]
    fn text_passes(&self, value: SlotValue, check: Check) -> bool {
        let text = self.context.text_of(value);
        let pattern = |index: PatternIndex| &self.program.patterns[index.0 as usize].lower;
        let set = |index: SetIndex| self.program.sets[index.0 as usize].contains(value.id);
        let date = |holds: &dyn Fn(i64) -> bool| javascript::date::parse(text).is_some_and(holds);
        match check {
            Check::Is(id) | Check::IsTrue(id) | Check::IsFalse(id) => value.id == id,
            Check::IsNot(id) => value.id != id,
            Check::AnyOf(index) => set(index),
            Check::NotAnyOf(index) => !set(index),
            Check::Contains(index) => javascript::case::contains_lowercase(text, pattern(index)),
            Check::NotContains(index) => {
                !javascript::case::contains_lowercase(text, pattern(index))
            }
            Check::GreaterThan(operand) => javascript::number::parse(text) > operand,
            Check::LessThan(operand) => javascript::number::parse(text) < operand,
            Check::After(days) => self.compare_to_days_ago(text, days, |a, b| a > b),
            Check::Before(days) => self.compare_to_days_ago(text, days, |a, b| a < b),
            Check::DateAfter(moment) => date(&|date| date >= moment),
            Check::DateBefore(moment) => date(&|date| date <= moment),
            Check::Set => !text.is_empty(),
            Check::NotSet => text.is_empty(),
            Check::Never | Check::Unanswerable | Check::Rollout(..) => false,
            Check::Always => true,
        }
    }

    fn compare_to_days_ago(&self, text: &str, days: f64, holds: fn(i64, i64) -> bool) -> bool {
        match (javascript::date::parse(text), javascript::date::shift_days(self.now.0, days)) {
            (Some(date), Some(days_ago)) => holds(date, days_ago),
            _ => false,
        }
    }

    /// Lists exist in generation 1.1 only; none for a check that has no meaning for them.
    fn list_passes(&self, value: SlotValue, check: Check) -> Option<bool> {
        let program = self.program;
        let mut elements = self.context.elements_of(value);
        let pattern = |index: PatternIndex| program.patterns[index.0 as usize].element;
        let set = |index: SetIndex| &program.sets[index.0 as usize];
        let only = |elements: &mut dyn ExactSizeIterator<Item = ValueId>, id| {
            elements.len() == 1 && elements.next() == Some(id)
        };
        Some(match check {
            Check::Is(id) => only(&mut elements, id),
            Check::IsNot(id) => !only(&mut elements, id),
            Check::AnyOf(index) => elements.any(|id| set(index).contains(id)),
            Check::NotAnyOf(index) => !elements.any(|id| set(index).contains(id)),
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
            | Check::IsFalse(_)
            | Check::Rollout(..)
            | Check::Unanswerable => return None,
        })
    }

    /// The bucket of a text, hashed once per context.
    fn bucket(&mut self, salt: SaltIndex, value: SlotValue) -> u32 {
        let known = self.context.buckets[salt.0 as usize];
        if known != UNKNOWN_BUCKET {
            return known;
        }
        let salted = &self.program.salts[salt.0 as usize];
        let bucket = salted.bucket(self.context.text_of(value));
        self.context.buckets[salt.0 as usize] = bucket;
        bucket
    }

    #[inline(never)]
    fn report_missing(&mut self, slot: Slot) -> bool {
        if self.program.generation == Generation::V1_1 {
            self.failed = true;
        }
        let reported = &mut self.context.reported[slot.0 as usize];
        if *reported != self.context.lists {
            *reported = self.context.lists;
            self.context.outcome.missing.push(slot);
        }
        false
    }
}
