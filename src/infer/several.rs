//! One net on several devices: a batch is cut into parts, one each.

use super::native::Native;
use super::{Evaluation, Evaluator, Request};
use crate::base::{Error, Result};
use crate::compute::Ops;

/// The same net on each device.
pub(super) struct Several<O: Ops>(Vec<Native<O>>);

impl<O: Ops> Several<O> {
    /// At least one.
    pub(super) fn new(all: Vec<Native<O>>) -> Several<O> {
        assert!(!all.is_empty(), "a net is somewhere");
        Several(all)
    }
}

impl<O: Ops> Evaluator for Several<O> {
    fn evaluate(&mut self, rows: &[Request<'_>], out: &mut [Evaluation]) -> Result<()> {
        if out.len() < rows.len() {
            return Err(Error::new("evaluation", format!("room for {} answers, {} positions", out.len(), rows.len())));
        }
        let share = rows.len().div_ceil(self.0.len()).max(1);
        if rows.len() == share {
            return self.0[0].evaluate(rows, out);
        }
        std::thread::scope(|threads| {
            let parts = self.0.iter_mut().zip(rows.chunks(share).zip(out[..rows.len()].chunks_mut(share)));
            let asked: Vec<_> = parts.map(|(native, (rows, out))| threads.spawn(|| native.evaluate(rows, out))).collect();
            let lost = || Error::new("evaluation", "a thread of a GPU ended early");
            // every thread ends before the first failure is told
            let told: Vec<Result<()>> = asked.into_iter().map(|t| t.join().unwrap_or_else(|_| Err(lost()))).collect();
            told.into_iter().collect()
        })
    }

    fn batch_max(&self) -> usize {
        self.0.iter().map(Evaluator::batch_max).sum()
    }

    fn describe(&self) -> String {
        format!("{} and {} more", self.0[0].describe(), self.0.len() - 1)
    }

    fn gpus(&self) -> Vec<crate::device::nvml::Place> {
        self.0.iter().flat_map(Evaluator::gpus).collect()
    }

    fn version(&self) -> u32 {
        self.0[0].version()
    }
}
