//! Which web pages may read answers (DESIGN section 3).

use hyper::Method;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderValue, ORIGIN,
    VARY,
};

use crate::snapshot::{Cors, EXPOSED, Environments};

const ANY: HeaderValue = HeaderValue::from_static("*");
const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, OPTIONS");
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");
const BY_ORIGIN: HeaderValue = HeaderValue::from_static("Origin");
const BY_PREFLIGHT: HeaderValue = HeaderValue::from_static(
    "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
);

/// Leave for pages of one origin to read an answer.
#[derive(Clone, Copy, Debug)]
pub struct Leave<'a> {
    /// Whose pages.
    pub origin: &'a [u8],
    /// Whether cookies and the like may go with the request.
    pub with_credentials: bool,
}

/// Whether a browser asks what it may ask.
pub fn is_preflight_of(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::OPTIONS && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// The head of the answer to a preflight, which carries no key: any environment's leave will do.
pub fn preflight(request: &HeaderMap, environments: &Environments) -> HeaderMap {
    preflight_by(request, |origin, head| allow(origin, environments, head))
}

/// The same where all pages may read all answers to publishable keys.
pub fn preflight_of_all(request: &HeaderMap) -> HeaderMap {
    preflight_by(request, |_, head| {
        head.insert(ACCESS_CONTROL_ALLOW_ORIGIN, ANY);
        true
    })
}

fn preflight_by(
    request: &HeaderMap,
    allow: impl FnOnce(&[u8], &mut HeaderMap) -> bool,
) -> HeaderMap {
    let mut head = HeaderMap::new();
    head.insert(VARY, BY_PREFLIGHT);
    let Some(origin) = request.get(ORIGIN) else { return head };
    if !allow(origin.as_bytes(), &mut head) {
        return head;
    }
    head.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    head.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    if let Some(asked) = request.get(ACCESS_CONTROL_REQUEST_HEADERS) {
        head.insert(ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
    }
    head
}

/// Lets pages read a refusal that belongs to no environment: without this a browser hides even
/// the status.
pub fn refusal(origin: Option<&[u8]>, environments: &Environments, head: &mut HeaderMap) {
    let Some(origin) = origin else { return };
    head.insert(VARY, BY_ORIGIN);
    if allow(origin, environments, head) {
        head.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    }
}

/// The leave for a page to read an environment's answer to a publishable key; none where all pages
/// may, which prepared heads say already.
#[inline]
pub fn leave<'a>(cors: &Cors, origin: Option<&'a [u8]>) -> Option<Leave<'a>> {
    let (Cors::Listed { credentials, .. }, Some(origin)) = (cors, origin) else { return None };
    cors.allows(origin).then_some(Leave { origin, with_credentials: *credentials })
}

/// Adds an environment's leave to an answer to a publishable key whose head was not prepared.
pub fn add(cors: &Cors, origin: Option<&[u8]>, head: &mut HeaderMap) {
    if *cors != Cors::Any {
        head.insert(VARY, BY_ORIGIN);
    }
    if origin.is_none() {
        return;
    }
    head.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    if *cors == Cors::Any {
        head.insert(ACCESS_CONTROL_ALLOW_ORIGIN, ANY);
    }
    if let Some(leave) = leave(cors, origin) {
        give(leave, head);
    }
}

fn give(leave: Leave<'_>, head: &mut HeaderMap) {
    // It was the value of a field.
    let Ok(origin) = HeaderValue::from_bytes(leave.origin) else { return };
    head.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    if leave.with_credentials {
        head.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
}

/// Adds the leave of the most generous environment; false when none gives it.
fn allow(origin: &[u8], environments: &Environments, head: &mut HeaderMap) -> bool {
    let all = || environments.iter().map(|environment| &environment.profile.cors);
    let listing = |with_credentials: bool| {
        all().any(|cors| {
            matches!(cors, Cors::Listed { credentials, .. } if *credentials == with_credentials)
                && cors.allows(origin)
        })
    };
    if listing(true) {
        give(Leave { origin, with_credentials: true }, head);
    } else if all().any(|cors| *cors == Cors::Any) {
        head.insert(ACCESS_CONTROL_ALLOW_ORIGIN, ANY);
    } else if listing(false) {
        give(Leave { origin, with_credentials: false }, head);
    } else {
        return false;
    }
    true
}
