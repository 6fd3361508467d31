//! A board with chains and liberties kept incrementally. Nothing here allocates.

mod play;

pub use play::Undo;

use super::point::{CELLS, Color, Point, STRIDE, Size};
use super::pointset::PointSet;
use super::rules::Suicide;
use crate::base::limits::BOARD_LEN_MAX;
use crate::base::rng::mix;
use std::fmt;

/// What stands on a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Cell {
    Black,
    White,
    Empty,
    Wall,
}

impl Cell {
    const fn of(color: Color) -> Cell {
        match color {
            Color::Black => Cell::Black,
            Color::White => Cell::White,
        }
    }
}

/// Why a move may not be played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Illegal {
    /// A stone stands there.
    Occupied,
    /// The point is not on the board.
    OffBoard,
    /// Immediate retake of a ko.
    Ko,
    /// The position stood on the board before (positional or situational superko).
    Superko,
    /// The chain would have no liberty.
    Suicide,
}

impl fmt::Display for Illegal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Illegal::Occupied => "occupied point",
            Illegal::OffBoard => "point off the board",
            Illegal::Ko => "retakes a ko at once",
            Illegal::Superko => "repeats an earlier position",
            Illegal::Suicide => "suicide",
        })
    }
}

/// Stones a move took off, by the colour of the stones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Black stones and white stones, indexed by [`Color::index`].
    pub stones: [u16; 2],
}

/// Stones on points, their chains and liberties, the simple-ko point and the position's hash.
///
/// Invariant: `liberties` of a chain is the number of distinct empty points next to it, and is above zero
/// except for chains that a set-up left so ([`Board::chain_without_liberty`]).
#[derive(Clone)]
pub struct Board {
    size: Size,
    cells: [Cell; CELLS],
    /// The cell that names the stone's chain; 0, which is a wall cell, where no stone stands.
    head: [u16; CELLS],
    /// The next stone of the chain, round in a ring.
    next: [u16; CELLS],
    /// At a head: liberties of the chain.
    liberties: [u16; CELLS],
    /// At a head: stones of the chain.
    stones: [u16; CELLS],
    /// Black's and White's stones.
    of: [PointSet; 2],
    /// The points without a stone.
    empty: PointSet,
    /// The heads of all chains.
    heads: PointSet,
    /// The heads of chains with one liberty.
    atari: PointSet,
    ko: Option<Point>,
    hash: u64,
}

impl Board {
    /// An empty board.
    pub fn new(size: Size) -> Board {
        let mut cells = [Cell::Wall; CELLS];
        for p in size.points() {
            cells[p.0 as usize] = Cell::Empty;
        }
        let zeros = [0; CELLS];
        let none = PointSet::default();
        Board {
            size,
            cells,
            head: zeros,
            next: zeros,
            liberties: zeros,
            stones: zeros,
            of: [none; 2],
            empty: PointSet::board(size),
            heads: none,
            atari: none,
            ko: None,
            hash: 0,
        }
    }

    /// Reads a drawing: rows from the top, `X` black, `O` white, `.` empty; blanks between points are ignored.
    pub fn from_text(text: &str) -> Option<Board> {
        let rows: Vec<Vec<char>> = text
            .lines()
            .map(|l| l.chars().filter(|c| !c.is_whitespace()).collect::<Vec<_>>())
            .filter(|r| !r.is_empty())
            .collect();
        let size = Size::new(rows.first()?.len(), rows.len())?;
        let mut stones = Vec::new();
        for (y, row) in rows.iter().enumerate() {
            if row.len() != size.w() {
                return None;
            }
            for (x, c) in row.iter().enumerate() {
                match c {
                    'X' => stones.push((Point::new(x, y), Some(Color::Black))),
                    'O' => stones.push((Point::new(x, y), Some(Color::White))),
                    '.' => {}
                    _ => return None,
                }
            }
        }
        let mut board = Board::new(size);
        board.set_stones(stones);
        Some(board)
    }

    /// Columns and rows.
    pub fn size(&self) -> Size {
        self.size
    }

    /// The stone on a point.
    pub fn get(&self, p: Point) -> Option<Color> {
        match self.cells[p.0 as usize] {
            Cell::Black => Some(Color::Black),
            Cell::White => Some(Color::White),
            Cell::Empty | Cell::Wall => None,
        }
    }

