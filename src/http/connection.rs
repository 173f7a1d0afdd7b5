//! One client connection: what phase it is in, and the bytes below hyper.
//!
//! Deadlines cost a request nothing: it notes its phase in two relaxed stores, and the worker looks
//! at all its connections a few times a second ([`Connection::check`]).

use std::convert::Infallible;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::HttpService;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulConnection;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::body::ResponseBody;
use super::direct::{Direct, Next};
use super::streaming::{Departure, Streaming};
use super::streams::Exchanges;
use super::worker::Worker;
use crate::dialect::{Dialect, Rejection};

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Phase {
    /// Waiting for a request.
    Idle = 0,
    /// Reading a head.
    Head = 1,
    /// Reading a body.
    Body = 2,
    /// Answering.
    Serving = 3,
    /// Held for a version, or an event stream; whoever holds it has a time of its own.
    Holding = 4,
}

/// Longest waits by phase, in ticks of the worker.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// Indexed by phase.
    pub ticks: [u32; 5],
}

/// A connection's state, shared between its task, its requests and the worker's check.
#[derive(Debug)]
pub struct Connection {
    /// The worker that serves it.
    pub worker: Arc<Worker>,
    phase: AtomicU8,
    since: AtomicU32,
    expired: AtomicBool,
    /// The head of the request that is being read had both ways of giving a length.
    ambiguous: AtomicBool,
    /// HTTP/2: several requests run at once, so only the whole connection can be idle.
    multiplexed: AtomicBool,
    /// Event streams that are open on it: while there are any, it is not idle.
    listening: AtomicU32,
    /// The last bytes for the client could not be sent yet.
    blocked: AtomicBool,
    /// An event stream was opened that takes the socket over.
    departs: AtomicBool,
    departure: Mutex<Option<Departure>>,
    waker: Mutex<Option<Waker>>,
}

impl Connection {
    /// A new connection of `worker`.
    pub fn new(worker: Arc<Worker>) -> Self {
        let since = AtomicU32::new(worker.tick());
        Self {
            worker,
            phase: AtomicU8::new(Phase::Idle as u8),
            since,
            expired: AtomicBool::new(false),
            ambiguous: AtomicBool::new(false),
            multiplexed: AtomicBool::new(false),
            listening: AtomicU32::new(0),
            blocked: AtomicBool::new(false),
            departs: AtomicBool::new(false),
            departure: Mutex::default(),
            waker: Mutex::new(None),
        }
    }

    fn enter(&self, phase: Phase) {
        let phase = if self.is_multiplexed() { Phase::Idle } else { phase };
        self.phase.store(phase as u8, Ordering::Relaxed);
        self.since.store(self.worker.tick(), Ordering::Relaxed);
    }

    fn is_in(&self, phase: Phase) -> bool {
        self.phase.load(Ordering::Relaxed) == phase as u8
    }

    /// A request is being answered.
    pub fn serving(&self) {
        self.enter(Phase::Serving);
    }

    /// A request waits for a version, or listens to events.
    pub fn holding(&self) {
        self.enter(Phase::Holding);
    }

    /// A request's body is being read.
    pub fn receiving(&self) {
        self.enter(Phase::Body);
    }

    /// The answer was handed to the connection.
    pub fn answered(&self) {
        self.enter(Phase::Idle);
    }

    /// An event stream is opened on it.
    pub fn begins_to_listen(&self) {
        self.listening.fetch_add(1, Ordering::Relaxed);
    }

    /// An event stream has ended.
    pub fn ceases_to_listen(&self) {
        self.listening.fetch_sub(1, Ordering::Relaxed);
        self.answered();
    }

    /// Whether requests of this connection keep their own time.
    pub fn is_multiplexed(&self) -> bool {
        self.multiplexed.load(Ordering::Relaxed)
    }

