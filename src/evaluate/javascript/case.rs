//! `toLowerCase`, and looking for text without regard to case (reflag-runtime.md 12.3).
//!
//! This is lower-casing of both sides, not case folding: sharp s is not `ss`, a capital sigma
//! has another lower case at the end of a word, dotted capital I becomes two code points. The
//! tables are those of the Rust release, Unicode 17 at the time of writing, as in Node 20.

use std::collections::BTreeSet;
use std::sync::LazyLock;

/// What characters become in lower case.
struct Tables {
    /// What characters become that become a single other one, and they: sorted.
    uppercase: Box<[(char, char)]>,
    /// Those that come about in other ways: beside another one, or by where they stand.
    irregular: BTreeSet<char>,
}

/// No character from here on has a case: ideographs and what is for private use.
const CASELESS: char = '\u{20000}';

static TABLES: LazyLock<Tables> = LazyLock::new(|| {
    let mut uppercase = Vec::new();
    // A capital sigma becomes either of these.
    let mut irregular = BTreeSet::from(['σ', 'ς']);
    for character in '\0'..CASELESS {
        let mut lower = character.to_lowercase();
        match (lower.next(), lower.len()) {
            (Some(first), 0) if first == character => {}
            (Some(first), 0) => uppercase.push((first, character)),
            (first, _) => irregular.extend(first.into_iter().chain(lower)),
        }
    }
    uppercase.sort_unstable();
    Tables { uppercase: uppercase.into(), irregular }
});

/// Whether lower-casing a text neither takes `character` out of it nor puts it in.
#[must_use]
pub fn has_no_case(character: char) -> bool {
    character.to_lowercase().eq([character])
        && uppercase_of(character).next().is_none()
        && !TABLES.irregular.contains(&character)
}

/// The characters that become `lower` and nothing else, other than itself.
pub fn uppercase_of(lower: char) -> impl Iterator<Item = char> {
    let first = TABLES.uppercase.partition_point(|(known, _)| *known < lower);
    let rest = TABLES.uppercase[first..].iter();
    rest.take_while(move |(known, _)| *known == lower).map(|(_, character)| *character)
}

/// What `text.toLowerCase()` gives, in no particular locale.
#[must_use]
pub fn to_lowercase(text: &str) -> String {
    text.to_lowercase()
}

/// Whether `haystack.toLowerCase()` holds `lower_needle`, which went through [`to_lowercase`].
///
/// Everything holds the empty needle. Allocates only if `haystack` is not ASCII.
#[must_use]
pub fn contains_lowercase(haystack: &str, lower_needle: &str) -> bool {
    if haystack.is_ascii() {
        contains_ascii(haystack.as_bytes(), lower_needle.as_bytes())
    } else {
        let haystack = to_lowercase(haystack);
        memchr::memmem::find(haystack.as_bytes(), lower_needle.as_bytes()).is_some()
    }
}

/// In an ASCII haystack, a needle that is not ASCII just never fits.
fn contains_ascii(haystack: &[u8], lower_needle: &[u8]) -> bool {
    let Some((&first, rest)) = lower_needle.split_first() else {
        return true;
    };
    let Some(last_start) = haystack.len().checked_sub(lower_needle.len()) else {
        return false;
    };
    memchr::memchr2_iter(first, first.to_ascii_uppercase(), &haystack[..=last_start])
        .any(|start| haystack[start + 1..][..rest.len()].eq_ignore_ascii_case(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(haystack: &str, needle: &str) -> bool {
        contains_lowercase(haystack, &to_lowercase(needle))
    }

    #[test]
    fn ascii_case_does_not_matter() {
        assert!(contains("Alice@Example.COM", "@eXample.com"));
        assert!(contains("aAab", "AAB"));
        assert!(!contains("alice", "alicia"));
        assert!(!contains("alice", "alice@example.com"));
    }

    #[test]
    fn what_lower_casing_leaves_alone_is_known() {
        for character in ['7', '@', ' ', '-', '中', 'א', 'ª', '😀', '\u{308}'] {
            assert!(has_no_case(character), "{character:?}");
        }
        for character in
            ['a', 'A', 'k', 'K', 'i', 'İ', '\u{307}', 'σ', 'ς', 'Σ', 'ß', 'ẞ', 'ǆ', '𐐨']
        {
            assert!(!has_no_case(character), "{character:?}");
        }
        assert!(uppercase_of('k').eq(['K', '\u{212a}']));
        assert!(uppercase_of('i').eq(['I']));
        assert!(uppercase_of('ǆ').eq(['Ǆ', 'ǅ']));
        assert!(uppercase_of('7').eq([]));
    }

    #[test]
    fn no_character_behind_the_tables_has_a_case() {
        let behind = CASELESS..=char::MAX;
        assert!(behind.clone().all(|character| character.to_lowercase().eq([character])));
        assert!(behind.clone().all(|character| character.to_uppercase().eq([character])));
    }

    #[test]
    fn characters_beside_the_letters_have_no_case() {
        assert!(!contains("[\\]^_", "{"));
        assert!(!contains("`{|}~", "@"));
        assert!(contains("1.2-3", ".2-"));
    }

    #[test]
    fn everything_holds_the_empty_needle() {
        for haystack in ["", "a", "\u{130}"] {
            assert!(contains(haystack, ""), "{haystack:?}");
        }
        assert!(!contains("", "a"));
    }

    #[test]
    fn other_scripts_have_case_as_well() {
        assert!(contains("GRÜẞE aus Köln", "grüße AUS kÖ"));
        assert!(contains("\u{212A}elvin", "KELVIN"));
        assert!(!contains("kelvin", "ü"));
    }

    #[test]
    fn lower_casing_is_not_folding() {
        assert!(!contains("straße", "STRASSE"));
        assert_eq!(to_lowercase("ΣΑΣ"), "σας");
        // The needle ends in a final sigma, the same letters in the haystack do not.
        assert!(!contains("ΑΣΑ", "ΑΣ"));
    }

    #[test]
    fn dotted_capital_i_becomes_two_code_points() {
        assert_eq!(to_lowercase("\u{130}"), "i\u{307}");
        assert!(contains("\u{130}stanbul", "I"));
    }
}
