//! A game of Go as the rest of the house wants it: size, steps, komi, result, players.

use super::collection::{Collection, Game, Lines, trim};
use super::tree::padded;
use super::{GameError, GameResult, MOVES_MAX, RECTANGLE_POINTS_MAX, Reason, SGF_LEN_MAX, komi, shown};
use crate::go::{Color, Move, Point, Size};
use std::ops::Range;

/// The main line of one game and what its root says about it.
#[derive(Clone, Debug, PartialEq)]
pub struct GameRecord {
    /// Number of the game in its file, from 0.
    pub game_idx: u32,
    /// Line of the game's `(`, from 1.
    pub line: u32,
    /// Byte of the line, from 1.
    pub column: u32,
    /// The board: SZ, or 19x19.
    pub size: Size,
    /// What happens on the main line, in order. Within a node: AB, AW, AE, PL, B, W.
    pub steps: Vec<Step>,
    /// Komi in points, Fox's hundredths and Chinese stone counts converted; `None` when absent, unreadable or absurd.
    pub komi: Option<f32>,
    /// KM as written.
    pub komi_raw: Option<String>,
    /// RE, as far as it is understood.
    pub result: GameResult,
    /// RE as written.
    pub result_raw: Option<String>,
    /// RU.
    pub rules: Option<String>,
    /// HA, if it is a number of stones that fits a board.
    pub handicap: Option<u32>,
    /// PB and PW.
    pub players: [Option<String>; 2],
    /// BR and WR.
    pub ranks: [Option<String>; 2],
    /// DT.
    pub date: Option<String>,
    /// EV.
    pub event: Option<String>,
    /// AP: the program or server that wrote the record.
    pub application: Option<String>,
    /// PC: where the game was played, often the server.
    pub place: Option<String>,
    /// TM: main time.
    pub main_time: Option<String>,
    /// OT: overtime; Fox's TC and TT are put in its form, as `3x30 byo-yomi`.
    pub overtime: Option<String>,
    /// Number of the node with the first stones set up: 0 is the root.
    pub setup_node: Option<u32>,
    /// Number of this line among those of its game, from 0: the main line.
    pub line_idx: u32,
    /// Moves at the start that an earlier line of the game has too.
    pub n_shared: usize,
    /// The steps end before a move beside the board: [`OffBoard::End`].
    pub ends_off_board: bool,
    /// The character set the text was read in, where it is not plain ASCII.
    pub charset: Option<String>,
}

/// What a move beside the board does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffBoard {
    /// The game cannot be read: [`Reason::OffBoard`].
    Refuse,
    /// The steps end before it.
    End,
}

/// One thing that happens on the main line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A point is set up (AB, AW) or cleared (AE).
    Setup {
        /// Where.
        point: Point,
        /// Which stone, or none.
        stone: Option<Color>,
    },
    /// PL says whose turn it is.
    ToMove(Color),
    /// B or W.
    Move {
        /// Who.
        color: Color,
        /// What.
        mv: Move,
        /// Line in the file, from 1.
        line: u32,
        /// Byte of the line, from 1.
        column: u32,
    },
}

impl GameRecord {
    /// A game on a board of `size` of which nothing else is known.
    pub fn new(size: Size) -> GameRecord {
        GameRecord {
            game_idx: 0,
            line: 1,
            column: 1,
            size,
            steps: Vec::new(),
            komi: None,
            komi_raw: None,
            result: GameResult::default(),
            result_raw: None,
            rules: None,
            handicap: None,
            players: [None, None],
            ranks: [None, None],
            date: None,
            event: None,
            application: None,
            place: None,
            main_time: None,
            overtime: None,
            setup_node: None,
            line_idx: 0,
            n_shared: 0,
            ends_off_board: false,
            charset: None,
        }
    }

    /// Number of moves, passes included.
    pub fn n_moves(&self) -> usize {
        self.steps.iter().filter(|s| matches!(s, Step::Move { .. })).count()
    }

    /// Reads a game of Go on a board we play.
    pub fn read(game: &Game<'_>) -> Result<GameRecord, GameError> {
        GameRecord::read_with(game, OffBoard::Refuse)
    }

