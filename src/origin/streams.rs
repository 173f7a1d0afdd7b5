//! Event streams on the origin's port: edges and server SDKs of other processes hear of a change at
//! once (reflag-runtime.md section 7). They behave as those of the public port do
//! ([`http::streams`](crate::http::streams)).
//!
//! There are a few of them, so each has a task, which follows the store's feed. The feed is a value
//! and no queue: who reads slowly misses numbers and nothing else.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::body::{Body, Frame};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::{Method, Response};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::model::EnvironmentId;
use super::store::{Numbers, Store};
use crate::dialect::Rejection;
use crate::dialect::event_stream::Message;
use crate::dialect::reflag::events::flags_updated;
use crate::http::streams::{StreamTimes, farewell, full, head};

/// Streams at once: half of the port's connections, so that there is always room for calls.
pub(super) const STREAMS: usize = 128;
/// How [`Rejection::TooManyStreams`] is counted.
pub(super) const TOO_MANY: &str = "streams";

/// The body of an answer: whole, or told piece by piece.
pub(super) type AnyBody = Either<Full<Bytes>, Events>;

/// What a stream's task tells. Ends with the task; the task ends with it.
#[derive(Debug)]
pub(super) struct Events(mpsc::Receiver<Bytes>);

impl Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}

/// Travels with a request: closes its connection, whatever is still unsent.
#[derive(Clone, Debug, Default)]
pub(super) struct Hangup(pub(super) Arc<Notify>);

/// Whose stream it is.
#[derive(Clone, Debug)]
pub(super) struct Holder {
    pub(super) environment: EnvironmentId,
    /// SHA-256 of the key.
    pub(super) hash: [u8; 32],
}

/// All streams of the port.
#[derive(Debug)]
pub(super) struct Streams {
    store: Store,
    places: Arc<Semaphore>,
    times: StreamTimes,
    ending: watch::Sender<bool>,
}

impl Streams {
    pub(super) fn new(store: Store, limit: usize, times: StreamTimes) -> Self {
        let places = Arc::new(Semaphore::new(limit));
        Self { store, places, times, ending: watch::Sender::new(false) }
    }

    /// Ends all of them: clients are told when to come again.
    pub(super) fn end(&self) {
        self.ending.send_replace(true);
    }

    /// Opens a stream, unless all places are taken. Whoever is on one is never sent away for another;
    /// who only asks for the head is told whether there is a place, and takes none.
    pub(super) fn open(
        &self,
        holder: Holder,
        method: &Method,
        hangup: Hangup,
    ) -> Result<Response<AnyBody>, Rejection> {
        // One piece at a time: what follows is decided when it is sent.
        let (sender, receiver) = mpsc::channel(1);
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| full())?;
        if method != Method::HEAD {
            let stream = Stream {
                store: self.store.clone(),
                times: self.times,
                ending: self.ending.subscribe(),
                holder,
                sender,
                hangup,
                _place: place,
            };
            tokio::spawn(stream.run());
        }
        let mut response = Response::new(Either::Right(Events(receiver)));
        *response.headers_mut() = head();
        // Clients are to connect anew, wherever a balancer then leads them.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        Ok(response)
    }
}

/// One client's stream.
struct Stream {
    store: Store,
    times: StreamTimes,
    ending: watch::Receiver<bool>,
    holder: Holder,
    sender: mpsc::Sender<Bytes>,
    hangup: Hangup,
    _place: OwnedSemaphorePermit,
}

/// The client is gone, or takes nothing.
struct Lost;

impl Stream {
    async fn run(self) {
        let told = self.tell().await;
        let told = match told {
            Ok(()) => self.send(&farewell()).await,
            lost => lost,
        };
        if told.is_err() && !self.sender.is_closed() {
            self.hangup.0.notify_one();
        }
    }

