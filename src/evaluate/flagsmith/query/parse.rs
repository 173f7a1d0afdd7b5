//! Paths, read without ever going back: what comes next decides.

use regex::RegexBuilder;
use serde_json::Value;

use super::super::pattern::COMPILED_SIZE;
use super::{Comparison, Filter, NoQuery, Operand, Path, Query, Segment, Selector};

/// Longest path in bytes.
const MAX_LENGTH: usize = 4_096;
/// Deepest nesting of filters, parentheses and functions.
const MAX_DEPTH: usize = 16;
/// Largest index: integers that all JSON implementations know (RFC 9535, 2.1).
const MAX_INDEX: i64 = (1 << 53) - 1;

pub(super) fn query(text: &str) -> Result<Query, NoQuery> {
    if text.len() > MAX_LENGTH {
        return Err(NoQuery::TooLarge);
    }
    let mut parser = Parser { rest: text, depth: 0 };
    parser.expect("$")?;
    let segments = parser.segments()?;
    // Blanks stand between parts, never at the end.
    if parser.rest.is_empty() { Ok(Query { segments }) } else { Err(NoQuery::Malformed) }
}

struct Parser<'a> {
    rest: &'a str,
    depth: usize,
}

/// What stands where a filter may have a test or one side of a comparison.
enum Term {
    Path(Path),
    Value(Operand),
    Test(Filter),
}

