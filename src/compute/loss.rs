//! What a network is trained towards, and how far it is from it.
//!
//! | part | a sample's loss |
//! |---|---|
//! | policy | cross-entropy of the move played, softmax over the on-board points and pass |
//! | value | cross-entropy with (win, loss, no result) |
//! | score | `H(s0 - t) + H(softplus(s1) - 1.2533 abs(s0 - t)) + H(s2 - t)`, t = score / 20, H of Huber with delta 1 (20 points) |
//! | ownership | mean over the points of the cross-entropy of `sigmoid(2 logit)` with `(1 + t) / 2`; tanh of the logit is the output |
//!
//! The second part of the score trains the standard deviation: for normal errors it is `sqrt(pi / 2) = 1.2533` times the
//! mean absolute error. Its target is taken as a constant. The third trains the lead, for want of a better target.

use std::ops::AddAssign;

/// No policy target: the sample's move is not to be learned.
pub const POLICY_MASKED: u16 = u16::MAX;

/// Targets of a batch, all for the player to move, in the frame of the moved (symmetric) board.
#[derive(Clone, Copy)]
pub struct Targets<'a> {
    /// `[n]` index in the `len x len` array, `len * len` for pass, [`POLICY_MASKED`] for none.
    pub policy: &'a [u16],
    /// `[n]` probabilities of win, loss, no result.
    pub value: &'a [[f32; 3]],
    /// `[n]` 0 where the result is unknown.
    pub value_weight: &'a [f32],
    /// `[n]` final score with komi, in points.
    pub score: &'a [f32],
    /// `[n]` 0 where the score is unknown.
    pub score_weight: &'a [f32],
    /// `[n, len * len]` from -1 (opponent's) to 1 (own).
    pub ownership: &'a [f32],
    /// `[n]` 0 where the owners are unknown.
    pub ownership_weight: &'a [f32],
    /// `[n]` multiplies all.
    pub weight: &'a [f32],
}

/// Factors of the parts in the sum that is minimised.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LossWeights {
    /// Policy.
    pub policy: f32,
    /// Value.
    pub value: f32,
    /// Score.
    pub score: f32,
    /// Ownership.
    pub ownership: f32,
    /// Samples the gradient is averaged over: with accumulation those of all parts. None: the samples of this batch.
    pub divisor: Option<f32>,
}

impl Default for LossWeights {
    /// Near KataGo's balance: the policy leads, the auxiliary targets help the trunk without drowning it.
    fn default() -> Self {
        LossWeights { policy: 1.0, value: 1.0, score: 0.2, ownership: 0.3, divisor: None }
    }
}

/// Sums over samples; means are quotients, so that batches add up.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Losses {
    /// Samples.
    pub n: u64,
    /// Weighted sum of what is minimised, before the divisor.
    pub total: f64,
    /// Weighted policy cross-entropy (nat).
    pub policy: f64,
    /// Sum of its weights.
    pub policy_weight: f64,
    /// Samples with a policy target.
    pub policy_n: u64,
    /// Among them those whose most probable move is the target.
    pub policy_hits: u64,
    /// Weighted value cross-entropy (nat).
    pub value: f64,
    /// Sum of its weights.
    pub value_weight: f64,
    /// Samples with a value target.
    pub value_n: u64,
    /// Among them those whose most probable result is the target's.
    pub value_hits: u64,
    /// Weighted score loss.
    pub score: f64,
    /// Weighted absolute error of the mean score, in points.
    pub score_error: f64,
    /// Sum of its weights.
    pub score_weight: f64,
    /// Weighted ownership cross-entropy a point (nat).
    pub ownership: f64,
    /// Sum of its weights.
    pub ownership_weight: f64,
}

impl Losses {
    /// Mean policy cross-entropy.
    pub fn policy_mean(&self) -> f64 {
        quotient(self.policy, self.policy_weight)
    }

    /// Share of samples whose most probable move is the target.
    pub fn policy_top1(&self) -> f64 {
        quotient(self.policy_hits as f64, self.policy_n as f64)
    }

    /// Mean value cross-entropy.
    pub fn value_mean(&self) -> f64 {
        quotient(self.value, self.value_weight)
    }

    /// Share of samples whose most probable result is the target's.
    pub fn value_accuracy(&self) -> f64 {
        quotient(self.value_hits as f64, self.value_n as f64)
    }

    /// Mean score loss.
    pub fn score_mean(&self) -> f64 {
        quotient(self.score, self.score_weight)
    }

    /// Mean absolute error of the score, in points.
    pub fn score_error_mean(&self) -> f64 {
        quotient(self.score_error, self.score_weight)
    }

    /// Mean ownership cross-entropy.
    pub fn ownership_mean(&self) -> f64 {
        quotient(self.ownership, self.ownership_weight)
    }

    /// Mean of what is minimised.
    pub fn total_mean(&self) -> f64 {
        quotient(self.total, self.n as f64)
    }
}

fn quotient(sum: f64, weight: f64) -> f64 {
    if weight > 0.0 { sum / weight } else { 0.0 }
}

impl AddAssign for Losses {
    fn add_assign(&mut self, o: Losses) {
        self.n += o.n;
        self.total += o.total;
        self.policy += o.policy;
        self.policy_weight += o.policy_weight;
        self.policy_n += o.policy_n;
        self.policy_hits += o.policy_hits;
        self.value += o.value;
        self.value_weight += o.value_weight;
        self.value_n += o.value_n;
        self.value_hits += o.value_hits;
        self.score += o.score;
        self.score_error += o.score_error;
        self.score_weight += o.score_weight;
        self.ownership += o.ownership;
        self.ownership_weight += o.ownership_weight;
    }
}
