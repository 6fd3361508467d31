//! `edgezero stats`: what a data set is made of.

use super::Context;
use super::out::outln;
use crate::base::fs::write_whole;
use crate::base::{Error, Result};
use crate::corpus::stats::Stats;
use argh::FromArgs;
use std::path::PathBuf;

/// Show what the games of a folder of shards are: sizes, komi, results, ranks, years, lengths, handicap, labels; what was
/// refused, filtered and repaired.
#[derive(FromArgs)]
#[argh(subcommand, name = "stats")]
pub(super) struct StatsArgs {
    /// folder of shards
    #[argh(positional, arg_name = "dir")]
    dir: PathBuf,
    /// write the same as a page with charts, which needs nothing but a browser
    #[argh(option, arg_name = "file")]
    html: Option<PathBuf>,
    /// one JSON object on stdout
    #[argh(switch)]
    json: bool,
}

pub(super) fn run(args: StatsArgs, _ctx: &Context) -> Result<()> {
    let stats = Stats::read(&args.dir)?;
    if let Some(path) = &args.html {
        write_whole(path, stats.html().as_bytes())?;
        log::info!("page: {}", path.display());
    }
    if args.json {
        let text = serde_json::to_string(&stats).map_err(|e| Error::new("stats", e))?;
        return outln!("{text}");
    }
    outln!("{}", stats.table().trim_end())
}
