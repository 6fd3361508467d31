//! A game in progress with a net at one side, or at both.

use super::choice::{choose, dead_at_end, unsettled};
use super::clock::Clock;
use super::config::OpponentConfig;
use super::judge::View;
use super::mind::{Effort, Mind, pointless};
use super::owners::Owners;
use crate::base::Result;
use crate::base::rng::mix;
use crate::base::symmetry::Symmetry;
use crate::go::{Color, Game, Illegal, Move, Point, PointSet, Rules, Size};
use crate::infer::{Evaluator, Output};
use crate::search::{Limits, Params, Report, SearchConfig};
use crate::sgf::{GameRecord, Step};
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// Points behind from which on a small chance to win is also clear on the board: small nets are sure of themselves too early.
const RESIGN_LEAD: f32 = -10.0;
/// Side of the board before a controller names one, in points.
const BOARD_LEN_DEFAULT: usize = 19;

/// What the net does with its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A stone or a pass; it has been played.
    Move(Move),
    /// Gives the game up; nothing was played.
    Resign,
}

/// What a net does when the game looks lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resigning {
    /// Resigns.
    #[default]
    Resigns,
    /// Notes it and plays on, which shows how often it would have been right.
    PlaysOn,
}

/// What becomes of a move that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// It is played.
    Play,
    /// It is only told.
    Tell,
}

/// Whose winning chances reports tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Side {
    /// The player to move.
    #[default]
    ToMove,
    /// Black.
    Black,
    /// White.
    White,
}

/// What a session calls itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Persona {
    /// Answer to `name`.
    pub name: String,
    /// Answer to `version`.
    pub version: String,
}

impl Default for Persona {
    fn default() -> Persona {
        Persona { name: "edgezero".to_string(), version: env!("CARGO_PKG_VERSION").to_string() }
    }
}

/// Whether a session thinks in the other's time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ponder {
    /// It waits.
    #[default]
    No,
    /// It goes on with its tree.
    Yes,
}

impl Answer {
    /// GTP's word for it.
    pub fn gtp(self, size: Size) -> String {
        match self {
            Answer::Move(mv) => mv.gtp(size),
            Answer::Resign => "resign".to_string(),
        }
    }
}

/// Sees a search as it goes, and may break it off.
pub type Watch<'a> = &'a mut dyn FnMut(&dyn Fn() -> Option<Report>) -> ControlFlow<()>;

/// A game, its rules, its clock, and the net that plays.
pub struct Session {
    mind: Mind,
    /// How much is thought about a move.
    pub effort: Effort,
    /// Whose winning chances reports tell.
    pub side: Side,
    /// What it calls itself.
    pub persona: Persona,
    /// Whether it thinks in the other's time.
    pub ponder: Ponder,
    /// What it does when the game looks lost.
    pub resigning: Resigning,
    /// [`Params::wide_root_noise`] of [`Session::analyze`].
    pub wide_root_noise: f32,
    config: OpponentConfig,
    game: Game,
    /// The present game's time.
    pub clock: Clock,
    /// Own moves in a row that looked lost, by colour.
    n_hopeless: [usize; 2],
    /// Moves before the one at which each colour would first have resigned.
    gave_up: [Option<usize>; 2],
}

impl Session {
    /// A session on an empty 19x19 board with the rules and the komi of `config`, which plays the net's first thoughts.
    ///
    /// # Errors
    /// Rules that do not exist.
    pub fn new(evaluator: Box<dyn Evaluator>, config: OpponentConfig) -> Result<Session> {
        let rules = Rules::parse(&config.rules)?;
        let size = Size::square(BOARD_LEN_DEFAULT).expect("19 is a size we play");
        let game = Game::new(size, rules, config.komi);
        let mind = Mind::new(evaluator, None);
        let (clock, effort, side) = (Clock::default(), Effort::default(), Side::default());
        let (persona, ponder) = (Persona::default(), Ponder::default());
        let wide_root_noise = Params::ANALYSIS_WIDE_ROOT_NOISE;
        let resigning = Resigning::default();
        let (n_hopeless, gave_up) = ([0; 2], [None; 2]);
        Ok(Session { mind, effort, side, persona, ponder, resigning, wide_root_noise, config, game, clock, n_hopeless, gave_up })
    }

