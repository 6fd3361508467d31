//! What is on disk: a sorted walk through files and folders, the same on every machine.

use super::super::config::ArchiveConfig;
use super::kind::{self, HEAD_BYTES, Looks};
use crate::base::{Error, Result};
use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// Deepest folder below a given one; deeper ones are a loop or an accident.
const DEPTH_MAX: usize = 64;

/// What a walk met.
#[derive(Debug)]
pub enum Found {
    /// A file of records or an archive.
    File(Entry),
    /// A file of another kind.
    Other,
    /// A file or folder that could not be looked at, and why.
    Unreadable(PathBuf, String),
}

/// A file to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it is.
    pub path: PathBuf,
    /// Its path below the given folder, or the given path itself: with size and time its identity.
    pub name: Vec<u8>,
    /// Size in bytes; 0 where it could not be told.
    pub bytes: u64,
    /// Time of the last change, in nanoseconds since 1970; 0 where it could not be told.
    pub modified_ns: u64,
    /// Whether it was given by its own path, so that its name need not say that it is a record.
    pub named: bool,
    /// Whether its name or its first bytes say that it is an archive, not one record, be that packed or not.
    pub archive: bool,
}

impl Entry {
    /// Whether size and time are those of when it was found.
    pub(in super::super) fn is_as_before(&self, meta: &Metadata) -> bool {
        (self.bytes, self.modified_ns) == (meta.len(), modified_ns(meta))
    }
}

/// The files under some paths in a fixed order: paths as given, folders depth first, names sorted by their bytes (an
/// archive where that which it unpacks to would stand). Memory: the names of the folders on the way down.
pub struct Files {
    given: VecDeque<PathBuf>,
    n_given: usize,
    /// The given path being walked.
    root: PathBuf,
    open: Vec<Folder>,
    /// Where the shards go; never read as records.
    out: Option<PathBuf>,
}

/// A file that says of its folder that refused games were copied there.
pub(in super::super) const QUARANTINE_MARK: &str = ".edgezero-quarantine";

struct Folder {
    path: PathBuf,
    /// Its path without links, to see a link that leads back up.
    real: PathBuf,
    /// Names not yet visited, last first.
    names: Vec<OsString>,
}

impl Files {
    /// The files under `paths`, without the folder `out`. Of several paths, one that is not there is found unreadable.
    ///
    /// # Errors
    /// No path that is there.
    pub fn new(paths: &[PathBuf], out: &Path) -> Result<Files> {
        if !paths.is_empty() && !paths.iter().any(|path| path.symlink_metadata().is_ok()) {
            let more = if paths.len() > 1 { format!(" (nor are the {} others)", paths.len() - 1) } else { String::new() };
            let what = format!("no such file or folder{more}");
            return Err(Error::new(paths[0].display(), what).hint("a folder with .sgf files"));
        }
        let (given, out) = (paths.to_vec().into(), fs::canonicalize(out).ok());
        Ok(Files { given, n_given: paths.len(), root: PathBuf::new(), open: Vec::new(), out })
    }

    /// Which of the given paths the last file was found under.
    pub(in super::super) fn given_idx(&self) -> usize {
        self.n_given - self.given.len()
    }

    /// The last name of the given folder that the last file was found in, however it was reached; `None` for a file that
    /// was given.
    pub(in super::super) fn root_name(&self) -> Option<&OsStr> {
        self.open.first().and_then(|folder| folder.real.file_name())
    }

    fn enter(&mut self, path: PathBuf) -> Option<Found> {
        let unreadable = |path: &Path, what: String| Some(Found::Unreadable(path.to_path_buf(), what));
        let real = match fs::canonicalize(&path) {
            Ok(real) => real,
            Err(e) => return unreadable(&path, e.to_string()),
        };
        let loops = self.open.iter().any(|folder| folder.real == real);
        if loops || self.out.as_ref() == Some(&real) {
            return None;
        }
        if self.open.len() >= DEPTH_MAX {
            return unreadable(&path, format!("deeper than {DEPTH_MAX} folders"));
        }
        let listed = fs::read_dir(&path).and_then(|dir| dir.map(|e| e.map(|e| e.file_name())).collect());
        let mut names: Vec<OsString> = match listed {
            Ok(names) => names,
            Err(e) => return unreadable(&path, e.to_string()),
        };
        // What was refused once is not taken in as records of its own.
        if names.iter().any(|name| name == QUARANTINE_MARK) {
            return None;
        }
        names.sort_by_cached_key(|name| {
            let mut key = Vec::with_capacity(name.len() + 1);
            kind::push_key(&mut key, name.as_encoded_bytes());
            std::cmp::Reverse(key)
        });
        self.open.push(Folder { path, real, names });
        None
    }

