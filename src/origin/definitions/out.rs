//! Where a document goes: into text, or nowhere, to see how long it would be.

use std::collections::HashMap;

use super::super::model::SegmentId;
use crate::json::write_string;

/// Takes a document piece by piece.
pub(super) trait Out<'a>: Sized {
    /// Text as it is.
    fn text(&mut self, text: &str);

    /// A string, quoted.
    fn string(&mut self, text: &str);

    /// A number.
    fn number(&mut self, number: u64);

    /// The beginning of a filter of this type.
    fn filter(&mut self, kind: &str) {
        self.text("{\"type\":\"");
        self.text(kind);
        self.text("\"");
    }

    /// A part that may stand in other places, too: the same name, the same text.
    fn part(&mut self, part: Part<'a>, write: impl FnOnce(&mut Self));
}

/// The name of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Part<'a> {
    /// A flag, by its key.
    Flag(&'a str),
    /// Who has a flag on, as a condition of another one; so many flags lie between.
    Access(&'a str, usize),
    /// Who is in a segment.
    Segment(&'a SegmentId),
}

impl<'a> Out<'a> for String {
    fn text(&mut self, text: &str) {
        self.push_str(text);
    }

    fn string(&mut self, text: &str) {
        write_string(text, self);
    }

    fn number(&mut self, number: u64) {
        self.push_str(&number.to_string());
    }

    fn part(&mut self, _: Part<'a>, write: impl FnOnce(&mut Self)) {
        write(self);
    }
}

/// How long an environment's document is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Its bytes. They may be more than 64 bits hold.
    pub bytes: u128,
    /// Filters in it.
    pub filters: u128,
    /// No flag's access is written more often than this: a byte more in one is at most so many more
    /// in the document.
    pub repeats: u128,
    /// The key of the flag that weighs most, and its weight.
    pub largest: Option<(String, u128)>,
}

/// What a filter takes beside its text, in bytes, once it is compiled and its answers are prepared.
const FILTER: u128 = 256;

impl Extent {
    /// What the environment takes where it is served, in bytes: the text, and what is made of it.
    pub fn weight(&self) -> u128 {
        weight(self.bytes, self.filters)
    }
}

fn weight(bytes: u128, filters: u128) -> u128 {
    bytes.saturating_add(filters.saturating_mul(FILTER))
}

/// Counts bytes. Each part is gone through once, however often it stands there.
#[derive(Debug, Default)]
pub(super) struct Measure<'a> {
    sum: Sum,
    known: HashMap<Part<'a>, Sum>,
    /// What a string is quoted in.
    quoted: String,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    bytes: u128,
    filters: u128,
    /// How often the access of a flag stands below others.
    accesses: u128,
}

impl Sum {
    fn add(&mut self, other: Self) {
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.filters = self.filters.saturating_add(other.filters);
        self.accesses = self.accesses.saturating_add(other.accesses);
    }
}

impl Measure<'_> {
    /// What was counted.
    pub(super) fn extent(&self) -> Extent {
        let flags = self.known.iter().filter_map(|(part, sum)| match part {
            Part::Flag(key) => Some((weight(sum.bytes, sum.filters), *key)),
            _ => None,
        });
        Extent {
            bytes: self.sum.bytes,
            filters: self.sum.filters,
            repeats: self.sum.accesses.saturating_add(1),
            largest: flags.max().map(|(weight, key)| (key.to_owned(), weight)),
        }
    }

    fn count(&mut self, bytes: usize) {
        self.sum.bytes = self.sum.bytes.saturating_add(bytes as u128);
    }
}

impl<'a> Out<'a> for Measure<'a> {
    fn text(&mut self, text: &str) {
        self.count(text.len());
    }

    fn string(&mut self, text: &str) {
        self.quoted.clear();
        write_string(text, &mut self.quoted);
        self.count(self.quoted.len());
    }

    fn number(&mut self, number: u64) {
        self.count(number.checked_ilog10().unwrap_or(0) as usize + 1);
    }

    fn filter(&mut self, kind: &str) {
        self.count("{\"type\":\"\"".len() + kind.len());
        self.sum.filters = self.sum.filters.saturating_add(1);
    }

    fn part(&mut self, part: Part<'a>, write: impl FnOnce(&mut Self)) {
        let sum = if let Some(&sum) = self.known.get(&part) {
            sum
        } else {
            let around = std::mem::take(&mut self.sum);
            if matches!(part, Part::Access(..)) {
                self.sum.accesses = 1;
            }
            write(self);
            let sum = std::mem::replace(&mut self.sum, around);
            self.known.insert(part, sum);
            sum
        };
        self.sum.add(sum);
    }
}
