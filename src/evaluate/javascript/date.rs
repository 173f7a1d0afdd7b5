//! `new Date(text)` and steps of whole days, both in UTC (reflag-runtime.md 12.3).
//!
//! The language defines one format, a profile of ISO 8601; every other text is the engine's
//! business. V8 tries the standard format first, and where the text departs from it hands over
//! what it has understood so far to a lenient reader, which knows words, named months, time zone
//! names and numbers in several orders. Two things make this more than a list of formats:
//!
//! - The hand-over happens in the middle of the text. `2026-03-10 09:30` begins as a standard
//!   date, and its day and month stay what they were. After a `T` there is no way back: what
//!   follows is a standard time, or the date is invalid.
//! - The lenient reader takes any garbage before the first number, and hardly any after it.
//!
//! Both work on the same tokens, with one token of lookahead. A date and time without a zone
//! are local, which is UTC here, so no zone and zone zero come to the same.

use std::ops::RangeInclusive;

use super::is_white_space;

const MILLISECONDS_PER_DAY: i64 = 86_400_000;

/// ECMAScript's time values end 100 million days from the epoch, on either side.
const LAST_TIME_VALUE: i64 = 100_000_000 * MILLISECONDS_PER_DAY;

/// What `new Date(text).getTime()` gives, in milliseconds since the epoch.
///
/// `None` is an Invalid Date. Neither allocates nor depends on the time of the call.
#[must_use]
pub fn parse(text: &str) -> Option<i64> {
    plain(text.as_bytes()).or_else(|| Reader::new(text).read())
}

/// What `date.setDate(date.getDate() - days)` gives for a `date` that stands at `now_ms`.
///
/// The new day of the month is cut towards zero after the subtraction, hence on the 15th, 1.9
/// days act as 2. The time of day is kept. `None` is an Invalid Date: `days` is not finite, or the
/// result lies outside of the time values.
#[must_use]
pub fn shift_days(now_ms: i64, days: f64) -> Option<i64> {
    let now_ms = time_value(now_ms)?;
    let today = now_ms.div_euclid(MILLISECONDS_PER_DAY);
    let day_of_month = day_of_month(today);
    #[expect(clippy::cast_precision_loss, reason = "31 at most")]
    let shifted = (day_of_month as f64 - days).trunc();
    // More than twice the span of the time values: what lies beyond is invalid from whichever day
    // it starts, and nothing below can overflow. NaN is in no range.
    if !(-3e8..3e8).contains(&shifted) {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "an integer in range")]
    let step = shifted as i64 - day_of_month;
    time_value(now_ms + step * MILLISECONDS_PER_DAY)
}

fn time_value(milliseconds: i64) -> Option<i64> {
    (-LAST_TIME_VALUE..=LAST_TIME_VALUE).contains(&milliseconds).then_some(milliseconds)
}

/// The standard format as programs print it: a date alone, or with a time to the second or
/// millisecond, in UTC.
///
/// `None` says nothing about the text, only that the reader has to take it up.
fn plain(text: &[u8]) -> Option<i64> {
    let (&[y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2], time) = text.split_first_chunk()? else {
        return None;
    };
    let year = plain_number(&[y1, y2, y3, y4], 0..=9999)?;
    let month = plain_number(&[m1, m2], 1..=12)?;
    let day = plain_number(&[d1, d2], 1..=31)?;
    let midnight =
        days_to(i64::from(year), i64::from(month), i64::from(day)) * MILLISECONDS_PER_DAY;
    let &[b'T', h1, h2, b':', n1, n2, b':', s1, s2, ref rest @ ..] = time else {
        return time.is_empty().then_some(midnight);
    };
    let hour = plain_number(&[h1, h2], 0..=23)?;
    let minute = plain_number(&[n1, n2], 0..=59)?;
    let second = plain_number(&[s1, s2], 0..=59)?;
    let millisecond = match rest {
        [] | [b'Z'] => 0,
        &[b'.', f1, f2, f3] | &[b'.', f1, f2, f3, b'Z'] => plain_number(&[f1, f2, f3], 0..=999)?,
        _ => return None,
    };
    Some(midnight + i64::from(((hour * 60 + minute) * 60 + second) * 1000 + millisecond))
}