    /// What the path of something that is no folder leads to.
    fn file(&self, path: PathBuf, meta: std::io::Result<Metadata>) -> Found {
        let named = self.open.is_empty();
        let file_name = path.file_name().unwrap_or_default().as_encoded_bytes();
        let wanted = named || kind::is_record(file_name) || kind::archive_suffix(file_name).is_some();
        let wanted = wanted || kind::is_unread_archive(file_name);
        let (bytes, modified_ns) = match &meta {
            Err(e) if wanted => return Found::Unreadable(path, e.to_string()),
            Err(_) => return Found::Other,
            // Opening a pipe could wait for ever.
            Ok(meta) if !meta.is_file() && named => return Found::Unreadable(path, "not a file".to_string()),
            Ok(meta) if !meta.is_file() => return Found::Other,
            Ok(meta) => (meta.len(), modified_ns(meta)),
        };
        let told = kind::is_record(kind::stem(file_name)) || kind::archive_suffix(file_name).is_some();
        let packed = !told && !kind::is_document(file_name) && looks_packed(&path);
        if !wanted && !packed {
            return Found::Other;
        }
        let archive = packed || kind::archive_suffix(file_name).is_some() && !kind::is_record(kind::stem(file_name));
        let name = if named { path.as_path() } else { path.strip_prefix(&self.root).unwrap_or(&path) };
        let name = name.as_os_str().as_encoded_bytes().to_vec();
        Found::File(Entry { path, name, bytes, modified_ns, named, archive })
    }
}

impl Iterator for Files {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        loop {
            let path = match self.open.last_mut() {
                Some(folder) => match folder.names.pop() {
                    Some(name) => folder.path.join(name),
                    None => {
                        self.open.pop();
                        continue;
                    }
                },
                None => {
                    self.root = self.given.pop_front()?;
                    self.root.clone()
                }
            };
            let meta = fs::metadata(&path);
            if meta.as_ref().is_ok_and(Metadata::is_dir) {
                match self.enter(path) {
                    Some(found) => return Some(found),
                    None => continue,
                }
            }
            return Some(self.file(path, meta));
        }
    }
}

fn modified_ns(meta: &Metadata) -> u64 {
    let since = meta.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok());
    since.map_or(0, |d| d.as_nanos() as u64)
}

/// Whether the first bytes of a file whose name says nothing are those of an archive.
fn looks_packed(path: &Path) -> bool {
    let mut head = Vec::with_capacity(HEAD_BYTES);
    let read = File::open(path).and_then(|file| file.take(HEAD_BYTES as u64).read_to_end(&mut head));
    read.is_ok() && kind::looks(&head) != Looks::Plain
}

/// The most that an archive of that size may unpack to.
pub(in super::super) fn unpacked_bytes_max(limits: &ArchiveConfig, packed_bytes: u64) -> u64 {
    (limits.unpacked_mb << 20).min(packed_bytes.saturating_mul(limits.ratio_max).saturating_add(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct TempDir(PathBuf);

    impl TempDir {
        fn new(name: &str) -> TempDir {
            let dir = std::env::temp_dir().join(format!("edgezero-files-{name}-{}", std::process::id()));
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

    fn names(root: &Path, out: &Path) -> Vec<String> {
        Files::new(&[root.to_path_buf()], out)
            .unwrap()
            .map(|found| match found {
                Found::File(entry) => entry.path.strip_prefix(root).unwrap().display().to_string(),
                Found::Other => "other".to_string(),
                Found::Unreadable(path, _) => format!("unreadable {}", path.display()),
            })
            .collect()
    }

    #[test]
    fn walks_in_a_fixed_order_without_loops() {
        let dir = TempDir::new("walk");
        let root = &dir.0;
        for name in ["b.sgf", "a.SGF", "notes.txt", "sub/c.sgf", "sub/deep/d.sgf", "out/len9.new"] {
            fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
            fs::write(root.join(name), "x").unwrap();
        }
        #[cfg(unix)]
        std::os::unix::fs::symlink(root, root.join("sub/back")).unwrap();
        let expected = ["a.SGF", "b.sgf", "other", "sub/c.sgf", "sub/deep/d.sgf"];
        assert_eq!(names(root, &root.join("out")), expected);
        assert!(Files::new(&[root.join("none")], root).is_err());
        fs::write(root.join("sub/games.bin"), b"PK\x03\x04").unwrap();
        assert!(names(root, &root.join("out")).iter().any(|name| name == "sub/games.bin"));
        let given: Vec<_> = Files::new(&[root.join("notes.txt")], root).unwrap().collect();
        assert!(matches!(&given[..], [Found::File(entry)] if entry.path.ends_with("notes.txt")));
    }
}
