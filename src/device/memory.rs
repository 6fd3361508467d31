//! Memory: what there is, what may be taken, and who sets the bound.

use super::tree::Tree;
use serde::Serialize;

/// Memory and swap of the machine, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// All memory.
    pub total_bytes: Option<u64>,
    /// What can be had without swapping.
    pub available_bytes: Option<u64>,
    /// Swap on disks.
    pub swap_bytes: u64,
    /// Swap that is compressed memory.
    pub zram_bytes: u64,
    /// Swap that is in use.
    pub swap_used_bytes: u64,
}

impl Memory {
    /// Reads what the kernel tells.
    pub fn read(tree: &Tree) -> Memory {
        let meminfo = tree.text("proc/meminfo").unwrap_or_default();
        let mut memory = Memory {
            total_bytes: kib_field(&meminfo, "MemTotal:"),
            available_bytes: kib_field(&meminfo, "MemAvailable:"),
            ..Memory::default()
        };
        // Filename, Type, Size, Used, Priority.
        for line in tree.text("proc/swaps").unwrap_or_default().lines().skip(1) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let kib = |i: usize| words.get(i).and_then(|word| word.parse::<u64>().ok()).unwrap_or(0) << 10;
            let is_zram = words.first().is_some_and(|name| name.contains("zram"));
            *(if is_zram { &mut memory.zram_bytes } else { &mut memory.swap_bytes }) += kib(2);
            memory.swap_used_bytes += kib(3);
        }
        memory
    }
}

/// Who says that this process may take no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// The machine has no more.
    Machine,
    /// The control group.
    ControlGroup,
}

/// The most resident memory that this process may have, in bytes, and who says so.
pub fn resident_bound(tree: &Tree, total_bytes: u64) -> (u64, Bound) {
    match control_group(tree).map(|group| group.limit_bytes) {
        Some(limit) if limit < total_bytes || total_bytes == 0 => (limit, Bound::ControlGroup),
        _ => (total_bytes, Bound::Machine),
    }
}

/// The control group with the narrowest limit on memory that this process is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlGroup {
    /// Its limit.
    pub limit_bytes: u64,
    /// Its folder in the tree.
    dir: String,
    version: Version,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// Limits from here on are none: version 1 says so with the largest multiple of a page.
const NO_LIMIT: u64 = 1 << 62;

impl ControlGroup {
    /// What its processes hold that cannot be dropped, in bytes: clean pages of files are left out.
    pub fn used_bytes(&self, tree: &Tree) -> Option<u64> {
        let (usage, inactive) = match self.version {
            Version::One => ("memory.usage_in_bytes", "total_inactive_file"),
            Version::Two => ("memory.current", "inactive_file"),
        };
        let used = u64::try_from(tree.number(&format!("{}/{usage}", self.dir))?).ok()?;
        let stat = tree.text(&format!("{}/memory.stat", self.dir)).unwrap_or_default();
        let is_field = |line: &&str| line.split_whitespace().next() == Some(inactive);
        let droppable = stat.lines().find(is_field).and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
        Some(used.saturating_sub(droppable.unwrap_or(0)))
    }
}

/// Finds the narrowest limit on the way from this process's group up to the root. A container sees its own group as the
/// root.
pub fn control_group(tree: &Tree) -> Option<ControlGroup> {
    let groups = tree.text("proc/self/cgroup").unwrap_or_default();
    let mut found: Vec<ControlGroup> = Vec::new();
    // `4:memory:/a/b` in version 1, `0::/a/b` in version 2; without a line, the root.
    let member = |wanted: &dyn Fn(&str, &str) -> bool| {
        let line = groups.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':');
            let (id, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
            wanted(id, controllers).then_some(path)
        });
        line.unwrap_or("/").to_string()
    };
    let second = member(&|id, controllers| id == "0" && controllers.is_empty());
    let first = member(&|_, controllers| controllers.split(',').any(|name| name == "memory"));
    for (root, path, version, names) in [
        ("sys/fs/cgroup", &second, Version::Two, &["memory.max", "memory.high"][..]),
        ("sys/fs/cgroup/unified", &second, Version::Two, &["memory.max", "memory.high"][..]),
        ("sys/fs/cgroup/memory", &first, Version::One, &["memory.limit_in_bytes"][..]),
    ] {
        for dir in up(root, path) {
            let limits = names.iter().filter_map(|name| tree.number(&format!("{dir}/{name}")));
            let limit = limits.filter_map(|bytes| u64::try_from(bytes).ok()).filter(|bytes| *bytes < NO_LIMIT).min();
            found.extend(limit.map(|limit_bytes| ControlGroup { limit_bytes, dir, version }));
        }
    }
    found.into_iter().min_by_key(|group| group.limit_bytes)
}

/// The folders from `root/path` up to `root`.
fn up(root: &str, path: &str) -> Vec<String> {
    let path = path.trim_matches('/');
    let mut dirs: Vec<String> = std::iter::successors(Some(path), |path| path.rsplit_once('/').map(|(above, _)| above))
        .filter(|path| !path.is_empty())
        .map(|path| format!("{root}/{path}"))
        .collect();
    dirs.push(root.to_string());
    dirs
}

/// The most addresses that this process may map, in bytes (`RLIMIT_AS`, `ulimit -v`); none without a limit.
pub fn address_limit_bytes(tree: &Tree) -> Option<u64> {
    let limits = tree.text("proc/self/limits")?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max address space"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Keeps the allocator to one heap. Under a limit of addresses its habit of reserving 64 MiB for each thread would take
/// what the run needs; without such a limit the heaps of threads are faster.
pub fn keep_to_one_heap() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        /// `M_ARENA_MAX` of glibc's malloc.h.
        const M_ARENA_MAX: i32 = -8;
        unsafe extern "C" {
            fn mallopt(parameter: i32, value: i32) -> i32;
        }
        // SAFETY: glibc's own function with its documented parameter; it takes numbers only and may be called at any time.
        unsafe { mallopt(M_ARENA_MAX, 1) };
    }
}

/// Memory of this process, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// Resident memory that is nobody's file: what the process holds.
    pub held_bytes: u64,
    /// What it held and is swapped out.
    pub swapped_bytes: u64,
    /// Addresses mapped.
    pub mapped_bytes: u64,
}

impl Process {
    /// Reads what this process holds.
    pub fn read(tree: &Tree) -> Process {
        let status = tree.text("proc/self/status").unwrap_or_default();
        let field = |name: &str| kib_field(&status, name).unwrap_or(0);
        Process {
            // Pages of the mapped shards are the kernel's to drop.
            held_bytes: field("VmRSS:").saturating_sub(field("RssFile:")),
            swapped_bytes: field("VmSwap:"),
            mapped_bytes: field("VmSize:"),
        }
    }
}

/// The number of a line `Name:   123 kB`, in bytes.
pub(super) fn kib_field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    kib.checked_mul(1024)
}
