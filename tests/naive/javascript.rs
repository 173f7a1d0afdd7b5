//! The pieces of JavaScript that the reference evaluator leans on, spelled out slowly.
//!
//! Covers protocol page 12.1 (member order, number text) and the `num(x)` and `date(x)` of 12.3.
//! The local time zone is UTC throughout. Knows nothing about rules.

const MILLIS_PER_DAY: i64 = 86_400_000;

/// A JSON value whose members come in the order in which JavaScript visits them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Json {
    Null,
    Boolean(bool),
    Number(f64),
    Text(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    /// Reads text that is known to be valid JSON; panics on anything else.
    pub(crate) fn parse(text: &str) -> Json {
        let (value, rest) = parse_value(text);
        assert_eq!(skip_blanks(rest), "", "text after the JSON value");
        value
    }

    /// `JSON.stringify(x)`.
    pub(crate) fn stringify(&self) -> String {
        let quote = |text: &str| serde_json::to_string(text).expect("text is always writable");
        match self {
            Json::Null => "null".to_owned(),
            Json::Boolean(value) => value.to_string(),
            Json::Number(value) if value.is_infinite() => "null".to_owned(),
            Json::Number(value) => number_text(*value),
            Json::Text(text) => quote(text),
            Json::Array(elements) => {
                let elements: Vec<_> = elements.iter().map(Json::stringify).collect();
                format!("[{}]", elements.join(","))
            }
            Json::Object(members) => {
                let members: Vec<_> = members
                    .iter()
                    .map(|(name, value)| format!("{}:{}", quote(name), value.stringify()))
                    .collect();
                format!("{{{}}}", members.join(","))
            }
        }
    }
}

/// `String(number)` of any number but NaN: the shortest digits that read back as the same double.
pub(crate) fn number_text(number: f64) -> String {
    if number == 0.0 {
        return "0".to_owned();
    }
    let sign = if number < 0.0 { "-" } else { "" };
    if number.is_infinite() {
        return format!("{sign}Infinity");
    }
    let shortest = format!("{:e}", number.abs());
    let count = shortest.chars().take_while(|c| *c != 'e').filter(char::is_ascii_digit).count();
    // Of two texts equally short and near Rust takes the greater, JavaScript the even one, and
    // so does Rust when told how many digits to write.
    let even = format!("{:.*e}", count - 1, number.abs());
    let scientific = if even.parse() == Ok(number.abs()) { even } else { shortest };
    let (digits, exponent) = scientific.split_once('e').expect("{:e} writes an e");
    let digits = digits.replace('.', "");
    let exponent: i32 = exponent.parse().expect("{:e} writes an integer exponent");
    let count = i32::try_from(count).expect("a double has 17 digits at most");
    // How many of the digits stand before the decimal point; may be negative.
    let point = exponent + 1;
    let zeros = |n: i32| "0".repeat(usize::try_from(n).expect("never negative here"));
    let split = |at: i32| digits.split_at(usize::try_from(at).expect("never negative here"));
    let unsigned = match point {
        _ if count <= point && point <= 21 => digits.clone() + &zeros(point - count),
        1..=21 => {
            let (whole, fraction) = split(point);
            format!("{whole}.{fraction}")
        }
        -5..=0 => format!("0.{}{digits}", zeros(-point)),
        _ => {
            let (first, others) = split(1);
            let dot = if others.is_empty() { "" } else { "." };
            format!("{first}{dot}{others}e{exponent:+}")
        }
    };
    format!("{sign}{unsigned}")
}

