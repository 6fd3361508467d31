//! Bytes to tokens, and one walk over the tokens of a game that both measures it and builds its tree.

use super::Reason;
use super::charset::Pairs;
use std::ops::{ControlFlow, Range};

/// The capitals of a property name, padded with zeros. Lower-case letters do not count (`FF[1]` to `FF[3]`).
pub type Name = [u8; 4];

/// The name of every property with more than four capitals: none of them has a meaning here.
pub(super) const LONG_NAME: Name = [0xff; 4];

/// What a walk over a game tells.
pub(super) trait Sink {
    /// `(`
    fn open(&mut self);
    /// `)`
    fn close(&mut self);
    /// `;`, or the first property of a tree that lacks it.
    fn node(&mut self);
    /// A property name, which starts at the offset. Breaking ends the walk.
    fn name(&mut self, name: Name, at: usize);
    /// The bytes between the brackets of a value of the last property. Breaking ends the walk.
    fn value(&mut self, value: Range<usize>) -> ControlFlow<()>;
    /// A node with one B or W and a point of two letters, `;B[pd]`, whose `;` is at the offset: what most of a record is.
    fn move_node(&mut self, name: Name, at: usize) -> ControlFlow<()> {
        self.node();
        self.name(name, at + 1);
        self.value(at + 3..at + 5)
    }
}

/// How a walk ended.
pub(super) struct Walk {
    /// Where to look for the next game.
    pub(super) end: usize,
    /// The first fault and its offset. The sink was told nothing from there on.
    pub(super) fault: Option<(usize, Reason)>,
    /// Whether the last `)` was there. Without it a game may have lost its end.
    pub(super) closed: bool,
    /// Whether the sink broke off.
    pub(super) broken_off: bool,
}

/// The next game from `from`: the offset of its `(`.
pub(super) fn find_game(bytes: &[u8], from: usize) -> Option<usize> {
    let mut pos = from;
    while let Some(step) = bytes.get(pos..)?.iter().position(|&b| b == b'(') {
        let open = pos + step;
        pos = skip_space(bytes, open + 1);
        if bytes.get(pos) == Some(&b';') {
            return Some(open);
        }
    }
    None
}

/// A game without `;` before the root's properties, as the Nihon Ki-in writes them.
pub(super) fn find_bare_game(bytes: &[u8], from: usize) -> Option<usize> {
    let mut pos = from;
    while let Some(step) = bytes.get(pos..)?.iter().position(|&b| b == b'(') {
        let open = pos + step;
        pos = skip_space(bytes, open + 1);
        let letters = bytes[pos..].iter().take_while(|b| b.is_ascii_uppercase()).count();
        if letters > 0 && bytes.get(pos + letters) == Some(&b'[') {
            return Some(open);
        }
    }
    None
}

