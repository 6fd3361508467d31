//! Batch norm over the points on the board, and the way back through norm and activation.

use super::kernels::Kernel;
use super::queue::Queue;
use super::{CudaBuf, F32, act_number, float, int};
use crate::base::Result;
use crate::compute::{Activation, AtMut, Mask, NORM_SAVED, NormGrad, NormParams, NormShape, NormSource, PointsShape};
use crate::device::cuda::Launch;

/// Cells of a split at the least, and splits at the most.
const SPLIT_CELLS: usize = 512;
const SPLITS_MAX: usize = 64;
/// Cells of a split where nothing is summed: eight a thread.
const APPLIED_CELLS: usize = 256;
/// Most blocks of a grid's second side.
const GRID_MAX: usize = 65535;
/// Channels of a block that reduces, and its threads: `QUADS` of four channels times `ROWS` cells, in view.cuh.
const CHANNELS: usize = 32;
const QUADS: u32 = 8;
const ROWS: u32 = 32;

fn splits(cells: usize) -> usize {
    cells.div_ceil(SPLIT_CELLS).clamp(1, SPLITS_MAX)
}

/// Bytes of scratch memory for so many cells and channels.
pub(super) fn scratch_bytes(cells: usize, c: usize) -> usize {
    F32 * (splits(cells) * (2 * c + 1) + 2 * c)
}

/// Blocks of 32 channels by 32 rows: groups of channels, times `y`.
pub(super) fn reducing(x: usize, y: usize) -> Launch {
    Launch { grid: [x as u32, y as u32, 1], block: [QUADS, ROWS, 1], shared_bytes: 0 }
}

/// Groups of channels.
pub(super) fn groups(c: usize) -> usize {
    c.div_ceil(CHANNELS)
}

pub(super) fn stats(
    queue: &mut Queue,
    shape: NormShape,
    source: NormSource<'_, CudaBuf>,
    params: NormParams<'_, CudaBuf>,
    x: &CudaBuf,
    mask: Mask<'_, CudaBuf>,
    saved: AtMut<'_, CudaBuf>,
) -> Result<()> {
    let (c, cells) = (shape.points.c, shape.points.cells());
    match source {
        NormSource::Batch { momentum, running } => {
            let splits = splits(cells);
            let partials = queue.scratch(scratch_bytes(cells, c))?;
            let args = [partials, x.first(cells * c), mask.mask.first(cells), int(cells), int(c), x.kind()];
            queue.launch(Kernel::NORM_MOMENTS, reducing(groups(c), splits), &args);
            finish(queue, shape, (momentum, running), params, (partials, splits), saved)?;
        }
        NormSource::Running(running) => {
            let [saved, running] = [saved.buf.at(saved.at, NORM_SAVED * c), running.buf.at(running.at, 2 * c)];
            let [gamma, beta] = learned(params, c);
            queue.each(Kernel::NORM_RUNNING, c, &[saved, running, gamma, beta, int(c), float(shape.epsilon)]);
        }
    }
    Ok(())
}

/// Addresses of factor and offset; 0 where there is none.
fn learned(params: NormParams<'_, CudaBuf>, c: usize) -> [u64; 2] {
    [params.scale, params.bias].map(|at| at.map_or(0, |at| at.buf.at(at.at, c)))
}

/// What is kept of a norm, from moments `[splits, 2c + 1]`.
pub(super) fn finish(
    queue: &mut Queue,
    shape: NormShape,
    (momentum, running): (f32, AtMut<'_, CudaBuf>),
    params: NormParams<'_, CudaBuf>,
    (moments, splits): (u64, usize),
    saved: AtMut<'_, CudaBuf>,
) -> Result<()> {
    let c = shape.points.c;
    let [saved, running] = [saved.buf.at(saved.at, NORM_SAVED * c), running.buf.at(running.at, 2 * c)];
    let [gamma, beta] = learned(params, c);
    let [momentum] = queue.stage([&momentum.to_le_bytes()])?;
    let args = [saved, running, moments, gamma, beta, momentum, int(splits), int(c), float(shape.epsilon)];
    queue.launch(Kernel::NORM_FINISH, reducing(groups(c), 1), &args);
    Ok(())
}

pub(super) fn act_grad(queue: &mut Queue, shape: PointsShape, act: Activation, args: NormGrad<'_, CudaBuf>) -> Result<()> {
    let (c, cells) = (shape.c, shape.cells());
    let (x, mask, counts) = (args.x.first(cells * c), args.mask.mask.first(cells), args.mask.counts.first(shape.n));
    let saved = args.saved.buf.at(args.saved.at, NORM_SAVED * c);
    let dy = args.dy.first(cells * c);
    let [dy_kind, x_kind] = [args.dy.kind(), args.x.kind()];
    let (dx, dx_kind) = args.dx.map_or((0, 0), |dx| (dx.first(cells * c), dx.kind()));
    let [dscale, dbias] = [args.scale_at, args.bias_at].map(|at| at.map_or(0, |at| args.grads.at(at, c)));
    let splits = splits(cells);
    let partials = queue.scratch(scratch_bytes(cells, c))?;
    let totals = partials + (F32 * splits * 2 * c) as u64;
    let (sizes, act) = ([int(cells), int(c)], act_number(act));
    let sums = [partials, dy, x, saved, mask, sizes[0], sizes[1], act, dy_kind, x_kind];
    queue.launch(Kernel::NORM_GRAD_SUMS, reducing(groups(c), splits), &sums);
    let args = [totals, dbias, dscale, partials, counts, int(splits), int(shape.n), int(c)];
    queue.launch(Kernel::NORM_GRAD_TOTALS, reducing(groups(c), 1), &args);
    let args = [dy, dx, totals, x, saved, mask, sizes[0], sizes[1], act, dy_kind, x_kind, dx_kind];
    queue.launch(Kernel::NORM_GRAD_APPLY, reducing(groups(c), cells.div_ceil(APPLIED_CELLS).min(GRID_MAX)), &args);
    Ok(())
}
