//! An environment's settings, as plain as they can be.

use burgee::compile::Policy;
use burgee::config::{Definitions, Fraction, Gate};
use burgee::dialect::ofrep::BareKey;
use burgee::model::EnvironmentName;
use burgee::snapshot::{Authority, Cors, OnStale, OnUnauthorized, Profile};

pub(crate) fn profile() -> Profile {
    Profile {
        name: EnvironmentName::new("bench"),
        policy: Policy::default(),
        key_from_document: false,
        segments_without_identity: false,
        hide_sensitive_data: false,
        definitions: Definitions::Complete,
        bare_key: BareKey::Auto,
        max_staleness: None,
        on_stale: OnStale::Serve,
        on_unauthorized: OnUnauthorized::Serve,
        authority: Authority::Operator,
        gate: Gate { max_shrink: Fraction::ZERO, confirm_after: 1 },
        cors: Cors::Any,
    }
}
