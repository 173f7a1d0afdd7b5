//! What was written: every setting as an `Option`, checked by itself and not against others.
//!
//! A new setting is one line here, one in `settings.rs`, one in `settle.rs` and one in
//! `table.rs`. The bounds of each setting stand beside its name.

use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::DeTable;

use super::Surroundings;
use super::document::{List, Reader, Table, line_and_column, quoted};
use super::places::Places;
use super::problem::{Place, Problem, Problems};
use super::secret::{Key, Token};
use super::settings::{Evaluator, FileFormat, Listen, LogFormat, LogLevel, OnStale};
use super::shape::{
    AllowedOrigin, ClosedSet, SourceType, allowed_origin, any_word_of, base_path, boolean,
    duration, environment_name, flag_key, integer, listen, one_of, path, publishable_key,
    secret_key, size, token,
};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
const GIB: usize = 1 << 30;

const MILLISECOND: Duration = Duration::from_millis(1);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Far beyond any use, and near enough that adding it to an instant cannot overflow.
const YEAR: Duration = Duration::from_secs(31_557_600);

const LISTEN: &str = "BURGEE_LISTEN";
pub(super) const ADMIN_LISTEN: &str = "BURGEE_ADMIN_LISTEN";
const ADMIN_TOKEN: &str = "BURGEE_ADMIN_TOKEN";
const LOG: &str = "BURGEE_LOG";

const SOURCE: &str = "BURGEE_SOURCE";
const SOURCE_PATH: &str = "BURGEE_SOURCE_PATH";
const SOURCE_FORMAT: &str = "BURGEE_SOURCE_FORMAT";
const PUBLISHABLE_KEYS: &str = "BURGEE_PUBLISHABLE_KEYS";
const SECRET_KEYS: &str = "BURGEE_SECRET_KEYS";

/// The variables that describe an environment where no file does.
pub(crate) const ENVIRONMENT: [&str; 5] =
    [SOURCE, SOURCE_PATH, SOURCE_FORMAT, PUBLISHABLE_KEYS, SECRET_KEYS];

pub(super) struct Settings {
    pub(super) server: Server,
    pub(super) admin: Admin,
    pub(super) limits: Limits,
    pub(super) log: Log,
    pub(super) environments: Vec<Environment>,
}

pub(super) struct Server {
    pub(super) listen: Option<Listen>,
    pub(super) base_path: Option<String>,
    pub(super) keep_alive: Option<Duration>,
    pub(super) drain: Option<Duration>,
    pub(super) workers: Option<usize>,
    pub(super) h2c: Option<bool>,
}

pub(super) struct Admin {
    pub(super) listen: Option<Listen>,
    pub(super) token: Option<Token>,
    pub(super) startup_grace: Option<Duration>,
}

pub(super) struct Limits {
    pub(super) connections: Option<usize>,
    pub(super) body: Option<usize>,
    pub(super) url: Option<usize>,
    pub(super) header_timeout: Option<Duration>,
    pub(super) body_timeout: Option<Duration>,
    pub(super) in_flight_body_bytes: Option<usize>,
}

pub(super) struct Log {
    pub(super) level: Option<LogLevel>,
    pub(super) format: Option<LogFormat>,
}

#[derive(Default)]
pub(super) struct Environment {
    /// The key path, such as `environments[0]`.
    pub(super) path: String,
    pub(super) name: Option<String>,
    pub(super) publishable_keys: Option<List<Key>>,
    pub(super) secret_keys: Option<List<Key>>,
    pub(super) max_staleness: Option<Duration>,
    pub(super) on_stale: Option<OnStale>,
    pub(super) source: Source,
    pub(super) evaluator: Option<Evaluator>,
    pub(super) secret_flags: Option<List<String>>,
    pub(super) origins: Option<List<AllowedOrigin>>,
    pub(super) credentials: Option<bool>,
}

/// A source without a type is one whose problem was noted already.
#[derive(Default)]
pub(super) struct Source {
    pub(super) kind: Option<SourceType>,
    pub(super) path: Option<PathBuf>,
    pub(super) format: Option<FileFormat>,
    pub(super) poll_interval: Option<Duration>,
}

/// Reads file and variables. `Err` is the one problem of a file that is not TOML.
pub(super) fn read(
    file: Option<(&Path, &str)>,
    surroundings: &dyn Surroundings,
) -> Result<(Settings, Places, Vec<Problem>), Problems> {
    let document = match file {
        Some((name, contents)) => {
            Some(DeTable::parse(contents).map_err(|error| not_toml(name, contents, &error))?)
        }
        None => None,
    };
    let mut reader = Reader::new(file, surroundings);
    let settings = reader.root(document.as_ref().map(toml::Spanned::get_ref), settings);
    let (places, problems) = reader.finish();
    Ok((settings, places, problems))
}