    /// Leaves the socket to an event stream, once what was answered before is sent. Only where
    /// nothing but HTTP/1.1 is spoken.
    pub fn depart(&self, departure: Departure) {
        *self.departure() = Some(departure);
        self.departs.store(true, Ordering::Relaxed);
    }

    fn departure(&self) -> MutexGuard<'_, Option<Departure>> {
        self.departure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The event stream that takes the socket over now.
    fn take_departure(&self) -> Option<Departure> {
        if !self.departs.load(Ordering::Relaxed) || self.blocked.load(Ordering::Relaxed) {
            return None;
        }
        self.departs.store(false, Ordering::Relaxed);
        self.departure().take()
    }

    /// Whether it has become an event stream of which the client takes nothing.
    pub fn is_unheard(&self) -> bool {
        self.blocked.load(Ordering::Relaxed)
            && !self.is_multiplexed()
            && self.listening.load(Ordering::Relaxed) > 0
    }

    /// Whether a deadline has passed.
    pub fn is_expired(&self) -> bool {
        self.expired.load(Ordering::Relaxed)
    }

    /// Whether the present request gave its length in two ways; asked once.
    pub fn take_ambiguous(&self) -> bool {
        self.ambiguous.load(Ordering::Relaxed) && self.ambiguous.swap(false, Ordering::Relaxed)
    }

    /// Ends the wait if it has lasted longer than its phase allows.
    pub fn check(&self, now: u32, deadlines: &Deadlines) {
        let phase = usize::from(self.phase.load(Ordering::Relaxed)) % deadlines.ticks.len();
        let waited = now.wrapping_sub(self.since.load(Ordering::Relaxed));
        if waited > deadlines.ticks[phase]
            && (phase != Phase::Idle as usize || self.listening.load(Ordering::Relaxed) == 0)
        {
            self.expired.store(true, Ordering::Relaxed);
            self.wake();
        }
    }

    /// Closes it, whatever it is doing.
    pub fn end(&self) {
        self.serving();
        self.expired.store(true, Ordering::Relaxed);
        self.wake();
    }

    /// Has its task look at it again.
    pub fn wake(&self) {
        let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waker) = &*waker {
            waker.wake_by_ref();
        }
    }
}

/// A hyper connection that can let its socket go.
pub trait LetGo {
    /// The socket, if this is a connection that can. What was not sent yet is lost.
    fn let_go(self: Pin<Box<Self>>) -> Option<Transport>;
}

impl<S> LetGo for http1::Connection<TokioIo<Transport>, S>
where
    S: HttpService<Incoming, ResBody = ResponseBody, Error = Infallible> + Unpin,
{
    fn let_go(self: Pin<Box<Self>>) -> Option<Transport> {
        Some(Pin::into_inner(self).into_parts().io.into_inner())
    }
}

/// Requests of HTTP/2 share their connection, so none of them gets it.
impl<S: HttpService<Incoming>> LetGo for auto::Connection<'_, TokioIo<Transport>, S, Exchanges> {
    fn let_go(self: Pin<Box<Self>>) -> Option<Transport> {
        None
    }
}

/// Runs a connection to its end, its deadline or the end of the process.
pub struct Served<C, F> {
    driven: Driven<C>,
    /// Gives the socket to hyper.
    to_hyper: F,
    connection: Arc<Connection>,
    registered: bool,
    ending: bool,
}

/// Who answers.
enum Driven<C> {
    Direct(Box<Direct>),
    Hyper(Pin<Box<C>>),
    Events(Box<Streaming>),
    Nothing,
}

impl<C, F> Served<C, F> {
    /// Answers by itself what it can, and has `to_hyper` take the socket over for the rest.
    pub fn new(transport: Transport, connection: Arc<Connection>, to_hyper: F) -> Self {
        let driven = Driven::Direct(Box::new(Direct::new(transport, Arc::clone(&connection))));
        Self { driven, to_hyper, connection, registered: false, ending: false }
    }
}

