//! Ladder reading: chains that can be captured by atari after atari.
//!
//! The question and its corner cases are those of KataGo's input planes 14 to 17, because nets were trained on them.

mod search;

#[cfg(test)]
mod reference;

use super::board::Board;
use super::point::{Color, Point};
use super::pointset::PointSet;
use search::{Question, Search, two_liberties};

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
    /// Stones of chains with one, two and three liberties, both colours.
    pub short: [PointSet; 3],
}

/// Reads ladders. Keeps what it found out about each chain of the latest position together with the points that the
/// reading looked at, so that the next position of a game asks again only where something changed.
#[derive(Default)]
pub struct LadderReader {
    latest: Option<Board>,
    changes: Changes,
    /// What was found of chains that escape, and of chains that are captured.
    findings: [Vec<Finding>; 2],
    /// What is to be asked again.
    stale: Vec<(Point, Question)>,
    short: [PointSet; 3],
}

/// The answer to one question about a chain with one or two liberties.
struct Finding {
    /// The points that the proof looked at, what the answer depends on (see [`Changes::leave`]), and the stone.
    seen: PointSet,
    /// A stone of the chain.
    stone: Point,
    color: Color,
    question: Question,
}

/// What changes between two positions do to a finding.
enum Effect {
    None,
    /// To be asked again.
    Stale,
    /// The chain is another one.
    Gone,
}

impl LadderReader {
    /// All ladders of a position. Costs least when it is one move away from the position asked for before.
    pub fn read(&mut self, board: &Board) -> Ladders {
        self.look_at(board);
        let mut stale = std::mem::take(&mut self.stale);
        stale.drain(..).for_each(|(stone, question)| self.ask(stone, question));
        self.stale = stale;
        let after = self.changes.after;
        for p in after.iter() {
            match board.liberties(p) {
                1 => self.ask(p, Question::DefenderFirst),
                2 => {
                    let [a, b] = two_liberties(board, p);
                    self.ask(p, Question::AttackerAt { first: a, last: b });
                    self.ask(p, Question::AttackerAt { first: b, last: a });
                }
                _ => {}
            }
        }
        let mut ladders = Ladders { short: self.short, ..Ladders::default() };
        for finding in &self.findings[1] {
            board.chain(finding.stone).for_each(|s| {
                ladders.laddered.insert(s);
            });
            if let Question::AttackerAt { first, .. } = finding.question {
                ladders.working[finding.color.index()].insert(first);
            }
        }
        ladders
    }

    /// Asks about a chain of the latest board, and keeps what is found.
    fn ask(&mut self, stone: Point, question: Question) {
        let board = self.latest.as_mut().expect("the board that was looked at");
        let color = board.get(stone).expect("a chain is asked about");
        let (captured, mut seen) = Search::answer(board, stone, question);
        seen.insert(stone);
        self.findings[usize::from(captured)].push(Finding { seen, stone, color, question });
    }

    /// Makes `board` the latest: forgets the findings about chains that changed, and notes which others are stale.
    fn look_at(&mut self, board: &Board) {
        let (changes, short) = (&mut self.changes, &mut self.short);
        match &mut self.latest {
            Some(latest) if latest.size() == board.size() => {
                changes.note(latest, board, short);
                for findings in &mut self.findings {
                    let mut i = 0;
                    while let Some(finding) = findings.get(i) {
                        match changes.effect(finding, latest, board) {
                            Effect::None => i += 1,
                            Effect::Gone => drop(findings.swap_remove(i)),
                            Effect::Stale => {
                                let Finding { stone, question, .. } = findings.swap_remove(i);
                                self.stale.push((stone, question));
                            }
                        }
                    }
                }
                latest.clone_from(board);
            }
            latest => {
                self.findings.iter_mut().for_each(Vec::clear);
                *short = Default::default();
                changes.note(&Board::new(board.size()), board, short);
                *latest = Some(board.clone());
            }
        }
    }
}

/// What became different between two positions.
#[derive(Default)]
struct Changes {
    /// The points with another content and those of ko bans.
    points: PointSet,
    /// The names of chains with other stones or liberties, in the position before and in the one after.
    before: PointSet,
    after: PointSet,
    /// The points and the stones of the chains.
    all: PointSet,
    /// The chains, as far as they were asked about.
    chains: Vec<Chain>,
}

struct Chain {
    color: Color,
    stones: PointSet,
    liberties: PointSet,
}

impl Changes {
    /// Notes what differs between two boards of one size, and brings `short` of the old one up to date.
    fn note(&mut self, old: &Board, new: &Board, short: &mut [PointSet; 3]) {
        let diff = new.points_that_differ(old);
        self.points = diff;
        old.ko().into_iter().chain(new.ko()).for_each(|p| {
            self.points.insert(p);
        });
        self.chains.clear();
        (self.before, self.after) = Default::default();
        for p in diff.iter() {
            for q in [p].into_iter().chain(p.around()) {
                for (board, names) in [(old, &mut self.before), (new, &mut self.after)] {
                    if let Some(name) = board.chain_at(q) {
                        names.insert(name);
                    }
                }
            }
        }
        // A stone of an old chain is gone, or in a new chain that has or touches one of the points.
        let mut found = [PointSet::default(); 3];
        self.all = self.points;
        for name in self.after.iter() {
            let mut stones = PointSet::default();
            new.chain(name).for_each(|s| {
                stones.insert(s);
            });
            self.all |= stones;
            if let Some(found) = found.get_mut(new.liberties(name).wrapping_sub(1)) {
                *found |= stones;
            }
        }
        short.iter_mut().zip(found).for_each(|(short, found)| *short = (*short - self.all) | found);
    }

    fn effect(&mut self, finding: &Finding, old: &Board, new: &Board) -> Effect {
        // A chain that changed has its stones among these points.
        if self.all.is_disjoint(&finding.seen) {
            Effect::None
        } else if self.before.contains(old.chain_name(finding.stone)) {
            // It is asked about anew, if it still has few liberties.
            Effect::Gone
        } else if self.leave(finding, old, new) {
            Effect::None
        } else {
            Effect::Stale
        }
    }

    /// Whether a search that looked at the points of a finding finds the same again.
    ///
    /// It played on points in there only and joined chains only with all that is next to them in there. So of any other
    /// chain the liberties outside stayed, and with enough of these the chain was as good as with more in all that a
    /// search asks: an attacker's is not in atari, a defender's is out of the ladder if joined.
    fn leave(&mut self, Finding { seen, color: defender, .. }: &Finding, old: &Board, new: &Board) -> bool {
        if !self.points.is_disjoint(seen) {
            return false;
        }
        if self.chains.is_empty() {
            self.note_chains(old, new);
        }
        self.chains.iter().all(|chain| {
            let enough = if chain.color == *defender { LIBERTIES_ESCAPED } else { 2 };
            chain.stones.is_disjoint(seen) || (chain.liberties - *seen).has(enough)
        })
    }

    fn note_chains(&mut self, old: &Board, new: &Board) {
        for (board, names) in [(old, self.before), (new, self.after)] {
            for name in names.iter() {
                let color = board.get(name).expect("a stone names a chain");
                let (stones, liberties) = board.chain_sets(name);
                self.chains.push(Chain { color, stones, liberties });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::{below, rng};
    use crate::go::Size;
    use crate::go::rules::Suicide;
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
    fn what_is_kept_from_move_to_move_is_what_a_slow_reading_finds() {
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
                    assert!(kept.read(&board) == reference::ladders(&board), "{board:?}");
                }
            }
        }
    }
}
