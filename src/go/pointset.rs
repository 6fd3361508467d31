//! Sets of points as bits, with the operations of whole boards at once.

use super::point::{CELLS, Point, STRIDE, Size};
use crate::base::limits::BOARD_LEN_MAX;
use std::ops::{BitAnd, BitOr, BitOrAssign, Sub};

/// Points in a list that never allocates.
pub type PointList = heapless::Vec<Point, { BOARD_LEN_MAX * BOARD_LEN_MAX }>;

/// As many as a cache line and a wide register hold: one more than the cells need, and cheaper than an odd number.
const WORDS: usize = CELLS.div_ceil(64).next_power_of_two();

/// A set of points: bit `c % 64` of word `c / 64` is cell `c`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(align(64))]
pub struct PointSet([u64; WORDS]);

impl PointSet {
    /// All points of a board.
    pub fn board(size: Size) -> PointSet {
        let mut set = PointSet::default();
        for y in 0..size.h() {
            set.or_bits((y + 1) * STRIDE + 1, (1 << size.w()) - 1);
        }
        set
    }

    /// Adds a point; true if it is new.
    pub fn insert(&mut self, p: Point) -> bool {
        let (word, bit) = (p.0 as usize / 64, 1u64 << (p.0 % 64));
        let new = self.0[word] & bit == 0;
        self.0[word] |= bit;
        new
    }

    /// Adds a point and the cells next to it; some of these may be wall.
    pub fn insert_with_neighbors(&mut self, p: Point) {
        const CROSS: u64 = 1 | 0b111 << (STRIDE - 1) | 1 << (2 * STRIDE);
        self.or_bits(p.0 as usize - STRIDE, CROSS);
    }

    /// Adds a point or takes it out.
    pub(crate) fn set(&mut self, p: Point, is_in: bool) {
        let (word, shift) = (p.0 as usize / 64, p.0 % 64);
        self.0[word] = self.0[word] & !(1 << shift) | u64::from(is_in) << shift;
    }

    /// Takes a point out.
    pub fn remove(&mut self, p: Point) {
        self.0[p.0 as usize / 64] &= !(1u64 << (p.0 % 64));
    }

    /// Whether the point is in the set.
    pub fn contains(&self, p: Point) -> bool {
        self.0[p.0 as usize / 64] >> (p.0 % 64) & 1 == 1
    }

    /// Whether no point is in the set.
    pub fn is_empty(&self) -> bool {
        self.0.iter().fold(0, |all, word| all | word) == 0
    }

    /// Whether the sets have no point in common.
    pub fn is_disjoint(&self, other: &PointSet) -> bool {
        (*self & *other).is_empty()
    }

    /// Whether at least `n` points are in the set; for small numbers.
    pub fn has(&self, n: usize) -> bool {
        let mut missing = n;
        for mut word in self.0 {
            while word != 0 && missing > 0 {
                word &= word - 1;
                missing -= 1;
            }
        }
        missing == 0
    }

    /// Number of points.
    pub fn len(&self) -> usize {
        self.0.iter().map(|w| w.count_ones() as usize).sum()
    }

    /// The first point, row by row.
    pub fn first(&self) -> Option<Point> {
        let word = self.0.iter().position(|&w| w != 0)?;
        Some(Point((word * 64) as u16 + self.0[word].trailing_zeros() as u16))
    }

