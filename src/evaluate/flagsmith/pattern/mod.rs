//! Patterns of `REGEX` conditions: Python's syntax and meaning, in bounded time.
//!
//! A pattern is read as Python reads it. Where a linear engine can say the same, it does; look-around,
//! back-references and the like are left to a backtracking one whose steps come out of one budget for
//! all patterns of a request. `$` and `\b` mean something else to the linear engine for some texts
//! (before a final newline, beyond ASCII): those texts go to the other one, too.

mod backtrack;
mod syntax;

use std::fmt::Write;

use backtrack::{Program, Scratch};
use regex::{Regex, RegexBuilder};
use syntax::{Assertion, Mode, Node};

/// Largest compiled form in bytes.
pub(super) const COMPILED_SIZE: usize = 1 << 20;

/// Steps of backtracking that all patterns of a request may take together, and those of its paths with
/// them: about a millisecond.
pub const STEPS: u32 = 100_000;

/// A pattern, compiled. Matches at the start of a text only, as `re.match` does.
#[derive(Clone, Debug)]
pub struct Pattern {
    linear: Option<Linear>,
    /// There when the linear engine is not enough.
    backtracking: Option<Program>,
}

#[derive(Clone, Debug)]
struct Linear {
    regex: Regex,
    /// Whether it is right for ASCII text only.
    ascii_only: bool,
    /// Whether it is wrong for text that ends with a newline.
    no_final_newline: bool,
}

/// What is left of a request's steps, and what matching needs.
#[derive(Debug, Default)]
pub struct Budget {
    /// Steps left.
    pub steps: u32,
    /// Matches and searches that were given up, and count as none.
    pub exhausted: u32,
    scratch: Scratch,
}

impl Pattern {
    /// Compiles a pattern; the error says why it never matches.
    pub fn new(pattern: &str) -> Result<Self, &'static str> {
        let tree = syntax::parse(pattern)?;
        let mut translation =
            Translation { text: String::from(r"\A(?:"), ..Translation::default() };
        let translated = translation.node(&tree.node);
        translation.text.push(')');
        let regex = translated.and_then(|()| {
            RegexBuilder::new(&translation.text).size_limit(COMPILED_SIZE).build().ok()
        });
        let Translation { ascii_only, no_final_newline, .. } = translation;
        let linear = regex.map(|regex| Linear { regex, ascii_only, no_final_newline });
        let enough = linear.as_ref().is_some_and(|l| !l.ascii_only && !l.no_final_newline);
        let backtracking = if enough { None } else { Some(Program::compile(&tree)?) };
        Ok(Self { linear, backtracking })
    }

    /// Whether the linear engine answers for most texts.
    pub fn is_linear(&self) -> bool {
        self.linear.is_some()
    }

    /// Whether the pattern matches at the start of `text`. False when the budget runs out.
    pub fn is_match(&self, text: &str, budget: &mut Budget) -> bool {
        if let Some(linear) = &self.linear {
            let wrong = linear.no_final_newline && text.ends_with('\n')
                || linear.ascii_only && !text.is_ascii();
            if !wrong {
                return linear.regex.is_match(text);
            }
        }
        let Some(program) = &self.backtracking else { return false };
        let found = program.is_match(text, &mut budget.scratch, &mut budget.steps);
        found.unwrap_or_else(|backtrack::Exhausted| {
            budget.steps = 0;
            budget.exhausted += 1;
            false
        })
    }
}

/// A pattern in the linear engine's syntax.
#[derive(Default)]
struct Translation {
    text: String,
    ascii_only: bool,
    no_final_newline: bool,
}

impl Translation {
    /// None when the linear engine cannot say it.
    fn node(&mut self, node: &Node) -> Option<()> {
        match node {
            Node::Empty => self.text.push_str("(?:)"),
            Node::One(class) => self.text.push_str(class),
            Node::Assertion(assertion) => self.assertion(*assertion)?,
            Node::Sequence(nodes) => nodes.iter().try_for_each(|node| self.node(node))?,
            Node::Choice(branches) => {
                self.text.push_str("(?:");
                for (index, branch) in branches.iter().enumerate() {
                    if index > 0 {
                        self.text.push('|');
                    }
                    self.node(branch)?;
                }
                self.text.push(')');
            }
            // Only whether there is a match counts, so greed does not.
            Node::Repeat { node, min, max, mode: Mode::Greedy | Mode::Lazy } => {
                self.text.push_str("(?:");
                self.node(node)?;
                let max = max.map(|max| max.to_string()).unwrap_or_default();
                // Writing to a string does not fail.
                let _ = write!(self.text, "){{{min},{max}}}");
            }
            Node::Capture(_, node) => {
                self.text.push_str("(?:");
                self.node(node)?;
                self.text.push(')');
            }
            Node::Repeat { mode: Mode::Possessive, .. }
            | Node::Reference { .. }
            | Node::Look { .. }
            | Node::Atomic(_)
            | Node::Conditional { .. } => return None,
        }
        Some(())
    }

