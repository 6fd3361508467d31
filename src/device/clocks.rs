//! Cores, clocks, and the power mode that bounds them.

use super::tree::Tree;
use serde::Serialize;

/// Cores and clocks of the processor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cpu {
    /// Cores that the board has.
    pub present: usize,
    /// Cores that are on.
    pub online: usize,
    /// Governor of the first core's clock.
    pub governor: Option<String>,
    /// Driver of the first core's clock.
    pub driver: Option<String>,
    /// Lowest, present and highest clock of the first core that the power mode allows, in MHz.
    pub mhz: Option<[u32; 3]>,
}

impl Cpu {
    /// Reads what the kernel tells.
    pub fn read(tree: &Tree) -> Cpu {
        let list = |name: &str| tree.text(&format!("sys/devices/system/cpu/{name}")).map_or(0, |text| count(&text));
        let first = "sys/devices/system/cpu/cpu0/cpufreq";
        let mhz = |name: &str| tree.number(&format!("{first}/{name}")).map(|khz| (khz / 1000) as u32);
        let mhz = (mhz("scaling_min_freq"), mhz("scaling_cur_freq"), mhz("scaling_max_freq"));
        Cpu {
            present: list("present"),
            online: list("online"),
            governor: tree.text(&format!("{first}/scaling_governor")),
            driver: tree.text(&format!("{first}/scaling_driver")),
            mhz: match mhz {
                (Some(min), Some(now), Some(max)) => Some([min, now, max]),
                _ => None,
            },
        }
    }
}

/// The number of members of a list such as `0-3,5`.
fn count(list: &str) -> usize {
    let members = list.split(',').map(|part| match part.split_once('-') {
        Some((from, to)) => match (from.trim().parse::<usize>(), to.trim().parse::<usize>()) {
            (Ok(from), Ok(to)) if to >= from => to - from + 1,
            _ => 0,
        },
        None => usize::from(part.trim().parse::<usize>().is_ok()),
    });
    members.sum()
}

/// One of the power modes of a board.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PowerMode {
    /// Its number for `nvpmodel -m`.
    pub id: u32,
    /// Its name, such as `MAXN` or `MODE_15W_6CORE`.
    pub name: String,
    /// Cores that it leaves on, as far as it says so.
    pub cores: usize,
    /// Highest clocks in its own units, the largest number where it sets no limit: GPU, a core, memory.
    #[serde(skip)]
    clocks: [u64; 3],
    /// Parts of the GPU that it leaves on, of eight.
    #[serde(skip)]
    gpu_parts: u32,
}

/// Parts of a GPU (texture processing clusters) that a mask may switch off: an AGX Orin has all of them.
const GPU_PARTS: u32 = 8;

impl PowerMode {
    /// What a net is trained by: all parts of the GPU first, then all cores together, then memory.
    fn strength(&self) -> (u128, u128, u64) {
        let [gpu, cpu, memory] = self.clocks;
        (u128::from(gpu) * u128::from(self.gpu_parts), u128::from(cpu) * self.cores.max(1) as u128, memory)
    }
}

/// The power modes that the board knows, and the one it is in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PowerModes {
    /// All modes, in the order of the file.
    pub modes: Vec<PowerMode>,
    /// Number of the mode in use.
    pub now: Option<u32>,
}

impl PowerModes {
    /// Reads `/etc/nvpmodel.conf`, and the mode that was set last (by default the one that the file names).
    pub fn read(tree: &Tree) -> PowerModes {
        let conf = tree.text("etc/nvpmodel.conf").unwrap_or_default();
        let status = tree.text("var/lib/nvpmodel/status").unwrap_or_default();
        // `pmode:0002 fmode:quiet`
        let set = status.split_whitespace().find_map(|word| word.strip_prefix("pmode:")?.parse().ok());
        let default = || conf.lines().find_map(|line| attribute(line.strip_prefix("< PM_CONFIG")?, "DEFAULT")?.parse().ok());
        PowerModes { now: set.or_else(default), modes: modes(&conf) }
    }

    /// The mode in use.
    pub fn mode_now(&self) -> Option<&PowerMode> {
        self.modes.iter().find(|mode| Some(mode.id) == self.now)
    }

