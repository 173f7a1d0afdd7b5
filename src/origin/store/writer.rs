//! What can be changed. Each function is one thing that somebody asks for: it checks that what it
//! refers to is there, changes it, raises the version of the environments whose SDKs can see it,
//! and writes what was done into the audit log. All of it is in the caller's transaction.
//!
//! A change that changes nothing raises no version and leaves no entry.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use rusqlite::{Params, params};
use serde_json::{Map, Value, json};

use super::changes::{
    FlagChange, NewFlag, NewKeys, SegmentChange, StageChange, TargetChange, TargetingChange,
};
use super::extents::{Extents, Growth, Judged};
use super::{Left, Numbers, Raised, Reader, StoreError, Stored};
use crate::model::KeyClass;
use crate::origin::definitions;
use crate::origin::keys::NewKey;
use crate::origin::model::{
    Access, Actor, ApiKey, ApiKeyId, App, AppId, Condition, ConfigTargeting, Entity, EntityKind,
    Environment, EnvironmentId, EnvironmentState, Flag, FlagKeyFormat, FlagState, Id, Member,
    MemberId, OrgId, Rule, Scopes, Segment, SegmentId, SegmentKind, Stage, StageId, Targeting,
    Variant, limits,
};
use crate::time::Timestamp;

/// One change in the making. Reads see what it has done so far.
#[derive(Debug)]
pub struct Writer<'c> {
    reader: Reader<'c>,
    actor: &'c Actor,
    now: Timestamp,
    /// Environments whose state was raised.
    states: BTreeSet<EnvironmentId>,
    raised: Raised,
    /// By how much definitions became heavier.
    grown: BTreeMap<EnvironmentId, Growth>,
    /// What is known of them without this change, and with it, once that was asked.
    known: &'c Extents,
    extents: Option<Judged>,
}

/// What an audit entry says beside who, when and where.
struct Note<'a> {
    operation: &'a str,
    subject: &'a str,
    environment: Option<&'a EnvironmentId>,
    description: Option<&'a str>,
    change: Value,
}

/// Keys of one class that an environment may have at once, those in their grace included.
const KEYS: usize = 10;

/// What the segment of all companies is called at first.
pub(in crate::origin) const ALL_COMPANIES: &str = "All companies";

/// New apps get these (reflag-management.md section 4), with these colours. None brings a targeting until somebody says
/// which: a stage must not switch anything by surprise.
pub(in crate::origin) const STAGES: [(&str, &str); 4] = [
    ("In development", "#6b7280"),
    ("Internal", "#2563eb"),
    ("Beta", "#7c3aed"),
    ("General Availability", "#16a34a"),
];

impl<'c> Writer<'c> {
    pub(super) fn new(
        reader: Reader<'c>,
        known: &'c Extents,
        actor: &'c Actor,
        now: Timestamp,
    ) -> Self {
        Self {
            reader,
            actor,
            now,
            states: BTreeSet::new(),
            raised: Raised::new(),
            grown: BTreeMap::new(),
            known,
            extents: None,
        }
    }

