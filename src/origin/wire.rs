//! What is answered, spelled as the Management API spells it (reflag-management.md section 5).
//!
//! Members that are unset are left out, not null, unless the page says otherwise.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;

use super::model::{
    App, Environment, EnvironmentId, Flag, Member, Org, Segment, Stage, Targeting, Variant,
};
use super::store::{Reader, StoreError, Stored};
use crate::time::Timestamp;

#[derive(Debug, Serialize)]
pub(super) struct OrgHeader {
    id: String,
    name: String,
}

/// An app in a list, or with all that `getApp` adds.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AppAnswer {
    org: OrgHeader,
    id: String,
    name: String,
    demo: bool,
    flag_key_format: &'static str,
    environments: Vec<EnvironmentAnswer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stages: Option<Vec<StageAnswer>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    segments: Option<Vec<SegmentHeader>>,
}

impl AppAnswer {
    pub(super) fn header(reader: &Reader<'_>, org: Org, app: App) -> Stored<Self> {
        let environments = reader.environments(&app.id)?;
        Ok(Self {
            org: OrgHeader { id: org.id.to_string(), name: org.name },
            id: app.id.to_string(),
            name: app.name,
            demo: app.demo,
            flag_key_format: app.flag_key_format.as_wire(),
            environments: environments.into_iter().map(EnvironmentAnswer::header).collect(),
            stages: None,
            segments: None,
        })
    }

    pub(super) fn whole(reader: &Reader<'_>, org: Org, app: App) -> Stored<Self> {
        let environments = reader.environments(&app.id)?.into_iter();
        let stages = reader.stages(&app.id)?.into_iter().map(StageAnswer::from).collect();
        let segments = reader.segments(&app.id)?.iter().map(SegmentHeader::from).collect();
        let environments = environments
            .map(|environment| EnvironmentAnswer::whole(reader, environment))
            .collect::<Stored<_>>()?;
        let header = Self::header(reader, org, app)?;
        Ok(Self { environments, stages: Some(stages), segments: Some(segments), ..header })
    }
}

/// An environment in a list, or with its keys.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EnvironmentAnswer {
    pub(super) id: String,
    pub(super) name: String,
    is_production: bool,
    order: u32,
    flag_state_version: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    sdk_access: Option<SdkAccess>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SdkAccess {
    publishable_key: String,
    /// None where it cannot be read.
    secret_key: Option<String>,
}

impl EnvironmentAnswer {
    pub(super) fn header(environment: Environment) -> Self {
        Self {
            id: environment.id.to_string(),
            name: environment.name,
            is_production: environment.is_production,
            order: environment.order,
            flag_state_version: environment.flag_state_version,
            sdk_access: None,
        }
    }

    pub(super) fn whole(reader: &Reader<'_>, environment: Environment) -> Stored<Self> {
        let (publishable_key, secret_key) = reader.sdk_access(&environment.id)?;
        let sdk_access = Some(SdkAccess { publishable_key, secret_key });
        Ok(Self { sdk_access, ..Self::header(environment) })
    }
}

#[derive(Debug, Serialize)]
pub(super) struct StageAnswer {
    id: String,
    name: String,
    color: String,
    order: u32,
}