/// `Number(text)`; "not a number" is NaN.
pub(crate) fn number(text: &str) -> f64 {
    // JavaScript does not count NEL (U+0085) as white space, but counts the byte order mark.
    let text = text.trim_matches(|c: char| (c.is_whitespace() && c != '\u{85}') || c == '\u{feff}');
    if text.is_empty() {
        return 0.0;
    }
    for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] {
        if text.to_ascii_lowercase().starts_with(prefix) {
            return whole_number(&text[2..], radix);
        }
    }
    match text {
        "Infinity" | "+Infinity" => f64::INFINITY,
        "-Infinity" => f64::NEG_INFINITY,
        // What is left over may only be decimal: no `inf`, `nan` or `infinity`, which Rust reads.
        _ if text.chars().all(|c| "0123456789+-.eE".contains(c)) => {
            text.parse().unwrap_or(f64::NAN)
        }
        _ => f64::NAN,
    }
}

/// `new Date(text)` in milliseconds since 1970, `None` where it is an Invalid Date.
pub(crate) fn date(text: &str) -> Option<i64> {
    iso_date(text)
        .or_else(|| iso_date(&text.replacen(' ', "T", 1)))
        .or_else(|| lenient_date(text))
        .filter(|millis| is_valid_time(*millis))
}

/// `now` with `days` taken from its day of the month: `d.setDate(d.getDate() - days)`.
pub(crate) fn days_before(now: i64, days: f64) -> Option<i64> {
    let today = day_of_month(now.div_euclid(MILLIS_PER_DAY));
    let wanted = (f64::from(today) - days).trunc();
    // A billion days is more than a date can hold.
    let possible = wanted.abs() < 1e9;
    possible
        .then(|| now + (wanted as i64 - i64::from(today)) * MILLIS_PER_DAY)
        .filter(|millis| is_valid_time(*millis))
}

fn is_valid_time(millis: i64) -> bool {
    millis.abs() <= 8_640_000_000_000_000
}

// ---- JSON text

fn parse_value(text: &str) -> (Json, &str) {
    let text = skip_blanks(text);
    match text.chars().next() {
        Some('{') => parse_object(&text[1..]),
        Some('[') => parse_array(&text[1..]),
        Some('"') => {
            let (string, rest) = parse_string(text);
            (Json::Text(string), rest)
        }
        _ => parse_word(text),
    }
}

fn parse_object(mut text: &str) -> (Json, &str) {
    let mut members: Vec<(String, Json)> = Vec::new();
    loop {
        text = skip_blanks(text);
        if let Some(rest) = text.strip_prefix('}') {
            return (Json::Object(in_javascript_order(members)), rest);
        }
        let (name, rest) = parse_string(skip_blanks(text.strip_prefix(',').unwrap_or(text)));
        let rest = skip_blanks(rest).strip_prefix(':').expect("a colon");
        let (value, rest) = parse_value(rest);
        // A name written twice keeps its first place and its last value.
        match members.iter_mut().find(|(known, _)| *known == name) {
            Some(member) => member.1 = value,
            None => members.push((name, value)),
        }
        text = rest;
    }
}

fn parse_array(mut text: &str) -> (Json, &str) {
    let mut elements = Vec::new();
    loop {
        text = skip_blanks(text);
        if let Some(rest) = text.strip_prefix(']') {
            return (Json::Array(elements), rest);
        }
        let (value, rest) = parse_value(text.strip_prefix(',').unwrap_or(text));
        elements.push(value);
        text = rest;
    }
}

fn parse_string(text: &str) -> (String, &str) {
    let mut escaped = false;
    let (end, _) = text
        .char_indices()
        .skip(1)
        .find(|(_, c)| {
            let closing = *c == '"' && !escaped;
            escaped = *c == '\\' && !escaped;
            closing
        })
        .expect("a closing quote");
    let (quoted, rest) = text.split_at(end + 1);
    (serde_json::from_str(quoted).expect("a JSON string"), rest)
}

fn parse_word(text: &str) -> (Json, &str) {
    let end = text.find(|c| ",]} \t\r\n".contains(c));
    let (word, rest) = text.split_at(end.unwrap_or(text.len()));
    let value = match word {
        "null" => Json::Null,
        "true" => Json::Boolean(true),
        "false" => Json::Boolean(false),
        // Rust rounds to the nearest double and overflows to infinity, as JavaScript does.
        number => Json::Number(number.parse().expect("a JSON number")),
    };
    (value, rest)
}

