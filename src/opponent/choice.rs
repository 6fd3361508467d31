//! Which move: the policy's best that is legal and does something, or a pass that loses nothing.

use super::judge::{View, dead_stones};
use super::mind::OPENING_POINTS_PER_STONE;
use crate::go::rules::Scoring;
use crate::go::{Board, Color, Game, Move, Point, PointSet, playout, score};
use crate::search::{takes_board_literally, useless_points};
use std::time::Instant;

/// A game longer than this many moves a point is not getting anywhere; the longest real ones have 1.5.
const MOVES_PER_POINT_MAX: usize = 3;
/// Ownership from which on a point is settled.
const SETTLED_FROM: f32 = 0.5;
/// Passes in a row that show that the other side is done.
const PASSES_OF_ONE_WHO_IS_DONE: usize = 2;

/// The move for the player to move, found by `deadline`.
pub(super) fn choose(game: &Game, view: &View, deadline: Option<Instant>) -> Move {
    let n_points = game.size().n_points();
    let n_stones = game.board().count(Color::Black) + game.board().count(Color::White);
    let Some(best) = best_move(game, view) else { return Move::Pass };
    if game.moves().len() >= MOVES_PER_POINT_MAX * n_points {
        return Move::Pass;
    }
    if n_stones * OPENING_POINTS_PER_STONE < n_points {
        return best;
    }
    let wants_pass = view.weight(Move::Pass) >= view.weight(best);
    let pass = match game.n_passes() {
        0 => wants_pass,
        // The pass would end the game.
        _ => {
            let margin = margin_if_ended(game, view, deadline);
            let is_settled = margin > unsettled(game, view) as f32;
            let is_done = passes_of_opponent(game) >= PASSES_OF_ONE_WHO_IS_DONE;
            let is_lost_anyway = view.win < 0.5;
            match margin > 0.0 {
                true => wants_pass || is_settled || is_done,
                false => wants_pass && is_lost_anyway,
            }
        }
    };
    match pass {
        true if game.n_passes() > 0 => last_ko(game, view).unwrap_or(Move::Pass),
        true => Move::Pass,
        false => best,
    }
}

/// Where an own chain that lives could still be taken, such as the stone of the last ko: under area scoring it costs nothing to
/// fill, and not every program counts it as ours where it is open.
fn last_ko(game: &Game, view: &View) -> Option<Move> {
    if game.rules().scoring != Scoring::Area {
        return None;
    }
    let (board, color, size) = (game.board(), game.to_move(), game.size());
    let in_atari = size.points().filter(|&p| {
        board.get(p) == Some(color) && board.chain_name(p) == p && board.liberties(p) == 1 && view.own(p) >= SETTLED_FROM
    });
    let last_liberty = |p: Point| board.chain(p).flat_map(|q| q.neighbors(size)).find(|&n| board.is_empty(n));
    in_atari.filter_map(last_liberty).find_map(|p| {
        let mut after = game.clone();
        after.play(color, Move::Play(p)).is_ok().then_some(())?;
        (after.board().liberties(p) > 1).then_some(Move::Play(p))
    })
}

/// The stones that count as dead when the game ends now: none where the rules take the board as it stands.
pub(super) fn dead_at_end(game: &Game, view: &View) -> PointSet {
    match takes_board_literally(game) {
        true => PointSet::default(),
        false => dead_stones(game, view, None),
    }
}

/// The policy's best legal move on a point that is not useless.
fn best_move(game: &Game, view: &View) -> Option<Move> {
    let board = game.board();
    let color = game.to_move();
    let useless = useless_points(game);
    let weight = |p: Point| match view.weight(Move::Play(p)) {
        w if w.is_nan() => f32::NEG_INFINITY,
        w => w,
    };
    let mut points: Vec<Point> = board.size().points().filter(|&p| board.is_empty(p)).collect();
    points.sort_by(|&a, &b| weight(b).total_cmp(&weight(a)));
    points
        .into_iter()
        .filter(|&p| !useless.contains(p) && !is_own_eye(board, p, color))
        .map(Move::Play)
        .find(|&mv| game.is_legal(color, mv).is_ok())
}

/// Whether `p` is an eye of `color` that nothing forces to fill: only own chains around it, none in atari, and the
/// opponent on too few corners to make it false.
pub(super) fn is_own_eye(board: &Board, p: Point, color: Color) -> bool {
    playout::is_own_eye(board, p, color) && p.neighbors(board.size()).all(|n| board.liberties(n) >= 2)
}

/// Points the player to move is ahead by if the game ends as it stands.
fn margin_if_ended(game: &Game, view: &View, deadline: Option<Instant>) -> f32 {
    let white = match takes_board_literally(game) {
        true => {
            let [black, white] = score::plain_area(game.board()).count();
            white as f32 - black as f32 + game.white_bonus()
        }
        false => game.score_white(&dead_stones(game, view, deadline)),
    };
    match game.to_move() {
        Color::White => white,
        Color::Black => -white,
    }
}

