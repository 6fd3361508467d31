//! Packed rows to planes, globals and mask.

use super::kernels::Kernel;
use super::queue::Queue;
use super::{CudaBuf, int};
use crate::base::Result;
use crate::compute::packed::{N_GLOBALS, N_PLANES, row_bytes};
use crate::compute::{PackedRows, Unpacked};
use crate::device::cuda::Launch;

/// Threads a board.
const THREADS: u32 = 128;

/// The rows have passed [`PackedRows::check`].
pub(super) fn unpack(queue: &mut Queue, rows: PackedRows<'_>, to: Unpacked<'_, CudaBuf>) -> Result<()> {
    let (n, len) = (rows.symmetries.len(), rows.len);
    let cells = n * len * len;
    let (planes, globals) = (to.planes.first(cells * N_PLANES), to.globals.first(n * N_GLOBALS));
    let (mask, counts) = (to.mask.first(cells), to.counts.first(n));
    let [bytes, symmetries] = queue.stage([rows.bytes, rows.symmetries])?;
    let args = [planes, globals, mask, counts, bytes, symmetries, int(len), int(row_bytes(len))];
    queue.launch(Kernel::UNPACK, Launch { grid: [n as u32, 1, 1], block: [THREADS, 1, 1], shared_bytes: 0 }, &args);
    Ok(())
}
