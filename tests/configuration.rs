//! The configuration as an operator meets it: a file and variables in, settings or problems out.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use burgee::config::{
    AllowedOrigins, Cors, Environment, Evaluator, FileFormat, FileSource, Key, Listen, LogFormat,
    LogLevel, OnStale, Place, Problems, Reflag, SetBy, Settings, Source, Surroundings, Token,
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
log.level = "info" (default)
log.format = "text" (default)
environments[0].name = "production" (file)
environments[0].publishable_keys = [[redacted]] (file)
environments[0].secret_keys = [] (default)
environments[0].max_staleness = none (default)
environments[0].on_stale = "serve" (default)
environments[0].source.type = "file" (file)
environments[0].source.path = "flags.json" (file)
environments[0].source.format = "reflag" (default)
environments[0].source.poll_interval = "1s" (default)
environments[0].reflag.evaluator = "1.0" (default)
environments[0].reflag.secret_flags = [] (default)
environments[0].cors.origins = ["*"] (default)
environments[0].cors.credentials = false (default)
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

    assert_eq!(settings.log.level, LogLevel::Debug);
    assert_eq!(settings.log.format, LogFormat::Json);

    let [environment] = &settings.environments[..] else { panic!("one environment") };
    let Environment {
        name,
        publishable_keys,
        secret_keys,
        max_staleness,
        on_stale,
        source,
        reflag,
        cors,
    } = environment;
    assert_eq!(name, "shop/production");
    assert_eq!(exposed(publishable_keys), ["pub_orange", "pub_cherry"]);
    assert_eq!(exposed(secret_keys), ["sec_quince"]);
    assert_eq!(*max_staleness, Some(Duration::from_secs(3_600)));
    assert_eq!(*on_stale, OnStale::Refuse);
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
            secret_flags: vec!["beta".to_owned(), "internal".to_owned()],
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
environments[0].source.type = "file" (variable BURGEE_SOURCE)
environments[0].source.path = "flags.json" (variable BURGEE_SOURCE_PATH)
environments[0].source.format = "reflag" (variable BURGEE_SOURCE_FORMAT)
environments[0].source.poll_interval = "1s" (default)
environments[0].reflag.evaluator = "1.0" (default)
environments[0].reflag.secret_flags = [] (default)
environments[0].cors.origins = ["*"] (default)
environments[0].cors.credentials = false (default)
"#
    );
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
        ["BURGEE_SOURCE: found nothing, expected \"file\" (hint: without a configuration file \
             the variables BURGEE_SOURCE, BURGEE_SOURCE_PATH, BURGEE_SOURCE_FORMAT, \
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
    let world = World::with(&[("BURGEE_SOURCE_PATH", "f"), ("BURGEE_SECRET_KEYS", "k")]);
    assert_eq!(
        lines(world.load_without_a_file()),
        ["BURGEE_SOURCE: found nothing, expected \"file\""]
    );
}

#[test]
fn variables_are_checked_like_a_file() {
    let world = World::with(&[
        ("BURGEE_SOURCE", "reflag"),
        ("BURGEE_SOURCE_FORMAT", "flagsmith"),
        ("BURGEE_PUBLISHABLE_KEYS", "pub_orange,,sec_quince,ser.quince"),
        ("BURGEE_SECRET_KEYS", "pub_orange,a quince"),
    ]);
    assert_eq!(
        lines(world.load_without_a_file()),
        [
            "BURGEE_SOURCE: found \"reflag\", expected \"file\" (hint: this build knows only \
             \"file\")",
            "BURGEE_PUBLISHABLE_KEYS[1]: found an empty key, expected a publishable key",
            "BURGEE_PUBLISHABLE_KEYS[2]: found a secret key, it starts with \"sec_\", expected a \
             publishable key (hint: move it to secret_keys; if a browser ever held it, replace \
             it)",
            "BURGEE_PUBLISHABLE_KEYS[3]: found a secret key, it starts with \"ser.\", expected a \
             publishable key (hint: move it to secret_keys; if a browser ever held it, replace \
             it)",
            "BURGEE_SECRET_KEYS[1]: found a key with white space, expected a key",
            "BURGEE_SOURCE_FORMAT: found \"flagsmith\", expected \"reflag\" (hint: this build \
             knows only \"reflag\")",
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
             header_timeout, body_timeout, in_flight_body_bytes (hint: did you mean \
             \"header_timeout\"?)",
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
             type, path, format, poll_interval (hint: url belongs below [limits], not below \
             [environments.source])",
        ],
    );
    refuses_in_environment(
        "publishable_key = [\"pub_orange\"]\nsecret_keys = [\"sec_quince\"]",
        "burgee.toml:4: environments[0].publishable_key: found an unknown key, expected one of \
         name, publishable_keys, secret_keys, max_staleness, on_stale, source, reflag, cors \
         (hint: did you mean \"publishable_keys\"?)",
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
             [environments.source], with type and path",
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
            "burgee.toml:4: environments[0].source.type: found nothing, expected \"file\"",
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
fn a_source_is_a_file_in_this_build() {
    let source = |lines: &str| {
        format!(
            "[[environments]]\nname = \"a\"\nsecret_keys = [\"k\"]\n[environments.source]\n{lines}"
        )
    };
    for word in ["reflag", "flagsmith", "origin"] {
        refuses(
            &source(&format!("type = \"{word}\"\nurl = \"https://front.reflag.com\"\n")),
            &[&format!(
                "burgee.toml:5: environments[0].source.type: found \"{word}\", expected \"file\" \
                 (hint: this build knows only \"file\")"
            )],
        );
    }
    refuses(
        &source("type = \"fil\"\nformat = \"flagsmith\"\npoll_interval = \"49ms\"\npath = \"\"\n"),
        &[
            "burgee.toml:5: environments[0].source.type: found \"fil\", expected \"file\" (hint: \
             did you mean \"file\"?)",
            "burgee.toml:6: environments[0].source.format: found \"flagsmith\", expected \
             \"reflag\" (hint: this build knows only \"reflag\")",
            "burgee.toml:7: environments[0].source.poll_interval: found \"49ms\", expected a \
             duration from 50ms to 1day",
            "burgee.toml:8: environments[0].source.path: found \"\", expected the path of a file",
        ],
    );
}

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
    let Source::File(source) = &environment.source;
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
    let world =
        World::with(&[("BURGEE_ADMIN_TOKEN", "lemon-lemon-lemon"), ("KEY", "sec_quince_2")]);
    let contents = COMPLETE.replace("\"sec_quince\",", "\"sec_quince\", \"${KEY}\"");
    let settings = world.load(&contents).unwrap();
    let environment = &settings.environments[0];
    assert_eq!(environment.secret_keys.len(), 2);
    let shown = format!(
        "{settings:?} {settings:#?} {} {} {} {:?}",
        environment.secret_keys[1],
        settings.admin.token.as_ref().unwrap(),
        printed(&settings),
        settings.to_table(),
    );
    for secret in ["orange", "cherry", "quince", "lemon"] {
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
