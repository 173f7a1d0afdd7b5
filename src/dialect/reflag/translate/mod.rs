//! Flagsmith's rules as a features document, for server SDKs of Reflag that evaluate by themselves.
//!
//! A flag is translated when, for every context that such an SDK can hold, its evaluator comes to
//! what Burgee comes to when it is asked about the same context: enabled or not, variant, and value.
//! A flag of which any part has no exact equal is left out and named. Nothing is approximated.
//!
//! # What both sides see of a context
//!
//! The SDK evaluates a flat map of texts (reflag-runtime.md 12.1), and asks Burgee with the same
//! texts in dotted parameters, of which exactly `true` and `false` become booleans. `user.id` is the
//! identifier; without one, or with an empty one (which the SDK refuses), nobody in particular is
//! asked about. A trait `X`
//! is `user.X`, else, where its name begins with `company.`, the attribute of that name, else
//! `other.X`; an attribute counts when it is there, though it be empty. A trait `id` is refused: its
//! attribute is the identifier. Traits whose names read as paths (`$.`) do not come from Reflag's
//! clients.
//!
//! Evaluators of generation 1.1 send typed contexts (`contextJson`), and what Flagsmith's rules then
//! tell apart their own filters cannot: `"true"` from `true`, null from the empty text, a missing
//! attribute from an empty one. So with `evaluator = "1.1"` no condition on a trait is translated.
//!
//! # Conditions
//!
//! Of a trait; "text" is what looks like no number (`-?[0-9]+`, `-?[0-9]+\.[0-9]+`) and is neither
//! `true` nor `false`. Where it matters, text is told from numbers by a filter of some ninety
//! comparisons, of which evaluators ask a dozen unless the value is nearly a number.
//!
//! | operator | exact when | example | becomes |
//! |---|---|---|---|
//! | `EQUAL` | the operand reads as no number and no version; a boolean `true` equals all operands but `False` and `false` | `plan EQUAL gold` | `user.plan ANY_OF [gold, true]` |
//! | `NOT_EQUAL` | the same; numbers never differ from an operand that is none | `plan NOT_EQUAL gold` | `user.plan NOT_ANY_OF [gold, true]` and no number |
//! | `IN` | no member is a whole number as it is usually spelled; booleans and numbers with a point are in no list | `plan IN gold,true` | `user.plan IS gold` |
//! | `CONTAINS` | the operand has no character with capital and small forms | `mail CONTAINS @` | `user.mail CONTAINS @` |
//! | `NOT_CONTAINS` | the same | `mail NOT_CONTAINS @` | `user.mail NOT_CONTAINS @`, no number, no boolean |
//! | `IS_SET`, `IS_NOT_SET` | always | `plan IS_SET` | `user.plan NOT_ANY_OF []`, which holds for any text |
//! | `PERCENTAGE_SPLIT` | everybody or nobody falls below: from 99.99 up, below 0, no number. At 0, one in 9,999 does | `PERCENTAGE_SPLIT 100` | `user.id SET` |
//! | `GREATER_THAN`, `LESS_THAN` and both `_INCLUSIVE` | never: text is ordered by characters | `age GREATER_THAN 18` | |
//! | `MODULO`, `REGEX` | the operand is none, so that nothing matches | `age MODULO 2` | a constant |
//! | any other | always: nothing holds | `plan RHYMES_WITH old` | a constant |
//!
//! `$.identity.identifier` is `user.id`, which is never a boolean; `$.identity.key` the same behind
//! the environment's key, for equality and membership; `$.identity.traits.X` is the trait;
//! `$.environment.name` and `$.environment.key` are known and compared at once, whatever the
//! operator, and so are the flags that `$.flags.X.enabled`, `.value`, `.variant` and `.name` ask for.
//! Paths into the rest of the document, queries, and reasons of flags are not translated.
//!
//! # Flags
//!
//! The override of an identity becomes `user.id ANY_OF`, exact text. Of segments' overrides the
//! strongest counts, so each is joined with the negation of those that are stronger, as far as it
//! matters: overrides that change nothing are dropped, whatever their rules. A multivariate split is
//! exact when one share takes everybody or none takes anybody. The value is remote config: the
//! variant's key, else `default`; a value of null is no config. Flags that the environment hides from
//! servers while they are off have no config then.

