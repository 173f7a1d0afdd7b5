//! Reads event streams (`text/event-stream`, WHATWG HTML section 9.2) piece by piece, wherever the
//! pieces were cut.
//!
//! Lines may end in LF, CRLF or CR. Lines and events have a longest length: what is longer is passed
//! over without being kept. Text that is no UTF-8 is no event stream, and neither is one that goes on
//! and on without saying anything: both end the reading. Never knows what an event means.

use std::time::Duration;

use bytes::{Buf, Bytes};

/// Longest line, its end left out. Announcements have a few hundred bytes.
pub(super) const LONGEST_LINE: usize = 16 << 10;
/// Longest event: its name and its data.
pub(super) const LONGEST_EVENT: usize = 16 << 10;
/// Most that may come before something is said: the end of an event, a comment.
const MOST_UNSAID: usize = 1 << 20;

/// One thing that a stream said.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Item {
    Event(Event),
    /// How long to stay away after the stream has ended.
    Retry(Duration),
    /// An event that was longer than one may be.
    Lost,
    /// A comment, or an event without data: there is somebody at the other end.
    Sign,
}

/// What somebody wanted to say.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(in crate::source) struct Event {
    /// Empty where none was given, which means `message`.
    pub(super) name: String,
    /// Lines are joined by LF.
    pub(super) data: String,
}

impl Event {
    /// Whether it is one without a name of its own.
    pub(super) fn is_message(&self) -> bool {
        matches!(&*self.name, "" | "message")
    }
}

/// Why a stream is none.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum Broken {
    #[error("nothing was said in {MOST_UNSAID} bytes")]
    Endless,
    #[error("it is not UTF-8")]
    Text,
}

/// What of a stream was read so far and not given out yet.
#[derive(Debug, Default)]
pub(super) struct Events {
    piece: Bytes,
    line: Vec<u8>,
    /// The line is longer than one may be; its beginning is kept.
    is_line_cut: bool,
    /// Bytes since something was said.
    unsaid: usize,
    /// The line before ended in CR: an LF that follows belongs to it.
    after_cr: bool,
    is_first_line_over: bool,
    draft: Draft,
}

/// An event whose end has not come.
#[derive(Debug, Default)]
struct Draft {
    event: Event,
    has_data: bool,
    /// It was longer than one may be, and is not kept.
    is_lost: bool,
}

impl Events {
    /// Takes the next piece. All of the one before has to be read.
    pub(super) fn feed(&mut self, piece: Bytes) {
        debug_assert!(self.piece.is_empty(), "what is left would be lost");
        self.piece = piece;
    }

    /// The next thing that was said, or none before there is another piece.
    pub(super) fn next(&mut self) -> Result<Option<Item>, Broken> {
        while self.complete_line()? {
            let line = std::mem::take(&mut self.line);
            let item = self.read(&line);
            // The buffer is used again.
            self.line = line;
            self.line.clear();
            if let Some(item) = item? {
                self.unsaid = 0;
                return Ok(Some(item));
            }
        }
        Ok(None)
    }

    /// Moves the rest of a line out of the piece; false when its end has not come.
    fn complete_line(&mut self) -> Result<bool, Broken> {
        if self.after_cr && !self.piece.is_empty() {
            self.after_cr = false;
            if self.piece[0] == b'\n' {
                self.piece.advance(1);
            }
        }
        let end = self.piece.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
        let part = self.piece.split_to(end.unwrap_or(self.piece.len()));
        self.unsaid += part.len() + 1;
        if self.unsaid > MOST_UNSAID {
            return Err(Broken::Endless);
        }
        let room = LONGEST_LINE - self.line.len();
        self.is_line_cut |= part.len() > room;
        self.line.extend_from_slice(&part[..part.len().min(room)]);
        if end.is_some() {
            self.after_cr = self.piece[0] == b'\r';
            self.piece.advance(1);
        }
        Ok(end.is_some())
    }

