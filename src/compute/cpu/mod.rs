//! The CPU backend: f32, channel fastest, a library GEMM a chunk, a thread pool of a given size.
//!
//! Work is cut into chunks by the shape alone, and partial sums are added in the order of the chunks, so results are
//! the same bytes for any number of threads. Scratch memory belongs to the backend and grows only until the
//! largest shape was seen; the GEMM library and the thread pool keep buffers of their own.

mod activation;
mod conv;
mod loss;
mod norm;
mod optimiser;
mod pool;
#[cfg(test)]
mod tests;
mod unpack;

use super::*;
use crate::base::Error;
use rayon::prelude::*;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Cells a chunk of an elementwise or reducing pass: long enough to hide the hand-over, short enough to balance.
const CHUNK_CELLS: usize = 512;
/// Most threads a pool is made of: more than any board or desktop this is built for.
const THREADS_MAX: usize = 256;

/// A buffer in host memory.
pub type CpuBuf = Vec<f32>;

/// The CPU backend.
pub struct CpuOps {
    pool: rayon::ThreadPool,
    /// One a thread: the gathered rows of a convolution.
    scratch: Vec<Mutex<Vec<f32>>>,
    /// Partial sums of the reduction at work.
    partials: Mutex<Vec<f32>>,
    /// Rearranged weights of the convolution at work.
    weights: Mutex<Vec<f32>>,
}

impl CpuOps {
    /// A pool of `threads` threads.
    pub fn new(threads: usize) -> Result<CpuOps> {
        if threads == 0 || threads > THREADS_MAX {
            return Err(Error::call("--threads", format!("{threads}, expected 1 to {THREADS_MAX}")));
        }
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|i| format!("compute-{i}"))
            .build()
            .map_err(|e| Error::new("compute threads", e))?;
        let scratch = (0..threads).map(|_| Mutex::new(Vec::new())).collect();
        Ok(CpuOps { pool, scratch, partials: Mutex::new(Vec::new()), weights: Mutex::new(Vec::new()) })
    }

    /// Threads of the pool.
    pub fn threads(&self) -> usize {
        self.scratch.len()
    }

    /// Calls `f` for every item, in the pool, with the thread's scratch of at least `scratch_len` elements.
    fn each<I: IndexedParallelIterator>(&self, items: I, scratch_len: usize, f: impl Fn(I::Item, &mut [f32]) + Sync + Send) {
        let run = |item: I::Item| {
            if scratch_len == 0 {
                return f(item, &mut []);
            }
            let thread = rayon::current_thread_index().unwrap_or(0);
            let mut scratch = lock(&self.scratch[thread]);
            f(item, grown(&mut scratch, scratch_len));
        };
        self.pool.install(|| items.with_max_len(1).for_each(run));
    }
}

/// The lock; what a panicking thread left inside is scratch and may be reused.
fn lock(mutex: &Mutex<Vec<f32>>) -> MutexGuard<'_, Vec<f32>> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The first `len` elements of a buffer that only grows.
fn grown(buf: &mut Vec<f32>, len: usize) -> &mut [f32] {
    if buf.len() < len {
        buf.reserve_exact(len - buf.len());
        buf.resize(len, 0.0);
    }
    &mut buf[..len]
}

fn part(at: At<'_, CpuBuf>, len: usize) -> &[f32] {
    &at.buf[at.at..at.at + len]
}

fn part_mut(at: AtMut<'_, CpuBuf>, len: usize) -> &mut [f32] {
    &mut at.buf[at.at..at.at + len]
}

impl Ops for CpuOps {
    type Buf = CpuBuf;

    fn describe(&self) -> String {
        format!("CPU (threads: {})", self.threads())
    }

    fn scope<R: Send>(&self, walk: impl FnOnce() -> R + Send) -> R {
        self.pool.install(walk)
    }

    fn alloc(&self, len: usize) -> Result<CpuBuf> {
        let mut buf = Vec::new();
        buf.try_reserve_exact(len).map_err(|e| Error::new(format!("allocating {} bytes", len.saturating_mul(4)), e))?;
        buf.resize(len, 0.0);
        Ok(buf)
    }

    fn upload(&self, from: &[f32], to: AtMut<'_, CpuBuf>) {
        part_mut(to, from.len()).copy_from_slice(from);
    }

    fn download(&self, from: At<'_, CpuBuf>, to: &mut [f32]) {
        to.copy_from_slice(part(from, to.len()));
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

    fn conv(&self, shape: ConvShape, store: Store, x: &CpuBuf, weights: At<'_, CpuBuf>, y: &mut CpuBuf) {
        conv::forward(self, shape, store, x, part(weights, shape.weights()), y);
    }

    fn conv_grad_input(&self, shape: ConvShape, store: Store, weights: At<'_, CpuBuf>, dy: &CpuBuf, dx: &mut CpuBuf) {
        conv::grad_input(self, shape, store, part(weights, shape.weights()), dy, dx);
    }

    fn conv_grad_weights(&self, shape: ConvShape, x: &CpuBuf, dy: &CpuBuf, dweights: AtMut<'_, CpuBuf>) {
        conv::grad_weights(self, shape, x, dy, part_mut(dweights, shape.weights()));
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

    fn norm_act(
        &self,
        shape: PointsShape,
        act: Activation,
        x: &CpuBuf,
        saved: At<'_, CpuBuf>,
        mask: Mask<'_, CpuBuf>,
        y: &mut CpuBuf,
    ) {
        norm::act(self, shape, act, x, part(saved, NORM_SAVED * shape.c), mask.mask, y);
    }

    fn norm_act_grad(&self, shape: PointsShape, act: Activation, args: NormGrad<'_, CpuBuf>) {
        norm::act_grad(self, shape, act, args);
    }

    fn pool(&self, shape: PointsShape, kind: PoolKind, x: &CpuBuf, mask: Mask<'_, CpuBuf>, y: &mut CpuBuf) {
        pool::forward(self, shape, kind, x, mask, y);
    }

    fn pool_grad(
        &self,
        shape: PointsShape,
        kind: PoolKind,
        store: Store,
        x: &CpuBuf,
        mask: Mask<'_, CpuBuf>,
        dy: &CpuBuf,
        dx: &mut CpuBuf,
    ) {
        pool::grad(self, shape, kind, store, x, mask, dy, dx);
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

    fn losses(
        &self,
        shape: LossShape,
        heads: Heads<'_, CpuBuf>,
        mask: Mask<'_, CpuBuf>,
        targets: &Targets<'_>,
        weights: &LossWeights,
        grads: Option<HeadGrads<'_, CpuBuf>>,
    ) -> Losses {
        loss::losses(shape, &heads, mask, targets, weights, grads)
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

    fn sum_of_squares(&self, len: usize, values: &CpuBuf) -> f64 {
        optimiser::sum_of_squares(&values[..len])
    }

    fn scale(&self, len: usize, factor: f32, values: &mut CpuBuf) {
        values[..len].iter_mut().for_each(|v| *v *= factor);
    }

    fn scratch_bytes(&self, shape: ConvShape) -> usize {
        conv::scratch_bytes(self.threads(), shape)
    }

    fn average(&self, len: usize, keep: f32, values: &CpuBuf, average: &mut CpuBuf) {
        optimiser::average(len, keep, values, average);
    }
}
