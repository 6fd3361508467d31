//! The eight symmetries of the square in KataGo's numbering: bit 0 flips y, bit 1 flips x, bit 2 transposes;
//! the flips come first. A board of `w x h` becomes one of `h x w` when transposed.

/// Number of symmetries.
pub const N_SYMMETRIES: u8 = 8;

/// Where the point (`x`, `y`) of a board of `w x h` points goes.
pub const fn moved(symmetry: u8, (x, y): (usize, usize), (w, h): (usize, usize)) -> (usize, usize) {
    let y = if symmetry & 1 != 0 { h - 1 - y } else { y };
    let x = if symmetry & 2 != 0 { w - 1 - x } else { x };
    if symmetry & 4 != 0 { (y, x) } else { (x, y) }
}

/// Where a policy index (`y * len + x`, or `len * len` for a pass) of a board of `w x h` points goes.
pub const fn moved_index(symmetry: u8, index: usize, (w, h): (usize, usize), len: usize) -> usize {
    if index >= len * len {
        return index;
    }
    let (x, y) = moved(symmetry, (index % len, index / len), (w, h));
    y * len + x
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_symmetry_is_a_bijection_into_the_moved_board() {
        let (w, h, len) = (5, 3, 7);
        for s in 0..N_SYMMETRIES {
            let (mw, mh) = if s & 4 != 0 { (h, w) } else { (w, h) };
            let mut seen = vec![false; len * len];
            for y in 0..h {
                for x in 0..w {
                    let i = moved_index(s, y * len + x, (w, h), len);
                    assert!(i % len < mw && i / len < mh && !seen[i], "symmetry {s} ({x}, {y})");
                    seen[i] = true;
                }
            }
            assert_eq!(moved_index(s, len * len, (w, h), len), len * len);
        }
        assert_eq!(moved(4 | 1, (1, 0), (5, 3)), (2, 1));
    }
}
