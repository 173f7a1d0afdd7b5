//! What each kind of value looks like, and the words for it when something else was found.
//!
//! A [`Shape`] turns one scalar into the type that runs. It sees neither where the value was
//! written nor whether a placeholder was replaced in it, and it cannot quote it: a refusal's
//! `found` is fixed text, so no shape can put a secret into a problem.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::base_url::{BaseUrl, host_and_port};
use super::secret::{Key, Token};
use super::settings::{
    BareKey, Definitions, Evaluator, FileFormat, Fraction, Listen, LogFormat, LogLevel, OnStale,
    OnUnauthorized,
};

/// One value without its place.
#[derive(Clone, Copy)]
pub(super) enum Scalar<'a> {
    Text(&'a str),
    Integer(i64),
    Float(f64),
    Boolean(bool),
}

/// What is accepted for a setting.
pub(super) struct Shape<T> {
    /// Completes "expected ...".
    pub(super) expected: String,
    /// Whether the value must never be shown.
    pub(super) secret: bool,
    accept: Accept<T>,
}

type Accept<T> = Box<dyn Fn(Scalar<'_>) -> Result<T, Refusal>>;

/// Why a value was not accepted, when "found X, expected Y" does not say enough.
#[derive(Default)]
pub(super) struct Refusal {
    /// Completes "found ..." in the place of the value itself.
    pub(super) found: Option<&'static str>,
    pub(super) hint: Option<String>,
}

impl Refusal {
    fn found(found: &'static str) -> Self {
        Self { found: Some(found), hint: None }
    }

    pub(super) fn hint(hint: impl Into<String>) -> Self {
        Self { found: None, hint: Some(hint.into()) }
    }
}

impl<T> Shape<T> {
    pub(super) fn accept(&self, scalar: Scalar<'_>) -> Result<T, Refusal> {
        (self.accept)(scalar)
    }

    pub(super) fn new(
        expected: impl Into<String>,
        accept: impl Fn(Scalar<'_>) -> Result<T, Refusal> + 'static,
    ) -> Self {
        Self { expected: expected.into(), secret: false, accept: Box::new(accept) }
    }

    pub(super) fn text(
        expected: impl Into<String>,
        accept: impl Fn(&str) -> Result<T, Refusal> + 'static,
    ) -> Self {
        Self::new(expected, move |scalar| match scalar {
            Scalar::Text(text) => accept(text),
            _ => Err(Refusal::default()),
        })
    }

    fn secret(self) -> Self {
        Self { secret: true, ..self }
    }
}

pub(super) fn boolean() -> Shape<bool> {
    Shape::new("true or false", |scalar| match scalar {
        Scalar::Boolean(boolean) => Ok(boolean),
        Scalar::Text("true" | "false") => Err(Refusal::hint("without the quotes")),
        _ => Err(Refusal::default()),
    })
}

pub(super) fn integer(range: RangeInclusive<usize>) -> Shape<usize> {
    let expected = format!("an integer from {} to {}", range.start(), range.end());
    Shape::new(expected, move |scalar| match scalar {
        Scalar::Integer(integer) => within(&range, usize::try_from(integer).ok()),
        Scalar::Text(text) if text.parse::<usize>().is_ok() => {
            Err(Refusal::hint("without the quotes"))
        }
        _ => Err(Refusal::default()),
    })
}

/// A share of something, with or without a decimal point.
pub(super) fn fraction() -> Shape<Fraction> {
    Shape::new("a number from 0 to 1", |scalar| match scalar {
        Scalar::Float(number) => Fraction::new(number).ok_or_else(Refusal::default),
        Scalar::Integer(0) => Ok(Fraction::ZERO),
        Scalar::Integer(1) => Ok(Fraction::ONE),
        Scalar::Text(text) if text.parse().ok().and_then(Fraction::new).is_some() => {
            Err(Refusal::hint("without the quotes"))
        }
        _ => Err(Refusal::default()),
    })
}

/// Bytes: an integer, or text with a unit. Fractions are not read: they have no exact meaning.
pub(super) fn size(range: RangeInclusive<usize>) -> Shape<usize> {
    let expected = format!("a size from {} to {}", Bytes(*range.start()), Bytes(*range.end()));
    Shape::new(expected, move |scalar| match scalar {
        Scalar::Integer(integer) => within(&range, usize::try_from(integer).ok()),
        Scalar::Text(text) => {
            let bytes = parse_size(text).ok_or_else(|| {
                Refusal::hint(
                    "bytes as an integer, or text with B, kB, KB, KiB, MB, MiB, GB or GiB",
                )
            })?;
            within(&range, usize::try_from(bytes).ok())
        }
        Scalar::Float(_) | Scalar::Boolean(_) => Err(Refusal::default()),
    })
}

fn parse_size(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit: u64 = match unit.trim_start_matches(' ') {
        "B" => 1,
        "kB" | "KB" => 1_000,
        "KiB" => 1 << 10,
        "MB" => 1_000_000,
        "MiB" => 1 << 20,
        "GB" => 1_000_000_000,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}

pub(super) fn duration(range: RangeInclusive<Duration>) -> Shape<Duration> {
    let expected = format!(
        "a duration from {} to {}",
        humantime::format_duration(*range.start()),
        humantime::format_duration(*range.end())
    );
    Shape::new(expected, move |scalar| match scalar {
        Scalar::Text(text) => {
            let duration = parse_duration(text).ok_or_else(|| {
                Refusal::hint("a number with a unit, such as \"250ms\", \"75s\" or \"1h 30m\"")
            })?;
            within(&range, Some(duration))
        }
        Scalar::Integer(integer) => {
            Err(Refusal::hint(format!("a unit is missing: \"{integer}s\" for seconds")))
        }
        Scalar::Float(_) | Scalar::Boolean(_) => Err(Refusal::default()),
    })
}

fn parse_duration(text: &str) -> Option<Duration> {
    // humantime 2.4 panics on a sum of exactly `u64::MAX` seconds and a carry. Short text made
    // of short numbers cannot come near it, and no useful duration is longer.
    let short = text.len() <= 100
        && text
            .split(|c: char| !c.is_ascii_digit() && !c.is_whitespace())
            .all(|run| run.bytes().filter(u8::is_ascii_digit).count() <= 9);
    if !short {
        return None;
    }
    humantime::parse_duration(text).ok()
}

fn within<T: PartialOrd>(range: &RangeInclusive<T>, value: Option<T>) -> Result<T, Refusal> {
    value.filter(|value| range.contains(value)).ok_or_else(Refusal::default)
}

/// A type with a fixed set of values, each written as one word.
pub(super) trait ClosedSet: Copy + 'static {
    /// Every value, in the order in which people are told about them.
    const ALL: &'static [Self];

    /// Words that mean something in another place, and what to say of them. They are refused like
    /// any other, but not as typing errors.
    const ELSEWHERE: &'static [(&'static str, &'static str)] = &[];

    fn word(self) -> &'static str;

    fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|value| value.word() == word)
    }
}

