//! `edgezero analysis`: answers KataGo's analysis protocol.

use super::Context;
use super::evaluator;
use super::out::Stdout;
use crate::base::{Error, Result};
use crate::device::Needs;
use crate::infer::{Batcher, Evaluator};
use crate::opponent::Side;
use crate::opponent::analysis::{AnalysisConfig, AtEnd, QUEUE_BYTES_MAX, serve};
use crate::opponent::gtp::Ahead;
use argh::FromArgs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Positions analysed at the same time when nothing else is said: enough to fill batches, few enough for the memory.
const WORKERS: usize = 4;
/// Most positions analysed at the same time.
const WORKERS_MAX: usize = 256;
/// How long a batch waits for the other workers: far less than it takes to be evaluated.
const BATCH_WAIT: Duration = Duration::from_millis(1);

/// Analyse positions, one JSON query a line, as KataGo's analysis engine does: for KaTrain and reviewers.
#[derive(FromArgs)]
#[argh(subcommand, name = "analysis")]
pub(super) struct AnalysisArgs {
    /// the net: a run's folder, its net.safetensors or net.bin.gz, or a KataGo .bin.gz; `-model` is the same
    #[argh(option)]
    net: PathBuf,
    /// positions analysed at the same time, 4 by default; they share the profile's memory
    #[argh(option, default = "WORKERS")]
    analysis_threads: usize,
    /// visits of a position; the default is the profile's
    #[argh(option)]
    visits: Option<u32>,
    /// a KataGo config file: accepted, as KaTrain names one, and not read
    #[argh(option)]
    #[allow(dead_code, reason = "for programs that pass it")]
    config: Option<PathBuf>,
    /// settings of KataGo's: accepted, and not followed
    #[argh(option)]
    #[allow(dead_code, reason = "for programs that pass it")]
    override_config: Vec<String>,
    /// a net that plays as people do: accepted, and not used
    #[argh(option)]
    human_model: Option<PathBuf>,
    /// drop open queries at the end of the input instead of answering them first
    #[argh(switch)]
    quit_without_waiting: bool,
}

pub(super) fn run(args: AnalysisArgs, ctx: &Context) -> Result<()> {
    let n_workers = args.analysis_threads;
    if !(1..=WORKERS_MAX).contains(&n_workers) {
        return Err(Error::call("--analysis-threads", format!("{n_workers}, expected 1 to {WORKERS_MAX}")));
    }
    let effort = evaluator::effort(args.visits, None, None, None)?;
    if let Some(model) = &args.human_model {
        log::warn!("--human-model {}: not used", model.display());
    }
    let program = Needs::program().with("queries", QUEUE_BYTES_MAX as u64);
    // Each worker has a tree and answers of its own.
    let mut search =
        evaluator::search_config_beside(program, &[evaluator::file_of(&args.net)?], n_workers, ctx)?.shared_by(n_workers)?;
    search.visits = effort.visits.unwrap_or(search.visits);
    let net = evaluator::open(&args.net, ctx)?;
    let at_end = if args.quit_without_waiting { AtEnd::Quit } else { AtEnd::Finish };
    let config = AnalysisConfig { search, side: Side::ToMove, stop: ctx.stop.clone(), at_end };
    let batcher = Batcher::new(net, BATCH_WAIT);
    let clients = (0..n_workers).map(|_| Box::new(batcher.client()) as Box<dyn Evaluator>).collect();
    let _watch = ctx.watch(ctx.budget(n_workers), None)?;
    log::info!("Started, ready to begin handling requests");
    serve(clients, config, &mut Ahead::new(|| io::stdin().lock(), ctx.stop.clone()), &mut Stdout)?;
    match ctx.stop.requested() {
        true => Err(Error::stopped("analysis", "stopped")),
        false => Ok(()),
    }
}
