//! What all environments of an app share: members, stages, segments, variants.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::{NAME, read_object};
use crate::origin::api::{
    About, Answer, Api, Call, Checker, Object, Refusal, answer, below, read_rules, write_rules,
};
use crate::origin::model::{Access, EnvironmentId, Segment, Stage, Variant, limits};
use crate::origin::store::{SegmentChange, StageChange, Stored};
use crate::origin::wire::{MemberAnswer, StageAnswer, VariantAnswer, versions};

impl Api {
    pub(super) async fn list_members(&self) -> Answer {
        let members = self.read(|reader| {
            let members = reader.members()?.into_iter();
            Ok(members.map(MemberAnswer::from).collect::<Vec<_>>())
        });
        answer(&json!({"data": members.await?}))
    }

    pub(super) async fn put_member(&self, call: &Call) -> Answer {
        let (name, email) = read_object(call, |checker, object| {
            checker.only(object, &["name", "email"]);
            let name = checker.required_text(object, "name", NAME);
            let email = checker.required_text(object, "email", NAME);
            if !email.is_empty() && !email.contains('@') {
                checker.add("email", "Must be an address");
            }
            (name, email)
        })?;
        let app = call.app();
        let member = self.write(call, move |writer| writer.put_member(&app, &name, &email));
        answer(&MemberAnswer::from(member.await?))
    }

    pub(super) async fn list_stages(&self, call: &Call) -> Answer {
        let app = call.app();
        let stages = self.read(move |reader| {
            let stages = reader.stages(&app)?.into_iter();
            stages
                .map(|stage| {
                    let targeting = reader.stage_targeting(&stage.id)?;
                    stage_answer(stage, &targeting)
                })
                .collect::<Stored<Vec<_>>>()
        });
        answer(&json!({"data": stages.await?}))
    }

    pub(super) async fn create_stage(&self, call: &Call) -> Answer {
        let stage = read_object(call, |checker, object| {
            checker.required_text(object, "name", NAME);
            read_stage(checker, object)
        })?;
        let app = call.app();
        let stage = self.write(call, move |writer| {
            let stage = writer.create_stage(&app, &stage)?;
            let targeting = writer.stage_targeting(&stage.id)?;
            stage_answer(stage, &targeting)
        });
        answer(&stage.await?)
    }

    pub(super) async fn update_stage(&self, call: &Call) -> Answer {
        let change = read_object(call, read_stage)?;
        let (app, stage) = (call.app(), call.parameter("stageId").into());
        let stage = self.write(call, move |writer| {
            let stage = writer.update_stage(&app, &stage, change)?;
            let targeting = writer.stage_targeting(&stage.id)?;
            let mut answer = stage_answer(stage, &targeting)?;
            answer["flagStateVersions"] = json!(versions(writer.environments(&app)?));
            Ok(answer)
        });
        answer(&stage.await?)
    }

    pub(super) async fn delete_stage(&self, call: &Call) -> Answer {
        let (app, stage) = (call.app(), call.parameter("stageId").into());
        self.write(call, move |writer| writer.delete_stage(&app, &stage)).await?;
        Ok("{}".to_owned())
    }

    pub(super) async fn list_segments(&self, call: &Call) -> Answer {
        let app = call.app();
        let segments = self.read(move |reader| reader.segments(&app)).await?;
        let segments: Vec<_> = segments.iter().map(segment_answer).collect();
        answer(&json!({"data": segments}))
    }

    pub(super) async fn create_segment(&self, call: &Call) -> Answer {
        let (name, rules) = read_object(call, |checker, object| {
            let name = checker.required_text(object, "name", NAME);
            checker.only(object, &["name", "rules"]);
            if object.get("rules").is_none() {
                checker.add("rules", "Is required");
            }
            (name, read_rules(checker, object, "rules", About::Attributes).unwrap_or_default())
        })?;
        let app = call.app();
        let segment = self.write(call, move |writer| writer.create_segment(&app, &name, &rules));
        answer(&segment_answer(&segment.await?))
    }

    pub(super) async fn update_segment(&self, call: &Call) -> Answer {
        let change = read_object(call, |checker, object| {
            checker.only(object, &["name", "rules"]);
            SegmentChange {
                name: checker.text(object, "name", NAME),
                rules: read_rules(checker, object, "rules", About::Attributes),
            }
        })?;
        let (app, segment) = (call.app(), call.parameter("segmentId").into());
        let segment = self.write(call, move |writer| {
            let mut answer = segment_answer(&writer.update_segment(&app, &segment, change)?);
            answer["flagStateVersions"] = json!(versions(writer.environments(&app)?));
            Ok(answer)
        });
        answer(&segment.await?)
    }

    pub(super) async fn delete_segment(&self, call: &Call) -> Answer {
        let (app, segment) = (call.app(), call.parameter("segmentId").into());
        self.write(call, move |writer| writer.delete_segment(&app, &segment)).await?;
        Ok("{}".to_owned())
    }

    pub(super) async fn variants(&self, call: &Call) -> Answer {
        let (app, key) = (call.app(), call.parameter("flagKey").to_owned());
        let variants = self.read(move |reader| {
            let flag = reader.flag(&app, &key)?;
            let variants = reader.variants(&flag.id)?.into_iter();
            variants.map(VariantAnswer::of).collect::<Stored<Vec<_>>>()
        });
        answer(&Variants { variants: variants.await?, flag_state_versions: None })
    }

