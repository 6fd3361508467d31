//! Convolution as a matrix product: the surroundings of a chunk of cells are gathered into rows (im2col), then one GEMM.
//! A 1x1 convolution needs no gathering.

use super::{CpuOps, grown, lock};
use crate::compute::{ConvShape, Store};
use rayon::prelude::*;

/// Elements of gathered rows a chunk aims at: 512 KiB, what a second-level cache holds.
const GATHER_ELEMENTS: usize = 1 << 17;
/// Fewest and most cells of a chunk: below, packing the weights dominates the product; above, nothing is gained.
const GATHER_CELLS: (usize, usize) = (192, 1024);
/// Partial sums of a weight gradient at most: each is as large as the weights.
const GROUPS_MAX: usize = 16;

/// Cells of a chunk, by the shape alone.
fn chunk_cells(depth: usize) -> usize {
    (GATHER_ELEMENTS / depth).clamp(GATHER_CELLS.0, GATHER_CELLS.1)
}

/// Scratch of the backend for this shape: gathered rows a thread, partial gradients, turned weights.
pub(super) fn scratch_bytes(threads: usize, shape: ConvShape) -> usize {
    let depth = shape.depth().max(shape.kernel_y * shape.kernel_x * shape.c_out);
    4 * (threads * chunk_cells(depth) * depth + (GROUPS_MAX + 1) * shape.weights())
}

/// A matrix of rows `stride` elements apart, or transposed: columns `stride` apart.
#[derive(Clone, Copy)]
struct Matrix<'a> {
    data: &'a [f32],
    row_stride: usize,
    col_stride: usize,
}

