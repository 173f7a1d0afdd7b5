//! HTTP/1.1 as bytes: what a client writes and what it reads.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;

use super::PATIENCE;

/// Looks at an exchange: method, target, body and answer. Fails the test where it is not right.
pub(crate) type Witness = fn(&str, &str, &[u8], &Reply);

static WITNESSES: Mutex<BTreeMap<SocketAddr, Witness>> = Mutex::new(BTreeMap::new());

/// Has somebody look at all exchanges of [`Caller`]s with an address, for as long as this is there.
#[derive(Debug)]
pub(crate) struct Witnessed(SocketAddr);

impl Witnessed {
    pub(crate) fn by(witness: Witness, address: SocketAddr) -> Self {
        let mut all = WITNESSES.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(address, witness);
        Self(address)
    }
}

impl Drop for Witnessed {
    fn drop(&mut self) {
        WITNESSES.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.0);
    }
}

/// Somebody who asks: an address and the header fields that every request carries.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    address: SocketAddr,
    fields: Vec<(String, String)>,
}

impl Caller {
    pub(crate) fn of(address: SocketAddr) -> Self {
        Self { address, fields: vec![("Host".to_owned(), address.to_string())] }
    }

    /// With `Authorization: Bearer`.
    pub(crate) fn bearer(self, key: &str) -> Self {
        self.with("Authorization", &format!("Bearer {key}"))
    }

    /// With one more field, in place of one of the same name.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.fields.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Without a field.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.fields.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self
    }

    pub(crate) fn get(&self, target: &str) -> Reply {
        self.ask("GET", target, "")
    }

    pub(crate) fn post(&self, target: &str, body: impl AsRef<[u8]>) -> Reply {
        self.ask("POST", target, body)
    }

    /// Asks once, on a connection of its own.
    pub(crate) fn ask(&self, method: &str, target: &str, body: impl AsRef<[u8]>) -> Reply {
        self.connect().ask(method, target, body)
    }

    /// Asks as a page of `origin` would before it asks what it wants to.
    pub(crate) fn preflight(&self, origin: &str, method: &str, target: &str) -> Reply {
        let page = self.clone().with("Origin", origin);
        page.with("Access-Control-Request-Method", method).ask("OPTIONS", target, "")
    }

    /// A connection for several requests.
    pub(crate) fn connect(&self) -> Session {
        Session { caller: self.clone(), connection: Connection::open(self.address) }
    }

    /// A request's bytes.
    pub(crate) fn request(&self, method: &str, target: &str, body: &[u8]) -> Vec<u8> {
        let mut request = format!("{method} {target} HTTP/1.1\r\n");
        for (name, value) in &self.fields {
            request.extend([name, ": ", value, "\r\n"]);
        }
        if !body.is_empty() || method == "POST" {
            request.extend(["Content-Length: ", &body.len().to_string(), "\r\n"]);
        }
        request.push_str("\r\n");
        [request.as_bytes(), body].concat()
    }
}

/// A caller and its connection.
#[derive(Debug)]
pub(crate) struct Session {
    caller: Caller,
    pub(crate) connection: Connection,
}

impl Session {
    pub(crate) fn get(&mut self, target: &str) -> Reply {
        self.ask("GET", target, "")
    }

    pub(crate) fn post(&mut self, target: &str, body: impl AsRef<[u8]>) -> Reply {
        self.ask("POST", target, body)
    }

    #[track_caller]
    pub(crate) fn ask(&mut self, method: &str, target: &str, body: impl AsRef<[u8]>) -> Reply {
        let body = body.as_ref();
        self.connection.write(self.caller.request(method, target, body));
        let reply = self.connection.reply_to(method);
        let witnesses = WITNESSES.lock().unwrap_or_else(PoisonError::into_inner);
        let witness = witnesses.get(&self.caller.address).copied();
        drop(witnesses);
        if let Some(look) = witness {
            look(method, target, body, &reply);
        }
        reply
    }
}

