//! Streams that fail in every way, under paused time, and what they lead to.

use std::collections::VecDeque;
use std::sync::Mutex;

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use hyper::{HeaderMap, Request, StatusCode};
use tokio::sync::mpsc;

use super::stream::{Door, Gives};
use super::*;
use crate::model::{Confirmed, Failure, FailureKind, Update};
use crate::snapshot::publisher::Report;
use crate::snapshot::{Seat, StreamState, StreamStatus, Waiting};
use crate::source::{Look, Sight, Source};
use crate::upstream::{Phase, SendError};

const MINUTE: Duration = Duration::from_secs(60);
const TIMEOUT: Duration = Duration::from_secs(10);

/// What a connection does, one thing after the other; then nothing any more.
#[derive(Clone, Debug)]
enum Act {
    Say(&'static [u8]),
    /// So many announcements, each of the next version.
    Announce(u64),
    Pause(Duration),
    Close,
    Break,
}

/// What becomes of one attempt to connect.
#[derive(Clone, Debug)]
enum Scene {
    Opens(Vec<Act>),
    Answers(StatusCode, Vec<(HeaderName, &'static str)>),
    Refuses,
    Swallows,
}

/// An upstream that plays its scenes; the last one is played again and again.
#[derive(Clone, Default)]
struct Stage {
    scenes: Arc<Mutex<VecDeque<Scene>>>,
    /// When it was asked, and for what.
    asked: Arc<Mutex<Vec<(Instant, String)>>>,
}

struct Acting {
    acts: VecDeque<Act>,
    version: u64,
}

impl Stage {
    fn with(scenes: Vec<Scene>) -> Self {
        Self { scenes: Arc::new(Mutex::new(scenes.into())), asked: Arc::default() }
    }

    fn attempts(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    /// Time between each attempt and the one before, in milliseconds.
    fn pauses(&self) -> Vec<u128> {
        let asked = self.asked.lock().unwrap();
        asked.windows(2).map(|pair| (pair[1].0 - pair[0].0).as_millis()).collect()
    }
}

impl Door for Stage {
    type Pieces = Acting;

    async fn open(
        &self,
        request: Request<Bytes>,
        timeout: Duration,
    ) -> Result<(StatusCode, HeaderMap, Acting), SendError> {
        self.asked.lock().unwrap().push((Instant::now(), request.uri().to_string()));
        let scene = {
            let mut scenes = self.scenes.lock().unwrap();
            if scenes.len() > 1 { scenes.pop_front() } else { scenes.front().cloned() }
        };
        let head = |status, fields: &[(HeaderName, &'static str)], acts: Vec<Act>| {
            let fields = fields.iter();
            let fields =
                fields.map(|(name, value)| (name.clone(), HeaderValue::from_static(value)));
            Ok((status, fields.collect(), Acting { acts: acts.into(), version: 0 }))
        };
        match scene.expect("a scene") {
            Scene::Opens(acts) => {
                head(StatusCode::OK, &[(CONTENT_TYPE, "text/event-stream; charset=utf-8")], acts)
            }
            Scene::Answers(status, fields) => head(status, &fields, vec![]),
            Scene::Refuses => Err(SendError::BrokenOff(Phase::Head)),
            Scene::Swallows => {
                tokio::time::sleep(timeout).await;
                Err(SendError::Timeout { phase: Phase::Head, after: timeout })
            }
        }
    }
}

impl Gives for Acting {
    async fn next(&mut self, within: Duration) -> Result<Option<Bytes>, SendError> {
        let silent = SendError::Silent { after: within };
        let next = async {
            loop {
                match self.acts.pop_front() {
                    Some(Act::Say(bytes)) => return Ok(Some(Bytes::from_static(bytes))),
                    Some(Act::Announce(count)) => {
                        let mut text = String::new();
                        for _ in 0..count {
                            self.version += 1;
                            text.push_str(&announcement(self.version));
                        }
                        return Ok(Some(text.into()));
                    }
                    Some(Act::Pause(time)) => tokio::time::sleep(time).await,
                    Some(Act::Close) => return Ok(None),
                    Some(Act::Break) => return Err(SendError::BrokenOff(Phase::Body)),
                    None => std::future::pending().await,
                }
            }
        };
        tokio::time::timeout(within, next).await.unwrap_or(Err(silent))
    }
}

fn announcement(version: u64) -> String {
    format!("data: {{\"name\":\"flags-updated\",\"data\":{{\"flagStateVersion\":{version}}}}}\n\n")
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn followed() -> Followed {
    Followed {
        request: Request::get("http://upstream/sse/server").body(Bytes::new()).unwrap(),
        place: "http://upstream/sse/server".to_owned(),
        timeout: TIMEOUT,
        read: reflag::read,
    }
}

/// A stream that is followed without a source.
struct Listening {
    stage: Stage,
    push: Push,
    status: Arc<SourceStream>,
}

impl Listening {
    fn to(scenes: Vec<Scene>) -> Self {
        let stage = Stage::with(scenes);
        let mut push = Push::new(MINUTE);
        let status = Arc::<SourceStream>::default();
        let clock = Clock::frozen(Timestamp(0));
        push.follow(stage.clone(), followed(), Arc::clone(&status), clock);
        Self { stage, push, status }
    }

    fn state(&self) -> StreamState {
        self.status.status().state
    }

    fn error(&self) -> (FailureKind, String) {
        let StreamStatus { error, .. } = self.status.status();
        error.map(|error| (error.kind, error.message)).expect("an error")
    }

    fn heard(&self) -> Heard {
        *self.push.heard.borrow()
    }
}

async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_falls_silent_has_failed_and_is_opened_anew() {
    // Heartbeats for three minutes, then nothing: no byte and no end.
    let heartbeat = [Act::Pause(seconds(30)), Act::Say(b": keep-alive\n\n")];
    let acts = std::iter::repeat_n(heartbeat, 6).flatten().collect();
    let listening = Listening::to(vec![Scene::Opens(acts), Scene::Opens(vec![])]);
    pass(seconds(3 * 60 + 59)).await;
    assert_eq!((listening.state(), listening.stage.attempts()), (StreamState::Connected, 1));
    pass(Duration::from_millis(1_050)).await;
    assert_eq!(listening.state(), StreamState::Disconnected);
    let (kind, message) = listening.error();
    assert_eq!(kind, FailureKind::Timeout);
    assert_eq!(message, "http://upstream/sse/server: nothing came for 1m");
    pass(seconds(1)).await;
    assert_eq!((listening.state(), listening.stage.attempts()), (StreamState::Connected, 2));
    assert_eq!(listening.heard().connects, 2);
    assert!(listening.status.status().error.is_none());
}

#[tokio::test(start_paused = true)]
async fn bytes_that_never_become_a_line_are_silence() {
    let drip = [Act::Say(b"x"), Act::Pause(seconds(1))];
    let acts = std::iter::repeat_n(drip, 1_000).flatten().collect();
    let listening = Listening::to(vec![Scene::Opens(acts), Scene::Refuses]);
    pass(seconds(59)).await;
    assert_eq!(listening.state(), StreamState::Connected);
    pass(seconds(2)).await;
    assert_eq!(listening.error().0, FailureKind::Network, "it was tried again");
}

#[tokio::test(start_paused = true)]
async fn what_is_no_event_stream_is_a_failure() {
    let html = vec![(CONTENT_TYPE, "text/html")];
    let moved = vec![(LOCATION, "http://elsewhere/")];
    for (scene, kind, message) in [
        (Scene::Opens(vec![Act::Say(b"\x00\xff\n")]), FailureKind::Malformed, "it is not UTF-8"),
        (
            Scene::Opens(vec![Act::Say(&[b'x'; 600_000]), Act::Say(&[b'x'; 600_000])]),
            FailureKind::Malformed,
            "nothing was said in 1048576 bytes",
        ),
        (
            Scene::Opens(vec![Act::Break]),
            FailureKind::Network,
            "the connection was closed: no complete body",
        ),
        (Scene::Opens(vec![Act::Close]), FailureKind::Network, "the stream ended"),
        (Scene::Refuses, FailureKind::Network, "the connection was closed: no answer"),
        (Scene::Swallows, FailureKind::Timeout, "no answer within 10s"),
        (
            Scene::Answers(StatusCode::OK, html),
            FailureKind::Malformed,
            "the answer is no event stream",
        ),
        (
            Scene::Answers(StatusCode::FOUND, moved),
            FailureKind::Malformed,
            "redirects are not followed",
        ),
        (
            Scene::Answers(StatusCode::UNAUTHORIZED, vec![]),
            FailureKind::Unauthorized,
            "it refuses the key",
        ),
        (
            Scene::Answers(StatusCode::FORBIDDEN, vec![]),
            FailureKind::Unauthorized,
            "it refuses the key",
        ),
        (
            Scene::Answers(StatusCode::TOO_MANY_REQUESTS, vec![]),
            FailureKind::Status4xx,
            "answered 429",
        ),
        (Scene::Answers(StatusCode::BAD_GATEWAY, vec![]), FailureKind::Status5xx, "answered 502"),
    ] {
        let listening = Listening::to(vec![scene.clone()]);
        // Nobody comes to rest: it fails again and again.
        pass(2 * MINUTE).await;
        assert_eq!(listening.state(), StreamState::Disconnected, "{scene:?}");
        let (told, words) = listening.error();
        assert_eq!(told, kind, "{scene:?}");
        assert!(
            words.starts_with("http://upstream/sse/server") && words.contains(message),
            "{words}"
        );
        let attempts = listening.stage.attempts();
        assert!((3..40).contains(&attempts), "{attempts} of {scene:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_passed_over_and_counted() {
    let long: &'static [u8] = format!("data: {}\n\n", "x".repeat(20_000)).leak().as_bytes();
    let listening = Listening::to(vec![
        Scene::Opens(vec![
            Act::Say(b"data: ping\n\ndata:\n\nevent: x\ndata: no JSON\n\n"),
            Act::Say(long),
            Act::Announce(8),
            Act::Pause(seconds(10)),
            Act::Close,
        ]),
        Scene::Opens(vec![Act::Say(long)]),
    ]);
    pass(seconds(1)).await;
    let status = listening.status.status();
    assert_eq!((listening.state(), listening.stage.attempts()), (StreamState::Connected, 1));
    assert_eq!(listening.heard().announced.map(|numbers| numbers.highest), Some(8));
    assert_eq!((status.opened, status.unreadable), (1, 3));
    assert_eq!(status.unreadable_for, Some("it is no JSON"));
    pass(seconds(20)).await;
    let status = listening.status.status();
    assert_eq!((status.opened, status.unreadable), (2, 4));
    assert_eq!(status.unreadable_for, Some("it is longer than 16 KiB"));
}

#[tokio::test(start_paused = true)]
async fn attempts_grow_rare_and_never_cease() {
    let at_once = Scene::Opens(vec![Act::Say(b": hello\n\n"), Act::Close]);
    for scene in [Scene::Refuses, at_once] {
        let listening = Listening::to(vec![scene.clone()]);
        pass(seconds(3_600)).await;
        let pauses = listening.stage.pauses();
        assert!(pauses[0] <= 1_000, "soon at first: {pauses:?}");
        assert!(pauses.iter().all(|pause| (100..=60_000).contains(pause)), "{pauses:?}");
        let (attempts, longest) = (pauses.len(), pauses.iter().max().unwrap());
        // An hour of pauses of half a minute on average, and the quick ones before.
        assert!((80..=200).contains(&attempts), "{attempts} of {scene:?}");
        assert!(*longest > 40_000, "{pauses:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_lasted_comes_back_at_once_however_often_it_ends() {
    let lasting = Scene::Opens(vec![
        Act::Say(b":\n"),
        Act::Pause(seconds(50)),
        Act::Say(b":\n"),
        Act::Pause(seconds(50)),
        Act::Close,
    ]);
    let listening = Listening::to(vec![lasting]);
    pass(seconds(3_600)).await;
    let pauses = listening.stage.pauses();
    assert!(pauses.len() >= 35, "{pauses:?}");
    assert!(pauses.iter().all(|pause| (100_000..=101_000).contains(pause)), "{pauses:?}");
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_wants_rest_gets_it_within_reason() {
    let busy = |after| Scene::Answers(StatusCode::SERVICE_UNAVAILABLE, vec![(RETRY_AFTER, after)]);
    let listening = Listening::to(vec![
        busy("120"),
        busy("999999"),
        Scene::Opens(vec![Act::Say(b"retry: 20000\n"), Act::Close]),
        Scene::Opens(vec![Act::Say(b"retry: 99999999999999999999999\n"), Act::Close]),
        Scene::Opens(vec![]),
    ]);
    pass(seconds(3_600)).await;
    let pauses = listening.stage.pauses();
    let at_least = [120_000, 600_000, 20_000, 60_000];
    for (pause, least) in pauses.iter().zip(at_least) {
        assert!((least..=least + 60_000).contains(pause), "{pauses:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_upstream_without_a_stream_is_asked_again_rarely() {
    for status in [204, 404, 405, 410, 501] {
        let none = Scene::Answers(StatusCode::from_u16(status).unwrap(), vec![]);
        let listening = Listening::to(vec![none]);
        pass(seconds(60)).await;
        assert_eq!(listening.state(), StreamState::Absent, "{status}");
        assert_eq!(listening.state().label(), "off");
        assert!(listening.error().1.contains("the upstream has no event stream"));
        pass(seconds(3_600)).await;
        let pauses = listening.stage.pauses();
        assert!((5..=13).contains(&pauses.len()), "{pauses:?}");
        assert_eq!(listening.state(), StreamState::Absent, "and not lost in between");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_announced_counts_until_the_stream_is_opened_anew() {
    let listening = Listening::to(vec![
        Scene::Opens(vec![
            Act::Say(b"data: {\"flagStateVersion\":9}\n\ndata: {\"flagStateVersion\":7}\n\n"),
            Act::Pause(seconds(10)),
            Act::Close,
        ]),
        Scene::Opens(vec![Act::Say(b"data: {\"flagStateVersion\":5}\n\n")]),
    ]);
    pass(seconds(1)).await;
    assert_eq!(listening.heard().announced, Some(Numbers { highest: 9, last: 7 }));
    pass(seconds(20)).await;
    assert_eq!(listening.heard().announced, Some(Numbers { highest: 5, last: 5 }));
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_with_its_source_and_with_its_replacement() {
    let mut listening = Listening::to(vec![Scene::Refuses]);
    let stage = Stage::with(vec![Scene::Opens(vec![])]);
    let clock = Clock::frozen(Timestamp(0));
    listening.push.follow(stage.clone(), followed(), Arc::clone(&listening.status), clock);
    let attempts = listening.stage.attempts();
    pass(seconds(600)).await;
    assert_eq!((listening.stage.attempts(), attempts), (0, 0), "it was replaced before it began");
    let before = stage.attempts();
    drop(listening);
    pass(seconds(600)).await;
    assert_eq!(stage.attempts(), before);
}

// What announcements lead to.

/// A source that follows a stream: it has what the upstream has at the moment.
struct Pushed {
    push: Push,
    stage: Stage,
    upstream: Arc<Mutex<Upstream>>,
    held: Option<u64>,
}

/// An upstream's rules.
#[derive(Default)]
struct Upstream {
    version: u64,
    /// Whether it cannot be asked.
    is_down: bool,
    /// How long it takes to answer.
    slow: Duration,
    looks: Vec<(Instant, Wanted)>,
}

impl Source for Pushed {
    async fn look(&mut self, look: Look) -> Sight {
        let wanted = self.push.look_begins(self.held);
        let (version, is_down, slow) = {
            let mut upstream = self.upstream.lock().unwrap();
            upstream.looks.push((Instant::now(), wanted));
            (upstream.version, upstream.is_down, upstream.slow)
        };
        tokio::time::sleep(slow).await;
        if is_down {
            let failure = Failure::new(FailureKind::Network, "down".to_owned(), look.now);
            return Update::Unavailable(failure).into();
        }
        self.held = Some(version);
        self.push.look_ends(self.held);
        Update::Unchanged(Confirmed::At(look.now)).into()
    }

    fn listen(&mut self, stream: Arc<SourceStream>, clock: Clock) {
        self.push.follow(self.stage.clone(), followed(), stream, clock);
    }

    async fn stirred(&mut self) {
        self.push.stirred(self.held).await;
    }

    async fn revived(&mut self) {
        self.push.revived().await;
    }
}

/// A source that is followed, polled every minute beneath its stream.
struct Following {
    upstream: Arc<Mutex<Upstream>>,
    began: Instant,
    _reports: mpsc::Receiver<Report>,
}

impl Following {
    fn start(scenes: Vec<Scene>, upstream: Upstream) -> Self {
        let upstream = Arc::new(Mutex::new(upstream));
        let source = Pushed {
            push: Push::new(MINUTE),
            stage: Stage::with(scenes),
            upstream: Arc::clone(&upstream),
            held: None,
        };
        let (sender, reports) = mpsc::channel(10_000);
        let following = crate::source::follow(
            Seat::of_configuration(0),
            source,
            // Its first poll is in the middle of the interval.
            Pace::steady(MINUTE),
            Arc::new(Waiting::new(1)),
            Arc::default(),
            Clock::frozen(Timestamp(0)),
            sender,
        );
        tokio::spawn(following);
        Self { upstream, began: Instant::now(), _reports: reports }
    }

    fn publish(&self, version: u64) {
        self.upstream.lock().unwrap().version = version;
    }

    /// Milliseconds of all looks so far.
    fn looks(&self) -> Vec<u128> {
        let upstream = self.upstream.lock().unwrap();
        upstream.looks.iter().map(|(at, _)| (*at - self.began).as_millis()).collect()
    }

    fn last_wanted(&self) -> Wanted {
        self.upstream.lock().unwrap().looks.last().expect("a look").1
    }
}

fn at(version: u64) -> Upstream {
    Upstream { version, ..Upstream::default() }
}

#[tokio::test(start_paused = true)]
async fn an_announcement_leads_to_a_look_at_once_and_polls_go_on_beneath() {
    let acts = vec![
        Act::Pause(seconds(10)),
        Act::Say(b"data: {\"flagStateVersion\":8}\n\n"),
        // One that is held already.
        Act::Pause(seconds(5)),
        Act::Say(b"data: {\"flagStateVersion\":8}\n\n"),
    ];
    let following = Following::start(vec![Scene::Opens(acts), Scene::Swallows], at(7));
    pass(seconds(9)).await;
    // The second is for what changed before the stream was open.
    assert_eq!(following.looks(), [0, 10]);
    following.publish(8);
    pass(seconds(51)).await;
    assert_eq!(following.looks(), [0, 10, 10_000]);
    let wanted = Wanted { number: Some(8), may_wait: true };
    assert_eq!(following.last_wanted(), wanted);
    pass(seconds(3 * 60)).await;
    assert_eq!(&following.looks()[3..], [70_000, 130_000, 190_000], "the stream is silent by now");
    assert_eq!(following.last_wanted(), Wanted::default());
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_announcements_in_a_second_lead_to_few_looks_and_to_the_last_version() {
    // In a hundred bursts.
    let burst = [Act::Announce(100), Act::Pause(Duration::from_millis(10))];
    let acts = std::iter::repeat_n(burst, 100).flatten().collect();
    let following = Following::start(vec![Scene::Opens(acts)], at(10_000));
    pass(Duration::from_millis(1_100)).await;
    let looks = following.looks();
    assert!(looks.len() <= 25, "{looks:?}");
    // The upstream had the last version from the start: nothing was left to be fetched, and that it
    // says other numbers is looked into once a second.
    assert!(looks.len() <= 4, "{looks:?}");

    // And one that is always one step ahead of what it was fetched with.
    let burst = [Act::Announce(100), Act::Pause(Duration::from_millis(10))];
    let acts = std::iter::repeat_n(burst, 100).flatten().collect();
    let following = Following::start(vec![Scene::Opens(acts), Scene::Swallows], at(0));
    for step in 1..=1_000 {
        following.publish(step * 10);
        pass(Duration::from_millis(1)).await;
    }
    pass(seconds(5)).await;
    let looks = following.looks();
    assert!(looks.len() <= 105, "{} looks", looks.len());
    let known = following.upstream.lock().unwrap().looks.last().map(|(_, wanted)| wanted.number);
    assert!(known.is_some());
    pass(MINUTE).await;
    assert_eq!(following.last_wanted(), Wanted::default(), "nothing is missing at the end");
}

#[tokio::test(start_paused = true)]
async fn a_slow_upstream_is_asked_for_the_highest_version_when_it_has_answered() {
    let acts = vec![
        Act::Pause(seconds(5)),
        Act::Announce(10),
        Act::Pause(Duration::from_millis(500)),
        Act::Announce(10),
    ];
    let slow = Upstream { slow: seconds(1), ..at(0) };
    let following = Following::start(vec![Scene::Opens(acts)], slow);
    pass(seconds(4)).await;
    following.publish(10);
    let before = following.looks().len();
    pass(Duration::from_millis(1_400)).await;
    following.publish(20);
    pass(seconds(10)).await;
    let wanted: Vec<_> = {
        let upstream = following.upstream.lock().unwrap();
        upstream.looks[before..].iter().map(|(_, wanted)| wanted.number).collect()
    };
    assert_eq!(wanted, [Some(10), Some(20)], "one look each, the second for the highest");
}

#[tokio::test(start_paused = true)]
async fn what_is_announced_and_never_there_is_asked_for_ever_more_rarely() {
    let acts = vec![Act::Pause(seconds(5)), Act::Say(b"data: {\"flagStateVersion\":8}\n\n")];
    let heartbeats = std::iter::repeat_n([Act::Pause(seconds(20)), Act::Say(b":\n")], 1_000);
    let acts = acts.into_iter().chain(heartbeats.flatten()).collect();
    let following = Following::start(vec![Scene::Opens(acts)], at(7));
    pass(seconds(5) + Duration::from_millis(1)).await;
    assert!(following.last_wanted().may_wait, "once the upstream is asked to wait");
    pass(seconds(600)).await;
    let looks = following.looks();
    assert!(looks.len() <= 35, "{looks:?}");
    assert!(looks.len() >= 12, "{looks:?}");
    let waited = following.upstream.lock().unwrap();
    assert_eq!(waited.looks.iter().filter(|(_, wanted)| wanted.may_wait).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_announces_more_than_it_has_is_still_heard() {
    // Each number is one more than that of the rules, as moments can be.
    let acts = vec![
        Act::Pause(seconds(5)),
        Act::Say(b"data: {\"flagStateVersion\":9}\n\n"),
        Act::Pause(seconds(50)),
        Act::Say(b"data: {\"flagStateVersion\":11}\n\n"),
    ];
    let heartbeats = std::iter::repeat_n([Act::Pause(seconds(20)), Act::Say(b":\n")], 1_000);
    let acts = acts.into_iter().chain(heartbeats.flatten()).collect();
    let following = Following::start(vec![Scene::Opens(acts)], at(7));
    pass(seconds(4)).await;
    following.publish(8);
    pass(seconds(50)).await;
    let before = following.looks().len();
    following.publish(10);
    pass(Duration::from_millis(1_010)).await;
    let looks = following.looks();
    assert_eq!(looks.len(), before + 1, "{looks:?}");
    assert_eq!(looks.last(), Some(&55_000), "{looks:?}");
    pass(5 * MINUTE).await;
    let looks = following.looks();
    assert!(looks.len() <= before + 1 + 6 + 6, "six times more, and the polls: {looks:?}");
    let last = *looks.last().unwrap();
    assert_eq!(looks[looks.len() - 2] + 60_000, last, "only polls are left: {looks:?}");
}

#[tokio::test(start_paused = true)]
async fn rules_without_a_number_are_looked_at_once_for_each_announcement() {
    let mut push = Push::new(MINUTE);
    let stage = Stage::with(vec![Scene::Opens(vec![
        Act::Announce(1),
        Act::Pause(seconds(9)),
        Act::Announce(1),
    ])]);
    push.follow(stage, followed(), Arc::default(), Clock::frozen(Timestamp(0)));
    pass(seconds(1)).await;
    for number in [1, 2] {
        push.stirred(None).await;
        assert_eq!(push.look_begins(None).number, Some(number));
        push.look_ends(None);
        let next = tokio::time::timeout(seconds(5), push.stirred(None)).await;
        assert!(next.is_err(), "nothing more was announced");
        pass(seconds(5)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_version_may_be_as_far_ahead_as_moments_are_apart() {
    let said = b"data: {\"flagStateVersion\":1780000003600000}\n\n";
    let acts = vec![Act::Pause(seconds(5)), Act::Say(said)];
    let following = Following::start(vec![Scene::Opens(acts)], at(1_780_000_000_000_000));
    pass(seconds(4)).await;
    following.publish(1_780_000_003_600_000);
    pass(seconds(40)).await;
    assert_eq!(following.looks(), [0, 10, 5_000]);
}

#[tokio::test(start_paused = true)]
async fn a_number_that_is_wrong_hides_none_of_those_after_it() {
    // Said again and again, among those that are right: soon after it, while it is looked for, and
    // once it was given up.
    let wrong = b"data: {\"flagStateVersion\":9007199254740991}\n\n";
    let right = |said: &'static [u8]| [Act::Say(wrong), Act::Say(said), Act::Say(wrong)];
    let quarter = || (0..15).flat_map(|_| [Act::Pause(seconds(20)), Act::Say(b":\n")]);
    let mut acts = vec![Act::Pause(seconds(5)), Act::Say(wrong), Act::Pause(seconds(1))];
    acts.extend(right(b"data: {\"flagStateVersion\":8}\n\n"));
    acts.push(Act::Pause(seconds(14)));
    acts.extend(right(b"data: {\"flagStateVersion\":9}\n\n"));
    acts.extend(quarter());
    acts.extend(right(b"data: {\"flagStateVersion\":10}\n\n"));
    acts.extend(quarter());
    let following = Following::start(vec![Scene::Opens(acts), Scene::Swallows], at(7));
    for (moment, version) in [(6, 8), (20, 9), (320, 10)] {
        let before = following.began + seconds(moment) - Duration::from_millis(1);
        tokio::time::sleep_until(before).await;
        following.publish(version);
        pass(Duration::from_millis(1_002)).await;
        let looks = following.looks();
        let late = looks.last().unwrap() - u128::from(moment) * 1_000;
        assert!(late <= 1_000, "{version} is looked for in time: {looks:?}");
        assert!(looks.len() < 40, "{looks:?}");
    }
    pass(seconds(300)).await;
    let looks = following.looks();
    assert!(looks.len() < 60, "{looks:?}");
}

#[tokio::test(start_paused = true)]
async fn a_number_that_was_given_up_is_looked_for_when_it_is_announced_anew() {
    let said = b"data: {\"flagStateVersion\":8}\n\n";
    let heartbeat = [Act::Pause(seconds(20)), Act::Say(b":\n")];
    let heartbeats = |count| std::iter::repeat_n(heartbeat.clone(), count).flatten();
    let scene = |last| {
        let said = [Act::Pause(seconds(5)), Act::Say(said)].into_iter();
        Scene::Opens(said.chain(heartbeats(30)).chain([last]).collect())
    };
    let mut first = vec![Act::Pause(seconds(5)), Act::Say(said)];
    first.extend(heartbeats(30));
    first.extend([Act::Say(said), Act::Close]);
    let following = Following::start(vec![Scene::Opens(first), scene(Act::Close)], at(7));
    // Ten minutes: only polls are left. Then on the same stream...
    pass(seconds(605) + Duration::from_millis(500)).await;
    assert!(following.looks().contains(&605_000), "{:?}", following.looks());
    // ...and on the next one, which is another upstream, maybe.
    pass(seconds(7)).await;
    let upstream = following.upstream.lock().unwrap();
    let waited = upstream.looks.iter().filter(|(_, wanted)| wanted.may_wait);
    let waited: Vec<_> = waited.map(|(at, _)| (*at - following.began).as_secs()).collect();
    assert!(matches!(waited[..], [5, 610..613]), "asked to wait once by each: {waited:?}");
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_goes_back_is_looked_at_once_a_second() {
    let flood: Vec<_> = (0..3_000)
        .flat_map(|step: u64| {
            let said: &[u8] = if step.is_multiple_of(2) {
                b"data: {\"flagStateVersion\":3}\n\n"
            } else {
                b"data: {\"flagStateVersion\":2}\n\n"
            };
            [Act::Pause(Duration::from_millis(1)), Act::Say(said)]
        })
        .collect();
    let following = Following::start(vec![Scene::Opens(flood)], at(7));
    pass(seconds(10)).await;
    let looks = following.looks();
    assert!((4..=6).contains(&looks.len()), "{looks:?}");
    assert!(!following.last_wanted().may_wait);
}

#[tokio::test(start_paused = true)]
async fn changes_without_a_number_lead_to_a_look_a_second() {
    let change = b"data: {\"name\":\"flags-updated\"}\n\n";
    let flood = [Act::Pause(Duration::from_millis(1)), Act::Say(change)];
    let acts = std::iter::repeat_n(flood, 10_000).flatten().collect();
    let following = Following::start(vec![Scene::Opens(acts)], at(7));
    pass(seconds(10)).await;
    let looks = following.looks().len();
    assert!((9..=12).contains(&looks), "{looks}");
}

#[tokio::test(start_paused = true)]
async fn what_changed_while_there_was_no_stream_is_found_when_it_is_back() {
    let first = Scene::Opens(vec![
        Act::Say(b":\n"),
        Act::Pause(seconds(30)),
        Act::Say(b":\n"),
        Act::Pause(seconds(40)),
        Act::Close,
    ]);
    let following = Following::start(vec![first, Scene::Opens(vec![])], at(7));
    pass(seconds(70)).await;
    let before = following.looks();
    // Nothing announces this.
    following.publish(8);
    pass(seconds(2)).await;
    let looks = following.looks();
    assert_eq!(looks.len(), before.len() + 1, "{looks:?}");
    assert!(looks.last().unwrap() - 70_000 < 1_200, "{looks:?}");
}

#[tokio::test(start_paused = true)]
async fn a_source_that_failed_is_looked_at_when_its_stream_is_back() {
    let down = Upstream { is_down: true, ..at(7) };
    // Long enough for the polls to have become rare.
    let mut scenes = vec![Scene::Refuses; 12];
    scenes.push(Scene::Opens(vec![]));
    let upstream = Arc::new(Mutex::new(down));
    let stage = Stage::with(scenes);
    let push = Push::new(10 * MINUTE);
    let source = Pushed { push, stage: stage.clone(), upstream: Arc::clone(&upstream), held: None };
    let (sender, _reports) = mpsc::channel(10_000);
    let status = Arc::<SourceStream>::default();
    let following = crate::source::follow(
        Seat::of_configuration(0),
        source,
        Pace::steady(60 * MINUTE),
        Arc::new(Waiting::new(1)),
        Arc::clone(&status),
        Clock::frozen(Timestamp(0)),
        sender,
    );
    tokio::spawn(following);
    pass(seconds(1)).await;
    upstream.lock().unwrap().is_down = false;
    while status.status().state != StreamState::Connected {
        assert_eq!(upstream.lock().unwrap().looks.len(), 1, "polls are an hour apart");
        pass(Duration::from_millis(10)).await;
    }
    pass(Duration::from_millis(10)).await;
    assert_eq!(upstream.lock().unwrap().looks.len(), 2);
    pass(5 * MINUTE).await;
    // Its stream is as silent as one can be: each new one means one look.
    assert!(upstream.lock().unwrap().looks.len() <= 10);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_flaps_before_a_source_that_fails_leads_to_few_looks() {
    let flapping = Scene::Opens(vec![Act::Close]);
    let down = Upstream { is_down: true, ..at(7) };
    let following = Following::start(vec![flapping], down);
    pass(seconds(600)).await;
    let looks = following.looks();
    // One for each time that the stream was open, which grows rare, and one each minute.
    assert!(looks.len() <= 60, "{looks:?}");
    assert!(looks.windows(2).all(|pair| pair[1] - pair[0] >= 1_000), "{looks:?}");
}
