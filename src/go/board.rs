//! A board with chains and liberties kept incrementally. Nothing here allocates.

use super::point::{CELLS, Color, Point, STRIDE, Size};
use super::pointset::{PointList, PointSet};
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
    /// The cell that names the stone's chain; valid where a stone stands.
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
        if !self.size.contains(p) {
            return Err(Illegal::OffBoard);
        }
        if !self.is_empty(p) {
            return Err(Illegal::Occupied);
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

    /// Plays a stone on an empty point: takes chains off, own ones in a suicide, and sets the ko point.
    pub fn play(&mut self, p: Point, color: Color) -> Taken {
        assert!(self.is_empty(p), "a stone needs an empty point");
        let mut taken = Taken::default();
        self.ko = None;
        self.put(p, color);
        let opponent = color.opponent();
        let mut last_taken = p;
        for q in p.around() {
            if self.get(q) == Some(opponent) && self.liberties(q) == 0 {
                taken.stones[opponent.index()] += self.remove_chain(q);
                last_taken = q;
            }
        }
        if self.liberties(p) == 0 {
            taken.stones[color.index()] += self.remove_chain(p);
        } else if taken.stones[opponent.index()] == 1 && self.chain_len(p) == 1 && self.liberties(p) == 1 {
            self.ko = Some(last_taken);
        }
        taken
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

    /// The empty points next to `p`.
    pub fn empty_neighbors(&self, p: Point) -> PointSet {
        let mut near = PointSet::default();
        near.insert_with_neighbors(p);
        near.remove(p);
        near & self.empty
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

    /// All points of the board.
    pub fn points(&self) -> PointSet {
        PointSet::board(self.size)
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

    /// Places a stone, lowers the liberties around it and joins it with its friends.
    fn put(&mut self, p: Point, color: Color) {
        let at = p.0 as usize;
        self.cells[at] = Cell::of(color);
        self.hash ^= stone_hash(p, color);
        let around = p.around();
        let mut free = 0;
        let mut lowered = [0u16; 4];
        let mut friends = heapless::Vec::<u16, 4>::new();
        for (i, q) in around.iter().enumerate() {
            match self.cells[q.0 as usize] {
                Cell::Empty => free += 1,
                Cell::Wall => {}
                stone => {
                    let head = self.head[q.0 as usize];
                    if !lowered.contains(&head) {
                        lowered[i] = head;
                        self.liberties[head as usize] -= 1;
                        if stone == Cell::of(color) {
                            friends.push(head).expect("four neighbours at the most");
                        }
                    }
                }
            }
        }
        (self.head[at], self.next[at], self.stones[at], self.liberties[at]) = (p.0, p.0, 1, free);
        self.of[color.index()].insert(p);
        self.empty.remove(p);
        self.heads.insert(p);
        match friends.as_slice() {
            [] => {}
            [friend] => self.extend(*friend, p),
            more => self.join(more, p),
        }
    }

    /// Adds the single stone `p` to one chain: only its own empty neighbours can be new liberties.
    fn extend(&mut self, friend: u16, p: Point) {
        let mut gained = 0;
        for e in p.around() {
            if self.is_empty(e) {
                let known = e.around().iter().any(|&q| self.get(q).is_some() && q != p && self.head[q.0 as usize] == friend);
                gained += u16::from(!known);
            }
        }
        self.liberties[friend as usize] += gained;
        self.splice(friend, p.0);
    }

    /// Joins several chains through `p` and counts the liberties of the whole anew.
    fn join(&mut self, friends: &[u16], p: Point) {
        let largest = *friends.iter().max_by_key(|&&f| self.stones[f as usize]).expect("several friends");
        self.splice(largest, p.0);
        for &friend in friends {
            if friend != largest {
                self.splice(largest, friend);
            }
        }
        self.liberties[largest as usize] = self.liberty_points(Point(largest)).len() as u16;
    }

    /// Relabels the chain `from` as part of `into` and joins the two rings; liberties are the caller's.
    fn splice(&mut self, into: u16, from: u16) {
        let mut s = from;
        loop {
            self.head[s as usize] = into;
            s = self.next[s as usize];
            if s == from {
                break;
            }
        }
        self.stones[into as usize] += self.stones[from as usize];
        self.heads.remove(Point(from));
        self.next.swap(into as usize, from as usize);
    }

    /// Takes a chain off and gives its points back to the chains around; returns its stones.
    fn remove_chain(&mut self, p: Point) -> u16 {
        let color = self.get(p).expect("a chain is removed at one of its stones");
        let first = p.0;
        let head = self.head[first as usize];
        let n = self.stones[head as usize];
        self.heads.remove(Point(head));
        let mut s = first;
        loop {
            self.cells[s as usize] = Cell::Empty;
            self.of[color.index()].remove(Point(s));
            self.empty.insert(Point(s));
            self.hash ^= stone_hash(Point(s), color);
            let mut raised = [0u16; 4];
            for (i, q) in Point(s).around().into_iter().enumerate() {
                if self.get(q) == Some(color.opponent()) {
                    let head = self.head[q.0 as usize];
                    if !raised.contains(&head) {
                        raised[i] = head;
                        self.liberties[head as usize] += 1;
                    }
                }
            }
            s = self.next[s as usize];
            if s == first {
                break;
            }
        }
        n
    }

    /// Builds chains, liberties and hash from the cells, and forgets the ko.
    fn rebuild(&mut self) {
        self.ko = None;
        self.hash = 0;
        (self.of, self.heads) = Default::default();
        for p in self.size.points() {
            if let Some(color) = self.get(p) {
                self.of[color.index()].insert(p);
            }
        }
        self.empty = self.points() - self.of[0] - self.of[1];
        let mut seen = PointSet::default();
        for p in self.size.points() {
            let Some(color) = self.get(p) else { continue };
            self.hash ^= stone_hash(p, color);
            if seen.insert(p) {
                let mut chain = PointList::new();
                chain.push(p).expect("a list holds a board");
                let mut i = 0;
                while i < chain.len() {
                    for q in chain[i].around() {
                        if self.get(q) == Some(color) && seen.insert(q) {
                            chain.push(q).expect("a list holds a board");
                        }
                    }
                    i += 1;
                }
                for (i, s) in chain.iter().enumerate() {
                    self.head[s.0 as usize] = p.0;
                    self.next[s.0 as usize] = chain[(i + 1) % chain.len()].0;
                }
                self.heads.insert(p);
                self.stones[p.0 as usize] = chain.len() as u16;
                self.liberties[p.0 as usize] = self.liberty_points(p).len() as u16;
            }
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
mod tests {
    use super::*;
    use crate::base::rng::{below, rng};
    use rand::Rng as _;

    fn at(board: &Board, name: &str) -> Point {
        Point::parse_gtp(name, board.size()).unwrap()
    }

    #[test]
    fn captures_and_ko() {
        let mut b = Board::from_text(
            ". X O . .
             X O . O .
             . X O . .
             . . . . .
             . . . . .",
        )
        .unwrap();
        let ko = at(&b, "B4");
        assert_eq!(b.play(at(&b, "C4"), Color::Black).stones, [0, 1]);
        assert_eq!(b.ko(), Some(ko));
        assert_eq!(b.check(ko, Color::White, Suicide::Allowed), Err(Illegal::Ko));
        b.play(at(&b, "E1"), Color::White);
        b.play(at(&b, "E2"), Color::Black);
        assert_eq!(b.check(ko, Color::White, Suicide::Forbidden), Ok(()), "a move elsewhere lifts the ban");
    }

    #[test]
    fn suicide_by_rule() {
        let b = Board::from_text(
            ". X . .
             O X . .
             X X . .
             . . . .",
        )
        .unwrap();
        let corner = at(&b, "A4");
        let verdicts =
            [Suicide::Forbidden, Suicide::MultiStone, Suicide::Allowed].map(|s| b.check(corner, Color::White, s).is_ok());
        assert_eq!(verdicts, [false, true, true]);
        let mut after = b.clone();
        assert_eq!(after.play(corner, Color::White).stones, [0, 2]);
        assert_eq!(after.ko(), None);
    }

    #[test]
    fn recounts_equal_a_flood_fill_on_random_games() {
        for (seed, (w, h)) in [(2, 2), (3, 5), (5, 5), (9, 9), (13, 7), (19, 19)].into_iter().enumerate() {
            let size = Size::new(w, h).unwrap();
            let points: Vec<Point> = size.points().collect();
            let mut r = rng(seed as u64, 1);
            for _ in 0..20 {
                let mut b = Board::new(size);
                let mut color = Color::Black;
                for _ in 0..3 * points.len() {
                    let p = points[below(r.next_u64(), points.len())];
                    if b.check(p, color, Suicide::Allowed).is_ok() {
                        let expected = b.hash_after(p, color);
                        let stones = b.count(Color::Black) + b.count(Color::White) + 1;
                        let taken = b.play(p, color);
                        let left = b.count(Color::Black) + b.count(Color::White);
                        assert_eq!(b.hash(), expected, "{b:?}");
                        assert_eq!(left + (taken.stones[0] + taken.stones[1]) as usize, stones);
                        let mut again = b.clone();
                        again.rebuild();
                        assert_eq!(
                            (again.hash, again.of, again.empty, again.heads.len()),
                            (b.hash, b.of, b.empty, b.heads.len())
                        );
                        assert!(b.chains().all(|head| b.chain_name(head) == head));
                        for q in size.points().filter(|&q| b.get(q).is_some()) {
                            assert_eq!(again.liberties(q), b.liberties(q), "{b:?} {}", q.gtp(size));
                            assert_eq!(again.chain_len(q), b.chain(q).count());
                            assert_eq!(b.liberty_points(q).len(), b.liberties(q));
                        }
                    }
                    color = color.opponent();
                }
            }
        }
    }
}
