//! Compiles what is stored to the runtime API's definitions: the features document that every edge
//! and every server SDK reads (reflag-runtime.md section 4).
//!
//! Access rules, segments, lists of companies and users, rollouts, dependencies on other flags and
//! the choice of variants all become the five filter types; nothing else is on the wire. Pure: the
//! same state gives the same bytes.
//!
//! The wire has no way to name another flag or a segment, so each is written out wherever a condition
//! names it. What that comes to is reckoned before it is written, by the same code, each part once.
//!
//! | stored | written |
//! |---|---|
//! | everybody | one rule, `constant` |
//! | companies, users | one rule each, `company.id` or `user.id` `ANY_OF` |
//! | a segment | one rule: its rules joined by `or`; all companies: `company.id` `SET` |
//! | an access rule | one rule: its conditions joined by `and`, then `rolloutPercentage` unless it is for all |
//! | a condition on a segment or flag | that one's filter, below `negation` where it must not hold |
//! | variants | users, companies, segments in their order, default: the first match counts |

mod out;

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;

use self::out::{Out, Part};
use super::model::{
    Condition, ConfigTargeting, EnvironmentState, FlagState, Rule, Segment, SegmentId, SegmentKind,
    limits,
};
use crate::source::MAX_DOCUMENT;

pub use self::out::Extent;

/// Why there is no document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the definitions would be {} MiB long, more than {} MiB: flags and segments are written out \
     wherever a condition names them",
    .0.div_ceil(1 << 20),
    MAX_DOCUMENT >> 20
)]
pub struct TooLong(u128);

/// The features document of an environment, if it is no longer than any document may be.
pub fn document(state: &EnvironmentState) -> Result<Bytes, TooLong> {
    document_of(state, |_| true)
}

/// The same, with nothing but the flags that are `wanted`. What they depend on is part of them.
pub(super) fn document_of(
    state: &EnvironmentState,
    wanted: impl Fn(&FlagState) -> bool,
) -> Result<Bytes, TooLong> {
    let writing = Writing::new(state);
    let length = writing.extent(&wanted).bytes;
    if length > u128::from(MAX_DOCUMENT) {
        return Err(TooLong(length));
    }
    let mut out = String::with_capacity(usize::try_from(length).unwrap_or(0));
    writing.document(&wanted, &mut out);
    Ok(Bytes::from(out))
}

/// How long an environment's document is, without writing it: a few conditions on flags that have
/// such conditions themselves may stand for any length.
pub fn extent(state: &EnvironmentState) -> Extent {
    Writing::new(state).extent(&|_| true)
}

struct Writing<'a> {
    state: &'a EnvironmentState,
    segments: HashMap<&'a SegmentId, &'a Segment>,
    flags: HashMap<&'a str, &'a FlagState>,
}