fn plain_number(digits: &[u8], range: RangeInclusive<u32>) -> Option<u32> {
    let mut number = 0;
    for &byte in digits {
        if !byte.is_ascii_digit() {
            return None;
        }
        number = number * 10 + u32::from(byte - b'0');
    }
    range.contains(&number).then_some(number)
}

struct Reader<'text> {
    tokens: Tokens<'text>,
    day: Day,
    time: Time,
    zone: Zone,
}

impl<'text> Reader<'text> {
    fn new(text: &'text str) -> Self {
        Self {
            tokens: Tokens::new(text),
            day: Day::default(),
            time: Time::default(),
            zone: Zone::default(),
        }
    }

    fn read(mut self) -> Option<i64> {
        let departure = self.standard()?;
        self.lenient(departure)?;
        let midnight = self.day.days()? * MILLISECONDS_PER_DAY;
        time_value(midnight + self.time.milliseconds()? - self.zone.milliseconds()?)
    }

    /// Reads the standard format, as far as it goes.
    ///
    /// Gives the token where the lenient reader has to go on, which is [`Token::End`] after a
    /// text that is standard as a whole. `None` if neither of them can make a date of it.
    fn standard(&mut self) -> Option<Token> {
        if let Some(sign) = self.tokens.next_sign() {
            let Some(year) = self.tokens.next_number(6, 0..=999_999) else {
                return Some(Token::Symbol(sign));
            };
            // Year zero has no sign. The lenient reader goes on with the sign, although it comes
            // before the number that has just been passed by.
            if sign == b'-' && year == 0 {
                return Some(Token::Symbol(sign));
            }
            self.day.add(signed(sign, i64::from(year)));
        } else if let Some(year) = self.tokens.next_number(4, 0..=9999) {
            self.day.add(i64::from(year));
        } else {
            return Some(self.tokens.next());
        }
        for range in [1..=12, 1..=31] {
            if !self.tokens.skip(b'-') {
                break;
            }
            let Some(number) = self.tokens.next_number(2, range) else {
                return Some(self.tokens.next());
            };
            self.day.add(i64::from(number));
        }
        match self.tokens.peek {
            Token::End => {}
            Token::Word(Word::TimeSeparator) => {
                self.tokens.next();
                self.standard_time()?;
            }
            _ => return Some(self.tokens.next()),
        }
        self.day.standard = true;
        Some(Token::End)
    }

    /// What follows a `T`, up to the end of the text.
    fn standard_time(&mut self) -> Option<()> {
        let hour = self.tokens.next_number(2, 0..=24)?;
        // 24:00 is the end of a day, and nothing comes after it.
        let last = if hour == 24 { 0 } else { 59 };
        self.time.add(hour);
        self.tokens.skip(b':').then_some(())?;
        self.time.add(self.tokens.next_number(2, 0..=last)?);
        if self.tokens.skip(b':') {
            self.time.add(self.tokens.next_number(2, 0..=last)?);
            if self.tokens.skip(b'.') {
                let fraction = self.tokens.next_any_number()?;
                if hour == 24 && fraction.value > 0 {
                    return None;
                }
                self.time.add(fraction.milliseconds());
            }
        }
        if self.tokens.peek == Token::Word(Word::Z) {
            self.tokens.next();
        } else if let Some(sign) = self.tokens.next_sign() {
            let (hours, minutes) = if let Some(both) = self.tokens.next_number(4, 0..=2359) {
                (both / 100, both % 100)
            } else {
                let hours = self.tokens.next_number(2, 0..=23)?;
                self.tokens.skip(b':').then_some(())?;
                (hours, self.tokens.next_number(2, 0..=59)?)
            };
            (minutes < 60).then_some(())?;
            self.zone = Zone { sign: Some(sign), hours: Some(hours), minutes: Some(minutes) };
        }
        (self.tokens.peek == Token::End).then_some(())
    }

