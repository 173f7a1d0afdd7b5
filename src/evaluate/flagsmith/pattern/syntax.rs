//! Reads the syntax of Python's `re` into a tree.
//!
//! What matches one character is spelled as a class of Rust's `regex` syntax at once: both engines
//! take it from there, so they agree on what `\w` or `[^a-z]` with `(?i)` means.

use std::collections::HashMap;
use std::fmt::Write;

/// A part of a pattern.
#[derive(Clone, Debug)]
pub(super) enum Node {
    /// Matches the empty text.
    Empty,
    /// One character out of a class, in Rust's syntax.
    One(String),
    /// A place.
    Assertion(Assertion),
    /// One after the other.
    Sequence(Vec<Node>),
    /// The first that leads to a match.
    Choice(Vec<Node>),
    /// Again and again.
    Repeat { node: Box<Node>, min: u32, max: Option<u32>, mode: Mode },
    /// A numbered group.
    Capture(usize, Box<Node>),
    /// What a group matched, letter case aside or not.
    Reference { group: usize, ignore_case: bool },
    /// What follows, or what precedes with its fixed width, matches or does not.
    Look { behind: Option<usize>, negated: bool, node: Box<Node> },
    /// Once matched, never tried otherwise.
    Atomic(Box<Node>),
    /// One of two, by whether a group took part.
    Conditional { group: usize, yes: Box<Node>, no: Box<Node> },
}

/// A place in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Assertion {
    /// `\A`, and `^`.
    Start,
    /// `^` with `(?m)`.
    LineStart,
    /// `$`: the end, or before a newline that ends the text.
    End,
    /// `$` with `(?m)`.
    LineEnd,
    /// `\Z`.
    VeryEnd,
    /// `\b`.
    Boundary { ascii: bool },
    /// `\B`.
    NoBoundary { ascii: bool },
}

/// How a repetition goes about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// As often as possible first.
    Greedy,
    /// As rarely as possible first.
    Lazy,
    /// As often as possible, for good.
    Possessive,
}

/// A pattern, and what it uses.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    pub(super) node: Node,
    /// Number of groups, the whole match not counted.
    pub(super) groups: usize,
}

/// Deepest nesting of groups.
const DEPTH: usize = 100;
/// Longest pattern in bytes.
const LENGTH: usize = 64 * 1024;

/// What `\w` matches: `str.isalnum()` and the underscore.
pub(super) const WORD: &str = r"\p{L}\p{N}_";
pub(super) const ASCII_WORD: &str = "0-9A-Za-z_";

/// Reads a pattern; the error says what Python would not take either, or what is not supported.
pub(super) fn parse(pattern: &str) -> Result<Tree, &'static str> {
    if pattern.len() > LENGTH {
        return Err("the pattern is too long");
    }
    let mut parser = Parser {
        rest: pattern,
        flags: Flags::default(),
        groups: 0,
        names: HashMap::new(),
        open: Vec::new(),
        widths: HashMap::new(),
        depth: 0,
    };
    parser.global_flags()?;
    let node = parser.choice()?;
    if parser.rest.is_empty() {
        Ok(Tree { node, groups: parser.groups })
    } else {
        Err("unbalanced parenthesis")
    }
}

#[derive(Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "these are the flags of the syntax")]
struct Flags {
    ignore_case: bool,
    multi_line: bool,
    dot_all: bool,
    verbose: bool,
    ascii: bool,
}

impl Flags {
    fn set(&mut self, flag: char, on: bool) -> Result<(), &'static str> {
        match flag {
            'i' => self.ignore_case = on,
            'm' => self.multi_line = on,
            's' => self.dot_all = on,
            'x' => self.verbose = on,
            'a' if on => self.ascii = true,
            'u' if on => self.ascii = false,
            _ => return Err("unknown flag"),
        }
        Ok(())
    }
}

