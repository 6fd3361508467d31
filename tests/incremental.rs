//! A data set is brought up to date: only what changed is made, and the folder ends as if made from nothing.

mod common;

use common::TempDir;
use edgezero::base::signal::Stop;
use edgezero::corpus::config::set_key;
use edgezero::corpus::stats::Stats;
use edgezero::corpus::{Conversion, ConvertConfig, Converted, Duplicates, convert};
use edgezero::shard::{Dataset, LEDGER_NAME, MANIFEST_NAME, Manifest, verify};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

fn convert_to(paths: &[PathBuf], out: &Path, duplicates: Duplicates) -> Converted {
    convert_with(paths, out, ConvertConfig { workers: 2, duplicates, ..ConvertConfig::default() })
}

fn convert_with(paths: &[PathBuf], out: &Path, config: ConvertConfig) -> Converted {
    let job = Conversion { paths, out, config: &config, ram_budget_bytes: 1 << 30, stop: &Stop::default() };
    let converted = convert(&job, &mut |_| ()).unwrap();
    let dataset = Dataset::open(out).unwrap();
    assert_eq!(verify(&dataset, &Stop::default(), |_| ()).unwrap().positions, converted.manifest.report.positions);
    converted
}

fn contents(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(dir).unwrap().map(|e| e.unwrap());
    entries.map(|e| (e.file_name().into_string().unwrap(), fs::read(e.path()).unwrap())).collect()
}

/// Number and last change of each shard file.
fn shard_files(dir: &Path) -> BTreeMap<String, (u64, i64, i64)> {
    let shards = Manifest::read(dir).unwrap().shards;
    let meta = |name: &str| fs::metadata(dir.join(name)).unwrap();
    shards.iter().map(|s| (s.file.clone(), (meta(&s.file).ino(), meta(&s.file).mtime(), meta(&s.file).mtime_nsec()))).collect()
}

/// Writes game number `i`, one of 81 * 80 * 79.
fn write_game(path: &Path, i: usize) {
    let point = |p: usize| format!("{}{}", (b'a' + (p % 9) as u8) as char, (b'a' + (p / 9) as u8) as char);
    let (a, b, c) = (i % 81, i / 81 % 80, i / 6480 % 79);
    let b = if b >= a { b + 1 } else { b };
    let mut free = (0..81).filter(|&p| p != a && p != b);
    let moves = [a, b, free.nth(c).unwrap()].map(point);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, format!("(;SZ[9]RE[B+R];B[{}];W[{}];B[{}])", moves[0], moves[1], moves[2])).unwrap();
}

/// `out` holds what a conversion from nothing gives.
fn assert_as_from_nothing(dir: &TempDir, paths: &[PathBuf], duplicates: Duplicates) {
    let (out, fresh) = (dir.path().join("out"), dir.path().join("fresh"));
    let _ = fs::remove_dir_all(&fresh);
    convert_to(paths, &fresh, duplicates);
    let (a, b) = (contents(&out), contents(&fresh));
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
    for (name, bytes) in &a {
        assert!(bytes == &b[name], "{name}: other bytes");
    }
}

#[test]
fn an_added_folder_adds_shards_and_touches_no_other() {
    let dir = TempDir::new("added");
    let (games, out) = (dir.path().join("games"), dir.path().join("out"));
    for i in 0..60 {
        write_game(&games.join(format!("{}/{i:03}.sgf", ["a", "c"][i % 2])), 5 * i);
    }
    let paths = [games.clone()];
    assert_eq!(convert_to(&paths, &out, Duplicates::Drop).groups_made, 2);
    let before = shard_files(&out);
    assert_eq!(before.len(), 2);

    // In between, and as another path.
    (0..20).for_each(|i| write_game(&games.join(format!("b/{i:03}.sgf")), 1000 + 5 * i));
    let done = convert_to(&paths, &out, Duplicates::Drop);
    assert_eq!((done.groups_made, done.groups_kept), (1, 2));
    assert_as_from_nothing(&dir, &paths, Duplicates::Drop);
    let more = dir.path().join("more");
    (0..20).for_each(|i| write_game(&more.join(format!("{i:03}.sgf")), 2000 + 5 * i));
    let paths = [games.clone(), more];
    let done = convert_to(&paths, &out, Duplicates::Drop);
    assert_eq!((done.groups_made, done.groups_kept), (1, 3));
    assert_as_from_nothing(&dir, &paths, Duplicates::Drop);
    let after = shard_files(&out);
    assert_eq!(after.len(), 4);
    assert!(before.iter().all(|(name, file)| after.get(name) == Some(file)), "{before:?} {after:?}");

    // A changed file, a file that is gone, a folder that is gone.
    write_game(&games.join("a/000.sgf"), 3000);
    fs::remove_file(games.join("c/001.sgf")).unwrap();
    fs::remove_dir_all(games.join("b")).unwrap();
    let done = convert_to(&paths, &out, Duplicates::Drop);
    assert_eq!((done.groups_made, done.groups_kept), (2, 1));
    assert_as_from_nothing(&dir, &paths, Duplicates::Drop);
}

