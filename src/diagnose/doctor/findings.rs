//! What is wrong for training. Each finding has the command that mends it.

use super::Examination;
use crate::device::board::CARD_WITHOUT_DRIVER;
use crate::device::memory::Bound;
use crate::device::storage::DiskKind;
use serde::Serialize;
use std::fmt::Display;

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Training fails, or is slower by half or more.
    Problem,
    /// Training is slower or less safe than it could be.
    Advice,
}

/// Something to be mended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How much it matters.
    pub level: Level,
    /// What was found.
    pub what: String,
    /// The command that mends it.
    pub mend: String,
}

/// Memory in bytes below which a board needs swap to survive a peak.
const SWAP_NEEDED_BELOW: u64 = 9 << 30;
/// Memory in bytes below which a desktop's share is felt.
const DESKTOP_FELT_BELOW: u64 = 9 << 30;
/// Free disk in bytes below which shards and checkpoints of a usual corpus do not fit.
const DISK_FREE_MIN: u64 = 4 << 30;
/// Writing slower than this, in bytes a second, holds up checkpoints.
const DISK_WRITE_MIN: f64 = 5e6;
/// Degrees below the kernel's own point at which a load would soon reach it.
const NEAR_THROTTLING: f64 = 10.0;
/// A chip at this temperature in °C is hot where no point is known.
const HOT: f64 = 85.0;
/// First release of Jetson Linux whose libraries are known to work: JetPack 4.6.
const L4T_MIN: (u32, u32) = (32, 6);

/// All findings, problems first.
pub(super) fn all(it: &Examination) -> Vec<Finding> {
    let mut found = Found(Vec::new());
    throttling(it, &mut found);
    heat(it, &mut found);
    power(it, &mut found);
    clocks(it, &mut found);
    memory(it, &mut found);
    disk(it, &mut found);
    software(it, &mut found);
    let mut found = found.0;
    found.sort_by_key(|finding| finding.level);
    found
}

struct Found(Vec<Finding>);

impl Found {
    fn problem(&mut self, what: impl Display, mend: impl Display) {
        self.0.push(Finding { level: Level::Problem, what: what.to_string(), mend: mend.to_string() });
    }

    fn advice(&mut self, what: impl Display, mend: impl Display) {
        self.0.push(Finding { level: Level::Advice, what: what.to_string(), mend: mend.to_string() });
    }
}

fn throttling(it: &Examination, found: &mut Found) {
    if !it.sensors.throttled_by.is_empty() {
        found.problem(format!("clocks are being lowered now by {}", it.sensors.throttled_by.join(", ")), fan_command(it));
    }
    if it.over_current_events > 0 {
        let what = format!(
            "too much current was drawn {} times since the start: the supply is weak for this mode",
            it.over_current_events
        );
        // The weakest mode with all cores asks for least; a stronger supply is no command.
        let mode = it.power.modes.iter().rfind(|mode| mode.name.ends_with('W') || mode.name.contains("W_"));
        let mend = mode.map_or("sudo nvpmodel -m 1".to_string(), |mode| format!("sudo nvpmodel -m {}", mode.id));
        found.problem(what, format!("{mend}   # or a stronger power supply"));
    }
}

fn heat(it: &Examination, found: &mut Found) {
    let Some(hottest) = it.sensors.hottest() else { return };
    let point = it.throttles_at.iter().find(|(name, _)| *name == hottest.name).map(|(_, point)| *point as f64);
    let is_hot = match point {
        Some(point) => hottest.value > point - NEAR_THROTTLING,
        None => hottest.value > HOT,
    };
    if is_hot && it.sensors.throttled_by.is_empty() {
        let point = point.map_or(String::new(), |point| format!(", clocks are lowered at {point:.0} °C"));
        found.problem(format!("{} has {:.0} °C{point}", hottest.name, hottest.value), fan_command(it));
    }
}

/// The fan at its strongest, in the way of this board.
fn fan_command(it: &Examination) -> String {
    match (&it.board.chip, it.board.l4t_major()) {
        (Some(_), Some(..=32)) => "sudo sh -c 'echo 255 > /sys/devices/pwm-fan/target_pwm'".to_string(),
        (Some(_), _) => "sudo systemctl stop nvfancontrol && sudo sh -c 'echo 255 > $(dirname $(grep -l pwmfan /sys/class/hwmon/*/name))/pwm1'"
            .to_string(),
        (None, _) => format!("edgezero --threads {} train   # half of the cores; dust in the fans?", (it.cpu.online / 2).max(1)),
    }
}

fn power(it: &Examination, found: &mut Found) {
    let mode = it.power.mode_now();
    if let (Some(now), Some(best)) = (mode, it.power.stronger()) {
        let cores = if best.cores > now.cores { format!(" and {} of {} cores", now.cores, best.cores) } else { String::new() };
        let what = format!("power mode {} ({}) gives lower clocks{cores} than {}", now.id, now.name, best.name);
        found.problem(what, format!("sudo nvpmodel -m {}", best.id));
    } else if it.cpu.online < it.cpu.present && it.cpu.online > 0 {
        let mode_says_so = mode.is_some_and(|mode| mode.cores > 0 && mode.cores <= it.cpu.online);
        if !mode_says_so {
            let what = format!("{} of {} cores are on", it.cpu.online, it.cpu.present);
            let cpus = format!("/sys/devices/system/cpu/cpu[0-{}]*/online", it.cpu.present - 1);
            found.problem(what, format!("echo 1 | sudo tee {cpus}"));
        }
    }
}

