//! Where the vectors of a result go.

use super::CpuBuf;
use super::simd::Simd;
use crate::compute::Store;

/// What a result is added to.
#[derive(Clone, Copy)]
pub(super) enum Base<'a> {
    Zero,
    /// What the output holds.
    Own,
    /// Another tensor of its shape.
    Of(&'a [f32]),
}

impl From<Store> for Base<'_> {
    fn from(store: Store) -> Self {
        match store {
            Store::Write => Base::Zero,
            Store::Add => Base::Own,
        }
    }
}

impl<'a> From<crate::compute::Base<'a, CpuBuf>> for Base<'a> {
    fn from(base: crate::compute::Base<'a, CpuBuf>) -> Self {
        match base {
            crate::compute::Base::Zero => Base::Zero,
            crate::compute::Base::Own => Base::Own,
            crate::compute::Base::Of(buf) => Base::Of(buf),
        }
    }
}

impl Base<'_> {
    /// How products meet an output that [`Base::lay`] has prepared.
    pub fn store(self) -> Store {
        match self {
            Base::Zero => Store::Write,
            Base::Own | Base::Of(_) => Store::Add,
        }
    }

    /// Copies the other tensor's elements from `at` on to the output, so that sums may be added there.
    pub fn lay(self, at: usize, y: &mut [f32]) {
        if let Base::Of(base) = self {
            y.copy_from_slice(&base[at..at + y.len()]);
        }
    }

    /// The sum of a vector's `n` numbers and what they are added to, for element `at` of the output `y`.
    /// # Safety
    /// `n` numbers can be read at `y + at` and at `at` of the other tensor.
    #[inline(always)]
    pub unsafe fn meet<S: Simd>(self, s: S, v: S::V, n: usize, y: *const f32, at: usize) -> S::V {
        // SAFETY: the caller's promise.
        unsafe {
            match self {
                Base::Zero => v,
                Base::Own => s.add(v, s.load_n(y.add(at), n)),
                Base::Of(base) => s.add(v, s.load_n(base.as_ptr().add(at), n)),
            }
        }
    }
}
