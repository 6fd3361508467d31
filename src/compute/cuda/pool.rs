//! Poolings of points, vectors on points, and biases of vectors.

use super::kernels::Kernel;
use super::norm::{groups, reducing};
use super::queue::Queue;
use super::{CudaBuf, View, act_number, flag, int, view};
use crate::compute::{Activation, At, AtMut, Input, Mask, PointsShape, PoolKind, RowsShape, Store};

pub(super) fn forward(
    queue: &mut Queue,
    shape: PointsShape,
    kind: PoolKind,
    input: Input<'_, CudaBuf>,
    mask: Mask<'_, CudaBuf>,
    y: &mut CudaBuf,
) {
    let View { x, saved, act, kind: x_kind, .. } = view(input, shape.cells(), shape.c);
    let (y, on, counts) = (y.first(shape.n * 3 * shape.c), mask.mask.first(shape.cells()), mask.counts.first(shape.n));
    let args = [y, x, saved, on, counts, int(shape.len), int(shape.c), act, flag(kind == PoolKind::Value), x_kind];
    queue.launch(Kernel::POOL_POINTS, reducing(shape.n, groups(shape.c)), &args);
}

#[allow(clippy::too_many_arguments)]
pub(super) fn grad(
    queue: &mut Queue,
    shape: PointsShape,
    kind: PoolKind,
    store: Store,
    input: Input<'_, CudaBuf>,
    mask: Mask<'_, CudaBuf>,
    dy: &CudaBuf,
    dx: &mut CudaBuf,
) {
    let View { x, saved, act, kind: x_kind, .. } = view(input, shape.cells(), shape.c);
    let dx_kind = dx.kind();
    let (dy, dx) = (dy.first(shape.n * 3 * shape.c), dx.first(shape.elements()));
    let (on, counts) = (mask.mask.first(shape.cells()), mask.counts.first(shape.n));
    let modes = [flag(kind == PoolKind::Value), flag(store == Store::Add)];
    let args = [dx, dy, x, saved, on, counts, int(shape.len), int(shape.c), act, modes[0], modes[1], dx_kind, x_kind];
    queue.launch(Kernel::POOL_GRAD, reducing(shape.n, groups(shape.c)), &args);
}

pub(super) fn bias_act(
    queue: &mut Queue,
    shape: RowsShape,
    act: Activation,
    x: &CudaBuf,
    bias: At<'_, CudaBuf>,
    y: &mut CudaBuf,
) {
    let elements = shape.rows * shape.c;
    let args = [y.first(elements), x.first(elements), bias.buf.at(bias.at, shape.c)];
    queue.each(Kernel::BIAS_ACT, elements, &[args[0], args[1], args[2], int(shape.rows), int(shape.c), act_number(act)]);
}

#[allow(clippy::too_many_arguments)]
pub(super) fn bias_act_grad(
    queue: &mut Queue,
    shape: RowsShape,
    act: Activation,
    x: &CudaBuf,
    bias: At<'_, CudaBuf>,
    dy: &CudaBuf,
    dx: &mut CudaBuf,
    dbias: AtMut<'_, CudaBuf>,
) {
    let elements = shape.rows * shape.c;
    let (dx, dbias) = (dx.first(elements), dbias.buf.at(dbias.at, shape.c));
    let (dy, x, bias) = (dy.first(elements), x.first(elements), bias.buf.at(bias.at, shape.c));
    let args = [dx, dbias, dy, x, bias, int(shape.rows), int(shape.c), act_number(act)];
    queue.launch(Kernel::BIAS_ACT_GRAD, reducing(groups(shape.c), 1), &args);
}

pub(super) fn broadcast(queue: &mut Queue, shape: PointsShape, v: &CudaBuf, y: &mut CudaBuf) {
    let quads = shape.cells() * shape.c.div_ceil(4);
    let sizes = [shape.n, shape.len * shape.len, shape.c].map(int);
    let args = [y.first(shape.elements()), v.first(shape.n * shape.c), sizes[0], sizes[1], sizes[2], y.kind()];
    queue.each(Kernel::BROADCAST, quads, &args);
}

pub(super) fn broadcast_grad(queue: &mut Queue, shape: PointsShape, dy: &CudaBuf, dv: &mut CudaBuf) {
    let (from, dv) = (dy.first(shape.elements()), dv.first(shape.n * shape.c));
    let args = [dv, from, int(shape.len * shape.len), int(shape.c), dy.kind()];
    queue.launch(Kernel::BROADCAST_GRAD, reducing(shape.n, groups(shape.c)), &args);
}
