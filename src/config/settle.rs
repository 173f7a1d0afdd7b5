//! From what was written to what runs: defaults, and the rules that concern more than one setting.

use std::collections::HashMap;
use std::num::NonZeroUsize;

use super::base_url::BaseUrl;
use super::document::List;
use super::places::Places;
use super::problem::Problem;
use super::raw;
use super::secret::Key;
use super::settings::{
    Admin, AllowedOrigins, Cors, Discover, Environment, FileSource, Flagsmith, FlagsmithSource,
    Fraction, Gate, Limits, Log, Ofrep, Origin, OriginSource, Reflag, ReflagSource, SecretFlags,
    Server, Settings, Source,
};
use super::shape::{AllowedOrigin, Bytes};

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
    let origin_listen = written.origin.as_ref().and_then(|origin| origin.listen.as_ref());
    let origin_listen_is_good = rules.is_good("origin.listen", origin_listen);
    if written.origin.is_none() {
        rules.no_origin(&written.environments);
    }
    let settings = Settings {
        server: server(written.server),
        admin: admin(written.admin),
        limits: rules.limits(&written.limits),
        log: log(&written.log),
        origin: written.origin.map(origin),
        proxy: written.proxy,
        notes: written.notes,
        environments: rules.environments(written.environments, &written.discover),
        discover: written.discover.into_iter().filter_map(|it| rules.discover(it)).collect(),
        ..Settings::default()
    };
    if listens_are_good {
        rules.ports_are_apart(&settings);
    }
    if listens_are_good && origin_listen_is_good {
        rules.origin_is_apart(&settings);
    }
    let (written, placeholders) = places.into_written();
    Settings { written, placeholders, ..settings }
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

