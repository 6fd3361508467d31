//! Search with a net: visits a second, how full its batches are, what the cache and the tree save, and the share of the time
//! that the net takes, which is the floor of it all. KataGo beside, on the same positions with the same net.

use crate::base::signal::Stop;
use crate::base::{Error, Result};
use crate::device;
use crate::go::{Color, Game, Move, Rules, Size};
use crate::infer::backend::Backend;
use crate::infer::{self, Batcher, Cache, Evaluation, Evaluator, Looks, Request};
use crate::opponent::{OpponentConfig, Player, Program, Session};
use crate::search::{Limits, Params, Search, SearchConfig};
use serde::Serialize;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Positions of one game that are searched, by the share of the board's points that was played before: from the opening to
/// the fights of the middle game.
const STAGES: [f64; 6] = [0.0, 0.05, 0.15, 0.25, 0.4, 0.55];
/// Where the searches of a game in progress begin, among them.
const GAME_STAGE: usize = 2;
/// Moves of a game in progress that are searched.
const GAME_MOVES: usize = 8;
/// Positions evaluated at once, at the least: the eight symmetries of one.
const BATCH_MIN: usize = 8;
const RULES: Rules = Rules::TROMP_TAYLOR;
const KOMI: f32 = 7.5;

/// What is measured with.
#[derive(Clone, Debug)]
pub struct SearchBench {
    /// The net's file.
    pub net: PathBuf,
    /// What evaluates it.
    pub backend: Backend,
    /// Memory and batches, as a profile has them.
    pub search: SearchConfig,
    /// Visits of a position.
    pub visits: u32,
    /// How long is measured at the least.
    pub window: Duration,
}

/// How positions are searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Setup {
    /// One position at a time straight to the evaluator: no batches, no cache.
    Bare,
    /// One at a time through what gathers batches and what keeps answers.
    Single,
    /// Batches as the profile has them. Each position begins with nothing known.
    Batched,
    /// The same in a game in progress: tree and answers of the moves before are there. Only new visits are counted.
    InGame,
    /// KataGo with this many threads and nothing known.
    Katago,
}

/// What a setup showed.
#[derive(Clone, Debug, Serialize)]
pub struct SearchMeasured {
    /// Side of the board.
    pub board: usize,
    /// Threads of the evaluator.
    pub threads: usize,
    /// How it was searched.
    pub setup: Setup,
    /// New visits a second.
    pub visits_per_second: f64,
    /// Positions evaluated at once, on average; none for KataGo.
    pub batch_mean: Option<f64>,
    /// Share of the visits that needed the net.
    pub evaluated: Option<f64>,
    /// Evaluations a second while the net was at work.
    pub evaluations_per_second: Option<f64>,
    /// Share of the time in which the net was at work.
    pub net_share: Option<f64>,
    /// Share of the threads' time that the machine gave them: below 1 it was busy with something else, and the rates are
    /// lower than they could be.
    pub cpu_share: Option<f64>,
}

impl Setup {
    /// Ours, in the order of the table.
    pub const OURS: [Setup; 4] = [Setup::Bare, Setup::Single, Setup::Batched, Setup::InGame];
}

/// What an evaluator did.
#[derive(Default)]
struct Counts {
    calls: AtomicU64,
    rows: AtomicU64,
    nanoseconds: AtomicU64,
}

/// The evaluator of one number of threads, which every setup has for itself for a while.
#[derive(Clone)]
pub struct Counting {
    inner: Arc<Mutex<Box<dyn Evaluator>>>,
    counts: Arc<Counts>,
    threads: usize,
}

impl Counting {
    fn inner(&self) -> MutexGuard<'_, Box<dyn Evaluator>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> [u64; 3] {
        [&self.counts.calls, &self.counts.rows, &self.counts.nanoseconds].map(|count| count.load(Relaxed))
    }
}

