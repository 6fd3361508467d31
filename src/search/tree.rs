//! The tree itself: down to a position that is new, and back up with its value.

use super::arena::{Arena, Candidate, EXCLUDED, Edge, Node, State};
use super::gumbel::Gumbel;
use super::maths::{exp, ln, unpack};
use super::params::Params;
use super::root::normal;
use super::value::Value;
use crate::base::Result;
use crate::base::rng::{mix, rng};
use crate::go::Color;
use rand::Rng as _;

/// Longest line below the root; what lies deeper is worth what its last position was.
pub(super) const DEPTH_MAX: usize = 512;

/// One move of a line: the node it starts from and the edge it takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    node: u32,
    edge_idx: u16,
}

/// A line from the root to a node.
#[derive(Default)]
pub(super) struct Line {
    steps: Vec<Step>,
    /// Places in the policy of the moves.
    pub(super) moves: Vec<u16>,
    node: u32,
}

impl Line {
    pub(super) fn new() -> Line {
        Line { steps: Vec::with_capacity(DEPTH_MAX), moves: Vec::with_capacity(DEPTH_MAX), node: 0 }
    }
}

/// What a descent found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Descent {
    /// A new position: evaluate it, then [`Tree::apply`].
    Leaf,
    /// A position whose value is known; it has been applied.
    Known,
    /// A position that is being evaluated already; [`Tree::retreat`] when the batch is done.
    Collision,
    /// There is no room for another node.
    Full,
}

/// What an evaluation says about a leaf.
pub(super) enum Outcome<'a> {
    /// The game goes on with these moves.
    Open(&'a [Candidate]),
    /// The game is over.
    Over,
}

/// Which move is followed.
enum Pick {
    Edge(u16),
    Untried(usize),
    Nothing,
}

/// The tree.
pub(super) struct Tree {
    pub(super) arena: Arena,
    pub(super) params: Params,
    /// The root's own rule for few visits.
    pub(super) gumbel: Option<Gumbel>,
    /// Playouts applied since the search began.
    pub(super) playouts: u32,
    pub(super) is_full: bool,
    /// An evaluation failed: some nodes will never be known.
    pub(super) is_broken: bool,
    bytes: usize,
    /// Sum of the depths of all playouts since the search began.
    pub(super) depth_sum: u64,
}

/// The root's place, always.
pub(super) const ROOT: u32 = 0;

impl Tree {
    pub(super) fn new(bytes: usize, n_points: usize, params: Params) -> Result<Tree> {
        let arena = Arena::new(bytes, n_points)?;
        Ok(Tree { arena, params, gumbel: None, playouts: 0, is_full: false, is_broken: false, bytes, depth_sum: 0 })
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.arena.clear();
        self.gumbel = None;
        (self.is_full, self.is_broken) = (false, false);
    }

    /// Takes the same memory for boards of another size.
    pub(super) fn resize(&mut self, n_points: usize) -> Result<()> {
        self.clear();
        // The old lists are given back first: both do not fit the budget.
        self.arena = Arena::new(super::arena::bytes_per_node(n_points) * 16, n_points)?;
        self.arena = Arena::new(self.bytes, n_points)?;
        Ok(())
    }

    /// The root, if it was evaluated.
    pub(super) fn root(&self) -> Option<&Node> {
        (self.arena.n_nodes() > 0).then(|| self.arena.node(ROOT))
    }

    /// Begins with a root whose evaluation is known.
    pub(super) fn plant(&mut self, to_move: Color, candidates: &[Candidate], value: Value) {
        self.clear();
        let root = self.arena.add_node(to_move).expect("an empty arena has room for a root");
        self.arena.set_candidates(root, candidates);
        let node = self.arena.node_mut(root);
        (node.state, node.own_utility) = (State::Open, value.utility);
        add(node, &value);
    }

    /// Makes the position after a move the root; false if it is not in the tree, which is then empty.
    pub(super) fn advance(&mut self, policy_idx: u16) -> bool {
        self.gumbel = None;
        self.is_full = false;
        let child = self.root().and_then(|root| {
            let edge = self.arena.edges(root).iter().find(|edge| edge.policy_idx == policy_idx)?;
            (self.arena.node(edge.child).state == State::Open).then_some(edge.child)
        });
        match child {
            Some(child) => self.arena.keep(child),
            None => self.arena.clear(),
        }
        child.is_some()
    }

