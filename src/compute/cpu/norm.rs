//! Batch norm over the on-board points, fused with activation and mask.

use super::activation::{Function, with_activation};
use super::team::{Chunks, ChunksMut};
use super::{CHUNK_CELLS, CpuBuf, CpuOps, grown, lock, part, part_mut};
use crate::compute::{Activation, AtMut, Mask, NORM_SAVED, NormGrad, NormParams, NormShape, NormSource, PointsShape};

pub(super) fn stats(
    ops: &CpuOps,
    shape: NormShape,
    source: NormSource<'_, CpuBuf>,
    params: NormParams<'_, CpuBuf>,
    x: &[f32],
    mask: Mask<'_, CpuBuf>,
    saved: AtMut<'_, CpuBuf>,
) {
    let c = shape.points.c;
    let saved = part_mut(saved, NORM_SAVED * c);
    let (mean_std, scale_shift) = saved.split_at_mut(2 * c);
    let (mean, inv_std) = mean_std.split_at_mut(c);
    // inv_std holds the variance until the end
    match source {
        NormSource::Batch { momentum, running } => {
            let n = batch_moments(ops, shape.points, x, mask, mean, inv_std);
            // the running variance is the unbiased one, as the running values stand for other samples
            let unbiased = if n > 1.0 { (n / (n - 1.0)) as f32 } else { 1.0 };
            let (run_mean, run_var) = part_mut(running, 2 * c).split_at_mut(c);
            for i in 0..c {
                run_mean[i] += momentum * (mean[i] - run_mean[i]);
                run_var[i] += momentum * (inv_std[i] * unbiased - run_var[i]);
            }
        }
        NormSource::Running(running) => {
            let running = part(running, 2 * c);
            mean.copy_from_slice(&running[..c]);
            inv_std.copy_from_slice(&running[c..]);
        }
    }
    let (scale, shift) = scale_shift.split_at_mut(c);
    let gamma = params.scale.map(|at| part(at, c));
    let beta = params.bias.map(|at| part(at, c));
    for i in 0..c {
        inv_std[i] = 1.0 / (inv_std[i] + shape.epsilon).sqrt();
        scale[i] = gamma.map_or(1.0, |g| g[i]) * inv_std[i];
        shift[i] = beta.map_or(0.0, |b| b[i]) - scale[i] * mean[i];
    }
}

/// Mean and (biased) variance of each channel; returns the number of points.
/// Each chunk gives its own mean and squared deviations; they are merged in order (Chan et al. 1979).
fn batch_moments(
    ops: &CpuOps,
    shape: PointsShape,
    x: &[f32],
    mask: Mask<'_, CpuBuf>,
    mean: &mut [f32],
    variance: &mut [f32],
) -> f64 {
    let c = shape.c;
    let x = &x[..shape.elements()];
    let cell_mask = &mask.mask[..shape.cells()];
    let n_chunks = shape.cells().div_ceil(CHUNK_CELLS);
    let width = 2 * c + 1;
    let mut held = lock(&ops.partials);
    let partials = grown(&mut held, n_chunks * width);
    let parts = (ChunksMut::new(partials, width), Chunks(x, CHUNK_CELLS * c), Chunks(cell_mask, CHUNK_CELLS));
    ops.team.each(parts, 0, |(partial, x, mask), _| chunk_moments(c, x, mask, partial));
    let total: f64 = partials.chunks_exact(width).map(|p| f64::from(p[2 * c])).sum();
    for i in 0..c {
        let (mut n, mut mu, mut m2) = (0.0f64, 0.0f64, 0.0f64);
        for p in partials.chunks_exact(width) {
            let k = f64::from(p[2 * c]);
            if k == 0.0 {
                continue;
            }
            let delta = f64::from(p[i]) - mu;
            m2 += f64::from(p[c + i]) + delta * delta * n * k / (n + k);
            mu += delta * k / (n + k);
            n += k;
        }
        mean[i] = mu as f32;
        variance[i] = (m2 / n.max(1.0)) as f32;
    }
    total
}

