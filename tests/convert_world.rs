//! What the world does to a conversion: full disks, folders and files that cannot be read or written, files that
//! vanish, odd names, very many files. Each costs a clear line and no more than itself.

mod common;

use common::{TempDir, small_disk};
use edgezero::base::signal::Stop;
use edgezero::corpus::{ArchiveConfig, Conversion, ConvertConfig, Duplicates, convert, dry_run, ledger};
use edgezero::shard::{Dataset, Manifest, verify};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Instant;

fn game(i: usize) -> String {
    let [x, y] = [i % 9, i / 9 % 9].map(|v| (b'a' + v as u8) as char);
    format!("(;SZ[9]C[{i}]RE[B+R];B[{x}{y}];W[])")
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn is_root() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().any(|line| line.starts_with("Uid:") && line.split_whitespace().nth(2) == Some("0"))
}

/// Runs `convert`, as somebody without root's rights where we have them. `None`, with a line, where that cannot be done.
fn convert_unprivileged(dir: &TempDir, games: &Path, out: &Path) -> Option<Output> {
    let program = Path::new(env!("CARGO_BIN_EXE_edgezero"));
    let mut command = if is_root() {
        // A copy, since the build folder may be closed to others.
        let copy = dir.path().join("edgezero");
        fs::copy(program, &copy).unwrap();
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&copy);
        command
    } else {
        Command::new(program)
    };
    let output = command.arg("convert").arg(games).arg("--out").arg(out).arg("--min-moves=1").current_dir("/").output();
    match output {
        Ok(output) => Some(output),
        Err(e) => {
            println!("skipped: setpriv: {e}");
            None
        }
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn what_may_not_be_read_is_left_out() {
    let dir = TempDir::new("closed");
    let games = dir.path().join("games");
    (0..5).for_each(|i| write(&games.join(format!("{i}.sgf")), &game(i)));
    write(&games.join("folder/6.sgf"), &game(10));
    let shut = |path: &str, mode| fs::set_permissions(games.join(path), fs::Permissions::from_mode(mode)).unwrap();
    shut("2.sgf", 0o000);
    shut("folder", 0o000);
    let out = dir.path().join("out");
    fs::create_dir(&out).unwrap();
    fs::set_permissions(&out, fs::Permissions::from_mode(0o777)).unwrap();
    let Some(output) = convert_unprivileged(&dir, &games, &out) else { return };
    shut("folder", 0o755);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("games/2.sgf: Permission denied") && said.contains("games/folder: Permission denied"), "{said}");
    let report = Manifest::read(&out).unwrap().report;
    assert_eq!((report.games_accepted, report.files_refused), (4, 2));
    // What could not be read is tried again, though nothing of it shows a change.
    shut("2.sgf", 0o644);
    let Some(output) = convert_unprivileged(&dir, &games, &out) else { return };
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let report = Manifest::read(&out).unwrap().report;
    assert_eq!((report.games_accepted, report.files_refused), (6, 0));
}

#[test]
fn a_folder_that_may_not_be_written_is_said() {
    let dir = TempDir::new("readonly");
    let games = dir.path().join("games");
    write(&games.join("a.sgf"), &game(1));
    let out = dir.path().join("out");
    fs::create_dir(&out).unwrap();
    fs::set_permissions(&out, fs::Permissions::from_mode(0o555)).unwrap();
    for out in [out.clone(), out.join("below")] {
        let Some(output) = convert_unprivileged(&dir, &games, &out) else { return };
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(&out.display().to_string()) && said.contains("Permission denied"), "{said}");
    }
    assert_eq!(fs::read_dir(&out).unwrap().count(), 0);
}

#[test]
fn files_that_vanish_are_left_out() {
    let dir = TempDir::new("vanish");
    let games = dir.path().join("games");
    (0..300).for_each(|i| write(&games.join(format!("{i:03}.sgf")), &game(i)));
    let out = dir.path().join("out");
    let paths = [games.clone()];
    let config = ConvertConfig { workers: 1, queue_games: 1, duplicates: Duplicates::Keep, ..ConvertConfig::default() };
    let job = Conversion { paths: &paths, out: &out, config: &config, ram_budget_bytes: 1 << 30, stop: &Stop::default() };
    let mut gone = false;
    let report = convert(&job, &mut |p| {
        if p.games > 0 && !gone {
            fs::remove_file(games.join("200.sgf")).unwrap();
            fs::write(games.join("999.sgf"), game(7)).unwrap();
            gone = true;
        }
    });
    let report = report.unwrap().manifest.report;
    assert_eq!((report.files, report.games_accepted, report.files_refused), (300, 299, 1));
    assert!(report.refused[0].file.ends_with("200.sgf") && report.refused[0].reason.contains("No such file"));
    let report = convert(&job, &mut |_| ()).unwrap().manifest.report;
    assert_eq!((report.files, report.games_accepted, report.files_refused), (300, 300, 0));
}

