//! Every operation of the backend by itself, at the shapes of a net's trunk.

use super::compute::rows;
use super::{Ceilings, seconds_per_call};
use crate::base::{Error, Result};
use crate::compute::packed::{N_GLOBALS, N_PLANES};
use crate::compute::{
    Activation, At, AtMut, Base, ConvShape, Decay, HeadGrads, Heads, Input, LossShape, LossWeights, Mask, NormGrad, NormParams,
    NormShape, NormSource, Ops, PackedRows, PointsShape, PoolKind, RowsShape, Rule, Span, Store, Targets, Unpacked, Weights,
};
use serde::Serialize;
use std::time::Duration;

/// Numbers of the score head in the losses' table row.
const SCORE_C: usize = 4;
/// Bytes of a number.
const F32: f64 = 4.0;

/// What one operation showed.
#[derive(Clone, Debug, Serialize)]
pub struct OpMeasured {
    /// The operation and its shape.
    pub name: String,
    /// Microseconds a call.
    pub microseconds: f64,
    /// 10^9 floating-point operations a second, convolutions counted as done directly.
    pub gflops: f64,
    /// 10^9 bytes a second, each input and output counted once.
    pub gbytes: f64,
    /// The time that operations and bytes need at the machine's ceilings, divided by the time taken.
    pub share_of_roofline: f64,
    /// What the floor comes from.
    pub bound: Bound,
}

/// What keeps an operation from being faster on a perfect implementation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Bound {
    /// Multiply-and-adds.
    Compute,
    /// Bytes from memory.
    Memory,
}

/// The shape of a table: boards of `len x len` with `c` channels.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct OpsShape {
    /// Boards.
    pub n: usize,
    /// Side of the board.
    pub len: usize,
    /// Channels of the trunk.
    pub c: usize,
}

/// What an operation has to do and to move.
#[derive(Clone, Copy)]
struct Work {
    flops: f64,
    bytes: f64,
}

/// Measures every operation, each for about `window`.
pub fn table<O: Ops>(ops: &O, shape: OpsShape, window: Duration, ceilings: &Ceilings) -> Result<Vec<OpMeasured>> {
    let mut bench = Bench { ops, shape, window, ceilings, rows: Vec::new(), failed: None };
    bench.unpack()?;
    bench.convolutions()?;
    bench.norms()?;
    bench.pools()?;
    bench.vectors()?;
    bench.losses()?;
    bench.flat()?;
    bench.failed.map_or(Ok(bench.rows), Err)
}

struct Bench<'a, O: Ops> {
    ops: &'a O,
    shape: OpsShape,
    window: Duration,
    ceilings: &'a Ceilings,
    rows: Vec<OpMeasured>,
    /// What a device told when it was waited for.
    failed: Option<Error>,
}

