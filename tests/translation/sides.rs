//! Both families of rules, each with its two evaluators, and contexts on their way from one
//! vendor's clients to the other vendor's rules (DESIGN section 4).

use std::collections::BTreeMap;

use burgee::compile::{self, Policy};
use burgee::dialect::flagsmith::document;
use burgee::dialect::reflag::definitions;
use burgee::evaluate::flagsmith::{self as flagsmith_engine, Scalar};
use burgee::evaluate::{EvaluationContext, Evaluator, Program};
use burgee::model::flagsmith::Environment;
use burgee::model::{Generation, Ruleset};
use burgee::time::Timestamp;
use bytes::Bytes;
use serde_json::{Value, json};

use super::naive::{self, Flat, javascript};
use super::naive_flagsmith::{self, Identity, Trait};

/// What a flag comes to, as clients see it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Seen {
    pub(crate) enabled: bool,
    pub(crate) variant: Option<String>,
    /// Null where there is none.
    pub(crate) value: Value,
}

pub(crate) type AllSeen = BTreeMap<String, Seen>;

pub(crate) const NOW: i64 = naive::generate::NOW_MS;

/// A flat context of texts.
pub(crate) type Texts = BTreeMap<String, String>;

pub(crate) fn oracle(generation: Generation) -> naive::Generation {
    match generation {
        Generation::V1_0 => naive::Generation::V1_0,
        Generation::V1_1 => naive::Generation::V1_1,
    }
}

// ---- Reflag's rules

pub(crate) struct ReflagSide {
    pub(crate) document: Value,
    pub(crate) ruleset: Ruleset,
    pub(crate) program: Program,
    pub(crate) policy: Policy,
    has_oracle: bool,
}

impl ReflagSide {
    pub(crate) fn new(document: &[u8], policy: Policy) -> Self {
        let ruleset = definitions::read(&Bytes::copy_from_slice(document)).expect("a document");
        assert_eq!(ruleset.broken, []);
        let program = compile::compile(&ruleset, &policy).program;
        let document = serde_json::from_slice(document).expect("it is JSON");
        Self { document, ruleset, program, policy, has_oracle: true }
    }

    /// Of rules that the naive interpreter reads in its own way: only the engine is asked.
    pub(crate) fn recorded(document: &[u8]) -> Self {
        Self { has_oracle: false, ..Self::new(document, Policy::default()) }
    }

    /// What evaluators make of a context in JSON, by flag.
    pub(crate) fn evaluate(&self, context: &str) -> AllSeen {
        let generation = oracle(self.policy.generation);
        let flat: Flat = naive::flatten(context, generation);
        let mut all = AllSeen::new();
        let definitions = self.document["features"].as_array().expect("a list");
        for ((flag, compiled), definition) in
            self.ruleset.flags.iter().zip(&self.program.flags).zip(definitions)
        {
            let mut ours = EvaluationContext::new();
            ours.reset(&self.program);
            ours.set_json(&self.program, context).expect("the context is within bounds");
            let mut evaluator = Evaluator::new(&self.program, &mut ours, Timestamp(NOW));
            let enabled = evaluator.evaluate(compiled.targeting).matched.is_some();
            let matched = compiled.config.and_then(|list| evaluator.evaluate(list).matched);
            let matched = matched.map(|at| at as usize);
            // The interpreter reads no dates but those of the standard.
            let is_dated =
                ["AFTER", "BEFORE"].iter().any(|word| definition.to_string().contains(word));
            if self.has_oracle && !is_dated {
                let theirs = naive::evaluate_flag(definition, &flat, NOW, generation);
                assert_eq!(enabled, theirs.enabled, "{definition} {context}");
                let config = theirs.config.and_then(|config| config.matched);
                assert_eq!(matched, config, "{definition} {context}");
            }
            let variant = matched.map(|at| &definition["config"]["variants"][at]);
            let seen = Seen {
                enabled,
                variant: variant.map(|v| v["key"].as_str().expect("a key").to_owned()),
                value: variant.map_or(Value::Null, |v| v["payload"].clone()),
            };
            all.insert(flag.key.to_string(), seen);
        }
        all
    }
}

// ---- Flagsmith's rules

pub(crate) struct FlagsmithSide {
    pub(crate) document: Value,
    pub(crate) environment: Environment,
    pub(crate) segments_without_identity: bool,
    program: flagsmith_engine::Program,
    has_oracle: bool,
}

