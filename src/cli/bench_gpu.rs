//! `edgezero bench gpu`: a GPU from its facts to its speed.

use super::Context;
use super::bench::operations;
use super::out::outln;
use crate::base::{Error, Result};
use crate::diagnose::gpu::{GpuCheck, GpuReport, Part, Speed, check};
use std::time::Duration;

/// Whether results are one JSON object in place of tables.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum AsJson {
    /// They are.
    Yes,
    /// They are not.
    No,
}

/// A GPU from its facts to its speed. Talk goes to stderr, so that the JSON stands alone.
pub(super) fn run(window: Duration, part: Part, as_json: AsJson, ctx: &Context) -> Result<()> {
    let gpu = ctx.backend.gpus.first().copied().unwrap_or(0);
    let asked = GpuCheck { gpu, part, threads: ctx.threads, window, stop: &ctx.stop };
    let report = check(&asked, &mut |line| log::info!("{line}"))?;
    if as_json == AsJson::Yes {
        let text = serde_json::to_string(&report).map_err(|e| Error::new("bench", e))?;
        outln!("{text}")?;
    } else {
        gpu_table(&report)?;
    }
    match report.cases.iter().filter(|case| !case.passed()).count() {
        0 => Ok(()),
        n => Err(Error::new("bench gpu", format!("{n} of {} cases are not as on the CPU", report.cases.len()))),
    }
}

fn gpu_table(report: &GpuReport) -> Result<()> {
    for table in &report.ops {
        outln!("\n{:?}", table.precision)?;
        operations(&table.shape, &table.rows)?;
    }
    outln!("\n{:44} {:>12} {:>9} {:>9}", "", "positions/s", "GFLOP/s", "of peak")?;
    for Speed { precision, measured: m } in &report.speeds {
        let name = format!("{:?} {} {2}x{2} batch {3} {precision:?}", m.case.task, m.case.net, m.case.board, m.case.batch);
        let name = name.replacen("Train", "train", 1).replacen("Infer", "infer", 1);
        outln!("{name:44} {:>12.0} {:>9.0} {:>8.1}%", m.positions_per_second, m.gflops, 100.0 * m.share_of_peak)?;
    }
    report.left_out.iter().try_for_each(|line| outln!("left out: {line}"))
}
