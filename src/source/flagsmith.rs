//! Rules from Flagsmith's service, or from another edge that speaks its protocol
//! (flagsmith.md sections 3.5, 13).
//!
//! Asks for the environment document with the server key, conditionally where that is safe, and
//! follows its pages. A document is handed on only when its last page is in. Never follows a page
//! to another host, since the key would travel along.
//!
//! An environment that was discovered may have several keys, and gets others while it is followed
//! ([`ServerKeys`]): one that is refused or whose time is over makes way for the next one.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hyper::Request;
use hyper::StatusCode;
use hyper::header::{ETAG, HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, LINK};
use sha2::{Digest, Sha256};

use super::{Look, MAX_DOCUMENT, Sight, Source, fetch};
use crate::config::{BaseUrl, Key};
use crate::dialect::flagsmith::document;
use crate::dialect::flagsmith::listing::ServerSideKey;
use crate::model::flagsmith::Environment;
use crate::model::{Confirmed, Failure, FailureKind, Rules, Update};
use crate::time::Timestamp;
use crate::upstream::{Answer, Client};

/// `x-environment-key`
const ENVIRONMENT_KEY: HeaderName = HeaderName::from_static("x-environment-key");
/// `x-proxy-key`
pub(super) const PROXY_KEY: HeaderName = HeaderName::from_static("x-proxy-key");
/// The vendor compares whole seconds, so a change within the second of another may hide behind 304.
const SAFE_AGE_MILLIS: i64 = 2_000;
/// However sure the vendor is that nothing changed, the document is asked for as a whole again
/// after this long: deletions of overrides were seen to change no date.
const REFRESH_MILLIS: i64 = 5 * 60 * 1_000;
/// More pages than any environment has.
const MAX_PAGES: usize = 10_000;

/// Where the rules are and what opens the door.
#[derive(Debug)]
pub struct FlagsmithUpstream {
    /// What precedes `/environment-document/`.
    pub url: BaseUrl,
    /// The server keys.
    pub server_keys: ServerKeys,
    /// Sent beside them, where the environment was discovered with it.
    pub proxy_key: Option<Key>,
    /// For one whole answer.
    pub timeout: Duration,
}

/// Keys that open one environment's document, shared with whoever learns of others.
#[derive(Clone, Debug)]
pub struct ServerKeys(Arc<Mutex<Vec<ServerSideKey>>>);

impl ServerKeys {
    /// One that holds for good.
    pub fn only(key: Key) -> Self {
        Self::of(vec![ServerSideKey { key, active: true, expires_at: None }])
    }

    /// These, the first ones first.
    pub fn of(keys: Vec<ServerSideKey>) -> Self {
        Self(Arc::new(Mutex::new(keys)))
    }

    /// From the next look on, these.
    pub fn replace(&self, keys: Vec<ServerSideKey>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = keys;
    }

    fn valid(&self, now: Timestamp) -> Vec<Key> {
        let keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        keys.iter().filter(|key| key.is_valid(now)).map(|key| key.key.clone()).collect()
    }
}

/// A Flagsmith environment behind a URL.
#[derive(Debug)]
pub struct FlagsmithSource {
    client: Client,
    upstream: FlagsmithUpstream,
    held: Option<Held>,
    /// Keys that the upstream does not take, while there are others to be tried.
    refused: Vec<Key>,
}

/// The last document that could be read.
#[derive(Debug)]
struct Held {
    hash: [u8; 32],
    etag: Option<HeaderValue>,
    /// When the vendor last changed it, if that is long enough ago to be asked about by the second.
    modified: Option<Timestamp>,
    /// When it was last fetched as a whole.
    fetched_at: Timestamp,
}

/// What a look brought.
enum Document {
    /// What was held already.
    Same,
    /// Another one.
    New(Box<Environment>, Held),
}

