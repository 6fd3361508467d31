//! The same game again: identities that do not change when a board is turned or mirrored, and the table of those seen.

use crate::base::rng::mix;
use crate::base::symmetry::Symmetry;
use crate::go::{Color, Move, Point, Size};
use crate::sgf::{GameRecord, Step};
use crate::shard::GameHash;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{PoisonError, RwLock};

/// Identities of one game, each the least of those of its eight turned and mirrored copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    /// Set-up and all moves.
    pub game: GameHash,
    /// Set-up and the first moves, where there are so many.
    pub opening: Option<GameHash>,
}

/// Works out identities; keeps the turned points of the last board size, so that a move costs eight look-ups.
pub(super) struct Identifier {
    /// Moves on 19x19 that make an opening; 0 for none.
    shared_moves: usize,
    size: Option<Size>,
    /// `turned[y * w + x]`: the point under each symmetry, as `y * w + x` of the moved board.
    turned: Vec<[u16; Symmetry::COUNT]>,
    set_up: Vec<(Point, Option<Color>)>,
}

/// Two lanes of 64 bits for each symmetry. A step is a bijection of the state and differs for each code.
type Lanes = [[u64; 2]; Symmetry::COUNT];

impl Identifier {
    pub(super) fn new(shared_moves: usize) -> Identifier {
        Identifier { shared_moves, size: None, turned: Vec::new(), set_up: Vec::new() }
    }

    /// The identities of a record: stones by points, in whatever order they are set up, and moves in their order.
    /// Whose turn it is only counts by the moves made.
    pub(super) fn of(&mut self, record: &GameRecord) -> Identity {
        self.prepare(record.size);
        let opening_moves = opening_moves(self.shared_moves, record.size);
        let mut lanes: Lanes = std::array::from_fn(|i| {
            let (w, h) = Symmetry::new(i as u8).moved_size((record.size.w(), record.size.h()));
            [mix((w * 64 + h) as u64), mix((w * 64 + h) as u64 + (1 << 32))]
        });
        let (mut n_moves, mut opening) = (0, None);
        for step in &record.steps {
            match *step {
                Step::Setup { point, stone } => self.set_up.push((point, stone)),
                Step::ToMove(_) => {}
                Step::Move { color, mv, .. } => {
                    self.end_set_up(&mut lanes);
                    self.absorb(&mut lanes, color, mv);
                    n_moves += 1;
                    if n_moves == opening_moves {
                        opening = Some(least(&lanes, b'o'));
                    }
                }
            }
        }
        self.end_set_up(&mut lanes);
        Identity { game: least(&lanes, b'g'), opening }
    }

    fn prepare(&mut self, size: Size) {
        if self.size == Some(size) {
            return;
        }
        let sides = (size.w(), size.h());
        let turn = |x: usize, y: usize| {
            std::array::from_fn(|i| {
                let symmetry = Symmetry::new(i as u8);
                let (x, y) = symmetry.apply((x, y), sides);
                (y * symmetry.moved_size(sides).0 + x) as u16
            })
        };
        self.turned = (0..size.h()).flat_map(|y| (0..size.w()).map(move |x| (x, y))).map(|(x, y)| turn(x, y)).collect();
        self.size = Some(size);
    }

    fn absorb(&self, lanes: &mut Lanes, color: Color, mv: Move) {
        match mv {
            Move::Pass => {
                let code = code(PASS, color.index());
                lanes.iter_mut().for_each(|lane| step(lane, code));
            }
            Move::Play(p) => {
                let turned = &self.turned[self.point_idx(p)];
                for (lane, &point) in lanes.iter_mut().zip(turned) {
                    step(lane, code(point, color.index()));
                }
            }
        }
    }

    /// Stones that stand together make one step, by a sum: their order does not matter. Of a point set twice the last counts.
    fn end_set_up(&mut self, lanes: &mut Lanes) {
        if self.set_up.is_empty() {
            return;
        }
        let mut set_up = std::mem::take(&mut self.set_up);
        set_up.reverse();
        set_up.sort_by_key(|(point, _)| (point.y(), point.x()));
        set_up.dedup_by_key(|(point, _)| *point);
        for (i, lane) in lanes.iter_mut().enumerate() {
            let codes = set_up
                .iter()
                .map(|&(point, stone)| code(self.turned[self.point_idx(point)][i], SET_UP + stone.map_or(2, Color::index)));
            step(lane, codes.fold(0, u64::wrapping_add));
        }
        set_up.clear();
        self.set_up = set_up;
    }

    fn point_idx(&self, p: Point) -> usize {
        p.y() * self.size.map_or(0, |size| size.w()) + p.x()
    }
}

/// Stands for the point of a pass.
const PASS: u16 = 0xffff;
/// Kinds of codes: moves are 0 and 1, stones set up follow.
const SET_UP: usize = 2;

fn code(point: u16, kind: usize) -> u64 {
    mix(u64::from(point) << 8 | kind as u64)
}

fn step(lane: &mut [u64; 2], code: u64) {
    lane[0] = (lane[0] ^ code).wrapping_mul(0x9fb2_1c65_1e98_df25);
    lane[0] ^= lane[0] >> 32;
    lane[1] = (lane[1].rotate_left(23) ^ code).wrapping_mul(0xd6e8_feb8_6659_fd93);
    lane[1] ^= lane[1] >> 29;
}

fn least(lanes: &Lanes, kind: u8) -> GameHash {
    let hashes = lanes.iter().map(|&[a, b]| {
        let mut hash = [0; 16];
        hash[..8].copy_from_slice(&mix(a ^ u64::from(kind)).to_be_bytes());
        hash[8..].copy_from_slice(&mix(b ^ u64::from(kind)).to_be_bytes());
        GameHash(hash)
    });
    hashes.min().expect("eight symmetries")
}

