//! A network in training on a backend.

use super::Net;
use super::plan::{Plan, Purpose};
use super::walk::{Norms, Walk};
use super::{Arch, Layout};
use crate::base::{Error, Result};
use crate::compute::{At, AtMut, GradScale, LossWeights, Losses, Ops, PackedRows, Span, Tallied, Targets};

/// Share of a new batch in the running mean and variance: about the last hundred batches count.
pub const NORM_MOMENTUM: f32 = 0.02;

/// A batch on the host.
#[derive(Clone, Copy)]
pub struct Batch<'a> {
    /// Side of the square arrays; every board of the batch fits in.
    pub len: usize,
    /// `n` packed rows of [`row_bytes`](crate::compute::packed::row_bytes)`(len)` bytes.
    pub rows: &'a [u8],
    /// `n` symmetries the boards are moved by; targets are given for the moved boards.
    pub symmetries: &'a [u8],
}

impl Batch<'_> {
    /// Samples.
    pub fn n(&self) -> usize {
        self.symmetries.len()
    }
}

/// Bytes that [`TrainNet::new`] allocates: tensors and their gradients, parameters, their gradients, statistics.
/// What an optimiser keeps comes on top, and the backend's scratch memory
/// ([`Ops::scratch_bytes`]).
pub fn train_bytes(arch: &Arch, n_max: usize, len_max: usize) -> usize {
    let plan = Plan::new(arch, Purpose::Train);
    let layout = arch.clone().place();
    4 * (plan.elements(n_max, len_max) + 2 * layout.params_len() + layout.stats_len())
}

/// A network in training: parameters, gradients and statistics as flat device buffers, and memory for a batch.
pub struct TrainNet<O: Ops> {
    ops: O,
    walk: Walk<O>,
    layout: Layout,
    params: O::Buf,
    grads: O::Buf,
    stats: O::Buf,
    tally: O::Tally,
    /// Share of a new batch in the running mean and variance.
    pub norm_momentum: f32,
}

/// The flat buffers of a [`TrainNet`], borrowed at once: what an optimiser step needs.
pub struct Flat<'a, O: Ops> {
    /// The backend.
    pub ops: &'a O,
    /// Learned numbers.
    pub params: &'a mut O::Buf,
    /// Their gradients.
    pub grads: &'a mut O::Buf,
    /// Running means and variances.
    pub stats: &'a mut O::Buf,
    /// Sums of losses and gradients' lengths.
    pub tally: &'a mut O::Tally,
}

/// Where a batch stands among those whose gradients are added up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The first: old gradients are forgotten.
    First,
    /// A later one.
    Later,
}

impl<O: Ops> TrainNet<O> {
    /// Copies the net to the backend and allocates for batches of `n_max` samples in arrays of `len_max * len_max`.
    pub fn new(ops: O, net: &Net, n_max: usize, len_max: usize) -> Result<TrainNet<O>> {
        let walk = Walk::new(&ops, net.arch(), Purpose::Train, n_max, len_max)?;
        let layout = net.layout().clone();
        let (mut params, mut stats) = (ops.alloc(layout.params_len())?, ops.alloc(layout.stats_len())?);
        let (grads, tally) = (ops.alloc(layout.params_len())?, ops.tally()?);
        ops.upload(net.params(), AtMut { buf: &mut params, at: 0 });
        ops.upload(net.stats(), AtMut { buf: &mut stats, at: 0 });
        Ok(TrainNet { ops, walk, layout, params, grads, stats, tally, norm_momentum: NORM_MOMENTUM })
    }

