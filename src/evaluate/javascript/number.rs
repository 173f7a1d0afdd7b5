//! `Number(text)` and `String(number)` (reflag-runtime.md 12.1 and 12.3).

use super::is_white_space;

/// What `Number(text)` gives; NaN for text that is not a number.
///
/// Surrounding white space and line ends are ignored, and nothing at all is 0. Decimals may carry
/// a sign, a point without digits on one side, and an exponent; `Infinity` is spelled just so;
/// `0x`, `0o` and `0b` take no sign. The result is correctly rounded at any length.
#[must_use]
pub fn parse(text: &str) -> f64 {
    plain_decimal(text.as_bytes()).unwrap_or_else(|| numeral(text.trim_matches(is_trimmed)))
}

/// Appends what `String(value)` gives: the shortest digits that read back as `value`.
///
/// An exponent appears from 1e21 up and below 1e-6; minus zero has no sign.
pub fn write(value: f64, out: &mut String) {
    match small_integer(value) {
        Some(integer) => write_integer(integer, out),
        None => out.push_str(ryu_js::Buffer::new().format(value)),
    }
}

/// Appends a JSON number as JavaScript prints the double that it makes of it.
pub fn write_json(json: &str, out: &mut String) {
    // Short plain integers print as they are written.
    let digits = json.strip_prefix('-').unwrap_or(json);
    if digits.len() <= 15 && json != "-0" && digits.bytes().all(|b| b.is_ascii_digit()) {
        out.push_str(json);
    } else {
        write(json.parse().unwrap_or(f64::NAN), out);
    }
}

const fn is_trimmed(character: char) -> bool {
    is_white_space(character) || matches!(character, '\n' | '\r' | '\u{2028}' | '\u{2029}')
}

/// Most numbers in a context: a few digits, perhaps a sign and a point.
///
/// `None` says nothing about the text, only that the long way has to be taken.
fn plain_decimal(text: &[u8]) -> Option<f64> {
    // Digits below 10^15 and the power of ten are both exact doubles, so that the one division
    // rounds once, as it should.
    const POWERS: [f64; 15] =
        [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14];
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if digits.len() > POWERS.len() {
        return None;
    }
    let mut integer = 0_u64;
    let mut point = None;
    for (index, &byte) in digits.iter().enumerate() {
        match byte {
            b'0'..=b'9' => integer = integer * 10 + u64::from(byte - b'0'),
            b'.' if point.is_none() => point = Some(index),
            _ => return None,
        }
    }
    let fraction = match point {
        None if digits.is_empty() => return None,
        None => 0,
        Some(_) if digits.len() == 1 => return None,
        Some(index) => digits.len() - index - 1,
    };
    #[expect(clippy::cast_precision_loss, reason = "below 2^53")]
    let integer = integer as f64;
    let magnitude = if fraction == 0 { integer } else { integer / POWERS[fraction] };
    Some(if negative { -magnitude } else { magnitude })
}

fn numeral(text: &str) -> f64 {
    match text.as_bytes() {
        [] => 0.0,
        [b'0', b'x' | b'X', digits @ ..] => power_of_two_radix(digits, 4),
        [b'0', b'o' | b'O', digits @ ..] => power_of_two_radix(digits, 3),
        [b'0', b'b' | b'B', digits @ ..] => power_of_two_radix(digits, 1),
        _ => decimal(text),
    }
}

/// Rust reads the same decimals as JavaScript, but also `inf`, `nan` and `infinity` in any case.
fn decimal(text: &str) -> f64 {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let spelled_in_digits = matches!(unsigned.as_bytes(), [b'0'..=b'9' | b'.', ..]);
    if spelled_in_digits || unsigned == "Infinity" {
        text.parse().unwrap_or(f64::NAN)
    } else {
        f64::NAN
    }
}

fn power_of_two_radix(digits: &[u8], bits_per_digit: u32) -> f64 {
    if digits.is_empty() {
        return f64::NAN;
    }
    let mut head = 0_u64;
    let mut dropped_bits = 0_u32;
    let mut dropped_any = false;
    for &byte in digits {
        let Some(digit) = char::from(byte).to_digit(1 << bits_per_digit) else {
            return f64::NAN;
        };
        // At least 60 bits are kept, more than enough to round the 53 of a double; of the rest it
        // only matters whether any bit was set.
        if head.leading_zeros() >= bits_per_digit {
            head = head << bits_per_digit | u64::from(digit);
        } else {
            dropped_bits = dropped_bits.saturating_add(bits_per_digit);
            dropped_any |= digit != 0;
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "the one rounding that is wanted")]
    let head = (head | u64::from(dropped_any)) as f64;
    head * power_of_two(dropped_bits)
}