    /// Tells versions until the stream is to end.
    async fn tell(&self) -> Result<(), Lost> {
        let (mut feed, mut ending) = (self.store.feed(), self.ending.clone());
        let ends = Instant::now() + self.age();
        let mut heartbeat = self.next_heartbeat();
        let mut told = None;
        // As of which change of keys this one was found to hold, and until when it does.
        let mut held: Option<(u64, Option<Instant>)> = None;
        loop {
            let known = feed.numbers(&self.holder.environment);
            let Some(Numbers { state, keys }) = known else { return Ok(()) };
            let until = match held {
                Some((as_of, until)) if as_of == keys => until,
                _ => {
                    let Some(until) = self.key_holds().await else { return Ok(()) };
                    held = Some((keys, until));
                    until
                }
            };
            if told != Some(state) {
                self.send(&flags_updated(state)).await?;
                told = Some(state);
                heartbeat = self.next_heartbeat();
            }
            tokio::select! {
                () = self.sender.closed() => return Err(Lost),
                () = async { drop(ending.wait_for(|ending| *ending).await) } => return Ok(()),
                () = feed.changed(&self.holder.environment, known) => {}
                () = sleep_until(until.unwrap_or(ends)), if until.is_some() => held = None,
                () = sleep_until(ends) => return Ok(()),
                () = sleep_until(heartbeat) => {
                    self.send(&Message::heartbeat()).await?;
                    heartbeat = self.next_heartbeat();
                }
            }
        }
    }

