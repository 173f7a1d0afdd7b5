//! What is wrong with a configuration, said so that it can be mended without a second look.
//!
//! Never holds the text of a key or a token, nor text that a placeholder was replaced with: a
//! problem ends up in terminals, in logs and in issue trackers.

use std::fmt;
use std::path::PathBuf;
use std::slice;
use std::vec;

/// One thing that has to be mended before Burgee starts. Its `Display` is one line:
///
/// ```text
/// burgee.toml:12: environments[0].source.type: found "fil", expected "file" (hint: did you mean "file"?)
/// ```
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{place}: found {found}, expected {expected}{}", hint_suffix(hint.as_deref()))]
pub struct Problem {
    /// Where it was written, or would have to be.
    pub place: Place,
    /// What is there.
    pub found: String,
    /// What has to be there.
    pub expected: String,
    /// The way from one to the other, when there is more to say.
    pub hint: Option<String>,
}

fn hint_suffix(hint: Option<&str>) -> String {
    hint.map(|hint| format!(" (hint: {hint})")).unwrap_or_default()
}

/// Where a setting was written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Place {
    /// In the configuration file.
    File {
        /// The file, as it was named to us.
        file: PathBuf,
        /// Counted from 1. For something that is missing, the line of the table that lacks it.
        line: usize,
        /// Counted from 1, in characters. Only for text that is not TOML.
        column: Option<usize>,
        /// The key path, such as `environments[0].source.type`. Empty for text that is not TOML.
        path: String,
    },
    /// In an environment variable.
    Variable {
        /// The variable's name.
        name: &'static str,
        /// Which item of a comma-separated list, counted from 0.
        item: Option<usize>,
    },
    /// Within the JSON that an environment variable holds.
    Member {
        /// The variable's name.
        name: &'static str,
        /// What leads there from the outermost value, such as `[0].server_side_key`.
        path: String,
    },
}

impl Place {
    /// The line in the file; for variables, one after all others.
    pub(super) fn line(&self) -> usize {
        match self {
            Self::File { line, .. } => *line,
            Self::Variable { .. } | Self::Member { .. } => usize::MAX,
        }
    }

    /// The place of a member of the object that is here.
    pub(super) fn member(&self, member: &str) -> Self {
        let below = |path: &str| {
            if path.is_empty() { member.to_owned() } else { format!("{path}.{member}") }
        };
        match self {
            Self::File { file, line, path, .. } => {
                Self::File { file: file.clone(), line: *line, column: None, path: below(path) }
            }
            Self::Variable { name, .. } => Self::Member { name, path: member.to_owned() },
            Self::Member { name, path } => Self::Member { name, path: below(path) },
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { file, line, column, path } => {
                write!(formatter, "{}:{line}", file.display())?;
                if let Some(column) = column {
                    write!(formatter, ":{column}")?;
                }
                if !path.is_empty() {
                    write!(formatter, ": {path}")?;
                }
                Ok(())
            }
            Self::Variable { name, item: None } => formatter.write_str(name),
            Self::Variable { name, item: Some(item) } => write!(formatter, "{name}[{item}]"),
            Self::Member { name, path } if path.starts_with('[') => {
                write!(formatter, "{name}{path}")
            }
            Self::Member { name, path } => write!(formatter, "{name}.{path}"),
        }
    }
}

/// Every problem of a configuration, at least one: the file's by line, then the variables'.
///
/// Its `Display` is one problem per line. The process that meets it exits with status 2.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// None when there is no problem.
    pub fn of(mut problems: Vec<Problem>) -> Option<Self> {
        // Stable, so that problems of one line stay in the order in which they were found.
        problems.sort_by_key(|problem| problem.place.line());
        (!problems.is_empty()).then_some(Self(problems))
    }

    /// The problems, in order.
    pub fn iter(&self) -> slice::Iter<'_, Problem> {
        self.0.iter()
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl std::error::Error for Problems {}

impl fmt::Display for Problems {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                formatter.write_str("\n")?;
            }
            write!(formatter, "{problem}")?;
        }
        Ok(())
    }
}

impl IntoIterator for Problems {
    type Item = Problem;
    type IntoIter = vec::IntoIter<Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(line: usize, column: Option<usize>, path: &str) -> Place {
        Place::File {
            file: PathBuf::from("config/burgee.toml"),
            line,
            column,
            path: path.to_owned(),
        }
    }

    fn problem(place: Place, hint: Option<&str>) -> Problem {
        Problem {
            place,
            found: "\"fil\"".to_owned(),
            expected: "\"file\"".to_owned(),
            hint: hint.map(str::to_owned),
        }
    }

    #[test]
    fn a_problem_is_one_line_with_place_found_expected_and_hint() {
        let type_of_source = at(12, None, "environments[0].source.type");
        assert_eq!(
            problem(type_of_source, Some("did you mean \"file\"?")).to_string(),
            "config/burgee.toml:12: environments[0].source.type: found \"fil\", expected \"file\" \
             (hint: did you mean \"file\"?)"
        );
        assert_eq!(
            problem(at(3, Some(7), ""), None).to_string(),
            "config/burgee.toml:3:7: found \"fil\", expected \"file\""
        );
    }

    #[test]
    fn a_variable_is_named_instead_of_file_and_line() {
        let variable = |item| Place::Variable { name: "BURGEE_SECRET_KEYS", item };
        assert_eq!(variable(None).to_string(), "BURGEE_SECRET_KEYS");
        assert_eq!(variable(Some(1)).to_string(), "BURGEE_SECRET_KEYS[1]");
        let server = Place::Variable { name: "SERVER", item: None };
        assert_eq!(server.member("port").to_string(), "SERVER.port");
        let pair = Place::Member { name: "ENVIRONMENT_KEY_PAIRS", path: "[0]".to_owned() };
        assert_eq!(
            pair.member("server_side_key").to_string(),
            "ENVIRONMENT_KEY_PAIRS[0].server_side_key"
        );
    }

    #[test]
    fn problems_are_ordered_by_line_with_variables_last() {
        let variable = Place::Variable { name: "BURGEE_LOG", item: None };
        let problems = Problems::of(vec![
            problem(variable, None),
            problem(at(9, None, "b"), None),
            problem(at(2, None, "z"), None),
            problem(at(2, None, "a"), None),
        ])
        .unwrap();
        let places: Vec<_> = problems.iter().map(|p| p.place.to_string()).collect();
        assert_eq!(
            places,
            [
                "config/burgee.toml:2: z",
                "config/burgee.toml:2: a",
                "config/burgee.toml:9: b",
                "BURGEE_LOG"
            ]
        );
        assert!(Problems::of(Vec::new()).is_none());
    }
}
