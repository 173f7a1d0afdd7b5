//! Reflag's rules as an environment document, for server SDKs of Flagsmith that evaluate by
//! themselves.
//!
//! A flag is translated when such an SDK comes to what Burgee comes to when it is asked about the
//! same identity, or about nobody in particular: enabled or not, variant, and value. A flag of which
//! any part has no exact equal is left out and named. Nothing is approximated.
//!
//! # What both sides see of an identity
//!
//! The SDK coerces traits (flagsmith.md section 9); when Burgee is asked, Reflag's rules see them as
//! text, numbers as JavaScript prints them, and a trait that is null as none. `user.id` is the
//! identifier, `user.X` the trait `X`, `company.X` and `other.X` traits of these names; `company.id`
//! is also `company_id`, else `companyId`, when there is no `company.id`. No other attribute is ever
//! there. An identity without an identifier does not exist where SDKs evaluate by themselves, so
//! `user.id` is never empty.
//!
//! # Conditions
//!
//! | operator | exact when | example | becomes |
//! |---|---|---|---|
//! | `IS`, `ANY_OF` | no operand is spelled like a number | `user.plan ANY_OF [gold, true]` | `plan IN gold` or `plan EQUAL true` |
//! | `IS_NOT`, `NOT_ANY_OF` | the same | `user.plan IS_NOT gold` | `plan IS_SET`, and not `plan IN gold` |
//! | `IS_TRUE`, `IS_FALSE` | always | `company.beta IS_TRUE` | `company.beta EQUAL true` |
//! | `SET`, `NOT_SET` | always | `user.plan SET` | `plan REGEX [\s\S]`, any character |
//! | `CONTAINS`, `NOT_CONTAINS` | the operand has a character that no number has, and no sigma | `user.mail CONTAINS @x` | `mail REGEX [\s\S]*[@][xX]` |
//! | `GT`, `LT` | the operand is no number, or infinite, so that nothing matches | `user.age GT 18` | |
//! | `AFTER`, `BEFORE`, `DATE_AFTER`, `DATE_BEFORE` | the operand is no number of days or no date | `user.since BEFORE 30` | |
//! | rollout | from 0 down, or above 100,000. At 100,000 one value in a million stays out | `company.id`, 100001 | `company.id IS_SET` |
//! | any other operator or filter type | always: it never holds | `user.plan RHYMES_WITH old` | a constant |
//!
//! SDKs have engines of their own: the one for Node takes no text for a number and finds neither the
//! empty text nor 0 in a list. What rules become means the same to all of them.
//!
//! Conditions on attributes that no trait stands for are constants. Generation 1.1 of the evaluator
//! gives up a rule when it meets an attribute that is missing; so does the translated rule.
//!
//! # Flags
//!
//! What an evaluation of nothing gives is the environment's own state: it is what SDKs answer
//! without an identity. What identities get otherwise is an override per outcome, on or off with
//! each variant, of a segment that holds the rules; the first that matches counts, so priorities
//! follow the order of variants. The last is everybody's. SDKs know variants as shares of identities,
//! so a state with one is a split that gives everybody this variant; for nobody in particular there
//! is no split, only the value.

mod conditions;
mod formula;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use self::conditions::{IDENTIFIER, Value, explain, rollout, said, translate};
use self::formula::{FALSE, Formula, TRUE, Translated, all_of, any_of, is_set, not};
use super::feature;
use crate::compile::Policy;
use crate::dialect::{Translation, Untranslated};
use crate::evaluate::{EvaluationContext, Evaluator, FlagProgram, Program};
use crate::json::write_string;
use crate::model::{
    EnvironmentName, Filter, Flag, Generation, GroupOperator, Operator, Ruleset, Variant, Version,
};
use crate::time::Timestamp;

/// Before the environment's name in the key of its document: nothing is hashed with that, and nobody
/// is to be let in by it unless it is configured as a key.
const KEY_PREFIX: &str = "burgee:";

/// Whether the translated document of this environment names this key.
pub fn is_document_key(key: &str, name: &EnvironmentName) -> bool {
    key.strip_prefix(KEY_PREFIX) == Some(name.as_str())
}

