//! A pull reader over JSON text.
//!
//! The caller asks for what it wants next and decides how deep to go, so bounds are the caller's
//! and nothing is built that nobody asked for. Accepts exactly RFC 8259, with two readings that
//! follow JavaScript: numbers of any size are valid (the caller turns them into doubles) and an
//! unpaired surrogate becomes U+FFFD.

/// Why a text is not JSON, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} at byte {at}")]
pub struct Malformed {
    /// What was expected there.
    pub what: &'static str,
    /// Offset in bytes from the start of the text.
    pub at: usize,
}

/// What the next value is, told by its first character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `{`
    Object,
    /// `[`
    Array,
    /// `"`
    String,
    /// `-` or a digit
    Number,
    /// `true`
    True,
    /// `false`
    False,
    /// `null`
    Null,
}

/// A string token: the text between the quotes, not yet unescaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text<'a> {
    raw: &'a str,
    escaped: bool,
}

impl<'a> Text<'a> {
    /// The text itself when it holds no escape.
    pub fn plain(self) -> Option<&'a str> {
        (!self.escaped).then_some(self.raw)
    }

    /// Whether it says `text`.
    pub fn is(self, text: &str) -> bool {
        if !self.escaped {
            return self.raw == text;
        }
        let mut plain = String::with_capacity(self.raw.len());
        self.unescape_into(&mut plain);
        plain == text
    }

    /// What follows after so many bytes, of a token without escapes.
    #[must_use]
    pub fn from(self, start: usize) -> Self {
        Self { raw: &self.raw[start..], ..self }
    }

    /// Length of the token in bytes; the unescaped text is never longer.
    pub fn raw_len(self) -> usize {
        self.raw.len()
    }

    /// Appends the unescaped text.
    pub fn unescape_into(self, out: &mut String) {
        if !self.escaped {
            out.push_str(self.raw);
            return;
        }
        let mut rest = self.raw;
        while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
            out.push_str(&rest[..at]);
            let escape = rest.as_bytes()[at + 1];
            rest = &rest[at + 2..];
            let character = match escape {
                b'n' => '\n',
                b'r' => '\r',
                b't' => '\t',
                b'b' => '\u{8}',
                b'f' => '\u{c}',
                b'u' => {
                    let (character, used) = unescape_unicode(rest);
                    rest = &rest[used..];
                    character
                }
                other => char::from(other),
            };
            out.push(character);
        }
        out.push_str(rest);
    }
}

/// Reads the four digits at the start of `rest`, and the second half of a surrogate pair when one
/// follows. Gives the character and how many bytes were used. The digits were checked before.
fn unescape_unicode(rest: &str) -> (char, usize) {
    let digits = |text: &str| u32::from_str_radix(text, 16).unwrap_or(0xfffd);
    let first = digits(&rest[..4]);
    if (0xd800..0xdc00).contains(&first) && rest[4..].starts_with("\\u") {
        let second = digits(&rest[6..10]);
        if (0xdc00..0xe000).contains(&second) {
            let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
            return (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 10);
        }
    }
    (char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER), 4)
}

/// How many bytes at the start stand for themselves in a JSON string: none of them is a quote, a
/// backslash or a control character. Looks at eight at a time.
#[inline]
pub fn plain_len(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    let (words, rest) = bytes.as_chunks();
    for (at, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        // The high bit of each byte that is 0 or, behind such a one, may look like it: the lowest
        // is always right.
        let zeros = |word: u64| word.wrapping_sub(ONES) & !word;
        let quotes = zeros(word ^ (ONES * u64::from(b'"')));
        let backslashes = zeros(word ^ (ONES * u64::from(b'\\')));
        let controls = word.wrapping_sub(ONES * 0x20) & !word;
        let found = (quotes | backslashes | controls) & HIGH;
        if found != 0 {
            return 8 * at + found.trailing_zeros() as usize / 8;
        }
    }
    let is_plain = |byte: &u8| *byte >= 0x20 && *byte != b'"' && *byte != b'\\';
    8 * words.len() + rest.iter().position(|byte| !is_plain(byte)).unwrap_or(rest.len())
}

