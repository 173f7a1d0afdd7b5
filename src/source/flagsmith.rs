//! Rules from Flagsmith's service, or from another edge that speaks its protocol
//! (flagsmith.md sections 3.5, 13).
//!
//! Asks for the environment document with the server key, conditionally where that is safe, and
//! follows its pages. A document is handed on only when its last page is in. Follows neither a page
//! nor a redirect to another host, since the key would travel along.
//!
//! Follows the environment's event stream, which the document's own key opens: it is known once there
//! is a document, and another one opens another stream. Nothing else is sent there.
//!
//! An environment that was discovered may have several keys, and gets others while it is followed
//! ([`ServerKeys`]): one that is refused or whose time is over makes way for the next one.

use std::collections::HashSet;
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hyper::Request;
use hyper::StatusCode;
use hyper::header::{ETAG, HeaderMap, HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH};
use sha2::{Digest, Sha256};

use super::fetch::{self, Page};
use super::push::{self, Followed, Push};
use super::{Look, MAX_DOCUMENT, Sight, Source, link};
use crate::config::{BaseUrl, Key, is_for_servers};
use crate::dialect::flagsmith::document::{self, DocumentError};
use crate::dialect::flagsmith::listing::ServerSideKey;
use crate::model::flagsmith::{Environment, UpdatedAt};
use crate::model::{Confirmed, Failure, FailureKind, Rules, Update};
use crate::snapshot::SourceStream;
use crate::time::{Clock, Timestamp};
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
/// More pages than any document has that is short enough: the vendor's are about a megabyte each.
const MAX_PAGES: usize = 1_000;
/// All pages together may take so many times as long as one answer.
const ALL_PAGES: u32 = 30;

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
    /// What precedes `/sse/environments/KEY/stream`; none where no stream is followed.
    pub realtime_url: Option<BaseUrl>,
    /// How often the document is asked for.
    pub poll_interval: Duration,
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
    push: Push,
    /// Where to say how the stream is doing, once somebody follows this source.
    listening: Option<(Arc<SourceStream>, Clock)>,
    /// The document's own key, whose stream is followed.
    client_key: Option<Box<str>>,
}

/// The last document that could be read.
#[derive(Debug)]
struct Held {
    hash: [u8; 32],
    /// When the vendor last changed it.
    updated_at: Option<UpdatedAt>,
    /// None where there are further pages: a tag speaks of its own page only.
    etag: Option<HeaderValue>,
    /// When it was last fetched as a whole.
    fetched_at: Timestamp,
}

impl Held {
    /// The moment that may be asked about by the second: none while another change may hide behind
    /// it.
    fn modified(&self) -> Option<Timestamp> {
        let updated_at = Timestamp(self.updated_at?.0.div_euclid(1_000));
        (self.fetched_at.since(updated_at) >= SAFE_AGE_MILLIS).then_some(updated_at)
    }
}

/// What a look brought.
enum Document {
    /// The upstream says that nothing changed.
    NotModified,
    /// What was held already, fetched again.
    Same(Held),
    /// Another one.
    New(Box<Environment>, Held),
}

/// What the bytes of a document's pages are.
enum Pages {
    Same([u8; 32]),
    New(Box<Environment>, [u8; 32]),
    /// Of different states: it changed while they were fetched.
    Mixed,
}

impl FlagsmithSource {
    /// Asks through `client`; nothing is sent yet.
    pub fn new(client: Client, upstream: FlagsmithUpstream) -> Self {
        let push = Push::new(upstream.poll_interval);
        let (held, refused, listening, client_key) = (None, Vec::new(), None, None);
        Self { client, upstream, held, refused, push, listening, client_key }
    }

    /// Microseconds, as they are announced.
    fn held_moment(&self) -> Option<u64> {
        u64::try_from(self.held.as_ref()?.updated_at?.0).ok()
    }

    /// Follows the stream that a document's key opens.
    fn listen_with(&mut self, key: &str) {
        let (Some((stream, clock)), Some(url)) = (&self.listening, &self.upstream.realtime_url)
        else {
            return;
        };
        // One for servers must not stand in a URL, and no stream is opened with it.
        if self.client_key.as_deref() == Some(key) || is_for_servers(key) {
            return;
        }
        self.client_key = Some(key.into());
        let asked = Request::get(format!("{url}/sse/environments/{}/stream", segment(key)));
        let Ok(request) = asked.body(Bytes::new()) else { return };
        let place = format!("the event stream of {url}");
        let timeout = self.upstream.timeout;
        let followed = Followed { request, place, timeout, read: push::flagsmith::read };
        self.push.follow(self.client.clone(), followed, Arc::clone(stream), clock.clone());
    }

