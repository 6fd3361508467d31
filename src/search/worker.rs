//! One thread of a search: goes down for a batch of new positions, plays them out, has them evaluated, and carries their
//! values up. The tree is locked only for the first and the last of it.

use super::arena::Candidate;
use super::endgame;
use super::maths::exp;
use super::pace::Pace;
use super::params::Turning;
use super::tree::{Descent, Line, Outcome, Tree};
use super::value::{Scale, Value};
use super::{Limits, Shared};
use crate::base::Result;
use crate::base::limits::POINTS_MAX;
use crate::base::rng::mix;
use crate::compute::packed::PackedRow;
use crate::feature::{Encoder, LineEnd};
use crate::go::{Branch, Color, Game, Move, PointSet};
use crate::infer::{Evaluation, Evaluator, Looks, Request};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Positions of the largest batch.
pub const BATCH_MAX: usize = 256;
/// Visits that a tree has for each position gathered at a time, before batches are whole.
const VISITS_PER_LEAF: u32 = 4;
/// Descents to finished positions, after which others get the tree and the time is looked at: some ten microseconds.
const KNOWN_MAX: usize = 64;
/// Moves of the largest board, with the pass.
const MOVES_MAX: usize = POINTS_MAX + 1;

/// Buffers of one thread.
pub(super) struct Worker {
    branch: Branch,
    encoder: Encoder,
    leaves: Vec<Leaf>,
    /// Lines that ran into positions which are being evaluated.
    collisions: Vec<Line>,
    answers: Vec<Evaluation>,
    moves: Vec<Move>,
    /// How long its batches take.
    pub(super) pace: Pace,
}

/// A new position on its way.
struct Leaf {
    line: Line,
    row: PackedRow,
    symmetry: u8,
    key: u64,
    to_move: Color,
    /// Places in the policy of the legal moves, pass last.
    legal: Vec<u16>,
    candidates: Vec<Candidate>,
    value: Value,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// To be evaluated; its answer will stand at this place.
    Asked(usize),
    /// Its candidates and its value are known.
    Known,
    /// The game is over there.
    Over,
}

impl Worker {
    pub(super) fn new(game: &Game, batch: usize) -> Worker {
        let leaf = || Leaf {
            line: Line::new(),
            row: PackedRow::new(game.size().len_max()),
            symmetry: 0,
            key: 0,
            to_move: Color::Black,
            legal: Vec::with_capacity(MOVES_MAX),
            candidates: Vec::with_capacity(MOVES_MAX),
            value: Value::default(),
            stage: Stage::Over,
        };
        let batch = batch.clamp(1, BATCH_MAX);
        Worker {
            branch: Branch::new(game),
            encoder: Encoder::default(),
            leaves: (0..batch).map(|_| leaf()).collect(),
            collisions: (0..batch).map(|_| Line::new()).collect(),
            answers: vec![Evaluation::default(); batch],
            moves: Vec::with_capacity(super::tree::DEPTH_MAX),
            pace: Pace::default(),
        }
    }

    /// Searches until a limit is reached, the tree is full, or `stop`.
    pub(super) fn run(
        &mut self,
        shared: &Shared,
        evaluator: &mut dyn Evaluator,
        limits: &Limits,
        stop: &AtomicBool,
    ) -> Result<()> {
        self.branch.begin(&shared.game);
        let mut tree = lock(&shared.tree);
        while !self.is_done(shared, &tree, limits, stop) {
            let (gathered, n_leaves, n_collisions) = self.gather(shared, tree, limits, stop);
            drop(gathered);
            let begun = Instant::now();
            let told = self.evaluate(shared, evaluator, n_leaves).map(|n_asked| {
                if n_asked > 0 {
                    self.pace.note(n_asked, begun.elapsed().as_secs_f32());
                }
            });
            if n_leaves == 0 {
                // All of it is in the hands of other threads.
                std::thread::yield_now();
            }
            tree = lock(&shared.tree);
            self.collisions[..n_collisions].iter().for_each(|line| tree.retreat(line));
            if let Err(e) = told {
                // What hangs in the air would never come down.
                stop.store(true, Relaxed);
                tree.is_broken = true;
                return Err(e);
            }
            for leaf in &self.leaves[..n_leaves] {
                let outcome = match leaf.stage {
                    Stage::Over => Outcome::Over,
                    Stage::Known | Stage::Asked(_) => Outcome::Open(&leaf.candidates),
                };
                tree.apply(&leaf.line, outcome, leaf.value);
            }
        }
        Ok(())
    }

