//! Compiles what is stored to the runtime API's definitions: the features document that every edge
//! and every server SDK reads (reflag-runtime.md section 4).
//!
//! Access rules, segments, lists of companies and users, rollouts, dependencies on other flags and
//! the choice of variants all become the five filter types; nothing else is on the wire. Pure: the
//! same state gives the same bytes.
//!
//! | stored | written |
//! |---|---|
//! | everybody | one rule, `constant` |
//! | companies, users | one rule each, `company.id` or `user.id` `ANY_OF` |
//! | a segment | one rule: its rules joined by `or`; all companies: `company.id` `SET` |
//! | an access rule | one rule: its conditions joined by `and`, then `rolloutPercentage` unless it is for all |
//! | a condition on a segment or flag | that one's filter, below `negation` where it must not hold |
//! | variants | users, companies, segments in their order, default: the first match counts |

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use bytes::Bytes;

use super::model::{
    Condition, ConfigTargeting, EnvironmentState, FlagState, Rule, Segment, SegmentId, SegmentKind,
    limits,
};
use crate::json::write_string;

/// The features document of an environment.
pub fn document(state: &EnvironmentState) -> Bytes {
    document_of(state, |_| true)
}

/// The same, with nothing but the flags that are `wanted`. What they depend on is part of them.
pub(super) fn document_of(state: &EnvironmentState, wanted: impl Fn(&FlagState) -> bool) -> Bytes {
    let writing = Writing::new(state);
    let mut out =
        format!("{{\"success\":true,\"flagStateVersion\":{},\"features\":[", state.version);
    let served = state.flags.iter().filter(|flag| !flag.flag.archived && wanted(flag));
    for (index, flag) in served.enumerate() {
        comma(index, &mut out);
        writing.flag(flag, &mut out);
    }
    out.push_str("]}");
    Bytes::from(out)
}

struct Writing<'a> {
    segments: HashMap<&'a SegmentId, &'a Segment>,
    flags: HashMap<&'a str, &'a FlagState>,
}

impl<'a> Writing<'a> {
    fn new(state: &'a EnvironmentState) -> Self {
        Self {
            segments: state.segments.iter().map(|segment| (&segment.id, segment)).collect(),
            flags: state.flags.iter().map(|flag| (flag.flag.key.as_str(), flag)).collect(),
        }
    }

    fn flag(&self, state: &FlagState, out: &mut String) {
        let FlagState { flag, variants, targeting } = state;
        out.push_str("{\"key\":");
        write_string(&flag.key, out);
        out.push_str(",\"description\":");
        match &flag.description {
            Some(description) => write_string(description, out),
            None => out.push_str("null"),
        }
        if let Some(stage) = &flag.stage {
            out.push_str(",\"stage\":");
            write_string(&stage.name, out);
        }
        if flag.secret {
            out.push_str(",\"secret\":true");
        }
        let _ = write!(out, ",\"targeting\":{{\"version\":{},\"rules\":[", targeting.version);
        for (index, filter) in self.access(state, 0).iter().enumerate() {
            comma(index, out);
            out.push_str("{\"filter\":");
            out.push_str(filter);
            out.push('}');
        }
        out.push_str("]}");
        if !variants.is_empty() {
            let version = targeting.config_version;
            let _ = write!(out, ",\"config\":{{\"version\":{version},\"variants\":[");
            let payloads: HashMap<&str, &str> = variants
                .iter()
                .map(|variant| (&*variant.key, variant.payload.as_deref().unwrap_or("null")))
                .collect();
            for (index, (key, filter)) in self.choices(&targeting.config).iter().enumerate() {
                comma(index, out);
                out.push_str("{\"key\":");
                write_string(key, out);
                out.push_str(",\"payload\":");
                out.push_str(payloads.get(key.as_str()).unwrap_or(&"null"));
                out.push_str(",\"filter\":");
                out.push_str(filter);
                out.push('}');
            }
            out.push_str("]}");
        }
        out.push('}');
    }

    /// The filters of which one is enough to have the flag on.
    fn access(&self, state: &FlagState, depth: usize) -> Vec<String> {
        let targeting = &state.targeting;
        if targeting.access.everyone {
            return vec![constant(true)];
        }
        let lists = [("company.id", &targeting.company_ids), ("user.id", &targeting.user_ids)];
        let listed = lists.into_iter().filter(|(_, ids)| !ids.is_empty());
        let mut filters: Vec<_> =
            listed.map(|(attribute, ids)| context(attribute, "ANY_OF", ids)).collect();
        filters.extend(targeting.access.segments.iter().map(|segment| self.segment(segment)));
        let rules = targeting.access.rules.iter();
        filters.extend(rules.map(|rule| self.rule(rule, &state.flag.key, depth)));
        filters
    }

