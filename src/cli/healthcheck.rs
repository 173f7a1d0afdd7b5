//! `burgee healthcheck`

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use hyper::StatusCode;
use serde::Deserialize;

use super::Failure;
use super::configuration::AdminArgument;
use super::output::{Plain, print};

/// Options of `burgee healthcheck`.
#[derive(Debug, Args)]
#[command(after_help = "\
Asks GET /health/ready within 3 seconds, prints one line, and exits with 0 when the process is ready
and with 1 when it is not. A URL with a path is asked as it is.

Examples:
  HEALTHCHECK CMD [\"/burgee\", \"healthcheck\"]
  burgee healthcheck --url http://127.0.0.1:8001/health/ready/production")]
pub(super) struct Healthcheck {
    #[command(flatten)]
    admin: AdminArgument,
}

/// Container engines wait longer than this before they give a process up.
const PATIENCE: Duration = Duration::from_secs(3);

impl Healthcheck {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let (line, code) = match self.ask() {
            Ok(()) => ("ready".to_owned(), ExitCode::SUCCESS),
            Err(why) => (format!("not ready: {}", Plain(&why)), ExitCode::FAILURE),
        };
        print(&format!("{line}\n"))?;
        Ok(code)
    }

    /// Why it is not ready. Whatever keeps us from asking counts as that: a container engine knows
    /// two answers only.
    fn ask(&self) -> Result<(), String> {
        let endpoint = match self.admin.find() {
            Ok(admin) => admin.endpoint,
            Err(Failure::Usage(message) | Failure::Refused(message)) => {
                return Err(message.lines().next().unwrap_or_default().to_owned());
            }
        };
        let path = if endpoint.path.is_empty() { "/health/ready" } else { "" };
        let reply = endpoint
            .get(path, None, PATIENCE)
            .map_err(|error| format!("cannot ask {endpoint}: {error}"))?;
        let health: Health = serde_json::from_slice(&reply.body).unwrap_or_default();
        if reply.status == StatusCode::OK && health.ready {
            return Ok(());
        }
        let unready = health.environments.iter().filter(|(_, environment)| !environment.ready);
        let unready: Vec<_> = unready.map(|(name, e)| format!("{name} is {}", e.state)).collect();
        Err(match (unready.as_slice(), health.state, health.environments.is_empty()) {
            (_, Some(state), _) => format!("the environment is {state}"),
            ([], None, true) => format!("{endpoint} answered {}", reply.status.as_u16()),
            ([], None, false) => "the process is ending".to_owned(),
            (unready, None, _) => unready.join(", "),
        })
    }
}

/// The answer of `/health/ready`, or of `/health/ready/NAME`.
#[derive(Debug, Default, Deserialize)]
struct Health {
    ready: bool,
    /// Of one environment.
    state: Option<String>,
    #[serde(default)]
    environments: BTreeMap<String, Environment>,
}

#[derive(Debug, Deserialize)]
struct Environment {
    ready: bool,
    state: String,
}
