//! What a search has found, and which move it would play.

use super::arena::{EXCLUDED, Edge, Node};
use super::gumbel;
use super::maths::{exp, ln, unpack};
use super::params::Params;
use super::root::RootView;
use super::tree::{ROOT, Tree, mean, side};
use super::value::Value;
use crate::base::rng::Rng;
use crate::go::{Color, Move};

/// Moves of a principal variation, at the most.
pub const PV_MOVES_MAX: usize = 24;
/// The widest doubt about a utility: it lies between -1 and 1.
const UTILITY_RADIUS: f32 = 2.0;

/// A search as it stands.
#[derive(Clone, Debug)]
pub struct Report {
    /// Whose turn it is at the root.
    pub to_move: Color,
    /// Visits of the root, its own evaluation included.
    pub visits: u32,
    /// Its worth after them, White's view.
    pub value: Value,
    /// The moves that were tried: the one to be played first, then by visits.
    pub moves: Vec<MoveReport>,
    /// What the root's evaluation said, White's view.
    pub root: Value,
    /// Who owns each point by the root's evaluation, `[len * len]`, 1: White's.
    pub ownership: Vec<f32>,
    /// Legal moves by their place in the policy, pass last, and their probabilities by the root's evaluation.
    pub policy: Vec<(u16, f32)>,
    /// Those of them that may be tried and were not.
    pub untried: Vec<(u16, f32)>,
    /// Playouts of the last search.
    pub playouts: u32,
    /// Their mean depth in moves.
    pub depth_mean: f32,
    /// Positions in the tree, and room for them.
    pub nodes: [usize; 2],
    /// Bytes of the tree in use.
    pub bytes: usize,
}

/// A move at the root.
#[derive(Clone, Debug)]
pub struct MoveReport {
    /// The move.
    pub mv: Move,
    /// Playouts through it.
    pub visits: u32,
    /// Share of the policy, with noise if there is any.
    pub prior: f32,
    /// Worth after it, White's view.
    pub value: Value,
    /// Utility that it has at least, for its player: some standard errors below the mean.
    pub utility_lcb: f32,
    /// The same for the chance to win.
    pub win_lcb: f32,
    /// The moves expected from here, this one first, and the visits of each.
    pub pv: Vec<(Move, u32)>,
}

impl Report {
    /// Adds moves that were not tried, the likeliest first, until there are `n`, as far as the root has so many. They are
    /// taken for what the root is.
    pub fn fill_up(&mut self, n: usize) {
        let n_missing = n.saturating_sub(self.moves.len());
        let len = self.ownership.len().isqrt();
        let mut rest: Vec<MoveReport> =
            self.untried.iter().map(|&(i, prior)| self.without_visits(Move::from_policy_index(i as usize, len), prior)).collect();
        rest.retain(|m| self.moves.iter().all(|known| known.mv != m.mv));
        rest.sort_by(|a, b| b.prior.total_cmp(&a.prior));
        self.moves.extend(rest.into_iter().take(n_missing));
    }

    /// Adds this move if none was tried, as [`Report::fill_up`] does.
    pub fn begin_with(&mut self, mv: Move) {
        let i = mv.policy_index(self.ownership.len().isqrt());
        let prior = self.policy.iter().find(|(known, _)| *known as usize == i).map(|(_, prior)| *prior);
        if let (Some(prior), true) = (prior, self.moves.is_empty()) {
            self.moves.push(self.without_visits(mv, prior));
        }
    }

    fn without_visits(&self, mv: Move, prior: f32) -> MoveReport {
        let win = if self.to_move == Color::White { self.value.win } else { 1.0 - self.value.win };
        MoveReport {
            mv,
            visits: 0,
            prior,
            value: self.value,
            utility_lcb: side(self.to_move) * self.value.utility - UTILITY_RADIUS,
            win_lcb: win - 0.5 * UTILITY_RADIUS,
            pv: vec![(mv, 0)],
        }
    }
}

impl Tree {
    /// The report on a root with this evaluation. None before the root was evaluated.
    pub(super) fn report(&self, view: &RootView) -> Option<Report> {
        let (root, len) = (self.root()?, view.len);
        let edges = self.arena.edges(root);
        let mut order: Vec<usize> = (0..edges.len()).filter(|&i| edges[i].visits > 0 && edges[i].prior != EXCLUDED).collect();
        let best = self.best();
        order.sort_by_key(|&i| (Some(i) != best, std::cmp::Reverse(edges[i].visits), i));
        let sign = side(root.to_move);
        let describe = |i: usize| {
            let edge = &edges[i];
            let child = self.arena.node(edge.child);
            let (lcb, radius) = lower_bound(child, sign, &self.params);
            let value = mean(child);
            let win = if root.to_move == Color::White { value.win } else { 1.0 - value.win };
            MoveReport {
                mv: Move::from_policy_index(edge.policy_idx as usize, len),
                visits: edge.visits,
                prior: unpack(edge.prior),
                value,
                utility_lcb: lcb,
                // Half, as win minus loss goes from -1 to 1.
                win_lcb: win - 0.5 * radius,
                pv: self.variation(edge, len),
            }
        };
        let untried = self.arena.untried(root);
        let may_be_tried = |policy_idx: u16| {
            untried.iter().any(|c| c.policy_idx() == policy_idx)
                || edges.iter().any(|e| e.policy_idx == policy_idx && e.visits == 0 && e.prior != EXCLUDED)
        };
        Some(Report {
            to_move: root.to_move,
            visits: root.visits,
            value: mean(root),
            root: view.value,
            ownership: view.ownership.clone(),
            policy: view.policy.clone(),
            untried: view.policy.iter().copied().filter(|(i, _)| may_be_tried(*i)).collect(),
            moves: order.into_iter().map(describe).collect(),
            playouts: self.playouts,
            depth_mean: self.depth_sum as f32 / self.playouts.max(1) as f32,
            nodes: [self.arena.n_nodes(), self.arena.n_nodes_max()],
            bytes: self.arena.bytes(),
        })
    }