impl FlagsmithSide {
    pub(crate) fn new(document: &[u8], segments_without_identity: bool) -> Self {
        let environment = document::read(&Bytes::copy_from_slice(document)).expect("a document");
        assert_eq!(environment.broken, []);
        let policy = compile::flagsmith::Policy { segments_without_identity, ..Default::default() };
        let program = compile::flagsmith::compile(&environment, &policy).program;
        let document = serde_json::from_slice(document).expect("it is JSON");
        Self { document, environment, segments_without_identity, program, has_oracle: true }
    }

    /// Of rules with patterns and paths that the naive interpreter does not know: only the engine is
    /// asked.
    pub(crate) fn recorded(document: &[u8]) -> Self {
        Self { has_oracle: false, ..Self::new(document, false) }
    }

    /// What engines make of an identity, or of nobody in particular.
    pub(crate) fn evaluate(&self, identity: Option<&Identity>) -> AllSeen {
        let mut context = flagsmith_engine::EvaluationContext::new();
        context.reset(&self.program);
        if let Some(identity) = identity {
            context.set_identity(&self.program, &identity.identifier);
        }
        for (name, value) in identity.iter().flat_map(|identity| &identity.traits) {
            let value = match value {
                Trait::Null => Scalar::Null,
                Trait::Bool(value) => Scalar::Bool(*value),
                Trait::Number(text) => Scalar::Number(text),
                Trait::Text(text) => Scalar::Text(text),
            };
            context.set_trait(&self.program, name, value);
        }
        let evaluation = flagsmith_engine::evaluate(&self.program, &mut context);
        let ours: AllSeen = evaluation
            .outcomes()
            .iter()
            .map(|&index| {
                let outcome = self.program.outcome(index);
                let name = self.program.feature(outcome.feature).name.to_string();
                let seen = Seen {
                    enabled: outcome.enabled,
                    variant: outcome.variant.as_deref().map(str::to_owned),
                    value: serde_json::from_str(outcome.value.get()).expect("it is JSON"),
                };
                (name, seen)
            })
            .collect();
        if !self.has_oracle {
            return ours;
        }
        let (flags, _) =
            naive_flagsmith::evaluate(&self.document, identity, self.segments_without_identity);
        let theirs: AllSeen = flags
            .into_iter()
            .map(|flag| {
                let seen = Seen { enabled: flag.enabled, variant: flag.variant, value: flag.value };
                (flag.name, seen)
            })
            .collect();
        assert_eq!(ours, theirs, "{identity:?}");
        ours
    }
}

// ---- ways between them

/// Reflag's clients ask Flagsmith's rules: a flat context of texts, as dotted parameters carry it.
/// Nobody in particular is asked about without a user's id.
pub(crate) fn identity_of(texts: &Texts) -> Option<Identity> {
    let identifier = texts.get("user.id").filter(|text| !text.is_empty())?;
    let mut traits: Vec<(String, Trait)> = Vec::new();
    let mut add = |name: &str, text: &str| {
        if traits.iter().all(|(known, _)| known != name) {
            let value = match text {
                "true" => Trait::Bool(true),
                "false" => Trait::Bool(false),
                text => Trait::Text(text.to_owned()),
            };
            traits.push((name.to_owned(), value));
        }
    };
    for group in ["user.", "company.", "other."] {
        for (path, text) in texts {
            match path.strip_prefix(group) {
                Some(_) if group == "company." => add(path, text),
                Some(name) if path != "user.id" => add(name, text),
                _ => {}
            }
        }
    }
    Some(Identity { identifier: identifier.clone(), traits })
}

/// The JSON text of a flat context.
pub(crate) fn json_of(texts: &Texts) -> String {
    json!(texts).to_string()
}

/// Flagsmith's clients ask Reflag's rules: what the rules see of an identity.
pub(crate) fn texts_of(identity: Option<&Identity>) -> Texts {
    let mut texts = Texts::new();
    let Some(identity) = identity else { return texts };
    for (name, value) in &identity.traits {
        let text = match value {
            Trait::Null => continue,
            Trait::Bool(value) => value.to_string(),
            Trait::Number(text) => javascript::number_text(text.parse().expect("a number")),
            Trait::Text(text) => text.clone(),
        };
        let path = match name.as_str() {
            name if name.starts_with("company.") || name.starts_with("other.") => name.to_owned(),
            name => format!("user.{name}"),
        };
        texts.insert(path, text);
    }
    if !texts.contains_key("company.id")
        && let Some(text) = texts.get("user.company_id").or(texts.get("user.companyId"))
    {
        texts.insert("company.id".to_owned(), text.clone());
    }
    texts.insert("user.id".to_owned(), identity.identifier.clone());
    texts
}
