//! Writing a data set: streams records to disk in memory that does not grow with them.

use super::group::{Completeness, GROUP_PREFIX, Group, GroupEntry};
use super::layout::{GAME_BYTES, GameEntry, GameHash, HEADER_BYTES, HINT_AGAIN, Header, records_per_block, stride, u32_at};
use super::ledger::{LinesWriter, new_ledger_name};
use super::manifest::{
    self, LEDGER_NAME, LISTING_NAME, LedgerEntry, MANIFEST_NAME, Manifest, Report, SPOOL_PREFIX, ShardEntry, Source,
};
use super::sampler::Split;
use crate::base::bulk::BulkFile;
use crate::base::fs::{create_dir, sync_parent};
use crate::base::limits::BOARD_LEN_MAX;
use crate::base::lock::{FolderLock, LOCK_NAME, Work};
use crate::base::{Error, Result};
use crate::compute::packed::row_bytes;
use crate::go::Size;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Name of a group's part of the ledger while it is written.
const PART_NAME: &str = "ledger-part.new";
/// Name of the ledger while it is written.
const NEW_LEDGER_NAME: &str = "ledger.new";

/// What the folder is taken for.
const WORK: Work = Work { name: "edgezero convert", hint: "wait for it to end" };

/// Where the folder of a data set in the making comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    Made,
    Found,
}

/// What happens to finished groups that no manifest names when the writer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfinished {
    /// They are removed: the folder holds what it held before.
    Remove,
    /// They stay, unseen by readers, and the next writer finds them: a stopped conversion goes on.
    Keep,
}

/// A data set in the making. Until [`DatasetWriter::finish`], readers see what the folder held before.
pub struct DatasetWriter {
    dir: PathBuf,
    shards: [Option<ShardWriter>; BOARD_LEN_MAX + 1],
    /// The finished shard files of the group being written.
    parts: Vec<ShardEntry>,
    /// Its part of the ledger.
    part: Option<LinesWriter>,
    ledger: Option<LinesWriter>,
    origin: Origin,
    unfinished: Unfinished,
    /// The files of the data set that readers see; `None` in a new folder, and where a manifest of another version or a
    /// damaged one does not tell.
    in_use: Option<HashSet<String>>,
    lock: Option<FolderLock>,
}

impl DatasetWriter {
    /// Starts a data set in `dir`, which is new, empty, or an older data set to be brought up to date.
    ///
    /// # Errors
    /// As [`DatasetWriter::check_folder`]; another writer at work there; a folder that cannot be written.
    pub fn create(dir: &Path) -> Result<DatasetWriter> {
        DatasetWriter::check_folder(dir)?;
        let origin = if dir.exists() { Origin::Found } else { Origin::Made };
        create_dir(dir)?;
        let lock = FolderLock::take(dir, &WORK).inspect_err(|_| remove_if_made(dir, origin))?;
        let manifest = Manifest::read(dir).ok();
        let in_use = manifest.as_ref().map(|manifest| manifest.file_names().map(str::to_string).collect());
        let writer = DatasetWriter {
            dir: dir.to_path_buf(),
            shards: std::array::from_fn(|_| None),
            parts: Vec::new(),
            part: None,
            ledger: None,
            origin,
            unfinished: Unfinished::Remove,
            in_use,
            lock: Some(lock),
        };
        writer.name_ledger(manifest.and_then(|manifest| manifest.ledger))?;
        let is_half = |name: &str| name.ends_with(".part") || name.ends_with(".new");
        writer.remove_files(|name| is_half(name) || name == LISTING_NAME || name.starts_with(SPOOL_PREFIX));
        Ok(writer)
    }

    /// Whether a data set may be written in `dir`: it is not there, empty, or holds nothing but files of ours.
    ///
    /// # Errors
    /// Files that are not ours, a manifest of something else, a folder that cannot be read.
    pub fn check_folder(dir: &Path) -> Result<()> {
        if !dir.exists() {
            return Ok(());
        }
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
        Ok(())
    }

