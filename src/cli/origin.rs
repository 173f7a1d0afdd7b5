//! `burgee origin`
//!
//! Works on the database file that the configuration names, beside a server that runs: it notices
//! within a fraction of a second. Whoever may write the file needs no key.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::Failure;
use super::configuration::ConfigArgument;
use super::output::{Plain, Table, count, print};
use crate::model::KeyClass;
use crate::origin::document::{Applied, Document, apply, export};
use crate::origin::keys::NewKey;
use crate::origin::model::{Actor, App, Environment, EnvironmentId, Scope, Scopes};
use crate::origin::store::{Reader, Store, StoreError, Stored, Writer};
use crate::time::Clock;

/// Subcommands of `burgee origin`.
#[derive(Debug, Subcommand)]
pub(super) enum Origin {
    /// Make an app what a file says; prints a plan first
    Apply(Apply),
    /// Print an app as a file that `apply` takes
    Export(Export),
    /// List the apps
    Apps(Apps),
    /// Make a key for the management API and print it, once
    CreateApiKey(CreateApiKey),
    /// Take an API key out of service
    RevokeApiKey(RevokeApiKey),
    /// Give an environment a new key and print it; the old ones hold for a while
    RotateKey(RotateKey),
}

/// Options of `burgee origin apply`.
#[derive(Debug, Args)]
pub(super) struct Apply {
    #[command(flatten)]
    config: ConfigArgument,
    /// Print the plan and change nothing
    #[arg(long)]
    dry_run: bool,
    /// The app, as TOML
    file: PathBuf,
}

/// Options of `burgee origin export`.
#[derive(Debug, Args)]
pub(super) struct Export {
    #[command(flatten)]
    config: ConfigArgument,
    /// Id or name of the app; may be left out where there is one only
    #[arg(long)]
    app: Option<String>,
}

/// Options of `burgee origin apps`.
#[derive(Debug, Args)]
pub(super) struct Apps {
    #[command(flatten)]
    config: ConfigArgument,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Options of `burgee origin create-api-key`.
#[derive(Debug, Args)]
pub(super) struct CreateApiKey {
    #[command(flatten)]
    config: ConfigArgument,
    /// Id or name of the app
    #[arg(long)]
    app: String,
    /// What the key may do beside reading, separated by commas: create:flag, write:flag,
    /// write:flag:targeting, write:entities, write:app, write:keys
    #[arg(long, default_value = "read")]
    scopes: String,
    /// What people call the key
    #[arg(long, default_value = "command line")]
    name: String,
}

/// Options of `burgee origin revoke-api-key`.
#[derive(Debug, Args)]
pub(super) struct RevokeApiKey {
    #[command(flatten)]
    config: ConfigArgument,
    /// The key's id, or the first 8 characters of its text
    key: String,
}

/// Options of `burgee origin rotate-key`.
#[derive(Debug, Args)]
pub(super) struct RotateKey {
    #[command(flatten)]
    config: ConfigArgument,
    /// Id of the environment, or APP/ENVIRONMENT by their names
    #[arg(long)]
    environment: String,
    /// Which of its keys
    #[arg(long)]
    kind: Kind,
    /// How long the old keys hold yet; 0s ends every one of them at once, such as a leaked one
    #[arg(long, default_value = "24h", value_parser = grace)]
    grace: Duration,
}

/// A class of keys, as it is typed.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    Publishable,
    Secret,
}

fn grace(text: &str) -> Result<Duration, String> {
    let longest = Duration::from_secs(90 * 24 * 60 * 60);
    match humantime::parse_duration(text) {
        Ok(grace) if grace <= longest => Ok(grace),
        Ok(_) => Err("at most 90 days".to_owned()),
        Err(error) => Err(format!("{error}; such as 24h, 30m or 0s")),
    }
}

impl Origin {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::Apply(apply) => apply.run(),
            Self::Export(export) => export.run(),
            Self::Apps(apps) => apps.run(),
            Self::CreateApiKey(create) => create.run(),
            Self::RevokeApiKey(revoke) => revoke.run(),
            Self::RotateKey(rotate) => rotate.run(),
        }
        .map(|()| ExitCode::SUCCESS)
    }
}

