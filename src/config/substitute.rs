//! Replaces `${VARIABLE}` and `${file:/path}` in a text of the configuration file.
//!
//! One pass from left to right: what was put in is not searched again, so a secret that happens
//! to contain `${` arrives as it is. `$${` stands for a literal `${`; any other `$` is itself.

use std::io;
use std::path::Path;

use super::Surroundings;

/// Why a placeholder could not be replaced.
#[derive(Debug, thiserror::Error)]
pub(super) enum SubstituteError {
    #[error("the variable {name} is not set")]
    Unset { name: String },
    #[error("the file {path} cannot be read: {kind}")]
    Unreadable { path: String, kind: io::ErrorKind },
    #[error("\"${{\" without \"}}\"")]
    Unclosed,
    #[error("\"${{}}\" names neither a variable nor a file")]
    Malformed,
}

/// Whether `text` holds anything to replace, a literal `$${` included.
pub(super) fn has_placeholder(text: &str) -> bool {
    text.contains("${")
}

/// Whether `text` is one placeholder and nothing else.
pub(super) fn is_placeholder(text: &str) -> bool {
    let inner = text.strip_prefix("${").and_then(|text| text.strip_suffix('}'));
    inner.is_some_and(|name| !name.contains('}'))
}

/// `text` with all placeholders replaced, or why the first bad one cannot be.
///
/// All trailing line breaks of a file are cut off, as a shell does: secrets that were written
/// with an editor or with `echo` end in one.
pub(super) fn substitute(
    text: &str,
    surroundings: &dyn Surroundings,
) -> Result<String, SubstituteError> {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        result.push_str(&rest[..dollar]);
        rest = &rest[dollar..];
        if let Some(after) = rest.strip_prefix("$${") {
            result.push_str("${");
            rest = after;
        } else if let Some(after) = rest.strip_prefix("${") {
            let (name, after) = after.split_once('}').ok_or(SubstituteError::Unclosed)?;
            result.push_str(&replacement(name, surroundings)?);
            rest = after;
        } else {
            result.push('$');
            rest = &rest[1..];
        }
    }
    result.push_str(rest);
    Ok(result)
}

fn replacement(name: &str, surroundings: &dyn Surroundings) -> Result<String, SubstituteError> {
    if let Some(path) = name.strip_prefix("file:") {
        if path.is_empty() {
            return Err(SubstituteError::Malformed);
        }
        let mut contents = surroundings.read_file(Path::new(path)).map_err(|error| {
            // The kind only: the error's own text is the reader's and may quote anything.
            SubstituteError::Unreadable { path: path.to_owned(), kind: error.kind() }
        })?;
        contents.truncate(contents.trim_end_matches(['\n', '\r']).len());
        return Ok(contents);
    }
    // Checked, because an error names the variable, and text that is no name might be part of a
    // secret that contains `${` by chance.
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !is_name {
        return Err(SubstituteError::Malformed);
    }
    surroundings.variable(name).ok_or_else(|| SubstituteError::Unset { name: name.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed;

    impl Surroundings for Fixed {
        fn variable(&self, name: &str) -> Option<String> {
            match name {
                "PORT" => Some("8000".to_owned()),
                "EMPTY" => Some(String::new()),
                "NESTED" => Some("${PORT} $${".to_owned()),
                _ => None,
            }
        }

        fn read_file(&self, path: &Path) -> io::Result<String> {
            match path.to_str() {
                Some("/run/port") => Ok("9000\r\n\n".to_owned()),
                Some("/run/lines") => Ok("one\ntwo\n".to_owned()),
                Some("/run/binary") => Err(io::ErrorKind::InvalidData.into()),
                _ => Err(io::ErrorKind::NotFound.into()),
            }
        }
    }

    #[test]
    fn placeholders_are_replaced_once_and_from_left_to_right() {
        for (text, expected) in [
            ("", ""),
            ("plain", "plain"),
            ("${PORT}", "8000"),
            ("a${PORT}b${PORT}c", "a8000b8000c"),
            ("<${EMPTY}>", "<>"),
            ("${NESTED}", "${PORT} $${"),
            ("${file:/run/port}!", "9000!"),
            ("${file:/run/lines}", "one\ntwo"),
            ("$${PORT}", "${PORT}"),
            ("$${file:/nowhere}", "${file:/nowhere}"),
            ("$$${PORT}", "$${PORT}"),
            ("$${${PORT}}", "${8000}"),
            ("$PORT $ $$ $", "$PORT $ $$ $"),
            ("{PORT}}", "{PORT}}"),
            ("ü$ü${PORT}ü", "ü$ü8000ü"),
        ] {
            assert_eq!(substitute(text, &Fixed).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn a_placeholder_alone_is_told_from_one_among_other_text() {
        for (text, expected) in [
            ("${PORT}", true),
            ("${file:/run/port}", true),
            ("$${PORT}", false),
            ("x${PORT}", false),
            ("${PORT}x", false),
            ("${PORT}${PORT}", false),
            ("PORT", false),
        ] {
            assert_eq!(is_placeholder(text), expected, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_replaced_says_why() {
        for (text, expected) in [
            ("x${ABSENT}", "the variable ABSENT is not set"),
            ("${file:/absent}", "the file /absent cannot be read: entity not found"),
            ("${file:/run/binary}", "the file /run/binary cannot be read: invalid data"),
            ("x${PORT", "\"${\" without \"}\""),
            ("${}", "\"${}\" names neither a variable nor a file"),
            ("${file:}", "\"${}\" names neither a variable nor a file"),
            ("${1ST}", "\"${}\" names neither a variable nor a file"),
            ("${A B}", "\"${}\" names neither a variable nor a file"),
            ("${a${PORT}}", "\"${}\" names neither a variable nor a file"),
        ] {
            let error = substitute(text, &Fixed).unwrap_err();
            assert_eq!(error.to_string(), expected, "{text}");
        }
    }
}