    fn read(&mut self, line: &[u8]) -> Result<Option<Item>, Broken> {
        let mut line = line;
        let is_cut = std::mem::take(&mut self.is_line_cut);
        if !std::mem::replace(&mut self.is_first_line_over, true) {
            line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        }
        if line.is_empty() {
            let Draft { event, has_data, is_lost } = std::mem::take(&mut self.draft);
            return Ok(Some(match is_lost {
                true => Item::Lost,
                false if has_data => Item::Event(event),
                false => Item::Sign,
            }));
        }
        if line[0] == b':' {
            return Ok(Some(Item::Sign));
        }
        if is_cut {
            // Of a field that means nothing no more was needed.
            self.draft.is_lost |= line.starts_with(b"data:") || line.starts_with(b"event:");
            return Ok(None);
        }
        let line = std::str::from_utf8(line).map_err(|_| Broken::Text)?;
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        Ok(self.take(field, value.strip_prefix(' ').unwrap_or(value)))
    }

    fn take(&mut self, field: &str, value: &str) -> Option<Item> {
        let draft = &mut self.draft;
        match field {
            // Whatever more comes of it, it is lost.
            "event" | "data" if draft.is_lost => {}
            "event" => value.clone_into(&mut draft.event.name),
            "data" => {
                if draft.has_data {
                    draft.event.data.push('\n');
                }
                draft.event.data.push_str(value);
                draft.has_data = true;
            }
            "retry" if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) => {
                let millis = value.parse().unwrap_or(u64::MAX);
                return Some(Item::Retry(Duration::from_millis(millis)));
            }
            // Whoever comes back looks at the rules as a whole, so nothing depends on `id`.
            _ => {}
        }
        if draft.event.name.len() + draft.event.data.len() > LONGEST_EVENT {
            draft.event = Event::default();
            draft.is_lost = true;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(name: &str, data: &str) -> Item {
        Item::Event(Event { name: name.to_owned(), data: data.to_owned() })
    }

    /// All items of a stream that comes in pieces of this size.
    fn read(stream: &[u8], size: usize) -> Result<Vec<Item>, Broken> {
        let mut events = Events::default();
        let mut items = Vec::new();
        for piece in stream.chunks(size) {
            events.feed(Bytes::copy_from_slice(piece));
            while let Some(item) = events.next()? {
                items.push(item);
            }
        }
        Ok(items)
    }

    fn messages(stream: &[u8], size: usize) -> Vec<Item> {
        let items = read(stream, size).unwrap().into_iter();
        items.filter(|item| *item != Item::Sign).collect()
    }

    #[test]
    fn events_are_read_whatever_ends_the_lines_and_wherever_pieces_are_cut() {
        let stream = "\u{feff}: hello\n\nevent: message\ndata: {\"a\":1}\nid: 7\n\n\
                      data:one\ndata: two\ndata\n\nretry: 1500\nevent:  gone\n\n\
                      event: environment_updated\ndata: größer\nunknown: x\n\ndata: cut off\n";
        let expected = [
            event("message", "{\"a\":1}"),
            event("", "one\ntwo\n"),
            Item::Retry(Duration::from_millis(1_500)),
            event("environment_updated", "größer"),
        ];
        for end in ["\n", "\r\n", "\r"] {
            let stream = stream.replace('\n', end);
            for size in 1..=stream.len() {
                assert_eq!(messages(stream.as_bytes(), size), expected, "{end:?} by {size}");
            }
        }
    }

    #[test]
    fn comments_empty_lines_and_events_without_data_are_signs_of_life() {
        assert_eq!(read(b":\n", 1), Ok(vec![Item::Sign]));
        assert_eq!(read(b"\n", 1), Ok(vec![Item::Sign]));
        assert_eq!(read(b"event: ping\n\n", 1), Ok(vec![Item::Sign]));
        // A name does not outlive its event.
        assert_eq!(messages(b"event: ping\n\ndata: x\n\n", 100), [event("", "x")]);
        // What means nothing is none.
        assert_eq!(read(b"gibberish\nretry: soon\nretry:\nid: 3\n", 100), Ok(vec![]));
        assert_eq!(read(b"a line without an end", 1), Ok(vec![]));
    }

    #[test]
    fn what_is_too_long_is_passed_over_and_the_rest_is_read() {
        let line = |length| format!("data: {}", "x".repeat(length - "data: ".len()));
        let longest = format!("{}\n\n", line(LONGEST_LINE));
        let items = read(longest.as_bytes(), 1_000).unwrap();
        assert!(matches!(&items[..], [Item::Event(Event { data, .. })] if data.len() > 16_000));
        let long = "x".repeat(LONGEST_LINE);
        for (text, expected) in [
            (format!("data: {long}\n\n"), vec![Item::Lost]),
            (format!("event: {long}\ndata: 1\n\n"), vec![Item::Lost]),
            (format!("data: 1\ndata: {long}\ndata: 2\n\n"), vec![Item::Lost]),
            (format!("{}\n", line(10_000)).repeat(7) + "\n", vec![Item::Lost]),
            ("data\n".repeat(LONGEST_EVENT + 2) + "\n", vec![Item::Lost]),
            (format!(":{long}\n"), vec![]),
            (format!("id: {long}\ndata: 1\n\n"), vec![event("", "1")]),
            (format!("{long}\ndata: 1\n\n"), vec![event("", "1")]),
            (format!("retry: 1{long}\n"), vec![]),
        ] {
            let text = format!("{text}data: after\n\n");
            for size in [1, 1_000, text.len()] {
                let after = [event("", "after")];
                let expected: Vec<_> = expected.iter().chain(&after).cloned().collect();
                assert_eq!(messages(text.as_bytes(), size), expected, "{} by {size}", &text[..20]);
            }
        }
    }

    #[test]
    fn what_says_nothing_and_has_no_end_is_given_up_and_takes_no_room() {
        for endless in ["data: ", ":", "event:", "", "x\n", "data: x\n", "id: 1\ndata\n"] {
            let piece = Bytes::from(format!("{endless}{}", "x".repeat(1_000 - endless.len())));
            let mut events = Events::default();
            let mut fed = 0;
            let end = loop {
                events.feed(piece.clone());
                fed += piece.len();
                match events.next() {
                    Ok(None) => {}
                    other => break other,
                }
                let held = events.line.capacity() + events.draft.event.data.capacity();
                assert!(held <= 2 * (LONGEST_LINE + LONGEST_EVENT), "{held} bytes are held");
            };
            assert_eq!(end, Err(Broken::Endless), "{endless}");
            assert!((MOST_UNSAID / 2..MOST_UNSAID + 2_000).contains(&fed), "{fed}");
        }
        // However much it is, where something is said now and then.
        let mut events = Events::default();
        for _ in 0..3_000 {
            events.feed(Bytes::from("data: x\n\n".repeat(100)));
            while events.next().unwrap().is_some() {}
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_no_event_stream() {
        assert_eq!(read(b"data: \xff\n", 1), Err(Broken::Text));
        assert_eq!(read(b"\x00\x80\x03\n", 2), Err(Broken::Text));
        assert_eq!(read(b": \xff\n", 1), Ok(vec![Item::Sign]), "comments may be anything");
    }

    #[test]
    fn any_bytes_are_read_without_a_panic_and_the_same_in_any_pieces() {
        let mut random = fastrand::Rng::with_seed(7);
        let words = ["data", "event", "retry", ":", " ", "\n", "\r", "\u{feff}", "{}", "é", "9"];
        for _ in 0..2_000 {
            let stream: String =
                (0..random.usize(..30)).map(|_| *random.choice(&words).unwrap()).collect();
            let whole = read(stream.as_bytes(), stream.len().max(1));
            for size in 1..4 {
                assert_eq!(read(stream.as_bytes(), size), whole, "{stream:?} by {size}");
            }
        }
    }
}
