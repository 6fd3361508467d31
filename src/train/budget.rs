//! What a run will take, by part, and how it is made to fit.
//!
//! What is made smaller, in this order, each as far as needed: batches read ahead (`prefetch_factor`, then
//! `dataloader_workers`), which changes no number of the run; then the batch is halved and `accumulate` doubled, so a step
//! still has as many positions; where only the GPU's own memory is short, that is the one step. A run that goes on keeps the batch that it began with. What does not fit then is refused.

use super::batch::HostBatch;
use super::config::{Optimizer, TrainConfig};
use super::learner::learner_bytes;
use crate::base::Result;
use crate::compute::{ConvShape, Ops};
use crate::device::{Budget, Needs};
use crate::net::{Net, NetConfig, train_bytes};
use crate::shard::Dataset;

/// Smallest batch that is made: norms of fewer positions are noise.
const BATCH_MIN: usize = 8;
/// Large buffers begin at a multiple of this many bytes, that of a large page: the gaps before them take addresses alone.
const GAP_BYTES: usize = 2 << 20;
/// Large buffers beside the activations: weights, their gradient, moments, average, scratch, the copies of a checkpoint.
const LARGE_BUFFERS: usize = 10;
/// Bytes of a game in the samplers of both splits.
const GAME_BYTES: u64 = 16;

/// Whether the batch may be made smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchSize {
    /// A new run decides.
    Free,
    /// The run began with it.
    Fixed,
}

/// What a run under `config` takes.
pub(super) fn needs<O: Ops>(ops: &O, dataset: &Dataset, net: &Net, config: &TrainConfig) -> Needs {
    let (len, n, channels) = (config.board_size, config.batch_size, net.arch().channels());
    let flat = 4 * net.params().len();
    let moments = match config.optimizer {
        Optimizer::Sgd => 1,
        Optimizer::AdamW => 2,
    };
    let widest = ConvShape { n, len, kernel_y: 3, kernel_x: 3, c_in: channels, c_out: channels };
    let weights = 2 * flat + 4 * net.stats().len();
    let optimiser = moments * flat;
    let activations = train_bytes(net.arch(), n, len) - weights;
    let copies = learner_bytes(net, config, n) - activations - weights - optimiser;
    let n_batches = config.dataloader_workers * (config.prefetch_factor + 1) + 1;
    let mapped: u64 = dataset.manifest().shards.iter().map(|shard| shard.bytes).sum();
    Needs::program()
        .with_computing("net", weights as u64)
        .with_computing("optimiser", optimiser as u64)
        .with_computing("activations", activations as u64)
        .with_computing("scratch", ops.scratch_bytes(widest) as u64)
        .with("prefetch", (n_batches * HostBatch::bytes(n, len)) as u64)
        .with("checkpoints", copies as u64)
        .with("games", GAME_BYTES * dataset.n_games())
        .with_mapped(mapped)
        .with_mapped(gaps(activations, 4 * n * len * len * channels, flat) as u64)
}

/// Addresses in bytes between the buffers of `activations` bytes, each of which has one of `layer` bytes, and beside those of
/// all weights, `flat` bytes each.
fn gaps(activations: usize, layer: usize, flat: usize) -> usize {
    let layers = if layer >= GAP_BYTES { activations.div_ceil(layer) } else { 0 };
    GAP_BYTES * (layers + if flat >= GAP_BYTES { LARGE_BUFFERS } else { 0 })
}

/// The settings of a run that fits, smaller than `config` where that is too large; says what was changed.
///
/// # Errors
/// Not even the smallest run fits.
pub fn fitted<O: Ops>(
    ops: &O,
    dataset: &Dataset,
    config: &TrainConfig,
    budget: &Budget,
    batch: BatchSize,
) -> Result<TrainConfig> {
    let net = NetConfig::named(&config.net)?.init(config.seed);
    let asked = needs(ops, dataset, &net, config);
    let mut fitted = config.clone();
    loop {
        let needs = needs(ops, dataset, &net, &fitted);
        if budget.fits(&needs) {
            budget.say_shrunk(&asked, &changes(config, &fitted));
            return Ok(fitted);
        }
        let is_smaller = match budget.gpu_is_short(&needs) {
            true => smaller_batch(&mut fitted, batch),
            false => smaller(&mut fitted, batch),
        };
        if !is_smaller {
            let hint = match batch {
                BatchSize::Free => "a smaller --net, a smaller --board-size, or a profile with more memory",
                BatchSize::Fixed => "the memory that the run began with, or a new --out",
            };
            return Err(budget.refusal("train", &needs, hint));
        }
    }
}

/// Takes the next step of the order; says whether there was one.
fn smaller(config: &mut TrainConfig, batch: BatchSize) -> bool {
    if config.prefetch_factor > 1 {
        config.prefetch_factor = 1;
    } else if config.dataloader_workers > 1 {
        config.dataloader_workers = 1;
    } else {
        return smaller_batch(config, batch);
    }
    true
}

/// Halves the batch, twice as often a step; says whether that may be.
fn smaller_batch(config: &mut TrainConfig, batch: BatchSize) -> bool {
    let may = batch == BatchSize::Free && config.batch_size.is_multiple_of(2) && config.batch_size / 2 >= BATCH_MIN;
    if may {
        config.batch_size /= 2;
        config.accumulate *= 2;
    }
    may
}

/// What became of the settings, for people.
fn changes(was: &TrainConfig, is: &TrainConfig) -> Vec<String> {
    let settings = [
        ("prefetch_factor", was.prefetch_factor, is.prefetch_factor),
        ("dataloader_workers", was.dataloader_workers, is.dataloader_workers),
        ("batch_size", was.batch_size, is.batch_size),
        ("accumulate", was.accumulate, is.accumulate),
    ];
    settings.iter().filter(|(_, was, is)| was != is).map(|(key, was, is)| format!("{key} {was} -> {is}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_counted_where_buffers_are_large() {
        // b6c96 on 19x19: batches of 32 and of 8, weights of 4 MB.
        assert_eq!(gaps(78 << 20, 4 * 32 * 361 * 96, 4 << 20), (19 + 10) * GAP_BYTES);
        assert_eq!(gaps(20 << 20, 4 * 8 * 361 * 96, 4 << 20), 10 * GAP_BYTES);
        assert_eq!(gaps(20 << 20, 4 * 8 * 361 * 96, 1 << 20), 0);
    }
}
