//! A check of a GPU in one go: what it is, its ceilings, every case of the table beside the CPU's results, and its speed at
//! operations, training and evaluations, by precision.

use super::Ceilings;
use super::compute::{Case, Measured, Task};
use super::ops::{OpMeasured, OpsShape, table};
use crate::base::signal::Stop;
use crate::base::{Error, Result};
use crate::compute::cases;
use crate::compute::cpu::CpuOps;
use crate::compute::cuda::{CudaOps, DeviceCeilings, Precision};
use crate::device::cuda::{Driver, Facts, VersionText};
use serde::Serialize;
use std::time::{Duration, Instant};

/// Longest time of the whole check: what would come later is left out, and told.
const LONGEST: Duration = Duration::from_secs(540);
/// Boards and channels of the table of operations.
const OPS_SHAPE: OpsShape = OpsShape { n: 256, len: 19, c: 96 };
const OPS_SHAPE_TINY: OpsShape = OpsShape { n: 1, len: 5, c: 8 };
/// An operation's share of a case's window.
const OP_SHARE: f64 = 0.1;

/// One case of the table on the GPU.
#[derive(Clone, Debug, Serialize)]
pub struct Checked {
    /// The case.
    pub name: String,
    /// What factors are rounded to.
    pub precision: Precision,
    /// How far it is from the CPU's result.
    pub worst: f32,
    /// How far it may be.
    pub allowed: f32,
    /// Why it failed, if it did not come to a result.
    pub failed: Option<String>,
}

impl Checked {
    /// Whether it is as it should be.
    pub fn passed(&self) -> bool {
        self.failed.is_none() && self.worst <= self.allowed
    }
}

/// A speed, and in what precision.
#[derive(Clone, Debug, Serialize)]
pub struct Speed {
    /// What factors are rounded to.
    pub precision: Precision,
    /// The case.
    #[serde(flatten)]
    pub measured: Measured,
}

/// The time of operations in a precision.
#[derive(Clone, Debug, Serialize)]
pub struct OpsTable {
    /// What factors are rounded to.
    pub precision: Precision,
    /// Their shape.
    pub shape: OpsShape,
    /// One line each.
    pub rows: Vec<OpMeasured>,
}

/// Everything that was found.
#[derive(Clone, Debug, Serialize)]
pub struct GpuReport {
    /// The program's version.
    pub version: &'static str,
    /// What the GPU is.
    pub device: Facts,
    /// CUDA's version, as the driver has it.
    pub driver: String,
    /// What it can do at most.
    pub ceilings: DeviceCeilings,
    /// The table of cases.
    pub cases: Vec<Checked>,
    /// Training and evaluations.
    pub speeds: Vec<Speed>,
    /// Operations.
    pub ops: Vec<OpsTable>,
    /// What was left out, and why.
    pub left_out: Vec<String>,
}

/// How much is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Everything.
    All,
    /// The table of cases.
    Cases,
    /// Everything, of sizes that end in seconds on anything: whether it works, not how fast it is.
    Tiny,
}

/// What a check is asked for.
pub struct GpuCheck<'a> {
    /// The GPU's number.
    pub gpu: usize,
    /// How much.
    pub part: Part,
    /// Threads of the CPU's results.
    pub threads: usize,
    /// How long each speed is measured for.
    pub window: Duration,
    /// Asks for an end.
    pub stop: &'a Stop,
}

/// Checks a GPU. `tell` hears of each step in a line.
pub fn check(asked: &GpuCheck<'_>, tell: &mut dyn FnMut(&str)) -> Result<GpuReport> {
    let begun = Instant::now();
    let reference = CudaOps::new(asked.gpu, Precision::F32)?;
    let device = reference.context().facts().clone();
    tell(&format!("{}, CUDA {}", reference.context().facts().describe(), VersionText(Driver::get()?.version())));
    let ceilings = reference.ceilings()?;
    tell(&format!(
        "at most {:.2} TFLOP/s f32, {:.2} TFLOP/s f16, {:.0} GB/s copied",
        ceilings.f32_flops / 1e12,
        ceilings.f16_flops / 1e12,
        ceilings.copy_bytes / 1e9
    ));
    drop(reference);
    let mut report = GpuReport {
        version: env!("CARGO_PKG_VERSION"),
        driver: VersionText(Driver::get()?.version()).to_string(),
        ceilings,
        cases: Vec::new(),
        speeds: Vec::new(),
        ops: Vec::new(),
        left_out: Vec::new(),
        device,
    };
    let precisions = precisions(&report.device);
    for precision in &precisions {
        report.cases.extend(table_of_cases(asked, *precision, tell)?);
    }
    if asked.part == Part::Cases {
        return Ok(report);
    }
    let shape = if asked.part == Part::Tiny { OPS_SHAPE_TINY } else { OPS_SHAPE };
    for precision in &precisions {
        let window = asked.window.mul_f64(OP_SHARE);
        let ops = CudaOps::new(asked.gpu, *precision)?;
        tell(&format!("operations in {precision:?}"));
        let rows = table(&ops, shape, window, &ceilings_of(&ceilings, *precision))?;
        report.ops.push(OpsTable { precision: *precision, shape, rows });
    }
    for (precision, case) in speeds(&precisions, asked.part) {
        if asked.stop.requested() {
            return Err(Error::stopped("gpu check", "nothing was written"));
        }
        let name = format!("{:?} {} {2}x{2} batch {3} in {precision:?}", case.task, case.net, case.board, case.batch);
        if begun.elapsed() > LONGEST {
            report.left_out.push(format!("{name}: time was up"));
            continue;
        }
        match CudaOps::new(asked.gpu, precision)
            .and_then(|ops| case.measure_on(ops, asked.window, &ceilings_of(&ceilings, precision)))
        {
            Ok(measured) => {
                tell(&format!("{name}: {:.0} positions/s", measured.positions_per_second));
                report.speeds.push(Speed { precision, measured });
            }
            Err(e) => report.left_out.push(format!("{name}: {}", e.to_string().lines().next().unwrap_or_default())),
        }
    }
    Ok(report)
}

