//! `burgee check`

use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;

use clap::Args;

use super::Failure;
use super::configuration::{ConfigArgument, Configuration};
use super::memory::{self, Bytes, Part};
use super::output::{Plain, Table, count, grouped, print};
use super::rules::{self, Rules};
use crate::app::{self, StartError};
use crate::compile::Visibility;
use crate::config::{Discover, FileFormat, FileSource, Place, Problem, Problems, Settings, Source};
use crate::dialect::flagsmith::listing::Listing;
use crate::model::{self, FailureKind};
use crate::origin::store::{OpenError, Store};
use crate::snapshot::Family;
use crate::time::Clock;

/// Options of `burgee check`.
#[derive(Debug, Args)]
#[command(after_help = "\
Prints every problem on a line of its own and exits with 2:
  FILE:LINE: KEY PATH: found ..., expected ... (hint: ...)
Without a problem it prints all settings and what set them, what each environment would serve, and
how much memory Burgee may come to need, and exits with 0. Keys and tokens are never printed.

With --print-toml it prints a TOML file that means the same, whatever the configuration was: TOML,
config.json of a Flagsmith Edge Proxy, or variables. It holds what was written and what differs from
the defaults. A key that came from ${VARIABLE} or ${file:/path} stays that; any other becomes
${BURGEE_KEY_1} and so on, with a remark that says which key belongs into that variable. Rules are
not read.

Examples:
  burgee check --config burgee.toml
  burgee check --config config.json --print-toml > burgee.toml
  burgee check > /dev/null && echo good")]
pub(super) struct Check {
    #[command(flatten)]
    config: ConfigArgument,
    /// Ask upstreams for their flags, too
    #[arg(long)]
    online: bool,
    /// Print a TOML file that means the same instead, keys as placeholders
    #[arg(long, conflicts_with = "online")]
    print_toml: bool,
}

impl Check {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let configuration = self.config.load()?;
        if self.print_toml {
            print(&toml(&configuration))?;
            return Ok(ExitCode::SUCCESS);
        }
        let (rules, lists) = read_all(&configuration.settings, self.online)?;
        print(&report(&configuration, &rules, &lists, self.online))?;
        Ok(ExitCode::SUCCESS)
    }
}

fn toml(Configuration { file, settings }: &Configuration) -> String {
    let from = match file {
        Some(file) => file.display().to_string(),
        None => "environment variables".to_owned(),
    };
    format!("# What Burgee runs with, from {}.\n{}", Plain(&from), settings.to_toml())
}

/// The rules of all environments, or what is wrong with them. Upstreams are asked on demand only:
/// whether they can be reached says nothing about the configuration.
fn read_all(settings: &Settings, online: bool) -> Result<(Vec<Rules>, Vec<List>), Failure> {
    let now = Clock::System.now();
    let mut problems = Vec::new();
    if let Some(origin) = &settings.origin
        && let Err(error) = Store::examine(&origin.database)
    {
        problems.push(bad_database(settings, &error));
    }
    let (mut rules, mut lists) = (Vec::new(), Vec::new());
    for (index, environment) in settings.environments.iter().enumerate() {
        if !online && !matches!(environment.source, Source::File(_)) {
            // An origin's database need not be there before the server has made it.
            if matches!(environment.source, Source::Origin(_)) {
                continue;
            }
            if let Err(error) = app::source_of(settings, environment, None) {
                problems.push(bad_source(settings, index, "ca_file", error.to_string()));
            }
            continue;
        }
        match (rules::read(settings, environment, now), &environment.source) {
            (Ok(read), _) => rules.push(read),
            (Err(failure), Source::File(file)) => {
                problems.push(problem(settings, index, file, &failure));
            }
            (Err(failure), Source::Origin(_)) => {
                let found = format!("an origin that gives no flags: {}", Plain(&failure.message));
                problems.push(bad_source(settings, index, "app", found));
            }
            (Err(failure), Source::Reflag(_) | Source::Flagsmith(_)) => {
                let found = format!("an upstream that gives no flags: {}", Plain(&failure.message));
                // Environments of one vendor share a URL, and each has its key.
                let key = match (failure.kind, &environment.source) {
                    (FailureKind::Unauthorized, Source::Reflag(_)) => "secret_key",
                    (FailureKind::Unauthorized, _) => "server_key",
                    _ => "url",
                };
                problems.push(bad_source(settings, index, key, found));
            }
        }
    }
    for (index, discover) in settings.discover.iter().enumerate() {
        let path = |key: &str| format!("discover[{index}].{key}");
        match look_at_list(settings, discover, online) {
            Ok(list) => lists.extend(list),
            Err(ListError::Unusable(error)) => {
                let path = [path("ca_file"), path("type")];
                problems.push(bad_upstream(settings, &path, error.to_string()));
            }
            Err(ListError::Failed(failure)) => {
                let found = format!("an upstream that gives no list: {}", Plain(&failure.message));
                problems.push(bad_upstream(settings, &[path("url"), path("type")], found));
            }
        }
    }
    match Problems::of(problems) {
        None => Ok((rules, lists)),
        Some(problems) => Err(Failure::Usage(problems.to_string())),
    }
}

