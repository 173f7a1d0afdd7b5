//! Flags and their specific targets (reflag-management.md section 5).

use serde_json::{Value, json};

use super::{Answer, Api, Call, Checker, Object, Refusal, answer};
use crate::origin::model::{EntityKind, MemberId, StageId, Variant, limits};
use crate::origin::store::{FlagChange, NewFlag, TargetChange};
use crate::origin::wire::{ChangedFlag, FlagAnswer, OnePage, TargetingAnswer, VariantAnswer};

const NAME: std::ops::RangeInclusive<usize> = 1..=limits::NAME;
const DESCRIPTION: std::ops::RangeInclusive<usize> = 0..=limits::DESCRIPTION;
/// The API's own length of ids.
const ID: std::ops::RangeInclusive<usize> = 14..=14;

impl Api {
    pub(super) async fn list_flags(&self, call: &Call) -> Answer {
        let app = call.app();
        let flags = self.read(move |reader| reader.flags(&app)).await?;
        let flags: Vec<_> = flags.into_iter().map(FlagAnswer::from).collect();
        answer(&OnePage::of(flags).sorted("name", "asc"))
    }

    pub(super) async fn create_flag(&self, call: &Call) -> Answer {
        let body = call.json()?;
        let mut checker = Checker::default();
        let flag = checker.object(&body, "").map(|object| {
            let known =
                ["key", "name", "description", "stageId", "ownerUserId", "permanent", "secret"];
            checker.only(&object, &known);
            NewFlag {
                key: checker.required_text(&object, "key", NAME),
                name: checker.required_text(&object, "name", NAME),
                description: checker.nullable_text(&object, "description", DESCRIPTION).flatten(),
                stage: read_stage(&mut checker, &object),
                owner: read_owner(&mut checker, &object).flatten(),
                permanent: checker.boolean(&object, "permanent").unwrap_or(false),
                secret: checker.boolean(&object, "secret").unwrap_or(false),
                archived: false,
            }
        });
        checker.finish()?;
        let Some(flag) = flag else { return Err(Refusal::issue("", "Must be an object")) };
        let app = call.app();
        let changed = self.write(call, move |writer| {
            let flag = writer.create_flag(&app, &flag)?;
            Ok(ChangedFlag::of(flag, writer.environments(&app)?))
        });
        answer(&changed.await?)
    }

    pub(super) async fn update_flag(&self, call: &Call) -> Answer {
        let body = call.json()?;
        let mut checker = Checker::default();
        let change = checker.object(&body, "").map(|object| {
            let known = [
                "name",
                "description",
                "ownerUserId",
                "permanent",
                "secret",
                "isArchived",
                "stageId",
            ];
            checker.only(&object, &known);
            FlagChange {
                name: checker.text(&object, "name", NAME),
                description: checker.nullable_text(&object, "description", DESCRIPTION),
                stage: read_stage(&mut checker, &object),
                owner: read_owner(&mut checker, &object),
                permanent: checker.boolean(&object, "permanent"),
                secret: checker.boolean(&object, "secret"),
                archived: checker.boolean(&object, "isArchived"),
            }
        });
        checker.finish()?;
        let change = change.unwrap_or_default();
        let (app, named) = (call.app(), call.parameter("flagId").to_owned());
        let changed = self.write(call, move |writer| {
            let key = writer.find_flag(&app, &named)?.key;
            let flag = writer.update_flag(&app, &key, &change)?;
            Ok(ChangedFlag::of(flag, writer.environments(&app)?))
        });
        answer(&changed.await?)
    }

    pub(super) async fn flag_targeting(&self, call: &Call) -> Answer {
        let (app, environment) = (call.app(), call.environment());
        let key = call.parameter("flagKey").to_owned();
        let targeting = self.read(move |reader| {
            let environment = reader.environment(&app, &environment)?;
            let flag = reader.flag(&app, &key)?;
            let targeting = reader.targeting(&environment.id, &flag.id)?;
            Ok(TargetingAnswer::of(flag.key, targeting))
        });
        answer(&targeting.await?)
    }

