//! What GPUs tell through NVIDIA's management library, of which a look-alike is built here. A process loads it once, so each test
//! runs in a child of this program.
#![cfg(target_os = "linux")]

mod common;

use common::TempDir;
use edgezero::base::signal::Stop;
use edgezero::device::nvml::Place;
use edgezero::device::sensors::{Reading, Sensors};
use edgezero::device::{Tree, Watch, WatchConfig};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Tells a child that it is one.
const INSIDE: &str = "EDGEZERO_NVML_INSIDE";
const FIRST: Place = Place { domain: 0, bus: 0x3b, device: 0 };
const SECOND: Place = Place { domain: 1, bus: 0x5e, device: 0 };

fn inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// A folder with the look-alike; none, with a line that says so, where there is no C compiler.
fn library(name: &str, define: &str) -> Option<TempDir> {
    let dir = TempDir::new(&format!("nvml-{name}"));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/nvml/libnvidia-ml.c");
    let mut command = Command::new("cc");
    command.args(["-shared", "-fPIC", define, "-o"]).arg(dir.path().join("libnvidia-ml.so.1")).arg(source);
    let Ok(made) = command.status() else {
        eprintln!("skipped: there is no cc");
        return None;
    };
    assert!(made.success(), "cc on the look-alike");
    Some(dir)
}

/// Runs a test of this program beside the look-alike.
fn beside(test: &str, define: &str, world: &str) {
    let Some(dir) = library(test, define) else { return };
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]);
    let output = command.env(INSIDE, "1").env("LD_LIBRARY_PATH", dir.path()).env("NVML_WORLD", world).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
}

/// What GPUs alone tell, without any file of a machine.
fn reading(places: &[Place]) -> (Reading, Sensors) {
    let dir = TempDir::new("nvml-empty");
    let mut sensors = Sensors::find(&Tree::under(dir.path()));
    sensors.follow(places);
    (sensors.read(), sensors)
}

fn named(reading: &Reading) -> Vec<String> {
    reading.temperatures.iter().chain(&reading.rails).map(|it| format!("{}={}", it.name, it.value)).collect()
}

#[test]
fn a_card_tells_everything() {
    if !inside() {
        return beside("a_card_tells_everything", "-DNEW", "one");
    }
    let (it, mut sensors) = reading(&[FIRST]);
    assert_eq!((it.gpu_load, it.gpu_mhz, it.gpu_memory_mb), (Some(0.97), Some(1755.0), Some(1234.0)));
    assert_eq!((named(&it), it.power_w), (vec!["gpu=71".to_string(), "GPU card=180.5".to_string()], Some(180.5)));
    assert_eq!(
        (it.throttled_by, it.rails[0].name.as_str()),
        (vec!["GPU power cap".to_string(), "GPU heat".to_string()], "GPU card")
    );
    assert_eq!(sensors.zones()[0].throttles_at, Some(90));
    // It stays when files are looked for anew.
    sensors.look_again();
    assert_eq!(sensors.read().gpu_load, Some(0.97));
    // The only GPU of a machine is meant, wherever it is; nothing is followed by default.
    assert_eq!(reading(&[SECOND]).0.gpu_load, Some(0.97));
    assert_eq!(reading(&[]).0, Reading::default());
}

#[test]
fn two_cards_are_told_apart() {
    if !inside() {
        return beside("two_cards_are_told_apart", "-DNEW", "two");
    }
    let (it, _) = reading(&[SECOND]);
    assert_eq!((it.gpu_load, named(&it)), (Some(0.51), vec!["gpu=44".to_string(), "GPU card=20.5".to_string()]));
    let (it, _) = reading(&[FIRST, SECOND]);
    assert_eq!((it.gpu_load, it.gpu_memory_mb, it.power_w), (Some(0.74), Some(1334.0), Some(201.0)));
    assert_eq!(named(&it), ["gpu0=71", "gpu1=44", "GPU card0=180.5", "GPU card1=20.5"]);
    assert_eq!(reading(&[Place { bus: 9, ..FIRST }]).0, Reading::default(), "there is no such card");
}

#[test]
fn a_board_tells_little() {
    if !inside() {
        return beside("a_board_tells_little", "-DNEW", "orin");
    }
    let (it, sensors) = reading(&[Place::default()]);
    assert_eq!(it, Reading { gpu_load: Some(0.97), ..Reading::default() });
    assert_eq!(sensors.zones()[0].throttles_at, None);
}

#[test]
fn an_old_library_lacks_functions() {
    if !inside() {
        return beside("an_old_library_lacks_functions", "-DOLD", "one");
    }
    let (it, sensors) = reading(&[FIRST]);
    assert_eq!((it.gpu_load, it.throttled_by.len(), sensors.zones()[0].throttles_at), (Some(0.97), 2, None));
}

#[test]
fn a_driver_that_does_not_start_tells_nothing() {
    if !inside() {
        return beside("a_driver_that_does_not_start_tells_nothing", "-DNEW", "dead");
    }
    assert_eq!(reading(&[FIRST]).0, Reading::default());
}

#[test]
fn a_watch_follows_the_gpu_of_its_run() {
    if !inside() {
        return beside("a_watch_follows_the_gpu_of_its_run", "-DNEW", "one");
    }
    let config = WatchConfig { temperature_c_max: 0.0, power_w_max: 0.0, available_mb_min: 0, disk_mb_min: 0 };
    let watch = Watch::start(Tree::machine(), &config, 1 << 40, None, &Stop::default()).unwrap();
    assert_eq!(watch.seen().reading.gpu_memory_mb, None);
    watch.follow(vec![FIRST]);
    let begun = Instant::now();
    while watch.seen().reading.gpu_memory_mb != Some(1234.0) {
        assert!(begun.elapsed() < Duration::from_secs(120), "{:?}", watch.seen());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn the_doctor_asks_all_gpus() {
    let Some(dir) = library("doctor", "-DNEW") else { return };
    let mut command = Command::new(env!("CARGO_BIN_EXE_edgezero"));
    let output = command.args(["doctor", "--json"]).env("LD_LIBRARY_PATH", dir.path()).env("NVML_WORLD", "two").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&json["sensors"]["gpu_memory_mb"], &json["sensors"]["temperatures"]["gpu1"]), (&1334.0.into(), &44.0.into()));
}
