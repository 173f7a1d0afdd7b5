//! What was written: every setting as an `Option`, checked by itself and not against others.
//!
//! A new setting is one line here, one in `settings.rs`, one in `settle.rs`, one in `table.rs` and
//! one in `toml_text.rs`. The bounds of each setting stand beside its name.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::DeTable;

use super::Surroundings;
use super::base_url::BaseUrl;
use super::document::{List, Reader, Table, line_and_column, quoted};
use super::edge_proxy;
use super::places::Places;
use super::problem::{Place, Problem, Problems};
use super::secret::{Key, Token};
use super::settings::{
    BareKey, Definitions, Evaluator, FileFormat, Fraction, Listen, LogFormat, LogLevel, OnStale,
    OnUnauthorized, Proxy,
};
use super::shape::{
    AllowedOrigin, ClosedSet, DiscoveryType, Shape, SourceType, VariableSource, allowed_origin,
    any_word_of, base_path, base_url, boolean, database, discovery_name, duration,
    environment_name, flag_key, fraction, integer, learn, listen, nearest, one_of, origin_name,
    path, publishable_key, secret_key, server_key, size, token, upstream_publishable_key,
};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
const GIB: usize = 1 << 30;

pub(super) const MILLISECOND: Duration = Duration::from_millis(1);
pub(super) const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Far beyond any use, and near enough that adding it to an instant cannot overflow.
pub(super) const YEAR: Duration = Duration::from_secs(31_557_600);

/// How often an upstream may be asked.
pub(super) const POLL_INTERVAL: RangeInclusive<Duration> = Duration::from_millis(100)..=DAY;
/// How long one poll of an upstream may take.
pub(super) const TIMEOUT: RangeInclusive<Duration> =
    Duration::from_millis(10)..=Duration::from_secs(10 * 60);

const LISTEN: &str = "BURGEE_LISTEN";
pub(super) const ADMIN_LISTEN: &str = "BURGEE_ADMIN_LISTEN";
const ORIGIN_LISTEN: &str = "BURGEE_ORIGIN_LISTEN";
const ADMIN_TOKEN: &str = "BURGEE_ADMIN_TOKEN";
const LOG: &str = "BURGEE_LOG";

const SOURCE: &str = "BURGEE_SOURCE";
const SOURCE_URL: &str = "BURGEE_SOURCE_URL";
const SOURCE_KEY: &str = "BURGEE_SOURCE_KEY";
const SOURCE_PATH: &str = "BURGEE_SOURCE_PATH";
const SOURCE_FORMAT: &str = "BURGEE_SOURCE_FORMAT";
const PUBLISHABLE_KEYS: &str = "BURGEE_PUBLISHABLE_KEYS";
const SECRET_KEYS: &str = "BURGEE_SECRET_KEYS";

/// The variables that describe an environment where no file does.
const ENVIRONMENT: [&str; 7] =
    [SOURCE, SOURCE_URL, SOURCE_KEY, SOURCE_PATH, SOURCE_FORMAT, PUBLISHABLE_KEYS, SECRET_KEYS];

/// Of those, the ones that belong to some types of source only.
const OF_A_SOURCE: [(&str, &[SourceType]); 4] = [
    (SOURCE_URL, UPSTREAMS),
    (SOURCE_KEY, UPSTREAMS),
    (SOURCE_PATH, &[SourceType::File]),
    (SOURCE_FORMAT, &[SourceType::File]),
];

const UPSTREAMS: &[SourceType] = &[SourceType::Reflag, SourceType::Flagsmith];

pub(super) struct Settings {
    pub(super) server: Server,
    pub(super) admin: Admin,
    pub(super) limits: Limits,
    pub(super) log: Log,
    pub(super) origin: Option<Origin>,
    pub(super) proxy: Proxy,
    pub(super) environments: Vec<Environment>,
    pub(super) discover: Vec<Discover>,
    /// What is not heeded or leads to what nobody wrote, a line for each.
    pub(super) notes: Vec<String>,
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
    pub(super) streams: Option<usize>,
    pub(super) streams_per_environment: Option<usize>,
    pub(super) waiters_per_environment: Option<usize>,
}

