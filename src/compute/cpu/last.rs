//! What happens to the vectors of a convolution's result before they are stored, while they are in registers: the sums that a
//! norm needs of them, or the way back through norm and activation. A sum never leaves its image, so it does not depend on
//! how the images were shared out.

use super::RawMut;
use super::activation::Function;
use super::simd::Simd;
use crate::compute::Activation;
use std::marker::PhantomData;

/// What is done.
#[derive(Clone, Copy)]
pub(super) enum Last<'a> {
    Nothing,
    Moments(Moments<'a>),
    Back(Back<'a>),
}

/// Some channels of a cell.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// Of the batch.
    pub cell: usize,
    /// The first.
    pub channel: usize,
    /// How many: at most a vector.
    pub n: usize,
}

/// One of the [`Last`] steps, for some channels of an image.
pub(super) trait Finish: Copy {
    /// What is held for a vector of channels.
    type Sums<S: Simd>: Copy;
    /// # Safety
    /// The place's channels are within the tensors.
    unsafe fn begin<S: Simd>(self, s: S, place: Place) -> Self::Sums<S>;
    /// What is to be stored for a result `v`.
    /// # Safety
    /// The place is within the tensors.
    unsafe fn cell<S: Simd>(self, s: S, sums: &mut Self::Sums<S>, place: Place, v: S::V) -> S::V;
    /// Writes the sums of an image.
    /// # Safety
    /// Image and channels are within the tensors; nobody else has both.
    unsafe fn end<S: Simd>(self, s: S, sums: Self::Sums<S>, image: usize, place: Place);
}

/// Nothing is done.
#[derive(Clone, Copy)]
pub(super) struct Plain;

impl Finish for Plain {
    type Sums<S: Simd> = ();
    #[inline(always)]
    unsafe fn begin<S: Simd>(self, _: S, _: Place) {}
    #[inline(always)]
    unsafe fn cell<S: Simd>(self, _: S, (): &mut (), _: Place, v: S::V) -> S::V {
        v
    }
    #[inline(always)]
    unsafe fn end<S: Simd>(self, _: S, (): (), _: usize, _: Place) {}
}

/// Mean and squared deviations of each image's points.
#[derive(Clone, Copy)]
pub(super) struct Moments<'a> {
    pub c: usize,
    /// `[n, len * len]`
    pub mask: &'a [f32],
    /// `[n]`
    pub counts: &'a [f32],
    /// `[n, 2c + 1]`: mean, squared deviations, number of points.
    pub partials: RawMut,
}

/// Sums about a pivot near the mean, the image's first point: squares of large equal numbers would cancel.
#[derive(Clone, Copy)]
pub(super) struct MomentSums<S: Simd> {
    pivot: S::V,
    /// Whether the pivot was met.
    begun: bool,
    sum: S::V,
    squares: S::V,
}

impl Finish for Moments<'_> {
    type Sums<S: Simd> = MomentSums<S>;

    #[inline(always)]
    unsafe fn begin<S: Simd>(self, s: S, _: Place) -> MomentSums<S> {
        MomentSums { pivot: s.splat(0.0), begun: false, sum: s.splat(0.0), squares: s.splat(0.0) }
    }

    #[inline(always)]
    unsafe fn cell<S: Simd>(self, s: S, sums: &mut MomentSums<S>, place: Place, v: S::V) -> S::V {
        if self.mask[place.cell] != 0.0 {
            if !sums.begun {
                (sums.pivot, sums.begun) = (v, true);
            }
            let d = s.sub(v, sums.pivot);
            sums.sum = s.add(sums.sum, d);
            sums.squares = s.fma(d, d, sums.squares);
        }
        v
    }

    #[inline(always)]
    unsafe fn end<S: Simd>(self, s: S, sums: MomentSums<S>, image: usize, place: Place) {
        let count = self.counts[image];
        let share = s.splat(if count > 0.0 { 1.0 / count } else { 0.0 });
        let deviations = s.fnma(s.mul(sums.sum, share), sums.sum, sums.squares);
        // SAFETY: the caller's promise.
        unsafe {
            let to = self.partials.add(image * (2 * self.c + 1));
            s.store_n(to.add(place.channel), place.n, s.fma(sums.sum, share, sums.pivot));
            s.store_n(to.add(self.c + place.channel), place.n, s.max(deviations, s.splat(0.0)));
            if place.channel == 0 {
                *to.add(2 * self.c) = count;
            }
        }
    }
}

