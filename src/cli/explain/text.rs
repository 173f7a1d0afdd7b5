//! An explanation as people read it.

use std::fmt::Write;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::Class;
use crate::cli::output::{Plain, Table, count, grouped};
use crate::model::BrokenFlag;

/// The answer of `/explain`, as far as it is shown.
#[derive(Debug, Deserialize)]
pub(super) struct Explanation {
    pub(super) environment: String,
    pub(super) version: u64,
    pub(super) now: String,
    semantics: Semantics,
    identity: Option<Identity>,
    /// Of Flagsmith's rules: whether segments apply to whoever asks.
    applies_segments: Option<bool>,
    pub(super) flags: Vec<Flag>,
}

/// Whose rules they are.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Semantics {
    Reflag,
    Flagsmith,
}

/// Whom Flagsmith's rules are asked about.
#[derive(Debug, Deserialize)]
struct Identity {
    identifier: String,
    anonymous: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct Flag {
    pub(super) key: String,
    pub(super) enabled: bool,
    pub(super) variant: Option<String>,
    pub(super) value: Value,
    pub(super) reason: String,
    pub(super) visible_to_publishable: bool,
    pub(super) rules: Vec<Rule>,
    pub(super) variants: Vec<Variant>,
    #[serde(rename = "override")]
    pub(super) overriding: Option<String>,
    #[serde(default)]
    pub(super) depends_on: Vec<String>,
    pub(super) missing_attributes: Vec<String>,
    pub(super) dialects: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Rule {
    pub(super) index: usize,
    pub(super) matched: bool,
    pub(super) logic: String,
    pub(super) conditions: Vec<Condition>,
    /// The segment's name, where rules are segments, and what it makes of the flag.
    pub(super) segment: Option<String>,
    pub(super) enabled: Option<bool>,
    pub(super) value: Option<Value>,
    pub(super) note: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Variant {
    pub(super) index: usize,
    pub(super) key: Option<String>,
    pub(super) matched: bool,
    pub(super) logic: String,
    pub(super) conditions: Vec<Condition>,
    /// Where variants are shares: which part of 100 % is this one's, and where the identity falls.
    pub(super) from: Option<f64>,
    pub(super) to: Option<f64>,
    pub(super) hash: Option<f64>,
    pub(super) value: Option<Value>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Condition {
    pub(super) attribute: Option<String>,
    pub(super) operator: String,
    pub(super) operand: Option<Vec<Value>>,
    pub(super) actual: Value,
    pub(super) matched: bool,
    pub(super) missing: bool,
    /// Of a rollout.
    pub(super) hash: Option<f64>,
    pub(super) threshold: Option<f64>,
}

impl Flag {
    pub(super) fn on(&self) -> &'static str {
        if self.enabled { "on" } else { "off" }
    }

    /// Whether the identity itself decides. A segment may have that name, too.
    pub(super) fn is_overridden_by_identity(&self) -> bool {
        self.overriding.as_deref() == Some("identity")
            && !self.rules.iter().any(|rule| rule.decides_as("identity"))
    }
}

impl Explanation {
    /// One line for each flag.
    pub(super) fn list(&self, broken: &[BrokenFlag], class: Class) -> String {
        let flags = &self.flags;
        let mut text = String::new();
        let on = flags.iter().filter(|flag| flag.enabled).count();
        let _ = writeln!(text, "{}", self.heading(class));
        if self.semantics == Semantics::Flagsmith {
            let _ = writeln!(text, "asked about {}", Plain(&self.who()));
        }
        let _ = writeln!(
            text,
            "{}: {} on, {} off\n",
            count(flags.len(), "flag"),
            grouped(on),
            grouped(flags.len() - on)
        );
        let mut table = Table::with_header(0, ["FLAG", "IS", "VARIANT", "REASON", ""]);
        for flag in flags {
            let mut notes = Vec::new();
            if !flag.visible_to_publishable {
                notes.push("hidden from publishable keys".to_owned());
            }
            if !flag.missing_attributes.is_empty() && self.applies_segments != Some(false) {
                notes.push(format!("missing {}", flag.missing_attributes.join(", ")));
            }
            table.row([
                &Plain(&flag.key),
                &flag.on(),
                &Plain(flag.variant.as_deref().unwrap_or("-")),
                &Plain(&flag.reason),
                &Plain(&notes.join("; ")),
            ]);
        }
        let _ = write!(text, "{table}");
        if !broken.is_empty() {
            let _ = writeln!(text, "\nquarantined: {} left out", count(broken.len(), "flag"));
        }
        for broken in broken {
            let _ = writeln!(text, "  {}: {}", Plain(&broken.flag), Plain(&broken.reason));
        }
        text.push_str("\n--flag KEY shows each condition with the value that it met.\n");
        text
    }

    pub(super) fn heading(&self, class: Class) -> String {
        let class = match class {
            Class::Secret => "secret",
            Class::Publishable => "publishable",
        };
        let Self { environment, version, now, .. } = self;
        format!("{environment} version {version} at {now}, with a {class} key")
    }

    /// Whom Flagsmith's rules were asked about.
    fn who(&self) -> String {
        match (&self.identity, self.applies_segments) {
            (Some(Identity { identifier, anonymous: false }), _) => identifier.clone(),
            (Some(Identity { identifier, anonymous: true }), _) => {
                format!("{identifier}, made from the traits: no identifier was given")
            }
            (None, Some(true)) => "nobody: no identifier was given".to_owned(),
            (None, _) => "nobody: no identifier was given, so no segment applies".to_owned(),
        }
    }

    /// Everything about one flag.
    pub(super) fn details(&self, flag: &Flag, class: Class) -> String {
        let mut text = String::new();
        let (key, on) = (Plain(&flag.key), flag.on().to_uppercase());
        let _ = writeln!(text, "{key} is {on}: {}", Plain(&flag.reason));
        let _ = writeln!(text, "{}\n", self.heading(class));
        let _ = write!(text, "{}", self.facts(flag, class));
        match self.semantics {
            Semantics::Reflag => rules("rules: on when one matches", &flag.rules, &mut text),
            Semantics::Flagsmith => {
                rules("segments: the first that matches decides", &flag.rules, &mut text);
            }
        }
        if !flag.variants.is_empty() {
            variants(&flag.variants, &mut text);
        }
        text.push_str("\nanswered as\n");
        let mut answers = Table::new(2);
        for (dialect, answer) in &flag.dialects {
            let answer = match answer {
                Value::Null => "nothing: the key may not see it".to_owned(),
                answer => short(answer, 120),
            };
            answers.row([&Plain(dialect), &Plain(&answer)]);
        }
        let _ = write!(text, "{answers}");
        text
    }

    fn facts(&self, flag: &Flag, class: Class) -> Table {
        let mut table = Table::new(0);
        if self.semantics == Semantics::Flagsmith {
            table.row([&"identity", &Plain(&self.who())]);
            table.row([&"decided by", &Plain(&decided_by(flag))]);
        }
        table.row([&"variant", &Plain(flag.variant.as_deref().unwrap_or("none"))]);
        table.row([&"value", &Plain(&flag.value.to_string())]);
        let visible = match (flag.visible_to_publishable, class) {
            (true, _) => "visible to publishable keys",
            (false, Class::Secret) => "hidden from publishable keys",
            (false, Class::Publishable) => "hidden: with a publishable key there is no such flag",
        };
        table.row([&"secrecy", &visible]);
        if self.applies_segments != Some(false) {
            let missing = match flag.missing_attributes.as_slice() {
                [] => "nothing that was asked for".to_owned(),
                names => names.join(", "),
            };
            table.row([&"missing", &Plain(&missing)]);
        }
        if !flag.depends_on.is_empty() {
            table.row([&"depends on", &Plain(&flag.depends_on.join(", "))]);
        }
        table
    }
}

/// Who gave a Flagsmith flag its state.
fn decided_by(flag: &Flag) -> String {
    match flag.overriding.as_deref() {
        None => "the environment: nothing overrides it here".to_owned(),
        Some(_) if flag.is_overridden_by_identity() => {
            "the identity itself, before all segments".to_owned()
        }
        Some(segment) => format!("segment {segment}"),
    }
}

impl Rule {
    fn decides_as(&self, name: &str) -> bool {
        self.matched && self.segment.as_deref() == Some(name)
    }
}

fn rules(title: &str, rules: &[Rule], text: &mut String) {
    let _ = writeln!(text, "\n{title}");
    if rules.is_empty() {
        text.push_str("  there are none\n");
    }
    for rule in rules {
        let matched = if rule.matched { "matched" } else { "not matched" };
        let name = rule.segment.as_ref().map_or(String::new(), |name| format!(" {}", Plain(name)));
        let _ = writeln!(text, "  #{}{name} {matched}: {}", rule.index, rule.logic);
        if let Some(note) = &rule.note {
            let _ = writeln!(text, "    {}", Plain(note));
        }
        if let (Some(enabled), Some(value)) = (rule.enabled, &rule.value) {
            let makes = if rule.matched { "makes" } else { "would make" };
            let on = if enabled { "on" } else { "off" };
            let _ = writeln!(text, "    {makes} it {on}, value {}", Plain(&value.to_string()));
        }
        let _ = write!(text, "{}", conditions(&rule.conditions));
    }
}

fn variants(variants: &[Variant], text: &mut String) {
    let share = variants.iter().find_map(|variant| variant.from.zip(variant.hash));
    let title = match (share, variants[0].from) {
        (Some((_, hash)), _) => {
            format!("variants: drawn by hash, {} % for this identity", rounded(hash))
        }
        (None, Some(_)) => "variants: drawn for an identity, of which there is none".to_owned(),
        (None, None) => "variants: the first that matches".to_owned(),
    };
    let _ = writeln!(text, "\n{title}");
    for variant in variants {
        let name = variant.key.as_ref().map_or(String::new(), |key| format!(" {}", Plain(key)));
        let index = variant.index;
        if let (Some(from), Some(to)) = (variant.from, variant.to) {
            let drawn = if variant.matched { "drawn" } else { "not drawn" };
            let value = variant.value.clone().unwrap_or_default().to_string();
            let (from, to) = (rounded(from), rounded(to));
            let _ = writeln!(
                text,
                "  #{index}{name} {drawn}: {from} to {to} %, value {}",
                Plain(&value)
            );
        } else {
            let matched = if variant.matched { "matched" } else { "not matched" };
            let _ = writeln!(text, "  #{index}{name} {matched}: {}", variant.logic);
        }
        let _ = write!(text, "{}", conditions(&variant.conditions));
    }
}

fn conditions(conditions: &[Condition]) -> Table {
    let mut table = Table::new(4);
    for (index, condition) in conditions.iter().enumerate() {
        let holds = if condition.matched { "yes" } else { "no" };
        let (asked, met) = (condition.asked(), condition.met());
        table.row([&format!("c{index}"), &holds, &Plain(&asked), &Plain(&met)]);
    }
    table
}

/// The operator of a rollout in an explanation of Reflag's rules.
const ROLLOUT: &str = "rolloutPercentage";
/// The same in one of Flagsmith's.
const SPLIT: &str = "PERCENTAGE_SPLIT";
/// So many operands are shown; the JSON form has all.
const OPERANDS: usize = 8;

impl Condition {
    /// What the rule asks for.
    pub(super) fn asked(&self) -> String {
        let Some(attribute) = &self.attribute else {
            return format!("filter type {:?} is not known here", self.operator);
        };
        if [ROLLOUT, SPLIT].contains(&&*self.operator) {
            let threshold = self.share().map_or("?".to_owned(), |share| share.to_string());
            return format!("{attribute} rolled out to {threshold} %");
        }
        let operands = match &*self.operator {
            // They have an operand, and nobody looks at it.
            "IS_SET" | "IS_NOT_SET" => &[],
            _ => self.operand.as_deref().unwrap_or_default(),
        };
        let shown: Vec<_> = operands.iter().take(OPERANDS).map(Value::to_string).collect();
        let mut text = format!("{attribute} {} {}", self.operator, shown.join(", "));
        if operands.len() > OPERANDS {
            let _ = write!(text, " and {} more", grouped(operands.len() - OPERANDS));
        }
        text.trim_end().to_owned()
    }

    /// The rollout's share in percent.
    fn share(&self) -> Option<f64> {
        let first = self.operand.as_deref().and_then(|operands| operands.first());
        self.threshold.or_else(|| Some(first?.as_f64()? / THOUSANDTHS))
    }

    /// What the context has.
    pub(super) fn met(&self) -> String {
        if self.attribute.is_none() {
            return String::new();
        }
        if self.missing {
            return "MISSING".to_owned();
        }
        let actual = format!("is {}", self.actual);
        let (Some(hash), Some(share)) = (self.hash, self.share()) else { return actual };
        let (hash, relation) = if self.operator == SPLIT {
            // The share's own end belongs to it.
            (rounded(hash), if hash <= share { "within" } else { "beyond" })
        } else {
            let hash = hash / THOUSANDTHS;
            (hash, if hash < share { "below" } else { "not below" })
        };
        format!("{actual}, which hashes to {hash} %: {relation} {share} %")
    }
}

/// Reflag's rollouts count in thousandths of a percent.
const THOUSANDTHS: f64 = 1_000.0;

/// The start of a value; the JSON form has all of it.
pub(super) fn short(value: &Value, longest: usize) -> String {
    let text = value.to_string();
    match text.char_indices().nth(longest) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// A percentage to three places.
fn rounded(percentage: f64) -> f64 {
    (percentage * 1_000.0).round() / 1_000.0
}
