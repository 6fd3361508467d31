//! Convolutions: 3x3 by Winograd, 1x1 as one matrix product, others as one product for each row of kernel and image.

use super::frame::{self, Frame, View};
use super::gemm::{Product, pack, panels};
use super::last::{Back, Last, Moments};
use super::output::Base;
use super::simd::{Isa, Kernel, Simd};
use super::team::ChunksMut;
use super::winograd::forward::{FactorKind, Factors};
use super::winograd::{self, Grid};
use super::{CpuBuf, CpuOps, RawMut, lock, norm, part};
use crate::compute::{Activation, ConvShape, NORM_SAVED, NormGrad, NormSource, NormStats, PointsShape, Store};

/// Rows of a 1x1 product an item.
const ROWS: usize = 240;
/// Partial sums of a 1x1 weight gradient at most.
const GROUPS_MAX: usize = 16;
/// Cells whose products are added at once in a weight gradient: both factors stay in the first-level cache.
const CELLS: usize = 128;

/// How a shape is computed.
#[derive(Clone, Copy)]
enum Way {
    Pointwise,
    Winograd(Grid),
    Direct,
}

fn way(shape: ConvShape) -> Way {
    if shape.kernel_y * shape.kernel_x == 1 {
        Way::Pointwise
    } else if Grid::serves(shape) {
        Way::Winograd(Grid::new(shape.len))
    } else {
        Way::Direct
    }
}

/// The image with the border that a direct convolution reads.
fn frame_of(isa: Isa, shape: ConvShape, c: usize) -> Frame {
    let (top, left) = (shape.kernel_y / 2, shape.kernel_x / 2);
    let stride = c.next_multiple_of(isa.width());
    Frame { len: shape.len, c, stride, top, left, rows: shape.len + 2 * top, columns: shape.len + 2 * left }
}

fn padded(isa: Isa, c: usize) -> usize {
    c.next_multiple_of(isa.width())
}

/// Elements of the prepared weights.
pub(super) fn weights_len(isa: Isa, shape: ConvShape) -> usize {
    match way(shape) {
        Way::Pointwise => shape.c_in * padded(isa, shape.c_out),
        Way::Winograd(grid) => winograd::forward::weights_len(isa, grid, shape),
        Way::Direct => shape.kernel_y * shape.kernel_x * padded(isa, shape.c_in) * padded(isa, shape.c_out),
    }
}

/// Weights `[kernel_y, kernel_x, c_in, c_out]` as the products want them.
pub(super) fn prepare(ops: &CpuOps, shape: ConvShape, from: &[f32], to: &mut [f32]) {
    let (isa, ConvShape { kernel_y, kernel_x, c_in, c_out, .. }) = (ops.isa, shape);
    match way(shape) {
        Way::Pointwise => pack(isa, 0..c_in, c_out, |i, o| from[i * c_out + o], to),
        Way::Winograd(grid) => winograd::forward::transform_weights(&ops.team, isa, grid, shape, from, to),
        Way::Direct => {
            // a row of the kernel is one matrix [kernel_x * stride, c_out], as a row of the frame is read
            let stride = padded(isa, c_in);
            let rows = kernel_x * stride;
            for (ky, to) in to.chunks_exact_mut(rows * padded(isa, c_out)).take(kernel_y).enumerate() {
                let weight = |row: usize, o: usize| {
                    let (kx, i) = (row / stride, row % stride);
                    if i < c_in { from[((ky * kernel_x + kx) * c_in + i) * c_out + o] } else { 0.0 }
                };
                pack(isa, 0..rows, c_out, weight, to);
            }
        }
    }
}

/// Numbers of the prepared weights in f16; none where the shape is computed in f32 all the same.
pub(super) fn half_weights_len(isa: Isa, shape: ConvShape) -> Option<usize> {
    match way(shape) {
        Way::Winograd(grid) => Some(winograd::half::weights_len(isa, grid, shape)),
        // heads and pooled vectors take hardly any time
        Way::Pointwise | Way::Direct => None,
    }
}

