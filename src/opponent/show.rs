//! Boards and scores as text.

use crate::go::{Board, Color, Move, Point};
use std::fmt::Write;

/// The board with its coordinates; `last` is marked with brackets. Ends without a line break.
pub fn board_text(board: &Board, last: Option<Move>) -> String {
    let size = board.size();
    let last = last.and_then(Move::point);
    let columns: String = (0..size.w()).map(|x| format!(" {}", column(Point::new(x, 0).gtp(size)))).collect();
    let mut text = format!("   {columns}");
    for y in 0..size.h() {
        write!(text, "\n{:2} ", size.h() - y).expect("a string takes everything");
        for p in (0..size.w()).map(|x| Point::new(x, y)) {
            // The bracket before a stone takes the place of the blank between two points.
            let before = match last {
                Some(at) if at == p => '(',
                Some(at) if p.x() > 0 && at == Point::new(p.x() - 1, y) => ')',
                _ => ' ',
            };
            text.extend([before, cell(board, p)]);
        }
        if last == Some(Point::new(size.w() - 1, y)) {
            text.push(')');
        }
    }
    text
}

/// `B+47.0`, `W+0.5`, `0` for a tie; `white` is the score in points for White.
pub fn score_text(white: f32) -> String {
    match white {
        w if w > 0.0 => format!("W+{w:.1}"),
        w if w < 0.0 => format!("B+{:.1}", -w),
        _ => "0".to_string(),
    }
}

fn column(vertex: String) -> char {
    vertex.chars().next().expect("a vertex begins with its column")
}

fn cell(board: &Board, p: Point) -> char {
    match board.get(p) {
        Some(Color::Black) => 'X',
        Some(Color::White) => 'O',
        None => '.',
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::go::Size;

    #[test]
    fn boards_are_drawn() {
        let board = Board::from_text("X.O\n...\n..X").unwrap();
        let size = Size::square(3).unwrap();
        let drawn = board_text(&board, Move::parse_gtp("C1", size));
        assert_eq!(drawn, "    A B C\n 3  X . O\n 2  . . .\n 1  . .(X)");
        let drawn = board_text(&board, Move::parse_gtp("A3", size));
        assert_eq!(drawn.lines().nth(1), Some(" 3 (X). O"));
        assert_eq!(board_text(&board, Some(Move::Pass)).lines().nth(3), Some(" 1  . . X"));
    }

    #[test]
    fn scores_are_written() {
        let texts = [score_text(0.5), score_text(-47.0), score_text(0.0)];
        assert_eq!(texts, ["W+0.5", "B+47.0", "0"]);
    }
}
