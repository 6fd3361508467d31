//! Replays a game on a deliberately plain board, and tells what happened: `edgezero replay`.
//!
//! The board counts liberties by flood fill and knows every size SGF can name, so that it also serves as an
//! independent check of [`crate::go`]. Legal is what every rule set allows: an empty point of the board, no suicide,
//! no immediate retake of a ko. Set-up comes before the move of its node and forgets the ko.

mod board;

use self::board::PlainBoard;
use super::collection::Game;
use super::record::{RawMove, RawStep, main_line};
use super::result::{PlainMargin, Winner, plain};
use super::{GameError, komi};
use crate::base::Error;
use crate::go::Color;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::fmt::Write as _;
use std::path::Path;

/// One game, replayed.
#[derive(Clone, Debug)]
pub struct Replay {
    /// The file's name, as it is to be shown.
    pub file: String,
    /// Number of the game in its file, from 0.
    pub game: u32,
    /// GM; 1 where there is none.
    pub gm: u64,
    /// Number of nodes, variations included.
    pub nodes: usize,
    /// The root.
    pub info: Info,
    /// The moves, if the game is Go.
    pub go: Option<Moves>,
    /// Line and column of the first illegal move or set-up, both from 1.
    pub illegal_at: Option<(u32, u32)>,
}

/// What the root says, as written: decoded and trimmed, but not interpreted.
#[derive(Clone, Debug)]
pub struct Info {
    /// HA.
    pub ha: Option<String>,
    /// KM.
    pub km: Option<String>,
    /// RE.
    pub re: Option<String>,
    /// PB, PW.
    pub players: [Option<String>; 2],
    /// BR, WR.
    pub ranks: [Option<String>; 2],
    /// DT.
    pub dt: Option<String>,
    /// RU.
    pub ru: Option<String>,
    /// EV.
    pub ev: Option<String>,
    /// CA.
    pub ca: Option<String>,
}

/// What happened on the main line of a game of Go.
#[derive(Clone, Debug)]
pub struct Moves {
    /// Columns, 1 to 52.
    pub w: usize,
    /// Rows, 1 to 52.
    pub h: usize,
    /// Moves, passes included, legal or not.
    pub main_moves: usize,
    /// Passes among them.
    pub passes: usize,
    /// Nodes with AB, AW or AE.
    pub setup_nodes: usize,
    /// Moves before the first illegal one.
    pub played: usize,
    /// Number of the first illegal move from 1, and why. For a set-up, the number of moves before it.
    pub illegal: Option<(usize, Illegal)>,
    /// Number of the first move that repeats a whole-board position, from 1. Not illegal here.
    pub superko: Option<usize>,
    /// The last legal position: rows from the top, columns from the left, one of `.XO` a point.
    pub board: String,
    /// Stones that Black's and White's moves took.
    pub captures: [usize; 2],
}

/// Why a move cannot be played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Illegal {
    /// There is a stone.
    Occupied,
    /// The point is beside the board.
    OffBoard,
    /// It takes back a ko at once.
    Ko,
    /// It leaves its own chain without a liberty.
    Suicide,
    /// It names no point.
    BadPoint,
    /// A set-up left a chain without a liberty.
    Setup,
}

impl Illegal {
    /// One word, as `--json` writes it.
    pub fn name(self) -> &'static str {
        match self {
            Illegal::Occupied => "occupied",
            Illegal::OffBoard => "offboard",
            Illegal::Ko => "ko",
            Illegal::Suicide => "suicide",
            Illegal::BadPoint => "badpoint",
            Illegal::Setup => "setup",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Illegal::Occupied => "occupied point",
            Illegal::OffBoard => "off the board",
            Illegal::BadPoint => "bad point",
            Illegal::Setup => "set-up leaves stones without a liberty",
            Illegal::Ko | Illegal::Suicide => self.name(),
        }
    }
}

impl Replay {
    /// Replays a game; its steps up to the first illegal one. `file` is the name to show.
    pub fn of(game: &Game<'_>, file: &str) -> Result<Replay, GameError> {
        let mut replay = Replay {
            file: file.to_string(),
            game: game.game_idx,
            gm: game.kind(),
            nodes: game.tree.len(),
            info: Info::of(game),
            go: None,
            illegal_at: None,
        };
        if replay.gm == 1 {
            let (w, h) = game.sides()?;
            let mut player = Player::new(w, h);
            main_line(game, w, h, |place, step| {
                player.step(step);
                if replay.illegal_at.is_none() && player.illegal.is_some() {
                    replay.illegal_at = Some(game.place(place.at));
                }
                Ok(())
            })?;
            replay.go = Some(player.finish());
        }
        Ok(replay)
    }

