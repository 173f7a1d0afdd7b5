//! Settings as a TOML file that means the same, for `burgee check --print-toml`.
//!
//! Holds what was written and what differs from a TOML file's defaults. Never holds a key or a
//! token: in their place stands the placeholder that they came from, or one of ours with a remark
//! that says what belongs there.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use super::base_url::BaseUrl;
use super::secret::Key;
use super::settings::{
    Admin, AllowedOrigins, Cors, Discover, Environment, FileFormat, FileSource, Flagsmith,
    FlagsmithSource, Fraction, Gate, Limits, Listen, Log, Origin, OriginSource, Reflag,
    ReflagSource, SecretFlags, Server, Settings, Source,
};
use super::shape::{Bytes, ClosedSet, DiscoveryType, SourceType};

impl Settings {
    /// A TOML file that loads to equal settings, once the variables that it names hold the keys
    /// that its remarks name. What only variables say, such as proxies, is left to them.
    pub fn to_toml(&self) -> String {
        let mut toml = Toml { settings: self, text: String::new(), keys: Keys::of(self) };
        for note in &self.notes {
            toml.line(&remark(&format!("Note: {note}")));
        }
        toml.server(&self.server);
        toml.admin(&self.admin);
        toml.limits(&self.limits);
        toml.log(&self.log);
        toml.origin(self.origin.as_ref());
        for (index, environment) in self.environments.iter().enumerate() {
            toml.environment(&format!("environments[{index}]"), environment);
        }
        for (index, discover) in self.discover.iter().enumerate() {
            toml.discover(&format!("discover[{index}]"), discover);
        }
        toml.text
    }
}

/// Which placeholder stands for which key.
struct Keys<'a> {
    of: HashMap<&'a str, String>,
    /// Those that the configuration has already.
    taken: BTreeSet<&'a str>,
    made: usize,
}

impl<'a> Keys<'a> {
    fn of(settings: &'a Settings) -> Self {
        let taken = settings.placeholders.values().map(String::as_str).collect();
        Self { of: HashMap::new(), taken, made: 0 }
    }

    /// The placeholder for `key`, and whether it is a new one of ours.
    fn placeholder(&mut self, key: &'a str, written: Option<&'a String>) -> (String, bool) {
        if let Some(known) = self.of.get(key) {
            return (known.clone(), false);
        }
        let mut is_new = false;
        let placeholder = written.cloned().unwrap_or_else(|| {
            is_new = true;
            loop {
                self.made += 1;
                let made = format!("${{BURGEE_KEY_{}}}", self.made);
                if !self.taken.contains(made.as_str()) {
                    break made;
                }
            }
        });
        self.of.insert(key, placeholder.clone());
        (placeholder, is_new)
    }
}

struct Toml<'a> {
    settings: &'a Settings,
    text: String,
    keys: Keys<'a>,
}

impl<'a> Toml<'a> {
    fn server(&mut self, server: &Server) {
        let default = Server::default();
        let workers = server.workers.map(|workers| workers.to_string());
        self.table("[server]", "server", |table| {
            table.unless(&default.listen, "listen", &server.listen, address);
            table.unless(&default.base_path, "base_path", &server.base_path, |it| string(it));
            table.unless(&default.keep_alive, "keep_alive", &server.keep_alive, duration);
            table.unless(&default.drain, "drain", &server.drain, duration);
            table.some("workers", workers);
            table.unless(&default.h2c, "h2c", &server.h2c, ToString::to_string);
        });
    }

    fn admin(&mut self, admin: &'a Admin) {
        let default = Admin::default();
        let token = admin.token.as_ref().map(|_| {
            let written = self.settings.placeholders.get("admin.token");
            string_literally(written.map_or("${BURGEE_ADMIN_TOKEN}", String::as_str))
        });
        let is_ours = token.is_some() && !self.settings.placeholders.contains_key("admin.token");
        self.table("[admin]", "admin", |table| {
            table.unless(&default.listen, "listen", &admin.listen, address);
            if is_ours {
                table.remark("BURGEE_ADMIN_TOKEN: what admin.token was.");
            }
            table.some("token", token);
            let grace = &admin.startup_grace;
            table.unless(&default.startup_grace, "startup_grace", grace, duration);
        });
    }

