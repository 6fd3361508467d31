//! The root's rule for few visits: sequential halving among moves sampled without replacement, and values for all moves
//! from those that were tried (Gumbel AlphaZero, Danihelka 2022).

use super::arena::{Candidate, EXCLUDED, Edge, Node};
use super::maths::{exp, ln, unpack};
use super::tree::side;
use crate::base::limits::POINTS_MAX;
use crate::base::rng::Rng;
use rand::Rng as _;

/// How much values count beside the policy: the paper's constants.
const VALUE_VISITS: f32 = 50.0;
const VALUE_SCALE: f32 = 0.1;
/// Logit of a move that the policy gives nothing.
const LOGIT_MIN: f32 = -40.0;

/// The plan of one search.
pub(super) struct Gumbel {
    /// A draw for every place in the policy.
    noise: Vec<f32>,
    /// Visits that the move tried in each playout has before it.
    plan: Vec<u32>,
    /// Visits of the root's moves when the plan began.
    visits_before: u32,
}

impl Gumbel {
    /// A plan of `n_playouts` among the best `considered` of `n_legal` moves.
    pub(super) fn new(draw: &mut Rng, n_legal: usize, considered: usize, n_playouts: usize, root: &Node) -> Gumbel {
        let noise = (0..=POINTS_MAX).map(|_| -ln(-ln(uniform(draw)))).collect();
        let plan = halving(considered.min(n_legal).max(1), n_playouts);
        Gumbel { noise, plan, visits_before: root.visits - 1 }
    }

    /// The move of the next playout: its place among the edges, then among the untried; none when the plan is done.
    pub(super) fn pick(&self, edges: &[Edge], untried: &[Candidate], root: &Node) -> Option<usize> {
        let n_done = (root.visits - 1 + root.pending).checked_sub(self.visits_before)?;
        let due = *self.plan.get(n_done as usize)?;
        let values = Completed::new(edges, untried, root);
        let tried = edges.iter().enumerate().filter(|(_, e)| e.prior != EXCLUDED && e.visits + e.pending == due);
        let tried = tried.map(|(i, e)| (i, self.score(e.policy_idx, unpack(e.prior), values.of_edge(e))));
        let rest = untried.iter().enumerate().filter(|_| due == 0);
        let rest = rest.map(|(i, c)| (edges.len() + i, self.score(c.policy_idx(), c.prior(), values.of_untried())));
        let mut best: Option<(usize, f32)> = None;
        for (i, score) in tried.chain(rest) {
            if best.is_none_or(|(_, top)| score > top) {
                best = Some((i, score));
            }
        }
        best.map(|(i, _)| i)
    }

    /// The move to be played: the best among the most visited ones, as a place among the edges.
    pub(super) fn choice(&self, edges: &[Edge], untried: &[Candidate], root: &Node) -> Option<usize> {
        let values = Completed::new(edges, untried, root);
        let most = edges.iter().filter(|e| e.prior != EXCLUDED).map(|e| e.visits).max()?;
        let finalists = edges.iter().enumerate().filter(|(_, e)| e.prior != EXCLUDED && e.visits == most);
        let scored = finalists.map(|(i, e)| (i, self.score(e.policy_idx, unpack(e.prior), values.of_edge(e))));
        scored.max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0))).map(|(i, _)| i)
    }

    fn score(&self, policy_idx: u16, prior: f32, value: f32) -> f32 {
        self.noise[policy_idx as usize] + logit(prior) + value
    }
}

/// Values for all moves: those of the tried ones, and a mean for the others.
pub(super) struct Completed {
    sign: f32,
    /// What stands for moves that were not tried.
    mixed: f32,
    low: f32,
    high: f32,
    weight: f32,
}

