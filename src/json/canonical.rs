//! One spelling for equal documents.

use sha2::{Digest, Sha256};

use super::{Kind, Malformed, Reader, write_string};

/// Deepest nesting that is followed; deeper text is refused rather than risk the stack.
const MAX_DEPTH: usize = 128;

/// What of a document does not count, whatever object it stands in.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ignoring<'a> {
    /// Members of these names.
    pub members: &'a [&'a str],
    /// The order of the elements of arrays of these names.
    pub order_of: &'a [&'a str],
}

/// Appends `text` in canonical form: no white space, members sorted by name (of equal names only
/// the last stays, as every reader of the protocol sees it), strings escaped one way. Numbers keep
/// their spelling, since `5.0` and `5` are different answers.
pub fn write(text: &str, out: &mut String) -> Result<(), Malformed> {
    write_ignoring(text, Ignoring::default(), out)
}

/// The same without what does not count.
pub fn write_ignoring(
    text: &str,
    ignoring: Ignoring<'_>,
    out: &mut String,
) -> Result<(), Malformed> {
    let mut reader = Reader::new(text);
    write_value(&mut reader, 0, ignoring, out)?;
    reader.end()
}

fn write_value(
    reader: &mut Reader<'_>,
    depth: usize,
    ignoring: Ignoring<'_>,
    out: &mut String,
) -> Result<(), Malformed> {
    if depth > MAX_DEPTH {
        return Err(reader.malformed("nested too deep"));
    }
    let mut first = true;
    match reader.kind()? {
        Kind::Object => {
            reader.open_object()?;
            let mut members: Vec<(String, String)> = Vec::new();
            while let Some(name) = reader.next_member(&mut first)? {
                let mut member = (String::new(), String::new());
                name.unescape_into(&mut member.0);
                if ignoring.members.contains(&member.0.as_str()) {
                    reader.skip()?;
                    continue;
                }
                let is_set = ignoring.order_of.contains(&member.0.as_str());
                if is_set && reader.kind()? == Kind::Array {
                    write_set(reader, depth + 1, ignoring, &mut member.1)?;
                } else {
                    write_value(reader, depth + 1, ignoring, &mut member.1)?;
                }
                members.push(member);
            }
            // Stable, so that of equal names the last one written is the last one here.
            members.sort_by(|a, b| a.0.cmp(&b.0));
            out.push('{');
            let mut comma = "";
            for (at, (name, value)) in members.iter().enumerate() {
                if members.get(at + 1).is_some_and(|next| next.0 == *name) {
                    continue;
                }
                out.push_str(comma);
                write_string(name, out);
                out.push(':');
                out.push_str(value);
                comma = ",";
            }
            out.push('}');
        }
        Kind::Array => {
            reader.open_array()?;
            out.push('[');
            let mut comma = "";
            while reader.next_element(&mut first)? {
                out.push_str(comma);
                write_value(reader, depth + 1, ignoring, out)?;
                comma = ",";
            }
            out.push(']');
        }
        Kind::String => {
            let mut text = String::new();
            reader.string()?.unescape_into(&mut text);
            write_string(&text, out);
        }
        Kind::Number => out.push_str(reader.number()?),
        Kind::True | Kind::False | Kind::Null => out.push_str(reader.literal()?),
    }
    Ok(())
}

/// An array whose order does not count. Its elements stand there as their hashes: there may be a
/// hundred thousand, and these are short to keep and to sort.
fn write_set(
    reader: &mut Reader<'_>,
    depth: usize,
    ignoring: Ignoring<'_>,
    out: &mut String,
) -> Result<(), Malformed> {
    let (mut elements, mut first) = (Vec::new(), true);
    let mut element = String::new();
    reader.open_array()?;
    while reader.next_element(&mut first)? {
        element.clear();
        write_value(reader, depth + 1, ignoring, &mut element)?;
        elements.push(<[u8; 32]>::from(Sha256::digest(&element)));
    }
    elements.sort_unstable();
    out.push('[');
    for byte in elements.into_iter().flatten() {
        push_hex(byte, out);
    }
    out.push(']');
    Ok(())
}

fn push_hex(byte: u8, out: &mut String) {
    for digit in [byte >> 4, byte & 15] {
        out.extend(char::from_digit(u32::from(digit), 16));
    }
}

#[cfg(test)]
mod tests {
    use super::Ignoring;

    fn canonical(text: &str) -> String {
        let mut out = String::new();
        super::write(text, &mut out).unwrap();
        out
    }

    #[test]
    fn order_of_members_and_white_space_do_not_count_but_spelling_of_numbers_does() {
        let one = canonical(r#"{ "b" : [1, 5.0, "\u0041"], "a" : {"y":null,"x":true} }"#);
        assert_eq!(one, canonical(r#"{"a":{"x":true,"y":null},"b":[1,5.0,"A"]}"#));
        assert_eq!(one, r#"{"a":{"x":true,"y":null},"b":[1,5.0,"A"]}"#);
        assert_ne!(canonical("[5.0]"), canonical("[5]"));
    }

    #[test]
    fn of_equal_names_the_last_counts() {
        assert_eq!(canonical(r#"{"a":1,"b":2,"a":3}"#), r#"{"a":3,"b":2}"#);
    }

    #[test]
    fn the_order_of_sets_does_not_count_and_their_elements_do() {
        let canonical = |text: &str| {
            let mut out = String::new();
            let ignoring = Ignoring { members: &["drawn"], order_of: &["set"] };
            super::write_ignoring(text, ignoring, &mut out).unwrap();
            out
        };
        let one = canonical(r#"{"set":[{"a":1,"drawn":5},2,2],"list":[1,2]}"#);
        assert_eq!(one, canonical(r#"{"list":[1,2],"set":[2,{"drawn":7,"a":1},2]}"#));
        assert_ne!(one, canonical(r#"{"set":[{"a":1},2],"list":[1,2]}"#));
        assert_ne!(one, canonical(r#"{"set":[{"a":2},2,2],"list":[1,2]}"#));
        assert_ne!(one, canonical(r#"{"set":[{"a":1},2,2],"list":[2,1]}"#));
    }

    #[test]
    fn nesting_is_bounded() {
        let deep = "[".repeat(100_000);
        assert!(super::write(&deep, &mut String::new()).is_err());
    }
}