    /// The points, row by row.
    pub fn iter(&self) -> impl Iterator<Item = Point> + '_ {
        self.0.iter().enumerate().flat_map(|(i, &word)| {
            let mut left = word;
            std::iter::from_fn(move || {
                if left == 0 {
                    return None;
                }
                let bit = left.trailing_zeros();
                left &= left - 1;
                Some(Point((i * 64) as u16 + bit as u16))
            })
        })
    }

    /// Rows that [`PointSet::rows`] gives at once: those that fit in a word.
    pub const ROWS_AT_ONCE: usize = 64 / STRIDE;

    /// The points as bits, [`PointSet::ROWS_AT_ONCE`] rows of `len` columns at a time, until there were `h` rows:
    /// column 0 of the first row lowest, the next row `len` higher. No point is beyond column `len - 1` or row `h - 1`.
    pub fn rows(&self, h: usize, len: usize) -> impl Iterator<Item = u64> + '_ {
        debug_assert!(h <= BOARD_LEN_MAX && len <= BOARD_LEN_MAX);
        let row = (1u64 << len) - 1;
        (0..h.min(BOARD_LEN_MAX)).step_by(Self::ROWS_AT_ONCE).map(move |y| {
            let at = (y + 1) * STRIDE + 1;
            let (word, shift) = (at / 64, at % 64);
            // In two steps, since a shift by 64 is none.
            let bits = self.0[word] >> shift | self.0[word + 1] << 1 << (63 - shift);
            let wall = STRIDE - len;
            (bits & row) | (bits >> wall & row << len) | (bits >> (2 * wall) & row << (2 * len))
        })
    }

    /// The set and all cells next to it; some of these may be wall.
    pub fn grown(&self) -> PointSet {
        *self | self.neighbors()
    }

    /// The cells next to points of the set; some of these may be wall.
    pub fn neighbors(&self) -> PointSet {
        self.up(1) | self.down(1) | self.up(STRIDE) | self.down(STRIDE)
    }

    /// The points of `inside` that are connected with this set, which is part of it.
    pub fn flooded(&self, inside: &PointSet) -> PointSet {
        #[cfg(target_arch = "x86_64")]
        if wide::is_there() {
            // SAFETY: the processor has what the function was compiled for.
            return PointSet(unsafe { wide::flooded(&self.0, &inside.0) });
        }
        self.flooded_by_words(inside)
    }

    fn flooded_by_words(&self, inside: &PointSet) -> PointSet {
        let mut set = *self;
        loop {
            let next = set.grown() & *inside;
            if (next - set).is_empty() {
                return set;
            }
            set = next;
        }
    }

    /// The connected pieces of the set.
    pub fn pieces(&self) -> impl Iterator<Item = PointSet> + use<> {
        let mut left = *self;
        std::iter::from_fn(move || {
            let piece = PointSet::from_iter([left.first()?]).flooded(&left);
            left = left - piece;
            Some(piece)
        })
    }

    /// Every cell moved to a higher one; `by` is 1 to 63.
    fn up(&self, by: usize) -> PointSet {
        let low = [0].into_iter().chain(self.0);
        PointSet(words(self.0.iter().zip(low).map(|(word, below)| word << by | below >> (64 - by))))
    }

    /// Every cell moved to a lower one; `by` is 1 to 63.
    fn down(&self, by: usize) -> PointSet {
        let high = self.0[1..].iter().copied().chain([0]);
        PointSet(words(self.0.iter().zip(high).map(|(word, above)| word >> by | above << (64 - by))))
    }

    fn or_bits(&mut self, at: usize, bits: u64) {
        let (word, shift) = (at / 64, at % 64);
        self.0[word] |= bits << shift;
        if shift > 0 && word + 1 < WORDS {
            self.0[word + 1] |= bits >> (64 - shift);
        }
    }
}

/// A whole set in one register, where the processor has such.
#[cfg(target_arch = "x86_64")]
mod wide {
    use super::{STRIDE, WORDS};
    use std::arch::x86_64::{
        __m512i, _mm512_alignr_epi64, _mm512_and_si512, _mm512_cmpneq_epi64_mask, _mm512_loadu_epi64, _mm512_or_si512,
        _mm512_setzero_si512, _mm512_shldi_epi64, _mm512_shrdi_epi64, _mm512_storeu_epi64,
    };

    /// Whether the processor can do it.
    pub(super) fn is_there() -> bool {
        is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vbmi2")
    }

    /// [`super::PointSet::flooded`] of the words of two sets.
    #[target_feature(enable = "avx512f,avx512vbmi2")]
    pub(super) fn flooded(set: &[u64; WORDS], inside: &[u64; WORDS]) -> [u64; WORDS] {
        // SAFETY: the arrays are as long as a register.
        let (mut set, inside) = unsafe { (_mm512_loadu_epi64(set.as_ptr().cast()), _mm512_loadu_epi64(inside.as_ptr().cast())) };
        loop {
            // Two steps at a time: to look whether something changed takes as long as a step.
            let next = _mm512_and_si512(grown(_mm512_and_si512(grown(set), inside)), inside);
            if _mm512_cmpneq_epi64_mask(next, set) == 0 {
                break;
            }
            set = next;
        }
        let mut words = [0; WORDS];
        // SAFETY: as above.
        unsafe { _mm512_storeu_epi64(words.as_mut_ptr().cast(), set) };
        words
    }

    #[target_feature(enable = "avx512f,avx512vbmi2")]
    fn grown(set: __m512i) -> __m512i {
        const ROW: i32 = STRIDE as i32;
        let none = _mm512_setzero_si512();
        // The words below and above each.
        let (below, above) = (_mm512_alignr_epi64::<7>(set, none), _mm512_alignr_epi64::<1>(none, set));
        let sides = _mm512_or_si512(_mm512_shldi_epi64::<1>(set, below), _mm512_shrdi_epi64::<1>(set, above));
        let rows = _mm512_or_si512(_mm512_shldi_epi64::<ROW>(set, below), _mm512_shrdi_epi64::<ROW>(set, above));
        _mm512_or_si512(set, _mm512_or_si512(sides, rows))
    }