    fn limits(&mut self, limits: &Limits) {
        let Limits {
            connections,
            body,
            url,
            header_timeout,
            body_timeout,
            in_flight_body_bytes,
            streams,
            streams_per_environment,
            waiters_per_environment,
        } = Limits::default();
        self.table("[limits]", "limits", |table| {
            table.unless(&connections, "connections", &limits.connections, ToString::to_string);
            table.unless(&body, "body", &limits.body, size);
            table.unless(&url, "url", &limits.url, size);
            table.unless(&header_timeout, "header_timeout", &limits.header_timeout, duration);
            table.unless(&body_timeout, "body_timeout", &limits.body_timeout, duration);
            let bodies = &limits.in_flight_body_bytes;
            table.unless(&in_flight_body_bytes, "in_flight_body_bytes", bodies, size);
            table.unless(&streams, "streams", &limits.streams, ToString::to_string);
            let of_one = &limits.streams_per_environment;
            let name = "streams_per_environment";
            table.unless(&streams_per_environment, name, of_one, ToString::to_string);
            let waiters = &limits.waiters_per_environment;
            let name = "waiters_per_environment";
            table.unless(&waiters_per_environment, name, waiters, ToString::to_string);
        });
    }

    fn log(&mut self, log: &Log) {
        let default = Log::default();
        self.table("[log]", "log", |table| {
            table.unless(&default.level, "level", &log.level, word);
            table.unless(&default.format, "format", &log.format, word);
        });
    }

    /// Its header alone says that there is one.
    fn origin(&mut self, origin: Option<&Origin>) {
        let Some(origin) = origin else { return };
        let default = Origin::default();
        self.line("[origin]");
        self.rows("origin", |table| {
            table.unless(&default.listen, "listen", &origin.listen, address);
            table.unless(&default.database, "database", &origin.database, |path| {
                string(&format!("sqlite:{}", path.to_string_lossy()))
            });
            let strict = &origin.strict_entities;
            table.unless(&false, "strict_entities", strict, ToString::to_string);
            table.unless(&false, "demo", &origin.demo, ToString::to_string);
        });
    }

    fn environment(&mut self, here: &str, environment: &'a Environment) {
        let Environment { name, on_stale, on_unauthorized, reflag, flagsmith, ofrep, .. } =
            environment;
        let Environment { cors, gate, .. } = environment;
        self.line("");
        self.line("[[environments]]");
        self.line(&format!("name = {}", string(name)));
        let publishable = &environment.publishable_keys;
        // Left out, it would mean the key that a Flagsmith document names.
        let is_said = !environment.document_key
            && (!publishable.is_empty() || environment.source.is_flagsmith_document());
        if is_said {
            self.keys(here, "publishable_keys", publishable);
        }
        if self.settings.written.contains_key(&format!("{here}.secret_keys")) {
            self.keys(here, "secret_keys", &environment.secret_keys);
        }
        self.rows(here, |table| {
            table.some("max_staleness", environment.max_staleness.as_ref().map(duration));
            table.unless(&<_>::default(), "on_stale", on_stale, word);
            table.unless(&<_>::default(), "on_unauthorized", on_unauthorized, word);
        });
        self.source(here, &environment.source);
        let learns = matches!(environment.source, Source::Reflag(_));
        let secret_flags =
            if learns { SecretFlags::Learn } else { SecretFlags::Listed(Vec::new()) };
        let Reflag { evaluator, secret_flags: flags, definitions } = reflag;
        self.table("[environments.reflag]", &format!("{here}.reflag"), |table| {
            table.unless(&<_>::default(), "evaluator", evaluator, word);
            table.unless(&secret_flags, "secret_flags", flags, |flags| match flags {
                SecretFlags::Learn => string("learn"),
                SecretFlags::Listed(flags) => list(flags),
            });
            table.unless(&<_>::default(), "definitions", definitions, word);
        });
        let max_shrink = match environment.source {
            Source::File(_) | Source::Origin(_) => Fraction::ZERO,
            Source::Reflag(_) | Source::Flagsmith(_) => Gate::DEFAULT_MAX_SHRINK,
        };
        self.flagsmith("environments", here, *flagsmith);
        self.table("[environments.ofrep]", &format!("{here}.ofrep"), |table| {
            table.unless(&<_>::default(), "bare_key", &ofrep.bare_key, word);
        });
        self.cors("environments", here, cors);
        self.gate("environments", here, max_shrink, *gate);
    }

