//! What can be asked.

use std::collections::{BTreeMap, HashMap};
use std::ops::Deref;

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Params, Row, params};
use serde::de::DeserializeOwned;

use super::{Numbers, Seal, StoreError, Stored};
use crate::model::KeyClass;
use crate::origin::model::{
    Access, ApiKey, App, AppId, AuditEntry, ConfigTargeting, Entity, EntityKind, Environment,
    EnvironmentId, EnvironmentKey, EnvironmentState, Flag, FlagId, FlagKeyFormat, FlagState, Id,
    Member, MemberId, Org, Scopes, Segment, SegmentId, SegmentKind, Stage, StageId, Targeting,
    Variant,
};
use crate::time::Timestamp;

/// A consistent look at the database.
#[derive(Debug)]
pub struct Reader<'c> {
    pub(super) connection: &'c Connection,
    pub(super) seal: &'c Seal,
}

const ENVIRONMENT: &str =
    "SELECT id, app_id, name, is_production, position, flag_state_version FROM environment";

const FLAG: &str = "SELECT flag.id, flag.key, flag.name, flag.description, flag.archived, \
     flag.permanent, flag.secret, flag.created_at, flag.rolled_out_to_everyone_at, stage.id, \
     stage.name, stage.color, stage.position, member.id, member.name, member.email FROM flag \
     LEFT JOIN stage ON stage.id = flag.stage_id LEFT JOIN member ON member.id = flag.owner_id";

const API_KEY: &str =
    "SELECT id, app_id, name, scopes, prefix, created_at, last_used_at, revoked_at FROM api_key";

impl<'c> Reader<'c> {
    pub(super) fn new(connection: &'c Connection, seal: &'c Seal) -> Self {
        Self { connection, seal }
    }

    pub(super) fn one<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Stored<Option<T>> {
        Ok(self.connection.prepare_cached(sql)?.query_row(params, read).optional()?)
    }

