//! What Reflag's Management API lacks, under `/api/burgee/`: rules, segments, remote config, stages,
//! environments, keys, and looks at what is stored.
//!
//! Conventions are the Management API's: the same keys and scopes, errors, ids and names. A PATCH
//! leaves alone what is left out. Lists that may be long come in parts: `pageSize` (1 to 1000, 100)
//! and `after`, which is the `next` of the part before.

mod configuration;
mod keys;
mod targeting;

use super::api::routes::Operation;
use super::api::{Answer, Api, Call, Checker, Object, Refusal};
use super::model::{EntityKind, limits};

const NAME: std::ops::RangeInclusive<usize> = 1..=limits::NAME;

impl Api {
    pub(super) async fn answer_of_our_own(&self, call: &Call) -> Answer {
        use EntityKind::{Company, User};
        match call.operation {
            Operation::CreateEnvironment => self.create_environment(call).await,
            Operation::UpdateEnvironment => self.update_environment(call).await,
            Operation::DeleteEnvironment => self.delete_environment(call).await,
            Operation::ListEnvironmentKeys => self.list_environment_keys(call).await,
            Operation::RotateEnvironmentKey => self.rotate_environment_key(call).await,
            Operation::ListApiKeys => self.list_api_keys(call).await,
            Operation::CreateApiKey => self.create_api_key(call).await,
            Operation::RevokeApiKey => self.revoke_api_key(call).await,
            Operation::ListMembers => self.list_members().await,
            Operation::PutMember => self.put_member(call).await,
            Operation::ListStages => self.list_stages(call).await,
            Operation::CreateStage => self.create_stage(call).await,
            Operation::UpdateStage => self.update_stage(call).await,
            Operation::DeleteStage => self.delete_stage(call).await,
            Operation::ListSegments => self.list_segments(call).await,
            Operation::CreateSegment => self.create_segment(call).await,
            Operation::UpdateSegment => self.update_segment(call).await,
            Operation::DeleteSegment => self.delete_segment(call).await,
            Operation::GetVariants => self.variants(call).await,
            Operation::PutVariants => self.put_variants(call).await,
            Operation::GetTargeting => self.targeting(call).await,
            Operation::UpdateTargeting => self.update_targeting(call).await,
            Operation::ListTargetedCompanies => self.list_targets(call, Company).await,
            Operation::ListTargetedUsers => self.list_targets(call, User).await,
            Operation::ListCompanies => self.list_entities(call, Company).await,
            Operation::ListUsers => self.list_entities(call, User).await,
            Operation::GetCompany => self.entity(call, Company).await,
            Operation::GetUser => self.entity(call, User).await,
            Operation::AddCompanyUser => self.set_membership(call, true).await,
            Operation::RemoveCompanyUser => self.set_membership(call, false).await,
            Operation::ListAudit => self.list_audit(call).await,
            other => {
                // Every operation is in one of the two tables.
                Err(Refusal::not_found(format!("{other:?} is not served here")))
            }
        }
    }
}

/// Reads a body that is an object; `read` notes what is wrong with it.
fn read_object<T>(
    call: &Call,
    read: impl FnOnce(&mut Checker, &Object<'_>) -> T,
) -> Result<T, Refusal> {
    let body = call.json()?;
    let mut checker = Checker::default();
    let value = checker.object(&body, "").map(|object| read(&mut checker, &object));
    checker.finish()?;
    value.ok_or_else(|| Refusal::issue("", "Must be an object"))
}
