//! The `burgee` command: what people and probes type.

mod serve;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// Exit code of wrong usage and of a configuration that cannot run.
const USAGE: u8 = 2;

#[derive(Debug, Parser)]
#[command(name = "burgee", version, about, arg_required_else_help = true)]
struct Command {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Serve flags: everything the configuration asks for
    Serve(serve::Serve),
}

/// Where the configuration is.
#[derive(Debug, Args)]
struct ConfigArgument {
    /// Configuration file [default: $BURGEE_CONFIG, else ./burgee.toml]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    match Command::parse().verb {
        Verb::Serve(serve) => serve.run(),
    }
}
