//! A game record becomes training positions.

use super::config::{ConvertConfig, Weight};
use super::outcome::{GameOutcome, outcome_of};
use super::policy::{Ruled, Trust};
use super::repair::{IllegalPolicy, Repair, SuperkoPolicy};
use super::walk::{ILLEGAL_MOVE, Referee, Walked, Walker};
use crate::base::limits::{BOARD_LEN_MAX, GAME_MOVES_MAX};
use crate::compute::packed::PackedRow;
use crate::feature::Encoder;
use crate::go::{Color, Game, Size};
use crate::sgf::{GameRecord, Step};
use crate::shard::layout::stride;
use crate::shard::{Ending, Target, append_record, set_ending};

/// The positions of one game, ready for a shard.
pub(super) struct GamePositions {
    pub size: Size,
    /// Records as [`append_record`] makes them.
    pub records: Vec<u8>,
    pub n_positions: u64,
    pub outcome: GameOutcome,
}

/// Why a game gave no positions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unfit {
    /// The kind, to be counted.
    pub kind: String,
    /// Where and what, to be read.
    pub reason: String,
    /// Place in the file, from 1.
    pub line: u32,
    /// Byte of the line, from 1.
    pub column: u32,
}

/// Turns records into positions; holds what is worth keeping from game to game.
pub(super) struct Replayer {
    encoder: Encoder,
    superko: SuperkoPolicy,
    illegal: IllegalPolicy,
    weight: Weight,
    walker: Walker,
    referee: Referee,
}

impl Replayer {
    pub(super) fn new(config: &ConvertConfig) -> Replayer {
        Replayer {
            encoder: Encoder::default(),
            superko: config.repair.superko,
            illegal: config.repair.illegal,
            weight: config.weight,
            walker: Walker::default(),
            referee: Referee::new(Size::square(BOARD_LEN_MAX).expect("the largest board")),
        }
    }

    /// All positions of the record. What the policy cuts is taken from it and noted in `ruled`.
    ///
    /// # Errors
    /// An illegal move or a repetition, where the policy refuses it; a set-up that no game can have.
    pub(super) fn positions(&mut self, record: &mut GameRecord, ruled: &mut Ruled) -> Result<GamePositions, Unfit> {
        self.limit(record)?;
        let (game, mut records) = loop {
            let mut game = Game::new(record.size, ruled.rules, ruled.komi);
            let (walked, records) = self.encode(record, &mut game);
            if self.settle(record, ruled, walked)? == Settled::Whole {
                break (game, records);
            }
        };
        let outcome = outcome_of(record, &game, ruled.trust);
        let endings = [Color::Black, Color::White].map(|color| Ending {
            value: outcome.value(color),
            score: outcome.score(color),
            ownership: outcome.ownership(color),
        });
        set_ending(&mut records, record.size.len_max(), endings);
        let n_positions = record.n_moves().saturating_sub(record.n_shared) as u64;
        Ok(GamePositions { size: record.size, records, n_positions, outcome })
    }

    /// Whether the record can be played, without its positions; the moves left of it. As in [`Replayer::positions`] what
    /// the policy cuts is taken from the record.
    ///
    /// # Errors
    /// The same.
    pub(super) fn check(&mut self, record: &mut GameRecord, ruled: &mut Ruled) -> Result<usize, Unfit> {
        self.limit(record)?;
        loop {
            self.referee.start(record.size, ruled.rules.suicide);
            let walked = self.walker.walk(record, &mut self.referee, |_, _, _, _| ());
            let n_moves = walked.n_played;
            if self.settle(record, ruled, walked)? == Settled::Whole {
                return Ok(n_moves);
            }
        }
    }

    fn limit(&self, record: &GameRecord) -> Result<(), Unfit> {
        let n_moves = record.n_moves();
        if n_moves > GAME_MOVES_MAX {
            return Err(Unfit::of(record, "too many moves", format!("{n_moves} moves, at most {GAME_MOVES_MAX}")));
        }
        Ok(())
    }

    /// Plays the record on `game`; gives its positions without the ending, which is known only after them.
    fn encode(&mut self, record: &GameRecord, game: &mut Game) -> (Walked, Vec<u8>) {
        let len = record.size.len_max();
        let mut row = PackedRow::new(len);
        let n_moves = record.n_moves();
        let mut records = Vec::with_capacity(n_moves.saturating_sub(record.n_shared) * stride(len));
        let weight = weight_of(self.weight, record.size, n_moves);
        let encoder = &mut self.encoder;
        let walked = self.walker.walk(record, game, |game, ply, mv, reply| {
            if ply < record.n_shared {
                return;
            }
            encoder.encode(game, &mut row);
            let target = Target {
                ply: ply as u16,
                plies_left: (n_moves - ply) as u16,
                to_move: game.to_move(),
                policy: mv.policy_index(len) as u16,
                reply: reply.map(|mv| mv.policy_index(len) as u16),
                value: None,
                score: None,
                ownership: None,
                weight,
            };
            append_record(&mut records, row.bytes(), len, &target);
        });
        (walked, records)
    }

