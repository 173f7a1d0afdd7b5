//! Reflag's routes, answered from the document.

use std::time::Duration;

use serde_json::json;

use super::{Answer, PUBLISHABLE_KEY, Reply, Request, SECRET_KEY, Shared, Step};

/// How long `waitForVersion` is held at most unless told otherwise.
pub(super) const HOLD: Duration = Duration::from_secs(3);

/// One event of an event stream.
pub(super) fn announcement(version: u64) -> String {
    let data = json!({"flagStateVersion": version}).to_string();
    format!("event: message\ndata: {}\n\n", json!({"name": "flags-updated", "data": data}))
}

impl Shared {
    pub(super) fn answer_from_document(&self, request: &Request) -> Answer {
        let secret = request.bearer() == Some(SECRET_KEY);
        let publishable =
            [request.bearer(), request.query("publishableKey")].contains(&Some(PUBLISHABLE_KEY));
        match (request.method.as_str(), request.path()) {
            ("GET", "/features") if secret => {
                self.hold(request);
                Reply::json(200, &self.lock().document.definitions()).into()
            }
            ("GET", "/features/evaluated") if secret || publishable => {
                self.hold(request);
                Reply::json(200, &self.lock().document.evaluated(secret)).into()
            }
            ("GET", "/sse/server") if secret => event_stream(),
            ("GET", "/sse/client") if publishable => event_stream(),
            ("GET", "/features" | "/features/evaluated" | "/sse/server" | "/sse/client") => {
                forbidden()
            }
            ("POST", _) if secret || publishable => {
                Reply::json(200, &json!({"success": true})).into()
            }
            ("POST", _) => forbidden(),
            _ => Reply::error(404, "NOT_FOUND", "there is nothing here").into(),
        }
    }

    /// Holds a request for a version that is yet to come.
    fn hold(&self, request: &Request) {
        let wanted =
            request.query("waitForVersion").and_then(|version| version.parse::<u64>().ok());
        let longest = self.lock().hold;
        self.wait(longest, |state| (state.document.version >= wanted.unwrap_or(0)).then_some(()));
    }
}

fn event_stream() -> Answer {
    let head = Reply::status(200).header("Content-Type", "text/event-stream").until_closed();
    Answer::nothing().then(Step::Write(head.to_bytes())).then(Step::Announce).then(Step::Close)
}

fn forbidden() -> Answer {
    Reply::error(403, "INVALID_API_KEY", "unknown or unsuitable key").into()
}