    fn assertion(&mut self, assertion: Assertion) -> Option<()> {
        self.text.push_str(match assertion {
            Assertion::Start => r"\A",
            Assertion::LineStart => "(?m:^)",
            Assertion::End => {
                self.no_final_newline = true;
                r"\z"
            }
            Assertion::LineEnd => "(?m:$)",
            Assertion::VeryEnd => r"\z",
            Assertion::Boundary { .. } => {
                self.ascii_only = true;
                r"\b"
            }
            // In an empty text Python has no such place.
            Assertion::NoBoundary { .. } => return None,
        });
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget() -> Budget {
        Budget { steps: STEPS, ..Budget::default() }
    }

    fn matches(pattern: &str, text: &str) -> bool {
        let compiled = Pattern::new(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
        let found = compiled.is_match(text, &mut budget());
        let program = syntax::parse(pattern).and_then(|tree| Program::compile(&tree)).unwrap();
        let backtracking = Pattern { linear: None, backtracking: Some(program) };
        let also_found = backtracking.is_match(text, &mut budget());
        assert_eq!(found, also_found, "{pattern:?} {text:?}: the engines differ");
        found
    }

    #[test]
    fn matches_are_those_of_python() {
        for (pattern, text, expected) in [
            ("ab", "xab", false),
            ("ab", "abx", true),
            ("ab$", "ab", true),
            ("ab$", "ab\n", true),
            ("ab$", "ab\n\n", false),
            (r"ab\Z", "ab\n", false),
            ("a$\n", "a\n", true),
            ("(?m)a$\nb", "a\nb", true),
            ("^b|c", "c", true),
            (r"\d+$", "٣٤", true),
            (r"(?a)\d+$", "٣٤", false),
            (r"\w+$", "åse_٣", true),
            (r"\w", "\u{301}", false),
            (r"\bé\b", "é", true),
            (r"a\b", "aé", false),
            (r"\B", "", false),
            (r"a\B", "ab", true),
            (r"\s", "\u{1c}", true),
            ("a.c", "a\nc", false),
            ("(?s)a.c", "a\nc", true),
            ("(?i)ÅSE", "åse", true),
            ("(?i)[^a]", "A", false),
            ("(?i:a)b", "AB", false),
            ("(?x) a b # c", "ab", true),
            ("[]a]+$", "]a", true),
            ("[^]a]", "]", false),
            ("[a&&b]+$", "a&b", true),
            ("[[]a]", "[a]", true),
            ("[a-]+$", "a-", true),
            (r"[\w-]+$", "a-b", true),
            (r"[^\W_]+$", "a_b", false),
            (r"[\d\s]+$", "1 2", true),
            ("a{2}$", "aa", true),
            ("a{,2}$", "a", true),
            ("a{", "a{", true),
            ("a{b}", "a{b}", true),
            ("a{}", "a{}", true),
            (r"\x41\u0042\101\0", "ABA\0", true),
            (r"(a)\1$", "aa", true),
            (r"(?i)(a)\1$", "aA", true),
            (r"(?P<x>a|b)(?P=x)$", "ab", false),
            ("(?=a)a", "a", true),
            ("(?!a)", "a", false),
            (".*(?<=ab)c", "abc", true),
            (".*(?<!é)c$", "éc", false),
            ("(?>a+)a", "aaa", false),
            ("a++a", "aaa", false),
            ("a*+b", "aab", true),
            ("(a)?(?(1)b|c)$", "ab", true),
            ("(a)?(?(1)b|c)$", "c", true),
            ("(a)?(?(1)b|c)$", "ac", false),
            ("(a*)*$", "aab", false),
            ("(a*)+b", "aab", true),
            (r"(|a)+\1b", "ab", true),
            (r"(?=(a+))\1b", "aab", true),
            (r"(?=(a|ab))\1c", "abc", false),
            ("a*?b", "aab", true),
            ("(?:a|ab)(?:c|bcd)$", "abcd", true),
            ("", "anything", true),
            ("a(?#comment)b", "ab", true),
            ("(?:(?!x).)*y", "aay", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern:?} {text:?}");
        }
    }

    #[test]
    fn what_python_refuses_is_refused() {
        for pattern in [
            "[",
            "(",
            ")",
            "a)",
            "(?",
            "*a",
            "a**",
            "a{2}{3}",
            "^*",
            "a{3,2}",
            "[z-a]",
            r"[\w-z]",
            r"\q",
            "\\",
            r"\1",
            r"(a\1)",
            "(?P<1>a)",
            "(?P<a>a)(?P<a>b)",
            "(?P=x)",
            "a(?i)b",
            "(?<=a+)b",
            r"\x4",
            "(?z)a",
            "(?(2)a)(b)",
            "[a",
            "(?:a",
        ] {
            assert!(Pattern::new(pattern).is_err(), "{pattern:?}");
        }
    }

    #[test]
    fn what_is_too_large_is_refused_and_what_is_nested_too() {
        assert!(Pattern::new("(?:(?:a{1000}){1000}){1000}").is_err());
        assert!(Pattern::new(&format!("{}a{}", "(".repeat(50_000), ")".repeat(50_000))).is_err());
        assert!(Pattern::new("(?:){1000000000}(?=a)").is_ok(), "nothing, however often");
        let linear = Pattern::new("(?:a+)+$").unwrap();
        assert!(linear.is_linear());
    }

    #[test]
    fn the_budget_is_shared_and_its_end_is_no_match() {
        let hostile = Pattern::new(r"(?=(a+)+$)(a+)+\1b").unwrap();
        assert!(!hostile.is_linear());
        let mut budget = budget();
        assert!(!hostile.is_match(&"a".repeat(2_000), &mut budget));
        assert_eq!((budget.steps, budget.exhausted), (0, 1));
        assert!(!Pattern::new("(?=a)").unwrap().is_match("a", &mut budget), "nothing is left");
        assert_eq!(budget.exhausted, 2);
        assert!(Pattern::new("a+$").unwrap().is_match("aa", &mut budget), "linear ones cost none");
    }
}
