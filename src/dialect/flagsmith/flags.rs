//! Flags of Reflag's rules as Flagsmith's API spells them (DESIGN section 4).
//!
//! A flag `crew-chat` that is on, with the variant `large` and the payload `{"limit": 20}`, reads for
//! an identity
//!
//! ```json
//! {"feature": {"id": 1193270413, "name": "crew-chat", "type": "MULTIVARIATE"}, "enabled": true,
//!  "feature_state_value": "{\"limit\":20}", "variant": "large"}
//! ```
//!
//! Text, numbers and booleans stay what they are; objects and lists become their text without
//! blanks, since Flagsmith has no such values.

use bytes::Bytes;

use super::answers::write_identity_head;
use super::feature;
use super::mapping::Identity;
use crate::dialect::listing::{Listing, Spell, Written};
use crate::evaluate::{AnyContext, AnyProgram, OutcomeIndex};
use crate::json::write_string;
use crate::model::KeyClass;

/// The prepared flags of one environment.
#[derive(Debug)]
pub struct Flags {
    listing: Listing<Speller>,
    /// What flags come to for nobody in particular.
    defaults: Vec<OutcomeIndex>,
}

/// For whom a flag is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Nobody in particular: without its variant.
    Environment,
    /// An identity.
    Identity,
}

#[derive(Debug)]
struct Speller {
    /// By flag.
    ids: Vec<i64>,
}

impl Flags {
    /// Prepares the flags of a program.
    pub fn prepare(program: AnyProgram<'_>) -> Self {
        let flags = program.flags();
        let ids = feature::ids(flags.iter().map(|flag| flag.key));
        let ids = flags.iter().map(|flag| ids[flag.key]).collect();
        let items = (0..flags.len()).map(|flag| (flag, Form::Identity));
        let listing = Listing::prepare(program, Speller { ids }, items);
        Self { listing, defaults: AnyContext::nobody(program) }
    }

    /// The body of `flags/` for a class of keys.
    pub fn all(&self, program: AnyProgram<'_>, class: KeyClass) -> Bytes {
        let flags = self.each(program).zip(self.visible(class));
        let flags: Vec<String> =
            flags.filter_map(|(flag, is_seen)| is_seen.then_some(flag)).collect();
        Bytes::from(format!("[{}]", flags.join(",")))
    }

    /// The bodies of `flags/?feature=`, in the flags' order.
    pub fn each(&self, program: AnyProgram<'_>) -> impl Iterator<Item = String> {
        let speller = self.listing.speller();
        self.defaults.iter().map(move |&flag| speller.spell(program, flag, Form::Environment))
    }

    /// Which flags a class may see, when they are nobody's in particular.
    pub fn visible(&self, class: KeyClass) -> Box<[bool]> {
        self.defaults.iter().map(|&outcome| self.listing.is_visible(outcome, class)).collect()
    }

    /// A flag as an identity sees it; none where the class may not see it.
    pub fn one(
        &self,
        program: AnyProgram<'_>,
        class: KeyClass,
        outcome: OutcomeIndex,
    ) -> Option<String> {
        let flag = || self.listing.speller().spell(program, outcome, Form::Identity);
        self.listing.is_visible(outcome, class).then(flag)
    }

    /// Room for the flags of an identity.
    pub fn longest(&self) -> usize {
        self.listing.longest()
    }

    /// Writes the answer for an identity. `outcomes` has one for each flag.
    pub(crate) fn write_identity(
        &self,
        program: AnyProgram<'_>,
        class: KeyClass,
        outcomes: &[OutcomeIndex],
        identifier: &str,
        identity: &Identity<'_>,
        written: &mut Written,
    ) {
        write_identity_head(identifier, identity, false, &mut written.body);
        self.listing.write(program, class, outcomes, |_| true, *b"[]", written);
        written.body.push(b'}');
    }
}

impl Spell for Speller {
    type Form = Form;

    fn spell(&self, program: AnyProgram<'_>, outcome: OutcomeIndex, form: Form) -> String {
        let outcome = program.outcome(outcome);
        let flag = program.flag(outcome.flag);
        let mut out = String::from("{\"feature\":{\"id\":");
        out.push_str(itoa::Buffer::new().format(self.ids[outcome.flag]));
        out.push_str(",\"name\":");
        write_string(flag.key, &mut out);
        let kind = if flag.is_multivariate { "MULTIVARIATE" } else { "STANDARD" };
        out.push_str(",\"type\":\"");
        out.push_str(kind);
        out.push_str("\"},\"enabled\":");
        out.push_str(if outcome.enabled { "true" } else { "false" });
        out.push_str(",\"feature_state_value\":");
        feature::write_value(outcome.value, &mut out);
        if form == Form::Identity {
            out.push_str(",\"variant\":");
            match outcome.variant {
                Some(variant) => write_string(variant, &mut out),
                None => out.push_str("null"),
            }
        }
        out.push('}');
        out
    }
}
