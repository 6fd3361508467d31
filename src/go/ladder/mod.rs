//! Ladder reading: chains that can be captured by atari after atari.
//!
//! The question and its corner cases are those of KataGo's input planes 14 to 17, because nets were trained on them.

mod search;

#[cfg(test)]
mod reference;

use super::board::Board;
use super::point::Point;
use super::pointset::PointSet;
use search::Search;

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
    findings: Vec<Finding>,
}

/// What is known of one chain with one or two liberties.
#[derive(Clone, Copy)]
struct Finding {
    /// The stone that names it.
    stone: Point,
    /// Its stones if it is captured.
    laddered: PointSet,
    working: PointSet,
    /// Everything the answer depends on: it holds as long as no chain or point in here changes.
    seen: PointSet,
}

impl LadderReader {
    /// All ladders of a position. Costs least when it is one move away from the position asked for before.
    pub fn read(&mut self, board: &Board) -> Ladders {
        let changed = match &mut self.latest {
            Some(latest) if latest.size() == board.size() => {
                let changed = changes(latest, board);
                latest.clone_from(board);
                changed
            }
            latest => {
                self.findings.clear();
                *latest = Some(board.clone());
                board.points()
            }
        };
        let latest = self.latest.as_mut().expect("set above");
        // A chain that changed is looked at below, if it still has few liberties. Others keep their name and liberties.
        self.findings.retain_mut(|finding| {
            let stays = !changed.contains(finding.stone);
            if stays && !finding.seen.is_disjoint(&changed) {
                *finding = Search::find(latest, finding.stone);
            }
            stays
        });
        for p in latest.chains_named_in(&changed).iter().filter(|&p| (1..=2).contains(&board.liberties(p))) {
            self.findings.push(Search::find(latest, p));
        }
        let mut ladders = Ladders::default();
        for finding in &self.findings {
            ladders.laddered |= finding.laddered;
            let color = board.get(finding.stone).expect("a chain with a finding");
            ladders.working[color.index()] |= finding.working;
        }
        ladders
    }
}

/// The points at which a reading may find something else on `new` than on `old`: those with another content, all stones
/// of the chains there and next to there, whose liberties changed, and the points of ko bans.
fn changes(old: &Board, new: &Board) -> PointSet {
    let mut changed: PointSet = old.ko().into_iter().chain(new.ko()).collect();
    for p in new.points_that_differ(old).iter() {
        changed.insert(p);
        // A chain next to a new stone is on the new board whole, unless stones of it went, which count for themselves.
        mark_chains(&mut changed, new, p);
        if old.get(p).is_some() {
            mark_chains(&mut changed, old, p);
        }
    }
    changed
}

/// Marks the chains at `p` and next to it.
fn mark_chains(changed: &mut PointSet, board: &Board, p: Point) {
    for q in [p].into_iter().chain(p.around()) {
        if board.get(q).is_some() {
            board.chain(q).for_each(|s| {
                changed.insert(s);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::{below, rng};
    use crate::go::rules::Suicide;
    use crate::go::{Color, Size};
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
