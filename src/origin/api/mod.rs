//! Reflag's Management API (reflag-management.md): who asks, for what, and the answer.
//!
//! Every call needs an API key, which belongs to one app; another app does not exist for it. Checks
//! come in this order: path, method, key (401), scope (403), app (404), body (400). Nothing waits
//! here but the store.

mod apps;
mod body;
mod entities;
mod flags;
mod refusal;
pub mod routes;
mod rules;

use std::collections::HashMap;
use std::sync::{Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use hyper::Method;
use hyper::header::{AUTHORIZATION, CONTENT_ENCODING, HeaderMap};
use serde::Serialize;
use serde_json::Value;

use self::routes::{Found, Operation, Parameters};

pub(super) use self::body::{Checker, Object, below};
pub(super) use self::entities::entity_answer;
pub(super) use self::refusal::Refusal;
pub(super) use self::rules::{
    About, read_config, read_rollout, read_rules, rename_segments, write_config, write_rules,
};

use super::keys::sha256;
use super::model::{Actor, ApiKey, ApiKeyId, AppId, EntityKind, EnvironmentId, limits};
use super::store::{Reader, Store, Stored, Writer};
use crate::dialect::query::{Parameters as QueryParameters, decode};
use crate::time::Timestamp;

/// When a key was last used is kept to the minute: not every call is a change.
const BETWEEN_USES_MILLIS: i64 = 60_000;
/// Most items of one part of a list, and as many as there are when nothing is asked for.
pub(super) const PAGE: u64 = 1_000;
pub(super) const DEFAULT_PAGE: u64 = 100;

/// Answers management calls.
#[derive(Debug)]
pub struct Api {
    pub(super) store: Store,
    /// Whether companies and users must exist before they are named.
    pub(super) strict_entities: bool,
    /// When each key's use was last noted.
    used: Mutex<HashMap<ApiKeyId, Timestamp>>,
}

/// A call that may be made.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) operation: Operation,
    pub(super) key: ApiKey,
    parameters: Parameters,
    query: String,
    body: Bytes,
    /// The version that it led to, once something was written.
    version: OnceLock<u64>,
}

/// The JSON of an answer.
pub(super) type Answer = Result<String, Refusal>;

/// What became of a call.
pub(super) struct Answered {
    pub(super) answer: Answer,
    /// The version of what a change was about, see [`Writer::version_of`].
    pub(super) version: Option<u64>,
}

pub(super) fn answer(value: &impl Serialize) -> Answer {
    serde_json::to_string(value).map_err(|error| super::store::StoreError::Stored(error).into())
}

impl Call {
    /// The app that the path names, which is the key's.
    pub(super) fn app(&self) -> AppId {
        self.key.app.clone()
    }

    pub(super) fn actor(&self) -> Actor {
        Actor::ApiKey { id: self.key.id.clone(), name: self.key.name.clone() }
    }

    /// A parameter of the path; each route has those that its template names.
    pub(super) fn parameter(&self, name: &str) -> &str {
        let found = self.parameters.iter().find(|(known, _)| *known == name);
        found.map_or("", |(_, value)| value)
    }

    pub(super) fn environment(&self) -> EnvironmentId {
        self.parameter("envId").into()
    }

    /// The environment that the path names, or the query of a retired one.
    fn environment_if_any(&self) -> Option<EnvironmentId> {
        let of_path = Some(self.parameter("envId").to_owned()).filter(|id| !id.is_empty());
        of_path.or_else(|| self.query("envId").ok().flatten()).map(|id| id.as_str().into())
    }

    /// The company or user that the path names.
    pub(super) fn entity(&self, kind: EntityKind) -> Result<String, Refusal> {
        let name = match kind {
            EntityKind::Company => "companyId",
            EntityKind::User => "userId",
        };
        let id = self.parameter(name);
        if id.chars().count() > limits::ENTITY_ID {
            let message = format!("Has more than {} characters", limits::ENTITY_ID);
            return Err(Refusal::issue(name, message));
        }
        Ok(id.to_owned())
    }

    /// A parameter of the query, if it is there.
    pub(super) fn query(&self, name: &str) -> Result<Option<String>, Refusal> {
        for parameter in QueryParameters(&self.query) {
            if decode(parameter.name).is_some_and(|known| known == name) {
                let value = decode(parameter.value);
                let undecodable = || Refusal::issue(name, "Is not encoded UTF-8");
                return value.map(|text| Some(text.into_owned())).ok_or_else(undecodable);
            }
        }
        Ok(None)
    }