    /// `salt` is the flag's key: the service has them equal, so that rollouts of two flags fall
    /// differently.
    fn rule(&self, rule: &Rule, salt: &str, depth: usize) -> String {
        let mut filters: Vec<_> =
            rule.conditions.iter().map(|condition| self.condition(condition, depth)).collect();
        if !rule.percentage.is_everyone() {
            let mut rollout = "{\"type\":\"rolloutPercentage\",\"key\":".to_owned();
            write_string(salt, &mut rollout);
            rollout.push_str(",\"partialRolloutAttribute\":");
            write_string(&rule.rollout_attribute, &mut rollout);
            let threshold = rule.percentage.threshold();
            let _ = write!(rollout, ",\"partialRolloutThreshold\":{threshold}}}");
            filters.push(rollout);
        }
        joined("and", filters)
    }

    fn condition(&self, condition: &Condition, depth: usize) -> String {
        match condition {
            Condition::Attribute { attribute, operator, values } => {
                context(attribute, operator, values)
            }
            Condition::Segment { segment, matches } => negated(self.segment(segment), !matches),
            Condition::Flag { flag, enabled } => {
                // What the store lets in ends sooner. Nothing that came in otherwise goes on for
                // ever.
                let other = self.flags.get(flag.as_str()).filter(|_| depth <= limits::FLAG_DEPTH);
                let filter = match other {
                    Some(other) if !other.flag.archived => {
                        joined("or", self.access(other, depth + 1))
                    }
                    _ => constant(false),
                };
                negated(filter, !enabled)
            }
        }
    }

    fn segment(&self, segment: &SegmentId) -> String {
        match self.segments.get(segment) {
            None => constant(false),
            Some(segment) if segment.kind == SegmentKind::All => {
                context::<&str>("company.id", "SET", &[])
            }
            // A segment has no salt of its own: its id stands for one.
            Some(segment) => {
                let rules = segment.rules.iter();
                joined("or", rules.map(|rule| self.rule(rule, segment.id.as_str(), 0)).collect())
            }
        }
    }

    /// Variants in the order in which they are tried.
    fn choices(&self, config: &ConfigTargeting) -> Vec<(String, String)> {
        let mut choices = Vec::new();
        for (attribute, listed) in [("user.id", &config.users), ("company.id", &config.companies)] {
            let mut by_variant: BTreeMap<&String, Vec<&String>> = BTreeMap::new();
            for (entity, variant) in listed {
                by_variant.entry(variant).or_default().push(entity);
            }
            for (variant, entities) in by_variant {
                choices.push((variant.clone(), context(attribute, "ANY_OF", &entities)));
            }
        }
        for segment in &config.segments {
            choices.push((segment.variant.clone(), self.segment(&segment.segment)));
        }
        choices.extend(config.default.iter().map(|default| (default.clone(), constant(true))));
        choices
    }
}

fn constant(value: bool) -> String {
    format!("{{\"type\":\"constant\",\"value\":{value}}}")
}

fn negated(filter: String, is_negated: bool) -> String {
    if is_negated { format!("{{\"type\":\"negation\",\"filter\":{filter}}}") } else { filter }
}

/// One filter needs no group.
fn joined(operator: &str, mut filters: Vec<String>) -> String {
    if filters.len() == 1 {
        return filters.remove(0);
    }
    let filters = filters.join(",");
    format!("{{\"type\":\"group\",\"operator\":\"{operator}\",\"filters\":[{filters}]}}")
}

fn context<T: AsRef<str>>(attribute: &str, operator: &str, values: &[T]) -> String {
    let mut out = "{\"type\":\"context\",\"field\":".to_owned();
    write_string(attribute, &mut out);
    out.push_str(",\"operator\":");
    write_string(operator, &mut out);
    if !values.is_empty() {
        out.push_str(",\"values\":[");
        for (index, value) in values.iter().enumerate() {
            comma(index, &mut out);
            write_string(value.as_ref(), &mut out);
        }
        out.push(']');
    }
    out.push('}');
    out
}

fn comma(index: usize, out: &mut String) {
    if index > 0 {
        out.push(',');
    }
}

#[cfg(test)]
mod tests;