    /// Reads the rest of the text, from `token` on.
    fn lenient(&mut self, mut token: Token) -> Option<()> {
        let mut after_number = !self.day.is_empty();
        while token != Token::End {
            match token {
                Token::Number(number) => {
                    after_number = true;
                    self.lenient_number(number.value)?;
                }
                Token::Word(Word::HalfDay(hours)) if !self.time.is_empty() => {
                    self.time.half_day = Some(hours);
                }
                Token::Word(Word::Month(month)) => {
                    self.day.named_month = Some(month);
                    self.tokens.skip(b'-');
                }
                Token::Word(Word::Z) if after_number => self.zone = Zone::named(0),
                Token::Word(Word::Zone(hours)) if after_number => self.zone = Zone::named(hours),
                // Garbage: only before the first number, and not right before it.
                Token::Word(_) => {
                    if after_number || matches!(self.tokens.peek, Token::Number(_)) {
                        return None;
                    }
                }
                Token::Symbol(sign @ (b'+' | b'-'))
                    if self.zone.is_utc() || !self.time.is_empty() =>
                {
                    after_number = true;
                    self.lenient_offset(sign)?;
                }
                Token::Symbol(b'+' | b'-' | b')') if after_number => return None,
                Token::Symbol(_) | Token::Blank | Token::Other | Token::End => {}
            }
            token = self.tokens.next();
        }
        Some(())
    }

    /// Whether a number is of the time, the zone or the day depends on the sign after it, then on
    /// what is still missing.
    fn lenient_number(&mut self, number: u32) -> Option<()> {
        if self.tokens.skip(b':') {
            if self.tokens.skip(b':') {
                self.time.is_empty().then_some(())?;
                self.time.add(number);
                self.time.add(0);
            } else {
                self.time.add(number).then_some(())?;
                self.tokens.skip(b'.');
            }
        // The point goes with the number even if this is no time, as in 10.03.2026.
        } else if self.tokens.skip(b'.') && self.time.expects(number) {
            self.time.add(number);
            let fraction = self.tokens.next_any_number()?;
            self.time.add_last(fraction.milliseconds());
        } else if self.zone.expects_minutes(number) {
            self.zone.minutes = Some(number);
        } else if self.time.expects(number) {
            self.time.add_last(number);
            let separate = match self.tokens.peek {
                Token::End | Token::Blank | Token::Word(Word::Z) => true,
                token => token.sign().is_some(),
            };
            separate.then_some(())?;
        } else {
            self.day.add(i64::from(number)).then_some(())?;
            self.tokens.skip(b'-');
        }
        Some(())
    }

    /// What follows a sign after a time or after UTC; the number may be missing before a colon.
    fn lenient_offset(&mut self, sign: u8) -> Option<()> {
        let number = self.tokens.next_any_number().unwrap_or_default();
        self.zone.sign = Some(sign);
        (self.zone.hours, self.zone.minutes) = if self.tokens.peek == Token::Symbol(b':') {
            (Some(number.value), None)
        } else {
            match number.digits {
                1 | 2 => (Some(number.value), Some(0)),
                3 | 4 => (Some(number.value / 100), Some(number.value % 100)),
                _ => return None,
            }
        };
        Some(())
    }
}

/// The numbers that make up the day, in the order of the text.
struct Day {
    numbers: [i64; 3],
    count: usize,
    named_month: Option<u8>,
    /// The whole text was in the standard format: year, month, day, and no short years.
    standard: bool,
}

impl Default for Day {
    fn default() -> Self {
        // What the text leaves out is 1.
        Self { numbers: [1; 3], count: 0, named_month: None, standard: false }
    }
}