    /// Goes down until a batch is full or a limit is near; the number of new positions and of collisions.
    fn gather<'a>(
        &mut self,
        shared: &'a Shared,
        mut tree: MutexGuard<'a, Tree>,
        limits: &Limits,
        stop: &AtomicBool,
    ) -> (MutexGuard<'a, Tree>, usize, usize) {
        let (mut n_leaves, mut n_collisions, mut n_known) = (0, 0, 0);
        // A small tree would be filled by guesses, each of them without the values of the others.
        let most = tree.root().map_or(1, |root| 1 + (root.visits / VISITS_PER_LEAF) as usize).min(self.leaves.len());
        let most = self.fitting(most, limits);
        while n_leaves < most && n_collisions < self.collisions.len() && !limits.reached(&tree) {
            match tree.descend(&mut self.leaves[n_leaves].line) {
                Descent::Leaf => n_leaves += 1,
                Descent::Known => {
                    n_known += 1;
                    if n_known % KNOWN_MAX == 0 {
                        // Where the game is as good as over there may be nothing new for ever.
                        drop(tree);
                        std::thread::yield_now();
                        tree = lock(&shared.tree);
                        if self.is_done(shared, &tree, limits, stop) {
                            break;
                        }
                    }
                }
                Descent::Collision => {
                    std::mem::swap(&mut self.leaves[n_leaves].line, &mut self.collisions[n_collisions]);
                    n_collisions += 1;
                }
                Descent::Full => break,
            }
        }
        (tree, n_leaves, n_collisions)
    }

    /// How many of `most` positions can be evaluated in the time that is left.
    fn fitting(&self, most: usize, limits: &Limits) -> usize {
        let left = |deadline: Instant| deadline.saturating_duration_since(Instant::now()).as_secs_f32();
        limits.deadline.map_or(most, |deadline| self.pace.fitting(most, left(deadline)))
    }

    fn is_done(&self, shared: &Shared, tree: &Tree, limits: &Limits, stop: &AtomicBool) -> bool {
        tree.is_full
            || tree.is_broken
            || stop.load(Relaxed)
            || shared.stop.requested()
            || limits.reached(tree)
            || self.fitting(1, limits) == 0
    }

    /// Plays the lines out and has their ends evaluated; how many the evaluator was asked.
    fn evaluate(&mut self, shared: &Shared, evaluator: &mut dyn Evaluator, n_leaves: usize) -> Result<usize> {
        let Worker { branch, encoder, leaves, answers, moves, .. } = self;
        let leaves = &mut leaves[..n_leaves];
        let looks = evaluator.looks_at();
        let len = shared.game.size().len_max();
        let mut n_asked = 0;
        for leaf in leaves.iter_mut() {
            moves.clear();
            moves.extend(leaf.line.moves.iter().map(|&i| Move::from_policy_index(i as usize, len)));
            branch.play_line(&shared.game, moves);
            let banned = leaf.look(shared, branch, len);
            if leaf.stage == Stage::Over {
                continue;
            }
            if shared.cache.as_ref().is_some_and(|cache| cache.get(leaf.key, &mut answers[n_asked])) {
                leaf.take(shared, &answers[n_asked]);
                leaf.stage = Stage::Known;
                continue;
            }
            if looks == Looks::Rows {
                encoder.encode(&LineEnd { game: &shared.game, branch, banned }, &mut leaf.row);
                leaf.row.set_doubling(shared.doubling(leaf.to_move));
            }
            leaf.stage = Stage::Asked(n_asked);
            n_asked += 1;
        }
        if n_asked > 0 {
            let asked = leaves.iter().filter(|leaf| matches!(leaf.stage, Stage::Asked(_)));
            let requests: heapless::Vec<Request<'_>, BATCH_MAX> =
                asked.map(|leaf| Request { row: leaf.row.bytes(), len, symmetry: leaf.symmetry }).collect();
            evaluator.evaluate(&requests, &mut answers[..n_asked])?;
        }
        for leaf in leaves.iter_mut() {
            if let Stage::Asked(i) = leaf.stage {
                leaf.take(shared, &answers[i]);
                if let Some(cache) = &shared.cache {
                    cache.put(leaf.key, &answers[i]);
                }
            }
        }
        Ok(n_asked)
    }
}

