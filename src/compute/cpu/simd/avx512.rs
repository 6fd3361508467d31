//! AVX-512: sixteen numbers, 32 registers.

use super::{Kernel, Simd};
use std::arch::x86_64::*;

/// Proof that the processor has AVX-512 F.
#[derive(Clone, Copy)]
pub(in crate::compute::cpu) struct Avx512(());

impl Avx512 {
    /// Asks the processor; none without AVX-512.
    pub fn detect() -> Option<Avx512> {
        (is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl") && is_x86_feature_detected!("fma"))
            .then_some(Avx512(()))
    }
}

/// # Safety
/// The processor has the features.
#[inline(never)]
#[target_feature(enable = "avx512f,avx512vl,avx2,fma")]
unsafe fn enter<K: Kernel>(s: Avx512, kernel: K) {
    kernel.run(s);
}

/// A mask of the first `n` numbers.
#[inline(always)]
fn first(n: usize) -> __mmask16 {
    ((1u32 << n) - 1) as __mmask16
}

// SAFETY of all blocks: `self` exists, so the features are there; pointers are as the trait's contract says.
#[allow(clippy::undocumented_unsafe_blocks)]
impl Simd for Avx512 {
    type V = __m512;
    const WIDTH: usize = 16;
    const ROWS: [usize; 4] = [8, 12, 8, 6];

    #[inline]
    fn enter<K: Kernel>(self, kernel: K) {
        unsafe { enter(self, kernel) }
    }
    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        unsafe { _mm512_set1_ps(x) }
    }
    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_add_ps(a, b) }
    }
    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_sub_ps(a, b) }
    }
    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_mul_ps(a, b) }
    }
    #[inline(always)]
    fn fma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    fn fnma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        unsafe { _mm512_fnmadd_ps(a, b, c) }
    }
    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_max_ps(a, b) }
    }
    #[inline(always)]
    fn where_positive(self, test: __m512, x: __m512) -> __m512 {
        unsafe { _mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(test, _mm512_setzero_ps()), x) }
    }
    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m512 {
        unsafe { _mm512_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32, v: __m512) {
        unsafe { _mm512_storeu_ps(to, v) }
    }
    #[inline(always)]
    unsafe fn load_first(self, from: *const f32, n: usize) -> __m512 {
        unsafe { _mm512_maskz_loadu_ps(first(n), from) }
    }
    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, n: usize, v: __m512) {
        unsafe { _mm512_mask_storeu_ps(to, first(n), v) }
    }
}
