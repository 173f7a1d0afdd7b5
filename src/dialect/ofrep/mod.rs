//! `OpenFeature` Remote Evaluation Protocol. So far only its refusals: the paths below `/ofrep/v1/`
//! are its own.

use serde_json::json;

use super::Rejection;

/// Status and body of a refusal (DESIGN section 3, ofrep.md section 4).
pub fn reject(rejection: &Rejection) -> (u16, String) {
    let code = match rejection {
        Rejection::Invalid(_) => "INVALID_CONTEXT",
        _ => "GENERAL",
    };
    let body = json!({"errorCode": code, "errorDetails": rejection.message(), "metadata": {}});
    (rejection.status(), body.to_string())
}
