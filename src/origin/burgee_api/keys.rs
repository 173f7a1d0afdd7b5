//! Environments, their keys, and API keys.

use std::time::Duration;

use serde_json::{Value, json};

use super::{NAME, read_object};
use crate::model::KeyClass;
use crate::origin::api::{Answer, Api, Call, Refusal, answer};
use crate::origin::keys::NewKey;
use crate::origin::model::{ApiKey, EnvironmentKey, Scope, Scopes, limits};
use crate::origin::store::NewKeys;
use crate::origin::wire::{EnvironmentAnswer, moment};

/// How long a replaced key holds when nothing else is said: long enough to roll out the new one.
pub(crate) const DEFAULT_GRACE: Duration = Duration::from_secs(24 * 60 * 60);
/// Longest.
pub(crate) const LONGEST_GRACE: Duration = Duration::from_secs(90 * 24 * 60 * 60);

impl Api {
    pub(super) async fn create_environment(&self, call: &Call) -> Answer {
        let (name, is_production) = read_object(call, |checker, object| {
            checker.only(object, &["name", "isProduction"]);
            let name = checker.required_text(object, "name", NAME);
            (name, checker.boolean(object, "isProduction").unwrap_or(false))
        })?;
        let app = call.app();
        let environment = self.write(call, move |writer| {
            let keys = NewKeys::random(&name)?;
            let environment = writer.create_environment(&app, &name, is_production, &keys)?;
            EnvironmentAnswer::whole(writer, environment)
        });
        answer(&environment.await?)
    }

    pub(super) async fn update_environment(&self, call: &Call) -> Answer {
        let (name, order) = read_object(call, |checker, object| {
            checker.only(object, &["name", "order"]);
            let name = checker.text(object, "name", NAME);
            (name, checker.whole(object, "order", 0..=limits::OF_AN_APP as u64))
        })?;
        let (app, environment) = (call.app(), call.environment());
        let environment = self.write(call, move |writer| {
            let order = order.map(|order| order as u32);
            let environment =
                writer.update_environment(&app, &environment, name.as_deref(), order)?;
            EnvironmentAnswer::whole(writer, environment)
        });
        answer(&environment.await?)
    }

    pub(super) async fn delete_environment(&self, call: &Call) -> Answer {
        let (app, environment) = (call.app(), call.environment());
        self.write(call, move |writer| writer.delete_environment(&app, &environment)).await?;
        Ok("{}".to_owned())
    }

    pub(super) async fn list_environment_keys(&self, call: &Call) -> Answer {
        let (app, environment) = (call.app(), call.environment());
        let now = self.store.clock().now();
        let keys = self.read(move |reader| {
            reader.environment(&app, &environment)?;
            reader.environment_keys(&environment, now)
        });
        let keys: Vec<_> = keys.await?.iter().map(environment_key).collect();
        answer(&json!({"data": keys}))
    }

    pub(super) async fn rotate_environment_key(&self, call: &Call) -> Answer {
        let class = match call.parameter("kind") {
            "publishable" => KeyClass::Publishable,
            "secret" => KeyClass::Secret,
            _ => return Err(Refusal::not_found("A key is `publishable` or `secret`")),
        };
        let grace = read_object(call, |checker, object| {
            checker.only(object, &["graceSeconds"]);
            checker.whole(object, "graceSeconds", 0..=LONGEST_GRACE.as_secs())
        })?;
        let grace = grace.map_or(DEFAULT_GRACE, Duration::from_secs);
        let (app, environment) = (call.app(), call.environment());
        let now = self.store.clock().now();
        let (key, keys) = self
            .write(call, move |writer| {
                let key = writer.rotate_key(&app, &environment, class, grace)?;
                Ok((key, writer.environment_keys(&environment, now)?))
            })
            .await?;
        let keys: Vec<_> = keys.iter().map(environment_key).collect();
        answer(&json!({"key": key.expose(), "keys": keys}))
    }

    pub(super) async fn list_api_keys(&self, call: &Call) -> Answer {
        let app = call.app();
        let keys = self.read(move |reader| reader.api_keys(&app)).await?;
        let keys: Vec<_> = keys.iter().map(api_key).collect();
        answer(&json!({"data": keys}))
    }

    pub(super) async fn create_api_key(&self, call: &Call) -> Answer {
        let own = call.key.scopes.clone();
        let (name, scopes) = read_object(call, |checker, object| {
            checker.only(object, &["name", "scopes"]);
            let name = checker.required_text(object, "name", NAME);
            let mut scopes = Vec::new();
            let items = checker.list(object, "scopes", Scope::ALL.len()).unwrap_or_default();
            for (path, item) in items {
                match item.as_str().and_then(Scope::from_wire) {
                    // A key that could make a stronger one would be as strong itself.
                    Some(scope) if own.has_any(&[scope]) => scopes.push(scope),
                    Some(_) => checker.add(path, "The API key that asks lacks this scope itself"),
                    None => {
                        let known: Vec<_> = Scope::ALL.map(Scope::as_wire).to_vec();
                        checker.add(path, format!("Must be one of {}", known.join(", ")));
                    }
                }
            }
            (name, Scopes::of(scopes))
        })?;
        let app = call.app();
        let (kept, key) = self
            .write(call, move |writer| {
                let key = NewKey::of_api()?;
                Ok((writer.create_api_key(&app, &name, &scopes, &key)?, key))
            })
            .await?;
        let mut made = api_key(&kept);
        made["key"] = json!(key.expose());
        answer(&made)
    }

    pub(super) async fn revoke_api_key(&self, call: &Call) -> Answer {
        let (app, named) = (call.app(), call.parameter("apiKeyId").to_owned());
        let key = self.write(call, move |writer| writer.revoke_api_key(&app, &named)).await?;
        answer(&api_key(&key))
    }
}

fn environment_key(key: &EnvironmentKey) -> Value {
    let kind = match key.class {
        KeyClass::Publishable => "publishable",
        KeyClass::Secret => "secret",
    };
    json!({
        "kind": kind,
        "prefix": key.prefix,
        "createdAt": key.created_at.to_string(),
        "expiresAt": moment(key.expires_at),
    })
}

fn api_key(key: &ApiKey) -> Value {
    let scopes: Vec<_> = key.scopes.iter().map(Scope::as_wire).collect();
    json!({
        "id": key.id,
        "name": key.name,
        "scopes": scopes,
        "prefix": key.prefix,
        "createdAt": key.created_at.to_string(),
        "lastUsedAt": moment(key.last_used_at),
        "revokedAt": moment(key.revoked_at),
    })
}
