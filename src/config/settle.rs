//! From what was written to what runs: defaults, and the rules that concern more than one setting.

use std::collections::HashMap;
use std::num::NonZeroUsize;

use super::document::List;
use super::places::Places;
use super::problem::Problem;
use super::raw;
use super::secret::Key;
use super::settings::{
    Admin, AllowedOrigins, Cors, Environment, FileSource, Limits, Listen, Log, Reflag, Server,
    Settings, Source,
};
use super::shape::{AllowedOrigin, Bytes, SourceType};

/// The settings that run. They are whole only if `problems` is empty afterwards: what has a
/// problem is left out or has its default.
pub(super) fn settle(
    written: raw::Settings,
    places: Places,
    problems: &mut Vec<Problem>,
) -> Settings {
    let mut rules = Rules { places: &places, problems };
    let listens_are_good = rules.is_good("server.listen", written.server.listen.as_ref())
        && rules.is_good("admin.listen", written.admin.listen.as_ref());
    let settings = Settings {
        server: server(written.server),
        admin: admin(written.admin),
        limits: rules.limits(&written.limits),
        log: log(&written.log),
        environments: rules.environments(written.environments),
        ..Settings::default()
    };
    if listens_are_good {
        rules.ports_are_apart(&settings);
    }
    Settings { written: places.into_written(), ..settings }
}

fn server(written: raw::Server) -> Server {
    let default = Server::default();
    Server {
        listen: written.listen.unwrap_or(default.listen),
        base_path: written.base_path.unwrap_or(default.base_path),
        keep_alive: written.keep_alive.unwrap_or(default.keep_alive),
        drain: written.drain.unwrap_or(default.drain),
        workers: written.workers.and_then(NonZeroUsize::new),
        h2c: written.h2c.unwrap_or(default.h2c),
    }
}

pub(super) fn admin(written: raw::Admin) -> Admin {
    let default = Admin::default();
    Admin {
        listen: written.listen.unwrap_or(default.listen),
        token: written.token,
        startup_grace: written.startup_grace.unwrap_or(default.startup_grace),
    }
}

fn log(written: &raw::Log) -> Log {
    Log { level: written.level.unwrap_or_default(), format: written.format.unwrap_or_default() }
}

struct Rules<'a> {
    places: &'a Places,
    problems: &'a mut Vec<Problem>,
}

