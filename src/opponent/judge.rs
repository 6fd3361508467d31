//! The net's view of a position, and who is dead in it.

use super::level::Level;
use crate::base::Result;
use crate::base::symmetry::Symmetry;
use crate::feature::{Encoder, PackedRow};
use crate::go::rules::{Ko, Scoring};
use crate::go::{Color, Game, Move, Point, PointSet, life, score};
use crate::infer::{Evaluation, Evaluator, NoResult, Output, Request};
use crate::search::Search;
use std::time::Instant;

/// Mean ownership of a chain, for or against it, from which on the net is believed: three times in four it is right.
/// In finished games a good net says 0.9 and more; chains in seki stay below.
const SURE_FROM: f32 = 0.5;
/// Seed of the random continuations, so that the same position is judged the same way every time.
const LIFE_SEED: u64 = 1;

/// The net's view of a position, from the player to move.
pub(super) struct View {
    len: usize,
    /// Probability of every move, `[len * len + 1]`, pass last; 0 where illegal.
    policy: Vec<f32>,
    /// Ownership, `[len * len]`: 1 is the player's to move, -1 the opponent's.
    ownership: Vec<f32>,
    /// Chance to win, 0 to 1.
    pub(super) win: f32,
    /// Points ahead.
    pub(super) lead: f32,
}

impl View {
    /// A view for tests, on a square board.
    #[cfg(test)]
    pub(super) fn new(policy: Vec<f32>, ownership: Vec<f32>, win: f32) -> View {
        View { len: ownership.len().isqrt(), policy, ownership, win, lead: 0.0 }
    }

    /// What a search has found; none before it has tried a move.
    pub(super) fn of_search(search: &Search) -> Option<View> {
        let (report, root, best) = (search.report()?, search.view()?, search.best()?);
        let white = report.to_move == Color::White;
        let sign = if white { 1.0 } else { -1.0 };
        let mut policy = vec![0.0; root.len * root.len + 1];
        search.policy_target(&mut policy);
        // The best is not always the most visited.
        policy[best.policy_index(root.len)] = 1.0;
        Some(View {
            len: root.len,
            policy,
            ownership: root.ownership.iter().map(|o| sign * o).collect(),
            win: if white { report.value.win } else { 1.0 - report.value.win },
            lead: sign * report.value.lead,
        })
    }

    /// Leaves one move drawn as a player of `level` would, with `dice` from 0 to 1; passes are not drawn.
    pub(super) fn draw(&mut self, level: Level, dice: f32) {
        let (pass, mut weights) = (self.policy.len() - 1, self.policy.clone());
        if self.policy.iter().all(|w| *w <= self.policy[pass]) {
            return;
        }
        weights[pass] = 0.0;
        level.soften(&mut weights);
        let mut left = dice * weights.iter().sum::<f32>();
        let drawn = weights.iter().position(|w| {
            left -= w;
            left < 0.0 && *w > 0.0
        });
        if let Some(drawn) = drawn {
            // The others keep their order, for when this one is no good after all.
            self.policy[drawn] += 1.0;
        }
    }

    /// The policy's weight of a move.
    pub(super) fn weight(&self, mv: Move) -> f32 {
        self.policy[mv.policy_index(self.len)]
    }

    /// How much the point is the player's to move, -1 to 1.
    pub(super) fn own(&self, p: Point) -> f32 {
        self.ownership[p.index(self.len)]
    }
}

/// Asks an evaluator.
pub(super) struct Judge {
    evaluator: Box<dyn Evaluator>,
    encoder: Encoder,
}

impl Judge {
    pub(super) fn new(evaluator: Box<dyn Evaluator>) -> Judge {
        Judge { evaluator, encoder: Encoder::default() }
    }

    /// What it asks.
    pub(super) fn evaluator(&mut self) -> &mut dyn Evaluator {
        &mut *self.evaluator
    }

    /// The answers to one position under one symmetry, for the player to move, and which moves are legal.
    pub(super) fn raw(&mut self, game: &Game, symmetry: Symmetry) -> Result<(Output, Vec<bool>)> {
        let len = game.size().len_max();
        let mut row = PackedRow::new(len);
        self.encoder.encode(game, &mut row);
        let mut answers = [Evaluation::default()];
        self.evaluator.evaluate(&[Request { row: row.bytes(), len, symmetry: symmetry.number() }], &mut answers)?;
        let legal = legal_moves(game, len);
        Ok((answers[0].post_process(&legal, no_result(game)), legal))
    }