    /// Removes what a writer that was killed after its last step left beside the data set of `manifest` in `dir`.
    /// Does nothing where another one is at work, or where nothing may be changed: readers see none of it.
    pub fn tidy(dir: &Path, manifest: &Manifest) {
        let named: HashSet<&str> = manifest.file_names().collect();
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        let mut names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        if names.any(|name| manifest::is_ours(&name) && !named.contains(name.as_str()))
            && let Ok(writer) = DatasetWriter::create(dir)
        {
            drop(writer);
        }
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What to leave when the writer is dropped unfinished; [`Unfinished::Remove`] unless told.
    pub fn on_drop(&mut self, unfinished: Unfinished) {
        self.unfinished = unfinished;
    }

    /// The groups that the folder holds whole, of the present data set or of a writer that ended early, by key.
    /// Their files were opened; the data blocks in them were not read.
    pub fn finished_groups(&self) -> BTreeMap<String, GroupEntry> {
        let mut found = BTreeMap::new();
        // Those of the present data set first.
        let mut files: Vec<String> = self.file_names().filter(|name| name.starts_with(GROUP_PREFIX)).collect();
        files.sort_by_key(|file| (!self.in_use.as_ref().is_some_and(|in_use| in_use.contains(file)), file.clone()));
        for file in files {
            let Ok(group) = Group::read(&self.dir, &file) else { continue };
            if group.completeness == Completeness::Whole && group.is_there(&self.dir) {
                let (ledger, completeness) = (group.ledger_file(), group.completeness);
                found.entry(group.key).or_insert(GroupEntry { file, ledger, completeness });
            }
        }
        found
    }

    /// Adds a game to the group being written; `records` as [`super::append_record`] makes them. Their game number is
    /// filled in here.
    pub fn push_game(&mut self, size: Size, hash: GameHash, records: &mut [u8]) -> Result<()> {
        self.push_line(size, hash, None, records)
    }

    /// As [`DatasetWriter::push_game`], for one line of a game that may have several: `draw` decides on which side of the
    /// split all of them are, as [`GameEntry::draw`].
    pub fn push_line(&mut self, size: Size, hash: GameHash, draw: Option<u16>, records: &mut [u8]) -> Result<()> {
        let len = size.len_max();
        let shard = match &mut self.shards[len] {
            Some(shard) => shard,
            empty => empty.insert(ShardWriter::create(&self.dir.join(format!("len{len}.new")), len)?),
        };
        let draw = draw.filter(|&draw| draw != Split::draw(hash));
        shard.push_game(GameEntry { first_record: 0, n_records: 0, size, hash, draw }, records)
    }

    /// Adds a line, its end included, to the part of the ledger that belongs to the group being written.
    pub fn push_part(&mut self, line: &[u8]) -> Result<()> {
        let part = match &mut self.part {
            Some(part) => part,
            empty => empty.insert(LinesWriter::create(&self.dir.join(PART_NAME))?),
        };
        part.push(line)
    }

    /// Adds a line, its end included, to the ledger, which appears together with the data set.
    pub fn push_ledger(&mut self, line: &[u8]) -> Result<()> {
        let ledger = match &mut self.ledger {
            Some(ledger) => ledger,
            empty => empty.insert(LinesWriter::create(&self.dir.join(NEW_LEDGER_NAME))?),
        };
        ledger.push(line)
    }

    /// Ends the shard files being written: the games that follow in this group go to new ones. An archive is one group
    /// and has its cuts where its unpacked folder would have the ends of groups, so that both give the same files.
    pub fn cut(&mut self) -> Result<()> {
        for shard in self.shards.iter_mut().filter_map(Option::take) {
            let made = shard.path.clone();
            let mut entry = shard.finish()?;
            // New names beside the old files: the old data set stays whole until the manifest is replaced.
            entry.file = format!("len{}-{}.shard", entry.len, entry.file);
            let path = self.dir.join(&entry.file);
            if same_content(&made, &path) {
                // A map of it, or another group, may hold the file that is there.
                std::fs::remove_file(&made).map_err(|e| Error::io(&made, &e))?;
            } else {
                std::fs::rename(&made, &path).map_err(|e| Error::io(&path, &e))?;
            }
            self.parts.push(entry);
        }
        Ok(())
    }

    /// Completes the group being written, from the games and lines pushed since the last one. `group` holds all but its
    /// shards and its part of the ledger.
    pub fn end_group(&mut self, mut group: Group) -> Result<GroupEntry> {
        self.cut()?;
        group.shards = std::mem::take(&mut self.parts);
        let made = self.dir.join(PART_NAME);
        let part = match self.part.take() {
            Some(part) => part,
            None => LinesWriter::create(&made)?,
        };
        group.ledger = part.finish()?;
        let path = self.dir.join(group.ledger_file());
        std::fs::rename(&made, &path).map_err(|e| Error::io(&path, &e))?;
        group.write(&self.dir)
    }

    /// Adds the counts of these groups to `report`, which tells what no group counts.
    pub fn add_counts(&self, report: &mut Report, groups: &[GroupEntry]) -> Result<()> {
        groups.iter().try_for_each(|entry| {
            report.add(Group::read(&self.dir, &entry.file)?.report);
            Ok(())
        })
    }

    /// Completes the data set of these groups, in this order: from here on readers see it, and what it replaces is gone.
    pub fn finish(mut self, source: Source, report: Report, groups: Vec<GroupEntry>) -> Result<Manifest> {
        let mut shards = Vec::new();
        for entry in &groups {
            shards.extend(Group::read(&self.dir, &entry.file)?.shards);
        }
        // Stable: shards of one length stay in the order of their groups.
        shards.sort_by_key(|shard| shard.len);
        let mut manifest = Manifest::new(source, report, groups, shards);
        if let Some(ledger) = self.ledger.take() {
            let entry = ledger.finish()?;
            let path = self.dir.join(new_ledger_name(entry));
            std::fs::rename(self.dir.join(NEW_LEDGER_NAME), &path).map_err(|e| Error::io(&path, &e))?;
            manifest.ledger = Some(entry);
        }
        // Whether it stands after a failure is not known, so what it names stays as well as what the old one does.
        self.in_use.get_or_insert_default().extend(manifest.file_names().map(str::to_string));
        // The files that it names first.
        sync_parent(&self.dir.join(MANIFEST_NAME))?;
        manifest.write(&self.dir)?;
        self.name_ledger(manifest.ledger)?;
        self.in_use = Some(manifest.file_names().map(str::to_string).collect());
        self.unfinished = Unfinished::Remove;
        Ok(manifest)
    }

    /// Gives the ledger its name: under that of the old one it could not come together with the manifest.
    fn name_ledger(&self, entry: Option<LedgerEntry>) -> Result<()> {
        let Some(entry) = entry else { return Ok(()) };
        let (fresh, path) = (self.dir.join(new_ledger_name(entry)), self.dir.join(LEDGER_NAME));
        if fresh.is_file() { std::fs::rename(&fresh, &path).map_err(|e| Error::io(&path, &e)) } else { Ok(()) }
    }

    fn file_names(&self) -> impl Iterator<Item = String> {
        let entries = std::fs::read_dir(&self.dir).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned())
    }

