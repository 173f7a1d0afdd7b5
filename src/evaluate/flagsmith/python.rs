//! Python's readings of text, on which Flagsmith's rules rest: `int()`, `float()` and `str()`.
//!
//! Integers have any size in Python. Here one is its decimal text without leading zeros, and beside
//! it an `i64` where it fits.

use std::cmp::Ordering;
use std::fmt::Write;

/// An integer of any size, borrowed.
#[derive(Clone, Copy, Debug)]
pub enum Integer<'a> {
    /// Fits a machine word.
    Small(i64),
    /// Does not fit: decimal text, with a minus sign or without, no leading zeros.
    Large(&'a str),
}

impl Integer<'_> {
    /// Compares by value.
    pub fn compare(self, other: Integer<'_>) -> Ordering {
        match (self, other) {
            (Integer::Small(a), Integer::Small(b)) => a.cmp(&b),
            (Integer::Small(_), Integer::Large(b)) => sign(b).reverse(),
            (Integer::Large(a), Integer::Small(_)) => sign(a),
            (Integer::Large(a), Integer::Large(b)) => match (sign(a), sign(b)) {
                (Ordering::Greater, Ordering::Greater) => compare_digits(a, b),
                (Ordering::Less, Ordering::Less) => compare_digits(&b[1..], &a[1..]),
                (a, b) => a.cmp(&b),
            },
        }
    }

    /// The nearest double; none when it is beyond all doubles, where Python raises an error.
    #[expect(clippy::cast_precision_loss, reason = "that is the conversion asked for")]
    pub fn to_float(self) -> Option<f64> {
        match self {
            Integer::Small(number) => Some(number as f64),
            Integer::Large(text) => text.parse::<f64>().ok().filter(|number| number.is_finite()),
        }
    }
}

/// Whether a large integer is above or below zero.
fn sign(text: &str) -> Ordering {
    if text.starts_with('-') { Ordering::Less } else { Ordering::Greater }
}

/// Digits without leading zeros: the longer is greater.
pub(super) fn compare_digits(a: &str, b: &str) -> Ordering {
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

/// Whether `text` is `-?[0-9]+`, which the engine takes as an integer.
pub fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether `text` is `-?[0-9]+\.[0-9]+`, which the engine takes as a float.
pub fn is_decimal(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text).as_bytes();
    let whole = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    whole > 0
        && digits.get(whole) == Some(&b'.')
        && digits.len() > whole + 1
        && digits[whole + 1..].iter().all(u8::is_ascii_digit)
}

/// Appends the canonical decimal text of what [`is_integer`] accepts: no leading zeros, zero without
/// a sign.
pub fn write_integer(text: &str, out: &mut String) {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let significant = digits.trim_start_matches('0');
    if significant.is_empty() {
        out.push('0');
        return;
    }
    if text.starts_with('-') {
        out.push('-');
    }
    out.push_str(significant);
}

/// Python's `int(text)` as canonical decimal text: blanks around, a sign, digits of any script, and
/// single underscores between them.
pub fn parse_integer(text: &str) -> Option<String> {
    let text = text.trim_matches(is_space);
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let mut plain = String::with_capacity(text.len());
    if negative {
        plain.push('-');
    }
    digit(digits.chars().next()?)?;
    write_ascii_digits(digits, &mut plain)?;
    if !is_integer(&plain) {
        return None;
    }
    let mut canonical = String::with_capacity(plain.len());
    write_integer(&plain, &mut canonical);
    Some(canonical)
}

/// Python's `float(text)`.
pub fn parse_float(text: &str) -> Option<f64> {
    let text = text.trim_matches(is_space);
    let mut plain = String::with_capacity(text.len());
    write_ascii_digits(text, &mut plain)?;
    let unsigned = plain.strip_prefix(['-', '+']).unwrap_or(&plain);
    let is_word = ["inf", "infinity", "nan"].iter().any(|word| unsigned.eq_ignore_ascii_case(word));
    let is_number =
        unsigned.bytes().all(|b| matches!(b, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'));
    if is_word || is_number { plain.parse().ok() } else { None }
}

/// Appends `text` with the digits of all scripts as ASCII ones, underscores left out. None when an
/// underscore does not stand between two digits.
fn write_ascii_digits(text: &str, out: &mut String) -> Option<()> {
    let mut after_digit = false;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        if character == '_' {
            let between = after_digit && characters.peek().is_some_and(|&c| digit(c).is_some());
            if !between {
                return None;
            }
            continue;
        }
        match digit(character) {
            Some(value) => out.push(char::from(b'0' + value)),
            None => out.push(character),
        }
        after_digit = digit(character).is_some();
    }
    Some(())
}

/// Value of a decimal digit of any script.
fn digit(character: char) -> Option<u8> {
    if character.is_ascii() {
        return character.is_ascii_digit().then(|| character as u8 - b'0');
    }
    let code = character as u32;
    let zero = ZEROS[..ZEROS.partition_point(|&zero| zero <= code)].last()?;
    u8::try_from(code - zero).ok().filter(|&value| value < 10)
}

/// What `str.strip()` takes away and `\s` matches.
pub fn is_space(character: char) -> bool {
    character.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&character)
}

