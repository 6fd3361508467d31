//! An image with a border of zeros and channels rounded up to whole vectors: what convolutions read, without edges to mind.
//! Norm and activation before a convolution are applied on the way in.

use super::activation::{Function, Identity, Mish, Relu, Silu};
use super::simd::Simd;
use crate::compute::Activation;

/// The sizes of a framed image: `[rows, columns, stride]`, the image from `[top, left]` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// Side of the image.
    pub len: usize,
    /// Channels of the image.
    pub c: usize,
    /// Channels of the frame: whole vectors.
    pub stride: usize,
    pub top: usize,
    pub left: usize,
    pub rows: usize,
    pub columns: usize,
}

impl Frame {
    /// Numbers of the whole frame.
    pub fn elements(self) -> usize {
        self.rows * self.columns * self.stride
    }
}

/// Norm and activation before a convolution: `act(x * scale + shift)` on the board, 0 off it.
#[derive(Clone, Copy)]
pub(super) struct Before<'a> {
    /// `[c]`
    pub scale: &'a [f32],
    /// `[c]`
    pub shift: &'a [f32],
    pub act: Activation,
    /// `[n, len * len]`
    pub mask: &'a [f32],
}

/// A tensor of points, read as it is or activated.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    /// `[n, len * len, c]`
    pub x: &'a [f32],
    pub before: Option<Before<'a>>,
}

/// Writes zeros around the place of the image.
#[inline(always)]
pub(super) fn clear_border(frame: Frame, to: &mut [f32]) {
    let Frame { len, stride, top, left, rows, columns, .. } = frame;
    let row = columns * stride;
    let to = &mut to[..rows * row];
    // from the end of one row of the image to the beginning of the next
    let mut from = 0;
    for y in 0..len {
        let begin = (top + y) * row + left * stride;
        to[from..begin].fill(0.0);
        from = begin + len * stride;
    }
    to[from..].fill(0.0);
}

/// Writes image `image` into a frame with a clear border.
#[inline(always)]
pub(super) fn fill<S: Simd>(s: S, frame: Frame, view: View<'_>, image: usize, to: &mut [f32]) {
    let Frame { len, c, stride, top, left, rows, columns } = frame;
    let row = columns * stride;
    let to = &mut to[..rows * row];
    for (y, to) in to[top * row..(top + len) * row].chunks_exact_mut(row).enumerate() {
        let cell = (image * len + y) * len;
        let from = &view.x[cell * c..(cell + len) * c];
        let to = &mut to[left * stride..(left + len) * stride];
        match view.before {
            None if c == stride => to.copy_from_slice(from),
            None => copy_cells(s, c, stride, from, to),
            Some(before) => activate_cells(s, c, before, &before.mask[cell..cell + len], from, to),
        }
    }
}

/// Some cells as `[cells, stride]`: as they lie, or activated in `scratch` with whole vectors of channels.
#[inline(always)]
pub(super) fn rows<'a, S: Simd>(
    s: S,
    view: View<'a>,
    c: usize,
    cells: std::ops::Range<usize>,
    scratch: &'a mut [f32],
) -> (&'a [f32], usize) {
    let from = &view.x[cells.start * c..cells.end * c];
    let Some(before) = view.before else { return (from, c) };
    let stride = c.next_multiple_of(S::WIDTH);
    let to = &mut scratch[..cells.len() * stride];
    activate_cells(s, c, before, &before.mask[cells], from, to);
    (to, stride)
}

#[inline(always)]
fn copy_cells<S: Simd>(s: S, c: usize, stride: usize, from: &[f32], to: &mut [f32]) {
    for (from, to) in from.chunks_exact(c).zip(to.chunks_exact_mut(stride)) {
        let whole = c / S::WIDTH * S::WIDTH;
        to[..whole].copy_from_slice(&from[..whole]);
        if whole < c {
            // SAFETY: c - whole numbers remain in `from`; `to` is longer by whole vectors.
            unsafe { s.store(to[whole..].as_mut_ptr(), s.load_first(from[whole..].as_ptr(), c - whole)) };
        }
    }
}

#[inline(always)]
fn activate_cells<S: Simd>(s: S, c: usize, before: Before<'_>, mask: &[f32], from: &[f32], to: &mut [f32]) {
    match before.act {
        Activation::Identity => activate::<S, Identity>(s, c, before, mask, from, to),
        Activation::Relu => activate::<S, Relu>(s, c, before, mask, from, to),
        Activation::Mish => activate::<S, Mish>(s, c, before, mask, from, to),
        Activation::Silu => activate::<S, Silu>(s, c, before, mask, from, to),
    }
}

#[inline(always)]
fn activate<S: Simd, F: Function>(s: S, c: usize, before: Before<'_>, mask: &[f32], from: &[f32], to: &mut [f32]) {
    let stride = c.next_multiple_of(S::WIDTH);
    let (scale, shift) = (&before.scale[..c], &before.shift[..c]);
    for ((from, to), on) in from.chunks_exact(c).zip(to.chunks_exact_mut(stride)).zip(mask) {
        if *on == 0.0 {
            to.fill(0.0);
            continue;
        }
        let mut at = 0;
        while at < c {
            let n = (c - at).min(S::WIDTH);
            // SAFETY: n numbers remain in all three, a whole vector in `to`.
            unsafe {
                let (x, scale, shift) = (from.as_ptr().add(at), scale.as_ptr().add(at), shift.as_ptr().add(at));
                let (x, scale, shift) = (s.load_n(x, n), s.load_n(scale, n), s.load_n(shift, n));
                s.store(to.as_mut_ptr().add(at), F::value(s, s.fma(x, scale, shift)));
            }
            at += S::WIDTH;
        }
    }
}