    pub(super) fn read_with(game: &Game<'_>, off_board: OffBoard) -> Result<GameRecord, GameError> {
        if game.kind() != 1 {
            return Err(game.root_error(b"GM", Reason::OtherGame(game.kind())));
        }
        let (w, h) = game.sides()?;
        let size =
            Size::new(w, h).ok_or_else(|| game.root_error(b"SZ", Reason::BoardSize(format!("{w}x{h} is not played here"))))?;
        let mut record = GameRecord::new(size);
        (record.game_idx, record.line, record.column) = (game.game_idx, game.line, game.column);
        record.read_root(game);
        record.read_line(game, game.tree.main_line(), off_board)?;
        Ok(record)
    }

    /// Reads the steps along `nodes`, which lead from the root to somewhere.
    pub(super) fn read_line(
        &mut self,
        game: &Game<'_>,
        nodes: impl Iterator<Item = usize>,
        off_board: OffBoard,
    ) -> Result<(), GameError> {
        let (steps, read) = read_steps(game, nodes, (self.size.w(), self.size.h()));
        (self.steps, self.setup_node) = (steps.list, steps.setup_node);
        match read {
            Err(GameError { reason: Reason::OffBoard(..), .. }) if off_board == OffBoard::End => self.ends_off_board = true,
            read => return read,
        }
        Ok(())
    }

    fn read_root(&mut self, game: &Game<'_>) {
        let text = |name: &[u8]| game.root_text(name).filter(|t| !t.is_empty());
        self.rules = text(b"RU");
        self.komi_raw = text(b"KM");
        self.komi = self.komi_raw.as_deref().and_then(|raw| komi::points(raw, self.rules.as_deref()));
        self.result_raw = text(b"RE");
        self.result = GameResult::parse(self.result_raw.as_deref().unwrap_or_default());
        self.handicap = text(b"HA").and_then(|ha| ha.parse().ok()).filter(|&ha: &u32| ha <= self.size.n_points() as u32);
        self.players = [text(b"PB"), text(b"PW")];
        self.ranks = [text(b"BR"), text(b"WR")];
        self.date = text(b"DT");
        self.event = text(b"EV");
        self.application = text(b"AP");
        self.place = text(b"PC");
        self.main_time = text(b"TM");
        self.overtime = text(b"OT").or_else(|| Some(format!("{}x{} byo-yomi", text(b"TC")?, text(b"TT")?)));
        let names = [&self.players[0], &self.players[1], &self.ranks[0], &self.ranks[1], &self.date, &self.event];
        if names.iter().any(|n| n.as_ref().is_some_and(|n| !n.is_ascii())) {
            self.charset = Some(game.encoding.name().to_string());
        }
    }
}

/// The games of one file, in order: a record, or why there is none. A file without any game gives one error.
///
/// `bytes` is the whole content of the file, in any character set. Whether the moves are legal is not looked at.
pub fn games(bytes: &[u8]) -> impl Iterator<Item = Result<GameRecord, GameError>> {
    games_with(bytes, OffBoard::Refuse)
}

/// As [`games`], and says what a move beside the board does.
pub fn games_with(bytes: &[u8], off_board: OffBoard) -> impl Iterator<Item = Result<GameRecord, GameError>> {
    let mut collection = Collection::new(bytes);
    std::iter::from_fn(move || collection.next_game().map(|game| game.and_then(|game| GameRecord::read_with(&game, off_board))))
}

/// What a node of the main line holds, on boards of any size: columns and rows from 0, from the top left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RawStep {
    /// A node with AB, AW or AE begins; its points follow.
    SetupNode,
    /// The points of a node are set.
    SetupDone,
    Setup {
        x: u8,
        y: u8,
        stone: Option<Color>,
    },
    ToMove(Color),
    Move {
        color: Color,
        mv: RawMove,
    },
}

/// What a B or W value says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RawMove {
    Pass,
    At(u8, u8),
    OffBoard(String),
    Bad(String),
}

/// Where a step stands.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) node_idx: usize,
    /// Offset of its value, or of its property.
    pub(super) at: usize,
}

