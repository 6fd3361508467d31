//! What runs over all parameters: optimiser, clipping, averaging.

use super::kernels::Kernel;
use super::queue::Queue;
use super::{CudaBuf, CudaTally, TALLY_LEN, float, int};
use crate::base::Result;
use crate::compute::{Decay, Rule, Span};
use crate::device::cuda::Launch;

/// Marks of a parameter for the kernels.
const MARK_DECAYS: u8 = 1;
const MARK_STAYS: u8 = 0;
const MARK_NONE: u8 = 255;
/// Blocks of a sum over all parameters, and threads that add them up.
const BLOCKS: u32 = 256;

fn mark(span: &Span) -> u8 {
    match span.decay {
        Decay::On => MARK_DECAYS,
        Decay::Off => MARK_STAYS,
    }
}

pub(super) fn step(
    queue: &mut Queue,
    rule: Rule,
    spans: &[Span],
    params: &mut CudaBuf,
    grads: &CudaBuf,
    first: &mut CudaBuf,
    second: Option<&mut CudaBuf>,
) -> Result<()> {
    let len = spans.iter().map(|span| span.at + span.len).max().unwrap_or(0);
    let decays = queue.decays(spans, len, mark, MARK_NONE)?;
    let (params, grads, first) = (params.first(len), grads.first(len), first.first(len));
    match rule {
        Rule::SgdNesterov { rate, momentum, decay } => {
            let [numbers] = queue.stage([&rate.to_le_bytes()])?;
            let args = [params, grads, first, decays, numbers, int(len), float(momentum), float(decay)];
            queue.each(Kernel::STEP_SGD, len, &args);
        }
        Rule::AdamW { rate, beta1, beta2, epsilon, decay, step } => {
            let second = second.expect("the caller of AdamW holds second moments").first(len);
            // bias corrections in f64: beta2^step is near 1 for the first steps
            let step = i32::try_from(step).unwrap_or(i32::MAX);
            let rate1 = (f64::from(rate) / (1.0 - f64::from(beta1).powi(step))) as f32;
            let root = (1.0 / (1.0 - f64::from(beta2).powi(step)).sqrt()) as f32;
            let [numbers] = queue.stage([bytemuck::cast_slice(&[rate1, root, 1.0 - rate * decay])])?;
            let args = [params, grads, first, second, decays, numbers, int(len), float(beta1), float(beta2), float(epsilon)];
            queue.each(Kernel::STEP_ADAMW, len, &args);
        }
    }
    Ok(())
}

pub(super) fn clip(queue: &mut Queue, len: usize, longest: f32, values: &mut CudaBuf, tally: &mut CudaTally) -> Result<()> {
    let values = values.first(len);
    let partials = queue.scratch((BLOCKS as usize + 1) * size_of::<f64>())?;
    let factor = partials + u64::from(BLOCKS) * size_of::<f64>() as u64;
    let norm = tally.0.address() + ((TALLY_LEN - 1) * size_of::<f64>()) as u64;
    let unscale = 1.0 / queue.grad_scale();
    let launch = |blocks, threads| Launch { grid: [blocks, 1, 1], block: [threads, 1, 1], shared_bytes: 0 };
    queue.launch(Kernel::SQUARES, launch(BLOCKS, 256), &[partials, values, int(len)]);
    queue.launch(
        Kernel::CLIP_FACTOR,
        launch(1, BLOCKS),
        &[factor, norm, partials, u64::from(BLOCKS), float(longest), float(unscale)],
    );
    queue.each(Kernel::SCALE_VALUES, len, &[values, factor, int(len)]);
    Ok(())
}

pub(super) fn average(queue: &mut Queue, len: usize, keep: f32, values: &CudaBuf, average: &mut CudaBuf) -> Result<()> {
    let (average, values) = (average.first(len), values.first(len));
    let [keep] = queue.stage([&keep.to_le_bytes()])?;
    queue.each(Kernel::AVERAGE_VALUES, len, &[average, values, keep, int(len)]);
    Ok(())
}
