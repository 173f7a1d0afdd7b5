//! The `burgee` command: what people and probes type.
//!
//! Exit codes: 0 when all is well, 1 when what was asked for is not so (not ready, no data, a port
//! that is taken), 2 for wrong usage and for a configuration that cannot run. What was asked for
//! goes to standard output, complaints and log lines go to standard error; a reader who closes
//! either early is no error.

mod check;
mod client;
mod configuration;
mod demo;
mod explain;
mod healthcheck;
mod memory;
mod origin;
mod output;
mod rules;
mod serve;
mod status;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(
    name = "burgee",
    version,
    about,
    arg_required_else_help = true,
    after_help = serve::THREE_WAYS,
    max_term_width = 100
)]
struct Command {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Serve flags: everything that the configuration asks for
    Serve(serve::Serve),
    /// Say what is wrong with a configuration, or what it amounts to
    Check(check::Check),
    /// Say why flags are on or off for a context
    Explain(explain::Explain),
    /// Show how a running Burgee is doing
    Status(status::Status),
    /// Look after the embedded control plane, whether its server runs or not
    #[command(subcommand)]
    Origin(origin::Origin),
    /// Ask a running Burgee whether it is ready, for container engines
    Healthcheck(healthcheck::Healthcheck),
}

/// Why a command did not do what it was asked for.
#[derive(Debug)]
enum Failure {
    /// Exit code 2: the command line or the configuration has to be mended.
    Usage(String),
    /// Exit code 1: what was asked for is not so, or not possible now.
    Refused(String),
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let outcome = match Command::parse().verb {
        Verb::Serve(serve) => serve.run(),
        Verb::Check(check) => check.run(),
        Verb::Explain(explain) => explain.run(),
        Verb::Status(status) => status.run(),
        Verb::Origin(origin) => origin.run(),
        Verb::Healthcheck(healthcheck) => healthcheck.run(),
    };
    let (code, message) = match outcome {
        Ok(code) => return code,
        Err(Failure::Refused(message)) => (1, message),
        Err(Failure::Usage(message)) => (2, message),
    };
    output::complain(&message);
    ExitCode::from(code)
}
