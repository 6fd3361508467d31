//! The training section of a profile.

use crate::base::config::{BadValue, within};
use crate::base::limits::{BOARD_LEN_MAX, BOARD_LEN_MIN};
use crate::net::NetConfig;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What `edgezero train` does where its flags do not say otherwise. Sizes are for one step on one device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Folder of game records.
    pub sgf_dir: PathBuf,
    /// Folder of runs; a run is a folder of checkpoints, metrics and nets in it.
    pub runs_dir: PathBuf,
    /// Side of the square boards that are learnt from, in points; games on other boards are left out.
    pub board_size: usize,
    /// Network preset, `b{blocks}c{channels}`.
    pub net: String,
    /// Passes over the training positions.
    pub epochs: usize,
    /// Positions of one forward and backward pass.
    pub batch_size: usize,
    /// Passes whose gradients are summed before one optimiser step.
    pub accumulate: usize,
    /// Update rule.
    pub optimizer: Optimizer,
    /// Peak learning rate, for gradients that are means over all positions of a step.
    pub learning_rate: f32,
    /// Learning rate at the end of the cosine, as a share of the peak.
    pub learning_rate_floor: f32,
    /// Momentum of SGD (Nesterov), first-moment decay of AdamW.
    pub momentum: f32,
    /// Weight decay per step and unit of learning rate; not applied to biases and norms.
    pub weight_decay: f32,
    /// Largest length of the gradient over all parameters; a longer one is scaled down. 0 switches this off.
    pub gradient_norm_max: f32,
    /// Optimiser steps over which the learning rate rises from 0 to its peak.
    pub warmup_steps: usize,
    /// Decay per step of the running average of the weights: the averaged net is the one that plays.
    pub ema_decay: f32,
    /// Share of the games held out for validation.
    pub validation_fraction: f32,
    /// Most positions of one validation.
    pub validation_positions_max: usize,
    /// Optimiser steps between two reports in `metrics.jsonl`.
    pub report_steps: usize,
    /// Optimiser steps between two checkpoints, at the most.
    pub checkpoint_steps: usize,
    /// Minutes between two checkpoints, at the most: what a power cut costs.
    pub checkpoint_minutes: f64,
    /// Checkpoints kept, the latest ones.
    pub checkpoints_kept: usize,
    /// Threads that read game records into shards.
    pub parse_workers: usize,
    /// Threads that gather batches from shards.
    pub dataloader_workers: usize,
    /// Batches each of them holds ready.
    pub prefetch_factor: usize,
    /// Seed of the weights, the order of samples and their symmetries.
    pub seed: u64,
}

/// Update rule of the weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Optimizer {
    /// Stochastic gradient descent with Nesterov momentum (Sutskever 2013).
    Sgd,
    /// Adam with decoupled weight decay (Loshchilov and Hutter 2019).
    AdamW,
}

impl TrainConfig {
    /// Refuses values that no run can use.
    pub fn check(&self) -> Result<(), BadValue> {
        // The shortest board a net is trained for is where its heads still see a whole opening: 7x7, as for KataGo.
        const { assert!(BOARD_LEN_MIN <= 7) };
        within("board_size", self.board_size, 7..=BOARD_LEN_MAX, "points a side")?;
        within("epochs", self.epochs, 1..=100_000, "")?;
        within("batch_size", self.batch_size, 1..=65_536, "positions")?;
        within("accumulate", self.accumulate, 1..=4096, "batches")?;
        // Adam and SGD both diverge far below 10; a larger number is a slip of the pen.
        if !(self.learning_rate > 0.0 && self.learning_rate <= 10.0) {
            return Err(BadValue::new("learning_rate", self.learning_rate, "a number above 0, at most 10".to_string()));
        }
        within("learning_rate_floor", self.learning_rate_floor, 0.0..=1.0, "of learning_rate")?;
        within("momentum", self.momentum, 0.0..1.0, "")?;
        within("weight_decay", self.weight_decay, 0.0..=1.0, "")?;
        within("gradient_norm_max", self.gradient_norm_max, 0.0..=1e6, "")?;
        within("warmup_steps", self.warmup_steps, 0..=1_000_000, "steps")?;
        within("ema_decay", self.ema_decay, 0.0..1.0, "")?;
        within("validation_fraction", self.validation_fraction, 0.0..=0.5, "of the games")?;
        within("validation_positions_max", self.validation_positions_max, 1..=10_000_000, "positions")?;
        within("report_steps", self.report_steps, 1..=1_000_000, "steps")?;
        within("checkpoint_steps", self.checkpoint_steps, 1..=10_000_000, "steps")?;
        within("checkpoint_minutes", self.checkpoint_minutes, 0.01..=1e6, "minutes")?;
        within("checkpoints_kept", self.checkpoints_kept, 1..=1000, "checkpoints")?;
        within("parse_workers", self.parse_workers, 1..=256, "threads")?;
        within("dataloader_workers", self.dataloader_workers, 1..=256, "threads")?;
        within("prefetch_factor", self.prefetch_factor, 1..=64, "batches")?;
        if NetConfig::named(&self.net).is_err() {
            return Err(BadValue::new("net", format!("{:?}", self.net), "b{blocks}c{channels}, such as b4c32"));
        }
        Ok(())
    }
}
