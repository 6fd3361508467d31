//! What the end of a game tells about its positions.

use super::areas::final_areas;
use super::policy::Trust;
use crate::compute::packed::plane_words;
use crate::go::score::Owners;
use crate::go::{Color, Game};
use crate::sgf::{GameRecord, Margin, Winner};
use crate::shard::Outcome;

/// Points by which a guess about komi, handicap or the end can be wrong: no komi of a real game is further from the usual one.
const DOUBT_POINTS: f32 = 8.0;

/// The outcome of one game.
pub(super) struct GameOutcome {
    winner: Option<Winner>,
    /// Points for White, komi included.
    score_white: Option<f32>,
    /// Bit planes of the final areas, Black's and White's.
    areas: Option<[Vec<u32>; 2]>,
    /// `black by points`, `draw`, `unknown`, …
    pub label: &'static str,
}

impl GameOutcome {
    /// How it went for `color`.
    pub(super) fn value(&self, color: Color) -> Option<Outcome> {
        Some(match (self.winner?, color) {
            (Winner::Draw, _) => Outcome::Draw,
            (Winner::Black, Color::Black) | (Winner::White, Color::White) => Outcome::Win,
            (Winner::Black, Color::White) | (Winner::White, Color::Black) => Outcome::Loss,
        })
    }

    /// Points of `color` minus the opponent's.
    pub(super) fn score(&self, color: Color) -> Option<f32> {
        self.score_white.map(|score| if color == Color::White { score } else { -score })
    }

    /// Bit planes of the final areas of `color` and its opponent.
    pub(super) fn ownership(&self, color: Color) -> Option<[&[u32]; 2]> {
        let areas = self.areas.as_ref()?;
        Some([&areas[color.index()], &areas[color.opponent().index()]])
    }
}

/// Reads the outcome from the record and its last position.
///
/// A forfeit decides nothing on the board, so it gives no value. A score is only what was counted. Who owned what is
/// only told when the count of our own agrees with the recorded one: see [`final_areas`].
///
/// What `trust` leaves in doubt is not told: a result in points only where that count agrees, or nothing at all.
pub(super) fn outcome_of(record: &GameRecord, end: &Game, trust: Trust) -> GameOutcome {
    let told = told_of(record, end.white_bonus(), trust);
    let areas = told.score_white.and_then(|score| final_areas(end, score)).map(|owners| planes(&owners, end));
    if trust == Trust::IfCounted && areas.is_none() { uncounted(told) } else { GameOutcome { areas, ..told } }
}

/// The same without looking at the last position: areas, and what depends on our own count, are not told.
pub(super) fn outcome_told(record: &GameRecord, komi: f32, trust: Trust) -> GameOutcome {
    let told = told_of(record, komi, trust);
    if trust == Trust::IfCounted { uncounted(told) } else { told }
}

/// What the record says. `white_bonus` bounds the score: komi and the like.
fn told_of(record: &GameRecord, white_bonus: f32, trust: Trust) -> GameOutcome {
    let result = record.result;
    let label = label(result.winner, result.margin);
    if trust == Trust::Never {
        return GameOutcome { winner: None, score_white: None, areas: None, label };
    }
    // With half a point in the komi nobody can have counted a draw: 0 is some programs' word for no result.
    let cannot_be = result.winner == Some(Winner::Draw) && white_bonus.fract() != 0.0;
    let winner = if cannot_be || result.margin == Some(Margin::Forfeit) { None } else { result.winner };
    let score_max = 2.0 * record.size.n_points() as f32 + white_bonus.abs();
    let score_white = match (winner, result.margin) {
        (Some(Winner::Draw), _) => Some(0.0),
        (Some(Winner::White), Some(Margin::Points(points))) => Some(points),
        (Some(Winner::Black), Some(Margin::Points(points))) => Some(-points),
        _ => None,
    };
    let score_white = score_white.filter(|score| score.abs() <= score_max);
    GameOutcome { winner, score_white, areas: None, label }
}

/// What is left of an outcome in doubt that our own count does not confirm.
fn uncounted(told: GameOutcome) -> GameOutcome {
    let winner = told.winner.filter(|_| told.score_white.is_none_or(|score| score.abs() > DOUBT_POINTS));
    GameOutcome { winner, score_white: None, areas: None, ..told }
}

fn planes(owners: &Owners, end: &Game) -> [Vec<u32>; 2] {
    let len = end.size().len_max();
    let mut planes = [vec![0; plane_words(len)], vec![0; plane_words(len)]];
    for p in end.size().points() {
        if let Some(color) = owners.get(p) {
            let cell = p.index(len);
            planes[color.index()][cell / 32] |= 1 << (cell % 32);
        }
    }
    planes
}

