//! A ruleset in executable form.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::value::RawValue;

use super::{Attributes, Outcomes, Places, Salt, SaltIndex, Slot, ValueId, Values};
use crate::model::Generation;

/// One environment's flags, compiled. Immutable.
#[derive(Debug, Default)]
pub struct Program {
    /// Which semantics the rules were compiled for.
    pub generation: Generation,
    /// Names that rules read.
    pub attributes: Attributes,
    /// Operands that are compared for equality.
    pub values: Values,
    /// In the source's order.
    pub flags: Vec<FlagProgram>,
    /// Comparisons of attributes, each once however many rules ask for it, like ones together.
    pub leaves: Vec<Leaf>,
    /// How many of them every evaluation of all flags asks. Behind them are rollouts in groups: a
    /// hash costs more than to find out whether it is needed.
    pub asked: usize,
    /// All condition trees in depth-first order, one behind the other; a [`RuleList`] is a run of
    /// them.
    pub nodes: Vec<Node>,
    /// Groups of comparisons that are rules or parts of rules, like ones together, inner ones
    /// before those that hold them.
    pub groups: Vec<Group>,
    /// Their children, one group behind the other.
    pub children: Vec<AnswerIndex>,
    /// Answers of rules that are groups, by the index of their root.
    pub group_answers: HashMap<u32, AnswerIndex>,
    /// Operand lists of `ANY_OF` and `NOT_ANY_OF`.
    pub sets: Vec<IdSet>,
    /// Operands of `CONTAINS` and `NOT_CONTAINS`.
    pub patterns: Vec<Pattern>,
    /// Rollout salts.
    pub salts: Vec<Salt>,
    /// Numbers of all that flags can come to, for dialects of other vendors.
    pub outcomes: Outcomes,
    /// Where flags are, by key.
    pub places: Places,
}

/// Number of a flag in its program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlagIndex(pub u32);

/// One flag's rules.
#[derive(Clone, Debug)]
pub struct FlagProgram {
    /// The flag's key.
    pub key: Box<str>,
    /// Whether publishable keys see it: decided here once, for all dialects.
    pub public: bool,
    /// Any match turns the flag on.
    pub targeting: RuleList,
    /// The first match is the variant.
    pub config: Option<RuleList>,
    /// Version of the flag's targeting.
    pub version: u64,
    /// In the order of the rules that choose them.
    pub variants: Vec<VariantProgram>,
}

/// What a flag can carry.
#[derive(Clone, Debug)]
pub struct VariantProgram {
    /// Name of the variant.
    pub key: Box<str>,
    /// Any JSON but null, as the text that came.
    pub payload: Option<Arc<RawValue>>,
}

/// A run of trees in [`Program::nodes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleList {
    /// Index of the first rule's root.
    pub first: u32,
    /// Number of rules.
    pub len: u32,
}

/// One condition of a tree, followed by its children.
#[derive(Clone, Copy, Debug)]
pub struct Node {
    /// Index after the last node of this subtree.
    pub end: u32,
    /// What is asked.
    pub test: Test,
}

/// What a node asks.
#[derive(Clone, Copy, Debug)]
pub enum Test {
    /// Nothing.
    Constant(bool),
    /// All children hold.
    All,
    /// A child holds.
    Any,
    /// The only child does not hold.
    Not,
    /// An attribute passes a check.
    Attribute(LeafIndex),
}

/// A comparison of one attribute.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Leaf {
    /// The attribute.
    pub slot: Slot,
    /// What is asked of it.
    pub check: Check,
}

/// Number of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeafIndex(pub u32);

/// Number of an answer: first come the leaves, then no, then yes, then the groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerIndex(pub u32);

/// A group whose answer follows from the answers of its children.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    /// How.
    pub kind: GroupKind,
    /// From where to where in [`Program::children`].
    pub children: (u32, u32),
}

/// How the answer of a group follows from those of its children.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum GroupKind {
    /// All hold.
    All,
    /// One holds.
    Any,
    /// The only one does not hold.
    Not,
}

/// A check of one attribute that is present. Operands are ready to be compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Check {
    /// False whatever the text: an operand that nothing equals.
    Never,
    /// An operator that this build does not know, or one for single texts whose operand nothing can
    /// be compared with: false for text, an error for lists.
    Unanswerable,
    /// True whatever the text: the negation of [`Check::Never`].
    Always,
    /// Equal to the operand.
    Is(ValueId),
    /// Not equal to the operand.
    IsNot(ValueId),
    /// Among the operands.
    AnyOf(SetIndex),
    /// Not among the operands.
    NotAnyOf(SetIndex),
    /// Holds the operand, letter case aside.
    Contains(PatternIndex),
    /// Lacks the operand, letter case aside.
    NotContains(PatternIndex),
    /// A number above the operand.
    GreaterThan(f64),
    /// A number below the operand.
    LessThan(f64),
    /// A moment later than so many days ago.
    After(f64),
    /// A moment earlier than so many days ago.
    Before(f64),
    /// This moment (milliseconds) or later.
    DateAfter(i64),
    /// This moment (milliseconds) or earlier.
    DateBefore(i64),
    /// Not empty.
    Set,
    /// Empty.
    NotSet,
    /// Exactly `true`, whose number this is.
    IsTrue(ValueId),
    /// Exactly `false`, whose number this is.
    IsFalse(ValueId),
    /// In a bucket below the threshold.
    Rollout(SaltIndex, u32),
}