impl Apply {
    fn run(self) -> Result<(), Failure> {
        let shown = self.file.display();
        let text = std::fs::read_to_string(&self.file)
            .map_err(|error| Failure::Usage(format!("{shown}: {error}")))?;
        let document = Document::read(&text)
            .map_err(|error| Failure::Usage(of_file(&shown, &error.to_string())))?;
        let path = database_of(&self.config)?;
        let planned = Store::rehearse(&path, &Clock::System, &Actor::CommandLine, |writer| {
            apply(writer, &document)
        });
        let planned = planned
            .map_err(|error| Failure::Refused(error.to_string()))?
            .map_err(|error| refused(&shown, error))?;
        print(&plan(&planned))?;
        if planned.changes.is_empty() {
            return print("Nothing to change.\n");
        }
        if self.dry_run {
            return print("Nothing was changed (--dry-run).\n");
        }
        let applied = Database::at(&path, true)?
            .write(move |writer| apply(writer, &document))
            .map_err(|error| refused(&shown, error))?;
        print(&done(&applied))
    }
}

fn refused(file: &std::path::Display<'_>, error: StoreError) -> Failure {
    match error {
        StoreError::Invalid(_) => Failure::Usage(of_file(file, &error.to_string())),
        error => failure(error),
    }
}

/// Each line with the name of the file.
fn of_file(file: &std::path::Display<'_>, problems: &str) -> String {
    let lines: Vec<_> =
        problems.lines().map(|problem| format!("{file}: {}", Plain(problem))).collect();
    lines.join("\n")
}

fn plan(applied: &Applied) -> String {
    let app = if applied.is_new { "a new app".to_owned() } else { format!("app {}", applied.app) };
    let mut text = format!("Plan for {app}: {}\n", count(applied.changes.len(), "change"));
    for change in &applied.changes {
        let _ = writeln!(text, "  {}", Plain(change));
    }
    text
}

fn done(applied: &Applied) -> String {
    let mut text =
        format!("Applied to app {}: {}\n", applied.app, count(applied.changes.len(), "change"));
    for environment in &applied.environments {
        let keys = &environment.keys;
        let mut table = Table::new(2);
        table.row([&"publishable key", &keys.publishable.expose()]);
        table.row([&"secret key", &keys.secret.expose()]);
        let _ =
            write!(text, "environment {} ({})\n{table}", Plain(&environment.name), environment.id);
    }
    text
}

impl Export {
    fn run(self) -> Result<(), Failure> {
        let database = Database::open(&self.config)?;
        let named = self.app;
        let text = database.read(move |reader| {
            let app = match named {
                Some(named) => reader.find_app(&named)?,
                None => only_app(reader)?,
            };
            export(reader, &app)
        });
        print(&text.map_err(failure)?)
    }
}

fn only_app(reader: &Reader<'_>) -> Stored<App> {
    let mut apps = reader.apps()?;
    match (apps.pop(), apps.is_empty()) {
        (Some(app), true) => Ok(app),
        (None, _) => Err(StoreError::NotFound("There is no app yet: apply a file".to_owned())),
        _ => Err(StoreError::NotPossible(
            "There are several apps: name one with --app (see `burgee origin apps`)".to_owned(),
        )),
    }
}

impl Apps {
    fn run(self) -> Result<(), Failure> {
        let database = Database::open(&self.config)?;
        let apps = database.read(|reader| {
            let apps = reader.apps()?.into_iter();
            apps.map(|app| Ok((reader.environments(&app.id)?, app))).collect::<Stored<Vec<_>>>()
        });
        let apps = apps.map_err(failure)?;
        if self.json {
            let apps: Vec<_> = apps
                .iter()
                .map(|(environments, app)| {
                    let environments: Vec<_> = environments
                        .iter()
                        .map(|environment| {
                            json!({
                                "id": environment.id,
                                "name": environment.name,
                                "isProduction": environment.is_production,
                                "flagStateVersion": environment.flag_state_version,
                            })
                        })
                        .collect();
                    json!({"id": app.id, "name": app.name, "environments": environments})
                })
                .collect();
            return print(&format!("{:#}\n", json!(apps)));
        }
        let mut table = Table::with_header(0, ["ID", "NAME", "ENVIRONMENTS"]);
        for (environments, app) in &apps {
            let environments: Vec<_> =
                environments.iter().map(|e| format!("{} ({})", Plain(&e.name), e.id)).collect();
            table.row([&app.id, &Plain(&app.name), &environments.join(", ")]);
        }
        print(&table.to_string())
    }
}