fn not_toml(name: &Path, contents: &str, error: &toml::de::Error) -> Problem {
    let offset = error.span().map_or(0, |span| span.start);
    let (line, column) = line_and_column(contents, offset);
    // The message is made of fixed words. The error's `Display` is not used: it quotes the line,
    // and that line can hold a key.
    let message = error.message();
    let (reason, expected) = message
        .split_once(", expected ")
        .filter(|(_, expected)| *expected != "nothing")
        .unwrap_or((message.trim_end_matches(", expected nothing"), "TOML"));
    Problem {
        place: Place::File {
            file: name.to_path_buf(),
            line,
            column: Some(column),
            path: String::new(),
        },
        found: "text that is not TOML".to_owned(),
        expected: expected.to_owned(),
        hint: Some(reason.to_owned()),
    }
}

fn settings(table: &mut Table<'_, '_>) -> Settings {
    Settings {
        server: table.table("server", server),
        admin: table.table("admin", admin),
        limits: table.table("limits", limits),
        log: table.table("log", log),
        environments: environments(table),
    }
}

fn server(table: &mut Table<'_, '_>) -> Server {
    Server {
        listen: table.value_or_variable("listen", LISTEN, &listen()),
        base_path: table.value("base_path", &base_path()),
        keep_alive: table.value("keep_alive", &duration(MILLISECOND..=DAY)),
        drain: table.value("drain", &duration(Duration::ZERO..=DAY)),
        workers: table.value("workers", &integer(1..=1024)),
        h2c: table.value("h2c", &boolean()),
    }
}

fn admin(table: &mut Table<'_, '_>) -> Admin {
    Admin {
        listen: table.value_or_variable("listen", ADMIN_LISTEN, &listen()),
        token: table.value_or_variable("token", ADMIN_TOKEN, &token()),
        startup_grace: table.value("startup_grace", &duration(Duration::ZERO..=DAY)),
    }
}

fn limits(table: &mut Table<'_, '_>) -> Limits {
    Limits {
        connections: table.value("connections", &integer(1..=1_000_000)),
        body: table.value("body", &size(KIB..=64 * MIB)),
        url: table.value("url", &size(KIB..=64 * KIB)),
        header_timeout: table.value("header_timeout", &duration(MILLISECOND..=DAY)),
        body_timeout: table.value("body_timeout", &duration(MILLISECOND..=DAY)),
        in_flight_body_bytes: table
            .value("in_flight_body_bytes", &size(KIB..=GIB.saturating_mul(1024))),
    }
}

fn log(table: &mut Table<'_, '_>) -> Log {
    let mut log = Log {
        level: table.value("level", &one_of::<LogLevel>()),
        format: table.value("format", &one_of::<LogFormat>()),
    };
    log_variable(table.reader(), &mut log);
    log
}

/// A level, a format, or both.
fn log_variable(reader: &mut Reader<'_>, log: &mut Log) {
    let Some(text) = reader.variable(LOG) else {
        return;
    };
    let place = Place::Variable { name: LOG, item: None };
    let mut level = None;
    let mut format = None;
    for word in text.split(',').map(str::trim) {
        let accepted = if let Some(word) = LogLevel::from_word(word) {
            level.replace(word).is_none()
        } else if let Some(word) = LogFormat::from_word(word) {
            format.replace(word).is_none()
        } else {
            false
        };
        if !accepted {
            let expected = format!(
                "a level ({}), a format ({}), or both such as \"debug,json\"",
                any_word_of::<LogLevel>(),
                any_word_of::<LogFormat>()
            );
            reader.problem(place, quoted(&text), expected, None);
            return;
        }
    }
    if level.is_some() {
        log.level = level;
        reader.places().mark("log.level", place.clone());
    }
    if format.is_some() {
        log.format = format;
        reader.places().mark("log.format", place);
    }
}

fn environments(table: &mut Table<'_, '_>) -> Vec<Environment> {
    let in_file = table.tables("environments", environment);
    let refused = in_file.is_none() && table.has("environments");
    let in_file = in_file.unwrap_or_default();
    let reader = table.reader();
    let variables: Vec<_> =
        ENVIRONMENT.into_iter().filter(|name| reader.variable(name).is_some()).collect();
    if !in_file.is_empty() || refused {
        for name in variables {
            beside_a_file(reader, name);
        }
        return in_file;
    }
    if !variables.is_empty() {
        return vec![environment_from_variables(reader)];
    }
    no_environments(reader);
    Vec::new()
}

