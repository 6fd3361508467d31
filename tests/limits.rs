//! The nano profile under real limits of memory, of addresses and of a control group: what is announced is kept, and where
//! there is too little a run shrinks or refuses before it starts. `scripts/limits.py` does the same at full size.
#![cfg(target_os = "linux")]

mod common;

use common::TempDir;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

const GAMES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/small9");

/// Runs `edgezero --profile nano ARGS` with at most `limit_mb` of addresses.
fn limited(limit_mb: u64, args: &str, input: &str) -> (Output, String) {
    run(&format!("ulimit -v {}", limit_mb << 10), args, input)
}

/// Runs `edgezero --profile nano ARGS` from a shell that has entered a limit.
fn run(enter: &str, args: &str, input: &str) -> (Output, String) {
    let script = format!("{enter} && exec {} --profile nano {args}", env!("CARGO_BIN_EXE_edgezero"));
    let mut command = Command::new("sh");
    command.args(["-c", &script]).env_remove("RUST_LOG").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A run that is refused reads nothing.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let talk = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, talk)
}

/// A control group of its own with a limit of memory, swap counted with it.
struct Group {
    dir: PathBuf,
    /// File and field that count kills.
    kills: (&'static str, &'static str),
}

impl Group {
    /// None where this user may make none, or its limit is not the kernel's.
    fn new(limit_mb: u64) -> Option<Group> {
        static N: AtomicU32 = AtomicU32::new(0);
        let name = format!("edgezero-test-{}-{}", std::process::id(), N.fetch_add(1, Ordering::Relaxed));
        let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let own = |wanted: &str| {
            let line =
                groups.lines().find(|line| line.split(':').nth(1).is_some_and(|names| names.split(',').any(|n| n == wanted)));
            line.and_then(|line| line.splitn(3, ':').nth(2)).unwrap_or("/").trim_matches('/').to_string()
        };
        // In version 2 a group with processes has no children with limits: the new one stands beside ours.
        let second = Path::new("/sys/fs/cgroup").join(own(""));
        let first = Path::new("/sys/fs/cgroup/memory");
        let places = [
            (second.parent().map(Path::to_path_buf), "memory.max", "memory.swap.max", ("memory.events", "oom_kill")),
            (
                Some(first.join(own("memory"))),
                "memory.limit_in_bytes",
                "memory.memsw.limit_in_bytes",
                ("memory.oom_control", "oom_kill"),
            ),
            (
                Some(first.to_path_buf()),
                "memory.limit_in_bytes",
                "memory.memsw.limit_in_bytes",
                ("memory.oom_control", "oom_kill"),
            ),
        ];
        places.into_iter().find_map(|(parent, limit, swap, kills)| {
            let dir = parent?.join(&name);
            std::fs::create_dir(&dir).ok()?;
            let group = Group { dir, kills };
            std::fs::write(group.dir.join(limit), (limit_mb << 20).to_string()).ok()?;
            // Version 2 counts swap by itself, version 1 together with memory; without swap there is no such file.
            let most = if swap == "memory.swap.max" { 0 } else { limit_mb << 20 };
            let _ = std::fs::write(group.dir.join(swap), most.to_string());
            // What cannot be told cannot be tested.
            group.kills()?;
            group.is_seen().then_some(group)
        })
    }

    /// Whether a process can enter, and finds itself at the group's place: a container may show another part of the groups.
    fn is_seen(&self) -> bool {
        let script = format!("{} && cat /proc/self/cgroup", self.enter());
        let Ok(output) = Command::new("sh").args(["-c", &script]).output() else { return false };
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let paths = text.lines().filter_map(|line| line.splitn(3, ':').nth(2));
        let mut places =
            paths.flat_map(|path| ["", "memory/"].map(|part| format!("/sys/fs/cgroup/{part}{}", path.trim_matches('/'))));
        output.status.success() && places.any(|place| Path::new(&place) == self.dir)
    }

    fn enter(&self) -> String {
        format!("echo $$ > {}/cgroup.procs", self.dir.display())
    }

    /// Processes of the group that the kernel has killed for want of memory.
    fn kills(&self) -> Option<u64> {
        let text = std::fs::read_to_string(self.dir.join(self.kills.0)).ok()?;
        text.lines().find_map(|line| line.strip_prefix(self.kills.1)?.trim().parse().ok())
    }

