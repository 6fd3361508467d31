//! `edgezero train`: records to shards where they changed, then a run.

use super::Context;
use super::out::{energy_line, outln};
use super::progress::Progress;
use crate::base::{Error, Result};
use crate::compute::cpu::CpuOps;
use crate::compute::cuda::Precision;
use crate::compute::{Losses, Ops};
use crate::corpus::{ConvertConfig, source_now};
use crate::device::peak_rss_bytes;
use crate::infer::BackendChoice;
use crate::profile::Profile;
use crate::shard::{Dataset, Source};
use crate::train::{self, BatchSize, Begun, Event, Job, METRICS_NAME, OnBoard, RunFolder, Start, TrainConfig, Validation};
use argh::FromArgs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Learns a policy and value net from game records. All defaults come from the profile.
#[derive(FromArgs)]
#[argh(subcommand, name = "train")]
pub(super) struct TrainArgs {
    /// folder of game records; shards are made beside it and made anew when it changes
    #[argh(option)]
    sgf_dir: Option<PathBuf>,
    /// learn from shards that `edgezero convert` made, instead of records
    #[argh(option)]
    shards: Option<PathBuf>,
    /// side of the boards to learn from, in points
    #[argh(option)]
    board_size: Option<usize>,
    /// network preset such as b4c32: blocks and channels
    #[argh(option)]
    net: Option<String>,
    /// passes over the positions
    #[argh(option)]
    epochs: Option<usize>,
    /// train for about this time instead of a number of epochs
    #[argh(option)]
    minutes: Option<f64>,
    /// positions a step: in one pass, or in several where memory is short
    #[argh(option)]
    batch_size: Option<usize>,
    /// peak learning rate
    #[argh(option)]
    learning_rate: Option<f32>,
    /// seed of weights, order and symmetries
    #[argh(option)]
    seed: Option<u64>,
    /// threads that read records
    #[argh(option)]
    parse_workers: Option<usize>,
    /// threads that gather batches
    #[argh(option)]
    dataloader_workers: Option<usize>,
    /// batches each of them holds ready
    #[argh(option)]
    prefetch_factor: Option<usize>,
    /// folder of the run: checkpoints, metrics.jsonl and the net
    #[argh(option)]
    out: Option<PathBuf>,
    /// go on at the latest checkpoint of the folder, or begin where there is none: what a service calls after each start
    #[argh(switch)]
    resume: bool,
}

impl TrainArgs {
    /// The profile's settings with the options in their place.
    fn config(&self, profile: &Profile) -> Result<TrainConfig> {
        let mut config = profile.train.clone();
        set(&mut config.sgf_dir, &self.sgf_dir);
        set(&mut config.board_size, &self.board_size);
        set(&mut config.net, &self.net);
        set(&mut config.epochs, &self.epochs);
        if let Some(positions) = self.batch_size {
            // The option is a whole step; the profile's passes are for the profile's batch.
            (config.batch_size, config.accumulate) = (positions, 1);
        }
        set(&mut config.learning_rate, &self.learning_rate);
        set(&mut config.seed, &self.seed);
        set(&mut config.parse_workers, &self.parse_workers);
        set(&mut config.dataloader_workers, &self.dataloader_workers);
        set(&mut config.prefetch_factor, &self.prefetch_factor);
        config.check().map_err(|bad| Error::call(format!("--{}", bad.key.replace('_', "-")), bad.what))?;
        if self.minutes.is_some_and(|m| !(m > 0.0 && m.is_finite())) {
            return Err(Error::call("--minutes", "expected a number above 0"));
        }
        if self.shards.is_some() && self.sgf_dir.is_some() {
            return Err(Error::call("--shards", "says what to learn from, and so does --sgf-dir: one of them is enough"));
        }
        if self.minutes.is_some() && self.epochs.is_some() {
            return Err(Error::call("--minutes", "says how long to train, and so does --epochs: one of them is enough"));
        }
        Ok(config)
    }
}

fn set<T: Clone>(to: &mut T, option: &Option<T>) {
    if let Some(value) = option {
        to.clone_from(value);
    }
}