impl CreateApiKey {
    fn run(self) -> Result<(), Failure> {
        let scopes = Scopes::parse(&self.scopes).map_err(|unknown| {
            let known = Scope::ALL.map(Scope::as_wire);
            let (unknown, known) = (Plain(&unknown).to_string(), known.join(", "));
            Failure::Usage(format!("there is no scope {unknown:?}; there are {known}"))
        })?;
        let database = Database::open(&self.config)?;
        let (named, name) = (self.app, self.name);
        let key = database.write(move |writer| {
            let app = writer.find_app(&named)?;
            let key = NewKey::of_api()?;
            writer.create_api_key(&app.id, &name, &scopes, &key)?;
            Ok(key)
        });
        print(&format!("{}\n", key.map_err(failure)?.expose()))
    }
}

impl RevokeApiKey {
    fn run(self) -> Result<(), Failure> {
        let database = Database::open(&self.config)?;
        let named = self.key;
        let key = database.write(move |writer| {
            for app in writer.apps()? {
                match writer.revoke_api_key(&app.id, &named) {
                    Err(StoreError::NotFound(_)) => {}
                    outcome => return outcome,
                }
            }
            Err(StoreError::NotFound("There is no API key with this id".to_owned()))
        });
        let key = key.map_err(failure)?;
        print(&format!("Revoked {} ({}...), {}.\n", key.id, key.prefix, Plain(&key.name)))
    }
}

impl RotateKey {
    fn run(self) -> Result<(), Failure> {
        let class = match self.kind {
            Kind::Publishable => KeyClass::Publishable,
            Kind::Secret => KeyClass::Secret,
        };
        let database = Database::open(&self.config)?;
        let (named, grace) = (self.environment, self.grace);
        let key = database.write(move |writer| {
            let environment = find_environment(writer, &named)?;
            writer.rotate_key(&environment.app, &environment.id, class, grace)
        });
        print(&format!("{}\n", key.map_err(failure)?.expose()))
    }
}

/// The environment with an id, or of an app by the names of both; either may have slashes in it.
fn find_environment(reader: &Reader<'_>, named: &str) -> Stored<Environment> {
    let mut missing = None;
    for (at, _) in named.match_indices('/') {
        let (app, environment) = (&named[..at], &named[at + 1..]);
        let found =
            reader.find_app(app).and_then(|app| reader.find_environment(&app.id, environment));
        match found {
            Ok(found) => return Ok(found),
            Err(error @ StoreError::NotFound(_)) => missing = Some(error),
            Err(error) => return Err(error),
        }
    }
    match missing {
        Some(error) => Err(error),
        None => reader.any_environment(&EnvironmentId::from(named)),
    }
}

/// Where the database of a configuration is.
fn database_of(config: &ConfigArgument) -> Result<PathBuf, Failure> {
    let origin = config.load()?.settings.origin.ok_or_else(|| {
        let what = "the configuration has no origin: add [origin], if only its header";
        Failure::Usage(what.to_owned())
    })?;
    Ok(origin.database)
}

/// The database of a configuration.
struct Database {
    store: Store,
    runtime: tokio::runtime::Runtime,
}

impl Database {
    /// One that is there.
    fn open(config: &ConfigArgument) -> Result<Self, Failure> {
        Self::at(&database_of(config)?, false)
    }

    /// `make` says whether one that is not there is made.
    fn at(path: &Path, make: bool) -> Result<Self, Failure> {
        if !make && !path.exists() {
            let path = path.display();
            let what =
                format!("there is no database at {path} yet: `burgee origin apply` makes it");
            return Err(Failure::Refused(what));
        }
        let store = Store::open(path, Clock::System);
        let store = store.map_err(|error| Failure::Refused(error.to_string()))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::Refused(error.to_string()))?;
        Ok(Self { store, runtime })
    }

    fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Reader<'_>) -> Stored<T> + Send + 'static,
    ) -> Stored<T> {
        self.runtime.block_on(self.store.read(look))
    }

    fn write<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Writer<'_>) -> Stored<T> + Send + 'static,
    ) -> Stored<T> {
        self.runtime.block_on(self.store.write(Actor::CommandLine, change))
    }
}

/// What is not there, or not possible, is no fault of the command line's.
#[expect(clippy::needless_pass_by_value, reason = "it stands where errors are mapped")]
fn failure(error: StoreError) -> Failure {
    Failure::Refused(Plain(&error.to_string()).to_string())
}