mod conditions;
mod filters;

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::rc::Rc;

use bytes::Bytes;

use self::conditions::{Check, EVERYBODY, Reading};
use self::filters::{FALSE, TRUE, Translated, all, all_of, any, any_of, condition, is_there, not};
use crate::compile::flagsmith as compile;
use crate::dialect::translation::few;
use crate::dialect::{Translation, Untranslated};
use crate::evaluate::flagsmith::{
    Constant, EvaluationContext, Program, Query, Scalar, evaluate, first_from, is_path,
};
use crate::json::write_string;
use crate::model::flagsmith::{
    Condition, Environment, Feature, FeatureState, Operand, Operator, Rule, RuleKind, Segment,
};
use crate::model::{Filter, Generation, GroupOperator, Operator as Compare, Version};

/// What the environment's settings say about the document.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// The version that clients see.
    pub version: Version,
    /// The evaluators that the document is for.
    pub generation: Generation,
    /// Whether segments apply to contexts without an identity.
    pub segments_without_identity: bool,
}

/// The features document that means the same as `environment` to evaluators of
/// [`Terms::generation`].
pub fn definitions(environment: &Environment, terms: &Terms) -> Translation {
    let mut translator = Translator::new(environment, terms);
    let mut untranslated = Vec::new();
    let mut out =
        format!("{{\"success\":true,\"flagStateVersion\":{},\"features\":[", terms.version);
    let mut first = true;
    for (at, feature) in environment.features.iter().enumerate() {
        match translator.outcomes(at) {
            Ok(choices) => {
                let hides = environment.hide_disabled_from_servers;
                if hides && choices.iter().all(|choice| !choice.outcome.enabled) {
                    continue;
                }
                if !std::mem::take(&mut first) {
                    out.push(',');
                }
                let secret = environment.server_key_only.contains(&feature.id);
                write_flag(feature, secret, hides, &choices, terms.version, &mut out);
            }
            Err(reason) => untranslated.push(without_equal(feature, reason)),
        }
    }
    out.push_str("]}");
    Translation { document: Bytes::from(out), untranslated }
}

/// What [`definitions`] leaves out, without the document.
pub fn untranslated(environment: &Environment, terms: &Terms) -> Vec<Untranslated> {
    let mut translator = Translator::new(environment, terms);
    let features = environment.features.iter().enumerate();
    let judged = features.map(|(at, feature)| (feature, translator.outcomes(at)));
    judged.filter_map(|(feature, judged)| Some(without_equal(feature, judged.err()?))).collect()
}

fn without_equal(feature: &Feature, reason: String) -> Untranslated {
    Untranslated { flag: feature.state.feature.clone(), reason }
}

/// What a feature comes to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Outcome {
    enabled: bool,
    /// JSON as it was spelled.
    value: Box<str>,
    variant: Option<Box<str>>,
}

/// What a feature comes to for those for whom this filter is the first that holds.
#[derive(Clone, Debug)]
struct Choice {
    guard: Filter,
    outcome: Outcome,
}

/// A choice parts of which may not be sayable.
struct Candidate {
    guard: Translated,
    outcome: Result<Outcome, String>,
}

type Choices = Result<Rc<[Choice]>, String>;

struct Translator<'a> {
    environment: &'a Environment,
    terms: &'a Terms,
    /// For what only the compiler finds out.
    program: Program,
    places: HashMap<&'a str, usize>,
    /// What single identities get, by feature and then by identifier.
    identities: HashMap<&'a str, Vec<(&'a str, &'a FeatureState)>>,
    members: Vec<Option<Translated>>,
    choices: Vec<Option<Choices>>,
}

