//! A connection whose requests are plain: they are read, answered and written without hyper.
//!
//! Nearly all requests are of the form that [`plain_request`] reads, and come
//! whole. For them there is nothing to wait for and nothing to keep: they are read into a buffer of
//! the thread, answered by the [`pipeline`](super::pipeline) and written out of another, and between
//! two of them a connection holds no memory but its own few words. At the first request of any other
//! form hyper takes the connection over, with the bytes that were read already, and keeps it.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use hyper::StatusCode;
use tokio::io::{AsyncWrite, ReadBuf};

use super::connection::{Connection, Transport};
use super::pipeline::{Stop, admit, answer, departure, refuse};
use super::plain_request;
use super::reply::Reply;
use super::request_head::RequestHead;
use super::routing::Target;
use super::streaming::Departure;
use crate::dialect::Rejection;
use crate::dialect::reflag::routes::Endpoint;
use crate::time::{Clock, Stopwatch};

/// Longest request that is answered here, head and body.
const LONGEST: usize = 16 * 1024;

/// Up to this length a body is copied behind its head: one piece is less work for the kernel, and
/// copying more than this is more.
const COPIED: usize = 2 * 1024;

/// What a thread keeps from request to request.
struct Buffers {
    input: [u8; LONGEST],
    output: Output,
}

/// Where answers are written.
#[derive(Default)]
struct Output {
    bytes: Vec<u8>,
    date: Date,
}

thread_local! {
    static BUFFERS: Cell<Option<Box<Buffers>>> = const { Cell::new(None) };
}

impl Default for Buffers {
    fn default() -> Self {
        Self { input: [0; LONGEST], output: Output::default() }
    }
}

/// The line of the answer that tells the time; written once a second.
#[derive(Default)]
struct Date {
    line: String,
    written: Option<Stopwatch>,
    holds: Duration,
}

impl Date {
    /// The line for an answer to a request that came at the start of `watch`.
    fn line(&mut self, watch: Stopwatch, clock: &Clock) -> &[u8] {
        if self.written.is_none_or(|written| watch.since(written) >= self.holds) {
            let now = clock.now();
            self.line = format!("date: {}\r\n", httpdate::fmt_http_date(now.into()));
            self.written = Some(watch);
            self.holds = Duration::from_millis(1_000 - now.0.rem_euclid(1_000).unsigned_abs());
        }
        self.line.as_bytes()
    }
}

/// How it goes on with a connection.
pub(super) enum Next {
    /// It is over.
    Closed,
    /// A request that is not plain, or has to be waited for.
    Other,
    /// An event stream.
    Events(Departure),
}

/// Answers plain requests.
#[derive(Debug)]
pub(super) struct Direct {
    transport: Transport,
    connection: Arc<Connection>,
    /// What was read and not answered yet.
    begun: Vec<u8>,
    /// How much of it there has to be before it is worth another look.
    needed: usize,
    /// The body that is waited for.
    reserved: Option<Reserved>,
    /// What the socket has not taken yet.
    unsent: [Bytes; 2],
    /// Nothing follows what is unsent.
    ends: bool,
}

/// A body's share of what all may take, given back when dropped.
#[derive(Debug)]
struct Reserved {
    connection: Arc<Connection>,
    bytes: usize,
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.connection.worker.shared.in_flight.give_back(self.bytes);
    }
}

/// What came of the bytes at the front of the input.
enum Step {
    /// They were a request, which is answered; so many they were.
    Answered(usize),
    /// They will be one when there are so many.
    Waits(usize),
    /// They are for others.
    Leaves(Next),
}

impl Direct {
    pub(super) fn new(transport: Transport, connection: Arc<Connection>) -> Self {
        let unsent = [const { Bytes::new() }; 2];
        let (begun, reserved) = (Vec::new(), None);
        Self { transport, connection, begun, needed: 0, reserved, unsent, ends: false }
    }

    /// The socket, with what was read of it and not answered.
    pub(super) fn into_transport(self) -> Transport {
        // Whoever reads it next begins with its first byte.
        self.connection.answered();
        let mut transport = self.transport;
        transport.unread(self.begun);
        transport
    }

