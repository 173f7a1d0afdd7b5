//! `JSONPath`s (RFC 9535) that lead straight to one place.
//!
//! Nearly all paths in rules name one member after the other. They are read here and become slots;
//! the others are left to a library.

/// The names along a path of names only, such as `$.identity.traits['home town']`. None for any
/// other path, and for what is no path.
pub(crate) fn names(path: &str) -> Option<Vec<String>> {
    let mut rest = path.strip_prefix('$')?;
    let mut names = Vec::new();
    while !rest.is_empty() {
        let (name, after) = if let Some(name) = rest.strip_prefix('.') {
            shorthand(name)?
        } else {
            let inside = rest.strip_prefix('[')?.trim_start_matches(is_blank);
            let (name, after) = quoted(inside)?;
            (name, after.trim_start_matches(is_blank).strip_prefix(']')?)
        };
        names.push(name);
        rest = after;
    }
    Some(names)
}

fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\n' | '\r')
}

/// A name without quotes, and what follows.
fn shorthand(text: &str) -> Option<(String, &str)> {
    let is_first = |c: char| c == '_' || c.is_ascii_alphabetic() || !c.is_ascii();
    text.chars().next().filter(|&c| is_first(c))?;
    let end = text.find(|c: char| !is_first(c) && !c.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].to_owned(), &text[end..]))
}

/// A name in quotes, and what follows.
fn quoted(text: &str) -> Option<(String, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    let mut name = String::new();
    let mut characters = text[1..].char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            c if c == quote => return Some((name, &text[at + 2..])),
            '\\' => name.push(match characters.next()?.1 {
                'b' => '\u{8}',
                'f' => '\u{c}',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'u' => unicode(&mut characters)?,
                c @ ('/' | '\\') => c,
                c if c == quote => c,
                _ => return None,
            }),
            '\0'..='\u{1f}' => return None,
            c => name.push(c),
        }
    }
    None
}

fn unicode(characters: &mut std::str::CharIndices<'_>) -> Option<char> {
    let mut four =
        || (0..4).try_fold(0, |code, _| Some(code * 16 + characters.next()?.1.to_digit(16)?));
    let first = four()?;
    if !(0xd800..0xdc00).contains(&first) {
        return char::from_u32(first);
    }
    // The second half of the pair, behind its own backslash.
    (characters.next()?.1 == '\\' && characters.next()?.1 == 'u').then_some(())?;
    let mut four =
        || (0..4).try_fold(0, |code, _| Some(code * 16 + characters.next()?.1.to_digit(16)?));
    let second = four().filter(|code| (0xdc00..0xe000).contains(code))?;
    char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00))
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn paths_of_names_are_read() {
        for (path, expected) in [
            ("$", Some(vec![])),
            ("$.identity.identifier", Some(vec!["identity", "identifier"])),
            ("$.identity.traits['home town']", Some(vec!["identity", "traits", "home town"])),
            ("$[ \"a\" ].b_1", Some(vec!["a", "b_1"])),
            ("$.identity.traits['[$the.size$]']", Some(vec!["identity", "traits", "[$the.size$]"])),
            (r"$['it\'s']['\u00e9\ud83d\ude00']", Some(vec!["it's", "é😀"])),
            ("$.サイズ", Some(vec!["サイズ"])),
            ("$.a[0]", None),
            ("$.a.*", None),
            ("$..a", None),
            ("$.a b", None),
            ("$.1a", None),
            ("$.", None),
            ("$['a'", None),
            ("$['a','b']", None),
            (r"$['\q']", None),
            ("plan", None),
        ] {
            let expected: Option<Vec<String>> =
                expected.map(|names| names.into_iter().map(String::from).collect());
            assert_eq!(names(path), expected, "{path}");
        }
    }
}
