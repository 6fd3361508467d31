//! Opening a net for play.

use super::Context;
use crate::base::{Error, Result};
use crate::infer::{self, Evaluator};
use std::path::{Path, PathBuf};

/// Positions evaluated at once: the eight symmetries of one.
const BATCH_MAX: usize = 8;
/// The names of a run's net, the first that is there.
const NETS_OF_RUN: [&str; 2] = ["net.safetensors", "net.bin.gz"];

/// What is a net, for those whose file is none.
const NETS: &str = "the folder of a run of `edgezero train`, or a KataGo net of model version 8 to 11 (.bin.gz)";

/// Opens `net`, a file or a run's folder, on the backend that was asked for.
pub(super) fn open(net: &Path, ctx: &Context) -> Result<Box<dyn Evaluator>> {
    let file = file_of(net)?;
    let evaluator = infer::open(&file, ctx.backend, ctx.threads, BATCH_MAX).map_err(|e| e.or_hint(NETS))?;
    log::info!("net={} {} threads={}", file.display(), evaluator.describe(), ctx.threads);
    Ok(evaluator)
}

fn file_of(net: &Path) -> Result<PathBuf> {
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
