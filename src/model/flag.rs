//! Flags.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::Filter;

/// One flag of an environment.
#[derive(Clone, Debug)]
pub struct Flag {
    /// Unique in its environment; case sensitive.
    pub key: Box<str>,
    /// Marked by the source as visible to secret keys only.
    pub secret: bool,
    /// Who has the flag on.
    pub targeting: Targeting,
    /// Which value comes with it, decided apart from on and off.
    pub config: Option<RemoteConfig>,
    /// The definition as the source wrote it, for those who may read definitions.
    pub raw: Box<RawValue>,
}

/// The rules that turn a flag on. The flag is on when any of them matches.
#[derive(Clone, Debug)]
pub struct Targeting {
    /// Version of this flag's targeting, echoed to clients.
    pub version: u64,
    /// All rules are evaluated and reported; the first match decides.
    pub rules: Vec<Filter>,
}

/// Remote config: variants in the order in which they are tried.
#[derive(Clone, Debug)]
pub struct RemoteConfig {
    /// Version of this flag's config, echoed to clients.
    pub version: u64,
    /// The first whose filter matches is given out.
    pub variants: Vec<Variant>,
}

/// A value that a flag can carry.
#[derive(Clone, Debug)]
pub struct Variant {
    /// Name of the variant.
    pub key: Box<str>,
    /// Who gets it.
    pub filter: Filter,
    /// Any JSON, kept as the text that came.
    pub payload: Option<Arc<RawValue>>,
}