impl ClosedSet for OnStale {
    const ALL: &'static [Self] = &[Self::Serve, Self::Mark, Self::Refuse];

    fn word(self) -> &'static str {
        match self {
            Self::Serve => "serve",
            Self::Mark => "mark",
            Self::Refuse => "refuse",
        }
    }
}

impl ClosedSet for OnUnauthorized {
    const ALL: &'static [Self] = &[Self::Serve, Self::Refuse];

    fn word(self) -> &'static str {
        match self {
            Self::Serve => "serve",
            Self::Refuse => "refuse",
        }
    }
}

impl ClosedSet for Evaluator {
    const ALL: &'static [Self] = &[Self::V1_0, Self::V1_1];

    fn word(self) -> &'static str {
        match self {
            Self::V1_0 => "1.0",
            Self::V1_1 => "1.1",
        }
    }
}

impl ClosedSet for BareKey {
    const ALL: &'static [Self] = &[Self::Auto, Self::Enabled, Self::Value];

    fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Enabled => "enabled",
            Self::Value => "value",
        }
    }
}

impl ClosedSet for Definitions {
    const ALL: &'static [Self] = &[Self::Complete, Self::Partial];

    fn word(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Partial => "partial",
        }
    }
}

impl ClosedSet for FileFormat {
    const ALL: &'static [Self] = &[Self::Reflag, Self::Flagsmith];

