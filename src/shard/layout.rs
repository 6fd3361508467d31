//! The bytes of a shard file. All numbers are little-endian.
//!
//! | part | bytes | content |
//! |---|---|---|
//! | header | 128 | magic, version, len, stride, records per block, counts, checksums of the tables, its own checksum |
//! | data | `n_records * stride` | records in blocks of about 256 KiB, a whole number of records each |
//! | block table | 4 a block | CRC32C of each block |
//! | game table | 32 a game | first record (u64), records (u32), w, h (u8), draw + 1 or 0 (u16), hash (16 bytes) |
//!
//! A record is a packed input row ([`crate::compute::packed`]), a target header of 32 bytes, and two bit planes:
//! points owned at the end by the player to move, and by the opponent.
//!
//! | byte of the target header | content |
//! |---|---|
//! | 0..4 | game (u32): row of the game table |
//! | 4..6 | ply (u16): moves played before this position |
//! | 6..8 | policy (u16): the move played, `y * len + x` or `len * len` for a pass |
//! | 8..10 | flags (u16), see [`known`] |
//! | 10 | value (u8): 0 win, 1 loss, 2 draw, 3 no result, for the player to move |
//! | 11 | player to move (u8): 0 Black, 1 White |
//! | 12..16 | score (f32): points of the player to move minus the opponent's, komi included |
//! | 16..20 | weight (f32): 1 is one ordinary position |
//! | 20..22 | reply (u16): the move after the policy move, as `policy`, or 0xffff |
//! | 22..24 | plies left (u16): moves from here to the end of the game |
//! | 24..32 | zero |

use crate::base::limits::{BOARD_LEN_MAX, BOARD_LEN_MIN, GAME_MOVES_MAX};
use crate::base::{Error, Result};
use crate::compute::packed::{plane_words, row_bytes};
use crate::go::Size;
use std::fmt;
use std::path::Path;

/// First bytes of a shard file.
pub const MAGIC: [u8; 8] = *b"EZSHARD\n";
/// Version of the layout this program writes and reads.
pub const VERSION: u32 = 1;
/// Bytes before the first record.
pub const HEADER_BYTES: usize = 128;
/// Bytes of the target header of a record.
pub const TARGET_BYTES: usize = 32;
/// Bytes of a row of the game table.
pub const GAME_BYTES: usize = 32;
/// Upper bound of a block: small enough to check on first touch, large enough that the table stays tiny.
pub const BLOCK_BYTES_MAX: usize = 256 << 10;
/// Games are split by a number below this.
pub const DRAWS: u16 = 1000;
/// No reply: the game ended with the policy move.
pub const REPLY_NONE: u16 = 0xffff;

/// Bits of a record's flags: which targets the record of the game tells.
pub mod known {
    /// The move played.
    pub const POLICY: u16 = 1 << 0;
    /// Who won.
    pub const VALUE: u16 = 1 << 1;
    /// By how many points.
    pub const SCORE: u16 = 1 << 2;
    /// Who owned each point at the end.
    pub const OWNERSHIP: u16 = 1 << 3;
    /// All bits in use.
    pub const ALL: u16 = POLICY | VALUE | SCORE | OWNERSHIP;
}

/// Bytes from one record to the next in an array of `len * len` cells.
pub const fn stride(len: usize) -> usize {
    row_bytes(len) + TARGET_BYTES + 2 * plane_words(len) * 4
}

/// Records of a full block.
pub const fn records_per_block(len: usize) -> usize {
    BLOCK_BYTES_MAX / stride(len)
}

const _: () = assert!(stride(19) == 640);
const _: () = assert!(stride(BOARD_LEN_MAX) <= BLOCK_BYTES_MAX);
const _: () = assert!(GAME_MOVES_MAX < u16::MAX as usize);

/// Identity of a game's moves, the same for a turned or mirrored copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GameHash(pub [u8; 16]);

impl fmt::Display for GameHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A row of the game table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GameEntry {
    /// Index of its first record.
    pub first_record: u64,
    /// Its records, at least one.
    pub n_records: u32,
    /// Its board.
    pub size: Size,
    /// Its identity.
    pub hash: GameHash,
    /// What decides its side of the split ([`super::Split`]), below [`DRAWS`], where that is not its own identity: a line
    /// beside the main line of a game goes with that one.
    pub draw: Option<u16>,
}

impl GameEntry {
    pub(super) fn to_bytes(self) -> [u8; GAME_BYTES] {
        let mut out = [0; GAME_BYTES];
        out[0..8].copy_from_slice(&self.first_record.to_le_bytes());
        out[8..12].copy_from_slice(&self.n_records.to_le_bytes());
        out[12] = self.size.w() as u8;
        out[13] = self.size.h() as u8;
        out[14..16].copy_from_slice(&self.draw.map_or(0, |draw| draw + 1).to_le_bytes());
        out[16..32].copy_from_slice(&self.hash.0);
        out
    }