/// The environment document that means the same as `ruleset`, whose `program` it was compiled to
/// under this `policy`.
pub fn environment_document(
    ruleset: &Ruleset,
    program: &Program,
    policy: &Policy,
    name: &EnvironmentName,
    version: Version,
) -> Translation {
    let ids = feature::ids(ruleset.flags.iter().map(|flag| &*flag.key));
    let mut untranslated = Vec::new();
    let mut states = Vec::new();
    let mut segments = Vec::new();
    let mut secret = Vec::new();
    let mut next_state = 1;
    for (flag, compiled) in ruleset.flags.iter().zip(&program.flags) {
        match outcomes(flag, policy.generation) {
            Ok(choices) => {
                let id = ids[&*flag.key];
                let feature = FeatureText::new(flag, id);
                let nobody = outcome_of_nobody(flag, compiled, program);
                states.push(feature.state(&nobody, None, next_state));
                next_state += 1;
                for (guard, outcome, priority) in overrides(choices, &nobody) {
                    let state = feature.state(&outcome, Some(priority), next_state);
                    next_state += 1;
                    let title = format!("{} {}", flag.key, priority + 1);
                    segments.push(segment(segments.len() + 1, &title, guard, &state));
                }
                if !policy.is_public(flag, ruleset) {
                    secret.push(id.to_string());
                }
            }
            Err(reason) => untranslated.push(without_equal(flag, reason)),
        }
    }
    let document = Document { name, version, secret, segments, states };
    Translation { document: Bytes::from(document.write()), untranslated }
}

/// What [`environment_document`] leaves out, without the document.
pub fn untranslated(ruleset: &Ruleset, policy: &Policy) -> Vec<Untranslated> {
    let judged = ruleset.flags.iter().map(|flag| (flag, outcomes(flag, policy.generation)));
    judged.filter_map(|(flag, judged)| Some(without_equal(flag, judged.err()?))).collect()
}

fn without_equal(flag: &Flag, reason: String) -> Untranslated {
    Untranslated { flag: flag.key.clone(), reason }
}

/// What a flag comes to.
#[derive(Clone, Debug, PartialEq)]
struct Outcome {
    enabled: bool,
    /// The variant's key.
    variant: Option<Box<str>>,
    /// JSON.
    value: String,
}

impl Outcome {
    fn new(enabled: bool, variant: Option<&Variant>) -> Self {
        let mut value = String::new();
        feature::write_value(variant.and_then(|variant| variant.payload.as_deref()), &mut value);
        Self { enabled, variant: variant.map(|variant| variant.key.clone()), value }
    }
}

/// What is so for those for whom this formula is the first that holds.
struct Choice {
    guard: Formula,
    outcome: Outcome,
}

/// All that a flag can come to for identities. The last choice is everybody's.
fn outcomes(flag: &Flag, generation: Generation) -> Result<Vec<Choice>, String> {
    let rules = flag.targeting.rules.iter().map(|filter| rule(filter, generation)).collect();
    let is_on = any_of(rules);
    let mut variants: Vec<(Translated, Outcome)> = Vec::new();
    for variant in flag.config.iter().flat_map(|config| &config.variants) {
        variants.push((rule(&variant.filter, generation), Outcome::new(false, Some(variant))));
    }
    variants.push((Ok(TRUE), Outcome::new(false, None)));
    drop_idle(&mut variants);
    let mut candidates = Vec::new();
    for (guard, outcome) in variants {
        let on = all_of(vec![guard.clone(), is_on.clone()]);
        candidates.push((on, Outcome { enabled: true, ..outcome.clone() }));
        // Who is not on falls through to here.
        candidates.push((guard, outcome));
        if is_on == Ok(TRUE) {
            candidates.pop();
        }
    }
    drop_idle(&mut candidates);
    let choice = |(guard, outcome): (Translated, Outcome)| Ok(Choice { guard: guard?, outcome });
    candidates.into_iter().map(choice).collect()
}