/// A stream that did not get the socket is closed: it knows its connection, which holds it.
impl<C, F> Drop for Served<C, F> {
    fn drop(&mut self) {
        let departure = self.connection.departure().take();
        drop(departure);
    }
}

impl<C, F> Future for Served<C, F>
where
    C: GracefulConnection + LetGo,
    F: FnMut(Transport) -> C + Unpin,
{
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if !this.registered {
            this.registered = true;
            let mut waker = this.connection.waker.lock().unwrap_or_else(PoisonError::into_inner);
            *waker = Some(context.waker().clone());
        }
        // A request that is waiting for its body is told so and still gets its answer.
        if this.connection.is_expired() && !this.connection.is_in(Phase::Body) {
            return Poll::Ready(());
        }
        loop {
            let next = match &mut this.driven {
                Driven::Direct(direct) => ready!(direct.poll(context)),
                Driven::Hyper(requests) => {
                    if !this.ending && this.connection.worker.is_draining() {
                        this.ending = true;
                        requests.as_mut().graceful_shutdown();
                    }
                    // Errors here are the peer's: gone, or no HTTP. Both were answered as far as they
                    // can be.
                    if requests.as_mut().poll(context).is_ready() {
                        return Poll::Ready(());
                    }
                    match this.connection.take_departure() {
                        Some(departure) => Next::Events(departure),
                        // The end of the process waits for nobody who does not listen.
                        None if this.ending && this.connection.is_unheard() => {
                            return Poll::Ready(());
                        }
                        None => return Poll::Pending,
                    }
                }
                Driven::Events(streaming) => return streaming.poll(context),
                Driven::Nothing => return Poll::Ready(()),
            };
            let transport = match std::mem::replace(&mut this.driven, Driven::Nothing) {
                Driven::Direct(direct) => Some(direct.into_transport()),
                Driven::Hyper(requests) => requests.let_go(),
                Driven::Events(_) | Driven::Nothing => None,
            };
            this.driven = match (next, transport) {
                (Next::Other, Some(transport)) => {
                    let mut requests = Box::pin((this.to_hyper)(transport));
                    // Told to end before it has read anything, it would not read what is here.
                    if requests.as_mut().poll(context).is_ready() {
                        return Poll::Ready(());
                    }
                    Driven::Hyper(requests)
                }
                (Next::Events(departure), Some(transport)) => {
                    this.connection.holding();
                    Driven::Events(Box::new(Streaming::new(transport, departure)))
                }
                (Next::Closed, _) | (_, None) => return Poll::Ready(()),
            };
        }
    }
}

/// A client that is gone without a word is known to be when what was sent to it is not acknowledged
/// for so long. An event stream has a sign of life to send every 15 s, so none of them outlives its
/// client by more than a minute, and no probes are needed beside it.
#[cfg(target_os = "linux")]
const VANISHED: std::time::Duration = std::time::Duration::from_secs(40);

/// How much the kernel may hold for a connection that is shared by streams and other answers, before
/// the client's side takes it. Enough to keep a fast line busy between two looks of ours.
const SHARED_UNSENT: u32 = 64 * 1024;

/// How a message is sent. It ends a buffer of the kernel's, which would else lay what comes next into
/// the same one without a look at how much there is. And no signal comes of a client that is gone,
/// as of other writes.
#[cfg(target_os = "linux")]
const MESSAGE: i32 = 0x80 | 0x4000; // MSG_EOR | MSG_NOSIGNAL
#[cfg(not(target_os = "linux"))]
const MESSAGE: i32 = 0;

/// A socket of either kind.
#[derive(Debug)]
pub enum Socket {
    /// TCP.
    Tcp(TcpStream),
    /// A unix socket.
    Unix(UnixStream),
}