/// 2^`exponent`; infinite from 1024 on.
fn power_of_two(exponent: u32) -> f64 {
    f64::from_bits(u64::from(exponent.saturating_add(1023).min(2047)) << 52)
}

/// The integer that `value` is, if its digits are those of a plain integer in JavaScript too.
fn small_integer(value: f64) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "compared right after")]
    let integer = value as i64;
    #[expect(clippy::cast_precision_loss, reason = "exact below 2^53")]
    let same = (integer as f64).to_bits() == value.to_bits();
    // From 2^53 on, the shortest digits end in zeros that the exact integer does not have.
    (same && integer.unsigned_abs() < 1 << 53).then_some(integer)
}

fn write_integer(integer: i64, out: &mut String) {
    let mut digits = [b'0'; 16];
    let mut start = digits.len();
    let mut rest = integer.unsigned_abs();
    loop {
        start -= 1;
        digits[start] += (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if integer < 0 {
        out.push('-');
    }
    out.extend(digits[start..].iter().copied().map(char::from));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_parses(text: &str, expected: f64) {
        assert_eq!(parse(text).to_bits(), expected.to_bits(), "{text:?}");
    }

    fn written(value: f64) -> String {
        let mut out = String::new();
        write(value, &mut out);
        out
    }

    #[test]
    fn nothing_but_white_space_is_zero() {
        for text in ["", " ", "\t\n\u{B}\u{C}\r", "\u{A0}\u{FEFF}\u{2028}\u{3000}"] {
            assert_parses(text, 0.0);
        }
        assert!(parse("\u{85}").is_nan());
    }

    #[test]
    fn decimals_may_miss_digits_on_one_side_of_the_point() {
        assert_parses(".5", 0.5);
        assert_parses("-5.", -5.0);
        assert_parses("+1.e2", 100.0);
        for text in [".", "-", "-.", ".e5", "1e", "1.2.3", "1 2", "1_000", "1n", "+-1"] {
            assert!(parse(text).is_nan(), "{text:?}");
        }
    }

    #[test]
    fn minus_zero_keeps_its_sign_only_when_read() {
        assert_parses("-0", -0.0);
        assert_eq!(written(-0.0), "0");
    }

    #[test]
    fn infinity_is_spelled_in_one_way() {
        assert_parses(" -Infinity ", f64::NEG_INFINITY);
        assert_parses("+Infinity", f64::INFINITY);
        for text in ["infinity", "INFINITY", "inf", "Inf", "NaN", "nan", "-nan"] {
            assert!(parse(text).is_nan(), "{text:?}");
        }
    }

    #[test]
    fn other_radixes_have_a_prefix_and_no_sign() {
        assert_parses("0x1F", 31.0);
        assert_parses("0O17", 15.0);
        assert_parses(" 0b101\n", 5.0);
        for text in ["0x", "-0x10", "+0b1", "0b2", "0o8", "0xg", "0x1.8"] {
            assert!(parse(text).is_nan(), "{text:?}");
        }
    }

    #[test]
    fn a_tie_in_another_radix_is_broken_by_any_digit_after_it() {
        assert_parses("0x20000000000001", 9_007_199_254_740_992.0);
        assert_parses("0x200000000000010000000000", 9_007_199_254_740_992.0 * 2_f64.powi(40));
        assert_parses("0x200000000000010000000001", 9_007_199_254_740_994.0 * 2_f64.powi(40));
        assert_parses(&format!("0x{}", "f".repeat(256)), f64::INFINITY);
    }

    #[test]
    fn the_short_way_rounds_like_the_long_way() {
        for text in ["0.1", "999999999999.99", "0.00000000000001", "99999999999999.", "-1.005"] {
            assert_parses(text, text.parse().unwrap());
        }
    }

    #[test]
    fn integers_are_written_in_full_up_to_the_exponent() {
        assert_eq!(written(-120.0), "-120");
        assert_eq!(written(9_007_199_254_740_991.0), "9007199254740991");
        assert_eq!(written(1_152_921_504_606_846_976.0), "1152921504606847000");
        assert_eq!(written(1e20), "100000000000000000000");
        assert_eq!(written(1e21), "1e+21");
    }

    #[test]
    fn fractions_are_written_with_the_fewest_digits() {
        assert_eq!(written(0.1 + 0.2), "0.30000000000000004");
        assert_eq!(written(0.000_001), "0.000001");
        assert_eq!(written(-1e-7), "-1e-7");
        assert_eq!(written(f64::NAN), "NaN");
        assert_eq!(written(f64::NEG_INFINITY), "-Infinity");
    }

    #[test]
    fn writing_appends() {
        let mut out = String::from("n = ");
        write(1.5, &mut out);
        write(2.0, &mut out);
        assert_eq!(out, "n = 1.52");
    }
}
