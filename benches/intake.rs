//! Speed of intake: the parser beside the crate sgf-parse and a plain read of memory, and what each stage costs a position.
//!
//! `EDGEZERO_DATA=../shared cargo bench --bench intake -- [threads]`, on the 4,835 games of the corpus that `seed4835.txt` lists.

#[path = "../tests/common/mod.rs"]
mod common;

use edgezero::corpus::ConvertConfig;
use edgezero::corpus::stages::{Identity, Known, Ruling, Stages};
use edgezero::sgf::{self, Collection, GameRecord};
use std::collections::HashSet;
use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// Rounds of each measurement: the first warms up, the median of the others counts.
const ROUNDS: usize = 8;

/// Bytes of the plain read.
const READ_BYTES: usize = 256 << 20;

fn main() {
    let threads = std::env::args().skip(1).find_map(|a| a.parse().ok()).unwrap_or(2);
    let Some(data) = common::data() else { return };
    let files = seed_games(&data);
    let texts: Vec<&[u8]> = files.iter().map(|(_, text)| text.as_slice()).collect();
    let n_bytes: usize = texts.iter().map(|text| text.len()).sum();
    let records: Vec<GameRecord> = texts.iter().flat_map(|text| sgf::games(text)).filter_map(Result::ok).collect();
    let n_positions: usize = records.iter().map(GameRecord::n_moves).sum();
    println!("{} files, {} games, {n_positions} positions, {:.2} MB", files.len(), records.len(), n_bytes as f64 / 1e6);
    parsing(&texts, n_bytes, n_positions);
    stages(&texts, &records, n_positions);
    let dir = common::TempDir::new("bench-intake");
    for (name, text) in &files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder for the games");
        fs::write(path, text).expect("room for the games");
    }
    for threads in [1, threads] {
        whole(dir.path(), &files, n_positions, threads);
    }
}

/// The games that seed4835.txt names.
fn seed_games(data: &Path) -> Vec<(String, Vec<u8>)> {
    let corpus = data.join("corpus");
    let list = fs::read_to_string(corpus.join("seed4835.txt")).expect("the list of games");
    let wanted: HashSet<&str> = list.lines().collect();
    let mut files = common::members(&corpus.join("pro19.tar.gz"));
    files.retain(|(name, _)| wanted.contains(name.as_str()));
    files
}

/// Seconds of a call: median, least and most of the rounds after the first.
fn seconds(mut call: impl FnMut()) -> [f64; 3] {
    call();
    let mut times: Vec<f64> = (1..ROUNDS)
        .map(|_| {
            let started = Instant::now();
            call();
            started.elapsed().as_secs_f64()
        })
        .collect();
    times.sort_by(f64::total_cmp);
    [times[times.len() / 2], times[0], times[times.len() - 1]]
}

/// MB/s of a plain read, of our scanner, tree and records, and of sgf-parse, on one thread.
fn parsing(texts: &[&[u8]], n_bytes: usize, n_positions: usize) {
    // Larger than any cache, as years of downloads are.
    let joined = texts.concat().repeat(READ_BYTES.div_ceil(n_bytes));
    let sum =
        || joined.chunks_exact(8).fold(0u64, |sum, word| sum.wrapping_add(u64::from_le_bytes(word.try_into().expect("8 bytes"))));
    let read = seconds(|| {
        black_box(sum());
    })
    .map(|seconds| seconds * n_bytes as f64 / joined.len() as f64);
    let scan = seconds(|| texts.iter().for_each(|text| _ = black_box(sgf::count_properties(text))));
    let tree = seconds(|| texts.iter().for_each(|text| while_games(text)));
    let records = seconds(|| texts.iter().for_each(|text| sgf::games(text).for_each(|game| drop(black_box(game)))));
    let lossy: Vec<_> = texts.iter().map(|text| String::from_utf8_lossy(text)).collect();
    let mut n_failed = 0;
    let peer = seconds(|| {
        n_failed = 0;
        for text in &lossy {
            n_failed += usize::from(black_box(sgf_parse::go::parse(text)).is_err());
        }
    });
    let rate = |seconds: f64| n_bytes as f64 / 1e6 / seconds;
    let line = |name: &str, [median, least, most]: [f64; 3]| {
        println!(
            "{name:34} {:8.0} MB/s ({:.0} to {:.0}), {:6.1} ns/position, {:5.1} x sgf-parse, {:5.1} % of a plain read",
            rate(median),
            rate(most),
            rate(least),
            median / n_positions as f64 * 1e9,
            peer[0] / median,
            100.0 * read[0] / median
        );
    };
    line("plain read of memory, sum of words", read);
    line("scanner alone", scan);
    line("bytes to tree", tree);
    line("bytes to record, moves and texts", records);
    line(&format!("sgf-parse ({n_failed} files failed)"), peer);
}

