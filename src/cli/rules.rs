//! Reads an environment's rules once, through the very functions that the server uses.

use crate::app;
use crate::config;
use crate::model::{self, BrokenFlag, Failure, FailureKind, Ruleset, Update};
use crate::origin::store::Store;
use crate::snapshot::publisher::next_version;
use crate::snapshot::{Content, Prepared, Profile};
use crate::source::{Look, Sight, Source};
use crate::time::{Clock, Timestamp};

/// What a server that starts now would serve.
pub(super) struct Rules {
    pub(super) profile: Profile,
    pub(super) content: Content,
    /// What is left out.
    pub(super) broken: Vec<BrokenFlag>,
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
    let rules = match sight.update {
        Update::Replace(rules, _) => *rules,
        Update::Unavailable(failure) => return Err(failure),
        // Only a source that has given rules before says so.
        Update::Unchanged(_) => model::Rules::Reflag(Ruleset::default()),
    };
    let document_bytes = match (&environment.source, rules.document()) {
        (config::Source::File(file), _) => std::fs::metadata(&file.path).map_or(0, |m| m.len()),
        (_, document) => document.map_or(0, |d| d.len() as u64),
    };
    let profile = app::profile(environment);
    let fingerprint = Content::fingerprint_of(&rules, &profile);
    let version = next_version(None, rules.source_version());
    let broken = rules.broken();
    let mut diagnostics = rules.warnings().to_vec();
    diagnostics.extend(sight.trouble.map(|trouble| trouble.message));
    let Prepared { content, diagnostics: oddities, .. } =
        Content::prepare(rules, fingerprint, version, &profile);
    diagnostics.extend(oddities);
    Ok(Rules { profile, content, broken, diagnostics, document_bytes })
}

fn look(
    settings: &config::Settings,
    environment: &config::Environment,
    now: Timestamp,
) -> Result<Sight, Failure> {
    let failed = |error: String| Failure::new(FailureKind::Network, error, now);
    let store = match (&environment.source, &settings.origin) {
        (config::Source::Origin(_), Some(origin)) => {
            if !origin.database.exists() {
                let path = origin.database.display();
                return Err(failed(format!("there is no database at {path} yet")));
            }
            let store = Store::open(&origin.database, Clock::System);
            Some(store.map_err(|error| failed(error.to_string()))?)
        }
        _ => None,
    };
    let source = app::source_of(settings, environment, store.as_ref());
    let mut source = source.map_err(|error| failed(error.to_string()))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| failed(format!("cannot ask the source: {error}")))?;
    Ok(runtime.block_on(source.look(Look::at(now))))
}
