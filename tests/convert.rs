//! Folders of records become shards: counts, refusals, equal bytes, clean ends.

mod common;

use common::TempDir;
use edgezero::base::signal::Stop;
use edgezero::corpus::config::set_key;
use edgezero::corpus::repair::RepairConfig;
use edgezero::corpus::{Conversion, ConvertConfig, Duplicates, Progress, Variations, convert};
use edgezero::go::Color;
use edgezero::sgf::{self, Step};
use edgezero::shard::{Dataset, GameEntry, Manifest, Shard, Split, verify};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn config(workers: usize) -> ConvertConfig {
    ConvertConfig { workers, queue_games: 3, ..ConvertConfig::default() }
}

fn run(paths: &[&Path], out: &Path, config: &ConvertConfig, stop: &Stop) -> Result<Manifest, edgezero::base::Error> {
    let paths: Vec<PathBuf> = paths.iter().map(|p| p.to_path_buf()).collect();
    let mut last = Progress::default();
    let job = Conversion { paths: &paths, out, config, ram_budget_bytes: 1 << 30, stop };
    let manifest = convert(&job, &mut |p| last = p)?.manifest;
    assert_eq!((last.games, last.positions), (manifest.report.games_accepted, manifest.report.positions));
    Ok(manifest)
}

fn convert_ok(path: &Path, out: &Path, workers: usize) -> Manifest {
    run(&[path], out, &config(workers), &Stop::default()).unwrap()
}

/// All files of a folder with their bytes.
fn contents(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(dir).unwrap().map(|e| e.unwrap());
    entries.map(|e| (e.file_name().into_string().unwrap(), fs::read(e.path()).unwrap())).collect()
}

