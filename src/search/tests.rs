//! Properties of searches, with scripted evaluators.

use super::*;
use crate::base::Error;
use crate::go::{Board, Color, Size};
use crate::infer::scripted::Scripted;
use crate::infer::{Evaluation, Request};
use std::collections::HashMap;

/// Answers drawn from the position itself: the same for the same row.
pub(super) fn by_row(request: &Request<'_>) -> Evaluation {
    let mut bits = request.row.iter().fold(u64::from(request.symmetry), |h, &b| mix(h ^ u64::from(b)));
    let mut draw = || {
        bits = mix(bits);
        (bits >> 40) as f32 / (1 << 24) as f32
    };
    let mut answer = Evaluation::even(request.len);
    answer.policy.iter_mut().for_each(|logit| *logit = 6.0 * draw() * draw());
    answer.value = [2.0 * draw(), 2.0 * draw(), -3.0];
    answer.score = [draw() - 0.5, -1.0, draw() - 0.5, 0.0, 0.0, 0.0];
    answer.ownership.iter_mut().for_each(|o| *o = 4.0 * draw() - 2.0);
    answer
}

fn at(name: &str, game: &Game) -> Move {
    Move::parse_gtp(name, game.size()).unwrap()
}

fn new_game(len: usize, rules: &str) -> Game {
    Game::new(Size::square(len).unwrap(), Rules::named(rules).unwrap(), 6.5)
}

fn search(game: &Game, batch: usize, params: Params) -> Search {
    Search::new(game, 8 << 20, batch, params).unwrap()
}

