//! Packed rows to planes, globals and mask, each row moved by its symmetry.

use super::{CpuBuf, CpuOps};
use crate::base::{Error, Result};
use crate::compute::packed::{
    self, HEADER_BYTES, MOVE_NONE, MOVE_PASS, N_GLOBALS, N_PLANES, flag, plane, plane_words, row_bytes,
};
use crate::compute::symmetry::{N_SYMMETRIES, moved};
use crate::compute::{PackedRows, Unpacked};
use rayon::prelude::*;

pub(super) fn unpack(ops: &CpuOps, rows: PackedRows<'_>, to: Unpacked<'_, CpuBuf>) -> Result<()> {
    let (n, len) = (rows.symmetries.len(), rows.len);
    let area = len * len;
    if rows.bytes.len() != n * row_bytes(len) {
        let what = format!("{} bytes for {n} rows, expected {}", rows.bytes.len(), n * row_bytes(len));
        return Err(Error::new("packed rows", what));
    }
    for (i, (row, symmetry)) in rows.bytes.chunks_exact(row_bytes(len)).zip(rows.symmetries).enumerate() {
        check(row, len, *symmetry).map_err(|what| Error::new(format!("packed row {i}"), what))?;
    }
    let each = to.planes[..n * area * N_PLANES]
        .par_chunks_mut(area * N_PLANES)
        .zip(to.globals[..n * N_GLOBALS].par_chunks_mut(N_GLOBALS))
        .zip(to.mask[..n * area].par_chunks_mut(area).zip(&mut to.counts[..n]))
        .zip(rows.bytes.par_chunks(row_bytes(len)).zip(rows.symmetries));
    ops.each(each, 0, |(((planes, globals), (mask, count)), (row, symmetry)), _| {
        unpack_row(row, len, *symmetry, planes, globals);
        for (m, point) in mask.iter_mut().zip(planes.chunks_exact(N_PLANES)) {
            *m = point[0];
        }
        *count = f32::from(row[0]) * f32::from(row[1]);
    });
    Ok(())
}

/// What would make [`unpack_row`] read or write outside its arrays.
fn check(row: &[u8], len: usize, symmetry: u8) -> std::result::Result<(), String> {
    let (w, h) = (usize::from(row[0]), usize::from(row[1]));
    if w == 0 || h == 0 || w > len || h > len {
        return Err(format!("a board of {w}x{h} points in an array of {len}x{len}"));
    }
    if symmetry >= N_SYMMETRIES {
        return Err(format!("symmetry {symmetry}, expected 0 to 7"));
    }
    for back in 0..5 {
        let cell = move_at(row, back);
        let on_board = usize::from(cell) < len * len && usize::from(cell) % len < w && usize::from(cell) / len < h;
        if cell != MOVE_NONE && cell != MOVE_PASS && !on_board {
            return Err(format!("move {back} at cell {cell}, outside the board of {w}x{h} points"));
        }
    }
    Ok(())
}

fn move_at(row: &[u8], back: usize) -> u16 {
    u16::from_le_bytes([row[8 + 2 * back], row[9 + 2 * back]])
}

fn f32_at(row: &[u8], at: usize) -> f32 {
    f32::from_le_bytes([row[at], row[at + 1], row[at + 2], row[at + 3]])
}

/// `planes`: `[len * len, 22]`, `globals`: `[19]`. KataGo's input version 7.
fn unpack_row(row: &[u8], len: usize, symmetry: u8, planes: &mut [f32], globals: &mut [f32]) {
    let (w, h) = (usize::from(row[0]), usize::from(row[1]));
    let target = |x: usize, y: usize| {
        let (x, y) = moved(symmetry, (x, y), (w, h));
        (y * len + x) * N_PLANES
    };
    let bytes = 4 * plane_words(len);
    // little-endian words: bit i of the plane is bit i % 8 of byte i / 8
    let bit = |p: usize, cell: usize| row[HEADER_BYTES + p * bytes + cell / 8] >> (cell % 8) & 1;
    planes.fill(0.0);
    for y in 0..h {
        for x in 0..w {
            let cell = y * len + x;
            let at = target(x, y);
            let point = &mut planes[at..at + N_PLANES];
            let bit = |p: usize| bit(p, cell);
            let (own, opp) = (bit(plane::OWN), bit(plane::OPP));
            let liberties = bit(plane::LIBERTIES_LOW) | bit(plane::LIBERTIES_HIGH) << 1;
            point[0] = 1.0;
            point[1] = f32::from(own);
            point[2] = f32::from(opp);
            if liberties > 0 {
                point[2 + usize::from(liberties)] = 1.0;
            }
            point[6] = f32::from(bit(plane::KO));
            let ladder = f32::from(bit(plane::LADDER));
            point[if own | opp != 0 { 14 } else { 17 }] = ladder;
            point[15] = f32::from(bit(plane::LADDER_PREV));
            point[16] = f32::from(bit(plane::LADDER_PREV2));
            point[18] = f32::from(bit(plane::AREA_OWN));
            point[19] = f32::from(bit(plane::AREA_OPP));
        }
    }
    globals.fill(0.0);
    for back in 0..5 {
        match move_at(row, back) {
            MOVE_NONE => {}
            MOVE_PASS => globals[back] = 1.0,
            cell => planes[target(usize::from(cell) % len, usize::from(cell) / len) + 9 + back] = 1.0,
        }
    }
    rule_globals(u32::from_le_bytes([row[4], row[5], row[6], row[7]]), globals);
    globals[5] = f32_at(row, 20);
    globals[18] = f32_at(row, 24);
    let handicap = f32_at(row, 28);
    if handicap != 0.0 {
        globals[15] = 1.0;
        globals[16] = 0.5 * handicap;
    }
}