impl Day {
    const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// False if there is no place left for the number.
    fn add(&mut self, number: i64) -> bool {
        let Some(place) = self.numbers.get_mut(self.count) else {
            return false;
        };
        *place = number;
        self.count += 1;
        true
    }

    /// Days since the epoch, once it is known which number is which.
    fn days(&self) -> Option<i64> {
        if self.is_empty() {
            return None;
        }
        let [first, second, third] = self.numbers;
        let day_first = (1..=31).contains(&first);
        let (year, month, day) = match self.named_month.map(i64::from) {
            Some(month) if day_first => (second, month, first),
            Some(month) => (first, month, second),
            None if self.standard || !day_first => (first, second, third),
            None => (third, first, second),
        };
        let year = match year {
            0..=49 if !self.standard => year + 2000,
            50..=99 if !self.standard => year + 1900,
            _ => year,
        };
        // Beyond these years no zone leads back to a time value, and milliseconds might overflow.
        let in_reach = (-300_000..=300_000).contains(&year);
        let named = (1..=12).contains(&month) && (1..=31).contains(&day);
        (in_reach && named).then(|| days_to(year, month, day))
    }
}

/// Hours, minutes, seconds, milliseconds.
#[derive(Default)]
struct Time {
    numbers: [u32; 4],
    count: usize,
    /// 0 for AM, 12 for PM.
    half_day: Option<u32>,
}

impl Time {
    const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether `number` can be the next one. Never said of the hour, which a colon gives away.
    const fn expects(&self, number: u32) -> bool {
        match self.count {
            1 | 2 => number < 60,
            3 => number < 1000,
            _ => false,
        }
    }

    /// False if there is no place left for the number.
    fn add(&mut self, number: u32) -> bool {
        let Some(place) = self.numbers.get_mut(self.count) else {
            return false;
        };
        *place = number;
        self.count += 1;
        true
    }

    /// Adds a number after which the time is complete, so that the next one is of the day.
    fn add_last(&mut self, number: u32) {
        self.add(number);
        self.count = self.numbers.len();
    }

    fn milliseconds(&self) -> Option<i64> {
        let [mut hour, minute, second, millisecond] = self.numbers;
        if let Some(half_day) = self.half_day {
            (hour <= 12).then_some(())?;
            hour = hour % 12 + half_day;
        }
        let within_day = hour < 24 && minute < 60 && second < 60 && millisecond < 1000;
        let end_of_day = [hour, minute, second, millisecond] == [24, 0, 0, 0];
        (within_day || end_of_day)
            .then(|| i64::from(((hour * 60 + minute) * 60 + second) * 1000 + millisecond))
    }
}

/// How far the text's clock is ahead of UTC.
#[derive(Default)]
struct Zone {
    sign: Option<u8>,
    hours: Option<u32>,
    minutes: Option<u32>,
}

impl Zone {
    fn named(hours: i8) -> Self {
        Self {
            sign: Some(if hours < 0 { b'-' } else { b'+' }),
            hours: Some(hours.unsigned_abs().into()),
            minutes: Some(0),
        }
    }

    fn is_utc(&self) -> bool {
        self.hours == Some(0) && self.minutes == Some(0)
    }

    fn expects_minutes(&self, number: u32) -> bool {
        self.hours.is_some() && self.minutes.is_none() && number < 60
    }

    fn milliseconds(&self) -> Option<i64> {
        let Some(sign) = self.sign else {
            return Some(0);
        };
        // The engine counts the seconds in 32 bits, so that absurd hours wrap around, and rejects
        // what then is not a positive integer of 32 bits.
        let hours = self.hours.unwrap_or(0).wrapping_mul(3600);
        let minutes = self.minutes.unwrap_or(0).wrapping_mul(60);
        let seconds = i32::try_from(hours.wrapping_add(minutes)).ok()?;
        Some(signed(sign, i64::from(seconds) * 1000))
    }
}

const fn signed(sign: u8, number: i64) -> i64 {
    if sign == b'-' { -number } else { number }
}

