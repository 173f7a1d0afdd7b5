//! Evaluations of flags as the protocol spells them (ofrep.md sections 3 and 10).
//!
//! | key asked for | Reflag's rules | Flagsmith's rules |
//! |---|---|---|
//! | `K` | whether it is on | its value, or whether it is on where it has none |
//! | `K:enabled` | whether it is on | whether it is on |
//! | `K:value` | the payload | the value |
//! | `K:json` | the payload | the value; text is read as JSON |
//! | `K:variant` | the variant's key | the variant's key |
//!
//! A flag with the full name comes before a suffix. Without a payload, value or variant there is no
//! `value` member, which tells clients to take the default in their code; so it is for the value of a
//! Flagsmith flag that is off. Reflag's flags have no such state: one that is off is `false`.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use foldhash::fast::FixedState;
use serde_json::value::RawValue;

use super::mapping::write_failure;
use crate::dialect::listing::{Listing, Spell, Written};
use crate::evaluate::{AnyProgram, FlagHeading, Outcome, OutcomeIndex, Reason};
use crate::json::write_string;
use crate::model::KeyClass;

/// Which part of a flag is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The flag's own key.
    Bare,
    /// `K:enabled`
    Enabled,
    /// `K:value`
    Value,
    /// `K:json`
    Json,
    /// `K:variant`
    Variant,
}

/// Those with a suffix, in the order in which they are listed when they add something.
const SUFFIXED: [(&str, Form); 4] = [
    (":enabled", Form::Enabled),
    (":value", Form::Value),
    (":json", Form::Json),
    (":variant", Form::Variant),
];

impl Form {
    fn suffix(self) -> &'static str {
        SUFFIXED.iter().find(|(_, form)| *form == self).map_or("", |(suffix, _)| suffix)
    }
}

/// What a flag's own key stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BareKey {
    /// The table of this module.
    #[default]
    Auto,
    /// Whether the flag is on.
    Enabled,
    /// Its value.
    Value,
}

/// The prepared evaluations of one environment.
#[derive(Debug)]
pub struct Evaluations {
    listing: Listing<Speller>,
    /// Flagsmith's clients fold names: lower case, blanks to underscores.
    by_folded_key: HashMap<Box<str>, usize, FixedState>,
    /// By flag and form: the place in the list.
    listed: Vec<[Option<u32>; 5]>,
    /// Flags that cannot be evaluated.
    broken: HashSet<Box<str>>,
}

/// A flag in a form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Place of the flag in its program.
    pub flag: usize,
    /// Which part of it.
    pub form: Form,
}

/// What there is under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// A flag.
    Flag(Asked),
    /// A flag that cannot be evaluated.
    Broken,
    /// Nothing.
    Nothing,
}

/// How this dialect spells what flags came to.
#[derive(Clone, Copy, Debug)]
struct Speller {
    bare_key: BareKey,
}

