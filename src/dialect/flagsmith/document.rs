//! The environment document: read into an [`Environment`] (flagsmith.md sections 7 and 8).
//!
//! Unknown members are passed over and old documents accepted. One feature, segment or identity that
//! cannot be read is set aside and named; the rest is served.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::evaluate::flagsmith::python;
use crate::json::{Kind, Malformed, Reader};
use crate::model::flagsmith::{
    Broken, Condition, Environment, Feature, FeatureState, Named, Operand, Operator, Override,
    Rule, RuleKind, Segment, UpdatedAt, Variant, VendorSettings,
};

/// Why a whole document cannot be used. Single bad parts are no such reason.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// No bytes at all, as of a file that is being written.
    #[error("the document is empty")]
    Empty,
    /// Broken off or no JSON.
    #[error("the document is not JSON: {0}")]
    NotJson(#[source] serde_json::Error),
    /// JSON, but not an environment document.
    #[error("the document is not an environment document: {0}")]
    NotEnvironment(String),
    /// Its pages are of different states.
    #[error("the document's pages are of different states")]
    Mixed,
}

/// Reads a whole document.
pub fn read(document: &Bytes) -> Result<Environment, DocumentError> {
    let document = &without_mark(document);
    if document.trim_ascii().is_empty() {
        return Err(DocumentError::Empty);
    }
    let wire: WireDocument<'_> = serde_json::from_slice(document).map_err(classify)?;
    if wire.api_key.is_empty() {
        return Err(DocumentError::NotEnvironment("`api_key` is empty".to_owned()));
    }
    let project: WireProject<'_> = parse(wire.project)
        .map_err(|error| DocumentError::NotEnvironment(format!("`project`: {error}")))?;
    let mut warnings = Warnings::default();
    let updated_at: Option<String> = warnings.optional("updated_at", wire.updated_at);
    let hide_disabled = warnings.optional("hide_disabled_flags", wire.hide_disabled_flags);
    let project_hides_disabled =
        warnings.optional("project.hide_disabled_flags", project.hide_disabled_flags);
    let vendor = vendor_settings(&wire, &project, &mut warnings);
    let mut environment = Environment {
        key: wire.api_key,
        name: warnings.optional("name", wire.name),
        updated_at: updated_at.as_deref().and_then(read_moment),
        // The vendor's API hides them from all keys and its proxy, which reads the project alone,
        // from client keys.
        hide_disabled_from_servers: hide_disabled == Some(true),
        hide_disabled_flags: hide_disabled.or(project_hides_disabled).unwrap_or(false),
        server_key_only: server_key_only(project.server_key_only_feature_ids, &mut warnings)?,
        vendor,
        verbatim: document.clone(),
        ..Environment::default()
    };
    if updated_at.is_some() && environment.updated_at.is_none() {
        warnings.0.push("`updated_at` is no moment".to_owned());
    }
    environment.warnings = warnings.0;
    read_features(&wire.feature_states, &mut environment);
    read_segments(&project.segments.unwrap_or_default(), &mut environment);
    read_identities(&wire.identity_overrides.unwrap_or_default(), &mut environment);
    Ok(environment)
}

/// Without a byte order mark: readers may pass over it and writers must not send one (RFC 8259, 8.1).
fn without_mark(document: &Bytes) -> Bytes {
    let mark = "\u{feff}".as_bytes();
    if document.starts_with(mark) { document.slice(mark.len()..) } else { document.clone() }
}

/// The document as it is handed out: byte for byte, but for parts that would break those who read
/// it. In their place stands their last good form, or nothing.
pub fn served(environment: &Environment) -> Bytes {
    let document = &environment.verbatim;
    if environment.broken.is_empty() {
        return document.clone();
    }
    let mut broken: Vec<&Broken> = environment.broken.iter().collect();
    broken.sort_by_key(|broken| broken.place.start);
    let mut out = Vec::with_capacity(document.len());
    let mut at = 0;
    for Broken { place, replacement, .. } in broken {
        out.extend_from_slice(&document[at..place.start]);
        at = place.end;
        if let Some(replacement) = replacement {
            out.extend_from_slice(replacement);
            continue;
        }
        // One of the commas beside it goes along: the one behind, or else the one before.
        let blanks = document[at..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        if document.get(at + blanks) == Some(&b',') {
            at += blanks + 1;
        } else {
            let end = out.trim_ascii_end();
            let kept = end.strip_suffix(b",").map_or(end.len(), <[u8]>::len);
            out.truncate(kept);
        }
    }
    out.extend_from_slice(&document[at..]);
    out.into()
}

/// Puts the pages of one document together: the first, with the `identity_overrides` of the others
/// behind its own. Nothing is spelled anew. Pages repeat what they are pages of; those that say
/// something else there are of another document, or of another state of it.
pub fn join_pages(first: &Bytes, others: &[Bytes]) -> Result<Bytes, DocumentError> {
    let first = without_mark(first);
    if others.is_empty() {
        return Ok(first);
    }
    let others: Vec<Bytes> = others.iter().map(without_mark).collect();
    let base = Page::read(&first)?;
    let mut more: Vec<&[u8]> = Vec::new();
    for bytes in &others {
        let page = Page::read(bytes)?;
        base.expect_same(&page)?;
        if let Some(inside) = page.overrides {
            let inside = bytes[inside].trim_ascii();
            if !inside.is_empty() {
                more.push(inside);
            }
        }
    }
    if more.is_empty() {
        return Ok(first);
    }
    let Some(inside) = base.overrides else {
        let what = "its first page has no `identity_overrides`";
        return Err(DocumentError::NotEnvironment(what.to_owned()));
    };
    let size = first.len() + more.iter().map(|page| page.len() + 1).sum::<usize>();
    let mut joined = Vec::with_capacity(size);
    joined.extend_from_slice(&first[..inside.end]);
    let mut separate = !first[inside.clone()].trim_ascii().is_empty();
    for page in more {
        if separate {
            joined.push(b',');
        }
        joined.extend_from_slice(page);
        separate = true;
    }
    joined.extend_from_slice(&first[inside.end..]);
    Ok(joined.into())
}

/// What a page is of, and where the inside of its array `identity_overrides` lies.
#[derive(Default)]
struct Page<'a> {
    /// As they are spelled.
    api_key: Option<&'a str>,
    updated_at: Option<&'a str>,
    overrides: Option<Range<usize>>,
}

