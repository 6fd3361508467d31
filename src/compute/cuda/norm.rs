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
/// Channels and rows of a block that reduces: `ROWS` in view.cuh.
const CHANNELS: usize = 32;
const ROWS: u32 = 8;

fn splits(cells: usize) -> usize {
    cells.div_ceil(SPLIT_CELLS).clamp(1, SPLITS_MAX)
}

/// Bytes of scratch memory for so many cells and channels.
pub(super) fn scratch_bytes(cells: usize, c: usize) -> usize {
    F32 * (splits(cells) * (2 * c + 1) + 2 * c)
}

/// Blocks of 32 channels by eight rows: groups of channels, times `y`.
pub(super) fn reducing(x: usize, y: usize) -> Launch {
    Launch { grid: [x as u32, y as u32, 1], block: [CHANNELS as u32, ROWS, 1], shared_bytes: 0 }
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
    let saved = saved.buf.at(saved.at, NORM_SAVED * c);
    let [gamma, beta] = [params.scale, params.bias].map(|at| at.map_or(0, |at| at.buf.at(at.at, c)));
    match source {
        NormSource::Batch { momentum, running } => {
            let running = running.buf.at(running.at, 2 * c);
            let (x, mask) = (x.first(cells * c), mask.mask.first(cells));
            let splits = splits(cells);
            let partials = queue.scratch(scratch_bytes(cells, c))?;
            let [momentum] = queue.stage([&momentum.to_le_bytes()])?;
            let args = [partials, x, mask, int(cells), int(c)];
            queue.launch(Kernel::NORM_MOMENTS, reducing(groups(c), splits), &args);
            let args = [saved, running, partials, gamma, beta, momentum, int(splits), int(c), float(shape.epsilon)];
            queue.each(Kernel::NORM_FINISH, c, &args);
        }
        NormSource::Running(running) => {
            let running = running.buf.at(running.at, 2 * c);
            queue.each(Kernel::NORM_RUNNING, c, &[saved, running, gamma, beta, int(c), float(shape.epsilon)]);
        }
    }
    Ok(())
}

pub(super) fn act_grad(queue: &mut Queue, shape: PointsShape, act: Activation, args: NormGrad<'_, CudaBuf>) -> Result<()> {
    let (c, cells) = (shape.c, shape.cells());
    let (x, mask, counts) = (args.x.first(cells * c), args.mask.mask.first(cells), args.mask.counts.first(shape.n));
    let saved = args.saved.buf.at(args.saved.at, NORM_SAVED * c);
    let dy = args.dy.first(cells * c);
    let dx = args.dx.map_or(0, |dx| dx.first(cells * c));
    let [dscale, dbias] = [args.scale_at, args.bias_at].map(|at| at.map_or(0, |at| args.grads.at(at, c)));
    let splits = splits(cells);
    let partials = queue.scratch(scratch_bytes(cells, c))?;
    let totals = partials + (F32 * splits * 2 * c) as u64;
    let sums = [partials, dy, x, saved, mask, int(cells), int(c), act_number(act)];
    queue.launch(Kernel::NORM_GRAD_SUMS, reducing(groups(c), splits), &sums);
    queue.each(Kernel::NORM_GRAD_TOTALS, c, &[totals, dbias, dscale, partials, counts, int(splits), int(shape.n), int(c)]);
    queue.each(Kernel::NORM_GRAD_APPLY, cells * c, &[dy, dx, totals, x, saved, mask, int(cells), int(c)]);
    Ok(())
}
