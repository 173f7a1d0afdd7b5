//! Which route a path is. Never fails: what nothing matches is a route too.

use hyper::Method;

use crate::dialect::Dialect;
use crate::dialect::{flagsmith, ofrep, reflag};
use crate::model::KeyClass;
use crate::telemetry::metrics::RouteLabels;

/// What a path asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A route of the Reflag dialect.
    Reflag(reflag::routes::Endpoint),
    /// A route of the Flagsmith dialect.
    Flagsmith(flagsmith::routes::Endpoint),
    /// A route of the OFREP dialect.
    Ofrep(ofrep::routes::Endpoint),
    /// An event stream of the dialect, for this class of keys; one for publishable keys is for all.
    Stream(KeyClass),
    /// Whether this process should get requests.
    Readiness,
    /// Whether this process runs; with a body or without.
    Liveness(bool),
    /// Nothing.
    Unknown,
}

/// A path that was looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// What it asks for.
    pub target: Target,
    /// Who draws errors.
    pub dialect: Dialect,
    /// Place in [`LABELS`].
    pub label: usize,
}

/// Paths of health checks, in the words of Flagsmith's proxies.
const HEALTH: [(&str, Target); 6] = [
    ("/health", Target::Readiness),
    ("/health/readiness", Target::Readiness),
    ("/health/liveness", Target::Liveness(true)),
    ("/proxy/health", Target::Readiness),
    ("/proxy/health/readiness", Target::Readiness),
    ("/proxy/health/liveness", Target::Liveness(false)),
];

/// Event streams: the path or its template, whose they are, and for which keys.
const STREAMS: [(&str, Dialect, KeyClass); 4] = {
    let [server, client] = reflag::routes::STREAMS;
    [
        (server.0, Dialect::Reflag, server.1),
        (client.0, Dialect::Reflag, client.1),
        (flagsmith::routes::STREAM, Dialect::Flagsmith, KeyClass::Publishable),
        (ofrep::routes::STREAM, Dialect::Ofrep, KeyClass::Publishable),
    ]
};
/// Place of the stream whose path has a key in it.
const STREAM_WITH_KEY: usize = 2;

const REFLAG: &[reflag::routes::Route] = &reflag::routes::ROUTES;
const FLAGSMITH: &[flagsmith::routes::Route] = &flagsmith::routes::ROUTES;
const OFREP: &[ofrep::routes::Route] = &ofrep::routes::ROUTES;

/// Places in [`LABELS`]: Reflag's routes come first.
const FIRST_FLAGSMITH: usize = REFLAG.len();
const FIRST_OFREP: usize = FIRST_FLAGSMITH + FLAGSMITH.len();
const FIRST_HEALTH: usize = FIRST_OFREP + OFREP.len();
const FIRST_STREAM: usize = FIRST_HEALTH + HEALTH.len();
const FIRST_OTHER: usize = FIRST_STREAM + STREAMS.len();
const COUNT: usize = FIRST_OTHER + Dialect::ALL.len() + 1;

/// Labels of all routes in metrics: those that exist, `other` by dialect, and `other` of requests
/// that were refused before their path was known.
pub static LABELS: [RouteLabels; COUNT] = labels();

const fn labels() -> [RouteLabels; COUNT] {
    let mut labels = [RouteLabels { dialect: "none", route: "other" }; COUNT];
    let mut at = 0;
    while at < FIRST_FLAGSMITH {
        labels[at] = RouteLabels { dialect: "reflag", route: REFLAG[at].path };
        at += 1;
    }
    while at < FIRST_OFREP {
        let route = FLAGSMITH[at - FIRST_FLAGSMITH].path;
        labels[at] = RouteLabels { dialect: "flagsmith", route };
        at += 1;
    }
    while at < FIRST_HEALTH {
        labels[at] = RouteLabels { dialect: "ofrep", route: OFREP[at - FIRST_OFREP].path };
        at += 1;
    }
    let mut health = 0;
    while health < HEALTH.len() {
        labels[at] = RouteLabels { dialect: "none", route: HEALTH[health].0 };
        health += 1;
        at += 1;
    }
    let mut stream = 0;
    while stream < STREAMS.len() {
        let (route, dialect, _) = STREAMS[stream];
        labels[at] = RouteLabels { dialect: dialect.label(), route };
        stream += 1;
        at += 1;
    }
    labels[at] = RouteLabels { dialect: "reflag", route: "other" };
    labels[at + 1] = RouteLabels { dialect: "flagsmith", route: "other" };
    labels[at + 2] = RouteLabels { dialect: "ofrep", route: "other" };
    labels
}

