//! JSON text, read in place.
//!
//! `serde_json` reads documents; this module does the two jobs that it cannot do on our terms:
//! [`Reader`] walks a request's context without allocating, under bounds on depth and members,
//! and [`canonical`] gives equal documents equal bytes without touching how numbers are spelled.
//! Neither builds a tree.

pub mod canonical;
mod reader;

pub use reader::{Kind, Malformed, Reader, Text, plain_len};

/// Appends `text` as a JSON string, quotes included.
pub fn write_string(text: &str, out: &mut String) {
    out.push('"');
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0x08 => "\\b",
            0x0c => "\\f",
            0x00..0x20 => {
                out.push_str(&text[plain..at]);
                out.push_str("\\u00");
                out.push(char::from(HEX[usize::from(byte >> 4)]));
                out.push(char::from(HEX[usize::from(byte & 15)]));
                plain = at + 1;
                continue;
            }
            _ => continue,
        };
        out.push_str(&text[plain..at]);
        out.push_str(escape);
        plain = at + 1;
    }
    out.push_str(&text[plain..]);
    out.push('"');
}

const HEX: &[u8; 16] = b"0123456789abcdef";

#[cfg(test)]
mod tests {
    use super::write_string;

    #[test]
    fn strings_are_escaped_as_serde_json_does() {
        for text in ["", "plain", "q\"b\\s/", "\n\r\t\u{8}\u{c}\u{0}\u{1f}", "Åse ✓ \u{7f}"] {
            let mut ours = String::new();
            write_string(text, &mut ours);
            assert_eq!(ours, serde_json::to_string(text).unwrap());
        }
    }
}
