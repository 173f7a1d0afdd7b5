//! `burgee serve`

use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{Level, error};

use super::{ConfigArgument, USAGE};
use crate::app::{App, StartError};
use crate::config::{LogFormat, LogLevel, ProcessSurroundings, Settings, Surroundings};
use crate::telemetry::logging::{self, Format};
use crate::time::Clock;

/// Options of `burgee serve`.
#[derive(Debug, Args)]
pub(super) struct Serve {
    #[command(flatten)]
    config: ConfigArgument,
    /// Serve the demo that is built into this binary
    #[arg(long, conflicts_with = "config")]
    demo: bool,
}

/// The demo's files, so that a newcomer needs nothing but the binary.
const DEMO_CONFIG: &str = include_str!("../../config/demo.toml");
const DEMO_FLAGS: &str = include_str!("../../config/demo-flags.json");
/// Where the demo's configuration says its flags are.
const DEMO_FLAGS_PATH: &str = "config/demo-flags.json";

impl Serve {
    pub(super) fn run(self) -> ExitCode {
        let demo;
        let loaded = if self.demo {
            let folder = match DemoFolder::create() {
                Ok(folder) => folder,
                Err(error) => return fail(&format!("cannot write the demo's flags: {error}")),
            };
            let path = folder.flags().display().to_string();
            let text = DEMO_CONFIG.replace(DEMO_FLAGS_PATH, &path);
            demo = Some(folder);
            Settings::load(Some((Path::new("demo.toml"), &text)), &ProcessSurroundings)
        } else {
            demo = None;
            match self.config.load() {
                Ok(Some(loaded)) => loaded,
                Ok(None) => return fail(THREE_WAYS),
                Err(message) => return fail(&message),
            }
        };
        let settings = match loaded {
            Ok(settings) => settings,
            Err(problems) => return fail(&problems.to_string()),
        };
        start_logging(&settings);
        let outcome = serve(settings);
        drop(demo);
        match outcome {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                error!("{error}");
                ExitCode::FAILURE
            }
        }
    }
}

const THREE_WAYS: &str = "nothing to serve. Three ways to start:\n\
    \x20 burgee serve --demo                   a demo shop, to look around\n\
    \x20 burgee serve --config burgee.toml     what the file says\n\
    \x20 BURGEE_SOURCE=file BURGEE_SOURCE_PATH=flags.json BURGEE_PUBLISHABLE_KEYS=pub_1 burgee serve";

impl ConfigArgument {
    /// Finds and reads the configuration; none when neither a file nor variables say anything.
    pub(super) fn load(&self) -> Result<Option<Result<Settings, crate::config::Problems>>, String> {
        let named = self.config.clone();
        let named =
            named.or_else(|| ProcessSurroundings.variable("BURGEE_CONFIG").map(PathBuf::from));
        let implied = Path::new("burgee.toml");
        let path = named.or_else(|| implied.exists().then(|| implied.to_owned()));
        let Some(path) = path else {
            let by_variables = ProcessSurroundings.variable("BURGEE_SOURCE").is_some();
            return Ok(by_variables.then(|| Settings::load(None, &ProcessSurroundings)));
        };
        let text = std::fs::read_to_string(&path)
            .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        Ok(Some(Settings::load(Some((&path, &text)), &ProcessSurroundings)))
    }
}

/// Says on standard error why there is nothing to run.
#[expect(clippy::print_stderr, reason = "there is no log before there are settings")]
pub(super) fn fail(message: &str) -> ExitCode {
    eprintln!("{message}");
    ExitCode::from(USAGE)
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

fn serve(settings: Settings) -> Result<(), StartError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        // Installed before the ports are: whoever sees us listening may send a signal.
        let stop = stop_signal()?;
        App::bind(settings, Clock::System)?.run(stop).await
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

/// The demo's flags on disk, where they can be edited while it runs.
struct DemoFolder(PathBuf);

impl DemoFolder {
    fn create() -> std::io::Result<Self> {
        let folder = std::env::temp_dir().join(format!("burgee-demo-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let folder = Self(folder);
        std::fs::write(folder.flags(), DEMO_FLAGS)?;
        Ok(folder)
    }

    fn flags(&self) -> PathBuf {
        self.0.join("demo-flags.json")
    }
}

impl Drop for DemoFolder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
