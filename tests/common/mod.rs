//! What the whole-binary tests share.
#![allow(dead_code, reason = "each test file uses its part")]

use std::path::{Path, PathBuf};

/// The folder of reference data (`EDGEZERO_DATA`, else `../shared` beside the repository), or a line that says that a test was skipped.
pub fn data() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let dir = root.join(std::env::var_os("EDGEZERO_DATA").unwrap_or_else(|| "../shared".into()));
    if dir.is_dir() {
        return Some(dir);
    }
    eprintln!("skipped: no data folder {} (EDGEZERO_DATA names another one)", dir.display());
    None
}

/// A fresh folder for one test, removed with its content at the end.
pub struct Scratch(pub PathBuf);

impl Scratch {
    /// A folder whose name has `name` and the process in it.
    pub fn new(name: &str) -> Scratch {
        let dir = std::env::temp_dir().join(format!("edgezero-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        Scratch(dir)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// GNU Go's program, or a line that says that a test was skipped.
pub fn gnugo() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).chain([PathBuf::from("/usr/games")]).map(|dir| dir.join("gnugo")).find(|p| p.is_file());
    if found.is_none() {
        eprintln!("skipped: gnugo is not installed");
    }
    found
}