    fn url(&self) -> String {
        format!("{}{}", self.upstream.url.origin(), self.path())
    }

    fn path(&self) -> String {
        format!("{}/environment-document/", self.upstream.url.path())
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

    /// The document as it is now: asked for once more, should it change meanwhile.
    async fn document(
        &self,
        now: Timestamp,
        key: &Key,
        is_announced: bool,
    ) -> Result<(Document, Confirmed), Failure> {
        for _ in 0..2 {
            if let Some(document) = self.whole(now, key, is_announced).await? {
                return Ok(document);
            }
        }
        Err(self.malformed("it changed while its pages were fetched", now))
    }

    /// The document, unless its pages turn out to be of different states.
    async fn whole(
        &self,
        now: Timestamp,
        key: &Key,
        is_announced: bool,
    ) -> Result<Option<(Document, Confirmed)>, Failure> {
        let mut request = self.request(&self.path(), key, now)?;
        let conditional = self.condition(request.headers_mut(), now, is_announced);
        let first = fetch::send(&self.client, request, self.upstream.timeout, now).await?;
        let answer = &first.answer;
        let confirmed = fetch::confirmed(&answer.headers, now);
        if answer.status == StatusCode::NOT_MODIFIED && conditional {
            return Ok(Some((Document::NotModified, confirmed)));
        }
        fetch::expect_ok(answer, &self.url(), now)?;
        let pages = self.other_pages(&first, key, now).await?;
        let etag = answer.headers.get(ETAG).filter(|_| pages.is_empty()).cloned();
        let known = self.held.as_ref().map(|held| held.hash);
        let body = first.answer.body;
        let read = tokio::task::spawn_blocking(move || read(&body, &pages, known)).await;
        let read = read.unwrap_or_else(|_| Err("reading the document failed".to_owned()));
        let held = |hash, updated_at| Held { hash, updated_at, etag, fetched_at: now };
        let document = match read.map_err(|error| self.malformed(&error, now))? {
            Pages::Mixed => return Ok(None),
            Pages::New(environment, hash) => {
                let held = held(hash, environment.updated_at);
                Document::New(environment, held)
            }
            Pages::Same(hash) => {
                let updated_at = self.held.as_ref().and_then(|held| held.updated_at);
                Document::Same(held(hash, updated_at))
            }
        };
        Ok(Some((document, confirmed)))
    }

    /// Asks for a change since what is held, where that is safe. Gives whether it does. A change that
    /// was announced may be in the second of what is held, so no second is asked about then.
    fn condition(&self, fields: &mut HeaderMap, now: Timestamp, is_announced: bool) -> bool {
        let fresh = |held: &&Held| now.since(held.fetched_at) < REFRESH_MILLIS;
        let Some(held) = self.held.as_ref().filter(fresh) else { return false };
        // A tag is exact; where there is one the date must not be asked about beside it.
        if let Some(etag) = &held.etag {
            fields.insert(IF_NONE_MATCH, etag.clone());
            return true;
        }
        let modified = held.modified().filter(|_| !is_announced);
        let date = modified.map(|modified| httpdate::fmt_http_date(modified.into()));
        let date = date.and_then(|date| HeaderValue::from_str(&date).ok());
        date.map(|date| fields.insert(IF_MODIFIED_SINCE, date)).is_some()
    }

    /// Follows `Link: <...>; rel="next"` to the end.
    async fn other_pages(
        &self,
        first: &Page,
        key: &Key,
        now: Timestamp,
    ) -> Result<Vec<Bytes>, Failure> {
        let mut pages = Vec::new();
        let mut seen = HashSet::from([self.path()]);
        let mut url = first.url.clone();
        let mut next = self.next_page(&first.answer, now)?;
        let mut bytes = first.answer.body.len();
        while let Some(link) = next {
            let page = link::resolve(&url, &link).ok_or_else(|| {
                self.malformed("the next page is on another host, where the key must not go", now)
            })?;
            if !seen.insert(page.clone()) {
                return Err(self.malformed("its pages go round in a circle", now));
            }
            let request = self.request(&page, key, now)?;
            let page = fetch::send(&self.client, request, self.upstream.timeout, now).await?;
            let answer = page.answer;
            url = page.url;
            fetch::expect_ok(&answer, &format!("{} (page {})", self.url(), pages.len() + 2), now)?;
            bytes = bytes.saturating_add(answer.body.len());
            if pages.len() >= MAX_PAGES || bytes > MAX_DOCUMENT as usize {
                return Err(self.malformed("its pages have no end", now));
            }
            next = self.next_page(&answer, now)?;
            pages.push(answer.body);
        }
        Ok(pages)
    }

    fn next_page(&self, answer: &Answer, now: Timestamp) -> Result<Option<String>, Failure> {
        let unreadable = |link::Unreadable| {
            self.malformed("there is another page and its `Link` cannot be read", now)
        };
        link::next_page(&answer.headers).map_err(unreadable)
    }

    /// Asks for a path, with its query, of the upstream.
    fn request(&self, path: &str, key: &Key, now: Timestamp) -> Result<Request<Bytes>, Failure> {
        let sent = |key: &Key| {
            let unusable = || self.malformed("the key cannot be sent in a header", now);
            secret_value(key).ok_or_else(unusable)
        };
        let url = format!("{}{path}", self.upstream.url.origin());
        let mut request = Request::get(url).header(ENVIRONMENT_KEY, sent(key)?);
        if let Some(key) = &self.upstream.proxy_key {
            request = request.header(PROXY_KEY, sent(key)?);
        }
        request
            .body(Bytes::new())
            .map_err(|_| self.malformed("the next page has no URL that can be asked", now))
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
        let is_announced = self.push.look_begins(self.held_moment()).number.is_some();
        let longest = self.upstream.timeout.saturating_mul(ALL_PAGES);
        let document = self.document(look.now, &key, is_announced);
        let document = tokio::time::timeout(longest, document).await;
        let document = document.unwrap_or_else(|_| {
            let message = format!("{}: its pages take more than {longest:?}", self.url());
            Err(Failure::new(FailureKind::Timeout, message, look.now))
        });
        match document {
            Ok((document, confirmed)) => {
                let update = match document {
                    Document::New(environment, held) => {
                        self.held = Some(held);
                        self.listen_with(&environment.key);
                        Update::Replace(Box::new(Rules::Flagsmith(*environment)), confirmed)
                    }
                    Document::Same(held) => {
                        self.held = Some(held);
                        Update::Unchanged(confirmed)
                    }
                    Document::NotModified => Update::Unchanged(confirmed),
                };
                self.push.look_ends(self.held_moment());
                update.into()
            }
            Err(failure) if failure.kind == FailureKind::Unauthorized => {
                Update::Unavailable(self.refuse(key, failure)).into()
            }
            Err(failure) => Update::Unavailable(failure).into(),
        }
    }

    fn listen(&mut self, stream: Arc<SourceStream>, clock: Clock) {
        self.listening = Some((stream, clock));
    }

    async fn stirred(&mut self) {
        let held = self.held_moment();
        self.push.stirred(held).await;
    }

    async fn revived(&mut self) {
        self.push.revived().await;
    }
}

/// A key as one segment of a path, whatever is in it (RFC 3986, 3.3): what may stand in a segment is
/// left alone, since not every server undoes what need not have been done.
fn segment(key: &str) -> String {
    let mut segment = String::with_capacity(key.len());
    for byte in key.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte) {
            segment.push(char::from(byte));
        } else {
            let _ = write!(segment, "%{byte:02X}");
        }
    }
    segment
}

/// A key as the value of a header field that nobody prints.
pub(super) fn secret_value(key: &Key) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(key.expose()).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Reads a document with all its pages, unless it is the one with the hash that is known.
fn read(first: &Bytes, others: &[Bytes], known: Option<[u8; 32]>) -> Result<Pages, String> {
    let whole = match document::join_pages(first, others) {
        Ok(whole) => whole,
        Err(DocumentError::Mixed) => return Ok(Pages::Mixed),
        Err(error) => return Err(error.to_string()),
    };
    let hash: [u8; 32] = Sha256::digest(&whole).into();
    if known == Some(hash) {
        return Ok(Pages::Same(hash));
    }
    let environment = document::read(&whole).map_err(|error| error.to_string())?;
    Ok(Pages::New(Box::new(environment), hash))
}
