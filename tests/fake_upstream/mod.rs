//! A flag service that does as it is told: Burgee's upstream in tests.
//!
//! Unless told otherwise it answers as Reflag's service does (reflag-runtime.md sections 4 to 8),
//! from a [`Document`] that can be replaced at any time. Told otherwise, it answers any path with
//! any bytes at any pace, or does not answer, or does not even listen ([`Answer`],
//! [`Upstream::refuse_connections`]). It notes what it is asked.
//!
//! Plain threads and sockets, so that each byte and each end of a connection is the test's choice;
//! no HTTP library stands between. What is to happen later happens when the test opens a [`Gate`].
//! It never evaluates a rule: to a publishable key it lists the public flags, all of them off,
//! which is what Burgee asks it for.
//!
//! Shared by test targets: `mod fake_upstream;` in a file directly below `tests/`.

#![allow(
    dead_code,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "test code of which each target uses its own part"
)]

mod answer;
mod document;
pub(crate) mod flagsmith;
mod reflag;
mod request;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{self, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use burgee::time::Stopwatch;
use socket2::SockRef;

#[allow(unused_imports, reason = "each target uses its own part")]
pub(crate) use self::{
    answer::{Answer, Reply, Step},
    document::Document,
    request::Request,
};

/// The only secret key that the service knows.
pub(crate) const SECRET_KEY: &str = "sec_upstream_0123456789abcdef";

/// The only publishable key that the service knows.
pub(crate) const PUBLISHABLE_KEY: &str = "pub_upstream_0123456789";

/// In the place of a path: every path that has no answer of its own.
pub(crate) const ANY_PATH: &str = "*";

/// Longest wait for something that is bound to come. Nothing waits this long unless it fails.
const PATIENCE: Duration = Duration::from_secs(180);

/// For waits that end with the service.
const FOREVER: Duration = Duration::from_secs(24 * 60 * 60);

/// A running service on a port of loopback that the system chose. Ends, with all its connections,
/// when dropped.
#[derive(Debug)]
pub(crate) struct Upstream {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

impl Upstream {
    /// Starts the service with this document.
    pub(crate) fn serving(document: Document) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port of loopback is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared::new(document));
        let accepting = {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || shared.accept(listener, address))
        };
        Self { address, shared, accepting: Some(accepting) }
    }

    /// Where it listens, without a slash at the end.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on this document is served; held requests and event streams are told.
    pub(crate) fn publish(&self, document: Document) {
        self.shared.change(|state| state.document = document);
    }

    /// From now on `waitForVersion` is held for so long at most.
    pub(crate) fn hold_for(&self, longest: Duration) {
        self.shared.change(|state| state.hold = longest);
    }

    /// From now on these are the environments of Flagsmith's list, in this order.
    pub(crate) fn list(&self, listed: &[flagsmith::Listed]) {
        self.shared.change(|state| state.listed = listed.to_vec());
    }

    /// From now on this path (without query; or [`ANY_PATH`]) is answered like this.
    pub(crate) fn answer(&self, path: &str, answer: impl Into<Answer>) {
        let answer = answer.into();
        self.shared.change(|state| state.script(path).always = Some(answer));
    }

    /// The next request of this path is answered like this, before what [`Self::answer`] says.
    /// Several of them take their turns.
    pub(crate) fn answer_once(&self, path: &str, answer: impl Into<Answer>) {
        let answer = answer.into();
        self.shared.change(|state| state.script(path).next.push_back(answer));
    }

    /// From now on everything is answered from the document again.
    pub(crate) fn recover(&self) {
        self.shared.change(|state| state.scripts.clear());
    }

    /// A gate, closed, for [`Answer::after`] and [`Step::Until`].
    pub(crate) fn gate(&self) -> Gate {
        let number = self.shared.change(|state| {
            state.gates += 1;
            state.gates
        });
        Gate { number, shared: Arc::clone(&self.shared) }
    }

    /// Ends all connections; whoever connects from now on is refused by the system. Returns when it
    /// is so.
    pub(crate) fn refuse_connections(&self) {
        self.shared.change(|state| {
            state.door = Door::Shut;
            state.end_connections();
        });
        self.wake();
        self.shared.expect("the end of the listener", |state| (!state.listens).then_some(()));
    }

    /// Whoever connects from now on is connected by the system and then left alone: nobody reads
    /// what they send. Connections that exist go on.
    pub(crate) fn ignore_connections(&self) {
        self.shared.change(|state| state.door = Door::Ignored);
    }

    /// Connections are taken again, those included that were ignored, at the same address. Returns
    /// when it is so.
    pub(crate) fn accept_connections(&self) {
        self.shared.change(|state| state.door = Door::Open);
        self.shared.expect("a listener", |state| state.listens.then_some(()));
    }

    /// Ends all connections, as a restart would.
    pub(crate) fn end_connections(&self) {
        self.shared.change(State::end_connections);
    }

    /// What it was asked so far, in the order in which requests were complete.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.shared.lock().requests.clone()
    }

    /// What it was asked of one path so far.
    pub(crate) fn requests_to(&self, path: &str) -> Vec<Request> {
        self.shared.lock().requests_to(path)
    }

    /// Waits until a path was asked so many times, and gives all requests of it.
    #[track_caller]
    pub(crate) fn until_requests(&self, path: &str, count: usize) -> Vec<Request> {
        self.shared.expect(&format!("{count} requests of {path}"), |state| {
            Some(state.requests_to(path)).filter(|requests| requests.len() >= count)
        })
    }

    /// How many connections it has taken so far.
    pub(crate) fn connected(&self) -> usize {
        self.shared.lock().connected
    }

    /// The present moment, as [`Request::at`] counts.
    pub(crate) fn now(&self) -> Duration {
        self.shared.started.elapsed()
    }

    /// Forgets what it was asked.
    pub(crate) fn forget_requests(&self) {
        self.shared.change(|state| state.requests.clear());
    }

    /// Lets the accepting thread look at what is wanted of it.
    fn wake(&self) {
        drop(TcpStream::connect(self.address));
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.shared.change(|state| {
            state.ended = true;
            state.end_connections();
        });
        self.wake();
        let ended = self.accepting.take().map(JoinHandle::join);
        assert!(
            std::thread::panicking() || !matches!(ended, Some(Err(_))),
            "the fake upstream panicked"
        );
    }
}

