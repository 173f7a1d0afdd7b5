//! Environments that Flagsmith lists for a proxy (flagsmith.md section 14).
//!
//! [`Discovery`] asks for the list and says what is in it; [`discover`] drives it and follows the
//! environments that the publisher has given a place. A list that cannot be fetched, or is none,
//! changes nothing. Which environments are served, and under which name, is for the publisher.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::Request;
use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::flagsmith::{PROXY_KEY, secret_value};
use super::{FlagsmithSource, FlagsmithUpstream, Pace, ServerKeys, fetch, follow};
use crate::config::{BaseUrl, Key};
use crate::dialect::flagsmith::listing::{self, ServerSideKey};
use crate::model::{EnvironmentName, Failure, FailureKind};
use crate::snapshot::publisher::Report;
use crate::snapshot::publisher::lists::{Entries, Listing, Seated, Seating};
use crate::snapshot::{Entry, KeyDigests, Seat, ServerKey};
use crate::time::{Clock, Timestamp};
use crate::upstream::{Bounds, Client};

/// Longest list that is read: enough for ten thousand environments with several keys each.
pub(crate) const MAX_LIST: u64 = 4 << 20;

/// What is held for each byte of a list: the bytes, plain and compressed, and names and keys that are
/// read from it, each more than once.
pub(crate) const LIST_BYTE: u64 = 20;
/// What is held for each entry beside its texts: as it is read, as the publisher takes and keeps it,
/// and as it is compared with others.
pub(crate) const LIST_ENTRY: u64 = 2 << 10;

/// Where a list is and what opens the door.
#[derive(Clone, Debug)]
pub struct DiscoveryUpstream {
    /// What precedes `/proxy/config/` and `/environment-document/`.
    pub url: BaseUrl,
    /// The proxy's own key.
    pub proxy_key: Key,
    /// For one whole answer.
    pub timeout: Duration,
    /// What precedes `/sse/environments/KEY/stream`; none where no stream is followed.
    pub realtime_url: Option<BaseUrl>,
    /// How often each document is asked for.
    pub poll_interval: Duration,
}

/// A list of environments behind a URL.
#[derive(Debug)]
pub struct Discovery {
    client: Client,
    upstream: DiscoveryUpstream,
    /// What names begin with.
    name: Arc<str>,
}

impl Discovery {
    /// Asks through `client`; nothing is sent yet.
    pub fn new(client: Client, upstream: DiscoveryUpstream, name: Arc<str>) -> Self {
        Self { client, upstream, name }
    }

    /// Looks at the list once. Ends by itself, whatever is at the other end.
    pub async fn look(&self, now: Timestamp) -> Result<listing::Listing, Failure> {
        let DiscoveryUpstream { url, proxy_key, timeout, .. } = &self.upstream;
        let url = format!("{url}/proxy/config/");
        let unusable =
            |what: &str| Failure::new(FailureKind::Network, format!("{url}: {what}"), now);
        let key = secret_value(proxy_key)
            .ok_or_else(|| unusable("the key cannot be sent in a header"))?;
        let request = Request::get(&url)
            .header(PROXY_KEY, key)
            .body(Bytes::new())
            .map_err(|_| unusable("this cannot be asked"))?;
        let bounds = Bounds { timeout: *timeout, body: MAX_LIST as usize };
        let answer = fetch::send_within(&self.client, request, bounds, now).await?.answer;
        fetch::expect_ok(&answer, &url, now)?;
        let read = tokio::task::spawn_blocking(move || {
            listing::read(&answer.body).map_err(|error| error.to_string())
        });
        let read = read.await.unwrap_or_else(|_| Err("reading the list failed".to_owned()));
        read.map_err(|what| Failure::new(FailureKind::Malformed, format!("{url}: {what}"), now))
    }

    /// An environment's source, with keys that can be replaced.
    fn source(&self, keys: &ServerKeys) -> FlagsmithSource {
        let DiscoveryUpstream { url, proxy_key, timeout, realtime_url, poll_interval } =
            self.upstream.clone();
        let upstream = FlagsmithUpstream {
            url,
            server_keys: keys.clone(),
            proxy_key: Some(proxy_key),
            timeout,
            realtime_url,
            poll_interval,
        };
        FlagsmithSource::new(self.client.clone(), upstream)
    }
}