    /// One batch of a step: norms from the batch, running statistics follow, gradients are added to the flat ones, and losses
    /// to the sums ([`TrainNet::read`]). `then` does what else belongs to the step. Where the device has a queue, all of
    /// it is only put there.
    pub fn learn(
        &mut self,
        turn: Turn,
        batch: &Batch<'_>,
        targets: &Targets<'_>,
        weights: &LossWeights,
        then: impl FnOnce(Flat<'_, O>) + Send,
    ) -> Result<()> {
        check(batch, targets)?;
        let TrainNet { ops, walk, layout, params, grads, stats, tally, norm_momentum } = self;
        ops.scope(|| {
            if turn == Turn::First {
                ops.fill(grads, layout.params_len(), 0.0);
            }
            walk.load(ops, PackedRows { len: batch.len, bytes: batch.rows, symmetries: batch.symmetries })?;
            walk.forward(ops, params, Norms::Batch { momentum: *norm_momentum, stats });
            walk.backward(ops, params, targets, weights, grads, tally);
            then(Flat { ops, params, grads, stats, tally });
            Ok(())
        })
    }

    /// What was summed since the last call, after everything before is done.
    pub fn read(&mut self) -> Result<Tallied> {
        self.ops.read(&mut self.tally)
    }

    /// Goes on with the factor of gradients that a run had.
    pub fn set_grad_scale(&mut self, to: GradScale) {
        self.ops.set_grad_scale(to, &mut self.tally);
    }

    /// The losses of a batch, norms from the batch; running statistics follow; gradients are added to the flat ones.
    pub fn forward_backward(&mut self, batch: &Batch<'_>, targets: &Targets<'_>, weights: &LossWeights) -> Result<Losses> {
        self.learn(Turn::Later, batch, targets, weights, |_| ())?;
        self.read().map(|tallied| tallied.losses)
    }

    /// The losses of a batch as in play: norms from the running statistics, nothing changes.
    pub fn evaluate(&mut self, batch: &Batch<'_>, targets: &Targets<'_>, weights: &LossWeights) -> Result<Losses> {
        check(batch, targets)?;
        let TrainNet { ops, walk, params, stats, tally, .. } = self;
        ops.scope(|| {
            walk.load(ops, PackedRows { len: batch.len, bytes: batch.rows, symmetries: batch.symmetries })?;
            walk.forward(ops, params, Norms::Running(stats));
            walk.losses(ops, targets, weights, tally);
            Result::Ok(())
        })?;
        self.read().map(|tallied| tallied.losses)
    }

    /// Forgets the gradients.
    pub fn zero_grads(&mut self) {
        self.ops.fill(&mut self.grads, self.layout.params_len(), 0.0);
    }

    /// The tables of the flat buffers.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The parameters as spans with one decay rule each.
    pub fn spans(&self) -> Vec<Span> {
        self.layout.spans()
    }

    /// The backend.
    pub fn ops(&self) -> &O {
        &self.ops
    }

    /// Gives the backend back.
    pub fn into_ops(self) -> O {
        self.ops
    }

    /// Learned numbers.
    pub fn params(&self) -> &O::Buf {
        &self.params
    }

    /// Learned numbers, to be changed.
    pub fn params_mut(&mut self) -> &mut O::Buf {
        &mut self.params
    }

    /// Gradients summed since [`TrainNet::zero_grads`].
    pub fn grads(&self) -> &O::Buf {
        &self.grads
    }

    /// Running means and variances.
    pub fn stats(&self) -> &O::Buf {
        &self.stats
    }

    /// Running means and variances, to be changed.
    pub fn stats_mut(&mut self) -> &mut O::Buf {
        &mut self.stats
    }

    /// All flat buffers and the backend at once.
    pub fn flat(&mut self) -> Flat<'_, O> {
        let TrainNet { ops, params, grads, stats, tally, .. } = self;
        Flat { ops, params, grads, stats, tally }
    }

    /// Copies parameters and statistics to a net of the same arch.
    pub fn download(&self, net: &mut Net) -> Result<()> {
        if *net.layout() != self.layout {
            return Err(Error::new("network in training", "another arch than the net it is to be copied to"));
        }
        let (params, stats) = net.numbers_mut();
        self.ops.download(&mut [(At { buf: &self.params, at: 0 }, params), (At { buf: &self.stats, at: 0 }, stats)])
    }
}

/// Targets are as many as samples, and point into the arrays.
fn check(batch: &Batch<'_>, t: &Targets<'_>) -> Result<()> {
    let (n, area) = (batch.n(), batch.len * batch.len);
    let lengths = [
        ("policy", t.policy.len(), n),
        ("value", t.value.len(), n),
        ("value weight", t.value_weight.len(), n),
        ("score", t.score.len(), n),
        ("score weight", t.score_weight.len(), n),
        ("ownership", t.ownership.len(), n * area),
        ("ownership weight", t.ownership_weight.len(), n),
        ("weight", t.weight.len(), n),
    ];
    if let Some((name, got, expected)) = lengths.into_iter().find(|(_, got, expected)| got != expected) {
        return Err(Error::new(format!("{name} targets"), format!("{got} numbers, expected {expected}")));
    }
    let masked = crate::compute::loss::POLICY_MASKED;
    match t.policy.iter().position(|p| *p != masked && usize::from(*p) > area) {
        Some(i) => Err(Error::new(format!("policy target of sample {i}"), format!("{}, expected 0 to {area}", t.policy[i]))),
        None => Ok(()),
    }
}