    pub(super) fn all<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Stored<Vec<T>> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map(params, read)?.collect::<rusqlite::Result<Vec<_>>>();
        Ok(rows?)
    }

    pub(super) fn count(&self, sql: &str, params: impl Params) -> Stored<usize> {
        let count = self.one(sql, params, |row| row.get::<_, i64>(0))?;
        Ok(count.map_or(0, |count| count.unsigned_abs() as usize))
    }

    /// All environments' numbers.
    pub(super) fn numbers(&self) -> Stored<BTreeMap<EnvironmentId, Numbers>> {
        let sql = "SELECT id, flag_state_version, keys_version FROM environment";
        let rows = self.all(sql, [], |row| {
            Ok((id(row, 0)?, Numbers { state: whole(row, 1)?, keys: whole(row, 2)? }))
        })?;
        Ok(rows.into_iter().collect())
    }

    /// The organisation; made with the first app.
    pub fn org(&self) -> Stored<Option<Org>> {
        self.one("SELECT id, name FROM org", [], |row| {
            Ok(Org { id: id(row, 0)?, name: row.get(1)? })
        })
    }

    /// All apps, by name.
    pub fn apps(&self) -> Stored<Vec<App>> {
        self.all("SELECT id, name, demo, flag_key_format FROM app ORDER BY name", [], read_app)
    }

    /// An app.
    pub fn app(&self, app: &AppId) -> Stored<App> {
        let sql = "SELECT id, name, demo, flag_key_format FROM app WHERE id = ?";
        let found = self.one(sql, [app.as_str()], read_app)?;
        found.ok_or_else(|| StoreError::not_found("There is no app with this id"))
    }

    /// The app with this id or else this name.
    pub fn find_app(&self, named: &str) -> Stored<App> {
        let sql = "SELECT id, name, demo, flag_key_format FROM app WHERE id = ?1 OR name = ?1 \
                   ORDER BY id = ?1 DESC";
        let found = self.one(sql, [named], read_app)?;
        found.ok_or_else(|| StoreError::not_found(format!("There is no app `{named}`")))
    }

    /// An app's environments, in their order.
    pub fn environments(&self, app: &AppId) -> Stored<Vec<Environment>> {
        let sql = format!("{ENVIRONMENT} WHERE app_id = ? ORDER BY position, id");
        self.all(&sql, [app.as_str()], read_environment)
    }

    /// An environment of an app.
    pub fn environment(&self, app: &AppId, environment: &EnvironmentId) -> Stored<Environment> {
        let sql = format!("{ENVIRONMENT} WHERE app_id = ? AND id = ?");
        let found = self.one(&sql, [app.as_str(), environment.as_str()], read_environment)?;
        found.ok_or_else(|| {
            StoreError::not_found("There is no environment with this id in this app")
        })
    }

    /// The environment of an app with this id, or else this name.
    pub fn find_environment(&self, app: &AppId, named: &str) -> Stored<Environment> {
        let sql = format!(
            "{ENVIRONMENT} WHERE app_id = ?1 AND (id = ?2 OR name = ?2 COLLATE NOCASE) \
             ORDER BY id = ?2 DESC, name = ?2 DESC"
        );
        let found = self.one(&sql, [app.as_str(), named], read_environment)?;
        found.ok_or_else(|| {
            StoreError::not_found(format!("There is no environment `{named}` in this app"))
        })
    }

    /// The environment with this id, of whatever app.
    pub fn any_environment(&self, environment: &EnvironmentId) -> Stored<Environment> {
        let sql = format!("{ENVIRONMENT} WHERE id = ?");
        let found = self.one(&sql, [environment.as_str()], read_environment)?;
        found.ok_or_else(|| StoreError::not_found("There is no environment with this id"))
    }

    /// An environment's numbers, as this look sees them.
    pub fn numbers_of(&self, environment: &EnvironmentId) -> Stored<Numbers> {
        let found = self.numbers_if_any(environment)?;
        found.ok_or_else(|| StoreError::not_found("There is no environment with this id"))
    }

    /// The same, if there is such an environment.
    pub fn numbers_if_any(&self, environment: &EnvironmentId) -> Stored<Option<Numbers>> {
        let sql = "SELECT flag_state_version, keys_version FROM environment WHERE id = ?";
        self.one(sql, [environment.as_str()], |row| {
            Ok(Numbers { state: whole(row, 0)?, keys: whole(row, 1)? })
        })
    }

    /// An environment's keys that hold at `now`, those in their grace included.
    pub fn environment_keys(
        &self,
        environment: &EnvironmentId,
        now: Timestamp,
    ) -> Stored<Vec<EnvironmentKey>> {
        let sql = "SELECT environment_id, class, sha256, prefix, created_at, expires_at \
             FROM environment_key WHERE environment_id = ? AND (expires_at IS NULL OR expires_at > ?) \
             ORDER BY class, created_at DESC, prefix";
        self.all(sql, params![environment.as_str(), now.0], read_environment_key)
    }

    /// The current publishable and secret key of an environment, as text. The second is none where
    /// the database was separated from what opens it.
    pub fn sdk_access(&self, environment: &EnvironmentId) -> Stored<(String, Option<String>)> {
        let sql = "SELECT sha256, class, publishable, sealed FROM environment_key \
                   WHERE environment_id = ? AND expires_at IS NULL";
        let rows = self.all(sql, [environment.as_str()], |row| {
            let sealed: Option<Vec<u8>> = row.get(3)?;
            Ok((
                row.get::<_, Vec<u8>>(0)?,
                class(row, 1)?,
                row.get::<_, Option<String>>(2)?,
                sealed,
            ))
        })?;
        let mut publishable = String::new();
        let mut secret = None;
        for (sha256, class, text, sealed) in rows {
            match class {
                KeyClass::Publishable => publishable = text.unwrap_or_default(),
                KeyClass::Secret => {
                    secret = sealed.and_then(|sealed| self.seal.text_of(&sealed, &sha256));
                }
            }
        }
        Ok((publishable, secret))
    }

    /// How many current secret keys cannot be read, in all environments.
    pub(super) fn unreadable_keys(&self) -> Stored<usize> {
        let sql = "SELECT sha256, sealed FROM environment_key WHERE sealed IS NOT NULL \
                   AND expires_at IS NULL";
        let keys = self.all(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let is_unreadable =
            |(sha256, sealed): &(Vec<u8>, Vec<u8>)| self.seal.text_of(sealed, sha256).is_none();
        Ok(keys.iter().filter(|key| is_unreadable(key)).count())
    }

    /// The publishable keys of an environment that hold at `now`, as text.
    pub fn publishable_keys(
        &self,
        environment: &EnvironmentId,
        now: Timestamp,
    ) -> Stored<Vec<String>> {
        let sql = "SELECT publishable FROM environment_key WHERE environment_id = ? \
             AND publishable IS NOT NULL AND (expires_at IS NULL OR expires_at > ?) ORDER BY 1";
        self.all(sql, params![environment.as_str(), now.0], |row| row.get(0))
    }

    /// What a key of an environment opens at `now`.
    pub fn environment_of_key(
        &self,
        sha256: &[u8; 32],
        now: Timestamp,
    ) -> Stored<Option<EnvironmentKey>> {
        let sql = "SELECT environment_id, class, sha256, prefix, created_at, expires_at \
             FROM environment_key WHERE sha256 = ? AND (expires_at IS NULL OR expires_at > ?)";
        self.one(sql, params![&sha256[..], now.0], read_environment_key)
    }

    /// The team, by name.
    pub fn members(&self) -> Stored<Vec<Member>> {
        let sql = "SELECT id, name, email FROM member ORDER BY name, email";
        self.all(sql, [], |row| read_member(row, 0))
    }

    /// A member of the team.
    pub fn member(&self, member: &MemberId) -> Stored<Option<Member>> {
        let sql = "SELECT id, name, email FROM member WHERE id = ?";
        self.one(sql, [member.as_str()], |row| read_member(row, 0))
    }

    /// An app's stages, in their order.
    pub fn stages(&self, app: &AppId) -> Stored<Vec<Stage>> {
        let sql = "SELECT id, name, color, position FROM stage WHERE app_id = ? \
                   ORDER BY position, name";
        self.all(sql, [app.as_str()], |row| read_stage(row, 0))
    }

    /// A stage of an app.
    pub fn stage(&self, app: &AppId, stage: &StageId) -> Stored<Stage> {
        let sql = "SELECT id, name, color, position FROM stage WHERE app_id = ? AND id = ?";
        let found = self.one(sql, [app.as_str(), stage.as_str()], |row| read_stage(row, 0))?;
        found.ok_or_else(|| StoreError::not_found("There is no stage with this id in this app"))
    }

    /// What a stage brings to the environments.
    pub fn stage_targeting(&self, stage: &StageId) -> Stored<BTreeMap<EnvironmentId, Access>> {
        let sql = "SELECT environment_id, access FROM stage_targeting WHERE stage_id = ?";
        let rows = self.all(sql, [stage.as_str()], |row| Ok((id(row, 0)?, json(row, 1)?)))?;
        Ok(rows.into_iter().collect())
    }

    /// An app's segments, by name.
    pub fn segments(&self, app: &AppId) -> Stored<Vec<Segment>> {
        let sql = "SELECT id, name, kind, rules FROM segment WHERE app_id = ? \
                   ORDER BY kind, name";
        self.all(sql, [app.as_str()], read_segment)
    }

    /// A segment of an app.
    pub fn segment(&self, app: &AppId, segment: &SegmentId) -> Stored<Segment> {
        let sql = "SELECT id, name, kind, rules FROM segment WHERE app_id = ? AND id = ?";
        let found = self.one(sql, [app.as_str(), segment.as_str()], read_segment)?;
        found.ok_or_else(|| StoreError::not_found("There is no segment with this id in this app"))
    }

    /// An app's flags, by name.
    pub fn flags(&self, app: &AppId) -> Stored<Vec<Flag>> {
        let sql = format!("{FLAG} WHERE flag.app_id = ? ORDER BY flag.name, flag.key");
        self.all(&sql, [app.as_str()], read_flag)
    }

    /// A flag of an app, by key.
    pub fn flag(&self, app: &AppId, key: &str) -> Stored<Flag> {
        let found = self.flag_if_any(app, key)?;
        found.ok_or_else(|| StoreError::not_found("There is no flag with this key in this app"))
    }

    pub(super) fn flag_if_any(&self, app: &AppId, key: &str) -> Stored<Option<Flag>> {
        let sql = format!("{FLAG} WHERE flag.app_id = ? AND flag.key = ?");
        self.one(&sql, [app.as_str(), key], read_flag)
    }

    /// A flag of an app, by its id or else its key: a harmless extension (section 3).
    pub fn find_flag(&self, app: &AppId, named: &str) -> Stored<Flag> {
        let sql = format!(
            "{FLAG} WHERE flag.app_id = ?1 AND (flag.id = ?2 OR flag.key = ?2) \
             ORDER BY flag.id = ?2 DESC"
        );
        let found = self.one(&sql, [app.as_str(), named], read_flag)?;
        found.ok_or_else(|| StoreError::not_found("There is no flag with this id in this app"))
    }

    /// A flag's variants, in their order.
    pub fn variants(&self, flag: &FlagId) -> Stored<Vec<Variant>> {
        let sql = "SELECT key, payload FROM variant WHERE flag_id = ? ORDER BY position";
        self.all(sql, [flag.as_str()], |row| read_variant(row, 0))
    }

    /// The variants of all flags of an app, by flag.
    pub fn variants_of_app(&self, app: &AppId) -> Stored<HashMap<FlagId, Vec<Variant>>> {
        let sql = "SELECT flag_id, variant.key, payload FROM variant \
             JOIN flag ON flag.id = variant.flag_id WHERE flag.app_id = ? \
             ORDER BY flag_id, position";
        let rows = self.all(sql, [app.as_str()], |row| Ok((id(row, 0)?, read_variant(row, 1)?)))?;
        Ok(grouped(rows))
    }

    /// A flag's targeting, with all who are listed.
    pub fn targeting(&self, environment: &EnvironmentId, flag: &FlagId) -> Stored<Targeting> {
        let mut targeting = self.bare_targeting(environment, flag)?;
        let sql = "SELECT kind, entity_id FROM target WHERE environment_id = ? AND flag_id = ? \
                   ORDER BY kind, entity_id";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query([environment.as_str(), flag.as_str()])?;
        while let Some(row) = rows.next()? {
            match kind(row, 0)? {
                EntityKind::Company => targeting.company_ids.push(row.get(1)?),
                EntityKind::User => targeting.user_ids.push(row.get(1)?),
            }
        }
        let sql = "SELECT kind, entity_id, variant FROM config_target \
             WHERE environment_id = ? AND flag_id = ?";
        let listed = self.all(sql, [environment.as_str(), flag.as_str()], |row| {
            Ok((kind(row, 0)?, row.get(1)?, row.get(2)?))
        })?;
        for (kind, entity, variant) in listed {
            assign(&mut targeting.config, kind, entity, variant);
        }
        Ok(targeting)
    }

    /// A flag's targeting without those who are listed.
    pub fn bare_targeting(&self, environment: &EnvironmentId, flag: &FlagId) -> Stored<Targeting> {
        let sql = "SELECT version, updated_at, access, config_version, config FROM targeting \
                   WHERE environment_id = ? AND flag_id = ?";
        let found =
            self.one(sql, [environment.as_str(), flag.as_str()], |row| read_targeting(row, 0))?;
        found.ok_or_else(|| StoreError::not_found("This flag has no targeting there"))
    }

    /// Companies or users that a flag lists, from behind `after` on.
    pub fn targets(
        &self,
        environment: &EnvironmentId,
        flag: &FlagId,
        kind: EntityKind,
        page: (&str, usize),
    ) -> Stored<Vec<String>> {
        let (after, size) = page;
        let sql = "SELECT entity_id FROM target WHERE environment_id = ? AND flag_id = ? \
                   AND kind = ? AND entity_id > ? ORDER BY entity_id LIMIT ?";
        let params = params![environment.as_str(), flag.as_str(), kind.word(), after, limit(size)];
        self.all(sql, params, |row| row.get(0))
    }

    /// How many companies or users a flag lists.
    pub fn count_targets(
        &self,
        environment: &EnvironmentId,
        flag: &FlagId,
        kind: EntityKind,
    ) -> Stored<usize> {
        let sql = "SELECT count(*) FROM target WHERE environment_id = ? AND flag_id = ? \
                   AND kind = ?";
        self.count(sql, [environment.as_str(), flag.as_str(), kind.word()])
    }

    /// A company or user.
    pub fn entity(
        &self,
        environment: &EnvironmentId,
        kind: EntityKind,
        entity: &str,
    ) -> Stored<Option<Entity>> {
        let sql = "SELECT id, name, attributes FROM entity WHERE environment_id = ? \
                   AND kind = ? AND id = ?";
        self.one(sql, [environment.as_str(), kind.word(), entity], read_entity)
    }

    /// Companies or users of an environment, by id from behind `after` on.
    pub fn entities(
        &self,
        environment: &EnvironmentId,
        kind: EntityKind,
        page: (&str, usize),
    ) -> Stored<Vec<Entity>> {
        let (after, size) = page;
        let sql = "SELECT id, name, attributes FROM entity WHERE environment_id = ? \
                   AND kind = ? AND id > ? ORDER BY id LIMIT ?";
        let params = params![environment.as_str(), kind.word(), after, limit(size)];
        self.all(sql, params, read_entity)
    }

    /// How many companies or users an environment knows.
    pub fn count_entities(&self, environment: &EnvironmentId, kind: EntityKind) -> Stored<usize> {
        let sql = "SELECT count(*) FROM entity WHERE environment_id = ? AND kind = ?";
        self.count(sql, [environment.as_str(), kind.word()])
    }

    /// All that an environment's definitions are made of.
    pub fn environment_state(&self, environment: &EnvironmentId) -> Stored<EnvironmentState> {
        self.state(environment, None)
    }

    /// The same, with nobody listed but one company or user, and without variants: enough to tell
    /// which flags are on for that one.
    pub fn environment_state_for(
        &self,
        environment: &EnvironmentId,
        kind: EntityKind,
        entity: &str,
    ) -> Stored<EnvironmentState> {
        self.state(environment, Some((kind, entity)))
    }

    fn state(
        &self,
        environment: &EnvironmentId,
        only: Option<(EntityKind, &str)>,
    ) -> Stored<EnvironmentState> {
        let environment = self.any_environment(environment)?;
        let here = environment.id.as_str();
        let mut variants = match only {
            None => self.variants_of_app(&environment.app)?,
            Some(_) => HashMap::new(),
        };
        let flags = self.flags_by_key(&environment)?;
        let mut state = EnvironmentState {
            version: environment.flag_state_version,
            flags: Vec::with_capacity(flags.len()),
            segments: self.segments(&environment.app)?,
        };
        let mut places = HashMap::new();
        for (flag, targeting) in flags {
            let variants = variants.remove(&flag.id).unwrap_or_default();
            places.insert(flag.id.clone(), state.flags.len());
            state.flags.push(FlagState { flag, variants, targeting });
        }
        let (filter, kind_word, entity) = match only {
            None => ("", "", ""),
            Some((kind, entity)) => (" AND kind = ?2 AND entity_id = ?3", kind.word(), entity),
        };
        let bound: Vec<&str> =
            if only.is_some() { vec![here, kind_word, entity] } else { vec![here] };
        let sql = format!(
            "SELECT flag_id, kind, entity_id FROM target WHERE environment_id = ?1{filter} \
             ORDER BY flag_id, kind, entity_id"
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut rows = statement.query(rusqlite::params_from_iter(&bound))?;
        // Rows of one flag follow each other: its place is looked up once.
        let mut current: Option<(String, usize)> = None;
        while let Some(row) = rows.next()? {
            let flag = row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?;
            let place = match &current {
                Some((held, place)) if held == flag => Some(*place),
                _ => {
                    let place = places.get(&FlagId::from(flag)).copied();
                    current = place.map(|place| (flag.to_owned(), place));
                    place
                }
            };
            let Some(place) = place else { continue };
            let targeting = &mut state.flags[place].targeting;
            match kind(row, 1)? {
                EntityKind::Company => targeting.company_ids.push(row.get(2)?),
                EntityKind::User => targeting.user_ids.push(row.get(2)?),
            }
        }
        if only.is_some() {
            return Ok(state);
        }
        let sql = "SELECT flag_id, kind, entity_id, variant FROM config_target \
             WHERE environment_id = ?";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query([here])?;
        while let Some(row) = rows.next()? {
            let Some(&place) = places.get(&id(row, 0)?) else { continue };
            let config = &mut state.flags[place].targeting.config;
            assign(config, kind(row, 1)?, row.get(2)?, row.get(3)?);
        }
        Ok(state)
    }

    /// Flags with their targeting, without those who are listed.
    fn flags_by_key(&self, environment: &Environment) -> Stored<Vec<(Flag, Targeting)>> {
        let sql = format!(
            "{} JOIN targeting ON targeting.flag_id = flag.id AND targeting.environment_id = ?2 \
             WHERE flag.app_id = ?1 ORDER BY flag.key",
            FLAG.replace(
                " FROM flag",
                ", targeting.version, targeting.updated_at, targeting.access, \
                 targeting.config_version, targeting.config FROM flag"
            )
        );
        let params = [environment.app.as_str(), environment.id.as_str()];
        self.all(&sql, params, |row| Ok((read_flag(row)?, read_targeting(row, 16)?)))
    }

    /// The API key with this hash, if it was not revoked.
    pub fn api_key(&self, sha256: &[u8; 32]) -> Stored<Option<ApiKey>> {
        let sql = format!("{API_KEY} WHERE sha256 = ? AND revoked_at IS NULL");
        self.one(&sql, params![&sha256[..]], read_api_key)
    }

    /// An app's API keys, revoked ones included, the oldest first.
    pub fn api_keys(&self, app: &AppId) -> Stored<Vec<ApiKey>> {
        let sql = format!("{API_KEY} WHERE app_id = ? ORDER BY created_at, id");
        self.all(&sql, [app.as_str()], read_api_key)
    }

    /// An app's audit log, the latest first, from before `before` on.
    pub fn audit(&self, app: &AppId, before: Option<i64>, size: usize) -> Stored<Vec<AuditEntry>> {
        let sql = "SELECT id, at, actor, actor_name, app_id, environment_id, operation, subject, \
             version, description, change FROM audit WHERE app_id = ? AND id < ? \
             ORDER BY id DESC LIMIT ?";
        let params = params![app.as_str(), before.unwrap_or(i64::MAX), limit(size)];
        self.all(sql, params, read_audit)
    }
}

/// Puts an entity's variant where it belongs.
fn assign(config: &mut ConfigTargeting, kind: EntityKind, entity: String, variant: String) {
    match kind {
        EntityKind::Company => config.companies.insert(entity, variant),
        EntityKind::User => config.users.insert(entity, variant),
    };
}

fn grouped<K: std::hash::Hash + Eq, V>(rows: Vec<(K, V)>) -> HashMap<K, Vec<V>> {
    let mut groups: HashMap<K, Vec<V>> = HashMap::new();
    for (key, value) in rows {
        groups.entry(key).or_default().push(value);
    }
    groups
}

fn limit(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

fn id<T: Id>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    Ok(T::of(row.get(column)?))
}

fn whole(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    Ok(row.get::<_, i64>(column)?.unsigned_abs())
}

fn timestamp(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    row.get(column).map(Timestamp)
}

fn timestamp_if_any(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(Timestamp))
}