    fn word(self) -> &'static str {
        match self {
            Self::Reflag => "reflag",
            Self::Flagsmith => "flagsmith",
        }
    }
}

impl ClosedSet for LogFormat {
    const ALL: &'static [Self] = &[Self::Text, Self::Json];

    fn word(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

impl ClosedSet for LogLevel {
    const ALL: &'static [Self] = &[Self::Error, Self::Warn, Self::Info, Self::Debug, Self::Trace];

    fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// The word in a discovery's `type`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum DiscoveryType {
    Flagsmith,
}

impl ClosedSet for DiscoveryType {
    const ALL: &'static [Self] = &[Self::Flagsmith];

    fn word(self) -> &'static str {
        match self {
            Self::Flagsmith => "flagsmith",
        }
    }
}

/// The word in a source's `type`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum SourceType {
    File,
    Reflag,
    Flagsmith,
    Origin,
}

impl ClosedSet for SourceType {
    const ALL: &'static [Self] = &[Self::File, Self::Reflag, Self::Flagsmith, Self::Origin];

    fn word(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Reflag => "reflag",
            Self::Flagsmith => "flagsmith",
            Self::Origin => "origin",
        }
    }
}

/// The types of source that variables alone can describe.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct VariableSource(pub(super) SourceType);

impl ClosedSet for VariableSource {
    const ALL: &'static [Self] =
        &[Self(SourceType::File), Self(SourceType::Reflag), Self(SourceType::Flagsmith)];
    const ELSEWHERE: &'static [(&'static str, &'static str)] =
        &[("origin", "an origin is described in a file, below [origin]")];

    fn word(self) -> &'static str {
        self.0.word()
    }
}

pub(super) fn one_of<T: ClosedSet>() -> Shape<T> {
    Shape::new(any_word_of::<T>(), |scalar| match scalar {
        Scalar::Text(text) => T::from_word(text).ok_or_else(|| {
            if let Some((_, hint)) = T::ELSEWHERE.iter().find(|(word, _)| *word == text) {
                return Refusal::hint(*hint);
            }
            let words = T::ALL.iter().map(|value| value.word());
            Refusal { found: None, hint: nearest(text, words).map(did_you_mean) }
        }),
        _ => Err(Refusal::default()),
    })
}

/// `"serve", "mark" or "refuse"`
pub(super) fn any_word_of<T: ClosedSet>() -> String {
    let quoted: Vec<_> = T::ALL.iter().map(|value| format!("{:?}", value.word())).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}

pub(super) fn listen() -> Shape<Listen> {
    let expected = "\"address:port\", such as \"0.0.0.0:8000\", or \"unix:/path\"";
    Shape::text(expected, |text| match text.strip_prefix("unix:") {
        Some(path) if path.is_empty() || path.contains('\0') => Err(Refusal::default()),
        Some(path) => Ok(Listen::Unix(PathBuf::from(path))),
        None => text.parse().map(Listen::Tcp).map_err(|_| Refusal::default()),
    })
}

/// Normalised: empty, or with a leading and no trailing slash.
pub(super) fn base_path() -> Shape<String> {
    let expected =
        "a path of letters, digits and - . _ ~ between single slashes, such as \"/flags\"";
    Shape::text(expected, |text| {
        let inner = text.strip_prefix('/').unwrap_or(text);
        let inner = inner.strip_suffix('/').unwrap_or(inner);
        if inner.is_empty() {
            return Ok(String::new());
        }
        let is_segment = |segment: &str| {
            // Clients resolve dot segments before they send a request: it would never match.
            !matches!(segment, "" | "." | "..")
                && segment
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
        };
        if inner.split('/').all(is_segment) {
            Ok(format!("/{inner}"))
        } else {
            Err(Refusal::default())
        }
    })
}

pub(super) fn path() -> Shape<PathBuf> {
    Shape::text("the path of a file", |text| {
        if text.is_empty() || text.contains('\0') {
            return Err(Refusal::default());
        }
        Ok(PathBuf::from(text))
    })
}

