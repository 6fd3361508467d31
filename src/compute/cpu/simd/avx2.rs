//! AVX2 with FMA: eight numbers, 16 registers.

use super::{Kernel, Simd};
use std::arch::x86_64::*;

/// Proof that the processor has AVX2 and FMA.
#[derive(Clone, Copy)]
pub(in crate::compute::cpu) struct Avx2(());

impl Avx2 {
    /// Asks the processor; none without AVX2 and FMA.
    pub fn detect() -> Option<Avx2> {
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(Avx2(()))
    }
}

/// # Safety
/// The processor has the features.
#[inline(never)]
#[target_feature(enable = "avx2,fma")]
unsafe fn enter<K: Kernel>(s: Avx2, kernel: K) {
    kernel.run(s);
}

/// All bits of the first `n` numbers.
#[inline(always)]
fn first(n: usize) -> __m256i {
    const BITS: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
    let from = BITS[8 - n.min(8)..][..8].as_ptr();
    // SAFETY: the slice above is eight numbers; AVX is there as only methods of Avx2 call this.
    unsafe { _mm256_loadu_si256(from.cast()) }
}

// SAFETY of all blocks: `self` exists, so the features are there; pointers are as the trait's contract says.
#[allow(clippy::undocumented_unsafe_blocks)]
impl Simd for Avx2 {
    type V = __m256;
    const WIDTH: usize = 8;
    const ROWS: [usize; 4] = [8, 6, 4, 0];

    #[inline]
    fn enter<K: Kernel>(self, kernel: K) {
        unsafe { enter(self, kernel) }
    }
    #[inline(always)]
    fn splat(self, x: f32) -> __m256 {
        unsafe { _mm256_set1_ps(x) }
    }
    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_add_ps(a, b) }
    }
    #[inline(always)]
    fn sub(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_sub_ps(a, b) }
    }
    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_mul_ps(a, b) }
    }
    #[inline(always)]
    fn fma(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    fn fnma(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        unsafe { _mm256_fnmadd_ps(a, b, c) }
    }
    #[inline(always)]
    fn max(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_max_ps(a, b) }
    }
    #[inline(always)]
    fn where_positive(self, test: __m256, x: __m256) -> __m256 {
        unsafe { _mm256_and_ps(_mm256_cmp_ps::<_CMP_GT_OQ>(test, _mm256_setzero_ps()), x) }
    }
    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m256 {
        unsafe { _mm256_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32, v: __m256) {
        unsafe { _mm256_storeu_ps(to, v) }
    }
    #[inline(always)]
    unsafe fn load_first(self, from: *const f32, n: usize) -> __m256 {
        unsafe { _mm256_maskload_ps(from, first(n)) }
    }
    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, n: usize, v: __m256) {
        unsafe { _mm256_maskstore_ps(to, first(n), v) }
    }
}
