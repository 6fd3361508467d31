//! A network that answers, on a backend: norms folded, memory reused.

use super::plan::{Plan, Purpose};
use super::walk::{Norms, Walk};
use super::{Arch, Net};
use crate::base::{Error, Result};
use crate::compute::{At, AtMut, Ops, PackedRows};

/// Bytes that an [`InferNet`] holds: tensors, parameters, and weights as the backend wants them; its scratch memory comes on
/// top.
pub fn infer_bytes<O: Ops>(ops: &O, arch: &Arch, n_max: usize, len_max: usize) -> usize {
    let mut placed = arch.clone();
    let layout = placed.place();
    let plan = Plan::new(&placed, Purpose::Infer);
    let prepared: usize = plan.steps.iter().filter_map(|s| s.weights(len_max)).map(|(shape, _)| ops.prepared_bytes(shape)).sum();
    let elements = plan.elements(together(ops, arch, n_max, len_max), len_max);
    4 * (elements + layout.params_len()) + prepared
}

/// Boards that walk together.
fn together<O: Ops>(ops: &O, arch: &Arch, n_max: usize, len_max: usize) -> usize {
    ops.together(n_max, len_max * len_max * arch.channels()).clamp(1, n_max.max(1))
}

/// Raw outputs on the host, in the frame of the moved boards.
#[derive(Clone, Debug, Default)]
pub struct RawOutputs {
    /// Board logits, `[n, len * len]`; garbage off the board.
    pub policy: Vec<f32>,
    /// Logit of the pass, `[n]`.
    pub pass: Vec<f32>,
    /// Logits of win, loss, no result, `[n, 3]`.
    pub value: Vec<f32>,
    /// Score numbers, `[n, 4 or 6]`.
    pub score: Vec<f32>,
    /// Ownership logits, `[n, len * len]`; garbage off the board.
    pub ownership: Vec<f32>,
}

/// A network that answers.
pub struct InferNet<O: Ops> {
    ops: O,
    walk: Walk<O>,
    params: O::Buf,
    n_max: usize,
    /// Boards that walk together.
    together: usize,
}

impl<O: Ops> InferNet<O> {
    /// Copies the net to the backend and allocates for batches of `n_max` boards in arrays of `len_max * len_max`.
    pub fn new(ops: O, net: &Net, n_max: usize, len_max: usize) -> Result<InferNet<O>> {
        let together = together(&ops, net.arch(), n_max, len_max);
        let mut walk = Walk::new(&ops, net.arch(), Purpose::Infer, n_max.min(together), len_max)?;
        let (mut params, mut stats) = (ops.alloc(net.params().len())?, ops.alloc(net.stats().len())?);
        ops.upload(net.params(), AtMut { buf: &mut params, at: 0 });
        ops.upload(net.stats(), AtMut { buf: &mut stats, at: 0 });
        walk.fold(&ops, &params, &stats);
        Ok(InferNet { ops, walk, params, n_max, together })
    }

    /// The backend.
    pub fn ops(&self) -> &O {
        &self.ops
    }

    /// Answers for packed rows, at most the number that was allocated for. `out` keeps its memory from call to call.
    pub fn run(&mut self, rows: PackedRows<'_>, out: &mut RawOutputs) -> Result<()> {
        let (n, len) = (rows.symmetries.len(), rows.len);
        if n == 0 || n > self.n_max {
            return Err(Error::new("batch", format!("{n} boards, expected 1 to {}", self.n_max)));
        }
        let row_bytes = rows.bytes.len() / n;
        if rows.bytes.len() != n * row_bytes {
            return Err(Error::new("packed rows", format!("{} bytes for {n} rows", rows.bytes.len())));
        }
        out.resize(n, len, self.walk.score_c());
        for at in (0..n).step_by(self.together) {
            let end = (at + self.together).min(n);
            let part =
                PackedRows { len, bytes: &rows.bytes[at * row_bytes..end * row_bytes], symmetries: &rows.symmetries[at..end] };
            self.run_part(part, at, out)?;
        }
        Ok(())
    }

    /// Answers for a few rows, to be the samples from `at` on.
    fn run_part(&mut self, rows: PackedRows<'_>, at: usize, out: &mut RawOutputs) -> Result<()> {
        let InferNet { ops, walk, params, .. } = self;
        ops.scope(|| {
            walk.load(ops, rows)?;
            walk.prepare(ops, params, rows.len)?;
            walk.forward(ops, params, Norms::Folded);
            Result::Ok(())
        })?;
        let (n, len) = walk.batch();
        let score_c = walk.score_c();
        let heads = walk.heads();
        let (boards, numbers) = (at * len * len..(at + n) * len * len, at..at + n);
        let score = at * score_c..(at + n) * score_c;
        ops.download(&mut [
            (At { buf: heads.policy, at: 0 }, &mut out.policy[boards.clone()]),
            (At { buf: heads.pass, at: 0 }, &mut out.pass[numbers]),
            (At { buf: heads.value, at: 0 }, &mut out.value[3 * at..3 * (at + n)]),
            (At { buf: heads.score, at: 0 }, &mut out.score[score]),
            (At { buf: heads.ownership, at: 0 }, &mut out.ownership[boards]),
        ])
    }
}

impl RawOutputs {
    fn resize(&mut self, n: usize, len: usize, score_c: usize) {
        for (to, each) in [
            (&mut self.policy, len * len),
            (&mut self.pass, 1),
            (&mut self.value, 3),
            (&mut self.score, score_c),
            (&mut self.ownership, len * len),
        ] {
            to.resize(n * each, 0.0);
        }
    }
}