impl From<Stage> for StageAnswer {
    fn from(stage: Stage) -> Self {
        Self { id: stage.id.to_string(), name: stage.name, color: stage.color, order: stage.order }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct SegmentHeader {
    id: String,
    name: String,
    #[serde(rename = "type")]
    kind: &'static str,
}

impl From<&Segment> for SegmentHeader {
    fn from(segment: &Segment) -> Self {
        let kind = segment.kind.as_wire();
        Self { id: segment.id.to_string(), name: segment.name.clone(), kind }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct MemberAnswer {
    id: String,
    name: String,
    email: String,
}

impl From<Member> for MemberAnswer {
    fn from(member: Member) -> Self {
        Self { id: member.id.to_string(), name: member.name, email: member.email }
    }
}

/// A flag. What only runtime events could tell says that there were none.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "they are the protocol's own members")]
pub(super) struct FlagAnswer {
    pub(super) id: String,
    pub(super) key: String,
    pub(super) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stage: Option<StageAnswer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<MemberAnswer>,
    archived: bool,
    stale: bool,
    permanent: bool,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    rolled_out_to_everyone_at: Option<String>,
    code_refs_cleaned_up: bool,
    no_recent_checks: bool,
}

impl From<Flag> for FlagAnswer {
    fn from(flag: Flag) -> Self {
        Self {
            id: flag.id.to_string(),
            key: flag.key,
            name: flag.name,
            description: flag.description,
            stage: flag.stage.map(StageAnswer::from),
            owner: flag.owner.map(MemberAnswer::from),
            archived: flag.archived,
            stale: false,
            permanent: flag.permanent,
            created_at: flag.created_at.to_string(),
            rolled_out_to_everyone_at: flag.rolled_out_to_everyone_at.map(|at| at.to_string()),
            code_refs_cleaned_up: false,
            no_recent_checks: true,
        }
    }
}

/// `flagStateVersions`: the version of each environment, by its id.
pub(super) fn versions(environments: Vec<Environment>) -> BTreeMap<EnvironmentId, u64> {
    environments.into_iter().map(|e| (e.id, e.flag_state_version)).collect()
}

/// `{flag, flagStateVersions}`
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ChangedFlag {
    flag: FlagAnswer,
    flag_state_versions: BTreeMap<EnvironmentId, u64>,
}

impl ChangedFlag {
    pub(super) fn of(flag: Flag, environments: Vec<Environment>) -> Self {
        Self { flag: FlagAnswer::from(flag), flag_state_versions: versions(environments) }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TargetingAnswer {
    flag_key: String,
    version: u64,
    updated_at: String,
    specific_targets: SpecificTargets,
}

#[derive(Debug, Serialize)]
struct SpecificTargets {
    r#true: Audience,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Audience {
    company_ids: Vec<String>,
    user_ids: Vec<String>,
}

impl TargetingAnswer {
    pub(super) fn of(flag_key: String, targeting: Targeting) -> Self {
        let Targeting { version, updated_at, company_ids, user_ids, .. } = targeting;
        Self {
            flag_key,
            version,
            updated_at: updated_at.to_string(),
            specific_targets: SpecificTargets { r#true: Audience { company_ids, user_ids } },
        }
    }
}

/// A flag as a company or user has it. The spelling of the member that says whether it is listed
/// is that of the path's time.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EntityFlag {
    id: String,
    key: String,
    name: String,
    created_at: String,
    value: bool,
    #[serde(flatten)]
    listed: Listed,
    first_exposure_at: Option<Timestampless>,
    last_exposure_at: Option<Timestampless>,
    last_check_at: Option<Timestampless>,
    exposure_count: u32,
    first_track_at: Option<Timestampless>,
    last_track_at: Option<Timestampless>,
    track_count: u32,
}

/// No event is kept, so there is never a moment to tell.
#[derive(Debug, Serialize)]
enum Timestampless {}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
enum Listed {
    SpecificTargetValue(Option<bool>),
    SpecificallyTargetedValue(Option<bool>),
}

impl EntityFlag {
    pub(super) fn of(flag: Flag, value: bool, listed: bool, retired_path: bool) -> Self {
        let listed = listed.then_some(true);
        Self {
            id: flag.id.to_string(),
            key: flag.key,
            name: flag.name,
            created_at: flag.created_at.to_string(),
            value,
            listed: if retired_path {
                Listed::SpecificallyTargetedValue(listed)
            } else {
                Listed::SpecificTargetValue(listed)
            },
            first_exposure_at: None,
            last_exposure_at: None,
            last_check_at: None,
            exposure_count: 0,
            first_track_at: None,
            last_track_at: None,
            track_count: 0,
        }
    }
}

/// All there is, in one page.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OnePage<T> {
    data: Vec<T>,
    total_count: usize,
    page_size: usize,
    page_index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    sort_by: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sort_order: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flag_state_version: Option<u64>,
}

impl<T> OnePage<T> {
    pub(super) fn of(data: Vec<T>) -> Self {
        let count = data.len();
        Self {
            data,
            total_count: count,
            page_size: count,
            page_index: 0,
            sort_by: None,
            sort_order: None,
            flag_state_version: None,
        }
    }

    pub(super) fn sorted(self, by: &'static str, order: &'static str) -> Self {
        Self { sort_by: Some(by), sort_order: Some(order), ..self }
    }

    pub(super) fn at_version(self, version: Option<u64>) -> Self {
        Self { flag_state_version: version, ..self }
    }
}

/// A part of what there is; `next` is what `after` has to be for the part behind it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Part<T> {
    pub(super) data: Vec<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) total_count: Option<usize>,
    pub(super) page_size: usize,
    pub(super) next: Option<String>,
}

/// A variant with its payload as it was written.
#[derive(Debug, Serialize)]
pub(super) struct VariantAnswer {
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<Box<RawValue>>,
}

impl VariantAnswer {
    pub(super) fn of(variant: Variant) -> Stored<Self> {
        let payload = variant.payload.map(RawValue::from_string).transpose();
        Ok(Self { key: variant.key, payload: payload.map_err(StoreError::Stored)? })
    }
}

/// A moment as the protocol spells it.
pub(super) fn moment(at: Option<Timestamp>) -> Option<String> {
    at.map(|at| at.to_string())
}
