//! Reading one chain out on one board, move by move and back.

use super::{LIBERTIES_ESCAPED, MOVES_MAX};
use crate::go::board::{Board, Taken, Undo};
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

/// What is asked about a chain.
#[derive(Clone, Copy)]
pub(super) enum Question {
    /// In atari: is it lost although its owner moves first?
    DefenderFirst,
    /// With two liberties: does the attacker's move at the first lead to its capture?
    AttackerAt { first: Point, last: Point },
}

/// Up to [`LIBERTIES_ESCAPED`] different points: more make no difference.
#[derive(Clone, Copy, Default)]
struct Few {
    points: [u16; LIBERTIES_ESCAPED],
    n: usize,
}

impl Few {
    /// The two points, in their order.
    fn pair(&self) -> [Point; 2] {
        let [a, b, _] = self.points;
        [Point(a.min(b)), Point(a.max(b))]
    }

    fn insert(&mut self, p: Point) {
        // No point is 0, a wall cell.
        let [a, b, c] = self.points;
        if !self.is_full() && p.0 != a && p.0 != b && p.0 != c {
            self.points[self.n] = p.0;
            self.n += 1;
        }
    }

    /// Liberties to be gained at one of two liberties, after the attacker's move at the other: the same, if it took nothing.
    fn after(self, undo: &Undo) -> Option<Few> {
        (undo.taken() == Taken::default()).then_some(self)
    }

    fn is_full(&self) -> bool {
        self.n == LIBERTIES_ESCAPED
    }
}