fn problem(
    settings: &Settings,
    index: usize,
    file: &FileSource,
    failure: &model::Failure,
) -> Problem {
    let path = format!("environments[{index}].source.path");
    // Never used: a path has no default, so it was written.
    let nowhere = Place::Variable { name: "BURGEE_SOURCE_PATH", item: None };
    let hint = (file.path.is_relative() && !file.path.exists()).then(|| {
        let here = std::env::current_dir().unwrap_or_default();
        format!("a relative path starts where Burgee is started, here {}", here.display())
    });
    Problem {
        place: settings.written.get(&path).cloned().unwrap_or(nowhere),
        found: format!("a file that cannot be served: {}", Plain(&failure.message)),
        expected: match file.format {
            FileFormat::Reflag => "a Reflag features document".to_owned(),
            FileFormat::Flagsmith => "a Flagsmith environment document".to_owned(),
        },
        hint,
    }
}

/// What an upstream listed, and what of that is not read.
type List = (String, Listing);

enum ListError {
    Unusable(StartError),
    Failed(model::Failure),
}

/// Asks for a list, on demand only.
fn look_at_list(
    settings: &Settings,
    discover: &Discover,
    online: bool,
) -> Result<Option<List>, ListError> {
    let discovery = app::discovery(settings, discover).map_err(ListError::Unusable)?;
    if !online {
        return Ok(None);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| ListError::Unusable(error.into()))?;
    let listing = runtime.block_on(discovery.look(Clock::System.now()));
    Ok(Some((discover.name.clone(), listing.map_err(ListError::Failed)?)))
}

fn bad_source(settings: &Settings, index: usize, key: &str, found: String) -> Problem {
    // The URL has a default; the type does not.
    let paths = [key, "type"].map(|key| format!("environments[{index}].source.{key}"));
    bad_upstream(settings, &paths, found)
}

/// The origin's database is there and cannot be used.
fn bad_database(settings: &Settings, error: &OpenError) -> Problem {
    let paths = ["origin.database", "origin.listen", "origin"];
    let written = paths.iter().find_map(|path| settings.written.get(*path));
    let nowhere = Place::Variable { name: "BURGEE_ORIGIN_LISTEN", item: None };
    Problem {
        place: written.cloned().unwrap_or(nowhere),
        found: format!("a database that cannot be used: {}", Plain(&error.to_string())),
        expected: "an origin's database, or a path where none is yet".to_owned(),
        hint: None,
    }
}

/// `paths`: where it may have been written, the nearest first.
fn bad_upstream(settings: &Settings, paths: &[String], found: String) -> Problem {
    let written = paths.iter().find_map(|path| settings.written.get(path));
    let nowhere = Place::Variable { name: "BURGEE_SOURCE", item: None };
    Problem {
        place: written.cloned().unwrap_or(nowhere),
        found,
        expected: "an upstream that can be asked".to_owned(),
        hint: None,
    }
}

fn report(configuration: &Configuration, rules: &[Rules], lists: &[List], online: bool) -> String {
    let Configuration { file, settings } = configuration;
    let mut text = String::new();
    let from = file.as_deref().map(Path::display);
    let _ = match from {
        Some(file) => writeln!(text, "{file}: no problems\n"),
        None => writeln!(text, "environment variables: no problems\n"),
    };
    if !settings.notes.is_empty() {
        let _ = writeln!(text, "notes");
        for note in &settings.notes {
            let _ = writeln!(text, "  {}", Plain(note));
        }
        text.push('\n');
    }
    let _ = writeln!(text, "{}", settings_table(settings));
    for rules in rules {
        let _ = writeln!(text, "{}", environment(rules));
    }
    for environment in &settings.environments {
        let url = match &environment.source {
            Source::File(_) => continue,
            Source::Reflag(source) => source.url.to_string(),
            Source::Flagsmith(source) => source.url.to_string(),
            Source::Origin(source) => {
                format!("the origin's {}, {}", Plain(&source.app), Plain(&source.environment))
            }
        };
        if !online {
            let name = &environment.name;
            let _ = writeln!(text, "environment {name}\n  from {url}, not asked (--online asks)\n");
        }
    }
    for discover in &settings.discover {
        let (name, bound) = (&discover.name, discover.max_environments);
        let _ = writeln!(text, "discover {name}\n  at most {}", count(bound, "environment"));
        match lists.iter().find(|(of, _)| of == name) {
            Some((_, listing)) => text.push_str(&listed(listing)),
            None => {
                let _ = writeln!(text, "  from {}, not asked (--online asks)", discover.url);
            }
        }
        text.push('\n');
    }
    text.push_str(&memory(settings, rules));
    text
}

