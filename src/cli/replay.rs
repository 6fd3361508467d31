//! `edgezero replay`: what a game record says, and where its moves lead.

use super::Context;
use super::out::outln;
use crate::base::fs::read_limited;
use crate::base::limits::SGF_FILE_BYTES_MAX;
use crate::base::{Error, Result};
use crate::sgf::Collection;
use crate::sgf::replay::Replay;
use argh::FromArgs;
use std::path::{Path, PathBuf};

/// Replay the games of SGF files: who, what, and the last position drawn.
///
/// A game that cannot be read or has an illegal move is told on stderr; the others go on, and the exit code is 1.
#[derive(FromArgs)]
#[argh(subcommand, name = "replay")]
pub(super) struct ReplayArgs {
    /// print one JSON object a game instead
    #[argh(switch)]
    json: bool,
    /// SGF files
    #[argh(positional, arg_name = "FILE")]
    files: Vec<PathBuf>,
}

pub(super) fn run(args: ReplayArgs, ctx: &Context) -> Result<()> {
    if args.files.is_empty() {
        return Err(Error::call("replay", "no file").hint("edgezero replay game.sgf"));
    }
    let form = if args.json { Form::Json } else { Form::Drawing };
    let mut count = Count { games: 0, refused: 0 };
    for file in &args.files {
        if ctx.stop.requested() {
            return Err(Error::stopped("replay", format!("{} games were told", count.games)));
        }
        if let Err(err) = replay(file, form, &mut count)? {
            complain(&err, &mut count);
        }
    }
    match count.refused {
        0 => Ok(()),
        refused => Err(Error::new("replay", format!("{refused} of {} games refused", count.games))),
    }
}

#[derive(Clone, Copy)]
enum Form {
    Json,
    Drawing,
}

struct Count {
    games: usize,
    refused: usize,
}

/// The outer error ends the run, the inner one only this file.
fn replay(path: &Path, form: Form, count: &mut Count) -> Result<Result<()>> {
    let bytes = match read_limited(path, SGF_FILE_BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(err) => {
            count.games += 1;
            return Ok(Err(err));
        }
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut games = Collection::new(&bytes);
    while let Some(game) = games.next_game() {
        count.games += 1;
        let replay = match game.and_then(|game| Replay::of(&game, &name)) {
            Ok(replay) => replay,
            Err(err) => {
                complain(&err.at(path), count);
                continue;
            }
        };
        match form {
            Form::Json => outln!("{}", replay.json())?,
            Form::Drawing => outln!("{}", replay.drawing())?,
        }
        if let Some(err) = replay.error(path) {
            complain(&err, count);
        }
    }
    Ok(Ok(()))
}

fn complain(err: &Error, count: &mut Count) {
    log::error!("{err}");
    count.refused += 1;
}
