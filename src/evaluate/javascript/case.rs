//! `toLowerCase`, and looking for text without regard to case (reflag-runtime.md 12.3).
//!
//! This is lower-casing of both sides, not case folding: sharp s is not `ss`, a capital sigma
//! has another lower case at the end of a word, dotted capital I becomes two code points. The
//! tables are those of the Rust release, Unicode 17 at the time of writing, as in Node 20.

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

/// In an ASCII haystack a needle that is not ASCII just never fits.
fn contains_ascii(haystack: &[u8], lower_needle: &[u8]) -> bool {
    let Some((&first, rest)) = lower_needle.split_first() else {
        return true;
    };
    // No haystack letter becomes a capital, and `to_ascii_uppercase` leaves all but letters alone.
    let Some(last_start) = haystack.len().checked_sub(lower_needle.len()) else {
        return false;
    };
    memchr::memchr2_iter(first, first.to_ascii_uppercase(), &haystack[..=last_start])
        .any(|start| haystack[start + 1..][..rest.len()].eq_ignore_ascii_case(rest))
}
