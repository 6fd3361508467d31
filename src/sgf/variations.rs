//! All lines of a game, not only the one that was played.

use super::collection::{Collection, Game};
use super::{GameError, GameRecord, LINE_NODES_MAX, OffBoard, Reason};
use std::collections::VecDeque;

/// As [`super::games`], with every line of a game to its end: the main line, then those beside it in the order of the file. Of a game with
/// more than [`LINE_NODES_MAX`] nodes on its lines the rest is one error.
pub fn lines(bytes: &[u8], off_board: OffBoard) -> impl Iterator<Item = Result<GameRecord, GameError>> {
    let mut collection = Collection::new(bytes);
    let mut ready = VecDeque::new();
    std::iter::from_fn(move || {
        if ready.is_empty() {
            match collection.next_game()? {
                Ok(game) => read_lines(&game, off_board, &mut ready),
                Err(error) => ready.push_back(Err(error)),
            }
        }
        ready.pop_front()
    })
}

fn read_lines(game: &Game<'_>, off_board: OffBoard, out: &mut VecDeque<Result<GameRecord, GameError>>) {
    let main = match GameRecord::read_with(game, off_board) {
        Ok(main) => main,
        Err(error) => return out.push_back(Err(error)),
    };
    let bare = GameRecord { steps: Vec::new(), ends_off_board: false, ..main.clone() };
    let (mut last_leaf, mut n_nodes) = (game.tree.main_line().end.saturating_sub(1), 0);
    out.push_back(Ok(main));
    let leaves = last_leaf + 1..game.tree.len();
    let mut path = Vec::new();
    for leaf in leaves.filter(|&node| game.tree.first_child(node).is_none()) {
        path.clear();
        path.extend(std::iter::successors(Some(leaf), |&node| game.tree.parent(node)));
        path.reverse();
        n_nodes += path.len();
        if n_nodes > LINE_NODES_MAX {
            return out.push_back(Err(game.root_error(b"", Reason::TooManyLines)));
        }
        let mut record = GameRecord { line_idx: bare.line_idx + out.len() as u32, ..bare.clone() };
        // Nodes lie in the order of the file: those up to the leaf before are on an earlier line.
        let is_move = |&&node: &&usize| [b"B", b"W"].iter().any(|name| game.tree.first(node, *name).is_some());
        record.n_shared = path.iter().take_while(|&&node| node <= last_leaf).filter(is_move).count();
        last_leaf = leaf;
        match record.read_line(game, path.iter().copied(), off_board) {
            // A comment without a move of its own is no line of play.
            Ok(()) if record.n_moves() <= record.n_shared && !record.ends_off_board => {}
            read => out.push_back(read.map(|()| record)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_to_its_end() {
        // Three lines of play and a comment; moves shared with the lines before in brackets.
        let text = "(;SZ[9];B[aa];W[ba](;B[ca];W[da](;B[ea])(;B[fa]))(;C[x])(;B[ga]))(;SZ[9];B[bb])";
        let told: Vec<String> = lines(text.as_bytes(), OffBoard::Refuse)
            .map(|line| line.unwrap())
            .map(|r| format!("{}.{}: {} of {}", r.game_idx, r.line_idx, r.n_shared, r.n_moves()))
            .collect();
        assert_eq!(told, ["0.0: 0 of 5", "0.1: 4 of 5", "0.2: 2 of 3", "1.0: 0 of 1"]);
        let bad: Vec<_> = lines(b"(;SZ[9];B[aa](;W[bb])(;W[zz])(;W[cc]))", OffBoard::Refuse).map(|line| line.is_ok()).collect();
        assert_eq!(bad, [true, false, true]);
        let cut: Vec<_> = lines(b"(;SZ[9];B[aa](;W[bb])(;W[cc];B[zz]))", OffBoard::End).map(|line| line.unwrap()).collect();
        assert_eq!(cut.iter().map(|r| (r.n_moves(), r.ends_off_board)).collect::<Vec<_>>(), [(2, false), (2, true)]);
        let bushy = format!("(;{}{})", ";B[]".repeat(3000), "(;W[aa])".repeat(200));
        let all: Vec<_> = lines(bushy.as_bytes(), OffBoard::Refuse).collect();
        assert_eq!(all.len(), 1 + LINE_NODES_MAX / 3002 + 1);
        assert_eq!(all.last().unwrap().as_ref().unwrap_err().reason, Reason::TooManyLines);
    }
}
