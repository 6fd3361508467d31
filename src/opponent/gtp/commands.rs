//! The commands and what they say.

use super::{Input, Reply, analyze, gogui, params, raw, times};
use crate::base::fs::{WholeFile, read_limited};
use crate::base::{Error, Result};
use crate::device;
use crate::go::handicap;
use crate::go::{Color, Move, Point, PointSet, Rules, Size};
use crate::opponent::matchup::{Header, to_sgf};
use crate::opponent::session::{Session, Then};
use crate::opponent::show::{board_text, score_text};
use crate::search::Report;
use crate::sgf;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

/// Largest file read by `loadsgf`, in bytes: a game with every variation of a study has less.
const SGF_BYTES_MAX: u64 = 16 << 20;

/// How long an interrupt may go unnoticed: shorter than a person notices.
const INTERRUPT_TICK: Duration = Duration::from_millis(20);

type Command = fn(&mut Session, &[&str]) -> Result<Reply>;

/// In the order in which `list_commands` gives them; some programs expect `protocol_version` first.
const COMMANDS: [(&str, Command); 53] = [
    ("protocol_version", |_, _| say("2")),
    ("name", |session, _| say(&session.persona.name)),
    ("version", |session, _| say(&session.persona.version)),
    ("known_command", |_, args| say(args.first().is_some_and(|name| names().any(|known| known == *name)).to_string())),
    ("list_commands", |_, _| say(names().collect::<Vec<_>>().join("\n"))),
    ("quit", |_, _| say("")),
    ("boardsize", |session, args| Ok(boardsize(session, args))),
    ("rectangular_boardsize", |session, args| Ok(boardsize(session, args))),
    ("clear_board", |session, _| {
        session.clear();
        say("")
    }),
    ("komi", |session, args| Ok(komi(session, args))),
    ("get_komi", |session, _| say(session.game().komi().to_string())),
    ("play", |session, args| Ok(play(session, args))),
    ("undo", |session, _| match session.undo() {
        true => say(""),
        false => fail("cannot undo"),
    }),
    ("kata-get-rules", |session, _| say(session.game().rules().to_json())),
    ("kata-set-rule", |session, args| Ok(set_rule(session, args))),
    ("kata-set-rules", |session, args| Ok(set_rules(session, args))),
    ("genmove", genmove),
    ("showboard", |session, _| say(showboard(session))),
    ("fixed_handicap", |session, args| Ok(fixed_handicap(session, args))),
    ("place_free_handicap", |session, args| Ok(place_free_handicap(session, args))),
    ("set_free_handicap", |session, args| Ok(set_free_handicap(session, args))),
    ("time_settings", |session, args| Ok(times::settings(session, args))),
    ("time_left", |session, args| Ok(times::left(session, args))),
    ("final_score", |session, _| say(score_text(session.score_expected()?))),
    ("final_status_list", final_status_list),
    ("loadsgf", |session, args| Ok(load_sgf(session, args))),
    ("stop", |_, _| say("")),
    ("set_position", |session, args| Ok(set_position(session, args))),
    ("printsgf", |session, args| Ok(print_sgf(session, args))),
    ("gg-undo", |session, args| Ok(undo_some(session, args))),
    ("gogui-play_sequence", |session, args| Ok(play_sequence(session, args))),
    ("kgs-rules", |session, args| Ok(set_rules(session, args))),
    ("kgs-genmove_cleanup", genmove),
    ("kgs-time_settings", |session, args| Ok(times::kgs(session, args))),
    ("kata-time_settings", |session, args| Ok(times::kgs(session, args))),
    ("kata-list_time_settings", |_, _| say("none\nabsolute\nbyoyomi\ncanadian\nfischer")),
    ("kata-raw-nn", raw::raw_nn),
    ("kata-get-models", |session, _| say(params::models(session))),
    ("kata-list-params", |_, _| say(params::list())),
    ("kata-get-param", |session, args| Ok(params::get(session, args))),
    ("kata-get-params", |session, _| say(params::get_all(session))),
    ("kata-set-param", |session, args| Ok(params::set(session, args))),
    ("clear_cache", |session, _| {
        session.forget();
        say("")
    }),
    ("cputime", |_, _| say(format!("{:.2}", device::cpu_seconds()))),
    ("gomill-cpu_time", |_, _| say(format!("{:.2}", device::cpu_seconds()))),
    ("gogui-interrupt", |_, _| say("")),
    ("gogui-analyze_commands", |_, _| say(gogui::COMMANDS)),
    ("gogui-policy", gogui::policy),
    ("gogui-ownership", gogui::ownership),
    ("gogui-winrate", gogui::winrate),
    ("gogui-pv", gogui::variation),
    ("gogui-rules_game_id", |_, _| say("Go")),
    ("gogui-param", |session, args| Ok(params::gogui(session, args))),
];
/// Names that are listed: the table's but for KataGo's own unlisted one, and those of live analysis.
fn names() -> impl Iterator<Item = &'static str> {
    let listed = COMMANDS.iter().map(|(name, _)| *name).filter(|name| *name != "kata-get-params");
    listed.chain(analyze::NAMES)
}

