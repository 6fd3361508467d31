//! Ladder reading: chains that can be captured by atari after atari.
//!
//! The question and its corner cases are those of KataGo's input planes 14 to 17, because nets were trained on them.

use super::board::Board;
use super::point::{CELLS, Color, Point};
use super::pointset::PointSet;
use super::rules::Suicide;

/// Moves played in one search before the chain counts as escaped. KataGo's number; positions of real games need below 200.
const MOVES_MAX: usize = 25_000;

/// Liberties with which a chain is out of a ladder.
const LIBERTIES_ESCAPED: usize = 3;

/// What the ladders of one position are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ladders {
    /// Stones of laddered chains, both colours.
    pub laddered: PointSet,
    /// For each colour of the chains: the moves that start the capture of a chain with two liberties.
    pub working: [PointSet; 2],
}

/// Reads ladders. Keeps what it found out about each chain of the latest position together with the points that the
/// reading looked at, so that the next position of a game asks again only where something changed.
#[derive(Default)]
pub struct LadderReader {
    line: Vec<Board>,
    moves_left: usize,
    /// Points that the search at work looked at.
    seen: PointSet,
    latest: Option<Board>,
    findings: Vec<Finding>,
    next_findings: Vec<Finding>,
}

/// What is known of one chain with one or two liberties.
#[derive(Clone, Copy)]
struct Finding {
    /// The stone that names it.
    stone: Point,
    captured: bool,
    working: PointSet,
    /// Everything the answer depends on: it holds as long as no chain or point in here changes.
    seen: PointSet,
}

/// Who moves next in the search.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    Attacker,
    Defender,
}

impl LadderReader {
    /// All ladders of a position. Costs least when it is one move away from the position asked for before.
    pub fn read(&mut self, board: &Board) -> Ladders {
        let changed = match &self.latest {
            Some(latest) if latest.size() == board.size() => changes(latest, board),
            _ => board.size().points().collect(),
        };
        let mut known = [u16::MAX; CELLS];
        for (i, finding) in self.findings.iter().enumerate() {
            if finding.seen.is_disjoint(&changed) {
                known[finding.stone.0 as usize] = i as u16;
            }
        }
        let mut ladders = Ladders::default();
        let mut findings = std::mem::take(&mut self.next_findings);
        findings.clear();
        for p in board.chains().filter(|&p| (1..=2).contains(&board.liberties(p))) {
            let color = color_at(board, p);
            // An unchanged chain keeps the stone that names it while a game goes on.
            let finding = match known[p.0 as usize] {
                u16::MAX => self.find(board, p),
                i => self.findings[i as usize],
            };
            ladders.working[color.index()] |= finding.working;
            if finding.captured {
                board.chain(p).for_each(|s| {
                    ladders.laddered.insert(s);
                });
            }
            findings.push(finding);
        }
        self.next_findings = std::mem::replace(&mut self.findings, findings);
        match &mut self.latest {
            Some(latest) => latest.clone_from(board),
            None => self.latest = Some(board.clone()),
        }
        ladders
    }

    /// Reads out the chain at `p`, which has one or two liberties.
    fn find(&mut self, board: &Board, p: Point) -> Finding {
        self.seen = PointSet::default();
        note_chain(&mut self.seen, board, p);
        let mut working = PointSet::default();
        let captured = if board.liberties(p) == 1 {
            self.captured_defender_first(board, p)
        } else {
            let liberties = board.liberty_points(p);
            for first in liberties.iter() {
                self.seen.insert_with_neighbors(first);
                if !escapes_at_once(board, p, first, &liberties) && self.captured_by(board, p, first) {
                    working.insert(first);
                }
            }
            !working.is_empty()
        };
        Finding { stone: p, captured, working, seen: self.seen }
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
        self.set_line(0, board);
    }

