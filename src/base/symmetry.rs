//! The eight symmetries of a board, numbered as KataGo numbers them.

/// One of the eight: bit 0 flips y, bit 1 flips x, bit 2 transposes, in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Symmetry(u8);

impl Symmetry {
    /// Number of symmetries.
    pub const COUNT: usize = 8;
    /// Leaves everything as it is.
    pub const IDENTITY: Symmetry = Symmetry(0);

    /// The symmetry with this number; the low three bits count.
    pub const fn new(number: u8) -> Symmetry {
        Symmetry(number & 7)
    }

    /// Its number, 0 to 7.
    pub const fn number(self) -> u8 {
        self.0
    }

    /// All eight.
    pub fn all() -> impl Iterator<Item = Symmetry> {
        (0..Symmetry::COUNT as u8).map(Symmetry)
    }

    /// The one that takes this one back.
    pub const fn inverse(self) -> Symmetry {
        match self.0 {
            5 => Symmetry(6),
            6 => Symmetry(5),
            other => Symmetry(other),
        }
    }

    /// Where the point (x, y) of a board of `w` columns and `h` rows goes. A transposed board has `h` columns and `w` rows.
    pub const fn apply(self, (x, y): (usize, usize), (w, h): (usize, usize)) -> (usize, usize) {
        let x = if self.0 & 2 != 0 { w - 1 - x } else { x };
        let y = if self.0 & 1 != 0 { h - 1 - y } else { y };
        if self.0 & 4 != 0 { (y, x) } else { (x, y) }
    }

    /// Columns and rows of the moved board.
    pub const fn moved_size(self, (w, h): (usize, usize)) -> (usize, usize) {
        if self.0 & 4 != 0 { (h, w) } else { (w, h) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_symmetry_and_its_inverse_cancel() {
        for size @ (w, h) in [(2, 2), (3, 5), (19, 19)] {
            for s in Symmetry::all() {
                let mut hit = vec![false; w * h];
                for at in (0..w * h).map(|i| (i % w, i / w)) {
                    let moved = s.apply(at, size);
                    let moved_size = s.moved_size(size);
                    assert_eq!(s.inverse().apply(moved, moved_size), at, "{s:?}");
                    hit[moved.1 * moved_size.0 + moved.0] = true;
                }
                assert!(hit.iter().all(|&h| h), "{s:?} is one to one");
            }
        }
    }
}
