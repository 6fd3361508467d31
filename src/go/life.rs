//! Which stones are dead at the end of a game.
//!
//! Two judges: many random continuations show who owns each stone in the end, and where they do not agree, or
//! where they call a chain dead, a search reads out whether the opponent can really capture it.

use super::board::Board;
use super::playout::Fates;
use super::point::{Color, Point};
use super::pointset::PointSet;
use super::rules::Suicide;
use super::score::pass_alive;
use crate::base::rng::rng;
use std::time::Instant;

/// Random continuations of one judgement: the standard error of an ownership is below 0.09.
const PLAYOUTS: usize = 128;
/// Continuations, and positions of a search, between two looks at the time: far less than a millisecond each.
const PLAYOUTS_A_LOOK: usize = 4;
const NODES_A_LOOK: usize = 64;
/// Mean ownership (1 = always the owner's) from which a chain counts as alive without reading.
const ALIVE_MEAN: f32 = 0.6;
/// Mean ownership below which a chain that could not be read out counts as dead. An invader in settled territory of 36
/// points has -0.2 to -0.3, since random defenders let some invaders live; its surroundings have 0.4 and more.
const DEAD_MEAN: f32 = -0.1;
/// Liberties from which the search does not follow a chain.
const LIBERTIES_READ_MAX: usize = 4;
/// Positions of one search; the bent four in the corner needs a few hundred.
const NODES_MAX: usize = 30_000;
/// Depth of one search in moves.
const DEPTH_MAX: usize = 24;

/// The dead stones of both colours in a position where both players have passed. The same seed gives the same answer.
pub fn dead_stones(board: &Board, seed: u64) -> PointSet {
    dead_stones_by(board, seed, None).expect("without a deadline there is an answer")
}

/// [`dead_stones`]; none if the deadline comes first.
pub fn dead_stones_by(board: &Board, seed: u64, deadline: Option<Instant>) -> Option<PointSet> {
    let mut safe = PointSet::default();
    for color in [Color::Black, Color::White] {
        for p in pass_alive(board, color, Suicide::Forbidden).iter() {
            safe.insert(p);
        }
    }
    let mut fates = Fates::default();
    let mut draw = rng(seed, 0);
    for n in (PLAYOUTS_A_LOOK..=PLAYOUTS).step_by(PLAYOUTS_A_LOOK) {
        if is_past(deadline) {
            return None;
        }
        fates.play(board, n, &mut draw);
    }
    let mut dead = PointSet::default();
    let mut seen = PointSet::default();
    for p in board.size().points() {
        let Some(color) = board.get(p) else { continue };
        // Where the opponent has no stone nothing is decided yet.
        if board.count(color.opponent()) == 0 || safe.contains(p) || !seen.insert(board.chain_name(p)) {
            continue;
        }
        let mean = fates.mean(board, p);
        if is_dead(board, p, mean, deadline)? {
            for s in board.chain(p) {
                dead.insert(s);
            }
        }
    }
    Some(dead)
}

fn is_past(deadline: Option<Instant>) -> bool {
    deadline.is_some_and(|deadline| Instant::now() >= deadline)
}

/// None if the deadline came first.
fn is_dead(board: &Board, p: Point, mean_ownership: f32, deadline: Option<Instant>) -> Option<bool> {
    if mean_ownership >= ALIVE_MEAN {
        return Some(false);
    }
    let mut reader = Reader { nodes: 0, deadline };
    let captured = reader.captured(board, p);
    (!is_past(deadline)).then(|| captured.unwrap_or(mean_ownership <= DEAD_MEAN))
}

/// Reads whether a chain can be captured by an opponent who moves first. The defender may always pass, and may not
/// retake a ko: what a resumption after the end allows (Japanese rules 1989, article 7).
struct Reader {
    nodes: usize,
    deadline: Option<Instant>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    Attacker,
    Defender,
}

impl Reader {
    /// None if the chain gets away from the search: too many liberties, moves or positions.
    fn captured(&mut self, board: &Board, d: Point) -> Option<bool> {
        let mut board = board.clone();
        board.clear_ko();
        self.search(&board, d, Turn::Attacker, DEPTH_MAX, PointSet::default())
    }

