//! The losses of a batch and their gradients.

use super::kernels::Kernel;
use super::queue::Queue;
use super::{CudaBuf, CudaTally, TALLY_LEN, float, int};
use crate::base::Result;
use crate::compute::{HeadGrads, Heads, LossShape, LossWeights, Losses, Mask, Tallied, Targets};
use crate::device::cuda::Launch;

/// Threads of a sample: `LOSS_THREADS` in loss.cu.
const THREADS: u32 = 128;
/// Sums of a sample: `LOSS_SUMS` in loss.cu; a tally has the number of samples before them, and two of the gradients behind.
const SUMS: usize = 14;
const _: () = assert!(SUMS + 3 == TALLY_LEN);

#[allow(clippy::too_many_arguments)]
pub(super) fn losses(
    queue: &mut Queue,
    shape: LossShape,
    heads: Heads<'_, CudaBuf>,
    mask: Mask<'_, CudaBuf>,
    targets: &Targets<'_>,
    weights: &LossWeights,
    grads: Option<HeadGrads<'_, CudaBuf>>,
    tally: &mut CudaTally,
) -> Result<()> {
    let LossShape { n, len, score_c } = shape;
    let area = len * len;
    let lens = [n * area, n, 3 * n, n * score_c, n * area];
    let Heads { policy, pass, value, score, ownership } = heads;
    let heads: [u64; 5] = std::array::from_fn(|i| [policy, pass, value, score, ownership][i].first(lens[i]));
    let grads: [u64; 5] = match grads {
        None => [0; 5],
        Some(HeadGrads { policy, pass, value, score, ownership }) => {
            std::array::from_fn(|i| [&*policy, &*pass, &*value, &*score, &*ownership][i].first(lens[i]))
        }
    };
    let sums = queue.scratch(n * SUMS * size_of::<f64>())?;
    let staged = queue.stage([
        bytemuck::cast_slice(targets.policy),
        bytemuck::cast_slice(targets.value),
        bytemuck::cast_slice(targets.value_weight),
        bytemuck::cast_slice(targets.score),
        bytemuck::cast_slice(targets.score_weight),
        bytemuck::cast_slice(targets.ownership),
        bytemuck::cast_slice(targets.ownership_weight),
        bytemuck::cast_slice(targets.weight),
    ])?;
    let share = 1.0 / weights.divisor.unwrap_or(n as f32).max(f32::MIN_POSITIVE);
    let mut args = [0; 29];
    args[0] = sums;
    args[1..6].copy_from_slice(&heads);
    args[6..8].copy_from_slice(&[mask.mask.first(n * area), mask.counts.first(n)]);
    args[8..16].copy_from_slice(&staged);
    args[16..21].copy_from_slice(&grads);
    args[21..23].copy_from_slice(&[int(len), int(score_c)]);
    args[23..28].copy_from_slice(&[weights.policy, weights.value, weights.score, weights.ownership, share].map(float));
    args[28] = tally.scale_address();
    queue.launch(Kernel::LOSSES, Launch { grid: [n as u32, 1, 1], block: [THREADS, 1, 1], shared_bytes: 0 }, &args);
    // a sum each, with the number of samples before them
    const _: () = assert!(SUMS < 16);
    let one = Launch { grid: [1, 1, 1], block: [16, 16, 1], shared_bytes: 0 };
    queue.launch(Kernel::LOSSES_TOTAL, one, &[tally.0.address(), sums, int(n)]);
    Ok(())
}

/// A tally's numbers by their names.
pub(super) fn tallied(sums: &[f64; TALLY_LEN]) -> Tallied {
    let [n, total, policy, policy_weight, policy_n, policy_hits, value, value_weight, value_n, value_hits, ..] = *sums;
    let [.., score, score_error, score_weight, ownership, ownership_weight, norms, skipped] = *sums;
    let whole = |v: f64| v as u64;
    let losses = Losses {
        n: whole(n),
        total,
        policy,
        policy_weight,
        policy_n: whole(policy_n),
        policy_hits: whole(policy_hits),
        value,
        value_weight,
        value_n: whole(value_n),
        value_hits: whole(value_hits),
        score,
        score_error,
        score_weight,
        ownership,
        ownership_weight,
    };
    Tallied { losses, norms, skipped: whole(skipped), grad_scale: None }
}
