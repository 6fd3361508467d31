//! The memory of a conversion does not grow with the corpus.

mod common;

use common::TempDir;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Peak memory in bytes, under the nano profile.
fn peak(games: &[PathBuf], out: &Path) -> u64 {
    let mut command = Command::new(env!("CARGO_BIN_EXE_edgezero"));
    command.args(["--profile", "nano", "convert"]).args(games).arg("--out").arg(out);
    let (output, peak) = common::run_and_watch(command);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    peak
}

#[test]
fn ten_copies_take_no_more_memory_than_one() {
    let Some(data) = common::data() else { return };
    let dir = TempDir::new("memory");
    let members = common::members(&data.join("corpus/pro19.tar.gz"));
    let copies: Vec<PathBuf> = (0..10).map(|copy| dir.path().join(format!("copy{copy}"))).collect();
    for folder in &copies {
        for (name, bytes) in members.iter().step_by(8) {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }
    let [once, ten] = [&copies[..1], &copies[..]].map(|games| peak(games, &dir.path().join(format!("out{}", games.len()))));
    println!("peak memory: {} KiB once, {} KiB ten times over", once >> 10, ten >> 10);
    assert!(ten as f64 <= 1.1 * once as f64, "{once} bytes once, {ten} ten times over");
}
