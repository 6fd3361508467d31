//! The games of one file, one after another.

use super::charset::{self, Basis, Pairs};
use super::scan::{Walk, find_bare_game, find_game};
use super::tree::{ARENA_BYTES_MAX, Measure, StopAt, TEXT_BYTES_MAX, Tree, measure};
use super::{GameError, Reason};
use encoding_rs::{Encoding, UTF_8};
use std::borrow::Cow;
use std::ops::Range;

/// How much is read again for character sets that turn out late, in multiples of the file: enough for every honest
/// file, and still linear for the others.
const READ_AGAIN: usize = 8;

/// Reads the games of a file. Not an iterator: the tree of a game is overwritten by the next one.
pub struct Collection<'a> {
    bytes: Cow<'a, [u8]>,
    /// The encoding that a byte order mark told.
    known: Option<&'static Encoding>,
    /// Nothing in the file depends on a character set.
    is_ascii: bool,
    pos: usize,
    /// Where the last game starts.
    start: usize,
    n_games: u32,
    lines: Lines,
    read_again_bytes: usize,
    tree: Tree,
    encoding: &'static Encoding,
    done: bool,
}

/// One well-formed game tree, and the text it is in.
#[derive(Clone, Copy)]
pub struct Game<'a> {
    /// Number of the game in its file, from 0.
    pub game_idx: u32,
    /// Line of its `(`, from 1.
    pub line: u32,
    /// Byte of the line, from 1.
    pub column: u32,
    /// The nodes.
    pub tree: &'a Tree,
    /// The file's text, which places in the tree refer to.
    pub bytes: &'a [u8],
    pub(super) lines: Lines,
    pub(super) encoding: &'static Encoding,
}

impl<'a> Collection<'a> {
    /// The games of a file with this content.
    pub fn new(file: &'a [u8]) -> Collection<'a> {
        let (bytes, known) = charset::to_bytewise(file);
        let (tree, is_ascii) = (Tree::default(), charset::first_unusual(&bytes).is_none());
        Collection {
            bytes,
            known,
            is_ascii,
            pos: 0,
            start: 0,
            n_games: 0,
            lines: Lines::START,
            read_again_bytes: 0,
            tree,
            encoding: UTF_8,
            done: false,
        }
    }

    /// The next game, or why it could not be read. A file without any game gives one error.
    pub fn next_game(&mut self) -> Option<Result<Game<'_>, GameError>> {
        if self.done {
            return None;
        }
        if self.bytes.len() > TEXT_BYTES_MAX {
            return Some(Err(self.end(Reason::TooLarge)));
        }
        let mut start = find_game(&self.bytes, self.pos);
        if start.is_none() && self.n_games == 0 {
            start = find_bare_game(&self.bytes, 0);
        }
        let Some(start) = start else {
            self.done = true;
            return (self.n_games == 0).then(|| Err(self.end(no_game(&self.bytes))));
        };
        let game_idx = self.n_games;
        self.n_games += 1;
        let (end, fault) = self.read(start);
        (self.start, self.pos) = (start, end);
        if let Some((at, reason)) = fault {
            let (line, column) = self.lines.seek(&self.bytes, at);
            return Some(Err(GameError { game_idx, line, column, reason }));
        }
        let (line, column) = self.lines.seek(&self.bytes, start);
        let (tree, bytes) = (&self.tree, &self.bytes[..]);
        Some(Ok(Game { game_idx, line, column, tree, bytes, lines: self.lines, encoding: self.encoding }))
    }

    /// The text of the last game, as far as it could be read: of UTF-16 the same in UTF-8.
    pub fn last_text(&self) -> &[u8] {
        &self.bytes[self.start..self.pos]
    }

    /// Reads the game at `start`; gives its end, and its fault if it has one.
    fn read(&mut self, start: usize) -> (usize, Option<(usize, Reason)>) {
        if self.is_ascii
            && let Some(walk) = self.tree.read_unmeasured(&self.bytes, start, Pairs::Plain)
        {
            self.encoding = UTF_8;
            let n_moves = if walk.closed { 0 } else { self.tree.n_moves() };
            return (walk.end, fault_of(walk, n_moves));
        }
        let (pairs, walk, size) = self.measure(start);
        let (end, is_too_large) = (walk.end, size.arena_bytes() > ARENA_BYTES_MAX);
        let fault = fault_of(walk, size.n_moves).or_else(|| is_too_large.then_some((start, Reason::TooManyNodes)));
        if fault.is_none() {
            self.tree.read(&self.bytes, start, pairs, &size);
        }
        (end, fault)
    }

