//! Which records are converted together: a survey of the sources cuts their walk into groups.
//!
//! A group is a run of neighbouring files of the walk. Its shards are made anew as a whole when one of its files
//! changes, so where it ends must follow from the files themselves, and a change must not move the cuts elsewhere:
//!
//! * always where one given folder ends, and where a folder right below it ends, so that a folder that is added adds
//!   groups (unless there are more than [`super::files::SECTIONS_MAX`] of them);
//! * from [`GROUP_BYTES_MIN`] on, where the folder changes, and after a file whose name and size happen to say so, on
//!   average each [`GROUP_BYTES_MEAN`]: a file that comes or goes moves the cuts only up to the next such file;
//! * at [`GROUP_BYTES_MAX`] and [`GROUP_FILES_MAX`] whatever the names say.
//!
//! What is kept in memory is 56 bytes a group; the files wait in a listing on disk.

use super::config::ConvertConfig;
use super::files::{Files, Found};
use super::listing::Listing;
use crate::base::rng::mix;
use crate::base::{Error, Result};
use crate::shard::{GroupKey, Source};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// Changes whenever the same records would give other shards, so that old shards are made anew.
const CONVERTER_VERSION: u32 = 3;
/// Bytes of records below which a group is not worth files of its own: about 18 MB of 19x19 shards.
const GROUP_BYTES_MIN: u64 = 256 << 10;
/// Bytes of records from one cut by name to the next, on average: about 140 MB of 19x19 shards.
const GROUP_BYTES_MEAN: u64 = 2 << 20;
/// Bytes of records at which a group ends in any case, unless it is one file.
const GROUP_BYTES_MAX: u64 = 8 << 20;
/// Files at which a group ends in any case.
const GROUP_FILES_MAX: u32 = 1 << 15;

/// A group to be made.
#[derive(Clone, Copy, Debug)]
pub(super) struct PlannedGroup {
    /// Identity of its files: names, sizes, modification times, and how they are converted.
    pub key: GroupKey,
    /// Bytes of its files.
    pub bytes: u64,
    /// Its items in the listing.
    pub n_items: u32,
    /// Where they begin there.
    pub listing_at: u64,
}

/// What a walk tells before anything is read.
pub(super) struct Survey {
    /// Identity and sums.
    pub source: Source,
    /// Files that are no records.
    pub n_skipped: u64,
    /// Largest file in bytes.
    pub bytes_max: u64,
    /// The groups in order.
    pub groups: Vec<PlannedGroup>,
}

/// Looks at name, size and modification time of every record file; writes them down in `listing` where there is one.
///
/// # Errors
/// A path that is not there; a listing that cannot be written.
pub(super) fn survey(paths: &[PathBuf], out: &Path, config: &ConvertConfig, mut listing: Option<&mut Listing>) -> Result<Survey> {
    let mut groups = GroupsInMaking::new(config)?;
    let mut files = Files::new(paths, out)?;
    let (mut n_files, mut n_skipped, mut bytes, mut bytes_max) = (0, 0, 0, 0);
    while let Some(found) = files.next() {
        let (path, size) = match &found {
            Found::Other => {
                n_skipped += 1;
                continue;
            }
            Found::Unreadable(path, _) => (path, 0),
            Found::Record(path) => {
                let meta = std::fs::metadata(path);
                let size = meta.as_ref().map_or(0, |m| m.len());
                let modified = meta.and_then(|m| m.modified()).ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok());
                n_files += 1;
                bytes += size;
                bytes_max = bytes_max.max(size);
                groups.add(&files, path, size, modified.map_or(0, |d| d.as_nanos()), listing.as_deref())?;
                (path, size)
            }
        };
        if matches!(found, Found::Unreadable(..)) {
            groups.add(&files, path, 0, u128::MAX, listing.as_deref())?;
        }
        if let Some(listing) = &mut listing {
            listing.push(&found, size)?;
        }
    }
    let groups = groups.finish();
    let mut identity = Sha256::new();
    groups.iter().for_each(|group| identity.update(group.key.0));
    let identity = identity.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Survey { source: Source { identity, n_files, bytes }, n_skipped, bytes_max, groups })
}

/// The groups up to the present file.
struct GroupsInMaking {
    /// What all keys begin with: version and settings.
    start: Sha256,
    key: Sha256,
    cutter: Cutter,
    bytes: u64,
    n_items: u32,
    listing_at: u64,
    done: Vec<PlannedGroup>,
    /// How often a key came up: copies of a folder have one name and one time a file.
    copies: HashMap<GroupKey, u32>,
}

impl GroupsInMaking {
    fn new(config: &ConvertConfig) -> Result<GroupsInMaking> {
        // Threads and queues change no byte.
        let settings = ConvertConfig { workers: 0, queue_games: 0, ..config.clone() };
        let settings = serde_json::to_vec(&settings).map_err(|e| Error::new("settings", e))?;
        let start = Sha256::new_with_prefix(CONVERTER_VERSION.to_le_bytes()).chain_update(settings);
        let (key, cutter) = (start.clone(), Cutter::default());
        let (done, copies) = (Vec::new(), HashMap::new());
        Ok(GroupsInMaking { start, key, cutter, bytes: 0, n_items: 0, listing_at: 0, done, copies })
    }