/// The bytes of a connection on their way to and from hyper.
#[derive(Debug)]
pub struct Transport {
    socket: Socket,
    connection: Arc<Connection>,
    scan: HeadScan,
    /// An answer of ours in place of one of hyper's, and how many bytes hyper believes it wrote.
    replacement: Option<(Bytes, usize)>,
    /// The socket took nothing when it was last written to.
    blocked: bool,
    /// What was read of the socket before hyper came, and is for hyper to read.
    unread: Bytes,
}

impl Transport {
    /// Wraps a socket.
    pub fn new(socket: Socket, connection: Arc<Connection>) -> Self {
        let scan = HeadScan::default();
        let unread = Bytes::new();
        Self { socket, connection, scan, replacement: None, blocked: false, unread }
    }

    /// Has hyper begin with these bytes.
    pub(super) fn unread(&mut self, bytes: Vec<u8>) {
        self.unread = Bytes::from(bytes);
    }

    /// Reads from the socket itself.
    #[inline]
    pub(super) fn poll_receive(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.socket {
            Socket::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Socket::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }

    /// Writes to the socket itself.
    #[inline]
    pub(super) fn poll_transmit(
        &mut self,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match (&mut self.socket, pieces) {
            (Socket::Tcp(stream), [piece]) => Pin::new(stream).poll_write(context, piece),
            (Socket::Unix(stream), [piece]) => Pin::new(stream).poll_write(context, piece),
            (Socket::Tcp(stream), _) => Pin::new(stream).poll_write_vectored(context, pieces),
            (Socket::Unix(stream), _) => Pin::new(stream).poll_write_vectored(context, pieces),
        }
    }

    /// From now on messages are sent ([`Transport::poll_message`]): the kernel holds one that the
    /// client's side does not take, or a few on a unix socket.
    pub(super) fn begins_messages(&self) {
        match &self.socket {
            Socket::Tcp(stream) => bound_unsent(stream, 1),
            // What is too little is raised by the kernel to the least that it can do with.
            Socket::Unix(stream) => drop(SockRef::from(stream).set_send_buffer_size(1)),
        }
    }

    /// From now on streams share it with other answers.
    pub(super) fn is_shared(&self) {
        if let Socket::Tcp(stream) = &self.socket {
            bound_unsent(stream, SHARED_UNSENT);
        }
    }

    /// Sends a message, or the rest of one. Pending while the client's side has not taken the one
    /// before.
    pub(super) fn poll_message(
        &mut self,
        context: &mut Context<'_>,
        message: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Socket::Tcp(stream) = &self.socket else {
            return Pin::new(self).poll_write(context, message);
        };
        let send = || SockRef::from(stream).send_with_flags(message, MESSAGE);
        loop {
            ready!(stream.poll_write_ready(context))?;
            match stream.try_io(Interest::WRITABLE, send) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }

    fn socket(&mut self) -> Pin<&mut dyn Stream> {
        match &mut self.socket {
            Socket::Tcp(stream) => Pin::new(stream),
            Socket::Unix(stream) => Pin::new(stream),
        }
    }

    /// hyper refuses heads that it cannot parse by itself, without a body. Clients get the same
    /// refusal in our shape.
    fn replace_bare_refusal(&mut self, bytes: &[u8]) {
        if !bytes.starts_with(b"HTTP/1.1 4") || !holds(bytes, b"content-length: 0\r\n") {
            return;
        }
        let rejection = match &bytes[9..12] {
            b"431" if self.scan.place != Place::FirstLine => Rejection::HeadTooLarge,
            b"414" | b"431" => Rejection::UrlTooLong(self.connection.worker.shared.limits.url),
            _ => Rejection::Invalid("this is not a valid HTTP request".into()),
        };
        // The path is not known, so neither is the dialect.
        let (status, body) = Dialect::Reflag.reject(&rejection, "");
        let reason = hyper::StatusCode::from_u16(status).ok().and_then(|s| s.canonical_reason());
        let answer = format!(
            "HTTP/1.1 {status} {}\r\ncontent-type: application/json\r\n\
             cache-control: private, no-store\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            reason.unwrap_or_default(),
            body.len(),
        );
        self.connection.worker.refused_head(status, &rejection);
        self.replacement = Some((Bytes::from(answer), bytes.len()));
    }

    fn poll_replacement(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        while let Some((mut answer, length)) = self.replacement.take() {
            if answer.is_empty() {
                return Poll::Ready(Ok(length));
            }
            match self.socket().poll_write(context, &answer) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(written)) => {
                    answer.advance(written);
                    self.replacement = Some((answer, length));
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.replacement = Some((answer, length));
                    return Poll::Pending;
                }
            }
        }
        Poll::Pending
    }

