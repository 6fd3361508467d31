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
    /// What its processes hold that cannot be dropped, in bytes: pages of files are left out, those in use as well. Mapped
    /// shards fill what a group leaves to them, and are the first to go.
    pub fn used_bytes(&self, tree: &Tree) -> Option<u64> {
        let (usage, droppable) = match self.version {
            Version::One => ("memory.usage_in_bytes", ["total_inactive_file", "total_active_file"]),
            Version::Two => ("memory.current", ["inactive_file", "active_file"]),
        };
        let used = u64::try_from(tree.number(&format!("{}/{usage}", self.dir))?).ok()?;
        let stat = tree.text(&format!("{}/memory.stat", self.dir)).unwrap_or_default();
        let fields = stat.lines().filter_map(|line| line.split_once(' '));
        let droppable =
            fields.filter(|(name, _)| droppable.contains(name)).filter_map(|(_, bytes)| bytes.trim().parse::<u64>().ok());
        Some(used.saturating_sub(droppable.sum()))
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

/// Memory in bytes from which on what others hold of a group's limit is counted: kernel memory of this process, and what
/// the kernel keeps ready for each core, look like theirs.
const BESIDE_MIN: u64 = 32 << 20;

/// Memory in bytes that other processes leave of the narrowest control group's limit; none where there is no limit.
pub(super) fn left_in_group(tree: &Tree) -> Option<u64> {
    let group = control_group(tree)?;
    let beside = group.used_bytes(tree)?.saturating_sub(Process::read(tree).held_bytes);
    Some(group.limit_bytes.saturating_sub(if beside > BESIDE_MIN { beside } else { 0 }))
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    /// A folder with these files.
    fn recorded(name: &str, files: &[(&str, &str)]) -> (PathBuf, Tree) {
        let root = std::env::temp_dir().join(format!("edgezero-memory-{name}-{}", std::process::id()));
        for (path, text) in files {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let tree = Tree::under(&root);
        (root, tree)
    }

    const MIB: u64 = 1 << 20;

    #[test]
    fn the_narrowest_group_of_both_versions_bounds() {
        let second = [
            ("proc/self/cgroup", "0::/system.slice/edgezero-train.service\n"),
            ("sys/fs/cgroup/system.slice/memory.max", "2147483648\n"),
            ("sys/fs/cgroup/system.slice/edgezero-train.service/memory.max", "max\n"),
            ("sys/fs/cgroup/system.slice/edgezero-train.service/memory.high", "1073741824\n"),
            ("sys/fs/cgroup/system.slice/edgezero-train.service/memory.current", "943718400\n"),
            (
                "sys/fs/cgroup/system.slice/edgezero-train.service/memory.stat",
                "anon 104857600\nfile 838860800\ninactive_anon 104857600\ninactive_file 524288000\nactive_file 314572800\n",
            ),
        ];
        // As on a board with JetPack 4: the limit is in the parent, the root says that there is none.
        let first = [
            ("proc/self/cgroup", "11:name=systemd:/box/run\n4:cpu,memory:/box/run\n0::/elsewhere\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("sys/fs/cgroup/memory/box/memory.limit_in_bytes", "536870912\n"),
            ("sys/fs/cgroup/memory/box/memory.usage_in_bytes", "524288000\n"),
            (
                "sys/fs/cgroup/memory/box/memory.stat",
                "inactive_file 1\ntotal_inactive_file 314572800\ntotal_active_file 104857600\n",
            ),
            ("sys/fs/cgroup/memory/box/run/memory.limit_in_bytes", "9223372036854771712\n"),
        ];
        // A container: its own group is the root of what it sees.
        let inside = [
            ("proc/self/cgroup", "4:memory:/docker/0123\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "268435456\n"),
            ("sys/fs/cgroup/memory/memory.usage_in_bytes", "1048576\n"),
        ];
        let cases = [("second", &second[..], 1024, 100), ("first", &first, 512, 100), ("inside", &inside, 256, 1)];
        for (name, files, limit, used) in cases {
            let (root, tree) = recorded(name, files);
            assert_eq!(resident_bound(&tree, 4096 * MIB), (limit * MIB, Bound::ControlGroup), "{name}");
            assert_eq!(resident_bound(&tree, 200 * MIB), (200 * MIB, Bound::Machine), "{name}");
            assert_eq!(control_group(&tree).unwrap().used_bytes(&tree), Some(used * MIB), "{name}");
            // Nothing is recorded of this process, so what is held is others'. One MiB is nothing.
            let left = if used > 1 { limit - used } else { limit };
            assert_eq!(left_in_group(&tree), Some(left * MIB), "{name}");
            std::fs::remove_dir_all(root).unwrap();
        }
    }

    #[test]
    fn no_limit_is_none() {
        let free = [
            ("proc/self/cgroup", "4:memory:/a\n0::/\n"),
            ("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "9223372036854771712\n"),
            ("sys/fs/cgroup/memory.max", "max\n"),
        ];
        let (root, tree) = recorded("free", &free);
        assert_eq!(resident_bound(&tree, 4096 * MIB), (4096 * MIB, Bound::Machine));
        std::fs::remove_dir_all(root).unwrap();
    }
}