/// The position in a JSON text.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    /// Starts before the first value of `text`.
    pub fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Starts at an offset that [`Reader::position`] gave.
    pub fn at(text: &'a str, position: usize) -> Self {
        Self { text, at: position }
    }

    /// Offset of the next byte that is not yet read.
    #[inline]
    pub fn position(&self) -> usize {
        self.at
    }

    /// The text from `from` to here.
    #[inline]
    pub fn since(&self, from: usize) -> &'a str {
        &self.text[from..self.at]
    }

    /// Skips white space and tells what value starts here, without reading it.
    pub fn kind(&mut self) -> Result<Kind, Malformed> {
        match self.peek() {
            Some(b'{') => Ok(Kind::Object),
            Some(b'[') => Ok(Kind::Array),
            Some(b'"') => Ok(Kind::String),
            Some(b'-' | b'0'..=b'9') => Ok(Kind::Number),
            Some(b't') => Ok(Kind::True),
            Some(b'f') => Ok(Kind::False),
            Some(b'n') => Ok(Kind::Null),
            _ => Err(self.malformed("expected a value")),
        }
    }

    /// Reads `{`.
    pub fn open_object(&mut self) -> Result<(), Malformed> {
        self.expect(b'{', "expected an object")
    }

    /// Reads up to the value of the next member and gives its name, or reads `}` and gives none.
    /// `first` is true before the first member and is kept by the reader afterwards.
    pub fn next_member(&mut self, first: &mut bool) -> Result<Option<Text<'a>>, Malformed> {
        if !self.next_item(first, b'}')? {
            return Ok(None);
        }
        let name = self.string()?;
        self.expect(b':', "expected `:`")?;
        Ok(Some(name))
    }

    /// The same, with the offset at which the name begins.
    pub fn next_member_at(
        &mut self,
        first: &mut bool,
    ) -> Result<Option<(usize, Text<'a>)>, Malformed> {
        let name = self.next_member(first)?;
        // The name lies in the text, one quote after where it begins.
        Ok(name.map(|name| (name.raw.as_ptr() as usize - self.text.as_ptr() as usize - 1, name)))
    }

    /// Reads `[`.
    pub fn open_array(&mut self) -> Result<(), Malformed> {
        self.expect(b'[', "expected an array")
    }

    /// Reads up to the next element and gives true, or reads `]` and gives false.
    pub fn next_element(&mut self, first: &mut bool) -> Result<bool, Malformed> {
        self.next_item(first, b']')
    }

    fn next_item(&mut self, first: &mut bool, close: u8) -> Result<bool, Malformed> {
        if self.peek() == Some(close) {
            self.at += 1;
            return Ok(false);
        }
        if *first {
            *first = false;
        } else {
            self.expect(b',', "expected `,`")?;
            if self.peek() == Some(close) {
                return Err(self.malformed("trailing comma"));
            }
        }
        Ok(true)
    }

    /// Reads a string.
    pub fn string(&mut self) -> Result<Text<'a>, Malformed> {
        self.expect(b'"', "expected a string")?;
        let bytes = self.text.as_bytes();
        let from = self.at;
        let mut escaped = false;
        loop {
            self.at += plain_len(&bytes[self.at..]);
            match bytes.get(self.at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    match bytes.get(self.at + 1) {
                        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                            self.at += 2;
                        }
                        Some(b'u')
                            if bytes
                                .get(self.at + 2..self.at + 6)
                                .is_some_and(|d| d.iter().all(u8::is_ascii_hexdigit)) =>
                        {
                            self.at += 6;
                        }
                        _ => return Err(self.malformed("invalid escape")),
                    }
                }
                Some(_) => return Err(self.malformed("control character in a string")),
                None => return Err(self.malformed("string without end")),
            }
        }
        let raw = &self.text[from..self.at];
        self.at += 1;
        Ok(Text { raw, escaped })
    }

    /// Reads a string that comes next and holds no escape: no white space is skipped before it. None
    /// for anything else, of which nothing is read then.
    #[inline]
    pub fn take_plain(&mut self) -> Option<&'a str> {
        let rest = self.text[self.at..].strip_prefix('"')?;
        let len = plain_len(rest.as_bytes());
        if rest.as_bytes().get(len) != Some(&b'"') {
            return None;
        }
        self.at += len + 2;
        Some(&rest[..len])
    }

    /// The next byte, whatever it is.
    #[inline]
    pub fn upcoming(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Reads a number and gives its text.
    pub fn number(&mut self) -> Result<&'a str, Malformed> {
        self.peek();
        let from = self.at;
        self.accept(b'-');
        if !self.accept(b'0') && self.digits() == 0 {
            return Err(self.malformed("expected a digit"));
        }
        if self.accept(b'.') && self.digits() == 0 {
            return Err(self.malformed("expected a digit after `.`"));
        }
        if self.accept(b'e') || self.accept(b'E') {
            let _ = self.accept(b'+') || self.accept(b'-');
            if self.digits() == 0 {
                return Err(self.malformed("expected a digit in the exponent"));
            }
        }
        Ok(&self.text[from..self.at])
    }

    /// Reads `true`, `false` or `null`, which [`Reader::kind`] announced.
    pub fn literal(&mut self) -> Result<&'static str, Malformed> {
        self.peek();
        for word in ["true", "false", "null"] {
            if self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
                self.at += word.len();
                return Ok(word);
            }
        }
        Err(self.malformed("expected a value"))
    }

    /// Reads exactly these bytes, if they come next: no white space is skipped before them.
    #[inline]
    pub fn take(&mut self, text: &str) -> bool {
        let comes = self.text.as_bytes()[self.at..].starts_with(text.as_bytes());
        self.at += if comes { text.len() } else { 0 };
        comes
    }

    /// Reads a value of any kind without looking at it. Does not recurse: deep nesting costs a byte
    /// a level.
    pub fn skip(&mut self) -> Result<(), Malformed> {
        let mut open: Vec<Kind> = Vec::new();
        let mut first = true;
        loop {
            match self.kind()? {
                Kind::Object => {
                    self.open_object()?;
                    open.push(Kind::Object);
                    first = true;
                }
                Kind::Array => {
                    self.open_array()?;
                    open.push(Kind::Array);
                    first = true;
                }
                Kind::String => drop(self.string()?),
                Kind::Number => drop(self.number()?),
                Kind::True | Kind::False | Kind::Null => drop(self.literal()?),
            }
            loop {
                let another = match open.last() {
                    None => return Ok(()),
                    Some(Kind::Object) => self.next_member(&mut first)?.is_some(),
                    Some(_) => self.next_element(&mut first)?,
                };
                if another {
                    break;
                }
                open.pop();
                first = false;
            }
        }
    }

    /// Fails unless only white space is left.
    pub fn end(&mut self) -> Result<(), Malformed> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.malformed("text after the value")),
        }
    }

    /// An error at the present position.
    pub fn malformed(&self, what: &'static str) -> Malformed {
        Malformed { what, at: self.at }
    }

    fn digits(&mut self) -> usize {
        let bytes = self.text.as_bytes();
        let from = self.at;
        while bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        self.at - from
    }

    fn accept(&mut self, byte: u8) -> bool {
        let found = self.text.as_bytes().get(self.at) == Some(&byte);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), Malformed> {
        if self.peek() == Some(byte) {
            self.at += 1;
            Ok(())
        } else {
            Err(self.malformed(what))
        }
    }

    fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = bytes.get(self.at) {
            self.at += 1;
        }
        bytes.get(self.at).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads one value of any kind to its end.
    fn read(reader: &mut Reader<'_>) -> Result<(), Malformed> {
        let mut skipping = reader.clone();
        let skipped = skipping.skip();
        let read = read_all(reader);
        assert_eq!(skipped.is_ok(), read.is_ok());
        if read.is_ok() {
            assert_eq!(skipping.position(), reader.position());
        }
        read
    }

    fn read_all(reader: &mut Reader<'_>) -> Result<(), Malformed> {
        let mut first = true;
        match reader.kind()? {
            Kind::Object => {
                reader.open_object()?;
                while reader.next_member(&mut first)?.is_some() {
                    read(reader)?;
                }
            }
            Kind::Array => {
                reader.open_array()?;
                while reader.next_element(&mut first)? {
                    read(reader)?;
                }
            }
            Kind::String => drop(reader.string()?),
            Kind::Number => drop(reader.number()?),
            Kind::True | Kind::False | Kind::Null => drop(reader.literal()?),
        }
        Ok(())
    }

    fn accepts(text: &str) -> bool {
        let mut reader = Reader::new(text);
        read(&mut reader).and_then(|()| reader.end()).is_ok()
    }

    #[test]
    fn the_language_is_that_of_serde_json() {
        let texts = [
            "{}",
            "[]",
            " [ 1 , 2 ] ",
            "{\"a\":1,\"b\":[true,false,null]}",
            "\"\\u00e9\\n\"",
            "-0",
            "0.5e+7",
            "1E9",
            "[1,]",
            "{\"a\":1,}",
            "{,}",
            "[,1]",
            "{a:1}",
            "'a'",
            "01",
            "+1",
            ".5",
            "5.",
            "1e",
            "-",
            "tru",
            "nul",
            "\"\\x\"",
            "\"\\u12g4\"",
            "\"a",
            "\"\t\"",
            "1 2",
            "",
            "{\"a\"}",
            "{\"a\":}",
            "[1 2]",
            "{\"a\":1 \"b\":2}",
            "\u{feff}1",
            "[[[]]]",
            "truefalse",
        ];
        for text in texts {
            let theirs = serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
            assert_eq!(accepts(text), theirs, "{text}");
        }
        assert!(accepts("1e999"), "JavaScript reads it as Infinity");
    }

    #[test]
    fn plain_text_ends_where_it_needs_an_escape() {
        for len in 0..20 {
            for byte in [0x00, 0x1f, 0x20, b'"', b'\\', 0x7f, 0x80, 0xa2, 0xdc, 0xff, b'!', b'#'] {
                for at in 0..len {
                    for beside in [b'a', b'!', b'#', b'[', b']', 0x20, 0x80, 0xff] {
                        let mut text = vec![beside; len];
                        text[at] = byte;
                        let stops = byte < 0x20 || byte == b'"' || byte == b'\\';
                        assert_eq!(plain_len(&text), if stops { at } else { len }, "{text:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn escapes_are_resolved() {
        for text in [r#""a\"b\\c\/d\b\f\n\r\t""#, r#""\u0041\u00e9\u20ac""#, r#""\ud83d\ude00x""#] {
            let mut ours = String::new();
            Reader::new(text).string().unwrap().unescape_into(&mut ours);
            assert_eq!(ours, serde_json::from_str::<String>(text).unwrap());
        }
        let mut lone = String::new();
        Reader::new(r#""\ud800\u0041""#).string().unwrap().unescape_into(&mut lone);
        assert_eq!(lone, "\u{fffd}A");
    }
}
