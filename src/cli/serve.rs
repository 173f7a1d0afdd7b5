//! `burgee serve`

use std::future::Future;
use std::io::ErrorKind;
use std::process::ExitCode;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{Level, error, warn};

use super::Failure;
use super::configuration::ConfigArgument;
use super::demo::{Demo, Note};
use super::output::print;
use crate::app::{App, StartError};
use crate::config::{LogFormat, LogLevel, Settings};
use crate::http::ListenError;
use crate::telemetry::logging::{self, Format};
use crate::time::Clock;

/// Options of `burgee serve`.
#[derive(Debug, Args)]
#[command(after_help = THREE_WAYS)]
pub(super) struct Serve {
    #[command(flatten)]
    config: ConfigArgument,
    /// Serve the demo that is built into this binary
    #[arg(long, conflicts_with = "config")]
    demo: bool,
}

/// Shown wherever somebody may wonder how to begin.
pub(super) const THREE_WAYS: &str = "\
Three ways to start:
  burgee serve --demo                   a demo shop, to look around
  burgee serve --config burgee.toml     what the file says
  BURGEE_SOURCE=file BURGEE_SOURCE_PATH=flags.json BURGEE_PUBLISHABLE_KEYS=pub_1 burgee serve";

impl Serve {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let demo = if self.demo { Some(Demo::unpack()?) } else { None };
        let settings = match &demo {
            Some(demo) => demo.settings()?,
            None => match self.config.find()? {
                Some(configuration) => configuration.settings,
                None => return Err(Failure::Usage(format!("Nothing to serve. {THREE_WAYS}"))),
            },
        };
        start_logging(&settings);
        for note in &settings.notes {
            warn!("configuration: {note}");
        }
        let note = Note::of(&settings, demo.as_ref());
        match serve(settings, note.as_ref()) {
            Ok(()) => Ok(ExitCode::SUCCESS),
            Err(error) => {
                error!(hint = hint(&error), "{error}");
                Ok(ExitCode::FAILURE)
            }
        }
    }
}

/// The way out of an error, where there is one that is not obvious.
fn hint(error: &StartError) -> Option<&'static str> {
    let StartError::Listen(ListenError { error, .. }) = error else { return None };
    match error.kind() {
        ErrorKind::AddrInUse => Some(
            "another process listens there, perhaps another Burgee; choose another address with \
             server.listen (BURGEE_LISTEN), admin.listen (BURGEE_ADMIN_LISTEN) or origin.listen \
             (BURGEE_ORIGIN_LISTEN)",
        ),
        ErrorKind::AddrNotAvailable => Some("this machine does not have that address"),
        ErrorKind::PermissionDenied => Some("ports below 1024 and foreign folders need privileges"),
        _ => None,
    }
}

fn start_logging(settings: &Settings) {
    let level = match settings.log.level {
        LogLevel::Error => Level::ERROR,
        LogLevel::Warn => Level::WARN,
        LogLevel::Info => Level::INFO,
        LogLevel::Debug => Level::DEBUG,
        LogLevel::Trace => Level::TRACE,
    };
    let format = match settings.log.format {
        LogFormat::Text => Format::Text,
        LogFormat::Json => Format::Json,
    };
    logging::start(level, format);
}

fn serve(settings: Settings, note: Option<&Note>) -> Result<(), StartError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        // Installed before the ports are: whoever sees us listening may send a signal.
        let stop = stop_signal()?;
        let app = App::bind(settings, Clock::System)?;
        let demo = app.demo().await?;
        if let (Some(note), Some(access), Some(origin)) = (note, demo, app.origin_address()) {
            // It serves as well when nobody can read the note.
            let _ = print(&note.text(&app, &origin, &access));
        }
        app.run(stop).await
    })
}

/// Done at the first SIGTERM or Ctrl-C; a second Ctrl-C ends the process at once.
fn stop_signal() -> Result<impl Future<Output = ()>, StartError> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tokio::spawn(async move {
            interrupt.recv().await;
            std::process::exit(130);
        });
    })
}
