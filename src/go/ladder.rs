//! Ladder reading: chains that can be captured by atari after atari.
//!
//! The question and its corner cases are those of KataGo's input planes 14 to 17, because nets were trained on them.

use super::board::{Board, PointList, PointSet};
use super::point::{Color, Point};
use super::rules::Suicide;

/// Moves played in one search before the chain counts as escaped. KataGo's number; positions of real games need below 200.
const MOVES_MAX: usize = 25_000;

/// What the ladders of one position are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ladders {
    /// Stones of laddered chains, both colours.
    pub laddered: PointSet,
    /// For each colour of the chains: the moves that start the capture of a chain with two liberties.
    pub working: [PointSet; 2],
}

/// Reads ladders; owns the boards of the search, so that reading allocates nothing after the first deep ladder.
#[derive(Default)]
pub struct LadderReader {
    line: Vec<Board>,
    moves_left: usize,
}

/// Who moves next in the search.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    Attacker,
    Defender,
}

impl LadderReader {
    /// All ladders of a position.
    pub fn read(&mut self, board: &Board) -> Ladders {
        let mut ladders = Ladders::default();
        let mut seen = PointSet::default();
        for p in board.size().points() {
            let Some(color) = board.get(p) else { continue };
            let liberties = board.liberties(p);
            if !(1..=2).contains(&liberties) || !seen.insert(board.chain_name(p)) {
                continue;
            }
            let captured = if liberties == 1 {
                self.captured_defender_first(board, p)
            } else {
                let mut any = false;
                for first in board.liberty_points(p) {
                    if self.captured_by(board, p, first) {
                        ladders.working[color.index()].insert(first);
                        any = true;
                    }
                }
                any
            };
            if captured {
                for s in board.chain(p) {
                    ladders.laddered.insert(s);
                }
            }
        }
        ladders
    }

    /// Whether the chain at `d`, in atari, is lost although its owner moves first.
    fn captured_defender_first(&mut self, board: &Board, d: Point) -> bool {
        self.start(board);
        self.line[0].clear_ko();
        self.search(0, d, Turn::Defender)
    }

    /// Whether the attacker's move `first` at a liberty of the two-liberty chain at `d` leads to its capture.
    fn captured_by(&mut self, board: &Board, d: Point, first: Point) -> bool {
        let attacker = color_at(board, d).opponent();
        if board.check(first, attacker, Suicide::Forbidden).is_err() {
            return false;
        }
        self.start(board);
        self.line[0].play(first, attacker);
        // The defender may retake a ko at once the first time, as if a threat had been answered.
        self.line[0].clear_ko();
        self.search(0, d, Turn::Defender)
    }

    fn start(&mut self, board: &Board) {
        self.moves_left = MOVES_MAX;
        self.set_line(0, board.clone());
    }

    fn set_line(&mut self, depth: usize, board: Board) {
        match self.line.get_mut(depth) {
            Some(slot) => *slot = board,
            None => self.line.push(board),
        }
    }

    /// Whether the chain at `d` is captured from the position at `depth` of the line.
    fn search(&mut self, depth: usize, d: Point, turn: Turn) -> bool {
        let board = &self.line[depth];
        if depth > board.size().n_points() * 3 / 2 {
            return true;
        }
        let defender = color_at(board, d);
        let liberties = board.liberties(d);
        match turn {
            Turn::Defender => {
                if liberties >= 2 || board.ko().is_some() {
                    return false;
                }
                let moves = defender_moves(board, d, defender);
                moves.iter().all(|&m| self.try_move(depth, d, m, turn) != Some(false))
            }
            Turn::Attacker => {
                if liberties <= 1 {
                    return true;
                }
                if liberties >= 3 {
                    return false;
                }
                if is_double_ko_death(board, d, defender) {
                    return true;
                }
                let moves = ordered_attacks(board, d);
                moves.iter().any(|&m| self.try_move(depth, d, m, turn) == Some(true))
            }
        }
    }