pub(super) fn run(args: TrainArgs, ctx: &Context) -> Result<()> {
    let mut config = args.config(&ctx.profile)?;
    if ctx.backend.choice == BackendChoice::TensorRt {
        return Err(Error::new("--backend tensorrt", "plays, it does not train").hint("--backend cuda, or --backend cpu"));
    }
    if ctx.backend.gpus.len() > 1 {
        return Err(Error::new("--gpus", "a run trains on one GPU").hint(format!("--gpus {}", ctx.backend.gpus[0])));
    }
    let run_name = format!("{}-{}x{}", config.net, config.board_size, config.board_size);
    let out = args.out.clone().unwrap_or_else(|| config.runs_dir.join(run_name));
    let folder = RunFolder::take(&out)?;
    let begun = if args.resume { folder.begun()? } else { None };
    let batch = follow(&mut config, begun.as_ref());
    let records = Records { shards: args.shards.as_deref(), config: &config, ctx };
    if let Some(begun) = begun.as_ref().filter(|begun| begun.is_complete()) {
        let steps = train::finish(&folder, &config)?;
        records.tell_changes(begun, None);
        outln!("{steps} steps, 0 positions: the run is finished")?;
        return say_files(&out);
    }
    let budget = ctx.budget(config.dataloader_workers);
    let watch = ctx.watch(budget, Some(&out))?;
    let dataset = match &begun {
        Some(begun) => records.of_run(begun, &folder)?,
        None => records.now()?,
    };
    let job = Job {
        config: &config,
        dataset: Arc::new(dataset),
        folder: &folder,
        start: if args.resume { Start::Resume } else { Start::Fresh },
        minutes: args.minutes,
        budget,
        watch: Some(&watch),
        stop: &ctx.stop,
    };
    match ctx.backend.cuda(Precision::Bf16)?.pop() {
        Some(gpu) => {
            watch.follow(gpu.gpu().into_iter().collect());
            let budget = match gpu.context().facts().integrated {
                true => budget,
                false => budget.with_gpu(gpu.context().memory()?.0),
            };
            train_on(gpu, Job { budget, ..job }, batch)
        }
        None => {
            if ctx.backend.precision.is_some_and(|asked| asked != Precision::F32) {
                log::info!("precision: f32 (the CPU backend trains in nothing else)");
            }
            train_on(CpuOps::new(ctx.threads)?, job, batch)
        }
    }
}

/// Takes the batch of a run that goes on, if a step has as many positions as it had: less memory may have made it smaller.
fn follow(config: &mut TrainConfig, begun: Option<&Begun>) -> BatchSize {
    let Some(begun) = begun else { return BatchSize::Free };
    if begun.batch_size * begun.accumulate == config.batch_size * config.accumulate {
        (config.batch_size, config.accumulate) = (begun.batch_size, begun.accumulate);
    }
    BatchSize::Fixed
}

/// What is to be learned from.
struct Records<'a> {
    /// Shards that were given instead of records.
    shards: Option<&'a Path>,
    config: &'a TrainConfig,
    ctx: &'a Context,
}