    /// Removes the files of ours that `is_waste` says. A failure leaves files that no reader looks at.
    fn remove_files(&self, is_waste: impl Fn(&str) -> bool) {
        for name in self.file_names().filter(|name| manifest::is_ours(name) && is_waste(name)) {
            let path = self.dir.join(name);
            if std::fs::remove_file(&path).is_err() && path.exists() {
                log::warn!("{}: left over, could not be removed", path.display());
            }
        }
    }
}

impl Drop for DatasetWriter {
    fn drop(&mut self) {
        self.shards.fill_with(|| None);
        (self.part, self.ledger) = (None, None);
        let unknown = self.in_use.is_none() && self.dir.join(MANIFEST_NAME).exists();
        if self.unfinished == Unfinished::Remove && !unknown {
            let in_use = self.in_use.take().unwrap_or_default();
            self.remove_files(|name| name != LOCK_NAME && !in_use.contains(name));
        }
        self.lock = None;
        remove_if_made(&self.dir, self.origin);
    }
}

/// Removes a folder that we made, if it is empty.
fn remove_if_made(dir: &Path, origin: Origin) {
    if origin == Origin::Made {
        // Fails, as it should, when something is in it.
        let _ = std::fs::remove_dir(dir);
    }
}

/// Whether both files are there and hold the same bytes.
fn same_content(a: &Path, b: &Path) -> bool {
    let same = || -> std::io::Result<bool> {
        let (mut a, mut b) = (File::open(a)?, File::open(b)?);
        if a.metadata()?.len() != b.metadata()?.len() {
            return Ok(false);
        }
        let (mut x, mut y) = (vec![0; COMPARE_BYTES], vec![0; COMPARE_BYTES]);
        loop {
            let n = a.read(&mut x)?;
            b.read_exact(&mut y[..n])?;
            if n == 0 || x[..n] != y[..n] {
                return Ok(n == 0);
            }
        }
    };
    same().unwrap_or(false)
}

