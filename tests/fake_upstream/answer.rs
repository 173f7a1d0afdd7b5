//! Answers: what is said ([`Reply`]), and how ([`Answer`], a list of [`Step`]s).

use std::io::{self, Read};
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzEncoder;
use serde_json::{Value, json};

use super::Gate;

/// An HTTP answer in one piece.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    status: u16,
    fields: Vec<(String, String)>,
    body: Bytes,
    framing: Framing,
}

/// How the end of a body is told.
#[derive(Clone, Copy, Debug)]
enum Framing {
    /// By its length.
    Length,
    /// By a length that is not its own.
    WrongLength(usize),
    /// By chunks of this size.
    Chunks(usize),
    /// By the end of the connection.
    Close,
}

impl Reply {
    /// Without a body.
    pub(crate) fn status(status: u16) -> Self {
        Self { status, fields: Vec::new(), body: Bytes::new(), framing: Framing::Length }
    }

    /// With a JSON body.
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::status(status).header("Content-Type", "application/json").body(body.to_string())
    }

    /// With the body of Reflag's errors.
    pub(crate) fn error(status: u16, code: &str, message: &str) -> Self {
        Self::json(status, &json!({"success": false, "error": {"code": code, "message": message}}))
    }

    /// With one more header field, whatever it says about the body.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With this body.
    pub(crate) fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// With its body compressed.
    pub(crate) fn gzipped(self) -> Self {
        let body = self.body.clone();
        self.gzipped_body_of(body.as_ref())
    }

    /// With a small body that inflates to so many blanks, which JSON allows anywhere.
    pub(crate) fn gzip_bomb(self, inflated: u64) -> Self {
        self.gzipped_body_of(io::repeat(b' ').take(inflated))
    }

    fn gzipped_body_of(self, plain: impl Read) -> Self {
        let mut body = Vec::new();
        let mut encoder = GzEncoder::new(plain, Compression::fast());
        encoder.read_to_end(&mut body).expect("memory is read without fail");
        self.header("Content-Encoding", "gzip").body(body)
    }

    /// With a `Content-Length` that is not the body's.
    pub(crate) fn wrong_length(mut self, length: usize) -> Self {
        self.framing = Framing::WrongLength(length);
        self
    }

    /// In chunks of this size.
    pub(crate) fn chunked(mut self, size: usize) -> Self {
        self.framing = Framing::Chunks(size);
        self
    }

    /// Without a length: the body ends with the connection.
    pub(crate) fn until_closed(mut self) -> Self {
        self.framing = Framing::Close;
        self
    }

    /// The status line and header fields, with the empty line after them.
    pub(crate) fn head(&self) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        let mut add = |name: &str, value: &str| head.extend([name, ": ", value, "\r\n"]);
        for (name, value) in &self.fields {
            add(name, value);
        }
        match self.framing {
            // These two have no body, and none of them says how long it is.
            Framing::Length if matches!(self.status, 204 | 304) => {}
            Framing::Length => add("Content-Length", &self.body.len().to_string()),
            Framing::WrongLength(length) => add("Content-Length", &length.to_string()),
            Framing::Chunks(_) => add("Transfer-Encoding", "chunked"),
            Framing::Close => add("Connection", "close"),
        }
        head.push_str("\r\n");
        head.into_bytes()
    }

    /// All of it, as it goes over the wire.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.head();
        if let Framing::Chunks(size) = self.framing {
            for chunk in self.body.chunks(size) {
                bytes.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
                bytes.extend(chunk);
                bytes.extend(b"\r\n");
            }
            bytes.extend(b"0\r\n\r\n");
        } else {
            bytes.extend(&self.body);
        }
        bytes
    }
}

fn reason(status: u16) -> &'static str {
    hyper::StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or("Status")
}

/// Something that is done on a connection to answer a request.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Writes this.
    Write(Vec<u8>),
    /// Writes this so many times: bodies too large to keep.
    Repeat(Vec<u8>, usize),
    /// Writes one byte after the other with so much time between them.
    Drip(Vec<u8>, Duration),
    /// Goes on when the test says so.
    Until(Gate),
    /// Writes an event with the document's version, now and whenever it changes.
    Announce,
    /// Does nothing more until the other side ends the connection.
    Hang,
    /// Ends the connection.
    Close,
    /// Ends the connection at once, with what is under way lost.
    Reset,
}

/// How a request is answered. The connection stays open after the last step, unless that ends it.
#[derive(Clone, Debug)]
pub(crate) struct Answer(Vec<Step>);

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        let whole = Self::nothing().then(Step::Write(reply.to_bytes()));
        match reply.framing {
            Framing::Close => whole.then(Step::Close),
            _ => whole,
        }
    }
}

impl Answer {
    /// No byte at all. To be followed by [`Step::Hang`], [`Step::Close`] or [`Step::Reset`].
    pub(crate) fn nothing() -> Self {
        Self(Vec::new())
    }

    /// These bytes, whether they are HTTP or not.
    pub(crate) fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self::nothing().then(Step::Write(bytes.into()))
    }

    /// The first so many bytes of a reply. To be followed by what keeps the rest back.
    pub(crate) fn beginning_of(reply: &Reply, length: usize) -> Self {
        let mut bytes = reply.to_bytes();
        assert!(length < bytes.len(), "the reply has no more than {} bytes", bytes.len());
        bytes.truncate(length);
        Self::raw(bytes)
    }

    /// A reply with something done after so many bytes of it.
    pub(crate) fn interrupted(reply: &Reply, after: usize, step: Step) -> Self {
        let rest = reply.to_bytes().split_off(after);
        Self::beginning_of(reply, after).then(step).then(Step::Write(rest))
    }

    /// A reply whose bytes come one by one.
    pub(crate) fn dripped(reply: &Reply, every: Duration) -> Self {
        Self::nothing().then(Step::Drip(reply.to_bytes(), every))
    }

    /// Not before the gate is open.
    pub(crate) fn after(mut self, gate: &Gate) -> Self {
        self.0.insert(0, Step::Until(gate.clone()));
        self
    }

    /// And then this.
    pub(crate) fn then(mut self, step: Step) -> Self {
        self.0.push(step);
        self
    }

    pub(super) fn steps(&self) -> &[Step] {
        &self.0
    }
}
