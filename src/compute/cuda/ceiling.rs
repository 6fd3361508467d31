//! What a device can do at most: products that stay in registers, and bytes copied in its memory.

use super::CudaOps;
use super::compile::Source;
use super::kernels::{load, source};
use crate::base::Result;
use crate::device::cuda::{Buffer, Event, Launch, Stream};

/// Threads of a block, and blocks a multiprocessor: enough to keep every unit busy.
const THREADS: u32 = 256;
const BLOCKS: u32 = 8;
/// Rounds of a launch at first, and at the most: doubled until a launch takes long enough to be measured.
const ROUNDS_MIN: u32 = 64;
const ROUNDS_MAX: u32 = 1 << 20;
/// Seconds of a launch that is long enough.
const LONG_S: f64 = 5e-3;
/// Operations of a thread and round in f32, and of a warp and round in f16 with tensor cores and without: see ceiling.cu.
const F32_OPS: f64 = 16.0;
const TENSOR_OPS: f64 = 8.0 * 4096.0;
const PAIR_OPS: f64 = 8.0 * 128.0;
/// Bytes that are copied: more than any cache, and a part of the smallest board's memory.
const COPY_BYTES: usize = 128 << 20;
const COPIES: usize = 4;
/// Repeats, of which the best counts.
const REPEATS: usize = 5;

/// The ceilings of a device.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct DeviceCeilings {
    /// Operations a second of f32 products.
    pub f32_flops: f64,
    /// Operations a second of f16 products, on tensor cores where there are some.
    pub f16_flops: f64,
    /// Bytes a second that a copy in the device's memory reads and writes, counted both.
    pub copy_bytes: f64,
}

impl CudaOps {
    /// Measures the ceilings, in about a second.
    pub fn ceilings(&self) -> Result<DeviceCeilings> {
        let context = self.context();
        let (stream, from, to) = (Stream::new(context)?, Event::new(context)?, Event::new(context)?);
        let module = load(context, &source!("ceiling"))?;
        let out = Buffer::new(context, THREADS as usize * size_of::<f32>())?;
        let facts = context.facts();
        let blocks = BLOCKS * facts.multiprocessors.max(1);
        let timed = |work: &dyn Fn() -> Result<()>| -> Result<f64> {
            let mut best = f64::INFINITY;
            for _ in 0..REPEATS {
                stream.bind()?;
                from.record(&stream)?;
                work()?;
                to.record(&stream)?;
                stream.wait()?;
                best = best.min(to.seconds_since(&from)?);
            }
            Ok(best)
        };
        let flops = |name: &str, ops: f64| -> Result<f64> {
            let kernel = module.function(name)?;
            let mut rounds = ROUNDS_MIN;
            loop {
                let launch = Launch { grid: [blocks, 1, 1], block: [THREADS, 1, 1], shared_bytes: 0 };
                let numbers = [0.5f32, 0.25].map(|v| u64::from(v.to_bits()));
                let args = [out.address(), u64::from(rounds), numbers[0], numbers[1]];
                // SAFETY: the arguments are the kernel's, which writes at most a float a thread of a block.
                let seconds = timed(&|| unsafe { kernel.launch(&stream, launch, &args) })?;
                if seconds >= LONG_S || rounds >= ROUNDS_MAX {
                    return Ok(f64::from(rounds) * f64::from(blocks) * ops / seconds);
                }
                rounds *= 2;
            }
        };
        let warps = f64::from(THREADS) / 32.0;
        let warp_ops = if facts.capability.0 >= 7 { TENSOR_OPS } else { PAIR_OPS };
        let (f32_flops, f16_flops) =
            (flops("ceiling_f32", f64::from(THREADS) * F32_OPS)?, flops("ceiling_f16", warps * warp_ops)?);
        let [source, target] = [Buffer::new(context, COPY_BYTES)?, Buffer::new(context, COPY_BYTES)?];
        // SAFETY: both buffers have that many bytes and live until the wait.
        let copy = || (0..COPIES).try_for_each(|_| unsafe { stream.copy(source.address(), target.address(), COPY_BYTES) });
        let seconds = timed(&copy)?;
        Ok(DeviceCeilings { f32_flops, f16_flops, copy_bytes: (2 * COPIES * COPY_BYTES) as f64 / seconds })
    }
}
