//! Flagsmith SDK API. So far its documents and its refusals: the paths below `/api/v1/` are its own.

pub mod document;

use serde_json::json;

use super::{Forbidden, Rejection};

/// Status and body of a refusal (DESIGN section 3, flagsmith.md section 4).
pub fn reject(rejection: &Rejection) -> (u16, String) {
    let message = rejection.message();
    match rejection {
        Rejection::UnknownKey => {
            (401, json!({"status": "unauthorized", "message": "unknown key"}).to_string())
        }
        Rejection::Forbidden(Forbidden::SecretRequired | Forbidden::SecretInUrl) => {
            (401, json!({"status": "unauthorized", "message": message}).to_string())
        }
        Rejection::NotReady => {
            let message = "Environment not loaded";
            (503, json!({"status": "service_unavailable", "message": message}).to_string())
        }
        other => {
            let body = json!({"status": status_word(other), "message": message});
            (other.status(), body.to_string())
        }
    }
}

fn status_word(rejection: &Rejection) -> &'static str {
    match rejection.status() {
        404 => "not_found",
        405 => "method_not_allowed",
        408 => "request_timeout",
        413 | 414 | 431 => "too_large",
        415 => "unsupported_media_type",
        500 => "internal_error",
        503 => "service_unavailable",
        _ => "bad_request",
    }
}