impl Search<'_> {
    /// Reads one question out; gives the answer and the points that the proof looked at.
    pub(super) fn answer(board: &mut Board, d: Point, question: Question) -> (bool, PointSet) {
        let mut search = Search { board, moves_left: MOVES_MAX, seen: PointSet::default() };
        let captured = match question {
            Question::DefenderFirst => search.captured_defender_first(d),
            Question::AttackerAt { first, last } => search.captured_by(d, first, last),
        };
        (captured, search.seen)
    }

    /// Whether the chain at `d`, in atari, is lost although its owner moves first.
    fn captured_defender_first(&mut self, d: Point) -> bool {
        self.note_chain(d);
        let last = first_liberty(self.board, d);
        let ko = self.board.replace_ko(None);
        let captured = self.defend(0, d, last, None);
        self.board.replace_ko(ko);
        captured
    }

    /// Whether the attacker's move `first` leads to the capture of the chain at `d`, whose other liberty is `last`.
    fn captured_by(&mut self, d: Point, first: Point, last: Point) -> bool {
        let attacker = color_at(self.board, d).opponent();
        self.seen.insert_with_neighbors(last);
        self.seen.insert(first);
        let room = room(self.board, d, last, [first, last]);
        if room.is_full() {
            // That the chain has these two liberties is part of the question.
            return false;
        }
        self.seen.insert_with_neighbors(first);
        if self.board.check(first, attacker, Suicide::Forbidden).is_err() {
            return false;
        }
        self.note_chain(d);
        let undo = self.board.play_with_undo(first, attacker);
        // The defender may retake a ko at once the first time, as if a threat had been answered.
        self.board.clear_ko();
        let captured = self.defend(0, d, last, room.after(&undo));
        self.board.take_back(&undo);
        captured
    }

    /// Whether the chain at `d` with its `last` liberty is captured, its owner to move at `depth` of the line. `known`: what
    /// it gains there, where that is known.
    fn defend(&mut self, depth: usize, d: Point, last: Point, known: Option<Few>) -> bool {
        if depth > self.board.size().n_points() * 3 / 2 {
            return true;
        }
        if self.board.ko().is_some() {
            return false;
        }
        let defender = color_at(self.board, d);
        let name = self.board.chain_name(d);
        self.seen.insert_with_neighbors(last);
        let takes =
            last.around().into_iter().any(|q| self.board.get(q) == Some(defender.opponent()) && self.board.liberties(q) == 1);
        let gained = match known {
            _ if takes => Few::default(),
            Some(room) => room,
            None => room(self.board, d, last, [last, last]),
        };
        if gained.is_full() {
            return false;
        }
        for q in last.around() {
            if self.board.get(q) == Some(defender) && self.board.chain_name(q) != name {
                // From here on the chains that the move joins are part of what is looked at.
                self.note_chain(q);
            }
        }
        let mut captures = captures(self.board, d, defender);
        if takes {
            captures.insert(last);
        }
        let before = self.seen;
        // What takes something saves most often; what fails before that is no part of the proof.
        for m in captures.iter() {
            let tried = std::mem::replace(&mut self.seen, before);
            self.seen.insert_with_neighbors(m);
            if self.escapes(depth, d, m, defender, None) {
                return false;
            }
            self.seen |= tried;
        }
        if gained.n == 2 {
            let tried = std::mem::replace(&mut self.seen, before);
            if self.escapes(depth, d, last, defender, Some(gained.pair())) {
                return false;
            }
            self.seen |= tried;
        }
        true
    }

    /// Whether the move `m` saves the chain. `liberties`: those it will have, where they are known.
    fn escapes(&mut self, depth: usize, d: Point, m: Point, defender: Color, liberties: Option<[Point; 2]>) -> bool {
        let Some(undo) = self.step(m, defender) else { return false };
        let captured = match (liberties, self.board.liberties(d)) {
            (Some(pair), _) => self.attack(depth + 1, d, pair),
            (None, n) => {
                self.note_chain(d);
                n < 2 || (n == 2 && self.attack(depth + 1, d, two_liberties(self.board, d)))
            }
        };
        self.board.take_back(&undo);
        !captured
    }

    /// Whether the chain at `d` with two liberties is captured, its opponent to move at `depth` of the line.
    fn attack(&mut self, depth: usize, d: Point, [a, b]: [Point; 2]) -> bool {
        let attacker = color_at(self.board, d).opponent();
        self.seen.insert_with_neighbors(a);
        self.seen.insert_with_neighbors(b);
        if is_double_ko_death(self.board, d, [a, b]) {
            return true;
        }
        let [room_a, room_b] = [a, b].map(|last| room(self.board, d, last, [a, b]));
        // First what leaves the defender the fewest liberties.
        let firsts = if room_b.n <= room_a.n { [(a, b, room_b), (b, a, room_a)] } else { [(b, a, room_a), (a, b, room_b)] };
        let before = self.seen;
        for (first, last, room) in firsts {
            if room.is_full() {
                break;
            }
            let tried = std::mem::replace(&mut self.seen, before);
            if let Some(undo) = self.step(first, attacker) {
                let captured = self.defend(depth + 1, d, last, room.after(&undo));
                self.board.take_back(&undo);
                if captured {
                    return true;
                }
            }
            self.seen |= tried;
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
    let near = |s: Point| s.around().into_iter().find(|&q| board.is_empty(q));
    board.chain(d).find_map(near).expect("the chain has a liberty")
}

/// The liberties of the chain at `d`, which has two, in the order of points.
pub(super) fn two_liberties(board: &Board, d: Point) -> [Point; 2] {
    let mut found = Few::default();
    for s in board.chain(d) {
        s.around().into_iter().filter(|&q| board.is_empty(q)).for_each(|q| found.insert(q));
        if found.n >= 2 {
            break;
        }
    }
    debug_assert!(found.n == 2, "the chain has two liberties");
    found.pair()
}

/// The liberties that the chain at `d` gains by moving to its liberty `l` if nothing is captured there, without the
/// `liberties` it has.
fn room(board: &Board, d: Point, l: Point, liberties: [Point; 2]) -> Few {
    let mut gained = Few::default();
    let (defender, name) = (board.get(d), board.chain_at(d));
    let mut friends = heapless::Vec::<Point, 4>::new();
    for q in l.around() {
        if board.is_empty(q) {
            if q != liberties[0] && q != liberties[1] {
                gained.insert(q);
            }
        } else if board.get(q) == defender && board.chain_at(q) != name {
            friends.push(q).expect("four neighbours");
        }
    }
    for &q in &friends {
        if board.liberties(q) >= LIBERTIES_ESCAPED + liberties.len() {
            gained.n = LIBERTIES_ESCAPED;
        }
        if gained.is_full() {
            break;
        }
        gain_of_chain(&mut gained, board, q, liberties);
    }
    gained
}

/// Adds the liberties of the chain at `q` but for `liberties`.
fn gain_of_chain(gained: &mut Few, board: &Board, q: Point, liberties: [Point; 2]) {
    for s in board.chain(q) {
        for e in s.around() {
            if board.is_empty(e) && e != liberties[0] && e != liberties[1] {
                gained.insert(e);
            }
        }
        if gained.is_full() {
            return;
        }
    }
}

/// The moves that take attackers in atari next to the chain.
fn captures(board: &Board, d: Point, defender: Color) -> PointSet {
    let mut moves = PointSet::default();
    let name = board.chain_at(d);
    for attacker in board.in_atari(defender.opponent()).iter() {
        if board.chain(attacker).any(|s| s.around().map(|q| board.chain_at(q) == name) != [false; 4]) {
            moves.insert(first_liberty(board, attacker));
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