impl Evaluator for Counting {
    fn evaluate(&mut self, rows: &[Request<'_>], out: &mut [Evaluation]) -> Result<()> {
        let begun = Instant::now();
        self.inner().evaluate(rows, out)?;
        self.counts.nanoseconds.fetch_add(begun.elapsed().as_nanos() as u64, Relaxed);
        self.counts.calls.fetch_add(1, Relaxed);
        self.counts.rows.fetch_add(rows.len() as u64, Relaxed);
        Ok(())
    }

    fn batch_max(&self) -> usize {
        self.inner().batch_max()
    }

    fn describe(&self) -> String {
        self.inner().describe()
    }

    fn version(&self) -> u32 {
        self.inner().version()
    }

    fn looks_at(&self) -> Looks {
        self.inner().looks_at()
    }
}

impl SearchBench {
    /// Opens the net for so many threads.
    ///
    /// # Errors
    /// The net cannot be opened.
    pub fn open(&self, threads: usize) -> Result<Counting> {
        let inner = infer::open(&self.net, &Backend { threads, ..self.backend.clone() }, self.search.batch_size.max(BATCH_MIN))?;
        Ok(Counting { inner: Arc::new(Mutex::new(inner)), counts: Arc::default(), threads })
    }

    /// The positions searched: stages of a game by the net's first thoughts. The same for the same net.
    ///
    /// # Errors
    /// The net cannot be evaluated.
    pub fn positions(&self, board: usize, net: &Counting) -> Result<Vec<Game>> {
        let size = Size::square(board).ok_or_else(|| Error::call("--board", format!("{board}, expected 2 to 19")))?;
        let config = OpponentConfig {
            rules: "tromp-taylor".to_string(),
            komi: KOMI,
            resign_below: 0.0,
            resign_streak: 1,
            resign_after: 1.0,
        };
        let mut session = Session::new(Box::new(net.clone()), config)?;
        session.set_size(size);
        let mut positions = Vec::new();
        for stage in STAGES {
            let n_moves = (stage * size.n_points() as f64) as usize;
            while session.game().moves().len() < n_moves && !session.game().is_over() {
                session.genmove(session.game().to_move())?;
            }
            positions.push(session.game().clone());
        }
        Ok(positions)
    }

    /// Searches the positions in one of our own setups, in whole rounds for the window at the least.
    ///
    /// # Errors
    /// The net cannot be evaluated.
    pub fn measure(&self, positions: &[Game], net: &Counting, setup: Setup) -> Result<SearchMeasured> {
        let board = positions[0].size().len_max();
        let batch = if matches!(setup, Setup::Bare | Setup::Single) { 1 } else { self.search.batch_size };
        let mut evaluator: Box<dyn Evaluator> = match setup {
            Setup::Bare => Box::new(net.clone()),
            _ => Box::new(Batcher::new(Box::new(net.clone()), Duration::ZERO).client()),
        };
        let mut search = Search::new(&positions[0], self.search.tree_mb << 20, batch, Params::default())?;
        let cache = Arc::new(Cache::new(self.search.cache_mb.max(1) << 20, board)?);
        if setup != Setup::Bare {
            search.share_cache(cache.clone());
        }
        let mut think = |search: &mut Search| -> Result<u64> {
            search.think(&mut [&mut *evaluator], &Limits::visits(self.visits), &AtomicBool::new(false))?;
            Ok(search.report().map_or(0, |report| u64::from(report.playouts)))
        };
        // Weights are made ready for this board, and buffers grow.
        think(&mut search)?;
        let (before, cpu_before) = (net.now(), device::cpu_seconds());
        let (begun, mut visits) = (Instant::now(), 0);
        while begun.elapsed() < self.window || visits == 0 {
            match setup {
                Setup::InGame => {
                    search.clear();
                    cache.clear();
                    visits += self.play(&mut search, positions[GAME_STAGE].clone(), &mut think)?;
                }
                _ => {
                    for position in positions {
                        search.clear();
                        cache.clear();
                        search.set_game(position)?;
                        visits += think(&mut search)?;
                    }
                }
            }
        }
        let seconds = begun.elapsed().as_secs_f64();
        let cpu_seconds = device::cpu_seconds() - cpu_before;
        let after = net.now();
        let [calls, rows, nanoseconds] = [0, 1, 2].map(|i| (after[i] - before[i]) as f64);
        Ok(SearchMeasured {
            board,
            threads: net.threads,
            setup,
            visits_per_second: visits as f64 / seconds,
            batch_mean: Some(rows / calls.max(1.0)),
            evaluated: Some(rows / visits as f64),
            evaluations_per_second: Some(rows / (nanoseconds * 1e-9).max(1e-9)),
            net_share: Some(nanoseconds * 1e-9 / seconds),
            cpu_share: Some(cpu_seconds / (seconds * net.threads as f64)),
        })
    }