fn while_games(text: &[u8]) {
    let mut collection = Collection::new(text);
    while let Some(game) = collection.next_game() {
        black_box(game.is_ok());
    }
}

/// Nanoseconds a position of each stage on one thread, each over all games.
fn stages(texts: &[&[u8]], records: &[GameRecord], n_positions: usize) {
    let mut stages = Stages::new(&ConvertConfig::default());
    let print = |name: &str, [median, least, most]: [f64; 3]| {
        let ns = |seconds: f64| seconds / n_positions as f64 * 1e9;
        println!("{name:34} {:6.1} ns/position ({:.1} to {:.1})", ns(median), ns(least), ns(most));
    };
    print("tree", seconds(|| texts.iter().for_each(|text| while_games(text))));
    print("tree and record", seconds(|| texts.iter().for_each(|text| sgf::games(text).for_each(|game| drop(black_box(game))))));
    let mut ruled: Vec<(GameRecord, Ruling, Identity)> = Vec::new();
    print(
        "policy and filter, with a copy",
        seconds(|| {
            for record in records {
                let mut record = record.clone();
                black_box(stages.decide(&mut record));
            }
        }),
    );
    for record in records {
        let mut record = record.clone();
        if let Some(ruling) = stages.decide(&mut record) {
            let identity = stages.identify(&record);
            ruled.push((record, ruling, identity));
        }
    }
    print(
        "identity",
        seconds(|| {
            ruled.iter().for_each(|(record, ..)| {
                black_box(stages.identify(record));
            })
        }),
    );
    let check = seconds(|| {
        ruled.iter_mut().for_each(|(record, ruling, _)| {
            black_box(stages.check(record, ruling));
        })
    });
    print("replay", check);
    let mut out = Vec::new();
    let ledger = seconds(|| {
        let known = Known::default();
        for (i, (record, ruling, identity)) in ruled.iter().enumerate() {
            out.clear();
            let place = ("kgs-6d/2001-01-01-1.sgf", i as u32);
            stages.account(place, record, ruling, *identity, &known, &mut out);
        }
    });
    print("duplicates and ledger", ledger);
}

/// From files to ledger lines on all threads.
fn whole(dir: &Path, files: &[(String, Vec<u8>)], n_positions: usize, threads: usize) {
    let paths: Vec<PathBuf> = files.iter().map(|(name, _)| dir.join(name)).collect();
    let mut n_known = 0;
    let time = seconds(|| n_known = intake(&paths, threads));
    let rate = |seconds: f64| n_positions as f64 / seconds / 1e6;
    let cpu = time[0] * threads as f64 / n_positions as f64 * 1e9;
    println!(
        "intake, {threads} threads: {:.2} M positions/s ({:.2} to {:.2}), {cpu:.0} ns of a core a position, {n_known} games accepted",
        rate(time[0]),
        rate(time[2]),
        rate(time[1])
    );
}

/// Files taken at a time by a thread.
const BATCH: usize = 32;

fn intake(paths: &[PathBuf], threads: usize) -> usize {
    let (next, n_accepted, known) = (AtomicUsize::new(0), AtomicUsize::new(0), Known::default());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut stages = Stages::new(&ConvertConfig::default());
                let mut out = Vec::new();
                loop {
                    let start = next.fetch_add(BATCH, Ordering::Relaxed);
                    let Some(batch) = paths.get(start..paths.len().min(start + BATCH)).filter(|batch| !batch.is_empty()) else {
                        break;
                    };
                    for (i, path) in batch.iter().enumerate() {
                        let text = fs::read(path).expect("a game");
                        let name = path.to_string_lossy();
                        for record in sgf::games(&text) {
                            let Ok(mut record) = record else { continue };
                            let Some(mut ruling) = stages.decide(&mut record) else { continue };
                            let identity = stages.identify(&record);
                            if stages.check(&mut record, &mut ruling).is_some() {
                                stages.account((&name, (start + i) as u32), &record, &ruling, identity, &known, &mut out);
                                out.push(b'\n');
                                n_accepted.fetch_add(1, Ordering::Relaxed);
                            }
                        }
                    }
                    black_box(&out);
                    out.clear();
                }
            });
        }
    });
    n_accepted.into_inner()
}
