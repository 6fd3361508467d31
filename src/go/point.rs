//! Colours, points, moves and board sizes.

use crate::base::limits::{BOARD_LEN_MAX, BOARD_LEN_MIN};
use std::fmt;

/// A player, or the colour of a stone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Color {
    /// Moves first in an even game.
    Black = 0,
    /// Receives komi.
    White = 1,
}

impl Color {
    /// The other player.
    pub const fn opponent(self) -> Color {
        match self {
            Color::Black => Color::White,
            Color::White => Color::Black,
        }
    }

    /// 0 for Black, 1 for White.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// `B` or `W`, as SGF and GTP write it.
    pub const fn letter(self) -> char {
        match self {
            Color::Black => 'B',
            Color::White => 'W',
        }
    }

    /// Reads b, w, black, white in any case.
    pub fn parse(text: &str) -> Option<Color> {
        match text.to_ascii_lowercase().as_str() {
            "b" | "black" => Some(Color::Black),
            "w" | "white" => Some(Color::White),
            _ => None,
        }
    }
}

/// Columns and rows of a board, each 2 to 19.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Size {
    w: u8,
    h: u8,
}

impl Size {
    /// A board of `w` columns and `h` rows, if we play such boards.
    pub fn new(w: usize, h: usize) -> Option<Size> {
        let fits = BOARD_LEN_MIN..=BOARD_LEN_MAX;
        (fits.contains(&w) && fits.contains(&h)).then_some(Size { w: w as u8, h: h as u8 })
    }

    /// A square board.
    pub fn square(len: usize) -> Option<Size> {
        Size::new(len, len)
    }

    /// Columns.
    pub const fn w(self) -> usize {
        self.w as usize
    }

    /// Rows.
    pub const fn h(self) -> usize {
        self.h as usize
    }

    /// Number of points.
    pub const fn n_points(self) -> usize {
        self.w() * self.h()
    }

    /// The longer side: the length of the square array that holds the board.
    pub fn len_max(self) -> usize {
        self.w().max(self.h())
    }

    /// All points, row by row from the top, each row from the left.
    pub fn points(self) -> impl Iterator<Item = Point> + Clone {
        (0..self.h()).flat_map(move |y| (0..self.w()).map(move |x| Point::new(x, y)))
    }

    /// Whether the point is on this board.
    pub fn contains(self, p: Point) -> bool {
        let (column, row) = (p.0 as usize % STRIDE, p.0 as usize / STRIDE);
        (1..=self.w()).contains(&column) && (1..=self.h()).contains(&row)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.w, self.h)
    }
}

/// Cells from one row to the next: 19 points and one wall cell that serves both rows.
pub(crate) const STRIDE: usize = BOARD_LEN_MAX + 1;
/// Cells of a bordered board: a wall row above, one below, and a last wall cell.
pub(crate) const CELLS: usize = STRIDE * (BOARD_LEN_MAX + 2) + 1;

/// A point of a board of any size: `(y + 1) * 20 + x + 1`, so that neighbours are at ±1 and ±20
/// and every point has four cells around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Point(pub(crate) u16);

impl Point {
    /// Column `x` from the left and row `y` from the top, both from 0 and below 19.
    pub const fn new(x: usize, y: usize) -> Point {
        debug_assert!(x < BOARD_LEN_MAX && y < BOARD_LEN_MAX);
        Point(((y + 1) * STRIDE + x + 1) as u16)
    }

    /// Column from the left, from 0.
    pub const fn x(self) -> usize {
        self.0 as usize % STRIDE - 1
    }

    /// Row from the top, from 0.
    pub const fn y(self) -> usize {
        self.0 as usize / STRIDE - 1
    }

    /// The point at `y * len + x` of a square array with rows of `len` cells.
    pub const fn from_index(point_idx: usize, len: usize) -> Point {
        Point::new(point_idx % len, point_idx / len)
    }

    /// `y * len + x`: the place in a square array with rows of `len` cells.
    pub const fn index(self, len: usize) -> usize {
        self.y() * len + self.x()
    }

