//! Which files are records: a sorted walk through folders, the same on every machine.

use super::config::ConvertConfig;
use crate::base::{Error, Result};
use crate::shard::Source;
use sha2::{Digest, Sha256};
use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// Changes whenever the same records would give other shards, so that old shards are made anew.
const CONVERTER_VERSION: u32 = 2;
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
}

struct Folder {
    path: PathBuf,
    /// Its path without links, to see a link that leads back up.
    real: PathBuf,
    /// Names not yet visited, last first.
    names: Vec<OsString>,
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
        Ok(Files { given: paths.to_vec().into(), open: Vec::new(), out: fs::canonicalize(out).ok() })
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
        names.sort_unstable_by(|a, b| b.as_encoded_bytes().cmp(a.as_encoded_bytes()));
        self.open.push(Folder { path, real, names });
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

/// Everything of a config that the shards depend on.
fn identity_of(config: &ConvertConfig) -> String {
    let config = ConvertConfig { workers: 1, queue_games: 1, ..config.clone() };
    serde_json::to_string(&config).expect("plain numbers and words")
}

/// What a first walk tells before anything is read.
pub(super) struct Survey {
    /// Identity and sums.
    pub source: Source,
    /// Largest file in bytes.
    pub bytes_max: u64,
}

/// Looks at name, size and modification time of every record file.
///
/// # Errors
/// A path that is not there.
pub(super) fn survey(paths: &[PathBuf], out: &Path, config: &ConvertConfig) -> Result<Survey> {
    let mut hash = Sha256::new();
    hash.update(CONVERTER_VERSION.to_le_bytes());
    hash.update(identity_of(config).as_bytes());
    let (mut n_files, mut bytes, mut bytes_max) = (0, 0, 0);
    for found in Files::new(paths, out)? {
        let Found::Record(path) = found else { continue };
        let meta = fs::metadata(&path);
        let size = meta.as_ref().map_or(0, |m| m.len());
        let modified = meta.and_then(|m| m.modified()).ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok());
        // Names below the given paths, so that the same folder reached another way stays the same.
        let name = paths.iter().find_map(|root| path.strip_prefix(root).ok()).unwrap_or(&path);
        let name = name.as_os_str().as_encoded_bytes();
        hash.update((name.len() as u64).to_le_bytes());
        hash.update(name);
        hash.update(size.to_le_bytes());
        hash.update(modified.map_or(0, |d| d.as_nanos()).to_le_bytes());
        n_files += 1;
        bytes += size;
        bytes_max = bytes_max.max(size);
    }
    let identity = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Survey { source: Source { identity, n_files, bytes }, bytes_max })
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

    #[test]
    fn identity_follows_names_sizes_and_times() {
        let dir = TempDir::new("identity");
        let config = ConvertConfig::default();
        let look = |config: &ConvertConfig| survey(std::slice::from_ref(&dir.0), &dir.0.join("out"), config).unwrap().source;
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