    pub(super) fn reader(&self) -> &Reader<'c> {
        &self.reader
    }

    pub(super) fn into_left(self) -> Left {
        Left { raised: self.raised, extents: self.extents.unwrap_or_default() }
    }

    /// That no environment's definitions became heavier than [`limits::DEFINITIONS`]. Asked once more
    /// when the change is done; `Err` says which, and what of them is long.
    pub fn definitions_fit(&mut self) -> Stored<()> {
        if self.extents.is_none() {
            self.extents = Some(self.known.judge(&self.reader, &self.grown)?);
        }
        Ok(())
    }

    fn run(&self, sql: &str, params: impl Params) -> Stored<usize> {
        Ok(self.connection.prepare_cached(sql)?.execute(params)?)
    }

    /// The version that a change led to: of the environment that it was about, changed or not; where
    /// it was about none by name, the highest of those that it made, or else the app's highest. None
    /// when what it was about is gone.
    pub fn version_of(
        &self,
        app: &AppId,
        environment: Option<&EnvironmentId>,
    ) -> Stored<Option<u64>> {
        if let Some(environment) = environment {
            return Ok(self.numbers_if_any(environment)?.map(|numbers| numbers.state));
        }
        if let Some(made) = self.raised.values().map(|numbers| numbers.state).max() {
            return Ok(Some(made));
        }
        Ok(self.environments(app)?.iter().map(|e| e.flag_state_version).max())
    }

    /// Raises an environment's version, once for the whole change. Gives the new one.
    fn raise(&mut self, environment: &EnvironmentId, growth: Growth) -> Stored<u64> {
        self.grows(environment, growth);
        if self.states.insert(environment.clone()) {
            self.run(
                "UPDATE environment SET flag_state_version = flag_state_version + 1 WHERE id = ?",
                [environment.as_str()],
            )?;
            let numbers = self.numbers_of(environment)?;
            self.raised.insert(environment.clone(), numbers);
        }
        Ok(self.raised.get(environment).map_or(0, |numbers| numbers.state))
    }

    fn grows(&mut self, environment: &EnvironmentId, growth: Growth) {
        *self.grown.entry(environment.clone()).or_insert(Growth::AtMost(0)) += growth;
        self.extents = None;
    }

    /// Raises all environments of an app.
    fn raise_all(&mut self, app: &AppId, growth: Growth) -> Stored<()> {
        for environment in self.environments(app)? {
            self.raise(&environment.id, growth)?;
        }
        Ok(())
    }

    /// Notes that an environment's keys changed. SDKs do not see it.
    fn raise_keys(&mut self, environment: &EnvironmentId) -> Stored<()> {
        self.run(
            "UPDATE environment SET keys_version = keys_version + 1 WHERE id = ?",
            [environment.as_str()],
        )?;
        let numbers = self.numbers_of(environment)?;
        self.raised.insert(environment.clone(), numbers);
        Ok(())
    }

    fn note(&self, app: &AppId, note: &Note<'_>) -> Stored<()> {
        let version = match note.environment {
            Some(environment) if self.states.contains(environment) => {
                self.raised.get(environment).map(|numbers| numbers.state.cast_signed())
            }
            _ => None,
        };
        self.run(
            "INSERT INTO audit (at, actor, actor_name, app_id, environment_id, operation, subject, \
             version, description, change) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            params![
                self.now.0,
                self.actor.id(),
                self.actor.name(),
                app.as_str(),
                note.environment.map(EnvironmentId::as_str),
                note.operation,
                note.subject,
                version,
                note.description,
                note.change.to_string(),
            ],
        )?;
        Ok(())
    }

    fn note_of_app(
        &self,
        app: &AppId,
        operation: &str,
        subject: &str,
        change: Value,
    ) -> Stored<()> {
        self.note(app, &Note { operation, subject, environment: None, description: None, change })
    }

    // Apps, environments, keys, members.

    /// Makes an app with the stages that every app begins with and the segment of all companies.
    /// Environments are made one by one.
    pub fn create_app(&mut self, name: &str, format: FlagKeyFormat, demo: bool) -> Stored<App> {
        let app = self.create_app_without_stages(name, format, demo)?;
        for (name, color) in STAGES {
            let change = StageChange {
                name: Some(name.to_owned()),
                color: Some(color.to_owned()),
                ..StageChange::default()
            };
            self.create_stage(&app.id, &change)?;
        }
        Ok(app)
    }

    /// The same without any stage.
    pub fn create_app_without_stages(
        &mut self,
        name: &str,
        format: FlagKeyFormat,
        demo: bool,
    ) -> Stored<App> {
        let org = if let Some(org) = self.org()? {
            org.id
        } else {
            let id = OrgId::random()?;
            self.run("INSERT INTO org (id, name) VALUES (?, ?)", [id.as_str(), name])?;
            id
        };
        if self.apps()?.iter().any(|app| app.name == name) {
            return Err(StoreError::issue("name", "This name is taken"));
        }
        let id = AppId::random()?;
        self.run(
            "INSERT INTO app (id, name, demo, flag_key_format, created_at) VALUES (?, ?, ?, ?, ?)",
            params![id.as_str(), name, demo, format.as_wire(), self.now.0],
        )?;
        let change = json!({"name": name, "flagKeyFormat": format.as_wire(), "org": org});
        self.note_of_app(&id, "app.create", id.as_str(), change)?;
        self.insert_segment(&id, ALL_COMPANIES, SegmentKind::All, &[])?;
        self.app(&id)
    }

    /// Changes how keys of new flags look.
    pub fn set_flag_key_format(&mut self, app: &AppId, format: FlagKeyFormat) -> Stored<()> {
        let before = self.app(app)?.flag_key_format;
        if before == format {
            return Ok(());
        }
        let sql = "UPDATE app SET flag_key_format = ? WHERE id = ?";
        self.run(sql, [format.as_wire(), app.as_str()])?;
        let change = json!({"flagKeyFormat": {"from": before.as_wire(), "to": format.as_wire()}});
        self.note_of_app(app, "app.update", app.as_str(), change)
    }

    /// Makes an environment with these keys; all flags of the app are off in it.
    pub fn create_environment(
        &mut self,
        app: &AppId,
        name: &str,
        is_production: bool,
        keys: &NewKeys,
    ) -> Stored<Environment> {
        let others = self.environments(app)?;
        environment_name_is_free(&others, name, None)?;
        if is_production && others.iter().any(|other| other.is_production) {
            let message = "This app has a production environment already";
            return Err(StoreError::issue("isProduction", message));
        }
        if others.len() >= limits::OF_AN_APP {
            return Err(too_many("environments", limits::OF_AN_APP));
        }
        let id = EnvironmentId::random()?;
        let order = others.iter().map(|other| other.order + 1).max().unwrap_or(0);
        self.run(
            "INSERT INTO environment (id, app_id, name, is_production, position) \
             VALUES (?, ?, ?, ?, ?)",
            params![id.as_str(), app.as_str(), name, is_production, order],
        )?;
        self.run(
            "INSERT INTO targeting (environment_id, flag_id, updated_at, access, config) \
             SELECT ?, id, ?, ?, ? FROM flag WHERE app_id = ?",
            params![id.as_str(), self.now.0, NO_ACCESS, NO_CONFIG, app.as_str()],
        )?;
        self.insert_key(&id, KeyClass::Publishable, &keys.publishable)?;
        self.insert_key(&id, KeyClass::Secret, &keys.secret)?;
        let numbers = self.numbers_of(&id)?;
        self.raised.insert(id.clone(), numbers);
        self.grows(&id, Growth::Unknown);
        let change = json!({"name": name, "isProduction": is_production});
        let note = Note {
            operation: "environment.create",
            subject: id.as_str(),
            environment: Some(&id),
            description: None,
            change,
        };
        self.note(app, &note)?;
        self.environment(app, &id)
    }

    /// Gives an environment another name or place. Production stays what it is.
    pub fn update_environment(
        &mut self,
        app: &AppId,
        environment: &EnvironmentId,
        name: Option<&str>,
        order: Option<u32>,
    ) -> Stored<Environment> {
        let before = self.environment(app, environment)?;
        let name = name.unwrap_or(&before.name);
        let order = order.unwrap_or(before.order);
        if name == before.name && order == before.order {
            return Ok(before);
        }
        if before.is_production {
            return Err(StoreError::NotPossible("Production cannot be changed".to_owned()));
        }
        environment_name_is_free(&self.environments(app)?, name, Some(environment))?;
        self.run(
            "UPDATE environment SET name = ?, position = ? WHERE id = ?",
            params![name, order, environment.as_str()],
        )?;
        let change = json!({
            "name": {"from": before.name, "to": name},
            "order": {"from": before.order, "to": order},
        });
        let note = Note {
            operation: "environment.update",
            subject: environment.as_str(),
            environment: Some(environment),
            description: None,
            change,
        };
        self.note(app, &note)?;
        self.environment(app, environment)
    }

    /// Deletes an environment with its targeting, entities and keys. Never production.
    pub fn delete_environment(&mut self, app: &AppId, environment: &EnvironmentId) -> Stored<()> {
        let before = self.environment(app, environment)?;
        if before.is_production {
            return Err(StoreError::NotPossible("Production cannot be deleted".to_owned()));
        }
        self.run("DELETE FROM environment WHERE id = ?", [environment.as_str()])?;
        // The feed takes zeros as "gone": a version is never zero.
        self.raised.insert(environment.clone(), Numbers::default());
        let change = json!({"name": before.name, "flagStateVersion": before.flag_state_version});
        self.note_of_app(app, "environment.delete", environment.as_str(), change)
    }

    fn insert_key(&self, environment: &EnvironmentId, class: KeyClass, key: &NewKey) -> Stored<()> {
        let (publishable, sealed) = match class {
            KeyClass::Publishable => (Some(key.expose()), None),
            KeyClass::Secret => (None, Some(self.seal.close(key.expose(), &key.sha256)?)),
        };
        self.run(
            "INSERT INTO environment_key (sha256, environment_id, class, prefix, publishable, \
             sealed, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
            params![
                &key.sha256[..],
                environment.as_str(),
                class_word(class),
                key.prefix,
                publishable,
                sealed,
                self.now.0,
            ],
        )?;
        Ok(())
    }

    /// Puts a new key in the place of the current one, which holds for as long as `grace` yet, and so
    /// does any older one that would hold longer: no grace at all ends them all, whoever knows them.
    pub fn rotate_key(
        &mut self,
        app: &AppId,
        environment: &EnvironmentId,
        class: KeyClass,
        grace: Duration,
    ) -> Stored<NewKey> {
        let name = self.environment(app, environment)?.name;
        let (here, word) = (environment.as_str(), class_word(class));
        let millis = i64::try_from(grace.as_millis()).unwrap_or(i64::MAX);
        let end = self.now.0.saturating_add(millis);
        self.run(
            "UPDATE environment_key SET expires_at = min(coalesce(expires_at, ?1), ?1) \
             WHERE environment_id = ?2 AND class = ?3",
            params![end, here, word],
        )?;
        self.run(
            "DELETE FROM environment_key WHERE environment_id = ? AND expires_at <= ?",
            params![here, self.now.0],
        )?;
        let sql = "SELECT count(*) FROM environment_key WHERE environment_id = ? AND class = ?";
        if self.count(sql, [here, word])? >= KEYS {
            let message = format!("{KEYS} keys hold already: wait until one of them ceases to");
            return Err(StoreError::NotPossible(message));
        }
        let key = NewKey::of_environment(&name, class)?;
        self.insert_key(environment, class, &key)?;
        self.raise_keys(environment)?;
        let change = json!({"class": word, "prefix": key.prefix, "graceSeconds": grace.as_secs()});
        let note = Note {
            operation: "environment.rotate-key",
            subject: here,
            environment: Some(environment),
            description: None,
            change,
        };
        self.note(app, &note)?;
        Ok(key)
    }

    /// Adds somebody to the team. Whoever has the address already is given back, renamed.
    pub fn put_member(&mut self, app: &AppId, name: &str, email: &str) -> Stored<Member> {
        let known = self.members()?.into_iter().find(|member| member.email == email);
        if let Some(known) = known {
            if known.name == name {
                return Ok(known);
            }
            self.run("UPDATE member SET name = ? WHERE id = ?", [name, known.id.as_str()])?;
            let change = json!({"name": {"from": known.name, "to": name}});
            self.note_of_app(app, "member.update", known.id.as_str(), change)?;
            return Ok(Member { name: name.to_owned(), ..known });
        }
        let id = MemberId::random()?;
        let sql = "INSERT INTO member (id, name, email) VALUES (?, ?, ?)";
        self.run(sql, [id.as_str(), name, email])?;
        let change = json!({"name": name, "email": email});
        self.note_of_app(app, "member.create", id.as_str(), change)?;
        Ok(Member { id, name: name.to_owned(), email: email.to_owned() })
    }

    /// Keeps a new API key's hash.
    pub fn create_api_key(
        &mut self,
        app: &AppId,
        name: &str,
        scopes: &Scopes,
        key: &NewKey,
    ) -> Stored<ApiKey> {
        self.app(app)?;
        let id = ApiKeyId::random()?;
        self.run(
            "INSERT INTO api_key (id, app_id, name, scopes, sha256, prefix, created_at) \
             VALUES (?, ?, ?, ?, ?, ?, ?)",
            params![
                id.as_str(),
                app.as_str(),
                name,
                scopes.to_string(),
                &key.sha256[..],
                key.prefix,
                self.now.0,
            ],
        )?;
        let change = json!({"name": name, "scopes": scopes.to_string(), "prefix": key.prefix});
        self.note_of_app(app, "api-key.create", id.as_str(), change)?;
        Ok(ApiKey {
            id,
            app: app.clone(),
            name: name.to_owned(),
            scopes: scopes.clone(),
            prefix: key.prefix.clone(),
            created_at: self.now,
            last_used_at: None,
            revoked_at: None,
        })
    }

    /// Revokes an API key, named by its id, or by its first characters where those are one key's
    /// only. Once is enough.
    pub fn revoke_api_key(&mut self, app: &AppId, named: &str) -> Stored<ApiKey> {
        let keys = self.api_keys(app)?;
        let mut found = keys.iter().filter(|key| key.id.as_str() == named || key.prefix == named);
        let key = match (found.next(), found.next()) {
            (Some(key), None) => key.clone(),
            (Some(_), Some(_)) => {
                let message = "Several API keys begin like this: name one by its id";
                return Err(StoreError::NotPossible(message.to_owned()));
            }
            (None, _) => {
                return Err(StoreError::not_found("There is no API key with this id in this app"));
            }
        };
        if key.revoked_at.is_some() {
            return Ok(key);
        }
        let sql = "UPDATE api_key SET revoked_at = ? WHERE id = ?";
        self.run(sql, params![self.now.0, key.id.as_str()])?;
        let change = json!({"name": key.name, "prefix": key.prefix});
        self.note_of_app(app, "api-key.revoke", key.id.as_str(), change)?;
        Ok(ApiKey { revoked_at: Some(self.now), ..key })
    }

    /// Notes when an API key was last used.
    pub fn used_api_key(&mut self, key: &ApiKeyId) -> Stored<()> {
        let sql = "UPDATE api_key SET last_used_at = ? WHERE id = ?";
        self.run(sql, params![self.now.0, key.as_str()])?;
        Ok(())
    }

    // Stages and segments.

    /// Makes a stage, behind the others unless its place is named.
    pub fn create_stage(&mut self, app: &AppId, stage: &StageChange) -> Stored<Stage> {
        let others = self.stages(app)?;
        let name = stage.name.as_deref().unwrap_or_default();
        if others.iter().any(|other| other.name == name) {
            return Err(StoreError::issue("name", "This name is taken"));
        }
        if others.len() >= limits::OF_AN_APP {
            return Err(too_many("stages", limits::OF_AN_APP));
        }
        let id = StageId::random()?;
        let behind = others.iter().map(|other| other.order + 1).max().unwrap_or(0);
        let color = stage.color.as_deref().unwrap_or("#6b7280");
        let order = stage.order.unwrap_or(behind);
        self.run(
            "INSERT INTO stage (id, app_id, name, color, position) VALUES (?, ?, ?, ?, ?)",
            params![id.as_str(), app.as_str(), name, color, order],
        )?;
        self.put_stage_targeting(app, &id, &stage.targeting)?;
        let change = json!({
            "name": name,
            "color": color,
            "order": order,
            "targeting": brought(&stage.targeting),
        });
        self.note_of_app(app, "stage.create", id.as_str(), change)?;
        self.stage(app, &id)
    }

    /// Changes a stage. Flags that are in it keep the targeting that they have.
    pub fn update_stage(
        &mut self,
        app: &AppId,
        stage: &StageId,
        change: StageChange,
    ) -> Stored<Stage> {
        let before = self.stage(app, stage)?;
        let after = Stage {
            id: before.id.clone(),
            name: change.name.unwrap_or_else(|| before.name.clone()),
            color: change.color.unwrap_or_else(|| before.color.clone()),
            order: change.order.unwrap_or(before.order),
        };
        let same_name = |other: &Stage| other.name == after.name && other.id != after.id;
        if self.stages(app)?.iter().any(same_name) {
            return Err(StoreError::issue("name", "This name is taken"));
        }
        let mut changed = self.put_stage_targeting(app, stage, &change.targeting)?;
        if before != after {
            self.run(
                "UPDATE stage SET name = ?, color = ?, position = ? WHERE id = ?",
                params![after.name, after.color, after.order, stage.as_str()],
            )?;
            changed = true;
            // Definitions tell the name of a flag's stage.
            if before.name != after.name && self.is_in_use(stage)? {
                self.raise_all(app, Growth::Unknown)?;
            }
        }
        if changed {
            let change = json!({
                "name": {"from": before.name, "to": after.name},
                "color": {"from": before.color, "to": after.color},
                "order": {"from": before.order, "to": after.order},
                "targeting": brought(&change.targeting),
            });
            self.note_of_app(app, "stage.update", stage.as_str(), change)?;
        }
        Ok(after)
    }

    fn put_stage_targeting(
        &self,
        app: &AppId,
        stage: &StageId,
        targeting: &BTreeMap<EnvironmentId, Option<Access>>,
    ) -> Stored<bool> {
        let before = self.stage_targeting(stage)?;
        let mut changed = false;
        for (environment, access) in targeting {
            if before.get(environment) == access.as_ref() {
                continue;
            }
            changed = true;
            self.environment(app, environment).map_err(|_| {
                let path = format!("targeting.{environment}");
                StoreError::issue(path, "There is no environment with this id")
            })?;
            let here = [stage.as_str(), environment.as_str()];
            let Some(access) = access else {
                let sql = "DELETE FROM stage_targeting WHERE stage_id = ? AND environment_id = ?";
                self.run(sql, here)?;
                continue;
            };
            self.segments_exist(
                app,
                &access.segments,
                &format!("targeting.{environment}.segmentIds"),
            )?;
            self.rules_fit(app, &access.rules, &format!("targeting.{environment}.rules"))?;
            self.run(
                "INSERT INTO stage_targeting (stage_id, environment_id, access) VALUES (?, ?, ?) \
                 ON CONFLICT DO UPDATE SET access = excluded.access",
                [here[0], here[1], &serde_json::to_string(access)?],
            )?;
        }
        Ok(changed)
    }

    /// Deletes a stage in which no flag is.
    pub fn delete_stage(&mut self, app: &AppId, stage: &StageId) -> Stored<()> {
        let before = self.stage(app, stage)?;
        if self.is_in_use(stage)? {
            let message = "Flags are in this stage: move them to another one first";
            return Err(StoreError::NotPossible(message.to_owned()));
        }
        self.run("DELETE FROM stage WHERE id = ?", [stage.as_str()])?;
        self.note_of_app(app, "stage.delete", stage.as_str(), json!({"name": before.name}))
    }

    fn is_in_use(&self, stage: &StageId) -> Stored<bool> {
        let sql = "SELECT count(*) FROM flag WHERE stage_id = ?";
        Ok(self.count(sql, [stage.as_str()])? > 0)
    }

    /// Makes a segment.
    pub fn create_segment(&mut self, app: &AppId, name: &str, rules: &[Rule]) -> Stored<Segment> {
        let others = self.segments(app)?;
        if others.iter().any(|other| other.name == name) {
            return Err(StoreError::issue("name", "This name is taken"));
        }
        if others.len() >= limits::OF_AN_APP {
            return Err(too_many("segments", limits::OF_AN_APP));
        }
        self.insert_segment(app, name, SegmentKind::Custom, rules)
    }

    fn insert_segment(
        &mut self,
        app: &AppId,
        name: &str,
        kind: SegmentKind,
        rules: &[Rule],
    ) -> Stored<Segment> {
        let id = SegmentId::random()?;
        self.run(
            "INSERT INTO segment (id, app_id, name, kind, rules) VALUES (?, ?, ?, ?, ?)",
            [id.as_str(), app.as_str(), name, kind.as_wire(), &serde_json::to_string(rules)?],
        )?;
        self.note_of_app(
            app,
            "segment.create",
            id.as_str(),
            json!({"name": name, "rules": rules}),
        )?;
        self.segment(app, &id)
    }

    /// Changes a segment. When it means something else, the environments are raised in which a flag
    /// refers to it.
    pub fn update_segment(
        &mut self,
        app: &AppId,
        segment: &SegmentId,
        change: SegmentChange,
    ) -> Stored<Segment> {
        let before = self.segment(app, segment)?;
        if before.kind == SegmentKind::All && change.rules.is_some() {
            let message = "The segment of all companies has no rules";
            return Err(StoreError::NotPossible(message.to_owned()));
        }
        let after = Segment {
            id: before.id.clone(),
            name: change.name.unwrap_or_else(|| before.name.clone()),
            kind: before.kind,
            rules: change.rules.unwrap_or_else(|| before.rules.clone()),
        };
        if before == after {
            return Ok(after);
        }
        let same_name = |other: &Segment| other.name == after.name && other.id != after.id;
        if self.segments(app)?.iter().any(same_name) {
            return Err(StoreError::issue("name", "This name is taken"));
        }
        self.run(
            "UPDATE segment SET name = ?, rules = ? WHERE id = ?",
            [&after.name, &serde_json::to_string(&after.rules)?, segment.as_str()],
        )?;
        if before.rules != after.rules {
            // Ids are long and random: where one stands in the text, it is meant.
            let sql = "SELECT DISTINCT environment_id FROM targeting JOIN flag ON flag.id = flag_id \
                 WHERE app_id = ?1 AND (instr(access, ?2) OR instr(config, ?2))";
            let users: Vec<String> =
                self.all(sql, [app.as_str(), segment.as_str()], |row| row.get(0))?;
            for environment in users {
                self.raise(&environment.as_str().into(), Growth::Unknown)?;
            }
        }
        let change = json!({
            "name": {"from": before.name, "to": after.name},
            "rules": {"from": before.rules, "to": after.rules},
        });
        self.note_of_app(app, "segment.update", segment.as_str(), change)?;
        Ok(after)
    }

    /// Deletes a segment that no flag and no stage names.
    pub fn delete_segment(&mut self, app: &AppId, segment: &SegmentId) -> Stored<()> {
        let before = self.segment(app, segment)?;
        if before.kind == SegmentKind::All {
            let message = "The segment of all companies stays";
            return Err(StoreError::NotPossible(message.to_owned()));
        }
        // Ids are long and random: where one stands in the text, it is meant.
        let sql = "SELECT DISTINCT flag.key FROM targeting JOIN flag ON flag.id = flag_id \
             WHERE app_id = ?1 AND (instr(access, ?2) OR instr(config, ?2)) ORDER BY 1 LIMIT 5";
        let users: Vec<String> =
            self.all(sql, [app.as_str(), segment.as_str()], |row| row.get(0))?;
        if !users.is_empty() {
            let message = format!("These flags refer to the segment: {}", users.join(", "));
            return Err(StoreError::NotPossible(message));
        }
        let sql = "SELECT count(*) FROM stage_targeting WHERE instr(access, ?)";
        if self.count(sql, [segment.as_str()])? > 0 {
            let message = "A stage refers to the segment";
            return Err(StoreError::NotPossible(message.to_owned()));
        }
        self.run("DELETE FROM segment WHERE id = ?", [segment.as_str()])?;
        self.note_of_app(app, "segment.delete", segment.as_str(), json!({"name": before.name}))
    }

    // Flags.

    /// Makes a flag, which is off in all environments unless its stage brings a targeting.
    pub fn create_flag(&mut self, app: &AppId, flag: &NewFlag) -> Stored<Flag> {
        let format = self.app(app)?.flag_key_format;
        let mut issues = Vec::new();
        if self.flag_if_any(app, &flag.key)?.is_some() {
            issues.push(("key".to_owned(), "This key is taken".to_owned()));
        } else if !format.allows(&flag.key) {
            let message = format!(
                "Keys of this app are in the format {}, such as `{}`",
                format.as_wire(),
                format.example()
            );
            issues.push(("key".to_owned(), message));
        }
        self.references_exist(app, flag.stage.as_ref(), flag.owner.as_ref(), &mut issues)?;
        if !issues.is_empty() {
            return Err(StoreError::Invalid(issues));
        }
        if self.count("SELECT count(*) FROM flag WHERE app_id = ?", [app.as_str()])?
            >= limits::FLAGS
        {
            return Err(too_many("flags", limits::FLAGS));
        }
        let id = crate::origin::model::FlagId::random()?;
        self.run(
            "INSERT INTO flag (id, app_id, key, name, description, stage_id, owner_id, archived, \
             permanent, secret, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            params![
                id.as_str(),
                app.as_str(),
                flag.key,
                flag.name,
                flag.description,
                flag.stage.as_ref().map(StageId::as_str),
                flag.owner.as_ref().map(MemberId::as_str),
                flag.archived,
                flag.permanent,
                flag.secret,
                self.now.0,
            ],
        )?;
        self.run(
            "INSERT INTO targeting (environment_id, flag_id, updated_at, access, config) \
             SELECT id, ?, ?, ?, ? FROM environment WHERE app_id = ?",
            params![id.as_str(), self.now.0, NO_ACCESS, NO_CONFIG, app.as_str()],
        )?;
        let growth = quoted(&flag.key)
            + self.length_of_texts(app, flag.description.as_deref(), flag.stage.as_ref())?;
        self.raise_all(app, Growth::AtMost(growth))?;
        let change = json!({
            "id": id, "name": flag.name, "description": flag.description, "stageId": flag.stage,
            "ownerUserId": flag.owner, "permanent": flag.permanent, "secret": flag.secret,
        });
        self.note_of_app(app, "flag.create", &flag.key, change)?;
        if let Some(stage) = &flag.stage {
            self.apply_stage(app, &flag.key, stage)?;
        }
        self.flag(app, &flag.key)
    }

    /// What a flag's texts take in definitions, at most.
    fn length_of_texts(
        &self,
        app: &AppId,
        description: Option<&str>,
        stage: Option<&StageId>,
    ) -> Stored<u128> {
        let stage = match stage {
            Some(stage) => quoted(&self.stage(app, stage)?.name),
            None => 0,
        };
        Ok(AROUND + stage + description.map_or(0, quoted))
    }

    fn references_exist(
        &self,
        app: &AppId,
        stage: Option<&StageId>,
        owner: Option<&MemberId>,
        issues: &mut super::Issues,
    ) -> Stored<()> {
        if let Some(stage) = stage
            && !self.stages(app)?.iter().any(|known| known.id == *stage)
        {
            issues.push(("stageId".to_owned(), "There is no stage with this id".to_owned()));
        }
        if let Some(owner) = owner
            && self.member(owner)?.is_none()
        {
            issues.push(("ownerUserId".to_owned(), "There is no user with this id".to_owned()));
        }
        Ok(())
    }

    /// Changes what all environments share of a flag. Coming to another stage brings that stage's
    /// targeting: everybody, segments and rules become the stage's, those who are listed stay.
    pub fn update_flag(&mut self, app: &AppId, key: &str, change: &FlagChange) -> Stored<Flag> {
        let before = self.flag(app, key)?;
        let mut issues = Vec::new();
        let owner = change.owner.as_ref().and_then(Option::as_ref);
        self.references_exist(app, change.stage.as_ref(), owner, &mut issues)?;
        if !issues.is_empty() {
            return Err(StoreError::Invalid(issues));
        }
        let before_stage = before.stage.as_ref().map(|stage| stage.id.clone());
        let before_owner = before.owner.as_ref().map(|owner| owner.id.clone());
        let stage = change.stage.clone().or_else(|| before_stage.clone());
        let owner = change.owner.clone().unwrap_or_else(|| before_owner.clone());
        let name = change.name.clone().unwrap_or_else(|| before.name.clone());
        let description = change.description.clone().unwrap_or_else(|| before.description.clone());
        let permanent = change.permanent.unwrap_or(before.permanent);
        let secret = change.secret.unwrap_or(before.secret);
        let archived = change.archived.unwrap_or(before.archived);
        let mut differences = Map::new();
        let mut differs = |member: &str, from: Value, to: Value| {
            let differs = from != to;
            if differs {
                differences.insert(member.to_owned(), json!({"from": from, "to": to}));
            }
            differs
        };
        differs("name", json!(before.name), json!(name));
        differs("ownerUserId", json!(before_owner), json!(owner));
        differs("permanent", json!(before.permanent), json!(permanent));
        // SDKs see these.
        let visible = [
            differs("description", json!(before.description), json!(description)),
            differs("stageId", json!(before_stage), json!(stage)),
            differs("secret", json!(before.secret), json!(secret)),
            differs("isArchived", json!(before.archived), json!(archived)),
        ];
        if differences.is_empty() {
            return Ok(before);
        }
        self.run(
            "UPDATE flag SET name = ?, description = ?, stage_id = ?, owner_id = ?, permanent = ?, \
             secret = ?, archived = ? WHERE id = ?",
            params![
                name,
                description,
                stage.as_ref().map(StageId::as_str),
                owner.as_ref().map(MemberId::as_str),
                permanent,
                secret,
                archived,
                before.id.as_str(),
            ],
        )?;
        if visible.contains(&true) {
            // Flags that refer to one that comes back have it again.
            let growth = if before.archived && !archived {
                Growth::Unknown
            } else {
                Growth::AtMost(self.length_of_texts(app, description.as_deref(), stage.as_ref())?)
            };
            self.raise_all(app, growth)?;
        }
        self.note_of_app(app, "flag.update", key, Value::Object(differences))?;
        if let Some(stage) = stage.filter(|_| visible[1]) {
            self.apply_stage(app, key, &stage)?;
        }
        self.flag(app, key)
    }

    fn apply_stage(&mut self, app: &AppId, key: &str, stage: &StageId) -> Stored<()> {
        for (environment, access) in self.stage_targeting(stage)? {
            let change = TargetingChange {
                everyone: Some(access.everyone),
                segments: Some(access.segments),
                rules: Some(access.rules),
                ..TargetingChange::default()
            };
            self.set_targeting(app, &environment, key, &change, Some("Moved to another stage"))?;
        }
        Ok(())
    }

    /// Replaces the variants of a flag. One that somebody still gets cannot go.
    pub fn set_variants(&mut self, app: &AppId, key: &str, variants: &[Variant]) -> Stored<()> {
        let flag = self.flag(app, key)?;
        let before = self.variants(&flag.id)?;
        if before == variants {
            return Ok(());
        }
        let kept: HashSet<&str> = variants.iter().map(|variant| variant.key.as_str()).collect();
        let gone = before.iter().map(|variant| variant.key.as_str());
        for gone in gone.filter(|key| !kept.contains(key)) {
            self.variant_is_unused(app, &flag, gone)?;
        }
        self.run("DELETE FROM variant WHERE flag_id = ?", [flag.id.as_str()])?;
        for (position, variant) in (0_i64..).zip(variants) {
            self.run(
                "INSERT INTO variant (flag_id, position, key, payload) VALUES (?, ?, ?, ?)",
                params![flag.id.as_str(), position, variant.key, variant.payload],
            )?;
        }
        let sql = "UPDATE targeting SET config_version = config_version + 1 WHERE flag_id = ?";
        self.run(sql, [flag.id.as_str()])?;
        self.raise_all(app, Growth::Unknown)?;
        let shown = |variants: &[Variant]| -> Value {
            let shown = variants.iter().map(|v| json!({"key": v.key, "payload": v.payload}));
            shown.collect()
        };
        let change = json!({"from": shown(&before), "to": shown(variants)});
        self.note_of_app(app, "flag.variants", key, change)
    }

    fn variant_is_unused(&self, app: &AppId, flag: &Flag, variant: &str) -> Stored<()> {
        for environment in self.environments(app)? {
            let config = self.targeting(&environment.id, &flag.id)?.config;
            let used = config.default.as_deref() == Some(variant)
                || config.segments.iter().any(|segment| segment.variant == variant)
                || config.companies.values().chain(config.users.values()).any(|v| v == variant);
            if used {
                let name = environment.name;
                let message = format!("The variant `{variant}` is still given out in {name}");
                return Err(StoreError::NotPossible(message));
            }
        }
        Ok(())
    }

    // Targeting.

    /// Lists companies and users, or takes them off the lists. Unknown ones are made on the fly
    /// unless `strict`. Gives the environment's version afterwards.
    pub fn change_targets(
        &mut self,
        app: &AppId,
        environment: &EnvironmentId,
        changes: &[TargetChange],
        description: Option<&str>,
        strict: bool,
    ) -> Stored<u64> {
        let here = self.environment(app, environment)?;
        let mut issues = Vec::new();
        let mut flags: HashMap<&str, Flag> = HashMap::new();
        for change in changes {
            if flags.contains_key(change.flag.as_str()) {
                continue;
            }
            match self.flag_if_any(app, &change.flag)? {
                Some(flag) => drop(flags.insert(&change.flag, flag)),
                None => issues.push((
                    format!("{}.flagKey", change.path),
                    format!("There is no flag with the key `{}`", change.flag),
                )),
            }
        }
        if !issues.is_empty() {
            return Err(StoreError::Invalid(issues));
        }
        let mut made: BTreeMap<&str, (u128, Vec<Value>)> = BTreeMap::new();
        for change in changes {
            let Some(flag) = flags.get(change.flag.as_str()) else { continue };
            if self.change_target(environment, flag, change, strict)? {
                let member = format!("{}Id", change.kind.word());
                let entry = json!({member: change.entity, "listed": change.listed});
                let (grown, entries) = made.entry(&change.flag).or_default();
                *grown += if change.listed { quoted(&change.entity) } else { 0 };
                entries.push(entry);
            }
        }
        for (key, (grown, changes)) in made {
            let Some(flag) = flags.get(key) else { continue };
            self.touch_targeting(environment, flag)?;
            self.raise(environment, Growth::AtMost(AROUND + grown))?;
            let note = Note {
                operation: "targeting.targets",
                subject: key,
                environment: Some(environment),
                description,
                change: Value::Array(changes),
            };
            self.note(app, &note)?;
        }
        let raised = self.raised.get(environment).map(|numbers| numbers.state);
        Ok(raised.unwrap_or(here.flag_state_version))
    }

    fn change_target(
        &self,
        environment: &EnvironmentId,
        flag: &Flag,
        change: &TargetChange,
        strict: bool,
    ) -> Stored<bool> {
        let (here, kind) = (environment.as_str(), change.kind.word());
        if strict && self.entity(environment, change.kind, &change.entity)?.is_none() {
            return Err(StoreError::not_found(format!(
                "There is no {kind} with the id `{}` in this environment",
                change.entity
            )));
        }
        let target = [here, flag.id.as_str(), kind, &change.entity];
        if !change.listed {
            let sql = "DELETE FROM target WHERE environment_id = ? AND flag_id = ? AND kind = ? \
                       AND entity_id = ?";
            return Ok(self.run(sql, target)? > 0);
        }
        if !strict {
            let sql = "INSERT INTO entity (environment_id, kind, id) VALUES (?, ?, ?) \
                       ON CONFLICT DO NOTHING";
            self.run(sql, [here, kind, &change.entity])?;
        }
        let sql = "INSERT INTO target (environment_id, flag_id, kind, entity_id) \
                   VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING";
        Ok(self.run(sql, target)? > 0)
    }

    fn touch_targeting(&self, environment: &EnvironmentId, flag: &Flag) -> Stored<()> {
        self.run(
            "UPDATE targeting SET version = version + 1, updated_at = ? WHERE environment_id = ? \
             AND flag_id = ?",
            params![self.now.0, environment.as_str(), flag.id.as_str()],
        )?;
        Ok(())
    }

    /// Changes a flag's targeting in one environment. Gives the environment's version afterwards.
    pub fn set_targeting(
        &mut self,
        app: &AppId,
        environment: &EnvironmentId,
        key: &str,
        change: &TargetingChange,
        description: Option<&str>,
    ) -> Stored<u64> {
        let here = self.environment(app, environment)?;
        let flag = self.flag(app, key)?;
        let before = self.targeting(environment, &flag.id)?;
        if let Some(expected) = change.expected_version
            && expected != before.version
        {
            let message = format!(
                "The targeting has version {} by now, not {expected}: look at it again",
                before.version
            );
            return Err(StoreError::NotPossible(message));
        }
        let access = Access {
            everyone: change.everyone.unwrap_or(before.access.everyone),
            segments: change.segments.clone().unwrap_or_else(|| before.access.segments.clone()),
            rules: change.rules.clone().unwrap_or_else(|| before.access.rules.clone()),
        };
        let mut growth = Growth::AtMost(AROUND);
        let mut differences = Map::new();
        if access != before.access {
            self.segments_exist(app, &access.segments, "segmentIds")?;
            self.rules_fit(app, &access.rules, "rules")?;
            self.flags_end(app, environment, key, &access.rules)?;
            self.run(
                "UPDATE targeting SET access = ? WHERE environment_id = ? AND flag_id = ?",
                [&serde_json::to_string(&access)?, environment.as_str(), flag.id.as_str()],
            )?;
            if access.everyone && here.is_production && flag.rolled_out_to_everyone_at.is_none() {
                let sql = "UPDATE flag SET rolled_out_to_everyone_at = ? WHERE id = ?";
                self.run(sql, params![self.now.0, flag.id.as_str()])?;
            }
            differences.insert("access".to_owned(), json!({"from": before.access, "to": access}));
        }
        let lists = [
            (EntityKind::Company, &before.company_ids, &change.company_ids),
            (EntityKind::User, &before.user_ids, &change.user_ids),
        ];
        for (kind, before, after) in lists {
            let Some(after) = after else { continue };
            let change = self.replace_targets(environment, &flag, kind, before, after)?;
            if let Some(change) = change {
                growth += Growth::AtMost(after.iter().map(|id| quoted(id)).sum());
                differences.insert(format!("{}Ids", kind.word()), change);
            }
        }
        let access_changed = !differences.is_empty();
        if access_changed {
            self.touch_targeting(environment, &flag)?;
        }
        if let Some(config) = &change.config
            && *config != before.config
        {
            self.config_fits(app, &flag, config)?;
            self.replace_config(environment, &flag, config)?;
            differences.insert(
                "config".to_owned(),
                json!({"from": config_value(&before.config), "to": config_value(config)}),
            );
        }
        if differences.is_empty() {
            return Ok(self.raised.get(environment).map_or(here.flag_state_version, |n| n.state));
        }
        if differences.contains_key("access") || differences.contains_key("config") {
            let config = change.config.clone().unwrap_or(before.config);
            growth += self.growth_by(app, &flag, access, config)?;
        }
        let version = self.raise(environment, growth)?;
        let note = Note {
            operation: "targeting.update",
            subject: key,
            environment: Some(environment),
            description,
            change: Value::Object(differences),
        };
        self.note(app, &note)?;
        Ok(version)
    }

    /// By how much access and config make definitions heavier, beside the lists.
    fn growth_by(
        &self,
        app: &AppId,
        flag: &Flag,
        access: Access,
        config: ConfigTargeting,
    ) -> Stored<Growth> {
        if !flags_in(&access.rules).is_empty() {
            return Ok(Growth::Unknown);
        }
        let targeting = Targeting { access, config, ..Targeting::default() };
        let variants = self.variants(&flag.id)?;
        let flags = vec![FlagState { flag: flag.clone(), variants, targeting }];
        let alone = EnvironmentState { version: 0, flags, segments: self.segments(app)? };
        Ok(Growth::AtMost(definitions::extent(&alone).weight()))
    }

    /// Makes a list what it is to be. None when it is already; else what went and what came.
    fn replace_targets(
        &self,
        environment: &EnvironmentId,
        flag: &Flag,
        kind: EntityKind,
        before: &[String],
        after: &[String],
    ) -> Stored<Option<Value>> {
        let (held, wanted): (HashSet<&String>, HashSet<&String>) =
            (before.iter().collect(), after.iter().collect());
        let gone: Vec<&String> = before.iter().filter(|id| !wanted.contains(id)).collect();
        let mut seen = HashSet::new();
        let new = after.iter().filter(|id| !held.contains(id) && seen.insert(*id));
        let came: Vec<&String> = new.collect();
        // One statement for all of them, however many they are.
        let (here, flag, kind) = (environment.as_str(), flag.id.as_str(), kind.word());
        if !gone.is_empty() {
            self.run(
                "DELETE FROM target WHERE environment_id = ? AND flag_id = ? AND kind = ? \
                 AND entity_id IN (SELECT value FROM json_each(?))",
                [here, flag, kind, &serde_json::to_string(&gone)?],
            )?;
        }
        if !came.is_empty() {
            let ids = serde_json::to_string(&came)?;
            self.run(
                "INSERT INTO entity (environment_id, kind, id) \
                 SELECT ?, ?, value FROM json_each(?) WHERE true ON CONFLICT DO NOTHING",
                [here, kind, &ids],
            )?;
            self.run(
                "INSERT INTO target (environment_id, flag_id, kind, entity_id) \
                 SELECT ?, ?, ?, value FROM json_each(?) WHERE true ON CONFLICT DO NOTHING",
                [here, flag, kind, &ids],
            )?;
        }
        let unchanged = gone.is_empty() && came.is_empty();
        Ok((!unchanged).then(|| json!({"removed": gone, "added": came})))
    }

    fn replace_config(
        &self,
        environment: &EnvironmentId,
        flag: &Flag,
        config: &ConfigTargeting,
    ) -> Stored<()> {
        let (here, flag) = (environment.as_str(), flag.id.as_str());
        self.run(
            "UPDATE targeting SET config = ?, config_version = config_version + 1 \
             WHERE environment_id = ? AND flag_id = ?",
            [&serde_json::to_string(config)?, here, flag],
        )?;
        self.run(
            "DELETE FROM config_target WHERE environment_id = ? AND flag_id = ?",
            [here, flag],
        )?;
        let lists = [(EntityKind::Company, &config.companies), (EntityKind::User, &config.users)];
        for (kind, list) in lists {
            for (entity, variant) in list {
                let sql = "INSERT INTO entity (environment_id, kind, id) VALUES (?, ?, ?) \
                           ON CONFLICT DO NOTHING";
                self.run(sql, [here, kind.word(), entity])?;
                self.run(
                    "INSERT INTO config_target (environment_id, flag_id, kind, entity_id, variant) \
                     VALUES (?, ?, ?, ?, ?)",
                    [here, flag, kind.word(), entity, variant],
                )?;
            }
        }
        Ok(())
    }

    fn config_fits(&self, app: &AppId, flag: &Flag, config: &ConfigTargeting) -> Stored<()> {
        let known: HashSet<String> =
            self.variants(&flag.id)?.into_iter().map(|variant| variant.key).collect();
        let segments: Vec<_> = config.segments.iter().map(|s| s.segment.clone()).collect();
        self.segments_exist(app, &segments, "config.segments")?;
        let of_segments = config.segments.iter().map(|segment| &segment.variant);
        let of_entities = config.companies.values().chain(config.users.values());
        let mut used = config.default.iter().chain(of_segments).chain(of_entities);
        match used.find(|variant| !known.contains(*variant)) {
            Some(unknown) => {
                let message = format!("This flag has no variant `{unknown}`");
                Err(StoreError::issue("config", message))
            }
            None => Ok(()),
        }
    }

    fn segments_exist(&self, app: &AppId, segments: &[SegmentId], path: &str) -> Stored<()> {
        if segments.is_empty() {
            return Ok(());
        }
        let known: HashSet<SegmentId> =
            self.segments(app)?.into_iter().map(|segment| segment.id).collect();
        let mut issues = Vec::new();
        for (index, segment) in segments.iter().enumerate() {
            if !known.contains(segment) {
                let message = "There is no segment with this id".to_owned();
                issues.push((format!("{path}.{index}"), message));
            }
        }
        if issues.is_empty() { Ok(()) } else { Err(StoreError::Invalid(issues)) }
    }

    /// That what rules refer to is there.
    fn rules_fit(&self, app: &AppId, rules: &[Rule], path: &str) -> Stored<()> {
        let mut segments: Option<HashSet<SegmentId>> = None;
        let mut issues = Vec::new();
        for (rule, of_rule) in rules.iter().enumerate() {
            for (condition, of_condition) in of_rule.conditions.iter().enumerate() {
                let here = format!("{path}.{rule}.conditions.{condition}");
                match of_condition {
                    Condition::Attribute { .. } => {}
                    Condition::Segment { segment, .. } => {
                        if segments.is_none() {
                            let known = self.segments(app)?.into_iter().map(|s| s.id).collect();
                            segments = Some(known);
                        }
                        if !segments.as_ref().is_some_and(|known| known.contains(segment)) {
                            let message = "There is no segment with this id".to_owned();
                            issues.push((format!("{here}.segment"), message));
                        }
                    }
                    Condition::Flag { flag, .. } => {
                        if self.flag_if_any(app, flag)?.is_none() {
                            let message = format!("There is no flag with the key `{flag}`");
                            issues.push((format!("{here}.flag"), message));
                        }
                    }
                }
            }
        }
        if issues.is_empty() { Ok(()) } else { Err(StoreError::Invalid(issues)) }
    }

    /// That flags which depend on flags come to an end, and soon.
    fn flags_end(
        &self,
        app: &AppId,
        environment: &EnvironmentId,
        key: &str,
        rules: &[Rule],
    ) -> Stored<()> {
        let wanted = flags_in(rules);
        let sql = "SELECT flag.key, access FROM targeting JOIN flag ON flag.id = flag_id \
             WHERE app_id = ? AND environment_id = ? AND instr(access, '\"flag\":')";
        let rows = self.all(sql, [app.as_str(), environment.as_str()], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
        })?;
        if wanted.is_empty() && rows.is_empty() {
            return Ok(());
        }
        let mut depends: HashMap<String, Vec<String>> = HashMap::new();
        for (flag, access) in rows {
            let access: Access = serde_json::from_str(&access)?;
            depends.insert(flag, flags_in(&access.rules));
        }
        depends.insert(key.to_owned(), wanted);
        let mut depths = HashMap::new();
        for flag in depends.keys() {
            let depth = depth(flag, &depends, &mut depths, 0);
            if depth.is_none_or(|depth| depth > limits::FLAG_DEPTH) {
                let message = match depth {
                    None => "The flag would depend on itself".to_owned(),
                    Some(_) => format!(
                        "Flags may depend on flags over {} steps, not more",
                        limits::FLAG_DEPTH
                    ),
                };
                return Err(StoreError::issue("rules", message));
            }
        }
        Ok(())
    }

    // Companies and users.

    /// Makes a company or user, or changes it. What is left out stays; attributes are merged, and
    /// one that is null is taken away.
    pub fn upsert_entity(
        &mut self,
        app: &AppId,
        environment: &EnvironmentId,
        kind: EntityKind,
        change: Entity,
    ) -> Stored<Entity> {
        self.environment(app, environment)?;
        let before = self.entity(environment, kind, &change.id)?;
        let mut after = before.clone().unwrap_or_else(|| Entity::stranger(&change.id));
        // An attribute that is the name sets it too; the name of the call wins.
        let named = change.attributes.get("name").and_then(Value::as_str).map(str::to_owned);
        for (name, value) in change.attributes {
            if value.is_null() {
                after.attributes.shift_remove(&name);
            } else {
                after.attributes.insert(name, value);
            }
        }
        after.name = change.name.or(named).or(after.name);
        let attributes = serde_json::to_string(&after.attributes)?;
        if attributes.len() > limits::ATTRIBUTES {
            let message =
                format!("All attributes together have more than {} bytes", limits::ATTRIBUTES);
            return Err(StoreError::issue("attributes", message));
        }
        if before.as_ref() == Some(&after) {
            return Ok(after);
        }
        after.fits(kind).map_err(|error| {
            StoreError::issue("attributes", format!("No rule could read them: {error}"))
        })?;
        self.run(
            "INSERT INTO entity (environment_id, kind, id, name, attributes) VALUES (?, ?, ?, ?, ?) \
             ON CONFLICT DO UPDATE SET name = excluded.name, attributes = excluded.attributes",
            params![environment.as_str(), kind.word(), after.id, after.name, attributes],
        )?;
        let operation = format!("{}.upsert", kind.word());
        let change = json!({"name": after.name, "attributes": after.attributes});
        let note = Note {
            operation: &operation,
            subject: &after.id,
            environment: Some(environment),
            description: None,
            change,
        };
        self.note(app, &note)?;
        Ok(after)
    }

    /// Deletes a company or user, from all lists too. With `users`, those go along who belong to no
    /// other company.
    pub fn delete_entity(
        &mut self,
        app: &AppId,
        environment: &EnvironmentId,
        kind: EntityKind,
        entity: &str,
        users: bool,
    ) -> Stored<()> {
        self.environment(app, environment)?;
        let here = environment.as_str();
        let listed = self.count(
            "SELECT count(*) FROM target WHERE environment_id = ? AND kind = ? AND entity_id = ?",
            [here, kind.word(), entity],
        )?;
        if self.entity(environment, kind, entity)?.is_none() && listed == 0 {
            return Err(StoreError::not_found(format!(
                "There is no {} with this id in this environment",
                kind.word()
            )));
        }
        let mut gone = vec![(kind, entity.to_owned())];
        if kind == EntityKind::Company && users {
            let sql = "SELECT user_id FROM membership AS own WHERE environment_id = ?1 \
                 AND company_id = ?2 AND NOT EXISTS (SELECT 1 FROM membership AS other \
                 WHERE other.environment_id = ?1 AND other.user_id = own.user_id \
                 AND other.company_id <> ?2)";
            let members: Vec<String> = self.all(sql, [here, entity], |row| row.get(0))?;
            gone.extend(members.into_iter().map(|user| (EntityKind::User, user)));
        }
        for (kind, entity) in gone {
            self.delete_one(app, environment, kind, &entity)?;
        }
        Ok(())
    }

    fn delete_one(
        &mut self,
        app: &AppId,
        environment: &EnvironmentId,
        kind: EntityKind,
        entity: &str,
    ) -> Stored<()> {
        let here = environment.as_str();
        let sql = "SELECT flag.key FROM target JOIN flag ON flag.id = flag_id \
             WHERE environment_id = ? AND kind = ? AND entity_id = ?";
        let listing: Vec<String> = self.all(sql, [here, kind.word(), entity], |row| row.get(0))?;
        for key in &listing {
            let flag = self.flag(app, key)?;
            self.touch_targeting(environment, &flag)?;
        }
        let mut visible = 0;
        for table in ["target", "config_target"] {
            let sql = format!(
                "DELETE FROM {table} WHERE environment_id = ? AND kind = ? AND entity_id = ?"
            );
            visible += self.run(&sql, [here, kind.word(), entity])?;
        }
        let sql = "DELETE FROM entity WHERE environment_id = ? AND kind = ? AND id = ?";
        self.run(sql, [here, kind.word(), entity])?;
        let sql =
            format!("DELETE FROM membership WHERE environment_id = ? AND {}_id = ?", kind.word());
        self.run(&sql, [here, entity])?;
        if visible > 0 {
            self.raise(environment, Growth::AtMost(AROUND))?;
        }
        let operation = format!("{}.delete", kind.word());
        let note = Note {
            operation: &operation,
            subject: entity,
            environment: Some(environment),
            description: None,
            change: json!({"flags": listing}),
        };
        self.note(app, &note)
    }

    /// Says that a user belongs to a company, or does not any more. Both are made on the fly.
    pub fn set_membership(
        &mut self,
        app: &AppId,
        environment: &EnvironmentId,
        company: &str,
        user: &str,
        belongs: bool,
    ) -> Stored<()> {
        self.environment(app, environment)?;
        let here = environment.as_str();
        let changed = if belongs {
            for (kind, id) in [(EntityKind::Company, company), (EntityKind::User, user)] {
                let sql = "INSERT INTO entity (environment_id, kind, id) VALUES (?, ?, ?) \
                           ON CONFLICT DO NOTHING";
                self.run(sql, [here, kind.word(), id])?;
            }
            let sql = "INSERT INTO membership (environment_id, company_id, user_id) \
                       VALUES (?, ?, ?) ON CONFLICT DO NOTHING";
            self.run(sql, [here, company, user])?
        } else {
            let sql = "DELETE FROM membership WHERE environment_id = ? AND company_id = ? \
                       AND user_id = ?";
            self.run(sql, [here, company, user])?
        };
        if changed == 0 {
            return Ok(());
        }
        let note = Note {
            operation: "company.member",
            subject: company,
            environment: Some(environment),
            description: None,
            change: json!({"userId": user, "belongs": belongs}),
        };
        self.note(app, &note)
    }
}