#[test]
fn names_may_have_any_bytes() {
    let dir = TempDir::new("names");
    let games = dir.path().join("games");
    let names: [&[u8]; 6] =
        [b"\xff\xfe.sgf", b"new\nline.sgf", b"\x1b[2J.sgf", b" .sgf", b"\xa4\xb5\xa4\xd0.SGF", "\u{56f2}\u{7881}.sgf".as_bytes()];
    for (i, name) in names.iter().enumerate() {
        write(&games.join(OsStr::from_bytes(name)), &game(i));
    }
    write(&games.join(OsStr::from_bytes(b"bad\xff\n.sgf")), "(;SZ[9];B[ee");
    let out = dir.path().join(OsStr::from_bytes(b"out \xff"));
    let paths: [PathBuf; 1] = [games];
    let config = ConvertConfig { workers: 2, queue_games: 4, duplicates: Duplicates::Keep, ..ConvertConfig::default() };
    let job = Conversion { paths: &paths, out: &out, config: &config, ram_budget_bytes: 1 << 30, stop: &Stop::default() };
    let done = convert(&job, &mut |_| ()).unwrap();
    assert_eq!((done.manifest.report.games_accepted, done.manifest.report.games_refused), (6, 1));
    assert!(done.manifest.report.refused[0].file.ends_with("bad\\xff\\n.sgf"), "{:?}", done.manifest.report.refused);
    assert_eq!(convert(&job, &mut |_| ()).unwrap().groups_made, 0);
    assert_eq!(verify(&Dataset::open(&out).unwrap(), &Stop::default(), |_| ()).unwrap().positions, 12);
}

/// A game of 120 moves without captures, one of many.
fn long_game(i: usize) -> String {
    let mut text = String::from("(;SZ[19]");
    for ply in 0..120 {
        let point = (ply * 3 + i) % 361;
        text.push_str(&format!(";{}[{}{}]", ["B", "W"][ply % 2], letter(point % 19), letter(point / 19)));
    }
    text + ")"
}

#[test]
fn a_full_disk_costs_only_the_run() {
    let dir = TempDir::new("full");
    let games = dir.path().join("games");
    let Some(disk) = small_disk(dir.path(), 256) else { return };
    (0..50).for_each(|i| write(&games.join(format!("a/{i}.sgf")), &game(i)));
    let out = disk.path().join("out");
    let convert = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_edgezero"));
        command.arg("convert").arg(&games).arg("--out").arg(&out).arg("--min-moves=1").output().unwrap()
    };
    assert_eq!(convert().status.code(), Some(0));
    let manifest = fs::read(out.join("manifest.json")).unwrap();
    let n_files = fs::read_dir(&out).unwrap().count();
    // Far more than the disk holds.
    (0..60).for_each(|i| write(&games.join(format!("d/{i}.sgf")), &long_game(i)));
    let output = convert();
    let said = stderr(&output);
    // The disk says so, or the watch before it.
    let is_full = output.status.code() == Some(1) && said.contains("No space left on device");
    assert!(is_full || output.status.code() == Some(75) && said.contains("disk"), "{}: {said}", output.status);
    assert_eq!((fs::read(out.join("manifest.json")).unwrap(), fs::read_dir(&out).unwrap().count()), (manifest, n_files));
    verify(&Dataset::open(&out).unwrap(), &Stop::default(), |_| ()).unwrap();
}

#[test]
fn what_was_finished_before_the_disk_was_full_is_kept() {
    let dir = TempDir::new("full-kept");
    let games = dir.path().join("games");
    let Some(disk) = small_disk(dir.path(), 256) else { return };
    (0..50).for_each(|i| write(&games.join(format!("a/{i}.sgf")), &game(i)));
    (0..60).for_each(|i| write(&games.join(format!("d/{i}.sgf")), &long_game(i)));
    let out = disk.path().join("out");
    let convert = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_edgezero"));
        command.arg("convert").arg(&games).arg("--out").arg(&out).arg("--min-moves=1").output().unwrap()
    };
    let output = convert();
    assert!(matches!(output.status.code(), Some(1 | 75)), "{}: {}", output.status, stderr(&output));
    assert!(Manifest::read(&out).is_err());
    let ours = |name: &str| name.starts_with("group-") && name.ends_with(".json");
    let groups: Vec<_> =
        fs::read_dir(&out).unwrap().map(|e| e.unwrap()).filter(|e| ours(&e.file_name().to_string_lossy())).collect();
    assert_eq!(groups.len(), 1, "that of folder a");
    let inode = |path: &Path| std::os::unix::fs::MetadataExt::ino(&fs::metadata(path).unwrap());
    let before = inode(&groups[0].path());
    fs::remove_dir_all(games.join("d")).unwrap();
    let output = convert();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(inode(&groups[0].path()), before);
    verify(&Dataset::open(&out).unwrap(), &Stop::default(), |_| ()).unwrap();
}

