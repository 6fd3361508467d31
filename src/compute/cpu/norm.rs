//! Batch norm over the on-board points, and the way back through norm and activation.

use super::activation::{Function, Identity, Mish, Relu, Silu};
use super::simd::{Kernel, Simd};
use super::team::{Chunks, ChunksMut};
use super::{CHUNK_CELLS, CpuBuf, CpuOps, lock, part, part_mut};
use crate::compute::{Activation, AtMut, ConvShape, Mask, NORM_SAVED, NormGrad, NormParams, NormShape, NormSource, PointsShape};

pub(super) fn stats(
    ops: &CpuOps,
    shape: NormShape,
    source: NormSource<'_, CpuBuf>,
    params: NormParams<'_, CpuBuf>,
    x: &[f32],
    mask: Mask<'_, CpuBuf>,
    saved: AtMut<'_, CpuBuf>,
) {
    if let NormSource::Running(_) = source {
        return stats_of(shape, source, params, &[], saved);
    }
    let PointsShape { c, .. } = shape.points;
    let x = &x[..shape.points.elements()];
    let cell_mask = &mask.mask[..shape.points.cells()];
    let width = 2 * c + 1;
    let mut held = lock(&ops.partials);
    let partials = held.first(x.len().div_ceil(CHUNK_CELLS * c) * width);
    let parts = (ChunksMut::new(partials, width), Chunks(x, CHUNK_CELLS * c), Chunks(cell_mask, CHUNK_CELLS));
    ops.team.each(parts, 0, |(partial, x, mask), _| ops.isa.run(ChunkMoments { c, x, mask, partial }));
    stats_of(shape, source, params, partials, saved);
}

/// [`stats`] from the moments of parts of the batch, `[parts, 2c + 1]`: mean, squared deviations, number of points.
pub(super) fn stats_of(
    shape: NormShape,
    source: NormSource<'_, CpuBuf>,
    params: NormParams<'_, CpuBuf>,
    partials: &[f32],
    saved: AtMut<'_, CpuBuf>,
) {
    let c = shape.points.c;
    let saved = part_mut(saved, NORM_SAVED * c);
    let (mean_std, scale_shift) = saved.split_at_mut(2 * c);
    let (mean, inv_std) = mean_std.split_at_mut(c);
    // inv_std holds the variance until the end
    match source {
        NormSource::Batch { momentum, running } => {
            let n = merge(partials, mean, inv_std);
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

/// Elements of partial sums that a convolution's norms need: one for each chunk or each board.
pub(super) fn partials_len(shape: ConvShape) -> usize {
    (shape.cells().div_ceil(CHUNK_CELLS).max(shape.n) + 1) * (2 * shape.c_in.max(shape.c_out) + 1)
}

/// Channels that are merged side by side.
const MERGED: usize = 16;

/// Mean and (biased) variance of each channel from those of parts, in order (Chan et al. 1979); returns the number of points.
fn merge(partials: &[f32], mean: &mut [f32], variance: &mut [f32]) -> f64 {
    let c = mean.len();
    let mut n = 0.0f64;
    for at in (0..c).step_by(MERGED) {
        let channels = at..(at + MERGED).min(c);
        let (mut mu, mut m2) = ([0.0f64; MERGED], [0.0f64; MERGED]);
        n = 0.0;
        for p in partials.chunks_exact(2 * c + 1).filter(|p| p[2 * c] != 0.0) {
            let k = f64::from(p[2 * c]);
            let share = k / (n + k);
            let (means, squares) = (&p[channels.clone()], &p[c..][channels.clone()]);
            for ((mu, m2), (mean, squares)) in mu.iter_mut().zip(&mut m2).zip(means.iter().zip(squares)) {
                let delta = f64::from(*mean) - *mu;
                *m2 += f64::from(*squares) + delta * delta * n * share;
                *mu += delta * share;
            }
            n += k;
        }
        for (i, channel) in channels.enumerate() {
            mean[channel] = mu[i] as f32;
            variance[channel] = (m2[i] / n.max(1.0)) as f32;
        }
    }
    n
}

/// Cells that are walked for one vector of channels after the other: few enough that they stay in the first-level cache.
const BLOCK_CELLS: usize = 32;

/// Mean and squared deviations of a chunk. `partial`: mean `[c]`, squared deviations `[c]`, number of points.
struct ChunkMoments<'a> {
    c: usize,
    x: &'a [f32],
    mask: &'a [f32],
    partial: &'a mut [f32],
}

impl Kernel for ChunkMoments<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let ChunkMoments { c, x, mask, partial } = self;
        assert!(x.len() >= mask.len() * c && partial.len() == 2 * c + 1);
        partial.fill(0.0);
        let count = mask.iter().filter(|m| **m != 0.0).count() as f32;
        partial[2 * c] = count;
        if count == 0.0 {
            return;
        }
        let (mean, m2) = partial[..2 * c].split_at_mut(c);
        let blocks = || x.chunks(BLOCK_CELLS * c).zip(mask.chunks(BLOCK_CELLS));
        for (x, mask) in blocks() {
            for at in (0..c).step_by(S::WIDTH) {
                let n = (c - at).min(S::WIDTH);
                // SAFETY: n channels from `at` on are within each cell and each of the sums.
                unsafe {
                    let mut sum = s.load_n(mean.as_ptr().add(at), n);
                    for (cell, on) in mask.iter().enumerate() {
                        if *on != 0.0 {
                            sum = s.add(sum, s.load_n(x.as_ptr().add(cell * c + at), n));
                        }
                    }
                    s.store_n(mean.as_mut_ptr().add(at), n, sum);
                }
            }
        }
        let share = 1.0 / count;
        mean.iter_mut().for_each(|s| *s *= share);
        for (x, mask) in blocks() {
            for at in (0..c).step_by(S::WIDTH) {
                let n = (c - at).min(S::WIDTH);
                // SAFETY: as above.
                unsafe {
                    let mean = s.load_n(mean.as_ptr().add(at), n);
                    let mut sum = s.load_n(m2.as_ptr().add(at), n);
                    for (cell, on) in mask.iter().enumerate() {
                        if *on != 0.0 {
                            let d = s.sub(s.load_n(x.as_ptr().add(cell * c + at), n), mean);
                            sum = s.fma(d, d, sum);
                        }
                    }
                    s.store_n(m2.as_mut_ptr().add(at), n, sum);
                }
            }
        }
    }
}

