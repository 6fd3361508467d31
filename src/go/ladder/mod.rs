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
}

/// Reads ladders. Keeps what it found out about each chain of the latest position together with the points that the
/// reading looked at, so that the next position of a game asks again only where something changed.
#[derive(Default)]
pub struct LadderReader {
    latest: Option<Board>,
    changes: Changes,
    findings: Vec<Finding>,
}

/// The answer to one question about a chain with one or two liberties.
struct Finding {
    /// The stone that names the chain.
    stone: Point,
    color: Color,
    question: Question,
    captured: bool,
    /// The points that the proof looked at: what the answer depends on, see [`Changes::leave`].
    seen: PointSet,
}

impl Finding {
    fn new(board: &mut Board, stone: Point, question: Question) -> Finding {
        let color = board.get(stone).expect("a chain is asked about");
        let (captured, seen) = Search::answer(board, stone, question);
        Finding { stone, color, question, captured, seen }
    }
}

impl LadderReader {
    /// All ladders of a position. Costs least when it is one move away from the position asked for before.
    pub fn read(&mut self, board: &Board) -> Ladders {
        let changes = &mut self.changes;
        match &mut self.latest {
            Some(latest) if latest.size() == board.size() => {
                changes.note(latest, board);
                latest.clone_from(board);
            }
            latest => {
                self.findings.clear();
                *latest = Some(board.clone());
                changes.all = board.points();
            }
        }
        let latest = self.latest.as_mut().expect("set above");
        // A chain that changed is looked at below, if it still has few liberties. Others keep their name and liberties.
        self.findings.retain_mut(|finding| {
            let stays = !changes.all.contains(finding.stone);
            if stays && !changes.leave(&finding.seen, finding.color) {
                *finding = Finding::new(latest, finding.stone, finding.question);
            }
            stays
        });
        for p in board.chains_named_in(&changes.all).iter() {
            match board.liberties(p) {
                1 => self.findings.push(Finding::new(latest, p, Question::DefenderFirst)),
                2 => {
                    let [a, b] = two_liberties(board, p);
                    for (first, last) in [(a, b), (b, a)] {
                        self.findings.push(Finding::new(latest, p, Question::AttackerAt { first, last }));
                    }
                }
                _ => {}
            }
        }
        let mut ladders = Ladders::default();
        for finding in self.findings.iter().filter(|finding| finding.captured) {
            board.chain(finding.stone).for_each(|s| {
                ladders.laddered.insert(s);
            });
            if let Question::AttackerAt { first, .. } = finding.question {
                ladders.working[finding.color.index()].insert(first);
            }
        }
        ladders
    }
}

/// What became different between two positions.
#[derive(Default)]
struct Changes {
    /// The points with another content and those of ko bans.
    points: PointSet,
    /// Chains with other stones or liberties, of both positions.
    chains: Vec<Chain>,
    /// The points and the stones of the chains.
    all: PointSet,
}

struct Chain {
    color: Color,
    stones: PointSet,
    liberties: PointSet,
}

impl Changes {
    /// Notes what differs between two boards of one size.
    fn note(&mut self, old: &Board, new: &Board) {
        let diff = new.points_that_differ(old);
        self.points = diff;
        old.ko().into_iter().chain(new.ko()).for_each(|p| {
            self.points.insert(p);
        });
        self.all = self.points;
        self.chains.clear();
        for board in [old, new] {
            let mut names = PointSet::default();
            for q in diff.iter().flat_map(|p| [p].into_iter().chain(p.around())) {
                let Some(color) = board.get(q) else { continue };
                if names.insert(board.chain_name(q)) {
                    let (stones, liberties) = board.chain_sets(q);
                    self.all |= stones;
                    self.chains.push(Chain { color, stones, liberties });
                }
            }
        }
    }

    /// Whether a search for a chain of `defender` that looked at these points finds the same again.
    ///
    /// It played on points in there only and joined chains only with all that is next to them in there. So of any other
    /// chain the liberties outside stayed, and with enough of these the chain was as good as with more in all that a
    /// search asks: an attacker's is not in atari, a defender's is out of the ladder if joined.
    fn leave(&self, seen: &PointSet, defender: Color) -> bool {
        let leaves = |chain: &Chain| {
            let enough = if chain.color == defender { LIBERTIES_ESCAPED } else { 2 };
            chain.stones.is_disjoint(seen) || (chain.liberties - *seen).iter().nth(enough - 1).is_some()
        };
        self.all.is_disjoint(seen) || (self.points.is_disjoint(seen) && self.chains.iter().all(leaves))
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