impl Rules<'_> {
    fn limits(&mut self, written: &raw::Limits) -> Limits {
        let default = Limits::default();
        let limits = Limits {
            connections: written.connections.unwrap_or(default.connections),
            body: written.body.unwrap_or(default.body),
            url: written.url.unwrap_or(default.url),
            header_timeout: written.header_timeout.unwrap_or(default.header_timeout),
            body_timeout: written.body_timeout.unwrap_or(default.body_timeout),
            in_flight_body_bytes: written
                .in_flight_body_bytes
                .unwrap_or(default.in_flight_body_bytes),
        };
        if self.is_good("limits.body", written.body.as_ref())
            && limits.in_flight_body_bytes < limits.body
        {
            self.problem(
                "limits.in_flight_body_bytes",
                Bytes(limits.in_flight_body_bytes).to_string(),
                format!("at least limits.body, which is {}", Bytes(limits.body)),
                Some("it bounds all bodies together: one of the longest has to fit"),
            );
        }
        limits
    }

    /// With `SO_REUSEPORT` two listeners on one port would share its connections, and a web
    /// client could reach the admin port.
    fn ports_are_apart(&mut self, settings: &Settings) {
        let (server, admin) = (&settings.server.listen, &settings.admin.listen);
        let same = match (server, admin) {
            (Listen::Tcp(server), Listen::Tcp(admin)) => {
                server.port() == admin.port()
                    && server.port() != 0
                    && (server.ip() == admin.ip()
                        || server.ip().is_unspecified()
                        || admin.ip().is_unspecified())
            }
            (Listen::Unix(server), Listen::Unix(admin)) => server == admin,
            _ => false,
        };
        if same {
            let written = ["admin.listen", "server.listen"];
            let path = written.into_iter().find(|path| self.places.has(path));
            self.problem(
                path.unwrap_or("admin.listen"),
                "one address for server.listen and admin.listen".to_owned(),
                "two that do not overlap".to_owned(),
                None,
            );
        }
    }

    fn environments(&mut self, written: Vec<raw::Environment>) -> Vec<Environment> {
        self.names_differ(&written);
        self.keys_are_used_once(&written);
        written.into_iter().filter_map(|written| self.environment(written)).collect()
    }

    fn names_differ(&mut self, written: &[raw::Environment]) {
        let mut first: HashMap<&str, &str> = HashMap::new();
        for environment in written {
            let Some(name) = environment.name.as_deref() else {
                continue;
            };
            if let Some(other) = first.get(name) {
                let path = format!("{}.name", environment.path);
                let found = format!("the name of {other}");
                self.problem(&path, found, "a name of its own".to_owned(), None);
            } else {
                first.insert(name, &environment.path);
            }
        }
    }

    /// A key alone selects the environment and its class, so it may stand in one place only. The
    /// same key twice in one list would do no harm by itself, but then the second was meant to be
    /// another one.
    fn keys_are_used_once(&mut self, written: &[raw::Environment]) {
        let mut first: HashMap<&Key, String> = HashMap::new();
        for environment in written {
            let publishable = (&environment.publishable_keys, "publishable_keys");
            let secret = (&environment.secret_keys, "secret_keys");
            for (keys, list) in [publishable, secret] {
                for (position, key) in keys.iter().flatten().enumerate() {
                    let Some(key) = key else { continue };
                    let path = format!("{}.{list}[{position}]", environment.path);
                    if let Some(other) = first.get(key) {
                        let found = format!("the key of {other}");
                        self.problem(&path, found, "a key of its own".to_owned(), None);
                    } else {
                        first.insert(key, path);
                    }
                }
            }
        }
    }

    /// None if something that has no default is missing, which was noted when it was read.
    fn environment(&mut self, written: raw::Environment) -> Option<Environment> {
        self.has_a_key(&written);
        let cors = self.cors(&written);
        Some(Environment {
            name: written.name?,
            publishable_keys: good(written.publishable_keys),
            secret_keys: good(written.secret_keys),
            max_staleness: written.max_staleness,
            on_stale: written.on_stale.unwrap_or_default(),
            source: source(written.source)?,
            reflag: Reflag {
                evaluator: written.evaluator.unwrap_or_default(),
                secret_flags: good(written.secret_flags),
            },
            cors,
        })
    }

    /// Counts what was written, so that an environment whose keys are all bad has no more
    /// problems than keys.
    fn has_a_key(&mut self, written: &raw::Environment) {
        let path = &written.path;
        let lists = [
            ("publishable_keys", &written.publishable_keys),
            ("secret_keys", &written.secret_keys),
        ];
        let has_none = lists.into_iter().all(|(list, keys)| match keys {
            Some(keys) => keys.is_empty(),
            None => !self.places.has(&format!("{path}.{list}")),
        });
        // An environment from variables has no place of its own: its lack of keys was noted
        // where the variables were read.
        if has_none && self.places.has(path) {
            self.problem(
                path,
                "no key".to_owned(),
                "at least one in publishable_keys or secret_keys".to_owned(),
                Some("a key selects the environment: without one nobody can ask for its flags"),
            );
        }
    }

    fn cors(&mut self, written: &raw::Environment) -> Cors {
        let path = &written.path;
        let credentials = written.credentials.unwrap_or_default();
        let Some(origins) = &written.origins else {
            if credentials && !self.places.has(&format!("{path}.cors.origins")) {
                self.credentials_need_a_list(path);
            }
            return Cors { credentials, ..Cors::default() };
        };
        let any = origins.iter().position(|origin| *origin == Some(AllowedOrigin::Any));
        if let Some(any) = any {
            if credentials {
                self.credentials_need_a_list(path);
            }
            if origins.len() > 1 {
                self.problem(
                    &format!("{path}.cors.origins[{any}]"),
                    "\"*\" beside other origins".to_owned(),
                    "\"*\" alone, or a list without it".to_owned(),
                    None,
                );
            }
            return Cors { origins: AllowedOrigins::Any, credentials };
        }
        let exactly = origins.iter().flatten().filter_map(|origin| match origin {
            AllowedOrigin::Exactly(origin) => Some(origin.clone()),
            AllowedOrigin::Any => None,
        });
        Cors { origins: AllowedOrigins::Only(exactly.collect()), credentials }
    }

    fn credentials_need_a_list(&mut self, path: &str) {
        self.problem(
            &format!("{path}.cors.credentials"),
            "true together with the origin \"*\"".to_owned(),
            "false, or a list of origins".to_owned(),
            Some("otherwise every page on the web could read answers in its visitors' names"),
        );
    }

    /// Whether a value can be judged together with others: a default was not written, and one
    /// that was written and refused has its problem already.
    fn is_good<T>(&self, path: &str, value: Option<&T>) -> bool {
        value.is_some() || !self.places.has(path)
    }

    fn problem(&mut self, path: &str, found: String, expected: String, hint: Option<&str>) {
        self.problems.push(Problem {
            place: self.places.nearest(path),
            found,
            expected,
            hint: hint.map(str::to_owned),
        });
    }
}

fn source(written: raw::Source) -> Option<Source> {
    match written.kind? {
        SourceType::File => Some(Source::File(FileSource {
            path: written.path?,
            format: written.format.unwrap_or_default(),
            poll_interval: written.poll_interval.unwrap_or(FileSource::DEFAULT_POLL_INTERVAL),
        })),
    }
}

fn good<T>(list: Option<List<T>>) -> Vec<T> {
    list.into_iter().flatten().flatten().collect()
}
