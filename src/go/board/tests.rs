//! Boards against drawings, recounts and each other.

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
    let verdicts = [Suicide::Forbidden, Suicide::MultiStone, Suicide::Allowed].map(|s| b.check(corner, Color::White, s).is_ok());
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
                    assert_eq!((again.hash, again.of, again.empty, again.heads.len()), (b.hash, b.of, b.empty, b.heads.len()));
                    assert!(b.chains().all(|head| b.chain_name(head) == head));
                    let in_atari: PointSet = b.chains().filter(|&head| again.liberties(head) == 1).collect();
                    assert_eq!(b.atari, in_atari, "{b:?}");
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

/// All that a board holds, entries of no meaning included: what taking back must restore.
fn all_of(b: &Board) -> impl PartialEq + std::fmt::Debug + use<> {
    let cells: Vec<_> = (0..CELLS).map(|i| (b.cells[i], b.head[i], b.next[i], b.liberties[i], b.stones[i])).collect();
    (cells, (b.of, b.empty, b.heads, b.atari, b.ko, b.hash))
}

#[test]
fn taking_back_restores_everything() {
    for (seed, (w, h)) in [(2, 2), (3, 5), (5, 5), (9, 9), (19, 19)].into_iter().enumerate() {
        let size = Size::new(w, h).unwrap();
        let points: Vec<Point> = size.points().collect();
        let mut r = rng(seed as u64, 2);
        for _ in 0..20 {
            let mut b = Board::new(size);
            let mut line = Vec::new();
            let mut color = Color::Black;
            for _ in 0..4 * points.len() {
                let p = points[below(r.next_u64(), points.len())];
                if b.check(p, color, Suicide::Allowed).is_ok() {
                    let before = all_of(&b);
                    let undo = b.play_with_undo(p, color);
                    line.push((before, undo));
                }
                color = color.opponent();
                // Back some way and on again, so that lines branch.
                if r.next_u64().is_multiple_of(11) {
                    for _ in 0..below(r.next_u64(), line.len() + 1) {
                        let (before, undo) = line.pop().unwrap();
                        b.take_back(&undo);
                        assert!(all_of(&b) == before, "{b:?} {undo:?}");
                    }
                }
            }
            while let Some((before, undo)) = line.pop() {
                b.take_back(&undo);
                assert!(all_of(&b) == before, "{b:?} {undo:?}");
            }
        }
    }
}