pub(super) struct Log {
    pub(super) level: Option<LogLevel>,
    pub(super) format: Option<LogFormat>,
}

pub(super) struct Origin {
    pub(super) listen: Option<Listen>,
    pub(super) database: Option<PathBuf>,
    pub(super) strict_entities: Option<bool>,
    pub(super) demo: Option<bool>,
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
    pub(super) on_unauthorized: Option<OnUnauthorized>,
    pub(super) source: Source,
    pub(super) evaluator: Option<Evaluator>,
    pub(super) secret_flags: Option<SecretFlags>,
    pub(super) definitions: Option<Definitions>,
    pub(super) flagsmith: Flagsmith,
    pub(super) bare_key: Option<BareKey>,
    pub(super) origins: Option<List<AllowedOrigin>>,
    pub(super) credentials: Option<bool>,
    pub(super) gate: Gate,
}

/// Environments that an upstream lists.
#[derive(Default)]
pub(super) struct Discover {
    /// The key path, such as `discover[0]`.
    pub(super) path: String,
    pub(super) name: Option<String>,
    pub(super) url: Option<BaseUrl>,
    pub(super) proxy_key: Option<Key>,
    pub(super) poll_interval: Option<Duration>,
    pub(super) timeout: Option<Duration>,
    pub(super) push: Option<bool>,
    pub(super) realtime_url: Option<BaseUrl>,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) max_environments: Option<usize>,
    pub(super) max_staleness: Option<Duration>,
    pub(super) on_stale: Option<OnStale>,
    pub(super) on_unauthorized: Option<OnUnauthorized>,
    pub(super) flagsmith: Flagsmith,
    pub(super) origins: Option<List<AllowedOrigin>>,
    pub(super) credentials: Option<bool>,
    pub(super) gate: Gate,
}

#[derive(Default)]
pub(super) enum Source {
    /// One whose type is not known, which was noted already.
    #[default]
    Unknown,
    File(FileSource),
    Reflag(ReflagSource),
    Flagsmith(FlagsmithSource),
    Origin(OriginSource),
}

impl Source {
    /// Whether the rules are a Flagsmith environment document, which names a key for browsers.
    pub(super) fn is_flagsmith_document(&self) -> bool {
        match self {
            Self::File(file) => file.format == Some(FileFormat::Flagsmith),
            Self::Flagsmith(_) => true,
            Self::Reflag(_) | Self::Origin(_) | Self::Unknown => false,
        }
    }
}

pub(super) struct FileSource {
    pub(super) path: Option<PathBuf>,
    pub(super) format: Option<FileFormat>,
    pub(super) poll_interval: Option<Duration>,
}

#[derive(Default)]
pub(super) struct ReflagSource {
    pub(super) url: Option<BaseUrl>,
    pub(super) secret_key: Option<Key>,
    pub(super) upstream_publishable_key: Option<Key>,
    pub(super) poll_interval: Option<Duration>,
    pub(super) timeout: Option<Duration>,
    pub(super) push: Option<bool>,
    pub(super) ca_file: Option<PathBuf>,
}

#[derive(Default)]
pub(super) struct FlagsmithSource {
    pub(super) url: Option<BaseUrl>,
    pub(super) server_key: Option<Key>,
    pub(super) poll_interval: Option<Duration>,
    pub(super) timeout: Option<Duration>,
    pub(super) push: Option<bool>,
    pub(super) realtime_url: Option<BaseUrl>,
    pub(super) ca_file: Option<PathBuf>,
}

pub(super) struct OriginSource {
    pub(super) app: Option<String>,
    pub(super) environment: Option<String>,
}