impl<'a> Translator<'a> {
    fn new(environment: &'a Environment, terms: &'a Terms) -> Self {
        let names = environment.features.iter().map(|feature| &*feature.state.feature);
        Self {
            environment,
            terms,
            program: compile::compile(environment, &compile::Policy::default()).program,
            places: names.zip(0..).collect(),
            identities: identities(environment),
            members: vec![None; environment.segments.len()],
            choices: vec![None; environment.features.len()],
        }
    }

    /// All that a feature can come to. The last choice is everybody's.
    fn outcomes(&mut self, at: usize) -> Choices {
        if let Some(known) = &self.choices[at] {
            return known.clone();
        }
        let choices = decide(self.candidates(at));
        self.choices[at] = Some(choices.clone());
        choices
    }

    /// The strongest first.
    fn candidates(&mut self, at: usize) -> Vec<Candidate> {
        let environment = self.environment;
        let feature = &environment.features[at];
        let name = &feature.state.feature;
        let mut candidates = Vec::new();
        if !self.program.features[at].is_circular {
            candidates = self.identities(feature);
            let mut overrides = Vec::new();
            for (segment, index) in environment.segments.iter().zip(0..) {
                let own = segment.overrides.iter().filter(|o| o.state.feature == *name);
                overrides
                    .extend(own.map(|o| (o.priority.unwrap_or(f64::INFINITY), index, &o.state)));
            }
            // Of equally strong ones the first counts.
            overrides.sort_by(|(a, ..), (b, ..)| a.total_cmp(b));
            for (_, segment, state) in overrides {
                let member = self.member(segment);
                self.offer(
                    feature,
                    state,
                    &member,
                    self.terms.segments_without_identity,
                    &mut candidates,
                );
            }
        }
        self.offer(feature, &feature.state, &Ok(TRUE), true, &mut candidates);
        candidates
    }

    /// What single identities get, those with the same together.
    fn identities(&self, feature: &Feature) -> Vec<Candidate> {
        let mut groups: Vec<(Result<Outcome, String>, Vec<String>)> = Vec::new();
        let mut places: HashMap<Result<Outcome, String>, usize> = HashMap::new();
        let own = self.identities.get(&*feature.state.feature).into_iter().flatten();
        for &(identifier, state) in own {
            let outcome = self.outcome(feature, state, true);
            let place = *places.entry(outcome.clone()).or_insert(groups.len());
            match groups.get_mut(place) {
                Some((_, identifiers)) => identifiers.push(identifier.to_owned()),
                None => groups.push((outcome, vec![identifier.to_owned()])),
            }
        }
        let candidate = |(outcome, identifiers): (_, Vec<String>)| {
            let is_one_of = filters::is_one_of(IDENTIFIER, &identifiers);
            Candidate { guard: Ok(all([self.has_identity(), is_one_of])), outcome }
        };
        groups.into_iter().map(candidate).collect()
    }

    /// Adds what a state gives to those whom it is for: with an identity, and, if it is for them at
    /// all, without.
    fn offer(
        &self,
        feature: &Feature,
        state: &FeatureState,
        member: &Translated,
        without_identity: bool,
        candidates: &mut Vec<Candidate>,
    ) {
        let with = self.outcome(feature, state, true);
        let without = self.outcome(feature, state, false);
        if without_identity && with == without {
            candidates.push(Candidate { guard: member.clone(), outcome: with });
            return;
        }
        let guard = all_of(vec![Ok(self.has_identity()), member.clone()]);
        candidates.push(Candidate { guard, outcome: with });
        if without_identity {
            candidates.push(Candidate { guard: member.clone(), outcome: without });
        }
    }