    fn discover(&mut self, here: &str, discover: &'a Discover) {
        let Discover { name, url, proxy_key, on_stale, on_unauthorized, .. } = discover;
        self.line("");
        self.line("[[discover]]");
        self.line(&format!("type = {}", word(&DiscoveryType::Flagsmith)));
        self.rows(here, |table| {
            table.unless(&Discover::DEFAULT_NAME.to_owned(), "name", name, |name| string(name));
        });
        self.url(here, &BaseUrl::flagsmith(), url);
        self.key(here, "proxy_key", proxy_key);
        self.rows(here, |table| {
            let default = FlagsmithSource::DEFAULT_POLL_INTERVAL;
            table.unless(&default, "poll_interval", &discover.poll_interval, duration);
            let default = FlagsmithSource::DEFAULT_TIMEOUT;
            table.unless(&default, "timeout", &discover.timeout, duration);
            table.unless(&true, "push", &discover.push, ToString::to_string);
            table.unless(&url.realtime(), "realtime_url", &discover.realtime_url, |url| {
                string(&url.to_string())
            });
            table.some("ca_file", discover.ca_file.as_deref().map(path_string));
            let (default, bound) = (Discover::DEFAULT_MAX_ENVIRONMENTS, &discover.max_environments);
            table.unless(&default, "max_environments", bound, ToString::to_string);
            table.some("max_staleness", discover.max_staleness.as_ref().map(duration));
            table.unless(&<_>::default(), "on_stale", on_stale, word);
            table.unless(&<_>::default(), "on_unauthorized", on_unauthorized, word);
        });
        self.flagsmith("discover", here, discover.flagsmith);
        self.cors("discover", here, &discover.cors);
        self.gate("discover", here, Gate::DEFAULT_MAX_SHRINK, discover.gate);
    }

    fn flagsmith(&mut self, above: &str, here: &str, flagsmith: Flagsmith) {
        let Flagsmith { segments_without_identity, hide_sensitive_data } = flagsmith;
        self.table(&format!("[{above}.flagsmith]"), &format!("{here}.flagsmith"), |table| {
            let name = "segments_without_identity";
            table.unless(&false, name, &segments_without_identity, ToString::to_string);
            let name = "hide_sensitive_data";
            table.unless(&false, name, &hide_sensitive_data, ToString::to_string);
        });
    }

    fn cors(&mut self, above: &str, here: &str, cors: &Cors) {
        self.table(&format!("[{above}.cors]"), &format!("{here}.cors"), |table| {
            table.unless(&AllowedOrigins::Any, "origins", &cors.origins, |origins| match origins {
                AllowedOrigins::Any => list(&["*".to_owned()]),
                AllowedOrigins::Only(origins) => list(origins),
            });
            table.unless(&false, "credentials", &cors.credentials, ToString::to_string);
        });
    }

