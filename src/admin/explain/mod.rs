//! Why is this flag off for that company? (`POST /explain`, `burgee explain`)
//!
//! The answer comes from the compiled program itself. Single conditions are explained by compiling
//! each as a rule of its own, so an explanation cannot disagree with an evaluation. Rules of either
//! family are explained in one shape (DESIGN section 3).

mod flagsmith;
mod identity;
mod logic;
mod reflag;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use logic::Logic;

use crate::evaluate::{ContextError, OutcomeIndex};
use crate::model::KeyClass;
use crate::snapshot::{Content, Family, Profile};
use crate::time::Timestamp;

/// What is asked.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// Name of the environment.
    pub environment: String,
    /// The context, as `contextJson` has it; for Flagsmith's rules also as `identities/` has it.
    pub context: Box<RawValue>,
    /// Only this flag.
    pub flag: Option<String>,
    /// As which class of key the dialects answer; secret when not said.
    pub key_class: Option<AskedClass>,
    /// The moment, RFC 3339; now when not said.
    pub now: Option<String>,
}

impl Question {
    fn asks_about(&self, key: &str) -> bool {
        self.flag.as_ref().is_none_or(|flag| flag == key)
    }
}

/// A class of keys, as asked for.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the variants are the protocol's own names")]
pub enum AskedClass {
    Publishable,
    Secret,
}

/// Why there is no explanation.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    /// No such flag.
    #[error("there is no flag `{0}`")]
    UnknownFlag(String),
    /// `now` is not RFC 3339.
    #[error("`now` is not an RFC 3339 instant: `{0}`")]
    Now(String),
    /// The context cannot be read.
    #[error("context: {0}")]
    Context(#[from] ContextError),
    /// The context can be read and names no identity that Flagsmith's rules could know.
    #[error("context: {0}")]
    Identity(String),
}

/// A flag's entry, and what it came to.
struct Explained {
    /// Complete but for what the dialects say whose rules these are not.
    entry: Value,
    outcome: OutcomeIndex,
}

impl Explained {
    /// Adds what every dialect answers: null where the class may not see the flag.
    fn finish(self, content: &Content, class: KeyClass) -> Value {
        let Self { mut entry, outcome } = self;
        let program = content.family.program();
        let json = |text: Option<String>| {
            text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or(Value::Null)
        };
        let (dialect, answer) = match &content.family {
            Family::Reflag(rules) => ("flagsmith", rules.flags.one(program, class, outcome)),
            Family::Flagsmith(rules) => ("reflag", rules.entries.one(program, class, outcome)),
        };
        entry["dialects"][dialect] = json(answer);
        entry["dialects"]["ofrep"] = json(content.evaluations.one(program, class, outcome));
        entry
    }
}

/// Explains all flags, or the one that is asked for (shape: DESIGN section 3).
pub fn explain(
    content: &Content,
    profile: &Profile,
    question: &Question,
    now: Timestamp,
) -> Result<Value, ExplainError> {
    let now = match &question.now {
        Some(text) => Timestamp::parse(text).ok_or_else(|| ExplainError::Now(text.clone()))?,
        None => now,
    };
    let class = match question.key_class {
        Some(AskedClass::Publishable) => KeyClass::Publishable,
        Some(AskedClass::Secret) | None => KeyClass::Secret,
    };
    let mut answer = json!({
        "environment": profile.name.as_str(),
        "version": content.version.number(),
        "now": now.to_string(),
    });
    let explained = match &content.family {
        Family::Reflag(rules) => {
            answer["semantics"] = json!("reflag");
            reflag::flags(rules, profile, question, class, now)?
        }
        Family::Flagsmith(rules) => {
            let identity = identity::read(question.context.get())?;
            answer["semantics"] = json!("flagsmith");
            answer["identity"] = identity.describe();
            let applies = identity.identifier.is_some() || profile.segments_without_identity;
            answer["applies_segments"] = json!(applies);
            flagsmith::flags(rules, profile, question, class, &identity)
        }
    };
    if let (Some(key), true) = (&question.flag, explained.is_empty()) {
        return Err(ExplainError::UnknownFlag(key.clone()));
    }
    let flags = explained.into_iter().map(|explained| explained.finish(content, class)).collect();
    answer["flags"] = Value::Array(flags);
    Ok(answer)
}
