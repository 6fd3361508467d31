//! A folder of shards.

use super::layout::HINT_AGAIN;
use super::manifest::{Manifest, ShardEntry};
use super::reader::Shard;
use crate::base::fs::create_dir;
use crate::base::{Error, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// An open data set: its mapped shards. Shared between threads in an `Arc`.
pub struct Dataset {
    dir: PathBuf,
    manifest: Manifest,
    shards: Vec<Shard>,
}

impl Dataset {
    /// Opens the data set in `dir`.
    ///
    /// # Errors
    /// A half-written or foreign folder; a shard file that is missing, damaged, or not the one the manifest names.
    pub fn open(dir: &Path) -> Result<Dataset> {
        let manifest = Manifest::read(dir)?;
        let shards = manifest.shards.iter().map(|entry| entry.open(dir)).collect::<Result<Vec<Shard>>>()?;
        if let Some(pair) = shards.windows(2).find(|pair| pair[0].len() > pair[1].len()) {
            let what = format!("out of order: array length {} after {}", pair[1].len(), pair[0].len());
            return Err(Error::new(pair[1].path().display(), what).hint(HINT_AGAIN));
        }
        Ok(Dataset { dir: dir.to_path_buf(), manifest, shards })
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where the data set came from and what was refused.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Games of all sizes.
    pub fn n_games(&self) -> u64 {
        self.shards.iter().map(Shard::n_games).sum()
    }

    /// Positions of all sizes.
    pub fn n_positions(&self) -> u64 {
        self.shards.iter().map(Shard::n_positions).sum()
    }

    /// Games of each board, by width and height.
    pub fn boards(&self) -> BTreeMap<(usize, usize), u64> {
        let mut boards = BTreeMap::new();
        for game in self.shards.iter().flat_map(Shard::games) {
            *boards.entry((game.size.w(), game.size.h())).or_default() += 1;
        }
        boards
    }

    /// Array lengths (longer sides of the boards), ascending.
    pub fn board_lens(&self) -> Vec<usize> {
        let mut lens: Vec<usize> = self.shards.iter().map(Shard::len).collect();
        lens.dedup();
        lens
    }

    /// Makes the new folder `dir` a data set of the same shards, without groups and ledger. Its files are hard links: they
    /// cost no room as long as this folder has them too, and stay when a conversion replaces them here.
    ///
    /// # Errors
    /// A file system without links, or another one than that of the shards; shards that were replaced meanwhile.
    pub fn link_into(&self, dir: &Path) -> Result<()> {
        create_dir(dir)?;
        let mut files: Vec<&str> = self.manifest.shards.iter().map(|entry| entry.file.as_str()).collect();
        files.sort_unstable();
        // Groups of the same content share a file.
        files.dedup();
        for file in files {
            std::fs::hard_link(self.dir.join(file), dir.join(file)).map_err(|e| Error::io(&dir.join(file), &e))?;
        }
        self.manifest.alone().write(dir)
    }

    /// All shards, shortest array first, those of one length in the order of their sources.
    pub fn shards(&self) -> &[Shard] {
        &self.shards
    }

    /// The shards of boards whose longer side is `len`: one population. None where there are no such boards.
    pub fn shards_of(&self, len: usize) -> &[Shard] {
        let first = self.shards.partition_point(|shard| shard.len() < len);
        let n = self.shards[first..].partition_point(|shard| shard.len() == len);
        &self.shards[first..first + n]
    }
}

impl ShardEntry {
    /// Opens the shard file in `dir` that this names.
    pub(super) fn open(&self, dir: &Path) -> Result<Shard> {
        // Only a plain name: a manifest must not lead out of its folder.
        if Path::new(&self.file).file_name().is_none_or(|name| name != self.file.as_str()) {
            return Err(Error::new(dir.display(), format!("manifest names {:?}", self.file)).hint(HINT_AGAIN));
        }
        let shard = Shard::open(&dir.join(&self.file))?;
        let found = (shard.len(), shard.n_games(), shard.n_positions(), shard.header_crc());
        if found != (self.len, self.games, self.positions, self.header_crc) {
            let what = format!(
                "length {}, {} games, {} positions, identity {:08x}; manifest.json says {}, {}, {}, {:08x}",
                found.0, found.1, found.2, found.3, self.len, self.games, self.positions, self.header_crc
            );
            return Err(Error::at_byte(shard.path(), 12, what).hint(HINT_AGAIN));
        }
        Ok(shard)
    }
}