impl Evaluations {
    /// Prepares the answers about a program. `broken` names flags that are left out.
    pub fn prepare<'a>(
        program: AnyProgram<'_>,
        bare_key: BareKey,
        broken: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let speller = Speller { bare_key };
        let flags = program.flags();
        let mut outcomes: Vec<Vec<Outcome<'_>>> = vec![Vec::new(); flags.len()];
        for index in (0..program.outcome_count() as u32).map(OutcomeIndex) {
            let outcome = program.outcome(index);
            outcomes[outcome.flag].push(outcome);
        }
        let mut items: Vec<(String, usize, Form)> = Vec::new();
        for (at, (flag, outcomes)) in flags.iter().zip(&outcomes).enumerate() {
            for form in speller.forms_that_differ(program, flag, outcomes) {
                items.push((format!("{}{}", flag.key, form.suffix()), at, form));
            }
        }
        // A flag of that name is there itself.
        items.retain(|(key, _, form)| *form == Form::Bare || program.find(key).is_none());
        items.sort_unstable_by(|(a, ..), (b, ..)| a.cmp(b));
        let mut listed = vec![[None; 5]; flags.len()];
        for ((_, flag, form), place) in items.iter().zip(0..) {
            listed[*flag][*form as usize] = Some(place);
        }
        let by_folded_key = match program {
            AnyProgram::Reflag(_) => HashMap::default(),
            AnyProgram::Flagsmith(_) => {
                let folded = flags.iter().enumerate().rev();
                folded.map(|(at, flag)| (fold(flag.key).into(), at)).collect()
            }
        };
        let items = items.iter().map(|&(_, flag, form)| (flag, form));
        let broken = broken.into_iter().filter(|key| program.find(key).is_none());
        let broken = broken.map(Into::into).collect();
        let listing = Listing::prepare(program, speller, items);
        Self { listing, by_folded_key, listed, broken }
    }

    /// What a key asks for.
    pub fn find(&self, program: AnyProgram<'_>, key: &str) -> Found {
        let exact = |key: &str| program.find(key);
        let folded = |key: &str| {
            // Only Flagsmith's names are.
            let folded = (!self.by_folded_key.is_empty()).then(|| fold(key))?;
            self.by_folded_key.get(&*folded).copied()
        };
        find_by(key, exact)
            .or_else(|| find_by(key, folded))
            .map_or_else(|| self.find_broken(key), Found::Flag)
    }

    fn find_broken(&self, key: &str) -> Found {
        let suffix = SUFFIXED.iter().find_map(|(suffix, _)| key.strip_suffix(suffix));
        let is_broken =
            self.broken.contains(key) || suffix.is_some_and(|k| self.broken.contains(k));
        if is_broken { Found::Broken } else { Found::Nothing }
    }

    /// Room for an answer with all flags.
    pub fn longest(&self) -> usize {
        self.listing.longest() + 64
    }

    /// Whether the answer with all flags is the same whatever the context.
    pub fn is_constant(&self) -> bool {
        self.listing.is_constant()
    }

    /// Whether keys of a class see a flag that came to this.
    pub fn is_visible(&self, outcome: OutcomeIndex, class: KeyClass) -> bool {
        self.listing.is_visible(outcome, class)
    }

    /// A flag under its own key; none where the class may not see it.
    pub fn one(
        &self,
        program: AnyProgram<'_>,
        class: KeyClass,
        outcome: OutcomeIndex,
    ) -> Option<String> {
        let evaluation = || self.listing.speller().spell(program, outcome, Form::Bare);
        self.listing.is_visible(outcome, class).then(evaluation)
    }

    /// Writes the body about all flags that a class may see. `outcomes` has one for each flag.
    pub(crate) fn write_all(
        &self,
        program: AnyProgram<'_>,
        class: KeyClass,
        outcomes: &[OutcomeIndex],
        is_marked_stale: bool,
        written: &mut Written,
    ) {
        written.body.extend_from_slice(b"{\"flags\":");
        self.listing.write(program, class, outcomes, |_| true, *b"[]", written);
        if is_marked_stale {
            written.body.extend_from_slice(b",\"metadata\":{\"stale\":true}");
        }
        written.body.push(b'}');
    }

    /// Writes the body about one flag; false when it is a failure.
    pub(crate) fn write_one(
        &self,
        program: AnyProgram<'_>,
        asked: Asked,
        key: &str,
        outcome: OutcomeIndex,
        is_marked_stale: bool,
        written: &mut Written,
    ) -> bool {
        let Asked { flag, form } = asked;
        let described = program.outcome(outcome);
        let speller = self.listing.speller();
        let own = program.flag(flag).key;
        let is_own_name = key.strip_suffix(form.suffix()) == Some(own);
        match self.listed[flag][form as usize] {
            Some(place) if is_own_name => {
                self.listing.write_item(program, place as usize, outcome, written);
            }
            _ => {
                let text = speller.spell_as(key, program, &described, form);
                written.body.extend_from_slice(text.as_bytes());
            }
        }
        if is_marked_stale && written.body.ends_with(b"}}") {
            written.body.truncate(written.body.len() - 2);
            written.body.extend_from_slice(b",\"stale\":true}}");
        }
        speller.value(program, &described, form) != Value::Unreadable
    }
}

