//! The network on one of our own backends.

use super::{Evaluation, Evaluator, LOGIT_OFF_BOARD, Request};
use crate::base::limits::BOARD_LEN_MAX;
use crate::base::symmetry::Symmetry;
use crate::base::{Error, Result};
use crate::compute::packed::row_bytes;
use crate::compute::{Ops, PackedRows};
use crate::net::arch::ScoreUnits;
use crate::net::{InferNet, Net, RawOutputs};

/// Largest batch that is allocated for.
const BATCH_MAX: usize = 4096;

/// A network on a backend of the compute room.
pub struct Native<O: Ops> {
    net: InferNet<O>,
    name: String,
    version: u32,
    units: ScoreUnits,
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
            units: net.arch().units,
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
        if !self.units.are_usual() {
            usual_units(&mut out.score, self.units, self.version);
        }
        out.version = self.version;
    }
}

/// Score numbers of a net with `units` of its own as a net with the usual ones would say the same.
fn usual_units(score: &mut [f32; 6], units: ScoreUnits, version: u32) {
    let usual = ScoreUnits::USUAL;
    let softplus = |x: f32| if x > 20.0 { x } else { x.exp().ln_1p() };
    // The number whose softplus is `y`.
    let inverse = |y: f32| if y > 20.0 { y } else { y.exp_m1().max(f32::MIN_POSITIVE).ln() };
    let softly = |x: f32, ratio: f32| inverse(ratio * softplus(x));
    let [mean, stdev, lead, variance_time, winloss_error, score_error] = score;
    *mean *= units.mean / usual.mean;
    *stdev = softly(*stdev, units.stdev / usual.stdev);
    *lead *= units.lead / usual.lead;
    *variance_time = softly(*variance_time, units.variance_time / usual.variance_time);
    for (error, ratio) in
        [(winloss_error, units.winloss_error / usual.winloss_error), (score_error, units.score_error / usual.score_error)]
    {
        *error = match version {
            ..14 => softly(*error, ratio),
            _ => 2.0 * softly(0.5 * *error, ratio.sqrt()),
        };
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

    fn gpus(&self) -> Vec<crate::device::nvml::Place> {
        self.net.ops().gpu().into_iter().collect()
    }

    fn version(&self) -> u32 {
        self.version
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infer::NoResult;

    #[test]
    fn other_units_say_the_same() {
        let units =
            ScoreUnits { mean: 10.0, stdev: 5.0, lead: 40.0, variance_time: 20.0, winloss_error: 1.0, score_error: 150.0 };
        let score = [0.3, 1.2, -0.4, 0.9, 0.1, 0.7];
        for version in [13, 14] {
            let mut answer = Evaluation { score, version, ..Evaluation::even(3) };
            usual_units(&mut answer.score, units, version);
            let told = answer.post_process(&[true; 10], NoResult::Impossible);
            let soft = |x: f32| x.exp().ln_1p();
            let errors = match version {
                13 => [soft(0.1).sqrt(), (150.0 * soft(0.7)).sqrt()],
                _ => [soft(0.05), 150.0f32.sqrt() * soft(0.35)],
            };
            let short = told.short_term.unwrap();
            let pairs = [
                (told.score_mean, 3.0),
                (told.score_stdev, 5.0 * soft(1.2)),
                (told.lead, -16.0),
                (short.variance_time, 20.0 * soft(0.9)),
                (short.winloss_error, errors[0]),
                (short.score_error, errors[1]),
            ];
            for (i, (got, expected)) in pairs.into_iter().enumerate() {
                assert!((got - expected).abs() < 1e-3 * expected.abs(), "{version}, number {i}: {got}, expected {expected}");
            }
        }
    }
}
