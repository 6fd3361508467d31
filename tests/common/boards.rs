//! Recorded boards (`tests/boards`) as folders.
#![allow(dead_code, reason = "each test file uses its own part")]

use super::TempDir;
use std::fs;
use std::path::Path;

/// The names of all recorded boards.
pub const BOARDS: [&str; 8] = ["nano", "xavier-nx", "agx-xavier", "orin-nano", "orin-nx", "agx-orin", "pc", "pc-bare"];

/// Lays out the files of a board in a folder that goes away with the test.
pub fn board(name: &str) -> TempDir {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/boards/{name}.tree")))
        .expect("a recorded board");
    let dir = TempDir::new(&format!("board-{name}"));
    for part in text.split("### ").skip(1) {
        let (path, content) = part.split_once('\n').expect("a path on a line");
        write(dir.path(), path, content);
    }
    dir
}

/// Writes a file of a recorded board, with its folders.
pub fn write(root: &Path, path: &str, content: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().expect("a folder")).expect("a new folder");
    fs::write(path, content).expect("a new file");
}
