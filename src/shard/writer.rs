//! Writing a data set: streams records to disk in memory that does not grow with them.

use super::layout::{GAME_BYTES, GameEntry, GameHash, HEADER_BYTES, HINT_AGAIN, Header, records_per_block, stride, u32_at};
use super::manifest::{self, LEDGER_NAME, LedgerEntry, MANIFEST_NAME, Manifest, Report, ShardEntry, Source};
use crate::base::fs::{WholeFile, create_dir};
use crate::base::limits::BOARD_LEN_MAX;
use crate::base::{Error, Result};
use crate::compute::packed::row_bytes;
use crate::go::Size;
use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Where the folder of a data set in the making comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    Made,
    Found,
}

/// A data set in the making. Dropped before [`DatasetWriter::finish`], it leaves the folder as it was.
pub struct DatasetWriter {
    dir: PathBuf,
    shards: [Option<ShardWriter>; BOARD_LEN_MAX + 1],
    ledger: Option<(WholeFile, LedgerEntry)>,
    origin: Origin,
    /// Held so that two writers never share a folder.
    _lock: File,
}

impl DatasetWriter {
    /// Starts a data set in `dir`, which is new, empty, or an older data set to be replaced.
    ///
    /// # Errors
    /// Files in `dir` that are not ours, or another writer at work there.
    pub fn create(dir: &Path) -> Result<DatasetWriter> {
        let origin = if dir.exists() { Origin::Found } else { Origin::Made };
        create_dir(dir)?;
        let entries = std::fs::read_dir(dir).map_err(|e| Error::io(dir, &e))?;
        for entry in entries {
            let name = entry.map_err(|e| Error::io(dir, &e))?.file_name();
            if !manifest::is_ours(&name.to_string_lossy()) {
                let what = format!("holds {:?}, which is no shard: will not write here", name.to_string_lossy());
                return Err(Error::call(dir.display(), what).hint("an empty or a new folder for --out"));
            }
        }
        if dir.join(MANIFEST_NAME).exists() && !manifest::says_ours(dir) {
            let what = format!("holds a {MANIFEST_NAME} of something else: will not write here");
            return Err(Error::call(dir.display(), what).hint("an empty or a new folder for --out"));
        }
        let lock = File::open(dir).map_err(|e| Error::io(dir, &e))?;
        if let Err(std::fs::TryLockError::WouldBlock) = lock.try_lock() {
            return Err(Error::new(dir.display(), "another edgezero convert is writing here").hint("wait for it to end"));
        }
        Ok(DatasetWriter { dir: dir.to_path_buf(), shards: std::array::from_fn(|_| None), ledger: None, origin, _lock: lock })
    }

    /// Adds a game; `records` as [`super::append_record`] makes them. Their game number is filled in here.
    pub fn push_game(&mut self, size: Size, hash: GameHash, records: &mut [u8]) -> Result<()> {
        let len = size.len_max();
        let shard = match &mut self.shards[len] {
            Some(shard) => shard,
            empty => empty.insert(ShardWriter::create(&self.dir.join(format!("len{len}.new")), len)?),
        };
        shard.push_game(size, hash, records)
    }

    /// Adds a line, its end included, to the ledger, which appears together with the data set.
    pub fn push_ledger(&mut self, line: &[u8]) -> Result<()> {
        let (file, entry) = match &mut self.ledger {
            Some(ledger) => ledger,
            empty => {
                let file = WholeFile::create(&self.dir.join(LEDGER_NAME))?;
                empty.insert((file, LedgerEntry { lines: 0, bytes: 0, crc: 0 }))
            }
        };
        entry.lines += 1;
        entry.bytes += line.len() as u64;
        entry.crc = crc32c::crc32c_append(entry.crc, line);
        file.write(line)
    }

    /// Completes the data set: from here on readers see it, and what it replaces is gone.
    pub fn finish(mut self, source: Source, report: Report) -> Result<Manifest> {
        let mut entries = Vec::new();
        for shard in self.shards.iter_mut().filter_map(Option::take) {
            entries.push(shard.finish()?);
        }
        for entry in &mut entries {
            // New names beside the old files: the old data set stays whole until the manifest is replaced.
            let made = self.dir.join(&entry.file);
            entry.file = format!("len{}-{:08x}.shard", entry.len, entry.header_crc);
            let path = self.dir.join(&entry.file);
            std::fs::rename(&made, &path).map_err(|e| Error::io(&path, &e))?;
        }
        let mut manifest = Manifest::new(source, report, entries);
        if let Some((file, entry)) = self.ledger.take() {
            // A stop between here and the manifest leaves a ledger of other shards; its checksum in the manifest tells.
            file.commit()?;
            manifest.ledger = Some(entry);
        }
        manifest.write(&self.dir)?;
        self.remove_leftovers(&manifest);
        Ok(manifest)
    }

    /// Removes what the manifest does not name. A failure leaves files that no reader looks at.
    fn remove_leftovers(&self, manifest: &Manifest) {
        let Ok(entries) = std::fs::read_dir(&self.dir) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_ledger = name == LEDGER_NAME && manifest.ledger.is_some();
            let in_use = is_ledger || name == MANIFEST_NAME || manifest.shards.iter().any(|s| s.file == name);
            if !in_use && manifest::is_ours(&name) && std::fs::remove_file(entry.path()).is_err() {
                log::warn!("{}: left over, could not be removed", entry.path().display());
            }
        }
    }
}