fn skip_blanks(text: &str) -> &str {
    text.trim_start_matches([' ', '\t', '\r', '\n'])
}

/// Integer-like names first, ascending; then the others as they were written.
fn in_javascript_order(members: Vec<(String, Json)>) -> Vec<(String, Json)> {
    let index = |name: &str| name.parse::<u32>().ok().filter(|i| i.to_string() == name);
    let (mut indexes, others): (Vec<_>, Vec<_>) =
        members.into_iter().partition(|(name, _)| index(name).is_some_and(|i| i < u32::MAX));
    indexes.sort_by_key(|(name, _)| index(name));
    indexes.into_iter().chain(others).collect()
}

// ---- numbers

/// Digits of a radix; rounds once per digit, so it is exact only up to 2^53.
fn whole_number(digits: &str, radix: u32) -> f64 {
    let value = digits
        .chars()
        .try_fold(0.0, |sum, c| Some(sum * f64::from(radix) + f64::from(c.to_digit(radix)?)));
    value.filter(|_| !digits.is_empty()).unwrap_or(f64::NAN)
}

// ---- dates

/// `YYYY`, `YYYY-MM` or `YYYY-MM-DD` (or a signed six-digit year), then perhaps a time of day
/// and a zone. Without a zone it is UTC.
fn iso_date(text: &str) -> Option<i64> {
    let mut rest = text;
    let year = match take_sign(&mut rest) {
        None => take_digits(&mut rest, 4)?,
        Some(sign) => sign * take_digits(&mut rest, 6).filter(|year| sign == 1 || *year != 0)?,
    };
    let (mut month, mut day) = (1, 1);
    if take(&mut rest, "-") {
        month = take_digits(&mut rest, 2)?;
        if take(&mut rest, "-") {
            day = take_digits(&mut rest, 2)?;
        }
    }
    let mut millis = day_number(year, month, day)? * MILLIS_PER_DAY;
    if take(&mut rest, "T") || take(&mut rest, "t") {
        millis += iso_time(&mut rest)?;
    }
    rest.is_empty().then_some(millis)
}

/// `hh:mm`, `hh:mm:ss` or `hh:mm:ss.fraction`, then nothing, `Z` or `+hh:mm`; in milliseconds.
fn iso_time(rest: &mut &str) -> Option<i64> {
    let hour = take_digits(rest, 2)?;
    let minute = take(rest, ":").then(|| take_digits(rest, 2))??;
    let (mut second, mut fraction) = (0, 0);
    if take(rest, ":") {
        second = take_digits(rest, 2)?;
        if take(rest, ".") {
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            *rest = &rest[digits.len()..];
            fraction = format!("{digits:0<3}")[..3].parse().ok()?;
            digits.chars().next()?;
        }
    }
    let midnight = (minute, second, fraction) == (0, 0, 0);
    if hour > 24 || (hour == 24 && !midnight) || minute > 59 || second > 59 {
        return None;
    }
    let mut minutes = hour * 60 + minute;
    if !take(rest, "Z")
        && !take(rest, "z")
        && let Some(sign) = take_sign(rest)
    {
        let zone_hour = take_digits(rest, 2)?;
        take(rest, ":");
        let zone_minute = take_digits(rest, 2)?;
        if zone_hour > 23 || zone_minute > 59 {
            return None;
        }
        minutes -= sign * (zone_hour * 60 + zone_minute);
    }
    Some((minutes * 60 + second) * 1000 + fraction)
}

