//! The convert section of a profile.

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
    /// How far archives are unpacked.
    pub archive: ArchiveConfig,
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
        within("min_moves", self.min_moves, 0..=1000, "moves")
    }
}
