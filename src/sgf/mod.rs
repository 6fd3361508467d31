//! Game records: bytes to tree to [`GameRecord`], without recursion and in memory proportional to the file.
//!
//! Reads `FF[1]` to `FF[4]` (<https://www.red-bean.com/sgf/>) in any character set. A broken game costs that game alone:
//! the next one goes on, and the [`GameError`] says where and why.
//!
//! Here a record is only read. Whether its moves are legal is for the board to say: [`replay`] has a plain one.

mod charset;
mod collection;
mod komi;
mod record;
pub mod replay;
mod result;
mod scan;
mod tree;
mod variations;
mod write;

#[doc(hidden)]
pub use collection::count_properties;
pub use collection::{Collection, Game};
pub use komi::plain as plain_komi;
pub use record::{GameRecord, OffBoard, Step, games, games_with};
pub use result::{GameResult, Margin, Winner};
pub use scan::Name;
pub(crate) use tree::ARENA_BYTES_MAX;
pub use tree::Tree;
pub use variations::lines;
pub use write::write;

use crate::base::Error;
use std::fmt;
use std::path::Path;

pub use crate::base::limits::GAME_MOVES_MAX as MOVES_MAX;

/// Most points that compressed lists (`AB[aa:ss]`) may set in one game: 45 whole boards. Few bytes stand for many
/// points there, so this bounds the memory.
pub const RECTANGLE_POINTS_MAX: usize = 16_384;

/// Most nodes on all lines beside the main line of one game, counted for each line: a short file may hold many long lines.
pub const LINE_NODES_MAX: usize = 200_000;

/// Longest side of a board that SGF's letters can name, in points.
pub const SGF_LEN_MAX: usize = 52;

/// A game that could not be read, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GameError {
    /// Number of the game in its file, from 0.
    pub game_idx: u32,
    /// Line of the fault, from 1.
    pub line: u32,
    /// Byte of the line, from 1.
    pub column: u32,
    /// What is wrong.
    pub reason: Reason,
}

impl GameError {
    /// The same with its file, as everybody else gets to see it: `games.sgf:3:14: game 2: move 5: bad point W[a]`.
    pub fn at(&self, path: &Path) -> Error {
        let place = format!("{}:{}:{}", path.display(), self.line, self.column);
        Error::new(place, format!("game {}: {}", self.game_idx + 1, self.reason))
    }

    /// Whether the game is sound, but no game of Go: something to skip, not to complain about.
    pub fn is_other_game(&self) -> bool {
        matches!(self.reason, Reason::OtherGame(_))
    }
}

impl fmt::Display for GameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "game {}, line {}, column {}: {}", self.game_idx + 1, self.line, self.column, self.reason)
    }
}

impl std::error::Error for GameError {}

/// Why a game was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// No bytes at all.
    EmptyFile,
    /// Nothing in the file looks like a game; the text says what it looks like instead, if that is known.
    NoGame(Option<&'static str>),
    /// The file is larger than places in it can be told apart.
    TooLarge,
    /// One game whose tree would take more than 64 MiB.
    TooManyNodes,
    /// The end of the file inside a value, a name or an empty node, or before any move.
    UnexpectedEnd,
    /// A value that took `;B[..` for text.
    MissingBracket,
    /// `(` without a node after it.
    NoNode,
    /// A node or property after a variation was closed.
    NodeAfterVariations,
    /// A property name without a value.
    NoValue(Name),
    /// A value without a property name.
    NoName,
    /// A byte that has no place outside a value.
    Junk(u8),
    /// GM names another game than Go.
    OtherGame(u64),
    /// SZ is no board size, or none that can be used here.
    BoardSize(String),
    /// A move with more than [`MOVES_MAX`] before it.
    TooManyMoves,
    /// More than [`LINE_NODES_MAX`]; the lines before it are read.
    TooManyLines,
    /// More than [`RECTANGLE_POINTS_MAX`].
    TooManyPoints,
    /// A set-up value that names no point.
    BadSetup(String),
    /// A move, by its number from 1, that names no point.
    BadPoint(usize, String),
    /// A move, by its number from 1, beside the board.
    OffBoard(usize, String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::EmptyFile => write!(f, "empty file"),
            Reason::NoGame(None) => write!(f, "no game tree"),
            Reason::NoGame(Some(looks)) => write!(f, "no game tree, this looks like {looks}"),
            Reason::TooLarge => write!(f, "file too large, at most {} bytes", tree::TEXT_BYTES_MAX),
            Reason::TooManyNodes => write!(f, "too many nodes: a tree of more than {} MiB", tree::ARENA_BYTES_MAX >> 20),
            Reason::UnexpectedEnd => write!(f, "unexpected end"),
            Reason::MissingBracket => write!(f, "missing ], the value takes in the next move"),
            Reason::NoNode => write!(f, "tree without a node"),
            Reason::NodeAfterVariations => write!(f, "node after variations"),
            Reason::NoValue(name) => write!(f, "property {} without a value", name_text(*name)),
            Reason::NoName => write!(f, "value without a property"),
            Reason::Junk(byte) => write!(f, "byte '{}' outside a value", byte.escape_ascii()),
            Reason::OtherGame(gm) => write!(f, "GM[{gm}] is not Go"),
            Reason::BoardSize(size) => write!(f, "board size {size}"),
            Reason::TooManyMoves => write!(f, "too many moves, at most {MOVES_MAX}"),
            Reason::TooManyLines => write!(f, "too many variations, the rest is left out: at most {LINE_NODES_MAX} nodes"),
            Reason::TooManyPoints => write!(f, "too many points in compressed lists, at most {RECTANGLE_POINTS_MAX}"),
            Reason::BadSetup(value) => write!(f, "bad point {value} in the set-up"),
            Reason::BadPoint(number, value) => write!(f, "move {number}: bad point {value}"),
            Reason::OffBoard(number, value) => write!(f, "move {number}: off the board {value}"),
        }
    }
}

/// The capitals of a name; `...` for a long one.
fn name_text(name: Name) -> String {
    if name == scan::LONG_NAME {
        return "...".to_string();
    }
    name.iter().take_while(|&&b| b != 0).map(|&b| b as char).collect()
}

/// A value as it can be shown in a message: short, and nothing that a terminal would obey.
fn shown(name: &str, value: &[u8]) -> String {
    const SHOWN_BYTES: usize = 24;
    let dots = if value.len() > SHOWN_BYTES { "..." } else { "" };
    format!("{name}[{}{dots}]", value[..value.len().min(SHOWN_BYTES)].escape_ascii())
}
