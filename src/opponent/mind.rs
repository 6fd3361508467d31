//! What thinks for a session: a net's first thought, or a tree search with it, within the limits of the moment.

use super::choice::is_own_eye;
use super::judge::{Judge, View};
use super::level::Level;
use crate::base::Result;
use crate::base::signal::Stop;
use crate::base::symmetry::Symmetry;
use crate::go::{Game, Move, Size};
use crate::infer::{Batcher, Cache, Evaluator, Output};
use crate::search::{Limits, Params, Report, Search, SearchConfig, useless_points};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

/// With fewer than one stone on this many points nothing is settled and a pass makes no sense.
pub(super) const OPENING_POINTS_PER_STONE: usize = 4;
/// Seconds that a move may be late by before one was: what may come between the last batch and the answer on a busy machine.
const MARGIN_START: f64 = 0.3;
/// Seconds for the way of the answer to the controller and its clock.
const DELIVERY: f64 = 0.1;
/// How much later than the latest the next move may be.
const MARGIN_FACTOR: f64 = 1.5;

/// How much is thought about a move. What is none is decided by the clock, else by the profile.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Effort {
    /// Visits of the root, those kept from the move before included.
    pub visits: Option<u32>,
    /// Playouts for this move.
    pub playouts: Option<u32>,
    /// Seconds.
    pub seconds: Option<f64>,
    /// A strength to be kept to.
    pub level: Option<Level>,
}

/// An evaluator, and a tree once one is needed.
pub(super) struct Mind {
    net: Batcher,
    judge: Judge,
    config: Option<SearchConfig>,
    params: Params,
    search: Option<Search>,
    /// Seconds to be done before the time is up.
    margin: f64,
    /// Ends every search.
    stop: Stop,
}

impl Mind {
    /// Plays by first thoughts; with a `config` by search.
    pub(super) fn new(evaluator: Box<dyn Evaluator>, config: Option<SearchConfig>) -> Mind {
        // Nobody is to wait: others ask now and then only.
        let net = Batcher::new(evaluator, Duration::ZERO);
        let judge = Judge::new(Box::new(net.client()));
        Mind { net, judge, config, params: Params::default(), search: None, margin: MARGIN_START, stop: Stop::default() }
    }

    /// The same with a search.
    pub(super) fn searching(self, config: SearchConfig) -> Mind {
        Mind { config: Some(config), ..self }
    }

    /// Lets this flag end every search.
    pub(super) fn stop_with(&mut self, stop: Stop) {
        if let Some(search) = &mut self.search {
            search.stop_with(stop.clone());
        }
        self.stop = stop;
    }

    /// One line: the net and the backend.
    pub(super) fn describe(&mut self) -> String {
        self.judge.evaluator().describe()
    }

    /// KataGo's model version of the net.
    pub(super) fn version(&mut self) -> u32 {
        self.judge.evaluator().version()
    }

    /// Most positions that are evaluated at once.
    pub(super) fn batch_max(&mut self) -> usize {
        self.judge.evaluator().batch_max()
    }

    /// Another way to the net, for use while a search is at work.
    pub(super) fn second_judge(&self) -> Judge {
        Judge::new(Box::new(self.net.client()))
    }

    /// The parameters of the search.
    pub(super) fn params(&self) -> &Params {
        &self.params
    }

    /// Changes the parameters of the search.
    pub(super) fn set_params(&mut self, params: Params) {
        if let Some(search) = &mut self.search {
            search.set_params(params.clone());
        }
        self.params = params;
    }

    /// Forgets the tree and the evaluations kept.
    pub(super) fn forget(&mut self) {
        self.search = None;
    }

    /// Forgets the tree; the evaluations stay.
    pub(super) fn forget_tree(&mut self) {
        self.search.iter_mut().for_each(Search::clear);
    }

    /// Goes to `game`, and forgets what was found about it with other moves barred.
    pub(super) fn forget_other_bars(&mut self, game: &Game, barred: &[Move]) -> Result<()> {
        self.prepare(game, barred)?;
        self.search.iter_mut().filter(|search| search.bars_have_changed()).for_each(Search::clear);
        Ok(())
    }

    /// Visits of a move by the profile.
    pub(super) fn visits_default(&self) -> u32 {
        self.config.as_ref().map_or(1, |config| config.visits)
    }

    /// The net's first thought, the mean over `symmetries`.
    pub(super) fn look(&mut self, game: &Game, symmetries: &[Symmetry]) -> Result<View> {
        self.judge.look(game, symmetries)
    }

    /// The net's answers as they are.
    pub(super) fn raw(&mut self, game: &Game, symmetry: Symmetry) -> Result<(Output, Vec<bool>)> {
        self.judge.raw(game, symmetry)
    }

    /// Whether a move takes more than a first thought.
    pub(super) fn searches(&self, effort: &Effort) -> bool {
        self.config.is_some() && self.limits(effort, None, Instant::now()).visits > 1
    }

    /// The limits of a move that began at `begun` and may take `seconds`, as the clock has it.
    pub(super) fn limits(&self, effort: &Effort, seconds: Option<f64>, begun: Instant) -> Limits {
        let seconds = match (seconds, effort.seconds) {
            (Some(clock), Some(effort)) => Some((clock - self.margin).min(effort)),
            (clock, effort) => clock.map(|s| s - self.margin).or(effort),
        };
        let by_level = effort.level.map(|level| level.visits(self.visits_default()));
        let visits = effort.visits.or(by_level).unwrap_or(match (seconds, effort.playouts) {
            (None, None) => self.visits_default(),
            _ => u32::MAX,
        });
        let deadline = seconds.map(|s| begun + Duration::from_secs_f64(s.clamp(0.0, 1e6)));
        Limits { visits, playouts: effort.playouts.unwrap_or(u32::MAX), deadline }
    }

