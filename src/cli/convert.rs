//! `edgezero convert`: game records into shards.

use super::Context;
use super::out::outln;
use super::progress::Progress;
use crate::base::{Error, Result};
use crate::corpus::source::read_list;
use crate::corpus::{Conversion, ConvertConfig, convert, is_current};
use crate::shard::Manifest;
use argh::FromArgs;
use std::path::{Path, PathBuf};

/// Convert game records (SGF files, folders and archives of them) into shards for training.
///
/// Archives are read in place: .zip, .7z, .tar, .gz, .bz2, .xz, .zst and tars packed with those; also one inside
/// another. They give the same shards as the unpacked folder; [convert.archive] of the profile limits them. The shards are the same for any number of workers. A broken or illegal game costs that game alone and is told in
/// manifest.json; -v tells each one.
#[derive(FromArgs)]
#[argh(subcommand, name = "convert")]
pub(super) struct ConvertArgs {
    /// files, folders and archives, or - for a list of paths on standard input, one a line or separated by NUL; in folders
    /// and archives, all .sgf files below
    #[argh(positional, arg_name = "path")]
    paths: Vec<PathBuf>,
    /// folder of the shards: new, empty, or older shards, which are replaced
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
    let paths = given(&args.paths)?;
    let (manifest, seconds) = convert_with_progress(&paths, &args.out, &config, ctx)?;
    summary(&args, &manifest, seconds)
}

/// The paths with the list on standard input in the place of `-`. Those of the command line must be there; what vanishes
/// from a list is told and counted like any other unreadable file.
fn given(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let is_list = |path: &Path| path.as_os_str() == "-" || path.as_os_str() == "/dev/stdin";
    if paths.iter().filter(|path| is_list(path)).count() > 1 {
        return Err(Error::call("convert", "- twice, but there is one standard input").hint("- once"));
    }
    if let Some(missing) = paths.iter().find(|path| !is_list(path) && path.symlink_metadata().is_err()) {
        return Err(Error::new(missing.display(), "no such file or folder").hint("a folder with .sgf files"));
    }
    let mut all = Vec::with_capacity(paths.len());
    for path in paths {
        if is_list(path) {
            all.extend(read_list("standard input", std::io::stdin().lock())?);
        } else {
            all.push(path.clone());
        }
    }
    Ok(all)
}

/// Makes the shards in `out` anew unless they are of just these records; says what it does.
pub(super) fn refresh(paths: &[PathBuf], out: &Path, config: &ConvertConfig, ctx: &Context) -> Result<()> {
    if is_current(paths, out, config)? {
        log::info!("shards: {} is up to date", out.display());
        return Ok(());
    }
    let (manifest, seconds) = convert_with_progress(paths, out, config, ctx)?;
    let report = &manifest.report;
    log::info!(
        "shards: {} positions={} games={} refused={} seconds={seconds:.1}",
        out.display(),
        report.positions,
        report.games_accepted,
        report.games_refused
    );
    Ok(())
}

fn convert_with_progress(paths: &[PathBuf], out: &Path, config: &ConvertConfig, ctx: &Context) -> Result<(Manifest, f64)> {
    let job = Conversion { paths, out, config, ram_budget_bytes: ctx.profile.ram_budget_bytes(), stop: &ctx.stop };
    let mut progress = Progress::new("convert");
    let manifest = convert(&job, &mut |p| {
        progress.show(p.bytes_done, p.bytes_total, &[("games", p.games), ("positions", p.positions)]);
    })?;
    Ok((manifest, progress.finish()))
}

fn summary(args: &ConvertArgs, manifest: &Manifest, seconds: f64) -> Result<()> {
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
    for (size, count) in &report.sizes {
        outln!("  {size}: {} games, {} positions", count.games, count.positions)?;
    }
    if report.games_refused > 0 {
        outln!("  refused: {}", report.games_refused)?;
        for (reason, n) in &report.refused_by_reason {
            outln!("    {n} {reason}")?;
        }
    }
    Ok(())
}