/// Drops what nobody falls to, and what changes nothing.
fn drop_idle<T: PartialEq>(candidates: &mut Vec<(Translated, T)>) {
    candidates.retain(|(guard, _)| *guard != Ok(FALSE));
    if let Some(last) = candidates.iter().position(|(guard, _)| *guard == Ok(TRUE)) {
        candidates.truncate(last + 1);
    }
    while let [.., (_, before), (_, last)] = candidates.as_slice()
        && before == last
    {
        let idle = candidates.len() - 2;
        candidates.drain(idle..=idle);
    }
}

/// What segments have to override, the strongest first.
fn overrides(choices: Vec<Choice>, nobody: &Outcome) -> Vec<(Formula, Outcome, usize)> {
    let mut overrides = Vec::new();
    for (Choice { guard, outcome }, priority) in choices.into_iter().zip(0..) {
        match guard {
            TRUE if outcome == *nobody => {}
            TRUE => overrides.push((is_set(IDENTIFIER), outcome, priority)),
            guard => overrides.push((guard, outcome, priority)),
        }
    }
    overrides
}

/// What a flag comes to when nothing is known.
fn outcome_of_nobody(flag: &Flag, compiled: &FlagProgram, program: &Program) -> Outcome {
    let mut context = EvaluationContext::new();
    context.reset(program);
    // What is missing has no date: the moment does not matter.
    let mut evaluator = Evaluator::new(program, &mut context, Timestamp(0));
    let enabled = evaluator.evaluate(compiled.targeting).matched.is_some();
    let matched = compiled.config.and_then(|list| evaluator.evaluate(list).matched);
    let variant = matched.and_then(|index| flag.config.as_ref()?.variants.get(index as usize));
    Outcome::new(enabled, variant)
}

/// What must hold for a rule to match.
fn rule(filter: &Filter, generation: Generation) -> Translated {
    let Walked { holds, fails } = walk(filter);
    match generation {
        Generation::V1_0 => holds,
        Generation::V1_1 => all_of(vec![holds, fails.map(not)]),
    }
}

/// When a filter holds, and when evaluating it meets an attribute that is missing.
struct Walked {
    holds: Translated,
    fails: Translated,
}

fn walk(filter: &Filter) -> Walked {
    let constant = |value| Walked { holds: Ok(Formula::Constant(value)), fails: Ok(FALSE) };
    match filter {
        Filter::Constant(value) => constant(*value),
        Filter::Unknown(_) => constant(false),
        Filter::Negation(inner) => {
            let Walked { holds, fails } = walk(inner);
            Walked { holds: holds.map(not), fails }
        }
        Filter::Group { operator, filters } => group(*operator, filters),
        Filter::Condition(condition) => {
            let explain = explain(condition);
            let value = match Value::of(&condition.attribute) {
                Ok(value) => value,
                Err(reason) => return refused(&format!("`{}`: {reason}", condition.attribute)),
            };
            let reports = !matches!(condition.operator, Operator::Set | Operator::NotSet);
            let fails = if reports { value.is_missing() } else { FALSE };
            Walked { holds: said(translate(condition, &value), explain), fails: Ok(fails) }
        }
        Filter::Rollout(share) => {
            let attribute = &share.attribute;
            let value = match Value::of(attribute) {
                Ok(value) => value,
                Err(reason) => return refused(&format!("`{attribute}`: {reason}")),
            };
            let explain = |reason| format!("the rollout by `{attribute}`: {reason}");
            Walked { holds: said(rollout(share, &value), explain), fails: Ok(value.is_missing()) }
        }
    }
}

fn refused(reason: &str) -> Walked {
    Walked { holds: Err(reason.to_owned()), fails: Err(reason.to_owned()) }
}

/// Filters are asked from left to right, no further than needed.
fn group(operator: GroupOperator, filters: &[Filter]) -> Walked {
    let mut holds = Vec::new();
    let mut fails = Vec::new();
    for filter in filters {
        let walked = walk(filter);
        let reached = match operator {
            GroupOperator::And => all_of(holds.clone()),
            GroupOperator::Or => any_of(holds.clone()).map(not),
        };
        fails.push(all_of(vec![reached, walked.fails]));
        holds.push(walked.holds);
    }
    let holds = match operator {
        GroupOperator::And => all_of(holds),
        GroupOperator::Or => any_of(holds),
    };
    Walked { holds, fails: any_of(fails) }
}

