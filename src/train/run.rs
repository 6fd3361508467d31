//! A run from its plan to its net.

use super::batch::HostBatch;
use super::budget::needs;
use super::checkpoint::{self, Checkpoint, CheckpointFile, Settings};
use super::config::TrainConfig;
use super::folder::RunFolder;
use super::learner::{Learner, fresh};
use super::prefetch::{PrefetchPlan, Prefetcher};
use super::report::{Event, MetricsFile, OnBoard, Report, Validation};
use super::schedule::Schedule;
use crate::base::signal::Stop;
use crate::base::{Error, Result};
use crate::compute::{Losses, Ops, Tallied};
use crate::device::{Budget, Needs, Watch};
use crate::net::{Net, NetConfig};
use crate::shard::{Dataset, Sampler, Split};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// One JSON line a report.
pub const METRICS_NAME: &str = "metrics.jsonl";

/// How long the speed is measured before a run whose length is given in minutes.
const CALIBRATION: Duration = Duration::from_secs(3);
/// Share of the given minutes that goes into steps; the rest is for validations and checkpoints.
const MINUTES_SHARE: f64 = 0.9;

/// Boards that are told one by one.
const BOARDS_TOLD: usize = 8;

/// Whether a run begins or goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// In a folder without checkpoints.
    Fresh,
    /// At the latest checkpoint of the folder, or from the start if there is none.
    Resume,
}

/// What to do.
pub struct Job<'a> {
    /// Settings.
    pub config: &'a TrainConfig,
    /// Positions to learn from.
    pub dataset: Arc<Dataset>,
    /// The run's folder.
    pub folder: &'a RunFolder,
    /// Begin or go on.
    pub start: Start,
    /// Train for about this time instead of a number of epochs.
    pub minutes: Option<f64>,
    /// Memory that the run may take.
    pub budget: Budget,
    /// Watches over memory, disk and heat.
    pub watch: Option<&'a Watch>,
    /// Asks for a clean end.
    pub stop: &'a Stop,
}

/// What a run will use, known before it starts.
pub struct Plan {
    net: Net,
    train: Arc<Sampler>,
    validation: Sampler,
    /// Positions to learn from, and held out.
    pub n_positions: [u64; 2],
    /// Games of the same.
    pub n_games: [usize; 2],
    /// Learned numbers of the net.
    pub n_params: usize,
    /// Steps of one pass over the positions.
    pub steps_per_epoch: u64,
    /// Memory by part.
    pub needs: Needs,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Held-out accuracy when this session began, where games are held out.
    pub before: Option<Validation>,
    /// The same at the end.
    pub after: Option<Validation>,
    /// Steps done, over all sessions.
    pub steps: u64,
    /// Positions learned from in this session.
    pub positions: u64,
    /// Time of this session's training.
    pub training: Duration,
    /// Energy in J that the board has drawn in this session; none where no rail is measured.
    pub energy_j: Option<f64>,
}

/// Plans a run, and refuses one that has nothing to learn from or does not fit.
pub fn plan<O: Ops>(job: &Job<'_>, ops: &O) -> Result<Plan> {
    let config = job.config;
    let len = config.board_size;
    let mut others = job.dataset.boards();
    if others.remove(&(len, len)).is_none() {
        let there = if others.is_empty() { "no others".to_string() } else { told_boards(&others) };
        let square = others.keys().find(|(w, h)| w == h);
        let hint = square.map_or("edgezero convert".to_string(), |(side, _)| format!("--board-size {side}"));
        return Err(Error::new(job.dataset.dir().display(), format!("no {len}x{len} games, but {there}")).hint(hint));
    }
    if !others.is_empty() {
        log::info!("left out: games on other boards: {}", told_boards(&others));
    }
    let permille = (config.validation_fraction * 1000.0).round() as u32;
    let sampler = |split| Sampler::new(&job.dataset, split, permille, config.seed, len);
    let (train, validation) = (sampler(Split::Train)?, sampler(Split::Validation)?);
    if train.n_positions() == 0 {
        let what = format!("no {len}x{len} positions are left to learn from");
        return Err(Error::new(job.dataset.dir().display(), what).hint("a lower validation_fraction in the profile"));
    }
    let net = NetConfig::named(&config.net)?.init(config.seed);
    let step_positions = (config.batch_size * config.accumulate) as u64;
    let plan = Plan {
        n_positions: [train.n_positions(), validation.n_positions()],
        n_games: [train.n_games(), validation.n_games()],
        n_params: net.params().len(),
        steps_per_epoch: train.n_positions().div_ceil(step_positions),
        needs: needs(ops, &job.dataset, &net, config),
        net,
        train: Arc::new(train),
        validation,
    };
    match job.budget.fits(&plan.needs) {
        true => Ok(plan),
        false => Err(job.budget.refusal("train", &plan.needs, "a smaller --net, or a profile with more memory")),
    }
}