    /// Searches moves of a game one after the other; the new visits.
    fn play(&self, search: &mut Search, mut game: Game, think: &mut dyn FnMut(&mut Search) -> Result<u64>) -> Result<u64> {
        let mut visits = 0;
        for _ in 0..GAME_MOVES {
            search.set_game(&game)?;
            visits += think(search)?;
            let mv = search.best().unwrap_or(Move::Pass);
            if game.play(game.to_move(), mv).is_err() || game.is_over() {
                break;
            }
        }
        Ok(visits)
    }

    /// Starts KataGo: `command` is its GTP command line, to which the net is added.
    ///
    /// # Errors
    /// It does not start.
    pub fn start_katago(&self, command: &str, stop: &Stop) -> Result<Program> {
        Program::start(&format!("{command} -model '{}'", self.net.display()), stop)
    }

    /// Has KataGo search the same positions, one after the other for the window at the least.
    ///
    /// # Errors
    /// It fails, or does not know a command of KataGo's.
    pub fn measure_katago(&self, katago: &mut Program, positions: &[Game], threads: usize) -> Result<SearchMeasured> {
        let size = positions[0].size();
        Player::begin(katago, &Game::new(size, RULES, KOMI))?;
        katago.ask(&format!("kata-set-param numSearchThreads {threads}"))?;
        // A first search makes everything ready.
        katago.ask("kata-set-param maxVisits 10")?;
        katago.ask("kata-search B")?;
        katago.ask(&format!("kata-set-param maxVisits {}", self.visits))?;
        let (mut seconds, mut visits) = (0.0, 0u64);
        for position in positions.iter().cycle() {
            katago.ask("clear_board")?;
            katago.ask("clear_cache")?;
            for &(color, mv) in position.moves() {
                Player::play(katago, color, mv, size)?;
            }
            let color: Color = position.to_move();
            let begun = Instant::now();
            katago.ask(&format!("kata-search {}", color.letter()))?;
            seconds += begun.elapsed().as_secs_f64();
            visits += u64::from(self.visits);
            if seconds >= self.window.as_secs_f64() {
                break;
            }
        }
        Ok(SearchMeasured {
            board: size.len_max(),
            threads,
            setup: Setup::Katago,
            visits_per_second: visits as f64 / seconds,
            batch_mean: None,
            evaluated: None,
            evaluations_per_second: None,
            net_share: None,
            cpu_share: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{NetConfig, tensors};

    #[test]
    fn all_setups_are_measured() {
        let path = std::env::temp_dir().join(format!("edgezero-bench-search-{}.safetensors", std::process::id()));
        tensors::save(&path, &NetConfig::named("b1c8").unwrap().init(1)).unwrap();
        let search = SearchConfig { tree_mb: 16, cache_mb: 4, visits: 1, batch_size: 4 };
        let bench = SearchBench { net: path.clone(), backend: Backend::cpu(1), search, visits: 40, window: Duration::ZERO };
        let net = bench.open(1).unwrap();
        let positions = bench.positions(5, &net).unwrap();
        assert_eq!((positions.len(), positions[5].moves().len()), (6, 13));
        for setup in Setup::OURS {
            let m = bench.measure(&positions, &net, setup).unwrap();
            assert!(m.visits_per_second > 0.0 && m.net_share.unwrap() < 1.0, "{m:?}");
            let batch = m.batch_mean.unwrap();
            assert!(
                if matches!(setup, Setup::Bare | Setup::Single) { batch == 1.0 } else { batch > 1.0 && batch <= 4.0 },
                "{m:?}"
            );
        }
        std::fs::remove_file(&path).unwrap();
    }
}