    /// The mode that leaves most to training, if it is another one than that in use.
    pub fn stronger(&self) -> Option<&PowerMode> {
        let now = self.mode_now()?;
        // Among equals the first: MAXN stands there.
        let best = self.modes.iter().rev().max_by_key(|mode| mode.strength())?;
        (best.strength() > now.strength()).then_some(best)
    }
}

fn modes(conf: &str) -> Vec<PowerMode> {
    let mut modes: Vec<PowerMode> = Vec::new();
    for line in conf.lines().map(str::trim) {
        if let Some(header) = line.strip_prefix("< POWER_MODEL") {
            let id = attribute(header, "ID").and_then(|id| id.parse().ok());
            let name = attribute(header, "NAME").unwrap_or_default();
            if let Some(id) = id {
                modes.push(PowerMode { id, name, cores: 0, clocks: [u64::MAX; 3], gpu_parts: GPU_PARTS });
            }
            continue;
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let (Some(mode), &[what, key, value]) = (modes.last_mut(), &words[..]) else { continue };
        // -1 is no limit; clocks are positive.
        let clock = value.parse::<u64>().unwrap_or(u64::MAX);
        match (what, key) {
            // A bit for each part that is off.
            ("TPC_POWER_GATING", "TPC_PG_MASK") => {
                let off = value.parse::<u32>().unwrap_or(0).count_ones();
                mode.gpu_parts = GPU_PARTS.saturating_sub(off);
            }
            ("CPU_ONLINE", _) => mode.cores += usize::from(value == "1"),
            ("GPU", "MAX_FREQ") => mode.clocks[0] = clock,
            ("EMC", "MAX_FREQ") => mode.clocks[2] = if clock == 0 { u64::MAX } else { clock },
            // CPU_A57, CPU_DENVER_0, CPU_A78_0: the clusters of one mode have one limit.
            (cluster, "MAX_FREQ") if cluster.starts_with("CPU_") => mode.clocks[1] = clock,
            _ => {}
        }
    }
    modes
}

/// The value of `name=value` in the header of a block.
fn attribute(header: &str, name: &str) -> Option<String> {
    let words = header.split(|c: char| c.is_whitespace() || c == '>');
    words.into_iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('=')).map(str::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cores_are_counted() {
        for (list, n) in [("0-5", 6), ("0,2-3", 3), ("0", 1), ("", 0), ("3-1", 0)] {
            assert_eq!(count(list), n, "{list}");
        }
    }

    #[test]
    fn the_strongest_mode_is_no_number() {
        // As on an Orin Nano: neither the first nor the last is the strongest.
        let conf = "< POWER_MODEL ID=0 NAME=15W >\nCPU_ONLINE CORE_0 1\nCPU_A78_0 MAX_FREQ 1497600\nGPU MAX_FREQ 612000000\n\
                    < POWER_MODEL ID=2 NAME=MAXN_SUPER >\nCPU_ONLINE CORE_0 1\nCPU_A78_0 MAX_FREQ -1\nGPU MAX_FREQ -1\n\
                    < POWER_MODEL ID=3 NAME=7W >\nCPU_ONLINE CORE_0 0\nCPU_A78_0 MAX_FREQ 960000\nGPU MAX_FREQ 408000000\n";
        let all = PowerModes { modes: modes(conf), now: Some(0) };
        assert_eq!(all.stronger().map(|mode| (mode.id, mode.name.as_str())), Some((2, "MAXN_SUPER")));
        assert_eq!(PowerModes { now: Some(2), ..all }.stronger(), None);
    }

    #[test]
    fn parts_of_the_gpu_count() {
        // As on an Orin NX: 25 W has twice the parts at two thirds of the clock.
        let conf = "< POWER_MODEL ID=2 NAME=15W >\nTPC_POWER_GATING TPC_PG_MASK 252\nGPU MAX_FREQ 612000000\n\
                    < POWER_MODEL ID=3 NAME=25W >\nTPC_POWER_GATING TPC_PG_MASK 240\nGPU MAX_FREQ 408000000\n";
        let all = PowerModes { modes: modes(conf), now: Some(2) };
        assert_eq!(all.stronger().map(|mode| mode.id), Some(3));
    }
}
