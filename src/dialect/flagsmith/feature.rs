//! What a flag of Reflag's is called and worth in this protocol (DESIGN section 4).

use std::collections::{BTreeSet, HashMap, HashSet};

use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::json::write_string;
use crate::model::Flag;

/// A number for each key: the first four bytes of its SHA-256, without the sign and never 0. Of
/// several keys with one number the later in byte order takes the next four bytes.
pub fn ids<'a>(keys: impl IntoIterator<Item = &'a str>) -> HashMap<&'a str, i64> {
    let keys: BTreeSet<&str> = keys.into_iter().collect();
    let mut taken = HashSet::new();
    keys.into_iter()
        .map(|key| {
            let id = numbers(key).find(|id| taken.insert(*id));
            (key, id.unwrap_or_default())
        })
        .collect()
}

/// The numbers that a key may have, without end: behind its hash come the hash of that, and so on.
fn numbers(key: &str) -> impl Iterator<Item = i64> {
    let first = Sha256::digest(key);
    let hashes = std::iter::successors(Some(first), |hash| Some(Sha256::digest(hash)));
    hashes.flat_map(|hash| {
        let words: Vec<i64> = hash
            .chunks_exact(4)
            .map(|word| {
                let number = u32::from_be_bytes([word[0], word[1], word[2], word[3]]);
                i64::from(number & 0x7fff_ffff).max(1)
            })
            .collect();
        words
    })
}

/// `MULTIVARIATE` for a flag with more than one variant.
pub fn kind(flag: &Flag) -> &'static str {
    let variants = flag.config.as_ref().map_or(0, |config| config.variants.len());
    if variants > 1 { "MULTIVARIATE" } else { "STANDARD" }
}

/// Appends a payload as a value: scalars as they are, objects and arrays as text that holds their
/// compact JSON, nothing as null.
pub fn write_value(payload: Option<&RawValue>, out: &mut String) {
    let text = payload.map_or("null", RawValue::get);
    if text.starts_with(['{', '[']) {
        write_string(&compact(text), out);
    } else {
        out.push_str(text);
    }
}

/// JSON without the white space between its tokens; nothing is spelled anew.
fn compact(json: &str) -> String {
    let mut in_text = false;
    let mut escaped = false;
    json.chars()
        .filter(|&character| {
            if in_text {
                in_text = escaped || character != '"';
                escaped = !escaped && character == '\\';
                return true;
            }
            in_text = character == '"';
            !matches!(character, ' ' | '\t' | '\n' | '\r')
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_from_the_hash_of_the_key() {
        // The SHA-256 of the empty text begins with e3b0c442, of "abc" with ba7816bf.
        let ids = ids(["abc", ""]);
        assert_eq!((ids[""], ids["abc"]), (0x63b0_c442, 0x3a78_16bf));
    }

    #[test]
    fn of_keys_with_one_number_the_later_takes_the_next() {
        let first = |key: &str| numbers(key).next().unwrap();
        let mut seen: HashMap<i64, String> = HashMap::new();
        let (earlier, later) = (0..)
            .find_map(|number: u32| {
                let key = format!("flag-{number}");
                let other = seen.insert(first(&key), key.clone())?;
                Some((other.clone().min(key.clone()), other.max(key)))
            })
            .unwrap();
        let ids = ids([later.as_str(), &earlier]);
        assert_eq!(ids[&*earlier], first(&earlier));
        assert_eq!(ids[&*later], numbers(&later).nth(1).unwrap());
        assert_eq!(numbers("").nth(8), numbers("").nth(8));
    }

    #[test]
    fn payloads_keep_their_spelling() {
        for (payload, value) in [
            (None, "null"),
            (Some("null"), "null"),
            (Some("5.0"), "5.0"),
            (Some("1e3"), "1e3"),
            (Some("true"), "true"),
            (Some(r#""a \" b""#), r#""a \" b""#),
            (Some("{ \"b\" : 5.0,\n\t\"a\": [ ] }"), r#""{\"b\":5.0,\"a\":[]}""#),
            (Some(r#"[ "a \" b\\", " " ]"#), r#""[\"a \\\" b\\\\\",\" \"]""#),
        ] {
            let payload = payload.map(|text| RawValue::from_string(text.to_owned()).unwrap());
            let mut written = String::new();
            write_value(payload.as_deref(), &mut written);
            assert_eq!(written, value);
        }
    }
}