    /// The same with the game's place in its file, as an error.
    pub fn error(&self, path: &Path) -> Option<Error> {
        let (line, column) = self.illegal_at?;
        let place = format!("{}:{line}:{column}", path.display());
        Some(Error::new(place, format!("game {}: {}", self.game + 1, self.refusal()?)))
    }

    /// Why the game cannot be used, if it cannot: `move 5: occupied point`.
    pub fn refusal(&self) -> Option<String> {
        let (number, why) = self.go.as_ref()?.illegal?;
        match why {
            Illegal::Setup => Some(format!("after move {number}: {}", why.words())),
            _ => Some(format!("move {number}: {}", why.words())),
        }
    }

    /// The JSON object of the game, on one line.
    pub fn json(&self) -> String {
        let json = serde_json::to_string(self).unwrap_or_default();
        if !json.contains(is_terminal_control) {
            return json;
        }
        // These can only stand inside strings.
        json.chars().fold(String::new(), |mut out, c| {
            if is_terminal_control(c) {
                let _ = write!(out, "\\u{:04x}", c as u32);
            } else {
                out.push(c);
            }
            out
        })
    }

    /// A line about the game and its last position, for people.
    pub fn drawing(&self) -> String {
        let mut out = format!("{} game {}: ", shown(&self.file), self.game + 1);
        let Some(go) = &self.go else {
            let _ = writeln!(out, "GM[{}], not Go", self.gm);
            return out;
        };
        let player = |i: usize| {
            let name = self.info.players[i].as_deref().filter(|n| !n.is_empty()).unwrap_or("?");
            match self.info.ranks[i].as_deref().filter(|r| !r.is_empty()) {
                Some(rank) => shown(&format!("{name} ({rank})")),
                None => shown(name),
            }
        };
        let _ = write!(out, "{}x{}, {} moves, {} - {}", go.w, go.h, go.main_moves, player(0), player(1));
        for (name, value) in [("handicap", &self.info.ha), ("komi", &self.info.km), ("result", &self.info.re)] {
            if let Some(value) = value.as_deref().filter(|v| !v.is_empty()) {
                let _ = write!(out, ", {name} {}", shown(value));
            }
        }
        let _ = write!(out, ", captures {} {}", go.captures[0], go.captures[1]);
        if let Some(number) = go.superko {
            let _ = write!(out, ", superko at move {number}");
        }
        if let Some(refusal) = self.refusal() {
            let _ = write!(out, ", {refusal}");
        }
        out.push('\n');
        draw(go, &mut out);
        out
    }
}

/// The board with coordinates where letters and numbers reach: up to 25 columns.
fn draw(go: &Moves, out: &mut String) {
    const COLUMNS: &str = "A B C D E F G H J K L M N O P Q R S T U V W X Y Z";
    for (y, row) in go.board.as_bytes().chunks(go.w).enumerate() {
        let _ = write!(out, "{:>3}", go.h - y);
        row.iter().for_each(|&stone| out.extend([' ', stone as char]));
        out.push('\n');
    }
    if let Some(columns) = COLUMNS.get(..2 * go.w - 1) {
        let _ = writeln!(out, "    {columns}");
    }
}

