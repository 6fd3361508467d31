//! The files in which a machine tells about itself, under `/` or under a folder that stands for it.

use crate::base::fs::read_limited;
use std::path::{Path, PathBuf};

/// Largest file that is read, in bytes: a list of installed packages has some megabytes.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// `/`, or a recorded copy of parts of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    root: PathBuf,
}

impl Tree {
    /// The files of this machine.
    pub fn machine() -> Tree {
        Tree::under(Path::new("/"))
    }

    /// The files under `root`.
    pub fn under(root: &Path) -> Tree {
        Tree { root: root.to_path_buf() }
    }

    /// Whether these are the files of this machine, so that what was measured belongs to them.
    pub fn is_machine(&self) -> bool {
        self.root == Path::new("/")
    }

    /// Where a file is; `inside` begins without a slash.
    pub fn path(&self, inside: &str) -> PathBuf {
        self.root.join(inside)
    }

    /// Whether there is something of this name.
    pub fn is_there(&self, inside: &str) -> bool {
        self.path(inside).exists()
    }

    /// The text of a file without blanks and zero bytes around it; none if it is not there, cannot be read or is empty.
    pub fn text(&self, inside: &str) -> Option<String> {
        let bytes = read_limited(&self.path(inside), FILE_BYTES_MAX).ok()?;
        let text = String::from_utf8_lossy(&bytes);
        let text = text.trim_matches(|c: char| c == '\0' || c.is_whitespace());
        (!text.is_empty()).then(|| text.to_string())
    }

    /// The number that a file holds; what follows it, such as a unit, is left out.
    pub fn number(&self, inside: &str) -> Option<i64> {
        self.text(inside)?.split_whitespace().next()?.parse().ok()
    }

    /// The names in a folder, numbers in them in their order; none if there is no such folder.
    pub fn names(&self, dir: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.path(dir)).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort_by_key(|name| natural(name));
        names
    }

    /// The paths `dir/name` of the names in `dir` that begin with `prefix`.
    pub fn beginning(&self, dir: &str, prefix: &str) -> Vec<String> {
        self.names(dir).into_iter().filter(|name| name.starts_with(prefix)).map(|name| format!("{dir}/{name}")).collect()
    }
}

/// A name cut into text and numbers: `cpu2` before `cpu10`.
fn natural(name: &str) -> Vec<(String, u64)> {
    let mut parts = vec![(String::new(), 0u64)];
    let mut in_number = false;
    for c in name.chars() {
        let is_digit = c.is_ascii_digit();
        if in_number && !is_digit {
            parts.push((String::new(), 0));
        }
        let (text, number) = parts.last_mut().expect("it begins with one");
        match c.to_digit(10) {
            Some(digit) => *number = number.saturating_mul(10).saturating_add(u64::from(digit)),
            None => text.push(c),
        }
        in_number = is_digit;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_in_their_natural_order() {
        let mut names = ["zone10", "zone2", "zone", "a.so.8.10", "a.so.8.9"];
        names.sort_by_key(|name| natural(name));
        assert_eq!(names, ["a.so.8.9", "a.so.8.10", "zone", "zone2", "zone10"]);
    }
}
