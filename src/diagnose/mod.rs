//! Measurements that a person asks for: how fast this machine computes, and what bounds it.
//!
//! Front door: [`compute::Case`] for whole steps and evaluations, [`ops::table`] for single operations. Both say what share
//! of the machine's own ceilings ([`Ceilings`], measured in the same run) they reach. [`search::SearchBench`] searches with a net.

pub mod compute;
pub mod doctor;
pub mod gpu;
pub mod ops;
pub mod search;

use crate::compute::cpu::CpuOps;
use serde::Serialize;
use std::time::{Duration, Instant};

/// What this machine can do at most, measured on the threads that are used.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Ceilings {
    /// Floating-point operations a second of multiply-and-adds that never leave the registers.
    pub flops: f64,
    /// Bytes a second read from memory.
    pub read_bytes: f64,
}

impl Ceilings {
    /// Measures them, in about a second.
    pub fn measure(ops: &CpuOps) -> Ceilings {
        Ceilings { flops: ops.peak_flops(), read_bytes: ops.peak_read_bytes() }
    }

    /// Seconds that work takes at least: what its operations need, or what its bytes need if they come from memory.
    pub fn floor_s(&self, flops: f64, bytes: f64) -> f64 {
        (flops / self.flops).max(bytes / self.read_bytes)
    }
}

/// Calls `work` for about `window`, after one call to warm up, and returns the seconds of one call. `wait` lasts until the calls so far
/// are done: often enough that a device's queue stays short, rarely enough that it does not run dry.
fn seconds_per_call(window: Duration, work: &mut dyn FnMut(), wait: &mut dyn FnMut()) -> f64 {
    work();
    wait();
    let (started, mut calls, mut together) = (Instant::now(), 0u32, 1u32);
    loop {
        (0..together).for_each(|_| work());
        wait();
        calls += together;
        let spent = started.elapsed();
        if spent >= window {
            return spent.as_secs_f64() / f64::from(calls);
        }
        if spent < window / 8 {
            together *= 2;
        }
    }
}