/// Walks the game whose `(` is at `start`, to its last `)`, and on through a broken game to where it seems to end.
pub(super) fn walk(bytes: &[u8], start: usize, pairs: Pairs, sink: &mut impl Sink) -> Walk {
    let mut lexer = Lexer { bytes, pos: start, pairs };
    let mut state = State::Outside;
    let mut depth = 0_usize;
    let (fault, at) = loop {
        if matches!(state, State::Value | State::Node | State::Open) {
            while let Some((name, at)) = move_node(bytes, lexer.pos) {
                lexer.pos = at + MOVE_NODE_BYTES;
                state = State::Value;
                if sink.move_node(name, at).is_break() {
                    return Walk { end: lexer.pos, fault: None, closed: false, broken_off: true };
                }
            }
        }
        let at = skip_space(bytes, lexer.pos);
        if depth > 0 && opens_new_game(bytes, at) {
            break (ended(state), at);
        }
        let token = lexer.next();
        state = match (token, state) {
            (Token::Open, State::Open) => break (Some(Reason::NoNode), at),
            (Token::Open, _) => {
                depth += 1;
                sink.open();
                State::Open
            }
            (Token::Close, State::Open) => break (Some(Reason::NoNode), at),
            (Token::Close, State::Name(name)) => break (Some(Reason::NoValue(name)), at),
            (Token::Close, _) => {
                depth -= 1;
                sink.close();
                if depth == 0 {
                    return Walk { end: lexer.pos, fault: None, closed: true, broken_off: false };
                }
                State::Closed
            }
            (Token::Node, State::Closed) => break (Some(Reason::NodeAfterVariations), at),
            (Token::Node | Token::Name(_), State::Name(name)) => break (Some(Reason::NoValue(name)), at),
            (Token::Node, _) => {
                sink.node();
                State::Node
            }
            (Token::Name(_), State::Closed) => break (Some(Reason::NodeAfterVariations), at),
            (Token::Name([0, ..]), _) => break (Some(Reason::Junk(bytes[at])), at),
            (Token::Name(name), _) => {
                if state == State::Open {
                    sink.node();
                }
                sink.name(name, at);
                State::Name(name)
            }
            (Token::Value(value), State::Name(_) | State::Value) => {
                if swallowed_move(&bytes[value.clone()]) {
                    break (Some(Reason::MissingBracket), at);
                }
                if sink.value(value).is_break() {
                    return Walk { end: lexer.pos, fault: None, closed: false, broken_off: true };
                }
                State::Value
            }
            (Token::Value(_), _) => break (Some(Reason::NoName), at),
            (Token::Junk(byte), _) => break (Some(Reason::Junk(byte)), at),
            (Token::EndInValue, _) => break (Some(Reason::UnexpectedEnd), at),
            (Token::End, _) => break (ended(state), at),
        };
    };
    // The token at fault counts again, since it may open or close a tree.
    lexer.pos = at;
    let end = if fault.is_none() { at } else { skip_game(&mut lexer, depth) };
    Walk { end, fault: fault.map(|reason| (at, reason)), closed: false, broken_off: false }
}

/// Length of `;B[pd]`.
const MOVE_NODE_BYTES: usize = 6;

/// The node `;B[pd]` or `;W[pd]` after at most two bytes of white space (a line end): its property and the place of its `;`.
fn move_node(bytes: &[u8], from: usize) -> Option<(Name, usize)> {
    let mut word = u64::from_le_bytes(*bytes.get(from..)?.first_chunk()?);
    let mut at = from;
    for _ in 0..2 {
        if is_space(word as u8) {
            word >>= 8;
            at += 1;
        }
    }
    // ';', the colour, '[', two letters, ']': the places of what is the same in every such node, and what stands there.
    const SAME: u64 = 0xff_00_00_ff_00_ff;
    const PUNCTUATION: u64 = u64::from_le_bytes(*b";\0[\0\0]\0\0");
    let letter = |i: u32| ((word >> (8 * i)) as u8).is_ascii_alphabetic();
    let name = match (word >> 8) as u8 {
        b'B' => *b"B\0\0\0",
        b'W' => *b"W\0\0\0",
        _ => return None,
    };
    (word & SAME == PUNCTUATION && letter(3) && letter(4)).then_some((name, at))
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Outside,
    /// After `(`.
    Open,
    /// After `;`.
    Node,
    /// After a property name.
    Name(Name),
    /// After a value.
    Value,
    /// After `)`.
    Closed,
}

/// The fault of a game that ends before its last `)`: none where nothing but that is missing.
fn ended(state: State) -> Option<Reason> {
    match state {
        State::Value | State::Closed => None,
        _ => Some(Reason::UnexpectedEnd),
    }
}

/// After a fault: on to the `)` that ends the game, or to what looks like the next one.
fn skip_game(lexer: &mut Lexer<'_>, mut depth: usize) -> usize {
    loop {
        let at = skip_space(lexer.bytes, lexer.pos);
        if opens_new_game(lexer.bytes, at) {
            return at;
        }
        match lexer.next() {
            Token::Open => depth += 1,
            Token::Close if depth <= 1 => return lexer.pos,
            Token::Close => depth -= 1,
            Token::End | Token::EndInValue => return lexer.bytes.len(),
            _ => {}
        }
    }
}