/// Appends `str(number)`.
pub fn write_float(number: f64, out: &mut String) {
    if number.is_nan() {
        out.push_str("nan");
    } else if number.is_infinite() {
        out.push_str(if number > 0.0 { "inf" } else { "-inf" });
    } else if number == 0.0 || (1e-4..1e16).contains(&number.abs()) {
        let start = out.len();
        // Writing to a string does not fail.
        let _ = write!(out, "{number}");
        if !out[start..].contains('.') {
            out.push_str(".0");
        }
    } else {
        let start = out.len();
        let _ = write!(out, "{number:e}");
        let exponent = out[start..].find('e').map_or(out.len(), |at| start + at + 1);
        // Python writes the sign of the exponent, and two digits at least.
        let negative = out[exponent..].starts_with('-');
        let digits = exponent + usize::from(negative);
        if out.len() - digits == 1 {
            out.insert(digits, '0');
        }
        if !negative {
            out.insert(exponent, '+');
        }
    }
}

/// The zeros of all scripts with decimal digits (Unicode category Nd); nine digits follow each.
const ZEROS: [u32; 66] = [
    0x0030, 0x0660, 0x06f0, 0x07c0, 0x0966, 0x09e6, 0x0a66, 0x0ae6, 0x0b66, 0x0be6, 0x0c66, 0x0ce6,
    0x0d66, 0x0de6, 0x0e50, 0x0ed0, 0x0f20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80,
    0x1a90, 0x1b50, 0x1bb0, 0x1c40, 0x1c50, 0xa620, 0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0,
    0xff10, 0x104a0, 0x10d30, 0x11066, 0x110f0, 0x11136, 0x111d0, 0x112f0, 0x11450, 0x114d0,
    0x11650, 0x116c0, 0x11730, 0x118e0, 0x11950, 0x11c50, 0x11d50, 0x11da0, 0x16a60, 0x16ac0,
    0x16b50, 0x1d7ce, 0x1d7d8, 0x1d7e2, 0x1d7ec, 0x1d7f6, 0x1e140, 0x1e2f0, 0x1e950, 0x1fbf0,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_read_as_python_reads_them() {
        for (text, number) in [
            ("5", Some("5")),
            ("  +5\n", Some("5")),
            ("1_000", Some("1000")),
            ("007", Some("7")),
            ("-0", Some("0")),
            ("٣", Some("3")),
            ("123456789012345678901234567890", Some("123456789012345678901234567890")),
            ("5.0", None),
            ("", None),
            ("-", None),
            ("_1", None),
            ("1__0", None),
            ("1_", None),
            ("+-1", None),
            ("- 1", None),
            ("0x1", None),
            ("1e5", None),
        ] {
            assert_eq!(parse_integer(text).as_deref(), number, "{text:?}");
        }
    }

    #[test]
    fn floats_are_read_as_python_reads_them() {
        for (text, number) in [
            ("5", Some(5.0)),
            (" 1_0.5 ", Some(10.5)),
            ("-.5", Some(-0.5)),
            ("5.", Some(5.0)),
            ("1e-3", Some(0.001)),
            ("Infinity", Some(f64::INFINITY)),
            ("-INF", Some(f64::NEG_INFINITY)),
            ("٣.٥", Some(3.5)),
            ("", None),
            (".", None),
            ("1e", None),
            ("0x10", None),
            ("1,5", None),
            ("infin", None),
            ("1_.5", None),
        ] {
            assert_eq!(parse_float(text), number, "{text:?}");
        }
        assert!(parse_float("nan").is_some_and(f64::is_nan));
    }

    #[test]
    fn floats_are_written_as_python_writes_them() {
        for (number, text) in [
            (5.0, "5.0"),
            (0.1, "0.1"),
            (-0.0, "-0.0"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.5e300, "1.5e+300"),
            (0.0001, "0.0001"),
            (0.000_01, "1e-05"),
            (1.25e-7, "1.25e-07"),
            (1e-100, "1e-100"),
            (123_456_789.125, "123456789.125"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            let mut ours = String::new();
            write_float(number, &mut ours);
            assert_eq!(ours, text);
        }
    }

    #[test]
    fn integers_of_any_size_compare_by_value() {
        let ascending = [
            Integer::Large("-20000000000000000000"),
            Integer::Large("-10000000000000000000"),
            Integer::Small(i64::MIN),
            Integer::Small(-1),
            Integer::Small(7),
            Integer::Large("9999999999999999999"),
            Integer::Large("10000000000000000000"),
        ];
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                assert_eq!(a.compare(*b), i.cmp(&j), "{a:?} {b:?}");
            }
        }
    }
}
