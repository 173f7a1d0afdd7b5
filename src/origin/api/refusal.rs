//! The only error that a caller of the Management API sees (reflag-management.md section 2).

use serde_json::{Map, Value, json};
use tracing::error;

use crate::origin::store::{Issues, StoreError};

/// Why a call is refused.
#[derive(Debug)]
pub(in crate::origin) struct Refusal {
    pub(in crate::origin) status: u16,
    code: &'static str,
    /// Value of the metric label `reason`.
    pub(in crate::origin) reason: &'static str,
    message: String,
    issues: Issues,
    /// The value of `Allow`.
    pub(in crate::origin) allowed: Option<String>,
}

impl Refusal {
    /// Every value of `reason`.
    pub(in crate::origin) const REASONS: [&'static str; 12] = [
        "invalid",
        "not_possible",
        "unknown_key",
        "scope_missing",
        "unknown_path",
        "not_found",
        "method",
        "body_timeout",
        "body_too_large",
        "encoded_body",
        "internal",
        "overloaded",
    ];

    fn new(
        status: u16,
        code: &'static str,
        reason: &'static str,
        message: impl Into<String>,
    ) -> Self {
        let (message, issues) = (message.into(), Issues::new());
        Self { status, code, reason, message, issues, allowed: None }
    }

    /// What was sent cannot be read.
    pub(in crate::origin) fn invalid(issues: Issues) -> Self {
        Self { issues, ..Self::new(400, "invalid_request", "invalid", "Some fields are not valid") }
    }

    /// The same, about one member.
    pub(in crate::origin) fn issue(path: &str, message: impl Into<String>) -> Self {
        Self::invalid(vec![(path.to_owned(), message.into())])
    }

    pub(in crate::origin) fn unauthenticated(message: &str) -> Self {
        Self::new(401, "unauthenticated", "unknown_key", message)
    }

    /// The key may not do this. Never 401: the official command line would call the key invalid.
    pub(in crate::origin) fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(403, "unauthorized", "scope_missing", message)
    }

    pub(in crate::origin) fn not_found(message: impl Into<String>) -> Self {
        Self::new(404, "not_found", "not_found", message)
    }

    pub(in crate::origin) fn unknown_path() -> Self {
        Self::new(404, "not_found", "unknown_path", "There is nothing at this path")
    }

    pub(in crate::origin) fn method(allowed: String) -> Self {
        let message = format!("This path answers only {allowed}");
        Self { allowed: Some(allowed), ..Self::new(405, "invalid_request", "method", message) }
    }

    pub(in crate::origin) fn too_large(limit: usize) -> Self {
        let message = format!("The body is longer than {limit} bytes");
        Self::new(413, "invalid_request", "body_too_large", message)
    }

    pub(in crate::origin) fn encoded() -> Self {
        let message = "Bodies with a Content-Encoding are not read";
        Self::new(415, "invalid_request", "encoded_body", message)
    }

    pub(in crate::origin) fn timeout() -> Self {
        Self::new(408, "invalid_request", "body_timeout", "The body did not arrive in time")
    }

    /// The body. The command line reads `validationErrors`, which no schema has.
    pub(in crate::origin) fn body(&self, for_command_line: bool) -> String {
        let mut body = json!({"error": {"code": self.code, "message": self.message}});
        if !self.issues.is_empty() {
            let mut issues: Map<String, Value> = Map::new();
            for (path, message) in &self.issues {
                let messages = issues.entry(path.as_str()).or_insert_with(|| json!([]));
                if let Value::Array(messages) = messages {
                    messages.push(json!(message));
                }
            }
            body["issues"] = Value::Object(issues);
            if for_command_line {
                let errors = self.issues.iter().map(|(path, message)| {
                    let path: Vec<_> = path.split('.').filter(|part| !part.is_empty()).collect();
                    json!({"path": path, "message": message})
                });
                body["validationErrors"] = errors.collect();
            }
        }
        body.to_string()
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound(message) => Self::not_found(message),
            StoreError::Invalid(issues) => Self::invalid(issues),
            StoreError::NotPossible(message) => {
                Self::new(400, "not_possible", "not_possible", message)
            }
            error if error.may_pass() => {
                // The thread that writes says which, once for all that waited.
                Self::new(
                    503,
                    "not_available",
                    "overloaded",
                    "The origin cannot take the call now: try again",
                )
            }
            error => {
                error!(%error, "a management call failed");
                Self::new(
                    500,
                    "unknown_error",
                    "internal",
                    "Something went wrong here; nothing was changed",
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    #[test]
    fn what_another_process_or_a_full_disk_keeps_from_being_done_may_be_done_later() {
        let status = |code| {
            let error = rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
            let refusal = Refusal::from(StoreError::Database(error));
            (refusal.status, refusal.code)
        };
        for code in [ffi::SQLITE_BUSY, ffi::SQLITE_LOCKED, ffi::SQLITE_FULL] {
            assert_eq!(status(code), (503, "not_available"));
        }
        assert_eq!(status(ffi::SQLITE_CORRUPT), (500, "unknown_error"));
    }
}