    /// Learns from a move that was to be chosen by `deadline` and is now.
    pub(super) fn note_time(&mut self, deadline: Instant) {
        let late = Instant::now().saturating_duration_since(deadline).as_secs_f64();
        // A move that ended for another reason says nothing about how late one can be.
        let was_timed = self.search.as_ref().is_some_and(Search::ran_out_of_time);
        let kept = if was_timed { 0.9 * self.margin } else { self.margin };
        self.margin = (MARGIN_FACTOR * late + DELIVERY).max(kept);
    }

    /// The view of the player to move after thinking: the weight of a move is its share of the visits, and 1 for the best.
    pub(super) fn think(&mut self, game: &Game, limits: &Limits) -> Result<View> {
        if self.config.is_none() || limits.visits <= 1 {
            return self.judge.look(game, &[Symmetry::IDENTITY]);
        }
        let barred = pointless(game);
        self.prepare(game, &barred)?;
        let search = self.search.as_mut().expect("prepared");
        search.think(&mut [self.judge.evaluator()], limits, &AtomicBool::new(false))?;
        match View::of_search(search) {
            Some(view) => Ok(view),
            None => self.judge.look(game, &[Symmetry::IDENTITY]),
        }
    }

    /// Thinks about `game` without the moves of `barred`, while `watch` is called every `tick`, until that breaks off or a
    /// limit is reached.
    pub(super) fn analyze(
        &mut self,
        game: &Game,
        limits: &Limits,
        barred: &[Move],
        tick: Duration,
        watch: impl FnMut(&dyn Fn() -> Option<Report>) -> ControlFlow<()>,
    ) -> Result<Option<View>> {
        self.prepare(game, barred)?;
        let search = self.search.as_mut().expect("prepared");
        search.think_watched(&mut [self.judge.evaluator()], limits, &AtomicBool::new(false), tick, watch)?;
        Ok(View::of_search(search))
    }

    /// The last search as it stands.
    pub(super) fn report(&self) -> Option<Report> {
        self.search.as_ref().and_then(Search::report)
    }

    /// The size of the board that was searched last.
    pub(super) fn size(&self) -> Option<Size> {
        self.search.as_ref().map(|search| search.game().size())
    }

    fn prepare(&mut self, game: &Game, barred: &[Move]) -> Result<()> {
        let config = self.config.clone().unwrap_or(SearchConfig { tree_mb: 64, cache_mb: 0, visits: 1, batch_size: 1 });
        if self.search.as_ref().is_none_or(|search| search.game().size() != game.size()) {
            // What is there is given back first.
            self.search = None;
            let mut search = Search::new(game, config.tree_mb << 20, config.batch_size, self.params.clone())?;
            search.stop_with(self.stop.clone());
            if config.cache_mb > 0 {
                search.share_cache(Arc::new(Cache::new(config.cache_mb << 20, game.size().len_max())?));
            }
            self.search = Some(search);
        }
        let search = self.search.as_mut().expect("made above");
        search.set_game(game)?;
        search.bar(barred.iter().copied());
        Ok(())
    }
}

/// Whether all legal moves but one are pointless.
pub(super) fn is_forced(game: &Game) -> bool {
    let barred = pointless(game);
    let (size, color) = (game.size(), game.to_move());
    let moves = size.points().map(Move::Play).chain([Move::Pass]).filter(|mv| !barred.contains(mv));
    moves.filter(|&mv| game.is_legal(color, mv).is_ok()).take(2).count() == 1
}

/// Moves that a player need not think about: points where nothing can change, own eyes, and the pass in the opening.
pub(super) fn pointless(game: &Game) -> Vec<Move> {
    let (board, color) = (game.board(), game.to_move());
    let useless = useless_points(game);
    let empty = board.empty_points();
    let mut moves: Vec<Move> =
        empty.iter().filter(|&p| useless.contains(p) || is_own_eye(board, p, color)).map(Move::Play).collect();
    let n_points = game.size().n_points();
    if (n_points - empty.len()) * OPENING_POINTS_PER_STONE < n_points {
        moves.push(Move::Pass);
    }
    moves
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::go::Rules;
    use crate::infer::Evaluation;
    use crate::infer::scripted::Scripted;

    #[test]
    fn the_margin_learns_from_moves_that_time_ended() {
        let net = Scripted::new(8, |request| Evaluation::even(request.len));
        let config = SearchConfig { tree_mb: 4, cache_mb: 0, visits: 20, batch_size: 2 };
        let mut mind = Mind::new(Box::new(net), Some(config));
        let game = Game::new(Size::square(5).expect("a size"), Rules::CHINESE, 7.5);
        let far = Instant::now() + Duration::from_secs(1000);
        mind.think(&game, &Limits { deadline: Some(far), ..Limits::visits(20) }).unwrap();
        mind.note_time(far);
        assert_eq!(mind.margin, MARGIN_START, "the visits ended it");
        mind.think(&game, &Limits { deadline: Some(Instant::now()), ..Limits::NONE }).unwrap();
        mind.note_time(far);
        assert!(mind.margin < MARGIN_START && mind.margin >= DELIVERY);
        mind.note_time(Instant::now() - Duration::from_secs(2));
        assert!(mind.margin >= 3.0);
    }
}