    /// The cells above, left, right and below; some may be wall.
    pub(crate) const fn around(self) -> [Point; 4] {
        let c = self.0;
        [Point(c - STRIDE as u16), Point(c - 1), Point(c + 1), Point(c + STRIDE as u16)]
    }

    /// The cells at the four corners; some may be wall.
    pub(crate) const fn diagonals(self) -> [Point; 4] {
        let (c, s) = (self.0, STRIDE as u16);
        [Point(c - s - 1), Point(c - s + 1), Point(c + s - 1), Point(c + s + 1)]
    }

    /// The neighbours on a board of this size.
    pub fn neighbors(self, size: Size) -> impl Iterator<Item = Point> {
        self.around().into_iter().filter(move |&p| size.contains(p))
    }

    /// GTP's name of the point on a board of `size`: a column letter without I, and the row from the bottom.
    pub fn gtp(self, size: Size) -> String {
        format!("{}{}", GTP_COLUMNS[self.x()] as char, size.h() - self.y())
    }

    /// Reads a GTP vertex such as `D4`, in any case, on a board of `size`.
    pub fn parse_gtp(text: &str, size: Size) -> Option<Point> {
        let letter = text.as_bytes().first()?.to_ascii_uppercase();
        let x = GTP_COLUMNS.iter().position(|&c| c == letter)?;
        let digits = &text[1..];
        if digits.starts_with('+') {
            return None;
        }
        let row: usize = digits.parse().ok()?;
        (x < size.w() && (1..=size.h()).contains(&row)).then(|| Point::new(x, size.h() - row))
    }
}

const GTP_COLUMNS: &[u8; BOARD_LEN_MAX] = b"ABCDEFGHJKLMNOPQRST";

/// What a player does with a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Move {
    /// No stone.
    Pass,
    /// A stone on a point.
    Play(Point),
}

impl Move {
    /// The point, if a stone was played.
    pub fn point(self) -> Option<Point> {
        match self {
            Move::Pass => None,
            Move::Play(p) => Some(p),
        }
    }

    /// `y * len + x`, or `len * len` for a pass: the index of the move in a policy.
    pub fn policy_index(self, len: usize) -> usize {
        match self {
            Move::Pass => len * len,
            Move::Play(p) => p.index(len),
        }
    }

    /// The move at a policy index.
    pub fn from_policy_index(policy_idx: usize, len: usize) -> Move {
        if policy_idx == len * len { Move::Pass } else { Move::Play(Point::from_index(policy_idx, len)) }
    }

    /// GTP's name of the move: a vertex or `pass`.
    pub fn gtp(self, size: Size) -> String {
        match self {
            Move::Pass => "pass".to_string(),
            Move::Play(p) => p.gtp(size),
        }
    }

    /// Reads a GTP vertex or `pass`, in any case.
    pub fn parse_gtp(text: &str, size: Size) -> Option<Move> {
        if text.eq_ignore_ascii_case("pass") {
            return Some(Move::Pass);
        }
        Point::parse_gtp(text, size).map(Move::Play)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_and_names_round_trip() {
        for (w, h) in [(2, 2), (9, 13), (19, 19)] {
            let size = Size::new(w, h).unwrap();
            assert_eq!(size.points().count(), w * h);
            for p in size.points() {
                assert!(size.contains(p));
                assert_eq!(Point::parse_gtp(&p.gtp(size), size), Some(p), "{size} {p:?}");
                assert_eq!(Point::from_index(p.index(19), 19), p);
                let n = p.neighbors(size).count();
                let edges = [p.x() == 0, p.x() + 1 == w, p.y() == 0, p.y() + 1 == h].iter().filter(|e| **e).count();
                assert_eq!(n, 4 - edges, "{size} {p:?}");
            }
        }
    }

    #[test]
    fn bad_names_are_refused() {
        let size = Size::square(9).unwrap();
        for bad in ["", "I5", "K1", "A0", "A10", "A+1", "5A", "é1", "A-1", "A1x"] {
            assert_eq!(Move::parse_gtp(bad, size), None, "{bad}");
        }
        assert_eq!(Move::parse_gtp("PASS", size), Some(Move::Pass));
        assert!(Size::new(1, 9).is_none() && Size::new(20, 9).is_none());
    }
}
