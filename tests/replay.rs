//! `edgezero replay`, the whole program.

mod common;

use std::process::{Command, Output};

fn replay(args: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_edgezero");
    Command::new(program).arg("replay").args(args).env("RUST_LOG", "error").output().expect("the program runs")
}

#[test]
fn tells_every_game_and_fails_for_a_bad_one() {
    let dir = common::TempDir::new("replay");
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let good = file("good.sgf", "(;SZ[5]PB[a];B[cc];W[bb])\n(;GM[3])");
    let mixed = file("mixed.sgf", "(;SZ[5];B[cc])(;SZ[5]\n;B[cc];W[cc])(;SZ[0])\n(;SZ[5];B[aa])");
    let gone = dir.path().join("gone.sgf").display().to_string();
    type Case<'a> = (&'a str, &'a [&'a str], i32, usize, &'a [&'a str]);
    let cases: [Case<'_>; 6] = [
        ("good", &["--json", &good], 0, 2, &[]),
        (
            "mixed",
            &["--json", &mixed],
            1,
            3,
            &["mixed.sgf:2:10: game 2: move 2: occupied point", "mixed.sgf:2:19: game 3: board size SZ[0]"],
        ),
        ("several", &["--json", &mixed, &good], 1, 5, &["replay: 2 of 6 games refused"]),
        ("no such file", &["--json", &gone, &good], 1, 2, &["gone.sgf: No such file"]),
        ("no file", &["--json"], 2, 0, &["no file"]),
        ("drawn", &[&good], 0, 10, &[]),
    ];
    for (name, args, code, n_lines, errors) in cases {
        let out = replay(args);
        let (stdout, stderr) = (String::from_utf8(out.stdout).unwrap(), String::from_utf8(out.stderr).unwrap());
        assert_eq!((out.status.code(), stdout.lines().count()), (Some(code), n_lines), "{name}: {stdout}{stderr}");
        assert!(errors.iter().all(|e| stderr.contains(e)) && stderr.is_empty() == errors.is_empty(), "{name}: {stderr}");
        if args.contains(&"--json") {
            stdout.lines().for_each(|line| assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{name}: {line}"));
        }
    }
}