/// [`Access`] of nobody, as it is stored.
const NO_ACCESS: &str = r#"{"everyone":false,"segments":[],"rules":[]}"#;
/// [`ConfigTargeting`] without any variant, as it is stored.
const NO_CONFIG: &str = r#"{"default":null,"segments":[]}"#;

/// What comes with whatever is written of a flag: names of members, numbers, and a list, a group and a
/// rule that were not there before.
const AROUND: u128 = 2_048;

/// What a text takes at most as a string, with its comma.
fn quoted(text: &str) -> u128 {
    3 + 6 * text.len() as u128
}

fn environment_name_is_free(
    others: &[Environment],
    name: &str,
    except: Option<&EnvironmentId>,
) -> Stored<()> {
    let same =
        |other: &Environment| other.name.eq_ignore_ascii_case(name) && Some(&other.id) != except;
    if others.iter().any(same) {
        return Err(StoreError::issue("name", "This name is taken"));
    }
    Ok(())
}

/// What a stage is to bring, by environment.
fn brought(targeting: &BTreeMap<EnvironmentId, Option<Access>>) -> Map<String, Value> {
    let targeting = targeting.iter();
    targeting.map(|(environment, access)| (environment.to_string(), json!(access))).collect()
}

fn class_word(class: KeyClass) -> &'static str {
    match class {
        KeyClass::Publishable => "publishable",
        KeyClass::Secret => "secret",
    }
}