/// From the gradient of an activated norm to that of what goes into the activation, dz, and its sums.
#[derive(Clone, Copy)]
pub(super) struct Back<'a> {
    pub c: usize,
    pub act: Activation,
    /// Input of the norm.
    pub x: &'a [f32],
    /// `[4, c]`
    pub saved: &'a [f32],
    /// `[n, len * len]`
    pub mask: &'a [f32],
    /// `[n, 2c]`: sums of dz and of dz times the normed input.
    pub partials: RawMut,
}

/// [`Back`] with its activation.
#[derive(Clone, Copy)]
pub(super) struct BackBy<'a, F>(pub Back<'a>, pub PhantomData<F>);

#[derive(Clone, Copy)]
pub(super) struct BackSums<S: Simd> {
    mean: S::V,
    inv_std: S::V,
    scale: S::V,
    shift: S::V,
    dbias: S::V,
    dscale: S::V,
}

impl Last<'_> {
    /// Whether all that is read and written is there for a result of `n` boards of `area` cells with `c` channels.
    pub fn fits(&self, n: usize, area: usize, channels: usize) -> bool {
        match self {
            Last::Nothing => true,
            Last::Moments(m) => m.c == channels && m.mask.len() >= n * area && m.counts.len() >= n,
            Last::Back(b) => {
                b.c == channels && b.mask.len() >= n * area && b.x.len() >= n * area * channels && b.saved.len() >= 4 * channels
            }
        }
    }
}

impl<F: Function + Copy> Finish for BackBy<'_, F> {
    type Sums<S: Simd> = BackSums<S>;

    #[inline(always)]
    unsafe fn begin<S: Simd>(self, s: S, Place { channel, n, .. }: Place) -> BackSums<S> {
        let Back { c, saved, .. } = self.0;
        // SAFETY: the channels are within the four rows by the caller's promise.
        unsafe {
            let saved = saved.as_ptr().add(channel);
            let zero = s.splat(0.0);
            let (mean, inv_std) = (s.load_n(saved, n), s.load_n(saved.add(c), n));
            let (scale, shift) = (s.load_n(saved.add(2 * c), n), s.load_n(saved.add(3 * c), n));
            BackSums { mean, inv_std, scale, shift, dbias: zero, dscale: zero }
        }
    }

    #[inline(always)]
    unsafe fn cell<S: Simd>(self, s: S, sums: &mut BackSums<S>, Place { cell, channel, n }: Place, dy: S::V) -> S::V {
        let Back { c, x, mask, .. } = self.0;
        if mask[cell] == 0.0 {
            return s.splat(0.0);
        }
        // SAFETY: the place is within x by the caller's promise.
        let x = unsafe { s.load_n(x.as_ptr().add(cell * c + channel), n) };
        let dz = F::grad(s, s.fma(x, sums.scale, sums.shift), dy);
        sums.dbias = s.add(sums.dbias, dz);
        // the inverse standard deviation is the same for all: it waits for the end
        sums.dscale = s.fma(dz, s.sub(x, sums.mean), sums.dscale);
        dz
    }

    #[inline(always)]
    unsafe fn end<S: Simd>(self, s: S, sums: BackSums<S>, image: usize, Place { channel, n, .. }: Place) {
        let Back { c, partials, .. } = self.0;
        // SAFETY: the caller's promise.
        unsafe {
            let to = partials.add(image * 2 * c + channel);
            s.store_n(to, n, sums.dbias);
            s.store_n(to.add(c), n, s.mul(sums.dscale, sums.inv_std));
        }
    }
}