    async fn send(&self, message: &Message) -> Result<(), Lost> {
        match timeout(self.times.patience, self.sender.send(message.text())).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(Lost),
        }
    }

    /// Whether the key still opens the environment: none when it does not, else when it will cease
    /// to, if that is known. A database that cannot be read opens nothing.
    async fn key_holds(&self) -> Option<Option<Instant>> {
        let (hash, now) = (self.holder.hash, self.store.clock().now());
        let found = self.store.read(move |reader| reader.environment_of_key(&hash, now)).await;
        let key = found.ok().flatten().filter(|key| key.environment == self.holder.environment)?;
        Some(key.expires_at.map(|end| {
            let left = u64::try_from(end.since(now)).unwrap_or(0);
            Instant::now() + Duration::from_millis(left.max(1))
        }))
    }

    fn age(&self) -> Duration {
        let [least, most] = self.times.ages;
        least + most.saturating_sub(least).mul_f64(fastrand::f64())
    }

    /// A fifth more or less, each time.
    fn next_heartbeat(&self) -> Instant {
        Instant::now() + self.times.heartbeat.mul_f64(0.8 + 0.4 * fastrand::f64())
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use tempfile::TempDir;

    use super::*;
    use crate::model::KeyClass;
    use crate::origin::keys::sha256;
    use crate::origin::model::{Actor, AppId, FlagKeyFormat};
    use crate::origin::store::NewKeys;
    use crate::time::Clock;

    struct Scene {
        _folder: TempDir,
        store: Store,
        app: AppId,
        holder: Holder,
    }

    impl Scene {
        async fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let store = Store::open(&folder.path().join("origin.db"), Clock::System).unwrap();
            let made = store.write(Actor::Burgee, |writer| {
                let app = writer.create_app("Shop", FlagKeyFormat::KebabCaseLower, false)?.id;
                let keys = NewKeys::random("Preview")?;
                let made = writer.create_environment(&app, "Preview", false, &keys)?;
                Ok((app, made.id, sha256(keys.secret.expose().as_bytes())))
            });
            let (app, environment, hash) = made.await.unwrap();
            Self { _folder: folder, store, app, holder: Holder { environment, hash } }
        }

        fn streams(&self, limit: usize) -> Streams {
            Streams::new(self.store.clone(), limit, StreamTimes::default())
        }

        fn open(&self, streams: &Streams) -> Result<AnyBody, Rejection> {
            let opened = streams.open(self.holder.clone(), &Method::GET, Hangup::default());
            opened.map(Response::into_body)
        }

        async fn rotate(&self, grace: Duration) {
            let (app, environment) = (self.app.clone(), self.holder.environment.clone());
            let rotated = self.store.write(Actor::Burgee, move |writer| {
                writer.rotate_key(&app, &environment, KeyClass::Secret, grace)
            });
            rotated.await.unwrap();
        }
    }

    async fn next(body: &mut AnyBody) -> Option<String> {
        let frame = body.frame().await?.unwrap();
        Some(String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap())
    }

    /// All that comes but signs of life.
    async fn until_end(body: &mut AnyBody) -> Vec<String> {
        let mut all = Vec::new();
        while let Some(text) = next(body).await {
            if text != ":\n\n" {
                all.push(text);
            }
        }
        all
    }

    #[tokio::test(start_paused = true)]
    async fn signs_of_life_come_every_fifteen_seconds_and_the_end_after_fifteen_minutes_or_more() {
        let scene = Scene::new().await;
        let streams = scene.streams(1);
        let mut body = scene.open(&streams).unwrap();
        assert!(next(&mut body).await.unwrap().starts_with("id: "));
        let begun = Instant::now();
        let mut last = begun;
        loop {
            let text = next(&mut body).await.unwrap();
            if text.starts_with("retry: ") {
                break;
            }
            assert_eq!(text, ":\n\n");
            let waited = last.elapsed().as_secs_f64();
            assert!((11.9..18.1).contains(&waited), "{waited} s");
            last = Instant::now();
        }
        let age = begun.elapsed().as_secs_f64() / 60.0;
        assert!((14.9..30.1).contains(&age), "{age} min");
        assert_eq!(next(&mut body).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_given_up_and_its_place_is_free() {
        let scene = Scene::new().await;
        let streams = scene.streams(1);
        let hangup = Hangup::default();
        let held = streams.open(scene.holder.clone(), &Method::GET, hangup.clone()).unwrap();
        assert!(matches!(scene.open(&streams), Err(Rejection::TooManyStreams(5..30))));
        // The version has a place to lie in; the sign of life after it has none.
        let begun = Instant::now();
        hangup.0.notified().await;
        let after = begun.elapsed().as_secs_f64();
        assert!((21.9..28.1).contains(&after), "{after} s");
        drop(held);
        while streams.places.available_permits() == 0 {
            tokio::task::yield_now().await;
        }
        scene.open(&streams).unwrap();
    }

    #[tokio::test]
    async fn whoever_leaves_gives_its_place_back_at_once_and_a_head_takes_none() {
        let scene = Scene::new().await;
        let streams = scene.streams(1);
        let mut body = scene.open(&streams).unwrap();
        next(&mut body).await.unwrap();
        let head = || streams.open(scene.holder.clone(), &Method::HEAD, Hangup::default());
        assert!(
            matches!(head(), Err(Rejection::TooManyStreams(_))),
            "as of what it is the head of"
        );
        drop(body);
        while streams.places.available_permits() == 0 {
            tokio::task::yield_now().await;
        }
        head().unwrap();
        assert_eq!(streams.places.available_permits(), 1);
    }

    #[tokio::test]
    async fn a_stream_ends_when_the_process_the_key_or_the_environment_does() {
        let scene = Scene::new().await;
        let streams = scene.streams(8);
        let mut body = scene.open(&streams).unwrap();
        next(&mut body).await.unwrap();
        streams.end();
        let said = until_end(&mut body).await;
        assert!(said.len() == 1 && said[0].starts_with("retry: "), "{said:?}");

        let streams = scene.streams(8);
        let begun = Instant::now();
        let mut body = scene.open(&streams).unwrap();
        next(&mut body).await.unwrap();
        scene.rotate(Duration::from_millis(1)).await;
        let said = until_end(&mut body).await;
        assert!(said.len() == 1 && said[0].starts_with("retry: "), "{said:?}");
        assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
        // A key that does not hold is told nothing.
        let said = until_end(&mut scene.open(&streams).unwrap()).await;
        assert!(said.len() == 1 && said[0].starts_with("retry: "), "{said:?}");

        let scene = Scene::new().await;
        let streams = scene.streams(8);
        let mut body = scene.open(&streams).unwrap();
        next(&mut body).await.unwrap();
        let (app, environment) = (scene.app.clone(), scene.holder.environment.clone());
        let gone = scene.store.write(Actor::Burgee, move |writer| {
            let keys = NewKeys::random("Staging")?;
            writer.create_environment(&app, "Staging", false, &keys)?;
            writer.delete_environment(&app, &environment)
        });
        gone.await.unwrap();
        let said = until_end(&mut body).await;
        assert!(said.len() == 1 && said[0].starts_with("retry: "), "{said:?}");
    }
}