/// A flag as it stands in each of its states.
struct FeatureText<'a> {
    flag: &'a Flag,
    text: String,
}

impl<'a> FeatureText<'a> {
    fn new(flag: &'a Flag, id: i64) -> Self {
        let mut text = format!("{{\"feature\":{{\"id\":{id},\"name\":");
        write_string(&flag.key, &mut text);
        text.push_str(",\"type\":\"");
        text.push_str(feature::kind(flag));
        text.push_str("\"},\"enabled\":");
        Self { flag, text }
    }

    /// A state of the flag, the document's `number`th.
    fn state(&self, outcome: &Outcome, priority: Option<usize>, number: u32) -> String {
        let Outcome { enabled, variant, value } = outcome;
        let name = format!("{}/{number}", self.flag.key);
        let segment =
            priority.map_or("null".to_owned(), |priority| format!("{{\"priority\":{priority}}}"));
        let variant =
            variant.as_ref().map_or(String::new(), |key| share(key, value, &name, number));
        format!(
            "{}{enabled},\"feature_state_value\":{value},\"django_id\":{number},\
             \"featurestate_uuid\":\"{}\",\"feature_segment\":{segment},\
             \"multivariate_feature_state_values\":[{variant}]}}",
            self.text,
            uuid(&name),
        )
    }
}

/// A variant that every identity gets: numbers that place an identity among shares are below 100.
fn share(key: &str, value: &str, name: &str, number: u32) -> String {
    let mut quoted = String::new();
    write_string(key, &mut quoted);
    format!(
        "{{\"id\":{number},\"mv_fs_value_uuid\":\"{}\",\"percentage_allocation\":100,\
         \"multivariate_feature_option\":{{\"id\":{number},\"key\":{quoted},\"value\":{value}}}}}",
        uuid(&format!("{name}/variant")),
    )
}

/// A UUID that depends on nothing but a text.
fn uuid(text: &str) -> String {
    let hash = Sha256::digest(text);
    let mut first = [0; 16];
    first.copy_from_slice(&hash[..16]);
    let hex = format!("{:032x}", u128::from_be_bytes(first));
    // Of version 8 and the usual variant: made in a way of one's own.
    format!("{}-{}-8{}-8{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..])
}

fn segment(id: usize, title: &str, guard: Formula, state: &str) -> String {
    let mut out = format!("{{\"id\":{id},\"name\":");
    write_string(title, &mut out);
    out.push_str(",\"rules\":[");
    formula::write_rule(&formula::rule(guard), &mut out);
    out.push_str("],\"feature_states\":[");
    out.push_str(state);
    out.push_str("]}");
    out
}

struct Document<'a> {
    name: &'a EnvironmentName,
    version: Version,
    secret: Vec<String>,
    segments: Vec<String>,
    states: Vec<String>,
}

impl Document<'_> {
    fn write(&self) -> String {
        let mut name = String::new();
        write_string(self.name.as_str(), &mut name);
        let mut key = String::new();
        write_string(&format!("{KEY_PREFIX}{}", self.name), &mut key);
        let updated_at = Timestamp(self.version.number().cast_signed());
        format!(
            "{{\"id\":1,\"api_key\":{key},\"name\":{name},\"updated_at\":\"{updated_at}\",\
             \"allow_client_traits\":true,\"hide_sensitive_data\":false,\"hide_disabled_flags\":null,\
             \"use_identity_composite_key_for_hashing\":true,\
             \"use_identity_overrides_in_local_eval\":true,\
             \"amplitude_config\":null,\"webhook_config\":null,\
             \"project\":{{\"id\":1,\"name\":{name},\"hide_disabled_flags\":false,\
             \"enable_realtime_updates\":false,\"server_key_only_feature_ids\":[{}],\
             \"organisation\":{{\"id\":1,\"name\":\"Burgee\",\"feature_analytics\":false,\
             \"stop_serving_flags\":false,\"persist_trait_data\":true}},\
             \"segments\":[{}]}},\"feature_states\":[{}],\"identity_overrides\":[]}}",
            self.secret.join(","),
            self.segments.join(","),
            self.states.join(","),
        )
    }
}
