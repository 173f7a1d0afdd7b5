//! Lowers the rules of segments, and finds features that depend on themselves.

use std::collections::{BTreeSet, HashMap};

use crate::evaluate::flagsmith::{Check, FeatureIndex, LeafIndex, Node, Property, Source, Test};
use crate::model::flagsmith::{Environment, Rule, RuleKind, Segment};

use super::conditions::Conditions;

/// The rules of all segments.
pub(super) struct Rules {
    pub(super) nodes: Vec<Node>,
    /// Per segment.
    pub(super) roots: Vec<u32>,
    /// Per segment: the flags that its rules ask for.
    pub(super) asks: Vec<Vec<FeatureIndex>>,
    /// Features on a circle of flag dependencies.
    pub(super) circular: BTreeSet<FeatureIndex>,
}

/// Longest chain of flags that depend on each other; what is longer is treated as a circle, so that
/// no document can use up the stack.
const CHAIN: usize = 64;

/// A rule before it is laid out. Children that cost more come later: none has side effects.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Tree {
    Constant(bool),
    Leaf(LeafIndex),
    Group(Test, Vec<Tree>),
}

impl Rules {
    pub(super) fn compile(
        environment: &Environment,
        segments: &[&Segment],
        names: &HashMap<&str, FeatureIndex>,
        conditions: &mut Conditions<'_>,
    ) -> Self {
        let mut trees = Vec::new();
        let mut asks = Vec::new();
        for segment in segments {
            let seen = conditions.flags.len();
            trees.push(segment_tree(segment, conditions));
            asks.push(conditions.flags.split_off(seen));
        }
        let circular = circular(environment, names, &asks);
        let mut rules = Self { nodes: Vec::new(), roots: Vec::new(), asks: Vec::new(), circular };
        for (tree, flags) in trees.into_iter().zip(&asks) {
            // A segment that touches a circle does not match.
            let touches = flags.iter().any(|flag| rules.circular.contains(flag));
            let tree = if touches { Tree::Constant(false) } else { tree };
            rules.roots.push(rules.nodes.len() as u32);
            rules.lay_out(&tree);
        }
        Self { asks, ..rules }
    }

    fn lay_out(&mut self, tree: &Tree) {
        let at = self.nodes.len();
        let test = match tree {
            Tree::Constant(value) => Test::Constant(*value),
            Tree::Leaf(leaf) => Test::Leaf(*leaf),
            Tree::Group(test, _) => *test,
        };
        self.nodes.push(Node { end: 0, test });
        if let Tree::Group(_, children) = tree {
            for child in children {
                self.lay_out(child);
            }
        }
        self.nodes[at].end = self.nodes.len() as u32;
    }
}

fn segment_tree(segment: &Segment, conditions: &mut Conditions<'_>) -> Tree {
    if segment.rules.is_empty() {
        return Tree::Constant(false);
    }
    let rules = segment.rules.iter().map(|rule| rule_tree(segment, rule, conditions)).collect();
    group(RuleKind::All, rules, conditions)
}

fn rule_tree(segment: &Segment, rule: &Rule, conditions: &mut Conditions<'_>) -> Tree {
    let half = |kind, children: Vec<Tree>, conditions: &Conditions<'_>| {
        // An empty half holds, whatever joins it.
        if children.is_empty() { Tree::Constant(true) } else { group(kind, children, conditions) }
    };
    let leaves = rule.conditions.iter().map(|c| Tree::Leaf(conditions.leaf(segment, c))).collect();
    let first = half(rule.kind, leaves, conditions);
    let inner = rule.rules.iter().map(|inner| rule_tree(segment, inner, conditions)).collect();
    let second = half(rule.kind, inner, conditions);
    group(RuleKind::All, vec![first, second], conditions)
}