    /// Notes whether the socket takes what is written, where that has changed.
    fn note(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if written.is_pending() != self.blocked {
            self.blocked = written.is_pending();
            self.connection.blocked.store(self.blocked, Ordering::Relaxed);
        }
        written
    }

    /// Notes the arrival of bytes, and what hyper does not tell of a head.
    fn arrived(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if self.connection.is_in(Phase::Idle) {
            if self.connection.is_multiplexed() {
                return;
            }
            self.connection.enter(Phase::Head);
            self.scan = HeadScan::default();
            // Most heads, and nothing is to be learned of them: whoever encodes the body of a GET
            // is refused later.
            if bytes[0] == b'G' && bytes.ends_with(b"\r\n\r\n") {
                return;
            }
        } else if !self.connection.is_in(Phase::Head) {
            return;
        }
        self.scan.feed(bytes);
        if self.scan.length && self.scan.encoding {
            self.connection.ambiguous.store(true, Ordering::Relaxed);
        }
        if self.scan.preface {
            self.connection.multiplexed.store(true, Ordering::Relaxed);
            self.connection.enter(Phase::Idle);
        }
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Stream for T {}

impl AsyncRead for Transport {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if self.unread.is_empty() {
            ready!(self.poll_receive(context, buffer))?;
        } else {
            let length = self.unread.len().min(buffer.remaining());
            buffer.put_slice(&self.unread.split_to(length));
        }
        self.arrived(&buffer.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.replacement.is_none() {
            self.replace_bare_refusal(bytes);
        }
        if self.replacement.is_some() {
            return self.poll_replacement(context);
        }
        let written = self.socket().poll_write(context, bytes);
        self.note(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.replacement.is_none()
            && let [only] = slices
        {
            self.replace_bare_refusal(only);
        }
        if self.replacement.is_some() {
            return self.poll_replacement(context);
        }
        let written = self.poll_transmit(context, slices);
        self.note(written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket().poll_shutdown(context)
    }
}

/// Has the kernel take more only while fewer bytes than this wait for the client's side to take them,
/// and give up a client that vanished. A socket that cannot is used as it is.
#[cfg(target_os = "linux")]
fn bound_unsent(stream: &TcpStream, bytes: u32) {
    let socket = SockRef::from(stream);
    let _ = socket.set_tcp_notsent_lowat(bytes);
    let _ = socket.set_tcp_user_timeout(Some(VANISHED));
}

/// Other systems have no such bound; a small buffer comes close.
#[cfg(not(target_os = "linux"))]
fn bound_unsent(stream: &TcpStream, bytes: u32) {
    let _ = SockRef::from(stream).set_send_buffer_size(bytes.max(4 * 1024) as usize);
}

fn holds(bytes: &[u8], needle: &[u8]) -> bool {
    memchr::memmem::find(bytes, needle).is_some()
}

/// Looks at a head while it arrives, in whatever pieces. hyper settles silently that a head has
/// both `Content-Length` and `Transfer-Encoding`, but a proxy before us may have read another
/// request out of it than we would (RFC 9112, 6.1).
#[derive(Debug, Default)]
struct HeadScan {
    /// How the present line starts; as long as the longest name that is looked for, and its colon.
    start: [u8; 18],
    /// How much of `start` has come.
    held: usize,
    place: Place,
    length: bool,
    encoding: bool,
    /// It is no head but how HTTP/2 begins.
    preface: bool,
}

/// How far a head has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// Nobody has looked.
    #[default]
    Unknown,
    /// The request line, and blank lines before it.
    FirstLine,
    Fields,
    End,
}

impl HeadScan {
    fn feed(&mut self, mut bytes: &[u8]) {
        if self.place == Place::Unknown {
            self.place = Place::FirstLine;
        }
        while self.place != Place::End && !bytes.is_empty() {
            let end = memchr::memchr(b'\n', bytes);
            if let (Some(end), 0) = (end, self.held) {
                self.end_line(&bytes[..end]);
                bytes = &bytes[end + 1..];
                continue;
            }
            let line = &bytes[..end.unwrap_or(bytes.len())];
            let room = &mut self.start[self.held..];
            let taken = room.len().min(line.len());
            room[..taken].copy_from_slice(&line[..taken]);
            self.held += taken;
            bytes = &bytes[end.map_or(bytes.len(), |end| end + 1)..];
            if end.is_some() {
                let (start, held) = (self.start, std::mem::take(&mut self.held));
                self.end_line(&start[..held]);
            }
        }
    }

    /// Notes what a line says, of which the start is enough.
    fn end_line(&mut self, line: &[u8]) {
        if line.is_empty() || line == b"\r" {
            if self.place == Place::Fields {
                self.place = Place::End;
            }
            return;
        }
        self.preface |= self.place == Place::FirstLine && line == b"PRI * HTTP/2.0\r";
        self.place = Place::Fields;
        let is = |name: &[u8]| {
            line.get(name.len()) == Some(&b':') && line[..name.len()].eq_ignore_ascii_case(name)
        };
        match line[0] {
            b'c' | b'C' => self.length |= is(b"content-length"),
            b't' | b'T' => self.encoding |= is(b"transfer-encoding"),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{HeadScan, Place};

    /// Scans in pieces of every size.
    fn scan(head: &str) -> HeadScan {
        let mut scans = (1..=head.len()).map(|size| {
            let mut scan = HeadScan::default();
            head.as_bytes().chunks(size).for_each(|piece| scan.feed(piece));
            scan
        });
        let first = scans.next().unwrap();
        for scan in scans {
            assert_eq!((scan.length, scan.encoding), (first.length, first.encoding), "{head}");
            assert_eq!((scan.place, scan.preface), (first.place, first.preface), "{head}");
        }
        first
    }

    #[test]
    fn heads_with_two_lengths_are_noticed_in_either_order_and_in_any_pieces() {
        let twice = |fields: &str| {
            let scan = scan(&format!("\r\nPOST /bulk HTTP/1.1\r\nHost: x\r\n{fields}\r\n\r\nbody"));
            scan.length && scan.encoding
        };
        assert!(twice("Content-Length: 4\r\nTransfer-Encoding: chunked"));
        assert!(twice("transfer-encoding: chunked\r\nCONTENT-LENGTH: 4"));
        assert!(!twice("Content-Length: 4"));
        assert!(!twice("X: Transfer-Encoding: a\r\nContent-Length: 4"));
        assert!(!twice("Content-Length: 30\r\n\r\nTransfer-Encoding: chunked\r\n"));
    }

    #[test]
    fn a_first_line_without_end_and_the_preface_of_http_2_are_noticed() {
        assert_eq!(scan("\r\nGET /features/evaluated?x=").place, Place::FirstLine);
        assert_eq!(scan("GET / HTTP/1.1\r\nX: y").place, Place::Fields);
        assert_eq!(scan("GET / HTTP/1.1\r\n\r\nbody").place, Place::End);
        assert!(scan("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").preface);
        assert!(!scan("POST / HTTP/1.1\r\nPRI * HTTP/2.0\r\n\r\n").preface);
    }
}
