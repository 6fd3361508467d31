//! `edgezero convert`: game records into shards.

use super::Context;
use super::out::outln;
use super::progress::Progress;
use crate::base::{Error, Result};
use crate::corpus::config::set_key;
use crate::corpus::source::read_list;
use crate::corpus::{Conversion, ConvertConfig, Converted, Duplicates, Variations, convert, dry_run, quarantine};
use crate::shard::Report;
use argh::FromArgs;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Convert game records (SGF files, folders and archives of them) into shards for training.
///
/// Archives are read in place: .zip, .7z, .tar, .gz, .bz2, .xz, .zst and tars packed with those; also one inside
/// another. They give the same shards as the unpacked folder, and any number of workers gives the same bytes. A second run
/// converts only what changed, and ends with the bytes of a first one. A broken or illegal game costs that game alone;
/// ledger.jsonl tells what became of each game, -v says it at once.
#[derive(FromArgs)]
#[argh(subcommand, name = "convert")]
pub(super) struct ConvertArgs {
    /// files, folders and archives, or - for a list of paths on standard input, one a line or separated by NUL; in folders
    /// and archives, all .sgf files below
    #[argh(positional, arg_name = "path")]
    paths: Vec<PathBuf>,
    /// folder of the shards: new, empty, or older shards, which are brought up to date
    #[argh(option, arg_name = "dir")]
    out: Option<PathBuf>,
    /// make no shards, only the account: which games would go in, and why the others would not; the ledger only with --out
    #[argh(switch)]
    dry_run: bool,
    /// threads that replay and encode; the default is the profile's, as far as the cores are there
    #[argh(option)]
    workers: Option<usize>,
    /// fewest moves of a game worth learning from; the default is the profile's
    #[argh(option)]
    min_moves: Option<usize>,
    /// which lines of a game are read: main, or all to their ends
    #[argh(option, from_str_fn(variations))]
    variations: Option<Variations>,
    /// games that were there before, turned, mirrored or renamed: keep, or drop
    #[argh(option, from_str_fn(duplicates))]
    duplicates: Option<Duplicates>,
    /// a key of [convert.repair] in the profile: komi_missing=refuse, superko=cut, illegal=prefix; as often as wanted
    #[argh(option, arg_name = "key=value")]
    repair: Vec<String>,
    /// a key of [convert.filter] in the profile: boards=19, rank_min=6d, date_min=2015, result=counted; as often as wanted
    #[argh(option, arg_name = "key=value")]
    filter: Vec<String>,
    /// copy each refused game here, with its reason beside it; replaces the copies of an earlier run, and is never read as records
    #[argh(option, arg_name = "dir")]
    quarantine: Option<PathBuf>,
}

fn variations(text: &str) -> std::result::Result<Variations, String> {
    match text {
        "main" => Ok(Variations::Main),
        "all" => Ok(Variations::All),
        _ => Err(format!("{text}, expected main or all")),
    }
}

fn duplicates(text: &str) -> std::result::Result<Duplicates, String> {
    match text {
        "keep" => Ok(Duplicates::Keep),
        "drop" => Ok(Duplicates::Drop),
        _ => Err(format!("{text}, expected keep or drop")),
    }
}

impl ConvertArgs {
    /// The profile's settings with the options in their place.
    fn config(&self, ctx: &Context) -> Result<ConvertConfig> {
        let defaults = &ctx.profile.convert;
        let mut config = ConvertConfig {
            workers: self.workers.unwrap_or(defaults.workers.min(ctx.threads)),
            min_moves: self.min_moves.unwrap_or(defaults.min_moves),
            variations: self.variations.unwrap_or(defaults.variations),
            duplicates: self.duplicates.unwrap_or(defaults.duplicates),
            ..defaults.clone()
        };
        for assignment in &self.repair {
            config.repair = set_key(&config.repair, assignment).map_err(|what| Error::call("--repair", what))?;
        }
        for assignment in &self.filter {
            config.filter = set_key(&config.filter, assignment).map_err(|what| Error::call("--filter", what))?;
        }
        config.check().map_err(|bad| Error::call("convert", bad.what))?;
        Ok(config)
    }
}

