//! How games begin: moves that neither player chose, drawn from a seed, for two games with colours swapped.

use super::config::{OpeningConfig, OpeningKind, Start};
use crate::base::Result;
use crate::base::rng::{below, rng};
use crate::feature::{Encoder, PackedRow};
use crate::go::rules::{Ko, Scoring};
use crate::go::{Color, Game, Move, Point, playout};
use crate::infer::{Evaluation, Evaluator, NoResult, Output, Request};
use rand::Rng as _;
use std::collections::HashSet;

/// How often an opening is drawn again because it was there before, or is good for one side.
const TRIES: u64 = 16;
/// Distance of a win rate from even up to which an opening is fair. The colours are swapped anyway, but a game that is lost
/// from the start tells little.
const BIAS_FAIR: f32 = 0.3;

/// The openings of a match, in the order of their pairs.
pub(super) struct Openings {
    start: Game,
    config: OpeningConfig,
    seed: u64,
    /// Draws and judges them; none where no net plays.
    judge: Option<Judge>,
    drawn: Vec<Vec<Move>>,
    /// Positions after them.
    seen: HashSet<(u64, Color)>,
}

/// An opening that might be taken.
struct Draft {
    moves: Vec<Move>,
    place: (u64, Color),
    /// How far the net's win rate is from even.
    bias: f32,
}

impl Openings {
    /// Openings from `start` on, drawn and judged with `net` where there is one.
    pub(super) fn new(start: &Start, config: OpeningConfig, seed: u64, net: Option<Box<dyn Evaluator>>) -> Openings {
        let judge = net.map(|evaluator| Judge { evaluator, encoder: Encoder::default() });
        Openings { start: start.game(), config, seed, judge, drawn: Vec::new(), seen: HashSet::new() }
    }

    /// The moves before a pair's games. An opening that was played already is `known`, and stays what it was.
    pub(super) fn of_pair(&mut self, pair: usize, known: impl Fn(usize) -> Option<Vec<Move>>) -> Result<Vec<Move>> {
        while self.drawn.len() <= pair {
            let next = self.drawn.len();
            let draft = match known(next) {
                Some(moves) => {
                    let mut game = self.start.clone();
                    for &mv in &moves {
                        // A journal that was written under other rules is refused before.
                        let _ = game.play(game.to_move(), mv);
                    }
                    Draft { place: place(&game), moves, bias: 0.0 }
                }
                None => self.draw(next)?,
            };
            self.seen.insert(draft.place);
            self.drawn.push(draft.moves);
        }
        Ok(self.drawn[pair].clone())
    }

    /// The first draft that is new and fair, else the one nearest to it.
    fn draw(&mut self, pair: usize) -> Result<Draft> {
        let mut best: Option<Draft> = None;
        for attempt in 0..TRIES {
            let draft = self.draft(pair as u64 * TRIES + attempt)?;
            let is_new = !self.seen.contains(&draft.place);
            if is_new && draft.bias <= BIAS_FAIR {
                return Ok(draft);
            }
            let is_better = best.as_ref().is_none_or(|best| {
                let was_new = !self.seen.contains(&best.place);
                (!is_new, draft.bias) < (!was_new, best.bias)
            });
            if is_better {
                best = Some(draft);
            }
        }
        Ok(best.expect("at least one was drawn"))
    }

    fn draft(&mut self, stream: u64) -> Result<Draft> {
        let mut draw = rng(self.seed, stream);
        let mut game = self.start.clone();
        let n_moves = if self.config.kind == OpeningKind::None { 0 } else { self.config.moves };
        for _ in 0..n_moves {
            let mv = match (self.config.kind, &mut self.judge) {
                (OpeningKind::Policy, Some(judge)) => by_policy(&judge.look(&game)?, &game, draw.next_u64()),
                _ => by_chance(&game, draw.next_u64()),
            };
            let Some(mv) = mv else { break };
            game.play(game.to_move(), mv).expect("drawn among the legal moves");
        }
        let moves = game.moves().iter().map(|&(_, mv)| mv).collect();
        // With a handicap, or at the start, the position is what was asked for.
        let bias = match &mut self.judge {
            Some(judge) if !game.moves().is_empty() && self.start.to_move() == Color::Black => {
                let output = judge.look(&game)?;
                (output.win + 0.5 * output.no_result - 0.5).abs()
            }
            _ => 0.0,
        };
        Ok(Draft { moves, place: place(&game), bias })
    }
}

/// A net that looks at positions.
struct Judge {
    evaluator: Box<dyn Evaluator>,
    encoder: Encoder,
}

impl Judge {
    /// What the net thinks at first, for the player to move.
    fn look(&mut self, game: &Game) -> Result<Output> {
        let len = game.size().len_max();
        let mut row = PackedRow::new(len);
        self.encoder.encode(game, &mut row);
        let mut answers = [Evaluation::default()];
        self.evaluator.evaluate(&[Request { row: row.bytes(), len, symmetry: 0 }], &mut answers)?;
        let mut legal = vec![false; len * len + 1];
        for p in game.size().points() {
            legal[p.index(len)] = game.is_legal(game.to_move(), Move::Play(p)).is_ok();
        }
        let no_result = match game.rules().ko == Ko::Simple || game.rules().scoring == Scoring::Territory {
            true => NoResult::Possible,
            false => NoResult::Impossible,
        };
        Ok(answers[0].post_process(&legal, no_result))
    }
}

