//! A `config.json` of Flagsmith's Edge Proxy, and the variables that stand for its members.
//!
//! What the Edge Proxy would start with, Burgee starts with: its defaults hold, and what has no
//! counterpart or is not known here becomes a note instead of a problem. Placeholders are not
//! replaced: the Edge Proxy knows none. Never puts a key into a note, a name or a problem.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::Surroundings;
use super::document::{List, Reader, line_and_column, quoted};
use super::json::{self, Node, Value};
use super::places::Places;
use super::problem::{Place, Problem, Problems};
use super::raw::{self, DAY, Discover, Environment, FlagsmithSource, MILLISECOND, Source, YEAR};
use super::secret::Key;
use super::settings::{Admin, Listen, LogFormat, LogLevel};
use super::shape::{
    AllowedOrigin, Refusal, Scalar, Shape, allowed_origin, base_url, client_side_key, did_you_mean,
    nearest, secret_key, server_key,
};

const POLL_FREQUENCY: Duration = Duration::from_secs(10);
const POLL_TIMEOUT: Duration = Duration::from_secs(5);
/// How much longer than the time between two polls a document may stay as it is, for each
/// environment.
const GRACE: Duration = Duration::from_secs(30);

const PAIRS: &str = "environment_key_pairs";
const ADMIN: &str = "admin.listen";
const KEY_PAIRS: &str = "ENVIRONMENT_KEY_PAIRS";
const PROXY_KEY: &str = "PROXY_KEY";

/// Variables with the members that they stand for. The Edge Proxy reads them in any letter case.
const VARIABLES: [(&str, &str); 13] = [
    (KEY_PAIRS, PAIRS),
    ("API_URL", "api_url"),
    ("API_POLL_FREQUENCY", "api_poll_frequency"),
    ("API_POLL_FREQUENCY_SECONDS", "api_poll_frequency_seconds"),
    ("API_POLL_TIMEOUT", "api_poll_timeout"),
    ("API_POLL_TIMEOUT_SECONDS", "api_poll_timeout_seconds"),
    ("ENDPOINT_CACHES", "endpoint_caches"),
    ("ALLOW_ORIGINS", "allow_origins"),
    ("LOGGING", "logging"),
    ("SERVER", "server"),
    ("HEALTH_CHECK", "health_check"),
    (PROXY_KEY, "proxy_key"),
    ("USAGE_FLUSH_INTERVAL_SECONDS", "usage_flush_interval_seconds"),
];

/// Members with a second name.
const ALIASES: [(&str, &str); 2] = [
    ("api_poll_frequency", "api_poll_frequency_seconds"),
    ("api_poll_timeout", "api_poll_timeout_seconds"),
];

/// Variables that only the Edge Proxy reads, and why.
const NOT_READ: [(&str, &str); 4] = [
    ("WEB_CONCURRENCY", "Burgee starts one worker for each core; server.workers sets their number"),
    (
        "TOKIO_WORKER_THREADS",
        "Burgee starts one worker for each core; server.workers sets their number",
    ),
    ("RUST_LOG", "BURGEE_LOG sets the level"),
    ("FORWARDED_ALLOW_IPS", "no answer depends on the address or the scheme that a client used"),
];

/// Whether a configuration file is one of the Edge Proxy: a JSON object, which TOML never is.
pub(super) fn is_config_json(file: &Path, contents: &str) -> bool {
    without_mark(contents).trim_start().starts_with('{')
        || file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"))
}

/// Whether the variables describe the Edge Proxy's environments, or where to discover them.
pub(crate) fn is_in_variables(surroundings: &dyn Surroundings) -> bool {
    let is_set =
        |name| surroundings.spellings(name).iter().any(|(_, text)| !text.trim().is_empty());
    is_set(KEY_PAIRS) || is_set(PROXY_KEY)
}

/// What to say where a configuration of another form is read although there are key pairs, or a key
/// to discover environments with.
pub(super) fn notes_beside_other_forms(reader: &Reader<'_>) -> Vec<String> {
    let set = [KEY_PAIRS, PROXY_KEY].into_iter();
    let set = set.filter_map(|name| reader.spellings(name).into_iter().next());
    let note = "not read: it counts beside a config.json or without any file";
    set.map(|(name, _)| format!("{name}: {note}")).collect()
}

