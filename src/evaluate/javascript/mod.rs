//! JavaScript's coercions, as far as a Reflag rule can observe them.
//!
//! The official evaluator leans on the engine it runs in: `Number(text)`, `String(number)`,
//! `new Date(text)` and `toLowerCase` decide whether a rule matches (reflag-runtime.md 12.1 and
//! 12.3), so their corner cases are part of that protocol. The reference is V8 as shipped with
//! Node 20, local time zone UTC; `tests/javascript.rs` compares against what it answers.
//!
//! Everything here is a pure function of its arguments. Nothing reads a clock or a locale, and
//! nothing fails: text without a meaning is NaN or `None`, as it is there.

pub mod case;
pub mod date;
pub mod number;

/// ECMAScript's `WhiteSpace`: four ASCII characters, the byte order mark, category Zs.
///
/// U+0085 is not among them, in contrast to Unicode's own property. Line ends are a separate
/// production, because the date grammar does not treat all of them as a blank.
const fn is_white_space(character: char) -> bool {
    matches!(
        character,
        '\t' | '\u{B}' | '\u{C}' | ' ' | '\u{A0}' | '\u{1680}' | '\u{2000}'
            ..='\u{200A}' | '\u{202F}' | '\u{205F}' | '\u{3000}' | '\u{FEFF}'
    )
}
