//! Files that appear whole or not at all: written beside, synced, renamed.

use super::{Error, Result};
use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};

/// A file in the making. Unless [`WholeFile::commit`] succeeds, it leaves nothing behind.
pub struct WholeFile {
    path: PathBuf,
    beside: PathBuf,
    out: Option<BufWriter<File>>,
}

impl WholeFile {
    /// Starts `path`, writing to a neighbour of it.
    pub fn create(path: &Path) -> Result<WholeFile> {
        if path.is_dir() {
            return Err(Error::new(path.display(), "a folder is there, expected a file or nothing").hint("another file name"));
        }
        let mut name = path.file_name().ok_or_else(|| Error::new(path.display(), "names no file"))?.to_os_string();
        name.push(".part");
        let beside = path.with_file_name(name);
        let file =
            File::options().read(true).write(true).create(true).truncate(true).open(&beside).map_err(|e| Error::io(path, &e))?;
        Ok(WholeFile { path: path.to_path_buf(), beside, out: Some(BufWriter::with_capacity(1 << 16, file)) })
    }

    /// The writer.
    pub fn out(&mut self) -> &mut BufWriter<File> {
        self.out.as_mut().expect("taken only at the end of commit, which consumes the file")
    }

    /// Writes all of `bytes`.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.out().write_all(bytes).map_err(|e| Error::io(&self.path, &e))
    }

    /// Flushes, syncs and renames: from here on the file is there.
    pub fn commit(self) -> Result<()> {
        let path = self.path.clone();
        self.place()?;
        sync_parent(&path)
    }

    /// As [`WholeFile::commit`], but a loss of power may still take the name back: for one of many files of a folder
    /// that [`sync_parent`] makes durable together.
    pub fn place(mut self) -> Result<()> {
        let beside = &self.beside;
        let out = self.out.as_mut().expect("taken only by a commit that succeeds");
        let renamed = out.flush().and_then(|()| out.get_ref().sync_all()).and_then(|()| fs::rename(beside, &self.path));
        // What failed is still `out`'s: dropping it takes the neighbour away.
        renamed.map_err(|e| Error::io(&self.path, &e))?;
        self.out = None;
        Ok(())
    }
}

impl Drop for WholeFile {
    fn drop(&mut self) {
        if self.out.take().is_some() {
            // An error here leaves a .part file, which no reader looks at.
            let _ = fs::remove_file(&self.beside);
        }
    }
}

/// Writes `bytes` to `path`, whole or not at all.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = WholeFile::create(path)?;
    file.write(bytes)?;
    file.commit()
}

/// Reads a file of at most `bytes_max` bytes.
pub fn read_limited(path: &Path, bytes_max: u64) -> Result<Vec<u8>> {
    let file = File::open(path).map_err(|e| Error::io(path, &e))?;
    let len = file.metadata().map_err(|e| Error::io(path, &e))?.len();
    let mut bytes = Vec::new();
    if len <= bytes_max {
        bytes.try_reserve_exact(len as usize).map_err(|e| Error::new(path.display(), format!("{len} bytes: {e}")))?;
        // Pipes and devices tell no length, and a file may grow.
        file.take(bytes_max + 1).read_to_end(&mut bytes).map_err(|e| Error::io(path, &e))?;
    }
    let len = len.max(bytes.len() as u64);
    if len > bytes_max {
        return Err(Error::new(path.display(), format!("{len} bytes, at most {bytes_max} are read")));
    }
    Ok(bytes)
}

/// A path on one line: control characters and bytes that are no UTF-8 as escapes, everything else as it is.
pub fn shown(path: &Path) -> String {
    let mut text = String::new();
    for chunk in path.as_os_str().as_encoded_bytes().utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() {
                text.extend(c.escape_default());
            } else {
                text.push(c);
            }
        }
        chunk.invalid().iter().for_each(|byte| text.push_str(&format!("\\x{byte:02x}")));
    }
    text
}

