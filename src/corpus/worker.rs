//! One game from its record to what the writer gets: policy, replay, identity, positions.

use super::config::ConvertConfig;
use super::duplicate::{Identifier, Identity};
use super::filter;
use super::known::Known;
use super::ledger::{LedgerLine, Verdict};
use super::outcome::outcome_told;
use super::plan::Make;
use super::policy::{Decision, Policy, Ruled};
use super::repair::Repairs;
use super::replay::{GamePositions, Replayer, Unfit};
use crate::sgf::GameRecord;
use crate::shard::Refusal;

/// What became of a record, before the writer says whether it is a duplicate.
pub(super) enum Judged {
    /// Replayed: the line and the identity are those before the replay.
    Replayed(Box<LedgerLine>, Identity, Result<Replayed, Unusable>),
    /// Certainly there before: not replayed again.
    Twin(Box<LedgerLine>, Identity),
    /// Not wanted.
    Filtered(Box<LedgerLine>),
    /// Cannot be used.
    Refused(Box<LedgerLine>, Unusable),
}

/// A game ready to be written, if it was not there before.
pub(super) struct Replayed {
    pub repairs: Repairs,
    /// Moves after what the policy cut.
    pub n_moves: usize,
    /// Of the moves that are left.
    pub identity: Identity,
    /// As [`Line::draw`].
    pub draw: Option<u16>,
    pub game: GamePositions,
}

/// A record on its way to a worker.
pub(super) struct Line {
    pub record: GameRecord,
    /// What decides its game's side of the split, by the main line as it is in the file, where the game has other lines too.
    pub draw: Option<u16>,
}

/// Why a game is left out: the verdict, the kind to be counted, and the whole story.
pub(super) struct Unusable {
    pub verdict: Verdict,
    pub kind: String,
    pub refusal: Refusal,
}

/// Judges records; holds what is worth keeping from game to game.
pub(super) struct Worker<'a> {
    policy: Policy,
    replayer: Replayer,
    identifier: Identifier,
    min_moves: usize,
    make: Make,
    known: &'a Known,
}

impl<'a> Worker<'a> {
    pub(super) fn new(config: &ConvertConfig, make: Make, known: &'a Known) -> Worker<'a> {
        Worker {
            policy: Policy { repair: config.repair.clone(), filter: filter::Filter::new(&config.filter, config.min_moves) },
            replayer: Replayer::new(config),
            identifier: Identifier::new(config.shared_moves),
            min_moves: config.min_moves.max(1),
            make,
            known,
        }
    }

    /// Decides about one record.
    pub(super) fn judge(&mut self, file: &str, Line { mut record, draw }: Line) -> Judged {
        let decision = self.policy.decide(&mut record);
        let mut line = Box::new(LedgerLine::of(file, &record));
        let mut ruled = match decision {
            Decision::Play(ruled) => ruled,
            Decision::Filtered(unwanted) => {
                return Judged::Filtered(Box::new(line.left_out(Verdict::Filtered, unwanted.kind, &unwanted.detail)));
            }
            Decision::Refused(repair) => {
                let reason = format!("needs {repair}, which is set to refuse");
                return Judged::Refused(line, unusable(file, &record, Unfit::of(&record, &format!("needs {repair}"), reason)));
            }
        };
        line.komi = Some(ruled.komi);
        line.set_repairs(ruled.repairs);
        let identity = self.identifier.of(&record);
        line.set_hash(identity.game);
        if !self.policy.filter.samples(identity.game) {
            return Judged::Filtered(Box::new(line.left_out(Verdict::Filtered, "sample", "")));
        }
        // What the writer has noted came earlier; what it has not noted yet it will see itself.
        if self.known.group(identity.game).is_some() {
            return Judged::Twin(line, identity);
        }
        let replayed = self.replay(file, &mut record, &mut ruled, identity).map(|replayed| Replayed { draw, ..replayed });
        Judged::Replayed(line, identity, replayed)
    }

    fn replay(
        &mut self,
        file: &str,
        record: &mut GameRecord,
        ruled: &mut Ruled,
        identity: Identity,
    ) -> Result<Replayed, Unusable> {
        let n_written = record.n_moves();
        let game = match self.make {
            Make::Shards => self.replayer.positions(record, ruled),
            Make::Account => self.replayer.check(record, ruled).map(|n_moves| GamePositions {
                size: record.size,
                records: Vec::new(),
                n_positions: n_moves.saturating_sub(record.n_shared) as u64,
                outcome: outcome_told(record, ruled.komi, ruled.trust),
            }),
        };
        let game = game.map_err(|unfit| unusable(file, record, unfit))?;
        let n_moves = record.n_moves();
        if n_moves < self.min_moves.max(record.n_shared + 1) {
            let reason = format!("{n_moves} moves left of {n_written}");
            let short = Unfit::of(record, "too few moves", reason);
            return Err(Unusable { verdict: Verdict::Filtered, ..unusable(file, record, short) });
        }
        let identity = if n_moves == n_written { identity } else { self.identifier.of(record) };
        Ok(Replayed { repairs: ruled.repairs, n_moves, identity, draw: None, game })
    }
}

fn unusable(file: &str, record: &GameRecord, unfit: Unfit) -> Unusable {
    let refusal = Refusal {
        file: file.to_string(),
        game: record.game_idx.into(),
        line: unfit.line.into(),
        column: unfit.column.into(),
        reason: unfit.reason,
    };
    Unusable { verdict: Verdict::Refused, kind: unfit.kind, refusal }
}
