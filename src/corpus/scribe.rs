//! The writer's side: duplicates, shards, ledger and counts, in the order of reading.

use super::config::Duplicates;
use super::known::Known;
use super::ledger::{LedgerLine, Verdict};
use super::part::{Kind, Numbering, PartLine};
use super::replay::GamePositions;
use super::tally::Tally;
use super::worker::{Judged, Replayed, Unusable};
use crate::base::Result;
use crate::base::fs::WholeFile;
use crate::go::Color;
use crate::shard::{Completeness, DatasetWriter, GameHash, Group, GroupEntry, Refusal, Report};

/// Where a run's games and lines go.
pub(super) enum Output<'a> {
    /// Shards, and each group's part of the ledger.
    Shards(&'a mut DatasetWriter),
    /// Nothing but the ledger, if it is asked for.
    Account(Numbering, Option<&'a mut WholeFile>),
}

/// What became of one game or file.
pub(super) enum Fate {
    Judged(Judged),
    BadGame(&'static str, Refusal),
    BadFile(&'static str, Refusal),
}

impl Fate {
    /// Memory that it takes, about.
    pub(super) fn bytes(&self) -> usize {
        let positions = match self {
            Fate::Judged(Judged::Replayed(_, _, Ok(replayed))) => replayed.game.records.len(),
            _ => 0,
        };
        positions + LINE_BYTES
    }
}

/// Memory of a ledger line on its way.
const LINE_BYTES: usize = 1 << 10;

/// Writes what the workers made.
pub(super) struct Scribe<'a> {
    output: Output<'a>,
    known: &'a Known,
    group_idx: u32,
    /// Identities for which an earlier group made a difference in this one, and others for which none did.
    dropped: Vec<GameHash>,
    passed: Vec<GameHash>,
    part: PartLine,
    pub tally: Tally,
}

impl<'a> Scribe<'a> {
    pub(super) fn new(output: Output<'a>, known: &'a Known) -> Scribe<'a> {
        let (dropped, passed) = (Vec::new(), Vec::new());
        Scribe { output, known, group_idx: 0, dropped, passed, part: PartLine::default(), tally: Tally::default() }
    }

    /// What follows is of this group.
    pub(super) fn begin_group(&mut self, group_idx: usize) {
        self.group_idx = group_idx as u32;
    }

    /// What follows goes to new shard files.
    pub(super) fn cut(&mut self) -> Result<()> {
        match &mut self.output {
            Output::Shards(writer) => writer.cut(),
            Output::Account(..) => Ok(()),
        }
    }

    /// The group is complete. Without shards there is nothing to complete: the counts go on.
    pub(super) fn end_group(&mut self, key: String, completeness: Completeness) -> Result<Option<GroupEntry>> {
        let Output::Shards(writer) = &mut self.output else { return Ok(None) };
        let report = std::mem::take(&mut self.tally).report;
        let (dropped, passed) = (texts(&mut self.dropped), texts(&mut self.passed));
        writer.end_group(Group { key, completeness, report, dropped, passed, ..Group::default() }).map(Some)
    }

    /// The report of a run that makes no shards.
    pub(super) fn into_report(self) -> Report {
        let mut report = self.tally.report;
        if let Output::Account(numbering, _) = self.output {
            report.games_duplicate += numbering.n_duplicate;
            report.games_shared_opening += numbering.n_shared_opening;
        }
        report
    }

    /// Writes one game, or why there is none.
    pub(super) fn write(&mut self, fate: Fate) -> Result<()> {
        match fate {
            Fate::Judged(Judged::Replayed(line, before, replayed)) => self.replayed(*line, before.game, replayed),
            Fate::Judged(Judged::Twin(line, identity)) => self.twin(*line, identity.game),
            Fate::Judged(Judged::Filtered(line)) => {
                self.tally.filter(line.reason.as_deref().unwrap_or_default());
                self.line(Kind::Other, &line)
            }
            Fate::Judged(Judged::Refused(line, unusable)) => self.left_out(*line, unusable),
            Fate::BadGame(kind, refusal) => {
                let line = unread(kind, &refusal, u32::try_from(refusal.game).ok());
                self.tally.refuse_game(kind.to_string(), refusal);
                self.line(Kind::Other, &line)
            }
            Fate::BadFile(kind, refusal) => {
                let line = unread(kind, &refusal, None);
                self.tally.refuse_file(kind, refusal);
                self.line(Kind::Other, &line)
            }
        }
    }

    fn replayed(&mut self, line: LedgerLine, before: GameHash, replayed: std::result::Result<Replayed, Unusable>) -> Result<()> {
        // As a worker that looked later would have said, so that the account does not depend on when it looked.
        if self.known.group(before).is_some() {
            return self.twin(line, before);
        }
        match replayed {
            Ok(replayed) => {
                if replayed.identity.game != before {
                    self.pass(before);
                }
                self.game(line, replayed)
            }
            Err(unusable) => {
                self.pass(before);
                self.left_out(line, unusable)
            }
        }
    }

    /// No game before had this identity, and that made a difference.
    fn pass(&mut self, hash: GameHash) {
        if self.known.duplicates == Duplicates::Drop {
            self.passed.push(hash);
        }
    }

    fn game(&mut self, mut line: LedgerLine, replayed: Replayed) -> Result<()> {
        let Replayed { repairs, n_moves, identity, draw, mut game } = replayed;
        line.set_repairs(repairs);
        line.set_hash(identity.game);
        line.moves = n_moves as u32;
        if self.known.group(identity.game).is_some() {
            return self.twin(line, identity.game);
        }
        self.known.note(identity.game, self.group_idx);
        line.verdict = Some(Verdict::Accepted);
        line.positions = known_positions(&game);
        if let Output::Shards(writer) = &mut self.output {
            writer.push_line(game.size, identity.game, draw, &mut game.records)?;
        }
        self.tally.accept(&game, repairs);
        self.line(Kind::Accepted(identity), &line)
    }

    fn left_out(&mut self, line: LedgerLine, unusable: Unusable) -> Result<()> {
        let line = line.left_out(unusable.verdict, &unusable.kind, &unusable.refusal.reason);
        match unusable.verdict {
            Verdict::Filtered => self.tally.filter(&unusable.kind),
            _ => self.tally.refuse_game(unusable.kind, unusable.refusal),
        }
        self.line(Kind::Other, &line)
    }

    fn twin(&mut self, mut line: LedgerLine, hash: GameHash) -> Result<()> {
        if self.known.group(hash).is_some_and(|group_idx| group_idx < self.group_idx) {
            self.dropped.push(hash);
        }
        line.verdict = Some(Verdict::Duplicate);
        self.tally.drop_duplicate();
        self.line(Kind::Twin(hash), &line)
    }

    fn line(&mut self, kind: Kind, line: &LedgerLine) -> Result<()> {
        match &mut self.output {
            Output::Shards(writer) => {
                self.part.set(kind, line)?;
                writer.push_part(self.part.bytes())
            }
            Output::Account(numbering, ledger) => {
                self.part.set(kind, line)?;
                let text = numbering.number(&self.part)?;
                ledger.as_mut().map_or(Ok(()), |ledger| ledger.write(text))
            }
        }
    }
}

/// Each once, sorted, in hexadecimal digits.
fn texts(hashes: &mut Vec<GameHash>) -> Vec<String> {
    hashes.sort_unstable_by_key(|hash| hash.0);
    hashes.dedup();
    hashes.drain(..).map(|hash| hash.to_string()).collect()
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
