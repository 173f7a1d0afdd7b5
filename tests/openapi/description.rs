//! The descriptions, and whether an exchange is one that they speak of.
//!
//! Shared with `tests/origin`, which holds all of its exchanges against them.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use burgee::dialect::Dialect;
use serde_json::{Map, Value, json};
use yaml_rust2::{Yaml, YamlLoader};

use crate::schema;
use crate::support::wire::Reply;

/// Which of the ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Port {
    Public,
    Admin,
    Origin,
}

/// Fields that belong to HTTP itself.
const OF_HTTP: [&str; 5] =
    ["connection", "content-length", "content-type", "date", "transfer-encoding"];

/// The methods that paths are described for.
pub(crate) const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// An `openapi.json`, as it is served.
#[derive(Debug)]
pub(crate) struct Description {
    pub(crate) document: Value,
    /// Where it is kept.
    folder: &'static str,
}

/// A method of a path.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operation<'a> {
    pub(crate) port: Port,
    pub(crate) path: &'a str,
    pub(crate) method: &'a str,
    pub(crate) object: &'a Value,
}

impl<'a> Operation<'a> {
    /// Its name.
    pub(crate) fn id(&self) -> &'a str {
        self.object["operationId"].as_str().unwrap()
    }

    /// What may come of it.
    pub(crate) fn statuses(&self) -> Vec<u16> {
        let responses = self.object["responses"].as_object().unwrap();
        responses.keys().map(|status| status.parse().unwrap()).collect()
    }
}

/// The description of the public and of the admin port.
pub(crate) fn description() -> &'static Description {
    static READ: LazyLock<Description> = LazyLock::new(|| Description::read("src/admin"));
    &READ
}

/// The description of the origin's port.
pub(crate) fn of_origin() -> &'static Description {
    static READ: LazyLock<Description> = LazyLock::new(|| Description::read("src/origin"));
    &READ
}

/// Fails unless the description speaks of this answer.
#[track_caller]
pub(crate) fn assert_described(port: Port, method: &str, target: &str, reply: &Reply) {
    let description = if port == Port::Origin { of_origin() } else { description() };
    if let Err(what) = description.check(port, method, target, reply) {
        panic!("{method} {target}: {what}\n{reply}");
    }
}

/// The same, and that a body which was answered well is one that the description allows.
#[track_caller]
pub(crate) fn assert_exchange_described(
    port: Port,
    method: &str,
    target: &str,
    body: &[u8],
    reply: &Reply,
) {
    assert_described(port, method, target, reply);
    let description = if port == Port::Origin { of_origin() } else { description() };
    if reply.status == 200
        && let Err(what) = description.check_request(port, method, target, body)
    {
        panic!("{method} {target} went well with what no schema allows: {what}");
    }
}

impl Description {
    fn read(folder: &'static str) -> Self {
        let mut description = Self { document: Value::Null, folder };
        let text = std::fs::read(description.file("openapi.json")).unwrap();
        description.document = serde_json::from_slice(&text).unwrap();
        description
    }