impl<O: Ops> Bench<'_, O> {
    fn measure(&mut self, name: impl Into<String>, work: Work, call: &mut (dyn FnMut() + Send)) {
        let (ops, failed) = (self.ops, &mut self.failed);
        let mut wait = || *failed = ops.finish().err().or(failed.take());
        let seconds = seconds_per_call(self.window, &mut || ops.scope(&mut *call), &mut wait);
        let floor = self.ceilings.floor_s(work.flops, work.bytes);
        self.rows.push(OpMeasured {
            name: name.into(),
            microseconds: seconds * 1e6,
            gflops: work.flops / seconds / 1e9,
            gbytes: work.bytes / seconds / 1e9,
            share_of_roofline: floor / seconds,
            bound: if work.flops / self.ceilings.flops > work.bytes / self.ceilings.read_bytes {
                Bound::Compute
            } else {
                Bound::Memory
            },
        });
    }

    /// A buffer of small numbers of both signs.
    fn buf(&self, len: usize) -> Result<O::Buf> {
        let mut buf = self.ops.alloc(len)?;
        let values: Vec<f32> = (0..len).map(|i| ((i * 7919) % 255) as f32 / 127.0 - 1.0).collect();
        self.ops.upload(&values, AtMut { buf: &mut buf, at: 0 });
        Ok(buf)
    }

    fn filled(&self, len: usize, value: f32) -> Result<O::Buf> {
        let mut buf = self.ops.alloc(len)?;
        self.ops.fill(&mut buf, len, value);
        Ok(buf)
    }

    fn points(&self, c: usize) -> PointsShape {
        PointsShape { n: self.shape.n, len: self.shape.len, c }
    }

    fn unpack(&mut self) -> Result<()> {
        let OpsShape { n, len, .. } = self.shape;
        let (packed, symmetries) = (rows(len, n), (0..n).map(|i| (i % 8) as u8).collect::<Vec<_>>());
        let cells = self.points(1).elements();
        let (mut planes, mut globals) = (self.ops.alloc(cells * N_PLANES)?, self.ops.alloc(n * N_GLOBALS)?);
        let (mut mask, mut counts) = (self.ops.alloc(cells)?, self.ops.alloc(n)?);
        let bytes = packed.len() as f64 + F32 * (cells * (N_PLANES + 1)) as f64;
        let ops = self.ops;
        let mut failed = None;
        self.measure("unpack, all symmetries", Work { flops: 0.0, bytes }, &mut || {
            let to = Unpacked { planes: &mut planes, globals: &mut globals, mask: &mut mask, counts: &mut counts };
            failed = ops.unpack(PackedRows { len, bytes: &packed, symmetries: &symmetries }, to).err().or(failed.take());
        });
        failed.map_or(Ok(()), Err)
    }

    fn convolutions(&mut self) -> Result<()> {
        let c = self.shape.c;
        for (kernel, c_in, c_out) in [(3, N_PLANES, c), (3, c, c), (1, c, c.div_ceil(2)), (1, c, 1)] {
            self.convolution(ConvShape {
                n: self.shape.n,
                len: self.shape.len,
                kernel_y: kernel,
                kernel_x: kernel,
                c_in,
                c_out,
            })?;
        }
        Ok(())
    }

    fn convolution(&mut self, shape: ConvShape) -> Result<()> {
        let (x_len, w_len, y_len) = (shape.cells() * shape.c_in, shape.weights(), shape.cells() * shape.c_out);
        let (x, w) = (self.buf(x_len)?, self.buf(w_len)?);
        let (mut y, mut dw) = (self.buf(y_len)?, self.filled(w_len, 0.0)?);
        let flops = 2.0 * (shape.cells() * shape.weights()) as f64;
        let work = Work { flops, bytes: F32 * (x_len + w_len + y_len) as f64 };
        let name = |what: &str| format!("{what} {}x{} {} -> {}", shape.kernel_y, shape.kernel_x, shape.c_in, shape.c_out);
        let (ops, weights) = (self.ops, At { buf: &w, at: 0 });
        let prepared = ops.prepare(shape, weights)?;
        let input = Input { x: &x, norm: None };
        self.measure(name("conv"), work, &mut || ops.conv(shape, Base::Zero, input, Weights::Plain(weights), &mut y));
        self.measure(name("conv, prepared weights"), work, &mut || {
            ops.conv(shape, Base::Zero, input, Weights::Prepared(&prepared), &mut y);
        });
        self.measure(name("conv, weights' gradient"), work, &mut || {
            ops.conv_grad_weights(shape, input, &y, AtMut { buf: &mut dw, at: 0 });
        });
        let mut dx = self.filled(x_len, 0.0)?;
        self.measure(name("conv, input's gradient"), work, &mut || {
            ops.conv_grad_input(shape, Store::Write, weights, &y, &mut dx)
        });
        Ok(())
    }

    fn norms(&mut self) -> Result<()> {
        let points = self.points(self.shape.c);
        let shape = NormShape { points, epsilon: 1e-4 };
        let (n, c, elements) = (points.n, points.c, points.elements());
        let (x, mut dy) = (self.buf(elements)?, self.buf(elements)?);
        let (mut saved, mut running) = (self.filled(4 * c, 1.0)?, self.filled(2 * c, 1.0)?);
        let (params, mut grads) = (self.filled(2 * c, 1.0)?, self.filled(2 * c, 0.0)?);
        let (on, counts) = (self.filled(points.cells(), 1.0)?, self.filled(n, (points.len * points.len) as f32)?);
        let mask = Mask { mask: &on, counts: &counts };
        let ops = self.ops;
        let bytes = |tensors: usize| Work { flops: 3.0 * elements as f64, bytes: F32 * (tensors * elements) as f64 };
        self.measure("norm, statistics of a batch", bytes(1), &mut || {
            let source = NormSource::Batch { momentum: 0.1, running: AtMut { buf: &mut running, at: 0 } };
            let learned = NormParams { scale: Some(At { buf: &params, at: 0 }), bias: Some(At { buf: &params, at: c }) };
            ops.norm_stats(shape, source, learned, &x, mask, AtMut { buf: &mut saved, at: 0 });
        });
        let mut dx = self.filled(elements, 0.0)?;
        self.measure("norm and ReLU, gradient", bytes(5), &mut || {
            let saved = At { buf: &saved, at: 0 };
            let (dy, dx, grads) = (&mut dy, Some(&mut dx), &mut grads);
            let args = NormGrad { x: &x, saved, mask, dy, dx, grads, scale_at: Some(0), bias_at: Some(c) };
            ops.norm_act_grad(points, Activation::Relu, args);
        });
        Ok(())
    }

    fn pools(&mut self) -> Result<()> {
        let points = self.points(self.shape.c.div_ceil(3));
        let (n, elements) = (points.n, points.elements());
        let (x, mut dx) = (self.buf(elements)?, self.filled(elements, 0.0)?);
        let mut pooled = self.filled(n * 3 * points.c, 0.0)?;
        let (on, counts) = (self.filled(points.cells(), 1.0)?, self.filled(n, (points.len * points.len) as f32)?);
        let mask = Mask { mask: &on, counts: &counts };
        let (ops, input) = (self.ops, Input { x: &x, norm: None });
        for (kind, name) in [(PoolKind::Global, "global"), (PoolKind::Value, "value")] {
            let work = Work { flops: 2.0 * elements as f64, bytes: F32 * elements as f64 };
            self.measure(format!("pooling, {name}"), work, &mut || ops.pool(points, kind, input, mask, &mut pooled));
            let work = Work { flops: 2.0 * elements as f64, bytes: 2.0 * F32 * elements as f64 };
            self.measure(format!("pooling, {name}, gradient"), work, &mut || {
                ops.pool_grad(points, kind, Store::Write, input, mask, &pooled, &mut dx);
            });
        }
        Ok(())
    }

    fn vectors(&mut self) -> Result<()> {
        let points = self.points(self.shape.c);
        let (n, c, elements) = (points.n, points.c, points.elements());
        let (mut v, mut y) = (self.buf(n * c)?, self.buf(elements)?);
        let ops = self.ops;
        let work = Work { flops: elements as f64, bytes: 2.0 * F32 * elements as f64 };
        self.measure("broadcast", work, &mut || ops.broadcast(points, &v, &mut y));
        let work = Work { flops: elements as f64, bytes: F32 * elements as f64 };
        self.measure("broadcast, gradient", work, &mut || ops.broadcast_grad(points, &y, &mut v));
        let rows = RowsShape { rows: n, c };
        let (bias, mut out, mut dbias) = (self.buf(c)?, self.buf(n * c)?, self.filled(c, 0.0)?);
        let work = Work { flops: 2.0 * (n * c) as f64, bytes: 2.0 * F32 * (n * c) as f64 };
        let (at, act) = (At { buf: &bias, at: 0 }, Activation::Relu);
        self.measure("bias and ReLU of vectors", work, &mut || ops.bias_act(rows, act, &v, at, &mut out));
        let mut dx = self.buf(n * c)?;
        self.measure("bias and ReLU of vectors, gradient", work, &mut || {
            ops.bias_act_grad(rows, act, &v, at, &out, &mut dx, AtMut { buf: &mut dbias, at: 0 });
        });
        Ok(())
    }

    fn losses(&mut self) -> Result<()> {
        let OpsShape { n, len, .. } = self.shape;
        let cells = self.points(1).elements();
        let shape = LossShape { n, len, score_c: SCORE_C };
        let (policy, pass, value) = (self.buf(cells)?, self.buf(n)?, self.buf(3 * n)?);
        let (score, ownership) = (self.buf(SCORE_C * n)?, self.buf(cells)?);
        let mut d: Vec<O::Buf> = Vec::new();
        for len in [cells, n, 3 * n, SCORE_C * n, cells] {
            d.push(self.filled(len, 0.0)?);
        }
        let (on, counts) = (self.filled(cells, 1.0)?, self.filled(n, (len * len) as f32)?);
        let (moves, ones, owners) = (vec![0u16; n], vec![1.0f32; n], vec![1.0f32; cells]);
        let results = vec![[1.0f32, 0.0, 0.0]; n];
        let targets = Targets {
            policy: &moves,
            value: &results,
            value_weight: &ones,
            score: &ones,
            score_weight: &ones,
            ownership: &owners,
            ownership_weight: &ones,
            weight: &ones,
        };
        let ops = self.ops;
        let mut tally = ops.tally()?;
        let work = Work { flops: 20.0 * cells as f64, bytes: 5.0 * F32 * cells as f64 };
        self.measure("losses and their gradients", work, &mut || {
            let heads = Heads { policy: &policy, pass: &pass, value: &value, score: &score, ownership: &ownership };
            let [policy, pass, value, score, ownership] = d.get_disjoint_mut([0, 1, 2, 3, 4]).expect("five different buffers");
            let grads = HeadGrads { policy, pass, value, score, ownership };
            let mask = Mask { mask: &on, counts: &counts };
            ops.losses(shape, heads, mask, &targets, &LossWeights::default(), Some(grads), &mut tally);
        });
        Ok(())
    }

    /// What runs over all parameters: as many as a net of twelve 3x3 convolutions has.
    fn flat(&mut self) -> Result<()> {
        let len = 12 * 9 * self.shape.c * self.shape.c;
        let (mut params, mut grads, mut tally) = (self.buf(len)?, self.buf(len)?, self.ops.tally()?);
        let (mut first, mut second) = (self.filled(len, 0.0)?, self.filled(len, 0.0)?);
        let ops = self.ops;
        let spans = [Span { at: 0, len, decay: Decay::On }];
        let work = |tensors: f64, flops: f64| Work { flops: flops * len as f64, bytes: tensors * F32 * len as f64 };
        let rule = Rule::SgdNesterov { rate: 1e-4, momentum: 0.9, decay: 1e-4 };
        self.measure("optimiser, Nesterov", work(5.0, 8.0), &mut || {
            ops.step(rule, &spans, &mut params, &grads, &mut first, None)
        });
        let rule = Rule::AdamW { rate: 1e-4, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, decay: 1e-4, step: 1 };
        self.measure("optimiser, AdamW", work(7.0, 14.0), &mut || {
            ops.step(rule, &spans, &mut params, &grads, &mut first, Some(&mut second));
        });
        self.measure("weight averaging", work(3.0, 3.0), &mut || ops.average(len, 0.99, &params, &mut first));
        self.measure("length of the gradient", work(1.0, 2.0), &mut || ops.clip(len, 0.0, &mut grads, &mut tally));
        Ok(())
    }
}
