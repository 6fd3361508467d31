//! Memory of a tree: three flat lists that are sized once. Nodes and their policies are only appended; the edges of a node
//! stand together in a block that is swapped for one of twice the size when it is full.

use super::maths::{pack, unpack};
use crate::base::{Error, Result};
use crate::go::Color;

/// Bytes of a node.
pub const NODE_BYTES: usize = 88;
/// Bytes of a legal move that was not tried: its place in the policy and its prior.
pub const CANDIDATE_BYTES: usize = 4;
/// Bytes of an edge: a move that was tried.
pub const EDGE_BYTES: usize = 20;
/// Edges that are room for each node's one: blocks are full by half at least, and what a node has outgrown waits for others.
const EDGES_PER_NODE: usize = 3;
/// Edges of the smallest block.
const BLOCK_MIN: usize = 2;
/// Sizes of blocks: 2 to 512 edges.
const BLOCK_CLASSES: usize = 9;
/// No such node or block.
pub(super) const NONE: u32 = u32::MAX;
/// The prior of a move that may not be played at the root.
pub(super) const EXCLUDED: u16 = u16::MAX;

const _: () = assert!(std::mem::size_of::<Node>() == NODE_BYTES);
const _: () = assert!(std::mem::size_of::<Candidate>() == CANDIDATE_BYTES);
const _: () = assert!(std::mem::size_of::<Edge>() == EDGE_BYTES && EDGE_BYTES <= 32);
const _: () = assert!(BLOCK_MIN << (BLOCK_CLASSES - 1) > crate::base::limits::POINTS_MAX);

/// How far a node has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Somebody is evaluating it.
    Pending,
    /// Its moves are known.
    Open,
    /// The game is over there.
    Terminal,
}

/// A position that was reached. Sums are over its visits, its own evaluation being the first, in White's view.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) utility_sum: f64,
    pub(super) utility_square_sum: f64,
    pub(super) win_sum: f64,
    pub(super) lead_sum: f64,
    pub(super) score_sum: f64,
    pub(super) score_square_sum: f64,
    pub(super) visits: u32,
    /// Descents through it that were not applied yet.
    pub(super) pending: u32,
    candidates_at: u32,
    edges_at: u32,
    /// Sum of the priors of its edges.
    pub(super) mass_open: f32,
    /// What the evaluation of the position itself said.
    pub(super) own_utility: f32,
    n_legal: u16,
    n_open: u16,
    pub(super) state: State,
    pub(super) to_move: Color,
    /// While the tree is compacted: where it goes.
    forward: u32,
}

/// A legal move: prior above, place in the policy below, the latter turned round so that among equals the first is largest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Candidate(u32);

impl Candidate {
    pub(super) fn new(policy_idx: u16, prior: f32) -> Candidate {
        Candidate(u32::from(pack(prior)) << 16 | u32::from(u16::MAX - policy_idx))
    }

    pub(super) fn policy_idx(self) -> u16 {
        u16::MAX - self.0 as u16
    }

    pub(super) fn prior(self) -> f32 {
        unpack(self.prior_bits())
    }

    fn prior_bits(self) -> u16 {
        (self.0 >> 16) as u16
    }
}

/// A move that was tried: what choosing between moves asks for, beside each other.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(super) struct Edge {
    /// Mean utility of the child, White's view.
    pub(super) utility: f32,
    pub(super) visits: u32,
    pub(super) pending: u32,
    pub(super) child: u32,
    pub(super) policy_idx: u16,
    /// Packed, or [`EXCLUDED`].
    pub(super) prior: u16,
}

/// The lists.
pub(super) struct Arena {
    nodes: Vec<Node>,
    candidates: Vec<Candidate>,
    edges: Vec<Edge>,
    /// Blocks that were outgrown, by size; the next one stands in the first edge's `child`.
    free: [u32; BLOCK_CLASSES],
    /// For compaction.
    order: Vec<u32>,
}

/// Bytes that a node takes with its policy, its share of edges, and its place for compaction.
pub fn bytes_per_node(n_points: usize) -> usize {
    NODE_BYTES + CANDIDATE_BYTES * (n_points + 1) + EDGES_PER_NODE * EDGE_BYTES + size_of::<u32>()
}

