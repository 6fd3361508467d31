//! `edgezero bench`: how fast this machine computes.

use super::Context;
use super::out::outln;
use crate::base::{Error, Result};
use crate::compute::Ops;
use crate::compute::cpu::CpuOps;
use crate::diagnose::Ceilings;
use crate::diagnose::compute::{Case, Measured, Task, channels, usual};
use crate::diagnose::gpu::{GpuCheck, GpuReport, Speed, check};
use crate::diagnose::ops::{Bound, OpMeasured, OpsShape, table};
use argh::FromArgs;
use serde::Serialize;
use std::time::Duration;

/// Longest window of a measurement: ten minutes.
const SECONDS_MAX: f64 = 600.0;
/// An operation's share of a case's window: there are about thirty.
const OP_SHARE: f64 = 0.1;

/// Measure the compute backend: training steps, evaluations and single operations, beside what the machine can do at most.
#[derive(FromArgs)]
#[argh(subcommand, name = "bench")]
pub(super) struct BenchArgs {
    /// what to measure: compute (the processor) or gpu (all of a GPU, beside the processor's results)
    #[argh(positional, arg_name = "compute|gpu")]
    what: String,
    /// train, infer or ops; the default is all three
    #[argh(option, from_str_fn(task))]
    task: Option<Wanted>,
    /// net: a size such as b6c64, or a file; the default is a table of the usual sizes
    #[argh(option)]
    net: Option<String>,
    /// side of the board with --net; the default is 19
    #[argh(option, default = "19")]
    board: usize,
    /// positions at once with --net; the default is 64
    #[argh(option, default = "64")]
    batch: usize,
    /// seconds a case is measured for; the default is 2
    #[argh(option, default = "2.0")]
    seconds: f64,
    /// one JSON object on stdout in place of the tables
    #[argh(switch)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Train,
    Infer,
    Ops,
}

fn task(text: &str) -> std::result::Result<Wanted, String> {
    match text {
        "train" => Ok(Wanted::Train),
        "infer" => Ok(Wanted::Infer),
        "ops" => Ok(Wanted::Ops),
        _ => Err(format!("{text:?}, expected train, infer or ops")),
    }
}

/// Everything that was measured.
#[derive(Serialize)]
struct Found {
    threads: usize,
    ceilings: Ceilings,
    cases: Vec<Measured>,
    ops: Vec<Operations>,
}

/// The operations at one shape.
#[derive(Serialize)]
struct Operations {
    shape: OpsShape,
    rows: Vec<OpMeasured>,
}

pub(super) fn run(args: BenchArgs, ctx: &Context) -> Result<()> {
    if !["compute", "gpu"].contains(&args.what.as_str()) {
        return Err(Error::call("bench", format!("{:?}, expected compute or gpu", args.what)));
    }
    if !(args.seconds > 0.0 && args.seconds <= SECONDS_MAX) {
        return Err(Error::call("--seconds", format!("{}, expected more than 0 and at most {SECONDS_MAX}", args.seconds)));
    }
    if args.what == "gpu" {
        return gpu(&args, ctx);
    }
    if !(1..=65_536).contains(&args.batch) {
        return Err(Error::call("--batch", format!("{}, expected 1 to 65536", args.batch)));
    }
    let cases = cases(&args);
    cases.iter().try_for_each(Case::check)?;
    let shapes = shapes(&args)?;
    let window = Duration::from_secs_f64(args.seconds);
    let print = !args.json;
    let ops = CpuOps::new(ctx.threads)?;
    let ceilings = Ceilings::measure(&ops);
    if print {
        outln!(
            "{}: at most {:.0} GFLOP/s from registers, {:.1} GB/s read from memory",
            ops.describe(),
            ceilings.flops / 1e9,
            ceilings.read_bytes / 1e9
        )?;
    }
    let mut found = Found { threads: ctx.threads, ceilings, cases: Vec::new(), ops: Vec::new() };
    if print && !cases.is_empty() {
        outln!("\n{:24} {:>12} {:>9} {:>9} {:>9}", "", "positions/s", "GFLOP/s", "of peak", "peak MiB")?;
    }
    for case in cases {
        if ctx.stop.requested() {
            return Err(Error::stopped("bench", "what is printed so far stands"));
        }
        let measured = case.measure(ctx.threads, window, &ceilings)?;
        if print {
            case_line(&measured)?;
        }
        found.cases.push(measured);
    }
    for shape in shapes {
        if ctx.stop.requested() {
            return Err(Error::stopped("bench", "what is printed so far stands"));
        }
        let rows = table(&ops, shape, window.mul_f64(OP_SHARE), &ceilings)?;
        if print {
            operations(&shape, &rows)?;
        }
        found.ops.push(Operations { shape, rows });
    }
    if print {
        outln!(
            "\nGFLOP/s count a direct convolution's products; fewer are done, so a share of the peak may pass 100 %.\n\
             The bound is what would limit a perfect program: products or bytes; the roofline's share is its time over ours."
        )?;
    }
    if print {
        return Ok(());
    }
    let text = serde_json::to_string(&found).map_err(|e| Error::new("bench", e))?;
    outln!("{text}")
}

