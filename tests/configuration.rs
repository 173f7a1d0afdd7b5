//! The configuration as an operator meets it: a file and variables in, settings or problems out.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use burgee::config::{
    AllowedOrigins, BareKey, Cors, Definitions, Discover, Environment, Evaluator, FileFormat,
    FileSource, Flagsmith, FlagsmithSource, Fraction, Gate, Key, Listen, LogFormat, LogLevel,
    Ofrep, OnStale, OnUnauthorized, Place, Problems, Proxy, Reflag, ReflagSource, SecretFlags,
    SetBy, Settings, Source, Surroundings, Token,
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
const MINIMAL_ORIGIN: &str = "[origin]\n[[environments]]\nname = \"a\"\n\
    source = { type = \"origin\", app = \"shop\", environment = \"production\" }\n";
const MINIMAL_REFLAG: &str = r#"
[[environments]]
name = "production"
[environments.source]
type = "reflag"
secret_key = "sec_quince"
"#;

/// The least that a file has to say about a Flagsmith upstream.
const MINIMAL_FLAGSMITH: &str = r#"
[[environments]]
name = "production"
[environments.source]
type = "flagsmith"
server_key = "ser.mango"
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
streams = 50
streams_per_environment = 0
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
definitions = "partial"
[environments.flagsmith]
segments_without_identity = true
hide_sensitive_data = true
[environments.ofrep]
bare_key = "value"
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
push = false
ca_file = "/etc/burgee/ca.pem"
[environments.reflag]
evaluator = "1.1"
secret_flags = ["beta"]
definitions = "partial"
[environments.flagsmith]
segments_without_identity = true
hide_sensitive_data = true
[environments.ofrep]
bare_key = "value"
[environments.cors]
origins = []
credentials = true
[environments.gate]
max_shrink = 1
confirm_after = 1_000

[[environments]]
name = "shop/mobile"
publishable_keys = ["banana"]
secret_keys = ["ser.papaya"]
max_staleness = "1m"
on_stale = "mark"
on_unauthorized = "refuse"
[environments.source]
type = "flagsmith"
url = "https://Flagsmith.example/api/v1/"
server_key = "ser.mango"
poll_interval = "100ms"
timeout = "10m"
push = false
realtime_url = "https://Realtime.example/"
ca_file = "/etc/burgee/ca.pem"
[environments.reflag]
evaluator = "1.1"
secret_flags = ["beta"]
definitions = "partial"
[environments.flagsmith]
segments_without_identity = true
hide_sensitive_data = true
[environments.ofrep]
bare_key = "value"
[environments.cors]
origins = []
credentials = true
[environments.gate]
max_shrink = 0.1
confirm_after = 2

[[discover]]
type = "flagsmith"
name = "vendor"
url = "https://Flagsmith.example/api/v1/"
proxy_key = "pk.apricot"
poll_interval = "100ms"
timeout = "10ms"
push = false
realtime_url = "http://realtime.example:8000/live"
ca_file = "/etc/burgee/ca.pem"
max_environments = 10_000
max_staleness = "1m"
on_stale = "mark"
on_unauthorized = "refuse"
[discover.flagsmith]
segments_without_identity = true
hide_sensitive_data = true
[discover.cors]
origins = []
credentials = true
[discover.gate]
max_shrink = 0
confirm_after = 1
"#;

/// The least that a list of environments needs.
const MINIMAL_DISCOVER: &str = r#"
[[discover]]
type = "flagsmith"
proxy_key = "pk.apricot"
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

    fn spellings(&self, name: &str) -> Vec<(String, String)> {
        let spelled = self.variables.iter().filter(|(set, _)| set.eq_ignore_ascii_case(name));
        spelled.map(|(set, text)| ((*set).to_owned(), (*text).to_owned())).collect()
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
limits.streams = 8000 (default)
limits.streams_per_environment = 8000 (default)
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
environments[0].reflag.definitions = "complete" (default)
environments[0].flagsmith.segments_without_identity = false (default)
environments[0].flagsmith.hide_sensitive_data = false (default)
environments[0].ofrep.bare_key = "auto" (default)
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
environments[0].source.push = true (default)
environments[0].source.ca_file = none (default)
environments[0].reflag.evaluator = "1.0" (default)
environments[0].reflag.secret_flags = "learn" (default)
environments[0].reflag.definitions = "complete" (default)
environments[0].flagsmith.segments_without_identity = false (default)
environments[0].flagsmith.hide_sensitive_data = false (default)
environments[0].ofrep.bare_key = "auto" (default)
environments[0].cors.origins = ["*"] (default)
environments[0].cors.credentials = false (default)
environments[0].gate.max_shrink = 0.5 (default)
environments[0].gate.confirm_after = 3 (default)
"#
    );
}

#[test]
fn a_flagsmith_upstream_needs_no_key_but_its_own() {
    let settings = World::default().load(MINIMAL_FLAGSMITH).unwrap();
    let table = printed(&settings);
    let (_, environment) = table.split_once("log.format = \"text\" (default)\n").unwrap();
    assert_eq!(
        environment,
        r#"environments[0].name = "production" (file)
environments[0].publishable_keys = the document's api_key (default)
environments[0].secret_keys = [[redacted]] (default)
environments[0].max_staleness = none (default)
environments[0].on_stale = "serve" (default)
environments[0].on_unauthorized = "serve" (default)
environments[0].source.type = "flagsmith" (file)
environments[0].source.url = "https://edge.api.flagsmith.com/api/v1" (default)
environments[0].source.server_key = [redacted] (file)
environments[0].source.poll_interval = "1m" (default)
environments[0].source.timeout = "10s" (default)
environments[0].source.push = true (default)
environments[0].source.realtime_url = "https://realtime.flagsmith.com" (default)
environments[0].source.ca_file = none (default)
environments[0].reflag.evaluator = "1.0" (default)
environments[0].reflag.secret_flags = [] (default)
environments[0].reflag.definitions = "complete" (default)
environments[0].flagsmith.segments_without_identity = false (default)
environments[0].flagsmith.hide_sensitive_data = false (default)
environments[0].ofrep.bare_key = "auto" (default)
environments[0].cors.origins = ["*"] (default)
environments[0].cors.credentials = false (default)
environments[0].gate.max_shrink = 0.5 (default)
environments[0].gate.confirm_after = 3 (default)
"#
    );
    assert_eq!(exposed(&settings.environments[0].secret_keys), ["ser.mango"]);
}

#[test]
fn the_event_streams_of_a_flagsmith_are_beside_it_unless_the_file_says_where() {
    for (lines, expected) in [
        ("", "https://realtime.flagsmith.com"),
        ("url = \"https://api.flagsmith.com/api/v1/\"", "https://realtime.flagsmith.com"),
        ("url = \"https://flags.example/api/v1\"", "https://flags.example"),
        ("url = \"http://edge:8000/shop/api/v1\"", "http://edge:8000/shop"),
        ("url = \"http://edge:8000/flags\"", "http://edge:8000/flags"),
        // Somebody else who listens under that name, without TLS.
        ("url = \"http://edge.api.flagsmith.com/api/v1\"", "http://edge.api.flagsmith.com"),
        ("realtime_url = \"https://push.example:444/\"", "https://push.example:444"),
    ] {
        let flagsmith = format!("{MINIMAL_FLAGSMITH}{lines}\n");
        let settings = World::default().load(&flagsmith).unwrap();
        let Source::Flagsmith(source) = &settings.environments[0].source else { panic!("it is") };
        assert_eq!(source.realtime_url.to_string(), expected, "{lines}");
        let discover = format!("{MINIMAL_DISCOVER}{lines}\n");
        let settings = World::default().load(&discover).unwrap();
        assert_eq!(settings.discover[0].realtime_url.to_string(), expected, "{lines}");
    }
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
    assert_eq!((settings.limits.streams, settings.limits.streams_per_environment), (50, 0));
    assert_eq!(settings.limits.waiters_per_environment, 0);

    assert_eq!(settings.log.level, LogLevel::Debug);
    assert_eq!(settings.log.format, LogFormat::Json);

    let [environment, _, _] = &settings.environments[..] else { panic!("three environments") };
    let Environment {
        name,
        publishable_keys,
        document_key,
        secret_keys,
        max_staleness,
        on_stale,
        on_unauthorized,
        source,
        reflag,
        flagsmith,
        ofrep,
        cors,
        gate,
    } = environment;
    assert_eq!(name, "shop/production");
    assert_eq!(exposed(publishable_keys), ["pub_orange", "pub_cherry"]);
    assert!(!document_key);
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
            definitions: Definitions::Partial,
        }
    );
    let both = Flagsmith { segments_without_identity: true, hide_sensitive_data: true };
    assert_eq!(*flagsmith, both);
    assert_eq!(*ofrep, Ofrep { bare_key: BareKey::Value });
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
}

#[test]
fn every_setting_of_upstreams_can_be_written() {
    let settings = World::default().load(COMPLETE).unwrap();
    let [_, upstream, flagsmith_upstream] = &settings.environments[..] else {
        panic!("three environments")
    };
    let Source::Reflag(source) = &upstream.source else { panic!("an upstream") };
    let ReflagSource {
        url,
        secret_key,
        upstream_publishable_key,
        poll_interval,
        timeout,
        push,
        ca_file,
    } = source;
    assert!(!push);
    assert_eq!(url.to_string(), "http://edge.example:8000/flags");
    assert_eq!(secret_key.expose(), "sec_plum");
    assert_eq!(upstream_publishable_key.as_ref().map(Key::expose), Some("pub_grape"));
    assert_eq!(*poll_interval, Duration::from_millis(100));
    assert_eq!(*timeout, Duration::from_millis(10));
    assert_eq!(ca_file.as_deref(), Some(Path::new("/etc/burgee/ca.pem")));
    assert_eq!(upstream.reflag.secret_flags, SecretFlags::Listed(vec!["beta".to_owned()]));
    assert_eq!(upstream.gate, Gate { max_shrink: Fraction::ONE, confirm_after: 1_000 });

    let Source::Flagsmith(source) = &flagsmith_upstream.source else { panic!("a Flagsmith") };
    let FlagsmithSource { url, server_key, poll_interval, timeout, push, realtime_url, ca_file } =
        source;
    assert!(!push);
    assert_eq!(realtime_url.to_string(), "https://realtime.example");
    assert_eq!(url.to_string(), "https://flagsmith.example/api/v1");
    assert_eq!(server_key.expose(), "ser.mango");
    assert_eq!(*poll_interval, Duration::from_millis(100));
    assert_eq!(*timeout, Duration::from_secs(600));
    assert_eq!(ca_file.as_deref(), Some(Path::new("/etc/burgee/ca.pem")));
    assert_eq!(exposed(&flagsmith_upstream.publishable_keys), ["banana"]);
    assert_eq!(exposed(&flagsmith_upstream.secret_keys), ["ser.papaya"]);
    assert!(!flagsmith_upstream.document_key);
}

