//! The walk over a plan on a backend: forward, and back for gradients.

use super::arch::{Arch, Norm};
use super::plan::{GLOBALS, Homes, Outputs, PLANES, Plan, Purpose, Slot, Step, Storage, conv_shape, matmul_shape};
use crate::base::{Error, Result};
use crate::compute::{
    At, AtMut, Base, ConvShape, HeadGrads, Heads, Input, LossShape, LossWeights, Mask, NORM_SAVED, NormAct, NormGrad, NormParams,
    NormShape, NormSource, NormStats, Ops, PackedRows, PointsShape, RowsShape, Store, Targets, Unpacked, Weights,
};

/// Where the norms of a forward walk take mean and variance from.
pub(crate) enum Norms<'a, B> {
    /// The batch; running values follow by `momentum`.
    Batch { momentum: f32, stats: &'a mut B },
    /// The running values as they are now.
    Running(&'a B),
    /// The running values as they were when [`Walk::fold`] was called.
    Folded,
}

/// A plan with its buffers on a backend, and the batch that it holds.
pub(crate) struct Walk<O: Ops> {
    plan: Plan,
    score_c: usize,
    n_max: usize,
    len_max: usize,
    n: usize,
    len: usize,
    values: Vec<O::Buf>,
    grads: Vec<O::Buf>,
    mask: O::Buf,
    counts: O::Buf,
    /// What is kept of each norm, by its step.
    saved: Vec<Option<O::Buf>>,
    /// Weights of each convolution and matrix in the backend's form, for arrays of one side.
    prepared: Vec<Option<O::Prepared>>,
    prepared_len: usize,
    /// Whether a gradient was written on this way back.
    fresh: Vec<bool>,
}

/// The buffer of a tensor.
fn of<'a, B>(bufs: &'a [B], homes: &Homes, slot: Slot) -> &'a B {
    &bufs[homes.home[slot].expect("the plan gives every tensor that is used a buffer")]
}

/// The buffers of values that a step reads: all, or all but the one that it writes.
struct Readable<'a, B> {
    plan: &'a Plan,
    before: &'a [B],
    after: &'a [B],
    /// Of the steps before.
    saved: &'a [Option<B>],
    mask: Mask<'a, B>,
}

/// The numbers kept of a norm.
fn kept<B>(saved: &[Option<B>], step: usize) -> At<'_, B> {
    At { buf: saved[step].as_ref().expect("every norm keeps its numbers"), at: 0 }
}

impl<'a, B> Readable<'a, B> {
    /// The buffer of a tensor.
    fn of(&self, slot: Slot) -> &'a B {
        let home = self.plan.values.home[slot].expect("the plan gives every tensor that is used a buffer");
        match self.before.get(home) {
            Some(buf) => buf,
            None => &self.after[home - self.before.len() - 1],
        }
    }

    /// A tensor as an operation reads it.
    fn input(&self, slot: Slot) -> Input<'a, B> {
        match self.plan.read_through[slot].map(|step| (step, self.plan.steps[step])) {
            Some((step, Step::NormAct { norm, x, .. })) => {
                let norm = NormAct { saved: kept(self.saved, step), act: norm.act, mask: self.mask };
                Input { x: self.of(x), norm: Some(norm) }
            }
            _ => Input { x: self.of(slot), norm: None },
        }
    }
}

/// What the statistics of a norm are taken from and go to; None where they were folded before.
fn stats_of<'a, B>(
    norm: &Norm,
    points: PointsShape,
    params: &'a B,
    norms: &'a mut Norms<'_, B>,
    mask: Mask<'a, B>,
    saved: &'a mut Option<B>,
) -> Option<NormStats<'a, B>> {
    let source = match norms {
        Norms::Batch { momentum, stats } => {
            NormSource::Batch { momentum: *momentum, running: AtMut { buf: &mut **stats, at: norm.stats_at } }
        }
        Norms::Running(stats) => NormSource::Running(At { buf: *stats, at: norm.stats_at }),
        Norms::Folded => return None,
    };
    let params = NormParams {
        scale: norm.scale.then_some(At { buf: params, at: norm.scale_at }),
        bias: norm.bias.then_some(At { buf: params, at: norm.bias_at }),
    };
    let saved = AtMut { buf: saved.as_mut()?, at: 0 };
    Some(NormStats { norm: NormShape { points, epsilon: norm.epsilon }, source, params, mask, saved })
}