    /// What the policy makes of a walk that met something: an error, or the record cut before it, to be walked once more. That is
    /// rare, and counts what is left right.
    fn settle(&self, record: &mut GameRecord, ruled: &mut Ruled, walked: Walked) -> Result<Settled, Unfit> {
        if let Some(unfit) = walked.fault {
            if self.illegal == IllegalPolicy::Refuse || !unfit.kind.starts_with(ILLEGAL_MOVE) {
                return Err(unfit);
            }
            cut(record, walked.n_played, Repair::Illegal, ruled);
            return Ok(Settled::Cut);
        }
        let Some(number) = walked.repeat else { return Ok(Settled::Whole) };
        match self.superko {
            SuperkoPolicy::Keep => {
                ruled.repairs.insert(Repair::Superko);
                Ok(Settled::Whole)
            }
            SuperkoPolicy::Cut => {
                cut(record, number - 1, Repair::Superko, ruled);
                Ok(Settled::Cut)
            }
            SuperkoPolicy::Refuse => Err(Unfit::of(record, "superko", format!("move {number} repeats a position"))),
        }
    }
}

/// Whether a record stands as it was walked.
#[derive(PartialEq)]
enum Settled {
    Whole,
    Cut,
}

/// Takes all moves after the first `n_moves` from the record: what came of them is not the outcome of this game.
fn cut(record: &mut GameRecord, n_moves: usize, repair: Repair, ruled: &mut Ruled) {
    let mut moves = record.steps.iter().enumerate().filter(|(_, step)| matches!(step, Step::Move { .. }));
    if let Some((step_idx, _)) = moves.nth(n_moves) {
        record.steps.truncate(step_idx);
    }
    ruled.repairs.insert(repair);
    ruled.trust = Trust::Never;
}

/// Moves of an ordinary game for each point of the board: about 200 on 19x19, 45 on 9x9.
const MOVES_A_POINT: f32 = 0.55;
/// A very short game shall not count for more than a few.
const WEIGHTS: std::ops::RangeInclusive<f32> = 0.25..=4.0;

fn weight_of(weight: Weight, size: Size, n_moves: usize) -> f32 {
    match weight {
        Weight::Position => 1.0,
        Weight::Game => (MOVES_A_POINT * size.n_points() as f32 / n_moves.max(1) as f32).clamp(*WEIGHTS.start(), *WEIGHTS.end()),
    }
}

impl Unfit {
    /// What concerns all of a game.
    pub(super) fn of(record: &GameRecord, kind: &str, reason: String) -> Unfit {
        Unfit { kind: kind.to_string(), reason, line: record.line, column: record.column }
    }
}

#[cfg(test)]
mod tests {
    use super::super::repair::Repairs;
    use super::*;
    use crate::go::Rules;
    use crate::sgf;

    fn record(text: &str) -> GameRecord {
        sgf::games(text.as_bytes()).next().unwrap().unwrap()
    }

    fn positions(text: &str) -> Result<GamePositions, Unfit> {
        let mut record = record(text);
        let mut ruled =
            Ruled { rules: Rules::JAPANESE, komi: record.komi.unwrap_or(6.5), trust: Trust::Full, repairs: Repairs::default() };
        Replayer::new(&ConvertConfig::default()).positions(&mut record, &mut ruled)
    }

    #[test]
    fn illegal_and_empty_games_are_refused_whole() {
        let cases = [
            ("(;SZ[5];B[aa];W[aa])", "illegal move: occupied point", "move 2: W A5: occupied point", (1, 16)),
            ("(;SZ[5]AB[ab][ba];W[aa])", "illegal move: suicide", "move 1: W A5: suicide", (1, 20)),
            ("(;SZ[5]AB[ba][ab]AW[aa];B[cc])", "set-up without liberty", "after move 0: the set-up leaves", (1, 1)),
        ];
        for (text, kind, reason, place) in cases {
            let unfit = positions(text).err().unwrap_or_else(|| panic!("{text}"));
            assert_eq!(unfit.kind, kind, "{text}");
            assert!(unfit.reason.starts_with(reason), "{text}: {}", unfit.reason);
            // The column of the move's value; the game's for what concerns all of it.
            assert_eq!(unfit.line, place.0, "{text}");
        }
        let ko = "(;SZ[5]AB[ba][ab][bc]AW[ca][db][cc][bb];B[cb];W[bb])";
        assert_eq!(positions(ko).err().unwrap().kind, "illegal move: retakes a ko at once");
    }

    #[test]
    fn every_move_gives_a_position() {
        let made = positions("(;SZ[5:7]KM[7]RE[W+R];B[aa];B[bb];W[];W[cc])").unwrap();
        assert_eq!((made.n_positions, made.records.len()), (4, 4 * crate::shard::layout::stride(7)));
        assert_eq!((made.size.w(), made.size.h()), (5, 7));
    }
}
