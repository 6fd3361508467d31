//! Reading a shard file through a memory map.

use super::layout::{
    GAME_BYTES, GameEntry, HEADER_BYTES, HINT_AGAIN, Header, Parts, crc_error, records_per_block, stride, u32_at,
};
use super::record::Record;
use crate::base::{Error, Result};
use memmap2::Mmap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// An open shard file. Its tables are checked when it opens, each block when it is first touched.
pub struct Shard {
    path: PathBuf,
    map: Mmap,
    header: Header,
    parts: Parts,
    /// One flag a block: its checksum was compared.
    checked: Vec<AtomicBool>,
}

impl Shard {
    /// Opens and maps `path`.
    ///
    /// # Errors
    /// Foreign, older, newer, cut or damaged files, with the byte offset.
    pub fn open(path: &Path) -> Result<Shard> {
        let map = map_file(path)?;
        let head: &[u8; HEADER_BYTES] = map.first_chunk().ok_or_else(|| too_short(path, &map))?;
        let header = Header::from_bytes(head, path)?;
        let parts = header.parts().ok_or_else(|| Error::at_byte(path, 24, "absurd counts").hint(HINT_AGAIN))?;
        let bytes = map.len() as u64;
        if bytes != parts.file_bytes {
            let what = if bytes < parts.file_bytes { "the file is cut" } else { "the file has a foreign tail" };
            let what = format!("{bytes} bytes, expected {}: {what}", parts.file_bytes);
            return Err(Error::at_byte(path, bytes.min(parts.file_bytes), what).hint(HINT_AGAIN));
        }
        let (blocks_at, games_at) = (parts.blocks_at as usize, parts.games_at as usize);
        let tables = [
            ("block table", blocks_at, &map[blocks_at..games_at], header.blocks_crc),
            ("game table", games_at, &map[games_at..], header.games_crc),
        ];
        for (part, at, table, expected) in tables {
            let crc = crc32c::crc32c(table);
            if crc != expected {
                return Err(crc_error(path, at as u64, part, crc, expected));
            }
        }
        let checked = (0..parts.n_blocks).map(|_| AtomicBool::new(false)).collect();
        let shard = Shard { path: path.to_path_buf(), map, header, parts, checked };
        shard.check_games()?;
        Ok(shard)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Side of the square array that holds the boards.
    #[expect(clippy::len_without_is_empty, reason = "a side length, not a count")]
    pub fn len(&self) -> usize {
        self.header.len
    }

    /// Positions.
    pub fn n_positions(&self) -> u64 {
        self.header.n_records
    }

    /// Games.
    pub fn n_games(&self) -> u64 {
        self.header.n_games
    }

    /// Checksum of the header, which holds those of the tables: the identity of the content.
    pub fn header_crc(&self) -> u32 {
        u32_at(&self.map, HEADER_BYTES - 4)
    }

    /// Row `game` of the game table, below [`Shard::n_games`].
    pub fn game(&self, game: u64) -> GameEntry {
        self.raw_game(game).expect("all rows were checked when the file was opened")
    }

    /// All rows of the game table.
    pub fn games(&self) -> impl Iterator<Item = GameEntry> {
        (0..self.n_games()).map(|i| self.game(i))
    }

    /// The record at `position`, below [`Shard::n_positions`].
    ///
    /// # Errors
    /// A block whose bytes do not have their checksum, or a record with a number out of range.
    pub fn record(&self, position: u64) -> Result<Record<'_>> {
        assert!(position < self.n_positions(), "a position of this shard");
        self.check_block(position / records_per_block(self.len()) as u64)?;
        let record = self.raw_record(position);
        record.check_numbers().map_err(|fault| self.record_error(position, fault.at, &fault.what))?;
        if u64::from(record.game()) >= self.n_games() {
            return Err(self.record_error(position, stride(self.len()), "no such game"));
        }
        Ok(record)
    }

    /// Blocks of the data.
    pub(super) fn n_blocks(&self) -> u64 {
        self.parts.n_blocks
    }

