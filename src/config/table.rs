//! Every setting with its effective value, for `burgee check` and for people who wonder which of
//! file, variable and default won.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use super::secret::REDACTED;
use super::settings::{
    AllowedOrigins, Cors, Discover, Environment, Flagsmith, Gate, Listen, SecretFlags, SetBy,
    Settings, Source,
};
use super::shape::{Bytes, ClosedSet, DiscoveryType, SourceType};

/// One setting.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Row {
    /// The key path, such as `environments[0].source.type`. What only variables say has one too,
    /// such as `proxy.https`.
    pub path: String,
    /// The effective value as it could be written in the file, `[redacted]` for secrets; for a
    /// setting without a value, words that say what that means.
    pub value: String,
    /// What gave it this value.
    pub set_by: SetBy,
}

impl Settings {
    /// Every setting, in the order of the documentation. Holds no secret.
    pub fn to_table(&self) -> Vec<Row> {
        let mut table = Rows { settings: self, rows: Vec::new() };
        table.server();
        table.admin();
        table.limits();
        table.log();
        table.origin();
        table.proxy();
        for (index, environment) in self.environments.iter().enumerate() {
            table.environment(&format!("environments[{index}]"), environment);
        }
        for (index, discover) in self.discover.iter().enumerate() {
            table.discover(&format!("discover[{index}]"), discover);
        }
        table.rows
    }
}

struct Rows<'a> {
    settings: &'a Settings,
    rows: Vec<Row>,
}