/// With z = x * scale + shift, dz = dy act'(z) and h = (x - mean) / std over N points:
/// dbias = sum dz, dscale = sum dz h, dx = scale (dz - dbias / N - h dscale / N).
pub(super) fn act_grad(ops: &CpuOps, shape: PointsShape, act: Activation, args: NormGrad<'_, CpuBuf>) {
    let c = shape.c;
    let x = &args.x[..shape.elements()];
    let mask = &args.mask.mask[..shape.cells()];
    let dy = &mut args.dy[..shape.elements()];
    let saved = part(args.saved, NORM_SAVED * c);
    let n_chunks = shape.cells().div_ceil(CHUNK_CELLS);
    let mut held = lock(&ops.partials);
    // the first 2c elements are the totals
    let (totals, partials) = held.first((n_chunks + 1) * 2 * c).split_at_mut(2 * c);
    let parts = (
        ChunksMut::new(partials, 2 * c),
        ChunksMut::new(dy, CHUNK_CELLS * c),
        Chunks(x, CHUNK_CELLS * c),
        Chunks(mask, CHUNK_CELLS),
    );
    ops.team.each(parts, 0, |(partial, dy, x, mask), _| ops.isa.run(Sums { c, act, saved, x, mask, dy, partial }));
    spread(ops, shape, totals, partials, args);
}

/// The second half of [`act_grad`]: from dz in `dy` and the sums of its parts, `partials` `[parts, 2c]`, to the gradients of the
/// parameters and of x. `totals`: room for 2c numbers.
pub(super) fn spread(ops: &CpuOps, shape: PointsShape, totals: &mut [f32], partials: &[f32], args: NormGrad<'_, CpuBuf>) {
    let c = shape.c;
    let x = &args.x[..shape.elements()];
    let mask = &args.mask.mask[..shape.cells()];
    let dy = &mut args.dy[..shape.elements()];
    let saved = part(args.saved, NORM_SAVED * c);
    add_up(partials, totals);
    let points: f64 = args.mask.counts[..shape.n].iter().map(|a| f64::from(*a)).sum();
    let (dbias, dscale) = totals.split_at(c);
    for (at, total) in [(args.bias_at, dbias), (args.scale_at, dscale)] {
        if let Some(at) = at {
            args.grads[at..at + c].iter_mut().zip(total).for_each(|(g, t)| *g += t);
        }
    }
    let share = if points > 0.0 { (1.0 / points) as f32 } else { 0.0 };
    totals.iter_mut().for_each(|t| *t *= share);
    let totals = &*totals;
    let parts = (ChunksMut::new(dy, CHUNK_CELLS * c), Chunks(x, CHUNK_CELLS * c), Chunks(mask, CHUNK_CELLS));
    match args.dx {
        None => ops.team.each(parts, 0, |(dz, x, mask), _| ops.isa.run(Back { c, saved, totals, x, mask, dz, dx: None })),
        Some(dx) => {
            let dx = ChunksMut::new(&mut dx[..shape.elements()], CHUNK_CELLS * c);
            ops.team.each((parts, dx), 0, |((dz, x, mask), dx), _| {
                ops.isa.run(Back { c, saved, totals, x, mask, dz, dx: Some(dx) });
            });
        }
    }
}

/// The sums of the parts, in order and in f64.
fn add_up(partials: &[f32], totals: &mut [f32]) {
    let len = totals.len();
    for at in (0..len).step_by(MERGED) {
        let range = at..(at + MERGED).min(len);
        let mut sums = [0.0f64; MERGED];
        for partial in partials.chunks_exact(len) {
            sums.iter_mut().zip(&partial[range.clone()]).for_each(|(sum, p)| *sum += f64::from(*p));
        }
        totals[range].iter_mut().zip(sums).for_each(|(total, sum)| *total = sum as f32);
    }
}