/// Looks up a path, `base_path` taken off already. A slash at the end makes no difference.
pub fn find(path: &str) -> Route {
    let bare = path.strip_suffix('/').unwrap_or(path);
    if let Some(label) = REFLAG.iter().position(|route| route.path == bare) {
        let target = Target::Reflag(REFLAG[label].endpoint);
        return Route { target, dialect: Dialect::Reflag, label };
    }
    if let Some(place) = FLAGSMITH.iter().position(|route| route.path == bare) {
        let target = Target::Flagsmith(FLAGSMITH[place].endpoint);
        return Route { target, dialect: Dialect::Flagsmith, label: FIRST_FLAGSMITH + place };
    }
    if let Some(endpoint) = ofrep::routes::find(path) {
        let target = Target::Ofrep(endpoint);
        let label = FIRST_OFREP + endpoint as usize;
        return Route { target, dialect: Dialect::Ofrep, label };
    }
    if let Some(place) = HEALTH.iter().position(|(path, _)| *path == bare) {
        let target = HEALTH[place].1;
        return Route { target, dialect: Dialect::Flagsmith, label: FIRST_HEALTH + place };
    }
    let stream = STREAMS.iter().position(|(path, ..)| *path == bare);
    let with_key = || flagsmith::routes::key_of_stream(path).map(|_| STREAM_WITH_KEY);
    if let Some(place) = stream.or_else(with_key) {
        let (_, dialect, class) = STREAMS[place];
        return Route { target: Target::Stream(class), dialect, label: FIRST_STREAM + place };
    }
    let dialect = Dialect::of_path(path);
    let label = FIRST_OTHER + dialect as usize;
    Route { target: Target::Unknown, dialect, label }
}

impl Route {
    /// The route of what is outside the base path.
    pub const OUTSIDE: Self =
        Self { target: Target::Unknown, dialect: Dialect::Reflag, label: COUNT - 1 };

    /// Whether a request with this method brings a body that the route reads.
    pub fn reads_body(self, method: &Method) -> bool {
        method == Method::POST && self.methods() != Methods::Get
    }

    /// The value of `Allow`, unless `method` is allowed.
    pub fn refuses(self, method: &Method) -> Option<&'static str> {
        let methods = self.methods();
        let reads = || method == Method::GET || method == Method::HEAD;
        let (allowed, value) = match methods {
            Methods::Get => (reads(), "GET, HEAD"),
            Methods::Post => (method == Method::POST, "POST"),
            Methods::Both => (reads() || method == Method::POST, "GET, HEAD, POST"),
        };
        (!allowed).then_some(value)
    }

    fn methods(self) -> Methods {
        use flagsmith::routes::Endpoint::{Analytics, Identities};
        match self.target {
            Target::Reflag(endpoint) if endpoint.takes_body() => Methods::Post,
            Target::Flagsmith(Analytics(_)) | Target::Ofrep(_) => Methods::Post,
            Target::Flagsmith(Identities) => Methods::Both,
            _ => Methods::Get,
        }
    }
}

/// What a route answers; `HEAD` goes with `GET`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Methods {
    Get,
    Post,
    Both,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_found_under_its_own_label() {
        for (place, labels) in LABELS.iter().enumerate() {
            if labels.route != "other" {
                assert_eq!(find(labels.route).label, place);
                if labels.dialect != "ofrep" {
                    assert_eq!(find(&format!("{}/", labels.route)).label, place);
                }
            }
        }
    }

    #[test]
    fn unknown_paths_belong_to_the_dialect_of_their_prefix() {
        for (path, dialect, label) in [
            ("/nope", "reflag", "reflag"),
            ("/", "reflag", "reflag"),
            ("/features//", "reflag", "reflag"),
            ("/api/v1/nope", "flagsmith", "flagsmith"),
            ("/ofrep/v1/nope", "ofrep", "ofrep"),
        ] {
            let route = find(path);
            assert_eq!(route.target, Target::Unknown);
            assert_eq!(route.dialect.label(), dialect);
            assert_eq!(LABELS[route.label], RouteLabels { dialect: label, route: "other" });
        }
    }
}