fn listed(Listing { entries, unreadable, warnings }: &Listing) -> String {
    let mut text = format!("  {} in the list\n", count(entries.len(), "environment"));
    for entry in entries {
        let _ = writeln!(text, "    {}: {}", entry.id, Plain(&entry.name));
    }
    for line in unreadable {
        let _ = writeln!(text, "    not read: {}", Plain(line));
    }
    for line in warnings {
        let _ = writeln!(text, "    {}", Plain(line));
    }
    text
}

fn settings_table(settings: &Settings) -> Table {
    let mut table = Table::with_header(0, ["SETTING", "VALUE", "SET BY"]);
    for row in settings.to_table() {
        let set_by: String = match settings.written.get(&row.path) {
            Some(Place::File { line, .. }) => format!("line {line}"),
            Some(Place::Variable { name, .. } | Place::Member { name, .. }) => (*name).to_owned(),
            None => "default".to_owned(),
        };
        table.row([&row.path, &row.value, &set_by]);
    }
    table
}

fn environment(rules: &Rules) -> String {
    let Rules { profile, content, broken, diagnostics, document_bytes } = rules;
    let mut text = format!("environment {}\n", profile.name);
    let public = match &content.family {
        Family::Reflag(content) => content.program.flags.iter().filter(|f| f.public).count(),
        Family::Flagsmith(content) => content.public_features(),
    };
    let flags = content.flags();
    let hidden = match flags - public {
        0 => "publishable keys see all of them".to_owned(),
        hidden => format!("publishable keys do not see {}", grouped(hidden)),
    };
    let mut table = Table::new(2);
    table.row([&"document", &Bytes(*document_bytes)]);
    table.row([&"flags", &format!("{}, {hidden}", grouped(flags))]);
    table.row([&"version", &content.version]);
    table.row([&"fingerprint", &content.fingerprint]);
    let _ = write!(text, "{table}");
    if !broken.is_empty() {
        let _ = writeln!(text, "  quarantined: {} left out", count(broken.len(), "flag"));
    }
    for broken in broken {
        let _ = writeln!(text, "    {}: {}", Plain(&broken.flag), Plain(&broken.reason));
    }
    let listed = match &profile.policy.visibility {
        Visibility::Except(listed) => Some(listed),
        Visibility::Learned => None,
    };
    let unknown = listed.into_iter().flatten().filter(|&secret| {
        let is = |key: &str| key == secret;
        !content.reflag().is_some_and(|c| c.ruleset.flags.iter().any(|flag| is(&flag.key)))
            && !broken.iter().any(|broken| is(&broken.flag))
    });
    let unknown = unknown.map(|key| format!("reflag.secret_flags names `{key}`, which is no flag"));
    let diagnostics: Vec<String> = diagnostics.iter().cloned().chain(unknown).collect();
    if !diagnostics.is_empty() {
        let _ = writeln!(text, "  diagnostics: served all the same");
    }
    for diagnostic in diagnostics {
        let _ = writeln!(text, "    {}", Plain(&diagnostic));
    }
    text
}

fn memory(settings: &Settings, rules: &[Rules]) -> String {
    let parts = memory::parts(settings, rules);
    let total = memory::sum(&parts);
    let mut table = Table::new(2);
    for Part { what, reckoning, bytes } in &parts {
        let bytes = Bytes(*bytes).to_string();
        table.row([what, &format_args!("{bytes:>9}"), reckoning]);
    }
    let mut text = format!("memory at worst: {}, all bounds together\n{table}", Bytes(total));
    let _ = writeln!(
        text,
        "With every document at its bound of {} it would be {}. Kernel socket buffers come on top.",
        Bytes(memory::LONGEST_DOCUMENT),
        Bytes(memory::sum(&memory::parts_with_longest_documents(settings, rules))),
    );
    text
}