/// Bytes compared at a time.
const COMPARE_BYTES: usize = 1 << 16;

/// One shard file in the making.
pub struct ShardWriter {
    path: PathBuf,
    file: BulkFile,
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
        let mut file = BulkFile::create(path)?;
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

    /// Adds a game and its records (at least one), whose number and place are filled in here.
    pub fn push_game(&mut self, game_entry: GameEntry, records: &mut [u8]) -> Result<()> {
        let stride = stride(self.len);
        assert_eq!(game_entry.size.len_max(), self.len, "a board of this shard");
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
        let entry = GameEntry { first_record: self.n_records, n_records, ..game_entry }.to_bytes();
        self.games.write(&entry)?;
        self.games_crc = crc32c::crc32c_append(self.games_crc, &entry);
        self.n_records += u64::from(n_records);
        self.n_games += 1;
        Ok(())
    }

    /// Writes the tables and the header; then the file is there. The entry's `file` is the content's identity: half of
    /// the SHA-256 of the tables, which hold the hashes of the games and the checksums of the blocks.
    pub fn finish(mut self) -> Result<ShardEntry> {
        if self.block.n_records > 0 {
            self.end_block();
        }
        let mut identity = Sha256::new_with_prefix(&self.block_crcs);
        self.file.write(&self.block_crcs)?;
        self.games.copy_to(&mut self.file, &mut identity)?;
        let header = Header {
            len: self.len,
            n_records: self.n_records,
            n_games: self.n_games,
            blocks_crc: crc32c::crc32c(&self.block_crcs),
            games_crc: self.games_crc,
        };
        let bytes = header.to_bytes();
        self.file.place(&bytes)?;
        let parts = header.parts().ok_or_else(|| Error::new(self.path.display(), "too large").hint(HINT_AGAIN))?;
        Ok(ShardEntry {
            file: identity.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect(),
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

    fn copy_to(&mut self, file: &mut BulkFile, identity: &mut Sha256) -> Result<()> {
        self.out.seek(SeekFrom::Start(0)).map_err(|e| Error::io(&self.path, &e))?;
        let mut chunk = vec![0; 1 << 16];
        loop {
            let n = self.out.get_mut().read(&mut chunk).map_err(|e| Error::io(&self.path, &e))?;
            if n == 0 {
                return Ok(());
            }
            identity.update(&chunk[..n]);
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
