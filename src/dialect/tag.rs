//! Tags of answers: hashes that are put together from hashes, so that no answer is hashed as a whole.

/// Folds the next piece's hash into a tag; order counts.
pub(crate) fn mix(tag: u64, hash: u64) -> u64 {
    let product = u128::from(tag ^ hash) * 0x9e37_79b9_7f4a_7c15;
    (product as u64) ^ (product >> 64) as u64
}