/// A GPU from its facts to its speed. Talk goes to stderr, so that the JSON stands alone.
fn gpu(args: &BenchArgs, ctx: &Context) -> Result<()> {
    let gpu = ctx.backend.gpus.first().copied().unwrap_or(0);
    let asked = GpuCheck { gpu, threads: ctx.threads, window: Duration::from_secs_f64(args.seconds), stop: &ctx.stop };
    let report = check(&asked, &mut |line| log::info!("{line}"))?;
    if args.json {
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

fn cases(args: &BenchArgs) -> Vec<Case> {
    let wanted = |t: Task| match args.task {
        None => true,
        Some(Wanted::Train) => t == Task::Train,
        Some(Wanted::Infer) => t == Task::Infer,
        Some(Wanted::Ops) => false,
    };
    let all = match &args.net {
        None => usual(),
        Some(net) => {
            let case = |task| Case { task, net: net.clone(), board: args.board, batch: args.batch };
            vec![case(Task::Train), case(Task::Infer)]
        }
    };
    all.into_iter().filter(|case| wanted(case.task)).collect()
}

fn shapes(args: &BenchArgs) -> Result<Vec<OpsShape>> {
    if args.task.is_some_and(|t| t != Wanted::Ops) {
        return Ok(Vec::new());
    }
    Ok(match &args.net {
        None => vec![OpsShape { n: 64, len: 9, c: 32 }, OpsShape { n: 64, len: 19, c: 64 }, OpsShape { n: 64, len: 19, c: 96 }],
        Some(net) => vec![OpsShape { n: args.batch, len: args.board, c: channels(net)? }],
    })
}

fn case_line(m: &Measured) -> Result<()> {
    let task = match m.case.task {
        Task::Train => "train",
        Task::Infer => "infer",
    };
    let name = format!("{task} {} {1}x{1} batch {2}", m.case.net, m.case.board, m.case.batch);
    outln!("{name:24} {:>12.0} {:>9.0} {:>8.0}% {:>9.0}", m.positions_per_second, m.gflops, 100.0 * m.share_of_peak, m.peak_mib)
}

fn operations(shape: &OpsShape, rows: &[OpMeasured]) -> Result<()> {
    outln!("\noperations on {} boards of {1}x{1}, {2} channels", shape.n, shape.len, shape.c)?;
    outln!("{:44} {:>10} {:>9} {:>8} {:>9}  bound", "", "us", "GFLOP/s", "GB/s", "roofline")?;
    for row in rows {
        let bound = match row.bound {
            Bound::Compute => "products",
            Bound::Memory => "bytes",
        };
        let share = 100.0 * row.share_of_roofline;
        outln!("{:44} {:>10.1} {:>9.1} {:>8.1} {:>8.0}%  {bound}", row.name, row.microseconds, row.gflops, row.gbytes, share)?;
    }
    Ok(())
}
