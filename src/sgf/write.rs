//! Writing a game as FF[4].

use super::{GameRecord, Step};
use crate::go::{Color, Point};
use std::fmt::Write as _;

/// The record as an SGF file in UTF-8. `komi_raw` and `result_raw` come before the numbers, so that nothing is lost.
///
/// Reading it gives the same record, but for lines, columns and the name of the character set. Text is kept in the
/// form reading gives it: trimmed, and without line breaks.
pub fn write(game: &GameRecord) -> String {
    let mut out = String::with_capacity(256 + 8 * game.steps.len());
    out.push_str("(;FF[4]GM[1]CA[UTF-8]AP[edgezero]");
    let (w, h) = (game.size.w(), game.size.h());
    // Writing to a string cannot fail.
    let _ = if w == h { write!(out, "SZ[{w}]") } else { write!(out, "SZ[{w}:{h}]") };
    let komi = game.komi_raw.clone().or_else(|| game.komi.map(|komi| komi.to_string()));
    let result = game.result_raw.clone().or_else(|| game.result.winner.map(|_| game.result.text()));
    let handicap = game.handicap.map(|n| n.to_string());
    let fields = [
        ("PB", &game.players[0]),
        ("PW", &game.players[1]),
        ("BR", &game.ranks[0]),
        ("WR", &game.ranks[1]),
        ("DT", &game.date),
        ("EV", &game.event),
        ("RU", &game.rules),
        ("KM", &komi),
        ("HA", &handicap),
        ("RE", &result),
    ];
    for (name, text) in fields {
        if let Some(text) = text {
            let _ = write!(out, "{name}[{}]", escaped(text));
        }
    }
    Steps { out: &mut out, node: Node::Root, in_list: None }.write(&game.steps);
    out.push_str(")\n");
    out
}

/// Where in its node the writer stands. Setup comes before PL, PL before a move: the order they are read in.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Node {
    Root,
    Black,
    White,
    Empty,
    ToMove,
    Move,
}

struct Steps<'a> {
    out: &'a mut String,
    node: Node,
    in_list: Option<Node>,
}

impl Steps<'_> {
    fn write(mut self, steps: &[Step]) {
        let mut n_moves = 0;
        for step in steps {
            match *step {
                Step::Setup { point, stone } => self.setup(point, stone),
                Step::ToMove(color) => {
                    self.enter(Node::ToMove);
                    let _ = write!(self.out, "PL[{}]", color.letter());
                }
                Step::Move { color, mv, .. } => {
                    self.new_node(Node::Move);
                    n_moves += 1;
                    let line_end = if n_moves % 10 == 0 { "\n" } else { "" };
                    let _ = write!(self.out, "{}[{}]{line_end}", color.letter(), point_text(mv.point()));
                }
            }
        }
    }

    fn setup(&mut self, point: Point, stone: Option<Color>) {
        let (list, name) = match stone {
            Some(Color::Black) => (Node::Black, "AB"),
            Some(Color::White) => (Node::White, "AW"),
            None => (Node::Empty, "AE"),
        };
        if self.in_list != Some(list) {
            self.enter(list);
            self.out.push_str(name);
            self.in_list = Some(list);
        }
        let _ = write!(self.out, "[{}]", point_text(Some(point)));
    }

    /// Goes on in this node if `part` may still follow in it, else in a new one.
    fn enter(&mut self, part: Node) {
        if part <= self.node {
            self.new_node(part);
        }
        self.node = part;
        self.in_list = None;
    }

    fn new_node(&mut self, part: Node) {
        self.out.push(';');
        self.node = part;
        self.in_list = None;
    }
}

fn point_text(point: Option<Point>) -> String {
    let letter = |i: usize| (b'a' + i as u8) as char;
    point.map(|p| [letter(p.x()), letter(p.y())].iter().collect()).unwrap_or_default()
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        // An unescaped [ in a text can look like a move after a missing ].
        if matches!(c, '\\' | ']' | '[' | ':') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

// The letters of points end at s, so that `tt` is never written for one.
const _: () = assert!(crate::base::limits::BOARD_LEN_MAX <= 19);
