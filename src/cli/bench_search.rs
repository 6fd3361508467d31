//! `edgezero bench search`: visits a second with a net, and where the time goes.

use super::Context;
use super::evaluator::file_of;
use super::out::outln;
use crate::base::{Error, Result};
use crate::diagnose::search::{SearchBench, SearchMeasured, Setup};
use crate::infer::Evaluator as _;
use serde::Serialize;
use std::path::PathBuf;
use std::time::Duration;

/// Most threads measured: with more, games and positions are searched side by side.
const THREADS_MAX: usize = 2;

/// What the flags of `bench` say for a search.
pub(super) struct Wanted<'a> {
    pub(super) net: Option<PathBuf>,
    pub(super) boards: Vec<usize>,
    pub(super) visits: u32,
    pub(super) katago: Option<&'a str>,
    pub(super) window: Duration,
    pub(super) as_json: bool,
}

#[derive(Serialize)]
struct Found<'a> {
    net: &'a str,
    visits: u32,
    cases: Vec<SearchMeasured>,
}

pub(super) fn run(wanted: &Wanted<'_>, ctx: &Context) -> Result<()> {
    let net = wanted.net.as_deref().ok_or_else(|| Error::call("--net", "missing: a search needs one"))?;
    if wanted.visits < 2 {
        return Err(Error::call("--visits", format!("{}, expected 2 or more", wanted.visits)));
    }
    let bench = SearchBench {
        net: file_of(net)?,
        backend: ctx.backend.clone(),
        search: ctx.profile.search.clone(),
        visits: wanted.visits,
        window: wanted.window,
    };
    let nets = (1..=ctx.threads.min(THREADS_MAX)).map(|threads| bench.open(threads)).collect::<Result<Vec<_>>>()?;
    let about = nets[0].describe();
    let mut katago = wanted.katago.map(|command| bench.start_katago(command, &ctx.stop)).transpose()?;
    if !wanted.as_json {
        outln!("{about}, {} visits of each position, batches of {} at the most", wanted.visits, bench.search.batch_size)?;
        outln!(
            "{:8}{:>8}  {:28}{:>9}{:>7}{:>11}{:>15}{:>12}{:>11}",
            "board",
            "threads",
            "",
            "visits/s",
            "batch",
            "evaluated",
            "evaluations/s",
            "time in net",
            "processor"
        )?;
    }
    let mut found = Found { net: &about, visits: wanted.visits, cases: Vec::new() };
    for &board in &wanted.boards {
        let positions = bench.positions(board, &nets[0])?;
        for (net, threads) in nets.iter().zip(1..) {
            for setup in Setup::OURS {
                if ctx.stop.requested() {
                    return Err(Error::stopped("bench", "what is printed so far stands"));
                }
                tell(bench.measure(&positions, net, setup)?, wanted, &mut found)?;
            }
            if let Some(katago) = &mut katago {
                tell(bench.measure_katago(katago, &positions, threads)?, wanted, &mut found)?;
            }
        }
    }
    if wanted.as_json {
        let text = serde_json::to_string(&found).map_err(|e| Error::new("bench", e))?;
        return outln!("{text}");
    }
    outln!(
        "\nEvaluated: the share of the visits that asked the net; the others ended the game or were known already.\n\
         Evaluations/s: the net alone, while it was at work, at these batches: the floor that a search cannot be faster than.
         Processor: how much of the threads' time the machine gave them; well below 100 % something else was at work, and these
         are not the machine's numbers."
    )
}

fn tell(m: SearchMeasured, wanted: &Wanted<'_>, found: &mut Found<'_>) -> Result<()> {
    if !wanted.as_json {
        let setup = match m.setup {
            Setup::Bare => "one at a time, no cache",
            Setup::Single => "one at a time",
            Setup::Batched => "batches",
            Setup::InGame => "batches, a game in progress",
            Setup::Katago => "KataGo",
        };
        let number = |x: Option<f64>, digits: usize| x.map_or("-".to_string(), |x| format!("{x:.digits$}"));
        let share = |x: Option<f64>| x.map_or("-".to_string(), |x| format!("{:.0} %", 100.0 * x));
        outln!(
            "{:8}{:>8}  {setup:28}{:>9.0}{:>7}{:>11}{:>15}{:>12}{:>11}",
            format!("{0}x{0}", m.board),
            m.threads,
            m.visits_per_second,
            number(m.batch_mean, 1),
            share(m.evaluated),
            number(m.evaluations_per_second, 0),
            share(m.net_share),
            share(m.cpu_share)
        )?;
    }
    found.cases.push(m);
    Ok(())
}
