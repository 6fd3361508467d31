//! `edgezero gtp`: plays through the Go Text Protocol.

use super::Context;
use super::evaluator;
use super::out::Stdout;
use crate::base::signal::Stop;
use crate::base::{Error, Result};
use crate::go::Rules;
use crate::opponent::OpponentConfig;
use crate::opponent::gtp::{Line, Lines, serve};
use argh::FromArgs;
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

/// Commands read ahead of the one being answered; a controller that sends more waits.
const LINES_AHEAD_MAX: usize = 64;
/// How long Ctrl-C may go unnoticed while no command comes: shorter than a person notices.
const STOP_POLL: Duration = Duration::from_millis(100);

/// Play through the Go Text Protocol, for Sabaki, GoGui, KaTrain and other programs.
#[derive(FromArgs)]
#[argh(subcommand, name = "gtp")]
pub(super) struct GtpArgs {
    /// the net: a run's folder, its net.safetensors or net.bin.gz, or a KataGo .bin.gz
    #[argh(option)]
    net: PathBuf,
    /// rules at the start: a name such as chinese or japanese, or KataGo's JSON form; the default is the profile's
    #[argh(option)]
    rules: Option<String>,
    /// komi at the start; the default is the profile's
    #[argh(option)]
    komi: Option<f32>,
    /// visits of a move; the default is the profile's, or what the clock allows
    #[argh(option)]
    visits: Option<u32>,
    /// playouts of a move, without those kept from the move before
    #[argh(option)]
    playouts: Option<u32>,
    /// seconds of a move
    #[argh(option)]
    time: Option<f64>,
    /// strength from 20k to 9d: weaker ones play the net's other likely moves too
    #[argh(option)]
    level: Option<String>,
}

pub(super) fn run(args: GtpArgs, ctx: &Context) -> Result<()> {
    let config = config(args.rules, args.komi, ctx)?;
    let effort = evaluator::effort(args.visits, args.playouts, args.time, args.level.as_deref())?;
    let mut session = evaluator::session(&args.net, config, effort, ctx)?;
    log::info!("GTP ready, beginning main protocol loop");
    serve(&mut session, stdin_lines(ctx.stop.clone()), Stdout)?;
    match ctx.stop.requested() {
        true => Err(Error::stopped("gtp", "stopped")),
        false => Ok(()),
    }
}

/// The profile's opponent with what the flags say otherwise.
pub(super) fn config(rules: Option<String>, komi: Option<f32>, ctx: &Context) -> Result<OpponentConfig> {
    let mut config = ctx.profile.opponent.clone();
    config.rules = rules.unwrap_or(config.rules);
    config.komi = komi.unwrap_or(config.komi);
    config.check().map_err(|bad| Error::call(format!("--{}", bad.key), bad.what))?;
    Rules::parse(&config.rules)?;
    Ok(config)
}

/// The lines of standard input until its end or until `stop`: a read of a terminal cannot be broken off, waiting for it can.
fn stdin_lines(stop: Stop) -> impl Iterator<Item = io::Result<Line>> {
    let (to, from) = mpsc::sync_channel(LINES_AHEAD_MAX);
    std::thread::spawn(move || {
        for line in Lines::new(io::stdin().lock()) {
            // The session has ended; nobody listens any more.
            if to.send(line).is_err() {
                break;
            }
        }
    });
    std::iter::from_fn(move || {
        while !stop.requested() {
            match from.recv_timeout(STOP_POLL) {
                Ok(line) => return Some(line),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
        None
    })
}
