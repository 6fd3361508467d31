//! The writer's side: duplicates, shards, ledger and counts, in the order of reading.

use super::config::Duplicates;
use super::convert::Done;
use super::duplicate::{Identity, Seen};
use super::ledger::{LedgerLine, Verdict};
use super::repair::Repairs;
use super::replay::GamePositions;
use super::tally::Tally;
use super::worker::Judged;
use crate::base::{Error, Result};
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
            Done::Judged(Judged::Game(line, repairs, identity, game)) => self.game(*line, repairs, identity, game),
            Done::Judged(Judged::Twin(line, identity)) => {
                let twin = self.seen.line(identity.game);
                self.twin(*line, twin)
            }
            Done::Judged(Judged::Filtered(line)) => {
                self.tally.filter(line.reason.as_deref().unwrap_or_default());
                self.line(&line)
            }
            Done::Judged(Judged::Refused(line, refusal)) => {
                self.tally.refuse_game(line.reason.clone().unwrap_or_default(), refusal);
                self.line(&line)
            }
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

    fn game(&mut self, mut line: LedgerLine, repairs: Repairs, identity: Identity, mut game: GamePositions) -> Result<()> {
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
        self.writer.push_game(game.size, identity.game, &mut game.records)?;
        self.tally.accept(&game, repairs);
        self.line(&line)
    }

    fn twin(&mut self, mut line: LedgerLine, twin: Option<u32>) -> Result<()> {
        line.twin = twin;
        line.verdict = Some(Verdict::Duplicate);
        line.positions = [0; 4];
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
