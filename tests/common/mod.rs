//! What the whole-binary tests share.
#![allow(dead_code, reason = "each test file uses its own part")]

pub mod boards;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The folder of corpus, specs and nets: `EDGEZERO_DATA`, or `../shared` beside the crate. Prints why and gives
/// `None` when it is not there.
pub fn data() -> Option<PathBuf> {
    let dir = match std::env::var_os("EDGEZERO_DATA") {
        Some(dir) => PathBuf::from(dir),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"),
    };
    if dir.join("corpus").is_dir() {
        return Some(dir);
    }
    eprintln!("skipped: no data folder {}", dir.display());
    None
}

/// A folder that goes away with the test.
pub struct TempDir(PathBuf);

impl TempDir {
    /// An empty folder of its own, whoever else asks for `name`.
    pub fn new(name: &str) -> TempDir {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let made = MADE.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("edgezero-{name}-{}-{made}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).expect("a temporary folder");
        TempDir(dir)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Writes games (`sgf/games.sgf`) and the profile of a tiny run (`tiny.toml`) to a folder: 16 games make some 25 steps, with a
/// report and a checkpoint every fourth.
pub fn tiny_run(dir: &Path, n_games: usize) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/small9/small9.sgf");
    let games = std::fs::read_to_string(corpus).expect("the games of the repository");
    let some: String = games.split_inclusive("\n(").take(n_games).collect();
    std::fs::create_dir(dir.join("sgf")).expect("a folder for games");
    std::fs::write(dir.join("sgf/games.sgf"), some.trim_end_matches('(')).expect("games");
    let mut text = String::new();
    for line in include_str!("../../profiles/desktop.toml").lines() {
        let value = match line.split('=').next().unwrap_or("").trim() {
            "net" => "\"b1c8\"",
            "board_size" => "9",
            "batch_size" => "16",
            "warmup_steps" => "4",
            "report_steps" | "checkpoint_steps" => "4",
            "checkpoints_kept" => "20",
            "epochs" => "1",
            "validation_fraction" => "0.4",
            _ => {
                text.push_str(line);
                text.push('\n');
                continue;
            }
        };
        let key = line.split('=').next().unwrap_or("").trim();
        text.push_str(&format!("{key} = {value}\n"));
    }
    std::fs::write(dir.join("tiny.toml"), text).expect("a profile");
}

/// A small disk that goes away with the test.
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// A disk of so many KiB as folder `disk` of `dir`, or `None`, with a line, where it cannot be had.
pub fn small_disk(dir: &Path, kb: usize) -> Option<SmallDisk> {
    let disk = dir.join("disk");
    std::fs::create_dir(&disk).expect("a folder for the disk");
    let size = format!("size={kb}k");
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&disk).output();
    if mounted.as_ref().is_ok_and(|m| m.status.success()) {
        return Some(SmallDisk(disk));
    }
    println!("skipped: no right to mount a small disk");
    None
}

/// GNU Go's program, or a line that says that a test was skipped.
pub fn gnugo() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Debian keeps games out of root's PATH.
    let dirs = std::env::split_paths(&path).chain([PathBuf::from("/usr/games")]);
    let found = dirs.map(|dir| dir.join("gnugo")).find(|program| program.is_file());
    if found.is_none() {
        eprintln!("skipped: gnugo is not installed");
    }
    found
}

/// The files of a `.tar.gz`, in order: name and content.
pub fn members(archive: &Path) -> Vec<(String, Vec<u8>)> {
    let file = std::fs::File::open(archive).expect("an archive of the corpus");
    let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(std::io::BufReader::new(file)));
    let entries = tar.entries().expect("a tar archive").map(|entry| entry.expect("a whole archive"));
    let files = entries.filter(|entry| entry.header().entry_type().is_file());
    files
        .map(|mut entry| {
            let name = entry.path().expect("a plain name").to_string_lossy().into_owned();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).expect("a whole archive");
            (name, content)
        })
        .collect()
}

/// Runs a command to its end; gives what it said and its peak of resident memory in bytes (0 where there is no /proc).
pub fn run_and_watch(mut command: std::process::Command) -> (std::process::Output, u64) {
    let child = command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().expect("a program");
    let status = format!("/proc/{}/status", child.id());
    let watcher = std::thread::spawn(move || {
        let mut peak = 0;
        // The kernel keeps the peak, so looking now and then until the end is enough. A dead process has no such line.
        while let Ok(text) = std::fs::read_to_string(&status) {
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let Some(kib) = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()) else { break };
            peak = kib << 10;
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        peak
    });
    let output = child.wait_with_output().expect("its end");
    (output, watcher.join().expect("no panic"))
}