    /// Whether the point is on the board and has no stone.
    pub fn is_empty(&self, p: Point) -> bool {
        self.cells[p.0 as usize] == Cell::Empty
    }

    /// Liberties of the chain of the stone on `p`, which must have one.
    pub fn liberties(&self, p: Point) -> usize {
        debug_assert!(self.get(p).is_some());
        self.liberties[self.head[p.0 as usize] as usize] as usize
    }

    /// Stones of the chain of the stone on `p`, which must have one.
    pub fn chain_len(&self, p: Point) -> usize {
        debug_assert!(self.get(p).is_some());
        self.stones[self.head[p.0 as usize] as usize] as usize
    }

    /// A point that names the chain of the stone on `p`: equal for all its stones.
    pub fn chain_name(&self, p: Point) -> Point {
        debug_assert!(self.get(p).is_some());
        Point(self.head[p.0 as usize])
    }

    /// A point that names the chain on a cell, if a stone stands there.
    pub(crate) fn chain_at(&self, p: Point) -> Option<Point> {
        match self.head[p.0 as usize] {
            0 => None,
            head => Some(Point(head)),
        }
    }

    /// The stones of the chain of the stone on `p`.
    pub fn chain(&self, p: Point) -> impl Iterator<Item = Point> + '_ {
        debug_assert!(self.get(p).is_some());
        let first = p.0;
        let mut at = Some(first);
        std::iter::from_fn(move || {
            let here = at?;
            let next = self.next[here as usize];
            at = (next != first).then_some(next);
            Some(Point(here))
        })
    }

    /// The point that simple ko forbids.
    pub fn ko(&self) -> Option<Point> {
        self.ko
    }

    /// Forgets the ko ban: a pass or a set-up came between.
    pub fn clear_ko(&mut self) {
        self.ko = None;
    }

    /// Puts another ko ban in the place of the one that stands, and gives that.
    pub(crate) fn replace_ko(&mut self, ko: Option<Point>) -> Option<Point> {
        std::mem::replace(&mut self.ko, ko)
    }

    /// Hash of the stones alone: equal positions have equal hashes.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// Puts or removes stones as a set-up does, capturing nothing, and forgets the ko.
    pub fn set_stones(&mut self, stones: impl IntoIterator<Item = (Point, Option<Color>)>) {
        for (p, color) in stones {
            debug_assert!(self.size.contains(p));
            self.cells[p.0 as usize] = color.map_or(Cell::Empty, Cell::of);
        }
        self.rebuild();
    }

    /// A chain that a set-up left without liberty.
    pub fn chain_without_liberty(&self) -> Option<Point> {
        self.size.points().find(|&p| self.get(p).is_some() && self.liberties(p) == 0)
    }

    /// Whether `color` may play at `p` as far as the stones and simple ko tell; superko is the game's.
    pub fn check(&self, p: Point, color: Color, suicide: Suicide) -> Result<(), Illegal> {
        match self.cells.get(p.0 as usize) {
            Some(Cell::Empty) => {}
            Some(Cell::Black | Cell::White) => return Err(Illegal::Occupied),
            Some(Cell::Wall) | None => return Err(Illegal::OffBoard),
        }
        if self.ko == Some(p) {
            return Err(Illegal::Ko);
        }
        if self.is_suicide(p, color) {
            let allowed = match suicide {
                Suicide::Forbidden => false,
                Suicide::MultiStone => p.around().iter().any(|&q| self.get(q) == Some(color)),
                Suicide::Allowed => true,
            };
            if !allowed {
                return Err(Illegal::Suicide);
            }
        }
        Ok(())
    }

    /// Whether a stone of `color` on the empty point `p` would leave its own chain without liberty.
    pub fn is_suicide(&self, p: Point, color: Color) -> bool {
        p.around().iter().all(|&q| match self.cells[q.0 as usize] {
            Cell::Empty => false,
            Cell::Wall => true,
            stone => (self.liberties(q) == 1) == (stone == Cell::of(color)),
        })
    }

    /// The hash that `play` would lead to.
    pub fn hash_after(&self, p: Point, color: Color) -> u64 {
        debug_assert!(self.is_empty(p));
        let mut hash = self.hash ^ stone_hash(p, color);
        let mut seen = [Point(0); 4];
        let mut takes = false;
        for (i, q) in p.around().into_iter().enumerate() {
            if self.get(q) == Some(color.opponent()) && self.liberties(q) == 1 {
                takes = true;
                let name = self.chain_name(q);
                if !seen.contains(&name) {
                    seen[i] = name;
                    hash = self.chain(q).fold(hash, |h, s| h ^ stone_hash(s, color.opponent()));
                }
            }
        }
        if !takes && self.is_suicide(p, color) {
            hash ^= stone_hash(p, color);
            for (i, q) in p.around().into_iter().enumerate() {
                if self.get(q) == Some(color) {
                    let name = self.chain_name(q);
                    if !seen.contains(&name) {
                        seen[i] = name;
                        hash = self.chain(q).fold(hash, |h, s| h ^ stone_hash(s, color));
                    }
                }
            }
        }
        hash
    }

    /// The liberties of the chain of the stone on `p`.
    pub fn liberty_points(&self, p: Point) -> PointSet {
        let mut near = PointSet::default();
        self.chain(p).for_each(|s| near.insert_with_neighbors(s));
        near & self.empty
    }

    /// The stones and the liberties of the chain of the stone on `p`.
    pub fn chain_sets(&self, p: Point) -> (PointSet, PointSet) {
        let mut near = PointSet::default();
        self.chain(p).for_each(|s| near.insert_with_neighbors(s));
        // Stones of one colour next to each other are one chain.
        let own = if self.cells[p.0 as usize] == Cell::Black { Color::Black } else { Color::White };
        (near & self.of[own.index()], near & self.empty)
    }

    /// The points whose content differs between two boards of one size.
    pub fn points_that_differ(&self, other: &Board) -> PointSet {
        debug_assert_eq!(self.size, other.size);
        let [black, white] = [0, 1].map(|i| (self.of[i] - other.of[i]) | (other.of[i] - self.of[i]));
        black | white
    }

    /// Number of stones of a colour.
    pub fn count(&self, color: Color) -> usize {
        self.stones(color).len()
    }

    /// The stones of a colour.
    pub fn stones(&self, color: Color) -> &PointSet {
        &self.of[color.index()]
    }

    /// One stone of every chain, the one that names it.
    pub fn chains(&self) -> impl Iterator<Item = Point> + '_ {
        self.heads.iter()
    }

    /// The names of the chains of a colour with one liberty.
    pub fn in_atari(&self, color: Color) -> PointSet {
        self.atari & self.of[color.index()]
    }

    /// All points of the board.
    pub fn points(&self) -> PointSet {
        self.of[0] | self.of[1] | self.empty
    }

    /// The points without a stone.
    pub fn empty_points(&self) -> PointSet {
        self.empty
    }

    /// The stones as rows from the top without separators: `X` black, `O` white, `.` empty.
    pub fn to_line(&self) -> String {
        self.size.points().map(|p| self.letter(p)).collect()
    }

    fn letter(&self, p: Point) -> char {
        match self.get(p) {
            Some(Color::Black) => 'X',
            Some(Color::White) => 'O',
            None => '.',
        }
    }
}

