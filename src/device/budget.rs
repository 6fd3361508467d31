//! Memory as a budget: what a run will take, by part, and what it may take.
//!
//! Rooms say their [`Needs`]; the [`Budget`] is the least of what the profile, the control group, the memory that is free
//! now and the limit of addresses allow. A run that needs more is made smaller by its room, in an order that the room
//! states, or refused before it starts. Where the GPU that computes has memory of its own, what lies there has a bound of
//! its own, and takes nothing of the machine's.

use super::Machine;
use super::memory::{Bound, Process};
use super::tree::Tree;
use crate::base::Error;
use std::fmt;

/// Share of a control group's limit that a run may hold: page tables, and pages of files that are in use, are counted there,
/// too.
const GROUP_SHARE: f64 = 0.9;
/// Share of the memory that is available now: others may want more before the run has taken its part.
const AVAILABLE_SHARE: f64 = 0.9;
/// Share of a GPU's own memory that is free now.
const GPU_SHARE: f64 = 0.9;
/// Addresses of a thread in bytes: a stack of 2 MiB, of which a few pages are used, and its guard.
const THREAD_ADDRESSES: u64 = (2 << 20) + (64 << 10);
/// Memory in bytes of the program itself: code and tables in use, stacks, buffers of files.
pub const PROGRAM_BYTES: u64 = 16 << 20;

/// What a run will take, by part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    parts: Vec<Part>,
    mapped_bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    name: &'static str,
    bytes: u64,
    lies: Lies,
}

/// Where a part lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lies {
    /// In the machine's memory.
    Machine,
    /// Where the computing is done.
    Computing,
}

impl Needs {
    /// The program alone.
    pub fn program() -> Needs {
        Needs::default().with("program", PROGRAM_BYTES)
    }

    /// And `bytes` more for `part`, one word for a line of `key=value`.
    pub fn with(mut self, part: &'static str, bytes: u64) -> Needs {
        self.parts.push(Part { name: part, bytes, lies: Lies::Machine });
        self
    }

    /// And `bytes` more for `part` where the computing is done: in the GPU's own memory where it has one.
    pub fn with_computing(mut self, part: &'static str, bytes: u64) -> Needs {
        self.parts.push(Part { name: part, bytes, lies: Lies::Computing });
        self
    }

    /// And `bytes` of mapped files, whose pages are the kernel's to drop, or of gaps between buffers: they count only where
    /// addresses are limited.
    pub fn with_mapped(mut self, bytes: u64) -> Needs {
        self.mapped_bytes += bytes;
        self
    }

    /// Says what the run will take of `budget_bytes`.
    pub fn say(&self, budget_bytes: u64) {
        log::info!("memory: needs_mb={} budget_mb={} {self}", mib(self.bytes()), budget_bytes >> 20);
    }

    /// What the run holds, in bytes.
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes).sum()
    }

    /// What lies in the machine's memory, and what in that of a GPU which has its own.
    fn apart(&self) -> (Needs, Needs) {
        let (machine, gpu) = self.parts.iter().cloned().partition(|part| part.lies == Lies::Machine);
        (Needs { parts: machine, mapped_bytes: self.mapped_bytes }, Needs { parts: gpu, mapped_bytes: 0 })
    }

    /// Bytes of mapped files and gaps.
    pub fn mapped_bytes(&self) -> u64 {
        self.mapped_bytes
    }
}

/// `program=16 net=3 …` in MiB, rounded up.
impl fmt::Display for Needs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, part) in self.parts.iter().enumerate() {
            write!(f, "{}{}={}", if i == 0 { "" } else { " " }, part.name, mib(part.bytes))?;
        }
        match self.mapped_bytes {
            0 => Ok(()),
            bytes => write!(f, " mapped={}", mib(bytes)),
        }
    }
}

/// Who bounds a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Profile,
    ControlGroup,
    Available,
    Addresses,
    Gpu,
}

/// What a run may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    bytes: u64,
    by: By,
    /// Addresses that are left for memory and mapped files together; none without a limit.
    addresses: Option<u64>,
    /// Bytes of the GPU's own memory; none where there is one memory for all.
    gpu_bytes: Option<u64>,
}

