//! One spelling for equal documents.

use sha2::{Digest, Sha256};

use super::{Kind, Malformed, Reader, Text, write_string};

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

/// Appends `text` in canonical form: no white space, members sorted by their written names (of
/// equal ones only the last stays, as every reader of the protocol sees it), strings escaped one way.
/// Numbers keep their spelling, since `5.0` and `5` are different answers.
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
    let mut writer = Writer { ignoring, out, members: Vec::new(), sorted: String::new() };
    writer.write_value(&mut reader, 0)?;
    reader.end()
}

/// Writes values where they belong, member by member as they come. Only objects whose members are
/// not in order are written a second time.
struct Writer<'a> {
    ignoring: Ignoring<'a>,
    out: &'a mut String,
    /// What stands in `out` of each object that is open, the innermost last.
    members: Vec<Member>,
    /// The members of one object, while they change places.
    sorted: String,
}

/// A member in the text that is being written: `"name":value,`.
#[derive(Clone, Copy)]
struct Member {
    start: usize,
    name_end: usize,
    end: usize,
}

impl Writer<'_> {
    fn write_value(&mut self, reader: &mut Reader<'_>, depth: usize) -> Result<(), Malformed> {
        if depth > MAX_DEPTH {
            return Err(reader.malformed("nested too deep"));
        }
        match reader.kind()? {
            Kind::Object => self.write_object(reader, depth)?,
            Kind::Array => {
                let mut first = true;
                reader.open_array()?;
                self.out.push('[');
                while reader.next_element(&mut first)? {
                    self.write_value(reader, depth + 1)?;
                    self.out.push(',');
                }
                self.close(']');
            }
            Kind::String => {
                let text = reader.string()?;
                self.write_text(text);
            }
            Kind::Number => self.out.push_str(reader.number()?),
            Kind::True | Kind::False | Kind::Null => self.out.push_str(reader.literal()?),
        }
        Ok(())
    }

    fn write_object(&mut self, reader: &mut Reader<'_>, depth: usize) -> Result<(), Malformed> {
        reader.open_object()?;
        self.out.push('{');
        let from = self.members.len();
        let (mut first, mut in_order) = (true, true);
        while let Some(name) = reader.next_member(&mut first)? {
            if self.ignoring.members.iter().any(|ignored| name.is(ignored)) {
                reader.skip()?;
                continue;
            }
            let start = self.out.len();
            self.write_text(name);
            let name_end = self.out.len();
            if let Some(before) = self.members[from..].last() {
                in_order &= self.name(before) < &self.out[start..name_end];
            }
            self.out.push(':');
            let is_set = self.ignoring.order_of.iter().any(|set| name.is(set));
            if is_set && reader.kind()? == Kind::Array {
                self.write_set(reader, depth + 1)?;
            } else {
                self.write_value(reader, depth + 1)?;
            }
            self.out.push(',');
            self.members.push(Member { start, name_end, end: self.out.len() });
        }
        if !in_order {
            self.sort(from);
        }
        self.members.truncate(from);
        self.close('}');
        Ok(())
    }

    /// The name of a member, as it is written.
    fn name(&self, member: &Member) -> &str {
        &self.out[member.start..member.name_end]
    }

    /// Puts the members of the innermost object, which are those after `from`, in order.
    fn sort(&mut self, from: usize) {
        let mut members = self.members.split_off(from);
        let Some(start) = members.first().map(|first| first.start) else { return };
        // Stable, so that of equal names the last one written is the last one here.
        members.sort_by(|a, b| self.name(a).cmp(self.name(b)));
        self.sorted.clear();
        for (at, member) in members.iter().enumerate() {
            let next = members.get(at + 1);
            if next.is_none_or(|next| self.name(next) != self.name(member)) {
                self.sorted.push_str(&self.out[member.start..member.end]);
            }
        }
        self.out.truncate(start);
        self.out.push_str(&self.sorted);
    }

    /// Ends what was written with a comma behind each part.
    fn close(&mut self, end: char) {
        if self.out.ends_with(',') {
            self.out.pop();
        }
        self.out.push(end);
    }

    /// What needs no escape is copied.
    fn write_text(&mut self, text: Text<'_>) {
        if let Some(plain) = text.plain() {
            self.out.push('"');
            self.out.push_str(plain);
            self.out.push('"');
            return;
        }
        let mut unescaped = String::with_capacity(text.raw_len());
        text.unescape_into(&mut unescaped);
        write_string(&unescaped, self.out);
    }

    /// An array whose order does not count. Its elements stand there as their hashes: there may be a
    /// hundred thousand, and these are short to keep and to sort.
    fn write_set(&mut self, reader: &mut Reader<'_>, depth: usize) -> Result<(), Malformed> {
        let (mut elements, mut first) = (Vec::new(), true);
        let start = self.out.len();
        reader.open_array()?;
        while reader.next_element(&mut first)? {
            self.write_value(reader, depth + 1)?;
            elements.push(<[u8; 32]>::from(Sha256::digest(&self.out[start..])));
            self.out.truncate(start);
        }
        elements.sort_unstable();
        self.out.push('[');
        for byte in elements.into_iter().flatten() {
            push_hex(byte, self.out);
        }
        self.out.push(']');
        Ok(())
    }
}

