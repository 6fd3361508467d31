//! Poolings, vectors added to points, and biases of vectors.

use super::activation::{slope, value};
use super::frame::{self, View};
use super::simd::{Kernel, Simd};
use super::team::{Chunks, ChunksMut};
use super::{CpuBuf, CpuOps};
use crate::compute::{Activation, Mask, PointsShape, PoolKind, RowsShape, Store};

/// Below any value of an activation used before a pooling; the maximum starts here.
const MAX_START: f32 = f32::NEG_INFINITY;

/// Factors of the second and third number of the value pooling, from the number of points.
fn factors(count: f32) -> (f32, f32) {
    let r = count.sqrt() - 14.0;
    (r * 0.1, r * r * 0.01 - 0.1)
}

pub(super) fn forward(ops: &CpuOps, shape: PointsShape, kind: PoolKind, view: View<'_>, mask: Mask<'_, CpuBuf>, y: &mut [f32]) {
    let (c, area) = (shape.c, shape.len * shape.len);
    let boards = (
        ChunksMut::new(&mut y[..shape.n * 3 * c], 3 * c),
        Chunks(&mask.mask[..shape.cells()], area),
        Chunks(&mask.counts[..shape.n], 1),
        0..shape.n,
    );
    ops.team.each(boards, scratch_len(ops, shape), |(y, mask, count, board), scratch| {
        ops.isa.run(Pool { c, area, kind, view, board, mask, count: count[0], scratch, y });
    });
}

/// One board in whole vectors of channels.
fn scratch_len(ops: &CpuOps, shape: PointsShape) -> usize {
    shape.len * shape.len * shape.c.next_multiple_of(ops.isa.width())
}

struct Pool<'a> {
    c: usize,
    area: usize,
    kind: PoolKind,
    view: View<'a>,
    board: usize,
    mask: &'a [f32],
    count: f32,
    scratch: &'a mut [f32],
    y: &'a mut [f32],
}

impl Kernel for Pool<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Pool { c, area, kind, view, board, mask, count, scratch, y } = self;
        let (x, stride) = frame::rows(s, view, c, board * area..(board + 1) * area, scratch);
        assert!(x.len() >= mask.len() * stride && y.len() == 3 * c);
        let share = s.splat(1.0 / count.max(1.0));
        let (f1, f2) = factors(count);
        for at in (0..c).step_by(S::WIDTH) {
            let n = (c - at).min(S::WIDTH);
            let (mut sum, mut best) = (s.splat(0.0), s.splat(MAX_START));
            // SAFETY: n channels from `at` on are within each cell and each third of y.
            unsafe {
                for (cell, _) in mask.iter().enumerate().filter(|(_, m)| **m != 0.0) {
                    let x = s.load_n(x.as_ptr().add(cell * stride + at), n);
                    sum = s.add(sum, x);
                    best = s.max(x, best);
                }
                let mean = s.mul(sum, share);
                let third = if kind == PoolKind::Value { s.mul(mean, s.splat(f2)) } else { best };
                let y = y.as_mut_ptr().add(at);
                s.store_n(y, n, mean);
                s.store_n(y.add(c), n, s.mul(mean, s.splat(f1)));
                s.store_n(y.add(2 * c), n, third);
            }
        }
    }
}

#[allow(clippy::too_many_arguments)]
pub(super) fn grad(
    ops: &CpuOps,
    shape: PointsShape,
    kind: PoolKind,
    store: Store,
    view: View<'_>,
    mask: Mask<'_, CpuBuf>,
    dy: &[f32],
    dx: &mut [f32],
) {
    let (c, area) = (shape.c, shape.len * shape.len);
    let boards = (
        ChunksMut::new(&mut dx[..shape.elements()], area * c),
        Chunks(&mask.mask[..shape.cells()], area),
        Chunks(&mask.counts[..shape.n], 1),
        Chunks(&dy[..shape.n * 3 * c], 3 * c),
        0..shape.n,
    );
    // the gradient of the mean at each point [c], the maxima [c], a board
    ops.team.each(boards, 2 * c + scratch_len(ops, shape), |(dx, mask, count, dy, board), scratch| {
        ops.isa.run(Grad { c, area, kind, store, view, board, mask, count: count[0], scratch, dy, dx });
    });
}

