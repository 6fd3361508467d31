//! `edgezero verify`: every byte of a data set.

use super::Context;
use super::out::outln;
use super::progress::Progress;
use crate::base::Result;
use crate::shard::{self, Dataset};
use argh::FromArgs;
use std::path::PathBuf;

/// Check every block and every position of a folder of shards.
#[derive(FromArgs)]
#[argh(subcommand, name = "verify")]
pub(super) struct VerifyArgs {
    /// folder of shards
    #[argh(positional, arg_name = "dir")]
    dir: PathBuf,
}

pub(super) fn run(args: VerifyArgs, ctx: &Context) -> Result<()> {
    let dataset = Dataset::open(&args.dir)?;
    let total = dataset.n_positions();
    log::info!("verify: {total} positions of {} games in {} files", dataset.n_games(), dataset.shards().len());
    let mut progress = Progress::new("verify");
    let sound = shard::verify(&dataset, &ctx.stop, |done| progress.show(done, total, &[("positions", done)]))?;
    let seconds = progress.finish();
    outln!(
        "{}: {} positions sound, {} blocks in {} files, {:.1} MB, in {seconds:.1} s",
        args.dir.display(),
        sound.positions,
        sound.blocks,
        sound.files,
        sound.bytes as f64 / 1e6
    )
}
