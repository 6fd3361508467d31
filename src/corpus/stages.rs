//! The stages of intake one by one, as a benchmark needs them: what a worker does to a record before its planes.

use super::config::ConvertConfig;
use super::duplicate::{Identifier, Seen};
use super::filter::Filter;
use super::ledger::{LedgerLine, Verdict};
use super::policy::{Decision, Policy, Ruled};
use super::replay::Replayer;
use crate::sgf::GameRecord;
use crate::shard::GameHash;

/// One worker's tools.
pub struct Stages {
    policy: Policy,
    identifier: Identifier,
    replayer: Replayer,
}

/// What the policy says of a record.
pub struct Ruling(Ruled);

/// What makes a game known again.
#[derive(Clone, Copy)]
pub struct Identity(super::duplicate::Identity);

/// Games known so far.
#[derive(Default)]
pub struct Known(Seen);

impl Stages {
    /// Tools for a checked configuration.
    pub fn new(config: &ConvertConfig) -> Stages {
        Stages {
            policy: Policy { repair: config.repair.clone(), filter: Filter::new(&config.filter, config.min_moves) },
            identifier: Identifier::new(config.shared_moves),
            replayer: Replayer::new(config),
        }
    }

    /// Repairs and filters; `None` for what is not wanted.
    pub fn decide(&mut self, record: &mut GameRecord) -> Option<Ruling> {
        match self.policy.decide(record) {
            Decision::Play(ruled) => Some(Ruling(ruled)),
            Decision::Filtered(_) | Decision::Refused(_) => None,
        }
    }

    /// Identity under all symmetries, of the game and its opening.
    pub fn identify(&mut self, record: &GameRecord) -> Identity {
        Identity(self.identifier.of(record))
    }

    /// Plays the record with every rule checked; the moves left of it, `None` where it is refused.
    pub fn check(&mut self, record: &mut GameRecord, ruling: &mut Ruling) -> Option<usize> {
        self.replayer.check(record, &mut ruling.0).ok()
    }

    /// The line of the game in a file, by the line's number and without its line break; adds the game to what is known.
    pub fn account(
        &mut self,
        (file, line): (&str, u32),
        record: &GameRecord,
        ruling: &Ruling,
        identity: Identity,
        known: &Known,
        out: &mut Vec<u8>,
    ) {
        let mut told = LedgerLine::of(file, record);
        told.komi = Some(ruling.0.komi);
        told.set_repairs(ruling.0.repairs);
        told.set_hash(identity.0.game);
        told.twin = known.0.note(identity.0.game, line);
        told.opening = identity.0.opening.and_then(|opening: GameHash| known.0.note(opening, line));
        told.verdict = Some(if told.twin.is_some() { Verdict::Duplicate } else { Verdict::Accepted });
        let _ = serde_json::to_writer(out, &told);
    }
}