impl<'a> Parser<'a> {
    fn take(&mut self, token: &str) -> bool {
        let rest = self.rest.strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn expect(&mut self, token: &str) -> Result<(), NoQuery> {
        if self.take(token) { Ok(()) } else { Err(NoQuery::Malformed) }
    }

    fn next_is(&self, is: impl Fn(char) -> bool) -> bool {
        self.rest.chars().next().is_some_and(is)
    }

    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    /// Takes what leads up to the first character that is none of these.
    fn take_while(&mut self, is: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !is(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    fn nested<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, NoQuery>,
    ) -> Result<T, NoQuery> {
        if self.depth >= MAX_DEPTH {
            return Err(NoQuery::TooLarge);
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    /// Segments until something else comes; blanks before that are left.
    fn segments(&mut self) -> Result<Vec<Segment>, NoQuery> {
        let mut segments = Vec::new();
        loop {
            let before = self.rest;
            self.skip_blanks();
            let descends = self.take("..");
            let selectors = if self.take("[") {
                self.bracketed()?
            } else if descends || self.take(".") {
                vec![if self.take("*") { Selector::Wildcard } else { self.shorthand()? }]
            } else {
                self.rest = before;
                return Ok(segments);
            };
            segments.push(Segment { descends, selectors });
        }
    }

    /// A name without quotes.
    fn shorthand(&mut self) -> Result<Selector, NoQuery> {
        let is_first = |c: char| c == '_' || c.is_ascii_alphabetic() || !c.is_ascii();
        if !self.next_is(is_first) {
            return Err(NoQuery::Malformed);
        }
        Ok(Selector::Name(self.take_while(|c| is_first(c) || c.is_ascii_digit()).into()))
    }

    /// Selectors up to `]`.
    fn bracketed(&mut self) -> Result<Vec<Selector>, NoQuery> {
        let mut selectors = Vec::new();
        loop {
            self.skip_blanks();
            selectors.push(self.selector()?);
            self.skip_blanks();
            if self.take("]") {
                return Ok(selectors);
            }
            self.expect(",")?;
        }
    }

    fn selector(&mut self) -> Result<Selector, NoQuery> {
        if self.next_is(|c| matches!(c, '\'' | '"')) {
            return Ok(Selector::Name(self.string()?.into()));
        }
        if self.take("*") {
            return Ok(Selector::Wildcard);
        }
        if self.take("?") {
            self.skip_blanks();
            return Ok(Selector::Filter(self.nested(Self::any)?));
        }
        let start = self.integer()?;
        let before = self.rest;
        self.skip_blanks();
        if !self.take(":") {
            self.rest = before;
            return start.map(Selector::Index).ok_or(NoQuery::Malformed);
        }
        self.skip_blanks();
        let end = self.integer()?;
        let before = self.rest;
        self.skip_blanks();
        let mut step = None;
        if self.take(":") {
            self.skip_blanks();
            step = self.integer()?;
        } else {
            self.rest = before;
        }
        Ok(Selector::Slice { start, end, step: step.unwrap_or(1) })
    }

    /// An index, if one comes.
    fn integer(&mut self) -> Result<Option<i64>, NoQuery> {
        let is_negative = self.take("-");
        let digits = self.take_while(|c| c.is_ascii_digit());
        if digits.is_empty() && !is_negative {
            return Ok(None);
        }
        let is_zero = digits == "0";
        if digits.is_empty() || digits.starts_with('0') && (!is_zero || is_negative) {
            return Err(NoQuery::Malformed);
        }
        let number: i64 = digits.parse().map_err(|_| NoQuery::Malformed)?;
        if number > MAX_INDEX {
            return Err(NoQuery::Malformed);
        }
        Ok(Some(if is_negative { -number } else { number }))
    }

    /// A text in quotes, either kind.
    fn string(&mut self) -> Result<String, NoQuery> {
        let mut characters = self.rest.chars();
        let quote = characters.next().ok_or(NoQuery::Malformed)?;
        let mut text = String::new();
        loop {
            match characters.next().ok_or(NoQuery::Malformed)? {
                c if c == quote => break,
                '\\' => text.push(match characters.next().ok_or(NoQuery::Malformed)? {
                    'b' => '\u{8}',
                    'f' => '\u{c}',
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    'u' => unicode(&mut characters).ok_or(NoQuery::Malformed)?,
                    c @ ('/' | '\\') => c,
                    c if c == quote => c,
                    _ => return Err(NoQuery::Malformed),
                }),
                '\0'..='\u{1f}' => return Err(NoQuery::Malformed),
                c => text.push(c),
            }
        }
        self.rest = characters.as_str();
        Ok(text)
    }

    /// `a || b`
    fn any(&mut self) -> Result<Filter, NoQuery> {
        let mut either = vec![self.all()?];
        while self.take_behind_blanks("||") {
            either.push(self.all()?);
        }
        Ok(if either.len() == 1 { either.remove(0) } else { Filter::Any(either) })
    }

    /// `a && b`
    fn all(&mut self) -> Result<Filter, NoQuery> {
        let mut each = vec![self.basic()?];
        while self.take_behind_blanks("&&") {
            each.push(self.basic()?);
        }
        Ok(if each.len() == 1 { each.remove(0) } else { Filter::All(each) })
    }

    /// Takes the token and the blanks on both sides of it, or nothing.
    fn take_behind_blanks(&mut self, token: &str) -> bool {
        let before = self.rest;
        self.skip_blanks();
        let comes = self.take(token);
        if comes {
            self.skip_blanks();
        } else {
            self.rest = before;
        }
        comes
    }

    fn basic(&mut self) -> Result<Filter, NoQuery> {
        if self.take("!") {
            self.skip_blanks();
            let negated = if self.take("(") {
                self.in_parentheses()?
            } else {
                match self.term()? {
                    Term::Path(path) => Filter::Exists(path),
                    Term::Test(test) => test,
                    Term::Value(_) => return Err(NoQuery::Malformed),
                }
            };
            return Ok(Filter::Not(Box::new(negated)));
        }
        if self.take("(") {
            return self.in_parentheses();
        }
        let left = self.term()?;
        let Some(comparison) = self.comparison() else {
            return match left {
                Term::Path(path) => Ok(Filter::Exists(path)),
                Term::Test(test) => Ok(test),
                Term::Value(_) => Err(NoQuery::Malformed),
            };
        };
        let right = self.term()?;
        Ok(Filter::Compares(value_of(left)?, comparison, value_of(right)?))
    }

    fn in_parentheses(&mut self) -> Result<Filter, NoQuery> {
        self.nested(|parser| {
            parser.skip_blanks();
            let inside = parser.any()?;
            parser.skip_blanks();
            parser.expect(")")?;
            Ok(inside)
        })
    }

    fn comparison(&mut self) -> Option<Comparison> {
        let operators = [
            ("==", Comparison::Equal),
            ("!=", Comparison::NotEqual),
            ("<=", Comparison::LessOrEqual),
            (">=", Comparison::GreaterOrEqual),
            ("<", Comparison::Less),
            (">", Comparison::Greater),
        ];
        let found = operators.into_iter().find(|(token, _)| self.take_behind_blanks(token));
        found.map(|(_, comparison)| comparison)
    }

    fn term(&mut self) -> Result<Term, NoQuery> {
        if self.next_is(|c| matches!(c, '@' | '$')) {
            return Ok(Term::Path(self.path()?));
        }
        if self.next_is(|c| c.is_ascii_lowercase()) {
            let is_part = |c: char| c == '_' || c.is_ascii_lowercase() || c.is_ascii_digit();
            return match self.take_while(is_part) {
                "true" => Ok(Term::Value(Operand::Literal(Value::Bool(true)))),
                "false" => Ok(Term::Value(Operand::Literal(Value::Bool(false)))),
                "null" => Ok(Term::Value(Operand::Literal(Value::Null))),
                name => self.nested(|parser| parser.function(name)),
            };
        }
        if self.next_is(|c| matches!(c, '\'' | '"')) {
            return Ok(Term::Value(Operand::Literal(Value::String(self.string()?))));
        }
        self.number().map(|number| Term::Value(Operand::Literal(number)))
    }

    fn path(&mut self) -> Result<Path, NoQuery> {
        let is_absolute = self.take("$");
        if !is_absolute {
            self.expect("@")?;
        }
        Ok(Path { is_absolute, segments: self.segments()? })
    }

    /// A number as JSON has it, or `-0`.
    fn number(&mut self) -> Result<Value, NoQuery> {
        let is_part = |c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.' | 'e' | 'E');
        serde_json::from_str(self.take_while(is_part)).map_err(|_| NoQuery::Malformed)
    }

    /// Behind a function's name.
    fn function(&mut self, name: &str) -> Result<Term, NoQuery> {
        self.expect("(")?;
        self.skip_blanks();
        let term = match name {
            "length" => {
                let operand = value_of(self.term()?)?;
                Term::Value(Operand::Length(Box::new(operand)))
            }
            "count" => Term::Value(Operand::Count(self.path()?)),
            "value" => Term::Value(Operand::OnlyOf(self.path()?)),
            "match" | "search" => {
                let text = value_of(self.term()?)?;
                self.skip_blanks();
                self.expect(",")?;
                self.skip_blanks();
                let pattern = match value_of(self.term()?)? {
                    Operand::Literal(Value::String(pattern)) => pattern,
                    Operand::Literal(_) => return Err(NoQuery::Malformed),
                    _ => return Err(NoQuery::PatternElsewhere),
                };
                Term::Test(Filter::Matches { text, pattern: compiled(&pattern, name == "match") })
            }
            _ => return Err(NoQuery::Malformed),
        };
        self.skip_blanks();
        self.expect(")")?;
        Ok(term)
    }
}

/// One side of a comparison.
fn value_of(term: Term) -> Result<Operand, NoQuery> {
    let is_single = |segment: &Segment| {
        let one = matches!(segment.selectors.as_slice(), [Selector::Name(_) | Selector::Index(_)]);
        one && !segment.descends
    };
    match term {
        Term::Value(operand) => Ok(operand),
        Term::Path(path) if path.segments.iter().all(is_single) => Ok(Operand::Single(path)),
        Term::Path(_) | Term::Test(_) => Err(NoQuery::Malformed),
    }
}

fn unicode(characters: &mut std::str::Chars<'_>) -> Option<char> {
    let mut four =
        || (0..4).try_fold(0, |code, _| Some(code * 16 + characters.next()?.to_digit(16)?));
    let first = four()?;
    if !(0xd800..0xdc00).contains(&first) {
        return char::from_u32(first);
    }
    // The second half of the pair, behind its own backslash.
    (characters.next()? == '\\' && characters.next()? == 'u').then_some(())?;
    let mut four =
        || (0..4).try_fold(0, |code, _| Some(code * 16 + characters.next()?.to_digit(16)?));
    let second = four().filter(|code| (0xdc00..0xe000).contains(code))?;
    char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00))
}

/// A pattern of RFC 9485, for a whole text or for a part of one.
fn compiled(pattern: &str, whole: bool) -> Option<regex::Regex> {
    let mut text = String::from(if whole { r"\A(?:" } else { "(?:" });
    let (mut in_class, mut characters) = (false, pattern.chars());
    while let Some(character) = characters.next() {
        match character {
            '\\' => {
                text.push('\\');
                text.extend(characters.next());
                continue;
            }
            '[' => in_class = true,
            ']' => in_class = false,
            // Neither of the two ends of lines; the engine means the one alone.
            '.' if !in_class => {
                text.push_str(r"[^\n\r]");
                continue;
            }
            _ => {}
        }
        text.push(character);
    }
    text.push_str(if whole { r")\z" } else { ")" });
    RegexBuilder::new(&text).size_limit(COMPILED_SIZE).build().ok()
}