/// [`prepare`] in f16; returns what the weights were divided by.
pub(super) fn prepare_half(ops: &CpuOps, shape: ConvShape, from: &[f32], to: &mut [u16]) -> f32 {
    match way(shape) {
        Way::Winograd(grid) => {
            let mut held = lock(&ops.weights);
            let single = held.first(weights_len(ops.isa, shape));
            winograd::half::transform_weights(&ops.team, ops.isa, grid, shape, from, single, to)
        }
        Way::Pointwise | Way::Direct => unreachable!("they have no such form"),
    }
}

/// Scratch bytes of the backend for this shape, forward and back.
pub(super) fn scratch_bytes(ops: &CpuOps, shape: ConvShape) -> usize {
    let (isa, threads) = (ops.isa, ops.team.threads());
    let back = ConvShape { c_in: shape.c_out, c_out: shape.c_in, ..shape };
    let (each, shared) = match way(shape) {
        Way::Pointwise => (each_pointwise(isa, shape).max(each_pointwise(isa, back)), partials_len(isa, shape)),
        Way::Winograd(_) => {
            let forward = |shape| {
                let kinds = [FactorKind::Single, FactorKind::Half];
                kinds.map(|kind| winograd::forward::scratch_len(isa, threads, shape, kind)).into_iter().max().unwrap_or(0)
            };
            let each = forward(shape).max(forward(back)).max(winograd::grad_weights::scratch_len(isa, threads, shape));
            (each, winograd::grad_weights::shared_len(isa, threads, shape))
        }
        Way::Direct => {
            let frames = frame_of(isa, shape, shape.c_in).elements() + frame_of(isa, shape, shape.c_out).elements();
            (frames, direct_len(isa, threads, shape))
        }
    };
    let weights = weights_len(isa, shape).max(weights_len(isa, back)) + shape.weights();
    let norms = norm::partials_len(shape);
    4 * (threads * each + shared + weights + norms)
}

/// `y = base + conv(view, weights)`.
pub(super) fn forward(ops: &CpuOps, shape: ConvShape, base: Base<'_>, view: View<'_>, weights: &[f32], y: &mut [f32]) {
    forward_last(ops, shape, base, view, weights, Last::Nothing, y);
}

/// [`forward`] with something done before the result is stored, which only [`Way::Winograd`] can.
fn forward_last(ops: &CpuOps, shape: ConvShape, base: Base<'_>, view: View<'_>, weights: &[f32], last: Last<'_>, y: &mut [f32]) {
    let mut held = lock(&ops.weights);
    let prepared = held.first(weights_len(ops.isa, shape));
    prepare(ops, shape, weights, prepared);
    forward_prepared(ops, shape, base, view, Factors::Single(prepared), last, y);
}

/// [`forward`], and the statistics of the norm that follows.
pub(super) fn forward_stats(
    ops: &CpuOps,
    shape: ConvShape,
    base: Base<'_>,
    view: View<'_>,
    weights: &[f32],
    y: &mut [f32],
    stats: NormStats<'_, CpuBuf>,
) {
    let NormStats { norm, source, params, mask, saved } = stats;
    let c = shape.c_out;
    if !matches!((way(shape), &source), (Way::Winograd(_), NormSource::Batch { .. })) {
        forward(ops, shape, base, view, weights, y);
        return norm::stats(ops, norm, source, params, y, mask, saved);
    }
    let mut held = lock(&ops.partials);
    let partials = held.first(shape.n * (2 * c + 1));
    let last = Moments { c, mask: mask.mask, counts: mask.counts, partials: RawMut(partials.as_mut_ptr()) };
    forward_last(ops, shape, base, view, weights, Last::Moments(last), y);
    norm::stats_of(norm, source, params, partials, saved);
}

