//! Server-sent events as all dialects' streams have them.
//!
//! What clients are told is encoded once, and all of them are sent the same bytes. Lines end in LF
//! alone: some SDKs take streams apart piece by piece, and a CRLF may fall between two of them
//! (reflag-runtime.md section 7.3).

use bytes::Bytes;

/// `Content-Type` of event streams.
pub const MEDIA_TYPE: &str = "text/event-stream";

/// A piece of an event stream that is not taken apart any more. Copies share its bytes.
#[derive(Clone, Debug)]
pub struct Message {
    /// As a chunk of an HTTP/1.1 body.
    chunk: Bytes,
    /// Where in it the text is.
    text: (u32, u32),
}

impl Message {
    /// Encodes a text, which must not be empty: an empty chunk ends a body.
    pub fn new(text: &str) -> Self {
        debug_assert!(!text.is_empty());
        let chunk = format!("{:x}\r\n{text}\r\n", text.len());
        let end = chunk.len() - 2;
        Self { text: ((end - text.len()) as u32, end as u32), chunk: Bytes::from(chunk) }
    }

    /// An event. `data` is a single line.
    pub fn event(id: u64, name: &str, data: &str) -> Self {
        debug_assert!(!data.contains(['\r', '\n']));
        Self::new(&format!("id: {id}\nevent: {name}\ndata: {data}\n\n"))
    }

    /// A comment: nothing for the client, and a sign of life for everything on the way to it.
    pub fn heartbeat() -> Self {
        Self::new(":\n\n")
    }

    /// When to come again once the stream has ended, in milliseconds.
    pub fn retry(millis: u32) -> Self {
        Self::new(&format!("retry: {millis}\n\n"))
    }

    /// The text alone.
    pub fn text(&self) -> Bytes {
        let (start, end) = self.text;
        self.chunk.slice(start as usize..end as usize)
    }

    /// The text as a chunk of an HTTP/1.1 body (RFC 9112, 7.1).
    pub fn chunk(&self) -> Bytes {
        self.chunk.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_text_in_two_framings() {
        let message = Message::event(7, "message", "{}");
        assert_eq!(message.text(), "id: 7\nevent: message\ndata: {}\n\n");
        assert_eq!(message.chunk(), "1f\r\nid: 7\nevent: message\ndata: {}\n\n\r\n");
        assert_eq!(Message::heartbeat().chunk(), "3\r\n:\n\n\r\n");
    }
}