/// The name of an environment: the beginning of its client-side key's digest, so that it stays
/// when pairs are moved, added, or given another server-side key. Without one, its position.
fn name_of(client_side_key: Option<&Key>, position: usize) -> String {
    let Some(key) = client_side_key else {
        return format!("environment-{}", position + 1);
    };
    let digest = Sha256::digest(key.expose());
    let digits = digest.iter().take(4).map(|byte| format!("{byte:02x}"));
    format!("environment-{}", digits.collect::<String>())
}

/// Reads file and variables. `Err` is the one problem of a file that is not a JSON object.
pub(super) fn read(
    file: Option<(&Path, &str)>,
    surroundings: &dyn Surroundings,
) -> Result<(raw::Settings, Places, Vec<Problem>), Problems> {
    let members = match file {
        Some((name, contents)) => members_of_file(name, without_mark(contents))?,
        None => Vec::new(),
    };
    let mut reading = Reading { reader: Reader::new(file, surroundings), notes: Vec::new() };
    let members = reading.with_variables(members);
    let mut settings = reading.settings(Members::new(members));
    for (name, reason) in NOT_READ {
        if reading.reader.variable(name).is_some() {
            let place = Place::Variable { name, item: None };
            reading.notes.push((place, format!("not read: {reason}")));
        }
    }
    reading.notes.sort_by_key(|(place, _)| place.line());
    let notes = reading.notes.iter().map(|(place, text)| format!("{place}: {text}"));
    settings.notes = notes.collect();
    let (places, problems) = reading.reader.finish();
    Ok((settings, places, problems))
}

/// Some editors put a byte order mark before the text.
fn without_mark(contents: &str) -> &str {
    contents.strip_prefix('\u{feff}').unwrap_or(contents)
}

fn members_of_file(name: &Path, contents: &str) -> Result<Vec<(String, Node)>, Problems> {
    let place = |offset, column, path: &str| {
        let (line, at) = line_and_column(contents, offset);
        let column = Some(at).filter(|_| column);
        Place::File { file: name.to_path_buf(), line, column, path: path.to_owned() }
    };
    let expected = "the JSON object of a Flagsmith Edge Proxy";
    let problem = |place, found: &str, hint| {
        let (found, expected) = (found.to_owned(), expected.to_owned());
        Problems::from(Problem { place, found, expected, hint })
    };
    let node =
        json::parse(contents, &|offset, path| place(offset, false, path)).map_err(|error| {
            problem(place(error.offset, true, ""), "text that is not JSON", Some(error.reason))
        })?;
    match node.value {
        Value::Object(members) => Ok(members),
        other => Err(problem(node.place, other.kind(), None)),
    }
}

/// The members of one object while it is being read.
struct Members {
    members: Vec<(String, Node)>,
    known: Vec<&'static str>,
}

impl Members {
    fn new(members: Vec<(String, Node)>) -> Self {
        Self { members, known: Vec::new() }
    }

    /// The member of this name, if it was written; null counts as not written.
    fn take(&mut self, name: &'static str) -> Option<Node> {
        self.take_with_null(name).filter(|node| !matches!(node.value, Value::Null))
    }

    fn take_with_null(&mut self, name: &'static str) -> Option<Node> {
        self.known.push(name);
        let position = self.members.iter().position(|(written, _)| written == name)?;
        Some(self.members.remove(position).1)
    }
}

/// Puts a member over one of the same name; of two objects, each member.
fn lay_over(members: &mut Vec<(String, Node)>, name: String, over: Node) {
    match members.iter_mut().find(|(written, _)| *written == name) {
        None => members.push((name, over)),
        Some((_, under)) => match (&mut under.value, over) {
            (Value::Object(under), Node { value: Value::Object(over), .. }) => {
                for (name, node) in over {
                    lay_over(under, name, node);
                }
            }
            (_, over) => *under = over,
        },
    }
}

/// The first of a member's names.
fn first_name(name: String) -> String {
    let alias = ALIASES.into_iter().find(|(second, _)| *second == name);
    alias.map_or(name, |(_, first)| first.to_owned())
}

struct Reading<'d> {
    reader: Reader<'d>,
    notes: Vec<(Place, String)>,
}

/// What all environments have in common.
struct Common {
    url: Option<(super::BaseUrl, Place)>,
    poll_interval: Option<(Duration, Place)>,
    timeout: Option<(Duration, Place)>,
    /// None: no grace was written. `Some(None)`: no time is too long.
    grace: Option<(Option<Duration>, Place)>,
    origins: Option<(List<AllowedOrigin>, Place)>,
}