/// `moves` on 19x19 and fewer on smaller boards, by their side: 60 become 28 on 9x9, about the same stage of a game.
fn opening_moves(moves: usize, size: Size) -> usize {
    moves * size.len_max() / 19
}

/// Games and openings seen, and the ledger line of each. 16 bytes an identity, 17 to 34 with the free places of the table.
#[derive(Default)]
pub(super) struct Seen {
    lines: RwLock<HashMap<Key, u32, BuildHasherDefault<FirstBytes>>>,
}

/// The first 12 bytes of an identity: two of ten million games are taken for one with a chance of 1e-15.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key([u32; 3]);

impl Seen {
    /// The line of the game that was noted with this identity.
    pub(super) fn line(&self, hash: GameHash) -> Option<u32> {
        self.lines.read().unwrap_or_else(PoisonError::into_inner).get(&key(hash)).copied()
    }

    /// Notes an identity with its ledger line, or gives the line it was first noted with.
    pub(super) fn note(&self, hash: GameHash, line: u32) -> Option<u32> {
        match self.lines.write().unwrap_or_else(PoisonError::into_inner).entry(key(hash)) {
            Entry::Occupied(first) => Some(*first.get()),
            Entry::Vacant(place) => {
                place.insert(line);
                None
            }
        }
    }
}

fn key(hash: GameHash) -> Key {
    let part = |i: usize| u32::from_le_bytes([hash.0[i], hash.0[i + 1], hash.0[i + 2], hash.0[i + 3]]);
    Key([part(0), part(4), part(8)])
}

/// Identities are scattered already: their first bytes are as good as any hash of them.
#[derive(Default)]
struct FirstBytes(u64);

impl Hasher for FirstBytes {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u32(byte.into()));
    }

    fn write_u32(&mut self, part: u32) {
        self.0 = self.0.rotate_left(32) ^ u64::from(part);
    }

    fn write_usize(&mut self, _: usize) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sgf;

    fn identity(text: &str) -> Identity {
        let record = sgf::games(text.as_bytes()).next().unwrap().unwrap();
        // An opening of 3 moves on 9x9.
        Identifier::new(7).of(&record)
    }

    #[test]
    fn one_game_has_one_identity() {
        let a = identity("(;SZ[9]AB[ca][ea]AW[dd];B[ba];W[cc];B[];W[hh])");
        let same = [
            ("comments", "(;SZ[9]C[x]AB[ca][ea]AW[dd];B[ba]C[y];W[cc];B[tt];W[hh])"),
            ("order", "(;SZ[9]AW[dd]AB[ea][ca]PL[B];B[ba];W[cc];B[];W[hh])"),
            ("later nodes", "(;SZ[9];AB[ea];AW[dd]AB[ca];B[ba];W[cc];B[];W[hh])"),
            ("set twice", "(;SZ[9]AB[ca][ea];AW[dd][ea];AB[ea];B[ba];W[cc];B[];W[hh])"),
            ("transposed", "(;SZ[9]AB[ac][ae]AW[dd];B[ab];W[cc];B[];W[hh])"),
            ("mirrored", "(;SZ[9]AB[ga][ea]AW[fd];B[ha];W[gc];B[];W[bh])"),
        ];
        for (name, text) in same {
            assert_eq!(identity(text), a, "{name}");
        }
        let other = [
            ("shorter", "(;SZ[9]AB[ca][ea]AW[dd];B[ba];W[cc];B[])"),
            ("another move", "(;SZ[9]AB[ca][ea]AW[dd];B[ba];W[cc];B[];W[hg])"),
            ("colours", "(;SZ[9]AB[ca][ea]AW[dd];W[ba];W[cc];B[];W[hh])"),
            ("colours of stones", "(;SZ[9]AB[ca][dd]AW[ea];B[ba];W[cc];B[];W[hh])"),
            ("board", "(;SZ[10]AB[ca][ea]AW[dd];B[ba];W[cc];B[];W[hh])"),
            ("order of moves", "(;SZ[9]AB[ca][ea]AW[dd];B[];W[cc];B[ba];W[hh])"),
        ];
        for (name, text) in other {
            assert_ne!(identity(text).game, a.game, "{name}");
        }
        assert_eq!(identity("(;SZ[5:7];B[ba])").game, identity("(;SZ[7:5];B[ab])").game);
    }

    #[test]
    fn openings_are_told_apart_after_their_moves() {
        let a = identity("(;SZ[9];B[ba];W[cc];B[dd];W[ee];B[ff])");
        let b = identity("(;SZ[9];B[ab];W[cc];B[dd];W[ef])");
        assert!(a.game != b.game && a.opening == b.opening && a.opening.is_some());
        assert_ne!(identity("(;SZ[9];B[ba];W[cc];B[de];W[ee])").opening, a.opening);
        assert_eq!(identity("(;SZ[9];B[ba];W[cc])").opening, None);
        assert_eq!(opening_moves(60, Size::square(9).unwrap()), 28);
    }

    #[test]
    fn the_first_line_stays() {
        let (seen, hash) = (Seen::default(), identity("(;SZ[9];B[ba])").game);
        assert_eq!((seen.line(hash), seen.note(hash, 3), seen.note(hash, 5), seen.line(hash)), (None, None, Some(3), Some(3)));
        assert_eq!(std::mem::size_of::<(Key, u32)>(), 16);
    }
}