/// A connection, for those who choose every byte themselves.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    /// Bytes that came and were not yet read as an answer.
    held: Vec<u8>,
}

/// What came of waiting for more bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// Some came.
    Bytes,
    /// None came in time.
    Silence,
    /// The server is gone.
    End,
}

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).expect("the server listens"))
    }

    /// Over a socket of the test's own.
    pub(crate) fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("a socket takes options");
        stream.set_write_timeout(Some(PATIENCE)).expect("a socket takes options");
        Self { stream, held: Vec::new() }
    }

    /// Writes, as far as the server still takes it: it may answer and close before the end.
    pub(crate) fn write(&mut self, bytes: impl AsRef<[u8]>) {
        match self.stream.write_all(bytes.as_ref()) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("nobody reads"),
            _ => {}
        }
    }

    /// Waits so long for more bytes.
    pub(crate) fn wait(&mut self, patience: Duration) -> Arrival {
        self.stream.set_read_timeout(Some(patience)).expect("a socket takes options");
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => Arrival::End,
            Ok(read) => {
                self.held.extend_from_slice(&buffer[..read]);
                Arrival::Bytes
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Arrival::Silence
            }
            Err(_) => Arrival::End,
        }
    }

    /// The next answer, to a request of this method.
    pub(crate) fn reply_to(&mut self, method: &str) -> Reply {
        let reply = self.next_reply(method != "HEAD");
        reply.expect("an answer, not the end of the connection")
    }

    /// The head of the next answer if that has no end, such as a stream; else the answer.
    pub(crate) fn head_of_stream(&mut self) -> Result<Reply, Reply> {
        while !self.held.windows(4).any(|window| window == b"\r\n\r\n") {
            assert_eq!(self.wait(PATIENCE), Arrival::Bytes, "{}", self.held.escape_ascii());
        }
        let (head, length) = Reply::parse(&self.held, false).expect("a head");
        if head.header("content-length").is_some() {
            return Err(self.reply_to("GET"));
        }
        self.held.drain(..length);
        Ok(head)
    }

    /// What came after the last answer.
    pub(crate) fn unread(&mut self) -> &mut Vec<u8> {
        &mut self.held
    }

    /// The next answer; none when the server closes without one.
    pub(crate) fn next_reply(&mut self, has_body: bool) -> Option<Reply> {
        loop {
            if let Some((reply, length)) = Reply::parse(&self.held, has_body) {
                self.held.drain(..length);
                return Some(reply);
            }
            match self.wait(PATIENCE) {
                Arrival::Bytes => {}
                Arrival::End if self.held.is_empty() => return None,
                arrival => {
                    let held = String::from_utf8_lossy(&self.held);
                    panic!("{arrival:?} in place of the rest of an answer: {held:?}");
                }
            }
        }
    }

    /// All answers until the server closes the connection, which it must.
    pub(crate) fn replies_until_closed(mut self) -> Vec<Reply> {
        std::iter::from_fn(|| self.next_reply(true)).collect()
    }

    /// Waits until the server closes the connection, which it must without another word.
    pub(crate) fn expect_end(&mut self) {
        let reply = self.next_reply(true);
        assert!(reply.is_none(), "an answer in place of the end: {reply:?}");
    }

    /// Waits until the server closes the connection, whatever it says before; gives that.
    pub(crate) fn bytes_until_closed(mut self) -> Vec<u8> {
        loop {
            match self.wait(PATIENCE) {
                Arrival::Bytes => {}
                Arrival::End => return self.held,
                Arrival::Silence => panic!("the connection stays open"),
            }
        }
    }
}

/// Percent-encodes all but letters and digits.
pub(crate) fn percent_encoded(text: &str) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut encoded = String::with_capacity(3 * text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.push(char::from(HEX[usize::from(byte >> 4)]));
            encoded.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
    encoded
}