/// Boards with their numbers of games, the most frequent ones.
fn told_boards(boards: &BTreeMap<(usize, usize), u64>) -> String {
    let mut boards: Vec<_> = boards.iter().collect();
    boards.sort_by_key(|&(_, n)| std::cmp::Reverse(n));
    let shown = boards.iter().take(BOARDS_TOLD).map(|((w, h), n)| format!("{w}x{h} ({n})"));
    let rest = (boards.len() > BOARDS_TOLD).then(|| format!("and {} more", boards.len() - BOARDS_TOLD));
    shown.chain(rest).collect::<Vec<_>>().join(", ")
}

/// Trains. `tell` hears of every report, validation and checkpoint.
pub fn run<O: Ops>(ops: O, job: &Job<'_>, plan: Plan, tell: &mut dyn FnMut(&Event)) -> Result<Summary> {
    let settings = Settings::new(job.dataset.manifest().source.identity.clone(), job.config);
    let (ops, from) = starting_point(ops, job, &plan, &settings)?;
    job.folder.keep(&job.dataset)?;
    let mut session = Session {
        learner: Learner::new(ops, job.config, job.config.board_size, &from)?,
        metrics: MetricsFile::open(job.folder.path(), METRICS_NAME, from.step)?,
        batch: HostBatch::new(job.config.batch_size, job.config.board_size),
        schedule: schedule(job.config, from.total_steps),
        total_steps: from.total_steps,
        last_checkpoint: (from.step > 0).then_some(from.step),
        checkpoint_at: Instant::now(),
        job,
        plan: &plan,
        settings,
        tell,
    };
    drop(from);
    session.run()
}

/// Ends a run whose steps are all done, as it may not have come to that itself: writes its nets if they are not there. Needs
/// no records. Gives the steps of the run.
///
/// # Errors
/// No complete run in the folder; one that began with other settings; a file that cannot be written.
pub fn finish(folder: &RunFolder, config: &TrainConfig) -> Result<u64> {
    let files = checkpoint::list(folder.path())?;
    let latest = files.iter().rev().find_map(|path| Some((path, CheckpointFile::open(path).ok()?)));
    let Some((path, file)) = latest else {
        return Err(Error::new(folder.path().display(), "no run that could be finished"));
    };
    file.settings.check_same_config(&Settings::new(file.settings.data.clone(), config), path)?;
    let from = file.load(&NetConfig::named(&config.net)?.init(config.seed), config.optimizer)?;
    if from.step < from.total_steps {
        return Err(Error::new(path.display(), format!("step {} of {}: not at its end", from.step, from.total_steps)));
    }
    folder.write_nets(&from.average)?;
    folder.forget_shards()?;
    Ok(from.step)
}