    /// One of these words; the first when nothing is asked for.
    pub(super) fn choice(
        &self,
        name: &str,
        words: &[&'static str],
    ) -> Result<&'static str, Refusal> {
        let Some(asked) = self.query(name)? else { return Ok(words[0]) };
        let known = words.iter().find(|word| **word == asked);
        known
            .copied()
            .ok_or_else(|| Refusal::issue(name, format!("Must be one of {}", words.join(", "))))
    }

    /// `after` and `pageSize`.
    pub(super) fn page(&self) -> Result<(String, usize), Refusal> {
        let after = self.query("after")?.unwrap_or_default();
        let size = self.query("pageSize")?.map(|size| size.parse::<u64>().ok());
        let size = size.unwrap_or(Some(DEFAULT_PAGE)).filter(|size| (1..=PAGE).contains(size));
        let refused =
            || Refusal::issue("pageSize", format!("Must be a whole number from 1 to {PAGE}"));
        Ok((after, size.ok_or_else(refused)? as usize))
    }

    /// The body as JSON; none is an empty object.
    pub(super) fn json(&self) -> Result<Value, Refusal> {
        if self.body.trim_ascii().is_empty() {
            return Ok(Value::Object(serde_json::Map::new()));
        }
        if is_dense(&self.body) {
            return Err(Refusal::issue("", "The body has too many values for its length"));
        }
        serde_json::from_slice(&self.body).map_err(|error| {
            let place = format!("line {}, column {}", error.line(), error.column());
            Refusal::issue("", format!("The body is not JSON ({place})"))
        })
    }

    /// The body itself.
    pub(super) fn raw_body(&self) -> &Bytes {
        &self.body
    }
}

/// Whether a body would take far more memory than its length says: a number of one digit is a value
/// as large as any. Lists of the shortest ids are not dense.
fn is_dense(body: &[u8]) -> bool {
    let (mut values, mut in_text, mut escaped) = (0, false, false);
    for &byte in body {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_text,
            b'"' => in_text = !in_text,
            b',' | b'[' | b'{' if !in_text => values += 1,
            _ => {}
        }
    }
    values > 1_024 + body.len() / 4
}

impl Api {
    /// Answers from `store`.
    pub fn new(store: Store, strict_entities: bool) -> Self {
        Self { store, strict_entities, used: Mutex::default() }
    }

    /// Finds out what a head asks for and whether it may, before any of its body is read.
    pub(super) async fn admit(
        &self,
        method: &Method,
        path: &str,
        query: Option<&str>,
        headers: &HeaderMap,
    ) -> Result<Call, Refusal> {
        let (route, parameters) = match routes::find(method.as_str(), path) {
            Found::Route(route, parameters) => (route, parameters),
            Found::Methods(allowed) => return Err(Refusal::method(allowed)),
            Found::Undecodable => {
                return Err(Refusal::issue("", "A part of the path is not encoded UTF-8"));
            }
            Found::Nothing => return Err(Refusal::unknown_path()),
        };
        let key = self.authenticate(headers).await?;
        if !key.scopes.has_any(route.scopes) {
            let scopes: Vec<_> = route.scopes.iter().map(ToString::to_string).collect();
            let message = format!("The API key lacks the scope {}", scopes.join(" or "));
            return Err(Refusal::unauthorized(message));
        }
        let call = Call {
            operation: route.operation,
            key,
            parameters,
            query: query.unwrap_or_default().to_owned(),
            body: Bytes::new(),
            version: OnceLock::new(),
        };
        let app = call.parameter("appId");
        if !app.is_empty() && app != call.key.app.as_str() {
            return Err(Refusal::not_found("There is no app with this id"));
        }
        if route.method != "GET" && headers.contains_key(CONTENT_ENCODING) {
            return Err(Refusal::encoded());
        }
        Ok(call)
    }

    async fn authenticate(&self, headers: &HeaderMap) -> Result<ApiKey, Refusal> {
        let sent = headers.get(AUTHORIZATION).and_then(|value| {
            let (scheme, key) = value.as_bytes().split_at_checked(7)?;
            scheme.eq_ignore_ascii_case(b"bearer ").then(|| key.trim_ascii())
        });
        let sent = sent.ok_or_else(|| {
            Refusal::unauthenticated("An API key is needed: `Authorization: Bearer api_...`")
        })?;
        let hash = sha256(sent);
        let key = self.store.read(move |reader| reader.api_key(&hash)).await?;
        let key = key.ok_or_else(|| Refusal::unauthenticated("The API key is not valid"))?;
        self.note_use(&key);
        Ok(key)
    }

