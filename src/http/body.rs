//! Bodies, in and out.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::connection::Connection;
use super::streams::EventStream;
use crate::dialect::Rejection;
use crate::time::Stopwatch;

/// The body of an answer.
#[derive(Debug)]
pub enum ResponseBody {
    /// All of it. It tells the metrics when its last byte is handed to the connection.
    Whole(Option<Bytes>, Timer),
    /// Events, until the stream ends.
    Events(Box<EventStream>),
}

/// Counts the request when it is dropped: after the last byte, or when the client went away.
#[derive(Debug)]
pub struct Timer {
    /// The connection that the request came by.
    pub connection: Arc<Connection>,
    /// Started when the head was parsed.
    pub watch: Stopwatch,
    /// Place of the route in the metrics.
    pub route: usize,
    /// Status of the answer.
    pub status: u16,
}

impl Drop for Timer {
    fn drop(&mut self) {
        let duration = self.watch.elapsed();
        self.connection.worker.metrics.answered(self.route, self.status, duration);
        self.connection.answered();
    }
}

impl ResponseBody {
    /// A body of `bytes`.
    pub fn new(bytes: Bytes, timer: Timer) -> Self {
        Self::Whole(Some(bytes).filter(|bytes| !bytes.is_empty()), timer)
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match &mut *self {
            Self::Whole(bytes, _) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Events(stream) => {
                let message = stream.poll_next(context);
                message.map(|message| message.map(|message| Ok(Frame::data(message.text()))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None, _))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes, _) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Self::Events(_) => SizeHint::default(),
        }
    }
}

thread_local! {
    /// Buffers of answers that were written out, most recent last.
    static BUFFERS: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Buffers that a thread keeps, and how large one may be to be kept.
const KEPT_BUFFERS: usize = 8;
const KEPT_CAPACITY: usize = 256 * 1024;

/// An empty buffer with room for `capacity` bytes: the one that was written out last, if there is
/// one. Its memory is still in the cache, which halves what the kernel needs to copy an answer.
pub fn buffer(capacity: usize) -> Vec<u8> {
    let mut buffer = BUFFERS.with_borrow_mut(Vec::pop).unwrap_or_default();
    buffer.reserve(capacity);
    buffer
}

/// Bytes whose buffer goes back to the thread that drops them.
pub fn recycled(buffer: Vec<u8>) -> Bytes {
    Bytes::from_owner(Recycled(buffer))
}

struct Recycled(Vec<u8>);

impl AsRef<[u8]> for Recycled {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Recycled {
    fn drop(&mut self) {
        let mut buffer = std::mem::take(&mut self.0);
        buffer.clear();
        // While a thread ends its buffers may be gone already: then this one goes, too.
        let _ = BUFFERS.try_with(|buffers| {
            let mut buffers = buffers.borrow_mut();
            if buffers.len() < KEPT_BUFFERS && buffer.capacity() <= KEPT_CAPACITY {
                buffers.push(buffer);
            }
        });
    }
}

/// Bytes of all bodies that are being received, with their bound.
#[derive(Debug)]
pub struct InFlight {
    bytes: AtomicUsize,
    limit: usize,
}

impl InFlight {
    /// Nothing yet, at most `limit`.
    pub fn new(limit: usize) -> Self {
        Self { bytes: AtomicUsize::new(0), limit }
    }

    /// Bytes held at this moment.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether there is room for a body of so many bytes.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.bytes() + bytes <= self.limit
    }

    /// Makes room for a body, to be given back; false when there is none.
    pub(super) fn take(&self, bytes: usize) -> bool {
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if before + bytes > self.limit {
            self.give_back(bytes);
            return false;
        }
        true
    }

    /// Gives back what was taken.
    pub(super) fn give_back(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// A share of [`InFlight`], given back when dropped.
struct Reservation<'a> {
    of: &'a InFlight,
    bytes: usize,
}

impl Reservation<'_> {
    fn grow(&mut self, more: usize) -> Result<(), Rejection> {
        if !self.of.take(more) {
            return Err(Rejection::Overloaded);
        }
        self.bytes += more;
        Ok(())
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        self.of.give_back(self.bytes);
    }
}

/// Receives a whole body within its bounds. The only await of most requests that have one.
pub async fn receive(
    body: &mut Incoming,
    limit: usize,
    in_flight: &InFlight,
    connection: &Connection,
) -> Result<Bytes, Rejection> {
    let announced = body.size_hint().exact();
    if announced.is_some_and(|length| length > limit as u64) {
        return Err(Rejection::BodyTooLarge(limit));
    }
    let mut reservation = Reservation { of: in_flight, bytes: 0 };
    reservation.grow(announced.unwrap_or(0) as usize)?;
    connection.receiving();
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    loop {
        let frame = poll_fn(|context| {
            if connection.is_expired() {
                return Poll::Ready(Err(Rejection::BodyTimeout));
            }
            Pin::new(&mut *body).poll_frame(context).map(Ok)
        });
        let Some(frame) = frame.await? else { break };
        let frame = frame.map_err(|_| Rejection::Invalid("the body broke off".into()))?;
        let Ok(chunk) = frame.into_data() else { continue };
        let length = first.len() + rest.len() + chunk.len();
        if length > limit {
            return Err(Rejection::BodyTooLarge(limit));
        }
        reservation.grow(length.saturating_sub(reservation.bytes))?;
        // Most bodies come in one piece, which is then not copied.
        if first.is_empty() && rest.is_empty() {
            first = chunk;
        } else {
            if rest.is_empty() {
                rest.extend_from_slice(&std::mem::take(&mut first));
            }
            rest.extend_from_slice(&chunk);
        }
    }
    connection.serving();
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}