/// Tells the steps of the main line to `tell`, which ends it by an error. Memory: none.
pub(super) fn main_line<F>(game: &Game<'_>, w: usize, h: usize, tell: F) -> Result<(), GameError>
where
    F: FnMut(Place, RawStep) -> Result<(), Reason>,
{
    line(game, game.tree.main_line(), w, h, tell)
}

/// The same for the line through `nodes`.
fn line<F>(game: &Game<'_>, nodes: impl Iterator<Item = usize>, w: usize, h: usize, mut tell: F) -> Result<(), GameError>
where
    F: FnMut(Place, RawStep) -> Result<(), Reason>,
{
    let mut rectangle_points = 0;
    for node_idx in nodes {
        node_steps(game, node_idx, (w, h), &mut rectangle_points, &mut tell)?;
    }
    Ok(())
}

/// The steps of one node.
fn node_steps<F>(
    game: &Game<'_>,
    node_idx: usize,
    sides: (usize, usize),
    rectangle_points: &mut usize,
    tell: &mut F,
) -> Result<(), GameError>
where
    F: FnMut(Place, RawStep) -> Result<(), Reason>,
{
    let mut tell = |at, step| tell(Place { node_idx, at }, step).map_err(|reason| game.error(at, reason));
    let told = Told::of(game, node_idx);
    if told.sets_up {
        set_up(game, node_idx, sides, rectangle_points, &mut tell)?;
    }
    if let Some(value) = told.to_move
        && let Some(color) = color(&game.bytes[value.clone()])
    {
        tell(value.start, RawStep::ToMove(color))?;
    }
    for (value, color) in told.moves.into_iter().zip([Color::Black, Color::White]) {
        if let Some(value) = value {
            tell(value.start, RawStep::Move { color, mv: read_move(color, &game.bytes[value], sides) })?;
        }
    }
    Ok(())
}

/// What a node says about the play: the first values of PL, B and W, and whether there is a set-up.
#[derive(Default)]
struct Told {
    sets_up: bool,
    to_move: Option<Range<usize>>,
    moves: [Option<Range<usize>>; 2],
}

impl Told {
    /// In one pass over the properties, since most nodes have a single one.
    fn of(game: &Game<'_>, node_idx: usize) -> Told {
        let mut told = Told::default();
        for (name, _, property_idx) in game.tree.properties(node_idx) {
            let place = match &name {
                b"B\0\0\0" => &mut told.moves[0],
                b"W\0\0\0" => &mut told.moves[1],
                b"PL\0\0" => &mut told.to_move,
                b"AB\0\0" | b"AW\0\0" | b"AE\0\0" => {
                    told.sets_up = true;
                    continue;
                }
                _ => continue,
            };
            if place.is_none() {
                *place = game.tree.values(property_idx).next();
            }
        }
        told
    }
}

/// AB, AW and AE of a node, in this order.
fn set_up<F>(
    game: &Game<'_>,
    node_idx: usize,
    sides: (usize, usize),
    rectangle_points: &mut usize,
    tell: &mut F,
) -> Result<(), GameError>
where
    F: FnMut(usize, RawStep) -> Result<(), GameError>,
{
    let mut first = None;
    for (name, stone) in [(b"AB", Some(Color::Black)), (b"AW", Some(Color::White)), (b"AE", None)] {
        for (_, at, property_idx) in game.tree.properties(node_idx).filter(|p| p.0 == padded(name)) {
            if first.is_none() {
                first = Some(at);
                tell(at, RawStep::SetupNode)?;
            }
            for value in game.tree.values(property_idx) {
                let at = value.start;
                let rectangle = setup_points(&game.bytes[value], sides).map_err(|reason| game.error(at, reason))?;
                if rectangle.len() > 1 {
                    *rectangle_points += rectangle.len();
                }
                if *rectangle_points > RECTANGLE_POINTS_MAX {
                    return Err(game.error(at, Reason::TooManyPoints));
                }
                for (x, y) in rectangle.points() {
                    tell(at, RawStep::Setup { x, y, stone })?;
                }
            }
        }
    }
    first.map_or(Ok(()), |at| tell(at, RawStep::SetupDone))
}

/// The steps along `nodes`, up to the fault if there is one.
fn read_steps<'g>(
    game: &'g Game<'g>,
    nodes: impl Iterator<Item = usize>,
    sides: (usize, usize),
) -> (Steps<'g>, Result<(), GameError>) {
    // A node is a move, with few exceptions.
    let mut steps = Steps { list: Vec::with_capacity(nodes.size_hint().0.min(MOVES_MAX)), ..Steps::new(game) };
    let mut rectangle_points = 0;
    for node_idx in nodes {
        let read = match stone(game, node_idx, sides) {
            Some((color, point, at)) if steps.n_moves < MOVES_MAX => {
                steps.stone(color, point, at);
                Ok(())
            }
            _ => node_steps(game, node_idx, sides, &mut rectangle_points, &mut |place, step| steps.add(place, step)),
        };
        if read.is_err() {
            return (steps, read);
        }
    }
    (steps, Ok(()))
}

/// Colour, point and offset of the property of a node that is nothing but a stone played on the board.
fn stone(game: &Game<'_>, node_idx: usize, (w, h): (usize, usize)) -> Option<(Color, Point, usize)> {
    let (name, at, value) = game.tree.sole(node_idx)?;
    let color = match &name {
        b"B\0\0\0" => Color::Black,
        b"W\0\0\0" => Color::White,
        _ => return None,
    };
    // Only `B[` before the value, so that they stand on one line.
    if value.start != at + 2 {
        return None;
    }
    let &[x, y] = game.bytes.get(value)? else { return None };
    let (x, y) = (usize::from(x.wrapping_sub(b'a')), usize::from(y.wrapping_sub(b'a')));
    (x < w && y < h).then(|| (color, Point::new(x, y), at))
}

/// Steps as they are read.
struct Steps<'g> {
    game: &'g Game<'g>,
    list: Vec<Step>,
    setup_node: Option<u32>,
    n_moves: usize,
    lines: Lines,
    /// The node at which `lines` is.
    line_node: usize,
}

