//! The writer's side: duplicates, shards, ledger and counts, in the order of reading.

use super::config::Duplicates;
use super::convert::Done;
use super::duplicate::{Identity, Seen};
use super::ledger::{LedgerLine, Verdict};
use super::replay::GamePositions;
use super::tally::Tally;
use super::worker::{Judged, Replayed, Unusable};
use crate::base::{Error, Result};
use crate::go::Color;
use crate::shard::{DatasetWriter, LEDGER_NAME, Refusal};

/// Writes what the workers made.
pub(super) struct Scribe<'a> {
    writer: &'a mut DatasetWriter,
    seen: &'a Seen,
    duplicates: Duplicates,
    /// Lines in the ledger so far.
    n_lines: u32,
    text: Vec<u8>,
    pub tally: Tally,
}

impl<'a> Scribe<'a> {
    pub(super) fn new(writer: &'a mut DatasetWriter, seen: &'a Seen, duplicates: Duplicates) -> Scribe<'a> {
        Scribe { writer, seen, duplicates, n_lines: 0, text: Vec::new(), tally: Tally::default() }
    }

    /// Writes one game, or why there is none.
    pub(super) fn write(&mut self, done: Done) -> Result<()> {
        match done {
            Done::Judged(Judged::Replayed(line, identity, replayed)) => self.replayed(*line, identity, replayed),
            Done::Judged(Judged::Twin(line, identity)) => {
                let twin = self.seen.line(identity.game);
                self.twin(*line, twin)
            }
            Done::Judged(Judged::Filtered(line)) => {
                self.tally.filter(line.reason.as_deref().unwrap_or_default());
                self.line(&line)
            }
            Done::Judged(Judged::Refused(line, unusable)) => self.left_out(*line, unusable),
            Done::BadGame(kind, refusal) => {
                let line = unread(kind, &refusal, u32::try_from(refusal.game).ok());
                self.tally.refuse_game(kind.to_string(), refusal);
                self.line(&line)
            }
            Done::BadFile(kind, refusal) => {
                let line = unread(kind, &refusal, None);
                self.tally.refuse_file(kind, refusal);
                self.line(&line)
            }
        }
    }

    fn replayed(&mut self, line: LedgerLine, before: Identity, replayed: std::result::Result<Replayed, Unusable>) -> Result<()> {
        // As a worker that looked later would have said, so that the account does not depend on when it looked.
        let twin = self.seen.line(before.game).filter(|_| self.duplicates == Duplicates::Drop);
        match replayed {
            _ if twin.is_some() => self.twin(line, twin),
            Ok(replayed) => self.game(line, replayed),
            Err(unusable) => self.left_out(line, unusable),
        }
    }

    fn game(&mut self, mut line: LedgerLine, replayed: Replayed) -> Result<()> {
        let Replayed { repairs, n_moves, identity, mut game } = replayed;
        line.set_repairs(repairs);
        line.set_hash(identity.game);
        line.moves = n_moves as u32;
        // This game's line is the next one.
        let number = self.n_lines.saturating_add(1);
        let twin = self.seen.note(identity.game, number);
        match (twin, self.duplicates) {
            (Some(_), Duplicates::Drop) => return self.twin(line, twin),
            (Some(_), Duplicates::Keep) => self.tally.report.games_duplicate += 1,
            (None, _) => {}
        }
        line.twin = twin;
        if twin.is_none()
            && let Some(opening) = identity.opening
        {
            line.opening = self.seen.note(opening, number);
            self.tally.report.games_shared_opening += u64::from(line.opening.is_some());
        }
        line.verdict = Some(Verdict::Accepted);
        line.positions = known_positions(&game);
        self.writer.push_game(game.size, identity.game, &mut game.records)?;
        self.tally.accept(&game, repairs);
        self.line(&line)
    }

    fn left_out(&mut self, line: LedgerLine, unusable: Unusable) -> Result<()> {
        let line = line.left_out(unusable.verdict, &unusable.kind, &unusable.refusal.reason);
        match unusable.verdict {
            Verdict::Filtered => self.tally.filter(&unusable.kind),
            _ => self.tally.refuse_game(unusable.kind, unusable.refusal),
        }
        self.line(&line)
    }

    fn twin(&mut self, mut line: LedgerLine, twin: Option<u32>) -> Result<()> {
        line.twin = twin;
        line.verdict = Some(Verdict::Duplicate);
        self.tally.drop_duplicate();
        self.line(&line)
    }

    fn line(&mut self, line: &LedgerLine) -> Result<()> {
        self.text.clear();
        serde_json::to_writer(&mut self.text, line).map_err(|e| Error::new(LEDGER_NAME, e))?;
        self.text.push(b'\n');
        self.n_lines = self.n_lines.checked_add(1).ok_or_else(|| Error::new(LEDGER_NAME, "more than 4294967295 games"))?;
        self.writer.push_ledger(&self.text)
    }
}

fn unread(kind: &str, refusal: &Refusal, game: Option<u32>) -> LedgerLine {
    LedgerLine::unread(refusal, game).left_out(Verdict::Refused, kind, &refusal.reason)
}

/// Positions in all, with a value, with a score and with areas.
fn known_positions(game: &GamePositions) -> [u32; 4] {
    let n = game.n_positions as u32;
    let known = |known: bool| if known { n } else { 0 };
    let outcome = &game.outcome;
    [
        n,
        known(outcome.value(Color::Black).is_some()),
        known(outcome.score(Color::Black).is_some()),
        known(outcome.ownership(Color::Black).is_some()),
    ]
}
