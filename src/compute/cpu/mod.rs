//! The CPU backend: f32, channel fastest, kernels for the instruction set at hand, a team of threads.
//!
//! Work is cut by the shape alone or so that each sum keeps its order, so results are the same bytes for any number of
//! threads, on processors with the same instruction set. Scratch memory belongs to the backend and grows only until the
//! largest shape was seen.

mod activation;
mod buf;
mod ceiling;
mod conv;
mod frame;
mod gemm;
mod gemm_half;
mod last;
mod loss;
mod norm;
mod optimiser;
mod output;
mod pool;
mod prepared;
mod simd;
mod team;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_half;
mod unpack;
mod winograd;

use super::*;
use crate::base::Error;
pub use buf::CpuBuf;
use frame::{Before, View};
use prepared::Prepared;
use simd::Isa;
use simd::half::Half;
use std::sync::{Mutex, MutexGuard, PoisonError};
use team::Team;

/// Cells a chunk of an elementwise or reducing pass: long enough to hide the hand-over, short enough to balance.
const CHUNK_CELLS: usize = 512;
/// Elements a thread that walk together when playing: tensors of them, and what lies between the stages of a convolution,
/// stay in the caches.
const TOGETHER_ELEMENTS: usize = 1 << 17;
/// Most threads a backend has: more than any board or desktop this is built for.
const THREADS_MAX: usize = 256;

/// The CPU backend.
pub struct CpuOps {
    isa: Isa,
    /// What multiplies prepared weights that are rounded to f16; none: they are not.
    half: Option<Half>,
    team: Team,
    /// Partial sums of the reduction at work.
    partials: Mutex<CpuBuf>,
    /// Prepared weights of the convolution at work.
    weights: Mutex<CpuBuf>,
    /// Turned weights of the convolution at work.
    turned: Mutex<CpuBuf>,
    /// What the threads share in a weight gradient.
    shared: Mutex<CpuBuf>,
}

impl CpuOps {
    /// A backend of `threads` threads, the caller's and its helpers, in f32.
    pub fn new(threads: usize) -> Result<CpuOps> {
        CpuOps::with_isa(threads, Isa::detect())
    }

    /// A backend that plays in `precision`: f16 rounds the factors of prepared 3x3 convolutions where the processor computes with
    /// f16. All else, and training, is f32, and so is everything where it does not: [`CpuOps::describe`](Ops::describe) tells.
    pub fn with_precision(threads: usize, precision: Precision) -> Result<CpuOps> {
        let half = if precision == Precision::F16 { Half::detect() } else { None };
        Ok(CpuOps { half, ..CpuOps::new(threads)? })
    }

    /// A backend that rounds where [`Precision::F16`] does, on any processor and as slowly as that is: what a core with half
    /// precision would answer, for tests.
    pub fn with_plain_f16(threads: usize) -> Result<CpuOps> {
        Ok(CpuOps { half: Some(Half::plain()), ..CpuOps::new(threads)? })
    }

    /// Whether this processor computes with f16.
    pub fn has_f16() -> bool {
        Half::detect().is_some()
    }

    fn with_isa(threads: usize, isa: Isa) -> Result<CpuOps> {
        if threads == 0 || threads > THREADS_MAX {
            return Err(Error::call("--threads", format!("{threads}, expected 1 to {THREADS_MAX}")));
        }
        Ok(CpuOps {
            isa,
            half: None,
            team: Team::new(threads)?,
            partials: Mutex::default(),
            weights: Mutex::default(),
            turned: Mutex::default(),
            shared: Mutex::default(),
        })
    }

    /// The instruction set that the kernels use: `AVX-512`, `AVX2`, `NEON` or `portable`.
    pub fn instruction_set(&self) -> &'static str {
        self.isa.name()
    }

    /// What prepared convolutions round their factors to.
    pub fn precision(&self) -> Precision {
        if self.half.is_some() { Precision::F16 } else { Precision::F32 }
    }

    /// Threads that compute.
    pub fn threads(&self) -> usize {
        self.team.threads()
    }
}

/// A pointer that threads may share; who uses it says why that is sound.
#[derive(Clone, Copy)]
struct RawMut(*mut f32);

impl RawMut {
    /// # Safety
    /// Element `i` lies within, or one beyond, what the pointer was made from.
    #[inline(always)]
    unsafe fn add(self, i: usize) -> *mut f32 {
        // SAFETY: the caller's promise.
        unsafe { self.0.add(i) }
    }
}