    /// The view of the player to move; the mean over the `symmetries` asked for.
    pub(super) fn look(&mut self, game: &Game, symmetries: &[Symmetry]) -> Result<View> {
        let len = game.size().len_max();
        let mut row = PackedRow::new(len);
        self.encoder.encode(game, &mut row);
        let requests: Vec<Request<'_>> =
            symmetries.iter().map(|s| Request { row: row.bytes(), len, symmetry: s.number() }).collect();
        let mut answers = vec![Evaluation::default(); requests.len()];
        self.evaluator.evaluate(&requests, &mut answers)?;
        let (legal, no_result) = (legal_moves(game, len), no_result(game));
        let outputs: Vec<Output> = answers.iter().map(|answer| answer.post_process(&legal, no_result)).collect();
        let mean = |get: &dyn Fn(&Output) -> f32| outputs.iter().map(get).sum::<f32>() / outputs.len() as f32;
        Ok(View {
            len,
            policy: (0..=len * len).map(|i| mean(&|o| o.policy[i])).collect(),
            ownership: (0..len * len).map(|i| mean(&|o| o.ownership[i])).collect(),
            win: mean(&|o| o.win + 0.5 * o.no_result),
            lead: mean(&|o| o.lead),
        })
    }
}

/// Which moves the player to move may play, `[len * len + 1]`, pass last.
fn legal_moves(game: &Game, len: usize) -> Vec<bool> {
    let mut legal = vec![false; len * len + 1];
    for mv in game.size().points().map(Move::Play).chain([Move::Pass]) {
        legal[mv.policy_index(len)] = game.is_legal(game.to_move(), mv).is_ok();
    }
    legal
}

fn no_result(game: &Game) -> NoResult {
    match game.rules().ko == Ko::Simple || game.rules().scoring == Scoring::Territory {
        true => NoResult::Possible,
        false => NoResult::Impossible,
    }
}

/// The dead stones. Chains that cannot be captured (Benson 1976) are alive, and stones that cannot live in such chains'
/// territory are dead, whatever the net says. Of the others the net tells, and where it is not sure, as young nets often
/// are, random play and reading decide, unless `deadline` comes first.
pub(super) fn dead_stones(game: &Game, view: &View, deadline: Option<Instant>) -> PointSet {
    let board = game.board();
    let suicide = game.rules().suicide;
    let alive = [Color::Black, Color::White].map(|color| score::pass_alive(board, color, suicide));
    let safe = [Color::Black, Color::White].map(|color| score::safe_territory(board, color, suicide));
    let read_out = std::cell::LazyCell::new(|| life::dead_stones_by(board, LIFE_SEED, deadline));
    let mut dead = PointSet::default();
    for p in board.size().points() {
        let Some(color) = board.get(p) else { continue };
        if board.chain_name(p) != p || alive[color.index()].contains(p) {
            continue;
        }
        let sign = if color == game.to_move() { -1.0 } else { 1.0 };
        let lost = board.chain(p).map(|q| sign * view.own(q)).sum::<f32>() / board.chain_len(p) as f32;
        let is_dead = match lost {
            _ if safe[color.opponent().index()].contains(p) => true,
            lost if lost.abs() >= SURE_FROM => lost > 0.0,
            lost => read_out.map_or(lost > 0.0, |dead| dead.contains(p)),
        };
        if is_dead {
            for q in board.chain(p) {
                dead.insert(q);
            }
        }
    }
    dead
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::go::{Board, Rules, Size};

    fn names(points: PointSet, size: Size) -> String {
        let names: Vec<String> = points.iter().map(|p| p.gtp(size)).collect();
        names.join(" ")
    }

    #[test]
    fn the_dead_are_found_by_the_net_and_by_life() {
        let board = Board::from_text("O.X.XO\n..XXX.\nXXX...\n....OO\n...OO.\n...O.O").unwrap();
        let game = Game::from_board(board.clone(), Color::White, Rules::CHINESE, 0.0);
        // White to move; the net gives everything to Black: but the group with two eyes lives.
        let net_says = |own: f32| View::new(vec![0.0; 37], vec![own; 36], 0.5);
        let dead = |own: f32, deadline| names(dead_stones(&game, &net_says(own), deadline), board.size());
        assert_eq!(dead(-0.9, None), "A6 F6");
        // The net is not sure, but F6 can be captured.
        assert_eq!([dead(-0.4, None), dead(0.4, None)], ["A6 F6", "A6 F6"]);
        assert_eq!(dead(0.9, None), "A6");
        // Without the time to read the net is believed.
        let now = Some(Instant::now());
        assert_eq!([dead(-0.4, now), dead(0.4, now)], ["A6 F6", "A6"]);
    }
}
