//! A game record becomes training positions.

use super::outcome::{GameOutcome, outcome_of};
use super::rules::{komi_of, rules_of};
use crate::base::limits::GAME_MOVES_MAX;
use crate::base::symmetry::Symmetry;
use crate::compute::packed::PackedRow;
use crate::feature::Encoder;
use crate::go::{Color, Game, Move, Point, Size};
use crate::sgf::{GameRecord, Step};
use crate::shard::{Ending, GameHash, Target, append_record, set_ending};
use sha2::{Digest, Sha256};

/// The positions of one game, ready for a shard.
pub(super) struct GamePositions {
    pub size: Size,
    pub hash: GameHash,
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
    /// Fewest moves of a game worth learning from; at least one.
    min_moves: usize,
}

impl Replayer {
    pub(super) fn new(min_moves: usize) -> Replayer {
        Replayer { encoder: Encoder::default(), min_moves: min_moves.max(1) }
    }

    /// All positions of the record, or why there are none: an illegal move costs the whole game.
    pub(super) fn positions(&mut self, record: &GameRecord) -> Result<GamePositions, Unfit> {
        let n_moves = record.n_moves();
        if n_moves < self.min_moves {
            return Err(unfit(record, "too few moves", format!("{n_moves} moves, at least {} wanted", self.min_moves)));
        }
        if n_moves > GAME_MOVES_MAX {
            return Err(unfit(record, "too many moves", format!("{n_moves} moves, at most {GAME_MOVES_MAX}")));
        }
        let rules = rules_of(record);
        let mut game = Game::new(record.size, rules, komi_of(record, &rules));
        let mut records = self.encode(record, &mut game, n_moves)?;
        let outcome = outcome_of(record, &game);
        let endings = [Color::Black, Color::White].map(|color| Ending {
            value: outcome.value(color),
            score: outcome.score(color),
            ownership: outcome.ownership(color),
        });
        set_ending(&mut records, record.size.len_max(), endings);
        Ok(GamePositions { size: record.size, hash: hash_of(record), records, n_positions: n_moves as u64, outcome })
    }

    /// Plays the record on `game`; gives its positions without the ending, which is known only after them.
    fn encode(&mut self, record: &GameRecord, game: &mut Game, n_moves: usize) -> Result<Vec<u8>, Unfit> {
        let len = record.size.len_max();
        let mut row = PackedRow::new(len);
        let mut records = Vec::with_capacity(n_moves * crate::shard::layout::stride(len));
        walk(record, game, |game, ply, mv, reply| {
            self.encoder.encode(game, &mut row);
            let target = Target {
                ply: ply as u16,
                plies_left: (n_moves - ply) as u16,
                to_move: game.to_move(),
                policy: mv.policy_index(len) as u16,
                reply: reply.map(|mv| mv.policy_index(len) as u16),
                value: None,
                score: None,
                ownership: None,
                weight: 1.0,
            };
            append_record(&mut records, row.bytes(), len, &target);
        })?;
        Ok(records)
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
                    return Err(unfit(record, "set-up without liberty", reason));
                }
            }
            Step::ToMove(color) => game.set_to_move(color),
            Step::Move { color, mv, line, column } => {
                game.set_to_move(color);
                visit(game, ply, mv, next_move(&record.steps[i + 1..]));
                // A game may repeat a position that superko forbids: servers let it pass, and so did the players.
                if let Err(illegal) = game.play_record(color, mv) {
                    let reason = format!("move {}: {} {}: {illegal}", ply + 1, color.letter(), mv.gtp(record.size));
                    return Err(Unfit { kind: format!("illegal move: {illegal}"), reason, line, column });
                }
                ply += 1;
            }
        }
    }
    Ok(())
}

/// The next move, if no set-up comes between.
fn next_move(steps: &[Step]) -> Option<Move> {
    match steps.first() {
        Some(&Step::Move { mv, .. }) => Some(mv),
        _ => None,
    }
}

fn unfit(record: &GameRecord, kind: &str, reason: String) -> Unfit {
    Unfit { kind: kind.to_string(), reason, line: record.line, column: record.column }
}

/// The least of the hashes of the eight turned and mirrored copies of the record's set-up and moves.
pub(super) fn hash_of(record: &GameRecord) -> GameHash {
    let hashes = Symmetry::all().map(|symmetry| {
        let size = (record.size.w(), record.size.h());
        let (w, h) = symmetry.moved_size(size);
        let mut bytes = vec![w as u8, h as u8];
        for step in &record.steps {
            let (what, point) = step_bytes(step);
            bytes.push(what);
            bytes.extend(point.map_or([0xff; 2], |p| {
                let (x, y) = symmetry.apply((p.x(), p.y()), size);
                [x as u8, y as u8]
            }));
        }
        let mut hash = [0; 16];
        hash.copy_from_slice(&Sha256::digest(&bytes)[..16]);
        GameHash(hash)
    });
    hashes.min().expect("eight symmetries")
}

fn step_bytes(step: &Step) -> (u8, Option<Point>) {
    let color = |c: Option<Color>| c.map_or(2, |c| c.index() as u8);
    match *step {
        Step::Setup { point, stone } => (color(stone), Some(point)),
        Step::ToMove(to_move) => (4 + color(Some(to_move)), None),
        Step::Move { color: mover, mv, .. } => (8 + color(Some(mover)), mv.point()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sgf;

    fn record(text: &str) -> GameRecord {
        sgf::games(text.as_bytes()).next().unwrap().unwrap()
    }

    fn positions(text: &str) -> Result<GamePositions, Unfit> {
        Replayer::new(1).positions(&record(text))
    }

    #[test]
    fn illegal_and_empty_games_are_refused_whole() {
        let cases = [
            ("(;SZ[5];B[aa];W[aa])", "illegal move: occupied point", "move 2: W A5: occupied point", (1, 16)),
            ("(;SZ[5]AB[ab][ba];W[aa])", "illegal move: suicide", "move 1: W A5: suicide", (1, 20)),
            ("(;SZ[5])", "too few moves", "0 moves, at least 1 wanted", (1, 1)),
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

    #[test]
    fn turned_and_mirrored_copies_have_one_hash() {
        let a = hash_of(&record("(;SZ[9];B[ba];W[cc];B[])"));
        for same in ["(;SZ[9]C[x];B[ab];W[cc];B[tt])", "(;SZ[9];B[ha];W[gc];B[])", "(;SZ[9];B[ih];W[gg];B[])"] {
            assert_eq!(hash_of(&record(same)), a, "{same}");
        }
        for other in ["(;SZ[9];B[ba];W[cc])", "(;SZ[9];B[ba];W[cd];B[])", "(;SZ[8];B[ba];W[cc];B[])", "(;SZ[9];W[ba];W[cc];B[])"]
        {
            assert_ne!(hash_of(&record(other)), a, "{other}");
        }
        assert_eq!(hash_of(&record("(;SZ[5:7];B[ba])")), hash_of(&record("(;SZ[7:5];B[ab])")));
    }
}