/// Something that an answer waits for.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    number: usize,
    shared: Arc<Shared>,
}

impl Gate {
    /// Opens it for everything that waits or will wait for it.
    pub(crate) fn open(&self) {
        self.shared.change(|state| state.open_gates.insert(self.number));
    }
}

/// What becomes of those who connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    Open,
    Ignored,
    Shut,
}

/// Answers that a test asked for.
#[derive(Debug, Default)]
struct Script {
    next: VecDeque<Answer>,
    always: Option<Answer>,
}

#[derive(Debug)]
struct State {
    document: Document,
    hold: Duration,
    listed: Vec<flagsmith::Listed>,
    scripts: BTreeMap<String, Script>,
    requests: Vec<Request>,
    door: Door,
    /// Whether the system takes connections for us.
    listens: bool,
    connections: BTreeMap<usize, TcpStream>,
    connected: usize,
    gates: usize,
    open_gates: BTreeSet<usize>,
    ended: bool,
}

impl State {
    fn script(&mut self, path: &str) -> &mut Script {
        self.scripts.entry(path.to_owned()).or_default()
    }

    fn scripted(&mut self, path: &str) -> Option<Answer> {
        [path, ANY_PATH].iter().find_map(|path| {
            let script = self.scripts.get_mut(*path)?;
            script.next.pop_front().or_else(|| script.always.clone())
        })
    }

    fn requests_to(&self, path: &str) -> Vec<Request> {
        self.requests.iter().filter(|request| request.path() == path).cloned().collect()
    }

