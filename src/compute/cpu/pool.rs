//! Poolings, vectors added to points, and biases of vectors.

use super::activation::{slope, value};
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

pub(super) fn forward(ops: &CpuOps, shape: PointsShape, kind: PoolKind, x: &[f32], mask: Mask<'_, CpuBuf>, y: &mut [f32]) {
    let (c, area) = (shape.c, shape.len * shape.len);
    let boards = (
        ChunksMut::new(&mut y[..shape.n * 3 * c], 3 * c),
        Chunks(&x[..shape.elements()], area * c),
        Chunks(&mask.mask[..shape.cells()], area),
        Chunks(&mask.counts[..shape.n], 1),
    );
    ops.team.each(boards, 0, |(y, x, mask, count), _| {
        let count = &count[0];
        let (mean, rest) = y.split_at_mut(c);
        let (scaled, third) = rest.split_at_mut(c);
        mean.fill(0.0);
        third.fill(MAX_START);
        for (x, _) in x.chunks_exact(c).zip(mask).filter(|(_, m)| **m != 0.0) {
            mean.iter_mut().zip(x).for_each(|(s, x)| *s += x);
            if kind == PoolKind::Global {
                third.iter_mut().zip(x).for_each(|(t, x)| *t = if *x > *t { *x } else { *t });
            }
        }
        let share = 1.0 / count.max(1.0);
        let (f1, f2) = factors(*count);
        for i in 0..c {
            mean[i] *= share;
            scaled[i] = mean[i] * f1;
            if kind == PoolKind::Value {
                third[i] = mean[i] * f2;
            }
        }
    });
}

#[allow(clippy::too_many_arguments)]
pub(super) fn grad(
    ops: &CpuOps,
    shape: PointsShape,
    kind: PoolKind,
    store: Store,
    x: &[f32],
    mask: Mask<'_, CpuBuf>,
    dy: &[f32],
    dx: &mut [f32],
) {
    let (c, area) = (shape.c, shape.len * shape.len);
    let boards = (
        ChunksMut::new(&mut dx[..shape.elements()], area * c),
        Chunks(&x[..shape.elements()], area * c),
        Chunks(&mask.mask[..shape.cells()], area),
        Chunks(&mask.counts[..shape.n], 1),
        Chunks(&dy[..shape.n * 3 * c], 3 * c),
    );
    // scratch: the gradient of the mean at each point [c], the maxima [c]
    ops.team.each(boards, 2 * c, |(dx, x, mask, count, dy), scratch| {
        let count = &count[0];
        let (each, best) = scratch.split_at_mut(c);
        let share = 1.0 / count.max(1.0);
        let (f1, f2) = factors(*count);
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
            maximum_grad(c, x, mask, &dy[2 * c..], best, dx);
        }
    });
}

/// Adds the gradient of each channel's maximum at the first point that has it.
fn maximum_grad(c: usize, x: &[f32], mask: &[f32], dmax: &[f32], best: &mut [f32], dx: &mut [f32]) {
    best.fill(MAX_START);
    for (x, _) in x.chunks_exact(c).zip(mask).filter(|(_, m)| **m != 0.0) {
        best.iter_mut().zip(x).for_each(|(b, x)| *b = if *x > *b { *x } else { *b });
    }
    let mut open = c;
    for (cell, (x, _)) in x.chunks_exact(c).zip(mask).enumerate().filter(|(_, (_, m))| **m != 0.0) {
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