pub(super) fn base_url() -> Shape<BaseUrl> {
    // What is beside the host and the path of a URL can be a password, and text without a scheme
    // can be the key from the next line: such text is named, not quoted.
    const NEVER_QUOTED: [(char, &str); 3] = [
        ('@', "a URL with a user or a password"),
        ('?', "a URL with a query"),
        ('#', "a URL with a fragment"),
    ];
    let expected = "\"http://host\" or \"https://host\", perhaps with a port and a path";
    Shape::text(expected, |text| {
        let never_quoted = NEVER_QUOTED.into_iter().find(|(sign, _)| text.contains(*sign));
        if let Some((_, found)) = never_quoted {
            return Err(Refusal::found(found));
        }
        if !text.contains("://") {
            return Err(Refusal::found("text without \"://\""));
        }
        BaseUrl::parse(text).ok_or_else(Refusal::default)
    })
}

/// `sqlite:PATH`
pub(super) fn database() -> Shape<PathBuf> {
    Shape::text("\"sqlite:PATH\"", |text| match text.split_once(':') {
        Some(("sqlite", path)) if !path.is_empty() && !path.contains('\0') => {
            Ok(PathBuf::from(path))
        }
        Some(("postgres" | "postgresql", _)) => {
            Err(Refusal::hint("this build keeps an origin in SQLite only"))
        }
        _ => Err(Refusal::default()),
    })
}

/// What an app or one of its environments is called, or its id.
pub(super) fn origin_name() -> Shape<String> {
    Shape::text("an id or a name", |text| {
        if text.is_empty() || text.chars().any(char::is_control) {
            return Err(Refusal::default());
        }
        Ok(text.to_owned())
    })
}

pub(super) fn environment_name() -> Shape<String> {
    Shape::text("1 to 64 letters, digits and . _ - /", |text| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte);
        if (1..=64).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(text.to_owned())
        } else {
            Err(Refusal::default())
        }
    })
}

/// So short that names below it, with two numbers of 20 digits, are still environments' names.
pub(super) fn discovery_name() -> Shape<String> {
    Shape::text("1 to 16 letters, digits and . _ -", |text| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if (1..=16).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(text.to_owned())
        } else {
            Err(Refusal::default())
        }
    })
}

pub(super) fn flag_key() -> Shape<String> {
    Shape::text("a flag's key", |text| {
        if text.is_empty() || text.chars().any(char::is_control) {
            return Err(Refusal::default());
        }
        Ok(text.to_owned())
    })
}

/// The word that may stand in the place of a list of flags' keys.
pub(super) fn learn() -> Shape<()> {
    Shape::text("\"learn\" or a list of flag keys", |text| match text {
        "learn" => Ok(()),
        _ => Err(Refusal { found: None, hint: nearest(text, ["learn"]).map(did_you_mean) }),
    })
}

pub(super) fn secret_key() -> Shape<Key> {
    Shape::text(KEY, key).secret()
}

/// A key that Flagsmith gave for servers.
pub(super) fn server_key() -> Shape<Key> {
    Shape::text("a server-side key, which starts with \"ser.\"", |text| {
        if text.starts_with("ser.") {
            return key(text);
        }
        Err(Refusal {
            found: Some("a key without that start"),
            hint: Some(
                "a client-side key does not open the environment document: create a server-side \
                 one in the environment's SDK keys"
                    .to_owned(),
            ),
        })
    })
    .secret()
}

/// A key that clients of ours hold.
pub(super) fn publishable_key() -> Shape<Key> {
    not_secret("a publishable key", "move it to secret_keys; if a browser ever held it, replace it")
}

/// A key that the upstream gave for browsers.
pub(super) fn upstream_publishable_key() -> Shape<Key> {
    not_secret("a publishable key", "the upstream's secret key is secret_key")
}

/// A key that Flagsmith gave for browsers, in the words of its Edge Proxy.
pub(super) fn client_side_key() -> Shape<Key> {
    not_secret("a client-side key", "it is for servers; if a browser ever held it, replace it")
}

