//! Attribute names as slots.
//!
//! Every name that a rule reads gets a number. The names form a tree by their dots, so that a
//! nested context is matched while it is being read: a path that no rule asks for is left at its
//! first unknown segment and never built.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use crate::json::write_string;

/// The place of one attribute in a context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u32);

/// The tree of all attribute names that a program reads.
#[derive(Debug, Default)]
pub struct Attributes {
    names: Vec<Box<str>>,
    /// The names as JSON strings, for answers that report them missing.
    json_names: Vec<Box<str>>,
    nodes: Vec<TreeNode>,
    edges: HashTable<Edge>,
    /// All nodes below the root by their whole path, for contexts that come as paths.
    paths: HashTable<(Box<str>, NodeIndex)>,
}

/// A name or the beginning of one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TreeNode {
    /// The slot when a rule reads exactly this name.
    pub(crate) slot: Option<Slot>,
    /// Slots of this name and of all names below it: they are numbered depth first.
    pub(crate) first_slot: u32,
    pub(crate) end_slot: u32,
    /// Whether a name goes on from here with a number.
    pub(crate) has_number_below: bool,
    /// The node above; the root's is itself.
    pub(crate) parent: NodeIndex,
}

/// A step in the tree. The first is [`Attributes::ROOT`].
pub(crate) type NodeIndex = u32;

#[derive(Debug)]
struct Edge {
    parent: NodeIndex,
    segment: Box<str>,
    child: NodeIndex,
}

#[derive(Default)]
struct Draft<'a> {
    full_name: Option<&'a str>,
    below: BTreeMap<&'a str, Draft<'a>>,
}

impl Attributes {
    /// The node above all names.
    pub(crate) const ROOT: NodeIndex = 0;

    /// Numbers `names`; doubles are fine.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut root = Draft::default();
        for name in names {
            let mut draft = &mut root;
            for segment in name.split('.') {
                draft = draft.below.entry(segment).or_default();
            }
            draft.full_name = Some(name);
        }
        let mut attributes = Self::default();
        attributes.add(&root, Self::ROOT, "");
        attributes
    }

    fn add(&mut self, draft: &Draft<'_>, parent: NodeIndex, path: &str) -> NodeIndex {
        let index = self.nodes.len();
        let first_slot = self.names.len() as u32;
        let slot = draft.full_name.map(|name| {
            self.names.push(name.into());
            let mut json = String::new();
            write_string(name, &mut json);
            self.json_names.push(json.into());
            Slot(first_slot)
        });
        let has_number_below = draft.below.keys().any(|segment| is_array_index(segment));
        self.nodes.push(TreeNode { slot, first_slot, end_slot: 0, has_number_below, parent });
        for (segment, below) in &draft.below {
            let dot = if index == 0 { "" } else { "." };
            let below_path = format!("{path}{dot}{segment}");
            let child = self.add(below, index as u32, &below_path);
            // Dotted contexts never reach names of JavaScript's object machinery
            // (reflag-runtime.md 3.1).
            let machinery = ["__proto__", "constructor", "prototype"];
            if !below_path.split('.').any(|segment| machinery.contains(&segment)) {
                let entry = (below_path.as_str().into(), child);
                self.paths.insert_unique(hash(0, &below_path), entry, |(path, _)| hash(0, path));
            }
            let edge = Edge { parent: index as u32, segment: (*segment).into(), child };
            self.edges
                .insert_unique(hash(edge.parent, segment), edge, |e| hash(e.parent, &e.segment));
        }
        self.nodes[index].end_slot = self.names.len() as u32;
        index as u32
    }

    /// Number of slots.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether no rule reads any attribute.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The name behind a slot.
    pub fn name(&self, slot: Slot) -> &str {
        &self.names[slot.0 as usize]
    }

    /// The name behind a slot as a JSON string, quotes included.
    pub fn json_name(&self, slot: Slot) -> &str {
        &self.json_names[slot.0 as usize]
    }

    /// The slot of a full name.
    pub fn slot(&self, name: &str) -> Option<Slot> {
        self.node(self.walk(Self::ROOT, name)?).slot
    }

    pub(crate) fn node_count(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn node(&self, index: NodeIndex) -> TreeNode {
        self.nodes[index as usize]
    }

    /// The node at the end of a whole path.
    pub(crate) fn at_path(&self, path: &str) -> Option<NodeIndex> {
        self.paths.find(hash(0, path), |(known, _)| **known == *path).map(|(_, node)| *node)
    }

    /// The node one segment below `parent`.
    pub(crate) fn child(&self, parent: NodeIndex, segment: &str) -> Option<NodeIndex> {
        self.edges
            .find(hash(parent, segment), |e| e.parent == parent && *e.segment == *segment)
            .map(|edge| edge.child)
    }

    /// The node below `from` along all segments of `dotted`.
    pub(crate) fn walk(&self, from: NodeIndex, dotted: &str) -> Option<NodeIndex> {
        dotted.split('.').try_fold(from, |node, segment| self.child(node, segment))
    }
}

/// Whether JavaScript takes a member's name as an array index, and visits it before all others.
pub(crate) fn is_array_index(name: &str) -> bool {
    name.parse::<u32>().is_ok_and(|index| index != u32::MAX && name == index.to_string())
}

fn hash(parent: NodeIndex, segment: &str) -> u64 {
    // A fixed seed is fine: only the compiler adds to this table.
    let mut hasher = FixedState::default().build_hasher();
    hasher.write_u32(parent);
    hasher.write(segment.as_bytes());
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_of_a_branch_are_neighbours() {
        let names = ["user.id", "company.id", "user.plan.tier", "user.plan", "user.id"];
        let attributes = Attributes::new(names);
        assert_eq!(attributes.len(), 4);
        for name in names {
            assert_eq!(attributes.name(attributes.slot(name).unwrap()), name);
        }
        assert_eq!(attributes.slot("user"), None);
        assert_eq!(attributes.slot("user.plan.other"), None);
        let plan = attributes.node(attributes.walk(Attributes::ROOT, "user.plan").unwrap());
        assert_eq!(plan.end_slot - plan.first_slot, 2);
    }
}
