//! `burgee explain`

use std::fmt::Write;
use std::io::Read;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::Failure;
use super::configuration::ConfigArgument;
use super::output::{Plain, Table, count, grouped, print};
use super::rules::{self, Rules};
use crate::admin::explain::{AskedClass, ExplainError, Question, explain};
use crate::config::{self, Settings, did_you_mean, nearest};
use crate::model::BrokenFlag;
use crate::time::Clock;

/// Options of `burgee explain`.
#[derive(Debug, Args)]
#[command(after_help = "\
Reads the rules from their source: no server has to run. With --flag it shows each condition with
the value that it met; without, one line for each flag.

Examples:
  burgee explain --context '{\"company\":{\"id\":\"acme-corp\"}}'
  burgee explain --flag new-checkout --context @context.json
  burgee explain --config burgee.toml --environment production --now 2026-12-24T18:00:00Z \\
      --key-class publishable --json --context '{\"user\":{\"id\":\"ada\",\"orders\":2}}'")]
pub(super) struct Explain {
    #[command(flatten)]
    config: ConfigArgument,
    /// Which environment; may be left out when there is only one
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    /// The evaluation context, {"user":{},"company":{},"other":{}}: JSON, @FILE, or @- for
    /// standard input
    #[arg(long, value_name = "JSON|@FILE")]
    context: String,
    /// Only this flag, in full
    #[arg(long, value_name = "KEY")]
    flag: Option<String>,
    /// The moment, for rules that depend on time [default: now]
    #[arg(long, value_name = "RFC3339")]
    now: Option<String>,
    /// Print the document that POST /explain answers
    #[arg(long)]
    json: bool,
    /// Whose answers are shown
    #[arg(long, value_name = "CLASS", default_value = "secret")]
    key_class: Class,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Class {
    /// What servers see: everything
    Secret,
    /// What browsers see: not the secret flags
    Publishable,
}

impl Explain {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let context = read_context(&self.context)?;
        let settings = self.config.load()?.settings;
        let environment = choose(&settings, self.environment.as_deref())?;
        let clock = Clock::System;
        let rules = rules::read(&settings, environment, clock.now()).map_err(|failure| {
            let what = format!("{} has no flags: {}", environment.name, Plain(&failure.message));
            Failure::Refused(what)
        })?;
        let question = Question {
            environment: environment.name.clone(),
            context,
            flag: self.flag,
            key_class: Some(match self.key_class {
                Class::Secret => AskedClass::Secret,
                Class::Publishable => AskedClass::Publishable,
            }),
            now: self.now,
        };
        let answer = explain(&rules.content, &rules.profile, &question, clock.now())
            .map_err(|error| complaint(&rules, &error))?;
        if self.json {
            print(&format!("{answer}\n"))?;
            return Ok(ExitCode::SUCCESS);
        }
        let explanation = Explanation::deserialize(&answer)
            .map_err(|error| Failure::Refused(format!("the explanation is not one: {error}")))?;
        print(&match (&question.flag, explanation.flags.as_slice()) {
            (Some(_), [flag]) => details(&explanation, flag, self.key_class),
            _ => list(&explanation, &rules.broken, self.key_class),
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Longest context that is read from a file: far beyond what a request may send.
const LONGEST_CONTEXT: u64 = 16 << 20;

fn read_context(argument: &str) -> Result<Box<RawValue>, Failure> {
    let usage = |what: String| Failure::Usage(format!("--context: {what}"));
    let text = match argument.strip_prefix('@') {
        None => argument.to_owned(),
        Some(path) => {
            let unreadable = |error| usage(format!("cannot read {path}: {error}"));
            let input: Box<dyn Read> = if path == "-" {
                Box::new(std::io::stdin())
            } else {
                Box::new(std::fs::File::open(path).map_err(unreadable)?)
            };
            let mut text = String::new();
            input.take(LONGEST_CONTEXT).read_to_string(&mut text).map_err(unreadable)?;
            text
        }
    };
    RawValue::from_string(text.trim().to_owned()).map_err(|error| {
        usage(format!(
            "this is not JSON: {error}; try --context '{{\"company\":{{\"id\":\"1\"}}}}'"
        ))
    })
}

fn choose<'s>(
    settings: &'s Settings,
    name: Option<&str>,
) -> Result<&'s config::Environment, Failure> {
    let environments = &settings.environments;
    let names: Vec<&str> = environments.iter().map(|e| e.name.as_str()).collect();
    let names = names.join(", ");
    match (name, environments.as_slice()) {
        (None, [only]) => Ok(only),
        (None, []) => Err(Failure::Usage(
            "the configuration lists no environment: what is discovered is known only to a process \
             that runs; ask its admin port, POST /explain"
                .to_owned(),
        )),
        (None, _) => {
            Err(Failure::Usage(format!("say which environment with --environment: one of {names}")))
        }
        (Some(name), _) => environments.iter().find(|e| e.name == name).ok_or_else(|| {
            Failure::Usage(format!("there is no environment {name:?}, only {names}"))
        }),
    }
}

fn complaint(rules: &Rules, error: &ExplainError) -> Failure {
    Failure::Usage(match error {
        ExplainError::UnknownFlag(key) => {
            if let Some(broken) = rules.broken.iter().find(|broken| broken.flag == *key) {
                let what = format!("the flag {key:?} is quarantined: {}", Plain(&broken.reason));
                return Failure::Refused(what);
            }
            let flags = rules.content.reflag().map_or(&[][..], |content| &content.ruleset.flags);
            let near = nearest(key, flags.iter().map(|flag| &*flag.key));
            let near = near.map(|near| format!("; {}", did_you_mean(near))).unwrap_or_default();
            format!("there is no flag {key:?} in {}{near}", rules.profile.name)
        }
        ExplainError::Now(text) => {
            format!("--now: {text:?} is no instant such as 2026-12-24T18:00:00Z")
        }
        ExplainError::Context(error) => format!("--context: {error}"),
        ExplainError::OtherRules => return Failure::Refused(error.to_string()),
    })
}

/// The answer of `/explain`, as far as it is shown.
#[derive(Debug, Deserialize)]
struct Explanation {
    environment: String,
    version: u64,
    now: String,
    flags: Vec<Flag>,
}

#[derive(Debug, Deserialize)]
struct Flag {
    key: String,
    enabled: bool,
    variant: Option<String>,
    value: Value,
    reason: String,
    visible_to_publishable: bool,
    rules: Vec<Rule>,
    variants: Vec<Rule>,
    missing_attributes: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Rule {
    index: usize,
    /// Of a variant.
    key: Option<String>,
    matched: bool,
    logic: String,
    conditions: Vec<Condition>,
}

#[derive(Debug, Deserialize)]
struct Condition {
    attribute: Option<String>,
    operator: String,
    operand: Option<Vec<Value>>,
    actual: Value,
    matched: bool,
    missing: bool,
    /// Of a rollout.
    hash: Option<u32>,
}

impl Flag {
    fn on(&self) -> &'static str {
        if self.enabled { "on" } else { "off" }
    }
}

/// One line for each flag.
fn list(explanation: &Explanation, broken: &[BrokenFlag], class: Class) -> String {
    let flags = &explanation.flags;
    let mut text = String::new();
    let on = flags.iter().filter(|flag| flag.enabled).count();
    let _ = writeln!(text, "{}", heading(explanation, class));
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
        if !flag.missing_attributes.is_empty() {
            notes.push(format!("missing {}", flag.missing_attributes.join(", ")));
        }
        table.row([
            &Plain(&flag.key),
            &flag.on(),
            &Plain(flag.variant.as_deref().unwrap_or("-")),
            &flag.reason,
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

fn heading(explanation: &Explanation, class: Class) -> String {
    let class = match class {
        Class::Secret => "secret",
        Class::Publishable => "publishable",
    };
    let Explanation { environment, version, now, .. } = explanation;
    format!("{environment} version {version} at {now}, with a {class} key")
}

/// Everything about one flag.
fn details(explanation: &Explanation, flag: &Flag, class: Class) -> String {
    let mut text = String::new();
    let (key, on) = (Plain(&flag.key), flag.on().to_uppercase());
    let _ = writeln!(text, "{key} is {on}: {}", flag.reason);
    let _ = writeln!(text, "{}\n", heading(explanation, class));
    let mut table = Table::new(0);
    table.row([&"variant", &Plain(flag.variant.as_deref().unwrap_or("none"))]);
    table.row([&"value", &Plain(&flag.value.to_string())]);
    let visible = match (flag.visible_to_publishable, class) {
        (true, _) => "visible to publishable keys",
        (false, Class::Secret) => "hidden from publishable keys",
        (false, Class::Publishable) => "hidden: with a publishable key there is no such flag",
    };
    table.row([&"secrecy", &visible]);
    let missing = match flag.missing_attributes.as_slice() {
        [] => "nothing that was asked for".to_owned(),
        names => names.join(", "),
    };
    table.row([&"missing", &Plain(&missing)]);
    let _ = write!(text, "{table}");
    rules("rules: on when one matches", &flag.rules, &mut text);
    if !flag.variants.is_empty() {
        rules("variants: the first that matches", &flag.variants, &mut text);
    }
    text
}

fn rules(title: &str, rules: &[Rule], text: &mut String) {
    let _ = writeln!(text, "\n{title}");
    if rules.is_empty() {
        text.push_str("  there are none\n");
    }
    for rule in rules {
        let matched = if rule.matched { "matched" } else { "not matched" };
        let name = rule.key.as_ref().map_or(String::new(), |key| format!(" {}", Plain(key)));
        let _ = writeln!(text, "  #{}{name} {matched}: {}", rule.index, rule.logic);
        let mut table = Table::new(4);
        for (index, condition) in rule.conditions.iter().enumerate() {
            let holds = if condition.matched { "yes" } else { "no" };
            let (asked, met) = (condition.asked(), condition.met());
            table.row([&format!("c{index}"), &holds, &Plain(&asked), &Plain(&met)]);
        }
        let _ = write!(text, "{table}");
    }
}

/// The operator of a rollout in an explanation.
const ROLLOUT: &str = "rolloutPercentage";
/// So many operands are shown; the JSON form has all.
const OPERANDS: usize = 8;

impl Condition {
    /// What the rule asks for.
    fn asked(&self) -> String {
        let Some(attribute) = &self.attribute else {
            return format!("filter type {:?} is not known here", self.operator);
        };
        let operands = self.operand.as_deref().unwrap_or_default();
        if self.operator == ROLLOUT {
            let threshold = operands.first().and_then(Value::as_f64);
            let threshold = threshold.map_or("?".to_owned(), |t| percent(t).to_string());
            return format!("{attribute} rolled out to {threshold} %");
        }
        let shown: Vec<_> = operands.iter().take(OPERANDS).map(Value::to_string).collect();
        let mut text = format!("{attribute} {} {}", self.operator, shown.join(", "));
        if operands.len() > OPERANDS {
            let _ = write!(text, " and {} more", grouped(operands.len() - OPERANDS));
        }
        text.trim_end().to_owned()
    }

    /// What the context has.
    fn met(&self) -> String {
        if self.attribute.is_none() {
            return String::new();
        }
        if self.missing {
            return "MISSING".to_owned();
        }
        let actual = format!("is {}", self.actual);
        let threshold = self.operand.as_deref().and_then(|o| o.first()).and_then(Value::as_f64);
        match (self.hash, threshold) {
            (Some(hash), Some(threshold)) => {
                let hash = f64::from(hash);
                let relation = if hash < threshold { "below" } else { "not below" };
                let (hash, threshold) = (percent(hash), percent(threshold));
                format!("{actual}, which hashes to {hash} %: {relation} {threshold} %")
            }
            _ => actual,
        }
    }
}

/// Thousandths of a percent, as rollouts count, in percent.
fn percent(thousandths: f64) -> f64 {
    thousandths / 1_000.0
}