fn too_many(what: &str, limit: usize) -> StoreError {
    StoreError::NotPossible(format!("An app has at most {limit} {what}"))
}

fn config_value(config: &ConfigTargeting) -> Value {
    json!({
        "default": config.default,
        "segments": config.segments,
        "companies": config.companies,
        "users": config.users,
    })
}

/// The keys of the flags that rules ask about.
fn flags_in(rules: &[Rule]) -> Vec<String> {
    let conditions = rules.iter().flat_map(|rule| &rule.conditions);
    let flags = conditions.filter_map(|condition| match condition {
        Condition::Flag { flag, .. } => Some(flag.clone()),
        _ => None,
    });
    flags.collect()
}

/// Over how many steps a flag depends on others. None when it comes back to itself.
fn depth<'a>(
    flag: &'a str,
    depends: &'a HashMap<String, Vec<String>>,
    known: &mut HashMap<&'a str, usize>,
    above: usize,
) -> Option<usize> {
    if let Some(&depth) = known.get(flag) {
        return Some(depth);
    }
    // Whoever goes deeper than there are flags goes in a circle.
    if above > depends.len() {
        return None;
    }
    let mut deepest = 0;
    for next in depends.get(flag).into_iter().flatten() {
        deepest = deepest.max(depth(next, depends, known, above + 1)? + 1);
    }
    known.insert(flag, deepest);
    Some(deepest)
}