#[test]
fn a_change_in_a_long_folder_remakes_a_part_of_it() {
    let dir = TempDir::new("long");
    let (games, out) = (dir.path().join("games"), dir.path().join("out"));
    let padding = format!("(;SZ[9]C[{}]", "x".repeat(60_000));
    let write = |i: usize| {
        let path = games.join(format!("{i:04}.sgf"));
        write_game(&path, 7 * i);
        let text = fs::read_to_string(&path).unwrap().replace("(;SZ[9]", &padding);
        fs::write(&path, text).unwrap();
    };
    (0..200).for_each(write);
    let paths = [games.clone()];
    let n_groups = convert_to(&paths, &out, Duplicates::Drop).groups_made;
    assert!((3..=12).contains(&n_groups), "{n_groups} groups of 12 MB");
    let before = shard_files(&out);
    for gone in [100, 3] {
        fs::remove_file(games.join(format!("{gone:04}.sgf"))).unwrap();
        let done = convert_to(&paths, &out, Duplicates::Drop);
        assert!(done.groups_made <= 2 && done.groups_kept + 2 >= n_groups, "{done:?}");
        assert_as_from_nothing(&dir, &paths, Duplicates::Drop);
    }
    let after = shard_files(&out);
    assert!(before.iter().filter(|(name, file)| after.get(*name) == Some(file)).count() + 4 >= n_groups);
}

#[test]
fn duplicates_over_groups_end_as_from_nothing() {
    let dir = TempDir::new("dups");
    let (games, out) = (dir.path().join("games"), dir.path().join("out"));
    (0..30).for_each(|i| write_game(&games.join(format!("b/{i:03}.sgf")), i));
    (20..50).for_each(|i| write_game(&games.join(format!("c/{i:03}.sgf")), i));
    let paths = [games.clone()];
    let report = convert_to(&paths, &out, Duplicates::Drop).manifest.report;
    // Turned and mirrored copies of each other are among them.
    let n_games = report.games_accepted;
    assert_eq!((report.games, report.games_duplicate), (60, 60 - n_games));
    // A folder before the others takes their games over; they are made anew.
    (10..40).for_each(|i| write_game(&games.join(format!("a/{i:03}.sgf")), i));
    let done = convert_to(&paths, &out, Duplicates::Drop);
    assert_eq!((done.groups_made, done.groups_kept, done.manifest.report.games_accepted), (3, 0, n_games));
    assert_as_from_nothing(&dir, &paths, Duplicates::Drop);
    // One after them finds its games there: the others stay.
    (0..50).for_each(|i| write_game(&games.join(format!("d/{i:03}.sgf")), i));
    let done = convert_to(&paths, &out, Duplicates::Drop);
    assert_eq!((done.groups_made, done.groups_kept, done.manifest.report.games_accepted), (1, 3, n_games));
    assert_as_from_nothing(&dir, &paths, Duplicates::Drop);
    // Without the first one, the others get their games back.
    fs::remove_dir_all(games.join("a")).unwrap();
    let done = convert_to(&paths, &out, Duplicates::Drop);
    assert_eq!(done.manifest.report.games_accepted, n_games);
    assert_as_from_nothing(&dir, &paths, Duplicates::Drop);
    // All of them, copies of whole folders included.
    fs::create_dir_all(games.join("e")).unwrap();
    for entry in fs::read_dir(games.join("d")).unwrap().flatten() {
        fs::copy(entry.path(), games.join("e").join(entry.file_name())).unwrap();
    }
    let kept = convert_to(&paths, &out, Duplicates::Keep).manifest;
    // Written again, and told.
    assert_eq!((kept.report.games_accepted, kept.report.games_duplicate, kept.shards.len()), (160, 160 - n_games, 4));
    assert_eq!(kept.shards[2].file, kept.shards[3].file, "one file for the same content");
    assert_as_from_nothing(&dir, &paths, Duplicates::Keep);
}