/// What is in the chunks of a body, and how long they are; none when the last is not there yet.
fn chunks(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut body, mut place) = (Vec::new(), 0);
    loop {
        let line = bytes.get(place..)?.windows(2).position(|pair| pair == b"\r\n")?;
        let size = std::str::from_utf8(&bytes[place..place + line]).expect("a size");
        let size = usize::from_str_radix(size, 16).expect("a size");
        let start = place + line + 2;
        body.extend_from_slice(bytes.get(start..start + size)?);
        place = start + size + 2;
        assert_eq!(bytes.get(start + size..place)?, b"\r\n");
        if size == 0 {
            return Some((body, place));
        }
    }
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) reason: String,
    /// Names in lower case, in the order in which they came.
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// Reads an answer from the start of `bytes`; none when it is not whole yet.
    fn parse(bytes: &[u8], has_body: bool) -> Option<(Self, usize)> {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
        let head = String::from_utf8(bytes[..end].to_vec()).expect("heads are ASCII");
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 "));
        let (status, reason) = status.and_then(|line| line.split_once(' ')).expect("a status line");
        let fields = lines.map(|line| {
            let (name, value) = line.split_once(": ").expect("a header field");
            (name.to_ascii_lowercase(), value.to_owned())
        });
        let mut reply = Self {
            status: status.parse().expect("a number"),
            reason: reason.to_owned(),
            fields: fields.collect(),
            body: Vec::new(),
        };
        if has_body && reply.header("transfer-encoding").is_some() {
            let is_stream = reply.header("content-type") == Some("text/event-stream");
            assert!(is_stream, "every other length is known: {head}");
            let (body, length) = chunks(bytes.get(end + 4..)?)?;
            reply.body = body;
            return Some((reply, end + 4 + length));
        }
        let none = !has_body || matches!(reply.status, 100..=199 | 204 | 304);
        let length = match reply.header("content-length") {
            Some(length) if !none => length.parse().expect("a length"),
            None if !none => panic!("an answer without a length: {head}"),
            _ => 0,
        };
        reply.body = bytes.get(end + 4..end + 4 + length)?.to_vec();
        Some((reply, end + 4 + length))
    }

    /// A field's value. There must not be two of them.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.fields.iter().filter(|(known, _)| known == name);
        let first = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "`{name}` came twice: {self:?}");
        first
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("text")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self}"))
    }

    /// The flags of an evaluated answer.
    pub(crate) fn flags(&self) -> Value {
        assert_eq!(self.status, 200, "{self}");
        self.json()["features"].clone()
    }

    /// The keys of the flags of an evaluated answer.
    pub(crate) fn keys(&self) -> Vec<String> {
        self.flags().as_object().expect("a map").keys().cloned().collect()
    }

    /// Everything but the date, which two equal answers need not share.
    #[must_use]
    pub(crate) fn without_date(mut self) -> Self {
        self.fields.retain(|(name, _)| name != "date");
        self
    }

    pub(crate) fn etag(&self) -> String {
        self.header("etag").unwrap_or_else(|| panic!("a tag: {self}")).to_owned()
    }

    /// Asserts an error of the Reflag dialect.
    #[track_caller]
    pub(crate) fn assert_error(&self, status: u16, code: &str) {
        assert_eq!(self.status, status, "{self}");
        assert_eq!(self.header("content-type"), Some("application/json"), "{self}");
        let body = self.json();
        assert_eq!(body["success"], false, "{self}");
        assert_eq!(body["error"]["code"], code, "{self}");
        let message = body["error"]["message"].as_str().unwrap_or_default();
        assert!(!message.is_empty(), "{self}");
    }
}

/// The answer as it came, for failures.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {}", self.status, self.reason)?;
        for (name, value) in &self.fields {
            writeln!(f, "{name}: {value}")?;
        }
        write!(f, "\n{}", String::from_utf8_lossy(&self.body))
    }
}