/// Thinks with a script on one thread.
fn think(search: &mut Search, limits: &Limits, script: impl FnMut(&Request<'_>) -> Evaluation + Send) -> Report {
    let mut evaluator = Scripted::new(64, script);
    search.think(&mut [&mut evaluator], limits, &AtomicBool::new(false)).unwrap();
    search.report().unwrap()
}

fn text(report: &Report, size: Size) -> String {
    let line = |m: &MoveReport| {
        let pv: Vec<String> = m.pv.iter().map(|(mv, n)| format!("{}:{n}", mv.gtp(size))).collect();
        format!("{} {} {:08x} {}", m.mv.gtp(size), m.visits, m.value.utility.to_bits(), pv.join(" "))
    };
    report.moves.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn visits_add_up_in_every_mode() {
    let gumbel = Mode::Gumbel { considered: 16 };
    for (rules, batch, mode) in
        [("tromp-taylor", 1, Mode::Puct), ("chinese", 8, Mode::Puct), ("japanese", 1, gumbel), ("aga-button", 16, gumbel)]
    {
        let game = new_game(5, rules);
        let mut search = search(&game, batch, Params { mode, noise: Some(Noise::SELF_PLAY), ..Params::default() });
        let report = think(&mut search, &Limits::visits(400), by_row);
        assert_eq!(report.visits, 400, "{rules}");
        assert_eq!(report.moves.iter().map(|m| m.visits).sum::<u32>(), 399, "{rules}");
        assert!(report.moves.iter().all(|m| game.is_legal(Color::Black, m.mv).is_ok()), "{rules}");
        let mut target = vec![0.0; 26];
        search.policy_target(&mut target);
        assert!((target.iter().sum::<f32>() - 1.0).abs() < 1e-4, "{rules}");
        lock(&search.shared.tree).check_sums();
    }
}

impl Tree {
    /// Every node's visits are its own and those of its edges, and nothing hangs in the air.
    fn check_sums(&self) {
        for i in 0..self.arena.n_nodes() as u32 {
            let node = self.arena.node(i);
            assert_eq!(node.pending, 0);
            let below: u32 = self.arena.edges(node).iter().map(|e| e.visits).sum();
            match node.state {
                arena::State::Open => assert_eq!(node.visits, below + 1),
                arena::State::Terminal => assert_eq!(below, 0),
                arena::State::Pending => panic!("a node was never evaluated"),
            }
            assert!(self.arena.edges(node).iter().all(|e| e.pending == 0 && e.visits == self.arena.node(e.child).visits));
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_tree() {
    for mode in [Mode::Puct, Mode::Gumbel { considered: 8 }] {
        let params = |seed| Params { seed, mode, noise: Some(Noise::SELF_PLAY), ..Params::default() };
        let run = |seed| {
            let game = new_game(7, "chinese");
            text(&think(&mut search(&game, 4, params(seed)), &Limits::visits(300), by_row), game.size())
        };
        assert_eq!(run(5), run(5));
        assert_ne!(run(5), run(6));
    }
}

#[test]
fn the_tree_goes_on_with_the_game() {
    let mut game = new_game(5, "tromp-taylor");
    let mut search = search(&game, 2, Params::default());
    let before = think(&mut search, &Limits::visits(500), by_row);
    let first = &before.moves[0];
    game.play(Color::Black, first.mv).unwrap();
    search.set_game(&game).unwrap();
    let kept = search.report().unwrap();
    assert_eq!((kept.visits, kept.to_move), (first.visits, Color::White));
    assert_eq!(kept.moves.iter().map(|m| m.visits).max(), first.pv.get(1).map(|(_, n)| *n));
    let after = think(&mut search, &Limits::visits(400), by_row);
    assert_eq!((after.visits, after.playouts), (400, 400 - first.visits));
    lock(&search.shared.tree).check_sums();
    // Two moves at once, then back, other komi, another size.
    let reply = after.moves[0].mv;
    game.play(Color::White, reply).unwrap();
    let next = after.moves[0].pv[1].0;
    game.play(Color::Black, next).unwrap();
    search.set_game(&game).unwrap();
    assert!(search.report().is_some_and(|r| r.visits > 0));
    game.undo();
    search.set_game(&game).unwrap();
    assert!(search.report().is_none());
    think(&mut search, &Limits::visits(50), by_row);
    game.set_komi(0.5);
    search.set_game(&game).unwrap();
    assert!(search.report().is_none());
    search.set_game(&new_game(9, "chinese")).unwrap();
    assert_eq!(think(&mut search, &Limits::visits(50), by_row).visits, 50);
}

#[test]
fn every_move_of_every_line_is_legal() {
    // A small board is soon full of captures and repetitions; the game's own rules judge each line.
    for rules in Rules::NAMES {
        let mut game = new_game(3, rules);
        for name in ["B2", "A2", "C1", "A1"] {
            game.play(game.to_move(), at(name, &game)).unwrap();
        }
        let mut search = search(&game, 4, Params { cpuct: 4.0, ..Params::default() });
        think(&mut search, &Limits::visits(3000), by_row);
        let tree = lock(&search.shared.tree);
        let mut lines = vec![(tree::ROOT, game.clone())];
        let mut n_lines = 0;
        while let Some((node, game)) = lines.pop() {
            n_lines += 1;
            let node = tree.arena.node(node);
            assert_eq!(node.to_move, game.to_move());
            let n_legal = tree.arena.edges(node).len() + tree.arena.untried(node).len();
            if node.state == arena::State::Open {
                let expected = game.size().points().filter(|&p| game.is_legal(game.to_move(), Move::Play(p)).is_ok()).count() + 1;
                assert_eq!(
                    n_legal,
                    expected,
                    "{rules}\n{}{:?}",
                    game.board(),
                    game.moves().iter().map(|(_, m)| m.gtp(game.size())).collect::<Vec<_>>()
                );
            }
            for edge in tree.arena.edges(node) {
                let mut after = game.clone();
                after.play(game.to_move(), Move::from_policy_index(edge.policy_idx as usize, 3)).unwrap();
                lines.push((edge.child, after));
            }
        }
        assert_eq!(n_lines, tree.arena.n_nodes(), "{rules}");
    }
}

#[test]
fn a_full_tree_ends_the_search_and_is_used_on() {
    let mut game = new_game(9, "chinese");
    let mut search = Search::new(&game, 100_000, 8, Params::default()).unwrap();
    let report = think(&mut search, &Limits::NONE, by_row);
    assert!(report.nodes[0] == report.nodes[1] && report.bytes <= 100_000, "{report:?}");
    game.play(Color::Black, search.best().unwrap()).unwrap();
    search.set_game(&game).unwrap();
    let kept = search.report().unwrap();
    assert!(kept.visits > 1 && kept.nodes[0] < kept.nodes[1]);
    assert!(think(&mut search, &Limits::NONE, by_row).visits > kept.visits);
    assert!(Search::new(&game, 1000, 8, Params::default()).is_err());
}

#[test]
fn a_failing_evaluator_ends_the_search() {
    struct Failing(u32);
    impl Evaluator for Failing {
        fn evaluate(&mut self, rows: &[Request<'_>], out: &mut [Evaluation]) -> Result<()> {
            rows.iter().zip(out).for_each(|(row, out)| *out = by_row(row));
            self.0 = self.0.checked_sub(1).ok_or_else(|| Error::new("evaluator", "is broken"))?;
            Ok(())
        }
        fn batch_max(&self) -> usize {
            8
        }
        fn describe(&self) -> String {
            "failing".to_string()
        }
    }
    let game = new_game(5, "chinese");
    let mut search = search(&game, 4, Params::default());
    let stop = AtomicBool::new(false);
    for n_threads in [1, 3] {
        let mut failing: Vec<Failing> = (0..n_threads).map(|_| Failing(20)).collect();
        let mut evaluators: Vec<&mut dyn Evaluator> = failing.iter_mut().map(|e| e as &mut dyn Evaluator).collect();
        stop.store(false, Relaxed);
        let told = search.think(&mut evaluators, &Limits::NONE, &stop).unwrap_err();
        assert!(told.to_string().contains("is broken"));
        assert!(search.report().is_none());
    }
    assert_eq!(think(&mut search, &Limits::visits(30), by_row).visits, 30);
}

#[test]
fn threads_share_a_tree() {
    let game = new_game(7, "aga");
    let mut search = search(&game, 4, Params::default());
    let cache = Arc::new(Cache::new(4 << 20, 7).unwrap());
    search.share_cache(cache);
    let mut scripted: Vec<_> = (0..3).map(|_| Scripted::new(8, by_row)).collect();
    let mut evaluators: Vec<&mut dyn Evaluator> = scripted.iter_mut().map(|e| e as &mut dyn Evaluator).collect();
    let mut n_seen = 0;
    let watch = |report: &dyn Fn() -> Option<Report>| {
        n_seen += usize::from(report().is_some_and(|r| r.visits > 0));
        ControlFlow::Continue(())
    };
    let limits = Limits::visits(5000);
    search.think_watched(&mut evaluators, &limits, &AtomicBool::new(false), Duration::from_millis(1), watch).unwrap();
    let report = search.report().unwrap();
    assert!(report.visits == 5000 && n_seen > 0, "{} visits, {n_seen} looks", report.visits);
    lock(&search.shared.tree).check_sums();
    // Breaking off.
    let stop = AtomicBool::new(false);
    let tick = Duration::from_millis(1);
    search.think_watched(&mut evaluators, &Limits::NONE, &stop, tick, |_| ControlFlow::Break(())).unwrap();
    assert!(search.report().unwrap().visits >= 5000);
}

#[test]
fn a_cache_answers_for_the_evaluator() {
    let game = new_game(5, "chinese");
    let run = |cache: Option<Arc<Cache>>| {
        let mut n_asked = 0;
        let mut search = search(&game, 1, Params::default());
        if let Some(cache) = cache {
            search.share_cache(cache);
        }
        // The answers do not depend on how a position came about, as the cache does not either.
        let report = think(&mut search, &Limits::visits(600), |request| {
            n_asked += 1;
            let mut row = request.row.to_vec();
            row[8..18].fill(0xff);
            by_row(&Request { row: &row[..row.len() - row.len() % 8], ..*request })
        });
        (n_asked, report.visits)
    };
    let (without, _) = run(None);
    let cache = Arc::new(Cache::new(4 << 20, 5).unwrap());
    let (with, visits) = run(Some(cache.clone()));
    let (again, _) = run(Some(cache));
    assert_eq!(visits, 600);
    assert!(with < without && again * 10 < with, "{without} {with} {again}");
}

#[test]
fn barred_moves_are_not_tried() {
    let game = new_game(3, "chinese");
    let mut search = search(&game, 2, Params::default());
    let moves = |report: &Report| report.moves.iter().map(|m| m.mv).collect::<Vec<_>>();
    think(&mut search, &Limits::visits(200), by_row);
    search.bar([at("B2", &game), Move::Pass]);
    let report = think(&mut search, &Limits::visits(400), by_row);
    assert!(!moves(&report).contains(&at("B2", &game)) && !moves(&report).contains(&Move::Pass));
    let mut filled = report.clone();
    filled.fill_up(10);
    assert_eq!(filled.moves.len(), 8, "all but those barred");
    search.bar([]);
    let report = think(&mut search, &Limits::visits(400), by_row);
    assert!(moves(&report).contains(&at("B2", &game)));
    let all: Vec<Move> = (0..10).map(|i| Move::from_policy_index(i, 3)).collect();
    search.bar(all);
    assert!(think(&mut search, &Limits::visits(40), by_row).visits >= 40);
}

/// Black has the left side, White the right: with `komi` for White. Nothing is left to play but dame and eyes.
fn finished(rules: &str, komi: f32, n_passes: usize) -> Game {
    let board = Board::from_text(".X.O.\nXX.OO\n.X.O.\nXX.OO\n.X.O.").unwrap();
    let start = if n_passes == 0 { Color::Black } else { Color::White };
    let mut game = Game::from_board(board, start, Rules::named(rules).unwrap(), komi);
    for _ in 0..n_passes {
        let color = game.to_move();
        game.play(color, Move::Pass).unwrap();
    }
    game
}

#[test]
fn the_last_pass_is_taken_if_it_wins_and_only_then() {
    for rules in ["tromp-taylor", "chinese", "japanese"] {
        // White has passed; Black ahead passes too.
        let game = finished(rules, -1.5, 1);
        let mut ahead = search(&game, 1, Params::default());
        let report = think(&mut ahead, &Limits::visits(300), |r| Evaluation::even(r.len));
        assert_eq!(ahead.best(), Some(Move::Pass), "{rules}: {}", text(&report, game.size()));
        assert!(report.moves[0].value.win < 0.01, "{rules}");
        // Behind by half a point he does not.
        let mut behind = search(&finished(rules, 0.5, 1), 1, Params::default());
        think(&mut behind, &Limits::visits(300), |r| Evaluation::even(r.len));
        assert_ne!(behind.best(), Some(Move::Pass), "{rules}");
    }
}

#[test]
fn a_search_ends_in_time_where_nothing_is_new() {
    // All of Black's moves but the pass that ends the game are barred.
    let game = finished("chinese", -1.5, 1);
    let (told, done) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut search = search(&game, 4, Params::default());
        search.bar(game.size().points().map(Move::Play));
        let limits = Limits { deadline: Some(Instant::now() + Duration::from_millis(20)), ..Limits::NONE };
        let timed = think(&mut search, &limits, |r| Evaluation::even(r.len)).visits;
        assert!(search.ran_out_of_time());
        // A watch gets the tree, and ends it.
        let mut seen = None;
        let mut evaluator = Scripted::new(8, |r: &Request<'_>| Evaluation::even(r.len));
        let tick = Duration::from_millis(1);
        let watch = |report: &dyn Fn() -> Option<Report>| {
            seen = report().filter(|report| report.visits > timed);
            if seen.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        search.think_watched(&mut [&mut evaluator], &Limits::NONE, &AtomicBool::new(false), tick, watch).unwrap();
        told.send(seen.is_some_and(|report| report.moves[0].mv == Move::Pass)).unwrap();
    });
    // Far longer than it takes, far shorter than four billion visits do.
    assert_eq!(done.recv_timeout(Duration::from_secs(100)), Ok(true));
}

#[test]
fn no_batch_begins_that_would_be_late() {
    let pause = Duration::from_millis(200);
    let mut n_asked = 0;
    let mut search = search(&new_game(5, "chinese"), 1, Params::default());
    // The root takes more than half of the time.
    let limits = Limits { deadline: Some(Instant::now() + pause * 3 / 2), ..Limits::NONE };
    think(&mut search, &limits, |request| {
        n_asked += 1;
        std::thread::sleep(pause);
        by_row(request)
    });
    assert_eq!(n_asked, 1);
}

#[test]
fn a_stop_from_outside_ends_a_search() {
    let stop = Stop::default();
    let mut search = search(&new_game(5, "chinese"), 4, Params::default());
    search.stop_with(stop.clone());
    let mut n_asked = 0;
    let report = think(&mut search, &Limits::visits(1_000_000), |request| {
        n_asked += 1;
        if n_asked == 50 {
            stop.request();
        }
        by_row(request)
    });
    assert!((40..100).contains(&report.visits), "{}", report.visits);
}

#[test]
fn values_decide_in_the_end() {
    // One first move of Black's is good, wherever the policy looks.
    let game = new_game(5, "chinese");
    let good = at("D2", &game);
    let script = move |request: &Request<'_>| {
        let mut answer = Evaluation::even(request.len);
        let cell = good.policy_index(5);
        let (own, opp) = (32, 36);
        let stone = |from: usize| request.row[from + cell / 8] >> (cell % 8) & 1 == 1;
        let sign = if stone(own) {
            1.0
        } else if stone(opp) {
            -1.0
        } else {
            0.0
        };
        answer.value = [sign, -sign, -9.0];
        answer.policy[0] = 3.0;
        answer
    };
    for mode in [Mode::Puct, Mode::Gumbel { considered: 16 }] {
        let mut search = search(&game, 1, Params { mode, turning: Turning::None, seed: 3, ..Params::default() });
        think(&mut search, &Limits::visits(400), script);
        assert_eq!(search.best(), Some(good), "{mode:?}");
        let drawn: HashMap<Move, usize> = (0..200).fold(HashMap::new(), |mut all, i| {
            *all.entry(search.draw(1.0, i).unwrap()).or_default() += 1;
            all
        });
        assert!(drawn.len() > 1, "{drawn:?}");
        assert_eq!(search.draw(0.0, 1), Some(good));
    }
}

#[test]
fn garbage_is_no_panic() {
    let game = new_game(5, "japanese");
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e38, -1e38] {
        let mut search = search(&game, 3, Params::default());
        let report = think(&mut search, &Limits::visits(100), |r| Evaluation {
            policy: vec![bad; r.len * r.len + 1],
            value: [bad; 3],
            score: [bad; 6],
            ownership: vec![bad; r.len * r.len],
            version: 8,
        });
        assert!(report.visits == 100 && report.value.utility.is_finite() && search.best().is_some(), "{bad}");
    }
}

#[test]
fn noise_at_the_root_spreads_the_visits() {
    let game = new_game(7, "chinese");
    let moves = |wide_root_noise: f32| {
        let mut search = search(&game, 4, Params { wide_root_noise, ..Params::default() });
        let report = think(&mut search, &Limits::visits(400), by_row);
        (report.moves.iter().filter(|m| m.visits > 3).count(), text(&report, game.size()))
    };
    let (plain, some, much) = (moves(0.0), moves(0.04), moves(1.0));
    assert!(plain.0 <= some.0 && some.0 < much.0, "{} {} {}", plain.0, some.0, much.0);
    assert_eq!(much.1, moves(1.0).1, "the same seed");
}

#[test]
fn doublings_are_told_to_the_net_from_each_side() {
    let doubling = |request: &Request<'_>| f32::from_le_bytes(request.row[28..32].try_into().unwrap());
    let mut game = new_game(5, "chinese");
    let advantage = 1.5;
    for player in [None, Some(Color::White)] {
        let mut search = search(&game, 1, Params { doubling: Some(Doubling { advantage, player }), ..Params::default() });
        let mut told = Vec::new();
        think(&mut search, &Limits::visits(60), |request| {
            told.push(doubling(request));
            by_row(request)
        });
        // The root's is the first.
        let first = if player.is_none() { advantage } else { -advantage };
        assert!(told[0] == first && told[1] == -first && told.contains(&first), "{player:?}: {told:?}");
    }
    // Whoever is to move at the root has it: the tree of the move before is of no use.
    let mut search = search(&game, 1, Params { doubling: Some(Doubling { advantage, player: None }), ..Params::default() });
    let best = think(&mut search, &Limits::visits(60), by_row).moves[0].mv;
    game.play(game.to_move(), best).unwrap();
    search.set_game(&game).unwrap();
    assert!(search.report().is_none());
    think(&mut search, &Limits::visits(60), by_row);
    search.set_params(Params::default());
    assert!(search.report().is_none());
}
