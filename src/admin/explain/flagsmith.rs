//! Explains Flagsmith's rules (flagsmith.md sections 8 to 12).
//!
//! What a flag comes to is read off the published program. What single conditions say is read off
//! the same rules compiled once more, with a segment for each condition behind the others.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;

use serde_json::{Map, Value, json};

use super::identity::Asked;
use super::{Explained, Logic, Question};
use crate::compile::flagsmith::{Compiled, compile_with};
use crate::evaluate::flagsmith::{
    Candidate, Evaluation, EvaluationContext, FeatureIndex, Met, Origin, OutcomeIndex, Program,
    Reason, Seed, SegmentIndex, evaluate, is_path, percentage, python,
};
use crate::model::KeyClass;
use crate::model::flagsmith::{Condition, Environment, Operand, Operator, Rule, RuleKind, Segment};
use crate::snapshot::{FlagsmithContent, Profile, class_index};

/// One entry for each flag that is asked about.
pub(super) fn flags(
    published: &FlagsmithContent,
    profile: &Profile,
    question: &Question,
    class: KeyClass,
    asked: &Asked<'_>,
) -> Vec<Explained> {
    let program = &published.program;
    let features: Vec<FeatureIndex> = program
        .features()
        .filter(|(_, feature)| question.asks_about(&feature.name))
        .map(|(index, _)| index)
        .collect();
    let mut context = filled(program, class, asked);
    let evaluation = evaluate(program, &mut context);
    let rules = published.environment();
    let probes = Probes::of(published, &rules, &features);
    let environment = alone(&rules, asked);
    let compiled = compile_with(&environment, &probes.segments, &profile.flagsmith_policy());
    let mut context = filled(&compiled.program, class, asked);
    let answers = evaluate(&compiled.program, &mut context);
    let explained = Explanation {
        published,
        rules: &rules,
        asked,
        evaluation,
        members: evaluation.segments().collect(),
        entries: entries(published, class, asked, &evaluation),
        probes: &probes,
        holding: answers.segments().collect(),
        answers,
        compiled: &compiled,
    };
    features.into_iter().map(|index| explained.flag(index)).collect()
}

/// What a request of this identity would be evaluated with.
fn filled(program: &Program, class: KeyClass, asked: &Asked<'_>) -> EvaluationContext {
    let mut context = EvaluationContext::new();
    context.reset(program);
    let Some(identifier) = &asked.identifier else { return context };
    context.set_identity(program, identifier);
    let mut text = String::new();
    for sent in &asked.sent.traits {
        // As for requests: DESIGN section 4.
        if class == KeyClass::Secret || !is_path(&sent.key) {
            context.set_trait(program, &sent.key, sent.scalar(&mut text));
        }
    }
    context
}

/// The rules as far as one identity can meet them: others' overrides, which may be many, are left
/// out.
fn alone(environment: &Environment, asked: &Asked<'_>) -> Environment {
    let own = asked.identifier.as_deref();
    let own = own.and_then(|identifier| environment.identity_overrides.get_key_value(identifier));
    Environment {
        key: environment.key.clone(),
        name: environment.name.clone(),
        features: environment.features.clone(),
        segments: environment.segments.clone(),
        identity_overrides: own
            .map(|(identifier, states)| (identifier.clone(), states.clone()))
            .into_iter()
            .collect(),
        ..Environment::default()
    }
}

/// Flags as the endpoint shows them that a client would ask, by name.
fn entries(
    content: &FlagsmithContent,
    class: KeyClass,
    asked: &Asked<'_>,
    evaluation: &Evaluation<'_>,
) -> HashMap<String, Value> {
    let flags: Vec<Value> = if let Some(identifier) = &asked.identifier {
        let (sent, mut body) = (&asked.sent, Vec::new());
        content.answers.write_identity(class, evaluation, identifier, sent, true, &mut body);
        let answer: Map<String, Value> = serde_json::from_slice(&body).unwrap_or_default();
        answer.get("flags").and_then(Value::as_array).cloned().unwrap_or_default()
    } else {
        let (body, _) = content.environment_flags.all[class_index(class)].plain();
        serde_json::from_slice(body).unwrap_or_default()
    };
    let name = |flag: &Value| flag["feature"]["name"].as_str().unwrap_or_default().to_owned();
    flags.into_iter().map(|flag| (name(&flag), flag)).collect()
}