    /// Where one of its spellings is.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join(self.folder).join(name)
    }

    /// Every path of a port.
    pub(crate) fn paths(&self) -> impl Iterator<Item = (Port, &str, &Map<String, Value>)> {
        let paths = self.document["paths"].as_object().unwrap();
        paths.iter().map(|(path, item)| {
            let port = if self.folder == "src/origin" {
                Port::Origin
            } else if item.get("servers").is_some() {
                Port::Admin
            } else {
                Port::Public
            };
            (port, path.as_str(), item.as_object().unwrap())
        })
    }

    /// What is wrong with a body that was sent.
    fn check_request(
        &self,
        port: Port,
        method: &str,
        target: &str,
        body: &[u8],
    ) -> Result<(), String> {
        let path = target.split('?').next().unwrap();
        let found = self.paths().find(|(its, template, _)| *its == port && is_of(path, template));
        let Some((_, _, item)) = found else { return Ok(()) };
        let Some(operation) = item.get(&method.to_lowercase()) else { return Ok(()) };
        let media = &operation["requestBody"]["content"]["application/json"];
        if media.is_null() || body.trim_ascii().is_empty() {
            return Ok(());
        }
        let value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        schema::check(&self.document, &media["schema"], &value)
    }

    /// Every method of every path.
    pub(crate) fn operations(&self) -> impl Iterator<Item = Operation<'_>> {
        self.paths().flat_map(|(port, path, item)| {
            let operation = move |method| {
                let object = item.get(method)?;
                Some(Operation { port, path, method, object })
            };
            METHODS.into_iter().filter_map(operation)
        })
    }

    /// What is wrong with an answer.
    pub(crate) fn check(
        &self,
        port: Port,
        method: &str,
        target: &str,
        reply: &Reply,
    ) -> Result<(), String> {
        let path = target.split('?').next().unwrap();
        let response = self.response(port, method, path, reply.status)?;
        let response = self.resolved(response);
        self.check_head(response, reply)?;
        self.check_body(response, method == "HEAD", reply)
    }

    /// What is said of a status of a path.
    fn response(
        &self,
        port: Port,
        method: &str,
        path: &str,
        status: u16,
    ) -> Result<&Value, String> {
        let found = self.paths().find(|(its, template, _)| *its == port && is_of(path, template));
        let unmatched = |dialect: &str| {
            let pointer = format!("/x-unmatched/{dialect}/{status}");
            let found = self.document.pointer(&pointer);
            found.ok_or_else(|| format!("{status} where there is no operation of {dialect}"))
        };
        let Some((_, _, item)) = found else {
            return unmatched(match port {
                Port::Public if status == 204 => "preflight",
                Port::Public => Dialect::of_path(path).label(),
                Port::Admin => "admin",
                Port::Origin if path.starts_with("/api") => "management",
                Port::Origin => "reflag",
            });
        };
        let described = if method == "HEAD" { "get".to_owned() } else { method.to_lowercase() };
        match item.get(&described).filter(|_| METHODS.contains(&&*described)) {
            Some(operation) => {
                let found = operation["responses"].get(status.to_string());
                found.ok_or_else(|| format!("{status} is not among the answers of {path}"))
            }
            None if port != Port::Admin && status == 204 => unmatched("preflight"),
            None => unmatched(dialect_of(item)),
        }
    }

    fn resolved<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value.get("$ref") {
            Some(reference) => schema::resolve(&self.document, reference.as_str().unwrap()),
            None => value,
        }
    }

    fn check_head(&self, response: &Value, reply: &Reply) -> Result<(), String> {
        let none = Map::new();
        let described = response.get("headers").map_or(&none, |head| head.as_object().unwrap());
        for (name, value) in &reply.fields {
            if OF_HTTP.contains(&name.as_str()) {
                continue;
            }
            let found = described.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
            let (_, header) = found.ok_or_else(|| format!("`{name}` is not described"))?;
            let schema = &self.resolved(header)["schema"];
            let value = match schema["type"].as_str() {
                Some("integer") => serde_json::from_str(value).unwrap_or(Value::Null),
                _ => Value::String(value.clone()),
            };
            schema::check(&self.document, schema, &value)
                .map_err(|what| format!("`{name}`: {what}"))?;
        }
        let required = |header: &Value| self.resolved(header)["required"] == true;
        for (name, _) in described.iter().filter(|(_, header)| required(header)) {
            if reply.header(&name.to_ascii_lowercase()).is_none() {
                return Err(format!("`{name}` is not there"));
            }
        }
        Ok(())
    }

    fn check_body(&self, response: &Value, head_only: bool, reply: &Reply) -> Result<(), String> {
        let content_type = reply.header("content-type");
        let Some(content) = response.get("content") else {
            // Whoever holds the answer is told again of what type it is.
            if reply.body.is_empty() && (content_type.is_none() || reply.status == 304) {
                return Ok(());
            }
            return Err("there is a body".to_owned());
        };
        let content_type = content_type.ok_or("there is no Content-Type")?;
        let media_type = content_type.split(';').next().unwrap();
        let media = content.get(media_type);
        let media = media.ok_or_else(|| format!("the media type {media_type} is not described"))?;
        if head_only {
            return Ok(());
        }
        let mut bytes = reply.body.clone();
        if reply.header("content-encoding") == Some("gzip") {
            bytes = Vec::new();
            let mut decoder = flate2::read::GzDecoder::new(&reply.body[..]);
            decoder.read_to_end(&mut bytes).map_err(|error| error.to_string())?;
        }
        let text = || String::from_utf8(bytes.clone()).map_err(|error| error.to_string());
        let value = match media_type {
            "application/json" => {
                serde_json::from_slice(&bytes).map_err(|error| error.to_string())?
            }
            "application/yaml" => read_yaml(&text()?),
            _ => Value::String(text()?),
        };
        schema::check(&self.document, &media["schema"], &value)
    }
}

/// Whether a path is one of a template's, with a slash at its end or without.
pub(crate) fn is_of(path: &str, template: &str) -> bool {
    let bare = |path: &str| path.strip_suffix('/').unwrap_or(path).to_owned();
    match template.split_once('{') {
        None => bare(path) == bare(template),
        // There parameters are segments.
        Some(_) if template.starts_with("/api/") => {
            let (path, template) = (bare(path), bare(template));
            let pairs = path.split('/').zip(template.split('/'));
            path.matches('/').count() == template.matches('/').count()
                && pairs.into_iter().all(|(part, expected)| {
                    if expected.starts_with('{') { !part.is_empty() } else { part == expected }
                })
        }
        // And here the rest of the path.
        Some((before, _)) => path.strip_prefix(before).is_some_and(|rest| !rest.is_empty()),
    }
}

/// Who draws the refusals of a path.
pub(crate) fn dialect_of(item: &Map<String, Value>) -> &'static str {
    let operation = METHODS.into_iter().find_map(|method| item.get(method)).unwrap();
    match operation["tags"][0].as_str().unwrap() {
        "Reflag" | "SDK" => "reflag",
        "OFREP" => "ofrep",
        "Flagsmith" | "Health" => "flagsmith",
        "Admin" => "admin",
        _ => "management",
    }
}

/// What a YAML document says.
pub(crate) fn read_yaml(text: &str) -> Value {
    let documents = YamlLoader::load_from_str(text).unwrap();
    let [document] = documents.as_slice() else { panic!("one document") };
    to_json(document)
}

fn to_json(yaml: &Yaml) -> Value {
    match yaml {
        Yaml::Null => Value::Null,
        Yaml::Boolean(value) => json!(value),
        Yaml::Integer(value) => json!(value),
        Yaml::Real(text) => serde_json::from_str(text).unwrap(),
        Yaml::String(text) => json!(text),
        Yaml::Array(elements) => elements.iter().map(to_json).collect(),
        Yaml::Hash(members) => {
            let member = |(name, value): (&Yaml, &Yaml)| {
                (name.as_str().expect("names are text").to_owned(), to_json(value))
            };
            Value::Object(members.iter().map(member).collect::<Map<_, _>>())
        }
        Yaml::Alias(_) | Yaml::BadValue => panic!("{yaml:?}"),
    }
}
