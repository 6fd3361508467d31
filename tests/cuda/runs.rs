//! Whole runs of the program on the look-alike.

use crate::common::{TempDir, tiny_run};
use crate::lookalike::World;
use edgezero::net::{NetConfig, tensors};
use std::path::Path;
use std::process::{Output, Stdio};

/// Runs the program in a world; None where it cannot be had.
fn program(world: &World, args: &[&str], input: &str) -> Option<Output> {
    use std::io::Write;
    let mut command = world.command(Path::new(env!("CARGO_BIN_EXE_edgezero")))?;
    command.args(args).env("RUST_LOG", "info").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    Some(output)
}

#[test]
fn a_step_that_overflows_is_left_out_also_after_a_resume() {
    let dir = TempDir::new("cuda-overflow");
    tiny_run(dir.path(), 8);
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_string();
    // sm_72 has no bf16, so gradients are rounded to f16
    let world = || World::cuda(11040).with("LOOKALIKE_CAPABILITY", "72");
    let train = |world: World, out: &str, more: &[&str]| {
        let (profile, sgf, out) = (at("tiny.toml"), at("sgf"), at(out));
        let args = ["--profile", &profile, "--backend", "cuda", "train", "--sgf-dir", &sgf, "--out", &out];
        program(&world, &[&args, more].concat(), "")
    };
    let Some(told) = train(world().with("LOOKALIKE_OVERFLOW", "6"), "whole", &[]) else { return };
    assert!(String::from_utf8_lossy(&told.stderr).contains(" busy="), "{}", String::from_utf8_lossy(&told.stderr));
    let metrics = std::fs::read_to_string(at("whole/metrics.jsonl")).unwrap();
    let lines: Vec<serde_json::Value> = metrics.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of_steps = lines.iter().filter(|line| line["kind"] == "train");
    let told: Vec<(u64, f64, u64)> = of_steps
        .map(|l| (l["step"].as_u64().unwrap(), l["grad_scale"].as_f64().unwrap(), l["skipped_steps"].as_u64().unwrap()))
        .collect();
    assert!(told.len() >= 3 && told[..2] == [(4, 4096.0, 0), (8, 2048.0, 1)], "{told:?}");
    // a run that goes on behind the overflow comes to the same bytes
    std::fs::create_dir(at("again")).unwrap();
    std::fs::copy(at("whole/checkpoint-00000008.safetensors"), at("again/checkpoint-00000008.safetensors")).unwrap();
    train(world(), "again", &["--resume"]).unwrap();
    let last = format!("checkpoint-{:08}.safetensors", told.last().unwrap().0);
    for name in [last.as_str(), "net.safetensors"] {
        let [whole, again] = ["whole", "again"].map(|run| std::fs::read(at(&format!("{run}/{name}"))).unwrap());
        assert!(whole == again, "{name}");
    }
}

#[test]
fn two_gpus_share_the_evaluations_of_a_search() {
    let dir = TempDir::new("cuda-two");
    let net = dir.path().join("net.safetensors");
    tensors::save(&net, &NetConfig::named("b1c8").unwrap().init(1)).unwrap();
    let play = |gpus: &str| {
        let world = World::cuda(12060).with("LOOKALIKE_DEVICES", "2").with("LOOKALIKE_TELL", "1");
        let args = ["--backend", "cuda", "--gpus", gpus, "gtp", "--net", net.to_str().unwrap(), "--visits", "24"];
        let moves = "genmove b\ngenmove w\n".repeat(3);
        let output = program(&world, &args, &format!("boardsize 7\nclear_board\nkomi 7\n{moves}quit\n"))?;
        Some([output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()))
    };
    let (Some([one, _]), Some([both, talk])) = (play("1"), play("0,1")) else { return };
    assert_eq!(one, both, "the same game");
    for gpu in ["GPU 0", "GPU 1"] {
        let kernels = talk.lines().find_map(|l| l.strip_prefix(&format!("lookalike: kernels on {gpu}: "))?.parse::<u64>().ok());
        assert!(kernels.is_some_and(|n| n > 100), "{gpu}: {kernels:?}\n{talk}");
    }
}

/// The script that checks a GPU, with sizes that end in seconds: everything but real speeds.
#[test]
fn a_gpu_is_checked_in_one_go() {
    if std::env::var_os("LOOKALIKE_EMULATOR").is_some() {
        return println!("skipped: a script starts the program, which wants an emulator here");
    }
    let dir = TempDir::new("cuda-check");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/gpu_check.sh");
    // one precision is enough: sm_53 has no tensor cores
    let world = World::cuda(10020).with("LOOKALIKE_CAPABILITY", "53").with("EDGEZERO", env!("CARGO_BIN_EXE_edgezero"));
    let Some(mut command) = world.command(&script) else { return };
    let output = command.args(["--task", "tiny", "--seconds", "0.02"]).current_dir(dir.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let json = std::fs::read_to_string(dir.path().join("gpu-check.json")).unwrap();
    let report: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(report["device"]["name"], "Lookalike 0");
    assert!(report["cases"].as_array().unwrap().len() > 20 && report["speeds"].as_array().unwrap().len() == 2, "{json}");
    assert_eq!(report["left_out"].as_array().unwrap().len(), 0, "{json}");
    let table = std::fs::read_to_string(dir.path().join("gpu-check.txt")).unwrap();
    for part in ["cases as on the CPU", "train b1c8", "infer b1c8", "left out: PyTorch with CUDA is not installed", "us, floor"] {
        assert!(table.contains(part), "{part}: {table}");
    }
}
