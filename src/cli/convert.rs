//! `edgezero convert`: game records into shards.

use super::Context;
use super::out::outln;
use super::progress::Progress;
use crate::base::{Error, Result};
use crate::corpus::{Conversion, ConvertConfig, Converted, convert};
use argh::FromArgs;
use std::path::{Path, PathBuf};

/// Convert game records (SGF files, folders of them) into shards for training.
///
/// A second run converts only what changed. The shards are the same for any number of workers. A broken or illegal game costs that game alone and is told in
/// manifest.json; -v tells each one.
#[derive(FromArgs)]
#[argh(subcommand, name = "convert")]
pub(super) struct ConvertArgs {
    /// files and folders; in folders, all .sgf files below
    #[argh(positional, arg_name = "path")]
    paths: Vec<PathBuf>,
    /// folder of the shards: new, empty, or older shards, which are brought up to date
    #[argh(option)]
    out: PathBuf,
    /// threads that replay and encode; the default is the profile's, as far as the cores are there
    #[argh(option)]
    workers: Option<usize>,
    /// fewest moves of a game worth learning from; the default is the profile's
    #[argh(option)]
    min_moves: Option<usize>,
}

pub(super) fn run(args: ConvertArgs, ctx: &Context) -> Result<()> {
    if args.paths.is_empty() {
        return Err(Error::call("convert", "no path of game records").hint("edgezero convert GAMES --out DIR"));
    }
    let defaults = &ctx.profile.convert;
    let config = ConvertConfig {
        workers: args.workers.unwrap_or(defaults.workers.min(ctx.threads)),
        min_moves: args.min_moves.unwrap_or(defaults.min_moves),
        ..defaults.clone()
    };
    config.check().map_err(|bad| Error::call("convert", bad.what))?;
    let (converted, seconds) = convert_with_progress(&args.paths, &args.out, &config, ctx)?;
    summary(&args, &converted, seconds)
}

/// Brings the shards in `out` up to date with these records; says what it does.
pub(super) fn refresh(paths: &[PathBuf], out: &Path, config: &ConvertConfig, ctx: &Context) -> Result<()> {
    let (converted, seconds) = convert_with_progress(paths, out, config, ctx)?;
    let report = &converted.manifest.report;
    if converted.groups_made == 0 {
        log::info!("shards: {} is up to date: positions={} games={}", out.display(), report.positions, report.games_accepted);
        return Ok(());
    }
    log::info!(
        "shards: {} groups_made={} groups_kept={} positions={} games={} refused={} seconds={seconds:.1}",
        out.display(),
        converted.groups_made,
        converted.groups_kept,
        report.positions,
        report.games_accepted,
        report.games_refused
    );
    Ok(())
}

fn convert_with_progress(paths: &[PathBuf], out: &Path, config: &ConvertConfig, ctx: &Context) -> Result<(Converted, f64)> {
    let job = Conversion { paths, out, config, ram_budget_bytes: ctx.profile.ram_budget_bytes(), stop: &ctx.stop };
    let mut progress = Progress::new("convert");
    let converted = convert(&job, &mut |p| {
        progress.show(p.bytes_done, p.bytes_total, &[("games", p.games), ("positions", p.positions)]);
    })?;
    Ok((converted, progress.finish()))
}

fn summary(args: &ConvertArgs, converted: &Converted, seconds: f64) -> Result<()> {
    let manifest = &converted.manifest;
    let report = &manifest.report;
    let bytes: u64 = manifest.shards.iter().map(|shard| shard.bytes).sum();
    outln!(
        "{}: {} positions of {} games, {:.1} MB, in {seconds:.1} s ({:.0} positions/s)",
        args.out.display(),
        report.positions,
        report.games_accepted,
        bytes as f64 / 1e6,
        report.positions as f64 / seconds.max(1e-9)
    )?;
    match (converted.groups_made, converted.groups_kept) {
        (_, 0) => {}
        (0, _) => outln!("  up to date: nothing was converted")?,
        (made, kept) => outln!("  {made} groups of files converted, {kept} did not change")?,
    }
    for (size, count) in &report.sizes {
        outln!("  {size}: {} games, {} positions", count.games, count.positions)?;
    }
    if report.duplicates > 0 {
        outln!("  duplicates left out: {}", report.duplicates)?;
    }
    if report.games_refused > 0 {
        outln!("  refused: {}", report.games_refused)?;
        for (reason, n) in &report.refused_by_reason {
            outln!("    {n} {reason}")?;
        }
    }
    Ok(())
}
