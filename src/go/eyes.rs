//! Which stones are dead where a game was played to its end, told by eyes alone: no reading, and so no time.
//!
//! It looks at a position as people do who count it: empty points belong to whom most stones around them are of, a group lives
//! that has room or two eyes among its own, and stones taken for dead no longer count as neighbours. That settles most
//! games; it knows nothing of fights, shared life and boundaries left open, so who asks must know another way whether it is right.

use super::board::Board;
use super::point::Color;
use super::pointset::PointSet;

/// How many times more stones of one colour than of the other stand around empty points that are its own: a dead stone in
/// there shall not make them shared.
const MAJORITY: usize = 2;

/// Points of its own with which a group is taken to live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room(pub usize);

/// The dead stones of both colours if those in `presumed` are taken off first. Begin with none, and ask again with the first
/// answer as long as it changes.
///
/// The first answer takes all stones of a colour that the other colour does not keep apart for one group; the second only
/// those that touch, or touch the same points of their own.
pub fn dead_by_eyes(board: &Board, presumed: &PointSet, room: Room) -> [PointSet; 2] {
    let stones = [Color::Black, Color::White].map(|color| *board.stones(color));
    let standing = stones.map(|stones| stones - *presumed);
    let mut owned = [PointSet::default(); 2];
    for piece in (board.empty_points() | *presumed).pieces() {
        let near = piece.neighbors();
        let [black, white] = standing.map(|stones| (near & stones).len());
        if black > MAJORITY * white {
            owned[0] |= piece;
        } else if white > MAJORITY * black {
            owned[1] |= piece;
        }
    }
    let mut dead = [PointSet::default(); 2];
    for color in [Color::Black, Color::White] {
        let (stones, owned) = (stones[color.index()], owned[color.index()]);
        let loosely = board.points() - standing[color.opponent().index()];
        for (groups, dead) in [loosely, stones | owned].into_iter().zip(&mut dead) {
            for group in groups.pieces() {
                if !lives(group & owned, room) {
                    *dead |= group & stones;
                }
            }
        }
    }
    dead
}

/// Room, or two eyes.
fn lives(owned: PointSet, room: Room) -> bool {
    owned.len() >= room.0 || owned.pieces().nth(1).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dead(text: &str) -> String {
        let board = Board::from_text(text).unwrap();
        let [once, _] = dead_by_eyes(&board, &PointSet::default(), Room(6));
        let [twice, strictly] = dead_by_eyes(&board, &once, Room(6));
        assert_eq!(twice, strictly, "{board:?}");
        twice.iter().map(|p| p.gtp(board.size())).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn lone_stones_and_groups_with_one_eye_are_dead() {
        let got = dead(
            ". X O . .
             X X O . .
             O O O . .
             . . . . .
             . . X . .",
        );
        assert_eq!(got, "B5 A4 B4 C1");
        let got = dead(
            ". . . . X O . . .
             . . . . X O . . .
             . . O . X O . . .
             . . . . X O . . .
             . . . . X O . X X
             . . . . X O . . .
             . . . . X O . . .
             . . . . X O . . .
             . . . . X O . . .",
        );
        assert_eq!(got, "C7 H5 J5");
    }

    #[test]
    fn two_small_eyes_live() {
        let got = dead(
            ". X . X O . .
             X X X X O . .
             O O O O O . .
             . . . . . . .
             . . . . . . .
             . . X . . . .
             . . . . . . .",
        );
        assert_eq!(got, "C2");
    }
}
