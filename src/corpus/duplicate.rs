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

/// Works out identities; keeps the codes of moves on the last board sizes, so that a move costs one look-up.
pub(super) struct Identifier {
    /// Moves on 19x19 that make an opening; 0 for none.
    shared_moves: usize,
    tables: Vec<Table>,
    set_up: Vec<(Point, Option<Color>)>,
}

/// Board sizes whose codes are kept: collections of several mix them from game to game. 62 KB for 19x19.
const TABLES_MAX: usize = 4;

/// What moves on boards of one size turn to.
struct Table {
    size: Size,
    /// `turned[y * w + x]`: the point under each symmetry, as `y * w + x` of the moved board.
    turned: Vec<[u16; Symmetry::COUNT]>,
    /// `codes[y * w + x][color]`: the code of a move there under each symmetry.
    codes: Vec<[[u64; Symmetry::COUNT]; 2]>,
    /// Before the first step.
    start: Lanes,
}

/// Lanes after the opening, if there are so many moves, and after all.
struct Told {
    opening: Option<Lanes>,
    end: Lanes,
}

/// Two lanes of 64 bits for each symmetry. A step is a bijection of the state and differs for each code.
type Lanes = [[u64; Symmetry::COUNT]; 2];

impl Identifier {
    pub(super) fn new(shared_moves: usize) -> Identifier {
        Identifier { shared_moves, tables: Vec::new(), set_up: Vec::new() }
    }

    /// The identities of a record: stones by points, in whatever order they are set up, and moves in their order.
    /// Whose turn it is only counts by the moves made.
    pub(super) fn of(&mut self, record: &GameRecord) -> Identity {
        let opening_moves = opening_moves(self.shared_moves, record.size);
        let mut set_up = std::mem::take(&mut self.set_up);
        let told = self.table(record.size).absorb_all(&record.steps, opening_moves, &mut set_up);
        self.set_up = set_up;
        Identity { game: least(&told.end, b'g'), opening: told.opening.map(|lanes| least(&lanes, b'o')) }
    }

    fn table(&mut self, size: Size) -> &Table {
        let known = self.tables.iter().position(|table| table.size == size);
        let table_idx = known.unwrap_or_else(|| {
            self.tables.truncate(TABLES_MAX - 1);
            self.tables.push(Table::new(size));
            self.tables.len() - 1
        });
        &self.tables[table_idx]
    }
}

impl Table {
    fn new(size: Size) -> Table {
        let sides = (size.w(), size.h());
        let turn = |x: usize, y: usize| {
            std::array::from_fn(|i| {
                let symmetry = Symmetry::new(i as u8);
                let (x, y) = symmetry.apply((x, y), sides);
                (y * symmetry.moved_size(sides).0 + x) as u16
            })
        };
        let points = (0..size.h()).flat_map(|y| (0..size.w()).map(move |x| (x, y)));
        let turned: Vec<[u16; Symmetry::COUNT]> = points.map(|(x, y)| turn(x, y)).collect();
        let codes = turned.iter().map(|turned| [0, 1].map(|color| turned.map(|point| code(point, color)))).collect();
        let start: [u64; Symmetry::COUNT] = std::array::from_fn(|i| {
            let (w, h) = Symmetry::new(i as u8).moved_size(sides);
            (w * 64 + h) as u64
        });
        Table { size, turned, codes, start: [start.map(mix), start.map(|sides| mix(sides + (1 << 32)))] }
    }

    fn absorb_all(&self, steps: &[Step], opening_moves: usize, set_up: &mut Vec<(Point, Option<Color>)>) -> Told {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx512dq") && std::arch::is_x86_feature_detected!("avx512f") {
            // SAFETY: both features were just found.
            return unsafe { self.absorb_all_avx512(steps, opening_moves, set_up) };
        }
        self.absorb_steps(steps, opening_moves, set_up)
    }

    /// The same with eight lanes in a register: AVX-512DQ multiplies 64 bits.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512dq")]
    fn absorb_all_avx512(&self, steps: &[Step], opening_moves: usize, set_up: &mut Vec<(Point, Option<Color>)>) -> Told {
        self.absorb_steps(steps, opening_moves, set_up)
    }

    #[inline(always)]
    fn absorb_steps(&self, steps: &[Step], opening_moves: usize, set_up: &mut Vec<(Point, Option<Color>)>) -> Told {
        let (mut lanes, mut n_moves, mut opening) = (self.start, 0, None);
        for step in steps {
            match *step {
                Step::Setup { point, stone } => set_up.push((point, stone)),
                Step::ToMove(_) => {}
                Step::Move { color, mv, .. } => {
                    if !set_up.is_empty() {
                        lanes = absorb(lanes, &self.end_set_up(set_up));
                    }
                    lanes = match mv {
                        Move::Pass => absorb(lanes, &[code(PASS, color.index()); Symmetry::COUNT]),
                        Move::Play(p) => absorb(lanes, &self.codes[self.point_idx(p)][color.index()]),
                    };
                    n_moves += 1;
                    if n_moves == opening_moves {
                        opening = Some(lanes);
                    }
                }
            }
        }
        if !set_up.is_empty() {
            lanes = absorb(lanes, &self.end_set_up(set_up));
        }
        Told { end: lanes, opening }
    }

    /// Stones that stand together make one step, by a sum: their order does not matter. Of a point set twice the last counts.
    fn end_set_up(&self, set_up: &mut Vec<(Point, Option<Color>)>) -> [u64; Symmetry::COUNT] {
        set_up.reverse();
        set_up.sort_by_key(|(point, _)| (point.y(), point.x()));
        set_up.dedup_by_key(|(point, _)| *point);
        let sums = std::array::from_fn(|i| {
            let codes = set_up
                .iter()
                .map(|&(point, stone)| code(self.turned[self.point_idx(point)][i], SET_UP + stone.map_or(2, Color::index)));
            codes.fold(0, u64::wrapping_add)
        });
        set_up.clear();
        sums
    }

    fn point_idx(&self, p: Point) -> usize {
        p.y() * self.size.w() + p.x()
    }
}

/// Stands for the point of a pass.
const PASS: u16 = 0xffff;
/// Kinds of codes: moves are 0 and 1, stones set up follow.
const SET_UP: usize = 2;

fn code(point: u16, kind: usize) -> u64 {
    mix(u64::from(point) << 8 | kind as u64)
}

// Without a closure, which would not be compiled for the features of its caller.
#[inline(always)]
#[allow(clippy::needless_range_loop, reason = "three arrays walk together")]
fn absorb([mut a, mut b]: Lanes, codes: &[u64; Symmetry::COUNT]) -> Lanes {
    for i in 0..Symmetry::COUNT {
        a[i] = (a[i] ^ codes[i]).wrapping_mul(0x9fb2_1c65_1e98_df25);
        a[i] ^= a[i] >> 32;
        b[i] = (b[i].rotate_left(23) ^ codes[i]).wrapping_mul(0xd6e8_feb8_6659_fd93);
        b[i] ^= b[i] >> 29;
    }
    [a, b]
}

fn least(lanes: &Lanes, kind: u8) -> GameHash {
    let hashes = lanes[0].iter().zip(&lanes[1]).map(|(a, b)| {
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
