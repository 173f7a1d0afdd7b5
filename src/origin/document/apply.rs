//! Makes what is stored what a file says.

use std::collections::{BTreeMap, HashMap};

use super::read::{Document, FlagEntry, SegmentEntry, TargetingEntry};
use crate::origin::api::rename_segments;
use crate::origin::model::{
    Access, AppId, EnvironmentId, MemberId, SegmentId, SegmentKind, StageId, Variant,
};
use crate::origin::store::{
    FlagChange, NewFlag, NewKeys, SegmentChange, StageChange, StoreError, Stored, TargetingChange,
    Writer,
};

/// What was done.
#[derive(Debug)]
pub struct Applied {
    /// The app.
    pub app: AppId,
    /// Whether it was made.
    pub is_new: bool,
    /// One line for each change, in order, as in the audit log.
    pub changes: Vec<String>,
    /// Environments that were made, with their keys.
    pub environments: Vec<NewEnvironment>,
}

/// An environment that was made.
#[derive(Debug)]
pub struct NewEnvironment {
    /// Its id.
    pub id: EnvironmentId,
    /// Its name.
    pub name: String,
    /// Its keys, to be shown once.
    pub keys: NewKeys,
}

/// New apps for which a file names no environments get these (reflag-management.md section 4).
const ENVIRONMENTS: [(&str, bool); 3] =
    [("Production", true), ("Staging", false), ("Development", false)];

/// Applies a file in one transaction. `Err` names what in the file does not fit what is stored.
pub fn apply(writer: &mut Writer<'_>, document: &Document) -> Stored<Applied> {
    let known = writer.apps()?.into_iter().find(|app| app.name == document.name);
    let is_new = known.is_none();
    let last = match &known {
        Some(app) => writer.audit(&app.id, None, 1)?.first().map_or(0, |entry| entry.id),
        None => 0,
    };
    let app = if let Some(app) = known {
        app
    } else {
        let format = document.flag_key_format.unwrap_or_default();
        if document.predefined_stages {
            writer.create_app(&document.name, format, false)?
        } else {
            writer.create_app_without_stages(&document.name, format, false)?
        }
    };
    if let Some(format) = document.flag_key_format {
        writer.set_flag_key_format(&app.id, format)?;
    }
    let environments = apply_environments(writer, &app.id, is_new, document)?;
    for member in &document.members {
        writer.put_member(&app.id, &member.name, &member.email)?;
    }
    let names = apply_names(writer, &app.id, document)?;
    for (index, flag) in document.flags.iter().enumerate() {
        apply_flag(writer, &app.id, flag, &names, index)?;
    }
    apply_targetings(writer, &app.id, &document.targeting, &names)?;
    // Nobody gets the variants any more that the file has left out.
    for flag in &document.flags {
        if let Some(variants) = &flag.variants {
            writer.set_variants(&app.id, &flag.key, variants)?;
        }
    }
    writer.definitions_fit().map_err(|error| within("", error))?;
    let changes = changes_since(writer, &app.id, last)?;
    Ok(Applied { app: app.id, is_new, changes, environments })
}

fn apply_environments(
    writer: &mut Writer<'_>,
    app: &AppId,
    is_new: bool,
    document: &Document,
) -> Stored<Vec<NewEnvironment>> {
    let listed = document.environments.iter();
    let mut wanted: Vec<_> = listed.map(|e| (e.name.as_str(), e.production)).collect();
    if wanted.is_empty() && is_new {
        wanted = ENVIRONMENTS.to_vec();
    }
    let known = writer.environments(app)?;
    let mut made = Vec::new();
    for (index, (name, is_production)) in wanted.into_iter().enumerate() {
        let path = format!("environments.{index}");
        if let Some(known) = known.iter().find(|known| known.name == name) {
            if known.is_production != is_production {
                let message = "Which environment is production cannot be changed";
                return Err(StoreError::issue(format!("{path}.production"), message));
            }
            continue;
        }
        let keys = NewKeys::random(name)?;
        let environment = writer
            .create_environment(app, name, is_production, &keys)
            .map_err(|error| within(&path, in_words_of_the_file(error)))?;
        made.push(NewEnvironment { id: environment.id, name: name.to_owned(), keys });
    }
    Ok(made)
}

/// What the file calls things, and what they are.
struct Names {
    environments: HashMap<String, EnvironmentId>,
    segments: HashMap<String, SegmentId>,
    stages: HashMap<String, StageId>,
    members: HashMap<String, MemberId>,
}

impl Names {
    fn find<T: Clone>(known: &HashMap<String, T>, name: &str, what: &str, path: &str) -> Stored<T> {
        known.get(name).cloned().ok_or_else(|| {
            StoreError::issue(path, format!("There is no {what} `{name}` in this app"))
        })
    }
}