impl<'g> Steps<'g> {
    fn new(game: &'g Game<'g>) -> Steps<'g> {
        Steps { game, list: Vec::new(), setup_node: None, n_moves: 0, lines: game.lines, line_node: usize::MAX }
    }

    /// A move of a node with nothing else, whose property is at an offset.
    fn stone(&mut self, color: Color, point: Point, at: usize) {
        self.n_moves += 1;
        let (line, column) = self.lines.seek(self.game.bytes, at);
        self.list.push(Step::Move { color, mv: Move::Play(point), line, column: column.saturating_add(2) });
    }

    fn add(&mut self, Place { node_idx, at }: Place, step: RawStep) -> Result<(), Reason> {
        match step {
            RawStep::SetupNode => self.setup_node = self.setup_node.or(u32::try_from(node_idx).ok()),
            RawStep::SetupDone => {}
            RawStep::Setup { x, y, stone } => {
                self.list.push(Step::Setup { point: Point::new(x.into(), y.into()), stone });
            }
            RawStep::ToMove(color) => self.list.push(Step::ToMove(color)),
            RawStep::Move { color, mv } => {
                self.n_moves += 1;
                if self.n_moves > MOVES_MAX {
                    return Err(Reason::TooManyMoves);
                }
                let mv = match mv {
                    RawMove::Pass => Move::Pass,
                    RawMove::At(x, y) => Move::Play(Point::new(x.into(), y.into())),
                    RawMove::OffBoard(value) => return Err(Reason::OffBoard(self.n_moves, value)),
                    RawMove::Bad(value) => return Err(Reason::BadPoint(self.n_moves, value)),
                };
                if self.line_node != node_idx {
                    // W may stand before B in a node, so only the node's start moves the cursor on.
                    let start = self.game.tree.properties(node_idx).next().map_or(at, |p| p.1);
                    self.lines.seek(self.game.bytes, start);
                    self.line_node = node_idx;
                }
                let mut here = self.lines;
                let (line, column) = here.seek(self.game.bytes, at);
                self.list.push(Step::Move { color, mv, line, column });
            }
        }
        Ok(())
    }
}

