//! Reads an environment's rules once, through the very functions that the server uses.

use std::sync::Arc;

use crate::app;
use crate::config;
use crate::model::{Failure, FailureKind, Update};
use crate::snapshot::publisher::next_version;
use crate::snapshot::{Content, Profile};
use crate::source::{FileSource, Source};
use crate::time::Timestamp;

/// What a server that starts now would serve.
pub(super) struct Rules {
    pub(super) profile: Profile,
    pub(super) content: Content,
    /// Odd things about rules that are served.
    pub(super) diagnostics: Vec<String>,
    /// Length of the document that they come from.
    pub(super) document_bytes: u64,
}

/// Looks at the source of `environment` and prepares what it gives.
pub(super) fn read(environment: &config::Environment, now: Timestamp) -> Result<Rules, Failure> {
    let config::Source::File(file) = &environment.source else {
        let message = "a source of type reflag cannot be read by this build".to_owned();
        return Err(Failure { kind: FailureKind::Network, message, at: now });
    };
    let ruleset = match FileSource::new(file.path.clone()).look(now) {
        Update::Replace(ruleset) => ruleset,
        Update::Unavailable(failure) => return Err(failure),
        // Only a source that has given rules before says so.
        Update::Unchanged => crate::model::Ruleset::default(),
    };
    let document_bytes = std::fs::metadata(&file.path).map_or(0, |metadata| metadata.len());
    let profile = app::profile(environment);
    let fingerprint = Content::fingerprint_of(&ruleset, &profile);
    let version = next_version(None, ruleset.source_version);
    let mut diagnostics = ruleset.warnings.clone();
    let (content, oddities) = Content::prepare(Arc::new(ruleset), fingerprint, version, &profile);
    diagnostics.extend(oddities);
    Ok(Rules { profile, content, diagnostics, document_bytes })
}