impl Check {
    /// A number for each kind of check.
    pub fn kind(self) -> u8 {
        match self {
            Self::Never => 0,
            Self::Always => 1,
            Self::Is(_) => 2,
            Self::IsNot(_) => 3,
            Self::AnyOf(_) => 4,
            Self::NotAnyOf(_) => 5,
            Self::Contains(_) => 6,
            Self::NotContains(_) => 7,
            Self::GreaterThan(_) => 8,
            Self::LessThan(_) => 9,
            Self::After(_) => 10,
            Self::Before(_) => 11,
            Self::DateAfter(_) => 12,
            Self::DateBefore(_) => 13,
            Self::Set => 14,
            Self::NotSet => 15,
            Self::IsTrue(_) => 16,
            Self::IsFalse(_) => 17,
            Self::Unanswerable => 18,
            Self::Rollout(..) => 19,
        }
    }
}

/// Number of an operand list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetIndex(pub u32);

/// Number of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PatternIndex(pub u32);

/// An operand of `CONTAINS`.
#[derive(Clone, Debug)]
pub struct Pattern {
    /// Lower-cased, for text.
    pub lower: Box<str>,
    /// As an element, for the lists of generation 1.1, which are compared exactly.
    pub element: ValueId,
}

/// A set of operands of one slot.
#[derive(Clone, Debug)]
pub enum IdSet {
    /// One bit per id: small universes, and large sets in them.
    Bits(Box<[u64]>),
    /// Ascending ids: few out of many.
    Sorted(Box<[ValueId]>),
}

impl IdSet {
    /// Takes ids in any order, of a slot that has given out `universe` ids.
    pub fn new(mut ids: Vec<ValueId>, universe: u32) -> Self {
        ids.sort_unstable();
        ids.dedup();
        let words = (universe as usize).div_ceil(64);
        // A bit set is one load per question; it may take up to four times the list's space.
        if words <= 4 || words * 8 <= ids.len() * 16 {
            let mut bits = vec![0_u64; words];
            for id in &ids {
                bits[id.0 as usize / 64] |= 1 << (id.0 % 64);
            }
            Self::Bits(bits.into())
        } else {
            Self::Sorted(ids.into())
        }
    }

    /// Whether `id` is in it.
    pub fn contains(&self, id: ValueId) -> bool {
        match self {
            Self::Bits(bits) => {
                bits.get(id.0 as usize / 64).is_some_and(|word| word >> (id.0 % 64) & 1 == 1)
            }
            Self::Sorted(ids) => ids.binary_search(&id).is_ok(),
        }
    }
}

impl Program {
    /// The flags, numbered.
    pub fn flags(&self) -> impl Iterator<Item = (FlagIndex, &FlagProgram)> {
        self.flags.iter().enumerate().map(|(at, flag)| (FlagIndex(at as u32), flag))
    }

    /// The flag of a key.
    pub fn find(&self, key: &str) -> Option<FlagIndex> {
        let place = self.places.find(key, |place| &self.flags[place].key)?;
        Some(FlagIndex(place as u32))
    }

    /// One flag.
    pub fn flag(&self, index: FlagIndex) -> &FlagProgram {
        &self.flags[index.0 as usize]
    }

    /// Whether an evaluation of all flags asks the leaf beforehand.
    pub fn is_asked(&self, leaf: LeafIndex) -> bool {
        (leaf.0 as usize) < self.asked
    }

    /// Number of the answer of a constant.
    pub fn constant(&self, value: bool) -> AnswerIndex {
        AnswerIndex(self.leaves.len() as u32 + u32::from(value))
    }

    /// Number of the first group's answer.
    pub fn first_group(&self) -> AnswerIndex {
        AnswerIndex(self.leaves.len() as u32 + 2)
    }

    /// The roots of a list's rules.
    pub fn roots(&self, list: RuleList) -> Vec<u32> {
        let after = |root: &u32| Some(self.nodes[*root as usize].end);
        std::iter::successors(Some(list.first), after).take(list.len as usize).collect()
    }

    /// The numbers of the answers of a list's rules; none when one of them has no number.
    pub fn answers(&self, list: RuleList) -> Option<Vec<AnswerIndex>> {
        let answer = |root: u32| match self.nodes[root as usize].test {
            Test::Attribute(leaf) => self.is_asked(leaf).then_some(AnswerIndex(leaf.0)),
            Test::Constant(value) => Some(self.constant(value)),
            Test::All | Test::Any | Test::Not => self.group_answers.get(&root).copied(),
        };
        self.roots(list).into_iter().map(answer).collect()
    }

    /// Index after the last node of a list.
    fn end(&self, list: RuleList) -> usize {
        (0..list.len).fold(list.first as usize, |at, _| self.nodes[at].end as usize)
    }

    /// Whether no rule of the list asks anything of a context or of the time.
    pub fn is_constant(&self, list: RuleList) -> bool {
        self.nodes[list.first as usize..self.end(list)]
            .iter()
            .all(|node| !matches!(node.test, Test::Attribute(_)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_a_set_hold_the_same_ids() {
        for universe in [1, 64, 65, 1000, 100_000] {
            let ids: Vec<ValueId> = (0..universe).step_by(97).map(ValueId).collect();
            let set = IdSet::new(ids.clone(), universe);
            for id in 0..universe {
                assert_eq!(set.contains(ValueId(id)), ids.contains(&ValueId(id)));
            }
            assert!(!set.contains(ValueId::NONE));
        }
        let few = IdSet::new(vec![ValueId(99_999), ValueId(3)], 100_000);
        assert!(matches!(few, IdSet::Sorted(_)) && few.contains(ValueId(3)));
    }
}