    fn end_connections(&mut self) {
        for stream in self.connections.values() {
            // It may have ended by itself.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    started: Stopwatch,
}

impl Shared {
    fn new(document: Document) -> Self {
        let state = State {
            document,
            hold: reflag::HOLD,
            listed: Vec::new(),
            scripts: BTreeMap::new(),
            requests: Vec::new(),
            door: Door::Open,
            listens: true,
            connections: BTreeMap::new(),
            connected: 0,
            gates: 0,
            open_gates: BTreeSet::new(),
            ended: false,
        };
        Self { state: Mutex::new(state), changed: Condvar::new(), started: Stopwatch::start() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.lock());
        self.changed.notify_all();
        result
    }

    /// Looks after each change until there is something to see. None when the time is up or the
    /// service ends.
    fn wait<T>(&self, limit: Duration, mut look: impl FnMut(&State) -> Option<T>) -> Option<T> {
        let mut seen = None;
        let unseen = |state: &mut State| {
            seen = look(state);
            seen.is_none() && !state.ended
        };
        drop(self.changed.wait_timeout_while(self.lock(), limit, unseen));
        seen
    }

    #[track_caller]
    fn expect<T>(&self, what: &str, look: impl FnMut(&State) -> Option<T>) -> T {
        self.wait(PATIENCE, look).unwrap_or_else(|| panic!("still waiting for: {what}"))
    }

    /// Takes connections until the service ends.
    fn accept(self: &Arc<Self>, mut listener: TcpListener, address: SocketAddr) {
        let mut conversations = Vec::new();
        loop {
            let stream = listener.accept();
            if self.lock().door == Door::Ignored {
                self.wait(FOREVER, |state| (state.door != Door::Ignored).then_some(()));
            }
            if self.lock().ended {
                break;
            }
            if self.lock().door == Door::Shut {
                drop((stream, listener));
                self.change(|state| state.listens = false);
                self.wait(FOREVER, |state| (state.door != Door::Shut).then_some(()));
                if self.lock().ended {
                    break;
                }
                listener = TcpListener::bind(address).expect("the port is still ours");
                self.change(|state| state.listens = true);
            } else if let Ok((stream, _)) = stream {
                let shared = Arc::clone(self);
                conversations.push(std::thread::spawn(move || shared.converse(stream)));
            }
        }
        for conversation in conversations {
            conversation.join().expect("conversations end in order");
        }
    }

    /// Answers the requests of one connection until it ends.
    fn converse(&self, mut stream: TcpStream) {
        let watched = stream.try_clone().expect("descriptors suffice");
        let number = self.change(|state| {
            state.connected += 1;
            state.connections.insert(state.connected, watched);
            if state.ended || state.door == Door::Shut {
                state.end_connections();
            }
            state.connected
        });
        // Small answers in several writes are part of some tests.
        let _ = stream.set_nodelay(true);
        let mut reader = BufReader::new(stream.try_clone().expect("descriptors suffice"));
        while let Ok(Some(request)) = Request::read(&mut reader, number) {
            let last = request.header("connection") == Some("close");
            let answer = self.answer_to(&request);
            if !matches!(self.play(&answer, &mut reader, &mut stream), Ok(true)) || last {
                break;
            }
        }
        // With its last copy, after this, the connection is closed.
        self.change(|state| state.connections.remove(&number));
    }

    fn answer_to(&self, request: &Request) -> Answer {
        let scripted = self.change(|state| {
            // Read under the lock, so that moments are in the order of the list.
            let at = self.started.elapsed();
            state.requests.push(Request { at, ..request.clone() });
            state.scripted(request.path())
        });
        scripted
            .or_else(|| self.answer_from_list(request))
            .unwrap_or_else(|| self.answer_from_document(request))
    }

    /// Does what the answer says. Gives whether the connection can take another request.
    fn play(
        &self,
        answer: &Answer,
        reader: &mut BufReader<TcpStream>,
        stream: &mut TcpStream,
    ) -> io::Result<bool> {
        for step in answer.steps() {
            match step {
                Step::Write(bytes) => stream.write_all(bytes)?,
                Step::Repeat(bytes, times) => {
                    for _ in 0..*times {
                        stream.write_all(bytes)?;
                    }
                }
                Step::Drip(bytes, every) => {
                    for byte in bytes {
                        stream.write_all(&[*byte])?;
                        self.wait(*every, |_| None::<()>);
                    }
                }
                Step::Until(gate) => {
                    let open =
                        |state: &State| state.open_gates.contains(&gate.number).then_some(());
                    self.wait(FOREVER, open);
                }
                Step::Announce => self.announce(stream)?,
                Step::Hang => {
                    io::copy(reader, &mut io::sink())?;
                    return Ok(false);
                }
                Step::Close => return Ok(false),
                Step::Reset => {
                    SockRef::from(&*stream).set_linger(Some(Duration::ZERO))?;
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Writes the version as an event, now and whenever it changes.
    fn announce(&self, stream: &mut TcpStream) -> io::Result<()> {
        let mut told = None;
        let changed = |told| {
            move |state: &State| Some(state.document.version).filter(|new| told != Some(*new))
        };
        while let Some(version) = self.wait(FOREVER, changed(told)) {
            stream.write_all(reflag::announcement(version).as_bytes())?;
            told = Some(version);
        }
        Ok(())
    }
}
