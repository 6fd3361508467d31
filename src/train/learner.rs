//! A net with its optimiser and its running average, on a backend.

use super::batch::HostBatch;
use super::checkpoint::Checkpoint;
use super::config::{Optimizer, TrainConfig};
use crate::base::Result;
use crate::compute::{At, AtMut, GradScale, LossWeights, Losses, Ops, Rule, Span, Tallied};
use crate::net::{NORM_MOMENTUM, Net, TrainNet, Turn, train_bytes};
use std::time::Duration;

/// Second-moment decay of AdamW. Its paper's 0.999 remembers longer than a short run lasts.
const ADAM_BETA2: f32 = 0.99;
/// Added to the root of AdamW's second moment.
const ADAM_EPSILON: f32 = 1e-8;

/// A net in training.
pub(super) struct Learner<O: Ops> {
    net: TrainNet<O>,
    spans: Vec<Span>,
    first: O::Buf,
    second: Option<O::Buf>,
    average: O::Buf,
    average_stats: O::Buf,
    /// Host copies for checkpoints: the learning net and the average.
    host: Net,
    step: u64,
    /// As the device had it when it was last read.
    grad_scale: Option<GradScale>,
    /// Batches learned from, over all sessions.
    n_batches: u64,
    rule: Optimizer,
    momentum: f32,
    decay: f32,
    norm_max: f32,
    average_keep: f32,
    loss_weights: LossWeights,
}

/// Share of batch number `n_batches`, from 1, in the running statistics of the norms: a plain mean at first, since a
/// short run would otherwise be judged by statistics of its random start.
fn norm_momentum(n_batches: u64) -> f32 {
    NORM_MOMENTUM.max(1.0 / n_batches as f32)
}

/// Bytes a learner with batches of `batch_size` takes on its device and for its checkpoints, without the backend's
/// scratch memory.
pub(super) fn learner_bytes(net: &Net, config: &TrainConfig, batch_size: usize) -> usize {
    let flat = 4 * net.params().len();
    let moments = match config.optimizer {
        Optimizer::Sgd => 1,
        Optimizer::AdamW => 2,
    };
    // A checkpoint: net, average and moments, held once as numbers and once as the file's bytes, on its way in and out.
    let checkpoint = (moments + 2) * flat;
    // Moments, the average, the host copy, and the fresh net of the plan.
    train_bytes(net.arch(), batch_size, config.board_size) + (moments + 3) * flat + 2 * checkpoint
}

impl<O: Ops> Learner<O> {
    /// Takes up a run at a checkpoint.
    pub(super) fn new(ops: O, config: &TrainConfig, len: usize, from: &Checkpoint) -> Result<Learner<O>> {
        let mut net = TrainNet::new(ops, &from.net, config.batch_size, len)?;
        if let Some(scale) = from.grad_scale {
            net.set_grad_scale(scale);
        }
        let uploaded = |values: &[f32]| {
            let mut buf = net.ops().alloc(values.len())?;
            net.ops().upload(values, AtMut { buf: &mut buf, at: 0 });
            Ok(buf)
        };
        let first = uploaded(&from.first)?;
        let second = from.second.as_deref().map(uploaded).transpose()?;
        let (average, average_stats) = (uploaded(from.average.params())?, uploaded(from.average.stats())?);
        let divisor = Some((config.batch_size * config.accumulate) as f32);
        Ok(Learner {
            spans: net.spans(),
            net,
            first,
            second,
            average,
            average_stats,
            host: from.net.clone(),
            step: from.step,
            grad_scale: from.grad_scale,
            n_batches: from.step * config.accumulate as u64,
            rule: config.optimizer,
            momentum: config.momentum,
            decay: config.weight_decay,
            norm_max: config.gradient_norm_max,
            average_keep: config.ema_decay,
            loss_weights: LossWeights { divisor, ..LossWeights::default() },
        })
    }

    /// Gives the backend back.
    pub(super) fn into_ops(self) -> O {
        self.net.into_ops()
    }

    /// Steps done.
    pub(super) fn step(&self) -> u64 {
        self.step
    }