/// The checkpoint to go on from, or a fresh state.
fn starting_point<O: Ops>(ops: O, job: &Job<'_>, plan: &Plan, settings: &Settings) -> Result<(O, Checkpoint)> {
    let dir = job.folder.path();
    let there = checkpoint::list(dir)?;
    if job.start == Start::Fresh && !there.is_empty() {
        let what = "holds a run already";
        return Err(Error::new(dir.display(), what).hint("--resume to go on with it, or another --out"));
    }
    for path in there.iter().rev() {
        match CheckpointFile::open(path) {
            Ok(file) => {
                file.settings.check_same(settings, path)?;
                let from = file.load(&plan.net, job.config.optimizer)?;
                if job.minutes.is_some() {
                    log::warn!("a run keeps the length it began with: --minutes says nothing on --resume");
                }
                log::info!("resume step={} of={} checkpoint={}", from.step, from.total_steps, path.display());
                return Ok((ops, from));
            }
            Err(e) => log::warn!("{e}; the one before is tried"),
        }
    }
    if !there.is_empty() {
        return Err(Error::new(dir.display(), "none of its checkpoints can be read").hint("another --out for a new run"));
    }
    let mut from = fresh(job.config, plan.net.clone(), plan.steps_per_epoch * job.config.epochs as u64);
    let Some(minutes) = job.minutes else { return Ok((ops, from)) };
    let (ops, step_seconds) = step_time(ops, job, plan, &from)?;
    from.total_steps = steps_in(minutes, step_seconds);
    Ok((ops, from))
}

fn schedule(config: &TrainConfig, total_steps: u64) -> Schedule {
    Schedule {
        peak: config.learning_rate,
        floor: config.learning_rate_floor,
        warmup_steps: config.warmup_steps as u64,
        total_steps,
    }
}

fn steps_in(minutes: f64, step_seconds: f64) -> u64 {
    ((minutes * 60.0 * MINUTES_SHARE / step_seconds) as u64).max(1)
}

/// Seconds of a step, measured on a learner that is thrown away: the run itself must not depend on the clock.
fn step_time<O: Ops>(ops: O, job: &Job<'_>, plan: &Plan, from: &Checkpoint) -> Result<(O, f64)> {
    let config = job.config;
    let mut learner = Learner::new(ops, config, config.board_size, from)?;
    let mut batch = HostBatch::new(config.batch_size, config.board_size);
    let mut times = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < CALIBRATION || times.len() < 2 {
        let start = Instant::now();
        for part in 0..config.accumulate {
            batch.fill(&plan.train, (0..config.batch_size as u64).map(|i| plan.train.sample(i)))?;
            learner.learn(&batch, part, config.accumulate, 0.0)?;
        }
        learner.read()?;
        times.push(start.elapsed().as_secs_f64());
    }
    // The first step touches fresh memory.
    times.remove(0);
    times.sort_by(f64::total_cmp);
    Ok((learner.into_ops(), times[times.len() / 2]))
}

/// A run in progress.
struct Session<'a, O: Ops> {
    learner: Learner<O>,
    metrics: MetricsFile,
    batch: HostBatch,
    schedule: Schedule,
    total_steps: u64,
    last_checkpoint: Option<u64>,
    /// When the last checkpoint was written, or the session began.
    checkpoint_at: Instant,
    job: &'a Job<'a>,
    plan: &'a Plan,
    settings: Settings,
    tell: &'a mut dyn FnMut(&Event),
}

/// Sums since the last report.
#[derive(Default)]
struct Since {
    sums: Tallied,
    steps: u64,
    waited: Duration,
    /// How long the device had work, where it is another than the host.
    busy: Option<Duration>,
    /// What the board had drawn before, in J.
    energy_j: Option<f64>,
}

