//! Rules from Reflag's service, or from another edge that speaks its protocol
//! (reflag-runtime.md sections 1, 4, 5).
//!
//! Asks for the definitions with the secret key and, where publishable keys are served, for the
//! list of flags that a publishable key may see, since definitions do not tell. Follows the event
//! stream with the secret key, too: each announced version leads to a request that the upstream
//! holds until it has that version. Never sends a key to another host.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{AUTHORIZATION, ETAG, HeaderValue, IF_NONE_MATCH};
use hyper::{Request, StatusCode};
use serde::Deserialize;
use serde::de::IgnoredAny;
use sha2::{Digest, Sha256};

use super::push::{self, Followed, Push, Wanted};
use super::{Look, Sight, Source, fetch};
use crate::config::Key;
use crate::dialect::reflag::definitions;
use crate::model::{Confirmed, Failure, FailureKind, Rules, Ruleset, Update};
use crate::snapshot::{FARTHEST, SourceStream};
use crate::time::{Clock, Timestamp};
use crate::upstream::Client;

/// Learning must not hold up a change of rules for longer than this.
const LEARNING_TIMEOUT: Duration = Duration::from_secs(2);
/// A request that asks the upstream to wait may take so much longer: edges hold it for 9 s.
const HOLD: Duration = Duration::from_secs(10);

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
    /// Whether the event stream is followed.
    pub push: bool,
    /// How often the rules are asked for.
    pub poll_interval: Duration,
}

/// A Reflag environment behind a URL.
#[derive(Debug)]
pub struct ReflagSource {
    client: Client,
    upstream: ReflagUpstream,
    held: Option<Held>,
    push: Push,
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
        let push = Push::new(upstream.poll_interval);
        Self { client, upstream, held: None, push }
    }

    fn held_version(&self) -> Option<u64> {
        self.held.as_ref()?.ruleset.source_version
    }

    /// Asks for the definitions.
    async fn definitions(
        &self,
        look: Look,
        wanted: Wanted,
    ) -> Result<(Definitions, Confirmed), Failure> {
        let mut url = format!("{}/features", self.upstream.url);
        let mut timeout = self.upstream.timeout;
        // Without an announcement always for the very next state. What clients wait for counts our
        // versions, which may be ahead of the upstream's; and one who waits for a distant one must
        // not keep those in between from everybody else. The same holds where a distant one was
        // announced, which is right where versions are moments and a mistake where they are counted.
        let next = self.held_version().map_or(0, |version| version + 1);
        let announced = wanted.number.filter(|_| wanted.may_wait);
        let announced = announced.map(|v| if v.saturating_sub(next) < FARTHEST { v } else { next });
        let awaited = announced.or(look.awaited.then_some(next));
        if let (Some(version), Some(_)) = (awaited, &self.held) {
            let _ = write!(url, "?waitForVersion={version}");
            timeout += HOLD;
        }
        let mut request = self.request(&url, &self.upstream.secret_key, look.now)?;
        if let Some(etag) = self.held.as_ref().and_then(|held| held.etag.clone()) {
            request.headers_mut().insert(IF_NONE_MATCH, etag);
        }
        let conditional = request.headers().contains_key(IF_NONE_MATCH);
        let answer = fetch::send(&self.client, request, timeout, look.now).await?.answer;
        let confirmed = fetch::confirmed(&answer.headers, look.now);
        if answer.status == StatusCode::NOT_MODIFIED && conditional {
            return Ok((Definitions::Same, confirmed));
        }
        fetch::expect_ok(&answer, &format!("{}/features", self.upstream.url), look.now)?;
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
        let answer = fetch::send(&self.client, request, timeout, now).await?.answer;
        fetch::expect_ok(&answer, &format!("{}{path}", self.upstream.url), now)?;
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
}

impl Source for ReflagSource {
    async fn look(&mut self, look: Look) -> Sight {
        let wanted = self.push.look_begins(self.held_version());
        let (definitions, confirmed) = match self.definitions(look, wanted).await {
            Ok(seen) => seen,
            Err(failure) => return Update::Unavailable(failure).into(),
        };
        let mut changed = false;
        if let Definitions::New(held) = definitions {
            self.held = Some(*held);
            changed = true;
        }
        let learned = self.keep_learned(look.now).await;
        self.push.look_ends(self.held_version());
        changed |= matches!(learned, Ok(true));
        let update = match &self.held {
            Some(held) if changed => {
                Update::Replace(Box::new(Rules::Reflag(held.ruleset.clone())), confirmed)
            }
            _ => Update::Unchanged(confirmed),
        };
        Sight { update, trouble: learned.err(), keys: None }
    }

    fn listen(&mut self, stream: Arc<SourceStream>, clock: Clock) {
        let url = format!("{}/sse/server", self.upstream.url);
        let Some(key) = Some(&self.upstream.secret_key).filter(|_| self.upstream.push) else {
            return;
        };
        // A key that cannot be sent is what every look says.
        if let Ok(request) = self.request(&url, key, clock.now()) {
            let timeout = self.upstream.timeout;
            let followed = Followed { request, place: url, timeout, read: push::reflag::read };
            self.push.follow(self.client.clone(), followed, stream, clock);
        }
    }

    async fn stirred(&mut self) {
        let held = self.held_version();
        self.push.stirred(held).await;
    }

    async fn revived(&mut self) {
        self.push.revived().await;
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
