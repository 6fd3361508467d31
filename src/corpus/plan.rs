//! What a run will use: threads, queues and memory, told and held before it starts.

use super::config::{ArchiveConfig, ConvertConfig};
use super::groups::PACKED_FACTOR;
use super::source::{Entry, is_packed, names_bytes_max, unpacked_bytes_max};
use crate::base::limits::SGF_FILE_BYTES_MAX;
use crate::base::{Error, Result};
use crate::device::Needs as Sum;
use crate::sgf::ARENA_BYTES_MAX;
use crate::shard::Source;

/// What memory will be needed for, as far as names and sizes of files tell: what is likely, and the most that there can be
/// before a limit of the profile refuses it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Needs {
    /// Largest file of records held while it is parsed, in bytes.
    record: Range,
    /// Unpackers and records that wait, in bytes.
    unpacking: Range,
    /// Bytes of records, which tell how many games there may be.
    records_bytes: u64,
}

/// A guess and a bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Range {
    pub likely: u64,
    pub at_most: u64,
}

impl Range {
    fn include(&mut self, other: Range) {
        self.likely = self.likely.max(other.likely);
        self.at_most = self.at_most.max(other.at_most);
    }
}

/// A usual record in an archive is far smaller than a collection of its own.
const MEMBER_BYTES_LIKELY: u64 = 1 << 20;
/// What usual settings look back at: 7-Zip, xz and zstd, with their tables.
const WINDOW_BYTES_LIKELY: u64 = 16 << 20;
/// What unpackers without a large window take: bzip2 about 4 MB, deflate far less.
const UNPACKER_BYTES: u64 = 5 << 20;

impl Needs {
    /// Takes one more file into account.
    pub(super) fn add(&mut self, entry: &Entry, limits: &ArchiveConfig) {
        if !entry.archive && !is_packed(&entry.name) {
            self.record.include(Range { likely: entry.bytes, at_most: entry.bytes.min(SGF_FILE_BYTES_MAX) });
            self.records_bytes += entry.bytes;
            return;
        }
        let unpacked = entry.bytes.saturating_mul(PACKED_FACTOR);
        let unpacked_max = unpacked_bytes_max(limits, entry.bytes);
        let member = if entry.archive { unpacked.min(MEMBER_BYTES_LIKELY) } else { unpacked };
        self.record.include(Range { likely: member, at_most: unpacked_max.min(limits.member_mb << 20) });
        let looks_back = [&b".xz"[..], b".txz", b".7z", b".zst", b".zstd", b".tzst"];
        let looks_back = looks_back.iter().any(|end| entry.name.to_ascii_lowercase().ends_with(end));
        let window = if looks_back { WINDOW_BYTES_LIKELY.min(unpacked) } else { 0 } + UNPACKER_BYTES;
        // A window is never larger than what it looks back at.
        let window_max = (limits.window_mb << 20).min(unpacked_max) + UNPACKER_BYTES;
        let spool = limits.spool_mb << 20;
        // A record takes a kilobyte and its name much less; none takes more than all that there is.
        let names = if entry.archive { names_bytes_max(limits).min(unpacked_max) } else { 0 };
        let likely = window + spool.min(unpacked);
        self.unpacking.include(Range { likely, at_most: window_max + spool.min(unpacked_max) + names });
        self.records_bytes += unpacked;
    }
}

/// Whether a run makes shards, or only tells what would become of the games.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Make {
    Shards,
    Account,
}

/// What a run will use.
pub(super) struct Plan {
    pub workers: usize,
    pub queue_games: usize,
    pub memory: Range,
    /// The same by part, at the most.
    pub parts: Sum,
    /// What the run may take, in bytes.
    pub budget_bytes: u64,
}

/// Memory of a run without games in it: program, board tables, write buffers, block tables.
const BASE_BYTES: u64 = 12 << 20;
/// Results of a worker that wait for the writer: enough for games of uneven length. More would only fill up while the
/// writer waits for the disk.
pub(super) const RESULTS_QUEUED: usize = 2;
/// Memory of a long 19x19 game in flight: 300 positions of 640 bytes and its record.
const GAME_BYTES: u64 = 200 << 10;
/// Memory of a small file or a record on its way to a worker.
const JOB_BYTES: u64 = 16 << 10;
/// Memory of a batch of small files in flight where there are no positions.
const BATCH_BYTES: u64 = 128 << 10;
/// Memory of a file being parsed, by its size: its bytes, and the tree of one game at a time (measured 1.1 for a
/// collection of 29,010 games in 46 MB).
const FILE_FACTOR: u64 = 2;
/// Memory of the tree of a file that is one game, by its size, up to [`ARENA_BYTES_MAX`].
const TREE_FACTOR: u64 = 12;
/// Memory by which a game and its opening are known again, with the free places of the table.
const KNOWN_BYTES: u64 = 70;
/// Bytes of a record, about: a game on 19x19 takes 1.5 to 2 KB, one on 9x9 400 bytes.
const RECORD_BYTES_USUAL: u64 = 1 << 10;

