//! Exchanges recorded from the vendor's Python proxy, replayed against the running binary:
//! `FLAGSMITH_HTTP_VECTORS`, else the copy under `tests/vectors/`.
//!
//! Where the recording is marked as a defect of the proxy, what the marking prefers counts, and
//! where it prefers nothing, what DESIGN section 4 decides.

#![allow(clippy::unwrap_used, clippy::panic, reason = "this is test code throughout")]

mod fake_upstream;
mod replay;

use std::path::Path;

use replay::{Answer, Recorded, Served, same};
use serde_json::Value;

fn vectors() -> Value {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/flagsmith-http.json");
    let path = std::env::var_os("FLAGSMITH_HTTP_VECTORS").map_or(own, Into::into);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// Recordings that are decided otherwise here (DESIGN section 4), and how to see that nothing else
/// differs.
const DECIDED: [(&str, Otherwise); 12] = [
    ("d032-flags-all", Otherwise::Segments),
    ("d038-flags-all", Otherwise::Segments),
    ("d050-flags-all-server", Otherwise::Segments),
    ("d053-flags-all-server", Otherwise::Segments),
    ("d069-flags-segments-without-identity", Otherwise::Segments),
    ("d106-jsonpath", Otherwise::ServerKey),
    ("d107-jsonpath-trait-shadowing", Otherwise::ServerKey),
    ("d085-identity-basic", Otherwise::Same),
    ("d162-quirk-numeric-identifier", Otherwise::Value("n1", "\"for--0\"")),
    ("d163-quirk-numeric-identifier", Otherwise::Value("n1", "\"for-00.5\"")),
    ("d164-quirk-override-grouping", Otherwise::Value("c2", "true")),
    ("d165-quirk-override-grouping", Otherwise::Value("c1", "-1")),
];

/// How a recording is reached, or what is answered in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Otherwise {
    /// With `segments_without_identity`, which is off by default.
    Segments,
    /// With the server key: traits that read as paths count from nobody else.
    ServerKey,
    /// Marked, and answered as recorded all the same.
    Same,
    /// This feature has this value, whose JSON this is.
    Value(&'static str, &'static str),
}

fn serve(vectors: &Value, settings: &'static str) -> Served {
    let environments = vectors["environments"].as_object().unwrap().iter();
    let recorded = environments.map(|(name, environment)| Recorded {
        name: name.clone(),
        client_keys: vec![text(&environment["client_side_key"])],
        server_keys: vec![text(&environment["server_side_key"])],
        document: environment["document"].to_string().into_bytes(),
        settings,
    });
    Served::start(&recorded.collect::<Vec<_>>())
}

/// Sends a recorded request, with another key if there is one.
fn ask(served: &Served, request: &Value, key: Option<&str>) -> Answer {
    let fields = request["headers"].as_object().unwrap().iter().map(|(name, value)| {
        let is_key = name.eq_ignore_ascii_case("x-environment-key");
        (name.clone(), key.filter(|_| is_key).map_or_else(|| text(value), str::to_owned))
    });
    let body = match (request.get("body"), request.get("body_text")) {
        (Some(body), _) if !body.is_null() => Some(body.to_string()),
        (_, Some(text)) if !text.is_null() => Some(text.as_str().unwrap().to_owned()),
        _ => None,
    };
    let (method, target) = (text(&request["method"]), text(&request["path"]));
    served.ask(&method, &target, &fields.collect::<Vec<_>>(), body.as_deref().map(str::as_bytes))
}

