//! `manifest.json`: what a data set holds and what became of every record it was made from.

use super::group::{GROUP_PREFIX, GroupEntry};
use crate::base::lock::LOCK_NAME;
use crate::base::{Error, Result, fs};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Name of the manifest in a data set's folder.
pub const MANIFEST_NAME: &str = "manifest.json";
/// Name of the list of sources that a conversion keeps in the folder while it works.
pub const LISTING_NAME: &str = "listing";
/// How the names of other files begin that a conversion keeps in the folder while it works.
pub const SPOOL_PREFIX: &str = ".edgezero-";
/// Name of the ledger in a data set's folder: one JSON object a line for each game that was read.
pub const LEDGER_NAME: &str = "ledger.jsonl";
/// What the manifest says it is, so that a foreign file of that name is told apart.
const FORMAT: &str = "edgezero shards";
/// Version of the manifest and of the group files that this program writes and reads.
const VERSION: u32 = 2;
/// Refusals told one by one; all of them are counted.
pub const REFUSALS_MAX: usize = 1000;
/// Largest manifest, in bytes: a thousand refusals take about 200 KB, a shard file and its group up to 600 bytes.
const MANIFEST_BYTES_MAX: u64 = 256 << 20;
/// Bytes in which a manifest says what it is.
const HEAD_BYTES: u64 = 4 << 10;

/// The manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    format: String,
    version: u32,
    /// What the data set was made from.
    pub source: Source,
    /// What became of it.
    pub report: Report,
    /// Its groups, in the order of their sources.
    pub groups: Vec<GroupEntry>,
    /// Its shard files, shortest array first; those of one length in the order of their groups.
    pub shards: Vec<ShardEntry>,
    /// Its ledger, if it has one.
    #[serde(default)]
    pub ledger: Option<LedgerEntry>,
}

/// Length and checksum of a ledger, or of a group's part of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// Lines.
    pub lines: u64,
    /// File length.
    pub bytes: u64,
    /// CRC32C of the file.
    pub crc: u32,
}

/// Where the games came from, so that a changed folder is told apart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// SHA-256 over name, size and modification time of every file, and the converter's version.
    pub identity: String,
    /// Files of records and archives.
    pub n_files: u64,
    /// Files of other kinds beside them.
    pub n_others: u64,
    /// Bytes of the records and archives.
    pub bytes: u64,
}

/// Counts of a conversion.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Files read as records.
    pub files: u64,
    /// Files left alone, because their name is none of a record.
    pub files_skipped: u64,
    /// Files of which nothing could be read.
    pub files_refused: u64,
    /// Games found.
    pub games: u64,
    /// Games whose positions are in the shards.
    pub games_accepted: u64,
    /// Games (or whole files) refused.
    pub games_refused: u64,
    /// Sound games that were not wanted.
    #[serde(default)]
    pub games_filtered: u64,
    /// Games that were there before, turned, mirrored or under other names; written again or not, as asked for.
    #[serde(default)]
    pub games_duplicate: u64,
    /// Accepted games that share their opening with an earlier one.
    #[serde(default)]
    pub games_shared_opening: u64,
    /// Positions in the shards.
    pub positions: u64,
    /// Positions with a known value, score and ownership target.
    pub positions_value: u64,
    /// Positions with a known score target.
    pub positions_score: u64,
    /// Positions with a known ownership target.
    pub positions_ownership: u64,
    /// Refusals by kind.
    pub refused_by_reason: BTreeMap<String, u64>,
    /// Games not wanted, by the filter that said so.
    #[serde(default)]
    pub filtered_by_reason: BTreeMap<String, u64>,
    /// Accepted games by repair; one game may have several.
    #[serde(default)]
    pub repaired_by_kind: BTreeMap<String, u64>,
    /// Accepted games by how they ended.
    pub results: BTreeMap<String, u64>,
    /// Accepted games by board, as `19x19`.
    pub sizes: BTreeMap<String, SizeCount>,
    /// The first refusals one by one.
    pub refused: Vec<Refusal>,
}

impl Report {
    /// Adds the counts of another part of the same data set, which comes after this one.
    pub fn add(&mut self, other: Report) {
        self.files += other.files;
        self.files_skipped += other.files_skipped;
        self.files_refused += other.files_refused;
        self.games += other.games;
        self.games_accepted += other.games_accepted;
        self.games_refused += other.games_refused;
        self.games_filtered += other.games_filtered;
        self.games_duplicate += other.games_duplicate;
        self.games_shared_opening += other.games_shared_opening;
        self.positions += other.positions;
        self.positions_value += other.positions_value;
        self.positions_score += other.positions_score;
        self.positions_ownership += other.positions_ownership;
        for (counts, others) in [
            (&mut self.refused_by_reason, other.refused_by_reason),
            (&mut self.filtered_by_reason, other.filtered_by_reason),
            (&mut self.repaired_by_kind, other.repaired_by_kind),
            (&mut self.results, other.results),
        ] {
            for (what, n) in others {
                *counts.entry(what).or_default() += n;
            }
        }
        for (size, count) in other.sizes {
            let sum = self.sizes.entry(size).or_default();
            sum.games += count.games;
            sum.positions += count.positions;
        }
        let room = REFUSALS_MAX.saturating_sub(self.refused.len());
        self.refused.extend(other.refused.into_iter().take(room));
    }
}

/// Games and positions of one board size.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SizeCount {
    /// Games.
    pub games: u64,
    /// Positions.
    pub positions: u64,
}

