//! Which records are converted together: a survey of the sources cuts their walk into groups.
//!
//! A group is a run of neighbouring files of the walk. Its shards are made anew as a whole when one of its files
//! changes, so where it ends must follow from the files themselves, and a change must not move the cuts elsewhere:
//!
//! * where one given folder ends, where a folder right below it ends, and around an archive that is not small: these are
//!   sections, so that a folder or an archive that is added adds groups. After [`SECTIONS_MAX`] of them only what follows
//!   counts;
//! * from [`GROUP_BYTES_MIN`] on, where the folder changes, and after a file whose name and size happen to say so, on
//!   average each [`GROUP_BYTES_MEAN`]: a file that comes or goes moves the cuts only up to the next such file;
//! * at [`GROUP_BYTES_MAX`] and [`GROUP_FILES_MAX`] whatever the names say.
//!
//! An archive that is a section is a group of its own. Its members are cut by the same rules into shard files, so that it
//! gives those of its unpacked folder.
//!
//! What is kept in memory is 64 bytes a group; the files wait in a listing on disk.

use super::config::ConvertConfig;
use super::listing::Listing;
use super::plan::Needs;
use super::source::{Entry, Files, Found, is_packed, parts_inside};
use crate::base::rng::mix;
use crate::base::{Error, Result};
use crate::shard::{GroupKey, Source};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Changes whenever the same records would give other shards, so that old shards are made anew.
const CONVERTER_VERSION: u32 = 7;
/// Most sections: each costs files, which are all open in training.
const SECTIONS_MAX: u32 = 1000;
/// Bytes of records below which a group is not worth files of its own: about 18 MB of 19x19 shards.
const GROUP_BYTES_MIN: u64 = 256 << 10;
/// Bytes of records from one cut by name to the next, on average: about 140 MB of 19x19 shards.
const GROUP_BYTES_MEAN: u64 = 2 << 20;
/// Bytes of records at which a group ends in any case, unless it is one file.
const GROUP_BYTES_MAX: u64 = 8 << 20;
/// Files at which a group ends in any case.
const GROUP_FILES_MAX: u32 = 1 << 15;
/// How many times its size a packed file is taken for: records pack 3 to 10 times.
pub(super) const PACKED_FACTOR: u64 = 4;

/// What a group is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Files: one shard file for each array length.
    Files,
    /// One archive, cut as its unpacked folder would be.
    Archive,
}

/// A group to be made.
#[derive(Clone, Copy, Debug)]
pub(super) struct PlannedGroup {
    /// Identity of its files: names, sizes, modification times, and how they are converted.
    pub key: GroupKey,
    pub form: Form,
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
    /// What memory will be needed for.
    pub needs: Needs,
    /// The groups in order.
    pub groups: Vec<PlannedGroup>,
}

/// Looks at name, size and modification time of every file of records and every archive; writes them down in `listing`
/// where there is one.
///
/// # Errors
/// No path that is there; a listing that cannot be written.
pub(super) fn survey(paths: &[PathBuf], out: &Path, config: &ConvertConfig, mut listing: Option<&mut Listing>) -> Result<Survey> {
    let mut groups = GroupsInMaking::new(config)?;
    let mut files = Files::new(paths, out)?;
    let (mut n_files, mut n_others, mut bytes, mut needs) = (0, 0, 0, Needs::default());
    while let Some(found) = files.next() {
        match &found {
            Found::Other => {
                n_others += 1;
                continue;
            }
            Found::Unreadable(path, _) => {
                let name = path.as_os_str().as_encoded_bytes().to_vec();
                let (path, named) = (path.clone(), files.root_name().is_none());
                let entry = Entry { path, name, bytes: 0, modified_ns: u64::MAX, named, archive: false };
                groups.add(&files, &entry, listing.as_deref());
            }
            Found::File(entry) => {
                n_files += 1;
                bytes += entry.bytes;
                needs.add(entry, &config.archive);
                groups.add(&files, entry, listing.as_deref());
            }
        }
        if let Some(listing) = &mut listing {
            listing.push(&found)?;
        }
    }
    let groups = groups.finish();
    let mut identity = Sha256::new();
    groups.iter().for_each(|group| identity.update(group.key.0));
    let identity = identity.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Survey { source: Source { identity, n_files, n_others, bytes }, needs, groups })
}

