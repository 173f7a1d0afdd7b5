//! Walks the configuration file and the variables, and remembers where everything was written.
//!
//! A [`Table`] is asked for its settings one by one. Whatever it was not asked for when it is
//! left is an unknown key, so the list of known keys is the code that reads them and cannot fall
//! behind it. Nothing here stops at a problem: each is noted, the value is `None`, and reading
//! goes on.

use std::collections::BTreeSet;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Surroundings;
use super::places::Places;
use super::problem::{Place, Problem};
use super::shape::{Refusal, Scalar, Shape, did_you_mean, nearest};
use super::substitute::{has_placeholder, is_placeholder, substitute};

/// A list of which some items may have been refused; those are `None`, so that an item's index is
/// the one in the file.
pub(super) type List<T> = Vec<Option<T>>;

/// What is the same for all tables of one reading.
pub(super) struct Reader<'d> {
    surroundings: &'d dyn Surroundings,
    file: Option<(&'d Path, &'d str)>,
    places: Places,
    problems: Vec<Problem>,
    known: BTreeSet<(&'static str, String)>,
    unknown: Vec<Unknown>,
}

/// A key that nobody asked for, kept until all tables were read: it may belong to another one.
struct Unknown {
    place: Place,
    key: String,
    table: String,
    siblings: Vec<&'static str>,
    hint: Option<String>,
}

impl<'d> Reader<'d> {
    pub(super) fn new(
        file: Option<(&'d Path, &'d str)>,
        surroundings: &'d dyn Surroundings,
    ) -> Self {
        Self {
            surroundings,
            file,
            places: Places::of(name_and_contents(file).0),
            problems: Vec::new(),
            known: BTreeSet::new(),
            unknown: Vec::new(),
        }
    }

    /// What is left when everything was asked for.
    pub(super) fn finish(mut self) -> (Places, Vec<Problem>) {
        for mut unknown in std::mem::take(&mut self.unknown) {
            let hint = unknown.hint.take().or_else(|| self.belongs_elsewhere(&unknown));
            self.problems.push(Problem {
                place: unknown.place,
                found: "an unknown key".to_owned(),
                expected: format!("one of {}", unknown.siblings.join(", ")),
                hint,
            });
        }
        (self.places, self.problems)
    }

    /// Settings after a `[table]` header belong to that table, which is easily overlooked.
    fn belongs_elsewhere(&self, unknown: &Unknown) -> Option<String> {
        let homes: BTreeSet<_> = self
            .known
            .iter()
            .filter(|(key, _)| *key == unknown.key)
            .map(|(_, table)| header(table))
            .collect();
        if homes.is_empty() {
            return None;
        }
        let homes = Vec::from_iter(homes).join(" or ");
        let key = &unknown.key;
        Some(match header(&unknown.table).as_str() {
            "" => format!("{key} belongs below {homes}"),
            here => format!("{key} belongs below {homes}, not below {here}"),
        })
    }

    /// The root of the document; without a file, a document in which nothing is written.
    pub(super) fn root<R>(
        &mut self,
        document: Option<&'d DeTable<'d>>,
        read: impl FnOnce(&mut Table<'_, 'd>) -> R,
    ) -> R {
        self.enter(String::new(), document, read)
    }

    fn enter<R>(
        &mut self,
        path: String,
        entries: Option<&'d DeTable<'d>>,
        read: impl FnOnce(&mut Table<'_, 'd>) -> R,
    ) -> R {
        let mut table = Table::new(self, path, entries);
        let result = read(&mut table);
        table.leave();
        result
    }

    pub(super) fn problem(
        &mut self,
        place: Place,
        found: impl Into<String>,
        expected: impl Into<String>,
        hint: Option<String>,
    ) {
        self.problems.push(Problem { place, found: found.into(), expected: expected.into(), hint });
    }

    pub(super) fn places(&mut self) -> &mut Places {
        &mut self.places
    }

