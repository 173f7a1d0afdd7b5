//! Companies and users: what they are, and which flags they have (reflag-management.md section 5).

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::flags::{read_description, read_updates};
use super::routes::Operation;
use super::{Answer, Api, Call, Checker, Refusal, answer};
use crate::compile::{Policy, compile};
use crate::dialect::reflag::definitions::read;
use crate::evaluate::{EvaluationContext, Evaluator};
use crate::origin::definitions;
use crate::origin::model::{
    Access, AppId, Entity, EntityKind, EnvironmentId, EnvironmentState, FlagState, limits,
};
use crate::origin::store::{Reader, StoreError, Stored, TargetChange};
use crate::origin::wire::{EntityFlag, OnePage};
use crate::time::Timestamp;

/// What a look at one entity's flags needs.
struct Look {
    kind: EntityKind,
    entity: String,
    now: Timestamp,
    retired_path: bool,
}

impl Api {
    fn look(&self, call: &Call, kind: EntityKind) -> Result<(EnvironmentId, Look), Refusal> {
        let retired_path = matches!(
            call.operation,
            Operation::GetCompanyFlagsLegacyPath
                | Operation::UpdateCompanyFlagsLegacyPath
                | Operation::GetUserFlagsLegacyPath
                | Operation::UpdateUserFlagsLegacyPath
        );
        let environment = if retired_path {
            let named = call.query("envId")?.filter(|named| !named.is_empty());
            named.ok_or_else(|| Refusal::issue("envId", "Is required"))?.as_str().into()
        } else {
            call.environment()
        };
        let now = self.store.clock().now();
        Ok((environment, Look { kind, entity: call.entity(kind)?, now, retired_path }))
    }

    pub(super) async fn entity_flags(&self, call: &Call, kind: EntityKind) -> Answer {
        let (environment, look) = self.look(call, kind)?;
        let (app, strict) = (call.app(), self.strict_entities);
        let flags = self.read(move |reader| {
            let known = reader.entity(&environment, kind, &look.entity)?.is_some();
            let flags = flags_of(reader, &app, &environment, &look)?;
            // Without the switch everybody has flags: those that are on for a stranger.
            if strict && !known {
                let what = format!("There is no {} with this id", kind.word());
                return Err(StoreError::NotFound(what));
            }
            Ok(flags)
        });
        answer(&OnePage::of(flags.await?))
    }

    pub(super) async fn update_entity_flags(&self, call: &Call, kind: EntityKind) -> Answer {
        let (environment, look) = self.look(call, kind)?;
        let body = call.json()?;
        let mut checker = Checker::default();
        let mut changes = Vec::new();
        let mut description = None;
        if let Some(object) = checker.object(&body, "") {
            description = read_description(&mut checker, &object);
            for (path, item) in read_updates(&mut checker, &object) {
                let Some(item) = checker.object(item, &path) else { continue };
                let flag = checker.required_text(&item, "flagKey", 1..=limits::NAME);
                // The member has had three names.
                let names = ["specificTargetValue", "specificallyTargetedValue", "value"];
                let listed = match names.iter().find_map(|name| item.get(name)) {
                    Some(Value::Bool(true)) => true,
                    Some(Value::Null) => false,
                    other => {
                        let message = if other.is_some() {
                            "Must be true or null: rules may still enable the flag, so there is no false"
                        } else {
                            "Is required"
                        };
                        checker.add(item.path_of(names[0]), message);
                        continue;
                    }
                };
                let entity = look.entity.clone();
                changes.push(TargetChange { path, flag, kind, entity, listed });
            }
        }
        checker.finish()?;
        let (app, strict) = (call.app(), self.strict_entities);
        let version = {
            let (app, environment) = (app.clone(), environment.clone());
            self.write(call, move |writer| {
                writer.change_targets(&app, &environment, &changes, description.as_deref(), strict)
            })
        };
        let version = version.await?;
        // Evaluated beside the thread that writes: others need not wait for it.
        let retired_path = look.retired_path;
        let flags = self.read(move |reader| flags_of(reader, &app, &environment, &look)).await?;
        answer(&OnePage::of(flags).at_version((!retired_path).then_some(version)))
    }

