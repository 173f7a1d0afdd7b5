//! Reads targeting as it is written in bodies and files, and writes it again.
//!
//! ```json
//! {"conditions": [{"attribute": "company.plan", "operator": "ANY_OF", "values": ["pro"]},
//!                 {"segment": "sgA1sD4fG7hJ0k", "matches": true},
//!                 {"flag": "search-v2", "enabled": true}],
//!  "rollout": {"percentage": 25, "attribute": "company.id"}}
//! ```

use serde_json::{Map, Value, json};

use super::body::{Checker, Object, below};
use crate::evaluate::javascript;
use crate::model::Operator;
use crate::origin::model::{
    Condition, ConfigTargeting, EntityKind, Percentage, Rule, SegmentId, SegmentVariant, limits,
};

const NAME: std::ops::RangeInclusive<usize> = 1..=limits::NAME;

/// What conditions may ask about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::origin) enum About {
    /// Attributes, segments and flags.
    Anything,
    /// Attributes and segments: what a stage brings goes to any flag.
    NoFlags,
    /// Attributes: a segment's own rules.
    Attributes,
}

/// A list of rules, if it is there.
pub(in crate::origin) fn read_rules(
    checker: &mut Checker,
    object: &Object<'_>,
    name: &str,
    about: About,
) -> Option<Vec<Rule>> {
    let items = checker.list(object, name, limits::RULES)?;
    let rules = items.into_iter().filter_map(|(path, item)| {
        let rule = checker.object(item, &path)?;
        Some(read_rule(checker, &rule, about))
    });
    Some(rules.collect())
}

fn read_rule(checker: &mut Checker, object: &Object<'_>, about: About) -> Rule {
    checker.only(object, &["conditions", "rollout"]);
    let items = checker.list(object, "conditions", limits::CONDITIONS).unwrap_or_default();
    let conditions: Vec<_> = items
        .into_iter()
        .filter_map(|(path, item)| {
            let condition = checker.object(item, &path)?;
            read_condition(checker, &condition, about)
        })
        .collect();
    let mut rule = Rule::of(conditions);
    if let Some(rollout) = object.get("rollout") {
        read_rollout(checker, rollout, &object.path_of("rollout"), &mut rule);
    }
    if about == About::Attributes && rule.conditions.is_empty() && rule.percentage.is_everyone() {
        checker.add(object.path_of("conditions"), "Must not be empty");
    }
    rule
}

/// The share of a rule, and what decides who is in it.
pub(in crate::origin) fn read_rollout(
    checker: &mut Checker,
    value: &Value,
    path: &str,
    rule: &mut Rule,
) {
    let Some(rollout) = checker.object(value, path) else { return };
    checker.only(&rollout, &["percentage", "attribute"]);
    let percentage = rollout.get("percentage").and_then(Value::as_f64);
    match percentage.and_then(Percentage::new) {
        Some(percentage) => rule.percentage = percentage,
        None => checker.add(
            rollout.path_of("percentage"),
            "Must be a number from 0 to 100 with at most three decimal places",
        ),
    }
    if rollout.get("attribute").is_some()
        && let Some(attribute) = read_attribute(checker, &rollout)
    {
        rule.rollout_attribute = attribute;
    }
}

fn read_attribute(checker: &mut Checker, object: &Object<'_>) -> Option<String> {
    let attribute = checker.required_text(object, "attribute", NAME);
    let known = ["company.", "user.", "other."];
    let fits =
        known.iter().any(|group| attribute.len() > group.len() && attribute.starts_with(group));
    if !fits && !attribute.is_empty() {
        let message = "Must begin with company., user. or other.";
        checker.add(object.path_of("attribute"), message);
    }
    fits.then_some(attribute)
}

fn read_condition(checker: &mut Checker, object: &Object<'_>, about: About) -> Option<Condition> {
    if object.get("segment").is_some() && about != About::Attributes {
        checker.only(object, &["segment", "matches"]);
        let segment = checker.required_text(object, "segment", NAME);
        let matches = checker.boolean(object, "matches").unwrap_or(true);
        return Some(Condition::Segment { segment: segment.as_str().into(), matches });
    }
    if object.get("flag").is_some() && about == About::Anything {
        checker.only(object, &["flag", "enabled"]);
        let flag = checker.required_text(object, "flag", NAME);
        let enabled = checker.boolean(object, "enabled").unwrap_or(true);
        return Some(Condition::Flag { flag, enabled });
    }
    checker.only(object, &["attribute", "operator", "values"]);
    let attribute = read_attribute(checker, object);
    let operator = checker.required_text(object, "operator", NAME);
    let length = 0..=limits::VALUE;
    let values = checker.texts(object, "values", limits::VALUES, &length).unwrap_or_default();
    check_operands(checker, object, &operator, &values);
    Some(Condition::Attribute { attribute: attribute?, operator, values })
}

