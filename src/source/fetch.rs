//! What sources behind HTTP have in common: how a request may fail, what its status means, when to
//! come again, and how old the rules are.

use std::time::Duration;

use bytes::Bytes;
use hyper::header::{AGE, HeaderMap, HeaderName, LOCATION, RETRY_AFTER};
use hyper::{Request, StatusCode};

use super::MAX_DOCUMENT;
use crate::model::{Confirmed, Failure, FailureKind};
use crate::time::Timestamp;
use crate::upstream::{self, Answer, Bounds, Client, SendError};

/// Sent by every edge like this one, with an age beside it when it knows one.
const BURGEE_VERSION: HeaderName = HeaderName::from_static("burgee-version");

/// Sends a request and gives its whole answer, whatever its status.
pub(super) async fn send(
    client: &Client,
    request: Request<Bytes>,
    timeout: Duration,
    now: Timestamp,
) -> Result<Answer, Failure> {
    send_within(client, request, Bounds { timeout, body: MAX_DOCUMENT as usize }, now).await
}

/// The same, with a bound of its own on the answer.
pub(super) async fn send_within(
    client: &Client,
    request: Request<Bytes>,
    bounds: Bounds,
    now: Timestamp,
) -> Result<Answer, Failure> {
    let path = request.uri().path().to_owned();
    let sent = client.send(request, bounds).await;
    sent.map_err(|error| failure(&error, &format!("GET {path}"), now))
}

/// What went wrong with a request. `what` has no key in it.
pub(super) fn failure(error: &SendError, what: &str, now: Timestamp) -> Failure {
    let kind = match error.kind() {
        upstream::FailureKind::Timeout => FailureKind::Timeout,
        upstream::FailureKind::Network => FailureKind::Network,
        upstream::FailureKind::Malformed => FailureKind::Malformed,
    };
    Failure::new(kind, format!("{what}: {error}"), now)
}

/// What a status means that is not 200. `url` has no key in it.
pub(super) fn expect_ok(answer: &Answer, url: &str, now: Timestamp) -> Result<(), Failure> {
    expect_ok_of(answer.status, &answer.headers, url, now)
}

/// The same of an answer whose body has not come.
pub(super) fn expect_ok_of(
    status: StatusCode,
    headers: &HeaderMap,
    url: &str,
    now: Timestamp,
) -> Result<(), Failure> {
    if status == StatusCode::OK {
        return Ok(());
    }
    let kind = match status.as_u16() {
        401 | 403 => FailureKind::Unauthorized,
        400..=499 => FailureKind::Status4xx,
        500..=599 => FailureKind::Status5xx,
        _ => FailureKind::Malformed,
    };
    let hint = match status.as_u16() {
        401 | 403 => ": it refuses the key",
        404 => ": is the URL right?",
        300..=399 if headers.contains_key(LOCATION) => {
            ": redirects are not followed, since the key would travel along"
        }
        _ => "",
    };
    let message = format!("{url} answered {status}{hint}");
    Err(Failure { kind, message, at: now, retry_after: retry_after(headers, now) })
}

/// When the rules were confirmed: an edge or a cache on the way says how long ago that was.
pub(super) fn confirmed(headers: &HeaderMap, now: Timestamp) -> Confirmed {
    let age = headers.get(AGE).and_then(|age| age.to_str().ok()?.trim().parse::<u32>().ok());
    match age {
        Some(seconds) => Confirmed::At(Timestamp(now.0 - i64::from(seconds) * 1_000)),
        None if headers.contains_key(BURGEE_VERSION) => Confirmed::Unknown,
        None => Confirmed::At(now),
    }
}

/// How long we are asked to stay away: seconds, or a moment (RFC 9110, 10.2.3).
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let moment = Timestamp::from(httpdate::parse_http_date(value).ok()?);
    Some(Duration::from_millis(u64::try_from(moment.since(now)).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let field = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        fields.iter().map(field).collect()
    }

    #[test]
    fn an_edge_upstream_says_how_old_its_rules_are() {
        let now = Timestamp(100_000);
        assert_eq!(confirmed(&headers(&[]), now), Confirmed::At(now));
        let aged = headers(&[("age", "40"), ("burgee-version", "7")]);
        assert_eq!(confirmed(&aged, now), Confirmed::At(Timestamp(60_000)));
        let unknown = headers(&[("burgee-version", "7")]);
        assert_eq!(confirmed(&unknown, now), Confirmed::Unknown);
    }

    #[test]
    fn a_wish_to_be_left_alone_comes_in_two_forms() {
        let now = Timestamp::parse("2026-06-01T12:00:00Z").unwrap();
        let rest = |value| retry_after(&headers(&[("retry-after", value)]), now);
        assert_eq!(rest("120"), Some(Duration::from_secs(120)));
        assert_eq!(rest("Mon, 01 Jun 2026 12:00:30 GMT"), Some(Duration::from_secs(30)));
        assert_eq!(rest("Mon, 01 Jun 2026 11:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(rest("soon"), None);
    }
}