fn json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let text = row.get_ref(column)?.as_str()?;
    serde_json::from_str(text).map_err(|error| unreadable(column, error))
}

fn unreadable(
    column: usize,
    error: impl std::error::Error + Send + Sync + 'static,
) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
}

/// A word that the schema does not allow.
#[derive(Debug, thiserror::Error)]
#[error("a word that this version does not know")]
struct UnknownWord;

fn kind(row: &Row<'_>, column: usize) -> rusqlite::Result<EntityKind> {
    match row.get_ref(column)?.as_str()? {
        "company" => Ok(EntityKind::Company),
        "user" => Ok(EntityKind::User),
        _ => Err(unreadable(column, UnknownWord)),
    }
}

fn class(row: &Row<'_>, column: usize) -> rusqlite::Result<KeyClass> {
    match row.get_ref(column)?.as_str()? {
        "publishable" => Ok(KeyClass::Publishable),
        "secret" => Ok(KeyClass::Secret),
        _ => Err(unreadable(column, UnknownWord)),
    }
}

fn read_app(row: &Row<'_>) -> rusqlite::Result<App> {
    let format: String = row.get(3)?;
    Ok(App {
        id: id(row, 0)?,
        name: row.get(1)?,
        demo: row.get(2)?,
        flag_key_format: FlagKeyFormat::from_wire(&format)
            .ok_or_else(|| unreadable(3, UnknownWord))?,
    })
}