/// The flag and form that a key names, by what finds flags.
fn find_by(key: &str, find: impl Fn(&str) -> Option<usize>) -> Option<Asked> {
    if let Some(flag) = find(key) {
        return Some(Asked { flag, form: Form::Bare });
    }
    let (suffix, form) = SUFFIXED.into_iter().find(|(suffix, _)| key.ends_with(suffix))?;
    let flag = find(&key[..key.len() - suffix.len()])?;
    Some(Asked { flag, form })
}

/// As Flagsmith's clients fold names.
fn fold(name: &str) -> String {
    name.to_lowercase().replace(' ', "_")
}

/// What stands, or does not, in the `value` member.
#[derive(Debug, PartialEq, Eq)]
enum Value<'a> {
    /// JSON.
    Json(Cow<'a, str>),
    /// Nothing: the default in the client's code holds.
    Absent,
    /// Text that was to be JSON and is not.
    Unreadable,
}

impl Speller {
    /// The forms of a flag whose value is not always that of a form before it.
    fn forms_that_differ(
        self,
        program: AnyProgram<'_>,
        flag: &FlagHeading<'_>,
        outcomes: &[Outcome<'_>],
    ) -> Vec<Form> {
        let values = |form| -> Vec<Value<'_>> {
            outcomes.iter().map(|outcome| self.value(program, outcome, form)).collect()
        };
        let mut forms = vec![Form::Bare];
        let mut known = vec![values(Form::Bare)];
        for (_, form) in SUFFIXED {
            let values = values(form);
            // A flag with variants that nobody gets is told to have no value.
            let says_something =
                flag.has_variants || values.iter().any(|value| matches!(value, Value::Json(_)));
            if says_something && !known.contains(&values) {
                forms.push(form);
                known.push(values);
            }
        }
        forms
    }

    /// The form that a form stands for.
    fn meant(self, program: AnyProgram<'_>, outcome: &Outcome<'_>, form: Form) -> Form {
        match (form, self.bare_key, program) {
            (Form::Bare, BareKey::Auto, AnyProgram::Flagsmith(_)) if outcome.value.is_some() => {
                Form::Value
            }
            (Form::Bare, BareKey::Auto | BareKey::Enabled, _) => Form::Enabled,
            (Form::Bare, BareKey::Value, _) => Form::Value,
            (form, ..) => form,
        }
    }

    fn value<'a>(self, program: AnyProgram<'_>, outcome: &Outcome<'a>, form: Form) -> Value<'a> {
        let form = self.meant(program, outcome, form);
        if form == Form::Enabled {
            return Value::Json(Cow::Borrowed(if outcome.enabled { "true" } else { "false" }));
        }
        if !outcome.enabled && matches!(program, AnyProgram::Flagsmith(_)) {
            return Value::Absent;
        }
        match form {
            Form::Variant => outcome.variant.map_or(Value::Absent, |variant| {
                let mut text = String::with_capacity(variant.len() + 2);
                write_string(variant, &mut text);
                Value::Json(Cow::Owned(text))
            }),
            Form::Json => outcome.value.map_or(Value::Absent, |value| match program {
                AnyProgram::Reflag(_) => Value::Json(Cow::Borrowed(value.get())),
                AnyProgram::Flagsmith(_) => read_json(value),
            }),
            _ => outcome.value.map_or(Value::Absent, |value| Value::Json(value.get().into())),
        }
    }

