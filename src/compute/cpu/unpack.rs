//! Packed rows to planes, globals and mask, each row moved by its symmetry.

use super::team::{Chunks, ChunksMut};
use super::{CpuBuf, CpuOps};
use crate::base::Result;
use crate::compute::packed::{self, N_GLOBALS, N_PLANES, row_bytes};
use crate::compute::{PackedRows, Unpacked};

pub(super) fn unpack(ops: &CpuOps, rows: PackedRows<'_>, to: Unpacked<'_, CpuBuf>) -> Result<()> {
    let (n, len) = (rows.symmetries.len(), rows.len);
    let area = len * len;
    rows.check()?;
    let each = (
        ChunksMut::new(&mut to.planes[..n * area * N_PLANES], area * N_PLANES),
        ChunksMut::new(&mut to.globals[..n * N_GLOBALS], N_GLOBALS),
        ChunksMut::new(&mut to.mask[..n * area], area),
        ChunksMut::new(&mut to.counts[..n], 1),
        Chunks(rows.bytes, row_bytes(len)),
        Chunks(rows.symmetries, 1),
    );
    ops.team.each(each, 0, |(planes, globals, mask, count, row, symmetry), _| {
        packed::unpack(row, len, symmetry[0], planes, globals);
        for (m, point) in mask.iter_mut().zip(planes.chunks_exact(N_PLANES)) {
            *m = point[0];
        }
        count[0] = f32::from(row[0]) * f32::from(row[1]);
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::Ops;
    use crate::compute::cpu::buf::buf;

    fn row(len: usize, w: u8, h: u8) -> Vec<u8> {
        let mut row = vec![0u8; row_bytes(len)];
        (row[0], row[1]) = (w, h);
        row[8..18].fill(0xff);
        row
    }

    /// Mask and count.
    fn run(row: &[u8], len: usize, symmetry: u8) -> Result<(CpuBuf, f32)> {
        let ops = CpuOps::new(1).unwrap();
        let (mut planes, mut globals) = (buf![9.0; len * len * N_PLANES], buf![9.0; N_GLOBALS]);
        let (mut mask, mut counts) = (buf![9.0; len * len], buf![9.0]);
        let to = Unpacked { planes: &mut planes, globals: &mut globals, mask: &mut mask, counts: &mut counts };
        ops.unpack(PackedRows { len, bytes: row, symmetries: &[symmetry] }, to)?;
        Ok((mask, counts[0]))
    }

    #[test]
    fn the_mask_is_the_moved_board() {
        for (symmetry, on, off) in [(0, 3, 15), (7, 15, 3)] {
            let (mask, count) = run(&row(5, 4, 3), 5, symmetry).unwrap();
            assert_eq!((count, mask.iter().sum::<f32>(), mask[on], mask[off]), (12.0, 12.0, 1.0, 0.0));
        }
    }

    #[test]
    fn malformed_rows_are_refused() {
        let mut bad = row(5, 6, 3);
        assert!(run(&bad, 5, 0).unwrap_err().to_string().contains("6x3"));
        bad = row(5, 4, 3);
        assert!(run(&bad, 5, 8).unwrap_err().to_string().contains("symmetry 8"));
        bad[8..10].copy_from_slice(&4u16.to_le_bytes());
        assert!(run(&bad, 5, 0).unwrap_err().to_string().contains("cell 4"));
        assert!(run(&bad[1..], 5, 0).is_err());
    }
}