    /// Positions of a block.
    pub(super) fn block_positions(&self, block: u64) -> std::ops::Range<u64> {
        let per_block = records_per_block(self.len()) as u64;
        block * per_block..((block + 1) * per_block).min(self.n_positions())
    }

    /// A record whose block and numbers are not checked yet.
    pub(super) fn raw_record(&self, position: u64) -> Record<'_> {
        let stride = stride(self.len());
        let at = HEADER_BYTES + position as usize * stride;
        Record::new(&self.map[at..at + stride], self.len())
    }

    /// Compares a block's checksum once.
    pub(super) fn check_block(&self, block: u64) -> Result<()> {
        let checked = &self.checked[block as usize];
        if checked.load(Ordering::Relaxed) {
            return Ok(());
        }
        let positions = self.block_positions(block);
        let stride = stride(self.len());
        let at = HEADER_BYTES + positions.start as usize * stride;
        let data = &self.map[at..HEADER_BYTES + positions.end as usize * stride];
        let (crc, expected) = (crc32c::crc32c(data), u32_at(&self.map, self.parts.blocks_at as usize + block as usize * 4));
        if crc != expected {
            return Err(crc_error(&self.path, at as u64, &format!("block {block}"), crc, expected));
        }
        checked.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Something wrong at byte `at` of the record at `position`.
    pub(super) fn record_error(&self, position: u64, at: usize, what: &str) -> Error {
        let byte = HEADER_BYTES as u64 + position * stride(self.len()) as u64 + at as u64;
        Error::at_byte(&self.path, byte, format!("position {position}: {what}")).hint(HINT_AGAIN)
    }

    fn raw_game(&self, game: u64) -> Option<GameEntry> {
        let at = self.parts.games_at as usize + game as usize * GAME_BYTES;
        GameEntry::from_bytes(self.map[at..].first_chunk()?)
    }

    /// The games' records follow each other without gap and end at the last record.
    fn check_games(&self) -> Result<()> {
        let mut next = 0;
        for i in 0..self.n_games() {
            let entry = self.raw_game(i).filter(|e| e.first_record == next && e.n_records > 0 && e.size.len_max() == self.len());
            let Some(entry) = entry else {
                let byte = self.parts.games_at + i * GAME_BYTES as u64;
                return Err(Error::at_byte(&self.path, byte, format!("game {i} has no valid entry")).hint(HINT_AGAIN));
            };
            next += u64::from(entry.n_records);
        }
        if next != self.n_positions() {
            let what = format!("the games have {next} positions, expected {}", self.n_positions());
            return Err(Error::at_byte(&self.path, self.parts.games_at, what).hint(HINT_AGAIN));
        }
        Ok(())
    }
}

fn too_short(path: &Path, map: &[u8]) -> Error {
    let magic = &super::layout::MAGIC;
    let ours = !map.is_empty() && map[..map.len().min(magic.len())] == magic[..map.len().min(magic.len())];
    if ours {
        let what = format!("{} bytes, expected at least {HEADER_BYTES}: the file is cut", map.len());
        Error::at_byte(path, map.len() as u64, what).hint(HINT_AGAIN)
    } else {
        Error::at_byte(path, 0, "not an edgezero shard file").hint(HINT_AGAIN)
    }
}

fn map_file(path: &Path) -> Result<Mmap> {
    let file = File::open(path).map_err(|e| Error::io(path, &e))?;
    if !file.metadata().map_err(|e| Error::io(path, &e))?.is_file() {
        return Err(Error::new(path.display(), "not a file"));
    }
    // SAFETY: the map is read-only and private to this process's view. Its length is compared with the header before
    // any use, and our writer never changes a shard file in place: it writes a new file and renames it, so a mapped
    // file keeps its bytes. Someone else cutting the file while it is mapped ends the process (SIGBUS), as with any map.
    unsafe { Mmap::map(&file) }.map_err(|e| Error::io(path, &e))
}