    /// A session that searches before it moves.
    ///
    /// # Errors
    /// Rules that do not exist.
    pub fn with_search(
        evaluator: Box<dyn Evaluator>,
        config: OpponentConfig,
        search: SearchConfig,
        effort: Effort,
    ) -> Result<Session> {
        let session = Session::new(evaluator, config)?;
        Ok(Session { mind: session.mind.searching(search), effort, ..session })
    }

    /// The game as it stands.
    pub fn game(&self) -> &Game {
        &self.game
    }

    /// Begins a new game; rules and komi stay.
    pub fn clear(&mut self) {
        self.set_size(self.game.size());
    }

    /// Begins a new game on a board of this size; rules and komi stay.
    pub fn set_size(&mut self, size: Size) {
        self.clock.restart();
        self.game = Game::new(size, *self.game.rules(), self.game.komi());
        (self.n_hopeless, self.gave_up) = ([0; 2], [None; 2]);
    }

    /// Changes the komi of the game in progress.
    pub fn set_komi(&mut self, komi: f32) {
        self.game.set_komi(komi);
    }

    /// Replays the game under other rules.
    pub fn set_rules(&mut self, rules: Rules) {
        self.game.set_rules(rules);
    }

    /// Puts Black's handicap stones on the empty board; White moves next.
    pub fn set_handicap(&mut self, stones: &[Point]) {
        self.game.set_stones(stones.iter().map(|&p| (p, Some(Color::Black))));
        self.game.set_to_move(Color::White);
    }

    /// Takes over a record: its board, komi and rules as far as it tells them, and its first `n_moves_max` moves.
    ///
    /// # Errors
    /// The number, from 1, and the fault of a move that cannot be; the game is as it was.
    pub fn load(&mut self, record: &GameRecord, n_moves_max: usize) -> std::result::Result<(), (usize, Illegal)> {
        let rules = record.rules.as_deref().and_then(|text| Rules::parse(text).ok()).unwrap_or(*self.game.rules());
        let mut game = Game::new(record.size, rules, record.komi.unwrap_or(self.game.komi()));
        let mut n_moves = 0;
        // Stones that stand together are one set-up: each would forget the history anew.
        for steps in record.steps.chunk_by(|a, b| matches!((a, b), (Step::Setup { .. }, Step::Setup { .. }))) {
            match steps[0] {
                Step::Setup { .. } => game.set_stones(steps.iter().filter_map(|step| match *step {
                    Step::Setup { point, stone } => Some((point, stone)),
                    Step::ToMove(_) | Step::Move { .. } => None,
                })),
                Step::ToMove(color) => game.set_to_move(color),
                Step::Move { color, mv, .. } => {
                    if n_moves == n_moves_max {
                        break;
                    }
                    n_moves += 1;
                    game.play_tolerant(color, mv).map_err(|why| (n_moves, why))?;
                }
            }
        }
        self.game = game;
        self.n_hopeless = [0; 2];
        Ok(())
    }

    /// Plays what the controller says: refuses only occupied points, points off the board and single-stone suicide.
    pub fn play(&mut self, color: Color, mv: Move) -> std::result::Result<(), Illegal> {
        self.game.play_tolerant(color, mv)
    }

    /// Takes the last move back; false if there is none.
    pub fn undo(&mut self) -> bool {
        self.n_hopeless = [0; 2];
        self.game.undo()
    }

    /// Chooses and plays the move of `color`, or resigns. Never an illegal move.
    pub fn genmove(&mut self, color: Color) -> Result<Answer> {
        self.game.set_to_move(color);
        let (view, _) = self.think(color, None)?;
        self.answer(color, &view)
    }

    /// Whether a search precedes the next move: a first thought is over at once.
    pub fn searches(&self) -> bool {
        self.mind.searches(&self.effort)
    }

    /// [`Session::genmove`] as far as was thought already, after it was broken off.
    pub fn genmove_now(&mut self, color: Color) -> Result<Answer> {
        let effort = self.effort;
        self.effort = Effort { playouts: Some(0), level: effort.level, ..Effort::default() };
        let answer = self.genmove(color);
        self.effort = effort;
        answer
    }