impl<'a> Page<'a> {
    fn read(page: &'a Bytes) -> Result<Self, DocumentError> {
        let text = std::str::from_utf8(page)
            .map_err(|_| DocumentError::NotEnvironment("a page is not UTF-8".to_owned()))?;
        Self::find(text)
            .map_err(|error| DocumentError::NotEnvironment(format!("a page is not JSON: {error}")))
    }

    fn find(text: &'a str) -> Result<Self, Malformed> {
        let mut reader = Reader::new(text);
        let mut first = true;
        let mut found = Self::default();
        reader.open_object()?;
        while let Some(name) = reader.next_member(&mut first)? {
            let is_array = reader.kind()? == Kind::Array;
            let start = reader.position();
            reader.skip()?;
            match name.plain() {
                Some("api_key") => found.api_key = Some(reader.since(start)),
                Some("updated_at") => found.updated_at = Some(reader.since(start)),
                Some("identity_overrides") => {
                    found.overrides = is_array.then(|| start + 1..reader.position() - 1);
                }
                _ => {}
            }
        }
        reader.end()?;
        Ok(found)
    }

    fn expect_same(&self, other: &Self) -> Result<(), DocumentError> {
        let differ = |own: Option<&str>, others: Option<&str>| others.is_some() && own != others;
        if differ(self.api_key, other.api_key) {
            let what = "a page is of another environment";
            return Err(DocumentError::NotEnvironment(what.to_owned()));
        }
        if differ(self.updated_at, other.updated_at) { Err(DocumentError::Mixed) } else { Ok(()) }
    }
}

fn classify(error: serde_json::Error) -> DocumentError {
    if error.is_data() {
        DocumentError::NotEnvironment(without_quotes(&error))
    } else {
        DocumentError::NotJson(error)
    }
}

/// What is wrong, in words of JSON, without the place and without the document's own texts: those may
/// be anything.
fn without_quotes(error: &serde_json::Error) -> String {
    const WORDS: [(&str, &str); 5] = [
        ("invalid type: map", "invalid type: an object"),
        ("invalid type: sequence", "invalid type: a list"),
        ("expected a sequence", "expected a list"),
        ("expected i64", "expected an integer"),
        ("expected f64", "expected a number"),
    ];
    let mut text = error.to_string();
    if let (Some(start), Some(end)) = (text.find(" \""), text.rfind("\", "))
        && start < end
    {
        text.replace_range(start..=end, "");
    }
    let text = text.split(" at line ").next().unwrap_or(&text);
    WORDS.iter().fold(text.to_owned(), |text, (of_rust, of_json)| text.replace(of_rust, of_json))
}

#[derive(Deserialize)]
#[serde(expecting = "an object with `api_key`, `project` and `feature_states`")]
struct WireDocument<'a> {
    api_key: Box<str>,
    #[serde(borrow, default)]
    name: Option<&'a RawValue>,
    #[serde(borrow, default)]
    updated_at: Option<&'a RawValue>,
    #[serde(borrow)]
    project: &'a RawValue,
    #[serde(borrow)]
    feature_states: Vec<&'a RawValue>,
    // A document whose overrides or segments cannot be found is refused: without them many would be
    // given what is meant for others, and the document before is still there.
    #[serde(borrow, default)]
    identity_overrides: Option<Vec<&'a RawValue>>,
    #[serde(borrow, default)]
    hide_disabled_flags: Option<&'a RawValue>,
    #[serde(borrow, default)]
    allow_client_traits: Option<&'a RawValue>,
    #[serde(borrow, default)]
    hide_sensitive_data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(expecting = "a project with `segments`")]
struct WireProject<'a> {
    #[serde(borrow, default)]
    segments: Option<Vec<&'a RawValue>>,
    #[serde(borrow, default)]
    hide_disabled_flags: Option<&'a RawValue>,
    #[serde(borrow, default)]
    enable_realtime_updates: Option<&'a RawValue>,
    #[serde(borrow, default)]
    server_key_only_feature_ids: Option<&'a RawValue>,
    #[serde(borrow, default)]
    organisation: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(expecting = "an organisation")]
struct WireOrganisation<'a> {
    #[serde(borrow, default)]
    stop_serving_flags: Option<&'a RawValue>,
    #[serde(borrow, default)]
    persist_trait_data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(expecting = "a feature state with `feature` and `enabled`")]
struct WireFeatureState<'a> {
    feature: WireFeature,
    enabled: bool,
    #[serde(default = "null")]
    feature_state_value: Box<RawValue>,
    #[serde(default)]
    django_id: Option<Value>,
    #[serde(borrow, default)]
    featurestate_uuid: Option<&'a RawValue>,
    #[serde(default)]
    feature_segment: Option<WireFeatureSegment>,
    #[serde(default)]
    multivariate_feature_state_values: Option<Vec<WireVariant>>,
}

