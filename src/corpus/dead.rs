//! Which stones of a finished position are dead, by random play from there.

use crate::base::rng::{Rng, below};
use crate::go::board::PointSet;
use crate::go::rules::Suicide;
use crate::go::score::{PointMap, plain_area};
use crate::go::{Board, Color, Point};
use rand::Rng as _;

/// Games played out before a judgement is tried, in sum. Of 321,827 scored positions of strong 19x19 games 216,723 are
/// judged as recorded after 16 games and 258,372 after 48 more.
pub(super) const PLAYOUTS: [usize; 2] = [16, 64];
/// Moves of a playout, per point of the board: random play ends by itself well before, but for repetitions.
const MOVES_PER_POINT: usize = 3;

/// How often each point ended as Black's minus as White's in random games.
pub(super) struct Fates {
    sums: PointMap<i32>,
    n_playouts: usize,
}

impl Fates {
    /// No games yet.
    pub(super) fn new() -> Fates {
        Fates { sums: PointMap::filled(0), n_playouts: 0 }
    }

    /// Plays `board` out until `n_playouts` games are done.
    pub(super) fn play(&mut self, board: &Board, n_playouts: usize, rng: &mut Rng) {
        while self.n_playouts < n_playouts {
            let mut end = board.clone();
            end.clear_ko();
            play_out(&mut end, [Color::Black, Color::White][self.n_playouts % 2], rng);
            let owners = plain_area(&end);
            for p in board.size().points() {
                self.sums[p] += owners[p].map_or(0, |c| if c == Color::Black { 1 } else { -1 });
            }
            self.n_playouts += 1;
        }
    }

    /// The chains whose points ended as the owner's less than `share` more often than as the opponent's.
    pub(super) fn dead(&self, board: &Board, share: f32) -> PointSet {
        let mut dead = PointSet::default();
        for p in board.size().points().filter(|&p| board.get(p).is_some() && board.chain_name(p) == p) {
            let sign = if board.get(p) == Some(Color::Black) { 1 } else { -1 };
            let sum: i32 = board.chain(p).map(|q| sign * self.sums[q]).sum();
            if (sum as f32) < share * (self.n_playouts * board.chain_len(p)) as f32 {
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
    let mut empty: Vec<Point> = size.points().filter(|&p| board.is_empty(p)).collect();
    let (mut color, mut n_passes) = (first, 0);
    for _ in 0..MOVES_PER_POINT * size.n_points() {
        match pick(board, color, &empty, rng) {
            Some(i) => {
                let taken = board.play(empty.swap_remove(i), color);
                if taken.stones != [0, 0] {
                    empty.clear();
                    empty.extend(size.points().filter(|&p| board.is_empty(p)));
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
        .find(|&i| !is_eye(board, empty[i], color) && board.check(empty[i], color, Suicide::Forbidden).is_ok())
}

/// Own stones on all sides, and at most one of the four corners the opponent's (none at the edge).
fn is_eye(board: &Board, p: Point, color: Color) -> bool {
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
        let mut fates = Fates::new();
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
        assert!(is_eye(&board, Point::new(0, 0), Color::Black));
        // Diagonals of D2: two are White's.
        assert!(!is_eye(&board, Point::new(3, 3), Color::Black));
        assert!(!is_eye(&board, Point::new(2, 2), Color::Black));
    }
}