#[derive(Default)]
pub(super) struct Flagsmith {
    pub(super) segments_without_identity: Option<bool>,
    pub(super) hide_sensitive_data: Option<bool>,
}

pub(super) enum SecretFlags {
    Learn,
    Listed(List<String>),
}

#[derive(Default)]
pub(super) struct Gate {
    pub(super) max_shrink: Option<Fraction>,
    pub(super) confirm_after: Option<usize>,
}

/// Whether variables describe an environment.
pub(crate) fn is_in_variables(surroundings: &dyn Surroundings) -> bool {
    let is_set = |name| surroundings.variable(name).is_some_and(|text| !text.trim().is_empty());
    ENVIRONMENT.into_iter().any(is_set)
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
    let mut settings = reader.root(document.as_ref().map(toml::Spanned::get_ref), settings);
    settings.notes.extend(edge_proxy::notes_beside_other_forms(&reader));
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
    let around = around(table);
    let discover = table.tables("discover", discover);
    // Something else in its place is a problem of its own.
    let discovers = table.has("discover") && !discover.as_ref().is_some_and(Vec::is_empty);
    let environments = environments(table, discovers);
    Settings { environments, discover: discover.unwrap_or_default(), ..around }
}

/// Everything save the environments.
pub(super) fn around(table: &mut Table<'_, '_>) -> Settings {
    Settings {
        server: table.table("server", server),
        admin: table.table("admin", admin),
        limits: table.table("limits", limits),
        log: table.table("log", log),
        origin: origin_if_any(table),
        proxy: proxy(table.reader()),
        environments: Vec::new(),
        discover: Vec::new(),
        notes: Vec::new(),
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
        streams: table.value("streams", &integer(0..=1_000_000)),
        streams_per_environment: table.value("streams_per_environment", &integer(0..=1_000_000)),
        waiters_per_environment: table.value("waiters_per_environment", &integer(0..=1_000_000)),
    }
}

/// Its header alone is enough; the variable for its port alone is not: it would go unheeded.
fn origin_if_any(table: &mut Table<'_, '_>) -> Option<Origin> {
    if table.has("origin") {
        return Some(table.table("origin", origin));
    }
    let reader = table.reader();
    if reader.variable(ORIGIN_LISTEN).is_some() {
        let place = Place::Variable { name: ORIGIN_LISTEN, item: None };
        let expected = "the table [origin], if only its header".to_owned();
        reader.problem(place, "a port for an origin without an origin", expected, None);
    }
    None
}