#[derive(Deserialize)]
#[serde(expecting = "a feature with `id` and `name`")]
struct WireFeature {
    // SDKs want one of overrides, too, though they make nothing of it there but to tell them apart.
    id: Value,
    name: Box<str>,
    #[serde(default, rename = "type")]
    kind: Option<Box<str>>,
}

#[derive(Deserialize)]
#[serde(expecting = "an object with `priority`")]
struct WireFeatureSegment {
    #[serde(default)]
    priority: Option<f64>,
}

#[derive(Deserialize)]
#[serde(
    expecting = "a multivariate value with `percentage_allocation` and `multivariate_feature_option`"
)]
struct WireVariant {
    #[serde(default)]
    id: Option<i64>,
    #[serde(default)]
    mv_fs_value_uuid: Option<Box<str>>,
    percentage_allocation: Box<RawValue>,
    multivariate_feature_option: WireOption,
}

#[derive(Deserialize)]
#[serde(expecting = "a multivariate option")]
struct WireOption {
    #[serde(default = "null")]
    value: Box<RawValue>,
    #[serde(default)]
    key: Option<Box<str>>,
}

#[derive(Deserialize)]
#[serde(expecting = "a segment with `id`, `name` and `rules`")]
struct WireSegment<'a> {
    id: Value,
    name: Box<str>,
    #[serde(default)]
    rules: Option<Vec<WireRule>>,
    #[serde(borrow, default)]
    feature_states: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
#[serde(expecting = "a rule with `type`")]
struct WireRule {
    #[serde(rename = "type")]
    kind: Box<str>,
    #[serde(default)]
    conditions: Option<Vec<WireCondition>>,
    #[serde(default)]
    rules: Option<Vec<WireRule>>,
}

#[derive(Deserialize)]
#[serde(expecting = "a condition with `operator`")]
struct WireCondition {
    operator: Box<str>,
    #[serde(default, alias = "property")]
    property_: Option<Box<str>>,
    #[serde(default = "null")]
    value: Box<RawValue>,
}

#[derive(Deserialize)]
#[serde(expecting = "an identity with `identifier`")]
struct WireIdentity<'a> {
    identifier: Box<str>,
    #[serde(borrow, default)]
    identity_features: Option<Vec<&'a RawValue>>,
}

fn null() -> Box<RawValue> {
    RawValue::NULL.to_owned()
}

/// What is odd and no reason to refuse a document.
#[derive(Default)]
struct Warnings(Vec<String>);

impl Warnings {
    /// A member that need not be there. One of another type than it should have counts as absent.
    fn optional<'a, T: Deserialize<'a>>(
        &mut self,
        member: &str,
        raw: Option<&'a RawValue>,
    ) -> Option<T> {
        let read = serde_json::from_str(raw?.get());
        read.map_err(|error| self.absent(member, &without_quotes(&error))).ok()
    }

    fn absent(&mut self, member: &str, reason: &str) {
        self.0.push(format!("`{member}`: {reason}: it counts as absent"));
    }
}

fn vendor_settings(
    wire: &WireDocument<'_>,
    project: &WireProject<'_>,
    warnings: &mut Warnings,
) -> VendorSettings {
    let organisation = project.organisation.map(parse::<WireOrganisation<'_>>).transpose();
    let organisation = organisation.unwrap_or_else(|reason| {
        warnings.absent("project.organisation", &reason);
        None
    });
    let organisation = organisation.unwrap_or_default();
    let mut switch = |member, raw, default| warnings.optional(member, raw).unwrap_or(default);
    VendorSettings {
        allow_client_traits: switch("allow_client_traits", wire.allow_client_traits, true),
        hide_sensitive_data: switch("hide_sensitive_data", wire.hide_sensitive_data, false),
        stop_serving_flags: switch(
            "project.organisation.stop_serving_flags",
            organisation.stop_serving_flags,
            false,
        ),
        persist_trait_data: switch(
            "project.organisation.persist_trait_data",
            organisation.persist_trait_data,
            true,
        ),
        enable_realtime_updates: switch(
            "project.enable_realtime_updates",
            project.enable_realtime_updates,
            false,
        ),
    }
}

/// Which features publishable keys never see. What cannot be an id hides none; where somebody may
/// have meant a feature and nobody can tell which, the document is refused, and the one before stays:
/// else that feature would become public.
fn server_key_only(
    raw: Option<&RawValue>,
    warnings: &mut Warnings,
) -> Result<BTreeSet<i64>, DocumentError> {
    const MEMBER: &str = "project.server_key_only_feature_ids";
    let refused = |what: &str| DocumentError::NotEnvironment(format!("`{MEMBER}`: {what}"));
    let Some(raw) = raw else { return Ok(BTreeSet::new()) };
    let entries: Vec<Value> =
        serde_json::from_str(raw.get()).map_err(|error| refused(&without_quotes(&error)))?;
    let mut ids = BTreeSet::new();
    for entry in entries {
        let id = match &entry {
            Value::Number(number) => integer(number),
            Value::String(text) => {
                Some(text.trim().parse().map_err(|_| refused("an entry is no feature's id"))?)
            }
            Value::Null => None,
            _ => return Err(refused("an entry is no feature's id")),
        };
        match id {
            Some(id) => drop(ids.insert(id)),
            None => warnings.absent(MEMBER, "an entry is no feature's id"),
        }
    }
    Ok(ids)
}

/// A number that is whole, however it is spelled: 14.0 is 14.
fn integer(number: &serde_json::Number) -> Option<i64> {
    /// Up to here whole numbers are exact.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let whole = |float: &f64| float.fract() == 0.0 && float.abs() <= EXACT;
    number.as_i64().or_else(|| number.as_f64().filter(whole).map(|float| float as i64))
}

/// A later state of a feature takes the place of an earlier one.
fn read_features(raw: &[&RawValue], environment: &mut Environment) {
    let mut places: HashMap<Box<str>, usize> = HashMap::new();
    for (index, raw) in raw.iter().enumerate() {
        let read = parse::<WireFeatureState<'_>>(raw).and_then(|wire| {
            let id = wire.feature.id.as_i64().ok_or("`feature.id` is not an integer")?;
            let kind = wire.feature.kind.clone().unwrap_or_else(|| "STANDARD".into());
            let place = place_of(raw, &environment.verbatim);
            Ok(Feature { id, kind, state: feature_state(wire)?.state, place })
        });
        match read {
            Ok(feature) => match places.entry(feature.state.feature.clone()) {
                Entry::Occupied(place) => {
                    let name = &feature.state.feature;
                    let warning = format!("feature `{name}`: defined twice, the later counts");
                    environment.warnings.push(warning);
                    environment.features[*place.get()] = feature;
                }
                Entry::Vacant(place) => {
                    place.insert(environment.features.len());
                    environment.features.push(feature);
                }
            },
            Err(reason) => {
                let (part, named) = match name_of(raw, true) {
                    Some(name) => (format!("feature `{name}`"), Named::Feature(name.into())),
                    None => (format!("feature_states[{index}]"), Named::Other),
                };
                set_aside(part, reason, named, raw, environment);
            }
        }
    }
}

