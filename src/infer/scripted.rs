//! An evaluator that is a closure: search and opponents are tested with it.

use super::{Evaluation, Evaluator, Request};
use crate::base::Result;

/// Answers by a closure, one position at a time.
pub struct Scripted<F> {
    answer: F,
    batch_max: usize,
}

impl<F: FnMut(&Request<'_>) -> Evaluation + Send> Scripted<F> {
    /// An evaluator for batches of `batch_max` positions.
    pub fn new(batch_max: usize, answer: F) -> Scripted<F> {
        Scripted { answer, batch_max }
    }
}

impl Evaluation {
    /// An even position: the same logit for every move, value and score at zero.
    pub fn even(len: usize) -> Evaluation {
        Evaluation { policy: vec![0.0; len * len + 1], ownership: vec![0.0; len * len], version: 8, ..Evaluation::default() }
    }
}

impl<F: FnMut(&Request<'_>) -> Evaluation + Send> Evaluator for Scripted<F> {
    fn evaluate(&mut self, rows: &[Request<'_>], out: &mut [Evaluation]) -> Result<()> {
        for (request, out) in rows.iter().zip(out) {
            *out = (self.answer)(request);
        }
        Ok(())
    }

    fn batch_max(&self) -> usize {
        self.batch_max
    }

    fn describe(&self) -> String {
        "scripted".to_string()
    }
}
