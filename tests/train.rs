//! Training as a person runs it: the command, its folder, and what happens when it is stopped, killed or damaged.

mod common;

use common::TempDir;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A place with a few games and a profile of a tiny run: some 25 steps with a checkpoint every fourth.
struct Place {
    dir: TempDir,
}

impl Place {
    fn new(name: &str) -> Place {
        let dir = TempDir::new(&format!("train-{name}"));
        common::tiny_run(dir.path(), 16);
        Place { dir }
    }

    fn out(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self, out: &str, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_edgezero"));
        let (profile, sgf) = (self.out("tiny.toml"), self.out("sgf"));
        command.arg("--profile").arg(profile).args(["train", "--sgf-dir"]).arg(sgf);
        command.arg("--out").arg(self.out(out)).args(more).env_remove("RUST_LOG");
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn train(&self, out: &str, more: &[&str]) -> Output {
        self.command(out, more).output().unwrap()
    }

    /// Starts a run and waits for a checkpoint of it.
    fn train_until_checkpoint(&self, out: &str, more: &[&str]) -> Child {
        let child = self.command(out, more).spawn().unwrap();
        let begun = Instant::now();
        while !self.out(out).join("checkpoint-00000004.safetensors").exists() {
            assert!(begun.elapsed() < Duration::from_secs(300), "no checkpoint within five minutes");
            std::thread::sleep(Duration::from_millis(2));
        }
        child
    }
}

#[track_caller]
fn succeeded(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[track_caller]
fn failed(output: &Output, code: i32, words: &[&str]) {
    let talk = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{talk}");
    for word in words {
        assert!(talk.contains(word), "`{word}` is not in:\n{talk}");
    }
}

/// The latest checkpoint.
fn last_checkpoint(run: &Path) -> PathBuf {
    let files = std::fs::read_dir(run).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("checkpoint-")).max().unwrap()
}

/// The files whose bytes a run determines, the latest checkpoint first.
fn results(run: &Path) -> Vec<Vec<u8>> {
    let paths = [last_checkpoint(run), run.join("net.safetensors"), run.join("net.bin.gz")];
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

#[track_caller]
fn assert_same_bytes(place: &Place, a: &str, b: &str) {
    assert!(results(&place.out(a)) == results(&place.out(b)), "{a} and {b} differ");
}

fn metrics(run: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_run_learns_and_tells() {
    let place = Place::new("learns");
    let said = succeeded(&place.train("run", &["--epochs", "6"]));
    assert!(said.contains("validation after"), "{said}");
    let lines = metrics(&place.out("run"));
    let policy: Vec<f64> =
        lines.iter().filter(|l| l["kind"] == "validation").map(|l| l["policy_loss"].as_f64().unwrap()).collect();
    assert!(policy.len() == 7 && policy[policy.len() - 1] < policy[0] - 0.2, "{policy:?}");
    assert!(lines.iter().any(|l| l["kind"] == "train" && l["positions_per_second"].as_f64().unwrap() > 0.0));
}

#[test]
fn a_killed_run_goes_on_to_the_same_bytes() {
    let place = Place::new("killed");
    let steps = ["--epochs", "1"];
    succeeded(&place.train("whole", &steps));
    let mut child = place.train_until_checkpoint("killed", &steps);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!place.out("killed").join("net.safetensors").exists(), "the run was killed before its end");
    succeeded(&place.train("killed", &["--epochs", "1", "--resume"]));
    assert_same_bytes(&place, "whole", "killed");
    let steps: Vec<u64> = metrics(&place.out("killed")).iter().map(|l| l["step"].as_u64().unwrap()).collect();
    assert!(steps.is_sorted(), "{steps:?}");
}

/// The soak of half an hour, in seconds.
#[test]
fn a_soak_ends_with_the_same_bytes() {
    let dir = TempDir::new("train-soak");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(root.join("scripts/soak.sh"));
    command.args(["0.25", "4"]).env("EDGEZERO", env!("CARGO_BIN_EXE_edgezero")).env("TMPDIR", dir.path());
    let output = command.output().unwrap();
    let said = succeeded(&output);
    assert!(said.contains("soak: passed: kills="), "{said}");
}

#[test]
fn workers_and_threads_do_not_change_the_bytes() {
    let place = Place::new("workers");
    succeeded(&place.train("two", &[]));
    succeeded(&place.train("three", &["--dataloader-workers", "3", "--prefetch-factor", "1", "--parse-workers", "3"]));
    assert_same_bytes(&place, "two", "three");
    succeeded(&place.train("one", &["--threads", "1"]));
    assert_same_bytes(&place, "two", "one");
}

#[test]
fn ctrl_c_and_systemd_keep_everything() {
    let place = Place::new("stopped");
    succeeded(&place.train("whole", &[]));
    for signal in ["-INT", "-TERM"] {
        let run = format!("stopped{signal}");
        let child = place.train_until_checkpoint(&run, &[]);
        let sent = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        let output = child.wait_with_output().unwrap();
        failed(&output, 130, &["stopped after step", "--resume"]);
        // Records that come meanwhile wait for the next run.
        std::fs::write(place.out("sgf/new.sgf"), "(;GM[1]FF[4]SZ[9];B[aa];W[bb])").unwrap();
        let resumed = place.train(&run, &["--resume"]);
        succeeded(&resumed);
        let talk = String::from_utf8_lossy(&resumed.stderr).into_owned();
        assert!(
            talk.contains("changed since the run began (1 files of") && talk.contains("it goes on with what it began with"),
            "{talk}"
        );
        assert!(talk.contains("2 files of ") && talk.contains("another --out"), "{talk}");
        std::fs::remove_file(place.out("sgf/new.sgf")).unwrap();
        assert_same_bytes(&place, "whole", &run);
    }
}

/// A clock of the day that is thirteen years ahead and behind by turns: what a board does that hears the time from the network.
const JUMPS: &str = r#"
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t id, struct timespec *now) {
    static int calls;
    int code = syscall(SYS_clock_gettime, id, now);
    if (id == CLOCK_REALTIME) now->tv_sec += calls++ % 2 ? 400000000 : -400000000;
    return code;
}
"#;

#[test]
fn a_clock_that_jumps_harms_nothing() {
    let place = Place::new("clock");
    let (source, library) = (place.out("jumps.c"), place.out("jumps.so"));
    std::fs::write(&source, JUMPS).unwrap();
    let Ok(made) = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).status() else {
        eprintln!("skipped: there is no cc");
        return;
    };
    assert!(made.success());
    succeeded(&place.train("whole", &[]));
    succeeded(&place.command("jumps", &[]).env("LD_PRELOAD", &library).output().unwrap());
    assert_same_bytes(&place, "whole", "jumps");
    let names = |run: &str| {
        let mut names: Vec<String> =
            std::fs::read_dir(place.out(run)).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names.into_iter().partition::<Vec<String>, _>(|name| name.starts_with("events."))
    };
    let ((_, whole), (events, jumps)) = (names("whole"), names("jumps"));
    assert_eq!(jumps, whole, "checkpoints come by steps and by time that passes");
    let second: i64 = events[0].split('.').nth(3).unwrap().parse().unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64;
    assert!((second - now).abs() > 300_000_000, "the clock did not jump: {events:?}");
    let lines = metrics(&place.out("jumps"));
    let reports: Vec<_> = lines.iter().filter(|line| line["kind"] == "train").collect();
    let seconds: Vec<f64> = reports.iter().map(|line| line["seconds"].as_f64().unwrap()).collect();
    assert!(seconds.is_sorted() && seconds[0] >= 0.0 && seconds[seconds.len() - 1] < 1e6, "{seconds:?}");
    assert!(reports.iter().all(|line| line["positions_per_second"].as_f64().unwrap() > 0.0));
}

