//! What the machine can do at most: multiply-and-adds that stay in registers, and bytes read from memory.

use super::simd::{Kernel, Simd};
use super::team::Chunks;
use super::{CpuOps, RawMut};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Sums that a thread keeps going at once: more than latency times units (4 x 2) on any core this was tried on, and
/// few enough for the sixteen registers of AVX2.
const SUMS: usize = 12;
/// Rounds between two looks at the clock.
const ROUNDS: usize = 20_000;
/// Bytes that are read: several times the largest cache of the boards and desktops this is built for.
const READ_BYTES: usize = 256 << 20;
/// Elements of a chunk of them: long enough that the hand-over does not show.
const READ_CHUNK: usize = 1 << 20;
/// Repeats, of which the best counts: the ceiling is what can be reached.
const REPEATS: usize = 5;

/// Independent multiply-and-adds.
struct Spin {
    rounds: usize,
    to: RawMut,
}

impl Kernel for Spin {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (a, b) = (s.splat(black_box(0.999_9)), s.splat(black_box(1e-4)));
        let mut sums = [b; SUMS];
        for _ in 0..self.rounds {
            for sum in &mut sums {
                *sum = s.fma(*sum, a, b);
            }
        }
        for sum in sums {
            // SAFETY: `to` has room for one vector of the widest kind.
            unsafe { s.store(self.to.add(0), sum) };
        }
    }
}

/// The sum of numbers: a read of all of them.
struct Sum<'a> {
    x: &'a [f32],
    to: RawMut,
}

impl Kernel for Sum<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let mut sums = [s.splat(0.0); 8];
        for part in self.x.chunks_exact(8 * S::WIDTH) {
            for (i, sum) in sums.iter_mut().enumerate() {
                // SAFETY: `part` holds eight vectors.
                *sum = s.add(*sum, unsafe { s.load(part.as_ptr().add(i * S::WIDTH)) });
            }
        }
        for sum in sums {
            // SAFETY: `to` has room for one vector of the widest kind.
            unsafe { s.store(self.to.add(0), sum) };
        }
    }
}

impl CpuOps {
    /// Floating-point operations a second of multiply-and-adds on all threads at once; takes about a quarter of a second.
    pub fn peak_flops(&self) -> f64 {
        let flops = (2 * SUMS * self.isa.width() * ROUNDS * self.threads()) as f64;
        best(Duration::from_millis(50), || {
            self.team.run(self.threads(), |_, _| {
                let mut to = [0.0f32; super::simd::WIDTH_MAX];
                self.isa.run(Spin { rounds: ROUNDS, to: RawMut(to.as_mut_ptr()) });
                black_box(to);
            });
        })
        .map_or(0.0, |seconds| flops / seconds)
    }

    /// Bytes a second read from memory by all threads at once. Takes 256 MiB and about half a second; 0 without that memory.
    pub fn peak_read_bytes(&self) -> f64 {
        let mut data: Vec<f32> = Vec::new();
        if data.try_reserve_exact(READ_BYTES / 4).is_err() {
            return 0.0;
        }
        data.resize(READ_BYTES / 4, 1.0);
        best(Duration::from_millis(100), || {
            self.team.each(Chunks(&data, READ_CHUNK), 0, |x, _| {
                let mut to = [0.0f32; super::simd::WIDTH_MAX];
                self.isa.run(Sum { x, to: RawMut(to.as_mut_ptr()) });
                black_box(to);
            });
        })
        .map_or(0.0, |seconds| READ_BYTES as f64 / seconds)
    }
}

/// Seconds of one call, the best of several windows.
fn best(window: Duration, work: impl Fn()) -> Option<f64> {
    let one = || {
        let (started, mut calls) = (Instant::now(), 0u32);
        while started.elapsed() < window {
            work();
            calls += 1;
        }
        started.elapsed().as_secs_f64() / f64::from(calls.max(1))
    };
    (0..REPEATS).map(|_| one()).min_by(f64::total_cmp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_does_something() {
        let ops = CpuOps::new(1).unwrap();
        assert!(ops.peak_flops() > 1e6);
        assert!(ops.peak_read_bytes() > 1e6);
    }
}
