//! Tree search over an evaluator: PUCT with KataGo's terms for play, Gumbel with sequential halving for few playouts.
//!
//! The tree stands in a flat arena whose bytes are fixed ([`NODE_BYTES`], [`EDGE_BYTES`], [`CANDIDATE_BYTES`]). A thread
//! goes down for a batch of new positions, plays them out on a board of its own with full legality (superko by the line
//! and by the game before it), has them evaluated, and carries their values up. Nothing is allocated on the way once the
//! buffers have grown. With one thread the same seed gives the same tree, on every machine.
//!
//! Positions that come up by several orders of moves are not joined: what is legal (superko), what a pass means and what a
//! network sees (the last five moves) depends on the way there, and values joined over ways need corrections in every
//! node on the way up (Czech 2021). What joining saves is evaluations, and those the [`Cache`] saves too.

mod arena;
mod config;
mod endgame;
mod gumbel;
mod maths;
mod pace;
mod params;
mod report;
mod root;
mod tree;
mod value;
mod worker;

#[cfg(test)]
mod tests;

pub use arena::{CANDIDATE_BYTES, EDGE_BYTES, NODE_BYTES, bytes_per_node};
pub use config::SearchConfig;
pub use endgame::{takes_board_literally, useless_points};
pub use params::{Doubling, Mode, Noise, Params, Turning};
pub use report::{MoveReport, PV_MOVES_MAX, Report};
pub use root::RootView;
pub use value::Value;
pub use worker::BATCH_MAX;

use crate::base::Result;
use crate::base::rng::{mix, rng};
use crate::base::signal::Stop;
use crate::go::rules::{Ko, Scoring};
use crate::go::{Color, Game, Move, Rules};
use crate::infer::{Cache, Evaluator, NoResult};
use endgame::Owner;
use gumbel::Gumbel;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tree::Tree;
use value::Scale;
use worker::{Worker, lock};

/// When a search ends, whichever comes first. It also ends when the tree is full.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Visits of the root, those of earlier searches included.
    pub visits: u32,
    /// Playouts of this search.
    pub playouts: u32,
    /// The end of the time.
    pub deadline: Option<Instant>,
}

impl Limits {
    /// No limit but `stop`.
    pub const NONE: Limits = Limits { visits: u32::MAX, playouts: u32::MAX, deadline: None };

    /// Only a number of visits.
    pub fn visits(visits: u32) -> Limits {
        Limits { visits, ..Limits::NONE }
    }

    /// Whether playouts on their way count to the end already.
    fn reached(&self, tree: &Tree) -> bool {
        tree.root().is_none_or(|root| {
            root.visits.saturating_add(root.pending) >= self.visits || tree.playouts.saturating_add(root.pending) >= self.playouts
        })
    }
}

/// What the threads of a search share.
struct Shared {
    tree: Mutex<Tree>,
    game: Game,
    view: Option<RootView>,
    cache: Option<Arc<Cache>>,
    scale: Scale,
    no_result: NoResult,
    rules_key: u64,
    turning: Turning,
    doubling: Option<Doubling>,
    seed: u64,
    /// Ends every search.
    stop: Stop,
}

impl Shared {
    fn report(&self) -> Option<Report> {
        // After a move the tree may be there before its root's evaluation.
        let none = RootView { len: self.game.size().len_max(), ..RootView::default() };
        lock(&self.tree).report(self.view.as_ref().unwrap_or(&none))
    }

    /// What the net is told on `to_move`'s turn about doublings of playouts.
    fn doubling(&self, to_move: Color) -> f32 {
        self.doubling.map_or(0.0, |d| d.told(to_move, self.game.to_move()))
    }

    fn owner(&self) -> Option<Owner<'_>> {
        self.view.as_ref().map(|view| Owner { ownership: &view.ownership, len: view.len })
    }
}

/// A tree below a game's present position, which goes on with the game.
pub struct Search {
    shared: Shared,
    workers: Vec<Worker>,
    batch: usize,
    /// Moves that may not be tried at the root, by their place in the policy.
    barred: Vec<u16>,
    /// Those that the present root was made without.
    barred_at_root: Vec<u16>,
    ran_out_of_time: bool,
}