/// A text without what a terminal would obey.
fn shown(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn is_terminal_control(c: char) -> bool {
    ('\u{7f}'..='\u{9f}').contains(&c)
}

impl Info {
    fn of(game: &Game<'_>) -> Info {
        let bytes = |name: &[u8]| game.root_bytes(name).map(|raw| raw.iter().map(|&b| b as char).collect());
        let text = |name: &[u8]| game.root_text(name);
        Info {
            ha: bytes(b"HA"),
            km: bytes(b"KM"),
            re: text(b"RE"),
            players: [text(b"PB"), text(b"PW")],
            ranks: [text(b"BR"), text(b"WR")],
            dt: text(b"DT"),
            ru: text(b"RU"),
            ev: text(b"EV"),
            ca: bytes(b"CA"),
        }
    }
}

impl Serialize for Replay {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let info = &self.info;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("file", &self.file)?;
        map.serialize_entry("game", &self.game)?;
        map.serialize_entry("gm", &self.gm)?;
        if let Some(go) = &self.go {
            map.serialize_entry("w", &go.w)?;
            map.serialize_entry("h", &go.h)?;
            map.serialize_entry("main_moves", &go.main_moves)?;
            map.serialize_entry("passes", &go.passes)?;
            map.serialize_entry("setup_nodes", &go.setup_nodes)?;
        }
        map.serialize_entry("nodes", &self.nodes)?;
        if let Some(go) = &self.go {
            map.serialize_entry("played", &go.played)?;
            map.serialize_entry("illegal", &go.illegal.map(|(number, why)| (number, why.name())))?;
            map.serialize_entry("superko", &go.superko)?;
        }
        map.serialize_entry("ha", &info.ha)?;
        map.serialize_entry("km", &info.km)?;
        map.serialize_entry("komi", &info.km.as_deref().and_then(komi::plain))?;
        map.serialize_entry("re", &info.re)?;
        let (winner, margin) = plain(info.re.as_deref().unwrap_or_default());
        map.serialize_entry("win", &winner.map(winner_letter))?;
        match margin {
            Some(PlainMargin::Points(points)) => map.serialize_entry("margin", &points)?,
            Some(PlainMargin::Resignation) => map.serialize_entry("margin", "R")?,
            Some(PlainMargin::Time) => map.serialize_entry("margin", "T")?,
            Some(PlainMargin::Forfeit) => map.serialize_entry("margin", "F")?,
            None => map.serialize_entry("margin", &None::<f64>)?,
        }
        let texts = [("pb", &info.players[0]), ("pw", &info.players[1]), ("br", &info.ranks[0]), ("wr", &info.ranks[1])];
        for (name, text) in texts.into_iter().chain([("dt", &info.dt), ("ru", &info.ru), ("ev", &info.ev), ("ca", &info.ca)]) {
            map.serialize_entry(name, text)?;
        }
        if let Some(go) = &self.go {
            let stones = |stone: u8| go.board.bytes().filter(|&b| b == stone).count();
            map.serialize_entry("cap_b", &go.captures[0])?;
            map.serialize_entry("cap_w", &go.captures[1])?;
            map.serialize_entry("stones_b", &stones(b'X'))?;
            map.serialize_entry("stones_w", &stones(b'O'))?;
            map.serialize_entry("sha256", &go.sha256())?;
            map.serialize_entry("board", &go.board)?;
        }
        map.end()
    }
}

fn winner_letter(winner: Winner) -> &'static str {
    match winner {
        Winner::Black => "B",
        Winner::White => "W",
        Winner::Draw => "D",
    }
}

impl Moves {
    /// SHA-256 of `WxH:` and the board, in hex.
    pub fn sha256(&self) -> String {
        let digest = Sha256::digest(format!("{}x{}:{}", self.w, self.h, self.board));
        digest.iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }
}

/// The state of a replay.
struct Player {
    board: PlainBoard,
    seen: HashSet<u128>,
    n_moves: usize,
    passes: usize,
    setup_nodes: usize,
    played: usize,
    illegal: Option<(usize, Illegal)>,
    superko: Option<usize>,
    captures: [usize; 2],
    set_up: Vec<usize>,
}

impl Player {
    fn new(w: usize, h: usize) -> Player {
        let board = PlainBoard::new(w, h);
        let seen = HashSet::from([board.hash]);
        Player {
            board,
            seen,
            n_moves: 0,
            passes: 0,
            setup_nodes: 0,
            played: 0,
            illegal: None,
            superko: None,
            captures: [0; 2],
            set_up: Vec::new(),
        }
    }

    fn step(&mut self, step: RawStep) {
        match step {
            RawStep::SetupNode => self.setup_nodes += 1,
            RawStep::Setup { x, y, stone } if self.illegal.is_none() => {
                let point = usize::from(y) * self.board.w + usize::from(x);
                self.board.set(point, stone.map_or(b'.', letter));
                self.set_up.push(point);
            }
            RawStep::SetupDone if self.illegal.is_none() => self.setup_done(),
            RawStep::Setup { .. } | RawStep::SetupDone | RawStep::ToMove(_) => {}
            RawStep::Move { color, mv, .. } => self.play(color, mv),
        }
    }

    fn setup_done(&mut self) {
        self.board.ko = None;
        self.set_up.sort_unstable();
        self.set_up.dedup();
        // Only a stone that came can have taken a liberty.
        let mut dead = false;
        for i in 0..self.set_up.len() {
            let point = self.set_up[i];
            let around = self.board.neighbors(point).chain([Some(point)]).flatten();
            dead |= around.filter(|&p| self.board.stones[p] != b'.').any(|p| self.board.chain(p).1 == 0);
        }
        self.set_up.clear();
        if dead {
            self.illegal = Some((self.n_moves, Illegal::Setup));
        }
        self.seen.insert(self.board.hash);
    }

    fn play(&mut self, color: Color, mv: RawMove) {
        self.n_moves += 1;
        self.passes += usize::from(mv == RawMove::Pass);
        if self.illegal.is_some() {
            return;
        }
        let played = match mv {
            RawMove::Pass => {
                self.board.ko = None;
                self.played += 1;
                return;
            }
            RawMove::At(x, y) => self.board.play(usize::from(y) * self.board.w + usize::from(x), letter(color)),
            RawMove::OffBoard(_) => Err(Illegal::OffBoard),
            RawMove::Bad(_) => Err(Illegal::BadPoint),
        };
        match played {
            Ok(n_taken) => {
                self.played += 1;
                self.captures[color.index()] += n_taken;
                if !self.seen.insert(self.board.hash) && self.superko.is_none() {
                    self.superko = Some(self.n_moves);
                }
            }
            Err(why) => self.illegal = Some((self.n_moves, why)),
        }
    }