impl<O: Ops> Session<'_, O> {
    fn run(&mut self) -> Result<Summary> {
        let config = self.job.config;
        let before = self.validate()?;
        let mut after = before.clone();
        let first_step = self.learner.step();
        let step_positions = (config.batch_size * config.accumulate) as u64;
        let mut prefetcher = Prefetcher::start(
            &self.plan.train,
            PrefetchPlan {
                first_batch: first_step * config.accumulate as u64,
                batch_size: config.batch_size,
                workers: config.dataloader_workers,
                factor: config.prefetch_factor,
            },
        )?;
        let mut training = Duration::ZERO;
        let energy_before = self.energy_j();
        let mut since_start = Instant::now();
        let mut since = Since { energy_j: energy_before, ..Since::default() };
        let mut worked = Instant::now();
        while self.learner.step() < self.total_steps {
            if self.job.stop.requested() {
                self.read(&mut since)?;
                return Err(self.stop_cleanly()?);
            }
            self.one_step(&mut prefetcher, &mut since)?;
            let step = self.learner.step();
            let is_last = step == self.total_steps;
            let validates = is_last || step.is_multiple_of(self.plan.steps_per_epoch);
            let keeps = is_last || step.is_multiple_of(config.checkpoint_steps as u64) || self.checkpoint_is_due();
            let reports = is_last || step.is_multiple_of(config.report_steps as u64);
            if validates || keeps || reports {
                self.read(&mut since)?;
            }
            self.say(&Event::Step { step, total_steps: self.total_steps })?;
            if reports {
                let spent = since_start.elapsed();
                training += spent;
                self.report(&since, spent, training, (step - first_step) * step_positions)?;
                (since, since_start) = (Since { energy_j: self.energy_j(), ..Since::default() }, Instant::now());
            }
            let paused = Instant::now();
            if validates {
                after = self.validate()?;
            }
            if keeps {
                self.write_checkpoint()?;
            }
            // what the device did meanwhile was no step
            self.learner.busy();
            since_start += paused.elapsed();
            if let Some(watch) = self.job.watch {
                watch.rest(worked.elapsed());
                worked = Instant::now();
            }
        }
        self.write_nets()?;
        let steps = self.learner.step();
        let energy_j = self.energy_j().map(|now| now - energy_before.unwrap_or(0.0));
        Ok(Summary { before, after, steps, positions: (steps - first_step) * step_positions, training, energy_j })
    }

    /// Learns from the next batches; what they showed waits on the device for [`Session::read`].
    fn one_step(&mut self, prefetcher: &mut Prefetcher, since: &mut Since) -> Result<()> {
        let (n_parts, rate) = (self.job.config.accumulate, self.schedule.rate(self.learner.step()));
        for part in 0..n_parts {
            let asked = Instant::now();
            let batch = prefetcher.next()?;
            since.waited += asked.elapsed();
            self.learner.learn(&batch, part, n_parts, rate)?;
            prefetcher.give_back(batch);
        }
        since.steps += 1;
        Ok(())
    }

    /// Waits for the steps so far and takes what they showed.
    fn read(&mut self, since: &mut Since) -> Result<()> {
        let sums = self.learner.read()?;
        for (what, sum) in [("loss", sums.losses.total), ("gradient", sums.norms)] {
            if !sum.is_finite() {
                return Err(self.diverged(what, self.learner.step()));
            }
        }
        since.sums.losses += sums.losses;
        since.sums.norms += sums.norms;
        since.sums.skipped += sums.skipped;
        since.sums.grad_scale = sums.grad_scale;
        since.busy = self.learner.busy().map(|busy| busy + since.busy.unwrap_or_default());
        Ok(())
    }

    fn diverged(&self, what: &str, step: u64) -> Error {
        let what = format!("the {what} is no number by step {step}");
        Error::new(self.job.folder.path().display(), what).hint("a lower learning_rate in the profile, and another --out")
    }

    /// Whether a power cut would cost more than the profile allows.
    fn checkpoint_is_due(&self) -> bool {
        self.checkpoint_at.elapsed().as_secs_f64() >= 60.0 * self.job.config.checkpoint_minutes
    }

    /// What the board has drawn since the watch began, in J.
    fn energy_j(&self) -> Option<f64> {
        self.job.watch?.seen().energy_j
    }

    /// What the board says of the steps `since` the last report.
    fn on_board(&self, since: &Since, positions: u64) -> Option<OnBoard> {
        let seen = self.job.watch?.seen();
        let joules = seen.energy_j.map(|now| now - since.energy_j.unwrap_or(0.0));
        let thousands = positions as f64 / 1000.0;
        Some(OnBoard { reading: seen.reading, rest: seen.rest, joules_per_thousand: joules.map(|j| j / thousands.max(1e-9)) })
    }

    fn epoch(&self) -> f64 {
        self.learner.step() as f64 / self.plan.steps_per_epoch as f64
    }

    fn report(&mut self, since: &Since, spent: Duration, training: Duration, positions: u64) -> Result<()> {
        let step = self.learner.step();
        let seconds = spent.as_secs_f64().max(f64::MIN_POSITIVE);
        let event = Event::Report(Report {
            step,
            total_steps: self.total_steps,
            positions_per_step: (self.job.config.batch_size * self.job.config.accumulate) as u64,
            epoch: self.epoch(),
            positions,
            training,
            positions_per_second: since.sums.losses.n as f64 / seconds,
            waiting_share: since.waited.as_secs_f64() / seconds,
            busy_share: since.busy.map(|busy| busy.as_secs_f64() / seconds),
            learning_rate: self.schedule.rate(step - 1),
            gradient_norm: since.sums.norms / (since.steps - since.sums.skipped).max(1) as f64,
            skipped_steps: since.sums.skipped,
            grad_scale: since.sums.grad_scale.map(|scale| scale.factor),
            losses: since.sums.losses,
            board: self.on_board(since, since.sums.losses.n).map(Box::new),
        });
        self.say(&event)
    }

    /// The averaged net on the held-out games, evenly spread; none if no game is held out.
    fn validate(&mut self) -> Result<Option<Validation>> {
        let (config, plan) = (self.job.config, self.plan);
        let mut samples = plan.validation.in_order(config.validation_positions_max as u64).peekable();
        if samples.peek().is_none() {
            return Ok(None);
        }
        let mut losses = Losses::default();
        while samples.peek().is_some() {
            if self.job.stop.requested() {
                return Err(self.stop_cleanly()?);
            }
            self.batch.fill(&plan.validation, samples.by_ref().take(config.batch_size))?;
            losses += self.learner.evaluate(&self.batch)?;
        }
        let validation = Validation { step: self.learner.step(), epoch: self.epoch(), losses };
        self.say(&Event::Validation(validation.clone()))?;
        Ok(Some(validation))
    }

    fn write_checkpoint(&mut self) -> Result<()> {
        let step = self.learner.step();
        self.checkpoint_at = Instant::now();
        if self.last_checkpoint != Some(step) {
            // What a new session finds there is what it goes on from.
            self.metrics.sync()?;
            let dir = self.job.folder.path();
            let path = self.learner.checkpoint(self.total_steps)?.write(dir, &self.settings)?;
            checkpoint::prune(dir, self.job.config.checkpoints_kept)?;
            self.last_checkpoint = Some(step);
            self.say(&Event::Checkpoint { step, path })?;
        }
        Ok(())
    }

    /// A checkpoint, and the message that says so.
    fn stop_cleanly(&mut self) -> Result<Error> {
        self.write_checkpoint()?;
        let what = format!("stopped after step {} of {}, all of it is kept", self.learner.step(), self.total_steps);
        Ok(Error::stopped(self.job.folder.path().display(), what).hint("the same command with --resume"))
    }

    fn write_nets(&mut self) -> Result<()> {
        let net = self.learner.average()?;
        self.metrics.sync()?;
        self.job.folder.write_nets(&net)?;
        self.job.folder.forget_shards()
    }

    fn say(&mut self, event: &Event) -> Result<()> {
        self.metrics.append(event)?;
        (self.tell)(event);
        Ok(())
    }
}