impl Budget {
    /// The least of what the profile allows (in bytes) and of what this machine and process can have, for a run of at most
    /// `threads` threads.
    pub fn new(profile_bytes: u64, machine: &Machine, threads: usize) -> Budget {
        Budget::with_mapped(profile_bytes, machine, threads, Process::read(&Tree::machine()).mapped_bytes)
    }

    fn with_mapped(profile_bytes: u64, machine: &Machine, threads: usize, mapped_bytes: u64) -> Budget {
        let share = |bytes: u64, share: f64| (bytes as f64 * share) as u64;
        let mut bounds = vec![(profile_bytes, By::Profile)];
        if machine.ram_bound == Bound::ControlGroup {
            bounds.push((share(machine.ram_bytes, GROUP_SHARE), By::ControlGroup));
        }
        // A kernel that does not tell leaves it at 0.
        if machine.ram_available_bytes > 0 {
            bounds.push((share(machine.ram_available_bytes, AVAILABLE_SHARE), By::Available));
        }
        let taken = mapped_bytes + threads as u64 * THREAD_ADDRESSES;
        // The program's own part is mapped already, and stands among the needs.
        let addresses = machine.address_bytes.map(|limit| (limit + PROGRAM_BYTES).saturating_sub(taken));
        bounds.extend(addresses.map(|bytes| (bytes, By::Addresses)));
        let (bytes, by) = bounds.into_iter().min_by_key(|(bytes, _)| *bytes).expect("the profile's is there");
        Budget { bytes, by, addresses, gpu_bytes: None }
    }

    /// The same for a run on a GPU with memory of its own, of which `free_bytes` are free.
    pub fn with_gpu(self, free_bytes: u64) -> Budget {
        Budget { gpu_bytes: Some((free_bytes as f64 * GPU_SHARE) as u64), ..self }
    }

    /// Bytes that the run may hold.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether the run fits.
    pub fn fits(&self, needs: &Needs) -> bool {
        let (machine, gpu) = self.apart(needs);
        let fits = |addresses| machine.bytes() + machine.mapped_bytes <= addresses;
        self.gpu_fits(&gpu) && machine.bytes() <= self.bytes && self.addresses.is_none_or(fits)
    }

    /// Whether it is the GPU's own memory that is too small.
    pub fn gpu_is_short(&self, needs: &Needs) -> bool {
        !self.gpu_fits(&self.apart(needs).1)
    }

    fn gpu_fits(&self, gpu: &Needs) -> bool {
        self.gpu_bytes.is_none_or(|bytes| gpu.bytes() <= bytes)
    }

    fn apart(&self, needs: &Needs) -> (Needs, Needs) {
        if self.gpu_bytes.is_some() { needs.apart() } else { (needs.clone(), Needs::default()) }
    }

    /// Says what a run will take of what it may, and who bounds it if it is not the profile.
    pub fn say(&self, needs: &Needs) {
        if self.by != By::Profile {
            log::info!("memory: the run may take {} MiB ({})", self.bytes >> 20, self.by.words());
        }
        let (machine, gpu) = self.apart(needs);
        machine.say(self.bytes);
        if let Some(bytes) = self.gpu_bytes {
            log::info!("memory of the GPU: needs_mb={} budget_mb={} {gpu}", mib(gpu.bytes()), bytes >> 20);
        }
    }

    /// Says what was made smaller of a run that would have needed `asked`.
    pub fn say_shrunk(&self, asked: &Needs, changes: &[String]) {
        if !changes.is_empty() {
            let by = if self.gpu_is_short(asked) { By::Gpu } else { self.by };
            log::warn!("memory is short ({}): {}", by.words(), changes.join(", "));
        }
    }

    /// The refusal of a run that does not fit; `hint` says what would.
    pub fn refusal(&self, what: &str, needs: &Needs, hint: impl fmt::Display) -> Error {
        let (machine, gpu) = &self.apart(needs);
        let (needs, bytes, by) = match (self.addresses, self.gpu_bytes) {
            (_, Some(bytes)) if gpu.bytes() > bytes => (gpu, bytes, By::Gpu),
            (Some(addresses), _) if machine.bytes() <= self.bytes => {
                (machine, addresses.saturating_sub(machine.mapped_bytes), By::Addresses)
            }
            _ => (machine, self.bytes, self.by),
        };
        let told = format!("needs {} MiB ({needs}), it may have {} ({})", mib(needs.bytes()), bytes >> 20, by.words());
        Error::new(what, told).hint(hint)
    }
}

