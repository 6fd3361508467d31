//! The CUDA backend: f32 on any GPU from sm_53 on, kernels of our own beside what launches them.
//!
//! Everything is queued (`queue`); a walk that comes again is one captured graph. Sums are made in a fixed order, so the same
//! work on the same device gives the same bytes. What fails on the device is told by the next result that is asked for.

mod busy;
mod ceiling;
mod compile;
mod conv;
mod embedded;
mod half;
mod kernels;
mod loss;
mod norm;
mod optim;
mod pool;
mod queue;
mod tensor;
mod unpack;

pub use super::Precision;
pub use ceiling::DeviceCeilings;

use super::*;
use crate::base::Error;
use crate::device::cuda::{Buffer, Context};
use half::Kind;
use queue::Queue;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tensor::TensorKernels;

/// Bytes of a number.
const F32: usize = size_of::<f32>();
/// Sums of a tally: those of [`Losses`], the gradients' lengths and the steps left out, each an f64.
const TALLY_LEN: usize = 17;

/// A buffer on a device.
pub struct CudaBuf {
    buffer: Buffer,
    len: usize,
    kind: Kind,
}

impl CudaBuf {
    /// The address of `len` numbers from `at` on.
    fn at(&self, at: usize, len: usize) -> u64 {
        assert!(at + len <= self.len, "{len} numbers from {at} on of {}", self.len);
        self.buffer.address() + (self.kind.bytes() * at) as u64
    }

    /// The address of the first `len` numbers.
    fn first(&self, len: usize) -> u64 {
        self.at(0, len)
    }

    /// How its numbers lie in memory, for kernels that are told.
    fn kind(&self) -> u64 {
        self.kind as u64
    }
}

/// Weights of a convolution that is computed many times.
pub struct Prepared {
    /// With `n` 0.
    shape: ConvShape,
    kind: conv::Kind,
    weights: Buffer,
}

/// Sums on a device, and behind them the factor of gradients: an f32, and the steps that fitted, an i32.
pub struct CudaTally(Buffer);

impl CudaTally {
    /// Where the factor of gradients is.
    fn scale_address(&self) -> u64 {
        self.0.address() + (TALLY_LEN * size_of::<f64>()) as u64
    }
}

/// The CUDA backend on one device.
pub struct CudaOps {
    // before the context, which must go last
    queue: Mutex<Queue>,
    context: Context,
}

impl CudaOps {
    /// A backend on GPU `ordinal`. Compiles kernels where none are kept for this device, which takes some seconds.
    /// Where the device has nothing for a precision, it computes in f32.
    pub fn new(ordinal: usize, precision: Precision) -> Result<CudaOps> {
        let context = Context::open(ordinal)?;
        let tensor = tensor::Tensor::of(context.facts(), precision);
        Ok(CudaOps { queue: Mutex::new(Queue::new(&context, tensor)?), context })
    }

    /// The largest relative error of rounding once, as this device computes.
    pub fn rounding(&self) -> f32 {
        self.queue().tensor().map_or(0.0, tensor::TensorKernels::rounding)
    }

    /// The device.
    pub fn context(&self) -> &Context {
        &self.context
    }