    pub(super) async fn upsert_entity(&self, call: &Call, kind: EntityKind) -> Answer {
        let id = call.entity(kind)?;
        let body = call.json()?;
        let mut checker = Checker::default();
        let mut change = Entity { id, name: None, attributes: Map::new() };
        if let Some(object) = checker.object(&body, "") {
            checker.only(&object, &["name", "attributes"]);
            let name = checker.nullable_text(&object, "name", 0..=limits::VALUE);
            change.name = name.flatten();
            match object.get("attributes") {
                None | Some(Value::Null) => {}
                Some(Value::Object(attributes)) => change.attributes.clone_from(attributes),
                Some(_) => checker.add("attributes", "Must be an object or null"),
            }
        }
        checker.finish()?;
        let (app, environment) = (call.app(), call.environment());
        let entity =
            self.write(call, move |writer| writer.upsert_entity(&app, &environment, kind, change));
        answer(&entity_answer(&entity.await?))
    }

    pub(super) async fn delete_entity(&self, call: &Call, kind: EntityKind) -> Answer {
        let entity = call.entity(kind)?;
        let body = call.json()?;
        let mut checker = Checker::default();
        let mut users = true;
        if let (EntityKind::Company, Some(object)) = (kind, checker.object(&body, "")) {
            checker.only(&object, &["deleteUsers"]);
            users = checker.boolean(&object, "deleteUsers").unwrap_or(true);
        }
        checker.finish()?;
        let (app, environment) = (call.app(), call.environment());
        let deleted = self.write(call, move |writer| {
            writer.delete_entity(&app, &environment, kind, &entity, users)
        });
        deleted.await?;
        Ok("{}".to_owned())
    }
}

/// A company or user as it is answered.
pub(in crate::origin) fn entity_answer(entity: &Entity) -> Value {
    let mut answer = json!({"id": entity.id});
    if let Some(name) = &entity.name {
        answer["name"] = json!(name);
    }
    if !entity.attributes.is_empty() {
        answer["attributes"] = Value::Object(entity.attributes.clone());
    }
    answer
}

/// All flags of an app as one company or user has them, archived ones included.
fn flags_of(
    reader: &Reader<'_>,
    app: &AppId,
    environment: &EnvironmentId,
    look: &Look,
) -> Stored<Vec<EntityFlag>> {
    reader.environment(app, environment)?;
    let entity = reader.entity(environment, look.kind, &look.entity)?;
    let state = reader.environment_state_for(environment, look.kind, &look.entity)?;
    let on = evaluate(&state, look, entity.as_ref())
        .map_err(|error| StoreError::NotPossible(error.to_string()))?;
    let mut flags = state.flags;
    flags.sort_by(|a, b| (&a.flag.name, &a.flag.key).cmp(&(&b.flag.name, &b.flag.key)));
    let flags = flags.into_iter().map(|state| {
        let listed = !state.targeting.ids(look.kind).is_empty();
        let value = on.contains(state.flag.key.as_str());
        EntityFlag::of(state.flag, value, listed, look.retired_path)
    });
    Ok(flags.collect())
}

/// Which flags are on for somebody of whom no more is known than what is stored. Goes through the
/// definitions and the very evaluator of the edge, so that both say the same, save for flags of
/// which the lists alone decide: mostly that is all of them.
fn evaluate(
    state: &EnvironmentState,
    look: &Look,
    entity: Option<&Entity>,
) -> Result<HashSet<String>, definitions::TooLong> {
    let mut on: HashSet<String> = HashSet::new();
    for state in state.flags.iter().filter(|state| !state.flag.archived) {
        if state.targeting.access.everyone || !state.targeting.ids(look.kind).is_empty() {
            on.insert(state.flag.key.clone());
        }
    }
    let asks = |state: &FlagState| {
        let Access { segments, rules, .. } = &state.targeting.access;
        let has_more = !segments.is_empty() || !rules.is_empty();
        has_more && !on.contains(&state.flag.key)
    };
    if !state.flags.iter().any(asks) {
        return Ok(on);
    }
    let document = definitions::document_of(state, asks)?;
    let Ok(ruleset) = read(&document) else { return Ok(on) };
    let program = compile(&ruleset, &Policy::default()).program;
    let stranger = Entity::stranger(&look.entity);
    let entity = entity.unwrap_or(&stranger);
    let mut context = EvaluationContext::new();
    context.reset(&program);
    if context.set_json(&program, &entity.context(look.kind).to_string()).is_err() {
        // It was stored before such attributes were refused: those that can be read count.
        context.reset(&program);
        for part in entity.context_in_parts(look.kind) {
            let _ = context.set_json(&program, &part.to_string());
        }
    }
    let mut evaluator = Evaluator::new(&program, &mut context, look.now);
    let flags = program.flags.iter();
    let matched = flags.filter(|flag| evaluator.evaluate(flag.targeting).matched.is_some());
    on.extend(matched.map(|flag| flag.key.to_string()));
    Ok(on)
}