fn read_environment(row: &Row<'_>) -> rusqlite::Result<Environment> {
    Ok(Environment {
        id: id(row, 0)?,
        app: id(row, 1)?,
        name: row.get(2)?,
        is_production: row.get(3)?,
        order: row.get(4)?,
        flag_state_version: whole(row, 5)?,
    })
}

fn read_environment_key(row: &Row<'_>) -> rusqlite::Result<EnvironmentKey> {
    Ok(EnvironmentKey {
        environment: id(row, 0)?,
        class: class(row, 1)?,
        sha256: row.get(2)?,
        prefix: row.get(3)?,
        created_at: timestamp(row, 4)?,
        expires_at: timestamp_if_any(row, 5)?,
    })
}

fn read_member(row: &Row<'_>, first: usize) -> rusqlite::Result<Member> {
    Ok(Member { id: id(row, first)?, name: row.get(first + 1)?, email: row.get(first + 2)? })
}

fn read_stage(row: &Row<'_>, first: usize) -> rusqlite::Result<Stage> {
    Ok(Stage {
        id: id(row, first)?,
        name: row.get(first + 1)?,
        color: row.get(first + 2)?,
        order: row.get(first + 3)?,
    })
}

fn read_segment(row: &Row<'_>) -> rusqlite::Result<Segment> {
    let kind = match row.get_ref(2)?.as_str()? {
        "all" => SegmentKind::All,
        _ => SegmentKind::Custom,
    };
    Ok(Segment { id: id(row, 0)?, name: row.get(1)?, kind, rules: json(row, 3)? })
}