impl FlagsmithSource {
    /// Asks through `client`; nothing is sent yet.
    pub fn new(client: Client, upstream: FlagsmithUpstream) -> Self {
        Self { client, upstream, held: None, refused: Vec::new() }
    }

    fn url(&self) -> String {
        format!("{}/environment-document/", self.upstream.url)
    }

    /// The key to ask with: the first that is valid and was not refused. When all were, it starts
    /// anew.
    fn key(&mut self, now: Timestamp) -> Result<Key, Failure> {
        let valid = self.upstream.server_keys.valid(now);
        self.refused.retain(|key| valid.contains(key));
        if self.refused.len() == valid.len() {
            self.refused.clear();
        }
        valid.into_iter().find(|key| !self.refused.contains(key)).ok_or_else(|| {
            let what = format!("{}: no server key of the environment is valid", self.url());
            Failure::new(FailureKind::Unauthorized, what, now)
        })
    }

    /// A key that is refused says nothing yet while there are others.
    fn refuse(&mut self, key: Key, failure: Failure) -> Failure {
        self.refused.push(key);
        if self.refused.len() >= self.upstream.server_keys.valid(failure.at).len() {
            return failure;
        }
        let message = format!("{}; another server key is tried next", failure.message);
        Failure { kind: FailureKind::Status4xx, message, ..failure }
    }

    async fn document(&self, look: Look, key: &Key) -> Result<(Document, Confirmed), Failure> {
        let now = look.now;
        let mut request = self.request(&self.url(), key, now)?;
        let fresh = |held: &&Held| now.since(held.fetched_at) < REFRESH_MILLIS;
        let mut conditional = false;
        if let Some(held) = self.held.as_ref().filter(fresh) {
            // A tag is exact; where there is one the date must not be asked about beside it.
            if let Some(etag) = &held.etag {
                request.headers_mut().insert(IF_NONE_MATCH, etag.clone());
                conditional = true;
            } else if let Some(modified) = held.modified
                && let Ok(date) = HeaderValue::from_str(&httpdate::fmt_http_date(modified.into()))
            {
                request.headers_mut().insert(IF_MODIFIED_SINCE, date);
                conditional = true;
            }
        }
        let answer = fetch::send(&self.client, request, self.upstream.timeout, now).await?;
        let confirmed = fetch::confirmed(&answer.headers, now);
        if answer.status == StatusCode::NOT_MODIFIED && conditional {
            return Ok((Document::Same, confirmed));
        }
        fetch::expect_ok(&answer, &self.url(), now)?;
        let etag = answer.headers.get(ETAG).cloned();
        let pages = self.other_pages(&answer, key, now).await?;
        let known = self.held.as_ref().map(|held| held.hash);
        let read = tokio::task::spawn_blocking(move || read(&answer.body, &pages, known)).await;
        let read = read.unwrap_or_else(|_| Err("reading the document failed".to_owned()));
        let read = read.map_err(|error| self.malformed(&error, now))?;
        let Some((environment, hash)) = read else { return Ok((Document::Same, confirmed)) };
        let modified = environment.updated_at.map(|at| Timestamp(at.0.div_euclid(1_000)));
        let modified = modified.filter(|&at| now.since(at) >= SAFE_AGE_MILLIS);
        let held = Held { hash, etag, modified, fetched_at: now };
        Ok((Document::New(Box::new(environment), held), confirmed))
    }

    /// Follows `Link: <...>; rel="next"` to the end.
    async fn other_pages(
        &self,
        first: &Answer,
        key: &Key,
        now: Timestamp,
    ) -> Result<Vec<Bytes>, Failure> {
        let mut pages = Vec::new();
        let mut next = next_page(first);
        let mut bytes = first.body.len();
        while let Some(target) = next {
            let url = self.resolve(&target).ok_or_else(|| {
                self.malformed("the next page is on another host, where the key must not go", now)
            })?;
            let request = self.request(&url, key, now)?;
            let answer = fetch::send(&self.client, request, self.upstream.timeout, now).await?;
            fetch::expect_ok(&answer, &format!("{} (page {})", self.url(), pages.len() + 2), now)?;
            bytes = bytes.saturating_add(answer.body.len());
            if pages.len() >= MAX_PAGES || bytes > MAX_DOCUMENT as usize {
                return Err(self.malformed("its pages have no end", now));
            }
            next = next_page(&answer);
            pages.push(answer.body);
        }
        Ok(pages)
    }