impl fmt::Display for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for y in 0..self.size.h() {
            let row: Vec<String> = (0..self.size.w()).map(|x| self.letter(Point::new(x, y)).to_string()).collect();
            writeln!(f, "{}", row.join(" "))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\n{self}ko {:?}", self.ko.map(|p| p.gtp(self.size)))
    }
}

impl PartialEq for Board {
    /// Same size, stones and ko ban.
    fn eq(&self, other: &Board) -> bool {
        self.size == other.size && self.ko == other.ko && self.cells == other.cells
    }
}

/// Zobrist key of a stone (Zobrist 1970).
pub(super) fn stone_hash(p: Point, color: Color) -> u64 {
    STONE_HASH[color.index()][p.0 as usize]
}

static STONE_HASH: [[u64; CELLS]; 2] = stone_hashes();

const fn stone_hashes() -> [[u64; CELLS]; 2] {
    let mut table = [[0; CELLS]; 2];
    let mut i = 0;
    while i < CELLS {
        table[0][i] = mix(0x676f_0000 + 2 * i as u64);
        table[1][i] = mix(0x676f_0001 + 2 * i as u64);
        i += 1;
    }
    table
}

const _: () = assert!(STRIDE == BOARD_LEN_MAX + 1 && CELLS < u16::MAX as usize);

#[cfg(test)]
mod tests;