/// The command of a name.
pub(super) fn find(name: &str) -> Option<Command> {
    COMMANDS.iter().find(|(known, _)| *known == name).map(|(_, run)| *run)
}

fn say(text: impl Into<String>) -> Result<Reply> {
    Ok(Ok(text.into()))
}

fn fail(text: impl Into<String>) -> Result<Reply> {
    Ok(Err(text.into()))
}

fn boardsize(session: &mut Session, args: &[&str]) -> Reply {
    let sides: Vec<Option<usize>> = args.iter().flat_map(|arg| arg.split(':')).map(|side| side.parse().ok()).collect();
    let size = match sides[..] {
        [Some(len)] => Size::square(len),
        [Some(w), Some(h)] => Size::new(w, h),
        _ => return Err(format!("Expected one or two integers for boardsize but got '{}'", args.join(" "))),
    };
    let size = size.ok_or("unacceptable size")?;
    // Controllers repeat the size in the middle of a game.
    if size != session.game().size() {
        session.set_size(size);
    }
    Ok(String::new())
}

fn komi(session: &mut Session, args: &[&str]) -> Reply {
    let komi: f32 = match args {
        [komi] => komi.parse().map_err(|_| format!("Could not parse komi: '{komi}'"))?,
        _ => return Err(format!("Expected one number for komi but got '{}'", args.join(" "))),
    };
    if !(-400.0..=400.0).contains(&komi) {
        return Err("unacceptable komi".to_string());
    }
    if (komi * 2.0).fract() != 0.0 {
        return Err("komi must be an integer or half-integer".to_string());
    }
    session.set_komi(komi);
    Ok(String::new())
}

fn play(session: &mut Session, args: &[&str]) -> Reply {
    let &[color, vertex] = args else {
        return Err(format!("Expected two arguments for play but got '{}'", args.join(" ")));
    };
    let color = parse_color(color)?;
    let size = session.game().size();
    let mv = Move::parse_gtp(vertex, size).ok_or_else(|| format!("Could not parse vertex: '{vertex}'"))?;
    session.play(color, mv).map_err(|_| "illegal move".to_string())?;
    Ok(String::new())
}

fn genmove(session: &mut Session, args: &[&str]) -> Result<Reply> {
    match genmove_color(args) {
        Ok(color) => say(session.genmove(color)?.gtp(session.game().size())),
        Err(text) => fail(text),
    }
}

fn genmove_color(args: &[&str]) -> std::result::Result<Color, String> {
    match args {
        [color] => parse_color(color),
        _ => Err(format!("Expected one argument for genmove but got '{}'", args.join(" "))),
    }
}

/// [`genmove`] that GoGui's interrupt makes answer at once, with what was found by then.
pub(super) fn genmove_interruptible(session: &mut Session, args: &[&str], input: &mut dyn Input) -> Result<Reply> {
    let color = match genmove_color(args) {
        Ok(color) => color,
        Err(text) => return fail(text),
    };
    let mut watch = |_: &dyn Fn() -> Option<Report>| match input.is_interrupted() {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    };
    let answer = match session.genmove_watched(color, Then::Play, INTERRUPT_TICK, &mut watch)? {
        Some(answer) => answer,
        None => session.genmove_now(color)?,
    };
    say(answer.gtp(session.game().size()))
}

