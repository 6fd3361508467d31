//! A board for random play alone: no hash, no sets, liberties counted by sums.

use crate::base::limits::POINTS_MAX;
use crate::base::rng::{Rng, below};
use crate::go::board::Board;
use crate::go::point::{CELLS, Color, Point};
use crate::go::pointset::{PointList, PointSet};
use crate::go::score::{Owners, plain_area_of};
use rand::Rng as _;

/// Moves of a playout, per point of the board: random play ends by itself well before, but for repetitions.
const MOVES_PER_POINT: usize = 3;

/// What stands on a cell: the index of a [`Color`], or one of these.
const EMPTY: u8 = 2;
const WALL: u8 = 3;

/// The number of neighbours of each content, in four bits each: empty, black, white; a wall cell counts as both colours'.
const NEAR_OF: [u16; 4] = [1 << 4, 1 << 8, 1, 1 << 4 | 1 << 8];
const NEAR_EMPTY: u16 = 0xf;

/// A position in random play.
#[derive(Clone)]
pub(super) struct Table {
    cells: [u8; CELLS],
    near: [u16; CELLS],
    head: [u16; CELLS],
    /// The next stone of the chain, round in a ring.
    next: [u16; CELLS],
    chains: [Chain; CELLS],
    /// The points without a stone, in the order in which moves are looked for.
    empty: PointList,
    /// The same as a set.
    free: PointSet,
    n_points: usize,
    /// 0, a wall cell, for none.
    ko: u16,
}

/// A chain at its head. Each pair of a stone and an empty point next to it counts as one.
#[derive(Clone, Copy, Default)]
struct Chain {
    n_stones: u32,
    n_pairs: u32,
    /// Sum of the cells of the pairs' points, and of their squares.
    sum: u32,
    sum_of_squares: u32,
}

impl Chain {
    fn add(&mut self, p: u16) {
        self.n_pairs += 1;
        self.sum += u32::from(p);
        self.sum_of_squares += u32::from(p) * u32::from(p);
    }

    fn remove(&mut self, p: u16) {
        self.n_pairs -= 1;
        self.sum -= u32::from(p);
        self.sum_of_squares -= u32::from(p) * u32::from(p);
    }

    fn absorb(&mut self, other: Chain) {
        self.n_stones += other.n_stones;
        self.n_pairs += other.n_pairs;
        self.sum += other.sum;
        self.sum_of_squares += other.sum_of_squares;
    }

    /// Whether all pairs are with one and the same point: where the mean of squares is the square of the mean.
    fn is_in_atari(&self) -> bool {
        u64::from(self.n_pairs) * u64::from(self.sum_of_squares) == u64::from(self.sum) * u64::from(self.sum)
    }
}

impl Table {
    /// The stones of a board; its ko ban is forgotten.
    pub(super) fn new(board: &Board) -> Table {
        let mut table = Table {
            cells: [WALL; CELLS],
            near: [0; CELLS],
            head: [0; CELLS],
            next: [0; CELLS],
            chains: [Chain::default(); CELLS],
            empty: PointList::new(),
            free: board.empty_points(),
            n_points: board.size().n_points(),
            ko: 0,
        };
        for p in board.size().points() {
            table.cells[p.0 as usize] = board.get(p).map_or(EMPTY, |color| color.index() as u8);
        }
        for p in board.size().points() {
            let at = p.0 as usize;
            table.near[at] = p.around().iter().map(|q| NEAR_OF[table.cells[q.0 as usize] as usize]).sum();
            if board.get(p).is_some() {
                let name = board.chain_name(p);
                table.head[at] = name.0;
                table.next[at] = board.chain(p).nth(1).unwrap_or(p).0;
                let chain = &mut table.chains[name.0 as usize];
                chain.n_stones += 1;
                p.around().into_iter().filter(|&q| board.is_empty(q)).for_each(|q| chain.add(q.0));
            }
        }
        table.list_empty();
        table
    }

    /// Random moves by turns that fill no own eye, until neither side has one.
    pub(super) fn play_out(&mut self, first: Color, rng: &mut Rng) {
        let (mut color, mut n_passes) = (first, 0);
        for _ in 0..MOVES_PER_POINT * self.n_points {
            match self.pick(color, rng) {
                Some(i) => {
                    let p = self.empty.swap_remove(i);
                    if self.play(p, color) {
                        self.list_empty();
                    }
                    n_passes = 0;
                }
                None => {
                    self.ko = 0;
                    n_passes += 1;
                    if n_passes == 2 {
                        return;
                    }
                }
            }
            color = color.opponent();
        }
    }

    /// Area as it stands.
    pub(super) fn owners(&self) -> Owners {
        let mut stones = [PointSet::default(); 2];
        for (cell, &content) in self.cells.iter().enumerate() {
            if let Some(points) = stones.get_mut(content as usize) {
                points.insert(Point(cell as u16));
            }
        }
        plain_area_of(stones[0], stones[1], self.free)
    }

    /// The points without a stone, row by row.
    fn list_empty(&mut self) {
        self.empty.clear();
        for p in self.free.iter() {
            self.empty.push(p).expect("a list holds a board");
        }
    }

    /// The index in `empty` of a sensible move, searched from a random place on.
    fn pick(&self, color: Color, rng: &mut Rng) -> Option<usize> {
        let start = below(rng.next_u64(), self.empty.len());
        let fits = |&i: &usize| self.is_sensible(self.empty[i], color);
        (start..self.empty.len()).find(fits).or_else(|| (0..start).find(fits))
    }

