//! A game record becomes training positions.

use super::config::{ConvertConfig, Weight};
use super::outcome::{GameOutcome, outcome_of};
use super::policy::{Ruled, Trust};
use super::repair::{IllegalPolicy, Repair, SuperkoPolicy};
use crate::base::limits::GAME_MOVES_MAX;
use crate::compute::packed::PackedRow;
use crate::feature::Encoder;
use crate::go::{Color, Game, Illegal, Move, Size};
use crate::sgf::{GameRecord, Step};
use crate::shard::layout::stride;
use crate::shard::{Ending, Target, append_record, set_ending};
use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};

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
    /// Positions of the game being replayed.
    seen: HashSet<u64, BuildHasherDefault<Scattered>>,
}

impl Replayer {
    pub(super) fn new(config: &ConvertConfig) -> Replayer {
        Replayer {
            encoder: Encoder::default(),
            superko: config.repair.superko,
            illegal: config.repair.illegal,
            weight: config.weight,
            seen: HashSet::default(),
        }
    }

    /// All positions of the record. What the policy cuts is taken from it and noted in `ruled`.
    ///
    /// # Errors
    /// An illegal move or a repetition, where the policy refuses it; a set-up that no game can have.
    pub(super) fn positions(&mut self, record: &mut GameRecord, ruled: &mut Ruled) -> Result<GamePositions, Unfit> {
        let n_moves = record.n_moves();
        if n_moves > GAME_MOVES_MAX {
            return Err(Unfit::of(record, "too many moves", format!("{n_moves} moves, at most {GAME_MOVES_MAX}")));
        }
        let mut game = Game::new(record.size, ruled.rules, ruled.komi);
        let mut made = self.encode(record, &mut game, n_moves);
        if let Some(unfit) = made.fault {
            if self.illegal == IllegalPolicy::Refuse || !unfit.kind.starts_with(ILLEGAL_MOVE) {
                return Err(unfit);
            }
            // Once more without it: that is rare, and counts what is left right.
            cut(record, made.n_played, Repair::Illegal, ruled);
            return self.positions(record, ruled);
        }
        if let Some(number) = made.repeat {
            match self.superko {
                SuperkoPolicy::Keep => ruled.repairs.insert(Repair::Superko),
                SuperkoPolicy::Cut => {
                    cut(record, number - 1, Repair::Superko, ruled);
                    return self.positions(record, ruled);
                }
                SuperkoPolicy::Refuse => {
                    return Err(Unfit::of(record, "superko", format!("move {number} repeats a position")));
                }
            }
        }
        let outcome = outcome_of(record, &game, ruled.trust);
        let endings = [Color::Black, Color::White].map(|color| Ending {
            value: outcome.value(color),
            score: outcome.score(color),
            ownership: outcome.ownership(color),
        });
        set_ending(&mut made.records, record.size.len_max(), endings);
        let n_positions = n_moves.saturating_sub(record.n_shared) as u64;
        Ok(GamePositions { size: record.size, records: made.records, n_positions, outcome })
    }

    /// Plays the record on `game`; gives its positions without the ending, which is known only after them.
    fn encode(&mut self, record: &GameRecord, game: &mut Game, n_moves: usize) -> Made {
        let len = record.size.len_max();
        let mut row = PackedRow::new(len);
        let n_new = n_moves.saturating_sub(record.n_shared);
        let mut made = Made { records: Vec::with_capacity(n_new * stride(len)), n_played: 0, repeat: None, fault: None };
        let weight = weight_of(self.weight, record.size, n_moves);
        let (seen, encoder, mut after_play) = (&mut self.seen, &mut self.encoder, false);
        seen.clear();
        let walked = walk(record, game, |game, ply, mv, reply| {
            // A pass repeats the position, and means nothing by it.
            if !seen.insert(game.board().hash()) && after_play && made.repeat.is_none() {
                made.repeat = Some(ply);
            }
            after_play = mv != Move::Pass;
            made.n_played = ply;
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
            append_record(&mut made.records, row.bytes(), len, &target);
        });
        if walked.is_ok() && after_play && !seen.insert(game.board().hash()) && made.repeat.is_none() {
            made.repeat = Some(n_moves);
        }
        made.fault = walked.err();
        made
    }
}

/// What one replay gave.
struct Made {
    records: Vec<u8>,
    /// Moves played before the last one that was tried.
    n_played: usize,
    /// Number of the first move, from 1, that brought an earlier position back.
    repeat: Option<usize>,
    fault: Option<Unfit>,
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

/// Kind of every refusal for a move that no rules allow.
const ILLEGAL_MOVE: &str = "illegal move";

/// Board hashes are scattered already.
#[derive(Default)]
pub(super) struct Scattered(u64);

impl Hasher for Scattered {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.0 = self.0.rotate_left(8) ^ u64::from(byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// Plays the record on `game`; `visit` sees every position before its move is checked: ply from 0, the move, the one after.
fn walk<F>(record: &GameRecord, game: &mut Game, mut visit: F) -> Result<(), Unfit>
where
    F: FnMut(&Game, usize, Move, Option<Move>),
{
    let mut ply = 0;
    let mut steps = record.steps.iter().enumerate().peekable();
    while let Some((i, step)) = steps.next() {
        match *step {
            Step::Setup { point, stone } => {
                // One set-up for all stones that stand together: each would forget the history anew.
                let mut stones = vec![(point, stone)];
                while let Some((_, &Step::Setup { point, stone })) = steps.next_if(|(_, s)| matches!(s, Step::Setup { .. })) {
                    stones.push((point, stone));
                }
                game.set_stones(stones);
                if game.board().chain_without_liberty().is_some() {
                    let reason = format!("after move {ply}: the set-up leaves stones without a liberty");
                    return Err(Unfit::of(record, "set-up without liberty", reason));
                }
            }
            Step::ToMove(color) => game.set_to_move(color),
            Step::Move { color, mv, line, column } => {
                // Out of turn the board forgets the ko, but a record that retakes it then is still wrong.
                let ko = game.board().ko().filter(|_| color != game.to_move());
                game.set_to_move(color);
                visit(game, ply, mv, reply(color, &record.steps[i + 1..]));
                // A game may repeat a position that superko forbids: servers let it pass, and so did the players.
                let played = if ko.is_some() && ko == mv.point() { Err(Illegal::Ko) } else { game.play_record(color, mv) };
                if let Err(illegal) = played {
                    let reason = format!("move {}: {} {}: {illegal}", ply + 1, color.letter(), mv.gtp(record.size));
                    return Err(Unfit { kind: format!("{ILLEGAL_MOVE}: {illegal}"), reason, line, column });
                }
                ply += 1;
            }
        }
    }
    Ok(())
}

/// The other colour's next move, if no set-up comes between.
fn reply(color: Color, steps: &[Step]) -> Option<Move> {
    match steps.first() {
        Some(&Step::Move { color: next, mv, .. }) if next != color => Some(mv),
        _ => None,
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
