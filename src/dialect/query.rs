//! What is encoded in URLs, which all dialects read alike: queries, as forms encode them, and parts of
//! paths.

use std::borrow::Cow;

/// A parameter as it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parameter<'a> {
    pub(crate) name: &'a str,
    pub(crate) value: &'a str,
    /// Whether either holds an escape or a blank in disguise.
    pub(crate) escaped: bool,
}

/// The parameters of a query; what stands between two `&` without a name is none.
pub(crate) struct Parameters<'a>(pub(crate) &'a str);

impl<'a> Iterator for Parameters<'a> {
    type Item = Parameter<'a>;

    /// One pass over the bytes finds both ends and whether there is anything to decode.
    fn next(&mut self) -> Option<Parameter<'a>> {
        loop {
            let text = self.0;
            if text.is_empty() {
                return None;
            }
            let (mut equals, mut escaped, mut end) = (None, false, text.len());
            for (at, byte) in text.bytes().enumerate() {
                match byte {
                    b'&' => {
                        end = at;
                        break;
                    }
                    b'=' if equals.is_none() => equals = Some(at),
                    b'%' | b'+' => escaped = true,
                    _ => {}
                }
            }
            self.0 = text.get(end + 1..).unwrap_or_default();
            if end > 0 {
                let name_end = equals.unwrap_or(end);
                let value = text.get(name_end + 1..end).unwrap_or_default();
                return Some(Parameter { name: &text[..name_end], value, escaped });
            }
        }
    }
}

/// Undoes form encoding: `+` is a blank, `%XX` a byte. None when an escape is broken or the bytes
/// are not UTF-8.
pub(crate) fn decode(text: &str) -> Option<Cow<'_, str>> {
    if memchr::memchr2(b'%', b'+', text.as_bytes()).is_none() {
        return Some(Cow::Borrowed(text));
    }
    let mut decoded = String::with_capacity(text.len());
    decode_into(text, &mut decoded)?;
    Some(Cow::Owned(decoded))
}

/// The same, into a buffer that is used again and again.
pub(crate) fn decode_into<'a>(text: &'a str, buffer: &'a mut String) -> Option<&'a str> {
    let Some(first) = memchr::memchr2(b'%', b'+', text.as_bytes()) else { return Some(text) };
    let mut bytes = std::mem::take(buffer).into_bytes();
    bytes.clear();
    bytes.extend_from_slice(&text.as_bytes()[..first]);
    let mut rest = text[first..].bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => hex(rest.next()?)? << 4 | hex(rest.next()?)?,
            other => other,
        });
    }
    *buffer = String::from_utf8(bytes).ok()?;
    Some(buffer)
}

/// Undoes the encoding of a part of a path (RFC 3986, 2.1), once: `%XX` is a byte, and `+` itself. What
/// is no escape stands for itself, and bytes that are not UTF-8 for no text that anybody means.
pub(crate) fn decode_path(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped = digits.filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        match escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(escaped) if byte == b'%' => {
                decoded.push(escaped);
                rest = &after[2..];
            }
            _ => {
                decoded.push(byte);
                rest = after;
            }
        }
    }
    Cow::Owned(String::from_utf8_lossy(&decoded).into_owned())
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn form_encoding_is_undone() {
        for (encoded, text) in [
            ("plain", Some("plain")),
            ("eu+west", Some("eu west")),
            ("%C3%85se%20%26", Some("Åse &")),
            ("100%", None),
            ("%4", None),
            ("%zz", None),
            ("%ff", None),
        ] {
            assert_eq!(decode(encoded).as_deref(), text, "{encoded}");
        }
    }

    #[test]
    fn parameters_are_split_as_forms_are() {
        let read: Vec<_> =
            Parameters("a=1&&b&c==x&=y&d=%20").map(|p| (p.name, p.value, p.escaped)).collect();
        let expected = [
            ("a", "1", false),
            ("b", "", false),
            ("c", "=x", false),
            ("", "y", false),
            ("d", "%20", true),
        ];
        assert_eq!(read, expected);
        assert_eq!(Parameters("").count(), 0);
    }
}