    pub(super) fn file(&self) -> Option<&'d Path> {
        self.file.map(|(file, _)| file)
    }

    /// A variable's text. An empty variable counts as not set: that is what compose files and
    /// charts leave behind for a value that nobody gave.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        self.surroundings.variable(name).filter(|text| !text.trim().is_empty())
    }

    /// The same in any letter case: each spelling that is set, with its text.
    pub(super) fn spellings(&self, name: &str) -> Vec<(String, String)> {
        let mut set = self.surroundings.spellings(name);
        set.retain(|(_, text)| !text.trim().is_empty());
        set.sort();
        set
    }

    /// The setting that a variable holds, if it is set. Placeholders are not replaced in
    /// variables.
    pub(super) fn variable_value<T>(
        &mut self,
        name: &'static str,
        path: &str,
        shape: &Shape<T>,
    ) -> Option<T> {
        let text = self.variable(name)?;
        let place = Place::Variable { name, item: None };
        self.variable_item(place, path.to_owned(), &text, shape)
    }

    /// The comma-separated list that a variable holds, if it is set.
    pub(super) fn variable_list<T>(
        &mut self,
        name: &'static str,
        path: &str,
        shape: &Shape<T>,
    ) -> Option<List<T>> {
        let text = self.variable(name)?;
        self.places.mark(path, Place::Variable { name, item: None });
        let items = text.split(',').map(str::trim).enumerate();
        Some(
            items
                .map(|(index, text)| {
                    let place = Place::Variable { name, item: Some(index) };
                    self.variable_item(place, format!("{path}[{index}]"), text, shape)
                })
                .collect(),
        )
    }

    /// Notes that a variable is not set that has to be.
    pub(super) fn require_variable(&mut self, name: &'static str, expected: String) {
        if self.variable(name).is_none() {
            self.problem(Place::Variable { name, item: None }, "nothing", expected, None);
        }
    }

    fn variable_item<T>(
        &mut self,
        place: Place,
        path: String,
        text: &str,
        shape: &Shape<T>,
    ) -> Option<T> {
        self.places.mark(path, place.clone());
        match shape.accept(Scalar::Text(text)) {
            Ok(value) => Some(value),
            Err(refusal) => {
                let shown = if shape.secret { "a string".to_owned() } else { quoted(text) };
                self.refuse(place, shown, shape, refusal);
                None
            }
        }
    }

    fn refuse<T>(&mut self, place: Place, shown: String, shape: &Shape<T>, refusal: Refusal) {
        let found = refusal.found.map_or(shown, str::to_owned);
        self.problem(place, found, shape.expected.clone(), refusal.hint);
    }

    fn place(&self, path: &str, offset: usize) -> Place {
        let (file, contents) = name_and_contents(self.file);
        let (line, _) = line_and_column(contents, offset);
        Place::File { file: file.to_path_buf(), line, column: None, path: path.to_owned() }
    }

    fn value<T>(
        &mut self,
        path: &str,
        value: &Spanned<DeValue<'_>>,
        shape: &Shape<T>,
    ) -> Option<T> {
        let place = self.place(path, value.span().start);
        self.places.mark(path, place.clone());
        let mut replaced = false;
        let result = match value.get_ref() {
            DeValue::String(text) if has_placeholder(text) => {
                replaced = true;
                if is_placeholder(text) {
                    self.places.mark_placeholder(path, text);
                }
                match substitute(text, self.surroundings) {
                    Ok(text) => shape.accept(Scalar::Text(&text)),
                    Err(error) => {
                        let expected = "placeholders that can be replaced";
                        let hint = "write \"$${\" for a literal \"${\"".to_owned();
                        self.problem(place, error.to_string(), expected, Some(hint));
                        return None;
                    }
                }
            }
            DeValue::String(text) => shape.accept(Scalar::Text(text)),
            DeValue::Integer(integer) => {
                match i64::from_str_radix(integer.as_str(), integer.radix()) {
                    Ok(integer) => shape.accept(Scalar::Integer(integer)),
                    Err(_) => Err(Refusal::default()),
                }
            }
            DeValue::Float(float) => match float.as_str().parse() {
                Ok(float) => shape.accept(Scalar::Float(float)),
                Err(_) => Err(Refusal::default()),
            },
            DeValue::Boolean(boolean) => shape.accept(Scalar::Boolean(*boolean)),
            _ => Err(Refusal::default()),
        };
        match result {
            Ok(value) => Some(value),
            Err(mut refusal) => {
                if replaced && refusal.hint.is_none() {
                    refusal.hint =
                        Some("the text after its placeholders were replaced does not fit".into());
                }
                let shown = if shape.secret {
                    kind(value.get_ref()).to_owned()
                } else {
                    show(value.get_ref())
                };
                self.refuse(place, shown, shape, refusal);
                None
            }
        }
    }
}

/// One table while it is being read.
pub(super) struct Table<'r, 'd> {
    reader: &'r mut Reader<'d>,
    path: String,
    entries: Option<&'d DeTable<'d>>,
    known: Vec<&'static str>,
    foreign: Vec<Foreign>,
}

/// A key that would be known if the table were of another kind.
struct Foreign {
    key: &'static str,
    kind: String,
}

impl<'r, 'd> Table<'r, 'd> {
    fn new(reader: &'r mut Reader<'d>, path: String, entries: Option<&'d DeTable<'d>>) -> Self {
        Self { reader, path, entries, known: Vec::new(), foreign: Vec::new() }
    }

    /// The setting of this name, if it was written and is good.
    pub(super) fn value<T>(&mut self, key: &'static str, shape: &Shape<T>) -> Option<T> {
        let value = self.entry(key)?;
        let path = self.path_of(key);
        self.reader.value(&path, value, shape)
    }

