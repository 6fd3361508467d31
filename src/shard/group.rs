//! A group: the part of a data set that was made from one run of sources and is made anew as a whole.

use super::layout::{GameHash, HINT_AGAIN};
use super::manifest::{Report, ShardEntry};
use super::reader::Shard;
use crate::base::{Error, Result, fs};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;

/// How the names of group files begin.
pub(super) const GROUP_PREFIX: &str = "group-";
/// Largest group file read, in bytes: a thousand refusals, and two million dropped games of 36 bytes.
const GROUP_BYTES_MAX: u64 = 80 << 20;

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
    /// Its shard files, up to each cut shortest array first.
    pub shards: Vec<ShardEntry>,
}

/// A group as the manifest names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupEntry {
    /// Name of its file in the folder; it carries key and content.
    pub file: String,
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
        let mut out = fs::WholeFile::create(&dir.join(&file))?;
        out.write(&text)?;
        out.place()?;
        Ok(GroupEntry { file, completeness: self.completeness })
    }

    /// Opens its shards: files that are missing, cut or of another content are errors; the data blocks are not read.
    pub fn open_shards(&self, dir: &Path) -> Result<Vec<Shard>> {
        self.shards.iter().map(|entry| entry.open(dir)).collect()
    }

    /// The games left out because an earlier group has them; `None` for text that is no hash.
    pub fn dropped_hashes(&self) -> impl Iterator<Item = Option<GameHash>> {
        self.dropped.iter().map(|text| u128::from_str_radix(text, 16).ok().map(|hash| GameHash(hash.to_be_bytes())))
    }
}

/// `group-KEY-CONTENT.json`: a group made twice with different content has two files.
fn group_file(key: &str, content: &[u8]) -> String {
    let key: String = key.chars().take(16).collect();
    format!("{GROUP_PREFIX}{key}-{:08x}.json", crc32c::crc32c(content))
}