/// Globals 6 to 14 and 17 from the flags.
fn rule_globals(flags: u32, globals: &mut [f32]) {
    let has = |f: u32| if flags & f != 0 { 1.0f32 } else { 0.0 };
    if flags & (flag::KO_POSITIONAL | flag::KO_SITUATIONAL) != 0 {
        globals[6] = 1.0;
        globals[7] = if flags & flag::KO_POSITIONAL != 0 { 0.5 } else { -0.5 };
    }
    globals[8] = has(flag::SUICIDE);
    globals[9] = has(flag::TERRITORY);
    globals[10] = has(flag::TAX_SEKI_OR_ALL);
    globals[11] = has(flag::TAX_ALL);
    globals[12] = has(flag::PHASE_CLEANUP);
    globals[13] = has(flag::PHASE_CLEANUP_2);
    globals[14] = has(flag::PASS_ENDS_PHASE);
    globals[17] = has(flag::BUTTON);
}

const _: () = assert!(packed::N_PACKED_PLANES == 10);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::Ops;

    fn row(len: usize, w: u8, h: u8) -> Vec<u8> {
        let mut row = vec![0u8; row_bytes(len)];
        (row[0], row[1]) = (w, h);
        row[8..18].fill(0xff);
        row
    }

    fn set(row: &mut [u8], len: usize, p: usize, cell: usize) {
        row[HEADER_BYTES + p * 4 * plane_words(len) + cell / 8] |= 1 << (cell % 8);
    }

    fn run(row: &[u8], len: usize, symmetry: u8) -> Result<(Vec<f32>, Vec<f32>, Vec<f32>, Vec<f32>)> {
        let ops = CpuOps::new(1).unwrap();
        let (mut planes, mut globals) = (vec![9.0; len * len * N_PLANES], vec![9.0; N_GLOBALS]);
        let (mut mask, mut counts) = (vec![9.0; len * len], vec![9.0]);
        let to = Unpacked { planes: &mut planes, globals: &mut globals, mask: &mut mask, counts: &mut counts };
        ops.unpack(PackedRows { len, bytes: row, symmetries: &[symmetry] }, to)?;
        Ok((planes, globals, mask, counts))
    }

    #[test]
    fn planes_globals_and_symmetries() {
        let len = 5;
        let mut row = row(len, 4, 3);
        set(&mut row, len, plane::OWN, 1);
        set(&mut row, len, plane::LIBERTIES_HIGH, 1);
        set(&mut row, len, plane::LADDER, 1);
        set(&mut row, len, plane::LADDER, 2);
        row[8..10].copy_from_slice(&1u16.to_le_bytes());
        row[10..12].copy_from_slice(&MOVE_PASS.to_le_bytes());
        row[4..8].copy_from_slice(&(flag::KO_SITUATIONAL | flag::BUTTON).to_le_bytes());
        row[28..32].copy_from_slice(&(-3.0f32).to_le_bytes());
        let (planes, globals, mask, counts) = run(&row, len, 0).unwrap();
        let ones: Vec<usize> = (0..N_PLANES).filter(|p| planes[N_PLANES + p] == 1.0).collect();
        assert_eq!(ones, [0, 1, 4, 9, 14]);
        assert_eq!(planes[2 * N_PLANES + 17], 1.0);
        assert_eq!((counts[0], mask.iter().sum::<f32>(), mask[4]), (12.0, 12.0, 0.0));
        let mut expected = [0.0f32; N_GLOBALS];
        for (i, g) in [(1, 1.0), (6, 1.0), (7, -0.5), (15, 1.0), (16, -1.5), (17, 1.0)] {
            expected[i] = g;
        }
        assert_eq!(globals, expected);
        for s in 0..N_SYMMETRIES {
            let (turned, _, _, _) = run(&row, len, s).unwrap();
            for y in 0..3 {
                for x in 0..4 {
                    let (mx, my) = moved(s, (x, y), (4, 3));
                    let (from, to) = ((y * len + x) * N_PLANES, (my * len + mx) * N_PLANES);
                    assert_eq!(planes[from..from + N_PLANES], turned[to..to + N_PLANES], "symmetry {s} ({x}, {y})");
                }
            }
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