    pub(super) async fn put_variants(&self, call: &Call) -> Answer {
        let variants = read_variants(call)?;
        let (app, key) = (call.app(), call.parameter("flagKey").to_owned());
        let variants = self.write(call, move |writer| {
            writer.set_variants(&app, &key, &variants)?;
            let variants = variants.into_iter().map(VariantAnswer::of).collect::<Stored<_>>()?;
            let flag_state_versions = Some(versions(writer.environments(&app)?));
            Ok(Variants { variants, flag_state_versions })
        });
        answer(&variants.await?)
    }
}

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Variants {
    variants: Vec<VariantAnswer>,
    /// What a change led to.
    #[serde(skip_serializing_if = "Option::is_none")]
    flag_state_versions: Option<BTreeMap<EnvironmentId, u64>>,
}

/// The variants of a body, with their payloads as they were written.
fn read_variants(call: &Call) -> Result<Vec<Variant>, Refusal> {
    #[derive(Deserialize)]
    struct Whole {
        variants: Vec<One>,
    }
    #[derive(Deserialize)]
    struct One {
        payload: Option<Box<RawValue>>,
    }
    let keys = read_object(call, |checker, object| {
        checker.only(object, &["variants"]);
        if object.get("variants").is_none() {
            checker.add("variants", "Is required");
        }
        let items = checker.list(object, "variants", limits::VARIANTS).unwrap_or_default();
        let mut keys: Vec<(String, bool)> = Vec::new();
        for (path, item) in items {
            let Some(item) = checker.object(item, &path) else { continue };
            checker.only(&item, &["key", "payload"]);
            let key = checker.required_text(&item, "key", NAME);
            if keys.iter().any(|(known, _)| *known == key) {
                checker.add(item.path_of("key"), "Two variants have this key");
            }
            keys.push((key, item.get("payload").is_some()));
        }
        keys
    })?;
    // It is JSON of this form, or a member comes twice.
    let raw: Whole = serde_json::from_slice(call.raw_body())
        .map_err(|_| Refusal::issue("variants", "A member comes twice"))?;
    let mut variants = Vec::with_capacity(keys.len());
    for (index, ((key, has_payload), raw)) in keys.into_iter().zip(raw.variants).enumerate() {
        // A payload that is null is not the same as none.
        let null = || has_payload.then(|| "null".to_owned());
        let payload = raw.payload.map(|payload| payload.get().to_owned()).or_else(null);
        if payload.as_ref().is_some_and(|payload| payload.len() > limits::PAYLOAD) {
            let message = format!("Has more than {} bytes", limits::PAYLOAD);
            return Err(Refusal::issue(&format!("variants.{index}.payload"), message));
        }
        variants.push(Variant { key, payload });
    }
    Ok(variants)
}

fn read_stage(checker: &mut Checker, object: &Object<'_>) -> StageChange {
    checker.only(object, &["name", "color", "order", "targeting"]);
    let mut change = StageChange {
        name: checker.text(object, "name", NAME),
        color: checker.text(object, "color", 1..=64),
        order: checker.whole(object, "order", 0..=limits::ORDER).map(|order| order as u32),
        targeting: BTreeMap::new(),
    };
    let Some(targeting) = object.get("targeting") else { return change };
    let Some(by_environment) = targeting.as_object() else {
        checker.add("targeting", "Must be an object from environment id to targeting");
        return change;
    };
    for (environment, access) in by_environment {
        let path = below("targeting", environment);
        let environment = EnvironmentId::from(environment.as_str());
        if access.is_null() {
            change.targeting.insert(environment, None);
            continue;
        }
        let Some(access) = checker.object(access, &path) else { continue };
        checker.only(&access, &["everyone", "segmentIds", "rules"]);
        let segments = checker.texts(&access, "segmentIds", limits::OF_AN_APP, &NAME);
        let segments = segments.unwrap_or_default();
        let access = Access {
            everyone: checker.boolean(&access, "everyone").unwrap_or(false),
            segments: segments.iter().map(|segment| segment.as_str().into()).collect(),
            rules: read_rules(checker, &access, "rules", About::NoFlags).unwrap_or_default(),
        };
        change.targeting.insert(environment, Some(access));
    }
    change
}

fn stage_answer(stage: Stage, targeting: &BTreeMap<EnvironmentId, Access>) -> Stored<Value> {
    let mut answer = serde_json::to_value(StageAnswer::from(stage))?;
    let targeting = targeting.iter().map(|(environment, access)| {
        let access = json!({
            "everyone": access.everyone,
            "segmentIds": access.segments,
            "rules": write_rules(&access.rules),
        });
        (environment.to_string(), access)
    });
    answer["targeting"] = Value::Object(targeting.collect());
    Ok(answer)
}

fn segment_answer(segment: &Segment) -> Value {
    json!({
        "id": segment.id,
        "name": segment.name,
        "type": segment.kind.as_wire(),
        "rules": write_rules(&segment.rules),
    })
}