    fn outcome(
        &self,
        feature: &Feature,
        state: &FeatureState,
        has_identity: bool,
    ) -> Result<Outcome, String> {
        let plain =
            Outcome { enabled: state.enabled, value: state.value.get().into(), variant: None };
        let is_circular = self.program.features[self.places[&*feature.state.feature]].is_circular;
        let is_multivariate = &*feature.kind == "MULTIVARIATE" || !state.variants.is_empty();
        if !has_identity || is_circular || !is_multivariate {
            return Ok(plain);
        }
        let mut variants: Vec<_> = state.variants.iter().collect();
        variants.sort_by_key(|variant| variant.priority);
        let mut start = 0.0;
        for variant in variants {
            let end = start + variant.weight;
            let share = (first_from(start), first_from(end));
            start = end;
            if share == (0, EVERYBODY) {
                let value = variant.value.get().into();
                return Ok(Outcome { value, variant: variant.key.clone(), ..plain });
            }
            if share.0 < share.1 {
                return Err(
                    "its values are split among identities by MD5, and Reflag draws them by \
                     SHA-256: they would be others"
                        .to_owned(),
                );
            }
        }
        Ok(Outcome { variant: Some("control".into()), ..plain })
    }

    fn has_identity(&self) -> Filter {
        let is_set = condition(IDENTIFIER, Compare::Set, []);
        match self.terms.generation {
            Generation::V1_0 => is_set,
            // A list is no identifier: it contains the empty text as an element only.
            Generation::V1_1 => all([
                is_set,
                condition(IDENTIFIER, Compare::Contains, [""]),
                condition(IDENTIFIER, Compare::NotAnyOf, [""]),
            ]),
        }
    }

    /// Whether somebody belongs to a segment.
    fn member(&mut self, index: usize) -> Translated {
        if let Some(known) = &self.members[index] {
            return known.clone();
        }
        let segment = &self.environment.segments[index];
        let member = if segment.rules.is_empty() || self.touches_a_circle(&segment.rules) {
            Ok(FALSE)
        } else {
            let rules = segment.rules.iter().map(|rule| self.rule(segment, rule)).collect();
            all_of(rules)
        };
        self.members[index] = Some(member.clone());
        member
    }

    /// Whether rules ask for a flag that depends on itself.
    fn touches_a_circle(&self, rules: &[Rule]) -> bool {
        let asks = |condition: &Condition| match self.value(condition) {
            Ok(Value::Flag(place, _)) => self.program.features[place].is_circular,
            _ => false,
        };
        rules
            .iter()
            .any(|rule| rule.conditions.iter().any(asks) || self.touches_a_circle(&rule.rules))
    }

    /// Both halves of a rule are joined in the same way, and an empty half holds.
    fn rule(&mut self, segment: &Segment, rule: &Rule) -> Translated {
        let join = |parts: Vec<Translated>| match rule.kind {
            _ if parts.is_empty() => Ok(TRUE),
            RuleKind::All => all_of(parts),
            RuleKind::Any => any_of(parts),
            RuleKind::None => any_of(parts).map(not),
        };
        let conditions = rule.conditions.iter().map(|c| self.condition(segment, c)).collect();
        let inner = rule.rules.iter().map(|rule| self.rule(segment, rule)).collect();
        all_of(vec![join(conditions), join(inner)])
    }

    fn condition(&mut self, segment: &Segment, asked: &Condition) -> Translated {
        // Compared with a list, nothing ever holds but what does not ask for the operand.
        let takes_any =
            matches!(asked.operator, Operator::In | Operator::IsSet | Operator::IsNotSet);
        if matches!(asked.value, Operand::List(_)) && !takes_any {
            return Ok(FALSE);
        }
        let compared = match asked.operator {
            Operator::IsNotSet => {
                let opposite = Condition { operator: Operator::IsSet, ..asked.clone() };
                self.compare(segment, &opposite).map(not)
            }
            _ => self.compare(segment, asked),
        };
        compared.map_err(|reason| {
            let property = asked.property.as_deref().unwrap_or_default();
            let operator = asked.operator.as_wire();
            let operand = match &asked.value {
                Operand::Text(text) => few([&**text]),
                Operand::List(members) => few(members.iter().map(|member| &**member)),
                Operand::Null => String::new(),
            };
            let asked = format!("{property} {operator} {operand}");
            format!("segment `{}`, `{}`: {reason}", segment.name, asked.trim())
        })
    }

