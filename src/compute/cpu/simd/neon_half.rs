//! NEON with half precision: eight numbers, twice as many products an instruction.

use super::half::{HalfKernel, HalfSimd};
use crate::compute::Store;
use std::arch::aarch64::*;

/// Proof that the processor computes with f16.
#[derive(Clone, Copy)]
pub(in crate::compute::cpu) struct NeonHalf(());

impl NeonHalf {
    /// Asks the processor; none before ARMv8.2, and where a core of it leaves this out.
    pub fn detect() -> Option<NeonHalf> {
        std::arch::is_aarch64_feature_detected!("fp16").then_some(NeonHalf(()))
    }
}

/// # Safety
/// The processor has the features.
#[inline(never)]
#[target_feature(enable = "neon,fp16")]
unsafe fn enter<K: HalfKernel>(s: NeonHalf, kernel: K) {
    kernel.run(s);
}

// SAFETY of all blocks: `self` exists, so the features are there; pointers are as the trait's contract says.
#[allow(clippy::undocumented_unsafe_blocks)]
#[allow(inline_always_mismatching_target_features, reason = "all of it is inlined into `enter`, which has the features")]
impl HalfSimd for NeonHalf {
    type H = float16x8_t;

    #[inline(always)]
    fn zero(self) -> float16x8_t {
        unsafe { vreinterpretq_f16_u16(vdupq_n_u16(0)) }
    }
    #[inline(always)]
    fn fma_lane<const LANE: i32>(self, a: float16x8_t, b: float16x8_t, c: float16x8_t) -> float16x8_t {
        unsafe { vfmaq_laneq_f16::<LANE>(c, b, a) }
    }
    #[inline]
    fn enter<K: HalfKernel>(self, kernel: K) {
        unsafe { enter(self, kernel) }
    }
    #[inline(always)]
    unsafe fn load(self, from: *const u16) -> float16x8_t {
        unsafe { vreinterpretq_f16_u16(vld1q_u16(from)) }
    }
    #[inline(always)]
    unsafe fn widen(self, h: float16x8_t, scale: f32, to: *mut f32, n: usize, store: Store) {
        unsafe {
            let meet = |wide: float32x4_t, to: *mut f32| {
                let had = if store == Store::Add { vld1q_f32(to) } else { vdupq_n_f32(0.0) };
                vst1q_f32(to, vfmaq_n_f32(had, wide, scale));
            };
            meet(vcvt_f32_f16(vget_low_f16(h)), to);
            if n > 4 {
                meet(vcvt_high_f32_f16(h), to.add(4));
            }
        }
    }
}
