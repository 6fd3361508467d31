//! Seeded random numbers. Same seed and stream, same numbers, on every machine and in every release.

use rand::SeedableRng;

/// xoshiro256++ (Blackman and Vigna 2018).
pub type Rng = rand_xoshiro::Xoshiro256PlusPlus;

/// An independent generator for `stream` under `seed`, so that work split in any way draws the same numbers.
pub fn rng(seed: u64, stream: u64) -> Rng {
    Rng::seed_from_u64(mix(seed ^ mix(stream)))
}

/// The finaliser of SplitMix64 (Steele 2014): a bijection that scatters neighbouring inputs.
pub const fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// A number in `0..n` from 64 random bits, by multiplication (Lemire 2019); its bias is below n / 2^64.
pub fn below(bits: u64, n: usize) -> usize {
    ((u128::from(bits) * n as u128) >> 64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng as _;

    #[test]
    fn streams_are_fixed_for_ever() {
        let mut r = rng(1, 2);
        let first: Vec<u64> = (0..2).map(|_| r.next_u64()).collect();
        assert_eq!(first, [8918059989756766578, 11471635923080439388]);
    }
}
