//! The configuration as an operator meets it: a file and variables in, settings or problems out.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use burgee::config::{
    AllowedOrigins, Cors, Environment, Evaluator, FileFormat, FileSource, Fraction, Gate, Key,
    Listen, LogFormat, LogLevel, OnStale, OnUnauthorized, Place, Problems, Proxy, Reflag,
    ReflagSource, SecretFlags, SetBy, Settings, Source, Surroundings, Token,
};

/// The least that a file has to say.
const MINIMAL: &str = r#"
[[environments]]
name = "production"
publishable_keys = ["pub_orange"]
[environments.source]
type = "file"
path = "flags.json"
"#;

/// The least that a file has to say about an upstream.
const MINIMAL_REFLAG: &str = r#"
[[environments]]
name = "production"
[environments.source]
type = "reflag"
secret_key = "sec_quince"
"#;

/// Every setting, none of them with its default value.
const COMPLETE: &str = r#"
[server]
listen = "127.0.0.1:9000"
base_path = "flags/"
keep_alive = "1m"
drain = "5s"
workers = 3
h2c = true

[admin]
listen = "unix:/run/burgee/admin.sock"
token = "0123456789-lemon"
startup_grace = "0s"

[limits]
connections = 1_000
body = "64 KiB"
url = 2048
header_timeout = "1s 500ms"
body_timeout = "2s"
in_flight_body_bytes = "1MB"
waiters_per_environment = 0

[log]
level = "debug"
format = "json"

[[environments]]
name = "shop/production"
publishable_keys = ["pub_orange", "pub_cherry"]
secret_keys = [
    "sec_quince",
]
max_staleness = "1h"
on_stale = "refuse"
on_unauthorized = "refuse"
[environments.source]
type = "file"
path = "/etc/burgee/flags.json"
format = "reflag"
poll_interval = "50ms"
[environments.reflag]
evaluator = "1.1"
secret_flags = ["beta", "internal"]
[environments.cors]
origins = ["https://Shop.example.com:443", "http://localhost:3000"]
credentials = true
[environments.gate]
max_shrink = 0.25
confirm_after = 1

[[environments]]
name = "shop/staging"
publishable_keys = ["pub_lime"]
secret_keys = ["sec_plum", "sec_peach"]
max_staleness = "1m"
on_stale = "mark"
on_unauthorized = "refuse"
[environments.source]
type = "reflag"
url = "HTTP://Edge.example:8000/flags/"
secret_key = "sec_plum"
upstream_publishable_key = "pub_grape"
poll_interval = "100ms"
timeout = "10ms"
ca_file = "/etc/burgee/ca.pem"
[environments.reflag]
evaluator = "1.1"
secret_flags = ["beta"]
[environments.cors]
origins = []
credentials = true
[environments.gate]
max_shrink = 1
confirm_after = 1_000
"#;

#[derive(Default)]
struct World {
    variables: BTreeMap<&'static str, &'static str>,
    files: BTreeMap<&'static str, &'static str>,
}

impl World {
    fn with(variables: &[(&'static str, &'static str)]) -> Self {
        Self { variables: variables.iter().copied().collect(), files: BTreeMap::new() }
    }

    fn file(mut self, path: &'static str, contents: &'static str) -> Self {
        self.files.insert(path, contents);
        self
    }

    fn load(&self, contents: &str) -> Result<Settings, Problems> {
        Settings::load(Some((Path::new("burgee.toml"), contents)), self)
    }

    fn load_without_a_file(&self) -> Result<Settings, Problems> {
        Settings::load(None, self)
    }
}

impl Surroundings for World {
    fn variable(&self, name: &str) -> Option<String> {
        self.variables.get(name).map(|text| (*text).to_owned())
    }