fn apply_names(writer: &mut Writer<'_>, app: &AppId, document: &Document) -> Stored<Names> {
    let environments = writer.environments(app)?;
    let environments = environments.into_iter().map(|e| (e.name, e.id)).collect();
    let is_of_all = |entry: &SegmentEntry| entry.kind == SegmentKind::All;
    if let Some(index) = document.segments.iter().position(is_of_all) {
        // It is there, whatever it is called. What it was called may be another one's name now.
        let name = document.segments[index].name.clone();
        let all = writer.segments(app)?.into_iter().find(|s| s.kind == SegmentKind::All);
        let change = SegmentChange { name: Some(name), rules: None };
        let id = all.map_or_else(|| SegmentId::from(""), |all| all.id);
        let path = format!("segments.{index}");
        writer.update_segment(app, &id, change).map_err(|error| within(&path, error))?;
    }
    let mut segments: HashMap<_, _> =
        writer.segments(app)?.into_iter().map(|s| (s.name, s.id)).collect();
    for (index, entry) in document.segments.iter().enumerate().filter(|(_, e)| !is_of_all(e)) {
        let path = format!("segments.{index}");
        if let Some(known) = segments.get(&entry.name) {
            let rules = Some(entry.rules.clone());
            let change = SegmentChange { name: None, rules };
            writer.update_segment(app, known, change).map_err(|error| within(&path, error))?;
        } else {
            let made = writer.create_segment(app, &entry.name, &entry.rules);
            let made = made.map_err(|error| within(&path, error))?;
            segments.insert(made.name, made.id);
        }
    }
    let stages = writer.stages(app)?.into_iter().map(|stage| (stage.name, stage.id)).collect();
    let members = writer.members()?.into_iter().map(|member| (member.email, member.id)).collect();
    let mut names = Names { environments, segments, stages, members };
    for (index, entry) in document.stages.iter().enumerate() {
        let path = format!("stages.{index}");
        let mut targeting = BTreeMap::new();
        for (at, access) in entry.targeting.iter().enumerate() {
            let path = format!("{path}.targeting.{at}");
            let environment =
                Names::find(&names.environments, &access.environment, "environment", &path)?;
            let mut rules = access.rules.clone();
            resolve(&names, &mut rules, None, &path)?;
            let segments = ids_of(&names, &access.segments, &path)?;
            let access = Access { everyone: access.everyone, segments, rules };
            targeting.insert(environment, Some(access));
        }
        let change = StageChange {
            name: Some(entry.name.clone()),
            color: entry.color.clone(),
            order: entry.order,
            targeting,
        };
        let stage = match names.stages.get(&entry.name) {
            Some(known) => writer.update_stage(app, &known.clone(), change),
            None => writer.create_stage(app, &change),
        };
        let stage = stage.map_err(|error| within(&path, error))?;
        names.stages.insert(stage.name, stage.id);
    }
    Ok(names)
}

fn ids_of(names: &Names, segments: &[String], path: &str) -> Stored<Vec<SegmentId>> {
    let find = |name: &String| Names::find(&names.segments, name, "segment", path);
    segments.iter().map(find).collect()
}

/// Puts ids in the place of the segments' names.
fn resolve(
    names: &Names,
    rules: &mut [crate::origin::model::Rule],
    config: Option<&mut crate::origin::model::ConfigTargeting>,
    path: &str,
) -> Stored<()> {
    let mut unknown = None;
    rename_segments(rules, config, |segment| {
        names.segments.get(segment.as_str()).cloned().unwrap_or_else(|| {
            unknown = Some(segment.to_string());
            segment.clone()
        })
    });
    match unknown {
        Some(name) => {
            let message = format!("There is no segment `{name}` in this app");
            Err(StoreError::issue(path, message))
        }
        None => Ok(()),
    }
}

fn apply_flag(
    writer: &mut Writer<'_>,
    app: &AppId,
    entry: &FlagEntry,
    names: &Names,
    index: usize,
) -> Stored<()> {
    let path = format!("flags.{index}");
    let stage = entry.stage.as_ref();
    let stage = stage.map(|name| Names::find(&names.stages, name, "stage", &path)).transpose()?;
    let owner = entry.owner.as_ref();
    let owner =
        owner.map(|email| Names::find(&names.members, email, "member", &path)).transpose()?;
    let known = match writer.flag(app, &entry.key) {
        Ok(_) => true,
        Err(StoreError::NotFound(_)) => false,
        Err(error) => return Err(error),
    };
    let outcome = if known {
        let change = FlagChange {
            name: Some(entry.name.clone()),
            description: entry.description.clone().map(Some),
            stage,
            owner: owner.map(Some),
            permanent: entry.permanent,
            secret: entry.secret,
            archived: entry.archived,
        };
        writer.update_flag(app, &entry.key, &change)
    } else {
        let flag = NewFlag {
            key: entry.key.clone(),
            name: entry.name.clone(),
            description: entry.description.clone(),
            stage,
            owner,
            permanent: entry.permanent.unwrap_or(false),
            secret: entry.secret.unwrap_or(false),
            archived: entry.archived.unwrap_or(false),
        };
        writer.create_flag(app, &flag)
    };
    let flag = outcome.map_err(|error| within(&path, error))?;
    if let Some(variants) = &entry.variants {
        // Those that go may still be given out: that changes only with the targeting.
        let mut kept: Vec<Variant> = variants.clone();
        let before = writer.variants(&flag.id)?;
        let wanted = |variant: &Variant| variants.iter().any(|new| new.key == variant.key);
        kept.extend(before.into_iter().filter(|variant| !wanted(variant)));
        writer.set_variants(app, &entry.key, &kept).map_err(|error| within(&path, error))?;
    }
    Ok(())
}