    /// Whether the chain is captured after the move, or none if the move is illegal.
    fn try_move(&mut self, depth: usize, d: Point, m: Point, turn: Turn) -> Option<bool> {
        let board = &self.line[depth];
        let defender = color_at(board, d);
        let (color, next) = match turn {
            Turn::Attacker => (defender.opponent(), Turn::Defender),
            Turn::Defender => (defender, Turn::Attacker),
        };
        board.check(m, color, Suicide::Forbidden).ok()?;
        if self.moves_left == 0 {
            return Some(false);
        }
        self.moves_left -= 1;
        let mut after = board.clone();
        after.play(m, color);
        self.set_line(depth + 1, after);
        Some(self.search(depth + 1, d, next))
    }
}

/// Captures of attackers in atari that touch the chain, and its own last liberty.
fn defender_moves(board: &Board, d: Point, defender: Color) -> PointList {
    let mut moves = board.liberty_points(d);
    let mut seen = PointSet::default();
    for s in board.chain(d) {
        for q in s.around() {
            if board.get(q) == Some(defender.opponent()) && board.liberties(q) == 1 && seen.insert(board.chain_name(q)) {
                for m in board.liberty_points(q) {
                    if !moves.contains(&m) {
                        moves.push(m).expect("points of one board");
                    }
                }
            }
        }
    }
    moves
}

/// The two liberties, first the one where the defender would gain more by moving there himself.
fn ordered_attacks(board: &Board, d: Point) -> PointList {
    let mut moves = board.liberty_points(d);
    let room = |p: Point| p.around().iter().filter(|&&q| board.is_empty(q)).count();
    if moves.len() == 2 && room(moves[1]) > room(moves[0]) {
        moves.swap(0, 1);
    }
    moves
}

/// Two kos at both liberties, neither of which the defender can end: captured although neither atari works alone.
fn is_double_ko_death(board: &Board, d: Point, defender: Color) -> bool {
    let liberties = board.liberty_points(d);
    let kos = liberties.iter().all(|&l| is_ko_take(board, l, defender) && liberties_after_joining(board, l, defender) <= 2);
    kos && board.chain(d).all(|s| s.around().iter().all(|&q| board.get(q) != Some(defender.opponent()) || board.liberties(q) > 1))
}

/// Whether the attacker's stone at the empty point `l` would take a ko: only defenders around, one single stone of them in atari.
fn is_ko_take(board: &Board, l: Point, defender: Color) -> bool {
    let mut in_atari = PointSet::default();
    for q in l.around() {
        if !board.size().contains(q) {
            continue;
        }
        if board.get(q) != Some(defender) {
            return false;
        }
        if board.liberties(q) == 1 {
            if board.chain_len(q) != 1 {
                return false;
            }
            in_atari.insert(board.chain_name(q));
        }
    }
    in_atari.len() == 1
}

/// Liberties the defender's chain would have after a stone at `l`, whose neighbours are all his.
fn liberties_after_joining(board: &Board, l: Point, defender: Color) -> usize {
    let mut after = board.clone();
    after.play(l, defender);
    if after.get(l).is_some() { after.liberties(l) } else { 0 }
}

fn color_at(board: &Board, p: Point) -> Color {
    board.get(p).expect("the searched chain is never taken off inside its own search")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn laddered(text: &str) -> (Vec<String>, Vec<String>) {
        let board = Board::from_text(text).unwrap();
        let ladders = LadderReader::default().read(&board);
        let names = |s: &PointSet| s.iter().map(|p| p.gtp(board.size())).collect::<Vec<_>>();
        (names(&ladders.laddered), names(&ladders.working[1]))
    }

    #[test]
    fn a_ladder_runs_into_the_edge_or_a_breaker() {
        let open = ". . . . . . .
                    . . . . . . .
                    . . X . . . .
                    . . X O . . .
                    . . . X X . .
                    . . . . . . .
                    . . . . . . .";
        let (stones, moves) = laddered(open);
        assert_eq!((stones.join(" "), moves.join(" ")), ("D4".to_string(), "D5 E4".to_string()));
        let broken = open.replacen(". . . . . . .", ". . . . . O .", 2);
        assert_eq!(laddered(&broken).0.len(), 0);
    }
}