#[test]
fn every_setting_of_a_list_of_environments_can_be_written() {
    let settings = World::default().load(COMPLETE).unwrap();
    let [discover] = &settings.discover[..] else { panic!("one list") };
    let Discover {
        name,
        url,
        proxy_key,
        poll_interval,
        timeout,
        push,
        realtime_url,
        ca_file,
        max_environments,
        max_staleness,
        on_stale,
        on_unauthorized,
        flagsmith,
        cors,
        gate,
    } = discover;
    assert_eq!(name, "vendor");
    assert_eq!(url.to_string(), "https://flagsmith.example/api/v1");
    assert_eq!(proxy_key.expose(), "pk.apricot");
    assert!(!push);
    assert_eq!(realtime_url.to_string(), "http://realtime.example:8000/live");
    assert_eq!(*poll_interval, Duration::from_millis(100));
    assert_eq!(*timeout, Duration::from_millis(10));
    assert_eq!(ca_file.as_deref(), Some(Path::new("/etc/burgee/ca.pem")));
    assert_eq!(*max_environments, 10_000);
    assert_eq!(*max_staleness, Some(Duration::from_secs(60)));
    assert_eq!(*on_stale, OnStale::Mark);
    assert_eq!(*on_unauthorized, OnUnauthorized::Refuse);
    let both = Flagsmith { segments_without_identity: true, hide_sensitive_data: true };
    assert_eq!(*flagsmith, both);
    assert_eq!(*cors, Cors { origins: AllowedOrigins::Only(vec![]), credentials: true });
    assert_eq!(*gate, Gate { max_shrink: Fraction::ZERO, confirm_after: 1 });
}

// Environments that are discovered.

#[test]
fn a_list_of_environments_needs_a_key_and_no_environments_beside_it() {
    let settings = World::default().load(MINIMAL_DISCOVER).unwrap();
    assert!(settings.environments.is_empty());
    let table = printed(&settings);
    for line in [
        "discover[0].name = \"discovered\" (default)\n",
        "discover[0].url = \"https://edge.api.flagsmith.com/api/v1\" (default)\n",
        "discover[0].proxy_key = [redacted] (file)\n",
        "discover[0].poll_interval = \"1m\" (default)\n",
        "discover[0].timeout = \"10s\" (default)\n",
        "discover[0].push = true (default)\n",
        "discover[0].realtime_url = \"https://realtime.flagsmith.com\" (default)\n",
        "discover[0].ca_file = none (default)\n",
        "discover[0].max_environments = 100 (default)\n",
        "discover[0].max_staleness = none (default)\n",
        "discover[0].on_stale = \"serve\" (default)\n",
        "discover[0].on_unauthorized = \"serve\" (default)\n",
        "discover[0].flagsmith.segments_without_identity = false (default)\n",
        "discover[0].cors.origins = [\"*\"] (default)\n",
        "discover[0].gate.max_shrink = 0.5 (default)\n",
        "discover[0].gate.confirm_after = 3",
    ] {
        assert!(table.contains(line), "{line} in {table}");
    }
    let variables = World::with(&[("BURGEE_SOURCE", "flagsmith"), ("BURGEE_SOURCE_KEY", "ser.k")]);
    let both = variables.load(MINIMAL_DISCOVER).unwrap();
    assert_eq!((both.environments.len(), both.discover.len()), (1, 1));
    // What outlives the start is what is sent.
    assert_eq!(both.without_keys().discover[0].proxy_key.expose(), "pk.apricot");
}

#[test]
fn a_list_of_environments_has_settings_with_types_and_bounds() {
    let none = "found no environments, expected at least one environment, below \
                [[environments]], a [[discover]], or an [origin]";
    refuses("discover = []", &[&format!("burgee.toml:1: environments: {none}")]);
    refuses(
        "[discover]\ntype = \"flagsmith\"",
        &["burgee.toml:1: discover: found a table, expected tables, each below [[discover]]"],
    );
    refuses(
        "[[discover]]",
        &[
            "burgee.toml:1: discover[0].type: found nothing, expected \"flagsmith\"",
            "burgee.toml:1: discover[0].proxy_key: found nothing, expected a key",
        ],
    );
    for (line, expected) in [
        ("name = \"a/b\"", "name: found \"a/b\", expected 1 to 16 letters, digits and . _ -"),
        (
            "name = \"seventeen_letters\"",
            "name: found \"seventeen_letters\", expected 1 to 16 letters, digits and . _ -",
        ),
        ("max_environments = 0", "max_environments: found 0, expected an integer from 1 to 10000"),
        (
            "poll_interval = \"1ms\"",
            "poll_interval: found \"1ms\", expected a duration from 100ms to 1day",
        ),
        (
            "cors.credentials = true",
            "cors.credentials: found true together with the origin \"*\", expected false, or a \
             list of origins (hint: otherwise every page on the web could read answers in its \
             visitors' names)",
        ),
    ] {
        let expected = format!("burgee.toml:5: discover[0].{expected}");
        refuses(&format!("{MINIMAL_DISCOVER}{line}\n"), &[&expected]);
    }
    refuses(
        &MINIMAL_DISCOVER.replace("\"flagsmith\"", "\"flagsmth\""),
        &[
            "burgee.toml:3: discover[0].type: found \"flagsmth\", expected \"flagsmith\" (hint: did \
           you mean \"flagsmith\"?)",
        ],
    );
}

#[test]
fn what_is_discovered_has_names_and_keys_of_its_own() {
    let two = format!("{MINIMAL_DISCOVER}{MINIMAL_DISCOVER}");
    refuses(
        &two,
        &[
            "burgee.toml:6: discover[1].name: found the name of discover[0], expected a name of \
             its own (hint: it is what the names of its environments begin with)",
            "burgee.toml:8: discover[1].proxy_key: found the key of discover[0].proxy_key, \
             expected a key of its own",
        ],
    );
    let apart =
        MINIMAL_DISCOVER.replace("apricot", "date").replace("proxy_key", "name = \"b\"\nproxy_key");
    assert_eq!(
        World::default().load(&format!("{MINIMAL_DISCOVER}{apart}")).unwrap().discover.len(),
        2
    );
    let environment = |name: &str, publishable: &str, secret: &str| {
        format!(
            "[[environments]]\nname = \"{name}\"\npublishable_keys = [\"{publishable}\"]\n\
             secret_keys = [\"{secret}\"]\nsource = {{ type = \"file\", path = \"f\" }}\n\
             {MINIMAL_DISCOVER}"
        )
    };
    refuses(
        &environment("discovered/35/Prod", "p", "s"),
        &["burgee.toml:2: environments[0].name: found a name below that of discover[0], expected \
           another one (hint: such names are for environments that are discovered there)"],
    );
    refuses(
        &environment("a", "pk.apricot", "s"),
        &["burgee.toml:3: environments[0].publishable_keys[0]: found the key of \
           discover[0].proxy_key, expected a publishable key (hint: it opens the rules at the \
           upstream; if a browser ever held it, replace it)"],
    );
    refuses(
        &environment("a", "p", "pk.apricot"),
        &[
            "burgee.toml:4: environments[0].secret_keys[0]: found the key of discover[0].proxy_key, \
           expected a key of its own",
        ],
    );
    assert!(World::default().load(&environment("discovered", "p", "s")).is_ok());
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
        ("FLAGSMITH_SERVER_KEY", "ser.mango"),
        ("FLAGSMITH_CLIENT_KEY", "banana"),
        ("FLAGSMITH_PROXY_KEY", "pk.apricot"),
    ])
    .file("/run/secrets/burgee-admin-token", "0123456789-lemon");
    let all = world.load(&all).unwrap();
    assert_eq!((all.environments.len(), all.discover.len()), (4, 1));
    let mut defaults = BTreeMap::new();
    for row in World::default().load(&as_it_stands).unwrap().to_table() {
        defaults.insert(row.path.clone(), row);
    }
    for (minimal, here) in [
        (MINIMAL_REFLAG, "environments[1]"),
        (MINIMAL_FLAGSMITH, "environments[2]"),
        (MINIMAL_ORIGIN, "environments[3]"),
    ] {
        for row in World::default().load(minimal).unwrap().to_table() {
            defaults.insert(row.path.replace("environments[0]", here), row);
        }
    }
    for row in World::default().load(MINIMAL_DISCOVER).unwrap().to_table() {
        if row.path.starts_with("discover") {
            defaults.insert(row.path.clone(), row);
        }
    }
    // They have no default, or none that can be written.
    let examples = [
        "server.workers",
        "admin.token",
        "environments[0].max_staleness",
        "environments[1].publishable_keys",
        "environments[1].source.upstream_publishable_key",
        "environments[1].source.ca_file",
        "environments[2].publishable_keys",
        "environments[2].source.ca_file",
        "discover[0].ca_file",
        "discover[0].max_staleness",
    ];
    for row in all.to_table() {
        let default = &defaults[&row.path];
        // The other environments do not repeat what is the same as in the first.
        let first = ["[1]", "[2]", "[3]"];
        let first = first.iter().fold(row.path.clone(), |path, at| path.replace(at, "[0]"));
        let like_the_first =
            first != row.path && defaults.get(&first).is_some_and(|it| it.value == row.value);
        // Nothing is to be written for keys that come along.
        let comes_along = row.value == "the origin's";
        assert!(row.set_by == SetBy::File || like_the_first || comes_along, "{}", row.path);
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
environments[0].reflag.definitions = "complete" (default)
environments[0].flagsmith.segments_without_identity = false (default)
environments[0].flagsmith.hide_sensitive_data = false (default)
environments[0].ofrep.bare_key = "auto" (default)
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
            "{name}: found a variable that belongs to BURGEE_SOURCE=reflag or flagsmith, expected only those \
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
        [
            "BURGEE_SOURCE: found nothing, expected \"file\", \"reflag\" or \"flagsmith\" (hint: without a \
             configuration file the variables BURGEE_SOURCE, BURGEE_SOURCE_URL, \
             BURGEE_SOURCE_KEY, BURGEE_SOURCE_PATH, BURGEE_SOURCE_FORMAT, \
             BURGEE_PUBLISHABLE_KEYS, BURGEE_SECRET_KEYS describe one environment)"
        ]
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
            ["BURGEE_SOURCE: found nothing, expected \"file\", \"reflag\" or \"flagsmith\""]
        );
    }
}

