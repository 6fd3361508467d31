//! What this machine is: model, cores, memory, page size; and what this process has used of it.
//!
//! Everything is read from `/proc` and `/sys` without a privilege. What a kernel does not tell is left at a safe value.
//! Every reader takes a [`Tree`], so that a folder of recorded files can stand for any board.

pub mod board;
pub mod budget;
pub mod clocks;
pub mod cuda;
pub mod governor;
pub mod guard;
pub mod memory;
pub mod nvml;
pub mod sensors;
pub mod software;
pub mod storage;
pub mod tree;
pub mod watch;

pub use budget::{Budget, Needs};
pub use tree::Tree;
pub use watch::{Watch, WatchConfig};

use memory::{Bound, kib_field};
use std::fs;
use std::path::Path;

/// Bytes of a page where the kernel does not tell: every x86-64 and most Jetson kernels.
const PAGE_BYTES_USUAL: u64 = 4096;
/// Tag of the page size in the auxiliary vector (`getauxval(3)`).
const AT_PAGESZ: u64 = 6;

/// Facts about the machine this process runs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// The device tree's model, such as `NVIDIA Jetson Xavier NX Developer Kit`; none on a PC.
    pub model: Option<String>,
    /// Cores this process may use: affinity and the control group's quota are respected.
    pub cores: usize,
    /// Memory in bytes this process may use at the most: `MemTotal`, or the control group's limit if that is less.
    pub ram_bytes: u64,
    /// Who says so.
    pub ram_bound: Bound,
    /// Memory in bytes that can be had without swapping: `MemAvailable`, or what others leave of the control group's limit.
    pub ram_available_bytes: u64,
    /// Addresses in bytes that this process may map (`ulimit -v`); none without a limit.
    pub address_bytes: Option<u64>,
    /// Bytes of a page.
    pub page_bytes: u64,
}

impl Machine {
    /// Reads the facts.
    pub fn read() -> Machine {
        Machine::read_under(Path::new("/"))
    }

    /// Reads the facts from files under `root` instead of `/`, so that a test can be any board.
    pub fn read_under(root: &Path) -> Machine {
        let tree = Tree::under(root);
        let memory = memory::Memory::read(&tree);
        let total = memory.total_bytes.unwrap_or(0);
        let (ram_bytes, ram_bound) = memory::resident_bound(&tree, total);
        // Affinity and quota are this process's, and say nothing about a recorded board.
        let here = || std::thread::available_parallelism().map_or(1, |n| n.get());
        let recorded = if tree.is_machine() { 0 } else { clocks::Cpu::read(&tree).online };
        let available = memory.available_bytes.unwrap_or(total);
        Machine {
            model: board::model(&tree),
            cores: if recorded > 0 { recorded } else { here() },
            ram_bytes,
            ram_bound,
            ram_available_bytes: available.min(ram_bytes).min(memory::left_in_group(&tree).unwrap_or(u64::MAX)),
            address_bytes: memory::address_limit_bytes(&tree),
            page_bytes: page_bytes(root).unwrap_or(PAGE_BYTES_USUAL),
        }
    }
}

/// The largest resident memory this process has had, in bytes (`VmHWM`); 0 where the kernel does not tell.
pub fn peak_rss_bytes() -> u64 {
    kib_field(&text(Path::new("/proc/self/status")), "VmHWM:").unwrap_or(0)
}

/// Lets [`peak_rss_bytes`] begin anew from what is resident now. Where the kernel does not allow it, the old peak stays.
pub fn reset_peak_rss() {
    // proc_pid_clear_refs(5): 5 resets the peak. A kernel that refuses leaves a figure that is too large, never too small.
    let _ = fs::write("/proc/self/clear_refs", "5");
}

/// Seconds that all threads of this process have computed, to a hundredth; 0 where the system does not tell.
pub fn cpu_seconds() -> f64 {
    /// Ticks a second of Linux's accounts, on every machine we run on.
    const TICKS: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name in brackets may hold blanks; user and system time are the 12th and 13th field after it.
    let fields = stat.rsplit(')').next().unwrap_or("").split_whitespace();
    fields.skip(11).take(2).filter_map(|f| f.parse::<f64>().ok()).sum::<f64>() / TICKS
}

/// The resident memory of this process now, in bytes (`VmRSS`); 0 where the kernel does not tell.
pub fn rss_bytes() -> u64 {
    kib_field(&text(Path::new("/proc/self/status")), "VmRSS:").unwrap_or(0)
}

fn text(path: &Path) -> String {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

fn page_bytes(root: &Path) -> Option<u64> {
    let auxv = fs::read(root.join("proc/self/auxv")).ok()?;
    auxv.chunks_exact(2 * size_of::<usize>()).find_map(|pair| {
        let (tag, value) = pair.split_at(size_of::<usize>());
        (word(tag)? == AT_PAGESZ).then(|| word(value)).flatten()
    })
}

fn word(bytes: &[u8]) -> Option<u64> {
    Some(usize::from_ne_bytes(bytes.try_into().ok()?) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_facts() {
        let machine = Machine::read();
        assert!(machine.cores >= 1);
        assert!(machine.ram_bytes > 64 << 20, "{machine:?}");
        assert!(machine.page_bytes.is_power_of_two(), "{machine:?}");
        // other tests of this process may allocate between the two looks
        let now = rss_bytes();
        assert!(now > 1 << 20 && peak_rss_bytes() >= now);
    }

    #[test]
    fn another_machine_is_read_from_its_files() {
        let root = std::env::temp_dir().join(format!("edgezero-device-{}", std::process::id()));
        fs::create_dir_all(root.join("proc/device-tree")).unwrap();
        fs::create_dir_all(root.join("sys/fs/cgroup")).unwrap();
        fs::write(root.join("proc/device-tree/model"), b"NVIDIA Jetson Nano Developer Kit\0").unwrap();
        fs::write(root.join("proc/meminfo"), "MemTotal:        4059292 kB\nMemAvailable:    3000000 kB\n").unwrap();
        let machine = Machine::read_under(&root);
        assert_eq!(machine.model.as_deref(), Some("NVIDIA Jetson Nano Developer Kit"));
        assert_eq!((machine.ram_bytes, machine.ram_available_bytes), (4059292 << 10, 3000000 << 10));
        assert_eq!(machine.page_bytes, PAGE_BYTES_USUAL);

        fs::write(root.join("sys/fs/cgroup/memory.max"), "1073741824\n").unwrap();
        let machine = Machine::read_under(&root);
        assert_eq!((machine.ram_bytes, machine.ram_available_bytes), (1 << 30, 1 << 30));
        fs::write(root.join("sys/fs/cgroup/memory.max"), "max\n").unwrap();
        assert_eq!(Machine::read_under(&root).ram_bytes, 4059292 << 10);
        fs::remove_dir_all(&root).unwrap();
    }
}