/// The groups up to the present file.
struct GroupsInMaking {
    /// What all keys begin with: version and settings.
    start: Sha256,
    key: Sha256,
    cutter: Cutter,
    form: Form,
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
        Ok(GroupsInMaking { start, key, cutter, form: Form::Files, bytes: 0, n_items: 0, listing_at: 0, done, copies })
    }

    fn add(&mut self, files: &Files, entry: &Entry, listing: Option<&Listing>) {
        // The given folder's own name and the names below it, so that the same folder reached another way stays the same.
        let root = files.root_name().unwrap_or_default().as_encoded_bytes();
        let folder = entry.path.parent().unwrap_or(&entry.path).as_os_str().as_encoded_bytes();
        let name = entry.path.file_name().unwrap_or_default().as_encoded_bytes();
        let size = if is_packed(name) { entry.bytes.saturating_mul(PACKED_FACTOR) } else { entry.bytes };
        let section = self.cutter.section_of(files.given_idx(), entry, size);
        if self.cutter.cuts_before(&section, Place { folder, name, size }) {
            self.end();
            self.listing_at = listing.map_or(0, Listing::bytes);
        }
        self.form = if self.cutter.stands_alone(&section) { Form::Archive } else { Form::Files };
        for name in [root, if entry.named { name } else { &entry.name }] {
            self.key.update((name.len() as u64).to_le_bytes());
            self.key.update(name);
        }
        self.key.update(entry.bytes.to_le_bytes());
        self.key.update(entry.modified_ns.to_le_bytes());
        self.bytes += entry.bytes;
        self.n_items += 1;
    }

    fn end(&mut self) {
        let hash = std::mem::replace(&mut self.key, self.start.clone()).chain_update([self.form as u8]);
        let mut key = GroupKey(hash.clone().finalize().into());
        let n_before = self.copies.entry(key).or_default();
        if *n_before > 0 {
            key = GroupKey(hash.chain_update(n_before.to_le_bytes()).finalize().into());
        }
        *n_before += 1;
        let (form, bytes, n_items, listing_at) = (self.form, self.bytes, self.n_items, self.listing_at);
        self.done.push(PlannedGroup { key, form, bytes, n_items, listing_at });
        (self.bytes, self.n_items) = (0, 0);
    }

    fn finish(mut self) -> Vec<PlannedGroup> {
        if self.n_items > 0 {
            self.end();
        }
        self.done
    }
}

/// A part of the walk that has groups of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Section {
    /// Files that were given by their own paths, and what comes after the last section there may be.
    #[default]
    Rest,
    /// The files of a given folder that are in none of its folders, or those in one of them.
    Folder(usize, Vec<u8>),
    /// An archive.
    Archive(usize, Vec<u8>),
}

/// A file as far as cuts depend on it.
struct Place<'a> {
    folder: &'a [u8],
    name: &'a [u8],
    /// Bytes of records, about.
    size: u64,
}

/// Decides where groups end, from the records alone.
#[derive(Default)]
pub(super) struct Cutter {
    section: Section,
    n_sections: u32,
    folder: u32,
    bytes: u64,
    n_files: u32,
    /// The last record asked for a cut.
    wants_cut: bool,
}

impl Cutter {
    fn section_of(&self, given_idx: usize, entry: &Entry, size: u64) -> Section {
        if entry.archive && (entry.named || size >= GROUP_BYTES_MIN) {
            return Section::Archive(given_idx, entry.path.as_os_str().as_encoded_bytes().to_vec());
        }
        if entry.named {
            return Section::Rest;
        }
        let first = entry.name.iter().position(|&b| b == b'/').map_or(&[][..], |end| &entry.name[..end]);
        Section::Folder(given_idx, first.to_vec())
    }

