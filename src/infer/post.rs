//! From raw outputs to probabilities and points, as KataGo does it.

use super::Evaluation;

/// Whether a game can end without a result under the rules played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoResult {
    /// Simple ko, or territory scoring: long cycles end the game without a result.
    Possible,
    /// Area scoring with a superko rule.
    Impossible,
}

/// What a net thinks, for the player to move.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Output {
    /// `[len * len + 1]`, pass last; 0 where illegal; sums to 1.
    pub policy: Vec<f32>,
    /// Probability of a win.
    pub win: f32,
    /// Probability of a loss.
    pub loss: f32,
    /// Probability of no result.
    pub no_result: f32,
    /// Expected final score, in points.
    pub score_mean: f32,
    /// Its standard deviation, in points.
    pub score_stdev: f32,
    /// Points by which the player could be behind at the start for an even game from here.
    pub lead: f32,
    /// `[len * len]`, 1: mine, -1: the opponent's; 0 off the board.
    pub ownership: Vec<f32>,
    /// Short-term numbers of versions 9 and up: variance of the time to the end, errors of value (-1 to 1) and score.
    pub short_term: Option<ShortTerm>,
}

/// What versions 9 and up say about the next moves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ShortTerm {
    /// Variance of the time when the result is settled.
    pub variance_time: f32,
    /// Expected error of win minus loss.
    pub winloss_error: f32,
    /// Expected error of the score, in points.
    pub score_error: f32,
}

/// Points one unit of the score head stands for.
const SCORE_UNIT: f32 = 20.0;

/// ln(1 + e^x)
fn softplus(x: f32) -> f32 {
    if x > 40.0 { x } else { x.exp().ln_1p() }
}

impl Evaluation {
    /// Probabilities and points. `legal`: `[len * len + 1]`, pass last; pass counts as legal if nothing is.
    pub fn post_process(&self, legal: &[bool], no_result: NoResult) -> Output {
        let mut out = Output::default();
        self.post_process_into(legal, no_result, &mut out);
        out
    }

    /// [`Evaluation::post_process`] into memory that is reused.
    pub fn post_process_into(&self, legal: &[bool], no_result: NoResult, out: &mut Output) {
        self.policy_into(legal, &mut out.policy);
        [out.win, out.loss, out.no_result] = self.value_probabilities(no_result);
        let settled = 1.0 - out.no_result;
        let mean = SCORE_UNIT * self.score[0];
        let stdev = SCORE_UNIT * softplus(self.score[1]);
        out.score_mean = mean * settled;
        // KataGo's second moment counts games without a result as 0 points
        let square = (mean * mean + stdev * stdev) * settled;
        out.score_stdev = (square - out.score_mean * out.score_mean).max(0.0).sqrt();
        out.lead = SCORE_UNIT * self.score[2] * settled;
        out.ownership.clear();
        out.ownership.extend(self.ownership.iter().map(|o| o.tanh()));
        out.short_term = self.short_term();
    }

    fn policy_into(&self, legal: &[bool], policy: &mut Vec<f32>) {
        policy.clear();
        policy.resize(self.policy.len(), 0.0);
        let best = self.policy.iter().zip(legal).filter(|(_, l)| **l).fold(f32::NEG_INFINITY, |best, (p, _)| best.max(*p));
        if best == f32::NEG_INFINITY {
            if let Some(pass) = policy.last_mut() {
                *pass = 1.0;
            }
            return;
        }
        let mut total = 0.0f32;
        for ((p, logit), _) in policy.iter_mut().zip(&self.policy).zip(legal).filter(|(_, l)| **l) {
            *p = (logit - best).exp();
            total += *p;
        }
        policy.iter_mut().for_each(|p| *p /= total);
    }

    fn value_probabilities(&self, no_result: NoResult) -> [f32; 3] {
        let mut v = self.value;
        if no_result == NoResult::Impossible {
            v[2] = f32::NEG_INFINITY;
        }
        let best = v[0].max(v[1]).max(v[2]);
        let e = v.map(|x| (x - best).exp());
        let total = e[0] + e[1] + e[2];
        e.map(|x| x / total)
    }

    fn short_term(&self) -> Option<ShortTerm> {
        let (s4, s5) = (softplus(self.score[4]), softplus(self.score[5]));
        let (winloss_error, score_error) = match self.version {
            9 => (s4, 10.0 * s5),
            10..14 => ((0.25 * s4).sqrt(), (30.0 * s5).sqrt()),
            14.. => (0.5 * softplus(0.5 * self.score[4]), 30.0f32.sqrt() * softplus(0.5 * self.score[5])),
            _ => return None,
        };
        Some(ShortTerm { variance_time: 40.0 * softplus(self.score[3]), winloss_error, score_error })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn illegal_moves_get_nothing() {
        let mut e = Evaluation::even(2);
        e.policy = vec![1.0, 9.0, f32::NEG_INFINITY, 1.0, 1.0];
        e.value = [0.0, 0.0, 0.0];
        let o = e.post_process(&[true, false, true, true, true], NoResult::Impossible);
        assert_eq!((o.policy[1], o.policy[2]), (0.0, 0.0));
        assert!((o.policy[0] - 1.0 / 3.0).abs() < 1e-6);
        assert_eq!((o.win, o.loss, o.no_result), (0.5, 0.5, 0.0));
        assert!((e.post_process(&[true; 5], NoResult::Possible).no_result - 1.0 / 3.0).abs() < 1e-6);
        let none = e.post_process(&[false; 5], NoResult::Possible);
        assert_eq!(none.policy, [0.0, 0.0, 0.0, 0.0, 1.0]);
    }
}
