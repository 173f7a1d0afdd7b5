//! How a rule joins its conditions.

use std::fmt;

/// Conditions are `c0`, `c1` and so on, in the order in which they stand.
#[derive(Debug)]
pub(super) enum Logic {
    Constant(bool),
    /// The next condition.
    Condition,
    All(Vec<Logic>),
    Any(Vec<Logic>),
    Not(Box<Logic>),
}

impl fmt::Display for Logic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.write(&mut 0))
    }
}

impl Logic {
    fn write(&self, next: &mut usize) -> String {
        match self {
            Self::Constant(true) => "always".to_owned(),
            Self::Constant(false) => "never".to_owned(),
            Self::Condition => {
                *next += 1;
                format!("c{}", *next - 1)
            }
            Self::All(parts) => join(parts, (" and ", "always"), next),
            Self::Any(parts) => join(parts, (" or ", "never"), next),
            Self::Not(inner) => format!("not {}", inner.write_apart(next)),
        }
    }

    /// In brackets, if it needs them beside something else.
    fn write_apart(&self, next: &mut usize) -> String {
        match self {
            Self::All(parts) | Self::Any(parts) => match parts.as_slice() {
                [] => self.write(next),
                [only] => only.write_apart(next),
                _ => format!("({})", self.write(next)),
            },
            _ => self.write(next),
        }
    }
}

fn join(parts: &[Logic], (word, of_none): (&str, &str), next: &mut usize) -> String {
    match parts {
        [] => of_none.to_owned(),
        [only] => only.write(next),
        _ => {
            let parts: Vec<_> = parts.iter().map(|part| part.write_apart(next)).collect();
            parts.join(word)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Logic::{All, Any, Condition, Constant, Not};

    #[test]
    fn it_is_said_how_conditions_are_joined() {
        let not = |inner| Not(Box::new(inner));
        for (logic, expected) in [
            (Condition, "c0"),
            (All(vec![Condition, not(Any(vec![Condition, Condition]))]), "c0 and not (c1 or c2)"),
            (Any(vec![All(vec![Condition, Condition]), Condition]), "(c0 and c1) or c2"),
            (not(not(Condition)), "not not c0"),
            (not(Any(vec![All(vec![Condition, Condition])])), "not (c0 and c1)"),
            (All(vec![Any(vec![Condition])]), "c0"),
            (All(vec![]), "always"),
            (Any(vec![Constant(false), Any(vec![])]), "never or never"),
        ] {
            assert_eq!(logic.to_string(), expected);
        }
    }
}
