//! Percentages of identities (flagsmith.md section 11).
//!
//! The MD5 of a few ids, joined by commas, is taken modulo 9999, and that remainder is scaled to
//! 0..100 with doubles. The scale only ever grows, so percentages of rules are turned into
//! remainders when they are compiled and a request compares integers. MD5 is asked for by the
//! protocol; it is no protection here.

use std::array::from_fn;
use std::num::Wrapping;
use std::ops::{Add, BitAnd, BitOr, BitXor, Not};

use fearless_simd::{Level, Simd, dispatch, prelude::*, u32x8, u32x16};

/// What is hashed before a value: its MD5 state as far as it is known.
#[derive(Clone, Debug)]
pub struct Seed {
    /// The id and its comma.
    prefix: Box<str>,
    /// State after all whole blocks of the prefix.
    state: [u32; 4],
    /// Length of the prefix that `state` covers.
    hashed: usize,
    /// The rest of the prefix, zeros behind it.
    tail: [u8; BLOCK],
}

/// A remainder: 0..=9997, in proportion to the percentage.
pub type Remainder = u16;

const BLOCK: usize = 64;
/// What a text's last block holds beside it: a mark and the length.
const PADDING: usize = 9;
/// Longest end of a text that takes a single block more, and two blocks.
const SINGLE: usize = BLOCK - PADDING;
const DOUBLE: usize = 2 * BLOCK - PADDING;
const MODULUS: u64 = 9_999;
/// The remainder that would be 100 %: hashed again.
const REJECTED: Remainder = 9_998;

/// How many texts are hashed at once, at most.
pub const LANES: usize = 16;
/// The narrower width, for the rest of a list.
const FEW: usize = 8;

impl Seed {
    /// Hashes as much of `id` and its comma as can be hashed before the value is known.
    pub fn new(id: &str) -> Self {
        let prefix = format!("{id},");
        let hashed = prefix.len() / BLOCK * BLOCK;
        let (blocks, rest) = prefix.as_bytes().as_chunks();
        let state = blocks.iter().fold(INITIAL, compress_one);
        let mut tail = [0; BLOCK];
        tail[..rest.len()].copy_from_slice(rest);
        Self { prefix: prefix.into(), state, hashed, tail }
    }

    /// Where `value` falls.
    pub fn remainder(&self, value: &str) -> Remainder {
        if self.rest_len() + value.len() > SINGLE {
            return self.long(value);
        }
        let mut block = [0; BLOCK];
        self.write_single(value, &mut block);
        self.accepted(remainder(compress_one(self.state, &block)), value)
    }

    /// Where `value` falls for each of several seeds, [`LANES`] at most: the hashes are computed
    /// side by side. What comes behind the last seed's remainder means nothing.
    pub fn remainders(seeds: &[&Self], value: &str) -> [Remainder; LANES] {
        let seeds = &seeds[..seeds.len().min(LANES)];
        let mut found = [0; LANES];
        let longest = seeds.iter().map(|seed| seed.rest_len()).max().unwrap_or(0) + value.len();
        if seeds.len() < 2 || longest > DOUBLE {
            seeds.iter().zip(&mut found).for_each(|(seed, found)| *found = seed.remainder(value));
            return found;
        }
        let level = Level::new();
        let two_blocks = longest > SINGLE;
        if seeds.len() > FEW {
            dispatch!(level, simd => side_by_side::<_, u32x16<_>, LANES>(
                simd, seeds, value, two_blocks, &mut found
            ));
        } else {
            dispatch!(level, simd => side_by_side::<_, u32x8<_>, FEW>(
                simd, seeds, value, two_blocks, &mut found
            ));
        }
        for (seed, found) in seeds.iter().zip(&mut found) {
            *found = seed.accepted(*found, value);
        }
        found
    }

    /// Length of the prefix that `state` does not cover.
    fn rest_len(&self) -> usize {
        self.prefix.len() - self.hashed
    }

    /// The only block behind `state`.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "of the loop that it is in")]
    fn write_single(&self, value: &str, block: &mut [u8; BLOCK]) {
        let len = self.rest_len() + value.len();
        *block = self.tail;
        block[self.rest_len()..len].copy_from_slice(value.as_bytes());
        block[len] = MARK;
        block[BLOCK - 8..].copy_from_slice(&self.bits(len));
    }

    /// Both blocks behind `state`, or the only one and one that means nothing. Says whether there
    /// are two.
    fn write_double(&self, value: &str, blocks: &mut [[u8; BLOCK]; 2]) -> bool {
        let len = self.rest_len() + value.len();
        *blocks = [self.tail, [0; BLOCK]];
        let bytes = blocks.as_flattened_mut();
        bytes[self.rest_len()..len].copy_from_slice(value.as_bytes());
        bytes[len] = MARK;
        let is_double = len > SINGLE;
        let end = if is_double { 2 * BLOCK } else { BLOCK };
        bytes[end - 8..end].copy_from_slice(&self.bits(len));
        is_double
    }