/// A filter that is to be written.
enum Filter<'a> {
    Constant(bool),
    Listed(&'static str, &'a [String]),
    /// Those of a list who get one variant.
    Chosen(&'static str, Vec<&'a String>),
    Segment(&'a SegmentId),
    Rule(&'a Rule),
    Condition(&'a Condition),
    Rollout(&'a Rule),
}

impl<'a> Writing<'a> {
    fn new(state: &'a EnvironmentState) -> Self {
        Self {
            state,
            segments: state.segments.iter().map(|segment| (&segment.id, segment)).collect(),
            flags: state.flags.iter().map(|flag| (flag.flag.key.as_str(), flag)).collect(),
        }
    }

    fn extent(&self, wanted: &impl Fn(&FlagState) -> bool) -> Extent {
        let mut measure = out::Measure::default();
        self.document(wanted, &mut measure);
        measure.extent()
    }

    fn document(&self, wanted: &impl Fn(&FlagState) -> bool, out: &mut impl Out<'a>) {
        out.text("{\"success\":true,\"flagStateVersion\":");
        out.number(self.state.version);
        out.text(",\"features\":[");
        let served = self.state.flags.iter().filter(|flag| !flag.flag.archived && wanted(flag));
        for (index, flag) in served.enumerate() {
            comma(index, out);
            out.part(Part::Flag(&flag.flag.key), |out| self.flag(flag, out));
        }
        out.text("]}");
    }

    fn flag(&self, state: &'a FlagState, out: &mut impl Out<'a>) {
        let FlagState { flag, variants, targeting } = state;
        out.text("{\"key\":");
        out.string(&flag.key);
        out.text(",\"description\":");
        match &flag.description {
            Some(description) => out.string(description),
            None => out.text("null"),
        }
        if let Some(stage) = &flag.stage {
            out.text(",\"stage\":");
            out.string(&stage.name);
        }
        if flag.secret {
            out.text(",\"secret\":true");
        }
        out.text(",\"targeting\":{\"version\":");
        out.number(targeting.version);
        out.text(",\"rules\":[");
        for (index, filter) in access(state).iter().enumerate() {
            comma(index, out);
            out.text("{\"filter\":");
            self.filter(filter, &flag.key, 0, out);
            out.text("}");
        }
        out.text("]}");
        if !variants.is_empty() {
            out.text(",\"config\":{\"version\":");
            out.number(targeting.config_version);
            out.text(",\"variants\":[");
            let payloads: HashMap<&str, &str> = variants
                .iter()
                .map(|variant| (&*variant.key, variant.payload.as_deref().unwrap_or("null")))
                .collect();
            for (index, (key, filter)) in choices(&targeting.config).iter().enumerate() {
                comma(index, out);
                out.text("{\"key\":");
                out.string(key);
                out.text(",\"payload\":");
                out.text(payloads.get(key.as_str()).unwrap_or(&"null"));
                out.text(",\"filter\":");
                self.filter(filter, &flag.key, 0, out);
                out.text("}");
            }
            out.text("]}");
        }
        out.text("}");
    }

    /// `salt` is the flag's key: the service has them equal, so that rollouts of two flags fall
    /// differently.
    fn filter(&self, filter: &Filter<'a>, salt: &str, depth: usize, out: &mut impl Out<'a>) {
        match *filter {
            Filter::Constant(value) => constant(value, out),
            Filter::Listed(attribute, ids) => context(attribute, "ANY_OF", ids, out),
            Filter::Chosen(attribute, ref ids) => context(attribute, "ANY_OF", ids, out),
            Filter::Segment(segment) => self.segment(segment, out),
            Filter::Rule(rule) => self.group("and", &parts(rule), salt, depth, out),
            Filter::Condition(condition) => self.condition(condition, depth, out),
            Filter::Rollout(rule) => {
                out.filter("rolloutPercentage");
                out.text(",\"key\":");
                out.string(salt);
                out.text(",\"partialRolloutAttribute\":");
                out.string(&rule.rollout_attribute);
                out.text(",\"partialRolloutThreshold\":");
                out.number(rule.percentage.threshold().into());
                out.text("}");
            }
        }
    }

    /// One filter needs no group.
    fn group(
        &self,
        operator: &str,
        filters: &[Filter<'a>],
        salt: &str,
        depth: usize,
        out: &mut impl Out<'a>,
    ) {
        if let [filter] = filters {
            return self.filter(filter, salt, depth, out);
        }
        out.filter("group");
        out.text(",\"operator\":");
        out.string(operator);
        out.text(",\"filters\":[");
        for (index, filter) in filters.iter().enumerate() {
            comma(index, out);
            self.filter(filter, salt, depth, out);
        }
        out.text("]}");
    }

    fn condition(&self, condition: &'a Condition, depth: usize, out: &mut impl Out<'a>) {
        match condition {
            Condition::Attribute { attribute, operator, values } => {
                context(attribute, operator, values, out);
            }
            Condition::Segment { segment, matches } => {
                negated(!matches, out, |out| self.segment(segment, out));
            }
            Condition::Flag { flag, enabled } => {
                // What the store lets in ends sooner. Nothing that came in otherwise goes on for
                // ever.
                let other = self.flags.get(flag.as_str()).filter(|_| depth <= limits::FLAG_DEPTH);
                negated(!enabled, out, |out| match other {
                    Some(other) if !other.flag.archived => {
                        let key = &other.flag.key;
                        out.part(Part::Access(key, depth), |out| {
                            self.group("or", &access(other), key, depth + 1, out);
                        });
                    }
                    _ => constant(false, out),
                });
            }
        }
    }

    fn segment(&self, id: &'a SegmentId, out: &mut impl Out<'a>) {
        out.part(Part::Segment(id), |out| match self.segments.get(id) {
            None => constant(false, out),
            Some(segment) if segment.kind == SegmentKind::All => {
                context::<&str>("company.id", "SET", &[], out);
            }
            // A segment has no salt of its own: its id stands for one.
            Some(segment) => {
                let rules: Vec<_> = segment.rules.iter().map(Filter::Rule).collect();
                self.group("or", &rules, segment.id.as_str(), 0, out);
            }
        });
    }
}

/// The filters of which one is enough to have the flag on.
fn access(state: &FlagState) -> Vec<Filter<'_>> {
    let targeting = &state.targeting;
    if targeting.access.everyone {
        return vec![Filter::Constant(true)];
    }
    let lists = [("company.id", &targeting.company_ids), ("user.id", &targeting.user_ids)];
    let listed = lists.into_iter().filter(|(_, ids)| !ids.is_empty());
    let mut filters: Vec<_> =
        listed.map(|(attribute, ids)| Filter::Listed(attribute, ids)).collect();
    filters.extend(targeting.access.segments.iter().map(Filter::Segment));
    filters.extend(targeting.access.rules.iter().map(Filter::Rule));
    filters
}

/// The filters that all have to hold.
fn parts(rule: &Rule) -> Vec<Filter<'_>> {
    let mut filters: Vec<_> = rule.conditions.iter().map(Filter::Condition).collect();
    if !rule.percentage.is_everyone() {
        filters.push(Filter::Rollout(rule));
    }
    filters
}

/// Variants in the order in which they are tried.
fn choices(config: &ConfigTargeting) -> Vec<(&String, Filter<'_>)> {
    let mut choices = Vec::new();
    for (attribute, listed) in [("user.id", &config.users), ("company.id", &config.companies)] {
        let mut by_variant: BTreeMap<&String, Vec<&String>> = BTreeMap::new();
        for (entity, variant) in listed {
            by_variant.entry(variant).or_default().push(entity);
        }
        let by_variant = by_variant.into_iter();
        choices.extend(by_variant.map(|(variant, ids)| (variant, Filter::Chosen(attribute, ids))));
    }
    let segments = config.segments.iter();
    choices.extend(segments.map(|choice| (&choice.variant, Filter::Segment(&choice.segment))));
    choices.extend(config.default.iter().map(|default| (default, Filter::Constant(true))));
    choices
}

fn constant<'a>(value: bool, out: &mut impl Out<'a>) {
    out.filter("constant");
    out.text(",\"value\":");
    out.text(if value { "true}" } else { "false}" });
}

fn negated<'a, O: Out<'a>>(is_negated: bool, out: &mut O, filter: impl FnOnce(&mut O)) {
    if !is_negated {
        return filter(out);
    }
    out.filter("negation");
    out.text(",\"filter\":");
    filter(out);
    out.text("}");
}

fn context<'a, T: AsRef<str>>(
    attribute: &str,
    operator: &str,
    values: &[T],
    out: &mut impl Out<'a>,
) {
    out.filter("context");
    out.text(",\"field\":");
    out.string(attribute);
    out.text(",\"operator\":");
    out.string(operator);
    if !values.is_empty() {
        out.text(",\"values\":[");
        for (index, value) in values.iter().enumerate() {
            comma(index, out);
            out.string(value.as_ref());
        }
        out.text("]");
    }
    out.text("}");
}

fn comma<'a>(index: usize, out: &mut impl Out<'a>) {
    if index > 0 {
        out.text(",");
    }
}

#[cfg(test)]
mod tests;