    /// Finds extent, size and encoding of the game at `start`.
    fn measure(&mut self, start: usize) -> (Pairs, Walk, Measure) {
        let mut pairs = Pairs::Plain;
        let (mut walk, mut size) = measure(&self.bytes, start, pairs, StopAt::Charset);
        let mut label = None;
        if walk.broken_off {
            // Go on in what the root declares; it may not be true.
            label = self.label(&size);
            pairs = label.map_or(Pairs::Plain, Pairs::of);
            (walk, size) = measure(&self.bytes, start, pairs, StopAt::End);
        }
        let (encoding, basis) = match self.known {
            Some(encoding) => (encoding, Basis::Sure),
            None => charset::choose(label, &self.bytes[start..walk.end]),
        };
        self.encoding = encoding;
        let wanted = Pairs::of(self.encoding);
        if wanted != pairs && self.may_read_again(walk.end - start) {
            pairs = wanted;
            (walk, size) = measure(&self.bytes, start, pairs, StopAt::End);
        }
        if basis == Basis::Guess
            && let Some(better) = self.rival(start, pairs, &walk, &size)
        {
            (pairs, walk, size) = better;
        }
        (pairs, walk, size)
    }

    /// Another character set in which the game at `start` makes sense where it makes none, or less, as it was read: a few
    /// characters are too little to guess by, but one that ends like a bracket or an escape shows in the brackets.
    fn rival(&mut self, start: usize, pairs: Pairs, walk: &Walk, size: &Measure) -> Option<(Pairs, Walk, Measure)> {
        let hides = |this: &Self| pairs == Pairs::Plain && charset::may_hide_brackets(&this.bytes[start..walk.end]);
        if walk.fault.is_none() && !hides(self) {
            return None;
        }
        let mut best = None;
        let mut best_plausibility = 0;
        for encoding in charset::RIVALS.into_iter().filter(|&encoding| Pairs::of(encoding) != pairs) {
            if !self.may_read_again(walk.end - start) {
                break;
            }
            let (found, found_size) = measure(&self.bytes, start, Pairs::of(encoding), StopAt::End);
            let better = walk.fault.is_some() || found_size.n_properties > size.n_properties;
            if found.fault.is_some() || !found.closed || !better {
                continue;
            }
            match charset::plausibility(encoding, &self.bytes[start..found.end]) {
                Some(plausibility) if best.is_none() || plausibility > best_plausibility => {
                    (best, best_plausibility) = (Some((Pairs::of(encoding), found, found_size)), plausibility);
                    self.encoding = encoding;
                }
                _ => {}
            }
        }
        best
    }

    /// Whether so many bytes may be read once more; counts them.
    fn may_read_again(&mut self, bytes: usize) -> bool {
        let affordable = self.read_again_bytes <= READ_AGAIN * self.bytes.len();
        self.read_again_bytes += if affordable { bytes } else { 0 };
        affordable
    }

    fn label(&self, size: &Measure) -> Option<&'static Encoding> {
        let value = size.charset.clone()?;
        match self.known {
            Some(encoding) => Some(encoding),
            None => charset::declared(&self.bytes[value]),
        }
    }

    fn end(&mut self, reason: Reason) -> GameError {
        self.done = true;
        GameError { game_idx: 0, line: 1, column: 1, reason }
    }
}

/// The fault of a walk over a game with so many moves. What is left of a cut file without one says nothing about a game.
fn fault_of(walk: Walk, n_moves: usize) -> Option<(usize, Reason)> {
    let is_cut = !walk.closed && n_moves == 0;
    walk.fault.or_else(|| is_cut.then_some((walk.end, Reason::UnexpectedEnd)))
}

impl<'a> Game<'a> {
    /// Text of a SimpleText value: decoded, escapes resolved, line breaks turned to spaces, trimmed.
    pub fn simple_text(&self, value: Range<usize>) -> String {
        let (text, _) = self.encoding.decode_without_bom_handling(&self.bytes[value]);
        simple_text(&text)
    }

