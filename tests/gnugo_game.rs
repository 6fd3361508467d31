//! Whole games of the binary against GNU Go, through GTP on both sides: no illegal move, and both count the same.

mod common;

use edgezero::base::signal::Stop;
use edgezero::go::{Game, Rules, Size};
use edgezero::net::{NetConfig, tensors};
use edgezero::opponent::{Outcome, Program, Seats, play_game};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Our binary with a net; it never resigns, so that there is something to count.
fn edgezero(net: &Path, dir: &Path) -> Program {
    let profile = dir.join("stubborn.toml");
    let (_, text) = edgezero::profile::BUILT_IN.iter().find(|(name, _)| *name == "desktop").unwrap();
    std::fs::write(&profile, text.replace("resign_below = 0.03", "resign_below = 0.00")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_edgezero"));
    command.args(["gtp", "--backend", "cpu", "--threads", "1", "--profile"]).arg(&profile).arg("--net").arg(net);
    Program::spawn(&mut command, &Stop::default()).unwrap()
}

fn check(len: usize, komi: f32) {
    let Some(gnugo) = common::gnugo() else { return };
    let dir = common::TempDir::new(&format!("gnugo-{len}"));
    let net = net(dir.path());
    let mut ours = edgezero(&net, dir.path());
    // Level 1 for speed; it takes dead stones off before it passes, so that no reading is left to disagree on.
    let args = "--mode gtp --chinese-rules --never-resign --capture-all-dead --level 1 --seed 1";
    let mut theirs = Program::spawn(Command::new(gnugo).args(args.split(' ')), &Stop::default()).unwrap();

    let mut game = Game::new(Size::square(len).unwrap(), Rules::CHINESE, komi);
    let mut seats = Seats::Two { black: &mut ours, white: &mut theirs };
    let outcome = play_game(&mut seats, &mut game, &Stop::default(), |_| {}).unwrap();
    assert_eq!(outcome, Outcome::Passed, "{:?}", game.moves());
    let scores = [&mut ours, &mut theirs].map(|program| program.ask("final_score").unwrap());
    eprintln!("{len}x{len}: {} moves, {} by edgezero, {} by GNU Go", game.moves().len(), scores[0], scores[1]);
    assert_eq!(scores[0], scores[1], "{}", edgezero::opponent::board_text(game.board(), None));
}

/// KataGo's small net where the reference data is, else one that has learnt nothing.
fn net(dir: &Path) -> PathBuf {
    if let Some(data) = common::data() {
        return data.join("katago/g170-b6c96-s175395328-d26788732.bin.gz");
    }
    let path = dir.join("random.safetensors");
    tensors::save(&path, &NetConfig::named("b2c32").unwrap().init(1)).unwrap();
    path
}

#[test]
fn a_whole_game_on_9x9() {
    check(9, 7.0);
}

#[test]
fn a_whole_game_on_19x19() {
    check(19, 7.5);
}
