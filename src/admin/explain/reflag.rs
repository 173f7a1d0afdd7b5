//! Explains Reflag's rules.

use std::sync::Arc;

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::{ExplainError, Explained, Logic, Question};
use crate::compile::{Policy, compile};
use crate::dialect::reflag::{Answer, Selection};
use crate::evaluate::{
    ContextError, EvaluationContext, Evaluator, FlagIndex, Program, RuleList, RuleOutcome, Salt,
    Slot, SlotText, hash_of_bucket,
};
use crate::model::{
    Condition, Filter, Flag, GroupOperator, KeyClass, Operand, Rollout, Ruleset, Targeting,
};
use crate::snapshot::{Profile, ReflagContent};
use crate::time::Timestamp;

/// One entry for each flag that is asked about.
pub(super) fn flags(
    content: &ReflagContent,
    profile: &Profile,
    question: &Question,
    class: KeyClass,
    now: Timestamp,
) -> Result<Vec<Explained>, ExplainError> {
    let asked =
        Asked { content, policy: &profile.policy, context: question.context.get(), now, class };
    let flags = content.ruleset.flags.iter().enumerate();
    let flags = flags.filter(|(_, flag)| question.asks_about(&flag.key));
    Ok(flags.map(|(index, flag)| asked.flag(index, flag)).collect::<Result<_, ContextError>>()?)
}

struct Asked<'a> {
    content: &'a ReflagContent,
    policy: &'a Policy,
    context: &'a str,
    now: Timestamp,
    class: KeyClass,
}

impl Asked<'_> {
    fn context_for(&self, program: &Program) -> Result<EvaluationContext, ContextError> {
        let mut context = EvaluationContext::new();
        context.reset(program);
        context.set_json(program, self.context)?;
        Ok(context)
    }

    fn flag(&self, index: usize, flag: &Flag) -> Result<Explained, ContextError> {
        let program = &self.content.program;
        let compiled = &program.flags[index];
        let mut context = self.context_for(program)?;
        let mut evaluator = Evaluator::new(program, &mut context, self.now);
        let targeting = evaluator.evaluate(compiled.targeting).clone();
        let variants = compiled.config.map(|list| evaluator.evaluate(list).clone());
        let variants = variants.unwrap_or_default();
        let outcome = program.outcomes.evaluate(&mut evaluator, FlagIndex(index as u32));
        let chosen = flag.config.as_ref().zip(variants.matched);
        let variant = chosen.map(|(config, at)| &config.variants[at as usize]);
        let payload = variant.and_then(|variant| variant.payload.as_deref());
        let mut missing: Vec<Slot> = targeting.missing.clone();
        missing.extend(variants.missing.iter().filter(|slot| !targeting.missing.contains(slot)));
        let names: Vec<&str> = missing.iter().map(|&slot| program.attributes.name(slot)).collect();
        let reason = targeting
            .matched
            .map_or_else(|| "no matched rules".to_owned(), |at| format!("rule #{at} matched"));
        let filters: Vec<&Filter> = flag.targeting.rules.iter().collect();
        let rules = self.rules(&filters, compiled.targeting, &targeting)?;
        let variant_rules = match (&flag.config, compiled.config) {
            (Some(config), Some(list)) => {
                let filters: Vec<&Filter> = config.variants.iter().map(|v| &v.filter).collect();
                let mut rules = self.rules(&filters, list, &variants)?;
                for (rule, variant) in rules.iter_mut().zip(&config.variants) {
                    rule["key"] = json!(variant.key);
                }
                rules
            }
            _ => Vec::new(),
        };
        let entry = json!({
            "key": flag.key,
            "enabled": targeting.matched.is_some(),
            "variant": variant.map(|variant| &variant.key),
            "value": payload.and_then(|payload| serde_json::from_str::<Value>(payload.get()).ok()),
            "reason": reason,
            "visible_to_publishable": compiled.public,
            "rules": rules,
            "variants": variant_rules,
            "rollout": self.rollout(&filters)?,
            "segments": [],
            "override": null,
            "missing_attributes": names,
            "dialects": {"reflag": self.reflag(flag)?, "flagsmith": null, "ofrep": null},
        });
        Ok(Explained { entry, outcome })
    }

    fn rules(
        &self,
        filters: &[&Filter],
        list: RuleList,
        outcome: &RuleOutcome,
    ) -> Result<Vec<Value>, ContextError> {
        debug_assert_eq!(filters.len(), list.len as usize);
        let mut rules = Vec::new();
        for (index, filter) in filters.iter().enumerate() {
            let mut leaves = Vec::new();
            collect_leaves(filter, &mut leaves);
            rules.push(json!({
                "index": index,
                "matched": outcome.result(index as u32),
                "logic": logic(filter).to_string(),
                "conditions": self.conditions(&leaves)?,
            }));
        }
        Ok(rules)
    }

    /// Evaluates each condition as a rule of its own.
    fn conditions(&self, leaves: &[&Filter]) -> Result<Vec<Value>, ContextError> {
        let rules: Vec<Filter> = leaves.iter().map(|&leaf| leaf.clone()).collect();
        let flag = Flag {
            key: Box::from(""),
            secret: false,
            targeting: Targeting { version: 0, rules },
            config: None,
            raw: RawValue::NULL.to_owned(),
        };
        let ruleset = Ruleset { flags: vec![Arc::new(flag)], ..Ruleset::default() };
        let program = compile(&ruleset, self.policy).program;
        let mut context = self.context_for(&program)?;
        let list = program.flags[0].targeting;
        let outcome = Evaluator::new(&program, &mut context, self.now).evaluate(list).clone();
        let describe = |(index, leaf): (usize, &&Filter)| {
            let matched = outcome.result(index as u32);
            match leaf {
                Filter::Condition(condition) => {
                    condition_value(condition, &program, &context, matched)
                }
                Filter::Rollout(rollout) => rollout_condition(rollout, &program, &context, matched),
                Filter::Unknown(kind) => json!({
                    "attribute": null, "operator": kind, "operand": null, "actual": null,
                    "matched": false, "missing": false,
                }),
                _ => Value::Null,
            }
        };
        Ok(leaves.iter().enumerate().map(describe).collect())
    }

    /// The first rollout of the targeting rules.
    fn rollout(&self, filters: &[&Filter]) -> Result<Value, ContextError> {
        let mut leaves = Vec::new();
        for filter in filters {
            collect_leaves(filter, &mut leaves);
        }
        let first = leaves.into_iter().find_map(|leaf| match leaf {
            Filter::Rollout(rollout) => Some(rollout),
            _ => None,
        });
        let Some(rollout) = first else { return Ok(Value::Null) };
        let program = &self.content.program;
        let context = self.context_for(program)?;
        let hash = rollout_hash(rollout, program, &context);
        Ok(json!({
            "attribute": rollout.attribute, "hash": hash, "threshold": rollout.threshold,
        }))
    }

    /// The flag's entry of `/features/evaluated`; null when the class may not see it.
    fn reflag(&self, flag: &Flag) -> Result<Value, ContextError> {
        let ReflagContent { program, answers, .. } = self.content;
        let mut context = self.context_for(program)?;
        let mut evaluator = Evaluator::new(program, &mut context, self.now);
        let mut answer = Answer::default();
        let selection = Selection::One(&flag.key);
        answers.write(self.class, selection, &mut evaluator, 0, &mut answer);
        let answer: Map<String, Value> = serde_json::from_slice(&answer.body).unwrap_or_default();
        let entry = answer.get("features").and_then(|features| features.get(&*flag.key));
        Ok(entry.cloned().unwrap_or(Value::Null))
    }
}

