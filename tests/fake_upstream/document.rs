//! What the service knows: flags, which of them are secret, and the version of it all.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

/// A state of the environment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Document {
    /// `flagStateVersion`.
    pub(crate) version: u64,
    /// Definitions as `GET /features` lists them. Nothing in them says which are secret.
    pub(crate) flags: Vec<Value>,
    /// Keys of flags that publishable keys do not see.
    pub(crate) secret: BTreeSet<String>,
}

impl Document {
    /// Without any flag.
    pub(crate) fn empty(version: u64) -> Self {
        Self { version, ..Self::default() }
    }

    /// With one more flag.
    pub(crate) fn flag(mut self, flag: Value) -> Self {
        self.flags.push(flag);
        self
    }

    /// With one more flag, which publishable keys do not see.
    pub(crate) fn secret_flag(mut self, flag: Value) -> Self {
        self.secret.insert(key_of(&flag).to_owned());
        self.flag(flag)
    }

    /// The body of `GET /features`.
    pub(crate) fn definitions(&self) -> Value {
        json!({"success": true, "flagStateVersion": self.version, "features": self.flags})
    }

    /// The body of `GET /features/evaluated`: what there is to see, all of it off.
    pub(crate) fn evaluated(&self, with_secret: bool) -> Value {
        let seen =
            self.flags.iter().filter(|flag| with_secret || !self.secret.contains(key_of(flag)));
        let entries = seen.map(|flag| {
            let entry = json!({
                "key": flag["key"],
                "isEnabled": false,
                "targetingVersion": flag["targeting"]["version"],
                "ruleEvaluationResults": [],
                "missingContextFields": [],
            });
            (key_of(flag).to_owned(), entry)
        });
        json!({
            "success": true,
            "remoteContextUsed": false,
            "flagStateVersion": self.version,
            "features": entries.collect::<Map<_, _>>(),
        })
    }
}

fn key_of(flag: &Value) -> &str {
    flag["key"].as_str().expect("a flag has a key")
}