    /// Text of the root's first value of that name.
    pub fn root_text(&self, name: &[u8]) -> Option<String> {
        self.tree.first(0, name).map(|value| self.simple_text(value))
    }

    /// The bytes of the root's first value of that name, without white space around.
    pub fn root_bytes(&self, name: &[u8]) -> Option<&'a [u8]> {
        self.tree.first(0, name).map(|value| trim(&self.bytes[value]))
    }

    /// GM: 1 is Go, and so is none.
    pub fn kind(&self) -> u64 {
        let digits = self.root_bytes(b"GM").unwrap_or_default();
        let n = digits.iter().take_while(|b| b.is_ascii_digit()).count();
        if n == 0 {
            return 1;
        }
        digits[..n].iter().fold(0, |gm: u64, d| gm.saturating_mul(10).saturating_add(u64::from(d - b'0')))
    }

    /// SZ: columns and rows, 1 to 52.
    pub fn sides(&self) -> Result<(usize, usize), GameError> {
        let Some(value) = self.root_bytes(b"SZ") else {
            return Ok((19, 19));
        };
        let side = |digits: &[u8]| -> Option<usize> {
            let side: usize = std::str::from_utf8(digits).ok().filter(|s| s.bytes().all(|b| b.is_ascii_digit()))?.parse().ok()?;
            (1..=super::SGF_LEN_MAX).contains(&side).then_some(side)
        };
        let sides = match value.iter().position(|&b| b == b':') {
            Some(colon) => side(&value[..colon]).zip(side(&value[colon + 1..])),
            None => side(value).map(|len| (len, len)),
        };
        sides.ok_or_else(|| self.root_error(b"SZ", Reason::BoardSize(super::shown("SZ", value))))
    }

    /// Line and column of an offset in this game, both from 1.
    pub(super) fn place(&self, at: usize) -> (u32, u32) {
        let mut lines = self.lines;
        lines.seek(self.bytes, at)
    }

    /// An error at an offset in this game.
    pub(super) fn error(&self, at: usize, reason: Reason) -> GameError {
        let (line, column) = self.place(at);
        GameError { game_idx: self.game_idx, line, column, reason }
    }

    /// An error at a value of the root, or at the game's start if that is absent.
    pub(super) fn root_error(&self, name: &[u8], reason: Reason) -> GameError {
        match self.tree.first(0, name) {
            Some(value) => self.error(value.start, reason),
            None => GameError { game_idx: self.game_idx, line: self.line, column: self.column, reason },
        }
    }
}

/// Number of properties in a file of plain ASCII: the scanner alone, without a tree, for a benchmark.
#[doc(hidden)]
pub fn count_properties(bytes: &[u8]) -> usize {
    let (mut pos, mut n_properties) = (0, 0);
    while let Some(start) = find_game(bytes, pos) {
        let (walk, size) = measure(bytes, start, Pairs::Plain, StopAt::End);
        n_properties += size.n_properties;
        pos = walk.end;
    }
    n_properties
}

/// Python's idea of white space, which the corpus was made with.
pub(super) fn trim(bytes: &[u8]) -> &[u8] {
    let space = |b: &u8| matches!(b, b' ' | b'\t'..=b'\r');
    let start = bytes.iter().position(|b| !space(b)).unwrap_or(bytes.len());
    let end = bytes.iter().rposition(|b| !space(b)).map_or(start, |last| last + 1);
    &bytes[start..end]
}

fn simple_text(raw: &str) -> String {
    if raw.bytes().all(|b| matches!(b, b' '..=b'~') && b != b'\\') {
        return raw.trim_matches(' ').to_string();
    }
    let mut text = String::with_capacity(raw.len());
    let mut chars = raw.chars().peekable();
    let breaks = |c: char| matches!(c, '\n' | '\r' | '\t' | '\x0b' | '\x0c');
    let mut in_break = false;
    while let Some(c) = chars.next() {
        let mut c = c;
        if c == '\\' {
            let Some(next) = chars.next() else {
                break;
            };
            if matches!(next, '\n' | '\r') {
                // A soft line break, of one or two characters.
                if chars.peek().is_some_and(|&second| matches!(second, '\n' | '\r') && second != next) {
                    chars.next();
                }
                continue;
            }
            c = next;
        }
        if !breaks(c) {
            text.push(c);
        } else if !in_break {
            text.push(' ');
        }
        in_break = breaks(c);
    }
    text.trim_matches(|c: char| c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)).to_string()
}

