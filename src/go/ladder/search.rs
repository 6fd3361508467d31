//! Reading one chain out on one board, move by move and back.

use super::{Finding, LIBERTIES_ESCAPED, MOVES_MAX};
use crate::go::board::{Board, Undo};
use crate::go::point::{Color, Point};
use crate::go::pointset::PointSet;
use crate::go::rules::Suicide;

/// A search at work. The board is the same before and after each question.
pub(super) struct Search<'a> {
    board: &'a mut Board,
    moves_left: usize,
    /// Points looked at.
    seen: PointSet,
}

/// Up to [`LIBERTIES_ESCAPED`] different points: more make no difference.
#[derive(Default)]
struct Few {
    points: [u16; LIBERTIES_ESCAPED],
    n: usize,
}

impl Few {
    fn insert(&mut self, p: Point) {
        if !self.is_full() && !self.points[..self.n].contains(&p.0) {
            self.points[self.n] = p.0;
            self.n += 1;
        }
    }

    fn is_full(&self) -> bool {
        self.n == LIBERTIES_ESCAPED
    }
}

impl Search<'_> {
    /// Reads out the chain at `p`, which has one or two liberties.
    pub(super) fn find(board: &mut Board, p: Point) -> Finding {
        let mut search = Search { board, moves_left: MOVES_MAX, seen: PointSet::default() };
        search.note_chain(p);
        let mut working = PointSet::default();
        let captured = if search.board.liberties(p) == 1 {
            search.captured_defender_first(p)
        } else {
            let [a, b] = two_liberties(search.board, p);
            for (first, last) in [(a, b), (b, a)] {
                search.seen.insert_with_neighbors(first);
                if search.captured_by(p, first, last) {
                    working.insert(first);
                }
            }
            !working.is_empty()
        };
        let seen = search.seen;
        let laddered = if captured { board.chain(p).collect() } else { PointSet::default() };
        Finding { stone: p, laddered, working, seen }
    }

    /// Whether the chain at `d`, in atari, is lost although its owner moves first.
    fn captured_defender_first(&mut self, d: Point) -> bool {
        let last = first_liberty(self.board, d);
        let ko = self.board.replace_ko(None);
        let captured = self.defend(0, d, last);
        self.board.replace_ko(ko);
        captured
    }

    /// Whether the attacker's move `first` leads to the capture of the chain at `d`, whose other liberty is `last`.
    fn captured_by(&mut self, d: Point, first: Point, last: Point) -> bool {
        let attacker = color_at(self.board, d).opponent();
        if room(self.board, d, last, &[first, last]).is_full() || self.board.check(first, attacker, Suicide::Forbidden).is_err() {
            return false;
        }
        self.moves_left = MOVES_MAX;
        let undo = self.board.play_with_undo(first, attacker);
        // The defender may retake a ko at once the first time, as if a threat had been answered.
        self.board.clear_ko();
        let captured = self.defend(0, d, last);
        self.board.take_back(&undo);
        captured
    }

    /// Whether the chain at `d` with its `last` liberty is captured, its owner to move at `depth` of the line.
    fn defend(&mut self, depth: usize, d: Point, last: Point) -> bool {
        if depth > self.board.size().n_points() * 3 / 2 {
            return true;
        }
        if self.board.ko().is_some() {
            return false;
        }
        let defender = color_at(self.board, d);
        self.seen.insert_with_neighbors(last);
        let mut takes = false;
        for q in last.around() {
            match self.board.get(q) {
                // From here on the chains that the move joins are part of what is looked at.
                Some(color) if color == defender => {
                    if self.board.chain_name(q) != self.board.chain_name(d) {
                        self.note_chain(q);
                    }
                }
                Some(_) => takes |= self.board.liberties(q) == 1,
                None => {}
            }
        }
        if !takes {
            let gained = room(self.board, d, last, &[last]).n;
            if gained == LIBERTIES_ESCAPED || (gained == 2 && self.escapes(depth, d, last, defender)) {
                return false;
            }
        }
        let mut captures = captures(self.board, d, defender);
        if takes {
            captures.insert(last);
        }
        for m in captures.iter() {
            self.seen.insert_with_neighbors(m);
            if let Some(undo) = self.step(m, defender) {
                self.note_chain(d);
                let captured = self.attack(depth + 1, d);
                self.board.take_back(&undo);
                if !captured {
                    return false;
                }
            }
        }
        true
    }

    /// Whether the move to the `last` liberty, which takes nothing, saves the chain.
    fn escapes(&mut self, depth: usize, d: Point, last: Point, defender: Color) -> bool {
        let Some(undo) = self.step(last, defender) else { return false };
        let captured = self.attack(depth + 1, d);
        self.board.take_back(&undo);
        !captured
    }

    /// Whether the chain at `d` is captured, its opponent to move at `depth` of the line.
    fn attack(&mut self, depth: usize, d: Point) -> bool {
        match self.board.liberties(d) {
            0 | 1 => return true,
            2 => {}
            _ => return false,
        }
        let attacker = color_at(self.board, d).opponent();
        let [a, b] = two_liberties(self.board, d);
        self.seen.insert_with_neighbors(a);
        self.seen.insert_with_neighbors(b);
        if is_double_ko_death(self.board, d, [a, b]) {
            return true;
        }
        for (first, last) in [(a, b), (b, a)] {
            if room(self.board, d, last, &[a, b]).is_full() {
                continue;
            }
            if let Some(undo) = self.step(first, attacker) {
                let captured = self.defend(depth + 1, d, last);
                self.board.take_back(&undo);
                if captured {
                    return true;
                }
            }
        }
        false
    }

    /// Plays a move; none if it is illegal or the budget is spent.
    fn step(&mut self, m: Point, color: Color) -> Option<Undo> {
        if self.board.check(m, color, Suicide::Forbidden).is_err() || self.moves_left == 0 {
            return None;
        }
        self.moves_left -= 1;
        Some(self.board.play_with_undo(m, color))
    }

    /// A reading looked at all points of the chain at `d` and around it.
    fn note_chain(&mut self, d: Point) {
        self.board.chain(d).for_each(|s| self.seen.insert_with_neighbors(s));
    }
}