fn push_hex(byte: u8, out: &mut String) {
    for digit in [byte >> 4, byte & 15] {
        out.extend(char::from_digit(u32::from(digit), 16));
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;
    use serde_json::{Map, Value};

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
        assert_eq!(canonical(r#"{"a":{},"a":[],"\u0061":"x"}"#), r#"{"a":"x"}"#);
    }

    #[test]
    fn objects_in_objects_are_sorted_each_for_itself() {
        let one = canonical(r#"{"c":{"z":{"q":1,"p":[{"n":1,"m":","}]},"y":[]},"b":{},"a":"\/"}"#);
        let same = canonical(r#"{"a":"/","b":{},"c":{"y":[],"z":{"p":[{"m":",","n":1}],"q":1}}}"#);
        assert_eq!(one, r#"{"a":"/","b":{},"c":{"y":[],"z":{"p":[{"m":",","n":1}],"q":1}}}"#);
        assert_eq!(one, same);
    }

    proptest! {
        /// `serde_json` reads and sorts into a tree what this module sorts where it stands.
        #[test]
        fn it_writes_what_a_sorted_tree_would(value in tree(), seed in any::<u64>()) {
            let mut state = seed;
            let text = in_any_order(&value, &mut state);
            prop_assert_eq!(canonical(&text), value.to_string());
        }
    }

    fn tree() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[a-c,\"\\\\é\n]{0,4}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 64, 6, |inner| {
            prop_oneof![
                vec(inner.clone(), 0..6).prop_map(Value::from),
                btree_map("[a-e]{0,2}", inner, 0..6)
                    .prop_map(|members| Value::from(Map::from_iter(members))),
            ]
        })
    }

    /// The same value with its members in another order and with blanks.
    fn in_any_order(value: &Value, state: &mut u64) -> String {
        match value {
            Value::Array(elements) => {
                let texts: Vec<_> = elements.iter().map(|e| in_any_order(e, state)).collect();
                format!("[ {} ]", texts.join(" , "))
            }
            Value::Object(members) => {
                let mut texts: Vec<_> = members
                    .iter()
                    .map(|(name, value)| {
                        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                        (
                            *state,
                            format!("{}: {}", Value::from(&**name), in_any_order(value, state)),
                        )
                    })
                    .collect();
                texts.sort();
                let texts: Vec<_> = texts.into_iter().map(|(_, text)| text).collect();
                format!("{{{}\n}}", texts.join(","))
            }
            other => other.to_string(),
        }
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