    /// Like [`value`](Self::value), and a variable that is set wins over the file. What the file
    /// says has to be good nevertheless: it will count when the variable is gone.
    pub(super) fn value_or_variable<T>(
        &mut self,
        key: &'static str,
        variable: &'static str,
        shape: &Shape<T>,
    ) -> Option<T> {
        let written = self.value(key, shape);
        if self.reader.variable(variable).is_none() {
            return written;
        }
        let path = self.path_of(key);
        self.reader.variable_value(variable, &path, shape)
    }

    /// Like [`value`](Self::value), and it is a problem when it was not written.
    pub(super) fn required<T>(&mut self, key: &'static str, shape: &Shape<T>) -> Option<T> {
        if !self.has(key) {
            self.missing(key, &shape.expected);
        }
        self.value(key, shape)
    }

    /// The list of this name, if it was written and is one.
    pub(super) fn list<T>(&mut self, key: &'static str, shape: &Shape<T>) -> Option<List<T>> {
        self.list_unless(key, shape, "a list of strings", |_| None)
    }

    /// Like [`list`](Self::list), with a word of its own for some values that are no list.
    pub(super) fn list_unless<T>(
        &mut self,
        key: &'static str,
        shape: &Shape<T>,
        expected: &str,
        hint: impl Fn(&str) -> Option<String>,
    ) -> Option<List<T>> {
        let value = self.entry(key)?;
        let path = self.path_of(key);
        let place = self.reader.place(&path, value.span().start);
        self.reader.places.mark(&path, place.clone());
        let DeValue::Array(items) = value.get_ref() else {
            let shown =
                if shape.secret { kind(value.get_ref()).to_owned() } else { show(value.get_ref()) };
            let hint = value.get_ref().as_str().and_then(hint);
            self.reader.problem(place, shown, expected, hint);
            return None;
        };
        Some(
            items
                .iter()
                .enumerate()
                .map(|(index, item)| self.reader.value(&format!("{path}[{index}]"), item, shape))
                .collect(),
        )
    }

    /// The table of this name; when it was not written, one in which nothing is written.
    pub(super) fn table<R>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Table<'_, 'd>) -> R,
    ) -> R {
        let path = self.path_of(key);
        let mut entries = None;
        if let Some(value) = self.entry(key) {
            let place = self.reader.place(&path, value.span().start);
            self.reader.places.mark(&path, place.clone());
            entries = value.get_ref().as_table();
            if entries.is_none() {
                let expected = format!("a table, {}", header(&path));
                self.reader.problem(place, kind(value.get_ref()), expected, None);
            }
        }
        self.reader.enter(path, entries, read)
    }

    /// The tables of this name, one after the other; `None` if something else was written.
    pub(super) fn tables<R>(
        &mut self,
        key: &'static str,
        mut read: impl FnMut(&mut Table<'_, 'd>) -> R,
    ) -> Option<Vec<R>> {
        let value = self.entry(key)?;
        let path = self.path_of(key);
        let place = self.reader.place(&path, value.span().start);
        self.reader.places.mark(&path, place.clone());
        let expected = format!("tables, each below {}", header(&format!("{path}[0]")));
        let DeValue::Array(items) = value.get_ref() else {
            self.reader.problem(place, kind(value.get_ref()), expected, None);
            return None;
        };
        let mut results = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let path = format!("{path}[{index}]");
            let place = self.reader.place(&path, item.span().start);
            self.reader.places.mark(&path, place.clone());
            if let Some(entries) = item.get_ref().as_table() {
                results.push(self.reader.enter(path, Some(entries), &mut read));
            } else {
                let found = kind(item.get_ref());
                self.reader.problem(place, found, expected.clone(), None);
            }
        }
        (items.is_empty() || !results.is_empty()).then_some(results)
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.is_some_and(|entries| entries.contains_key(key))
    }

    /// The text of a string as it was written, for decisions about how to read on.
    pub(super) fn literal(&self, key: &str) -> Option<&'d str> {
        self.entries?.get(key)?.get_ref().as_str()
    }

    /// Notes that something is not there that has to be.
    pub(super) fn missing(&mut self, key: &str, expected: &str) {
        let place = self.reader.places.nearest(&self.path_of(key));
        self.reader.problem(place, "nothing", expected, None);
    }

    /// Notes which keys `read` would ask for, were the table of another `kind`: they are unknown
    /// here, and their problem says where they belong.
    pub(super) fn other_kind(&mut self, kind: &str, read: impl FnOnce(&mut Table<'_, 'd>)) {
        // Nothing is written in there, and what it misses is nobody's problem.
        let mut reader = Reader::new(None, self.reader.surroundings);
        let mut table = Table::new(&mut reader, self.path.clone(), None);
        read(&mut table);
        for key in table.known {
            self.reader.known.insert((key, self.path.clone()));
            self.foreign.push(Foreign { key, kind: kind.to_owned() });
        }
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn reader(&mut self) -> &mut Reader<'d> {
        self.reader
    }

    fn entry(&mut self, key: &'static str) -> Option<&'d Spanned<DeValue<'d>>> {
        self.known.push(key);
        self.entries?.get(key)
    }

    fn path_of(&self, key: &str) -> String {
        join(&self.path, key)
    }

    fn leave(self) {
        for key in &self.known {
            self.reader.known.insert((key, self.path.clone()));
        }
        for (key, _) in self.entries.into_iter().flatten() {
            if self.known.contains(&key.get_ref().as_ref()) {
                continue;
            }
            let path = join(&self.path, &bare_or_quoted(key.get_ref()));
            self.reader.unknown.push(Unknown {
                place: self.reader.place(&path, key.span().start),
                key: key.get_ref().to_string(),
                table: self.path.clone(),
                siblings: self.known.clone(),
                hint: self.meant_by(key.get_ref()),
            });
        }
    }

    /// What this table knows about a key that it does not know.
    fn meant_by(&self, unknown: &str) -> Option<String> {
        if let Some(Foreign { key, kind }) = self.foreign.iter().find(|known| known.key == unknown)
        {
            return Some(format!("{key} belongs to {kind}"));
        }
        // Whoever has written a key already does not mean it a second time.
        let open = self.known.iter().copied().filter(|key| !self.has(key));
        nearest(unknown, open).map(did_you_mean)
    }
}