#[test]
fn variables_are_checked_like_a_file() {
    let world = World::with(&[
        ("BURGEE_SOURCE", "origin"),
        ("BURGEE_SOURCE_URL", "ftp://front.reflag.com"),
        ("BURGEE_SOURCE_KEY", "a quince"),
        ("BURGEE_SOURCE_FORMAT", "toml"),
        ("BURGEE_PUBLISHABLE_KEYS", "pub_orange,,sec_quince,ser.quince"),
        ("BURGEE_SECRET_KEYS", "pub_orange,a quince"),
    ]);
    assert_eq!(
        lines(world.load_without_a_file()),
        [
            "BURGEE_SOURCE: found \"origin\", expected \"file\", \"reflag\" or \"flagsmith\" \
             (hint: an origin is described in a file, below [origin])",
            "BURGEE_SOURCE_FORMAT: found \"toml\", expected \"reflag\" or \"flagsmith\"",
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
         expected two that do not overlap (hint: BURGEE_ADMIN_LISTEN moves the admin port)",
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
             discover, environments (hint: did you mean \"server\"?)",
        ),
        (
            "state.directory = \"./burgee-state\"",
            "state: found an unknown key, expected one of server, admin, limits, log, \
             discover, environments",
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
             header_timeout, body_timeout, in_flight_body_bytes, streams, streams_per_environment, \
             waiters_per_environment (hint: did you mean \"header_timeout\"?)",
        ),
        (
            "log.workers = 1",
            "log.workers: found an unknown key, expected one of level, format (hint: workers \
             belongs below [server], not below [log])",
        ),
        (
            "listen = \"0.0.0.0:1\"",
            "listen: found an unknown key, expected one of server, admin, limits, log, \
             discover, environments (hint: listen belongs below [admin] or [server])",
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
         reflag, flagsmith, ofrep, cors, gate (hint: did you mean \"publishable_keys\"?)",
    );
}

#[test]
fn there_has_to_be_an_environment() {
    let expected = "found no environments, expected at least one environment, below \
                    [[environments]], a [[discover]], or an [origin]";
    refuses("", &[&format!("burgee.toml:1: environments: {expected}")]);
    let alone = World::with(&[]).load("[origin]\n").unwrap();
    assert!(alone.environments.is_empty() && alone.origin.is_some());
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
            "burgee.toml:4: environments[0].source.type: found nothing, expected \"file\", \
             \"reflag\", \"flagsmith\" or \"origin\"",
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
            "reflag.definitions = \"all\"",
            "reflag.definitions: found \"all\", expected \"complete\" or \"partial\"",
        ),
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
            "cors.origins[1]: found \"b.example\", expected \"*\", \"null\" or \"scheme://host[:port]\"",
        ),
        (
            "cors.origins = [\"https://a.example/\"]",
            "cors.origins[0]: found \"https://a.example/\", expected \"*\", \"null\" or \
             \"scheme://host[:port]\" (hint: an origin has no path and no trailing slash)",
        ),
        (
            "cors.origins = [\"https://*.example\"]",
            "cors.origins[0]: found \"https://*.example\", expected \"*\", \"null\" or \
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
fn a_source_is_one_that_this_build_knows() {
    let source = |lines: &str| {
        format!(
            "[[environments]]\nname = \"a\"\nsecret_keys = [\"k\"]\n[environments.source]\n{lines}"
        )
    };
    refuses(
        &source("type = \"fil\"\nformat = \"flagsmiht\"\npoll_interval = \"49ms\"\npath = \"\"\n"),
        &[
            "burgee.toml:5: environments[0].source.type: found \"fil\", expected \"file\", \
             \"reflag\", \"flagsmith\" or \"origin\" (hint: did you mean \"file\"?)",
            "burgee.toml:6: environments[0].source.format: found \"flagsmiht\", expected \
             \"reflag\" or \"flagsmith\" (hint: did you mean \"flagsmith\"?)",
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
                 timeout, push, ca_file";
    for (line, expected) in [
        (
            "path = \"f\"",
            "path: found an unknown key, KNOWN (hint: path belongs to type = \"file\")",
        ),
        (
            "format = \"reflag\"",
            "format: found an unknown key, KNOWN (hint: format belongs to type = \"file\")",
        ),
        ("stream = true", "stream: found an unknown key, KNOWN"),
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
         flagsmith, ofrep, cors, gate (hint: url belongs below [environments.source] or [limits], not below \
         [[environments]])",
    );
}

#[test]
fn a_mistyped_type_is_taken_for_the_one_that_was_meant() {
    let kind = "expected \"file\", \"reflag\", \"flagsmith\" or \"origin\"";
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
    let Source::Flagsmith(source) = &settings.environments[2].source else { panic!("a Flagsmith") };
    assert_eq!(source.server_key.expose(), "ser.mango");
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
    let hint = "(hint: where secret_keys is left out, clients send the source's own key, and it \
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

// Flagsmith.

/// An environment whose source is of type flagsmith and has a key, with these lines below the
/// source; the first of them is the sixth of the file.
fn flagsmith(lines: &str) -> String {
    let source = "type = \"flagsmith\"\nserver_key = \"ser.mango\"";
    format!("[[environments]]\nname = \"a\"\n[environments.source]\n{source}\n{lines}\n")
}

#[test]
fn a_flagsmith_sources_settings_have_types_and_bounds() {
    for (line, expected) in [
        (
            "url = \"edge.api.flagsmith.com\"",
            "source.url: found text without \"://\", expected \"http://host\" or \
             \"https://host\", perhaps with a port and a path",
        ),
        (
            "poll_interval = \"99ms\"",
            "source.poll_interval: found \"99ms\", expected a duration from 100ms to 1day",
        ),
        (
            "timeout = \"11m\"",
            "source.timeout: found \"11m\", expected a duration from 10ms to 10m",
        ),
        ("push = \"yes\"", "source.push: found \"yes\", expected true or false"),
        (
            "realtime_url = \"realtime.flagsmith.com\"",
            "source.realtime_url: found text without \"://\", expected \"http://host\" or \
             \"https://host\", perhaps with a port and a path",
        ),
        ("ca_file = \"\"", "source.ca_file: found \"\", expected the path of a file"),
        (
            "secret_key = \"ser.lime\"",
            "source.secret_key: found an unknown key, expected one of type, url, server_key, \
             poll_interval, timeout, push, realtime_url, ca_file (hint: secret_key belongs to type = \"reflag\")",
        ),
        (
            "path = \"f\"",
            "source.path: found an unknown key, expected one of type, url, server_key, \
             poll_interval, timeout, push, realtime_url, ca_file (hint: path belongs to type = \"file\")",
        ),
    ] {
        refuses(&flagsmith(line), &[&format!("burgee.toml:6: environments[0].{expected}")]);
    }
    for (table, line, expected) in [
        (
            "reflag",
            "secret_flags = \"learn\"",
            "secret_flags: found \"learn\", expected a list of flag keys (hint: a Flagsmith \
             document says itself which features are for servers only)",
        ),
        (
            "flagsmith",
            "segments_without_identity = \"true\"",
            "segments_without_identity: found \"true\", expected true or false (hint: without \
             the quotes)",
        ),
        (
            "flagsmith",
            "hide_sensitive_data = 1",
            "hide_sensitive_data: found 1, expected true or false",
        ),
        (
            "flagsmith",
            "hide_sensitive = true",
            "hide_sensitive: found an unknown key, expected one of segments_without_identity, \
             hide_sensitive_data",
        ),
    ] {
        refuses(
            &flagsmith(&format!("[environments.{table}]\n{line}")),
            &[&format!("burgee.toml:7: environments[0].{table}.{expected}")],
        );
    }
    let server_key = "a server-side key, which starts with \"ser.\"";
    for (key, found, hint) in [
        (
            "banana",
            "a key without that start",
            " (hint: a client-side key does not open the environment document: create a \
             server-side one in the environment's SDK keys)",
        ),
        ("ser. banana", "a key with white space", ""),
    ] {
        refuses(
            &flagsmith("").replace("ser.mango", key),
            &[&format!(
                "burgee.toml:5: environments[0].source.server_key: found {found}, expected \
                 {server_key}{hint}"
            )],
        );
    }
    refuses(
        &flagsmith("").replace("server_key = \"ser.mango\"\n", ""),
        &[&format!(
            "burgee.toml:3: environments[0].source.server_key: found nothing, expected {server_key}"
        )],
    );
    refuses(
        &flagsmith("").replace("type = \"flagsmith\"\n", ""),
        &["burgee.toml:3: environments[0].source.type: found nothing, expected \"file\", \
           \"reflag\", \"flagsmith\" or \"origin\""],
    );
}

#[test]
fn a_flagsmith_document_names_a_key_for_browsers_unless_others_are_listed() {
    let file = "[[environments]]\nname = \"a\"\n\
                source = { type = \"file\", path = \"f\", format = \"flagsmith\" }\n";
    for (contents, own) in [(flagsmith(""), &["ser.mango"][..]), (file.to_owned(), &[])] {
        for (keys, publishable, document_key) in
            [("", &[][..], true), ("publishable_keys = [\"banana\"]", &["banana"], false)]
        {
            let contents = contents.replace("name = \"a\"", &format!("name = \"a\"\n{keys}"));
            let settings = World::default().load(&contents).unwrap();
            let environment = &settings.environments[0];
            assert_eq!(exposed(&environment.publishable_keys), publishable);
            assert_eq!(environment.document_key, document_key);
            assert_eq!(exposed(&environment.secret_keys), own);
            assert!(environment.source.is_flagsmith_document());
            assert_eq!(environment.learning_key(), None);
            // What counts when the keys' text is gone.
            assert_eq!(settings.without_keys().environments[0].document_key, document_key);
        }
    }
    for contents in [MINIMAL, MINIMAL_REFLAG] {
        assert!(!World::default().load(contents).unwrap().environments[0].document_key);
    }
    // Whoever keeps browsers out has to let servers in.
    let nobody = "publishable_keys = []\nsecret_keys = []";
    for contents in [flagsmith(""), file.to_owned()] {
        refuses(
            &contents.replace("name = \"a\"", &format!("name = \"a\"\n{nobody}")),
            &["burgee.toml:1: environments[0]: found no key, expected at least one in \
               publishable_keys or secret_keys (hint: a key selects the environment: without one \
               nobody can ask for its flags)"],
        );
    }
    let servers = flagsmith("").replace("\"a\"", "\"a\"\npublishable_keys = []");
    let settings = World::default().load(&servers).unwrap();
    assert!(!settings.environments[0].document_key);
}

#[test]
fn a_file_with_a_flagsmith_document_has_nothing_to_learn() {
    refuses(
        "[[environments]]\nname = \"a\"\nreflag.secret_flags = \"learn\"\n\
         source = { type = \"file\", path = \"f\", format = \"flagsmith\" }\n",
        &[
            "burgee.toml:3: environments[0].reflag.secret_flags: found \"learn\", expected a list of \
           flag keys (hint: a Flagsmith document says itself which features are for servers only)",
        ],
    );
}

#[test]
fn a_server_key_stays_with_servers_and_with_one_environment() {
    let second = flagsmith("").replace("\"a\"", "\"b\"");
    refuses(
        &format!("{}{second}", flagsmith("")),
        &["burgee.toml:11: environments[1].source.server_key: found the key of \
           environments[0].source.server_key, expected a key of its own (hint: where secret_keys is \
           left out, clients send the source's own key, and it can select one environment only: \
           write secret_keys)"],
    );
    let listed = second.replace("\"b\"", "\"b\"\nsecret_keys = [\"sec_lime\"]");
    assert_eq!(lines(World::default().load(&format!("{}{listed}", flagsmith("")))), [""; 0]);
    refuses(
        &flagsmith("").replace("\"a\"", "\"a\"\npublishable_keys = [\"ser.mango\"]"),
        &[
            "burgee.toml:3: environments[0].publishable_keys[0]: found a secret key, it starts with \
           \"ser.\", expected a publishable key (hint: move it to secret_keys; if a browser ever \
           held it, replace it)",
        ],
    );
}

#[test]
fn without_a_file_a_server_key_or_a_document_is_enough() {
    let world = World::with(&[
        ("BURGEE_SOURCE", "flagsmith"),
        ("BURGEE_SOURCE_KEY", "ser.mango"),
        ("BURGEE_SOURCE_URL", "http://127.0.0.1:9000/api/v1/"),
    ]);
    let settings = world.load_without_a_file().unwrap();
    let environment = &settings.environments[0];
    assert!(environment.document_key);
    assert_eq!(exposed(&environment.secret_keys), ["ser.mango"]);
    let table = printed(&settings);
    for line in [
        "source.type = \"flagsmith\" (variable BURGEE_SOURCE)\n",
        "source.url = \"http://127.0.0.1:9000/api/v1\" (variable BURGEE_SOURCE_URL)\n",
        "source.server_key = [redacted] (variable BURGEE_SOURCE_KEY)\n",
    ] {
        assert!(table.contains(line), "{line} in {table}");
    }

    let world = World::with(&[
        ("BURGEE_SOURCE", "file"),
        ("BURGEE_SOURCE_PATH", "environment.json"),
        ("BURGEE_SOURCE_FORMAT", "flagsmith"),
    ]);
    let settings = world.load_without_a_file().unwrap();
    assert!(settings.environments[0].document_key);
    assert!(settings.environments[0].secret_keys.is_empty());

    for (variables, expected) in [
        (
            &[("BURGEE_SOURCE", "flagsmith")][..],
            "BURGEE_SOURCE_KEY: found nothing, expected a server-side key, which starts with \
             \"ser.\"",
        ),
        (
            &[("BURGEE_SOURCE", "flagsmith"), ("BURGEE_SOURCE_KEY", "banana")],
            "BURGEE_SOURCE_KEY: found a key without that start, expected a server-side key, which \
             starts with \"ser.\" (hint: a client-side key does not open the environment document: \
             create a server-side one in the environment's SDK keys)",
        ),
        (
            &[
                ("BURGEE_SOURCE", "flagsmith"),
                ("BURGEE_SOURCE_KEY", "ser.mango"),
                ("BURGEE_SOURCE_FORMAT", "flagsmith"),
            ],
            "BURGEE_SOURCE_FORMAT: found a variable that belongs to BURGEE_SOURCE=file, expected \
             only those that belong to BURGEE_SOURCE=flagsmith (hint: unset it, or choose the other \
             source)",
        ),
    ] {
        assert_eq!(lines(World::with(variables).load_without_a_file()), [expected]);
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
    for secret in [
        "orange", "cherry", "quince", "lemon", "lime", "plum", "peach", "grape", "banana",
        "papaya", "mango", "apricot",
    ] {
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
        "[[environments]]\nsource = { type = \"flagsmith\", server_key = \"lemon\" }",
        "[[environments]]\nsource = { type = \"flagsmith\", server_key = \"ser. lemon\" }",
        "[[environments]]\npublishable_keys = [\"lemon\"]\n\
         source = { type = \"reflag\", secret_key = \"lemon\" }",
        "[[environments]]\nsource = { type = \"reflag\", secret_key = \"lemon\", \
         upstream_publishable_key = \"lemon\" }",
        "[[discover]]\nproxy_key = \"a lemon\"",
        "[[discover]]\nproxy_key = [\"lemon\"]",
        "[[discover]]\nproxy_key = \"lemon${ABSENT}\"",
        "[[discover]]\nproxy_key = \"lemon\"\n[[discover]]\nproxy_key = \"lemon\"",
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

// A config.json of Flagsmith's Edge Proxy.

/// Every member that either edge proxy knows.
const CONFIG_JSON: &str = r#"{
  "environment_key_pairs": [
    { "server_side_key": "ser.mango", "client_side_key": "banana" },
    {
      "server_side_key": " ser.papaya ",
      "client_side_key": " guava "
    }
  ],
  "api_url": "https://flagsmith.example/api/v1/",
  "api_poll_frequency_seconds": 20,
  "api_poll_timeout_seconds": 7,
  "endpoint_caches": { "flags": { "use_cache": true }, "identities": { "use_cache": false } },
  "allow_origins": ["https://Shop.example", "http://localhost:3000"],
  "logging": {
    "log_level": "WARNING",
    "log_format": "json",
    "log_event_field_name": "event",
    "enable_access_log": true,
    "colours": true,
    "override": { "loggers": {} }
  },
  "server": {
    "host": "127.0.0.1",
    "port": 9000,
    "reload": true,
    "proxy_headers": true,
    "timeout_keep_alive": 30
  },
  "health_check": { "environment_update_grace_period_seconds": 45 },
  "proxy_key": "lemon",
  "usage_flush_interval_seconds": 60,
  "colour": "lemon",
  "api_poll_frequency_second": 1
}
"#;

/// The least that such a file says.
const MINIMAL_JSON: &str = r#"{"environment_key_pairs": [
  {"server_side_key": "ser.mango", "client_side_key": "banana"}
]}"#;

/// The beginning of SHA-256 of "banana".
const BANANA: &str = "environment-b493d483";

fn load_json(world: &World, contents: &str) -> Result<Settings, Problems> {
    Settings::load(Some((Path::new("config.json"), contents)), world)
}

#[track_caller]
fn refuses_json(contents: &str, expected: &[&str]) {
    assert_eq!(lines(load_json(&World::default(), contents)), expected, "{contents}");
}

/// A file with one pair and this member beside it, and the problem that this is.
#[track_caller]
fn refuses_member(member: &str, expected: &str) {
    let contents = format!("{}, {member}}}", MINIMAL_JSON.trim_end_matches('}'));
    refuses_json(&contents, &[&format!("config.json:3: {expected}")]);
}

#[test]
fn an_edge_proxys_file_runs_as_it_is() {
    let settings = load_json(&World::default(), CONFIG_JSON).unwrap();
    let table = printed(&settings);
    let written = table.lines().filter(|line| !line.ends_with("(default)"));
    assert_eq!(
        written.collect::<Vec<_>>().join("\n"),
        r#"server.listen = "127.0.0.1:9000" (file)
server.keep_alive = "30s" (file)
log.level = "warn" (file)
log.format = "json" (file)
environments[0].name = "environment-b493d483" (file)
environments[0].publishable_keys = [[redacted]] (file)
environments[0].max_staleness = "1m 50s" (file)
environments[0].source.type = "flagsmith" (file)
environments[0].source.url = "https://flagsmith.example/api/v1" (file)
environments[0].source.server_key = [redacted] (file)
environments[0].source.poll_interval = "20s" (file)
environments[0].source.timeout = "7s" (file)
environments[0].cors.origins = ["https://shop.example", "http://localhost:3000"] (file)
environments[0].cors.credentials = true (file)
environments[1].name = "environment-0e27150c" (file)
environments[1].publishable_keys = [[redacted]] (file)
environments[1].max_staleness = "1m 50s" (file)
environments[1].source.type = "flagsmith" (file)
environments[1].source.url = "https://flagsmith.example/api/v1" (file)
environments[1].source.server_key = [redacted] (file)
environments[1].source.poll_interval = "20s" (file)
environments[1].source.timeout = "7s" (file)
environments[1].cors.origins = ["https://shop.example", "http://localhost:3000"] (file)
environments[1].cors.credentials = true (file)
discover[0].type = "flagsmith" (file)
discover[0].url = "https://flagsmith.example/api/v1" (file)
discover[0].proxy_key = [redacted] (file)
discover[0].poll_interval = "20s" (file)
discover[0].timeout = "7s" (file)
discover[0].max_staleness = "1m 5s" (file)
discover[0].cors.origins = ["https://shop.example", "http://localhost:3000"] (file)
discover[0].cors.credentials = true (file)"#
    );
    let [first, second] = &settings.environments[..] else { panic!("two environments") };
    for (environment, server, client) in
        [(first, "ser.mango", "banana"), (second, "ser.papaya", "guava")]
    {
        // Blanks around keys do not count.
        assert_eq!(exposed(&environment.publishable_keys), [client]);
        assert_eq!(exposed(&environment.secret_keys), [server]);
        let Source::Flagsmith(source) = &environment.source else { panic!("a Flagsmith") };
        assert_eq!(source.server_key.expose(), server);
    }
    let line = |path: &str| match &settings.written[path] {
        Place::File { line, path, .. } => (*line, path.clone()),
        other => panic!("{other}"),
    };
    assert_eq!(line("environments[1].name"), (4, "environment_key_pairs[1]".to_owned()));
    assert_eq!(
        line("environments[1].source.server_key"),
        (5, "environment_key_pairs[1].server_side_key".to_owned())
    );
    assert_eq!(line("server.listen"), (24, "server.port".to_owned()));
    let shown = format!("{settings:?} {table}");
    for secret in ["mango", "banana", "papaya", "guava", "lemon"] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}

#[test]
fn what_is_not_taken_over_is_noted_with_its_reason() {
    let settings = load_json(&World::default(), CONFIG_JSON).unwrap();
    assert_eq!(
        settings.notes,
        [
            "config.json:12: endpoint_caches: not needed: answers are prepared once, when the \
             rules change",
            "config.json:17: logging.log_event_field_name: the names of a log line's fields are \
             not a setting",
            "config.json:18: logging.enable_access_log: single requests are not logged; \
             burgee_http_requests_total counts them",
            "config.json:19: logging.colours: the form of log lines is not a setting",
            "config.json:20: logging.override: there is no logging of Python's to be configured",
            "config.json:25: server.reload: the configuration is read once, at the start",
            "config.json:26: server.proxy_headers: not needed: no answer depends on the address or \
             the scheme that a client used",
            "config.json:31: usage_flush_interval_seconds: usage is not reported",
            "config.json:32: colour: not read: no member of this name is known",
            "config.json:33: api_poll_frequency_second: not read: no member of this name is known \
             (hint: did you mean \"api_poll_frequency_seconds\"?)",
        ]
    );
    // What the Edge Proxy writes by itself, and what changes nothing, is nothing to note.
    let silent = r#"{"environment_key_pairs": [{"server_side_key": "ser.mango"}],
        "endpoint_caches": null, "server": {"reload": false, "proxy_headers": false},
        "logging": {"enable_access_log": false, "colors": false}}"#;
    assert_eq!(load_json(&World::default(), silent).unwrap().notes, [""; 0]);
    let world = World::with(&[("WEB_CONCURRENCY", "8"), ("FORWARDED_ALLOW_IPS", "*")]);
    assert_eq!(
        load_json(&world, MINIMAL_JSON).unwrap().notes,
        [
            "WEB_CONCURRENCY: not read: Burgee starts one worker for each core; server.workers \
             sets their number",
            "FORWARDED_ALLOW_IPS: not read: no answer depends on the address or the scheme that a \
             client used",
        ]
    );
}

#[test]
fn an_edge_proxys_defaults_hold_for_its_file() {
    let settings = load_json(&World::default(), MINIMAL_JSON).unwrap();
    let table = printed(&settings);
    for line in [
        "server.listen = \"0.0.0.0:8000\" (default)\n",
        // Not the Edge Proxy's 5 s: it is what resets connections of clients that poll.
        "server.keep_alive = \"1m 15s\" (default)\n",
        "log.level = \"info\" (default)\n",
        "log.format = \"text\" (default)\n",
        "environments[0].name = \"environment-b493d483\" (file)\n",
        "environments[0].max_staleness = \"40s\" (default)\n",
        "environments[0].source.url = \"https://edge.api.flagsmith.com/api/v1\" (default)\n",
        "environments[0].source.poll_interval = \"10s\" (default)\n",
        "environments[0].source.timeout = \"5s\" (default)\n",
        "environments[0].cors.origins = [\"*\"] (default)\n",
        "environments[0].cors.credentials = false (default)\n",
        "environments[0].flagsmith.segments_without_identity = false (default)\n",
    ] {
        assert!(table.contains(line), "{line} in {table}");
    }
    assert_eq!(settings.notes, [""; 0]);
    // With or without a byte order mark, and whatever the file is called.
    for (name, contents) in [("config", MINIMAL_JSON), ("c", &format!("\u{feff}\n{MINIMAL_JSON}"))]
    {
        let loaded = Settings::load(Some((Path::new(name), contents)), &World::default());
        assert_eq!(loaded.unwrap().environments, settings.environments);
    }
}

#[test]
fn an_edge_proxys_values_are_read_as_it_reads_them() {
    let with = |member: &str| {
        let contents = MINIMAL_JSON.replacen('{', &format!("{{{member}, "), 1);
        load_json(&World::default(), &contents).unwrap()
    };
    let poll_interval = |settings: Settings| settings.environments[0].source.poll_interval();
    for member in [
        "\"api_poll_frequency\": 3",
        "\"api_poll_frequency_seconds\": \"3\"",
        "\"api_poll_frequency_seconds\": 3.0",
        "\"api_poll_frequency_seconds\": 3, \"api_poll_frequency\": 4",
    ] {
        assert_eq!(poll_interval(with(member)), Duration::from_secs(3), "{member}");
    }
    for (member, staleness) in [
        ("\"health_check\": {\"environment_update_grace_period_seconds\": null}", None),
        ("\"health_check\": {\"environment_update_grace_period_seconds\": 0}", Some(10)),
        ("\"health_check\": {}", Some(40)),
        ("\"health_check\": null", Some(40)),
    ] {
        let max_staleness = with(member).environments[0].max_staleness;
        assert_eq!(max_staleness, staleness.map(Duration::from_secs), "{member}");
    }
    let only = |origins: &[&str]| {
        AllowedOrigins::Only(origins.iter().map(|origin| (*origin).to_owned()).collect())
    };
    for (origins, expected, notes) in [
        ("\"*\"", AllowedOrigins::Any, 0),
        ("[\"*\"]", AllowedOrigins::Any, 0),
        ("[\"https://a.example\", \"*\"]", AllowedOrigins::Any, 0),
        ("\"https://a.example\"", only(&["https://a.example"]), 0),
        ("[]", only(&[]), 0),
        ("[\"null\"]", only(&["null"]), 0),
        ("[\"https://a.example/\", \"https://b.example\"]", only(&["https://b.example"]), 1),
    ] {
        let settings = with(&format!("\"allow_origins\": {origins}"));
        assert_eq!(settings.environments[0].cors.origins, expected, "{origins}");
        assert_eq!(settings.notes.len(), notes, "{:?}", settings.notes);
    }
    let settings = with("\"allow_origins\": [\"https://a.example/\"]");
    assert_eq!(
        settings.notes,
        ["config.json:1: allow_origins[0]: \"https://a.example/\" is left out: no browser sends \
          it: an origin has no path and no trailing slash"]
    );
    for (server, listen) in [
        ("{\"port\": \"9000\"}", "0.0.0.0:9000"),
        ("{\"host\": \"::\"}", "[::]:8000"),
        ("{\"host\": \"localhost\", \"port\": 0}", "127.0.0.1:0"),
    ] {
        let settings = with(&format!("\"server\": {server}"));
        assert_eq!(settings.server.listen, Listen::Tcp(listen.parse().unwrap()));
    }
    for (written, level) in [
        ("CRITICAL", LogLevel::Error),
        ("error", LogLevel::Error),
        ("WARN", LogLevel::Warn),
        ("Info", LogLevel::Info),
        ("DEBUG", LogLevel::Debug),
        ("NOTSET", LogLevel::Trace),
    ] {
        let settings = with(&format!("\"logging\": {{\"log_level\": \"{written}\"}}"));
        assert_eq!(settings.log.level, level, "{written}");
    }
    // Placeholders are ours.
    let settings = load_json(&World::default(), &MINIMAL_JSON.replace("banana", "${banana}"));
    assert_eq!(exposed(&settings.unwrap().environments[0].publishable_keys), ["${banana}"]);
}

#[test]
fn a_client_side_key_names_its_environment_and_may_be_left_out() {
    let pairs = |pairs: &[(&str, Option<&str>)]| {
        let pair = |(server, client): &(&str, Option<&str>)| {
            let client = client.map(|key| format!(", \"client_side_key\": \"{key}\""));
            format!("{{\"server_side_key\": \"{server}\"{}}}", client.unwrap_or_default())
        };
        let pairs: Vec<_> = pairs.iter().map(pair).collect();
        let contents = format!("{{\"environment_key_pairs\": [{}]}}", pairs.join(", "));
        let settings = load_json(&World::default(), &contents).unwrap();
        let environments = settings.environments.into_iter();
        environments.map(|it| (it.name, it.document_key)).collect::<Vec<_>>()
    };
    let banana = (BANANA.to_owned(), false);
    assert_eq!(pairs(&[("ser.mango", Some("banana"))]), std::slice::from_ref(&banana));
    // Whatever becomes of other pairs and of the server-side key.
    let moved = pairs(&[("ser.lime", None), ("ser.peach", Some("banana")), ("ser.plum", None)]);
    assert_eq!(moved[1], banana);
    assert_eq!(moved[0], ("environment-1".to_owned(), true));
    assert_eq!(moved[2], ("environment-3".to_owned(), true));
}

#[test]
fn an_edge_proxys_members_have_types_and_bounds_under_their_own_names() {
    for (member, expected) in [
        (
            "\"api_url\": \"flagsmith\"",
            "api_url: found text without \"://\", expected \"http://host\" or \"https://host\", \
             perhaps with a port and a path",
        ),
        (
            "\"api_poll_frequency_seconds\": 0",
            "api_poll_frequency_seconds: found 0, expected a number of seconds from 0.1 to 86400",
        ),
        (
            "\"api_poll_timeout\": \"five\"",
            "api_poll_timeout: found \"five\", expected a number of seconds from 0.01 to 600",
        ),
        (
            "\"allow_origins\": 7",
            "allow_origins: found a number, expected a list of origins, or \"*\"",
        ),
        (
            "\"allow_origins\": [true]",
            "allow_origins[0]: found a boolean, expected \"*\", \"null\" or \"scheme://host[:port]\"",
        ),
        ("\"server\": \"0.0.0.0\"", "server: found a string, expected an object"),
        (
            "\"server\": {\"host\": \"flags.internal\"}",
            "server.host: found \"flags.internal\", expected an address, such as \"0.0.0.0\" (hint: \
             names are not looked up: write the address, or \"0.0.0.0\" for all of this machine's)",
        ),
        (
            "\"server\": {\"port\": 65536}",
            "server.port: found 65536, expected a port from 0 to 65535",
        ),
        (
            "\"server\": {\"timeout_keep_alive\": []}",
            "server.timeout_keep_alive: found a list, expected a number of seconds from 0.001 to \
             86400",
        ),
        (
            "\"logging\": {\"log_level\": \"WARNNG\"}",
            "logging.log_level: found \"WARNNG\", expected \"CRITICAL\", \"ERROR\", \"WARNING\", \
             \"INFO\", \"DEBUG\" or \"NOTSET\" (hint: did you mean \"WARNING\"?)",
        ),
        (
            "\"logging\": {\"log_format\": \"text\"}",
            "logging.log_format: found \"text\", expected \"generic\" or \"json\"",
        ),
        (
            "\"health_check\": {\"environment_update_grace_period_seconds\": \"\"}",
            "health_check.environment_update_grace_period_seconds: found \"\", expected a number \
             of seconds from 0 to 31557600",
        ),
    ] {
        refuses_member(member, expected);
    }
}

#[test]
fn an_edge_proxy_without_key_pairs_needs_a_proxy_key() {
    for (contents, found) in
        [("{}", "nothing"), ("{\"environment_key_pairs\": []}", "an empty list")]
    {
        let expected = format!(
            "config.json:1: environment_key_pairs: found {found}, expected a list with at least one \
             pair of server_side_key and client_side_key (hint: or a proxy_key, with which they are \
             discovered)"
        );
        refuses_json(contents, &[&expected]);
    }
}

#[test]
fn an_edge_proxys_key_pairs_are_checked_without_being_shown() {
    let server_key = "a server-side key, which starts with \"ser.\"";
    let pairs = |pairs: &str| format!("{{\n\"environment_key_pairs\": {pairs}}}");
    let list = "a list with at least one pair of server_side_key and client_side_key";
    for (contents, expected) in [
        (
            "{\"proxy_key\": \"a lemon\"}".to_owned(),
            "1: proxy_key: found a key with white space, expected a key".to_owned(),
        ),
        (
            "{\"proxy_key\": \"lemon\", \"environment_key_pairs\": {}}".to_owned(),
            format!("1: environment_key_pairs: found an object, expected {list}"),
        ),
        (pairs("{}"), format!("2: environment_key_pairs: found an object, expected {list}")),
        (
            pairs("[\"ser.lemon\"]"),
            "2: environment_key_pairs[0]: found a string, expected an object with server_side_key \
             and client_side_key"
                .to_owned(),
        ),
        (
            pairs("[{\"client_side_key\": \"lemon\"}]"),
            format!(
                "2: environment_key_pairs[0].server_side_key: found nothing, expected {server_key}"
            ),
        ),
        (
            pairs("[{\"server_side_key\": \"lemon\"}]"),
            format!(
                "2: environment_key_pairs[0].server_side_key: found a key without that start, \
                 expected {server_key} (hint: a client-side key does not open the environment \
                 document: create a server-side one in the environment's SDK keys)"
            ),
        ),
        (
            pairs("[{\"server_side_key\": 7, \"client_side_key\": \"lemon\"}]"),
            format!(
                "2: environment_key_pairs[0].server_side_key: found a number, expected {server_key}"
            ),
        ),
        (
            pairs("[{\"server_side_key\": \"ser.lemon\", \"client_side_key\": \" \"}]"),
            "2: environment_key_pairs[0].client_side_key: found an empty key, expected a \
             client-side key"
                .to_owned(),
        ),
        (
            pairs("[{\"server_side_key\": \"ser.lemon\", \"client_side_key\": \"ser.lime\"}]"),
            "2: environment_key_pairs[0].client_side_key: found a secret key, it starts with \
             \"ser.\", expected a client-side key (hint: it is for servers; if a browser ever held \
             it, replace it)"
                .to_owned(),
        ),
        (
            pairs(
                "[{\"server_side_key\": \"ser.lemon\", \"client_side_key\": \"lemon\"},\n\
                 {\"server_side_key\": \"ser.lime\", \"client_side_key\": \"lemon\"}]",
            ),
            "3: environment_key_pairs[1].client_side_key: found the key of \
             environment_key_pairs[0].client_side_key, expected a key of its own"
                .to_owned(),
        ),
        (
            pairs("[{\"server_side_key\": \"ser.lemon\"},\n{\"server_side_key\": \"ser.lemon\"}]"),
            "3: environment_key_pairs[1].server_side_key: found the key of \
             environment_key_pairs[0].server_side_key, expected a key of its own (hint: where \
             secret_keys is left out, clients send the source's own key, and it can select one \
             environment only: write secret_keys)"
                .to_owned(),
        ),
        (
            "{\n \"lemon\" \"lemon\"}".to_owned(),
            "2:10: found text that is not JSON, expected the JSON object of a Flagsmith Edge Proxy \
             (hint: expected `:`)"
                .to_owned(),
        ),
        (
            "{\n\"api_poll_timeout_seconds\": -1e400}".to_owned(),
            "2:34: found text that is not JSON, expected the JSON object of a Flagsmith Edge Proxy \
             (hint: number out of range)"
                .to_owned(),
        ),
        (
            "[\"lemon\"]".to_owned(),
            "1: found a list, expected the JSON object of a Flagsmith Edge Proxy".to_owned(),
        ),
    ] {
        refuses_json(&contents, &[&format!("config.json:{expected}")]);
        assert!(!expected.contains("lemon"));
    }
}

#[test]
fn an_edge_proxys_variables_win_over_its_file_and_ours_over_both() {
    let world = World::with(&[
        ("API_URL", "http://flagsmith.example"),
        ("API_POLL_FREQUENCY", "3"),
        ("SERVER", "{\"port\": 9001}"),
        ("ALLOW_ORIGINS", "[\"https://a.example\"]"),
        ("HEALTH_CHECK", "{\"environment_update_grace_period_seconds\": null}"),
        ("PROXY_KEY", "lime"),
        ("BURGEE_LOG", "debug"),
        ("BURGEE_ADMIN_LISTEN", "127.0.0.1:9002"),
    ]);
    let settings = load_json(&world, CONFIG_JSON).unwrap();
    let table = printed(&settings);
    for line in [
        // The port from the variable, the host from the file.
        "server.listen = \"127.0.0.1:9001\" (variable SERVER)\n",
        "server.keep_alive = \"30s\" (file)\n",
        "admin.listen = \"127.0.0.1:9002\" (variable BURGEE_ADMIN_LISTEN)\n",
        "log.level = \"debug\" (variable BURGEE_LOG)\n",
        "log.format = \"json\" (file)\n",
        "environments[0].max_staleness = none (variable HEALTH_CHECK)\n",
        "environments[0].source.url = \"http://flagsmith.example\" (variable API_URL)\n",
        "environments[0].source.poll_interval = \"3s\" (variable API_POLL_FREQUENCY)\n",
        "environments[0].source.timeout = \"7s\" (file)\n",
        "environments[0].cors.origins = [\"https://a.example\"] (variable ALLOW_ORIGINS)\n",
        "environments[1].source.server_key = [redacted] (file)\n",
    ] {
        assert!(table.contains(line), "{line} in {table}");
    }
    assert_eq!(settings.discover[0].proxy_key.expose(), "lime");
    assert_eq!(settings.set_by("discover[0].proxy_key"), SetBy::Variable("PROXY_KEY"));
    assert!(settings.notes.iter().all(|note| !note.contains("lemon")));

    let listen = World::with(&[("SERVER", "{\"port\": 9001}"), ("BURGEE_LISTEN", "[::1]:9003")]);
    let settings = load_json(&listen, CONFIG_JSON).unwrap();
    assert_eq!(settings.server.listen, Listen::Tcp("[::1]:9003".parse().unwrap()));
    assert_eq!(settings.set_by("server.listen"), SetBy::Variable("BURGEE_LISTEN"));

    let beside = World::with(&[("BURGEE_SOURCE", "file")]);
    assert_eq!(
        lines(load_json(&beside, MINIMAL_JSON)),
        ["BURGEE_SOURCE: found an environment in variables beside environments in config.json, \
          expected one or the other (hint: unset the variable, or remove the file's environments)"]
    );
}

#[test]
fn an_edge_proxys_variables_are_read_in_any_letter_case() {
    let pairs = "[{\"server_side_key\": \"ser.mango\", \"client_side_key\": \"banana\"}]";
    for name in ["environment_key_pairs", "ENVIRONMENT_KEY_PAIRS", "Environment_Key_Pairs"] {
        let world = World::with(&[
            (name, pairs),
            ("api_url", "http://flagsmith.example"),
            ("Api_Poll_Frequency_Seconds", "3"),
            ("server", "{\"port\": 9001}"),
        ]);
        let settings = world.load_without_a_file().unwrap();
        let table = printed(&settings);
        for line in [
            "server.listen = \"0.0.0.0:9001\" (variable server)\n",
            "environments[0].source.url = \"http://flagsmith.example\" (variable api_url)\n",
            "environments[0].source.poll_interval = \"3s\" (variable API_POLL_FREQUENCY_SECONDS)\n",
        ] {
            assert!(table.contains(line), "{line} in {table}");
        }
    }
    // Over a file, too.
    let world = World::with(&[("api_url", "http://flagsmith.example")]);
    let table = printed(&load_json(&world, CONFIG_JSON).unwrap());
    assert!(table.contains("source.url = \"http://flagsmith.example\" (variable api_url)\n"));
    // Nobody's but the Edge Proxy's: ours are read as they are written, and beside a file of ours
    // none of them counts.
    let world = World::with(&[
        ("environment_key_pairs", pairs),
        ("server", "web-1"),
        ("burgee_log", "debug"),
    ]);
    let settings = world.load(MINIMAL).unwrap();
    assert_eq!(settings.log.level, LogLevel::Info);
    assert_eq!(
        settings.notes,
        ["environment_key_pairs: not read: it counts beside a config.json or without any file"]
    );
}

#[test]
fn spellings_of_one_variable_have_to_agree() {
    let pairs = "[{\"server_side_key\": \"ser.mango\", \"client_side_key\": \"banana\"}]";
    let same = [
        ("ENVIRONMENT_KEY_PAIRS", pairs),
        ("API_URL", "http://a.example"),
        ("api_url", " http://a.example"),
    ];
    assert!(World::with(&same).load_without_a_file().is_ok());
    let others = "[{\"server_side_key\": \"ser.lemon\"}]";
    let world = World::with(&[
        ("ENVIRONMENT_KEY_PAIRS", pairs),
        ("environment_key_pairs", others),
        ("api_url", "http://a.example"),
        ("Api_Url", "http://b.example"),
        // An empty one is not set.
        ("logging", ""),
        ("LOGGING", "{}"),
    ]);
    assert_eq!(
        lines(world.load_without_a_file()),
        [
            "ENVIRONMENT_KEY_PAIRS: found another value than that of environment_key_pairs, expected \
             one value, however the name is spelled (hint: unset one of them)",
            "API_URL: found another value than that of api_url, expected one value, however the \
             name is spelled (hint: unset one of them)",
        ]
    );
    // What other software left there is no object, and that is said.
    let world =
        World::with(&[("environment_key_pairs", pairs), ("server", "web-1"), ("logging", "on")]);
    assert_eq!(
        lines(world.load_without_a_file()),
        [
            "server: found a string, expected an object",
            "logging: found a string, expected an object",
        ]
    );
}

#[test]
fn key_pairs_in_a_variable_need_no_file() {
    let pairs = "[{\"server_side_key\": \"ser.mango\", \"client_side_key\": \"banana\"}]";
    let variables = [
        ("ENVIRONMENT_KEY_PAIRS", pairs),
        ("API_POLL_TIMEOUT_SECONDS", "2.5"),
        ("ALLOW_ORIGINS", "https://a.example, https://b.example"),
        ("LOGGING", "{\"log_level\": \"ERROR\", \"colour\": true}"),
    ];
    let settings = World::with(&variables).load_without_a_file().unwrap();
    let table = printed(&settings);
    for line in [
        "log.level = \"error\" (variable LOGGING)\n",
        "environments[0].name = \"environment-b493d483\" (variable ENVIRONMENT_KEY_PAIRS)\n",
        "environments[0].publishable_keys = [[redacted]] (variable ENVIRONMENT_KEY_PAIRS)\n",
        "environments[0].source.server_key = [redacted] (variable ENVIRONMENT_KEY_PAIRS)\n",
        "environments[0].source.poll_interval = \"10s\" (default)\n",
        "environments[0].source.timeout = \"2s 500ms\" (variable API_POLL_TIMEOUT_SECONDS)\n",
        "environments[0].cors.origins = [\"https://a.example\", \"https://b.example\"] (variable \
         ALLOW_ORIGINS)\n",
    ] {
        assert!(table.contains(line), "{line} in {table}");
    }
    assert_eq!(
        settings.notes,
        ["LOGGING.colour: not read: no member of this name is known (hint: did you mean \
          \"colours\"?)"]
    );
    // The variables of another form say something else.
    let mut both = variables.to_vec();
    both.extend([("BURGEE_SOURCE", "flagsmith"), ("BURGEE_SOURCE_KEY", "ser.lime")]);
    let both = World::with(&both);
    for result in [both.load_without_a_file(), World::with(&variables).load(MINIMAL)] {
        assert_eq!(
            result.unwrap().notes,
            ["ENVIRONMENT_KEY_PAIRS: not read: it counts beside a config.json or without any file"]
        );
    }
    for (name, text, expected) in [
        (
            "ENVIRONMENT_KEY_PAIRS",
            "[{\"server_side_key\": \"lemon\"}]",
            "ENVIRONMENT_KEY_PAIRS[0].server_side_key: found a key without that start, expected a \
             server-side key, which starts with \"ser.\" (hint: a client-side key does not open \
             the environment document: create a server-side one in the environment's SDK keys)",
        ),
        (
            "ENVIRONMENT_KEY_PAIRS",
            "[{lemon",
            "ENVIRONMENT_KEY_PAIRS: found text that is not JSON, expected JSON (hint: key must be a \
             string)",
        ),
        (
            "ENVIRONMENT_KEY_PAIRS",
            "ser.lemon",
            "ENVIRONMENT_KEY_PAIRS: found a string, expected a list with at least one pair of \
             server_side_key and client_side_key",
        ),
        (
            "ENVIRONMENT_KEY_PAIRS",
            "null",
            "ENVIRONMENT_KEY_PAIRS: found null, expected a list with at least one pair of \
             server_side_key and client_side_key",
        ),
        (
            "SERVER",
            "{\"port\": lemon}",
            "SERVER: found text that is not JSON, expected JSON (hint: expected value)",
        ),
        (
            "SERVER",
            "{\"port\": \"http\"}",
            "SERVER.port: found \"http\", expected a port from 0 to 65535",
        ),
        ("LOGGING", "INFO", "LOGGING: found a string, expected an object"),
    ] {
        let world = World::with(&[("ENVIRONMENT_KEY_PAIRS", pairs), (name, text)]);
        assert_eq!(lines(world.load_without_a_file()), [expected]);
    }
}

#[test]
fn a_proxy_key_is_enough_to_discover_environments() {
    let contents = "{\n\"proxy_key\": \" pk.apricot \",\n\"api_poll_frequency\": 3}";
    let world = World::with(&[("PROXY_KEY", "pk.apricot"), ("API_POLL_FREQUENCY", "3")]);
    let of_file = load_json(&World::default(), contents).unwrap();
    let of_variables = world.load_without_a_file().unwrap();
    for (settings, by) in [(&of_file, SetBy::File), (&of_variables, SetBy::Variable("PROXY_KEY"))] {
        assert!(settings.environments.is_empty());
        let [discover] = &settings.discover[..] else { panic!("one list") };
        assert_eq!(discover.proxy_key.expose(), "pk.apricot");
        assert_eq!(discover.name, "discovered");
        assert_eq!(discover.url.to_string(), "https://edge.api.flagsmith.com/api/v1");
        assert_eq!(discover.poll_interval, Duration::from_secs(3));
        assert_eq!(discover.timeout, Duration::from_secs(5));
        assert_eq!(discover.max_staleness, Some(Duration::from_secs(33)));
        assert_eq!(settings.set_by("discover[0].proxy_key"), by);
        assert_eq!(settings.notes, [""; 0]);
        means_the_same(settings, &[("BURGEE_KEY_1", "pk.apricot")]);
    }
    assert_eq!(
        of_file.to_toml(),
        r#"
[[discover]]
type = "flagsmith"
# BURGEE_KEY_1: the key of config.json:2: proxy_key.
proxy_key = "${BURGEE_KEY_1}"
poll_interval = "3s"
timeout = "5s"
max_staleness = "33s"
"#
    );
    // A key is text, whatever it looks like.
    for (text, key) in [("123456", "123456"), ("true", "true"), ("[k", "[k"), ("\"k\"", "k")] {
        let settings = World::with(&[("PROXY_KEY", text)]).load_without_a_file().unwrap();
        assert_eq!(settings.discover[0].proxy_key.expose(), key);
    }
    // Beside pairs, an empty list of them, and none at all.
    for pairs in ["[]", "null", "[{\"server_side_key\": \"ser.mango\"}]"] {
        let contents = format!("{{\"proxy_key\": \"k\", \"environment_key_pairs\": {pairs}}}");
        let settings = load_json(&World::default(), &contents).unwrap();
        assert_eq!(settings.discover.len(), 1);
        assert_eq!(settings.environments.len(), usize::from(pairs.contains("mango")));
    }
    // Where another form is read it is not.
    let settings = world.load(MINIMAL).unwrap();
    assert!(settings.discover.is_empty());
    let note = "PROXY_KEY: not read: it counts beside a config.json or without any file";
    assert_eq!(settings.notes, [note]);
}

#[test]
fn the_admin_port_beside_an_edge_proxys_file_is_where_ours_always_is() {
    let listen = |world: &World| {
        let file = Some((Path::new("config.json"), "{\"server\": {\"port\": \"no\"}}"));
        Settings::load_admin(file, world).unwrap().listen
    };
    assert_eq!(listen(&World::default()), Listen::Tcp("127.0.0.1:8001".parse().unwrap()));
    let variable = World::with(&[("BURGEE_ADMIN_LISTEN", "unix:/run/admin.sock")]);
    assert_eq!(listen(&variable), Listen::Unix("/run/admin.sock".into()));
}

#[test]
fn an_edge_proxy_at_our_admin_port_moves_it_unless_somebody_said_where_it_is() {
    let with = |member: &str| MINIMAL_JSON.replacen('{', &format!("{{{member}, "), 1);
    let tcp = |address: &str| Listen::Tcp(address.parse().unwrap());
    for (server, admin) in [
        ("{\"port\": 8001}", "127.0.0.1:8002"),
        ("{\"port\": \"8001\", \"host\": \"localhost\"}", "127.0.0.1:8002"),
        ("{\"port\": 8001, \"host\": \"192.0.2.1\"}", "127.0.0.1:8001"),
        ("{\"port\": 8002}", "127.0.0.1:8001"),
    ] {
        let contents = with(&format!("\"server\": {server}"));
        let settings = load_json(&World::default(), &contents).unwrap();
        assert_eq!(settings.admin.listen, tcp(admin), "{server}");
        let file = Some((Path::new("config.json"), &*contents));
        let asked = Settings::load_admin(file, &World::default()).unwrap();
        assert_eq!(asked.listen, tcp(admin), "those who ask a process find it there");
    }
    let contents = with("\"server\": {\"port\": 8001}");
    let settings = load_json(&World::default(), &contents).unwrap();
    let note = "server.port: admin.listen is \"127.0.0.1:8001\" by default, which is taken: it is \
                \"127.0.0.1:8002\" instead";
    assert_eq!(settings.notes, [format!("config.json:1: {note}")]);
    let text = settings.to_toml();
    assert!(text.contains("[admin]\nlisten = \"127.0.0.1:8002\"\n"), "{text}");
    means_the_same(&settings, &[("BURGEE_KEY_1", "banana"), ("BURGEE_KEY_2", "ser.mango")]);
    // Of variables, too.
    let pairs = "[{\"server_side_key\": \"ser.mango\"}]";
    let world = World::with(&[("ENVIRONMENT_KEY_PAIRS", pairs), ("SERVER", "{\"port\": 8001}")]);
    let settings = world.load_without_a_file().unwrap();
    assert_eq!(settings.admin.listen, tcp("127.0.0.1:8002"));
    assert_eq!(settings.notes, [note.replace("server.port", "SERVER.port")]);
    // Where somebody says where it is, it is there.
    let world = World::with(&[("BURGEE_ADMIN_LISTEN", "127.0.0.1:8001")]);
    assert_eq!(
        lines(load_json(&world, &contents)),
        [
            "BURGEE_ADMIN_LISTEN: found one address for server.listen and admin.listen, expected two \
          that do not overlap"
        ]
    );
}

// Settings as TOML.

/// Holds what `to_toml` prints for `settings`, loaded with the keys that its placeholders stand for,
/// against them.
#[track_caller]
fn means_the_same(settings: &Settings, keys: &[(&'static str, &'static str)]) {
    let plain = |settings: &Settings| Settings {
        written: BTreeMap::new(),
        placeholders: BTreeMap::new(),
        notes: Vec::new(),
        ..settings.clone()
    };
    let text = settings.to_toml();
    let again = World::with(keys).load(&text);
    assert_eq!(lines(again.clone()), [""; 0], "{text}");
    let again = again.unwrap_or_default();
    // Comparing keys too: `Debug` would not tell them apart.
    assert!(plain(&again) == plain(settings), "{again:#?}\n{settings:#?}");
    assert_eq!(printed(&again).lines().count(), printed(settings).lines().count());
}

/// What [`COMPLETE`] is printed as.
const COMPLETE_AS_TOML: &str = r#"[server]
listen = "127.0.0.1:9000"
base_path = "/flags"
keep_alive = "1m"
drain = "5s"
workers = 3
h2c = true
[admin]
listen = "unix:/run/burgee/admin.sock"
# BURGEE_ADMIN_TOKEN: what admin.token was.
token = "${BURGEE_ADMIN_TOKEN}"
startup_grace = "0s"
[limits]
connections = 1000
body = "64KiB"
url = "2KiB"
header_timeout = "1s 500ms"
body_timeout = "2s"
in_flight_body_bytes = "1000000B"
streams = 50
streams_per_environment = 0
waiters_per_environment = 0
[log]
level = "debug"
format = "json"

[[environments]]
name = "shop/production"
# BURGEE_KEY_1: the key of burgee.toml:32: environments[0].publishable_keys[0].
# BURGEE_KEY_2: the key of burgee.toml:32: environments[0].publishable_keys[1].
publishable_keys = ["${BURGEE_KEY_1}", "${BURGEE_KEY_2}"]
# BURGEE_KEY_3: the key of burgee.toml:34: environments[0].secret_keys[0].
secret_keys = ["${BURGEE_KEY_3}"]
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
definitions = "partial"
[environments.flagsmith]
segments_without_identity = true
hide_sensitive_data = true
[environments.ofrep]
bare_key = "value"
[environments.cors]
origins = ["https://shop.example.com", "http://localhost:3000"]
credentials = true
[environments.gate]
max_shrink = 0.25
confirm_after = 1

[[environments]]
name = "shop/staging"
# BURGEE_KEY_4: the key of burgee.toml:62: environments[1].publishable_keys[0].
publishable_keys = ["${BURGEE_KEY_4}"]
# BURGEE_KEY_5: the key of burgee.toml:63: environments[1].secret_keys[0].
# BURGEE_KEY_6: the key of burgee.toml:63: environments[1].secret_keys[1].
secret_keys = ["${BURGEE_KEY_5}", "${BURGEE_KEY_6}"]
max_staleness = "1m"
on_stale = "mark"
on_unauthorized = "refuse"
[environments.source]
type = "reflag"
url = "http://edge.example:8000/flags"
secret_key = "${BURGEE_KEY_5}"
# BURGEE_KEY_7: the key of burgee.toml:71: environments[1].source.upstream_publishable_key.
upstream_publishable_key = "${BURGEE_KEY_7}"
poll_interval = "100ms"
timeout = "10ms"
push = false
ca_file = "/etc/burgee/ca.pem"
[environments.reflag]
evaluator = "1.1"
secret_flags = ["beta"]
definitions = "partial"
[environments.flagsmith]
segments_without_identity = true
hide_sensitive_data = true
[environments.ofrep]
bare_key = "value"
[environments.cors]
origins = []
credentials = true
[environments.gate]
max_shrink = 1
confirm_after = 1000

[[environments]]
name = "shop/mobile"
# BURGEE_KEY_8: the key of burgee.toml:94: environments[2].publishable_keys[0].
publishable_keys = ["${BURGEE_KEY_8}"]
# BURGEE_KEY_9: the key of burgee.toml:95: environments[2].secret_keys[0].
secret_keys = ["${BURGEE_KEY_9}"]
max_staleness = "1m"
on_stale = "mark"
on_unauthorized = "refuse"
[environments.source]
type = "flagsmith"
url = "https://flagsmith.example/api/v1"
# BURGEE_KEY_10: the key of burgee.toml:102: environments[2].source.server_key.
server_key = "${BURGEE_KEY_10}"
poll_interval = "100ms"
timeout = "10m"
push = false
realtime_url = "https://realtime.example"
ca_file = "/etc/burgee/ca.pem"
[environments.reflag]
evaluator = "1.1"
secret_flags = ["beta"]
definitions = "partial"
[environments.flagsmith]
segments_without_identity = true
hide_sensitive_data = true
[environments.ofrep]
bare_key = "value"
[environments.cors]
origins = []
credentials = true
[environments.gate]
max_shrink = 0.1
confirm_after = 2

[[discover]]
type = "flagsmith"
name = "vendor"
url = "https://flagsmith.example/api/v1"
# BURGEE_KEY_11: the key of burgee.toml:128: discover[0].proxy_key.
proxy_key = "${BURGEE_KEY_11}"
poll_interval = "100ms"
timeout = "10ms"
push = false
realtime_url = "http://realtime.example:8000/live"
ca_file = "/etc/burgee/ca.pem"
max_environments = 10000
max_staleness = "1m"
on_stale = "mark"
on_unauthorized = "refuse"
[discover.flagsmith]
segments_without_identity = true
hide_sensitive_data = true
[discover.cors]
origins = []
credentials = true
[discover.gate]
max_shrink = 0
confirm_after = 1
"#;

#[test]
fn settings_are_printed_as_toml_with_placeholders_for_keys() {
    let settings = World::default().load(COMPLETE).unwrap();
    let text = settings.to_toml();
    assert_eq!(text, COMPLETE_AS_TOML);
    means_the_same(
        &settings,
        &[
            ("BURGEE_ADMIN_TOKEN", "0123456789-lemon"),
            ("BURGEE_KEY_1", "pub_orange"),
            ("BURGEE_KEY_2", "pub_cherry"),
            ("BURGEE_KEY_3", "sec_quince"),
            ("BURGEE_KEY_4", "pub_lime"),
            ("BURGEE_KEY_5", "sec_plum"),
            ("BURGEE_KEY_6", "sec_peach"),
            ("BURGEE_KEY_7", "pub_grape"),
            ("BURGEE_KEY_8", "banana"),
            ("BURGEE_KEY_9", "ser.papaya"),
            ("BURGEE_KEY_10", "ser.mango"),
            ("BURGEE_KEY_11", "pk.apricot"),
        ],
    );
}

#[test]
fn an_edge_proxys_file_is_printed_as_the_toml_that_means_the_same() {
    let settings = load_json(&World::default(), MINIMAL_JSON).unwrap();
    assert_eq!(
        settings.to_toml(),
        r#"
[[environments]]
name = "environment-b493d483"
# BURGEE_KEY_1: the key of config.json:2: environment_key_pairs[0].client_side_key.
publishable_keys = ["${BURGEE_KEY_1}"]
max_staleness = "40s"
[environments.source]
type = "flagsmith"
# BURGEE_KEY_2: the key of config.json:2: environment_key_pairs[0].server_side_key.
server_key = "${BURGEE_KEY_2}"
poll_interval = "10s"
timeout = "5s"
"#
    );
    means_the_same(&settings, &[("BURGEE_KEY_1", "banana"), ("BURGEE_KEY_2", "ser.mango")]);

    let settings = load_json(&World::default(), CONFIG_JSON).unwrap();
    let text = settings.to_toml();
    assert!(text.starts_with("# Note: config.json:12: endpoint_caches: not needed"), "{text}");
    for secret in ["mango", "banana", "papaya", "guava", "lemon"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    let keys = [
        ("BURGEE_KEY_1", "banana"),
        ("BURGEE_KEY_2", "ser.mango"),
        ("BURGEE_KEY_3", "guava"),
        ("BURGEE_KEY_4", "ser.papaya"),
        ("BURGEE_KEY_5", "lemon"),
    ];
    means_the_same(&settings, &keys);

    let without_client =
        r#"{"environment_key_pairs": [{"server_side_key": "ser.mango"}], "allow_origins": []}"#;
    let settings = load_json(&World::default(), without_client).unwrap();
    means_the_same(&settings, &[("BURGEE_KEY_1", "ser.mango")]);
}

#[test]
fn variables_alone_are_printed_as_toml_too() {
    let settings = World::with(&[
        ("BURGEE_SOURCE", "flagsmith"),
        ("BURGEE_SOURCE_KEY", "ser.mango"),
        ("BURGEE_SECRET_KEYS", "ser.mango,ser.papaya"),
        ("BURGEE_LOG", "debug"),
        ("BURGEE_ADMIN_TOKEN", "0123456789-lemon"),
    ])
    .load_without_a_file()
    .unwrap();
    assert_eq!(
        settings.to_toml(),
        r#"[admin]
# BURGEE_ADMIN_TOKEN: what admin.token was.
token = "${BURGEE_ADMIN_TOKEN}"
[log]
level = "debug"

[[environments]]
name = "default"
# BURGEE_KEY_1: the key of BURGEE_SECRET_KEYS[0].
# BURGEE_KEY_2: the key of BURGEE_SECRET_KEYS[1].
secret_keys = ["${BURGEE_KEY_1}", "${BURGEE_KEY_2}"]
[environments.source]
type = "flagsmith"
server_key = "${BURGEE_KEY_1}"
"#
    );
    let keys = [
        ("BURGEE_ADMIN_TOKEN", "0123456789-lemon"),
        ("BURGEE_KEY_1", "ser.mango"),
        ("BURGEE_KEY_2", "ser.papaya"),
    ];
    means_the_same(&settings, &keys);
}

#[test]
fn a_placeholder_stays_what_it_is_and_all_other_text_is_no_placeholder() {
    let world = World::with(&[
        ("KEY", "pub_orange"),
        ("BURGEE_KEY_1", "ser.mango"),
        ("PART", "quince"),
        ("NAME", "shop"),
        ("TOKEN", "0123456789-lemon"),
    ])
    .file("/run/secrets/key", "sec_plum\n");
    let contents = r#"
        admin.token = "${TOKEN}"
        [[environments]]
        name = "${NAME}"
        publishable_keys = ["${KEY}"]
        secret_keys = ["${file:/run/secrets/key}", "sec_${PART}", "sec_$${KEY}"]
        source = { type = "flagsmith", server_key = "${BURGEE_KEY_1}" }
        reflag.secret_flags = ["$${KEY}", "a \"b\" \\ c"]
        gate.max_shrink = 0.333333
    "#;
    let settings = world.load(contents).unwrap();
    let text = settings.to_toml();
    assert_eq!(
        text,
        r#"[admin]
token = "${TOKEN}"

[[environments]]
name = "shop"
publishable_keys = ["${KEY}"]
# BURGEE_KEY_2: the key of burgee.toml:6: environments[0].secret_keys[1].
# BURGEE_KEY_3: the key of burgee.toml:6: environments[0].secret_keys[2].
secret_keys = ["${file:/run/secrets/key}", "${BURGEE_KEY_2}", "${BURGEE_KEY_3}"]
[environments.source]
type = "flagsmith"
server_key = "${BURGEE_KEY_1}"
[environments.reflag]
secret_flags = ["$${KEY}", "a \"b\" \\ c"]
[environments.gate]
max_shrink = 0.333333
"#
    );
    let again = World::with(&[
        ("KEY", "pub_orange"),
        ("BURGEE_KEY_1", "ser.mango"),
        ("BURGEE_KEY_2", "sec_quince"),
        ("BURGEE_KEY_3", "sec_${KEY}"),
        ("TOKEN", "0123456789-lemon"),
    ])
    .file("/run/secrets/key", "sec_plum\n")
    .load(&text)
    .unwrap();
    assert!(again.environments == settings.environments);
    assert!(again.admin == settings.admin);

    // A variable that wins is not what the file's placeholder stands for.
    let world = World::with(&[
        ("TOKEN", "token-from-the-file"),
        ("BURGEE_ADMIN_TOKEN", "token-from-the-variable"),
    ]);
    let settings = world.load(&format!("admin.token = \"${{TOKEN}}\"{MINIMAL}")).unwrap();
    assert!(settings.to_toml().contains("token = \"${BURGEE_ADMIN_TOKEN}\"\n"));
}

#[test]
fn lists_that_were_left_empty_stay_empty_in_toml() {
    for contents in [
        MINIMAL.to_owned(),
        flagsmith(""),
        flagsmith("").replace("\"a\"", "\"a\"\npublishable_keys = []"),
        upstream("").replace("\"a\"", "\"a\"\nsecret_keys = []\npublishable_keys = [\"k\"]"),
        upstream("[environments.reflag]\nsecret_flags = []"),
        flagsmith("")
            .replace(
                "server_key = \"ser.mango\"",
                "path = \"environment.json\"\nformat = \"flagsmith\"",
            )
            .replace("type = \"flagsmith\"", "type = \"file\""),
    ] {
        let settings = World::default().load(&contents).unwrap();
        let key = match &settings.environments[0] {
            Environment { source: Source::Flagsmith(_), .. } => "ser.mango",
            Environment { source: Source::Reflag(_), publishable_keys, .. }
                if publishable_keys.is_empty() =>
            {
                "sec_quince"
            }
            Environment { source: Source::Reflag(_), .. } => "k",
            Environment { .. } => "pub_orange",
        };
        means_the_same(&settings, &[("BURGEE_KEY_1", key), ("BURGEE_KEY_2", "sec_quince")]);
    }
}

// The origin.

#[test]
fn an_origin_has_defaults_and_its_environments_need_no_keys() {
    let settings = World::default().load(MINIMAL_ORIGIN).unwrap();
    let printed = printed(&settings);
    for row in [
        "origin.listen = \"127.0.0.1:8002\" (default)",
        "origin.database = \"sqlite:./burgee-state/origin.db\" (default)",
        "origin.strict_entities = false (default)",
        "origin.demo = false (default)",
        "environments[0].publishable_keys = the origin's (default)",
        "environments[0].secret_keys = the origin's (default)",
        "environments[0].source.app = \"shop\" (file)",
        "environments[0].source.environment = \"production\" (file)",
        "environments[0].reflag.secret_flags = [] (default)",
        "environments[0].gate.max_shrink = 0 (default)",
    ] {
        assert!(printed.contains(row), "{row} is not in\n{printed}");
    }
    let again = settings.to_toml();
    assert_eq!(World::default().load(&again).unwrap().origin, settings.origin, "{again}");
    assert!(World::default().load(MINIMAL).unwrap().origin.is_none());
}

#[test]
fn what_an_origin_cannot_be_is_refused() {
    let origin =
        |lines: &str| MINIMAL_ORIGIN.replace("[origin]\n", &format!("[origin]\n{lines}\n"));
    refuses(
        &origin("database = \"postgres://db/shop\""),
        &["burgee.toml:2: origin.database: found \"postgres://db/shop\", expected \
           \"sqlite:PATH\" (hint: this build keeps an origin in SQLite only)"],
    );
    refuses(
        &origin("database = \"sqlite:\""),
        &["burgee.toml:2: origin.database: found \"sqlite:\", expected \"sqlite:PATH\""],
    );
    refuses(
        &origin("listen = \"127.0.0.1:8001\""),
        &["burgee.toml:2: origin.listen: found one address for admin.listen and origin.listen, \
           expected two that do not overlap"],
    );
    refuses(
        &origin("").replace("[origin]", "admin.listen = \"127.0.0.1:8002\"\n[origin]"),
        &["burgee.toml:1: admin.listen: found one address for admin.listen and origin.listen, \
           expected two that do not overlap (hint: BURGEE_ORIGIN_LISTEN moves the origin's port)"],
    );
    refuses(
        &MINIMAL_ORIGIN.replace("[origin]\n", ""),
        &["burgee.toml:3: environments[0].source.type: found \"origin\" without an origin, \
           expected the table [origin], if only its header (hint: rules of an origin in another \
           process come by a source of type \"reflag\")"],
    );
    refuses(
        &MINIMAL_ORIGIN.replace(", environment = \"production\"", ""),
        &["burgee.toml:4: environments[0].source.environment: found nothing, expected an id or a \
           name"],
    );
}

#[test]
fn a_variable_moves_the_origins_port_where_there_is_an_origin() {
    let world = World::with(&[("BURGEE_ORIGIN_LISTEN", "127.0.0.1:9")]);
    let settings = world.load(MINIMAL_ORIGIN).unwrap();
    let row = "origin.listen = \"127.0.0.1:9\" (variable BURGEE_ORIGIN_LISTEN)";
    assert!(printed(&settings).contains(row));
    assert_eq!(
        lines(world.load(MINIMAL)),
        ["BURGEE_ORIGIN_LISTEN: found a port for an origin without an origin, expected the table \
           [origin], if only its header"]
    );
}