    const _: () = assert!(WORDS == 8);
}

fn words(from: impl Iterator<Item = u64>) -> [u64; WORDS] {
    let mut out = [0; WORDS];
    out.iter_mut().zip(from).for_each(|(to, word)| *to = word);
    out
}

impl BitAnd for PointSet {
    type Output = PointSet;
    fn bitand(mut self, other: PointSet) -> PointSet {
        self.0.iter_mut().zip(other.0).for_each(|(a, b)| *a &= b);
        self
    }
}

impl BitOr for PointSet {
    type Output = PointSet;
    fn bitor(mut self, other: PointSet) -> PointSet {
        self.0.iter_mut().zip(other.0).for_each(|(a, b)| *a |= b);
        self
    }
}

impl BitOrAssign for PointSet {
    fn bitor_assign(&mut self, other: PointSet) {
        *self = *self | other;
    }
}

/// The points of the first set that are not in the second.
impl Sub for PointSet {
    type Output = PointSet;
    fn sub(mut self, other: PointSet) -> PointSet {
        self.0.iter_mut().zip(other.0).for_each(|(a, b)| *a &= !b);
        self
    }
}

impl FromIterator<Point> for PointSet {
    fn from_iter<I: IntoIterator<Item = Point>>(points: I) -> PointSet {
        let mut set = PointSet::default();
        for p in points {
            set.insert(p);
        }
        set
    }
}

const _: () = assert!(STRIDE < 64 && PointSet::ROWS_AT_ONCE == 3);
// A word follows the one in which the last row begins.
const _: () = assert!((BOARD_LEN_MAX * STRIDE + 1) / 64 + 1 < WORDS);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_of_points() {
        for (w, h) in [(2, 2), (7, 3), (9, 13), (19, 19)] {
            let size = Size::new(w, h).unwrap();
            let all = PointSet::board(size);
            assert_eq!((all.len(), all.first(), all.is_empty()), (w * h, Some(Point::new(0, 0)), false));
            assert!(all.iter().eq(size.points()));
            assert_eq!(size.points().collect::<PointSet>(), all);
            for set in [all, all - PointSet::from_iter([Point::new(w / 2, h / 2)])] {
                let len = w.max(h);
                for (i, bits) in set.rows(h, len).enumerate() {
                    for (row, x) in (0..3).flat_map(|row| (0..len).map(move |x| (row, x))) {
                        let is_in = x < w && 3 * i + row < h && set.contains(Point::new(x, 3 * i + row));
                        assert_eq!(bits >> (row * len + x) & 1 == 1, is_in, "{w}x{h} {i} {row} {x}");
                    }
                }
            }
            for p in size.points() {
                let near = PointSet::from_iter([p]).grown() & all;
                let mut cross = PointSet::default();
                cross.insert_with_neighbors(p);
                assert_eq!(cross & all, near);
                assert_eq!(near, p.neighbors(size).chain([p]).collect());
                assert_eq!(PointSet::from_iter([p]).flooded(&all), all);
                assert_eq!((all - PointSet::from_iter([p])).len(), w * h - 1);
            }
        }
    }

    #[test]
    fn a_flood_is_the_same_in_words_and_in_a_register() {
        use crate::base::rng::rng;
        use rand::Rng as _;
        let mut r = rng(1, 0);
        for (w, h) in [(2, 2), (7, 3), (9, 13), (19, 19)] {
            let size = Size::new(w, h).unwrap();
            for n in 0..200 {
                let inside: PointSet = size.points().filter(|_| r.next_u64() % 5 < 1 + n % 5).collect();
                let set: PointSet = inside.iter().filter(|_| r.next_u64().is_multiple_of(16)).collect();
                assert_eq!(set.flooded(&inside), set.flooded_by_words(&inside), "{size} {set:?} {inside:?}");
                assert!((0..=set.len()).all(|n| set.has(n)) && !set.has(set.len() + 1));
            }
        }
    }

    #[test]
    fn pieces_are_connected_and_apart() {
        let size = Size::square(5).unwrap();
        let column: PointSet = size.points().filter(|p| p.x() == 2).collect();
        let sizes: Vec<usize> = (PointSet::board(size) - column).pieces().map(|piece| piece.len()).collect();
        assert_eq!(sizes, [10, 10]);
    }
}