/// Both are empty without a file, in which case no table has an entry and nobody looks.
fn name_and_contents<'d>(file: Option<(&'d Path, &'d str)>) -> (&'d Path, &'d str) {
    file.unwrap_or((Path::new(""), ""))
}

/// Both counted from 1, the column in characters.
pub(super) fn line_and_column(contents: &str, offset: usize) -> (usize, usize) {
    let before = &contents.as_bytes()[..offset.min(contents.len())];
    let line = before.split(|&byte| byte == b'\n').count();
    let start = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |newline| newline + 1);
    let column = String::from_utf8_lossy(&before[start..]).chars().count() + 1;
    (line, column)
}

/// Text in quotes, on one line and of bounded length.
pub(super) fn quoted(text: &str) -> String {
    const LONGEST: usize = 80;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{:?}...", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// The header below which a table's settings are written.
fn header(path: &str) -> String {
    let mut plain = String::new();
    let mut in_index = false;
    for c in path.chars() {
        match c {
            '[' => in_index = true,
            ']' => in_index = false,
            _ if in_index => {}
            _ => plain.push(c),
        }
    }
    match path {
        "" => plain,
        _ if path.ends_with(']') => format!("[[{plain}]]"),
        _ => format!("[{plain}]"),
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

pub(super) fn bare_or_quoted(key: &str) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if !key.is_empty() && key.len() <= 80 && key.bytes().all(bare) {
        key.to_owned()
    } else {
        quoted(key)
    }
}

/// A value as it was written, short and on one line.
fn show(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => quoted(text),
        DeValue::Integer(integer) => integer.to_string(),
        DeValue::Float(float) => float.to_string(),
        DeValue::Boolean(boolean) => boolean.to_string(),
        _ => kind(value).to_owned(),
    }
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_from_one_and_in_characters() {
        let contents = "a = 1\r\nü = \"x\"\n";
        assert_eq!(line_and_column(contents, 0), (1, 1));
        assert_eq!(line_and_column(contents, 6), (1, 7));
        assert_eq!(line_and_column(contents, 7), (2, 1));
        assert_eq!(line_and_column(contents, 10), (2, 3));
        assert_eq!(line_and_column(contents, contents.len()), (3, 1));
        assert_eq!(line_and_column(contents, 1_000), (3, 1));
    }

    #[test]
    fn a_header_is_spelled_as_in_the_file() {
        assert_eq!(header(""), "");
        assert_eq!(header("server"), "[server]");
        assert_eq!(header("environments[12]"), "[[environments]]");
        assert_eq!(header("environments[12].source"), "[environments.source]");
    }

    #[test]
    fn found_text_stays_short_and_on_one_line() {
        assert_eq!(quoted("a\nb"), r#""a\nb""#);
        assert_eq!(quoted(&"ü".repeat(80)), format!("\"{}\"", "ü".repeat(80)));
        assert_eq!(quoted(&"ü".repeat(81)), format!("\"{}\"...", "ü".repeat(80)));
        assert_eq!(bare_or_quoted("a-b_1"), "a-b_1");
        assert_eq!(bare_or_quoted("a b"), "\"a b\"");
        assert_eq!(bare_or_quoted(""), "\"\"");
    }
}
