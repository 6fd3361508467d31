//! Where the vectors of a result go.

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

    /// Stores `n` numbers of a vector at element `at` of the output `y`.
    /// # Safety
    /// `n` numbers can be read and written at `y + at`, and read at `at` of the other tensor.
    #[inline(always)]
    pub unsafe fn put<S: Simd>(self, s: S, v: S::V, n: usize, y: *mut f32, at: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            let to = y.add(at);
            let from = match self {
                Base::Zero => to.cast_const(),
                Base::Own => to.cast_const(),
                Base::Of(base) => base.as_ptr().add(at),
            };
            let zero = matches!(self, Base::Zero);
            if n == S::WIDTH {
                s.store(to, if zero { v } else { s.add(v, s.load(from)) });
            } else {
                s.store_first(to, n, if zero { v } else { s.add(v, s.load_first(from, n)) });
            }
        }
    }
}
