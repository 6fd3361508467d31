//! Strengths below the best: moves that the net finds likely, drawn more freely the weaker the level. A net that learnt from
//! people errs as they do; moves far less likely than its first thought are never drawn.
//!
//! `scripts/calibrate_levels.py` has the levels play each other. With b6c96 on 9x9 (40 to 60 games each, 95 % intervals): 5k
//! against 10k 85 % (75 to 92), 1d against 5k 90 % (80 to 95), 5d against 1d 85 % (75 to 92), 9d against 5d 75 % (59 to 86). The
//! same net at 30 visits would have resigned 72 of 240 games by the profile's threshold, and won none of those it played on.

use crate::base::{Error, Result};

/// Share of the likeliest move's weight below which a move is not drawn.
const WEIGHT_SHARE_MIN: f32 = 0.02;

/// A strength, 20 kyu to 9 dan. The steps are in order; where they stand among people depends on the net.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level(u8);

/// Steps from 20 kyu up to 1 kyu.
const KYU: u8 = 20;
const DAN: u8 = 9;
/// Up to this step, 10 kyu, a move is the net's first thought.
const FIRST_THOUGHT: u8 = 10;

impl Level {
    /// Reads `20k` to `1k`, `1d` to `9d`.
    pub fn parse(text: &str) -> Result<Level> {
        let wrong = || Error::call("--level", format!("'{text}', expected 20k to 1k or 1d to 9d"));
        let (number, kind) = text.char_indices().last().map(|(at, _)| text.split_at(at)).ok_or_else(wrong)?;
        let n: u8 = number.parse().map_err(|_| wrong())?;
        match kind {
            "k" | "K" if (1..=KYU).contains(&n) => Ok(Level(KYU - n)),
            "d" | "D" if (1..=DAN).contains(&n) => Ok(Level(KYU + n - 1)),
            _ => Err(wrong()),
        }
    }

    /// Visits of a move, at the most `best`.
    pub(super) fn visits(self, best: u32) -> u32 {
        // Up to 10 kyu the first thought, then twice as many from each second level on.
        let doublings = u32::from(self.0.saturating_sub(FIRST_THOUGHT)) / 2;
        (1u32 << doublings).min(best)
    }

    /// The temperature of the draw: 3 for 20 kyu, 1 for 10 kyu, where the draw is the policy, and 0 for the highest.
    pub(super) fn temperature(self) -> f32 {
        let (step, first_thought) = (f32::from(self.0), f32::from(FIRST_THOUGHT));
        match self.0 {
            ..FIRST_THOUGHT => 3f32.powf(1.0 - step / first_thought),
            _ => 1.0 - (step - first_thought) / (f32::from(KYU + DAN - 1) - first_thought),
        }
    }

    /// Keeps of the weights what this level may play, as weights of the draw.
    pub(super) fn soften(self, weights: &mut [f32]) {
        let best = weights.iter().fold(0.0f32, |best, &w| best.max(w));
        let temperature = self.temperature();
        for w in weights.iter_mut() {
            *w = match *w {
                w if w < WEIGHT_SHARE_MIN * best || w <= 0.0 => 0.0,
                w if temperature > 0.0 => (w / best).powf(1.0 / temperature),
                w if w == best => 1.0,
                _ => 0.0,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_in_order() {
        let all: Vec<Level> = (1..=20)
            .rev()
            .map(|n| format!("{n}k"))
            .chain((1..=9).map(|n| format!("{n}d")))
            .map(|t| Level::parse(&t).unwrap())
            .collect();
        assert!(all.windows(2).all(|w| w[0].visits(1000) <= w[1].visits(1000) && w[0].temperature() > w[1].temperature()));
        assert_eq!((all[0].visits(1000), all[28].visits(1000), all[28].temperature()), (1, 512, 0.0));
        for bad in ["", "k", "21k", "0d", "10d", "5p", "é", "-1k"] {
            assert_eq!(Level::parse(bad).unwrap_err().exit_code(), 2, "{bad}");
        }
        let mut weights = [0.5, 0.3, 0.001, 0.0];
        all[0].soften(&mut weights);
        assert!(weights[0] == 1.0 && weights[1] > 0.8 && weights[2] == 0.0);
        let mut weights = [0.5, 0.3, 0.001, 0.0];
        all[28].soften(&mut weights);
        assert_eq!(weights, [1.0, 0.0, 0.0, 0.0]);
    }
}
