//! Targeting as a whole, and looks at what may be long: targets, companies, users, the audit log.

use serde_json::{Value, json};

use super::{NAME, read_object};
use crate::origin::api::{
    About, Answer, Api, Call, Refusal, answer, entity_answer, read_config, read_rules,
    write_config, write_rules,
};
use crate::origin::model::{AuditEntry, EntityKind, Targeting, limits};
use crate::origin::store::TargetingChange;
use crate::origin::wire::Part;

impl Api {
    pub(super) async fn targeting(&self, call: &Call) -> Answer {
        let (app, environment) = (call.app(), call.environment());
        let key = call.parameter("flagKey").to_owned();
        let (targeting, version) = self
            .read(move |reader| {
                let environment = reader.environment(&app, &environment)?;
                let flag = reader.flag(&app, &key)?;
                let targeting = reader.targeting(&environment.id, &flag.id)?;
                Ok((targeting, environment.flag_state_version))
            })
            .await?;
        answer(&targeting_answer(call.parameter("flagKey"), &targeting, version))
    }

    pub(super) async fn update_targeting(&self, call: &Call) -> Answer {
        let (change, description) = read_object(call, |checker, object| {
            let known = [
                "expectedVersion",
                "mode",
                "everyone",
                "companyIds",
                "userIds",
                "segmentIds",
                "rules",
                "config",
                "changeDescription",
            ];
            checker.only(object, &known);
            let ids = 1..=limits::ENTITY_ID;
            let segments = checker.texts(object, "segmentIds", limits::OF_AN_APP, &NAME);
            let segments =
                segments.map(|segments| segments.iter().map(|id| id.as_str().into()).collect());
            let change = TargetingChange {
                expected_version: checker.whole(object, "expectedVersion", 0..=u64::MAX),
                everyone: checker.boolean(object, "everyone"),
                segments,
                rules: read_rules(checker, object, "rules", About::Anything),
                company_ids: checker.texts(object, "companyIds", limits::TARGETS, &ids),
                user_ids: checker.texts(object, "userIds", limits::TARGETS, &ids),
                config: read_config(checker, object, "config"),
            };
            let change = match checker.text(object, "mode", NAME).as_deref() {
                None => change,
                Some("everyone") => TargetingChange { everyone: Some(true), ..change },
                Some("some") => TargetingChange { everyone: Some(false), ..change },
                Some("none") => nobody(change),
                Some(_) => {
                    checker.add("mode", "Must be none, some or everyone");
                    change
                }
            };
            let description =
                checker.nullable_text(object, "changeDescription", 0..=limits::DESCRIPTION);
            (change, description.flatten())
        })?;
        let (app, environment) = (call.app(), call.environment());
        let key = call.parameter("flagKey").to_owned();
        let (targeting, version) = self
            .write(call, move |writer| {
                let description = description.as_deref();
                let version =
                    writer.set_targeting(&app, &environment, &key, &change, description)?;
                let flag = writer.flag(&app, &key)?;
                Ok((writer.targeting(&environment, &flag.id)?, version))
            })
            .await?;
        answer(&targeting_answer(call.parameter("flagKey"), &targeting, version))
    }

    pub(super) async fn list_targets(&self, call: &Call, kind: EntityKind) -> Answer {
        let (after, size) = call.page()?;
        let (app, environment) = (call.app(), call.environment());
        let key = call.parameter("flagKey").to_owned();
        let (data, count) = self
            .read(move |reader| {
                let environment = reader.environment(&app, &environment)?.id;
                let flag = reader.flag(&app, &key)?.id;
                let page = (after.as_str(), size);
                let targets = reader.targets(&environment, &flag, kind, page)?;
                Ok((targets, reader.count_targets(&environment, &flag, kind)?))
            })
            .await?;
        let next = (data.len() == size).then(|| data.last().cloned()).flatten();
        let data = data.into_iter().map(|id| json!({"id": id})).collect();
        answer(&Part { data, total_count: Some(count), page_size: size, next })
    }

    pub(super) async fn list_entities(&self, call: &Call, kind: EntityKind) -> Answer {
        let (after, size) = call.page()?;
        let (app, environment) = (call.app(), call.environment());
        let (data, count) = self
            .read(move |reader| {
                let environment = reader.environment(&app, &environment)?.id;
                let entities = reader.entities(&environment, kind, (after.as_str(), size))?;
                Ok((entities, reader.count_entities(&environment, kind)?))
            })
            .await?;
        let next = (data.len() == size).then(|| data.last().map(|e| e.id.clone())).flatten();
        let data = data.iter().map(entity_answer).collect();
        answer(&Part { data, total_count: Some(count), page_size: size, next })
    }

    pub(super) async fn entity(&self, call: &Call, kind: EntityKind) -> Answer {
        let (app, environment, id) = (call.app(), call.environment(), call.entity(kind)?);
        let entity = self.read(move |reader| {
            let environment = reader.environment(&app, &environment)?.id;
            reader.entity(&environment, kind, &id)
        });
        let unknown = || {
            Refusal::not_found(format!(
                "There is no {} with this id in this environment",
                kind.word()
            ))
        };
        answer(&entity_answer(&entity.await?.ok_or_else(unknown)?))
    }

    pub(super) async fn set_membership(&self, call: &Call, belongs: bool) -> Answer {
        let (company, user) = (call.entity(EntityKind::Company)?, call.entity(EntityKind::User)?);
        let (app, environment) = (call.app(), call.environment());
        let changed = self.write(call, move |writer| {
            writer.set_membership(&app, &environment, &company, &user, belongs)
        });
        changed.await?;
        Ok("{}".to_owned())
    }

    pub(super) async fn list_audit(&self, call: &Call) -> Answer {
        let (after, size) = call.page()?;
        let before =
            match after.as_str() {
                "" => None,
                after => Some(after.parse().map_err(|_| {
                    Refusal::issue("after", "Must be the `next` of the part before")
                })?),
            };
        let app = call.app();
        let entries = self.read(move |reader| reader.audit(&app, before, size)).await?;
        let next = (entries.len() == size).then(|| entries.last().map(|e| e.id.to_string()));
        let data = entries.iter().map(audit_entry).collect();
        answer(&Part { data, total_count: None, page_size: size, next: next.flatten() })
    }
}

/// Off for everybody: nothing of what is named otherwise is left.
fn nobody(change: TargetingChange) -> TargetingChange {
    TargetingChange {
        everyone: Some(false),
        segments: Some(Vec::new()),
        rules: Some(Vec::new()),
        company_ids: Some(Vec::new()),
        user_ids: Some(Vec::new()),
        ..change
    }
}

fn targeting_answer(key: &str, targeting: &Targeting, version: u64) -> Value {
    json!({
        "flagKey": key,
        "version": targeting.version,
        "updatedAt": targeting.updated_at.to_string(),
        "mode": targeting.mode(),
        "everyone": targeting.access.everyone,
        "companyIds": targeting.company_ids,
        "userIds": targeting.user_ids,
        "segmentIds": targeting.access.segments,
        "rules": write_rules(&targeting.access.rules),
        "config": write_config(&targeting.config),
        "configVersion": targeting.config_version,
        "flagStateVersion": version,
    })
}

fn audit_entry(entry: &AuditEntry) -> Value {
    json!({
        "id": entry.id,
        "at": entry.at.to_string(),
        "actor": {"id": entry.actor, "name": entry.actor_name},
        "environmentId": entry.environment,
        "operation": entry.operation,
        "subject": entry.subject,
        "flagStateVersion": entry.version,
        "changeDescription": entry.description,
        "change": entry.change,
    })
}