impl Plan {
    /// The asked-for workers and queue, or shorter queues and then fewer workers where memory is short.
    ///
    /// # Errors
    /// Less memory than one worker needs.
    pub(super) fn new(config: &ConvertConfig, ram_budget_bytes: u64, needs: &Needs, make: Make) -> Result<Plan> {
        let (mut workers, mut queue_games) = (config.workers.max(1), config.queue_games.max(1));
        let game_bytes = if make == Make::Shards { GAME_BYTES } else { BATCH_BYTES };
        let known_bytes = needs.records_bytes / RECORD_BYTES_USUAL * KNOWN_BYTES;
        let sum = |record: u64, unpacking: u64| BASE_BYTES + record * FILE_FACTOR + unpacking + known_bytes;
        let tree_bytes = (needs.record.at_most * (TREE_FACTOR + 1 - FILE_FACTOR)).min(ARENA_BYTES_MAX as u64);
        let fixed = Range {
            likely: sum(needs.record.likely, needs.unpacking.likely),
            at_most: sum(needs.record.at_most, needs.unpacking.at_most) + tree_bytes,
        };
        // Beside those that wait, one is being written and one being made.
        let a_worker = |queue: usize| (RESULTS_QUEUED + 2) as u64 * game_bytes + queue as u64 * JOB_BYTES;
        let in_flight = |workers: usize, queue: usize| workers as u64 * a_worker(queue);
        while fixed.at_most + in_flight(workers, queue_games) > ram_budget_bytes {
            match (queue_games, workers) {
                (2.., _) => queue_games /= 2,
                (_, 2..) => workers -= 1,
                _ => {
                    let what = format!("needs {} MiB of memory", (fixed.at_most + in_flight(1, 1)) >> 20);
                    let what = format!("{what}, it may have {} MiB", ram_budget_bytes >> 20);
                    let hint = match known_bytes > fixed.at_most / 2 {
                        true => "a part of the records at a time, each into a folder of its own, or a profile with more memory",
                        false => "splitting the largest file, or a profile with more memory",
                    };
                    return Err(Error::new("convert", what).hint(hint));
                }
            }
        }
        let in_flight = in_flight(workers, queue_games);
        let memory = Range { likely: fixed.likely + in_flight, at_most: fixed.at_most + in_flight };
        let parts = Sum::default()
            .with("program", BASE_BYTES)
            .with("files", needs.record.at_most * FILE_FACTOR + tree_bytes)
            .with("unpacking", needs.unpacking.at_most)
            .with("known_games", known_bytes)
            .with("games", in_flight);
        if (workers, queue_games) != (config.workers.max(1), config.queue_games.max(1)) {
            log::warn!(
                "memory is short: queue_games {} -> {queue_games}, workers {} -> {workers}",
                config.queue_games,
                config.workers
            );
        }
        Ok(Plan { workers, queue_games, memory, parts, budget_bytes: ram_budget_bytes })
    }

    /// Tells what the run will use.
    pub(super) fn say(&self, source: &Source, groups: &str, bytes_to_read: u64) {
        let (likely, at_most) = (self.memory.likely.div_ceil(1 << 20), self.memory.at_most.div_ceil(1 << 20));
        let bound = if at_most > likely { format!(", {at_most} at most if archives ask for it") } else { String::new() };
        log::info!(
            "convert: {} files{groups}; {:.1} MB to read; {} workers, {} games queued each, about {likely} MiB of memory{bound}",
            source.n_files,
            bytes_to_read as f64 / 1e6,
            self.workers,
            self.queue_games,
        );
        self.parts.say(self.budget_bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, bytes: u64, archive: bool) -> Entry {
        Entry { path: name.into(), name: name.into(), bytes, modified_ns: 0, named: false, archive }
    }

    #[test]
    fn small_archives_need_little() {
        let plan = |entries: &[Entry], budget: u64| {
            let mut needs = Needs::default();
            entries.iter().for_each(|entry| needs.add(entry, &ArchiveConfig::default()));
            Plan::new(&ConvertConfig::default(), budget, &needs, Make::Shards).map(|plan| plan.memory)
        };
        let mb = |range: Range| (range.likely >> 20, range.at_most >> 20);
        assert_eq!(mb(plan(&[entry("a.sgf", 3000, false)], 1 << 30).unwrap()), (12, 12));
        let tar = plan(&[entry("a.tar.gz", 2 << 20, true)], 1 << 30).unwrap();
        assert_eq!(mb(tar), (28, 403));
        let huge = entry("all.sgf", 10 << 30, false);
        // Ten million games are known again by 700 MB.
        assert!(plan(&[huge], 1 << 30).err().unwrap().to_string().contains("it may have 1024 MiB"));
    }
}