fn set_rules(session: &mut Session, args: &[&str]) -> Reply {
    let rules = Rules::parse(&args.join(" ")).map_err(|e| e.what().to_string())?;
    session.set_rules(rules);
    Ok(String::new())
}

fn set_rule(session: &mut Session, args: &[&str]) -> Reply {
    let &[key, value] = args else {
        return Err(format!("Expected two arguments for kata-set-rule but got '{}'", args.join(" ")));
    };
    let mut rules = *session.game().rules();
    // `true` and `false` are flags, all else is a name.
    let value = match value {
        "true" => serde_json::Value::Bool(true),
        "false" => serde_json::Value::Bool(false),
        name => serde_json::Value::from(name),
    };
    rules.set(key, &value).map_err(|e| e.what().to_string())?;
    session.set_rules(rules);
    Ok(String::new())
}

fn showboard(session: &Session) -> String {
    let game = session.game();
    let last = game.moves().last().map(|&(_, mv)| mv);
    let [black, white] = game.taken();
    let next = match game.to_move() {
        Color::Black => "Black",
        Color::White => "White",
    };
    format!(
        "MoveNum: {} HASH: {:016X}\n{}\nNext player: {next}\nRules: {}\nKomi: {}\nB stones captured: {black}\nW stones captured: {white}",
        game.moves().len(),
        game.board().hash(),
        board_text(game.board(), last),
        game.rules().to_json(),
        game.komi(),
    )
}

fn fixed_handicap(session: &mut Session, args: &[&str]) -> Reply {
    let n = handicap_count(session, args)?;
    let stones = handicap::fixed(session.game().size(), n).ok_or("Number of handicap stones is invalid for this board")?;
    Ok(put_handicap(session, &stones))
}

/// Custom's places serve a free handicap too; GTP lets an engine place fewer stones than asked for.
fn place_free_handicap(session: &mut Session, args: &[&str]) -> Reply {
    let size = session.game().size();
    let n = handicap_count(session, args)?.min(handicap::most(size));
    let stones = handicap::fixed(size, n).ok_or("Number of handicap stones is invalid for this board")?;
    Ok(put_handicap(session, &stones))
}

fn set_free_handicap(session: &mut Session, args: &[&str]) -> Reply {
    let size = session.game().size();
    if !session.is_bare() {
        return Err("Board is not empty".to_string());
    }
    let mut seen = PointSet::default();
    let mut stones = Vec::new();
    for vertex in args {
        let p = Point::parse_gtp(vertex, size).ok_or_else(|| format!("Could not parse vertex: '{vertex}'"))?;
        if !seen.insert(p) {
            return Err(format!("Vertex given twice: '{vertex}'"));
        }
        stones.push(p);
    }
    if stones.len() < 2 || stones.len() >= size.n_points() {
        return Err("Number of handicap stones is invalid for this board".to_string());
    }
    session.set_handicap(&stones);
    Ok(String::new())
}

fn handicap_count(session: &Session, args: &[&str]) -> std::result::Result<usize, String> {
    let n = match args {
        [n] => n.parse().map_err(|_| format!("Could not parse number of handicap stones: '{n}'"))?,
        _ => return Err(format!("Expected one argument for handicap but got '{}'", args.join(" "))),
    };
    if !session.is_bare() {
        return Err("Board is not empty".to_string());
    }
    Ok(n)
}

fn put_handicap(session: &mut Session, stones: &[Point]) -> String {
    session.set_handicap(stones);
    vertices(stones.iter().copied(), session.game().size())
}

fn final_status_list(session: &mut Session, args: &[&str]) -> Result<Reply> {
    let wants_dead = match args {
        ["dead"] => true,
        ["alive"] => false,
        // Chains in seki are alive here.
        ["seki"] => return say(""),
        _ => return fail("Expected alive, seki or dead for final_status_list"),
    };
    let (_, dead) = session.score()?;
    let board = session.game().board();
    let stones = board.size().points().filter(|&p| board.get(p).is_some() && dead.contains(p) == wants_dead);
    say(vertices(stones, board.size()))
}