#[test]
fn resume_begins_where_nothing_was_begun() {
    let place = Place::new("begins");
    succeeded(&place.train("whole", &[]));
    succeeded(&place.train("service", &["--resume"]));
    assert_same_bytes(&place, "whole", "service");
}

#[test]
fn a_disk_that_fills_leaves_the_last_checkpoint() {
    let place = Place::new("full");
    succeeded(&place.train("whole", &[]));
    let mut child = place.train_until_checkpoint("run", &[]);
    child.kill().unwrap();
    child.wait().unwrap();
    let before = last_checkpoint(&place.out("run"));
    let bytes = std::fs::read(&before).unwrap();
    // Files may not grow beyond 16 KiB: a write in the middle of a checkpoint fails, as on a full disk.
    let full = place.command("run", &["--resume"]);
    let words = std::iter::once(full.get_program()).chain(full.get_args()).map(|word| word.to_string_lossy().into_owned());
    let script = format!("trap '' XFSZ; ulimit -f 16; exec {}", words.collect::<Vec<_>>().join(" "));
    let output = Command::new("bash").args(["-c", &script]).output().unwrap();
    failed(&output, 1, &["run/checkpoint-", "File too large"]);
    assert!(bytes == std::fs::read(&before).unwrap() && last_checkpoint(&place.out("run")) == before);
    succeeded(&place.train("run", &["--resume"]));
    assert_same_bytes(&place, "whole", "run");
}