impl Records<'_> {
    fn convert_config(&self) -> ConvertConfig {
        ConvertConfig { workers: self.config.parse_workers, ..self.ctx.profile.convert.clone() }
    }

    /// Where the shards are.
    fn dir(&self) -> PathBuf {
        self.shards.map_or_else(|| shards_dir(&self.config.sgf_dir), Path::to_path_buf)
    }

    /// The shards of a new run, made anew where the records changed.
    fn now(&self) -> Result<Dataset> {
        let (dir, shards) = (&self.config.sgf_dir, self.dir());
        if self.shards.is_none() {
            if !dir.exists() {
                let hint =
                    format!("mkdir -p {}, and put .sgf files there; or --sgf-dir with the folder that has them", dir.display());
                return Err(Error::new(dir.display(), "no such folder of game records").hint(hint));
            }
            super::convert::refresh(std::slice::from_ref(dir), &shards, &self.convert_config(), self.ctx)?;
        }
        Dataset::open(&shards)
    }

    /// The shards that a run began with: linked in its folder, or where they were. They are made again only where that gives
    /// the same: what other runs need stays.
    fn of_run(&self, begun: &Begun, folder: &RunFolder) -> Result<Dataset> {
        for shards in [folder.shards(), self.dir()] {
            let found = Dataset::open(&shards).ok().filter(|dataset| dataset.manifest().source.identity == begun.data);
            if let Some(dataset) = found {
                log::info!("shards: {} are those the run began with", shards.display());
                self.tell_changes(begun, Some(&dataset.manifest().source));
                return Ok(dataset);
            }
        }
        if self.source_now().is_some_and(|now| now.identity != begun.data) {
            let what =
                format!("the run began with other game records; another one has replaced its shards, {}", self.dir().display());
            let hint = "another --out, which learns from the records that are there now";
            return Err(Error::new(folder.path().display(), what).hint(hint));
        }
        self.now()
    }

    /// What there is to be learned from just now; none where it is gone.
    fn source_now(&self) -> Option<Source> {
        match self.shards {
            Some(dir) => Dataset::open(dir).ok().map(|dataset| dataset.manifest().source.clone()),
            None => source_now(std::slice::from_ref(&self.config.sgf_dir), &self.dir(), &self.convert_config()).ok(),
        }
    }

    /// Says what a run that goes on will not learn: records that changed since it began. `source` is what it began with,
    /// where that is still known.
    fn tell_changes(&self, begun: &Begun, source: Option<&Source>) {
        // Records that are gone are no matter for a run that has its shards.
        let Some(now) = self.source_now().filter(|now| now.identity != begun.data) else { return };
        let what = match begun.is_complete() {
            false => "it goes on with what it began with",
            true => "it is finished",
        };
        let size = |source: &Source| format!("{} files of {:.1} MB", source.n_files, source.bytes as f64 / 1e6);
        let then = source.map_or(String::new(), |source| format!("{} then, ", size(source)));
        log::warn!(
            "{}: records or [convert] settings changed since the run began ({then}{} now); {what}\n\
             try: edgezero train with another --out, which learns from all of them",
            self.shards.unwrap_or(&self.config.sgf_dir).display(),
            size(&now),
        );
    }
}

/// `data/sgf` keeps its shards in `data/sgf.shards`.
fn shards_dir(sgf_dir: &Path) -> PathBuf {
    let absolute = std::path::absolute(sgf_dir).unwrap_or_else(|_| sgf_dir.to_path_buf());
    let mut name = absolute.file_name().unwrap_or_default().to_os_string();
    name.push(".shards");
    absolute.with_file_name(name)
}

fn train_on<O: Ops>(ops: O, job: Job<'_>, batch: BatchSize) -> Result<()> {
    let config = &train::fitted(&ops, &job.dataset, job.config, &job.budget, batch)?;
    let job = &Job { config, ..job };
    let plan = train::plan(job, &ops)?;
    job.budget.say(&plan.needs);
    log::info!(
        "train net={} params={} board={}x{} positions={} games={} held_out={} batch={} passes={} steps_per_epoch={} device={:?}",
        config.net,
        plan.n_params,
        config.board_size,
        config.board_size,
        plan.n_positions[0],
        plan.n_games[0],
        plan.n_positions[1],
        config.batch_size * config.accumulate,
        config.accumulate,
        plan.steps_per_epoch,
        ops.describe(),
    );
    let progress = Progress::new("train");
    let summary = train::run(ops, job, plan, &mut |event| show(&progress, event));
    progress.finish();
    let summary = summary?;
    if let (Some(before), Some(after)) = (&summary.before, &summary.after) {
        outln!("validation before: {}", accuracy(before))?;
        outln!("validation after:  {}", accuracy(after))?;
    }
    let seconds = summary.training.as_secs_f64();
    outln!(
        "{} steps, {} positions in {:.0} s ({:.0} positions/s), peak memory {} MiB",
        summary.steps,
        summary.positions,
        seconds,
        summary.positions as f64 / seconds.max(1e-9),
        peak_rss_bytes() >> 20
    )?;
    if let (Some(watch), Some(joules)) = (job.watch, summary.energy_j) {
        outln!("{}", energy_line(&watch.seen(), joules, summary.positions as f64 / 1000.0, "a thousand positions"))?;
    }
    say_files(job.folder.path())
}