    /// Neither an own eye, nor suicide, nor a ko taken back.
    fn is_sensible(&self, p: Point, color: Color) -> bool {
        let near = self.near[p.0 as usize];
        if near & NEAR_EMPTY > 0 {
            // No own eye and no suicide; and around a stone just taken in a ko there are only stones.
            return true;
        }
        let is_surrounded = near >> (4 * (color.index() + 1)) & 0xf == 4;
        if p.0 == self.ko || (is_surrounded && self.has_eye_corners(p, color)) {
            return false;
        }
        p.around().into_iter().any(|q| match self.cells[q.0 as usize] {
            WALL => false,
            stone => self.chains[self.head[q.0 as usize] as usize].is_in_atari() != (stone == color.index() as u8),
        })
    }

    /// At most one of the four corners the opponent's, none at the edge.
    fn has_eye_corners(&self, p: Point, color: Color) -> bool {
        let count = |content: u8| p.diagonals().into_iter().filter(|q| self.cells[q.0 as usize] == content).count();
        count(color.opponent().index() as u8) <= usize::from(count(WALL) == 0)
    }

    /// Plays a stone on a point that is not in `empty` any more; true if it takes stones.
    fn play(&mut self, p: Point, color: Color) -> bool {
        let at = p.0 as usize;
        self.set(p, color.index() as u8);
        let mut own = Chain { n_stones: 1, ..Chain::default() };
        for q in p.around() {
            match self.cells[q.0 as usize] {
                WALL => {}
                EMPTY => own.add(q.0),
                _ => self.chains[self.head[q.0 as usize] as usize].remove(p.0),
            }
        }
        (self.head[at], self.next[at], self.chains[at]) = (p.0, p.0, own);
        let opponent = color.opponent().index() as u8;
        let (mut n_taken, mut last_taken) = (0, 0);
        for q in p.around() {
            let content = self.cells[q.0 as usize];
            if content == color.index() as u8 {
                self.join(p.0, q.0);
            } else if content == opponent && self.chains[self.head[q.0 as usize] as usize].n_pairs == 0 {
                n_taken += self.take_off(q.0);
                last_taken = q.0;
            }
        }
        let own = &self.chains[self.head[at] as usize];
        self.ko = if n_taken == 1 && own.n_stones == 1 && own.is_in_atari() { last_taken } else { 0 };
        n_taken > 0
    }

    /// Changes what stands on a point, and tells its neighbours.
    fn set(&mut self, p: Point, content: u8) {
        let old = std::mem::replace(&mut self.cells[p.0 as usize], content);
        self.free.set(p, content == EMPTY);
        let change = NEAR_OF[content as usize].wrapping_sub(NEAR_OF[old as usize]);
        for q in p.around() {
            self.near[q.0 as usize] = self.near[q.0 as usize].wrapping_add(change);
        }
    }

    /// Makes one chain of those at two stones; the smaller is relabelled.
    fn join(&mut self, p: u16, q: u16) {
        let (a, b) = (self.head[p as usize], self.head[q as usize]);
        if a == b {
            return;
        }
        let a_is_larger = self.chains[a as usize].n_stones > self.chains[b as usize].n_stones;
        let (into, from) = if a_is_larger { (a, b) } else { (b, a) };
        let absorbed = self.chains[from as usize];
        self.chains[into as usize].absorb(absorbed);
        let mut s = from;
        loop {
            self.head[s as usize] = into;
            s = self.next[s as usize];
            if s == from {
                break;
            }
        }
        self.next.swap(into as usize, from as usize);
    }

    /// Takes a chain off; returns its stones.
    fn take_off(&mut self, first: u16) -> u32 {
        let mut s = first;
        loop {
            self.set(Point(s), EMPTY);
            for q in Point(s).around() {
                if self.cells[q.0 as usize] < EMPTY {
                    self.chains[self.head[q.0 as usize] as usize].add(s);
                }
            }
            s = self.next[s as usize];
            if s == first {
                break;
            }
        }
        self.chains[self.head[first as usize] as usize].n_stones
    }
}

const _: () = assert!(CELLS * CELLS * 4 * POINTS_MAX < u32::MAX as usize);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::rng;
    use crate::go::Size;
    use crate::go::playout::is_own_eye;
    use crate::go::rules::Suicide;
    use crate::go::score::plain_area;

    #[test]
    fn random_play_is_as_on_a_board() {
        for (seed, (w, h)) in [(3, 3), (5, 4), (9, 9), (19, 19)].into_iter().enumerate() {
            let size = Size::new(w, h).unwrap();
            let mut r = rng(seed as u64, 5);
            for _ in 0..10 {
                let mut board = Board::new(size);
                let mut table = Table::new(&board);
                let mut color = Color::Black;
                for _ in 0..3 * size.n_points() {
                    for p in board.empty_points().iter() {
                        let is_sensible = !is_own_eye(&board, p, color) && board.check(p, color, Suicide::Forbidden).is_ok();
                        assert_eq!(table.is_sensible(p, color), is_sensible, "{board:?} {}", p.gtp(size));
                    }
                    match table.pick(color, &mut r) {
                        Some(i) => {
                            let p = table.empty.swap_remove(i);
                            let taken = board.play(p, color).stones != [0, 0];
                            assert_eq!(table.play(p, color), taken);
                            if taken {
                                table.list_empty();
                            }
                        }
                        None => {
                            board.clear_ko();
                            table.ko = 0;
                        }
                    }
                    assert!(table.owners() == plain_area(&board), "{board:?}");
                    // What a table makes of a board goes on as well.
                    if board.ko().is_none() && r.next_u64().is_multiple_of(5) {
                        table = Table::new(&board);
                    }
                    color = color.opponent();
                }
            }
        }
    }
}