    /// `area`: points where stones were taken off in this line, all of which stay worth a move.
    fn search(&mut self, board: &Board, d: Point, turn: Turn, depth: usize, area: PointSet) -> Option<bool> {
        self.nodes += 1;
        let defender = board.get(d).expect("a captured chain ends its line");
        if self.nodes.is_multiple_of(NODES_A_LOOK) && is_past(self.deadline) {
            // What it would say now is not asked for any more.
            self.nodes = NODES_MAX;
        }
        if self.nodes > NODES_MAX || depth == 0 {
            return None;
        }
        if board.liberties(d) > LIBERTIES_READ_MAX {
            // Out by capturing something is out; out into the open is for the continuations to judge.
            return if area.is_empty() { None } else { Some(false) };
        }
        let color = if turn == Turn::Attacker { defender.opponent() } else { defender };
        let mut unknown = false;
        for m in local_moves(board, d, &area).iter() {
            if turn == Turn::Defender && board.ko() == Some(m) {
                continue;
            }
            let mut free = board.clone();
            free.clear_ko();
            if free.check(m, color, Suicide::Forbidden).is_err() {
                continue;
            }
            match self.after(board, d, m, turn, depth, area) {
                Some(captured) if captured == (turn == Turn::Attacker) => return Some(captured),
                Some(_) => {}
                None => unknown = true,
            }
        }
        if turn == Turn::Defender {
            let mut passed = board.clone();
            passed.clear_ko();
            match self.search(&passed, d, Turn::Attacker, depth - 1, area) {
                Some(true) => {}
                other => return other,
            }
        }
        // An attacker without a working move leaves the chain; a defender without one loses it.
        if unknown { None } else { Some(turn == Turn::Defender) }
    }

    fn after(&mut self, board: &Board, d: Point, m: Point, turn: Turn, depth: usize, mut area: PointSet) -> Option<bool> {
        let defender = board.get(d).expect("a captured chain ends its line");
        let (color, next) = match turn {
            Turn::Attacker => (defender.opponent(), Turn::Defender),
            Turn::Defender => (defender, Turn::Attacker),
        };
        let mut after = board.clone();
        after.play(m, color);
        if after.get(d) != Some(defender) {
            return Some(true);
        }
        for p in board.size().points() {
            if board.get(p).is_some() && after.is_empty(p) {
                area.insert(p);
            }
        }
        self.search(&after, d, next, depth - 1, area)
    }
}

/// Liberties of the chain, of weak chains next to it, and points where stones were taken.
fn local_moves(board: &Board, d: Point, area: &PointSet) -> PointSet {
    let defender = board.get(d).expect("a captured chain ends its line");
    let mut moves = board.liberty_points(d) | (*area & board.empty_points());
    for s in board.chain(d) {
        for q in s.around() {
            if board.get(q) == Some(defender.opponent()) && board.liberties(q) <= 3 {
                moves |= board.liberty_points(q);
            }
        }
    }
    moves
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_ends_it() {
        let board = Board::from_text(". . X O .\n. O X O .\n. . X O X\n. . X O .\n. . X O .").unwrap();
        let later = Instant::now() + std::time::Duration::from_secs(1000);
        assert_eq!(dead_stones_by(&board, 1, Some(later)), Some(dead_stones(&board, 1)));
        assert_eq!(dead_stones_by(&board, 1, Some(Instant::now())), None);
    }

    fn dead(text: &str) -> String {
        let board = Board::from_text(text).unwrap();
        let dead = dead_stones(&board, 1);
        dead.iter().map(|p| p.gtp(board.size())).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn an_invader_in_settled_territory_is_dead() {
        let got = dead(
            ". . . . X O . . .
             . . . . X O . . .
             . . O . X O . . .
             . . . . X O . . .
             . . . . X O . X .
             . . . . X O . . .
             . . . . X O . . .
             . . . . X O . . .
             . . . . X O . . .",
        );
        assert_eq!(got, "C7 H5");
    }

    #[test]
    fn bent_four_in_the_corner_is_dead_and_seki_is_not() {
        let bent_four = "X X . O X O . . .
                         X O O O X O . . .
                         . O X X X O . . .
                         O O X X X O . . .
                         X X X X X O . . .
                         . X . . X O . . .
                         X X X X X O . . .
                         O O O O O O . . .
                         . . . . . . . . .";
        assert_eq!(dead(bent_four), "D9 B8 C8 D8 B7 A6 B6");
        let seki = "O X . O X . . . .
                    O X . O X . . . .
                    O X O O X . . . .
                    O O X X X . . . .
                    . O X . . . . . .
                    . O X . . . . . .
                    O O X . . . . . .
                    . O X . . . . . .
                    . O X . . . . . .";
        assert_eq!(dead(seki), "");
    }
}
