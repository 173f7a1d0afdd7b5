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
use crate::origin::keys::sha256;
use crate::origin::model::EnvironmentId;
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
    keys: Vec<Brought>,
}

/// A key, and when it ceases to hold, if it was replaced.
#[derive(Debug)]
struct Brought {
    key: SourceKey,
    ends: Option<Timestamp>,
}

impl Found {
    /// When the next of its keys ceases to hold.
    fn key_ends(&self) -> Option<Timestamp> {
        self.keys.iter().filter_map(|brought| brought.ends).min()
    }

    /// What holds at `now`, if that is less than before. A database that cannot be asked keeps no
    /// key alive.
    fn without_ended(&mut self, now: Timestamp) -> Option<Vec<SourceKey>> {
        let before = self.keys.len();
        self.keys.retain(|brought| brought.ends.is_none_or(|end| now < end));
        (self.keys.len() < before).then(|| self.source_keys())
    }

    fn source_keys(&self) -> Vec<SourceKey> {
        self.keys.iter().map(|brought| brought.key.clone()).collect()
    }
}

/// One consistent look.
struct Seen {
    environment: EnvironmentId,
    numbers: Numbers,
    /// None when the state was seen before.
    ruleset: Option<Result<Ruleset, String>>,
    keys: Vec<Brought>,
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
                && found.key_ends().is_none_or(|end| now < end)
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
    // One that was found is followed whatever it is called by now: its keys are in use.
    let followed = match &known {
        Some((id, _)) => reader.numbers_if_any(id)?.map(|_| id.clone()),
        None => None,
    };
    let environment = if let Some(id) = followed {
        id
    } else {
        let app = reader.find_app(&wanted.app)?;
        reader.find_environment(&app.id, &wanted.environment)?.id
    };
    let numbers = reader.numbers_of(&environment)?;
    let same = known.is_some_and(|(id, seen)| id == environment && seen.state == numbers.state);
    let ruleset = if same {
        None
    } else {
        let state = reader.environment_state(&environment)?;
        let document = definitions::document(&state).map_err(|error| error.to_string());
        Some(
            document
                .and_then(|document| features::read(&document).map_err(|error| error.to_string())),
        )
    };
    let held = reader.environment_keys(&environment, now)?;
    let publishable = reader.publishable_keys(&environment, now)?.into_iter().map(|text| {
        let hash = sha256(text.as_bytes());
        let ends = held.iter().find(|key| key.sha256 == hash).and_then(|key| key.expires_at);
        Brought { key: SourceKey::Publishable(text), ends }
    });
    let mut keys: Vec<_> = publishable.collect();
    keys.extend(
        held.iter()
            .filter(|key| key.class == KeyClass::Secret)
            .map(|key| Brought { key: SourceKey::SecretHash(key.sha256), ends: key.expires_at }),
    );
    Ok(Seen { environment, numbers, ruleset, keys })
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
                let keys = if is_gone {
                    self.found.take().map(|_| Vec::new())
                } else {
                    self.found.as_mut().and_then(|found| found.without_ended(now))
                };
                let kind = if is_gone { FailureKind::Status4xx } else { FailureKind::Network };
                let message = format!("the origin: {error}");
                return Sight { update: failed(kind, message), trouble: None, keys };
            }
        };
        let Seen { environment, numbers, ruleset, keys } = seen;
        let update = match ruleset {
            None => Update::Unchanged(Confirmed::At(now)),
            Some(Ok(ruleset)) => {
                Update::Replace(Box::new(Rules::Reflag(ruleset)), Confirmed::At(now))
            }
            Some(Err(error)) => failed(FailureKind::Malformed, error),
        };
        let found = Found { environment, numbers, keys };
        let keys = Some(found.source_keys());
        self.found = Some(found);
        Sight { update, trouble: None, keys }
    }

    async fn stirred(&mut self) {
        let Some(found) = &self.found else {
            return tokio::time::sleep(BETWEEN_SEARCHES).await;
        };
        let (environment, numbers) = (found.environment.clone(), found.numbers);
        let key_ends = found.key_ends();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_ends_in_time_though_the_database_cannot_be_asked() {
        let brought = |key, ends: Option<i64>| Brought { key, ends: ends.map(Timestamp) };
        let (new, old) = (SourceKey::SecretHash([1; 32]), SourceKey::SecretHash([2; 32]));
        let text = SourceKey::Publishable("pub_1".to_owned());
        let keys = vec![
            brought(text.clone(), None),
            brought(new.clone(), None),
            brought(old, Some(1_000)),
        ];
        let environment = EnvironmentId::from("en012345678901");
        let mut found = Found { environment, numbers: Numbers { state: 1, keys: 1 }, keys };
        assert_eq!(found.key_ends(), Some(Timestamp(1_000)));
        assert_eq!(found.without_ended(Timestamp(999)), None);
        assert_eq!(found.without_ended(Timestamp(1_000)), Some(vec![text, new]));
        assert_eq!(found.without_ended(Timestamp(1_001)), None);
        assert_eq!(found.key_ends(), None);
    }
}