/// A rough image of the engine's lenient parser: up to three numbers, a month name, a time of
/// day, `GMT`; words before the first number are skipped. Good for `Jan 2 2026`, `03/15/2026`,
/// `Tue, 10 Mar 2026 09:30:00 GMT` and small integers; not meant for offsets, `AM`/`PM`,
/// comments in parentheses and words that touch a number.
fn lenient_date(text: &str) -> Option<i64> {
    if text.contains('+') {
        return None;
    }
    let mut numbers: Vec<i64> = Vec::new();
    let mut month = None;
    let mut time = 0;
    for piece in text.split(|c: char| !c.is_alphanumeric() && c != ':') {
        let is_number = !piece.is_empty() && piece.chars().all(|c| c.is_ascii_digit());
        let is_time = piece.contains(':') && piece.chars().all(|c| c.is_ascii_digit() || c == ':');
        let is_word = piece.chars().all(|c| c.is_alphabetic() || c == ':');
        if is_number {
            numbers.push(piece.parse().ok()?);
        } else if is_time && !numbers.is_empty() {
            time = iso_time(&mut &*piece)?;
        } else if is_word {
            let known = month_of_name(piece);
            let zone = matches!(piece.to_ascii_uppercase().as_str(), "GMT" | "UTC" | "Z");
            if known.is_none() && !zone && !piece.is_empty() && !numbers.is_empty() {
                return None;
            }
            month = month.or(known);
        } else {
            return None;
        }
    }
    if numbers.is_empty() || numbers.len() > 3 {
        return None;
    }
    numbers.resize(3, 1);
    let (first, second, third) = (numbers[0], numbers[1], numbers[2]);
    let first_is_day = (1..=31).contains(&first);
    let (year, month, day) = match month {
        Some(month) if first_is_day => (second, month, first),
        Some(month) => (first, month, second),
        None if first_is_day => (third, first, second),
        None => (first, second, third),
    };
    let year = match year {
        0..=49 => year + 2000,
        50..=99 => year + 1900,
        _ => year,
    };
    Some(day_number(year, month, day)? * MILLIS_PER_DAY + time)
}

fn month_of_name(word: &str) -> Option<i64> {
    let names =
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let word = word.to_ascii_lowercase();
    (1..).zip(names).find_map(|(month, name)| word.starts_with(name).then_some(month))
}

/// Days from 1970-01-01 to a date; the 31st of a short month runs over into the next.
fn day_number(year: i64, month: i64, day: i64) -> Option<i64> {
    let possible = year.abs() <= 300_000 && (1..=12).contains(&month) && (1..=31).contains(&day);
    // Years that begin in March: the leap day is the last one, and months have a regular length.
    let years = if month <= 2 { year - 1 } else { year };
    let months = (month + 9) % 12;
    let leap_days = years.div_euclid(4) - years.div_euclid(100) + years.div_euclid(400);
    let days = years * 365 + leap_days + (153 * months + 2) / 5 + day - 1;
    possible.then_some(days - 719_468)
}

/// Slow and sure: counts from the last first of a month that is not after the day.
fn day_of_month(day: i64) -> i32 {
    let firsts = (1970..2200).flat_map(|year| (1..=12).map(move |month| (year, month, 1)));
    let first = firsts
        .filter_map(|(year, month, first)| day_number(year, month, first))
        .take_while(|first| *first <= day)
        .last()
        .expect("the clock of a test stands between 1970 and 2200");
    i32::try_from(day - first + 1).expect("31 at most")
}

fn take(rest: &mut &str, mark: &str) -> bool {
    let found = rest.strip_prefix(mark);
    *rest = found.unwrap_or(rest);
    found.is_some()
}

fn take_sign(rest: &mut &str) -> Option<i64> {
    if take(rest, "+") { Some(1) } else { take(rest, "-").then_some(-1) }
}

fn take_digits(rest: &mut &str, count: usize) -> Option<i64> {
    let digits = rest.get(..count)?;
    *rest = &rest[count..];
    let all = digits.chars().all(|c| c.is_ascii_digit());
    all.then(|| digits.parse().expect("a few digits"))
}