    /// Done when others have to go on.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Next> {
        let mut buffers = BUFFERS.take().unwrap_or_default();
        let next = self.run(context, &mut buffers);
        BUFFERS.set(Some(buffers));
        next
    }

    fn run(&mut self, context: &mut Context<'_>, buffers: &mut Buffers) -> Poll<Next> {
        loop {
            if ready!(self.poll_send(context)).is_err() {
                return Poll::Ready(Next::Closed);
            }
            let is_idle = self.begun.is_empty();
            if self.ends || (is_idle && self.connection.worker.is_draining()) {
                // Whether that succeeds is all the same.
                return Pin::new(&mut self.transport).poll_shutdown(context).map(|_| Next::Closed);
            }
            let mut length = self.begun.len();
            buffers.input[..length].copy_from_slice(&self.begun);
            if length == 0 || length < self.needed {
                let mut space = ReadBuf::new(&mut buffers.input[length..]);
                match self.transport.poll_receive(context, &mut space) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(_)) => return Poll::Ready(Next::Closed),
                    // What is said to a client whose body does not come is said in one place.
                    Poll::Pending if self.needed > 0 && self.connection.is_expired() => {
                        return Poll::Ready(Next::Other);
                    }
                    Poll::Pending => return Poll::Pending,
                }
                let received = space.filled().len();
                if received == 0 {
                    return Poll::Ready(if is_idle { Next::Closed } else { Next::Other });
                }
                length += received;
            }
            let Buffers { input, output } = &mut *buffers;
            let (answered, left) = self.answer_all(context, &input[..length], output);
            // Nothing, most of the time, and then no memory either.
            self.begun = input[answered..length].to_vec();
            if let Some(next) = left {
                return Poll::Ready(next);
            }
        }
    }

    /// Answers requests as long as they come whole and their answers are taken. Gives how much of
    /// the input they were, and how it goes on if not here.
    fn answer_all(
        &mut self,
        context: &mut Context<'_>,
        input: &[u8],
        output: &mut Output,
    ) -> (usize, Option<Next>) {
        let mut answered = 0;
        self.needed = 0;
        while answered < input.len() && !self.ends && self.is_sent() {
            match self.step(context, &input[answered..], output) {
                Step::Answered(length) => answered += length,
                Step::Waits(needed) => {
                    self.needed = needed;
                    break;
                }
                Step::Leaves(next) => return (answered, Some(next)),
            }
        }
        (answered, None)
    }

    /// Answers the first request of the input.
    fn step(&mut self, context: &mut Context<'_>, input: &[u8], output: &mut Output) -> Step {
        let watch = Stopwatch::start();
        let connection = &self.connection;
        let process = &*connection.worker.shared;
        let Some(request) = plain_request::read(input) else { return Step::Leaves(Next::Other) };
        let (head_length, body_length) = (request.head_length, request.body_length);
        let length = head_length + body_length;
        let head = request.head(&process.base_path);
        let mut body = &b""[..];
        if body_length > 0 {
            if length > LONGEST || body_length > process.limits.body || !takes_body(&head) {
                return Step::Leaves(Next::Other);
            }
            match input.get(head_length..length) {
                // It is here and takes no more room, but where there is none all are refused alike.
                Some(_) if self.reserved.is_none() && !process.in_flight.has_room(body_length) => {
                    return Step::Leaves(Next::Other);
                }
                Some(whole) => body = whole,
                None => return self.wait_for_body(&head, body_length, length),
            }
        }
        let is_last = connection.worker.is_draining();
        let mut write = |reply: Reply<'_>| output.write(reply, is_last, watch, &process.clock);
        let answered = if head.target_length > process.limits.url {
            Err(Rejection::UrlTooLong(process.limits.url).into())
        } else {
            answer(connection, &head, body, None, true, &mut write)
        };
        let answered = match answered {
            Ok(answered) => answered,
            Err(Stop::Refused(rejection)) => write(refuse(process, &head, &rejection)),
            Err(Stop::Streams(opening)) => {
                let departure = departure(connection, head.route, true, *opening);
                return Step::Leaves(Next::Events(departure));
            }
            // Nothing was counted yet, so that it may be asked once more.
            Err(Stop::Behind(_) | Stop::Untranslated(..)) => return Step::Leaves(Next::Other),
        };
        let Answered { status, closes, body } = answered;
        connection.worker.metrics.answered(head.route.label, status, watch.elapsed());
        connection.answered();
        self.reserved = None;
        self.ends = closes;
        match self.send(context, &output.bytes, &body) {
            Ok(()) => Step::Answered(length),
            Err(_) => Step::Leaves(Next::Closed),
        }
    }

    /// Waits for a body, if its sender has a key and there is room for it; else hyper receives it, or
    /// rather does not.
    #[cold]
    fn wait_for_body(&mut self, head: &RequestHead<'_>, bytes: usize, length: usize) -> Step {
        let process = &self.connection.worker.shared;
        if admit(process, head).is_err()
            || head.fields.content_encoding.is_some()
            || !process.in_flight.take(bytes)
        {
            return Step::Leaves(Next::Other);
        }
        self.connection.receiving();
        self.reserved = Some(Reserved { connection: Arc::clone(&self.connection), bytes });
        Step::Waits(length)
    }

    fn is_sent(&self) -> bool {
        self.unsent.iter().all(Bytes::is_empty)
    }

    /// Sends an answer, or as much of it as the socket takes now.
    #[inline]
    fn send(&mut self, context: &mut Context<'_>, head: &[u8], body: &Bytes) -> io::Result<()> {
        let pieces = [IoSlice::new(head), IoSlice::new(body)];
        let pieces = if body.is_empty() { &pieces[..1] } else { &pieces[..] };
        let taken = match self.transport.poll_transmit(context, pieces) {
            Poll::Ready(taken) => taken?,
            Poll::Pending => 0,
        };
        if taken < head.len() + body.len() {
            let of_head = taken.min(head.len());
            let rest = Bytes::copy_from_slice(&head[of_head..]);
            self.unsent = [rest, body.slice(taken - of_head..)];
        }
        Ok(())
    }

    /// Sends what is unsent.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.is_sent() {
            let pieces = self.unsent.each_ref().map(|piece| IoSlice::new(piece));
            let mut taken = ready!(self.transport.poll_transmit(context, &pieces))?;
            if taken == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            for piece in &mut self.unsent {
                let of_piece = taken.min(piece.len());
                taken -= of_piece;
                piece.advance(of_piece);
                if piece.is_empty() {
                    // Its buffer goes back to where it came from.
                    *piece = Bytes::new();
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Whether a body is read before the request is answered.
fn takes_body(head: &RequestHead<'_>) -> bool {
    head.reads_body() && head.route.target != Target::Reflag(Endpoint::Forwarded)
}

/// An answer whose head was written, and its body too if that is short.
struct Answered {
    status: u16,
    closes: bool,
    body: Bytes,
}

impl Output {
    /// Writes an answer, the last of its connection or not, as hyper would: status, fields, length
    /// unless there can be no body, date.
    #[inline]
    fn write(
        &mut self,
        reply: Reply<'_>,
        is_last: bool,
        watch: Stopwatch,
        clock: &Clock,
    ) -> Answered {
        let out = &mut self.bytes;
        out.clear();
        if reply.status == StatusCode::OK {
            out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        } else {
            out.extend_from_slice(b"HTTP/1.1 ");
            out.extend_from_slice(reply.status.as_str().as_bytes());
            out.push(b' ');
            let reason = reply.status.canonical_reason().unwrap_or("<none>");
            out.extend_from_slice(reason.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        reply.write_fields(out);
        if !matches!(reply.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
            out.extend_from_slice(b"content-length: ");
            out.extend_from_slice(itoa::Buffer::new().format(reply.body.len()).as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        let closes = reply.closes();
        if is_last && !closes {
            out.extend_from_slice(b"connection: close\r\n");
        }
        out.extend_from_slice(self.date.line(watch, clock));
        out.extend_from_slice(b"\r\n");
        let mut body = reply.body;
        if body.len() <= COPIED {
            out.extend_from_slice(&body);
            body = Bytes::new();
        }
        Answered { status: reply.status.as_u16(), closes: closes || is_last, body }
    }
}
