//! The packed input row: what a shard stores and a search sends, and what every backend unpacks.
//!
//! One row is a header of 32 bytes and ten bit planes over a square array of `len * len` cells:
//!
//! | byte | content |
//! |---|---|
//! | 0, 1 | board columns `w`, rows `h` (u8); the board sits in the top left corner of the array |
//! | 2..4 | zero |
//! | 4..8 | flags (u32), see [`flag`] |
//! | 8..18 | the last five moves, latest first (u16): cell index `y * len + x`, [`MOVE_NONE`], or [`MOVE_PASS`] |
//! | 18..20 | zero |
//! | 20..24 | global 5, komi of the player to move / 20 (f32) |
//! | 24..28 | global 18, komi parity wave (f32) |
//! | 28..32 | playout-doubling handicap (f32), 0 when not in use: globals 15 and 16 |
//! | 32.. | ten planes of [`plane_words`]`(len)` words (u32), see [`plane`]; cell `i` is bit `i % 32` of word `i / 32` |
//!
//! All numbers are little-endian. A 19x19 row has 512 bytes, a 9x9 row 152.
//! KataGo's 22 planes and 19 numbers (input version 7) follow from it without loss.

use super::PackedRows;
use crate::base::limits::{BOARD_LEN_MAX, BOARD_LEN_MIN};
use crate::base::symmetry::Symmetry;
use crate::base::{Error, Result};

/// Planes of KataGo's input version 7.
pub const N_PLANES: usize = 22;
/// Numbers of KataGo's input version 7.
pub const N_GLOBALS: usize = 19;
/// Bytes before the planes.
pub const HEADER_BYTES: usize = 32;
/// Bit planes of a packed row.
pub const N_PACKED_PLANES: usize = 10;
/// No move that far back, or history hidden.
pub const MOVE_NONE: u16 = 0xffff;
/// The move was a pass.
pub const MOVE_PASS: u16 = 0xfffe;

/// Bits of the flags word.
pub mod flag {
    /// Positional superko.
    pub const KO_POSITIONAL: u32 = 1 << 0;
    /// Situational superko.
    pub const KO_SITUATIONAL: u32 = 1 << 1;
    /// Multi-stone suicide is legal (global 8).
    pub const SUICIDE: u32 = 1 << 2;
    /// Territory scoring (global 9).
    pub const TERRITORY: u32 = 1 << 3;
    /// Tax on groups in seki or on all (global 10).
    pub const TAX_SEKI_OR_ALL: u32 = 1 << 4;
    /// Tax on all groups (global 11).
    pub const TAX_ALL: u32 = 1 << 5;
    /// Clean-up phase 1 or 2 (global 12).
    pub const PHASE_CLEANUP: u32 = 1 << 6;
    /// Clean-up phase 2 (global 13).
    pub const PHASE_CLEANUP_2: u32 = 1 << 7;
    /// A pass now would end the phase (global 14).
    pub const PASS_ENDS_PHASE: u32 = 1 << 8;
    /// The button is on the table (global 17).
    pub const BUTTON: u32 = 1 << 9;
}

/// Bit planes in their order.
pub mod plane {
    /// Stones of the player to move.
    pub const OWN: usize = 0;
    /// Stones of the opponent.
    pub const OPP: usize = 1;
    /// Low bit of the liberty class of a stone's chain: 0 for four and more, else the count 1, 2 or 3.
    pub const LIBERTIES_LOW: usize = 2;
    /// High bit of the liberty class.
    pub const LIBERTIES_HIGH: usize = 3;
    /// Points forbidden by ko or superko (plane 6).
    pub const KO: usize = 4;
    /// On a stone: its chain is laddered (plane 14). On an empty point: a working ladder move (plane 17).
    pub const LADDER: usize = 5;
    /// Laddered one move ago (plane 15).
    pub const LADDER_PREV: usize = 6;
    /// Laddered two moves ago (plane 16).
    pub const LADDER_PREV2: usize = 7;
    /// Area of the player to move (plane 18).
    pub const AREA_OWN: usize = 8;
    /// Area of the opponent (plane 19).
    pub const AREA_OPP: usize = 9;
}

/// Words of one bit plane over `len * len` cells.
pub const fn plane_words(len: usize) -> usize {
    (len * len).div_ceil(32)
}

/// Bytes of a packed row for an array of `len * len` cells.
pub const fn row_bytes(len: usize) -> usize {
    HEADER_BYTES + N_PACKED_PLANES * plane_words(len) * 4
}

const ROW_BYTES_MAX: usize = row_bytes(BOARD_LEN_MAX);
const _: () = assert!(ROW_BYTES_MAX == 512);

