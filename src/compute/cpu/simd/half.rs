//! Half precision: vectors of eight f16, which lie in memory as `u16`. Only products are made of them; everything else reads
//! and writes f32.
//!
//! A core has this arithmetic from ARMv8.2 on where it says so (Carmel, Cortex-A78AE; not Cortex-A57). The plain one rounds as
//! a core does, number by number, and serves tests on any processor.

use super::portable::Portable;
use crate::compute::Store;

/// Numbers of a vector.
pub(in crate::compute::cpu) const HALF_WIDTH: usize = 8;
/// Largest finite number.
const MAX: f32 = 65504.0;

/// What a product may do with vectors of f16.
pub(in crate::compute::cpu) trait HalfSimd: Copy + Send + Sync {
    /// A vector.
    type H: Copy;

    /// Zeros.
    fn zero(self) -> Self::H;
    /// `a[LANE] * b + c`, rounded once.
    fn fma_lane<const LANE: i32>(self, a: Self::H, b: Self::H, c: Self::H) -> Self::H;

    /// Runs a kernel in a function of its own that is compiled for this arithmetic.
    fn enter<K: HalfKernel>(self, kernel: K);

    /// # Safety
    /// Eight numbers can be read at `from`.
    unsafe fn load(self, from: *const u16) -> Self::H;
    /// `to (+)= scale * h` in f32, for the first `n` numbers, 4 or 8.
    /// # Safety
    /// `n` numbers can be read and written at `to`.
    unsafe fn widen(self, h: Self::H, scale: f32, to: *mut f32, n: usize, store: Store);
}

/// Work with vectors of f16.
pub(in crate::compute::cpu) trait HalfKernel {
    /// Mark it `#[inline(always)]`, and all that it calls.
    fn run<H: HalfSimd>(self, s: H);
}

/// The arithmetic at hand.
#[derive(Clone, Copy)]
pub(in crate::compute::cpu) enum Half {
    #[cfg(target_arch = "aarch64")]
    Neon(super::neon_half::NeonHalf),
    /// By plain numbers.
    Plain(Portable),
}

impl Half {
    /// The processor's; none where it has none.
    pub fn detect() -> Option<Half> {
        #[cfg(target_arch = "aarch64")]
        return super::neon_half::NeonHalf::detect().map(Half::Neon);
        #[cfg(not(target_arch = "aarch64"))]
        None
    }

    /// The one that any processor has.
    pub fn plain() -> Half {
        Half::Plain(Portable)
    }

    /// Runs a kernel with it.
    #[inline]
    pub fn run<K: HalfKernel>(self, kernel: K) {
        match self {
            #[cfg(target_arch = "aarch64")]
            Half::Neon(s) => s.enter(kernel),
            Half::Plain(s) => s.enter(kernel),
        }
    }
}

/// The nearest f16, ties to even.
#[inline(always)]
fn round(x: f64) -> f64 {
    const EXPONENT: u64 = 0x7ff << 52;
    // 2^-14: below, numbers of f16 keep the distance that they have there
    const SMALLEST: u64 = (1023 - 14) << 52;
    let power = f64::from_bits((x.to_bits() & EXPONENT).max(SMALLEST));
    // numbers near this lie as far apart in f64 as those near x in f16: 52 bits there, 10 here
    let coarse = power * (1.5 * (1u64 << 42) as f64);
    let rounded = (x + coarse) - coarse;
    // half a step beyond the largest, all is infinite; so is what was, and no number stays none
    if x.abs() < 65520.0 { rounded } else { x * f64::INFINITY }
}

/// The nearest f16 as it lies in memory.
pub(in crate::compute::cpu) fn narrow(x: f32) -> u16 {
    let rounded = round(f64::from(x)) as f32;
    let sign = (x.to_bits() >> 16) as u16 & 0x8000;
    let size = rounded.abs();
    sign | if size.is_nan() {
        0x7e00
    } else if size > MAX {
        0x7c00
    } else if size < 1.0 / 16384.0 {
        // steps of 2^-24
        (size * (1u32 << 24) as f32) as u16
    } else {
        // the exponent's bias is 112 less, the fraction 13 bits shorter
        ((size.to_bits() >> 13) - (112 << 10)) as u16
    }
}

/// An f16 from memory.
#[inline(always)]
pub(in crate::compute::cpu) fn widened(bits: u16) -> f32 {
    let (exponent, fraction) = (u32::from(bits >> 10) & 31, u32::from(bits) & 0x3ff);
    let size = match exponent {
        0 => fraction as f32 / (1u32 << 24) as f32,
        31 => f32::from_bits(0x7f80_0000 | fraction << 13),
        _ => f32::from_bits((exponent + 112) << 23 | fraction << 13),
    };
    if bits >> 15 == 1 { -size } else { size }
}

// SAFETY of all blocks: pointers are as the trait's contract says.
#[allow(clippy::undocumented_unsafe_blocks)]
impl HalfSimd for Portable {
    type H = [f32; HALF_WIDTH];

