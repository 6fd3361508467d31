//! Scores and life: pass-alive chains, area maps, territory, group tax.

use super::board::{Board, PointSet};
use super::point::{CELLS, Color, Point, Size};
use super::rules::{Suicide, Tax};
use crate::base::limits::POINTS_MAX;
use std::ops::{Index, IndexMut};

/// One value a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PointMap<T>([T; CELLS]);

impl<T: Copy> PointMap<T> {
    /// The same value everywhere.
    pub fn filled(value: T) -> PointMap<T> {
        PointMap([value; CELLS])
    }
}

impl<T> Index<Point> for PointMap<T> {
    type Output = T;
    fn index(&self, p: Point) -> &T {
        &self.0[p.0 as usize]
    }
}

impl<T> IndexMut<Point> for PointMap<T> {
    fn index_mut(&mut self, p: Point) -> &mut T {
        &mut self.0[p.0 as usize]
    }
}

/// Who owns each point; none is nobody's.
pub type Owners = PointMap<Option<Color>>;

/// Points of each colour in an area map, Black's and White's.
pub fn count(owners: &Owners, size: Size) -> [usize; 2] {
    let mut n = [0; 2];
    for p in size.points() {
        if let Some(c) = owners[p] {
            n[c.index()] += 1;
        }
    }
    n
}

/// Area as it stands (Tromp-Taylor): stones, and empty regions that reach one colour only. Nothing is removed.
pub fn plain_area(board: &Board) -> Owners {
    let mut owners = Owners::filled(None);
    let mut seen = PointSet::default();
    for p in board.size().points() {
        if let Some(c) = board.get(p) {
            owners[p] = Some(c);
        } else if !seen.contains(p) {
            let region = flood(board, p, |c| c.is_none());
            let reaches = |c: Color| region.iter().any(|q| q.around().iter().any(|&n| board.get(n) == Some(c)));
            let owner = match (reaches(Color::Black), reaches(Color::White)) {
                (true, false) => Some(Color::Black),
                (false, true) => Some(Color::White),
                _ => None,
            };
            for q in region.iter() {
                seen.insert(q);
                owners[q] = owner;
            }
        }
    }
    owners
}

/// KataGo's area map without tax: pass-alive chains with what they enclose, then open territories, then other stones.
/// Dead stones are found only inside small or empty closed regions of pass-alive chains.
pub fn area(board: &Board, suicide: Suicide) -> Owners {
    let mut owners = Owners::filled(None);
    for color in [Color::Black, Color::White] {
        if board.count(color) > 0 {
            claim(board, &Benson::new(board, color, suicide), color, &mut owners);
        }
    }
    for p in board.size().points() {
        if owners[p].is_none() {
            owners[p] = board.get(p);
        }
    }
    owners
}

fn claim(board: &Board, benson: &Benson, color: Color, owners: &mut Owners) {
    for p in board.size().points() {
        if board.get(p) == Some(color) {
            if benson.is_alive(board, p) {
                owners[p] = Some(color);
            }
        } else {
            let region = benson.region(p);
            let enclosed = !region.touches_dropped && (region.n_inner <= 1 || !region.has_opponent);
            let open = !region.has_opponent && owners[p].is_none();
            if enclosed || open {
                owners[p] = Some(color);
            }
        }
    }
}

/// The chains of `color` that cannot be captured even if their owner always passes (Benson 1976), as a set of stones.
pub fn pass_alive(board: &Board, color: Color, suicide: Suicide) -> PointSet {
    let benson = Benson::new(board, color, suicide);
    board.size().points().filter(|&p| board.get(p) == Some(color) && benson.is_alive(board, p)).collect()
}

/// Points that are `color`'s whatever happens: what pass-alive chains enclose too narrowly for the opponent to live in.
pub fn safe_territory(board: &Board, color: Color, suicide: Suicide) -> PointSet {
    let benson = Benson::new(board, color, suicide);
    let is_safe = |&p: &Point| {
        board.get(p) != Some(color) && {
            let region = benson.region(p);
            !region.touches_dropped && region.n_inner <= 1
        }
    };
    board.size().points().filter(is_safe).collect()
}