/// What drives a discovery: its pace, and where its words go.
#[derive(Debug)]
pub struct DiscoveryDriver {
    /// Place of the list among the publisher's.
    pub list: usize,
    /// How often the list is asked for, and each document.
    pub interval: Duration,
    /// Makes digests of keys.
    pub digests: KeyDigests,
    /// Where "now" comes from.
    pub clock: Clock,
    /// To the publisher, of the list.
    pub listings: mpsc::Sender<Listing>,
    /// To the publisher, of the environments.
    pub reports: mpsc::Sender<Report>,
}

/// Somebody who follows an environment of the list.
struct Follower {
    keys: ServerKeys,
    task: JoinHandle<()>,
}

/// Looks at a list now and then at its pace, and has the environments followed that are served
/// because of it, until nobody takes the lists any more.
pub async fn discover(discovery: Discovery, driver: DiscoveryDriver) {
    let DiscoveryDriver { list, interval, clock, listings, .. } = &driver;
    let mut pace = Pace::shared(*interval, fastrand::u64(..));
    let mut followers: HashMap<Seat, Follower> = HashMap::new();
    loop {
        let started = Instant::now();
        let look = discovery.look(clock.now()).await;
        let rest = Pace::rest(look.as_ref().err().and_then(|failure| failure.retry_after));
        let pause = if look.is_ok() { pace.after_success() } else { pace.after_failure() };
        let next = (started + pause).max(Instant::now() + rest);
        let (reply, seating) = oneshot::channel();
        let mut keys = Vec::new();
        let word = look.map(|listing| {
            let digest = |key: &Key| driver.digests.digest(key.expose().as_bytes());
            let mut entries = Vec::with_capacity(listing.entries.len());
            for entry in listing.entries {
                entries.push(listed(&entry, &discovery.name, digest));
                keys.push(entry.server_side_keys);
            }
            let (unreadable, warnings) = (listing.unreadable, listing.warnings);
            Entries { entries, unreadable, warnings, reply }
        });
        if listings.send(Listing { list: *list, word }).await.is_err() {
            return;
        }
        // There is none when the list could not be read.
        if let Ok(seating) = seating.await {
            attend(&mut followers, seating, keys, &discovery, &driver);
        }
        tokio::time::sleep_until(next).await;
    }
}

/// Follows who came, tells those who stay their keys, leaves those alone who left.
fn attend(
    followers: &mut HashMap<Seat, Follower>,
    Seating { seats, left }: Seating,
    keys: Vec<Vec<ServerSideKey>>,
    discovery: &Discovery,
    driver: &DiscoveryDriver,
) {
    for seat in left {
        if let Some(follower) = followers.remove(&seat) {
            follower.task.abort();
        }
    }
    for (seated, keys) in seats.into_iter().zip(keys) {
        let Some(seated) = seated else { continue };
        if let Some(follower) = followers.get(&seated.seat) {
            follower.keys.replace(keys);
            continue;
        }
        let keys = ServerKeys::of(keys);
        let source = discovery.source(&keys);
        let pace = Pace::shared(driver.interval, fastrand::u64(..));
        let (clock, reports) = (driver.clock.clone(), driver.reports.clone());
        let Seated { seat, waiting, stream } = seated;
        let following = follow(seat, source, pace, waiting, stream, clock, reports);
        followers.insert(seat, Follower { keys, task: tokio::spawn(following) });
    }
}

/// An entry as the publisher takes it.
fn listed(entry: &listing::Entry, prefix: &str, digest: impl Fn(&Key) -> u128) -> Entry {
    let servers = entry.server_side_keys.iter().map(|server| ServerKey {
        digest: digest(&server.key),
        active: server.active,
        expires_at: server.expires_at,
    });
    Entry {
        id: entry.id,
        project_id: entry.project_id,
        name: entry.name.as_str().into(),
        names: names(entry, prefix),
        client: digest(&entry.client_side_key),
        servers: servers.collect(),
    }
}

