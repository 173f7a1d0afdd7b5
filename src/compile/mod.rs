//! Lowers a [`Ruleset`] into a [`Program`].
//!
//! Whatever can be decided before a request arrives is decided here: attribute names become slots,
//! operands are parsed, value lists become sets, salts are hashed as far as they go, thresholds
//! become bucket numbers, constants are folded. Never reads a clock, a socket or a file, and never
//! fails: a filter that this build does not know becomes one that never holds, with a diagnostic.

pub mod flagsmith;
mod groups;

use std::collections::{BTreeSet, HashMap};

use self::groups::number_groups;
use crate::evaluate::{
    Attributes, Check, FlagProgram, IdSet, Leaf, LeafIndex, Node, Outcomes, Pattern, PatternIndex,
    Places, Program, RuleList, Salt, SaltIndex, SetIndex, Slot, Test, ValueId, Values,
    VariantProgram, javascript, threshold_bucket,
};
use crate::model::{
    Condition, Filter, Flag, Generation, GroupOperator, Operand, Operator, Rollout, Ruleset,
    Variant,
};

/// What the environment's settings say about its rules.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// Which release of the rule semantics applies.
    pub generation: Generation,
    /// Which flags publishable keys may see.
    pub visibility: Visibility,
}

/// Which flags publishable keys may see (DESIGN section 6). A flag that its source marks as secret
/// never is among them.
#[derive(Clone, Debug)]
pub enum Visibility {
    /// All but these.
    Except(BTreeSet<String>),
    /// Those that the source's own service listed to a publishable key: [`Ruleset::public`].
    Learned,
}

impl Default for Visibility {
    fn default() -> Self {
        Self::Except(BTreeSet::new())
    }
}

impl Policy {
    /// Whether publishable keys may see a flag of this ruleset.
    pub fn is_public(&self, flag: &Flag, ruleset: &Ruleset) -> bool {
        !flag.secret
            && match &self.visibility {
                Visibility::Except(secret) => !secret.contains(&*flag.key),
                Visibility::Learned => {
                    ruleset.public.as_ref().is_some_and(|public| public.contains(&*flag.key))
                }
            }
    }

    /// Whether it is known which flags are public. Before that publishable keys are not served: an
    /// answer without any flag would read as "all are off".
    pub fn knows_public(&self, ruleset: &Ruleset) -> bool {
        match self.visibility {
            Visibility::Except(_) => true,
            Visibility::Learned => ruleset.public.is_some(),
        }
    }
}

/// A program and what was odd about its rules.
#[derive(Debug, Default)]
pub struct Compiled {
    /// Ready to be evaluated.
    pub program: Program,
    /// One line per oddity; the flag is served all the same.
    pub diagnostics: Vec<String>,
}

/// Compiles all flags of a ruleset.
pub fn compile(ruleset: &Ruleset, policy: &Policy) -> Compiled {
    let mut names = BTreeSet::new();
    let filters = |flag: &Flag| -> Vec<Filter> {
        let variants = flag.config.iter().flat_map(|c| &c.variants).map(|v| &v.filter);
        flag.targeting.rules.iter().chain(variants).map(fold).collect()
    };
    let folded: Vec<Vec<Filter>> = ruleset.flags.iter().map(|flag| filters(flag)).collect();
    for filter in folded.iter().flatten() {
        collect_names(filter, &mut names);
    }
    let attributes = Attributes::new(names);
    let mut compiler = Compiler {
        values: Values::new(attributes.len()),
        program: Program { generation: policy.generation, attributes, ..Program::default() },
        salts: HashMap::new(),
        leaves: HashMap::new(),
        sets: HashMap::new(),
        patterns: HashMap::new(),
        diagnostics: Vec::new(),
    };
    for (flag, filters) in ruleset.flags.iter().zip(&folded) {
        let (rules, variants) = filters.split_at(flag.targeting.rules.len());
        let targeting = compiler.list(flag, rules);
        let config = flag.config.as_ref().map(|_| compiler.list(flag, variants));
        let key = flag.key.clone();
        let public = policy.is_public(flag, ruleset);
        let version = flag.targeting.version;
        let variants = flag.config.iter().flat_map(|config| &config.variants).map(variant);
        let variants = variants.collect();
        let flag = FlagProgram { key, public, targeting, config, version, variants };
        compiler.program.flags.push(flag);
    }
    compiler.finish()
}

