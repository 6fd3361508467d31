//! Workers that gather batches ahead of the learner.
//!
//! Batch `b` is made by worker `b % workers` and handed over in the order of `b`, so that any number of workers
//! gives the same run. Batches travel in a fixed set of buffers, which go back when they are used.

use super::batch::HostBatch;
use crate::base::{Error, Result};
use crate::shard::Sampler;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::{self, JoinHandle};

/// What is gathered ahead.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PrefetchPlan {
    /// Number of the first batch; batch `b` holds samples `b * batch_size ..`.
    pub first_batch: u64,
    /// Positions a batch.
    pub batch_size: usize,
    /// Threads.
    pub workers: usize,
    /// Batches each thread holds ready.
    pub factor: usize,
}

struct Worker {
    ready: Receiver<Result<HostBatch>>,
    empty: Sender<HostBatch>,
    thread: Option<JoinHandle<()>>,
}

/// Batches in order, made ahead.
pub(crate) struct Prefetcher {
    workers: Vec<Worker>,
    next: u64,
}

impl Prefetcher {
    /// Starts the workers.
    pub(crate) fn start(sampler: &Arc<Sampler>, plan: PrefetchPlan) -> Result<Prefetcher> {
        let len = sampler.len();
        let mut workers = Vec::with_capacity(plan.workers);
        for w in 0..plan.workers as u64 {
            let (ready_tx, ready) = sync_channel(plan.factor);
            let (empty, empty_rx) = channel();
            // One more than the queue holds: the one the learner works on.
            for _ in 0..plan.factor + 1 {
                empty.send(HostBatch::new(plan.batch_size, len)).expect("the receiver is at hand");
            }
            let sampler = Arc::clone(sampler);
            let first = first_of_worker(plan.first_batch, w, plan.workers as u64);
            let thread = thread::Builder::new()
                .name(format!("prefetch-{w}"))
                .spawn(move || gather(&sampler, first, plan, &empty_rx, &ready_tx))
                .map_err(|e| Error::new("prefetch worker", e))?;
            workers.push(Worker { ready, empty, thread: Some(thread) });
        }
        Ok(Prefetcher { workers, next: plan.first_batch })
    }

    /// The next batch; waits for it.
    pub(crate) fn next(&mut self) -> Result<HostBatch> {
        let worker = &self.workers[(self.next % self.workers.len() as u64) as usize];
        self.next += 1;
        worker.ready.recv().map_err(|_| Error::new("prefetch worker", "ended before its batch was ready"))?
    }

    /// Gives a used batch back to the worker that made the latest one.
    pub(crate) fn give_back(&self, batch: HostBatch) {
        let worker = &self.workers[((self.next - 1) % self.workers.len() as u64) as usize];
        // A worker that has ended after an error needs no buffers.
        let _ = worker.empty.send(batch);
    }
}

impl Drop for Prefetcher {
    fn drop(&mut self) {
        for worker in self.workers.drain(..) {
            let Worker { ready, empty, thread } = worker;
            drop((ready, empty));
            if let Some(thread) = thread {
                // Its panic would have shown as a missing batch.
                let _ = thread.join();
            }
        }
    }
}

/// The first batch from `first_batch` on that is this worker's.
fn first_of_worker(first_batch: u64, worker: u64, workers: u64) -> u64 {
    first_batch + (worker + workers - first_batch % workers) % workers
}

fn gather(sampler: &Sampler, first: u64, plan: PrefetchPlan, empty: &Receiver<HostBatch>, ready: &SyncSender<Result<HostBatch>>) {
    let size = plan.batch_size as u64;
    let mut b = first;
    while let Ok(mut batch) = empty.recv() {
        let filled = batch.fill(sampler, (b * size..(b + 1) * size).map(|i| sampler.sample(i)));
        let failed = filled.is_err();
        if ready.send(filled.map(|()| batch)).is_err() || failed {
            return;
        }
        b += plan.workers as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::first_of_worker;

    #[test]
    fn every_batch_has_one_worker() {
        for workers in 1..5 {
            for first in 0..9 {
                let mut starts: Vec<u64> = (0..workers).map(|w| first_of_worker(first, w, workers)).collect();
                for (w, &b) in starts.iter().enumerate() {
                    assert_eq!(b % workers, w as u64);
                }
                starts.sort_unstable();
                assert!(starts.iter().copied().eq(first..first + workers));
            }
        }
    }
}