    /// The call of the public introduction to the API.
    pub(super) async fn update_specific_targets(&self, call: &Call) -> Answer {
        let body = call.json()?;
        let mut checker = Checker::default();
        let mut changes = Vec::new();
        let mut description = None;
        if let Some(object) = checker.object(&body, "") {
            description = read_description(&mut checker, &object);
            for (path, item) in read_updates(&mut checker, &object) {
                let Some(item) = checker.object(item, &path) else { continue };
                read_specific_target(&mut checker, &item, &path, &mut changes);
            }
        }
        checker.finish()?;
        let (app, environment, strict) = (call.app(), call.environment(), self.strict_entities);
        let targetings = self.write(call, move |writer| {
            writer.change_targets(&app, &environment, &changes, description.as_deref(), strict)?;
            let mut seen: Vec<&str> = Vec::new();
            let mut targetings = Vec::new();
            for change in &changes {
                if seen.contains(&change.flag.as_str()) {
                    continue;
                }
                seen.push(&change.flag);
                let flag = writer.flag(&app, &change.flag)?;
                let targeting = writer.targeting(&environment, &flag.id)?;
                targetings.push(TargetingAnswer::of(flag.key, targeting));
            }
            Ok(targetings)
        });
        answer(&json!({"data": targetings.await?}))
    }

    pub(super) async fn list_features(&self, call: &Call) -> Answer {
        let by = call.choice("sortBy", &["key", "name"])?;
        let order = call.choice("sortOrder", &["asc", "desc"])?;
        let with_configs = call.choice("includeRemoteConfigs", &["false", "true"])? == "true";
        let environment = call.query("envId")?.filter(|named| !named.is_empty());
        let environment = environment.ok_or_else(|| Refusal::issue("envId", "Is required"))?;
        let app = call.app();
        let look = self.read(move |reader| {
            reader.environment(&app, &environment.as_str().into())?;
            Ok((reader.flags(&app)?, reader.variants_of_app(&app)?))
        });
        let (mut flags, mut variants) = look.await?;
        flags.retain(|flag| !flag.archived);
        if by == "key" {
            flags.sort_by(|a, b| a.key.cmp(&b.key));
        }
        if order == "desc" {
            flags.reverse();
        }
        let mut data = Vec::with_capacity(flags.len());
        for flag in flags {
            let stage = flag
                .stage
                .map(|stage| json!({"id": stage.id, "name": stage.name, "order": stage.order}));
            let configs = variants.remove(&flag.id).filter(|_| with_configs).map(remote_config);
            data.push(CliFeature {
                id: flag.id.to_string(),
                key: flag.key,
                name: flag.name,
                description: flag.description,
                stage,
                remote_configs: configs.transpose()?.into_iter().collect(),
            });
        }
        let count = data.len();
        answer(&CliFeatures {
            data,
            metadata: json!({}),
            total_count: count,
            page_index: 0,
            page_size: count,
            sort_by: by,
            sort_order: order,
        })
    }

    pub(super) async fn create_feature(&self, call: &Call) -> Answer {
        let body = call.json()?;
        let mut checker = Checker::default();
        let flag = checker.object(&body, "").map(|object| NewFlag {
            key: checker.required_text(&object, "key", NAME),
            name: checker.required_text(&object, "name", NAME),
            description: checker.nullable_text(&object, "description", DESCRIPTION).flatten(),
            ..NewFlag::default()
        });
        checker.finish()?;
        let flag = flag.unwrap_or_default();
        let app = call.app();
        let flag = self.write(call, move |writer| writer.create_flag(&app, &flag)).await?;
        answer(&json!({"feature": {
            "id": flag.id, "name": flag.name, "key": flag.key, "description": flag.description,
        }}))
    }
}

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct CliFeatures {
    data: Vec<CliFeature>,
    metadata: Value,
    total_count: usize,
    page_index: usize,
    page_size: usize,
    sort_by: &'static str,
    sort_order: &'static str,
}

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct CliFeature {
    id: String,
    key: String,
    name: String,
    description: Option<String>,
    stage: Option<Value>,
    remote_configs: Vec<CliRemoteConfig>,
}

