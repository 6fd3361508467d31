//! Random play to the end: who owns what when nobody has a plan.

mod table;

use super::board::Board;
use super::point::{Color, Point};
use super::pointset::PointSet;
use super::score::PointMap;
use crate::base::rng::Rng;
use table::Table;

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
        if self.n_playouts >= n_playouts {
            return;
        }
        let start = Table::new(board);
        let mut table = start.clone();
        while self.n_playouts < n_playouts {
            table.clone_from(&start);
            table.play_out([Color::Black, Color::White][self.n_playouts % 2], rng);
            let owners = table.owners();
            owners.of(Color::Black).iter().for_each(|p| self.sums[p] += 1);
            owners.of(Color::White).iter().for_each(|p| self.sums[p] -= 1);
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