impl<'a> Matrix<'a> {
    fn rows(data: &'a [f32], stride: usize) -> Matrix<'a> {
        Matrix { data, row_stride: stride, col_stride: 1 }
    }

    fn transposed(data: &'a [f32], stride: usize) -> Matrix<'a> {
        Matrix { data, row_stride: 1, col_stride: stride }
    }

    /// Elements spanned by `rows x cols`.
    fn span(self, rows: usize, cols: usize) -> usize {
        if rows == 0 || cols == 0 { 0 } else { (rows - 1) * self.row_stride + (cols - 1) * self.col_stride + 1 }
    }
}

/// `c (+)= a b` with `a` `[m, k]`, `b` `[k, n]` and `c` `[m, n]` packed.
fn gemm((m, k, n): (usize, usize, usize), a: Matrix<'_>, b: Matrix<'_>, store: Store, c: &mut [f32]) {
    assert!(a.data.len() >= a.span(m, k));
    assert!(b.data.len() >= b.span(k, n));
    assert!(c.len() >= m * n);
    let beta = match store {
        Store::Write => 0.0,
        Store::Add => 1.0,
    };
    // SAFETY: the three assertions above bound every element that the strides reach; c is borrowed mutably, so it
    // overlaps neither a nor b.
    unsafe {
        matrixmultiply::sgemm(
            m,
            k,
            n,
            1.0,
            a.data.as_ptr(),
            a.row_stride as isize,
            a.col_stride as isize,
            b.data.as_ptr(),
            b.row_stride as isize,
            b.col_stride as isize,
            beta,
            c.as_mut_ptr(),
            n as isize,
            1,
        );
    }
}

/// Gathers the surroundings of the cells from `cell0` on: `to[cell][i][j][c]`, zero outside the array.
fn gather(shape: ConvShape, x: &[f32], cell0: usize, to: &mut [f32]) {
    let (len, c) = (shape.len, shape.c_in);
    let (half_y, half_x) = (shape.kernel_y / 2, shape.kernel_x / 2);
    let run = shape.kernel_x * c;
    for (i, row) in to.chunks_exact_mut(shape.depth()).enumerate() {
        let cell = cell0 + i;
        let (image, y, x0) = (cell / (len * len), cell / len % len, cell % len);
        // columns x0 - half_x .. x0 + half_x of the array, cut at its edges
        let left = half_x.saturating_sub(x0);
        let right = (x0 + half_x + 1).saturating_sub(len);
        let first = x0 + left - half_x;
        for (ky, to) in row.chunks_exact_mut(run).enumerate() {
            let above = y + ky;
            if above < half_y || above - half_y >= len {
                to.fill(0.0);
                continue;
            }
            // x[image, above - half_y, first .., ..]
            let from = ((image * len + above - half_y) * len + first) * c;
            let middle = run - (left + right) * c;
            to[..left * c].fill(0.0);
            to[left * c..left * c + middle].copy_from_slice(&x[from..from + middle]);
            to[left * c + middle..].fill(0.0);
        }
    }
}

/// `y (+)= conv(x, weights)`.
pub(super) fn forward(ops: &CpuOps, shape: ConvShape, store: Store, x: &[f32], weights: &[f32], y: &mut [f32]) {
    product(ops, shape, store, x, Matrix::rows(weights, shape.c_out), y);
}

/// The product of every cell's surroundings with `weights` `[depth, c_out]`.
fn product(ops: &CpuOps, shape: ConvShape, store: Store, x: &[f32], weights: Matrix<'_>, y: &mut [f32]) {
    let (depth, c_out) = (shape.depth(), shape.c_out);
    let y = &mut y[..shape.cells() * c_out];
    let x = &x[..shape.cells() * shape.c_in];
    let chunk = chunk_cells(depth);
    let chunks = y.par_chunks_mut(chunk * c_out).enumerate();
    if shape.kernel_y * shape.kernel_x == 1 {
        ops.each(chunks, 0, |(i, y), _| {
            let m = y.len() / c_out;
            gemm((m, depth, c_out), Matrix::rows(&x[i * chunk * depth..], depth), weights, store, y);
        });
        return;
    }
    ops.each(chunks, chunk.min(shape.cells()) * depth, |(i, y), rows| {
        let m = y.len() / c_out;
        gather(shape, x, i * chunk, &mut rows[..m * depth]);
        gemm((m, depth, c_out), Matrix::rows(rows, depth), weights, store, y);
    });
}

/// `dx (+)=` the convolution of `dy` with the kernel turned by half a circle and its channels exchanged.
pub(super) fn grad_input(ops: &CpuOps, shape: ConvShape, store: Store, weights: &[f32], dy: &[f32], dx: &mut [f32]) {
    let back = ConvShape { c_in: shape.c_out, c_out: shape.c_in, ..shape };
    let taps = shape.kernel_y * shape.kernel_x;
    if taps == 1 {
        product(ops, back, store, dy, Matrix::transposed(weights, shape.c_out), dx);
        return;
    }
    let mut held = lock(&ops.weights);
    let turned = grown(&mut held, shape.weights());
    // turned[tap, o, c] = weights[taps - 1 - tap, c, o]
    for (tap, to) in turned.chunks_exact_mut(shape.c_in * shape.c_out).enumerate() {
        let from = &weights[(taps - 1 - tap) * shape.c_in * shape.c_out..][..shape.c_in * shape.c_out];
        for (o, row) in to.chunks_exact_mut(shape.c_in).enumerate() {
            for (c, w) in row.iter_mut().enumerate() {
                *w = from[c * shape.c_out + o];
            }
        }
    }
    product(ops, back, store, dy, Matrix::rows(turned, shape.c_in), dx);
}

/// `dweights +=` the sum over cells of surroundings times `dy`.
pub(super) fn grad_weights(ops: &CpuOps, shape: ConvShape, x: &[f32], dy: &[f32], dweights: &mut [f32]) {
    let (depth, c_out, cells) = (shape.depth(), shape.c_out, shape.cells());
    let (x, dy) = (&x[..cells * shape.c_in], &dy[..cells * c_out]);
    let chunk = chunk_cells(depth);
    let n_chunks = cells.div_ceil(chunk);
    let n_groups = n_chunks.min(GROUPS_MAX);
    let pointwise = shape.kernel_y * shape.kernel_x == 1;
    let gathered = if pointwise { 0 } else { chunk.min(cells) * depth };
    let mut held = lock(&ops.partials);
    let partials = grown(&mut held, n_groups * shape.weights());
    ops.each(partials.par_chunks_mut(shape.weights()).enumerate(), gathered, |(group, partial), rows| {
        // group g sums the chunks g * n / groups .. (g + 1) * n / groups in their order
        let (first, last) = (group * n_chunks / n_groups, (group + 1) * n_chunks / n_groups);
        for i in first..last {
            let (start, end) = (i * chunk, ((i + 1) * chunk).min(cells));
            let store = if i == first { Store::Write } else { Store::Add };
            let dy = Matrix::rows(&dy[start * c_out..end * c_out], c_out);
            let m = end - start;
            if pointwise {
                gemm((depth, m, c_out), Matrix::transposed(&x[start * depth..end * depth], depth), dy, store, partial);
            } else {
                gather(shape, x, start, &mut rows[..m * depth]);
                gemm((depth, m, c_out), Matrix::transposed(rows, depth), dy, store, partial);
            }
        }
    });
    for partial in partials.chunks_exact(shape.weights()) {
        for (sum, p) in dweights.iter_mut().zip(partial) {
            *sum += p;
        }
    }
}