#[test]
fn a_run_ends_by_itself_before_the_disk_is_full() {
    let place = Place::new("reserve");
    let Some(disk) = common::small_disk(place.dir.path(), 8192) else { return };
    let filler = disk.path().join("filler");
    std::fs::write(&filler, vec![1; 7900 << 10]).unwrap();
    // Of a disk as small as this, an eighth is the reserve.
    let output = place.train("disk/run", &[]);
    failed(&output, 75, &["0 MiB of disk are free, 1 are to stay free"]);
    std::fs::remove_file(&filler).unwrap();
    succeeded(&place.train("disk/run", &["--resume"]));
}

#[test]
fn a_damaged_checkpoint_falls_back_to_the_one_before() {
    let place = Place::new("damaged");
    succeeded(&place.train("run", &[]));
    let whole = results(&place.out("run"));
    let last = last_checkpoint(&place.out("run"));
    std::fs::write(&last, &whole[0][..whole[0].len() / 2]).unwrap();
    let output = place.train("run", &["--resume"]);
    succeeded(&output);
    assert!(String::from_utf8_lossy(&output.stderr).contains("the one before is tried"));
    assert!(whole == results(&place.out("run")));
    let again = place.train("run", &["--resume"]);
    assert!(succeeded(&again).contains(" steps, 0 positions"), "a finished run has nothing left to do");
}

#[test]
fn what_does_not_fit_is_made_smaller_or_refused() {
    let place = Place::new("fit");
    let profile = std::fs::read_to_string(place.out("tiny.toml")).unwrap();
    let with_budget = |ram_share: &str| {
        let small = |line: &str| match line.split('=').next().unwrap_or("").trim() {
            "ram_mb" => "ram_mb = 256".to_string(),
            "ram_share" => format!("ram_share = {ram_share}"),
            _ => line.to_string(),
        };
        let lines: Vec<String> = profile.lines().map(small).collect();
        std::fs::write(place.out("tiny.toml"), lines.join("\n")).unwrap();
    };
    with_budget("0.06");
    let refused = place.train("none", &["--net", "b4c64"]);
    failed(&refused, 1, &["train: needs", "activations=", "it may have 15 (the profile's share)\ntry: a smaller --net"]);
    assert!(!place.out("none").exists());

    // As many positions a step as without the bound: half of the batch, twice as often.
    with_budget("0.12");
    let shrunk = place.train("run", &["--batch-size", "512", "--epochs", "1"]);
    let talk = String::from_utf8_lossy(&shrunk.stderr).into_owned();
    succeeded(&shrunk);
    assert!(
        talk.contains("memory is short (the profile's share): ") && talk.contains("batch_size 512 -> 256, accumulate 1 -> 2"),
        "{talk}"
    );
    let last = |key: &str| talk.split(&format!("{key}=")).last().unwrap().split(' ').next().unwrap().parse::<u64>().unwrap();
    assert!(last("memory: needs_mb") <= 30 && last("budget_mb") == 30, "{talk}");
    // The run goes on with what it began with, also where there is more memory by now.
    with_budget("0.5");
    assert!(
        succeeded(&place.train("run", &["--batch-size", "512", "--epochs", "1", "--resume"])).contains(" steps, 0 positions")
    );
}

