//! Entries of `/features/evaluated` about flags of Flagsmith's rules (DESIGN section 4).
//!
//! A feature named `new_checkout` that is on with the value `"v2"` at version 412 reads
//!
//! ```json
//! "new_checkout": {"key": "new_checkout", "isEnabled": true, "targetingVersion": 412,
//!     "ruleEvaluationResults": [], "missingContextFields": [],
//!     "config": {"key": "default", "version": 412, "payload": "v2",
//!         "ruleEvaluationResults": [], "missingContextFields": []},
//!     "optInEnabled": false}
//! ```
//!
//! The config's key is the variant's where there is one; without a value there is no config. Rules
//! are not told: segments are not rules of one flag.

use super::Selection;
use crate::dialect::listing::{Listing, Spell, Written};
use crate::evaluate::{AnyProgram, OutcomeIndex};
use crate::json::write_string;
use crate::model::{KeyClass, Version};

/// The prepared entries of one environment.
#[derive(Debug)]
pub struct Entries {
    head: String,
    listing: Listing<Speller>,
}

#[derive(Clone, Copy, Debug)]
struct Speller {
    version: Version,
}

impl Entries {
    /// Prepares the entries of a program's flags.
    pub fn prepare(program: AnyProgram<'_>, version: Version) -> Self {
        let items = (0..program.flags().len()).map(|flag| (flag, ()));
        let head = "{\"success\":true,\"remoteContextUsed\":false,\"flagStateVersion\":";
        Self {
            head: format!("{head}{version},\"features\":"),
            listing: Listing::prepare(program, Speller { version }, items),
        }
    }

    /// A flag's entry, without its key; none where the class may not see it.
    pub fn one(
        &self,
        program: AnyProgram<'_>,
        class: KeyClass,
        outcome: OutcomeIndex,
    ) -> Option<String> {
        let entry = || self.listing.speller().entry(program, outcome);
        self.listing.is_visible(outcome, class).then(entry)
    }

    /// Room for an answer with all flags.
    pub fn longest(&self) -> usize {
        self.head.len() + self.listing.longest() + 1
    }

    /// Whether the answer with all flags is the same whatever the context.
    pub fn is_constant(&self) -> bool {
        self.listing.is_constant()
    }

    /// Writes the body about the flags that are selected and that a class may see. `outcomes` has
    /// one for each flag, or for a selection of one flag that one's.
    pub(crate) fn write(
        &self,
        program: AnyProgram<'_>,
        class: KeyClass,
        selection: Selection<'_>,
        outcomes: &[OutcomeIndex],
        written: &mut Written,
    ) {
        written.body.extend_from_slice(self.head.as_bytes());
        let is_on = |outcome| program.outcome(outcome).enabled;
        match selection {
            Selection::All => {
                self.listing.write(program, class, outcomes, |_| true, *b"{}", written);
            }
            Selection::Enabled => {
                self.listing.write(program, class, outcomes, is_on, *b"{}", written);
            }
            Selection::One(key) | Selection::OneEnabled(key) => {
                written.body.push(b'{');
                let needs_on = matches!(selection, Selection::OneEnabled(_));
                if let (Some(flag), Some(&outcome)) = (program.find(key), outcomes.first())
                    && self.listing.is_visible(outcome, class)
                    && (!needs_on || is_on(outcome))
                {
                    self.listing.write_item(program, flag, outcome, written);
                }
                written.body.push(b'}');
            }
        }
        written.body.push(b'}');
    }
}

impl Spell for Speller {
    type Form = ();

    fn spell(&self, program: AnyProgram<'_>, outcome: OutcomeIndex, (): ()) -> String {
        let key = program.flag(program.outcome(outcome).flag).key;
        let mut out = String::new();
        write_string(key, &mut out);
        out.push(':');
        out.push_str(&self.entry(program, outcome));
        out
    }
}

impl Speller {
    fn entry(self, program: AnyProgram<'_>, outcome: OutcomeIndex) -> String {
        let outcome = program.outcome(outcome);
        let mut out = String::from("{\"key\":");
        write_string(program.flag(outcome.flag).key, &mut out);
        out.push_str(",\"isEnabled\":");
        out.push_str(if outcome.enabled { "true" } else { "false" });
        out.push_str(",\"targetingVersion\":");
        out.push_str(&self.version.to_string());
        out.push_str(",\"ruleEvaluationResults\":[],\"missingContextFields\":[]");
        if let Some(value) = outcome.value {
            out.push_str(",\"config\":{\"key\":");
            write_string(outcome.variant.unwrap_or("default"), &mut out);
            out.push_str(",\"version\":");
            out.push_str(&self.version.to_string());
            out.push_str(",\"payload\":");
            out.push_str(value.get());
            out.push_str(",\"ruleEvaluationResults\":[],\"missingContextFields\":[]}");
        }
        out.push_str(",\"optInEnabled\":false}");
        out
    }
}
