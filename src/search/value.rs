//! What a position is worth: an evaluation or a final score as the numbers that a tree sums up.

use super::maths::{atan, exp, softplus};
use crate::go::Color;
use crate::infer::{Evaluation, NoResult};
use std::f32::consts::FRAC_2_PI;

/// Points one unit of a score head stands for.
const SCORE_UNIT: f32 = 20.0;
/// Largest magnitude of the points of a network that is believed: garbage is not to poison the sums.
const POINTS_MAX: f32 = 1000.0;
/// Half of a score's utility is reached at this many points, times the root of the board's: KataGo's static scale.
const SCORE_SCALE: f32 = 2.0;
/// Nodes and weights of Gauss-Hermite quadrature with three points, for a standard normal distribution.
const NORMAL: [(f32, f32); 3] = [(-1.732_050_8, 1.0 / 6.0), (0.0, 2.0 / 3.0), (1.732_050_8, 1.0 / 6.0)];

/// A position's worth, in White's view.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Value {
    /// Chance to win, a game without result counting half.
    pub win: f32,
    /// Win minus loss, and a little for points: what the search maximises.
    pub utility: f32,
    /// Points ahead, as komi would even it out.
    pub lead: f32,
    /// Expected final score in points.
    pub score: f32,
    /// Mean square of the final score.
    pub score_square: f32,
}

/// How points count beside winning.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    /// Utility of very many points.
    pub(super) factor: f32,
    /// Root of the number of points of the board.
    pub(super) board: f32,
}

impl Scale {
    fn utility(&self, score: f32) -> f32 {
        self.factor * FRAC_2_PI * atan(score / (SCORE_SCALE * self.board))
    }
}

impl Value {
    /// From raw answers for `to_move`.
    pub(super) fn of(raw: &Evaluation, to_move: Color, no_result: NoResult, scale: Scale) -> Value {
        let logits = raw.value.map(|v| if v.is_finite() { v } else { 0.0 });
        let best = logits[0].max(logits[1]).max(logits[2]);
        let [win, loss, mut none] = logits.map(|v| exp(v - best));
        if no_result == NoResult::Impossible {
            none = 0.0;
        }
        let total = win + loss + none;
        let (win, loss, none) = (win / total, loss / total, none / total);
        let points = |x: f32| if x.is_finite() { (SCORE_UNIT * x).clamp(-POINTS_MAX, POINTS_MAX) } else { 0.0 };
        let (mean, stdev) = (points(raw.score[0]), points(softplus(raw.score[1].clamp(-80.0, 80.0))));
        let sign = if to_move == Color::White { 1.0 } else { -1.0 };
        let expected: f32 = NORMAL.iter().map(|(at, weight)| weight * scale.utility(mean + at * stdev)).sum();
        Value {
            win: if to_move == Color::White { win + 0.5 * none } else { loss + 0.5 * none },
            utility: sign * (win - loss + (1.0 - none) * expected),
            lead: sign * points(raw.score[2]) * (1.0 - none),
            score: sign * mean * (1.0 - none),
            score_square: (mean * mean + stdev * stdev) * (1.0 - none),
        }
    }

    /// Of a game that ended with this score for White.
    pub(super) fn of_score(white: f32, scale: Scale) -> Value {
        let sign = if white > 0.0 {
            1.0
        } else if white < 0.0 {
            -1.0
        } else {
            0.0
        };
        Value {
            win: 0.5 + 0.5 * sign,
            utility: sign + scale.utility(white),
            lead: white,
            score: white,
            score_square: white * white,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_whites() {
        let scale = Scale { factor: 0.1, board: 9.0 };
        let raw = Evaluation { value: [2.0, 0.0, -9.0], score: [0.5, -3.0, 0.4, 0.0, 0.0, 0.0], ..Evaluation::even(9) };
        let [black, white] = [Color::Black, Color::White].map(|c| Value::of(&raw, c, NoResult::Impossible, scale));
        assert!((white.win - 0.880_797).abs() < 1e-5 && (black.win + white.win - 1.0).abs() < 1e-6);
        assert_eq!((white.utility, white.lead, white.score), (-black.utility, -black.lead, -black.score));
        assert!((white.lead - 8.0).abs() < 1e-5 && white.utility > 0.7615 && white.utility < 0.8615);
        let lost = Value::of_score(-3.5, scale);
        assert!(lost.win == 0.0 && lost.utility < -1.0 && lost.utility > -1.1);
        assert_eq!(Value::of_score(0.0, scale).win, 0.5);
        let broken = Evaluation { value: [f32::NAN; 3], score: [f32::NAN; 6], ..Evaluation::even(9) };
        let value = Value::of(&broken, Color::White, NoResult::Possible, scale);
        assert!(value.win.is_finite() && value.utility.is_finite() && value.score_square.is_finite());
    }
}