    fn add(&mut self, files: &Files, path: &Path, size: u64, time: u128, listing: Option<&Listing>) -> Result<()> {
        let folder = path.parent().unwrap_or(path).as_os_str().as_encoded_bytes();
        let file = path.file_name().unwrap_or_default().as_encoded_bytes();
        if self.cutter.cuts_before(files.section(), folder, file, size) {
            self.end();
            self.listing_at = listing.map_or(0, Listing::bytes);
        }
        // The given folder's own name and the names below it, so that the same folder reached another way stays the same.
        let root = files.root_name().unwrap_or_default().as_encoded_bytes();
        let name = files.root().and_then(|root| path.strip_prefix(root).ok()).map_or(file, |p| p.as_os_str().as_encoded_bytes());
        for name in [root, name] {
            self.key.update((name.len() as u64).to_le_bytes());
            self.key.update(name);
        }
        self.key.update(size.to_le_bytes());
        self.key.update(time.to_le_bytes());
        self.bytes += size;
        self.n_items += 1;
        Ok(())
    }

    fn end(&mut self) {
        let hash = std::mem::replace(&mut self.key, self.start.clone());
        let mut key = GroupKey(hash.clone().finalize().into());
        let n_before = self.copies.entry(key).or_default();
        if *n_before > 0 {
            key = GroupKey(hash.chain_update(n_before.to_le_bytes()).finalize().into());
        }
        *n_before += 1;
        let (bytes, n_items, listing_at) = (self.bytes, self.n_items, self.listing_at);
        self.done.push(PlannedGroup { key, bytes, n_items, listing_at });
        (self.bytes, self.n_items) = (0, 0);
    }

    fn finish(mut self) -> Vec<PlannedGroup> {
        if self.n_items > 0 {
            self.end();
        }
        self.done
    }
}

/// Decides where groups end, from the records alone.
#[derive(Default)]
struct Cutter {
    section: u64,
    folder: u32,
    bytes: u64,
    n_files: u32,
    /// The last record asked for a cut.
    wants_cut: bool,
}

impl Cutter {
    /// Whether a new group begins with this record of `size` bytes. The first one begins no new group.
    fn cuts_before(&mut self, section: u64, folder: &[u8], name: &[u8], size: u64) -> bool {
        let folder = crc32c::crc32c(folder);
        let may_cut = self.bytes >= GROUP_BYTES_MIN && (self.wants_cut || self.folder != folder);
        let must_cut = section != self.section || self.bytes + size > GROUP_BYTES_MAX || self.n_files >= GROUP_FILES_MAX;
        let cuts = self.n_files > 0 && (may_cut || must_cut);
        if cuts {
            (self.bytes, self.n_files) = (0, 0);
        }
        (self.section, self.folder) = (section, folder);
        self.bytes += size;
        self.n_files += 1;
        self.wants_cut = mix(u64::from(crc32c::crc32c(name)) << 32 ^ size) % GROUP_BYTES_MEAN < size;
        cuts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::Duplicates;
    use std::collections::HashSet;
    use std::fs;

    /// The groups of files of these numbers: their first numbers.
    fn starts(files: impl Iterator<Item = u64>) -> Vec<u64> {
        let mut cutter = Cutter::default();
        let mut starts = Vec::new();
        for i in files {
            let folder = format!("folder{}", i / 1000);
            if cutter.cuts_before(1, folder.as_bytes(), format!("{i:06}.sgf").as_bytes(), 1000 + mix(i) % 2000)
                || starts.is_empty()
            {
                starts.push(i);
            }
        }
        starts
    }

    #[test]
    fn cuts_stay_where_files_come_and_go() {
        let all = starts(0..60_000);
        // 120 MB: folders of 2 MB each, some of which are cut once more.
        assert!((60..150).contains(&all.len()), "{} groups", all.len());
        let known: HashSet<u64> = all.iter().copied().collect();
        for gone in [0, 1, 777, 15_000, 59_999] {
            let moved = starts((0..60_000).filter(|&i| i != gone)).iter().filter(|start| !known.contains(start)).count();
            assert!(moved <= 1, "without {gone}: {moved} cuts moved");
        }
    }

    #[test]
    fn large_files_stand_alone_and_sections_part() {
        let mut cutter = Cutter::default();
        assert!(!cutter.cuts_before(1, b"a", b"1", 10));
        assert!(cutter.cuts_before(1, b"a", b"2", 1 << 30));
        assert!(cutter.cuts_before(1, b"a", b"3", 10));
        assert!(cutter.cuts_before(2, b"b", b"4", 10));
        assert!(!cutter.cuts_before(2, b"c", b"5", 10));
    }

    struct TempDir(PathBuf);

    impl TempDir {
        fn new(name: &str) -> TempDir {
            let dir = std::env::temp_dir().join(format!("edgezero-groups-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&dir);
            fs::create_dir_all(&dir).unwrap();
            TempDir(dir)
        }
    }

    impl Drop for TempDir {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn identity_follows_names_sizes_and_times() {
        let dir = TempDir::new("identity");
        let config = ConvertConfig { workers: 1, queue_games: 1, min_moves: 1, duplicates: Duplicates::Drop };
        let look =
            |config: &ConvertConfig| survey(std::slice::from_ref(&dir.0), &dir.0.join("out"), config, None).unwrap().source;
        fs::write(dir.0.join("a.sgf"), "(;)").unwrap();
        let first = look(&config);
        assert_eq!((first.n_files, first.bytes, look(&config)), (1, 3, first.clone()));
        fs::write(dir.0.join("readme"), "x").unwrap();
        assert_eq!(look(&config), first);
        assert_ne!(look(&ConvertConfig { min_moves: 2, ..config.clone() }).identity, first.identity);
        assert_eq!(look(&ConvertConfig { workers: 9, ..config.clone() }), first);
        fs::rename(dir.0.join("a.sgf"), dir.0.join("b.sgf")).unwrap();
        let renamed = look(&config);
        assert_ne!(renamed.identity, first.identity);
        let file = fs::File::options().append(true).open(dir.0.join("b.sgf")).unwrap();
        file.set_modified(UNIX_EPOCH).unwrap();
        assert_ne!(look(&config).identity, renamed.identity);
    }
}
