//! What this board is, what is wrong with it for training, and the commands that mend it.
//!
//! Front door: [`Examination::of`], which reads files alone and so works on recorded boards; on this machine it also
//! measures the disk. [`Examination::findings`] judges, `Display` tells.

mod findings;
mod show;

pub use findings::{Finding, Level};

use crate::compute::Ops;
use crate::compute::cpu::CpuOps;
use crate::compute::cuda::{CudaOps, Precision};
use crate::device::Tree;
use crate::device::board::Board;
use crate::device::clocks::{Cpu, PowerModes};
use crate::device::memory::{Bound, Memory, resident_bound};
use crate::device::sensors::{Reading, Sensors};
use crate::device::software::{Packages, Software};
use crate::device::storage::{self, Disk, Speed};
use serde::Serialize;
use std::path::Path;

/// Everything that was found.
#[derive(Clone, Debug, Serialize)]
pub struct Examination {
    /// Board and system.
    pub board: Board,
    /// NVIDIA's libraries.
    pub software: Software,
    /// Cores and clocks.
    pub cpu: Cpu,
    /// Power modes.
    pub power: PowerModes,
    /// Memory and swap.
    pub memory: Memory,
    /// Most memory that a process may have here, in bytes, and who says so.
    pub memory_bound: (u64, Bound),
    /// Whether a desktop starts with the board.
    pub desktop: bool,
    /// The disk that was looked at.
    pub disk: Option<Disk>,
    /// Bytes free on it; none for a recorded board.
    pub disk_free_bytes: Option<u64>,
    /// Its measured speed; none for a recorded board.
    pub disk_speed: Option<Speed>,
    /// What the sensors say.
    pub sensors: Reading,
    /// Temperatures in °C at which the kernel lowers clocks, by sensor.
    pub throttles_at: Vec<(String, i64)>,
    /// Strength of the fan, 0 to 255.
    pub fan: Option<i64>,
    /// Times since the start at which too much current was drawn.
    pub over_current_events: i64,
    /// Nodes of the GPU that this user may not open.
    pub closed_nodes: Vec<String>,
    /// What would compute, in the order in which it is tried.
    pub backends: Vec<Backend>,
}

/// A backend and whether it opens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Backend {
    /// Its name, as for `--backend`.
    pub name: &'static str,
    /// Whether it opens.
    pub opens: bool,
    /// Why, or why not.
    pub why: String,
}

/// Backends that this build has.
const BUILT: [&str; 2] = ["cuda", "cpu"];

impl Examination {
    /// Looks at the files of `tree`, and at the disk of the folder `dir`.
    pub fn of(tree: &Tree, dir: &Path) -> Examination {
        let board = Board::read(tree, &Packages::read(tree));
        let software = Software::read(tree);
        let memory = Memory::read(tree);
        let sensors = &mut Sensors::find(tree);
        if tree.is_machine() {
            sensors.follow_all();
        }
        let throttles_at = sensors.zones().iter().filter_map(|zone| Some((zone.name.clone(), zone.throttles_at?)));
        let here = tree.is_machine();
        Examination {
            backends: backends(&board, &software, here),
            cpu: Cpu::read(tree),
            power: PowerModes::read(tree),
            memory_bound: resident_bound(tree, memory.total_bytes.unwrap_or(0)),
            desktop: desktop(tree),
            disk: Disk::of(tree, dir),
            disk_free_bytes: here.then(|| storage::room(dir)).flatten().map(|room| room.free_bytes),
            // A folder that may not be written says so when it is used.
            disk_speed: here.then(|| storage::measure(dir).ok()).flatten(),
            throttles_at: throttles_at.collect(),
            sensors: sensors.read(),
            fan: fan(tree),
            over_current_events: over_current_events(tree),
            closed_nodes: if here && board.chip.is_some() { closed_nodes(tree) } else { Vec::new() },
            board,
            software,
            memory,
        }
    }

    /// What is wrong for training, the worst first.
    pub fn findings(&self) -> Vec<Finding> {
        findings::all(self)
    }
}

/// Whether systemd starts the graphical target: a link in /etc, of which a recorded board has the name.
fn desktop(tree: &Tree) -> bool {
    let link = "etc/systemd/system/default.target";
    let target = std::fs::read_link(tree.path(link)).map(|target| target.to_string_lossy().into_owned()).ok();
    target.or_else(|| tree.text(link)).is_some_and(|target| target.ends_with("graphical.target"))
}