    /// [`Session::genmove`] or, with [`Then::Tell`], only what it would answer. `watch` is called every `tick` with a way
    /// to the search as it stands; when it breaks off, the answer is none and nothing was played.
    pub fn genmove_watched(&mut self, color: Color, then: Then, tick: Duration, watch: Watch<'_>) -> Result<Option<Answer>> {
        let before = self.game.clone();
        self.game.set_to_move(color);
        let (view, broken_off) = self.think(color, Some((tick, watch)))?;
        if broken_off.is_break() {
            self.game = before;
            return Ok(None);
        }
        let answer = match then {
            Then::Play => self.answer(color, &view)?,
            Then::Tell => Answer::Move(choose(&self.game, &view)),
        };
        if then == Then::Tell {
            self.game = before;
        }
        Ok(Some(answer))
    }

    /// Thinks about the position with `color` to move until `watch`, called every `tick`, breaks off, or there is no room
    /// for more. `barred` moves are not tried.
    pub fn analyze(&mut self, color: Color, barred: &[Move], tick: Duration, watch: Watch<'_>) -> Result<()> {
        let play = self.params().clone();
        self.set_params(Params { wide_root_noise: self.wide_root_noise, ..play.clone() });
        let told = self.mind.analyze(&self.game_for(color), &Limits::NONE, barred, tick, watch);
        self.set_params(play);
        told.map(|_| ())
    }

    /// Thinks about the next move in the other's time, until `watch`, called every `tick`, breaks off.
    pub fn think_ahead(&mut self, tick: Duration, watch: Watch<'_>) -> Result<()> {
        let game = self.game.clone();
        self.mind.analyze(&game, &Limits::NONE, &[], tick, watch).map(|_| ())
    }

    /// Who owns what after each move of reports on the present position with `color` to move.
    pub(super) fn owners(&self, color: Color) -> Owners {
        Owners::new(self.mind.second_judge(), self.game_for(color))
    }

    fn game_for(&self, color: Color) -> Game {
        let mut game = self.game.clone();
        game.set_to_move(color);
        game
    }