struct Grad<'a> {
    c: usize,
    area: usize,
    kind: PoolKind,
    store: Store,
    view: View<'a>,
    board: usize,
    mask: &'a [f32],
    count: f32,
    scratch: &'a mut [f32],
    dy: &'a [f32],
    dx: &'a mut [f32],
}

impl Kernel for Grad<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Grad { c, area, kind, store, view, board, mask, count, scratch, dy, dx } = self;
        let (head, scratch) = scratch.split_at_mut(2 * c);
        let (each, best) = head.split_at_mut(c);
        let share = 1.0 / count.max(1.0);
        let (f1, f2) = factors(count);
        let third = if kind == PoolKind::Value { f2 } else { 0.0 };
        for i in 0..c {
            each[i] = (dy[i] + dy[c + i] * f1 + dy[2 * c + i] * third) * share;
        }
        if store == Store::Write {
            dx.fill(0.0);
        }
        for (dx, _) in dx.chunks_exact_mut(c).zip(mask).filter(|(_, m)| **m != 0.0) {
            dx.iter_mut().zip(&*each).for_each(|(d, g)| *d += g);
        }
        if kind == PoolKind::Global {
            let x = frame::rows(s, view, c, board * area..(board + 1) * area, scratch);
            maximum_grad(c, x, mask, &dy[2 * c..], best, dx);
        }
    }
}

/// Adds the gradient of each channel's maximum at the first point that has it.
fn maximum_grad(c: usize, (x, stride): (&[f32], usize), mask: &[f32], dmax: &[f32], best: &mut [f32], dx: &mut [f32]) {
    best.fill(MAX_START);
    for (x, _) in x.chunks_exact(stride).zip(mask).filter(|(_, m)| **m != 0.0) {
        best.iter_mut().zip(x).for_each(|(b, x)| *b = if *x > *b { *x } else { *b });
    }
    let mut open = c;
    for (cell, (x, _)) in x.chunks_exact(stride).zip(mask).enumerate().filter(|(_, (_, m))| **m != 0.0) {
        for i in 0..c {
            if x[i] == best[i] {
                dx[cell * c + i] += dmax[i];
                // above everything: no later point has it
                best[i] = f32::INFINITY;
                open -= 1;
            }
        }
        if open == 0 {
            return;
        }
    }
}

pub(super) fn bias_act(shape: RowsShape, act: Activation, x: &[f32], bias: &[f32], y: &mut [f32]) {
    let rows = y[..shape.rows * shape.c].chunks_exact_mut(shape.c).zip(x.chunks_exact(shape.c));
    for (y, x) in rows {
        for ((y, x), b) in y.iter_mut().zip(x).zip(bias) {
            *y = value(act, x + b);
        }
    }
}

pub(super) fn bias_act_grad(
    shape: RowsShape,
    act: Activation,
    x: &[f32],
    bias: &[f32],
    dy: &[f32],
    dx: &mut [f32],
    dbias: &mut [f32],
) {
    let c = shape.c;
    let rows = dx[..shape.rows * c].chunks_exact_mut(c).zip(x.chunks_exact(c)).zip(dy.chunks_exact(c));
    for ((dx, x), dy) in rows {
        for i in 0..c {
            dx[i] = dy[i] * slope(act, x[i] + bias[i]);
            dbias[i] += dx[i];
        }
    }
}

pub(super) fn broadcast(ops: &CpuOps, shape: PointsShape, v: &[f32], y: &mut [f32]) {
    let (c, area) = (shape.c, shape.len * shape.len);
    let boards = (ChunksMut::new(&mut y[..shape.elements()], area * c), Chunks(&v[..shape.n * c], c));
    ops.team.each(boards, 0, |(y, v), _| {
        for y in y.chunks_exact_mut(c) {
            y.iter_mut().zip(v).for_each(|(y, v)| *y += v);
        }
    });
}

pub(super) fn broadcast_grad(ops: &CpuOps, shape: PointsShape, dy: &[f32], dv: &mut [f32]) {
    let (c, area) = (shape.c, shape.len * shape.len);
    let boards = (ChunksMut::new(&mut dv[..shape.n * c], c), Chunks(&dy[..shape.elements()], area * c));
    ops.team.each(boards, 0, |(dv, dy), _| {
        dv.fill(0.0);
        for dy in dy.chunks_exact(c) {
            dv.iter_mut().zip(dy).for_each(|(s, d)| *s += d);
        }
    });
}