    /// `None` when the board is none of ours or the draw is none.
    pub(super) fn from_bytes(bytes: &[u8; GAME_BYTES]) -> Option<GameEntry> {
        let mut hash = [0; 16];
        hash.copy_from_slice(&bytes[16..32]);
        let size = Size::new(bytes[12].into(), bytes[13].into())?;
        let draw = u16_at(bytes, 14);
        (draw <= DRAWS).then_some(GameEntry {
            first_record: u64_at(bytes, 0),
            n_records: u32_at(bytes, 8),
            size,
            hash: GameHash(hash),
            draw: draw.checked_sub(1),
        })
    }
}

/// What a shard file's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Side of the square array that holds the boards.
    pub len: usize,
    /// Positions.
    pub n_records: u64,
    /// Games.
    pub n_games: u64,
    /// CRC32C of the block table.
    pub blocks_crc: u32,
    /// CRC32C of the game table.
    pub games_crc: u32,
}

/// Bytes of the header that its checksum covers.
const HEADER_CHECKED: usize = HEADER_BYTES - 4;

impl Header {
    pub(super) fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        out[0..8].copy_from_slice(&MAGIC);
        out[8..12].copy_from_slice(&VERSION.to_le_bytes());
        out[12..16].copy_from_slice(&(self.len as u32).to_le_bytes());
        out[16..20].copy_from_slice(&(stride(self.len) as u32).to_le_bytes());
        out[20..24].copy_from_slice(&(records_per_block(self.len) as u32).to_le_bytes());
        out[24..32].copy_from_slice(&self.n_records.to_le_bytes());
        out[32..40].copy_from_slice(&self.n_games.to_le_bytes());
        out[40..44].copy_from_slice(&self.blocks_crc.to_le_bytes());
        out[44..48].copy_from_slice(&self.games_crc.to_le_bytes());
        let crc = crc32c::crc32c(&out[..HEADER_CHECKED]);
        out[HEADER_CHECKED..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Checks magic, version, checksum and that the numbers are those of this layout.
    pub(super) fn from_bytes(bytes: &[u8; HEADER_BYTES], path: &Path) -> Result<Header> {
        if bytes[..8] != MAGIC {
            return Err(Error::at_byte(path, 0, "not an edgezero shard file").hint(HINT_AGAIN));
        }
        let version = u32_at(bytes, 8);
        if version != VERSION {
            let age = if version < VERSION { "an older" } else { "a newer" };
            let what = format!("version {version}, expected {VERSION}: written by {age} edgezero");
            return Err(Error::at_byte(path, 8, what).hint(HINT_AGAIN));
        }
        let (crc, expected) = (crc32c::crc32c(&bytes[..HEADER_CHECKED]), u32_at(bytes, HEADER_CHECKED));
        if crc != expected {
            return Err(crc_error(path, HEADER_CHECKED as u64, "header", crc, expected));
        }
        let len = u32_at(bytes, 12) as usize;
        let fits = (BOARD_LEN_MIN..=BOARD_LEN_MAX).contains(&len)
            && u32_at(bytes, 16) as usize == stride(len)
            && u32_at(bytes, 20) as usize == records_per_block(len)
            && bytes[48..HEADER_CHECKED].iter().all(|&b| b == 0);
        if !fits {
            return Err(Error::at_byte(path, 12, "sizes in the header fit no board").hint(HINT_AGAIN));
        }
        Ok(Header {
            len,
            n_records: u64_at(bytes, 24),
            n_games: u64_at(bytes, 32),
            blocks_crc: u32_at(bytes, 40),
            games_crc: u32_at(bytes, 44),
        })
    }

    /// Where the parts of the file lie, or `None` where the counts are absurd.
    pub(super) fn parts(&self) -> Option<Parts> {
        let data_bytes = self.n_records.checked_mul(stride(self.len) as u64)?;
        let n_blocks = self.n_records.div_ceil(records_per_block(self.len) as u64);
        let blocks_at = data_bytes.checked_add(HEADER_BYTES as u64)?;
        let games_at = n_blocks.checked_mul(4)?.checked_add(blocks_at)?;
        let file_bytes = self.n_games.checked_mul(GAME_BYTES as u64)?.checked_add(games_at)?;
        Some(Parts { n_blocks, blocks_at, games_at, file_bytes })
    }
}

/// Byte offsets in a shard file; the data starts at [`HEADER_BYTES`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts {
    pub n_blocks: u64,
    pub blocks_at: u64,
    pub games_at: u64,
    pub file_bytes: u64,
}

/// What to do about a shard file that cannot be used.
pub(super) const HINT_AGAIN: &str = "edgezero convert GAMES --out DIR with the file deleted: it is made anew";

pub(super) fn crc_error(path: &Path, byte: u64, part: &str, got: u32, expected: u32) -> Error {
    Error::at_byte(path, byte, format!("{part} has checksum {got:08x}, expected {expected:08x}: the file is damaged"))
        .hint(HINT_AGAIN)
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

pub(super) fn f32_at(bytes: &[u8], at: usize) -> f32 {
    f32::from_bits(u32_at(bytes, at))
}