impl By {
    fn words(self) -> &'static str {
        match self {
            By::Profile => "the profile's share",
            By::ControlGroup => "the control group's limit",
            By::Available => "what is free just now",
            By::Addresses => "the limit of addresses, ulimit -v",
            By::Gpu => "what is free of the GPU's own memory",
        }
    }
}

/// MiB, rounded up: what is announced is never less than what is taken.
fn mib(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn machine(ram: u64, ram_bound: Bound, available: u64, addresses: Option<u64>) -> Machine {
        Machine {
            model: None,
            cores: 4,
            ram_bytes: ram * MIB,
            ram_bound,
            ram_available_bytes: available * MIB,
            address_bytes: addresses.map(|mib| mib * MIB),
            page_bytes: 4096,
        }
    }

    #[test]
    fn the_least_of_all_bounds_counts() {
        let cases = [
            (machine(4000, Bound::Machine, 3000, None), 1783, By::Profile),
            (machine(1000, Bound::ControlGroup, 1000, None), 900, By::ControlGroup),
            (machine(4000, Bound::Machine, 1000, None), 900, By::Available),
            (machine(4000, Bound::Machine, 3000, Some(600)), 600 - 20 - 8 + 16, By::Addresses),
            (machine(4000, Bound::Machine, 3000, Some(10)), 0, By::Addresses),
            (machine(0, Bound::Machine, 0, None), 1783, By::Profile),
        ];
        for (machine, expected, by) in cases {
            let budget = Budget::with_mapped(1783 * MIB, &machine, 4, 20 * MIB);
            assert_eq!((budget.bytes.div_ceil(MIB), budget.by), (expected, by), "{machine:?}");
        }
    }

    #[test]
    fn a_gpu_with_memory_of_its_own_has_its_own_bound() {
        let needs = Needs::program().with_computing("activations", 500 * MIB).with("prefetch", 50 * MIB);
        let one = Budget::with_mapped(300 * MIB, &machine(4000, Bound::Machine, 3000, None), 0, 0);
        assert!(!one.fits(&needs) && !one.gpu_is_short(&needs), "one memory for all");
        assert!(one.with_gpu(600 * MIB).fits(&needs));
        let small = one.with_gpu(550 * MIB);
        assert!(!small.fits(&needs) && small.gpu_is_short(&needs));
        let told = small.refusal("train", &needs, "less").to_string();
        let expected =
            "train: needs 500 MiB (activations=500), it may have 495 (what is free of the GPU's own memory)\ntry: less";
        assert_eq!(told, expected);
        let tight = Budget::with_mapped(60 * MIB, &machine(4000, Bound::Machine, 3000, None), 0, 0).with_gpu(600 * MIB);
        assert!(!tight.fits(&needs) && !tight.gpu_is_short(&needs));
        let told = tight.refusal("train", &needs, "less").to_string();
        assert!(told.starts_with("train: needs 66 MiB (program=16 prefetch=50), it may have 60 (the profile's share)"), "{told}");
    }

    #[test]
    fn mapped_files_count_where_addresses_are_limited() {
        let needs = Needs::program().with("net", 84 * MIB).with_mapped(300 * MIB);
        assert_eq!((needs.bytes(), needs.to_string().as_str()), (100 * MIB, "program=16 net=84 mapped=300"));
        let budget = |limit| Budget::with_mapped(1000 * MIB, &machine(4000, Bound::Machine, 3000, limit), 0, 16 * MIB);
        assert!(budget(None).fits(&needs) && budget(Some(400)).fits(&needs) && !budget(Some(399)).fits(&needs));
        let told = budget(Some(350)).refusal("train", &needs, "less").to_string();
        let expected =
            "train: needs 100 MiB (program=16 net=84 mapped=300), it may have 50 (the limit of addresses, ulimit -v)\ntry: less";
        assert_eq!(told, expected);
    }
}
