//! Apps, their environments, and who works on them.

use super::{AppId, EnvironmentId, MemberId, OrgId};
use crate::model::KeyClass;
use crate::time::Timestamp;

/// Owns all apps of a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Org {
    /// Its id.
    pub id: OrgId,
    /// What people call it.
    pub name: String,
}

/// Owns environments, flags, stages and segments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct App {
    /// Its id.
    pub id: AppId,
    /// Unique.
    pub name: String,
    /// Whether it is there to be looked at only.
    pub demo: bool,
    /// How keys of new flags look.
    pub flag_key_format: FlagKeyFormat,
}

/// One isolated set of targeting, with keys of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// Its id.
    pub id: EnvironmentId,
    /// The app that it belongs to.
    pub app: AppId,
    /// Unique in its app.
    pub name: String,
    /// Exactly one of an app's is; it is neither renamed nor deleted.
    pub is_production: bool,
    /// Place among its app's, from 0.
    pub order: u32,
    /// Grows with each change that SDKs can see.
    pub flag_state_version: u64,
}

/// A publishable or secret key of an environment. Its text is not here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvironmentKey {
    /// Whose rules it opens.
    pub environment: EnvironmentId,
    /// What it opens of them.
    pub class: KeyClass,
    /// SHA-256 of the text.
    pub sha256: [u8; 32],
    /// What may be shown of it.
    pub prefix: String,
    /// Since when it holds.
    pub created_at: Timestamp,
    /// When it ceases to, after it was rotated.
    pub expires_at: Option<Timestamp>,
}

/// Somebody who works on flags, and may own some.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its id.
    pub id: MemberId,
    /// What people call them.
    pub name: String,
    /// Unique.
    pub email: String,
}

/// How keys of an app's flags look; enforced when a flag is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants are the protocol's own names")]
pub enum FlagKeyFormat {
    Custom,
    PascalCase,
    CamelCase,
    SnakeCaseUpper,
    SnakeCaseLower,
    KebabCaseUpper,
    #[default]
    KebabCaseLower,
}

impl FlagKeyFormat {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Custom,
        Self::PascalCase,
        Self::CamelCase,
        Self::SnakeCaseUpper,
        Self::SnakeCaseLower,
        Self::KebabCaseUpper,
        Self::KebabCaseLower,
    ];

    /// The protocol's name.
    pub fn as_wire(self) -> &'static str {
        match self {
            Self::Custom => "custom",
            Self::PascalCase => "pascalCase",
            Self::CamelCase => "camelCase",
            Self::SnakeCaseUpper => "snakeCaseUpper",
            Self::SnakeCaseLower => "snakeCaseLower",
            Self::KebabCaseUpper => "kebabCaseUpper",
            Self::KebabCaseLower => "kebabCaseLower",
        }
    }

    /// Reads the protocol's name.
    pub fn from_wire(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.as_wire() == name)
    }

    /// An example, for those whose key was refused.
    pub fn example(self) -> &'static str {
        match self {
            Self::Custom => "any key",
            Self::PascalCase => "NewCheckout",
            Self::CamelCase => "newCheckout",
            Self::SnakeCaseUpper => "NEW_CHECKOUT",
            Self::SnakeCaseLower => "new_checkout",
            Self::KebabCaseUpper => "NEW-CHECKOUT",
            Self::KebabCaseLower => "new-checkout",
        }
    }

    /// Whether a key is written like this (section 3): the first character is a letter of the right
    /// case, digits may come later, separators stand alone and between others. `custom` allows
    /// everything that can be seen, and blanks inside.
    pub fn allows(self, key: &str) -> bool {
        let upper = |c: char| c.is_uppercase();
        let lower = |c: char| c.is_alphabetic() && !c.is_uppercase();
        let begins = |with: &dyn Fn(char) -> bool| key.chars().next().is_some_and(with);
        let words = |separator: char, with: &dyn Fn(char) -> bool| {
            begins(with)
                && key
                    .split(separator)
                    .all(|word| !word.is_empty() && word.chars().all(|c| with(c) || c.is_numeric()))
        };
        match self {
            Self::Custom => {
                !key.is_empty() && key.trim() == key && !key.chars().any(char::is_control)
            }
            Self::PascalCase => begins(&upper) && key.chars().all(char::is_alphanumeric),
            Self::CamelCase => begins(&lower) && key.chars().all(char::is_alphanumeric),
            Self::SnakeCaseUpper => words('_', &upper),
            Self::SnakeCaseLower => words('_', &lower),
            Self::KebabCaseUpper => words('-', &upper),
            Self::KebabCaseLower => words('-', &lower),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_format_allows_its_example_and_none_of_the_others() {
        for format in FlagKeyFormat::ALL {
            for other in FlagKeyFormat::ALL.into_iter().filter(|&f| f != FlagKeyFormat::Custom) {
                let allowed = format == other || format == FlagKeyFormat::Custom;
                assert_eq!(format.allows(other.example()), allowed, "{format:?} {other:?}");
            }
        }
    }

    #[test]
    fn separators_stand_alone_between_words_that_begin_with_a_letter() {
        let format = FlagKeyFormat::KebabCaseLower;
        for key in ["a", "a1", "a-1", "checkout-v2", "größe"] {
            assert!(format.allows(key), "{key}");
        }
        for key in ["", "-a", "a-", "a--b", "1a", "a b", "a_b", "A-b"] {
            assert!(!format.allows(key), "{key}");
        }
        for key in ["", " a", "a\n"] {
            assert!(!FlagKeyFormat::Custom.allows(key), "{key:?}");
        }
        assert!(FlagKeyFormat::Custom.allows("Any key: (at all) ✓"));
    }
}