// SAFETY: it is only an address; every use of it states which thread writes what.
unsafe impl Send for RawMut {}
// SAFETY: as above.
unsafe impl Sync for RawMut {}

/// The lock; what a panicking thread left inside is scratch and may be reused.
fn lock(mutex: &Mutex<CpuBuf>) -> MutexGuard<'_, CpuBuf> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn part(at: At<'_, CpuBuf>, len: usize) -> &[f32] {
    &at.buf[at.at..at.at + len]
}

fn part_mut(at: AtMut<'_, CpuBuf>, len: usize) -> &mut [f32] {
    &mut at.buf[at.at..at.at + len]
}

fn plain(x: &[f32]) -> View<'_> {
    View { x, before: None }
}

/// Points of `c` channels as an operation reads them.
fn view(input: Input<'_, CpuBuf>, c: usize) -> View<'_> {
    let before = input.norm.map(|NormAct { saved, act, mask }| {
        let saved = part(saved, NORM_SAVED * c);
        Before { scale: &saved[2 * c..3 * c], shift: &saved[3 * c..], act, mask: mask.mask }
    });
    View { x: input.x, before }
}

impl Ops for CpuOps {
    type Buf = CpuBuf;
    type Prepared = Prepared;
    type Tally = Tallied;

    fn describe(&self) -> String {
        let precision = if self.half.is_some() { ", f16" } else { "" };
        format!("CPU (threads: {}{precision})", self.threads())
    }

    fn scope<R: Send>(&self, walk: impl FnOnce() -> R + Send) -> R {
        walk()
    }

    fn finish(&self) -> Result<()> {
        Ok(())
    }

    fn alloc(&self, len: usize) -> Result<CpuBuf> {
        CpuBuf::zeros(len)
    }

    fn upload(&self, from: &[f32], to: AtMut<'_, CpuBuf>) {
        part_mut(to, from.len()).copy_from_slice(from);
    }

    fn download(&self, parts: &mut [(At<'_, CpuBuf>, &mut [f32])]) -> Result<()> {
        parts.iter_mut().for_each(|(from, to)| to.copy_from_slice(part(*from, to.len())));
        Ok(())
    }

    fn fill(&self, buf: &mut CpuBuf, len: usize, value: f32) {
        buf[..len].fill(value);
    }

    fn copy(&self, len: usize, from: &CpuBuf, to: &mut CpuBuf) {
        to[..len].copy_from_slice(&from[..len]);
    }

    fn unpack(&self, rows: PackedRows<'_>, to: Unpacked<'_, CpuBuf>) -> Result<()> {
        unpack::unpack(self, rows, to)
    }

    fn prepare(&self, shape: ConvShape, weights: At<'_, CpuBuf>) -> Result<Prepared> {
        Prepared::new(self, shape, part(weights, shape.weights()))
    }

    fn prepared_bytes(&self, shape: ConvShape) -> usize {
        prepared::bytes(self, shape)
    }

    fn together(&self, n: usize, elements: usize) -> usize {
        let threads = self.threads();
        (TOGETHER_ELEMENTS / elements.max(1)).max(1).saturating_mul(threads).min(n)
    }

    fn conv(
        &self,
        shape: ConvShape,
        base: Base<'_, CpuBuf>,
        input: Input<'_, CpuBuf>,
        weights: Weights<'_, CpuBuf, Prepared>,
        y: &mut CpuBuf,
    ) {
        let view = view(input, shape.c_in);
        match weights {
            Weights::Plain(at) => conv::forward(self, shape, base.into(), view, part(at, shape.weights()), y),
            Weights::Prepared(prepared) => prepared.forward(self, shape, base.into(), view, y),
        }
    }

    fn conv_norm_stats(
        &self,
        shape: ConvShape,
        base: Base<'_, CpuBuf>,
        input: Input<'_, CpuBuf>,
        weights: At<'_, CpuBuf>,
        y: &mut CpuBuf,
        stats: NormStats<'_, CpuBuf>,
    ) {
        let (view, weights) = (view(input, shape.c_in), part(weights, shape.weights()));
        conv::forward_stats(self, shape, base.into(), view, weights, y, stats);
    }

    fn conv_norm_grad(
        &self,
        shape: ConvShape,
        store: Store,
        weights: At<'_, CpuBuf>,
        dy: &CpuBuf,
        act: Activation,
        norm: NormGrad<'_, CpuBuf>,
    ) {
        conv::grad_norm(self, shape, store.into(), part(weights, shape.weights()), plain(dy), act, norm);
    }

    fn conv_grad_input(&self, shape: ConvShape, store: Store, weights: At<'_, CpuBuf>, dy: &CpuBuf, dx: &mut CpuBuf) {
        conv::grad_input(self, shape, store.into(), part(weights, shape.weights()), plain(dy), dx);
    }

    fn conv_grad_weights(&self, shape: ConvShape, input: Input<'_, CpuBuf>, dy: &CpuBuf, dweights: AtMut<'_, CpuBuf>) {
        conv::grad_weights(self, shape, view(input, shape.c_in), plain(dy), part_mut(dweights, shape.weights()));
    }

    fn norm_stats(
        &self,
        shape: NormShape,
        source: NormSource<'_, CpuBuf>,
        params: NormParams<'_, CpuBuf>,
        x: &CpuBuf,
        mask: Mask<'_, CpuBuf>,
        saved: AtMut<'_, CpuBuf>,
    ) {
        norm::stats(self, shape, source, params, x, mask, saved);
    }

    fn norm_act_grad(&self, shape: PointsShape, act: Activation, args: NormGrad<'_, CpuBuf>) {
        norm::act_grad(self, shape, act, args);
    }

    fn pool(&self, shape: PointsShape, kind: PoolKind, input: Input<'_, CpuBuf>, mask: Mask<'_, CpuBuf>, y: &mut CpuBuf) {
        pool::forward(self, shape, kind, view(input, shape.c), mask, y);
    }

    fn pool_grad(
        &self,
        shape: PointsShape,
        kind: PoolKind,
        store: Store,
        input: Input<'_, CpuBuf>,
        mask: Mask<'_, CpuBuf>,
        dy: &CpuBuf,
        dx: &mut CpuBuf,
    ) {
        pool::grad(self, shape, kind, store, view(input, shape.c), mask, dy, dx);
    }

    fn bias_act(&self, shape: RowsShape, act: Activation, x: &CpuBuf, bias: At<'_, CpuBuf>, y: &mut CpuBuf) {
        pool::bias_act(shape, act, x, part(bias, shape.c), y);
    }

    fn bias_act_grad(
        &self,
        shape: RowsShape,
        act: Activation,
        x: &CpuBuf,
        bias: At<'_, CpuBuf>,
        dy: &CpuBuf,
        dx: &mut CpuBuf,
        dbias: AtMut<'_, CpuBuf>,
    ) {
        pool::bias_act_grad(shape, act, x, part(bias, shape.c), dy, dx, part_mut(dbias, shape.c));
    }

    fn broadcast(&self, shape: PointsShape, v: &CpuBuf, y: &mut CpuBuf) {
        pool::broadcast(self, shape, v, y);
    }

    fn broadcast_grad(&self, shape: PointsShape, dy: &CpuBuf, dv: &mut CpuBuf) {
        pool::broadcast_grad(self, shape, dy, dv);
    }

    fn tally(&self) -> Result<Tallied> {
        Ok(Tallied::default())
    }

    fn read(&self, tally: &mut Tallied) -> Result<Tallied> {
        Ok(std::mem::take(tally))
    }

    fn losses(
        &self,
        shape: LossShape,
        heads: Heads<'_, CpuBuf>,
        mask: Mask<'_, CpuBuf>,
        targets: &Targets<'_>,
        weights: &LossWeights,
        grads: Option<HeadGrads<'_, CpuBuf>>,
        tally: &mut Tallied,
    ) {
        tally.losses += loss::losses(shape, &heads, mask, targets, weights, grads);
    }

    fn step(
        &self,
        rule: Rule,
        spans: &[Span],
        params: &mut CpuBuf,
        grads: &CpuBuf,
        first: &mut CpuBuf,
        second: Option<&mut CpuBuf>,
    ) {
        optimiser::step(self, rule, spans, params, grads, first, second);
    }

    fn clip(&self, len: usize, longest: f32, values: &mut CpuBuf, tally: &mut Tallied) {
        tally.norms += optimiser::clip(longest, &mut values[..len]);
    }

    fn scratch_bytes(&self, shape: ConvShape) -> usize {
        conv::scratch_bytes(self, shape)
    }

    fn average(&self, len: usize, keep: f32, values: &CpuBuf, average: &mut CpuBuf) {
        optimiser::average(len, keep, values, average);
    }
}
