//! Convolutions and their gradients.

use super::kernels::Kernel;
use super::queue::Queue;
use super::tensor::{TensorKernels, Turn};
use super::{CudaBuf, F32, Prepared, View, flag, int, norm, view};
use crate::base::Result;
use crate::compute::{At, AtMut, Base, ConvShape, Input, NormSource, NormStats, Store, Weights};
use crate::device::cuda::Launch;

/// Cells of a split of a weight gradient at the least, and splits at the most: enough blocks to fill a small GPU, few enough
/// that adding the parts up costs little.
pub(super) const SPLIT_CELLS: usize = 1024;
pub(super) const SPLITS_MAX: usize = 32;
/// What scratch memory is divided at multiples of, in bytes.
const SCRATCH_ALIGN: usize = 256;
/// Side of the tiles of the plain weight gradient.
const TILE: usize = 16;

/// What all kernels of convolutions are told.
pub(super) fn sizes(s: ConvShape) -> [u64; 6] {
    [s.n, s.len, s.kernel_y, s.kernel_x, s.c_in, s.c_out].map(int)
}

/// Where results go.
#[derive(Clone, Copy)]
pub(super) struct Output {
    pub y: u64,
    /// 0, or what is added; in memory as `y`.
    pub base: u64,
    pub kind: u64,
}

impl Output {
    fn new(y: &mut CudaBuf, base: Base<'_, CudaBuf>, elements: usize) -> Output {
        let (address, kind) = (y.first(elements), y.kind());
        let base = match base {
            Base::Zero => 0,
            Base::Own => address,
            Base::Of(buf) => {
                assert_eq!(buf.kind(), kind, "a result and what it is added to are of one kind");
                buf.first(elements)
            }
        };
        Output { y: address, base, kind }
    }
}

/// `y = base + conv(input, weights)`.
pub(super) fn forward(
    queue: &mut Queue,
    shape: ConvShape,
    base: Base<'_, CudaBuf>,
    input: Input<'_, CudaBuf>,
    weights: Weights<'_, CudaBuf, Prepared>,
    y: &mut CudaBuf,
) -> Result<()> {
    let view = view(input, shape.cells(), shape.c_in);
    let output = Output::new(y, base, shape.cells() * shape.c_out);
    let (weights, kind) = match weights {
        Weights::Plain(at) => (at.buf.at(at.at, shape.weights()), Kind::Plain),
        Weights::Prepared(prepared) => {
            assert_eq!(ConvShape { n: 0, ..shape }, prepared.shape, "weights were prepared for another shape");
            (prepared.weights.address(), prepared.kind)
        }
    };
    run(queue, shape, Turn::Forward, output, (weights, kind), &view, 0)?;
    Ok(())
}

/// The same, and what is kept of the norm of its result.
pub(super) fn forward_stats(
    queue: &mut Queue,
    shape: ConvShape,
    base: Base<'_, CudaBuf>,
    input: Input<'_, CudaBuf>,
    weights: At<'_, CudaBuf>,
    y: &mut CudaBuf,
    stats: NormStats<'_, CudaBuf>,
) -> Result<()> {
    let NormStats { norm, source, params, mask, saved } = stats;
    let view = view(input, shape.cells(), shape.c_in);
    let output = Output::new(y, base, shape.cells() * shape.c_out);
    let weights = (weights.buf.at(weights.at, shape.weights()), Kind::Plain);
    let mask_at = if matches!(source, NormSource::Batch { .. }) { mask.mask.first(shape.cells()) } else { 0 };
    let moments = run(queue, shape, Turn::Forward, output, weights, &view, mask_at)?;
    match (moments, source) {
        (Some(moments), NormSource::Batch { momentum, running }) => {
            norm::finish(queue, norm, (momentum, running), params, moments, saved)
        }
        (_, source) => norm::stats(queue, norm, source, params, y, mask, saved),
    }
}

/// How weights lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `[ky, kx, c_in, c_out]`
    Plain,
    /// As the kernels of half precision read them.
    Tensor,
}

/// `y = base + conv(x, weights)` by the kernels that the device has. With a mask, the moments of the result on the board where these
/// kernels make them: their address and number.
fn run(
    queue: &mut Queue,
    s: ConvShape,
    turn: Turn,
    output: Output,
    (weights, kind): (u64, Kind),
    view: &View,
    mask: u64,
) -> Result<Option<(u64, usize)>> {
    if let Some(tensor) = queue.tensor()
        && let Some(bytes) = tensor.weights_bytes(s)
    {
        let own = if kind == Kind::Plain { bytes.next_multiple_of(SCRATCH_ALIGN) } else { 0 };
        let scratch = queue.scratch(own + if mask == 0 { 0 } else { tensor.moments_bytes(s) })?;
        let prepared = if kind == Kind::Tensor { weights } else { scratch };
        if kind == Kind::Plain {
            tensor.prepare(queue, s, turn, weights, prepared);
        }
        let moments = (mask != 0).then_some((scratch + own as u64, tensor.tiles(s)));
        let view = View { mask: if mask == 0 { view.mask } else { mask }, ..*view };
        tensor.conv(queue, s, turn, output, prepared, &view, moments.map_or(0, |(at, _)| at));
        return Ok(moments);
    }
    let [n, len, ky, kx, c_in, c_out] = sizes(s);
    let Output { y, base, kind } = output;
    match turn {
        Turn::Forward => {
            let args = [y, base, view.x, view.saved, view.mask, weights, n, len, ky, kx, c_in, c_out, view.act, view.kind, kind];
            queue.each(Kernel::CONV_PLAIN, s.cells() * s.c_out, &args);
        }
        // the plain kernel takes the shape of the convolution whose gradient it is
        Turn::Back => {
            let args = [y, view.x, weights, n, len, ky, kx, c_out, c_in, flag(base != 0), view.kind, kind];
            queue.each(Kernel::CONV_GRAD_INPUT_PLAIN, s.cells() * s.c_out, &args);
        }
    }
    Ok(None)
}