fn fan(tree: &Tree) -> Option<i64> {
    let monitor = || {
        let dirs = tree.beginning("sys/class/hwmon", "hwmon").into_iter();
        let mut fans = dirs.filter(|dir| tree.text(&format!("{dir}/name")).as_deref() == Some("pwmfan"));
        fans.find_map(|dir| tree.number(&format!("{dir}/pwm1")))
    };
    tree.number("sys/devices/pwm-fan/cur_pwm").or_else(monitor)
}

/// Counted by the chip's protection: `oc1_event_cnt` and so on.
fn over_current_events(tree: &Tree) -> i64 {
    let dirs = tree.beginning("sys/class/hwmon", "hwmon").into_iter();
    let counters = dirs.flat_map(|dir| tree.beginning(&dir, "oc")).filter(|path| path.ends_with("_event_cnt"));
    counters.filter_map(|path| tree.number(&path)).sum()
}

/// Nodes of the integrated GPU that are there and that this user may not open: their group is `video`.
fn closed_nodes(tree: &Tree) -> Vec<String> {
    let nodes = ["dev/nvmap", "dev/nvhost-gpu", "dev/nvhost-ctrl-gpu", "dev/nvgpu/igpu0/ctrl"];
    let is_closed = |node: &&str| {
        let opened = std::fs::File::options().read(true).write(true).open(tree.path(node));
        opened.is_err_and(|e| e.kind() == std::io::ErrorKind::PermissionDenied)
    };
    nodes.into_iter().filter(is_closed).map(|node| format!("/{node}")).collect()
}

/// Releases of TensorRT whose layout is known (see DESIGN of the TensorRT backend): 8.2 to 8.6, and 10.
fn is_known_tensorrt((major, minor): (u32, u32)) -> bool {
    matches!((major, minor), (8, 2..=6) | (10, _))
}

/// What would open, in the order in which it is tried; on this machine (`here`) the driver itself is asked.
fn backends(board: &Board, software: &Software, here: bool) -> Vec<Backend> {
    let has_gpu = board.chip.is_some() || !board.cards.is_empty();
    let cuda = if here {
        // The very call that training makes: it looks for the compiler of kernels, too.
        CudaOps::new(0, Precision::Bf16).map(|gpu| gpu.describe()).map_err(|e| e.what().to_string())
    } else if !has_gpu {
        Err("no NVIDIA GPU".to_string())
    } else if software.libcuda.is_none() {
        Err("no libcuda.so: the driver is missing".to_string())
    } else if software.nvrtc.is_none() {
        Err("no libnvrtc.so: the toolkit is missing".to_string())
    } else {
        Ok(format!("CUDA {}", software.cuda.as_deref().unwrap_or("of unknown version")))
    };
    let tensorrt = match (&cuda, &software.tensorrt) {
        (Err(why), _) => Err(why.clone()),
        (_, None) => Err("no libnvinfer.so".to_string()),
        (_, Some(library)) if !is_known_tensorrt(library.major_minor()) => {
            Err(format!("TensorRT {} is none of 8.2 to 8.6 and 10", library.version))
        }
        (_, Some(library)) => Ok(format!("TensorRT {}", library.version)),
    };
    // Carmel, Cortex-A78AE and Neoverse V3AE compute with f16, Cortex-A57 does not.
    let has_f16 = if here {
        CpuOps::has_f16()
    } else {
        board.chip.as_deref().is_some_and(|chip| ["tegra194", "tegra234", "tegra264"].contains(&chip))
    };
    let cpu = if has_f16 { "always, plays in half precision with --precision f16" } else { "always" }.to_string();
    let backend = |name: &'static str, found: Result<String, String>| match found {
        Ok(what) if !BUILT.contains(&name) => {
            Backend { name, opens: false, why: format!("{what} is there, this build has no such backend") }
        }
        Ok(why) => Backend { name, opens: true, why },
        Err(why) => Backend { name, opens: false, why },
    };
    vec![backend("tensorrt", tensorrt), backend("cuda", cuda), backend("cpu", Ok(cpu))]
}