/// The text cut into tokens, one of them ahead of the reader.
struct Tokens<'text> {
    text: &'text str,
    position: usize,
    peek: Token,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Token {
    Number(Number),
    /// One of `:`, `-`, `+`, `.` and `)`.
    Symbol(u8),
    Word(Word),
    Blank,
    /// Parentheses with all that is in them, or any other character.
    Other,
    End,
}

#[derive(Clone, Copy, Default, Eq, PartialEq)]
struct Number {
    value: u32,
    /// As written, with leading zeros.
    digits: u32,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Word {
    Month(u8),
    /// A zone name, by its hours ahead of UTC.
    Zone(i8),
    /// A zone name as well, but one that may touch the time before it.
    Z,
    TimeSeparator,
    /// AM or PM, by the hours to add.
    HalfDay(u32),
    Unknown,
}

impl<'text> Tokens<'text> {
    fn new(text: &'text str) -> Self {
        let mut tokens = Self { text, position: 0, peek: Token::End };
        tokens.next();
        tokens
    }

    fn next(&mut self) -> Token {
        let ahead = self.scan();
        std::mem::replace(&mut self.peek, ahead)
    }

    fn skip(&mut self, symbol: u8) -> bool {
        let found = self.peek == Token::Symbol(symbol);
        if found {
            self.next();
        }
        found
    }

    fn next_sign(&mut self) -> Option<u8> {
        let sign = self.peek.sign()?;
        self.next();
        Some(sign)
    }

    fn next_any_number(&mut self) -> Option<Number> {
        let Token::Number(number) = self.peek else {
            return None;
        };
        self.next();
        Some(number)
    }

    fn next_number(&mut self, digits: u32, range: RangeInclusive<u32>) -> Option<u32> {
        match self.peek {
            Token::Number(number) if number.digits == digits && range.contains(&number.value) => {
                self.next();
                Some(number.value)
            }
            _ => None,
        }
    }

    fn scan(&mut self) -> Token {
        let start = self.position;
        let Some(byte) = self.byte() else {
            return Token::End;
        };
        match byte {
            b'0'..=b'9' => self.scan_number(),
            b':' | b'-' | b'+' | b'.' | b')' => {
                self.position += 1;
                Token::Symbol(byte)
            }
            b'\t'..=b'\r' | b' ' => {
                self.position += 1;
                Token::Blank
            }
            b'(' => {
                self.skip_parentheses();
                Token::Other
            }
            b'A'.. => {
                self.skip_word();
                match &self.text.as_bytes()[start..self.position] {
                    // Not a letter after all, but a blank beyond ASCII.
                    [] => {
                        self.position += self.character().map_or(0, char::len_utf8);
                        Token::Blank
                    }
                    word => Token::Word(Word::of(word)),
                }
            }
            _ => {
                self.position += 1;
                Token::Other
            }
        }
    }

