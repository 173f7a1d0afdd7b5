//! The hash that says whether a document means something else than the one before.

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::compile::Policy;
use crate::json::{canonical, write_string};
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
        update_canonical(&mut hash, flag.raw.get());
    }
    let mut envelope: Vec<_> = ruleset.envelope.iter().collect();
    envelope.sort_unstable();
    for (name, value) in envelope {
        hash.update([2]);
        hash.update(name.as_bytes());
        hash.update([0]);
        update_canonical(&mut hash, value);
    }
    finish(hash)
}

/// Hashes what evaluation and answers can observe of an environment. The vendor draws the
/// `identity_uuid` of every override anew for each answer, and says when the document changed: none
/// of that counts, nor does the order in which overrides come.
pub(super) fn of_flagsmith(environment: &flagsmith::Environment) -> Fingerprint {
    let mut hash = Sha256::new();
    hash.update([3]);
    let mut text = String::new();
    // What was parsed once parses again.
    let document: Value = serde_json::from_slice(&environment.verbatim).unwrap_or_default();
    write_observable(&document, &mut text);
    hash.update(text.as_bytes());
    finish(hash)
}

/// Spells a document with its members by name and without those that nobody can observe.
fn write_observable(value: &Value, out: &mut String) {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|(name, _)| *name);
            out.push('{');
            for (name, value) in members {
                match name.as_str() {
                    "identity_uuid" | "updated_at" | "created_date" => continue,
                    "identity_overrides" => {
                        let overrides = value.as_array().map(Vec::as_slice).unwrap_or_default();
                        let mut spelled: Vec<String> = overrides
                            .iter()
                            .map(|value| {
                                let mut text = String::new();
                                write_observable(value, &mut text);
                                text
                            })
                            .collect();
                        spelled.sort_unstable();
                        out.push_str(&spelled.join(","));
                    }
                    _ => {
                        write_string(name, out);
                        out.push(':');
                        write_observable(value, out);
                    }
                }
                out.push(',');
            }
            out.push('}');
        }
        Value::Array(elements) => {
            out.push('[');
            for element in elements {
                write_observable(element, out);
                out.push(',');
            }
            out.push(']');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

fn finish(hash: Sha256) -> Fingerprint {
    let digest = hash.finalize();
    Fingerprint(digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

fn update_canonical(hash: &mut Sha256, json: &str) {
    let mut text = String::with_capacity(json.len());
    // What was parsed once parses again, unless it is nested deeper than we follow: then its own
    // spelling stands for it.
    match canonical::write(json, &mut text) {
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