    /// Goes down from the root to a position that is new.
    pub(super) fn descend(&mut self, line: &mut Line) -> Descent {
        line.steps.clear();
        line.moves.clear();
        let mut at = ROOT;
        loop {
            line.node = at;
            let node = self.arena.node(at);
            match node.state {
                State::Pending => return Descent::Collision,
                State::Terminal => return self.repeat(line),
                State::Open if line.steps.len() == DEPTH_MAX => return self.repeat(line),
                State::Open => {}
            }
            let pick = if at == ROOT { self.pick_at_root(node) } else { self.pick(node, self.params.fpu_reduction, unchanged) };
            let (edge_idx, is_new) = match pick {
                Pick::Edge(edge_idx) => (edge_idx, false),
                Pick::Untried(untried_idx) => match self.arena.open(at, untried_idx) {
                    Some(edge_idx) => (edge_idx, true),
                    None => {
                        self.is_full = true;
                        self.retreat(line);
                        return Descent::Full;
                    }
                },
                Pick::Nothing => return self.repeat(line),
            };
            self.arena.node_mut(at).pending += 1;
            let edge = self.arena.edge_mut(at, edge_idx);
            edge.pending += 1;
            line.steps.push(Step { node: at, edge_idx });
            line.moves.push(edge.policy_idx);
            at = edge.child;
            if is_new {
                line.node = at;
                return Descent::Leaf;
            }
        }
    }

    /// States what the leaf of a line is worth, and carries it up.
    pub(super) fn apply(&mut self, line: &Line, outcome: Outcome<'_>, value: Value) {
        let state = match outcome {
            Outcome::Open(candidates) => {
                self.arena.set_candidates(line.node, candidates);
                State::Open
            }
            Outcome::Over => State::Terminal,
        };
        let node = self.arena.node_mut(line.node);
        (node.state, node.own_utility) = (state, value.utility);
        self.carry_up(line, value);
    }

    /// Takes a descent back without a visit.
    pub(super) fn retreat(&mut self, line: &Line) {
        for step in &line.steps {
            self.arena.node_mut(step.node).pending -= 1;
            self.arena.edge_mut(step.node, step.edge_idx).pending -= 1;
        }
    }

    /// Another visit to a position that says nothing new.
    fn repeat(&mut self, line: &Line) -> Descent {
        let value = mean(self.arena.node(line.node));
        self.carry_up(line, value);
        Descent::Known
    }

    fn carry_up(&mut self, line: &Line, value: Value) {
        self.playouts += 1;
        self.depth_sum += line.steps.len() as u64;
        let mut child = self.arena.node_mut(line.node);
        add(child, &value);
        for step in line.steps.iter().rev() {
            let (utility, visits) = ((child.utility_sum / f64::from(child.visits)) as f32, child.visits);
            let edge = self.arena.edge_mut(step.node, step.edge_idx);
            (edge.utility, edge.visits) = (utility, visits);
            edge.pending -= 1;
            child = self.arena.node_mut(step.node);
            child.pending -= 1;
            add(child, &value);
        }
    }

    fn pick_at_root(&self, node: &Node) -> Pick {
        let reduction = self.params.fpu_reduction_root;
        let Some(gumbel) = &self.gumbel else {
            return if self.params.wide_root_noise > 0.0 {
                self.pick_widely(node)
            } else {
                self.pick(node, reduction, unchanged)
            };
        };
        let (edges, untried) = (self.arena.edges(node), self.arena.untried(node));
        match gumbel.pick(edges, untried, node) {
            Some(i) if i < edges.len() => Pick::Edge(i as u16),
            Some(i) => Pick::Untried(i - edges.len()),
            None => self.pick(node, reduction, unchanged),
        }
    }

    /// A move at the root among more than would be looked at without.
    fn pick_widely(&self, node: &Node) -> Pick {
        let noise = self.params.wide_root_noise;
        // As KataGo: much noise takes the policy for little.
        let power = 1.0 / (4.0 * noise + 1.0);
        // Each descent has a draw of its own.
        let mut draw = rng(self.params.seed, mix(u64::from(node.visits) << 32 | u64::from(node.pending)));
        self.pick(node, self.params.fpu_reduction_root, |utility, prior| {
            let bonus = if draw.next_u64() & 1 == 0 { 0.0 } else { noise * normal(&mut draw).abs() };
            (utility + bonus, if prior > f32::MIN_POSITIVE { exp(power * ln(prior)) } else { prior })
        })
    }

