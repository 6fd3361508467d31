//! Products of small matrices whose factors are f16: sums of a few products in f16, those sums added up in f32.
//!
//! As in [`gemm`](super::gemm) each sum is built in the order of k, whatever the tiling.

use super::simd::half::{HALF_WIDTH, Half, HalfKernel, HalfSimd, narrow};
use crate::compute::Store;

/// Products that are summed in f16. More cost accuracy, fewer cost time: each sum is widened, scaled and added to a number in
/// memory.
const SUM: usize = 32;
/// Columns of the widest tile, two vectors: with eight rows its sums, eight vectors of A and two of B are 26 of 32 registers, and
/// all of A can be in the lower sixteen, which a product by one of a vector's numbers takes.
const TILE_COLUMNS: usize = 2 * HALF_WIDTH;
/// Rows of a tile.
const TILE_ROWS: usize = 8;

/// The largest factor of the first kind, where those of the second are at most 1: each partial sum of n products is then at most n
/// times this, rounded or not, as that is an f16 itself.
pub(super) const FACTOR_MAX: f32 = 1024.0;
const _: () = assert!(SUM as f32 * FACTOR_MAX <= 65504.0, "sums stay below the largest f16");

/// Columns of the packed form: whole vectors.
pub(super) fn padded(columns: usize) -> usize {
    columns.next_multiple_of(HALF_WIDTH)
}

/// Packs B `[k, columns]`, its element `[row, column]` being `b(row, column)`: for each tile's columns `[k, 8 or 16]`, zeros beyond.
pub(super) fn pack(k: usize, columns: usize, b: impl Fn(usize, usize) -> f32, to: &mut [u16]) {
    let mut to = to[..k * padded(columns)].iter_mut();
    for at in (0..columns).step_by(TILE_COLUMNS) {
        let end = (at + TILE_COLUMNS).min(padded(columns));
        for row in 0..k {
            for (column, to) in (at..end).zip(&mut to) {
                *to = if column < columns { narrow(b(row, column)) } else { 0 };
            }
        }
    }
}

/// `C = scale A B`: `A[i, l]` is at `a + i * a_row + l`, B is packed, `C[i, j]` at `c + i * c_row + j`.
#[derive(Clone, Copy)]
pub(super) struct HalfProduct {
    pub m: usize,
    pub k: usize,
    /// A multiple of 4.
    pub columns: usize,
    pub a: *const u16,
    pub a_row: usize,
    pub b: *const u16,
    pub c: *mut f32,
    pub c_row: usize,
    /// Of each row.
    pub scale: *const f32,
    /// How it meets what C holds.
    pub store: Store,
}

/// A [`HalfProduct`] for which [`HalfProduct::run`] was promised what it demands.
struct ByColumns(HalfProduct);

impl HalfProduct {
    /// Computes it.
    /// # Safety
    /// `m` rows of A of `k` numbers, rounded up to whole vectors, can be read; so can B of `k` rows and the scales; `m` rows of
    /// `columns` numbers of C can be written and nobody else reads or writes them.
    #[inline(always)]
    pub unsafe fn run(self, half: Half) {
        half.run(ByColumns(self));
    }
}

impl HalfKernel for ByColumns {
    #[inline(always)]
    fn run<H: HalfSimd>(self, s: H) {
        let mut p = self.0;
        let mut left = p.columns;
        while left > 0 {
            let columns = left.min(TILE_COLUMNS);
            let part = HalfProduct { columns, ..p };
            // SAFETY: these columns are within the product's, as was promised; the next are beyond them.
            unsafe {
                if columns > HALF_WIDTH {
                    rows::<H, 2>(s, part)
                } else {
                    rows::<H, 1>(s, part)
                }
                p.b = p.b.add(p.k * padded(columns));
                p.c = p.c.add(columns);
            }
            left -= columns;
        }
    }
}

/// Cuts the rows into tiles of nearly equal height.
/// # Safety
/// As [`HalfProduct::run`] demands, for `NV` vectors of columns.
#[inline(always)]
unsafe fn rows<H: HalfSimd, const NV: usize>(s: H, p: HalfProduct) {
    let tiles = p.m.div_ceil(TILE_ROWS);
    let mut row = 0;
    for i in 0..tiles {
        let height = (i + 1) * p.m / tiles - row;
        // SAFETY: rows row .. row + height are within m; the rest is the caller's promise.
        unsafe {
            let p = HalfProduct { a: p.a.add(row * p.a_row), c: p.c.add(row * p.c_row), scale: p.scale.add(row), ..p };
            macro_rules! heights {
                ($($h:literal)*) => {
                    match height {
                        $($h => tile::<H, $h, NV>(s, p),)*
                        _ => {}
                    }
                };
            }
            heights!(1 2 3 4 5 6 7 8);
        }
        row += height;
    }
}

