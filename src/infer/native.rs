//! The network on one of our own backends.

use super::{Evaluation, Evaluator, LOGIT_OFF_BOARD, Request};
use crate::base::limits::BOARD_LEN_MAX;
use crate::base::symmetry::Symmetry;
use crate::base::{Error, Result};
use crate::compute::packed::row_bytes;
use crate::compute::{Ops, PackedRows};
use crate::net::{InferNet, Net, RawOutputs};

/// Largest batch that is allocated for.
const BATCH_MAX: usize = 4096;

/// A network on a backend of the compute room.
pub struct Native<O: Ops> {
    net: InferNet<O>,
    name: String,
    version: u32,
    score_c: usize,
    batch_max: usize,
    rows: Vec<u8>,
    symmetries: Vec<u8>,
    raw: RawOutputs,
}

impl<O: Ops> Native<O> {
    /// Copies the net to the backend and allocates for batches of `batch_max` boards up to 19x19.
    pub fn new(ops: O, net: &Net, batch_max: usize) -> Result<Native<O>> {
        if batch_max == 0 || batch_max > BATCH_MAX {
            return Err(Error::call("batch size", format!("{batch_max}, expected 1 to {BATCH_MAX}")));
        }
        Ok(Native {
            net: InferNet::new(ops, net, batch_max, BOARD_LEN_MAX)?,
            name: net.name().to_string(),
            version: net.arch().version,
            score_c: net.arch().score_c(),
            batch_max,
            rows: Vec::with_capacity(batch_max * row_bytes(BOARD_LEN_MAX)),
            symmetries: Vec::with_capacity(batch_max),
            raw: RawOutputs::default(),
        })
    }

    /// Evaluates rows of one length, at most `batch_max`.
    fn batch(&mut self, rows: &[Request<'_>], out: &mut [Evaluation]) -> Result<()> {
        let len = rows[0].len;
        self.rows.clear();
        self.symmetries.clear();
        for request in rows {
            if len == 0 || len > BOARD_LEN_MAX || request.row.len() != row_bytes(len) {
                let what = format!("{} bytes for an array of {len}x{len}", request.row.len());
                return Err(Error::new("position to be evaluated", what));
            }
            self.rows.extend_from_slice(request.row);
            self.symmetries.push(request.symmetry);
        }
        self.net.run(PackedRows { len, bytes: &self.rows, symmetries: &self.symmetries }, &mut self.raw)?;
        for (i, (request, out)) in rows.iter().zip(out).enumerate() {
            self.move_back(i, request, out);
        }
        Ok(())
    }

    /// Sample `i` of the raw outputs, back in the frame of the request.
    fn move_back(&self, i: usize, request: &Request<'_>, out: &mut Evaluation) {
        let len = request.len;
        let area = len * len;
        let (w, h) = (usize::from(request.row[0]), usize::from(request.row[1]));
        let (policy, ownership) = (&self.raw.policy[i * area..][..area], &self.raw.ownership[i * area..][..area]);
        let symmetry = Symmetry::new(request.symmetry);
        out.policy.clear();
        out.policy.resize(area + 1, LOGIT_OFF_BOARD);
        out.ownership.clear();
        out.ownership.resize(area, 0.0);
        for y in 0..h {
            for x in 0..w {
                let (mx, my) = symmetry.apply((x, y), (w, h));
                out.policy[y * len + x] = policy[my * len + mx];
                out.ownership[y * len + x] = ownership[my * len + mx];
            }
        }
        out.policy[area] = self.raw.pass[i];
        out.value.copy_from_slice(&self.raw.value[3 * i..3 * i + 3]);
        out.score = [0.0; 6];
        out.score[..self.score_c].copy_from_slice(&self.raw.score[i * self.score_c..(i + 1) * self.score_c]);
        out.version = self.version;
    }
}

impl<O: Ops> Evaluator for Native<O> {
    fn evaluate(&mut self, rows: &[Request<'_>], out: &mut [Evaluation]) -> Result<()> {
        if out.len() < rows.len() {
            return Err(Error::new("evaluation", format!("room for {} answers, {} positions", out.len(), rows.len())));
        }
        let mut at = 0;
        while at < rows.len() {
            let same = rows[at..].iter().take(self.batch_max).take_while(|r| r.len == rows[at].len).count();
            self.batch(&rows[at..at + same], &mut out[at..at + same])?;
            at += same;
        }
        Ok(())
    }

    fn batch_max(&self) -> usize {
        self.batch_max
    }

    fn describe(&self) -> String {
        format!("{} on {}", self.name, self.net.ops().describe())
    }

    fn version(&self) -> u32 {
        self.version
    }
}