    #[inline(always)]
    fn zero(self) -> Self::H {
        [0.0; HALF_WIDTH]
    }
    #[inline(always)]
    fn fma_lane<const LANE: i32>(self, a: Self::H, b: Self::H, c: Self::H) -> Self::H {
        // A product of two f16 is exact in f64. Where the sum is not, the smaller of the two lies so far below the larger that
        // it does not matter to the result: the larger is a product beyond the largest f16, or an f16 itself.
        let a = f64::from(a[LANE as usize]);
        std::array::from_fn(|i| round(a * f64::from(b[i]) + f64::from(c[i])) as f32)
    }
    #[inline(never)]
    fn enter<K: HalfKernel>(self, kernel: K) {
        kernel.run(self);
    }
    #[inline(always)]
    unsafe fn load(self, from: *const u16) -> Self::H {
        std::array::from_fn(|i| widened(unsafe { from.add(i).read() }))
    }
    #[inline(always)]
    unsafe fn widen(self, h: Self::H, scale: f32, to: *mut f32, n: usize, store: Store) {
        for (i, h) in h.into_iter().enumerate().take(n) {
            unsafe {
                let to = to.add(i);
                let had = if store == Store::Add { to.read() } else { 0.0 };
                to.write(had + scale * h);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_f16_survives_and_what_lies_between_goes_to_the_nearest() {
        for bits in 0..=u16::MAX {
            let x = widened(bits);
            assert!(x.is_nan() && narrow(x) & 0x7fff > 0x7c00 || narrow(x) == bits, "{bits:#x} {x}");
        }
        // ties go to the even neighbour, all else to the nearer one
        for bits in (0..0x7bff).chain(0x8000..0xfbff) {
            let (low, high) = (widened(bits), widened(bits + 1));
            let middle = (low + high) / 2.0;
            let even = if bits % 2 == 0 { bits } else { bits + 1 };
            assert_eq!(narrow(middle), even, "{middle}");
            let nearer = |to: f32| middle + (to - middle) / 512.0;
            assert_eq!((narrow(nearer(low)), narrow(nearer(high))), (bits, bits + 1), "{middle}");
        }
        assert_eq!((narrow(65519.9), narrow(65520.0), narrow(-1e30)), (0x7bff, 0x7c00, 0xfc00));
        assert_eq!((narrow(2.9e-8), narrow(3.1e-8), narrow(-0.0)), (0, 1, 0x8000));
    }

    /// Vectors of everything that f16 has: ordinary numbers, tiny and huge ones.
    struct Everything<'a> {
        x: &'a [u16],
        to: &'a mut [f32],
    }

    impl HalfKernel for Everything<'_> {
        #[inline(always)]
        fn run<H: HalfSimd>(self, s: H) {
            for (x, to) in self.x.chunks_exact(24).zip(self.to.chunks_exact_mut(28)) {
                // SAFETY: three vectors are in x; room for three vectors and half of one is in to.
                unsafe {
                    let [a, b, c] = [0, 8, 16].map(|at| s.load(x[at..].as_ptr()));
                    s.widen(s.fma_lane::<0>(a, b, c), 1.0, to.as_mut_ptr(), 8, Store::Write);
                    s.widen(s.fma_lane::<5>(a, b, c), 0.25, to[8..].as_mut_ptr(), 8, Store::Write);
                    s.widen(s.fma_lane::<7>(b, c, s.zero()), 2.0, to[16..].as_mut_ptr(), 8, Store::Write);
                    s.widen(a, 4.0, to[16..].as_mut_ptr(), 8, Store::Add);
                    s.widen(c, 1.0, to[24..].as_mut_ptr(), 4, Store::Write);
                }
            }
        }
    }

    #[test]
    fn the_core_rounds_as_plain_numbers_do() {
        // every bit pattern, each beside others of near and of far exponents; not the infinite ones and those that are no number
        let finite = |i: u32| (i.wrapping_mul(40503) >> 3) as u16 & 0xfbff;
        let near = |i: u32| 0x3000 | (i.wrapping_mul(2_654_435_761) >> 16) as u16 & 0x8fff;
        let x: Vec<u16> = (0..24 * 8000).map(|i| if i / 24 % 2 == 0 { near(i) } else { finite(i) }).collect();
        let run = |half: Half| {
            let mut to = vec![7.0f32; x.len() / 24 * 28];
            half.run(Everything { x: &x, to: &mut to });
            to
        };
        let plain = run(Half::plain());
        let by_hand = |i: usize| {
            let at = |k: usize| f64::from(widened(x[i / 28 * 24 + k]));
            round(at(0) * at(8 + i % 28) + at(16 + i % 28)) as f32
        };
        assert!((0..plain.len()).step_by(28).all(|i| plain[i].to_bits() == by_hand(i).to_bits()));
        let Some(half) = Half::detect() else {
            println!("skipped: half precision of the processor, it has none");
            return;
        };
        for (i, (got, expected)) in run(half).iter().zip(&plain).enumerate() {
            assert!(got.to_bits() == expected.to_bits() || got.is_nan() && expected.is_nan(), "{i}: {got} {expected}");
        }
    }
}
