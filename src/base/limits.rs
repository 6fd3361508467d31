//! Limits that hold everywhere, each with its unit and its reason.

/// Longest side of a board we play, in points: KataGo's nets are compiled for 19.
pub const BOARD_LEN_MAX: usize = 19;
/// Shortest side of a board we play, in points.
pub const BOARD_LEN_MIN: usize = 2;
/// Points of the largest board.
pub const POINTS_MAX: usize = BOARD_LEN_MAX * BOARD_LEN_MAX;
/// Largest file read as game records, in bytes. The largest collection seen is 60 MB.
pub const SGF_FILE_BYTES_MAX: u64 = 1 << 30;
/// Most moves of one game. The longest game seen in play has 541, the longest record in a collection of oddities 4998.
pub const GAME_MOVES_MAX: usize = 16_384;

const _: () = assert!(POINTS_MAX < u16::MAX as usize);
const _: () = assert!(GAME_MOVES_MAX < u16::MAX as usize);
