//! What runs over all parameters: optimiser, clipping, averaging.

use super::kernels::Kernel;
use super::queue::Queue;
use super::tensor::TensorKernels;
use super::{CudaBuf, CudaTally, F32, TALLY_LEN, float, int};
use crate::base::Result;
use crate::compute::{Decay, GradScale, Rule, Span};
use crate::device::cuda::Launch;

/// Marks of a parameter for the kernels.
const MARK_DECAYS: u8 = 1;
const MARK_STAYS: u8 = 0;
const MARK_NONE: u8 = 255;
/// Blocks of a sum over all parameters, and threads that add them up.
const BLOCKS: u32 = 256;
/// Steps in a row that fitted after which the factor of gradients is doubled, as in PyTorch: a step in so many is lost at the most.
const GROW_AFTER: usize = 2000;

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
    let sums = tally.0.address() + ((TALLY_LEN - 2) * size_of::<f64>()) as u64;
    let scale = tally.scale_address();
    let grow_after = queue.tensor().and_then(TensorKernels::grad_scale).map_or(0, |_| GROW_AFTER);
    let launch = |blocks, threads| Launch { grid: [blocks, 1, 1], block: [threads, 1, 1], shared_bytes: 0 };
    queue.launch(Kernel::SQUARES, launch(BLOCKS, 256), &[partials, values, int(len)]);
    let args = [factor, sums, scale, scale + F32 as u64, partials, u64::from(BLOCKS), float(longest), int(grow_after)];
    queue.launch(Kernel::CLIP_FACTOR, launch(1, BLOCKS), &args);
    queue.each(Kernel::SCALE_VALUES, len, &[values, factor, int(len)]);
    Ok(())
}

/// Writes the factor of gradients to the device.
pub(super) fn set_scale(queue: &mut Queue, tally: &CudaTally, to: GradScale) {
    let address = tally.scale_address();
    queue.fill(address, to.factor.to_bits(), 1);
    queue.fill(address + F32 as u64, to.fitted_steps, 1);
}

/// The factor of gradients as the device has it, read as one number of 64 bits.
pub(super) fn scale_of(raw: f64) -> GradScale {
    let bits = raw.to_bits();
    GradScale { factor: f32::from_bits(bits as u32), fitted_steps: (bits >> 32) as u32 }
}

pub(super) fn average(queue: &mut Queue, len: usize, keep: f32, values: &CudaBuf, average: &mut CudaBuf) -> Result<()> {
    let (average, values) = (average.first(len), values.first(len));
    let [keep] = queue.stage([&keep.to_le_bytes()])?;
    queue.each(Kernel::AVERAGE_VALUES, len, &[average, values, keep, int(len)]);
    Ok(())
}
