//! NEON: four numbers, 32 registers.

use super::{Kernel, Simd};
use std::arch::aarch64::*;

/// Proof that the processor has NEON.
#[derive(Clone, Copy)]
pub(in crate::compute::cpu) struct Neon(());

impl Neon {
    /// Asks the processor; none without NEON.
    pub fn detect() -> Option<Neon> {
        std::arch::is_aarch64_feature_detected!("neon").then_some(Neon(()))
    }
}

/// # Safety
/// The processor has the feature.
#[inline(never)]
#[target_feature(enable = "neon")]
unsafe fn enter<K: Kernel>(s: Neon, kernel: K) {
    kernel.run(s);
}

// SAFETY of all blocks: `self` exists, so the feature is there; pointers are as the trait's contract says.
#[allow(clippy::undocumented_unsafe_blocks)]
impl Simd for Neon {
    type V = float32x4_t;
    const WIDTH: usize = 4;
    const ROWS: [usize; 4] = [8, 8, 8, 6];

    #[inline]
    fn enter<K: Kernel>(self, kernel: K) {
        unsafe { enter(self, kernel) }
    }
    #[inline(always)]
    fn splat(self, x: f32) -> float32x4_t {
        unsafe { vdupq_n_f32(x) }
    }
    #[inline(always)]
    fn add(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vaddq_f32(a, b) }
    }
    #[inline(always)]
    fn sub(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vsubq_f32(a, b) }
    }
    #[inline(always)]
    fn mul(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vmulq_f32(a, b) }
    }
    #[inline(always)]
    fn fma(self, a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        unsafe { vfmaq_f32(c, a, b) }
    }
    #[inline(always)]
    fn fnma(self, a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        unsafe { vfmsq_f32(c, a, b) }
    }
    #[inline(always)]
    fn max(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vmaxq_f32(a, b) }
    }
    #[inline(always)]
    fn where_positive(self, test: float32x4_t, x: float32x4_t) -> float32x4_t {
        unsafe { vreinterpretq_f32_u32(vandq_u32(vcgtzq_f32(test), vreinterpretq_u32_f32(x))) }
    }
    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> float32x4_t {
        unsafe { vld1q_f32(from) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32, v: float32x4_t) {
        unsafe { vst1q_f32(to, v) }
    }
    #[inline(always)]
    unsafe fn store_half(self, to: *mut u16, v: float32x4_t) {
        unsafe { vst1_u16(to, vreinterpret_u16_f16(vcvt_f16_f32(v))) }
    }
    #[inline(always)]
    unsafe fn load_first(self, from: *const f32, n: usize) -> float32x4_t {
        let mut all = [0.0f32; 4];
        for (i, to) in all.iter_mut().enumerate().take(n) {
            *to = unsafe { *from.add(i) };
        }
        unsafe { vld1q_f32(all.as_ptr()) }
    }
    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, n: usize, v: float32x4_t) {
        let mut all = [0.0f32; 4];
        unsafe { vst1q_f32(all.as_mut_ptr(), v) };
        for (i, x) in all.iter().enumerate().take(n) {
            unsafe { *to.add(i) = *x };
        }
    }
}