    fn run(&self, args: &str, input: &str) -> (Output, String) {
        let done = run(&self.enter(), args, input);
        assert_eq!(self.kills(), Some(0), "{}", done.1);
        done
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The kernel lets go of the last process a moment after its end.
        let begun = Instant::now();
        while std::fs::remove_dir(&self.dir).is_err() && begun.elapsed() < Duration::from_secs(30) {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// From plenty to nothing: every run ends well or is refused, and both happen, in this order.
fn down_the_ladder(limits_mb: &[u64], run: impl Fn(u64) -> (Output, String)) {
    let mut outcomes = Vec::new();
    for &limit in limits_mb {
        let (output, talk) = run(limit);
        let code = output.status.code();
        let refused = code == Some(1) && talk.contains("needs ") && talk.contains("it may have");
        assert!(code == Some(0) || refused, "limit {limit} MiB: {}\n{talk}", output.status);
        assert!(refused || talk.contains("memory: needs_mb="), "limit {limit} MiB: no sum\n{talk}");
        let shrunk = talk.contains("memory is short");
        outcomes.push(if refused { 2 } else { u8::from(shrunk) });
    }
    assert!(outcomes.is_sorted() && outcomes.first() == Some(&0) && outcomes.last() == Some(&2), "{limits_mb:?}: {outcomes:?}");
    assert!(outcomes.contains(&1), "{limits_mb:?}: {outcomes:?}");
}

fn shards(dir: &Path) -> String {
    let out = dir.join("shards");
    let output = Command::new(env!("CARGO_BIN_EXE_edgezero")).args(["convert", GAMES, "--out"]).arg(&out).output().unwrap();
    assert!(output.status.success());
    out.display().to_string()
}

#[test]
fn training_shrinks_and_then_refuses() {
    let dir = TempDir::new("limits-train");
    let shards = shards(dir.path());
    down_the_ladder(&[1000, 45, 36, 28], |limit| {
        let out = dir.path().join(format!("run{limit}"));
        let args =
            format!("train --shards {shards} --board-size 9 --net b2c16 --batch-size 256 --minutes 0.01 --out {}", out.display());
        limited(limit, &args, "")
    });
}

#[test]
fn play_shrinks_and_then_refuses() {
    let dir = TempDir::new("limits-play");
    let net = dir.path().join("net.safetensors");
    edgezero::net::tensors::save(&net, &edgezero::net::NetConfig::named("b2c16").unwrap().init(1)).unwrap();
    down_the_ladder(&[1000, 200, 110, 40], |limit| {
        let args = format!("gtp --net {} --visits 20", net.display());
        limited(limit, &args, "boardsize 9\ngenmove b\ngenmove w\nquit\n")
    });
}

#[test]
fn converting_shrinks_and_then_refuses() {
    let dir = TempDir::new("limits-convert");
    // In small steps: how much the program itself takes depends on how it was built.
    down_the_ladder(
        &[1000, 60, 56, 54, 52, 50, 49, 48, 47, 46, 45, 44, 43, 42, 41, 40, 39, 38, 37, 36, 35, 34, 32, 24],
        |limit| {
            let args = format!("convert {GAMES} --workers 8 --out {}", dir.path().join(format!("out{limit}")).display());
            limited(limit, &args, "")
        },
    );
}

/// Shares of what a run asks for, in percent.
const SHARES: [u64; 7] = [95, 85, 75, 65, 50, 35, 15];

/// Plenty in a control group of its own, what the run then announces, and less and less of that.
fn down_the_groups(args: impl Fn(u64) -> String, input: &str) {
    let Some(plenty) = Group::new(1000) else {
        eprintln!("skipped: no control group with a limit of memory can be made here");
        return;
    };
    let (output, talk) = plenty.run(&args(1000), input);
    assert!(output.status.success(), "{talk}");
    let sums = talk.split("memory: needs_mb=").skip(1).filter_map(|rest| rest.split(' ').next()?.parse::<u64>().ok());
    // A run takes nine tenths of a limit; the kernel's own part is some MiB on a machine of many cores.
    let enough = sums.max().expect("a sum") * 10 / 9 + 8;
    let limits: Vec<u64> = std::iter::once(enough).chain(SHARES.map(|share| enough * share / 100)).collect();
    down_the_ladder(&limits, |limit| Group::new(limit).expect("another").run(&args(limit), input));
}

#[test]
fn control_groups_hold_training() {
    let dir = TempDir::new("groups-train");
    let shards = shards(dir.path());
    let args = |limit: u64| {
        let out = dir.path().join(format!("run{limit}"));
        format!("train --shards {shards} --board-size 9 --net b2c16 --batch-size 256 --minutes 0.01 --out {}", out.display())
    };
    down_the_groups(args, "");
}

#[test]
fn control_groups_hold_play() {
    let dir = TempDir::new("groups-play");
    let net = dir.path().join("net.safetensors");
    edgezero::net::tensors::save(&net, &edgezero::net::NetConfig::named("b2c16").unwrap().init(1)).unwrap();
    let args = |_: u64| format!("gtp --net {} --visits 20", net.display());
    down_the_groups(args, "boardsize 9\ngenmove b\ngenmove w\nquit\n");
}

#[test]
fn control_groups_hold_converting() {
    let dir = TempDir::new("groups-convert");
    let args = |limit: u64| {
        let out = dir.path().join(format!("out{limit}"));
        format!("convert {GAMES} --workers 8 --out {}", out.display())
    };
    down_the_groups(args, "");
}