    fn read_file(&self, path: &Path) -> io::Result<String> {
        let contents = path.to_str().and_then(|path| self.files.get(path));
        match contents {
            Some(contents) => Ok((*contents).to_owned()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

fn lines(result: Result<Settings, Problems>) -> Vec<String> {
    let problems = result.err().into_iter().flatten();
    problems.map(|problem| problem.to_string()).collect()
}

#[track_caller]
fn refuses(contents: &str, expected: &[&str]) {
    assert_eq!(lines(World::default().load(contents)), expected);
}

/// [`MINIMAL`] with `more` before it and the problem that this is.
#[track_caller]
fn refuses_setting(more: &str, expected: &str) {
    refuses(&format!("{more}{MINIMAL}"), &[expected]);
}

/// An environment with these lines besides name and source, and the problem that this is. The
/// first of the lines is the fourth of the file.
#[track_caller]
fn refuses_in_environment(lines: &str, expected: &str) {
    let contents = format!(
        "[[environments]]\nname = \"a\"\nsource = {{ type = \"file\", path = \"f\" }}\n{lines}"
    );
    refuses(&contents, &[expected]);
}

fn exposed(keys: &[Key]) -> Vec<&str> {
    keys.iter().map(Key::expose).collect()
}

fn printed(settings: &Settings) -> String {
    let rows = settings.to_table();
    let lines = rows.iter().map(|row| format!("{} = {} ({})\n", row.path, row.value, row.set_by));
    lines.collect::<Vec<_>>().concat()
}

// What is written is what runs.

#[test]
fn a_minimal_file_runs_with_defaults() {
    let settings = World::default().load(MINIMAL).unwrap();
    assert_eq!(
        printed(&settings),
        r#"server.listen = "0.0.0.0:8000" (default)
server.base_path = "" (default)
server.keep_alive = "1m 15s" (default)
server.drain = "10s" (default)
server.workers = one per available core (default)
server.h2c = false (default)
admin.listen = "127.0.0.1:8001" (default)
admin.token = none (default)
admin.startup_grace = "30s" (default)
limits.connections = 10000 (default)
limits.body = "1MiB" (default)
limits.url = "32KiB" (default)
limits.header_timeout = "10s" (default)
limits.body_timeout = "10s" (default)
limits.in_flight_body_bytes = "64MiB" (default)
limits.waiters_per_environment = 1000 (default)
log.level = "info" (default)
log.format = "text" (default)
environments[0].name = "production" (file)
environments[0].publishable_keys = [[redacted]] (file)
environments[0].secret_keys = [] (default)
environments[0].max_staleness = none (default)
environments[0].on_stale = "serve" (default)
environments[0].on_unauthorized = "serve" (default)
environments[0].source.type = "file" (file)
environments[0].source.path = "flags.json" (file)
environments[0].source.format = "reflag" (default)
environments[0].source.poll_interval = "1s" (default)
environments[0].reflag.evaluator = "1.0" (default)
environments[0].reflag.secret_flags = [] (default)
environments[0].cors.origins = ["*"] (default)
environments[0].cors.credentials = false (default)
environments[0].gate.max_shrink = 0 (default)
environments[0].gate.confirm_after = 3 (default)
"#
    );
}

#[test]
fn an_upstream_has_defaults_of_its_own() {
    let settings = World::default().load(MINIMAL_REFLAG).unwrap();
    let table = printed(&settings);
    let (_, environment) = table.split_once("log.format = \"text\" (default)\n").unwrap();
    assert_eq!(
        environment,
        r#"environments[0].name = "production" (file)
environments[0].publishable_keys = [] (default)
environments[0].secret_keys = [[redacted]] (default)
environments[0].max_staleness = none (default)
environments[0].on_stale = "serve" (default)
environments[0].on_unauthorized = "serve" (default)
environments[0].source.type = "reflag" (file)
environments[0].source.url = "https://front.reflag.com" (default)
environments[0].source.secret_key = [redacted] (file)
environments[0].source.upstream_publishable_key = none (default)
environments[0].source.poll_interval = "1m" (default)
environments[0].source.timeout = "10s" (default)
environments[0].source.ca_file = none (default)
environments[0].reflag.evaluator = "1.0" (default)
environments[0].reflag.secret_flags = "learn" (default)
environments[0].cors.origins = ["*"] (default)
environments[0].cors.credentials = false (default)
environments[0].gate.max_shrink = 0.5 (default)
environments[0].gate.confirm_after = 3 (default)
"#
    );
}

#[test]
fn every_setting_can_be_written() {
    let settings = World::default().load(COMPLETE).unwrap();

    assert_eq!(settings.server.listen, Listen::Tcp(SocketAddr::from(([127, 0, 0, 1], 9000))));
    assert_eq!(settings.server.base_path, "/flags");
    assert_eq!(settings.server.keep_alive, Duration::from_secs(60));
    assert_eq!(settings.server.drain, Duration::from_secs(5));
    assert_eq!(settings.server.workers, NonZeroUsize::new(3));
    assert!(settings.server.h2c);

    assert_eq!(settings.admin.listen, Listen::Unix(PathBuf::from("/run/burgee/admin.sock")));
    assert_eq!(settings.admin.token.unwrap().expose(), "0123456789-lemon");
    assert_eq!(settings.admin.startup_grace, Duration::ZERO);

    assert_eq!(settings.limits.connections, 1_000);
    assert_eq!(settings.limits.body, 65_536);
    assert_eq!(settings.limits.url, 2_048);
    assert_eq!(settings.limits.header_timeout, Duration::from_millis(1_500));
    assert_eq!(settings.limits.body_timeout, Duration::from_secs(2));
    assert_eq!(settings.limits.in_flight_body_bytes, 1_000_000);
    assert_eq!(settings.limits.waiters_per_environment, 0);

    assert_eq!(settings.log.level, LogLevel::Debug);
    assert_eq!(settings.log.format, LogFormat::Json);

    let [environment, upstream] = &settings.environments[..] else { panic!("two environments") };
    let Environment {
        name,
        publishable_keys,
        secret_keys,
        max_staleness,
        on_stale,
        on_unauthorized,
        source,
        reflag,
        cors,
        gate,
    } = environment;
    assert_eq!(name, "shop/production");
    assert_eq!(exposed(publishable_keys), ["pub_orange", "pub_cherry"]);
    assert_eq!(exposed(secret_keys), ["sec_quince"]);
    assert_eq!(*max_staleness, Some(Duration::from_secs(3_600)));
    assert_eq!(*on_stale, OnStale::Refuse);
    assert_eq!(*on_unauthorized, OnUnauthorized::Refuse);
    assert_eq!(
        *source,
        Source::File(FileSource {
            path: PathBuf::from("/etc/burgee/flags.json"),
            format: FileFormat::Reflag,
            poll_interval: Duration::from_millis(50),
        })
    );
    assert_eq!(
        *reflag,
        Reflag {
            evaluator: Evaluator::V1_1,
            secret_flags: SecretFlags::Listed(vec!["beta".to_owned(), "internal".to_owned()]),
        }
    );
    assert_eq!(
        *cors,
        Cors {
            origins: AllowedOrigins::Only(vec![
                "https://shop.example.com".to_owned(),
                "http://localhost:3000".to_owned(),
            ]),
            credentials: true,
        }
    );
    assert_eq!(*gate, Gate { max_shrink: Fraction::new(0.25).unwrap(), confirm_after: 1 });

    let Source::Reflag(source) = &upstream.source else { panic!("an upstream") };
    let ReflagSource { url, secret_key, upstream_publishable_key, poll_interval, timeout, ca_file } =
        source;
    assert_eq!(url.to_string(), "http://edge.example:8000/flags");
    assert_eq!(secret_key.expose(), "sec_plum");
    assert_eq!(upstream_publishable_key.as_ref().map(Key::expose), Some("pub_grape"));
    assert_eq!(*poll_interval, Duration::from_millis(100));
    assert_eq!(*timeout, Duration::from_millis(10));
    assert_eq!(ca_file.as_deref(), Some(Path::new("/etc/burgee/ca.pem")));
    assert_eq!(upstream.reflag.secret_flags, SecretFlags::Listed(vec!["beta".to_owned()]));
    assert_eq!(upstream.gate, Gate { max_shrink: Fraction::ONE, confirm_after: 1_000 });
}

#[test]
fn every_setting_has_a_row_in_the_table() {
    let rows = World::default().load(COMPLETE).unwrap().to_table();
    let written = COMPLETE.lines().filter(|line| line.contains(" = ")).count();
    assert_eq!(rows.len(), written);
    for row in rows {
        assert_eq!(row.set_by, SetBy::File, "{}", row.path);
    }
}

/// `config/burgee.toml` as it stands, and with all its settings.
fn sample() -> (String, String) {
    let written = include_str!("../config/burgee.toml");
    let setting = |line: &&str| {
        let first = line.strip_prefix('#').and_then(|line| line.chars().next());
        first.is_some_and(|first| first == '[' || first.is_ascii_lowercase())
    };
    let all = written.lines().map(|line| if setting(&line) { &line[1..] } else { line });
    (written.to_owned(), all.collect::<Vec<_>>().join("\n"))
}

#[test]
fn the_sample_file_shows_every_setting_with_its_default() {
    let (as_it_stands, all) = sample();
    let world = World::with(&[
        ("REFLAG_SECRET_KEY", "sec_quince"),
        ("REFLAG_PUBLISHABLE_KEY", "pub_orange"),
    ])
    .file("/run/secrets/burgee-admin-token", "0123456789-lemon");
    let all = world.load(&all).unwrap();
    assert_eq!(all.environments.len(), 2);
    let mut defaults = BTreeMap::new();
    for row in World::default().load(&as_it_stands).unwrap().to_table() {
        defaults.insert(row.path.clone(), row);
    }
    for row in World::default().load(MINIMAL_REFLAG).unwrap().to_table() {
        defaults.insert(row.path.replace("environments[0]", "environments[1]"), row);
    }
    // They have no default, or none that can be written.
    let examples = [
        "server.workers",
        "admin.token",
        "environments[0].max_staleness",
        "environments[1].publishable_keys",
        "environments[1].source.upstream_publishable_key",
        "environments[1].source.ca_file",
    ];
    for row in all.to_table() {
        let default = &defaults[&row.path];
        // The second environment does not repeat what is the same as in the first.
        let like_the_first = row.path.starts_with("environments[1]")
            && defaults
                .get(&row.path.replace("[1]", "[0]"))
                .is_some_and(|it| it.value == row.value);
        assert!(row.set_by == SetBy::File || like_the_first, "{}", row.path);
        if default.set_by == SetBy::Default && !examples.contains(&row.path.as_str()) {
            assert_eq!(row.value, default.value, "{}", row.path);
        }
    }
}

#[test]
fn sections_may_be_inline_or_dotted_and_an_empty_list_of_origins_allows_none() {
    let contents = r#"
        server.listen = "[::1]:0"
        environments = [
            { name = "a", secret_keys = ["k"], source = { type = "file", path = "f" }, cors.origins = [] },
        ]
    "#;
    let settings = World::default().load(contents).unwrap();
    assert_eq!(settings.server.listen, Listen::Tcp("[::1]:0".parse().unwrap()));
    assert_eq!(settings.environments[0].cors.origins, AllowedOrigins::Only(Vec::new()));
}

// A variable wins over the file, the file over the default.

const OVERRIDING_FILE: &str = r#"
[server]
listen = "10.0.0.1:1"
[admin]
listen = "10.0.0.1:2"
token = "token-from-the-file"
[log]
level = "warn"
format = "json"
"#;

#[test]
fn a_variable_wins_over_the_file_and_the_file_over_the_default() {
    let all = [
        ("BURGEE_LISTEN", "10.0.0.2:1"),
        ("BURGEE_ADMIN_LISTEN", "unix:admin.sock"),
        ("BURGEE_ADMIN_TOKEN", "token-from-the-variable"),
        ("BURGEE_LOG", "trace,text"),
    ];
    let mut table = String::new();
    for (file, head) in [("without", ""), ("with", OVERRIDING_FILE)] {
        for (variables, world) in [("without", World::default()), ("with", World::with(&all))] {
            let settings = world.load(&format!("{head}{MINIMAL}")).unwrap();
            let token = settings.admin.token.as_ref().map(Token::expose);
            writeln!(table, "{file} file, {variables} variables: token {token:?}").unwrap();
            for line in printed(&settings).lines() {
                let overlaid = ["server.listen", "admin.listen", "admin.token", "log."];
                if overlaid.iter().any(|path| line.starts_with(path)) {
                    writeln!(table, "    {line}").unwrap();
                }
            }
        }
    }
    assert_eq!(
        table,
        r#"without file, without variables: token None
    server.listen = "0.0.0.0:8000" (default)
    admin.listen = "127.0.0.1:8001" (default)
    admin.token = none (default)
    log.level = "info" (default)
    log.format = "text" (default)
without file, with variables: token Some("token-from-the-variable")
    server.listen = "10.0.0.2:1" (variable BURGEE_LISTEN)
    admin.listen = "unix:admin.sock" (variable BURGEE_ADMIN_LISTEN)
    admin.token = [redacted] (variable BURGEE_ADMIN_TOKEN)
    log.level = "trace" (variable BURGEE_LOG)
    log.format = "text" (variable BURGEE_LOG)
with file, without variables: token Some("token-from-the-file")
    server.listen = "10.0.0.1:1" (file)
    admin.listen = "10.0.0.1:2" (file)
    admin.token = [redacted] (file)
    log.level = "warn" (file)
    log.format = "json" (file)
with file, with variables: token Some("token-from-the-variable")
    server.listen = "10.0.0.2:1" (variable BURGEE_LISTEN)
    admin.listen = "unix:admin.sock" (variable BURGEE_ADMIN_LISTEN)
    admin.token = [redacted] (variable BURGEE_ADMIN_TOKEN)
    log.level = "trace" (variable BURGEE_LOG)
    log.format = "text" (variable BURGEE_LOG)
"#
    );
}

#[test]
fn burgee_log_is_a_level_or_a_format_or_both() {
    for (text, level, format) in [
        ("error", LogLevel::Error, LogFormat::Text),
        ("json", LogLevel::Info, LogFormat::Json),
        ("debug,json", LogLevel::Debug, LogFormat::Json),
        ("json, debug", LogLevel::Debug, LogFormat::Json),
    ] {
        let settings = World::with(&[("BURGEE_LOG", text)]).load(MINIMAL).unwrap();
        assert_eq!((settings.log.level, settings.log.format), (level, format));
    }
    for text in ["verbose", "debug,verbose", "debug,info", "json,text", "debug,"] {
        assert_eq!(
            lines(World::with(&[("BURGEE_LOG", text)]).load(MINIMAL)),
            [format!(
                "BURGEE_LOG: found {text:?}, expected a level (\"error\", \"warn\", \"info\", \
                 \"debug\" or \"trace\"), a format (\"text\" or \"json\"), or both such as \
                 \"debug,json\""
            )]
        );
    }
}

#[test]
fn burgee_log_leaves_alone_what_it_does_not_name() {
    let world = World::with(&[("BURGEE_LOG", "error")]);
    let settings = world.load(&format!("{OVERRIDING_FILE}{MINIMAL}")).unwrap();
    assert_eq!(settings.log.level, LogLevel::Error);
    assert_eq!(settings.log.format, LogFormat::Json);
}

#[test]
fn an_empty_variable_is_as_good_as_none() {
    let world = World::with(&[
        ("BURGEE_LISTEN", ""),
        ("BURGEE_ADMIN_TOKEN", " "),
        ("BURGEE_LOG", ""),
        ("BURGEE_SOURCE", ""),
        ("BURGEE_SECRET_KEYS", ""),
    ]);
    assert_eq!(world.load(MINIMAL), World::default().load(MINIMAL));
}

#[test]
fn a_bad_variable_is_named_instead_of_a_place_in_the_file() {
    let world = World::with(&[
        ("BURGEE_LISTEN", "localhost"),
        ("BURGEE_ADMIN_LISTEN", "unix:"),
        ("BURGEE_ADMIN_TOKEN", "short-lemon"),
    ]);
    assert_eq!(
        lines(world.load(&format!("{OVERRIDING_FILE}{MINIMAL}"))),
        [
            "BURGEE_LISTEN: found \"localhost\", expected \"address:port\", such as \
             \"0.0.0.0:8000\", or \"unix:/path\"",
            "BURGEE_ADMIN_LISTEN: found \"unix:\", expected \"address:port\", such as \
             \"0.0.0.0:8000\", or \"unix:/path\"",
            "BURGEE_ADMIN_TOKEN: found a shorter one, expected a token of at least 16 characters, \
             none of them white space or a control character",
        ]
    );
}

#[test]
fn what_a_variable_overrides_has_to_be_good_nevertheless() {
    let world = World::with(&[("BURGEE_LISTEN", "10.0.0.2:1")]);
    assert_eq!(
        lines(world.load(&format!("server.listen = 8000{MINIMAL}"))),
        ["burgee.toml:1: server.listen: found 8000, expected \"address:port\", such as \
             \"0.0.0.0:8000\", or \"unix:/path\""]
    );
}

// Without a file.

const FROM_VARIABLES: [(&str, &str); 5] = [
    ("BURGEE_SOURCE", "file"),
    ("BURGEE_SOURCE_PATH", "flags.json"),
    ("BURGEE_SOURCE_FORMAT", "reflag"),
    ("BURGEE_PUBLISHABLE_KEYS", "pub_orange, pub_cherry"),
    ("BURGEE_SECRET_KEYS", "sec_quince"),
];

#[test]
fn without_a_file_variables_describe_one_environment_named_default() {
    let world = World::with(&FROM_VARIABLES);
    let settings = world.load_without_a_file().unwrap();
    let environment = &settings.environments[0];
    assert_eq!(exposed(&environment.publishable_keys), ["pub_orange", "pub_cherry"]);
    assert_eq!(exposed(&environment.secret_keys), ["sec_quince"]);
    let table = printed(&settings);
    let (_, environment) = table.split_once("log.format = \"text\" (default)\n").unwrap();
    assert_eq!(
        environment,
        r#"environments[0].name = "default" (default)
environments[0].publishable_keys = [[redacted], [redacted]] (variable BURGEE_PUBLISHABLE_KEYS)
environments[0].secret_keys = [[redacted]] (variable BURGEE_SECRET_KEYS)
environments[0].max_staleness = none (default)
environments[0].on_stale = "serve" (default)
environments[0].on_unauthorized = "serve" (default)
environments[0].source.type = "file" (variable BURGEE_SOURCE)
environments[0].source.path = "flags.json" (variable BURGEE_SOURCE_PATH)
environments[0].source.format = "reflag" (variable BURGEE_SOURCE_FORMAT)
environments[0].source.poll_interval = "1s" (default)
environments[0].reflag.evaluator = "1.0" (default)
environments[0].reflag.secret_flags = [] (default)
environments[0].cors.origins = ["*"] (default)
environments[0].cors.credentials = false (default)
environments[0].gate.max_shrink = 0 (default)
environments[0].gate.confirm_after = 3 (default)
"#
    );
}

#[test]
fn without_a_file_a_key_is_enough_to_follow_an_upstream() {
    let world = World::with(&[("BURGEE_SOURCE", "reflag"), ("BURGEE_SOURCE_KEY", "sec_quince")]);
    let settings = world.load_without_a_file().unwrap();
    let environment = &settings.environments[0];
    assert_eq!(exposed(&environment.secret_keys), ["sec_quince"]);
    assert!(environment.publishable_keys.is_empty());
    let from_file = World::default().load(MINIMAL_REFLAG).unwrap();
    assert_eq!(environment.source, from_file.environments[0].source);

    let world = World::with(&[
        ("BURGEE_SOURCE", "reflag"),
        ("BURGEE_SOURCE_URL", "http://127.0.0.1:9000/"),
        ("BURGEE_SOURCE_KEY", "sec_quince"),
        ("BURGEE_PUBLISHABLE_KEYS", "pub_orange,pub_cherry"),
        ("BURGEE_SECRET_KEYS", "sec_plum"),
    ]);
    let settings = world.load_without_a_file().unwrap();
    let environment = &settings.environments[0];
    assert_eq!(exposed(&environment.publishable_keys), ["pub_orange", "pub_cherry"]);
    assert_eq!(exposed(&environment.secret_keys), ["sec_plum"]);
    let table = printed(&settings);
    for line in [
        "source.type = \"reflag\" (variable BURGEE_SOURCE)\n",
        "source.url = \"http://127.0.0.1:9000\" (variable BURGEE_SOURCE_URL)\n",
        "source.secret_key = [redacted] (variable BURGEE_SOURCE_KEY)\n",
    ] {
        assert!(table.contains(line), "{line} in {table}");
    }
}

#[test]
fn variables_of_another_source_are_refused() {
    let hint = "(hint: unset it, or choose the other source)";
    let world = World::with(&[
        ("BURGEE_SOURCE", "reflag"),
        ("BURGEE_SOURCE_KEY", "sec_quince"),
        ("BURGEE_SOURCE_PATH", "flags.json"),
        ("BURGEE_SOURCE_FORMAT", "reflag"),
    ]);
    let expected = ["BURGEE_SOURCE_PATH", "BURGEE_SOURCE_FORMAT"].map(|name| {
        format!(
            "{name}: found a variable that belongs to BURGEE_SOURCE=file, expected only those \
             that belong to BURGEE_SOURCE=reflag {hint}"
        )
    });
    assert_eq!(lines(world.load_without_a_file()), expected);

    let mut variables = FROM_VARIABLES.to_vec();
    variables.extend([
        ("BURGEE_SOURCE_URL", "https://front.reflag.com"),
        ("BURGEE_SOURCE_KEY", "sec_quince"),
    ]);
    let expected = ["BURGEE_SOURCE_URL", "BURGEE_SOURCE_KEY"].map(|name| {
        format!(
            "{name}: found a variable that belongs to BURGEE_SOURCE=reflag, expected only those \
             that belong to BURGEE_SOURCE=file {hint}"
        )
    });
    assert_eq!(lines(World::with(&variables).load_without_a_file()), expected);
}

#[test]
fn a_file_without_environments_leaves_them_to_the_variables() {
    let world = World::with(&FROM_VARIABLES);
    for contents in ["", "log.level = \"warn\"", "environments = []"] {
        let settings = world.load(contents).unwrap();
        assert_eq!(settings.environments[0].name, "default");
    }
}

#[test]
fn nothing_at_all_says_which_variables_there_are() {
    assert_eq!(
        lines(World::default().load_without_a_file()),
        ["BURGEE_SOURCE: found nothing, expected \"file\" or \"reflag\" (hint: without a \
             configuration file the variables BURGEE_SOURCE, BURGEE_SOURCE_URL, \
             BURGEE_SOURCE_KEY, BURGEE_SOURCE_PATH, BURGEE_SOURCE_FORMAT, \
             BURGEE_PUBLISHABLE_KEYS, BURGEE_SECRET_KEYS describe one environment)"]
    );
}

#[test]
fn an_environment_in_variables_has_to_be_whole() {
    assert_eq!(
        lines(World::with(&[("BURGEE_SOURCE", "file")]).load_without_a_file()),
        [
            "BURGEE_SOURCE_PATH: found nothing, expected the path of a file",
            "BURGEE_PUBLISHABLE_KEYS: found nothing, expected a key here or in BURGEE_SECRET_KEYS",
        ]
    );
    assert_eq!(
        lines(World::with(&[("BURGEE_SOURCE", "reflag")]).load_without_a_file()),
        ["BURGEE_SOURCE_KEY: found nothing, expected a key"]
    );
    for variable in ["BURGEE_SOURCE_PATH", "BURGEE_SOURCE_KEY"] {
        let world = World::with(&[(variable, "f"), ("BURGEE_SECRET_KEYS", "k")]);
        assert_eq!(
            lines(world.load_without_a_file()),
            ["BURGEE_SOURCE: found nothing, expected \"file\" or \"reflag\""]
        );
    }
}

#[test]
fn variables_are_checked_like_a_file() {
    let world = World::with(&[
        ("BURGEE_SOURCE", "flagsmith"),
        ("BURGEE_SOURCE_URL", "ftp://front.reflag.com"),
        ("BURGEE_SOURCE_KEY", "a quince"),
        ("BURGEE_SOURCE_FORMAT", "flagsmith"),
        ("BURGEE_PUBLISHABLE_KEYS", "pub_orange,,sec_quince,ser.quince"),
        ("BURGEE_SECRET_KEYS", "pub_orange,a quince"),
    ]);
    assert_eq!(
        lines(world.load_without_a_file()),
        [
            "BURGEE_SOURCE: found \"flagsmith\", expected \"file\" or \"reflag\" (hint: this \
             build knows only \"file\" or \"reflag\")",
            "BURGEE_SOURCE_FORMAT: found \"flagsmith\", expected \"reflag\" (hint: this build \
             knows only \"reflag\")",
            "BURGEE_SOURCE_URL: found \"ftp://front.reflag.com\", expected \"http://host\" or \
             \"https://host\", perhaps with a port and a path",
            "BURGEE_SOURCE_KEY: found a key with white space, expected a key",
            "BURGEE_PUBLISHABLE_KEYS[1]: found an empty key, expected a publishable key",
            "BURGEE_PUBLISHABLE_KEYS[2]: found a secret key, it starts with \"sec_\", expected a \
             publishable key (hint: move it to secret_keys; if a browser ever held it, replace \
             it)",
            "BURGEE_PUBLISHABLE_KEYS[3]: found a secret key, it starts with \"ser.\", expected a \
             publishable key (hint: move it to secret_keys; if a browser ever held it, replace \
             it)",
            "BURGEE_SECRET_KEYS[1]: found a key with white space, expected a key",
            "BURGEE_SECRET_KEYS[0]: found the key of environments[0].publishable_keys[0], \
             expected a key of its own",
        ]
    );
}

#[test]
fn variables_of_an_environment_beside_a_file_that_has_environments_are_refused() {
    let world = World::with(&FROM_VARIABLES);
    let expected: Vec<_> = FROM_VARIABLES
        .iter()
        .map(|(name, _)| {
            format!(
                "{name}: found an environment in variables beside environments in burgee.toml, \
                 expected one or the other (hint: unset the variable, or remove the file's \
                 environments)"
            )
        })
        .collect();
    assert_eq!(lines(world.load(MINIMAL)), expected);
}

// Refusals.

#[test]
fn text_that_is_not_toml_is_one_problem_with_line_and_column() {
    for (contents, expected) in [
        (
            "[server]\nlisten = 0.0.0.0:80\n",
            "burgee.toml:2:13: found text that is not TOML, expected TOML (hint: invalid float)",
        ),
        (
            "[server\nlisten = 8\n",
            "burgee.toml:1:8: found text that is not TOML, expected `]` (hint: unclosed table)",
        ),
        (
            "a = 1\nü = 1",
            "burgee.toml:2:1: found text that is not TOML, expected letters, numbers, `-`, `_` \
             (hint: invalid unquoted key)",
        ),
        (
            "a = 1\na = 2\n",
            "burgee.toml:2:1: found text that is not TOML, expected TOML (hint: duplicate key)",
        ),
    ] {
        refuses(contents, &[expected]);
    }
}

#[test]
fn ports_have_types_and_bounds() {
    for (setting, expected) in [
        ("server = 1", "server: found an integer, expected a table, [server]"),
        (
            "server.listen = \"localhost:80\"",
            "server.listen: found \"localhost:80\", expected \"address:port\", such as \
             \"0.0.0.0:8000\", or \"unix:/path\"",
        ),
        (
            "server.base_path = \"/a b\"",
            "server.base_path: found \"/a b\", expected a path of letters, digits and - . _ ~ \
             between single slashes, such as \"/flags\"",
        ),
        (
            "server.keep_alive = 75",
            "server.keep_alive: found 75, expected a duration from 1ms to 1day (hint: a unit is \
             missing: \"75s\" for seconds)",
        ),
        (
            "server.drain = \"10\"",
            "server.drain: found \"10\", expected a duration from 0s to 1day (hint: a number with \
             a unit, such as \"250ms\", \"75s\" or \"1h 30m\")",
        ),
        ("server.workers = 0", "server.workers: found 0, expected an integer from 1 to 1024"),
        (
            "server.workers = \"4\"",
            "server.workers: found \"4\", expected an integer from 1 to 1024 (hint: without the \
             quotes)",
        ),
        ("server.workers = 1.5", "server.workers: found 1.5, expected an integer from 1 to 1024"),
        (
            "server.h2c = \"true\"",
            "server.h2c: found \"true\", expected true or false (hint: without the quotes)",
        ),
        (
            "admin.listen = [\"127.0.0.1:1\"]",
            "admin.listen: found a list, expected \"address:port\", such as \"0.0.0.0:8000\", or \
             \"unix:/path\"",
        ),
        (
            "admin.token = \"fifteen-letters\"",
            "admin.token: found a shorter one, expected a token of at least 16 characters, none \
             of them white space or a control character",
        ),
        (
            "admin.token = \"sixteen letters!\"",
            "admin.token: found one with such a character, expected a token of at least 16 \
             characters, none of them white space or a control character",
        ),
        (
            "admin.token = 1234567890123456",
            "admin.token: found an integer, expected a token of at least 16 characters, none of \
             them white space or a control character",
        ),
        (
            "admin.startup_grace = \"25h\"",
            "admin.startup_grace: found \"25h\", expected a duration from 0s to 1day",
        ),
    ] {
        refuses_setting(setting, &format!("burgee.toml:1: {expected}"));
    }
}

#[test]
fn limits_and_log_have_types_and_bounds() {
    for (setting, expected) in [
        (
            "limits.connections = 1_000_001",
            "limits.connections: found 1000001, expected an integer from 1 to 1000000",
        ),
        (
            "limits.connections = 99999999999999999999",
            "limits.connections: found 99999999999999999999, expected an integer from 1 to 1000000",
        ),
        (
            "limits.body = \"65MiB\"",
            "limits.body: found \"65MiB\", expected a size from 1KiB to 64MiB",
        ),
        ("limits.body = 1023", "limits.body: found 1023, expected a size from 1KiB to 64MiB"),
        ("limits.body = -1", "limits.body: found -1, expected a size from 1KiB to 64MiB"),
        (
            "limits.url = \"65KiB\"",
            "limits.url: found \"65KiB\", expected a size from 1KiB to 64KiB",
        ),
        (
            "limits.url = \"1 kilobyte\"",
            "limits.url: found \"1 kilobyte\", expected a size from 1KiB to 64KiB (hint: bytes as \
             an integer, or text with B, kB, KB, KiB, MB, MiB, GB or GiB)",
        ),
        (
            "limits.header_timeout = \"0s\"",
            "limits.header_timeout: found \"0s\", expected a duration from 1ms to 1day",
        ),
        (
            "limits.body_timeout = 1979-05-27",
            "limits.body_timeout: found a date or time, expected a duration from 1ms to 1day",
        ),
        (
            "limits.in_flight_body_bytes = \"1000kB\"",
            "limits.in_flight_body_bytes: found 1000000B, expected at least limits.body, which \
             is 1MiB (hint: it bounds all bodies together: one of the longest has to fit)",
        ),
        (
            "log.level = \"Debug\"",
            "log.level: found \"Debug\", expected \"error\", \"warn\", \"info\", \"debug\" or \
             \"trace\" (hint: did you mean \"debug\"?)",
        ),
        (
            "limits.waiters_per_environment = 1_000_001",
            "limits.waiters_per_environment: found 1000001, expected an integer from 0 to 1000000",
        ),
        (
            "limits.waiters_per_environment = -1",
            "limits.waiters_per_environment: found -1, expected an integer from 0 to 1000000",
        ),
        ("log.format = \"logfmt\"", "log.format: found \"logfmt\", expected \"text\" or \"json\""),
        ("log.format = \"a\\nb\"", "log.format: found \"a\\nb\", expected \"text\" or \"json\""),
    ] {
        refuses_setting(setting, &format!("burgee.toml:1: {expected}"));
    }
}

#[test]
fn a_limit_that_is_bad_is_not_compared_with_others() {
    refuses_setting(
        "[limits]\nbody = \"65MiB\"\nin_flight_body_bytes = \"1KiB\"",
        "burgee.toml:2: limits.body: found \"65MiB\", expected a size from 1KiB to 64MiB",
    );
}

#[test]
fn the_two_ports_may_not_overlap() {
    for (server, admin) in [
        ("0.0.0.0:80", "127.0.0.1:80"),
        ("127.0.0.1:80", "127.0.0.1:80"),
        ("127.0.0.1:80", "[::]:80"),
        ("unix:/run/a", "unix:/run/a"),
    ] {
        refuses_setting(
            &format!("server.listen = \"{server}\"\nadmin.listen = \"{admin}\""),
            "burgee.toml:2: admin.listen: found one address for server.listen and admin.listen, \
             expected two that do not overlap",
        );
    }
    refuses_setting(
        "server.listen = \"0.0.0.0:8001\"",
        "burgee.toml:1: server.listen: found one address for server.listen and admin.listen, \
         expected two that do not overlap",
    );
    for (server, admin) in [
        ("127.0.0.1:0", "127.0.0.1:0"),
        ("127.0.0.1:80", "127.0.0.2:80"),
        ("0.0.0.0:80", "127.0.0.1:81"),
        ("0.0.0.0:80", "unix:/run/a"),
        ("unix:/run/b", "unix:/run/a"),
    ] {
        let listen = format!("server.listen = \"{server}\"\nadmin.listen = \"{admin}\"");
        let loaded = World::default().load(&format!("{listen}{MINIMAL}"));
        assert!(loaded.is_ok(), "{loaded:?}");
    }
}

#[test]
fn an_unknown_key_says_which_was_meant() {
    for (setting, expected) in [
        (
            "serve.listen = \"0.0.0.0:1\"",
            "serve: found an unknown key, expected one of server, admin, limits, log, \
             environments (hint: did you mean \"server\"?)",
        ),
        (
            "state.directory = \"./burgee-state\"",
            "state: found an unknown key, expected one of server, admin, limits, log, \
             environments",
        ),
        (
            "server.lisen = \"0.0.0.0:1\"",
            "server.lisen: found an unknown key, expected one of listen, base_path, keep_alive, \
             drain, workers, h2c (hint: did you mean \"listen\"?)",
        ),
        (
            "server.tls = {}",
            "server.tls: found an unknown key, expected one of listen, base_path, keep_alive, \
             drain, workers, h2c",
        ),
        (
            "server.\"keep alive\\n\" = 1",
            "server.\"keep alive\\n\": found an unknown key, expected one of listen, base_path, \
             keep_alive, drain, workers, h2c (hint: did you mean \"keep_alive\"?)",
        ),
        (
            "limits.Header-Timeout = \"1s\"",
            "limits.Header-Timeout: found an unknown key, expected one of connections, body, url, \
             header_timeout, body_timeout, in_flight_body_bytes, waiters_per_environment (hint: \
             did you mean \"header_timeout\"?)",
        ),
        (
            "log.workers = 1",
            "log.workers: found an unknown key, expected one of level, format (hint: workers \
             belongs below [server], not below [log])",
        ),
        (
            "listen = \"0.0.0.0:1\"",
            "listen: found an unknown key, expected one of server, admin, limits, log, \
             environments (hint: listen belongs below [admin] or [server])",
        ),
    ] {
        refuses_setting(setting, &format!("burgee.toml:1: {expected}"));
    }
}

#[test]
fn an_unknown_key_of_an_environment_says_where_it_belongs() {
    refuses(
        &format!("{MINIMAL}secret_keys = [\"sec_quince\"]\nurl = \"https://front.reflag.com\"\n"),
        &[
            "burgee.toml:8: environments[0].source.secret_keys: found an unknown key, expected \
             one of type, path, format, poll_interval (hint: secret_keys belongs below \
             [[environments]], not below [environments.source])",
            "burgee.toml:9: environments[0].source.url: found an unknown key, expected one of \
             type, path, format, poll_interval (hint: url belongs to type = \"reflag\")",
        ],
    );
    refuses_in_environment(
        "publishable_key = [\"pub_orange\"]\nsecret_keys = [\"sec_quince\"]",
        "burgee.toml:4: environments[0].publishable_key: found an unknown key, expected one of \
         name, publishable_keys, secret_keys, max_staleness, on_stale, on_unauthorized, source, \
         reflag, cors, gate (hint: did you mean \"publishable_keys\"?)",
    );
}

#[test]
fn there_has_to_be_an_environment() {
    let expected = "found no environments, expected at least one environment, below \
                    [[environments]]";
    refuses("", &[&format!("burgee.toml:1: environments: {expected}")]);
    refuses("\n[log]\n[server]\n", &[&format!("burgee.toml:1: environments: {expected}")]);
    refuses("\nenvironments = []\n", &[&format!("burgee.toml:2: environments: {expected}")]);
    refuses(
        "\n[environments]\nname = \"a\"\n",
        &["burgee.toml:2: environments: found a table, expected tables, each below \
             [[environments]]"],
    );
    refuses(
        "environments = [1]",
        &["burgee.toml:1: environments[0]: found an integer, expected tables, each below \
             [[environments]]"],
    );
}

#[test]
fn an_environment_has_a_name_a_source_and_a_key() {
    refuses(
        "[[environments]]\n",
        &[
            "burgee.toml:1: environments[0].name: found nothing, expected 1 to 64 letters, digits \
             and . _ - /",
            "burgee.toml:1: environments[0].source: found nothing, expected a table, \
             [environments.source], with a type",
            "burgee.toml:1: environments[0]: found no key, expected at least one in \
             publishable_keys or secret_keys (hint: a key selects the environment: without one \
             nobody can ask for its flags)",
        ],
    );
    refuses(
        "[[environments]]\nname = \"a b\"\nsecret_keys = []\n[environments.source]\n",
        &[
            "burgee.toml:1: environments[0]: found no key, expected at least one in \
             publishable_keys or secret_keys (hint: a key selects the environment: without one \
             nobody can ask for its flags)",
            "burgee.toml:2: environments[0].name: found \"a b\", expected 1 to 64 letters, digits \
             and . _ - /",
            "burgee.toml:4: environments[0].source.type: found nothing, expected \"file\" or \
             \"reflag\"",
            "burgee.toml:4: environments[0].source.path: found nothing, expected the path of a \
             file",
        ],
    );
}

#[test]
fn an_environments_settings_have_types_and_bounds() {
    for (line, expected) in [
        (
            "max_staleness = \"0s\"",
            "max_staleness: found \"0s\", expected a duration from 1ms to 1year",
        ),
        (
            "on_stale = \"refused\"",
            "on_stale: found \"refused\", expected \"serve\", \"mark\" or \"refuse\" (hint: did \
             you mean \"refuse\"?)",
        ),
        ("reflag.evaluator = 1.0", "reflag.evaluator: found 1.0, expected \"1.0\" or \"1.1\""),
        (
            "reflag.secret_flags = \"learn\"",
            "reflag.secret_flags: found \"learn\", expected a list of flag keys (hint: learning \
             which flags are public needs an upstream, and a file has none)",
        ),
        (
            "on_unauthorized = \"mark\"",
            "on_unauthorized: found \"mark\", expected \"serve\" or \"refuse\"",
        ),
        (
            "on_unauthorized = \"served\"",
            "on_unauthorized: found \"served\", expected \"serve\" or \"refuse\" (hint: did you \
             mean \"serve\"?)",
        ),
        ("gate.max_shrink = 1.01", "gate.max_shrink: found 1.01, expected a number from 0 to 1"),
        ("gate.max_shrink = -1", "gate.max_shrink: found -1, expected a number from 0 to 1"),
        ("gate.max_shrink = nan", "gate.max_shrink: found nan, expected a number from 0 to 1"),
        (
            "gate.max_shrink = \"0.5\"",
            "gate.max_shrink: found \"0.5\", expected a number from 0 to 1 (hint: without the \
             quotes)",
        ),
        (
            "gate.max_shrink = \"50%\"",
            "gate.max_shrink: found \"50%\", expected a number from 0 to 1",
        ),
        (
            "gate.confirm_after = 0",
            "gate.confirm_after: found 0, expected an integer from 1 to 1000",
        ),
        (
            "gate.confirm_after = 1001",
            "gate.confirm_after: found 1001, expected an integer from 1 to 1000",
        ),
        (
            "gate.confirm = 2",
            "gate.confirm: found an unknown key, expected one of max_shrink, confirm_after",
        ),
        (
            "reflag.secret_flags = [\"\"]",
            "reflag.secret_flags[0]: found \"\", expected a flag's key",
        ),
        ("cors.origins = \"*\"", "cors.origins: found \"*\", expected a list of strings"),
        (
            "cors.origins = [\"https://a.example\", \"b.example\"]",
            "cors.origins[1]: found \"b.example\", expected \"*\" or \"scheme://host[:port]\"",
        ),
        (
            "cors.origins = [\"https://a.example/\"]",
            "cors.origins[0]: found \"https://a.example/\", expected \"*\" or \
             \"scheme://host[:port]\" (hint: an origin has no path and no trailing slash)",
        ),
        (
            "cors.origins = [\"https://*.example\"]",
            "cors.origins[0]: found \"https://*.example\", expected \"*\" or \
             \"scheme://host[:port]\" (hint: a pattern is not read: name each origin, or \"*\" \
             alone)",
        ),
        (
            "cors.origins = [\"https://a.example\", \"*\"]",
            "cors.origins[1]: found \"*\" beside other origins, expected \"*\" alone, or a list \
             without it",
        ),
        (
            "cors.credentials = true",
            "cors.credentials: found true together with the origin \"*\", expected false, or a \
             list of origins (hint: otherwise every page on the web could read answers in its \
             visitors' names)",
        ),
        (
            "cors = { origins = [\"*\"], credentials = true }",
            "cors.credentials: found true together with the origin \"*\", expected false, or a \
             list of origins (hint: otherwise every page on the web could read answers in its \
             visitors' names)",
        ),
    ] {
        refuses_in_environment(
            &format!("{line}\nsecret_keys = [\"k\"]"),
            &format!("burgee.toml:4: environments[0].{expected}"),
        );
    }
}

#[test]
fn a_source_is_a_file_or_reflag_in_this_build() {
    let source = |lines: &str| {
        format!(
            "[[environments]]\nname = \"a\"\nsecret_keys = [\"k\"]\n[environments.source]\n{lines}"
        )
    };
    for word in ["flagsmith", "origin"] {
        refuses(
            &source(&format!("type = \"{word}\"\nurl = \"https://front.reflag.com\"\n")),
            &[&format!(
                "burgee.toml:5: environments[0].source.type: found \"{word}\", expected \"file\" \
                 or \"reflag\" (hint: this build knows only \"file\" or \"reflag\")"
            )],
        );
    }
    refuses(
        &source("type = \"fil\"\nformat = \"flagsmith\"\npoll_interval = \"49ms\"\npath = \"\"\n"),
        &[
            "burgee.toml:5: environments[0].source.type: found \"fil\", expected \"file\" or \
             \"reflag\" (hint: did you mean \"file\"?)",
            "burgee.toml:6: environments[0].source.format: found \"flagsmith\", expected \
             \"reflag\" (hint: this build knows only \"reflag\")",
            "burgee.toml:7: environments[0].source.poll_interval: found \"49ms\", expected a \
             duration from 50ms to 1day",
            "burgee.toml:8: environments[0].source.path: found \"\", expected the path of a file",
        ],
    );
}

// Upstreams.

/// An environment whose source is of type reflag and has a key, with these lines below the source;
/// the first of them is the sixth of the file.
fn upstream(lines: &str) -> String {
    format!(
        "[[environments]]\nname = \"a\"\n[environments.source]\ntype = \"reflag\"\n\
         secret_key = \"sec_quince\"\n{lines}\n"
    )
}

#[track_caller]
fn refuses_upstream(line: &str, expected: &str) {
    refuses(&upstream(line), &[&format!("burgee.toml:6: environments[0].{expected}")]);
}

#[test]
fn an_upstreams_settings_have_types_and_bounds() {
    let url = "\"http://host\" or \"https://host\", perhaps with a port and a path";
    for (line, found) in [
        ("url = \"ftp://host\"", "\"ftp://host\""),
        ("url = \"https://host:0\"", "\"https://host:0\""),
        ("url = \"https://host/a b\"", "\"https://host/a b\""),
        ("url = \"front.reflag.com\"", "text without \"://\""),
        ("url = \"https://me:lemon@host\"", "a URL with a user or a password"),
        ("url = \"https://host/?key=lemon\"", "a URL with a query"),
        ("url = \"https://host#lemon\"", "a URL with a fragment"),
        ("url = 8000", "8000"),
    ] {
        refuses_upstream(line, &format!("source.url: found {found}, expected {url}"));
    }
    for (line, expected) in [
        (
            "poll_interval = \"99ms\"",
            "source.poll_interval: found \"99ms\", expected a duration from 100ms to 1day",
        ),
        (
            "poll_interval = \"25h\"",
            "source.poll_interval: found \"25h\", expected a duration from 100ms to 1day",
        ),
        (
            "timeout = \"9ms\"",
            "source.timeout: found \"9ms\", expected a duration from 10ms to 10m",
        ),
        (
            "timeout = 10",
            "source.timeout: found 10, expected a duration from 10ms to 10m (hint: a unit is \
             missing: \"10s\" for seconds)",
        ),
        ("ca_file = \"\"", "source.ca_file: found \"\", expected the path of a file"),
        (
            "upstream_publishable_key = \"sec_lemon\"",
            "source.upstream_publishable_key: found a secret key, it starts with \"sec_\", \
             expected a publishable key (hint: the upstream's secret key is secret_key)",
        ),
        (
            "upstream_publishable_key = [\"pub_lemon\"]",
            "source.upstream_publishable_key: found a list, expected a publishable key",
        ),
        (
            "[environments.reflag]\nsecret_flags = \"lern\"",
            "reflag.secret_flags: found \"lern\", expected \"learn\" or a list of flag keys (hint: \
             did you mean \"learn\"?)",
        ),
        (
            "[environments.reflag]\nsecret_flags = true",
            "reflag.secret_flags: found true, expected \"learn\" or a list of flag keys",
        ),
    ] {
        let line_number = if line.starts_with('[') { 7 } else { 6 };
        refuses(
            &upstream(line),
            &[&format!("burgee.toml:{line_number}: environments[0].{expected}")],
        );
    }
    refuses(
        &upstream("").replace("\"sec_quince\"", "\"\""),
        &["burgee.toml:5: environments[0].source.secret_key: found an empty key, expected a key"],
    );
    refuses(
        &upstream("").replace("secret_key = \"sec_quince\"\n", ""),
        &["burgee.toml:3: environments[0].source.secret_key: found nothing, expected a key"],
    );
}

#[test]
fn plain_http_and_a_path_are_good_enough_for_an_upstream() {
    for (written, shown) in [
        ("http://edge.internal", "http://edge.internal"),
        ("https://front-eu.reflag.com/", "https://front-eu.reflag.com"),
        ("http://10.0.0.1:8000/flags/", "http://10.0.0.1:8000/flags"),
    ] {
        let settings = World::default().load(&upstream(&format!("url = {written:?}"))).unwrap();
        let Source::Reflag(source) = &settings.environments[0].source else {
            panic!("an upstream")
        };
        assert_eq!(source.url.to_string(), shown);
    }
}

#[test]
fn a_key_of_another_type_of_source_says_to_which_it_belongs() {
    let known = "expected one of type, url, secret_key, upstream_publishable_key, poll_interval, \
                 timeout, ca_file";
    for (line, expected) in [
        (
            "path = \"f\"",
            "path: found an unknown key, KNOWN (hint: path belongs to type = \"file\")",
        ),
        (
            "format = \"reflag\"",
            "format: found an unknown key, KNOWN (hint: format belongs to type = \"file\")",
        ),
        ("push = true", "push: found an unknown key, KNOWN"),
        (
            "time_out = \"1s\"",
            "time_out: found an unknown key, KNOWN (hint: did you mean \"timeout\"?)",
        ),
        // Not "did you mean secret_key": that one is written already.
        (
            "secret_keys = [\"sec_lime\"]",
            "secret_keys: found an unknown key, KNOWN (hint: secret_keys belongs below \
             [[environments]], not below [environments.source])",
        ),
    ] {
        refuses_upstream(line, &format!("source.{}", expected.replace("KNOWN", known)));
    }
    refuses_in_environment(
        "secret_keys = [\"k\"]\nurl = \"https://front.reflag.com\"",
        "burgee.toml:5: environments[0].url: found an unknown key, expected one of name, \
         publishable_keys, secret_keys, max_staleness, on_stale, on_unauthorized, source, reflag, \
         cors, gate (hint: url belongs below [environments.source] or [limits], not below \
         [[environments]])",
    );
}

#[test]
fn a_mistyped_type_is_taken_for_the_one_that_was_meant() {
    let kind = "expected \"file\" or \"reflag\"";
    for (written, problem) in [
        ("type = \"reflg\"", format!("found \"reflg\", {kind} (hint: did you mean \"reflag\"?)")),
        ("type = \"s3\"", format!("found \"s3\", {kind}")),
        ("type = 1", format!("found 1, {kind}")),
    ] {
        refuses(
            &upstream("timeout = \"1h\"").replace("type = \"reflag\"", written),
            &[
                &format!("burgee.toml:4: environments[0].source.type: {problem}"),
                "burgee.toml:6: environments[0].source.timeout: found \"1h\", expected a duration \
                 from 10ms to 10m",
            ],
        );
    }
}

#[test]
fn the_sources_key_is_the_secret_key_unless_others_are_listed() {
    for (line, expected) in [
        ("", &["sec_quince"][..]),
        ("secret_keys = [\"sec_lime\"]", &["sec_lime"]),
        ("secret_keys = [\"sec_lime\", \"sec_quince\"]", &["sec_lime", "sec_quince"]),
        ("publishable_keys = [\"pub_orange\"]\nsecret_keys = []", &[]),
    ] {
        let contents = upstream("").replace("name = \"a\"", &format!("name = \"a\"\n{line}"));
        let settings = World::default().load(&contents).unwrap();
        assert_eq!(exposed(&settings.environments[0].secret_keys), expected, "{line}");
    }
    refuses(
        &upstream("").replace("name = \"a\"", "name = \"a\"\nsecret_keys = []"),
        &["burgee.toml:1: environments[0]: found no key, expected at least one in \
           publishable_keys or secret_keys (hint: a key selects the environment: without one \
           nobody can ask for its flags)"],
    );
}

#[test]
fn flags_are_learned_with_the_upstreams_publishable_key_or_the_first_of_ours() {
    let publishable = "publishable_keys = [\"pub_orange\", \"pub_cherry\"]";
    let listed = "[environments.reflag]\nsecret_flags = []";
    let learn = "[environments.reflag]\nsecret_flags = \"learn\"";
    let own = "upstream_publishable_key = \"pub_grape\"";
    for (environment, source, expected) in [
        (publishable, "", Some("pub_orange")),
        (publishable, learn, Some("pub_orange")),
        (publishable, own, Some("pub_grape")),
        (publishable, listed, None),
        // Nobody would see the difference.
        ("", own, None),
        ("", "", None),
    ] {
        let contents =
            upstream(source).replace("name = \"a\"", &format!("name = \"a\"\n{environment}"));
        let settings = World::default().load(&contents).unwrap();
        let key = |settings: &Settings| {
            settings.environments[0].learning_key().map(|key| key.expose().to_owned())
        };
        assert_eq!(key(&settings).as_deref(), expected, "{environment} {source}");
        assert_eq!(key(&settings.without_keys()).as_deref(), expected, "{environment} {source}");
    }
    let settings = World::default().load(MINIMAL).unwrap();
    assert_eq!(settings.environments[0].learning_key(), None);
}

#[test]
fn a_word_from_outside_may_ask_for_learning_too() {
    let contents = upstream("[environments.reflag]\nsecret_flags = \"${SECRET_FLAGS}\"");
    let settings = World::with(&[("SECRET_FLAGS", "learn")]).load(&contents).unwrap();
    assert_eq!(settings.environments[0].reflag.secret_flags, SecretFlags::Learn);
}

#[test]
fn only_what_is_sent_to_upstreams_outlives_the_start() {
    let settings = World::default().load(COMPLETE).unwrap().without_keys();
    assert_eq!(settings.admin.token, None);
    for environment in &settings.environments {
        assert!(environment.publishable_keys.is_empty());
        assert!(environment.secret_keys.is_empty());
    }
    let Source::Reflag(source) = &settings.environments[1].source else { panic!("an upstream") };
    assert_eq!(source.secret_key.expose(), "sec_plum");
    assert_eq!(source.upstream_publishable_key.as_ref().map(Key::expose), Some("pub_grape"));
}

#[test]
fn a_browser_never_holds_the_key_of_a_source() {
    let second = upstream("").replace("\"a\"", "\"b\"").replace("quince", "lime");
    let hint = "(hint: it opens the rules at the upstream; if a browser ever held it, replace it)";
    // In the same environment, with that key as the only secret one, and in another.
    for (key, source) in [("quince", 0), ("lime", 1)] {
        // Without the prefix that is refused by itself.
        let publishable = format!("name = \"a\"\npublishable_keys = [\"pub_orange\", \"{key}\"]");
        let contents = format!("{}{second}", upstream("").replace("name = \"a\"", &publishable));
        refuses(
            &contents.replace("sec_", ""),
            &[&format!(
                "burgee.toml:3: environments[0].publishable_keys[1]: found the key of \
                 environments[{source}].source.secret_key, expected a publishable key {hint}"
            )],
        );
    }
}

#[test]
fn an_upstreams_publishable_key_is_nobodys_secret_key() {
    let hint = "(hint: browsers hold it, so it must open nothing that is secret)";
    let second = upstream("").replace("\"a\"", "\"b\"\nsecret_keys = [\"plum\"]");
    let second = second.replace("quince", "lime");
    for (key, other) in [
        ("quince", "environments[0].source.secret_key"),
        ("lime", "environments[1].source.secret_key"),
        ("plum", "environments[1].secret_keys[0]"),
    ] {
        let contents =
            format!("{}{second}", upstream(&format!("upstream_publishable_key = \"{key}\"")));
        refuses(
            &contents.replace("sec_", ""),
            &[&format!(
                "burgee.toml:6: environments[0].source.upstream_publishable_key: found the key of \
                 {other}, expected a publishable key {hint}"
            )],
        );
    }
    let twice = upstream("upstream_publishable_key = \"pub_orange\"")
        .replace("name = \"a\"", "name = \"a\"\npublishable_keys = [\"pub_orange\"]");
    assert_eq!(lines(World::default().load(&twice)), [""; 0]);
}

#[test]
fn two_environments_may_ask_with_one_key_but_not_be_asked_with_one() {
    let with = |name: &str, secret_keys: &str| {
        upstream("").replace("name = \"a\"", &format!("name = \"{name}\"\n{secret_keys}"))
    };
    let hint = "(hint: where secret_keys is left out, clients send the source's secret_key, and it \
                can select one environment only: write secret_keys)";
    let listed = "secret_keys = [\"sec_quince\"]";
    for (first, second, expected) in [
        (
            "",
            "",
            format!(
                "burgee.toml:13: environments[1].source.secret_key: found the key of \
                 environments[0].source.secret_key, expected a key of its own {hint}"
            ),
        ),
        (
            listed,
            "",
            format!(
                "burgee.toml:13: environments[1].source.secret_key: found the key of \
                 environments[0].secret_keys[0], expected a key of its own {hint}"
            ),
        ),
        (
            "",
            listed,
            format!(
                "burgee.toml:10: environments[1].secret_keys[0]: found the key of \
                 environments[0].source.secret_key, expected a key of its own {hint}"
            ),
        ),
        (
            listed,
            listed,
            "burgee.toml:10: environments[1].secret_keys[0]: found the key of \
             environments[0].secret_keys[0], expected a key of its own"
                .to_owned(),
        ),
    ] {
        refuses(&format!("{}{}", with("a", first), with("b", second)), &[&expected]);
    }
    for (first, second) in [
        ("secret_keys = [\"sec_lime\"]", ""),
        ("", "secret_keys = [\"sec_plum\"]"),
        ("secret_keys = [\"sec_lime\"]", "secret_keys = [\"sec_plum\"]"),
        ("secret_keys = [\"sec_lime\"]", "publishable_keys = [\"pub_orange\"]\nsecret_keys = []"),
    ] {
        let contents = format!("{}{}", with("a", first), with("b", second));
        assert_eq!(lines(World::default().load(&contents)), [""; 0], "{first} {second}");
    }
}

// Proxies.

#[test]
fn proxies_come_from_the_variables_that_everybody_reads() {
    let of = |variables| World::with(variables).load(MINIMAL).unwrap();
    assert_eq!(of(&[]).proxy, Proxy::default());
    let upper = [
        ("HTTPS_PROXY", "http://lemon:1"),
        ("HTTP_PROXY", "http://lemon:2"),
        ("ALL_PROXY", "socks5://lemon:3"),
        ("NO_PROXY", "localhost,.internal"),
    ];
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        of(&upper).proxy,
        Proxy {
            https: text("http://lemon:1"),
            http: text("http://lemon:2"),
            all: text("socks5://lemon:3"),
            no_proxy: text("localhost,.internal"),
        }
    );
    let mut both = upper.to_vec();
    both.extend([
        ("https_proxy", "no proxy at all"),
        ("http_proxy", "http://lime:2"),
        ("all_proxy", "http://lime:3"),
        // As good as none.
        ("no_proxy", ""),
    ]);
    let settings = of(&both);
    assert_eq!(
        settings.proxy,
        Proxy {
            https: text("no proxy at all"),
            http: text("http://lime:2"),
            all: text("http://lime:3"),
            no_proxy: text("localhost,.internal"),
        }
    );
    let table = printed(&settings);
    let (_, table) = table.split_once("log.format = \"text\" (default)\n").unwrap();
    let (table, _) = table.split_once("environments").unwrap();
    assert_eq!(
        table,
        "proxy.https = [redacted] (variable https_proxy)\n\
         proxy.http = [redacted] (variable http_proxy)\n\
         proxy.all = [redacted] (variable all_proxy)\n\
         proxy.no_proxy = \"localhost,.internal\" (variable NO_PROXY)\n"
    );
}

// Keys.

#[test]
fn a_key_has_its_rules_and_is_never_quoted() {
    let long = format!("publishable_keys = [\"{}\"]", "k".repeat(257));
    for (line, expected) in [
        (
            "publishable_keys = \"pub_orange\"",
            "publishable_keys: found a string, expected a list of strings",
        ),
        (
            "publishable_keys = { pub_orange = true }",
            "publishable_keys: found a table, expected a list of strings",
        ),
        (
            "publishable_keys = [31337]",
            "publishable_keys[0]: found an integer, expected a publishable key",
        ),
        (
            "publishable_keys = [\"\"]",
            "publishable_keys[0]: found an empty key, expected a publishable key",
        ),
        (
            "secret_keys = [\"sec_ok\", \"or ange\"]",
            "secret_keys[1]: found a key with white space, expected a key",
        ),
        (
            "secret_keys = [\"orange\\n\"]",
            "secret_keys[0]: found a key with white space, expected a key",
        ),
        (
            "secret_keys = [\"or\\u0000ange\"]",
            "secret_keys[0]: found a key with a control character, expected a key",
        ),
        (
            &long,
            "publishable_keys[0]: found a key of more than 256 bytes, expected a publishable key",
        ),
        (
            "publishable_keys = [\"ser.orange\"]",
            "publishable_keys[0]: found a secret key, it starts with \"ser.\", expected a \
             publishable key (hint: move it to secret_keys; if a browser ever held it, replace \
             it)",
        ),
        (
            "publishable_keys = [\"sec_orange\"]",
            "publishable_keys[0]: found a secret key, it starts with \"sec_\", expected a \
             publishable key (hint: move it to secret_keys; if a browser ever held it, replace \
             it)",
        ),
        (
            "publishable_keys = [\"orange\"]\nsecret_keys = [\"orange\"]",
            "secret_keys[0]: found the key of environments[0].publishable_keys[0], expected a key \
             of its own",
        ),
        (
            "publishable_keys = [\"orange\", \"lime\", \"orange\"]",
            "publishable_keys[2]: found the key of environments[0].publishable_keys[0], expected \
             a key of its own",
        ),
    ] {
        let at = if line.contains('\n') { 5 } else { 4 };
        refuses_in_environment(line, &format!("burgee.toml:{at}: environments[0].{expected}"));
    }
    refuses_in_environment(
        "secret_keys = [\n  \"sec_ok\",\n  \"\",\n]",
        "burgee.toml:6: environments[0].secret_keys[1]: found an empty key, expected a key",
    );
}

#[test]
fn a_key_may_be_as_long_as_256_bytes_and_secret_keys_may_look_like_anything() {
    let key = "ü".repeat(128);
    let contents = format!(
        "{MINIMAL}[[environments]]\nname=\"b\"\nsecret_keys = [\"{key}\", \"pub_x\", \"ser.x\"]\nsource = {{ type = \"file\", path = \"f\" }}"
    );
    let settings = World::default().load(&contents).unwrap();
    assert_eq!(exposed(&settings.environments[1].secret_keys), [key.as_str(), "pub_x", "ser.x"]);
}

#[test]
fn names_and_keys_are_used_once_across_environments() {
    let second = MINIMAL.replace("publishable_keys", "secret_keys");
    refuses(
        &format!("{MINIMAL}{second}"),
        &[
            "burgee.toml:10: environments[1].name: found the name of environments[0], expected a \
             name of its own",
            "burgee.toml:11: environments[1].secret_keys[0]: found the key of \
             environments[0].publishable_keys[0], expected a key of its own",
        ],
    );
}

#[test]
fn all_problems_are_found_at_once() {
    let contents = r#"colour = "red"
[server]
listen = 8000
workers = 0
[limits]
body = "1MiB"
in_flight_body_bytes = "512KiB"
burst = 3
[[environments]]
name = "a"
publishable_keys = ["sec_quince", "orange"]
on_stale = "mask"
source.type = "s3"
[[environments]]
name = "a"
secret_keys = ["orange", "${ABSENT}"]
source = { type = "file", path = "f" }
cors.credentials = true
"#;
    let world = World::with(&[("BURGEE_LOG", "loud"), ("BURGEE_SOURCE", "file")]);
    let found = lines(world.load(contents));
    let places: Vec<_> = found.iter().map(|line| line.split_once(": found").unwrap().0).collect();
    assert_eq!(
        places,
        [
            "burgee.toml:1: colour",
            "burgee.toml:3: server.listen",
            "burgee.toml:4: server.workers",
            "burgee.toml:7: limits.in_flight_body_bytes",
            "burgee.toml:8: limits.burst",
            "burgee.toml:11: environments[0].publishable_keys[0]",
            "burgee.toml:12: environments[0].on_stale",
            "burgee.toml:13: environments[0].source.type",
            "burgee.toml:13: environments[0].source.path",
            "burgee.toml:15: environments[1].name",
            "burgee.toml:16: environments[1].secret_keys[1]",
            "burgee.toml:16: environments[1].secret_keys[0]",
            "burgee.toml:18: environments[1].cors.credentials",
            "BURGEE_LOG",
            "BURGEE_SOURCE",
        ]
    );
    let Err(problems) = world.load(contents) else { panic!("there are problems") };
    assert_eq!(problems.to_string(), found.join("\n"));
    let place = &problems.iter().nth(1).unwrap().place;
    assert_eq!(
        *place,
        Place::File {
            file: PathBuf::from("burgee.toml"),
            line: 3,
            column: None,
            path: "server.listen".to_owned(),
        }
    );
}

// Placeholders.

#[test]
fn placeholders_are_replaced_in_any_string() {
    let world = World::with(&[
        ("PORT", "9000"),
        ("NAME", "shop"),
        ("KEY", "pub_orange"),
        ("LEVEL", "warn"),
        ("SIZE", "2"),
    ])
    .file("/run/secrets/key", "sec_quince\n")
    .file("/run/secrets/token", "0123456789-lemon\r\n");
    let settings = world
        .load(
            r#"
            server.listen = "127.0.0.1:${PORT}"
            admin.token = "${file:/run/secrets/token}"
            limits.body = "${SIZE}MiB"
            log.level = "${LEVEL}"
            [[environments]]
            name = "${NAME}/production"
            publishable_keys = ["${KEY}", "$${KEY}", "$KEY"]
            secret_keys = ["${file:/run/secrets/key}"]
            source = { type = "file", path = "/etc/${NAME}.json" }
            "#,
        )
        .unwrap();
    assert_eq!(settings.server.listen, Listen::Tcp("127.0.0.1:9000".parse().unwrap()));
    assert_eq!(settings.admin.token.unwrap().expose(), "0123456789-lemon");
    assert_eq!(settings.limits.body, 2 << 20);
    assert_eq!(settings.log.level, LogLevel::Warn);
    let environment = &settings.environments[0];
    assert_eq!(environment.name, "shop/production");
    assert_eq!(exposed(&environment.publishable_keys), ["pub_orange", "${KEY}", "$KEY"]);
    assert_eq!(exposed(&environment.secret_keys), ["sec_quince"]);
    let Source::File(source) = &environment.source else { panic!("a file") };
    assert_eq!(source.path, Path::new("/etc/shop.json"));
}

#[test]
fn variables_are_taken_as_they_are() {
    let world = World::with(&[("BURGEE_ADMIN_TOKEN", "${NOT_REPLACED_HERE}")]);
    let settings = world.load(MINIMAL).unwrap();
    assert_eq!(settings.admin.token.unwrap().expose(), "${NOT_REPLACED_HERE}");
}

#[test]
fn a_placeholder_that_cannot_be_replaced_names_setting_and_variable() {
    let hint = "expected placeholders that can be replaced (hint: write \"$${\" for a literal \
                \"${\")";
    for (text, reason) in [
        ("${BURGEE_TEST}", "the variable BURGEE_TEST is not set"),
        ("${file:/run/absent}", "the file /run/absent cannot be read: entity not found"),
        ("abc${", "\"${\" without \"}\""),
        ("abc${not a name}", "\"${}\" names neither a variable nor a file"),
    ] {
        refuses_setting(
            &format!("server.listen = \"{text}\""),
            &format!("burgee.toml:1: server.listen: found {reason}, {hint}"),
        );
        refuses_in_environment(
            &format!("secret_keys = [\"{text}\"]"),
            &format!("burgee.toml:4: environments[0].secret_keys[0]: found {reason}, {hint}"),
        );
    }
}

#[test]
fn a_problem_shows_the_placeholder_and_not_what_replaced_it() {
    let world = World::with(&[("ADDRESS", "quince"), ("KEY", "sec_quince")]);
    let contents = r#"server.listen = "${ADDRESS}:80"
[[environments]]
name = "a"
publishable_keys = ["${KEY}"]
source = { type = "file", path = "f" }
"#;
    assert_eq!(
        lines(world.load(contents)),
        [
            "burgee.toml:1: server.listen: found \"${ADDRESS}:80\", expected \"address:port\", \
             such as \"0.0.0.0:8000\", or \"unix:/path\" (hint: the text after its placeholders \
             were replaced does not fit)",
            "burgee.toml:4: environments[0].publishable_keys[0]: found a secret key, it starts \
             with \"sec_\", expected a publishable key (hint: move it to secret_keys; if a \
             browser ever held it, replace it)",
        ]
    );
}

// Redaction.

#[test]
fn settings_never_show_a_key_or_a_token() {
    let world = World::with(&[
        ("BURGEE_ADMIN_TOKEN", "lemon-lemon-lemon"),
        ("KEY", "sec_quince_2"),
        ("https_proxy", "http://user:lemon@proxy"),
        ("HTTP_PROXY", "http://user:lemon@proxy"),
        ("ALL_PROXY", "http://user:lemon@proxy"),
    ]);
    let contents = COMPLETE.replace("\"sec_quince\",", "\"sec_quince\", \"${KEY}\"");
    let settings = world.load(&contents).unwrap();
    let environment = &settings.environments[0];
    assert_eq!(environment.secret_keys.len(), 2);
    assert_eq!(settings.environments[1].secret_keys.len(), 2);
    let shown = format!(
        "{settings:?} {settings:#?} {} {} {} {:?}",
        environment.secret_keys[1],
        settings.admin.token.as_ref().unwrap(),
        printed(&settings),
        settings.to_table(),
    );
    for secret in ["orange", "cherry", "quince", "lemon", "lime", "plum", "peach", "grape"] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
    assert!(shown.contains("[redacted]"));
}

#[test]
fn problems_never_show_a_key_or_a_token() {
    let refused = [
        "admin.token = \"lemon\"",
        "admin.token = [\"lemon\"]",
        "admin.token = \"${LEMON}\"",
        "admin.token = \"lemon${ABSENT}\"",
        "[[environments]]\nsecret_keys = \"lemon\"",
        "[[environments]]\nsecret_keys = [[\"lemon\"]]",
        "[[environments]]\nsecret_keys = [{ lemon = 1 }]",
        "[[environments]]\nsecret_keys.lemon = true",
        "[[environments]]\nsecret_keys = [\"a lemon\"]",
        "[[environments]]\nsecret_keys = [\"lemon\\u0001\"]",
        "[[environments]]\nsecret_keys = [\"lemon${ABSENT}\"]",
        "[[environments]]\nsecret_keys = [\"${lemon\"]",
        "[[environments]]\nsecret_keys = [\"${a lemon}\"]",
        "[[environments]]\nsecret_keys = [\"lemon\", \"lemon\"]",
        "[[environments]]\npublishable_keys = [\"sec_lemon\"]",
        "[[environments]]\npublishable_keys = [\"${LEMON}\"]",
        "[[environments]]\nsource = { type = \"reflag\", secret_key = \"a lemon\" }",
        "[[environments]]\nsource = { type = \"reflag\", secret_key = [\"lemon\"] }",
        "[[environments]]\nsource = { type = \"reflag\", secret_key = \"lemon${ABSENT}\" }",
        "[[environments]]\nsource = { type = \"reflag\", upstream_publishable_key = \"a lemon\" }",
        "[[environments]]\nsource = { type = \"reflag\", upstream_publishable_key = \"sec_lemon\" }",
        "[[environments]]\nsource = { type = \"reflag\", url = \"lemon\" }",
        "[[environments]]\nsource = { type = \"reflag\", url = \"https://user:lemon@host\" }",
        "[[environments]]\nsource = { type = \"reflag\", url = \"https://host/?lemon\" }",
        "[[environments]]\nsource = { type = \"reflag\", url = \"${LEMON}\" }",
        "[[environments]]\nsource = { type = \"file\", secret_key = \"lemon\" }",
        "[[environments]]\nsource = { type = \"flagsmith\", secret_key = \"lemon\" }",
        "[[environments]]\npublishable_keys = [\"lemon\"]\n\
         source = { type = \"reflag\", secret_key = \"lemon\" }",
        "[[environments]]\nsource = { type = \"reflag\", secret_key = \"lemon\", \
         upstream_publishable_key = \"lemon\" }",
        // Not even where the file is not TOML.
        "[[environments]]\npublishable_keys = [lemon]",
        "[[environments]]\npublishable_keys = [\"lemon]",
        "[[environments]]\npublishable_keys = [\"lemon\" \"lemon\"]",
        "[[environments]]\npublishable_keys = \"\\lemon\"",
        "admin.token = 'lemon",
    ];
    let world = World::with(&[("LEMON", "sec_a lemon")]);
    for contents in refused {
        let Err(problems) = world.load(contents) else { panic!("no problem in {contents}") };
        let shown = format!("{problems} {problems:?}");
        assert!(!shown.contains("lemon"), "{shown}");
    }

    let variables = World::with(&[
        ("BURGEE_ADMIN_TOKEN", "lemon"),
        ("BURGEE_PUBLISHABLE_KEYS", "sec_lemon,lem on,lemon"),
        ("BURGEE_SECRET_KEYS", "lemon"),
        ("BURGEE_SOURCE_KEY", "a lemon"),
        ("BURGEE_SOURCE_URL", "https://user:lemon@host"),
        ("HTTPS_PROXY", "lemon"),
    ]);
    for result in [variables.load_without_a_file(), variables.load(MINIMAL)] {
        let problems = result.unwrap_err();
        let shown = format!("{problems} {problems:?}");
        assert!(!shown.contains("lemon"), "{shown}");
    }
}

// The admin port alone, for commands that ask a process that runs.

fn admin(contents: &str, world: &World) -> Result<Listen, Vec<String>> {
    let admin = Settings::load_admin(Some((Path::new("burgee.toml"), contents)), world);
    admin
        .map(|admin| admin.listen)
        .map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

#[test]
fn the_admin_port_is_found_in_a_file_that_has_problems_elsewhere() {
    let contents = r#"
        server.listen = "nowhere"
        admin = { listen = "127.0.0.1:9001", token = "${ABSENT}" }
        [[environments]]
        secret_keys = ["${file:/run/absent}"]
    "#;
    let listen = Listen::Tcp("127.0.0.1:9001".parse().unwrap());
    assert_eq!(admin(contents, &World::default()), Ok(listen));
    let variable = World::with(&[("BURGEE_ADMIN_LISTEN", "unix:/run/admin.sock")]);
    assert_eq!(admin(contents, &variable), Ok(Listen::Unix("/run/admin.sock".into())));
}

#[test]
fn an_admin_port_that_is_bad_itself_is_a_problem() {
    let bad = admin("admin.listen = 7\nserver.listen = 8", &World::default()).unwrap_err();
    assert_eq!(bad.len(), 1);
    assert!(bad[0].starts_with("burgee.toml:1: admin.listen: found 7, expected "), "{bad:?}");
    let variable = World::with(&[("BURGEE_ADMIN_LISTEN", "here")]);
    let bad = admin("", &variable).unwrap_err();
    assert!(bad[0].starts_with("BURGEE_ADMIN_LISTEN: found \"here\", expected "), "{bad:?}");
    assert_eq!(admin("admin.listen", &World::default()).unwrap_err().len(), 1, "not TOML");
}