/// What a file without a game may be.
fn no_game(bytes: &[u8]) -> Reason {
    match bytes {
        [] => Reason::EmptyFile,
        [0x1f, 0x8b, ..] => Reason::NoGame(Some("gzip data")),
        [b'P', b'K', 3, 4, ..] => Reason::NoGame(Some("a zip archive")),
        [b'<', ..] => Reason::NoGame(Some("HTML or XML")),
        _ => Reason::NoGame(None),
    }
}

/// The place of the next CR or LF in `from..to`, else `to`.
fn next_break(bytes: &[u8], from: usize, to: usize) -> usize {
    let Some(word) = bytes[from..].first_chunk().map(|word| u64::from_le_bytes(*word)) else {
        return from + bytes[from..to].iter().position(|&b| matches!(b, b'\n' | b'\r')).unwrap_or(to - from);
    };
    // The high bit of the first byte that is zero after the exclusive or, and perhaps of later ones.
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word & (ONES << 7);
    let breaks = zeros(word ^ (ONES * u64::from(b'\n'))) | zeros(word ^ (ONES * u64::from(b'\r')));
    let step = if breaks == 0 && to - from > 8 {
        8 + memchr::memchr2(b'\n', b'\r', &bytes[from + 8..to]).unwrap_or(to - from - 8)
    } else {
        breaks.trailing_zeros() as usize / 8
    };
    to.min(from + step)
}

/// A one in each byte.
const ONES: u64 = 0x0101_0101_0101_0101;

/// Line and column of offsets that (nearly) grow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lines {
    pos: usize,
    line: u32,
    line_start: usize,
}

impl Lines {
    const START: Lines = Lines { pos: 0, line: 1, line_start: 0 };