#[derive(serde::Serialize)]
struct CliRemoteConfig {
    variants: Vec<CliVariant>,
}

#[derive(serde::Serialize)]
struct CliVariant {
    variant: VariantAnswer,
}

/// All variants, whoever gets them: the command line makes types of them.
fn remote_config(variants: Vec<Variant>) -> Result<CliRemoteConfig, Refusal> {
    let variants = variants
        .into_iter()
        .map(|variant| Ok::<_, Refusal>(CliVariant { variant: VariantAnswer::of(variant)? }));
    Ok(CliRemoteConfig { variants: variants.collect::<Result<_, _>>()? })
}

fn read_stage(checker: &mut Checker, object: &Object<'_>) -> Option<StageId> {
    checker.text(object, "stageId", ID).map(|id| id.as_str().into())
}

#[expect(clippy::option_option, reason = "left out, null and text are three things")]
fn read_owner(checker: &mut Checker, object: &Object<'_>) -> Option<Option<MemberId>> {
    let owner = checker.nullable_text(object, "ownerUserId", NAME)?;
    Some(owner.map(|id| id.as_str().into()))
}

/// `changeDescription`, and `notifications`, which are heard and go nowhere: there is nobody to
/// notify.
pub(super) fn read_description(checker: &mut Checker, object: &Object<'_>) -> Option<String> {
    match object.get("notifications") {
        None | Some(Value::Bool(_) | Value::Null) => {}
        Some(Value::Array(channels)) => {
            for (index, channel) in channels.iter().enumerate() {
                if !matches!(channel.as_str(), Some("slack" | "linearComment")) {
                    let path = format!("notifications.{index}");
                    checker.add(path, "Must be slack or linearComment");
                }
            }
        }
        Some(_) => checker.add("notifications", "Must be a list, true or false"),
    }
    checker.nullable_text(object, "changeDescription", DESCRIPTION).flatten()
}

/// The items of `updates`, of which there has to be one.
pub(super) fn read_updates<'a>(
    checker: &mut Checker,
    object: &Object<'a>,
) -> Vec<(String, &'a Value)> {
    match checker.list(object, "updates", limits::UPDATES) {
        Some(updates) if updates.is_empty() => {
            checker.add("updates", "Must not be empty");
            updates
        }
        Some(updates) => updates,
        None => {
            if object.get("updates").is_none() {
                checker.add("updates", "Is required");
            }
            Vec::new()
        }
    }
}

fn read_specific_target(
    checker: &mut Checker,
    item: &Object<'_>,
    path: &str,
    changes: &mut Vec<TargetChange>,
) {
    let flag = checker.required_text(item, "flagKey", NAME);
    let listed = match item.get("value") {
        Some(Value::Bool(true)) => true,
        Some(Value::String(text)) if text == "true" => true,
        Some(Value::Null) => false,
        Some(_) => return checker.add(item.path_of("value"), "Must be true or null"),
        None => return checker.add(item.path_of("value"), "Is required"),
    };
    let mut named = false;
    for (name, kind) in [("companyId", EntityKind::Company), ("userId", EntityKind::User)] {
        // Null is as good as left out here: the schema forbids neither.
        let Some(value) = item.get(name).filter(|value| !value.is_null()) else { continue };
        named = true;
        let entity = checker.as_text(value, &item.path_of(name), 1..=limits::ENTITY_ID);
        if let Some(entity) = entity {
            let (path, flag) = (path.to_owned(), flag.clone());
            changes.push(TargetChange { path, flag, kind, entity, listed });
        }
    }
    if !named {
        checker.add(path, "Needs a companyId or a userId");
    }
}
