//! Counting what becomes of every file and game.

use super::repair::Repairs;
use super::replay::GamePositions;
use crate::go::Color;
use crate::sgf::Reason;
use crate::shard::{REFUSALS_MAX, Refusal, Report, SizeCount};

/// Longest text of a file name or reason kept, in bytes.
const TEXT_BYTES_MAX: usize = 500;

/// A report in the making.
#[derive(Default)]
pub(super) struct Tally {
    pub report: Report,
}

impl Tally {
    pub(super) fn accept(&mut self, game: &GamePositions, repairs: Repairs) {
        let report = &mut self.report;
        for repair in repairs.iter() {
            *report.repaired_by_kind.entry(repair.name().to_string()).or_default() += 1;
        }
        report.games += 1;
        report.games_accepted += 1;
        report.positions += game.n_positions;
        let known = |known: bool| if known { game.n_positions } else { 0 };
        report.positions_value += known(game.outcome.value(Color::Black).is_some());
        report.positions_score += known(game.outcome.score(Color::Black).is_some());
        report.positions_ownership += known(game.outcome.ownership(Color::Black).is_some());
        *report.results.entry(game.outcome.label.to_string()).or_default() += 1;
        let size: &mut SizeCount = report.sizes.entry(game.size.to_string()).or_default();
        size.games += 1;
        size.positions += game.n_positions;
    }

    /// A sound game that is not wanted.
    pub(super) fn filter(&mut self, kind: &str) {
        self.report.games += 1;
        self.report.games_filtered += 1;
        *self.report.filtered_by_reason.entry(kind.to_string()).or_default() += 1;
    }

    /// A game that was there before and is not written again.
    pub(super) fn drop_duplicate(&mut self) {
        self.report.games += 1;
        self.report.games_duplicate += 1;
    }

    /// A game that was found and left out.
    pub(super) fn refuse_game(&mut self, kind: String, refusal: Refusal) {
        self.report.games += 1;
        self.refuse(kind, refusal);
    }

    /// A file or folder of which nothing could be read.
    pub(super) fn refuse_file(&mut self, kind: &str, refusal: Refusal) {
        self.report.files_refused += 1;
        self.refuse(kind.to_string(), refusal);
    }

    fn refuse(&mut self, kind: String, mut refusal: Refusal) {
        log::debug!("refused: {}:{}:{}: {}", refusal.file, refusal.line, refusal.column, refusal.reason);
        self.report.games_refused += 1;
        *self.report.refused_by_reason.entry(kind).or_default() += 1;
        if self.report.refused.len() < REFUSALS_MAX {
            shorten(&mut refusal.file);
            shorten(&mut refusal.reason);
            self.report.refused.push(refusal);
        }
    }
}

/// The refusal of a file or folder as a whole.
pub(super) fn file_refusal(file: String, reason: String) -> Refusal {
    Refusal { file, game: 0, line: 0, column: 0, reason }
}

/// The kind under which a parser's complaint is counted.
pub(super) fn kind_of(reason: &Reason) -> &'static str {
    match reason {
        Reason::EmptyFile => "empty file",
        Reason::NoGame(_) => "no game in the file",
        Reason::TooLarge => "file too large",
        Reason::TooManyNodes => "too many nodes",
        Reason::OtherGame(_) => "another game than Go",
        Reason::BoardSize(_) => "board size",
        Reason::TooManyMoves => "too many moves",
        Reason::TooManyLines => "too many variations",
        Reason::TooManyPoints => "too many points set up",
        Reason::BadSetup(_) => "bad point in the set-up",
        Reason::BadPoint(..) => "bad point",
        Reason::OffBoard(..) => "illegal move: point off the board",
        Reason::UnexpectedEnd
        | Reason::MissingBracket
        | Reason::NoNode
        | Reason::NodeAfterVariations
        | Reason::NoValue(_)
        | Reason::NoName
        | Reason::Junk(_) => "broken SGF",
    }
}

fn shorten(text: &mut String) {
    if text.len() > TEXT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
        text.push('…');
    }
}
