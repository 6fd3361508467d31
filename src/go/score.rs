//! Scores and life: pass-alive chains, area maps, territory, group tax.

use super::board::Board;
use super::point::{CELLS, Color, Point};
use super::pointset::PointSet;
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owners([PointSet; 2]);

impl Owners {
    /// The points of a colour.
    pub fn of(&self, color: Color) -> &PointSet {
        &self.0[color.index()]
    }

    /// The owner of a point.
    pub fn get(&self, p: Point) -> Option<Color> {
        [Color::Black, Color::White].into_iter().find(|color| self.of(*color).contains(p))
    }

    /// Points of each colour, Black's and White's.
    pub fn count(&self) -> [usize; 2] {
        self.0.map(|set| set.len())
    }
}

/// Area as it stands (Tromp-Taylor): stones, and empty regions that reach one colour only. Nothing is removed.
pub fn plain_area(board: &Board) -> Owners {
    plain_area_of(*board.stones(Color::Black), *board.stones(Color::White), board.empty_points())
}

/// [`plain_area`] of Black's stones, White's stones and the points without.
pub(super) fn plain_area_of(black: PointSet, white: PointSet, empty: PointSet) -> Owners {
    // What a colour reaches through empty points.
    let [by_black, by_white] = [black, white].map(|stones| (stones.grown() & empty).flooded(&empty));
    Owners([black | (by_black - by_white), white | (by_white - by_black)])
}

/// KataGo's area map without tax: pass-alive chains with what they enclose, then open territories, then other stones.
/// Dead stones are found only inside small or empty closed regions of pass-alive chains.
pub fn area(board: &Board, suicide: Suicide) -> Owners {
    let mut owners = Owners::default();
    for color in [Color::Black, Color::White] {
        if board.count(color) > 0 {
            claim(board, &Benson::new(board, color, suicide), color, &mut owners);
        }
    }
    let unclaimed = board.points() - owners.0[0] - owners.0[1];
    for color in [Color::Black, Color::White] {
        owners.0[color.index()] |= *board.stones(color) & unclaimed;
    }
    owners
}

fn claim(board: &Board, benson: &Benson, color: Color, owners: &mut Owners) {
    let mut won = benson.alive;
    let mut open = PointSet::default();
    if benson.alive.is_empty() {
        // No region is closed: those without the opponent's stones are open.
        let outside = board.points() - *board.stones(color);
        open = outside - board.stones(color.opponent()).flooded(&outside);
    }
    for region in &benson.regions {
        let is_free = region.points.is_disjoint(board.stones(color.opponent()));
        if region.is_closed && (region.n_inner <= 1 || is_free) {
            won |= region.points;
        } else if is_free {
            open |= region.points;
        }
    }
    let opponents = color.opponent().index();
    owners.0[opponents] = owners.0[opponents] - won;
    owners.0[color.index()] |= won | (open - owners.0[opponents]);
}

/// The chains of `color` that cannot be captured even if their owner always passes (Benson 1976), as a set of stones.
pub fn pass_alive(board: &Board, color: Color, suicide: Suicide) -> PointSet {
    Benson::new(board, color, suicide).alive
}

/// Points that are `color`'s whatever happens: what pass-alive chains enclose too narrowly for the opponent to live in.
pub fn safe_territory(board: &Board, color: Color, suicide: Suicide) -> PointSet {
    let benson = Benson::new(board, color, suicide);
    let safe = benson.regions.iter().filter(|region| region.is_closed && region.n_inner <= 1);
    safe.fold(PointSet::default(), |all, region| all | region.points)
}

/// The area map under group tax: in pieces that look like seki only stones on their own colour stay marked.
pub fn taxed_area(board: &Board, suicide: Suicide) -> Owners {
    let mut owners = area(board, suicide);
    let seki = seki_points(board, &owners);
    for color in [Color::Black, Color::White] {
        let owned = &mut owners.0[color.index()];
        *owned = *owned - (seki - *board.stones(color));
    }
    owners
}

