//! What exists: path and what it does (ofrep.md section 1). Evaluations take `POST` only,
//! event streams `GET`.

use std::borrow::Cow;

use crate::dialect::query::decode_path;

/// What a route does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// All flags that the key may see.
    All,
    /// One flag, named by the path.
    One,
}

/// A path and what it does.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// Its template in metrics.
    pub path: &'static str,
    /// What it does.
    pub endpoint: Endpoint,
}

/// All routes.
pub const ROUTES: [Route; 2] = [
    Route { path: "/ofrep/v1/evaluate/flags", endpoint: Endpoint::All },
    Route { path: "/ofrep/v1/evaluate/flags/{key}", endpoint: Endpoint::One },
];

/// The path of event streams, which is ours to choose.
pub const STREAM: &str = "/ofrep/v1/sse";

/// What precedes a flag's key.
const BEFORE_KEY: &str = "/ofrep/v1/evaluate/flags/";

/// The endpoint of a path, with a slash at the end of the list of all flags or without.
pub fn find(path: &str) -> Option<Endpoint> {
    match path.strip_prefix(BEFORE_KEY) {
        Some("") => Some(Endpoint::All),
        Some(_) => Some(Endpoint::One),
        None => (path == ROUTES[0].path).then_some(Endpoint::All),
    }
}

/// The key that a path names: all that follows, decoded once. Clients encode slashes in keys, or do
/// not, and both mean the same. What is no escape stands for itself.
pub fn key(path: &str) -> Option<Cow<'_, str>> {
    let key = path.strip_prefix(BEFORE_KEY).filter(|key| !key.is_empty())?;
    Some(decode_path(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_of_the_path_is_the_key() {
        for (path, expected) in [
            ("/ofrep/v1/evaluate/flags/a", Some("a")),
            ("/ofrep/v1/evaluate/flags/a/b/", Some("a/b/")),
            ("/ofrep/v1/evaluate/flags/a%2Fb", Some("a/b")),
            ("/ofrep/v1/evaluate/flags/a%252Fb", Some("a%2Fb")),
            ("/ofrep/v1/evaluate/flags/kit%20odd%25key", Some("kit odd%key")),
            ("/ofrep/v1/evaluate/flags/a+b%zz%", Some("a+b%zz%")),
            ("/ofrep/v1/evaluate/flags/%E6%9D%B1", Some("東")),
            ("/ofrep/v1/evaluate/flags/", None),
            ("/ofrep/v1/evaluate/flags", None),
        ] {
            assert_eq!(key(path).as_deref(), expected, "{path}");
        }
        assert_eq!(find("/ofrep/v1/evaluate/flags/"), Some(Endpoint::All));
        assert_eq!(find("/ofrep/v1/evaluate/flagship"), None);
        assert_eq!(find("/ofrep/v1/configuration"), None);
    }
}
