//! `edgezero inspect`: what is in a data set, or what a net is.

use super::Context;
use super::evaluator::{self, file_of};
use super::out::outln;
use crate::base::{Error, Result};
use crate::infer::{is_net_name, read_net};
use crate::net::NetSummary;
use crate::shard::{Dataset, PositionView, Summary};
use argh::FromArgs;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Show what a folder of shards holds: games, positions, board sizes, splits, results, and one position; or what a net is:
/// blocks, channels, parameters, version, inputs.
#[derive(FromArgs)]
#[argh(subcommand, name = "inspect")]
pub(super) struct InspectArgs {
    /// folder of shards, a net's file, or a run's folder
    #[argh(positional, arg_name = "path")]
    path: PathBuf,
    /// one JSON object on stdout
    #[argh(switch)]
    json: bool,
    /// which position to draw, from 0; the default is one in the middle
    #[argh(option)]
    position: Option<u64>,
}

pub(super) fn run(args: InspectArgs, ctx: &Context) -> Result<()> {
    let is_net = (args.path.is_file() && is_net_name(&args.path)) || (args.path.is_dir() && evaluator::has_net(&args.path));
    if is_net {
        return match args.position {
            Some(_) => Err(Error::call("--position", "a net has none")),
            None => inspect_net(&file_of(&args.path)?, args.json),
        };
    }
    let dataset = Dataset::open(&args.path)?;
    let permille = (ctx.profile.train.validation_fraction * 1000.0).round() as u32;
    let summary = Summary::of(&dataset, permille);
    let position = PositionView::read(&dataset, args.position.unwrap_or(summary.positions / 2))?;
    if args.json {
        #[derive(Serialize)]
        struct Both {
            summary: Summary,
            position: PositionView,
        }
        let text = serde_json::to_string(&Both { summary, position }).map_err(|e| Error::new("inspect", e))?;
        return outln!("{text}");
    }
    print(&summary)?;
    outln!("{}", position.draw())
}

fn inspect_net(file: &Path, as_json: bool) -> Result<()> {
    let net = read_net(file).map_err(|e| e.or_hint(evaluator::NETS))?;
    let summary = NetSummary::of(&net);
    if as_json {
        let text = serde_json::to_string(&summary).map_err(|e| Error::new("inspect", e))?;
        return outln!("{text}");
    }
    let [h, w] = summary.first_kernel;
    outln!("{}: {}", file.display(), summary.name)?;
    outln!("version      {} of KataGo's model files", summary.version)?;
    outln!(
        "inputs       {} planes and {} numbers (KataGo's input version 7), boards up to 19x19",
        summary.planes,
        summary.numbers
    )?;
    outln!(
        "trunk        {} blocks of {} channels, {:?}, first kernel {h}x{w}",
        summary.blocks,
        summary.channels,
        summary.activation
    )?;
    outln!("blocks       {}", summary.kinds.join(", "))?;
    outln!("outputs      policy, win, loss and no result, {} score numbers, ownership", summary.score_numbers)?;
    outln!("parameters   {} learned, {} running statistics", summary.parameters, summary.statistics)?;
    outln!("work         {} multiply-and-adds a point", summary.products_per_point)
}

fn print(summary: &Summary) -> Result<()> {
    let report = &summary.report;
    outln!("{}: {} games, {} positions, {:.1} MB", summary.dir, summary.games, summary.positions, summary.bytes as f64 / 1e6)?;
    for (size, count) in &report.sizes {
        outln!("  {size}: {} games, {} positions", count.games, count.positions)?;
    }
    outln!("splits with {:.1} % of the games held out", f64::from(summary.validation_permille) / 10.0)?;
    for shard in &summary.shards {
        outln!(
            "  {}: train {} games, {} positions; validation {} games, {} positions",
            shard.file,
            shard.train_games,
            shard.train_positions,
            shard.validation_games,
            shard.validation_positions
        )?;
    }
    let share = |n: u64| 100.0 * n as f64 / summary.positions.max(1) as f64;
    outln!(
        "known targets: value {:.1} %, score {:.1} %, areas {:.1} % of the positions",
        share(report.positions_value),
        share(report.positions_score),
        share(report.positions_ownership)
    )?;
    outln!("results")?;
    for (result, n) in &report.results {
        outln!("  {n:>8} {result}")?;
    }
    outln!(
        "from {} files ({} refused, {} of other kinds): {} games, {} refused",
        report.files,
        report.files_refused,
        report.files_skipped,
        report.games,
        report.games_refused
    )?;
    for (reason, n) in &report.refused_by_reason {
        outln!("  {n:>8} {reason}")?;
    }
    Ok(())
}
