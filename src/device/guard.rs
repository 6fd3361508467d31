//! Judges whether a run may go on: memory it holds, memory that is left, swap, free disk. Before the kernel's killer does.

use super::memory::{Process, control_group};
use super::storage;
use super::tree::Tree;
use std::path::Path;

/// Times its budget that a run may hold before it is stopped: something is wrong with the sum, or with the run.
const OVER_BUDGET: f64 = 1.25;
/// Share of a control group's limit from which on a run is slowed.
const GROUP_SLOW: f64 = 0.93;
/// Share of it from which on a run is stopped.
const GROUP_STOP: f64 = 0.97;
/// Looks in a row that find too little before a run is stopped; the run rests meanwhile.
const PATIENCE: u32 = 20;

/// What is to be left to others, in bytes; 0 switches one off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reserves {
    /// Of memory that is available.
    pub available_bytes: u64,
    /// Of the disk that is written to.
    pub disk_bytes: u64,
}

/// What there is at one moment; what is not known is left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Memory of this process.
    pub process: Process,
    /// Memory that can be had without swapping, in bytes.
    pub available_bytes: Option<u64>,
    /// What the control group holds, and its limit, in bytes.
    pub group: Option<(u64, u64)>,
    /// Free disk in bytes.
    pub disk_bytes: Option<u64>,
}

impl Look {
    /// Looks at this machine, and at the disk of the folder `writes_to`.
    pub fn now(tree: &Tree, writes_to: Option<&Path>) -> Look {
        let group = control_group(tree);
        Look {
            process: Process::read(tree),
            available_bytes: super::memory::Memory::read(tree).available_bytes,
            group: group.and_then(|group| Some((group.used_bytes(tree)?, group.limit_bytes))),
            disk_bytes: writes_to.and_then(storage::room).map(|room| room.free_bytes),
        }
    }
}

/// What a run is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on.
    Fine,
    /// Rest until it is better.
    Slow(String),
    /// Keep what was done and end.
    Stop(String),
}

/// Remembers how long it has been bad.
#[derive(Clone, Debug)]
pub struct Guard {
    reserves: Reserves,
    budget_bytes: u64,
    n_slow: u32,
}

impl Guard {
    /// Guards a run that may hold `budget_bytes`.
    pub fn new(reserves: Reserves, budget_bytes: u64) -> Guard {
        Guard { reserves, budget_bytes, n_slow: 0 }
    }

    /// Judges one look.
    pub fn judge(&mut self, look: &Look) -> Verdict {
        let verdict = self.judge_alone(look);
        match verdict {
            Verdict::Slow(why) if self.n_slow + 1 >= PATIENCE => Verdict::Stop(why),
            Verdict::Slow(_) => {
                self.n_slow += 1;
                verdict
            }
            _ => {
                self.n_slow = 0;
                verdict
            }
        }
    }

    fn judge_alone(&self, look: &Look) -> Verdict {
        let mib = |bytes: u64| bytes >> 20;
        if let Some(free) = look.disk_bytes.filter(|free| *free < self.reserves.disk_bytes) {
            return Verdict::Stop(format!(
                "{} MiB of disk are free, {} are to stay free",
                mib(free),
                mib(self.reserves.disk_bytes)
            ));
        }
        let held = look.process.held_bytes;
        if held as f64 > self.budget_bytes as f64 * OVER_BUDGET {
            return Verdict::Stop(format!("it holds {} MiB of memory, its budget is {}", mib(held), mib(self.budget_bytes)));
        }
        if let Some((used, limit)) = look.group {
            let why = || format!("its control group holds {} of {} MiB", mib(used), mib(limit));
            if used as f64 > limit as f64 * GROUP_STOP {
                return Verdict::Stop(why());
            }
            if used as f64 > limit as f64 * GROUP_SLOW {
                return Verdict::Slow(why());
            }
        }
        let least = self.reserves.available_bytes;
        if let Some(available) = look.available_bytes.filter(|available| *available < least) {
            let why = format!("{} MiB of memory are available, {} are to stay so", mib(available), mib(least));
            // Below a quarter the killer is near.
            return if available < least / 4 { Verdict::Stop(why) } else { Verdict::Slow(why) };
        }
        // What an idle run leaves in swap harms nobody, as long as there is memory to come back to.
        let swapped = look.process.swapped_bytes;
        let is_tight = look.available_bytes.is_some_and(|available| available < 2 * least);
        if is_tight && swapped > held.max(least) {
            return Verdict::Slow(format!("{} MiB of it are swapped out, {} are in memory", mib(swapped), mib(held)));
        }
        Verdict::Fine
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn each_shortage_is_seen() {
        let reserves = Reserves { available_bytes: 128 * MIB, disk_bytes: 256 * MIB };
        let fine = Look {
            process: Process { held_bytes: 500 * MIB, swapped_bytes: 0, mapped_bytes: 900 * MIB },
            available_bytes: Some(400 * MIB),
            group: Some((600 * MIB, 1000 * MIB)),
            disk_bytes: Some(5000 * MIB),
        };
        let process = |held: u64, swapped: u64| Process { held_bytes: held * MIB, swapped_bytes: swapped * MIB, mapped_bytes: 0 };
        let slow = |why: &str| Verdict::Slow(why.to_string());
        let stop = |why: &str| Verdict::Stop(why.to_string());
        let cases = [
            (fine, Verdict::Fine),
            (Look::default(), Verdict::Fine),
            (Look { disk_bytes: Some(200 * MIB), ..fine }, stop("200 MiB of disk are free, 256 are to stay free")),
            (Look { process: process(700, 0), ..fine }, stop("it holds 700 MiB of memory, its budget is 512")),
            (Look { group: Some((940 * MIB, 1000 * MIB)), ..fine }, slow("its control group holds 940 of 1000 MiB")),
            (Look { group: Some((980 * MIB, 1000 * MIB)), ..fine }, stop("its control group holds 980 of 1000 MiB")),
            (Look { available_bytes: Some(100 * MIB), ..fine }, slow("100 MiB of memory are available, 128 are to stay so")),
            (Look { available_bytes: Some(30 * MIB), ..fine }, stop("30 MiB of memory are available, 128 are to stay so")),
            (Look { process: process(200, 300), ..fine }, Verdict::Fine),
            (
                Look { process: process(200, 300), available_bytes: Some(200 * MIB), ..fine },
                slow("300 MiB of it are swapped out, 200 are in memory"),
            ),
        ];
        for (look, expected) in cases {
            assert_eq!(Guard::new(reserves, 512 * MIB).judge(&look), expected, "{look:?}");
        }
    }

    #[test]
    fn patience_ends_and_is_renewed() {
        let mut guard = Guard::new(Reserves { available_bytes: 128 * MIB, disk_bytes: 0 }, 512 * MIB);
        let short = Look { available_bytes: Some(100 * MIB), ..Look::default() };
        (1..PATIENCE).for_each(|_| assert!(matches!(guard.judge(&short), Verdict::Slow(_))));
        assert_eq!(guard.judge(&Look::default()), Verdict::Fine);
        (1..PATIENCE).for_each(|_| assert!(matches!(guard.judge(&short), Verdict::Slow(_))));
        assert!(matches!(guard.judge(&short), Verdict::Stop(_)));
    }
}
