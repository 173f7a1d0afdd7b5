//! Percentages of identities (flagsmith.md section 11).
//!
//! The MD5 of a few ids, joined by commas, is taken modulo 9999, and that remainder is scaled to
//! 0..100 with doubles. The scale only ever grows, so percentages of rules are turned into
//! remainders when they are compiled and a request compares integers. MD5 is asked for by the
//! protocol; it is no protection here.

use std::array::from_fn;

/// What is hashed before a value: its MD5 state as far as it is known.
#[derive(Clone, Debug)]
pub struct Seed {
    /// The id and its comma.
    prefix: Box<str>,
    /// State after all whole blocks of the prefix.
    state: [u32; 4],
    /// Length of the prefix that `state` covers.
    hashed: usize,
}

/// A remainder: 0..=9997, in proportion to the percentage.
pub type Remainder = u16;

const BLOCK: usize = 64;
/// Longest end of a text that takes a single block more.
const SINGLE: usize = BLOCK - 9;
const MODULUS: u64 = 9_999;
/// The remainder that would be 100 %: hashed again.
const REJECTED: Remainder = 9_998;

/// How many texts are hashed at once.
pub const LANES: usize = 4;

impl Seed {
    /// Hashes as much of `id` and its comma as can be hashed before the value is known.
    pub fn new(id: &str) -> Self {
        let prefix = format!("{id},");
        let hashed = prefix.len() / BLOCK * BLOCK;
        let mut state = INITIAL;
        for block in prefix.as_bytes()[..hashed].chunks_exact(BLOCK) {
            state = compress_one(state, block);
        }
        Self { prefix: prefix.into(), state, hashed }
    }

    /// Where `value` falls.
    pub fn remainder(&self, value: &str) -> Remainder {
        let tail = &self.prefix.as_bytes()[self.hashed..];
        let remainder = if tail.len() + value.len() <= SINGLE {
            remainder(compress_one(self.state, &self.last_block(value)))
        } else {
            self.long(value)
        };
        if remainder == REJECTED { self.repeated(value) } else { remainder }
    }

    /// Where `value` falls for each of several seeds: the hashes are computed side by side.
    pub fn remainders(seeds: [&Self; LANES], value: &str) -> [Remainder; LANES] {
        if seeds.iter().any(|seed| seed.prefix.len() - seed.hashed + value.len() > SINGLE) {
            return seeds.map(|seed| seed.remainder(value));
        }
        let blocks: [[u8; BLOCK]; LANES] = from_fn(|lane| seeds[lane].last_block(value));
        let words = from_fn(|word| {
            from_fn(|lane| {
                let at = 4 * word;
                let block = &blocks[lane];
                u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]])
            })
        });
        let state = from_fn(|word| from_fn(|lane| seeds[lane].state[word]));
        let state = compress::<LANES>(state, &words);
        from_fn(|lane| {
            let found = remainder(from_fn(|word| state[word][lane]));
            if found == REJECTED { seeds[lane].repeated(value) } else { found }
        })
    }

    /// The only block behind `state`.
    #[inline]
    fn last_block(&self, value: &str) -> [u8; BLOCK] {
        let tail = &self.prefix.as_bytes()[self.hashed..];
        let len = tail.len() + value.len();
        let mut block = [0; BLOCK];
        block[..tail.len()].copy_from_slice(tail);
        block[tail.len()..len].copy_from_slice(value.as_bytes());
        block[len] = 0x80;
        let bits = (self.hashed + len) as u64 * 8;
        block[BLOCK - 8..].copy_from_slice(&bits.to_le_bytes());
        block
    }

    #[cold]
    fn long(&self, value: &str) -> Remainder {
        let mut rest = self.prefix.as_bytes()[self.hashed..].to_vec();
        rest.extend_from_slice(value.as_bytes());
        remainder(finish(self.state, rest, self.hashed))
    }

    /// A text that comes to exactly 100 % is hashed twice over, then three times, and so on.
    #[cold]
    fn repeated(&self, value: &str) -> Remainder {
        let once = format!("{}{value}", self.prefix);
        let mut text = once.clone();
        loop {
            text.push(',');
            text.push_str(&once);
            let found = remainder(finish(INITIAL, text.clone().into_bytes(), 0));
            if found != REJECTED {
                return found;
            }
        }
    }
}