    fn set_line(&mut self, depth: usize, board: &Board) {
        match self.line.get_mut(depth) {
            Some(slot) => slot.clone_from(board),
            None => self.line.push(board.clone()),
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
                let own = board.liberty_points(d);
                if let Some(l) = own.first().filter(|&l| room_at(board, d, l, &own) >= LIBERTIES_ESCAPED) {
                    self.seen.insert_with_neighbors(l);
                    return false;
                }
                let captures = captures(board, d, defender) - own;
                own.iter().chain(captures.iter()).all(|m| self.try_move(depth, d, m, turn) != Some(false))
            }
            Turn::Attacker => {
                if liberties <= 1 {
                    return true;
                }
                if liberties >= LIBERTIES_ESCAPED {
                    return false;
                }
                let moves = board.liberty_points(d);
                moves.iter().for_each(|l| self.seen.insert_with_neighbors(l));
                if is_double_ko_death(board, d, &moves) {
                    return true;
                }
                let works: PointSet = moves.iter().filter(|&m| !escapes_at_once(board, d, m, &moves)).collect();
                works.iter().any(|m| self.try_move(depth, d, m, turn) == Some(true))
            }
        }
    }

    /// Whether the chain is captured after the move, or none if the move is illegal.
    fn try_move(&mut self, depth: usize, d: Point, m: Point, turn: Turn) -> Option<bool> {
        self.seen.insert_with_neighbors(m);
        let board = &self.line[depth];
        let defender = color_at(board, d);
        if turn == Turn::Defender {
            // From here on the chains that the move joins are part of what is looked at.
            for q in m.around() {
                if board.get(q) == Some(defender) && board.chain_name(q) != board.chain_name(d) {
                    note_chain(&mut self.seen, board, q);
                }
            }
        }
        let (color, next) = match turn {
            Turn::Attacker => (defender.opponent(), Turn::Defender),
            Turn::Defender => (defender, Turn::Attacker),
        };
        board.check(m, color, Suicide::Forbidden).ok()?;
        if self.moves_left == 0 {
            return Some(false);
        }
        self.moves_left -= 1;
        if self.line.len() == depth + 1 {
            self.line.push(self.line[depth].clone());
        } else {
            let (before, after) = self.line.split_at_mut(depth + 1);
            after[0].clone_from(&before[depth]);
        }
        self.line[depth + 1].play(m, color);
        Some(self.search(depth + 1, d, next))
    }
}

/// A reading looked at all points of the chain at `d` and around it.
fn note_chain(seen: &mut PointSet, board: &Board, d: Point) {
    board.chain(d).for_each(|s| seen.insert_with_neighbors(s));
}

/// The points at which a reading may find something else on `new` than on `old`: those with another content, all stones
/// of the chains there and next to there, whose liberties changed, and the points of ko bans.
fn changes(old: &Board, new: &Board) -> PointSet {
    let mut changed: PointSet = old.ko().into_iter().chain(new.ko()).collect();
    for p in new.points_that_differ(old).iter() {
        changed.insert(p);
        for board in [old, new] {
            for q in [p].into_iter().chain(p.around()) {
                if board.get(q).is_some() {
                    board.chain(q).for_each(|s| {
                        changed.insert(s);
                    });
                }
            }
        }
    }
    changed
}

/// Whether the chain with the two `liberties` is out as soon as it answers the attack at `first` at the other one.
fn escapes_at_once(board: &Board, d: Point, first: Point, liberties: &PointSet) -> bool {
    let answer = liberties.iter().find(|&l| l != first);
    answer.is_some_and(|l| room_at(board, d, l, liberties) >= LIBERTIES_ESCAPED)
}

/// Liberties that the chain at `d` gains at least by moving to `l`, besides those it has.
fn room_at(board: &Board, d: Point, l: Point, liberties: &PointSet) -> usize {
    let mut gained: PointSet = l.around().into_iter().filter(|&q| board.is_empty(q)).collect();
    for q in l.around() {
        if board.get(q) == board.get(d) && board.chain_name(q) != board.chain_name(d) {
            gained |= board.liberty_points(q);
        }
    }
    (gained - *liberties).len()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::{below, rng};
    use crate::go::Size;
    use rand::Rng as _;

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

    #[test]
    fn what_is_kept_from_move_to_move_is_what_a_fresh_reading_finds() {
        for (seed, len) in [5, 7, 9, 13, 19].into_iter().enumerate() {
            let size = Size::square(len).unwrap();
            let points: Vec<Point> = size.points().collect();
            let mut r = rng(seed as u64, 7);
            let mut kept = LadderReader::default();
            for _ in 0..30 {
                let mut board = Board::new(size);
                for i in 0..points.len() {
                    let p = points[below(r.next_u64(), points.len())];
                    let color = if i % 2 == 0 { Color::Black } else { Color::White };
                    if board.check(p, color, Suicide::MultiStone).is_ok() {
                        board.play(p, color);
                    }
                    assert!(kept.read(&board) == LadderReader::default().read(&board), "{board:?}");
                }
            }
        }
    }
}