/// [`forward`] with weights by [`prepare`] or, in f16, by [`prepare_half`].
pub(super) fn forward_prepared(
    ops: &CpuOps,
    shape: ConvShape,
    base: Base<'_>,
    view: View<'_>,
    weights: Factors<'_>,
    last: Last<'_>,
    y: &mut [f32],
) {
    assert!(matches!((way(shape), last), (Way::Winograd(_), _) | (_, Last::Nothing)), "nothing is done last by other ways");
    let isa = ops.isa;
    let y = &mut y[..shape.cells() * shape.c_out];
    match (way(shape), weights) {
        (Way::Winograd(grid), weights) => winograd::forward::forward(&ops.team, isa, grid, shape, base, view, weights, last, y),
        (Way::Pointwise, Factors::Single(weights)) => {
            let rows = ChunksMut::new(y, ROWS * shape.c_out);
            ops.team.each((rows, 0..usize::MAX), each_pointwise(isa, shape), |(y, chunk), scratch| {
                base.lay(chunk * ROWS * shape.c_out, y);
                isa.run(Rows { isa, shape, store: base.store(), view, cell: chunk * ROWS, weights, scratch, y });
            });
        }
        (Way::Direct, Factors::Single(weights)) => {
            let frame = frame_of(isa, shape, shape.c_in);
            let images = ChunksMut::new(y, shape.len * shape.len * shape.c_out);
            ops.team.each((images, 0..shape.n), frame.elements(), |(y, image), framed| {
                base.lay(image * shape.len * shape.len * shape.c_out, y);
                isa.run(Image { isa, shape, frame, store: base.store(), view, image, weights, framed, y });
            });
        }
        (Way::Pointwise | Way::Direct, Factors::Half(_)) => unreachable!("their weights are never rounded"),
    }
}

/// `dx (+)=` the convolution of `dy` with the kernel turned by half a circle and its channels exchanged.
pub(super) fn grad_input(ops: &CpuOps, shape: ConvShape, base: Base<'_>, weights: &[f32], dy: View<'_>, dx: &mut [f32]) {
    grad_input_last(ops, shape, base, weights, dy, Last::Nothing, dx);
}

/// [`grad_input`], and back through the norm and the activation before the convolution: the gradient goes to `norm.dy`.
pub(super) fn grad_norm(
    ops: &CpuOps,
    shape: ConvShape,
    base: Base<'_>,
    weights: &[f32],
    dy: View<'_>,
    act: Activation,
    norm: NormGrad<'_, CpuBuf>,
) {
    let (c, points) = (shape.c_in, PointsShape { n: shape.n, len: shape.len, c: shape.c_in });
    if !matches!(way(shape), Way::Winograd(_)) {
        grad_input(ops, shape, base, weights, dy, norm.dy);
        return norm::act_grad(ops, points, act, norm);
    }
    let mut held = lock(&ops.partials);
    let (totals, partials) = held.first((shape.n + 1) * 2 * c).split_at_mut(2 * c);
    let saved = part(norm.saved, NORM_SAVED * c);
    let last = Back { c, act, x: norm.x, saved, mask: norm.mask.mask, partials: RawMut(partials.as_mut_ptr()) };
    grad_input_last(ops, shape, base, weights, dy, Last::Back(last), norm.dy);
    norm::spread(ops, points, totals, partials, norm);
}

fn grad_input_last(
    ops: &CpuOps,
    shape: ConvShape,
    base: Base<'_>,
    weights: &[f32],
    dy: View<'_>,
    last: Last<'_>,
    dx: &mut [f32],
) {
    let back = ConvShape { c_in: shape.c_out, c_out: shape.c_in, ..shape };
    let taps = shape.kernel_y * shape.kernel_x;
    let mut held = lock(&ops.turned);
    let turned = held.first(shape.weights());
    // turned[tap, o, c] = weights[taps - 1 - tap, c, o]
    let matrix = shape.c_in * shape.c_out;
    ops.team.each((ChunksMut::new(turned, matrix), 0..taps), 0, |(to, tap), _| {
        transpose(&weights[(taps - 1 - tap) * matrix..][..matrix], shape.c_out, to, shape.c_in);
    });
    forward_last(ops, back, base, dy, turned, last, dx);
}

/// `from` `[rows, columns]` to `to` `[columns, rows]`, in squares that fit into the first-level cache.
fn transpose(from: &[f32], columns: usize, to: &mut [f32], rows: usize) {
    const SQUARE: usize = 16;
    for row0 in (0..rows).step_by(SQUARE) {
        for column0 in (0..columns).step_by(SQUARE) {
            for column in column0..(column0 + SQUARE).min(columns) {
                let end = (row0 + SQUARE).min(rows);
                for (row, to) in (row0..end).zip(&mut to[column * rows + row0..column * rows + end]) {
                    *to = from[row * columns + column];
                }
            }
        }
    }
}

