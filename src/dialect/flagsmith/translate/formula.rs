//! Conditions put together so that what decides nothing falls away, and laid out as rules.

use crate::json::write_string;
use crate::model::flagsmith::{Condition, Operand, Operator, Rule, RuleKind};

/// What must hold of an identity.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Formula {
    Constant(bool),
    Condition(Condition),
    All(Vec<Formula>),
    Any(Vec<Formula>),
    Not(Box<Formula>),
}

pub(super) const TRUE: Formula = Formula::Constant(true);
pub(super) const FALSE: Formula = Formula::Constant(false);

pub(super) fn all(parts: impl IntoIterator<Item = Formula>) -> Formula {
    let mut kept = Vec::new();
    for part in parts {
        match part {
            TRUE => {}
            FALSE => return FALSE,
            Formula::All(inner) => kept.extend(new(inner, &kept)),
            part if kept.contains(&part) => {}
            part => kept.push(part),
        }
    }
    match kept.len() {
        0 => TRUE,
        1 => kept.swap_remove(0),
        _ => Formula::All(kept),
    }
}

pub(super) fn any(parts: impl IntoIterator<Item = Formula>) -> Formula {
    let mut kept = Vec::new();
    for part in parts {
        match part {
            FALSE => {}
            TRUE => return TRUE,
            Formula::Any(inner) => kept.extend(new(inner, &kept)),
            part if kept.contains(&part) => {}
            part => kept.push(part),
        }
    }
    match kept.len() {
        0 => FALSE,
        1 => kept.swap_remove(0),
        _ => Formula::Any(kept),
    }
}

/// The parts that are not there yet.
fn new(parts: Vec<Formula>, kept: &[Formula]) -> Vec<Formula> {
    parts.into_iter().filter(|part| !kept.contains(part)).collect()
}

pub(super) fn not(formula: Formula) -> Formula {
    match formula {
        Formula::Constant(value) => Formula::Constant(!value),
        Formula::Not(inner) => *inner,
        other => Formula::Not(Box::new(other)),
    }
}

/// A part of a rule, or why it cannot be said.
pub(super) type Translated = Result<Formula, String>;

/// [`all`] of parts some of which cannot be said: where one that can be decides, they do not matter.
pub(super) fn all_of(parts: Vec<Translated>) -> Translated {
    if parts.contains(&Ok(FALSE)) {
        return Ok(FALSE);
    }
    Ok(all(parts.into_iter().collect::<Result<Vec<_>, _>>()?))
}

/// [`any`] of parts some of which cannot be said, as [`all_of`].
pub(super) fn any_of(parts: Vec<Translated>) -> Translated {
    if parts.contains(&Ok(TRUE)) {
        return Ok(TRUE);
    }
    Ok(any(parts.into_iter().collect::<Result<Vec<_>, _>>()?))
}

pub(super) fn condition(property: &str, operator: Operator, value: &str) -> Formula {
    let value = Operand::Text(value.into());
    Formula::Condition(Condition { property: Some(property.into()), operator, value })
}

pub(super) fn is_set(property: &str) -> Formula {
    condition(property, Operator::IsSet, "")
}

/// The rule that holds when the formula does. It is no constant.
pub(super) fn rule(formula: Formula) -> Rule {
    match formula {
        Formula::Condition(condition) => {
            Rule { kind: RuleKind::All, conditions: vec![condition], rules: vec![] }
        }
        Formula::All(parts) => {
            // Both halves are joined by "all", so it does not matter which one a part is in.
            let mut joined = Rule { kind: RuleKind::All, conditions: vec![], rules: vec![] };
            for part in parts {
                match part {
                    Formula::Condition(condition) => joined.conditions.push(condition),
                    part => joined.rules.push(rule(part)),
                }
            }
            joined
        }
        Formula::Any(parts) => choice(RuleKind::Any, parts),
        Formula::Not(inner) => match *inner {
            Formula::Any(parts) => choice(RuleKind::None, parts),
            inner => choice(RuleKind::None, vec![inner]),
        },
        // An empty rule holds; one that must not hold and one that must contradict each other.
        Formula::Constant(holds) => {
            let empty = || Rule { kind: RuleKind::All, conditions: vec![], rules: vec![] };
            let rules = if holds { vec![] } else { vec![empty()] };
            Rule { kind: RuleKind::None, conditions: vec![], rules }
        }
    }
}

/// Both halves of a rule must hold, so all parts go into one of them.
fn choice(kind: RuleKind, parts: Vec<Formula>) -> Rule {
    let is_condition = |part: &Formula| matches!(part, Formula::Condition(_));
    if parts.iter().all(is_condition) {
        let conditions = parts.into_iter().filter_map(|part| match part {
            Formula::Condition(condition) => Some(condition),
            _ => None,
        });
        return Rule { kind, conditions: conditions.collect(), rules: vec![] };
    }
    Rule { kind, conditions: vec![], rules: parts.into_iter().map(rule).collect() }
}

/// Appends a rule as it stands in a document.
pub(super) fn write_rule(rule: &Rule, out: &mut String) {
    out.push_str(match rule.kind {
        RuleKind::All => r#"{"type":"ALL","conditions":["#,
        RuleKind::Any => r#"{"type":"ANY","conditions":["#,
        RuleKind::None => r#"{"type":"NONE","conditions":["#,
    });
    for (at, condition) in rule.conditions.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        write_condition(condition, out);
    }
    out.push_str(r#"],"rules":["#);
    for (at, rule) in rule.rules.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        write_rule(rule, out);
    }
    out.push_str("]}");
}

fn write_condition(condition: &Condition, out: &mut String) {
    out.push_str(r#"{"property_":"#);
    write_string(condition.property.as_deref().unwrap_or_default(), out);
    out.push_str(r#","operator":"#);
    write_string(condition.operator.as_wire(), out);
    out.push_str(r#","value":"#);
    match &condition.value {
        Operand::Text(text) => write_string(text, out),
        // Nothing is translated into these.
        Operand::List(_) | Operand::Null => out.push_str("null"),
    }
    out.push('}');
}
