//! The binary as a person meets it: exit codes, where it talks, wrong calls, closed pipes, Ctrl-C.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Output, Stdio};

fn edgezero(args: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_edgezero"));
    command.args(args.split_whitespace()).env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn exit_codes_and_where_it_talks() {
    // Arguments, exit code, words of stdout, words of stderr.
    let cases = [
        ("--version", 0, concat!("edgezero ", env!("CARGO_PKG_VERSION")), ""),
        ("-V", 0, "edgezero ", ""),
        ("-h", 0, "Usage: edgezero", ""),
        ("gtp -h", 0, "Usage: edgezero gtp", ""),
        ("profiles --profile=nano", 0, "xavier-nx", "profile=nano (asked for)"),
        ("profiles show agx-orin", 0, "# Profile agx-orin", ""),
        ("", 2, "", "edgezero: command line: no command\ntry: edgezero --help; the commands are replay, convert"),
        ("nonsense", 2, "", "edgezero: nonsense: no such command\ntry: one of replay, convert"),
        ("gtp", 2, "", "Required options not provided: --net\ntry: edgezero gtp --help"),
        ("bench nothing", 2, "", "edgezero: bench: \"nothing\", expected compute"),
        ("bench compute --seconds 0", 2, "", "edgezero: --seconds: 0, expected more than 0"),
        ("bench compute --net b0c0", 2, "", "edgezero: net: 'b0c0', expected b1 to b60"),
        ("--backend gpu profiles", 2, "", "expected auto, tensorrt, cuda or cpu"),
        ("--precision f8 profiles", 2, "", "expected auto, f32, f16 or bf16"),
        ("profiles --threads=0", 2, "", "edgezero: --threads: 0, expected 1 or more"),
        ("profiles --threads", 2, "", "edgezero: --threads: needs a value"),
        ("--profile atari profiles", 2, "", "no profile is named \"atari\"\ntry: auto, nano,"),
        ("--profile no/such.toml profiles", 1, "", "edgezero: no/such.toml: No such file"),
        ("gtp --net no/such.bin.gz", 1, "", "edgezero: no/such.bin.gz: no such file or folder\ntry: "),
        ("gtp --net Cargo.toml --rules klingon", 2, "", "edgezero: rules: "),
        ("play --net Cargo.toml --board-size 20", 2, "", "edgezero: --board-size: 20, expected 2 to 19"),
        ("train --shards a --sgf-dir b", 2, "", "edgezero: --shards: says what to learn from, and so does --sgf-dir"),
        ("train --learning-rate=-1", 2, "", "learning_rate is -1, expected a number above 0, at most 10"),
        ("train --shards a --out Cargo.toml", 1, "", "edgezero: Cargo.toml: a file is there, expected a folder or nothing"),
        ("play --net Cargo.toml", 1, "", "edgezero: Cargo.toml: not a net by its name\ntry: "),
    ];
    for (args, code, out, err) in cases {
        let output = edgezero(args).output().unwrap();
        let (stdout, stderr) = texts(&output);
        assert_eq!(output.status.code(), Some(code), "{args}: {stderr}");
        assert!(stdout.contains(out) && stdout.is_empty() == out.is_empty(), "{args}: stdout {stdout:?}");
        assert!(stderr.contains(err), "{args}: stderr {stderr:?}");
    }
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let mut child = edgezero("profiles show desktop").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Gone before the first byte.
    drop(child.stdout.take());
    let status = child.wait().unwrap();
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!(status.code(), Some(0), "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
}

#[test]
fn a_profile_file_is_checked() {
    let path = std::env::temp_dir().join(format!("edgezero-cli-{}.toml", std::process::id()));
    std::fs::write(&path, "[device]\nram_mb = 4000\ncores = \"four\"\n").unwrap();
    let output = edgezero("profiles --profile").arg(&path).output().unwrap();
    let (_, stderr) = texts(&output);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr.contains(&format!("{}:3: invalid type: string \"four\", expected a whole number", path.display())),
        "{stderr}"
    );
    std::fs::remove_file(&path).unwrap();
}

/// A net that has learnt nothing; `name` is unique to the test.
#[cfg(unix)]
fn random_net(name: &str) -> std::path::PathBuf {
    use edgezero::net::{NetConfig, tensors};
    let net = std::env::temp_dir().join(format!("edgezero-cli-{name}-{}.safetensors", std::process::id()));
    tensors::save(&net, &NetConfig::named("b2c32").unwrap().init(1)).unwrap();
    net
}

#[test]
#[cfg(unix)]
fn ctrl_c_ends_a_session_with_work_before_it() {
    let net = random_net("busy");
    let mut command = edgezero("gtp --threads 1 --net");
    let mut child = command.arg(&net).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    const N: usize = 2000;
    stdin.write_all("genmove b\nclear_board\n".repeat(N).as_bytes()).unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    out.read_line(&mut String::new()).unwrap();
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let n_answers = 1 + out.lines().filter(|line| line.as_ref().unwrap().starts_with('=')).count();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(n_answers < 2 * N, "all {n_answers} commands were answered first");
    std::fs::remove_file(&net).unwrap();
}

#[test]
#[cfg(unix)]
fn ctrl_c_ends_a_session_that_waits() {
    let net = random_net("waits");
    let mut command = edgezero("gtp --threads 1 --net");
    let mut child = command.arg(&net).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    writeln!(stdin, "1 boardsize 7").unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "=1 \n");
    // The session now waits for a command that does not come.
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let status = child.wait().unwrap();
    drop(stdin);
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!(status.code(), Some(130), "{stderr}");
    assert!(stderr.ends_with("edgezero: gtp: stopped\n"), "{stderr}");
    std::fs::remove_file(&net).unwrap();
}

#[test]
fn bench_measures_cases_and_operations() {
    let output = edgezero("bench compute --net b1c8 --board 5 --batch 2 --seconds 0.01 --json").output().unwrap();
    let (stdout, stderr) = texts(&output);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    let found: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(found["cases"].as_array().unwrap().len(), 2);
    assert!(found["cases"].as_array().unwrap().iter().all(|c| c["positions_per_second"].as_f64().unwrap() > 0.0));
    assert!(found["ops"][0]["rows"].as_array().unwrap().len() > 20);
}