fn color(value: &[u8]) -> Option<Color> {
    Color::parse(std::str::from_utf8(trim(value)).ok()?)
}

fn read_move(color: Color, value: &[u8], (w, h): (usize, usize)) -> RawMove {
    let name = if color == Color::Black { "B" } else { "W" };
    match read_point(value, w, h) {
        Vertex::Pass => RawMove::Pass,
        Vertex::At(x, y) if usize::from(x) < w && usize::from(y) < h => RawMove::At(x, y),
        Vertex::At(..) => RawMove::OffBoard(shown(name, value)),
        Vertex::Bad => RawMove::Bad(shown(name, value)),
    }
}

enum Vertex {
    Pass,
    At(u8, u8),
    Bad,
}

/// `tt` is a pass wherever it cannot be a point (`FF[3]`).
fn read_point(value: &[u8], w: usize, h: usize) -> Vertex {
    // Two letters need no trimming.
    let value = if let &[x, y] = value
        && letter(x).is_some()
        && letter(y).is_some()
    {
        value
    } else {
        trim(value)
    };
    match value {
        [] => Vertex::Pass,
        b"tt" if w <= 19 && h <= 19 => Vertex::Pass,
        &[x, y] => match (letter(x), letter(y)) {
            (Some(x), Some(y)) => Vertex::At(x, y),
            _ => Vertex::Bad,
        },
        _ => Vertex::Bad,
    }
}

/// a to z are 0 to 25, A to Z 26 to 51.
fn letter(byte: u8) -> Option<u8> {
    match byte {
        b'a'..=b'z' => Some(byte - b'a'),
        b'A'..=b'Z' => Some(byte - b'A' + 26),
        _ => None,
    }
}

/// Columns and rows of a set-up value, those beside the board left out.
struct Rectangle {
    xs: std::ops::Range<u8>,
    ys: std::ops::Range<u8>,
}

impl Rectangle {
    fn len(&self) -> usize {
        self.xs.len() * self.ys.len()
    }

    fn points(&self) -> impl Iterator<Item = (u8, u8)> {
        let xs = self.xs.clone();
        self.ys.clone().flat_map(move |y| xs.clone().map(move |x| (x, y)))
    }
}