    /// The edge of the move to be played: the one that is best for sure among those with many visits.
    pub(super) fn best(&self) -> Option<usize> {
        let root = self.root()?;
        let edges = self.arena.edges(root);
        if let Some(gumbel) = &self.gumbel {
            return gumbel.choice(edges, self.arena.untried(root), root);
        }
        let playable = || edges.iter().enumerate().filter(|(_, e)| e.prior != EXCLUDED && e.visits > 0);
        let most = playable().map(|(_, e)| e.visits).max()?;
        let least = (self.params.lcb_share_min * most as f32).max(1.0);
        let mut best: Option<(usize, f32)> = None;
        for (i, edge) in playable().filter(|(_, e)| e.visits as f32 >= least) {
            let (lcb, _) = lower_bound(self.arena.node(edge.child), side(root.to_move), &self.params);
            if best.is_none_or(|(_, top)| lcb > top) {
                best = Some((i, lcb));
            }
        }
        best.map(|(i, _)| i)
    }

    /// A move drawn by its visits to the power of 1 / `temperature`; `temperature` above 0.
    pub(super) fn drawn(&self, temperature: f32, draw: &mut Rng) -> Option<usize> {
        let root = self.root()?;
        let edges = self.arena.edges(root);
        let most = edges.iter().filter(|e| e.prior != EXCLUDED).map(|e| e.visits).max().filter(|&n| n > 0)?;
        let weight = |e: &Edge| match e.visits {
            0 => 0.0,
            _ if e.prior == EXCLUDED => 0.0,
            n => exp(ln(n as f32 / most as f32) / temperature),
        };
        let mut left = gumbel::uniform(draw) * edges.iter().map(weight).sum::<f32>();
        for (i, edge) in edges.iter().enumerate() {
            left -= weight(edge);
            if left < 0.0 {
                return Some(i);
            }
        }
        edges.iter().position(|e| e.visits == most && e.prior != EXCLUDED)
    }

    /// Where an edge of the root leads, and on by the most visited moves.
    fn variation(&self, first: &Edge, len: usize) -> Vec<(Move, u32)> {
        let mut pv = Vec::new();
        let mut edge = Some(first);
        while let Some(Edge { policy_idx, visits, child, .. }) = edge {
            pv.push((Move::from_policy_index(*policy_idx as usize, len), *visits));
            if pv.len() == PV_MOVES_MAX {
                break;
            }
            let edges = self.arena.edges(self.arena.node(*child)).iter().filter(|e| e.visits > 0);
            edge =
                edges.fold(None, |best: Option<&Edge>, e| if best.is_none_or(|b| e.visits > b.visits) { Some(e) } else { best });
        }
        pv
    }

    /// The root's policy after the search: shares of visits, or in the Gumbel mode completed by values.
    /// `[len * len + 1]`, pass last.
    pub(super) fn policy_target(&self, out: &mut [f32]) {
        out.fill(0.0);
        let Some(root) = self.root() else { return };
        let edges = self.arena.edges(root);
        if self.gumbel.is_some() {
            return gumbel::improved_policy(edges, self.arena.untried(root), root, out);
        }
        let playable = || edges.iter().filter(|e| e.prior != EXCLUDED);
        let total: u32 = playable().map(|e| e.visits).sum();
        for edge in playable() {
            out[edge.policy_idx as usize] = edge.visits as f32 / total.max(1) as f32;
        }
    }

    /// The place in the policy of an edge of the root.
    pub(super) fn policy_idx(&self, edge_idx: usize) -> usize {
        self.arena.edges(self.arena.node(ROOT))[edge_idx].policy_idx as usize
    }
}

/// Lower confidence bound of a child's utility for the player with `sign`, and its distance from the mean (KataGo).
fn lower_bound(child: &Node, sign: f32, params: &Params) -> (f32, f32) {
    let n = f64::from(child.visits.max(1));
    let mean = child.utility_sum / n;
    // A little of the widest spread, so that few visits that agree do not look certain.
    let prior_weight = 1.0 / (n * n);
    let square = child.utility_square_sum + (mean * mean + f64::from(UTILITY_RADIUS * UTILITY_RADIUS)) * prior_weight;
    let variance = (square / (n + prior_weight) - mean * mean).max(0.0);
    let radius = params.lcb_stdevs * (variance / n).sqrt() as f32;
    (sign * mean as f32 - radius, radius)
}
