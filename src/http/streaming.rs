//! An HTTP/1.1 connection that has become an event stream.
//!
//! A connection has nothing more to do than to send events once one is opened: the client would have
//! to read to the end of them before it could ask for anything else. So hyper, with its buffers for
//! heads, is let go, and what is left is the socket ([`Streaming`]). That is what makes an idle
//! client cheap. HTTP/2, where other requests share the connection, keeps hyper.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use hyper::HeaderMap;
use hyper::header::{CONNECTION, DATE, HeaderValue, TRANSFER_ENCODING};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::connection::Transport;
use super::streams::{EventStream, Opening};
use crate::snapshot::write_lines;
use crate::time::Timestamp;

/// A stream that waits for the connection's socket.
#[derive(Debug)]
pub struct Departure {
    head: Bytes,
    /// Whether the body is chunked; else it ends with the connection.
    is_chunked: bool,
    stream: EventStream,
}

impl Departure {
    /// Writes the head of the answer. Clients of HTTP/1.0 know no chunks.
    pub fn new(opening: Opening, is_chunked: bool, now: Timestamp) -> Self {
        let Opening { mut fields, stream } = opening;
        if is_chunked {
            fields.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        fields.insert(CONNECTION, HeaderValue::from_static("close"));
        if let Ok(now) = HeaderValue::from_str(&httpdate::fmt_http_date(now.into())) {
            fields.insert(DATE, now);
        }
        Self { head: write_head(&fields), is_chunked, stream }
    }
}

fn write_head(fields: &HeaderMap) -> Bytes {
    let mut head = b"HTTP/1.1 200 OK\r\n".to_vec();
    write_lines(fields, &mut head);
    head.extend_from_slice(b"\r\n");
    Bytes::from(head)
}

/// Bytes that a client may send while it should listen, before it is taken for something else.
const MOST_UNREAD: usize = 64 * 1024;

/// Sends a stream to its end.
#[derive(Debug)]
pub(super) struct Streaming {
    transport: Transport,
    stream: EventStream,
    is_chunked: bool,
    /// What is being sent.
    sending: Bytes,
    stage: Stage,
    /// How much the client has sent.
    heard: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Events,
    /// The end of the body is being sent.
    End,
    Closing,
}

impl Streaming {
    /// Takes the socket over.
    pub(super) fn new(transport: Transport, departure: Departure) -> Self {
        let Departure { head, is_chunked, stream } = departure;
        let stage = Stage::Events;
        transport.begins_messages();
        Self { transport, stream, is_chunked, sending: head, stage, heard: 0 }
    }

    /// Done when the stream is at its end, or when the client is gone.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.is_deserted(context) {
            return Poll::Ready(());
        }
        loop {
            while !self.sending.is_empty() {
                match self.transport.poll_message(context, &self.sending) {
                    Poll::Ready(Ok(written)) if written > 0 => self.sending.advance(written),
                    Poll::Ready(_) => return Poll::Ready(()),
                    // The end of the process waits for nobody who does not listen.
                    Poll::Pending if self.stream.is_over() => return Poll::Ready(()),
                    Poll::Pending => {
                        self.stream.is_kept_waiting();
                        return Poll::Pending;
                    }
                }
            }
            match self.stage {
                Stage::Events => match ready!(self.stream.poll_next(context)) {
                    Some(message) if self.is_chunked => self.sending = message.chunk(),
                    Some(message) => self.sending = message.text(),
                    None => {
                        self.stage = Stage::End;
                        if self.is_chunked {
                            self.sending = Bytes::from_static(b"0\r\n\r\n");
                        }
                    }
                },
                Stage::End => self.stage = Stage::Closing,
                Stage::Closing => {
                    // Whether that succeeds is all the same.
                    return Pin::new(&mut self.transport).poll_shutdown(context).map(drop);
                }
            }
        }
    }

    /// Whether the client has closed its side, or talks and talks.
    fn is_deserted(&mut self, context: &mut Context<'_>) -> bool {
        let mut space = [0; 256];
        loop {
            let mut buffer = ReadBuf::new(&mut space);
            match Pin::new(&mut self.transport).poll_read(context, &mut buffer) {
                Poll::Pending => return false,
                Poll::Ready(Err(_)) => return true,
                Poll::Ready(Ok(())) => {
                    let heard = buffer.filled().len();
                    self.heard = self.heard.saturating_add(heard);
                    if heard == 0 || self.heard > MOST_UNREAD {
                        return true;
                    }
                }
            }
        }
    }
}