/// `partial`: mean `[c]`, squared deviations `[c]`, number of points.
fn chunk_moments(c: usize, x: &[f32], mask: &[f32], partial: &mut [f32]) {
    let (mean, rest) = partial.split_at_mut(c);
    let (m2, count) = rest.split_at_mut(c);
    mean.fill(0.0);
    m2.fill(0.0);
    let on_board = || x.chunks_exact(c).zip(mask).filter(|(_, m)| **m != 0.0).map(|(x, _)| x);
    count[0] = mask.iter().filter(|m| **m != 0.0).count() as f32;
    if count[0] == 0.0 {
        return;
    }
    for x in on_board() {
        mean.iter_mut().zip(x).for_each(|(s, x)| *s += x);
    }
    let share = 1.0 / count[0];
    mean.iter_mut().for_each(|s| *s *= share);
    for x in on_board() {
        for ((s, x), mu) in m2.iter_mut().zip(x).zip(&*mean) {
            let d = x - mu;
            *s += d * d;
        }
    }
}

pub(super) fn act(ops: &CpuOps, shape: PointsShape, act: Activation, x: &[f32], saved: &[f32], mask: &[f32], y: &mut [f32]) {
    with_activation!(act, F => apply::<F>(ops, shape, x, saved, mask, y));
}

fn apply<F: Function>(ops: &CpuOps, shape: PointsShape, x: &[f32], saved: &[f32], mask: &[f32], y: &mut [f32]) {
    let c = shape.c;
    let (scale, shift) = (&saved[2 * c..3 * c], &saved[3 * c..4 * c]);
    let chunks = (
        ChunksMut::new(&mut y[..shape.elements()], CHUNK_CELLS * c),
        Chunks(&x[..shape.elements()], CHUNK_CELLS * c),
        Chunks(&mask[..shape.cells()], CHUNK_CELLS),
    );
    ops.team.each(chunks, 0, |(y, x, mask), _| {
        for ((y, x), m) in y.chunks_exact_mut(c).zip(x.chunks_exact(c)).zip(mask) {
            if *m == 0.0 {
                y.fill(0.0);
                continue;
            }
            for (((y, x), s), b) in y.iter_mut().zip(x).zip(scale).zip(shift) {
                *y = F::value(x * s + b);
            }
        }
    });
}

pub(super) fn act_grad(ops: &CpuOps, shape: PointsShape, act: Activation, args: NormGrad<'_, CpuBuf>) {
    with_activation!(act, F => apply_grad::<F>(ops, shape, args));
}

/// With z = x * scale + shift, dz = dy act'(z) and h = (x - mean) / std over N points:
/// dbias = sum dz, dscale = sum dz h, dx = scale (dz - dbias / N - h dscale / N).
fn apply_grad<F: Function>(ops: &CpuOps, shape: PointsShape, args: NormGrad<'_, CpuBuf>) {
    let c = shape.c;
    let x = &args.x[..shape.elements()];
    let mask = &args.mask.mask[..shape.cells()];
    let dy = &mut args.dy[..shape.elements()];
    let saved = part(args.saved, NORM_SAVED * c);
    let n_chunks = shape.cells().div_ceil(CHUNK_CELLS);
    let mut held = lock(&ops.partials);
    // the first 2c elements are the totals
    let (totals, partials) = grown(&mut held, (n_chunks + 1) * 2 * c).split_at_mut(2 * c);
    let parts = (
        ChunksMut::new(partials, 2 * c),
        ChunksMut::new(dy, CHUNK_CELLS * c),
        Chunks(x, CHUNK_CELLS * c),
        Chunks(mask, CHUNK_CELLS),
    );
    ops.team.each(parts, 0, |(partial, dy, x, mask), _| chunk_sums::<F>(c, x, saved, mask, dy, partial));
    for (i, total) in totals.iter_mut().enumerate() {
        *total = partials.chunks_exact(2 * c).map(|p| f64::from(p[i])).sum::<f64>() as f32;
    }
    let points: f64 = args.mask.counts[..shape.n].iter().map(|a| f64::from(*a)).sum();
    let (dbias, dscale) = totals.split_at(c);
    for (at, total) in [(args.bias_at, dbias), (args.scale_at, dscale)] {
        if let Some(at) = at {
            args.grads[at..at + c].iter_mut().zip(total).for_each(|(g, t)| *g += t);
        }
    }
    let share = if points > 0.0 { (1.0 / points) as f32 } else { 0.0 };
    totals.iter_mut().for_each(|t| *t *= share);
    grad_input(ops, shape, (x, mask), saved, totals, dy, args.dx);
}