    /// The view after thinking within the limits of the moment, and whether `watch` broke it off.
    fn think(&mut self, color: Color, watch: Option<(Duration, Watch<'_>)>) -> Result<(View, ControlFlow<()>)> {
        let begun = Instant::now();
        let seconds = self.clock.budget(color, self.game.size().n_points(), self.game.moves().len());
        let limits = self.mind.limits(&self.effort, seconds, begun);
        let mut broken_off = ControlFlow::Continue(());
        let mut view = match watch {
            None => self.mind.think(&self.game, &limits)?,
            Some((tick, watch)) => {
                let noting = |report: &dyn Fn() -> Option<Report>| {
                    broken_off = watch(report);
                    broken_off
                };
                let barred = pointless(&self.game);
                match self.mind.analyze(&self.game, &limits, &barred, tick, noting)? {
                    Some(view) => view,
                    None => self.mind.look(&self.game, &[Symmetry::IDENTITY])?,
                }
            }
        };
        if let Some(level) = self.effort.level {
            view.draw(level, self.dice());
        }
        self.mind.note_time(&limits);
        if broken_off.is_continue() {
            self.clock.spend(color, begun.elapsed().as_secs_f64());
        }
        Ok((view, broken_off))
    }

    /// The net's answers for `color` to move under one symmetry, and which moves are legal, pass last.
    pub fn raw(&mut self, color: Color, symmetry: Symmetry) -> Result<(Output, Vec<bool>)> {
        self.mind.raw(&self.game_for(color), symmetry)
    }

    /// One line: the net and the backend.
    pub fn describe(&mut self) -> String {
        self.mind.describe()
    }

    /// KataGo's model version of the net.
    pub fn model_version(&mut self) -> u32 {
        self.mind.version()
    }

    /// Most positions that are evaluated at once.
    pub fn batch_max(&mut self) -> usize {
        self.mind.batch_max()
    }

    /// The last search as it stands; none if it was on a board of another size.
    pub fn report(&self) -> Option<Report> {
        self.mind.report().filter(|_| self.mind.size() == Some(self.game.size()))
    }

    /// Forgets the tree and the evaluations kept.
    pub fn forget(&mut self) {
        self.mind.forget();
    }

    /// The parameters of the search.
    pub fn params(&self) -> &Params {
        self.mind.params()
    }

    /// Changes the parameters of the search.
    pub fn set_params(&mut self, params: Params) {
        self.mind.set_params(params);
    }

    /// Visits of a move when neither a clock nor [`Session::effort`] says otherwise.
    pub fn visits_default(&self) -> u32 {
        self.mind.visits_default()
    }

    /// Begins a game from a position, `to_move` first, without history; rules and komi stay.
    ///
    /// # Errors
    /// A chain has no liberty, or a point is off the board; the game is as it was.
    pub fn set_position(&mut self, stones: &[(Point, Color)], to_move: Color) -> std::result::Result<(), Illegal> {
        let size = self.game.size();
        if stones.iter().any(|&(p, _)| !size.contains(p)) {
            return Err(Illegal::OffBoard);
        }
        let mut game = Game::new(size, *self.game.rules(), self.game.komi());
        game.set_stones(stones.iter().map(|&(p, color)| (p, Some(color))));
        if game.board().chain_without_liberty().is_some() {
            return Err(Illegal::Suicide);
        }
        game.set_to_move(to_move);
        self.game = game;
        self.n_hopeless = [0; 2];
        Ok(())
    }

    /// A number from 0 to below 1: the same for the same game and seed.
    fn dice(&self) -> f32 {
        let bits = mix(self.game.board().hash() ^ mix(self.mind.params().seed ^ self.game.moves().len() as u64));
        (bits >> 40) as f32 / (1 << 24) as f32
    }

    /// Plays what `view` says, or resigns.
    fn answer(&mut self, color: Color, view: &View) -> Result<Answer> {
        let mv = choose(&self.game, view);
        self.note(color, view);
        // Who passes has nothing left to do: the count says the same as giving up.
        if mv != Move::Pass && self.resigns(color) {
            match self.resigning {
                Resigning::Resigns => return Ok(Answer::Resign),
                Resigning::PlaysOn => {
                    self.gave_up[color.index()].get_or_insert(self.game.moves().len());
                }
            }
        }
        self.game.play(color, mv).expect("chosen among the legal moves");
        Ok(Answer::Move(mv))
    }

    /// The score in points for White, were the game over, and the stones that count as dead in it.
    pub fn score(&mut self) -> Result<(f32, PointSet)> {
        let dead = match self.is_bare() {
            true => PointSet::default(),
            false => {
                let symmetries: Vec<Symmetry> = Symmetry::all().collect();
                dead_at_end(&self.game, &self.mind.look(&self.game, &symmetries)?)
            }
        };
        Ok((self.game.score_white(&dead), dead))
    }

    /// The score in points for White as it is expected: counted, once the game is over or nothing is unsettled, else
    /// what the net thinks, rounded to a score that there is.
    pub fn score_expected(&mut self) -> Result<f32> {
        let symmetries: Vec<Symmetry> = Symmetry::all().collect();
        if self.game.is_over() || self.is_bare() {
            return Ok(self.score()?.0);
        }
        let view = self.mind.look(&self.game, &symmetries)?;
        if unsettled(&self.game, &view) == 0 {
            return Ok(self.game.score_white(&dead_at_end(&self.game, &view)));
        }
        let white = if self.game.to_move() == Color::White { view.lead } else { -view.lead };
        let bonus = self.game.white_bonus();
        Ok((white - bonus).round() + bonus)
    }

    /// Moves before the one at which `color` would first have resigned this game, had it not been told to play on.
    pub fn gave_up(&self, color: Color) -> Option<usize> {
        self.gave_up[color.index()]
    }

    /// Whether the board has no stone on it.
    pub fn is_bare(&self) -> bool {
        let board = self.game.board();
        board.size().points().all(|p| board.is_empty(p))
    }

    fn note(&mut self, color: Color, view: &View) {
        let looks_lost = view.win < self.config.resign_below && view.lead < RESIGN_LEAD;
        let n = &mut self.n_hopeless[color.index()];
        *n = if looks_lost { *n + 1 } else { 0 };
    }

    fn resigns(&self, color: Color) -> bool {
        let n_points = self.game.size().n_points() as f32;
        self.n_hopeless[color.index()] >= self.config.resign_streak
            && self.game.moves().len() as f32 >= self.config.resign_after * n_points
    }
}

#[cfg(test)]
mod tests {
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
        let config =
            OpponentConfig { rules: "chinese".into(), komi: 7.5, resign_below: 0.0, resign_streak: 3, resign_after: 1.0 };
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
}