fn beside_a_file(reader: &mut Reader<'_>, name: &'static str) {
    let file = reader.file().unwrap_or(Path::new("")).display();
    reader.problem(
        Place::Variable { name, item: None },
        format!("an environment in variables beside environments in {file}"),
        "one or the other",
        Some("unset the variable, or remove the file's environments".to_owned()),
    );
}

fn no_environments(reader: &mut Reader<'_>) {
    if reader.file().is_some() {
        let place = reader.places().nearest("environments");
        let expected = "at least one environment, below [[environments]]";
        reader.problem(place, "no environments", expected, None);
    } else {
        let place = Place::Variable { name: SOURCE, item: None };
        let hint = format!(
            "without a configuration file the variables {} describe one environment",
            ENVIRONMENT.join(", ")
        );
        reader.problem(place, "nothing", any_word_of::<SourceType>(), Some(hint));
    }
}

fn environment(table: &mut Table<'_, '_>) -> Environment {
    let mut environment = Environment {
        path: table.path().to_owned(),
        name: table.required("name", &environment_name()),
        publishable_keys: table.list("publishable_keys", &publishable_key()),
        secret_keys: table.list("secret_keys", &secret_key()),
        max_staleness: table.value("max_staleness", &duration(MILLISECOND..=YEAR)),
        on_stale: table.value("on_stale", &one_of::<OnStale>()),
        ..Environment::default()
    };
    if table.has("source") {
        environment.source = table.table("source", source);
    } else {
        table.missing("source", "a table, [environments.source], with type and path");
    }
    table.table("reflag", |table| {
        environment.evaluator = table.value("evaluator", &one_of::<Evaluator>());
        environment.secret_flags =
            table.list_unless("secret_flags", &flag_key(), "a list of flag keys", |written| {
                (written == "learn").then(|| {
                    "learning which flags are public needs an upstream, and a file has none"
                        .to_owned()
                })
            });
    });
    table.table("cors", |table| {
        environment.origins = table.list("origins", &allowed_origin());
        environment.credentials = table.value("credentials", &boolean());
    });
    environment
}

fn source(table: &mut Table<'_, '_>) -> Source {
    let kind = table.required("type", &one_of::<SourceType>());
    let of_a_later_build =
        table.literal("type").is_some_and(|word| SourceType::NOT_IN_THIS_BUILD.contains(&word));
    if of_a_later_build {
        table.allow_unknown();
        return Source::default();
    }
    // A type that is missing or mistyped is taken for a file, so that the other problems of the
    // source are found in the same run.
    match kind.unwrap_or(SourceType::File) {
        SourceType::File => Source {
            kind: Some(SourceType::File),
            path: table.required("path", &path()),
            format: table.value("format", &one_of::<FileFormat>()),
            poll_interval: table.value("poll_interval", &duration(Duration::from_millis(50)..=DAY)),
        },
    }
}

/// The environment `default`. Something that is missing is missed in the variable for it.
fn environment_from_variables(reader: &mut Reader<'_>) -> Environment {
    let here = "environments[0]";
    let beneath = |key: &str| format!("{here}.{key}");
    let variable = |name| Place::Variable { name, item: None };

    let kind = reader.variable_value(SOURCE, &beneath("source.type"), &one_of::<SourceType>());
    if reader.variable(SOURCE).is_none() {
        reader.problem(variable(SOURCE), "nothing", any_word_of::<SourceType>(), None);
    }
    if kind == Some(SourceType::File) && reader.variable(SOURCE_PATH).is_none() {
        reader.problem(variable(SOURCE_PATH), "nothing", path().expected, None);
    }
    let publishable_keys =
        reader.variable_list(PUBLISHABLE_KEYS, &beneath("publishable_keys"), &publishable_key());
    let secret_keys = reader.variable_list(SECRET_KEYS, &beneath("secret_keys"), &secret_key());
    if publishable_keys.is_none() && secret_keys.is_none() {
        let expected = format!("a key here or in {SECRET_KEYS}");
        reader.problem(variable(PUBLISHABLE_KEYS), "nothing", expected, None);
    }
    Environment {
        path: here.to_owned(),
        name: Some("default".to_owned()),
        publishable_keys,
        secret_keys,
        source: Source {
            kind,
            path: reader.variable_value(SOURCE_PATH, &beneath("source.path"), &path()),
            format: reader.variable_value(
                SOURCE_FORMAT,
                &beneath("source.format"),
                &one_of::<FileFormat>(),
            ),
            poll_interval: None,
        },
        ..Environment::default()
    }
}