fn origin(written: raw::Origin) -> Origin {
    let default = Origin::default();
    Origin {
        listen: written.listen.unwrap_or(default.listen),
        database: written.database.unwrap_or(default.database),
        strict_entities: written.strict_entities.unwrap_or(default.strict_entities),
        demo: written.demo.unwrap_or(default.demo),
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
            streams: written.streams.unwrap_or(default.streams),
            streams_per_environment: written
                .streams_per_environment
                .unwrap_or(default.streams_per_environment),
            waiters_per_environment: written
                .waiters_per_environment
                .unwrap_or(default.waiters_per_environment),
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
        if settings.server.listen.overlaps(&settings.admin.listen) {
            let written = ["admin.listen", "server.listen"];
            let path = written.into_iter().find(|path| self.places.has(path));
            self.problem(
                path.unwrap_or("admin.listen"),
                "one address for server.listen and admin.listen".to_owned(),
                "two that do not overlap".to_owned(),
                // Where it may go unmentioned that there is an admin port at all.
                (path == Some("server.listen"))
                    .then_some("BURGEE_ADMIN_LISTEN moves the admin port"),
            );
        }
    }

    /// The same for the origin's port and the two others.
    fn origin_is_apart(&mut self, settings: &Settings) {
        let Some(origin) = &settings.origin else { return };
        let others =
            [("server.listen", &settings.server.listen), ("admin.listen", &settings.admin.listen)];
        for (name, other) in others {
            if origin.listen.overlaps(other) {
                let path = if self.places.has("origin.listen") { "origin.listen" } else { name };
                self.problem(
                    path,
                    format!("one address for {name} and origin.listen"),
                    "two that do not overlap".to_owned(),
                    (path == name).then_some("BURGEE_ORIGIN_LISTEN moves the origin's port"),
                );
            }
        }
    }

    /// Whoever wants rules from an origin needs one.
    fn no_origin(&mut self, written: &[raw::Environment]) {
        for environment in written {
            if matches!(environment.source, raw::Source::Origin(_)) {
                self.problem(
                    &format!("{}.source.type", environment.path),
                    "\"origin\" without an origin".to_owned(),
                    "the table [origin], if only its header".to_owned(),
                    Some(
                        "rules of an origin in another process come by a source of type \"reflag\"",
                    ),
                );
            }
        }
    }

    fn environments(
        &mut self,
        written: Vec<raw::Environment>,
        discover: &[raw::Discover],
    ) -> Vec<Environment> {
        self.names_differ(&written);
        self.names_are_apart(&written, discover);
        self.keys_are_used_once(&written, discover);
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
                let found = format!("the name of {}", self.places.spelled(other));
                self.problem(&path, found, "a name of its own".to_owned(), None);
            } else {
                first.insert(name, &environment.path);
            }
        }
    }

    /// A name that is discovered must not be one of the configuration's.
    fn names_are_apart(&mut self, written: &[raw::Environment], discover: &[raw::Discover]) {
        let mut first: HashMap<&str, &str> = HashMap::new();
        for raw::Discover { path, name, .. } in discover {
            let name = name.as_deref().unwrap_or(Discover::DEFAULT_NAME);
            if let Some(other) = first.get(name) {
                self.problem(
                    &format!("{path}.name"),
                    format!("the name of {}", self.places.spelled(other)),
                    "a name of its own".to_owned(),
                    Some("it is what the names of its environments begin with"),
                );
            } else {
                first.insert(name, path);
            }
        }
        for environment in written {
            let above = environment.name.as_deref().and_then(|name| name.split_once('/'));
            if let Some(other) = above.and_then(|(above, _)| first.get(above)) {
                self.problem(
                    &format!("{}.name", environment.path),
                    format!("a name below that of {}", self.places.spelled(other)),
                    "another one".to_owned(),
                    Some("such names are for environments that are discovered there"),
                );
            }
        }
    }

    /// A key alone selects the environment and its class, so it may stand in one place only. The
    /// same key twice in one list would do no harm by itself, but then the second was meant to be
    /// another one.
    ///
    /// Keys of sources are no clients' keys and select nothing. Two sources may have the same one,
    /// but no browser may hold it.
    fn keys_are_used_once(&mut self, written: &[raw::Environment], discover: &[raw::Discover]) {
        let mut of_sources: HashMap<&Key, String> = HashMap::new();
        for raw::Discover { path, proxy_key, .. } in discover {
            let Some(key) = proxy_key else { continue };
            let path = format!("{path}.proxy_key");
            if let Some(other) = of_sources.get(key) {
                let found = format!("the key of {}", self.places.spelled(other));
                self.problem(&path, found, "a key of its own".to_owned(), None);
            } else {
                of_sources.insert(key, path);
            }
        }
        for environment in written {
            if let Some((path, key)) = source_key(environment) {
                of_sources.entry(key).or_insert(path);
            }
        }
        let mut of_clients: HashMap<&Key, String> = discover
            .iter()
            .filter_map(|it| Some((it.proxy_key.as_ref()?, format!("{}.proxy_key", it.path))))
            .collect();
        let mut secret = of_sources.clone();
        for environment in written {
            for (path, key) in publishable_keys(environment) {
                if let Some(source) = of_sources.get(key) {
                    self.problem(
                        &path,
                        format!("the key of {}", self.places.spelled(source)),
                        "a publishable key".to_owned(),
                        Some("it opens the rules at the upstream; if a browser ever held it, replace it"),
                    );
                } else {
                    self.is_used_once(&mut of_clients, path, key);
                }
            }
            for (path, key) in self.secret_keys(environment) {
                secret.entry(key).or_insert_with(|| path.clone());
                self.is_used_once(&mut of_clients, path, key);
            }
        }
        for environment in written {
            let raw::Source::Reflag(source) = &environment.source else { continue };
            let Some(key) = &source.upstream_publishable_key else { continue };
            if let Some(other) = secret.get(key) {
                self.problem(
                    &format!("{}.source.upstream_publishable_key", environment.path),
                    format!("the key of {}", self.places.spelled(other)),
                    "a publishable key".to_owned(),
                    Some("browsers hold it, so it must open nothing that is secret"),
                );
            }
        }
    }

    fn is_used_once<'w>(
        &mut self,
        first: &mut HashMap<&'w Key, String>,
        path: String,
        key: &'w Key,
    ) {
        let Some(other) = first.get(key) else {
            first.insert(key, path);
            return;
        };
        let is_default = [&path, other]
            .into_iter()
            .any(|path| SOURCE_KEYS.iter().any(|source_key| path.ends_with(source_key)));
        self.problem(
            &path,
            format!("the key of {}", self.places.spelled(other)),
            "a key of its own".to_owned(),
            is_default.then_some(
                "where secret_keys is left out, clients send the source's own key, and it can \
                 select one environment only: write secret_keys",
            ),
        );
    }

    /// What servers may hold, each key with its path. When nothing was written, the source's own.
    fn secret_keys<'w>(&self, written: &'w raw::Environment) -> Vec<(String, &'w Key)> {
        let list = format!("{}.secret_keys", written.path);
        if self.places.has(&list) {
            listed(list, written.secret_keys.as_ref()).collect()
        } else {
            source_key(written).into_iter().collect()
        }
    }

    /// None if something that has no default is missing, which was noted when it was read.
    fn environment(&mut self, written: raw::Environment) -> Option<Environment> {
        self.has_a_key(&written);
        let cors = self.cors(&written.path, written.origins.as_ref(), written.credentials);
        let secret_keys = self.secret_keys(&written).into_iter().map(|(_, key)| key.clone());
        let secret_keys = secret_keys.collect();
        let document_key = written.source.is_flagsmith_document()
            && !self.places.has(&format!("{}.publishable_keys", written.path));
        let source = source(written.source)?;
        Some(Environment {
            name: written.name?,
            publishable_keys: good(written.publishable_keys),
            document_key,
            secret_keys,
            max_staleness: written.max_staleness,
            on_stale: written.on_stale.unwrap_or_default(),
            on_unauthorized: written.on_unauthorized.unwrap_or_default(),
            reflag: Reflag {
                evaluator: written.evaluator.unwrap_or_default(),
                secret_flags: secret_flags(written.secret_flags, &source),
                definitions: written.definitions.unwrap_or_default(),
            },
            flagsmith: flagsmith(&written.flagsmith),
            ofrep: Ofrep { bare_key: written.bare_key.unwrap_or_default() },
            cors,
            gate: gate(&written.gate, max_shrink(&source)),
            source,
        })
    }

    /// None if its key is missing, which was noted when it was read.
    fn discover(&mut self, written: raw::Discover) -> Option<Discover> {
        let cors = self.cors(&written.path, written.origins.as_ref(), written.credentials);
        let url = written.url.unwrap_or_else(BaseUrl::flagsmith);
        Some(Discover {
            name: written.name.unwrap_or_else(|| Discover::DEFAULT_NAME.to_owned()),
            proxy_key: written.proxy_key?,
            poll_interval: written.poll_interval.unwrap_or(FlagsmithSource::DEFAULT_POLL_INTERVAL),
            timeout: written.timeout.unwrap_or(FlagsmithSource::DEFAULT_TIMEOUT),
            push: written.push.unwrap_or(true),
            realtime_url: written.realtime_url.unwrap_or_else(|| url.realtime()),
            url,
            ca_file: written.ca_file,
            max_environments: written
                .max_environments
                .unwrap_or(Discover::DEFAULT_MAX_ENVIRONMENTS),
            max_staleness: written.max_staleness,
            on_stale: written.on_stale.unwrap_or_default(),
            on_unauthorized: written.on_unauthorized.unwrap_or_default(),
            flagsmith: flagsmith(&written.flagsmith),
            cors,
            gate: gate(&written.gate, Gate::DEFAULT_MAX_SHRINK),
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
            None if self.places.has(&format!("{path}.{list}")) => false,
            // The source's key stands in for them, or the document's. That the former is missing
            // was noted already.
            None if list == "secret_keys" => {
                matches!(written.source, raw::Source::File(_) | raw::Source::Unknown)
            }
            None => !written.source.is_flagsmith_document(),
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

    fn cors(
        &mut self,
        path: &str,
        origins: Option<&List<AllowedOrigin>>,
        credentials: Option<bool>,
    ) -> Cors {
        let credentials = credentials.unwrap_or_default();
        let Some(origins) = origins else {
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

/// The ends of the paths of sources' own keys.
const SOURCE_KEYS: [&str; 2] = [REFLAG_KEY, FLAGSMITH_KEY];
const REFLAG_KEY: &str = ".source.secret_key";
const FLAGSMITH_KEY: &str = ".source.server_key";

/// The key with which the environment's rules are asked for, with its path.
fn source_key(written: &raw::Environment) -> Option<(String, &Key)> {
    match &written.source {
        raw::Source::Reflag(source) => {
            Some((format!("{}{REFLAG_KEY}", written.path), source.secret_key.as_ref()?))
        }
        raw::Source::Flagsmith(source) => {
            Some((format!("{}{FLAGSMITH_KEY}", written.path), source.server_key.as_ref()?))
        }
        raw::Source::File(_) | raw::Source::Origin(_) | raw::Source::Unknown => None,
    }
}

fn publishable_keys(written: &raw::Environment) -> impl Iterator<Item = (String, &Key)> {
    listed(format!("{}.publishable_keys", written.path), written.publishable_keys.as_ref())
}

fn listed(path: String, keys: Option<&List<Key>>) -> impl Iterator<Item = (String, &Key)> {
    keys.into_iter()
        .flatten()
        .enumerate()
        .filter_map(move |(position, key)| Some((format!("{path}[{position}]"), key.as_ref()?)))
}

fn source(written: raw::Source) -> Option<Source> {
    match written {
        raw::Source::Unknown => None,
        raw::Source::File(written) => Some(Source::File(FileSource {
            path: written.path?,
            format: written.format.unwrap_or_default(),
            poll_interval: written.poll_interval.unwrap_or(FileSource::DEFAULT_POLL_INTERVAL),
        })),
        raw::Source::Reflag(written) => Some(Source::Reflag(ReflagSource {
            url: written.url.unwrap_or_else(BaseUrl::reflag),
            secret_key: written.secret_key?,
            upstream_publishable_key: written.upstream_publishable_key,
            poll_interval: written.poll_interval.unwrap_or(ReflagSource::DEFAULT_POLL_INTERVAL),
            timeout: written.timeout.unwrap_or(ReflagSource::DEFAULT_TIMEOUT),
            push: written.push.unwrap_or(true),
            ca_file: written.ca_file,
        })),
        raw::Source::Flagsmith(written) => {
            let url = written.url.unwrap_or_else(BaseUrl::flagsmith);
            let interval = FlagsmithSource::DEFAULT_POLL_INTERVAL;
            Some(Source::Flagsmith(FlagsmithSource {
                server_key: written.server_key?,
                poll_interval: written.poll_interval.unwrap_or(interval),
                timeout: written.timeout.unwrap_or(FlagsmithSource::DEFAULT_TIMEOUT),
                push: written.push.unwrap_or(true),
                realtime_url: written.realtime_url.unwrap_or_else(|| url.realtime()),
                url,
                ca_file: written.ca_file,
            }))
        }
        raw::Source::Origin(written) => {
            let (app, environment) = (written.app?, written.environment?);
            Some(Source::Origin(OriginSource { app, environment }))
        }
    }
}

fn secret_flags(written: Option<raw::SecretFlags>, source: &Source) -> SecretFlags {
    match (written, source) {
        (Some(raw::SecretFlags::Listed(listed)), _) => SecretFlags::Listed(good(Some(listed))),
        (Some(raw::SecretFlags::Learn), _) | (None, Source::Reflag(_)) => SecretFlags::Learn,
        (None, Source::File(_) | Source::Flagsmith(_) | Source::Origin(_)) => {
            SecretFlags::default()
        }
    }
}

fn flagsmith(written: &raw::Flagsmith) -> Flagsmith {
    Flagsmith {
        segments_without_identity: written.segments_without_identity.unwrap_or_default(),
        hide_sensitive_data: written.hide_sensitive_data.unwrap_or_default(),
    }
}

/// The default.
fn max_shrink(source: &Source) -> Fraction {
    match source {
        // The operator's word.
        Source::File(_) | Source::Origin(_) => Fraction::ZERO,
        Source::Reflag(_) | Source::Flagsmith(_) => Gate::DEFAULT_MAX_SHRINK,
    }
}

fn gate(written: &raw::Gate, max_shrink: Fraction) -> Gate {
    Gate {
        max_shrink: written.max_shrink.unwrap_or(max_shrink),
        confirm_after: written.confirm_after.unwrap_or(Gate::DEFAULT_CONFIRM_AFTER),
    }
}

fn good<T>(list: Option<List<T>>) -> Vec<T> {
    list.into_iter().flatten().flatten().collect()
}