/// Flags may change places with those that they depend on: what does not fit yet is tried again after
/// the others, as long as that leads anywhere.
fn apply_targetings(
    writer: &mut Writer<'_>,
    app: &AppId,
    entries: &[TargetingEntry],
    names: &Names,
) -> Stored<()> {
    let mut left: Vec<_> = entries.iter().enumerate().collect();
    while !left.is_empty() {
        let mut refused = Vec::new();
        let mut first = None;
        for (index, entry) in &left {
            match apply_targeting(writer, app, entry, names, *index) {
                Ok(()) => {}
                Err(error @ StoreError::Invalid(_)) => {
                    refused.push((*index, *entry));
                    first.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        if let Some(error) = first.filter(|_| refused.len() == left.len()) {
            return Err(error);
        }
        left = refused;
    }
    Ok(())
}

/// One that is refused for what it depends on has changed nothing.
fn apply_targeting(
    writer: &mut Writer<'_>,
    app: &AppId,
    entry: &TargetingEntry,
    names: &Names,
    index: usize,
) -> Stored<()> {
    let path = format!("targeting.{index}");
    let environment = Names::find(&names.environments, &entry.environment, "environment", &path)?;
    let segments = entry.segments.as_ref();
    let segments = segments.map(|segments| ids_of(names, segments, &path)).transpose()?;
    let (mut rules, mut config) = (entry.rules.clone(), entry.config.clone());
    resolve(names, rules.as_deref_mut().unwrap_or_default(), config.as_mut(), &path)?;
    let change = TargetingChange {
        expected_version: None,
        everyone: entry.everyone,
        segments,
        rules,
        company_ids: entry.companies.clone(),
        user_ids: entry.users.clone(),
        config,
    };
    let applied = writer.set_targeting(app, &environment, &entry.flag, &change, None);
    applied.map_err(|error| within(&path, error)).map(drop)
}

/// What the API calls otherwise.
fn in_words_of_the_file(error: StoreError) -> StoreError {
    match error {
        StoreError::Invalid(mut issues) => {
            for (path, _) in &mut issues {
                if path == "isProduction" {
                    "production".clone_into(path);
                }
            }
            StoreError::Invalid(issues)
        }
        other => other,
    }
}

/// An issue of a part, with its place in the file.
fn within(path: &str, error: StoreError) -> StoreError {
    match error {
        StoreError::Invalid(issues) => {
            let placed = issues.into_iter().map(|(inner, message)| {
                let inner = if inner.is_empty() { inner } else { format!(".{inner}") };
                (format!("{path}{inner}"), message)
            });
            StoreError::Invalid(placed.collect())
        }
        StoreError::NotFound(message) | StoreError::NotPossible(message) => {
            StoreError::issue(path, message)
        }
        other => other,
    }
}

/// What the audit log has got since.
fn changes_since(writer: &Writer<'_>, app: &AppId, last: i64) -> Stored<Vec<String>> {
    let names: HashMap<_, _> =
        writer.environments(app)?.into_iter().map(|e| (e.id, e.name)).collect();
    let entries = writer.audit(app, None, usize::MAX)?;
    let new = entries.into_iter().take_while(|entry| entry.id > last);
    let mut lines: Vec<_> = new
        .map(|entry| {
            // Ids say nothing to whoever reads a plan.
            let name = entry.change.get("name").map(|name| name.get("to").unwrap_or(name));
            let subject = name
                .and_then(|name| name.as_str())
                .filter(|_| !entry.operation.starts_with("flag"));
            let subject = subject.unwrap_or(&entry.subject).to_owned();
            let place = entry.environment.and_then(|id| names.get(&id));
            let place = place.filter(|name| **name != subject);
            let place = place.map_or(String::new(), |name| format!(" in {name}"));
            format!("{} {subject}{place}", entry.operation)
        })
        .collect();
    lines.reverse();
    Ok(lines)
}