/// Turns `dy` into dz and sums it: `partial`: dbias `[c]`, dscale `[c]`.
fn chunk_sums<F: Function>(c: usize, x: &[f32], saved: &[f32], mask: &[f32], dy: &mut [f32], partial: &mut [f32]) {
    let (mean, inv_std) = (&saved[..c], &saved[c..2 * c]);
    let (scale, shift) = (&saved[2 * c..3 * c], &saved[3 * c..4 * c]);
    partial.fill(0.0);
    let (dbias, dscale) = partial.split_at_mut(c);
    for ((dy, x), m) in dy.chunks_exact_mut(c).zip(x.chunks_exact(c)).zip(mask) {
        if *m == 0.0 {
            dy.fill(0.0);
            continue;
        }
        for i in 0..c {
            let dz = dy[i] * F::slope(x[i] * scale[i] + shift[i]);
            dy[i] = dz;
            dbias[i] += dz;
            dscale[i] += dz * (x[i] - mean[i]) * inv_std[i];
        }
    }
}

/// From dz to the gradient of x, added to `dx` or in place. `totals`: dbias / N `[c]`, dscale / N `[c]`.
fn grad_input(
    ops: &CpuOps,
    shape: PointsShape,
    (x, mask): (&[f32], &[f32]),
    saved: &[f32],
    totals: &[f32],
    dz: &mut [f32],
    dx: Option<&mut CpuBuf>,
) {
    let c = shape.c;
    let (mean, inv_std, scale) = (&saved[..c], &saved[c..2 * c], &saved[2 * c..3 * c]);
    let (dbias, dscale) = totals.split_at(c);
    let inner = |dz: &mut [f32], x: &[f32]| {
        for i in 0..c {
            dz[i] = scale[i] * (dz[i] - dbias[i] - (x[i] - mean[i]) * inv_std[i] * dscale[i]);
        }
    };
    let (dz, x, mask) = (ChunksMut::new(dz, CHUNK_CELLS * c), Chunks(x, CHUNK_CELLS * c), Chunks(mask, CHUNK_CELLS));
    let on_board = |m: &f32| *m != 0.0;
    match dx {
        None => ops.team.each((dz, x, mask), 0, |(dz, x, mask), _| {
            let cells = dz.chunks_exact_mut(c).zip(x.chunks_exact(c)).zip(mask);
            cells.filter(|(_, m)| on_board(m)).for_each(|((dz, x), _)| inner(dz, x));
        }),
        Some(dx) => {
            let dx = ChunksMut::new(&mut dx[..shape.elements()], CHUNK_CELLS * c);
            ops.team.each((dz, x, mask, dx), 0, |(dz, x, mask, dx), _| {
                let cells = dz.chunks_exact_mut(c).zip(x.chunks_exact(c)).zip(mask).zip(dx.chunks_exact_mut(c));
                for (((dz, x), _), dx) in cells.filter(|((_, m), _)| on_board(m)) {
                    inner(dz, x);
                    dx.iter_mut().zip(&*dz).for_each(|(sum, d)| *sum += d);
                }
            });
        }
    }
}
