//! A batch on the host, gathered straight from the mapped shards.

use crate::base::Result;
use crate::base::symmetry::Symmetry;
use crate::compute::packed::row_bytes;
use crate::net::{Batch, Targets};
use crate::shard::{Sample, Sampler};

/// Packed rows and targets of up to `n_max` positions. Its memory is taken once.
pub(crate) struct HostBatch {
    len: usize,
    rows: Vec<u8>,
    symmetries: Vec<u8>,
    policy: Vec<u16>,
    value: Vec<[f32; 3]>,
    value_weight: Vec<f32>,
    score: Vec<f32>,
    score_weight: Vec<f32>,
    ownership: Vec<f32>,
    ownership_weight: Vec<f32>,
    weight: Vec<f32>,
}

impl HostBatch {
    /// Room for `n_max` positions of `len x len` arrays.
    pub(crate) fn new(n_max: usize, len: usize) -> HostBatch {
        HostBatch {
            len,
            rows: Vec::with_capacity(n_max * row_bytes(len)),
            symmetries: Vec::with_capacity(n_max),
            policy: Vec::with_capacity(n_max),
            value: Vec::with_capacity(n_max),
            value_weight: Vec::with_capacity(n_max),
            score: Vec::with_capacity(n_max),
            score_weight: Vec::with_capacity(n_max),
            ownership: Vec::with_capacity(n_max * len * len),
            ownership_weight: Vec::with_capacity(n_max),
            weight: Vec::with_capacity(n_max),
        }
    }

    /// Bytes of a batch of `n` positions.
    pub(crate) fn bytes(n: usize, len: usize) -> usize {
        n * (row_bytes(len) + 4 * len * len + 35)
    }

    /// The input.
    pub(crate) fn input(&self) -> Batch<'_> {
        Batch { len: self.len, rows: &self.rows, symmetries: &self.symmetries }
    }

    /// The targets.
    pub(crate) fn targets(&self) -> Targets<'_> {
        Targets {
            policy: &self.policy,
            value: &self.value,
            value_weight: &self.value_weight,
            score: &self.score,
            score_weight: &self.score_weight,
            ownership: &self.ownership,
            ownership_weight: &self.ownership_weight,
            weight: &self.weight,
        }
    }

    /// Replaces its content by these samples, moved by their symmetries.
    pub(crate) fn fill(&mut self, sampler: &Sampler, samples: impl Iterator<Item = Sample>) -> Result<()> {
        self.clear();
        for sample in samples {
            let record = sampler.record(sample)?;
            let symmetry = Symmetry::new(sample.symmetry);
            self.rows.extend_from_slice(record.row());
            self.symmetries.push(sample.symmetry);
            self.policy.push(record.policy_moved(symmetry) as u16);
            self.value.push(record.value().unwrap_or([0.0; 3]));
            self.value_weight.push(known(record.value().is_some()));
            self.score.push(record.score().unwrap_or(0.0));
            self.score_weight.push(known(record.score().is_some()));
            let at = self.ownership.len();
            self.ownership.resize(at + self.len * self.len, 0.0);
            record.ownership_moved(symmetry, &mut self.ownership[at..]);
            self.ownership_weight.push(known(record.ownership_known()));
            self.weight.push(record.weight());
        }
        Ok(())
    }

    fn clear(&mut self) {
        self.rows.clear();
        self.symmetries.clear();
        self.policy.clear();
        self.value.clear();
        self.value_weight.clear();
        self.score.clear();
        self.score_weight.clear();
        self.ownership.clear();
        self.ownership_weight.clear();
        self.weight.clear();
    }
}

fn known(is_known: bool) -> f32 {
    f32::from(u8::from(is_known))
}
