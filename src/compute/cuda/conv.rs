//! Convolutions and their gradients.

use super::kernels::Kernel;
use super::queue::Queue;
use super::{CudaBuf, F32, Prepared, View, flag, int, view};
use crate::base::Result;
use crate::compute::{At, AtMut, Base, ConvShape, Input, Store, Weights};
use crate::device::cuda::Launch;

/// Cells of a split of a weight gradient at the least, and splits at the most: enough blocks to fill a small GPU, few enough
/// that adding the parts up costs little.
const SPLIT_CELLS: usize = 1024;
const SPLITS_MAX: usize = 32;
/// Side of the tiles of the plain weight gradient.
const TILE: usize = 16;

/// What all kernels of convolutions are told.
fn sizes(s: ConvShape) -> [u64; 6] {
    [s.n, s.len, s.kernel_y, s.kernel_x, s.c_in, s.c_out].map(int)
}

/// `y = base + conv(input, weights)`.
pub(super) fn forward(
    queue: &mut Queue,
    shape: ConvShape,
    base: Base<'_, CudaBuf>,
    input: Input<'_, CudaBuf>,
    weights: Weights<'_, CudaBuf, Prepared>,
    y: &mut CudaBuf,
) {
    let elements = shape.cells() * shape.c_out;
    let View { x, saved, mask, act } = view(input, shape.cells(), shape.c_in);
    let weights = match weights {
        Weights::Plain(at) => at.buf.at(at.at, shape.weights()),
        Weights::Prepared(prepared) => {
            assert_eq!(ConvShape { n: 0, ..shape }, prepared.shape, "weights were prepared for another shape");
            prepared.weights.first(shape.weights())
        }
    };
    let y = y.first(elements);
    let base = match base {
        Base::Zero => 0,
        Base::Own => y,
        Base::Of(buf) => buf.first(elements),
    };
    let [n, len, ky, kx, c_in, c_out] = sizes(shape);
    let args = [y, base, x, saved, mask, weights, n, len, ky, kx, c_in, c_out, act];
    queue.each(Kernel::ConvPlain, elements, &args);
}

/// `dx (+)=` the gradient of the input.
pub(super) fn grad_input(
    queue: &mut Queue,
    shape: ConvShape,
    store: Store,
    weights: At<'_, CudaBuf>,
    dy: &CudaBuf,
    dx: &mut CudaBuf,
) {
    let elements = shape.cells() * shape.c_in;
    let weights = weights.buf.at(weights.at, shape.weights());
    let (dy, dx) = (dy.first(shape.cells() * shape.c_out), dx.first(elements));
    let [n, len, ky, kx, c_in, c_out] = sizes(shape);
    let args = [dx, dy, weights, n, len, ky, kx, c_in, c_out, flag(store == Store::Add)];
    queue.each(Kernel::ConvGradInputPlain, elements, &args);
}

fn splits(shape: ConvShape) -> usize {
    shape.cells().div_ceil(SPLIT_CELLS).clamp(1, SPLITS_MAX)
}

/// Bytes of scratch memory for a weight gradient.
pub(super) fn scratch_bytes(shape: ConvShape) -> usize {
    F32 * splits(shape) * shape.weights()
}

/// `dweights +=` the gradient of the weights.
pub(super) fn grad_weights(
    queue: &mut Queue,
    shape: ConvShape,
    input: Input<'_, CudaBuf>,
    dy: &CudaBuf,
    dweights: AtMut<'_, CudaBuf>,
) -> Result<()> {
    let View { x, saved, mask, act } = view(input, shape.cells(), shape.c_in);
    let (dy, to) = (dy.first(shape.cells() * shape.c_out), dweights.buf.at(dweights.at, shape.weights()));
    let partials = queue.scratch(scratch_bytes(shape))?;
    let tiles = shape.c_in.div_ceil(TILE) * shape.c_out.div_ceil(TILE);
    let grid = [tiles, shape.kernel_y * shape.kernel_x, splits(shape)].map(|v| v as u32);
    let launch = Launch { grid, block: [TILE as u32, TILE as u32, 1], shared_bytes: 0 };
    let [n, len, ky, kx, c_in, c_out] = sizes(shape);
    let args = [partials, x, saved, mask, dy, n, len, ky, kx, c_in, c_out, act];
    queue.launch(Kernel::ConvGradWeightsPlain, launch, &args);
    queue.each(Kernel::AddPartials, shape.weights(), &[to, partials, int(shape.weights()), int(splits(shape))]);
    Ok(())
}