/// Whether `(;` with a property that only a root may have stands here: the game before lacks a `)`.
fn opens_new_game(bytes: &[u8], at: usize) -> bool {
    if bytes.get(at) != Some(&b'(') {
        return false;
    }
    let node = skip_space(bytes, at + 1);
    if bytes.get(node) != Some(&b';') {
        return false;
    }
    let name = skip_space(bytes, node + 1);
    matches!(bytes.get(name..name + 3), Some(b"FF[" | b"GM[" | b"SZ[" | b"CA[" | b"AP["))
}

/// Whether a value ends like `…;B[cc`: its own `]` is missing, and it took the next move for text.
fn swallowed_move(value: &[u8]) -> bool {
    let letters = value.iter().rev().take(3).take_while(|b| b.is_ascii_alphabetic()).count();
    if letters > 2 {
        return false;
    }
    matches!(value[..value.len() - letters], [.., b';', b'B' | b'W', b'['])
}

fn skip_space(bytes: &[u8], from: usize) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    from + rest.iter().position(|&b| !is_space(b)).unwrap_or(rest.len())
}

/// White space between tokens. Control characters, NUL among them, are found there and mean nothing.
fn is_space(byte: u8) -> bool {
    byte <= b' '
}

enum Token {
    Open,
    Close,
    Node,
    Name(Name),
    Value(Range<usize>),
    Junk(u8),
    End,
    EndInValue,
}

/// Values from this length on are looked through many bytes at a time; most are shorter, where that costs more than it saves.
const LONG_VALUE_BYTES: usize = 16;

struct Lexer<'a> {
    bytes: &'a [u8],
    pos: usize,
    pairs: Pairs,
}

impl Lexer<'_> {
    fn next(&mut self) -> Token {
        self.pos = skip_space(self.bytes, self.pos);
        let Some(&byte) = self.bytes.get(self.pos) else {
            return Token::End;
        };
        if byte.is_ascii_alphabetic() {
            return Token::Name(self.name());
        }
        self.pos += 1;
        match byte {
            b'(' => Token::Open,
            b')' => Token::Close,
            b';' => Token::Node,
            b'[' => self.value(),
            other => Token::Junk(other),
        }
    }

    fn name(&mut self) -> Name {
        let mut name = [0; 4];
        let mut n_capitals = 0;
        while let Some(&byte) = self.bytes.get(self.pos) {
            if byte.is_ascii_uppercase() {
                match name.get_mut(n_capitals) {
                    Some(letter) => *letter = byte,
                    None => name = LONG_NAME,
                }
                n_capitals += 1;
            } else if !(byte.is_ascii_alphanumeric() || byte == b'_') {
                break;
            }
            self.pos += 1;
        }
        name
    }

    fn value(&mut self) -> Token {
        let start = self.pos;
        let bytes = self.bytes;
        let mut pos = start;
        while let Some(&byte) = bytes.get(pos) {
            let is_long = pos - start >= LONG_VALUE_BYTES && self.pairs == Pairs::Plain;
            pos += match byte {
                b']' => {
                    self.pos = pos + 1;
                    return Token::Value(start..pos);
                }
                b'\\' => 2,
                // A comment: on to what can end it, many bytes at a time.
                _ if is_long => memchr::memchr2(b']', b'\\', &bytes[pos..]).unwrap_or(bytes.len()),
                0x80.. if self.pairs != Pairs::Plain => match bytes.get(pos + 1) {
                    Some(&trail) if self.pairs.joins(byte, trail) => 2,
                    _ => 1,
                },
                0x1b if self.pairs == Pairs::Iso2022Jp => two_byte_run(&bytes[pos..]),
                _ => 1,
            };
        }
        self.pos = bytes.len();
        Token::EndInValue
    }
}

