//! KataGo's analysis protocol: one JSON object a line in and out, many positions at a time, matched by their `id`.
//!
//! Each worker searches one position with a tree of its own; what they ask of the net goes into shared batches when the
//! evaluators are clients of one [`Batcher`](crate::infer::Batcher). Among the waiting positions the one with the highest
//! priority is next, then the oldest.

mod answer;
mod query;

use super::gtp::{Input, Line};
use super::mind::Mind;
use super::owners::Owners;
use super::session::Side;
use crate::base::signal::Stop;
use crate::base::{Error, Result};
use crate::infer::Evaluator;
use crate::search::{Report, SearchConfig};
use query::{Query, Request, Trouble};
use serde_json::{Value, json};
use std::io::Write;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Positions that may wait: more than a year of a strong player's games.
const WAITING_MAX: usize = 100_000;
/// Memory of the waiting positions, in bytes: a game of 250 moves takes 1 KB. Above it no more input is read.
pub const QUEUE_BYTES_MAX: usize = 32 << 20;
/// How often is looked for a stop while there is no room.
const ROOM_POLL: Duration = Duration::from_millis(100);
/// How often a search looks whether it was ended.
const TICK: Duration = Duration::from_millis(5);

/// How positions are analysed where their query does not say otherwise.
#[derive(Clone, Debug)]
pub struct AnalysisConfig {
    /// Memory and visits of each worker.
    pub search: SearchConfig,
    /// Whose winning chances are told.
    pub side: Side,
    /// Ends all of it: what is under way answers with what it has, what waits does not answer.
    pub stop: Stop,
    /// What becomes of open queries at the end of the input.
    pub at_end: AtEnd,
}

/// What becomes of open queries at the end of the input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AtEnd {
    /// They are finished first.
    #[default]
    Finish,
    /// They are dropped.
    Quit,
}

/// A position to be analysed.
struct Job {
    query: Arc<Query>,
    /// Its share of the query's memory, and its own.
    bytes: usize,
    turn: usize,
    priority: i64,
    stop: Arc<AtomicBool>,
}

#[derive(Default)]
struct Queue {
    waiting: Vec<Job>,
    /// Memory of what waits.
    bytes: usize,
    running: Vec<(String, usize, Arc<AtomicBool>)>,
    /// No more will come: workers end when nothing waits.
    is_closed: bool,
    /// Counts calls of `clear_cache`, which each worker follows.
    n_clears: usize,
}

struct Engine<'a> {
    queue: Mutex<Queue>,
    changed: Condvar,
    out: Mutex<&'a mut (dyn Write + Send)>,
    config: AnalysisConfig,
    about: String,
    version: u32,
    batch_max: usize,
}

/// Answers queries until the input ends and all of them are done, with one worker for each evaluator.
///
/// # Errors
/// Reading or writing failed, or the net could not be evaluated. Whatever is wrong with a query is answered.
pub fn serve(
    evaluators: Vec<Box<dyn Evaluator>>,
    config: AnalysisConfig,
    input: &mut dyn Input,
    out: &mut (dyn Write + Send),
) -> Result<()> {
    let about = evaluators.first().map_or(String::new(), |evaluator| evaluator.describe());
    let (version, batch_max) = evaluators.first().map_or((0, 0), |evaluator| (evaluator.version(), evaluator.batch_max()));
    let (queue, out) = (Mutex::default(), Mutex::new(out));
    let engine = Engine { queue, changed: Condvar::new(), out, config, about, version, batch_max };
    std::thread::scope(|scope| {
        let workers: Vec<_> = evaluators.into_iter().map(|evaluator| scope.spawn(|| engine.work(evaluator))).collect();
        let read = engine.read(input);
        engine.close();
        engine.changed.notify_all();
        let join = |worker: std::thread::ScopedJoinHandle<'_, Result<()>>| match worker.join() {
            Ok(told) => told,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        let told: Vec<Result<()>> = workers.into_iter().map(join).collect();
        told.into_iter().chain([read]).collect()
    })
}