/// Prefixes that Flagsmith and Reflag give to keys for servers.
const SECRET_PREFIXES: [(&str, &str); 2] = [
    ("ser.", "a secret key, it starts with \"ser.\""),
    ("sec_", "a secret key, it starts with \"sec_\""),
];

/// Whether a key begins as those do that no browser may hold.
pub(crate) fn is_for_servers(key: &str) -> bool {
    SECRET_PREFIXES.iter().any(|(prefix, _)| key.starts_with(prefix))
}

fn not_secret(expected: &'static str, hint: &'static str) -> Shape<Key> {
    Shape::text(expected, move |text| {
        for (prefix, found) in SECRET_PREFIXES {
            if text.starts_with(prefix) {
                return Err(Refusal { found: Some(found), hint: Some(hint.to_owned()) });
            }
        }
        key(text)
    })
    .secret()
}

const KEY: &str = "a key";

fn key(text: &str) -> Result<Key, Refusal> {
    if text.is_empty() {
        Err(Refusal::found("an empty key"))
    } else if text.len() > 256 {
        Err(Refusal { found: Some("a key of more than 256 bytes"), hint: None })
    } else if text.contains(char::is_whitespace) {
        Err(Refusal::found("a key with white space"))
    } else if text.contains(char::is_control) {
        Err(Refusal::found("a key with a control character"))
    } else {
        Ok(Key::new(text.to_owned()))
    }
}

pub(super) fn token() -> Shape<Token> {
    let expected = "a token of at least 16 characters, none of them white space or a control \
                    character";
    Shape::text(expected, |text| {
        if text.chars().count() < 16 {
            Err(Refusal::found("a shorter one"))
        } else if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            Err(Refusal::found("one with such a character"))
        } else {
            Ok(Token::new(text.to_owned()))
        }
    })
    .secret()
}

/// One entry of a list of web pages' origins.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum AllowedOrigin {
    Any,
    Exactly(String),
}

pub(super) fn allowed_origin() -> Shape<AllowedOrigin> {
    Shape::text("\"*\", \"null\" or \"scheme://host[:port]\"", |text| {
        if text == "*" {
            return Ok(AllowedOrigin::Any);
        }
        // What pages in a sandboxed frame or from a file send.
        if text == "null" {
            return Ok(AllowedOrigin::Exactly(text.to_owned()));
        }
        if text.contains('*') {
            return Err(Refusal::hint("a pattern is not read: name each origin, or \"*\" alone"));
        }
        web_origin(text).map(AllowedOrigin::Exactly).ok_or_else(|| {
            let after_scheme = text.split_once("://").map_or("", |(_, rest)| rest);
            Refusal {
                found: None,
                hint: after_scheme
                    .contains('/')
                    .then(|| "an origin has no path and no trailing slash".to_owned()),
            }
        })
    })
}

/// The origin as a browser spells it, so that requests can be compared byte by byte: lower case,
/// and without the port that the scheme implies.
fn web_origin(text: &str) -> Option<String> {
    let (scheme, authority) = text.split_once("://")?;
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    if !is_scheme {
        return None;
    }
    let (host, port) = host_and_port(authority)?;
    let scheme = scheme.to_ascii_lowercase();
    let host = host.to_ascii_lowercase();
    Some(match (scheme.as_str(), port) {
        (_, None) | ("http", Some(80)) | ("https", Some(443)) => format!("{scheme}://{host}"),
        (_, Some(port)) => format!("{scheme}://{host}:{port}"),
    })
}

/// A number of bytes in the largest unit that leaves no remainder, as [`size`] reads it.
pub(super) struct Bytes(pub(super) usize);

impl fmt::Display for Bytes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(bytes) = *self;
        let (unit, name) = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")]
            .into_iter()
            .find(|(unit, _)| bytes != 0 && bytes.is_multiple_of(*unit))
            .unwrap_or((1, "B"));
        write!(formatter, "{}{name}", bytes / unit)
    }
}

pub(crate) fn did_you_mean(word: &str) -> String {
    format!("did you mean {word:?}?")
}