/// The area map under group tax: in pieces that look like seki only stones on their own colour stay marked.
pub fn taxed_area(board: &Board, suicide: Suicide) -> Owners {
    let mut owners = area(board, suicide);
    for p in seki_points(board, &owners).iter() {
        owners[p] = owners[p].filter(|_| board.get(p) == owners[p]);
    }
    owners
}

/// The points of one-colour pieces of an area map that look like seki: a stone of theirs is in atari, or they
/// touch an empty point of nobody.
pub fn seki_points(board: &Board, owners: &Owners) -> PointSet {
    let size = board.size();
    let mut seki = PointSet::default();
    let mut seen = PointSet::default();
    for p in size.points() {
        let Some(color) = owners[p].filter(|_| !seen.contains(p)) else { continue };
        let piece = flood_where(p, |q| size.contains(q) && owners[q] == Some(color));
        let shows_seki = |q: Point| {
            let in_atari = board.get(q) == Some(color) && board.liberties(q) == 1;
            in_atari || q.around().iter().any(|&n| board.is_empty(n) && owners[n].is_none())
        };
        let is_seki = piece.iter().any(shows_seki);
        for q in piece.iter() {
            seen.insert(q);
            if is_seki {
                seki.insert(q);
            }
        }
    }
    seki
}

/// The board without some stones.
pub fn without(board: &Board, dead: &PointSet) -> Board {
    let mut board = board.clone();
    board.set_stones(dead.iter().map(|p| (p, None)));
    board
}

/// Territory in points, Black's and White's: surrounded empty points and twice each dead stone, prisoners of
/// the game not included. Regions next to a stone in `seki` score nothing.
pub fn territory(board: &Board, dead: &PointSet, seki: &PointSet) -> [usize; 2] {
    let clean = without(board, dead);
    let mut points = [0; 2];
    for p in dead.iter() {
        if let Some(c) = board.get(p) {
            points[c.opponent().index()] += 1;
        }
    }
    let owners = plain_area(&clean);
    let mut seen = PointSet::default();
    for p in board.size().points() {
        if !clean.is_empty(p) || seen.contains(p) {
            continue;
        }
        let region = flood(&clean, p, |c| c.is_none());
        let in_seki = region.iter().any(|q| q.around().iter().any(|&n| seki.contains(n)));
        for q in region.iter() {
            seen.insert(q);
            if let Some(c) = owners[q].filter(|_| !in_seki) {
                points[c.index()] += 1;
            }
        }
    }
    points
}

/// The stones in pieces that look like seki once the dead are gone: whose eyes the seki tax takes.
pub fn seki_stones(board: &Board, dead: &PointSet, suicide: Suicide, tax: Tax) -> PointSet {
    if tax == Tax::None {
        return PointSet::default();
    }
    let clean = without(board, dead);
    seki_points(&clean, &area(&clean, suicide)).iter().filter(|&p| clean.get(p).is_some()).collect()
}

/// Living groups of each colour: one-colour pieces of the area map that do not look like seki and hold a stone.
pub fn count_groups(board: &Board, suicide: Suicide) -> [usize; 2] {
    let owners = area(board, suicide);
    let seki = seki_points(board, &owners);
    let mut seen = PointSet::default();
    let mut groups = [0; 2];
    for p in board.size().points() {
        let Some(color) = owners[p].filter(|_| !seen.contains(p)) else { continue };
        for q in flood_where(p, |q| board.size().contains(q) && owners[q] == Some(color)).iter() {
            seen.insert(q);
        }
        groups[color.index()] += usize::from(!seki.contains(p));
    }
    groups
}

/// The connected points around `p` whose content passes the test.
fn flood(board: &Board, p: Point, inside: impl Fn(Option<Color>) -> bool) -> PointSet {
    flood_where(p, |q| board.size().contains(q) && inside(board.get(q)))
}

fn flood_where(p: Point, inside: impl Fn(Point) -> bool) -> PointSet {
    let mut set = PointSet::default();
    let mut todo = heapless::Vec::<Point, POINTS_MAX>::new();
    set.insert(p);
    todo.push(p).expect("a board's points");
    while let Some(q) = todo.pop() {
        for n in q.around() {
            if inside(n) && set.insert(n) {
                todo.push(n).expect("each point enters once");
            }
        }
    }
    set
}