/// What a device computes in: f32, and 16 bits where it has tensor cores or products of pairs.
fn precisions(device: &Facts) -> Vec<Precision> {
    match device.capability {
        (5, 3) | (6, 0) | (6, 2) => vec![Precision::F32, Precision::F16],
        (..7, _) => vec![Precision::F32],
        (7, _) => vec![Precision::F32, Precision::F16],
        _ => vec![Precision::F32, Precision::F16, Precision::Bf16],
    }
}

fn ceilings_of(device: &DeviceCeilings, precision: Precision) -> Ceilings {
    let flops = if precision == Precision::F32 { device.f32_flops } else { device.f16_flops };
    Ceilings { flops, read_bytes: device.copy_bytes }
}

fn table_of_cases(asked: &GpuCheck<'_>, precision: Precision, tell: &mut dyn FnMut(&str)) -> Result<Vec<Checked>> {
    let (cpu, gpu) = (CpuOps::new(asked.threads)?, CudaOps::new(asked.gpu, precision)?);
    let mut all = Vec::new();
    for case in cases::all() {
        if asked.stop.requested() {
            return Err(Error::stopped("gpu check", "nothing was written"));
        }
        let (expected, allowed) = (case.run(&cpu)?, case.tolerance(gpu.rounding()));
        let (worst, failed) = match case.run(&gpu) {
            Ok(got) => (cases::worst(&got, &expected), None),
            Err(e) => (f32::MAX, Some(e.to_string())),
        };
        all.push(Checked { name: case.name(), precision, worst: worst.min(f32::MAX), allowed, failed });
    }
    let wrong: Vec<&Checked> = all.iter().filter(|c| !c.passed()).collect();
    tell(&format!("cases in {precision:?}: {} of {} as on the CPU", all.len() - wrong.len(), all.len()));
    for case in wrong {
        tell(&format!(
            "  {}: off by {:.1e}, allowed {:.1e} {}",
            case.name,
            case.worst,
            case.allowed,
            case.failed.as_deref().unwrap_or_default()
        ));
    }
    Ok(all)
}

/// Training in the precision that a run takes and in f32, evaluations likewise.
fn speeds(precisions: &[Precision], part: Part) -> Vec<(Precision, Case)> {
    let last = |wanted| if precisions.contains(&wanted) { wanted } else { *precisions.last().unwrap_or(&Precision::F32) };
    let case = |task, net: &str, board, batch| Case { task, net: net.to_string(), board, batch };
    if part == Part::Tiny {
        let kinds = [(Precision::Bf16, Task::Train), (Precision::F16, Task::Infer)];
        return kinds.map(|(precision, task)| (last(precision), case(task, "b1c8", 7, 2))).to_vec();
    }
    let mut all = Vec::new();
    for net in ["b6c96", "b10c128"] {
        all.extend([256, 1024].map(|batch| (last(Precision::Bf16), case(Task::Train, net, 19, batch))));
        all.extend([1, 8, 64, 256].map(|batch| (last(Precision::F16), case(Task::Infer, net, 19, batch))));
    }
    all.extend([
        (last(Precision::Bf16), case(Task::Train, "b4c32", 9, 256)),
        (last(Precision::F16), case(Task::Infer, "b4c32", 9, 64)),
    ]);
    if precisions.len() > 1 {
        all.push((Precision::F32, case(Task::Train, "b6c96", 19, 256)));
        all.push((Precision::F32, case(Task::Infer, "b6c96", 19, 64)));
    }
    all
}