impl Rows<'_> {
    fn server(&mut self) {
        let server = &self.settings.server;
        let workers = match server.workers {
            Some(workers) => workers.to_string(),
            None => "one per available core".to_owned(),
        };
        self.row("server.listen", address(&server.listen));
        self.row("server.base_path", text(&server.base_path));
        self.row("server.keep_alive", duration(server.keep_alive));
        self.row("server.drain", duration(server.drain));
        self.row("server.workers", workers);
        self.row("server.h2c", server.h2c);
    }

    fn admin(&mut self) {
        let admin = &self.settings.admin;
        let token = admin.token.as_ref().map_or("none", |_| REDACTED);
        self.row("admin.listen", address(&admin.listen));
        self.row("admin.token", token);
        self.row("admin.startup_grace", duration(admin.startup_grace));
    }

    fn limits(&mut self) {
        let limits = &self.settings.limits;
        self.row("limits.connections", limits.connections);
        self.row("limits.body", size(limits.body));
        self.row("limits.url", size(limits.url));
        self.row("limits.header_timeout", duration(limits.header_timeout));
        self.row("limits.body_timeout", duration(limits.body_timeout));
        self.row("limits.in_flight_body_bytes", size(limits.in_flight_body_bytes));
        self.row("limits.streams", limits.streams);
        self.row("limits.streams_per_environment", limits.streams_per_environment);
        self.row("limits.waiters_per_environment", limits.waiters_per_environment);
    }

    fn log(&mut self) {
        let log = &self.settings.log;
        self.row("log.level", word(log.level));
        self.row("log.format", word(log.format));
    }

    fn origin(&mut self) {
        let Some(origin) = &self.settings.origin else { return };
        let database = format!("sqlite:{}", origin.database.display());
        self.row("origin.listen", address(&origin.listen));
        self.row("origin.database", text(&database));
        self.row("origin.strict_entities", origin.strict_entities);
        self.row("origin.demo", origin.demo);
    }

    /// Only what is there: a proxy is no setting, but whoever wonders why an upstream cannot be
    /// reached wants to see that there is one.
    fn proxy(&mut self) {
        let proxy = &self.settings.proxy;
        let urls = [("https", &proxy.https), ("http", &proxy.http), ("all", &proxy.all)];
        for (name, _) in urls.into_iter().filter(|(_, url)| url.is_some()) {
            self.row(&format!("proxy.{name}"), REDACTED);
        }
        if let Some(no_proxy) = &proxy.no_proxy {
            self.row("proxy.no_proxy", text(no_proxy));
        }
    }

    fn environment(&mut self, here: &str, environment: &Environment) {
        let mut row = |key: &str, value: String| self.row(&format!("{here}.{key}"), value);
        row("name", text(&environment.name));
        let publishable_keys = environment.publishable_keys.iter().map(ToString::to_string);
        let is_origins = matches!(environment.source, Source::Origin(_));
        let of_the_origin = |keys: &[super::Key]| {
            (is_origins && keys.is_empty()).then(|| "the origin's".to_owned())
        };
        row(
            "publishable_keys",
            if environment.document_key {
                "the document's api_key".to_owned()
            } else if let Some(keys) = of_the_origin(&environment.publishable_keys) {
                keys
            } else {
                list(publishable_keys)
            },
        );
        let secret_keys = of_the_origin(&environment.secret_keys);
        let written = || list(environment.secret_keys.iter().map(ToString::to_string));
        row("secret_keys", secret_keys.unwrap_or_else(written));
        row("max_staleness", environment.max_staleness.map_or_else(none, duration));
        row("on_stale", word(environment.on_stale));
        row("on_unauthorized", word(environment.on_unauthorized));
        match &environment.source {
            Source::File(file) => {
                row("source.type", word(SourceType::File));
                row("source.path", text(&file.path.to_string_lossy()));
                row("source.format", word(file.format));
                row("source.poll_interval", duration(file.poll_interval));
            }
            Source::Reflag(reflag) => {
                let upstream_publishable_key = reflag.upstream_publishable_key.as_ref();
                row("source.type", word(SourceType::Reflag));
                row("source.url", text(&reflag.url.to_string()));
                row("source.secret_key", reflag.secret_key.to_string());
                row(
                    "source.upstream_publishable_key",
                    upstream_publishable_key.map_or_else(none, ToString::to_string),
                );
                row("source.poll_interval", duration(reflag.poll_interval));
                row("source.timeout", duration(reflag.timeout));
                row("source.push", reflag.push.to_string());
                row("source.ca_file", path(reflag.ca_file.as_deref()));
            }
            Source::Flagsmith(flagsmith) => {
                row("source.type", word(SourceType::Flagsmith));
                row("source.url", text(&flagsmith.url.to_string()));
                row("source.server_key", flagsmith.server_key.to_string());
                row("source.poll_interval", duration(flagsmith.poll_interval));
                row("source.timeout", duration(flagsmith.timeout));
                row("source.push", flagsmith.push.to_string());
                row("source.realtime_url", text(&flagsmith.realtime_url.to_string()));
                row("source.ca_file", path(flagsmith.ca_file.as_deref()));
            }
            Source::Origin(origin) => {
                row("source.type", word(SourceType::Origin));
                row("source.app", text(&origin.app));
                row("source.environment", text(&origin.environment));
            }
        }
        row("reflag.evaluator", word(environment.reflag.evaluator));
        let secret_flags = match &environment.reflag.secret_flags {
            SecretFlags::Learn => text("learn"),
            SecretFlags::Listed(flags) => list(flags.iter().map(|flag| text(flag))),
        };
        row("reflag.secret_flags", secret_flags);
        row("reflag.definitions", word(environment.reflag.definitions));
        self.flagsmith(here, environment.flagsmith);
        self.row(&format!("{here}.ofrep.bare_key"), word(environment.ofrep.bare_key));
        self.cors(here, &environment.cors);
        self.gate(here, environment.gate);
    }

    fn discover(&mut self, here: &str, discover: &Discover) {
        let mut row = |key: &str, value: String| self.row(&format!("{here}.{key}"), value);
        row("type", word(DiscoveryType::Flagsmith));
        row("name", text(&discover.name));
        row("url", text(&discover.url.to_string()));
        row("proxy_key", discover.proxy_key.to_string());
        row("poll_interval", duration(discover.poll_interval));
        row("timeout", duration(discover.timeout));
        row("push", discover.push.to_string());
        row("realtime_url", text(&discover.realtime_url.to_string()));
        row("ca_file", path(discover.ca_file.as_deref()));
        row("max_environments", discover.max_environments.to_string());
        row("max_staleness", discover.max_staleness.map_or_else(none, duration));
        row("on_stale", word(discover.on_stale));
        row("on_unauthorized", word(discover.on_unauthorized));
        self.flagsmith(here, discover.flagsmith);
        self.cors(here, &discover.cors);
        self.gate(here, discover.gate);
    }

    fn flagsmith(&mut self, here: &str, flagsmith: Flagsmith) {
        let segments = flagsmith.segments_without_identity;
        self.row(&format!("{here}.flagsmith.segments_without_identity"), segments);
        let hides = flagsmith.hide_sensitive_data;
        self.row(&format!("{here}.flagsmith.hide_sensitive_data"), hides);
    }

    fn cors(&mut self, here: &str, cors: &Cors) {
        let origins = match &cors.origins {
            AllowedOrigins::Any => list([text("*")].into_iter()),
            AllowedOrigins::Only(origins) => list(origins.iter().map(|origin| text(origin))),
        };
        self.row(&format!("{here}.cors.origins"), origins);
        self.row(&format!("{here}.cors.credentials"), cors.credentials);
    }

    fn gate(&mut self, here: &str, gate: Gate) {
        self.row(&format!("{here}.gate.max_shrink"), gate.max_shrink);
        self.row(&format!("{here}.gate.confirm_after"), gate.confirm_after);
    }

    fn row(&mut self, path: &str, value: impl fmt::Display) {
        let set_by = self.settings.set_by(path);
        self.rows.push(Row { path: path.to_owned(), value: value.to_string(), set_by });
    }
}

fn none() -> String {
    "none".to_owned()
}

fn path(path: Option<&Path>) -> String {
    path.map_or_else(none, |path| text(&path.to_string_lossy()))
}

fn text(text: &str) -> String {
    format!("{text:?}")
}

fn word(value: impl ClosedSet) -> String {
    text(value.word())
}

fn size(bytes: usize) -> String {
    text(&Bytes(bytes).to_string())
}

fn duration(duration: Duration) -> String {
    text(&humantime::format_duration(duration).to_string())
}

fn address(listen: &Listen) -> String {
    text(&listen.to_string())
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}