    fn finish(self) -> Moves {
        Moves {
            w: self.board.w,
            h: self.board.h,
            main_moves: self.n_moves,
            passes: self.passes,
            setup_nodes: self.setup_nodes,
            played: self.played,
            illegal: self.illegal,
            superko: self.superko,
            board: self.board.stones.iter().map(|&b| b as char).collect(),
            captures: self.captures,
        }
    }
}

fn letter(color: Color) -> u8 {
    match color {
        Color::Black => b'X',
        Color::White => b'O',
    }
}

#[cfg(test)]
mod tests {
    use super::super::Collection;
    use super::*;

    fn replay(text: &str) -> Replay {
        Replay::of(&Collection::new(text.as_bytes()).next_game().unwrap().unwrap(), "a.sgf").unwrap()
    }

    #[test]
    fn plays_and_refuses() {
        let cases = [
            ("capture", "(;SZ[2];B[aa];W[ab];B[bb])", "X..X", "", None),
            ("occupied", "(;SZ[2];B[aa];W[aa])", "X...", "move 2: occupied point", None),
            ("one stone suicide", "(;SZ[3]AB[ba][ab];W[aa])", ".X.X.....", "move 1: suicide", None),
            ("many stones suicide", "(;SZ[3]AB[ca][bb][ab]AW[ba];W[aa])", ".OXXX....", "move 1: suicide", None),
            ("ko", "(;SZ[4]AB[ba][ab][bc]AW[ca][db][cc][bb];B[cb];W[bb])", ".XO.X.XO.XO.....", "move 2: ko", None),
            ("ko after a pass", "(;SZ[4]AB[ba][ab][bc]AW[ca][db][cc][bb];B[cb];W[];B[];W[bb])", ".XO.XO.O.XO.....", "", Some(4)),
            ("ko after a set-up", "(;SZ[4]AB[ba][ab][bc]AW[ca][db][cc][bb];B[cb];AE[aa];W[bb])", ".XO.XO.O.XO.....", "", Some(2)),
            ("set-up", "(;SZ[2]AB[aa]AW[ba][ab];B[bb])", "XOO.", "after move 0: set-up leaves stones without a liberty", None),
            ("set-up takes stones", "(;SZ[2]AB[aa:ba];AE[aa]AW[bb])", ".X.O", "", None),
            ("off the board", "(;SZ[2:3];B[ca])", "......", "move 1: off the board", None),
            ("bad point", "(;SZ[2];B[a])", "....", "move 1: bad point", None),
            ("large", "(;SZ[21];B[tt];W[tt])", "", "move 2: occupied point", None),
        ];
        for (name, text, board, refusal, superko) in cases {
            let replay = replay(text);
            let go = replay.go.as_ref().unwrap();
            let got = if go.w > 19 { "" } else { go.board.as_str() };
            assert_eq!((got, replay.refusal().unwrap_or_default().as_str(), go.superko), (board, refusal, superko), "{name}");
        }
    }

    #[test]
    fn tells_people_and_programs() {
        let replay = replay("(;SZ[3]PB[a\x1b]PW[\u{9b}]KM[6.5]RE[W+2];B[bb]\n;W[bb])");
        let drawing = replay.drawing();
        let expected =
            "a.sgf game 1: 3x3, 2 moves, a\u{fffd} - \u{fffd}, komi 6.5, result W+2, captures 0 0, move 2: occupied point
  3 . . .
  2 . X .
  1 . . .
    A B C
";
        assert_eq!(drawing, expected);
        let json = replay.json();
        assert!(json.contains(r#""illegal":[2,"occupied"],"superko":null"#) && json.contains(r#""margin":2.0"#), "{json}");
        assert!(json.contains("a\\u001b") && json.contains("\\u009b") && !json.contains('\u{9b}'), "{json}");
        let err = replay.error(Path::new("dir/a.sgf")).unwrap();
        assert_eq!(err.to_string(), "dir/a.sgf:2:4: game 1: move 2: occupied point");
    }

    #[test]
    fn other_games_are_only_named() {
        let replay = replay("(;GM[3]SZ[x])");
        assert_eq!(replay.drawing(), "a.sgf game 1: GM[3], not Go\n");
        assert!(replay.refusal().is_none() && !replay.json().contains("board"));
    }
}
