//! A group: the part of a data set that was made from one run of sources and is made anew as a whole.

use super::layout::{GameHash, HINT_AGAIN};
use super::ledger::CheckedFile;
use super::manifest::{LedgerEntry, Report, ShardEntry};
use super::reader::Shard;
use crate::base::{Error, Result, fs};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;

/// How the names of group files begin.
pub(super) const GROUP_PREFIX: &str = "group-";
/// Largest group file, in bytes: a thousand refusals, and fourteen million dropped games of 36 bytes.
const GROUP_BYTES_MAX: u64 = 512 << 20;

/// Identity of the sources of a group and of the way they are converted: SHA-256.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupKey(pub [u8; 32]);

impl fmt::Display for GroupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Whether the same sources would give the same group again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Completeness {
    /// Everything was read.
    #[default]
    Whole,
    /// Something could not be read and may be readable the next time.
    Partial,
}

/// What a group's file in the folder says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// Its [`GroupKey`] in hexadecimal digits.
    pub key: String,
    /// Whether it may be kept when its sources are the same.
    pub completeness: Completeness,
    /// What became of its records.
    pub report: Report,
    /// Hashes of the games that are left out because an earlier group has them, in hexadecimal digits.
    pub dropped: Vec<String>,
    /// Other hashes that no earlier group had, beside those of its games in the shards: were one to have them, what became
    /// of some game here would be another thing.
    pub passed: Vec<String>,
    /// Its part of the ledger.
    pub ledger: LedgerEntry,
    /// Its shard files, up to each cut shortest array first.
    pub shards: Vec<ShardEntry>,
}

/// A group as the manifest names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupEntry {
    /// Name of its file in the folder; it carries key and content.
    pub file: String,
    /// Name of the file with its part of the ledger; it carries key and content, too.
    pub ledger: String,
    /// Whether it may be kept when its sources are the same.
    pub completeness: Completeness,
}

impl Group {
    /// Reads a group's file.
    ///
    /// # Errors
    /// A file that is missing or none of ours, or has other content than its name says.
    pub fn read(dir: &Path, file: &str) -> Result<Group> {
        let path = dir.join(file);
        let bytes = fs::read_limited(&path, GROUP_BYTES_MAX).map_err(|e| e.hint(HINT_AGAIN))?;
        let group: Group = serde_json::from_slice(&bytes).map_err(|e| {
            Error::new(format!("{}:{}:{}", path.display(), e.line(), e.column()), format!("no group of ours: {e}"))
                .hint(HINT_AGAIN)
        })?;
        if file != group_file(&group.key, &bytes) {
            return Err(Error::new(path.display(), "other content than its name says: the file is damaged").hint(HINT_AGAIN));
        }
        Ok(group)
    }

    /// Writes the group's file, whole or not at all.
    pub(super) fn write(&self, dir: &Path) -> Result<GroupEntry> {
        let mut text = serde_json::to_vec_pretty(self).map_err(|e| Error::new(dir.display(), e))?;
        text.push(b'\n');
        let file = group_file(&self.key, &text);
        if text.len() as u64 > GROUP_BYTES_MAX {
            let what = format!("{} bytes, at most {GROUP_BYTES_MAX} are read again", text.len());
            return Err(
                Error::new(dir.join(file).display(), what).hint("smaller archives: one file of records a group is too large")
            );
        }
        let mut out = fs::WholeFile::create(&dir.join(&file))?;
        out.write(&text)?;
        out.place()?;
        Ok(GroupEntry { file, ledger: self.ledger_file(), completeness: self.completeness })
    }

    /// Opens its shards: files that are missing, cut or of another content are errors; the data blocks are not read.
    pub fn open_shards(&self, dir: &Path) -> Result<Vec<Shard>> {
        self.shards.iter().map(|entry| entry.open(dir)).collect()
    }

    /// Whether its files are there, as far as can be seen without reading them.
    pub fn is_there(&self, dir: &Path) -> bool {
        self.open_ledger(dir).is_ok() && self.open_shards(dir).is_ok()
    }

    /// Its part of the ledger, as it was given to the writer; a difference from what was written is an error at its end.
    pub fn open_ledger(&self, dir: &Path) -> Result<CheckedFile> {
        CheckedFile::open(&dir.join(self.ledger_file()), self.ledger)
    }

    /// Name of the file of its part of the ledger.
    pub(super) fn ledger_file(&self) -> String {
        file_of(&self.key, self.ledger.crc, "ledger")
    }
}

/// The hash that these hexadecimal digits tell; `None` for other text.
pub fn hash_of(text: &str) -> Option<GameHash> {
    u128::from_str_radix(text, 16).ok().map(|hash| GameHash(hash.to_be_bytes()))
}

/// `group-KEY-CONTENT.json`: a group made twice with different content has two files.
fn group_file(key: &str, content: &[u8]) -> String {
    file_of(key, crc32c::crc32c(content), "json")
}

fn file_of(key: &str, crc: u32, suffix: &str) -> String {
    let key: String = key.chars().take(16).collect();
    format!("{GROUP_PREFIX}{key}-{crc:08x}.{suffix}")
}