/// Turns `dy` of a chunk into dz and sums it. `partial`: dbias `[c]`, dscale `[c]`.
struct Sums<'a> {
    c: usize,
    act: Activation,
    saved: &'a [f32],
    x: &'a [f32],
    mask: &'a [f32],
    dy: &'a mut [f32],
    partial: &'a mut [f32],
}

impl Kernel for Sums<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        match self.act {
            Activation::Identity => self.add::<S, Identity>(s),
            Activation::Relu => self.add::<S, Relu>(s),
            Activation::Mish => self.add::<S, Mish>(s),
            Activation::Silu => self.add::<S, Silu>(s),
        }
    }
}

impl Sums<'_> {
    #[inline(always)]
    fn add<S: Simd, F: Function>(self, s: S) {
        let Sums { c, saved, x, mask, dy, partial, .. } = self;
        assert!(x.len() >= mask.len() * c && dy.len() >= mask.len() * c && partial.len() == 2 * c && saved.len() >= 4 * c);
        partial.fill(0.0);
        for ((x, dy), mask) in x.chunks(BLOCK_CELLS * c).zip(dy.chunks_mut(BLOCK_CELLS * c)).zip(mask.chunks(BLOCK_CELLS)) {
            for at in (0..c).step_by(S::WIDTH) {
                let n = (c - at).min(S::WIDTH);
                // SAFETY: n channels from `at` on are within each cell, the sums and what was saved.
                unsafe {
                    let saved = saved.as_ptr().add(at);
                    let (mean, inv_std) = (s.load_n(saved, n), s.load_n(saved.add(c), n));
                    let (scale, shift) = (s.load_n(saved.add(2 * c), n), s.load_n(saved.add(3 * c), n));
                    let sums = partial.as_mut_ptr().add(at);
                    let (mut dbias, mut dscale) = (s.load_n(sums, n), s.load_n(sums.add(c), n));
                    for (cell, on) in mask.iter().enumerate() {
                        let to = dy.as_mut_ptr().add(cell * c + at);
                        if *on == 0.0 {
                            s.store_n(to, n, s.splat(0.0));
                            continue;
                        }
                        let x = s.load_n(x.as_ptr().add(cell * c + at), n);
                        let dz = F::grad(s, s.fma(x, scale, shift), s.load_n(to, n));
                        s.store_n(to, n, dz);
                        dbias = s.add(dbias, dz);
                        dscale = s.fma(s.mul(dz, s.sub(x, mean)), inv_std, dscale);
                    }
                    s.store_n(sums, n, dbias);
                    s.store_n(sums.add(c), n, dscale);
                }
            }
        }
    }
}

/// From dz of a chunk to the gradient of x, added to `dx` or in place. `totals`: dbias / N `[c]`, dscale / N `[c]`.
struct Back<'a> {
    c: usize,
    saved: &'a [f32],
    totals: &'a [f32],
    x: &'a [f32],
    mask: &'a [f32],
    dz: &'a mut [f32],
    dx: Option<&'a mut [f32]>,
}

impl Kernel for Back<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Back { c, saved, totals, x, mask, dz, dx } = self;
        let len = mask.len() * c;
        assert!(x.len() >= len && dz.len() >= len && totals.len() == 2 * c && saved.len() >= 4 * c);
        let (to, add) = match dx {
            Some(dx) => (&mut dx[..len], true),
            None => (&mut [][..], false),
        };
        let (dz, to) = (dz.as_mut_ptr(), to.as_mut_ptr());
        for block in (0..mask.len()).step_by(BLOCK_CELLS) {
            for at in (0..c).step_by(S::WIDTH) {
                let n = (c - at).min(S::WIDTH);
                // SAFETY: n channels from `at` on are within each cell of x, dz and, where one is given, dx, within the totals
                // and what was saved.
                unsafe {
                    let saved = saved.as_ptr().add(at);
                    let (mean, inv_std) = (s.load_n(saved, n), s.load_n(saved.add(c), n));
                    let scale = s.load_n(saved.add(2 * c), n);
                    let totals = totals.as_ptr().add(at);
                    // scale (dz - dbias - (x - mean) inv_std dscale) = scale dz - slope (x - mean) - offset
                    let offset = s.mul(scale, s.load_n(totals, n));
                    let slope = s.mul(scale, s.mul(inv_std, s.load_n(totals.add(c), n)));
                    for (cell, on) in mask.iter().enumerate().skip(block).take(BLOCK_CELLS) {
                        if *on == 0.0 {
                            continue;
                        }
                        let i = cell * c + at;
                        let centred = s.sub(s.load_n(x.as_ptr().add(i), n), mean);
                        let d = s.fma(scale, s.load_n(dz.add(i), n), s.fnma(slope, centred, s.sub(s.splat(0.0), offset)));
                        if add {
                            s.store_n(to.add(i), n, s.add(s.load_n(to.add(i), n), d));
                        } else {
                            s.store_n(dz.add(i), n, d);
                        }
                    }
                }
            }
        }
    }
}
