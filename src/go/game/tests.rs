//! Games against what their rules say, and against slower answers.

use super::*;
use crate::base::rng::{below, rng};
use rand::Rng as _;

fn play_all(game: &mut Game, names: &str) {
    for name in names.split_whitespace() {
        let mv = Move::parse_gtp(name, game.size()).unwrap();
        game.play_tolerant(game.to_move(), mv).unwrap();
    }
}

#[test]
fn undo_gives_the_game_before_back() {
    let size = Size::square(5).unwrap();
    let mut game = Game::new(size, Rules::TROMP_TAYLOR, 7.5);
    play_all(&mut game, "C3 C2 D2 D3 B2 pass C1");
    let before = game.clone();
    play_all(&mut game, "A1");
    assert!(game.undo());
    assert_eq!(game.board(), before.board());
    assert_eq!((game.taken(), game.to_move(), game.past.len()), (before.taken(), before.to_move(), before.past.len()));
    while game.undo() {}
    assert_eq!(game.board(), &Board::new(size));
}

#[test]
fn handicap_counts_as_the_rules_say() {
    let size = Size::square(9).unwrap();
    for (rules, komi, expected) in [(Rules::CHINESE, 0.5, 2.5), (Rules::AGA, 0.5, 1.5), (Rules::TROMP_TAYLOR, 0.5, 0.5)] {
        let mut game = Game::new(size, rules, komi);
        play_all(&mut game, "C3 pass G7 E5");
        assert_eq!(game.white_bonus(), expected, "{rules:?}");
    }
}

#[test]
fn a_set_up_with_white_stones_is_no_handicap() {
    let board = Board::from_text("X . O\n. . .\n. . .").unwrap();
    let mut game = Game::from_board(board, Color::Black, Rules::CHINESE, 0.5);
    play_all(&mut game, "A1 pass B1");
    assert_eq!(game.white_bonus(), 0.5);
}

#[test]
fn territory_credit_goes_on_through_a_set_up() {
    let size = Size::square(5).unwrap();
    let mut game = Game::new(size, Rules::JAPANESE, 0.0);
    // Black takes A1: three stones of his, two of White's.
    play_all(&mut game, "A2 A1 B1 E5 D2");
    assert_eq!((game.taken(), game.self_komi()), ([0, 1], 1.0));
    game.set_stone(Point::parse_gtp("E1", size).unwrap(), Some(Color::White));
    assert_eq!((game.taken(), game.self_komi()), ([0, 1], 0.0));
}

#[test]
fn group_tax_may_cost_more_than_a_side_has() {
    // Black's group has one point: the white stone in its second eye was not agreed to be dead.
    let board = Board::from_text(". X . O X O\nX X X X X O\nO O O O O O\n. O . O . .").unwrap();
    let rules = Rules::named("ancient-territory").unwrap();
    let game = Game::from_board(board, Color::Black, rules, 0.0);
    assert_eq!(game.score_white(&PointSet::default()), (4 - 2) as f32 - (1 - 2) as f32);
}

#[test]
fn two_passes_end_the_game_and_a_stone_goes_on() {
    let mut game = Game::new(Size::square(5).unwrap(), Rules::JAPANESE, 6.5);
    play_all(&mut game, "C3 pass pass");
    assert!(game.is_over() && game.pass_ends());
    assert_eq!(game.history().count(), 1);
    play_all(&mut game, "A1");
    assert!(!game.is_over());
}

#[test]
fn scores_by_area_and_by_territory() {
    let board = Board::from_text(". X O .\n. X O .\n. X O .\nX X O .").unwrap();
    for (rules, expected) in [(Rules::CHINESE, 0.0), (Rules::JAPANESE, 1.0)] {
        let game = Game::from_board(board.clone(), Color::Black, rules, 0.0);
        assert_eq!(game.score_white(&PointSet::default()), expected, "{rules:?}");
    }
}

/// Random games with passes and captures; `visit` sees each position and the boards of this game so far.
fn random_games(rules: Rules, mut visit: impl FnMut(&Game, &[Board])) {
    for (seed, (w, h)) in [(2, 2), (3, 2), (4, 4), (5, 5), (9, 9)].into_iter().enumerate() {
        let size = Size::new(w, h).unwrap();
        let mut r = rng(seed as u64, 3);
        for _ in 0..20 {
            let mut game = Game::new(size, rules, 7.5);
            let mut boards = Vec::new();
            for _ in 0..6 * size.n_points() {
                visit(&game, &boards);
                let policy_idx = below(r.next_u64(), size.n_points() + 1);
                let mv = match policy_idx {
                    pass if pass == size.n_points() => Move::Pass,
                    idx => Move::Play(size.points().nth(idx).unwrap()),
                };
                let before = game.board().clone();
                if game.play(game.to_move(), mv).is_ok() {
                    boards.push(before);
                }
            }
        }
    }
}

#[test]
fn superko_points_are_those_that_superko_forbids() {
    for rules in [Rules::CHINESE, Rules::TROMP_TAYLOR, Rules::named("aga").unwrap()] {
        let mut n = 0;
        random_games(rules, |game, _| {
            let color = game.to_move();
            let forbidden = |&p: &Point| game.is_legal(color, Move::Play(p)) == Err(Illegal::Superko);
            let expected: PointSet = game.size().points().filter(forbidden).collect();
            assert_eq!(game.superko_points(color), expected, "{:?}", game.board());
            n += expected.len();
        });
        assert!(n > 0 || rules.ko == Ko::Simple, "{rules:?}");
    }
}

#[test]
fn the_boards_before_are_those_that_were() {
    random_games(Rules::TROMP_TAYLOR, |game, boards| {
        for back in 1..=boards.len().min(2) {
            let expected = &boards[boards.len() - back];
            // A pass that ends the game hides what was before it.
            if back <= game.history().count() {
                assert_eq!(&game.board_before(back), expected);
                assert_eq!(game.position_before(back), (expected.hash(), expected.ko()));
            }
        }
    });
}
