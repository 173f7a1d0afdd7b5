//! Which route a path is. Never fails: what nothing matches is a route too.

use hyper::Method;

use crate::dialect::Dialect;
use crate::dialect::reflag::routes::{Endpoint, ROUTES};
use crate::telemetry::metrics::RouteLabels;

/// What a path asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A route of the Reflag dialect.
    Reflag(Endpoint),
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

const COUNT: usize = ROUTES.len() + HEALTH.len() + Dialect::ALL.len() + 1;

/// Labels of all routes in metrics: those that exist, `other` by dialect, and `other` of requests
/// that were refused before their path was known.
pub static LABELS: [RouteLabels; COUNT] = labels();

const fn labels() -> [RouteLabels; COUNT] {
    let mut labels = [RouteLabels { dialect: "none", route: "other" }; COUNT];
    let mut at = 0;
    while at < ROUTES.len() {
        labels[at] = RouteLabels { dialect: "reflag", route: ROUTES[at].path };
        at += 1;
    }
    let mut health = 0;
    while health < HEALTH.len() {
        labels[at] = RouteLabels { dialect: "none", route: HEALTH[health].0 };
        health += 1;
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
    if let Some(label) = ROUTES.iter().position(|route| route.path == bare) {
        let target = Target::Reflag(ROUTES[label].endpoint);
        return Route { target, dialect: Dialect::Reflag, label };
    }
    if let Some(place) = HEALTH.iter().position(|(path, _)| *path == bare) {
        let target = HEALTH[place].1;
        return Route { target, dialect: Dialect::Flagsmith, label: ROUTES.len() + place };
    }
    let dialect = Dialect::of_path(path);
    let label = ROUTES.len() + HEALTH.len() + dialect as usize;
    Route { target: Target::Unknown, dialect, label }
}

impl Route {
    /// The route of what is outside the base path.
    pub const OUTSIDE: Self =
        Self { target: Target::Unknown, dialect: Dialect::Reflag, label: COUNT - 1 };

    /// Whether the route reads a body.
    pub fn takes_body(self) -> bool {
        matches!(self.target, Target::Reflag(endpoint) if endpoint.takes_body())
    }

    /// The value of `Allow`, unless `method` is allowed.
    pub fn refuses(self, method: &Method) -> Option<&'static str> {
        if self.takes_body() {
            (method != Method::POST).then_some("POST")
        } else {
            (method != Method::GET && method != Method::HEAD).then_some("GET, HEAD")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_found_under_its_own_label() {
        for (place, labels) in LABELS.iter().enumerate() {
            if labels.route != "other" {
                assert_eq!(find(labels.route).label, place);
                assert_eq!(find(&format!("{}/", labels.route)).label, place);
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