impl Queue {
    fn drop_waiting(&mut self) {
        self.waiting.clear();
        self.bytes = 0;
    }
}

impl Engine<'_> {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes one line.
    fn say(&self, answer: &Value) -> Result<()> {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(out, "{answer}").and_then(|()| out.flush()).map_err(|e| Error::new("stdout", e))
    }

    fn complain(&self, kind: &str, id: Option<&str>, trouble: &Trouble) -> Result<()> {
        let mut answer = json!({ kind: trouble.what });
        if let Some(id) = id {
            answer["id"] = id.into();
        }
        if let Some(field) = &trouble.field {
            answer["field"] = field.clone().into();
        }
        self.say(&answer)
    }

    fn read(&self, input: &mut dyn Input) -> Result<()> {
        while let Some(line) = input.next_line() {
            // A worker has failed; its error is what is told.
            if self.queue().is_closed {
                break;
            }
            self.wait_for_room();
            match line.map_err(|e| Error::new("analysis input", e))? {
                Line::Text(text) if text.trim().is_empty() => {}
                Line::Text(text) => self.take(&text)?,
                Line::TooLong => self.complain("error", None, &Trouble::new("line too long", None))?,
            }
        }
        Ok(())
    }

    /// Waits until what waits takes less than it may, or there is no reason to wait any more.
    fn wait_for_room(&self) {
        let mut queue = self.queue();
        while queue.bytes >= QUEUE_BYTES_MAX && !queue.is_closed && !self.config.stop.requested() {
            queue = self.changed.wait_timeout(queue, ROOM_POLL).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// There is no more input.
    fn close(&self) {
        let mut queue = self.queue();
        queue.is_closed = true;
        if self.config.at_end == AtEnd::Quit {
            queue.drop_waiting();
            queue.running.iter().for_each(|(_, _, stop)| stop.store(true, Relaxed));
        }
    }

    fn take(&self, text: &str) -> Result<()> {
        let (id, request) = match query::parse(text, &self.config) {
            Ok(parsed) => parsed,
            Err((id, trouble)) => return self.complain("error", id.as_deref(), &trouble),
        };
        match request {
            Request::Query(query, warnings) => {
                warnings.iter().try_for_each(|warning| self.complain("warning", Some(&id), warning))?;
                self.enqueue(*query)
            }
            Request::Version(mut echo) => {
                echo["version"] = env!("CARGO_PKG_VERSION").into();
                echo["git_hash"] = "unknown".into();
                self.say(&echo)
            }
            Request::Models(mut echo) => {
                echo["models"] = json!([{"name": self.about, "internalName": self.about, "maxBatchSize": self.batch_max, "usesHumanSLProfile": false, "usingFP16": "false", "version": self.version}]);
                self.say(&echo)
            }
            Request::ClearCache(echo) => {
                self.queue().n_clears += 1;
                self.say(&echo)
            }
            Request::Terminate { echo, of, turns } => {
                self.terminate(of.as_deref(), turns.as_deref())?;
                self.say(&echo)
            }
        }
    }

    fn enqueue(&self, query: Query) -> Result<()> {
        let query = Arc::new(query);
        let is_full = {
            let mut queue = self.queue();
            let is_full = queue.waiting.len() + query.turns.len() > WAITING_MAX;
            if !is_full {
                let bytes = size_of::<Job>() + query.bytes() / query.turns.len().max(1);
                queue.bytes += bytes * query.turns.len();
                queue.waiting.extend(query.turns.iter().map(|&(turn, priority)| Job {
                    query: query.clone(),
                    bytes,
                    turn,
                    priority,
                    stop: Arc::default(),
                }));
            }
            is_full
        };
        if is_full {
            return self.complain("error", Some(&query.id), &Trouble::new("too many positions are waiting", None));
        }
        self.changed.notify_all();
        Ok(())
    }

    /// Ends the positions of a query, or of all, at these turns, or at all.
    fn terminate(&self, of: Option<&str>, turns: Option<&[usize]>) -> Result<()> {
        let is_meant = |id: &str, turn: usize| of.is_none_or(|of| of == id) && turns.is_none_or(|turns| turns.contains(&turn));
        let mut dropped = Vec::new();
        {
            let mut queue = self.queue();
            queue.running.iter().filter(|(id, turn, _)| is_meant(id, *turn)).for_each(|(_, _, stop)| stop.store(true, Relaxed));
            let (ended, waiting) =
                std::mem::take(&mut queue.waiting).into_iter().partition(|job| is_meant(&job.query.id, job.turn));
            queue.waiting = waiting;
            queue.bytes = queue.waiting.iter().map(|job| job.bytes).sum();
            dropped.extend::<Vec<Job>>(ended);
        }
        dropped.iter().try_for_each(|job| self.say(&answer::no_results(&job.query.id, job.turn)))
    }

    /// The next position; none when there will be no more.
    fn next(&self) -> Option<(Job, usize)> {
        let mut queue = self.queue();
        loop {
            if self.config.stop.requested() {
                queue.drop_waiting();
                return None;
            }
            // The first among the highest: `max_by_key` takes the last.
            let best = (0..queue.waiting.len()).rev().max_by_key(|&i| queue.waiting[i].priority);
            if let Some(i) = best {
                let job = queue.waiting.remove(i);
                if queue.bytes >= QUEUE_BYTES_MAX {
                    self.changed.notify_all();
                }
                queue.bytes -= job.bytes;
                queue.running.push((job.query.id.clone(), job.turn, job.stop.clone()));
                return Some((job, queue.n_clears));
            }
            if queue.is_closed {
                return None;
            }
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn work(&self, evaluator: Box<dyn Evaluator>) -> Result<()> {
        let mut mind = Mind::new(evaluator, Some(self.config.search.clone()));
        mind.stop_with(self.config.stop.clone());
        let mut n_clears = 0;
        while let Some((job, clears)) = self.next() {
            if clears != n_clears {
                mind.forget();
                n_clears = clears;
            }
            let told = self.analyze(&mut mind, &job);
            self.queue().running.retain(|(_, _, stop)| !Arc::ptr_eq(stop, &job.stop));
            if let Err(e) = told {
                // The others would wait for ever.
                let mut queue = self.queue();
                queue.drop_waiting();
                queue.is_closed = true;
                drop(queue);
                self.changed.notify_all();
                return Err(e);
            }
        }
        Ok(())
    }

    fn analyze(&self, mind: &mut Mind, job: &Job) -> Result<()> {
        let query = &*job.query;
        // Another query's visits say nothing about this one's moves and parameters.
        mind.forget_tree();
        let game = query.game(job.turn);
        mind.set_params(query.params.clone());
        let limits = query.limits(Instant::now());
        let mut owners = query.includes_moves_ownership.then(|| Owners::new(mind.second_judge(), game.clone()));
        let mut owners_after = |report: &Report| match &mut owners {
            Some(owners) => owners.after(report, usize::MAX),
            None => Ok(Vec::new()),
        };
        let is_ended = || job.stop.load(Relaxed) || self.config.stop.requested();
        let mut told = Ok(());
        let mut last = Instant::now();
        let watch = |report: &dyn Fn() -> Option<Report>| {
            if query.report_every.is_some_and(|every| last.elapsed() >= every)
                && let Some(report) = report().filter(|report| !report.moves.is_empty())
            {
                last = Instant::now();
                told = owners_after(&report).and_then(|owners| {
                    self.say(&answer::results(query, job.turn, &game, &report, answer::Stage::During, &owners))
                });
            }
            if told.is_err() || is_ended() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        mind.analyze(&game, &limits, &query.barred(game.to_move(), game.size()), TICK, watch)?;
        told?;
        match mind.report().filter(|report| !report.moves.is_empty() || !is_ended()) {
            Some(report) => {
                let owners = owners_after(&report)?;
                self.say(&answer::results(query, job.turn, &game, &report, answer::Stage::Final, &owners))
            }
            None => self.say(&answer::no_results(&query.id, job.turn)),
        }
    }
}

#[cfg(test)]
mod tests;