/// The protocol's percentage of a remainder, by the same doubles in the same order.
pub fn percentage(remainder: Remainder) -> f64 {
    f64::from(remainder) / 9_998.0 * 100.0
}

/// The first remainder whose percentage is not below `bound`; 9998 when all are.
pub fn first_from(bound: f64) -> Remainder {
    first(|percentage| percentage >= bound)
}

/// The first remainder whose percentage is above `bound`; 9998 when none is, 0 when `bound` is not a
/// number.
pub fn first_above(bound: f64) -> Remainder {
    first(|percentage| bound.is_nan() || percentage > bound)
}

fn first(reached: impl Fn(f64) -> bool) -> Remainder {
    let (mut low, mut high) = (0, REJECTED);
    while low < high {
        let middle = u16::midpoint(low, high);
        if reached(percentage(middle)) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

/// The digest, read as one big-endian number, modulo 9999.
fn remainder(state: [u32; 4]) -> Remainder {
    let fold = |rest: u64, word: u32| (rest << 32 | u64::from(word.swap_bytes())) % MODULUS;
    state.into_iter().fold(0, fold) as Remainder
}

/// Pads `rest` and hashes it behind `hashed` bytes that `state` covers.
fn finish(mut state: [u32; 4], mut rest: Vec<u8>, hashed: usize) -> [u32; 4] {
    let bits = (hashed + rest.len()) as u64 * 8;
    rest.push(0x80);
    while rest.len() % BLOCK != BLOCK - 8 {
        rest.push(0);
    }
    rest.extend_from_slice(&bits.to_le_bytes());
    for block in rest.chunks_exact(BLOCK) {
        state = compress_one(state, block);
    }
    state
}

fn compress_one(state: [u32; 4], block: &[u8]) -> [u32; 4] {
    let word = |at: usize| {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(&block[4 * at..4 * at + 4]);
        [u32::from_le_bytes(bytes)]
    };
    compress::<1>(state.map(|word| [word]), &from_fn(word)).map(|[word]| word)
}

const INITIAL: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];

/// One block of MD5 (RFC 1321) for `N` texts side by side: plain array arithmetic, which the
/// compiler turns into vector instructions.
#[inline(always)]
#[expect(clippy::inline_always, reason = "both widths are called from one place in a hot loop")]
fn compress<const N: usize>(state: [[u32; N]; 4], words: &[[u32; N]; 16]) -> [[u32; N]; 4] {
    let [mut a, mut b, mut c, mut d] = state;
    macro_rules! round {
        ($mix:expr, $shifts:expr, $word:expr, $first:expr) => {
            for step in 0..16 {
                let mixed: [u32; N] = from_fn(|lane| $mix(b[lane], c[lane], d[lane]));
                let word = &words[$word(step) % 16];
                let sum: [u32; N] = from_fn(|lane| {
                    a[lane]
                        .wrapping_add(mixed[lane])
                        .wrapping_add(SINES[$first + step])
                        .wrapping_add(word[lane])
                        .rotate_left($shifts[step % 4])
                        .wrapping_add(b[lane])
                });
                (a, d, c, b) = (d, c, b, sum);
            }
        };
    }
    round!(|b: u32, c: u32, d: u32| d ^ (b & (c ^ d)), [7, 12, 17, 22], |step: usize| step, 0);
    round!(
        |b: u32, c: u32, d: u32| c ^ (d & (b ^ c)),
        [5, 9, 14, 20],
        |step: usize| 5 * step + 1,
        16
    );
    round!(|b: u32, c: u32, d: u32| b ^ c ^ d, [4, 11, 16, 23], |step: usize| 3 * step + 5, 32);
    round!(|b: u32, c: u32, d: u32| c ^ (b | !d), [6, 10, 15, 21], |step: usize| 7 * step, 48);
    let end = [a, b, c, d];
    from_fn(|word| from_fn(|lane| state[word][lane].wrapping_add(end[word][lane])))
}

/// The standard's table: the integer part of 2^32 times the sine of 1 to 64, without its sign.
#[rustfmt::skip]
const SINES: [u32; 64] = [
    0xd76a_a478, 0xe8c7_b756, 0x2420_70db, 0xc1bd_ceee, 0xf57c_0faf, 0x4787_c62a, 0xa830_4613, 0xfd46_9501,
    0x6980_98d8, 0x8b44_f7af, 0xffff_5bb1, 0x895c_d7be, 0x6b90_1122, 0xfd98_7193, 0xa679_438e, 0x49b4_0821,
    0xf61e_2562, 0xc040_b340, 0x265e_5a51, 0xe9b6_c7aa, 0xd62f_105d, 0x0244_1453, 0xd8a1_e681, 0xe7d3_fbc8,
    0x21e1_cde6, 0xc337_07d6, 0xf4d5_0d87, 0x455a_14ed, 0xa9e3_e905, 0xfcef_a3f8, 0x676f_02d9, 0x8d2a_4c8a,
    0xfffa_3942, 0x8771_f681, 0x6d9d_6122, 0xfde5_380c, 0xa4be_ea44, 0x4bde_cfa9, 0xf6bb_4b60, 0xbebf_bc70,
    0x289b_7ec6, 0xeaa1_27fa, 0xd4ef_3085, 0x0488_1d05, 0xd9d4_d039, 0xe6db_99e5, 0x1fa2_7cf8, 0xc4ac_5665,
    0xf429_2244, 0x432a_ff97, 0xab94_23a7, 0xfc93_a039, 0x655b_59c3, 0x8f0c_cc92, 0xffef_f47d, 0x8584_5dd1,
    0x6fa8_7e4f, 0xfe2c_e6e0, 0xa301_4314, 0x4e08_11a1, 0xf753_7e82, 0xbd3a_f235, 0x2ad7_d2bb, 0xeb86_d391,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(state: [u32; 4]) -> String {
        let digest = state.map(u32::swap_bytes).map(u128::from);
        format!("{:032x}", digest.iter().fold(0, |whole, word| whole << 32 | word))
    }

    #[test]
    fn the_suite_of_the_standard() {
        for (text, digest) in [
            ("", "d41d8cd98f00b204e9800998ecf8427e"),
            ("abc", "900150983cd24fb0d6963f7d28e17f72"),
            ("message digest", "f96b697d7cb7938d525a2f31aaf161d0"),
            (
                "12345678901234567890123456789012345678901234567890123456789012345678901234567890",
                "57edf4a22be3c955ac49da2e2107b67a",
            ),
        ] {
            assert_eq!(hex(finish(INITIAL, text.into(), 0)), digest);
        }
    }

    #[test]
    fn the_check_values_of_the_protocol_page() {
        for (id, value, expected, share) in [
            ("12", "93", 2765, 27.655_531_106_221_243),
            ("7", "env_alice", 3431, 34.316_863_372_674_53),
            ("1", "1", 8496, 84.976_995_399_079_81),
            ("1", "user-18120", 6736, 67.373_474_694_938_98),
        ] {
            let found = Seed::new(id).remainder(value);
            assert_eq!((found, percentage(found)), (expected, share));
            let seed = Seed::new(id);
            assert_eq!(Seed::remainders([&seed; LANES], value), [expected; LANES]);
        }
    }

    #[test]
    fn prepared_seeds_hash_like_the_whole_text() {
        for id_len in [0, 1, 36, 54, 55, 62, 63, 64, 127, 200] {
            let id = "i".repeat(id_len);
            let seed = Seed::new(&id);
            for value_len in [0, 1, 17, 18, 55, 56, 64, 119, 300] {
                let value = "v".repeat(value_len);
                let whole = remainder(finish(INITIAL, format!("{id},{value}").into(), 0));
                assert_eq!(seed.remainder(&value), whole);
                let other = Seed::new("other");
                let lanes = from_fn(|lane| if lane % 2 == 0 { &other } else { &seed });
                let side_by_side = Seed::remainders(lanes, &value);
                assert_eq!(side_by_side, lanes.map(|seed| seed.remainder(&value)));
            }
        }
    }

    #[test]
    fn bounds_part_the_remainders_where_the_protocol_does() {
        for bound in [-1.0, 0.0, 0.01, 25.0, 27.655_531_106_221_243, 33.3, 50.0, 99.99, 100.0, 1e9]
        {
            for remainder in 0..REJECTED {
                let share = percentage(remainder);
                assert_eq!(remainder < first_from(bound), share < bound);
                assert_eq!(remainder < first_above(bound), share <= bound);
            }
        }
        assert_eq!(first_above(f64::NAN), 0);
    }
}
