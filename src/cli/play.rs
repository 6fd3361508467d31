//! `edgezero play`: one game here, to its end.

use super::Context;
use super::evaluator;
use super::gtp::config;
use super::out::{energy_line, outln};
use crate::base::fs::WholeFile;
use crate::base::{Error, Result};
use crate::go::{Color, Game, Rules, Size};
use crate::opponent::{Header, Outcome, Player, Program, Seats, board_text, play_game, result_text, to_sgf};
use argh::FromArgs;
use indicatif::ProgressBar;
use std::path::PathBuf;

/// Play one game, the net against itself or against another GTP program, and print the final board.
#[derive(FromArgs)]
#[argh(subcommand, name = "play")]
pub(super) struct PlayArgs {
    /// the net: a run's folder, its net.safetensors or net.bin.gz, or a KataGo .bin.gz
    #[argh(option)]
    net: PathBuf,
    /// command of the other program, such as "gnugo --mode gtp --chinese-rules"; without it the net plays both sides
    #[argh(option)]
    against: Option<String>,
    /// the net's colour against another program: black (the default) or white
    #[argh(option, default = "Color::Black", from_str_fn(color))]
    color: Color,
    /// side of the board in points; the default is the profile's
    #[argh(option)]
    board_size: Option<usize>,
    /// rules: a name such as chinese or japanese, or KataGo's JSON form; the default is the profile's
    #[argh(option)]
    rules: Option<String>,
    /// komi; the default is the profile's
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
    /// file to write the game to
    #[argh(option)]
    sgf: Option<PathBuf>,
}

fn color(text: &str) -> std::result::Result<Color, String> {
    Color::parse(text).ok_or_else(|| "expected black or white".to_string())
}

pub(super) fn run(args: PlayArgs, ctx: &Context) -> Result<()> {
    let len = args.board_size.unwrap_or(ctx.profile.train.board_size);
    let size = Size::square(len).ok_or_else(|| Error::call("--board-size", format!("{len}, expected 2 to 19")))?;
    let config = config(args.rules, args.komi, ctx)?;
    // Before the game, so that a place that cannot be written costs no game.
    let mut sgf = args.sgf.as_deref().map(WholeFile::create).transpose()?;
    let rules = config.rules.clone();
    let mut game = Game::new(size, Rules::parse(&config.rules)?, config.komi);
    let effort = evaluator::effort(args.visits, args.playouts, args.time, args.level.as_deref())?;
    let mut session = evaluator::session(&args.net, config, effort, ctx)?;
    let mut program = args.against.as_deref().map(|command| Program::start(command, &ctx.stop)).transpose()?;

    let names = match (&program, args.color) {
        (None, _) => [session.name(), session.name()],
        (Some(program), Color::Black) => [session.name(), program.name()],
        (Some(program), Color::White) => [program.name(), session.name()],
    };
    let mut seats = match (&mut program, args.color) {
        (None, _) => Seats::Both(&mut session),
        (Some(program), Color::Black) => Seats::Two { black: &mut session, white: program },
        (Some(program), Color::White) => Seats::Two { black: program, white: &mut session },
    };
    let watch = ctx.watch(ctx.budget(1), None)?;
    let bar = ProgressBar::new_spinner();
    let outcome = play_game(&mut seats, &mut game, &ctx.stop, |game| bar.set_message(format!("move {}", game.moves().len())))?;
    bar.finish_and_clear();

    let white = if outcome == Outcome::Passed { session.score()?.0 } else { 0.0 };
    let result = result_text(&outcome, white);
    outln!("{}", board_text(game.board(), game.moves().last().map(|&(_, mv)| mv)))?;
    let [black, white] = &names;
    outln!("X {black}, O {white}: {result} after {} moves, komi {}", game.moves().len(), game.komi())?;
    let seen = watch.seen();
    if let Some(joules) = seen.energy_j {
        outln!("{}", energy_line(&seen, joules, game.moves().len() as f64, "a move"))?;
    }
    if let Some(file) = &mut sgf {
        let header = Header { players: [black, white], rules: &rules, result: &result };
        file.write(to_sgf(&game, &header).as_bytes())?;
    }
    sgf.map_or(Ok(()), WholeFile::commit)
}