impl Search {
    /// A search of at most `tree_bytes` that gathers `batch` positions at a time, on games of this one's size.
    ///
    /// # Errors
    /// There are too few bytes for a tree.
    pub fn new(game: &Game, tree_bytes: usize, batch: usize, params: Params) -> Result<Search> {
        let shared = Shared {
            scale: worker::scale(game, params.score_utility),
            turning: params.turning,
            doubling: params.doubling,
            seed: params.seed,
            tree: Mutex::new(Tree::new(tree_bytes, game.size().n_points(), params)?),
            game: game.clone(),
            view: None,
            cache: None,
            no_result: no_result(game.rules()),
            rules_key: rules_key(game.rules()),
            stop: Stop::default(),
        };
        let (workers, barred, barred_at_root) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Search { shared, workers, batch, barred, barred_at_root, ran_out_of_time: false })
    }

    /// Lets this flag end every search too.
    pub fn stop_with(&mut self, stop: Stop) {
        self.shared.stop = stop;
    }

    /// Keeps evaluations in a cache, which several searches of one evaluator may share. It must be for boards of this size.
    pub fn share_cache(&mut self, cache: Arc<Cache>) {
        self.shared.cache = Some(cache);
    }

    /// Changes the parameters. The tree stays, unless players of another strength are spoken of; the priors of its root follow
    /// with the next search.
    pub fn set_params(&mut self, params: Params) {
        let shared = &mut self.shared;
        shared.scale = worker::scale(&shared.game, params.score_utility);
        (shared.turning, shared.seed) = (params.turning, params.seed);
        let mut tree = lock(&shared.tree);
        if shared.doubling != params.doubling {
            // What is known was said about other players.
            tree.clear();
            (shared.doubling, shared.view) = (params.doubling, None);
        }
        tree.params = params;
    }

    /// The parameters.
    pub fn params(&self) -> Params {
        lock(&self.shared.tree).params.clone()
    }

    /// The game at the root.
    pub fn game(&self) -> &Game {
        &self.shared.game
    }

    /// Forgets the tree.
    pub fn clear(&mut self) {
        lock(&self.shared.tree).clear();
        self.shared.view = None;
    }

    /// Moves that are not tried at the root.
    pub fn bar(&mut self, moves: impl IntoIterator<Item = Move>) {
        let len = self.shared.game.size().len_max();
        self.barred = moves.into_iter().map(|mv| mv.policy_index(len) as u16).collect();
        self.barred.sort_unstable();
    }

    /// Whether the root has to be searched with other moves barred than it was before.
    pub fn bars_have_changed(&self) -> bool {
        self.barred != self.barred_at_root
    }

    /// Makes the present position of `game` the root. What the tree knows about it is kept if the game is the last one
    /// with moves added, and the size of the board is the same.
    ///
    /// # Errors
    /// The size of the board has changed, and there are too few bytes for the new one.
    pub fn set_game(&mut self, game: &Game) -> Result<()> {
        let n_moves = self.shared.game.moves().len();
        let n_more = game.moves().len().wrapping_sub(n_moves);
        if n_more == 0 && is_same(&self.shared.game, game) {
            return Ok(());
        }
        // Doublings of whoever is to move at the root were the other's one move before.
        let is_other_s = self.shared.doubling.is_some_and(|d| d.player.is_none()) && game.to_move() != self.shared.game.to_move();
        let goes_on = !is_other_s && continues(&self.shared.game, game);
        let len = game.size().len_max();
        {
            let mut tree = lock(&self.shared.tree);
            let moves = if goes_on { &game.moves()[n_moves..] } else { &[] };
            if !goes_on || tree.is_broken || !moves.iter().all(|&(_, mv)| tree.advance(mv.policy_index(len) as u16)) {
                tree.clear();
            }
        }
        let shared = &mut self.shared;
        if game.size() != shared.game.size() {
            // Another stride of the cache and another share of policies in the memory.
            self.workers.clear();
            shared.cache = None;
            let mut tree = lock(&shared.tree);
            let params = tree.params.clone();
            shared.scale = worker::scale(game, params.score_utility);
            tree.resize(game.size().n_points())?;
        }
        shared.game.clone_from(game);
        shared.no_result = no_result(game.rules());
        shared.rules_key = rules_key(game.rules());
        shared.view = None;
        self.barred.clear();
        self.barred_at_root.clear();
        Ok(())
    }

    /// Searches with one thread for each evaluator until a limit or `stop`. With one it is this thread.
    ///
    /// # Errors
    /// An evaluation failed; the tree is empty then.
    pub fn think(&mut self, evaluators: &mut [&mut dyn Evaluator], limits: &Limits, stop: &AtomicBool) -> Result<()> {
        self.prepare(evaluators, limits)?;
        let told = match evaluators {
            [evaluator] => self.workers[0].run(&self.shared, *evaluator, limits, stop),
            _ => self.run_threads(evaluators, limits, stop, None),
        };
        self.finish(told, limits)
    }

    /// [`Search::think`] on other threads, while this one calls `watch` every `tick` with a way to a [`Report`];
    /// a break ends the search.
    ///
    /// # Errors
    /// As [`Search::think`].
    pub fn think_watched(
        &mut self,
        evaluators: &mut [&mut dyn Evaluator],
        limits: &Limits,
        stop: &AtomicBool,
        tick: Duration,
        mut watch: impl FnMut(&dyn Fn() -> Option<Report>) -> ControlFlow<()>,
    ) -> Result<()> {
        self.prepare(evaluators, limits)?;
        let told = self.run_threads(evaluators, limits, stop, Some((tick, &mut watch)));
        self.finish(told, limits)
    }

    fn run_threads(
        &mut self,
        evaluators: &mut [&mut dyn Evaluator],
        limits: &Limits,
        stop: &AtomicBool,
        watch: Option<(Duration, Watch<'_>)>,
    ) -> Result<()> {
        let Search { shared, workers, .. } = self;
        let shared = &*shared;
        let n_running = AtomicUsize::new(evaluators.len());
        std::thread::scope(|scope| {
            let threads: Vec<_> = workers
                .iter_mut()
                .zip(evaluators)
                .map(|(worker, evaluator)| {
                    let n_running = &n_running;
                    let watcher = std::thread::current();
                    scope.spawn(move || {
                        let told = worker.run(shared, *evaluator, limits, stop);
                        n_running.fetch_sub(1, Relaxed);
                        watcher.unpark();
                        told
                    })
                })
                .collect();
            if let Some((tick, watch)) = watch {
                while n_running.load(Relaxed) > 0 {
                    if watch(&|| shared.report()).is_break() {
                        stop.store(true, Relaxed);
                        break;
                    }
                    std::thread::park_timeout(tick);
                }
            }
            let join = |thread: std::thread::ScopedJoinHandle<'_, Result<()>>| match thread.join() {
                Ok(told) => told,
                Err(panic) => std::panic::resume_unwind(panic),
            };
            let told: Vec<Result<()>> = threads.into_iter().map(join).collect();
            told.into_iter().collect()
        })
    }

    /// Evaluates the root if that was not done, and gives its moves their priors.
    fn prepare(&mut self, evaluators: &mut [&mut dyn Evaluator], limits: &Limits) -> Result<()> {
        while self.workers.len() < evaluators.len() {
            self.workers.push(Worker::new(&self.shared.game, self.batch));
        }
        self.workers.iter_mut().for_each(|worker| worker.pace.begin());
        let params = self.params();
        if self.shared.view.is_none() {
            let shared = &self.shared;
            let begun = Instant::now();
            let view = root::look(&shared.game, &mut *evaluators[0], &params, shared.no_result, shared.scale)?;
            let seconds = begun.elapsed().as_secs_f32();
            self.workers.iter_mut().for_each(|worker| worker.pace.note(root::n_symmetries(&params), seconds));
            self.shared.view = Some(view);
        }
        let view = self.shared.view.as_ref().expect("set above");
        let mut tree = lock(&self.shared.tree);
        // A plan for few playouts begins with nothing tried; and a bar that is lifted brings moves back.
        let is_fresh = matches!(params.mode, Mode::Gumbel { .. }) || self.barred_at_root.iter().any(|i| !self.barred.contains(i));
        if tree.root().is_none() || is_fresh {
            tree.plant(self.shared.game.to_move(), &root::candidates(view), view.value);
        }
        self.barred_at_root.clone_from(&self.barred);
        let mut draw = rng(params.seed, self.shared.game.moves().len() as u64);
        // With every move barred there would be nothing to do.
        let all_barred = view.policy.iter().all(|(i, _)| self.barred.contains(i));
        root::set_priors(&mut tree, view, |i| all_barred || !self.barred.contains(&i), &mut draw);
        tree.gumbel = match params.mode {
            Mode::Puct => None,
            Mode::Gumbel { considered } => {
                let root = tree.root().expect("planted above");
                let n_legal = tree.arena.edges(root).len() + tree.arena.untried(root).len();
                let n_playouts = limits.playouts.min(limits.visits.saturating_sub(1)).min(1 << 20) as usize;
                Some(Gumbel::new(&mut draw, n_legal, considered, n_playouts, root))
            }
        };
        (tree.playouts, tree.depth_sum, tree.is_full) = (0, 0, false);
        Ok(())
    }

    fn finish(&mut self, told: Result<()>, limits: &Limits) -> Result<()> {
        let mut tree = lock(&self.shared.tree);
        self.ran_out_of_time = limits.deadline.is_some() && !tree.is_full && !limits.reached(&tree);
        if tree.is_broken || told.is_err() {
            tree.clear();
        }
        told
    }

    /// Whether it was the time that ended the last search.
    pub fn ran_out_of_time(&self) -> bool {
        self.ran_out_of_time
    }

    /// The root's evaluation, after the first search of it.
    pub fn view(&self) -> Option<&RootView> {
        self.shared.view.as_ref()
    }

    /// The search as it stands; none before the first.
    pub fn report(&self) -> Option<Report> {
        self.shared.report()
    }

    /// The move to be played: the best, as far as it can be told. None before any move was tried.
    pub fn best(&self) -> Option<Move> {
        let tree = lock(&self.shared.tree);
        tree.best().map(|i| Move::from_policy_index(tree.policy_idx(i), self.shared.game.size().len_max()))
    }

    /// A move drawn by visits to the power of 1 / `temperature`; at 0 the best. `stream` tells draws of one seed apart.
    pub fn draw(&self, temperature: f32, stream: u64) -> Option<Move> {
        if temperature <= 0.0 {
            return self.best();
        }
        let tree = lock(&self.shared.tree);
        let drawn = tree.drawn(temperature, &mut rng(self.shared.seed, mix(stream)));
        drawn.map(|i| Move::from_policy_index(tree.policy_idx(i), self.shared.game.size().len_max()))
    }

    /// The root's policy after the search, `[len * len + 1]`, pass last: what self-play learns from.
    pub fn policy_target(&self, out: &mut [f32]) {
        lock(&self.shared.tree).policy_target(out);
    }
}

