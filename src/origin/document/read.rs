//! The file as it was written, checked by itself.

use serde_json::Value;
use toml::de::DeTable;

use super::toml_text;
use crate::origin::api::{About, Checker, Object, read_config, read_rollout, read_rules};
use crate::origin::model::{ConfigTargeting, FlagKeyFormat, Rule, SegmentKind, Variant, limits};

const NAME: std::ops::RangeInclusive<usize> = 1..=limits::NAME;

/// An app as a file says it. Segments in rules are named, not known by their id.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Document {
    pub(super) name: String,
    pub(super) flag_key_format: Option<FlagKeyFormat>,
    /// Whether a new app has the stages that every app begins with.
    pub(super) predefined_stages: bool,
    pub(super) environments: Vec<EnvironmentEntry>,
    pub(super) members: Vec<MemberEntry>,
    pub(super) stages: Vec<StageEntry>,
    pub(super) segments: Vec<SegmentEntry>,
    pub(super) flags: Vec<FlagEntry>,
    pub(super) targeting: Vec<TargetingEntry>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct EnvironmentEntry {
    pub(super) name: String,
    pub(super) production: bool,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct MemberEntry {
    pub(super) name: String,
    pub(super) email: String,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct StageEntry {
    pub(super) name: String,
    pub(super) color: Option<String>,
    pub(super) order: Option<u32>,
    pub(super) targeting: Vec<AccessEntry>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct AccessEntry {
    pub(super) environment: String,
    pub(super) everyone: bool,
    pub(super) segments: Vec<String>,
    pub(super) rules: Vec<Rule>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct SegmentEntry {
    pub(super) name: String,
    pub(super) kind: SegmentKind,
    pub(super) rules: Vec<Rule>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct FlagEntry {
    pub(super) key: String,
    pub(super) name: String,
    pub(super) description: Option<String>,
    pub(super) stage: Option<String>,
    pub(super) owner: Option<String>,
    pub(super) secret: Option<bool>,
    pub(super) permanent: Option<bool>,
    pub(super) archived: Option<bool>,
    pub(super) variants: Option<Vec<Variant>>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct TargetingEntry {
    pub(super) flag: String,
    pub(super) environment: String,
    pub(super) everyone: Option<bool>,
    pub(super) companies: Option<Vec<String>>,
    pub(super) users: Option<Vec<String>>,
    pub(super) segments: Option<Vec<String>>,
    pub(super) rules: Option<Vec<Rule>>,
    pub(super) config: Option<ConfigTargeting>,
}

/// Why a file cannot be applied, whatever is stored.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// No TOML.
    #[error("line {line}: {message}")]
    NotToml {
        /// Where.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// TOML, but not an app: a line for each thing that is wrong.
    #[error("{}", .0.join("\n"))]
    Invalid(Vec<String>),
}

impl Document {
    /// Reads a file.
    pub fn read(text: &str) -> Result<Self, ReadError> {
        let table = DeTable::parse(text).map_err(|error| ReadError::NotToml {
            line: text[..error.span().map_or(0, |span| span.start)].matches('\n').count() + 1,
            message: error.message().to_owned(),
        })?;
        let value = toml_text::to_json(table.get_ref(), "");
        let value = value.map_err(|problem| ReadError::Invalid(vec![problem]))?;
        let mut checker = Checker::default();
        let document = checker.object(&value, "").map(|object| read(&mut checker, &object));
        let issues = checker.into_issues();
        if let (Some(document), true) = (document, issues.is_empty()) {
            return Ok(document);
        }
        let lines = issues.into_iter().map(|(path, message)| format!("{path}: {message}"));
        Err(ReadError::Invalid(lines.collect()))
    }
}

fn read(checker: &mut Checker, object: &Object<'_>) -> Document {
    let known = ["app", "environments", "members", "stages", "segments", "flags", "targeting"];
    checker.only(object, &known);
    let mut document = Document { predefined_stages: true, ..Document::default() };
    match object.get("app") {
        Some(app) => {
            if let Some(app) = checker.object(app, "app") {
                checker.only(&app, &["name", "flag_key_format", "predefined_stages"]);
                document.name = checker.required_text(&app, "name", NAME);
                document.flag_key_format = read_format(checker, &app);
                document.predefined_stages =
                    checker.boolean(&app, "predefined_stages").unwrap_or(true);
            }
        }
        None => checker.add("app", "Is required: [app] with a name"),
    }
    document.environments = entries(checker, object, "environments", |checker, entry| {
        checker.only(entry, &["name", "production"]);
        EnvironmentEntry {
            name: checker.required_text(entry, "name", NAME),
            production: checker.boolean(entry, "production").unwrap_or(false),
        }
    });
    document.members = entries(checker, object, "members", |checker, entry| {
        checker.only(entry, &["name", "email"]);
        MemberEntry {
            name: checker.required_text(entry, "name", NAME),
            email: read_address(checker, entry),
        }
    });
    document.stages = entries(checker, object, "stages", read_stage);
    document.segments = entries(checker, object, "segments", read_segment);
    document.flags = entries(checker, object, "flags", read_flag);
    document.targeting = entries(checker, object, "targeting", read_targeting);
    check_references(checker, &document);
    document
}

/// That nothing is there twice, where the second would undo the first.
fn check_references(checker: &mut Checker, document: &Document) {
    let mut once = |name: &str, keys: Vec<String>| {
        let mut seen = std::collections::HashSet::new();
        for (index, key) in keys.into_iter().enumerate() {
            if !seen.insert(key) {
                checker.add(format!("{name}.{index}"), "Is there twice");
            }
        }
    };
    once("environments", document.environments.iter().map(|e| e.name.clone()).collect());
    once("members", document.members.iter().map(|e| e.email.clone()).collect());
    once("stages", document.stages.iter().map(|e| e.name.clone()).collect());
    once("segments", document.segments.iter().map(|e| e.name.clone()).collect());
    once("flags", document.flags.iter().map(|e| e.key.clone()).collect());
    let targeting = document.targeting.iter();
    once("targeting", targeting.map(|e| format!("{}\n{}", e.flag, e.environment)).collect());
    let segments = document.segments.iter().enumerate();
    let of_all = segments.filter(|(_, entry)| entry.kind == SegmentKind::All);
    for (index, _) in of_all.skip(1) {
        checker.add(format!("segments.{index}.type"), "There is one segment of all companies");
    }
}

fn entries<T>(
    checker: &mut Checker,
    object: &Object<'_>,
    name: &str,
    mut read: impl FnMut(&mut Checker, &Object<'_>) -> T,
) -> Vec<T> {
    let items = checker.list(object, name, limits::FLAGS).unwrap_or_default();
    let entries = items.into_iter().filter_map(|(path, item)| {
        let entry = checker.object(item, &path)?;
        Some(read(checker, &entry))
    });
    entries.collect()
}

fn read_format(checker: &mut Checker, app: &Object<'_>) -> Option<FlagKeyFormat> {
    let name = checker.text(app, "flag_key_format", NAME)?;
    let format = FlagKeyFormat::from_wire(&name);
    if format.is_none() {
        let known = FlagKeyFormat::ALL.map(FlagKeyFormat::as_wire).join(", ");
        checker.add("app.flag_key_format", format!("Must be one of {known}"));
    }
    format
}

fn read_address(checker: &mut Checker, entry: &Object<'_>) -> String {
    let email = checker.required_text(entry, "email", NAME);
    if !email.is_empty() && !email.contains('@') {
        checker.add(entry.path_of("email"), "Must be an address");
    }
    email
}

fn read_segment(checker: &mut Checker, entry: &Object<'_>) -> SegmentEntry {
    checker.only(entry, &["name", "type", "rules"]);
    let name = checker.required_text(entry, "name", NAME);
    let kind = match checker.text(entry, "type", NAME).as_deref() {
        Some("all") => SegmentKind::All,
        None | Some("custom") => SegmentKind::Custom,
        Some(_) => {
            checker.add(entry.path_of("type"), "Must be custom or all");
            SegmentKind::Custom
        }
    };
    let rules = read_rules(checker, entry, "rules", About::Attributes);
    if kind == SegmentKind::All && rules.is_some() {
        checker.add(entry.path_of("rules"), "The segment of all companies has no rules");
    }
    SegmentEntry { name, kind, rules: rules.unwrap_or_default() }
}

fn read_stage(checker: &mut Checker, entry: &Object<'_>) -> StageEntry {
    checker.only(entry, &["name", "color", "order", "targeting"]);
    let name = checker.required_text(entry, "name", NAME);
    let color = checker.text(entry, "color", 1..=64);
    let order = checker.whole(entry, "order", 0..=limits::ORDER).map(|order| order as u32);
    let targeting = entries(checker, entry, "targeting", |checker, entry| {
        checker.only(entry, &["environment", "everyone", "segments", "rules"]);
        AccessEntry {
            environment: checker.required_text(entry, "environment", NAME),
            everyone: checker.boolean(entry, "everyone").unwrap_or(false),
            segments: checker
                .texts(entry, "segments", limits::OF_AN_APP, &NAME)
                .unwrap_or_default(),
            rules: read_rules(checker, entry, "rules", About::NoFlags).unwrap_or_default(),
        }
    });
    StageEntry { name, color, order, targeting }
}

fn read_flag(checker: &mut Checker, entry: &Object<'_>) -> FlagEntry {
    let known = [
        "key",
        "name",
        "description",
        "stage",
        "owner",
        "secret",
        "permanent",
        "archived",
        "variants",
    ];
    checker.only(entry, &known);
    let key = checker.required_text(entry, "key", NAME);
    FlagEntry {
        name: checker.text(entry, "name", NAME).unwrap_or_else(|| key.clone()),
        description: checker.text(entry, "description", 0..=limits::DESCRIPTION),
        stage: checker.text(entry, "stage", NAME),
        owner: checker.text(entry, "owner", NAME),
        secret: checker.boolean(entry, "secret"),
        permanent: checker.boolean(entry, "permanent"),
        archived: checker.boolean(entry, "archived"),
        variants: read_variants(checker, entry),
        key,
    }
}

fn read_variants(checker: &mut Checker, entry: &Object<'_>) -> Option<Vec<Variant>> {
    let items = checker.list(entry, "variants", limits::VARIANTS)?;
    let mut variants: Vec<Variant> = Vec::new();
    for (path, item) in items {
        let Some(item) = checker.object(item, &path) else { continue };
        checker.only(&item, &["key", "payload", "payload_json"]);
        let key = checker.required_text(&item, "key", NAME);
        if variants.iter().any(|known| known.key == key) {
            checker.add(item.path_of("key"), "Two variants have this key");
        }
        let json = checker.text(&item, "payload_json", 1..=limits::PAYLOAD);
        if json.as_ref().is_some_and(|json| serde_json::from_str::<Value>(json).is_err()) {
            checker.add(item.path_of("payload_json"), "Is not JSON");
        }
        if json.is_some() && item.get("payload").is_some() {
            checker.add(path, "Has payload and payload_json: one or the other");
        }
        let payload = json.or_else(|| item.get("payload").map(Value::to_string));
        variants.push(Variant { key, payload });
    }
    Some(variants)
}

fn read_targeting(checker: &mut Checker, entry: &Object<'_>) -> TargetingEntry {
    let known = [
        "flag",
        "environment",
        "everyone",
        "companies",
        "users",
        "segments",
        "rules",
        "rollout",
        "config",
    ];
    checker.only(entry, &known);
    let ids = 1..=limits::ENTITY_ID;
    let mut rules = read_rules(checker, entry, "rules", About::Anything);
    if let Some(rollout) = entry.get("rollout") {
        // Short for one more rule without conditions.
        let mut rule = Rule::of(Vec::new());
        read_rollout(checker, rollout, &entry.path_of("rollout"), &mut rule);
        rules.get_or_insert_default().push(rule);
    }
    TargetingEntry {
        flag: checker.required_text(entry, "flag", NAME),
        environment: checker.required_text(entry, "environment", NAME),
        everyone: checker.boolean(entry, "everyone"),
        companies: checker.texts(entry, "companies", limits::TARGETS, &ids),
        users: checker.texts(entry, "users", limits::TARGETS, &ids),
        segments: checker.texts(entry, "segments", limits::OF_AN_APP, &NAME),
        rules,
        config: read_config(checker, entry, "config"),
    }
}
