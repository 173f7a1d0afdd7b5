//! What the definitions of environments weigh: known from change to change, so that most changes
//! are judged without a look at anything but themselves.

use std::collections::{BTreeMap, HashMap};
use std::ops::AddAssign;
use std::path::{Path, PathBuf};

use super::{Reader, Seal, StoreError, Stored, is_there, look_only};
use crate::origin::definitions::{self, Extent};
use crate::origin::model::{EnvironmentId, limits};

/// By how much a change makes an environment's definitions heavier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Growth {
    /// At most by so many bytes, in the text of one flag. Whoever refers to the flag has them, too.
    AtMost(u128),
    /// That is seen only when all is looked through.
    Unknown,
}

impl AddAssign for Growth {
    fn add_assign(&mut self, other: Self) {
        *self = match (*self, other) {
            (Self::AtMost(one), Self::AtMost(other)) => Self::AtMost(one.saturating_add(other)),
            _ => Self::Unknown,
        };
    }
}

/// What is known of one environment at one version.
#[derive(Clone, Copy, Debug)]
struct Known {
    version: u64,
    /// Its definitions weigh at most so many bytes.
    weight: u128,
    /// See [`Extent::repeats`].
    repeats: u128,
}

/// What is known of each environment. A version is used for one state only: what is known of another
/// version is not asked.
#[derive(Debug)]
pub(super) struct Extents {
    /// Where what was committed can be looked up.
    database: PathBuf,
    known: HashMap<EnvironmentId, Known>,
}

/// What was found out about the environments of one change.
#[derive(Debug, Default)]
pub(super) struct Judged(HashMap<EnvironmentId, Known>);

impl Extents {
    /// Of a database of which nothing is known yet.
    pub(super) fn of(database: &Path) -> Self {
        Self { database: database.to_owned(), known: HashMap::new() }
    }

    /// Takes over what was found out by a change that is kept.
    pub(super) fn extend(&mut self, newer: Judged) {
        self.known.extend(newer.0);
    }

    pub(super) fn remove(&mut self, environment: &EnvironmentId) {
        self.known.remove(environment);
    }

    pub(super) fn clear(&mut self) {
        self.known.clear();
    }

    /// Judges what a transaction has changed and not yet committed. Gives what is known afterwards;
    /// `Err` when definitions became heavier than they may be. Such as were too heavy before may be
    /// changed as long as they do not grow.
    pub(super) fn judge(
        &self,
        reader: &Reader<'_>,
        grown: &BTreeMap<EnvironmentId, Growth>,
    ) -> Stored<Judged> {
        let mut after = Judged::default();
        for (environment, growth) in grown {
            // Deleted by the same change.
            let Some(version) = reader.numbers_if_any(environment)?.map(|n| n.state) else {
                continue;
            };
            let before = self.known.get(environment).filter(|known| known.version + 1 == version);
            let quickly = match (before, growth) {
                (Some(known), Growth::AtMost(bytes)) => {
                    let grown = bytes.saturating_mul(known.repeats);
                    Some(Known { version, weight: known.weight.saturating_add(grown), ..*known })
                }
                _ => None,
            };
            let known = match quickly.filter(|known| known.weight <= limits::DEFINITIONS) {
                Some(known) => known,
                None => self.exactly(reader, environment, version)?,
            };
            after.0.insert(environment.clone(), known);
        }
        Ok(after)
    }

    fn exactly(
        &self,
        reader: &Reader<'_>,
        environment: &EnvironmentId,
        version: u64,
    ) -> Stored<Known> {
        let extent = definitions::extent(&reader.environment_state(environment)?);
        let (weight, repeats) = (extent.weight(), extent.repeats);
        if weight > limits::DEFINITIONS && weight > self.committed(reader.seal, environment)? {
            let name = reader.any_environment(environment)?.name;
            return Err(StoreError::NotPossible(too_heavy(&name, &extent)));
        }
        Ok(Known { version, weight, repeats })
    }

    /// What the definitions weigh without what the present transaction has changed: another
    /// connection does not see it.
    fn committed(&self, seal: &Seal, environment: &EnvironmentId) -> Stored<u128> {
        if !is_there(&self.database) {
            return Ok(0);
        }
        let connection = look_only(&self.database)?;
        match Reader::new(&connection, seal).environment_state(environment) {
            Ok(state) => Ok(definitions::extent(&state).weight()),
            Err(StoreError::NotFound(_)) => Ok(0),
            Err(error) => Err(error),
        }
    }
}