/// MR rows and NV vectors of sums in registers.
/// # Safety
/// As [`HalfProduct::run`] demands, for `NV` vectors of columns and at least `MR` rows.
#[allow(clippy::needless_range_loop)]
#[inline(always)]
unsafe fn tile<H: HalfSimd, const MR: usize, const NV: usize>(s: H, p: HalfProduct) {
    let last = p.columns - (NV - 1) * HALF_WIDTH;
    let (mut a, mut b, mut store) = (p.a, p.b, p.store);
    let mut from = 0;
    while from < p.k {
        let end = (from + SUM).min(p.k);
        let mut sums = [[s.zero(); NV]; MR];
        while from < end {
            let together = (end - from).min(HALF_WIDTH);
            let mut a_rows = [s.zero(); MR];
            for i in 0..MR {
                // SAFETY: a whole vector of each row, by the caller's promise.
                a_rows[i] = unsafe { s.load(a.add(i * p.a_row)) };
            }
            macro_rules! lanes {
                ($count:expr, $($lane:literal)*) => {
                    $(if $lane < $count {
                        for j in 0..NV {
                            // SAFETY: row `from + lane` of B.
                            let b_row = unsafe { s.load(b.add(($lane * NV + j) * HALF_WIDTH)) };
                            for i in 0..MR {
                                sums[i][j] = s.fma_lane::<$lane>(a_rows[i], b_row, sums[i][j]);
                            }
                        }
                    })*
                };
            }
            if together == HALF_WIDTH {
                lanes!(HALF_WIDTH, 0 1 2 3 4 5 6 7);
            } else {
                lanes!(together, 0 1 2 3 4 5 6);
            }
            // SAFETY: at most one beyond the last rows.
            unsafe {
                a = a.add(together);
                b = b.add(together * NV * HALF_WIDTH);
            }
            from += together;
        }
        for i in 0..MR {
            for j in 0..NV {
                let n = if j + 1 == NV { last } else { HALF_WIDTH };
                // SAFETY: n columns of row i of C and its scale, by the caller's promise.
                unsafe { s.widen(sums[i][j], *p.scale.add(i), p.c.add(i * p.c_row + j * HALF_WIDTH), n, store) };
            }
        }
        store = Store::Add;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::rng;
    use crate::compute::cpu::simd::half::widened;
    use rand::Rng as _;

    /// C by every arithmetic that works here, the plain one first.
    fn products((m, k, columns): (usize, usize, usize), a: &[u16], b: &[f32], scale: &[f32]) -> Vec<Vec<f32>> {
        let (a_row, c_row) = (k.next_multiple_of(HALF_WIDTH), columns + 3);
        let mut packed = vec![0u16; k * padded(columns)];
        pack(k, columns, |row, column| b[row * columns + column], &mut packed);
        let run = |half: Half| {
            let mut c = vec![5.0f32; m * c_row];
            let product = HalfProduct {
                m,
                k,
                columns,
                a: a.as_ptr(),
                a_row,
                b: packed.as_ptr(),
                c: c.as_mut_ptr(),
                c_row,
                scale: scale.as_ptr(),
                store: Store::Write,
            };
            // SAFETY: the three have these sizes.
            unsafe { product.run(half) };
            c
        };
        [Some(Half::plain()), Half::detect()].into_iter().flatten().map(run).collect()
    }

    #[test]
    fn products_are_near_those_of_f64_and_the_same_everywhere() {
        let shapes: [(usize, usize, usize); 7] =
            [(1, 1, 4), (8, 8, 16), (9, 7, 8), (25, 96, 16), (50, 33, 12), (7, 64, 44), (3, 40, 4)];
        for (m, k, columns) in shapes {
            let mut r = rng(3, (m * k * columns) as u64);
            let mut number = || (r.next_u64() >> 40) as f32 / (1u64 << 23) as f32 - 1.0;
            let a_row = k.next_multiple_of(HALF_WIDTH);
            // infinite where nobody may look
            let a: Vec<u16> = (0..m * a_row).map(|i| if i % a_row < k { narrow(number()) } else { 0x7c00 }).collect();
            let b: Vec<f32> = (0..k * columns).map(|_| number()).collect();
            let scale: Vec<f32> = (0..m).map(|i| [1.0, 0.125, 4.0][i % 3]).collect();
            let all = products((m, k, columns), &a, &b, &scale);
            for (i, j) in (0..m).flat_map(|i| (0..columns + 3).map(move |j| (i, j))) {
                let at = i * (columns + 3) + j;
                assert!(all.iter().all(|c| c[at].to_bits() == all[0][at].to_bits()), "{m} {k} {columns}: {i} {j}");
                if j >= columns {
                    assert_eq!(all[0][at], 5.0, "beyond the columns");
                    continue;
                }
                let terms = (0..k).map(|l| f64::from(widened(a[i * a_row + l])) * f64::from(b[l * columns + j]));
                let (sum, sizes) = terms.fold((0.0, 0.0), |(sum, sizes), t| (sum + t, sizes + t.abs()));
                // a factor rounded once, and up to SUM roundings of sums no larger than the sum of sizes
                let allowed = (1.0 + k.min(SUM) as f64) / 2048.0 * sizes;
                let got = f64::from(all[0][at] / scale[i]);
                assert!((got - sum).abs() <= allowed, "{m} {k} {columns}: {got}, expected {sum} within {allowed}");
            }
        }
    }

    #[test]
    fn the_largest_factors_do_not_overflow() {
        let (m, k, columns) = (2, 2 * SUM, 4);
        let a = vec![narrow(FACTOR_MAX); m * k];
        for c in products((m, k, columns), &a, &vec![1.0; k * columns], &[1.0; 2]) {
            assert_eq!(c[0], 65536.0);
        }
    }
}