    /// Moves to an offset and tells its line and column, both from 1. CR LF and LF CR are one line end.
    pub(super) fn seek(&mut self, bytes: &[u8], at: usize) -> (u32, u32) {
        if at < self.pos {
            *self = Lines::START;
        }
        while self.pos < at {
            self.pos = next_break(bytes, self.pos, at);
            if self.pos >= at {
                break;
            }
            let byte = bytes[self.pos];
            self.pos += 1;
            let pair = matches!(bytes.get(self.pos), Some(&second @ (b'\n' | b'\r')) if second != byte);
            self.pos += usize::from(pair);
            self.line = self.line.saturating_add(1);
            self.line_start = self.pos;
        }
        let column = (at.max(self.line_start) - self.line_start + 1).min(u32::MAX as usize);
        (self.line, column as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(file: &[u8]) -> Vec<String> {
        let mut collection = Collection::new(file);
        let mut all = Vec::new();
        while let Some(game) = collection.next_game() {
            all.push(match game {
                Ok(game) => format!("{}:{}: {} nodes", game.line, game.column, game.tree.len()),
                Err(err) => err.to_string(),
            });
        }
        all
    }

    #[test]
    fn a_bad_game_costs_only_itself() {
        let cases: [(&str, &[&str]); 9] = [
            ("", &["game 1, line 1, column 1: empty file"]),
            ("Dear all,\n(see below) hello", &["game 1, line 1, column 1: no game tree"]),
            ("\x1f", &["game 1, line 1, column 1: no game tree"]),
            ("<html>", &["game 1, line 1, column 1: no game tree, this looks like HTML or XML"]),
            ("(;B[aa];W[bb])))) (;)", &["1:1: 2 nodes", "1:19: 1 nodes"]),
            (
                "(;B[aa])\n\n(;B[aa]](;W[bb]))\n(;B[aa])",
                &["1:1: 1 nodes", "game 2, line 3, column 8: byte ']' outside a value", "4:1: 1 nodes"],
            ),
            ("(;B[aa]\n(;FF[4];B[aa])", &["1:1: 1 nodes", "2:1: 2 nodes"]),
            ("(;B[aa]) (;FF[4]SZ[9]", &["1:1: 1 nodes", "game 2, line 1, column 22: unexpected end"]),
            ("(FF[4]\r\n;B[aa])", &["1:1: 2 nodes"]),
        ];
        for (text, expected) in cases {
            assert_eq!(told(text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn text_in_any_character_set() {
        let cases: [(&str, &[u8], &str); 10] = [
            ("utf-8", "(;PB[井山裕太];B[aa])".as_bytes(), "井山裕太"),
            ("sjis", b"(;CA[Shift_JIS]PB[\x95\x5c\x83\x5c];B[aa])", "表ソ"),
            ("sjis, CA after the name", b"(;PB[\x8f\xac\x97\xd1];CA[x])(;PB[\x83\x5d\x83\x5d]CA[Shift_JIS];B[aa])", "小林"),
            ("big5", b"(;CA[Big5]PB[\xb3\x5c\xa5\x5c];B[aa])", "許功"),
            ("gb18030", b"(;CA[GB2312]PB[\x8f\x88];B[aa])", "張"),
            ("iso-2022-jp", b"(;CA[ISO-2022-JP]PB[\x1b$B%]\x1b(B];B[aa])", "ポ"),
            ("utf-16", b"\xff\xfe(\0;\0P\0B\0[\0\xe4\x53]\0)\0", "古"),
            ("latin", b"(;PB[M\xfcller];B[aa])", "Müller"),
            ("cut utf-8", b"(;CA[UTF-8]PB[\xe4\xba\x95\xe5\xb1\xb1\xe8\xa3\x95\xe5\xa4\xaa\xe4\xba];B[aa])", "井山裕太\u{fffd}"),
            ("utf-8 called latin", "(;CA[ISO-8859-1]PB[Škerda];B[aa])".as_bytes(), "Škerda"),
        ];
        for (name, file, expected) in cases {
            let mut collection = Collection::new(file);
            let game = collection.next_game().unwrap().unwrap_or_else(|e| panic!("{name}: {e}"));
            if name == "gb18030" {
                assert_eq!(game.root_text(b"PB").map(|t| t.chars().count()), Some(1), "{name}");
                continue;
            }
            let text = game.root_text(b"PB").unwrap();
            assert_eq!(text, expected, "{name}");
        }
    }

    #[test]
    fn simple_text_loses_escapes_and_breaks() {
        let cases = [
            (r"Back\\slash \] \:", r"Back\slash ] :"),
            ("soft\\\nbreak, soft\\\r\nbreak", "softbreak, softbreak"),
            ("two\nlines\r\n\tand more ", "two lines and more"),
            ("\\", ""),
        ];
        for (raw, expected) in cases {
            assert_eq!(simple_text(raw), expected, "{raw:?}");
        }
    }

    #[test]
    fn sizes() {
        let cases = [("", "none"), ("19", "19x19"), (" 9 ", "9x9"), ("19:13", "19x13"), ("52", "52x52"), ("1", "1x1")];
        let bad = ["0", "-9", "+9", "53", "19x19", "19:", ":19", "9:9:9", "99999999999999999999", "nineteen", "1\u{669}"];
        for (sz, expected) in cases.into_iter().chain(bad.map(|sz| (sz, "bad"))) {
            let file = if expected == "none" { "(;)".to_string() } else { format!("(;SZ[{sz}])") };
            let mut collection = Collection::new(file.as_bytes());
            let got = match collection.next_game().unwrap().unwrap().sides() {
                Ok((w, h)) => format!("{w}x{h}"),
                Err(_) => "bad".to_string(),
            };
            assert_eq!(got, if expected == "none" { "19x19" } else { expected }, "SZ[{sz}]");
        }
    }

    #[test]
    fn lines_of_all_kinds() {
        let text = b"a\nb\r\nc\n\rd\re\n\nf";
        let mut lines = Lines::START;
        let places: Vec<_> = b"abcdef".iter().map(|c| lines.seek(text, text.iter().position(|b| b == c).unwrap())).collect();
        assert_eq!(places, [(1, 1), (2, 1), (3, 1), (4, 1), (5, 1), (7, 1)]);
        assert_eq!(lines.seek(text, 0), (1, 1), "back to the start");
    }
}