impl Reading<'_> {
    /// Variables win over members of the file; objects are laid over each other.
    fn with_variables(&mut self, mut of_file: Vec<(String, Node)>) -> Vec<(String, Node)> {
        let mut members = Vec::new();
        // Of two names of one member, the first counts.
        of_file.sort_by_key(|(name, _)| !ALIASES.iter().any(|(second, _)| name == second));
        for (name, node) in of_file {
            lay_over(&mut members, first_name(name), node);
        }
        for (variable, member) in VARIABLES {
            let Some((name, text)) = self.spelled(variable, member) else { continue };
            let place = |_: usize, path: &str| match path {
                "" => Place::Variable { name, item: None },
                path => Place::Member { name, path: path.to_owned() },
            };
            let node = match json::parse(&text, &place) {
                Ok(node) if variable != PROXY_KEY => node,
                Ok(node) if matches!(node.value, Value::Text(_) | Value::Null) => node,
                Err(error)
                    if variable != PROXY_KEY
                        && matches!(text.trim_start().as_bytes(), [b'{' | b'[', ..]) =>
                {
                    let place = place(0, "");
                    self.reader.places().mark(member, place.clone());
                    self.reader.problem(place, "text that is not JSON", "JSON", Some(error.reason));
                    continue;
                }
                // Text needs no quotes in a variable, and a key is text even where it looks like a
                // number.
                Ok(_) | Err(_) => {
                    Node { value: Value::Text(text.trim().to_owned()), place: place(0, "") }
                }
            };
            lay_over(&mut members, first_name(member.to_owned()), node);
        }
        members
    }

    /// The variable that stands for a member, as it is spelled, and its text. Nobody can know which
    /// of several spellings is meant, so they have to agree.
    fn spelled(
        &mut self,
        variable: &'static str,
        member: &'static str,
    ) -> Option<(&'static str, String)> {
        let spellings = self.reader.spellings(variable);
        let (first, text) = spellings.first()?;
        // Members are the variables' names in lower case.
        let name = if first == member { member } else { variable };
        if let Some((other, _)) = spellings.iter().find(|(_, other)| other.trim() != text.trim()) {
            let place = Place::Variable { name, item: None };
            let found = format!("another value than that of {other}");
            let expected = "one value, however the name is spelled";
            self.reader.problem(place, found, expected, Some("unset one of them".to_owned()));
        }
        Some((name, text.clone()))
    }

    fn settings(&mut self, mut members: Members) -> raw::Settings {
        let pairs = members.take_with_null(PAIRS);
        let proxy_key = members.take("proxy_key");
        let common = Common {
            url: self.member(&mut members, "api_url", &base_url()),
            poll_interval: self.member(
                &mut members,
                "api_poll_frequency_seconds",
                &seconds(raw::POLL_INTERVAL),
            ),
            timeout: self.member(&mut members, "api_poll_timeout_seconds", &seconds(raw::TIMEOUT)),
            grace: self.grace(&mut members),
            origins: self.origins(&mut members),
        };
        let (listen, keep_alive) = self.server(&mut members);
        let (level, format) = self.logging(&mut members);
        let environments = self.environments(pairs, proxy_key.is_some(), &common);
        let discover = proxy_key.and_then(|node| self.discover(&node, &common));
        if let Some(node) = members.take("endpoint_caches") {
            self.note(&node, "not needed: answers are prepared once, when the rules change");
        }
        if let Some(node) = members.take("usage_flush_interval_seconds") {
            self.note(&node, "usage is not reported");
        }
        self.leave(members);

        // Last, so that what a variable of ours overrides is known to come from there.
        let mut settings = self.reader.root(None, raw::around);
        settings.server.listen = settings.server.listen.or(listen);
        settings.server.keep_alive = settings.server.keep_alive.or(keep_alive);
        settings.log.level = settings.log.level.or(level);
        settings.log.format = settings.log.format.or(format);
        self.make_room(&settings.server, &mut settings.admin);
        raw::refuse_environment_variables(&mut self.reader);
        settings.environments = environments;
        settings.discover = discover.into_iter().collect();
        settings
    }

    /// Moves our admin port, of which the Edge Proxy knows nothing, out of the way.
    fn make_room(&mut self, server: &raw::Server, admin: &mut raw::Admin) {
        let Some(server) = server.listen.as_ref().filter(|_| !self.reader.places().has(ADMIN))
        else {
            return;
        };
        let (default, free) = (Admin::default().listen, Admin::default_listen_beside(server));
        if free != default {
            let place = self.reader.places().nearest("server.listen");
            let note = format!(
                "{ADMIN} is \"{default}\" by default, which is taken: it is \"{free}\" instead"
            );
            self.notes.push((place, note));
            admin.listen = Some(free);
        }
    }

    fn server(&mut self, members: &mut Members) -> (Option<Listen>, Option<Duration>) {
        let Some(mut server) = self.object(members, "server") else { return (None, None) };
        let host = self.member(&mut server, "host", &host());
        let port = self.member(&mut server, "port", &port());
        let keep_alive =
            self.member(&mut server, "timeout_keep_alive", &seconds(MILLISECOND..=DAY));
        let keep_alive = keep_alive.map(|(keep_alive, place)| {
            self.reader.places().mark("server.keep_alive", place);
            keep_alive
        });
        self.note_if_true(&mut server, "reload", "the configuration is read once, at the start");
        let reason =
            "not needed: no answer depends on the address or the scheme that a client used";
        self.note_if_true(&mut server, "proxy_headers", reason);
        self.leave(server);

        let place = port.as_ref().map(|(_, place)| place).or(host.as_ref().map(|(_, place)| place));
        if let Some(place) = place {
            self.reader.places().mark("server.listen", place.clone());
        }
        let listen = (host.is_some() || port.is_some()).then(|| {
            let host = host.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |(host, _)| host);
            Listen::Tcp(SocketAddr::new(host, port.map_or(8000, |(port, _)| port)))
        });
        (listen, keep_alive)
    }

    fn logging(&mut self, members: &mut Members) -> (Option<LogLevel>, Option<LogFormat>) {
        let Some(mut logging) = self.object(members, "logging") else { return (None, None) };
        let level = self.member(&mut logging, "log_level", &log_level());
        let format = self.member(&mut logging, "log_format", &log_format());
        let level = level.map(|(level, place)| {
            self.reader.places().mark("log.level", place);
            level
        });
        let format = format.map(|(format, place)| {
            self.reader.places().mark("log.format", place);
            format
        });
        let reason = "single requests are not logged; burgee_http_requests_total counts them";
        self.note_if_true(&mut logging, "enable_access_log", reason);
        for colours in ["colours", "colors", "use_colors"] {
            self.note_if_true(&mut logging, colours, "the form of log lines is not a setting");
        }
        if let Some(node) = logging.take("log_event_field_name") {
            self.note(&node, "the names of a log line's fields are not a setting");
        }
        if let Some(node) = logging.take("override") {
            self.note(&node, "there is no logging of Python's to be configured");
        }
        self.leave(logging);
        (level, format)
    }

    fn grace(&mut self, members: &mut Members) -> Option<(Option<Duration>, Place)> {
        let mut health_check = self.object(members, "health_check")?;
        let node = health_check.take_with_null("environment_update_grace_period_seconds");
        self.leave(health_check);
        let node = node?;
        if matches!(node.value, Value::Null) {
            return Some((None, node.place));
        }
        let grace = self.value(&node, &seconds(Duration::ZERO..=YEAR))?;
        Some((Some(grace), node.place))
    }

    /// What no browser would send is left out, since the Edge Proxy would compare it in vain.
    fn origins(&mut self, members: &mut Members) -> Option<(List<AllowedOrigin>, Place)> {
        let node = members.take("allow_origins")?;
        let written: Vec<(&str, &Place)> = match &node.value {
            Value::Text(text) => {
                text.split(',').map(|origin| (origin.trim(), &node.place)).collect()
            }
            Value::List(items) => {
                let mut written = Vec::new();
                for item in items {
                    if let Value::Text(text) = &item.value {
                        written.push((text.trim(), &item.place));
                    } else {
                        let (place, found) = (item.place.clone(), item.value.kind());
                        self.reader.problem(place, found, allowed_origin().expected, None);
                    }
                }
                written
            }
            other => {
                let expected = "a list of origins, or \"*\"";
                self.reader.problem(node.place.clone(), other.kind(), expected, None);
                return None;
            }
        };
        let mut origins = Vec::new();
        for (text, place) in written {
            match allowed_origin().accept(Scalar::Text(text)) {
                Ok(AllowedOrigin::Any) => {
                    return Some((vec![Some(AllowedOrigin::Any)], node.place));
                }
                Ok(origin) => origins.push(Some(origin)),
                Err(refusal) => {
                    let hint = refusal.hint.map(|hint| format!(": {hint}")).unwrap_or_default();
                    let shown = quoted(text);
                    let left_out = format!("{shown} is left out: no browser sends it{hint}");
                    self.notes.push((place.clone(), left_out));
                }
            }
        }
        Some((origins, node.place))
    }

    fn environments(
        &mut self,
        pairs: Option<Node>,
        discovery: bool,
        common: &Common,
    ) -> Vec<Environment> {
        let expected = "a list with at least one pair of server_side_key and client_side_key";
        let hint = || Some("or a proxy_key, with which they are discovered".to_owned());
        let Some(pairs) = pairs else {
            // What was written and could not be read is a problem already.
            if !discovery && !self.reader.places().has(PAIRS) {
                let place = self.reader.places().nearest(PAIRS);
                self.reader.problem(place, "nothing", expected, hint());
            }
            return Vec::new();
        };
        let pairs = match pairs.value {
            Value::List(items) if discovery || !items.is_empty() => items,
            Value::Null if discovery => return Vec::new(),
            other => {
                let empty = matches!(other, Value::List(_));
                let found = if empty { "an empty list" } else { other.kind() };
                self.reader.problem(pairs.place, found, expected, hint().filter(|_| empty));
                return Vec::new();
            }
        };
        let count = u32::try_from(pairs.len()).unwrap_or(u32::MAX);
        let poll_interval = common.poll_interval.as_ref().map_or(POLL_FREQUENCY, |(time, _)| *time);
        let grace = common.grace.as_ref().map_or(Some(GRACE), |(grace, _)| *grace);
        let max_staleness = grace.map(|grace| {
            poll_interval.saturating_add(grace.saturating_mul(count)).clamp(MILLISECOND, YEAR)
        });
        let mut environments: Vec<Environment> = Vec::new();
        for (index, pair) in pairs.into_iter().enumerate() {
            let here = format!("environments[{index}]");
            self.mark_common(&here, &pair.place, common);
            let Some((server_key, publishable_keys)) = self.pair(&here, pair) else { continue };
            let name = name_of(publishable_keys.iter().flatten().flatten().next(), index);
            // A client-side key that stands twice is a problem of its own.
            let taken = environments.iter().any(|other| other.name.as_ref() == Some(&name));
            let name = if taken { format!("environment-{}", index + 1) } else { name };
            environments.push(Environment {
                path: here,
                name: Some(name),
                publishable_keys,
                max_staleness,
                source: Source::Flagsmith(FlagsmithSource {
                    url: common.url.as_ref().map(|(url, _)| url.clone()),
                    server_key,
                    poll_interval: Some(poll_interval),
                    timeout: Some(common.timeout.as_ref().map_or(POLL_TIMEOUT, |(time, _)| *time)),
                    // It follows no stream; here that is what every source does unless told not to.
                    ..FlagsmithSource::default()
                }),
                origins: common.origins.as_ref().map(|(origins, _)| origins.clone()),
                credentials: common.origins.as_ref().map(|(origins, _)| credentials(origins)),
                ..Environment::default()
            });
        }
        environments
    }

    /// What the Edge Proxy discovers with its key, in its own pace.
    fn discover(&mut self, node: &Node, common: &Common) -> Option<Discover> {
        let here = "discover[0]";
        self.mark_shared(here, "", common);
        for path in ["discover", here, "discover[0].type", "discover[0].proxy_key"] {
            self.reader.places().mark(path, node.place.clone());
        }
        let proxy_key = self.value(node, &secret_key())?;
        let poll_interval = common.poll_interval.as_ref().map_or(POLL_FREQUENCY, |(time, _)| *time);
        let grace = common.grace.as_ref().map_or(Some(GRACE), |(grace, _)| *grace);
        Some(Discover {
            path: here.to_owned(),
            url: common.url.as_ref().map(|(url, _)| url.clone()),
            proxy_key: Some(proxy_key),
            poll_interval: Some(poll_interval),
            timeout: Some(common.timeout.as_ref().map_or(POLL_TIMEOUT, |(time, _)| *time)),
            max_staleness: grace
                .map(|grace| poll_interval.saturating_add(grace).clamp(MILLISECOND, YEAR)),
            origins: common.origins.as_ref().map(|(origins, _)| origins.clone()),
            credentials: common.origins.as_ref().map(|(origins, _)| credentials(origins)),
            ..Discover::default()
        })
    }

    fn mark_common(&mut self, here: &str, pair: &Place, common: &Common) {
        let places = self.reader.places();
        for path in ["", ".name", ".source", ".source.type"] {
            places.mark(format!("{here}{path}"), pair.clone());
        }
        self.mark_shared(here, ".source", common);
    }

    /// Settings of an environment whose source is `source` below it, or of a discovery.
    fn mark_shared(&mut self, here: &str, source: &str, common: &Common) {
        let beneath = |key: &str| format!("{source}.{key}");
        let places = self.reader.places();
        for (path, place) in [
            (beneath("url"), common.url.as_ref().map(|(_, place)| place)),
            (beneath("poll_interval"), common.poll_interval.as_ref().map(|(_, place)| place)),
            (beneath("timeout"), common.timeout.as_ref().map(|(_, place)| place)),
            (".max_staleness".to_owned(), common.grace.as_ref().map(|(_, place)| place)),
            (".cors.origins".to_owned(), common.origins.as_ref().map(|(_, place)| place)),
            (".cors.credentials".to_owned(), common.origins.as_ref().map(|(_, place)| place)),
        ] {
            if let Some(place) = place {
                places.mark(format!("{here}{path}"), place.clone());
            }
        }
    }

    /// Server-side and client-side key, the latter as a list if one was written.
    fn pair(&mut self, here: &str, pair: Node) -> Option<(Option<Key>, Option<List<Key>>)> {
        let Value::Object(members) = pair.value else {
            let expected = "an object with server_side_key and client_side_key";
            self.reader.problem(pair.place, pair.value.kind(), expected, None);
            return None;
        };
        let mut members = Members::new(members);
        let server = members.take("server_side_key");
        let client = members.take("client_side_key");
        self.leave(members);
        if server.is_none() {
            let place = pair.place.member("server_side_key");
            self.reader.problem(place, "nothing", server_key().expected, None);
        }
        let server = server.and_then(|node| {
            self.reader.places().mark(format!("{here}.source.server_key"), node.place.clone());
            self.value(&node, &server_key())
        });
        let client = client.map(|node| {
            for path in ["publishable_keys", "publishable_keys[0]"] {
                self.reader.places().mark(format!("{here}.{path}"), node.place.clone());
            }
            vec![self.value(&node, &client_side_key())]
        });
        Some((server, client))
    }

    /// The object of this name, if one was written.
    fn object(&mut self, members: &mut Members, name: &'static str) -> Option<Members> {
        let node = members.take(name)?;
        if let Value::Object(inner) = node.value {
            return Some(Members::new(inner));
        }
        self.reader.problem(node.place, node.value.kind(), "an object", None);
        None
    }

    /// The member of this name with its place, if it was written and is good.
    fn member<T>(
        &mut self,
        members: &mut Members,
        name: &'static str,
        shape: &Shape<T>,
    ) -> Option<(T, Place)> {
        let node = members.take(name)?;
        let value = self.value(&node, shape)?;
        Some((value, node.place))
    }

    /// Blanks around text do not count.
    fn value<T>(&mut self, node: &Node, shape: &Shape<T>) -> Option<T> {
        let scalar = match &node.value {
            Value::Text(text) => Some(Scalar::Text(text.trim())),
            Value::Boolean(boolean) => Some(Scalar::Boolean(*boolean)),
            Value::Number(number) => Some(match number.as_i64() {
                Some(integer) => Scalar::Integer(integer),
                None => Scalar::Float(number.as_f64().unwrap_or(f64::NAN)),
            }),
            Value::Null | Value::List(_) | Value::Object(_) => None,
        };
        match scalar.map_or_else(|| Err(Refusal::default()), |scalar| shape.accept(scalar)) {
            Ok(value) => Some(value),
            Err(refusal) => {
                let shown = || match &node.value {
                    Value::Text(text) if !shape.secret => quoted(text),
                    Value::Boolean(boolean) if !shape.secret => boolean.to_string(),
                    Value::Number(number) if !shape.secret => number.to_string(),
                    other => other.kind().to_owned(),
                };
                let found = refusal.found.map_or_else(shown, str::to_owned);
                let expected = shape.expected.clone();
                self.reader.problem(node.place.clone(), found, expected, refusal.hint);
                None
            }
        }
    }

    fn note(&mut self, node: &Node, text: &str) {
        self.notes.push((node.place.clone(), text.to_owned()));
    }

    fn note_if_true(&mut self, members: &mut Members, name: &'static str, text: &str) {
        if let Some(node) = members.take(name)
            && !matches!(node.value, Value::Boolean(false))
        {
            self.note(&node, text);
        }
    }

    /// What nobody asked for is not known.
    fn leave(&mut self, members: Members) {
        let Members { members, known } = members;
        for (name, node) in members {
            let meant = nearest(&name, known.iter().copied()).map(did_you_mean);
            let hint = meant.map(|hint| format!(" (hint: {hint})")).unwrap_or_default();
            self.note(&node, &format!("not read: no member of this name is known{hint}"));
        }
    }
}

