//! For which flags two contexts differ, and what parts them first.

use std::fmt::Write;

use serde_json::{Value, json};

use super::text::{Condition, Explanation, Flag, Rule, Variant, short};
use crate::cli::output::{Plain, Table, count};

/// A flag for which two contexts differ.
struct Difference<'a> {
    flags: [&'a Flag; 2],
    parting: Option<Parting<'a>>,
}

/// The first thing that is not the same for both.
enum Parting<'a> {
    /// One of the two has the flag overridden by name.
    Identity,
    /// A condition of a rule, or of a variant's rule.
    Condition { of: String, conditions: [&'a Condition; 2] },
    /// A rule as a whole: its conditions hold alike, and what they are joined with does not.
    Rule(String),
    /// Where the two fall when variants are drawn.
    Share([Option<f64>; 2]),
}

/// The flags for which two explanations of one environment differ, in its order.
fn differences<'a>(a: &'a Explanation, b: &'a Explanation) -> Vec<Difference<'a>> {
    let pairs = a.flags.iter().zip(&b.flags);
    let differing = pairs
        .filter(|(a, b)| (a.enabled, &a.variant, &a.value) != (b.enabled, &b.variant, &b.value));
    differing.map(|(a, b)| Difference { flags: [a, b], parting: parting(a, b) }).collect()
}

fn parting<'a>(a: &'a Flag, b: &'a Flag) -> Option<Parting<'a>> {
    let by_name = [a, b].map(Flag::is_overridden_by_identity);
    if by_name[0] != by_name[1] {
        return Some(Parting::Identity);
    }
    let rules = a.rules.iter().zip(&b.rules).find(|(a, b)| a.matched != b.matched);
    if let Some((a, b)) = rules {
        return Some(of_rule(a.title(), a.matched, &a.conditions, &b.conditions));
    }
    let (a, b) = a.variants.iter().zip(&b.variants).find(|(a, b)| a.matched != b.matched)?;
    if a.from.is_some() {
        return Some(Parting::Share([a.hash, b.hash]));
    }
    Some(of_rule(a.title(), a.matched, &a.conditions, &b.conditions))
}

fn of_rule<'a>(of: String, a_matched: bool, a: &'a [Condition], b: &'a [Condition]) -> Parting<'a> {
    let mut differing = a.iter().zip(b).filter(|(a, b)| a.matched != b.matched);
    // A condition that holds where the rule matched says more than one that does not.
    let telling = differing.clone().find(|(a, _)| a.matched == a_matched);
    match telling.or_else(|| differing.next()) {
        Some((a, b)) => Parting::Condition { of, conditions: [a, b] },
        None => Parting::Rule(of),
    }
}

impl Rule {
    fn title(&self) -> String {
        match &self.segment {
            Some(segment) => format!("segment {segment}"),
            None => format!("rule #{}", self.index),
        }
    }
}

impl Variant {
    fn title(&self) -> String {
        format!("variant {}", self.key.as_deref().unwrap_or("without a key"))
    }
}

impl Parting<'_> {
    fn text(&self) -> String {
        match self {
            Self::Identity => "an override of the identity by name".to_owned(),
            Self::Rule(of) => of.clone(),
            Self::Share(hashes) => {
                let [a, b] = hashes.map(|hash| match hash {
                    Some(hash) => format!("{hash:.3} %"),
                    None => "nowhere: there is no identity".to_owned(),
                });
                format!("the share that was drawn: A falls at {a}, B at {b}")
            }
            Self::Condition { of, conditions: [a, b] } => {
                format!("{of}: {}; A {}, B {}", a.asked(), a.met(), b.met())
            }
        }
    }

    fn json(&self) -> Value {
        match self {
            Self::Identity => json!({"override": "identity"}),
            Self::Rule(of) => json!({"rule": of}),
            Self::Share([a, b]) => json!({"hash": {"a": a, "b": b}}),
            Self::Condition { of, conditions: [a, b] } => json!({
                "rule": of,
                "attribute": a.attribute,
                "operator": a.operator,
                "operand": a.operand,
                "a": {"actual": a.actual, "matched": a.matched, "missing": a.missing},
                "b": {"actual": b.actual, "matched": b.matched, "missing": b.missing},
            }),
        }
    }
}

/// As a document.
pub(super) fn document(a: &Explanation, b: &Explanation) -> Value {
    let told = |flag: &Flag| {
        json!({
            "enabled": flag.enabled, "variant": flag.variant, "value": flag.value,
            "reason": flag.reason,
        })
    };
    let describe = |difference: &Difference<'_>| {
        let [a, b] = difference.flags;
        let parting = difference.parting.as_ref().map(Parting::json);
        json!({"key": a.key, "a": told(a), "b": told(b), "parted_by": parting})
    };
    json!({
        "environment": a.environment,
        "version": a.version,
        "now": a.now,
        "flags": a.flags.len(),
        "differences": differences(a, b).iter().map(describe).collect::<Vec<_>>(),
    })
}

/// As people read it.
pub(super) fn report(a: &Explanation, b: &Explanation, heading: &str) -> String {
    let differences = differences(a, b);
    let mut text = format!("{heading}\nA is --context, B is --diff: ");
    let _ = match differences.len() {
        0 => writeln!(text, "{} and no difference", count(a.flags.len(), "flag")),
        differing => writeln!(text, "{differing} of {} differ\n", count(a.flags.len(), "flag")),
    };
    let mut table = Table::with_header(0, ["FLAG", "A", "B", "PARTED BY"]);
    for Difference { flags: [a, b], parting } in &differences {
        let parting = parting.as_ref().map_or_else(String::new, Parting::text);
        let (a_is, b_is) = (a.is(b), b.is(a));
        table.row([&Plain(&a.key), &Plain(&a_is), &Plain(&b_is), &Plain(&parting)]);
    }
    if !differences.is_empty() {
        let _ = write!(text, "{table}");
    }
    text
}

impl Flag {
    /// What it is, as far as it differs from another.
    fn is(&self, other: &Self) -> String {
        let mut parts = vec![self.on().to_owned()];
        if self.variant != other.variant {
            parts.push(self.variant.clone().unwrap_or_else(|| "no variant".to_owned()));
        }
        if self.value != other.value {
            parts.push(short(&self.value, 40));
        }
        parts.join(", ")
    }
}
