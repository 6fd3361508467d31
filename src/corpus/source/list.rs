//! Lists of paths, such as `find` prints.

use super::kind::push_key;
use crate::base::{Error, Result};
use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Longest list read, in bytes: a million paths of 64.
const LIST_BYTES_MAX: u64 = 64 << 20;

/// The paths of a list, separated by NUL where one is in it, else by line ends; in the order in which a walk would meet
/// them, each once. `place` names the list in errors.
///
/// # Errors
/// A list that cannot be read, is too long or names nothing.
pub fn read_list(place: &str, from: impl Read) -> Result<Vec<PathBuf>> {
    let mut bytes = Vec::new();
    from.take(LIST_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|e| Error::new(place, e))?;
    if bytes.len() as u64 > LIST_BYTES_MAX {
        return Err(Error::new(place, format!("a list of more than {LIST_BYTES_MAX} bytes")).hint("the folder instead"));
    }
    let end = if bytes.contains(&0) { 0 } else { b'\n' };
    let lines = bytes.split(|&b| b == end).map(|line| if end == b'\n' { line.strip_suffix(b"\r").unwrap_or(line) } else { line });
    let mut paths: Vec<PathBuf> = lines.filter(|line| !line.is_empty()).map(path_of).collect();
    if paths.is_empty() {
        return Err(Error::new(place, "no path in the list").hint("find GAMES -name '*.sgf' | edgezero convert - --out DIR"));
    }
    paths.sort_by_cached_key(|path| key_of(path));
    paths.dedup();
    Ok(paths)
}

#[cfg(unix)]
fn path_of(line: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    OsString::from_vec(line.to_vec()).into()
}

#[cfg(not(unix))]
fn path_of(line: &[u8]) -> PathBuf {
    OsString::from(String::from_utf8_lossy(line).into_owned()).into()
}

fn key_of(path: &Path) -> Vec<u8> {
    let mut key = Vec::new();
    path.components().for_each(|part| push_key(&mut key, part.as_os_str().as_encoded_bytes()));
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_nuls() {
        let list = |text: &[u8]| {
            let paths = read_list("-", text).map_err(|e| e.to_string())?;
            Ok::<_, String>(paths.iter().map(|p| p.display().to_string()).collect::<Vec<_>>())
        };
        assert_eq!(list(b"b.sgf\r\na/c.sgf\n\nb.sgf\n").unwrap(), ["a/c.sgf", "b.sgf"]);
        assert_eq!(list(b"two\nlines.sgf\0a.sgf\0").unwrap(), ["a.sgf", "two\nlines.sgf"]);
        assert!(list(b"\n\n").unwrap_err().contains("-: no path in the list\ntry: find"));
    }
}