/// A later segment takes the place of an earlier one of the same id, as in the vendor's engine.
fn read_segments(raw: &[&RawValue], environment: &mut Environment) {
    let mut places: HashMap<Box<str>, usize> = HashMap::new();
    for (index, raw) in raw.iter().enumerate() {
        let name = || match name_of(raw, false) {
            Some(name) => format!("segment `{name}`"),
            None => format!("project.segments[{index}]"),
        };
        match parse::<WireSegment<'_>>(raw).and_then(|wire| segment(wire, raw, &name, environment))
        {
            Ok(segment) => match places.entry(segment.key.clone()) {
                Entry::Occupied(place) => {
                    let id = &segment.key;
                    let warning = format!("segment with id {id}: defined twice, the later counts");
                    environment.warnings.push(warning);
                    environment.segments[*place.get()] = segment;
                }
                Entry::Vacant(place) => {
                    place.insert(environment.segments.len());
                    environment.segments.push(segment);
                }
            },
            Err(reason) => {
                let (id, named) = (id_of(raw), name_of(raw, false).map(Box::from));
                let named = Named::Segment { id, name: named };
                set_aside(name(), reason, named, raw, environment);
            }
        }
    }
}

fn segment(
    wire: WireSegment<'_>,
    raw: &RawValue,
    name: &dyn Fn() -> String,
    environment: &mut Environment,
) -> Result<Segment, String> {
    let key = segment_key(wire.id).ok_or_else(|| "`id` is neither text nor a number".to_owned())?;
    let rules = wire.rules.unwrap_or_default().into_iter().map(rule).collect::<Result<_, _>>()?;
    let mut overrides = Vec::new();
    for raw in wire.feature_states.unwrap_or_default() {
        match parse::<WireFeatureState<'_>>(raw).and_then(feature_state) {
            Ok(overriding) => overrides.push(overriding),
            Err(reason) => {
                let feature = name_of(raw, true).unwrap_or_else(|| "?".to_owned());
                let part = format!("feature `{feature}` of {}", name());
                set_aside(part, reason, Named::Other, raw, environment);
            }
        }
    }
    let place = place_of(raw, &environment.verbatim);
    Ok(Segment { key, name: wire.name, rules, overrides, place })
}

fn segment_key(id: Value) -> Option<Box<str>> {
    match id {
        Value::String(text) => Some(text.into()),
        Value::Number(number) => Some(number.to_string().into()),
        _ => None,
    }
}

/// Several entries of one identity are put together: some sources give one for each feature.
fn read_identities(raw: &[&RawValue], environment: &mut Environment) {
    for (index, raw) in raw.iter().enumerate() {
        // The identifier is no part of the reason: identities may be people.
        let part = || format!("identity_overrides[{index}]");
        let wire = match parse::<WireIdentity<'_>>(raw) {
            Ok(wire) => wire,
            Err(reason) => {
                set_aside(part(), reason, Named::Other, raw, environment);
                continue;
            }
        };
        let mut states = Vec::new();
        for raw in wire.identity_features.unwrap_or_default() {
            match parse::<WireFeatureState<'_>>(raw).and_then(feature_state) {
                Ok(overriding) => states.push(overriding.state),
                Err(reason) => set_aside(part(), reason, Named::Other, raw, environment),
            }
        }
        environment.identity_overrides.entry(wire.identifier).or_default().append(&mut states);
    }
}

fn set_aside(
    part: String,
    reason: String,
    named: Named,
    raw: &RawValue,
    environment: &mut Environment,
) {
    let place = place_of(raw, &environment.verbatim);
    environment.broken.push(Broken { part, reason, named, place, replacement: None });
}

/// Where a value stands in the document that it was read from.
fn place_of(raw: &RawValue, document: &Bytes) -> Range<usize> {
    let start = raw.get().as_ptr() as usize - document.as_ptr() as usize;
    start..start + raw.get().len()
}

