//! What is written to the terminal, and how tables are set.

use std::fmt::{self, Write as _};
use std::io::{self, ErrorKind, Write};

use super::Failure;

/// Writes to standard output. That nobody reads on (`burgee check | head -1`) is no error.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::Refused(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Writes one message to standard error, if anybody reads it.
pub(super) fn complain(message: &str) {
    let _ = writeln!(io::stderr().lock(), "{message}");
}

/// Text from a document or another process, without what a terminal would obey.
pub(super) struct Plain<'a>(pub(super) &'a str);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            if c.is_control() {
                write!(formatter, "{}", c.escape_default())?;
            } else {
                formatter.write_char(c)?;
            }
        }
        Ok(())
    }
}

/// Rows whose cells stand below each other.
#[derive(Debug, Default)]
pub(super) struct Table {
    indent: usize,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(indent: usize) -> Self {
        Self { indent, rows: Vec::new() }
    }

    pub(super) fn with_header<const N: usize>(indent: usize, header: [&str; N]) -> Self {
        Self { indent, rows: vec![header.map(str::to_owned).to_vec()] }
    }

    pub(super) fn row<const N: usize>(&mut self, cells: [&dyn fmt::Display; N]) {
        self.rows.push(cells.map(ToString::to_string).to_vec());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.rows {
            let mut line = " ".repeat(self.indent);
            for (cell, width) in row.iter().zip(&widths) {
                write!(line, "{cell:width$}  ")?;
            }
            writeln!(formatter, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// A number of things: `1 flag`, `2 flags`.
pub(super) fn count(number: usize, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{} {thing}s", grouped(number)) }
}

/// Digits in groups of three.
pub(super) fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_lines_end_with_text() {
        let mut table = Table::with_header(2, ["FLAG", "ON", ""]);
        table.row([&"a-long-key", &"on", &"hidden"]);
        table.row([&"ü", &"off", &""]);
        assert_eq!(
            table.to_string(),
            "  FLAG        ON\n  a-long-key  on   hidden\n  ü           off\n"
        );
    }

    #[test]
    fn nothing_in_a_document_moves_the_cursor() {
        let text = "a\u{1b}[2Jb\r\n\u{9b}ü ✓";
        assert_eq!(Plain(text).to_string(), "a\\u{1b}[2Jb\\r\\n\\u{9b}ü ✓");
    }

    #[test]
    fn numbers_are_grouped_and_agree_with_their_noun() {
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_000), "1,000");
        assert_eq!(grouped(12_345_678), "12,345,678");
        assert_eq!(count(1, "flag"), "1 flag");
        assert_eq!(count(0, "flag"), "0 flags");
    }
}