pub(super) fn run(args: ConvertArgs, ctx: &Context) -> Result<()> {
    if args.paths.is_empty() {
        return Err(Error::call("convert", "no path of game records").hint("edgezero convert GAMES --out DIR"));
    }
    if args.quarantine.is_some() && args.out.is_none() {
        return Err(Error::call("--quarantine", "needs the ledger").hint("--out DIR"));
    }
    let config = args.config(ctx)?;
    let paths = given(&args.paths)?;
    match (&args.out, args.dry_run) {
        (out, true) => account_only(&paths, out.as_deref().unwrap_or(Path::new("")), &config, ctx)?,
        (Some(out), false) => {
            let (converted, seconds) = convert_with_progress(&paths, out, &config, ctx)?;
            summary(out, &converted, seconds)?;
        }
        (None, false) => {
            return Err(Error::call("convert", "no folder for the shards").hint("--out DIR, or --dry-run for the account alone"));
        }
    }
    if let (Some(dir), Some(out)) = (&args.quarantine, &args.out) {
        let n_copies = quarantine(out, dir, &config.archive, &ctx.stop)?;
        outln!("{}: {n_copies} refused games with their reasons", dir.display())?;
    }
    Ok(())
}

/// What would become of the games, without shards.
fn account_only(paths: &[PathBuf], out: &Path, config: &ConvertConfig, ctx: &Context) -> Result<()> {
    let budget = ctx.budget(config.workers);
    let job = Conversion { paths, out, config, ram_budget_bytes: budget.bytes(), stop: &ctx.stop };
    let _watch = ctx.watch(budget, None)?;
    let mut progress = Progress::new("dry run");
    let report = dry_run(&job, &mut |p| {
        progress.show(p.bytes_done, p.bytes_total, &[("games", p.games), ("positions", p.positions)]);
    })?;
    let seconds = progress.finish();
    let per_second = report.positions as f64 / seconds.max(1e-9);
    outln!(
        "dry run: {} positions of {} games, in {seconds:.2} s ({per_second:.0} positions/s); no shards were made",
        report.positions,
        report.games_accepted
    )?;
    account(&report)
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
    let budget = ctx.budget(config.workers);
    let job = Conversion { paths, out, config, ram_budget_bytes: budget.bytes(), stop: &ctx.stop };
    let _watch = ctx.watch(budget, Some(out))?;
    let mut progress = Progress::new("convert");
    let converted = convert(&job, &mut |p| {
        progress.show(p.bytes_done, p.bytes_total, &[("games", p.games), ("positions", p.positions)]);
    })?;
    Ok((converted, progress.finish()))
}

fn summary(out: &Path, converted: &Converted, seconds: f64) -> Result<()> {
    let report = &converted.manifest.report;
    let bytes: u64 = converted.manifest.shards.iter().map(|shard| shard.bytes).sum();
    outln!(
        "{}: {} positions of {} games, {:.1} MB, in {seconds:.1} s ({:.0} positions/s)",
        out.display(),
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
    account(report)
}

/// What became of all games, by kind.
fn account(report: &Report) -> Result<()> {
    for (size, count) in &report.sizes {
        outln!("  {size}: {} games, {} positions", count.games, count.positions)?;
    }
    let block = |name: &str, n: u64, kinds: &BTreeMap<String, u64>| -> Result<()> {
        if n > 0 || !kinds.is_empty() {
            outln!("  {name}: {n}")?;
        }
        kinds.iter().try_for_each(|(kind, n)| outln!("    {n} {kind}"))
    };
    block("refused", report.games_refused, &report.refused_by_reason)?;
    block("not wanted", report.games_filtered, &report.filtered_by_reason)?;
    if report.games_duplicate > 0 {
        outln!("  duplicates: {}", report.games_duplicate)?;
    }
    if report.games_shared_opening > 0 {
        outln!("  with the opening of an earlier game: {}", report.games_shared_opening)?;
    }
    if !report.repaired_by_kind.is_empty() {
        outln!("  repaired, of the accepted:")?;
        for (kind, n) in &report.repaired_by_kind {
            outln!("    {n} {kind}")?;
        }
    }
    Ok(())
}