    fn compare(&mut self, segment: &Segment, asked: &Condition) -> Translated {
        let filter = match self.value(asked)? {
            Value::Missing => FALSE,
            Value::Constant(constant) => Filter::Constant(holds(segment, asked, &constant)),
            Value::Flag(place, member) => {
                let choices =
                    self.outcomes(place).map_err(|reason| format!("that flag: {reason}"))?;
                let name = &self.environment.features[place].state.feature;
                let mut stronger = Vec::new();
                let mut parts = Vec::new();
                for Choice { guard, outcome } in choices.iter() {
                    if holds(segment, asked, &member.of(name, outcome)) {
                        let own = all(stronger.iter().cloned().chain([guard.clone()]));
                        parts.push(own);
                    }
                    stronger.push(not(guard.clone()));
                }
                any(parts)
            }
            Value::Identifier => {
                let check = Check::of(asked, Reading::Identifier)?;
                self.of_identifier(&check)
            }
            Value::IdentityKey => self.of_key(asked)?,
            Value::Trait(_) if self.terms.generation == Generation::V1_1 => {
                return Err("contexts of generation 1.1 have types, and its filters cannot tell `true` from \
                     its text, nor a missing attribute from an empty one"
                    .to_owned());
            }
            Value::Trait(attributes) => {
                let check = Check::of(asked, Reading::Trait)?;
                first_there(&attributes, |attribute| check.filter(attribute, Reading::Trait))
            }
        };
        Ok(filter)
    }

    fn of_identifier(&self, check: &Check) -> Filter {
        match check {
            Check::Any => self.has_identity(),
            // Never empty.
            Check::OneOf(texts) if texts.iter().all(String::is_empty) => FALSE,
            check => all([self.has_identity(), check.filter(IDENTIFIER, Reading::Identifier)]),
        }
    }

    /// The identity's key: the environment's, an underscore, and the identifier. Never a number.
    fn of_key(&self, asked: &Condition) -> Translated {
        let prefix = format!("{}_", self.environment.key);
        let rests = |texts: Vec<String>| -> Vec<String> {
            let rest = |text: &String| text.strip_prefix(&prefix).map(str::to_owned);
            texts.iter().filter_map(rest).collect()
        };
        match Check::of(asked, Reading::Identifier)? {
            Check::Any => Ok(self.has_identity()),
            Check::OneOf(texts) => Ok(self.of_identifier(&Check::OneOf(rests(texts)))),
            Check::TextBut(texts) => {
                let differs = filters::is_none_of(IDENTIFIER, &rests(texts));
                Ok(all([self.has_identity(), differs]))
            }
            _ => Err("of an identity's key only equality and membership are translated".to_owned()),
        }
    }

    /// Where a condition's value comes from.
    fn value(&self, asked: &Condition) -> Result<Value, String> {
        let Some(property) = asked
            .property
            .as_deref()
            .filter(|name| !name.is_empty() || asked.operator != Operator::PercentageSplit)
        else {
            let is_split = asked.operator == Operator::PercentageSplit;
            return Ok(if is_split { Value::IdentityKey } else { Value::Missing });
        };
        if !is_path(property) {
            return trait_value(property);
        }
        let Ok(query) = Query::parse(property) else { return Ok(Value::Missing) };
        let Some(names) = query.names() else {
            return Err("the path has to be searched for in the whole context".to_owned());
        };
        let environment = self.environment;
        Ok(match *names.as_slice() {
            ["identity", "identifier"] => Value::Identifier,
            ["identity", "key"] => Value::IdentityKey,
            ["identity", "traits", name] => return trait_value(name),
            ["environment", "key"] => Value::Constant(Constant::Text(environment.key.clone())),
            ["environment", "name"] => {
                let name = environment.name.clone();
                Value::Constant(name.map_or(Constant::Null, Constant::Text))
            }
            ["flags", name, member] => match (self.places.get(name), member) {
                (None, _) => Value::Missing,
                (_, "reason") => {
                    return Err("reasons are not the same in both protocols".to_owned());
                }
                (Some(&place), "name") => Value::Flag(place, Member::Name),
                (Some(&place), "enabled") => Value::Flag(place, Member::Enabled),
                (Some(&place), "value") => Value::Flag(place, Member::Value),
                (Some(&place), "variant") => Value::Flag(place, Member::Variant),
                _ => Value::Missing,
            },
            ["features" | "segments", ..] => {
                return Err("the path leads into Flagsmith's own document".to_owned());
            }
            _ => Value::Missing,
        })
    }
}

