//! Remembers where each key path was written, for problems that are found later and for the
//! question what set a value.

use std::collections::BTreeMap;
use std::path::Path;

use super::problem::Place;

/// Where each key path was written: values, lists, their items, and tables.
#[derive(Debug)]
pub(super) struct Places {
    root: Place,
    written: BTreeMap<String, Place>,
    placeholders: BTreeMap<String, String>,
}

impl Places {
    /// Nothing is written yet in `file`.
    pub(super) fn of(file: &Path) -> Self {
        Self {
            root: Place::File {
                file: file.to_path_buf(),
                line: 1,
                column: None,
                path: String::new(),
            },
            written: BTreeMap::new(),
            placeholders: BTreeMap::new(),
        }
    }

    pub(super) fn mark(&mut self, path: impl Into<String>, place: Place) {
        let path = path.into();
        // It was of what is overridden now.
        self.placeholders.remove(&path);
        self.written.insert(path, place);
    }

    /// Whether something was written there, good or bad.
    pub(super) fn has(&self, path: &str) -> bool {
        self.written.contains_key(path)
    }

    /// How `path` is spelled where it was written: in a configuration of another program, as that
    /// program spells it.
    pub(super) fn spelled(&self, path: &str) -> String {
        match self.written.get(path) {
            Some(Place::File { path, .. }) => path.clone(),
            Some(place @ Place::Member { .. }) => place.to_string(),
            Some(Place::Variable { .. }) | None => path.to_owned(),
        }
    }

    /// Where `path` was written, or else the innermost table around it that was.
    pub(super) fn nearest(&self, path: &str) -> Place {
        if let Some(place) = self.written.get(path) {
            return place.clone();
        }
        let mut around = path;
        let mut place = loop {
            if let Some(place) = self.written.get(around) {
                break place.clone();
            }
            match around.rfind(['.', '[']) {
                Some(end) => around = &around[..end],
                None => break self.root.clone(),
            }
        };
        if let Place::File { path: named, .. } = &mut place {
            path.clone_into(named);
        }
        place
    }

    /// What stands at `path` is `placeholder` and nothing else.
    pub(super) fn mark_placeholder(&mut self, path: &str, placeholder: &str) {
        self.placeholders.insert(path.to_owned(), placeholder.to_owned());
    }

    /// Where each key path was written, and the placeholders.
    pub(super) fn into_written(self) -> (BTreeMap<String, Place>, BTreeMap<String, String>) {
        (self.written, self.placeholders)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_missing_from_the_innermost_table_that_was_written() {
        let at = |line, path: &str| Place::File {
            file: "burgee.toml".into(),
            line,
            column: None,
            path: path.to_owned(),
        };
        let mut places = Places::of(Path::new("burgee.toml"));
        places.mark("environments[0]", at(4, "environments[0]"));
        for (path, line) in [("environments[0].source.type", 4), ("server.listen", 1)] {
            assert_eq!(places.nearest(path), at(line, path));
        }
    }
}