    /// Spells an evaluation under a key.
    fn spell_as(
        self,
        key: &str,
        program: AnyProgram<'_>,
        outcome: &Outcome<'_>,
        form: Form,
    ) -> String {
        let mut out = String::new();
        let value = self.value(program, outcome, form);
        if value == Value::Unreadable {
            let details = "the value of this flag is text that is not JSON";
            write_failure(Some(key), "PARSE_ERROR", details, &mut out);
            return out;
        }
        out.push_str("{\"key\":");
        write_string(key, &mut out);
        if let Value::Json(value) = &value {
            out.push_str(",\"value\":");
            out.push_str(value);
        }
        let reason = self.reason(program, outcome, form, value == Value::Absent);
        out.push_str(",\"reason\":\"");
        out.push_str(reason);
        out.push_str("\",\"variant\":");
        let on_or_off = match program {
            AnyProgram::Reflag(_) if outcome.enabled => "on",
            AnyProgram::Reflag(_) => "off",
            AnyProgram::Flagsmith(_) => "",
        };
        write_string(outcome.variant.unwrap_or(on_or_off), &mut out);
        out.push_str(",\"metadata\":");
        write_metadata(program.flag(outcome.flag), outcome, &mut out);
        out.push('}');
        out
    }

    fn reason(
        self,
        program: AnyProgram<'_>,
        outcome: &Outcome<'_>,
        form: Form,
        is_absent: bool,
    ) -> &'static str {
        let is_flagsmith = matches!(program, AnyProgram::Flagsmith(_));
        if is_flagsmith && !outcome.enabled {
            return "DISABLED";
        }
        if is_absent {
            return "DEFAULT";
        }
        let about_enabled = self.meant(program, outcome, form) == Form::Enabled;
        match if about_enabled { outcome.reason } else { outcome.value_reason } {
            Reason::Default | Reason::Circular => "DEFAULT",
            Reason::Static => "STATIC",
            Reason::Targeting(_) => "TARGETING_MATCH",
            Reason::Split(_) => "SPLIT",
        }
    }
}

impl Spell for Speller {
    type Form = Form;

    fn spell(&self, program: AnyProgram<'_>, outcome: OutcomeIndex, form: Form) -> String {
        let outcome = program.outcome(outcome);
        let key = [program.flag(outcome.flag).key, form.suffix()].concat();
        self.spell_as(&key, program, &outcome, form)
    }
}

/// A value of Flagsmith's as JSON: floats, objects and lists are text there.
fn read_json(value: &RawValue) -> Value<'_> {
    if !value.get().starts_with('"') {
        return Value::Json(value.get().into());
    }
    let text: String = serde_json::from_str(value.get()).unwrap_or_default();
    match serde_json::from_str::<&RawValue>(&text) {
        Ok(json) if json.get() == "null" => Value::Absent,
        Ok(json) => Value::Json(Cow::Owned(json.get().to_owned())),
        Err(_) => Value::Unreadable,
    }
}

/// What is known beside the value: scalars only, since clients drop the rest.
fn write_metadata(flag: FlagHeading<'_>, outcome: &Outcome<'_>, out: &mut String) {
    out.push('{');
    if let Some(version) = flag.version {
        out.push_str("\"flagVersion\":");
        out.push_str(itoa::Buffer::new().format(version));
        out.push(',');
    }
    if let Some(id) = flag.id {
        out.push_str("\"featureId\":");
        out.push_str(itoa::Buffer::new().format(id));
        out.push(',');
    }
    out.push_str("\"enabled\":");
    out.push_str(if outcome.enabled { "true" } else { "false" });
    match outcome.reason {
        Reason::Targeting(Some(segment)) => {
            out.push_str(",\"segment\":");
            write_string(segment, out);
        }
        Reason::Split(Some(weight)) => {
            out.push_str(",\"weight\":");
            match serde_json::from_str::<serde_json::Number>(weight) {
                Ok(_) => out.push_str(weight),
                Err(_) => write_string(weight, out),
            }
        }
        Reason::Circular => out.push_str(",\"code\":\"CIRCULAR_DEPENDENCY\""),
        Reason::Targeting(None) | Reason::Split(None) | Reason::Default | Reason::Static => {}
    }
    out.push('}');
}