/// The buffers of different tensors, to be changed.
fn several<'a, B, const N: usize>(bufs: &'a mut [B], homes: &Homes, slots: [Slot; N]) -> [&'a mut B; N] {
    let indices = slots.map(|slot| homes.home[slot].expect("the plan gives every tensor that is used a buffer"));
    bufs.get_disjoint_mut(indices).expect("the plan keeps tensors used together apart")
}

impl<O: Ops> Walk<O> {
    /// Allocates everything for `n_max` boards in arrays of `len_max * len_max`.
    pub fn new(ops: &O, arch: &Arch, purpose: Purpose, n_max: usize, len_max: usize) -> Result<Walk<O>> {
        if n_max == 0 || len_max == 0 {
            return Err(Error::call("batch size", format!("{n_max} boards of {len_max} points a side, expected at least 1")));
        }
        let plan = Plan::new(arch, purpose);
        let alloc = |homes: &Homes| -> Result<Vec<O::Buf>> {
            let alloc = |s: &Storage| match s.points_c > 0 && !s.outside {
                true => ops.alloc_points(s.elements(n_max, len_max)),
                false => ops.alloc(s.elements(n_max, len_max)),
            };
            homes.storages.iter().map(alloc).collect()
        };
        Ok(Walk {
            values: alloc(&plan.values)?,
            grads: alloc(&plan.grads)?,
            mask: ops.alloc(n_max * len_max * len_max)?,
            counts: ops.alloc(n_max)?,
            saved: plan
                .steps
                .iter()
                .map(|step| match step {
                    Step::NormAct { norm, .. } => ops.alloc(NORM_SAVED * norm.c).map(Some),
                    _ => Ok(None),
                })
                .collect::<Result<_>>()?,
            prepared: Vec::new(),
            prepared_len: 0,
            fresh: vec![false; plan.extents.len()],
            score_c: arch.score_c(),
            plan,
            n_max,
            len_max,
            n: 0,
            len: 0,
        })
    }

    /// Unpacks a batch.
    pub fn load(&mut self, ops: &O, rows: PackedRows<'_>) -> Result<()> {
        let n = rows.symmetries.len();
        if n == 0 || n > self.n_max || rows.len == 0 || rows.len > self.len_max {
            let what = format!("{n} boards in arrays of {}, expected 1 to {} of 1 to {}", rows.len, self.n_max, self.len_max);
            return Err(Error::new("batch", what));
        }
        (self.n, self.len) = (n, rows.len);
        let [planes, globals] = several(&mut self.values, &self.plan.values, [PLANES, GLOBALS]);
        ops.unpack(rows, Unpacked { planes, globals, mask: &mut self.mask, counts: &mut self.counts })
    }

    /// Boards of the batch, and the side of its arrays.
    pub fn batch(&self) -> (usize, usize) {
        (self.n, self.len)
    }

    /// Computes scale and shift of every norm from the running values, for walks with [`Norms::Folded`].
    pub fn fold(&mut self, ops: &O, params: &O::Buf, stats: &O::Buf) {
        for i in 0..self.plan.steps.len() {
            self.norm_stats(ops, i, params, &mut Norms::Running(stats));
        }
    }

    /// Prepares all weights for walks over arrays of `len * len`, unless they are. They must not change from then on.
    pub fn prepare(&mut self, ops: &O, params: &O::Buf, len: usize) -> Result<()> {
        if self.prepared_len == len {
            return Ok(());
        }
        self.prepared.clear();
        self.prepared_len = 0;
        for step in &self.plan.steps {
            let prepared = match step.weights(len) {
                Some((shape, at)) => Some(ops.prepare(shape, At { buf: params, at })?),
                None => None,
            };
            self.prepared.push(prepared);
        }
        self.prepared_len = len;
        Ok(())
    }

