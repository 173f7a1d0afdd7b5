//! `burgee explain`

mod text;

use std::io::Read;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde::Deserialize;
use serde_json::value::RawValue;

use text::Explanation;

use super::Failure;
use super::configuration::ConfigArgument;
use super::output::{Plain, print};
use super::rules::{self, Rules};
use crate::admin::explain::{AskedClass, ExplainError, Question, explain};
use crate::config::{self, Settings, did_you_mean, nearest};
use crate::snapshot::Family;
use crate::time::Clock;

/// Options of `burgee explain`.
#[derive(Debug, Args)]
#[command(after_help = "\
Reads the rules from their source: no server has to run. With --flag it shows each condition with
the value that it met; without, one line for each flag.

Examples:
  burgee explain --context '{\"company\":{\"id\":\"acme-corp\"}}'
  burgee explain --flag new-checkout --context @context.json
  burgee explain --flag banner --context '{\"identifier\":\"ada\",\"traits\":{\"plan\":\"gold\"}}'
  burgee explain --config burgee.toml --environment production --now 2026-12-24T18:00:00Z \\
      --key-class publishable --json --context '{\"user\":{\"id\":\"ada\",\"orders\":2}}'")]
pub(super) struct Explain {
    #[command(flatten)]
    config: ConfigArgument,
    /// Which environment; may be left out when there is only one
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    /// The evaluation context, {"user":{},"company":{},"other":{}}, or for rules of Flagsmith
    /// {"identifier":"","traits":{}}: JSON, @FILE, or @- for standard input
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
            (Some(_), [flag]) => explanation.details(flag, self.key_class),
            _ => explanation.list(&rules.broken, self.key_class),
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
        ExplainError::UnknownFlag(key) => return unknown_flag(rules, key),
        ExplainError::Now(text) => {
            format!("--now: {text:?} is no instant such as 2026-12-24T18:00:00Z")
        }
        ExplainError::Context(error) => format!("--context: {error}"),
        ExplainError::Identity(what) => format!("--context: {what}"),
    })
}

fn unknown_flag(rules: &Rules, key: &str) -> Failure {
    // The parts of a Flagsmith document are of several kinds.
    let names = [key, &format!("feature `{key}`")];
    if let Some(broken) = rules.broken.iter().find(|broken| names.contains(&&*broken.flag)) {
        let what = format!("the flag {key:?} is quarantined: {}", Plain(&broken.reason));
        return Failure::Refused(what);
    }
    let near = match &rules.content.family {
        Family::Reflag(rules) => nearest(key, rules.ruleset.flags.iter().map(|flag| &*flag.key)),
        Family::Flagsmith(rules) => {
            nearest(key, rules.program.features.iter().map(|feature| &*feature.name))
        }
    };
    let near = near.map(|near| format!("; {}", did_you_mean(near))).unwrap_or_default();
    Failure::Usage(format!("there is no flag {key:?} in {}{near}", rules.profile.name))
}