/// What a finished run has made.
fn say_files(out: &Path) -> Result<()> {
    outln!("net: {}", out.join(train::AVERAGE_NAME).display())?;
    outln!("for KataGo and its GUIs: {}", out.join(train::KATAGO_NAME).display())?;
    outln!("metrics: {}", out.join(METRICS_NAME).display())
}

fn show(progress: &Progress, event: &Event) {
    match event {
        Event::Step { step, total_steps } => progress.show_step(*step, *total_steps),
        Event::Report(r) => progress.show_values(
            r.step,
            r.total_steps,
            r.seconds_left(),
            &format!(
                "{:.0} pos/s policy {:.2} value {:.2} top-1 {:.1}%{}{}",
                r.positions_per_second,
                r.losses.policy_mean(),
                r.losses.value_mean(),
                100.0 * r.losses.policy_top1(),
                r.busy_share.map_or(String::new(), |share| format!(" GPU busy {:.0}%", 100.0 * share)),
                on_board(r.board.as_deref()).iter().map(|(_, value)| format!(" {value}")).collect::<String>()
            ),
            &[
                ("epoch", format!("{:.2}", r.epoch)),
                ("positions_per_s", format!("{:.0}", r.positions_per_second)),
                ("waiting", format!("{:.0}%", 100.0 * r.waiting_share)),
                ("rate", format!("{:.1e}", r.learning_rate)),
                ("loss", format!("{:.3}", r.losses.total_mean())),
                ("policy", format!("{:.3}", r.losses.policy_mean())),
                ("top1", format!("{:.1}%", 100.0 * r.losses.policy_top1())),
                ("value", format!("{:.3}", r.losses.value_mean())),
            ]
            .into_iter()
            .chain(r.busy_share.map(|share| ("busy", format!("{:.0}%", 100.0 * share))))
            .chain(on_board(r.board.as_deref()))
            .collect::<Vec<_>>(),
        ),
        Event::Validation(v) => {
            let short = format!(
                "validation, epoch {:.2}: move {:.1} % right at the first guess, winner {:.1} %",
                v.epoch,
                100.0 * v.losses.policy_top1(),
                100.0 * v.losses.value_accuracy()
            );
            progress.say(&short, &format!("validation: step={} epoch={:.2} {}", v.step, v.epoch, key_values(&v.losses)));
        }
        Event::Checkpoint { step, path } => log::debug!("checkpoint: step={step} path={}", path.display()),
    }
}

/// What the sensors say of the board, as far as they are there.
fn on_board(board: Option<&OnBoard>) -> Vec<(&'static str, String)> {
    let Some(board) = board else { return Vec::new() };
    let it = &board.reading;
    let parts = [
        ("gpu", it.gpu_load.map(|load| format!("{:.0}%", 100.0 * load))),
        ("gpu_memory", it.gpu_memory_mb.map(|mb| format!("{mb:.0}MiB"))),
        ("heat", it.hottest().map(|hottest| format!("{:.0}°C", hottest.value))),
        ("watts", it.power_w.map(|watts| format!("{watts:.1}W"))),
        ("energy", board.joules_per_thousand.map(|joules| format!("{joules:.1}J/1000"))),
        ("rest", (board.rest > 0.0).then(|| format!("{:.0}%", 100.0 * board.rest))),
    ];
    parts.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
}

fn key_values(l: &Losses) -> String {
    format!(
        "top1={:.2}% policy={:.4} value={:.4} value_accuracy={:.1}% score_error={:.1} ownership={:.4} positions={}",
        100.0 * l.policy_top1(),
        l.policy_mean(),
        l.value_mean(),
        100.0 * l.value_accuracy(),
        l.score_error_mean(),
        l.ownership_mean(),
        l.n
    )
}

fn accuracy(v: &Validation) -> String {
    format!(
        "move {:.1} % right at the first guess, winner {:.1} % ({} positions of held-out games)",
        100.0 * v.losses.policy_top1(),
        100.0 * v.losses.value_accuracy(),
        v.losses.n
    )
}