    /// Adds the gradients of one batch of a step of `n_parts`. With the last the gradient is clipped, the parameters move by
    /// `rate`, and the average follows. Losses and lengths wait for [`Learner::read`].
    pub(super) fn learn(&mut self, batch: &HostBatch, part: usize, n_parts: usize, rate: f32) -> Result<()> {
        self.n_batches += 1;
        self.net.norm_momentum = norm_momentum(self.n_batches);
        let turn = if part == 0 { Turn::First } else { Turn::Later };
        let is_last = part + 1 == n_parts;
        self.step += u64::from(is_last);
        let rule = self.rule(rate);
        // A young average forgets the random start faster than an old one.
        let keep = self.average_keep.min((self.step as f32 + 1.0) / (self.step as f32 + 10.0));
        let (n, n_stats) = (self.host.params().len(), self.host.stats().len());
        let Learner { net, spans, first, second, average, average_stats, norm_max, loss_weights, .. } = self;
        net.learn(turn, &batch.input(), &batch.targets(), loss_weights, |flat| {
            if is_last {
                flat.ops.clip(n, *norm_max, flat.grads, flat.tally);
                flat.ops.step(rule, spans, flat.params, flat.grads, first, second.as_mut());
                flat.ops.average(n, keep, flat.params, average);
                flat.ops.average(n_stats, keep, flat.stats, average_stats);
            }
        })
    }

    /// How long the device had work since the last call, where it is another than the host.
    pub(super) fn busy(&self) -> Option<Duration> {
        self.net.ops().busy()
    }

    /// Losses, and lengths of gradients before clipping, summed since the last call.
    pub(super) fn read(&mut self) -> Result<Tallied> {
        let told = self.net.read()?;
        self.grad_scale = told.grad_scale;
        Ok(told)
    }

    /// The average's losses on a batch.
    pub(super) fn evaluate(&mut self, batch: &HostBatch) -> Result<Losses> {
        self.swap_average();
        let losses = self.net.evaluate(&batch.input(), &batch.targets(), &self.loss_weights);
        self.swap_average();
        losses
    }

    /// The whole state on the host. What was learned was read before ([`Learner::read`]).
    pub(super) fn checkpoint(&mut self, total_steps: u64) -> Result<Checkpoint> {
        let downloaded = |ops: &O, buf: &O::Buf| {
            let mut values = vec![0.0; self.host.params().len()];
            ops.download(&mut [(At { buf, at: 0 }, &mut values)])?;
            Ok(values)
        };
        let first = downloaded(self.net.ops(), &self.first)?;
        let second = self.second.as_ref().map(|buf| downloaded(self.net.ops(), buf)).transpose()?;
        let mut net = self.host.clone();
        self.net.download(&mut net)?;
        let average = self.average()?;
        Ok(Checkpoint { step: self.step, total_steps, net, average, first, second, grad_scale: self.grad_scale })
    }

    /// The averaged net: the one that plays.
    pub(super) fn average(&mut self) -> Result<Net> {
        let mut average = self.host.clone();
        self.swap_average();
        let downloaded = self.net.download(&mut average);
        self.swap_average();
        downloaded.map(|()| average)
    }

    fn rule(&self, rate: f32) -> Rule {
        match self.rule {
            Optimizer::Sgd => Rule::SgdNesterov { rate, momentum: self.momentum, decay: self.decay },
            Optimizer::AdamW => Rule::AdamW {
                rate,
                beta1: self.momentum,
                beta2: ADAM_BETA2,
                epsilon: ADAM_EPSILON,
                decay: self.decay,
                step: self.step,
            },
        }
    }

    /// Exchanges the learning weights with the average's.
    fn swap_average(&mut self) {
        let flat = self.net.flat();
        std::mem::swap(flat.params, &mut self.average);
        std::mem::swap(flat.stats, &mut self.average_stats);
    }
}

/// The state before the first step.
pub(super) fn fresh(config: &TrainConfig, net: Net, total_steps: u64) -> Checkpoint {
    let n = net.params().len();
    let second = match config.optimizer {
        Optimizer::Sgd => None,
        Optimizer::AdamW => Some(vec![0.0; n]),
    };
    Checkpoint { step: 0, total_steps, average: net.clone(), net, first: vec![0.0; n], second, grad_scale: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn young_norms_have_the_plain_mean_of_their_batches() {
        let mut mean = 0.0;
        for n in 1..=50u64 {
            mean += norm_momentum(n) * ((n * n) as f32 - mean);
            let expected = ((n + 1) * (2 * n + 1)) as f32 / 6.0;
            assert!((mean / expected - 1.0).abs() < 1e-5, "{n}: {mean} {expected}");
        }
        assert_eq!(norm_momentum(1_000_000), NORM_MOMENTUM);
    }
}