    /// The move with the best utility so far and the most to find out (PUCT, Rosin 2011), with KataGo's terms. `change` has
    /// its say about the utility and the prior of each.
    fn pick(&self, node: &Node, fpu_reduction: f32, mut change: impl FnMut(f32, f32) -> (f32, f32)) -> Pick {
        let sign = side(node.to_move);
        let explore = self.exploration(node);
        let (mut best, mut best_score) = (Pick::Nothing, f32::NEG_INFINITY);
        for (edge_idx, edge) in self.arena.edges(node).iter().enumerate() {
            if edge.prior == EXCLUDED {
                continue;
            }
            let n = (edge.visits + edge.pending) as f32;
            let (utility, prior) = change(utility_for(edge, sign, n), unpack(edge.prior));
            let score = utility + explore * prior / (1.0 + n);
            if score > best_score {
                (best, best_score) = (Pick::Edge(edge_idx as u16), score);
            }
        }
        if let Some(candidate) = self.arena.untried(node).first() {
            let (utility, prior) = change(first_play_urgency(node, sign, fpu_reduction), candidate.prior());
            let score = utility + explore * prior;
            if score > best_score {
                best = Pick::Untried(0);
            }
        }
        best
    }

    /// The weight of a prior: grows with the visits, and where the values of moves differ much.
    fn exploration(&self, node: &Node) -> f32 {
        let p = &self.params;
        let n = (node.visits - 1 + node.pending) as f32;
        let cpuct = p.cpuct + p.cpuct_log * ln((n + p.cpuct_log_base) / p.cpuct_log_base);
        let visits = node.visits as f32;
        let mean = node.utility_sum as f32 / visits;
        let square = (node.utility_square_sum as f32 / visits).max(mean * mean);
        let expected = (mean * mean + p.stdev_prior * p.stdev_prior) * p.stdev_prior_weight;
        let variance = (expected + square * visits) / (p.stdev_prior_weight + visits - 1.0).max(1.0) - mean * mean;
        let stdev = if node.visits <= 1 { p.stdev_prior } else { variance.max(0.0).sqrt() };
        let spread = 1.0 + p.stdev_scale * (stdev / p.stdev_prior - 1.0);
        // A hundredth of a visit, so that priors count before the first one.
        cpuct * (n + 0.01).sqrt() * spread
    }
}

/// Utility and prior as they are.
fn unchanged(utility: f32, prior: f32) -> (f32, f32) {
    (utility, prior)
}

/// 1 for White, whose view all values are, and -1 for Black.
pub(super) fn side(color: Color) -> f32 {
    match color {
        Color::White => 1.0,
        Color::Black => -1.0,
    }
}

/// The utility of a move for its player; each descent on the way counts as a loss (virtual loss, Chaslot 2008).
fn utility_for(edge: &Edge, sign: f32, n: f32) -> f32 {
    match edge.pending {
        0 => sign * edge.utility,
        pending => (sign * edge.utility * edge.visits as f32 - pending as f32) / n,
    }
}

/// What a move is taken for before it is tried: the node's value, less the more of the policy has been tried in vain.
fn first_play_urgency(node: &Node, sign: f32, reduction: f32) -> f32 {
    let share = (node.mass_open * node.mass_open).min(1.0);
    let mean = node.utility_sum as f32 / node.visits as f32;
    sign * (share * mean + (1.0 - share) * node.own_utility) - reduction * node.mass_open.sqrt()
}

fn add(node: &mut Node, value: &Value) {
    let utility = f64::from(value.utility);
    node.visits += 1;
    node.utility_sum += utility;
    node.utility_square_sum += utility * utility;
    node.win_sum += f64::from(value.win);
    node.lead_sum += f64::from(value.lead);
    node.score_sum += f64::from(value.score);
    node.score_square_sum += f64::from(value.score_square);
}

/// The mean over a node's visits.
pub(super) fn mean(node: &Node) -> Value {
    let mean = |sum: f64| (sum / f64::from(node.visits.max(1))) as f32;
    Value {
        win: mean(node.win_sum),
        utility: mean(node.utility_sum),
        lead: mean(node.lead_sum),
        score: mean(node.score_sum),
        score_square: mean(node.score_square_sum),
    }
}
