//! Lowers single conditions: properties to slots, operators and operands to checks.

use std::collections::{BTreeMap, HashMap};

use memchr::memmem::Finder;
use serde_json::{Map, Value, json};

use crate::evaluate::flagsmith::{
    Check, Comparison, Constant, Domain, FeatureIndex, FlagMember, InputIndex, Leaf, LeafIndex,
    Lookups, Names, NoQuery, Operand, Pattern, Program, Property, Query, Seed, Slot, Source,
    first_above, is_path, python, release,
};
use crate::model::flagsmith::{self as model, Environment, Operator, Segment};

use super::rules::flag_of;

/// All conditions so far, equal ones once.
pub(super) struct Conditions<'a> {
    environment: &'a Environment,
    features: &'a HashMap<&'a str, FeatureIndex>,
    traits: Names,
    properties: Vec<Property>,
    slots: HashMap<Property, Slot>,
    constants: Vec<Constant>,
    queries: Vec<Query>,
    leaves: Vec<Leaf>,
    known: HashMap<Known, LeafIndex>,
    rows: BTreeMap<(Slot, Domain, Vec<u8>), Vec<LeafIndex>>,
    operands: Vec<Operand>,
    needles: Vec<Finder<'static>>,
    patterns: Vec<Pattern>,
    /// Patterns by their text; none for one that cannot be compiled.
    known_patterns: HashMap<Box<str>, Option<u32>>,
    seeds: Vec<Seed>,
    /// Flags that conditions asked for, in the order of asking.
    pub(super) flags: Vec<FeatureIndex>,
    diagnostics: Vec<String>,
}

/// What tells conditions apart; of splits also the segment's key.
type Known = (Slot, Operator, model::Operand, Option<Box<str>>);

impl<'a> Conditions<'a> {
    pub(super) fn new(
        environment: &'a Environment,
        features: &'a HashMap<&'a str, FeatureIndex>,
    ) -> Self {
        Self {
            environment,
            features,
            traits: Names::default(),
            properties: Vec::new(),
            slots: HashMap::new(),
            constants: Vec::new(),
            queries: Vec::new(),
            leaves: Vec::new(),
            known: HashMap::new(),
            rows: BTreeMap::new(),
            operands: Vec::new(),
            needles: Vec::new(),
            patterns: Vec::new(),
            known_patterns: HashMap::new(),
            seeds: Vec::new(),
            flags: Vec::new(),
            diagnostics: Vec::new(),
        }
    }

    pub(super) fn check(&self, leaf: LeafIndex) -> Check {
        self.leaves[leaf.0 as usize].check
    }

    /// The number of a condition. Splits hash the segment's key, so they are its own.
    pub(super) fn leaf(&mut self, segment: &Segment, condition: &model::Condition) -> LeafIndex {
        let is_split = condition.operator == Operator::PercentageSplit;
        let property = match condition.property.as_deref() {
            None | Some("") if is_split => Property::IdentityKey,
            None => Property::Nothing,
            Some(name) => self.property(segment, name),
        };
        self.flags.extend(flag_of(&property));
        let next = Slot(self.properties.len() as u32);
        let slot = *self.slots.entry(property.clone()).or_insert(next);
        if slot == next {
            self.properties.push(property);
        }
        let key = is_split.then(|| segment.key.clone());
        let identity = (slot, condition.operator.clone(), condition.value.clone(), key);
        if let Some(known) = self.known.get(&identity) {
            return *known;
        }
        let index = LeafIndex(self.leaves.len() as u32);
        self.leaves.push(Leaf { slot, check: Check::Never });
        self.leaves[index.0 as usize].check = self.check_of(segment, condition, slot, index);
        self.known.insert(identity, index);
        index
    }

    fn property(&mut self, segment: &Segment, name: &str) -> Property {
        let input = InputIndex(self.traits.intern(name));
        if is_path(name) {
            Property::Path(input, self.source(segment, name))
        } else {
            Property::Trait(input)
        }
    }

    fn source(&mut self, segment: &Segment, text: &str) -> Source {
        let query = match Query::parse(text) {
            Ok(query) => query,
            // No path: nothing but a trait's name.
            Err(NoQuery::Malformed) => return Source::Nothing,
            Err(reason) => {
                self.note(segment, &format!("`{text}` finds nothing: {reason}"));
                return Source::Nothing;
            }
        };
        let Some(names) = query.names() else {
            self.note(segment, &format!("`{text}` is searched for anew in every request"));
            self.queries.push(query);
            return Source::Query(self.queries.len() as u32 - 1);
        };
        match *names.as_slice() {
            ["identity", "identifier"] => Source::Identifier,
            ["identity", "key"] => Source::IdentityKey,
            ["identity", "traits", name] => Source::Trait(InputIndex(self.traits.intern(name))),
            ["flags", name, member] => self.flag(segment, name, member),
            [first @ ("environment" | "features" | "segments"), ..] => {
                let root = root(self.environment, first == "environment");
                let start = root.get(first);
                let found =
                    names[1..].iter().try_fold(start, |value, &name| Some(value?.get(name)));
                match found.flatten().map(Constant::from) {
                    None | Some(Constant::Null) => Source::Nothing,
                    Some(constant) => {
                        self.constants.push(constant);
                        Source::Constant(self.constants.len() as u32 - 1)
                    }
                }
            }
            _ => Source::Nothing,
        }
    }