fn origin(table: &mut Table<'_, '_>) -> Origin {
    Origin {
        listen: table.value_or_variable("listen", ORIGIN_LISTEN, &listen()),
        database: table.value("database", &database()),
        strict_entities: table.value("strict_entities", &boolean()),
        demo: table.value("demo", &boolean()),
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

/// As curl reads them, save that `HTTP_PROXY` counts too: no web server that puts header fields
/// of requests into variables starts Burgee.
fn proxy(reader: &mut Reader<'_>) -> Proxy {
    let mut first = |path, names: [&'static str; 2]| {
        let found = names.into_iter().find_map(|name| Some((name, reader.variable(name)?)));
        let (name, text) = found?;
        reader.places().mark(path, Place::Variable { name, item: None });
        Some(text)
    };
    Proxy {
        https: first("proxy.https", ["https_proxy", "HTTPS_PROXY"]),
        http: first("proxy.http", ["http_proxy", "HTTP_PROXY"]),
        all: first("proxy.all", ["all_proxy", "ALL_PROXY"]),
        no_proxy: first("proxy.no_proxy", ["no_proxy", "NO_PROXY"]),
    }
}

fn environments(table: &mut Table<'_, '_>, discovers: bool) -> Vec<Environment> {
    let in_file = table.tables("environments", environment);
    let refused = in_file.is_none() && table.has("environments");
    let in_file = in_file.unwrap_or_default();
    let reader = table.reader();
    if !in_file.is_empty() || refused {
        refuse_environment_variables(reader);
        return in_file;
    }
    if ENVIRONMENT.into_iter().any(|name| reader.variable(name).is_some()) {
        return vec![environment_from_variables(reader)];
    }
    // An origin may be all that a process is there for.
    if !discovers && !table.has("origin") {
        no_environments(table.reader());
    }
    Vec::new()
}

/// Variables that describe an environment have no business beside a file that has some.
pub(super) fn refuse_environment_variables(reader: &mut Reader<'_>) {
    let file = reader.file().unwrap_or(Path::new("")).display();
    for name in ENVIRONMENT {
        if reader.variable(name).is_some() {
            reader.problem(
                Place::Variable { name, item: None },
                format!("an environment in variables beside environments in {file}"),
                "one or the other",
                Some("unset the variable, or remove the file's environments".to_owned()),
            );
        }
    }
}

fn no_environments(reader: &mut Reader<'_>) {
    if reader.file().is_some() {
        let place = reader.places().nearest("environments");
        let expected =
            "at least one environment, below [[environments]], a [[discover]], or an [origin]";
        reader.problem(place, "no environments", expected, None);
    } else {
        let place = Place::Variable { name: SOURCE, item: None };
        let hint = format!(
            "without a configuration file the variables {} describe one environment",
            ENVIRONMENT.join(", ")
        );
        reader.problem(place, "nothing", any_word_of::<VariableSource>(), Some(hint));
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
        on_unauthorized: table.value("on_unauthorized", &one_of::<OnUnauthorized>()),
        ..Environment::default()
    };
    if table.has("source") {
        environment.source = table.table("source", source);
    } else {
        table.missing("source", "a table, [environments.source], with a type");
    }
    table.table("reflag", |table| {
        environment.evaluator = table.value("evaluator", &one_of::<Evaluator>());
        environment.secret_flags = secret_flags(table, &environment.source);
        environment.definitions = table.value("definitions", &one_of::<Definitions>());
    });
    environment.flagsmith = table.table("flagsmith", flagsmith);
    table.table("ofrep", |table| {
        environment.bare_key = table.value("bare_key", &one_of::<BareKey>());
    });
    (environment.origins, environment.credentials) = table.table("cors", cors);
    environment.gate = table.table("gate", gate);
    environment
}

fn flagsmith(table: &mut Table<'_, '_>) -> Flagsmith {
    Flagsmith {
        segments_without_identity: table.value("segments_without_identity", &boolean()),
        hide_sensitive_data: table.value("hide_sensitive_data", &boolean()),
    }
}

fn cors(table: &mut Table<'_, '_>) -> (Option<List<AllowedOrigin>>, Option<bool>) {
    (table.list("origins", &allowed_origin()), table.value("credentials", &boolean()))
}

fn gate(table: &mut Table<'_, '_>) -> Gate {
    Gate {
        max_shrink: table.value("max_shrink", &fraction()),
        confirm_after: table.value("confirm_after", &integer(1..=1_000)),
    }
}

fn discover(table: &mut Table<'_, '_>) -> Discover {
    // There is one type only, yet it has to be said: there will be others.
    table.required("type", &one_of::<DiscoveryType>());
    let discover = Discover {
        path: table.path().to_owned(),
        name: table.value("name", &discovery_name()),
        url: table.value("url", &base_url()),
        proxy_key: table.required("proxy_key", &secret_key()),
        poll_interval: table.value("poll_interval", &poll_interval()),
        timeout: table.value("timeout", &timeout()),
        push: table.value("push", &boolean()),
        realtime_url: table.value("realtime_url", &base_url()),
        ca_file: table.value("ca_file", &path()),
        max_environments: table.value("max_environments", &integer(1..=10_000)),
        max_staleness: table.value("max_staleness", &duration(MILLISECOND..=YEAR)),
        on_stale: table.value("on_stale", &one_of::<OnStale>()),
        on_unauthorized: table.value("on_unauthorized", &one_of::<OnUnauthorized>()),
        flagsmith: table.table("flagsmith", flagsmith),
        ..Discover::default()
    };
    let (origins, credentials) = table.table("cors", cors);
    Discover { origins, credentials, gate: table.table("gate", gate), ..discover }
}

fn secret_flags(table: &mut Table<'_, '_>, source: &Source) -> Option<SecretFlags> {
    const KEY: &str = "secret_flags";
    let why_not = match source {
        Source::Reflag(_) | Source::Unknown => None,
        _ if source.is_flagsmith_document() => {
            Some("a Flagsmith document says itself which features are for servers only")
        }
        Source::Origin(_) => Some("the origin says itself which flags are secret"),
        _ => Some("learning which flags are public needs an upstream, and a file has none"),
    };
    if why_not.is_none() && table.literal(KEY).is_some() {
        return table.value(KEY, &learn()).map(|()| SecretFlags::Learn);
    }
    let expected =
        if why_not.is_none() { learn().expected } else { "a list of flag keys".to_owned() };
    let listed = table.list_unless(KEY, &flag_key(), &expected, |written| {
        why_not.filter(|_| written == "learn").map(str::to_owned)
    });
    listed.map(SecretFlags::Listed)
}

fn source(table: &mut Table<'_, '_>) -> Source {
    let kind = table.required("type", &one_of::<SourceType>());
    let kind = kind.unwrap_or_else(|| likely_type(table));
    for &other in SourceType::ALL.iter().filter(|&&other| other != kind) {
        table.other_kind(&format!("type = {:?}", other.word()), |table| {
            source_of_type(other, table);
        });
    }
    source_of_type(kind, table)
}

/// A type that is missing or mistyped is guessed, so that the other problems of the source are
/// found in the same run.
fn likely_type(table: &Table<'_, '_>) -> SourceType {
    let words = SourceType::ALL.iter().map(|kind| kind.word());
    let near = table.literal("type").and_then(|written| nearest(written, words));
    near.and_then(SourceType::from_word).unwrap_or(if table.has("server_key") {
        SourceType::Flagsmith
    } else if table.has("url") || table.has("secret_key") {
        SourceType::Reflag
    } else if table.has("app") || table.has("environment") {
        SourceType::Origin
    } else {
        SourceType::File
    })
}

fn source_of_type(kind: SourceType, table: &mut Table<'_, '_>) -> Source {
    match kind {
        SourceType::File => Source::File(FileSource {
            path: table.required("path", &path()),
            format: table.value("format", &one_of::<FileFormat>()),
            poll_interval: table.value("poll_interval", &duration(50 * MILLISECOND..=DAY)),
        }),
        SourceType::Reflag => Source::Reflag(ReflagSource {
            url: table.value("url", &base_url()),
            secret_key: table.required("secret_key", &secret_key()),
            upstream_publishable_key: table
                .value("upstream_publishable_key", &upstream_publishable_key()),
            poll_interval: table.value("poll_interval", &poll_interval()),
            timeout: table.value("timeout", &timeout()),
            push: table.value("push", &boolean()),
            ca_file: table.value("ca_file", &path()),
        }),
        SourceType::Flagsmith => Source::Flagsmith(FlagsmithSource {
            url: table.value("url", &base_url()),
            server_key: table.required("server_key", &server_key()),
            poll_interval: table.value("poll_interval", &poll_interval()),
            timeout: table.value("timeout", &timeout()),
            push: table.value("push", &boolean()),
            realtime_url: table.value("realtime_url", &base_url()),
            ca_file: table.value("ca_file", &path()),
        }),
        SourceType::Origin => Source::Origin(OriginSource {
            app: table.required("app", &origin_name()),
            environment: table.required("environment", &origin_name()),
        }),
    }
}

fn poll_interval() -> Shape<Duration> {
    duration(POLL_INTERVAL)
}

fn timeout() -> Shape<Duration> {
    duration(TIMEOUT)
}

/// The environment `default`. Something that is missing is missed in the variable for it.
fn environment_from_variables(reader: &mut Reader<'_>) -> Environment {
    let here = "environments[0]";
    let beneath = |key: &str| format!("{here}.{key}");

    let source = source_from_variables(reader, &beneath("source"));
    let publishable_keys =
        reader.variable_list(PUBLISHABLE_KEYS, &beneath("publishable_keys"), &publishable_key());
    let secret_keys = reader.variable_list(SECRET_KEYS, &beneath("secret_keys"), &secret_key());
    let has_key = publishable_keys.is_some() || secret_keys.is_some();
    // The source's own key is one, and so is the document's.
    let needs_none = matches!(source, Source::Reflag(_)) || source.is_flagsmith_document();
    if !has_key && !needs_none {
        let expected = format!("a key here or in {SECRET_KEYS}");
        let place = Place::Variable { name: PUBLISHABLE_KEYS, item: None };
        reader.problem(place, "nothing", expected, None);
    }
    Environment {
        path: here.to_owned(),
        name: Some("default".to_owned()),
        publishable_keys,
        secret_keys,
        source,
        ..Environment::default()
    }
}

fn source_from_variables(reader: &mut Reader<'_>, here: &str) -> Source {
    reader.require_variable(SOURCE, any_word_of::<VariableSource>());
    let kind = reader.variable_value(SOURCE, &format!("{here}.type"), &one_of::<VariableSource>());
    let Some(VariableSource(kind)) = kind else {
        // Which of them are needed is not known, but what is there has to be good.
        file_source_from_variables(reader, here);
        reflag_source_from_variables(reader, here);
        return Source::Unknown;
    };
    for (name, owners) in OF_A_SOURCE {
        if !owners.contains(&kind) && reader.variable(name).is_some() {
            let owners: Vec<_> = owners.iter().map(|owner| owner.word()).collect();
            reader.problem(
                Place::Variable { name, item: None },
                format!("a variable that belongs to {SOURCE}={}", owners.join(" or ")),
                format!("only those that belong to {SOURCE}={}", kind.word()),
                Some("unset it, or choose the other source".to_owned()),
            );
        }
    }
    match kind {
        SourceType::File => {
            reader.require_variable(SOURCE_PATH, path().expected);
            Source::File(file_source_from_variables(reader, here))
        }
        SourceType::Reflag => {
            reader.require_variable(SOURCE_KEY, secret_key().expected);
            Source::Reflag(reflag_source_from_variables(reader, here))
        }
        SourceType::Flagsmith => {
            reader.require_variable(SOURCE_KEY, server_key().expected);
            Source::Flagsmith(FlagsmithSource {
                url: reader.variable_value(SOURCE_URL, &format!("{here}.url"), &base_url()),
                server_key: reader.variable_value(
                    SOURCE_KEY,
                    &format!("{here}.server_key"),
                    &server_key(),
                ),
                ..FlagsmithSource::default()
            })
        }
        // No variable says so.
        SourceType::Origin => Source::Unknown,
    }
}

fn file_source_from_variables(reader: &mut Reader<'_>, here: &str) -> FileSource {
    let format = one_of::<FileFormat>();
    FileSource {
        path: reader.variable_value(SOURCE_PATH, &format!("{here}.path"), &path()),
        format: reader.variable_value(SOURCE_FORMAT, &format!("{here}.format"), &format),
        poll_interval: None,
    }
}

fn reflag_source_from_variables(reader: &mut Reader<'_>, here: &str) -> ReflagSource {
    let secret_key_path = format!("{here}.secret_key");
    ReflagSource {
        url: reader.variable_value(SOURCE_URL, &format!("{here}.url"), &base_url()),
        secret_key: reader.variable_value(SOURCE_KEY, &secret_key_path, &secret_key()),
        ..ReflagSource::default()
    }
}