/// Joins children, constants taken out and single ones not wrapped.
fn group(kind: RuleKind, children: Vec<Tree>, conditions: &Conditions<'_>) -> Tree {
    let mut kept = Vec::new();
    for child in children {
        match (kind, child) {
            (RuleKind::All, Tree::Constant(true))
            | (RuleKind::Any | RuleKind::None, Tree::Constant(false)) => {}
            (RuleKind::All, Tree::Constant(false)) | (RuleKind::None, Tree::Constant(true)) => {
                return Tree::Constant(false);
            }
            (RuleKind::Any, Tree::Constant(true)) => return Tree::Constant(true),
            // What is joined the same way need not stand apart.
            (RuleKind::All, Tree::Group(Test::All, inner))
            | (RuleKind::Any, Tree::Group(Test::Any, inner)) => kept.extend(inner),
            (_, child) => kept.push(child),
        }
    }
    kept.sort_by_key(|child| cost(child, conditions));
    match (kind, kept.len()) {
        (RuleKind::All | RuleKind::None, 0) => Tree::Constant(true),
        (RuleKind::Any, 0) => Tree::Constant(false),
        (RuleKind::All | RuleKind::Any, 1) => kept.swap_remove(0),
        (RuleKind::All, _) => Tree::Group(Test::All, kept),
        (RuleKind::Any, _) => Tree::Group(Test::Any, kept),
        (RuleKind::None, _) => Tree::Group(Test::None, kept),
    }
}

fn cost(tree: &Tree, conditions: &Conditions<'_>) -> u32 {
    match tree {
        Tree::Constant(_) => 0,
        Tree::Leaf(leaf) => match conditions.check(*leaf) {
            Check::Never | Check::IsSet | Check::IsNotSet => 0,
            Check::Lookup => 1,
            Check::Compare(..)
            | Check::Contains(_)
            | Check::NotContains(_)
            | Check::Modulo { .. } => 2,
            Check::Split(..) => 8,
            Check::Regex(_) => 9,
        },
        Tree::Group(_, children) => {
            children.iter().map(|child| cost(child, conditions)).max().unwrap_or(0)
        }
    }
}

/// Features on a circle, or on a chain that is too long. A feature depends on the flags that the
/// segments ask for which override it.
fn circular(
    environment: &Environment,
    names: &HashMap<&str, FeatureIndex>,
    dependencies: &[Vec<FeatureIndex>],
) -> BTreeSet<FeatureIndex> {
    let count = environment.features.len();
    let mut edges: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); count];
    for (segment, flags) in environment.segments.iter().zip(dependencies) {
        for overriding in &segment.overrides {
            if let Some(feature) = names.get(&*overriding.state.feature) {
                edges[feature.0 as usize].extend(flags.iter().map(|flag| flag.0 as usize));
            }
        }
    }
    // Features whose dependencies are all settled are settled, with one more than their longest
    // chain. What is never settled is on a circle or depends on one.
    let mut depth: Vec<Option<usize>> = vec![None; count];
    loop {
        let mut moved = false;
        for feature in 0..count {
            if depth[feature].is_none() {
                let below = edges[feature]
                    .iter()
                    .try_fold(0, |deepest: usize, &on| Some(deepest.max(depth[on]? + 1)));
                moved |= below.is_some();
                depth[feature] = below;
            }
        }
        if !moved {
            break;
        }
    }
    let too_long = |feature: &usize| depth[*feature].is_some_and(|depth| depth > CHAIN);
    let unsettled: BTreeSet<usize> = (0..count).filter(|&f| depth[f].is_none()).collect();
    let on_circle = |feature: &usize| {
        let mut seen = BTreeSet::new();
        let mut open: Vec<usize> = edges[*feature].iter().copied().collect();
        while let Some(next) = open.pop() {
            if next == *feature {
                return true;
            }
            if unsettled.contains(&next) && seen.insert(next) {
                open.extend(&edges[next]);
            }
        }
        false
    };
    let circles = unsettled.iter().copied().filter(on_circle);
    circles.chain((0..count).filter(too_long)).map(|f| FeatureIndex(f as u32)).collect()
}

/// Whether a property asks for a flag, and for which.
pub(super) fn flag_of(property: &Property) -> Option<FeatureIndex> {
    match property {
        Property::Path(_, Source::Flag(feature, _)) => Some(*feature),
        _ => None,
    }
}
