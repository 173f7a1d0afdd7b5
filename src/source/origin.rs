//! Rules from the embedded control plane of this process: no HTTP, and no waiting for the next poll.
//!
//! Follows the store's change feed. Looks at the database only when the environment's numbers are
//! other ones than those that were seen; else a look costs a comparison. Several changes between two
//! looks are one update. Brings the environment's keys along, those in their grace included.

use std::time::Duration;

use super::{Look, Sight, Source};
use crate::config;
use crate::dialect::reflag::definitions as features;
use crate::model::{Confirmed, Failure, FailureKind, KeyClass, Rules, Ruleset, Update};
use crate::origin::definitions;
use crate::origin::model::{EnvironmentId, EnvironmentKey};
use crate::origin::store::{Feed, Numbers, Reader, Store, StoreError, Stored};
use crate::snapshot::SourceKey;
use crate::time::{Clock, Timestamp};

/// How long an environment that is not there is left alone when nothing else happens: it may be
/// made at any time.
const BETWEEN_SEARCHES: Duration = Duration::from_secs(1);

/// An environment of the control plane.
#[derive(Debug)]
pub struct OriginSource {
    store: Store,
    feed: Feed,
    clock: Clock,
    wanted: config::OriginSource,
    found: Option<Found>,
}

/// What was last seen.
#[derive(Debug)]
struct Found {
    environment: EnvironmentId,
    numbers: Numbers,
    /// When the next of its keys ceases to hold.
    key_ends: Option<Timestamp>,
}

/// One consistent look.
struct Seen {
    environment: EnvironmentId,
    numbers: Numbers,
    /// None when the state was seen before.
    ruleset: Option<Result<Ruleset, String>>,
    keys: Vec<SourceKey>,
    key_ends: Option<Timestamp>,
}

impl OriginSource {
    /// Follows an environment of `store`; it need not be there yet.
    pub fn new(store: Store, wanted: config::OriginSource) -> Self {
        let (feed, clock) = (store.feed(), store.clock().clone());
        Self { store, feed, clock, wanted, found: None }
    }

    /// Whether nothing has changed since the last look.
    fn is_up_to_date(&self, now: Timestamp) -> bool {
        self.found.as_ref().is_some_and(|found| {
            self.feed.numbers(&found.environment) == Some(found.numbers)
                && found.key_ends.is_none_or(|end| now < end)
        })
    }

    async fn see(&self, now: Timestamp) -> Stored<Seen> {
        let wanted = self.wanted.clone();
        let known = self.found.as_ref().map(|found| (found.environment.clone(), found.numbers));
        self.store.read(move |reader| see(reader, &wanted, known, now)).await
    }
}

fn see(
    reader: &Reader<'_>,
    wanted: &config::OriginSource,
    known: Option<(EnvironmentId, Numbers)>,
    now: Timestamp,
) -> Stored<Seen> {
    let app = reader.find_app(&wanted.app)?;
    let environment = reader.find_environment(&app.id, &wanted.environment)?.id;
    let numbers = reader.numbers_of(&environment)?;
    let same = known.is_some_and(|(id, seen)| id == environment && seen.state == numbers.state);
    let ruleset = if same {
        None
    } else {
        let state = reader.environment_state(&environment)?;
        let document = definitions::document(&state);
        Some(features::read(&document).map_err(|error| error.to_string()))
    };
    let held = reader.environment_keys(&environment, now)?;
    let key_ends = held.iter().filter_map(|key| key.expires_at).min();
    let mut keys: Vec<_> = held.iter().filter_map(secret).collect();
    keys.extend(
        reader.publishable_keys(&environment, now)?.into_iter().map(SourceKey::Publishable),
    );
    Ok(Seen { environment, numbers, ruleset, keys, key_ends })
}

fn secret(key: &EnvironmentKey) -> Option<SourceKey> {
    (key.class == KeyClass::Secret).then_some(SourceKey::SecretHash(key.sha256))
}

impl Source for OriginSource {
    async fn look(&mut self, look: Look) -> Sight {
        let now = look.now;
        let failed = |kind, message: String| Update::Unavailable(Failure::new(kind, message, now));
        if self.feed.is_closed() {
            return failed(FailureKind::Network, "the origin's database is closed".to_owned())
                .into();
        }
        if self.is_up_to_date(now) {
            return Update::Unchanged(Confirmed::At(now)).into();
        }
        let seen = match self.see(now).await {
            Ok(seen) => seen,
            Err(error) => {
                // An environment that is gone has no keys any more.
                let is_gone = matches!(error, StoreError::NotFound(_));
                let keys = (is_gone && self.found.take().is_some()).then(Vec::new);
                let kind = if is_gone { FailureKind::Status4xx } else { FailureKind::Network };
                let message = format!("the origin: {error}");
                return Sight { update: failed(kind, message), trouble: None, keys };
            }
        };
        let Seen { environment, numbers, ruleset, keys, key_ends } = seen;
        let update = match ruleset {
            None => Update::Unchanged(Confirmed::At(now)),
            Some(Ok(ruleset)) => {
                Update::Replace(Box::new(Rules::Reflag(ruleset)), Confirmed::At(now))
            }
            Some(Err(error)) => failed(FailureKind::Malformed, error),
        };
        self.found = Some(Found { environment, numbers, key_ends });
        Sight { update, trouble: None, keys: Some(keys) }
    }

    async fn stirred(&mut self) {
        let Some(found) = &self.found else {
            return tokio::time::sleep(BETWEEN_SEARCHES).await;
        };
        let (environment, numbers) = (found.environment.clone(), found.numbers);
        let key_ends = found.key_ends;
        let now = self.clock.now();
        tokio::select! {
            () = self.feed.changed(&environment, Some(numbers)) => {}
            () = until(key_ends, now) => {}
        }
    }
}

/// Sleeps until a moment; for ever when there is none.
async fn until(moment: Option<Timestamp>, now: Timestamp) {
    match moment {
        Some(moment) => {
            let millis = u64::try_from(moment.since(now)).unwrap_or(0);
            tokio::time::sleep(Duration::from_millis(millis)).await;
        }
        None => std::future::pending().await,
    }
}
