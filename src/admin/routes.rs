//! What exists on the admin port: path, method, and who may ask.

use hyper::Method;

/// What a path asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// Whether the process runs.
    Live,
    /// Whether the process should get requests.
    Ready,
    /// Whether one environment can be evaluated.
    ReadyOfEnvironment,
    /// Prometheus' text.
    Metrics,
    /// What each environment serves.
    Status,
    /// Why flags are what they are.
    Explain,
    /// The description of both ports as JSON.
    OpenapiJson,
    /// The same as YAML.
    OpenapiYaml,
}

/// A path and what it does.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// The path; what stands in braces is the rest of it.
    pub path: &'static str,
    /// What it does.
    pub endpoint: Endpoint,
}

/// All routes. A slash at the end makes no difference.
pub const ROUTES: [Route; 8] = [
    route("/health/live", Endpoint::Live),
    route("/health/ready", Endpoint::Ready),
    route("/health/ready/{name}", Endpoint::ReadyOfEnvironment),
    route("/metrics", Endpoint::Metrics),
    route("/status", Endpoint::Status),
    route("/explain", Endpoint::Explain),
    route("/openapi.json", Endpoint::OpenapiJson),
    route("/openapi.yaml", Endpoint::OpenapiYaml),
];

const fn route(path: &'static str, endpoint: Endpoint) -> Route {
    Route { path, endpoint }
}

impl Endpoint {
    /// The value of `Allow`, unless `method` is allowed.
    pub fn refuses(self, method: &Method) -> Option<&'static str> {
        let (allowed, value) = match self {
            Self::Explain => (method == Method::POST, "POST"),
            _ => (method == Method::GET || method == Method::HEAD, "GET, HEAD"),
        };
        (!allowed).then_some(value)
    }

    /// Whether it answers everybody who reaches the port.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Live | Self::Ready | Self::ReadyOfEnvironment | Self::Metrics)
    }
}

/// The endpoint of a path, and what stands in the place of its braces.
pub fn find(path: &str) -> Option<(Endpoint, &str)> {
    let bare = path.strip_suffix('/').unwrap_or(path);
    ROUTES.iter().find_map(|route| {
        let rest = match route.path.split_once('{') {
            Some((before, _)) => bare.strip_prefix(before)?,
            None => (bare == route.path).then_some("")?,
        };
        Some((route.endpoint, rest))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_found_with_a_slash_and_without() {
        for Route { path, endpoint } in ROUTES {
            let path = path.replace("{name}", "shop/eu");
            let rest = if endpoint == Endpoint::ReadyOfEnvironment { "shop/eu" } else { "" };
            assert_eq!(find(&path), Some((endpoint, rest)));
            assert_eq!(find(&format!("{path}/")), Some((endpoint, rest)));
        }
        for path in ["", "/", "/health", "/status/x", "/openapi"] {
            assert_eq!(find(path), None, "{path}");
        }
    }
}
