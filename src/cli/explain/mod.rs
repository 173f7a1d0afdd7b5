//! `burgee explain`

mod difference;
mod live;
mod text;

use std::io::Read;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use live::Process;
use text::Explanation;

use super::Failure;
use super::configuration::ConfigArgument;
use super::output::{Plain, print};
use super::rules::{self, Rules};
use crate::admin::explain::{AskedClass, ExplainError, Question, explain};
use crate::config::{self, Settings, did_you_mean, nearest};
use crate::model::BrokenFlag;
use crate::snapshot::Family;
use crate::time::Clock;

/// Options of `burgee explain`.
#[derive(Debug, Args)]
#[command(after_help = "\
Reads the rules from their source: no server has to run. With --url it asks a process that runs, about
the rules that it serves. With --flag it shows each condition with the value that it met; without, one
line for each flag; with --diff, for which flags two contexts differ and what parts them first.

Examples:
  burgee explain --context '{\"company\":{\"id\":\"acme-corp\"}}'
  burgee explain --flag new-checkout --context @context.json
  burgee explain --flag banner --context '{\"identifier\":\"ada\",\"traits\":{\"plan\":\"gold\"}}'
  burgee explain --config burgee.toml --environment production --now 2026-12-24T18:00:00Z \\
      --key-class publishable --json --context '{\"user\":{\"id\":\"ada\",\"orders\":2}}'
  burgee explain --url http://127.0.0.1:8001 --context @ada.json --diff @bob.json")]
pub(super) struct Explain {
    #[command(flatten)]
    config: ConfigArgument,
    #[arg(long, value_name = "ADMIN_URL", conflicts_with = "config")]
    #[arg(help = "Ask the process whose admin port this is, http://HOST:PORT or unix:/PATH")]
    url: Option<String>,
    /// Which environment; may be left out when there is only one
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    /// The evaluation context, {"user":{},"company":{},"other":{}}, or for rules of Flagsmith
    /// {"identifier":"","traits":{}}: JSON, @FILE, or @- for standard input
    #[arg(long, value_name = "JSON|@FILE")]
    context: String,
    /// Another context: show for which flags the two differ
    #[arg(long, value_name = "JSON|@FILE")]
    diff: Option<String>,
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
        let context = read_context("--context", &self.context)?;
        let other = self.diff.as_deref().map(|diff| read_context("--diff", diff)).transpose()?;
        let respondent = match &self.url {
            Some(url) => Respondent::Process(Process::at(url, self.environment.as_deref())?),
            None => self.read_rules()?,
        };
        let answer = respondent.explain(&self.question(&respondent, context), "--context")?;
        let Some(other) = other else { return self.show(&answer, &respondent) };
        let other = respondent.explain(&self.question(&respondent, other), "--diff")?;
        let (a, b) = (explanation(&answer)?, explanation(&other)?);
        print(&if self.json {
            format!("{}\n", difference::document(&a, &b))
        } else {
            difference::report(&a, &b, &a.heading(self.key_class))
        })?;
        Ok(ExitCode::SUCCESS)
    }

    fn read_rules(&self) -> Result<Respondent, Failure> {
        let settings = self.config.load()?.settings;
        let environment = choose(&settings, self.environment.as_deref())?;
        let rules = rules::read(&settings, environment, Clock::System.now());
        let rules = rules.map_err(|failure| {
            let what = format!("{} has no flags: {}", environment.name, Plain(&failure.message));
            Failure::Refused(what)
        })?;
        Ok(Respondent::Rules(Box::new(rules)))
    }

    fn question(&self, respondent: &Respondent, context: Box<RawValue>) -> Question {
        Question {
            environment: respondent.environment().to_owned(),
            context,
            flag: self.flag.clone(),
            key_class: Some(match self.key_class {
                Class::Secret => AskedClass::Secret,
                Class::Publishable => AskedClass::Publishable,
            }),
            now: self.now.clone(),
        }
    }

    fn show(&self, answer: &Value, respondent: &Respondent) -> Result<ExitCode, Failure> {
        if self.json {
            print(&format!("{answer}\n"))?;
            return Ok(ExitCode::SUCCESS);
        }
        let explanation = explanation(answer)?;
        print(&match (&self.flag, explanation.flags.as_slice()) {
            (Some(_), [flag]) => explanation.details(flag, self.key_class),
            _ => explanation.list(respondent.broken(), self.key_class),
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Who explains.
enum Respondent {
    /// This process, from rules that it has read.
    Rules(Box<Rules>),
    /// Another one, which serves them.
    Process(Process),
}

impl Respondent {
    fn environment(&self) -> &str {
        match self {
            Self::Rules(rules) => rules.profile.name.as_str(),
            Self::Process(process) => &process.environment,
        }
    }

    /// What is left out of the rules, where that is known.
    fn broken(&self) -> &[BrokenFlag] {
        match self {
            Self::Rules(rules) => &rules.broken,
            Self::Process(_) => &[],
        }
    }

    /// Asks. `argument` is where the context comes from.
    fn explain(&self, question: &Question, argument: &str) -> Result<Value, Failure> {
        match self {
            Self::Rules(rules) => {
                explain(&rules.content, &rules.profile, question, Clock::System.now())
                    .map_err(|error| complaint(rules, &error, argument))
            }
            Self::Process(process) => process.explain(question),
        }
    }
}

fn explanation(answer: &Value) -> Result<Explanation, Failure> {
    Explanation::deserialize(answer)
        .map_err(|error| Failure::Refused(format!("the explanation is not one: {error}")))
}

/// Longest context that is read from a file: far beyond what a request may send.
const LONGEST_CONTEXT: u64 = 16 << 20;

fn read_context(argument: &str, context: &str) -> Result<Box<RawValue>, Failure> {
    let usage = |what: String| Failure::Usage(format!("{argument}: {what}"));
    let text = match context.strip_prefix('@') {
        None => context.to_owned(),
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
            "this is not JSON: {error}; try {argument} '{{\"company\":{{\"id\":\"1\"}}}}'"
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
             that runs; ask its admin port, with --url"
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

fn complaint(rules: &Rules, error: &ExplainError, argument: &str) -> Failure {
    Failure::Usage(match error {
        ExplainError::UnknownFlag(key) => return unknown_flag(rules, key),
        ExplainError::Now(text) => {
            format!("--now: {text:?} is no instant such as 2026-12-24T18:00:00Z")
        }
        ExplainError::Context(error) => format!("{argument}: {error}"),
        ExplainError::Identity(what) => format!("{argument}: {what}"),
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