    fn gate(&mut self, above: &str, here: &str, max_shrink: Fraction, gate: Gate) {
        self.table(&format!("[{above}.gate]"), &format!("{here}.gate"), |table| {
            table.unless(&max_shrink, "max_shrink", &gate.max_shrink, ToString::to_string);
            let confirm_after = &Gate::DEFAULT_CONFIRM_AFTER;
            table.unless(confirm_after, "confirm_after", &gate.confirm_after, ToString::to_string);
        });
    }

    fn source(&mut self, here: &str, source: &'a Source) {
        let here = format!("{here}.source");
        self.line("[environments.source]");
        match source {
            Source::File(FileSource { path, format, poll_interval }) => {
                self.line(&format!("type = {}", word(&SourceType::File)));
                self.line(&format!("path = {}", string(&path.to_string_lossy())));
                self.rows(&here, |table| {
                    table.unless(&FileFormat::default(), "format", format, word);
                    let default = FileSource::DEFAULT_POLL_INTERVAL;
                    table.unless(&default, "poll_interval", poll_interval, duration);
                });
            }
            Source::Reflag(source) => {
                self.line(&format!("type = {}", word(&SourceType::Reflag)));
                self.url(&here, &BaseUrl::reflag(), &source.url);
                self.key(&here, "secret_key", &source.secret_key);
                if let Some(key) = &source.upstream_publishable_key {
                    self.key(&here, "upstream_publishable_key", key);
                }
                self.rows(&here, |table| {
                    let default = ReflagSource::DEFAULT_POLL_INTERVAL;
                    table.unless(&default, "poll_interval", &source.poll_interval, duration);
                    let default = ReflagSource::DEFAULT_TIMEOUT;
                    table.unless(&default, "timeout", &source.timeout, duration);
                    table.unless(&true, "push", &source.push, ToString::to_string);
                    table.some("ca_file", source.ca_file.as_deref().map(path_string));
                });
            }
            Source::Flagsmith(source) => {
                self.line(&format!("type = {}", word(&SourceType::Flagsmith)));
                self.url(&here, &BaseUrl::flagsmith(), &source.url);
                self.key(&here, "server_key", &source.server_key);
                self.rows(&here, |table| {
                    let default = FlagsmithSource::DEFAULT_POLL_INTERVAL;
                    table.unless(&default, "poll_interval", &source.poll_interval, duration);
                    let default = FlagsmithSource::DEFAULT_TIMEOUT;
                    table.unless(&default, "timeout", &source.timeout, duration);
                    table.unless(&true, "push", &source.push, ToString::to_string);
                    let (default, realtime_url) = (source.url.realtime(), &source.realtime_url);
                    table.unless(&default, "realtime_url", realtime_url, |url| {
                        string(&url.to_string())
                    });
                    table.some("ca_file", source.ca_file.as_deref().map(path_string));
                });
            }
            Source::Origin(OriginSource { app, environment }) => {
                self.line(&format!("type = {}", word(&SourceType::Origin)));
                self.line(&format!("app = {}", string(app)));
                self.line(&format!("environment = {}", string(environment)));
            }
        }
    }

    fn url(&mut self, here: &str, default: &BaseUrl, url: &BaseUrl) {
        self.rows(here, |table| {
            table.unless(default, "url", url, |url| string(&url.to_string()));
        });
    }

    fn key(&mut self, here: &str, name: &str, key: &'a Key) {
        let placeholder = self.placeholder(&format!("{here}.{name}"), key);
        self.line(&format!("{name} = {}", string_literally(&placeholder)));
    }

    fn keys(&mut self, here: &str, name: &str, keys: &'a [Key]) {
        let placeholders: Vec<_> = keys
            .iter()
            .enumerate()
            .map(|(index, key)| self.placeholder(&format!("{here}.{name}[{index}]"), key))
            .map(|placeholder| string_literally(&placeholder))
            .collect();
        self.line(&format!("{name} = [{}]", placeholders.join(", ")));
    }

