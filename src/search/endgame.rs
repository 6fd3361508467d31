//! The end of a game: what a finished position counts, and moves that change nothing.

use crate::go::rules::{FriendlyPass, Scoring};
use crate::go::score::{self, plain_area, safe_territory};
use crate::go::{Board, Branch, Color, Game, PointSet};

/// Mean ownership of a chain from which on it counts as dead, when the rules leave the dead on the board.
const DEAD_FROM: f32 = 0.5;

/// Who owns each point, `[len * len]`, in White's view: 1 is White's.
#[derive(Clone, Copy)]
pub(super) struct Owner<'a> {
    pub(super) ownership: &'a [f32],
    pub(super) len: usize,
}

/// Whether the rules count the board as it stands: the dead have to be taken off by hand.
pub fn takes_board_literally(game: &Game) -> bool {
    let rules = game.rules();
    rules.scoring == Scoring::Area && rules.friendly_pass == FriendlyPass::Literal
}

/// The score in points for White where passes ended the line. Which stones are dead is what the root's evaluation said;
/// taxes are left out, as they would cost an analysis of every group.
pub(super) fn final_score(game: &Game, branch: &Branch, owner: Option<Owner<'_>>) -> f32 {
    let board = branch.board();
    let dead = match owner {
        Some(owner) if !takes_board_literally(game) => dead_stones(board, owner),
        _ => PointSet::default(),
    };
    let [black, white] = match game.rules().scoring {
        Scoring::Area if dead.is_empty() => plain_area(board).count(),
        Scoring::Area => plain_area(&score::without(board, &dead)).count(),
        Scoring::Territory => {
            let mut points = score::territory(board, &dead, &PointSet::default());
            for color in [Color::Black, Color::White] {
                points[color.index()] += branch.taken()[color.opponent().index()] as usize;
            }
            points
        }
    };
    white as f32 - black as f32 + branch.white_bonus(game)
}

fn dead_stones(board: &Board, owner: Owner<'_>) -> PointSet {
    let mut dead = PointSet::default();
    for head in board.chains() {
        let sign = if board.get(head) == Some(Color::White) { -1.0 } else { 1.0 };
        let lost: f32 = board.chain(head).map(|p| sign * owner.ownership[p.index(owner.len)]).sum();
        if lost > DEAD_FROM * board.chain_len(head) as f32 {
            board.chain(head).for_each(|p| {
                dead.insert(p);
            });
        }
    }
    dead
}

/// Points where a stone of the player to move changes nothing but costs a move: in what the opponent cannot lose, and in
/// what the player cannot lose, unless dead stones have to be taken off there.
pub fn useless_points(game: &Game) -> PointSet {
    let (board, color, suicide) = (game.board(), game.to_move(), game.rules().suicide);
    let theirs = safe_territory(board, color.opponent(), suicide);
    let own = safe_territory(board, color, suicide);
    let to_clear = takes_board_literally(game) && own.iter().any(|p| board.get(p).is_some());
    if to_clear { theirs } else { theirs | own }
}