/// The points of one-colour pieces of an area map that look like seki: a stone of theirs is in atari, or they
/// touch an empty point of nobody.
pub fn seki_points(board: &Board, owners: &Owners) -> PointSet {
    let near_nobodys = (board.empty_points() - owners.0[0] - owners.0[1]).grown();
    let mut seki = PointSet::default();
    for color in [Color::Black, Color::White] {
        for piece in owners.of(color).pieces() {
            let in_atari = (piece & *board.stones(color)).iter().any(|p| board.liberties(p) == 1);
            if in_atari || !piece.is_disjoint(&near_nobodys) {
                seki |= piece;
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
    let [black, white] = [Color::Black, Color::White].map(|color| *board.stones(color));
    let empty = board.empty_points() | *dead;
    let owners = plain_area_of(black - *dead, white - *dead, empty);
    let at_seki = (seki.grown() & empty).flooded(&empty);
    // A region that reaches one colour only is all that colour's.
    let counted = empty - at_seki;
    [(Color::Black, white), (Color::White, black)]
        .map(|(color, hostile)| (*owners.of(color) & counted).len() + (hostile & *dead).len())
}

/// The stones in pieces that look like seki once the dead are gone: whose eyes the seki tax takes.
pub fn seki_stones(board: &Board, dead: &PointSet, suicide: Suicide, tax: Tax) -> PointSet {
    if tax == Tax::None {
        return PointSet::default();
    }
    let clean = without(board, dead);
    seki_points(&clean, &area(&clean, suicide)) - clean.empty_points()
}

/// Living groups of each colour: one-colour pieces of the area map that do not look like seki and hold a stone.
pub fn count_groups(board: &Board, suicide: Suicide) -> [usize; 2] {
    let owners = area(board, suicide);
    let seki = seki_points(board, &owners);
    owners.0.map(|owned| owned.pieces().filter(|piece| piece.is_disjoint(&seki)).count())
}

/// A maximal connected set of points without stones of one colour.
struct Region {
    points: PointSet,
    /// The chains of the colour, by name, that touch every point that counts.
    vital_to: heapless::Vec<Point, 4>,
    /// Points without a neighbour of the colour.
    n_inner: usize,
    /// Every chain of the colour that it touches is alive.
    is_closed: bool,
}

/// Regions that stones can cut a board into: the points of one colour of a chessboard.
const REGIONS_MAX: usize = POINTS_MAX.div_ceil(2);

/// Benson's analysis for one colour.
struct Benson {
    /// All regions, or none where no chain is alive.
    regions: heapless::Vec<Region, REGIONS_MAX>,
    /// Stones of chains that are alive.
    alive: PointSet,
}

impl Benson {
    fn new(board: &Board, color: Color, suicide: Suicide) -> Benson {
        let own = *board.stones(color);
        let near_own = own.grown();
        let outside = board.points() - own;
        // Where the opponent may take his own stones off by suicide, points under his stones count too.
        let may_count = if suicide == Suicide::Forbidden { board.empty_points() } else { outside };
        let mut benson = Benson { regions: heapless::Vec::new(), alive: PointSet::default() };
        let region =
            |points: PointSet, vital_to| Region { points, vital_to, n_inner: (points - near_own).len(), is_closed: true };
        // A point that counts and touches no own stone makes a region vital to none: most of the board.
        let vital_to_none = ((outside & may_count) - near_own).flooded(&outside);
        for points in (outside - vital_to_none).pieces() {
            benson
                .regions
                .push(region(points, chains_at_every_point(board, color, &(points & may_count))))
                .map_err(|_| ())
                .expect("no two regions touch");
        }
        if !benson.has_chain_with_two() {
            benson.regions.clear();
            return benson;
        }
        benson.regions.extend(vital_to_none.pieces().map(|points| region(points, heapless::Vec::new())));
        benson.drop_until_stable(board, color);
        benson
    }

    /// Whether two regions are vital to one chain.
    fn has_chain_with_two(&self) -> bool {
        let mut names = PointSet::default();
        self.regions.iter().flat_map(|region| &region.vital_to).any(|&name| !names.insert(name))
    }

    /// Drops chains with fewer than two vital regions, and with them the regions that they touch, until none is left to drop.
    fn drop_until_stable(&mut self, board: &Board, color: Color) {
        let names: PointSet = self.regions.iter().flat_map(|r| r.vital_to.iter().copied()).collect();
        self.alive = *board.stones(color);
        loop {
            let n_vital = |name: &Point| self.regions.iter().filter(|r| r.is_closed && r.vital_to.contains(name)).count();
            let alive = names.iter().filter(|name| n_vital(name) >= 2).flat_map(|name| board.chain(name)).collect();
            if alive == self.alive {
                return;
            }
            self.alive = alive;
            let near_dropped = (*board.stones(color) - alive).grown();
            for region in &mut self.regions {
                region.is_closed &= region.points.is_disjoint(&near_dropped);
            }
        }
    }
}

/// The chains of `color`, by name, that touch each of the points.
fn chains_at_every_point(board: &Board, color: Color, points: &PointSet) -> heapless::Vec<Point, 4> {
    let mut common: Option<heapless::Vec<Point, 4>> = None;
    for p in points.iter() {
        let touching = p.around().into_iter().filter(|&q| board.get(q) == Some(color)).map(|q| board.chain_name(q));
        match &mut common {
            None => {
                let mut first = heapless::Vec::new();
                for name in touching {
                    if !first.contains(&name) {
                        first.push(name).expect("four neighbours");
                    }
                }
                common = Some(first);
            }
            Some(common) => {
                let touching: heapless::Vec<Point, 4> = touching.collect();
                common.retain(|name| touching.contains(name));
            }
        }
        if common.as_ref().is_some_and(|c| c.is_empty()) {
            break;
        }
    }
    common.unwrap_or_default()
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
        assert_eq!(area(&lone, Suicide::Forbidden).count(), [9, 0]);
        assert_eq!(plain_area(&lone).count(), [9, 0]);
        let both = Board::from_text(". X . O\n. X . O\n. X . O").unwrap();
        assert_eq!(area(&both, Suicide::Forbidden).count(), [6, 3]);
        assert_eq!(territory(&both, &PointSet::default(), &PointSet::default()), [3, 0]);
    }

    #[test]
    fn safe_territory_is_too_narrow_to_live_in() {
        // Black's group has two eyes; the white stone in the left one cannot live.
        let board = Board::from_text("O.X.X.\n..XXX.\nXXX...\n......\n......\n......").unwrap();
        let safe = safe_territory(&board, Color::Black, Suicide::Forbidden);
        assert_eq!(safe.iter().map(|p| p.gtp(board.size())).collect::<Vec<_>>().join(" "), "A6 B6 D6 A5 B5");
        // Without the second eye nothing is safe.
        let board = Board::from_text("O.X...\n..XXX.\nXXX...\n......\n......\n......").unwrap();
        assert!(safe_territory(&board, Color::Black, Suicide::Forbidden).is_empty());
    }
}