    /// All steps on the loaded batch.
    pub fn forward(&mut self, ops: &O, params: &O::Buf, mut norms: Norms<'_, O::Buf>) {
        for i in 0..self.plan.steps.len() {
            let follows = matches!(norms, Norms::Batch { .. }) && self.plan.norm_follows(i);
            self.run(ops, i, params, if follows { Some(&mut norms) } else { None });
            if !follows && i + 1 < self.plan.steps.len() {
                self.norm_stats(ops, i + 1, params, &mut norms);
            }
        }
    }

    fn points(&self, slot: Slot) -> PointsShape {
        PointsShape { n: self.n, len: self.len, c: self.plan.extents[slot].c() }
    }

    fn rows(&self, slot: Slot) -> RowsShape {
        RowsShape { rows: self.n, c: self.plan.extents[slot].c() }
    }

    fn norm_stats(&mut self, ops: &O, step: usize, params: &O::Buf, norms: &mut Norms<'_, O::Buf>) {
        let Step::NormAct { norm, x, .. } = self.plan.steps[step] else { return };
        let points = self.points(x);
        let mask = Mask { mask: &self.mask, counts: &self.counts };
        let Some(NormStats { norm, source, params, mask, saved }) =
            stats_of(&norm, points, params, norms, mask, &mut self.saved[step])
        else {
            return;
        };
        ops.norm_stats(norm, source, params, of(&self.values, &self.plan.values, x), mask, saved);
    }

    /// One step; `norms`: also takes the statistics of the norm that is the next step.
    fn run(&mut self, ops: &O, step: usize, params: &O::Buf, norms: Option<&mut Norms<'_, O::Buf>>) {
        let Walk { plan, values, mask, counts, saved, prepared, prepared_len, n, len, .. } = self;
        let (n, len) = (*n, *len);
        let step_idx = step;
        let step = plan.steps[step];
        let (x, y) = step.slots();
        let points = |slot: Slot| PointsShape { n, len, c: plan.extents[slot].c() };
        if let Step::NormAct { .. } = step {
            return;
        }
        let home = plan.values.home[y].expect("the plan gives every tensor that is written a buffer");
        let (before, rest) = values.split_at_mut(home);
        let (y_buf, after) = rest.split_first_mut().expect("a buffer for every home");
        let mask = Mask { mask, counts };
        let (saved, saved_after) = saved.split_at_mut(step_idx + 1);
        let readable = Readable { plan, before, after, saved, mask };
        let read = readable.input(x);
        let weights = |at: usize| match prepared.get(step_idx) {
            Some(Some(prepared)) if *prepared_len == len => Weights::Prepared(prepared),
            _ => Weights::Plain(At { buf: params, at }),
        };
        match step {
            Step::Conv { conv, base, .. } => {
                let base = match base {
                    None => Base::Zero,
                    Some(base) if plan.values.home[base] == Some(home) => Base::Own,
                    Some(base) => Base::Of(readable.of(base)),
                };
                let shape = conv_shape(&conv, n, len);
                let stats = norms.and_then(|norms| match plan.steps[step_idx + 1] {
                    Step::NormAct { norm, .. } => stats_of(&norm, points(y), params, norms, mask, &mut saved_after[0]),
                    _ => None,
                });
                match stats {
                    Some(stats) => ops.conv_norm_stats(shape, base, read, At { buf: params, at: conv.at }, y_buf, stats),
                    None => ops.conv(shape, base, read, weights(conv.at), y_buf),
                }
            }
            Step::Matmul { matmul, .. } => ops.conv(matmul_shape(&matmul, n), Base::Zero, read, weights(matmul.at), y_buf),
            Step::Pool { kind, .. } => ops.pool(points(x), kind, read, mask, y_buf),
            Step::BiasAct { bias, .. } => {
                let shape = RowsShape { rows: n, c: bias.c };
                ops.bias_act(shape, bias.act, read.x, At { buf: params, at: bias.at }, y_buf);
            }
            Step::Broadcast { .. } => ops.broadcast(points(y), read.x, y_buf),
            Step::NormAct { .. } => {}
        }
    }

