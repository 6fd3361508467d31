//! The memory of a conversion does not grow with the corpus.

mod common;

use common::TempDir;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Peak memory in bytes, under the nano profile.
fn peak(games: &[PathBuf], out: &Path, duplicates: &str) -> u64 {
    let mut command = Command::new(env!("CARGO_BIN_EXE_edgezero"));
    command.args(["--profile", "nano", "convert", "--duplicates", duplicates]).args(games).arg("--out").arg(out);
    let (output, peak) = common::run_and_watch(command);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    peak
}

/// One game in so many is taken, unless `EDGEZERO_ALL` asks for all (`scripts/convert_memory.sh`).
const ONE_IN: usize = 6;

/// A tenth more is allowed to ten whole corpora. A part of one fills its queues to another level in every run, so it gets
/// more; memory that grew with the corpus would be at ten times.
const SHORT_TIMES_MAX: f64 = 1.5;

#[test]
fn ten_copies_take_no_more_memory_than_one() {
    let Some(data) = common::data() else { return };
    let dir = TempDir::new("memory");
    let members = common::members(&data.join("corpus/pro19.tar.gz"));
    let one_in = if std::env::var_os("EDGEZERO_ALL").is_some() { 1 } else { ONE_IN };
    let copies: Vec<PathBuf> = (0..10).map(|copy| dir.path().join(format!("copy{copy}"))).collect();
    for folder in &copies {
        for (name, bytes) in members.iter().step_by(one_in) {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }
    for duplicates in ["keep", "drop"] {
        let out = dir.path().join("out");
        // A short run may end before its queues were full once; the largest of three is what one corpus takes.
        let [once, ten] = [(&copies[..1], 3), (&copies[..], 1)].map(|(games, n_runs)| {
            let peaks = (0..n_runs).map(|_| {
                let peak = peak(games, &out, duplicates);
                fs::remove_dir_all(&out).unwrap();
                peak
            });
            peaks.max().unwrap()
        });
        println!("{} games, duplicates {duplicates}: peak memory {} KiB", members.len().div_ceil(one_in), once >> 10);
        println!("ten times over: {} KiB, {:+.1} %", ten >> 10, 100.0 * (ten as f64 / once as f64 - 1.0));
        let times_max = if one_in == 1 { 1.1 } else { SHORT_TIMES_MAX };
        assert!(ten as f64 <= times_max * once as f64, "{duplicates}: {once} bytes once, {ten} ten times over");
        // The nano profile's budget is 0.45 of 3964 MiB.
        assert!(ten < 1783 << 20, "{ten} bytes");
    }
}
