//! Writing a game as `FF[4]`.

use super::{GameRecord, Step};
use crate::go::{Color, Point};
use std::fmt::Write as _;

/// The record as an SGF file in UTF-8. `komi_raw` and `result_raw` come before the numbers, so that nothing is lost.
///
/// Reading it gives the same record, but for lines, columns, the writing program and the name of the character set. Text is kept in the
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
        ("PC", &game.place),
        ("TM", &game.main_time),
        ("OT", &game.overtime),
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

#[cfg(test)]
mod tests {
    use super::super::{GameResult, games};
    use super::*;
    use crate::go::{Move, Size};
    use proptest::prelude::*;

    /// Text in the form that reading gives: trimmed, and never empty.
    fn text() -> impl Strategy<Value = Option<String>> {
        proptest::option::of("[a-zB\\[\\]();:\\\\\u{e9}\u{56f2}][a-z \\[\\]();:\\\\\u{e9}\u{56f2}]{0,8}[a-z\\]\\[:\\\\]")
    }

    fn record() -> impl Strategy<Value = GameRecord> {
        let step = (0..6_u8, 0..361_usize, 0..2_u8);
        let root =
            (text(), text(), text(), text(), proptest::option::of(0..=4_u32), proptest::option::of(-20..20_i8), 0..6_usize);
        (2..=19_usize, 2..=19_usize, proptest::collection::vec(step, 0..40), root).prop_map(|(w, h, steps, root)| {
            let mut record = GameRecord::new(Size::new(w, h).unwrap());
            record.steps = steps.into_iter().map(|(kind, i, color)| step_of(w, h, kind, i, color)).collect();
            record.players = [root.0, root.1];
            record.ranks = [root.2.clone(), None];
            record.place = root.2.clone();
            record.event = root.2;
            record.rules = root.3;
            record.handicap = root.4;
            record.komi = root.5.map(|komi| f32::from(komi) / 2.0);
            record.result = GameResult::parse(["B+R", "W+3.5", "0", "?", "W+T", "B+"][root.6]);
            record
        })
    }

    fn step_of(w: usize, h: usize, kind: u8, i: usize, color: u8) -> Step {
        let point = Point::new(i % w, i / 19 % h);
        let color = if color == 0 { Color::Black } else { Color::White };
        match kind {
            0 => Step::Setup { point, stone: Some(color) },
            1 => Step::Setup { point, stone: None },
            2 => Step::ToMove(color),
            3 => Step::Move { color, mv: Move::Pass, line: 0, column: 0 },
            _ => Step::Move { color, mv: Move::Play(point), line: 0, column: 0 },
        }
    }

    /// Without what depends on the place in a file.
    fn placeless(mut record: GameRecord) -> GameRecord {
        (record.line, record.column, record.charset) = (0, 0, None);
        // Another program wrote it, and may lay out the nodes in another way.
        (record.application, record.setup_node) = (None, None);
        (record.komi_raw, record.result_raw) = (None, None);
        for step in &mut record.steps {
            if let Step::Move { line, column, .. } = step {
                (*line, *column) = (0, 0);
            }
        }
        record
    }

    proptest! {
        #[test]
        fn written_records_are_read_back(record in record()) {
            let text = write(&record);
            let all: Vec<_> = games(text.as_bytes()).collect();
            prop_assert_eq!(all.len(), 1);
            let again = all.into_iter().next().unwrap().unwrap();
            prop_assert_eq!(placeless(again), placeless(record));
        }
    }

    #[test]
    fn looks_like_this() {
        let text = "(;SZ[9:7]KM[375]RE[Black wins by 3]PB[a\\]]AB[aa][bb]AW[cc]PL[W];W[dd];B[];AE[aa];W[ee])";
        let record = games(text.as_bytes()).next().unwrap().unwrap();
        let expected = "(;FF[4]GM[1]CA[UTF-8]AP[edgezero]SZ[9:7]PB[a\\]]KM[375]RE[Black wins by 3]AB[aa][bb]AW[cc]PL[W];W[dd];B[];AE[aa];W[ee])\n";
        assert_eq!(write(&record), expected);
    }
}