impl Drop for DatasetWriter {
    fn drop(&mut self) {
        self.shards.fill_with(|| None);
        self.ledger = None;
        if self.origin == Origin::Made {
            // Fails, as it should, when the data set is in it.
            let _ = std::fs::remove_dir(&self.dir);
        }
    }
}

/// One shard file in the making.
pub struct ShardWriter {
    path: PathBuf,
    file: WholeFile,
    games: Spool,
    len: usize,
    n_records: u64,
    n_games: u64,
    block: Crc,
    block_crcs: Vec<u8>,
    games_crc: u32,
}

/// Checksum of the block being filled.
#[derive(Default)]
struct Crc {
    crc: u32,
    n_records: usize,
}

impl ShardWriter {
    /// Starts a file at `path` for boards whose longer side is `len`.
    pub fn create(path: &Path, len: usize) -> Result<ShardWriter> {
        let mut file = WholeFile::create(path)?;
        file.write(&[0; HEADER_BYTES])?;
        let games = Spool::create(path.with_extension("games.part"))?;
        Ok(ShardWriter {
            path: path.to_path_buf(),
            file,
            games,
            len,
            n_records: 0,
            n_games: 0,
            block: Crc::default(),
            block_crcs: Vec::new(),
            games_crc: 0,
        })
    }

    /// Adds a game: its board, identity and records (at least one).
    pub fn push_game(&mut self, size: Size, hash: GameHash, records: &mut [u8]) -> Result<()> {
        let stride = stride(self.len);
        assert_eq!(size.len_max(), self.len, "a board of this shard");
        assert!(!records.is_empty() && records.len().is_multiple_of(stride), "whole records");
        let game = u32::try_from(self.n_games).map_err(|_| self.full("games"))?;
        let n_records = u32::try_from(records.len() / stride).map_err(|_| self.full("positions of one game"))?;
        let game_at = row_bytes(self.len);
        for record in records.chunks_exact_mut(stride) {
            record[game_at..game_at + 4].copy_from_slice(&game.to_le_bytes());
            self.block.crc = crc32c::crc32c_append(self.block.crc, record);
            self.block.n_records += 1;
            if self.block.n_records == records_per_block(self.len) {
                self.end_block();
            }
        }
        self.file.write(records)?;
        let entry = GameEntry { first_record: self.n_records, n_records, size, hash }.to_bytes();
        self.games.write(&entry)?;
        self.games_crc = crc32c::crc32c_append(self.games_crc, &entry);
        self.n_records += u64::from(n_records);
        self.n_games += 1;
        Ok(())
    }

    /// Writes the tables and the header; then the file is there.
    pub fn finish(mut self) -> Result<ShardEntry> {
        if self.block.n_records > 0 {
            self.end_block();
        }
        self.file.write(&self.block_crcs)?;
        self.games.copy_to(&mut self.file)?;
        let header = Header {
            len: self.len,
            n_records: self.n_records,
            n_games: self.n_games,
            blocks_crc: crc32c::crc32c(&self.block_crcs),
            games_crc: self.games_crc,
        };
        let bytes = header.to_bytes();
        self.file.out().seek(SeekFrom::Start(0)).map_err(|e| Error::io(&self.path, &e))?;
        self.file.write(&bytes)?;
        self.file.commit()?;
        let parts = header.parts().ok_or_else(|| Error::new(self.path.display(), "too large").hint(HINT_AGAIN))?;
        Ok(ShardEntry {
            file: self.path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default(),
            len: self.len,
            games: self.n_games,
            positions: self.n_records,
            bytes: parts.file_bytes,
            header_crc: u32_at(&bytes, HEADER_BYTES - 4),
        })
    }

    fn end_block(&mut self) {
        let block = std::mem::take(&mut self.block);
        self.block_crcs.extend_from_slice(&block.crc.to_le_bytes());
    }

    fn full(&self, what: &str) -> Error {
        Error::new(self.path.display(), format!("more than {} {what}", u32::MAX)).hint("converting into several folders")
    }
}

/// The game table on disk until the records before it are written, so that it takes no memory.
struct Spool {
    path: PathBuf,
    out: BufWriter<File>,
}

impl Spool {
    fn create(path: PathBuf) -> Result<Spool> {
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&path);
        let out = BufWriter::with_capacity(GAME_BYTES << 7, file.map_err(|e| Error::io(&path, &e))?);
        Ok(Spool { path, out })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes).map_err(|e| Error::io(&self.path, &e))
    }

    fn copy_to(&mut self, file: &mut WholeFile) -> Result<()> {
        self.out.seek(SeekFrom::Start(0)).map_err(|e| Error::io(&self.path, &e))?;
        let mut chunk = vec![0; 1 << 16];
        loop {
            let n = self.out.get_mut().read(&mut chunk).map_err(|e| Error::io(&self.path, &e))?;
            if n == 0 {
                return Ok(());
            }
            file.write(&chunk[..n])?;
        }
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        // What stays after a failure here is a file that no reader looks at.
        let _ = std::fs::remove_file(&self.path);
    }
}
