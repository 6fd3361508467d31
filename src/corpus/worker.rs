//! One game from its record to what the writer gets: policy, replay, identity, positions.

use super::config::ConvertConfig;
use super::duplicate::{Identifier, Identity, Seen};
use super::ledger::{LedgerLine, Verdict};
use super::policy::{Decision, Policy};
use super::repair::Repairs;
use super::replay::{GamePositions, Replayer, Unfit};
use super::{Duplicates, filter};
use crate::go::Color;
use crate::sgf::GameRecord;
use crate::shard::Refusal;

/// What became of a record, before the writer says whether it is a duplicate.
pub(super) enum Judged {
    /// Ready to be written, if it was not there before.
    Game(Box<LedgerLine>, Repairs, Identity, GamePositions),
    /// Certainly there before: nothing was encoded.
    Twin(Box<LedgerLine>, Identity),
    /// Not wanted.
    Filtered(Box<LedgerLine>),
    /// Cannot be used.
    Refused(Box<LedgerLine>, Refusal),
}

/// Judges records; holds what is worth keeping from game to game.
pub(super) struct Worker<'a> {
    policy: Policy,
    replayer: Replayer,
    identifier: Identifier,
    duplicates: Duplicates,
    min_moves: usize,
    seen: &'a Seen,
}

impl<'a> Worker<'a> {
    pub(super) fn new(config: &ConvertConfig, seen: &'a Seen) -> Worker<'a> {
        Worker {
            policy: Policy { repair: config.repair.clone(), filter: filter::Filter::new(&config.filter, config.min_moves) },
            replayer: Replayer::new(config),
            identifier: Identifier::new(config.shared_moves),
            duplicates: config.duplicates,
            min_moves: config.min_moves.max(1),
            seen,
        }
    }

    /// Decides about one record.
    pub(super) fn judge(&mut self, file: &str, mut record: GameRecord) -> Judged {
        let decision = self.policy.decide(&mut record);
        let mut line = Box::new(LedgerLine::of(file, &record));
        let mut ruled = match decision {
            Decision::Play(ruled) => ruled,
            Decision::Filtered(unwanted) => {
                return Judged::Filtered(Box::new(line.left_out(Verdict::Filtered, unwanted.kind, &unwanted.detail)));
            }
            Decision::Refused(repair) => {
                let reason = format!("needs {repair}, which is set to refuse");
                return refused(*line, file, &record, Unfit::of(&record, &format!("needs {repair}"), reason));
            }
        };
        let n_written = record.n_moves();
        let end = match self.replayer.settle(&mut record, &mut ruled) {
            Ok(end) => end,
            Err(unfit) => return refused(*line, file, &record, unfit),
        };
        let n_moves = record.n_moves();
        line.moves = n_moves as u32;
        line.komi = Some(ruled.komi);
        line.set_repairs(ruled.repairs);
        if n_moves < self.min_moves.max(record.n_shared + 1) {
            let detail = format!("{n_moves} moves left of {n_written}");
            return Judged::Filtered(Box::new(line.left_out(Verdict::Filtered, "too few moves", &detail)));
        }
        let identity = self.identifier.of(&record);
        line.set_hash(identity.game);
        if !self.policy.filter.samples(identity.game) {
            return Judged::Filtered(Box::new(line.left_out(Verdict::Filtered, "sample", "")));
        }
        // What the writer has noted came earlier; what it has not noted yet it will see itself.
        if self.duplicates == Duplicates::Drop && self.seen.line(identity.game).is_some() {
            return Judged::Twin(line, identity);
        }
        match self.replayer.positions(&record, &ruled, &end) {
            Ok(game) => {
                let known = |known: bool| if known { game.n_positions as u32 } else { 0 };
                line.positions = [
                    game.n_positions as u32,
                    known(game.outcome.value(Color::Black).is_some()),
                    known(game.outcome.score(Color::Black).is_some()),
                    known(game.outcome.ownership(Color::Black).is_some()),
                ];
                Judged::Game(line, ruled.repairs, identity, game)
            }
            Err(unfit) => refused(*line, file, &record, unfit),
        }
    }
}

fn refused(line: LedgerLine, file: &str, record: &GameRecord, unfit: Unfit) -> Judged {
    let line = Box::new(line.left_out(Verdict::Refused, &unfit.kind, &unfit.reason));
    let refusal = Refusal {
        file: file.to_string(),
        game: record.game_idx.into(),
        line: unfit.line.into(),
        column: unfit.column.into(),
        reason: unfit.reason,
    };
    Judged::Refused(line, refusal)
}
