//! The slow way to read ladders, which the fast one is checked against: a board for each move, sets for everything,
//! nothing kept.

use super::{LIBERTIES_ESCAPED, Ladders, MOVES_MAX};
use crate::go::board::Board;
use crate::go::point::{Color, Point};
use crate::go::pointset::PointSet;
use crate::go::rules::Suicide;

/// All ladders of a position.
pub(super) fn ladders(board: &Board) -> Ladders {
    let mut reader = Reader::default();
    let mut ladders = Ladders::default();
    for p in board.chains().filter(|&p| (1..=2).contains(&board.liberties(p))) {
        let (captured, working) = reader.find(board, p);
        ladders.working[color_at(board, p).index()] |= working;
        if captured {
            board.chain(p).for_each(|s| {
                ladders.laddered.insert(s);
            });
        }
    }
    for (n, short) in ladders.short.iter_mut().enumerate() {
        *short = board.size().points().filter(|&p| board.get(p).is_some() && board.liberties(p) == n + 1).collect();
    }
    ladders
}

#[derive(Default)]
struct Reader {
    line: Vec<Board>,
    moves_left: usize,
}

impl Reader {
    /// Reads out the chain at `p`, which has one or two liberties.
    fn find(&mut self, board: &Board, p: Point) -> (bool, PointSet) {
        let mut working = PointSet::default();
        let captured = if board.liberties(p) == 1 {
            self.captured_defender_first(board, p)
        } else {
            let liberties = board.liberty_points(p);
            for first in liberties.iter() {
                if self.captured_by(board, p, first, &liberties) {
                    working.insert(first);
                }
            }
            !working.is_empty()
        };
        (captured, working)
    }

    /// Whether the chain at `d`, in atari, is lost although its owner moves first.
    fn captured_defender_first(&mut self, board: &Board, d: Point) -> bool {
        let last = board.liberty_points(d).first().expect("a chain in atari has a liberty");
        self.start(board);
        self.line[0].clear_ko();
        self.defend(0, d, last)
    }

    /// Whether the attacker's move `first` leads to the capture of the chain at `d`, which has these two liberties.
    fn captured_by(&mut self, board: &Board, d: Point, first: Point, liberties: &PointSet) -> bool {
        let attacker = color_at(board, d).opponent();
        let last = other(liberties, first);
        if room(board, d, last, liberties).len() >= LIBERTIES_ESCAPED || board.check(first, attacker, Suicide::Forbidden).is_err()
        {
            return false;
        }
        self.start(board);
        self.line[0].play(first, attacker);
        // The defender may retake a ko at once the first time, as if a threat had been answered.
        self.line[0].clear_ko();
        self.defend(0, d, last)
    }

    fn start(&mut self, board: &Board) {
        self.moves_left = MOVES_MAX;
        match self.line.first_mut() {
            Some(slot) => slot.clone_from(board),
            None => self.line.push(board.clone()),
        }
    }

    /// Whether the chain at `d` with its `last` liberty is captured, its owner to move at `depth` of the line.
    fn defend(&mut self, depth: usize, d: Point, last: Point) -> bool {
        let board = &self.line[depth];
        if depth > board.size().n_points() * 3 / 2 {
            return true;
        }
        if board.ko().is_some() {
            return false;
        }
        let defender = color_at(board, d);
        let takes = last.around().iter().any(|&q| board.get(q) == Some(defender.opponent()) && board.liberties(q) == 1);
        let mut captures = captures(board, d, defender);
        if takes {
            captures.insert(last);
        } else {
            let gained = room(board, d, last, &PointSet::from_iter([last]));
            let out = match gained.len() {
                0 | 1 => false,
                2 => self.step(depth, last, defender) && !self.attack(depth + 1, d, &gained),
                _ => true,
            };
            if out {
                return false;
            }
        }
        for m in captures.iter() {
            if self.step(depth, m, defender) {
                let liberties = self.line[depth + 1].liberty_points(d);
                if !self.attack(depth + 1, d, &liberties) {
                    return false;
                }
            }
        }
        true
    }

    /// Whether the chain at `d` with these liberties is captured, its opponent to move at `depth` of the line.
    fn attack(&mut self, depth: usize, d: Point, liberties: &PointSet) -> bool {
        match liberties.len() {
            0 | 1 => return true,
            2 => {}
            _ => return false,
        }
        let board = &self.line[depth];
        let attacker = color_at(board, d).opponent();
        if is_double_ko_death(board, d, liberties) {
            return true;
        }
        for first in liberties.iter() {
            let last = other(liberties, first);
            if room(&self.line[depth], d, last, liberties).len() >= LIBERTIES_ESCAPED {
                continue;
            }
            if self.step(depth, first, attacker) && self.defend(depth + 1, d, last) {
                return true;
            }
        }
        false
    }

    /// Plays a move after the position at `depth` of the line; false if it is illegal or the budget is spent on it.
    fn step(&mut self, depth: usize, m: Point, color: Color) -> bool {
        if self.line[depth].check(m, color, Suicide::Forbidden).is_err() || self.moves_left == 0 {
            return false;
        }
        self.moves_left -= 1;
        if self.line.len() == depth + 1 {
            self.line.push(self.line[depth].clone());
        } else {
            let (before, after) = self.line.split_at_mut(depth + 1);
            after[0].clone_from(&before[depth]);
        }
        self.line[depth + 1].play(m, color);
        true
    }
}

/// The liberty of two that is not `first`.
fn other(liberties: &PointSet, first: Point) -> Point {
    liberties.iter().find(|&l| l != first).expect("two liberties")
}

/// The liberties that the chain at `d` gains by moving to its liberty `l` if nothing is captured there, without those
/// it has.
fn room(board: &Board, d: Point, l: Point, liberties: &PointSet) -> PointSet {
    let mut gained = PointSet::from_iter([l]).neighbors() & board.empty_points();
    for q in l.around() {
        if board.get(q) == board.get(d) && board.chain_name(q) != board.chain_name(d) {
            gained |= board.liberty_points(q);
        }
    }
    gained - *liberties
}

/// The moves that take attackers in atari next to the chain.
fn captures(board: &Board, d: Point, defender: Color) -> PointSet {
    let mut moves = PointSet::default();
    for s in board.chain(d) {
        for q in s.around() {
            if board.get(q) == Some(defender.opponent()) && board.liberties(q) == 1 {
                moves |= board.liberty_points(q);
            }
        }
    }
    moves
}

/// Two kos at both liberties, neither of which the defender can end: captured although neither atari works alone.
fn is_double_ko_death(board: &Board, d: Point, liberties: &PointSet) -> bool {
    let defender = color_at(board, d);
    let kos = liberties.iter().all(|l| is_ko_take(board, l, defender) && liberties_after_joining(board, l, defender) <= 2);
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