    /// The URL of a page on the same host; none for another one.
    fn resolve(&self, target: &str) -> Option<String> {
        let origin = self.upstream.url.origin();
        if let Some(query) = target.strip_prefix('?') {
            return Some(format!("{}?{query}", self.url()));
        }
        if target.starts_with('/') && !target.starts_with("//") {
            return Some(format!("{origin}{target}"));
        }
        let rest = target.strip_prefix(&origin)?;
        rest.starts_with('/').then(|| target.to_owned())
    }

    fn request(&self, url: &str, key: &Key, now: Timestamp) -> Result<Request<Bytes>, Failure> {
        let unusable = |what: &str| {
            Failure::new(FailureKind::Network, format!("{}: {what}", self.upstream.url), now)
        };
        let sent = |key: &Key| {
            secret_value(key).ok_or_else(|| unusable("the key cannot be sent in a header"))
        };
        let mut request = Request::get(url).header(ENVIRONMENT_KEY, sent(key)?);
        if let Some(key) = &self.upstream.proxy_key {
            request = request.header(PROXY_KEY, sent(key)?);
        }
        request.body(Bytes::new()).map_err(|_| unusable("a page has no URL that can be asked"))
    }

    fn malformed(&self, what: &str, now: Timestamp) -> Failure {
        Failure::new(FailureKind::Malformed, format!("{}: {what}", self.url()), now)
    }
}

impl Source for FlagsmithSource {
    async fn look(&mut self, look: Look) -> Sight {
        let key = match self.key(look.now) {
            Ok(key) => key,
            Err(failure) => return Update::Unavailable(failure).into(),
        };
        match self.document(look, &key).await {
            Ok((Document::Same, confirmed)) => Update::Unchanged(confirmed).into(),
            Ok((Document::New(environment, held), confirmed)) => {
                self.held = Some(held);
                Update::Replace(Box::new(Rules::Flagsmith(*environment)), confirmed).into()
            }
            Err(failure) if failure.kind == FailureKind::Unauthorized => {
                Update::Unavailable(self.refuse(key, failure)).into()
            }
            Err(failure) => Update::Unavailable(failure).into(),
        }
    }
}

/// A key as the value of a header field that nobody prints.
pub(super) fn secret_value(key: &Key) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(key.expose()).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Reads a document with all its pages, unless it is the one with the hash that is known.
fn read(
    first: &Bytes,
    others: &[Bytes],
    known: Option<[u8; 32]>,
) -> Result<Option<(Environment, [u8; 32])>, String> {
    let whole = if others.is_empty() {
        first.clone()
    } else {
        document::join_pages(first, others).map_err(|error| error.to_string())?
    };
    let hash: [u8; 32] = Sha256::digest(&whole).into();
    if known == Some(hash) {
        return Ok(None);
    }
    let environment = document::read(&whole).map_err(|error| error.to_string())?;
    Ok(Some((environment, hash)))
}

/// The target of `Link` with `rel="next"` (RFC 8288).
fn next_page(answer: &Answer) -> Option<String> {
    let links = answer.headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok());
    links.flat_map(|value| value.split(',')).find_map(|link| {
        let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
        let is_next = parameters.split(';').any(|parameter| {
            let (name, value) = parameter.split_once('=').unwrap_or_default();
            name.trim().eq_ignore_ascii_case("rel") && value.trim().trim_matches('"') == "next"
        });
        is_next.then(|| target.to_owned())
    })
}