/// Conditions and rollouts in the order of evaluation.
fn collect_leaves<'a>(filter: &'a Filter, leaves: &mut Vec<&'a Filter>) {
    match filter {
        Filter::Constant(_) => {}
        Filter::Group { filters, .. } => filters.iter().for_each(|f| collect_leaves(f, leaves)),
        Filter::Negation(inner) => collect_leaves(inner, leaves),
        Filter::Condition(_) | Filter::Rollout(_) | Filter::Unknown(_) => leaves.push(filter),
    }
}

/// How a filter joins its conditions.
fn logic(filter: &Filter) -> Logic {
    match filter {
        Filter::Constant(value) => Logic::Constant(*value),
        Filter::Group { operator, filters } => {
            let parts = filters.iter().map(logic).collect();
            match operator {
                GroupOperator::And => Logic::All(parts),
                GroupOperator::Or => Logic::Any(parts),
            }
        }
        Filter::Negation(inner) => Logic::Not(Box::new(logic(inner))),
        Filter::Condition(_) | Filter::Rollout(_) | Filter::Unknown(_) => Logic::Condition,
    }
}

fn actual(attribute: &str, program: &Program, context: &EvaluationContext) -> Value {
    match program.attributes.slot(attribute).map(|slot| context.get(slot)) {
        Some(SlotText::Text(text)) => json!(text),
        Some(SlotText::List(elements)) => json!(elements),
        Some(SlotText::Missing) | None => Value::Null,
    }
}

fn condition_value(
    condition: &Condition,
    program: &Program,
    context: &EvaluationContext,
    matched: bool,
) -> Value {
    let actual = actual(&condition.attribute, program, context);
    let operands: Vec<Value> = condition
        .operands
        .iter()
        .map(|operand| match operand {
            Operand::Text(text) => json!(text),
            Operand::Number(number) => json!(number),
            Operand::Opaque => Value::Null,
        })
        .collect();
    json!({
        "attribute": condition.attribute,
        "operator": condition.operator.as_wire(),
        "operand": operands,
        "missing": actual.is_null(),
        "actual": actual,
        "matched": matched,
    })
}

fn rollout_condition(
    rollout: &Rollout,
    program: &Program,
    context: &EvaluationContext,
    matched: bool,
) -> Value {
    let actual = actual(&rollout.attribute, program, context);
    json!({
        "attribute": rollout.attribute,
        "operator": "rolloutPercentage",
        "operand": [rollout.threshold],
        "missing": actual.is_null(),
        "actual": actual,
        "hash": rollout_hash(rollout, program, context),
        "matched": matched,
    })
}

fn rollout_hash(rollout: &Rollout, program: &Program, context: &EvaluationContext) -> Option<u32> {
    let slot = program.attributes.slot(&rollout.attribute)?;
    match context.get(slot) {
        SlotText::Text(text) => Some(hash_of_bucket(Salt::new(slot, &rollout.salt).bucket(text))),
        SlotText::List(_) | SlotText::Missing => None,
    }
}