fn label(winner: Option<Winner>, margin: Option<Margin>) -> &'static str {
    match (winner, margin) {
        (None, _) => "unknown",
        (Some(Winner::Draw), _) => "draw",
        (Some(Winner::Black), None) => "black",
        (Some(Winner::Black), Some(Margin::Points(_))) => "black by points",
        (Some(Winner::Black), Some(Margin::Resignation)) => "black by resignation",
        (Some(Winner::Black), Some(Margin::Time)) => "black on time",
        (Some(Winner::Black), Some(Margin::Forfeit)) => "black by forfeit",
        (Some(Winner::White), None) => "white",
        (Some(Winner::White), Some(Margin::Points(_))) => "white by points",
        (Some(Winner::White), Some(Margin::Resignation)) => "white by resignation",
        (Some(Winner::White), Some(Margin::Time)) => "white on time",
        (Some(Winner::White), Some(Margin::Forfeit)) => "white by forfeit",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::rules::rules_of;
    use crate::sgf::{self, Step};

    /// A finished 5x5 game: Black two columns, White two columns and a dead black stone or none; the middle is shared.
    fn outcome(root: &str, dead: &str, tail: &str) -> GameOutcome {
        let text = format!("(;SZ[5]{root};AB[ba][bb][bc][bd][be]{dead}AW[da][db][dc][dd][de];{tail})");
        let record = sgf::games(text.as_bytes()).next().unwrap().unwrap();
        let rules = rules_of(&record).0;
        let mut game = Game::new(record.size, rules, record.komi.unwrap_or(6.5));
        for step in &record.steps {
            match *step {
                Step::Setup { point, stone } => game.set_stone(point, stone),
                Step::ToMove(color) => game.set_to_move(color),
                Step::Move { color, mv, .. } => game.play_record(color, mv).unwrap(),
            }
        }
        outcome_of(&record, &game, Trust::Full)
    }

    fn cells(plane: &[u32]) -> Vec<u32> {
        (0..25).filter(|i| plane[0] >> i & 1 != 0).collect()
    }

    #[test]
    fn value_and_score_are_of_the_player_to_move() {
        let o = outcome("KM[7.5]RU[Chinese]RE[W+7.5]", "", "B[];W[]");
        assert_eq!((o.value(Color::White), o.value(Color::Black)), (Some(Outcome::Win), Some(Outcome::Loss)));
        assert_eq!((o.score(Color::White), o.score(Color::Black)), (Some(7.5), Some(-7.5)));
        let o = outcome("RE[B+R]", "", "B[];W[]");
        assert_eq!((o.value(Color::Black), o.score(Color::Black), o.label), (Some(Outcome::Win), None, "black by resignation"));
        assert!(o.ownership(Color::Black).is_none());
        let o = outcome("RE[W+F]", "", "B[];W[]");
        assert_eq!((o.value(Color::Black), o.score(Color::Black), o.label), (None, None, "white by forfeit"));
        let o = outcome("RE[0]KM[0]RU[Chinese]", "", "B[];W[]");
        assert_eq!((o.value(Color::Black), o.score(Color::White)), (Some(Outcome::Draw), Some(0.0)));
        let o = outcome("RE[0]KM[6.5]RU[Chinese]", "", "B[];W[]");
        assert_eq!((o.value(Color::Black), o.score(Color::White)), (None, None), "no draw with half a point");
        assert!(outcome("RE[B+900]", "", "B[];W[]").score(Color::Black).is_none());
    }

    #[test]
    fn areas_are_told_when_the_count_agrees() {
        let border = "AB[ca][cb][cc][cd][ce]";
        for (root, what) in [("KM[7.5]RU[Chinese]RE[W+2.5]", "area"), ("KM[6.5]RU[Japanese]RE[W+6.5]", "territory")] {
            let o = outcome(&format!("{root}{border}"), "", "B[];W[]");
            let [black, white] = o.ownership(Color::Black).unwrap_or_else(|| panic!("{what}"));
            assert_eq!(cells(black), [0, 1, 2, 5, 6, 7, 10, 11, 12, 15, 16, 17, 20, 21, 22], "{what}");
            assert_eq!(cells(white), [3, 4, 8, 9, 13, 14, 18, 19, 23, 24], "{what}");
            assert_eq!(o.ownership(Color::White).unwrap()[0], white, "{what}");
        }
        let o = outcome("KM[7.5]RU[Chinese]RE[W+7.5]", "", "B[];W[]");
        assert_eq!(cells(o.ownership(Color::Black).unwrap()[0]), [0, 1, 5, 6, 10, 11, 15, 16, 20, 21], "shared points");
        assert!(outcome("KM[7.5]RU[Chinese]RE[W+6.5]", "", "B[];W[]").ownership(Color::Black).is_none(), "another count");
        assert!(outcome("KM[7.5]RU[Chinese]RE[W+7.5]", "", "B[ca];W[]").ownership(Color::Black).is_none(), "one pass");
    }

    #[test]
    fn dead_stones_are_judged_by_the_recorded_count() {
        let count = |re: &str| outcome(&format!("KM[6.5]RU[Japanese]RE[{re}]"), "[ea]", "B[];W[]");
        // Dead: White has five points and the stone, Black five points.
        let planes = count("W+7.5").ownership(Color::White).map(|[own, _]| cells(own));
        assert_eq!(planes, Some(vec![3, 4, 8, 9, 13, 14, 18, 19, 23, 24]));
        assert!(count("W+3.5").ownership(Color::White).is_none());
    }

    #[test]
    fn dead_stones_in_safe_areas_are_taken_off() {
        // A white stone splits the edge into two eyes; the black one in an eye is dead.
        let o = outcome("KM[7.5]RU[Chinese]RE[W+7.5]AW[ec]", "[ee]", "B[];W[]");
        assert_eq!(o.ownership(Color::White).map(|[own, _]| cells(own)), Some(vec![3, 4, 8, 9, 13, 14, 18, 19, 23, 24]));
    }
}
