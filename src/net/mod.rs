//! The network: its shape, its parameters, its walk forward and backward, and its files.
//!
//! A [`Net`] is an [`Arch`] with two flat vectors: the learned parameters, and the running means and variances of the batch
//! norms. [`NetConfig`] makes new ones; [`katago`] reads and writes KataGo's files; [`tensors`] our own (safetensors).
//! [`TrainNet`] trains on a backend, [`InferNet`] answers on one. Both run the same list of steps.

pub mod arch;
pub mod config;
#[cfg(test)]
mod gradients;
mod infer;
pub mod katago;
mod plan;
mod summary;
pub mod tensors;
mod train;
mod walk;

pub use crate::compute::{LossWeights, Losses, Targets};
pub use arch::{Arch, Layout, ParamInfo, ParamKind, StatInfo};
pub use config::NetConfig;
pub use infer::{InferNet, RawOutputs, infer_bytes};
pub use summary::NetSummary;
pub use train::{Batch, Flat, NORM_MOMENTUM, TrainNet, Turn, train_bytes};

use crate::base::{Error, Result};

/// A network in host memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Net {
    name: String,
    arch: Arch,
    layout: Layout,
    params: Vec<f32>,
    stats: Vec<f32>,
}

impl Net {
    /// A net of zeros. The arch has passed [`Arch::check`].
    pub(crate) fn zeroed(name: &str, mut arch: Arch) -> Net {
        let layout = arch.place();
        let (params, stats) = (vec![0.0; layout.params_len()], vec![0.0; layout.stats_len()]);
        Net { name: name.to_string(), arch, layout, params, stats }
    }

    /// A net from its parts, checked; `place` names the file in errors.
    pub fn new(place: &str, name: &str, mut arch: Arch, params: Vec<f32>, stats: Vec<f32>) -> Result<Net> {
        arch.check(place)?;
        let layout = arch.place();
        for (what, got, expected) in
            [("parameters", params.len(), layout.params_len()), ("statistics", stats.len(), layout.stats_len())]
        {
            if got != expected {
                return Err(Error::new(place, format!("{got} {what}, expected {expected}")));
            }
        }
        if let Some(info) = layout.params.iter().find(|i| params[i.offset..i.offset + i.len].iter().any(|x| !x.is_finite())) {
            return Err(Error::new(place, format!("{} holds NaN or infinity", info.name)));
        }
        if let Some(info) = layout.stats.iter().find(|i| {
            let variance = i.name.ends_with("running_var");
            stats[i.offset..i.offset + i.len].iter().any(|x| !x.is_finite() || (variance && *x < 0.0))
        }) {
            return Err(Error::new(place, format!("{} holds a number that is no mean or variance", info.name)));
        }
        Ok(Net { name: name.to_string(), arch, layout, params, stats })
    }

    /// The name: `b4c32` for ours, the model name of a KataGo file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The layers.
    pub fn arch(&self) -> &Arch {
        &self.arch
    }

    /// The tables of parameters and statistics.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The learned numbers.
    pub fn params(&self) -> &[f32] {
        &self.params
    }

    /// The learned numbers, to be changed.
    pub fn params_mut(&mut self) -> &mut [f32] {
        &mut self.params
    }

    /// Running means and variances.
    pub fn stats(&self) -> &[f32] {
        &self.stats
    }

    /// Running means and variances, to be changed.
    pub fn stats_mut(&mut self) -> &mut [f32] {
        &mut self.stats
    }

    /// Learned numbers, and running means and variances, to be changed.
    pub fn numbers_mut(&mut self) -> (&mut [f32], &mut [f32]) {
        (&mut self.params, &mut self.stats)
    }

    /// Every mean 0, every variance 1.
    fn stats_mut_as_fresh(&mut self) {
        for info in &self.layout.stats {
            let value = if info.name.ends_with("running_var") { 1.0 } else { 0.0 };
            self.stats[info.offset..info.offset + info.len].fill(value);
        }
    }
}
