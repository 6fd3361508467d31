//! `edgezero match`, the whole binary: nets, foreign engines that fail in every way, stops and crashes.

mod common;

use common::TempDir;
use edgezero::net::{NetConfig, tensors};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// A net that has learnt nothing.
fn net(dir: &Path, name: &str, seed: u64) -> PathBuf {
    let path = dir.join(format!("{name}.safetensors"));
    tensors::save(&path, &NetConfig::named("b1c8").unwrap().init(seed)).unwrap();
    path
}

/// `edgezero match A B`, small and quick; `options` at the end.
fn command(dir: &Path, a: &str, b: &str, options: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_edgezero"));
    command.current_dir(dir).args(["match", a, b, "--profile", "nano", "--backend", "cpu", "--threads", "1", "--visits", "2"]);
    for (name, value) in [("--board-size", "5"), ("--out", "m")] {
        if !options.contains(name) {
            command.args([name, value]);
        }
    }
    command.args(options.split_whitespace());
    command
}

fn run(dir: &Path, a: &str, b: &str, options: &str) -> Output {
    command(dir, a, b, options).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The games of the journal.
fn games(dir: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(dir.join("m/games.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The report that `--json` prints.
fn report(output: &Output) -> Value {
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// An engine in sh that knows what every engine must; `cases` come first.
fn engine(dir: &Path, name: &str, cases: &str) -> String {
    let script = format!(
        "while read -r command rest; do\n  case \"$command\" in\n{cases}\n    name) echo '= {name}';;\n    version) echo '= 1.0';;\n    \
         known_command) case \"$rest\" in version) echo '= true';; *) echo '= false';; esac;;\n    genmove) echo '= pass';;\n    \
         quit) echo '='; echo; exit 0;;\n    *) echo '=';;\n  esac\n  echo\ndone\n"
    );
    std::fs::write(dir.join(format!("{name}.sh")), script).unwrap();
    format!("sh {name}.sh")
}

#[test]
fn two_nets_play_and_a_second_call_has_nothing_left_to_do() {
    let dir = TempDir::new("match-nets");
    let (a, b) = (net(dir.path(), "a", 1), net(dir.path(), "b", 2));
    let (a, b) = (a.to_str().unwrap(), b.to_str().unwrap());
    let options = "--games 12 --workers 3 --rules tromp-taylor --komi 3 --json";
    let first = report(&run(dir.path(), a, b, options));
    let games = games(dir.path());
    assert_eq!((games.len(), first["tally"]["games"].as_u64()), (12, Some(12)));
    let pairs: u64 = first["tally"]["pairs"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).sum();
    assert_eq!(pairs, 6);
    let mut openings = std::collections::HashSet::new();
    for pair in 0..6 {
        let [x, y] = [0, 1].map(|leg| games.iter().find(|game| game["game"] == 2 * pair + leg).unwrap());
        assert_eq!(
            (x["opening"].clone(), &x["black"], &y["black"]),
            (y["opening"].clone(), &Value::from("A"), &Value::from("B"))
        );
        assert!(openings.insert(x["opening"].to_string()), "an opening twice");
        assert_eq!(x["opening"].as_array().unwrap().len(), 2);
        let record = std::fs::read(dir.path().join("m").join(x["sgf"].as_str().unwrap())).unwrap();
        let record = edgezero::sgf::games(&record).next().unwrap().unwrap();
        assert_eq!(record.players, [Some("a".to_string()), Some("b".to_string())]);
        assert_eq!((record.komi, record.result_raw.as_deref(), record.date), (Some(3.0), x["result"].as_str(), None));
        assert_eq!(record.steps.len() as u64, x["moves"].as_u64().unwrap());
    }
    let second = report(&run(dir.path(), a, b, options));
    assert_eq!(first, second);
    // More games of the same match go on; another match is refused.
    let more = report(&run(dir.path(), a, b, &options.replace("12", "14")));
    assert_eq!(more["tally"]["games"], 14);
    let other = run(dir.path(), a, b, &options.replace("--komi 3", "--komi 4"));
    assert_eq!(
        (other.status.code(), text(&other.stderr).contains("another match is here: komi 4.0, there 3.0")),
        (Some(2), true)
    );
    // The same games again elsewhere, by another number of workers.
    let again = report(&run(dir.path(), a, b, &options.replace("--workers 3", "--workers 1 --out again")));
    let bytes = |folder: &str, game: usize| std::fs::read(dir.path().join(format!("{folder}/games/{game:06}.sgf"))).unwrap();
    assert!((0..12).all(|game| bytes("m", game) == bytes("again", game)));
    assert_eq!(again["tally"]["by_color"], first["tally"]["by_color"]);
}

#[test]
fn a_killed_match_goes_on() {
    let dir = TempDir::new("match-killed");
    let a = net(dir.path(), "a", 1);
    let a = a.to_str().unwrap();
    let slow = engine(dir.path(), "slow", "    genmove) sleep 0.01; echo '= pass';;");
    let options = "--games 24 --opening random";
    let mut child = command(dir.path(), a, &slow, options).stderr(std::process::Stdio::null()).spawn().unwrap();
    wait_for_games(dir.path(), 3);
    child.kill().unwrap();
    child.wait().unwrap();
    let before = games(dir.path());
    // As if the power had gone in the middle of a line.
    let journal = dir.path().join("m/games.jsonl");
    let torn = std::fs::read_to_string(&journal).unwrap() + "{\"game\":3";
    std::fs::write(&journal, torn).unwrap();
    let mut child = command(dir.path(), a, &slow, options).stdout(std::process::Stdio::piped()).spawn().unwrap();
    wait_for_games(dir.path(), before.len() + 3);
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let stopped = games(dir.path());
    assert!(stopped.len() >= before.len() + 3 && stopped[..before.len()] == before[..]);
    let whole = report(&run(dir.path(), a, &slow, &format!("{options} --json")));
    assert_eq!((whole["tally"]["games"].as_u64(), games(dir.path()).len()), (Some(24), 24));
    assert_eq!(games(dir.path())[..stopped.len()], stopped[..]);
}

fn wait_for_games(dir: &Path, n: usize) {
    let until = Instant::now() + Duration::from_secs(300);
    let count = || std::fs::read_to_string(dir.join("m/games.jsonl")).map_or(0, |text| text.matches('\n').count());
    while count() < n {
        assert!(Instant::now() < until, "{} games after five minutes", count());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn engines_that_fail_lose_with_a_reason() {
    let dir = TempDir::new("match-faults");
    let a = net(dir.path(), "a", 1);
    let cases = [
        ("crashes", "    genmove) exit 3;;", "crash", "exit status: 3"),
        ("hangs", "    genmove) sleep 1000;;", "timeout", "no answer to `genmove"),
        ("babbles", "    genmove) echo 'hello'; echo 'world';;", "garbage", "hello"),
        ("dreams", "    genmove) echo '= Z99';;", "garbage", "\"Z99\", which is no vertex"),
        ("cheats", "    genmove) echo '= C3';;", "illegal", "C3: "),
        ("refuses", "    genmove) echo '? no';;", "refusal", "with: no"),
        ("forgets", "    play) echo '? illegal move';;", "refusal", "illegal move"),
    ];
    for (name, script, kind, what) in cases {
        let engine = engine(dir.path(), name, script);
        // Long enough for a busy machine to start a shell, where no answer is not what is looked for.
        let timeout = if kind == "timeout" { 3 } else { 60 };
        let options = format!("--games 2 --opening none --timeout {timeout} --out {name} --json");
        let begun = Instant::now();
        let report = report(&run(dir.path(), a.to_str().unwrap(), &engine, &options));
        assert!(begun.elapsed() < Duration::from_secs(300), "{name}");
        assert_eq!(
            (&report["tally"]["faults"][1][kind], &report["tally"]["pairs"][4]),
            (&Value::from(2), &Value::from(1)),
            "{name}: {report}"
        );
        assert_eq!(report["names"][1], format!("{name} 1.0"));
        let journal = std::fs::read_to_string(dir.path().join(name).join("games.jsonl")).unwrap();
        for line in journal.lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            assert_eq!((&line["fault"]["by"], &line["winner"]), (&Value::from("B"), &Value::from("A")), "{line}");
            assert!(line["fault"]["what"].as_str().unwrap().contains(what), "{line}");
        }
    }
    // One that counts wrong is not believed; its own loss it must not deny either.
    let liar = engine(dir.path(), "liar", "    final_score) echo '= W+50';;");
    let told = report(&run(dir.path(), a.to_str().unwrap(), &liar, "--games 2 --opening none --out liar --json"));
    assert_eq!((&told["tally"]["disputed"], &told["tally"]["pairs"][4]), (&Value::from(1), &Value::from(1)), "{told}");
    // Void games do not count.
    let engine = engine(dir.path(), "crashes", cases[0].1);
    let report = report(&run(dir.path(), a.to_str().unwrap(), &engine, "--games 4 --on-fault void --json"));
    let tally = &report["tally"];
    assert_eq!((&tally["void"], &tally["pairs"], &tally["estimate"]), (&Value::from(4), &Value::from(vec![0; 5]), &Value::Null));
}

#[test]
fn an_engine_that_never_worked_is_a_failure_of_the_call() {
    let dir = TempDir::new("match-mute");
    let a = net(dir.path(), "a", 1);
    let a = a.to_str().unwrap();
    let small = engine(dir.path(), "small", "    boardsize) echo '? unacceptable size';;");
    for (engine, what) in [
        ("no-such-engine --gtp", "does not start"),
        ("sh -c true", "ended before it answered"),
        (&*small, "unacceptable size"),
        ("missing.bin.gz", "no such file or folder"),
    ] {
        let told = run(dir.path(), a, engine, "--games 2");
        assert_eq!(told.status.code(), Some(1), "{engine}");
        assert!(text(&told.stderr).contains(what), "{engine}: {}", text(&told.stderr));
        assert!(told.stdout.is_empty());
    }
    for (options, what) in [
        ("--games 3", "--games: 3, expected an even number"),
        ("--games 2 --handicap 3", "--handicap: handicap is 3, expected 0 on 5x5"),
        ("--games 2 --elo0 3", "--elo0: without --elo1"),
        ("--games 2 --elo0 3 --elo1 1", "--elo1: elo1 is 1, expected more than elo0"),
        ("--games 2 --level-b 5k", "--level: a program has no level"),
    ] {
        let told = run(dir.path(), a, "sh engine.sh", options);
        assert_eq!(told.status.code(), Some(2), "{options}");
        assert!(text(&told.stderr).contains(what), "{options}: {}", text(&told.stderr));
    }
}

#[test]
fn the_sequential_test_ends_a_match() {
    let dir = TempDir::new("match-sprt");
    let a = net(dir.path(), "a", 1);
    let loser = engine(dir.path(), "loser", "    genmove) echo '= resign';;");
    let options = "--games 400 --elo0 0 --elo1 100 --opening random --json";
    let first = report(&run(dir.path(), a.to_str().unwrap(), &loser, options));
    let tally = &first["tally"];
    assert_eq!(tally["sprt"]["verdict"], "H1");
    assert!(tally["games"].as_u64().unwrap() < 60, "{tally}");
    // It stays decided.
    assert_eq!(report(&run(dir.path(), a.to_str().unwrap(), &loser, options)), first);
    let table = run(dir.path(), a.to_str().unwrap(), &loser, &options.replace("--json", ""));
    assert!(text(&table.stdout).contains("H1 accepted"), "{}", text(&table.stdout));
}

#[test]
fn a_net_against_gnu_go() {
    let Some(gnugo) = common::gnugo() else { return };
    let dir = TempDir::new("match-gnugo");
    let a = net(dir.path(), "a", 1);
    let engine = format!("{} --mode gtp --chinese-rules --level 1 --capture-all-dead", gnugo.display());
    for (options, n_stones) in [("--board-size 7 --games 4", 0), ("--board-size 9 --games 2 --handicap 2 --out h", 2)] {
        let report = report(&run(dir.path(), a.to_str().unwrap(), &engine, &format!("--rules chinese {options} --json")));
        assert_eq!(report["tally"]["faults"], serde_json::json!([{}, {}]), "{report}");
        assert!(report["names"][1].as_str().unwrap().starts_with("GNU Go 3"), "{report}");
        assert_eq!(report["config"]["handicap"], n_stones);
    }
    let record = std::fs::read(dir.path().join("h/games/000001.sgf")).unwrap();
    let record = edgezero::sgf::games(&record).next().unwrap().unwrap();
    assert_eq!((record.handicap, record.players[1].as_deref()), (Some(2), Some("a")));
}