struct Compiler {
    program: Program,
    values: Values,
    salts: HashMap<(Slot, Box<str>), SaltIndex>,
    /// Leaves by what they hold in common, to find equal ones.
    leaves: HashMap<(Slot, u8, u64), Vec<LeafIndex>>,
    /// Sets are built once all ids of their slot are known.
    sets: HashMap<(Slot, Vec<ValueId>), SetIndex>,
    patterns: HashMap<(Slot, Box<str>), PatternIndex>,
    diagnostics: Vec<String>,
}

impl Compiler {
    fn list(&mut self, flag: &Flag, filters: &[Filter]) -> RuleList {
        let first = self.program.nodes.len() as u32;
        for filter in filters {
            self.node(flag, filter);
        }
        RuleList { first, len: filters.len() as u32 }
    }

    fn node(&mut self, flag: &Flag, filter: &Filter) {
        let at = self.program.nodes.len();
        self.program.nodes.push(Node { end: 0, test: Test::Constant(false) });
        let test = match filter {
            Filter::Constant(value) => Test::Constant(*value),
            Filter::Group { operator, filters } => {
                for filter in filters {
                    self.node(flag, filter);
                }
                match operator {
                    GroupOperator::And => Test::All,
                    GroupOperator::Or => Test::Any,
                }
            }
            Filter::Negation(inner) => {
                self.node(flag, inner);
                Test::Not
            }
            Filter::Condition(condition) => self.condition(flag, condition),
            Filter::Rollout(rollout) => self.rollout(flag, rollout),
            Filter::Unknown(kind) => {
                self.note(flag, &format!("filter type `{kind}` is not known here and never holds"));
                Test::Constant(false)
            }
        };
        self.program.nodes[at] = Node { end: self.program.nodes.len() as u32, test };
    }

    fn rollout(&mut self, flag: &Flag, rollout: &Rollout) -> Test {
        let Some(slot) = self.program.attributes.slot(&rollout.attribute) else {
            return Test::Constant(false);
        };
        if rollout.threshold.is_nan() {
            self.note(flag, "a rollout has no threshold that is a number and never holds");
        }
        let salts = &mut self.program.salts;
        let index = *self.salts.entry((slot, rollout.salt.clone())).or_insert_with(|| {
            salts.push(Salt::new(slot, &rollout.salt));
            SaltIndex(salts.len() as u32 - 1)
        });
        let check = Check::Rollout(index, threshold_bucket(rollout.threshold));
        Test::Attribute(self.leaf(Leaf { slot, check }))
    }

    fn condition(&mut self, flag: &Flag, condition: &Condition) -> Test {
        let Some(slot) = self.program.attributes.slot(&condition.attribute) else {
            return Test::Constant(false);
        };
        if condition.operands.iter().any(|operand| !matches!(operand, Operand::Text(_))) {
            let operator = condition.operator.as_wire();
            self.note(flag, &format!("`{operator}` has an operand that is not text"));
        }
        let check = self.check(flag, slot, condition);
        Test::Attribute(self.leaf(Leaf { slot, check }))
    }

    /// The leaf's number; rules that ask the same share one.
    fn leaf(&mut self, leaf: Leaf) -> LeafIndex {
        let leaves = &mut self.program.leaves;
        let same = self.leaves.entry(leaf_identity(leaf)).or_default();
        if let Some(known) = same.iter().find(|index| leaves[index.0 as usize] == leaf) {
            return *known;
        }
        leaves.push(leaf);
        let new = LeafIndex(leaves.len() as u32 - 1);
        same.push(new);
        new
    }

    fn check(&mut self, flag: &Flag, slot: Slot, condition: &Condition) -> Check {
        let operand = condition.operands.first();
        match &condition.operator {
            Operator::Is => self.equal(slot, operand).map_or(Check::Never, Check::Is),
            Operator::IsNot => self.equal(slot, operand).map_or(Check::Always, Check::IsNot),
            Operator::AnyOf => Check::AnyOf(self.set(slot, &condition.operands)),
            Operator::NotAnyOf => Check::NotAnyOf(self.set(slot, &condition.operands)),
            Operator::Contains => {
                self.pattern(flag, slot, operand).map_or(Check::Never, Check::Contains)
            }
            Operator::NotContains => {
                self.pattern(flag, slot, operand).map_or(Check::Never, Check::NotContains)
            }
            Operator::GreaterThan => Check::GreaterThan(number(operand)),
            Operator::LessThan => Check::LessThan(number(operand)),
            Operator::After => Check::After(number(operand)),
            Operator::Before => Check::Before(number(operand)),
            Operator::DateAfter => date(operand).map_or(Check::Unanswerable, Check::DateAfter),
            Operator::DateBefore => date(operand).map_or(Check::Unanswerable, Check::DateBefore),
            Operator::Set => Check::Set,
            Operator::NotSet => Check::NotSet,
            Operator::IsTrue => Check::IsTrue(self.values.intern(slot, "true")),
            Operator::IsFalse => Check::IsFalse(self.values.intern(slot, "false")),
            Operator::Unknown(name) => {
                self.note(flag, &format!("operator `{name}` is not known here and never holds"));
                Check::Unanswerable
            }
        }
    }