/// The candidate that `word` was most likely meant to be, if any is close.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let plain = |text: &str| text.to_ascii_lowercase().replace('-', "_");
    let word = plain(word);
    candidates
        .into_iter()
        .map(|candidate| (distance(&word, &plain(candidate)), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.len() / 3).clamp(1, 3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// How many letters have to be put in, taken out or replaced (Levenshtein).
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, left) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (column, &right) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(left != right);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv6Addr, SocketAddr};

    use super::*;

    fn text<T>(shape: &Shape<T>, text: &str) -> Option<T> {
        shape.accept(Scalar::Text(text)).ok()
    }

    #[test]
    fn sizes_have_decimal_and_binary_units() {
        let any = size(0..=usize::MAX);
        for (written, bytes) in [
            ("0B", 0),
            ("512B", 512),
            ("2kB", 2_000),
            ("2KB", 2_000),
            ("2KiB", 2_048),
            ("3MB", 3_000_000),
            ("3 MiB", 3 << 20),
            ("1GB", 1_000_000_000),
            ("1GiB", 1 << 30),
        ] {
            assert_eq!(text(&any, written), Some(bytes), "{written}");
        }
        for written in ["", "1", "B", "1.5MiB", "-1B", "1mb", "1MiB ", " 1MiB", "1TiB"] {
            assert_eq!(text(&any, written), None, "{written}");
        }
        assert_eq!(text(&any, "18446744073709551615GiB"), None);
        assert_eq!(any.accept(Scalar::Integer(7)).ok(), Some(7));
        assert_eq!(any.accept(Scalar::Integer(-7)).ok(), None);
    }

    #[test]
    fn a_size_is_printed_so_that_it_reads_back() {
        let any = size(0..=usize::MAX);
        for bytes in [0, 1, 1_000, 1_024, 1_536, 1 << 20, 3 << 29, 1 << 40] {
            assert_eq!(text(&any, &Bytes(bytes).to_string()), Some(bytes), "{bytes}");
        }
        assert_eq!(Bytes(64 << 20).to_string(), "64MiB");
        assert_eq!(Bytes(1_000_000).to_string(), "1000000B");
    }

    #[test]
    fn durations_have_units_and_bounds() {
        let shape = duration(Duration::from_millis(50)..=Duration::from_secs(3_600));
        assert_eq!(text(&shape, "50ms"), Some(Duration::from_millis(50)));
        assert_eq!(text(&shape, "1m 15s"), Some(Duration::from_secs(75)));
        assert_eq!(text(&shape, "1.5s"), Some(Duration::from_millis(1_500)));
        for written in ["", "49ms", "61m", "75", "s", "1 parsec", "-1s"] {
            assert_eq!(text(&shape, written), None, "{written}");
        }
    }

    #[test]
    fn a_duration_at_the_end_of_the_range_of_seconds_is_refused_without_a_panic() {
        let shape = duration(Duration::ZERO..=Duration::MAX);
        for written in [
            "18446744073709551615s 1000ms",
            "18446744073709551615s1000000000ns",
            "1 8 4 4 6 7 4 4 0 7 3 7 0 9 5 5 1 6 1 5 s 1000ms",
        ] {
            assert_eq!(text(&shape, written), None, "{written}");
        }
    }

    #[test]
    fn listen_is_a_socket_address_or_a_unix_path() {
        for (written, expected) in [
            ("127.0.0.1:0", Listen::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)))),
            ("[::1]:80", Listen::Tcp(SocketAddr::from((Ipv6Addr::LOCALHOST, 80)))),
            ("unix:/run/b.sock", Listen::Unix(PathBuf::from("/run/b.sock"))),
        ] {
            assert_eq!(text(&listen(), written), Some(expected));
        }
        for written in ["", "8000", ":8000", "localhost:8000", "1.2.3.4", "unix:"] {
            assert_eq!(text(&listen(), written), None, "{written}");
        }
    }

    #[test]
    fn base_path_is_normalised() {
        for (written, expected) in [
            ("", ""),
            ("/", ""),
            ("//", ""),
            ("flags", "/flags"),
            ("/flags", "/flags"),
            ("/flags/", "/flags"),
            ("a/b~1/c_d.e-f/", "/a/b~1/c_d.e-f"),
        ] {
            assert_eq!(text(&base_path(), written).as_deref(), Some(expected));
        }
        for written in ["/a//b", "/a//", "/a b", "/a?b", "/a#b", "/..", "/a%2f"] {
            assert_eq!(text(&base_path(), written), None, "{written}");
        }
    }

    #[test]
    fn a_fraction_is_a_number_from_0_to_1() {
        let accepted = |scalar| fraction().accept(scalar).ok();
        assert_eq!(accepted(Scalar::Integer(0)), Some(Fraction::ZERO));
        assert_eq!(accepted(Scalar::Integer(1)), Some(Fraction::ONE));
        assert_eq!(accepted(Scalar::Float(1.0)), Some(Fraction::ONE));
        assert_eq!(accepted(Scalar::Float(-0.0)), Some(Fraction::ZERO));
        for number in [-0.1, 1.1, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(accepted(Scalar::Float(number)), None, "{number}");
        }
        for integer in [-1, 2, i64::MAX] {
            assert_eq!(accepted(Scalar::Integer(integer)), None, "{integer}");
        }
        assert_eq!(accepted(Scalar::Boolean(true)), None);
    }

    #[test]
    fn an_environments_name_has_1_to_64_plain_characters() {
        let longest = "n".repeat(64);
        for name in ["a", "shop/production", "A-1_b.c", &longest] {
            assert_eq!(text(&environment_name(), name).as_deref(), Some(name));
        }
        for name in ["", "a b", "ä", "a\n", &"n".repeat(65)] {
            assert_eq!(text(&environment_name(), name), None, "{name}");
        }
    }

    #[test]
    fn an_origin_is_spelled_as_a_browser_sends_it() {
        for (written, expected) in [
            ("https://app.example.com", "https://app.example.com"),
            ("HTTPS://App.Example.com:443", "https://app.example.com"),
            ("http://localhost:80", "http://localhost"),
            ("http://localhost:443", "http://localhost:443"),
            ("http://[::1]", "http://[::1]"),
            ("http://[::1]:3000", "http://[::1]:3000"),
            ("capacitor://localhost", "capacitor://localhost"),
        ] {
            assert_eq!(web_origin(written).as_deref(), Some(expected), "{written}");
        }
        for written in [
            "",
            "null",
            "app.example.com",
            "https://",
            "https://:80",
            "https://app.example.com/",
            "https://app.example.com/path",
            "https://app.example.com:",
            "https://app.example.com:70000",
            "https://app.example.com:+80",
            "https://user@app.example.com",
            "https://app example.com",
            "://app.example.com",
            "1http://app.example.com",
            "http://[::1",
            "http://[app]",
        ] {
            assert_eq!(web_origin(written), None, "{written}");
        }
    }

    #[test]
    fn only_close_words_are_suggested() {
        let keys = ["listen", "base_path", "keep_alive", "drain", "url"];
        assert_eq!(nearest("lisen", keys), Some("listen"));
        assert_eq!(nearest("keep-alive", keys), Some("keep_alive"));
        assert_eq!(nearest("basepath", keys), Some("base_path"));
        assert_eq!(nearest("Drain", keys), Some("drain"));
        assert_eq!(nearest("uri", keys), Some("url"));
        assert_eq!(nearest("trusted_proxies", keys), None);
        assert_eq!(nearest("tls", keys), None);
        assert_eq!(nearest("", keys), None);
    }

    #[test]
    fn every_word_reads_back() {
        fn check<T: ClosedSet + fmt::Debug + PartialEq>() {
            for &value in T::ALL {
                assert_eq!(text(&one_of::<T>(), value.word()), Some(value));
            }
        }
        check::<OnStale>();
        check::<OnUnauthorized>();
        check::<BareKey>();
        check::<Evaluator>();
        check::<Definitions>();
        check::<FileFormat>();
        check::<LogFormat>();
        check::<LogLevel>();
        check::<SourceType>();
        check::<VariableSource>();
        check::<DiscoveryType>();
    }
}