/// The length of `ESC $ B` and the two-byte characters after it, or of another escape sequence's first byte.
fn two_byte_run(bytes: &[u8]) -> usize {
    if !matches!(bytes.get(1..3), Some(b"$B" | b"$@")) {
        return 1;
    }
    let run = bytes[3..].chunks(2).take_while(|pair| pair[0] > b' ' && pair[0] < 0x7f).map(<[u8]>::len).sum::<usize>();
    3 + run
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The calls of a walk in one line.
    #[derive(Default)]
    struct Told(String);

    impl Sink for Told {
        fn open(&mut self) {
            self.0.push('(');
        }
        fn close(&mut self) {
            self.0.push(')');
        }
        fn node(&mut self) {
            self.0.push(';');
        }
        fn name(&mut self, name: Name, _at: usize) {
            self.0.push_str(&super::super::name_text(name));
        }
        fn value(&mut self, value: Range<usize>) -> ControlFlow<()> {
            self.0.push_str(&format!("[{}]", value.len()));
            ControlFlow::Continue(())
        }
    }

    #[test]
    fn walks() {
        let cases: [(&str, &[u8], Pairs, &str, usize); 12] = [
            ("plain", b"(;B[aa](;W[])(;W[b]))x", Pairs::Plain, "(;B[2](;W[0])(;W[1]))", 21),
            ("spaces and names", b"( ;\nCoPyright [x]\0 y[", Pairs::Plain, "(;CP[1]", 21),
            ("long names", b"(;ABCDE[]KO2_x[])", Pairs::Plain, "(;...[0]KO[0])", 17),
            ("no first ;", b"(FF[4];B[aa])", Pairs::Plain, "(;FF[1];B[2])", 13),
            ("escapes", br"(;C[a\]b\\]N[\\\]])", Pairs::Plain, "(;C[6]N[4])", 19),
            ("sjis", b"(;C[\x95\x5c]N[\x83\x5d])", Pairs::ShiftJis, "(;C[2]N[2])", 13),
            ("not sjis", b"(;C[\x95\x5c]N[\x83])", Pairs::Plain, "(;C[6])", 12),
            ("big5", b"(;C[\xa5\x5c])", Pairs::Big5, "(;C[2])", 8),
            ("gb", b"(;C[\x81\x30\x81\x30\x81\x5d])", Pairs::Gb, "(;C[6])", 12),
            ("iso-2022-jp", b"(;C[\x1b$B%]\x1b(B])", Pairs::Iso2022Jp, "(;C[8])", 14),
            ("cut after a value", b"(;B[aa];W[bb]", Pairs::Plain, "(;B[2];W[2]", 13),
            ("next game too early", b"(;B[aa]\n(;FF[4];W[bb])", Pairs::Plain, "(;B[2]", 8),
        ];
        for (name, bytes, pairs, expected, end) in cases {
            let mut told = Told::default();
            let walk = walk(bytes, 0, pairs, &mut told);
            assert_eq!((told.0.as_str(), walk.end), (expected, end), "{name}");
        }
    }

    #[test]
    fn faults() {
        let cases: [(&str, usize, Reason); 12] = [
            ("(;B[aa", 3, Reason::UnexpectedEnd),
            ("(;B", 3, Reason::UnexpectedEnd),
            ("(;B[aa];", 8, Reason::UnexpectedEnd),
            ("(;C[a\\", 3, Reason::UnexpectedEnd),
            ("((;B[aa]))", 1, Reason::NoNode),
            ("(;B[aa]())", 8, Reason::NoNode),
            ("(;(;B[aa]);W[bb])", 10, Reason::NodeAfterVariations),
            ("(;PB;B[aa])", 4, Reason::NoValue(*b"PB\0\0")),
            ("(;[aa])", 2, Reason::NoName),
            ("(;C[[a] b];B[aa])", 8, Reason::Junk(b'b')),
            ("(;C[a]-;B[aa])", 6, Reason::Junk(b'-')),
            ("(;PB[x;B[cc];W[gc])", 4, Reason::MissingBracket),
        ];
        for (text, at, reason) in cases {
            let walk = walk(text.as_bytes(), 0, Pairs::Plain, &mut Told::default());
            assert_eq!((walk.fault, walk.end), (Some((at, reason)), text.len()), "{text}");
        }
    }

    #[test]
    fn finds_games() {
        assert_eq!(find_game(b"see (below) ( \n;B[aa])", 0), Some(12));
        assert_eq!(find_game(b"(;)", 1), None);
        assert_eq!(find_bare_game(b"see (TX) (\r\nTE[x];B[aa])", 0), Some(9));
    }
}
