//! Reads an environment's rules once, through the very functions that the server uses.

use std::sync::Arc;

use crate::app;
use crate::config;
use crate::model::{Failure, FailureKind, Ruleset, Update};
use crate::snapshot::publisher::next_version;
use crate::snapshot::{Content, Profile};
use crate::source::{FileSource, Look, Sight, Source};
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
pub(super) fn read(
    settings: &config::Settings,
    environment: &config::Environment,
    now: Timestamp,
) -> Result<Rules, Failure> {
    let sight = look(settings, environment, now)?;
    let ruleset = match sight.update {
        Update::Replace(ruleset, _) => ruleset,
        Update::Unavailable(failure) => return Err(failure),
        // Only a source that has given rules before says so.
        Update::Unchanged(_) => Ruleset::default(),
    };
    let document_bytes = match (&environment.source, &ruleset.verbatim) {
        (config::Source::File(file), _) => std::fs::metadata(&file.path).map_or(0, |m| m.len()),
        (config::Source::Reflag(_), document) => document.as_ref().map_or(0, |d| d.len() as u64),
    };
    let profile = app::profile(environment);
    let fingerprint = Content::fingerprint_of(&ruleset, &profile);
    let version = next_version(None, ruleset.source_version);
    let mut diagnostics = ruleset.warnings.clone();
    diagnostics.extend(sight.trouble.map(|trouble| trouble.message));
    let (content, oddities) = Content::prepare(Arc::new(ruleset), fingerprint, version, &profile);
    diagnostics.extend(oddities);
    Ok(Rules { profile, content, diagnostics, document_bytes })
}

fn look(
    settings: &config::Settings,
    environment: &config::Environment,
    now: Timestamp,
) -> Result<Sight, Failure> {
    let reflag = match &environment.source {
        config::Source::File(file) => {
            return Ok(FileSource::new(file.path.clone()).look_blocking(now).into());
        }
        config::Source::Reflag(reflag) => reflag,
    };
    let failed = |error: String| Failure::new(FailureKind::Network, error, now);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| failed(format!("cannot ask the upstream: {error}")))?;
    let mut source = app::reflag_source(settings, environment, reflag)
        .map_err(|error| failed(error.to_string()))?;
    Ok(runtime.block_on(source.look(Look::at(now))))
}
