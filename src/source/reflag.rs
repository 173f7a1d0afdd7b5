//! Rules from Reflag's service, or from another edge that speaks its protocol
//! (reflag-runtime.md sections 1, 4, 5).
//!
//! Asks for the definitions with the secret key and, where publishable keys are served, for the
//! list of flags that a publishable key may see, since definitions do not tell. Never sends the
//! secret key anywhere else, and never follows a redirect.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{
    AGE, AUTHORIZATION, ETAG, HeaderMap, HeaderName, HeaderValue, IF_NONE_MATCH, LOCATION,
    RETRY_AFTER,
};
use hyper::{Request, StatusCode};
use serde::Deserialize;
use serde::de::IgnoredAny;
use sha2::{Digest, Sha256};

use super::{Look, MAX_DOCUMENT, Sight, Source};
use crate::config::Key;
use crate::dialect::reflag::definitions;
use crate::model::{Confirmed, Failure, FailureKind, Ruleset, Update};
use crate::time::Timestamp;
use crate::upstream::{self, Answer, Bounds, Client};

/// Learning must not hold up a change of rules for longer than this.
const LEARNING_TIMEOUT: Duration = Duration::from_secs(2);
/// A request that asks the upstream to wait may take so much longer: edges hold it for 9 s.
const HOLD: Duration = Duration::from_secs(10);
/// Sent by every edge like this one, with an age beside it when it knows one.
const BURGEE_VERSION: HeaderName = HeaderName::from_static("burgee-version");

/// Where the rules are and what opens the door.
#[derive(Debug)]
pub struct ReflagUpstream {
    /// Without a slash at its end.
    pub url: String,
    /// For definitions.
    pub secret_key: Key,
    /// For learning which flags are public; none where nobody needs to know.
    pub learning_key: Option<Key>,
    /// For one whole answer.
    pub timeout: Duration,
}

/// A Reflag environment behind a URL.
#[derive(Debug)]
pub struct ReflagSource {
    client: Client,
    upstream: ReflagUpstream,
    held: Option<Held>,
}

/// The last document that could be read.
#[derive(Debug)]
struct Held {
    etag: Option<HeaderValue>,
    hash: [u8; 32],
    /// Its public flags are those that were learned for this very document. Which were known before
    /// is for the publisher to remember: it knows which document is served.
    ruleset: Ruleset,
}

/// What a request for definitions brought.
enum Definitions {
    /// What was held already.
    Same,
    /// Another document.
    New(Box<Held>),
}

impl ReflagSource {
    /// Asks through `client`; nothing is sent yet.
    pub fn new(client: Client, upstream: ReflagUpstream) -> Self {
        Self { client, upstream, held: None }
    }

    /// Asks for the definitions.
    async fn definitions(&self, look: Look) -> Result<(Definitions, Confirmed), Failure> {
        let mut url = format!("{}/features", self.upstream.url);
        let mut timeout = self.upstream.timeout;
        // Always for the very next state. What clients wait for counts our versions, which may be
        // ahead of the upstream's; and one who waits for a distant one must not keep those in
        // between from everybody else.
        if let (true, Some(held)) = (look.awaited, &self.held) {
            let next = held.ruleset.source_version.map_or(0, |version| version + 1);
            let _ = write!(url, "?waitForVersion={next}");
            timeout += HOLD;
        }
        let mut request = self.request(&url, &self.upstream.secret_key, look.now)?;
        if let Some(etag) = self.held.as_ref().and_then(|held| held.etag.clone()) {
            request.headers_mut().insert(IF_NONE_MATCH, etag);
        }
        let conditional = request.headers().contains_key(IF_NONE_MATCH);
        let answer = self.send(request, timeout, look.now).await?;
        let confirmed = confirmed(&answer.headers, look.now);
        if answer.status == StatusCode::NOT_MODIFIED && conditional {
            return Ok((Definitions::Same, confirmed));
        }
        self.expect_ok(&answer, "/features", look.now)?;
        let etag = answer.headers.get(ETAG).cloned();
        let known = self.held.as_ref().map(|held| held.hash);
        // Reading a large document takes a while, and other sources share this thread.
        let read = tokio::task::spawn_blocking(move || read(&answer.body, etag, known)).await;
        let read = read.unwrap_or_else(|_| Err("reading the document failed".to_owned()));
        let malformed = |error| {
            let message = format!("{}/features: {error}", self.upstream.url);
            Failure::new(FailureKind::Malformed, message, look.now)
        };
        Ok((read.map_err(malformed)?, confirmed))
    }

    /// Asks which flags a publishable key is shown. The answer must be of the definitions' version
    /// or a later one: an earlier one may list a flag that has become secret since.
    async fn learn(
        &self,
        key: &Key,
        version: Option<u64>,
        now: Timestamp,
    ) -> Result<HashSet<Box<str>>, Failure> {
        let path = "/features/evaluated";
        let request = self.request(&format!("{}{path}", self.upstream.url), key, now)?;
        let timeout = self.upstream.timeout.min(LEARNING_TIMEOUT);
        let answer = self.send(request, timeout, now).await?;
        self.expect_ok(&answer, path, now)?;
        let malformed = |what: String| {
            let message = format!("{}{path}: {what}", self.upstream.url);
            Failure::new(FailureKind::Malformed, message, now)
        };
        let listed: Listed = serde_json::from_slice(&answer.body)
            .map_err(|error| malformed(format!("the answer lists no flags: {}", place(&error))))?;
        if !listed.success {
            return Err(malformed("`success` is not true".to_owned()));
        }
        if listed.version < version {
            let number =
                |version: Option<u64>| version.map_or("no version".into(), |v| v.to_string());
            return Err(malformed(format!(
                "it lists the flags of {}, older than the definitions' {}",
                number(listed.version),
                number(version),
            )));
        }
        Ok(listed.features.into_keys().collect())
    }

