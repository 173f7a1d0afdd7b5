//! Environments and the numbers that name their state.

use std::fmt;
use std::sync::Arc;

/// The operator's name of an environment: metrics, logs and the admin port use it in place of keys.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EnvironmentName(Arc<str>);

impl EnvironmentName {
    /// Takes a name that the configuration has checked.
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EnvironmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a key may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyClass {
    /// May be held by browsers: public flags only, no rules.
    Publishable,
    /// Held by servers only: everything.
    Secret,
}

/// The version that clients see. Grows with every published change; below 2^53, so that
/// JavaScript holds it exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(u64);

impl Version {
    /// The greatest version.
    pub const MAX: u64 = (1 << 53) - 1;

    /// `number`, or the greatest version when it is above that.
    pub fn new(number: u64) -> Self {
        Self(number.min(Self::MAX))
    }

    /// The number itself.
    pub fn number(self) -> u64 {
        self.0
    }

    /// The next version.
    #[must_use]
    pub fn next(self) -> Self {
        Self::new(self.0 + 1)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Hash of what evaluation and answers can observe: the same on every replica that serves the same
/// content, and after a restart. Printed as 16 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub u64);

impl Fingerprint {
    /// The low 48 bits, which a Prometheus sample (a double) holds exactly.
    pub fn low_48_bits(self) -> u64 {
        self.0 & 0xffff_ffff_ffff
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}