/// A game that was left out, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Refusal {
    /// The file.
    pub file: String,
    /// Number of the game in it, from 0.
    pub game: u64,
    /// Line, from 1; 0 when the whole file is meant.
    pub line: u64,
    /// Column, from 1; 0 when the whole file is meant.
    pub column: u64,
    /// What was wrong.
    pub reason: String,
}

/// A shard file of a data set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardEntry {
    /// File name in the folder; it carries the checksum of the content.
    pub file: String,
    /// Side of the square array that holds the boards.
    pub len: usize,
    /// Games.
    pub games: u64,
    /// Positions.
    pub positions: u64,
    /// File length.
    pub bytes: u64,
    /// Checksum of the file's header, which holds those of the tables.
    pub header_crc: u32,
}

impl Manifest {
    /// The manifest of a new data set.
    pub(super) fn new(source: Source, report: Report, groups: Vec<GroupEntry>, shards: Vec<ShardEntry>) -> Manifest {
        Manifest { format: FORMAT.to_string(), version: VERSION, source, report, groups, shards, ledger: None }
    }

    /// The same shards without groups and ledger.
    pub(super) fn alone(&self) -> Manifest {
        Manifest { groups: Vec::new(), ledger: None, ..self.clone() }
    }

    /// The files in the folder that belong to the data set.
    pub(super) fn file_names(&self) -> impl Iterator<Item = &str> {
        let files = self.groups.iter().flat_map(|g| [&g.file, &g.ledger]).chain(self.shards.iter().map(|s| &s.file));
        let ledger = self.ledger.map(|_| LEDGER_NAME);
        files.map(String::as_str).chain(ledger).chain([MANIFEST_NAME])
    }

    /// Reads `dir/manifest.json`.
    ///
    /// # Errors
    /// No folder, no manifest (a half-written or a foreign folder), another format or version.
    pub fn read(dir: &Path) -> Result<Manifest> {
        let path = dir.join(MANIFEST_NAME);
        let hint = format!("edgezero convert GAMES --out {}", dir.display());
        if !path.exists() {
            return Err(Error::new(dir.display(), describe_absence(dir)).hint(hint));
        }
        let bytes = fs::read_limited(&path, MANIFEST_BYTES_MAX)?;
        // The version decides before the fields do: another version may have other fields.
        let head: Head = serde_json::from_slice(&bytes).map_err(|e| broken(&path, &e).hint(&hint))?;
        if head.format != FORMAT {
            let what = format!("format {:?}, expected {FORMAT:?}", head.format);
            return Err(Error::new(path.display(), what).hint(hint));
        }
        if head.version != VERSION {
            let what = format!("version {}, expected {VERSION}", head.version);
            return Err(Error::new(path.display(), what).hint(hint));
        }
        serde_json::from_slice(&bytes).map_err(|e| broken(&path, &e).hint(&hint))
    }

    /// Writes `dir/manifest.json`, whole or not at all.
    pub(super) fn write(&self, dir: &Path) -> Result<()> {
        let path = dir.join(MANIFEST_NAME);
        let mut text = serde_json::to_vec_pretty(self).map_err(|e| Error::new(path.display(), e))?;
        text.push(b'\n');
        if text.len() as u64 > MANIFEST_BYTES_MAX {
            let what =
                format!("{} groups and {} shard files are too many for one data set", self.groups.len(), self.shards.len());
            return Err(Error::new(path.display(), what).hint("a part of the records, in a folder of its own"));
        }
        fs::write_whole(&path, &text)
    }
}

#[derive(Deserialize)]
struct Head {
    format: String,
    version: u32,
}

fn broken(path: &Path, err: &serde_json::Error) -> Error {
    Error::new(format!("{}:{}:{}", path.display(), err.line(), err.column()), format!("not our manifest: {err}"))
}

/// Why there is no manifest: a folder that does not exist, was never finished, or is something else.
fn describe_absence(dir: &Path) -> &'static str {
    let Ok(mut entries) = std::fs::read_dir(dir) else {
        return "no such folder";
    };
    let ours = entries.any(|e| e.is_ok_and(|e| is_ours(&e.file_name().to_string_lossy())));
    if ours { "half-written shards: no manifest.json" } else { "no shards here: no manifest.json" }
}

/// Whether a file of this name in a data set's folder is the converter's.
pub(super) fn is_ours(name: &str) -> bool {
    let stem = name.strip_suffix(".part").unwrap_or(name);
    let shard = [".shard", ".new", ".games"].iter().any(|suffix| stem.ends_with(suffix)) && stem.starts_with("len");
    let group = stem.starts_with(GROUP_PREFIX) && [".json", ".ledger", ".new"].iter().any(|suffix| stem.ends_with(suffix));
    let ledger = stem.starts_with("ledger") && [".jsonl", ".new"].iter().any(|suffix| stem.ends_with(suffix));
    shard
        || group
        || ledger
        || stem == MANIFEST_NAME
        || [LOCK_NAME, LISTING_NAME].contains(&name)
        || name.starts_with(SPOOL_PREFIX)
}

/// Whether the folder's manifest calls itself ours, of whatever version and however damaged.
pub(super) fn says_ours(dir: &Path) -> bool {
    let mark = format!("\"{FORMAT}\"");
    let mut head = Vec::new();
    let read = File::open(dir.join(MANIFEST_NAME)).and_then(|file| file.take(HEAD_BYTES).read_to_end(&mut head));
    read.is_ok() && head.windows(mark.len()).any(|window| window == mark.as_bytes())
}