/// `dweights +=` the sum over cells of surroundings times `dy`.
pub(super) fn grad_weights(ops: &CpuOps, shape: ConvShape, view: View<'_>, dy: View<'_>, dweights: &mut [f32]) {
    let mut shared = lock(&ops.shared);
    match way(shape) {
        Way::Winograd(grid) => {
            winograd::grad_weights::grad_weights(&ops.team, ops.isa, grid, shape, view, dy, &mut shared, dweights);
        }
        Way::Pointwise => grad_pointwise(ops, shape, view, dy, &mut shared, dweights),
        Way::Direct => grad_direct(ops, shape, view, dy, &mut shared, dweights),
    }
}

/// Scratch of a thread for 1x1 convolutions: a chunk of both tensors in whole vectors.
fn each_pointwise(isa: Isa, shape: ConvShape) -> usize {
    ROWS.max(CELLS) * (padded(isa, shape.c_in) + padded(isa, shape.c_out))
}

/// Some rows of a 1x1 convolution.
struct Rows<'a> {
    isa: Isa,
    shape: ConvShape,
    store: Store,
    view: View<'a>,
    /// The first cell.
    cell: usize,
    weights: &'a [f32],
    scratch: &'a mut [f32],
    y: &'a mut [f32],
}

impl Kernel for Rows<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Rows { isa, shape: ConvShape { c_in, c_out, .. }, store, view, cell, weights, scratch, y } = self;
        let m = y.len() / c_out;
        let (x, a_row) = frame::rows(s, view, c_in, cell..cell + m, scratch);
        assert!(x.len() >= m * a_row);
        for panel in panels(isa, c_out) {
            let (column, columns) = (panel.at * S::WIDTH, panel.vectors * S::WIDTH);
            let product = Product {
                m,
                k: c_in,
                vectors: panel.vectors,
                columns: columns.min(c_out - column),
                a: x.as_ptr(),
                a_row,
                a_k: 1,
                b: weights[column * c_in..][..columns * c_in].as_ptr(),
                b_row: columns,
                c: y[column..].as_mut_ptr(),
                c_row: c_out,
                store,
            };
            // SAFETY: the assertion and the slice of weights bound A and B; C's rows are m whole rows of y.
            unsafe { product.run(s) };
        }
    }
}

/// One image of a direct convolution.
struct Image<'a> {
    isa: Isa,
    shape: ConvShape,
    frame: Frame,
    store: Store,
    view: View<'a>,
    image: usize,
    weights: &'a [f32],
    framed: &'a mut [f32],
    y: &'a mut [f32],
}

impl Kernel for Image<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Image { isa, shape, frame, store, view, image, weights, framed, y } = self;
        let ConvShape { len, kernel_y, kernel_x, c_out, .. } = shape;
        frame::clear_border(frame, framed);
        frame::fill(s, frame, view, image, framed);
        assert!(framed.len() >= frame.elements() && y.len() >= len * len * c_out);
        let (k, row) = (kernel_x * frame.stride, frame.columns * frame.stride);
        for panel in panels(isa, c_out) {
            let (column, columns) = (panel.at * S::WIDTH, panel.vectors * S::WIDTH);
            for (line, ky) in (0..len).flat_map(|line| (0..kernel_y).map(move |ky| (line, ky))) {
                let from = ky * k * padded(isa, c_out) + column * k;
                let product = Product {
                    m: len,
                    k,
                    vectors: panel.vectors,
                    columns: columns.min(c_out - column),
                    a: framed[(line + ky) * row..][..row].as_ptr(),
                    a_row: frame.stride,
                    a_k: 1,
                    b: weights[from..][..k * columns].as_ptr(),
                    b_row: columns,
                    c: y[line * len * c_out + column..].as_mut_ptr(),
                    c_row: c_out,
                    store: if ky == 0 { store } else { Store::Add },
                };
                // SAFETY: `len` windows of kernel_x columns lie in the row of the frame, which has len + kernel_x - 1; the
                // slices and the assertion bound the rest.
                unsafe { product.run(s) };
            }
        }
    }
}