/// `aa`, or `aa:cc` in any two corners. An empty value and `tt` set nothing, as servers write them for no handicap.
fn setup_points(value: &[u8], (w, h): (usize, usize)) -> Result<Rectangle, Reason> {
    let bad = || Reason::BadSetup(shown("", value));
    let side = w.max(h).min(SGF_LEN_MAX) as u8;
    let (from, to) = match value.iter().position(|&b| b == b':') {
        Some(colon) => match (read_point(&value[..colon], w, h), read_point(&value[colon + 1..], w, h)) {
            (Vertex::At(x0, y0), Vertex::At(x1, y1)) => ((x0.min(x1), y0.min(y1)), (x0.max(x1), y0.max(y1))),
            _ => return Err(bad()),
        },
        None => match read_point(value, w, h) {
            Vertex::Pass => ((side, side), (side, side)),
            Vertex::At(x, y) => ((x, y), (x, y)),
            Vertex::Bad => return Err(bad()),
        },
    };
    Ok(Rectangle { xs: from.0..(to.0 + 1).min(w as u8), ys: from.1..(to.1 + 1).min(h as u8) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The steps of a one-game file in one line: `+Xaa` and `-aa` set up, `X!` to move, `Xaa` moves.
    fn steps(text: &str) -> Result<String, String> {
        let record = games(text.as_bytes()).next().unwrap().map_err(|e| e.to_string())?;
        let name = |p: Point| [p.x(), p.y()].map(|i| (b'a' + i as u8) as char).iter().collect::<String>();
        let words = record.steps.iter().map(|step| match *step {
            Step::Setup { point, stone } => {
                format!("{}{}", stone.map_or("-".to_string(), |c| format!("+{}", c.letter())), name(point))
            }
            Step::ToMove(color) => format!("{}!", color.letter()),
            Step::Move { color, mv, .. } => format!("{}{}", color.letter(), mv.point().map_or("-".to_string(), name)),
        });
        Ok(words.collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn steps_of_the_main_line() {
        let cases = [
            ("moves", "(;B[aa];W[ba](;B[tt])(;B[ca]))", "Baa Wba B-"),
            ("passes", "(;SZ[9];B[];W[ tt ];B[\n])", "B- W- B-"),
            ("order in a node", "(;W[dd]B[cc]PL[W]AE[ee]AW[bb]AB[aa])", "+Baa +Wbb -ee W! Bcc Wdd"),
            ("rectangles", "(;SZ[9]AB[aa:ba][ii:hi]AW[dd:dd])", "+Baa +Bba +Bhi +Bii +Wdd"),
            ("beside the board", "(;SZ[9]AB[ia:ka][zz][]AW[tt])", "+Bia"),
            ("old names", "(;SiZe[9]AddBlack[aa]PLayer[black];Black[bb])", "+Baa B! Bbb"),
        ];
        for (name, text, expected) in cases {
            assert_eq!(steps(text).as_deref(), Ok(expected), "{name}");
        }
    }

    #[test]
    fn refusals() {
        let many = "AB[aa:ss]".repeat(46);
        let cases = [
            ("(;SZ[9];B[aa]\n;W[a])", "game 1, line 2, column 4: move 2: bad point W[a]"),
            ("(;SZ[9];B[jj])", "game 1, line 1, column 11: move 1: off the board B[jj]"),
            ("(;SZ[9];B[a\x1b])", "game 1, line 1, column 11: move 1: bad point B[a\\x1b]"),
            ("(;SZ[9]AB[a])", "game 1, line 1, column 11: bad point [a] in the set-up"),
            ("(;SZ[9]AB[aa:])", "game 1, line 1, column 11: bad point [aa:] in the set-up"),
            ("(;SZ[0])", "game 1, line 1, column 6: board size SZ[0]"),
            ("(;SZ[21];B[tt])", "game 1, line 1, column 6: board size 21x21 is not played here"),
            ("(;GM[19]SZ[x])", "game 1, line 1, column 6: GM[19] is not Go"),
            (&format!("(;{many})"), "game 1, line 1, column 411: too many points in compressed lists, at most 16384"),
            (&format!("(;{})", ";B[]".repeat(MOVES_MAX + 1)), "game 1, line 1, column 65542: too many moves, at most 16384"),
        ];
        for (text, expected) in cases {
            assert_eq!(steps(text).as_ref().map_err(String::as_str), Err(expected), "{}", &text[..text.len().min(40)]);
        }
    }

    #[test]
    fn what_the_root_says() {
        let text = "\n(;SZ[9]PB[a]PW[]BR[6d]KM[375]RE[W+R]RU[Chinese]HA[2]DT[2001-01-01]EV[\u{56f2}];B[aa];\nW[bb])";
        let game = games(text.as_bytes()).next().unwrap().unwrap();
        assert_eq!((game.line, game.column, game.n_moves()), (2, 1, 2));
        assert_eq!((game.players.clone(), game.ranks.clone()), ([Some("a".into()), None], [Some("6d".into()), None]));
        assert_eq!((game.komi, game.komi_raw.as_deref(), game.handicap), (Some(7.5), Some("375"), Some(2)));
        assert_eq!((game.result.text().as_str(), game.result_raw.as_deref()), ("W+R", Some("W+R")));
        assert_eq!((game.rules.as_deref(), game.date.as_deref()), (Some("Chinese"), Some("2001-01-01")));
        assert_eq!((game.event.as_deref(), game.charset.as_deref()), (Some("\u{56f2}"), Some("UTF-8")));
        assert!(matches!(game.steps[1], Step::Move { line: 3, column: 3, .. }), "{:?}", game.steps[1]);
        for (ha, expected) in [("0", Some(0)), ("-1", None), ("400", None), ("abc", None), ("", None)] {
            let game = games(format!("(;SZ[9]HA[{ha}])").as_bytes()).next().unwrap().unwrap();
            assert_eq!(game.handicap, expected, "HA[{ha}]");
        }
    }
}
