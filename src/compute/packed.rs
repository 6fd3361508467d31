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
