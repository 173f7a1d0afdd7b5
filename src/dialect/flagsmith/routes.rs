//! What exists: path, methods, which keys may call it (flagsmith.md sections 3, 15).

use std::borrow::Cow;

use crate::dialect::query::decode_path;

/// What a route does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `GET flags/`: the environment's flags, of nobody in particular.
    Flags,
    /// `GET` and `POST identities/`: the flags of one identity.
    Identities,
    /// `GET environment-document/`: the rules, for server keys.
    Document,
    /// `POST analytics/flags/`: how often flags were asked for; 1 or 2 is the form of the body.
    Analytics(u8),
}

/// A path and what it does.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// The path without a slash at its end, which is also its template in metrics.
    pub path: &'static str,
    /// What it does.
    pub endpoint: Endpoint,
}

/// All routes. Both spellings, with a slash at the end and without, are answered directly.
pub const ROUTES: [Route; 5] = [
    route("/api/v1/flags", Endpoint::Flags),
    route("/api/v1/identities", Endpoint::Identities),
    route("/api/v1/environment-document", Endpoint::Document),
    route("/api/v1/analytics/flags", Endpoint::Analytics(1)),
    route("/api/v2/analytics/flags", Endpoint::Analytics(2)),
];

/// The template of an event stream's path.
pub const STREAM: &str = "/sse/environments/{key}/stream";

/// The key in the path of an event stream, decoded once: clients may write any of its characters as
/// an escape.
pub fn key_of_stream(path: &str) -> Option<Cow<'_, str>> {
    let path = path.strip_suffix('/').unwrap_or(path);
    let key = path.strip_prefix("/sse/environments/")?.strip_suffix("/stream")?;
    (!key.is_empty() && !key.contains('/')).then(|| decode_path(key))
}

const fn route(path: &'static str, endpoint: Endpoint) -> Route {
    Route { path, endpoint }
}