    /// The length in bits of the prefix and so much more, as the last block ends.
    #[inline]
    fn bits(&self, len: usize) -> [u8; 8] {
        ((self.hashed + len) as u64 * 8).to_le_bytes()
    }

    #[cold]
    fn long(&self, value: &str) -> Remainder {
        let mut rest = self.prefix.as_bytes()[self.hashed..].to_vec();
        rest.extend_from_slice(value.as_bytes());
        self.accepted(remainder(finish(self.state, rest, self.hashed)), value)
    }

    /// The remainder, unless it is the one that is hashed again.
    #[inline]
    fn accepted(&self, remainder: Remainder, value: &str) -> Remainder {
        if remainder == REJECTED { self.repeated(value) } else { remainder }
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

/// The first byte behind a hashed text.
const MARK: u8 = 0x80;

/// Hashes `N` texts at once, one in each lane of the processor's vectors.
#[inline(always)]
#[expect(clippy::inline_always, reason = "else it is not compiled for the processor's vectors")]
fn side_by_side<S: Simd, W: Vector<S>, const N: usize>(
    simd: S,
    seeds: &[&Seed],
    value: &str,
    two_blocks: bool,
    found: &mut [Remainder; LANES],
) {
    let mut words = [[[0; N]; BLOCK / 4]; 2];
    let mut state = [[0; N]; 4];
    // Which lanes are finished with their first block.
    let mut single = [true; N];
    let mut blocks = [[0; BLOCK]; 2];
    for (lane, seed) in seeds.iter().take(N).enumerate() {
        if two_blocks {
            single[lane] = !seed.write_double(value, &mut blocks);
            spread(&blocks[1], lane, &mut words[1]);
        } else {
            seed.write_single(value, &mut blocks[0]);
        }
        spread(&blocks[0], lane, &mut words[0]);
        state.iter_mut().zip(seed.state).for_each(|(lanes, word)| lanes[lane] = word);
    }
    let load = |lanes: &[u32; N]| W::from_slice(simd, lanes);
    let mut end = compress(from_fn(|at| load(&state[at])), &from_fn(|at| load(&words[0][at])));
    let mut ends = [[[0; N]; 4]; 2];
    (0..4).for_each(|at| end[at].store_slice(&mut ends[0][at]));
    if two_blocks {
        end = compress(end, &from_fn(|at| load(&words[1][at])));
        (0..4).for_each(|at| end[at].store_slice(&mut ends[1][at]));
    }
    for lane in 0..seeds.len().min(N) {
        let ends = &ends[usize::from(!single[lane])];
        found[lane] = remainder(from_fn(|at| ends[at][lane]));
    }
}

/// Puts the words of a block into one lane.
#[inline(always)]
#[expect(clippy::inline_always, reason = "of the loop that it is in")]
fn spread<const N: usize>(block: &[u8; BLOCK], lane: usize, words: &mut [[u32; N]; BLOCK / 4]) {
    for (word, bytes) in words.iter_mut().zip(block.as_chunks().0) {
        word[lane] = u32::from_le_bytes(*bytes);
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
#[inline]
fn remainder(state: [u32; 4]) -> Remainder {
    // What a word is worth in its place. All four together stay below 2^48.
    const WORTH: [u64; 3] = {
        let word = (1 << 32) % MODULUS;
        [word * word % MODULUS * word % MODULUS, word * word % MODULUS, word]
    };
    let [first, second, third, fourth] = state.map(|word| u64::from(word.swap_bytes()));
    let sum = first * WORTH[0] + second * WORTH[1] + third * WORTH[2] + fourth;
    (sum % MODULUS) as Remainder
}

/// Pads `rest` and hashes it behind `hashed` bytes that `state` covers.
fn finish(mut state: [u32; 4], mut rest: Vec<u8>, hashed: usize) -> [u32; 4] {
    let bits = (hashed + rest.len()) as u64 * 8;
    rest.push(MARK);
    while rest.len() % BLOCK != BLOCK - 8 {
        rest.push(0);
    }
    rest.extend_from_slice(&bits.to_le_bytes());
    for block in rest.as_chunks().0 {
        state = compress_one(state, block);
    }
    state
}

fn compress_one(state: [u32; 4], block: &[u8; BLOCK]) -> [u32; 4] {
    let (words, _) = block.as_chunks();
    let words = from_fn(|at| Wrapping(u32::from_le_bytes(words[at])));
    compress(state.map(Wrapping), &words).map(|Wrapping(word)| word)
}

const INITIAL: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];

/// A word of MD5, or one of each of several texts that are hashed side by side.
trait Word:
    Copy
    + Add<Output = Self>
    + BitAnd<Output = Self>
    + BitOr<Output = Self>
    + BitXor<Output = Self>
    + Not<Output = Self>
{
    /// With `value` added in each lane.
    fn plus(self, value: u32) -> Self;
    /// Each lane rotated to the left.
    fn rotated(self, bits: u32) -> Self;
}

/// Words that lie in one vector of the processor, or in a few.
trait Vector<S: Simd>: Word + SimdInt<S, Element = u32> {}

impl<S: Simd> Vector<S> for u32x8<S> {}
impl<S: Simd> Vector<S> for u32x16<S> {}

macro_rules! word {
    ($vector:ident) => {
        // Each is one instruction, or two.
        impl<S: Simd> Word for $vector<S> {
            #[inline(always)]
            fn plus(self, value: u32) -> Self {
                self + value
            }

            #[inline(always)]
            fn rotated(self, bits: u32) -> Self {
                self << bits | self >> (u32::BITS - bits)
            }
        }
    };
}

word!(u32x8);
word!(u32x16);

impl Word for Wrapping<u32> {
    fn plus(self, value: u32) -> Self {
        Self(self.0.wrapping_add(value))
    }

    fn rotated(self, bits: u32) -> Self {
        Self(self.0.rotate_left(bits))
    }
}

/// One block of MD5 (RFC 1321).
#[inline(always)]
#[expect(clippy::inline_always, reason = "else it is not compiled for the processor's vectors")]
fn compress<W: Word>(state: [W; 4], words: &[W; 16]) -> [W; 4] {
    let [mut a, mut b, mut c, mut d] = state;
    macro_rules! round {
        ($mix:expr, [$($shift:literal)*], $word:expr, $first:expr) => {
            let mut step = 0;
            while step < 16 {
                $(
                    // What does not depend on the step before is added up by itself.
                    let known = a + words[$word(step) % 16].plus(SINES[$first + step]);
                    let next = (known + $mix(b, c, d)).rotated($shift) + b;
                    (a, d, c, b) = (d, c, b, next);
                    step += 1;
                )*
            }
        };
    }
    round!(|b: W, c: W, d: W| d ^ (b & (c ^ d)), [7 12 17 22], |step: usize| step, 0);
    round!(|b: W, c: W, d: W| c ^ (d & (b ^ c)), [5 9 14 20], |step: usize| 5 * step + 1, 16);
    round!(|b: W, c: W, d: W| b ^ c ^ d, [4 11 16 23], |step: usize| 3 * step + 5, 32);
    round!(|b: W, c: W, d: W| c ^ (b | !d), [6 10 15 21], |step: usize| 7 * step, 48);
    let end = [a, b, c, d];
    from_fn(|word| state[word] + end[word])
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
            assert_eq!(Seed::remainders(&[&seed; LANES], value), [expected; LANES]);
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
                for count in 0..=LANES {
                    let seeds: Vec<&Seed> =
                        (0..count).map(|at| if at % 3 == 0 { &other } else { &seed }).collect();
                    let side_by_side = Seed::remainders(&seeds, &value);
                    let one_by_one: Vec<_> =
                        seeds.iter().map(|seed| seed.remainder(&value)).collect();
                    assert_eq!(side_by_side[..count], one_by_one);
                }
            }
        }
    }

    #[test]
    fn every_width_of_vectors_hashes_alike() {
        let ids: Vec<Seed> = (0..LANES).map(|at| Seed::new(&"9".repeat(4 * at))).collect();
        let seeds: Vec<&Seed> = ids.iter().collect();
        for value_len in [0, 17, 40, 55, 59, 70] {
            let value = "v".repeat(value_len);
            let expected: Vec<_> = seeds.iter().map(|seed| seed.remainder(&value)).collect();
            let longest = seeds.iter().map(|seed| seed.rest_len()).max().unwrap() + value_len;
            if longest > DOUBLE {
                continue;
            }
            let level = Level::baseline();
            let mut found = [0; LANES];
            dispatch!(level, simd => side_by_side::<_, u32x16<_>, LANES>(
                simd, &seeds, &value, true, &mut found
            ));
            assert_eq!(found[..], expected);
            dispatch!(level, simd => side_by_side::<_, u32x8<_>, FEW>(
                simd, &seeds, &value, true, &mut found
            ));
            assert_eq!(found[..FEW], expected[..FEW]);
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
