//! `burgee status`

use std::fmt::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use hyper::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use super::Failure;
use super::client::{ClientError, Endpoint, Reply};
use super::configuration::AdminArgument;
use super::output::{Plain, Table, count, print};

/// Options of `burgee status`.
#[derive(Debug, Args)]
#[command(after_help = "\
Exits with 0 when the process is ready and with 1 when it is not or cannot be reached. From another
machine the admin port wants its token: set BURGEE_ADMIN_TOKEN.

Examples:
  burgee status
  burgee status --url http://10.0.0.5:8001 --json
  burgee status --url unix:/run/burgee/admin.sock")]
pub(super) struct Status {
    #[command(flatten)]
    admin: AdminArgument,
    /// Print the document as the process sent it
    #[arg(long)]
    json: bool,
}

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

impl Status {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let admin = self.admin.find()?;
        let reply = admin.endpoint.get("/status", admin.token.as_deref(), PATIENCE);
        let reply =
            reply.map_err(|error| Failure::Refused(unreachable(&admin.endpoint, &error)))?;
        if reply.status != StatusCode::OK {
            return Err(Failure::Refused(refusal(&admin.endpoint, &reply)));
        }
        let document: Document = serde_json::from_slice(&reply.body).map_err(|error| {
            let here = &admin.endpoint;
            Failure::Refused(format!("{here} does not answer as an admin port does: {error}"))
        })?;
        if self.json {
            print(&format!("{}\n", String::from_utf8_lossy(&reply.body).trim_end()))?;
        } else {
            print(&report(&document, &admin.endpoint))?;
        }
        Ok(if document.ready { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// Why nobody answers, and what to do.
pub(super) fn unreachable(endpoint: &Endpoint, error: &ClientError) -> String {
    let hint = match error {
        ClientError::Connect(_) => {
            "; is Burgee running? If its admin port is elsewhere, say where with --url, --config \
             or BURGEE_ADMIN_LISTEN"
        }
        ClientError::Exchange(_) => "; is this the admin port of a Burgee?",
        ClientError::Slow(_) => "; the process is stuck, or something on the way drops packets",
        ClientError::TooLong | ClientError::Token => "",
    };
    format!("cannot ask {endpoint}: {error}{hint}")
}

/// Why the admin port does not tell, and what to do.
pub(super) fn refusal(endpoint: &Endpoint, reply: &Reply) -> String {
    let error = serde_json::from_slice::<Value>(&reply.body).unwrap_or_default();
    let field = |name| error.pointer(name).and_then(Value::as_str).unwrap_or_default();
    let (code, message) = (field("/error/code"), field("/error/message"));
    let status = reply.status.as_u16();
    match code {
        "TOKEN_REQUIRED" => format!(
            "{endpoint} wants its token, since this is not the machine that it runs on: set \
             BURGEE_ADMIN_TOKEN to what its admin.token is"
        ),
        "FORBIDDEN" => format!(
            "{endpoint} has another token: set BURGEE_ADMIN_TOKEN to what its admin.token is"
        ),
        "FOREIGN_HOST" => format!(
            "{endpoint} answers without a token only if asked by address: name it by address, or \
             set BURGEE_ADMIN_TOKEN"
        ),
        _ => format!(
            "{endpoint} answered {status} {}; is this the admin port of a Burgee?",
            Plain(message)
        ),
    }
}

/// The answer of `/status`, as far as it is shown.
#[derive(Debug, Deserialize)]
struct Document {
    version: String,
    started_at: String,
    ready: bool,
    environments: Vec<Environment>,
    #[serde(default)]
    discover: Vec<Discovery>,
}

/// A list that environments are discovered in.
#[derive(Debug, Deserialize)]
struct Discovery {
    name: String,
    url: String,
    consecutive_failures: u64,
    last_error: Option<LastError>,
    environments: usize,
    #[serde(default)]
    diagnostics: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Environment {
    name: String,
    state: String,
    version: u64,
    fingerprint: String,
    age_seconds: Option<f64>,
    last_change_at: Option<String>,
    source: Source,
    flags: usize,
    quarantined: Vec<Quarantined>,
    #[serde(default)]
    diagnostics: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Source {
    #[serde(rename = "type")]
    kind: String,
    url: String,
    #[serde(default)]
    stream: String,
    stream_error: Option<LastError>,
    consecutive_failures: u64,
    last_error: Option<LastError>,
}

#[derive(Debug, Deserialize)]
struct LastError {
    at: String,
    kind: String,
    message: String,
}

#[derive(Debug, Deserialize)]
struct Quarantined {
    flag: String,
    reason: String,
    since: String,
}

fn report(document: &Document, endpoint: &Endpoint) -> String {
    let ready = if document.ready { "ready" } else { "NOT READY" };
    let mut text = format!(
        "burgee {} at {endpoint}: {ready}, started {}\n\n",
        Plain(&document.version),
        Plain(&document.started_at)
    );
    let header = [
        "ENVIRONMENT",
        "STATE",
        "VERSION",
        "FINGERPRINT",
        "AGE",
        "FLAGS",
        "QUARANTINED",
        "STREAM",
        "CHANGED",
    ];
    let mut table = Table::with_header(0, header);
    for environment in &document.environments {
        table.row([
            &Plain(&environment.name),
            &Plain(&environment.state),
            &environment.version,
            &Plain(&environment.fingerprint),
            &age(environment.age_seconds),
            &environment.flags,
            &environment.quarantined.len(),
            &Plain(&environment.source.stream),
            &Plain(environment.last_change_at.as_deref().unwrap_or("never")),
        ]);
    }
    let _ = write!(text, "{table}");
    for discovery in &document.discover {
        text.push_str(&discovered(discovery));
    }
    for environment in &document.environments {
        text.push_str(&troubles(environment));
    }
    text
}

fn discovered(discovery: &Discovery) -> String {
    let environments = count(discovery.environments, "environment");
    let (name, url) = (Plain(&discovery.name), Plain(&discovery.url));
    let mut text = format!("\ndiscover {name}: {environments} from {url}\n");
    if let Some(error) = &discovery.last_error {
        let failures = usize::try_from(discovery.consecutive_failures).unwrap_or(usize::MAX);
        let _ = writeln!(
            text,
            "  {} since the last good look\n  {} {}: {}",
            count(failures, "failure"),
            Plain(&error.at),
            Plain(&error.kind),
            Plain(&error.message)
        );
    }
    for line in &discovery.diagnostics {
        let _ = writeln!(text, "  not served: {}", Plain(line));
    }
    text
}

fn age(seconds: Option<f64>) -> String {
    match seconds {
        Some(seconds) => Duration::try_from_secs_f64(seconds.floor())
            .map_or_else(|_| "?".to_owned(), |age| humantime::format_duration(age).to_string()),
        None => "unknown".to_owned(),
    }
}

/// What somebody may have to mend; empty when all is well.
fn troubles(environment: &Environment) -> String {
    let mut text = String::new();
    let name = Plain(&environment.name);
    let source = &environment.source;
    if let Some(error) = &source.last_error {
        let _ = writeln!(
            text,
            "\n{name}: {} since the last good look at the {} {}\n  {} {}: {}",
            count(usize::try_from(source.consecutive_failures).unwrap_or(usize::MAX), "failure"),
            Plain(&source.kind),
            Plain(&source.url),
            Plain(&error.at),
            Plain(&error.kind),
            Plain(&error.message)
        );
    }
    if let Some(error) = &source.stream_error {
        let _ = writeln!(
            text,
            "\n{name}: event stream {}, changes are found by polling\n  {} {}: {}",
            Plain(&source.stream),
            Plain(&error.at),
            Plain(&error.kind),
            Plain(&error.message)
        );
    }
    if !environment.quarantined.is_empty() {
        let flags = count(environment.quarantined.len(), "flag");
        let _ = writeln!(text, "\n{name}: {flags} quarantined");
    }
    for Quarantined { flag, reason, since } in &environment.quarantined {
        let (flag, reason, since) = (Plain(flag), Plain(reason), Plain(since));
        let _ = writeln!(text, "  {flag}: {reason} (since {since})");
    }
    if !environment.diagnostics.is_empty() {
        let _ = writeln!(text, "\n{name}: served all the same");
    }
    for diagnostic in &environment.diagnostics {
        let _ = writeln!(text, "  {}", Plain(diagnostic));
    }
    text
}