/// A maximal connected set of points without stones of one colour.
#[derive(Clone)]
struct Region {
    /// Chains of the colour that touch every point that counts.
    vital: heapless::Vec<Point, 4>,
    /// Points without a neighbour of the colour.
    n_inner: usize,
    has_opponent: bool,
    /// It touches a chain that is not alive.
    touches_dropped: bool,
}

/// Benson's analysis for one colour.
struct Benson {
    regions: heapless::Vec<Region, POINTS_MAX>,
    region_of: PointMap<u16>,
    /// By chain name: whether the chain was found not alive.
    dropped: PointSet,
}

impl Benson {
    fn new(board: &Board, color: Color, suicide: Suicide) -> Benson {
        let mut benson =
            Benson { regions: heapless::Vec::new(), region_of: PointMap::filled(u16::MAX), dropped: PointSet::default() };
        for p in board.size().points() {
            if board.get(p) != Some(color) && benson.region_of[p] == u16::MAX {
                benson.add_region(board, p, color, suicide);
            }
        }
        benson.drop_until_stable(board, color);
        benson
    }

    fn region(&self, p: Point) -> &Region {
        &self.regions[self.region_of[p] as usize]
    }

    fn is_alive(&self, board: &Board, p: Point) -> bool {
        !self.dropped.contains(board.chain_name(p))
    }

    fn add_region(&mut self, board: &Board, p: Point, color: Color, suicide: Suicide) {
        let points = flood(board, p, |c| c != Some(color));
        let mut region = Region { vital: heapless::Vec::new(), n_inner: 0, has_opponent: false, touches_dropped: false };
        let mut first = true;
        for q in points.iter() {
            self.region_of[q] = self.regions.len() as u16;
            let mut touched = heapless::Vec::<Point, 4>::new();
            for n in q.around() {
                if board.get(n) == Some(color) && !touched.contains(&board.chain_name(n)) {
                    touched.push(board.chain_name(n)).expect("four neighbours");
                }
            }
            region.n_inner += usize::from(touched.is_empty());
            region.has_opponent |= !board.is_empty(q);
            if board.is_empty(q) || suicide != Suicide::Forbidden {
                if first {
                    region.vital = touched;
                    first = false;
                } else {
                    region.vital.retain(|name| touched.contains(name));
                }
            }
        }
        self.regions.push(region).ok().expect("fewer regions than points");
    }

    fn drop_until_stable(&mut self, board: &Board, color: Color) {
        loop {
            let mut n_vital = PointMap::filled(0u16);
            for region in self.regions.iter().filter(|r| !r.touches_dropped) {
                for &name in &region.vital {
                    n_vital[name] += 1;
                }
            }
            let mut changed = false;
            for p in board.size().points() {
                if board.get(p) == Some(color) && board.chain_name(p) == p && n_vital[p] < 2 {
                    changed |= self.dropped.insert(p);
                }
            }
            if !changed {
                return;
            }
            for p in board.size().points() {
                if board.get(p) != Some(color) {
                    continue;
                }
                if self.dropped.contains(board.chain_name(p)) {
                    for n in p.around() {
                        if board.size().contains(n) && board.get(n) != Some(color) {
                            self.regions[self.region_of[n] as usize].touches_dropped = true;
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alive(text: &str, suicide: Suicide) -> usize {
        pass_alive(&Board::from_text(text).unwrap(), Color::Black, suicide).len()
    }

    #[test]
    fn two_eyes_live_and_one_does_not() {
        let two = ". X . X O
                   X X X X O
                   O O O O O
                   . . . . .
                   . . . . .";
        let one = ". X X X O
                   X X X X O
                   O O O O O
                   . . . . .
                   . . . . .";
        assert_eq!((alive(two, Suicide::Forbidden), alive(one, Suicide::Forbidden)), (6, 0));
    }

    #[test]
    fn a_lone_stone_owns_the_board_and_dame_is_nobodys() {
        let lone = Board::from_text(". . .\n. X .\n. . .").unwrap();
        assert_eq!(count(&area(&lone, Suicide::Forbidden), lone.size()), [9, 0]);
        assert_eq!(count(&plain_area(&lone), lone.size()), [9, 0]);
        let both = Board::from_text(". X . O\n. X . O\n. X . O").unwrap();
        assert_eq!(count(&area(&both, Suicide::Forbidden), both.size()), [6, 3]);
        assert_eq!(territory(&both, &PointSet::default(), &PointSet::default()), [3, 0]);
    }
}