/// `loadsgf file [n]`: the position before move `n`, else after the last one.
fn load_sgf(session: &mut Session, args: &[&str]) -> Reply {
    let (path, n) = match args {
        [path] => (path, usize::MAX),
        [path, n] => (path, n.parse().ok().filter(|&n| n > 0).ok_or_else(|| format!("Could not parse move number: '{n}'"))?),
        _ => return Err(format!("Expected a file and a move number for loadsgf but got '{}'", args.join(" "))),
    };
    let one_line = |text: String| text.replace('\n', "; ");
    let cannot = |e: Error| format!("cannot load file: {}", one_line(e.to_string()));
    let bytes = read_limited(Path::new(path), SGF_BYTES_MAX).map_err(cannot)?;
    let record = sgf::games(&bytes).next().ok_or("cannot load file: no game in it")?;
    let record = record.map_err(|e| cannot(e.at(Path::new(path))))?;
    session.load(&record, n.saturating_sub(1)).map_err(|(n, why)| format!("cannot load file: move {n}: {why}"))?;
    Ok(String::new())
}

/// `set_position colour vertex …`: a position without history, Black to move.
fn set_position(session: &mut Session, args: &[&str]) -> Reply {
    let size = session.game().size();
    if !args.len().is_multiple_of(2) {
        return Err("Expected a space-separated sequence of <COLOR> <VERTEX> pairs".to_string());
    }
    let stone = |pair: &[&str]| {
        let color = parse_color(pair[0])?;
        let p = Point::parse_gtp(pair[1], size).ok_or_else(|| format!("Could not parse vertex: '{}'", pair[1]))?;
        Ok((p, color))
    };
    let stones: Vec<(Point, Color)> = args.chunks(2).map(stone).collect::<std::result::Result<_, String>>()?;
    let distinct: PointSet = stones.iter().map(|(p, _)| *p).collect();
    if distinct.len() < stones.len() {
        return Err("Illegal stone placements: a vertex is given twice".to_string());
    }
    session.set_position(&stones, Color::Black).map_err(|_| "Illegal stone placements: a chain has no liberty".to_string())?;
    Ok(String::new())
}

/// `printsgf [file]`: the game from its set-up on, to a file or as the answer.
fn print_sgf(session: &Session, args: &[&str]) -> Reply {
    let header = Header { players: ["", ""], rules: &session.game().rules().to_json(), result: "" };
    let text = to_sgf(session.game(), &header);
    match args {
        [] | ["-"] => Ok(text.trim_end().to_string()),
        [path, ..] => {
            let written = WholeFile::create(Path::new(path)).and_then(|mut file| {
                file.write(text.as_bytes())?;
                file.commit()
            });
            written.map(|()| String::new()).map_err(|e| format!("cannot write file: {}", e.to_string().replace('\n', "; ")))
        }
    }
}

fn undo_some(session: &mut Session, args: &[&str]) -> Reply {
    let n: usize = match args {
        [] => 1,
        [n, ..] => n.parse().map_err(|_| format!("Could not parse number: '{n}'"))?,
    };
    if n > session.game().moves().len() {
        return Err("cannot undo".to_string());
    }
    (0..n).for_each(|_| {
        session.undo();
    });
    Ok(String::new())
}

/// `gogui-play_sequence colour vertex …`
fn play_sequence(session: &mut Session, args: &[&str]) -> Reply {
    if !args.len().is_multiple_of(2) {
        return Err("Expected pairs of a colour and a vertex".to_string());
    }
    // All of it or nothing, as GoGui expects.
    for (n, pair) in args.chunks(2).enumerate() {
        if let Err(why) = play(session, pair) {
            (0..n).for_each(|_| {
                session.undo();
            });
            return Err(why);
        }
    }
    Ok(String::new())
}

pub(super) fn vertices(points: impl Iterator<Item = Point>, size: Size) -> String {
    let names: Vec<String> = points.map(|p| p.gtp(size)).collect();
    names.join(" ")
}

pub(super) fn parse_color(text: &str) -> std::result::Result<Color, String> {
    Color::parse(text).ok_or_else(|| format!("Could not parse color: '{text}'"))
}