/// One packed row.
#[derive(Clone)]
pub struct PackedRow {
    len: u8,
    bytes: [u8; ROW_BYTES_MAX],
}

impl PackedRow {
    /// An empty row for an array of `len * len` cells, 2 to 19.
    pub fn new(len: usize) -> PackedRow {
        assert!((BOARD_LEN_MIN..=BOARD_LEN_MAX).contains(&len));
        PackedRow { len: len as u8, bytes: [0; ROW_BYTES_MAX] }
    }

    /// Side of the array in cells.
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Never: an array has at least four cells.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The row as it is stored: [`row_bytes`]`(len)` bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..row_bytes(self.len())]
    }

    /// Makes all of it zero.
    pub fn clear(&mut self) {
        self.bytes.fill(0);
    }

    /// States the board inside the array.
    pub fn set_size(&mut self, w: usize, h: usize) {
        (self.bytes[0], self.bytes[1]) = (w as u8, h as u8);
    }

    /// States the flags word.
    pub fn set_flags(&mut self, flags: u32) {
        self.bytes[4..8].copy_from_slice(&flags.to_le_bytes());
    }

    /// States the move `back + 1` moves ago: a cell, [`MOVE_PASS`] or [`MOVE_NONE`].
    pub fn set_move(&mut self, back: usize, mv: u16) {
        self.bytes[8 + 2 * back..10 + 2 * back].copy_from_slice(&mv.to_le_bytes());
    }

    /// States the playout-doubling handicap of the player to move alone.
    pub fn set_doubling(&mut self, doubling: f32) {
        self.bytes[28..32].copy_from_slice(&doubling.to_le_bytes());
    }

    /// States the numbers: globals 5 and 18, and the playout-doubling handicap.
    pub fn set_numbers(&mut self, komi: f32, parity_wave: f32, doubling: f32) {
        for (at, number) in [(20, komi), (24, parity_wave), (28, doubling)] {
            self.bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
        }
    }

    /// Writes one of the [`plane`]s from its first cell on: `runs` of `n_bits` cells each, at most 64, the first lowest.
    /// Cells after the last run keep what they hold, but for those of its word.
    pub fn set_plane(&mut self, plane: usize, n_bits: usize, runs: impl Iterator<Item = u64>) {
        let plane_bytes = plane_words(self.len()) * 4;
        let bytes = &mut self.bytes[HEADER_BYTES + plane * plane_bytes..][..plane_bytes];
        // Bits that are not written yet, the lowest `n_held` of `held`, fewer than 64.
        let (mut held, mut n_held, mut at) = (0u64, 0, 0);
        for run in runs {
            held |= run << n_held;
            n_held += n_bits;
            if n_held >= 64 {
                if at + 8 > plane_bytes {
                    break;
                }
                bytes[at..at + 8].copy_from_slice(&held.to_le_bytes());
                at += 8;
                n_held -= 64;
                // In two steps, since a shift by 64 is none.
                held = run >> 1 >> (n_bits - n_held - 1);
            }
        }
        let n_last = (plane_bytes - at).min(n_held.min(64).div_ceil(32) * 4);
        bytes[at..at + n_last].copy_from_slice(&held.to_le_bytes()[..n_last]);
    }

    /// Sets the bit of a cell in one of the [`plane`]s.
    pub fn set_bit(&mut self, plane: usize, cell: usize) {
        self.bytes[HEADER_BYTES + plane * plane_words(self.len()) * 4 + cell / 8] |= 1 << (cell % 8);
    }
}

/// Board columns and rows of a row.
pub fn board_size(row: &[u8]) -> (usize, usize) {
    (row[0] as usize, row[1] as usize)
}

/// Unpacks one row, moved by a symmetry (KataGo's number), into `planes` `[len, len, 22]` (plane 0 is the
/// mask) and `globals` `[19]`. All of both is written.
pub fn unpack(row: &[u8], len: usize, symmetry: u8, planes: &mut [f32], globals: &mut [f32]) {
    assert_eq!(row.len(), row_bytes(len));
    assert_eq!(planes.len(), len * len * N_PLANES);
    assert_eq!(globals.len(), N_GLOBALS);
    planes.fill(0.0);
    let (w, h) = board_size(row);
    assert!(w <= len && h <= len, "a row's board fits its array");
    let symmetry = Symmetry::new(symmetry);
    let cell_of = |x: usize, y: usize| {
        let (x, y) = symmetry.apply((x, y), (w, h));
        (y * len + x) * N_PLANES
    };
    for y in 0..h {
        for x in 0..w {
            let at = cell_of(x, y);
            unpack_cell(row, len, y * len + x, &mut planes[at..at + N_PLANES]);
        }
    }
    unpack_globals(row, globals);
    for back in 0..5 {
        match u16_at(row, 8 + 2 * back) {
            MOVE_NONE => {}
            MOVE_PASS => globals[back] = 1.0,
            cell => planes[cell_of(cell as usize % len, cell as usize / len) + 9 + back] = 1.0,
        }
    }
}