fn read_flag(row: &Row<'_>) -> rusqlite::Result<Flag> {
    let has =
        |column| Ok::<_, rusqlite::Error>(row.get_ref(column)? != rusqlite::types::ValueRef::Null);
    Ok(Flag {
        id: id(row, 0)?,
        key: row.get(1)?,
        name: row.get(2)?,
        description: row.get(3)?,
        archived: row.get(4)?,
        permanent: row.get(5)?,
        secret: row.get(6)?,
        created_at: timestamp(row, 7)?,
        rolled_out_to_everyone_at: timestamp_if_any(row, 8)?,
        stage: if has(9)? { Some(read_stage(row, 9)?) } else { None },
        owner: if has(13)? { Some(read_member(row, 13)?) } else { None },
    })
}

fn read_variant(row: &Row<'_>, first: usize) -> rusqlite::Result<Variant> {
    Ok(Variant { key: row.get(first)?, payload: row.get(first + 1)? })
}

fn read_targeting(row: &Row<'_>, first: usize) -> rusqlite::Result<Targeting> {
    Ok(Targeting {
        version: whole(row, first)?,
        updated_at: timestamp(row, first + 1)?,
        access: json(row, first + 2)?,
        company_ids: Vec::new(),
        user_ids: Vec::new(),
        config_version: whole(row, first + 3)?,
        config: json(row, first + 4)?,
    })
}