    fn equal(&mut self, slot: Slot, operand: Option<&Operand>) -> Option<ValueId> {
        match operand {
            Some(Operand::Text(text)) => Some(self.values.intern(slot, text)),
            _ => None,
        }
    }

    fn set(&mut self, slot: Slot, operands: &[Operand]) -> SetIndex {
        let mut ids: Vec<_> = operands.iter().filter_map(|o| self.equal(slot, Some(o))).collect();
        ids.sort_unstable();
        ids.dedup();
        let next = SetIndex(self.sets.len() as u32);
        *self.sets.entry((slot, ids)).or_insert(next)
    }

    fn pattern(
        &mut self,
        flag: &Flag,
        slot: Slot,
        operand: Option<&Operand>,
    ) -> Option<PatternIndex> {
        let Some(Operand::Text(text)) = operand else {
            // The official evaluator throws here (reflag-runtime.md 12.3).
            self.note(flag, "`CONTAINS` without text to look for never holds");
            return None;
        };
        let element = match self.program.generation {
            Generation::V1_0 => ValueId::NONE,
            Generation::V1_1 => self.values.intern(slot, text),
        };
        let patterns = &mut self.program.patterns;
        let index = self.patterns.entry((slot, text.clone())).or_insert_with(|| {
            patterns.push(Pattern { lower: javascript::case::to_lowercase(text).into(), element });
            PatternIndex(patterns.len() as u32 - 1)
        });
        Some(*index)
    }

    fn note(&mut self, flag: &Flag, what: &str) {
        self.diagnostics.push(format!("flag `{}`: {what}", flag.key));
    }

    fn finish(mut self) -> Compiled {
        let mut sets: Vec<_> = self.sets.into_iter().collect();
        sets.sort_by_key(|(_, index)| index.0);
        for ((slot, ids), _) in sets {
            self.program.sets.push(IdSet::new(ids, self.values.count(slot)));
        }
        self.program.values = self.values;
        sort_leaves(&mut self.program);
        number_groups(&mut self.program);
        self.program.outcomes = Outcomes::number(&self.program);
        let keys: Vec<&str> = self.program.flags.iter().map(|flag| &*flag.key).collect();
        self.program.places = Places::new(&keys);
        Compiled { program: self.program, diagnostics: self.diagnostics }
    }
}

fn variant(variant: &Variant) -> VariantProgram {
    let payload = variant.payload.as_ref().filter(|payload| payload.get() != "null");
    VariantProgram { key: variant.key.clone(), payload: payload.cloned() }
}

/// What tells most unequal leaves apart.
fn leaf_identity(Leaf { slot, check }: Leaf) -> (Slot, u8, u64) {
    let operand = match check {
        Check::Is(id) | Check::IsNot(id) => u64::from(id.0),
        Check::GreaterThan(number)
        | Check::LessThan(number)
        | Check::After(number)
        | Check::Before(number) => number.to_bits(),
        Check::DateAfter(moment) | Check::DateBefore(moment) => moment.cast_unsigned(),
        Check::AnyOf(set) | Check::NotAnyOf(set) => u64::from(set.0),
        Check::Contains(pattern) | Check::NotContains(pattern) => u64::from(pattern.0),
        Check::Rollout(salt, end) => u64::from(salt.0) << 32 | u64::from(end),
        _ => 0,
    };
    (slot, check.kind(), operand)
}