/// A move drawn with the policy's probabilities, passes and own eyes left out; `dice` are 64 random bits.
fn by_policy(output: &Output, game: &Game, dice: u64) -> Option<Move> {
    let (len, color) = (game.size().len_max(), game.to_move());
    let fit = |p: Point| !playout::is_own_eye(game.board(), p, color);
    let weights: Vec<(Point, f64)> =
        game.size().points().filter(|&p| fit(p)).map(|p| (p, f64::from(output.policy[p.index(len)]))).collect();
    let sum: f64 = weights.iter().map(|(_, w)| w).sum();
    let mut left = (dice >> 11) as f64 / (1u64 << 53) as f64 * sum;
    let drawn = weights.iter().find(|(_, w)| {
        left -= w;
        left < 0.0 && *w > 0.0
    });
    drawn.map(|&(p, _)| Move::Play(p))
}

/// Any legal move that is not too near to the edge.
fn by_chance(game: &Game, dice: u64) -> Option<Move> {
    let (size, color) = (game.size(), game.to_move());
    // The first line is no place to begin, and on larger boards neither is the second.
    let margin = match size.w().min(size.h()) {
        0..5 => 0,
        5..9 => 1,
        _ => 2,
    };
    let inside = |p: &Point| {
        let (x, y) = (p.x(), p.y());
        (margin..size.w() - margin).contains(&x) && (margin..size.h() - margin).contains(&y)
    };
    let moves: Vec<Move> = size.points().filter(inside).map(Move::Play).filter(|&mv| game.is_legal(color, mv).is_ok()).collect();
    (!moves.is_empty()).then(|| moves[below(dice, moves.len())])
}

fn place(game: &Game) -> (u64, Color) {
    (game.board().hash(), game.to_move())
}

#[cfg(test)]
mod tests {
    use super::super::config::tests::config;
    use super::*;
    use crate::infer::scripted::Scripted;

    fn start(board: [usize; 2], handicap: usize) -> Start {
        Start::new(&super::super::MatchConfig { board, handicap, ..config() }).unwrap()
    }

    fn all(openings: &mut Openings, n: usize) -> Vec<Vec<Move>> {
        (0..n).map(|pair| openings.of_pair(pair, |_| None).unwrap()).collect()
    }

    #[test]
    fn random_openings_are_legal_different_and_the_same_again() {
        let random = OpeningConfig { kind: OpeningKind::Random, moves: 4 };
        for (board, handicap) in [([9, 9], 0), ([9, 9], 3), ([5, 5], 0), ([7, 5], 0), ([19, 19], 9)] {
            let start = start(board, handicap);
            let mut openings = Openings::new(&start, random, 3, None);
            let first = all(&mut openings, 50);
            assert!(first.iter().all(|moves| moves.len() == 4));
            let places: HashSet<_> = openings.seen.iter().collect();
            assert_eq!(places.len(), 50, "{board:?}");
            // Some were played already: the others stay as they are.
            let mut again = Openings::new(&start, random, 3, None);
            let known = |pair: usize| (pair.is_multiple_of(3)).then(|| first[pair].clone());
            let second: Vec<_> = (0..50).map(|pair| again.of_pair(pair, known).unwrap()).collect();
            assert_eq!(first, second);
            assert_ne!(all(&mut Openings::new(&start, random, 4, None), 50), first);
        }
        // Where there are not enough of them, some come twice.
        let one = OpeningConfig { kind: OpeningKind::Random, moves: 1 };
        assert_eq!(all(&mut Openings::new(&start([2, 2], 0), one, 1, None), 6).len(), 6);
        let none = OpeningConfig { kind: OpeningKind::None, moves: 4 };
        assert_eq!(all(&mut Openings::new(&start([9, 9], 0), none, 1, None), 2), [vec![], vec![]]);
    }

    #[test]
    fn policies_are_drawn_from_and_unfair_openings_left_out() {
        // Likes the first column; an opening that begins in its first half is lost.
        let evaluator = Scripted::new(1, |request: &Request<'_>| {
            let mut answer = Evaluation::even(request.len);
            for (i, logit) in answer.policy.iter_mut().enumerate() {
                *logit = if i % request.len == 0 && i < request.len * request.len { 0.0 } else { -30.0 };
            }
            answer
        });
        let policy = OpeningConfig { kind: OpeningKind::Policy, moves: 2 };
        let mut openings = Openings::new(&start([9, 9], 0), policy, 1, Some(Box::new(evaluator)));
        let drawn = all(&mut openings, 30);
        assert!(drawn.iter().flatten().all(|mv| mv.point().is_some_and(|p| p.x() == 0)), "{drawn:?}");
        assert_eq!(openings.seen.len(), 30);
        // Whoever opens is lost, but once in a while is not: those are taken.
        let mut n_asked = 0;
        let evaluator = Scripted::new(1, move |request: &Request<'_>| {
            n_asked += 1;
            let win = if n_asked % 5 == 0 { 0.0 } else { 5.0 };
            Evaluation { value: [win, 0.0, -30.0], ..Evaluation::even(request.len) }
        });
        let random = OpeningConfig { kind: OpeningKind::Random, moves: 2 };
        let mut openings = Openings::new(&start([9, 9], 0), random, 1, Some(Box::new(evaluator)));
        assert!((0..20).all(|pair| openings.draw(pair).unwrap().bias < 0.3));
    }
}