/// That the comparison has what it compares with (reflag-runtime.md 12.3).
fn check_operands(checker: &mut Checker, object: &Object<'_>, operator: &str, values: &[String]) {
    let kind = Operator::from_wire(operator);
    let count = match kind {
        Operator::Unknown(_) => {
            if !operator.is_empty() {
                checker.add(object.path_of("operator"), "This operator is not known");
            }
            return;
        }
        Operator::Set | Operator::NotSet | Operator::IsTrue | Operator::IsFalse => 0..=0,
        Operator::AnyOf | Operator::NotAnyOf => 1..=limits::VALUES,
        _ => 1..=1,
    };
    if !count.contains(&values.len()) {
        let message = match (*count.start(), *count.end()) {
            (0, _) => format!("{operator} compares with nothing"),
            (_, 1) => format!("{operator} needs exactly one value"),
            _ => format!("{operator} needs at least one value"),
        };
        checker.add(object.path_of("values"), message);
        return;
    }
    let Some(value) = values.first() else { return };
    let first = below(&object.path_of("values"), "0");
    match kind {
        Operator::GreaterThan | Operator::LessThan | Operator::After | Operator::Before
            if javascript::number::parse(value).is_nan() =>
        {
            checker.add(first, format!("{operator} needs a number"));
        }
        Operator::DateAfter | Operator::DateBefore if javascript::date::parse(value).is_none() => {
            checker.add(first, format!("{operator} needs a date"));
        }
        _ => {}
    }
}

/// Who gets which variant, if it is there.
pub(in crate::origin) fn read_config(
    checker: &mut Checker,
    object: &Object<'_>,
    name: &str,
) -> Option<ConfigTargeting> {
    let value = object.get(name)?;
    let object = checker.object(value, &object.path_of(name))?;
    checker.only(&object, &["default", "segments", "companies", "users"]);
    let default = checker.nullable_text(&object, "default", NAME).flatten();
    let items = checker.list(&object, "segments", limits::OF_AN_APP).unwrap_or_default();
    let mut segments = Vec::new();
    for (path, item) in items {
        let Some(item) = checker.object(item, &path) else { continue };
        checker.only(&item, &["segment", "variant"]);
        let segment = checker.required_text(&item, "segment", NAME).as_str().into();
        let variant = checker.required_text(&item, "variant", NAME);
        segments.push(SegmentVariant { segment, variant });
    }
    let mut config = ConfigTargeting { default, segments, ..ConfigTargeting::default() };
    for (name, kind) in [("companies", EntityKind::Company), ("users", EntityKind::User)] {
        let Some(listed) = object.get(name) else { continue };
        let path = object.path_of(name);
        let Some(listed) = listed.as_object() else {
            checker.add(path, "Must be an object from id to variant");
            continue;
        };
        for (id, variant) in listed {
            let here = below(&path, id);
            if id.is_empty() || id.chars().count() > limits::ENTITY_ID {
                let limit = limits::ENTITY_ID;
                checker.add(&*here, format!("The id must have 1 to {limit} characters"));
            }
            let Some(variant) = checker.as_text(variant, &here, NAME) else { continue };
            match kind {
                EntityKind::Company => config.companies.insert(id.clone(), variant),
                EntityKind::User => config.users.insert(id.clone(), variant),
            };
        }
    }
    Some(config)
}

/// Rules as they are read.
pub(in crate::origin) fn write_rules(rules: &[Rule]) -> Value {
    rules.iter().map(write_rule).collect()
}

fn write_rule(rule: &Rule) -> Value {
    let conditions: Vec<_> = rule.conditions.iter().map(write_condition).collect();
    let by_company = rule.rollout_attribute == EntityKind::Company.attribute();
    let mut written = json!({"conditions": conditions});
    if !rule.percentage.is_everyone() || !by_company {
        written["rollout"] = json!({
            "percentage": percent(rule.percentage),
            "attribute": rule.rollout_attribute,
        });
    }
    written
}

/// A whole number where it is one: `25`, not `25.0`.
fn percent(percentage: Percentage) -> Value {
    let threshold = percentage.threshold();
    if threshold.is_multiple_of(1_000) {
        json!(threshold / 1_000)
    } else {
        json!(percentage.percent())
    }
}

fn write_condition(condition: &Condition) -> Value {
    match condition {
        Condition::Attribute { attribute, operator, values } => {
            let mut written = json!({"attribute": attribute, "operator": operator});
            if !values.is_empty() {
                written["values"] = json!(values);
            }
            written
        }
        Condition::Segment { segment, matches } => json!({"segment": segment, "matches": matches}),
        Condition::Flag { flag, enabled } => json!({"flag": flag, "enabled": enabled}),
    }
}

/// Who gets which variant, as it is read.
pub(in crate::origin) fn write_config(config: &ConfigTargeting) -> Value {
    let mut written = Map::new();
    written.insert("default".to_owned(), json!(config.default));
    written.insert("segments".to_owned(), json!(config.segments));
    written.insert("companies".to_owned(), json!(config.companies));
    written.insert("users".to_owned(), json!(config.users));
    Value::Object(written)
}

/// Puts other segments in the place of those that are named, such as ids for names.
pub(in crate::origin) fn rename_segments(
    rules: &mut [Rule],
    config: Option<&mut ConfigTargeting>,
    mut rename: impl FnMut(&SegmentId) -> SegmentId,
) {
    for condition in rules.iter_mut().flat_map(|rule| &mut rule.conditions) {
        if let Condition::Segment { segment, .. } = condition {
            *segment = rename(segment);
        }
    }
    for choice in config.into_iter().flat_map(|config| &mut config.segments) {
        choice.segment = rename(&choice.segment);
    }
}
