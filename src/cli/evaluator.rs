//! Opening a net for play.

use super::Context;
use crate::base::{Error, Result};
use crate::device::Needs;
use crate::infer::{self, Backend, Evaluator};
use crate::opponent::{Effort, Level, OpponentConfig, Session};
use crate::search::SearchConfig;
use std::path::{Path, PathBuf};

/// Positions evaluated at once, at the least: the eight symmetries of one.
const BATCH_MIN: usize = 8;
/// Most positions evaluated at once for several users: more fill no core better, and take memory.
const BATCH_MAX: usize = 64;
/// Times the size of a net's file that it takes in memory, at the most: as numbers, as the backend wants them (a 3x3
/// convolution becomes four times its size), and both at once while it is opened.
const NET_FACTOR: u64 = 12;
/// Memory in bytes of a position in a batch: tensors of the widest preset's walk on 19x19, and its answer.
const ROW_BYTES: u64 = 1 << 20;
/// The names of a run's net, the first that is there.
const NETS_OF_RUN: [&str; 2] = ["net.safetensors", "net.bin.gz"];

/// What is a net, for those whose file is none.
pub(super) const NETS: &str =
    "the folder of a run of `edgezero train`, or a convolutional KataGo net of model version 8 to 16 (.bin.gz)";

/// Opens `net`, a file or a run's folder, on the backend that was asked for.
pub(super) fn open(net: &Path, ctx: &Context) -> Result<Box<dyn Evaluator>> {
    open_for(&file_of(net)?, ctx.threads, 1, ctx)
}

/// Opens the file of a net for `n_users` at once, on `threads` where the processor evaluates it.
pub(super) fn open_for(file: &Path, threads: usize, n_users: usize, ctx: &Context) -> Result<Box<dyn Evaluator>> {
    let backend = Backend { threads, ..ctx.backend.clone() };
    let evaluator = infer::open(file, &backend, batch_max(n_users, ctx)).map_err(|e| e.or_hint(NETS))?;
    log::info!("net={} {} threads={threads}", file.display(), evaluator.describe());
    let mut gpus = ctx.gpus();
    for gpu in evaluator.gpus() {
        if !gpus.contains(&gpu) {
            gpus.push(gpu);
        }
    }
    Ok(evaluator)
}

/// Most positions that are evaluated at once.
fn batch_max(n_users: usize, ctx: &Context) -> usize {
    (ctx.profile.search.batch_size * n_users).clamp(BATCH_MIN, BATCH_MAX.max(ctx.profile.search.batch_size))
}

/// Whether a folder is a run's with a net.
pub(super) fn has_net(dir: &Path) -> bool {
    NETS_OF_RUN.iter().any(|name| dir.join(name).is_file())
}

/// The file of a net that was named by it or by a run's folder.
pub(super) fn file_of(net: &Path) -> Result<PathBuf> {
    if !net.exists() {
        return Err(Error::new(net.display(), "no such file or folder").hint(NETS));
    }
    if !net.is_dir() {
        return Ok(net.to_path_buf());
    }
    let files = NETS_OF_RUN.map(|name| net.join(name));
    let found = files.into_iter().find(|file| file.is_file());
    found.ok_or_else(|| Error::new(net.display(), "a folder without a net").hint("edgezero train --out DIR, which leaves one"))
}

/// Opens `net` for a session that searches, within the memory of a run.
pub(super) fn session(net: &Path, config: OpponentConfig, effort: Effort, ctx: &Context) -> Result<Session> {
    let search = search_config(&[file_of(net)?], 1, ctx)?;
    Session::with_search(open(net, ctx)?, config, search, effort)
}

/// The profile's search, made to fit the memory of a run beside these nets, each for `n_users` at once; says the sum.
pub(super) fn search_config(nets: &[PathBuf], n_users: usize, ctx: &Context) -> Result<SearchConfig> {
    let sizes = nets.iter().map(|file| file.metadata().map(|meta| meta.len()).map_err(|e| Error::io(file, &e)));
    let files: u64 = sizes.sum::<Result<u64>>()?;
    let rows = (nets.len() * batch_max(n_users, ctx)) as u64;
    let budget = ctx.budget(n_users);
    let others = Needs::program().with("nets", NET_FACTOR * files).with("batches", rows * ROW_BYTES);
    let (search, needs) = ctx.profile.search.fitted(&others, &budget)?;
    budget.say(&needs);
    Ok(search)
}

/// The limits that flags set on each move.
pub(super) fn effort(visits: Option<u32>, playouts: Option<u32>, time: Option<f64>, level: Option<&str>) -> Result<Effort> {
    for (flag, value) in [("--visits", visits), ("--playouts", playouts)] {
        if value == Some(0) {
            return Err(Error::call(flag, "0, expected 1 or more"));
        }
    }
    if let Some(seconds) = time.filter(|s| !(0.0..=86_400.0).contains(s)) {
        return Err(Error::call("--time", format!("{seconds}, expected 0 to 86400 seconds")));
    }
    Ok(Effort { visits, playouts, seconds: time, level: level.map(Level::parse).transpose()? })
}