    /// The engine takes a NUL for the end of the text.
    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.position).copied().filter(|&byte| byte != 0)
    }

    fn character(&self) -> Option<char> {
        self.text[self.position..].chars().next()
    }

    /// After leading zeros the first nine digits count, the others are skipped.
    fn scan_number(&mut self) -> Token {
        let mut number = Number::default();
        while let Some(digit @ b'0'..=b'9') = self.byte() {
            if number.value < 100_000_000 {
                number.value = number.value * 10 + u32::from(digit - b'0');
            }
            number.digits = number.digits.saturating_add(1);
            self.position += 1;
        }
        Token::Number(number)
    }

    /// Words hold whatever is not below `A` nor blank. Line ends beyond ASCII are not blank here.
    fn skip_word(&mut self) {
        while let Some(byte @ b'A'..) = self.byte() {
            if byte.is_ascii() {
                self.position += 1;
                continue;
            }
            match self.character() {
                Some(character) if !is_white_space(character) => {
                    self.position += character.len_utf8();
                }
                _ => break,
            }
        }
    }

    /// Up to the parenthesis that closes this one, or else to the end.
    fn skip_parentheses(&mut self) {
        let mut depth = 0;
        while let Some(byte) = self.byte() {
            self.position += 1;
            match byte {
                b'(' => depth += 1,
                b')' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
    }
}

impl Token {
    const fn sign(self) -> Option<u8> {
        match self {
            Self::Symbol(sign @ (b'+' | b'-')) => Some(sign),
            _ => None,
        }
    }
}

impl Number {
    /// The number read as the digits after a decimal point, cut to three of them.
    fn milliseconds(self) -> u32 {
        match self.digits {
            1 => self.value * 100,
            2 => self.value * 10,
            // The value holds nine digits at most. The engine forgets that leading zeros may have
            // come on top of these, and reads .0123456789 as 123.
            digits => (3..digits.min(9)).fold(self.value, |value, _| value / 10),
        }
    }
}

impl Word {
    fn of(word: &[u8]) -> Self {
        let letter = |index: usize| word.get(index).map_or(0, u8::to_ascii_lowercase);
        // Only the names of months may go on after three letters, in whichever way they like.
        let exact = word.len() <= 3;
        match &[letter(0), letter(1), letter(2)] {
            b"jan" => Self::Month(1),
            b"feb" => Self::Month(2),
            b"mar" => Self::Month(3),
            b"apr" => Self::Month(4),
            b"may" => Self::Month(5),
            b"jun" => Self::Month(6),
            b"jul" => Self::Month(7),
            b"aug" => Self::Month(8),
            b"sep" => Self::Month(9),
            b"oct" => Self::Month(10),
            b"nov" => Self::Month(11),
            b"dec" => Self::Month(12),
            b"am\0" => Self::HalfDay(0),
            b"pm\0" => Self::HalfDay(12),
            b"z\0\0" => Self::Z,
            b"t\0\0" => Self::TimeSeparator,
            b"ut\0" => Self::Zone(0),
            b"utc" | b"gmt" if exact => Self::Zone(0),
            b"edt" if exact => Self::Zone(-4),
            b"est" | b"cdt" if exact => Self::Zone(-5),
            b"cst" | b"mdt" if exact => Self::Zone(-6),
            b"mst" | b"pdt" if exact => Self::Zone(-7),
            b"pst" if exact => Self::Zone(-8),
            _ => Self::Unknown,
        }
    }
}

/// Days from the epoch to a date of the proleptic Gregorian calendar.
///
/// A day beyond the end of its month counts into the next one.
const fn days_to(year: i64, month: i64, day: i64) -> i64 {
    // Years that begin in March have the leap day at their end, and the lengths of the months
    // before it follow a line: 153 days for every five.
    let year = if month > 2 { year } else { year - 1 };
    let month_from_march = (month + 9) % 12;
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + (153 * month_from_march + 2) / 5 + day - EPOCH
}

/// The first of January 1970, counted from the day before the first of March of the year zero.
const EPOCH: i64 = 719_469;

/// The day of the month, 1 to 31, that is so many days from the epoch.
const fn day_of_month(days: i64) -> i64 {
    // The calendar repeats after 400 years, with one century of 36 525 days at the end of them.
    let day = (days + EPOCH - 1).rem_euclid(146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (year * 365 + year / 4 - year / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    day_of_year - (153 * month_from_march + 2) / 5 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same moment in two spellings, the second one standard and complete.
    #[track_caller]
    fn assert_same(text: &str, standard: &str) {
        let expected = plain(standard.as_bytes());
        assert!(expected.is_some(), "{standard:?} is not standard");
        assert_eq!(parse(text), expected, "{text:?}");
    }

    #[track_caller]
    fn assert_invalid(texts: &[&str]) {
        for text in texts {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn the_epoch_is_zero() {
        assert_eq!(parse("1970-01-01"), Some(0));
        assert_eq!(parse("1970-01-01T00:00:00.001Z"), Some(1));
        assert_eq!(parse("1969-12-31T23:59:59.999Z"), Some(-1));
        assert_eq!(parse("2026-03-10T09:30:00Z"), Some(1_773_135_000_000));
    }

    #[test]
    fn both_ways_read_plain_dates_alike() {
        for text in [
            "0000-01-01",
            "2024-02-29T23:59:59.999Z",
            "2026-02-31",
            "2026-03-10T09:30:00",
            "9999-12-31T00:00:00Z",
        ] {
            assert!(plain(text.as_bytes()).is_some(), "{text:?} is not plain");
            assert_eq!(plain(text.as_bytes()), Reader::new(text).read(), "{text:?}");
        }
    }

    #[test]
    fn standard_dates_may_end_early() {
        assert_same("2026", "2026-01-01");
        assert_same("2026-03", "2026-03-01");
        assert_same("2026-03-10T09:30", "2026-03-10T09:30:00Z");
        assert_same("2026-03-10T09:30:00.1239", "2026-03-10T09:30:00.123Z");
        assert_same("2026-03-10T10:30:00+01:00", "2026-03-10T09:30:00Z");
        assert_same("2026-03-10T08:00:00.5-0130", "2026-03-10T09:30:00.500Z");
    }

    #[test]
    fn after_the_t_nothing_else_will_do() {
        assert_invalid(&[
            "2026-03-10T",
            "2026-03-10T9:30",
            "2026-03-10T09:30 Z",
            "2026-03-10T09:30 PM",
            "2026-03-10T09:60",
            "2026-03-10T09:30:00+24:00",
            "2026-03-10T09:30:00+01",
        ]);
        assert_same("2026-03-10 09:30 PM", "2026-03-10T21:30:00Z");
    }

    #[test]
    fn a_day_ends_at_24_and_not_later() {
        assert_same("2026-12-31T24:00:00.000Z", "2027-01-01");
        assert_same("2026-12-31 24:00", "2027-01-01");
        assert_invalid(&["2026-12-31T24:00:00.001Z", "2026-12-31T24:01", "2026-12-31 24:01"]);
    }

    #[test]
    fn a_day_may_run_over_its_month_but_not_over_31() {
        assert_same("2026-02-31", "2026-03-03");
        assert_same("Feb 30 2024", "2024-03-01");
        assert_invalid(&["2026-01-32", "2026-13-01", "Jan 32 2026 1"]);
    }

    #[test]
    fn signed_years_have_six_digits() {
        assert_same("+002026-03-10", "2026-03-10");
        assert_same("+000000-01-01", "0000-01-01");
        let new_year = plain(b"0000-01-01").unwrap();
        assert_eq!(parse("-000001-12-31"), Some(new_year - MILLISECONDS_PER_DAY));
        // Year zero has no minus sign. What is left of it reads as month and day.
        assert_same("-000000-03-10", "2001-03-10");
    }

    #[test]
    fn time_values_end() {
        assert_eq!(parse("+275760-09-13"), Some(LAST_TIME_VALUE));
        assert_eq!(parse("-271821-04-20"), Some(-LAST_TIME_VALUE));
        assert_invalid(&[
            "+275760-09-13T00:00:00.001Z",
            "-271821-04-19T23:59:59.999Z",
            "999999999",
            "1/1/999999999999",
        ]);
    }

    #[test]
    fn small_numbers_are_dates() {
        assert_same("0", "2000-01-01");
        assert_same("7", "2001-07-01");
        assert_same("42", "2042-01-01");
        assert_same("99", "1999-01-01");
        assert_same("-3.5", "2001-03-05");
        assert_same("item 3", "2001-03-01");
        assert_invalid(&["", "13", "item3", "3 items", "1 - 2", "1773135000000"]);
    }

    #[test]
    fn numbers_are_month_day_year_or_the_year_first() {
        assert_same("03/15/2026", "2026-03-15");
        assert_same("3.15.26", "2026-03-15");
        assert_same("2026/03/15", "2026-03-15");
        assert_same("1-2-50", "1950-01-02");
        assert_invalid(&["15/03/2026", "1/2/3/4"]);
    }

    #[test]
    fn named_months_stand_anywhere() {
        for text in ["Jan 2 2026", "2 January 2026", "02-JAN-26", "2026 2 janvier", "Jan2,26"] {
            assert_same(text, "2026-01-02");
        }
        assert_same("Jan 2026", "2026-01-01");
    }

    #[test]
    fn mail_and_engine_forms_are_understood() {
        let moment = "2026-03-10T09:30:00Z";
        assert_same("Tue, 10 Mar 2026 09:30:00 GMT", moment);
        assert_same("Tue Mar 10 2026 10:30:00 GMT+0100 (Central European Time)", moment);
        assert_same("Mar 10, 2026, 9:30:00\u{202F}AM", moment);
        assert_same("3/10/2026 5:30 EDT", moment);
        assert_same("3/10/2026 1:30 GMT-8", moment);
        assert_invalid(&["Tue, 10 Mar 2026 09:30:00 CET", "3/10/2026 13:30 PM"]);
    }

    #[test]
    fn offsets_wrap_around_in_32_bits() {
        assert_same("1/1/2020 10:00 +596523:", "1951-12-14T07:00:00Z");
        assert_invalid(&["1/1/2020 10:00 +596524:"]);
        assert_same("1/1/2020 10:00 +1193047:", "2020-01-01T09:28:16Z");
    }

    #[test]
    fn parentheses_are_skipped_with_what_they_hold() {
        assert_same("2026-03-10 (a (b) 99)", "2026-03-10");
        assert_same("2026-03-10 ((open", "2026-03-10");
        assert_invalid(&["2026-03-10)"]);
    }

    #[test]
    fn a_nul_ends_the_text() {
        assert_same("2026-03-10\0T99", "2026-03-10");
        assert_same("2026-03-10 (\0", "2026-03-10");
    }

    #[test]
    fn blanks_beyond_ascii_separate_but_line_ends_there_do_not() {
        assert_same("\u{3000}3/10/2026\u{A0}9:30\u{FEFF}", "2026-03-10T09:30:00Z");
        assert_invalid(&["3/10/2026\u{2028}", "\u{2029}3/10/2026", "é3/10/2026"]);
    }

    #[test]
    fn whole_days_keep_the_time_of_day() {
        let now = parse("2026-03-10T09:30:00Z").unwrap();
        assert_eq!(shift_days(now, 30.0), parse("2026-02-08T09:30:00Z"));
        assert_eq!(shift_days(now, -30.0), parse("2026-04-09T09:30:00Z"));
        assert_eq!(shift_days(-1, 1.0), Some(-1 - MILLISECONDS_PER_DAY));
    }

    #[test]
    fn a_part_of_a_day_is_cut_from_the_day_of_the_month() {
        let now = parse("2026-03-15").unwrap();
        assert_eq!(shift_days(now, 1.9), parse("2026-03-13"));
        assert_eq!(shift_days(now, 0.1), parse("2026-03-14"));
        // From day 0 on, towards zero is forwards.
        assert_eq!(shift_days(now, 15.9), parse("2026-02-28"));
        assert_eq!(shift_days(now, 16.5), parse("2026-02-27"));
    }

    #[test]
    fn shifting_out_of_the_time_values_is_invalid() {
        for days in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300, -1e300, 2e8, -1e8] {
            assert_eq!(shift_days(1_773_135_000_000, days), None, "{days}");
        }
        assert_eq!(shift_days(-LAST_TIME_VALUE, -2e8), Some(LAST_TIME_VALUE));
        assert_eq!(shift_days(LAST_TIME_VALUE, -1.0), None);
        assert_eq!(shift_days(LAST_TIME_VALUE + 1, 1.0), None);
    }
}