    /// Has it written when a key was used, without waiting for it.
    fn note_use(&self, key: &ApiKey) {
        let now = self.store.clock().now();
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let last = used.get(&key.id).copied().or(key.last_used_at);
        if last.is_some_and(|last| now.since(last).abs() < BETWEEN_USES_MILLIS) {
            return;
        }
        used.insert(key.id.clone(), now);
        let (store, id) = (self.store.clone(), key.id.clone());
        tokio::spawn(async move {
            // The next use tries again.
            let _ = store.write(Actor::Burgee, move |writer| writer.used_api_key(&id)).await;
        });
    }

    /// Answers a call whose body is here.
    pub(super) async fn answer(&self, call: Call, body: Bytes) -> Answered {
        let call = Call { body, ..call };
        let answer = self.answer_to(&call).await;
        Answered { answer, version: call.version.get().copied() }
    }

    async fn answer_to(&self, call: &Call) -> Answer {
        use EntityKind::{Company, User};
        match call.operation {
            Operation::ListApps => self.list_apps(call).await,
            Operation::GetApp => self.app(call).await,
            Operation::ListEnvironments => self.list_environments(call).await,
            Operation::GetEnvironment => self.environment(call).await,
            Operation::ListFlags => self.list_flags(call).await,
            Operation::CreateFlag => self.create_flag(call).await,
            Operation::UpdateFlag => self.update_flag(call).await,
            Operation::GetFlagTargeting => self.flag_targeting(call).await,
            Operation::GetCompanyFlags | Operation::GetCompanyFlagsLegacyPath => {
                self.entity_flags(call, Company).await
            }
            Operation::GetUserFlags | Operation::GetUserFlagsLegacyPath => {
                self.entity_flags(call, User).await
            }
            Operation::UpdateCompanyFlags | Operation::UpdateCompanyFlagsLegacyPath => {
                self.update_entity_flags(call, Company).await
            }
            Operation::UpdateUserFlags | Operation::UpdateUserFlagsLegacyPath => {
                self.update_entity_flags(call, User).await
            }
            Operation::UpsertCompany => self.upsert_entity(call, Company).await,
            Operation::UpsertUser => self.upsert_entity(call, User).await,
            Operation::DeleteCompany => self.delete_entity(call, Company).await,
            Operation::DeleteUser => self.delete_entity(call, User).await,
            Operation::UpdateBulkFlagSpecificTargets => self.update_specific_targets(call).await,
            Operation::CliBootstrap => self.bootstrap(call).await,
            Operation::CliListFeatures => self.list_features(call).await,
            Operation::CliCreateFeature => self.create_feature(call).await,
            _ => self.answer_of_our_own(call).await,
        }
    }

    pub(super) async fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Reader<'_>) -> Stored<T> + Send + 'static,
    ) -> Result<T, Refusal> {
        Ok(self.store.read(look).await?)
    }

    pub(super) async fn write<T: Send + 'static>(
        &self,
        call: &Call,
        change: impl FnOnce(&mut Writer<'_>) -> Stored<T> + Send + 'static,
    ) -> Result<T, Refusal> {
        let (app, environment) = (call.app(), call.environment_if_any());
        let written = self.store.write(call.actor(), move |writer| {
            let outcome = change(writer)?;
            Ok((outcome, writer.version_of(&app, environment.as_ref())?))
        });
        let (outcome, version) = written.await?;
        if let Some(version) = version {
            // One call is one change.
            let _ = call.version.set(version);
        }
        Ok(outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_the_shortest_ids_are_not_dense_and_lists_of_digits_are() {
        let list = |item: &str, times| format!("{{\"a\":[{}]}}", vec![item; times].join(","));
        assert!(!is_dense(list(r#""1""#, 100_000).as_bytes()));
        assert!(!is_dense(list(r#"{"flagKey":"a","value":null,"userId":"1"}"#, 10_000).as_bytes()));
        assert!(!is_dense(list("1", 1_000).as_bytes()), "a short one may be");
        assert!(is_dense(list("1", 10_000).as_bytes()));
        assert!(is_dense(list("[]", 10_000).as_bytes()));
        assert!(!is_dense(list(r#"",[{\",[{""#, 10_000).as_bytes()), "text is no value");
    }
}
