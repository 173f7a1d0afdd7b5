//! One environment's flags as a source gave them.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;

use super::Flag;

/// Which release of Reflag's rule semantics applies (reflag-runtime.md 12.7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Generation {
    /// Arrays are flattened by index; a missing attribute makes its condition false.
    #[default]
    V1_0,
    /// Arrays stay whole; any error makes its whole rule false.
    V1_1,
}

/// An environment's flags, read and checked, with what could not be read.
#[derive(Clone, Debug, Default)]
pub struct Ruleset {
    /// The source's own number of this state, when it has one.
    pub source_version: Option<u64>,
    /// In the source's order, keys unique.
    pub flags: Vec<Arc<Flag>>,
    /// Flags that are left out, or replaced by their last good form.
    pub broken: Vec<BrokenFlag>,
    /// Things that are odd but served: one line each, the flag named.
    pub warnings: Vec<String>,
    /// Keys of the flags that the source's own service listed to a publishable key. None where
    /// nobody asks, and from a source that does not know it of this very document yet: then what
    /// was known of the one before holds for the flags that are still there.
    pub public: Option<Arc<HashSet<Box<str>>>>,
    /// Members of the document beside the flags and its version, by name, as JSON text: passed on
    /// untouched.
    pub envelope: Vec<(Box<str>, Box<str>)>,
    /// The document itself, when those who may read definitions can be given it byte for byte.
    pub verbatim: Option<Bytes>,
}

impl Ruleset {
    /// The keys of all flags, those included that are broken.
    pub fn keys(&self) -> HashSet<&str> {
        let flags = self.flags.iter().map(|flag| &*flag.key);
        flags.chain(self.broken.iter().map(|broken| broken.flag.as_str())).collect()
    }
}

/// A flag that cannot be evaluated, or that would break a client's SDK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenFlag {
    /// Its key, or its place in the document when it has none that can be read.
    pub flag: String,
    /// What is wrong, in words for the person who wrote the flag.
    pub reason: String,
}