    /// Learns if that is needed. True when something was learned.
    async fn keep_learned(&mut self, now: Timestamp) -> Result<bool, Failure> {
        let (Some(key), Some(held)) = (&self.upstream.learning_key, &self.held) else {
            return Ok(false);
        };
        if held.ruleset.public.is_some() {
            return Ok(false);
        }
        let learned = self.learn(key, held.ruleset.source_version, now).await;
        let public = learned.map_err(|failure| Failure {
            // Only the definitions' key decides whether we may serve.
            kind: match failure.kind {
                FailureKind::Unauthorized => FailureKind::Status4xx,
                kind => kind,
            },
            message: format!("learning which flags are public: {}", failure.message),
            ..failure
        })?;
        if let Some(Held { ruleset, .. }) = &mut self.held {
            // A flag that is not here yet may be another one when it comes.
            let defined = ruleset.keys();
            let public = public.into_iter().filter(|key| defined.contains(&**key)).collect();
            ruleset.public = Some(Arc::new(public));
        }
        Ok(true)
    }

    fn request(&self, url: &str, key: &Key, now: Timestamp) -> Result<Request<Bytes>, Failure> {
        let unusable = |what: &str| {
            let message = format!("{}: {what}", self.upstream.url);
            Failure::new(FailureKind::Network, message, now)
        };
        let mut bearer = HeaderValue::try_from(format!("Bearer {}", key.expose()))
            .map_err(|_| unusable("the key cannot be sent in a header"))?;
        bearer.set_sensitive(true);
        Request::get(url)
            .header(AUTHORIZATION, bearer)
            .body(Bytes::new())
            .map_err(|_| unusable("this is no URL"))
    }

    async fn send(
        &self,
        request: Request<Bytes>,
        timeout: Duration,
        now: Timestamp,
    ) -> Result<Answer, Failure> {
        let path = request.uri().path().to_owned();
        let bounds = Bounds { timeout, body: MAX_DOCUMENT as usize };
        self.client.send(request, bounds).await.map_err(|error| {
            let kind = match error.kind() {
                upstream::FailureKind::Timeout => FailureKind::Timeout,
                upstream::FailureKind::Network => FailureKind::Network,
                upstream::FailureKind::Malformed => FailureKind::Malformed,
            };
            Failure::new(kind, format!("GET {path}: {error}"), now)
        })
    }

    /// What a status means that is not 200.
    fn expect_ok(&self, answer: &Answer, path: &str, now: Timestamp) -> Result<(), Failure> {
        let status = answer.status;
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
            300..=399 if answer.headers.contains_key(LOCATION) => {
                ": redirects are not followed, since the key would travel along"
            }
            _ => "",
        };
        let message = format!("{}{path} answered {status}{hint}", self.upstream.url);
        let retry_after = retry_after(&answer.headers, now);
        Err(Failure { kind, message, at: now, retry_after })
    }
}

impl Source for ReflagSource {
    async fn look(&mut self, look: Look) -> Sight {
        let (definitions, confirmed) = match self.definitions(look).await {
            Ok(seen) => seen,
            Err(failure) => return Update::Unavailable(failure).into(),
        };
        let mut changed = false;
        if let Definitions::New(held) = definitions {
            self.held = Some(*held);
            changed = true;
        }
        let learned = self.keep_learned(look.now).await;
        changed |= matches!(learned, Ok(true));
        let update = match &self.held {
            Some(held) if changed => Update::Replace(held.ruleset.clone(), confirmed),
            _ => Update::Unchanged(confirmed),
        };
        Sight { update, trouble: learned.err() }
    }
}

/// Reads a document, unless it is the one with the hash that is known.
fn read(
    document: &Bytes,
    etag: Option<HeaderValue>,
    known: Option<[u8; 32]>,
) -> Result<Definitions, String> {
    let hash: [u8; 32] = Sha256::digest(document).into();
    if known == Some(hash) {
        return Ok(Definitions::Same);
    }
    let ruleset = definitions::read_answer(document).map_err(|error| error.to_string())?;
    Ok(Definitions::New(Box::new(Held { etag, hash, ruleset })))
}

/// What is wrong with a text, without any of its own words: those may be anything.
fn place(error: &serde_json::Error) -> String {
    let (line, column) = (error.line(), error.column());
    let what = if error.is_data() { "it is another document" } else { "it is no JSON" };
    format!("{what} (line {line}, column {column})")
}

/// An evaluated answer, of which only the names count.
#[derive(Deserialize)]
struct Listed {
    success: bool,
    #[serde(rename = "flagStateVersion")]
    version: Option<u64>,
    #[expect(clippy::zero_sized_map_values, reason = "it is a map on the wire")]
    features: BTreeMap<Box<str>, IgnoredAny>,
}

/// When the rules were confirmed: an edge or a cache on the way says how long ago that was.
fn confirmed(headers: &HeaderMap, now: Timestamp) -> Confirmed {
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