/// A liberty of the chain at `d`, which has one.
fn first_liberty(board: &Board, d: Point) -> Point {
    let mut near = board.chain(d).flat_map(Point::around);
    near.find(|&q| board.is_empty(q)).expect("the chain has a liberty")
}

/// The liberties of the chain at `d`, which has two, in the order of points.
fn two_liberties(board: &Board, d: Point) -> [Point; 2] {
    let mut near = board.chain(d).flat_map(Point::around).filter(|&q| board.is_empty(q));
    let a = near.next().expect("the chain has two liberties");
    let b = near.find(|&q| q != a).expect("the chain has two liberties");
    [a.min(b), a.max(b)]
}

/// The liberties that the chain at `d` gains by moving to its liberty `l` if nothing is captured there, without the
/// `liberties` it has.
fn room(board: &Board, d: Point, l: Point, liberties: &[Point]) -> Few {
    let mut gained = Few::default();
    for q in l.around() {
        if board.is_empty(q) && !liberties.contains(&q) {
            gained.insert(q);
        }
    }
    for q in l.around() {
        if gained.is_full() {
            break;
        }
        if board.get(q) == board.get(d) && board.chain_name(q) != board.chain_name(d) {
            for e in board.chain(q).flat_map(Point::around) {
                if board.is_empty(e) && !liberties.contains(&e) {
                    gained.insert(e);
                    if gained.is_full() {
                        break;
                    }
                }
            }
        }
    }
    gained
}

/// The moves that take attackers in atari next to the chain.
fn captures(board: &Board, d: Point, defender: Color) -> PointSet {
    let mut moves = PointSet::default();
    for q in board.chain(d).flat_map(Point::around) {
        if board.get(q) == Some(defender.opponent()) && board.liberties(q) == 1 {
            moves.insert(first_liberty(board, q));
        }
    }
    moves
}

/// Two kos at both liberties, neither of which the defender can end: captured although neither atari works alone.
fn is_double_ko_death(board: &mut Board, d: Point, liberties: [Point; 2]) -> bool {
    let defender = color_at(board, d);
    let kos = liberties.iter().all(|&l| is_ko_take(board, l, defender) && liberties_after_joining(board, l, defender) <= 2);
    kos && captures(board, d, defender).is_empty()
}

/// Whether the attacker's stone at the empty point `l` would take a ko: only defenders around, one single stone of them in atari.
fn is_ko_take(board: &Board, l: Point, defender: Color) -> bool {
    let mut in_atari = Few::default();
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
            in_atari.insert(q);
        }
    }
    in_atari.n == 1
}

/// Liberties the defender's chain would have after a stone at `l`, whose neighbours are all his.
fn liberties_after_joining(board: &mut Board, l: Point, defender: Color) -> usize {
    let undo = board.play_with_undo(l, defender);
    let liberties = if board.get(l).is_some() { board.liberties(l) } else { 0 };
    board.take_back(&undo);
    liberties
}

fn color_at(board: &Board, p: Point) -> Color {
    board.get(p).expect("the searched chain is never taken off inside its own search")
}