fn feature_state(wire: WireFeatureState<'_>) -> Result<Override, String> {
    if matches!(wire.feature.id, Value::Array(_) | Value::Object(_)) {
        return Err("`feature.id` is not an integer".to_owned());
    }
    let hashing_key = match wire.django_id {
        Some(Value::Number(number)) if number.as_f64() != Some(0.0) => number.to_string().into(),
        Some(Value::String(text)) if !text.is_empty() => text.into(),
        _ => match wire.featurestate_uuid.map(|uuid| serde_json::from_str(uuid.get())) {
            Some(uuid) => uuid.map_err(|_| "`featurestate_uuid` is not text")?,
            None => Box::default(),
        },
    };
    let variants = wire.multivariate_feature_state_values.unwrap_or_default();
    let variants = variants.into_iter().map(variant).collect::<Result<_, _>>()?;
    let state = FeatureState {
        feature: wire.feature.name,
        enabled: wire.enabled,
        value: Arc::from(wire.feature_state_value),
        hashing_key,
        variants,
    };
    Ok(Override { priority: wire.feature_segment.and_then(|segment| segment.priority), state })
}

fn variant(wire: WireVariant) -> Result<Variant, String> {
    let text = wire.percentage_allocation.get();
    // Read by hand: the JSON library may be off by the last bit.
    let is_number = text.starts_with(|c: char| c == '-' || c.is_ascii_digit());
    let weight = text.parse::<f64>().ok().filter(|weight| is_number && weight.is_finite());
    let weight = weight.ok_or_else(|| "`percentage_allocation` is no number".to_owned())?;
    let option = wire.multivariate_feature_option;
    Ok(Variant {
        key: option.key,
        value: Arc::from(option.value),
        weight,
        weight_text: python_number(text),
        priority: match wire.id {
            Some(id) if id != 0 => u128::try_from(id).unwrap_or(0),
            _ => wire.mv_fs_value_uuid.as_deref().and_then(uuid_number).unwrap_or(u128::MAX),
        },
    })
}

fn uuid_number(text: &str) -> Option<u128> {
    let digits: String = text.chars().filter(|&c| c != '-').collect();
    (digits.len() == 32).then(|| u128::from_str_radix(&digits, 16).ok()).flatten()
}

fn rule(wire: WireRule) -> Result<Rule, String> {
    let kind = match &*wire.kind {
        "ALL" => RuleKind::All,
        "ANY" => RuleKind::Any,
        "NONE" => RuleKind::None,
        other => return Err(format!("a rule's type `{other}` is not known")),
    };
    let conditions = wire.conditions.unwrap_or_default().into_iter().map(condition).collect();
    let rules = wire.rules.unwrap_or_default().into_iter().map(rule).collect::<Result<_, _>>()?;
    Ok(Rule { kind, conditions, rules })
}

fn condition(wire: WireCondition) -> Condition {
    let operator = Operator::from_wire(&wire.operator);
    let text = wire.value.get();
    let value = match text.as_bytes().first() {
        // From its own text: no digit is lost.
        Some(b'-' | b'0'..=b'9') => Operand::Text(python_number(text)),
        _ => operand(serde_json::from_str(text).unwrap_or_default()),
    };
    Condition { property: wire.property_, operator, value }
}

/// A JSON number as Python prints it.
fn python_number(text: &str) -> Box<str> {
    let mut printed = String::new();
    if python::is_integer(text) {
        python::write_integer(text, &mut printed);
    } else {
        python::write_float(text.parse().unwrap_or(f64::NAN), &mut printed);
    }
    printed.into()
}

/// An operand as text, the way Python prints it.
pub fn operand(value: Value) -> Operand {
    match value {
        Value::Null => Operand::Null,
        Value::Array(members) => {
            let text = |member| match operand(member) {
                Operand::Text(text) => text,
                Operand::Null => "None".into(),
                Operand::List(_) => "\u{0}".into(),
            };
            Operand::List(members.into_iter().map(text).collect())
        }
        Value::String(text) => Operand::Text(text.into()),
        Value::Bool(true) => Operand::Text("True".into()),
        Value::Bool(false) => Operand::Text("False".into()),
        Value::Number(number) => Operand::Text(python_number(&number.to_string())),
        object @ Value::Object(_) => Operand::Text(object.to_string().into()),
    }
}

/// Whether this JSON is an object: read as one, a list would count as its members in their order.
fn is_object(json: &str) -> bool {
    json.trim_ascii_start().starts_with('{')
}

fn parse<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Result<T, String> {
    if !is_object(raw.get()) {
        return Err("it is not an object".to_owned());
    }
    serde_json::from_str(raw.get()).map_err(|error| without_quotes(&error))
}

/// The name of a part that could not be read, as far as it has one.
fn name_of(raw: &RawValue, of_feature: bool) -> Option<String> {
    #[derive(Deserialize)]
    struct WireNamed {
        name: Option<String>,
        feature: Option<WireNamedFeature>,
    }
    #[derive(Deserialize)]
    struct WireNamedFeature {
        name: Option<String>,
    }
    if !is_object(raw.get()) {
        return None;
    }
    // Passes over the other members, however deep they are.
    let named: WireNamed = serde_json::from_str(raw.get()).ok()?;
    if of_feature { named.feature?.name } else { named.name }
}

/// The id of a segment that could not be read, as far as it has one.
fn id_of(raw: &RawValue) -> Option<Box<str>> {
    #[derive(Deserialize)]
    struct WireIdentified {
        id: Value,
    }
    if !is_object(raw.get()) {
        return None;
    }
    let WireIdentified { id } = serde_json::from_str(raw.get()).ok()?;
    segment_key(id)
}