#[test]
fn an_archive_too_large_to_unpack_costs_itself() {
    let dir = TempDir::new("full-spool");
    let Some(disk) = small_disk(dir.path(), 2048) else { return };
    let games = dir.path().join("games");
    (0..50).for_each(|i| write(&games.join(format!("a/{i}.sgf")), &game(i)));
    let mut tar = tar::Builder::new(Vec::new());
    for i in 0..60 {
        let text = format!("(;SZ[9]C[{}];B[aa])", "x".repeat(100_000));
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        tar.append_data(&mut header, format!("{i}.sgf"), text.as_bytes()).unwrap();
    }
    fs::write(games.join("0.tar"), tar.into_inner().unwrap()).unwrap();
    let out = disk.path().join("out");
    let archive = ArchiveConfig { spool_mb: 0, ..ArchiveConfig::default() };
    let config = ConvertConfig { duplicates: Duplicates::Keep, archive, ..ConvertConfig::default() };
    let paths = [games.clone()];
    let job = |out: &Path, stop: &Stop| {
        let job = Conversion { paths: &paths, out, config: &config, ram_budget_bytes: 1 << 30, stop };
        convert(&job, &mut |_| ()).unwrap()
    };
    let report = job(&out, &Stop::default()).manifest.report;
    assert_eq!((report.games_accepted, report.refused_by_reason["no room to unpack"], report.refused.len()), (50, 1, 1));
    let refusal = &report.refused[0];
    assert!(refusal.file.ends_with("0.tar") && refusal.reason.contains("No space left on device"), "{refusal:?}");
    verify(&Dataset::open(&out).unwrap(), &Stop::default(), |_| ()).unwrap();
    // The archive is tried again, and nothing else.
    let again = job(&out, &Stop::default());
    assert_eq!((again.groups_made, again.groups_kept), (1, 1));
}

fn letter(i: usize) -> char {
    (b'a' + i as u8) as char
}

#[test]
fn a_dry_run_tells_what_a_run_would() {
    let dir = TempDir::new("dry");
    let (games, out) = (dir.path().join("games"), dir.path().join("out"));
    (0..90).for_each(|i| write(&games.join(format!("{}/{i:02}.sgf", i % 3)), &game(i)));
    write(&games.join("bad.sgf"), "(;SZ[9];B[ee];W[ee])");
    write(&games.join("komi.sgf"), "(;SZ[9]RE[W+R];B[ea];W[cc])(;SZ[9]);B[ee]");
    let paths = [games.clone()];
    for duplicates in [Duplicates::Keep, Duplicates::Drop] {
        let config = ConvertConfig { workers: 2, duplicates, ..ConvertConfig::default() };
        let stop = Stop::default();
        let job = |out| Conversion { paths: &paths, out, config: &config, ram_budget_bytes: 1 << 30, stop: &stop };
        let full = convert(&job(&out), &mut |_| ()).unwrap().manifest.report;
        let dry = dir.path().join("dry");
        assert_eq!(dry_run(&job(Path::new("")), &mut |_| ()).unwrap(), full);
        assert_eq!(dry_run(&job(&dry), &mut |_| ()).unwrap(), full);
        let read = |dir: &Path| ledger::read(dir).unwrap().map(|line| line.unwrap()).collect::<Vec<_>>();
        assert_eq!(read(&dry), read(&out));
        assert_eq!(fs::read_dir(&dry).unwrap().count(), 1);
        let said = dry_run(&job(&out), &mut |_| ()).unwrap_err();
        assert!(said.exit_code() == 2 && said.to_string().contains("a dry run will not write"), "{said}");
    }
}

#[test]
fn very_many_small_files() {
    let n: usize = std::env::var("EDGEZERO_MANY").map_or(5_000, |n| n.parse().expect("EDGEZERO_MANY: a number"));
    let dir = TempDir::new("many");
    let games = dir.path().join("games");
    for i in 0..n {
        let path = games.join(format!("{:03}/{i:06}.sgf", i / 1000));
        if i % 1000 == 0 {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
        }
        fs::write(path, game(i)).unwrap();
    }
    let out = dir.path().join("out");
    let run = || {
        let begin = Instant::now();
        let mut command = Command::new(env!("CARGO_BIN_EXE_edgezero"));
        command.args(["--profile", "nano", "convert", "--min-moves=1"]).arg(&games).arg("--out").arg(&out);
        let (output, peak) = common::run_and_watch(command);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(0), "{said}");
        (begin.elapsed(), peak, String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (first, peak, _) = run();
    let (second, _, said) = run();
    println!("{n} files: {first:?} the first time, {second:?} the second; peak memory {} KiB", peak >> 10);
    assert!(said.contains("up to date"), "{said}");
    let report = Manifest::read(&out).unwrap().report;
    assert_eq!((report.files, report.games), (n as u64, n as u64));
    assert!(peak < 64 << 20, "{peak} bytes");
}