    /// Whether a new group begins with this record. The first one begins no new group.
    fn cuts_before(&mut self, section: &Section, place: Place) -> bool {
        let folder = crc32c::crc32c(place.folder);
        let may_cut = self.bytes >= GROUP_BYTES_MIN && (self.wants_cut || self.folder != folder);
        let parts = *section != self.section && self.n_sections < SECTIONS_MAX;
        let must_cut = parts || self.bytes + place.size > GROUP_BYTES_MAX || self.n_files >= GROUP_FILES_MAX;
        let cuts = self.n_files > 0 && (may_cut || must_cut);
        if cuts {
            (self.bytes, self.n_files) = (0, 0);
        }
        if parts {
            self.n_sections += 1;
            self.section = section.clone();
        }
        self.folder = folder;
        self.bytes += place.size;
        self.n_files += 1;
        self.wants_cut = mix(u64::from(crc32c::crc32c(place.name)) << 32 ^ place.size) % GROUP_BYTES_MEAN < place.size;
        cuts
    }

    /// Whether the last record, which is of that section, is an archive with a group of its own.
    fn stands_alone(&self, section: &Section) -> bool {
        matches!(section, Section::Archive(..)) && self.section == *section
    }

    /// Whether a new shard file begins with this record of an archive; `inside` as [`super::source::Item::Records`] tells it.
    pub(super) fn cuts_inside(&mut self, inside: &[u8], size: u64) -> bool {
        let (first, folder, name) = parts_inside(inside);
        self.cuts_before(&Section::Folder(0, first.to_vec()), Place { folder, name, size })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::fs;
    use std::time::UNIX_EPOCH;

    /// The groups of files of these numbers: their first numbers.
    fn starts(files: impl Iterator<Item = u64>) -> Vec<u64> {
        let mut cutter = Cutter::default();
        let mut starts = Vec::new();
        for i in files {
            let (folder, name) = (format!("folder{}", i / 1000), format!("{i:06}.sgf"));
            let place = Place { folder: folder.as_bytes(), name: name.as_bytes(), size: 1000 + mix(i) % 2000 };
            if cutter.cuts_before(&Section::Rest, place) || starts.is_empty() {
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
        let mut cuts = |section: u8, folder: &str, size: u64| {
            let section = Section::Folder(0, vec![section]);
            cutter.cuts_before(&section, Place { folder: folder.as_bytes(), name: b"1", size })
        };
        assert!(!cuts(1, "a", 10));
        assert!(cuts(1, "a", 1 << 30));
        assert!(cuts(1, "a", 10));
        assert!(cuts(2, "b", 10));
        assert!(!cuts(2, "c", 10));
        // After the last section, folders part no more.
        for i in 0..2 * SECTIONS_MAX {
            let section = Section::Folder(i as usize, Vec::new());
            let cut = cutter.cuts_before(&section, Place { folder: b"", name: b"", size: 1 });
            assert_eq!(cut, i < SECTIONS_MAX - 2, "{i}");
        }
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
        let config = ConvertConfig::default();
        let look =
            |config: &ConvertConfig| survey(std::slice::from_ref(&dir.0), &dir.0.join("out"), config, None).unwrap().source;
        fs::write(dir.0.join("a.sgf"), "(;)").unwrap();
        let first = look(&config);
        assert_eq!((first.n_files, first.bytes, look(&config)), (1, 3, first.clone()));
        fs::write(dir.0.join("readme"), "x").unwrap();
        assert_eq!(look(&config), Source { n_others: 1, ..first.clone() });
        assert_ne!(look(&ConvertConfig { min_moves: 2, ..config.clone() }).identity, first.identity);
        assert_eq!(look(&ConvertConfig { workers: 9, ..config.clone() }).identity, first.identity);
        fs::rename(dir.0.join("a.sgf"), dir.0.join("b.sgf")).unwrap();
        let renamed = look(&config);
        assert_ne!(renamed.identity, first.identity);
        let file = fs::File::options().append(true).open(dir.0.join("b.sgf")).unwrap();
        file.set_modified(UNIX_EPOCH).unwrap();
        assert_ne!(look(&config).identity, renamed.identity);
    }
}
