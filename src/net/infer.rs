//! A network that answers, on a backend: norms folded, memory reused.

use super::plan::{Plan, Purpose};
use super::walk::{Norms, Walk};
use super::{Arch, Net};
use crate::base::Result;
use crate::compute::{At, AtMut, Ops, PackedRows};

/// Bytes that [`InferNet::new`] allocates: tensors and parameters; the backend's scratch memory comes on top.
pub fn infer_bytes(arch: &Arch, n_max: usize, len_max: usize) -> usize {
    let layout = arch.clone().place();
    4 * (Plan::new(arch, Purpose::Infer).elements(n_max, len_max) + layout.params_len() + layout.stats_len())
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
}

impl<O: Ops> InferNet<O> {
    /// Copies the net to the backend and allocates for batches of `n_max` boards in arrays of `len_max * len_max`.
    pub fn new(ops: O, net: &Net, n_max: usize, len_max: usize) -> Result<InferNet<O>> {
        let mut walk = Walk::new(&ops, net.arch(), Purpose::Infer, n_max, len_max)?;
        let (mut params, mut stats) = (ops.alloc(net.params().len())?, ops.alloc(net.stats().len())?);
        ops.upload(net.params(), AtMut { buf: &mut params, at: 0 });
        ops.upload(net.stats(), AtMut { buf: &mut stats, at: 0 });
        walk.fold(&ops, &params, &stats);
        Ok(InferNet { ops, walk, params })
    }

    /// The backend.
    pub fn ops(&self) -> &O {
        &self.ops
    }

    /// Answers for packed rows. `out` keeps its memory from call to call.
    pub fn run(&mut self, rows: PackedRows<'_>, out: &mut RawOutputs) -> Result<()> {
        let InferNet { ops, walk, params } = self;
        ops.scope(|| {
            walk.load(ops, rows)?;
            walk.forward(ops, params, Norms::Folded);
            Result::Ok(())
        })?;
        let (n, len) = walk.batch();
        let score_c = walk.score_c();
        let heads = walk.heads();
        for (buf, to, elements) in [
            (heads.policy, &mut out.policy, n * len * len),
            (heads.pass, &mut out.pass, n),
            (heads.value, &mut out.value, n * 3),
            (heads.score, &mut out.score, n * score_c),
            (heads.ownership, &mut out.ownership, n * len * len),
        ] {
            to.resize(elements, 0.0);
            ops.download(At { buf, at: 0 }, to);
        }
        Ok(())
    }
}
