//! What sources behind HTTP have in common: how a request may fail, what its status means, when to
//! come again, how old the rules are, and which redirects are followed.

use std::time::Duration;

use bytes::Bytes;
use hyper::header::{AGE, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use hyper::{Method, Request, StatusCode, Uri};

use super::{MAX_DOCUMENT, link};
use crate::model::{Confirmed, Failure, FailureKind};
use crate::time::Timestamp;
use crate::upstream::{self, Answer, Bounds, Client, Phase, SendError};

/// Sent by every edge like this one, with an age beside it when it knows one.
const BURGEE_VERSION: HeaderName = HeaderName::from_static("burgee-version");

/// More than any service needs that was moved to another path.
const MAX_REDIRECTS: usize = 5;

/// An answer, and where it came from.
pub(super) struct Page {
    pub(super) answer: Answer,
    /// What was asked for, or where the last redirect led.
    pub(super) url: Uri,
}

/// Sends a request and gives its whole answer, whatever its status. Follows redirects, but nowhere
/// that the request's key must not go: only to the same scheme, host and port.
pub(super) async fn send(
    client: &Client,
    request: Request<Bytes>,
    timeout: Duration,
    now: Timestamp,
) -> Result<Page, Failure> {
    send_within(client, request, Bounds { timeout, body: MAX_DOCUMENT as usize }, now).await
}

/// The same, with a bound of its own on the answer.
pub(super) async fn send_within(
    client: &Client,
    request: Request<Bytes>,
    bounds: Bounds,
    now: Timestamp,
) -> Result<Page, Failure> {
    let asked = request.uri().path().to_owned();
    let following = tokio::time::timeout(bounds.timeout, follow(client, request, bounds, now));
    // One that sends us on and on gets no more time than one that hesitates.
    following.await.unwrap_or_else(|_| {
        let late = SendError::Timeout { phase: Phase::Head, after: bounds.timeout };
        Err(failure(&late, &format!("GET {asked}"), now))
    })
}

async fn follow(
    client: &Client,
    mut request: Request<Bytes>,
    bounds: Bounds,
    now: Timestamp,
) -> Result<Page, Failure> {
    let mut redirects = 0;
    loop {
        let url = request.uri().clone();
        let sent = client.send(request.clone(), bounds).await;
        let answer = sent.map_err(|error| failure(&error, &format!("GET {}", url.path()), now))?;
        let Some(location) = redirect(request.method(), &answer) else {
            return Ok(Page { answer, url });
        };
        let refused = |why: &str| {
            let message = format!("{} answered {}: {why}", without_query(&url), answer.status);
            Failure::new(FailureKind::Malformed, message, now)
        };
        if redirects == MAX_REDIRECTS {
            return Err(refused(&format!("it leads to more than {MAX_REDIRECTS} redirects")));
        }
        redirects += 1;
        let target = location.to_str().ok().and_then(|target| link::resolve(&url, target));
        let target = target.and_then(|target| at_same_origin(&url, &target));
        *request.uri_mut() = target.ok_or_else(|| {
            refused(
                "redirects are followed to the same scheme, host and port only, since the key \
                 would travel along",
            )
        })?;
    }
}

/// Where this answer redirects to, if it does.
fn redirect<'a>(method: &Method, answer: &'a Answer) -> Option<&'a HeaderValue> {
    let is_one = matches!(answer.status.as_u16(), 301 | 302 | 303 | 307 | 308);
    answer.headers.get(LOCATION).filter(|_| is_one && method == Method::GET)
}

fn at_same_origin(page: &Uri, path_and_query: &str) -> Option<Uri> {
    let mut parts = page.clone().into_parts();
    parts.path_and_query = Some(path_and_query.parse().ok()?);
    Uri::from_parts(parts).ok()
}

/// A URL as it may be printed: keys may stand in queries.
fn without_query(url: &Uri) -> String {
    url.to_string().split('?').next().unwrap_or_default().to_owned()
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
