//! The nano profile under a real limit of memory: what is announced is kept, and where there is too little a run shrinks or
//! refuses before it starts. `scripts/limits.py` does the same at full size.
#![cfg(target_os = "linux")]

mod common;

use common::TempDir;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const GAMES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/small9");

/// Runs `edgezero --profile nano ARGS` with at most `limit_mb` of addresses.
fn limited(limit_mb: u64, args: &str, input: &str) -> (Output, String) {
    let script = format!("ulimit -v {} && exec {} --profile nano {args}", limit_mb << 10, env!("CARGO_BIN_EXE_edgezero"));
    let mut command = Command::new("sh");
    command.args(["-c", &script]).env_remove("RUST_LOG").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A run that is refused reads nothing.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let talk = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, talk)
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