fn identities(environment: &Environment) -> HashMap<&str, Vec<(&str, &FeatureState)>> {
    // In a fixed order, so that equal documents give equal bytes.
    let sorted: BTreeMap<_, _> = environment.identity_overrides.iter().collect();
    let mut identities: HashMap<&str, Vec<(&str, &FeatureState)>> = HashMap::new();
    for (identifier, states) in sorted {
        for state in states {
            let own = identities.entry(&*state.feature).or_default();
            // Of two overrides of one feature the first counts.
            if own.last().is_none_or(|(last, _)| *last != &**identifier) {
                own.push((identifier, state));
            }
        }
    }
    identities
}

/// The attribute that is the identifier.
const IDENTIFIER: &str = "user.id";

/// Where a condition's value comes from.
enum Value {
    /// Nowhere: it is never there.
    Missing,
    /// It is known.
    Constant(Constant),
    /// A member of another flag.
    Flag(usize, Member),
    Identifier,
    IdentityKey,
    /// The first of these attributes that is there.
    Trait(Vec<String>),
}

#[derive(Clone, Copy)]
enum Member {
    Name,
    Enabled,
    Value,
    Variant,
}

impl Member {
    fn of(self, name: &str, outcome: &Outcome) -> Constant {
        match self {
            Self::Name => Constant::Text(name.into()),
            Self::Enabled => Constant::Bool(outcome.enabled),
            Self::Variant => outcome.variant.clone().map_or(Constant::Null, Constant::Text),
            Self::Value => match &*outcome.value {
                "true" => Constant::Bool(true),
                "false" => Constant::Bool(false),
                text if text.starts_with('"') => {
                    serde_json::from_str(text).map_or(Constant::Null, Constant::Text)
                }
                text if text.starts_with(['n', '{', '[']) => Constant::Null,
                number => Constant::Number(number.into()),
            },
        }
    }
}

/// The attributes that a trait of this name comes from.
fn trait_value(name: &str) -> Result<Value, String> {
    if name.is_empty() {
        return Err("a trait without a name has no attribute".to_owned());
    }
    if name == "id" {
        return Err("on Reflag's side `user.id` is the identifier, not a trait".to_owned());
    }
    if is_path(name) {
        return Ok(Value::Missing);
    }
    if name.split('.').any(|part| matches!(part, "__proto__" | "constructor" | "prototype")) {
        return Err("Reflag's clients do not send attributes of such a name".to_owned());
    }
    let company = name.starts_with("company.").then(|| name.to_owned());
    let attributes = [Some(format!("user.{name}")), company, Some(format!("other.{name}"))];
    Ok(Value::Trait(attributes.into_iter().flatten().collect()))
}

/// Asks the first attribute that is there.
fn first_there(attributes: &[String], ask: impl Fn(&str) -> Filter) -> Filter {
    let mut stronger = Vec::new();
    let mut parts = Vec::new();
    for attribute in attributes {
        parts.push(all(stronger.iter().cloned().chain([ask(attribute)])));
        stronger.push(not(is_there(attribute)));
    }
    any(parts)
}