/// The segments that may override a feature, the strongest first, each once: a second override of
/// the same feature by the same segment never counts.
fn candidates(program: &Program, feature: FeatureIndex) -> Vec<Candidate> {
    let (first, end) = program.feature(feature).candidates;
    let all = &program.candidates[first as usize..end as usize];
    let mut seen = BTreeSet::new();
    all.iter().filter(|candidate| seen.insert(candidate.segment)).copied().collect()
}

/// A segment for each condition of those segments whose conditions are shown.
struct Probes {
    segments: Vec<Segment>,
    /// Which of them are a segment's, in the order of its conditions.
    ranges: BTreeMap<SegmentIndex, Range<usize>>,
}

impl Probes {
    fn of(
        content: &FlagsmithContent,
        environment: &Environment,
        features: &[FeatureIndex],
    ) -> Self {
        let mut probes = Self { segments: Vec::new(), ranges: BTreeMap::new() };
        for &feature in features {
            for candidate in candidates(&content.program, feature) {
                let segment = &environment.segments[candidate.segment.0 as usize];
                if !probes.ranges.contains_key(&candidate.segment) {
                    let first = probes.segments.len();
                    let conditions = conditions_of(&segment.rules);
                    probes.segments.extend(conditions.into_iter().map(|c| probe(segment, c)));
                    probes.ranges.insert(candidate.segment, first..probes.segments.len());
                }
            }
        }
        probes
    }
}

/// Nothing but one condition. Splits hash the segment's key, so it stays.
fn probe(segment: &Segment, condition: &Condition) -> Segment {
    let rule = Rule { kind: RuleKind::All, conditions: vec![condition.clone()], rules: Vec::new() };
    let (key, name) = (segment.key.clone(), segment.name.clone());
    Segment { key, name, rules: vec![rule], overrides: Vec::new(), place: 0..0 }
}

/// Conditions in the document's order.
fn conditions_of(rules: &[Rule]) -> Vec<&Condition> {
    fn of_rule(rule: &Rule) -> Vec<&Condition> {
        rule.conditions.iter().chain(conditions_of(&rule.rules)).collect()
    }
    rules.iter().flat_map(of_rule).collect()
}

/// How a segment joins its conditions, in the order of [`conditions_of`].
fn logic_of(segment: &Segment) -> Logic {
    if segment.rules.is_empty() {
        return Logic::Constant(false);
    }
    Logic::All(segment.rules.iter().map(logic_of_rule).collect())
}

fn logic_of_rule(rule: &Rule) -> Logic {
    let conditions: Vec<Logic> = rule.conditions.iter().map(|_| Logic::Condition).collect();
    let inner: Vec<Logic> = rule.rules.iter().map(logic_of_rule).collect();
    // An empty half holds, whatever joins it.
    let halves = [conditions, inner].into_iter().filter(|half| !half.is_empty());
    let join = |half| match rule.kind {
        RuleKind::All => Logic::All(half),
        RuleKind::Any => Logic::Any(half),
        RuleKind::None => Logic::Not(Box::new(Logic::Any(half))),
    };
    Logic::All(halves.map(join).collect())
}

struct Explanation<'a, 'b> {
    published: &'a FlagsmithContent,
    /// What it was compiled from.
    rules: &'a Environment,
    asked: &'a Asked<'b>,
    evaluation: Evaluation<'a>,
    /// Segments that the identity belongs to.
    members: BTreeSet<SegmentIndex>,
    entries: HashMap<String, Value>,
    probes: &'a Probes,
    /// What the probes say.
    answers: Evaluation<'a>,
    /// Probes that hold, and the identity's segments before them.
    holding: BTreeSet<SegmentIndex>,
    compiled: &'a Compiled,
}