fn too_heavy(environment: &str, extent: &Extent) -> String {
    let mib = |bytes: u128| bytes.div_ceil(1 << 20);
    let (weight, limit) = (mib(extent.weight()), mib(limits::DEFINITIONS));
    let largest = extent.largest.as_ref().map_or(String::new(), |(flag, bytes)| {
        format!(", {} MiB of them for the flag `{flag}`", mib(*bytes))
    });
    format!(
        "The definitions of {environment} would take {weight} MiB{largest}: {limit} MiB are \
         possible. Flags and segments are written out wherever a condition names them: name them \
         in fewer places, or list fewer companies and users"
    )
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::super::{NewFlag, NewKeys, Store, TargetChange, TargetingChange, Writer};
    use super::*;
    use crate::origin::model::{
        Access, Actor, AppId, Condition, ConfigTargeting, EntityKind, FlagKeyFormat, Rule, Variant,
    };
    use crate::time::{Clock, Timestamp};

    /// An app with a production environment and three flags.
    async fn shop(path: &Path) -> (AppId, EnvironmentId) {
        let store = Store::open(path, Clock::frozen(Timestamp(0))).unwrap();
        let made = store.write(Actor::CommandLine, |writer| {
            let app = writer.create_app("Shop", FlagKeyFormat::Custom, false)?.id;
            let keys = NewKeys::random("Production")?;
            let production = writer.create_environment(&app, "Production", true, &keys)?.id;
            for key in ["a", "b", "c"] {
                let (key, name) = (key.to_owned(), key.to_owned());
                writer.create_flag(&app, &NewFlag { key, name, ..NewFlag::default() })?;
            }
            Ok((app, production))
        });
        made.await.unwrap()
    }

    fn listing(flag: &str, entity: &str) -> TargetChange {
        TargetChange {
            path: String::new(),
            flag: flag.to_owned(),
            kind: EntityKind::Company,
            entity: entity.to_owned(),
            listed: true,
        }
    }

    type Step = Box<dyn Fn(&mut Writer<'_>, &AppId, &EnvironmentId) -> Stored<()>>;

    fn asking_for(flag: &str, times: usize) -> TargetingChange {
        let condition = Condition::Flag { flag: flag.to_owned(), enabled: false };
        let rules = vec![Rule::of(vec![condition; times])];
        TargetingChange { rules: Some(rules), ..TargetingChange::default() }
    }

    #[tokio::test]
    async fn what_is_known_is_never_less_than_what_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("origin.db");
        let (app, here) = shop(&path).await;
        let connection = Connection::open(&path).unwrap();
        let seal = super::super::Seal::open(&path).unwrap();
        let mut extents = Extents::of(&path);
        let set = |key: &'static str, change: TargetingChange| -> Step {
            Box::new(move |w, app, here| w.set_targeting(app, here, key, &change, None).map(drop))
        };
        let list = |key: &'static str, company: &'static str| -> Step {
            let changes = [listing(key, company)];
            Box::new(move |w, app, here| {
                w.change_targets(app, here, &changes, None, false).map(drop)
            })
        };
        let steps: Vec<Step> = vec![
            list("a", "first"),
            set("b", asking_for("a", 3)),
            set("c", asking_for("b", 4)),
            list("a", "\"quoted\" and \u{1} more"),
            list("b", "x"),
            Box::new(|w, app, _| {
                let description = Some("\u{1f}".repeat(100));
                let (key, name) = ("d".to_owned(), "D".to_owned());
                w.create_flag(app, &NewFlag { key, name, description, ..NewFlag::default() })?;
                Ok(())
            }),
            Box::new(|w, app, _| {
                let payload = Some("[1,2,3]".repeat(9));
                w.set_variants(app, "d", &[Variant { key: "v".to_owned(), payload }])
            }),
            set(
                "d",
                TargetingChange {
                    user_ids: Some((0..50).map(|n| format!("user {n}")).collect()),
                    config: Some(ConfigTargeting {
                        default: Some("v".to_owned()),
                        users: [("u".to_owned(), "v".to_owned())].into(),
                        ..ConfigTargeting::default()
                    }),
                    ..TargetingChange::default()
                },
            ),
            Box::new(|w, app, here| {
                let all = w.segments(app)?.remove(0).id;
                let access = Access { segments: vec![all], ..Access::default() };
                let segments = Some(access.segments);
                let change = TargetingChange { segments, ..TargetingChange::default() };
                w.set_targeting(app, here, "a", &change, None).map(drop)
            }),
            set("c", TargetingChange { rules: Some(vec![]), ..TargetingChange::default() }),
            list("c", "y"),
        ];
        for (index, step) in steps.iter().enumerate() {
            let reader = Reader::new(&connection, &seal);
            let mut writer = Writer::new(reader, &extents, &Actor::CommandLine, Timestamp(0));
            step(&mut writer, &app, &here).unwrap();
            writer.definitions_fit().unwrap();
            let left = writer.into_left();
            extents.extend(left.extents);
            let known = extents.known[&here];
            let reader = Reader::new(&connection, &seal);
            let written = definitions::extent(&reader.environment_state(&here).unwrap());
            assert!(known.weight >= written.weight(), "step {index}: {known:?} {written:?}");
            assert!(known.repeats >= written.repeats, "step {index}: {known:?} {written:?}");
        }
    }
}
