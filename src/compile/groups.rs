//! Numbers the answers of groups, behind those of leaves.
//!
//! A group of comparisons has an answer that follows from theirs without a branch, as long as none
//! of them has more to say than yes or no. Who evaluates all flags works these answers out in a few
//! even loops. A group with a leaf that is not asked beforehand is left out.

use crate::evaluate::{AnswerIndex, Group, GroupKind, Program, Test};

/// A group whose children are known.
struct Draft {
    /// Groups within groups come later.
    level: u32,
    kind: GroupKind,
    children: Vec<Child>,
}

#[derive(Clone, Copy)]
enum Child {
    Known(AnswerIndex),
    Draft(usize),
}

/// Gives every rule that is a group of comparisons an answer of its own.
pub(super) fn number_groups(program: &mut Program) {
    let mut drafts = Vec::new();
    let mut roots = Vec::new();
    let lists = program.flags.iter().flat_map(|flag| [Some(flag.targeting), flag.config]);
    for list in lists.flatten() {
        for root in program.roots(list) {
            if let Some(Child::Draft(draft)) = draft(program, root, &mut drafts) {
                roots.push((root, draft));
            }
        }
    }
    let mut order: Vec<usize> = (0..drafts.len()).collect();
    order.sort_by_key(|&draft| {
        let Draft { level, kind, children } = &drafts[draft];
        (*level, *kind, children.len())
    });
    let first = program.first_group().0;
    let mut numbers = vec![AnswerIndex(0); drafts.len()];
    for (number, &draft) in (first..).zip(&order) {
        numbers[draft] = AnswerIndex(number);
    }
    for &draft in &order {
        let begins = program.children.len() as u32;
        program.children.extend(drafts[draft].children.iter().map(|&child| match child {
            Child::Known(answer) => answer,
            Child::Draft(draft) => numbers[draft],
        }));
        let ends = program.children.len() as u32;
        program.groups.push(Group { kind: drafts[draft].kind, children: (begins, ends) });
    }
    program.group_answers = roots.into_iter().map(|(at, draft)| (at, numbers[draft])).collect();
}

/// The answer of a subtree; none when it holds a leaf that is not asked beforehand.
fn draft(program: &Program, at: u32, drafts: &mut Vec<Draft>) -> Option<Child> {
    let node = program.nodes[at as usize];
    let kind = match node.test {
        Test::Attribute(leaf) => {
            return program.is_asked(leaf).then_some(Child::Known(AnswerIndex(leaf.0)));
        }
        Test::Constant(value) => return Some(Child::Known(program.constant(value))),
        Test::All => GroupKind::All,
        Test::Any => GroupKind::Any,
        Test::Not => GroupKind::Not,
    };
    let mut children = Vec::new();
    let mut child = at + 1;
    while child < node.end {
        children.push(draft(program, child, drafts)?);
        child = program.nodes[child as usize].end;
    }
    let below = children.iter().map(|child| match child {
        Child::Known(_) => 0,
        Child::Draft(draft) => drafts[*draft].level + 1,
    });
    let level = below.max().unwrap_or(0);
    drafts.push(Draft { level, kind, children });
    Some(Child::Draft(drafts.len() - 1))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use crate::compile::{Policy, compile};
    use crate::dialect::reflag::definitions;
    use crate::evaluate::Program;

    const IS: &str = r#"{"type":"context","field":"a","operator":"IS","values":["1"]}"#;
    const ROLLOUT: &str = r#"{"type":"rolloutPercentage","key":"k","partialRolloutAttribute":"a",
        "partialRolloutThreshold":5}"#;

    fn program(filter: &str) -> Program {
        let document = format!(
            r#"{{"features":[{{"key":"f","targeting":{{"version":1,"rules":[{{"filter":{filter}}}]}}}}]}}"#
        );
        compile(&definitions::read(&Bytes::from(document)).unwrap(), &Policy::default()).program
    }

    fn group(operator: &str, filters: &[&str]) -> String {
        let filters = filters.join(",");
        format!(r#"{{"type":"group","operator":"{operator}","filters":[{filters}]}}"#)
    }

    #[test]
    fn inner_groups_are_answered_before_those_that_hold_them() {
        let not = format!(r#"{{"type":"negation","filter":{IS}}}"#);
        let program = program(&group("and", &[&group("or", &[IS, &not]), IS]));
        assert_eq!(program.groups.len(), 3);
        for (place, group) in program.groups.iter().enumerate() {
            let (first, end) = group.children;
            let own = program.first_group().0 + place as u32;
            let children = &program.children[first as usize..end as usize];
            assert!(children.iter().all(|child| child.0 < own));
        }
        let answers = program.answers(program.flags[0].targeting).unwrap();
        assert_eq!(answers[0].0, program.first_group().0 + 2, "the outermost comes last");
    }

    #[test]
    fn a_rollout_is_asked_beforehand_only_where_it_is_a_rule() {
        let alone = program(ROLLOUT);
        assert_eq!(alone.asked, 1);
        assert!(alone.answers(alone.flags[0].targeting).is_some());
        let within = program(&group("and", &[IS, ROLLOUT]));
        assert_eq!((within.leaves.len(), within.asked), (2, 1));
        assert!(within.groups.is_empty());
        assert!(within.answers(within.flags[0].targeting).is_none());
    }
}