/// Bytes of weights that [`prepare`] makes.
pub(super) fn prepared_bytes(tensor: Option<TensorKernels>, shape: ConvShape) -> usize {
    tensor.and_then(|tensor| tensor.weights_bytes(shape)).unwrap_or(F32 * shape.weights())
}

/// Makes weights that are used many times.
pub(super) fn prepare(queue: &mut Queue, shape: ConvShape, weights: At<'_, CudaBuf>) -> Result<Prepared> {
    let shape = ConvShape { n: 0, ..shape };
    let from = weights.buf.at(weights.at, shape.weights());
    let tensor = queue.tensor().filter(|tensor| tensor.weights_bytes(shape).is_some());
    let to = queue.buffer(prepared_bytes(tensor, shape))?;
    let kind = match tensor {
        Some(tensor) => {
            tensor.prepare(queue, shape, Turn::Forward, from, to.address());
            Kind::Tensor
        }
        None => {
            queue.copy(from, to.address(), F32 * shape.weights());
            Kind::Plain
        }
    };
    Ok(Prepared { shape, kind, weights: to })
}

/// `dx (+)=` the gradient of the input.
pub(super) fn grad_input(
    queue: &mut Queue,
    shape: ConvShape,
    store: Store,
    weights: At<'_, CudaBuf>,
    dy: &CudaBuf,
    dx: &mut CudaBuf,
) -> Result<()> {
    let weights = weights.buf.at(weights.at, shape.weights());
    let view = View { x: dy.first(shape.cells() * shape.c_out), kind: dy.kind(), saved: 0, mask: 0, act: 0 };
    let base = if store == Store::Add { Base::Own } else { Base::Zero };
    let output = Output::new(dx, base, shape.cells() * shape.c_in);
    let back = ConvShape { c_in: shape.c_out, c_out: shape.c_in, ..shape };
    run(queue, back, Turn::Back, output, (weights, Kind::Plain), &view, 0)?;
    Ok(())
}

/// Bytes of scratch memory for a convolution and its gradients.
pub(super) fn scratch_bytes(tensor: Option<TensorKernels>, shape: ConvShape) -> usize {
    let plain = F32 * splits(shape) * shape.weights();
    tensor.map_or(plain, |tensor| tensor.scratch_bytes(shape).max(plain))
}

fn splits(shape: ConvShape) -> usize {
    shape.cells().div_ceil(SPLIT_CELLS).clamp(1, SPLITS_MAX)
}

/// `dweights +=` the gradient of the weights.
pub(super) fn grad_weights(
    queue: &mut Queue,
    shape: ConvShape,
    input: Input<'_, CudaBuf>,
    dy: &CudaBuf,
    dweights: AtMut<'_, CudaBuf>,
) -> Result<()> {
    let view = view(input, shape.cells(), shape.c_in);
    let dy_kind = dy.kind();
    let (dy, to) = (dy.first(shape.cells() * shape.c_out), dweights.buf.at(dweights.at, shape.weights()));
    let tensor = queue.tensor().and_then(|tensor| tensor.grad_splits(shape).map(|splits| (tensor, splits)));
    let splits = tensor.map_or_else(|| splits(shape), |(_, splits)| splits);
    let partials = queue.scratch(F32 * splits * shape.weights())?;
    match tensor {
        Some((tensor, splits)) => tensor.grad_weights(queue, shape, partials, splits, &view, (dy, dy_kind)),
        None => {
            let tiles = shape.c_in.div_ceil(TILE) * shape.c_out.div_ceil(TILE);
            let grid = [tiles, shape.kernel_y * shape.kernel_x, splits].map(|v| v as u32);
            let [n, len, ky, kx, c_in, c_out] = sizes(shape);
            let args = [partials, view.x, view.saved, view.mask, dy, n, len, ky, kx, c_in, c_out, view.act, view.kind, dy_kind];
            let block = [TILE as u32, TILE as u32, 1];
            queue.launch(Kernel::CONV_GRAD_WEIGHTS_PLAIN, Launch { grid, block, shared_bytes: 0 }, &args);
        }
    }
    queue.each(Kernel::ADD_PARTIALS, shape.weights(), &[to, partials, int(shape.weights()), int(splits)]);
    Ok(())
}
