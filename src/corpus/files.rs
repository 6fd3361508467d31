//! Which files are records: a sorted walk through folders, the same on every machine.

use crate::base::{Error, Result};
use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

/// Most folders right below a given one that are sections of their own: each costs files, which are all open in training.
pub(super) const SECTIONS_MAX: usize = 1000;
/// Deepest folder below a given one; deeper ones are a loop or an accident.
const DEPTH_MAX: usize = 64;

/// What a walk met.
#[derive(Debug)]
pub(super) enum Found {
    /// A file to be read as a record.
    Record(PathBuf),
    /// A file of another kind.
    Other,
    /// A folder that could not be read.
    Unreadable(PathBuf, String),
}

/// The files under some paths in a fixed order: paths as given, folders depth first, names sorted by their bytes.
/// Memory: the names of the folders on the way down.
pub(super) struct Files {
    given: VecDeque<PathBuf>,
    open: Vec<Folder>,
    /// Where the shards go; never read as records.
    out: Option<PathBuf>,
    section: u64,
}

struct Folder {
    path: PathBuf,
    /// Its path without links, to see a link that leads back up.
    real: PathBuf,
    /// Names not yet visited, last first.
    names: Vec<OsString>,
    /// Folders right below it, about: links are counted.
    n_folders: usize,
}

impl Files {
    /// The files under `paths`, without the folder `out`.
    ///
    /// # Errors
    /// A path that is not there.
    pub(super) fn new(paths: &[PathBuf], out: &Path) -> Result<Files> {
        if let Some(missing) = paths.iter().find(|path| !path.exists()) {
            return Err(Error::new(missing.display(), "no such file or folder").hint("a folder with .sgf files"));
        }
        Ok(Files { given: paths.to_vec().into(), open: Vec::new(), out: fs::canonicalize(out).ok(), section: 0 })
    }

    /// The given folder that the last file was found in; `None` for a file that was given.
    pub(super) fn root(&self) -> Option<&Path> {
        self.open.first().map(|folder| folder.path.as_path())
    }

    /// Its last name, however it was reached.
    pub(super) fn root_name(&self) -> Option<&OsStr> {
        self.open.first().and_then(|folder| folder.real.file_name())
    }

    /// Another number whenever the walk enters or leaves a given folder or one right below it.
    pub(super) fn section(&self) -> u64 {
        self.section
    }

    /// Called with the parents of a folder in `open`, when it is entered or left.
    fn count_section(&mut self) {
        let begins_section = match &self.open[..] {
            [] => true,
            [given] => given.n_folders <= SECTIONS_MAX,
            _ => false,
        };
        self.section += u64::from(begins_section);
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
        let mut n_folders = 0;
        let listed = fs::read_dir(&path).and_then(|dir| {
            let entries = dir.map(|entry| {
                let entry = entry?;
                n_folders += usize::from(entry.file_type().is_ok_and(|kind| !kind.is_file()));
                Ok(entry.file_name())
            });
            entries.collect()
        });
        let mut names: Vec<OsString> = match listed {
            Ok(names) => names,
            Err(e) => return unreadable(&path, e.to_string()),
        };
        names.sort_unstable_by(|a, b| b.as_encoded_bytes().cmp(a.as_encoded_bytes()));
        self.count_section();
        self.open.push(Folder { path, real, names, n_folders });
        None
    }
}

impl Iterator for Files {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        loop {
            let (path, given) = match self.open.last_mut() {
                Some(folder) => match folder.names.pop() {
                    Some(name) => (folder.path.join(name), false),
                    None => {
                        self.open.pop();
                        self.count_section();
                        continue;
                    }
                },
                None => (self.given.pop_front()?, true),
            };
            if path.is_dir() {
                match self.enter(path) {
                    Some(found) => return Some(found),
                    None => continue,
                }
            }
            let is_sgf = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("sgf"));
            return Some(if given || is_sgf { Found::Record(path) } else { Found::Other });
        }
    }
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
                Found::Record(path) => path.strip_prefix(root).unwrap().display().to_string(),
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
        let given: Vec<_> = Files::new(&[root.join("notes.txt")], root).unwrap().collect();
        assert!(matches!(&given[..], [Found::Record(path)] if path.ends_with("notes.txt")));
    }
}