fn write(dir: &Path, name: &str, text: &str) {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// A handful of games of several sizes, and what does not belong among them.
fn odd_folder(dir: &Path) {
    write(dir, "a/one.sgf", "(;SZ[9]KM[7]RU[Chinese]RE[B+R];B[ee];W[cc];B[gg];W[gc])");
    write(dir, "a/two.SGF", "(;SZ[9]KM[6.5]RE[W+0.5];B[ee];W[cc])(;SZ[5:7];B[aa];W[bb];B[cc])");
    write(dir, "b/illegal.sgf", "(;SZ[9];B[ee];W[cc]\n;B[cc])(;SZ[13];B[dd])");
    write(dir, "b/broken.sgf", "(;SZ[9];B[ee");
    write(dir, "b/empty.sgf", "");
    write(dir, "b/no_moves.sgf", "(;SZ[9]AB[ee])");
    write(dir, "b/chess.sgf", "(;GM[3];B[ee])");
    write(dir, "notes.txt", "not a game");
}

#[test]
fn every_file_and_game_is_accounted_for() {
    let dir = TempDir::new("odd");
    let (games, out) = (dir.path().join("games"), dir.path().join("out"));
    odd_folder(&games);
    let manifest = convert_ok(&games, &out, 2);
    let report = &manifest.report;
    assert_eq!((report.files, report.files_skipped, report.files_refused), (7, 1, 1));
    assert_eq!((report.games, report.games_accepted, report.games_refused), (8, 4, 4));
    assert_eq!(report.filtered_by_reason["too few moves"], 1);
    assert_eq!((report.positions, report.positions_value, report.positions_score), (10, 6, 2));
    let reasons: Vec<(&str, u64)> = report.refused_by_reason.iter().map(|(k, n)| (k.as_str(), *n)).collect();
    let expected = [("another game than Go", 1), ("broken SGF", 1), ("empty file", 1), ("illegal move: occupied point", 1)];
    assert_eq!(reasons, expected);
    let illegal = report.refused.iter().find(|r| r.file.ends_with("illegal.sgf")).unwrap();
    assert_eq!((illegal.game, illegal.line, illegal.reason.as_str()), (0, 2, "move 3: B C7: occupied point"));
    let sizes: Vec<_> = report.sizes.iter().map(|(size, n)| (size.as_str(), n.games, n.positions)).collect();
    assert_eq!(sizes, [("13x13", 1, 1), ("5x7", 1, 3), ("9x9", 2, 6)]);
    let dataset = Dataset::open(&out).unwrap();
    assert_eq!((dataset.board_lens(), dataset.n_positions()), (vec![7, 9, 13], 10));
    assert_eq!(verify(&dataset, &Stop::default(), |_| ()).unwrap().positions, 10);
}

#[test]
fn targets_are_those_of_the_record() {
    let dir = TempDir::new("targets");
    let games = dir.path().join("games");
    // The score is told, and passes are moves.
    let text = "(;SZ[9:5]KM[6.5]RU[Japanese]RE[W+3.5];B[cc];W[ec];B[];W[gc];B[])";
    write(&games, "a.sgf", text);
    convert_ok(&games, &dir.path().join("out"), 1);
    let dataset = Dataset::open(&dir.path().join("out")).unwrap();
    let shard = &dataset.shards_of(9)[0];
    let record = sgf::games(text.as_bytes()).next().unwrap().unwrap();
    let moves: Vec<_> = record
        .steps
        .iter()
        .filter_map(|s| if let Step::Move { color, mv, .. } = *s { Some((color, mv)) } else { None })
        .collect();
    assert_eq!((shard.n_positions(), moves.len()), (5, 5));
    for (i, &(color, mv)) in moves.iter().enumerate() {
        let r = shard.record(i as u64).unwrap();
        assert_eq!((r.ply(), r.plies_left(), r.game()), (i, 5 - i, 0));
        assert_eq!((r.to_move(), r.policy()), (color, mv.policy_index(9)));
        assert_eq!(r.reply(), moves.get(i + 1).map(|m| m.1.policy_index(9)));
        let sign = if color == Color::White { 1.0 } else { -1.0 };
        assert_eq!((r.score(), r.value().unwrap()[0]), (Some(3.5 * sign), f32::from(u8::from(sign > 0.0))));
        let size = r.size();
        assert_eq!((size.w(), size.h()), (9, 5));
    }
}

#[test]
fn bytes_do_not_depend_on_the_number_of_workers() {
    let dir = TempDir::new("workers");
    let games = dir.path().join("games");
    odd_folder(&games);
    if let Some(data) = common::data() {
        for (name, bytes) in common::members(&data.join("corpus/small9.tar.gz")).into_iter().take(60) {
            write(&games, &name, std::str::from_utf8(&bytes).unwrap());
        }
    }
    let outs: Vec<_> = [1, 2, 3, 8]
        .map(|workers| {
            let out = dir.path().join(format!("out{workers}"));
            convert_ok(&games, &out, workers);
            contents(&out)
        })
        .into();
    for out in &outs[1..] {
        assert!(out == &outs[0], "other bytes");
    }
    // Once more in the same place: the same again, and nothing left over.
    convert_ok(&games, &dir.path().join("out1"), 2);
    assert!(contents(&dir.path().join("out1")) == outs[0]);
}

#[test]
fn the_corpus_is_counted_right() {
    let Some(data) = common::data() else { return };
    for (set, n_games) in [("pro19", 250), ("small9", 400), ("mid13", 300)] {
        let dir = TempDir::new(&format!("corpus-{set}"));
        let index = fs::read_to_string(data.join(format!("corpus/{set}.index.tsv"))).unwrap();
        // file, w, h, main_moves, …
        let moves: BTreeMap<&str, u64> = index
            .lines()
            .skip(1)
            .map(|l| {
                let mut columns = l.split('\t');
                (columns.next().unwrap(), columns.nth(2).unwrap().parse().unwrap())
            })
            .collect();
        let (mut expected, mut games) = (0, 0);
        for (name, bytes) in common::members(&data.join(format!("corpus/{set}.tar.gz"))).into_iter().take(n_games) {
            expected += moves[name.as_str()];
            games += u64::from(moves[name.as_str()] > 0);
            let path = dir.path().join("games").join(&name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        let out = dir.path().join("out");
        // As the index counts: the same short game twice, and moves after two passes.
        let repair = set_key(&RepairConfig::default(), "after_end=off").unwrap();
        let config = ConvertConfig { duplicates: Duplicates::Keep, repair, ..config(2) };
        let report = run(&[&dir.path().join("games")], &out, &config, &Stop::default()).unwrap().report;
        assert_eq!((report.positions, report.games_accepted), (expected, games), "{set}");
        let dataset = Dataset::open(&out).unwrap();
        assert_eq!(verify(&dataset, &Stop::default(), |_| ()).unwrap().positions, expected, "{set}");
    }
}

#[test]
fn a_stopped_conversion_leaves_nothing_half() {
    let dir = TempDir::new("stopped");
    let (games, out) = (dir.path().join("games"), dir.path().join("out"));
    odd_folder(&games);
    let stop = Stop::default();
    stop.request();
    let err = run(&[&games], &out, &config(2), &stop).unwrap_err();
    assert_eq!(err.exit_code(), 130);
    assert!(!out.exists());

    convert_ok(&games, &out, 1);
    let before = contents(&out);
    write(&games, "c.sgf", "(;SZ[9];B[aa])");
    assert_eq!(run(&[&games], &out, &config(2), &stop).unwrap_err().exit_code(), 130);
    assert!(contents(&out) == before);
}

#[test]
fn what_cannot_be_converted_is_said() {
    let dir = TempDir::new("cannot");
    let out = dir.path().join("out");
    let say = |path: &Path| run(&[path], &out, &config(1), &Stop::default()).unwrap_err().to_string();
    assert!(say(&dir.path().join("none")).contains("none: no such file or folder\ntry: "));
    fs::create_dir(dir.path().join("bare")).unwrap();
    assert!(say(&dir.path().join("bare")).contains("no game records (.sgf)"));
    write(dir.path(), "bad/a.sgf", "nothing");
    let said = say(&dir.path().join("bad"));
    assert!(said.contains("no usable game in 1 files; refused: 1 no game in the file"), "{said}");
    assert!(!out.exists());
    let tight = Conversion {
        paths: &[dir.path().join("bad")],
        out: &out,
        config: &config(4),
        ram_budget_bytes: 1 << 20,
        stop: &Stop::default(),
    };
    let said = convert(&tight, &mut |_| ()).unwrap_err().to_string();
    assert!(said.contains("MiB of memory, it may have 1 MiB\ntry: "), "{said}");
}

#[test]
fn a_changed_folder_is_noticed() {
    let dir = TempDir::new("current");
    let (games, out) = ([dir.path().join("games")], dir.path().join("out"));
    odd_folder(&games[0]);
    let n_made = |config: &ConvertConfig| {
        let job = Conversion { paths: &games, out: &out, config, ram_budget_bytes: 1 << 30, stop: &Stop::default() };
        convert(&job, &mut |_| ()).unwrap().groups_made
    };
    // Two folders, `a` and `b`.
    assert_eq!([n_made(&config(1)), n_made(&config(1)), n_made(&config(7))], [2, 0, 0]);
    let longer = ConvertConfig { min_moves: 2, ..config(1) };
    assert_eq!([n_made(&longer), n_made(&longer), n_made(&config(1))], [2, 0, 2]);
    write(&games[0], "b/new.sgf", "(;SZ[9];B[aa])");
    assert_eq!([n_made(&config(1)), n_made(&config(1))], [1, 0]);
    // A shard that is not there is made again; a file of another kind changes only the count of such files.
    fs::remove_file(Dataset::open(&out).unwrap().shards()[0].path()).unwrap();
    assert_eq!([n_made(&config(1)), n_made(&config(1))], [1, 0]);
    write(&games[0], "a/more.txt", "no game");
    assert_eq!((n_made(&config(1)), Manifest::read(&out).unwrap().report.files_skipped), (0, 2));
}

fn edgezero(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_edgezero")).args(args).output().unwrap()
}

#[test]
fn the_commands_convert_inspect_and_verify() {
    let dir = TempDir::new("commands");
    odd_folder(&dir.path().join("games"));
    let (games, out) = (dir.path().join("games"), dir.path().join("out"));
    let (games, out) = (games.to_str().unwrap(), out.to_str().unwrap());
    let made = edgezero(&["convert", games, "--out", out, "--workers", "2", "--min-moves=1"]);
    let (stdout, stderr) = (String::from_utf8(made.stdout).unwrap(), String::from_utf8(made.stderr).unwrap());
    assert!(made.status.success(), "{stderr}");
    assert!(
        stdout.contains("10 positions of 4 games") && stdout.contains("positions/s") && stdout.contains("1 broken SGF"),
        "{stdout}"
    );
    assert!(stderr.contains("convert: 7 files") && stderr.contains("2 workers"), "{stderr}");

    let seen = edgezero(&["inspect", out, "--json", "--position", "3"]);
    let json: serde_json::Value = serde_json::from_slice(&seen.stdout).unwrap();
    assert_eq!(json["summary"]["positions"], 10);
    // Positions 0 to 2 are those of the 5x7 game; the first 9x9 game follows.
    assert_eq!((&json["position"]["size"], &json["position"]["policy"]), (&"9x9".into(), &"E5".into()));
    let drawn = String::from_utf8(edgezero(&["inspect", out, "--position", "5"]).stdout).unwrap();
    assert!(
        drawn.contains("   5 . . . . X . . . .") && drawn.contains("target: G3, then G7") && drawn.contains("value: win"),
        "{drawn}"
    );
    assert_eq!(edgezero(&["inspect", out, "--position", "10"]).status.code(), Some(2));

    assert!(String::from_utf8(edgezero(&["verify", out]).stdout).unwrap().contains("10 positions sound"));
    let shard = Dataset::open(Path::new(out)).unwrap().shards()[1].path().to_path_buf();
    let mut bytes = fs::read(&shard).unwrap();
    bytes[300] ^= 1;
    fs::write(&shard, bytes).unwrap();
    let damaged = edgezero(&["verify", out]);
    let stderr = String::from_utf8(damaged.stderr).unwrap();
    assert_eq!(damaged.status.code(), Some(1));
    assert!(stderr.contains(".shard @ byte 128: block 0 has checksum") && stderr.contains("\ntry: edgezero convert"), "{stderr}");

    assert_eq!(edgezero(&["convert", "--out", out]).status.code(), Some(2));
    assert_eq!(edgezero(&["convert", games]).status.code(), Some(2));
    let dry = edgezero(&["convert", games, "--dry-run", "--min-moves=1"]);
    let said = String::from_utf8(dry.stdout).unwrap();
    assert!(dry.status.success() && said.contains("dry run: 10 positions of 4 games") && said.contains("1 broken SGF"), "{said}");
    let ledger = dir.path().join("ledger");
    let dry = edgezero(&["convert", games, "--dry-run", "--out", ledger.to_str().unwrap()]);
    assert!(dry.status.success() && edgezero(&["stats", ledger.to_str().unwrap()]).status.success());
    assert_eq!(edgezero(&["convert", games, "--out", games]).status.code(), Some(2));
    assert_eq!(edgezero(&["verify", games]).status.code(), Some(1));
}

#[test]
fn all_lines_of_a_game_are_on_one_side() {
    let dir = TempDir::new("convert-lines");
    // Games with two lines beside the main one, and games alone; a collection of each size of file that is read in its own way.
    let mut text = String::new();
    for i in 0..60 {
        let start = format!("(;SZ[9];B[a{}];W[b{}];B[cd]", char::from(b'a' + i % 9), char::from(b'a' + i / 9));
        text.push_str(&format!("{start}(;W[dd];B[hb])(;W[ee];B[ff])(;W[gg]))\n{start};W[gh];B[hi])\n"));
    }
    write(dir.path(), "games/small.sgf", &text);
    write(dir.path(), "games/large.sgf", &format!("(;SZ[9]C[{}];B[aa];W[ia];B[ii])", "x".repeat(70_000)).replace("aa", "cc"));
    write(
        dir.path(),
        "games/larger.sgf",
        &format!("(;SZ[9]C[{}];B[aa](;W[ia];B[ii])(;W[ef])(;W[fe];B[bd]))", "x".repeat(70_000)),
    );
    let games = |variations, out: &str| -> Vec<GameEntry> {
        let config = ConvertConfig { variations, min_moves: 1, duplicates: Duplicates::Keep, ..config(3) };
        let out = dir.path().join(out);
        run(&[&dir.path().join("games")], &out, &config, &Stop::default()).unwrap();
        Dataset::open(&out).unwrap().shards().iter().flat_map(Shard::games).collect()
    };
    let (main, all) = (games(Variations::Main, "main"), games(Variations::All, "all"));
    assert!(main.iter().all(|game| game.draw.is_none()));
    assert_eq!((main.len(), all.len()), (122, 4 * 60 + 1 + 3));
    let is_main = |game: &&GameEntry| main.iter().any(|main| main.hash == game.hash);
    assert!(all.iter().filter(is_main).all(|game| game.draw.is_none()));
    for permille in [0, 50, 200, 500, 800, 1000] {
        let mut side = None;
        let mut held_out = 0;
        for game in &all {
            if is_main(&game) {
                side = Some(Split::of(game, permille));
                held_out += u32::from(side == Some(Split::Validation));
            }
            assert_eq!(Some(Split::of(game, permille)), side, "{permille} of 1000");
        }
        assert_eq!(held_out, main.iter().filter(|game| Split::of(game, permille) == Split::Validation).count() as u32);
    }
}

#[test]
fn a_conversion_rests_while_it_is_paused() {
    let dir = TempDir::new("convert-rest");
    odd_folder(&dir.path().join("games"));
    let stop = Stop::default();
    stop.pause();
    let seen = std::sync::atomic::AtomicU64::new(0);
    std::thread::scope(|scope| {
        let converting = scope.spawn(|| {
            let (paths, config) = ([dir.path().join("games")], config(2));
            let out = dir.path().join("out");
            let job = Conversion { paths: &paths, out: &out, config: &config, ram_budget_bytes: 1 << 30, stop: &stop };
            let see = |p: Progress| seen.fetch_max(p.games + p.refused, std::sync::atomic::Ordering::SeqCst);
            convert(&job, &mut |p| _ = see(p)).unwrap().manifest.report
        });
        // However slow the machine is, nothing comes.
        std::thread::sleep(std::time::Duration::from_millis(300));
        assert_eq!(seen.load(std::sync::atomic::Ordering::SeqCst), 0);
        stop.go_on();
        let report = converting.join().unwrap();
        assert_eq!(seen.load(std::sync::atomic::Ordering::SeqCst), report.games_accepted + report.games_refused);
    });
}