type Watch<'a> = &'a mut dyn FnMut(&dyn Fn() -> Option<Report>) -> ControlFlow<()>;

/// Whether games under these rules can end without a result.
fn no_result(rules: &Rules) -> NoResult {
    match rules.ko == Ko::Simple || rules.scoring == Scoring::Territory {
        true => NoResult::Possible,
        false => NoResult::Impossible,
    }
}

/// All that a network is told about the rules.
fn rules_key(rules: &Rules) -> u64 {
    let numbers = [rules.ko as u8, rules.scoring as u8, rules.tax as u8, rules.suicide as u8, rules.friendly_pass as u8];
    numbers.iter().fold(u64::from(rules.button), |key, &n| mix(key ^ u64::from(n)))
}

fn is_same(old: &Game, new: &Game) -> bool {
    old.rules() == new.rules()
        && old.komi() == new.komi()
        && old.size() == new.size()
        && old.moves() == new.moves()
        && old.to_move() == new.to_move()
        && old.board() == new.board()
}

/// Whether `new` is `old` with moves in turn added.
fn continues(old: &Game, new: &Game) -> bool {
    let n = old.moves().len();
    if new.moves().len() <= n || new.moves()[..n] != *old.moves() {
        return false;
    }
    let mut replayed = old.clone();
    let in_turn = new.moves()[n..].iter().all(|&(color, mv)| color == replayed.to_move() && replayed.play(color, mv).is_ok());
    replayed.set_komi(old.komi());
    in_turn && is_same(&replayed, new)
}