    fn flag(&mut self, segment: &Segment, name: &str, member: &str) -> Source {
        let member = match member {
            "name" => FlagMember::Name,
            "enabled" => FlagMember::Enabled,
            "value" => FlagMember::Value,
            "variant" => FlagMember::Variant,
            "reason" => FlagMember::Reason,
            _ => {
                self.note(segment, &format!("flags have no `{member}` that could be compared"));
                return Source::Nothing;
            }
        };
        self.features.get(name).map_or(Source::Nothing, |&flag| Source::Flag(flag, member))
    }

    fn check_of(
        &mut self,
        segment: &Segment,
        condition: &model::Condition,
        slot: Slot,
        leaf: LeafIndex,
    ) -> Check {
        let text = match &condition.value {
            // They ask whether there is a value, and of what kind their own is does not matter.
            _ if matches!(condition.operator, Operator::IsSet | Operator::IsNotSet) => "".into(),
            model::Operand::Text(text) => text.clone(),
            model::Operand::Null => "None".into(),
            model::Operand::List(_) if condition.operator == Operator::In => "".into(),
            model::Operand::List(_) => {
                self.note(segment, "a list is compared with by `IN` only, and never matches here");
                return Check::Never;
            }
        };
        let compare = |this: &mut Self, comparison| {
            this.operands.push(operand(&text));
            Check::Compare(comparison, this.operands.len() as u32 - 1)
        };
        match &condition.operator {
            Operator::Equal => self.equal(slot, leaf, &text),
            Operator::NotEqual => compare(self, Comparison::NotEqual),
            Operator::GreaterThan => compare(self, Comparison::Greater),
            Operator::GreaterThanInclusive => compare(self, Comparison::GreaterOrEqual),
            Operator::LessThan => compare(self, Comparison::Less),
            Operator::LessThanInclusive => compare(self, Comparison::LessOrEqual),
            Operator::Contains => Check::Contains(self.needle(&text)),
            Operator::NotContains => Check::NotContains(self.needle(&text)),
            Operator::In => {
                for member in members(&condition.value) {
                    self.member(slot, leaf, &member);
                }
                Check::Lookup
            }
            Operator::Regex => self.pattern(segment, &text).map_or(Check::Never, Check::Regex),
            Operator::Modulo => modulo(&text).unwrap_or(Check::Never),
            Operator::PercentageSplit => {
                let end = python::parse_float(&text).map_or(0, first_above);
                self.seeds.push(Seed::new(&segment.key));
                Check::Split(self.seeds.len() as u32 - 1, end)
            }
            Operator::IsSet => Check::IsSet,
            Operator::IsNotSet => Check::IsNotSet,
            Operator::Unknown(name) => {
                self.note(segment, &format!("operator `{name}` is not known here and never holds"));
                Check::Never
            }
        }
    }

    fn row(&mut self, slot: Slot, domain: Domain, value: &[u8], leaf: LeafIndex) {
        let row = self.rows.entry((slot, domain, value.to_vec())).or_default();
        if row.last() != Some(&leaf) {
            row.push(leaf);
        }
    }

    fn equal(&mut self, slot: Slot, leaf: LeafIndex, text: &str) -> Check {
        let operand = operand(text);
        if operand.is_version {
            self.operands.push(operand);
            return Check::Compare(Comparison::Equal, self.operands.len() as u32 - 1);
        }
        self.row(slot, Domain::Text, text.as_bytes(), leaf);
        self.row(slot, Domain::Boolean, &[u8::from(operand.boolean)], leaf);
        if let Some((integer, _)) = operand.integer {
            self.row(slot, Domain::Integer, integer.as_bytes(), leaf);
        }
        if let Some(float) = operand.float.filter(|float| !float.is_nan()) {
            // Both zeros are equal.
            self.row(slot, Domain::Float, &(float + 0.0).to_le_bytes(), leaf);
        }
        Check::Lookup
    }

    /// Members are compared by text, integers by their canonical one; floats and booleans never
    /// are among them.
    fn member(&mut self, slot: Slot, leaf: LeafIndex, member: &str) {
        self.row(slot, Domain::Text, member.as_bytes(), leaf);
        if python::is_integer(member) {
            self.row(slot, Domain::Integer, member.as_bytes(), leaf);
        }
    }

