//! `edgezero gtp`: plays through the Go Text Protocol.

use super::Context;
use super::evaluator;
use super::out::Stdout;
use crate::base::{Error, Result};
use crate::go::Rules;
use crate::opponent::gtp::{Ahead, serve_input};
use crate::opponent::{OpponentConfig, Persona, Ponder};
use argh::FromArgs;
use std::io;
use std::path::PathBuf;

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
    /// think in the other's time too
    #[argh(switch)]
    ponder: bool,
    /// what to answer to `name`, for programs that know only some engines
    #[argh(option)]
    gtp_name: Option<String>,
    /// what to answer to `version`
    #[argh(option)]
    gtp_version: Option<String>,
}

pub(super) fn run(args: GtpArgs, ctx: &Context) -> Result<()> {
    let config = config(args.rules, args.komi, ctx)?;
    let effort = evaluator::effort(args.visits, args.playouts, args.time, args.level.as_deref())?;
    let mut session = evaluator::session(&args.net, config, effort, ctx)?;
    session.stop_with(ctx.stop.clone());
    if args.ponder {
        session.ponder = Ponder::Yes;
    }
    let Persona { name, version } = Persona::default();
    session.persona = Persona { name: args.gtp_name.unwrap_or(name), version: args.gtp_version.unwrap_or(version) };
    let _watch = ctx.watch(ctx.budget(1), None)?;
    log::info!("GTP ready, beginning main protocol loop");
    serve_input(&mut session, &mut Ahead::new(|| io::stdin().lock(), ctx.stop.clone()), Stdout)?;
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