/// Reads an ISO 8601 moment: with an offset, with `Z`, or without either, which means UTC.
pub fn read_moment(text: &str) -> Option<UpdatedAt> {
    let number = |text: &str| -> Option<i64> {
        (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
    };
    let text = text.trim_ascii();
    if !text.is_ascii() || text.len() < 19 {
        return None;
    }
    let (date, time) = text.split_at(10);
    let (year, rest) = date.split_once('-')?;
    let (month, day) = rest.split_once('-')?;
    let (year, month, day) = (number(year)?, number(month)?, number(day)?);
    let time = time.strip_prefix(['T', 't', ' '])?;
    let zone_at = time.find(['Z', 'z', '+', '-']).unwrap_or(time.len());
    let (clock, zone) = time.split_at(zone_at);
    let mut parts = clock.split(':');
    let (hour, minute) = (number(parts.next()?)?, number(parts.next()?)?);
    let (second, fraction) = parts.next().map(|s| s.split_once('.').unwrap_or((s, "0")))?;
    let second = number(second)?;
    let valid = (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && (hour, minute, second) <= (23, 59, 59)
        && minute < 60
        && second < 60
        && parts.next().is_none();
    if !valid {
        return None;
    }
    number(fraction)?;
    let micros: String = fraction.chars().chain("000000".chars()).take(6).collect();
    let micros = number(&micros)?;
    let offset = match zone.as_bytes().first() {
        None | Some(b'Z' | b'z') => 0,
        Some(sign) => {
            let digits: String = zone[1..].chars().filter(|&c| c != ':').collect();
            let (hours, minutes) = digits.split_at_checked(2)?;
            let minutes = if minutes.is_empty() { 0 } else { number(minutes)? };
            let minutes = number(hours)? * 60 + minutes;
            if *sign == b'-' { -minutes } else { minutes }
        }
    };
    let seconds = days_since_1970(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
    Some(UpdatedAt((seconds - offset * 60) * 1_000_000 + micros))
}

/// Days from 1970-01-01 in the Gregorian calendar; years begin in March, so that leap days end them.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn bytes(value: &Value) -> Bytes {
        Bytes::from(value.to_string())
    }

    fn state(name: &str, id: i64) -> Value {
        json!({"feature": {"id": id, "name": name}, "enabled": true, "django_id": id})
    }

    fn document() -> Value {
        json!({
            "api_key": "key", "project": {"segments": []}, "feature_states": [state("a", 1)],
        })
    }

    #[test]
    fn what_is_no_document_is_refused() {
        let refusal =
            |text: &str| read(&Bytes::copy_from_slice(text.as_bytes())).unwrap_err().to_string();
        assert_eq!(refusal(" \n"), "the document is empty");
        assert!(refusal("{\"api_key\":").starts_with("the document is not JSON"));
        assert!(refusal("[]").contains("not an environment document"));
        for (text, word) in [("{}", "api_key"), ("null", "an object"), ("7", "an object")] {
            let refusal = refusal(text);
            assert!(refusal.contains(word), "{text}: {refusal}");
        }
        let mut none = document();
        none["feature_states"] = Value::Null;
        assert!(read(&bytes(&none)).is_err());
        none["feature_states"] = json!({});
        assert!(read(&bytes(&none)).is_err());
    }

    #[test]
    fn old_and_new_members_are_passed_over() {
        let mut old = document();
        let read = read(&bytes(&old)).unwrap();
        assert_eq!(&*read.features[0].kind, "STANDARD");
        assert_eq!(&*read.features[0].state.hashing_key, "1");
        assert_eq!(read.features[0].state.value.get(), "null");
        assert_eq!(read.verbatim, bytes(&old));
        assert_eq!((read.broken, read.warnings), (vec![], vec![]));
        old["future"] = json!({"x": [1]});
        old["feature_states"][0]["django_id"] = json!(0);
        old["feature_states"][0]["featurestate_uuid"] = json!("uuid");
        let read = super::read(&bytes(&old)).unwrap();
        assert_eq!(&*read.features[0].state.hashing_key, "uuid");
    }

    #[test]
    fn a_member_of_another_type_counts_as_absent_where_it_need_not_be_there() {
        let odd = [json!(7), json!(7.5), json!([]), json!({"a": "secret"})];
        for member in [
            "/name",
            "/updated_at",
            "/hide_disabled_flags",
            "/allow_client_traits",
            "/hide_sensitive_data",
            "/project/hide_disabled_flags",
            "/project/enable_realtime_updates",
            "/project/organisation",
            "/project/organisation/stop_serving_flags",
            "/project/organisation/persist_trait_data",
        ] {
            for value in
                odd.iter().filter(|it| member != "/project/organisation" || !it.is_object())
            {
                let mut odd = document();
                odd["project"]["organisation"] = json!({});
                let (at, name) = member.rsplit_once('/').unwrap();
                odd.pointer_mut(at).unwrap()[name] = value.clone();
                let read = read(&bytes(&odd)).unwrap();
                assert_eq!(read.vendor, VendorSettings::default());
                assert_eq!(
                    (read.hide_disabled_flags, read.hide_disabled_from_servers),
                    (false, false)
                );
                assert_eq!((read.name, read.updated_at), (None, None));
                let [warning] = &read.warnings[..] else { panic!("{:?}", read.warnings) };
                let path = member[1..].replace('/', ".");
                assert!(warning.starts_with(&format!("`{path}`: ")), "{warning}");
                assert!(warning.ends_with(": it counts as absent"), "{warning}");
                for word in ["Wire", "struct", "i64", "map", "sequence", "secret"] {
                    assert!(!warning.contains(word), "{warning}");
                }
            }
        }
    }

    #[test]
    fn ids_of_hidden_features_are_read_or_the_document_is_refused() {
        let with = |ids: Value| {
            let mut document = document();
            document["project"]["server_key_only_feature_ids"] = ids;
            read(&bytes(&document))
        };
        for (ids, expected, warnings) in [
            (json!(null), &[][..], 0),
            (json!([14, "15", " -16 ", 17.0, 14]), &[-16, 14, 15, 17], 0),
            (json!([null, 14, 1.5, 1e300, u64::MAX]), &[14], 4),
        ] {
            let read = with(ids.clone()).unwrap();
            assert_eq!(read.server_key_only.into_iter().collect::<Vec<_>>(), expected, "{ids}");
            assert_eq!(read.warnings.len(), warnings, "{ids}");
        }
        for ids in [json!(14), json!("14"), json!({"14": 1}), json!(true), json!(["checkout"])]
            .into_iter()
            .chain([json!([true]), json!([[14]]), json!([{"id": 14}])])
        {
            let refusal = with(ids.clone()).unwrap_err().to_string();
            assert!(refusal.contains("`project.server_key_only_feature_ids`: "), "{refusal}");
            assert!(!refusal.contains("checkout"), "{refusal}");
        }
    }

    #[test]
    fn what_a_state_does_not_need_may_be_anything() {
        let mut odd = document();
        odd["feature_states"][0]["featurestate_uuid"] = json!(7);
        let mut overriding = state("a", 1);
        overriding["feature"]["id"] = json!("one");
        odd["identity_overrides"] = json!([{"identifier": "i", "identity_features": [overriding]}]);
        let read = read(&bytes(&odd)).unwrap();
        assert_eq!((read.features.len(), &read.broken[..]), (1, &[][..]));
        assert_eq!(read.identity_overrides["i"].len(), 1);
        odd["feature_states"][0]["django_id"] = Value::Null;
        odd["identity_overrides"][0]["identity_features"][0]["feature"] = json!({"name": "a"});
        let read = super::read(&bytes(&odd)).unwrap();
        let reasons: Vec<&str> = read.broken.iter().map(|broken| &*broken.reason).collect();
        assert_eq!(reasons, ["`featurestate_uuid` is not text", "missing field `id`"]);
        odd["identity_overrides"][0]["identity_features"][0]["feature"]["id"] = json!([1]);
        let read = super::read(&bytes(&odd)).unwrap();
        assert_eq!(read.broken[1].reason, "`feature.id` is not an integer");
    }

    #[test]
    fn one_bad_part_does_not_take_the_others_along() {
        let mut bad = document();
        bad["feature_states"] = json!([
            state("a", 1), {"feature": {"id": 2, "name": "b"}}, 7, state("c", 3),
            {"feature": {"id": 4, "name": "d"}, "enabled": true, "multivariate_feature_state_values":
                [{"percentage_allocation": "x", "multivariate_feature_option": {}}]},
        ]);
        bad["project"]["segments"] = json!([
            {"id": 1, "name": "s", "rules": [{"type": "MOST"}]},
            {"id": 2, "name": "t", "rules": [{"type": "ALL"}], "feature_states": [{}, state("c", 3)]},
            {"name": "u", "rules": []},
        ]);
        bad["identity_overrides"] = json!([
            {"identity_features": []},
            {"identifier": "i", "identity_features": [{"feature": {}}, state("a", 1)]},
            {"identifier": "i", "identity_features": [state("c", 3)]},
        ]);
        let read = read(&bytes(&bad)).unwrap();
        let names: Vec<&str> = read.features.iter().map(|f| &*f.state.feature).collect();
        assert_eq!(names, ["a", "c"]);
        assert_eq!((read.segments.len(), read.segments[0].overrides.len()), (1, 1));
        assert_eq!(read.identity_overrides["i"].len(), 2);
        let parts: Vec<&str> = read.broken.iter().map(|broken| broken.part.as_str()).collect();
        assert_eq!(
            parts,
            [
                "feature `b`",
                "feature_states[2]",
                "feature `d`",
                "segment `s`",
                "feature `?` of segment `t`",
                "segment `u`",
                "identity_overrides[0]",
                "identity_overrides[1]",
            ]
        );
        assert_eq!(read.broken[0].reason, "missing field `enabled`");
        assert_eq!(read.broken[3].reason, "a rule's type `MOST` is not known");
    }

    #[test]
    fn what_is_handed_out_lacks_what_is_broken_and_nothing_else() {
        let good = state("a", 1);
        for (states, left) in [
            ("7", ""),
            ("{} , 7,null", ""),
            (" 7 , GOOD", "GOOD"),
            ("GOOD , 7 ", "GOOD"),
            ("7,{},GOOD,7 , [ ] ", "GOOD"),
            ("GOOD ,\n 7, GOOD", "GOOD,GOOD"),
        ] {
            let whole = |states: &str| {
                let states = states.replace("GOOD", &good.to_string());
                format!("{{\"api_key\":\"k\",\"feature_states\":[{states}], \"project\":{{}}}}")
            };
            let read = read(&Bytes::from(whole(states))).unwrap();
            let handed_out = String::from_utf8(served(&read).to_vec()).unwrap();
            // Which of the blanks beside a part go along does not matter.
            let bare = |text: &str| text.replace([' ', '\n'], "");
            assert_eq!(bare(&handed_out), bare(&whole(left)), "{states}");
            let again = super::read(&served(&read)).unwrap();
            assert_eq!((again.features.len(), again.broken), (read.features.len(), vec![]));
        }
    }

    #[test]
    fn of_two_states_of_a_feature_the_later_counts_in_the_earlier_ones_place() {
        let mut twice = document();
        twice["feature_states"] = json!([state("a", 1), state("b", 2), state("a", 9)]);
        let read = read(&bytes(&twice)).unwrap();
        let ids: Vec<i64> = read.features.iter().map(|f| f.id).collect();
        assert_eq!(ids, [9, 2]);
        assert_eq!(read.warnings.len(), 1);
    }

    #[test]
    fn of_two_segments_with_one_id_the_later_counts_in_the_earlier_ones_place() {
        let segment = |id: Value, name: &str| json!({"id": id, "name": name, "rules": []});
        let mut twice = document();
        twice["project"]["segments"] = json!([
            segment(json!(1), "a"),
            segment(json!(2), "b"),
            segment(json!("1"), "c"),
            segment(json!(3), "b"),
        ]);
        let read = read(&bytes(&twice)).unwrap();
        let names: Vec<&str> = read.segments.iter().map(|segment| &*segment.name).collect();
        assert_eq!(names, ["c", "b", "b"]);
        assert_eq!(read.warnings, ["segment with id 1: defined twice, the later counts"]);
    }

    #[test]
    fn switches_of_the_environment_beat_those_of_the_project() {
        for (environment, project, expected) in [
            (json!(null), json!(true), true),
            (json!(false), json!(true), false),
            (json!(true), json!(false), true),
            (json!(null), json!(null), false),
        ] {
            let mut document = document();
            document["hide_disabled_flags"] = environment;
            document["project"]["hide_disabled_flags"] = project;
            assert_eq!(read(&bytes(&document)).unwrap().hide_disabled_flags, expected);
        }
    }

    #[test]
    fn variants_are_lined_up_by_id_or_else_by_uuid() {
        let mut document = document();
        let uuid = "00000000-0000-0000-0000-0000000000ff";
        document["feature_states"][0]["multivariate_feature_state_values"] = json!([
            {"id": 7, "percentage_allocation": 30, "multivariate_feature_option": {"value": 1}},
            {"id": null, "mv_fs_value_uuid": uuid, "percentage_allocation": 33.30,
             "multivariate_feature_option": {"value": "x", "key": "k"}},
        ]);
        let text = document.to_string().replace("33.3", "3.330e1");
        let read = read(&Bytes::from(text)).unwrap();
        let variants = &read.features[0].state.variants;
        let seen: Vec<_> = variants.iter().map(|v| (v.priority, &*v.weight_text)).collect();
        assert_eq!(seen, [(7, "30"), (255, "33.3")]);
    }

    #[test]
    fn pages_are_joined_byte_for_byte() {
        let page = |text: &'static str| Bytes::from_static(text.as_bytes());
        let first = page(r#"{ "a":5.0, "identity_overrides" : [ {"n":1} ] ,"z":1e3}"#);
        let others = [
            page(r#"{"a":6,"identity_overrides":[{"n":2},{"n":3.0}]}"#),
            page(r#"{"identity_overrides":[]}"#),
            page(r#"{"a":6}"#),
            page(r#"{"identity_overrides":[{"n":"[\"]"}]}"#),
        ];
        assert_eq!(
            join_pages(&first, &others).unwrap(),
            r#"{ "a":5.0, "identity_overrides" : [ {"n":1} ,{"n":2},{"n":3.0},{"n":"[\"]"}] ,"z":1e3}"#
        );
        assert_eq!(join_pages(&first, &[]).unwrap(), first);
        let empty = page(r#"{"identity_overrides":[ ]}"#);
        assert_eq!(
            join_pages(&empty, &others[..1]).unwrap(),
            r#"{"identity_overrides":[ {"n":2},{"n":3.0}]}"#
        );
        let marked = page("\u{feff}{\"identity_overrides\":[]}");
        assert_eq!(
            join_pages(&marked, &others[..1]).unwrap(),
            r#"{"identity_overrides":[{"n":2},{"n":3.0}]}"#
        );
        let mixed = [page(r#"{"updated_at":"b","identity_overrides":[]}"#)];
        let of = page(r#"{"updated_at":"a","identity_overrides":[]}"#);
        assert!(matches!(join_pages(&of, &mixed), Err(DocumentError::Mixed)));
        assert!(join_pages(&page("{}"), &others).is_err());
        assert!(join_pages(&first, &[page("[")]).is_err());
    }

    #[test]
    fn moments_are_read_in_all_their_spellings() {
        for (text, micros) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2026-05-04T09:30:11.204518+00:00", Some(1_777_887_011_204_518)),
            ("2026-05-04T11:30:11.204518+02:00", Some(1_777_887_011_204_518)),
            ("2026-05-04 09:30:11.2045189", Some(1_777_887_011_204_518)),
            ("2026-05-04T04:00:11-0530", Some(1_777_887_011_000_000)),
            ("2000-02-29T00:00:00", Some(951_782_400_000_000)),
            ("1969-12-31T23:59:59.5Z", Some(-500_000)),
            ("2026-13-04T09:30:11Z", None),
            ("2026-05-04", None),
            ("2026-05-04T09:30:11.Z", None),
            ("2026-05-04T09:60:11Z", None),
            ("soon", None),
        ] {
            assert_eq!(read_moment(text).map(|moment| moment.0), micros, "{text}");
        }
    }
}