impl Explanation<'_, '_> {
    fn flag(&self, index: FeatureIndex) -> Explained {
        let program = &self.published.program;
        let chosen = self.evaluation.outcomes()[index.0 as usize];
        let outcome = program.outcome(chosen);
        let name = &program.feature(index).name;
        let candidates = candidates(program, index);
        let numbered = candidates.iter().enumerate();
        let rules: Vec<Value> = numbered.map(|(at, candidate)| self.rule(at, *candidate)).collect();
        let (flags, segments) = self.dependencies(index);
        let overriding = match outcome.origin {
            Origin::Environment => None,
            Origin::Identity => Some("identity"),
            Origin::Segment(segment, _) => Some(&*self.segment(segment).name),
        };
        let entry = json!({
            "key": name,
            "enabled": outcome.enabled,
            "variant": outcome.variant,
            "value": json_of(outcome.value.get()),
            "reason": outcome.reason.to_string(),
            "visible_to_publishable": program.is_visible(outcome, KeyClass::Publishable),
            "rollout": rollout(outcome.origin, &candidates, &rules),
            "variants": self.variants(chosen),
            "segments": segments,
            "override": overriding,
            "depends_on": flags,
            "missing_attributes": missing_attributes(&rules),
            "rules": rules,
            "dialects": {"reflag": null, "flagsmith": self.entries.get(&**name), "ofrep": null},
        });
        Explained { entry, outcome: chosen }
    }

    fn segment(&self, index: SegmentIndex) -> &Segment {
        &self.rules.segments[index.0 as usize]
    }

    /// A segment that may override a flag, and what it would make of it.
    fn rule(&self, index: usize, candidate: Candidate) -> Value {
        let program = &self.published.program;
        let segment = self.segment(candidate.segment);
        let outcome = program.outcome(program.states[candidate.state.0 as usize].outcome);
        let priority = match outcome.origin {
            Origin::Segment(_, number) => segment.overrides[number as usize].priority,
            Origin::Environment | Origin::Identity => None,
        };
        let circular = self.circular(candidate.segment);
        let mut rule = json!({
            "index": index,
            "segment": segment.name,
            "matched": self.members.contains(&candidate.segment),
            "priority": priority,
            "enabled": outcome.enabled,
            "value": json_of(outcome.value.get()),
            "logic": logic_of(segment).to_string(),
            "conditions": self.conditions(candidate.segment, circular.is_some()),
        });
        if let Some(flag) = circular {
            let note =
                format!("asks for the flag `{flag}`, which depends on itself: matches nobody");
            rule["note"] = json!(note);
        }
        rule
    }

    /// The flag that keeps a segment from matching, since it depends on itself.
    fn circular(&self, segment: SegmentIndex) -> Option<&str> {
        let mut asks = self.compiled.asks[segment.0 as usize].iter();
        let circular = asks.find(|&&flag| self.published.program.feature(flag).is_circular)?;
        Some(&self.published.program.feature(*circular).name)
    }

    fn conditions(&self, segment: SegmentIndex, is_circular: bool) -> Vec<Value> {
        let segments = self.rules.segments.len();
        let range = self.probes.ranges.get(&segment).cloned().unwrap_or_default();
        let describe = |at: usize| {
            let probe = &self.probes.segments[at];
            let index = SegmentIndex((segments + at) as u32);
            let met = self.answers.met(index).unwrap_or(Met::Missing);
            let mut condition = describe(&probe.rules[0].conditions[0], met, &probe.key);
            condition["matched"] = json!(self.holding.contains(&index));
            condition["missing"] = json!(met == Met::Missing && !is_circular);
            condition
        };
        range.map(describe).collect()
    }

    /// The values among which the state that counts is split, in the order of drawing.
    fn variants(&self, chosen: OutcomeIndex) -> Vec<Value> {
        let program = &self.published.program;
        let state = program.state_of(chosen);
        let Some(split) = state.split.map(|split| &program.splits[split as usize]) else {
            return Vec::new();
        };
        let hash = self.asked.identifier.as_ref().map(|identifier| {
            let key = format!("{}{identifier}", program.identity_key_prefix);
            percentage(split.seed.remainder(&key))
        });
        let mut from = 0.0;
        let first = state.control.0 + 1;
        let numbers = first..first + split.buckets.len() as u32;
        let describe = |number: u32| {
            let outcome = program.outcome(OutcomeIndex(number));
            let weight = match &outcome.reason {
                Reason::Split(weight) => json_of(weight),
                _ => Value::Null,
            };
            let to = from + weight.as_f64().unwrap_or_default();
            let bounds = (std::mem::replace(&mut from, to), to);
            json!({
                "index": number - first,
                "key": outcome.variant,
                "value": json_of(outcome.value.get()),
                "weight": weight,
                "hash": hash,
                "from": bounds.0,
                "to": bounds.1,
                "matched": number == chosen.0,
                "logic": format!("{} <= hash < {}", bounds.0, bounds.1),
                "conditions": [],
            })
        };
        numbers.map(describe).collect()
    }

