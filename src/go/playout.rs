//! Random play to the end: who owns what when nobody has a plan.

use super::board::Board;
use super::point::{Color, Point};
use super::pointset::PointSet;
use super::rules::Suicide;
use super::score::{PointMap, plain_area};
use crate::base::rng::{Rng, below};
use rand::Rng as _;

/// Moves of a playout, per point of the board: random play ends by itself well before, but for repetitions.
const MOVES_PER_POINT: usize = 3;

/// How often each point ended as Black's minus as White's in random games.
pub struct Fates {
    sums: PointMap<i32>,
    n_playouts: usize,
}

impl Default for Fates {
    /// No games yet.
    fn default() -> Fates {
        Fates { sums: PointMap::filled(0), n_playouts: 0 }
    }
}

impl Fates {
    /// Plays `board` out until `n_playouts` games are done.
    pub fn play(&mut self, board: &Board, n_playouts: usize, rng: &mut Rng) {
        while self.n_playouts < n_playouts {
            let mut end = board.clone();
            end.clear_ko();
            play_out(&mut end, [Color::Black, Color::White][self.n_playouts % 2], rng);
            let owners = plain_area(&end);
            for p in board.size().points() {
                self.sums[p] += owners.get(p).map_or(0, |c| if c == Color::Black { 1 } else { -1 });
            }
            self.n_playouts += 1;
        }
    }

    /// How much more often the chain of the stone on `p` ended as its owner's than as the opponent's: -1 to 1.
    pub fn mean(&self, board: &Board, p: Point) -> f32 {
        let sign = if board.get(p) == Some(Color::Black) { 1 } else { -1 };
        let sum: i32 = board.chain(p).map(|q| sign * self.sums[q]).sum();
        sum as f32 / (self.n_playouts * board.chain_len(p)) as f32
    }

    /// The chains whose points ended as the owner's less than `share` more often than as the opponent's.
    pub fn dead(&self, board: &Board, share: f32) -> PointSet {
        let mut dead = PointSet::default();
        for p in board.size().points().filter(|&p| board.get(p).is_some() && board.chain_name(p) == p) {
            if self.mean(board, p) < share {
                for q in board.chain(p) {
                    dead.insert(q);
                }
            }
        }
        dead
    }
}

/// Random moves by turns that fill no own eye, until neither side has one.
fn play_out(board: &mut Board, first: Color, rng: &mut Rng) {
    let size = board.size();
    let mut empty: Vec<Point> = board.empty_points().iter().collect();
    let (mut color, mut n_passes) = (first, 0);
    for _ in 0..MOVES_PER_POINT * size.n_points() {
        match pick(board, color, &empty, rng) {
            Some(i) => {
                let taken = board.play(empty.swap_remove(i), color);
                if taken.stones != [0, 0] {
                    empty.clear();
                    empty.extend(board.empty_points().iter());
                }
                n_passes = 0;
            }
            None => {
                board.clear_ko();
                n_passes += 1;
                if n_passes == 2 {
                    return;
                }
            }
        }
        color = color.opponent();
    }
}

/// The index in `empty` of a sensible move, searched from a random place on.
fn pick(board: &Board, color: Color, empty: &[Point], rng: &mut Rng) -> Option<usize> {
    let start = below(rng.next_u64(), empty.len());
    (start..empty.len())
        .chain(0..start)
        .find(|&i| !is_own_eye(board, empty[i], color) && board.check(empty[i], color, Suicide::Forbidden).is_ok())
}

/// Own stones on all sides, and at most one of the four corners the opponent's (none at the edge).
pub fn is_own_eye(board: &Board, p: Point, color: Color) -> bool {
    let size = board.size();
    if !p.neighbors(size).all(|q| board.get(q) == Some(color)) {
        return false;
    }
    let corners = p.diagonals().into_iter().filter(|&q| size.contains(q));
    let (on_board, hostile) =
        corners.fold((0, 0), |(n, hostile), q| (n + 1, hostile + usize::from(board.get(q) == Some(color.opponent()))));
    hostile <= usize::from(on_board == 4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::rng;

    #[test]
    fn invaders_die_and_walls_live() {
        let board = Board::from_text(
            ". . X O .
             . O X O .
             . . X O X
             . . X O .
             . . X O .",
        )
        .unwrap();
        let mut fates = Fates::default();
        fates.play(&board, 64, &mut rng(1, 0));
        let dead = fates.dead(&board, 0.0);
        assert_eq!(dead.iter().collect::<Vec<_>>(), [Point::new(1, 1), Point::new(4, 2)]);
    }

    #[test]
    fn eyes_are_told_from_false_ones() {
        let board = Board::from_text(
            ". X . . O
             X X . O .
             . . . X O
             . O X . X
             . . O X .",
        )
        .unwrap();
        assert!(is_own_eye(&board, Point::new(0, 0), Color::Black));
        // Diagonals of D2: two are White's.
        assert!(!is_own_eye(&board, Point::new(3, 3), Color::Black));
        assert!(!is_own_eye(&board, Point::new(2, 2), Color::Black));
    }
}
