//! Who owned what at the end of a counted game.

use crate::base::rng::rng;
use crate::go::eyes::{Room, dead_by_eyes};
use crate::go::playout::Fates;
use crate::go::rules::{Scoring, Tax};
use crate::go::score::{Owners, area, plain_area, taxed_area, territory, without};
use crate::go::{Board, Color, Game, Point, PointSet};

/// Two scores closer than this are the same; komi comes in halves, and quarters are the finest seen.
const SCORE_TOLERANCE: f32 = 0.01;

/// Points of its own with which a group is taken to live, in the order in which they are tried. Of 1,140 counted games of
/// strong players on 19x19 56 need no judgement, 715 are counted as recorded with one by eyes, 216 by playing out.
const ROOMS: [Room; 4] = [Room(6), Room(12), Room(3), Room(24)];
/// Judgements by eyes that build upon each other.
const ROUNDS: usize = 4;
/// Games played out before a judgement is tried, in sum.
const PLAYOUTS: [usize; 2] = [16, 64];
/// How much more often as its owner's a chain must end in random play to be alive: looked at in this order.
const DEAD_SHARES: [f32; 3] = [0.0, -0.4, 0.4];
/// A count by eyes that is so near the recorded one was counted in another way, not judged in another: by the second time
/// of playing out one such game in seventy is judged as recorded.
const NEAR_POINTS: f32 = 1.0 + SCORE_TOLERANCE;

/// The areas at the end of a game that two passes ended and that was counted as `score_white`.
///
/// Records do not say which stones were dead, so we judge: first those in areas that no play can take away (pass-alive,
/// Benson 1976), then those without eyes, then those that random play takes. A judgement counts only if the score that
/// follows from it is the recorded one; else there are no areas, since a wrong target teaches worse than none.
pub(super) fn final_areas(end: &Game, score_white: f32) -> Option<Owners> {
    if !end.is_over() || end.n_passes() < 2 {
        return None;
    }
    let board = end.board();
    let owners = area(board, end.rules().suicide);
    let in_safe_area = |&p: &Point| board.get(p).is_some_and(|c| owners.of(c.opponent()).contains(p));
    let dead: PointSet = board.size().points().filter(in_safe_area).collect();
    let mut count = Count { end, score_white, judged: Vec::new(), nearest: f32::INFINITY };
    count.areas_without(dead).or_else(|| by_eyes(&mut count)).or_else(|| by_playing_out(&mut count))
}

fn by_eyes(count: &mut Count) -> Option<Owners> {
    let board = count.end.board();
    ROOMS.iter().find_map(|&room| {
        let mut presumed = PointSet::default();
        for _ in 0..ROUNDS {
            let judgements = dead_by_eyes(board, &presumed, room);
            let [next, _] = judgements;
            let is_new = !count.judged.contains(&next);
            let mut sane = judgements.into_iter().filter(|dead| leaves_both(board, dead));
            if let Some(owners) = sane.find_map(|dead| count.areas_without(dead)) {
                return Some(owners);
            }
            if !is_new {
                break;
            }
            presumed = next;
        }
        None
    })
}

/// Whether each colour keeps a stone. Without stones of its own a colour owns nothing, and the count says little.
fn leaves_both(board: &Board, dead: &PointSet) -> bool {
    [Color::Black, Color::White].iter().all(|&color| !(*board.stones(color) - *dead).is_empty())
}

fn by_playing_out(count: &mut Count) -> Option<Owners> {
    let board = count.end.board();
    let n_stages = if count.nearest < NEAR_POINTS { 1 } else { PLAYOUTS.len() };
    // The position is the seed, so the same game is judged the same way everywhere.
    let (mut fates, mut rng) = (Fates::default(), rng(board.hash(), 0));
    PLAYOUTS[..n_stages].iter().find_map(|&n_playouts| {
        fates.play(board, n_playouts, &mut rng);
        DEAD_SHARES.iter().find_map(|&share| count.areas_without(fates.dead(board, share)))
    })
}

/// Counts a position with other stones taken for dead each time.
struct Count<'a> {
    end: &'a Game,
    score_white: f32,
    /// Most judgements are the same again, and so is their count.
    judged: Vec<PointSet>,
    /// Points by which the best count so far missed the recorded one.
    nearest: f32,
}

impl Count<'_> {
    /// The areas without the `dead`, if they were not tried before and the count is the recorded one.
    fn areas_without(&mut self, dead: PointSet) -> Option<Owners> {
        if self.judged.contains(&dead) {
            return None;
        }
        self.judged.push(dead);
        let end = self.end;
        let (rules, clean) = (end.rules(), || without(end.board(), &dead));
        // People count territory by hand: shared points left open do not make the groups beside them a seki.
        if rules.scoring == Scoring::Territory && self.is_recorded(territory_by_hand(end, &dead)) {
            return Some(plain_area(&clean()));
        }
        self.is_recorded(end.score_white(&dead)).then(|| match rules.tax {
            Tax::None => area(&clean(), rules.suicide),
            Tax::Seki | Tax::All => taxed_area(&clean(), rules.suicide),
        })
    }

    fn is_recorded(&mut self, score_white: f32) -> bool {
        let missed = (score_white - self.score_white).abs();
        self.nearest = self.nearest.min(missed);
        missed < SCORE_TOLERANCE
    }
}

/// Territory without the rule that groups in seki have none.
fn territory_by_hand(end: &Game, dead: &PointSet) -> f32 {
    let [black, white] = territory(end.board(), dead, &PointSet::default()).map(|n| n as f32);
    // Stones taken are points for the other colour.
    let [black_taken, white_taken] = end.taken().map(|n| n as f32);
    white + black_taken - black - white_taken + end.white_bonus()
}