fn read_entity(row: &Row<'_>) -> rusqlite::Result<Entity> {
    Ok(Entity { id: row.get(0)?, name: row.get(1)?, attributes: json(row, 2)? })
}

fn read_api_key(row: &Row<'_>) -> rusqlite::Result<ApiKey> {
    let scopes: String = row.get(3)?;
    Ok(ApiKey {
        id: id(row, 0)?,
        app: id(row, 1)?,
        name: row.get(2)?,
        scopes: Scopes::parse(&scopes).map_err(|_| unreadable(3, UnknownWord))?,
        prefix: row.get(4)?,
        created_at: timestamp(row, 5)?,
        last_used_at: timestamp_if_any(row, 6)?,
        revoked_at: timestamp_if_any(row, 7)?,
    })
}

fn read_audit(row: &Row<'_>) -> rusqlite::Result<AuditEntry> {
    Ok(AuditEntry {
        id: row.get(0)?,
        at: timestamp(row, 1)?,
        actor: row.get(2)?,
        actor_name: row.get(3)?,
        app: id(row, 4)?,
        environment: row.get::<_, Option<String>>(5)?.map(EnvironmentId::of),
        operation: row.get(6)?,
        subject: row.get(7)?,
        version: row.get::<_, Option<i64>>(8)?.map(i64::unsigned_abs),
        description: row.get(9)?,
        change: json(row, 10)?,
    })
}

impl<'c> Deref for super::Writer<'c> {
    type Target = Reader<'c>;

    fn deref(&self) -> &Reader<'c> {
        self.reader()
    }
}