    fn alloc_kind(&self, len: usize, kind: Kind) -> Result<CudaBuf> {
        let words = len.checked_mul(kind.bytes()).map(|bytes| bytes.div_ceil(F32));
        let words = words.ok_or_else(|| Error::new("allocating on the GPU", format!("{len} numbers")))?;
        let buf = CudaBuf { buffer: Buffer::new(&self.context, F32 * words)?, len, kind };
        self.queue().fill(buf.buffer.address(), 0, words);
        Ok(buf)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // what a panicking thread left is work that was checked when it was gathered
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs what gathers work and keeps its failure for the next result.
    fn gather(&self, work: impl FnOnce(&mut Queue) -> Result<()>) {
        let mut queue = self.queue();
        work(&mut queue).unwrap_or_else(|e| queue.fail(e));
    }
}

/// A C int.
fn int(value: usize) -> u64 {
    u64::from(i32::try_from(value).expect("sizes are far below 2^31").cast_unsigned())
}

/// A C float.
fn float(value: f32) -> u64 {
    u64::from(value.to_bits())
}

/// A C int that stands for a mode.
fn flag(on: bool) -> u64 {
    u64::from(on)
}

/// As the kernels number them.
fn act_number(act: Activation) -> u64 {
    match act {
        Activation::Identity => 0,
        Activation::Relu => 1,
        Activation::Mish => 2,
        Activation::Silu => 3,
    }
}

/// Points as kernels read them: `x` and its kind, `saved` or null, `mask` or null, activation.
#[derive(Clone, Copy)]
struct View {
    x: u64,
    kind: u64,
    saved: u64,
    mask: u64,
    act: u64,
}

/// Points of `c` channels in `cells` cells as an operation reads them.
fn view(input: Input<'_, CudaBuf>, cells: usize, c: usize) -> View {
    let (x, kind) = (input.x.first(cells * c), input.x.kind());
    match input.norm {
        None => View { x, kind, saved: 0, mask: 0, act: act_number(Activation::Identity) },
        Some(NormAct { saved, act, mask }) => {
            let saved = saved.buf.at(saved.at, NORM_SAVED * c);
            View { x, kind, saved, mask: mask.mask.first(cells), act: act_number(act) }
        }
    }
}

/// Ends a walk even where it panics.
struct Walking<'a>(&'a CudaOps);

impl Drop for Walking<'_> {
    fn drop(&mut self) {
        self.0.queue().end();
    }
}

impl Ops for CudaOps {
    type Buf = CudaBuf;
    type Prepared = Prepared;
    type Tally = CudaTally;

    fn describe(&self) -> String {
        format!("CUDA ({})", self.context.facts().describe())
    }

    fn gpu(&self) -> Option<crate::device::nvml::Place> {
        Some(self.context.facts().place)
    }

    fn scope<R: Send>(&self, walk: impl FnOnce() -> R + Send) -> R {
        self.queue().begin();
        let _walking = Walking(self);
        walk()
    }

    fn finish(&self) -> Result<()> {
        self.queue().finish()
    }

    fn alloc(&self, len: usize) -> Result<CudaBuf> {
        self.alloc_kind(len, Kind::F32)
    }

    fn alloc_points(&self, len: usize) -> Result<CudaBuf> {
        let kind = self.queue().tensor().map_or(Kind::F32, |tensor| tensor.kind());
        self.alloc_kind(len, kind)
    }

    fn upload(&self, from: &[f32], to: AtMut<'_, CudaBuf>) {
        let (at, kind) = (to.buf.at(to.at, from.len()), to.buf.kind);
        if kind == Kind::F32 {
            self.queue().upload(bytemuck::cast_slice(from), at);
        } else {
            let narrow: Vec<u16> = from.iter().map(|v| kind.narrow(*v)).collect();
            self.queue().upload(bytemuck::cast_slice(&narrow), at);
        }
    }