impl Leaf {
    /// Notes the position at the end of the line: its moves, or its score. Returns what superko forbids.
    fn look(&mut self, shared: &Shared, branch: &Branch, len: usize) -> PointSet {
        self.to_move = branch.to_move();
        if branch.is_over() {
            self.stage = Stage::Over;
            self.value = Value::of_score(endgame::final_score(&shared.game, branch, shared.owner()), shared.scale);
            return PointSet::default();
        }
        let (legal, banned) = branch.legal_points(&shared.game);
        self.legal.clear();
        self.legal.extend(legal.iter().map(|p| p.index(len) as u16));
        self.legal.push((len * len) as u16);
        let position = branch.key(&shared.game, &banned);
        self.symmetry = match shared.turning {
            Turning::None => 0,
            Turning::ByPosition => mix(position ^ shared.seed) as u8 & 7,
        };
        let doubling = u64::from(shared.doubling(self.to_move).to_bits());
        self.key = mix(position ^ shared.rules_key ^ u64::from(self.symmetry) ^ mix(doubling) ^ mix(0));
        self.stage = Stage::Known;
        banned
    }

    fn take(&mut self, shared: &Shared, answer: &Evaluation) {
        policy_into(answer, &self.legal, &mut self.candidates);
        self.value = Value::of(answer, self.to_move, shared.no_result, shared.scale);
    }
}

/// The legal moves with their share of the policy (softmax over the legal ones). Without any answer all are alike.
pub(super) fn policy_into(answer: &Evaluation, legal: &[u16], out: &mut Vec<Candidate>) {
    let mut logits = [f32::NEG_INFINITY; MOVES_MAX];
    let logits = &mut logits[..legal.len()];
    for (to, &i) in logits.iter_mut().zip(legal) {
        let logit = answer.policy.get(i as usize).copied().unwrap_or(f32::NEG_INFINITY);
        *to = if logit.is_nan() { f32::NEG_INFINITY } else { logit };
    }
    let best = logits.iter().fold(f32::NEG_INFINITY, |best, &x| best.max(x));
    let mut total = 0.0;
    for x in logits.iter_mut() {
        *x = if best.is_finite() { exp(*x - best) } else { 1.0 };
        total += *x;
    }
    out.clear();
    out.extend(logits.iter().zip(legal).map(|(x, &i)| Candidate::new(i, x / total)));
}

/// How points count beside winning on this board.
pub(super) fn scale(game: &Game, factor: f32) -> Scale {
    Scale { factor, board: (game.size().n_points() as f32).sqrt() }
}

/// The tree, also after a panic elsewhere: it is then marked by what hangs in it, not by the lock.
pub(super) fn lock(tree: &Mutex<Tree>) -> MutexGuard<'_, Tree> {
    tree.lock().unwrap_or_else(PoisonError::into_inner)
}