struct Parser<'a> {
    rest: &'a str,
    flags: Flags,
    groups: usize,
    names: HashMap<&'a str, usize>,
    /// Groups that are not closed yet.
    open: Vec<usize>,
    /// Widths of closed groups, where they are fixed.
    widths: HashMap<usize, Option<usize>>,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.rest = &self.rest[next.len_utf8()..];
        Some(next)
    }

    fn accept(&mut self, text: &str) -> bool {
        self.rest.strip_prefix(text).inspect(|rest| self.rest = rest).is_some()
    }

    fn expect(&mut self, text: &str) -> Result<(), &'static str> {
        if self.accept(text) {
            Ok(())
        } else {
            Err("missing, unterminated or misplaced parenthesis")
        }
    }

    fn until(&mut self, end: char) -> Result<&'a str, &'static str> {
        let (text, rest) = self.rest.split_once(end).ok_or("a group's head has no end")?;
        self.rest = rest;
        Ok(text)
    }

    fn take_while(&mut self, keep: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !keep(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    /// Flags for the whole pattern stand at its start only.
    fn global_flags(&mut self) -> Result<(), &'static str> {
        while let Some(after) = self.rest.strip_prefix("(?") {
            let Some((letters, rest)) = after.split_once(')') else { break };
            if letters.is_empty() || !letters.bytes().all(|b| b.is_ascii_lowercase()) {
                break;
            }
            for flag in letters.chars() {
                self.flags.set(flag, true)?;
            }
            self.rest = rest;
        }
        Ok(())
    }

    fn choice(&mut self) -> Result<Node, &'static str> {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err("nested too deep");
        }
        let mut branches = vec![self.sequence()?];
        while self.accept("|") {
            branches.push(self.sequence()?);
        }
        self.depth -= 1;
        Ok(if branches.len() == 1 { branches.swap_remove(0) } else { Node::Choice(branches) })
    }

    fn sequence(&mut self) -> Result<Node, &'static str> {
        let mut nodes = Vec::new();
        loop {
            if self.flags.verbose {
                self.skip_blanks();
            }
            match self.peek() {
                None | Some('|' | ')') => break,
                Some(_) => {}
            }
            if self.accept("(?#") {
                self.until(')')?;
                continue;
            }
            if self.quantifier()?.is_some() {
                return Err("nothing to repeat");
            }
            let (node, repeatable) = self.atom()?;
            if self.flags.verbose {
                self.skip_blanks();
            }
            let Some((min, max)) = self.quantifier()? else {
                nodes.push(node);
                continue;
            };
            if !repeatable {
                return Err("nothing to repeat");
            }
            let mode = if self.accept("?") {
                Mode::Lazy
            } else if self.accept("+") {
                Mode::Possessive
            } else {
                Mode::Greedy
            };
            if self.flags.verbose {
                self.skip_blanks();
            }
            if self.quantifier()?.is_some() {
                return Err("multiple repeat");
            }
            nodes.push(Node::Repeat { node: Box::new(node), min, max, mode });
        }
        Ok(match nodes.len() {
            0 => Node::Empty,
            1 => nodes.swap_remove(0),
            _ => Node::Sequence(nodes),
        })
    }

    fn skip_blanks(&mut self) {
        loop {
            self.take_while(|c| " \t\n\r\u{b}\u{c}".contains(c));
            if !self.accept("#") {
                return;
            }
            self.take_while(|c| c != '\n');
        }
    }

    /// Reads a repetition count if one stands here. A brace that begins none is a plain character.
    fn quantifier(&mut self) -> Result<Option<(u32, Option<u32>)>, &'static str> {
        let counts = match self.peek() {
            Some('*') => (0, None),
            Some('+') => (1, None),
            Some('?') => (0, Some(1)),
            Some('{') => return self.braces(),
            _ => return Ok(None),
        };
        self.next();
        Ok(Some(counts))
    }

    fn braces(&mut self) -> Result<Option<(u32, Option<u32>)>, &'static str> {
        let before = self.rest;
        self.next();
        if self.peek() == Some('}') {
            self.rest = before;
            return Ok(None);
        }
        let low = self.take_while(|c| c.is_ascii_digit());
        let high = if self.accept(",") { self.take_while(|c| c.is_ascii_digit()) } else { low };
        if !self.accept("}") {
            self.rest = before;
            return Ok(None);
        }
        let number =
            |text: &str| text.parse::<u32>().map_err(|_| "the repetition number is too large");
        let min = if low.is_empty() { 0 } else { number(low)? };
        let max = if high.is_empty() { None } else { Some(number(high)?) };
        if max.is_some_and(|max| max < min) {
            return Err("min repeat greater than max repeat");
        }
        Ok(Some((min, max)))
    }

    /// Reads what a repetition may follow, and says whether it may.
    fn atom(&mut self) -> Result<(Node, bool), &'static str> {
        let place = |assertion| Ok((Node::Assertion(assertion), false));
        match self.next().ok_or("unexpected end of pattern")? {
            '.' if self.flags.dot_all => Ok((Node::One("(?s:.)".into()), true)),
            '.' => Ok((Node::One(r"[^\n]".into()), true)),
            '^' if self.flags.multi_line => place(Assertion::LineStart),
            '^' => place(Assertion::Start),
            '$' if self.flags.multi_line => place(Assertion::LineEnd),
            '$' => place(Assertion::End),
            '[' => Ok((self.class()?, true)),
            '(' => self.group(),
            '\\' => self.escape(),
            character => Ok((self.literal(character), true)),
        }
    }

    fn literal(&self, character: char) -> Node {
        self.one(&format!("[{}]", code(character)))
    }

    fn one(&self, class: &str) -> Node {
        let flag = if self.flags.ignore_case { "i" } else { "" };
        Node::One(if flag.is_empty() { class.to_owned() } else { format!("(?i:{class})") })
    }

    fn group(&mut self) -> Result<(Node, bool), &'static str> {
        if !self.accept("?") {
            return Ok((self.capture(None)?, true));
        }
        let node = match self.next().ok_or("unexpected end of pattern")? {
            ':' => self.inner()?,
            '>' => Node::Atomic(Box::new(self.inner()?)),
            '=' => self.look(false, false)?,
            '!' => self.look(false, true)?,
            '<' if self.accept("=") => self.look(true, false)?,
            '<' if self.accept("!") => self.look(true, true)?,
            'P' if self.accept("<") => {
                let name = self.until('>')?;
                self.capture(Some(name))?
            }
            'P' if self.accept("=") => {
                let name = self.until(')')?;
                let group = *self.names.get(name).ok_or("unknown group name")?;
                self.reference(group)?
            }
            '(' => self.conditional()?,
            flag if flag.is_ascii_lowercase() || flag == '-' => self.scoped_flags(flag)?,
            _ => return Err("unknown extension"),
        };
        Ok((node, true))
    }

    fn inner(&mut self) -> Result<Node, &'static str> {
        let flags = self.flags;
        let node = self.choice()?;
        self.flags = flags;
        self.expect(")")?;
        Ok(node)
    }

    fn capture(&mut self, name: Option<&'a str>) -> Result<Node, &'static str> {
        self.groups += 1;
        let group = self.groups;
        if let Some(name) = name {
            let mut characters = name.chars();
            let first = characters.next().is_some_and(|c| c == '_' || c.is_alphabetic());
            if !first || !characters.all(|c| c == '_' || c.is_alphanumeric()) {
                return Err("bad group name");
            }
            if self.names.insert(name, group).is_some() {
                return Err("a group name is used twice");
            }
        }
        self.open.push(group);
        let node = self.inner()?;
        self.open.pop();
        self.widths.insert(group, self.width(&node));
        Ok(Node::Capture(group, Box::new(node)))
    }

    fn look(&mut self, behind: bool, negated: bool) -> Result<Node, &'static str> {
        let node = self.inner()?;
        let behind = if behind {
            Some(self.width(&node).ok_or("look-behind requires fixed-width pattern")?)
        } else {
            None
        };
        Ok(Node::Look { behind, negated, node: Box::new(node) })
    }

    fn conditional(&mut self) -> Result<Node, &'static str> {
        let name = self.until(')')?;
        let group = match name.parse::<usize>() {
            Ok(group) => group,
            Err(_) => *self.names.get(name).ok_or("unknown group name")?,
        };
        if group == 0 || group > self.groups {
            return Err("invalid group reference");
        }
        let flags = self.flags;
        let yes = Box::new(self.sequence()?);
        let no = Box::new(if self.accept("|") { self.sequence()? } else { Node::Empty });
        self.flags = flags;
        self.expect(")")?;
        Ok(Node::Conditional { group, yes, no })
    }

    fn scoped_flags(&mut self, first: char) -> Result<Node, &'static str> {
        let mut flags = self.flags;
        let mut on = true;
        let mut letter = first;
        loop {
            match letter {
                ':' => break,
                '-' if on => on = false,
                ')' => return Err("global flags not at the start of the expression"),
                flag => flags.set(flag, on)?,
            }
            letter = self.next().ok_or("unexpected end of pattern")?;
        }
        let outer = std::mem::replace(&mut self.flags, flags);
        let node = self.inner();
        self.flags = outer;
        node
    }

    fn reference(&self, group: usize) -> Result<Node, &'static str> {
        if group == 0 || group > self.groups {
            return Err("invalid group reference");
        }
        if self.open.contains(&group) {
            return Err("cannot refer to an open group");
        }
        Ok(Node::Reference { group, ignore_case: self.flags.ignore_case })
    }

    fn escape(&mut self) -> Result<(Node, bool), &'static str> {
        let ascii = self.flags.ascii;
        let escaped = self.peek().ok_or("bad escape at the end of the pattern")?;
        let assertion = match escaped {
            'A' => Some(Assertion::Start),
            'Z' => Some(Assertion::VeryEnd),
            'b' => Some(Assertion::Boundary { ascii }),
            'B' => Some(Assertion::NoBoundary { ascii }),
            _ => None,
        };
        if let Some(assertion) = assertion {
            self.next();
            return Ok((Node::Assertion(assertion), false));
        }
        if let Some((class, negated)) = category(escaped, ascii) {
            self.next();
            let negation = if negated { "^" } else { "" };
            return Ok((Node::One(format!("[{negation}{class}]")), true));
        }
        if escaped.is_ascii_digit() && escaped != '0' {
            return self.numbered();
        }
        let character = self.escaped_character()?;
        Ok((self.literal(character), true))
    }

    /// A back-reference of one or two digits, or a character in three octal ones.
    fn numbered(&mut self) -> Result<(Node, bool), &'static str> {
        let digits = self.rest.as_bytes();
        let octal = |at: usize| digits.get(at).is_some_and(|b| (b'0'..b'8').contains(b));
        if octal(0) && octal(1) && octal(2) {
            let character = self.octal(3)?;
            return Ok((self.literal(character), true));
        }
        let len = 1 + usize::from(digits.get(1).is_some_and(u8::is_ascii_digit));
        let (number, rest) = self.rest.split_at(len);
        self.rest = rest;
        let group = number.parse().map_err(|_| "invalid group reference")?;
        Ok((self.reference(group)?, true))
    }

    fn octal(&mut self, longest: usize) -> Result<char, &'static str> {
        let digits = self.rest.bytes().take(longest).take_while(|b| (b'0'..b'8').contains(b));
        let (digits, rest) = self.rest.split_at(digits.count());
        self.rest = rest;
        let value = u32::from_str_radix(digits, 8).ok().filter(|&value| value <= 0o377);
        value.and_then(char::from_u32).ok_or("octal escape outside of range")
    }

    /// A character behind a backslash, inside of a class or outside.
    fn escaped_character(&mut self) -> Result<char, &'static str> {
        let escaped = self.peek().ok_or("bad escape at the end of the pattern")?;
        if escaped == '0' {
            return self.octal(3);
        }
        self.next();
        Ok(match escaped {
            'a' => '\u{7}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            'x' => self.hexadecimal(2)?,
            'u' => self.hexadecimal(4)?,
            'U' => self.hexadecimal(8)?,
            letter if letter.is_ascii_alphanumeric() => return Err("bad escape"),
            other => other,
        })
    }

    fn hexadecimal(&mut self, len: usize) -> Result<char, &'static str> {
        let digits = self.rest.get(..len).ok_or("incomplete escape")?;
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err("incomplete escape");
        }
        self.rest = &self.rest[len..];
        let code = u32::from_str_radix(digits, 16).map_err(|_| "incomplete escape")?;
        char::from_u32(code).ok_or("an escape names no character")
    }

    fn class(&mut self) -> Result<Node, &'static str> {
        let mut class = String::from(if self.accept("^") { "[^" } else { "[" });
        let mut first = true;
        loop {
            if !first && self.accept("]") {
                break;
            }
            first = false;
            let Some(from) = self.class_item()? else {
                self.category_in_class(&mut class);
                if self.rest.starts_with('-') && !self.rest.starts_with("-]") {
                    return Err("bad character range");
                }
                continue;
            };
            class.push_str(&code(from));
            if self.rest.starts_with('-') && !self.rest.starts_with("-]") {
                self.next();
                let to = self.class_item()?.ok_or("bad character range")?;
                if to < from {
                    return Err("bad character range");
                }
                class.push('-');
                class.push_str(&code(to));
            }
        }
        class.push(']');
        Ok(self.one(&class))
    }

    /// One character of a class; none before a category such as `\w`, which is left to be read.
    fn class_item(&mut self) -> Result<Option<char>, &'static str> {
        let character = self.peek().ok_or("unterminated character set")?;
        if character != '\\' {
            self.next();
            return Ok(Some(character));
        }
        let escaped = self.rest[1..].chars().next().ok_or("unterminated character set")?;
        if category(escaped, false).is_some() {
            return Ok(None);
        }
        self.next();
        match escaped {
            'b' => {
                self.next();
                Ok(Some('\u{8}'))
            }
            '1'..='7' => self.octal(3).map(Some),
            _ => self.escaped_character().map(Some),
        }
    }

    fn category_in_class(&mut self, class: &mut String) {
        self.next();
        let found = self.next().and_then(|escaped| category(escaped, self.flags.ascii));
        if let Some((category, negated)) = found {
            let (open, close) = if negated { ("[^", "]") } else { ("[", "]") };
            class.push_str(open);
            class.push_str(category);
            class.push_str(close);
        }
    }

    /// How many characters a part matches, when that is always the same.
    fn width(&self, node: &Node) -> Option<usize> {
        match node {
            Node::Empty | Node::Assertion(_) | Node::Look { .. } => Some(0),
            Node::One(_) => Some(1),
            Node::Sequence(nodes) => {
                nodes.iter().try_fold(0_usize, |sum, node| sum.checked_add(self.width(node)?))
            }
            Node::Choice(nodes) => {
                let mut widths = nodes.iter().map(|node| self.width(node));
                let first = widths.next()??;
                widths.all(|width| width == Some(first)).then_some(first)
            }
            Node::Repeat { node, min, max, .. } => {
                let width = self.width(node)?;
                let fixed = width == 0 || *max == Some(*min);
                if fixed { width.checked_mul(*min as usize) } else { None }
            }
            Node::Capture(_, node) | Node::Atomic(node) => self.width(node),
            Node::Reference { group, .. } => *self.widths.get(group)?,
            Node::Conditional { yes, no, .. } => {
                self.width(yes).filter(|&width| self.width(no) == Some(width))
            }
        }
    }
}

/// The inside of a class, and whether it is the opposite that is meant.
fn category(letter: char, ascii: bool) -> Option<(&'static str, bool)> {
    let class = match (letter.to_ascii_lowercase(), ascii) {
        ('d', false) => r"\p{Nd}",
        ('d', true) => "0-9",
        ('s', false) => r"\s\x1c-\x1f",
        ('s', true) => r"\x20\t\n\r\x0b\x0c",
        ('w', false) => WORD,
        ('w', true) => ASCII_WORD,
        _ => return None,
    };
    Some((class, letter.is_ascii_uppercase()))
}

/// A character as it may stand anywhere in Rust's syntax.
fn code(character: char) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write!(text, r"\u{{{:x}}}", character as u32);
    text
}