/// The path that [`shown`] gives this text for, unless its names hold backslashes of their own.
pub fn unshown(text: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        let (byte, len) = escape(&rest[at..]);
        bytes.extend_from_slice(&byte);
        rest = &rest[at + len..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    path_of(bytes)
}

/// The bytes that the escape at the start of `text` stands for, and its length; a backslash that is none stands for itself.
fn escape(text: &str) -> (Vec<u8>, usize) {
    let hex = |from: usize, to: usize| text.get(from..to).and_then(|digits| u32::from_str_radix(digits, 16).ok());
    let known = match text.as_bytes().get(1) {
        Some(b'n') => Some((vec![b'\n'], 2)),
        Some(b'r') => Some((vec![b'\r'], 2)),
        Some(b't') => Some((vec![b'\t'], 2)),
        Some(b'x') => hex(2, 4).map(|byte| (vec![byte as u8], 4)),
        Some(b'u') => text.find('}').and_then(|end| {
            let c = char::from_u32(hex(3, end)?)?;
            Some((c.to_string().into_bytes(), end + 1))
        }),
        _ => None,
    };
    known.unwrap_or_else(|| (vec![b'\\'], 1))
}

#[cfg(unix)]
fn path_of(bytes: Vec<u8>) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    std::ffi::OsString::from_vec(bytes).into()
}

#[cfg(not(unix))]
fn path_of(bytes: Vec<u8>) -> PathBuf {
    String::from_utf8_lossy(&bytes).into_owned().into()
}

/// Creates a folder and its parents.
pub fn create_dir(path: &Path) -> Result<()> {
    if path.exists() && !path.is_dir() {
        return Err(Error::new(path.display(), "a file is there, expected a folder or nothing").hint("the name of a new folder"));
    }
    fs::create_dir_all(path).map_err(|e| Error::io(path, &e))
}

/// Makes the names in the folder of `path` durable.
pub fn sync_parent(path: &Path) -> Result<()> {
    let parent = match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    };
    File::open(parent).and_then(|d| d.sync_all()).map_err(|e| Error::io(parent, &e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn paths_are_shown_on_one_line() {
        use std::os::unix::ffi::OsStrExt;
        let path = Path::new(std::ffi::OsStr::from_bytes(b"a/\xff\xe5\x9b\xb2 \n\x1b[2J.sgf"));
        assert_eq!(shown(path), "a/\\xff\u{56f2} \\n\\u{1b}[2J.sgf");
        assert_eq!(unshown(&shown(path)), path);
        for odd in ["a\\b", "\\", "\\x", "\\xg1", "\\u{", "\\u{110000}"] {
            assert_eq!(unshown(odd), Path::new(odd));
        }
    }

    #[test]
    fn whole_or_not_at_all() {
        let dir = std::env::temp_dir().join(format!("edgezero-fs-{}", std::process::id()));
        create_dir(&dir).unwrap();
        let path = dir.join("a.bin");
        write_whole(&path, b"old").unwrap();
        let mut half = WholeFile::create(&path).unwrap();
        half.write(b"half").unwrap();
        drop(half);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
        // A rename that fails leaves nothing beside, and errors name the file that was asked for.
        let blocked = dir.join("b.bin");
        let mut late = WholeFile::create(&blocked).unwrap();
        late.write(b"late").unwrap();
        create_dir(&blocked.join("sub")).unwrap();
        assert!(late.commit().unwrap_err().to_string().starts_with(&format!("{}: ", blocked.display())));
        assert!(!dir.join("b.bin.part").exists());
        for (told, expected) in [
            (write_whole(&blocked, b"x").unwrap_err(), "b.bin: a folder is there, expected a file"),
            (write_whole(&dir.join("no/c.bin"), b"x").unwrap_err(), "no/c.bin: No such file"),
            (create_dir(&path).unwrap_err(), "a.bin: a file is there, expected a folder"),
        ] {
            assert!(told.to_string().contains(expected), "{told}");
        }
        assert!(read_limited(&path, 2).unwrap_err().to_string().contains("3 bytes"));
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_failed_commit_leaves_nothing_beside() {
        let dir = std::env::temp_dir().join(format!("edgezero-fs-commit-{}", std::process::id()));
        // A folder of that name stands where the file is to be.
        create_dir(&dir.join("a.bin/inside")).unwrap();
        assert!(write_whole(&dir.join("a.bin"), b"new").is_err());
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn files_without_a_length_are_limited_too() {
        assert!(read_limited(Path::new("/dev/zero"), 1 << 16).unwrap_err().to_string().contains("at most 65536"));
    }
}