/// Groups of cells of a 1x1 weight gradient, by the shape alone, and the cells of each.
fn groups(shape: ConvShape) -> (usize, usize) {
    let groups = shape.cells().div_ceil(4 * CELLS).clamp(1, GROUPS_MAX);
    (groups, shape.cells().div_ceil(groups))
}

fn partials_len(isa: Isa, shape: ConvShape) -> usize {
    groups(shape).0 * shape.c_in * padded(isa, shape.c_out)
}

fn grad_pointwise(ops: &CpuOps, shape: ConvShape, view: View<'_>, dy: View<'_>, shared: &mut CpuBuf, dweights: &mut [f32]) {
    let (isa, ConvShape { c_in, c_out, .. }) = (ops.isa, shape);
    let stride = padded(isa, c_out);
    let (_, cells) = groups(shape);
    let dy = &dy.x[..shape.cells() * c_out];
    let partials = shared.first(partials_len(isa, shape));
    let parts = (ChunksMut::new(partials, c_in * stride), 0..usize::MAX);
    ops.team.each(parts, each_pointwise(isa, shape), |(sums, group), scratch| {
        let (first, end) = ((group * cells).min(shape.cells()), ((group + 1) * cells).min(shape.cells()));
        if first == end {
            sums.fill(0.0);
        }
        for at in (first..end).step_by(CELLS) {
            let to = (at + CELLS).min(end);
            let store = if at == first { Store::Write } else { Store::Add };
            let dy = &dy[at * c_out..to * c_out];
            isa.run(Group { isa, shape, store, view, cell: at, dy, scratch, sums });
        }
    });
    for partial in partials.chunks_exact(c_in * stride) {
        for (to, from) in dweights[..c_in * c_out].chunks_exact_mut(c_out).zip(partial.chunks_exact(stride)) {
            to.iter_mut().zip(from).for_each(|(sum, p)| *sum += p);
        }
    }
}

/// `sums (+)= x' dy` of some cells.
struct Group<'a> {
    isa: Isa,
    shape: ConvShape,
    store: Store,
    view: View<'a>,
    /// The first cell.
    cell: usize,
    dy: &'a [f32],
    scratch: &'a mut [f32],
    sums: &'a mut [f32],
}

impl Kernel for Group<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Group { isa, shape: ConvShape { c_in, c_out, .. }, store, view, cell, dy, scratch, sums } = self;
        let (k, stride) = (dy.len() / c_out, padded(isa, c_out));
        let (whole, scratch) = scratch.split_at_mut(k * stride);
        let (x, a_k) = frame::rows(s, view, c_in, cell..cell + k, scratch);
        for (to, from) in whole.chunks_exact_mut(stride).zip(dy.chunks_exact(c_out)) {
            to[..c_out].copy_from_slice(from);
            to[c_out..].fill(0.0);
        }
        assert!(x.len() >= k * a_k && sums.len() >= c_in * stride);
        for panel in panels(isa, c_out) {
            let column = panel.at * S::WIDTH;
            let product = Product {
                m: c_in,
                k,
                vectors: panel.vectors,
                columns: panel.vectors * S::WIDTH,
                a: x.as_ptr(),
                a_row: 1,
                a_k,
                b: whole[column..].as_ptr(),
                b_row: stride,
                c: sums[column..].as_mut_ptr(),
                c_row: stride,
                store,
            };
            // SAFETY: the assertion and the length of `whole` bound all that the strides reach.
            unsafe { product.run(s) };
        }
    }
}

/// Images of a direct weight gradient that are framed together.
fn framed_together(threads: usize, shape: ConvShape) -> usize {
    (4 * CELLS).div_ceil(shape.len * shape.len).next_multiple_of(threads).min(shape.n)
}

fn direct_len(isa: Isa, threads: usize, shape: ConvShape) -> usize {
    let frames = frame_of(isa, shape, shape.c_in).elements() + frame_of(isa, shape, shape.c_out).elements();
    framed_together(threads, shape) * frames + shape.kernel_y * shape.kernel_x * shape.c_in * padded(isa, shape.c_out)
}