/// Puts like leaves together, so that answering all of them is a few loops, and rollouts that stand
/// in groups only behind the others.
fn sort_leaves(program: &mut Program) {
    let mut is_rule = vec![false; program.leaves.len()];
    let lists = program.flags.iter().flat_map(|flag| [Some(flag.targeting), flag.config]);
    for root in lists.flatten().flat_map(|list| program.roots(list)) {
        if let Test::Attribute(leaf) = program.nodes[root as usize].test {
            is_rule[leaf.0 as usize] = true;
        }
    }
    let is_asked =
        |place: usize| is_rule[place] || !matches!(program.leaves[place].check, Check::Rollout(..));
    let mut order: Vec<usize> = (0..program.leaves.len()).collect();
    order.sort_by_key(|&place| {
        let Leaf { slot, check } = program.leaves[place];
        (!is_asked(place), check.kind(), slot)
    });
    program.asked = order.partition_point(|&place| is_asked(place));
    let mut moved_to = vec![LeafIndex(0); order.len()];
    for (to, &from) in order.iter().enumerate() {
        moved_to[from] = LeafIndex(to as u32);
    }
    program.leaves = order.iter().map(|&place| program.leaves[place]).collect();
    for node in &mut program.nodes {
        if let Test::Attribute(leaf) = &mut node.test {
            *leaf = moved_to[leaf.0 as usize];
        }
    }
}

fn number(operand: Option<&Operand>) -> f64 {
    match operand {
        Some(Operand::Text(text)) => javascript::number::parse(text),
        Some(Operand::Number(number)) => *number,
        Some(Operand::Opaque) | None => f64::NAN,
    }
}

fn date(operand: Option<&Operand>) -> Option<i64> {
    match operand {
        Some(Operand::Text(text)) => javascript::date::parse(text),
        // `new Date(number)` takes milliseconds, cut towards zero, within its own range.
        Some(Operand::Number(number)) => (number.abs() <= 8.64e15).then_some(*number as i64),
        Some(Operand::Opaque) | None => None,
    }
}

/// Takes constants out of groups where nothing can tell: what evaluation would not reach is
/// dropped, but a condition that it would reach stays, since it may report its attribute missing.
fn fold(filter: &Filter) -> Filter {
    match filter {
        Filter::Group { operator, filters } => {
            let neutral = *operator == GroupOperator::And;
            let mut kept = Vec::new();
            for filter in filters.iter().map(fold) {
                if filter == Filter::Constant(neutral) {
                    continue;
                }
                let decides = filter == Filter::Constant(!neutral);
                kept.push(filter);
                if decides {
                    break;
                }
            }
            match kept.len() {
                0 => Filter::Constant(neutral),
                1 => kept.swap_remove(0),
                _ => Filter::Group { operator: *operator, filters: kept },
            }
        }
        Filter::Negation(inner) => match fold(inner) {
            Filter::Constant(value) => Filter::Constant(!value),
            inner => Filter::Negation(Box::new(inner)),
        },
        other => other.clone(),
    }
}

fn collect_names<'a>(filter: &'a Filter, names: &mut BTreeSet<&'a str>) {
    match filter {
        Filter::Constant(_) | Filter::Unknown(_) => {}
        Filter::Group { filters, .. } => filters.iter().for_each(|f| collect_names(f, names)),
        Filter::Negation(inner) => collect_names(inner, names),
        Filter::Condition(condition) => drop(names.insert(&condition.attribute)),
        Filter::Rollout(rollout) => drop(names.insert(&rollout.attribute)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(attribute: &str) -> Filter {
        Filter::Condition(Condition {
            attribute: attribute.into(),
            operator: Operator::Set,
            operands: vec![],
        })
    }

    fn group(operator: GroupOperator, filters: Vec<Filter>) -> Filter {
        Filter::Group { operator, filters }
    }

    #[test]
    fn constants_are_folded_where_nothing_can_tell() {
        let (on, off) = (Filter::Constant(true), Filter::Constant(false));
        let a = condition("a");
        let and = |filters| group(GroupOperator::And, filters);
        let or = |filters| group(GroupOperator::Or, filters);
        assert_eq!(fold(&and(vec![])), on);
        assert_eq!(fold(&or(vec![])), off);
        assert_eq!(fold(&and(vec![on.clone(), a.clone()])), a);
        assert_eq!(fold(&and(vec![off.clone(), a.clone()])), off);
        assert_eq!(fold(&or(vec![on.clone(), a.clone()])), on);
        assert_eq!(fold(&Filter::Negation(Box::new(or(vec![])))), on);
        let reached = and(vec![a.clone(), off.clone()]);
        assert_eq!(fold(&reached), reached, "the condition may still report its attribute");
        assert_eq!(fold(&and(vec![off, on, a])), Filter::Constant(false));
    }
}
