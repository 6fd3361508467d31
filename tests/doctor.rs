//! What the doctor says of recorded boards, and what the sensors read there.

mod common;

use common::TempDir;
use common::boards::{BOARDS, board, write};
use edgezero::device::sensors::Sensors;
use edgezero::device::{Machine, Tree};
use edgezero::diagnose::doctor::Examination;
use edgezero::profile;
use std::path::Path;
use std::process::Command;

#[test]
fn every_board_is_told() {
    for name in BOARDS {
        let dir = board(name);
        let examination = Examination::of(&Tree::under(dir.path()), Path::new("/"));
        let (_, chosen) = profile::choose("auto", &Machine::read_under(dir.path())).unwrap();
        let expected = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/boards/{name}.expected"));
        expect_test::expect_file![expected].assert_eq(&format!("{chosen}\n{examination}\n"));
        for finding in examination.findings() {
            assert!(!finding.what.is_empty() && finding.mend.contains(' '), "{name}: {finding:?}");
        }
    }
}

#[test]
fn the_profile_of_a_board_is_the_one_of_its_name() {
    for name in &BOARDS[..6] {
        let dir = board(name);
        let (chosen, _) = profile::choose("auto", &Machine::read_under(dir.path())).unwrap();
        assert_eq!(chosen.name, *name);
    }
}

#[test]
fn sensors_that_appear_late_are_found() {
    let dir = TempDir::new("late-sensors");
    let tree = Tree::under(dir.path());
    let mut sensors = Sensors::find(&tree);
    assert_eq!(sensors.read().gpu_load, None);
    // The driver wakes up, at another number than the last time.
    write(dir.path(), "sys/class/devfreq/17000000.gpu/device/of_node/name", "gpu\0");
    write(dir.path(), "sys/class/devfreq/17000000.gpu/device/load", "437\n");
    write(dir.path(), "sys/bus/i2c/devices/1-0040/name", "ina3221\n");
    write(dir.path(), "sys/bus/i2c/devices/1-0040/hwmon/hwmon9/in1_label", "VDD_IN\n");
    write(dir.path(), "sys/bus/i2c/devices/1-0040/hwmon/hwmon9/in1_input", "5000\n");
    write(dir.path(), "sys/bus/i2c/devices/1-0040/hwmon/hwmon9/curr1_input", "2400\n");
    sensors.look_again();
    let reading = sensors.read();
    assert_eq!((reading.gpu_load, reading.power_w), (Some(0.437), Some(12.0)));
}

#[test]
fn the_command_speaks_both_ways() {
    let dir = board("orin-nano");
    let doctor = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_edgezero"));
        let output = command.args(["doctor", "--root"]).arg(dir.path()).args(more).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(doctor(&[]).contains("    sudo nvpmodel -m 2\n"));
    let json: serde_json::Value = serde_json::from_str(&doctor(&["--json"])).unwrap();
    assert_eq!(json["board"]["sm"], 87);
    assert_eq!(json["findings"][0]["mend"], "sudo nvpmodel -m 2");
    assert!(json["profile"].as_str().unwrap().starts_with("profile=orin-nano "));
}