fn grad_direct(ops: &CpuOps, shape: ConvShape, view: View<'_>, dy: View<'_>, shared: &mut CpuBuf, dweights: &mut [f32]) {
    let (isa, ConvShape { c_in, c_out, kernel_x, .. }) = (ops.isa, shape);
    let together = framed_together(ops.team.threads(), shape);
    let (x_frame, dy_frame) = (frame_of(isa, shape, c_in), frame_of(isa, shape, c_out));
    let shared = shared.first(direct_len(isa, ops.team.threads(), shape));
    let (xs, rest) = shared.split_at_mut(together * x_frame.elements());
    let (dys, sums) = rest.split_at_mut(together * dy_frame.elements());
    let tap_len = c_in * dy_frame.stride;
    for first in (0..shape.n).step_by(together) {
        let images = together.min(shape.n - first);
        let (xs, dys) = (&mut xs[..images * x_frame.elements()], &mut dys[..images * dy_frame.elements()]);
        let parts = (ChunksMut::new(xs, x_frame.elements()), ChunksMut::new(dys, dy_frame.elements()), first..shape.n);
        ops.team.each(parts, 0, |(x, dy_to, image), _| {
            isa.run(Fill { frame: x_frame, view, image, to: x });
            isa.run(Fill { frame: dy_frame, view: dy, image, to: dy_to });
        });
        let store = if first == 0 { Store::Write } else { Store::Add };
        ops.team.each((ChunksMut::new(sums, tap_len), 0..usize::MAX), 0, |(sums, tap), _| {
            let tap = (tap / kernel_x, tap % kernel_x);
            isa.run(Tap { isa, shape, tap, images, x: (x_frame, xs), dy: (dy_frame, dys), store, sums });
        });
    }
    let rows = sums.chunks_exact(dy_frame.stride);
    for (to, from) in dweights[..shape.weights()].chunks_exact_mut(c_out).zip(rows) {
        to.iter_mut().zip(from).for_each(|(sum, s)| *sum += s);
    }
}

struct Fill<'a> {
    frame: Frame,
    view: View<'a>,
    image: usize,
    to: &'a mut [f32],
}

impl Kernel for Fill<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        frame::clear_border(self.frame, self.to);
        frame::fill(s, self.frame, self.view, self.image, self.to);
    }
}

/// The gradient of one weight matrix `[c_in, c_out]` of a direct convolution, over some images.
struct Tap<'a> {
    isa: Isa,
    shape: ConvShape,
    tap: (usize, usize),
    images: usize,
    x: (Frame, &'a [f32]),
    dy: (Frame, &'a [f32]),
    store: Store,
    sums: &'a mut [f32],
}

impl Kernel for Tap<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Tap { isa, shape: ConvShape { len, c_in, c_out, .. }, tap, images, x, dy, store, sums } = self;
        assert!(sums.len() >= c_in * dy.0.stride);
        let (x_row, dy_row) = (x.0.columns * x.0.stride, dy.0.columns * dy.0.stride);
        for (i, (image, line)) in (0..images).flat_map(|i| (0..len).map(move |line| (i, line))).enumerate() {
            let x_line = &x.1[image * x.0.elements() + (line + tap.0) * x_row..][..x_row];
            let dy_line = &dy.1[image * dy.0.elements() + (line + dy.0.top) * dy_row..][..dy_row];
            for panel in panels(isa, c_out) {
                let column = panel.at * S::WIDTH;
                let product = Product {
                    m: c_in,
                    k: len,
                    vectors: panel.vectors,
                    columns: panel.vectors * S::WIDTH,
                    a: x_line[tap.1 * x.0.stride..].as_ptr(),
                    a_row: 1,
                    a_k: x.0.stride,
                    b: dy_line[dy.0.left * dy.0.stride + column..].as_ptr(),
                    b_row: dy.0.stride,
                    c: sums[column..].as_mut_ptr(),
                    c_row: dy.0.stride,
                    store: if i == 0 { store } else { Store::Add },
                };
                // SAFETY: a frame's row has len + kernel_x - 1 columns, so `len` of them follow column tap.1 and column left;
                // the assertion bounds the sums.
                unsafe { product.run(s) };
            }
        }
    }
}