impl Completed {
    pub(super) fn new(edges: &[Edge], untried: &[Candidate], root: &Node) -> Completed {
        let sign = side(root.to_move);
        let tried = || edges.iter().filter(|e| e.prior != EXCLUDED && e.visits > 0);
        let mass: f32 = tried().map(|e| unpack(e.prior)).sum();
        let n: u32 = tried().map(|e| e.visits).sum();
        let own = sign * root.own_utility;
        let mean = if mass > 0.0 { tried().map(|e| unpack(e.prior) * sign * e.utility).sum::<f32>() / mass } else { own };
        let mixed = (own + n as f32 * mean) / (1.0 + n as f32);
        let all_tried = untried.is_empty() && edges.iter().all(|e| e.visits > 0 || e.prior == EXCLUDED);
        let start = if all_tried { (f32::INFINITY, f32::NEG_INFINITY) } else { (mixed, mixed) };
        let range = |(low, high): (f32, f32), e: &Edge| (low.min(sign * e.utility), high.max(sign * e.utility));
        let (low, high) = tried().fold(start, range);
        let most = tried().map(|e| e.visits).max().unwrap_or(0);
        Completed { sign, mixed, low, high, weight: (VALUE_VISITS + most as f32) * VALUE_SCALE }
    }

    /// What an edge's value adds to its logit.
    pub(super) fn of_edge(&self, edge: &Edge) -> f32 {
        if edge.visits == 0 { self.of_untried() } else { self.scaled(self.sign * edge.utility) }
    }

    /// What an untried move's value adds to its logit.
    pub(super) fn of_untried(&self) -> f32 {
        self.scaled(self.mixed)
    }

    fn scaled(&self, value: f32) -> f32 {
        self.weight * (value - self.low) / (self.high - self.low).max(1e-8)
    }
}

/// The policy that the search has improved: `[places in the policy]`, what self-play learns from.
pub(super) fn improved_policy(edges: &[Edge], untried: &[Candidate], root: &Node, out: &mut [f32]) {
    let values = Completed::new(edges, untried, root);
    let edges = edges.iter().filter(|e| e.prior != EXCLUDED);
    let tried = edges.map(|e| (e.policy_idx, logit(unpack(e.prior)) + values.of_edge(e)));
    let rest = untried.iter().map(|c| (c.policy_idx(), logit(c.prior()) + values.of_untried()));
    out.fill(f32::NEG_INFINITY);
    let mut best = f32::NEG_INFINITY;
    for (policy_idx, x) in tried.chain(rest) {
        out[policy_idx as usize] = x;
        best = best.max(x);
    }
    let mut total = 0.0;
    for x in out.iter_mut() {
        *x = if *x == f32::NEG_INFINITY { 0.0 } else { exp(*x - best) };
        total += *x;
    }
    out.iter_mut().for_each(|x| *x /= total);
}

fn logit(prior: f32) -> f32 {
    if prior < f32::MIN_POSITIVE { LOGIT_MIN } else { ln(prior).max(LOGIT_MIN) }
}

/// A number above 0 and below 1.
pub(super) fn uniform(draw: &mut Rng) -> f32 {
    ((draw.next_u64() >> 41) as f32 + 0.5) / (1u32 << 23) as f32
}

/// Visits that the move of each playout has before it: the best half of the moves goes on, round after round.
fn halving(considered: usize, n_playouts: usize) -> Vec<u32> {
    if considered == 1 {
        return (0..n_playouts as u32).collect();
    }
    let n_rounds = considered.next_power_of_two().trailing_zeros() as usize;
    let (mut plan, mut visits, mut n) = (Vec::with_capacity(n_playouts), vec![0u32; considered], considered);
    while plan.len() < n_playouts {
        for _ in 0..(n_playouts / (n_rounds * n)).max(1) {
            plan.extend_from_slice(&visits[..n]);
            visits[..n].iter_mut().for_each(|v| *v += 1);
        }
        n = (n / 2).max(2);
    }
    plan.truncate(n_playouts);
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_go_on() {
        assert_eq!(halving(1, 3), [0, 1, 2]);
        assert_eq!(halving(4, 8), [0, 0, 0, 0, 1, 1, 2, 2]);
        let plan = halving(16, 64);
        assert_eq!((plan.len(), plan.iter().filter(|v| **v == 0).count()), (64, 16));
        assert_eq!(halving(5, 2), [0, 0]);
    }
}