fn clocks(it: &Examination, found: &mut Found) {
    let Some(governor) = &it.cpu.governor else { return };
    let is_locked = it.cpu.mhz.is_some_and(|[min, _, max]| min == max);
    if it.board.chip.is_some() {
        if governor != "performance" && !is_locked {
            let what = format!("the clocks follow the load (governor {governor}): short steps of training see low ones");
            found.advice(what, "sudo jetson_clocks");
        }
        return;
    }
    // intel_pstate and amd-pstate-epp call their best governor powersave, too.
    let names_lie = it.cpu.driver.as_ref().is_some_and(|driver| driver.contains("pstate"));
    if governor == "powersave" && !names_lie {
        let governors = "/sys/devices/system/cpu/cpu*/cpufreq/scaling_governor";
        found.problem("the governor powersave holds the lowest clocks", format!("echo performance | sudo tee {governors}"));
    }
}

fn memory(it: &Examination, found: &mut Found) {
    let Some(total) = it.memory.total_bytes else { return };
    let is_board = it.board.chip.is_some();
    if is_board && total < SWAP_NEEDED_BELOW && it.memory.swap_bytes == 0 {
        let zram = match it.memory.zram_bytes {
            0 => "no swap",
            _ => "no swap but zram, which is the same memory",
        };
        let gib = if total < 5 << 30 { 4 } else { 8 };
        let file = format!("sudo fallocate -l {gib}G /var/swapfile && sudo chmod 600 /var/swapfile && sudo mkswap /var/swapfile");
        found.advice(format!("{zram}: a peak ends in the kernel's killer"), format!("{file} && sudo swapon /var/swapfile"));
    }
    if it.desktop && is_board && total < DESKTOP_FELT_BELOW {
        let what = format!("a desktop takes its share of {} MiB", total >> 20);
        found.advice(what, "sudo systemctl set-default multi-user.target && sudo systemctl isolate multi-user.target");
    }
    if let (limit, Bound::ControlGroup) = it.memory_bound {
        let what = format!("a control group allows {} of {} MiB", limit >> 20, total >> 20);
        found.advice(what, "edgezero profiles new mine.toml   # a profile within it");
    }
}

fn disk(it: &Examination, found: &mut Found) {
    if let Some(free) = it.disk_free_bytes.filter(|free| *free < DISK_FREE_MIN) {
        found.problem(format!("{} MiB of disk are free", free >> 20), "sudo apt-get clean && sudo journalctl --vacuum-size=100M");
    }
    if let Some(speed) = it.disk_speed.filter(|speed| speed.write < DISK_WRITE_MIN) {
        let what = format!("the disk writes {:.1} MB/s", speed.write / 1e6);
        found.advice(what, "edgezero train --out /mnt/usb/run   # a folder on another disk");
    }
    if let Some(disk) = it.disk.as_ref().filter(|disk| disk.kind == DiskKind::SdCard) {
        let what = format!("{} is an SD card: writing wears it, and it is slow", disk.device);
        found.advice(what, "edgezero train --out /mnt/ssd/run   # a folder on an SSD or USB disk");
    }
}

fn software(it: &Examination, found: &mut Found) {
    let (board, software) = (&it.board, &it.software);
    if board.cards.iter().any(|card| card == CARD_WITHOUT_DRIVER) {
        found.problem(
            "an NVIDIA card without its driver",
            "sudo ubuntu-drivers install   # on Debian: sudo apt install nvidia-driver",
        );
    }
    if !it.closed_nodes.is_empty() {
        let what = format!("this user may not open {}", it.closed_nodes.join(", "));
        found.problem(what, "sudo usermod -aG video $USER   # then log in again");
    }
    if board.chip.is_none() {
        if software.driver.is_some() && software.nvrtc.is_none() {
            found.advice("no CUDA toolkit: kernels cannot be made for this card", "sudo apt install nvidia-cuda-toolkit");
        }
        return;
    }
    let release = board.l4t.as_ref().map(|release| {
        let mut numbers = release.split('.').map(|n| n.parse().unwrap_or(0));
        (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
    });
    if let (true, Some(text)) = (release.is_some_and(|release| release < L4T_MIN), &board.l4t) {
        found.problem(
            format!("Jetson Linux {text} is older than JetPack 4.6"),
            "sudo apt update && sudo apt dist-upgrade   # or a new image",
        );
    }
    let packages = |what: &str, package: &str| (what.to_string(), format!("sudo apt update && sudo apt install {package}"));
    let missing = [
        (
            software.libcuda.is_none(),
            Level::Problem,
            packages("no libcuda.so: Jetson Linux is not whole", "--reinstall nvidia-l4t-cuda"),
        ),
        (
            software.nvrtc.is_none() || software.cuda.is_none(),
            Level::Problem,
            packages("no CUDA toolkit: kernels cannot be made for this GPU", "nvidia-jetpack"),
        ),
        (
            software.tensorrt.is_none(),
            Level::Advice,
            packages(
                "no TensorRT: nets play through the slower kernels",
                if board.l4t_major() == Some(32) { "tensorrt" } else { "nvidia-tensorrt" },
            ),
        ),
    ];
    found.0.extend(missing.into_iter().filter(|(is_missing, ..)| *is_missing).map(|(_, level, (what, mend))| Finding {
        level,
        what,
        mend,
    }));
}
