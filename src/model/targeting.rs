//! Filters: the conditions of rules and variants (reflag-runtime.md 12.2).

/// A condition tree.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    /// Always this.
    Constant(bool),
    /// Several filters joined.
    Group {
        /// How they are joined.
        operator: GroupOperator,
        /// Evaluated left to right, no further than needed.
        filters: Vec<Filter>,
    },
    /// The opposite of the inner filter.
    Negation(Box<Filter>),
    /// A comparison of one attribute.
    Condition(Condition),
    /// A share of all attribute values.
    Rollout(Rollout),
    /// A type that this build does not know: false, with a diagnostic.
    Unknown(Box<str>),
}

/// How the filters of a group are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupOperator {
    /// All must hold; true when there is none.
    And,
    /// One must hold; false when there is none.
    Or,
}

/// A comparison of one attribute with operands.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// Dotted path in the flat context, such as `company.id`.
    pub attribute: Box<str>,
    /// The comparison.
    pub operator: Operator,
    /// What it is compared with; all but the `AnyOf` pair read only the first.
    pub operands: Vec<Operand>,
}

/// Comparisons (reflag-runtime.md 12.3).
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants are the protocol's own names")]
pub enum Operator {
    Is,
    IsNot,
    AnyOf,
    NotAnyOf,
    Contains,
    NotContains,
    GreaterThan,
    LessThan,
    After,
    Before,
    DateAfter,
    DateBefore,
    Set,
    NotSet,
    IsTrue,
    IsFalse,
    /// Not known to this build: false, but a missing attribute is still reported.
    Unknown(Box<str>),
}

impl Operator {
    /// Reads the protocol's name.
    pub fn from_wire(name: &str) -> Self {
        match name {
            "IS" => Self::Is,
            "IS_NOT" => Self::IsNot,
            "ANY_OF" => Self::AnyOf,
            "NOT_ANY_OF" => Self::NotAnyOf,
            "CONTAINS" => Self::Contains,
            "NOT_CONTAINS" => Self::NotContains,
            "GT" => Self::GreaterThan,
            "LT" => Self::LessThan,
            "AFTER" => Self::After,
            "BEFORE" => Self::Before,
            "DATE_AFTER" => Self::DateAfter,
            "DATE_BEFORE" => Self::DateBefore,
            "SET" => Self::Set,
            "NOT_SET" => Self::NotSet,
            "IS_TRUE" => Self::IsTrue,
            "IS_FALSE" => Self::IsFalse,
            other => Self::Unknown(other.into()),
        }
    }

    /// The protocol's name.
    pub fn as_wire(&self) -> &str {
        match self {
            Self::Is => "IS",
            Self::IsNot => "IS_NOT",
            Self::AnyOf => "ANY_OF",
            Self::NotAnyOf => "NOT_ANY_OF",
            Self::Contains => "CONTAINS",
            Self::NotContains => "NOT_CONTAINS",
            Self::GreaterThan => "GT",
            Self::LessThan => "LT",
            Self::After => "AFTER",
            Self::Before => "BEFORE",
            Self::DateAfter => "DATE_AFTER",
            Self::DateBefore => "DATE_BEFORE",
            Self::Set => "SET",
            Self::NotSet => "NOT_SET",
            Self::IsTrue => "IS_TRUE",
            Self::IsFalse => "IS_FALSE",
            Self::Unknown(name) => name,
        }
    }
}

/// What an attribute is compared with. Definitions should hold text only; what else JSON allows is
/// kept because JavaScript's comparisons still give it a meaning.
#[derive(Clone, Debug, PartialEq)]
pub enum Operand {
    /// Text, the regular case.
    Text(Box<str>),
    /// A JSON number, boolean or null as the number that JavaScript makes of it. Never equal to text.
    Number(f64),
    /// An object or array: no comparison holds.
    Opaque,
}

/// A share of all values of one attribute.
#[derive(Clone, Debug, PartialEq)]
pub struct Rollout {
    /// The filter's own `key`: hashed before the attribute, so that rollouts fall differently.
    pub salt: Box<str>,
    /// The attribute whose value is hashed.
    pub attribute: Box<str>,
    /// In 1/1000 of a percent; a value matches when its hash (0 to 100,000) is below. Any double is
    /// legal: fractions, negative numbers and numbers above the range just compare.
    pub threshold: f64,
}