#[test]
fn wrong_calls_are_told_clearly() {
    let place = Place::new("wrong");
    succeeded(&place.train("run", &[]));
    failed(&place.train("run", &[]), 1, &["holds a run", "--resume"]);
    failed(&place.train("run", &["--resume", "--batch-size", "8"]), 1, &["batch_size is 8 now, the run began with 16"]);
    failed(&place.train("run", &["--resume", "--net", "b1c16"]), 1, &["net is \"b1c16\" now"]);
    failed(&place.train("other", &["--board-size", "19"]), 1, &["no 19x19 games, but 9x9", "--board-size 9"]);
    failed(&place.train("other", &["--board-size", "99"]), 2, &["board_size is 99"]);
    failed(&place.train("other", &["--epochs", "0"]), 2, &["epochs is 0"]);
    failed(&place.train("other", &["--minutes", "-1"]), 2, &["--minutes"]);
    let empty = Command::new(env!("CARGO_BIN_EXE_edgezero"))
        .args(["--profile", "xavier-nx", "train"])
        .current_dir(place.dir.path())
        .output();
    failed(&empty.unwrap(), 1, &["data/sgf: no such folder of game records", "--sgf-dir"]);
    std::fs::write(
        place.out("sgf/more.sgf"),
        "(;GM[1]SZ[9];B[aa];W[bb];B[cc];W[dd];B[ee];W[ff];B[gg];W[hh];B[ii];W[ai];B[ia];W[])",
    )
    .unwrap();
    // A finished run is finished, also for a service that is started again.
    let finished = place.train("run", &["--resume"]);
    succeeded(&finished);
    let talk = String::from_utf8_lossy(&finished.stderr).into_owned();
    assert!(talk.contains("changed since the run began") && talk.contains("it is finished"), "{talk}");
}

