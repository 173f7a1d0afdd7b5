//! Configuration in two stages: what was written, and what runs.
//!
//! ```text
//! file, variables --document--> raw::Settings --settle--> Settings
//!                 spans, shapes  all `Option`   defaults,  what runs
//!                 placeholders                  cross rules
//! ```
//!
//! A `config.json` of Flagsmith's Edge Proxy takes another way to `raw::Settings`, through
//! `edge_proxy`, and the same one from there.
//!
//! A variable wins over the file, the file over the default. All problems are found in one run,
//! each with its place; a configuration with a problem never runs. Opens no file and reads no
//! variable by itself: both go through [`Surroundings`]. Never prints a key or a token.

mod base_url;
mod document;
mod edge_proxy;
mod json;
mod places;
mod problem;
mod raw;
mod secret;
mod settings;
mod settle;
mod shape;
mod substitute;
mod table;
mod toml_text;

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::io;
use std::path::Path;

pub use base_url::BaseUrl;
pub(crate) use edge_proxy::is_in_variables as has_key_pairs_in_variables;
use places::Places;
pub use problem::{Place, Problem, Problems};
pub(crate) use raw::is_in_variables as has_environment_in_variables;
pub use secret::{Key, Token};
pub use settings::{
    Admin, AllowedOrigins, BareKey, Cors, Definitions, Discover, Environment, Evaluator,
    FileFormat, FileSource, Flagsmith, FlagsmithSource, Fraction, Gate, Limits, Listen, Log,
    LogFormat, LogLevel, Ofrep, OnStale, OnUnauthorized, Origin, OriginSource, Proxy, Reflag,
    ReflagSource, SecretFlags, Server, SetBy, Settings, Source,
};
pub(crate) use shape::{did_you_mean, is_for_servers, nearest};
pub use table::Row;

/// What a configuration may refer to outside of itself.
pub trait Surroundings {
    /// The text of an environment variable, if it is set.
    fn variable(&self, name: &str) -> Option<String>;

    /// The set variables whose names are this one in any letter case, with their texts.
    fn spellings(&self, name: &str) -> Vec<(String, String)> {
        let spelled = [name.to_owned(), name.to_ascii_lowercase(), name.to_ascii_uppercase()];
        let names: BTreeSet<String> = spelled.into_iter().collect();
        names.into_iter().filter_map(|name| Some((name.clone(), self.variable(&name)?))).collect()
    }

    /// The contents of a file, for `${file:/path}`; an error when it is not text.
    fn read_file(&self, path: &Path) -> io::Result<String>;
}

/// The variables and files of this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessSurroundings;

impl Surroundings for ProcessSurroundings {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where variables enter; everything else is handed its settings"
    )]
    fn variable(&self, name: &str) -> Option<String> {
        match env::var(name) {
            Ok(text) => Some(text),
            Err(env::VarError::NotPresent) => None,
            // Set, so it must not pass for unset; the replacement characters make it fail where
            // it is used.
            Err(env::VarError::NotUnicode(text)) => Some(text.to_string_lossy().into_owned()),
        }
    }

    fn spellings(&self, name: &str) -> Vec<(String, String)> {
        let variables = env::vars_os().filter_map(|(spelled, text)| {
            let spelled = spelled.into_string().ok()?;
            // As above: what is set must not pass for unset.
            let is_it = spelled.eq_ignore_ascii_case(name);
            is_it.then(|| (spelled, text.to_string_lossy().into_owned()))
        });
        variables.collect()
    }

    fn read_file(&self, path: &Path) -> io::Result<String> {
        fs::read_to_string(path)
    }
}

fn read(
    file: Option<(&Path, &str)>,
    surroundings: &dyn Surroundings,
) -> Result<(raw::Settings, Places, Vec<Problem>), Problems> {
    let is_edge_proxys = match file {
        Some((name, contents)) => edge_proxy::is_config_json(name, contents),
        None => !raw::is_in_variables(surroundings) && edge_proxy::is_in_variables(surroundings),
    };
    if is_edge_proxys {
        edge_proxy::read(file, surroundings)
    } else {
        raw::read(file, surroundings)
    }
}

impl Settings {
    /// The settings that run, from the contents of a file (with its name, for problems), from
    /// variables, and from defaults.
    ///
    /// A file whose text is a JSON object is a `config.json` of Flagsmith's Edge Proxy, others are
    /// TOML. `Err` has every problem there is; for a file that is neither, the first place where it
    /// is not.
    pub fn load(
        file: Option<(&Path, &str)>,
        surroundings: &dyn Surroundings,
    ) -> Result<Self, Problems> {
        let (written, places, mut problems) = read(file, surroundings)?;
        let settings = settle::settle(written, places, &mut problems);
        match Problems::of(problems) {
            None => Ok(settings),
            Some(problems) => Err(problems),
        }
    }

    /// The admin port alone, for commands that ask a process that runs: what else may be wrong
    /// with the configuration, or cannot be read by whoever asks, is not their concern.
    ///
    /// `Err` has only problems of the address. A token that cannot be read is left out.
    pub fn load_admin(
        file: Option<(&Path, &str)>,
        surroundings: &dyn Surroundings,
    ) -> Result<Admin, Problems> {
        let (written, _, problems) = read(file, surroundings)?;
        let of_the_address = problems.into_iter().filter(|problem| match &problem.place {
            Place::File { path, .. } => path == "admin" || path == "admin.listen",
            Place::Variable { name, .. } => *name == raw::ADMIN_LISTEN,
            Place::Member { .. } => false,
        });
        match Problems::of(of_the_address.collect()) {
            None => Ok(settle::admin(written.admin)),
            Some(problems) => Err(problems),
        }
    }

    /// The same without the keys that clients hold and without the token: once they are digested
    /// nothing needs their text any more.
    ///
    /// What the sources send with every poll stays, in [`ReflagSource`], [`FlagsmithSource`] and
    /// [`Discover`], for as long as the process runs. An environment that learns keeps its first publishable key for the same reason, see
    /// [`Environment::learning_key`].
    #[must_use]
    pub fn without_keys(mut self) -> Self {
        self.admin.token = None;
        for environment in &mut self.environments {
            let kept = usize::from(environment.learning_key().is_some());
            environment.publishable_keys.truncate(kept);
            environment.secret_keys.clear();
        }
        self
    }
}