impl Arena {
    /// Room for as many nodes of boards with `n_points` as fit in `bytes`.
    ///
    /// # Errors
    /// Not even a few do.
    pub(super) fn new(bytes: usize, n_points: usize) -> Result<Arena> {
        const NODES_MIN: usize = 16;
        let n = (bytes / bytes_per_node(n_points)).min(NONE as usize / (n_points + 1) - 1);
        if n < NODES_MIN {
            let least = NODES_MIN * bytes_per_node(n_points);
            return Err(Error::new("tree", format!("{bytes} bytes, expected at least {least}")).hint("a larger search.tree_mb"));
        }
        Ok(Arena {
            nodes: Vec::with_capacity(n),
            candidates: Vec::with_capacity(n * (n_points + 1)),
            edges: Vec::with_capacity(n * EDGES_PER_NODE),
            free: [NONE; BLOCK_CLASSES],
            order: Vec::with_capacity(n),
        })
    }

    pub(super) fn clear(&mut self) {
        self.nodes.clear();
        self.candidates.clear();
        self.edges.clear();
        self.free = [NONE; BLOCK_CLASSES];
    }

    pub(super) fn n_nodes(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn n_nodes_max(&self) -> usize {
        self.nodes.capacity()
    }

    /// Bytes in use now.
    pub(super) fn bytes(&self) -> usize {
        self.nodes.len() * (NODE_BYTES + size_of::<u32>())
            + self.candidates.len() * CANDIDATE_BYTES
            + self.edges.len() * EDGE_BYTES
    }

    pub(super) fn node(&self, node: u32) -> &Node {
        &self.nodes[node as usize]
    }

    pub(super) fn node_mut(&mut self, node: u32) -> &mut Node {
        &mut self.nodes[node as usize]
    }

    pub(super) fn edges(&self, node: &Node) -> &[Edge] {
        &self.edges[node.edges_at as usize..][..node.n_open as usize]
    }

    pub(super) fn edges_mut(&mut self, node: u32) -> &mut [Edge] {
        let node = &self.nodes[node as usize];
        &mut self.edges[node.edges_at as usize..][..node.n_open as usize]
    }

    pub(super) fn edge_mut(&mut self, node: u32, edge_idx: u16) -> &mut Edge {
        &mut self.edges_mut(node)[edge_idx as usize]
    }

    /// The legal moves without an edge; the one with the highest prior is the first.
    pub(super) fn untried(&self, node: &Node) -> &[Candidate] {
        &self.candidates[node.candidates_at as usize..][node.n_open as usize..node.n_legal as usize]
    }

    /// A node that is being evaluated; none if there is no room.
    pub(super) fn add_node(&mut self, to_move: Color) -> Option<u32> {
        if self.nodes.len() == self.nodes.capacity() {
            return None;
        }
        self.nodes.push(Node {
            utility_sum: 0.0,
            utility_square_sum: 0.0,
            win_sum: 0.0,
            lead_sum: 0.0,
            score_sum: 0.0,
            score_square_sum: 0.0,
            visits: 0,
            pending: 0,
            candidates_at: 0,
            edges_at: 0,
            mass_open: 0.0,
            own_utility: 0.0,
            n_legal: 0,
            n_open: 0,
            state: State::Pending,
            to_move,
            forward: NONE,
        });
        Some(self.nodes.len() as u32 - 1)
    }

    /// States the legal moves of a node. Every node has room for all moves of the board.
    pub(super) fn set_candidates(&mut self, node: u32, candidates: &[Candidate]) {
        let at = self.candidates.len();
        debug_assert!(at + candidates.len() <= self.candidates.capacity());
        self.candidates.extend_from_slice(candidates);
        let node = &mut self.nodes[node as usize];
        (node.candidates_at, node.n_legal, node.n_open) = (at as u32, candidates.len() as u16, 0);
        raise_best(&mut self.candidates[at..]);
    }

    /// Rewrites the priors of a node: `change` gives the new one, or none to take the move away.
    pub(super) fn change_priors(&mut self, node: u32, mut change: impl FnMut(u16, f32) -> Option<f32>) {
        let Node { candidates_at, edges_at, n_open, n_legal, .. } = self.nodes[node as usize];
        let mut mass_open = 0.0;
        for edge in &mut self.edges[edges_at as usize..][..n_open as usize] {
            let old = if edge.prior == EXCLUDED { 0.0 } else { unpack(edge.prior) };
            let new = change(edge.policy_idx, old);
            mass_open += new.unwrap_or(0.0);
            edge.prior = new.map_or(EXCLUDED, pack);
        }
        let list = &mut self.candidates[candidates_at as usize..][n_open as usize..n_legal as usize];
        let mut n_kept = 0;
        for i in 0..list.len() {
            if let Some(prior) = change(list[i].policy_idx(), list[i].prior()) {
                list[n_kept] = Candidate::new(list[i].policy_idx(), prior);
                n_kept += 1;
            }
        }
        raise_best(&mut list[..n_kept]);
        let node = &mut self.nodes[node as usize];
        (node.n_legal, node.mass_open) = (n_open + n_kept as u16, mass_open);
    }

    /// Makes an edge of one of the untried moves, with a new node behind it; none if there is no room for it.
    pub(super) fn open(&mut self, node: u32, untried_idx: usize) -> Option<u16> {
        let Node { n_open, candidates_at, n_legal, to_move, .. } = self.nodes[node as usize];
        if self.nodes.len() == self.nodes.capacity() {
            return None;
        }
        let n = n_open as usize;
        if n == 0 || (n >= BLOCK_MIN && n.is_power_of_two()) {
            self.grow(node)?;
        }
        let child = self.add_node(to_move.opponent())?;
        let list = &mut self.candidates[candidates_at as usize..][n..n_legal as usize];
        list.swap(0, untried_idx);
        let candidate = list[0];
        raise_best(&mut list[1..]);
        let node = &mut self.nodes[node as usize];
        node.n_open += 1;
        node.mass_open += candidate.prior();
        self.edges[node.edges_at as usize + n] =
            Edge { child, policy_idx: candidate.policy_idx(), prior: candidate.prior_bits(), ..Edge::default() };
        Some(n_open)
    }

    /// Gives a node a block of twice the size.
    fn grow(&mut self, node: u32) -> Option<()> {
        let Node { n_open, edges_at, .. } = self.nodes[node as usize];
        let (n, from) = (n_open as usize, edges_at as usize);
        let class = block_class(n + 1);
        let to = match self.free[class] {
            NONE => {
                let at = self.edges.len();
                if at + (BLOCK_MIN << class) > self.edges.capacity() {
                    return None;
                }
                self.edges.resize(at + (BLOCK_MIN << class), Edge::default());
                at
            }
            at => {
                self.free[class] = self.edges[at as usize].child;
                at as usize
            }
        };
        self.edges.copy_within(from..from + n, to);
        if n > 0 {
            self.edges[from].child = self.free[class - 1];
            self.free[class - 1] = from as u32;
        }
        self.nodes[node as usize].edges_at = to as u32;
        Some(())
    }

    /// Forgets all but the tree below `root`, which becomes node 0. Nothing may be pending.
    pub(super) fn keep(&mut self, root: u32) {
        let mut order = std::mem::take(&mut self.order);
        order.clear();
        order.push(root);
        let mut at = 0;
        while at < order.len() {
            let node = &self.nodes[order[at] as usize];
            debug_assert!(node.state != State::Pending && node.pending == 0);
            order.extend(self.edges(node).iter().map(|edge| edge.child));
            at += 1;
        }
        // Children come after their parents, so whatever moves down has been read.
        order.sort_unstable();
        for (to, &from) in order.iter().enumerate() {
            self.nodes[from as usize].forward = to as u32;
        }
        for (to, &from) in order.iter().enumerate() {
            for edge_idx in 0..self.nodes[from as usize].n_open {
                let child = self.edge_mut(from, edge_idx).child;
                self.edge_mut(from, edge_idx).child = self.nodes[child as usize].forward;
            }
            self.nodes.swap(to, from as usize);
        }
        self.nodes.truncate(order.len());
        self.compact_candidates(&mut order);
        self.compact_edges(&mut order);
        self.order = order;
    }

    fn compact_candidates(&mut self, order: &mut [u32]) {
        order.iter_mut().enumerate().for_each(|(i, to)| *to = i as u32);
        order.sort_unstable_by_key(|&i| self.nodes[i as usize].candidates_at);
        let mut to = 0;
        for &i in order.iter() {
            let node = &mut self.nodes[i as usize];
            let (from, n) = (node.candidates_at as usize, node.n_legal as usize);
            self.candidates.copy_within(from..from + n, to);
            node.candidates_at = to as u32;
            to += n;
        }
        self.candidates.truncate(to);
    }

    fn compact_edges(&mut self, order: &mut [u32]) {
        order.sort_unstable_by_key(|&i| self.nodes[i as usize].edges_at);
        let mut to = 0;
        for &i in order.iter() {
            let node = &mut self.nodes[i as usize];
            if node.n_open == 0 {
                node.edges_at = 0;
                continue;
            }
            let (from, n) = (node.edges_at as usize, node.n_open as usize);
            self.edges.copy_within(from..from + n, to);
            node.edges_at = to as u32;
            to += BLOCK_MIN << block_class(n);
        }
        self.edges.truncate(to);
        self.free = [NONE; BLOCK_CLASSES];
    }
}

/// The smallest size of block that holds `n` edges.
fn block_class(n: usize) -> usize {
    n.max(BLOCK_MIN).next_power_of_two().trailing_zeros() as usize - BLOCK_MIN.trailing_zeros() as usize
}

/// Swaps the largest to the front.
fn raise_best(list: &mut [Candidate]) {
    let best = list.iter().fold(0, |best, c| best.max(c.0));
    if let Some(at) = list.iter().position(|c| c.0 == best) {
        list.swap(0, at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moves(arena: &Arena, node: u32) -> Vec<u16> {
        arena.edges(arena.node(node)).iter().map(|e| e.policy_idx).collect()
    }

    #[test]
    fn moves_open_by_their_priors() {
        let mut arena = Arena::new(1 << 20, 81).unwrap();
        let root = arena.add_node(Color::Black).unwrap();
        let list: Vec<Candidate> = (0..82).map(|i| Candidate::new(i, ((i * 37 % 82) as f32 + 1.0) / 4000.0)).collect();
        arena.set_candidates(root, &list);
        for n in 0..82 {
            assert_eq!(arena.untried(arena.node(root)).len(), 82 - n);
            arena.open(root, 0).unwrap();
        }
        let priors: Vec<f32> = arena.edges(arena.node(root)).iter().map(|e| unpack(e.prior)).collect();
        assert!(priors.is_sorted_by(|a, b| a >= b), "{priors:?}");
        assert!((arena.node(root).mass_open - priors.iter().sum::<f32>()).abs() < 1e-4);
    }

    #[test]
    fn a_subtree_is_kept_and_memory_comes_back() {
        let mut arena = Arena::new(200_000, 9).unwrap();
        let list: Vec<Candidate> = (0..10).map(|i| Candidate::new(i, 0.1)).collect();
        let root = arena.add_node(Color::Black).unwrap();
        arena.set_candidates(root, &list);
        arena.node_mut(root).state = State::Open;
        // A tree that grows at changing places until it is full.
        let mut open = vec![root];
        let mut turn = 0usize;
        loop {
            turn += 1;
            let node = open[turn * 7 % open.len()];
            if arena.untried(arena.node(node)).is_empty() {
                continue;
            }
            let Some(edge_idx) = arena.open(node, turn % arena.untried(arena.node(node)).len()) else { break };
            let child = arena.edge_mut(node, edge_idx).child;
            arena.set_candidates(child, &list);
            (arena.node_mut(child).state, arena.node_mut(child).visits) = (State::Open, turn as u32);
            open.push(child);
        }
        assert!(arena.n_nodes() > arena.n_nodes_max() / 2, "{} nodes of {}", arena.n_nodes(), arena.n_nodes_max());
        let picture = |arena: &Arena, root: u32| {
            let (mut seen, mut at) = (vec![root], 0);
            let mut text = String::new();
            while at < seen.len() {
                let node = arena.node(seen[at]);
                text += &format!("{} {:?} {:?}\n", node.visits, moves(arena, seen[at]), arena.untried(node));
                seen.extend(arena.edges(node).iter().map(|e| e.child));
                at += 1;
            }
            text
        };
        let child = arena.edges(arena.node(root))[1].child;
        let before = picture(&arena, child);
        let bytes = arena.bytes();
        arena.keep(child);
        assert_eq!(picture(&arena, 0), before);
        assert!(arena.bytes() < bytes && arena.n_nodes() < open.len());
        assert_eq!(before.lines().count(), arena.n_nodes());
    }
}
