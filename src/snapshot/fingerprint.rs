//! The hash that says whether a document means something else than the one before.

use sha2::{Digest, Sha256};

use crate::compile::Policy;
use crate::json::canonical::{self, Ignoring};
use crate::model::{Fingerprint, Generation, Ruleset, flagsmith};

/// Hashes what evaluation and answers can observe of a ruleset under a policy. The order of flags
/// and members, white space and the document's own version number do not count.
pub(super) fn of_reflag(ruleset: &Ruleset, policy: &Policy) -> Fingerprint {
    let mut hash = Sha256::new();
    hash.update([match policy.generation {
        Generation::V1_0 => 0,
        Generation::V1_1 => 1,
    }]);
    hash.update([u8::from(policy.knows_public(ruleset))]);
    let mut flags: Vec<_> = ruleset.flags.iter().collect();
    flags.sort_unstable_by(|a, b| a.key.cmp(&b.key));
    for flag in flags {
        hash.update([u8::from(policy.is_public(flag, ruleset))]);
        update_canonical(&mut hash, flag.raw.get(), Ignoring::default());
    }
    let mut envelope: Vec<_> = ruleset.envelope.iter().collect();
    envelope.sort_unstable();
    for (name, value) in envelope {
        hash.update([2]);
        hash.update(name.as_bytes());
        hash.update([0]);
        update_canonical(&mut hash, value, Ignoring::default());
    }
    finish(hash)
}

/// Hashes what evaluation and answers can observe of an environment. The vendor draws the
/// `identity_uuid` of every override anew for each answer, and says when the document changed: none
/// of that counts, nor does the order in which overrides come.
pub(super) fn of_flagsmith(environment: &flagsmith::Environment) -> Fingerprint {
    let mut hash = Sha256::new();
    hash.update([3]);
    // It was read as JSON, so it is text.
    let document = String::from_utf8_lossy(&environment.verbatim);
    update_canonical(&mut hash, &document, DRAWN_ANEW);
    finish(hash)
}

/// What of an environment document nobody can observe.
const DRAWN_ANEW: Ignoring<'_> = Ignoring {
    members: &["identity_uuid", "updated_at", "created_date"],
    order_of: &["identity_overrides"],
};

fn finish(hash: Sha256) -> Fingerprint {
    let digest = hash.finalize();
    Fingerprint(digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

fn update_canonical(hash: &mut Sha256, json: &str, ignoring: Ignoring<'_>) {
    let mut text = String::new();
    // What was parsed once parses again, unless it is nested deeper than we follow: then its own
    // spelling stands for it.
    match canonical::write_ignoring(json, ignoring, &mut text) {
        Ok(()) => hash.update(text.as_bytes()),
        Err(_) => hash.update(json.as_bytes()),
    }
    hash.update([0]);
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::compile::Visibility;
    use crate::dialect::reflag::definitions;

    fn of(text: &str) -> Fingerprint {
        let ruleset = definitions::read(&Bytes::copy_from_slice(text.as_bytes())).unwrap();
        of_reflag(&ruleset, &Policy::default())
    }

    const A: &str = r#"{"key":"a","targeting":{"version":1,"rules":[]}}"#;
    const B: &str = r#"{"key":"b","targeting":{"version":1,"rules":[]}}"#;

    #[test]
    fn order_white_space_and_version_numbers_do_not_count() {
        let one = of(&format!(r#"{{"success":true,"flagStateVersion":1,"features":[{A},{B}]}}"#));
        let same = of(&format!(r#"{{ "features":[ {B}, {A} ], "flagStateVersion":2 }}"#));
        assert_eq!(one, same);
    }

    #[test]
    fn what_can_be_observed_counts() {
        let base = of(&format!(r#"{{"features":[{A}]}}"#));
        assert_ne!(base, of(&format!(r#"{{"features":[{A},{B}]}}"#)));
        assert_ne!(base, of(&format!(r#"{{"features":[{A}],"extra":1}}"#)));
        assert_ne!(base, of(&format!(r#"{{"features":[{}]}}"#, A.replace(":1", ":2"))));
        let ruleset = definitions::read(&Bytes::from(format!(r#"{{"features":[{A}]}}"#))).unwrap();
        let secret =
            Policy { visibility: Visibility::Except(["a".to_owned()].into()), ..Policy::default() };
        assert_ne!(base, of_reflag(&ruleset, &secret));
        let newer = Policy { generation: Generation::V1_1, ..Policy::default() };
        assert_ne!(base, of_reflag(&ruleset, &newer));
    }
}
