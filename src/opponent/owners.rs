//! Who owns each point after each of the moves that a search reports, asked beside the search.

use super::judge::Judge;
use crate::base::Result;
use crate::base::symmetry::Symmetry;
use crate::go::{Color, Game, Move};
use crate::search::Report;

/// A way to the net of its own. What was asked is kept: the net says the same of a position every time.
pub(super) struct Owners {
    judge: Judge,
    game: Game,
    known: Vec<(Move, Vec<f32>)>,
}

impl Owners {
    /// For reports on the present position of `game`.
    pub(super) fn new(judge: Judge, game: Game) -> Owners {
        Owners { judge, game, known: Vec::new() }
    }

    /// For each of the report's moves, at most `n_max`, who owns the points after it: `[moves][len * len]`, 1: White's.
    pub(super) fn after(&mut self, report: &Report, n_max: usize) -> Result<Vec<Vec<f32>>> {
        report.moves.iter().take(n_max).map(|m| self.after_move(report.to_move, m.mv)).collect()
    }

    fn after_move(&mut self, color: Color, mv: Move) -> Result<Vec<f32>> {
        if let Some((_, owner)) = self.known.iter().find(|(known, _)| *known == mv) {
            return Ok(owner.clone());
        }
        let mut after = self.game.clone();
        after.play_tolerant(color, mv).expect("searched, so it can be played");
        let (output, _) = self.judge.raw(&after, Symmetry::IDENTITY)?;
        let sign = if after.to_move() == Color::White { 1.0 } else { -1.0 };
        let owner: Vec<f32> = output.ownership.iter().map(|o| sign * o).collect();
        self.known.push((mv, owner.clone()));
        Ok(owner)
    }
}
