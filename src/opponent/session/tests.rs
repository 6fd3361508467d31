//! Sessions whose net is a script.

use super::*;
use crate::infer::scripted::Scripted;
use crate::infer::{Evaluation, Request};
use crate::opponent::clock::TimeControl;
use crate::opponent::level::Level;

fn session(effort: Effort, pause: Duration) -> Session {
    let evaluator = Scripted::new(8, move |request: &Request<'_>| {
        std::thread::sleep(pause);
        Evaluation::even(request.len)
    });
    let config = OpponentConfig { rules: "chinese".into(), komi: 7.5, resign_below: 0.0, resign_streak: 3, resign_after: 1.0 };
    let search = SearchConfig { tree_mb: 16, cache_mb: 1, visits: 50, batch_size: 4 };
    let mut session = Session::with_search(Box::new(evaluator), config, search, effort).unwrap();
    session.set_size(Size::square(7).unwrap());
    session
}

#[test]
fn moves_come_before_the_flag() {
    let mut session = session(Effort::default(), Duration::from_millis(2));
    session.clock.set(Some(TimeControl::ByoYomi { main: 0.0, period: 3.0, periods: 1 }));
    for color in [Color::Black, Color::White, Color::Black] {
        let begun = Instant::now();
        session.genmove(color).unwrap();
        let took = begun.elapsed().as_secs_f64();
        assert!(took < 3.0 && took > 0.3, "{took} s of 3");
        assert!(session.report().unwrap().visits > 50, "the clock decides, not the visits of the profile");
    }
    // Nothing is left: a move comes all the same.
    session.clock.set(Some(TimeControl::Absolute { main: 0.0 }));
    assert!(matches!(session.genmove(Color::White), Ok(Answer::Move(_))));
}

#[test]
fn no_time_is_taken_where_there_is_no_choice() {
    // Black's territory, and White has passed: only the pass that ends the game is left.
    let mut session = session(Effort::default(), Duration::ZERO);
    session.set_size(Size::square(5).unwrap());
    let stones = (0..5).flat_map(|y| [1, 3].map(|x| (Point::new(x, y), Color::Black)));
    session.set_position(&stones.collect::<Vec<_>>(), Color::White).unwrap();
    session.play(Color::White, Move::Pass).unwrap();
    session.clock.set(Some(TimeControl::ByoYomi { main: 0.0, period: 1000.0, periods: 1 }));
    assert_eq!(session.genmove(Color::Black).unwrap(), Answer::Move(Move::Pass));
    assert_eq!(session.report().unwrap().visits, session.visits_default());
}

#[test]
fn only_moves_that_are_played_take_time() {
    let mut session = session(Effort { visits: Some(3), ..Effort::default() }, Duration::ZERO);
    session.clock.set(Some(TimeControl::Absolute { main: 1000.0 }));
    let mut watch = |_: &dyn Fn() -> Option<Report>| ControlFlow::Continue(());
    let tick = Duration::from_millis(1);
    let left = |session: &Session| session.clock.left(Color::Black).unwrap().seconds;
    session.genmove_watched(Color::Black, Then::Tell, tick, &mut watch).unwrap();
    assert_eq!(left(&session), 1000.0);
    session.genmove_watched(Color::Black, Then::Play, tick, &mut watch).unwrap();
    assert!(left(&session) < 1000.0);
}

#[test]
fn an_analysis_without_moves_does_not_count_those_with_them() {
    let mut session = session(Effort::default(), Duration::ZERO);
    let mut visits = |barred: &[Move], seen: u32| {
        let mut at_last = 0;
        let mut watch = |report: &dyn Fn() -> Option<Report>| {
            let report = report().filter(|report| report.moves.iter().map(|m| m.visits).sum::<u32>() >= seen);
            report.map_or(ControlFlow::Continue(()), |report| {
                at_last = report.visits - report.moves.iter().map(|m| m.visits).sum::<u32>();
                ControlFlow::Break(())
            })
        };
        session.analyze(Color::Black, barred, Duration::from_millis(1), &mut watch).unwrap();
        at_last
    };
    // All visits but the root's own are those of the moves that are told.
    assert_eq!(visits(&[], 50), 1);
    let centre = [Move::Play(Point::new(3, 3)), Move::Play(Point::new(0, 0)), Move::Play(Point::new(1, 0))];
    assert_eq!(visits(&centre, 20), 1);
    assert_eq!(visits(&[], 20), 1);
}

#[test]
fn limits_of_a_move() {
    let visits = |effort: Effort| {
        let mut session = session(effort, Duration::ZERO);
        session.genmove(Color::Black).unwrap();
        session.report().map_or(0, |report| report.visits)
    };
    assert_eq!(visits(Effort::default()), 50);
    assert_eq!(visits(Effort { visits: Some(7), ..Effort::default() }), 7);
    assert_eq!(visits(Effort { playouts: Some(9), ..Effort::default() }), 10);
    assert_eq!(visits(Effort { level: Some(Level::parse("20k").unwrap()), ..Effort::default() }), 0);
    assert_eq!(visits(Effort { level: Some(Level::parse("6k").unwrap()), ..Effort::default() }), 4);
    assert_eq!(visits(Effort { seconds: Some(0.0), ..Effort::default() }), 1);
}