    fn needle(&mut self, text: &str) -> u32 {
        self.needles.push(Finder::new(text).into_owned());
        self.needles.len() as u32 - 1
    }

    fn pattern(&mut self, segment: &Segment, text: &str) -> Option<u32> {
        if let Some(known) = self.known_patterns.get(text) {
            return *known;
        }
        let index = match Pattern::new(text) {
            Ok(pattern) => {
                self.patterns.push(pattern);
                Some(self.patterns.len() as u32 - 1)
            }
            Err(reason) => {
                self.note(segment, &format!("the pattern `{text}` never matches: {reason}"));
                None
            }
        };
        self.known_patterns.insert(text.into(), index);
        index
    }

    fn note(&mut self, segment: &Segment, what: &str) {
        self.diagnostics.push(format!("segment `{}`: {what}", segment.name));
    }

    pub(super) fn finish(self, environment: &Environment, program: &mut Program) -> Vec<String> {
        let mut lookups = Lookups::default();
        for ((slot, domain, value), leaves) in &self.rows {
            lookups.add(*slot, *domain, value, leaves);
        }
        program.lookups = lookups;
        program.traits = self.traits;
        program.properties = self.properties;
        program.constants = self.constants;
        if !self.queries.is_empty() {
            program.query_context = root(environment, false);
        }
        program.queries = self.queries;
        program.leaves = self.leaves;
        program.operands = self.operands;
        program.needles = self.needles;
        program.patterns = self.patterns;
        program.seeds = self.seeds;
        self.diagnostics
    }
}

/// Reads an operand as every type that it may be compared with.
fn operand(text: &str) -> Operand {
    let version = text.strip_suffix(":semver");
    Operand {
        text: version.unwrap_or(text).into(),
        is_version: version.is_some(),
        release: version.and_then(release),
        integer: python::parse_integer(text).map(|integer| {
            let small = integer.parse().ok();
            (integer.into(), small)
        }),
        float: python::parse_float(text),
        boolean: !matches!(text, "False" | "false"),
    }
}

/// The members of an `IN` list, as text.
pub(crate) fn members(value: &model::Operand) -> Vec<String> {
    match value {
        model::Operand::List(members) => members.iter().map(ToString::to_string).collect(),
        model::Operand::Null => vec![],
        model::Operand::Text(text) => {
            if text.starts_with('[')
                && let Ok(members) = serde_json::from_str::<Vec<Value>>(text)
            {
                return members.iter().map(python_text).collect();
            }
            text.split(',').map(str::to_owned).collect()
        }
    }
}

/// Python's `str()` of a member.
fn python_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Number(number) => {
            let text = number.to_string();
            if python::is_integer(&text) {
                return text;
            }
            let mut float = String::new();
            python::write_float(number.as_f64().unwrap_or(f64::NAN), &mut float);
            float
        }
        // Nothing that a context holds is spelled like this.
        Value::Array(_) | Value::Object(_) => "\u{0}".to_owned(),
    }
}

/// `divisor|remainder`; none when it is not that, and for a divisor of 0.
fn modulo(text: &str) -> Option<Check> {
    let (divisor, remainder) = text.split_once('|')?;
    let divisor = python::parse_float(divisor).filter(|divisor| *divisor != 0.0)?;
    let remainder = python::parse_float(remainder)?;
    Some(Check::Modulo { divisor, remainder })
}

/// The part of the vendor's evaluation context that requests do not change.
fn root(environment: &Environment, only_environment: bool) -> Map<String, Value> {
    let mut root = Map::new();
    let own = json!({"key": environment.key, "name": environment.name});
    root.insert("environment".to_owned(), own);
    if only_environment {
        return root;
    }
    let value = |raw: &str| serde_json::from_str::<Value>(raw).unwrap_or_default();
    let state = |state: &model::FeatureState| {
        let mut feature = json!({
            "key": state.hashing_key, "name": state.feature, "enabled": state.enabled,
            "value": value(state.value.get()),
        });
        if !state.variants.is_empty() {
            let variants = state.variants.iter().map(|variant| {
                json!({"value": value(variant.value.get()), "weight": variant.weight, "key": variant.key})
            });
            feature["variants"] = variants.collect();
        }
        feature
    };
    let features: Map<String, Value> = environment
        .features
        .iter()
        .map(|feature| {
            let mut value = state(&feature.state);
            value["metadata"] = json!({"id": feature.id});
            (feature.state.feature.to_string(), value)
        })
        .collect();
    let segments: Map<String, Value> = environment
        .segments
        .iter()
        .map(|segment| {
            let overrides: Vec<Value> = segment.overrides.iter().map(|o| state(&o.state)).collect();
            let value = json!({"key": segment.key, "name": segment.name, "overrides": overrides});
            (segment.key.to_string(), value)
        })
        .collect();
    root.insert("features".to_owned(), Value::Object(features));
    root.insert("segments".to_owned(), Value::Object(segments));
    root
}
