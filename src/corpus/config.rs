//! The convert section of a profile.

use super::filter::FilterConfig;
use super::repair::RepairConfig;
use crate::base::config::{BadValue, within};
use serde::{Deserialize, Serialize};

/// What `edgezero convert` does where its flags do not say otherwise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConvertConfig {
    /// Threads that parse, replay and encode. The shards' bytes do not depend on it.
    pub workers: usize,
    /// Games in flight between reading and writing, per worker: bounds the memory of a run.
    pub queue_games: usize,
    /// Fewest moves of a game worth learning from.
    pub min_moves: usize,
    /// Which lines of a game with variations are read.
    pub variations: Variations,
    /// What becomes of a game that was there before, turned, mirrored or under other names.
    pub duplicates: Duplicates,
    /// Moves on 19x19 (fewer on smaller boards, by their side) after which two games that are still the same are
    /// reported as sharing an opening; 0 for no such report.
    pub shared_moves: usize,
    /// What each position counts in training.
    pub weight: Weight,
    /// What is mended, left or refused.
    pub repair: RepairConfig,
    /// Which games are wanted.
    pub filter: FilterConfig,
    /// How far archives are unpacked.
    pub archive: ArchiveConfig,
}

/// Which lines of a game with variations are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Variations {
    /// The main line.
    Main,
    /// Every line to its end. Positions that lines share are written once; the result is the main line's alone.
    All,
}

/// What becomes of a game that was there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Duplicates {
    /// Written as often as it comes.
    Keep,
    /// Written once.
    Drop,
}

/// What each position counts in training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Weight {
    /// Each position 1.
    Position,
    /// Each game the same in sum, as much as a game of usual length: long games count no more than short ones.
    Game,
}

/// Endings of the names of records: SGF, and MultiGo's name for it. Case does not matter.
pub const RECORD_SUFFIXES: [&str; 2] = [".sgf", ".mgt"];

/// How far archives are unpacked: what goes beyond is refused, so that no archive can fill memory or disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArchiveConfig {
    /// Archives inside each other, the outermost included. The compression of a tar does not count.
    pub depth_max: u32,
    /// Files and folders in one archive, those of the archives in it included.
    pub members_max: u64,
    /// Largest file of records in an archive, unpacked, in MiB.
    pub member_mb: u64,
    /// All that an archive unpacks to, in MiB.
    pub unpacked_mb: u64,
    /// How many times its packed size an archive or a member may unpack to, beyond the first MiB.
    pub ratio_max: u64,
    /// Memory that unpackers may take for what they look back at (dictionary, window), in MiB.
    pub window_mb: u64,
    /// Memory for unpacked records, in MiB; the rest of them waits in a temporary file beside the shards.
    pub spool_mb: u64,
}

impl Default for ArchiveConfig {
    /// What fits any machine; profiles have their own.
    fn default() -> ArchiveConfig {
        ArchiveConfig {
            depth_max: 2,
            members_max: 200_000,
            member_mb: 64,
            unpacked_mb: 8192,
            ratio_max: 250,
            window_mb: 128,
            spool_mb: 16,
        }
    }
}

impl ArchiveConfig {
    /// Refuses values that no run can use.
    pub fn check(&self) -> Result<(), BadValue> {
        within("depth_max", self.depth_max, 0..=8, "archives inside each other")?;
        within("members_max", self.members_max, 1..=100_000_000, "files")?;
        within("member_mb", self.member_mb, 1..=1024, "MiB")?;
        within("unpacked_mb", self.unpacked_mb, 1..=1 << 24, "MiB")?;
        within("ratio_max", self.ratio_max, 2..=100_000, "times the packed size")?;
        within("window_mb", self.window_mb, 1..=4096, "MiB")?;
        within("spool_mb", self.spool_mb, 0..=1 << 20, "MiB")
    }
}

impl ConvertConfig {
    /// Refuses values that no run can use.
    pub fn check(&self) -> Result<(), BadValue> {
        within("workers", self.workers, 1..=256, "threads")?;
        within("queue_games", self.queue_games, 1..=1024, "games a worker")?;
        within("min_moves", self.min_moves, 0..=1000, "moves")?;
        within("shared_moves", self.shared_moves, 0..=1000, "moves")?;
        self.filter.check()?;
        self.archive.check()
    }
}

impl Default for ConvertConfig {
    /// One worker, every game with a move, all repairs, duplicates dropped: what tests start from.
    fn default() -> ConvertConfig {
        ConvertConfig {
            workers: 1,
            queue_games: 4,
            min_moves: 1,
            variations: Variations::Main,
            duplicates: Duplicates::Drop,
            shared_moves: 60,
            weight: Weight::Position,
            repair: RepairConfig::default(),
            filter: FilterConfig::default(),
            archive: ArchiveConfig::default(),
        }
    }
}

/// Sets `KEY=VALUE` in one table of a config, as a profile would: the same names, the same errors.
///
/// # Errors
/// No `=`, a key the table does not have, a value of another kind.
pub fn set_key<T: Serialize + for<'a> Deserialize<'a>>(config: &T, assignment: &str) -> Result<T, String> {
    let Some((key, text)) = assignment.split_once('=') else {
        return Err(format!("{assignment}, expected KEY=VALUE"));
    };
    let key = key.trim().replace('-', "_");
    let mut table = toml::Table::try_from(config).map_err(|e| e.to_string())?;
    let Some(old) = table.get(&key) else {
        let keys: Vec<&str> = table.keys().map(String::as_str).collect();
        return Err(format!("no key {key}, expected one of {}", keys.join(", ")));
    };
    let value = match old {
        toml::Value::Array(_) => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            toml::Value::Array(items.map(|item| toml::Value::String(item.to_string())).collect())
        }
        toml::Value::Integer(_) => text.trim().parse().map(toml::Value::Integer).map_err(|_| number(&key, text))?,
        toml::Value::Float(_) => text.trim().parse().map(toml::Value::Float).map_err(|_| number(&key, text))?,
        _ => toml::Value::String(text.trim().to_string()),
    };
    table.insert(key.clone(), value);
    table.try_into().map_err(|e: toml::de::Error| format!("{key}={text}: {}", e.message().trim_end().replace('\n', " ")))
}

fn number(key: &str, text: &str) -> String {
    format!("{key}={text}: expected a number")
}
