//! What exists: path, method, which keys may call it (reflag-runtime.md sections 1, 5, 7, 8, 9).

use super::tracking::Post;
use crate::model::KeyClass;

/// What a route does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `GET /features`: definitions, for secret keys.
    Definitions,
    /// `GET /features/evaluated`
    Evaluated,
    /// `GET /features/enabled`
    Enabled,
    /// Tracking.
    Track(Post),
    /// Needs the vendor's service.
    Forwarded,
}

impl Endpoint {
    /// The only method of the route; `HEAD` goes with `GET`.
    pub fn takes_body(self) -> bool {
        matches!(self, Self::Track(_) | Self::Forwarded)
    }
}

/// A path and what it does.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// The path, which is also its template in metrics.
    pub path: &'static str,
    /// What it does.
    pub endpoint: Endpoint,
}

/// All routes.
pub const ROUTES: [Route; 12] = [
    route("/features", Endpoint::Definitions),
    route("/features/evaluated", Endpoint::Evaluated),
    route("/features/enabled", Endpoint::Enabled),
    route("/bulk", Endpoint::Track(Post::Bulk)),
    route("/user", Endpoint::Track(Post::User)),
    route("/company", Endpoint::Track(Post::Company)),
    route("/event", Endpoint::Track(Post::Event)),
    route("/features/events", Endpoint::Track(Post::FlagEvent)),
    route("/feedback", Endpoint::Forwarded),
    route("/feedback/prompting-init", Endpoint::Forwarded),
    route("/feedback/prompt-events", Endpoint::Forwarded),
    route("/flags/opt-in", Endpoint::Forwarded),
];

/// Event streams, and the class of keys that the stream is for (section 7). The one for publishable
/// keys lets secret ones in, too.
pub const STREAMS: [(&str, KeyClass); 2] =
    [("/sse/server", KeyClass::Secret), ("/sse/client", KeyClass::Publishable)];

const fn route(path: &'static str, endpoint: Endpoint) -> Route {
    Route { path, endpoint }
}