/// All planes of one cell but the moves. `out`: `[22]`, zero.
fn unpack_cell(row: &[u8], len: usize, cell: usize, out: &mut [f32]) {
    let plane_bytes = plane_words(len) * 4;
    let bit = |p: usize| row[HEADER_BYTES + p * plane_bytes + cell / 8] >> (cell % 8) & 1;
    let as_f32 = |p: usize| f32::from(bit(p));
    let (own, opp) = (bit(plane::OWN), bit(plane::OPP));
    out[0] = 1.0;
    out[1] = f32::from(own);
    out[2] = f32::from(opp);
    if own | opp == 1 {
        let class = bit(plane::LIBERTIES_LOW) + 2 * bit(plane::LIBERTIES_HIGH);
        if class > 0 {
            out[2 + class as usize] = 1.0;
        }
        out[14] = as_f32(plane::LADDER);
    } else {
        out[6] = as_f32(plane::KO);
        out[17] = as_f32(plane::LADDER);
    }
    out[15] = as_f32(plane::LADDER_PREV);
    out[16] = as_f32(plane::LADDER_PREV2);
    out[18] = as_f32(plane::AREA_OWN);
    out[19] = as_f32(plane::AREA_OPP);
}

fn unpack_globals(row: &[u8], globals: &mut [f32]) {
    let flags = u32::from_le_bytes([row[4], row[5], row[6], row[7]]);
    let on = |bit: u32| f32::from(u8::from(flags & bit != 0));
    let number = |at: usize| f32::from_le_bytes([row[at], row[at + 1], row[at + 2], row[at + 3]]);
    globals.fill(0.0);
    globals[5] = number(20);
    globals[6] = on(flag::KO_POSITIONAL | flag::KO_SITUATIONAL);
    globals[7] = 0.5 * (on(flag::KO_POSITIONAL) - on(flag::KO_SITUATIONAL));
    globals[8] = on(flag::SUICIDE);
    globals[9] = on(flag::TERRITORY);
    globals[10] = on(flag::TAX_SEKI_OR_ALL);
    globals[11] = on(flag::TAX_ALL);
    globals[12] = on(flag::PHASE_CLEANUP);
    globals[13] = on(flag::PHASE_CLEANUP_2);
    globals[14] = on(flag::PASS_ENDS_PHASE);
    let doubling = number(28);
    globals[15] = f32::from(u8::from(doubling != 0.0));
    globals[16] = 0.5 * doubling;
    globals[17] = on(flag::BUTTON);
    globals[18] = number(24);
}

fn u16_at(row: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([row[at], row[at + 1]])
}

impl PackedRows<'_> {
    /// Whether the rows are whole ones that unpack within their boards.
    pub fn check(&self) -> Result<()> {
        let (n, len) = (self.symmetries.len(), self.len);
        if self.bytes.len() != n * row_bytes(len) {
            let what = format!("{} bytes for {n} rows, expected {}", self.bytes.len(), n * row_bytes(len));
            return Err(Error::new("packed rows", what));
        }
        for (i, (row, symmetry)) in self.bytes.chunks_exact(row_bytes(len)).zip(self.symmetries).enumerate() {
            check(row, len, *symmetry).map_err(|what| Error::new(format!("packed row {i}"), what))?;
        }
        Ok(())
    }
}

/// What would make [`unpack`] write outside the board.
fn check(row: &[u8], len: usize, symmetry: u8) -> std::result::Result<(), String> {
    let (w, h) = board_size(row);
    if w == 0 || h == 0 || w > len || h > len {
        return Err(format!("a board of {w}x{h} points in an array of {len}x{len}"));
    }
    if usize::from(symmetry) >= Symmetry::COUNT {
        return Err(format!("symmetry {symmetry}, expected 0 to 7"));
    }
    for back in 0..5 {
        let cell = u16_at(row, 8 + 2 * back);
        let on_board = usize::from(cell) < len * len && usize::from(cell) % len < w && usize::from(cell) / len < h;
        if cell != MOVE_NONE && cell != MOVE_PASS && !on_board {
            return Err(format!("move {back} at cell {cell}, outside the board of {w}x{h} points"));
        }
    }
    Ok(())
}