/// Names for an environment, the best one first: each is one that could stand in the configuration.
///
/// `PREFIX/PROJECT/NAME`, with one `-` for each run of characters that names cannot have. Where that
/// is somebody else's, too long or empty, `PREFIX/PROJECT/id/ID`. Where several environments have one
/// number, `PREFIX/PROJECT/key/DIGITS`, with the beginning of the client key's SHA-256. Only the
/// latter two have three slashes, so a name never reads like a number.
fn names(entry: &listing::Entry, prefix: &str) -> Vec<EnvironmentName> {
    const LONGEST: usize = 64;
    let project = entry.project_id.map_or("_".to_owned(), |id| id.to_string());
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let words = entry.name.split(|c| !allowed(c)).filter(|word| !word.is_empty());
    let readable = words.collect::<Vec<_>>().join("-");
    let digest = Sha256::digest(entry.client_side_key.expose());
    let digits = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
    let above = format!("{prefix}/{project}");
    let named = Some(format!("{above}/{readable}"));
    let named = named.filter(|name| !readable.is_empty() && name.len() <= LONGEST);
    let numbered = [format!("{above}/id/{}", entry.id), format!("{above}/key/{digits:08x}")];
    named.into_iter().chain(numbered).map(|name| EnvironmentName::new(&name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_takes_half_of_the_memory_that_is_reckoned_before_it_is_published() {
        let entry = |number: usize, more: &str| {
            format!("{{\"id\":{number},\"client_side_key\":\"{number}\"{more}}}")
        };
        let name = format!(",\"name\":\"{}\"", "n".repeat(200));
        let keys = (0..40).map(|number| format!("{{\"key\":\"ser.{number}\"}}"));
        let keys = format!(",\"server_side_keys\":[{}]", keys.collect::<Vec<_>>().join(","));
        for (count, more) in [(20_000, ""), (15_000, &*name), (5_000, &*keys)] {
            let list = (0..count).map(|number| entry(number, more)).collect::<Vec<_>>().join(",");
            let list = format!("[{list}]");
            assert!(list.len() < MAX_LIST as usize);
            let used = allocation_counter::measure(|| {
                let listing = listing::read(list.as_bytes()).unwrap();
                let entries = listing.entries.iter().map(|entry| listed(entry, "d", |_| 0));
                assert_eq!(entries.collect::<Vec<_>>().len(), count);
            });
            let reckoned = LIST_BYTE * list.len() as u64 + LIST_ENTRY * count as u64;
            assert!(used.bytes_max <= reckoned / 2, "{} of {reckoned}", used.bytes_max);
        }
    }

    fn named(name: &str, project_id: Option<u64>) -> Vec<String> {
        let client_side_key = Key::new("abc".to_owned());
        let name = name.to_owned();
        let entry =
            listing::Entry { id: 30, project_id, name, client_side_key, server_side_keys: vec![] };
        names(&entry, "discovered").iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_name_is_safe_whatever_the_upstream_calls_the_environment() {
        for (name, best) in [
            ("Production", "discovered/35/Production"),
            ("QA 2 (west)", "discovered/35/QA-2-west"),
            ("a/b\n\"c\"{}", "discovered/35/a-b-c"),
            ("Produção", "discovered/35/Produ-o"),
            ("…", "discovered/35/id/30"),
            ("", "discovered/35/id/30"),
            (&"n".repeat(50), &format!("discovered/35/{}", "n".repeat(50))),
            (&"n".repeat(51), "discovered/35/id/30"),
        ] {
            assert_eq!(named(name, Some(35))[0], best, "{name:?}");
        }
        assert_eq!(
            named("Production", None),
            ["discovered/_/Production", "discovered/_/id/30", "discovered/_/key/ba7816bf"]
        );
        for name in named("x", Some(u64::MAX)) {
            assert!(name.len() <= 64, "{name}");
        }
    }
}
