//! `ledger.jsonl`: one line for each game, in the order of reading, so that anybody can say what became of which record.

use super::filter::rank_of;
use super::repair::Repairs;
use crate::base::{Error, Result};
use crate::sgf::GameRecord;
use crate::shard::{CheckedFile, GameHash, Refusal, open_ledger};
use serde::{Deserialize, Serialize};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// What became of a game.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Its positions are in the shards.
    Accepted,
    /// It could not be used.
    Refused,
    /// It was there before and is not written again.
    Duplicate,
    /// It is sound, and not wanted.
    Filtered,
}

/// A line of the ledger. What a record does not say is left out of its line.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LedgerLine {
    /// The file.
    pub file: String,
    /// Number of the game in it, from 0; `None` where the whole file is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub game: Option<u32>,
    /// Number of the line among the game's variations; 0, the main line, is left out.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub variation: u32,
    /// Line in the file, from 1; 0 where the whole file is meant.
    pub line: u64,
    /// What became of it.
    pub verdict: Option<Verdict>,
    /// Why it is not in the shards: the kind that is counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The same with what was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Line of this ledger, from 1, of the first game with the same moves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub twin: Option<u32>,
    /// Line of this ledger, from 1, of the first game with the same opening.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opening: Option<u32>,
    /// Repairs, by their keys in the profile.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub repairs: Vec<String>,
    /// Identity of its moves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
    /// Moves after repair.
    #[serde(default)]
    pub moves: u32,
    /// Positions written, and how many of them know their value, score and areas.
    #[serde(default)]
    pub positions: [u32; 4],
    /// Board, as `19x19`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<String>,
    /// Komi in points after repair.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub komi: Option<f32>,
    /// Handicap stones after repair.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handicap: Option<u32>,
    /// Result in the standard form; `?` where it is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// Names of Black and White.
    #[serde(default, skip_serializing_if = "is_nobody")]
    pub players: [Option<String>; 2],
    /// Ranks of Black and White as written, or as their names have them in brackets.
    #[serde(default, skip_serializing_if = "is_nobody")]
    pub ranks: [Option<String>; 2],
    /// Date as written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<String>,
    /// Rules as written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<String>,
}

fn is_zero(n: &u32) -> bool {
    *n == 0
}

fn is_nobody(names: &[Option<String>; 2]) -> bool {
    *names == [None, None]
}

/// Longest text kept of a record's words, in bytes: a ledger of broken uploads stays a ledger.
const TEXT_BYTES_MAX: usize = 300;

impl LedgerLine {
    /// What a record says about its game; the verdict follows.
    pub(super) fn of(file: &str, record: &GameRecord) -> LedgerLine {
        let text = |text: &Option<String>| text.as_deref().map(short);
        LedgerLine {
            file: file.to_string(),
            game: Some(record.game_idx),
            variation: record.line_idx,
            line: record.line.into(),
            moves: record.n_moves() as u32,
            size: Some(record.size.to_string()),
            komi: record.komi,
            handicap: record.handicap,
            result: Some(record.result.text()),
            players: [text(&record.players[0]), text(&record.players[1])],
            ranks: [0, 1].map(|i| text(&record.ranks[i]).or_else(|| rank_of(record, i).map(|rank| rank.to_string()))),
            date: text(&record.date),
            rules: text(&record.rules),
            ..LedgerLine::default()
        }
    }

    /// A file or game of which no record could be made.
    pub(super) fn unread(refusal: &Refusal, game: Option<u32>) -> LedgerLine {
        LedgerLine { file: refusal.file.clone(), game, line: refusal.line, ..LedgerLine::default() }
    }

    /// Left out, and why.
    pub(super) fn left_out(mut self, verdict: Verdict, reason: &str, detail: &str) -> LedgerLine {
        self.verdict = Some(verdict);
        self.reason = Some(reason.to_string());
        self.detail = (!detail.is_empty()).then(|| short(detail));
        self
    }

    pub(super) fn set_repairs(&mut self, repairs: Repairs) {
        self.repairs = repairs.iter().map(|repair| repair.name().to_string()).collect();
    }

    pub(super) fn set_hash(&mut self, hash: GameHash) {
        self.hash = Some(hash.to_string());
    }
}

fn short(text: &str) -> String {
    if text.len() <= TEXT_BYTES_MAX {
        return text.to_string();
    }
    format!("{}…", &text[..text.floor_char_boundary(TEXT_BYTES_MAX)])
}

/// Longest line of a ledger, in bytes: names and texts are cut to much less.
const LINE_BYTES_MAX: u64 = 1 << 16;

/// Reads the ledger in the data set `dir`, line by line.
///
/// # Errors
/// No ledger there; for each line, one that is none of ours; after the last, a ledger that is not of these shards.
pub fn read(dir: &Path) -> Result<Lines> {
    let file = open_ledger(dir)?;
    let path = file.path().to_path_buf();
    Ok(Lines { path, file: BufReader::with_capacity(1 << 16, file), n_lines: 0, text: Vec::new() })
}

/// The lines of a ledger, in order.
pub struct Lines {
    path: PathBuf,
    file: BufReader<CheckedFile>,
    n_lines: u64,
    text: Vec<u8>,
}

impl Iterator for Lines {
    type Item = Result<LedgerLine>;

    fn next(&mut self) -> Option<Result<LedgerLine>> {
        self.text.clear();
        match (&mut self.file).take(LINE_BYTES_MAX).read_until(b'\n', &mut self.text) {
            Ok(0) => return None,
            Ok(_) => self.n_lines += 1,
            Err(e) => return Some(Err(Error::io(&self.path, &e))),
        }
        let place = || format!("{}:{}", self.path.display(), self.n_lines);
        Some(serde_json::from_slice(&self.text).map_err(|e| Error::new(place(), format!("not a line of our ledger: {e}"))))
    }
}