/// Whether a condition holds of a value that is known: the engine is asked.
fn holds(segment: &Segment, asked: &Condition, constant: &Constant) -> bool {
    const NAME: &str = "value";
    let asked = Condition { property: Some(NAME.into()), ..asked.clone() };
    let rule = Rule { kind: RuleKind::All, conditions: vec![asked], rules: vec![] };
    let segment = Segment { rules: vec![rule], overrides: vec![], ..segment.clone() };
    let environment = Environment { segments: vec![segment], ..Environment::default() };
    let program = compile::compile(&environment, &compile::Policy::default()).program;
    let mut context = EvaluationContext::new();
    context.reset(&program);
    context.set_identity(&program, NAME);
    context.set_trait(&program, NAME, Scalar::from(constant));
    evaluate(&program, &mut context).segments().next().is_some()
}

/// Drops what changes nothing, and says why the rest cannot be said.
fn decide(mut candidates: Vec<Candidate>) -> Choices {
    candidates.retain(|candidate| candidate.guard != Ok(FALSE));
    if let Some(last) = candidates.iter().position(|candidate| candidate.guard == Ok(TRUE)) {
        candidates.truncate(last + 1);
    }
    // Whoever would fall through to the same need not be told.
    while let [.., before, last] = candidates.as_slice()
        && before.outcome == last.outcome
    {
        let everybody = candidates.len() - 2;
        candidates.remove(everybody);
    }
    let choice =
        |candidate: Candidate| Ok(Choice { guard: candidate.guard?, outcome: candidate.outcome? });
    candidates.into_iter().map(choice).collect::<Result<Rc<[Choice]>, String>>()
}

fn write_flag(
    feature: &Feature,
    secret: bool,
    hides: bool,
    choices: &[Choice],
    version: Version,
    out: &mut String,
) {
    out.push('{');
    if secret {
        out.push_str("\"secret\":true,");
    }
    out.push_str("\"key\":");
    write_string(&feature.state.feature, out);
    // Writing to a string does not fail.
    let _ = write!(out, ",\"targeting\":{{\"version\":{version},\"rules\":[");
    let rules = match enabled(choices) {
        FALSE => vec![],
        Filter::Group { operator: GroupOperator::Or, filters } => filters,
        other => vec![other],
    };
    for (at, rule) in rules.iter().enumerate() {
        out.push_str(if at > 0 { ",{\"filter\":" } else { "{\"filter\":" });
        filters::write(rule, out);
        out.push('}');
    }
    out.push_str("]}");
    write_config(choices, hides, version, out);
    out.push('}');
}

/// Whether the feature is on.
fn enabled(choices: &[Choice]) -> Filter {
    choices.iter().rev().fold(FALSE, |rest, Choice { guard, outcome }| {
        if outcome.enabled { any([guard.clone(), rest]) } else { all([not(guard.clone()), rest]) }
    })
}

fn write_config(choices: &[Choice], hides: bool, version: Version, out: &mut String) {
    let has_value = |outcome: &Outcome| &*outcome.value != "null" && (outcome.enabled || !hides);
    if !choices.iter().any(|choice| has_value(&choice.outcome)) {
        return;
    }
    let _ = write!(out, ",\"config\":{{\"version\":{version},\"variants\":[");
    // Nobody who has no value may fall through to one.
    let mut without = Vec::new();
    let mut first = true;
    for Choice { guard, outcome } in choices {
        if !has_value(outcome) {
            without.push(not(guard.clone()));
            continue;
        }
        out.push_str(if std::mem::take(&mut first) { "{\"key\":" } else { ",{\"key\":" });
        write_string(outcome.variant.as_deref().unwrap_or("default"), out);
        out.push_str(",\"payload\":");
        out.push_str(&outcome.value);
        out.push_str(",\"filter\":");
        filters::write(&all(without.iter().cloned().chain([guard.clone()])), out);
        out.push('}');
    }
    out.push_str("]}");
}