    /// The flags that a flag's segments ask for, and theirs, and all segments of all of them.
    fn dependencies(&self, index: FeatureIndex) -> (Vec<&str>, Vec<Value>) {
        let program = &self.published.program;
        let mut flags = vec![index];
        let mut segments = Vec::new();
        let mut at = 0;
        while at < flags.len() {
            for Candidate { segment, .. } in candidates(program, flags[at]) {
                if !segments.contains(&segment) {
                    segments.push(segment);
                    let asks = self.compiled.asks[segment.0 as usize].iter();
                    let new: BTreeSet<_> = asks.filter(|flag| !flags.contains(flag)).collect();
                    flags.extend(new);
                }
            }
            at += 1;
        }
        let names = flags[1..].iter().map(|&flag| &*program.feature(flag).name).collect();
        let describe = |index: SegmentIndex| {
            let Segment { key, name, .. } = self.segment(index);
            json!({"id": key, "name": name, "matched": self.members.contains(&index)})
        };
        (names, segments.into_iter().map(describe).collect())
    }
}

/// What a condition asks and what it met; whether it holds is for others to say.
fn describe(condition: &Condition, met: Met<'_>, segment_key: &str) -> Value {
    let is_split = condition.operator == Operator::PercentageSplit;
    let property = condition.property.as_deref();
    let attribute = property.filter(|name| !is_split || !name.is_empty());
    let operand = match &condition.value {
        Operand::Text(text) => json!([text]),
        Operand::List(members) => json!(members),
        Operand::Null => Value::Null,
    };
    let mut told = json!({
        "attribute": attribute.unwrap_or(if is_split { IDENTITY_KEY } else { "" }),
        "operator": condition.operator.as_wire(),
        "operand": operand,
        "actual": actual(met),
    });
    if is_split {
        let threshold = match &condition.value {
            Operand::Text(text) => python::parse_float(text),
            Operand::List(_) | Operand::Null => None,
        };
        told["hash"] =
            json!(text_of(met).map(|text| percentage(Seed::new(segment_key).remainder(&text))));
        told["threshold"] = json!(threshold);
    }
    told
}

/// What splits without a property hash.
const IDENTITY_KEY: &str = "$.identity.key";

/// A value that was met, as JSON. Integers beyond 64 bits stay text.
fn actual(met: Met<'_>) -> Value {
    match met {
        Met::Missing => Value::Null,
        Met::Bool(value) => json!(value),
        Met::Integer(text) => {
            text.parse::<i64>().map_or_else(|_| json!(text), |number| json!(number))
        }
        Met::Float(number) => json!(number),
        Met::Text(text) => json!(text),
    }
}

/// The text that is hashed.
fn text_of(met: Met<'_>) -> Option<String> {
    match met {
        Met::Missing => None,
        Met::Bool(true) => Some("True".to_owned()),
        Met::Bool(false) => Some("False".to_owned()),
        Met::Integer(text) | Met::Text(text) => Some(text.to_owned()),
        Met::Float(number) => {
            let mut text = String::new();
            python::write_float(number, &mut text);
            Some(text)
        }
    }
}

/// The share that decided, or else the first that was tried.
fn rollout(origin: Origin, candidates: &[Candidate], rules: &[Value]) -> Value {
    let tried = candidates.iter().zip(rules).filter(|(candidate, _)| match origin {
        Origin::Environment => true,
        Origin::Segment(segment, _) => candidate.segment == segment,
        Origin::Identity => false,
    });
    let conditions = tried.filter_map(|(_, rule)| rule["conditions"].as_array()).flatten();
    let mut splits = conditions.filter(|condition| condition.get("hash").is_some());
    splits.next().map_or(Value::Null, |split| {
        json!({
            "attribute": split["attribute"], "hash": split["hash"], "threshold": split["threshold"],
        })
    })
}

/// Attributes that conditions looked for in vain, each once.
fn missing_attributes(rules: &[Value]) -> Vec<&str> {
    let conditions = rules.iter().filter_map(|rule| rule["conditions"].as_array()).flatten();
    let missing = conditions.filter(|condition| condition["missing"] == true);
    let mut names = Vec::new();
    for name in missing.filter_map(|condition| condition["attribute"].as_str()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn json_of(raw: &str) -> Value {
    serde_json::from_str(raw).unwrap_or_default()
}
