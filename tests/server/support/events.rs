//! A client of event streams: opens one and takes it apart as it comes.

use std::net::SocketAddr;
use std::time::Duration;

use super::PATIENCE;
use super::wire::{Arrival, Caller, Connection, Reply};

/// What comes on a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Block {
    /// An event: its id, its name and its data.
    Event(String, String, String),
    /// A comment.
    Comment,
    /// When to come again, in milliseconds.
    Retry(u32),
}

impl Block {
    fn parse(text: &str) -> Self {
        assert!(!text.contains('\r'), "lines end in LF alone: {text:?}");
        if text.starts_with(':') {
            return Self::Comment;
        }
        if let Some(millis) = text.strip_prefix("retry: ") {
            return Self::Retry(millis.parse().expect("milliseconds"));
        }
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_else(|| panic!("{name} in {text:?}")).to_owned()
        };
        assert_eq!(text.lines().count(), 3, "{text:?}");
        Self::Event(field("id: "), field("event: "), field("data: "))
    }
}

/// An open stream.
#[derive(Debug)]
pub(crate) struct Events {
    connection: Connection,
    /// The head of the answer, without a body.
    pub(crate) head: Reply,
    is_chunked: bool,
    /// Text that came and is not whole yet.
    text: String,
    is_over: bool,
}

impl Caller {
    /// Opens a stream, or gives the refusal.
    pub(crate) fn listen(&self, target: &str) -> Result<Events, Reply> {
        let mut connection = self.connect().connection;
        connection.write(self.request("GET", target, b""));
        Events::begin(connection)
    }
}

impl Events {
    /// Waits for the head of a stream that was asked for.
    pub(crate) fn begin(mut connection: Connection) -> Result<Self, Reply> {
        let head = connection.head_of_stream()?;
        let is_chunked = head.header("transfer-encoding") == Some("chunked");
        Ok(Self { connection, head, is_chunked, text: String::new(), is_over: false })
    }

    /// Opens one without HTTP's newer ways.
    pub(crate) fn by_http_1_0(address: SocketAddr, target: &str) -> Self {
        let mut connection = Connection::open(address);
        connection.write(format!("GET {target} HTTP/1.0\r\nHost: x\r\n\r\n"));
        Self::begin(connection).expect("a stream")
    }

    /// The next block; none at the end, which must be in order.
    pub(crate) fn next(&mut self) -> Option<Block> {
        self.look(PATIENCE).expect("a block of the stream in time")
    }

    /// What has come within so long a time, if anything.
    #[expect(clippy::option_option, reason = "nothing yet is not the end")]
    fn look(&mut self, patience: Duration) -> Option<Option<Block>> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let block = Block::parse(block);
                self.text = rest.to_owned();
                return Some(Some(block));
            }
            if self.is_over {
                assert_eq!(self.text, "", "a block breaks off");
                return Some(None);
            }
            if self.take_chunk() {
                continue;
            }
            match self.connection.wait(patience) {
                Arrival::Bytes => {}
                Arrival::Silence => return None,
                Arrival::End => {
                    assert!(!self.is_chunked, "the last chunk is missing");
                    self.is_over = true;
                }
            }
        }
    }

    /// Takes a chunk out of what has come.
    fn take_chunk(&mut self) -> bool {
        let bytes = self.connection.unread();
        if !self.is_chunked {
            let text = std::mem::take(bytes);
            self.text.push_str(std::str::from_utf8(&text).expect("UTF-8"));
            return !text.is_empty();
        }
        let Some(line) = bytes.windows(2).position(|pair| pair == b"\r\n") else { return false };
        let size = std::str::from_utf8(&bytes[..line]).expect("a size");
        let size = usize::from_str_radix(size, 16).expect("a size");
        let end = line + 2 + size + 2;
        if bytes.len() < end {
            return false;
        }
        let chunk: Vec<u8> = bytes.drain(..end).collect();
        assert_eq!(&chunk[end - 2..], b"\r\n");
        self.text.push_str(std::str::from_utf8(&chunk[line + 2..end - 2]).expect("UTF-8"));
        self.is_over |= size == 0;
        true
    }

    /// The next event, whatever comments come before it.
    pub(crate) fn event(&mut self) -> (String, String, String) {
        loop {
            match self.next() {
                Some(Block::Event(id, name, data)) => return (id, name, data),
                Some(Block::Comment) => {}
                other => panic!("an event, and not {other:?}"),
            }
        }
    }

    /// Asserts that nothing but comments comes for as long.
    pub(crate) fn is_silent_for(&mut self, patience: Duration) -> bool {
        !matches!(self.look(patience), Some(Some(Block::Event(..)) | None))
    }

    /// What comes until the end, which must be in order, and then the end of the connection.
    pub(crate) fn until_end(mut self) -> Vec<Block> {
        let blocks = std::iter::from_fn(|| self.next()).collect();
        self.connection.expect_end();
        blocks
    }
}