#[test]
fn recorded_exchanges_are_answered_as_recorded() {
    let vectors = vectors();
    let served = serve(&vectors, "");
    let with_segments =
        serve(&vectors, "[environments.flagsmith]\nsegments_without_identity = true\n");
    let all = vectors["vectors"].as_array().unwrap();
    let mut wrong = Vec::new();
    for vector in all {
        let (id, request) = (vector["id"].as_str().unwrap(), &vector["request"]);
        let decided = DECIDED.iter().find(|(decided, _)| *decided == id).map(|(_, how)| *how);
        let answer = ask(&served, request, None);
        let judged = match decided {
            None => compare(vector, &answer),
            Some(Otherwise::Same) => exact(vector, &answer),
            Some(Otherwise::Value(feature, value)) => {
                let flags = answer.json()["flags"].as_array().cloned().unwrap_or_default();
                let flag = flags.iter().find(|flag| flag["feature"]["name"] == feature).cloned();
                let found = flag.unwrap_or_default()["feature_state_value"].to_string();
                if found == value { Ok(()) } else { Err(format!("{feature} is {found}")) }
            }
            Some(Otherwise::Segments) => differs(vector, &answer)
                .and_then(|()| exact(vector, &ask(&with_segments, request, None))),
            Some(Otherwise::ServerKey) => {
                let environment = text(&vector["environment"]);
                let key = text(&vectors["environments"][environment]["server_side_key"]);
                differs(vector, &answer)
                    .and_then(|()| exact(vector, &ask(&served, request, Some(&key))))
            }
        };
        if let Err(what) = judged {
            wrong.push(format!("{id}: {what}"));
        }
    }
    println!(
        "{} of {} exchanges as recorded, {} of them by another setting or value",
        all.len() - wrong.len(),
        all.len(),
        DECIDED.len()
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn compare(vector: &Value, answer: &Answer) -> Result<(), String> {
    let recorded = u16::try_from(vector["response"]["status"].as_u64().unwrap()).unwrap();
    let preferred = vector["preferred"]["status"].as_u64().map(|s| u16::try_from(s).unwrap());
    let is_quirk = vector["compare"] == "quirk";
    let status = match (is_quirk, preferred) {
        (true, Some(preferred)) => preferred,
        // Numbers beyond 64 bits: the marking leaves the choice, and they are echoed here.
        (true, None) if recorded == 500 => 200,
        // A preflight has no body.
        _ if vector["category"] == "cors-preflight" => 204,
        _ => recorded,
    };
    if answer.status != status && !(status == 422 && answer.status == 400) {
        let body = String::from_utf8_lossy(&answer.body);
        return Err(format!("expected {status}, got {} {body}", answer.status));
    }
    match vector["compare"].as_str().unwrap() {
        "exact" if status != 401 => exact(vector, answer),
        "cors" => {
            let leave = answer.head.to_ascii_lowercase().contains("access-control-allow-origin:");
            if leave { Ok(()) } else { Err(format!("no leave for the page: {}", answer.head)) }
        }
        _ => Ok(()),
    }
}

fn exact(vector: &Value, answer: &Answer) -> Result<(), String> {
    let (expected, got) = (body_of(&vector["response"]), normal(answer.json()));
    if same(&expected, &got) { Ok(()) } else { Err(format!("expected {expected}, got {got}")) }
}

/// What is decided otherwise must be seen.
fn differs(vector: &Value, answer: &Answer) -> Result<(), String> {
    match exact(vector, answer) {
        Ok(()) => Err("answered as recorded, against the decision".to_owned()),
        Err(_) => Ok(()),
    }
}

fn body_of(response: &Value) -> Value {
    sorted(response.get("body").cloned().unwrap_or(Value::Null))
}

/// An answer without what the recorded proxy does not say: the variant.
fn normal(mut body: Value) -> Value {
    if let Some(flags) = body.get_mut("flags").and_then(Value::as_array_mut) {
        for flag in flags {
            if let Some(flag) = flag.as_object_mut() {
                flag.remove("variant");
            }
        }
    }
    sorted(body)
}

/// Flags may come in any order.
fn sorted(mut body: Value) -> Value {
    let name = |flag: &Value| flag["feature"]["name"].to_string();
    let flags = match &mut body {
        Value::Array(flags) => Some(flags),
        Value::Object(members) => members.get_mut("flags").and_then(Value::as_array_mut),
        _ => None,
    };
    if let Some(flags) = flags {
        flags.sort_by_key(name);
    }
    body
}