    /// What stands for a key. A remark says what it is for when it is a placeholder of ours.
    fn placeholder(&mut self, path: &str, key: &'a Key) -> String {
        let settings = self.settings;
        let (placeholder, is_new) =
            self.keys.placeholder(key.expose(), settings.placeholders.get(path));
        if is_new {
            let variable = placeholder.trim_start_matches("${").trim_end_matches('}').to_owned();
            let place = settings.written.get(path).map(ToString::to_string);
            let place = place.unwrap_or_else(|| path.to_owned());
            self.line(&remark(&format!("{variable}: the key of {place}.")));
        }
        placeholder
    }

    /// A table with its header, unless nothing is in it.
    fn table(&mut self, header: &str, here: &str, fill: impl FnOnce(&mut Rows<'_>)) {
        let mut rows = Rows { settings: self.settings, here, text: String::new() };
        fill(&mut rows);
        if !rows.text.is_empty() {
            let _ = write!(self.text, "{header}\n{}", rows.text);
        }
    }

    /// More of the table that was begun.
    fn rows(&mut self, here: &str, fill: impl FnOnce(&mut Rows<'_>)) {
        let mut rows = Rows { settings: self.settings, here, text: String::new() };
        fill(&mut rows);
        self.text.push_str(&rows.text);
    }

    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }
}

/// Settings of one table.
struct Rows<'a> {
    settings: &'a Settings,
    here: &'a str,
    text: String,
}

impl Rows<'_> {
    /// A setting, unless it has its default and was not written.
    fn unless<T: PartialEq>(
        &mut self,
        default: &T,
        name: &str,
        value: &T,
        show: impl Fn(&T) -> String,
    ) {
        let is_written = self.settings.written.contains_key(&format!("{}.{name}", self.here));
        self.some(name, (is_written || value != default).then(|| show(value)));
    }

    /// A setting that may be without a value.
    fn some(&mut self, name: &str, value: Option<String>) {
        if let Some(value) = value {
            let _ = writeln!(self.text, "{name} = {value}");
        }
    }

    fn remark(&mut self, remark: &str) {
        let _ = writeln!(self.text, "# {remark}");
    }
}

/// On one line, whatever the name of a file is.
fn remark(text: &str) -> String {
    format!("# {}", text.replace(char::is_control, " "))
}

/// A string in which nothing is a placeholder.
fn string(text: &str) -> String {
    string_literally(&text.replace("${", "$${"))
}

/// TOML's basic string.
fn string_literally(text: &str) -> String {
    let mut string = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => string.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(string, "\\u{:04X}", u32::from(c));
            }
            c => string.push(c),
        }
    }
    string.push('"');
    string
}

fn list(items: &[String]) -> String {
    let items: Vec<_> = items.iter().map(|item| string(item)).collect();
    format!("[{}]", items.join(", "))
}

fn word(value: &impl ClosedSet) -> String {
    string(value.word())
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "shows a setting where it stands")]
fn size(bytes: &usize) -> String {
    string(&Bytes(*bytes).to_string())
}

fn duration(duration: &Duration) -> String {
    string(&humantime::format_duration(*duration).to_string())
}

fn path_string(path: &Path) -> String {
    string(&path.to_string_lossy())
}

fn address(listen: &Listen) -> String {
    string(&listen.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_is_read_back_as_it_was() {
        for text in ["", "a b", "\"\\\"", "a\nb\t\u{0}\u{7f}\u{85}", "ü 🎈", "${A} $${ $"] {
            let toml = format!("text = {}", string_literally(text));
            let table = toml::de::DeTable::parse(&toml).unwrap();
            assert_eq!(table.get_ref().get("text").unwrap().get_ref().as_str(), Some(text));
        }
        assert_eq!(string("${A} $${ $"), "\"$${A} $$${ $\"");
        assert_eq!(remark("a\nb"), "# a b");
    }
}