#[test]
fn an_unfinished_run_is_gone_on_with() {
    let dir = TempDir::new("go-on");
    let (games, out) = (dir.path().join("games"), dir.path().join("out"));
    (0..90).for_each(|i| write_game(&games.join(format!("{}/{i:03}.sgf", i % 3)), 5 * i));
    let paths = [games.clone()];
    let stop = Stop::default();
    let config = ConvertConfig { workers: 1, queue_games: 1, duplicates: Duplicates::Drop, ..ConvertConfig::default() };
    let job = Conversion { paths: &paths, out: &out, config: &config, ram_budget_bytes: 1 << 30, stop: &stop };
    let stopped = convert(&job, &mut |p| {
        if p.games >= 70 {
            stop.request()
        }
    })
    .unwrap_err();
    assert_eq!(stopped.exit_code(), 130);
    assert!(!out.join(MANIFEST_NAME).exists());
    assert!(Dataset::open(&out).err().unwrap().to_string().contains("half-written"));
    let done = convert_to(&paths, &out, Duplicates::Drop);
    assert_eq!((done.groups_made, done.groups_kept), (1, 2));
    assert_as_from_nothing(&dir, &paths, Duplicates::Drop);
    // Nothing of a dead writer stays, and its lock is taken over.
    for name in ["len9.new.part", "len13.games.part", "group-0-0.json.part", "len9-0.shard"] {
        fs::write(out.join(name), "left over").unwrap();
    }
    fs::write(out.join("writer.pid"), "4000000\n").unwrap();
    write_game(&games.join("1/more.sgf"), 4001);
    convert_to(&paths, &out, Duplicates::Drop);
    assert_as_from_nothing(&dir, &paths, Duplicates::Drop);
}

#[test]
fn folders_that_look_alike_are_told_apart() {
    let dir = TempDir::new("alike");
    let [a, b] = ["a", "b"].map(|name| dir.path().join(name));
    for (i, folder) in [&a, &b].into_iter().enumerate() {
        let path = folder.join("game.sgf");
        write_game(&path, 10 + 100 * i);
        fs::File::options().append(true).open(path).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    }
    let out = dir.path().join("out");
    convert_to(&[a], &out, Duplicates::Drop);
    let done = convert_to(std::slice::from_ref(&b), &out, Duplicates::Drop);
    assert_eq!((done.groups_made, done.groups_kept), (1, 0));
    assert_as_from_nothing(&dir, &[b], Duplicates::Drop);
}

#[test]
fn games_that_are_cut_or_refused_end_as_from_nothing() {
    let dir = TempDir::new("cut");
    let (games, out) = (dir.path().join("games"), dir.path().join("out"));
    let repair = set_key(&ConvertConfig::default().repair, "illegal=prefix").unwrap();
    let config = || ConvertConfig { repair: repair.clone(), ..ConvertConfig::default() };
    let write = |name: &str, text: &str| {
        fs::create_dir_all(games.join(name).parent().unwrap()).unwrap();
        fs::write(games.join(name), text).unwrap();
    };
    // Suicide ends the second game where the first one ends; under other rules it is a game of its own.
    let (short, long) = (";B[ba];W[ee];B[ab];W[ef]", ";B[ba];W[ee];B[ab];W[ef];B[ff];W[aa]");
    write("b/cut.sgf", &format!("(;SZ[9]RU[Japanese]{long})"));
    write("b/none.sgf", "(;SZ[9]AB[ba][ab]AW[aa];B[cc])");
    write("c/short.sgf", &format!("(;SZ[9]{short};B[ff])"));
    let paths = [games.clone()];
    let steps: [(&str, Option<String>); 5] = [
        ("a/whole.sgf", Some(format!("(;SZ[9]RU[NZ]{long})"))),
        ("a/short.sgf", Some(format!("(;SZ[9]{short};B[ff])"))),
        ("a/whole.sgf", None),
        ("a/short.sgf", None),
        ("c/short.sgf", Some(format!("(;SZ[9]{short})"))),
    ];
    let mut seen = Vec::new();
    for (name, text) in [("a/other.sgf", Some("(;SZ[9];B[ii])".to_string()))].into_iter().chain(steps) {
        match text {
            Some(text) => write(name, &text),
            None => fs::remove_file(games.join(name)).unwrap(),
        }
        let report = convert_with(&paths, &out, config()).manifest.report;
        seen.push((report.games_accepted, report.games_duplicate, report.games_refused));
        let fresh = dir.path().join("fresh");
        let _ = fs::remove_dir_all(&fresh);
        convert_with(&paths, &fresh, config());
        assert!(contents(&out) == contents(&fresh), "{name}");
    }
    assert_eq!(seen, [(2, 1, 1), (2, 2, 1), (2, 3, 1), (2, 2, 1), (2, 1, 1), (3, 0, 1)]);
}