/// As the Edge Proxy answers: it always allows credentials, which Burgee does not for all origins.
fn credentials(origins: &List<AllowedOrigin>) -> bool {
    !origins.contains(&Some(AllowedOrigin::Any))
}

fn seconds(range: RangeInclusive<Duration>) -> Shape<Duration> {
    let (least, most) = (range.start().as_secs_f64(), range.end().as_secs_f64());
    Shape::new(format!("a number of seconds from {least} to {most}"), move |scalar| {
        let seconds = match scalar {
            Scalar::Text(text) => text.parse().ok(),
            Scalar::Integer(integer) => u32::try_from(integer).ok().map(f64::from),
            Scalar::Float(float) => Some(float),
            Scalar::Boolean(_) => None,
        };
        let duration = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        duration.filter(|duration| range.contains(duration)).ok_or_else(Refusal::default)
    })
}

fn host() -> Shape<IpAddr> {
    Shape::text("an address, such as \"0.0.0.0\"", |text| match text {
        "localhost" => Ok(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        _ => text.parse().map_err(|_| {
            Refusal::hint(
                "names are not looked up: write the address, or \"0.0.0.0\" for all of this \
                 machine's",
            )
        }),
    })
}

fn port() -> Shape<u16> {
    Shape::new("a port from 0 to 65535", |scalar| {
        let port = match scalar {
            Scalar::Integer(integer) => u16::try_from(integer).ok(),
            Scalar::Text(text) => text.parse().ok(),
            Scalar::Float(_) | Scalar::Boolean(_) => None,
        };
        port.ok_or_else(Refusal::default)
    })
}

/// Python's levels, in any letter case.
fn log_level() -> Shape<LogLevel> {
    const LEVELS: [(&str, LogLevel); 9] = [
        ("CRITICAL", LogLevel::Error),
        ("FATAL", LogLevel::Error),
        ("ERROR", LogLevel::Error),
        ("WARNING", LogLevel::Warn),
        ("WARN", LogLevel::Warn),
        ("INFO", LogLevel::Info),
        ("DEBUG", LogLevel::Debug),
        ("TRACE", LogLevel::Trace),
        ("NOTSET", LogLevel::Trace),
    ];
    let expected = "\"CRITICAL\", \"ERROR\", \"WARNING\", \"INFO\", \"DEBUG\" or \"NOTSET\"";
    Shape::text(expected, |text| {
        let found = LEVELS.into_iter().find(|(word, _)| word.eq_ignore_ascii_case(text));
        found.map(|(_, level)| level).ok_or_else(|| {
            let meant = nearest(text, LEVELS.into_iter().map(|(word, _)| word));
            Refusal { found: None, hint: meant.map(did_you_mean) }
        })
    })
}

fn log_format() -> Shape<LogFormat> {
    const FORMATS: [(&str, LogFormat); 2] =
        [("generic", LogFormat::Text), ("json", LogFormat::Json)];
    Shape::text("\"generic\" or \"json\"", |text| {
        let found = FORMATS.into_iter().find(|(word, _)| *word == text);
        found.map(|(_, format)| format).ok_or_else(|| {
            let meant = nearest(text, FORMATS.into_iter().map(|(word, _)| word));
            Refusal { found: None, hint: meant.map(did_you_mean) }
        })
    })
}
