//! What the control plane knows, as plain values (reflag-management.md section 4).
//!
//! Knows neither SQL nor HTTP. Names are the Management API's, so that a table, a type and a member
//! on the wire are found by one word.

mod access;
mod app;
mod entity;
mod flag;
mod ids;
mod targeting;

pub use access::{Actor, ApiKey, AuditEntry, Scope, Scopes};
pub use app::{App, Environment, EnvironmentKey, FlagKeyFormat, Member, Org};
pub use entity::{Entity, EntityKind};
pub use flag::{Flag, Segment, SegmentKind, Stage, Variant};
pub use ids::{
    ApiKeyId, AppId, EnvironmentId, FlagId, Id, MemberId, OrgId, SegmentId, StageId, random_text,
};
pub use targeting::{
    Access, Condition, ConfigTargeting, EVERYONE_PER_MILLE, EnvironmentState, FlagState,
    Percentage, Rule, SegmentVariant, Targeting, limits,
};