/// Twice the points that nobody owns for sure: how far the score can still move.
pub(super) fn unsettled(game: &Game, view: &View) -> usize {
    2 * game.size().points().filter(|&p| view.own(p).abs() < SETTLED_FROM).count()
}

/// How often in a row the opponent has passed.
fn passes_of_opponent(game: &Game) -> usize {
    let opponent = game.to_move().opponent();
    game.moves().iter().rev().filter(|(color, _)| *color == opponent).take_while(|(_, mv)| *mv == Move::Pass).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::go::Rules;

    /// A game that stands at `board` after `n_passes` passes, with Black to move.
    fn game(board: &str, rules: Rules, n_passes: usize) -> Game {
        let start = if n_passes.is_multiple_of(2) { Color::Black } else { Color::White };
        let mut game = Game::from_board(Board::from_text(board).unwrap(), start, rules, 0.5);
        for _ in 0..n_passes {
            let color = game.to_move();
            game.play(color, Move::Pass).unwrap();
        }
        game
    }

    fn view(len: usize, liked: &str, pass: f32, win: f32, owner: impl Fn(Point) -> f32) -> View {
        let size = crate::go::Size::square(len).unwrap();
        let mut policy = vec![0.001; len * len + 1];
        policy[Move::parse_gtp(liked, size).unwrap().policy_index(len)] = 0.5;
        policy[len * len] = pass;
        View::new(policy, size.points().map(owner).collect(), win)
    }

    /// Black has the left, White the right, the middle line is nobody's: White is ahead by the komi of half a point.
    const SPLIT: &str = ".X.O.\nXX.OO\n.X.O.\nXX.OO\n.X.O.";

    #[test]
    fn eyes_are_not_filled() {
        let board = Board::from_text("X.X\nXXX\n.XO").unwrap();
        let is_eye = |name: &str, color| is_own_eye(&board, Point::parse_gtp(name, board.size()).unwrap(), color);
        assert!(is_eye("B3", Color::Black) && is_eye("A1", Color::Black));
        assert!(!is_eye("B3", Color::White));
        // In the middle one hostile corner leaves it an eye, two do not.
        for (text, expected) in [("XXX.\nX.X.\nXXO.\n....", true), ("OXX.\nX.X.\nXXO.\n....", false)] {
            let board = Board::from_text(text).unwrap();
            assert_eq!(is_own_eye(&board, Point::new(1, 1), Color::Black), expected, "{text}");
        }
    }

    #[test]
    fn the_last_ko_is_filled() {
        // White could take C4 from B4.
        let board = ".XO..\nX.XO.\n.XO..\nXXOO.\n.XO..";
        let owner = |p: Point| if p.x() < 2 || (p.x(), p.y()) == (2, 1) { 1.0 } else { -1.0 };
        for (rules, n_passes, expected) in [(Rules::CHINESE, 1, "B4"), (Rules::CHINESE, 0, "pass"), (Rules::JAPANESE, 1, "pass")]
        {
            let game = game(board, rules, n_passes);
            let move_ = choose(&game, &view(5, "A5", 0.9, 0.1, owner), None);
            assert_eq!(move_.gtp(game.size()), expected, "after {n_passes} passes, {}", game.rules().to_json());
        }
    }

    #[test]
    fn passes_that_end_the_game() {
        let owner = |p: Point| if p.x() < 2 { 1.0 } else { -1.0 };
        let unclear = |_: Point| 0.0;
        let wide = ".X..O\nXX.OO\n.X..O\nXX.OO\n.X..O";
        // Black is ahead here.
        let cases: [(&str, &str, usize, View, &str); 8] = [
            ("policy before any pass", SPLIT, 0, view(5, "C5", 0.1, 0.5, owner), "C5"),
            ("the net wants to pass", SPLIT, 0, view(5, "C5", 0.9, 0.5, owner), "pass"),
            ("ahead and settled", wide, 1, view(5, "C5", 0.1, 0.5, owner), "pass"),
            ("ahead, nothing is settled", wide, 1, view(5, "C5", 0.1, 0.5, unclear), "C5"),
            ("ahead, the other is done", wide, 3, view(5, "C5", 0.1, 0.5, unclear), "pass"),
            ("behind on the board, but winning", SPLIT, 1, view(5, "C5", 0.9, 0.9, owner), "C5"),
            ("behind and lost", SPLIT, 1, view(5, "C5", 0.9, 0.1, owner), "pass"),
            ("behind, wants to play", SPLIT, 1, view(5, "C5", 0.1, 0.1, owner), "C5"),
        ];
        for (case, board, n_passes, view, expected) in cases {
            let game = game(board, Rules::CHINESE, n_passes);
            assert_eq!(choose(&game, &view, None).gtp(game.size()), expected, "{case}");
        }
    }
}
