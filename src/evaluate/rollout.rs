//! Rollout buckets (reflag-runtime.md 12.4).
//!
//! A value's bucket is the low 20 bits of SHA-256 over salt, dot and value. The protocol scales it
//! to 0..=100,000 with doubles and compares that with the threshold; the scale only ever grows, so
//! the comparison is turned into one between buckets when the rule is compiled.

use sha2::block_api::compress256;

use super::Slot;

/// A salt bound to the attribute that it hashes. Filters that share both share one bucket.
#[derive(Clone, Debug)]
pub struct Salt {
    /// The attribute whose value is hashed.
    pub slot: Slot,
    /// Hash state after all whole blocks of the salt and its dot.
    state: [u32; 8],
    /// What of the salt does not fill a block, followed by zeros.
    tail: [u8; BLOCK],
    tail_len: usize,
    /// Bytes already in `state`.
    hashed: u64,
}

/// Number of a salt in its program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SaltIndex(pub u32);

const BLOCK: usize = 64;
/// 20 bits.
const LAST_BUCKET: u32 = 0xf_ffff;
const INITIAL: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

impl Salt {
    /// Hashes as much of `salt` and its dot as can be hashed before the value is known.
    pub fn new(slot: Slot, salt: &str) -> Self {
        let mut state = INITIAL;
        let text = [salt.as_bytes(), b"."].concat();
        let whole = text.len() / BLOCK * BLOCK;
        for block in text[..whole].chunks_exact(BLOCK) {
            let mut bytes = [0; BLOCK];
            bytes.copy_from_slice(block);
            compress256(&mut state, &[bytes]);
        }
        let mut tail = [0; BLOCK];
        tail[..text.len() - whole].copy_from_slice(&text[whole..]);
        Self { slot, state, tail, tail_len: text.len() - whole, hashed: whole as u64 }
    }

    /// The bucket of `value`: 0..=0xFFFFF.
    pub fn bucket(&self, value: &str) -> u32 {
        let mut state = self.state;
        let mut block = self.tail;
        let mut filled = self.tail_len;
        let mut rest = value.as_bytes();
        let bits = (self.hashed + (filled + rest.len()) as u64) * 8;
        while filled + rest.len() >= BLOCK {
            let (now, later) = rest.split_at(BLOCK - filled);
            block[filled..].copy_from_slice(now);
            compress256(&mut state, &[block]);
            block = [0; BLOCK];
            filled = 0;
            rest = later;
        }
        block[filled..filled + rest.len()].copy_from_slice(rest);
        filled += rest.len();
        block[filled] = 0x80;
        if filled + 1 > BLOCK - 8 {
            compress256(&mut state, &[block]);
            block = [0; BLOCK];
        }
        block[BLOCK - 8..].copy_from_slice(&bits.to_be_bytes());
        compress256(&mut state, &[block]);
        // The digest's first word is big endian, the protocol reads it little endian.
        state[0].swap_bytes() & LAST_BUCKET
    }
}

/// The protocol's hash of a bucket, 0..=100,000, by the same doubles in the same order.
#[expect(clippy::cast_sign_loss, reason = "a bucket is not negative")]
pub fn hash_of_bucket(bucket: u32) -> u32 {
    (f64::from(bucket) / f64::from(LAST_BUCKET) * 100_000.0).floor() as u32
}

/// The first bucket that a threshold leaves out: `bucket < threshold_bucket(t)` exactly when
/// `hash_of_bucket(bucket) < t`. A threshold that is not a number leaves out all.
pub fn threshold_bucket(threshold: f64) -> u32 {
    if threshold.is_nan() {
        return 0;
    }
    let (mut low, mut high) = (0, LAST_BUCKET + 1);
    while low < high {
        let middle = u32::midpoint(low, high);
        if f64::from(hash_of_bucket(middle)) < threshold {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    fn plain_bucket(text: &str) -> u32 {
        let digest = Sha256::digest(text.as_bytes());
        u32::from_le_bytes([digest[0], digest[1], digest[2], digest[3]]) & LAST_BUCKET
    }

    #[test]
    fn the_check_values_of_the_protocol_page() {
        for (input, hash) in [("EEuoT8KShb", 38026), ("h7BOkvks5W", 81440), ("IZeSn3LCfJ", 80149)] {
            assert_eq!(hash_of_bucket(plain_bucket(input)), hash);
        }
    }

    #[test]
    fn prepared_salts_hash_like_the_whole_text() {
        for salt_len in [0, 1, 10, 54, 55, 56, 62, 63, 64, 65, 127, 128, 200] {
            let text = "sålt-".repeat(40);
            let mut end = salt_len.min(text.len());
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            let salt = Salt::new(Slot(0), &text[..end]);
            for value_len in [0, 1, 7, 44, 55, 56, 63, 64, 65, 119, 120, 128, 300] {
                let value = "v".repeat(value_len);
                assert_eq!(salt.bucket(&value), plain_bucket(&format!("{}.{value}", &text[..end])));
            }
        }
    }

    #[test]
    fn thresholds_part_the_buckets_where_the_protocol_does() {
        let thresholds =
            [-1.0, 0.0, 0.5, 1.0, 8512.0, 8512.25, 50_000.0, 99_999.0, 100_000.0, 100_000.5, 2e9];
        for threshold in thresholds {
            let first_out = threshold_bucket(threshold);
            for bucket in [first_out.saturating_sub(1), first_out, 0, LAST_BUCKET] {
                if bucket <= LAST_BUCKET {
                    let hash = f64::from(hash_of_bucket(bucket));
                    assert_eq!(bucket < first_out, hash < threshold, "{threshold} {bucket}");
                }
            }
        }
        assert_eq!(threshold_bucket(f64::NAN), 0);
        assert_eq!(threshold_bucket(100_000.0), LAST_BUCKET, "one id in a million is left out");
    }
}
