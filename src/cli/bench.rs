//! `edgezero bench`: how fast this machine computes.

use super::Context;
use super::bench_gpu::{self, AsJson};
use super::bench_search;
use super::out::outln;
use crate::base::{Error, Result};
use crate::compute::cpu::CpuOps;
use crate::compute::{Ops, Precision};
use crate::diagnose::Ceilings;
use crate::diagnose::compute::{Case, Task, channels, usual};
use crate::diagnose::gpu::{Part, Speed};
use crate::diagnose::ops::{Bound, OpMeasured, OpsShape, table};
use argh::FromArgs;
use serde::Serialize;
use std::path::PathBuf;
use std::time::Duration;

/// Longest window of a measurement: ten minutes.
const SECONDS_MAX: f64 = 600.0;
/// Side of the board where none is named.
const BOARD_LEN: usize = 19;
/// An operation's share of a case's window: there are about thirty.
const OP_SHARE: f64 = 0.1;

/// Measure the compute backend (training steps, evaluations and single operations, beside what the machine can do at most),
/// the search with a net (visits a second, batches, and where the time goes), or a GPU (facts, ceilings, results, speeds).
#[derive(FromArgs)]
#[argh(subcommand, name = "bench")]
pub(super) struct BenchArgs {
    /// what to measure: compute, search with a net, or gpu (all of a GPU, beside the processor's results)
    #[argh(positional, arg_name = "compute|search|gpu")]
    what: String,
    /// train, infer or ops; on a gpu cases (results alone) or tiny (whether everything works); the default is all
    #[argh(option, from_str_fn(task))]
    task: Option<Wanted>,
    /// net: a size such as b6c64, or a file; the default is a table of the usual sizes
    #[argh(option)]
    net: Option<String>,
    /// side of the board with --net; the default is 19, for a search 9 and 19
    #[argh(option)]
    board: Option<usize>,
    /// positions at once with --net; the default is 64
    #[argh(option, default = "64")]
    batch: usize,
    /// seconds a case is measured for; the default is 2
    #[argh(option, default = "2.0")]
    seconds: f64,
    /// visits of each position of a search
    #[argh(option, default = "400")]
    visits: u32,
    /// command of KataGo, such as "katago gtp -config gtp.cfg", to search the same positions with the same net
    #[argh(option)]
    katago: Option<String>,
    /// one JSON object on stdout in place of the tables
    #[argh(switch)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Train,
    Infer,
    Ops,
    Cases,
    Tiny,
}

fn task(text: &str) -> std::result::Result<Wanted, String> {
    match text {
        "train" => Ok(Wanted::Train),
        "infer" => Ok(Wanted::Infer),
        "ops" => Ok(Wanted::Ops),
        "cases" => Ok(Wanted::Cases),
        "tiny" => Ok(Wanted::Tiny),
        _ => Err(format!("{text:?}, expected train, infer, ops, cases or tiny")),
    }
}

/// Everything that was measured.
#[derive(Serialize)]
struct Found {
    threads: usize,
    ceilings: Ceilings,
    cases: Vec<Speed>,
    ops: Vec<Operations>,
}

/// The operations at one shape.
#[derive(Serialize)]
struct Operations {
    shape: OpsShape,
    rows: Vec<OpMeasured>,
}

pub(super) fn run(args: BenchArgs, ctx: &Context) -> Result<()> {
    if !matches!(args.what.as_str(), "compute" | "search" | "gpu") {
        return Err(Error::call("bench", format!("{:?}, expected compute, search or gpu", args.what)));
    }
    if !(args.seconds > 0.0 && args.seconds <= SECONDS_MAX) {
        return Err(Error::call("--seconds", format!("{}, expected more than 0 and at most {SECONDS_MAX}", args.seconds)));
    }
    if args.what == "gpu" {
        let as_json = if args.json { AsJson::Yes } else { AsJson::No };
        let part = match args.task {
            Some(Wanted::Cases) => Part::Cases,
            Some(Wanted::Tiny) => Part::Tiny,
            _ => Part::All,
        };
        return bench_gpu::run(Duration::from_secs_f64(args.seconds), part, as_json, ctx);
    }
    if !(1..=65_536).contains(&args.batch) {
        return Err(Error::call("--batch", format!("{}, expected 1 to 65536", args.batch)));
    }
    if args.what == "search" {
        let wanted = bench_search::Wanted {
            net: args.net.as_ref().map(PathBuf::from),
            boards: args.board.map_or(vec![9, 19], |board| vec![board]),
            visits: args.visits,
            katago: args.katago.as_deref(),
            window: Duration::from_secs_f64(args.seconds),
            as_json: args.json,
        };
        return bench_search::run(&wanted, ctx);
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
        outln!("\n{:29} {:>12} {:>9} {:>9} {:>9}", "", "positions/s", "GFLOP/s", "of peak", "peak MiB")?;
    }
    for case in cases {
        if ctx.stop.requested() {
            return Err(Error::stopped("bench", "what is printed so far stands"));
        }
        for precision in precisions(&case, ctx) {
            let measured = case.measure_on(CpuOps::with_precision(ctx.threads, precision)?, window, &ceilings)?;
            let speed = Speed { precision, measured };
            if print {
                case_line(&speed)?;
            }
            found.cases.push(speed);
        }
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

fn cases(args: &BenchArgs) -> Vec<Case> {
    let wanted = |t: Task| match args.task {
        None => true,
        Some(Wanted::Train) => t == Task::Train,
        Some(Wanted::Infer) => t == Task::Infer,
        Some(Wanted::Ops | Wanted::Cases | Wanted::Tiny) => false,
    };
    let all = match &args.net {
        None => usual(),
        Some(net) => {
            let case = |task| Case { task, net: net.clone(), board: args.board.unwrap_or(BOARD_LEN), batch: args.batch };
            vec![case(Task::Train), case(Task::Infer)]
        }
    };
    all.into_iter().filter(|case| wanted(case.task)).collect()
}

/// What a case is measured in: what was asked for and is there, or all that is. Training is f32.
fn precisions(case: &Case, ctx: &Context) -> Vec<Precision> {
    match (case.task, CpuOps::has_f16(), ctx.backend.precision) {
        (Task::Infer, true, Some(Precision::F16)) => vec![Precision::F16],
        (Task::Infer, true, None) => vec![Precision::F32, Precision::F16],
        _ => vec![Precision::F32],
    }
}

fn shapes(args: &BenchArgs) -> Result<Vec<OpsShape>> {
    if args.task.is_some_and(|t| t != Wanted::Ops) {
        return Ok(Vec::new());
    }
    Ok(match &args.net {
        None => vec![OpsShape { n: 64, len: 9, c: 32 }, OpsShape { n: 64, len: 19, c: 64 }, OpsShape { n: 64, len: 19, c: 96 }],
        Some(net) => vec![OpsShape { n: args.batch, len: args.board.unwrap_or(BOARD_LEN), c: channels(net)? }],
    })
}

fn case_line(Speed { precision, measured: m }: &Speed) -> Result<()> {
    let task = match m.case.task {
        Task::Train => "train",
        Task::Infer => "infer",
    };
    let precision = if *precision == Precision::F32 { "" } else { ", f16" };
    let name = format!("{task} {} {1}x{1} batch {2}{precision}", m.case.net, m.case.board, m.case.batch);
    outln!("{name:29} {:>12.0} {:>9.0} {:>8.0}% {:>9.0}", m.positions_per_second, m.gflops, 100.0 * m.share_of_peak, m.peak_mib)
}

pub(super) fn operations(shape: &OpsShape, rows: &[OpMeasured]) -> Result<()> {
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