    /// The raw outputs of the last walk.
    pub fn heads(&self) -> Heads<'_, O::Buf> {
        let Outputs { policy, pass, value, score, ownership } = self.plan.outputs;
        let of = |slot| of(&self.values, &self.plan.values, slot);
        Heads { policy: of(policy), pass: of(pass), value: of(value), score: of(score), ownership: of(ownership) }
    }

    /// Numbers of the score head.
    pub fn score_c(&self) -> usize {
        self.score_c
    }

    /// Adds the losses of the last walk to the sums, without gradients.
    pub fn losses(&self, ops: &O, targets: &Targets<'_>, weights: &LossWeights, tally: &mut O::Tally) {
        let shape = LossShape { n: self.n, len: self.len, score_c: self.score_c };
        let mask = Mask { mask: &self.mask, counts: &self.counts };
        ops.losses(shape, self.heads(), mask, targets, weights, None, tally);
    }

    /// The losses of the last walk, which took its norms from the batch, to the sums, and the gradients of all parameters to
    /// `grads`; both are added.
    pub fn backward(
        &mut self,
        ops: &O,
        params: &O::Buf,
        targets: &Targets<'_>,
        weights: &LossWeights,
        grads: &mut O::Buf,
        tally: &mut O::Tally,
    ) {
        let shape = LossShape { n: self.n, len: self.len, score_c: self.score_c };
        let [policy, pass, value, score, ownership] = several(&mut self.grads, &self.plan.grads, self.plan.outputs.all());
        let head_grads = HeadGrads { policy, pass, value, score, ownership };
        let mask = Mask { mask: &self.mask, counts: &self.counts };
        let out = |slot| of(&self.values, &self.plan.values, slot);
        let o = self.plan.outputs;
        let heads = Heads {
            policy: out(o.policy),
            pass: out(o.pass),
            value: out(o.value),
            score: out(o.score),
            ownership: out(o.ownership),
        };
        ops.losses(shape, heads, mask, targets, weights, Some(head_grads), tally);
        self.fresh.fill(false);
        for slot in self.plan.outputs.all() {
            self.fresh[slot] = true;
        }
        let mut i = self.plan.steps.len();
        while i > 0 {
            i -= 1;
            if self.plan.norm_before(i) {
                self.run_back_pair(ops, i, params, grads);
                i -= 1;
            } else {
                self.run_back(ops, i, params, grads);
            }
        }
    }

    /// How the next gradient of a tensor meets what is there.
    fn store(&mut self, slot: Slot) -> Store {
        if std::mem::replace(&mut self.fresh[slot], true) { Store::Add } else { Store::Write }
    }

    fn run_back(&mut self, ops: &O, step: usize, params: &O::Buf, grads: &mut O::Buf) {
        let (step_idx, in_place) = (step, self.plan.in_place[step]);
        let step = self.plan.steps[step];
        let (x, y) = step.slots();
        debug_assert!(self.fresh[y], "the gradient of an output is complete before its step");
        let (n, len) = self.batch();
        match step {
            Step::Conv { conv, base, .. } => {
                self.conv_back(ops, conv_shape(&conv, n, len), conv.at, (x, y), params, grads);
                if let Some(base) = base {
                    // both gradients share one buffer
                    self.fresh[base] = true;
                }
            }
            Step::Matmul { matmul, .. } => {
                self.conv_back(ops, matmul_shape(&matmul, n), matmul.at, (x, y), params, grads);
            }
            Step::NormAct { norm, .. } => {
                let shape = self.points(x);
                let store = self.store(x);
                debug_assert!(in_place || store == Store::Add, "the trunk's gradient was written by what follows the block");
                let (dx, dy) = if in_place {
                    let [dy] = several(&mut self.grads, &self.plan.grads, [y]);
                    (None, dy)
                } else {
                    let [dx, dy] = several(&mut self.grads, &self.plan.grads, [x, y]);
                    (Some(dx), dy)
                };
                let args = NormGrad {
                    x: of(&self.values, &self.plan.values, x),
                    saved: kept(&self.saved, step_idx),
                    mask: Mask { mask: &self.mask, counts: &self.counts },
                    dy,
                    dx,
                    grads,
                    scale_at: norm.scale.then_some(norm.scale_at),
                    bias_at: norm.bias.then_some(norm.bias_at),
                };
                ops.norm_act_grad(shape, norm.act, args);
            }
            Step::Pool { kind, .. } => {
                let (shape, store) = (self.points(x), self.store(x));
                let [dx, dy] = several(&mut self.grads, &self.plan.grads, [x, y]);
                let mask = Mask { mask: &self.mask, counts: &self.counts };
                let readable = Readable { plan: &self.plan, before: &self.values, after: &[], saved: &self.saved, mask };
                let read = readable.input(x);
                ops.pool_grad(shape, kind, store, read, mask, dy, dx);
            }
            Step::BiasAct { bias, .. } => {
                let (shape, _) = (self.rows(x), self.store(x));
                let [dx, dy] = several(&mut self.grads, &self.plan.grads, [x, y]);
                let x = of(&self.values, &self.plan.values, x);
                let at = At { buf: params, at: bias.at };
                ops.bias_act_grad(shape, bias.act, x, at, dy, dx, AtMut { buf: grads, at: bias.at });
            }
            Step::Broadcast { .. } => {
                let (shape, _) = (self.points(y), self.store(x));
                let [dx, dy] = several(&mut self.grads, &self.plan.grads, [x, y]);
                ops.broadcast_grad(shape, dy, dx);
            }
        }
    }

    /// Back through a convolution and the norm before it, whose output nobody else waits for.
    fn run_back_pair(&mut self, ops: &O, step: usize, params: &O::Buf, grads: &mut O::Buf) {
        let (Step::Conv { conv, x: between, y, base }, Step::NormAct { norm, x, .. }) =
            (self.plan.steps[step], self.plan.steps[step - 1])
        else {
            return;
        };
        let shape = conv_shape(&conv, self.n, self.len);
        self.conv_grad_weights(ops, shape, conv.at, (between, y), grads);
        if let Some(base) = base {
            // both gradients share one buffer
            self.fresh[base] = true;
        }
        let (store, trunk) = (self.store(between), self.store(x));
        let in_place = self.plan.in_place[step - 1];
        debug_assert!(in_place || trunk == Store::Add, "the trunk's gradient was written by what follows the block");
        let (dx, dy, dnorm) = if in_place {
            let [dy, dnorm] = several(&mut self.grads, &self.plan.grads, [y, between]);
            (None, dy, dnorm)
        } else {
            let [dx, dy, dnorm] = several(&mut self.grads, &self.plan.grads, [x, y, between]);
            (Some(dx), dy, dnorm)
        };
        let args = NormGrad {
            x: of(&self.values, &self.plan.values, x),
            saved: kept(&self.saved, step - 1),
            mask: Mask { mask: &self.mask, counts: &self.counts },
            dy: dnorm,
            dx,
            grads,
            scale_at: norm.scale.then_some(norm.scale_at),
            bias_at: norm.bias.then_some(norm.bias_at),
        };
        ops.conv_norm_grad(shape, store, At { buf: params, at: conv.at }, dy, norm.act, args);
    }

    fn conv_grad_weights(&mut self, ops: &O, shape: ConvShape, at: usize, (x, y): (Slot, Slot), grads: &mut O::Buf) {
        let mask = Mask { mask: &self.mask, counts: &self.counts };
        let readable = Readable { plan: &self.plan, before: &self.values, after: &[], saved: &self.saved, mask };
        let dy = of(&self.grads, &self.plan.grads, y);
        ops.conv_grad_weights(shape, readable.input(x), dy, AtMut { buf: grads, at });
    }

    fn conv_back(&mut self, ops: &O, shape: ConvShape, at: usize, (x, y): (Slot, Slot), params: &O::Buf, grads: &mut O::Buf) {
        self.conv_grad_weights(ops, shape, at, (x, y), grads);
        if x != PLANES && x != GLOBALS {
            let store = self.store(x);
            let [dx, dy] = several(&mut self.grads, &self.plan.grads, [x, y]);
            ops.conv_grad_input(shape, store, At { buf: params, at }, dy, dx);
        }
    }
}