#[test]
fn one_training_at_a_time_in_a_folder() {
    let place = Place::new("taken");
    let long = ["--epochs", "20000"];
    let mut child = place.train_until_checkpoint("run", &long);
    let who =
        format!("another edgezero train (process {}) is writing here\ntry: wait for it to end, or another --out", child.id());
    for more in [&[][..], &["--resume"]] {
        failed(&place.train("run", &[&long, more].concat()), 1, &[&who]);
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let run = place.out("run");
    let orphans = ["checkpoint-00000009.safetensors.part", "net.safetensors.part", "net.bin.gz.part"];
    for name in orphans.iter().chain(&["mine.part"]) {
        std::fs::write(run.join(name), "half").unwrap();
    }
    // The dead hold nothing: it is the options that are refused.
    failed(&place.train("run", &["--resume"]), 1, &["taking over from process", "epochs is 1 now, the run began with 20000"]);
    assert!(orphans.iter().all(|name| !run.join(name).exists()) && run.join("mine.part").exists());
    // What is refused before it begins leaves no folder.
    failed(&place.train("runs/none", &["--board-size", "19"]), 1, &["no 19x19 games"]);
    assert!(!place.out("runs").exists());
}

#[test]
fn a_run_that_is_complete_needs_no_records() {
    let place = Place::new("complete");
    succeeded(&place.train("run", &[]));
    let whole = results(&place.out("run"));
    // As after Ctrl-C in the last validation, and after a kill between the two nets; then the records are gone, too.
    for gone in [&["net.safetensors", "net.bin.gz"][..], &["net.bin.gz"], &[]] {
        gone.iter().for_each(|name| std::fs::remove_file(place.out("run").join(name)).unwrap());
        std::fs::write(place.out("sgf/new.sgf"), "(;GM[1]FF[4]SZ[9];B[aa];W[bb])").unwrap();
        assert!(succeeded(&place.train("run", &["--resume"])).contains(" steps, 0 positions"));
        assert!(results(&place.out("run")) == whole);
        if gone.len() == 1 {
            std::fs::remove_dir_all(place.out("sgf")).unwrap();
            std::fs::remove_dir_all(place.out("sgf.shards")).unwrap();
            std::fs::create_dir(place.out("sgf")).unwrap();
        }
    }
    // A net of something else is not taken for the run's.
    std::fs::write(place.out("run/net.safetensors"), "old").unwrap();
    succeeded(&place.train("run", &["--resume"]));
    assert!(results(&place.out("run")) == whole);
}

#[test]
fn a_run_keeps_its_shards_whatever_others_do() {
    let place = Place::new("keeps");
    // Long enough to be killed before the end.
    let steps = ["--epochs", "8"];
    succeeded(&place.train("whole", &steps));
    let killed = |run: &str| {
        let mut child = place.train_until_checkpoint(run, &steps);
        child.kill().unwrap();
        child.wait().unwrap();
    };
    killed("run");
    killed("bare");
    let links = ".edgezero-shards";
    std::fs::remove_dir_all(place.out("bare").join(links)).unwrap();
    let game = "(;GM[1]SZ[9];B[aa];W[bb];B[cc];W[dd];B[ee];W[ff];B[gg];W[hh];B[ii];W[ai];B[ia];W[])";
    std::fs::write(place.out("sgf/more.sgf"), game).unwrap();
    let games = std::fs::read(place.out("sgf/games.sgf")).unwrap();
    std::fs::write(place.out("sgf/games.sgf"), [&games, game.as_bytes()].concat()).unwrap();
    succeeded(&place.train("another", &steps));
    assert!(!place.out("another").join(links).exists(), "a finished run needs no shards");

    let resumed = place.train("run", &["--epochs", "8", "--resume"]);
    succeeded(&resumed);
    let talk = String::from_utf8_lossy(&resumed.stderr).into_owned();
    assert!(talk.contains("1 files of") && talk.contains("2 files of") && talk.contains("it goes on with what"), "{talk}");
    assert_same_bytes(&place, "whole", "run");
    // Without its links, as on a file system that has none, it is refused before anything is converted.
    let refused = place.train("bare", &["--epochs", "8", "--resume"]);
    failed(&refused, 1, &["began with other game records; another one has replaced its shards", "sgf.shards", "another --out"]);
    let again = place.train("another", &["--epochs", "8", "--resume"]);
    succeeded(&again);
    assert!(!String::from_utf8_lossy(&again.stderr).contains("changed since"));
}

#[test]
fn a_batch_size_that_is_given_is_a_whole_step() {
    let place = Place::new("batch");
    let profile = std::fs::read_to_string(place.out("tiny.toml")).unwrap();
    let line = profile.lines().find(|line| line.starts_with("accumulate")).unwrap();
    std::fs::write(place.out("tiny.toml"), profile.replace(line, "accumulate = 4")).unwrap();
    for (more, expected) in [(&[][..], "batch=64 passes=4"), (&["--batch-size", "32"], "batch=32 passes=1")] {
        let output = place.train(&format!("run{}", more.len()), more);
        succeeded(&output);
        let talk = String::from_utf8_lossy(&output.stderr);
        assert!(talk.contains(expected), "{talk}");
    }
}

#[test]
fn only_square_boards_are_learned_from() {
    let place = Place::new("square");
    succeeded(&place.train("whole", &[]));
    let moves = (0..20)
        .map(|i| format!(";{}[{}{}]", if i % 2 == 0 { 'B' } else { 'W' }, char::from(b'a' + i % 9), char::from(b'a' + i / 9)));
    let moves: String = moves.collect();
    let narrow = format!("(;GM[1]SZ[9:5]{moves})(;GM[1]SZ[9:4]{moves})(;GM[1]SZ[9:5]KM[0]{moves};B[ee])(;GM[1]SZ[13]{moves})");
    std::fs::create_dir(place.out("narrow")).unwrap();
    std::fs::write(place.out("narrow/games.sgf"), &narrow).unwrap();
    std::fs::write(place.out("sgf/narrow.sgf"), &narrow).unwrap();
    let output = place.train("run", &[]);
    succeeded(&output);
    let talk = String::from_utf8_lossy(&output.stderr);
    assert!(talk.contains("left out: games on other boards: 9x5 (2), 9x4 (1), 13x13 (1)"), "{talk}");
    // The checkpoints name their records; the nets learned the same.
    assert!(results(&place.out("run"))[1..] == results(&place.out("whole"))[1..]);
    let mut alone = Command::new(env!("CARGO_BIN_EXE_edgezero"));
    alone.arg("--profile").arg(place.out("tiny.toml")).args(["train", "--out"]).arg(place.out("alone"));
    let alone = alone.arg("--sgf-dir").arg(place.out("narrow")).output().unwrap();
    failed(&alone, 1, &["no 9x9 games, but 9x5 (2), 9x4 (1), 13x13 (1)", "--board-size 13"]);
}