#[test]
fn an_archive_is_a_group() {
    let dir = TempDir::new("archive");
    let (games, out) = (dir.path().join("games"), dir.path().join("out"));
    (0..40).for_each(|i| write_game(&games.join(format!("b/{i:03}.sgf")), 5 * i));
    let tar = |name: &str, numbers: std::ops::Range<usize>| {
        let mut tar = tar::Builder::new(Vec::new());
        for i in numbers {
            write_game(&dir.path().join("one.sgf"), 3000 + 5 * i);
            // As large as archives that are worth a group are.
            let text = fs::read_to_string(dir.path().join("one.sgf")).unwrap() + &" ".repeat(8 << 10);
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            tar.append_data(&mut header, format!("{i:03}.sgf"), text.as_bytes()).unwrap();
        }
        fs::write(games.join(name), tar.into_inner().unwrap()).unwrap();
    };
    let paths = [games.clone()];
    assert_eq!(convert_to(&paths, &out, Duplicates::Drop).groups_made, 1);
    tar("a.tar", 0..30);
    tar("c.tar", 20..50);
    let done = convert_to(&paths, &out, Duplicates::Drop);
    assert_eq!((done.groups_made, done.groups_kept), (2, 1));
    assert_as_from_nothing(&dir, &paths, Duplicates::Drop);
    tar("a.tar", 0..5);
    let done = convert_to(&paths, &out, Duplicates::Drop);
    // The games that the other one had dropped for it are its own now.
    assert_eq!((done.groups_made, done.groups_kept), (2, 1));
    assert_as_from_nothing(&dir, &paths, Duplicates::Drop);
    let report = done.manifest.report;
    assert_eq!((report.files, report.games_accepted + report.games_duplicate), (75, 75));
}

#[test]
fn a_ledger_of_other_shards_is_found() {
    let dir = TempDir::new("ledger");
    let (games, out) = (dir.path().join("games"), dir.path().join("out"));
    (0..20).for_each(|i| write_game(&games.join(format!("{i:03}.sgf")), 5 * i));
    let paths = [games.clone()];
    convert_to(&paths, &out, Duplicates::Drop);
    let path = out.join(LEDGER_NAME);
    let whole = fs::read_to_string(&path).unwrap();
    let check = || verify(&Dataset::open(&out).unwrap(), &Stop::default(), |_| ()).map(|_| ()).map_err(|e| e.to_string());
    for (text, what) in
        [(whole.replacen("accepted", "rejected", 1), "the file is damaged"), (whole[1..].to_string(), "bytes, expected")]
    {
        fs::write(&path, text).unwrap();
        let said = check().unwrap_err();
        assert!(said.contains("ledger.jsonl") && said.contains(what) && said.contains("\ntry: "), "{said}");
        assert!(Stats::read(&out).is_err());
    }
    // What is missing or of another length is made again from the parts.
    assert_eq!(convert_to(&paths, &out, Duplicates::Drop).groups_made, 0);
    assert_eq!(fs::read_to_string(&path).unwrap(), whole);
    // As after a run that was killed before the ledger had its name.
    let entry = Manifest::read(&out).unwrap().ledger.unwrap();
    fs::rename(&path, out.join(format!("ledger-{:08x}.jsonl", entry.crc))).unwrap();
    fs::write(&path, "the old one").unwrap();
    assert_eq!((check(), Stats::read(&out).unwrap().n_lines()), (Ok(()), 20));
    assert_eq!(convert_to(&paths, &out, Duplicates::Drop).groups_made, 0);
    assert_eq!(fs::read_to_string(&path).unwrap(), whole);
    assert_as_from_nothing(&dir, &paths, Duplicates::Drop);
}