    fn download(&self, parts: &mut [(At<'_, CudaBuf>, &mut [f32])]) -> Result<()> {
        let mut raw: Vec<(u64, &mut [u8])> = Vec::with_capacity(parts.len());
        for (from, to) in parts.iter_mut() {
            let bytes = from.buf.kind.bytes() * to.len();
            raw.push((from.buf.at(from.at, to.len()), &mut bytemuck::cast_slice_mut(to)[..bytes]));
        }
        self.queue().download(&mut raw)?;
        for (from, to) in parts.iter_mut().filter(|(from, _)| from.buf.kind != Kind::F32) {
            // 16-bit numbers lie in the first half
            for i in (0..to.len()).rev() {
                let bits = bytemuck::cast_slice::<f32, u16>(to)[i];
                to[i] = from.buf.kind.widen(bits);
            }
        }
        Ok(())
    }

    fn fill(&self, buf: &mut CudaBuf, len: usize, value: f32) {
        assert_eq!(buf.kind, Kind::F32, "points between operations are written by those");
        self.queue().fill(buf.first(len), value.to_bits(), len);
    }

    fn copy(&self, len: usize, from: &CudaBuf, to: &mut CudaBuf) {
        assert_eq!(from.kind, to.kind, "a copy is of one kind");
        self.queue().copy(from.first(len), to.first(len), from.kind.bytes() * len);
    }

    fn unpack(&self, rows: PackedRows<'_>, to: Unpacked<'_, CudaBuf>) -> Result<()> {
        rows.check()?;
        unpack::unpack(&mut self.queue(), rows, to)
    }

    fn prepare(&self, shape: ConvShape, weights: At<'_, CudaBuf>) -> Result<Prepared> {
        conv::prepare(&mut self.queue(), shape, weights)
    }

    fn prepared_bytes(&self, shape: ConvShape) -> usize {
        conv::prepared_bytes(self.queue().tensor(), shape)
    }

    fn together(&self, n: usize, _elements: usize) -> usize {
        n
    }

    fn conv(
        &self,
        shape: ConvShape,
        base: Base<'_, CudaBuf>,
        input: Input<'_, CudaBuf>,
        weights: Weights<'_, CudaBuf, Prepared>,
        y: &mut CudaBuf,
    ) {
        self.gather(|queue| conv::forward(queue, shape, base, input, weights, y));
    }

    fn conv_norm_stats(
        &self,
        shape: ConvShape,
        base: Base<'_, CudaBuf>,
        input: Input<'_, CudaBuf>,
        weights: At<'_, CudaBuf>,
        y: &mut CudaBuf,
        stats: NormStats<'_, CudaBuf>,
    ) {
        self.gather(|queue| conv::forward_stats(queue, shape, base, input, weights, y, stats));
    }

    fn conv_grad_input(&self, shape: ConvShape, store: Store, weights: At<'_, CudaBuf>, dy: &CudaBuf, dx: &mut CudaBuf) {
        self.gather(|queue| conv::grad_input(queue, shape, store, weights, dy, dx));
    }

    fn conv_grad_weights(&self, shape: ConvShape, input: Input<'_, CudaBuf>, dy: &CudaBuf, dweights: AtMut<'_, CudaBuf>) {
        self.gather(|queue| conv::grad_weights(queue, shape, input, dy, dweights));
    }

    fn norm_stats(
        &self,
        shape: NormShape,
        source: NormSource<'_, CudaBuf>,
        params: NormParams<'_, CudaBuf>,
        x: &CudaBuf,
        mask: Mask<'_, CudaBuf>,
        saved: AtMut<'_, CudaBuf>,
    ) {
        self.gather(|queue| norm::stats(queue, shape, source, params, x, mask, saved));
    }

    fn norm_act_grad(&self, shape: PointsShape, act: Activation, args: NormGrad<'_, CudaBuf>) {
        self.gather(|queue| norm::act_grad(queue, shape, act, args));
    }

    fn pool(&self, shape: PointsShape, kind: PoolKind, input: Input<'_, CudaBuf>, mask: Mask<'_, CudaBuf>, y: &mut CudaBuf) {
        pool::forward(&mut self.queue(), shape, kind, input, mask, y);
    }

    fn pool_grad(
        &self,
        shape: PointsShape,
        kind: PoolKind,
        store: Store,
        input: Input<'_, CudaBuf>,
        mask: Mask<'_, CudaBuf>,
        dy: &CudaBuf,
        dx: &mut CudaBuf,
    ) {
        pool::grad(&mut self.queue(), shape, kind, store, input, mask, dy, dx);
    }

    fn bias_act(&self, shape: RowsShape, act: Activation, x: &CudaBuf, bias: At<'_, CudaBuf>, y: &mut CudaBuf) {
        pool::bias_act(&mut self.queue(), shape, act, x, bias, y);
    }

    fn bias_act_grad(
        &self,
        shape: RowsShape,
        act: Activation,
        x: &CudaBuf,
        bias: At<'_, CudaBuf>,
        dy: &CudaBuf,
        dx: &mut CudaBuf,
        dbias: AtMut<'_, CudaBuf>,
    ) {
        pool::bias_act_grad(&mut self.queue(), shape, act, x, bias, dy, dx, dbias);
    }

    fn broadcast(&self, shape: PointsShape, v: &CudaBuf, y: &mut CudaBuf) {
        pool::broadcast(&mut self.queue(), shape, v, y);
    }

    fn broadcast_grad(&self, shape: PointsShape, dy: &CudaBuf, dv: &mut CudaBuf) {
        pool::broadcast_grad(&mut self.queue(), shape, dy, dv);
    }

    fn tally(&self) -> Result<CudaTally> {
        let tally = CudaTally(Buffer::new(&self.context, (TALLY_LEN + 1) * size_of::<f64>())?);
        let mut queue = self.queue();
        queue.fill(tally.0.address(), 0, TALLY_LEN * size_of::<f64>() / F32);
        let factor = queue.tensor().and_then(TensorKernels::grad_scale).unwrap_or(1.0);
        optim::set_scale(&mut queue, &tally, GradScale { factor, fitted_steps: 0 });
        Ok(tally)
    }

    fn read(&self, tally: &mut CudaTally) -> Result<Tallied> {
        let (mut sums, mut queue) = ([0.0f64; TALLY_LEN + 1], self.queue());
        let address = tally.0.address();
        queue.download(&mut [(address, bytemuck::cast_slice_mut(&mut sums))])?;
        queue.fill(address, 0, TALLY_LEN * size_of::<f64>() / F32);
        let is_scaled = queue.tensor().and_then(TensorKernels::grad_scale).is_some();
        let (sums, [.., scale]) = (sums.first_chunk().expect("the sums come first"), sums);
        Ok(Tallied { grad_scale: is_scaled.then(|| optim::scale_of(scale)), ..loss::tallied(sums) })
    }

    fn busy(&self) -> Option<Duration> {
        Some(self.queue().busy())
    }

    fn set_grad_scale(&self, to: GradScale, tally: &mut CudaTally) {
        let mut queue = self.queue();
        if queue.tensor().and_then(TensorKernels::grad_scale).is_some() {
            optim::set_scale(&mut queue, tally, to);
        }
    }

    fn losses(
        &self,
        shape: LossShape,
        heads: Heads<'_, CudaBuf>,
        mask: Mask<'_, CudaBuf>,
        targets: &Targets<'_>,
        weights: &LossWeights,
        grads: Option<HeadGrads<'_, CudaBuf>>,
        tally: &mut CudaTally,
    ) {
        self.gather(|queue| loss::losses(queue, shape, heads, mask, targets, weights, grads, tally));
    }

    fn step(
        &self,
        rule: Rule,
        spans: &[Span],
        params: &mut CudaBuf,
        grads: &CudaBuf,
        first: &mut CudaBuf,
        second: Option<&mut CudaBuf>,
    ) {
        self.gather(|queue| optim::step(queue, rule, spans, params, grads, first, second));
    }

    fn clip(&self, len: usize, longest: f32, values: &mut CudaBuf, tally: &mut CudaTally) {
        self.gather(|queue| optim::clip(queue, len, longest, values, tally));
    }

    fn scratch_bytes(&self, shape: ConvShape) -> usize {
        conv::scratch_bytes(self.queue().tensor(), shape).max(norm::scratch_bytes(shape.cells(), shape.c_in.max(shape.c_out)))
    }

    fn average(&self, len: usize, keep: f32, values: &CudaBuf, average: &mut CudaBuf) {
        self.gather(|queue| optim::average(queue, len, keep, values, average));
    }
}
